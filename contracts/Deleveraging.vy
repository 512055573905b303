# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Deleveraging: counterparties share the loss of an account that nobody wants and the fund cannot pay for
@notice Whether a round may be opened, what each candidate closes and at which price. Ranks are kept by modules/nominations,
        opposite legs and gains found by modules/counterparties. The public surface, with its natspec, is IDeleveraging.
@custom:security See IDeleveraging.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IDeleveraging
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.libraries import fixed_point
from contracts.modules import counterparties
from contracts.modules import nominations
from contracts.modules import positions

implements: IDeleveraging

initializes: nominations

FUND: constant(uint256) = 1
FEES: constant(uint256) = 2
# `IClearingHouse.paused`.
LIQUIDATION: constant(uint256) = 2
PORTFOLIO: constant(uint256) = 2

# Legs that are closed, as the account gives them.
struct Package:
    legs: DynArray[uint256, positions.MAX_LEGS]
    notional: int256
    gain: int256  # of the candidate, not negative
    value: int256  # at the marks, to the account
    cost: int256  # of it, what futures and perpetuals are worth; the rest moves in cash

clearing_house: public(immutable(address))


@deploy
def __init__(clearing_house_: address):
    """
    @notice Ties it to a clearing house, of which it must be a member, and whose liquidation contract must name it.
    @param clearing_house_ IClearingHouse.
    """
    clearing_house = clearing_house_


@external
def open(account: uint256):
    """
    @custom:see IDeleveraging
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    liquidation: ILiquidation = ILiquidation(staticcall house.liquidation())
    a: ILiquidation.Auction = staticcall liquidation.auction_of(account)
    t: ILiquidation.Terms = staticcall liquidation.terms()
    assert a.marked != 0, "deleveraging: not marked"
    assert block.timestamp >= a.marked + t.insolvent_seconds, "deleveraging: price falls"
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    assert figures.fresh, "deleveraging: stale data"
    assert figures.equity_maintenance < figures.maintenance, "deleveraging: healthy"
    self._require_dead(a, t, figures)
    # The last price, the other way round.
    asked: int256 = max(figures.maintenance, convert(t.reward, int256)) - figures.net_value
    fund: int256 = staticcall house.cash(FUND)
    assert fund < asked, "deleveraging: fund can pay"
    nominations._open(account, a.started)
    log IDeleveraging.Opened(account=account, net_value=figures.net_value, fund=fund)


@external
def nominate(account: uint256, candidate: uint256) -> uint256:
    """
    @custom:see IDeleveraging
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    assert candidate > FEES and candidate != account, "deleveraging: candidate"
    figures: IMarginEngine.Assessment = staticcall house.assess(candidate)
    assert figures.fresh, "deleveraging: stale data"
    healthy: bool = figures.equity_maintenance >= figures.maintenance and figures.net_value > 0
    assert healthy, "deleveraging: unhealthy"
    market_data: IMarketData = IMarketData(staticcall house.market_data())
    book: DynArray[uint256, positions.MAX_LEGS] = staticcall house.book(account)
    theirs: DynArray[uint256, positions.MAX_LEGS] = staticcall house.book(candidate)
    legs: DynArray[uint256, positions.MAX_LEGS] = counterparties._opposite(book, theirs)
    assert len(legs) != 0, "deleveraging: no opposite legs"
    part: counterparties.Measure = counterparties._measure(legs, market_data)
    p: Package = self._assessed(legs, part, IMarginEngine(staticcall house.engine()))
    gross: counterparties.Measure = counterparties._measure(theirs, market_data)
    score: uint256 = convert(p.gain * gross.notional // figures.net_value, uint256)
    nominations._enter(account, candidate, score)
    log IDeleveraging.Nominated(
        account=account, candidate=candidate, score=score, gain=p.gain, notional=p.notional
    )
    return score


@external
def close(account: uint256, count: uint256) -> uint256:
    """
    @custom:see IDeleveraging
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    assert staticcall house.paused() & LIQUIDATION == 0, "liquidation: paused"
    liquidation: ILiquidation = ILiquidation(staticcall house.liquidation())
    a: ILiquidation.Auction = staticcall liquidation.auction_of(account)
    assert a.marked != 0 and nominations._is_closing(account, a.started), "deleveraging: no round"

    # With its interest, so that its cash is what it will be.
    extcall house.post(account, [], 0, 0)
    state: IMarginEngine.Account = staticcall house.portfolio(account)
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    assert figures.fresh, "deleveraging: stale data"
    assert figures.equity_maintenance < figures.maintenance, "deleveraging: healthy"
    first: uint256 = nominations._rounds[account].next
    if first == 0:
        # Later it has what rounding leaves.
        self._require_dead(a, staticcall liquidation.terms(), figures)
    last: uint256 = min(len(nominations._candidates[account]), first + min(count, nominations.MAX_CANDIDATES))
    taken: uint256 = 0
    for i: uint256 in range(first, last, bound=nominations.MAX_CANDIDATES):
        if len(state.legs) == 0 or figures.equity_maintenance >= figures.maintenance:
            break
        nominations._rounds[account].next = i + 1
        taken += 1
        closed: bool = self._close(account, nominations._candidates[account][i], state, figures, house)
        if closed:
            state = staticcall house.portfolio(account)
            figures = staticcall house.assess(account)
    if len(state.legs) == 0 or nominations._rounds[account].next == len(nominations._candidates[account]):
        extcall liquidation.set_deleveraged(account)
        log IDeleveraging.Closed(
            account=account, net_value=figures.net_value, uncovered=nominations._rounds[account].uncovered
        )
    return taken


@external
@view
def round_of(account: uint256) -> IDeleveraging.Round:
    """
    @custom:see IDeleveraging
    """
    r: nominations.Round = nominations._rounds[account]
    return IDeleveraging.Round(
        opened=r.opened,
        started=r.started,
        next=r.next,
        uncovered=r.uncovered,
        candidates=nominations._candidates[account],
        scores=nominations._scores[account],
    )


@internal
@view
def _require_dead(a: ILiquidation.Auction, t: ILiquidation.Terms, figures: IMarginEngine.Assessment):
    """
    @notice Passes an account that nobody can buy at a discount to its value any more.
    """
    expired: bool = block.timestamp > a.started + t.solvent_seconds
    assert figures.net_value <= 0 or expired, "deleveraging: has value"


@internal
def _close(
    account: uint256,
    candidate: uint256,
    state: IMarginEngine.Account,
    figures: IMarginEngine.Assessment,
    house: IClearingHouse,
) -> bool:
    """
    @notice Closes what a candidate holds against the account, at the bankruptcy price.
    @param account Whose loss is shared.
    @param candidate Who shares it.
    @param state The account.
    @param figures Its figures.
    @param house The clearing house.
    @return False where the candidate is passed over.
    """
    engine: IMarginEngine = IMarginEngine(staticcall house.engine())
    market_data: IMarketData = IMarketData(staticcall house.market_data())
    theirs: IMarginEngine.Account = staticcall house.portfolio(candidate)
    p: Package = empty(Package)
    p.legs = counterparties._opposite(state.legs, theirs.legs)
    if len(p.legs) == 0:
        log IDeleveraging.PassedOver(account=account, candidate=candidate)
        return False
    total: counterparties.Measure = counterparties._measure(state.legs, market_data)
    part: counterparties.Measure = counterparties._measure(p.legs, market_data)
    if part.notional == total.notional:
        # All of the book: what it is worth is what the account's figures say, so that exactly nothing is left.
        p = self._valued(p.legs, part, figures.option_value, self._book_value(state, figures))
    else:
        p = self._assessed(p.legs, part, engine)

    deficit: int256 = max(-figures.net_value, 0)
    cash: int256 = staticcall house.cash(FUND)
    fund: int256 = min(max(cash, 0), deficit)
    uncovered: int256 = min(convert(nominations._rounds[account].uncovered, int256), deficit - fund)
    # Each its part for what is closed, up, but never more than there is: on what stays open the fund pays nothing in advance.
    paid: int256 = fixed_point.div_up(fund * p.notional, total.notional)
    share: int256 = fixed_point.div_up((deficit - fund - uncovered) * p.notional, total.notional)
    loss: int256 = min(share, p.gain)
    cash = p.value - p.cost + loss
    if not self._can_bear(candidate, theirs, p, cash, engine, house):
        log IDeleveraging.PassedOver(account=account, candidate=candidate)
        return False

    nominations._rounds[account].uncovered = convert(uncovered + share - loss, uint256)
    if paid != 0:
        extcall house.post(FUND, [], -paid, 0)
        extcall house.post(account, [], paid, 0)
    extcall house.post(account, positions._negate(p.legs), cash, -p.cost)
    extcall house.post(candidate, p.legs, -cash, p.cost)
    log IDeleveraging.Deleveraged(
        account=account,
        candidate=candidate,
        legs=len(p.legs),
        notional=p.notional,
        value=p.value,
        loss=loss,
        share=share,
        fund=paid,
    )
    return True


@internal
@view
def _can_bear(
    candidate: uint256,
    state: IMarginEngine.Account,
    p: Package,
    cash: int256,
    engine: IMarginEngine,
    house: IClearingHouse,
) -> bool:
    """
    @return Whether a candidate has maintenance margin, on fresh data, after it has received a package and paid for it.
    """
    after: IMarginEngine.Account = state
    longer: DynArray[int256, positions.MAX_LEGS] = []
    after.legs, longer = positions._merge(state.legs, p.legs, 1)
    after.cash -= cash
    after.cost += p.cost
    figures: IMarginEngine.Assessment = staticcall engine.assess(after)
    fresh: bool = figures.fresh
    if len(state.holdings) != 0:
        # The engine knows nothing of the age of collateral prices.
        before: IMarginEngine.Assessment = staticcall house.assess(candidate)
        fresh = fresh and before.fresh
    return fresh and figures.equity_maintenance >= figures.maintenance


@internal
@view
def _assessed(
    legs: DynArray[uint256, positions.MAX_LEGS], part: counterparties.Measure, engine: IMarginEngine
) -> Package:
    """
    @notice The value of legs alone.
    @param legs A part of a book.
    @param part Its measure.
    @param engine The margin engine.
    """
    alone: IMarginEngine.Account = empty(IMarginEngine.Account)
    alone.mode = PORTFOLIO
    alone.legs = legs
    figures: IMarginEngine.Assessment = staticcall engine.assess(alone)
    return self._valued(legs, part, figures.option_value, figures.net_value)


@internal
@pure
def _valued(
    legs: DynArray[uint256, positions.MAX_LEGS], part: counterparties.Measure, option_value: int256, worth: int256
) -> Package:
    """
    @param legs A package.
    @param part Its measure.
    @param option_value Of its options, to the account.
    @param worth Of all its legs, to the account, rounded down.
    @return The package with its value, and what the candidate has gained by the other side.
    """
    p: Package = Package(legs=legs, notional=part.notional, gain=0, value=worth, cost=0)
    p.gain = max(max(part.gain, part.earlier_gain) - option_value, 0)
    if positions._has_linear(legs):
        p.cost = worth - option_value
    return p


@internal
@pure
def _book_value(state: IMarginEngine.Account, figures: IMarginEngine.Assessment) -> int256:
    """
    @return The value of all legs of an account: its net value without cash, cost and collateral.
    """
    worth: int256 = figures.net_value - state.cash + state.cost
    for h: IMarginEngine.Holding in state.holdings:
        worth -= convert(h.amount * h.price // 10**18, int256)
    return worth
