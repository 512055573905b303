"""The report of the back-test: every number is in it, and it says what fails."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from python_model import backtest, backtest_figures
from python_model.backtest import METHODS
from python_model.backtest_books import book_types
from python_model.backtest_market import HORIZONS
from python_model.coverage_tests import LikelihoodRatio
from scripts import backtest_chapters
from scripts.backtest import cli
from scripts.backtest_chapters import chapters, named, p_value, ratio, thousand, verdict, which
from scripts.report import Picture, Sheet, page
from tests.model import paths

PATH = paths.path()
TYPES = [t for t in book_types(PATH.names) if t.name in ("ETH long straddle", "BTC short put", "ETH–BTC spread")]
RECORDS = backtest.run(PATH, TYPES)
ROWS = backtest_figures.all_figures(RECORDS)


@pytest.fixture(scope="module")
def parts():
    """All chapters of a short run."""
    return chapters(RECORDS, TYPES, PATH, ROWS)


def test_every_number_of_every_book_method_and_horizon_is_in_the_report(parts):
    (full,) = (c for c in parts if c.title == "Every figure")
    assert [sheet.title.split(":")[0] for sheet in full.parts] == [t.name for t in TYPES]
    for sheet, kind in zip(full.parts, TYPES, strict=True):
        own = [f for f in ROWS if f.book == kind.name]
        assert len(sheet.rows) == len(own) == len(METHODS) * len(HORIZONS)
        for row, f in zip(sheet.rows, own, strict=True):
            assert row[1:4] == (str(f.horizon), f"{f.days:,}", str(f.exceedances))
            assert row[7] == p_value(f.coverage) and row[9] == p_value(f.independent) and row[11] == p_value(f.both)
            assert row[12:14] == (thousand(f.shortfall), thousand(f.worst)) and row[14] == ratio(f.peak_to_trough)
            assert row[15:18] == tuple(thousand(c) for c in f.calls)
            assert row[18:22] == (thousand(f.margin), thousand(f.capital), thousand(f.loss), ratio(f.cost))
            assert row[22] == (", ".join(f.failed) or "none")
    assert [row[0] for row in full.parts[0].rows[::2]] == list(METHODS)


def test_tables_are_whole_and_pictures_are_pictures(parts):
    pictures = 0
    for chapter in parts:
        for part in chapter.parts:
            if isinstance(part, Sheet):
                assert all(len(row) == len(part.columns) == len(part.align) for row in part.rows), part.title
            elif isinstance(part, Picture):
                pictures += 1
                assert part.png.startswith(b"\x89PNG")
    assert pictures == 3
    text = page("t", "l", [], parts)
    # NaN is no answer: what cannot be said is said.
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", text))
    assert "ETH–BTC spread" in text and "silent" in text


def test_the_text_says_which_method_fails_which_test(parts):
    words = " ".join(part for part in parts[0].parts if isinstance(part, str))
    for method in METHODS:
        for horizon in ("1 day", "2 days"):
            assert f"{method}, loss over {horizon}: " in words
    fails = LikelihoodRatio(1, 20.0, 1e-5)
    holds = LikelihoodRatio(1, 0.1, 0.8)
    first = ROWS[0]
    rows = [
        replace(first, book="ETH short put", tested=100, failures=9, coverage=fails, independent=holds, both=fails),
        replace(first, book="BTC short put", tested=100, failures=9, coverage=fails, independent=fails, both=fails),
        replace(first, book="ETH–BTC spread", tested=900, failures=1, coverage=fails, independent=holds, both=holds),
        replace(first, book="ETH collar", coverage=holds, independent=LikelihoodRatio(1, silent="none"), both=fails),
        *(replace(first, book=f"ETH {i}", coverage=holds, independent=holds, both=holds) for i in range(3)),
    ]
    assert verdict("house", 1, rows) == (
        "house, loss over 1 day: fails coverage with too many exceedances for 2 of 7 books, short put (ETH, BTC); "
        "with too few, which is dear but safe, for 1. Independence fails for 1 of 7 books, short put (BTC). It can "
        "say nothing of 1, which went beyond margin once or never. The joint test fails for 3, among them collar "
        "(ETH), whose coverage alone does not."
    )
    assert backtest_chapters.in_short([replace(f, method="house") for f in rows])[0] == (
        "In short, over 1 day: too little margin for 1% by house (2 books); never by var, max, span, tims, deribit, "
        "isolated, cross."
    )


def test_books_in_words():
    books = ["ETH short put", "BTC short put", "ETH–BTC spread"]
    assert named(books) == "short put (ETH, BTC), ETH–BTC spread"
    assert which([], books) == "none of 3 books" and which(books, books) == "all 3 books"
    assert which(books[:1], books) == "1 of 3 books, short put (ETH)"
    assert which(books[:2], books) == "2 of 3 books, all but ETH–BTC spread"
    assert (thousand(None), thousand(-1e-9), thousand(12_345.6), ratio(None), ratio(1e9)) == (
        "–",
        "0.0",
        "12.3",
        "–",
        ">1,000",
    )
    assert (p_value(LikelihoodRatio(1, 30.0, 1e-8)), p_value(LikelihoodRatio(1, silent="x"))) == ("<0.001", "silent")


def test_without_data_the_command_says_what_is_absent(tmp_path):
    result = CliRunner().invoke(cli, ["--data", str(tmp_path), "--out", str(tmp_path / "report.html")])
    assert result.exit_code == 1 and "eth_usdt_1h.parquet: is absent" in result.output
    assert not (tmp_path / "report.html").exists()
