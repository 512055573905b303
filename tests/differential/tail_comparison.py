"""Tail engines on a chain, and their answers against the float model, figure by figure, within derived tolerances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from python_model.margin import assess, leg_tables
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market
from python_model.scenario_set import ScenarioSet
from python_model.tail import Tail
from python_model.value_at_risk import leg_losses, risk
from scripts import chain
from tests import tolerances as t
from tests.differential.comparison import figures_tolerance, gross, linear_slope

WAD = 10**18
DAY = 86_400
MAX_ROWS = 256


@dataclass(frozen=True)
class Setting:
    """Of a tail engine: the grid, the rows, how many losses make the tail, and how far a row looks."""

    methodology: Methodology
    rows: ScenarioSet
    k: int
    horizon_seconds: int = DAY

    @property
    def tail(self) -> Tail:
        """As the model has it; half a loss away from where the count changes."""
        return Tail(self.rows, 1.0 - (self.k - 0.5) / len(self.rows), self.horizon_seconds / DAY)


def draw(seed: int, names: Sequence[str], count: int) -> tuple[Floats, Floats]:
    """Correlated heavy-tailed x and y, arrays (count, names)."""
    generator = np.random.default_rng(seed)
    market = generator.standard_t(4, (count, 1))
    x = np.clip(0.8 * market + 0.6 * generator.standard_t(4, (count, len(names))), -50.0, 50.0)
    y = np.clip(0.05 * generator.standard_normal(x.shape) - 0.03 * x, -0.95, 10.0)
    return x, y


def of_rows(names: Sequence[str], x: Floats, y: Floats) -> ScenarioSet:
    """A set whose rows have numbers for dates."""
    return ScenarioSet("drawn", "1", tuple(names), tuple(f"{i:03d}" for i in range(len(x))), x, y)


def in_fours(values: Sequence[int], fill: int = 0) -> list[list[int]]:
    """Values by row as the contracts pass them: four together, and as many as there may be."""
    filled = [*values, *[fill] * (MAX_ROWS - len(values))]
    return [filled[i : i + 4] for i in range(0, MAX_ROWS, 4)]


def deploy(
    create: Callable[..., Any], setting: Setting, names: dict[str, int], market_data: Any, kernels: tuple[Any, Any]
) -> Any:
    """A tail engine, and what it reads but market data and kernels; `create(name, *arguments)` deploys a contract."""
    kernel, tail_kernel = kernels
    data = create("Methodology", *chain.methodology_arguments(setting.methodology, names))
    rows = create("ScenarioSet", *chain.scenario_set_arguments(setting.rows, names))
    scan = create("TailScan", market_data, data, tail_kernel, rows, setting.k, setting.horizon_seconds)
    return create("TailEngine", market_data, data, kernel, scan)


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

    def compare(self, assessment: Any, tail: Any, book: Book, market: Market, setting: Setting) -> None:
        """Assert every figure of one book."""
        self.books += 1
        m = setting.methodology
        want = assess(book, market, m, setting.tail)
        tables = leg_tables(book, market, m)
        notional = chain.error_notional(book, market)
        noise = t.NOISE * sum(gross(table, market, name) for name, table in tables.items()) + t.DUST
        tolerance = t.EPSILON * notional + noise
        losses = leg_losses(book, market, m, setting.tail.moves(market, list(tables))).total
        figures = risk(losses, setting.tail.alpha)
        self.near("value_at_risk", chain.as_float(tail[0]), figures.var, tolerance)
        self.near("expected_shortfall", chain.as_float(tail[1]), figures.es, tolerance)
        assert tail[2] < len(setting.rows)
        self.near("worst_row", float(losses[tail[2]]), float(losses[figures.worst]), 2 * tolerance)

        bound = figures_tolerance(book, market, m)
        for key in ("equity_maintenance", "equity_initial"):
            self.near(key, chain.as_float(getattr(assessment, key)), getattr(want, key), bound)
        for key, factor in (("maintenance", 1.0), ("initial", m.initial_factor)):
            got, exact = chain.as_float(getattr(assessment, key)), getattr(want, key)
            self.near(key, got, exact, bound)
            slack = factor * noise * max(1, len(tables)) * (1 + linear_slope(tables, market, m))
            assert got >= exact - slack, f"{key}: contract {got!r} below model {exact!r} (INV-06)"
