"""Transfers between two accounts of one owner: the sender is checked, the receiver asked."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import (
    FOR_EVER,
    QUOTE,
    SCOPE_ALL,
    SPOT,
    WAD,
    WETH,
    World,
    call,
    flat_market,
    perp,
    usd,
)


def test_cash_and_collateral_move_to_the_unit(world: World) -> None:
    sender, receiver = world.open(world.taker, usd=10, ether=2), world.open(world.taker)
    receipt = world.house.transfer(sender, receiver, QUOTE, 1, sender=world.taker)
    world.house.transfer(sender, receiver, WETH, 2 * WAD, sender=world.taker)
    assert world.state(sender) == [([], 10 * WAD - 10**12, 0, [0], 2)]
    assert world.state(receiver) == [([], 10**12, 0, [2 * WAD], 2)]
    event = world.house.Transferred(sender=sender, receiver=receiver, collateral=QUOTE, amount=1)
    assert receipt.events == [event]
    world.check_ledger()


def test_an_owner_does_not_pay_to_others(world: World) -> None:
    """INV-11: nobody gets what they have not asked for."""
    answer = world.tries(world.house.transfer, world.taking, world.making, QUOTE, 1, sender=world.taker)
    assert answer == "accounts: not authorised"


def test_a_common_operator_does_not_mix_two_owners(world: World) -> None:
    for account in (world.taking, world.making):
        world.house.set_operator(account, world.operator, FOR_EVER, SCOPE_ALL, sender=world.user(account))
    answer = world.tries(world.house.transfer, world.taking, world.making, QUOTE, 1, sender=world.operator)
    assert answer == "accounts: two owners"


def test_an_account_sends_nothing_to_itself(world: World) -> None:
    answer = world.tries(world.house.transfer, world.taking, world.taking, QUOTE, 1, sender=world.taker)
    assert answer == "accounts: one account"


@pytest.mark.parametrize(
    ("kind", "amount", "reason"),
    [
        (QUOTE, usd(100_000) + 1, "custody: not enough"),
        (WETH, 1, "custody: not enough"),
        (2, 0, "collaterals: unknown kind"),
    ],
)
def test_nobody_sends_what_is_not_there(world: World, kind: int, amount: int, reason: str) -> None:
    other = world.open(world.taker)
    assert world.tries(world.house.transfer, world.taking, other, kind, amount, sender=world.taker) == reason


def test_who_owes_cash_sends_none(world: World) -> None:
    account, other = world.open(world.taker, ether=100), world.open(world.taker)
    world.trade(account, world.making, world.marked(call(world.month, 2000, 10)))
    assert world.tries(world.house.transfer, account, other, QUOTE, 1, sender=world.taker) == "custody: not enough"


def test_the_sender_keeps_initial_margin(world: World) -> None:
    other = world.open(world.taker)
    world.trade(world.taking, world.making, perp(10))
    free = world.freedom(world.taking) // 10**12
    transfer = (world.house.transfer, world.taking, other, QUOTE)
    assert world.tries(*transfer, free + 1, sender=world.taker) == "solvency: margin"
    assert world.tries(*transfer, free, sender=world.taker) is None


def test_the_receiver_may_be_unhealthy(world: World) -> None:
    """It is how one account saves another."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.8)
    assert world.health(account) < 0
    world.house.transfer(world.taking, account, QUOTE, usd(5_000), sender=world.taker)
    assert world.health(account) > 0


def test_the_receiver_has_room_for_the_underlying(world: World) -> None:
    receiver, sender = world.open(world.taker, usd=1_000), world.open(world.taker, ether=1)
    for u in range(10, 18):
        world.publish(u, flat_market(100.0, world.start, days=()))
    for u in SPOT:
        world.move(1.0, u)
    world.trade(receiver, world.making, *(perp(0.1, 100, u) for u in range(10, 18)))
    assert world.tries(world.house.transfer, sender, receiver, WETH, 1, sender=world.taker) == "positions: underlyings"
