"""Tail engines on a chain, and their answers against the reference, figure by figure, within derived tolerances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from python_model import methodology
from python_model.margin import leg_tables
from python_model.methodology import Methodology
from python_model.portfolio import Book, Market
from scripts import chain
from tests import tolerances as t
from tests.differential import tail_reference as reference
from tests.differential.comparison import figures_tolerance, gross, linear_slope
from tests.differential.tail_reference import DAY, Rows

WAD = 10**18


@dataclass(frozen=True)
class Setting:
    """Of a tail engine: the grid, the rows, how many losses make the tail, and how far a row looks."""

    methodology: Methodology
    rows: Rows
    k: int
    horizon_seconds: int = DAY


def still() -> Methodology:
    """The house charges with a grid that moves nothing: its scan is 0, and the ES alone decides."""
    house = methodology.load("house")
    one = {"x": np.zeros(1), "y": np.zeros(1), "z": np.zeros(1), "g": np.ones(1)}
    return Methodology(**{**vars(house), **one, "name": "still"})


def deploy(
    create: Callable[..., Any], setting: Setting, names: dict[str, int], market_data: Any, kernels: tuple[Any, Any]
) -> Any:
    """A tail engine, and what it reads but market data and kernels; `create(name, *arguments)` deploys a contract."""
    kernel, tail_kernel = kernels
    data = create("Methodology", *chain.methodology_arguments(setting.methodology, names))
    rows = create("ScenarioSet", *reference.set_arguments(setting.rows, names))
    scan = create("TailScan", market_data, data, tail_kernel, rows, setting.k, setting.horizon_seconds)
    return create("TailEngine", market_data, data, kernel, scan)


def units(market_data: Any, names: dict[str, int], market: Market, setting: Setting) -> dict[str, float]:
    """Price units at the volatility that the chain has learnt."""
    return {
        name: reference.unit(market_data.dynamics(names[name]).variance / WAD, setting.horizon_seconds)
        for name in market.underlyings
    }


@dataclass
class Differences:
    """The largest error seen of each figure, as a share of its tolerance."""

    largest: dict[str, float] = field(default_factory=dict)
    books: int = 0

    def near(self, name: str, contract: float, model: float, tolerance: float) -> None:
        """Assert closeness and remember the share of the tolerance that was used."""
        error = abs(contract - model)
        self.largest[name] = max(self.largest.get(name, 0.0), error / tolerance)
        assert error <= tolerance, (
            f"{name}: contract {contract!r}, model {model!r}, off by {error:.3e} > {tolerance:.3e}"
        )

    def compare(
        self, assessment: Any, tail: Any, book: Book, market: Market, setting: Setting, price_units: dict[str, float]
    ) -> None:
        """Assert every figure of one book."""
        self.books += 1
        m = setting.methodology
        want = reference.assess(book, market, m, setting.rows, price_units, setting.k)
        tables = leg_tables(book, market, m)
        notional = chain.error_notional(book, market)
        noise = t.NOISE * sum(gross(table, market, name) for name, table in tables.items()) + t.DUST
        tolerance = t.EPSILON * notional + noise
        self.near("value_at_risk", chain.as_float(tail[0]), want.tail.value_at_risk, tolerance)
        self.near("expected_shortfall", chain.as_float(tail[1]), want.tail.expected_shortfall, tolerance)
        pnl = reference.book_profits(book, market, m, setting.rows, price_units)
        whole = sum(pnl.values(), np.zeros(len(setting.rows)))
        assert tail[2] < len(setting.rows)
        self.near("worst_row", float(whole[tail[2]]), float(np.min(whole)), 2 * tolerance)

        bound = figures_tolerance(book, market, m)
        for key in ("equity_maintenance", "equity_initial"):
            self.near(key, chain.as_float(getattr(assessment, key)), getattr(want, key), bound)
        for key, factor in (("maintenance", 1.0), ("initial", m.initial_factor)):
            got, exact = chain.as_float(getattr(assessment, key)), getattr(want, key)
            self.near(key, got, exact, bound)
            slack = factor * noise * max(1, len(tables)) * (1 + linear_slope(tables, market, m))
            assert got >= exact - slack, f"{key}: contract {got!r} below model {exact!r} (INV-06)"
