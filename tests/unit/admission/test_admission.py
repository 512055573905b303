"""Portfolio mode on conditions (M-17): who does not meet them shrinks, pays back and is liquidated, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import CROSS, EMPTY, PORTFOLIO, QUOTE, SOLVENT, WAD, World, perp

MARGIN = "solvency: margin"


@pytest.fixture
def terms(world: World) -> Any:
    """The admission contract, named, with nothing set."""
    world.house.set_contracts(*world.around(admission=world.protocol.admission), sender=world.owner)
    return world.protocol.admission


def test_it_is_off_until_the_clearing_house_is_told(world: World) -> None:
    terms = world.protocol.admission
    assert world.house.admission() == EMPTY
    assert (terms.minimum_equity(), terms.allow_list()) == (0, False)
    terms.set_allow_list(True, sender=world.owner)
    assert world.try_trade(world.taking, world.making, perp(1)) is None


def test_without_terms_everybody_is_admitted(world: World, terms: Any) -> None:
    assert world.house.admission() == terms
    assert world.try_trade(world.taking, world.making, perp(1)) is None


def test_an_allow_list_admits_owners(world: World, terms: Any) -> None:
    receipt = terms.set_allow_list(True, sender=world.owner)
    assert receipt.events == [terms.AllowListSet(enabled=True)]
    assert world.try_trade(world.taking, world.making, perp(1)) == MARGIN
    receipt = terms.set_allowed(world.taker, True, sender=world.owner)
    assert receipt.events == [terms.OwnerAllowed(owner=world.taker, allowed=True)]
    # Both sides of a trade are asked.
    assert world.try_trade(world.taking, world.making, perp(1)) == MARGIN
    terms.set_allowed(world.maker, True, sender=world.owner)
    assert world.try_trade(world.taking, world.making, perp(1)) is None
    terms.set_allowed(world.maker, False, sender=world.owner)
    assert world.try_trade(world.taking, world.making, perp(1)) == MARGIN


def test_a_minimum_is_of_initial_equity_after_the_call(world: World, terms: Any) -> None:
    """Exactly at it is enough; one unit less is not."""
    world.trade(world.taking, world.making, perp(1))
    equity = world.figures(world.taking).equity_initial
    receipt = terms.set_minimum_equity(equity - 10**12, sender=world.owner)
    assert receipt.events == [terms.MinimumEquitySet(minimum_equity=equity - 10**12)]
    withdraw = (world.house.withdraw, world.taking, QUOTE)
    assert world.tries(*withdraw, 1, world.taker, sender=world.taker) is None
    assert world.tries(*withdraw, 2, world.taker, sender=world.taker) == MARGIN


def test_a_minimum_is_not_negative(world: World, terms: Any) -> None:
    assert world.tries(terms.set_minimum_equity, -1, sender=world.owner) == "admission: minimum"


def test_other_modes_are_for_everybody(world: World, terms: Any) -> None:
    terms.set_allow_list(True, sender=world.owner)
    terms.set_minimum_equity(10**9 * WAD, sender=world.owner)
    sides = [world.open(user, usd=100_000, mode=CROSS) for user in (world.taker, world.maker)]
    world.trade(*sides, perp(1))
    assert world.tries(world.house.set_mode, sides[0], PORTFOLIO, sender=world.taker) == MARGIN


def test_whoever_is_not_admitted_shrinks_and_leaves(world: World, terms: Any) -> None:
    """INV-11: a condition locks nobody in."""
    world.trade(world.taking, world.making, perp(2))
    terms.set_allow_list(True, sender=world.owner)
    terms.set_allowed(world.maker, True, sender=world.owner)
    assert world.try_trade(world.taking, world.making, perp(1)) == MARGIN
    world.trade(world.taking, world.making, perp(-1))
    world.give(world.quote, world.taker, 10**6)
    world.house.deposit(world.taking, QUOTE, 10**6, sender=world.taker)
    world.trade(world.taking, world.making, perp(-1))
    assert not world.sizes(world.taking)
    balance = world.house.balance_of(world.taking, QUOTE)
    assert world.tries(world.house.withdraw, world.taking, QUOTE, balance, world.taker, sender=world.taker) is None


def test_conditions_make_nobody_liquidatable_and_shield_nobody(world: World, terms: Any) -> None:
    """INV-14; and a bidder takes over risk, so must be admitted."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    terms.set_allow_list(True, sender=world.owner)
    terms.set_minimum_equity(10**9 * WAD, sender=world.owner)
    bid = (world.house.bid, account, world.bidding, protocol.bid(SOLVENT))
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"
    world.move(0.88)
    assert world.tries(*bid, sender=world.bidder) == "liquidation: bidder's mode"
    terms.set_minimum_equity(0, sender=world.owner)
    terms.set_allowed(world.bidder, True, sender=world.owner)
    assert world.tries(*bid, sender=world.bidder) is None
