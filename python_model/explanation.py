"""A requirement explained: what it is made of, the scenario behind it, which legs cost it, and what trades change.

Charges are attributed to legs by what each adds as the whole book is grown from nothing to its size (Aumann and
Shapley). For what grows in proportion to the book, that is `size * d(charge)/d(size)` (Euler), as in `value_at_risk`;
the liquidation cost, which grows faster, goes by shares of the net Greek that it depends on. So legs add up exactly.

References
----------
Tasche, *Allocating portfolio economic capital to sub-portfolios*, 2004. Denault, *Coherent allocation of risk capital*,
Journal of Risk 4 (2001): the Aumann-Shapley value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from python_model import exposure, scenarios
from python_model.aggregation import charges, requirement, stand_alone, tail_scan, total_scan
from python_model.case import Package
from python_model.exposure import Exposure, LegTable
from python_model.margin import equity, holdings, leg_tables, parts
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Collateral, Market, Position, unrealised
from python_model.tail import Tail
from python_model.value_at_risk import in_words, instrument_in_words, leg_losses, ordered_legs, scan_attribution

# A step that is less than this share of the requirement is rounding, and not worth a row.
NOISE = 1e-12


@dataclass(frozen=True)
class Row:
    """A row of a waterfall, USD. A `total` is the sum of the rows since the last opening, itself no part of it."""

    label: str
    amount: float
    total: bool = False


@dataclass(frozen=True)
class Share:
    """What a leg has of the maintenance margin, USD: positive costs margin, negative frees it."""

    leg: Position | Collateral
    amount: float

    @property
    def words(self) -> str:
        """The leg for people."""
        return in_words(self.leg)

    @property
    def instrument(self) -> str:
        """What it holds, the same for any size."""
        return instrument_in_words(self.leg)


@dataclass(frozen=True)
class Worst:
    """The scenario, or the `day` of a scenario set, in which a book loses most, in words, and its P&L, USD."""

    moves: str
    pnl: float
    day: str | None = None

    @property
    def words(self) -> str:
        """The moves, after the day where there is one."""
        return self.moves if self.day is None else f"{self.day}: {self.moves}"


@dataclass(frozen=True)
class Explanation:
    """What `explain` says of a book; `waterfall` in order, `legs` from what costs most to what frees most."""

    waterfall: tuple[Row, ...]
    worst: Worst
    legs: tuple[Share, ...]


# ------------------------------------------------------------------------------------------------ waterfall


@dataclass(frozen=True)
class Steps:
    """From scans to the initial margin (M-7 to M-14, M-20), USD. Each is what it adds to those before it.

    Attributes
    ----------
    scan : of each underlying alone
    credit : not positive: what is not lost together (M-8), or not on the same days
    calendar, vega_calendar, liquidity, confidence : M-9, M-10, M-12, M-13
    minimum : by how much the option minimum exceeds all before it (M-11)
    cap, initial_cap : not positive: by how much the most that can be lost is less (M-14)
    factor : `(f - 1) MM`
    """

    scan: dict[str, float] = field(default_factory=dict)
    credit: float = 0.0
    calendar: float = 0.0
    vega_calendar: float = 0.0
    minimum: float = 0.0
    liquidity: float = 0.0
    cap: float = 0.0
    factor: float = 0.0
    confidence: float = 0.0
    initial_cap: float = 0.0

    def __add__(self, other: Steps) -> Steps:
        """Step by step."""
        scan = {name: self.scan.get(name, 0.0) + other.scan.get(name, 0.0) for name in {**self.scan, **other.scan}}
        rest = {key: getattr(self, key) + getattr(other, key) for key in vars(self) if key != "scan"}
        return Steps(scan, **rest)


def steps(exposures: Mapping[str, Exposure], methodology: Methodology, tail: Tail | None = None) -> Steps:
    """The steps of `aggregation.requirement` of a portfolio."""
    rows = {name: charges(name, u, methodology, tail) for name, u in exposures.items()}
    needed = requirement(exposures, methodology, tail)
    scan = total_scan({name: u.scenario_pnl for name, u in exposures.items()}, methodology)
    scan = max(scan, tail_scan(exposures, tail))
    apart = {name: row.scan for name, row in rows.items()}
    spread = sum(row.calendar + row.vega_calendar for row in rows.values())
    minimum = sum(row.short_option for row in rows.values())
    liquidity = sum(row.liquidity for row in rows.values())
    confidence = sum(row.confidence for row in rows.values())
    return Steps(
        scan=apart,
        credit=scan - math.fsum(apart.values()),
        calendar=sum(row.calendar for row in rows.values()),
        vega_calendar=sum(row.vega_calendar for row in rows.values()),
        minimum=max(0.0, minimum - (scan + spread)),
        liquidity=liquidity,
        cap=needed.maintenance - (max(scan + spread, minimum) + liquidity),
        factor=(methodology.initial_factor - 1.0) * needed.maintenance,
        confidence=confidence,
        initial_cap=needed.initial - (methodology.initial_factor * needed.maintenance + confidence),
    )


def book_steps(
    tables: dict[str, LegTable], book: Book, methodology: Methodology, tail: Tail | None = None
) -> tuple[Steps, float, float]:
    """Steps, maintenance and initial margin of a book: sums over parts but in portfolio mode (M-17)."""
    if book.mode.has_offsets:
        portfolios = [{name: exposure.exposure(table, methodology) for name, table in tables.items()}]
    else:
        portfolios = [{name: part} for name, part in parts(tables, methodology)]
    total, maintenance, initial = Steps(), 0.0, 0.0
    for portfolio in portfolios:
        needed = requirement(portfolio, methodology, tail)
        total += steps(portfolio, methodology, tail)
        maintenance += needed.maintenance
        initial += needed.initial
    return total, maintenance, initial


def waterfall(
    book: Book, market: Market, tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None = None
) -> tuple[Row, ...]:
    """The requirement step by step, then the equity, and what of it is left: `equity - requirement`.

    Rows of nothing are left out; the rows before a total add up to it, those before it included.
    """
    s, maintenance, initial = book_steps(tables, book, methodology, tail)
    value = sum(float(table.size @ table.option_value) for table in tables.values())
    worth = [(c.amount * c.price, c.haircut_initial) for c in book.collateral]
    _, own = equity(book, market, value)
    scans = [(f"scan of {name}", amount) for name, amount in s.scan.items()]
    if methodology.initial_factor != 1.0:
        factor = [(f"initial factor, {methodology.initial_factor:g} times", s.factor)]
    else:
        factor = []
    sections = [
        (
            "maintenance margin",
            maintenance,
            [
                *scans,
                ("correlation credit", s.credit),
                ("calendar charge", s.calendar),
                ("vega calendar charge", s.vega_calendar),
                ("up to the option minimum", s.minimum),
                ("liquidation cost", s.liquidity),
                ("cap: all that can be lost", s.cap),
            ],
        ),
        (
            "initial margin",
            initial,
            [*factor, ("price confidence", s.confidence), ("cap: all that can be lost", s.initial_cap)],
        ),
        (
            "initial equity",
            own,
            [
                ("cash", book.cash),
                ("option value", value),
                ("unrealised profit", unrealised(book.positions, market)),
                ("collateral", sum(amount for amount, _ in worth)),
                ("haircuts", -sum(amount * haircut for amount, haircut in worth)),
            ],
        ),
        ("buffer", own - initial, [("less initial margin", -initial)]),
    ]
    rows: list[Row] = []
    for label, total, steps_ in sections:
        rows += [Row(name, amount) for name, amount in steps_ if abs(amount) > NOISE * max(abs(total), initial)]
        rows.append(Row(label, total, total=True))
    return tuple(rows)


# ------------------------------------------------------------------------------------------------ worst scenario


def worst(
    book: Book, market: Market, tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None
) -> Worst:
    """Where all legs together lose most: in the grid, or of a tail that asks for more, on the worst day of the set.

    In the grid, members of a correlation group move in one scenario; others are each in their own worst.
    """
    if not tables:
        return Worst("nothing is held", 0.0)
    pnls = {name: exposure.exposure(table, methodology) for name, table in tables.items()}
    grid = total_scan({name: u.scenario_pnl for name, u in pnls.items()}, methodology)
    if tail is not None and tail_scan(pnls, tail) > grid:
        legs = leg_losses(book, market, methodology, tail.moves(market, list(tables)))
        row = int(np.argmax(legs.total))
        told = legs.moves.in_words(row, list(tables), methodology)
        return Worst(told, -float(legs.total[row]), legs.moves.labels[row])
    groups = [[name for name in group.members if name in tables] for group in methodology.groups if group.credit > 0.0]
    alone = [[name] for name in tables if not any(name in members for members in groups)]
    words, pnl = [], 0.0
    for members in [*(m for m in groups if m), *alone]:
        joint = np.sum([pnls[name].scenario_pnl for name in members], axis=0)
        scenario = int(np.argmin(joint))
        if joint[scenario] < 0.0:
            ranges = {name: market.underlyings[name].scan_range for name in members}
            words += [f"{n} {scenarios.in_words(methodology, scenario, r)}" for n, r in sorted(ranges.items())]
            pnl += float(joint[scenario])
    return Worst("; ".join(words) or "no scenario loses", pnl)


# ------------------------------------------------------------------------------------------------ legs


def offset_shares(amounts: Floats, bucket: NDArray[np.int64], rate: float) -> Floats:
    """`aggregation.offset_charge` by legs: the smaller side of the buckets bears it, each leg in it by its amount.

    Parameters
    ----------
    amounts : array (legs,), USD, signed
    bucket : array (legs,)
    rate : float

    Returns
    -------
    array (legs,), USD
    """
    _, of = np.unique(bucket, return_inverse=True)
    net = np.bincount(of, weights=amounts)
    side = 1.0 if np.sum(np.maximum(net, 0.0)) <= np.sum(np.maximum(-net, 0.0)) else -1.0
    return np.asarray(np.where(side * net[of] > 0.0, rate * side * amounts, 0.0), dtype=np.float64)


def liquidity_shares(table: LegTable, methodology: Methodology) -> Floats:
    """The liquidation cost (M-12) by legs, array (legs,), USD: by shares of the net delta, and of the net vegas."""
    delta = table.size * table.delta
    _, of = np.unique(table.bucket, return_inverse=True)
    vega = 0.01 * table.size * table.vega
    vega *= np.sign(np.bincount(of, weights=vega))[of]
    total = float(np.sum(delta))
    usd, points = abs(total) * table.spot, float(np.sum(vega))
    # Both costs by a unit of what they depend on.
    of_delta = methodology.h_delta * (1.0 + usd / (table.depth * methodology.depth_delta))
    of_vega = methodology.h_vega * (1.0 + points / (table.depth * methodology.depth_vega))
    return np.asarray(of_delta * np.sign(total) * table.spot * delta + of_vega * vega, dtype=np.float64)


def most_lost_shares(table: LegTable) -> Floats:
    """The most that options can lose (M-14) by legs, array (legs,), USD: where each expiry pays least."""
    shares = np.array(table.size * table.option_value, dtype=np.float64)
    for expiry in np.unique(table.bucket):
        e = np.flatnonzero(table.bucket == expiry)
        payoffs = exposure.worst_payoffs(table.size[e], table.strike[e], table.is_call[e])
        shares[e] -= table.discount[e] * payoffs * table.size[e]
    return shares if float(np.sum(shares)) > 0.0 else np.zeros(len(table))


def _uncapped(
    book: Book, market: Market, tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None
) -> Floats:
    """Maintenance margin of a portfolio before any cap (M-13) by legs, array (legs,), USD."""
    scan = scan_attribution(book, market, methodology, tail).amounts
    spread, minimum, liquidity = [], [], []
    for table in tables.values():
        deltas = offset_shares(table.size * table.delta * table.spot, table.bucket, methodology.calendar)
        spread.append(deltas + offset_shares(table.size * table.vega_shock, table.bucket, methodology.vega_calendar))
        short = methodology.som * table.spot * np.maximum(-table.size, 0.0) + methodology.flat * np.abs(table.size)
        minimum.append(np.where(np.arange(len(table)) < table.option_count, short, 0.0))
        liquidity.append(liquidity_shares(table, methodology))
    of_scan, of_minimum = scan + np.concatenate(spread), np.concatenate(minimum)
    binding = of_scan if math.fsum(of_scan) >= math.fsum(of_minimum) else of_minimum
    return np.asarray(binding + np.concatenate(liquidity), dtype=np.float64)


def _portfolio_shares(
    book: Book, market: Market, tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None
) -> Floats:
    """Maintenance margin of a portfolio by legs, array (legs,), USD."""
    exposures = {name: exposure.exposure(table, methodology) for name, table in tables.items()}
    if steps(exposures, methodology, tail).cap == 0.0:
        return _uncapped(book, market, tables, methodology, tail)
    shares = []
    for name, u in exposures.items():
        alone, _ = stand_alone(charges(name, u, methodology, tail), methodology)
        if u.most_lost < alone:
            shares.append(most_lost_shares(tables[name]))
        else:
            own = replace(book, positions=tuple(p for p in book.positions if p.underlying == name))
            shares.append(_uncapped(own, market, {name: tables[name]}, methodology, tail))
    return np.concatenate(shares)


def leg_shares(
    book: Book, market: Market, tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None = None
) -> tuple[Share, ...]:
    """The maintenance margin by net legs and in-grid collateral, from what costs most to what frees most.

    Where there is no offset, a leg's share is its own requirement.
    """
    if not tables:
        return ()
    if book.mode.has_offsets:
        amounts = _portfolio_shares(book, market, tables, methodology, tail)
    else:
        alone = (requirement({name: part}, methodology, tail) for name, part in parts(tables, methodology))
        amounts = np.array([needed.maintenance for needed in alone])
    legs = ordered_legs(holdings(book, market))
    shares = (Share(leg, float(amount)) for leg, amount in zip(legs, amounts, strict=True))
    return tuple(sorted(shares, key=lambda share: -share.amount))


def explain(book: Book, market: Market, methodology: Methodology, tail: Tail | None = None) -> Explanation:
    """Explain the requirement of one account.

    Parameters
    ----------
    book, market, methodology, tail : as in `margin.assess`, whose figures these are

    Returns
    -------
    Explanation; ValueError and KeyError as `margin.assess`.
    """
    tables = leg_tables(book, market, methodology, tail)
    return Explanation(
        waterfall(book, market, tables, methodology, tail),
        worst(book, market, tables, methodology, tail),
        leg_shares(book, market, tables, methodology, tail),
    )


# ------------------------------------------------------------------------------------------------ what if


def cash_of(package: Package, market: Market) -> float:
    """By what trades change the cash, USD: what is said, or else what their options cost at the mark, to 1e-6."""
    if package.cash is not None:
        return package.cash
    return round(-math.fsum(p.size * exposure.mark(p, market) for p in package.positions if p.kind.is_option), 6)


def traded(book: Book, package: Package, market: Market) -> Book:
    """The book after the trades of a package."""
    cash = round(book.cash + cash_of(package, market), 6)
    return replace(book, cash=cash, positions=book.positions + package.positions)


def changes(before: Explanation, after: Explanation) -> list[tuple[str, float, float]]:
    """Instruments with their shares before and after, USD, from what costs most more to what frees most more."""
    shares: dict[str, list[float]] = {}
    for i, explanation in enumerate((before, after)):
        for share in explanation.legs:
            shares.setdefault(share.instrument, [0.0, 0.0])[i] += share.amount
    rows = [(name, old, new) for name, (old, new) in shares.items()]
    return sorted(rows, key=lambda row: row[1] - row[2])
