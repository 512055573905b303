"""Wrong constants, signs and roundings planted in the auctions: the comparison with the model notices each of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from scripts import chain
from tests.differential import planting
from tests.differential.auctions import Bench
from tests.differential.distress import BIDS, PRESETS, compare
from tests.differential.planting import Builds, Defect
from tests.differential.strategies import NAMES

pytestmark = [pytest.mark.differential, pytest.mark.slow]

LIQUIDATION, AUCTION, AUCTIONS = "Liquidation.vy", "libraries/auction.vy", "modules/auctions.vy"
# A wrong contract must be found out within so many scenes of four accounts; mostly it is in one of the first.
ENOUGH = 40


def defect(name: str, source: str, text: str, planted: str) -> Defect:
    """All are of the liquidation contract."""
    return Defect(name, source, text, planted, "Liquidation")


DEFECTS = [
    defect("the discount begins at nothing", AUCTION, "convert(first + (knee", "convert((knee"),
    defect("after the knee it stands still", AUCTION, "- knee) * late //", "- knee) * 0 * late //"),
    defect("the shortfall the wrong way round", AUCTION, "shortfall + fixed_point", "shortfall * 2 + fixed_point"),
    defect("the price falls from nothing alone", AUCTION, "top: int256 = max(net_value, 0)", "top: int256 = 0"),
    defect("a bonus the wrong way round", AUCTION, "net_value + bonus)", "net_value - bonus)"),
    defect("a part earns the reward", AUCTIONS, "    if whole:\n", "    if True:\n"),
    defect("nine premiums are enough", AUCTIONS, "PREMIUMS: constant(int256) = 10", "PREMIUMS: constant(int256) = 9"),
    defect("twice the reward", AUCTIONS, "convert(t.reward_share, int256)", "2 * convert(t.reward_share, int256)"),
    defect(
        "spot counts five times", "modules/rounding.vy", "SPOTS: constant(int256) = 6", "SPOTS: constant(int256) = 5"
    ),
    defect(
        "margin is not needed",
        "modules/rounding.vy",
        "fixed_point.mul_up(figures.initial -",
        "0 * fixed_point.mul_up(figures.initial -",
    ),
    defect("slices know no limit", LIQUIDATION, "fraction = min(fraction, limit)", "pass"),
    defect("rounding is for nothing", LIQUIDATION, "        price += premium\n", "        pass\n"),
    defect(
        "the fund gets no fee",
        LIQUIDATION,
        "fund_cash = fixed_point.mul_down(value",
        "fund_cash = 0 * fixed_point.mul_down(value",
    ),
    defect("the fund owes at will", LIQUIDATION, "-fund_cash <= max(fund, 0)", "-fund_cash // 2 <= max(fund, 0)"),
    defect("twice the fee of a package", LIQUIDATION, "max(given, 0) * rate //", "2 * max(given, 0) * rate //"),
    defect(
        "sizes are cut upwards",
        "modules/positions.vy",
        ", fraction) // WAD\n",
        ", fraction) // WAD + 1\n",
    ),
]


builds = planting.builds_of(DEFECTS)


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any, ape_chain: Any) -> chain.Deployment:
    """Market data, and an engine for each preset."""
    return chain.deploy_engine(project_contracts, deployer, list(PRESETS.values()), chain.ids(NAMES))


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda d: d.name)
def test_a_planted_defect_is_noticed(
    project_contracts: Any, deployment: chain.Deployment, ape_chain: Any, builds: Builds, planted: Defect
) -> None:
    bench = Bench(project_contracts, deployment, ape_chain, {"Liquidation": builds[planted.name].result()})

    @settings(max_examples=ENOUGH, phases=[Phase.generate], database=None, derandomize=True, report_multiple_bugs=False)
    @given(**BIDS)
    def scenes(**bid: Any) -> None:
        compare(bench, Counter(), **bid)

    with pytest.raises(AssertionError):
        scenes()
