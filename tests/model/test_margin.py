"""Equity, liquidation cost and the reach of the defined-risk cap, by hand."""

from __future__ import annotations

import pytest

from python_model import exposure, methodology
from python_model.margin import assess
from python_model.portfolio import Book, Collateral, Kind, Mode
from tests.model.books import MARKET, book, future, option, perp

HOUSE = methodology.load("house")


def test_equity_by_hand():
    legs = (option("ETH", Kind.CALL, 30, 1.0, -2.0), perp("ETH", 3.0, 1900.0), future("BTC", 7, -0.5, 71_000.0))
    holdings = (Collateral(4.0, 2000.0, "ETH", 0.06, 0.04), Collateral(100.0, 1.0, None, 0.02, 0.01))
    row = assess(Book(Mode.PORTFOLIO, 5_000.0, holdings, legs), MARKET, HOUSE)
    value = -2.0 * float(exposure.leg_table("ETH", legs[:1], [], MARKET, HOUSE).option_value[0])
    profit = 3.0 * (2001.0 - 1900.0) - 0.5 * (70_049.0 - 71_000.0)
    assert row.option_value == pytest.approx(value)
    assert row.equity_initial == pytest.approx(5_000 + value + profit + 8_000 * 0.94 + 100 * 0.98)
    assert row.equity_maintenance == pytest.approx(5_000 + value + profit + 8_000 * 0.96 + 100 * 0.99)


def test_marks_are_prices_of_one_unit():
    assert exposure.mark(perp("ETH", 3.0, 1900.0), MARKET) == MARKET.underlyings["ETH"].perp_mark
    assert exposure.mark(future("BTC", 7, -0.5, 71_000.0), MARKET) == 70_049.0
    legs = (option("ETH", Kind.CALL, 30, 1.0, -2.0), option("ETH", Kind.PUT, 180, 1.2, 3.0))
    value = sum(p.size * exposure.mark(p, MARKET) for p in legs)
    assert assess(book(*legs), MARKET, HOUSE).option_value == pytest.approx(value)


def test_liquidation_cost_by_hand():
    legs = [option("ETH", Kind.CALL, 30, 1.0, 5_000.0), option("ETH", Kind.PUT, 180, 1.0, -4_000.0)]
    row = assess(book(*legs), MARKET, HOUSE)
    vegas = [p.size * float(exposure.leg_table("ETH", [p], [], MARKET, HOUSE).vega[0]) for p in legs]
    points = 0.01 * sum(abs(vega) for vega in vegas)
    delta = abs(row.greeks["ETH"]["delta"]) * 2000.0
    expected = delta * 0.0005 * (1 + delta / 20e6) + points * 0.5 * (1 + points / 200e3)
    assert row.charges["ETH"].liquidity == pytest.approx(expected)


@pytest.mark.parametrize("collateral", [(), (Collateral(1e-6, 70_000.0, "BTC"),)])
def test_one_leg_that_is_no_option_lifts_the_cap(collateral):
    others = () if collateral else (perp("BTC", 1e-6),)
    long_call = option("ETH", Kind.CALL, 1, 1.0, 1.0)
    row = assess(book(long_call, *others, collateral=collateral), MARKET, HOUSE)
    charges = row.charges["ETH"]
    uncapped = 1.25 * (charges.scan + charges.liquidity) + charges.confidence
    assert uncapped > row.option_value
    # The other leg is worth seven cents.
    assert row.initial == pytest.approx(uncapped, abs=0.1)
