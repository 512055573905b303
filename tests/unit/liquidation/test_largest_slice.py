"""The largest slice: none of a healthy account, what brings an unhealthy one back to initial margin, or all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.protocol_fixtures import CROSS, ETH, QUOTE, WAD, World, deploy_world, perp, put


def distressed(world: World, factor: float, deposited: float = 4_500, mode: int = 2) -> int:
    """Long ten perpetuals entered at 2,000, whose price is moved by a factor."""
    account = world.open(world.taker, usd=deposited, mode=mode)
    world.trade(account, world.making, perp(10))
    world.move(factor)
    return account


def test_nothing_of_a_healthy_account_is_sold(world: World) -> None:
    account = distressed(world, 0.96)
    assert world.freedom(account) < 0 < world.health(account)
    assert world.liquidation.largest_slice(account) == 0
    assert world.liquidation.largest_slice(world.making) == 0
    assert world.liquidation.largest_slice(99) == 0


def test_nothing_is_sold_on_stale_data(world: World) -> None:
    """INV-13."""
    account = distressed(world, 0.9)
    assert world.liquidation.largest_slice(account) > 0
    world.go_stale()
    assert world.liquidation.largest_slice(account) == 0


@pytest.mark.parametrize("mode", [CROSS, 2])
def test_the_slice_is_what_is_missing_in_proportion(world: World, mode: int) -> None:
    """f = (IM - E) / (IM - E + NV (1 - d)), up."""
    account = distressed(world, 0.9, mode=mode)
    f = world.figures(account)
    missing, kept = f.initial - f.equity_initial, f.net_value * 95 // 100
    assert missing > 0
    assert world.liquidation.largest_slice(account) == -(-missing * WAD // (missing + kept))


def test_a_slice_is_no_smaller_than_the_minimum(world: World) -> None:
    account = distressed(world, 0.9)
    world.liquidation.set_terms(WAD // 20, 9 * WAD // 10, sender=world.owner)
    assert world.liquidation.largest_slice(account) == 9 * WAD // 10


@pytest.mark.parametrize("strikes", [(), (1_500, 2_500)])
def test_a_slice_may_be_worth_100_usd_and_what_cutting_sizes_can_cost(world: World, strikes: tuple[int, ...]) -> None:
    """Up, though less would bring the account back to initial margin: a strike costs ten smallest sizes of it."""
    account = world.open(world.taker, usd=235)
    expiry = world.markets[ETH].expiries[0].expiry
    options = [put(expiry, strike, 0.000001, 1.0) for strike in strikes]
    world.trade(account, world.making, perp(0.5), *options)
    world.move(0.9)
    f = world.figures(account)
    missing, kept = f.initial - f.equity_initial, f.net_value * 95 // 100
    worthwhile = -(-(100 * WAD + sum(strikes) * 10**13) * WAD // f.net_value)
    assert WAD > worthwhile > missing * WAD // (missing + kept) > 0
    assert world.liquidation.largest_slice(account) == worthwhile


@pytest.mark.parametrize(
    ("deposited", "factor", "whole"),
    [(4_100.000001, 0.8, False), (4_100, 0.8, True), (4_050, 0.8, True), (4_050, 0.7, True)],
)
def test_an_account_of_little_net_value_is_sold_whole(
    world: World, deposited: float, factor: float, whole: bool
) -> None:
    """4,000 USD are lost: a hundred are left and a little, or less by a rounding, or half of it, or a debt."""
    account = distressed(world, factor, deposited)
    assert (world.figures(account).net_value < 100 * WAD) == whole
    assert (world.liquidation.largest_slice(account) == WAD) == whole


@pytest.mark.usefixtures("world")
def test_an_account_exactly_at_the_line_is_healthy(project_contracts: Any, accounts: Any, chain: Any) -> None:
    """`>` for `>=` (Derive's audit). A quote token of 18 decimals puts equity on the requirement to the wei."""
    world = deploy_world(project_contracts, accounts, chain, quote_decimals=18)
    account = distressed(world, 0.88)
    assert world.health(account) < 0
    world.give(world.quote, world.taker, -world.health(account))
    almost = -world.health(account) - 1
    world.house.deposit(account, QUOTE, almost, sender=world.taker)
    assert world.health(account) == -1
    assert world.liquidation.largest_slice(account) > 0
    world.house.deposit(account, QUOTE, 1, sender=world.taker)
    assert world.health(account) == 0
    assert world.liquidation.largest_slice(account) == 0
    bid = (world.liquidation.liquidate, account, world.bidding, WAD, 0, 2**255, 2**64)
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"
