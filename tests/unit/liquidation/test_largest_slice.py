"""The largest slice: none of a healthy account, what brings an unhealthy one back to initial margin, or all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.protocol_fixtures import (
    CROSS,
    ETH,
    INSOLVENT,
    QUOTE,
    SOLVENT,
    START,
    TARGETED,
    WAD,
    World,
    deploy_world,
    perp,
    put,
)

# Of net value sold at the start of an auction, the account keeps this much: the discount is 2%, the fee 1%.
KEPT = 97


def largest(world: World, account: int) -> int:
    """The largest slice of an account; 0 where none is sold."""
    return int(world.quote_of(account).fraction)


def distressed(world: World, factor: float, deposited: float = 4_500, mode: int = 2) -> int:
    """Long ten perpetuals entered at 2,000, whose price is moved by a factor."""
    account = world.open(world.taker, usd=deposited, mode=mode)
    world.trade(account, world.making, perp(10))
    world.move(factor)
    return account


def test_nothing_of_a_healthy_account_is_sold(world: World) -> None:
    account = distressed(world, 0.96)
    assert world.freedom(account) < 0 < world.health(account)
    assert largest(world, account) == 0
    assert largest(world, world.making) == 0
    assert largest(world, 99) == 0


def test_nothing_is_sold_on_stale_data(world: World) -> None:
    """INV-13."""
    account = distressed(world, 0.9)
    assert largest(world, account) > 0
    world.go_stale()
    assert largest(world, account) == 0


@pytest.mark.parametrize("mode", [CROSS, 2])
def test_the_slice_is_what_is_missing_in_proportion(world: World, mode: int) -> None:
    """f = (IM - E) / (IM - E + NV (1 - d - fee)), up."""
    account = distressed(world, 0.9, mode=mode)
    f = world.figures(account)
    missing, kept = f.initial - f.equity_initial, f.net_value * KEPT // 100
    assert missing > 0
    assert largest(world, account) == -(-missing * WAD // (missing + kept))


def test_a_slice_is_no_smaller_than_the_minimum(world: World) -> None:
    account = distressed(world, 0.9)
    world.set_terms(minimum_slice=9 * WAD // 10)
    assert largest(world, account) == 9 * WAD // 10


@pytest.mark.parametrize("strikes", [(), (1_500, 2_500)])
def test_a_slice_may_be_worth_100_usd_and_what_cutting_sizes_can_cost(world: World, strikes: tuple[int, ...]) -> None:
    """Up, though less would bring the account back to initial margin: a strike costs ten smallest sizes of it."""
    account = world.open(world.taker, usd=238)
    expiry = world.markets[ETH].expiries[0].expiry
    options = [put(expiry, strike, 0.000001, 1.0) for strike in strikes]
    world.trade(account, world.making, perp(0.5), *options)
    world.move(0.9)
    f = world.figures(account)
    missing, kept = f.initial - f.equity_initial, f.net_value * KEPT // 100
    # What a millionth of each leg can cost, ten times.
    premium = (len(strikes) + 1) * (6 * 1_800 + 250) + 4 * sum(strikes)
    worthwhile = -(-(100 * WAD + premium * 10**13) * WAD // f.net_value)
    assert WAD > worthwhile > missing * WAD // (missing + kept) > 0
    assert largest(world, account) == worthwhile


@pytest.mark.parametrize(
    ("deposited", "factor", "whole"),
    [(4_125.098501, 0.8, False), (4_125.0985, 0.8, True), (4_050, 0.8, True), (4_050, 0.7, True)],
)
def test_an_account_of_little_net_value_is_sold_whole(
    world: World, deposited: float, factor: float, whole: bool
) -> None:
    """4,025 USD are lost: a hundred and ten premiums are left, or a rounding more, or half of it, or a debt."""
    account = distressed(world, factor, deposited)
    world.start_auction(account)
    world.set_terms(minimum_slice=1)
    q = world.quote_of(account)
    assert (q.net_value <= 100 * WAD + 10 * q.premium) == whole
    assert (q.fraction == WAD) == whole


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
    assert largest(world, account) > 0
    world.house.deposit(account, QUOTE, 1, sender=world.taker)
    assert world.health(account) == 0
    assert largest(world, account) == 0
    for kind in (START, SOLVENT, INSOLVENT, TARGETED):
        assert world.try_bid(account, world.bidding, kind) == "liquidation: healthy"
