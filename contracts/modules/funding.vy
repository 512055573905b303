# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Funding: what the longs of a perpetual have paid its shorts since the first publication
@notice While a state is in force, one unit pays clamp(perp mark - spot, +-0.5% of spot) every eight hours, second by
        second. A state that has outlived its heartbeat accrues nothing more.
@custom:security One number for all accounts, exact however often it is published: funding is zero-sum to the wei
        (INV-12). No publisher can move it by more than 0.5% of spot in eight hours.
"""

PERIOD: constant(int256) = 8 * 3600
# The greatest premium, as a divisor of spot: 0.5%.
PREMIUM_DIVISOR: constant(int256) = 200

# By underlying: what had accrued when the head was published, 1e-9 quote units times seconds, signed.
_accruals: HashMap[uint256, int256]


@internal
def _accrue(underlying: uint256, head: uint256, timestamp: uint256):
    """
    @notice Counts a head until its successor.
    @param underlying The id.
    @param head The head that is replaced, as `MarketData` packs it, with the heartbeat that it was published under:
           another since then changes nothing of what has accrued (INV-14). 0 where there was none.
    @param timestamp Of its successor.
    """
    self._accruals[underlying] = self._accrued(underlying, head, timestamp)


@internal
@view
def _funding(underlying: uint256, head: uint256) -> int256:
    """
    @notice Bounded: 0.5% of 1e17 for 2**32 seconds are below 2**81, and the result below 2**97.
    @param underlying The id.
    @param head Its head.
    @return Funding of one unit up to now, 1e-18 quote units, truncated to a multiple of 1e6: times a size it is exact.
    """
    return self._accrued(underlying, head, block.timestamp) * 10**3 // PERIOD * 10**6


@internal
@view
def _accrued(underlying: uint256, head: uint256, time: uint256) -> int256:
    """@return What has accrued while the head was in force until a time, 1e-9 quote units times seconds."""
    spot: int256 = convert(head >> 184, int256)
    limit: int256 = spot // PREMIUM_DIVISOR
    premium: int256 = max(min(convert((head >> 112) & (2**72 - 1), int256) - spot, limit), -limit)
    start: uint256 = head & (2**32 - 1)
    elapsed: int256 = convert(max(time, start) - start, int256)
    heartbeat_seconds: int256 = convert((head >> 32) & (2**20 - 1), int256)
    return self._accruals[underlying] + premium * min(elapsed, heartbeat_seconds)
