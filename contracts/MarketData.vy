# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Market data: spot, forwards, rates and surfaces from feeds, guarded, and what follows from their course
@notice One transaction replaces the state of one underlying and of any of its expiries. Feeds that verify signatures or
        read other oracles are publishers. The course of spot and of the perpetual's mark gives settlement prices,
        funding and the scan range.
@custom:security Timestamps are strictly newer and never ahead of the block; every number is bounded so that the margin
        engine cannot revert on it. What a feed has not verified is not verified: only feeds should be publishers.
"""

from snekmate.auth import ownable
from snekmate.auth import ownable_2step

from contracts.interfaces import IMarketData
from contracts.libraries import liquidity
from contracts.libraries import outside
from contracts.modules import dynamics as course
from contracts.modules import funding as perpetuals
from contracts.modules import market_terms
from contracts.modules import oracle_guard
from contracts.modules import settlements

implements: IMarketData

initializes: ownable
initializes: ownable_2step[ownable := ownable]
initializes: course
initializes: market_terms
initializes: oracle_guard
initializes: perpetuals
initializes: settlements

exports: (
    ownable.owner,
    ownable_2step.pending_owner,
    ownable_2step.transfer_ownership,
    ownable_2step.accept_ownership,
    course.rise,
    course.fall,
    market_terms.terms,
)

event PublisherSet:
    publisher: indexed(address)
    allowed: bool

event DepthSourceSet:
    depth_source: address

# 1e-9 quote units: 1e-6 to 1e8. With 128 legs of the greatest size at this price no charge overflows (see Methodology).
MIN_PRICE: constant(uint256) = 10**3
MAX_PRICE: constant(uint256) = 10**17
# 1e-12 units.
ONE: constant(uint256) = 10**12
# Of spot, what it may be off while its data are not fresh.
STALE_CONFIDENCE: constant(uint256) = 5 * 10**10
MAX_RATE: constant(int256) = 10**12
# -rate * time to expiry: a discount factor below 1.5, in proportion to which prices err (M-16).
MAX_GROWTH: constant(int256) = 4 * 10**11 * 365 * 86400
# b a year of tenor. A smile of one hour at 60% vol has about 60. Steeper than this, rounding of ln K at 1e-18 would move the
# price by more than the error bound has to spare.
MAX_STEEPNESS: constant(int256) = 10**5
MAX_SVI: constant(int256) = 100 * 10**12
MAX_TENOR: constant(uint256) = 10 * 365 * 86400
YEAR: constant(int256) = 365 * 86400
# For either of the two questions to the clearing house.
DEPTH_GAS: constant(uint256) = 50_000
BITS_20: constant(uint256) = 2**20 - 1
BITS_32: constant(uint256) = 2**32 - 1
BITS_40: constant(uint256) = 2**40 - 1

is_publisher: public(HashMap[address, bool])
# IClearingHouse, for its open interest and the caps on it; 0 where depths do not move.
depth_source: public(address)

# By underlying, from the most significant bit:
# spot 72 | perp mark 72 | confidence 40 | zero 20 | heartbeat 20 | timestamp 32; and the word of `dynamics` with
# forward heartbeat 20 | surface heartbeat 20 | zero 63 | doubted 1.
_heads: HashMap[uint256, uint256[2]]
_expiries: HashMap[uint256, HashMap[uint256, uint256[2]]]


@deploy
def __init__(rise: uint256, fall: uint256):
    """
    @notice The deployer owns the contract, and names publishers and the terms of underlyings.
    @param rise How fast a scan range rises, 1e-12 a second, above 0, at most 1e12; fixed for ever.
    @param fall How fast it falls, likewise.
    """
    ownable.__init__()
    ownable_2step.__init__()
    course.__init__(rise, fall)


@external
def set_publisher(publisher: address, allowed: bool):
    """
    @notice Allows or forbids an address to publish. Only the owner.
    @param publisher The address.
    @param allowed Whether it may publish.
    """
    ownable._check_owner()
    self.is_publisher[publisher] = allowed
    log PublisherSet(publisher=publisher, allowed=allowed)


@external
def set_depth_source(house: address):
    """
    @notice Names the clearing house whose open interest depths follow (M-23). Only the owner.
    @param house IClearingHouse; 0 for depths that go back to their whole.
    """
    ownable._check_owner()
    self.depth_source = house
    log DepthSourceSet(depth_source=house)


@external
def set_terms(underlying: uint256, terms: IMarketData.Terms):
    """
    @notice Sets what an underlying's data have to be like, and how its margin moves. Only the owner. The scan range goes
            towards its new target from now on; all else is in force from the next update on (INV-14).
    @param underlying The id, 1 to 255.
    @param terms See `IMarketData`.
    """
    ownable._check_owner()
    assert underlying != 0 and underlying < 256, "market: underlying"
    market_terms._set(underlying, terms)
    if self._heads[underlying][0] == 0:
        course._begin(underlying, terms.initial, terms.multiple)
        self._heads[underlying][1] = course._course(terms.initial, terms.initial, liquidity.ONE, liquidity.ONE)
    else:
        word: uint256 = self._heads[underlying][1]
        target: uint256 = course._target(
            course._variances[underlying], terms.multiple, terms.floor, terms.cap
        )
        self._heads[underlying][1] = course._bent(word, target, course._depth_target_of(word))


@external
def publish(update: IMarketData.Update) -> bool:
    """
    @custom:see IMarketData
    """
    assert self.is_publisher[msg.sender], "market: publisher"
    assert update.underlying != 0 and update.underlying < 256, "market: underlying"
    assert update.timestamp <= block.timestamp, "market: timestamp ahead"
    head: uint256 = self._heads[update.underlying][0]
    word: uint256 = self._heads[update.underlying][1]
    assert update.timestamp > head & BITS_32, "market: timestamp not newer"
    terms: uint256 = market_terms._rules(update.underlying)
    assert terms != 0, "market: no terms"
    self._check_price(update.spot)
    self._check_price(update.perp_mark)
    assert update.confidence < ONE, "market: confidence"

    confidence: uint256 = 0
    doubt: uint256 = 0
    confidence, doubt = self._judge(update, head)
    if doubt != oracle_guard.NO_DOUBT:
        # No expiry of it either: what is not believed in one figure is not believed in another.
        self._heads[update.underlying][1] = word | 1
        log IMarketData.UpdateDoubted(
            underlying=update.underlying, timestamp=update.timestamp, spot=update.spot, doubt=doubt
        )
        return False

    variance: uint256 = course._variances[update.underlying]
    if head != 0:
        perpetuals._accrue(update.underlying, head, update.timestamp)
        settlements._gather(update.underlying, head, update.timestamp)
        variance = course._learn(
            update.underlying,
            head >> 184,
            update.spot,
            update.timestamp - (head & BITS_32),
            market_terms._halflife(terms),
        )
    target: uint256 = course._target(
        variance, market_terms._multiple(terms), market_terms._floor(terms), market_terms._cap(terms)
    )
    depth_target: uint256 = self._depth_target(update.underlying, course._depth_target_of(word))
    self._heads[update.underlying] = [
        (update.spot << 184)
        | (update.perp_mark << 112)
        | (confidence << 72)
        | (market_terms._heartbeat(terms) << 32)
        | update.timestamp,
        # With the heartbeats of expiries, and without a doubt.
        (course._bent(word, target, depth_target) & ~course.REST) | (market_terms._expiry_heartbeats(terms) << 64),
    ]
    for e: IMarketData.ExpiryUpdate in update.expiries:
        self._store(update.underlying, update.timestamp, e, market_terms._expiry_heartbeats(terms) & BITS_20 != 0)
    log IMarketData.MarketUpdated(
        underlying=update.underlying,
        timestamp=update.timestamp,
        spot=update.spot,
        confidence=confidence,
        scan_range_target=target,
        depth_target=depth_target,
    )
    return True


@external
@view
def read(underlying: uint256, expiries: DynArray[uint256, 16]) -> (DynArray[uint256, 33], bool):
    """
    @custom:see IMarketData
    """
    head: uint256 = self._heads[underlying][0]
    word: uint256 = self._heads[underlying][1]
    # Nothing overflows: timestamps of 32 bits, and times of the block, plus seconds below 2**20. A head of zero was never
    # published.
    fresh: bool = (
        head != 0
        and word & 1 == 0
        and block.timestamp <= unsafe_add(head & BITS_32, (head >> 32) & BITS_20)
    )
    words: DynArray[uint256, 33] = [0]
    if head != 0:
        words[0] = (head & ~(2**72 - 1)) | (course._scan_range(word) << 32) | course._depth(word)
        if not fresh:
            confidence: uint256 = (head >> 72) & BITS_40
            words[0] += (max(confidence, STALE_CONFIDENCE) - confidence) << 72
    forward_heartbeat: uint256 = (word >> 84) & BITS_20
    surface_heartbeat: uint256 = (word >> 64) & BITS_20
    for expiry: uint256 in expiries:
        pair: uint256[2] = self._expiries[underlying][expiry]
        now: uint256 = min(block.timestamp, expiry)
        is_fresh: bool = pair[0] != 0 and now <= unsafe_add(pair[0] & BITS_32, forward_heartbeat)
        if surface_heartbeat != 0:
            # Calibrated when its tenor was left: an expiry has 32 bits, and so has a tenor.
            is_fresh = is_fresh and unsafe_add(now, (pair[0] >> 32) & BITS_32) <= unsafe_add(expiry, surface_heartbeat)
        if expiry < unsafe_add(block.timestamp, settlements.WINDOW):
            if expiry % settlements.DAY == settlements.TIME_OF_DAY and pair[0] != 0:
                forward: uint256 = 0
                fixed: uint256 = 0
                is_final: bool = False
                forward, fixed, is_final = settlements._forward(underlying, head, expiry, pair[0] >> 184)
                pair[0] = (forward << 184) | (pair[0] & (2**184 - 1))
                pair[1] |= fixed
                is_fresh = is_fresh or is_final
        if not is_fresh:
            fresh = False
        words.append(pair[0])
        words.append(pair[1])
    return words, fresh


@external
@view
def funding(underlying: uint256) -> int256:
    """
    @custom:see IMarketData
    """
    return perpetuals._funding(underlying, self._heads[underlying][0])


@external
@view
def settlement(underlying: uint256, expiry: uint256) -> (uint256, bool):
    """
    @custom:see IMarketData
    """
    return settlements._settlement(underlying, expiry)


@external
@view
def last_timestamp(underlying: uint256) -> uint256:
    """
    @custom:see IMarketData
    """
    return self._heads[underlying][0] & BITS_32


@external
@view
def dynamics(underlying: uint256) -> IMarketData.Dynamics:
    """
    @custom:see IMarketData
    """
    word: uint256 = self._heads[underlying][1]
    return IMarketData.Dynamics(
        scan_range=course._scan_range(word),
        scan_range_target=course._target_of(word),
        depth=course._depth(word),
        depth_target=course._depth_target_of(word),
        variance=course._variances[underlying],
        is_doubted=word & 1 == 1,
    )


@internal
def _judge(update: IMarketData.Update, head: uint256) -> (uint256, uint256):
    """
    @notice Asks whether an update is to be believed.
    @param update The update.
    @param head What was accepted last; 0 where nothing was.
    @return The confidence, widened; and the doubt.
    """
    guard: uint256 = market_terms._guard(update.underlying)
    confidence: uint256 = update.confidence
    source: address = market_terms._second_source(guard)
    if source != empty(address):
        answered: bool = False
        confidence, answered = oracle_guard._confidence(source, update.spot, update.confidence)
        if not answered:
            return confidence, oracle_guard.NO_SECOND_SOURCE
    if confidence > market_terms._widest(guard) or confidence >= ONE:
        return confidence, oracle_guard.TOO_WIDE
    if oracle_guard._is_jump(
        update.underlying,
        head,
        update.spot,
        update.timestamp,
        market_terms._jump(guard),
        market_terms._confirmation(guard),
    ):
        return confidence, oracle_guard.JUMP
    return confidence, oracle_guard.NO_DOUBT


@internal
def _store(underlying: uint256, timestamp: uint256, e: IMarketData.ExpiryUpdate, surfaces_age: bool):
    """
    @notice Checks and keeps an expiry.
    @param underlying The id.
    @param timestamp Of the update.
    @param e The expiry.
    @param surfaces_age Whether surfaces have a heartbeat: then none is calibrated later than the update, else it would
           outlive it.
    """
    assert e.expiry != 0 and e.expiry <= timestamp + MAX_TENOR, "market: expiry"
    assert e.expiry < 2**32, "market: expiry"
    self._check_price(e.forward)
    assert abs(e.rate) <= MAX_RATE, "market: rate"
    if e.expiry > timestamp:
        assert -e.rate * convert(e.expiry - timestamp, int256) <= MAX_GROWTH, "market: rate"
    s: IMarketData.Surface = e.surface
    if s.ref_seconds == 0:
        old: uint256 = self._expiries[underlying][e.expiry][0]
        assert old != 0, "market: no surface"
        self._expiries[underlying][e.expiry][0] = (
            (e.forward << 184)
            | (old & ((2**72 - 1) << 112))
            | (self._field(e.rate) << 64)
            | (old & (BITS_32 << 32))
            | timestamp
        )
        return
    self._check_price(s.forward)
    assert abs(s.a) <= MAX_SVI, "market: svi a"
    assert s.b >= 0 and s.b <= MAX_SVI, "market: svi b"
    assert abs(s.rho) < convert(ONE, int256), "market: svi rho"
    assert abs(s.m) <= MAX_SVI, "market: svi m"
    assert s.sigma > 0 and s.sigma <= MAX_SVI, "market: svi sigma"
    assert s.ref_seconds <= MAX_TENOR, "market: svi tenor"
    assert not surfaces_age or e.expiry <= timestamp + s.ref_seconds, "market: svi tenor"
    # b at 1e-12, the tenor in seconds.
    assert s.b * YEAR <= MAX_STEEPNESS * convert(s.ref_seconds * ONE, int256), "market: svi steepness"
    self._expiries[underlying][e.expiry] = [
        (e.forward << 184)
        | (s.forward << 112)
        | (self._field(e.rate) << 64)
        | (s.ref_seconds << 32)
        | timestamp,
        (self._field(s.a) << 208)
        | (self._field(s.b) << 160)
        | (self._field(s.rho) << 112)
        | (self._field(s.m) << 64)
        | (self._field(s.sigma) << 16),
    ]


@internal
@view
def _depth_target(underlying: uint256, current: uint256) -> uint256:
    """
    @notice Asks the clearing house how full the market is.
    @param underlying The id.
    @param current The target so far, for when the house is in the midst of a call and does not answer.
    @return 1e-6.
    """
    house: address = self.depth_source
    if house == empty(address):
        return liquidity.ONE
    interest: uint256 = 0
    cap: uint256 = 0
    answered: bool = False
    interest, answered = self._ask(house, abi_encode(underlying, method_id=method_id("open_interest(uint256)")))
    if not answered:
        return current
    cap, answered = self._ask(house, abi_encode(underlying, method_id=method_id("open_interest_cap(uint256)")))
    if not answered:
        return current
    return liquidity.share(interest, cap)


@internal
@view
def _ask(house: address, payload: Bytes[36]) -> (uint256, bool):
    """
    @return A number, and whether there was one.
    """
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(house, payload, 1, DEPTH_GAS)
    if not answered:
        return 0, False
    # Neither is negative, and neither comes near to the limit.
    return outside.word(answer, 0), outside.word(answer, 0) < 2**128


@internal
@pure
def _check_price(price: uint256):
    """@notice Reverts unless the price is admissible."""
    assert price >= MIN_PRICE and price <= MAX_PRICE, "market: price"


@internal
@pure
def _field(number: int256) -> uint256:
    """@return The number as 48 bits of two's complement."""
    return convert(convert(number, bytes32), uint256) & (2**48 - 1)
