"""Margin of one book over many days in one pass: what `margin.assess` says of each day, as arrays (M-6 to M-14, M-20).

Legs, scenarios and days are axes of arrays; every sum over legs runs in the order of the legs, whatever the machine.
A leg that has expired has no size any more. Rates and fixings are nothing, as the market of a back-test has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from python_model import black
from python_model.backtest_books import Legs, expired
from python_model.backtest_market import Ints, MarketPath
from python_model.exposure import DELIVERY, least_payoff
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import SECONDS_PER_YEAR, Kind
from python_model.scenarios import PRICE_FLOOR, OptionLegs, shocked_vols, vol_time_factor
from python_model.tail import ALPHA, PRICE_CAP, Moves, tail_count

# Half-width of the oracle (M-13), that of the calm markets of the project.
CONFIDENCE = 0.001


@dataclass(frozen=True, eq=False)
class Priced:
    """The legs of one underlying over days; arrays (legs, days), of one unit but for `size`. Options come first.

    Attributes
    ----------
    spot : array (days,), USD
    size : units, negative is short; 0 once a leg has expired
    bucket : array (legs,), expiry in seconds, DELIVERY for perpetuals
    option, call : arrays (legs,), bool
    strike : array (legs,), USD, 0 but for options
    value, delta, vega : M-24; `value` of options alone
    shock : `vega sigma Y_up h(tau)`, USD (M-10)
    change : array (legs, scenarios, days), USD, before g (M-6)
    tail : array (legs, rows, days), USD, in all rows that the days know; empty where no tail is asked for (M-18)
    """

    spot: Floats
    size: Floats
    bucket: Ints
    option: NDArray[np.bool_]
    call: NDArray[np.bool_]
    strike: Floats
    value: Floats
    delta: Floats
    vega: Floats
    shock: Floats
    change: Floats
    tail: Floats

    def __len__(self) -> int:
        """Number of legs."""
        return int(self.bucket.size)

    def alone(self, leg: int) -> Priced:
        """One leg as a book of its own."""
        rows = slice(leg, leg + 1)
        return Priced(self.spot, *(getattr(self, key)[rows] for key in list(self.__dataclass_fields__)[1:]))

    def net(self, unit: Floats) -> Floats:
        """Sum over legs, (days,), of size times a figure of one unit."""
        return np.asarray(np.sum(self.size * unit, axis=0), dtype=np.float64)

    def pnl(self, change: Floats) -> Floats:
        """Sum over legs (moves, days) of size times the change of one unit."""
        total = np.zeros(change.shape[1:])
        for size, row in zip(self.size, change, strict=True):
            total += size * row
        return total

    def by_bucket(self, unit: Floats) -> Floats:
        """The same for each expiry and for delivery, (buckets, days)."""
        rows = self.size * unit
        return np.stack([np.sum(rows[self.bucket == b], axis=0) for b in np.unique(self.bucket)])

    def most_lost(self) -> Floats:
        """The most that options only can lose, (days,), USD; infinite where an expiry is net short calls (M-14)."""
        total = self.net(self.value)
        for b in np.unique(self.bucket):
            e = np.flatnonzero(self.bucket == b)
            # All legs of an expiry are alive, or none is.
            alive = np.any(self.size[e] != 0.0, axis=0)
            if alive.any():
                sizes = self.size[e][:, int(np.argmax(alive))]
                least = least_payoff(sizes, self.strike[e], self.call[e])
                total = total - np.where(alive, least, 0.0)
        return np.asarray(np.maximum(total, 0.0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Cells:
    """Options over days as one row of cells, `options` (legs * days,), and how to fold a result back."""

    options: OptionLegs
    legs: int
    days: int

    def fold(self, cells: Floats) -> Floats:
        """From (..., legs * days) to (legs, ..., days)."""
        return np.moveaxis(cells.reshape(*cells.shape[:-1], self.legs, self.days), -2, 0)

    def changes(self, multiples: Floats, methodology: Methodology) -> Floats:
        """Change of value of one unit of each, (legs, scenarios, days), for price multiples (scenarios, days)."""
        o = self.options
        now = black.value(o.forward, o.strike, o.sigma, o.tau, o.discount, o.is_call)
        levels = np.stack([methodology.y, methodology.z], axis=1)
        vols = shocked_vols(o, levels, methodology)
        forward = o.forward * np.tile(multiples, (1, self.legs))
        return self.fold(black.value(forward, o.strike, vols, o.tau, o.discount, o.is_call) - now)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that some days know together, and which of them are each day's set (M-18, M-19).

    Attributes
    ----------
    inside : array (rows, days), bool
    k : array (days,), rows of the tail
    """

    inside: NDArray[np.bool_]
    k: Ints

    @staticmethod
    def of(path: MarketPath, alpha: float = ALPHA) -> Rows:
        """The sets of a path."""
        row = np.arange(len(path.x))[:, None]
        inside = (row >= path.first_row) & (row < path.stop_row)
        counts = (path.stop_row - path.first_row).tolist()
        return Rows(inside, np.array([tail_count(alpha, n) for n in counts], dtype=np.int64))

    def scan(self, pnl: Floats) -> Floats:
        """`T = max(0, ES)` of each day (M-20), from P&L (rows, days), USD."""
        losses = np.where(self.inside, -pnl, -np.inf)
        most, rows = int(self.k.max()), losses.shape[0]
        worst = np.sort(np.partition(losses, rows - most, axis=0)[rows - most :], axis=0)[::-1]
        sums = np.cumsum(worst, axis=0)[self.k - 1, np.arange(self.k.size)]
        return np.asarray(np.maximum(sums / self.k, 0.0), dtype=np.float64)


def cells_of(legs: Legs, path: MarketPath, column: int) -> Cells:
    """The options of one underlying over the days of a path."""
    days = len(path)
    strikes = np.repeat([p.strike or 0.0 for p in legs], days)
    expiries = np.repeat([p.expiry or 0 for p in legs], days)
    spot, vol = (np.tile(v[:, column], len(legs)) for v in (path.spot, path.vol))
    tau = np.maximum(expiries - np.tile(path.times, len(legs)), 0) / SECONDS_PER_YEAR
    is_call = np.repeat(np.array([p.kind is Kind.CALL for p in legs], dtype=np.bool_), days)
    return Cells(OptionLegs(spot, strikes, vol, tau, np.ones(spot.size), is_call), len(legs), days)


def priced(
    legs: Legs, path: MarketPath, methodologies: Sequence[Methodology], of_tail: Methodology | None
) -> dict[str, list[Priced]]:
    """The legs of a book, per underlying in order of name, in every scenario of some methodologies.

    Parameters
    ----------
    legs : tuple of Position, no instrument twice
    path : MarketPath
    methodologies : sequence of Methodology
    of_tail : Methodology or None
        Its `h(tau)` moves the vols of the rows; None for no tail.

    Returns
    -------
    dict of underlying to one Priced a methodology; they share all but the scenarios.
    """
    result = {}
    for name in sorted({p.underlying for p in legs}):
        own = [p for p in legs if p.underlying == name]
        own = sorted(own, key=lambda p: not p.kind.is_option)
        options = tuple(p for p in own if p.kind.is_option)
        column, linear = path.names.index(name), len(own) - len(options)
        spot = path.spot[:, column]
        cells = cells_of(options, path, column)
        o = cells.options
        greeks = black.greeks(o.forward, o.strike, o.sigma, o.tau, 0.0, o.forward, o.is_call)
        value = cells.fold(black.value(o.forward, o.strike, o.sigma, o.tau, o.discount, o.is_call))
        blank = np.zeros((linear, len(path)))
        size = np.where(expired(tuple(own), path.times), 0.0, np.array([p.size for p in own])[:, None])

        def changes(
            multiples: Floats, m: Methodology, cells: Cells = cells, spot: Floats = spot, n: int = linear
        ) -> Floats:
            """Of all legs, the linear ones behind the options."""
            moved = np.broadcast_to((multiples - 1.0) * spot, (n, *multiples.shape))
            return np.concatenate([cells.changes(multiples, m), moved]) if cells.legs else moved

        tail = np.empty((len(own), 0, len(path)))
        if of_tail is not None:
            moves = Moves((name,), [""] * len(path.x), path.x[:, [column]], path.y[:, [column]])
            # The price moves are each day's own: rows in units of that day's volatility.
            moved = np.clip(path.x[:, [column]] * path.sigma[:, column], PRICE_FLOOR - 1.0, PRICE_CAP - 1.0)
            tail = changes(1.0 + moved, moves.methodology(name, of_tail))
        base = Priced(
            spot=spot,
            size=size,
            bucket=np.array([p.expiry or DELIVERY for p in own], dtype=np.int64),
            option=np.array([p.kind.is_option for p in own], dtype=np.bool_),
            call=np.array([p.kind is Kind.CALL for p in own], dtype=np.bool_),
            strike=np.array([p.strike or 0.0 for p in own]),
            value=np.concatenate([value, blank]),
            delta=np.concatenate([cells.fold(greeks.delta), blank + 1.0]),
            vega=np.concatenate([cells.fold(greeks.vega), blank]),
            shock=np.empty((0, 0)),
            change=np.empty((0, 0, 0)),
            tail=tail,
        )
        rows = []
        for m in methodologies:
            ranges = path.scan_range[:, column] if m.scan_range is None else np.full(len(path), m.scan_range)
            multiples = np.maximum(1.0 + m.x[:, None] * ranges, PRICE_FLOOR)
            shock = cells.fold(greeks.vega * o.sigma * m.vol_up * vol_time_factor(o.tau, m))
            rows.append(replace(base, shock=np.concatenate([shock, blank]), change=changes(multiples, m)))
        result[name] = rows
    return result


def offset(amounts: Floats, rate: float) -> Floats:
    """`rate min(sum of positives, sum of negatives)` of each day (M-9, M-10), amounts (buckets, days) in USD."""
    longs, shorts = (np.sum(np.maximum(sign * amounts, 0.0), axis=0) for sign in (1.0, -1.0))
    return np.asarray(rate * np.minimum(longs, shorts), dtype=np.float64)


def worst(pnl: Floats) -> Floats:
    """`max(0, -min_s P_s)` of each day (M-7), from (scenarios, days), USD."""
    return np.asarray(np.maximum(-np.min(pnl, axis=0), 0.0), dtype=np.float64)


def grid_scan(pnls: dict[str, Floats], m: Methodology) -> Floats:
    """`aggregation.total_scan` of each day (M-8), from P&L (scenarios, days) by underlying, USD."""
    alone = {name: worst(pnl) for name, pnl in pnls.items()}
    total = np.asarray(sum(alone.values()), dtype=np.float64)
    for group in m.groups:
        members = [name for name in pnls if name in group.members]
        if len(members) > 1:
            apart = sum(alone[name] for name in members)
            total = total - group.credit * (apart - worst(np.asarray(sum(pnls[name] for name in members))))
    return total


def requirement(tables: dict[str, Priced], m: Methodology, rows: Rows | None = None) -> tuple[Floats, Floats]:
    """Maintenance and initial margin of each day (M-13, M-14, M-20), arrays (days,), USD.

    Parameters
    ----------
    tables : dict of underlying to Priced under this methodology
    m : Methodology
    rows : Rows, optional
        Makes the scan the larger of the grid's and of the tail's.
    """
    pnls = {name: m.g[:, None] * t.pnl(t.change) for name, t in tables.items()}
    scan = grid_scan(pnls, m)
    tails = {} if rows is None else {name: t.pnl(t.tail) for name, t in tables.items()}
    if rows is not None:
        scan = np.maximum(scan, rows.scan(np.asarray(sum(tails.values()))))
    days = scan.size
    spread, minimum, liquidity, doubt = (np.zeros(days) for _ in range(4))
    cap, initial_cap = np.zeros(days), np.zeros(days)
    options_only = all(t.option.all() for t in tables.values())
    for name, t in tables.items():
        own = worst(pnls[name])
        if rows is not None:
            own = np.maximum(own, rows.scan(tails[name]))
        between = offset(t.by_bucket(t.delta) * t.spot, m.calendar) + offset(t.by_bucket(t.shock), m.vega_calendar)
        sold = np.sum(np.where(t.option[:, None], np.maximum(-t.size, 0.0), 0.0), axis=0)
        held = np.sum(np.where(t.option[:, None], np.abs(t.size), 0.0), axis=0)
        least = m.som * t.spot * sold + m.flat * held
        delta = np.abs(t.net(t.delta)) * t.spot
        vega = 0.01 * np.sum(np.abs(t.by_bucket(t.vega)), axis=0)
        cost = delta * m.h_delta * (1.0 + delta / m.depth_delta) + vega * m.h_vega * (1.0 + vega / m.depth_vega)
        spread, minimum = spread + between, minimum + least
        liquidity, doubt = liquidity + cost, doubt + CONFIDENCE * delta
        if options_only:
            lost, alone = t.most_lost(), np.maximum(own + between, least) + cost
            cap = cap + np.minimum(alone, lost)
            initial_cap = initial_cap + np.minimum(m.initial_factor * alone + CONFIDENCE * delta, lost)
    maintenance = np.maximum(scan + spread, minimum) + liquidity
    initial = m.initial_factor * maintenance + doubt
    if options_only:
        return np.minimum(maintenance, cap), np.minimum(initial, initial_cap)
    return maintenance, initial
