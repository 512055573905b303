"""One lock for all functions and views (decision 4): a hostile token calls back between a valuation and its use.

Curve and Vyper 2023, Sharwa 2026. The lock gives no reason; every other refusal does, which tells them apart.
"""

from __future__ import annotations

from typing import Any

import pytest
from web3.exceptions import ContractLogicError

from scripts import protocol
from tests.unit.protocol_fixtures import QUOTE, WAD, World, action, perp, reason, usd

# What `RudeToken` notes of a call that failed without an answer.
LOCKED = 1


def anything(abi_type: Any, account: int, someone: str) -> Any:
    """A value of an ABI type that decodes."""
    name = str(abi_type.type)
    if name.endswith("[]"):
        return []
    if name == "address":
        return someone
    if name == "bytes32":
        return b"\x01" * 32
    if name == "bytes4":
        return b"\x01" * 4
    if name == "bytes":
        # Of two orders of one account, which is refused with a reason.
        side = protocol.Consent(protocol.Order(account, ()), someone)
        return protocol.submission(side, side)
    if name == "tuple":
        return tuple(anything(component, account, someone) for component in abi_type.components)
    return name == "bool" or account


def payloads(contract: Any, account: int, someone: str) -> dict[str, bytes]:
    """A call of every function and view of a contract."""
    methods = [*contract.contract_type.mutable_methods, *contract.contract_type.view_methods]
    return {
        abi.name: bytes(getattr(contract, abi.name).encode_input(*(anything(i, account, someone) for i in abi.inputs)))
        for abi in methods
        # A pure rule over figures that the caller brings: nothing to re-enter.
        if abi.name != "slice_of"
    }


@pytest.fixture
def hostile(world: World) -> tuple[Any, int, int]:
    """A listed token of which the taker holds a thousand units, its kind, and an account of its own with cash."""
    token = world.owner.deploy(world.contracts.RudeToken, 18)
    kind, _ = world.list_kind(token)
    world.give(token, world.taker, 2_000)
    world.house.deposit(world.taking, kind, 1_000, sender=world.taker)
    token.call(world.house, world.house.create_account.encode_input(2), sender=world.owner)
    account = world.house.account_count()
    world.quote.mint(token, usd(1_000), sender=world.owner)
    token.call(world.quote, world.quote.approve.encode_input(world.house, usd(1_000)), sender=world.owner)
    token.call(world.house, world.house.deposit.encode_input(account, 0, usd(1_000)), sender=world.owner)
    assert world.house.cash(account) == 1_000 * WAD
    return token, kind, account


def moves(world: World, kind: int) -> dict[str, tuple[Any, ...]]:
    """Acts of the taker that make the token move."""
    return {
        "deposit": (world.house.deposit, world.taking, kind, 1_000),
        "withdraw": (world.house.withdraw, world.taking, kind, 500, world.taker),
        "execute": (world.house.execute, [action(0, world.taking, collateral=kind, amount=1_000)]),
    }


@pytest.mark.parametrize("move", ["deposit", "withdraw", "execute"])
def test_nothing_is_answered_in_the_middle_of_a_transfer(world: World, hostile: Any, move: str) -> None:
    """INV-11. Every function and every view, among them those that the token could use at any other time."""
    token, kind, account = hostile
    calls = payloads(world.house, account, token.address)
    assert {"assess", "deposit", "owner_of", "bid", "trade"} <= set(calls)
    token.set_calls(world.house, list(calls.values()), sender=world.owner)
    before = world.state(account, world.making)
    handler, *arguments = moves(world, kind)[move]
    handler(*arguments, sender=world.taker)
    assert dict(zip(calls, token.outcomes(), strict=True)) == dict.fromkeys(calls, LOCKED)
    assert world.state(account, world.making) == before
    world.check_ledger()


def test_at_any_other_time_each_is_answered(world: World, hostile: Any) -> None:
    """Else the test above would prove nothing."""
    token, _, account = hostile
    silent = []
    for name, payload in payloads(world.house, account, token.address).items():
        transaction = {"to": world.house.address, "from": token.address, "data": "0x" + payload.hex(), "gas": 10**7}
        try:
            world.ape_chain.provider.web3.eth.call(transaction)
        except ContractLogicError as error:
            silent += [name] if reason(error) == "" else []
    assert silent == []


@pytest.mark.parametrize("name", ["exchange", "liquidation", "settlement", "money_market"])
def test_there_is_no_way_in_by_the_other_contracts(world: World, hostile: Any, name: str) -> None:
    """What they do for the token asks the clearing house first."""
    token, kind, account = hostile
    contract = getattr(world.protocol, name)
    entrances = {
        "exchange": ["approve", "cancel", "cancel_range", "cancel_below", "set_fees"],
        "liquidation": ["end", "absorb", "quote"],
        "settlement": ["settle", "realise"],
        "money_market": ["set_interest_rates", "collect"],
    }[name]
    calls = payloads(contract, account, token.address)
    token.set_calls(contract, [calls[entrance] for entrance in entrances], sender=world.owner)
    world.house.deposit(world.taking, kind, 1_000, sender=world.taker)
    assert list(token.outcomes()) == [LOCKED] * len(entrances)


@pytest.mark.parametrize("name", ["exchange", "liquidation", "collaterals"])
def test_the_other_contracts_change_nothing_in_the_middle_of_a_transfer(world: World, hostile: Any, name: str) -> None:
    """Every function that can change state is refused, but for the note of a rate, which moves no value."""
    token, kind, account = hostile
    contract = getattr(world.protocol, name)
    calls = payloads(contract, account, token.address)
    harmful = {abi.name for abi in contract.contract_type.mutable_methods} - {"poke"}
    token.set_calls(contract, [calls[function] for function in harmful], sender=world.owner)
    before = world.state(account, world.making)
    world.house.deposit(world.taking, kind, 1_000, sender=world.taker)
    assert len(harmful) == len(token.outcomes()) and all(token.outcomes()), harmful
    assert world.state(account, world.making) == before


def test_others_go_on_as_if_nothing_were(world: World, hostile: Any) -> None:
    """INV-11: a hostile token stops nobody who does not touch it."""
    token, kind, account = hostile
    token.set_calls(world.house, list(payloads(world.house, account, token.address).values()), sender=world.owner)
    token.set_manners(0, 0, False, True, sender=world.owner)
    assert world.tries(world.house.withdraw, world.taking, kind, 1, world.taker, sender=world.taker) == "token: refused"
    world.trade(world.taking, world.making, perp(1))
    world.house.withdraw(world.taking, QUOTE, usd(50_000), world.taker, sender=world.taker)
    world.house.withdraw(world.making, QUOTE, usd(50_000), world.maker, sender=world.maker)
    world.check_ledger()


def test_what_a_callback_sends_along_is_the_depositors(world: World, hostile: Any) -> None:
    """INV-03: credited is what arrived, from wherever it came, and never more."""
    token, kind, account = hostile
    token.set_calls(token, [bytes(token.mint.encode_input(world.house, 7))], sender=world.owner)
    world.house.deposit(world.taking, kind, 1_000, sender=world.taker)
    assert world.house.balance_of(world.taking, kind) == 2_007
    assert world.house.balance_of(account, kind) == 0
    world.check_ledger()
