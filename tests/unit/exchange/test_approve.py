"""Approval on chain, in place of a signature."""

from __future__ import annotations

from typing import Any

from scripts import protocol
from tests.unit.protocol_fixtures import FOR_EVER, SCOPE_FUNDS, SCOPE_TRADE, Order, World, perp

NOT_APPROVED = "exchange: not approved"


def data(world: World, order: Order, signer: Any = None) -> bytes:
    """The order without a signature, taken by the caller."""
    taken = world.order(world.taking, *protocol.opposite(order.legs))
    return protocol.submission(world.called(order, signer), world.called(taken))


def answer(world: World, order: Order, signer: Any = None) -> str | None:
    return world.tries(world.house.trade, data(world, order, signer), sender=world.taker)


def test_an_approved_order_is_filled_like_a_signed_one(world: World) -> None:
    order = world.order(world.making, perp(-1), lots=2)
    assert answer(world, order) == NOT_APPROVED
    receipt = world.exchange.approve(order.row, sender=world.maker)
    (event,) = receipt.events
    assert (event.account, bytes(event.digest), event.signer) == (world.making, world.digest(order), world.maker)
    assert world.exchange.approved(world.digest(order), world.maker)
    for _ in range(2):
        world.house.trade(data(world, order), sender=world.taker)
    assert answer(world, order) == "exchange: filled"
    world.check_ledger()


def test_an_approval_is_taken_back_by_its_nonce(world: World) -> None:
    order = world.order(world.making, perp(-1))
    world.exchange.approve(order.row, sender=world.maker)
    world.exchange.cancel(world.making, order.nonce, sender=world.maker)
    assert answer(world, order) == "exchange: cancelled"


def test_operators_who_trade_approve_for_as_long_as_they_may(world: World) -> None:
    order = world.order(world.making, perp(-1))
    approve = (world.exchange.approve, order.row)
    for scope, reason in ((SCOPE_FUNDS, "accounts: not authorised"), (SCOPE_TRADE, None)):
        world.house.set_operator(world.making, world.operator, FOR_EVER, scope, sender=world.maker)
        assert world.tries(*approve, sender=world.operator) == reason
    world.exchange.approve(order.row, sender=world.operator)
    assert answer(world, order, world.operator) is None
    # It is the operator's approval, not the owner's.
    assert answer(world, order) == NOT_APPROVED
    world.house.set_operator(world.making, world.operator, 0, 0, sender=world.maker)
    assert answer(world, order, world.operator) == "accounts: not authorised"


def test_nobody_else_approves(world: World) -> None:
    for account in (world.making, 0, 99):
        for user in (world.operator, world.taker, world.stranger, world.owner):
            order = world.order(account, perp(-1))
            assert world.tries(world.exchange.approve, order.row, sender=user) == "accounts: not authorised"


def test_an_approval_is_of_one_order(world: World) -> None:
    world.exchange.approve(world.order(world.making, perp(-1, 1999)).row, sender=world.maker)
    assert answer(world, world.order(world.making, perp(-1, 1998))) == NOT_APPROVED
