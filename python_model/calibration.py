"""Calibration of raw-SVI surfaces to a recorded option chain.

A chain is one moment's quotes of every listed option. Each (underlying, expiry) is fitted with raw SVI (``M-1``),

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)),    k = ln(K / F),

``w`` being total variance (implied vol squared times years of 365 days), free of static arbitrage as `surface` asks it.
Everything here is a pure function over arrays and frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import scipy

from python_model.option_chain import (
    MIN_STRIKES,
    Array,
    CalibrationError,
    SliceQuotes,
    black76_coin,
    call_delta,
    vega_coin,
)
from python_model.surface import (
    Svi,
    durrleman_g,
    minimum_variance,
    surface_problems,
    total_variance,
    wing_slope,
    wing_slopes,
)
from python_model.svi import VOL_MAX, VOL_MIN

SPREAD_FLOOR_COIN = 0.0005
"""A tighter quote is not more informative: one tick of the larger tick size."""
SPREAD_CAP_COIN = 0.01
"""A wider, one-sided or empty quote counts as this wide: the mark still carries the exchange's own view."""
WEIGHT_FLOOR = 0.02
"""Least weight of a strike relative to the heaviest: a scenario of four scan ranges brings the far wings to the money.
Beyond `WEIGHT_FLOOR_REACH` at-the-money standard deviations it falls with the square of the distance, or an expiry of a
few hours would be fitted to marks thirty deviations away."""
WEIGHT_FLOOR_REACH = 4.0

MAX_ABS_K = 8.0
"""The fit looks at strikes from 1/3000 to 3000 times the forward; beyond, slopes in order and Lee's bound do."""

_MARGINS = (1e-6, 1e-4, 1e-3)
"""Distance the optimiser keeps from g = 0, tried in turn: it has to cover what happens between the points of its grid,
which the search of `surface` finds."""
_GAP = 1e-3
"""Least rise of total variance from one expiry to the next, and of the wing slopes, in scaled units: 0.05% of a vol."""
_GOOD_ENOUGH = 1.2
"""Mean square error relative to the first, slightly inadmissible descent at which the search stops."""
_PENALTY = 300.0
"""Cost of breaking a constraint by one unit, in vol points: steers the first descent."""


@dataclass(frozen=True)
class SliceFit:
    """A fitted expiry and how well it fits.

    Attributes
    ----------
    quotes : SliceQuotes
        What was fitted.
    svi : Svi
        Parameters, rounded as published.
    rmse : float
        Vega-weighted root mean square error over all strikes, in vol points (1 = 1% vol).
    max_error : float
        Largest error in vol points over strikes whose call delta is in [5%, 95%]; NaN if there are none.
    inside_quotes : float
        Fraction of two-sided quotes within which the fitted price lies; NaN if there are none.
    """

    quotes: SliceQuotes
    svi: Svi
    rmse: float
    max_error: float
    inside_quotes: float


# --- what is fitted ---------------------------------------------------------------------------------------------------


def implied_vol(svi: Svi, k: Array, tau: float) -> Array:
    """Vol of M-1 at log-moneyness `k` with tenor `tau` in years, clamp included; same shape as `k`."""
    w = np.maximum(total_variance(svi, k), 0.0)
    return np.asarray(np.clip(np.sqrt(w / tau), VOL_MIN, VOL_MAX), dtype=np.float64)


def moneyness_grid(size: int = 401) -> Array:
    """Odd-sized grid of k over [-8, 8], shape (size,), densest at the money (hyperbolic-sine spacing)."""
    u = np.linspace(-1.0, 1.0, size)
    return np.asarray(MAX_ABS_K * np.sinh(7.0 * u) / np.sinh(7.0), dtype=np.float64)


def quote_weights(quotes: SliceQuotes) -> Array:
    """Weight of each vol error: vega over the capped bid-ask spread, scaled to a maximum of 1, floored; shape (n,)."""
    spreads = np.clip(np.nan_to_num(quotes.spreads, nan=SPREAD_CAP_COIN), SPREAD_FLOOR_COIN, SPREAD_CAP_COIN)
    weights = vega_coin(quotes) / spreads
    k = quotes.log_moneyness
    distance = np.abs(k) / (float(np.interp(0.0, k, quotes.vols)) * sqrt(quotes.tau))
    floor = WEIGHT_FLOOR * np.minimum(1.0, (WEIGHT_FLOOR_REACH / np.maximum(distance, WEIGHT_FLOOR_REACH)) ** 2)
    return np.asarray(np.maximum(weights / np.max(weights), floor), dtype=np.float64)


# --- fitting --------------------------------------------------------------------------------------------------------


def fit_slice(quotes: SliceQuotes, earlier: Svi | None = None, later: Svi | None = None) -> SliceFit:
    """Fit one expiry, free of butterfly arbitrage, nowhere below `earlier` and nowhere above `later`.

    Weighted least squares of vol errors, in units of the at-the-money standard deviation, in which raw SVI keeps its
    form: first with penalties for broken constraints, from several starts, then by sequential quadratic programming
    from the best of those and from the neighbours. The best result whose published (rounded) parameters pass every
    check is returned.

    Parameters
    ----------
    quotes : SliceQuotes
        At least `MIN_STRIKES` strikes.
    earlier, later : Svi, optional
        Fitted neighbours in expiry, themselves free of calendar arbitrage.

    Returns
    -------
    SliceFit

    Raises
    ------
    CalibrationError
        With too few strikes, or if no admissible parameters were found.
    """
    if quotes.strikes.size < MIN_STRIKES:
        raise CalibrationError(f"expiry {quotes.expiry}: {quotes.strikes.size} strikes, {MIN_STRIKES} needed")
    scale = float(np.interp(0.0, quotes.log_moneyness, quotes.vols)) * sqrt(quotes.tau)
    starts = [
        np.array([0.7, 0.3, rho, m, np.log(width)])
        for rho in (-0.4, 0.2)
        for m, width in ((0.0, 1.0), (0.0, 3.0), (-1.0, 0.4))
    ]
    problem = _Problem(quotes, scale, earlier, later)
    descents = sorted((problem.penalised(start) for start in starts), key=lambda found: found[1])
    neighbours = [_to_scaled(svi, scale) for svi in (earlier, later) if svi is not None]
    starts = [x for x, _ in descents[:3]] + neighbours
    if len(neighbours) == 2:  # halfway between two neighbours there is room to both
        starts.append(np.asarray(np.mean(neighbours, axis=0), dtype=np.float64))
    target = _GOOD_ENOUGH * problem.cost(descents[0][0])
    found: list[Array] = []
    best: Array | None = None
    for margin in _MARGINS:
        found = [problem.constrained(start, margin) for start in starts]
        # A restart forgets a poor curvature estimate, with which the walk may have stopped short.
        found += [problem.constrained(x, margin) for x in sorted(found, key=problem.cost)[:2]]
        admissible = [x for x in ([] if best is None else [best]) + found if not problem.reasons(x)]
        if admissible:
            best = min(admissible, key=problem.cost)
            if problem.cost(best) <= target:
                break
            starts += [0.5 * (best + x) for x, _ in descents[:3]]
    if best is None:
        closest = max(found, key=lambda x: float(np.min(problem.room(x))))
        raise CalibrationError(f"expiry {quotes.expiry}: {'; '.join(problem.reasons(closest))}")
    return evaluate_fit(quotes, _from_scaled(best, scale).rounded())


def fit_surface(
    slices: Sequence[SliceQuotes], on_fit: Callable[[SliceFit], None] | None = None
) -> tuple[SliceFit, ...]:
    """Fit all expiries of one underlying.

    The expiry whose strikes span the widest range of k is fitted first, then the next, each between its fitted
    neighbours: an expiry with a narrow strip of strikes says little about its wings and must not bind those that do.
    An admissible slice always exists: either neighbour itself.

    Parameters
    ----------
    slices : sequence of SliceQuotes
        Strictly ascending in expiry.
    on_fit : callable, optional
        Told of each fit as it is done (progress).

    Returns
    -------
    tuple of SliceFit
        In the order of `slices`.

    Raises
    ------
    CalibrationError
        As `fit_slice`, or if expiries are not ascending.
    """
    if any(b.expiry <= a.expiry for a, b in pairwise(slices)):
        raise CalibrationError("expiries are not ascending")
    widths = [float(np.ptp(quotes.log_moneyness)) for quotes in slices]
    done: dict[int, SliceFit] = {}
    for i in sorted(range(len(slices)), key=lambda j: (-widths[j], j)):
        before = [j for j in done if j < i]
        after = [j for j in done if j > i]
        done[i] = fit_slice(
            slices[i],
            done[max(before)].svi if before else None,
            done[min(after)].svi if after else None,
        )
        if on_fit is not None:
            on_fit(done[i])
    fits = tuple(done[i] for i in range(len(slices)))
    reasons = surface_problems([fit.svi for fit in fits])
    if reasons:
        raise CalibrationError("; ".join(reasons))
    return fits


def evaluate_fit(quotes: SliceQuotes, svi: Svi) -> SliceFit:
    """Measure how well `svi` reproduces `quotes`; see `SliceFit`."""
    fitted = implied_vol(svi, quotes.log_moneyness, quotes.tau)
    error = 100.0 * (fitted - quotes.vols)
    vega = vega_coin(quotes)
    delta = call_delta(quotes)
    body = (delta >= 0.05) & (delta <= 0.95)
    price = black76_coin(
        np.array(quotes.forward), quotes.strikes, fitted, np.array(quotes.tau), quotes.strikes >= quotes.forward
    )
    quoted = np.isfinite(quotes.spreads)
    inside = (price >= quotes.bids) & (price <= quotes.asks)
    return SliceFit(
        quotes=quotes,
        svi=svi,
        rmse=float(np.sqrt(np.sum(vega * error * error) / np.sum(vega))),
        max_error=float(np.max(np.abs(error[body]))) if body.any() else float("nan"),
        inside_quotes=float(np.mean(inside[quoted])) if quoted.any() else float("nan"),
    )


def _from_scaled(x: Array, scale: float) -> Svi:
    """Parameters from (least variance, b, rho, m, ln sigma), in units of `scale`, the at-the-money deviation."""
    low, b, rho, m, log_sigma = (float(value) for value in x)
    sigma = float(np.exp(log_sigma))
    a = low - b * sigma * sqrt(1.0 - rho * rho)
    return Svi(a * scale * scale, b * scale, rho, m * scale, sigma * scale)


def _to_scaled(svi: Svi, scale: float) -> Array:
    """Inverse of `_from_scaled`."""
    low = minimum_variance(svi) / (scale * scale)
    return np.array([low, svi.b / scale, svi.rho, svi.m / scale, np.log(svi.sigma / scale)])


class _Problem:
    """One expiry's fit in scaled parameters: errors, constraints, two solvers."""

    def __init__(self, quotes: SliceQuotes, scale: float, earlier: Svi | None, later: Svi | None) -> None:
        self.quotes, self.scale = quotes, scale
        self.k = quotes.log_moneyness
        roots = 100.0 * np.sqrt(quote_weights(quotes))
        self.roots = roots * (100.0 / float(np.linalg.norm(roots)))
        self.bend = np.sinh(np.linspace(-4.0, 4.0, 61))
        self.neighbours = [(svi, sign) for svi, sign in ((earlier, 1.0), (later, -1.0)) if svi is not None]
        parts = [moneyness_grid(121), np.linspace(-MAX_ABS_K, MAX_ABS_K, 81)] + [
            self._around(svi) for svi, _ in self.neighbours
        ]
        self.grid = np.concatenate(parts)
        self.limits = [total_variance(svi, self.grid) for svi, _ in self.neighbours]
        self.lower = np.array([1e-4, 1e-5, -0.999, -12.0, np.log(0.05)])
        self.upper = np.array([5.0, 2.0 / scale, 0.999, 12.0, np.log(100.0)])

    def _around(self, svi: Svi) -> Array:
        return np.asarray(np.clip(svi.m + svi.sigma * self.bend, -MAX_ABS_K, MAX_ABS_K), dtype=np.float64)

    def _inside(self, x: Array) -> Array:
        return np.clip(x, self.lower + 1e-9, self.upper - 1e-9)

    def errors(self, x: Array) -> Array:
        """Weighted vol errors; the squares sum to the mean square error in vol points."""
        w = np.maximum(total_variance(_from_scaled(x, self.scale), self.k), 1e-12)
        return np.asarray(self.roots * (np.sqrt(w / self.quotes.tau) - self.quotes.vols), dtype=np.float64)

    def cost(self, x: Array) -> float:
        return float(np.sum(self.errors(x) ** 2))

    def room(self, x: Array) -> Array:
        """Distance to each constraint, negative where broken, in scaled units: g and Lee's bound, then the neighbours.

        From one neighbour it is counted beyond a gap of `_GAP`, in which a later fit may find its place; between two,
        beyond a quarter of what lies between them.
        """
        svi = _from_scaled(x, self.scale)
        own = self._around(svi)
        k = np.concatenate([self.grid, own])
        w = total_variance(svi, k)
        bounds = [
            np.concatenate([limit, total_variance(bound, own)])
            for (bound, _), limit in zip(self.neighbours, self.limits, strict=True)
        ]
        variance = self.scale * self.scale
        gap = np.full(k.size, _GAP)
        tail_gap = np.full(2, _GAP)
        if len(bounds) == 2:
            gap = np.clip(0.25 * (bounds[1] - bounds[0]) / variance, 0.0, _GAP)
            tails = [wing_slopes(bound) for bound, _ in self.neighbours]
            tail_gap = np.clip(0.25 * (tails[1] - tails[0]) / self.scale, 0.0, _GAP)
        parts = [np.clip(durrleman_g(svi, k), -10.0, 10.0), np.array([2.0 - wing_slope(svi)])]
        for (bound, sign), limit in zip(self.neighbours, bounds, strict=True):
            parts += [
                sign * (w - limit) / variance - gap,
                sign * (wing_slopes(svi) - wing_slopes(bound)) / self.scale - tail_gap,
            ]
        return np.concatenate(parts)

    def reasons(self, x: Array) -> list[str]:
        """List what is wrong with the parameters as they would be published, neighbours included."""
        svi = _from_scaled(x, self.scale).rounded()
        before = [bound for bound, sign in self.neighbours if sign > 0.0]
        after = [bound for bound, sign in self.neighbours if sign < 0.0]
        return surface_problems([*before, svi, *after])

    def penalised(self, start: Array) -> tuple[Array, float]:
        """Least squares with one-sided penalties, robust but a little outside the constraints; parameters and cost."""

        def residuals(x: Array) -> Array:
            return np.concatenate([self.errors(x), _PENALTY * np.maximum(_MARGINS[1] - self.room(x), 0.0)])

        result = scipy.optimize.least_squares(
            residuals,
            self._inside(start),
            bounds=(self.lower, self.upper),
            x_scale=np.array([0.5, 0.3, 0.5, 1.0, 1.0]),
            xtol=1e-7,
            ftol=1e-7,
            gtol=1e-7,
            max_nfev=60,
        )
        return np.asarray(result.x, dtype=np.float64), float(result.cost)

    def constrained(self, start: Array, margin: float) -> Array:
        """Sequential quadratic programming from `start`, keeping `margin` from each constraint; parameters."""

        g_count = self.grid.size + self.bend.size + 1  # the gaps to the neighbours are in `room` already

        def room(x: Array) -> Array:
            distance = self.room(x)
            distance[:g_count] -= margin
            return distance

        constraint: Any = {"type": "ineq", "fun": room}
        result = scipy.optimize.minimize(
            self.cost,
            self._inside(start),
            method="SLSQP",
            bounds=scipy.optimize.Bounds(self.lower, self.upper),
            constraints=constraint,
            options={"maxiter": 200, "ftol": 1e-9},
        )
        return np.asarray(result.x, dtype=np.float64)
