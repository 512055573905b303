"""Each rounding against Python's integers, whose `//` is the floor, over everything that 256 bits hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.wide import integers

LOW, HIGH = -(2**255), 2**255 - 1
WAD = 10**18

# Whole range and every order of magnitude of either sign; and quotients that are exact or off by one.
anything = st.one_of(
    integers(LOW, HIGH),
    st.builds(
        lambda bits, sign, low: sign * (2**bits + low),
        integers(0, 254),
        st.sampled_from([1, -1]),
        integers(-2, 2),
    ),
).filter(lambda n: LOW <= n <= HIGH)
positive = anything.map(abs).filter(lambda n: 0 < n <= HIGH)
factors = st.builds(lambda n, bits: n >> bits, anything, integers(0, 254))


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


@given(a=anything, b=positive)
def test_div_is_the_floor_and_the_ceiling(harness, now, a, b):
    assert tuple(chain.call_at(harness.fixed_point_div, now, a, b)) == (a // b, -(-a // b))


@given(q=factors, b=positive, offset=integers(-1, 1))
def test_div_around_exact_quotients(harness, now, q, b, offset):
    a = q * b + offset
    if LOW <= a <= HIGH:
        assert tuple(chain.call_at(harness.fixed_point_div, now, a, b)) == (a // b, -(-a // b))


@pytest.mark.parametrize("a", [LOW, LOW + 1, -1, 0, 1, HIGH])
@pytest.mark.parametrize("b", [1, 2, WAD, HIGH])
def test_div_at_the_ends(harness, now, a, b):
    assert tuple(chain.call_at(harness.fixed_point_div, now, a, b)) == (a // b, -(-a // b))


@pytest.mark.parametrize("a", [LOW, -1, 0, 1, HIGH])
def test_div_by_zero_reverts(harness, now, a):
    with pytest.raises(RuntimeError, match="revert"):
        chain.call_at(harness.fixed_point_div, now, a, 0)


@given(a=factors, b=factors)
def test_mul_is_the_floor_and_the_ceiling_or_reverts(harness, now, a, b):
    product = a * b
    if LOW <= product <= HIGH:
        assert tuple(chain.call_at(harness.fixed_point_mul, now, a, b)) == (product // WAD, -(-product // WAD))
    else:
        with pytest.raises(RuntimeError, match="revert"):
            chain.call_at(harness.fixed_point_mul, now, a, b)


@given(a=integers(-(10**30), 10**30), b=integers(-(10**30), 10**30))
def test_mul_of_money(harness, now, a, b):
    down, up = chain.call_at(harness.fixed_point_mul, now, a, b)
    assert down == a * b // WAD
    assert up - down == (1 if a * b % WAD else 0)
