# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Margin report: what a requirement is made of, and whether an act took risk
@notice The engine's sibling, with the same methodology compiled in: views for people, and for the one question that a
        single pair of figures cannot answer.
@custom:security As for `MarginEngine`, whose figures these are.
"""

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.modules import portfolio

implements: IMarginReport

initializes: portfolio

exports: (portfolio.market_data, portfolio.methodology, portfolio.pricing_kernel)

MAX_LEGS: constant(uint256) = 128
MAX_HOLDINGS: constant(uint256) = 16
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_SCENARIOS: constant(uint256) = 64

# The figures of a sum over parts come from there.
engine: public(immutable(address))


@deploy
def __init__(engine_: address, market_data: address, methodology: address, pricing_kernel: address):
    """
    @notice Ties the report to an engine and to what both read.
    @param engine_ An `IMarginEngine` that was given the same three.
    @param market_data An `IMarketData`.
    @param methodology An `IMethodology`, which is compiled in.
    @param pricing_kernel An `IPricingKernel`.
    """
    engine = engine_
    portfolio.__init__(market_data, methodology, pricing_kernel, 0)


@external
@view
def explain(
    account: IMarginEngine.Account,
) -> (IMarginEngine.Assessment, DynArray[IMarginReport.Report, MAX_UNDERLYINGS]):
    """
    @custom:see IMarginReport
    """
    return self._explain(account)


@external
@view
def takes_no_risk(before: IMarginEngine.Account, after: IMarginEngine.Account, fees: int256) -> bool:
    """
    @custom:see IMarginReport
    """
    old: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    new: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    old_reports: DynArray[IMarginReport.Report, MAX_UNDERLYINGS] = []
    new_reports: DynArray[IMarginReport.Report, MAX_UNDERLYINGS] = []
    old, old_reports = self._explain(before)
    new, new_reports = self._explain(after)
    if (
        new.equity_maintenance + fees < old.equity_maintenance
        or new.equity_initial + fees < old.equity_initial
        or new.maintenance > old.maintenance
        or new.initial > old.initial
    ):
        return False
    # What the act freed must bear the fees, or else initial margin (INV-04).
    if new.equity_maintenance - new.maintenance < min(old.equity_maintenance - old.maintenance, 0):
        return False

    # Both lists ascend. An underlying of the old state alone can only lose its losses.
    i: uint256 = 0
    for report: IMarginReport.Report in new_reports:
        for _: uint256 in range(MAX_UNDERLYINGS):
            if i == len(old_reports) or old_reports[i].underlying >= report.underlying:
                break
            i += 1
        known: bool = i < len(old_reports) and old_reports[i].underlying == report.underlying
        for s: uint256 in range(len(report.pnl), bound=MAX_SCENARIOS):
            least: int256 = 0
            if known:
                least = min(old_reports[i].pnl[s], 0)
            if report.pnl[s] < least:
                return False
    return True


@internal
@view
def _explain(
    account: IMarginEngine.Account,
) -> (IMarginEngine.Assessment, DynArray[IMarginReport.Report, MAX_UNDERLYINGS]):
    """
    @notice The loop of `MarginEngine.assess`, which keeps the reports.
    """
    book: portfolio.Book = empty(portfolio.Book)
    leg: uint256 = 0
    r: IMarginReport.Report = empty(IMarginReport.Report)
    share: portfolio.Book = empty(portfolio.Book)
    scans: DynArray[portfolio.Scan, MAX_UNDERLYINGS] = []
    reports: DynArray[IMarginReport.Report, MAX_UNDERLYINGS] = []
    for _: uint256 in range(MAX_UNDERLYINGS + 1):
        r, share, leg = portfolio._next_underlying(account.legs, account.holdings, leg, r.underlying, 0, True)
        if r.underlying == 0:
            break
        book = portfolio._sum(book, share)
        scans.append(portfolio.Scan(underlying=r.underlying, worst=r.scan, pnl=r.pnl))
        reports.append(r)
    figures: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    # How many reports are sums over parts.
    apart: uint256 = 0
    if portfolio._is_sum(account):
        apart = len(reports)
    if apart != 0 or account.mode > portfolio.PORTFOLIO:
        figures = staticcall IMarginEngine(engine).assess(account)
    else:
        figures = portfolio._assessment(account.cash - account.cost, account.holdings, book, portfolio._credit(scans))

    # Charges of each part alone, by underlying; P&L and Greeks stay those of the whole.
    legs: uint256 = len(account.legs)
    for j: uint256 in range(apart, bound=MAX_UNDERLYINGS):
        whole: IMarginReport.Report = reports[j]
        whole.scan = 0
        whole.calendar = 0
        whole.vega_calendar = 0
        whole.short_option = 0
        whole.liquidity = 0
        whole.confidence = 0
        for i: uint256 in range(legs + len(account.holdings), bound=MAX_LEGS + MAX_HOLDINGS):
            part_legs: DynArray[uint256, MAX_LEGS] = []
            part_holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS] = []
            if i < legs:
                if account.legs[i] >> 248 != whole.underlying:
                    continue
                part_legs = [account.legs[i]]
            else:
                if account.holdings[i - legs].underlying != whole.underlying:
                    continue
                part_holdings = [account.holdings[i - legs]]
            r, share, leg = portfolio._next_underlying(part_legs, part_holdings, 0, 0, 0, False)
            whole.scan += r.scan
            whole.calendar += r.calendar
            whole.vega_calendar += r.vega_calendar
            whole.short_option += r.short_option
            whole.liquidity += r.liquidity
            whole.confidence += r.confidence
        reports[j] = whole
    return figures, reports
