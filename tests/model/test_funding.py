"""Funding of the model against figures worked out by hand, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import funding
from python_model.portfolio import Book, Kind, Market, Mode, Position, Underlying, net, unrealised

PERIOD = funding.PERIOD_SECONDS
TIMES = np.array([0, 3600, 7200], dtype=np.int64)
SPOT = np.array([2000.0, 2000.0, 1000.0])
MARK = np.array([2004.0, 1900.0, 1001.0])


def accumulated(at, heartbeat=10**6):
    return funding.accumulated(TIMES, MARK, SPOT, np.asarray(at), heartbeat)


def test_the_premium_is_clamped_on_both_sides():
    assert funding.premium(np.array([2000.0, 2007.0, 2011.0, 1993.0, 1900.0]), 2000.0) == pytest.approx(
        [0.0, 7.0, 10.0, -7.0, -10.0], abs=0.0
    )


def test_each_state_pays_while_it_is_in_force():
    # An eighth of 4, then of -10, then of 1 for each hour; doubles of a few units.
    want = [0.0, 0.0, 0.25, 0.5, -0.125, -0.75, -0.625]
    assert accumulated([-5, 0, 1800, 3600, 5400, 7200, 10_800]) == pytest.approx(want, abs=1e-15)


def test_a_state_pays_no_longer_than_the_heartbeat():
    assert accumulated([899, 900, 901, 3600, 3600 + 900, 10**9], 900) == pytest.approx(
        [4 * 899 / PERIOD, 0.125, 0.125, 0.125, 0.125 - 0.3125, 0.125 - 0.3125 + 0.03125], abs=1e-15
    )


courses = st.lists(
    st.tuples(st.integers(1, 10_000), st.floats(1e-6, 1e8), st.floats(0.9, 1.1)), min_size=1, max_size=8
).map(
    lambda rows: (
        np.cumsum([r[0] for r in rows]),
        np.array([r[1] * r[2] for r in rows]),
        np.array([r[1] for r in rows]),
    )
)


@given(course=courses, at=st.integers(0, 100_000), heartbeat=st.integers(0, 20_000))
def test_it_is_bounded_by_half_a_percent_of_spot_in_a_period(course, at, heartbeat):
    times, mark, spot = course
    seconds = min(max(at - times[0], 0), heartbeat * len(times))
    # 1e-12: roundings of the sum, relative.
    limit = funding.MAX_PREMIUM * spot.max() * seconds / PERIOD * (1 + 1e-12)
    assert abs(float(funding.accumulated(times, mark, spot, at, heartbeat))) <= limit


@given(course=courses, at=st.integers(0, 100_000), split=st.integers(1, 9_999))
def test_publishing_a_state_again_changes_nothing_while_it_is_fresh(course, at, split):
    times, mark, spot = course
    again = times[0] + split
    if len(times) > 1 and again >= times[1]:
        return
    twice = [np.insert(x, 1, y) for x, y in ((times, again), (mark, mark[0]), (spot, spot[0]))]
    once = float(funding.accumulated(times, mark, spot, at, 10**6))
    # Doubles: 1e-12 of what the two parts are at most.
    scale = funding.MAX_PREMIUM * spot.max() * 1e5 / PERIOD * len(times)
    assert float(funding.accumulated(twice[0], twice[1], twice[2], at, 10**6)) == pytest.approx(once, abs=1e-12 * scale)


def test_a_perp_is_worth_its_mark_less_what_it_has_paid():
    market = Market(0, {"ETH": Underlying(2000.0, 0.0, 0.16, 2004.0, (), 3.0)})
    # Bought at 1990 when 1 had been paid: 14 on the price, less 2.
    positions = (Position("ETH", Kind.PERP, 2.0, entry=1990.0 - 1.0), Position("ETH", Kind.PERP, -2.0))
    assert unrealised(positions, market) == 24.0
    assert unrealised(net((*positions, positions[0]), market), market) == 48.0
    assert Book(Mode.PORTFOLIO, 0.0, (), positions).positions == positions
