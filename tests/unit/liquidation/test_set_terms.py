"""Terms of liquidation: bounds, and who may set them."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import WAD, World


def test_terms_are_stored_and_told(world: World) -> None:
    receipt = world.liquidation.set_terms(WAD // 10, WAD // 4, sender=world.owner)
    assert world.liquidation.discount() == WAD // 10
    assert world.liquidation.minimum_slice() == WAD // 4
    event = world.liquidation.LiquidationTermsSet(discount=WAD // 10, minimum_slice=WAD // 4)
    assert receipt.events == [event]


@pytest.mark.parametrize(
    ("discount", "minimum", "reason"),
    [
        (WAD // 5 + 1, WAD, "liquidation: discount"),
        (0, 0, "liquidation: slice"),
        (0, WAD + 1, "liquidation: slice"),
        (WAD // 5, WAD, None),
        (0, 1, None),
    ],
)
def test_bounds(world: World, discount: int, minimum: int, reason: str | None) -> None:
    assert world.tries(world.liquidation.set_terms, discount, minimum, sender=world.owner) == reason


def test_terms_are_the_owners_of_the_clearing_house(world: World) -> None:
    for user in (world.guardian, world.stranger, world.bidder):
        answer = world.tries(world.liquidation.set_terms, 0, WAD, sender=user)
        assert answer == "authority: not the owner"
    world.house.transfer_ownership(world.heir, sender=world.owner)
    world.house.accept_ownership(sender=world.heir)
    assert world.tries(world.liquidation.set_terms, 0, WAD, sender=world.heir) is None
    assert world.tries(world.liquidation.set_terms, 0, WAD, sender=world.owner) == "authority: not the owner"
