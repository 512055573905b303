"""Nonces: one by one, up to 256 at once, or all below."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import protocol
from tests.unit.protocol_fixtures import FOR_EVER, SCOPE_FUNDS, SCOPE_TRADE, World, perp

CANCELLED = "exchange: cancelled"


def answer(world: World, nonce: int, lots: int = 1) -> str | None:
    """Why a signed order of ten lots with a nonce is refused."""
    quote = world.signed(world.order(world.making, perp(-0.1), lots=10, nonce=nonce))
    taken = world.called(world.order(world.taking, perp(0.1), lots=10))
    return world.tries(world.house.trade, protocol.submission(quote, taken, lots), sender=world.taker)


def test_a_cancelled_nonce_is_worthless_and_its_neighbours_are_not(world: World) -> None:
    for nonce in (0, 7, 255, 256, 2**256 - 1):
        receipt = world.exchange.cancel(world.making, nonce, sender=world.maker)
        event = world.exchange.Cancelled(account=world.making, word=nonce >> 8, mask=1 << (nonce & 255))
        assert receipt.events == [event]
        assert answer(world, nonce) == CANCELLED
        assert world.exchange.is_cancelled(world.making, nonce)
    for nonce in (1, 6, 8, 254, 257, 2**256 - 2):
        assert answer(world, nonce) is None


def test_many_are_cancelled_at_once(world: World) -> None:
    world.exchange.cancel_range(world.making, 3, 0b1011, sender=world.maker)
    assert [answer(world, 768 + i) for i in range(5)] == [CANCELLED, CANCELLED, None, CANCELLED, None]
    world.exchange.cancel_range(world.making, 3, 2**256 - 1, sender=world.maker)
    assert answer(world, 768 + 255) == CANCELLED
    assert answer(world, 767) is answer(world, 1024) is None


def test_all_below_are_cancelled(world: World) -> None:
    receipt = world.exchange.cancel_below(world.making, 1000, sender=world.maker)
    assert receipt.events == [world.exchange.CancelledBelow(account=world.making, nonce=1000)]
    assert answer(world, 0) == answer(world, 999) == CANCELLED
    assert answer(world, 1000) is None
    assert world.exchange.lowest_nonce(world.making) == 1000
    # Nothing comes back.
    for nonce in (0, 999, 1000):
        assert world.tries(world.exchange.cancel_below, world.making, nonce, sender=world.maker) == "exchange: nonce"


def test_nonces_are_each_accounts_own(world: World) -> None:
    other = world.open(world.maker)
    world.exchange.cancel(other, 7, sender=world.maker)
    world.exchange.cancel_below(other, 1000, sender=world.maker)
    assert answer(world, 7) is None


def test_what_is_left_of_an_order_is_cancelled(world: World) -> None:
    """It stays usable until then."""
    order = world.order(world.making, perp(-0.1), lots=10)
    taken = world.called(world.order(world.taking, perp(0.1), lots=10))
    data = protocol.submission(world.signed(order), taken, 4)
    for _ in range(2):
        world.house.trade(data, sender=world.taker)
    world.exchange.cancel(world.making, order.nonce, sender=world.maker)
    assert world.tries(world.house.trade, data, sender=world.taker) == CANCELLED


@pytest.mark.parametrize("function", ["cancel", "cancel_range", "cancel_below"])
def test_operators_who_trade_cancel_and_nobody_else(world: World, function: str) -> None:
    """INV-11: a stranger who could cancel could block a maker."""
    arguments = (world.making, 7, 8) if function == "cancel_range" else (world.making, 7)
    cancel = (getattr(world.exchange, function), *arguments)
    world.house.set_operator(world.making, world.operator, FOR_EVER, SCOPE_FUNDS, sender=world.maker)
    for user in (world.operator, world.taker, world.stranger, world.owner):
        assert world.tries(*cancel, sender=user) == "accounts: not authorised"
    world.house.set_operator(world.making, world.operator, FOR_EVER, SCOPE_TRADE, sender=world.maker)
    assert world.tries(*cancel, sender=world.operator) is None


@given(cancelled=st.sets(st.integers(0, 600), max_size=4), below=st.integers(1, 600), asked=st.integers(0, 600))
def test_a_nonce_is_cancelled_if_and_only_if_something_cancelled_it(
    deployed_world: World, cancelled: set[int], below: int, asked: int
) -> None:
    world = deployed_world
    with world.ape_chain.isolate():
        for nonce in cancelled:
            world.exchange.cancel(world.making, nonce, sender=world.maker)
        world.exchange.cancel_below(world.making, below, sender=world.maker)
        for nonce in {asked, below - 1, below, *cancelled}:
            assert world.exchange.is_cancelled(world.making, nonce) == (nonce in cancelled or nonce < below)
