"""What idle cash earns: fees and the interest reserve, shared in proportion to scores. Integers, as in the contracts.

An account's score is its cash times the part of its equity that no position needs,

    score = cash (1 - min(1, MM / E)),

so that cash behind positions, or debts, earns nothing. What is distributed is released evenly over a time, so that
nobody comes for the income of the past; an index says what a unit of score has earned since the first distribution. A
score counts from when it was stored until the next one is, and refreshing it pays what the old one has earned: so it
does not matter who refreshes, or when, for what has been earned.

Each rounding is down; what is rounded off at the index is held for the next release, what is rounded off at an account
stays where the income was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

WAD = 10**18
# Of the index: what a unit of score has earned, so finely that 1e-18 USD for 1e27 USD of scores are seen.
PRECISION = 10**27


def score(cash: int, maintenance: int, equity: int) -> int:
    """`cash (1 - min(1, MM / E))`, rounded down; 0 where there is no cash or no equity.

    Parameters
    ----------
    cash, maintenance, equity : 1e-18; `E_mm`
    """
    if cash <= 0 or equity <= 0:
        return 0
    used = min(-(-maintenance * WAD // equity), WAD)
    return cash * (WAD - used) // WAD


@dataclass(frozen=True)
class Income:
    """The state of the yield.

    Attributes
    ----------
    seconds : in which what is distributed is released; 0 for at once
    time : seconds of the last act
    index : what a unit of score has earned, 1 / PRECISION
    unreleased : what is not released yet, 1e-18
    end : when it will be
    held : released, but not shared by the index yet
    total : of all scores
    scores, entries : by account, its score and the index when that was stored
    """

    seconds: int
    time: int = 0
    index: int = 0
    unreleased: int = 0
    end: int = 0
    held: int = 0
    total: int = 0
    scores: dict[int, int] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)


def advance(income: Income, time: int) -> Income:
    """Release what is due up to a time and share it by the index; nothing is shared where nobody has a score."""
    if time >= income.end:
        released = income.unreleased
    else:
        released = income.unreleased * (time - income.time) // (income.end - income.time)
    ready = income.held + released
    step = ready * PRECISION // income.total if income.total else 0
    shared = -(-step * income.total // PRECISION)
    return replace(
        income,
        time=time,
        index=income.index + step,
        unreleased=income.unreleased - released,
        held=ready - shared,
    )


def distribute(income: Income, time: int, amount: int, fund_share: int) -> tuple[Income, int]:
    """Take in an income; what is not released yet begins anew with it.

    Parameters
    ----------
    income : Income
    time : seconds
    amount : 1e-18
    fund_share : part of it that goes to the fund, 1e-18, rounded down

    Returns
    -------
    (income, fund), what the fund gets
    """
    fund = amount * fund_share // WAD
    now = advance(income, time)
    return replace(now, unreleased=now.unreleased + amount - fund, end=time + now.seconds), fund


def earned(income: Income, account: int) -> int:
    """What an account's score has earned up to the last act and not got, rounded down."""
    return income.scores.get(account, 0) * (income.index - income.entries.get(account, 0)) // PRECISION


def refresh(income: Income, time: int, account: int, new_score: int) -> tuple[Income, int]:
    """Store a score; (income, paid), what the old one has earned until now."""
    now = advance(income, time)
    paid = earned(now, account)
    return (
        replace(
            now,
            total=now.total + new_score - now.scores.get(account, 0),
            scores={**now.scores, account: new_score},
            entries={**now.entries, account: now.index},
        ),
        paid,
    )
