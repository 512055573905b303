"""The largest losses against Python's `sorted`, and moves against exact arithmetic (M-18, M-19)."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model.scenario_set import words
from scripts import chain
from tests.differential.tail_comparison import in_fours
from tests.wide import integers

WAD = 10**18
ALL_OPEN = 2**16 - 1
LIMIT = 2**249 - 1


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


# --- VaR and ES ------------------------------------------------------------------------------------------------------


def expected(pnl: list[int], k: int) -> tuple[int, int, int]:
    losses = sorted((-profit for profit in pnl), reverse=True)
    return losses[k - 1], -(-sum(losses[:k]) // k), pnl.index(min(pnl))


def measured(harness, now, pnl: list[int], k: int, behind: int = 0) -> tuple[int, int, int]:
    """Of profits; what stands behind the last is `behind`."""
    return tuple(chain.call_at(harness.tail_measure, now, in_fours(pnl, behind), len(pnl), k))


profits = st.one_of(integers(-(10**30), 10**30), integers(-3, 3), st.integers(-LIMIT, LIMIT))
vectors = st.one_of(
    st.lists(profits, min_size=1, max_size=40),
    # Few values, so that most are ties.
    st.lists(st.integers(-2, 2), min_size=1, max_size=256),
    st.builds(lambda p, n: [p] * n, profits, st.integers(1, 256)),
    st.builds(sorted, st.lists(profits, min_size=1, max_size=64)),
    st.builds(lambda v: sorted(v, reverse=True), st.lists(profits, min_size=1, max_size=64)),
)


@given(pnl=vectors, part=st.floats(0, 1), behind=st.sampled_from([0, -LIMIT, LIMIT]))
def test_measure(harness, now, pnl, part, behind):
    """Ties, all alike, k = 1, k = N, whatever the order; and what stands behind the last row does not count."""
    for k in {1, min(len(pnl), 32), 1 + int(part * (min(len(pnl), 32) - 1))}:
        assert measured(harness, now, pnl, k, behind) == expected(pnl, k)


@pytest.mark.parametrize("count", [1, 2, 4, 31, 32, 33, 255, 256])
def test_measure_of_any_count(harness, now, count):
    pnl = [(i * 7919) % 257 - 128 for i in range(count)]
    for k in range(1, min(count, 32) + 1):
        assert measured(harness, now, pnl, k) == expected(pnl, k)


def test_shortfall_is_rounded_up(harness, now):
    """Of losses 3, 2, 2 it is 7/3; of gains 1, 2, 2 the loss is -5/3."""
    assert measured(harness, now, [-3, -2, -2], 3)[1] == 3
    assert measured(harness, now, [1, 2, 2], 3)[1] == -1


# --- moves -----------------------------------------------------------------------------------------------------------

rows = st.tuples(integers(-50 * 10**6, 50 * 10**6), integers(-950_000, 10 * 10**6))
drawn_rows = st.lists(st.one_of(rows, st.tuples(integers(-(10**7), 10**7), st.just(0))), min_size=1, max_size=64)
# From nothing to ten thousand.
price_units = st.one_of(integers(0, WAD // 5), integers(0, 10**4 * WAD))


def fields(drawn: list[tuple[int, int]]) -> list[int]:
    """Each row in a word of its own."""
    return [words([x], [y])[0] for x, y in drawn]


def exact_move(x: int, unit: int) -> Fraction:
    return min(max(Fraction(x * unit, 10**24), Fraction(-95, 100)), Fraction(4))


@given(drawn=drawn_rows, unit=price_units)
def test_a_price_move_is_exact(harness, now, drawn, unit):
    got = chain.call_at(harness.moves_price, now, fields(drawn), unit)
    assert [Fraction(move, 10**24) for move in got] == [exact_move(x, unit) for x, _ in drawn]


@given(drawn=drawn_rows, unit=price_units, fixed=st.one_of(st.just(0), st.integers(0, ALL_OPEN)))
def test_words(harness, now, drawn, unit, fixed):
    """Factor within a unit of 1e-18, logarithm within 1e-13, and the vol move as it was."""
    open_ = ALL_OPEN - fixed
    packed = words([x for x, _ in drawn], [y for _, y in drawn])
    fours = chain.call_at(harness.moves_words, now, packed, unit, open_)
    got = [word for four in fours for word in four]
    for (x, y), word in zip(drawn, got[: len(drawn)], strict=True):
        factor, low = word >> 176, word & (2**32 - 1)
        logarithm = (word >> 96) & (2**80 - 1)
        logarithm -= (logarithm >> 79) << 80
        exact = 1 + exact_move(x, unit) * open_ / ALL_OPEN
        assert abs(factor - exact * WAD) < 1
        assert abs(factor - WAD) <= abs(exact - 1) * WAD
        assert low - ((low >> 31) << 32) == y
        with mpmath.workdps(40):
            assert abs(mpmath.mpf(logarithm) / WAD - mpmath.log(mpmath.mpf(factor) / WAD)) < mpmath.mpf("1e-13")
