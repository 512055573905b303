"""Operators: keys that act for one account until their time is up, and never for themselves."""

from __future__ import annotations

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import (
    CROSS,
    FOR_EVER,
    QUOTE,
    SCOPE_ALL,
    SCOPE_FUNDS,
    SCOPE_TRADE,
    World,
    perp,
    usd,
)

UNAUTHORISED = "accounts: not authorised"
NOT_THE_OWNER = "accounts: not the owner"


def appoint(world: World, account: int, expiry: int = FOR_EVER, scope: int = SCOPE_ALL) -> None:
    world.house.set_operator(account, world.operator, expiry, scope, sender=world.user(account))


def test_the_owner_appoints(world: World) -> None:
    receipt = world.house.set_operator(world.taking, world.operator, 77, SCOPE_TRADE, sender=world.taker)
    event = world.house.OperatorSet(account=world.taking, operator=world.operator, expiry=77, scope=SCOPE_TRADE)
    assert receipt.events == [event]
    assert tuple(vars(world.house.operators(world.taking, world.operator)).values()) == (77, SCOPE_TRADE)


def test_there_is_no_third_scope(world: World) -> None:
    call = (world.house.set_operator, world.taking, world.operator, FOR_EVER, 4)
    assert world.tries(*call, sender=world.taker) == "accounts: scope"


@pytest.mark.parametrize("who", ["operator", "stranger", "owner"])
def test_nobody_else_appoints(world: World, who: str) -> None:
    appoint(world, world.taking)
    call = (world.house.set_operator, world.taking, world.stranger, FOR_EVER, SCOPE_ALL)
    assert world.tries(*call, sender=getattr(world, who)) == NOT_THE_OWNER


def test_an_operator_acts_while_the_time_is_before_its_expiry(world: World) -> None:
    appoint(world, world.taking, world.now + 2)
    withdraw = (world.house.withdraw, world.taking, QUOTE, 1, world.taker)
    world.wait(1)
    assert world.house.controls(world.taking, world.operator, SCOPE_FUNDS)
    assert world.tries(*withdraw, sender=world.operator) is None
    world.wait(1)
    assert not world.house.controls(world.taking, world.operator, SCOPE_FUNDS)
    assert world.tries(*withdraw, sender=world.operator) == UNAUTHORISED


def test_an_expiry_of_zero_takes_the_right_away(world: World) -> None:
    appoint(world, world.taking)
    appoint(world, world.taking, 0)
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.operator) == UNAUTHORISED


def test_an_operator_of_one_account_is_a_stranger_to_the_next(world: World) -> None:
    other = world.open(world.taker)
    appoint(world, world.taking)
    assert not world.house.controls(other, world.operator, SCOPE_ALL)
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
    taken = world.called(world.order(world.taking, perp(1)), world.operator)
    made = world.order(world.making, perp(-1))
    data = protocol.submission(world.signed(made), taken)
    assert world.tries(world.house.trade, data, sender=world.operator) is None
    both = protocol.submission(world.called(made, world.operator), taken)
    assert world.tries(world.house.trade, both, sender=world.operator) == UNAUTHORISED
    appoint(world, world.making)
    assert world.tries(world.house.trade, both, sender=world.operator) is None


def test_an_operator_does_what_its_scope_says_and_nothing_else(world: World) -> None:
    other = world.open(world.taker)
    world.give(world.quote, world.operator, 10)
    taken = world.called(world.order(world.taking, perp(1)), world.operator)
    data = protocol.submission(world.signed(world.order(world.making, perp(-1))), taken)
    acts = {
        SCOPE_TRADE: [(world.house.trade, data), (world.exchange.cancel, world.taking, 1)],
        SCOPE_FUNDS: [
            (world.house.deposit, world.taking, QUOTE, 1),
            (world.house.withdraw, world.taking, QUOTE, 1, world.taker),
            (world.house.transfer, world.taking, other, QUOTE, 1),
        ],
    }
    for scope in (0, SCOPE_TRADE, SCOPE_FUNDS, SCOPE_ALL):
        for account in (world.taking, other):
            appoint(world, account, scope=scope)
        for needed, calls in acts.items():
            for call in calls:
                reason = None if scope & needed else UNAUTHORISED
                assert world.tries(*call, sender=world.operator) == reason
            assert world.house.controls(world.taking, world.operator, needed) == bool(scope & needed)


def test_an_operator_pays_out_to_the_owner_alone(world: World) -> None:
    appoint(world, world.taking)
    for recipient in (world.operator, world.stranger):
        call = (world.house.withdraw, world.taking, QUOTE, 1, recipient)
        assert world.tries(*call, sender=world.operator) == "accounts: recipient"
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.operator) is None


def test_an_operator_does_not_change_the_mode(world: World) -> None:
    appoint(world, world.taking)
    assert world.tries(world.house.set_mode, world.taking, CROSS, sender=world.operator) == NOT_THE_OWNER


def test_an_operator_agrees_to_nothing_that_outlives_it(world: World) -> None:
    """A delegated key has an expiry (decision 2): what it approved or signed ends with it."""
    appoint(world, world.making, world.now + 100)
    signed, approved = (world.order(world.making, perp(-1, price)) for price in (1900, 1950))
    world.exchange.approve(approved.row, sender=world.operator)
    data = [
        protocol.submission(quote, world.called(world.order(world.taking, perp(1))))
        for quote in (world.signed(signed, world.operator), world.called(approved, world.operator))
    ]
    for one in data:
        assert world.tries(world.house.trade, one, sender=world.taker) is None
    world.wait(100)
    for one in data:
        assert world.tries(world.house.trade, one, sender=world.taker) == UNAUTHORISED
