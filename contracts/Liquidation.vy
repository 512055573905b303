# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Liquidation: a slice of everything an unhealthy account has, sold to a bidder (decision 8)
@notice Net value NV is equity without haircuts. The bidder takes a fraction f of every leg, collateral, cash and cost,
        and pays its value at mark less the discount d. The fraction that brings the account back to initial margin
        solves (1 - f) E + f NV (1 - d) = (1 - f) IM:

            f = (IM - E) / (IM - E + NV (1 - d))

        Sizes are cut to 1e-6, so that a small slice of many dear strikes may be worth nothing: a slice may always be
        worth ten times what that can cost. An account without net value has f = 1 and price 0. Nothing is paid for
        taking a debt: such an account stays until somebody finds its legs worth it, or a backstop comes. The public
        surface, with its natspec, is ILiquidation.
@custom:security See ILiquidation.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.libraries import fixed_point
from contracts.modules import positions
from contracts.modules import slices

implements: ILiquidation

WAD: constant(uint256) = 10**18
# What an operator must be allowed to bid.
TRADE: constant(uint256) = 1
MAX_DISCOUNT: constant(uint256) = 2 * 10**17
# What a slice may always be worth, 1e-18 quote units: some ten times what rounding costs 128 futures and calls ...
SMALL: constant(int256) = 100 * 10**18
# ... and so many times the dust, which is what it costs puts.
DUST_FACTOR: constant(int256) = 10

clearing_house: public(immutable(address))
discount: public(uint256)
minimum_slice: public(uint256)


@deploy
def __init__(clearing_house_: address, first_discount: uint256, first_minimum_slice: uint256):
    """
    @notice Ties it to a clearing house, which must appoint it.
    @param clearing_house_ IClearingHouse.
    @param first_discount At most 20%, 1e-18.
    @param first_minimum_slice Above 0, at most 1, 1e-18.
    """
    clearing_house = clearing_house_
    self._set_terms(first_discount, first_minimum_slice)


@external
def set_terms(new_discount: uint256, new_minimum_slice: uint256):
    """
    @custom:see ILiquidation
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"
    self._set_terms(new_discount, new_minimum_slice)


@external
def liquidate(
    account: uint256, bidder: uint256, fraction: uint256, minimum: uint256, max_price: uint256, deadline: uint256
) -> (uint256, uint256):
    """
    @custom:see ILiquidation
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    assert block.timestamp <= deadline, "liquidation: deadline"
    assert staticcall house.controls(bidder, msg.sender, TRADE), "accounts: not authorised"
    taken: uint256 = 0
    price: uint256 = 0
    taken, price = extcall house.sell_slice(account, bidder, fraction)
    assert minimum <= taken, "liquidation: below minimum"
    assert price <= max_price, "liquidation: price"
    # The price may have moved while the bid was on its way.
    assert price != 0 or max_price == 0, "liquidation: no value"
    return taken, price


@external
@view
@reentrant
def slice_of(figures: IMarginEngine.Assessment, dust: int256, fraction: uint256) -> (uint256, uint256):
    """
    @custom:see ILiquidation
    """
    # Asked in the midst of `liquidate`; reads what no liquidation changes.
    limit: uint256 = self._limit(figures, dust)
    taken: uint256 = min(fraction, limit)
    assert min(self.minimum_slice, limit) <= taken, "liquidation: slice too small"
    return taken, self.discount


@external
@view
def largest_slice(account: uint256) -> uint256:
    """
    @custom:see ILiquidation
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    if not slices._is_unhealthy(figures):
        return 0
    return self._limit(figures, positions._dust(staticcall house.book(account)))


@internal
@view
def _limit(figures: IMarginEngine.Assessment, dust: int256) -> uint256:
    """
    @param figures Of an unhealthy account.
    @param dust See `slice_of`.
    @return The largest fraction that may be sold, rounded up.
    """
    least_worth: int256 = SMALL + DUST_FACTOR * dust
    if figures.net_value < least_worth:
        return WAD
    shortfall: int256 = figures.initial - figures.equity_initial
    kept: int256 = fixed_point.mul_down(figures.net_value, convert(WAD - self.discount, int256))
    needed: int256 = fixed_point.div_up(shortfall * convert(WAD, int256), shortfall + kept)
    worthwhile: int256 = fixed_point.div_up(least_worth * convert(WAD, int256), figures.net_value)
    return max(convert(max(needed, worthwhile), uint256), self.minimum_slice)


@internal
def _set_terms(new_discount: uint256, new_minimum_slice: uint256):
    """
    @notice Changes discount and minimum slice.
    """
    assert new_discount <= MAX_DISCOUNT, "liquidation: discount"
    assert new_minimum_slice != 0 and new_minimum_slice <= WAD, "liquidation: slice"
    self.discount = new_discount
    self.minimum_slice = new_minimum_slice
    log ILiquidation.LiquidationTermsSet(discount=new_discount, minimum_slice=new_minimum_slice)
