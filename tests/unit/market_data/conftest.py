"""Market data on the chain, and those who may do something with it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.market_data.updates import FALL, NOW, RISE, Terms

Attempt = Callable[..., str | None]


@pytest.fixture(scope="module")
def owner(accounts: Any) -> Any:
    """Deployed the contract."""
    return accounts[0]


@pytest.fixture(scope="module")
def publisher(accounts: Any) -> Any:
    """May publish, and nothing else."""
    return accounts[1]


@pytest.fixture(scope="module")
def stranger(accounts: Any) -> Any:
    """May do nothing."""
    return accounts[2]


@pytest.fixture(scope="module")
def market_data(project_contracts: Any, owner: Any, publisher: Any) -> Any:
    """Without any data yet."""
    contract = owner.deploy(project_contracts.MarketData, RISE, FALL)
    contract.set_publisher(publisher, True, sender=owner)
    for underlying in (1, 2, 3, 255):
        contract.set_terms(underlying, Terms(), sender=owner)
    return contract


@pytest.fixture(scope="session")
def attempt(ape_chain: Any) -> Attempt:
    """The reason for which a transaction would revert ("" for none given), or None: asked by `eth_call`."""

    def run(function: Any, *arguments: Any, sender: Any, time: int = NOW) -> str | None:
        transaction = {
            "from": sender.address,
            "to": function.contract.address,
            "data": "0x" + bytes(function.encode_input(*arguments)).hex(),
        }
        answer = ape_chain.provider.web3.provider.make_request(
            "eth_call", [transaction, "latest", {}, {"time": hex(time)}]
        )
        if "error" not in answer:
            return None
        return str(answer["error"]["message"]).removeprefix("execution reverted").removeprefix(": ")

    return run
