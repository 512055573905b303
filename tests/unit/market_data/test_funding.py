"""What longs of the perpetual pay: the premium, clamped, second by second, while the data are fresh (INV-12)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import funding
from tests.unit.market_data.course import (
    LATE,
    PERIOD,
    USD,
    Course,
    State,
    arrays,
    funding_tolerance,
    marked_courses,
)
from tests.unit.market_data.updates import DAY, HEARTBEAT, NOW, Terms

SPOT = 2000 * USD
# 0.5% of spot.
LIMIT = 10 * USD


@pytest.fixture
def course(market_data, publisher, ape_chain):
    ape_chain.pending_timestamp = LATE
    return Course(market_data, publisher)


def test_nothing_is_paid_before_the_first_state(course):
    assert course.funding(NOW) == 0
    course.publish(State(NOW, SPOT, SPOT + USD))
    assert course.funding(NOW) == 0


@pytest.mark.parametrize("premium", [3 * USD, -7 * USD])
def test_a_long_pays_the_premium_every_eight_hours(course, market_data, owner, premium):
    market_data.set_terms(2, Terms(heartbeat_seconds=PERIOD), sender=owner)
    course.publish(State(NOW, SPOT, SPOT + premium))
    assert course.funding(NOW + PERIOD) == premium * 10**9
    # Second by second.
    assert course.funding(NOW + PERIOD // 4) == premium * 10**9 // 4


@pytest.mark.parametrize("sign", [1, -1])
def test_the_premium_is_at_most_half_a_percent_of_spot(course, market_data, owner, sign):
    market_data.set_terms(2, Terms(heartbeat_seconds=PERIOD), sender=owner)
    start = NOW
    paid = []
    for premium in (LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 500 * USD):
        course.publish(State(start, SPOT, SPOT + sign * premium))
        paid.append(course.funding(start + PERIOD) - course.funding(start))
        start += PERIOD
    assert paid == [sign * least * 10**9 for least in (LIMIT - 1, LIMIT, LIMIT, LIMIT)]


@pytest.mark.parametrize("gap", [1, HEARTBEAT - 1, HEARTBEAT, HEARTBEAT + 1, 9 * DAY])
def test_funding_is_continuous_and_stops_with_the_heartbeat(course, gap):
    course.publish(State(NOW, SPOT, SPOT + USD))
    before = course.funding(NOW + gap)
    assert before == 10**18 * min(gap, HEARTBEAT) // PERIOD // 10**6 * 10**6
    course.publish(State(NOW + gap, SPOT, SPOT - USD))
    assert course.funding(NOW + gap) == before
    assert course.funding(NOW + gap + 30) < before


def test_another_heartbeat_changes_nothing_of_what_was_paid(course, market_data, owner):
    """INV-14: nobody is charged for an outage in hindsight."""
    course.publish(State(NOW, SPOT, SPOT + USD))
    paid = course.funding(NOW + 9 * DAY)
    for heartbeat in (0, 7 * DAY):
        market_data.set_terms(2, Terms(heartbeat_seconds=heartbeat), sender=owner)
        assert course.funding(NOW + 9 * DAY) == paid
    course.publish(State(NOW + 9 * DAY, SPOT, SPOT + USD))
    assert course.funding(NOW + 9 * DAY) == paid
    assert course.funding(NOW + 20 * DAY) == 10**18 * (HEARTBEAT + 7 * DAY) // PERIOD // 10**6 * 10**6


@pytest.mark.parametrize("sign", [1, -1])
def test_it_does_not_matter_how_often_a_state_is_published(course, sign):
    """Not to the last unit, though a part of it is lost in each division."""
    mark = SPOT + sign * 1_234_567
    often = Course(course.market_data, course.publisher, 3)
    course.publish(State(NOW, SPOT, mark))
    for second in range(0, 70, 7):
        often.publish(State(NOW + second, SPOT, mark))
    assert course.funding(NOW + 77) == often.funding(NOW + 77) != 0


@pytest.mark.parametrize("sign", [1, -1])
def test_it_is_a_multiple_of_a_millionth_of_a_millionth_truncated(course, sign):
    # 1e-9 USD for 28 and 29 of 28,800 seconds: 0.97 and 1.007 of 1e-12 USD.
    course.publish(State(NOW, SPOT, SPOT + sign))
    assert course.funding(NOW + 28) == 0
    assert course.funding(NOW + 29) == sign * 10**6


def test_underlyings_pay_apart(course):
    other = Course(course.market_data, course.publisher, 3)
    course.publish(State(NOW, SPOT, SPOT + USD))
    other.publish(State(NOW, SPOT, SPOT - USD))
    assert course.funding(NOW + 300) == -other.funding(NOW + 300) > 0
    assert Course(course.market_data, course.publisher, 4).funding(NOW + 300) == 0


def test_a_time_before_the_state_pays_nothing_of_it(course):
    course.publish(State(NOW, SPOT, SPOT + USD))
    course.publish(State(NOW + 60, SPOT, SPOT + USD))
    assert course.funding(NOW + 30) == course.funding(NOW + 60) > 0


@given(states=marked_courses(HEARTBEAT), after=st.integers(0, 2 * HEARTBEAT))
def test_contract_and_model_agree(market_data, publisher, ape_chain, states, after):
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        course: Any = Course(market_data, publisher)
        tolerance = funding_tolerance(states, HEARTBEAT)
        times, spot, mark = arrays(states)
        for state in states:
            course.publish(state)
            time = state.time + after
            known = times <= state.time
            model = float(funding.accumulated(times[known], mark[known], spot[known], time, HEARTBEAT))
            assert abs(course.funding(time) / 1e18 - model) <= tolerance
            assert course.funding(time) % 10**6 == 0
