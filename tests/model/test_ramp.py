"""A number on its way to a target: it is continuous, it keeps to its rates, and it arrives."""

from __future__ import annotations

import doctest
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import ramp
from python_model.ramp import Ramp

RISE, FALL = 0.01 / 3600, 0.0025 / 3600
# Doubles of numbers up to 1, over the few dozen sums of a test.
ROUNDING = 1e-14
shares = st.floats(0.12, 0.40)
gaps = st.integers(1, 200_000)
courses = st.lists(st.tuples(gaps, shares), min_size=1, max_size=20)


def walk(start: float, course: list[tuple[int, float]]) -> list[Ramp]:
    """A ramp at `start`, aimed at each target after each gap."""
    ramps = [Ramp(0, start, start, RISE, FALL)]
    for seconds, target in course:
        ramps.append(ramps[-1].aim(ramps[-1].time + seconds, target))
    return ramps


@given(start=shares, course=courses)
def test_a_new_target_moves_nothing_at_its_own_time(start, course):
    ramps = walk(start, course)
    for before, after in pairwise(ramps):
        assert after.at(after.time) == before.at(after.time)


@given(start=shares, course=courses, extra=gaps)
def test_it_never_moves_faster_than_its_rates(start, course, extra):
    ramps = walk(start, course)
    moments = [(r.time, r.at(r.time)) for r in ramps] + [(ramps[-1].time + extra, ramps[-1].at(ramps[-1].time + extra))]
    for (t, a), (u, b) in pairwise(moments):
        assert -FALL * (u - t) - ROUNDING <= b - a <= RISE * (u - t) + ROUNDING


@given(start=shares, course=courses, extra=st.integers(0, 10**6))
def test_it_stays_between_the_least_and_greatest_target(start, course, extra):
    last = walk(start, course)[-1]
    targets = [start, *(target for _, target in course)]
    assert min(targets) <= last.at(last.time + extra) <= max(targets)


@given(start=shares, target=shares)
def test_it_arrives_and_stays(start, target):
    aimed = Ramp(0, start, start, RISE, FALL).aim(0, target)
    needed = max((target - start) / RISE, (start - target) / FALL)
    assert aimed.at(int(needed) + 1) == aimed.at(10**9) == target


@given(start=shares, course=courses, part=st.floats(0, 1))
def test_it_does_not_matter_how_often_the_same_target_is_set(start, course, part):
    once = walk(start, course)[-1]
    seconds = 50_000
    middle = once.time + int(part * seconds)
    twice = once.aim(middle, once.target)
    assert twice.at(once.time + seconds) == pytest.approx(once.at(once.time + seconds), abs=ROUNDING)


@given(start=shares, course=courses)
def test_a_path_is_that_of_the_ramps(start, course):
    ramps = walk(start, course)
    times = np.array([r.time for r in ramps], dtype=np.int64)
    got = ramp.path(times, np.array([r.target for r in ramps]), start, RISE, FALL)
    assert got.tolist() == [r.at(r.time) for r in ramps]


def test_infinite_rates_follow_at_once_but_not_in_the_same_moment():
    at_once = Ramp(0, 0.16, 0.16, float("inf"), float("inf")).aim(10, 0.4)
    assert (at_once.at(10), at_once.at(11), at_once.aim(11, 0.2).at(12)) == (0.16, 0.4, 0.2)


def test_there_is_no_number_before_its_time():
    with pytest.raises(ValueError, match=r"^time: must be at least 10"):
        Ramp(10, 0.1, 0.2, RISE, FALL).at(9)


def test_an_empty_path_is_empty():
    assert ramp.path(np.array([], dtype=np.int64), np.array([]), 0.16, RISE, FALL).size == 0


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(ramp) == doctest.TestResults(failed=0, attempted=3)
