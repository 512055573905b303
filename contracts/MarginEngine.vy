# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Margin engine: the requirement of a whole book by its worst loss over stressed prices and vols
@notice Stateless: reads validated market data and a book, and returns figures. To replace market data, methodology or
        kernel, deploy another engine.
@custom:security Requirements are rounded up and equity down, by the proven price error of the kernel (M-16): the
        requirement is never below the exact one.
"""

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.modules import portfolio

implements: IMarginEngine

initializes: portfolio

exports: (portfolio.market_data, portfolio.methodology, portfolio.pricing_kernel)

MAX_UNDERLYINGS: constant(uint256) = 8


@deploy
def __init__(market_data: address, methodology: address, pricing_kernel: address, chosen: uint256):
    """
    @notice Ties the engine to what it reads.
    @param market_data An `IMarketData`.
    @param methodology An `IMethodology`, which is compiled in.
    @param pricing_kernel An `IPricingKernel`.
    @param chosen 0 for the whole methodology. An engine of evidence has a part of its passes, bit i for pass i: it shows that an
           account is unhealthy for less gas, and never that a healthy one is.
    """
    portfolio.__init__(market_data, methodology, pricing_kernel, chosen)


@external
@view
def assess(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @custom:see IMarginEngine
    """
    if portfolio._is_sum(account):
        return self._cross(account)
    book: portfolio.Book = empty(portfolio.Book)
    leg: uint256 = 0
    r: IMarginReport.Report = empty(IMarginReport.Report)
    share: portfolio.Book = empty(portfolio.Book)
    r, share, leg = portfolio._next_underlying(account.legs, account.holdings, 0, 0, False)
    if leg == len(account.legs) and len(account.holdings) == 0:
        # One underlying, as in most books: nothing to add up.
        return portfolio._assessment(account.cash - account.cost, account.holdings, share, 0)
    # Last in memory, of which only what is touched is paid for.
    scans: DynArray[portfolio.Scan, MAX_UNDERLYINGS] = []
    for _: uint256 in range(MAX_UNDERLYINGS + 1):
        if r.underlying == 0:
            break
        book = portfolio._sum(book, share)
        scans.append(portfolio.Scan(underlying=r.underlying, worst=r.scan, pnl=r.pnl))
        if leg == len(account.legs) and len(account.holdings) == 0:
            break
        r, share, leg = portfolio._next_underlying(account.legs, account.holdings, leg, r.underlying, False)
    return portfolio._assessment(account.cash - account.cost, account.holdings, book, portfolio._credit(scans))


@internal
@view
def _cross(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @notice Every leg and every in-grid holding alone: no offset is recognised (M-17).
    @dev Each part is assessed by a call of its own, so that none pays for the memory of all.
    @param account The account.
    @return Sums of the parts' requirements, with the equity of the whole.
    """
    total: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    total.fresh = True
    total.equity_maintenance = account.cash - account.cost
    total.equity_initial = total.equity_maintenance
    total.net_value = total.equity_maintenance
    part: IMarginEngine.Account = empty(IMarginEngine.Account)
    part.mode = portfolio.PORTFOLIO
    for leg: uint256 in account.legs:
        part.legs = [leg]
        total = self._with_part(total, staticcall IMarginEngine(self).assess(part))
    part.legs = []
    for h: IMarginEngine.Holding in account.holdings:
        part.holdings = [h]
        total = self._with_part(total, staticcall IMarginEngine(self).assess(part))
    return total


@internal
@pure
def _with_part(
    total: IMarginEngine.Assessment, part: IMarginEngine.Assessment
) -> IMarginEngine.Assessment:
    """@return The figures of two books side by side, without any offset."""
    return IMarginEngine.Assessment(
        maintenance=total.maintenance + part.maintenance,
        initial=total.initial + part.initial,
        equity_maintenance=total.equity_maintenance + part.equity_maintenance,
        equity_initial=total.equity_initial + part.equity_initial,
        net_value=total.net_value + part.net_value,
        option_value=total.option_value + part.option_value,
        isolated=total.isolated + part.isolated,
        fresh=total.fresh and part.fresh,
        stale_value=total.stale_value + part.stale_value,
    )
