# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Settlements: the mean of spot over the last 30 minutes before each 08:00 UTC
@notice Spot is piecewise constant: a state is in force until the next one. The mean is gathered as states are replaced,
        and is final with the first one at or after 08:00. A gap in publications fills every 08:00 in it with the state
        that was in force. Before the first state there is no spot: it starts the mean inside its window.
@custom:security Recorded once: no state is in force before its own timestamp, so none reaches back behind 08:00.
"""

from contracts.interfaces import IMarketData

DAY: constant(uint256) = 86400
# Of an expiry at 08:00 UTC, seconds into the day.
TIME_OF_DAY: constant(uint256) = 8 * 3600
WINDOW: constant(uint256) = 1800
# The whole of a forward, in the units of the share of it that is fixed.
FIXED: constant(uint256) = 2**16 - 1
# Expiries that a gap can settle. Nothing can be traded in a gap, so it has to cover no more than what was listed when
# it began; what is later keeps its last mark and has no settlement price.
MAX_DAYS: constant(uint256) = 400

# By underlying and expiry: sum of spot times seconds, 1e-9 quote units | seconds 31 | final 1.
_windows: HashMap[uint256, HashMap[uint256, uint256]]


@internal
def _gather(underlying: uint256, head: uint256, timestamp: uint256):
    """
    @notice Adds a head, in force until its successor, to every window that it was in force in.
    @param underlying The id.
    @param head The head that is replaced, as `MarketData` packs it; not 0.
    @param timestamp Of its successor.
    """
    spot: uint256 = head >> 184
    start: uint256 = head & (2**32 - 1)
    # The first 08:00 after it.
    expiry: uint256 = (start + DAY - TIME_OF_DAY) // DAY * DAY + TIME_OF_DAY
    for _: uint256 in range(MAX_DAYS):
        opening: uint256 = expiry - WINDOW
        if timestamp <= opening:
            break
        covered: uint256 = min(timestamp, expiry) - max(start, opening)
        window: uint256 = self._windows[underlying][expiry] + (((spot * covered) << 32) | (covered << 1))
        if timestamp >= expiry:
            window |= 1
            log IMarketData.SettlementRecorded(underlying=underlying, expiry=expiry, price=self._mean(window))
        self._windows[underlying][expiry] = window
        expiry += DAY


@internal
@view
def _settlement(underlying: uint256, expiry: uint256) -> (uint256, bool):
    """
    @param underlying The id.
    @param expiry Seconds since 1970.
    @return The price in 1e-9 quote units and True; 0 and False where none is final.
    """
    window: uint256 = self._windows[underlying][expiry]
    if window & 1 == 0:
        return 0, False
    return self._mean(window), True


@internal
@view
def _forward(underlying: uint256, head: uint256, expiry: uint256, forward: uint256) -> (uint256, uint256, bool):
    """
    @notice What an expiry at 08:00 is worth from the opening of its window on: the part of the mean that is behind, and
            the forward for what is left of it.
    @param underlying The id.
    @param head Its head, not 0.
    @param expiry An 08:00 UTC less than 30 minutes ahead, or passed.
    @param forward As last published, 1e-9 quote units.
    @return The forward, partly or wholly fixed; the share of it that is fixed, in FIXED-ths, rounded down; and whether it
            is the settlement price.
    """
    window: uint256 = self._windows[underlying][expiry]
    if window & 1 != 0:
        return self._mean(window), FIXED, True
    start: uint256 = head & (2**32 - 1)
    if start >= expiry:
        # Nothing was published before it.
        return forward, 0, False
    start = max(start, expiry - WINDOW)
    now: uint256 = max(min(block.timestamp, expiry), start)
    fixed: uint256 = (window >> 32) + (head >> 184) * (now - start)
    total: uint256 = fixed + forward * (expiry - now)
    return total // (((window >> 1) & (2**31 - 1)) + expiry - start), fixed * FIXED // total, False


@internal
@pure
def _mean(window: uint256) -> uint256:
    """@return The mean over what was covered, 1e-9 quote units, rounded down."""
    return (window >> 32) // ((window >> 1) & (2**31 - 1))
