"""Kupiec's and Christoffersen's tests against published and hand-made numbers."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import coverage_tests
from python_model.coverage_tests import LikelihoodRatio, Transitions, independence, joint, kupiec


@pytest.mark.parametrize(
    ("trials", "p", "low", "high"),
    [
        # Kupiec (1995), as printed by Jorion, table 6-2: numbers of failures that do not reject p at 95%, exclusive.
        # The table leaves the lower end of the first row open; none in 255 has a ratio of 5.13, above 3.84.
        (255, 0.01, 0, 7),
        (510, 0.01, 1, 11),
        (1000, 0.01, 4, 17),
        (255, 0.025, 2, 12),
        (510, 0.025, 6, 21),
        (1000, 0.025, 15, 36),
        (255, 0.05, 6, 21),
        (510, 0.05, 16, 36),
        (1000, 0.05, 37, 65),
        (255, 0.10, 16, 36),
        (510, 0.10, 38, 65),
        (1000, 0.10, 81, 120),
    ],
)
def test_the_table_of_kupiec(trials, p, low, high):
    inside = [n for n in range(trials + 1) if not kupiec(n, trials, p).rejects]
    assert inside == list(range(low + 1, high))


def test_the_year_of_jorion():
    # J.P. Morgan in 1998: 20 failures in 252 days at 95%, 6 of them on the day after one.
    coverage = kupiec(20, 252, 0.05)
    apart = independence(Transitions(218, 14, 14, 6))
    both = joint(coverage, apart)
    assert (round(coverage.statistic, 2), round(apart.statistic, 2)) == (3.91, 9.53)
    assert both.statistic == coverage.statistic + apart.statistic and both.freedom == 2
    # A chi-squared of two degrees is exponential.
    assert both.p == pytest.approx(math.exp(-both.statistic / 2), rel=1e-12)
    # One degree is the square of a normal.
    assert coverage.p == pytest.approx(math.erfc(math.sqrt(coverage.statistic / 2)), rel=1e-12)
    assert coverage.rejects and apart.rejects and both.rejects


def test_a_ratio_by_hand():
    # 2 in 10 against a half: 2 [2 ln 0.2 + 8 ln 0.8 - 10 ln 0.5].
    want = 2 * (2 * math.log(0.2) + 8 * math.log(0.8) - 10 * math.log(0.5))
    assert kupiec(2, 10, 0.5).statistic == pytest.approx(want, rel=1e-14)
    assert kupiec(0, 300, 0.01).statistic == pytest.approx(-600 * math.log(0.99), rel=1e-14)
    assert kupiec(10, 10, 0.5).statistic == pytest.approx(20 * math.log(2), rel=1e-14)
    # Independent to the letter: the same share after both states.
    assert independence(Transitions(64, 16, 16, 4)).statistic == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_said_is_not_said():
    # None in 191 days has a ratio of 3.84, just below the limit; one day more is enough.
    silent, loud = kupiec(0, 191, 0.01), kupiec(0, 192, 0.01)
    assert silent.statistic is None and silent.p is None and "191 days are too few" in silent.silent
    assert loud.rejects and not loud.silent and not silent.rejects
    assert "no day" in kupiec(0, 0, 0.01).silent
    assert "no exceedance" in independence(Transitions(100, 0, 0, 0)).silent
    for pairs in (
        Transitions(98, 1, 1, 0),
        Transitions(98, 1, 0, 0),
        Transitions(98, 0, 1, 0),
        Transitions(0, 0, 0, 9),
    ):
        assert "too few" in independence(pairs).silent and not independence(pairs).rejects
    assert independence(Transitions(96, 2, 2, 0)).p is not None
    both = joint(loud, independence(Transitions(192, 0, 0, 0)))
    assert both.p is None and "no exceedance" in both.silent
    assert joint(silent, LikelihoodRatio(1, 1.0, 0.3)).silent == silent.silent


@pytest.mark.parametrize(
    ("failures", "trials", "p", "field"), [(1, 9, 0.0, "p"), (1, 9, 1.0, "p"), (10, 9, 0.1, "failures")]
)
def test_what_has_no_meaning_is_refused(failures, trials, p, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        kupiec(failures, trials, p)


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.data())
def test_pairs_are_counted_as_by_hand(failed, data):
    near = data.draw(st.lists(st.booleans(), min_size=len(failed) - 1, max_size=len(failed) - 1))
    pairs = [(a, b) for a, b, n in zip(failed, failed[1:], near, strict=False) if n]
    got = Transitions.of(np.array(failed), np.array(near))
    want = [pairs.count(pair) for pair in ((False, False), (False, True), (True, False), (True, True))]
    assert [got.n00, got.n01, got.n10, got.n11] == want
    assert sum(want) == sum(near) and Transitions.of(np.array(failed)).n00 + sum(failed) <= len(failed)
    test = independence(got)
    assert (test.p is None) == bool(test.silent)
    assert test.p is None or (0.0 <= test.p <= 1.0 and test.statistic >= 0.0)


def test_failures_in_a_row_are_noticed_and_scattered_ones_not():
    row, scattered = np.zeros(1000, dtype=bool), np.zeros(1000, dtype=bool)
    row[500:510] = scattered[::100] = True
    assert row.sum() == scattered.sum() == 10
    assert independence(Transitions.of(row)).rejects and not independence(Transitions.of(scattered)).rejects


def test_the_share_of_false_alarms_is_the_promised_one():
    # 300 sequences of 3,000 days at 1%: the tests reject about one in twenty of the truth.
    rng = np.random.default_rng(11)
    failed = rng.random((300, 3000)) < 0.01
    assert 0.02 < np.mean([kupiec(int(row.sum()), 3000, 0.01).rejects for row in failed]) < 0.09
    assert np.mean([independence(Transitions.of(row)).rejects for row in failed]) < 0.09


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(coverage_tests) == doctest.TestResults(failed=0, attempted=2)
