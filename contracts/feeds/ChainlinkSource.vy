# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Chainlink source: the last round of an aggregator, if nothing speaks against it
@notice Chainlink states no confidence: the deployer names its deviation threshold. On a rollup, prices count only while
        the sequencer is up, and only some time after it came back: until then nobody could act on what has moved.
@custom:security Holds no money and no state. A view cannot know whether ids of rounds go back; whoever keeps the time of
        the last price, as market data do, refuses an older one. Decimals are read once: an aggregator that changes them
        leaves the bounds.
"""

from contracts.interfaces import IAggregatorV3
from contracts.interfaces import ISpotSource
from contracts.libraries import outside

implements: ISpotSource

# 1e-12 units.
ONE: constant(uint256) = 10**12
# 1e-9 quote units, as in market data.
MAX_PRICE: constant(uint256) = 10**17
# The same at 18 decimals: no answer of fewer decimals that is above it is in bounds, and none below it overflows.
MAX_ANSWER: constant(int256) = 10**26
MAX_HEARTBEAT: constant(uint256) = 7 * 86_400
MAX_GRACE: constant(uint256) = 86_400
# A proxy with an access controller, before an aggregator with an access list, needs about 25,000 from cold storage.
FEED_GAS: constant(uint256) = 36_000
LATEST_ROUND_DATA: constant(Bytes[4]) = method_id("latestRoundData()")

aggregator: public(immutable(address))
decimals: public(immutable(uint8))
heartbeat_seconds: public(immutable(uint256))
least: public(immutable(uint256))
greatest: public(immutable(uint256))
confidence: public(immutable(uint256))
sequencer: public(immutable(address))
grace_seconds: public(immutable(uint256))
_divisor: immutable(uint256)


@deploy
def __init__(
    aggregator_: address,
    heartbeat_seconds_: uint256,
    least_: uint256,
    greatest_: uint256,
    confidence_: uint256,
    sequencer_: address,
    grace_seconds_: uint256,
):
    """
    @notice Fixes whom to ask, and what to believe.
    @param aggregator_ IAggregatorV3, with at most 18 decimals.
    @param heartbeat_seconds_ Age beyond which an answer is stale, at most a week.
    @param least_ The aggregator's floor, 1e-9: an answer at or below it is not a price (LUNA 2022).
    @param greatest_ Its ceiling, likewise.
    @param confidence_ Half-width as a fraction, 1e-12: its deviation threshold.
    @param sequencer_ IAggregatorV3: the uptime feed of the rollup's sequencer; empty where there is none.
    @param grace_seconds_ How long the sequencer must have been up, at most a day; 0 without one.
    """
    decimals_: uint8 = staticcall IAggregatorV3(aggregator_).decimals()
    assert decimals_ <= 18, "source: decimals"
    assert heartbeat_seconds_ != 0 and heartbeat_seconds_ <= MAX_HEARTBEAT, "source: heartbeat"
    assert least_ < greatest_ and greatest_ <= MAX_PRICE, "source: bounds"
    assert confidence_ < ONE, "source: confidence"
    assert grace_seconds_ <= MAX_GRACE, "source: grace"
    assert sequencer_ != empty(address) or grace_seconds_ == 0, "source: grace"
    aggregator = aggregator_
    decimals = decimals_
    heartbeat_seconds = heartbeat_seconds_
    least = least_
    greatest = greatest_
    confidence = confidence_
    sequencer = sequencer_
    grace_seconds = grace_seconds_
    _divisor = 10 ** convert(decimals_, uint256)


@external
@view
def spot() -> (uint256, uint256, uint256, bool):
    """
    @custom:see ISpotSource
    """
    price: uint256 = 0
    timestamp: uint256 = 0
    price, timestamp = self._price()
    if price == 0:
        return 0, 0, 0, False
    if not self._is_up():
        return 0, 0, 0, False
    return price, confidence, timestamp, True


@internal
@view
def _price() -> (uint256, uint256):
    """
    @return The price, rounded down, and the time of its round; zeros where the round is not to be used.
    """
    round_id: uint256 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint256 = 0
    answered: bool = False
    round_id, answer, started_at, updated_at, answered_in, answered = self._round(aggregator)
    if not answered:
        return 0, 0
    # The round is open, or its answer is that of an earlier one.
    if updated_at == 0 or answered_in < round_id:
        return 0, 0
    if updated_at > block.timestamp or block.timestamp - updated_at > heartbeat_seconds:
        return 0, 0
    if answer <= 0 or answer > MAX_ANSWER:
        return 0, 0
    price: uint256 = convert(answer, uint256) * 10**9 // _divisor
    # Rounded down, a price is below the ceiling exactly if the answer is; just above the floor it is refused too.
    if price <= least or price >= greatest:
        return 0, 0
    return price, updated_at


@internal
@view
def _is_up() -> bool:
    """
    @return Whether the sequencer, if there is one, is up and has been for longer than the grace.
    """
    if sequencer == empty(address):
        return True
    round_id: uint256 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint256 = 0
    answered: bool = False
    round_id, answer, started_at, updated_at, answered_in, answered = self._round(sequencer)
    if not answered or answer != 0:
        return False
    # Zero: no status has come from the other chain yet.
    if started_at == 0 or started_at > block.timestamp:
        return False
    return block.timestamp - started_at > grace_seconds


@internal
@view
def _round(feed: address) -> (uint256, int256, uint256, uint256, uint256, bool):
    """
    @return The last round of a feed, and whether it has answered with one.
    """
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(feed, LATEST_ROUND_DATA, 5, FEED_GAS)
    if not answered:
        return 0, 0, 0, 0, 0, False
    round_id: uint256 = outside.word(answer, 0)
    answered_in: uint256 = outside.word(answer, 4)
    # No decoder would take these for ids of 80 bits.
    if round_id >> 80 != 0 or answered_in >> 80 != 0:
        return 0, 0, 0, 0, 0, False
    return (
        round_id,
        convert(convert(outside.word(answer, 1), bytes32), int256),
        outside.word(answer, 2),
        outside.word(answer, 3),
        answered_in,
        True,
    )
