"""Whole lives on one chain: from deposits by a package trade, a path of prices, funding and interest to expiry,
settlement and the withdrawal of everything by everybody.

At every step positions, tokens and collateral add up (INV-01 to INV-03), nothing is made or lost between accounts
(INV-12), and the float model, which is told of every act and of no result but two roundings, arrives at the figures of
the contracts.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from python_model.portfolio import Kind, Position
from scripts import chain
from tests import tolerances as t
from tests.integration import prices
from tests.integration.life import LIFE_DAYS, TOKEN_UNIT, Life
from tests.integration.twin import NAME, position
from tests.unit.protocol_fixtures import ETH, QUOTE, WAD, World, deploy_world

HOURS = 24 * LIFE_DAYS
# Dense and uneven in the last half hour, so that a mean of states is no mean over time; seconds before the expiry.
WINDOW = (1800, 1500, 1130, 640, 420, 61)
# Publishers are silent for these hours: longer than a state accrues funding.
SILENT = (20, 21)
PERP = (Kind.PERP, None, None)


@pytest.fixture(scope="module")
def deployed(project_contracts: Any, accounts: Any, ape_chain: Any) -> Generator[World, None, None]:
    """The protocol on a clock that stands still."""
    request = ape_chain.provider.web3.provider.make_request
    request("anvil_setBlockTimestampInterval", [0])
    yield deploy_world(project_contracts, accounts, ape_chain)
    request("anvil_removeBlockTimestampInterval", [])


@pytest.mark.parametrize("path", prices.PATHS)
def test_a_whole_life(deployed: World, isolated: Any, path: str) -> None:
    spots = prices.hourly(path, HOURS + 1)
    with isolated():
        life = Life(replace(deployed), spots)
        orders = begin(life)
        live(life, *orders)
        settle(life)
        end(life)


def begin(life: Life) -> tuple[Any, Any]:
    """Trade by signed orders: a quarter of a package, of which the rest stays open; and one paid for by a debt."""
    life.publish(0.01)
    life.verify()
    spread = [life.option(Kind.CALL, 1.02, 5.0), life.option(Kind.CALL, 1.15, -5.0)]
    package = [*spread, life.linear(Kind.FUTURE, -2.0), life.linear(Kind.PERP, 3.0)]
    orders = life.sign(life.trader, package, lots=4)
    life.fill(orders, package)
    life.verify()
    bought = [life.option(Kind.CALL, 0.6, 20.0), life.option(Kind.PUT, 0.9, 4.0), life.linear(Kind.PERP, -15.0)]
    life.fill(life.sign(life.staker, bought), bought)
    assert life.twin.accounts[life.staker].cash < -10_000.0
    life.verify()
    return orders, package


def live(life: Life, orders: tuple[Any, Any], package: Sequence[tuple[Position, float]]) -> None:
    """Hour by hour, then densely, up to a second before the expiry."""
    twin, world = life.twin, life.world
    for hour in [*range(1, HOURS), *(HOURS - seconds / 3600 for seconds in WINDOW)]:
        if hour in SILENT:
            life.wait(hour)
        else:
            life.publish(hour)
        if hour == 6:
            life.fill(orders, package, lots=3)
        elif hour == 12:
            # More than a rate may grow in twelve hours, and then a market that doubts it.
            life.kind.inside.set_index(121 * WAD // 100, sender=world.owner)
            twin.staked.rate = 1.21
        elif hour == 15:
            life.kind.peg.set_peg(97 * WAD // 100, True, sender=world.owner)
            twin.staked.peg = 0.97
        elif hour == 18:
            life.realise(life.trader)
        life.verify()
    life.wait(HOURS - 1 / 3600)
    assert life.settle(life.trader) == 0, "a price is final with the first state at or after the expiry"
    life.verify()


def settle(life: Life) -> None:
    """In batches, and again: each leg becomes cash once, at the mean of spot over the last half hour."""
    life.publish(HOURS)
    assert life.world.protocol.market_data.settlement(ETH, life.expiry)[1]
    life.verify()
    before = life.wealth()
    for accounts, legs in (((life.trader, life.collector), 3), ((life.staker, life.trader, life.saver), 2)):
        assert life.settle(*accounts) == legs
        assert life.twin.settling != 0.0
        life.verify()
    assert life.settle(life.maker, life.staker) == 5
    # Both sides are done: what one side was to get, the other gave, to the wei.
    assert life.wealth() == before, "INV-12"
    assert abs(life.twin.settling) <= t.NOISE * life.twin.moved
    life.twin.settling = 0.0
    life.verify()
    assert life.settle(*life.twin.accounts) == 0
    life.verify()


def end(life: Life) -> None:
    """Perpetuals are closed, debts repaid, earnings collected, and everybody takes out everything."""
    world, house, twin = life.world, life.world.house, life.twin
    life.publish(HOURS + 1)
    for account in (life.trader, life.staker):
        (size,) = twin.accounts[account].legs.values()
        closing = [(position(PERP, -size), twin.course[-1].perp_mark)]
        life.fill(life.sign(account, closing), closing)
    assert not any(mine.legs or mine.cost for mine in twin.accounts.values())
    assert twin.market(world.now).underlyings[NAME].perp_funding != 0.0
    life.verify()
    life.wait(HOURS + 25)
    life.verify()
    for account, cash in life.each("cash").items():
        if cash < 0:
            user, units = world.user(account), -(cash // TOKEN_UNIT)
            world.give(world.quote, user, units)
            house.deposit(account, QUOTE, units, sender=user)
            twin.change(world.now, account, units * TOKEN_UNIT / WAD)
            life.verify()
    earned = world.protocol.money_market.earned()
    assert earned > 0
    life.differences.near("earned", earned / WAD, twin.at(world.now).reserve, t.NOISE * twin.moved)
    world.protocol.money_market.collect(life.collector, earned, sender=world.owner)
    twin.change(world.now, life.collector, earned / WAD)
    twin.pool.reserve -= earned / WAD
    life.verify()
    for account, cash in life.each("cash").items():
        user, units = world.user(account), cash // TOKEN_UNIT
        house.withdraw(account, QUOTE, units, user, sender=user)
        twin.change(world.now, account, -units * TOKEN_UNIT / WAD)
        if account == life.staker:
            house.withdraw(account, life.kind.id, chain.wad(twin.accounts[account].staked), user, sender=user)
            twin.accounts[account].staked = 0.0
        life.verify()
    # What is left is less than a token unit of each, and what interest was rounded by in the protocol's favour: by at
    # most three wei an act, which brings two sums and its account's cash up to date.
    left = life.each("cash")
    assert all(0 <= cash < TOKEN_UNIT for cash in left.values())
    assert world.quote.balanceOf(house) * TOKEN_UNIT - sum(left.values()) == house.reserve()
    assert 0 <= house.reserve() <= 3 * twin.acts
    assert life.kind.token.balanceOf(house) == 0
