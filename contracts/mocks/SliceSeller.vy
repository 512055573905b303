# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Slice seller: a liquidation contract that sells whatever it is told to
@notice For tests of what the clearing house checks by itself.
@custom:security None by design.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine

_fraction: uint256
_discount: uint256


@external
def sell(
    house: address, account: uint256, bidder: uint256, fraction: uint256, discount: uint256
) -> (uint256, uint256):
    """
    @notice Sells a slice on these terms.
    @param house IClearingHouse.
    @param account Whose slice.
    @param bidder Who gets it.
    @param fraction 1e-18.
    @param discount 1e-18.
    @return Fraction and price.
    """
    self._fraction = fraction
    self._discount = discount
    return extcall IClearingHouse(house).sell_slice(account, bidder, fraction)


@external
@view
def slice_of(figures: IMarginEngine.Assessment, dust: int256, fraction: uint256) -> (uint256, uint256):
    """
    @notice The terms, whatever the figures.
    @param figures Not looked at.
    @param dust Not looked at.
    @param fraction Not looked at.
    @return Fraction and discount.
    """
    return self._fraction, self._discount
