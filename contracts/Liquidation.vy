# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Liquidation: auctions of unhealthy accounts (decision 8)
@notice What is sold of which account, when and for how much; the clearing house moves it. Prices and slices are those of
        libraries/auction. The public surface, with its natspec, is ILiquidation.

        Nothing is assessed twice. A slice is a part of everything, so the requirement and equity of what stays and of what goes
        are known by proportion, but for sizes that are cut to 1e-6: the premium bounds what that can do, and the bidder pays
        it. So E_mm - MM never falls by a sale (INV-09), and a bidder with cash alone is known to have margin or not.
@custom:security See ILiquidation.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.libraries import fixed_point
from contracts.libraries import position
from contracts.modules import auctions
from contracts.modules import positions
from contracts.modules import rounding

implements: ILiquidation

initializes: auctions

exports: (auctions.terms, auctions.insolvent_running, auctions.auction_of)

START: constant(uint256) = 0
SOLVENT: constant(uint256) = 1
INSOLVENT: constant(uint256) = 2
TARGETED: constant(uint256) = 3

WAD: constant(int256) = 10**18
WHOLE: constant(uint256) = 10**18
FUND: constant(uint256) = 1
MAX_DATA: constant(uint256) = 8192
MAX_LEGS: constant(uint256) = 128
MAX_EVIDENCE: constant(uint256) = 8
# Where prices are stale, an account is sold only if it would be unhealthy with this much more of their gross value: a speck with
# a stale price shields nobody, a book of them stays.
STALE_FACTOR: constant(int256) = 2

clearing_house: public(immutable(address))
deleveraging: public(address)
_evidence: DynArray[address, MAX_EVIDENCE]
# The engine that they are a part of.
_evidence_of: address


@deploy
def __init__(clearing_house_: address, first_terms: ILiquidation.Terms):
    """
    @notice Ties it to a clearing house, which must appoint it.
    @param clearing_house_ IClearingHouse.
    @param first_terms See `ILiquidation.Terms`.
    """
    clearing_house = clearing_house_
    auctions._set_terms(first_terms)


@external
def award(
    account: uint256,
    bidder: uint256,
    state: IMarginEngine.Account,
    fresh: bool,
    stale_value: int256,
    fund: int256,
    engine: address,
    market_data: address,
    data: Bytes[MAX_DATA],
) -> ILiquidation.Sale:
    """
    @custom:see ILiquidation
    """
    assert msg.sender == clearing_house, "liquidation: caller"
    assert account != FUND and bidder != FUND, "liquidation: the fund"
    bid: ILiquidation.Bid = abi_decode(data, ILiquidation.Bid)
    assert block.timestamp <= bid.deadline, "liquidation: deadline"
    judge: address = engine
    if bid.kind == START and bid.evidence != 0:
        assert bid.evidence <= len(self._evidence) and self._evidence_of == engine, "liquidation: evidence"
        judge = self._evidence[bid.evidence - 1]
    figures: IMarginEngine.Assessment = staticcall IMarginEngine(judge).assess(state)
    figures.fresh = figures.fresh and fresh
    figures.stale_value += stale_value
    assert self._is_unhealthy(figures), "liquidation: healthy"
    if bid.kind == START:
        return auctions._start(account, bidder, figures, fund)

    if auctions._auctions[account].started == 0:
        # The discount is reward enough.
        assert bid.kind == SOLVENT, "liquidation: not started"
        auctions._auctions[account].started = block.timestamp
        log ILiquidation.AuctionStarted(account=account, starter=bidder, reward=0, insolvent=False)
    premium: int256 = rounding._premium(state, market_data)
    if bid.kind == TARGETED:
        return self._target(account, bidder, bid, state, figures, premium, engine)
    return self._slice(account, bidder, bid, state, figures, premium, fund)


@external
def end(account: uint256):
    """
    @custom:see ILiquidation
    """
    figures: IMarginEngine.Assessment = staticcall IClearingHouse(clearing_house).assess(account)
    assert auctions._auctions[account].started != 0, "liquidation: not started"
    assert figures.fresh and figures.equity_maintenance >= figures.maintenance, "liquidation: unhealthy"
    auctions._end(account)


@external
def absorb(account: uint256):
    """
    @custom:see ILiquidation
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    state: IMarginEngine.Account = staticcall house.portfolio(account)
    assert account != FUND and state.cash < 0, "liquidation: no debt"
    assert len(state.legs) == 0 and len(state.holdings) == 0, "liquidation: has more than debt"
    if auctions._auctions[account].started != 0:
        auctions._end(account)
    log ILiquidation.Absorbed(account=account, debt=convert(-state.cash, uint256))
    extcall house.post(account, [], -state.cash, 0)
    extcall house.post(FUND, [], state.cash, 0)


@external
def set_terms(new_terms: ILiquidation.Terms):
    """
    @custom:see ILiquidation
    """
    self._require_owner()
    auctions._set_terms(new_terms)


@external
def set_evidence(engines: DynArray[address, MAX_EVIDENCE]):
    """
    @custom:see ILiquidation
    """
    self._require_owner()
    self._evidence = engines
    self._evidence_of = staticcall IClearingHouse(clearing_house).engine()
    log ILiquidation.EvidenceSet(engine=self._evidence_of, evidence=engines)


@external
def set_deleveraging(new_deleveraging: address):
    """
    @custom:see ILiquidation
    """
    self._require_owner()
    self.deleveraging = new_deleveraging
    log ILiquidation.DeleveragingSet(deleveraging=new_deleveraging)


@external
def set_deleveraged(account: uint256):
    """
    @custom:see ILiquidation
    """
    assert msg.sender == self.deleveraging, "liquidation: caller"
    assert auctions._auctions[account].marked != 0, "liquidation: not marked"
    auctions._auctions[account].deleveraged = block.timestamp


@external
@view
def evidence() -> DynArray[address, MAX_EVIDENCE]:
    """
    @custom:see ILiquidation
    """
    return self._evidence


@external
@view
def quote(account: uint256) -> ILiquidation.Quote:
    """
    @custom:see ILiquidation
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    q: ILiquidation.Quote = empty(ILiquidation.Quote)
    q.unhealthy = self._is_unhealthy(figures) and account != FUND
    q.net_value = figures.net_value
    a: ILiquidation.Auction = auctions._auctions[account]
    if not q.unhealthy:
        return q
    if a.started == 0:
        a.started = block.timestamp
    state: IMarginEngine.Account = staticcall house.portfolio(account)
    market_data: address = staticcall house.market_data()
    q.premium = rounding._premium(state, market_data)
    t: ILiquidation.Terms = auctions.terms
    q.discount = auctions._discount(a, t)
    if auctions._is_dead(a, t, figures):
        if auctions._is_marked(a, t):
            q.kind = INSOLVENT
            q.fraction = WHOLE
            q.price = auctions._falling_price(a, t, figures, True)
    else:
        q.kind = SOLVENT
        q.fraction = convert(auctions._limit(t, figures, q.discount, q.premium), uint256)
        part: int256 = convert(q.fraction, int256)
        q.price = fixed_point.mul_up(fixed_point.mul_up(figures.net_value, part), WAD - q.discount)
        if part != WAD:
            q.price += q.premium
    if q.kind != 0:
        q.needs = rounding._needs(state, figures, convert(q.fraction, int256), q.price, q.premium)
    return q


@internal
@view
def _require_owner():
    """
    @notice Only the owner of the clearing house passes.
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"


@internal
@pure
def _is_unhealthy(figures: IMarginEngine.Assessment) -> bool:
    """
    @return Whether an account may be sold: unhealthy even if stale prices were better by STALE_FACTOR times their value.
    """
    return figures.equity_maintenance + STALE_FACTOR * figures.stale_value < figures.maintenance


@internal
def _slice(
    account: uint256,
    bidder: uint256,
    bid: ILiquidation.Bid,
    state: IMarginEngine.Account,
    figures: IMarginEngine.Assessment,
    premium: int256,
    fund: int256,
) -> ILiquidation.Sale:
    """
    @notice Sells a fraction of everything.
    """
    t: ILiquidation.Terms = auctions.terms
    a: ILiquidation.Auction = auctions._auctions[account]
    fraction: int256 = convert(min(bid.fraction, WHOLE), int256)
    least: int256 = convert(t.minimum_slice, int256)
    price: int256 = 0
    # Received by the fund: a fee, or less than nothing.
    fund_cash: int256 = 0
    left: int256 = -1
    if bid.kind == SOLVENT:
        assert not auctions._is_dead(a, t, figures), "liquidation: no value"
        discount: int256 = auctions._discount(a, t)
        limit: int256 = auctions._limit(t, figures, discount, premium)
        fraction = min(fraction, limit)
        least = min(least, limit)
        # Up, for the account.
        value: int256 = fixed_point.mul_up(figures.net_value, fraction)
        price = fixed_point.mul_up(value, WAD - discount)
        fund_cash = fixed_point.mul_down(value, auctions._fee_rate(t, discount))
        # E_mm - MM afterwards.
        left = fixed_point.mul_down(figures.equity_maintenance - figures.maintenance, WAD - fraction) + price - fund_cash
    else:
        assert bid.kind == INSOLVENT, "liquidation: kind"
        assert auctions._is_dead(a, t, figures), "liquidation: has value"
        assert auctions._is_marked(a, t), "liquidation: not marked"
        price = fixed_point.mul_up(auctions._falling_price(a, t, figures, fraction == WAD), fraction)
        fund_cash = min(price, 0)
        # What the fund does not have it may owe only when everything else has been tried.
        assert -fund_cash <= max(fund, 0) or a.deleveraged != 0, "liquidation: fund is short"
    assert least <= fraction, "liquidation: slice too small"

    sale: ILiquidation.Sale = empty(ILiquidation.Sale)
    sale.fraction = convert(fraction, uint256)
    cash: int256 = state.cash
    if fraction == WAD:
        sale.package = state.legs
        sale.cost = state.cost
    else:
        sale.package = positions._slice(state.legs, fraction)
        sale.cost = state.cost * fraction // WAD
        cash = cash * fraction // WAD
        price += premium
    assert bid.min_fraction <= sale.fraction, "liquidation: below minimum"
    assert price <= bid.max_price, "liquidation: price"
    sale.bidder_cash = cash - price
    sale.fund_cash = fund_cash
    # The premium is the account's even where the fund pays for the rest.
    sale.account_cash = price - cash - fund_cash
    sale.needs = rounding._needs(state, figures, fraction, price, premium)
    log ILiquidation.Sold(
        account=account,
        bidder=bidder,
        kind=bid.kind,
        fraction=sale.fraction,
        net_value=figures.net_value,
        price=price,
        fund=fund_cash,
    )
    if fraction == WAD or (left >= 0 and figures.fresh):
        auctions._end(account)
    return sale


@internal
def _target(
    account: uint256,
    bidder: uint256,
    bid: ILiquidation.Bid,
    state: IMarginEngine.Account,
    figures: IMarginEngine.Assessment,
    premium: int256,
    engine: address,
) -> ILiquidation.Sale:
    """
    @notice Sells legs of the bidder's choice at its price, where that helps the account at least as much as a slice.
    """
    t: ILiquidation.Terms = auctions.terms
    a: ILiquidation.Auction = auctions._auctions[account]
    assert not auctions._is_dead(a, t, figures), "liquidation: no value"
    assert len(bid.package) != 0, "liquidation: package"
    assert figures.fresh, "liquidation: stale data"
    discount: int256 = auctions._discount(a, t)
    rate: int256 = auctions._fee_rate(t, discount)
    lost: int256 = discount + rate
    limit: int256 = auctions._limit(t, figures, discount, premium)

    sale: ILiquidation.Sale = empty(ILiquidation.Sale)
    sale.package = self._chosen(state.legs, bid.package)
    sale.cost = bid.cost
    longer: DynArray[int256, MAX_LEGS] = []
    after: IMarginEngine.Account = state
    after.legs, longer = positions._merge(state.legs, sale.package, -1)
    after.cost -= bid.cost
    after.cash += bid.max_price
    then: IMarginEngine.Assessment = staticcall IMarginEngine(engine).assess(after)
    # The fund's part of what the account loses is that of a slice.
    given: int256 = figures.net_value - then.net_value
    fee: int256 = max(given, 0) * rate // discount
    loss: int256 = given + fee
    gain: int256 = then.equity_maintenance - fee - then.maintenance - figures.equity_maintenance + figures.maintenance
    by_slice: int256 = figures.maintenance - figures.equity_maintenance + fixed_point.mul_up(
        figures.net_value, WAD - lost
    )
    assert gain > 0, "liquidation: no better"
    assert fixed_point.mul_down(gain, fixed_point.mul_down(figures.net_value, lost)) >= fixed_point.mul_up(
        loss, by_slice
    ), "liquidation: a slice is better"
    assert loss <= fixed_point.mul_down(fixed_point.mul_down(figures.net_value, limit), lost), "liquidation: loss"
    if limit != WAD:
        above: int256 = fixed_point.mul_down(
            figures.equity_initial - figures.initial, WAD - limit
        ) + fixed_point.mul_up(fixed_point.mul_up(figures.net_value, limit), WAD - lost)
        assert then.equity_initial - fee - then.initial <= max(above, 0) + premium, "liquidation: too much"

    sale.bidder_cash = -bid.max_price
    sale.fund_cash = fee
    sale.account_cash = bid.max_price - fee
    # It takes a part of the book alone, whose requirement is not known.
    sale.needs = max_value(int256)
    log ILiquidation.Sold(
        account=account,
        bidder=bidder,
        kind=TARGETED,
        fraction=0,
        net_value=figures.net_value,
        price=bid.max_price,
        fund=fee,
    )
    if then.equity_maintenance - fee >= then.maintenance:
        auctions._end(account)
    return sale


@internal
@pure
def _chosen(legs: DynArray[uint256, MAX_LEGS], package: DynArray[uint256, 16]) -> DynArray[uint256, MAX_LEGS]:
    """
    @notice Legs that the account has, as far as it has them.
    @param legs Its book.
    @param package Words, ascending.
    @return The package, with the words of the book but for the sizes.
    """
    chosen: DynArray[uint256, MAX_LEGS] = []
    at: uint256 = 0
    for word: uint256 in package:
        found: bool = False
        for i: uint256 in range(at, len(legs), bound=MAX_LEGS):
            if position.instrument(legs[i]) == position.instrument(word):
                held: int256 = position.size(legs[i])
                size: int256 = position.size(word)
                assert size != 0 and abs(size) <= abs(held) and (size > 0) == (held > 0), "liquidation: size"
                chosen.append(positions._resize(legs[i], size))
                at = i + 1
                found = True
                break
        assert found, "liquidation: no such leg"
    return chosen
