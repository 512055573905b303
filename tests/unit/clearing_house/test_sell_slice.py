"""What the clearing house checks by itself, whatever the liquidation contract says.

Another liquidation contract is appointed here, which asks for whatever it is told to.
"""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import LIQUIDATION, WAD, World, perp


@pytest.fixture
def seller(world: World) -> World:
    """The house sells as a contract of the tests says."""
    rule = world.owner.deploy(world.contracts.SliceSeller)
    world.house.set_contracts(*world.around(liquidation=rule), sender=world.owner)
    return world


def unhealthy(world: World) -> int:
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    return account


def sell(world: World, account: int, bidder: int, fraction: int = WAD, discount: int = 0) -> str | None:
    rule = world.contracts.SliceSeller.at(world.house.liquidation())
    return world.tries(rule.sell, world.house, account, bidder, fraction, discount, sender=world.stranger)


def test_only_the_liquidation_contract_sells(seller: World) -> None:
    account = unhealthy(seller)
    for user in (seller.owner, seller.bidder, seller.stranger, seller.liquidation):
        answer = seller.tries(seller.house.sell_slice, account, seller.bidding, WAD, sender=user)
        assert answer == "liquidation: caller"
    assert sell(seller, account, seller.bidding) is None


def test_no_healthy_account_is_sold(seller: World) -> None:
    account = seller.open(seller.taker, usd=4_500)
    seller.trade(account, seller.making, perp(10))
    seller.move(0.96)
    assert seller.freedom(account) < 0
    assert sell(seller, account, seller.bidding) == "liquidation: healthy"
    assert sell(seller, 99, seller.bidding) == "liquidation: healthy"


def test_no_account_is_sold_on_stale_data(seller: World) -> None:
    """INV-13."""
    account = unhealthy(seller)
    seller.go_stale()
    assert sell(seller, account, seller.bidding) == "liquidation: healthy"


def test_no_account_is_sold_to_its_owner(seller: World) -> None:
    account = unhealthy(seller)
    assert sell(seller, account, account) == "liquidation: own account"
    assert sell(seller, account, seller.open(seller.taker, usd=100_000)) == "liquidation: own account"


@pytest.mark.parametrize(("fraction", "discount"), [(0, 0), (WAD + 1, 0), (WAD, WAD + 1)])
def test_fraction_and_discount_have_bounds(seller: World, fraction: int, discount: int) -> None:
    assert sell(seller, unhealthy(seller), seller.bidding, fraction, discount) == "liquidation: fraction"


def test_a_pause_holds_for_every_liquidation_contract(seller: World) -> None:
    account = unhealthy(seller)
    seller.house.set_paused(LIQUIDATION, sender=seller.guardian)
    assert sell(seller, account, seller.bidding) == "liquidation: paused"


def test_the_account_is_never_worse_off(seller: World) -> None:
    """INV-09: E_mm - MM does not fall, whatever the discount. It bears one of MM / NV, and no more."""
    account = unhealthy(seller)
    figures = seller.figures(account)
    assert figures.net_value == figures.equity_maintenance
    # (1 - f)(E - MM) + f E (1 - d) >= E - MM while d <= MM / E, which exceeds 1 for an unhealthy account on cash.
    assert figures.maintenance > figures.net_value
    assert sell(seller, account, seller.bidding, WAD // 2, WAD) is None
    assert sell(seller, account, seller.bidding, WAD // 2, WAD // 2) is None


def test_the_bidder_needs_initial_margin(seller: World) -> None:
    account = unhealthy(seller)
    poor = seller.open(seller.bidder, usd=100)
    assert sell(seller, account, poor) == "liquidation: bidder's margin"


def test_a_dismissed_liquidation_contract_sells_no_more(seller: World) -> None:
    account = unhealthy(seller)
    bid = (seller.liquidation.liquidate, account, seller.bidding, WAD, 0, 2**255, 2**64)
    assert seller.tries(*bid, sender=seller.bidder) == "liquidation: caller"
