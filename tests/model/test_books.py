"""The named strategies are what their names say, on every recorded market."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from python_model import books, margin, methodology
from python_model.case import read_market
from python_model.exposure import exposure, leg_table
from python_model.portfolio import Book, Kind, Market, net

HOUSE = methodology.load("house")
MARKETS = {name: read_market(f"eth-btc-2026-02-{name}") for name in ("02", "05", "06")}
# Sums of a dozen products of doubles of up to 1e6 USD: their noise is below 1e-9.
NOISE = 1e-9


@pytest.fixture(params=MARKETS, ids=lambda name: f"{name} February")
def market(request: pytest.FixtureRequest) -> Market:
    return MARKETS[request.param]


def assess(book: Book, market: Market) -> margin.Assessment:
    return margin.assess(book, market, HOUSE)


def eth(book: Book, market: Market) -> dict[str, float]:
    """Greeks in ETH."""
    return assess(book, market).greeks["ETH"]


def most_lost(book: Book, market: Market) -> float:
    """The most that an options-only book can lose (M-14), USD."""
    return exposure(leg_table("ETH", net(book.positions, market), [], market, HOUSE), HOUSE).most_lost


def after_a_move(book: Book, market: Market, move: float) -> float:
    """Profit after a move of prices by this share, vols unchanged, USD."""
    alone = {"y": np.zeros(1), "z": np.zeros(1), "g": np.ones(1)}
    tables = margin.leg_tables(book, market, replace(HOUSE, x=np.array([move]), scan_range=1.0, **alone))
    return sum((t.change @ t.size).item() for t in tables.values())


@pytest.mark.parametrize("strategy", books.STRATEGIES, ids=lambda s: s.name)
def test_a_book_can_be_traded_as_it_stands(strategy: books.Strategy, market: Market) -> None:
    book = strategy.build(market)
    assert len(net(book.positions, market)) == len(book.positions), "no instrument twice, none of size zero"
    for p in book.positions:
        if p.expiry is not None:
            assert market.underlyings[p.underlying].at(p.expiry).expiry > market.as_of
        if p.strike is not None:
            step = {"ETH": 50.0, "BTC": 500.0}[p.underlying]
            assert p.strike > 0 and p.strike % step == 0
        assert round(p.size, 6) == p.size


@pytest.mark.parametrize("strategy", books.STRATEGIES, ids=lambda s: s.name)
def test_portfolio_mode_never_needs_more_than_cross_nor_cross_than_isolated(
    strategy: books.Strategy, market: Market
) -> None:
    need = assess(strategy.build(market), market).capital
    assert need.portfolio <= need.cross + NOISE
    assert need.cross <= need.isolated + NOISE


def test_names_are_unique() -> None:
    assert len({s.name for s in books.STRATEGIES}) == len(books.STRATEGIES) == 8


def test_a_long_call_gains_with_price_and_vol_and_loses_no_more_than_its_premium(market: Market) -> None:
    book = books.long_call(market)
    g, figures = eth(book, market), assess(book, market)
    assert 0 < g["delta"] < books.UNITS and g["gamma"] > 0 and g["vega"] > 0 and g["theta"] < 0
    assert most_lost(book, market) == pytest.approx(figures.option_value, abs=NOISE)
    assert figures.initial <= figures.option_value + NOISE
    assert figures.capital.portfolio <= NOISE


def test_a_covered_call_is_covered(market: Market) -> None:
    book = books.covered_call(market)
    (call,), (ether,) = book.positions, book.collateral
    assert call.kind is Kind.CALL and call.size == -ether.amount and ether.underlying == "ETH"
    assert 0 < eth(book, market)["delta"] < ether.amount, "less than the ETH, but never short"
    alone = replace(book, positions=())
    # Below the strike it loses less than ETH alone; above, it never loses at all.
    for move in (-0.6, -0.3, -0.1):
        assert after_a_move(alone, market, move) < after_a_move(book, market, move) < 0
    for move in (0.1, 0.5, 3.0):
        assert after_a_move(book, market, move) > 0
    assert assess(book, market).maintenance < assess(alone, market).maintenance


def test_a_short_straddle_has_little_delta_and_loses_on_either_side_without_bound(market: Market) -> None:
    book = books.short_straddle(market)
    assert {p.kind for p in book.positions} == {Kind.CALL, Kind.PUT}
    assert len({(p.strike, p.expiry) for p in book.positions}) == 1
    g = eth(book, market)
    assert abs(g["delta"]) < 0.15 * books.UNITS and g["gamma"] < 0 and g["vega"] < 0 and g["theta"] > 0
    assert after_a_move(book, market, -0.25) < 0 and after_a_move(book, market, 0.25) < 0
    assert most_lost(book, market) == float("inf")


def test_an_iron_condor_loses_no_more_than_the_width_of_one_side(market: Market) -> None:
    book = books.iron_condor(market)
    low, near_put, near_call, high = sorted(book.positions, key=lambda p: p.strike or 0.0)
    assert [p.kind for p in (low, near_put, near_call, high)] == [Kind.PUT, Kind.PUT, Kind.CALL, Kind.CALL]
    assert [np.sign(p.size) for p in (low, near_put, near_call, high)] == [1, -1, -1, 1]
    width = books.UNITS * max(near_put.strike - low.strike, high.strike - near_call.strike)
    figures = assess(book, market)
    assert figures.option_value < 0, "it is sold for a premium"
    # The most lost from now on is the width less the premium, which is already received.
    assert most_lost(book, market) == pytest.approx(width + figures.option_value, abs=NOISE)
    assert figures.initial <= width + figures.option_value + NOISE


def test_a_synthetic_future_offsets_its_perp(market: Market) -> None:
    book = books.synthetic_future(market)
    g = eth(book, market)
    # A call less a put of one strike is a future: by parity its value is linear in the forward (rates are zero here).
    assert abs(g["delta"]) < 0.01 * books.UNITS
    assert abs(g["gamma"]) < NOISE and abs(g["vega"]) < 1e-6
    figures = assess(book, market)
    assert figures.capital.portfolio < 0.2 * figures.capital.cross


def test_a_calendar_spread_sells_near_and_buys_far_at_one_strike(market: Market) -> None:
    book = books.calendar_spread(market)
    near, far = sorted(book.positions, key=lambda p: p.expiry or 0)
    assert near.strike == far.strike and near.size == -far.size < 0 and near.kind is far.kind is Kind.CALL
    g = eth(book, market)
    assert g["vega"] > 0 and g["gamma"] < 0 and g["theta"] > 0
    assert assess(book, market).option_value > 0


def test_an_eth_btc_spread_has_the_same_value_on_both_sides(market: Market) -> None:
    book = books.eth_btc_spread(market)
    value = {}
    for p in book.positions:
        value[p.underlying] = p.size * market.underlyings[p.underlying].at(p.expiry or 0).forward
    assert value["ETH"] > 0 > value["BTC"]
    # BTC is traded in thousandths: half of one is the rounding.
    assert abs(value["ETH"] + value["BTC"]) <= 0.0005 * market.underlyings["BTC"].spot * 1.1
    assert after_a_move(book, market, -0.2) == pytest.approx(0, abs=0.0005 * market.underlyings["BTC"].spot)


def test_a_market_maker_holds_32_legs_bought_and_sold_without_delta(market: Market) -> None:
    book = books.market_maker(market)
    assert len(book.positions) == 32
    for name in ("ETH", "BTC"):
        legs = [p for p in book.positions if p.underlying == name]
        options = [p for p in legs if p.kind.is_option]
        assert len(options) == 15 and len({p.expiry for p in options}) == 3
        assert [p.kind for p in legs if not p.kind.is_option] == [Kind.PERP]
        assert any(p.size > 0 for p in options) and any(p.size < 0 for p in options)
        # The hedge is rounded to thousandths.
        assert abs(books.delta(book.positions, name, market)) <= 0.0005 + NOISE
    need = assess(book, market).capital
    assert need.portfolio < 0.25 * need.cross, "most of its risks offset each other"


def test_a_strike_is_the_nearest_round_one() -> None:
    assert books.round_strike(2378.0, 1.1) == 2600.0
    assert books.round_strike(79_127.0, 0.9) == 71_000.0
    assert books.round_strike(99.0, 1.0) == 99.0
