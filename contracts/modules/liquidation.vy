# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Liquidation: a slice of everything an unhealthy account has, sold to a bidder (decision 8)
@notice Net value NV is equity without haircuts. The bidder takes a fraction f of every leg, collateral, cash and cost,
        and pays its value at mark less the discount d. The fraction that brings the account back to initial margin
        solves (1 - f) E + f NV (1 - d) = (1 - f) IM:

            f = (IM - E) / (IM - E + NV (1 - d))

        An account without net value has f = 1 and price 0. Nothing is paid for taking a debt: such an account stays
        until somebody finds its legs worth it, or a backstop comes.
@custom:security What the bidder pays for is measured, as the net value before less the net value after, so that no
        rounding of sizes is a gift. `E_mm - MM` of the account may not fall (INV-09).
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine
from contracts.libraries import fixed_point
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import positions
from contracts.modules import solvency

uses: accounts
uses: authority
uses: custody
uses: positions
uses: solvency

WAD: constant(uint256) = 10**18
MAX_DISCOUNT: constant(uint256) = 2 * 10**17
# An account worth less (1e-18 quote units) may be taken whole: the rounding of 128 partial legs costs up to some USD.
SMALL: constant(int256) = 100 * 10**18

liquidation_discount: public(uint256)
minimum_slice: public(uint256)


@internal
def _set_terms(discount: uint256, smallest: uint256):
    """
    @notice Changes discount and minimum slice.
    """
    assert discount <= MAX_DISCOUNT, "liquidation: discount"
    assert smallest != 0 and smallest <= WAD, "liquidation: slice"
    self.liquidation_discount = discount
    self.minimum_slice = smallest
    log IClearingHouse.LiquidationTermsSet(discount=discount, minimum_slice=smallest)


@internal
def _liquidate(
    account: uint256, bidder: uint256, fraction: uint256, minimum: uint256, max_price: uint256, deadline: uint256
) -> (uint256, uint256):
    """
    @notice Sells a slice and checks both sides.
    @return Fraction and price.
    """
    assert authority.paused & authority.LIQUIDATION == 0, "liquidation: paused"
    assert block.timestamp <= deadline, "liquidation: deadline"
    accounts._require_control(bidder)
    assert accounts.owner_of[account] != accounts.owner_of[bidder], "liquidation: own account"

    net_value: int256 = 0
    figures: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    figures, net_value = self._value(account)
    health: int256 = figures.equity_maintenance - figures.maintenance
    assert figures.fresh, "liquidation: stale data"
    assert health < 0, "liquidation: healthy"

    limit: uint256 = self._largest_slice(figures.initial - figures.equity_initial, net_value)
    taken: uint256 = min(fraction, limit)
    assert minimum <= taken, "liquidation: below minimum"
    assert min(self.minimum_slice, limit) <= taken, "liquidation: slice too small"
    self._take(account, bidder, taken)

    net_value_after: int256 = 0
    figures, net_value_after = self._value(account)
    slice_value: int256 = net_value - net_value_after
    # Up, for the account.
    price: int256 = fixed_point.mul_up(max(slice_value, 0), convert(WAD - self.liquidation_discount, int256))
    assert convert(price, uint256) <= max_price, "liquidation: price"
    assert health <= figures.equity_maintenance + price - figures.maintenance, "liquidation: worse"
    custody._cash[account] += price
    custody._cash[bidder] -= price

    solvency._require_admissible(bidder)
    figures, net_value = self._value(bidder)
    assert solvency._has_initial(figures), "liquidation: bidder's margin"
    log IClearingHouse.Liquidated(
        account=account, bidder=bidder, fraction=taken, slice_value=slice_value, price=convert(price, uint256)
    )
    return taken, convert(price, uint256)


@internal
@view
def _value(account: uint256) -> (IMarginEngine.Assessment, int256):
    """
    @return The figures of an account, and its net value: equity plus what the initial haircuts took, rounded down.
    """
    state: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    state, fresh = solvency._load(account)
    figures: IMarginEngine.Assessment = solvency._assess(state, fresh)
    net_value: int256 = figures.equity_initial
    for holding: IMarginEngine.Holding in state.holdings:
        # Below 2**96 * 2**102 * 1e18: an amount is capped, and a price has 72 bits at 1e-9.
        net_value += convert(holding.amount * holding.price // WAD * holding.haircut_initial // WAD, int256)
    return figures, net_value


@internal
@view
def _largest_slice(shortfall: int256, net_value: int256) -> uint256:
    """
    @param shortfall IM - E_im, positive.
    @param net_value Net value.
    @return The largest fraction that may be sold, 1e-18, rounded up.
    """
    if net_value < SMALL:
        return WAD
    kept: int256 = fixed_point.mul_down(net_value, convert(WAD - self.liquidation_discount, int256))
    needed: int256 = fixed_point.div_up(shortfall * convert(WAD, int256), shortfall + kept)
    return max(convert(needed, uint256), self.minimum_slice)


@internal
def _take(account: uint256, bidder: uint256, fraction: uint256):
    """
    @notice Moves a fraction of everything from one account to the other. Amounts are rounded towards zero, except that
            a leg of which nothing would move is taken whole.
    """
    part: int256 = convert(fraction, int256)
    cost: int256 = positions.cost[account] * part // convert(WAD, int256)
    cash: int256 = custody._cash[account] * part // convert(WAD, int256)
    kinds: DynArray[uint256, custody.MAX_COLLATERALS] = custody._kinds(account)
    for kind: uint256 in kinds:
        amount: uint256 = custody._balances[account][kind] * fraction // WAD
        custody._debit(account, kind, amount)
        custody._credit(bidder, kind, amount)

    package: DynArray[uint256, positions.MAX_LEGS] = positions._slice(positions._books[account], part)
    custody._cash[account] += positions._add(account, positions._negate(package), -cost) - cash
    custody._cash[bidder] += positions._add(bidder, package, cost) + cash
