# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Fixed point: 18 decimals, signed, rounding in the name
@notice Vyper's signed division truncates towards zero and its shifts round towards minus infinity. Each rounding
        that the protocol uses is one function here, so that the choice is read at the call.
@custom:security `down` is towards minus infinity and `up` towards plus infinity, whatever the signs.
"""

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 86400


@internal
@pure
def div_down(a: int256, b: int256) -> int256:
    """
    @notice floor(a / b).
    @param a Any value for which the quotient fits.
    @param b Positive.
    @return The quotient, towards minus infinity. Reverts where b is zero.
    """
    q: int256 = a // b
    if a < 0 and q * b != a:
        # The quotient of a negative a is above min_value, as b >= 1 and the division is not exact.
        q = unsafe_sub(q, 1)
    return q


@internal
@pure
def div_up(a: int256, b: int256) -> int256:
    """
    @notice ceil(a / b).
    @param a Any value for which the quotient fits.
    @param b Positive.
    @return The quotient, towards plus infinity. Reverts where b is zero.
    """
    q: int256 = a // b
    if a > 0 and q * b != a:
        q = unsafe_add(q, 1)
    return q


@internal
@pure
def mul_down(a: int256, b: int256) -> int256:
    """
    @notice floor(a * b / 1e18).
    @param a 1e-18 units.
    @param b 1e-18 units.
    @return The product in 1e-18 units, towards minus infinity. Reverts on overflow.
    """
    return self.div_down(a * b, WAD)


@internal
@pure
def mul_up(a: int256, b: int256) -> int256:
    """
    @notice ceil(a * b / 1e18).
    @param a 1e-18 units.
    @param b 1e-18 units.
    @return The product in 1e-18 units, towards plus infinity. Reverts on overflow.
    """
    return self.div_up(a * b, WAD)
