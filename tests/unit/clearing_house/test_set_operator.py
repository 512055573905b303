"""Operators: keys that act for one account until their time is up, and never for themselves."""

from __future__ import annotations

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import CROSS, FOR_EVER, NOTHING_SIGNED, QUOTE, World, perp, usd

UNAUTHORISED = "accounts: not authorised"
NOT_THE_OWNER = "accounts: not the owner"


def appoint(world: World, account: int, expiry: int = FOR_EVER) -> None:
    world.house.set_operator(account, world.operator, expiry, sender=world.user(account))


def test_the_owner_appoints(world: World) -> None:
    receipt = world.house.set_operator(world.taking, world.operator, 77, sender=world.taker)
    assert receipt.events == [world.house.OperatorSet(account=world.taking, operator=world.operator, expiry=77)]
    assert world.house.operator_expiry(world.taking, world.operator) == 77


@pytest.mark.parametrize("who", ["operator", "stranger", "owner"])
def test_nobody_else_appoints(world: World, who: str) -> None:
    appoint(world, world.taking)
    call = (world.house.set_operator, world.taking, world.stranger, FOR_EVER)
    assert world.tries(*call, sender=getattr(world, who)) == NOT_THE_OWNER


def test_an_operator_acts_while_the_time_is_before_its_expiry(world: World) -> None:
    appoint(world, world.taking, world.now + 2)
    withdraw = (world.house.withdraw, world.taking, QUOTE, 1, world.taker)
    world.wait(1)
    assert world.house.controls(world.taking, world.operator)
    assert world.tries(*withdraw, sender=world.operator) is None
    world.wait(1)
    assert not world.house.controls(world.taking, world.operator)
    assert world.tries(*withdraw, sender=world.operator) == UNAUTHORISED


def test_an_expiry_of_zero_takes_the_right_away(world: World) -> None:
    appoint(world, world.taking)
    appoint(world, world.taking, 0)
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.operator) == UNAUTHORISED


def test_an_operator_of_one_account_is_a_stranger_to_the_next(world: World) -> None:
    other = world.open(world.taker)
    appoint(world, world.taking)
    assert not world.house.controls(other, world.operator)
    assert world.tries(world.house.withdraw, other, QUOTE, 1, world.taker, sender=world.operator) == UNAUTHORISED
    transfer = (world.house.transfer, world.taking, other, QUOTE, 1)
    assert world.tries(*transfer, sender=world.operator) == UNAUTHORISED
    appoint(world, other)
    assert world.tries(*transfer, sender=world.operator) is None


def test_an_operator_deposits_from_its_own_pocket(world: World) -> None:
    appoint(world, world.taking)
    world.give(world.quote, world.operator, usd(5))
    world.house.deposit(world.taking, QUOTE, usd(5), sender=world.operator)
    assert world.quote.balanceOf(world.operator) == 0
    assert world.house.cash(world.taking) == 100_005 * 10**18


def test_an_operator_trades_as_taker_and_as_maker(world: World) -> None:
    appoint(world, world.taking)
    terms = world.terms(world.taking, world.making, perp(1))
    assert world.tries(world.house.trade, *terms, sender=world.operator) is None
    appoint(world, world.making)
    both = (world.taking, world.making, [perp(1)], 0, 0, NOTHING_SIGNED)
    assert world.tries(world.house.trade, *both, sender=world.operator) is None


def test_an_operator_pays_out_to_the_owner_alone(world: World) -> None:
    appoint(world, world.taking)
    for recipient in (world.operator, world.stranger):
        call = (world.house.withdraw, world.taking, QUOTE, 1, recipient)
        assert world.tries(*call, sender=world.operator) == "accounts: recipient"
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.operator) is None


def test_an_operator_does_not_change_the_mode(world: World) -> None:
    appoint(world, world.taking)
    assert world.tries(world.house.set_mode, world.taking, CROSS, sender=world.operator) == NOT_THE_OWNER


def test_an_operator_agrees_to_nothing_that_would_outlive_it(world: World) -> None:
    """A delegated key has an expiry (decision 2); what it approved or signed today could be used after that."""
    appoint(world, world.making, world.now + 100)
    package = [perp(1, 1900)]
    digest = world.exchange.hash_trade(world.taking, world.making, package, 1, FOR_EVER)
    approve = (world.exchange.approve_trade, world.making, digest, True)
    assert world.tries(*approve, sender=world.operator) == NOT_THE_OWNER
    message = protocol.trade_message(world.protocol, world.taking, world.making, package, 1, FOR_EVER)
    signed = protocol.signature(world.operator, message)
    trade = (world.house.trade, world.taking, world.making, package, 1, FOR_EVER, signed)
    assert world.tries(*trade, sender=world.taker) == "exchange: signature"
