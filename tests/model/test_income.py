"""What idle cash earns in the model: by hand, to the wei, against exact fractions, and nobody pays for another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import income
from python_model.income import DAY, HOUR, WAD, WEEK, YEAR, Income

ACCOUNTS = (3, 4, 5)
# A midnight, far from 1970.
MIDNIGHT = 20_000 * DAY
money = st.one_of(st.integers(0, 1_000), st.integers(0, 10**27))
waits = st.one_of(
    st.sampled_from((0, 1, HOUR - 1, HOUR, DAY, WEEK - 1, WEEK, 8 * DAY, 30 * DAY)), st.integers(0, 3 * DAY)
)
Acts = list[tuple[int, int | str, int]]


def courses(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[Acts]:
    """What happens after so many seconds: an account is measured, or so much comes in."""
    measurements = st.tuples(waits, st.sampled_from(ACCOUNTS), money)
    return st.lists(measurements | st.tuples(waits, st.just("income"), amounts), max_size=20)


def counting(state: Income, **scores: int) -> Income:
    """Scores of accounts `a3`, `a4` and so on, measured at the time of the state and an hour later."""
    for time in (state.time, state.time + HOUR):
        for name, score in scores.items():
            state, _ = income.refresh(state, time, int(name[1:]), score)
    return state


def receive(state: Income, time: int, amount: int, fund_share: int = 0) -> Income:
    """Income of an amount, distributed."""
    state, came, _ = income.distribute(state, time, state.unreleased + state.owed + amount, fund_share)
    assert came == amount
    return state


def earned(state: Income, time: int) -> dict[int, int]:
    """What each account has earned at a time and not got."""
    then = income.advance(state, time)
    return {number: then.account(number).earned for number in ACCOUNTS}


# ------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize(
    ("cash", "maintenance", "equity", "want"),
    [
        (1000, 0, 1000, 1000),
        (1000, 250, 1000, 750),
        # Cash that is owed to others, and cash beside other things of value.
        (1000, 250, 500, 250),
        (1000, 250, 2000, 875),
        (1000, 1000, 1000, 0),
        (1000, 1001, 1000, 0),
        (1000, 0, -5, 0),
        (0, 0, 10, 0),
        (-5, 0, 10, 0),
        # Down: of two thirds of 3, a unit of the factor and so one of the score is lost.
        (3, 1, 3, 1),
    ],
)
def test_score(cash, maintenance, equity, want):
    assert income.score(cash, maintenance, equity) == want
    assert income.score(cash, maintenance, equity, is_fresh=False) == 0


@given(cash=st.integers(-10, 10**27), maintenance=money, more=st.integers(1, 10**27), equity=st.integers(-10, 10**27))
def test_a_score_is_idle_cash_and_less_with_more_margin(cash, maintenance, more, equity):
    score = income.score(cash, maintenance, equity)
    assert 0 <= income.score(cash, maintenance + more, equity) <= score <= max(min(cash, equity), 0)


@given(cash=st.integers(WAD, 10**27), parts=st.lists(st.integers(0, 1_000), min_size=2, max_size=2, unique=True))
def test_the_riskier_of_equal_cash_earns_strictly_less(cash, parts):
    """The margin is so many thousandths of the equity, which is the cash."""
    less, more = (income.score(cash, cash * part // 1_000, cash) for part in sorted(parts))
    assert less > more
    state = receive(counting(Income(MIDNIGHT), a3=less, a4=more), MIDNIGHT + HOUR, 1_000 * WAD)
    for time in (MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * DAY, MIDNIGHT + 30 * DAY):
        paid = earned(state, time)
        assert paid[3] > paid[4] and (paid[4] > 0) == (more > 0)


def test_the_lower_of_two_measurements_counts_from_an_hour_on():
    state = Income(MIDNIGHT)
    rows = [
        # Seconds, what is measured, and what then counts.
        (0, 100, 0),
        (HOUR - 1, 90, 0),
        (HOUR, 120, 90),
        # The hour begins anew: a rise has to wait, a fall counts at once and is remembered.
        (HOUR + 1, 200, 90),
        (HOUR + 2, 40, 40),
        (2 * HOUR - 1, 200, 40),
        (2 * HOUR, 200, 40),
        (3 * HOUR, 150, 150),
    ]
    for seconds, measured, counted in rows:
        state, _ = income.refresh(state, MIDNIGHT + seconds, 3, measured)
        assert state.total == state.account(3).counted(state.time) == counted


@pytest.mark.parametrize("seconds", [0, 1, DAY - HOUR - 1])
def test_a_score_ends_at_the_seventh_midnight(seconds):
    state = counting(Income(MIDNIGHT + seconds), a3=10)
    end = MIDNIGHT + WEEK
    assert state.account(3).end == end
    assert income.advance(state, end - 1).total == 10
    assert income.advance(state, end).total == 0
    # What was measured before counts a second earlier, and then no more.
    assert income.refresh(state, end - 1, 3, 10)[0].total == 10
    assert income.refresh(state, end, 3, 10)[0].total == 0


# ------------------------------------------------------------------------------------------------------------ by hand


def test_shares_by_hand():
    """3 and 1 share 80 in the first day of a week; then the second one leaves, and the first has it all."""
    state = receive(counting(Income(MIDNIGHT - HOUR), a3=3 * WAD, a4=WAD), MIDNIGHT, 1_120, WAD // 2)
    assert (state.unreleased, state.finish) == (560, MIDNIGHT + WEEK)
    state, paid = income.refresh(state, MIDNIGHT + DAY, 4, 0)
    assert (paid, state.owed, state.unreleased) == (20, 60, 480)
    state, paid = income.refresh(state, MIDNIGHT + 2 * DAY, 3, 3 * WAD)
    # Of 80 for 3e18, each earns a third of 1e-27 less: a unit stays.
    assert (paid, state.owed, state.unreleased) == (60 + 79, 1, 400)


def test_the_fund_gets_its_share_of_what_is_not_spoken_for():
    state, came, fund = income.distribute(Income(MIDNIGHT), MIDNIGHT, 101, WAD // 2)
    assert (came, fund, state.unreleased) == (101, 50, 51)
    for cash in (51, 50, -5):
        assert income.distribute(state, MIDNIGHT, cash, WAD // 2) == (state, 0, 0)
    assert income.distribute(state, MIDNIGHT, 52, WAD) == (state, 1, 1)


def test_additions_move_the_end_by_their_weight():
    state = receive(counting(Income(MIDNIGHT - HOUR), a3=WAD), MIDNIGHT, 700)
    state = receive(state, MIDNIGHT + DAY, 200)
    # 600 with six days left, and 200 with seven.
    assert (state.unreleased, state.finish) == (800, MIDNIGHT + DAY + (600 * 6 + 200 * 7) * DAY // 800)
    assert receive(state, MIDNIGHT + DAY, 1).finish - state.finish <= WEEK // 801


def test_while_nobody_has_a_score_income_waits():
    state = receive(Income(MIDNIGHT), MIDNIGHT, 700)
    state = income.advance(state, MIDNIGHT + 30 * DAY)
    assert (state.unreleased, state.owed, state.finish) == (700, 0, MIDNIGHT + 37 * DAY)
    state = counting(state, a3=WAD)
    assert earned(state, state.time)[3] == 0
    # The score ends after seven days less an hour, and the rest waits again.
    assert [earned(state, MIDNIGHT + days * DAY)[3] for days in (31, 36, 37, 60)] == [95, 595, 695, 695]


def test_nobody_comes_for_the_income_of_the_past():
    """A score that is large for a second earns a second's part."""
    state = receive(counting(Income(MIDNIGHT - HOUR), a3=WAD, a4=10_000 * WAD), MIDNIGHT, WEEK)
    assert earned(state, MIDNIGHT)[4] == 0
    assert income.refresh(state, MIDNIGHT + 1, 4, 0)[1] == 0
    assert earned(state, MIDNIGHT + 10_001)[4] == 10_000


def test_the_rate_is_the_part_of_what_a_year_would_bring():
    state = receive(counting(Income(MIDNIGHT - HOUR), a3=WAD, a4=3 * WAD), MIDNIGHT, 7 * WAD)
    assert income.rate(state, MIDNIGHT, 3, 10 * WAD) == WAD * (YEAR // DAY) // 4 // 10
    assert income.rate(state, MIDNIGHT, 3, 0) == income.rate(state, MIDNIGHT, 5, WAD) == 0
    assert income.rate(state, MIDNIGHT + WEEK, 3, 10 * WAD) == 0


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="is over"):
        income.advance(Income(MIDNIGHT), MIDNIGHT - 1)


# --------------------------------------------------------------------------------------------- every course of events


@dataclass
class Exact:
    """The stream in exact fractions, by integrating from one event to the next."""

    time: int
    left: Fraction = Fraction(0)
    finish: Fraction = Fraction(0)
    scores: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    earned: dict[int, Fraction] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, Fraction(0)))

    def run(self, until: int) -> None:
        for stop in sorted({until, *(end for end in self.ends.values() if self.time < end < until)}):
            alive = {a: s for a, s in self.scores.items() if self.ends[a] > self.time and s}
            if self.left and not alive:
                self.finish += stop - self.time
            elif self.left:
                part = min(Fraction(stop - self.time) / (self.finish - self.time), Fraction(1))
                for account, score in alive.items():
                    self.earned[account] += self.left * part * score / sum(alive.values())
                self.left *= 1 - part
            self.time = stop

    def receive(self, amount: int) -> None:
        if amount:
            before = self.left * (self.finish - self.time) if self.left else Fraction(0)
            self.left += amount
            self.finish = self.time + (before + amount * WEEK) / self.left


def follow(acts: Acts, fund_share: int = 0) -> Iterator[tuple[Income, int | str, int, int]]:
    """A course from a midnight on: the state after each act, what that was, what came in, and what went out."""
    state = Income(MIDNIGHT)
    for wait, act, amount in acts:
        time = state.time + wait
        if act == "income":
            spoken_for = state.unreleased + state.owed
            state, came, went = income.distribute(state, time, spoken_for + amount, fund_share)
            assert came == amount
        else:
            before = earned(state, time)
            state, went = income.refresh(state, time, act, amount)
            came = 0
            assert {**earned(state, time), act: went} == before and earned(state, time)[act] == 0
        yield state, act, came, went


@given(acts=courses(money), fund_share=st.integers(0, WAD))
def test_what_came_in_is_somewhere_to_the_unit(acts, fund_share):
    """It went to the fund or an account, or is unreleased, or owed; and a refresh changes nobody's past."""
    state, came, went = Income(MIDNIGHT), 0, 0
    for state, _, received, paid in follow(acts, fund_share):
        came, went = came + received, went + paid
        assert came == went + state.unreleased + state.owed
    # A unit a payment; and a step of what a unit of score earns is cut by less than one for each 1e27 of scores.
    dust = state.owed - sum(earned(state, state.time).values())
    midnights = (state.time - MIDNIGHT) // DAY
    assert 0 <= dust <= len(acts) + len(ACCOUNTS) + 3 * (len(acts) + midnights)


@given(acts=courses(st.integers(10**13, 10**27)))
def test_every_score_earns_its_part(acts):
    """Of what was released, to the last units, against exact fractions."""
    exact, got, before = Exact(MIDNIGHT), dict.fromkeys(ACCOUNTS, 0), Income(MIDNIGHT)
    for state, act, came, paid in follow(acts):
        exact.run(state.time)
        if act == "income":
            exact.receive(came)
            # In whole seconds, of amounts in whole units: one second either way.
            assert abs(exact.finish - state.finish) <= 1
            exact.finish = Fraction(state.finish)
        else:
            got[act] += paid
            exact.scores[act], exact.ends[act] = state.account(act).score, state.account(act).end
        before = state
    cuts = 2 * len(acts) + (before.time - MIDNIGHT) // DAY
    for number, rest in earned(before, before.time).items():
        # The release, what a unit of score earns, and the payment.
        assert abs(got[number] + rest - exact.earned[number]) <= 6 * cuts


@given(acts=courses(money), stops=st.lists(st.integers(0, 10 * DAY), max_size=5))
def test_time_in_parts_is_time_at_once(acts, stops):
    """Whoever calls, and when: each call costs an account no more than its roundings."""
    start = [Income(MIDNIGHT), *(state for state, *_ in follow(acts))][-1]
    parts, until = start, start.time + 10 * DAY
    for stop in sorted(stops):
        parts, *_ = income.distribute(parts, start.time + stop, 0, 0)
    at_once = earned(start, until)
    for number, amount in earned(parts, until).items():
        assert abs(amount - at_once[number]) <= 6 * (len(stops) + 10)
