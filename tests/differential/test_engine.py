"""INV-06: the margin engine on Anvil against the float model, over random markets and books."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from python_model import methodology
from python_model.portfolio import Market
from scripts import chain
from tests.differential.comparison import Differences
from tests.differential.strategies import NAMES, situations

pytestmark = pytest.mark.differential

# Four books a situation: 500 portfolios in profile ci, 5,000 in profile deep.
EXAMPLES = 1250 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 125


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """An engine for every preset."""
    presets = [methodology.load(name) for name in methodology.grids()]
    return chain.deploy_engine(project_contracts, deployer, presets, chain.ids(NAMES))


@pytest.fixture(scope="module")
def differences() -> Any:
    """Errors over the whole module, printed at its end."""
    seen = Differences()
    yield seen
    print(
        f"\n{seen.portfolios} portfolios; largest excess of a requirement, as a share of sum |q| (F + K):"
        f" {seen.largest_error:.2e}"
    )
    for name, share in sorted(seen.largest.items(), key=lambda row: -row[1]):
        print(f"  {name:20s} {share:8.4f} of its tolerance")


def explain(deployment: chain.Deployment, name: str, market: Market, book: Any, clock: chain.Clock) -> Any:
    """The engine's answer at the market's own time."""
    account = chain.account(book, market, deployment.names, clock)
    return chain.call_at(deployment.reports[name].explain, clock.chain(market.as_of), account)


# Without shrinking: an example costs a tenth of a second, and a thousand of them tell no more than the first.
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(situation=situations())
def test_every_figure_agrees(
    deployment: chain.Deployment, differences: Differences, ape_chain: Any, situation: Any
) -> None:
    """INV-06; and no admissible book makes the engine revert."""
    market, books = situation
    now = ape_chain.blocks.head.timestamp + 10
    ape_chain.pending_timestamp = now
    clock = chain.publish(deployment, market, now)
    for i, book in enumerate(books):
        preset = methodology.load(methodology.grids()[i % 4])
        assessment, reports = explain(deployment, preset.name, market, book, clock)
        assert assessment.fresh
        differences.compare(assessment, reports, deployment.names, book, market, preset)
