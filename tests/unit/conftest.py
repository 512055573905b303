"""A protocol for each module of tests; ape undoes on the chain what each test does to it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.protocol_fixtures import World, deploy_world


@pytest.fixture(scope="module")
def deployed_world(project_contracts: Any, accounts: Any, chain: Any) -> Generator[World, None, None]:
    """The protocol at its start, on a clock that stands still."""
    request = chain.provider.web3.provider.make_request
    request("anvil_setBlockTimestampInterval", [0])
    yield deploy_world(project_contracts, accounts, chain)
    request("anvil_removeBlockTimestampInterval", [])


@pytest.fixture
def world(deployed_world: World) -> World:
    """A copy for one test, which may count nonces and move markets."""
    return replace(deployed_world, markets=dict(deployed_world.markets))
