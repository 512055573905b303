# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Oracle guard: whether a price that is well signed is believed too (decision 7)
@notice A second source, where there is one, has to answer. The confidence is widened until it reaches what that says;
        beyond a limit the price is doubted. A jump is doubted until a second update, later by so many seconds, says the
        same.
@custom:security Incidents: composite feeds that lost a leg, single venues, signers who err once (INV-13).
"""

from contracts.libraries import outside

# 1e-12.
ONE: constant(uint256) = 10**12
# For the second source, whatever it does; ISpotSource asks for 85,000.
SOURCE_GAS: constant(uint256) = 100_000
SPOT: constant(Bytes[4]) = method_id("spot()")

NO_DOUBT: constant(uint256) = 0
NO_SECOND_SOURCE: constant(uint256) = 1
TOO_WIDE: constant(uint256) = 2
JUMP: constant(uint256) = 3

# By underlying: the jump that came last: spot 72 | timestamp 32. It waits to be confirmed while it is newer than what was
# accepted last.
_candidates: HashMap[uint256, uint256]


@internal
@view
def _confidence(source: address, spot: uint256, confidence: uint256) -> (uint256, bool):
    """
    @notice Widens the confidence of a price until it reaches the second source's.
    @param source ISpotSource, not 0.
    @param spot 1e-9 quote units.
    @param confidence Half-width, 1e-12.
    @return The half-width, rounded up; and whether the source has said anything.
    """
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(source, SPOT, 4, SOURCE_GAS)
    if not answered or outside.word(answer, 3) != 1:
        return confidence, False
    other: uint256 = outside.word(answer, 0)
    other_confidence: uint256 = outside.word(answer, 1)
    if other == 0 or other >= 2**72 or other_confidence >= ONE:
        return confidence, False
    distance: uint256 = max(spot, other) - min(spot, other)
    # In units of spot, as the confidence is; of the other's half-width only what is sure.
    apart: uint256 = (distance * ONE + spot - 1) // spot
    reach: uint256 = other * other_confidence // spot
    return max(confidence, max(apart, reach) - reach), True


@internal
def _is_jump(
    underlying: uint256, head: uint256, spot: uint256, timestamp: uint256, jump: uint256, confirmation: uint256
) -> bool:
    """
    @notice Notes a move that is too great for one update, and takes it for true once a later one confirms it.
    @param underlying The id.
    @param head What was accepted last, as `MarketData` packs it; 0 where nothing was.
    @param spot The price now.
    @param timestamp Of it.
    @param jump Greatest move, 1e-12; 0 for any.
    @param confirmation Seconds between the two, above 0: no update confirms itself.
    @return Whether the price has to wait.
    """
    if jump == 0 or head == 0 or self._is_near(spot, head >> 184, jump):
        return False
    candidate: uint256 = self._candidates[underlying]
    since: uint256 = candidate & (2**32 - 1)
    if since > head & (2**32 - 1) and self._is_near(spot, candidate >> 32, jump):
        return timestamp < since + confirmation
    self._candidates[underlying] = (spot << 32) | timestamp
    return True


@internal
@pure
def _is_near(spot: uint256, other: uint256, jump: uint256) -> bool:
    """
    @return Whether a price is within a bound of another.
    """
    return (max(spot, other) - min(spot, other)) * ONE <= other * jump
