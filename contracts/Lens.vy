# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Lens: what a front end wants to know of an account, each in one call
@notice Asks the clearing house, the report and the engine; computes nothing of its own but liquidation distances. The
        public surface, with its natspec, is ILens.
@custom:security See ILens.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ILens
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.interfaces import IMarketData
from contracts.interfaces import IMethodology
from contracts.libraries import position
from contracts.modules import positions

implements: ILens

WAD: constant(int256) = 10**18
# A size of 1e-6 times a price of 1e-9, to 1e-18.
TO_WAD: constant(int256) = 10**3
# 1 + x R never falls below 5% (M-4).
MOST_FALL: constant(int256) = 95 * 10**16
PORTFOLIO: constant(uint256) = 2

clearing_house: public(immutable(address))


@deploy
def __init__(clearing_house_: address):
    """
    @notice Ties the lens to a clearing house; engine and report are always those in force there.
    @param clearing_house_ IClearingHouse.
    """
    clearing_house = clearing_house_


@external
@view
def account(account: uint256) -> ILens.View:
    """
    @custom:see ILens
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    view: ILens.View = empty(ILens.View)
    view.owner = staticcall house.owner_of(account)
    view.state = staticcall house.portfolio(account)
    view.figures = staticcall house.assess(account)
    view.free = view.figures.equity_initial - view.figures.initial

    engine: IMarginEngine = IMarginEngine(staticcall house.engine())
    for word: uint256 in view.state.legs:
        alone: IMarginEngine.Account = empty(IMarginEngine.Account)
        alone.mode = PORTFOLIO
        alone.legs = [word]
        figures: IMarginEngine.Assessment = staticcall engine.assess(alone)
        if position.kind(word) < position.CALL:
            view.values.append(figures.net_value)
        else:
            view.values.append(figures.option_value)

    report: IMarginReport = IMarginReport(staticcall house.report())
    whole: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    whole, view.reports = staticcall report.explain(view.state)
    compiled: IMethodology.Compiled = staticcall IMethodology(staticcall report.methodology()).compiled()
    market_data: IMarketData = IMarketData(staticcall report.market_data())
    for r: IMarginReport.Report in view.reports:
        view.distances.append(self._distance(r, view.figures, compiled, market_data))
    return view


@external
@view
def what_if(
    account: uint256, legs: DynArray[ILens.Leg, 16]
) -> (IMarginEngine.Assessment, IMarginEngine.Assessment):
    """
    @custom:see ILens
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    state: IMarginEngine.Account = staticcall house.portfolio(account)
    before: IMarginEngine.Assessment = staticcall house.assess(account)
    package: DynArray[uint256, positions.MAX_LEGS] = []
    for leg: ILens.Leg in legs:
        package.append(position.pack(leg.underlying, leg.expiry, leg.strike, leg.kind, leg.size))
        value: int256 = leg.size * convert(leg.price, int256) * TO_WAD
        if leg.kind < position.CALL:
            state.cost += value
        else:
            state.cash -= value
    longer: DynArray[int256, positions.MAX_LEGS] = []
    state.legs, longer = positions._merge(state.legs, package, 1)
    after: IMarginEngine.Assessment = staticcall IMarginEngine(staticcall house.engine()).assess(state)
    # The engine knows nothing of the age of collateral prices.
    after.fresh = after.fresh and (before.fresh or len(state.holdings) == 0)
    return before, after


@internal
@view
def _distance(
    r: IMarginReport.Report,
    figures: IMarginEngine.Assessment,
    compiled: IMethodology.Compiled,
    market_data: IMarketData,
) -> ILens.Distance:
    """
    @notice Where equity with the P&L of a move alone falls to maintenance margin.
    @param r The underlying.
    @param figures Of the account.
    @param compiled The methodology.
    @param market_data Where the scan range stands.
    @return Fall and rise, each 0 where the account can be liquidated already.
    """
    scan_range: int256 = compiled.parameters.scan_range
    if scan_range == 0:
        words: DynArray[uint256, 33] = []
        fresh: bool = False
        words, fresh = staticcall market_data.read(r.underlying, [])
        # 40 bits at 1e-12.
        scan_range = convert((words[0] >> 32) & (2**40 - 1), int256) * 10**6

    # Moves and whole P&L of the scenarios without a vol move, ascending.
    moves: DynArray[int256, 64] = []
    profits: DynArray[int256, 64] = []
    rung: uint256 = 0
    for fields: uint256 in compiled.passes:
        count: uint256 = ((fields >> 8) & 255) - ((fields >> 16) & 255)
        for i: uint256 in range(count, bound=64):
            if fields >> 96 == 0:
                word: uint256 = compiled.rungs[rung + i]
                moves.append(max(compiled.moves[(word >> 8) & 255] * scan_range // WAD, -MOST_FALL))
                profits.append(r.pnl[word & 255] * WAD // convert(word >> 16, int256))
        rung += count

    spare: int256 = figures.equity_maintenance - figures.maintenance
    distance: ILens.Distance = ILens.Distance(
        underlying=r.underlying, fall=max_value(uint256), rise=max_value(uint256)
    )
    if spare < 0:
        return ILens.Distance(underlying=r.underlying, fall=0, rise=0)
    move: int256 = 0
    profit: int256 = 0
    n: uint256 = len(moves)
    for i: uint256 in range(n, bound=64):
        at: uint256 = n - 1 - i
        if moves[at] >= 0:
            continue
        if spare + profits[at] < 0:
            distance.fall = convert(-self._crossing(move, profit, moves[at], profits[at], spare), uint256)
            break
        move = moves[at]
        profit = profits[at]
    move = 0
    profit = 0
    for i: uint256 in range(n, bound=64):
        if moves[i] <= 0:
            continue
        if spare + profits[i] < 0:
            distance.rise = convert(self._crossing(move, profit, moves[i], profits[i], spare), uint256)
            break
        move = moves[i]
        profit = profits[i]
    return distance


@internal
@pure
def _crossing(near: int256, near_profit: int256, far: int256, far_profit: int256, spare: int256) -> int256:
    """
    @return The move between two at which a profit on the line through theirs uses up what there is to spare.
    """
    return near + (far - near) * (spare + near_profit) // (near_profit - far_profit)
