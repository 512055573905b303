"""Charges from exposures, against the same arithmetic on Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import exposure
from scripts import chain

WAD = 10**18
CALL, PUT = chain.KINDS["call"], chain.KINDS["put"]

# Money from nothing to 1e12 USD of either sign, 1e-18.
money = st.one_of(st.integers(-(10**30), 10**30), st.integers(-3, 3), st.integers(-(10**18), 10**18))
amounts = money.map(abs)


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


# --- worst -----------------------------------------------------------------------------------------------------------


@given(pnl=st.lists(money, max_size=64))
def test_worst_is_the_largest_loss_and_its_first_scenario(harness, now, pnl):
    expected = (max(0, -min(pnl)), pnl.index(min(pnl))) if pnl else (0, 0)
    assert tuple(chain.call_at(harness.aggregation_worst, now, pnl)) == expected


@given(a=st.lists(money, min_size=1, max_size=64), data=st.data())
def test_worst_is_sub_additive(harness, now, a, data):
    """INV-07 of its smallest part, exactly."""
    b = data.draw(st.lists(money, min_size=len(a), max_size=len(a)))
    both = [x + y for x, y in zip(a, b, strict=True)]
    together, one, other = (chain.call_at(harness.aggregation_worst, now, pnl)[0] for pnl in (both, a, b))
    assert together <= one + other


# --- offset_charge, liquidation_cost ---------------------------------------------------------------------------------


@given(longs=amounts, shorts=amounts, rate=st.integers(0, WAD))
def test_offset_charge(harness, now, longs, shorts, rate):
    assert (
        chain.call_at(harness.aggregation_offset_charge, now, longs, shorts, rate) == min(longs, shorts) * rate // WAD
    )


@given(amount=amounts, rate=st.integers(0, 100 * WAD), depth=st.integers(1, 10**15).map(lambda n: n * WAD))
def test_liquidation_cost(harness, now, amount, rate, depth):
    cost = chain.call_at(harness.aggregation_liquidation_cost, now, amount, rate, depth)
    exact = Fraction(amount * rate, WAD) * (1 + Fraction(amount, depth))
    # Three divisions lose less than a unit each, one of them times the rest: 1 + amount / depth, the other the spread.
    lost = 1 + (1 + Fraction(amount, depth)) + Fraction(amount * rate, WAD * WAD)
    assert exact - lost < cost <= exact


@given(amount=amounts, depth=st.integers(1, 10**9).map(lambda n: n * WAD))
def test_liquidation_cost_grows_faster_than_in_proportion(harness, now, amount, depth):
    rate = 5 * 10**14
    one, two = (chain.call_at(harness.aggregation_liquidation_cost, now, n * amount, rate, depth) for n in (1, 2))
    lost = 1 + (1 + Fraction(amount, depth)) + Fraction(amount * rate, WAD * WAD)
    assert two >= 2 * one - 2 * lost


def test_liquidation_cost_doubles_at_the_depth(harness, now):
    assert chain.call_at(harness.aggregation_liquidation_cost, now, 20_000_000 * WAD, 5 * 10**14, 20_000_000 * WAD) == (
        20_000 * WAD
    )


# --- least_payoff ----------------------------------------------------------------------------------------------------


@st.composite
def options(draw: st.DrawFn, greatest: int = 9 * 10**18) -> list[tuple[int, int, int]]:
    """Strike, kind and size of options of one expiry, no instrument twice."""
    sizes = st.one_of(st.integers(-5, 5), st.integers(-greatest, greatest)).filter(bool)
    strikes = st.one_of(st.integers(1, 20), st.integers(1, greatest))
    rows = draw(st.dictionaries(st.tuples(strikes, st.sampled_from([CALL, PUT])), sizes, min_size=1, max_size=12))
    return sorted((strike, kind, size) for (strike, kind), size in rows.items())


def words(rows: list[tuple[int, int, int]]) -> list[int]:
    return [chain.pack(1, 2_000_000_000, strike, kind, size) for strike, kind, size in rows]


def payoff(rows: list[tuple[int, int, int]], terminal: int) -> int:
    """At a terminal price of 1e-6 units, in 1e-12."""
    return sum(size * max(terminal - strike if kind == CALL else strike - terminal, 0) for strike, kind, size in rows)


@given(rows=options())
def test_least_payoff_is_exact(harness, now, rows):
    least, bounded = chain.call_at(harness.aggregation_least_payoff, now, words(rows), 0, len(rows))
    # Linear between strikes: nowhere can it be less than at zero and at the strikes, but at infinity.
    assert least == min(payoff(rows, terminal) for terminal in [0, *(strike for strike, _, _ in rows)]) * 10**6
    assert bounded == (sum(size for _, kind, size in rows if kind == CALL) >= 0)


@given(rows=options(), terminal=st.integers(0, 10**19))
def test_no_terminal_price_pays_less(harness, now, rows, terminal):
    least, bounded = chain.call_at(harness.aggregation_least_payoff, now, words(rows), 0, len(rows))
    if bounded:
        assert payoff(rows, terminal) * 10**6 >= least


@given(rows=options(greatest=2**20))
def test_least_payoff_is_that_of_the_model(harness, now, rows):
    least, bounded = chain.call_at(harness.aggregation_least_payoff, now, words(rows), 0, len(rows))
    strike, kind, size = (np.array(column, float) for column in zip(*rows, strict=True))
    expected = exposure.least_payoff(size, strike, kind == CALL)
    # Doubles hold products of such numbers exactly.
    assert (least == int(expected) * 10**6) if bounded else (expected == -float("inf"))


def test_only_the_legs_between_first_and_end_count(harness, now):
    rows = [(100, PUT, -1), (200, CALL, 1), (300, PUT, -1)]
    legs = words(rows)
    assert tuple(chain.call_at(harness.aggregation_least_payoff, now, legs, 1, 2)) == (0, True)
    assert tuple(chain.call_at(harness.aggregation_least_payoff, now, legs, 0, 1)) == (-100 * 10**6, True)
    assert tuple(chain.call_at(harness.aggregation_least_payoff, now, legs, 1, 1)) == (0, True)


def test_an_iron_condor_loses_its_width(harness, now):
    rows = [(90, PUT, 1), (95, PUT, -1), (105, CALL, -1), (110, CALL, 1)]
    assert tuple(chain.call_at(harness.aggregation_least_payoff, now, words(rows), 0, 4)) == (-5 * 10**6, True)
