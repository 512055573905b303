# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Position word: one leg of a book in one 256-bit word
@notice Fields from the most significant bit, so that sorting words as unsigned integers sorts a book by
        underlying, expiry, strike and kind, in which order the engine reads it:

        | bits | field      | unit                                             |
        |------|------------|--------------------------------------------------|
        | 8    | underlying | id, 1 to 255                                     |
        | 32   | expiry     | seconds since 1970; 0 for a perpetual            |
        | 64   | strike     | 1e-6 quote units; 0 for a future or a perpetual  |
        | 8    | kind       | PERP, FUTURE, CALL, PUT                          |
        | 64   | size       | two's complement, 1e-6 units of the underlying   |
        | 80   | ln K       | two's complement, 1e-18; 0 where there is no strike |

        The upper 112 bits name the instrument. `ln K` is cached so that a reprice needs no logarithm.
@custom:security Whoever stores a word vouches for its `ln K`: build words with `pack` alone.
"""

from snekmate.utils import math

PERP: constant(uint256) = 0
FUTURE: constant(uint256) = 1
CALL: constant(uint256) = 2
PUT: constant(uint256) = 3

# 1e-6 units to 1e-18.
MICRO: constant(int256) = 10**12

MAX_STRIKE: constant(uint256) = 9 * 10**18
MAX_SIZE: constant(int256) = 9 * 10**18


@internal
@pure
def pack(underlying: uint256, expiry: uint256, strike: uint256, kind: uint256, size: int256) -> uint256:
    """
    @notice The word of a leg; the same leg always gives the same word.
    @param underlying The id, 1 to 255.
    @param expiry Seconds since 1970; 0 if and only if the kind is PERP.
    @param strike 1e-6 quote units; positive if and only if the kind is CALL or PUT.
    @param kind PERP, FUTURE, CALL or PUT.
    @param size Signed, 1e-6 units of the underlying, not zero.
    @return The word. `ln K` is rounded as by snekmate's `wad_ln` (error below 2e-18).
    """
    assert underlying != 0 and underlying < 256, "position: underlying"
    assert kind <= PUT, "position: kind"
    assert expiry < 2**32 and (expiry == 0) == (kind == PERP), "position: expiry"
    assert strike <= MAX_STRIKE and (strike != 0) == (kind >= CALL), "position: strike"
    assert size != 0 and abs(size) <= MAX_SIZE, "position: size"
    log_strike: int256 = 0
    if strike != 0:
        log_strike = math._wad_ln(convert(strike, int256) * MICRO)
    return (
        (underlying << 248)
        | (expiry << 216)
        | (strike << 152)
        | (kind << 144)
        | ((convert(convert(size, bytes32), uint256) & (2**64 - 1)) << 80)
        | (convert(convert(log_strike, bytes32), uint256) & (2**80 - 1))
    )


@internal
@pure
def instrument(word: uint256) -> uint256:
    """
    @notice The part of the word that names the instrument, without size and cached logarithm.
    @param word A position word.
    @return underlying, expiry, strike and kind, in the low 112 bits.
    """
    return word >> 144


@internal
@pure
def underlying(word: uint256) -> uint256:
    """@return The id of the underlying."""
    return word >> 248


@internal
@pure
def expiry(word: uint256) -> uint256:
    """@return Seconds since 1970; 0 for a perpetual."""
    return (word >> 216) & (2**32 - 1)


@internal
@pure
def strike(word: uint256) -> int256:
    """@return The strike in 1e-18 quote units; 0 for a future or a perpetual."""
    # At most 2**64 * 1e12 < 2**104.
    return unsafe_mul(convert((word >> 152) & (2**64 - 1), int256), MICRO)


@internal
@pure
def kind(word: uint256) -> uint256:
    """@return PERP, FUTURE, CALL or PUT."""
    return (word >> 144) & 255


@internal
@pure
def size(word: uint256) -> int256:
    """@return The signed size in 1e-6 units of the underlying."""
    # Shifting left drops what is above the field; the arithmetic shift right extends its sign.
    return convert(convert(word << 112, bytes32), int256) >> 192


@internal
@pure
def log_strike(word: uint256) -> int256:
    """@return ln K in 1e-18, K in quote units."""
    return convert(convert(word << 176, bytes32), int256) >> 176
