"""A feed of three of five signers, the only publisher of its market data."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.feeds.stage import THRESHOLD, UNDERLYING, WIDEST, Stage
from tests.unit.market_data.updates import FALL, RISE, Terms


@pytest.fixture(scope="module")
def stage(project_contracts: Any, accounts: Any, ape_chain: Any) -> Stage:
    """Nothing is published yet."""
    owner = accounts[0]
    market_data = owner.deploy(project_contracts.MarketData, RISE, FALL)
    market_data.set_terms(UNDERLYING, Terms(), sender=owner)
    signers = sorted(accounts[1:6], key=lambda account: int(account.address, 16))
    feed = owner.deploy(project_contracts.SignedFeed, market_data, signers, THRESHOLD, WIDEST)
    market_data.set_publisher(feed, True, sender=owner)
    return Stage(market_data, feed, signers, owner, accounts[9], ape_chain)
