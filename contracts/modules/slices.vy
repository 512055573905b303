# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Slices: a fraction of everything that an unhealthy account has, sold to another (decision 8)
@notice Which fraction, when and at which discount is for the liquidation contract to say.
@custom:security What the bidder pays for is measured, as the net value before less the net value after, so that no
        rounding of sizes is a gift. `E_mm - MM` of the account may not fall (INV-09), and both sides are checked here:
        a bad liquidation contract can sell unhealthy accounts too cheaply, but no others.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.libraries import fixed_point
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import ledger
from contracts.modules import positions
from contracts.modules import solvency

uses: accounts
uses: authority
uses: custody
uses: ledger
uses: positions
uses: solvency

WAD: constant(uint256) = 10**18
# Where prices are stale, an account is sold only if it would be unhealthy with this much more of their gross value, and
# bought only by one that bears to lose as much: a speck with a stale price shields nobody, a book of them stays.
STALE_FACTOR: constant(int256) = 2


@internal
def _sell(account: uint256, bidder: uint256, wanted: uint256, rule: address) -> (uint256, uint256):
    """
    @notice Sells a slice and checks both sides.
    @return Fraction, and price in 1e-18 quote units.
    """
    assert authority.paused & authority.LIQUIDATION == 0, "liquidation: paused"
    assert accounts.owner_of[account] != accounts.owner_of[bidder], "liquidation: own account"

    # Its interest first, or the bidder would get what came since its last act.
    ledger._change(account, 0)
    before: IMarginEngine.Assessment = solvency._figures(account)
    health: int256 = before.equity_maintenance - before.maintenance
    assert self._is_unhealthy(before), "liquidation: healthy"
    fraction: uint256 = 0
    discount: uint256 = 0
    fraction, discount = staticcall ILiquidation(rule).slice_of(
        before, positions._dust(positions._books[account]), wanted
    )
    assert fraction != 0 and fraction <= WAD and discount <= WAD, "liquidation: fraction"
    self._take(account, bidder, convert(fraction, int256))

    after: IMarginEngine.Assessment = solvency._figures(account)
    slice_value: int256 = before.net_value - after.net_value
    # Up, for the account.
    price: int256 = fixed_point.mul_up(max(slice_value, 0), convert(WAD - discount, int256))
    assert health <= after.equity_maintenance + price - after.maintenance, "liquidation: worse"
    ledger._change(account, price)
    ledger._change(bidder, -price)

    solvency._require_admissible(bidder)
    after = solvency._figures(bidder)
    assert after.initial <= after.equity_initial - STALE_FACTOR * after.stale_value, "liquidation: bidder's margin"
    assert solvency._is_admitted(bidder, after.equity_initial), "liquidation: bidder's mode"
    log IClearingHouse.Liquidated(
        account=account,
        bidder=bidder,
        fraction=fraction,
        slice_value=slice_value,
        price=convert(price, uint256),
    )
    return fraction, convert(price, uint256)


@internal
@pure
def _is_unhealthy(figures: IMarginEngine.Assessment) -> bool:
    """
    @return Whether an account may be sold: unhealthy even if stale prices were better by STALE_FACTOR times their value.
    """
    return figures.equity_maintenance + STALE_FACTOR * figures.stale_value < figures.maintenance


@internal
def _take(account: uint256, bidder: uint256, fraction: int256):
    """
    @notice Moves a fraction of everything from one account to the other. Amounts are rounded towards zero, except that
            a leg of which nothing would move is taken whole.
    """
    cost: int256 = positions.cost[account] * fraction // convert(WAD, int256)
    cash: int256 = ledger._change(account, 0) * fraction // convert(WAD, int256)
    kinds: DynArray[uint256, custody.MAX_COLLATERALS] = custody._kinds(account)
    for kind: uint256 in kinds:
        amount: uint256 = custody._balances[account][kind] * convert(fraction, uint256) // WAD
        custody._debit(account, kind, amount)
        custody._credit(bidder, kind, amount)

    package: DynArray[uint256, positions.MAX_LEGS] = positions._slice(positions._books[account], fraction)
    ledger._change(account, positions._add(account, positions._negate(package), -cost) - cash)
    ledger._change(bidder, positions._add(bidder, package, cost) + cash)
