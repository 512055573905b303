"""The assessment of one account: requirements, equity, scenario P&L, Greeks, charges, by its mode (M-13 to M-20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from python_model.aggregation import Charges, Requirement, requirement
from python_model.exposure import Exposure, LegTable, exposure, leg_table
from python_model.methodology import Methodology, without_grid
from python_model.normal import Floats
from python_model.portfolio import Book, Collateral, Market, Mode, Position, net, unrealised
from python_model.tail import Moves, Tail

GREEKS = ("delta", "gamma", "vega", "theta", "rho")


@dataclass(frozen=True)
class Capital:
    """Capital that the book needs in each mode, USD (M-17)."""

    isolated: float
    cross: float
    portfolio: float


@dataclass(frozen=True)
class Assessment:
    """The result for one account; money in USD, Greeks as in M-24, per underlying of the whole book in every mode.

    `charges` are those that the requirement is made of: in isolated and cross mode, summed over the legs, each alone.
    """

    maintenance: float
    initial: float
    equity_maintenance: float
    equity_initial: float
    option_value: float
    worst_scenario: dict[str, int]
    scenario_pnl: dict[str, list[float]]
    greeks: dict[str, dict[str, float]]
    charges: dict[str, Charges]
    capital: Capital

    def to_dict(self) -> dict[str, Any]:
        """The result as plain numbers, with the fields of a result file."""
        return asdict(self)


def holdings(book: Book, market: Market) -> dict[str, tuple[list[Position], list[Collateral]]]:
    """Net legs and in-grid collateral of a book, per underlying it touches, in order of name."""
    legs = net(book.positions, market)
    claims = [c for c in book.collateral if c.underlying is not None and c.amount != 0.0]
    names = sorted({p.underlying for p in legs} | {c.underlying for c in claims if c.underlying is not None})
    return {
        name: ([p for p in legs if p.underlying == name], [c for c in claims if c.underlying == name]) for name in names
    }


def leg_tables(book: Book, market: Market, methodology: Methodology, tail: Tail | None = None) -> dict[str, LegTable]:
    """What a book holds, priced in every scenario, and in every row of a tail, per underlying in order of name.

    ValueError names an underlying for which the tail has no rows or the market no volatility.
    """
    held = holdings(book, market)
    tables = {name: leg_table(name, *own, market, methodology) for name, own in held.items()}
    if tail is None:
        return tables
    changes = moved_changes(held, market, methodology, tail.moves(market, list(held)))
    return {name: replace(table, tail_change=changes[name]) for name, table in tables.items()}


def moved_changes(
    held: Mapping[str, tuple[list[Position], list[Collateral]]], market: Market, methodology: Methodology, moves: Moves
) -> dict[str, Floats]:
    """Change of value of every leg of `holdings` in every row of joint moves, arrays (rows, legs), USD for one unit."""
    return {
        name: leg_table(name, *own, market, moves.methodology(name, methodology)).change for name, own in held.items()
    }


def equity(book: Book, market: Market, option_value: float) -> tuple[float, float]:
    """Maintenance and initial equity (M-15), USD.

    Parameters
    ----------
    book : Book
    market : Market
    option_value : float
        Of the book, USD.
    """
    base = book.cash + option_value + unrealised(book.positions, market)
    worth = [(c.amount * c.price, c) for c in book.collateral]
    maintenance = base + sum(value * (1.0 - c.haircut_maintenance) for value, c in worth)
    return maintenance, base + sum(value * (1.0 - c.haircut_initial) for value, c in worth)


def parts(tables: dict[str, LegTable], methodology: Methodology) -> Iterator[tuple[str, Exposure]]:
    """Every net leg and every in-grid collateral alone, as a portfolio of its own (M-17)."""
    for name, table in tables.items():
        for i in range(len(table)):
            yield name, exposure(table, methodology, np.array([i], dtype=np.intp))


def sum_of_parts(
    tables: dict[str, LegTable], methodology: Methodology, tail: Tail | None = None
) -> tuple[Requirement, float]:
    """The requirement without any offset, and the capital of isolated accounts (M-17); each part has a tail of its own.

    Returns
    -------
    (requirement, isolated) : `sum_i MM({i})`, `sum_i IM({i})` and charges; `sum_i max(0, IM({i}) - V_i)`, all USD
    """
    maintenance = initial = isolated = 0.0
    rows = {name: Charges() for name in tables}
    for name, part in parts(tables, methodology):
        alone = requirement({name: part}, methodology, tail)
        maintenance += alone.maintenance
        initial += alone.initial
        isolated += max(0.0, alone.initial - part.option_value)
        rows[name] += alone.charges[name]
    return Requirement(maintenance, initial, rows), isolated


def assess(book: Book, market: Market, methodology: Methodology, tail: Tail | None = None) -> Assessment:
    """Assess one account (M-1 to M-17, M-24), without roundings (M-16 binds the contract alone).

    Parameters
    ----------
    book : Book
        Positions in one instrument are netted first.
    market : Market
    methodology : Methodology
    tail : Tail, optional
        Makes the scan the larger of the grid's and of the joint expected shortfall (M-20). A methodology with terms of
        a tail must have one, and so must the modes VAR, which has no grid, and MAX.

    Returns
    -------
    Assessment

    Raises
    ------
    ValueError
        A methodology or a mode that needs a tail without one; an isolated account with more than one position; an
        underlying that the tail lacks, or without `daily_vol`.
    KeyError
        An underlying or expiry without market data.
    """
    if tail is None and (methodology.tail is not None or book.mode.has_tail):
        who = f"the methodology {methodology.name}" if methodology.tail is not None else f"mode {book.mode}"
        raise ValueError(f"tail: {who} needs a scenario set, its alpha and its horizon")
    if book.mode is Mode.VAR:
        methodology = without_grid(methodology)
    tables = leg_tables(book, market, methodology, tail)
    whole = {name: exposure(table, methodology) for name, table in tables.items()}
    joint = requirement(whole, methodology, tail)
    apart, isolated = sum_of_parts(tables, methodology, tail)
    if book.mode is Mode.ISOLATED and len(net(book.positions, market)) > 1:
        raise ValueError("an isolated account holds one position")
    chosen = joint if book.mode.has_offsets else apart
    option_value = sum(u.option_value for u in whole.values())
    equity_maintenance, equity_initial = equity(book, market, option_value)
    return Assessment(
        maintenance=chosen.maintenance,
        initial=chosen.initial,
        equity_maintenance=equity_maintenance,
        equity_initial=equity_initial,
        option_value=option_value,
        worst_scenario={name: int(np.argmin(u.scenario_pnl)) for name, u in whole.items()},
        scenario_pnl={name: u.scenario_pnl.tolist() for name, u in whole.items()},
        greeks={name: {greek: getattr(u, greek) for greek in GREEKS} for name, u in whole.items()},
        charges=chosen.charges,
        capital=Capital(
            isolated=isolated,
            cross=max(0.0, apart.initial - option_value),
            portfolio=max(0.0, joint.initial - option_value),
        ),
    )
