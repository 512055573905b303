"""What a book can lose, and which legs lose it: value at risk, expected shortfall and their parts (M-18 to M-20).

Every figure comes from one table, the P&L of each leg in each joint row, which is the pricing of margin itself. A risk
that grows in proportion to a book is the sum of `size * d(risk)/d(size)` over its legs (Euler). For expected shortfall
over rows that is the mean of the leg's losses in the tail's rows, for value at risk its loss in the one row, for a scan
its loss in the worst scenario: so each of them adds up exactly.

References
----------
Barone-Adesi, Giannopoulos and Vosper, *VaR without correlations for portfolios of derivative securities*, Journal of
Futures Markets 19 (1999). Tasche, *Risk contributions and performance measurement*, TU München 1999, and *Expected
shortfall and beyond*, Journal of Banking & Finance 26 (2002): the derivatives of both measures as conditional means.
Jorion, *Value at Risk*, 3rd ed. 2007, chapter 7: marginal, incremental and component value at risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from python_model import scenarios
from python_model.aggregation import total_scan, worst_loss
from python_model.exposure import LegTable
from python_model.margin import holdings, leg_tables, moved_changes
from python_model.methodology import Group, Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Collateral, Market, Position
from python_model.tail import ALPHA, Moves, Tail, expected_shortfall, tail_count, tail_rows, value_at_risk


@dataclass(frozen=True, eq=False)
class LegLosses:
    """Losses of each leg in each joint row.

    Attributes
    ----------
    moves : Moves
    legs : tuple of str, in words: `-3 ETH 2200 call 2026-03-27`
    underlyings : tuple of str (legs,)
    sizes : array (legs,), units, negative is short
    losses : array (rows, legs), USD, of the sizes; a loss is positive
    """

    moves: Moves
    legs: tuple[str, ...]
    underlyings: tuple[str, ...]
    sizes: Floats
    losses: Floats

    @property
    def total(self) -> Floats:
        """Losses (rows,) of the book, USD."""
        return np.asarray(np.sum(self.losses, axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Risk:
    """Value at risk and expected shortfall, USD, a loss is positive; `worst` is the row of the largest loss."""

    var: float
    es: float
    worst: int


@dataclass(frozen=True, eq=False)
class Parts:
    """A risk by legs; arrays (legs,).

    Attributes
    ----------
    total : float, USD
    component : USD; they add up to the total
    marginal : USD for one more unit held long: `component / size`
    incremental : USD by which the risk would fall without the leg; these do not add up
    """

    total: float
    component: Floats
    marginal: Floats
    incremental: Floats


@dataclass(frozen=True, eq=False)
class Attribution:
    """The scan of a requirement by legs: `amounts` (legs,), USD, add up to it; `scenarios` are where it comes from."""

    scan: float
    legs: tuple[str, ...]
    amounts: Floats
    scenarios: tuple[str, ...]


# ------------------------------------------------------------------------------------------------ legs


def instrument_in_words(leg: Position | Collateral) -> str:
    """What a leg holds, for people: `ETH 2200 call 2026-03-27`."""
    if isinstance(leg, Collateral):
        return f"{leg.underlying} collateral at {leg.price:.12g}"
    words = [leg.underlying]
    if leg.strike is not None:
        words.append(f"{leg.strike:.12g}")
    words.append(leg.kind.value)
    if leg.expiry is not None:
        words.append(f"{datetime.fromtimestamp(leg.expiry, UTC):%Y-%m-%d}")
    return " ".join(words)


def in_words(leg: Position | Collateral) -> str:
    """A leg for people: `-3 ETH 2200 call 2026-03-27`."""
    size = leg.amount if isinstance(leg, Collateral) else leg.size
    return f"{size:.12g} {instrument_in_words(leg)}"


def ordered_legs(held: Mapping[str, tuple[list[Position], list[Collateral]]]) -> list[Position | Collateral]:
    """The legs of `holdings` in the order of the columns of their tables: options first."""
    legs: list[Position | Collateral] = []
    for positions, claims in held.values():
        options = [p for p in positions if p.kind.is_option]
        legs += [*options, *(p for p in positions if not p.kind.is_option), *claims]
    return legs


def named_legs(held: Mapping[str, tuple[list[Position], list[Collateral]]]) -> tuple[list[str], list[str]]:
    """Words and underlyings of the legs of `holdings`, in the order of `ordered_legs`."""
    names = [name for name, own in held.items() for _ in (*own[0], *own[1])]
    return [in_words(leg) for leg in ordered_legs(held)], names


def leg_losses(book: Book, market: Market, methodology: Methodology, moves: Moves) -> LegLosses:
    """Reprice every net leg and in-grid collateral of a book in every joint row (M-6, M-18).

    Parameters
    ----------
    book : Book, in any mode: its legs are taken together
    market : Market
    methodology : Methodology
        Of it, only the powers of `h(tau)` count.
    moves : Moves
        `Tail.moves` for filtered historical simulation, `scenario_history.plain` for plain.

    Returns
    -------
    LegLosses; ValueError names an underlying that the moves lack, KeyError one or an expiry that the market does.
    """
    held = holdings(book, market)
    words, names = named_legs(held)
    if not held:
        return LegLosses(moves, (), (), np.zeros(0), np.zeros((len(moves), 0)))
    changes = moved_changes(held, market, methodology, moves)
    tables = leg_tables(book, market, methodology)
    sizes = np.concatenate([tables[name].size for name in held])
    losses = -np.concatenate([changes[name] for name in held], axis=1) * sizes
    return LegLosses(moves, tuple(words), tuple(names), sizes, losses)


# ------------------------------------------------------------------------------------------------ totals


def risk(losses: Floats, alpha: float = ALPHA) -> Risk:
    """Value at risk and expected shortfall of losses (rows,), USD (M-19)."""
    k = tail_count(alpha, losses.size)
    return Risk(float(value_at_risk(losses, k)), float(expected_shortfall(losses, k)), int(np.argmax(losses)))


def historical(book: Book, market: Market, methodology: Methodology, moves: Moves, alpha: float = ALPHA) -> Risk:
    """Historical simulation: the joint moves of the past on the book of today, repriced in full."""
    return risk(leg_losses(book, market, methodology, moves).total, alpha)


def filtered_historical(book: Book, market: Market, methodology: Methodology, tail: Tail) -> Risk:
    """Filtered historical simulation (M-18, M-19): the same, with the returns scaled to the volatility of today."""
    moves = tail.moves(market, list(holdings(book, market)))
    return historical(book, market, methodology, moves, tail.alpha)


# ------------------------------------------------------------------------------------------------ parts


def _parts(total: float, component: Floats, sizes: Floats, without: Floats) -> Parts:
    """Parts from a total, its components and the risk (legs,) of the book without each leg."""
    return Parts(total, component, component / sizes, total - without)


def shortfall_parts(legs: LegLosses, alpha: float = ALPHA) -> Parts:
    """Expected shortfall by legs: the mean of each leg's losses in the k rows of the tail.

    Parameters
    ----------
    legs : LegLosses
    alpha : float

    Returns
    -------
    Parts; where losses tie at the edge of the tail, the earlier rows count.
    """
    total, k = legs.total, tail_count(alpha, len(legs.moves))
    component = np.asarray(np.mean(legs.losses[tail_rows(total, k)], axis=0), dtype=np.float64)
    without = expected_shortfall(total[:, None] - legs.losses, k)
    return _parts(float(expected_shortfall(total, k)), component, legs.sizes, without)


def value_parts(legs: LegLosses, alpha: float = ALPHA) -> Parts:
    """Value at risk by legs: each leg's loss in the row of the k-th largest loss.

    One row is all there is to it, so that components of value at risk are as noisy as that row; those of expected
    shortfall are a mean.
    """
    total, k = legs.total, tail_count(alpha, len(legs.moves))
    component = legs.losses[tail_rows(total, k)[-1]]
    without = value_at_risk(total[:, None] - legs.losses, k)
    return _parts(float(value_at_risk(total, k)), component, legs.sizes, without)


def _share(pnl: Floats, losses: Mapping[str, Floats], weight: float) -> tuple[int, dict[str, Floats]]:
    """The worst scenario of a P&L (scenarios,), and what each leg loses in it; nothing where nothing is lost."""
    worst = int(np.argmin(pnl))
    counted = weight if worst_loss(pnl) > 0.0 else 0.0
    return worst, {name: counted * own[worst] for name, own in losses.items()}


def scan_attribution(book: Book, market: Market, methodology: Methodology, tail: Tail | None = None) -> Attribution:
    """The scan of a portfolio's requirement by legs, at the scenarios that make it (M-7, M-8, M-20).

    With a credit kappa, `1 - kappa` of each leg's loss counts in the worst scenario of its own underlying, and kappa in
    the joint worst of the group. Where a tail is the larger of the two, its components are what is attributed.

    Parameters
    ----------
    book, market, methodology : as in `margin.assess`
    tail : Tail, optional

    Returns
    -------
    Attribution; amounts add up to the scan, that of a hedge is negative
    """
    tables = leg_tables(book, market, methodology)
    losses = {name: _grid_losses(table, methodology) for name, table in tables.items()}
    pnls = {name: -np.asarray(np.sum(own, axis=1), dtype=np.float64) for name, own in losses.items()}
    scan = total_scan(pnls, methodology)
    words, _ = named_legs(holdings(book, market))
    if tail is not None and tables:
        legs = leg_losses(book, market, methodology, tail.moves(market, list(tables)))
        parts = shortfall_parts(legs, tail.alpha)
        if parts.total > scan:
            rows = tail_rows(legs.total, tail.k).tolist()
            told = tuple(f"{legs.moves.labels[n]}: {legs.moves.in_words(n, list(tables), methodology)}" for n in rows)
            return Attribution(parts.total, tuple(words), parts.component, told)
    amounts = {name: np.zeros(own.shape[1]) for name, own in losses.items()}
    told_grid = []
    alone = [Group((name,), 0.0) for name in tables if not any(name in g.members for g in methodology.groups)]
    for group in [*methodology.groups, *alone]:
        held = [name for name in group.members if name in tables]
        together = [(held, group.credit)] if group.credit > 0.0 and held else []
        for members, weight in [*(([name], 1.0 - group.credit) for name in held), *together]:
            joint = np.asarray(np.sum([pnls[name] for name in members], axis=0), dtype=np.float64)
            worst, shares = _share(joint, {name: losses[name] for name in members}, weight)
            for name, share in shares.items():
                amounts[name] += share
            if weight > 0.0:
                moves = (
                    f"{name} {scenarios.in_words(methodology, worst, market.underlyings[name].scan_range)}"
                    for name in members
                )
                told_grid.append(f"{100 * weight:.4g}%: " + "; ".join(moves))
    flat = np.concatenate([amounts[name] for name in tables]) if tables else np.zeros(0)
    return Attribution(scan, tuple(words), flat, tuple(told_grid))


def _grid_losses(table: LegTable, methodology: Methodology) -> Floats:
    """Losses (scenarios, legs) of the legs of one underlying in the grid, covered fraction included, USD."""
    return np.asarray(-methodology.g[:, None] * table.change * table.size, dtype=np.float64)
