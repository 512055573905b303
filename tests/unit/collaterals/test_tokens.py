"""Hostile tokens against all that accounts do: they hurt their own holders at most, and lock nobody else.

INV-03, INV-11, decision 9. Deposits and withdrawals in detail: `clearing_house/test_deposit` and `test_withdraw`;
re-entry into every function: `clearing_house/test_reentry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.collaterals.kinds import Kind, deposit, provide, share, staked
from tests.unit.protocol_fixtures import QUOTE, WAD, World, action, call, perp, usd
from tests.unit.settlement.expiries import list_friday, settle, settle_at

HELD = 1_000 * WAD


@dataclass(frozen=True)
class Stage:
    """A token with manners to choose, of which the taker holds a thousand in an account that trades."""

    world: World
    token: Any
    kind: int
    account: int
    other: int


@pytest.fixture(scope="module")
def deployed_stage(deployed_world: World) -> Stage:
    world = replace(deployed_world)
    token = world.owner.deploy(world.contracts.RudeToken, 18)
    kind, _ = world.list_kind(token)
    account, other = world.open(world.taker, usd=4_500), world.open(world.taker, usd=100)
    world.give(token, world.taker, 3 * HELD)
    world.house.deposit(account, kind, HELD, sender=world.taker)
    world.trade(account, world.making, perp(10))
    deployed_world.nonce = world.nonce
    return Stage(world, token, kind, account, other)


@pytest.fixture
def stage(deployed_stage: Stage, world: World) -> Stage:
    return replace(deployed_stage, world=world)


def calls_back(stage: Stage) -> None:
    """Tries to take, to give and to sell in the middle of a transfer."""
    house = stage.world.house
    payloads = [
        house.withdraw.encode_input(stage.account, QUOTE, 1, stage.token),
        house.deposit.encode_input(stage.account, stage.kind, 1),
        house.transfer.encode_input(stage.account, stage.other, QUOTE, 1),
        house.assess.encode_input(stage.account),
    ]
    stage.token.set_calls(house, [bytes(p) for p in payloads], sender=stage.world.owner)


def manners(*row: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.token.set_manners(*row, sender=stage.world.owner)


def blocks(who: str) -> Callable[[Stage], None]:
    return lambda stage: stage.token.set_blocked(getattr(stage.world, who), True, sender=stage.world.owner)


def shrinks(stage: Stage) -> None:
    stage.token.shrink(5_000, sender=stage.world.owner)


# What each does to a deposit of 100, and to a withdrawal of all.
MANNERS: dict[str, tuple[Callable[[Stage], None], str | None, str | None]] = {
    "polite": (lambda stage: None, None, None),
    "takes a fee": (manners(100, 0, False, False), None, None),
    "says false": (manners(0, 0, True, False), "custody: transfer", "custody: transfer"),
    "reverts": (manners(0, 0, False, True), "token: refused", "token: refused"),
    "takes more": (manners(0, 1, False, False), None, "custody: token took more"),
    "blocks the vault": (blocks("house"), "token: blocked", "token: blocked"),
    "blocks the holder": (blocks("taker"), "token: blocked", "token: blocked"),
    # Half of the vault is gone: the last to leave find nothing.
    "shrinks": (shrinks, None, ""),
    "calls back": (calls_back, None, None),
}


@pytest.fixture(params=MANNERS)
def rude(request: Any, stage: Stage) -> tuple[Stage, str | None, str | None]:
    """The stage with its token's manner turned on, after what it holds came in politely."""
    # Raw tokens, so that one that takes more finds them: they are nobody's.
    stage.token.mint(stage.world.house, 10, sender=stage.world.owner)
    manner, deposits, withdrawals = MANNERS[request.param]
    manner(stage)
    return stage, deposits, withdrawals


def test_deposits_are_credited_by_what_arrives_or_refused(rude: Any) -> None:
    stage, refusal, _ = rude
    world = stage.world
    before, vault = world.house.balance_of(stage.account, stage.kind), stage.token.balanceOf(world.house)
    call = (world.house.deposit, stage.account, stage.kind, 100)
    assert world.tries(*call, sender=world.taker) == refusal
    if refusal is None:
        world.house.deposit(*call[1:], sender=world.taker)
    arrived = stage.token.balanceOf(world.house) - vault
    assert world.house.balance_of(stage.account, stage.kind) - before == arrived <= 100


def test_withdrawals_send_what_was_asked_for_or_are_refused(rude: Any) -> None:
    stage, _, refusal = rude
    world = stage.world
    vault = stage.token.balanceOf(world.house)
    call = (world.house.withdraw, stage.account, stage.kind, HELD, world.taker)
    assert world.tries(*call, sender=world.taker) == refusal
    if refusal is None:
        world.house.withdraw(*call[1:], sender=world.taker)
        assert vault - stage.token.balanceOf(world.house) == HELD
        assert world.house.credited(stage.kind) == 0
    else:
        assert world.house.balance_of(stage.account, stage.kind) == HELD


def test_trades_and_transfers_ask_no_token(rude: Any) -> None:
    """Of the token itself, of cash, and in a batch."""
    stage, _, _ = rude
    world = stage.world
    world.trade(stage.account, world.making, perp(-1), call(world.month, 2000, 0.1, 90))
    world.house.transfer(stage.account, stage.other, stage.kind, HELD // 2, sender=world.taker)
    batch = [
        action(2, stage.other, counterparty=stage.account, collateral=stage.kind, amount=HELD // 4),
        action(2, stage.account, counterparty=stage.other, collateral=QUOTE, amount=1),
        world.trade_action(stage.account, world.making, perp(1)),
    ]
    world.house.execute(batch, sender=world.taker)
    assert world.house.balance_of(stage.other, stage.kind) == HELD // 4


def test_what_it_stands_behind_is_settled(rude: Any) -> None:
    """The holder owes two calls in the money; the token is not asked."""
    stage, _, _ = rude
    world = stage.world
    friday = list_friday(world)
    world.trade(stage.account, world.making, call(friday, 1900, -2, 150))
    settle_at(world, friday, 1.1)
    before = world.house.cash(stage.account)
    receipt = settle(world, stage.account, world.making)
    assert [e.legs for e in receipt.events.filter(world.protocol.settlement.Settled)] == [1, 1]
    assert before - world.house.cash(stage.account) == 2 * 300 * WAD
    assert world.house.balance_of(stage.account, stage.kind) == HELD


def test_who_holds_it_can_be_sold(rude: Any) -> None:
    """Decision 8: the bidder gets its part of the token's balance, and the token is not asked."""
    stage, _, _ = rude
    world = stage.world
    world.move(0.8)
    assert world.health(stage.account) < 0
    fraction = world.sell(stage.account).fraction
    assert world.house.balance_of(world.bidding, stage.kind) == HELD * fraction // WAD > 0
    assert world.house.credited(stage.kind) == HELD


def test_nobody_else_is_locked(rude: Any) -> None:
    """The maker does all that one can do, while the holder tries with the token."""
    stage, _, _ = rude
    world = stage.world
    maker, making = world.maker, world.making
    before = world.state(making)
    for handler, *arguments in (
        (world.house.deposit, stage.account, stage.kind, 100),
        (world.house.withdraw, stage.account, stage.kind, 100, world.taker),
    ):
        if world.tries(handler, *arguments, sender=world.taker) is None:
            handler(*arguments, sender=world.taker)
    assert world.state(making) == before
    world.give(world.quote, maker, usd(10))
    world.house.deposit(making, QUOTE, usd(10), sender=maker)
    world.house.withdraw(making, QUOTE, usd(1_000), maker, sender=maker)
    world.house.transfer(making, world.open(maker), QUOTE, usd(5), sender=maker)
    world.trade(world.taking, making, perp(1))
    assert world.house.cash(making) == before[0][1] + (10 - 1_000 - 5) * WAD


def test_the_other_kinds_of_its_holder_are_not_locked(rude: Any) -> None:
    stage, _, _ = rude
    world = stage.world
    world.trade(stage.account, world.making, perp(-10))
    free = min(world.house.cash(stage.account), world.freedom(stage.account)) // 10**12
    assert free >= usd(4_500)
    world.house.withdraw(stage.account, QUOTE, free, world.taker, sender=world.taker)


# ------------------------------------------------------------------------------------------ the manners of other tokens


def silent(world: World) -> tuple[Kind, int]:
    """One that answers nothing, as USDT."""
    token = world.owner.deploy(world.contracts.SilentToken)
    kind, peg = world.list_kind(token)
    token.mint(world.taker, 10**7, sender=world.owner)
    return Kind(kind, token, token, peg), 10**7


def shrinking(world: World) -> tuple[Kind, int]:
    """One that rebases, held as it is: once it is slashed, a fifth of the vault is gone."""
    token = world.owner.deploy(world.contracts.RebasingToken, 10 * WAD)
    kind, peg = world.list_kind(token)
    token.mint(world.taker, 10 * WAD, sender=world.taker)
    return Kind(kind, token, token, peg), 10 * WAD


def wrapped(world: World) -> tuple[Kind, int]:
    """A wrapper of one that rebases, inside the grid."""
    kind = staked(world)
    kind.token.mint(world.taker, WAD // 100, sender=world.taker)
    return kind, WAD // 100


def shares(world: World) -> tuple[Kind, int]:
    """Shares of a vault."""
    kind = share(world)
    provide(world, kind, world.taker, 10 * WAD)
    return kind, int(kind.token.balanceOf(world.taker))


@pytest.mark.parametrize("make", [silent, shrinking, wrapped, shares])
def test_every_other_token_goes_through_all_of_it(world: World, make: Callable[[World], tuple[Kind, int]]) -> None:
    """Deposit, trade, settlement, liquidation, withdrawal; a rebasing one is slashed between. Others notice nothing."""
    kind, units = make(world)
    account = world.open(world.taker, usd=4_500)
    deposit(world, kind, account, units)
    credited = world.house.balance_of(account, kind.id)
    # What rebases moves in whole shares, of up to ten units here; nothing else rounds.
    rounding = 10 if make is shrinking else 0
    assert units - rounding <= credited <= units
    friday = list_friday(world)
    world.trade(account, world.making, perp(10), call(friday, 1900, -1, 150))
    if make in (shrinking, wrapped):
        kind.inside.set_index(8 * kind.inside.index() // 10, sender=world.owner)
    settle_at(world, friday, 1.0)
    receipt = settle(world, account, world.making)
    assert [e.legs for e in receipt.events.filter(world.protocol.settlement.Settled)] == [1, 1]
    world.move(0.8)
    assert world.health(account) < 0
    fraction = world.sell(account).fraction
    bought = world.house.balance_of(world.bidding, kind.id)
    assert bought == credited * fraction // WAD > 0
    assert world.house.balance_of(account, kind.id) == credited - bought
    part = bought // 2
    world.house.withdraw(world.bidding, kind.id, part, world.bidder, sender=world.bidder)
    assert part - rounding <= kind.token.balanceOf(world.bidder) <= part
    world.house.withdraw(world.making, QUOTE, usd(1_000), world.maker, sender=world.maker)


# ------------------------------------------------------------------------------------------------------------ wrappers


def test_a_token_that_rebases_is_held_wrapped(world: World) -> None:
    """stETH itself would leave the vault short after a slashing; its wrapper is worth less, and is all there."""
    kind = staked(world)
    account = world.open(world.taker)
    kind.token.mint(world.taker, WAD, sender=world.taker)
    deposit(world, kind, account, WAD)
    kind.inside.set_index(6 * WAD // 10, sender=world.owner)
    world.house.withdraw(account, kind.id, WAD, world.taker, sender=world.taker)
    assert kind.token.balanceOf(world.taker) == WAD
    world.check_ledger()


def test_a_token_that_rebases_credits_what_arrives(world: World) -> None:
    """A unit less than was asked for, as its shares round; after a slashing the first to leave find all of theirs."""
    token = world.owner.deploy(world.contracts.RebasingToken, 13 * WAD // 10)
    kind, _ = world.list_kind(token)
    token.mint(world.taker, 10 * WAD, sender=world.taker)
    token.approve(world.house, 10 * WAD, sender=world.taker)
    account = world.open(world.taker)
    world.house.deposit(account, kind, WAD, sender=world.taker)
    credited = world.house.balance_of(account, kind)
    assert WAD - 2 <= credited == token.balanceOf(world.house) < WAD
    token.set_index(WAD, sender=world.owner)
    assert world.tries(world.house.withdraw, account, kind, credited, world.taker, sender=world.taker) == ""
    part = token.balanceOf(world.house)
    assert world.tries(world.house.withdraw, account, kind, part, world.taker, sender=world.taker) is None
    world.house.withdraw(world.taking, QUOTE, usd(100_000), world.taker, sender=world.taker)
