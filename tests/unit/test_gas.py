"""Gas is exact: the committed snapshot is what the contracts cost, and a change that costs more has to say why."""

import json
from typing import Any

import pytest

from scripts import benchmark

TOLERANCE = 0.01
# Targets at the house grid, whole transactions from cold storage.
TARGETS = {
    "assess options=32 expiries=1 underlyings=1 scenarios=33": 850_000,
    "assess options=128 expiries=4 underlyings=1 scenarios=33": 3_300_000,
    "assess_perp options=0 scenarios=33": 130_000,
    # With the expected shortfall over 250 rows.
    "var_250x32 options=32 expiries=1 underlyings=2 scenarios=33": 6_500_000,
    "var_250x32 options=32 expiries=2 underlyings=2 scenarios=33": 6_500_000,
    "var_250x8 options=8 expiries=1 underlyings=1 scenarios=33": 1_800_000,
    # Three of five signatures, from storage that was written before.
    "feed_update_8": 450_000,
    "feed_update_spot": 120_000,
    # One order of four legs of the sixteen that both sides have. New legs are dearer: they write empty storage.
    "trade_package options=16 expiries=1": 1_300_000,
    # A bidder with cash alone: 128 new legs for it, and one assessment.
    "liquidate_128 options=128 expiries=1": 7_000_000,
    "liquidate_128 options=128 expiries=4": 7_000_000,
}


@pytest.fixture(scope="module")
def measured(project_contracts: Any, deployer: Any) -> dict[str, Any]:
    return benchmark.measure_gas(project_contracts, deployer)


def test_gas_is_that_of_the_snapshot(measured):
    kept = json.loads(benchmark.SNAPSHOT.read_text())
    now = benchmark.snapshot(measured["gas"])
    assert now.keys() == kept.keys(), "rows changed: run `make bench ARGS=--snapshot` and commit the snapshot"
    worse = {name: (kept[name], gas) for name, gas in now.items() if gas > kept[name] * (1 + TOLERANCE)}
    better = {name: (kept[name], gas) for name, gas in now.items() if gas < kept[name] * (1 - TOLERANCE)}
    assert not worse, f"costs more: find out why, or commit a new snapshot that says why: {worse}"
    assert not better, f"costs less, well done: run `make bench ARGS=--snapshot` and commit the snapshot: {better}"


def test_targets_are_met(measured):
    now = benchmark.snapshot(measured["gas"])
    for name, target in TARGETS.items():
        assert now[name] <= target, name
    assert measured["marginal"]["gas_per_cell"] <= 520
    assert measured["marginal"]["gas_per_option_setup"] <= 6_000
