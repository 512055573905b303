# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Standard normal distribution in fixed point: a table of cubics for the CDF, an exponential for the density
@notice The table has one word for each of 448 equal intervals of [-6.4, 6.4). An argument d travels in table units,
        t = (d + 6.4) * 35 * 2**29: the bits above the 29th are the interval, the lower 29 its fraction f. With
        P = c0 + c1 f + c2 f**2 + c3 f**3 the cubic that interpolates the CDF at the interval's Chebyshev nodes, the word is

            c0 * 2**190 + c1 * 2**124 + c2 * 2**66 + c3        (modulo 2**256, signed coefficients)

        and one product with 1 + f * 2**66 holds c0 + c1 f above bit 190 and c2 + c3 f in bits 66 to 123. Scales: c0
        2**64, c1 2**35, c2 2**68, c3 2**39. Whatever lies below c1 adds to the linear coefficient, so c1 is rounded with
        that in mind. `scripts/normal_table.py` computes the words; a test proves the bound from the words themselves.
@custom:security Error of the CDF: below 1.41e-10 everywhere, 0 and 1 taken outside the table included.
"""

from snekmate.utils import math

INTERVALS: constant(uint256) = 448
FRACTION_BITS: constant(uint256) = 29
FRACTION_MASK: constant(int256) = 2**29 - 1
# Table units in 1.0 of d, and the unit that stands for d = 0.
UNITS: constant(int256) = 35 * 2**29
CENTRE: constant(int256) = 224 * 2**29
END: constant(int256) = 448 * 2**29
# Scale of the CDF.
ONE: constant(int256) = 2**64

# 1e18 / sqrt(2 pi)
INVERSE_SQRT_TAU: constant(int256) = 398_942_280_401_432_678
WAD: constant(int256) = 10**18

# The coefficient words. A loop that looks up often copies them to memory once: a local read is cheaper.
TABLE: immutable(int256[INTERVALS])


@deploy
def __init__(words: uint256[INTERVALS]):
    """
    @notice Stores the table in the contract's code.
    @param words Coefficient words, by interval.
    """
    table: int256[INTERVALS] = empty(int256[INTERVALS])
    for i: uint256 in range(INTERVALS):
        table[i] = convert(convert(words[i], bytes32), int256)
    TABLE = table


@internal
@view
def cdf(t: int256) -> int256:
    """
    @notice Standard normal distribution function of any argument.
    @param t The argument in table units.
    @return The probability at scale 2**64; exactly 0 below the table and exactly 2**64 above it.
    """
    if t < 0:
        return 0
    if t >= END:
        return ONE
    f: int256 = t & FRACTION_MASK
    # Wraps by design: the words are packed modulo 2**256. t is in [0, END) here, so its bits are an index.
    w: int256 = unsafe_mul(TABLE[t >> FRACTION_BITS], unsafe_add(1, f << 66))
    # |low lane| < 2**57 and f < 2**29: the product stays below 2**115.
    return unsafe_add(w >> 190, unsafe_mul(unsafe_mul((w << 132) >> 198, f), f) >> 62)


@internal
@pure
def pdf(d: int256) -> int256:
    """
    @notice Density of the standard normal distribution (M-24).
    @param d The argument, 1e-18, |d| below 2**100.
    @return The density, 1e-18, rounded down; the error is below 3e-18. 0 beyond |d| = 9.
    """
    # |d| < 2**100: its square is exact.
    square: int256 = unsafe_mul(d, d)
    if square > 81 * WAD * WAD:
        return 0
    # The product below is at most 0.4e36.
    return unsafe_div(unsafe_mul(INVERSE_SQRT_TAU, math._wad_exp(unsafe_div(square, -2 * WAD))), WAD)
