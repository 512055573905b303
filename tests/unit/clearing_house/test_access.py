"""Access matrix: every function that is no view, of the contracts that hold or move money, by every role (INV-05).

Perpetual 2026: an unguarded function. One that is added without a row here fails the first test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.protocol_fixtures import (
    BTC,
    CROSS,
    FOR_EVER,
    LIQUIDATION,
    NO_LIMITS,
    NOTHING_SIGNED,
    PORTFOLIO,
    QUOTE,
    RISK,
    TRANSFER,
    WAD,
    WITHDRAW,
    World,
    action,
    call,
    future,
    perp,
)

ROLES = ("owner", "guardian", "account owner", "operator", "stranger", "maker", "pending owner", "liquidation contract")
ACCOUNT = {"account owner", "operator"}
OWNER_ONLY = ({"owner"}, "authority: not the owner")
MARGIN = "solvency: margin"


@dataclass(frozen=True)
class Stage:
    """A world in which every role has what its calls need: a second account, tokens, an operator, a pending owner."""

    world: World
    second: int
    unhealthy: int
    unlisted: Any
    trade: tuple[Any, ...]

    def sender(self, role: str) -> Any:
        w = self.world
        return {
            "owner": w.owner,
            "guardian": w.guardian,
            "account owner": w.taker,
            "operator": w.operator,
            "stranger": w.stranger,
            "maker": w.maker,
            "pending owner": w.heir,
            "liquidation contract": w.liquidation,
        }[role]


@pytest.fixture(scope="module")
def stage(deployed_world: World) -> Stage:
    world = replace(deployed_world)
    second = world.open(world.taker, usd=10_000)
    for account in (world.taking, second):
        world.house.set_operator(account, world.operator, FOR_EVER, sender=world.taker)
    for user in (world.owner, world.guardian, world.taker, world.operator, world.stranger, world.maker, world.heir):
        world.give(world.quote, user, 10)
    world.house.transfer_ownership(world.heir, sender=world.owner)
    unhealthy = world.open(world.bidder, usd=4_500)
    world.trade(unhealthy, world.making, perp(10))
    world.move(0.85)
    unlisted = world.owner.deploy(world.contracts.Token, "Some", "SOM", 18)
    return Stage(world, second, unhealthy, unlisted, world.terms(world.taking, world.making, perp(1, 1700)))


Row = tuple[Callable[[Stage], tuple[Any, ...]], set[str], str]

# Arguments with which somebody passes, who passes, and what everybody else is told.
HOUSE: dict[str, Row] = {
    "create_account": (lambda s: (PORTFOLIO,), set(ROLES), ""),
    "set_operator": (
        lambda s: (s.world.taking, s.world.stranger, FOR_EVER),
        {"account owner"},
        "accounts: not the owner",
    ),
    "set_mode": (lambda s: (s.world.taking, CROSS), {"account owner"}, "accounts: not the owner"),
    "deposit": (lambda s: (s.world.taking, QUOTE, 1), ACCOUNT, "accounts: not authorised"),
    "withdraw": (lambda s: (s.world.taking, QUOTE, 1, s.world.taker), ACCOUNT, "accounts: not authorised"),
    "transfer": (lambda s: (s.world.taking, s.second, QUOTE, 1), ACCOUNT, "accounts: not authorised"),
    "trade": (lambda s: s.trade, ACCOUNT, "accounts: not authorised"),
    "execute": (
        lambda s: ([action(WITHDRAW, s.world.taking, amount=1, recipient=s.world.taker)],),
        ACCOUNT,
        "accounts: not authorised",
    ),
    "sell_slice": (
        lambda s: (s.unhealthy, s.world.taking, WAD // 2),
        {"liquidation contract"},
        "liquidation: caller",
    ),
    "list_collateral": (lambda s: (s.unlisted, 0, s.world.owner, 0, 0, 0), *OWNER_ONLY),
    "set_cap": (lambda s: (QUOTE, 0), *OWNER_ONLY),
    "set_contracts": (lambda s: (s.world.protocol.report, s.world.exchange, s.world.liquidation), *OWNER_ONLY),
    "set_guardian": (lambda s: (s.world.stranger,), *OWNER_ONLY),
    "transfer_ownership": (lambda s: (s.world.stranger,), *OWNER_ONLY),
    "accept_ownership": (lambda s: (), {"pending owner"}, "authority: not the new owner"),
    "set_paused": (lambda s: (RISK,), {"owner", "guardian"}, "authority: not the guardian"),
}
EXCHANGE: dict[str, Row] = {
    "approve_trade": (
        lambda s: (s.world.taking, b"\x01" * 32, True),
        {"account owner"},
        "accounts: not the owner",
    ),
    "cancel_nonce": (lambda s: (s.world.taking, 1), ACCOUNT, "accounts: not authorised"),
    # Only the clearing house, which plays no role.
    "agree": (
        lambda s: (s.world.taking, s.world.making, s.world.maker, True, s.world.owner, [perp(1)], 1, 0, NOTHING_SIGNED),
        set(),
        "exchange: caller",
    ),
}
LIQUIDATIONS: dict[str, Row] = {
    "liquidate": (lambda s: (s.unhealthy, s.world.taking, WAD, *NO_LIMITS), ACCOUNT, "accounts: not authorised"),
    "set_terms": (lambda s: (0, WAD), *OWNER_ONLY),
}
CONTRACTS = {"clearing_house": HOUSE, "exchange": EXCHANGE, "liquidation": LIQUIDATIONS}


def functions(contract: Any) -> set[str]:
    """Every function that can change state."""
    return {abi.name for abi in contract.contract_type.mutable_methods}


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_function_has_a_row(stage: Stage, name: str) -> None:
    assert functions(getattr(stage.world.protocol, name)) == set(CONTRACTS[name])


@pytest.mark.parametrize(("contract", "function"), [(c, f) for c, rows in CONTRACTS.items() for f in rows])
def test_every_role_is_let_in_or_told_why_not(stage: Stage, contract: str, function: str) -> None:
    arguments, allowed, reason = CONTRACTS[contract][function]
    handler = getattr(getattr(stage.world.protocol, contract), function)
    for role in ROLES:
        answer = stage.world.tries(handler, *arguments(stage), sender=stage.sender(role))
        assert answer == (None if role in allowed else reason), role


def test_views_are_for_everybody(stage: Stage) -> None:
    assert stage.world.tries(stage.world.house.assess, stage.world.taking, sender=stage.world.stranger) is None


# ----------------------------------------------------------------------------------------------------------- authority


def test_ownership_changes_hands_in_two_steps(stage: Stage) -> None:
    world = stage.world
    house = world.house
    assert (house.owner(), house.pending_owner()) == (world.owner, world.heir)
    house.accept_ownership(sender=world.heir)
    assert house.owner() == world.heir
    assert int(house.pending_owner(), 16) == 0
    assert world.tries(house.set_cap, QUOTE, 0, sender=world.owner) == "authority: not the owner"


def test_an_offer_of_ownership_can_be_withdrawn(stage: Stage) -> None:
    world = stage.world
    world.house.transfer_ownership("0x" + "00" * 20, sender=world.owner)
    assert world.tries(world.house.accept_ownership, sender=world.heir) == "authority: not the new owner"
    assert world.house.owner() == world.owner


def test_the_guardian_pauses_more_and_never_less(stage: Stage) -> None:
    world = stage.world
    pause = world.house.set_paused
    receipt = pause(RISK, sender=world.guardian)
    assert receipt.events == [world.house.PauseSet(paused=RISK)]
    for less in (0, LIQUIDATION):
        assert world.tries(pause, less, sender=world.guardian) == "authority: only more"
    pause(RISK | LIQUIDATION, sender=world.guardian)
    assert world.tries(pause, RISK, sender=world.guardian) == "authority: only more"
    assert world.tries(pause, 4, sender=world.guardian) == "authority: flags"
    pause(0, sender=world.owner)
    assert world.house.paused() == 0


def test_a_dismissed_guardian_pauses_nothing(stage: Stage) -> None:
    world = stage.world
    world.house.set_guardian(world.heir, sender=world.owner)
    assert world.tries(world.house.set_paused, RISK, sender=world.guardian) == "authority: not the guardian"
    assert world.tries(world.house.set_paused, RISK, sender=world.heir) is None


# --------------------------------------------------------------------------------------- INV-05: which of them can harm

# What lowers an account's equity or raises its risk: an attempt by its owner, and the check that ends it.
HARMFUL: dict[str, tuple[Callable[[Stage, int], tuple[Any, ...]], str]] = {
    "set_mode": (lambda s, a: (a, CROSS), MARGIN),
    "withdraw": (lambda s, a: (a, QUOTE, 1, s.world.taker), MARGIN),
    "transfer": (lambda s, a: (a, s.second, QUOTE, 1), MARGIN),
    "trade": (lambda s, a: s.world.terms(a, s.world.making, perp(0.000001, 1700)), MARGIN),
    "execute": (lambda s, a: ([action(TRANSFER, a, counterparty=s.second, amount=1)],), MARGIN),
    # As the bidder; the account sold is not touched otherwise.
    "sell_slice": (lambda s, a: (s.unhealthy, a, WAD // 2), "liquidation: bidder's margin"),
}
# What does neither, by whoever may call it: afterwards the figures are the same, or better by the deposit.
HARMLESS: dict[str, tuple[str, Callable[[Stage, int], tuple[Any, ...]]]] = {
    "create_account": ("account owner", lambda s, a: (PORTFOLIO,)),
    "set_operator": ("account owner", lambda s, a: (a, s.world.stranger, FOR_EVER)),
    "deposit": ("account owner", lambda s, a: (a, QUOTE, 1)),
    "list_collateral": ("owner", lambda s, a: (s.unlisted, 0, s.world.owner, 0, 0, 0)),
    "set_cap": ("owner", lambda s, a: (QUOTE, 0)),
    # With the same engine: another one is a matter for a timelock (INV-14).
    "set_contracts": ("owner", lambda s, a: (s.world.protocol.report, s.world.exchange, s.world.liquidation)),
    "set_guardian": ("owner", lambda s, a: (s.world.heir,)),
    "transfer_ownership": ("owner", lambda s, a: (s.world.stranger,)),
    "accept_ownership": ("pending owner", lambda s, a: ()),
    "set_paused": ("guardian", lambda s, a: (RISK | LIQUIDATION,)),
}


def edge(world: World) -> int:
    """An account with initial margin to the unit, which lives on its offsets and has cash."""
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, perp(10, 1700), future(world.week, -9, 1700), perp(0.01, 70_000, BTC))
    world.drain(account)
    assert 0 <= world.freedom(account) < 10**12 < world.house.cash(account)
    world.give(world.quote, world.taker, 10)
    return account


def test_every_function_is_harmful_or_harmless(stage: Stage) -> None:
    assert set(HARMFUL) | set(HARMLESS) == functions(stage.world.house)
    assert not set(HARMFUL) & set(HARMLESS)


@pytest.mark.parametrize("function", HARMFUL)
def test_what_can_harm_ends_in_the_check(stage: Stage, function: str) -> None:
    """INV-05, INV-04."""
    attempt, reason = HARMFUL[function]
    account = edge(stage.world)
    sender = stage.world.liquidation if function == "sell_slice" else stage.world.taker
    handler = getattr(stage.world.house, function)
    assert stage.world.tries(handler, *attempt(stage, account), sender=sender) == reason


@pytest.mark.parametrize("kind", ["withdraw", "transfer", "trade"])
def test_a_batch_is_no_way_round_the_check(stage: Stage, kind: str) -> None:
    """INV-05, Platypus 2023: each kind of action, the deposit of the same amount apart."""
    world = stage.world
    account = edge(world)
    act = {
        "withdraw": action(WITHDRAW, account, amount=1, recipient=world.taker),
        "transfer": action(TRANSFER, account, counterparty=stage.second, amount=1),
        "trade": world.trade_action(account, stage.second, call(world.month, 3000, 0.000001, 1_000)),
    }[kind]
    assert world.tries(world.house.execute, [act], sender=world.taker) == MARGIN


@pytest.mark.parametrize("function", HARMLESS)
def test_what_cannot_harm_does_not(stage: Stage, function: str) -> None:
    """INV-05, INV-14."""
    world = stage.world
    account = edge(world)
    role, arguments = HARMLESS[function]
    before = world.figures(account)
    getattr(world.house, function)(*arguments(stage, account), sender=stage.sender(role))
    after = world.figures(account)
    assert after.maintenance == before.maintenance and after.initial == before.initial
    gain = 10**12 if function == "deposit" else 0
    assert after.equity_maintenance - before.equity_maintenance == gain
    assert after.equity_initial - before.equity_initial == gain
