"""What a scan range would have been worth in the past: how often a day went beyond it, what it cost, how it rose.

A margin model is judged by three things that pull apart. Coverage: how often, and how far, prices of the next day left
the range. Cost: how wide the range was on average. Procyclicality: by how much it rose while a market fell, for
that is called from people when they have least.

References
----------
Kupiec, *Techniques for Verifying the Accuracy of Risk Measurement Models*, Journal of Derivatives 3 (1995): the
likelihood ratio of a share of failures. Murphy, Vasios and Vause, Bank of England Financial Stability Paper 29, 2014:
the largest rise within n days, and peak over trough, as measures of procyclicality.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from python_model import books
from python_model.history import HOUR, Series
from python_model.margin import assess
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Book, Expiry, Kind, Market, Position, Underlying
from python_model.volatility import DAY, Terms, scan_range_path

HOURS = 24
WEEK = 7 * HOURS
# Of a week around a fall: so many hours before the fall begins.
LEAD = 3 * HOURS


# ------------------------------------------------------------------------------------------------ moves


def closing_moves(series: Series, hours: int = HOURS) -> Floats:
    """`|S(t+24h)/S(t) - 1|` from close to close.

    Returns
    -------
    array (n,), NaN where one of the two prices is missing or not yet known
    """
    result = np.full(series.close.size, np.nan)
    result[:-hours] = np.abs(series.close[hours:] / series.close[:-hours] - 1.0)
    return result


def worst_moves(series: Series, hours: int = HOURS) -> Floats:
    """The worst excursion within the next hours: the largest of `|H/S(t) - 1|` and `|L/S(t) - 1|`.

    Returns
    -------
    array (n,), NaN where the first price or all of the hours are missing, or not all are past yet
    """
    result = np.full(series.close.size, np.nan)
    high = sliding_window_view(np.where(np.isfinite(series.high), series.high, -np.inf)[1:], hours).max(axis=1)
    low = sliding_window_view(np.where(np.isfinite(series.low), series.low, np.inf)[1:], hours).min(axis=1)
    start = series.close[:-hours]
    worst = np.maximum(np.abs(high / start - 1.0), np.abs(low / start - 1.0))
    result[:-hours] = np.where(np.isfinite(worst), worst, np.nan)
    return result


# ------------------------------------------------------------------------------------------------ coverage


@dataclass(frozen=True)
class Coverage:
    """How moves compare with a range.

    Attributes
    ----------
    observed, exceeded : int
        Hours whose next day is known, and those of them whose move was beyond the range.
    beyond, furthest : float
        Mean and largest excess of the move over the range in these hours, fractions of spot.
    runs : int
        Groups of such hours with at least a day between them: about the number of events.
    interval : (float, float)
        For the probability of a day beyond the range, 95%, as if each day were independent of the others.
    """

    observed: int
    exceeded: int
    beyond: float
    furthest: float
    runs: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """Of the hours observed, those that went beyond."""
        return self.exceeded / self.observed

    @property
    def days(self) -> float:
        """The number of days that do not overlap."""
        return self.observed / HOURS


def likelihood_interval(failures: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """The probabilities that Kupiec's likelihood ratio does not reject, given so many failures.

    Parameters
    ----------
    failures, trials : float
        Need not be whole: means over the 24 ways to cut hours into days.

    Returns
    -------
    (low, high)

    Examples
    --------
    None in a hundred is no proof of none at all:

    >>> [round(p, 4) for p in likelihood_interval(0, 100)]
    [0.0, 0.019]
    """
    share = failures / trials

    def likelihood(p: float) -> float:
        hits = failures * math.log(p) if failures > 0.0 else 0.0
        return hits + ((trials - failures) * math.log1p(-p) if failures < trials else 0.0)

    limit = float(scipy.stats.chi2.ppf(confidence, 1))
    # The likelihood of a share of nothing, or of all, is 1.
    best = likelihood(share) if 0.0 < share < 1.0 else 0.0

    def ratio(p: float) -> float:
        return 2.0 * (best - likelihood(p)) - limit

    # Where not even the ends are rejected, they bound the interval.
    least, most = 1e-15, 1.0 - 1e-15
    low = float(scipy.optimize.brentq(ratio, least, share)) if share > least and ratio(least) > 0.0 else 0.0
    high = float(scipy.optimize.brentq(ratio, max(share, least), most)) if share < most and ratio(most) > 0.0 else 1.0
    return low, high


def runs(hours: NDArray[np.bool_], apart: int = HOURS) -> int:
    """Groups of true hours, of which neighbours are `apart` hours or less from one another."""
    at = np.flatnonzero(hours)
    return int(at.size > 0) + int(np.sum(np.diff(at) > apart))


def coverage(moves: Floats, scan_range: Floats | float) -> Coverage:
    """Compare moves with the range at their beginning.

    Parameters
    ----------
    moves : array (n,), fractions, NaN where not known
    scan_range : array (n,) or float

    Returns
    -------
    Coverage; ValueError where no move is known.
    """
    known = np.isfinite(moves)
    observed = int(np.sum(known))
    if observed == 0:
        raise ValueError("moves: none is known")
    excess = np.where(known, moves - scan_range, -np.inf)
    over = excess > 0.0
    exceeded = int(np.sum(over))
    return Coverage(
        observed=observed,
        exceeded=exceeded,
        beyond=float(np.mean(excess[over])) if exceeded else 0.0,
        furthest=float(np.max(excess[over])) if exceeded else 0.0,
        runs=runs(over),
        interval=likelihood_interval(exceeded / HOURS, observed / HOURS),
    )


# ------------------------------------------------------------------------------------------------ rises


@dataclass(frozen=True)
class Rise:
    """The largest rise of a number within some hours: from `low` to `high`, which it was at index `at`."""

    low: float
    high: float
    at: int

    @property
    def points(self) -> float:
        """The difference."""
        return self.high - self.low

    @property
    def ratio(self) -> float:
        """The later over the earlier."""
        return self.high / self.low


def largest_rise(values: Floats, hours: int = HOURS, relative: bool = False) -> Rise:
    """The largest rise over exactly `hours`, by difference or by ratio; the first of equals."""
    before, after = values[:-hours], values[hours:]
    first = int(np.argmax(after / before if relative else after - before))
    return Rise(float(before[first]), float(after[first]), first + hours)


@dataclass(frozen=True)
class Standard:
    """A book on a market of its own, in which nothing but the scan range moves."""

    name: str
    market: Market
    book: Book

    def initial(self, methodology: Methodology, scan_range: float) -> float:
        """Initial margin at a scan range, USD."""
        u = self.market.underlyings["ETH"]
        moved = Underlying(u.spot, u.confidence, scan_range, u.perp_mark, u.expiries)
        return assess(self.book, Market(self.market.as_of, {"ETH": moved}), methodology).initial


def standard_books(vol: float = 0.7, days: int = 30) -> tuple[Standard, ...]:
    """Well-known books of ten units, all strikes at one vol: what a rise of the range costs those who sell risk."""
    tau, spot, expiry = days * DAY / SECONDS_PER_YEAR, 2000.0, days * DAY
    flat = SVI(vol**2 * tau, 0.0, 0.0, 0.0, 1.0, tau, spot)
    market = Market(0, {"ETH": Underlying(spot, 0.0, 0.16, spot, (Expiry(expiry, spot, 0.0, flat),))})

    def sold(kind: Kind, multiple: float) -> Position:
        return Position("ETH", kind, -10.0, expiry, spot * multiple)

    straddle = (sold(Kind.CALL, 1.0), sold(Kind.PUT, 1.0))
    hedge = Position("ETH", Kind.PERP, -round(books.delta(straddle, "ETH", market), 6))
    rows = {
        "long perpetual": (Position("ETH", Kind.PERP, 10.0),),
        f"short {days}-day straddle, hedged": (*straddle, hedge),
        f"short {days}-day 10% strangle": (sold(Kind.PUT, 0.9), sold(Kind.CALL, 1.1)),
    }
    return tuple(Standard(name, market, books.book(*positions)) for name, positions in rows.items())


def initial_path(standard: Standard, methodology: Methodology, scan_range: Floats, step: float = 0.001) -> Floats:
    """Initial margin of a book along a path of the scan range, USD, read off a line between ranges `step` apart.

    Parameters
    ----------
    scan_range : array (n,)

    Returns
    -------
    array (n,)
    """
    first = math.floor(float(np.min(scan_range)) / step)
    count = math.ceil(float(np.max(scan_range)) / step) - first + 1
    ranges = step * (first + np.arange(count))
    needs = [standard.initial(methodology, float(r)) for r in ranges]
    return np.asarray(np.interp(scan_range, ranges, needs), dtype=np.float64)


# ------------------------------------------------------------------------------------------------ worst weeks


@dataclass(frozen=True)
class Fall:
    """A week around a large fall: indices of its first hour, of the fall's, and of the hour after its last."""

    start: int
    at: int
    stop: int
    move: float


def worst_weeks(series: Series, count: int = 5) -> tuple[Fall, ...]:
    """The weeks around the largest falls from close to close in 24 hours, worst first; no two overlap."""
    change = np.full(series.close.size, np.nan)
    change[:-HOURS] = series.close[HOURS:] / series.close[:-HOURS] - 1.0
    found: list[Fall] = []
    for at in np.argsort(change).tolist():
        if len(found) == count or not math.isfinite(change[at]):
            break
        if all(abs(at - other.at) >= WEEK for other in found):
            stop = min(at - LEAD + WEEK, series.close.size)
            found.append(Fall(max(at - LEAD, 0), at, stop, float(change[at])))
    return tuple(found)


# ------------------------------------------------------------------------------------------------ one setting


@dataclass(frozen=True)
class Verdict:
    """One setting over one series: coverage by close and by worst excursion, cost, procyclicality.

    Attributes
    ----------
    closing, worst : Coverage
    mean : float
        Of the scan range: what it costs.
    rise, ratio : Rise
        The largest of the scan range within 24 hours, by difference and by ratio.
    peak_over_trough : float
        Largest over least scan range.
    """

    closing: Coverage
    worst: Coverage
    mean: float
    rise: Rise
    ratio: Rise
    peak_over_trough: float


def judge(series: Series, scan_range: Floats) -> Verdict:
    """Judge a path of the scan range (n,) by the moves that followed."""
    return Verdict(
        closing=coverage(closing_moves(series), scan_range),
        worst=coverage(worst_moves(series), scan_range),
        mean=float(np.mean(scan_range)),
        rise=largest_rise(scan_range),
        ratio=largest_rise(scan_range, relative=True),
        peak_over_trough=float(np.max(scan_range) / np.min(scan_range)),
    )


def held(series: Series, terms: Terms) -> Floats:
    """The scan range (n,) at every hour, fed with the closes."""
    return scan_range_path(series.times, series.close, terms).scan_range


def constant(series: Series, scan_range: float) -> Floats:
    """A scan range (n,) that never moves."""
    return np.full(series.close.size, scan_range)


def equally_wide(moves: Floats, share: float) -> float:
    """The constant range beyond which the same share of moves goes."""
    return float(np.quantile(moves[np.isfinite(moves)], 1.0 - share))


# ------------------------------------------------------------------------------------------------ many settings

MULTIPLES = (2.5, 3.0, 3.5, 4.0, 5.0)
HALFLIVES = tuple(days * float(DAY) for days in (1, 3, 7))
FLOORS = (0.08, 0.12, 0.16)
CAPS = (0.30, 0.40, 0.60)
# A second, of points an hour.
RISES = tuple(points / 100 / HOUR for points in (0.25, 0.5, 2.0, math.inf))
FALLS = tuple(points / 100 / HOUR for points in (0.0625, 1.0))


def adapted(terms: Terms, **changes: float) -> Terms:
    """Other terms; the initial range goes along with floor and cap where it must."""
    floor, cap = changes.get("floor", terms.floor), changes.get("cap", terms.cap)
    return replace(terms, initial=min(max(terms.initial, floor), cap), **changes)


def variations(terms: Terms) -> Iterator[tuple[str, float, Terms]]:
    """Terms that differ in one parameter: its name and value, and the terms."""
    values = {
        "multiple": MULTIPLES,
        "halflife": HALFLIVES,
        "floor": FLOORS,
        "cap": CAPS,
        "rise": RISES,
        "fall": FALLS,
    }
    for name, row in values.items():
        for value in row:
            if value != getattr(terms, name):
                yield name, value, adapted(terms, **{name: value})


def all_settings(terms: Terms) -> tuple[Terms, ...]:
    """Every combination of multiple, half-life, floor and cap."""
    names = ("multiple", "halflife", "floor", "cap")
    grid = product(MULTIPLES, HALFLIVES, FLOORS, CAPS)
    return tuple(adapted(terms, **dict(zip(names, row, strict=True))) for row in grid)


def better(verdicts: Sequence[Sequence[Verdict]], than: Sequence[Verdict]) -> tuple[int, ...]:
    """Which settings go beyond less often by worst excursion at no higher mean range, both averaged over the series.

    Parameters
    ----------
    verdicts : sequence (settings,) of sequences (series,)
    than : sequence (series,)
    """

    def figures(row: Sequence[Verdict]) -> tuple[float, float]:
        return float(np.mean([v.worst.share for v in row])), float(np.mean([v.mean for v in row]))

    share, mean = figures(than)
    pairs = [figures(row) for row in verdicts]
    return tuple(i for i, (s, m) in enumerate(pairs) if s < share and m <= mean)
