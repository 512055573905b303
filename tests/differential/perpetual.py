"""Accounts that trade a perpetual over a course of states: their equity by the engine and by the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from python_model import funding, methodology
from python_model.margin import assess
from python_model.portfolio import Book, Kind, Market, Mode, Position, Underlying
from scripts import chain
from tests import tolerances as t
from tests.unit.market_data.course import USD, Course, State, arrays, funding_tolerance

NAME = "ETH"
HOUSE = methodology.load("house")
CONFIDENCE, SCAN_RANGE = 0.001, 0.16
# What the engine takes off an equity, 1e-18 USD (`portfolio.ROUNDING`).
ROUNDING = 10**4


class Trade(NamedTuple):
    """`size` (1e-6 units) of the perpetual from account `seller` to account `buyer` at a price (1e-9 USD).

    `paid` is the funding at its time, 1e-18 USD, which the contract no longer tells once another state is published.
    """

    time: int
    buyer: int
    seller: int
    size: int
    price: int
    paid: int = 0

    def entered(self, course: Course) -> Trade:
        """The trade with the funding of now."""
        return self._replace(paid=course.funding(self.time))


@dataclass(frozen=True)
class Accounts:
    """What each account holds (1e-6 units) and what that has cost (1e-18 USD), as the clearing house keeps it."""

    sizes: list[int]
    costs: list[int]

    @staticmethod
    def of(trades: Sequence[Trade], count: int) -> Accounts:
        """Trades at p with funding f are entered at size * (p - f)."""
        sizes, costs = [0] * count, [0] * count
        for trade in trades:
            # Exact at 1e-18: funding is a multiple of 1e6.
            assert trade.paid % 10**6 == 0
            cost = trade.size * trade.price * 1000 - trade.size * trade.paid // 10**6
            for account, sign in ((trade.buyer, 1), (trade.seller, -1)):
                sizes[account] += sign * trade.size
                costs[account] += sign * cost
        return Accounts(sizes, costs)

    def figures(self, i: int, engine: Any, course: Course, time: int) -> Any:
        """`IMarginEngine.Assessment` of an account without cash."""
        legs = [chain.pack(course.underlying, 0, 0, 0, self.sizes[i])] if self.sizes[i] else []
        return chain.call_at(engine.assess, time, (chain.MODES[Mode.PORTFOLIO], 0, self.costs[i], [], legs))


def differences(
    engine: Any, course: Course, states: Sequence[State], trades: Sequence[Trade], time: int, heartbeat: int
) -> list[str]:
    """What an account without cash has and needs, by contract and model, where they differ; and what all have, if any.

    Doubles err in each price that they meet, and funding as `funding_tolerance` says, both for each unit traded; a
    requirement is bounded by a few times the value of what is held, and liquidation cost grows with its square.
    """
    count = 1 + max(max(trade.buyer, trade.seller) for trade in trades)
    accounts = Accounts.of(trades, count)
    times, spot, mark = arrays(list(states))

    def paid(at: int) -> float:
        return float(funding.accumulated(times, mark, spot, at, heartbeat))

    u = Underlying(float(spot[-1]), CONFIDENCE, SCAN_RANGE, float(mark[-1]), (), paid(time))
    market = Market(time, {NAME: u})
    found, total = [], 0
    for i in range(count):
        positions = tuple(
            Position(NAME, Kind.PERP, sign * trade.size / 1e6, entry=trade.price / USD - paid(trade.time))
            for trade in trades
            for account, sign in ((trade.buyer, 1), (trade.seller, -1))
            if account == i
        )
        got = accounts.figures(i, engine, course, time)
        want = assess(Book(Mode.PORTFOLIO, 0.0, (), positions), market, HOUSE)
        total += got.net_value + (ROUNDING if accounts.sizes[i] else 0)
        units = sum(abs(p.size) for p in positions)
        highest = max([u.perp_mark, u.spot, *(p.entry or 0.0 for p in positions)])
        slack = units * (t.NOISE * highest + 2 * funding_tolerance(list(states), heartbeat)) + t.DUST
        growth = 1 + HOUSE.h_delta * units * highest / HOUSE.depth_delta
        for name, contract, model, tolerance in (
            ("equity", got.equity_maintenance, want.equity_maintenance, slack),
            ("maintenance", got.maintenance, want.maintenance, (units * t.NOISE * highest + t.DUST) * growth),
        ):
            if abs(chain.as_float(contract) - model) > tolerance:
                found.append(f"{name} of account {i}: contract {chain.as_float(contract)!r}, model {model!r}")
    if total != 0:
        found.append(f"all accounts together have {total} wei")
    return found
