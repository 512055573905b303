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
MAX_TAILS: constant(uint256) = 2

TAILS: immutable(DynArray[address, MAX_TAILS])


@deploy
def __init__(
    market_data: address,
    methodology: address,
    pricing_kernel: address,
    chosen: uint256,
    tails_: DynArray[address, MAX_TAILS],
):
    """
    @notice Ties the engine to what it reads.
    @param market_data An `IMarketData`.
    @param methodology An `IMethodology`, which is compiled in.
    @param pricing_kernel An `IPricingKernel`.
    @param chosen 0 for the whole methodology. An engine of evidence has a part of its passes, bit i for pass i: it shows that an
           account is unhealthy for less gas, and never that a healthy one is.
    @param tails_ Tail engines (IMarginEngine) of the account modes VAR and MAX, which read the same market data. Without them,
           and so by an engine of evidence, no account of these modes is judged.
    """
    portfolio.__init__(market_data, methodology, pricing_kernel, chosen)
    TAILS = tails_


@external
@view
def assess(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @custom:see IMarginEngine
    """
    if account.mode > portfolio.PORTFOLIO:
        which: uint256 = account.mode - portfolio.PORTFOLIO - 1
        assert which < len(TAILS), "engine: mode"
        return staticcall IMarginEngine(TAILS[which]).assess(account)
    if portfolio._is_sum(account):
        return portfolio._apart(account)
    book: portfolio.Book = empty(portfolio.Book)
    leg: uint256 = 0
    r: IMarginReport.Report = empty(IMarginReport.Report)
    share: portfolio.Book = empty(portfolio.Book)
    r, share, leg = portfolio._next_underlying(account.legs, account.holdings, 0, 0, 0, False)
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
        r, share, leg = portfolio._next_underlying(account.legs, account.holdings, leg, r.underlying, 0, False)
    return portfolio._assessment(account.cash - account.cost, account.holdings, book, portfolio._credit(scans))


@external
@view
def tails() -> DynArray[address, MAX_TAILS]:
    """
    @notice The tail engines of the account modes VAR and MAX.
    @return IMarginEngine of each; empty where there are none.
    """
    return TAILS
