"""The scan range that follows volatility: the average by a direct sum, the target's bounds, and what never happens."""

from __future__ import annotations

import doctest
import math
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import volatility
from python_model.volatility import DAY, State, Terms

TERMS = Terms()
HOUR = 3600
# Doubles of numbers up to 1, over the few dozen sums of a test.
ROUNDING = 1e-14
START = State.first(0, 2000.0, TERMS)

terms = st.builds(
    lambda multiple, halflife, floor, width, initial, rise, fall: Terms(
        multiple, halflife * HOUR, floor, floor + width, floor + initial * width, rise / HOUR, fall / HOUR
    ),
    st.floats(0.5, 10.0),
    st.floats(1.0, 500.0),
    st.floats(0.02, 0.5),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.99),
    st.floats(1e-4, 0.1),
    st.floats(1e-4, 0.1),
)
# Seconds, and by how much the price moves.
courses = st.lists(st.tuples(st.integers(1, 5 * DAY), st.floats(-0.7, 0.7)), min_size=1, max_size=20)


def path(course: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Times and prices, from 0 and 2,000 USD on."""
    times = np.cumsum([0, *(seconds for seconds, _ in course)], dtype=np.int64)
    return times, 2000.0 * np.exp(np.cumsum([0.0, *(move for _, move in course)]))


def accepted(course: list[tuple[int, float]], t: Terms) -> list[State]:
    """The states of a course, from the first price on."""
    states = [State.first(0, 2000.0, t)]
    for at, price in zip(*(x[1:].tolist() for x in path(course)), strict=True):
        states.append(states[-1].accepted(at, price, t))
    return states


# --- the average (M-21) ----------------------------------------------------------------------------------------------


@given(course=courses, t=terms)
def test_the_average_is_the_direct_sum(course, t):
    # Weight of a return: (1 - lambda) of its own step, and the lambda of every later one.
    times, _ = path(course)
    age = (times[-1] - times) / t.halflife
    want = volatility.initial_variance(t) * 2.0 ** -age[0]
    for i, (seconds, move) in enumerate(course, 1):
        want += (1 - 2.0 ** (-seconds / t.halflife)) * 2.0 ** -age[i] * move**2 * DAY / seconds
    # Roundings: of the logarithm of a price of e^14 at most, seven digits before the point of the move's sixteen.
    assert accepted(course, t)[-1].variance == pytest.approx(want, rel=1e-9, abs=1e-12)


@given(days=st.integers(1, 60), per_day=st.sampled_from([1, 2, 24, 96]), sigma=st.floats(0.001, 0.3))
def test_steady_volatility_is_found_whatever_the_frequency(days, per_day, sigma):
    # Moves of one size, whose squares add up to sigma^2 a day.
    moves = sigma / math.sqrt(per_day) * (-1.0) ** np.arange(days * per_day)
    times = np.arange(days * per_day + 1) * (DAY // per_day)
    got = volatility.variance_path(times, np.exp(np.cumsum([0.0, *moves])), TERMS)[-1]
    left = 2.0 ** (-days / 3)
    want = left * volatility.initial_variance(TERMS) + (1 - left) * sigma**2
    assert got == pytest.approx(want, rel=1e-9)


def test_a_return_weighs_half_after_a_halflife():
    shocked = START.accepted(HOUR, 2200.0, TERMS)
    later = shocked.accepted(HOUR + 3 * DAY, 2200.0, TERMS)
    assert later.variance == pytest.approx(shocked.variance / 2, rel=1e-14)


# --- the target (M-22) -----------------------------------------------------------------------------------------------


@given(sigma=st.floats(0, 10), t=terms)
def test_the_target_keeps_to_floor_and_cap(sigma, t):
    got = float(volatility.target(sigma**2, t))
    assert t.floor <= got <= t.cap
    if t.floor < got < t.cap:
        assert got == pytest.approx(t.multiple * sigma, rel=1e-14)


@pytest.mark.parametrize(
    ("sigma", "want"), [(0.0, 0.12), (0.12 / 3.5, 0.12), (0.05, 0.175), (0.4 / 3.5, 0.4), (1.0, 0.4)]
)
def test_targets_of_the_defaults(sigma, want):
    assert float(volatility.target(sigma**2, TERMS)) == pytest.approx(want, rel=1e-14)


@given(t=terms)
def test_the_first_target_is_the_initial_range(t):
    first = State.first(0, 2000.0, t)
    assert first.scan_range(10**9) == t.initial
    assert float(volatility.target(first.variance, t)) == pytest.approx(t.initial, rel=1e-14)


# --- the scan range --------------------------------------------------------------------------------------------------


@given(course=courses, t=terms)
def test_no_price_moves_the_range_in_its_own_block(course, t):
    states = accepted(course, t)
    for before, after in pairwise(states):
        assert after.scan_range(after.time) == before.scan_range(after.time), "INV-14"


@given(course=courses, t=terms)
def test_the_range_keeps_to_its_rates_and_bounds(course, t):
    states = accepted(course, t)
    for before, after in pairwise(states):
        a, b = before.scan_range(before.time), after.scan_range(after.time)
        seconds = after.time - before.time
        assert -t.fall * seconds - ROUNDING <= b - a <= t.rise * seconds + ROUNDING
        assert t.floor <= b <= t.cap


@given(course=courses, t=terms, other=terms, wait=st.integers(0, 100_000), later=st.integers(0, 10**7))
def test_new_parameters_move_nothing_at_once_and_then_by_their_own_rates(course, t, other, wait, later):
    last = accepted(course, t)[-1]
    at = last.time + wait
    changed = last.changed(at, other)
    assert changed.scan_range(at) == last.scan_range(at), "INV-14"
    moved = changed.scan_range(at + later) - last.scan_range(at)
    assert -other.fall * later - ROUNDING <= moved <= other.rise * later + ROUNDING
    # 50 points are the most that there is to go.
    arrived = changed.scan_range(at + int(1 / min(other.rise, other.fall)) + 1)
    assert arrived == float(volatility.target(last.variance, other))


@given(course=courses, t=terms)
def test_the_path_is_that_of_the_states(course, t):
    times, prices = path(course)
    got, states = volatility.scan_range_path(times, prices, t), accepted(course, t)
    # The two take logarithms of a ratio and a difference of logarithms.
    for name, want in (
        ("sigma", [math.sqrt(s.variance) for s in states]),
        ("target", [s.ramp.target for s in states]),
        ("scan_range", [s.scan_range(s.time) for s in states]),
    ):
        np.testing.assert_allclose(getattr(got, name)[1:], want[1:], rtol=1e-9, atol=1e-9, err_msg=name)


@given(course=courses, t=terms, data=st.data())
def test_moments_without_a_price_change_nothing(course, t, data):
    times, prices = path(course)
    whole = volatility.scan_range_path(times, prices, t)
    at = data.draw(st.integers(0, times.size - 2))
    moment = int(data.draw(st.integers(int(times[at]), int(times[at + 1]))))
    if moment in times:
        return
    more = volatility.scan_range_path(np.insert(times, at + 1, moment), np.insert(prices, at + 1, np.nan), t)
    for name in ("sigma", "target", "scan_range"):
        np.testing.assert_allclose(np.delete(getattr(more, name), at + 1), getattr(whole, name), atol=ROUNDING)
    assert more.sigma[at + 1] == whole.sigma[at]


def test_a_crash_is_followed_by_a_point_an_hour_up_and_a_quarter_down():
    # A fall by 30% in an hour, then a hundred days of nothing.
    crash = accepted([(HOUR, 0.0), (HOUR, math.log(0.7))], TERMS)[-1]
    assert crash.ramp.target == 0.40
    first = crash.scan_range(crash.time)
    assert [crash.scan_range(crash.time + h * HOUR) - first for h in (1, 10)] == pytest.approx([0.01, 0.10])
    quiet = crash.accepted(crash.time + 100 * DAY, crash.price, TERMS)
    assert quiet.scan_range(quiet.time) == 0.40
    falls = [0.40 - quiet.scan_range(quiet.time + h * HOUR) for h in (1, 10, 1000)]
    assert falls == pytest.approx([0.0025, 0.025, 0.28])


def test_it_is_quick_for_nine_years_of_hours():
    prices = 2000 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 76_000)))
    began = time.perf_counter()
    volatility.scan_range_path(np.arange(prices.size) * HOUR, prices, TERMS)
    # A twentieth of a second on a free machine; this one may be shared.
    assert time.perf_counter() - began < 2.0


# --- what has no meaning ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("multiple", 0.0),
        ("halflife", -1.0),
        ("halflife", math.inf),
        ("floor", 0.0),
        ("cap", 0.11),
        ("cap", 1.01),
        ("initial", 0.11),
        ("initial", 0.41),
        ("initial", math.nan),
        ("rise", 0.0),
        ("fall", -0.1),
    ],
)
def test_terms_without_meaning_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"^{field}: must be"):
        replace(TERMS, **{field: value})


def test_a_price_must_be_later_than_the_last():
    with pytest.raises(ValueError, match=r"^time: must be after 0"):
        START.accepted(0, 2000.0, TERMS)
    with pytest.raises(ValueError, match=r"^times: must rise"):
        volatility.scan_range_path(np.array([0, 0]), np.array([1.0, 1.0]), TERMS)


def test_a_path_begins_with_a_price():
    with pytest.raises(ValueError, match=r"^prices: the first must be a number"):
        volatility.scan_range_path(np.array([0, 1]), np.array([math.nan, 1.0]), TERMS)


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(volatility) == doctest.TestResults(failed=0, attempted=5)
