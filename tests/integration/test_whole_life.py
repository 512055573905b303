"""Whole lives on one chain: from deposits by a package trade, a path of prices, funding and interest to expiry,
settlement and the withdrawal of everything by everybody.

At every step positions, tokens and collateral add up (INV-01 to INV-03), nothing is made or lost between accounts
(INV-12), and the float model, which is told of every act and of no result, arrives at the figures of the contracts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from python_model import fees, methodology
from python_model.portfolio import Kind, Position
from scripts import chain, protocol
from tests import tolerances as t
from tests.differential.comparison import Differences
from tests.integration import prices
from tests.integration.twin import NAME, Staked, Twin, position
from tests.stateful.machine import as_tuple
from tests.stateful.world import Rpc, call
from tests.unit.collaterals import kinds
from tests.unit.protocol_fixtures import (
    DAY,
    ETH,
    QUOTE,
    WAD,
    Leg,
    World,
    deploy_world,
    flat_market,
    size_of,
    usd,
)

HOUSE = methodology.load("house")
LIFE_DAYS = 2
HOURS = 24 * LIFE_DAYS
# Dense and uneven in the last half hour, so that a mean of states is no mean over time; seconds before the expiry.
WINDOW = (1800, 1500, 1130, 640, 420, 61)
# Publishers are silent for these hours: twice as long as a state accrues funding.
SILENT = (20, 21)
PERP = (Kind.PERP, None, None)
TOKEN_UNIT = 10**12  # of the quote token, 1e-18 USD


@pytest.fixture(scope="module")
def deployed(project_contracts: Any, accounts: Any, ape_chain: Any) -> Generator[World, None, None]:
    """The protocol on a clock that stands still."""
    request = ape_chain.provider.web3.provider.make_request
    request("anvil_setBlockTimestampInterval", [0])
    yield deploy_world(project_contracts, accounts, ape_chain)
    request("anvil_removeBlockTimestampInterval", [])


class Life:
    """The chain and its twin: each act goes to both, and `verify` compares them."""

    def __init__(self, world: World, spots: Sequence[float]) -> None:
        self.world, self.spots = world, spots
        self.expiry = world.start + LIFE_DAYS * DAY
        self.rpc = Rpc(world.ape_chain.provider.uri)
        self.differences = Differences()
        # A market maker, a trader, a staker without cash, and a saver who does nothing but have it.
        self.maker, self.trader, self.saver, self.collector = (
            world.making,
            world.taking,
            world.bidding,
            world.collecting,
        )
        for account, much in ((self.maker, 9_700_000), (self.saver, 9_950_000)):
            world.house.withdraw(account, QUOTE, usd(much), world.user(account), sender=world.user(account))
        world.charge()
        self.kind = kinds.staked(world)
        noted_at, held = world.now, self.scaled(30.0)
        self.staker = world.open(world.operator)
        self.kind.token.mint(world.operator, chain.wad(held), sender=world.operator)
        kinds.deposit(world, self.kind, self.staker, chain.wad(held))
        cash = {
            self.maker: 300_000.0,
            self.trader: 100_000.0,
            self.saver: 50_000.0,
            self.collector: 0.0,
            self.staker: 0.0,
        }
        staked = Staked(1.2, 0.01, noted_at, (0.1, 0.05))
        self.twin = Twin(world.now, self.expiry, cash, protocol.INTEREST, staked)
        self.twin.accounts[self.staker].staked = held

    def scaled(self, size: float) -> float:
        """As many units as are worth what the size would be at 2,000 USD."""
        return round(size * 2000 / self.spots[0], 6)

    # ------------------------------------------------------------------------------------------------------------ time

    def wait(self, hour: float) -> None:
        """Until an hour of the life, which begins before the first one ends."""
        self.world.wait(self.world.start + round(hour * 3600) - self.world.now)

    def publish(self, hour: float) -> None:
        """The spot of an hour; the perpetual runs ahead of it by a third of its last hourly move."""
        self.wait(hour)
        spot, before = (prices.at(self.spots, max(h, 0.0)) for h in (hour, hour - 1.0))
        first = flat_market(self.spots[0], self.world.start, (LIFE_DAYS, 28))
        rows = tuple(
            replace(e, forward=round(spot * (1 + 0.01 * (e.expiry - self.world.start) / DAY / 28), 9))
            for e in first.expiries
        )
        mark = round(spot * (1 + (spot / before - 1) / 3), 9)
        state = replace(first, spot=spot, perp_mark=mark, expiries=rows)
        update = chain.update(ETH, state, self.world.now, chain.Clock(0))
        self.world.protocol.market_data.publish(update, sender=self.world.owner)
        self.twin.publish(self.world.now, state)

    # ------------------------------------------------------------------------------------------------------------ acts

    def option(self, kind: Kind, multiple: float, size: float) -> tuple[Position, float]:
        """An option of the expiry with its price, the engine's mark, at a multiple of the first spot."""
        strike = float(f"{multiple * self.spots[0]:.3g}")
        p = Position(NAME, kind, self.scaled(size), self.expiry, strike)
        return p, chain.as_float(self.world.marked(self.leg(p, 0.0))[5], 9)

    def linear(self, kind: Kind, size: float) -> tuple[Position, float]:
        """A future of the expiry or a perpetual, at the last mark."""
        u, size = self.twin.course[-1], self.scaled(size)
        if kind is Kind.PERP:
            return Position(NAME, kind, size), u.perp_mark
        return Position(NAME, kind, size, self.expiry), u.at(self.expiry).forward

    def leg(self, p: Position, price: float) -> Leg:
        """`IExchange.Leg`."""
        (row,) = protocol.legs(self.world.protocol, [p], [price], chain.Clock(0))
        return row

    def sign(self, taker: int, package: Sequence[tuple[Position, float]], lots: int = 1) -> tuple[Any, Any]:
        """The orders of the maker and of a taker, both signed: anybody may submit them."""
        legs = [self.leg(p, price) for p, price in package]
        world = self.world
        orders = (world.order(self.maker, *protocol.opposite(legs), lots=lots), world.order(taker, *legs, lots=lots))
        return tuple(world.signed(order) for order in orders)

    def fill(self, orders: tuple[Any, Any], package: Sequence[tuple[Position, float]], lots: int = 1) -> None:
        """A stranger submits the two orders for some lots (INV-12: to the wei)."""
        before = self.wealth()
        self.world.house.trade(protocol.submission(*orders, lots), sender=self.world.stranger)
        assert self.wealth() == before, "INV-12"
        taker = orders[1].order.account
        sides = ((taker, fees.HOUSE.taker), (self.maker, fees.HOUSE.maker))
        whole = [(replace(p, size=lots * p.size), price) for p, price in package]
        self.twin.trade(self.world.now, sides, whole, self.collector)

    def realise(self, account: int) -> None:
        """Variation. By how much the engine rounds profit down, the twin takes over, once that was compared."""
        now, before = self.world.now, self.wealth()
        receipt = self.world.protocol.settlement.realise(account, sender=self.world.stranger)
        assert self.wealth() == before, "INV-12"
        profit = receipt.events.filter(self.world.protocol.settlement.Realised)[0].profit / WAD
        market = self.twin.market(now)
        want, error = self.twin.unrealised(account, market), self.error(account)
        assert want - error <= profit <= want + t.NOISE * self.twin.gross(account, market)
        self.twin.realise(now, account, profit)

    def settle(self, *accounts: int) -> int:
        """Settle a batch; how many legs there were."""
        legs = self.world.protocol.settlement.settle(accounts, sender=self.world.stranger).return_value
        for account in accounts:
            self.twin.settle(self.world.now, account)
        return legs

    # ------------------------------------------------------------------------------------------------------ comparison

    def view(self, *calls: Any) -> list[Any]:
        """Answers of views as of now, in one request."""
        parameters = ["latest", {}, {"time": hex(self.world.now)}]
        answers = self.rpc.batch([("eth_call", [c.transaction(), *parameters]) for c in calls])
        return [c.decoded(answer["result"]) for c, answer in zip(calls, answers, strict=True)]

    def each(self, name: str, *arguments: Any) -> dict[int, Any]:
        """What a view of the clearing house says of every account."""
        accounts = sorted(self.twin.accounts)
        answers = self.view(*(call(self.world.house, name, a, *arguments) for a in accounts))
        return dict(zip(accounts, answers, strict=True))

    def wealth(self) -> int:
        """Cash of all accounts, with interest up to now, less what futures and perpetuals cost; 1e-18."""
        return sum(self.each("cash").values()) - sum(self.each("cost").values())

    def error(self, account: int) -> float:
        """By how much the engine may round down what an account is worth (M-16), USD."""
        market = self.twin.market(self.world.now)
        notional = chain.error_notional(self.twin.book(account, market), market)
        return t.EPSILON * notional + t.NOISE * (self.twin.gross(account, market) + self.twin.moved) + t.DUST

    def verify(self) -> None:
        """The invariants, and every figure of every account against the twin's."""
        house, twin, now = self.world.house, self.twin, self.world.now
        states, cash, words = self.each("portfolio"), self.each("cash"), self.each("cash_word")
        held = self.each("balance_of", self.kind.id)
        figures, costs = self.each("assess"), self.each("cost")
        (words_of_market, _), reserve, *credited, vault, staked = self.view(
            call(self.world.protocol.market_data, "read", ETH, [self.expiry]),
            call(house, "reserve"),
            *(call(house, "credited", kind) for kind in (QUOTE, self.kind.id)),
            call(self.world.quote, "balanceOf", house.address),
            call(self.kind.token, "balanceOf", house.address),
        )
        stored = {a: (word - 2**256 if word >> 255 else word) >> 96 for a, word in words.items()}

        sizes: Counter[int] = Counter()
        for word in (word for state in states.values() for word in state.legs):
            sizes[word >> 144] += size_of(word)
        # While an expiry is being settled, the reserve stands for the accounts that are done.
        assert twin.settling or not any(sizes.values()), "INV-01"
        assert reserve + sum(stored.values()) - sum(costs.values()) == credited[0] * TOKEN_UNIT, "INV-02"
        assert credited[0] == vault, "INV-02"
        assert sum(held.values()) == credited[1] == staked, "INV-03"

        twin.round_forward(now, (words_of_market[1] >> 184) / 10**9)
        pool, market, noise = twin.at(now), twin.market(now), t.NOISE * twin.moved + t.DUST
        near = self.differences.near
        # What is in nobody's cash, nor ever will be: the reserve less the interest that accounts have not got yet.
        near(
            "reserve", (reserve + sum(stored.values()) - sum(cash.values())) / WAD, pool.reserve + twin.settling, noise
        )
        open_worth, error = 0, 0.0
        for a, mine in twin.accounts.items():
            near("cash", cash[a] / WAD, pool.cash[a], noise)
            legs = {word >> 144: size_of(word) for word in states[a].legs}
            words_of = (
                chain.position_word(position(i, size), self.world.protocol.names, chain.Clock(0))
                for i, size in mine.legs.items()
            )
            assert legs == {word >> 144: size_of(word) for word in words_of}
            near("cost", costs[a] / WAD, mine.cost, noise)
            assert held[a] == chain.wad(mine.staked)
            assert figures[a].fresh == (twin.is_fresh(now) or not (legs or held[a]))
            collateral = sum(h.amount * h.price // WAD for h in states[a].holdings)
            open_worth += figures[a].net_value - states[a].cash - collateral + costs[a]
            error += self.error(a)
        near("INV-12", open_worth / WAD, twin.settling, error)
        exposed = [a for a, mine in twin.accounts.items() if mine.legs or mine.staked]
        explained = self.view(*(call(self.world.protocol.report, "explain", as_tuple(states[a])) for a in exposed))
        for a, (_, reports) in zip(exposed, explained, strict=True):
            book = twin.book(a, market)
            self.differences.compare(figures[a], reports, {NAME: ETH}, book, market, HOUSE)


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
