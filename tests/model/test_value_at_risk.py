"""A book in joint rows: repricing against plain loops, its parts by legs, and margin with a tail."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from python_model import aggregation, exposure, methodology, tail, value_at_risk
from python_model import books as strategies
from python_model.case import read_market
from python_model.margin import assess, leg_tables
from python_model.portfolio import Book, Kind, Mode
from python_model.scenario_set import ScenarioSet, synthetic
from python_model.tail import Moves, Tail, expected_shortfall, tail_count
from python_model.value_at_risk import (
    filtered_historical,
    historical,
    leg_losses,
    scan_attribution,
    shortfall_parts,
    value_parts,
)
from tests.model.books import DAY, NOW, book, books, future, option, perp
from tests.model.tails import MARKET, SET, TAIL, book_losses, gross, row_pnl, tails

HOUSE = methodology.load("house")
ALL = [methodology.load(name) for name in methodology.grids()]
methods = st.sampled_from(ALL)
# A grid that sees nothing: the scan is the tail alone (M-20).
NOTHING = methodology.without_grid(HOUSE)


def losses_of(some_book, t=TAIL, method=HOUSE):
    names = sorted({p.underlying for p in some_book.positions} | {c.underlying for c in some_book.collateral})
    return leg_losses(some_book, MARKET, method, t.moves(MARKET, names))


# --- repricing -------------------------------------------------------------------------------------------------------


@given(book=books, t=tails, method=methods)
def test_rows_agree_with_plain_loops(book, t, method):
    # Rounding of F N(d1) and K N(d2) at five times the price.
    assert losses_of(book, t, method).total == pytest.approx(
        book_losses(book, MARKET, method, t), abs=1e-12 * gross(book)
    )


def test_by_hand_three_rows_of_a_perpetual():
    three = ScenarioSet("three", "1", ("ETH",), ("a", "b", "c"), [[-2.0], [1.0], [-3.0]], [[0.5], [0.0], [0.1]])
    long, u = book(perp("ETH", 2.0)), MARKET.underlyings["ETH"]
    unit = 2.0 * u.perp_mark * u.daily_vol
    got = filtered_historical(long, MARKET, HOUSE, Tail(three, 0.6))
    assert (got.var, got.es, got.worst) == (pytest.approx(2 * unit), pytest.approx(2.5 * unit), 2)
    short = filtered_historical(book(perp("ETH", -2.0)), MARKET, HOUSE, Tail(three, 0.6))
    assert (short.var, short.es, short.worst) == (pytest.approx(-2 * unit), pytest.approx(-0.5 * unit), 1)
    four_days = filtered_historical(long, MARKET, HOUSE, Tail(three, 0.6, 4.0))
    assert four_days.es == pytest.approx(2 * got.es)


def test_by_hand_a_vol_move_alone():
    still = ScenarioSet("still", "1", ("ETH",), ("a", "b"), [[0.0], [0.0]], [[0.5], [-0.5]])
    short = book(option("ETH", Kind.CALL, 30, 1.0, -10.0))
    got = losses_of(short, Tail(still, 0.5))
    # h is 1 at 30 days. A short call loses as vol rises.
    table = exposure.leg_table("ETH", list(short.positions), [], MARKET, HOUSE)
    vega_loss = 10.0 * float(table.vega[0]) * 0.5 * float(exposure.option_legs(short.positions, MARKET).sigma[0])
    # At the money a value is nearly straight in vol.
    assert got.total == pytest.approx([vega_loss, -vega_loss], rel=5e-3)


def test_what_settlement_has_fixed_moves_no_more():
    eth = MARKET.underlyings["ETH"]
    rows = tuple(replace(e, fixed=0.75) if e.expiry == NOW + DAY else e for e in eth.expiries)
    fixing = replace(MARKET, underlyings={**MARKET.underlyings, "ETH": replace(eth, expiries=rows)})
    held = book(future("ETH", 1, 3.0), option("ETH", Kind.PUT, 1, 0.97, 5.0), perp("ETH", -1.0))
    got = leg_losses(held, fixing, HOUSE, TAIL.moves(fixing, ["ETH"])).total
    assert got == pytest.approx(book_losses(held, fixing, HOUSE, TAIL), abs=1e-9)
    assert got != pytest.approx(losses_of(held).total, rel=0.1)


def test_plain_history_is_not_scaled_and_filtered_is():
    moves = Moves(("ETH",), ("a", "b"), np.array([[-0.4], [0.1]]), np.zeros((2, 1)))
    long, mark = book(perp("ETH", 1.0)), MARKET.underlyings["ETH"].perp_mark
    calm, wild = (
        replace(MARKET, underlyings={"ETH": replace(MARKET.underlyings["ETH"], daily_vol=v)}) for v in (0.02, 0.08)
    )
    assert [historical(long, m, HOUSE, moves).var for m in (calm, wild)] == [pytest.approx(0.4 * mark)] * 2
    t = Tail(ScenarioSet("one", "1", ("ETH",), ("a",), [[-3.0]], [[0.0]]))
    assert filtered_historical(long, calm, HOUSE, t).var == pytest.approx(0.06 * mark)
    assert filtered_historical(long, wild, HOUSE, t).var == pytest.approx(0.24 * mark)


def test_an_empty_book_loses_nothing():
    got = filtered_historical(book(), MARKET, HOUSE, TAIL)
    assert (got.var, got.es) == (0.0, 0.0)
    assert scan_attribution(book(), MARKET, HOUSE, TAIL).scan == 0.0


# --- parts -----------------------------------------------------------------------------------------------------------


@given(book=books, t=tails)
def test_components_add_up(book, t):
    legs = losses_of(book, t)
    assume(legs.sizes.size)
    slack = 1e-11 * gross(book)
    risk = value_at_risk.risk(legs.total, t.alpha)
    for parts, total in ((shortfall_parts(legs, t.alpha), risk.es), (value_parts(legs, t.alpha), risk.var)):
        assert parts.total == total == pytest.approx(math.fsum(parts.component), abs=slack)
        assert parts.marginal * legs.sizes == pytest.approx(parts.component, abs=slack)
    # Alone, a leg cannot be less risky than with the hedges that it has: sub-additivity.
    alone = expected_shortfall(legs.losses, t.k)
    assert np.all(shortfall_parts(legs, t.alpha).component <= alone + slack)
    assert np.all(shortfall_parts(legs, t.alpha).incremental <= alone + slack)


@given(book=books, t=tails)
def test_marginal_shortfall_is_the_derivative(book, t):
    legs = losses_of(book, t)
    assume(legs.sizes.size)
    total = np.sort(legs.total)[::-1]
    k = t.k
    # Where a step changes no order at the edge of the tail, the measure is straight: no row moves by more than 1e-5.
    assume(total[k - 1] - total[k] > 1e-4 * gross(book))
    parts = shortfall_parts(legs, t.alpha)
    for leg in range(legs.sizes.size):
        unit = legs.losses[:, leg] / legs.sizes[leg]
        largest = np.abs(unit).max()
        step = 1e-5 * gross(book) / max(largest, 1e-9)
        up, down = (expected_shortfall(legs.total + s * step * unit, k) for s in (1.0, -1.0))
        # Rounding of sums of the size of the book, by a step of 1e-5 of it.
        assert parts.marginal[leg] == pytest.approx((up - down) / (2 * step), abs=1e-8 * largest)


def test_components_are_means_over_the_worst_days():
    two = ScenarioSet("two", "1", ("ETH", "BTC"), tuple("abcd"), [[-4, -1], [-2, -5], [0, 9], [1, 1]], np.zeros((4, 2)))
    legs = losses_of(book(perp("ETH", 1.0), perp("BTC", -0.01)), Tail(two, 0.5))
    eth, btc = (-MARKET.underlyings[n].perp_mark * MARKET.underlyings[n].daily_vol for n in ("ETH", "BTC"))
    eth_loss, btc_loss = eth * np.array([-4, -2, 0, 1]), -0.01 * btc * np.array([-1, -5, 9, 1])
    assert legs.underlyings == ("BTC", "ETH") and legs.legs == ("-0.01 BTC perp", "1 ETH perp")
    worst = np.argsort(-(eth_loss + btc_loss))[:2]
    parts = shortfall_parts(legs, 0.5)
    assert parts.component == pytest.approx([btc_loss[worst].mean(), eth_loss[worst].mean()])
    assert value_parts(legs, 0.5).component == pytest.approx([btc_loss[worst[1]], eth_loss[worst[1]]])
    alone = np.sort(eth_loss)[::-1][:2].mean()
    assert parts.incremental[0] == pytest.approx(parts.total - alone)


@given(book=books, method=methods, with_tail=st.booleans(), t=tails)
def test_the_scan_is_attributed_to_legs_exactly(book, method, with_tail, t):
    used = t if with_tail else None
    got = scan_attribution(book, MARKET, method, used)
    whole = {name: exposure.exposure(table, method) for name, table in leg_tables(book, MARKET, method, used).items()}
    scan = aggregation.total_scan({name: u.scenario_pnl for name, u in whole.items()}, method)
    slack = 1e-9 + 1e-11 * gross(book)
    assert got.scan == pytest.approx(max(scan, aggregation.tail_scan(whole, used)), abs=slack)
    assert math.fsum(got.amounts) == pytest.approx(got.scan, abs=slack)
    assert len(got.legs) == got.amounts.size


def test_the_worst_scenarios_are_told():
    straddle = book(option("ETH", Kind.CALL, 30, 1.0, -10.0), option("ETH", Kind.PUT, 30, 1.0, -10.0), perp("BTC", 1.0))
    got = scan_attribution(straddle, MARKET, HOUSE)
    assert got.legs[1:] == ("-10 ETH 2000 call 2026-03-08", "-10 ETH 2000 put 2026-03-08")
    eth, btc, joint = sorted(got.scenarios, key=lambda s: (s.startswith("60%"), "BTC" in s))
    assert re.fullmatch(r"40%: ETH [+-]\d+%, vol \+50%(, \d+% of it counted)?", eth)
    assert btc == "40%: BTC -14%, vol +50%" and re.match(r"60%: ETH .*; BTC -", joint)
    deep = scan_attribution(straddle, MARKET, HOUSE, replace(TAIL, horizon=30.0))
    assert deep.scan > got.scan and len(deep.scenarios) == TAIL.k
    assert deep.scenarios[0].startswith("row 00") and "ETH" in deep.scenarios[0] and "BTC" in deep.scenarios[0]


# --- margin with a tail ----------------------------------------------------------------------------------------------


@given(book=books, method=methods)
def test_volatility_without_a_tail_changes_nothing(book, method):
    bare = {name: replace(u, daily_vol=None) for name, u in MARKET.underlyings.items()}
    assert assess(book, MARKET, method) == assess(book, replace(MARKET, underlyings=bare), method)


@given(book=books, method=methods, t=tails)
def test_the_scan_is_the_larger_of_grid_and_tail(book, method, t):
    grid, both = assess(book, MARKET, method), assess(book, MARKET, method, t)
    slack = 1e-9 + 1e-11 * gross(book)
    names = list(both.charges)
    for name in names:
        alone = -np.array(row_pnl(book, MARKET, method, t, name))
        t_u = max(0.0, np.sort(alone)[::-1][: t.k].mean())
        want = replace(grid.charges[name], scan=max(grid.charges[name].scan, t_u))
        for key, value in vars(want).items():
            assert getattr(both.charges[name], key) == pytest.approx(value, abs=slack)
    joint = max(0.0, np.sort(book_losses(book, MARKET, method, t))[::-1][: t.k].mean())
    w = aggregation.total_scan({n: np.array(p) for n, p in grid.scenario_pnl.items()}, method)
    rows = both.charges.values()
    spread = sum(r.calendar + r.vega_calendar for r in rows)
    plain = max(max(w, joint) + spread, sum(r.short_option for r in rows)) + sum(r.liquidity for r in rows)
    if all(p.kind.is_option for p in book.positions) and not book.collateral:
        assert grid.maintenance - slack <= both.maintenance <= plain + slack
    else:
        assert both.maintenance == pytest.approx(plain, abs=slack)
        confidence = sum(r.confidence for r in rows)
        assert both.initial == pytest.approx(method.initial_factor * plain + confidence, abs=slack)
    assert both.capital.cross <= both.capital.isolated + slack
    same = ("equity_maintenance", "equity_initial", "greeks", "scenario_pnl", "worst_scenario", "option_value")
    assert all(getattr(both, key) == getattr(grid, key) for key in same)


@given(book=books, t=tails)
def test_a_grid_that_sees_nothing_leaves_the_tail_alone(book, t):
    got = assess(book, MARKET, NOTHING, t)
    risk = filtered_historical(book, MARKET, HOUSE, t)
    attributed = scan_attribution(book, MARKET, NOTHING, t)
    assert attributed.scan == pytest.approx(max(0.0, risk.es), abs=1e-11 * gross(book))
    assert all(row.scan >= 0.0 for row in got.charges.values())


@given(a=books, b=books, t=tails)
def test_two_books_together_need_no_more_scan_than_apart(a, b, t):
    both = Book(Mode.PORTFOLIO, 0.0, a.collateral + b.collateral, a.positions + b.positions)

    def scan(x):
        return scan_attribution(x, MARKET, HOUSE, t).scan

    assert scan(both) <= scan(a) + scan(b) + 1e-9 + 1e-11 * (gross(a) + gross(b))


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.PUT])
def test_a_long_option_never_needs_more_than_its_value(kind):
    held = book(option("ETH", kind, 30, 1.1, 10.0))
    got = assess(held, MARKET, HOUSE, Tail(SET, 0.99, 10.0))
    assert got.maintenance <= got.option_value + 1e-9 and got.initial <= got.option_value + 1e-9


@pytest.mark.parametrize("leg", [perp("ETH", -3.0), option("BTC", Kind.CALL, 30, 1.1, -1.0), future("SOL", 7, 50.0)])
def test_the_modes_agree_on_one_position(leg):
    got = {m: assess(book(leg, mode=m), MARKET, HOUSE, replace(TAIL, horizon=9.0)) for m in Mode}
    assert len({(round(a.maintenance, 6), round(a.initial, 6)) for a in got.values()}) == 1
    assert got[Mode.CROSS].maintenance > 1.2 * assess(book(leg), MARKET, HOUSE).maintenance


@pytest.mark.parametrize("mode", [Mode.VAR, Mode.MAX])
def test_an_account_of_a_mode_is_a_portfolio_by_the_methodology_of_that_name(mode):
    legs = (option("ETH", Kind.CALL, 30, 1.0, -10.0), perp("ETH", 4.0), perp("BTC", -0.5))
    calm = replace(TAIL, horizon=0.01)
    own = assess(book(*legs, mode=mode), MARKET, HOUSE, calm)
    named = assess(book(*legs), MARKET, methodology.load(mode.value), calm)
    assert (own.maintenance, own.initial) == (named.maintenance, named.initial)
    grid = assess(book(*legs), MARKET, HOUSE)
    assert own.equity_initial == grid.equity_initial
    # So short a time asks for less than the grid, which only one of the two has.
    assert (own.maintenance == grid.maintenance) is (mode is Mode.MAX)
    with pytest.raises(ValueError, match=f"^tail: mode {mode} needs a scenario set"):
        assess(book(*legs, mode=mode), MARKET, HOUSE)


def test_without_volatility_a_tail_is_refused_by_name():
    bare = {**MARKET.underlyings, "BTC": replace(MARKET.underlyings["BTC"], daily_vol=None)}
    market = replace(MARKET, underlyings=bare)
    assert assess(book(perp("ETH", 1.0)), market, HOUSE, TAIL).maintenance > 0.0
    with pytest.raises(ValueError, match=r"^BTC\.daily_vol: a tail needs the volatility a day \(got None\)"):
        assess(book(perp("ETH", 1.0), perp("BTC", 1.0)), market, HOUSE, TAIL)
    with pytest.raises(ValueError, match=r"^SOL: the scenario set synthetic has no rows of it \(has: ETH, BTC\)"):
        assess(book(perp("SOL", 1.0)), market, HOUSE, Tail(synthetic()))
    tables = leg_tables(book(perp("ETH", 1.0)), market, HOUSE)
    whole = {name: exposure.exposure(table, HOUSE) for name, table in tables.items()}
    with pytest.raises(ValueError, match=r"^ETH: must be priced in the 40 rows of the tail"):
        aggregation.requirement(whole, HOUSE, TAIL)


@pytest.mark.parametrize("strategy", strategies.STRATEGIES, ids=lambda s: s.name)
def test_strategies_on_the_market_that_ships_have_parts_that_add_up(strategy):
    market = read_market("eth-btc-2026-02-05")
    vols = {name: replace(u, daily_vol=0.05) for name, u in market.underlyings.items()}
    market, t = replace(market, underlyings=vols), Tail(synthetic(), 0.975)
    held = strategy.build(market)
    got = scan_attribution(held, market, NOTHING, t)
    assert math.fsum(got.amounts) == pytest.approx(got.scan, abs=1e-9 * gross(held, market))
    risk = filtered_historical(held, market, HOUSE, t)
    assert risk.var <= risk.es <= losses_at(held, market, t)[risk.worst] + 1e-9
    assert got.scan == pytest.approx(max(risk.es, 0.0), abs=1e-9 * gross(held, market))


def losses_at(held, market, t):
    names = sorted({p.underlying for p in held.positions} | {c.underlying for c in held.collateral})
    return leg_losses(held, market, HOUSE, t.moves(market, names)).total


# --- defects that must be noticed ------------------------------------------------------------------------------------

HEDGED = book(option("ETH", Kind.PUT, 30, 0.9, -20.0), option("BTC", Kind.CALL, 7, 1.2, -1.0), perp("ETH", -4.0))


def quiet():
    """The market with vols of ETH of about 20%, below the least vol of a scenario with vol up."""
    eth = MARKET.underlyings["ETH"]
    rows = tuple(replace(e, svi=replace(e.svi, a=0.1 * e.svi.a, b=0.1 * e.svi.b)) for e in eth.expiries)
    return replace(MARKET, underlyings={**MARKET.underlyings, "ETH": replace(eth, expiries=rows)})


def check():
    """What the tests above compare, on one book and for two sizes of tail."""
    market = quiet()
    for t in (TAIL, replace(TAIL, alpha=0.8, horizon=4.0)):
        rows = sorted(book_losses(HEDGED, market, HOUSE, t), reverse=True)
        k = round((1 - t.alpha) * len(rows))
        got = filtered_historical(HEDGED, market, HOUSE, t)
        assert got.var == pytest.approx(rows[k - 1], rel=1e-9)
        assert got.es == pytest.approx(sum(rows[:k]) / k, rel=1e-9)
        attributed = scan_attribution(HEDGED, market, NOTHING, t)
        assert attributed.scan == pytest.approx(sum(rows[:k]) / k, rel=1e-9)
        assert math.fsum(attributed.amounts) == pytest.approx(attributed.scan, rel=1e-9)


def vol_turned(self, name, base, true=Moves.methodology):
    rows = true(self, name, base)
    return replace(rows, y=-rows.y)


def vol_floored(self, name, base, true=Moves.methodology):
    return replace(true(self, name, base), vol_floor_up=base.vol_floor_up)


def vol_of_the_grid(self, name, base, true=Moves.methodology):
    return replace(true(self, name, base), vol_up=base.vol_up, vol_down=base.vol_down)


def rows_swapped(self, name, base, true=Moves.methodology):
    rows = true(self, name, base)
    return replace(rows, x=rows.x[::-1]) if name == "BTC" else rows


def unscaled(self, market, names):
    columns = [self.scenarios.underlyings.index(name) for name in names]
    return Moves(tuple(names), self.scenarios.dates, 0.01 * self.scenarios.x[:, columns], self.scenarios.y[:, columns])


def horizon_forgotten(self, market, names, true=Tail.moves):
    return true(replace(self, horizon=1.0), market, names)


def horizon_unrooted(self, market, names, true=Tail.moves):
    return true(replace(self, horizon=self.horizon**2), market, names)


DEFECTS = {
    "one row more in the tail": (tail, "tail_count", lambda alpha, rows: tail_count(alpha, rows) + 1),
    "one row less in the tail": (tail, "tail_count", lambda alpha, rows: max(tail_count(alpha, rows) - 1, 1)),
    "losses not sorted for a value": (tail, "value_at_risk", lambda losses, k: losses[k - 1]),
    "losses not sorted for a mean": (tail, "expected_shortfall", lambda losses, k: losses[:k].mean(axis=0)),
    "gains for losses": (tail, "expected_shortfall", lambda losses, k: expected_shortfall(-losses, k)),
    "mean over all rows": (tail, "expected_shortfall", lambda losses, k: np.sort(losses, 0)[-k:].sum(0) / len(losses)),
    "parts of other rows": (tail, "tail_rows", lambda losses, k: np.argsort(losses)[:k]),
    "sign of the vol move": (Moves, "methodology", vol_turned),
    "least vol of a rise": (Moves, "methodology", vol_floored),
    "vol ranges of the grid": (Moves, "methodology", vol_of_the_grid),
    "days that are not joint": (Moves, "methodology", rows_swapped),
    "no volatility of today": (Tail, "moves", unscaled),
    "no horizon": (Tail, "moves", horizon_forgotten),
    "horizon without its root": (Tail, "moves", horizon_unrooted),
    "no cap of a price": (tail, "PRICE_CAP", math.inf),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_noticed(defect, monkeypatch):
    check()
    owner, name, planted = DEFECTS[defect]
    monkeypatch.setattr(owner, name, planted)
    if hasattr(value_at_risk, name):
        monkeypatch.setattr(value_at_risk, name, planted)
    with pytest.raises(AssertionError):
        check()
