"""A market with volatilities, a small scenario set, and the tail as plain loops: the model is held to them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market, net
from python_model.scenario_set import ScenarioSet
from python_model.tail import Tail
from tests.model import reference
from tests.model.books import MARKET as PLAIN_MARKET

SIGMAS = {"ETH": 0.05, "BTC": 0.035, "SOL": 0.08}
MARKET = Market(PLAIN_MARKET.as_of, {n: replace(u, daily_vol=SIGMAS[n]) for n, u in PLAIN_MARKET.underlyings.items()})

# Rows at the ends of what is admissible first: a price at its floor and at its cap, a vol at its least and far up.
EDGES_X = [[-50.0, -40.0, -12.0], [50.0, 49.0, 48.0], [0.0, 0.0, 0.0], [-3.0, -5.0, 2.0], [1.5, 0.0, -1.0]]
EDGES_Y = [[2.0, 1.5, 0.9], [-0.9, 0.4, 0.0], [-0.95, -0.95, -0.95], [0.3, 0.25, 10.0], [0.0, 0.1, -0.1]]


def small_set(rows: int = 40) -> ScenarioSet:
    """Joint rows of three underlyings: the edges, then rows drawn with a fixed seed."""
    rng = np.random.default_rng(7)
    x = np.vstack([EDGES_X, rng.standard_t(4, (rows - len(EDGES_X), 3))])
    y = np.vstack([EDGES_Y, rng.uniform(-0.4, 0.6, (rows - len(EDGES_Y), 3))])
    return ScenarioSet("small", "1", ("ETH", "BTC", "SOL"), tuple(f"row {i:03d}" for i in range(rows)), x, y)


SET = small_set()
TAIL = Tail(SET, 0.9)


def tail_of(alpha: float, horizon: float) -> Tail:
    """A tail of the small set; a failure prints these two alone."""
    return Tail(SET, alpha, horizon)


tails = st.builds(tail_of, st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.sampled_from([1.0, 2.0, 10.0]))


def row_pnl(book: Book, market: Market, methodology: Methodology, tail: Tail, name: str) -> list[float]:
    """P&L of one underlying in every row (M-18), leg by leg."""
    u, s = market.underlyings[name], tail.scenarios
    column = s.underlyings.index(name)
    result = []
    for row in range(len(s.dates)):
        change = float(s.x[row, column]) * u.daily_vol * math.sqrt(tail.horizon)
        m = min(max(1.0 + change, 0.05), 5.0)
        y = float(s.y[row, column])
        total = sum(c.amount * c.price * (m - 1.0) for c in book.collateral if c.underlying == name)
        for p in net(book.positions, market):
            if p.underlying != name:
                continue
            if p.kind is Kind.PERP:
                total += p.size * u.perp_mark * (m - 1.0)
                continue
            e = u.at(p.expiry)
            forward = e.forward * (1.0 + (1.0 - e.fixed) * (m - 1.0))
            if p.kind is Kind.FUTURE:
                total += p.size * (forward - e.forward)
                continue
            tau = max(e.expiry - market.as_of, 0) / 31_536_000
            discount = math.exp(-e.rate * tau)
            k = math.log(p.strike / e.svi.forward) - e.svi.m
            w = e.svi.a + e.svi.b * (e.svi.rho * k + math.sqrt(k**2 + e.svi.sigma**2))
            sigma = min(max(math.sqrt(max(w, 0.0) / e.svi.ref_tau), 0.01), 10.0)
            power = methodology.vol_power_short if tau * 365 <= 30 else methodology.vol_power_long
            h = (30.0 / max(tau * 365, 1.0)) ** power
            shocked = max(sigma * max(1.0 + y * h, 0.0), 0.01)
            call = p.kind is Kind.CALL
            before = reference.value(e.forward, p.strike, sigma, tau, discount, call)
            total += p.size * (reference.value(forward, p.strike, shocked, tau, discount, call) - before)
        result.append(total)
    return result


def book_losses(book: Book, market: Market, methodology: Methodology, tail: Tail) -> list[float]:
    """Joint losses in every row."""
    names = {p.underlying for p in net(book.positions, market)} | {c.underlying for c in book.collateral}
    pnls = [row_pnl(book, market, methodology, tail, name) for name in sorted(n for n in names if n)]
    return [-sum(row) for row in zip(*pnls, strict=True)] if pnls else [0.0] * len(tail.scenarios.dates)


def gross(book: Book, market: Market = MARKET) -> float:
    """Size of a book, USD: what rounding of its P&L grows with."""
    legs = sum(abs(p.size) * (market.underlyings[p.underlying].spot + (p.strike or 0.0)) for p in book.positions)
    return legs + sum(c.amount * c.price for c in book.collateral)
