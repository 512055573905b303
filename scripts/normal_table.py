"""The coefficient words of the normal CDF that `contracts/PricingKernel.vy` is deployed with.

The layout is the one that `contracts/libraries/normal.vy` states. Everything is computed at 40 digits and rounded once,
so that the words are the same on every machine.
"""

from __future__ import annotations

from functools import cache

import mpmath

INTERVALS = 448
PER_UNIT = 35
RANGE = mpmath.mpf(INTERVALS) / (2 * PER_UNIT)
FRACTION_BITS = 29


def interval_cubic(index: int) -> list[mpmath.mpf]:
    """Cubic through the CDF at the Chebyshev nodes of one interval.

    Parameters
    ----------
    index : int
        The interval, 0 to 447; it starts at ``d = -6.4 + index / 35``.

    Returns
    -------
    list of mpf
        ``[c0, c1, c2, c3]`` of the fraction ``f`` in [0, 1).
    """
    start = mpmath.mpf(index) / PER_UNIT - RANGE
    nodes = [(1 - mpmath.cos(mpmath.pi * (2 * i + 1) / 8)) / 2 for i in range(4)]
    matrix = mpmath.matrix([[node**power for power in range(4)] for node in nodes])
    values = mpmath.matrix([mpmath.ncdf(start + node / PER_UNIT) for node in nodes])
    return list(mpmath.lu_solve(matrix, values))


def word(coefficients: list[mpmath.mpf]) -> int:
    """Pack one interval's cubic into a 256-bit word.

    Parameters
    ----------
    coefficients : list of mpf
        ``[c0, c1, c2, c3]``.

    Returns
    -------
    int
        The word as an unsigned integer. Half a fraction unit is taken out of c0, since arguments are truncated to one.
    """
    c0, c1, c2, c3 = coefficients
    half = mpmath.mpf(2) ** -(FRACTION_BITS + 1)
    top = int(mpmath.nint((c0 + c1 * half) * 2**64))
    high = int(mpmath.nint(c2 * 2**68))
    low = int(mpmath.nint(c3 * 2**39))
    below = (high << 66) + low
    # The fraction multiplies all that lies below c0: choose c1 so that the whole is nearest to the slope.
    linear = int(mpmath.nint((c1 * mpmath.mpf(2) ** 159 - below) / mpmath.mpf(2) ** 124))
    return ((top << 190) + (linear << 124) + below) % 2**256


@cache
def words() -> tuple[int, ...]:
    """All 448 words in order of the argument.

    Returns
    -------
    tuple of int
        The constructor argument of ``PricingKernel``.
    """
    with mpmath.workdps(40):
        return tuple(word(interval_cubic(index)) for index in range(INTERVALS))


def evaluate(table: tuple[int, ...], unit: int) -> int:
    """The contract's evaluation step by step, for the proof of the error bound.

    Parameters
    ----------
    table : tuple of int
        What `words` returns.
    unit : int
        Argument in table units, ``0 <= unit < 448 * 2**29``.

    Returns
    -------
    int
        The CDF at scale 2**64.
    """
    fraction = unit & (2**FRACTION_BITS - 1)
    product = (table[unit >> FRACTION_BITS] * (1 + (fraction << 66))) % 2**256
    high = product - 2**256 if product >= 2**255 else product
    low = (product << 132) % 2**256
    low = low - 2**256 if low >= 2**255 else low
    return (high >> 190) + (((low >> 198) * fraction * fraction) >> 62)
