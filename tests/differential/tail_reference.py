"""VaR, ES and the requirement of a book over joint rows (M-18 to M-20), plainly, to be compared with the contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from python_model import aggregation, black, exposure
from python_model.margin import equity, leg_tables
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Position, net
from python_model.scenarios import VOL_MIN, vol_time_factor

LEAST_MULTIPLE, GREATEST_MULTIPLE = 0.05, 5.0
DAY = 86_400
MICRO = 10**6


@dataclass(frozen=True, eq=False)
class Rows:
    """Joint rows: of each underlying the returns x and the vol moves y, arrays (rows,) of multiples of 1e-6."""

    x: Mapping[str, Floats]
    y: Mapping[str, Floats]

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self.x.values())))


@dataclass(frozen=True)
class Tail:
    """VaR and ES in USD, and the row with the largest loss."""

    value_at_risk: float
    expected_shortfall: float
    worst_row: int


def words(x: Sequence[int], y: Sequence[int]) -> list[int]:
    """The packed words of one underlying (`IScenarioSet`); both at 1e-6."""
    fields = [(a % 2**32) << 32 | b % 2**32 for a, b in zip(x, y, strict=True)]
    return [sum(field << 64 * i for i, field in enumerate(fields[at : at + 4])) for at in range(0, len(fields), 4)]


def set_arguments(rows: Rows, names: Mapping[str, int]) -> tuple[int, list[int], list[list[int]]]:
    """Constructor arguments of `ScenarioSet`."""
    ordered = sorted(rows.x, key=lambda name: names[name])
    packed = [
        words(*(np.rint(values[name] * MICRO).astype(int).tolist() for values in (rows.x, rows.y))) for name in ordered
    ]
    return len(rows), [names[name] for name in ordered], packed


def digest(count: int, underlyings: list[int], packed: list[list[int]]) -> bytes:
    """`ScenarioSet.digest`."""
    return keccak(encode(["uint256", "uint256[]", "uint256[][]"], [count, underlyings, packed]))


def unit(variance: float, horizon_seconds: float) -> float:
    """Price unit U of a row, from the variance of a day."""
    return float(np.sqrt(variance * horizon_seconds / DAY))


def profits(
    name: str,
    positions: Sequence[Position],
    collateral: Sequence[Collateral],
    market: Market,
    methodology: Methodology,
    rows: Rows,
    price_unit: float,
) -> Floats:
    """Profit of the legs and claims of one underlying, array (rows,), USD (M-6, M-18)."""
    u = market.underlyings[name]
    move = np.clip(1.0 + rows.x[name] * price_unit, LEAST_MULTIPLE, GREATEST_MULTIPLE) - 1.0
    total = np.zeros(len(rows))
    for c in collateral:
        total += c.amount * c.price * move
    options = [p for p in positions if p.kind.is_option]
    for p in positions:
        if p.kind is Kind.PERP:
            total += p.size * u.perp_mark * move
        elif p.kind is Kind.FUTURE:
            e = u.at(p.expiry or 0)
            total += p.size * e.forward * (1.0 - e.fixed) * move
    legs = exposure.option_legs(options, market)
    for i, p in enumerate(options):
        e = u.at(p.expiry or 0)
        tau, sigma = float(legs.tau[i]), float(legs.sigma[i])
        shocked = np.maximum(sigma * np.maximum(1.0 + rows.y[name] * vol_time_factor(tau, methodology), 0.0), VOL_MIN)
        forward = e.forward * (1.0 + (1.0 - e.fixed) * move)
        strike, discount, is_call = legs.strike[i], legs.discount[i], bool(legs.is_call[i])
        then = black.value(forward, strike, shocked, tau, discount, is_call)
        now = black.value(e.forward, strike, sigma, tau, discount, is_call)
        total += p.size * (then - now)
    return total


def measure(pnl: Floats, k: int) -> Tail:
    """The k-th largest loss, the mean of the k largest, and where the largest is (M-19); not floored."""
    losses = np.sort(-pnl)[::-1]
    return Tail(float(losses[k - 1]), float(np.mean(losses[:k])), int(np.argmin(pnl)))


@dataclass(frozen=True)
class Figures:
    """What the engine says of an account, USD."""

    maintenance: float
    initial: float
    equity_maintenance: float
    equity_initial: float
    tail: Tail


def book_profits(
    book: Book, market: Market, methodology: Methodology, rows: Rows, units: Mapping[str, float]
) -> dict[str, Floats]:
    """Profits of a book by underlying it touches, arrays (rows,)."""
    legs = net(book.positions, market)
    claims = [c for c in book.collateral if c.underlying is not None and c.amount != 0.0]
    names = sorted({p.underlying for p in legs} | {str(c.underlying) for c in claims})
    return {
        name: profits(
            name,
            [p for p in legs if p.underlying == name],
            [c for c in claims if c.underlying == name],
            market,
            methodology,
            rows,
            units[name],
        )
        for name in names
    }


def joint(pnl: Mapping[str, Floats], rows: Rows, k: int) -> Tail:
    """The tail of all underlyings together."""
    return measure(sum(pnl.values(), np.zeros(len(rows))), k) if pnl else Tail(0.0, 0.0, 0)


def requirement(
    book: Book, market: Market, methodology: Methodology, rows: Rows, units: Mapping[str, float], k: int
) -> tuple[float, float]:
    """Maintenance and initial margin of a portfolio book whose scan is at least the ES (M-13, M-14, M-20)."""
    pnl = book_profits(book, market, methodology, rows, units)
    shortfall = joint(pnl, rows, k).expected_shortfall
    exposures = {
        name: exposure.exposure(table, methodology) for name, table in leg_tables(book, market, methodology).items()
    }
    charges = {name: aggregation.charges(e, methodology) for name, e in exposures.items()}
    grid = aggregation.total_scan({name: e.scenario_pnl for name, e in exposures.items()}, methodology)
    spread = sum(c.calendar + c.vega_calendar for c in charges.values())
    minimum = sum(c.short_option for c in charges.values())
    maintenance = max(max(grid, shortfall) + spread, minimum) + sum(c.liquidity for c in charges.values())
    initial = methodology.initial_factor * maintenance + sum(c.confidence for c in charges.values())
    if all(e.options_only for e in exposures.values()):
        caps = [0.0, 0.0]
        for name, c in charges.items():
            scan = max(c.scan, measure(pnl[name], k).expected_shortfall)
            alone = aggregation.stand_alone(replace(c, scan=scan), methodology)
            caps = [total + min(figure, exposures[name].most_lost) for total, figure in zip(caps, alone, strict=True)]
        maintenance, initial = min(maintenance, caps[0]), min(initial, caps[1])
    return maintenance, initial


def parts(book: Book, market: Market) -> list[Book]:
    """Each net leg and each in-grid holding as a portfolio of its own (M-17)."""
    legs = [replace(book, positions=(p,), collateral=()) for p in net(book.positions, market)]
    claims = [c for c in book.collateral if c.underlying is not None and c.amount != 0.0]
    return [*legs, *(replace(book, positions=(), collateral=(c,)) for c in claims)]


def assess(
    book: Book, market: Market, methodology: Methodology, rows: Rows, units: Mapping[str, float], k: int
) -> Figures:
    """All figures of an account."""
    whole = [book] if book.mode is Mode.PORTFOLIO else parts(book, market)
    required = np.sum([requirement(b, market, methodology, rows, units, k) for b in whole] or [(0.0, 0.0)], axis=0)
    value = sum(float(t.size @ t.option_value) for t in leg_tables(book, market, methodology).values())
    maintenance, initial = equity(book, market, value)
    pnl = book_profits(book, market, methodology, rows, units)
    return Figures(float(required[0]), float(required[1]), maintenance, initial, joint(pnl, rows, k))


def draw(generator: Any, names: Sequence[str], count: int) -> Rows:
    """Correlated heavy-tailed rows, with some at the ends of what a set may hold."""
    market = generator.standard_t(4, count)
    x, y = {}, {}
    for name in names:
        own = generator.standard_t(4, count)
        x[name] = np.clip(np.round(0.8 * market + 0.6 * own, 6), -50.0, 50.0)
        moves = 0.05 * generator.standard_normal(count) - 0.03 * x[name]
        y[name] = np.clip(np.round(moves, 6), -0.95, 10.0)
    return Rows(x, y)
