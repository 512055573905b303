# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Market data: spot, forwards, rates and surfaces from authorised publishers, and what follows from their course
@notice One transaction replaces the state of one underlying and of any of its expiries. Feeds that verify signatures or
        read other oracles become publishers behind the same interface. The course of spot and of the perpetual's mark
        gives settlement prices and funding.
@custom:security Timestamps are strictly newer and never ahead of the block; every number is bounded so that the margin
        engine cannot revert on it. Prices are not compared with other sources here.
"""

from snekmate.auth import ownable
from snekmate.auth import ownable_2step

from contracts.interfaces import IMarketData
from contracts.modules import funding as perpetuals
from contracts.modules import settlements

implements: IMarketData

initializes: ownable
initializes: ownable_2step[ownable := ownable]
initializes: perpetuals
initializes: settlements

exports: (
    ownable.owner,
    ownable_2step.pending_owner,
    ownable_2step.transfer_ownership,
    ownable_2step.accept_ownership,
)

event PublisherSet:
    publisher: indexed(address)
    allowed: bool

event HeartbeatSet:
    heartbeat_seconds: uint256

# Longer, data would hardly be data; and block times plus it must not overflow.
MAX_HEARTBEAT: constant(uint256) = 7 * 86400
# 1e-9 quote units: 1e-6 to 1e8. With 128 legs of the greatest size at this price no charge overflows (see Methodology).
MIN_PRICE: constant(uint256) = 10**3
MAX_PRICE: constant(uint256) = 10**17
# 1e-12 units.
ONE: constant(uint256) = 10**12
MAX_RATE: constant(int256) = 10**12
# -rate * time to expiry: a discount factor below 1.5, in proportion to which prices err (M-16).
MAX_GROWTH: constant(int256) = 4 * 10**11 * 365 * 86400
# b a year of tenor. A smile of one hour at 60% vol has about 60. Steeper than this, rounding of ln K at 1e-18 would move the
# price by more than the error bound has to spare.
MAX_STEEPNESS: constant(int256) = 10**5
MAX_SVI: constant(int256) = 100 * 10**12
MAX_TENOR: constant(uint256) = 10 * 365 * 86400
YEAR: constant(int256) = 365 * 86400

heartbeat_seconds: public(uint256)
is_publisher: public(HashMap[address, bool])
_heads: HashMap[uint256, uint256]
_expiries: HashMap[uint256, HashMap[uint256, uint256[2]]]


@deploy
def __init__(heartbeat_seconds: uint256):
    """
    @notice The deployer owns the contract and names publishers.
    @param heartbeat_seconds Age beyond which data are not fresh, at most a week.
    """
    ownable.__init__()
    ownable_2step.__init__()
    self._set_heartbeat(heartbeat_seconds)


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
def set_heartbeat(heartbeat_seconds: uint256):
    """
    @notice Sets the age beyond which data are not fresh. Only the owner.
    @param heartbeat_seconds Seconds, at most a week.
    """
    ownable._check_owner()
    self._set_heartbeat(heartbeat_seconds)


@external
def publish(update: IMarketData.Update):
    """
    @notice Replaces the state of an underlying and of the expiries named. Only a publisher.
    @param update Units as `IMarketData` states; timestamp not after the block and after the last one's.
    """
    assert self.is_publisher[msg.sender], "market: publisher"
    assert update.underlying != 0 and update.underlying < 256, "market: underlying"
    assert update.timestamp <= block.timestamp, "market: timestamp ahead"
    head: uint256 = self._heads[update.underlying]
    assert update.timestamp > head & (2**32 - 1), "market: timestamp not newer"
    self._check_price(update.spot)
    self._check_price(update.perp_mark)
    assert update.confidence < ONE, "market: confidence"
    assert update.scan_range != 0 and update.scan_range <= ONE, "market: scan range"
    perpetuals._accrue(update.underlying, head, update.timestamp, self.heartbeat_seconds)
    if head != 0:
        settlements._gather(update.underlying, head, update.timestamp)
    self._heads[update.underlying] = (
        (update.spot << 184)
        | (update.perp_mark << 112)
        | (update.confidence << 72)
        | (update.scan_range << 32)
        | update.timestamp
    )
    for e: IMarketData.ExpiryUpdate in update.expiries:
        assert e.expiry != 0 and e.expiry <= update.timestamp + MAX_TENOR, "market: expiry"
        assert e.expiry < 2**32, "market: expiry"
        self._check_price(e.forward)
        assert abs(e.rate) <= MAX_RATE, "market: rate"
        if e.expiry > update.timestamp:
            assert -e.rate * convert(e.expiry - update.timestamp, int256) <= MAX_GROWTH, "market: rate"
        s: IMarketData.Surface = e.surface
        self._check_price(s.forward)
        assert abs(s.a) <= MAX_SVI, "market: svi a"
        assert s.b >= 0 and s.b <= MAX_SVI, "market: svi b"
        assert abs(s.rho) < convert(ONE, int256), "market: svi rho"
        assert abs(s.m) <= MAX_SVI, "market: svi m"
        assert s.sigma > 0 and s.sigma <= MAX_SVI, "market: svi sigma"
        assert s.ref_seconds != 0 and s.ref_seconds <= MAX_TENOR, "market: svi tenor"
        # b at 1e-12, the tenor in seconds.
        assert s.b * YEAR <= MAX_STEEPNESS * convert(s.ref_seconds * ONE, int256), "market: svi steepness"
        self._expiries[update.underlying][e.expiry] = [
            (e.forward << 184)
            | (s.forward << 112)
            | (self._field(e.rate) << 64)
            | (s.ref_seconds << 32)
            | update.timestamp,
            (self._field(s.a) << 208)
            | (self._field(s.b) << 160)
            | (self._field(s.rho) << 112)
            | (self._field(s.m) << 64)
            | (self._field(s.sigma) << 16),
        ]
    log IMarketData.MarketUpdated(underlying=update.underlying, timestamp=update.timestamp, spot=update.spot)


@external
@view
def read(underlying: uint256, expiries: DynArray[uint256, 16]) -> (DynArray[uint256, 33], bool):
    """
    @custom:see IMarketData
    """
    head: uint256 = self._heads[underlying]
    words: DynArray[uint256, 33] = [head]
    heartbeat: uint256 = self.heartbeat_seconds
    # Nothing overflows: timestamps of 32 bits, and times of the block, plus seconds below 2**20.
    # A timestamp of zero was never published.
    fresh: bool = head != 0 and block.timestamp <= unsafe_add(head & (2**32 - 1), heartbeat)
    for expiry: uint256 in expiries:
        pair: uint256[2] = self._expiries[underlying][expiry]
        is_fresh: bool = pair[0] != 0 and min(block.timestamp, expiry) <= unsafe_add(
            pair[0] & (2**32 - 1), heartbeat
        )
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
    return perpetuals._funding(underlying, self._heads[underlying])


@external
@view
def settlement(underlying: uint256, expiry: uint256) -> (uint256, bool):
    """
    @custom:see IMarketData
    """
    return settlements._settlement(underlying, expiry)


@internal
def _set_heartbeat(heartbeat_seconds: uint256):
    """
    @notice Changes the age beyond which data are not fresh.
    """
    assert heartbeat_seconds <= MAX_HEARTBEAT, "market: heartbeat"
    self.heartbeat_seconds = heartbeat_seconds
    log HeartbeatSet(heartbeat_seconds=heartbeat_seconds)


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
