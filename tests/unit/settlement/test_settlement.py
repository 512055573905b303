"""Expired legs become cash, once, at one price; variation moves profit into cash and changes nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import chain
from tests.unit.protocol_fixtures import BTC, DAY, ETH, SPOT, WAD, World, call, future, perp, put
from tests.unit.settlement.expiries import list_friday, publish, settle, settle_at


@pytest.fixture
def friday(world: World) -> int:
    return list_friday(world)


def package(expiry: int) -> list[Any]:
    return [
        future(expiry, -2, 2010),
        call(expiry, 1900, 1.5, 150),
        call(expiry, 2300, -3, 20),
        put(expiry, 2100, 0.7, 160),
    ]


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.0, 1.1, 1.4])
def test_every_kind_pays_what_the_model_says(world: World, friday: int, factor: float) -> None:
    account = world.open(world.taker, usd=100_000)
    world.trade(account, world.making, *package(friday))
    before = world.house.cash(account), world.house.cash(world.making)
    cost = world.house.cost(account)
    price = settle_at(world, friday, factor)
    settle(world, account)
    legs = [(0, -2.0, 0.0), (1, 1.5, 1900.0), (1, -3.0, 2300.0), (2, 0.7, 2100.0)]
    options = sum(q * max(price - k, 0) if kind == 1 else q * max(k - price, 0) for kind, q, k in legs if kind)
    profit = options + -2 * (price - 2010)
    assert (world.house.cash(account) - before[0]) / WAD == pytest.approx(profit, abs=1e-6)
    assert (world.house.book(account), world.house.cost(account)) == ([], 0)
    # The other side is still to come: until then the reserve stands for it.
    assert world.house.reserve() == (before[0] - cost) - world.house.cash(account)
    settle(world, world.making)
    assert world.house.cash(world.making) - before[1] == before[0] - world.house.cash(account)
    assert world.house.reserve() == 0
    world.check_ledger()


def test_settling_twice_changes_nothing(world: World, friday: int) -> None:
    account = world.open(world.taker, usd=100_000)
    world.trade(account, world.making, *package(friday))
    settle_at(world, friday, 1.1)
    receipt = settle(world, account, world.making, account, 999)
    events = receipt.events.filter(world.protocol.settlement.Settled)
    assert [(e.account, e.legs) for e in events] == [(account, 4), (world.making, 4)]
    cash = world.house.cash(account)
    assert not settle(world, account, world.making).events
    assert world.house.cash(account) == cash
    assert world.protocol.settlement.settle.call([account]) == 0


def test_nothing_settles_before_its_price_is_final(world: World, friday: int) -> None:
    account = world.open(world.taker, usd=100_000)
    world.trade(account, world.making, *package(friday))
    for time in (friday - 7200, friday - 60, friday + 7200):
        world.wait(time - world.now)
        assert world.protocol.settlement.settle.call([account]) == 0
    publish(world, friday, 1.0)
    assert world.protocol.settlement.settle.call([account]) == 4


def test_what_lives_longer_stays(world: World, friday: int) -> None:
    """Futures and perpetuals share one cost: what settles is closed like any trade."""
    account = world.open(world.taker, usd=100_000)
    legs = [perp(3, 1990), *package(friday), call(world.month, 2000, 1, 100)]
    world.trade(account, world.making, *legs, perp(0.1, SPOT[BTC], BTC))
    cost = world.house.cost(account)
    price = settle_at(world, friday, 1.1)
    settle(world, account, world.making)
    assert len(world.house.book(account)) == 3
    # A sale of -2 at the settlement price.
    assert world.house.cost(account) == cost + 2 * int(price * 10**9) * 10**9
    world.check_ledger()


def test_settlement_changes_neither_equity_nor_what_is_open_twice(world: World, friday: int) -> None:
    account = world.open(world.taker, usd=100_000)
    world.trade(account, world.making, *package(friday))
    # Long sides: 2 futures, 1.5 + 3 calls, 0.7 puts.
    assert world.house.open_interest(ETH) == 7_200_000
    settle_at(world, friday, 1.1)
    equity = world.figures(account).equity_initial
    settle(world, account)
    # The mark of a book was rounded down by the error bound of its delta.
    notional = 1.5 * (2200 + 1900) + 3 * (2200 + 2300) + 0.7 * (2200 + 2100)
    assert 0 <= world.figures(account).equity_initial - equity <= notional / 5e9 * WAD + 10**4
    settle(world, world.making)
    assert world.house.open_interest(ETH) == 0


def test_an_account_may_owe_cash_afterwards(world: World, friday: int) -> None:
    account = world.open(world.taker, ether=10)
    world.trade(account, world.making, future(friday, 2, 2000))
    settle_at(world, friday, 0.9)
    settle(world, account, world.making)
    assert world.house.cash(account) == -400 * WAD
    assert world.house.book(account) == []
    # On which it pays interest.
    assert chain.call_at(world.house.cash, world.now + 365 * DAY, account) < -404 * WAD
    world.check_ledger()


# ---------------------------------------------------------------------------------------------------------- variation


def test_variation_moves_profit_into_cash(world: World) -> None:
    account = world.open(world.taker, usd=50_000, ether=2)
    world.trade(account, world.making, perp(10, 2000), call(world.month, 2200, -3, 60))
    world.move(1.05)
    before, cash = world.figures(account), world.house.cash(account)
    receipt = world.protocol.settlement.realise(account, sender=world.stranger)
    profit = receipt.events.filter(world.protocol.settlement.Realised)[0].profit
    # Ten times the move, but for what the engine rounds equity down by.
    assert 0 <= 1_000 * WAD - profit <= WAD // 10**5
    assert (world.house.cash(account) - cash, world.house.cost(account)) == (profit, 20_000 * WAD + profit)
    assert world.figures(account) == before
    world.check_ledger()
    # Again there is nothing to move but that.
    assert world.protocol.settlement.realise.call(account) == 0


def test_variation_takes_losses_too(world: World) -> None:
    account = world.open(world.taker, usd=50_000)
    world.trade(account, world.making, perp(10, 2000))
    world.move(0.9)
    world.protocol.settlement.realise(account, sender=world.stranger)
    assert abs(world.house.cash(account) - 48_000 * WAD) <= 10**4
    world.trade(account, world.making, perp(-10, 1800))
    assert (world.house.cash(account), world.house.cost(account)) == (48_000 * WAD, 0)
    world.check_ledger()


def test_no_variation_on_stale_data(world: World) -> None:
    """INV-13: profit at a stale price is not paid out."""
    account = world.open(world.taker, usd=50_000)
    assert world.protocol.settlement.realise.call(account) == 0
    world.trade(account, world.making, perp(1))
    world.go_stale()
    assert world.tries(world.protocol.settlement.realise, account, sender=world.stranger) == "settlement: stale data"
