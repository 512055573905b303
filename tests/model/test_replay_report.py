"""The report of the replay as a user gets it, and the chapter that the demo can tell without any data."""

from __future__ import annotations

import re
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from python_model import history, methodology
from python_model.volatility import Terms
from scripts import chapter_volatility
from scripts.chapter_volatility import fall_words, points_an_hour
from scripts.replay import cli
from scripts.report import Picture, Sheet, page
from tests.model.series import frame, write

HOUSE = methodology.load("house")
PNG = b"\x89PNG\r\n"
TITLES = (
    "Moves of the next 24 hours beyond the scan range",
    "The same by period",
    "Worst moves within fewer hours",
    "The largest rise within 24 hours",
    "The five worst weeks of each",
    "One parameter changed at a time",
)


def run(*arguments: str):
    """Run the command as a process would."""
    return CliRunner().invoke(cli, arguments, prog_name="replay")


def test_without_prices_it_says_so_in_one_line(tmp_path):
    out = tmp_path / "replay.html"
    got = run("--data", str(tmp_path / "none"), "--out", str(out))
    assert got.exit_code == 1
    lines = got.output.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ") and "eth_usdt_1h.parquet: is absent" in lines[0]
    assert not out.exists()


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_the_report_of_made_up_prices(tmp_path):
    for seed, name in enumerate(history.FILES):
        # Heavy tails, so that every table has something to tell.
        returns = 0.006 * np.random.default_rng(seed).standard_t(3, 24 * 120)
        write(tmp_path, frame(2000 * np.exp(np.cumsum(returns))), name)
    out = tmp_path / "new" / "replay.html"
    week = history.WEEK.read_bytes()
    got = run("--data", str(tmp_path), "--out", str(out))
    assert got.exit_code == 0, got.output
    text = out.read_text(encoding="utf-8")
    for title in TITLES:
        assert title in got.output and f"<caption>{title}</caption>" in text
    assert "Of all 135 combinations" in text
    assert text.count("data:image/png;base64,") == 2
    assert set(re.findall(r'(?:src|href)="(?!#)([^"]{0,10})', text)) == {"data:image"}, "one file that needs no other"
    assert history.WEEK.read_bytes() == week, "only --week writes the week that ships"


def test_the_help_tells_the_options():
    got = run("--help")
    assert got.exit_code == 0
    for word in ("--data", "--out", "--week", "../shared/data"):
        assert word in got.output


def test_the_chapter_of_the_demo_needs_no_data():
    chapter = chapter_volatility.chapter("A title", HOUSE)
    sheets = [part for part in chapter.parts if isinstance(part, Sheet)]
    (picture,) = (part for part in chapter.parts if isinstance(part, Picture))
    assert picture.png.startswith(PNG)
    hours, rises = sheets
    assert len(hours.rows) == 15 and hours.rows[0][0] == "9 Mar 2020 02:00"
    ranges = [row[5] for row in hours.rows]
    assert ranges[0] == "16.3%" and ranges[-1] == "40.0%"
    assert rises.rows[0][2:6] == ("20.5%", "40.0%", "19.5 points", "13 Mar 2020 07:00")
    for sheet in sheets:
        assert all(len(row) == len(sheet.columns) == len(sheet.align) for row in sheet.rows)
    text = page("t", "l", [], [chapter])
    assert "<h2" in text and "fell by 48% in 24 hours" in text


def test_rates_in_words():
    terms = Terms()
    assert [points_an_hour(x) for x in (terms.rise, terms.fall, float("inf"))] == [
        "1 point an hour",
        "0.25 points an hour",
        "at once",
    ]


def test_what_is_said_of_the_fall_is_what_happens():
    # The half-life of the default forgets 0.19 points an hour of 40%; one of a day 0.58.
    assert "0.193 points an hour at most" in fall_words(Terms()) and "felt only after" in fall_words(Terms())
    assert "holds the range above its target" in fall_words(Terms(halflife=86_400.0))
