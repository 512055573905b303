# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Tail engine: the requirement of a book by its worst loss over the grid or its expected shortfall, the larger of the two
@notice The margin engine with a second opinion (M-20): T, the joint expected shortfall over a scenario set. There is no
        selector: a methodology whose only scenario does not move anything leaves T alone.
@custom:security Requirements are rounded up and equity down, by the proven price error of the kernels (M-16): T errs by less than
        the worst loss of the grid may, so that the larger of the two is within the same bound.
"""

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.interfaces import ITailEngine
from contracts.interfaces import ITailScan
from contracts.modules import portfolio

implements: IMarginEngine
implements: ITailEngine

initializes: portfolio

exports: (portfolio.market_data, portfolio.methodology, portfolio.pricing_kernel)

MAX_UNDERLYINGS: constant(uint256) = 8

tail_scan: public(immutable(address))


@deploy
def __init__(market_data: address, methodology: address, pricing_kernel: address, tail_scan_: address):
    """
    @notice Ties the engine to what it reads.
    @param market_data An `IMarketData`.
    @param methodology An `IMethodology`, which is compiled in.
    @param pricing_kernel An `IPricingKernel`.
    @param tail_scan_ An `ITailScan` that was given the same market data and methodology.
    """
    portfolio.__init__(market_data, methodology, pricing_kernel, 0)
    tail_scan = tail_scan_


@external
@view
def assess(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @custom:see IMarginEngine
    """
    if portfolio._is_sum(account):
        return portfolio._apart(account)
    measured: ITailScan.Tail = staticcall ITailScan(tail_scan).scan(account.legs, account.holdings)
    book: portfolio.Book = empty(portfolio.Book)
    leg: uint256 = 0
    r: IMarginReport.Report = empty(IMarginReport.Report)
    share: portfolio.Book = empty(portfolio.Book)
    # Sums over the underlyings, each alone: of what the grid says, and of the larger of that and the tail.
    grid: int256 = 0
    larger: int256 = 0
    scans: DynArray[portfolio.Scan, MAX_UNDERLYINGS] = []
    for alone: int256 in measured.apart:
        r, share, leg = portfolio._next_underlying(account.legs, account.holdings, leg, r.underlying, alone, False)
        book = portfolio._sum(book, share)
        scans.append(portfolio.Scan(underlying=r.underlying, worst=r.scan, pnl=r.pnl))
        grid += r.scan
        larger += max(r.scan, alone)
    # The book's spread holds the second sum. What is to stand in its place is the scan of the whole.
    scan: int256 = max(grid - portfolio._credit(scans), measured.expected_shortfall)
    return portfolio._assessment(account.cash - account.cost, account.holdings, book, larger - scan)


@external
@view
def tail(account: IMarginEngine.Account) -> (int256, int256, uint256):
    """
    @custom:see ITailEngine
    """
    measured: ITailScan.Tail = staticcall ITailScan(tail_scan).scan(account.legs, account.holdings)
    return measured.value_at_risk, measured.expected_shortfall, measured.worst_row
