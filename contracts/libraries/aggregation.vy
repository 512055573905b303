# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Aggregation: from exposures to charges (M-7 to M-14)
@notice Money at 1e-18. Divisions truncate by less than one unit each; `MarginEngine` adds what all of them can lose.
"""

from contracts.libraries import position

WAD: constant(int256) = 10**18
MAX_LEGS: constant(uint256) = 128
MAX_SCENARIOS: constant(uint256) = 64


@internal
@pure
def worst(pnl: DynArray[int256, MAX_SCENARIOS]) -> (int256, uint256):
    """
    @notice Worst loss W = max(0, -min P) (M-7).
    @param pnl Profit by scenario.
    @return The loss, not negative, and the first scenario in which the profit is least.
    """
    least: int256 = max_value(int256)
    at: uint256 = 0
    for i: uint256 in range(len(pnl), bound=MAX_SCENARIOS):
        if pnl[i] < least:
            least = pnl[i]
            at = i
    return max(-least, 0), at


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
    @return The charge.
    """
    return amount * rate // WAD * (WAD + amount * WAD // depth) // WAD


@internal
@pure
def least_payoff(legs: DynArray[uint256, MAX_LEGS], first: uint256, end: uint256) -> (int256, bool):
    """
    @notice Minimum over S_T >= 0 of the payoff of options of one expiry (M-14).
    @dev The payoff is linear between strikes, so it is least at 0, at a strike, or at infinity if calls are net short.
         Between two strikes its slope is (calls with a strike at or below) - (puts with a strike above).
    @param legs Position words, ascending.
    @param first Index of the first option of the expiry.
    @param end Index behind its last option.
    @return The least payoff, exact, and whether it is bounded.
    """
    # The fields of `position`, read in place. Sizes below 2**63 and strikes below 2**64, both at 1e-6 and exact: 128
    # products stay below 2**134.
    payoff: int256 = 0
    slope: int256 = 0
    for i: uint256 in range(first, end, bound=MAX_LEGS):
        leg: uint256 = legs[i]
        if (leg >> 144) & 255 == position.PUT:
            size: int256 = convert(convert(leg << 112, bytes32), int256) >> 192
            slope = unsafe_sub(slope, size)
            payoff = unsafe_add(
                payoff, unsafe_mul(size, convert(convert((leg >> 152) & (2**64 - 1), bytes32), int256))
            )
    least: int256 = payoff
    at: int256 = 0
    for i: uint256 in range(first, end, bound=MAX_LEGS):
        leg: uint256 = legs[i]
        strike: int256 = convert(convert((leg >> 152) & (2**64 - 1), bytes32), int256)
        payoff = unsafe_add(payoff, unsafe_mul(slope, unsafe_sub(strike, at)))
        at = strike
        # A put stops to fall at its strike and a call starts to rise: either adds its size to the slope.
        slope = unsafe_add(slope, convert(convert(leg << 112, bytes32), int256) >> 192)
        if payoff < least:
            least = payoff
    # From 1e-12 to 1e-18.
    return unsafe_mul(least, 10**6), slope >= 0
