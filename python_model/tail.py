"""The tail of a loss: value at risk and expected shortfall over joint moves of the market (M-18, M-19).

A loss is positive, a P&L of a gain is. With `k = ceil((1 - alpha) N)` of N losses, value at risk is the k-th largest,
expected shortfall the mean of the k largest; neither is floored here, only where it is a requirement (M-20).

References
----------
Jorion, *Value at Risk*, 3rd ed. 2007, chapters 5 and 12. Acerbi and Tasche, *On the coherence of expected shortfall*,
Journal of Banking & Finance 26 (2002): the mean of the k largest is coherent, the k-th largest is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from python_model import scenarios
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Market
from python_model.scenario_set import ScenarioSet

# A price rises at most to so many times itself: for more, the bound of M-16 is not proven.
PRICE_CAP = 5.0
ALPHA = 0.99


def tail_count(alpha: float, rows: int) -> int:
    """`k = ceil((1 - alpha) N)` (M-19), with alpha as the decimal that it is written as.

    ValueError names alpha where it is not between 0 and 1.

    Examples
    --------
    In floats (1 - 0.99) 100 is more than 1:

    >>> tail_count(0.99, 250), tail_count(0.99, 100), tail_count(0.975, 250)
    (3, 1, 7)
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must be between 0 and 1 (got {alpha})")
    return math.ceil((1 - Decimal(repr(float(alpha)))) * rows)


def value_at_risk(losses: Floats, k: int) -> Floats:
    """The k-th largest loss (M-19).

    Parameters
    ----------
    losses : array (rows, ...), USD
    k : int, 1 to rows

    Returns
    -------
    array (...), USD
    """
    rows = losses.shape[0]
    return np.asarray(np.partition(losses, rows - k, axis=0)[rows - k], dtype=np.float64)


def expected_shortfall(losses: Floats, k: int) -> Floats:
    """The mean of the k largest losses (M-19).

    Parameters
    ----------
    losses : array (rows, ...), USD
    k : int, 1 to rows

    Returns
    -------
    array (...), USD
    """
    rows = losses.shape[0]
    return np.asarray(np.mean(np.partition(losses, rows - k, axis=0)[rows - k :], axis=0), dtype=np.float64)


def tail_rows(losses: Floats, k: int) -> NDArray[np.intp]:
    """The rows (k,) of the k largest losses, the largest first; of equal ones the earlier first."""
    return np.argsort(-losses, kind="stable")[:k]


def ore(losses: Floats, q: float) -> tuple[float, float]:
    """Value at risk and expected shortfall by the convention of ORE's historical simulation, for comparison.

    Losses sorted from the largest: element `floor(n q)`, counted from 0, and the mean of the first `floor(n q) + 1`.
    It is M-19 but where `n q` is whole: there ORE goes one further into the middle.

    Parameters
    ----------
    losses : array (n,), USD
    q : float
        Share of the tail, `1 - alpha`, in [0, 1).

    Returns
    -------
    (var, es) : float, USD

    References
    ----------
    Open Source Risk Engine, user guide, historical simulation VaR.
    """
    if not 0.0 <= q < 1.0:
        raise ValueError(f"q: must be from 0 to below 1 (got {q})")
    count = math.floor(Decimal(repr(float(q))) * losses.size) + 1
    return float(value_at_risk(losses, count)), float(expected_shortfall(losses, count))


def tail_loss(pnl: Floats, k: int) -> float:
    """`T = max(0, ES)` (M-20): the tail as a requirement, from P&L (rows,), USD."""
    return max(0.0, float(expected_shortfall(-pnl, k)))


@dataclass(frozen=True, eq=False)
class Moves:
    """Joint moves of the market, whatever they come from. ValueError names what does not fit.

    Attributes
    ----------
    underlyings : tuple of str
    labels : sequence of str (rows,)
    price : array (rows, underlyings), relative; held to -95% to +400% (M-4)
    vol : array (rows, underlyings), relative move of a vol of 30 days (M-5 for other tenors)
    """

    underlyings: tuple[str, ...]
    labels: Sequence[str]
    price: Floats
    vol: Floats

    def __post_init__(self) -> None:
        """Check the shapes and clamp the prices."""
        shape = (len(self.labels), len(self.underlyings))
        for field in ("price", "vol"):
            if getattr(self, field).shape != shape:
                raise ValueError(f"{field}: must be of shape {shape} (got {getattr(self, field).shape})")
            if not np.isfinite(getattr(self, field)).all():
                raise ValueError(f"{field}: must be numbers")
        clamped = np.clip(self.price, scenarios.PRICE_FLOOR - 1.0, PRICE_CAP - 1.0)
        object.__setattr__(self, "price", clamped)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def methodology(self, name: str, base: Methodology) -> Methodology:
        """The rows of one underlying as scenarios: their own price and vol moves in the place of the base's grid.

        Of the base, only the powers of `h(tau)` count; no tilt, no least vol for a rise, nothing covered (M-18).
        ValueError names an underlying that the rows lack.
        """
        if name not in self.underlyings:
            raise ValueError(f"{name}: the scenario set has no rows of it (has: {', '.join(self.underlyings)})")
        column = self.underlyings.index(name)
        return replace(
            base,
            x=self.price[:, column],
            y=self.vol[:, column],
            z=np.zeros(len(self)),
            g=np.ones(len(self)),
            scan_range=1.0,
            vol_up=1.0,
            vol_down=1.0,
            vol_floor_up=0.0,
            tilt=0.0,
        )

    def in_words(self, row: int, names: Sequence[str], base: Methodology) -> str:
        """A row for people, without its label: `ETH -40%, vol +50%; BTC ...`, vols those of 30 days."""
        return "; ".join(f"{name} {scenarios.in_words(self.methodology(name, base), row, 1.0)}" for name in names)


@dataclass(frozen=True)
class Tail:
    """The tail of a requirement (M-18 to M-20): a scenario set, `alpha`, and the horizon in days.

    The price unit of an underlying is its volatility a day, `Underlying.daily_vol`, by the root of the horizon.
    """

    scenarios: ScenarioSet
    alpha: float = ALPHA
    horizon: float = 1.0

    def __post_init__(self) -> None:
        """ValueError names what has no meaning."""
        tail_count(self.alpha, len(self.scenarios))
        if not (math.isfinite(self.horizon) and self.horizon > 0.0):
            raise ValueError(f"horizon: must be a number of days greater than 0 (got {self.horizon})")

    @property
    def k(self) -> int:
        """How many rows the tail has (M-19)."""
        return tail_count(self.alpha, len(self.scenarios))

    def moves(self, market: Market, names: Sequence[str]) -> Moves:
        """The rows at today's volatility, of some underlyings: filtered historical simulation (M-18).

        Raises
        ------
        ValueError
            Names an underlying that the set lacks, or whose volatility the market does not have.
        """
        units, columns = [], []
        for name in names:
            if name not in self.scenarios.underlyings:
                known = ", ".join(self.scenarios.underlyings)
                raise ValueError(f"{name}: the scenario set {self.scenarios.name} has no rows of it (has: {known})")
            sigma = market.underlyings[name].daily_vol
            if sigma is None or not (math.isfinite(sigma) and sigma >= 0.0):
                raise ValueError(f"{name}.daily_vol: a tail needs the volatility a day (got {sigma})")
            columns.append(self.scenarios.underlyings.index(name))
            units.append(sigma * math.sqrt(self.horizon))
        x, y = self.scenarios.x[:, columns], self.scenarios.y[:, columns]
        return Moves(tuple(names), self.scenarios.dates, x * np.array(units), y)
