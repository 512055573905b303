# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Terms of an underlying's market data: heartbeats, the parameters of the scan range, and the guard
@notice Two words hold them, of which an update reads one each for its rules and for its guard:

        set 1 | heartbeat 20 | forward heartbeat 20 | surface heartbeat 20 | halflife 28 | floor 40 | cap 40 | multiple 44
        second source 160 | widest 40 | jump 40 | confirmation 16

        the first from bit 212 down, the second from the most significant bit. Units as `IMarketData` states.
"""

from contracts.interfaces import IMarketData

# 1e-12 units.
ONE: constant(uint256) = 10**12
# Longer, data would hardly be data; and block times plus it must not overflow.
MAX_HEARTBEAT: constant(uint256) = 7 * 86400
MAX_HALFLIFE: constant(uint256) = 365 * 86400
MAX_CONFIRMATION: constant(uint256) = 2**16 - 1
MAX_MULTIPLE: constant(uint256) = 10 * 10**12
BITS_20: constant(uint256) = 2**20 - 1
BITS_40: constant(uint256) = 2**40 - 1

_words: HashMap[uint256, uint256[2]]


@external
@view
def terms(underlying: uint256) -> IMarketData.Terms:
    """
    @custom:see IMarketData
    """
    rules: uint256 = self._words[underlying][0]
    guard: uint256 = self._words[underlying][1]
    return IMarketData.Terms(
        heartbeat_seconds=self._heartbeat(rules),
        forward_heartbeat_seconds=self._expiry_heartbeats(rules) >> 20,
        surface_heartbeat_seconds=self._expiry_heartbeats(rules) & BITS_20,
        multiple=self._multiple(rules),
        halflife_seconds=self._halflife(rules),
        floor=self._floor(rules),
        cap=self._cap(rules),
        initial=0,
        second_source=self._second_source(guard),
        widest=self._widest(guard),
        jump=self._jump(guard),
        confirmation_seconds=self._confirmation(guard),
    )


@internal
def _set(underlying: uint256, terms: IMarketData.Terms):
    """
    @notice Checks and keeps terms.
    """
    assert terms.heartbeat_seconds <= MAX_HEARTBEAT, "market: heartbeat"
    assert terms.forward_heartbeat_seconds <= MAX_HEARTBEAT, "market: forward heartbeat"
    assert terms.surface_heartbeat_seconds <= MAX_HEARTBEAT, "market: surface heartbeat"
    assert terms.multiple != 0 and terms.multiple <= MAX_MULTIPLE, "market: multiple"
    assert terms.halflife_seconds != 0 and terms.halflife_seconds <= MAX_HALFLIFE, "market: halflife"
    assert terms.floor != 0 and terms.floor <= terms.cap, "market: floor"
    assert terms.cap <= ONE, "market: cap"
    assert terms.initial >= terms.floor and terms.initial <= terms.cap, "market: initial"
    assert terms.widest <= ONE, "market: widest"
    assert terms.jump <= ONE, "market: jump"
    assert terms.confirmation_seconds <= MAX_CONFIRMATION, "market: confirmation"
    # Else an update that is brought twice would confirm itself.
    assert terms.jump == 0 or terms.confirmation_seconds != 0, "market: confirmation"
    self._words[underlying] = [
        (1 << 212)
        | (terms.heartbeat_seconds << 192)
        | (terms.forward_heartbeat_seconds << 172)
        | (terms.surface_heartbeat_seconds << 152)
        | (terms.halflife_seconds << 124)
        | (terms.floor << 84)
        | (terms.cap << 44)
        | terms.multiple,
        (convert(terms.second_source, uint256) << 96)
        | (terms.widest << 56)
        | (terms.jump << 16)
        | terms.confirmation_seconds,
    ]
    log IMarketData.TermsSet(underlying=underlying, terms=terms)


@internal
@view
def _rules(underlying: uint256) -> uint256:
    """@return The first word; 0 where nothing was set."""
    return self._words[underlying][0]


@internal
@view
def _guard(underlying: uint256) -> uint256:
    """@return The second word."""
    return self._words[underlying][1]


@internal
@pure
def _heartbeat(rules: uint256) -> uint256:
    """@return Seconds."""
    return (rules >> 192) & BITS_20


@internal
@pure
def _expiry_heartbeats(rules: uint256) -> uint256:
    """@return Of forwards 20 bits, of surfaces 20."""
    return (rules >> 152) & BITS_40


@internal
@pure
def _halflife(rules: uint256) -> uint256:
    """@return Seconds."""
    return (rules >> 124) & (2**28 - 1)


@internal
@pure
def _floor(rules: uint256) -> uint256:
    """@return 1e-12."""
    return (rules >> 84) & BITS_40


@internal
@pure
def _cap(rules: uint256) -> uint256:
    """@return 1e-12."""
    return (rules >> 44) & BITS_40


@internal
@pure
def _multiple(rules: uint256) -> uint256:
    """@return 1e-12."""
    return rules & (2**44 - 1)


@internal
@pure
def _second_source(guard: uint256) -> address:
    """@return ISpotSource, or 0."""
    return convert(guard >> 96, address)


@internal
@pure
def _widest(guard: uint256) -> uint256:
    """@return 1e-12."""
    return (guard >> 56) & BITS_40


@internal
@pure
def _jump(guard: uint256) -> uint256:
    """@return 1e-12."""
    return (guard >> 16) & BITS_40


@internal
@pure
def _confirmation(guard: uint256) -> uint256:
    """@return Seconds."""
    return guard & (2**16 - 1)
