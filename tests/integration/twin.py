"""What the accounts of one underlying should have, in floats: `python_model` alone, told of every act.

Of results it takes over two roundings, once they are compared: of a forward that is being fixed, and of variation.

Money in USD, times in seconds since 1970. An account's cash has its interest up to its last act, as margin counts it;
`Twin.cash` adds what came since.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from python_model import collateral, fees, funding, interest, portfolio, settlement
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Position, Underlying
from scripts import chain
from tests import tolerances as t
from tests.stateful.market import STALE_CONFIDENCE

NAME = "ETH"
# Instrument: kind, expiry, strike.
Instrument = tuple[Kind, int | None, float | None]


@dataclass
class Staked:
    """A staked token: rate by its own contract, market price as a fraction of it, and the rate that was noted."""

    rate: float
    growth: float
    noted_at: int
    haircuts: tuple[float, float]
    peg: float = 1.0
    noted: float = field(init=False)

    def __post_init__(self) -> None:
        self.noted = self.rate

    def holding(self, amount: float, spot: float, now: int) -> Collateral:
        """So many tokens as the engine is to count them."""
        rate = collateral.bounded_rate(self.rate, self.noted, now - self.noted_at, self.growth)
        haircuts = (float(collateral.haircut(plain, self.peg)) for plain in self.haircuts)
        return Collateral(amount, float(collateral.price(spot, rate, self.peg)), NAME, *haircuts)


@dataclass
class Account:
    """Cash as of the last act, what futures and perpetuals cost, sizes by instrument, and staked tokens."""

    cash: float = 0.0
    cost: float = 0.0
    staked: float = 0.0
    legs: dict[Instrument, float] = field(default_factory=dict)


def position(instrument: Instrument, size: float) -> Position:
    """A leg, marked at the market."""
    kind, expiry, strike = instrument
    return Position(NAME, kind, size, expiry, strike)


class Twin:
    """All accounts by id, and the course of the market.

    `moved` is all the money that ever changed hands, to which float errors are relative; `acts` how often an account
    acted; `settling` what settlement took from accounts so far and is still to give to others.
    """

    def __init__(self, now: int, expiry: int, cash: dict[int, float], terms: interest.Terms, staked: Staked) -> None:
        self.expiry = expiry
        self.pool = interest.Pool(terms, dict(cash), now)
        self.accounts = {account: Account(amount) for account, amount in cash.items()}
        self.staked = staked
        self.moved = sum(cash.values())
        self.acts = 0
        self.settling = 0.0
        self.times: list[int] = []
        self.course: list[Underlying] = []
        # Forwards of the expiry by time, rounded as the contract does.
        self.rounded: dict[int, float] = {}

    # ---------------------------------------------------------------------------------------------------------- market

    def publish(self, now: int, state: Underlying) -> None:
        """A state comes into force."""
        self.times.append(now)
        self.course.append(state)

    def market(self, now: int) -> Market:
        """The market with what a perpetual has paid, and with the forward that is being fixed."""
        times, state = np.array(self.times), self.course[-1]
        spot, mark = (np.array([getattr(u, key) for u in self.course]) for key in ("spot", "perp_mark"))
        rows = [settlement.as_read(e, times, spot, now) for e in state.expiries]
        if now in self.rounded:
            rows = [replace(e, forward=self.rounded[now]) if e.expiry == self.expiry else e for e in rows]
        paid = float(funding.accumulated(times, mark, spot, now, chain.HEARTBEAT_SECONDS))
        confidence = state.confidence if self.is_fresh(now) else max(state.confidence, STALE_CONFIDENCE)
        return Market(now, {NAME: replace(state, expiries=tuple(rows), perp_funding=paid, confidence=confidence)})

    def round_forward(self, now: int, rounded: float) -> None:
        """Take over by how much the contract rounds down the forward that is being fixed, at most 1e-9 USD."""
        exact = self.market(now).underlyings[NAME].at(self.expiry).forward
        assert exact * (1 - t.NOISE) - 1e-9 <= rounded <= exact * (1 + t.NOISE), f"forward {rounded!r}, not {exact!r}"
        self.rounded[now] = rounded

    def is_fresh(self, now: int) -> bool:
        """Whether the last state is within its heartbeat."""
        return now - self.times[-1] <= chain.HEARTBEAT_SECONDS

    # ------------------------------------------------------------------------------------------------------------ acts

    def change(self, now: int, account: int, amount: float = 0.0) -> None:
        """An act of an account, which gets an amount of cash."""
        self.pool.change(now, account, amount)
        self.accounts[account].cash = self.pool.cash[account]
        self.moved += abs(amount)
        self.acts += 1

    def trade(
        self,
        now: int,
        sides: tuple[tuple[int, float], tuple[int, float]],
        package: Sequence[tuple[Position, float]],
        collector: int,
    ) -> None:
        """A package at its prices between (account, fee rate) of a taker, who receives it, and of a maker."""
        market = self.market(now)
        for (account, rate), side in zip(sides, (1.0, -1.0), strict=True):
            self.change(now, account)
            for p, price in package:
                due = fees.fee(p, price, market.underlyings[NAME].spot, rate, fees.HOUSE.premium_cap)
                self.change(now, account, -due)
                self.change(now, collector, due)
                size = side * p.size
                if p.kind.is_option:
                    self.change(now, account, -size * price)
                else:
                    entry = price - (market.underlyings[NAME].perp_funding if p.kind is Kind.PERP else 0.0)
                    self.accounts[account].cost += size * entry
                self._add((p.kind, p.expiry, p.strike), account, size)
            self._realise_if_flat(now, account)

    def settle(self, now: int, account: int) -> None:
        """Every expired leg becomes cash, once its price is final: with the first state at or after the expiry."""
        mine = self.accounts[account]
        expired = [i for i in mine.legs if i[1] == self.expiry <= self.times[-1]]
        if not expired:
            return
        price, cash = self.market(now).underlyings[NAME].at(self.expiry).forward, 0.0
        for kind, expiry, strike in expired:
            paid = mine.legs.pop((kind, expiry, strike)) * float(settlement.payoff(kind, price, strike))
            self.settling -= paid
            if kind is Kind.FUTURE:
                mine.cost -= paid
            else:
                cash += paid
        self.change(now, account, cash)
        self._realise_if_flat(now, account)

    def realise(self, now: int, account: int, profit: float) -> None:
        """Profit moves from cost to cash."""
        self.accounts[account].cost += profit
        self.change(now, account, profit)

    def _add(self, instrument: Instrument, account: int, size: float) -> None:
        legs = self.accounts[account].legs
        # Sizes are decimals to 1e-6 (M-0).
        total = round(legs.pop(instrument, 0.0) + size, 6)
        if total:
            legs[instrument] = total

    def _realise_if_flat(self, now: int, account: int) -> None:
        mine = self.accounts[account]
        if all(kind.is_option for kind, *_ in mine.legs):
            profit, mine.cost = -mine.cost, 0.0
            self.change(now, account, profit)

    # --------------------------------------------------------------------------------------------------------- figures

    def at(self, now: int) -> interest.Pool:
        """Cash of all accounts and the reserve's interest, up to now."""
        pool = copy.deepcopy(self.pool)
        pool.advance(now)
        return pool

    def unrealised(self, account: int, market: Market) -> float:
        """Profit of futures and perpetuals."""
        mine = self.accounts[account]
        linear = [position(i, size) for i, size in mine.legs.items() if not i[0].is_option]
        return sum(p.size * portfolio.mark(p, market) for p in linear) - mine.cost

    def book(self, account: int, market: Market) -> Book:
        """What margin counts: profit is in the cash, as `cost` is known in sum only; a debt has all its interest."""
        mine = self.accounts[account]
        cash = mine.cash if mine.cash >= 0.0 else self.at(market.as_of).cash[account]
        held = self.staked.holding(mine.staked, market.underlyings[NAME].spot, market.as_of)
        legs = tuple(position(i, size) for i, size in mine.legs.items())
        profit = self.unrealised(account, market)
        return Book(Mode.PORTFOLIO, cash + profit, (held,) if mine.staked else (), legs)

    def gross(self, account: int, market: Market) -> float:
        """Sum of the absolute values that the worth of an account is made of, to which float errors are relative."""
        mine, spot = self.accounts[account], market.underlyings[NAME].spot
        sizes = sum(abs(size) * (spot + (i[2] or 0.0)) for i, size in mine.legs.items())
        return 2 * sizes + abs(mine.cash) + abs(mine.cost) + 2 * mine.staked * spot
