# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Auction: how the price of an unhealthy account falls with time, and how much of it may be sold (decision 8)
@notice While an account has net value NV, a slice of everything is sold at a discount d that rises from `first` to `knee`
        and then to all of it. A fraction f sold for f NV (1 - d), of which the fund gets a fee, leaves

            (1 - f) (E - IM) + f NV (1 - d - fee)

        above initial margin, which the largest slice brings to zero. An account without net value is sold at a price that falls
        on, below zero: then the fund pays. Fractions and money at 1e-18, times in seconds.
@custom:security Pure. The largest slice and prices are rounded up, each in favour of the account and the fund.
"""

from contracts.libraries import fixed_point

WAD: constant(int256) = 10**18


@internal
@pure
def discount(elapsed: uint256, first: uint256, knee: uint256, knee_seconds: uint256, seconds: uint256) -> int256:
    """
    @notice Linear from `first` to `knee`, and from there to the whole.
    @param elapsed Since the auction was started.
    @param first The discount at its start.
    @param knee The discount after `knee_seconds`.
    @param knee_seconds Above 0.
    @param seconds When there is no price any more; above `knee_seconds`.
    @return From 0 to 1e18, rounded down.
    """
    if elapsed >= seconds:
        return WAD
    if elapsed <= knee_seconds:
        return convert(first + (knee - first) * elapsed // knee_seconds, int256)
    late: uint256 = elapsed - knee_seconds
    return convert(knee + (convert(WAD, uint256) - knee) * late // (seconds - knee_seconds), int256)


@internal
@pure
def largest_slice(shortfall: int256, net_value: int256, kept: int256, least: int256, minimum: int256) -> int256:
    """
    @notice f = (IM - E) / (IM - E + NV (1 - d - fee)), but at least what is worth `least`, and `minimum`, and at most 1.
    @param shortfall IM - E, positive.
    @param net_value NV, positive.
    @param kept 1 - d - fee, not negative.
    @param least What a slice may always be worth; positive. An account worth less goes whole.
    @param minimum The fraction that may always be sold.
    @return The largest fraction that may be sold, rounded up.
    """
    if net_value <= least:
        return WAD
    restoring: int256 = fixed_point.div_up(shortfall * WAD, shortfall + fixed_point.mul_down(net_value, kept))
    worthwhile: int256 = fixed_point.div_up(least * WAD, net_value)
    return max(max(restoring, worthwhile), minimum)


@internal
@pure
def falling_price(net_value: int256, bonus: int256, elapsed: uint256, seconds: uint256) -> int256:
    """
    @notice What a bidder pays for all of an account that nobody wants at its value: from that, or from nothing where it is
            negative, down to `bonus` less than net value, where it stays.
    @param net_value NV.
    @param bonus What whoever takes it has gained in the end; not negative.
    @param elapsed Since the price began to fall.
    @param seconds How long it falls; above 0.
    @return The price, rounded up; negative where the bidder is paid.
    """
    top: int256 = max(net_value, 0)
    passed: int256 = convert(min(elapsed, seconds), int256)
    return top - (top - net_value + bonus) * passed // convert(seconds, int256)
