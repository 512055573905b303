"""The lens: an account in one call, a package that might be traded, and how far prices are from a liquidation."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import chain
from tests.unit.protocol_fixtures import BTC, ETH, SPOT, WAD, WETH, World, call, perp, put

NEVER = 2**256 - 1


@pytest.fixture
def lens(world: World) -> Any:
    return world.owner.deploy(world.contracts.Lens, world.house)


def look(world: World, lens: Any, account: int) -> Any:
    return chain.call_at(lens.account, world.now, account)


def test_an_account_in_one_call(world: World, lens: Any) -> None:
    account = world.open(world.taker, usd=20_000, ether=3)
    world.trade(account, world.making, perp(2), call(world.month, 2200, -3, 60), put(world.month, 1800, 2, 50))
    view = look(world, lens, account)
    assert view.owner == world.taker.address
    assert view.state == world.house.portfolio(account)
    assert view.figures == world.figures(account)
    assert view.free == view.figures.equity_initial - view.figures.initial
    charged = sum(r.scan + r.calendar + r.vega_calendar + r.liquidity for r in view.reports)
    assert 0 <= view.figures.maintenance - charged < WAD // 1000
    assert len(view.reports) == 1 and len(view.reports[0].pnl) == 33
    # Perpetual first. A part alone is rounded down by no more than 1e-14 USD, and a delta's error of its notional.
    assert len(view.values) == 3
    assert abs(view.values[0] - 2 * SPOT[ETH] * WAD) <= 10**4
    assert abs(sum(view.values[1:]) - view.figures.option_value) <= 2
    assert [d.underlying for d in view.distances] == [ETH]


def test_the_distance_of_a_perpetual_is_exact(world: World, lens: Any) -> None:
    """Its P&L is a straight line: E_mm - MM over its value, where the methodology looks that far."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    (distance,) = look(world, lens, account).distances
    assert distance.rise == NEVER
    exact = world.health(account) * WAD // (10 * SPOT[ETH] * WAD)
    assert abs(distance.fall - exact) <= 10
    # Maintenance margin is held where it is, and falls with the price: the true distance is a little longer.
    world.move(1 - exact / WAD)
    assert 0 <= world.health(account) < WAD * 10 * SPOT[ETH] // 20
    world.move(1 - 1.25 * exact / WAD)
    assert world.health(account) < 0
    assert [(d.fall, d.rise) for d in look(world, lens, account).distances] == [(0, 0)]


def test_each_underlying_has_its_own_distance(world: World, lens: Any) -> None:
    account = world.open(world.taker, usd=30_000)
    world.trade(account, world.making, perp(-10), perp(0.5, SPOT[BTC], BTC))
    spare = world.health(account)
    distances = {d.underlying: d for d in look(world, lens, account).distances}
    assert (distances[ETH].fall, distances[BTC].rise) == (NEVER, NEVER)
    for found, value in ((distances[ETH].rise, 10 * SPOT[ETH]), (distances[BTC].fall, 0.5 * SPOT[BTC])):
        exact = spare / value
        # 16% is the farthest that a whole move goes; beyond, extremes count a part only.
        assert found == NEVER or found / WAD == pytest.approx(exact, rel=1e-9)


def test_an_account_without_positions(world: World, lens: Any) -> None:
    view = look(world, lens, world.open(world.taker, usd=10))
    assert (view.values, view.reports, view.distances) == ([], [], [])
    assert view.free == 10 * WAD
    assert look(world, lens, 10**6).owner == "0x" + "00" * 20


@pytest.mark.parametrize("mode", [1, 2])
def test_what_if_is_what_happens(world: World, lens: Any, mode: int) -> None:
    account = world.open(world.taker, usd=50_000, mode=mode)
    world.trade(account, world.making, perp(2), call(world.month, 2200, -3, 60))
    package = [
        perp(-5, SPOT[ETH] + 3),
        call(world.month, 2200, 1, 70),
        put(world.month, 1800, -2, 50),
        call(world.quarter, 2500, 4, 90),
    ]
    package.sort()
    before, after = chain.call_at(lens.what_if, world.now, account, package)
    assert before == world.figures(account)
    world.trade(account, world.making, *package)
    assert after == world.figures(account)


def test_what_if_something_closed_all(world: World, lens: Any) -> None:
    account = world.open(world.taker, usd=50_000)
    world.trade(account, world.making, perp(2))
    _, after = lens.what_if(account, [perp(-2, SPOT[ETH] + 50)])
    assert (after.maintenance, after.equity_initial) == (0, 50_100 * WAD)


def test_what_if_on_stale_data_says_so(world: World, lens: Any) -> None:
    account = world.open(world.taker, usd=50_000, ether=1)
    _, after = chain.call_at(lens.what_if, world.now, account, [perp(1)])
    assert after.fresh
    world.go_stale()
    for legs in ([], [perp(1)]):
        assert not any(f.fresh for f in lens.what_if(account, legs))
    assert world.house.balance_of(account, WETH) == WAD


def test_a_package_out_of_order_is_refused(world: World, lens: Any) -> None:
    legs = [call(world.month, 2200, 1, 70), perp(1)]
    assert world.tries(lens.what_if, world.taking, legs, sender=world.taker) == "positions: order"
