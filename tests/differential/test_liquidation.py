"""Decision 8, INV-09: auctions of random distressed accounts, on Anvil against the float model."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from scripts import chain
from tests.differential.auctions import Bench
from tests.differential.distress import BIDS, PRESETS, compare
from tests.differential.strategies import NAMES

pytestmark = pytest.mark.differential

# Four accounts each, few of which are too near to no net value: over 300 in profile ci, 3,000 in profile deep.
EXAMPLES = 850 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 88


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """Market data, an engine for each preset, and the liquidation contract."""
    deployment = chain.deploy_engine(project_contracts, deployer, list(PRESETS.values()), chain.ids(NAMES))
    return Bench(project_contracts, deployment, ape_chain, {})


@pytest.fixture(scope="module")
def sold() -> Any:
    """How many accounts were asked about, and how many bids of each kind were awarded; printed at the end."""
    count: Counter[str] = Counter()
    yield count
    print(f"\n{dict(count)}")


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(**BIDS)
def test_every_bid_is_judged_as_by_the_model(bench: Bench, sold: Any, **bid: Any) -> None:
    compare(bench, sold, **bid)
