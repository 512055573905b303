# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Liquidity: how deep a market is while its open interest nears the cap (M-23)
@notice The depths of M-12 are multiplied by a share: 1 up to half of the cap, then falling along a line to a quarter.
"""

# 1e-6.
ONE: constant(uint256) = 10**6
LEAST: constant(uint256) = 250_000
# Open interest times this must not overflow: far above what an account's sizes of 64 bits can add up to.
MAX_INTEREST: constant(uint256) = 2**128


@internal
@pure
def share(open_interest: uint256, cap: uint256) -> uint256:
    """
    @notice 1 - 3/4 (2 u - 1) for a utilisation u between a half and one; rounded down, so that margin is rounded up.
    @param open_interest Any unit.
    @param cap The same unit; 0 for no cap.
    @return 1e-6, from LEAST to ONE.
    """
    if cap == 0 or open_interest <= cap // 2:
        return ONE
    if open_interest >= cap:
        return LEAST
    # open_interest < cap from here on.
    if cap > MAX_INTEREST:
        return LEAST
    excess: uint256 = 2 * open_interest - min(cap, 2 * open_interest)
    return ONE - min(((ONE - LEAST) * excess + cap - 1) // cap, ONE - LEAST)
