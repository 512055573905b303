"""A hostile quote token calls back amid deposits and redemptions: nothing answers, nothing changes hands."""

from __future__ import annotations

from typing import Any

import pytest

from python_model import methodology
from scripts import chain, protocol
from tests.unit.backstop.conftest import WEEK
from tests.unit.protocol_fixtures import BTC, EMPTY, ETH, WAD, World, usd

# What `RudeToken` notes of a call that failed without an answer, and of one that succeeded.
LOCKED, PASSED = 1, 0
SHARES = 10**24


@pytest.fixture(scope="module")
def stage(project_contracts: Any, accounts: Any, ape_chain: Any) -> World:
    """A house whose quote token is hostile, and a holder of both tranches itself, with requests that are ready."""
    owner = accounts[0]
    token = owner.deploy(project_contracts.RudeToken, 6)
    weth = owner.deploy(project_contracts.Token, "Wrapped Ether", "WETH", 18)
    ids = {"BTC": BTC, "ETH": ETH}
    tokens = protocol.Tokens(token, weth)
    deployed = protocol.deploy(
        project_contracts, owner, methodology.load("house"), ids, tokens, terms=chain.fixed_terms(0.16), trusted=True
    )
    world = World(deployed, project_contracts, ape_chain, 0, *accounts[:8])
    for tranche in (deployed.junior, deployed.senior):
        for user in (world.taker, world.maker):
            token.mint(user, usd(10_000), sender=user)
            token.approve(tranche, usd(10_000), sender=user)
            tranche.deposit(usd(1_000), user, sender=user)
        tranche.transfer(token, 100 * SHARES, sender=world.maker)
        tranche.requestRedeem(100 * SHARES, world.taker, world.taker, sender=world.taker)
        token.call(tranche, tranche.requestRedeem.encode_input(50 * SHARES, token, token), sender=owner)
        token.call(token, token.approve.encode_input(tranche, usd(1_000)), sender=owner)
    token.mint(token, usd(1_000), sender=owner)
    ape_chain.mine(timestamp=int(ape_chain.blocks.head.timestamp) + WEEK)
    return world


def payloads(world: World, contract: Any) -> dict[str, bytes]:
    """What the token could do at any other time, and what it could look at."""
    token = world.quote
    arguments: dict[str, tuple[Any, ...]] = {
        "deposit": (usd(1), token),
        "mint": (SHARES, token),
        "requestRedeem": (SHARES, token, token),
        "redeem": (SHARES, token, token),
        "withdraw": (usd(1), token, token),
        "convertToAssets": (SHARES,),
        "previewDeposit": (usd(1),),
        "totalAssets": (),
        "maxWithdraw": (token,),
        "sync": (),
        "recover": (1,),
        "pool": (),
        "to_assets": (0, SHARES, False),
        "is_open": (0,),
    }
    names = {abi.name for abi in (*contract.contract_type.mutable_methods, *contract.contract_type.view_methods)}
    return {n: bytes(getattr(contract, n).encode_input(*a)) for n, a in arguments.items() if n in names}


def moves(world: World) -> dict[str, tuple[Any, ...]]:
    """Acts of the taker that make the token move."""
    junior = world.protocol.junior
    return {
        "deposit": (junior.deposit, usd(100), world.taker),
        "mint": (junior.mint, 100 * SHARES, world.taker),
        "redeem": (junior.redeem, 50 * SHARES, world.taker, world.taker),
        "withdraw": (junior.withdraw, usd(50), world.taker, world.taker),
    }


def worths(world: World) -> list[int]:
    """Of the shares of the maker, who does nothing, and of a share of each tranche."""
    backstop, found = world.protocol.backstop, []
    for kind, tranche in enumerate((world.protocol.junior, world.protocol.senior)):
        for shares in (tranche.balanceOf(world.maker), SHARES):
            found.append(int(backstop.to_assets(kind, shares, False)))
    return found


@pytest.mark.parametrize("move", ["deposit", "mint", "redeem", "withdraw"])
def test_the_tranche_that_moves_is_locked(stage: World, move: str) -> None:
    world, junior = stage, stage.protocol.junior
    calls = payloads(world, junior)
    with world.ape_chain.isolate():
        world.quote.set_calls(junior, list(calls.values()), sender=world.owner)
        before = worths(world)
        handler, *arguments = moves(world)[move]
        handler(*arguments, sender=world.taker)
        # `outcomes` are of the last transfer of the call.
        assert dict(zip(calls, world.quote.outcomes(), strict=True)) == dict.fromkeys(calls, LOCKED)
        world.quote.set_calls(junior, [], sender=world.owner)
        assert worths(world) == before


@pytest.mark.parametrize("move", ["deposit", "redeem"])
@pytest.mark.parametrize("name", ["backstop", "senior"])
def test_while_money_moves_the_books_are_locked(stage: World, move: str, name: str) -> None:
    """Of a deposit that is the transfer to the house. During that from the holder nothing is booked yet, and the
    token may do for itself what it may at any time; that changes no price either."""
    world, contract = stage, getattr(stage.protocol, name)
    calls = payloads(world, contract)
    with world.ape_chain.isolate():
        world.quote.set_calls(contract, list(calls.values()), sender=world.owner)
        before = worths(world)
        handler, *arguments = moves(world)[move]
        handler(*arguments, sender=world.taker)
        outcomes = dict(zip(calls, world.quote.outcomes(), strict=True))
        assert outcomes == dict.fromkeys(calls, LOCKED)
        world.quote.set_calls(contract, [], sender=world.owner)
        assert worths(world) == before


@pytest.mark.parametrize("name", ["junior", "backstop"])
def test_at_any_other_time_each_is_answered(stage: World, name: str) -> None:
    """Else the tests above would prove nothing."""
    contract = getattr(stage.protocol, name)
    for function, payload in payloads(stage, contract).items():
        transaction = {
            "to": contract.address,
            "from": stage.quote.address,
            "data": "0x" + payload.hex(),
            "gas": 10**7,
        }
        assert stage.ape_chain.provider.web3.eth.call(transaction) is not None, function


def test_a_token_with_a_fee_is_worth_what_arrives(stage: World) -> None:
    """A percent on the way to the backstop, and another on that to the house."""
    world = stage
    with world.ape_chain.isolate():
        world.quote.set_manners(100, 0, False, False, sender=world.owner)
        before, cash = worths(world), world.house.cash(protocol.FUND)
        shares = world.protocol.junior.balanceOf(world.maker)
        world.protocol.junior.deposit(usd(100), world.maker, sender=world.maker)
        assert world.house.cash(protocol.FUND) - cash == usd(98.01) * 10**12
        gained = world.protocol.junior.balanceOf(world.maker) - shares
        assert gained == 9_801 * SHARES // 100
        mint = (world.protocol.junior.mint, SHARES, world.maker)
        assert world.tries(*mint, sender=world.maker) == "tranche: too few arrived"
        assert worths(world)[1:] == before[1:]


@pytest.mark.parametrize(
    ("manners", "reason"),
    [((0, 0, True, False), "tranche: transfer"), ((0, 0, False, True), "token: refused")],
)
def test_tokens_that_refuse(stage: World, manners: tuple[Any, ...], reason: str) -> None:
    with stage.ape_chain.isolate():
        stage.quote.set_manners(*manners, sender=stage.owner)
        deposit = (stage.protocol.junior.deposit, usd(1), stage.taker)
        assert stage.tries(*deposit, sender=stage.taker) == reason
        assert stage.house.owner_of(0) == EMPTY
        assert stage.house.cash(protocol.FUND) == 4_000 * WAD
