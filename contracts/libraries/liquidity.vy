# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Liquidity: how deep a market is while its open interest nears the cap (M-23)
@notice The depths of M-12 are multiplied by a share: 1 up to half of the cap, then falling along a line to a quarter.
"""

# 1e-6.
ONE: constant(uint256) = 10**6
LEAST: constant(uint256) = 250_000


@internal
@pure
def share(open_interest: uint256, cap: uint256) -> uint256:
    """
    @notice 1 - 3/4 (2 u - 1) for a utilisation u between a half and one; rounded down, so that margin is rounded up.
    @param open_interest Any unit, below 2**128.
    @param cap The same unit, below 2**128; 0 for no cap.
    @return 1e-6, from LEAST to ONE.
    """
    if cap == 0 or open_interest <= cap // 2:
        return ONE
    # From 1 to cap.
    excess: uint256 = 2 * min(open_interest, cap) - cap
    return ONE - ((ONE - LEAST) * excess + cap - 1) // cap
