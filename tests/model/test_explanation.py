"""A requirement explained: its steps and its legs add up to it, whatever binds, and trades change what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import explanation, methodology
from python_model.case import Package
from python_model.explanation import cash_of, changes, explain, traded
from python_model.exposure import mark
from python_model.margin import assess, leg_tables
from python_model.portfolio import Kind, Mode
from python_model.value_at_risk import in_words
from tests.model.books import book, books, future, option, options, perp
from tests.model.tails import MARKET, SET, TAIL, gross, tails

HOUSE, VAR, MAX = (methodology.load(name) for name in ("house", "var", "max"))
# Charges so large that each of them, and the option minimum, binds often.
STEEP = replace(HOUSE, name="steep", calendar=0.5, vega_calendar=0.9, h_delta=0.01, h_vega=5.0, som=0.2)
GRIDS = [*(methodology.load(name) for name in methodology.grids()), STEEP, replace(STEEP, som=0.0, flat=100.0)]

# With books of options alone, which may be capped.
any_book = st.one_of(books, st.builds(lambda legs: book(*legs), st.lists(options, min_size=1, max_size=6)))
modes = st.sampled_from([Mode.PORTFOLIO, Mode.PORTFOLIO, Mode.CROSS])
# A methodology, and its tail where it has one.
methods = st.one_of(st.tuples(st.sampled_from(GRIDS), st.none()), st.tuples(st.sampled_from([VAR, MAX, STEEP]), tails))


def slack(some_book):
    """Rounding of sums of P&L over legs; liquidation costs of steep methodologies have slopes of tens."""
    return 1e-9 + 1e-10 * gross(some_book)


def sections(rows):
    """Totals of a waterfall, and the sum of the rows that lead to each: a margin includes the one before it."""
    totals, parts, found = {}, 0.0, {}
    for row in rows:
        if row.total:
            totals[row.label], found[row.label] = row.amount, parts
            # Equity starts anew; what is left of it does not.
            parts = 0.0 if row.label == "initial margin" else parts
        else:
            parts += row.amount
    return totals, found


def check(some_book, method, tail):
    got, want = explain(some_book, MARKET, method, tail), assess(some_book, MARKET, method, tail)
    totals, sums = sections(got.waterfall)
    near = slack(some_book)
    assert list(totals) == ["maintenance margin", "initial margin", "initial equity", "buffer"]
    assert totals["maintenance margin"] == pytest.approx(want.maintenance, abs=near)
    assert totals["initial margin"] == pytest.approx(want.initial, abs=near)
    assert totals["initial equity"] == pytest.approx(want.equity_initial, abs=near)
    assert totals["buffer"] == pytest.approx(want.equity_initial - want.initial, abs=near)
    for label, total in totals.items():
        assert sums[label] == pytest.approx(total, abs=near), label
    assert math.fsum(share.amount for share in got.legs) == pytest.approx(want.maintenance, abs=near)
    amounts = [share.amount for share in got.legs]
    assert amounts == sorted(amounts, reverse=True)
    return got, want


def amount(got, label):
    """The sum of the rows of a name."""
    return math.fsum(row.amount for row in got.waterfall if row.label.startswith(label))


@given(book=any_book, mode=modes, method=methods)
def test_steps_and_legs_add_up(book, mode, method):
    check(replace(book, mode=mode), *method)


@given(book=any_book, mode=modes, method=methods)
def test_credits_and_caps_take_away_and_charges_add(book, mode, method):
    got = explain(replace(book, mode=mode), MARKET, *method)
    for row in got.waterfall[: [row.label for row in got.waterfall].index("initial margin")]:
        if row.label.startswith(("cap", "correlation")):
            assert row.amount < 0.0
        else:
            assert row.amount > 0.0 or row.total
    if mode is Mode.CROSS:
        assert amount(got, "correlation") == 0.0


CONDOR = (
    option("ETH", Kind.PUT, 30, 0.8, 5.0),
    option("ETH", Kind.PUT, 30, 0.9, -5.0),
    option("ETH", Kind.CALL, 30, 1.1, -5.0),
    option("ETH", Kind.CALL, 30, 1.2, 5.0),
)
NARROW = (option("ETH", Kind.CALL, 30, 1.0, -10.0), option("ETH", Kind.CALL, 30, 1.01, 10.0))
PAIR = (perp("ETH", 35.0, 1950.0), perp("BTC", -1.0, 71_000.0))
BINDS = {
    "credit": (book(*PAIR), HOUSE, None, "correlation credit"),
    "calendar": (book(future("ETH", 30, 10.0), future("ETH", 180, -10.0)), HOUSE, None, "calendar charge"),
    "vega calendar": (
        book(option("ETH", Kind.CALL, 30, 1.0, 10.0), option("ETH", Kind.CALL, 180, 1.0, -10.0)),
        HOUSE,
        None,
        "vega calendar charge",
    ),
    "option minimum": (
        book(option("ETH", Kind.CALL, 7, 2.5, -100.0), perp("ETH", 0.01)),
        HOUSE,
        None,
        "up to the option minimum",
    ),
    "cap": (book(*NARROW), STEEP, None, "cap"),
    "cap of one of two": (book(*NARROW, option("BTC", Kind.CALL, 30, 1.1, -1.0)), STEEP, None, "cap"),
    "tail": (book(*PAIR), VAR, TAIL, "scan of"),
    "tail above the grid": (book(*CONDOR, perp("ETH", 5.0)), MAX, replace(TAIL, horizon=10.0), "scan of"),
}


@pytest.mark.parametrize("case", BINDS)
@pytest.mark.parametrize("mode", [Mode.PORTFOLIO, Mode.CROSS])
def test_what_binds_is_a_row_and_adds_up(case, mode):
    held, method, tail, label = BINDS[case]
    got, _ = check(replace(held, mode=mode), method, tail)
    if mode is Mode.PORTFOLIO:
        assert amount(got, label) != 0.0
        assert (got.worst.day is not None) == case.startswith("tail")


def test_by_hand_one_perpetual():
    got = explain(book(perp("ETH", 2.0, 1950.0)), MARKET, HOUSE)
    u = MARKET.underlyings["ETH"]
    usd = 2.0 * u.perp_mark
    # The extremes: a fall of 64% of which a quarter counts is the fall of 16%.
    cost = usd * HOUSE.h_delta * (1.0 + usd / HOUSE.depth_delta)
    maintenance = 0.16 * usd + cost
    want = [
        ("scan of ETH", 0.16 * usd),
        ("liquidation cost", cost),
        ("maintenance margin", maintenance),
        ("initial factor, 1.25 times", 0.25 * maintenance),
        ("price confidence", u.confidence * usd),
        ("initial margin", 1.25 * maintenance + u.confidence * usd),
        ("cash", 10_000.0),
        ("unrealised profit", 2.0 * (u.perp_mark - 1950.0)),
        ("initial equity", 10_000.0 + 2.0 * (u.perp_mark - 1950.0)),
    ]
    assert [(row.label, pytest.approx(row.amount)) for row in got.waterfall[: len(want)]] == want
    assert [share.words for share in got.legs] == ["2 ETH perp"]


def test_legs_that_hedge_free_margin():
    got = explain(book(perp("ETH", 10.0), option("ETH", Kind.PUT, 30, 1.0, 8.0)), MARKET, HOUSE)
    (cost, frees) = got.legs
    assert (cost.words, frees.instrument) == ("10 ETH perp", "ETH 2000 put 2026-03-08")
    assert cost.amount > 0.0 > frees.amount


def test_alone_a_leg_has_its_own_requirement():
    legs = (*CONDOR, perp("BTC", 1.0))
    got = explain(book(*legs, mode=Mode.CROSS), MARKET, HOUSE)
    want = {in_words(leg): assess(book(leg), MARKET, HOUSE).maintenance for leg in legs}
    assert {share.words: pytest.approx(share.amount) for share in got.legs} == want


@given(book=books, method=st.sampled_from([HOUSE, STEEP]))
def test_shares_are_what_growth_adds(book, method):
    """Aumann-Shapley by quadrature: the mean of `size * d(liquidation cost)/d(size)` from nothing to the whole book."""
    for table in leg_tables(book, MARKET, method).values():

        def cost(scale, nudged=None, table=table):
            size = table.size * scale
            if nudged is not None:
                size = size + nudged
            grown = replace(table, size=size)
            return math.fsum(explanation.liquidity_shares(grown, method))

        got = explanation.liquidity_shares(table, method)
        for leg in range(len(table)):
            step = np.zeros(len(table))
            step[leg] = 1e-6 * table.size[leg]
            # The derivative is linear in the scale, for which the midpoint is exact.
            slope = (cost(0.5, step) - cost(0.5, -step)) / 2e-6
            assert got[leg] == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(cost(1.0)) + 1e-9)


# --- the worst scenario ----------------------------------------------------------------------------------------------


def test_the_worst_scenario_is_joint_within_a_group():
    got = explain(book(perp("ETH", 1.0), perp("BTC", -1.0), perp("SOL", -10.0)), MARKET, HOUSE).worst
    # Both of the group rise, for BTC is the larger; SOL stands alone.
    assert got.words == "BTC +14%, vol +50%; ETH +16%, vol +50%; SOL +25%, vol +50%"
    eth, btc, sol = (MARKET.underlyings[name].perp_mark for name in ("ETH", "BTC", "SOL"))
    assert got.pnl == pytest.approx(0.16 * eth - 0.14 * btc - 2.5 * sol)


def test_the_worst_day_of_a_tail():
    held = book(*PAIR)
    got = explain(held, MARKET, VAR, TAIL).worst
    losses = [-35.0 * MARKET.underlyings["ETH"].perp_mark * e + MARKET.underlyings["BTC"].perp_mark * b
              for e, b in np.clip(SET.x[:, :2] * [0.05, 0.035], -0.95, 4.0)]  # fmt: skip
    row = int(np.argmax(losses))
    assert got.pnl == pytest.approx(-losses[row])
    assert got.day == SET.dates[row] and got.words.startswith(f"{SET.dates[row]}: BTC ")


def test_nothing_to_lose():
    for some_book, words in (
        (book(), "nothing is held"),
        (book(option("ETH", Kind.CALL, 0, 5.0, 1.0)), "no scenario loses"),
    ):
        got = explain(some_book, MARKET, methodology.load("tims"))
        assert (got.worst.words, got.worst.pnl) == (words, 0.0)


# --- what if ---------------------------------------------------------------------------------------------------------


@given(before=books, trades=books)
def test_a_package_at_the_mark_leaves_equity(before, trades):
    package = Package("trades", trades.positions)
    after = traded(before, package, MARKET)
    old, new = (assess(x, MARKET, HOUSE) for x in (before, after))
    # Cash is held to 1e-6.
    assert new.equity_initial == pytest.approx(old.equity_initial, abs=1e-6 + slack(before) + slack(trades))
    value = sum(p.size * mark(p, MARKET) for p in trades.positions if p.kind.is_option)
    assert cash_of(package, MARKET) == pytest.approx(-value, abs=5.1e-7)


def test_a_package_with_cash_costs_what_it_says():
    package = Package("paid", (option("ETH", Kind.CALL, 30, 1.0, 1.0),), -50.25)
    after = traded(book(), package, MARKET)
    assert after.cash == 10_000.0 - 50.25 and cash_of(package, MARKET) == -50.25
    assert len(after.positions) == 1


@given(before=books, trades=books, method=st.sampled_from([(HOUSE, None), (MAX, TAIL)]))
def test_changes_by_instrument_add_up(before, trades, method):
    after = traded(before, Package("trades", trades.positions), MARKET)
    old, new = (explain(x, MARKET, *method) for x in (before, after))
    rows = changes(old, new)
    near = slack(before) + slack(after)
    assert math.fsum(row[1] for row in rows) == pytest.approx(assess(before, MARKET, *method).maintenance, abs=near)
    assert math.fsum(row[2] for row in rows) == pytest.approx(assess(after, MARKET, *method).maintenance, abs=near)
    moved = [row[2] - row[1] for row in rows]
    assert moved == sorted(moved, reverse=True)


def test_a_package_that_closes_a_book_leaves_nothing():
    held = book(*CONDOR)
    closing = Package("close", tuple(replace(leg, size=-leg.size) for leg in CONDOR))
    after = traded(held, closing, MARKET)
    rows = changes(explain(held, MARKET, HOUSE), explain(after, MARKET, HOUSE))
    assert len(rows) == 4 and all(row[2] == 0.0 for row in rows)


# --- defects that must be noticed ------------------------------------------------------------------------------------


def twice(function):
    return lambda *arguments: 2.0 * function(*arguments)


def other_side(amounts, bucket, rate):
    return explanation_offset(amounts, bucket, 0.5 * rate)


explanation_offset = explanation.offset_shares
DEFECTS = {
    "liquidation cost twice": ("liquidity_shares", twice(explanation.liquidity_shares), "credit"),
    "half a calendar charge": ("offset_shares", other_side, "calendar"),
    "the cap without its payoffs": ("most_lost_shares", lambda table: table.size * table.option_value, "cap"),
    "a tail that the scan forgets": ("tail_scan", lambda *_: 0.0, "tail"),
    "a minimum that the legs forget": (
        "_uncapped",
        lambda b, m, t, method, tail, true=explanation._uncapped: true(b, m, t, replace(method, som=0.0), tail),
        "option minimum",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_noticed(defect, monkeypatch):
    name, planted, case = DEFECTS[defect]
    held, method, tail, _ = BINDS[case]
    check(held, method, tail)
    monkeypatch.setattr(explanation, name, planted)
    with pytest.raises(AssertionError):
        check(held, method, tail)
