"""What idle cash earns: fees and interest, released over a week in proportion to scores. Integers, as in the contracts.

An account's score is

    min(cash, E) (1 - min(1, MM / E)),

`E` its equity for maintenance and `MM` maintenance margin, so that cash behind positions, or that is owed to others,
earns nothing. What counts is the lower of two measurements at least an hour apart, a fall at once, until the seventh
midnight (UTC) after the last measurement.

Income is released linearly and shared at once: from one event (an act, or a midnight, when scores end) to the next,
each unit of score that counts earns the same; where no account has a score, the release waits. Here each account
collects what a unit of its score has earned, and stops at its end. The contract has one index for all of them, and
remembers it for the midnights at which scores end.

Money and scores are in 1e-18, times in seconds since 1970 (UTC). Each rounding is down; what is rounded off stays in
`owed`, so that what came in is always with the fund, unreleased, owed, or paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

WAD = 10**18
# Of what a unit of score earns: so finely that 1e-18 USD for 1e27 USD of scores are seen.
SCALE = 10**27
HOUR, DAY = 3_600, 86_400
WEEK, YEAR = 7 * DAY, 365 * DAY


@dataclass(frozen=True)
class Account:
    """What the yield knows of an account; by default, of one that was never measured.

    Attributes
    ----------
    score : that counts, 1e-18
    end : midnight from which it does not any more, seconds
    gain : what a unit of the score has earned since it was paid, 1 / SCALE
    lowest, since : the least of what was measured since a time, 1e-18 and seconds
    """

    score: int = 0
    end: int = 0
    gain: int = 0
    lowest: int = 0
    since: int = 0

    @property
    def earned(self) -> int:
        """What the score has earned and not got, 1e-18, rounded down."""
        return self.score * self.gain // SCALE

    def counted(self, time: int) -> int:
        """The score that earns at a time, 1e-18."""
        return self.score if time < self.end else 0


@dataclass(frozen=True)
class Income:
    """The state of the yield after its last act.

    Attributes
    ----------
    time : of that act, seconds
    unreleased : income that nobody has earned yet, 1e-18
    finish : when all of it will be released, seconds; without a meaning where there is none
    owed : released and not paid, 1e-18
    accounts : by number
    """

    time: int
    unreleased: int = 0
    finish: int = 0
    owed: int = 0
    accounts: Mapping[int, Account] = field(default_factory=dict)

    def account(self, number: int) -> Account:
        """What is known of an account."""
        return self.accounts.get(number, Account())

    @property
    def total(self) -> int:
        """All scores that earn, 1e-18."""
        return sum(a.counted(self.time) for a in self.accounts.values())


def score(cash: int, maintenance: int, equity: int, is_fresh: bool = True) -> int:
    """`min(cash, E) (1 - min(1, MM / E))`, 1e-18: the factor rounded down, and the product once more.

    Parameters
    ----------
    cash, maintenance, equity : 1e-18; maintenance margin not negative
    is_fresh : whether all prices that the figures rest on are; 0 where they are not
    """
    if not is_fresh or cash <= 0 or equity <= maintenance:
        return 0
    return min(cash, equity) * ((equity - maintenance) * WAD // equity) // WAD


def measure(account: Account, time: int, measured: int) -> Account:
    """An account after a measurement, by which its score begins anew; what the old one has earned is paid.

    Parameters
    ----------
    account : Account
    time : seconds
    measured : score, 1e-18
    """
    end = (time // DAY + 7) * DAY
    if time >= account.end:
        # The first, or the one before is too old to count with it.
        return Account(0, end, lowest=measured, since=time)
    if time - account.since >= HOUR:
        return Account(min(account.lowest, measured), end, lowest=measured, since=time)
    return Account(min(account.score, measured), end, lowest=min(account.lowest, measured), since=account.since)


def _release(income: Income, time: int) -> Income:
    """Release what is due until a time and share it; no score ends before."""
    total, unreleased = income.total, income.unreleased
    if unreleased == 0:
        return replace(income, time=time)
    if total == 0:
        return replace(income, time=time, finish=income.finish + time - income.time)
    amount = unreleased
    if time < income.finish:
        amount = unreleased * (time - income.time) // (income.finish - income.time)
    accounts = {
        number: replace(a, gain=a.gain + amount * SCALE // total) if income.time < a.end else a
        for number, a in income.accounts.items()
    }
    return replace(income, time=time, unreleased=unreleased - amount, owed=income.owed + amount, accounts=accounts)


def advance(income: Income, time: int) -> Income:
    """The state at a later time, through each midnight on the way.

    Parameters
    ----------
    income : Income
    time : seconds

    Raises
    ------
    ValueError
        The time is before that of the state.
    """
    if time < income.time:
        raise ValueError(f"at {income.time} already, {time} is over")
    for midnight in range((income.time // DAY + 1) * DAY, time, DAY):
        income = _release(income, midnight)
    return _release(income, time)


def refresh(income: Income, time: int, number: int, measured: int) -> tuple[Income, int]:
    """Pay to an account what it has earned, and measure it.

    Parameters
    ----------
    income : Income
    time : seconds
    number : of the account
    measured : its score when it has been paid, 1e-18

    Returns
    -------
    (income, paid), 1e-18

    Raises
    ------
    ValueError
        As of `advance`.
    """
    income = advance(income, time)
    account = income.account(number)
    accounts = {**income.accounts, number: measure(account, time, measured)}
    return replace(income, owed=income.owed - account.earned, accounts=accounts), account.earned


def distribute(income: Income, time: int, cash: int, fund_share: int) -> tuple[Income, int, int]:
    """Take in what is in the account of fees and not spoken for: a part for the fund, the rest to be released.

    When all will be released is the mean of what was due and of a week from now, weighted by amounts and rounded down
    to the second: many small additions do not slow down what is on its way.

    Parameters
    ----------
    income : Income
    time : seconds
    cash : of the account of fees, 1e-18
    fund_share : 1e-18, at most 1e18; the fund's part is rounded down

    Returns
    -------
    (income, amount, fund) with what came in and what the fund gets of it, 1e-18

    Raises
    ------
    ValueError
        As of `advance`.
    """
    income = advance(income, time)
    amount = max(cash - income.unreleased - income.owed, 0)
    fund = amount * fund_share // WAD
    rest = amount - fund
    if rest == 0:
        return income, amount, fund
    unreleased = income.unreleased + rest
    weighted = income.unreleased * (income.finish - time) + rest * WEEK
    return replace(income, unreleased=unreleased, finish=time + weighted // unreleased), amount, fund


def rate(income: Income, time: int, number: int, cash: int) -> int:
    """What an account earns a year, as a part of its cash: 1e-18, rounded down; 0 where it has none.

    Parameters
    ----------
    income : Income
    time : seconds
    number : of the account
    cash : its cash, 1e-18

    Raises
    ------
    ValueError
        As of `advance`.
    """
    income = advance(income, time)
    if cash <= 0 or income.total == 0 or income.unreleased == 0:
        return 0
    flow = income.unreleased * YEAR // (income.finish - time)
    return flow * income.account(number).counted(time) // income.total * WAD // cash
