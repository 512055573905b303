# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Aggregation: from exposures to charges (M-7 to M-12)
@notice Money at 1e-18. Divisions truncate by less than one unit each, which `MarginEngine` adds, unless they are rounded up.
"""

WAD: constant(int256) = 10**18
MAX_SCENARIOS: constant(uint256) = 64


@internal
@pure
def worst(pnl: DynArray[int256, MAX_SCENARIOS]) -> uint256:
    """
    @notice Where the worst loss W = max(0, -min P) is (M-7).
    @param pnl Profit by scenario.
    @return The first scenario in which the profit is least.
    """
    least: int256 = max_value(int256)
    at: uint256 = 0
    i: uint256 = 0
    for profit: int256 in pnl:
        if profit < least:
            least = profit
            at = i
        i = unsafe_add(i, 1)
    return at


@internal
@pure
def offset_charge(longs: int256, shorts: int256, rate: int256) -> int256:
    """
    @notice rate * min(longs, shorts) (M-9, M-10).
    @param longs Sum of the positive amounts of the expiries.
    @param shorts Sum of the negative ones, as a positive number.
    @param rate Charge on what is offset.
    @return The charge, not negative.
    """
    return min(longs, shorts) * rate // WAD


@internal
@pure
def liquidation_cost(amount: int256, rate: int256, depth: int256) -> int256:
    """
    @notice amount * rate * (1 + amount / depth) (M-12): big books pay more than in proportion.
    @param amount |delta| in USD, or vega in USD for a vol point; not negative.
    @param rate Half-spread, fraction or vol points.
    @param depth Amount at which the charge doubles.
    @return The charge. Each division is rounded up: one unit of the ratio is worth many of a large amount.
    """
    cost: int256 = (amount * rate + WAD - 1) // WAD
    return (cost * (WAD + (amount * WAD + depth - 1) // depth) + WAD - 1) // WAD
