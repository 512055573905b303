"""A life on the chain and in floats at once, and the comparison of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from python_model import fees, methodology
from python_model.portfolio import Kind, Position
from scripts import chain, protocol
from tests import tolerances as t
from tests.differential.comparison import Differences
from tests.integration import prices
from tests.integration.twin import NAME, Staked, Twin, position
from tests.stateful.checks import as_tuple
from tests.stateful.world import Rpc, call
from tests.unit.collaterals import kinds
from tests.unit.protocol_fixtures import DAY, ETH, QUOTE, WAD, Leg, World, flat_market, size_of, usd

HOUSE = methodology.load("house")
LIFE_DAYS = 2
TOKEN_UNIT = 10**12  # of the quote token, 1e-18 USD


class Life:
    """The chain and its twin: each act goes to both, and `verify` compares them."""

    def __init__(self, world: World, spots: Sequence[float]) -> None:
        self.world, self.spots = world, spots
        self.expiry = world.start + LIFE_DAYS * DAY
        self.rpc = Rpc(world.ape_chain.provider.uri)
        self.differences = Differences()
        # A market maker, a trader, a staker without cash, and a saver who does nothing but have it.
        self.maker, self.trader, self.saver = world.making, world.taking, world.bidding
        # Who can take out what it earns, as the contract that owns the account of fees cannot.
        self.collector, self.staker = world.open(world.owner), world.open(world.operator)
        world.collecting = self.collector
        for account, much in ((self.maker, 9_700_000), (self.saver, 9_950_000)):
            world.house.withdraw(account, QUOTE, usd(much), world.user(account), sender=world.user(account))
        world.charge()
        self.kind = kinds.staked(world)
        noted_at, held = world.now, self.scaled(30.0)
        self.kind.token.mint(world.operator, chain.wad(held), sender=world.operator)
        kinds.deposit(world, self.kind, self.staker, chain.wad(held))
        cash = {self.trader: 100_000.0, self.maker: 300_000.0, self.saver: 50_000.0}
        cash |= {self.collector: 0.0, self.staker: 0.0}
        staked = Staked(1.2, 0.01, noted_at, (0.1, 0.05))
        self.twin = Twin(world.now, self.expiry, cash, protocol.INTEREST, staked)
        self.twin.accounts[self.staker].staked = held

    def scaled(self, size: float) -> float:
        """As many units as are worth what the size would be at 2,000 USD."""
        return round(size * 2000 / self.spots[0], 6)

    # ------------------------------------------------------------------------------------------------------------ time

    def wait(self, hour: float) -> None:
        """Until so many hours after the start."""
        self.world.wait(self.world.start + round(hour * 3600) - self.world.now)

    def publish(self, hour: float) -> None:
        """The spot of an hour; the perpetual runs ahead of it by a third of its last hourly move."""
        self.wait(hour)
        spot, before = (prices.at(self.spots, max(h, 0.0)) for h in (hour, hour - 1.0))
        first = flat_market(self.spots[0], self.world.start, (LIFE_DAYS,))
        (row,) = first.expiries
        mark = round(spot * (1 + (spot / before - 1) / 3), 9)
        state = replace(first, spot=spot, perp_mark=mark, expiries=(replace(row, forward=round(1.001 * spot, 9)),))
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

    def words(self, account: int) -> list[int]:
        """The positions that the twin has, as a book holds them, but for the cached logarithms."""
        names, legs = self.world.protocol.names, self.twin.accounts[account].legs
        return sorted(chain.position_word(position(i, size), names, chain.Clock(0)) >> 80 for i, size in legs.items())

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
        (market_words, _), reserve, *credited, vault, staked = self.view(
            call(self.world.protocol.market_data, "read", ETH, [self.expiry]),
            call(house, "reserve"),
            *(call(house, "credited", kind) for kind in (QUOTE, self.kind.id)),
            call(self.world.quote, "balanceOf", house.address),
            call(self.kind.token, "balanceOf", house.address),
        )
        stored = {a: (word - 2**256 if word >> 255 else word) >> 96 for a, word in words.items()}

        sizes: Counter[int] = Counter()
        for word in (word for state in states.values() for word in state.legs):
            # While an expiry is being settled, the reserve stands for the accounts that are done.
            if not twin.settling or (word >> 216) % 2**32 != self.expiry:
                sizes[word >> 144] += size_of(word)
        assert not any(sizes.values()), "INV-01"
        assert reserve + sum(stored.values()) - sum(costs.values()) == credited[0] * TOKEN_UNIT, "INV-02"
        assert credited[0] == vault, "INV-02"
        assert sum(held.values()) == credited[1] == staked, "INV-03"

        twin.round_forward(now, (market_words[1] >> 184) / 10**9)
        pool, market, noise = twin.at(now), twin.market(now), t.NOISE * twin.moved + t.DUST
        near = self.differences.near
        # What is in nobody's cash, nor ever will be: the reserve less the interest that accounts have not got yet.
        nobodys = reserve + sum(stored.values()) - sum(cash.values())
        near("reserve", nobodys / WAD, pool.reserve + twin.settling, noise)
        open_worth, error = 0, 0.0
        for a, mine in twin.accounts.items():
            near("cash", cash[a] / WAD, pool.cash[a], noise)
            assert [word >> 80 for word in states[a].legs] == self.words(a)
            near("cost", costs[a] / WAD, mine.cost, noise)
            assert held[a] == chain.wad(mine.staked)
            assert figures[a].fresh == (twin.is_fresh(now) or not (mine.legs or mine.staked))
            collateral = sum(h.amount * h.price // WAD for h in states[a].holdings)
            open_worth += figures[a].net_value - states[a].cash - collateral + costs[a]
            error += self.error(a)
        near("INV-12", open_worth / WAD, twin.settling, error)
        exposed = [a for a, mine in twin.accounts.items() if mine.legs or mine.staked]
        explained = self.view(*(call(self.world.protocol.report, "explain", as_tuple(states[a])) for a in exposed))
        for a, (_, reports) in zip(exposed, explained, strict=True):
            book = twin.book(a, market)
            self.differences.compare(figures[a], reports, {NAME: ETH}, book, market, HOUSE)
