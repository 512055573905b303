"""Crashes under three margin modes: what is simulated obeys the rules it says, and money is neither made nor lost."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from python_model import cascade, history, methodology, screening
from python_model.cascade import REGIMES, Course, Freed, Regime, Settings
from python_model.portfolio import Book, Kind, Mode, Position
from python_model.volatility import State, Terms
from scripts.cascade import cli

HOUSE, TERMS = methodology.load("house"), Terms()
FEW = Settings(traders=120)
ISOLATED = REGIMES[0]
KEPT, WITHDRAWN, LEVERED = (Regime(Mode.PORTFOLIO, freed) for freed in Freed)


@pytest.fixture(scope="module")
def week() -> Course:
    """The hours around the fall of the week that ships: ETH, 12 March 2020."""
    shipped = history.read_week()
    whole = Course(shipped.series.times, {"ETH": shipped.series.close}, {"ETH": shipped.start})
    return cascade.cut(whole, 72, 100, TERMS)


def calm(hours: int, factor: float = 1.0) -> Course:
    """ETH at 2,000 USD and BTC at 60,000, multiplied by a factor from the second hour on."""
    times = 1_700_000_000 + 3_600 * np.arange(hours)
    move = np.where(np.arange(hours) == 0, 1.0, factor)
    prices = {"BTC": 60_000.0 * move, "ETH": 2_000.0 * move}
    return Course(times, prices, {n: State.first(int(times[0]), float(p[0]), TERMS) for n, p in prices.items()})


def outcomes(hours: Course, settings: Settings = FEW) -> dict[Regime, cascade.Outcome]:
    """All regimes."""
    return {r: cascade.run(r, hours, HOUSE, settings, TERMS) for r in REGIMES}


GAP = calm(6, 0.72)


@pytest.fixture(scope="module")
def crashed() -> dict[Regime, cascade.Outcome]:
    """All regimes through a fall of 28% in an hour, almost twice the scan range."""
    return outcomes(GAP)


def test_nothing_happens_in_a_calm_market():
    for o in outcomes(calm(4)).values():
        assert (o.liquidated, o.sold, o.debt, o.depth, o.fall) == (0, 0.0, 0.0, 0, 0.0)
        assert o.price.tolist() == o.plain.tolist() == [2_000.0] * 4


def test_capital_is_what_each_regime_says(crashed):
    capital = {r: o.capital for r, o in crashed.items()}
    assert all(
        c == pytest.approx(capital[ISOLATED], rel=1e-9) for r, c in capital.items() if r.freed is not Freed.WITHDRAWN
    )
    assert capital[WITHDRAWN] < 0.75 * capital[ISOLATED]
    assert capital[Regime(Mode.CROSS, Freed.WITHDRAWN)] == pytest.approx(capital[ISOLATED], rel=0.05)
    notional = {r: o.notional for r, o in crashed.items()}
    assert notional[KEPT] == pytest.approx(notional[WITHDRAWN]) and notional[LEVERED] > 1.2 * notional[KEPT]


def test_traders_have_the_initial_margin_of_their_mode_and_a_buffer(week):
    at = cascade.market(week.start, int(week.times[0]), [int(week.times[0]) + d * 86_400 for d in cascade.TENORS])
    people = cascade.traders(at, FEW)
    for regime in REGIMES:
        s = cascade.stage(people, regime, at, HOUSE, FEW)
        figures = screening.reprice(s.books, at, (), HOUSE)
        assert np.all(figures.equity_initial >= figures.initial * (1 - 1e-9)), regime.words
        assert s.capital == pytest.approx(figures.net_value.sum())
        if regime == LEVERED:
            plain = cascade.stage(people, KEPT, at, HOUSE, FEW)
            growth = np.abs(s.books.size) / np.abs(plain.books.size)
            assert growth.max() == pytest.approx(FEW.most) and growth.min() > 0.99


def test_a_gap_is_ordered_as_leverage_is(crashed):
    # The same capital on the same books: offsets only help.
    assert crashed[KEPT].liquidated < crashed[WITHDRAWN].liquidated
    assert 0.0 < crashed[KEPT].debt < crashed[WITHDRAWN].debt
    assert crashed[KEPT].liquidated < crashed[ISOLATED].liquidated
    # More risk on it costs somebody.
    assert crashed[LEVERED].debt > crashed[KEPT].debt
    assert crashed[LEVERED].fall > crashed[KEPT].fall


def test_who_pays_adds_up(crashed):
    for o in crashed.values():
        assert o.paid + o.shortfall == pytest.approx(o.debt) and o.shortfall >= 0.0
        assert o.debts[-1] == o.debt and np.all(np.diff(o.debts) >= 0.0)
        assert o.given == pytest.approx(o.sold * (FEW.discount + FEW.fee))
        assert 0 < o.liquidated <= FEW.traders and o.depth >= 1
        assert o.plain.tolist() == GAP.prices["ETH"].tolist()


def test_without_a_backstop_nobody_pays():
    o = cascade.run(ISOLATED, GAP, HOUSE, replace(FEW, backstop=0.0, fee=0.0), TERMS)
    assert o.paid == 0.0 and o.shortfall == o.debt > 0.0


def test_the_week_that_ships_ends_without_debts_for_those_who_keep_their_capital(week):
    o = cascade.run(KEPT, week, HOUSE, FEW, TERMS)
    assert o.plain.min() < 0.55 * o.plain[0] and 0.2 * FEW.traders < o.liquidated < 0.6 * FEW.traders
    assert o.debt < 1e-3 * o.capital


def test_without_impact_there_is_no_cascade(week):
    o = cascade.run(ISOLATED, week, HOUSE, replace(FEW, impact=1e-12), TERMS)
    deep = cascade.run(ISOLATED, week, HOUSE, replace(FEW, impact=0.3), TERMS)
    assert o.depth == 1 and o.fall < 1e-9 and np.allclose(o.price, o.plain, rtol=1e-9)
    assert deep.depth > 3 and deep.fall > 0.05 and deep.liquidated >= o.liquidated
    assert deep.price.min() < o.price.min()


def test_a_slice_leaves_an_account_at_initial_margin_and_the_rest_of_its_money():
    hours = calm(1)
    at = cascade.market(hours.start, int(hours.times[0]), [int(hours.times[0]) + d * 86_400 for d in cascade.TENORS])
    legs = (
        Position("ETH", Kind.PERP, 10.0),
        Position("ETH", Kind.CALL, -4.0, at.underlyings["ETH"].expiries[0].expiry, 2_100.0),
    )
    need = screening.reprice(screening.gather([Book(Mode.PORTFOLIO, 0.0, (), legs)], at, ()), at, (), HOUSE)
    equity = np.array([0.9, 1.1, 0.001, -0.5]) * need.maintenance[0]
    books = screening.gather([Book(Mode.PORTFOLIO, float(e - need.net_value[0]), (), legs) for e in equity], at, ())
    figures = screening.reprice(books, at, (), HOUSE)
    sale = cascade.sell(books, figures, FEW)
    after = screening.reprice(sale.books, at, (), HOUSE)
    assert sale.accounts.tolist() == [0, 2, 3]
    # M-12 grows faster than the book: what is left needs a trifle less.
    assert after.equity_initial[0] / after.initial[0] == pytest.approx(1.0, abs=1e-3) and after.initial[0] > 0.0
    assert after.net_value[1] == pytest.approx(equity[1]) and after.initial[2] == after.initial[3] == 0.0
    part = 1.0 - after.initial[0] / figures.initial[0]
    assert after.net_value[0] == pytest.approx(equity[0] * (1.0 - 0.05 * part), rel=1e-3)
    # Nearly nothing is sold whole; a debt is taken over with what closing costs.
    assert after.net_value[2] == pytest.approx(equity[2] * 0.95) and after.net_value[3] == 0.0
    assert sale.debt == pytest.approx(figures.liquidity[3] - equity[3])
    assert sale.fee == pytest.approx(sale.sold * 0.01)
    assert sale.delta[1] == pytest.approx((part + 2.0) * figures.delta[0, 1], rel=1e-3) and sale.delta[0] == 0.0


def test_the_vol_of_a_wild_market():
    assert cascade.implied_vol(0.01**2) == 0.70
    assert cascade.implied_vol(0.10**2) == pytest.approx(0.35 + 0.5 * 0.10 * math.sqrt(365))


def test_a_course_starts_where_the_past_led(week):
    shipped = history.read_week()
    series = shipped.series
    assert week.times.tolist() == series.times[72:100].tolist()
    assert week.prices["ETH"].tolist() == series.close[72:100].tolist()
    state = week.start["ETH"]
    assert (state.time, state.price) == (int(series.times[72]), float(series.close[72]))
    # From a whole series, without a state to start from, the path of `volatility` says the same.
    got = cascade.course([series], 72, 100, TERMS)
    default = State.first(int(series.times[0]), float(series.close[0]), TERMS)
    whole = Course(series.times, {series.name: series.close}, {series.name: default})
    want = cascade.cut(whole, 72, 100, TERMS).start[series.name]
    assert got.start[series.name].variance == pytest.approx(want.variance, rel=1e-9)
    later = int(series.times[75])
    assert got.start[series.name].scan_range(later) == pytest.approx(want.scan_range(later), rel=1e-9)


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_report_of_the_week_that_ships(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.cascade.ROOT", tmp_path / "project")
    out = tmp_path / "cascade.html"
    result = CliRunner().invoke(cli, ["--out", str(out), "--traders", "60"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,iVBORw0KGgo") == 2
    for regime in REGIMES:
        assert regime.words in result.output and regime.words in text
    assert "From 12 Mar 2020" in result.output and "60 traders" in result.output


def test_prices_that_are_not_there_are_named(tmp_path):
    result = CliRunner().invoke(cli, ["--data", str(tmp_path), "--out", str(tmp_path / "x.html")])
    assert result.exit_code == 1
    assert "eth_usdt_1h.parquet: is absent" in result.output and "leave --data out" in result.output
