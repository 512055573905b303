# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Interest rates: a curve with a kink
@notice With utilisation U, the share of all cash that is owed, debts pay

            rate(U) = base + slope * min(U, kink) / kink + steep * max(U - kink, 0) / (1 - kink)

        and credits get rate * U * (1 - reserve share). To change a number, the owner of the clearing house names another
        contract.
"""

from contracts.interfaces import IInterestRates

implements: IInterestRates

WAD: constant(uint256) = 10**18
MAX_RATE: constant(uint256) = 10 * WAD

base: public(immutable(uint256))
slope: public(immutable(uint256))
steep: public(immutable(uint256))
kink: public(immutable(uint256))
reserve_share: public(immutable(uint256))


@deploy
def __init__(base_: uint256, slope_: uint256, steep_: uint256, kink_: uint256, reserve_share_: uint256):
    """
    @notice Fixes the curve for ever.
    @param base_ 1e-18 a year; the three rates together at most 1,000%.
    @param slope_ 1e-18 a year.
    @param steep_ 1e-18 a year.
    @param kink_ 1e-18, above 0 and below 1.
    @param reserve_share_ 1e-18, at most 1.
    """
    assert max(base_, max(slope_, steep_)) <= MAX_RATE, "interest: rate"
    assert base_ + slope_ + steep_ <= MAX_RATE, "interest: rate"
    assert kink_ != 0 and kink_ < WAD, "interest: kink"
    assert reserve_share_ <= WAD, "interest: reserve share"
    base = base_
    slope = slope_
    steep = steep_
    kink = kink_
    reserve_share = reserve_share_


@external
@view
def rates(debts: uint256, credits: uint256) -> (uint256, uint256):
    """
    @custom:see IInterestRates
    """
    utilisation: uint256 = WAD
    if debts < credits:
        utilisation = debts * WAD // credits
    rate: uint256 = base + slope * min(utilisation, kink) // kink
    if utilisation > kink:
        rate += steep * (utilisation - kink) // (WAD - kink)
    return rate, rate * utilisation // WAD * (WAD - reserve_share) // WAD
