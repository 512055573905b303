"""Calibration of raw-SVI surfaces to a recorded option chain.

A chain is one moment's quotes of every listed option. Each (underlying, expiry) is fitted with raw SVI (``M-1``),

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)),    k = ln(K / F),

``w`` being total variance (implied vol squared times years of 365 days), under three static no-arbitrage rules:

* no butterfly: Durrleman's ``g(k) >= 0`` on a grid and in both tails, ``w > 0``;
* no moment explosion: wing slope ``b (1 + |rho|) <= 2`` (Lee);
* no calendar spread: at equal ``k`` the total variance of a later expiry is not below that of an earlier one, on a grid
  and, through the order of the wing slopes, in both tails.

Everything here is a pure function over arrays and frozen dataclasses; only `read_chain` touches a file.

Conventions of the recorded chains (Deribit)
--------------------------------------------
Options are written on, margined and settled in the coin, against the index at expiry; until then they are marked
against a future. The mark in coin is undiscounted Black-76 divided by the forward, ``mark = black76(F, K, iv, tau) /
F``, with ``F`` the future of the same expiry (or one interpolated by the exchange, ``SYN.``) and a year of 365 days.
Put-call parity of the marks therefore reads ``C - P = 1 - K / F``: the discount factor in coin is one, and no rate in
USD can be read from the options. The basis ``ln(F / S) / tau`` mixes that rate with the lending rate and funding of
the coin and, for short tenors, with the delay between records (-200% to +330% a year for the front expiries of
2026-02-05). Snapshots therefore state ``rate = 0``: the value of an option in USD is then its mark in coin times the
forward. `parity_discount` lets a test confirm the premise.

References
----------
.. [1] J. Gatheral, A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14(1), 2014.
.. [2] R. Lee, "The moment formula for implied volatility at extreme strikes", Mathematical Finance 14(3), 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import ceil, isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import Bounds, least_squares, minimize
from scipy.special import ndtr

Array = npt.NDArray[np.float64]

YEAR_SECONDS = 31_536_000
PRICE_DECIMALS = 9
SVI_DECIMALS = 12
MIN_STRIKES = 6
MAX_EXPIRIES = 16
SCAN_RANGE = 0.16
CONFIDENCE_FLOOR = 0.001
MIN_VOL, MAX_VOL = 0.01, 10.0
"""The clamp of M-1: a quote outside it could not be reproduced by the engine."""

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
"""Strikes from 1/3000 to 3000 times the forward; beyond, the order of the wing slopes and Lee's bound have to do."""
ARBITRAGE_TOLERANCE = 1e-9
"""Slack of the published checks, in units of g and of total variance: above the rounding of 12-decimal parameters
(an error of about 1e-12 (1 + |k|) in w), far below anything that can be traded."""

_MARGINS = (1e-6, 1e-4, 1e-3)
"""Distance the optimiser keeps from g = 0, tried in turn: it has to cover what happens between its grid and the
finer one of the checks."""
_GAP = 1e-3
"""Least rise of total variance from one expiry to the next, and of the wing slopes, in scaled units: 0.05% of a vol."""
_GOOD_ENOUGH = 1.2
"""Mean square error relative to the first, slightly inadmissible descent at which the search stops."""
_PENALTY = 300.0
"""Cost of breaking a constraint by one unit, in vol points: steers the first descent."""


class CalibrationError(ValueError):
    """A chain that cannot be read, or a surface that cannot be made free of arbitrage."""


@dataclass(frozen=True)
class Svi:
    """Raw SVI parameters of one expiry, in total variance.

    Attributes
    ----------
    a, b, rho, m, sigma : float
        ``a`` and ``b`` in total variance, ``m`` and ``sigma`` in log-moneyness, ``rho`` in (-1, 1).
    """

    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def rounded(self, decimals: int = SVI_DECIMALS) -> Svi:
        """Return the parameters as a file states them (M-0)."""
        return Svi(*(round(x, decimals) for x in (self.a, self.b, self.rho, self.m, self.sigma)))


@dataclass(frozen=True)
class SliceQuotes:
    """Quotes of one expiry, one row a strike (the out-of-the-money side), strikes ascending.

    Attributes
    ----------
    expiry, tau_seconds : int
        Unix time of expiry; seconds from the chain's ``as_of`` to it, positive.
    forward : float
        USD.
    strikes : Array
        USD, shape (n,).
    vols : Array
        Implied vol of the mark, 0.5 for 50%, shape (n,).
    bids, asks : Array
        Coin, NaN where missing, shape (n,).
    """

    expiry: int
    tau_seconds: int
    forward: float
    strikes: Array
    vols: Array
    bids: Array
    asks: Array

    @property
    def tau(self) -> float:
        """Years of 365 days."""
        return self.tau_seconds / YEAR_SECONDS

    @property
    def log_moneyness(self) -> Array:
        """``ln(K / F)``, shape (n,)."""
        return np.asarray(np.log(self.strikes / self.forward), dtype=np.float64)

    @property
    def spreads(self) -> Array:
        """Ask minus bid in coin, NaN where a side is missing or the quote is crossed, shape (n,)."""
        spread = self.asks - self.bids
        return np.where(spread > 0.0, spread, np.nan)


@dataclass(frozen=True)
class UnderlyingQuotes:
    """One underlying of a chain.

    Attributes
    ----------
    spot : float
        Median index price, USD.
    confidence : float
        Fraction of spot; see `index_confidence`.
    perp_mark : float
        USD; spot where the chain has no perpetual.
    slices : tuple of SliceQuotes
        Ascending in expiry.
    """

    spot: float
    confidence: float
    perp_mark: float
    slices: tuple[SliceQuotes, ...]


@dataclass(frozen=True)
class Chain:
    """A recorded chain.

    Attributes
    ----------
    as_of : int
        Unix seconds, the record's time rounded down.
    underlyings : Mapping of str to UnderlyingQuotes
        By coin.
    mark_error_median, mark_error_99 : float
        Absolute difference, in coin, between recorded mark and Black-76 on the recorded vol and forward.
    dropped : int
        Records without a usable vol, forward or time.
    """

    as_of: int
    underlyings: Mapping[str, UnderlyingQuotes]
    mark_error_median: float
    mark_error_99: float
    dropped: int


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


# --- SVI and its arbitrage checks -----------------------------------------------------------------------------------


def total_variance(svi: Svi, k: Array) -> Array:
    """Raw SVI total variance at log-moneyness `k` (any shape).

    Examples
    --------
    >>> float(total_variance(Svi(0.04, 0.1, 0.0, 0.0, 0.1), np.array([0.0]))[0])
    0.05
    """
    x = k - svi.m
    return np.asarray(svi.a + svi.b * (svi.rho * x + np.sqrt(x * x + svi.sigma * svi.sigma)), dtype=np.float64)


def implied_vol(svi: Svi, k: Array, tau: float) -> Array:
    """Vol of M-1 at log-moneyness `k` with tenor `tau` in years, clamp included; same shape as `k`."""
    w = np.maximum(total_variance(svi, k), 0.0)
    return np.asarray(np.clip(np.sqrt(w / tau), MIN_VOL, MAX_VOL), dtype=np.float64)


def durrleman_g(svi: Svi, k: Array) -> Array:
    """Durrleman's function; the risk-neutral density at `k` is non-negative exactly where this is.

    ``g = (1 - k w' / (2 w))^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2``. Where ``w <= 0`` the result is ``-inf``.
    """
    x = k - svi.m
    root = np.sqrt(x * x + svi.sigma * svi.sigma)
    w = svi.a + svi.b * (svi.rho * x + root)
    first = svi.b * (svi.rho + x / root)
    second = svi.b * svi.sigma * svi.sigma / root**3
    positive = w > 0.0
    safe = np.where(positive, w, 1.0)
    g = (1.0 - 0.5 * k * first / safe) ** 2 - 0.25 * first * first * (1.0 / safe + 0.25) + 0.5 * second
    return np.where(positive, g, -np.inf)


def _slopes(svi: Svi) -> Array:
    """Asymptotic slopes of total variance against |k|: left tail, right tail."""
    return np.array([svi.b * (1.0 - svi.rho), svi.b * (1.0 + svi.rho)])


def minimum_variance(svi: Svi) -> float:
    """Least total variance over all k, ``a + b sigma sqrt(1 - rho^2)``."""
    return svi.a + svi.b * svi.sigma * sqrt(1.0 - svi.rho * svi.rho)


def wing_slope(svi: Svi) -> float:
    """Steeper of the two asymptotic slopes of total variance; Lee's bound is 2."""
    return svi.b * (1.0 + abs(svi.rho))


def moneyness_grid(size: int = 401) -> Array:
    """Odd-sized grid of k over [-8, 8], shape (size,), densest at the money (hyperbolic-sine spacing)."""
    u = np.linspace(-1.0, 1.0, size)
    return np.asarray(MAX_ABS_K * np.sinh(7.0 * u) / np.sinh(7.0), dtype=np.float64)


def slice_grid(svi: Svi, size: int = 401) -> Array:
    """`moneyness_grid` joined with points around the vertex of `svi` spaced by its own width, ascending."""
    local = svi.m + svi.sigma * np.sinh(np.linspace(-5.0, 5.0, size))
    k = np.clip(np.concatenate([moneyness_grid(size), local]), -MAX_ABS_K, MAX_ABS_K)
    return np.asarray(np.unique(k), dtype=np.float64)


def calendar_violation(near: Svi, far: Svi, k: Array) -> float:
    """Most by which total variance falls from `near` to `far` over the grid `k`; 0 if it never does."""
    return max(0.0, float(np.max(total_variance(near, k) - total_variance(far, k))))


def slice_problems(svi: Svi, grid: Array | None = None, tolerance: float = ARBITRAGE_TOLERANCE) -> list[str]:
    """Reasons why one expiry admits static arbitrage; empty if none was found.

    Parameters
    ----------
    svi : Svi
        Parameters to judge.
    grid : Array, optional
        Log-moneyness to test ``g`` on; `slice_grid` with 2001 points by default.
    tolerance : float
        Slack for ``g``.
    """
    values = (svi.a, svi.b, svi.rho, svi.m, svi.sigma)
    if not all(isfinite(x) for x in values):
        return ["a parameter is not finite"]
    if svi.b < 0.0 or svi.sigma <= 0.0 or abs(svi.rho) >= 1.0:
        return ["parameters outside b >= 0, sigma > 0, |rho| < 1"]
    found: list[str] = []
    if minimum_variance(svi) <= 0.0:
        found.append(f"total variance falls to {minimum_variance(svi):.3e}")
    if wing_slope(svi) > 2.0:
        found.append(f"wing slope {wing_slope(svi):.4f} above Lee's bound of 2")
    k = slice_grid(svi, 2001) if grid is None else grid
    g = durrleman_g(svi, k)
    worst = int(np.argmin(g))
    if g[worst] < -tolerance:
        found.append(f"butterfly arbitrage, g = {g[worst]:.3e} at k = {k[worst]:.4f}")
    return found


def surface_problems(slices: Sequence[Svi], tolerance: float = ARBITRAGE_TOLERANCE) -> list[str]:
    """Reasons why a surface (expiries ascending) admits static arbitrage; empty if none was found."""
    found = [f"expiry {i}: {reason}" for i, svi in enumerate(slices) for reason in slice_problems(svi)]
    for i in range(1, len(slices)):
        near, far = slices[i - 1], slices[i]
        k = np.unique(np.concatenate([slice_grid(near, 2001), slice_grid(far, 2001)]))
        drop = calendar_violation(near, far, k)
        if drop > tolerance:
            found.append(f"expiry {i}: calendar arbitrage, total variance falls by {drop:.3e}")
        for name, rise in zip(("left", "right"), _slopes(far) - _slopes(near), strict=True):
            if rise < -tolerance:
                found.append(f"expiry {i}: calendar arbitrage in the {name} tail")
    return found


# --- Black-76 quantities needed for weights -------------------------------------------------------------------------


def black76_coin(forward: Array, strikes: Array, vols: Array, tau: Array, is_call: npt.NDArray[np.bool_]) -> Array:
    """Undiscounted Black-76 divided by the forward: the price in coin of an inverse option. Shapes broadcast."""
    v = vols * np.sqrt(tau)
    d1 = np.log(forward / strikes) / v + 0.5 * v
    call = ndtr(d1) - strikes / forward * ndtr(d1 - v)
    return np.asarray(np.where(is_call, call, call - 1.0 + strikes / forward), dtype=np.float64)


def call_delta(quotes: SliceQuotes) -> Array:
    """``N(d1)`` of each strike at its quoted vol, shape (n,)."""
    v = quotes.vols * sqrt(quotes.tau)
    return np.asarray(ndtr(-quotes.log_moneyness / v + 0.5 * v), dtype=np.float64)


def vega_coin(quotes: SliceQuotes) -> Array:
    """Vega in coin for 1.00 of vol at the quoted vol, ``phi(d1) sqrt(tau)``, shape (n,)."""
    v = quotes.vols * sqrt(quotes.tau)
    d1 = -quotes.log_moneyness / v + 0.5 * v
    return np.asarray(np.exp(-0.5 * d1 * d1) / sqrt(2.0 * np.pi) * sqrt(quotes.tau), dtype=np.float64)


def quote_weights(quotes: SliceQuotes) -> Array:
    """Weight of each vol error: vega over the capped bid-ask spread, scaled to a maximum of 1, floored; shape (n,)."""
    spreads = np.clip(np.nan_to_num(quotes.spreads, nan=SPREAD_CAP_COIN), SPREAD_FLOOR_COIN, SPREAD_CAP_COIN)
    weights = vega_coin(quotes) / spreads
    k = quotes.log_moneyness
    distance = np.abs(k) / (float(np.interp(0.0, k, quotes.vols)) * sqrt(quotes.tau))
    floor = WEIGHT_FLOOR * np.minimum(1.0, (WEIGHT_FLOOR_REACH / np.maximum(distance, WEIGHT_FLOOR_REACH)) ** 2)
    return np.asarray(np.maximum(weights / np.max(weights), floor), dtype=np.float64)


def parity_discount(strikes: Array, calls: Array, puts: Array) -> tuple[float, float]:
    """Discount factor and forward implied by put-call parity of prices in coin.

    In coin ``C - P = D (1 - K / F)``, a straight line in K.

    Parameters
    ----------
    strikes, calls, puts : Array
        Shape (n,), n >= 2; USD, coin, coin.

    Returns
    -------
    tuple of float
        ``D`` (coin) and ``F`` (USD).
    """
    if strikes.size < 2:
        raise CalibrationError("parity needs two strikes")
    slope, intercept = np.polyfit(strikes, calls - puts, 1)
    return float(intercept), float(-intercept / slope)


def index_confidence(index: Array, spot: float) -> float:
    """Oracle confidence half-width as a fraction of spot.

    Half of the 5%-95% range of the index over the records of one chain (they are not simultaneous), rounded up to 1e-4,
    and at least 0.001.
    """
    low, high = (float(x) for x in np.quantile(index, [0.05, 0.95]))
    return max(CONFIDENCE_FLOOR, ceil((high - low) / 2.0 / spot * 1e4) / 1e4)


# --- reading --------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "timestamp", "instrument_name", "currency", "option_type", "strike", "expiry_datetime",
    "bid_price", "ask_price", "mark_price", "futures_price", "implied_volatility", "index_price",
)  # fmt: skip


def load_records(path: Path) -> pd.DataFrame:
    """Load a recorded chain (CSV, gzip allowed), with ``expiry`` and ``as_of`` added in unix seconds.

    Raises
    ------
    CalibrationError
        If a column is missing or the file holds more than one moment.
    """
    frame = pd.read_csv(path)
    missing = sorted(set(_COLUMNS) - set(frame.columns))
    if missing:
        raise CalibrationError(f"{path.name}: columns missing: {', '.join(missing)}")
    if frame["timestamp"].nunique() != 1:
        raise CalibrationError(f"{path.name}: not one moment but {frame['timestamp'].nunique()}")
    epoch = pd.Timestamp("1970-01-01", tz="UTC")
    second = pd.Timedelta(seconds=1)
    frame["as_of"] = (pd.to_datetime(frame["timestamp"], utc=True) - epoch) // second
    frame["expiry"] = (pd.to_datetime(frame["expiry_datetime"], utc=True) - epoch) // second
    return frame


def read_chain(path: Path, min_strikes: int = MIN_STRIKES, max_expiries: int = MAX_EXPIRIES) -> Chain:
    """Read a recorded Deribit chain.

    Of each strike the out-of-the-money option is kept (its call and put carry one mark vol). An expiry is kept if it
    lies after the record and has at least `min_strikes` usable strikes; of more than `max_expiries` the nearest are
    kept.

    Parameters
    ----------
    path : Path
        CSV file as described in the data folder's README.
    min_strikes, max_expiries : int
        Selection limits.

    Raises
    ------
    CalibrationError
        If the file lacks a column, is empty or holds more than one moment.
    """
    records = load_records(path)
    as_of = int(records["as_of"].iloc[0])
    is_option = records["option_type"].isin(["call", "put"])
    usable = records[
        is_option
        & (records["expiry"] > as_of)
        & (records["strike"] > 0.0)
        & (records["futures_price"] > 0.0)
        & records["implied_volatility"].between(MIN_VOL, MAX_VOL)
    ]
    if usable.empty:
        raise CalibrationError(f"{path.name}: no usable record")
    model = black76_coin(
        usable["futures_price"].to_numpy(float),
        usable["strike"].to_numpy(float),
        usable["implied_volatility"].to_numpy(float),
        (usable["expiry"] - as_of).to_numpy(float) / YEAR_SECONDS,
        (usable["option_type"] == "call").to_numpy(bool),
    )
    mark_error = np.abs(model - usable["mark_price"].to_numpy(float))

    underlyings: dict[str, UnderlyingQuotes] = {}
    for coin in sorted(usable["currency"].unique(), reverse=True):
        own = usable[usable["currency"] == coin]
        index = own["index_price"].to_numpy(float)
        spot = round(float(np.median(index)), PRICE_DECIMALS)
        perpetual = records[records["instrument_name"] == f"{coin}-PERPETUAL"]["mark_price"]
        slices = [_read_slice(group, int(str(expiry)), as_of) for expiry, group in own.groupby("expiry", sort=True)]
        underlyings[str(coin)] = UnderlyingQuotes(
            spot=spot,
            confidence=index_confidence(index, spot),
            perp_mark=spot if perpetual.empty else round(float(perpetual.iloc[0]), PRICE_DECIMALS),
            slices=tuple([s for s in slices if s.strikes.size >= min_strikes][:max_expiries]),
        )
    return Chain(
        as_of=as_of,
        underlyings=underlyings,
        mark_error_median=float(np.median(mark_error)),
        mark_error_99=float(np.quantile(mark_error, 0.99)),
        dropped=len(records) - len(usable),
    )


def _read_slice(group: pd.DataFrame, expiry: int, as_of: int) -> SliceQuotes:
    forward = round(float(group["futures_price"].median()), PRICE_DECIMALS)
    otm = np.where(group["strike"] < forward, "put", "call") == group["option_type"]
    # False sorts last: where the out-of-the-money option is not recorded, the other side stands in.
    rows = group.assign(otm=otm).sort_values(["strike", "otm"], ascending=[True, False]).drop_duplicates("strike")
    return SliceQuotes(
        expiry=expiry,
        tau_seconds=expiry - as_of,
        forward=forward,
        strikes=rows["strike"].to_numpy(float),
        vols=rows["implied_volatility"].to_numpy(float),
        bids=np.where(rows["otm"], rows["bid_price"], np.nan).astype(float),
        asks=np.where(rows["otm"], rows["ask_price"], np.nan).astype(float),
    )


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
            tails = [_slopes(bound) for bound, _ in self.neighbours]
            tail_gap = np.clip(0.25 * (tails[1] - tails[0]) / self.scale, 0.0, _GAP)
        parts = [np.clip(durrleman_g(svi, k), -10.0, 10.0), np.array([2.0 - wing_slope(svi)])]
        for (bound, sign), limit in zip(self.neighbours, bounds, strict=True):
            parts += [
                sign * (w - limit) / variance - gap,
                sign * (_slopes(svi) - _slopes(bound)) / self.scale - tail_gap,
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

        result = least_squares(
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
        result = minimize(
            self.cost,
            self._inside(start),
            method="SLSQP",
            bounds=Bounds(self.lower, self.upper),
            constraints=constraint,
            options={"maxiter": 200, "ftol": 1e-9},
        )
        return np.asarray(result.x, dtype=np.float64)


# --- snapshots ------------------------------------------------------------------------------------------------------


def decimal_text(value: float, decimals: int | None = None) -> str:
    """Positional decimal (YAML 1.1 reads ``1e-05`` as a string), at most `decimals` places, at least one.

    Examples
    --------
    >>> decimal_text(1e-05), decimal_text(2000.0), decimal_text(-0.0, 12)
    ('0.00001', '2000.0', '0.0')
    """
    rounded = value if decimals is None else round(value, decimals)
    return np.format_float_positional(rounded + 0.0, unique=True, trim="0")


def render_snapshot(chain: Chain, fits: Mapping[str, Sequence[SliceFit]], source: str) -> str:
    """Write a snapshot as YAML text: the case file's ``market`` section, ``as_of``, and a header of origin and error.

    Parameters
    ----------
    chain : Chain
        What was fitted.
    fits : Mapping of str to sequence of SliceFit
        By underlying, ascending in expiry.
    source : str
        Name of the recorded file.
    """
    lines = [
        f"# Market snapshot fitted by scripts/fit_markets.py to {source} (Deribit chain, via the public",
        "# repository znmahbub/SVCJ-Deribit-Inverse-Options-Pricer). Derived figures only; do not edit by hand.",
        "#",
        "# spot: median index price. forward: median price of the future of that expiry.",
        "# perp_mark: mark of the perpetual, or spot where the chain has none.",
        "# confidence: half of the 5%-95% range of the index over the records, rounded up to 1e-4, at least 0.001.",
        "# scan_range: 0.16 for every underlying; the dynamic range (M-21, M-22) takes over once prices are fed.",
        "# rate: 0. Marks are in coin and undiscounted (parity in coin gives a discount factor of 1), so a USD rate",
        "# cannot be identified; the value in USD is the mark in coin times the forward. Year of 365 days.",
        "# Deribit's options settle against the index at expiry and are marked against the future of that expiry.",
        f"# Black-76 on recorded vol and forward meets the mark to {chain.mark_error_median:.1e} coin in the median, "
        f"{chain.mark_error_99:.1e} at 99%.",
        "# Each expiry: raw SVI, g(k) >= 0 and no calendar crossing for |k| <= 8, wing slopes in order and at most 2.",
        "#",
        "# rmse: vega-weighted, vol points; max: over call deltas of 5%-95%; inside: share of two-sided quotes met.",
        "# underlying  expiry (UTC)      days  strikes   rmse    max  inside",
    ]
    for name, slices in fits.items():
        for fit in slices:
            q = fit.quotes
            when = pd.Timestamp(q.expiry, unit="s").strftime("%Y-%m-%d %H:%M")
            lines.append(
                f"# {name:<10}  {when}  {q.tau_seconds / 86400:6.2f}  {q.strikes.size:7d}  {fit.rmse:5.2f}"
                f"  {fit.max_error:5.2f}  {100 * fit.inside_quotes:5.0f}%"
            )
    lines += [f"as_of: {chain.as_of}", "market:"]
    for name, slices in fits.items():
        own = chain.underlyings[name]
        lines += [
            f"  {name}:",
            f"    spot: {decimal_text(own.spot, PRICE_DECIMALS)}",
            f"    confidence: {decimal_text(own.confidence, 4)}",
            f"    scan_range: {decimal_text(SCAN_RANGE)}",
            f"    perp_mark: {decimal_text(own.perp_mark, PRICE_DECIMALS)}",
            "    expiries:",
        ]
        for fit in slices:
            forward = decimal_text(fit.quotes.forward, PRICE_DECIMALS)
            p = fit.svi
            svi = ", ".join(
                f"{n}: {decimal_text(getattr(p, n), SVI_DECIMALS)}" for n in ("a", "b", "rho", "m", "sigma")
            )
            lines.append(
                f"      - {{expiry: {fit.quotes.expiry}, forward: {forward}, rate: 0.0, "
                f"svi: {{{svi}, ref_tau: {decimal_text(fit.quotes.tau)}, forward: {forward}}}}}"
            )
    return "\n".join(lines) + "\n"


def snapshot_surfaces(document: Mapping[str, object]) -> dict[str, tuple[Svi, ...]]:
    """SVI parameters of a parsed snapshot, by underlying, in the order of the file."""
    surfaces: dict[str, tuple[Svi, ...]] = {}
    market = document["market"]
    if not isinstance(market, Mapping):
        raise CalibrationError("market: not a mapping")
    for name, own in market.items():
        surfaces[str(name)] = tuple(
            Svi(*(float(entry["svi"][key]) for key in ("a", "b", "rho", "m", "sigma"))) for entry in own["expiries"]
        )
    return surfaces


def snapshot_problems(document: Mapping[str, object]) -> list[str]:
    """Reasons why a parsed snapshot is not fit to ship: digits (M-0), order, tenors, arbitrage; empty if none."""
    found: list[str] = []
    as_of = document["as_of"]
    market = document["market"]
    if not isinstance(as_of, int) or not isinstance(market, Mapping):
        return ["as_of is not whole seconds, or market is not a mapping"]

    def digits(field: str, value: object, limit: int) -> None:
        if not isinstance(value, int | float) or not isfinite(value):
            found.append(f"{field}: {value!r} is not a finite number")
        else:
            exponent = Decimal(repr(value)).normalize().as_tuple().exponent
            if isinstance(exponent, int) and -exponent > limit:
                found.append(f"{field}: {value!r} has more than {limit} decimals")

    for name, own in market.items():
        for field, limit in (
            ("spot", PRICE_DECIMALS),
            ("perp_mark", PRICE_DECIMALS),
            ("confidence", 12),
            ("scan_range", 12),
        ):
            digits(f"{name}.{field}", own[field], limit)
            if not own[field] > 0:
                found.append(f"{name}.{field}: not positive")
        last = as_of
        if not 0 < len(own["expiries"]) <= MAX_EXPIRIES:
            found.append(f"{name}: {len(own['expiries'])} expiries")
        for entry in own["expiries"]:
            label, svi = f"{name}.{entry['expiry']}", entry["svi"]
            if not isinstance(entry["expiry"], int) or entry["expiry"] <= last:
                found.append(f"{label}: expiries are not ascending whole seconds after as_of")
            last = entry["expiry"]
            digits(f"{label}.forward", entry["forward"], PRICE_DECIMALS)
            digits(f"{label}.rate", entry["rate"], SVI_DECIMALS)
            digits(f"{label}.svi.forward", svi["forward"], PRICE_DECIMALS)
            for key in ("a", "b", "rho", "m", "sigma"):
                digits(f"{label}.svi.{key}", svi[key], SVI_DECIMALS)
            if not isinstance(svi["ref_tau"], float) or svi["ref_tau"] != (entry["expiry"] - as_of) / YEAR_SECONDS:
                found.append(f"{label}.svi.ref_tau: not (expiry - as_of) / year")
    if not found:
        for name, slices in snapshot_surfaces(document).items():
            found += [f"{name}: {reason}" for reason in surface_problems(slices)]
    return found
