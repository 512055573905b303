"""Which expiries and strikes may be opened, by rule: as `contracts/libraries/listing.vy`, on Python's calendar.

Expiries are at 08:00 UTC: any day within 8 days, Fridays within 60, the last Friday of a month within 400. Strikes
have at most three significant digits, from a tenth of the forward to ten times it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

DAY = 86_400
WEEK = 7 * DAY
EIGHT_O_CLOCK = 8 * 3600
DAILY, WEEKLY, MONTHLY = 8 * DAY, 60 * DAY, 400 * DAY
FRIDAY = 4
DIGITS, MAX_STRIKE_RATIO = 3, 10
# After 400 years, which are so many weeks, the calendar is the same.
CYCLE_WEEKS = 20_871


def admits_expiry(expiry: int, now: int) -> bool:
    """Whether options and futures of an expiry may be opened; both in seconds since 1970."""
    if expiry <= now or expiry % DAY != EIGHT_O_CLOCK:
        return False
    moment = datetime.fromtimestamp(expiry, UTC)
    is_friday = moment.weekday() == FRIDAY
    is_last = is_friday and (moment + timedelta(weeks=1)).month != moment.month
    ahead = expiry - now
    return ahead <= DAILY or (ahead <= WEEKLY and is_friday) or (ahead <= MONTHLY and is_last)


def admits_strike(strike: float, forward: float) -> bool:
    """Whether options of a strike may be opened; both in USD."""
    digits = Decimal(repr(float(strike))).normalize().as_tuple().digits
    return len(digits) <= DIGITS and forward <= strike * MAX_STRIKE_RATIO and strike <= forward * MAX_STRIKE_RATIO


def shift(as_of: int, expiries: Iterable[int], after: int) -> int:
    """By how many seconds to move a market in time, so that what is listed in it is listed then.

    Parameters
    ----------
    as_of : seconds since 1970, time of the market
    expiries : seconds since 1970
    after : seconds since 1970, not after which the market may be moved

    Returns
    -------
    A whole number of weeks, the least that moves `as_of` beyond `after`. ValueError where no week will do, as an expiry
    is at no time of the calendar.
    """
    times = list(expiries)
    first = max((after - as_of) // WEEK + 1, 0)
    for weeks in range(first, first + CYCLE_WEEKS):
        moved = weeks * WEEK
        if all(admits_expiry(time + moved, as_of + moved) for time in times):
            return moved
    raise ValueError(f"no week lists all of the expiries {times} at {as_of}")
