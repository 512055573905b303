"""Approval on chain, in place of a signature."""

from __future__ import annotations

from typing import Any

from tests.unit.protocol_fixtures import FOR_EVER, NOTHING_SIGNED, World, perp


def approved(world: World, approver: Any, value: bool = True) -> tuple[Any, ...]:
    """Arguments of a trade whose digest was approved, or is no longer."""
    arguments = (world.taking, world.making, [perp(1)], 7, FOR_EVER)
    digest = world.exchange.hash_trade(*arguments)
    receipt = world.exchange.approve_trade(world.making, digest, value, sender=approver)
    event = world.exchange.TradeApproved(account=world.making, digest=digest, approved=value)
    assert receipt.events == [event]
    return (*arguments, NOTHING_SIGNED)


def answer(world: World, arguments: tuple[Any, ...]) -> str | None:
    return world.tries(world.house.trade, *arguments, sender=world.taker)


def test_an_approved_digest_is_consent_once(world: World) -> None:
    arguments = approved(world, world.maker)
    world.house.trade(*arguments, sender=world.taker)
    assert answer(world, arguments) == "exchange: nonce"
    world.check_ledger()


def test_without_approval_an_empty_signature_is_nothing(world: World) -> None:
    arguments = (world.taking, world.making, [perp(1)], 7, FOR_EVER, NOTHING_SIGNED)
    assert answer(world, arguments) == "exchange: not approved"


def test_an_approval_can_be_taken_back(world: World) -> None:
    approved(world, world.maker)
    assert answer(world, approved(world, world.maker, False)) == "exchange: not approved"


def test_nobody_else_approves(world: World) -> None:
    """Not even an operator, whose time would end before that of what it agreed to."""
    world.house.set_operator(world.making, world.operator, FOR_EVER, sender=world.maker)
    digest = world.exchange.hash_trade(world.taking, world.making, [perp(1)], 7, FOR_EVER)
    for user in (world.operator, world.taker, world.stranger, world.owner):
        for account in (world.making, 0, 99):
            reason = world.tries(world.exchange.approve_trade, account, digest, True, sender=user)
            assert reason == "accounts: not the owner"


def test_an_approval_is_for_the_account_that_gave_it(world: World) -> None:
    """The taker's own approval of the digest is no consent of the maker."""
    digest = world.exchange.hash_trade(world.taking, world.making, [perp(1)], 7, FOR_EVER)
    world.exchange.approve_trade(world.taking, digest, True, sender=world.taker)
    arguments = (world.taking, world.making, [perp(1)], 7, FOR_EVER, NOTHING_SIGNED)
    assert answer(world, arguments) == "exchange: not approved"
