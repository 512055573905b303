# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Listing: which expiries and strikes may be opened, by rule
@notice No registry: what is listed follows from the calendar and from the forward, so that positions gather in few
        instruments. Expiries are at 08:00 UTC: any day within 8 days, Fridays within 60, the last Friday of a month within
        400. What comes nearer stays listed until it expires. Strikes have at most three significant digits, from a tenth
        of the forward to ten times it.
"""

DAY: constant(uint256) = 86400
EIGHT_O_CLOCK: constant(uint256) = 8 * 3600
DAILY: constant(uint256) = 8 * DAY
WEEKLY: constant(uint256) = 60 * DAY
MONTHLY: constant(uint256) = 400 * DAY
# 2 January 1970, as a day since 1 January.
FRIDAY: constant(uint256) = 1
# Strikes below this have three significant digits once their trailing zeros are gone.
THREE_DIGITS: constant(uint256) = 1000
MAX_STRIKE_RATIO: constant(uint256) = 10
# Digits of 2**64.
MAX_DIGITS: constant(uint256) = 20


@internal
@pure
def admits_expiry(expiry: uint256, now: uint256) -> bool:
    """
    @notice Whether options and futures of an expiry may be opened.
    @param expiry Seconds since 1970.
    @param now Seconds since 1970.
    @return True where the calendar lists it; False from the expiry on.
    """
    if expiry <= now or expiry % DAY != EIGHT_O_CLOCK:
        return False
    ahead: uint256 = expiry - now
    if ahead <= DAILY:
        return True
    day: uint256 = expiry // DAY
    if day % 7 != FRIDAY:
        return False
    return ahead <= WEEKLY or (ahead <= MONTHLY and self._month(day) != self._month(day + 7))


@internal
@pure
def admits_strike(strike: uint256, forward: uint256) -> bool:
    """
    @notice Whether options of a strike may be opened.
    @param strike 1e-6 quote units, at most 2**64, not 0.
    @param forward 1e-9 quote units; 0 where it is not known, and then any strike of the grid is admitted.
    @return True where it is on the grid, and near enough to the forward: a put far in the money grows by interest on its
            strike, which no scenario of prices covers.
    """
    # Most strikes are whole.
    digits: uint256 = strike // 10**6 if strike % 10**6 == 0 else strike
    for _: uint256 in range(MAX_DIGITS):
        if digits % 10 != 0:
            break
        digits //= 10
    if digits >= THREE_DIGITS:
        return False
    # From 1e-6 to 1e-9.
    scaled: uint256 = strike * 10**3
    return forward == 0 or (forward <= scaled * MAX_STRIKE_RATIO and scaled <= forward * MAX_STRIKE_RATIO)


@internal
@pure
def _month(day: uint256) -> uint256:
    """
    @notice The month of a day in the Gregorian calendar, by "chrono-Compatible Low-Level Date Algorithms", H. Hinnant,
            https://howardhinnant.github.io/date_algorithms.html#civil_from_days: years begin in March, so that a leap day is
            the last of its year.
    @param day Days since 1 January 1970.
    @return 0 for March to 11 for February.
    """
    day_of_era: uint256 = (day + 719468) % 146097
    year: uint256 = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year: uint256 = day_of_era - (365 * year + year // 4 - year // 100)
    return (5 * day_of_year + 2) // 153
