"""What idle cash earns in the model: scores and shares by hand, sums to the wei, and nobody pays for another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import income
from python_model.income import Income

WAD = income.WAD
money = st.one_of(st.integers(0, 1000), st.integers(0, 10**27))
ACCOUNTS = (3, 4, 5)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("distribute"), st.integers(0, 200), money),
        st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 200), money),
    ),
    max_size=20,
)


@pytest.mark.parametrize(
    ("cash", "maintenance", "equity", "want"),
    [
        (1000, 0, 1000, 1000),
        (1000, 250, 1000, 750),
        (1000, 250, 500, 500),
        (1000, 1000, 1000, 0),
        (1000, 1001, 1000, 0),
        (1000, 1, -5, 0),
        (0, 0, 10, 0),
        (-5, 0, 10, 0),
        # Down: a third is used, and a unit more.
        (10, 1, 3, 6),
    ],
)
def test_score(cash, maintenance, equity, want):
    assert income.score(cash, maintenance, equity) == want


@given(cash=money, maintenance=money, equity=money)
def test_a_score_is_at_most_the_cash_and_less_with_more_margin(cash, maintenance, equity):
    assert 0 <= income.score(cash, maintenance + 1, equity) <= income.score(cash, maintenance, equity) <= cash


def test_shares_by_hand():
    """3 and 1 share 50 of 100 for half the time; then the second one leaves, and the first has it all."""
    state, _ = income.refresh(Income(seconds=100), 0, 3, 3 * WAD)
    state, _ = income.refresh(state, 0, 4, WAD)
    state, fund = income.distribute(state, 0, 200, WAD // 2)
    assert fund == 100
    state, paid = income.refresh(state, 50, 4, 0)
    assert paid == 12
    state, paid = income.refresh(state, 100, 3, 0)
    assert paid == 37 + 50


def test_what_comes_while_nobody_has_a_score_is_for_the_next():
    state, _ = income.distribute(Income(seconds=10), 0, 1000, 0)
    state, _ = income.refresh(state, 20, 3, WAD)
    assert state.held == 1000
    state, paid = income.refresh(state, 21, 3, WAD)
    assert (paid, state.held) == (1000, 0)


@given(acts=acts, seconds=st.sampled_from([0, 1, 100, 10_000]), fund_share=st.integers(0, WAD))
def test_what_is_paid_is_what_was_earned_to_the_wei(acts, seconds, fund_share):
    """What came in is with the fund, paid, not released, held, or dust: less than two units an act and account."""
    state, time, came, went, steps = Income(seconds=seconds), 0, 0, 0, 0
    for act, after, amount in acts:
        time += after
        steps += 1
        if act == "distribute":
            state, fund = income.distribute(state, time, amount, fund_share)
            came += amount
            went += fund
        else:
            state, paid = income.refresh(state, time, act, amount)
            went += paid
    due = sum(income.earned(state, account) for account in ACCOUNTS)
    dust = came - went - due - state.unreleased - state.held
    assert 0 <= dust < 2 * (steps + len(ACCOUNTS))


@given(
    acts=acts,
    seconds=st.sampled_from([0, 100, 10_000]),
    stranger=st.lists(st.integers(0, 400), max_size=5),
)
def test_who_refreshes_and_when_changes_nobodys_past(acts, seconds, stranger):
    """With the same score stored again at any times, an account gets the same, less a unit each."""

    def total(extra: list[int]) -> int:
        rows = [(0, 3, WAD), *((t, 3, WAD) for t in extra)]
        time = 0
        for act, after, amount in acts:
            time += after
            if act != 3:
                rows.append((time, act, amount))
        state, got = Income(seconds=seconds), 0
        for time, act, amount in sorted(rows, key=lambda row: row[0]):
            if act == "distribute":
                state, _ = income.distribute(state, time, amount, 0)
            else:
                state, paid = income.refresh(state, time, act, amount)
                got += paid if act == 3 else 0
        state, paid = income.refresh(state, 10**6, 3, 0)
        return got + paid

    alone, refreshed = total([]), total(stranger)
    # A release in more steps rounds off more often: a unit of the stream each, and what the index cannot show.
    assert abs(alone - refreshed) <= 4 * (len(stranger) + len(acts)) + 2


def test_nobody_comes_for_the_income_of_the_past():
    """A score stored for the second of the distribution earns a second's part; at once it would take nearly all."""
    for seconds, most in ((7 * 86_400, 2), (0, 999_000)):
        state, _ = income.refresh(Income(seconds=seconds), 0, 3, WAD)
        state, _ = income.refresh(state, 86_400, 4, 10_000 * WAD)
        state, _ = income.distribute(state, 86_400, 10**6, 0)
        state, paid = income.refresh(state, 86_401, 4, 0)
        assert paid <= most if seconds else paid >= most
