"""The worst week of ETH through the contract: the scan range of the contract is the model's, hour by hour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from python_model import history, replay
from python_model.volatility import Terms
from scripts import range_on_chain


@pytest.fixture(scope="module")
def course(project_contracts: Any, deployer: Any) -> range_on_chain.Course:
    """The week that ships with the model, begun at the range that it had."""
    week = history.read_week()
    terms = replace(Terms(), initial=round(week.start.scan_range(week.start.time), 6))
    return range_on_chain.run(project_contracts, deployer, week.series, terms)


def test_contract_and_model_agree(course):
    assert course.hours.size == 169
    assert course.difference <= course.allowed


def test_the_range_walked_through_the_crash_to_its_cap(course):
    assert course.contract[0] == pytest.approx(0.163, abs=5e-4)
    assert course.contract.max() == 0.4
    # A point an hour; an hour lasts a minute longer where its price had to be confirmed.
    assert np.diff(course.contract).max() <= 0.01 * 61 / 60
    assert replay.largest_rise(course.contract).points > 0.15


def test_the_hours_that_fell_by_more_than_a_tenth_had_to_be_confirmed(course):
    """The breaker holds what one update may say (INV-13), and lets the second through."""
    returns = course.series.close[1:] / course.series.close[:-1] - 1
    assert course.doubts == int(np.sum(np.abs(returns) > 0.1)) > 0


def test_an_hour_without_a_price_is_left_out(project_contracts, deployer):
    series = history.read_week().series.between(0, 6)
    close = series.close.copy()
    close[2:4] = np.nan
    seen = []
    gap = range_on_chain.run(project_contracts, deployer, replace(series, close=close), Terms(), lambda: seen.append(1))
    assert gap.hours.tolist() == [0, 1, 4, 5]
    assert len(seen) == 6
    assert gap.difference <= gap.allowed
