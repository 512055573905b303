"""Nonces that are cancelled before they are used."""

from __future__ import annotations

from tests.unit.protocol_fixtures import FOR_EVER, NOTHING_SIGNED, World, perp


def test_a_cancelled_nonce_is_worthless(world: World) -> None:
    """For signatures and approvals alike."""
    package = [perp(1)]
    signed = world.signed(world.taking, world.making, package, 7)
    digest = world.exchange.hash_trade(world.taking, world.making, package, 7, FOR_EVER)
    world.exchange.approve_trade(world.making, digest, True, sender=world.maker)
    receipt = world.exchange.cancel_nonce(world.making, 7, sender=world.maker)
    assert receipt.events == [world.exchange.NonceUsed(account=world.making, nonce=7)]
    for signature in (signed, NOTHING_SIGNED):
        arguments = (world.taking, world.making, package, 7, FOR_EVER, signature)
        assert world.tries(world.house.trade, *arguments, sender=world.taker) == "exchange: nonce"


def test_a_nonce_is_cancelled_once(world: World) -> None:
    world.exchange.cancel_nonce(world.making, 7, sender=world.maker)
    assert world.tries(world.exchange.cancel_nonce, world.making, 7, sender=world.maker) == "exchange: nonce"


def test_operators_cancel_too_and_nobody_else(world: World) -> None:
    """INV-11: a stranger who could spend nonces could block a maker."""
    world.house.set_operator(world.making, world.operator, FOR_EVER, sender=world.maker)
    assert world.tries(world.exchange.cancel_nonce, world.making, 7, sender=world.operator) is None
    for user in (world.taker, world.stranger, world.owner):
        answer = world.tries(world.exchange.cancel_nonce, world.making, 7, sender=user)
        assert answer == "accounts: not authorised"
