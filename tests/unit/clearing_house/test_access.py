"""Access matrix: every function that is no view, of the contracts that hold or move money, by every role (INV-05).

Perpetual 2026: an unguarded function. One that is added without a row here fails the first test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from scripts import chain, feed, protocol
from scripts.protocol import NO_SOURCES, NOBODY
from tests.unit.protocol_fixtures import (
    BTC,
    CROSS,
    ETH,
    FOR_EVER,
    LIQUIDATION,
    PORTFOLIO,
    QUOTE,
    RISK,
    SCOPE_ALL,
    SOLVENT,
    TRANSFER,
    WETH,
    WITHDRAW,
    World,
    action,
    call,
    future,
    perp,
)

ROLES = (
    "owner",
    "guardian",
    "account owner",
    "operator",
    "stranger",
    "maker",
    "pending owner",
    "liquidation contract",
    "settlement contract",
)
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
    trade: bytes

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
            "settlement contract": w.protocol.settlement,
        }[role]

    def next_update(self) -> tuple[Any, ...]:
        """The market of the moment, a second newer than the last."""
        return chain.update(ETH, self.world.markets[ETH], self.world.now, chain.Clock(0))

    def next_signed(self) -> tuple[Any, ...]:
        """Its spot alone, with the signature of the only signer."""
        update = (*self.next_update()[:-1], [])
        signed_feed = self.world.protocol.signed_feed
        return update, FOR_EVER, feed.signatures(signed_feed, [self.world.owner], update, FOR_EVER)


@pytest.fixture(scope="module")
def stage(deployed_world: World) -> Stage:
    world = replace(deployed_world)
    second = world.open(world.taker, usd=10_000)
    for account in (world.taking, second):
        world.house.set_operator(account, world.operator, FOR_EVER, SCOPE_ALL, sender=world.taker)
    for user in (world.owner, world.guardian, world.taker, world.operator, world.stranger, world.maker, world.heir):
        world.give(world.quote, user, 10)
    world.house.transfer_ownership(world.heir, sender=world.owner)
    unhealthy = world.open(world.bidder, usd=4_500)
    world.trade(unhealthy, world.making, perp(10))
    world.move(0.85)
    world.wait(1)
    unlisted = world.owner.deploy(world.contracts.Token, "Some", "SOM", 18)
    sides = [world.signed(world.order(a, perp(n, 1700))) for a, n in ((world.making, -1), (world.taking, 1))]
    return Stage(world, second, unhealthy, unlisted, protocol.submission(*sides))


Row = tuple[Callable[[Stage], tuple[Any, ...]], set[str], str]

# Arguments with which somebody passes, who passes, and what everybody else is told.
HOUSE: dict[str, Row] = {
    "create_account": (lambda s: (PORTFOLIO,), set(ROLES), ""),
    "set_operator": (
        lambda s: (s.world.taking, s.world.stranger, FOR_EVER, SCOPE_ALL),
        {"account owner"},
        "accounts: not the owner",
    ),
    "transfer_account": (
        lambda s: (s.world.taking, s.world.stranger),
        {"account owner"},
        "accounts: not the owner",
    ),
    "set_mode": (lambda s: (s.world.taking, CROSS), {"account owner"}, "accounts: not the owner"),
    "deposit": (lambda s: (s.world.taking, QUOTE, 1), ACCOUNT, "accounts: not authorised"),
    "withdraw": (lambda s: (s.world.taking, QUOTE, 1, s.world.taker), ACCOUNT, "accounts: not authorised"),
    "transfer": (lambda s: (s.world.taking, s.second, QUOTE, 1), ACCOUNT, "accounts: not authorised"),
    # Whoever has both signatures.
    "trade": (lambda s: (s.trade,), set(ROLES), ""),
    "execute": (
        lambda s: ([action(WITHDRAW, s.world.taking, amount=1, recipient=s.world.taker)],),
        ACCOUNT,
        "accounts: not authorised",
    ),
    "bid": (
        lambda s: (s.unhealthy, s.world.taking, protocol.bid(SOLVENT)),
        ACCOUNT,
        "accounts: not authorised",
    ),
    "post": (
        lambda s: (s.world.taking, [], 0, 0),
        {"settlement contract", "liquidation contract"},
        "clearing house: caller",
    ),
    "set_member": (lambda s: (s.world.stranger, True), *OWNER_ONLY),
    "set_contracts": (lambda s: s.world.around(), *OWNER_ONLY),
    "set_open_interest_cap": (lambda s: (ETH, 1), *OWNER_ONLY),
    "set_guardian": (lambda s: (s.world.stranger,), *OWNER_ONLY),
    "transfer_ownership": (lambda s: (s.world.stranger,), *OWNER_ONLY),
    "accept_ownership": (lambda s: (), {"pending owner"}, "authority: not the new owner"),
    "set_paused": (lambda s: (RISK,), {"owner", "guardian"}, "authority: not the guardian"),
}
EXCHANGE: dict[str, Row] = {
    "approve": (lambda s: (s.world.order(s.world.taking, perp(1)).row,), ACCOUNT, "accounts: not authorised"),
    "cancel": (lambda s: (s.world.taking, 1), ACCOUNT, "accounts: not authorised"),
    "cancel_range": (lambda s: (s.world.taking, 1, 2), ACCOUNT, "accounts: not authorised"),
    "cancel_below": (lambda s: (s.world.taking, 1), ACCOUNT, "accounts: not authorised"),
    "set_fees": (lambda s: ((0, 0, 0, 0),), *OWNER_ONLY),
    # Only the clearing house, which plays no role.
    "agree": (
        lambda s: (s.world.taker, s.world.protocol.market_data, s.trade),
        set(),
        "exchange: caller",
    ),
}
LIQUIDATIONS: dict[str, Row] = {
    # Only the clearing house, which plays no role.
    "award": (
        lambda s: (s.unhealthy, s.world.taking, (2, 0, 0, [], []), True, 0, 0, NOBODY, NOBODY, b""),
        set(),
        "liquidation: caller",
    ),
    "end": (lambda s: (s.unhealthy,), set(), "liquidation: not started"),
    "absorb": (lambda s: (s.unhealthy,), set(), "liquidation: no debt"),
    "set_terms": (lambda s: (tuple(protocol.LIQUIDATION.values()),), *OWNER_ONLY),
    "set_evidence": (lambda s: ([],), *OWNER_ONLY),
    "set_deleveraging": (lambda s: (s.world.heir,), *OWNER_ONLY),
    # Only the deleveraging contract.
    "set_deleveraged": (lambda s: (s.unhealthy,), set(), "liquidation: caller"),
}
COLLATERALS: dict[str, Row] = {
    "list_collateral": (lambda s: ((s.unlisted, ETH, 0, 0, 0, 0, NO_SOURCES),), *OWNER_ONLY),
    "set_cap": (lambda s: (QUOTE, 0), *OWNER_ONLY),
    "set_withdrawal_limit": (lambda s: (QUOTE, 1), *OWNER_ONLY),
    "set_sources": (lambda s: (WETH, NO_SOURCES), *OWNER_ONLY),
    # Once, by the deployment.
    "set_backstop": (lambda s: (s.world.protocol.settlement,), set(), "authority: not the owner"),
    "poke": (lambda s: (WETH,), set(ROLES), ""),
    # Only the clearing house, which plays no role.
    "release": (lambda s: (QUOTE, 0, s.world.taking, 0), set(), "collaterals: caller"),
}
ADMISSION: dict[str, Row] = {
    "set_minimum_equity": (lambda s: (1,), *OWNER_ONLY),
    "set_allow_list": (lambda s: (True,), *OWNER_ONLY),
    "set_allowed": (lambda s: (s.world.taker, True), *OWNER_ONLY),
}
SETTLEMENT: dict[str, Row] = {
    "settle": (lambda s: ([s.world.taking],), set(ROLES), ""),
    "realise": (lambda s: (s.world.taking,), set(ROLES), ""),
}
OWNABLE = ({"owner"}, "ownable: caller is not the owner")
SIGNED_FEED: dict[str, Row] = {
    # Whoever has the signatures.
    "submit": (lambda s: s.next_signed(), set(ROLES), ""),
    "set_signers": (lambda s: ([s.world.stranger], 1), *OWNABLE),
    "set_widest_basis": (lambda s: (0,), *OWNABLE),
    "transfer_ownership": (lambda s: (s.world.heir,), *OWNABLE),
    "accept_ownership": (lambda s: (), set(), "ownable_2step: caller is not the new owner"),
}
MONEY_MARKET: dict[str, Row] = {
    # Only the clearing house, which plays no role.
    "change": (lambda s: (0, 0), set(), "cash: caller"),
    "set_interest_rates": (lambda s: (s.world.protocol.interest_rates,), *OWNER_ONLY),
    # The owner and members of the clearing house.
    "collect": (
        lambda s: (s.world.taking, 0),
        {"owner", "liquidation contract", "settlement contract"},
        "authority: not the owner",
    ),
}
YIELDS: dict[str, Row] = {
    "refresh": (lambda s: ([s.world.taking],), set(ROLES), ""),
    "distribute": (lambda s: (), set(ROLES), ""),
    "set_fund_share": (lambda s: (0,), *OWNER_ONLY),
}
# Anybody, of an account whose auction has come so far.
DELEVERAGING: dict[str, Row] = {
    "open": (lambda s: (s.unhealthy,), set(), "deleveraging: not marked"),
    "nominate": (lambda s: (s.unhealthy, s.world.taking), set(), "deleveraging: no opposite legs"),
    "close": (lambda s: (s.unhealthy, 16), set(), "deleveraging: no round"),
}
MARKET_DATA: dict[str, Row] = {
    # The owner publishes too, in these tests; market data have an owner of their own.
    "publish": (lambda s: (s.next_update(),), {"owner"}, "market: publisher"),
    "set_publisher": (lambda s: (s.world.stranger, True), {"owner"}, "ownable: caller is not the owner"),
    "set_terms": (lambda s: (ETH, chain.fixed_terms(0.2)), {"owner"}, "ownable: caller is not the owner"),
    "set_depth_source": (lambda s: (s.world.heir,), {"owner"}, "ownable: caller is not the owner"),
    "transfer_ownership": (lambda s: (s.world.heir,), {"owner"}, "ownable: caller is not the owner"),
    "accept_ownership": (lambda s: (), set(), "ownable_2step: caller is not the new owner"),
}
CONTRACTS = {
    "admission": ADMISSION,
    "settlement": SETTLEMENT,
    "money_market": MONEY_MARKET,
    "yields": YIELDS,
    "deleveraging": DELEVERAGING,
    "market_data": MARKET_DATA,
    # Views alone.
    "engine": {},
    "report": {},
    "methodology": {},
    "kernel": {},
    # Nothing of a tail has a state.
    **{key: {} for key in protocol.TAIL_CONTAINERS},
    "interest_rates": {},
    "lens": {},
    "signed_feed": SIGNED_FEED,
    "clearing_house": HOUSE,
    "collaterals": COLLATERALS,
    "exchange": EXCHANGE,
    "liquidation": LIQUIDATIONS,
}


def functions(contract: Any) -> set[str]:
    """Every function that can change state."""
    return {abi.name for abi in contract.contract_type.mutable_methods}


# Contracts whose functions have their rows beside their other tests.
ELSEWHERE = {"backstop", "junior", "senior"}


def test_every_contract_has_rows(stage: Stage) -> None:
    """But for the tokens, which are no part of the protocol."""
    assert set(CONTRACTS) | ELSEWHERE == set(stage.world.protocol.contracts) - {"quote", "weth"}


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_function_has_a_row(stage: Stage, name: str) -> None:
    assert functions(stage.world.protocol.contracts[name]) == set(CONTRACTS[name])


@pytest.mark.parametrize(("contract", "function"), [(c, f) for c, rows in CONTRACTS.items() for f in rows])
def test_every_role_is_let_in_or_told_why_not(stage: Stage, contract: str, function: str) -> None:
    arguments, allowed, reason = CONTRACTS[contract][function]
    handler = getattr(getattr(stage.world.protocol, contract), function)
    for role in ROLES:
        answer = stage.world.tries(handler, *arguments(stage), sender=stage.sender(role))
        told = "collaterals: backstop is fixed" if function == "set_backstop" and role == "owner" else reason
        assert answer == (None if role in allowed else told), role


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
    assert world.tries(house.set_guardian, world.heir, sender=world.owner) == "authority: not the owner"
    # Kinds of collateral are the owner's as well.
    cap = (world.collaterals.set_cap, QUOTE, 0)
    assert world.tries(*cap, sender=world.owner) == "authority: not the owner"
    assert world.tries(*cap, sender=world.heir) is None


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
    "trade": (lambda s, a: (s.world.data(a, s.world.making, perp(0.000001, 1700)),), MARGIN),
    "execute": (lambda s, a: ([action(TRANSFER, a, counterparty=s.second, amount=1)],), MARGIN),
    # As the bidder; the account sold is not touched otherwise.
    "bid": (lambda s, a: (s.unhealthy, a, protocol.bid(SOLVENT)), "liquidation: bidder's margin"),
}
# What does neither, by whoever may call it: afterwards the figures are the same, or better by the deposit.
HARMLESS: dict[str, tuple[str, Callable[[Stage, int], tuple[Any, ...]]]] = {
    "create_account": ("account owner", lambda s, a: (PORTFOLIO,)),
    "set_operator": ("account owner", lambda s, a: (a, s.world.stranger, FOR_EVER, SCOPE_ALL)),
    "transfer_account": ("account owner", lambda s, a: (a, s.world.stranger)),
    "deposit": ("account owner", lambda s, a: (a, QUOTE, 1)),
    # With the same engine: another one is a matter for a timelock (INV-14).
    "set_contracts": ("owner", lambda s, a: s.world.around()),
    "set_open_interest_cap": ("owner", lambda s, a: (ETH, 1)),
    "set_guardian": ("owner", lambda s, a: (s.world.heir,)),
    "set_member": ("owner", lambda s, a: (s.world.heir, True)),
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
    # What settlement contract and money market post leaves equity where it was, or adds to it: tests/unit/settlement.
    assert set(HARMFUL) | set(HARMLESS) | {"post"} == functions(stage.world.house)
    assert not set(HARMFUL) & set(HARMLESS)


@pytest.mark.parametrize("function", HARMFUL)
def test_what_can_harm_ends_in_the_check(stage: Stage, function: str) -> None:
    """INV-05, INV-04."""
    attempt, reason = HARMFUL[function]
    account = edge(stage.world)
    handler = getattr(stage.world.house, function)
    assert stage.world.tries(handler, *attempt(stage, account), sender=stage.world.taker) == reason


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
