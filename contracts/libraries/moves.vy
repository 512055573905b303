# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Moves: from a row of a scenario set to a price and a vol (M-18)
@notice The price factor is m = 1 + x U within [0.05, 5]: the floor of M-4, and the cap for which the error bound of M-16 is
        proven. A move m - 1 is held at 1e-24, where x (1e-6) times U (1e-18) is exact, so that what is linear is too.
"""

from snekmate.utils import math

WAD: constant(int256) = 10**18
# A move is never outside these, at 1e-24.
MAX_FALL: constant(int256) = 95 * 10**22
MAX_RISE: constant(int256) = 4 * 10**24
# 1.0 of a move.
ONE: constant(int256) = 10**24
# From 1e-24 to 1e-18, and all of a forward (see `IMarketData`).
MICRO: constant(int256) = 10**6
ALL_FIXED: constant(int256) = 2**16 - 1
# Within a fifth of 1 the fraction below serves, beyond it snekmate's logarithm, which is several times as dear.
NEAR: constant(int256) = 20 * 10**22
TWICE_NEAR: constant(uint256) = 40 * 10**22
# Of the fraction, at 2**64.
SCALE: constant(int256) = 2**64

MAX_FOURS: constant(uint256) = 64


@internal
@pure
def price(row: uint256, unit: int256) -> int256:
    """
    @notice The price move of a row.
    @param row Its x and y in the lowest 64 bits (see `IScenarioSet`).
    @param unit U, 1e-18, below 2**128.
    @return m - 1 at 1e-24.
    """
    # |x| below 2**31.
    return self._clamp(unsafe_mul(convert(convert(row << 192, bytes32), int256) >> 224, unit))


@internal
@pure
def words(rows: DynArray[uint256, MAX_FOURS], unit: int256, open: int256) -> uint256[4][MAX_FOURS]:
    """
    @notice Rows as the kernel wants them.
    @param rows Of the scenario set, four in a word.
    @param unit U, 1e-18, below 2**128.
    @param open How much of the forward still moves, of 65,535.
    @return Factor, logarithm and vol move as `ITailKernel` says. The factor is rounded towards 1, the error of its logarithm
            below 1e-13.
    @dev ln(1 + d) is 2 artanh(z) with z = d / (2 + d), and the fifth convergent of the continued fraction of artanh is
         z (945 - 735 z**2 + 64 z**4) / (945 - 1050 z**2 + 225 z**4). They differ the more the larger |z| is, at most 1/9
         up to a fifth, where twice the difference is 9.7e-14. Roundings add less than 1e-17.
    """
    result: uint256[4][MAX_FOURS] = empty(uint256[4][MAX_FOURS])
    four: uint256[4] = empty(uint256[4])
    moved: int256 = 0
    logarithm: int256 = 0
    z: int256 = 0
    square: int256 = 0
    for i: uint256 in range(len(rows), bound=MAX_FOURS):
        row: uint256 = rows[i]
        for r: uint256 in range(4):
            # |x| below 2**31.
            moved = unsafe_mul(convert(convert(row << 192, bytes32), int256) >> 224, unit)
            # One comparison of unsigned numbers for both ends.
            if convert(convert(unsafe_add(moved, NEAR), bytes32), uint256) > TWICE_NEAR:
                moved = unsafe_div(unsafe_mul(self._clamp(moved), open), ALL_FIXED * MICRO)
                logarithm = math._wad_ln(unsafe_add(WAD, moved))
            else:
                # d: a move is below 2**82, its share below 2**98.
                moved = unsafe_div(unsafe_mul(moved, open), ALL_FIXED * MICRO)
                # z and its square at 2**64. |z| is below 2**61, so that products are below 2**200.
                z = unsafe_div(moved << 64, unsafe_add(2 * WAD, moved))
                square = unsafe_mul(z, z) >> 64
                logarithm = unsafe_div(
                    unsafe_mul(
                        unsafe_mul(
                            z,
                            unsafe_sub(
                                945 * SCALE,
                                unsafe_mul(square, unsafe_sub(735 * SCALE, unsafe_mul(64, square))) >> 64,
                            ),
                        ),
                        2 * WAD,
                    ),
                    unsafe_sub(
                        945 * SCALE, unsafe_mul(square, unsafe_sub(1050 * SCALE, unsafe_mul(225, square))) >> 64
                    ),
                ) >> 64
            four[r] = (
                (convert(convert(unsafe_add(WAD, moved), bytes32), uint256) << 176)
                | ((convert(convert(logarithm, bytes32), uint256) & (2**80 - 1)) << 96)
                | (row & (2**32 - 1))
            )
            row = row >> 64
        result[i] = four
    return result


@internal
@pure
def _clamp(moved: int256) -> int256:
    """@return The move, within the floor of M-4 and the cap."""
    if moved < -MAX_FALL:
        return -MAX_FALL
    if moved > MAX_RISE:
        return MAX_RISE
    return moved
