"""Settlement prices at 08:00 UTC: the mean of spot over half an hour, recorded once, and the forward on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import settlement
from scripts import chain
from tests.unit.market_data.course import EIGHT, LATE, USD, Course, State, arrays, mean_tolerance
from tests.unit.market_data.updates import DAY, HEARTBEAT, Expiry, Terms

OPENING = EIGHT - 1800
UNKNOWN = (0, False)


def expiry(time: int = EIGHT, forward: int = 2100 * USD) -> Expiry:
    return Expiry(time, forward)


@pytest.fixture
def course(market_data, publisher, ape_chain):
    ape_chain.pending_timestamp = LATE
    return Course(market_data, publisher)


# --- the price -------------------------------------------------------------------------------------------------------


def test_it_is_the_time_weighted_mean_of_the_last_half_hour(course):
    for state in (State(OPENING - 900, 2000 * USD), State(OPENING + 600, 2300 * USD), State(EIGHT + 60, 9000 * USD)):
        course.publish(state)
    assert course.settlement(EIGHT) == (2200 * USD, True)


@pytest.mark.parametrize("after", [0, 1, 1800, DAY - 1801])
def test_it_is_final_with_the_first_state_at_or_after_the_expiry(course, after):
    course.publish(State(OPENING, 2000 * USD))
    course.publish(State(EIGHT - 1, 3800 * USD))
    assert course.settlement(EIGHT) == UNKNOWN
    receipt = course.publish(State(EIGHT + after, 5000 * USD))
    # 1799 seconds at 2000 and one at 3800.
    assert course.settlement(EIGHT) == (2001 * USD, True)
    (event,) = receipt.decode_logs(course.market_data.SettlementRecorded)
    assert (event.underlying, event.expiry, event.price) == (2, EIGHT, 2001 * USD)


def test_it_is_recorded_once_and_never_changed(course, market_data, owner):
    course.publish(State(OPENING - 1, 2000 * USD))
    course.publish(State(EIGHT, 2500 * USD), expiry())
    recorded = course.settlement(EIGHT)
    assert recorded == (2000 * USD, True)
    market_data.set_terms(2, Terms(heartbeat_seconds=0), sender=owner)
    for time in (EIGHT + 1, EIGHT + 1800, EIGHT + DAY - 900, EIGHT + DAY, EIGHT + 9 * DAY):
        receipt = course.publish(State(time, 3000 * USD), expiry(forward=3000 * USD))
        assert course.settlement(EIGHT) == recorded
        assert course.forward(EIGHT, time) == recorded[0]
        assert EIGHT not in [e.expiry for e in receipt.decode_logs(course.market_data.SettlementRecorded)]


def test_a_state_in_force_over_the_whole_window_is_the_mean(course):
    course.publish(State(OPENING, 1999 * USD + 7))
    course.publish(State(EIGHT, 10 * USD))
    assert course.settlement(EIGHT) == (1999 * USD + 7, True)


def test_it_is_rounded_down(course):
    course.publish(State(OPENING, 2000 * USD))
    course.publish(State(EIGHT - 1799, 2000 * USD + 1))
    course.publish(State(EIGHT, 2000 * USD))
    assert course.settlement(EIGHT) == (2000 * USD, True)


def test_states_within_one_second_of_each_other_count_each(course):
    spots = [2000 * USD + 1800 * i for i in range(6)]
    course.publish(State(EIGHT - 6, spots[0]))
    for second, spot in enumerate(spots):
        if second:
            course.publish(State(EIGHT - 6 + second, spot))
    course.publish(State(EIGHT, USD))
    assert course.settlement(EIGHT) == (sum(spots) // 6, True)


@pytest.mark.parametrize("seconds", [1, 2, 1799])
def test_a_first_state_inside_the_window_starts_the_mean(course, seconds):
    course.publish(State(EIGHT - seconds, 2000 * USD))
    course.publish(State(EIGHT + 5, 3000 * USD))
    assert course.settlement(EIGHT) == (2000 * USD, True)


@pytest.mark.parametrize("after", [0, 1, 1800])
def test_what_expired_before_the_first_state_has_none(course, after):
    course.publish(State(EIGHT + after, 2000 * USD), expiry())
    course.publish(State(EIGHT + after + 60, 2000 * USD))
    assert course.settlement(EIGHT) == UNKNOWN
    assert course.forward(EIGHT, EIGHT + after + 60) == 2100 * USD


def test_a_gap_fills_every_day_in_it_with_the_state_in_force(course):
    course.publish(State(OPENING - 10, 2000 * USD))
    course.publish(State(OPENING + 900, 2200 * USD))
    # Into the window of the fourth day, of which the gap is the first third.
    receipt = course.publish(State(OPENING + 3 * DAY + 600, 2800 * USD))
    days = [e.expiry for e in receipt.decode_logs(course.market_data.SettlementRecorded)]
    assert days == [EIGHT + i * DAY for i in range(3)]
    course.publish(State(EIGHT + 3 * DAY, 1 * USD))
    prices = [course.settlement(EIGHT + i * DAY) for i in range(5)]
    assert prices == [(p * USD, True) for p in (2100, 2200, 2200, 2600)] + [UNKNOWN]


def test_a_gap_settles_what_was_listed_when_it_began_but_no_more_than_400_days(course):
    course.publish(State(OPENING, 2000 * USD))
    receipt = course.publish(State(EIGHT + 401 * DAY, 3000 * USD))
    assert course.settlement(EIGHT + 399 * DAY) == (2000 * USD, True)
    assert course.settlement(EIGHT + 400 * DAY) == UNKNOWN
    # A year without data, and yet within what a transaction may use (EIP-7825).
    assert receipt.gas_used < 2**24
    course.publish(State(EIGHT + 402 * DAY, 3000 * USD))
    assert course.settlement(EIGHT + 402 * DAY) == (3000 * USD, True)


def test_other_times_have_no_settlement_price(course):
    for time in (OPENING - 1, OPENING, EIGHT - 1, EIGHT, EIGHT + 1):
        course.publish(State(time, 2000 * USD), expiry(EIGHT - 60), expiry(EIGHT + 3600))
    for time in (EIGHT - 60, EIGHT - 1, EIGHT + 1, EIGHT + 3600, 0, 2**256 - 1):
        assert course.settlement(time) == UNKNOWN
    assert course.forward(EIGHT - 60, EIGHT - 30) == course.forward(EIGHT - 60, EIGHT + DAY) == 2100 * USD


def test_underlyings_settle_apart(course):
    other = Course(course.market_data, course.publisher, 3)
    course.publish(State(OPENING, 2000 * USD))
    other.publish(State(OPENING, 50 * USD))
    course.publish(State(EIGHT, 2000 * USD))
    assert other.settlement(EIGHT) == UNKNOWN
    other.publish(State(EIGHT, 60 * USD))
    assert (course.settlement(EIGHT)[0], other.settlement(EIGHT)[0]) == (2000 * USD, 50 * USD)


def test_the_greatest_price_fits(course):
    course.publish(State(OPENING, 10**17))
    course.publish(State(EIGHT, 10**17), expiry(forward=10**17))
    assert course.settlement(EIGHT) == (10**17, True)
    assert course.forward(EIGHT, EIGHT) == 10**17


# --- the forward that is read ----------------------------------------------------------------------------------------


def test_the_forward_is_fixed_second_by_second(course):
    course.publish(State(OPENING - 300, 2000 * USD), expiry())
    handed = [course.forward(EIGHT, OPENING + s) for s in (-300, 0, 1, 900, 1799, 1800)]
    assert handed == [2100 * USD - 100 * USD * s // 1800 for s in (0, 0)] + [
        (2000 * USD * s + 2100 * USD * (1800 - s)) // 1800 for s in (1, 900, 1799, 1800)
    ]


def test_the_sum_so_far_counts_every_state(course):
    course.publish(State(OPENING - 300, 2000 * USD))
    course.publish(State(OPENING + 600, 2300 * USD), expiry(forward=2400 * USD))
    assert course.forward(EIGHT, OPENING + 1200) == (2000 + 2300 + 2400) * USD // 3


def test_it_runs_into_the_settlement_price(course):
    """Nobody gains or loses by the moment of expiry, or by when the next state comes."""
    course.publish(State(OPENING + 600, 2000 * USD), expiry())
    course.publish(State(OPENING + 900, 2300 * USD), expiry())
    provisional = course.forward(EIGHT, EIGHT)
    assert abs(provisional - course.forward(EIGHT, EIGHT - 1)) <= 200 * USD // 1200 + 1
    assert provisional == course.forward(EIGHT, EIGHT + 5 * DAY) == (300 * 2000 + 900 * 2300) * USD // 1200
    course.publish(State(EIGHT + 3600, 9000 * USD))
    assert course.settlement(EIGHT) == (provisional, True)
    assert course.forward(EIGHT, EIGHT + 3600) == provisional


def test_a_first_state_inside_the_window_has_the_forward_as_published(course):
    course.publish(State(EIGHT - 400, 2000 * USD), expiry())
    assert course.forward(EIGHT, EIGHT - 400) == 2100 * USD
    assert course.forward(EIGHT, EIGHT - 100) == (300 * 2000 + 100 * 2100) * USD // 400


def test_the_fixed_part_of_the_forward_grows_to_all_of_it(course):
    """By value: of what is read so many dollars are fixed. Rounded down, so that nothing open is taken for fixed."""
    course.publish(State(OPENING - 300, 2000 * USD), expiry())
    shares = [course.fixed(EIGHT, OPENING + s) for s in (-300, 0, 1, 900, 1799)]
    assert shares == [0, 0] + [65_535 * 2000 * s // (2000 * s + 2100 * (1800 - s)) for s in (1, 900, 1799)]
    assert course.fixed(EIGHT, EIGHT) == course.fixed(EIGHT, EIGHT + DAY) == 65_535
    course.publish(State(EIGHT + 60, 2000 * USD))
    assert course.fixed(EIGHT, EIGHT + 60) == 65_535


def test_only_the_forward_changes(course, market_data):
    course.publish(State(OPENING, 2000 * USD), expiry())
    before, _ = chain.call_at(market_data.read, OPENING, 2, [EIGHT])
    course.publish(State(EIGHT, 2000 * USD))
    for time in (EIGHT - 900, EIGHT + DAY):
        after, _ = chain.call_at(market_data.read, time, 2, [EIGHT])
        assert after[1] % 2**184 == before[1] % 2**184
        assert after[2] >> 16 == before[2] >> 16


def test_a_settled_expiry_is_fresh_for_ever(course):
    # Its own data were stale when it expired.
    course.publish(State(EIGHT - HEARTBEAT - 1, 2000 * USD), expiry())
    assert course.fresh(EIGHT, EIGHT - 1)
    assert not course.fresh(EIGHT, EIGHT)
    course.publish(State(EIGHT, 2000 * USD))
    assert course.fresh(EIGHT, EIGHT)
    course.publish(State(EIGHT + 30 * DAY, 2000 * USD))
    assert course.fresh(EIGHT, EIGHT + 30 * DAY)
    # The underlying itself is not.
    assert not course.fresh(EIGHT, EIGHT + 30 * DAY + HEARTBEAT + 1)


def test_an_expiry_without_data_stays_unknown(course, market_data):
    course.publish(State(OPENING, 2000 * USD))
    for time in (OPENING + 60, EIGHT):
        assert chain.call_at(market_data.read, time, 2, [EIGHT])[0][1:] == [0, 0]
    course.publish(State(EIGHT, 2000 * USD))
    words, fresh = chain.call_at(market_data.read, EIGHT, 2, [EIGHT])
    assert (words[1:], fresh) == ([0, 0], False)


# --- against the model -----------------------------------------------------------------------------------------------

prices = st.one_of(st.integers(10**3, 10**17), st.integers(1900 * USD, 2100 * USD))
gaps = st.one_of(st.integers(1, 3600), st.sampled_from([1, 1799, 1800, 1801, DAY - 1, DAY, 3 * DAY + 1700]))


@st.composite
def courses(draw: st.DrawFn) -> list[State]:
    """States from before, inside or just behind a window on."""
    time = EIGHT + draw(st.one_of(st.integers(-4000, 60), st.sampled_from([-1801, -1800, -1799, -1, 0])))
    states = []
    for _ in range(draw(st.integers(1, 7))):
        states.append(State(time, draw(prices)))
        time += draw(gaps)
    return states


@given(states=courses(), forward=prices, after=st.integers(0, 2500))
def test_contract_and_model_agree(market_data, publisher, ape_chain, states, forward, after):
    days = [EIGHT + i * DAY for i in range((states[-1].time - EIGHT) // DAY + 2)]
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        course = Course(market_data, publisher)
        times, spot, _ = arrays(states)
        for i, state in enumerate(states):
            course.publish(state, *(expiry(day, forward) for day in days[:16]))
            known, now = slice(0, i + 1), state.time + after
            tolerance = mean_tolerance(states, forward)
            for day in days[:16]:
                want = settlement.settlement_price(times[known], spot[known], day)
                price, is_final = course.settlement(day)
                assert is_final == (want is not None)
                assert abs(price / USD - (want or 0.0)) <= tolerance
                fixed = settlement.partly_fixed_forward(times[known], spot[known], day, now, forward / USD)
                assert abs(course.forward(day, now) / USD - fixed) <= tolerance
                # Two prices far apart may bring a share to the edge of one more part.
                share = settlement.fixed_share(times[known], spot[known], day, now, forward / USD)
                assert abs(course.fixed(day, now) - share * settlement.SHARES) <= 1 + 1e-9
