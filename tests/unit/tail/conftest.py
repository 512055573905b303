"""The libraries of the tail, and contracts whose constructor is asked what it accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_utils import keccak


@pytest.fixture(scope="module")
def harness(project_contracts: Any, deployer: Any) -> Any:
    """The internal functions of the libraries as views."""
    return deployer.deploy(project_contracts.TailHarness)


@pytest.fixture(scope="session")
def build(project_contracts: Any, ape_chain: Any) -> Callable[..., Callable[..., Any]]:
    """`build("ScenarioSet", *arguments)` is that contract, of which a view may be called by name and arguments.

    The constructor runs in an `eth_call`, which returns the code; the views ask that code. No state changes.
    RuntimeError with the reason where it refuses.
    """
    provider, address = ape_chain.provider, "0x" + "11" * 20

    def call(*arguments: Any) -> bytes:
        answer = provider.web3.provider.make_request("eth_call", [*arguments])
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def make(name: str, *arguments: Any) -> Callable[..., Any]:
        container = getattr(project_contracts, name)
        constructor = container.constructor
        data = bytes(constructor.deployment_bytecode) + bytes(constructor.encode_input(*arguments))
        code = call({"data": "0x" + data.hex()}, "latest")

        def view(function: str, *inputs: Any) -> Any:
            abi = next(method for method in container.contract_type.view_methods if method.name == function)
            encoded = provider.network.ecosystem.encode_calldata(abi, *inputs)
            payload = "0x" + (keccak(text=abi.selector)[:4] + bytes(encoded)).hex()
            result = call({"to": address, "data": payload}, "latest", {address: {"code": code}})
            return provider.network.ecosystem.decode_returndata(abi, bytes.fromhex(result[2:]))[0]

        return view

    return make
