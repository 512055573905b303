"""A whole account changes hands: what it has and owes goes with it, what its old owner's keys may do does not."""

from __future__ import annotations

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import (
    EMPTY,
    FOR_EVER,
    QUOTE,
    SCOPE_ALL,
    SCOPE_FUNDS,
    World,
    perp,
)


def hand_over(world: World) -> None:
    world.house.transfer_account(world.taking, world.stranger, sender=world.taker)


def test_everything_goes_with_it(world: World) -> None:
    world.trade(world.taking, world.making, perp(1))
    before = world.state(world.taking)
    receipt = world.house.transfer_account(world.taking, world.stranger, sender=world.taker)
    event = world.house.AccountTransferred(account=world.taking, previous_owner=world.taker, owner=world.stranger)
    assert receipt.events == [event]
    assert world.house.owner_of(world.taking) == world.stranger
    assert world.state(world.taking) == before
    withdraw = (world.house.withdraw, world.taking, QUOTE, 1)
    assert world.tries(*withdraw, world.taker, sender=world.taker) == "accounts: not authorised"
    assert world.tries(*withdraw, world.stranger, sender=world.stranger) is None


@pytest.mark.parametrize("who", ["operator", "stranger", "owner", "maker"])
def test_nobody_else_gives_it_away(world: World, who: str) -> None:
    world.house.set_operator(world.taking, world.operator, FOR_EVER, SCOPE_ALL, sender=world.taker)
    call = (world.house.transfer_account, world.taking, world.stranger)
    assert world.tries(*call, sender=getattr(world, who)) == "accounts: not the owner"


def test_it_does_not_go_to_nobody(world: World) -> None:
    assert world.tries(world.house.transfer_account, world.taking, EMPTY, sender=world.taker) == "accounts: owner"


def test_keys_of_the_old_owner_open_nothing_of_the_new(world: World) -> None:
    world.house.set_operator(world.taking, world.operator, FOR_EVER, SCOPE_ALL, sender=world.taker)
    assert world.house.controls(world.taking, world.operator, SCOPE_FUNDS)
    hand_over(world)
    assert not world.house.controls(world.taking, world.operator, SCOPE_FUNDS)
    assert world.house.operators(world.taking, world.operator).expiry == 0
    withdraw = (world.house.withdraw, world.taking, QUOTE, 1, world.stranger)
    assert world.tries(*withdraw, sender=world.operator) == "accounts: not authorised"
    # The new owner's own keys, and the old ones once it is back.
    world.house.set_operator(world.taking, world.heir, FOR_EVER, SCOPE_ALL, sender=world.stranger)
    assert world.house.controls(world.taking, world.heir, SCOPE_FUNDS)
    world.house.transfer_account(world.taking, world.taker, sender=world.stranger)
    assert world.house.controls(world.taking, world.operator, SCOPE_FUNDS)
    assert not world.house.controls(world.taking, world.heir, SCOPE_FUNDS)


def test_orders_of_the_old_owner_fill_nothing(world: World) -> None:
    """Signed or approved, whoever submits them."""
    maker = world.signed(world.order(world.making, perp(-1)))
    signed = world.signed(world.order(world.taking, perp(1)))
    approved = world.called(world.order(world.taking, perp(1)))
    world.exchange.approve(approved.order.row, sender=world.taker)
    submissions = [protocol.submission(maker, taker, 1) for taker in (signed, approved)]
    for data in submissions:
        assert world.tries(world.house.trade, data, sender=world.heir) is None
    hand_over(world)
    for data in submissions:
        assert world.tries(world.house.trade, data, sender=world.heir) == "accounts: not authorised"
