# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Fees: what a side of a trade pays to the fee account
@notice A part of the notional, |size| * spot; of an option at most a part of its premium.
"""

from contracts.interfaces import IExchange
from contracts.libraries import position

WAD: constant(uint256) = 10**18
MAX_RATE: constant(uint256) = 10**16
MAX_PREMIUM_CAP: constant(uint256) = 5 * 10**17
# Prices come at 1e-9 and sizes at 1e-6: their product wants three digits more.
TO_WAD: constant(uint256) = 10**3

fee_schedule: public(IExchange.FeeSchedule)


@internal
def _set(schedule: IExchange.FeeSchedule):
    """
    @notice Replaces the schedule; the caller of this function checks the fee account.
    """
    assert schedule.maker_rate <= MAX_RATE, "fees: maker rate"
    assert schedule.taker_rate <= MAX_RATE, "fees: taker rate"
    assert schedule.premium_cap <= MAX_PREMIUM_CAP, "fees: premium cap"
    self.fee_schedule = schedule
    log IExchange.FeesSet(schedule=schedule)


@internal
@pure
def _fee(word: uint256, price: uint256, spot: uint256, rate: uint256, premium_cap: uint256) -> uint256:
    """
    @param word Position word of what is traded.
    @param price 1e-9 quote units for one unit.
    @param spot Of the underlying, 1e-9 quote units; at most 2**72, as the price is.
    @param rate Of the notional, 1e-18, at most MAX_RATE.
    @param premium_cap Of the premium, 1e-18.
    @return 1e-18 quote units, rounded up, for the fee account.
    """
    # At most 2**63 * 2**72 * 1e3 * 1e18 < 2**205.
    units: uint256 = convert(abs(position.size(word)), uint256) * TO_WAD
    fee: uint256 = self._part(units * spot, rate)
    if position.kind(word) >= position.CALL:
        fee = min(fee, self._part(units * price, premium_cap))
    return fee


@internal
@pure
def _part(amount: uint256, part: uint256) -> uint256:
    """
    @return amount * part, up.
    """
    return (amount * part + WAD - 1) // WAD
