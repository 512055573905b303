"""Terms of liquidation, engines of evidence: bounds, and who may set them."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import START, WAD, World, perp

DAY = 86_400


def test_terms_are_stored_and_told(world: World) -> None:
    terms = tuple((protocol.LIQUIDATION | {"first_discount": WAD // 10, "minimum_slice": WAD // 4}).values())
    receipt = world.liquidation.set_terms(terms, sender=world.owner)
    assert tuple(vars(world.liquidation.terms()).values()) == terms
    (event,) = receipt.events.filter(world.liquidation.TermsSet)
    assert tuple(event.terms) == terms


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"first_discount": 10**15 - 1}, "liquidation: discount"),
        ({"first_discount": 10**15}, None),
        ({"first_discount": 3 * WAD // 10 + 1}, "liquidation: discount"),
        ({"knee_discount": WAD // 2 + 1}, "liquidation: discount"),
        ({"knee_discount": WAD // 2}, None),
        ({"knee_seconds": 59}, "liquidation: seconds"),
        ({"knee_seconds": 60}, None),
        ({"knee_seconds": 43_200}, "liquidation: seconds"),
        ({"solvent_seconds": 7 * DAY}, None),
        ({"solvent_seconds": 7 * DAY + 1}, "liquidation: seconds"),
        ({"insolvent_seconds": 59}, "liquidation: seconds"),
        ({"insolvent_seconds": 60}, None),
        ({"insolvent_seconds": 7 * DAY + 1}, "liquidation: seconds"),
        ({"minimum_slice": 0}, "liquidation: slice"),
        ({"minimum_slice": 1}, None),
        ({"minimum_slice": WAD + 1}, "liquidation: slice"),
        ({"fee": WAD // 20}, None),
        ({"fee": WAD // 20 + 1}, "liquidation: fee"),
        ({"reward": 1_000 * WAD + 1}, "liquidation: reward"),
        ({"reward": 1_000 * WAD, "reward_share": WAD // 10}, None),
        ({"reward_share": WAD // 10 + 1}, "liquidation: reward"),
    ],
)
def test_bounds(world: World, changed: dict[str, int], reason: str | None) -> None:
    """Whatever they admit, no setter bricks an auction (Derive's audit)."""
    terms = tuple((protocol.LIQUIDATION | changed).values())
    assert world.tries(world.liquidation.set_terms, terms, sender=world.owner) == reason


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("set_terms", (tuple(protocol.LIQUIDATION.values()),)),
        ("set_evidence", ([],)),
        ("set_deleveraging", (protocol.NOBODY,)),
    ],
)
def test_setters_are_the_owners_of_the_clearing_house(world: World, function: str, arguments: tuple[Any, ...]) -> None:
    setter = getattr(world.liquidation, function)
    for user in (world.guardian, world.stranger, world.bidder):
        assert world.tries(setter, *arguments, sender=user) == "authority: not the owner"
    world.house.transfer_ownership(world.heir, sender=world.owner)
    world.house.accept_ownership(sender=world.heir)
    assert world.tries(setter, *arguments, sender=world.heir) is None
    assert world.tries(setter, *arguments, sender=world.owner) == "authority: not the owner"


def test_evidence_is_of_the_engine_in_force(world: World) -> None:
    """With another engine it counts no more, until it is named anew."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    p = world.protocol
    assert world.try_bid(account, world.bidding, START, evidence=len(world.liquidation.evidence())) is None
    engine = world.owner.deploy(world.contracts.MarginEngine, p.market_data, p.methodology, p.kernel, 0, [])
    report = world.owner.deploy(world.contracts.MarginReport, engine, p.market_data, p.methodology, p.kernel)
    world.house.set_contracts(*world.around(report=report), sender=world.owner)
    assert world.try_bid(account, world.bidding, START, evidence=1) == "liquidation: evidence"
    assert world.try_bid(account, world.bidding, START) is None
    world.liquidation.set_evidence(world.liquidation.evidence(), sender=world.owner)
    assert world.try_bid(account, world.bidding, START, evidence=1) is None
    last = len(world.liquidation.evidence())
    assert world.try_bid(account, world.bidding, START, evidence=last + 1) == "liquidation: evidence"
