"""Charges from exposures, against the same arithmetic on Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.wide import integers

WAD = 10**18

# Money from nothing to 1e12 USD of either sign, 1e-18.
money = st.one_of(integers(-(10**30), 10**30), integers(-3, 3), integers(-(10**18), 10**18))
amounts = money.map(abs)


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


# --- worst -----------------------------------------------------------------------------------------------------------


@given(pnl=st.lists(st.one_of(money, integers(-2, 2)), max_size=64))
def test_worst_is_the_first_scenario_of_the_least_profit(harness, now, pnl):
    expected = pnl.index(min(pnl)) if pnl else 0
    assert chain.call_at(harness.aggregation_worst, now, pnl) == expected


# --- offset_charge, liquidation_cost ---------------------------------------------------------------------------------


@given(longs=amounts, shorts=amounts, rate=integers(0, WAD))
def test_offset_charge(harness, now, longs, shorts, rate):
    assert (
        chain.call_at(harness.aggregation_offset_charge, now, longs, shorts, rate) == min(longs, shorts) * rate // WAD
    )


@given(amount=amounts, rate=integers(0, 100 * WAD), depth=integers(1, 10**15).map(lambda n: n * WAD))
def test_liquidation_cost(harness, now, amount, rate, depth):
    cost = chain.call_at(harness.aggregation_liquidation_cost, now, amount, rate, depth)
    exact = Fraction(amount * rate, WAD) * (1 + Fraction(amount, depth))
    # Three divisions gain less than a unit each, one of them times the rest: 1 + amount / depth, the other the spread.
    gained = 1 + (1 + Fraction(amount, depth)) + Fraction(amount * rate + WAD, WAD * WAD)
    assert exact <= cost < exact + gained


@given(amount=amounts, depth=integers(1, 10**9).map(lambda n: n * WAD))
def test_liquidation_cost_grows_faster_than_in_proportion(harness, now, amount, depth):
    rate = 5 * 10**14
    one, two = (chain.call_at(harness.aggregation_liquidation_cost, now, n * amount, rate, depth) for n in (1, 2))
    gained = 1 + (1 + Fraction(amount, depth)) + Fraction(amount * rate + WAD, WAD * WAD)
    assert two >= 2 * one - 2 * gained


def test_liquidation_cost_doubles_at_the_depth(harness, now):
    assert chain.call_at(harness.aggregation_liquidation_cost, now, 20_000_000 * WAD, 5 * 10**14, 20_000_000 * WAD) == (
        20_000 * WAD
    )
