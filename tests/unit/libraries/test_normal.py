"""The normal distribution of the kernel: its error bound, proven from the coefficient words, and what follows from it.

With f the integer fraction, 0 <= f < N = 2**29, and B = c1 2**124 + c2 2**66 + c3 all that stands below c0 in a word,
the evaluation is a polynomial with exactly known coefficients and three truncations (scale 2**64 throughout):

    P(f) = c0 + B / 2**190 + f B / 2**124 + (c2 + f c3) f**2 / 2**62
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import pytest
from hypothesis import given

from scripts import chain, normal_table
from tests import tolerances as t
from tests.wide import integers

ROOT = Path(__file__).resolve().parents[3]
INTERVALS, N = normal_table.INTERVALS, 2**normal_table.FRACTION_BITS
END = INTERVALS * N
ONE = 2**64
# Table units in 1.0 of the argument.
UNITS = normal_table.PER_UNIT * N
# Each interval's difference is looked at in so many cells.
CELLS = 128
# Of f**2 / 2**62 <= 1/16 each for the two truncations of the low lane, and one for each of the two shifts.
TRUNCATION = Fraction(9, 4)
# max |phi'''|: at the root 0.742 of its derivative, where it is 0.5506.
THIRD_DERIVATIVE = mpmath.mpf("0.551")

units = integers(0, END - 1)


def signed(number: int, bits: int) -> int:
    """The low bits as two's complement."""
    number %= 2**bits
    return number - 2**bits if number >= 2 ** (bits - 1) else number


def coefficients(word: int) -> tuple[int, int, int, int]:
    """c0 to c3 of a word, each the signed number that was added in."""
    c3 = signed(word, 66)
    c2 = signed((word - c3) >> 66, 58)
    c1 = signed((word - c3 - (c2 << 66)) >> 124, 66)
    c0 = ((word - c3 - (c2 << 66) - (c1 << 124)) >> 190) % 2**66
    return c0, c1, c2, c3


@cache
def polynomial(index: int) -> tuple[Fraction, ...]:
    """The coefficients of P by power of f."""
    c0, c1, c2, c3 = coefficients(normal_table.words()[index])
    below = (c1 << 124) + (c2 << 66) + c3
    return c0 + Fraction(below, 2**190), Fraction(below, 2**124), Fraction(c2, 2**62), Fraction(c3, 2**62)


def start(index: int) -> mpmath.mpf:
    """The argument at which an interval starts."""
    return mpmath.mpf(index) / normal_table.PER_UNIT - normal_table.RANGE


@cache
def difference(index: int) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Least and greatest P - Phi of an interval, rounded outwards.

    E(s) = P - Phi over s = f / N in [0, 1] lies in each cell of width h within h**2 / 8 max |E''| of the chord through
    its nodes; E'' in turn within max |E''''| / 8 of the chord through its ends, where E'''' = -phi''' / 35**4 alone is
    left.
    """
    with mpmath.workdps(30):
        p = [mpmath.mpf(c.numerator) / c.denominator / ONE * N**k for k, c in enumerate(polynomial(index))]
        step = mpmath.mpf(1) / normal_table.PER_UNIT

        def height(s: mpmath.mpf) -> mpmath.mpf:
            return p[0] + s * (p[1] + s * (p[2] + s * p[3])) - mpmath.ncdf(start(index) + s * step)

        def curvature(s: int) -> mpmath.mpf:
            place = start(index) + s * step
            return abs(2 * p[2] + 6 * p[3] * s + place * mpmath.npdf(place) * step**2)

        nodes = [height(mpmath.mpf(k) / CELLS) for k in range(CELLS + 1)]
        bend = (max(curvature(0), curvature(1)) + THIRD_DERIVATIVE * step**4 / 8) / CELLS**2 / 8
        return min(nodes) - bend, max(nodes) + bend


def interval_bound(index: int) -> mpmath.mpf:
    """Bound of |cdf(t) - Phi(d)| for every d that is rounded down to a t of the interval."""
    with mpmath.workdps(30):
        below, above = difference(index)
        nearest = min(abs(start(index)), abs(start(index + 1)))
        # Phi moves by less than this within a unit of the argument.
        unit = mpmath.npdf(nearest) / UNITS
        truncated = mpmath.mpf(TRUNCATION.numerator) / TRUNCATION.denominator / ONE
        return max(above, unit + truncated - below)


@cache
def proven_bound() -> mpmath.mpf:
    """Error of the CDF for any argument: inside the table, or where 0 and 1 stand for the tails."""
    tail = mpmath.ncdf(-normal_table.RANGE)
    return max(tail, *(interval_bound(i) for i in range(INTERVALS)))


def constant(path: str, name: str) -> int:
    """An integer constant of a contract."""
    found = re.search(rf"^{name}: constant\(int256\) = ([\d* ]+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert found is not None, f"{path} has no constant {name}"
    # Digits and asterisks alone.
    return int(eval(found.group(1)))


def stated(path: str, pattern: str) -> float:
    """A number that a source states."""
    found = re.search(pattern, (ROOT / path).read_text())
    assert found is not None, f"{path} does not state {pattern!r}"
    return float(found.group(1))


# --- the evaluation is the polynomial --------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 223, 224, 447])
def test_coefficients_make_up_the_word(index):
    word = normal_table.words()[index]
    c0, c1, c2, c3 = coefficients(word)
    assert ((c0 << 190) + (c1 << 124) + (c2 << 66) + c3) % 2**256 == word


def test_no_lane_overflows():
    for index in range(INTERVALS):
        c0, _, c2, c3 = coefficients(normal_table.words()[index])
        slope = polynomial(index)[1]
        # Both lanes are linear in f, so the ends tell. 58 bits with the sign, less one for a truncation; and 66 bits.
        assert max(abs(c2), abs(c2 + (N - 1) * c3)) < 2**57 - 1
        assert max(abs(c0), abs(c0 + 1 + (N - 1) * slope)) < 2**65


@given(unit=units)
def test_evaluation_is_the_polynomial_less_its_truncations(unit):
    index, f = divmod(unit, N)
    p = polynomial(index)
    exact = p[0] + f * (p[1] + f * (p[2] + f * p[3]))
    assert exact - TRUNCATION < normal_table.evaluate(normal_table.words(), unit) <= exact


@given(unit=units)
def test_evaluation_inside_the_grid_has_the_same_bound(unit):
    """`black.scan` writes the polynomial out with 66 more bits under the fraction and one shift less."""
    index, f = divmod(unit, N)
    word = normal_table.words()[index]
    product = word * (1 + (f << 66)) % 2**256
    lane = signed(product << 132, 256) >> 202
    cell = signed(product + (lane * f * f << 132), 256) >> 190
    p = polynomial(index)
    exact = p[0] + f * (p[1] + f * (p[2] + f * p[3]))
    assert exact - TRUNCATION < cell <= exact


# --- the bound -------------------------------------------------------------------------------------------------------


def test_the_bound_of_the_cdf():
    assert proven_bound() < t.CDF_ERROR
    assert stated("contracts/libraries/normal.vy", r"Error of the CDF: below (\S+) everywhere") >= t.CDF_ERROR


def test_the_bound_is_no_larger_than_it_must_be():
    worst = max(range(INTERVALS), key=interval_bound)
    with mpmath.workdps(30):
        seen = max(
            abs(mpmath.mpf(normal_table.evaluate(normal_table.words(), unit)) / ONE - mpmath.ncdf(place))
            for unit in (*range(worst * N, (worst + 1) * N, N // 256), (worst + 1) * N - 1)
            for place in (mpmath.mpf(unit + within) / UNITS - normal_table.RANGE for within in (0, 1))
        )
        assert 0.98 * proven_bound() < seen < proven_bound()


def test_the_jump_at_the_ends_of_the_table():
    with mpmath.workdps(40):
        tail = mpmath.ncdf(-normal_table.RANGE)
        assert tail < proven_bound()
        first, last = (normal_table.evaluate(normal_table.words(), unit) for unit in (0, END - 1))
        # Both lie on the right side of 0 and 1, and the jump is the tail but for the error of the interval.
        assert abs(mpmath.mpf(first) / ONE - tail) < interval_bound(0)
        assert abs(1 - mpmath.mpf(last) / ONE - tail) < interval_bound(INTERVALS - 1)
        assert 0 < first < last < ONE


def test_price_error():
    """A price F N(d1) - K N(d2) errs by at most the bound times F + K, and by 1e-9 F for strikes up to ten forwards.

    A strike of r forwards, r > 1, has d2 <= -sqrt(2 ln r) whatever the vol, where the table is better.
    """
    greatest = 10
    with mpmath.workdps(40):
        of_strikes = [greatest * mpmath.ncdf(-normal_table.RANGE)]
        for index in range(INTERVALS):
            most_negative = min(start(index), 0)
            of_strikes.append(interval_bound(index) * min(mpmath.exp(most_negative**2 / 2), greatest))
        assert proven_bound() + max(of_strikes) < 1e-9


def test_epsilon_and_the_delta_bound_follow():
    """`portfolio`: a profit g (V' - V) errs by e (g F' + g K + F + K), with g F' <= (g + g x R) F <= 5 F.

    To that comes the calendar charge, beta times a delta that errs by e F. The notional counts discount factors over 1.
    """
    bound = float(proven_bound())
    greatest_beta = 1
    epsilon = 1 / constant("contracts/modules/portfolio.vy", "EPSILON_DIVISOR")
    assert (6 + greatest_beta) * bound < epsilon == t.EPSILON == chain.EPSILON
    delta_error = 1 / constant("contracts/modules/portfolio.vy", "DELTA_DIVISOR")
    assert bound < delta_error == t.DELTA_ERROR


# --- the contract ----------------------------------------------------------------------------------------------------


def on_chain(function: Any, ape_chain: Any, arguments: Sequence[int]) -> list[int]:
    """A batched function of the harness over any number of arguments."""
    time = ape_chain.blocks.head.timestamp
    values: list[int] = []
    for i in range(0, len(arguments), 1024):
        values += chain.call_at(function, time, list(arguments[i : i + 1024]))
    return values


def test_the_contract_evaluates_the_same(harness, ape_chain):
    edges = [i * N + f for i in range(INTERVALS) for f in (0, 1, N // 2, N - 1)]
    draw = random.Random(0)
    arguments = edges + [draw.randrange(END) for _ in range(4096)]
    expected = [normal_table.evaluate(normal_table.words(), unit) for unit in arguments]
    assert on_chain(harness.normal_cdf, ape_chain, arguments) == expected


def test_outside_the_table_it_is_0_or_1(harness, ape_chain):
    below, above = [-1, -END, -(2**255)], [END, END + 1, 2**255 - 1]
    assert on_chain(harness.normal_cdf, ape_chain, below + above) == [0] * 3 + [ONE] * 3


def test_cdf_rises_but_for_its_error_and_is_symmetric_within_it():
    """Inside an interval the cubic rises; from one to the next it may step down by less than both errors."""
    table = normal_table.words()
    for index in range(INTERVALS):
        # The slope is a parabola: least at an end or at its vertex.
        _, p1, p2, p3 = polynomial(index)
        places = [Fraction(0), Fraction(N)]
        if p3 != 0 and 0 < -p2 / (3 * p3) < N:
            places.append(-p2 / (3 * p3))
        assert min(p1 + f * (2 * p2 + 3 * f * p3) for f in places) > 0
        unit = index * N + N // 3
        here, there = (normal_table.evaluate(table, place) for place in (unit, END - 1 - unit))
        assert abs(here + there - ONE) < (interval_bound(index) + interval_bound(INTERVALS - 1 - index)) * ONE
        if index:
            before, after = (normal_table.evaluate(table, index * N - back) for back in (1, 0))
            assert after - before > -(interval_bound(index - 1) + interval_bound(index)) * ONE


def test_pdf(harness, ape_chain):
    draw = random.Random(1)
    wad = 10**18
    arguments = [0, 1, -1, 9 * wad, -9 * wad, *(round(draw.uniform(-9, 9) * wad) for _ in range(2000))]
    values = on_chain(harness.normal_pdf, ape_chain, arguments)
    with mpmath.workdps(40):
        for d, value in zip(arguments, values, strict=True):
            assert abs(mpmath.npdf(mpmath.mpf(d) / wad) * wad - value) < 3
        assert on_chain(harness.normal_pdf, ape_chain, [-d for d in arguments]) == values
        assert on_chain(harness.normal_pdf, ape_chain, [9 * wad + 1, -(2**100) + 1]) == [0, 0]
        assert mpmath.npdf(9) * wad < 3
