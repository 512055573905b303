"""Dynamic margin: the volatility of spot as a time-weighted average, and the scan range that follows it (M-21, M-22).

A scan range that jumped with volatility would call for margin at the worst moment, and all at once; one that never
moved would be too small in a crash. So volatility sets a target, and the range walks to it.

References
----------
J.P. Morgan and Reuters, *RiskMetrics Technical Document*, 4th ed. 1996, chapter 5: the exponential weights, there of
days at equal distances. Murphy, Vasios and Vause, Bank of England Financial Stability Paper 29, 2014: how much margin
may follow the market.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from python_model import ramp
from python_model.normal import Floats
from python_model.ramp import Ramp

DAY = 86_400


@dataclass(frozen=True)
class Terms:
    """Parameters of the scan range; ranges are fractions of spot.

    Attributes
    ----------
    multiple : float
        `q`: scan range for each unit of daily volatility.
    halflife : float
        Seconds after which a return weighs half.
    floor, cap : float
        Of the target.
    initial : float
        Scan range before the first price; the target starts there too, within floor and cap.
    rise, fall : float
        Greatest change of the scan range a second.
    """

    multiple: float = 3.5
    halflife: float = 3.0 * DAY
    floor: float = 0.12
    cap: float = 0.40
    initial: float = 0.16
    rise: float = 0.01 / 3600
    fall: float = 0.0025 / 3600

    def __post_init__(self) -> None:
        """Refuse what has no meaning; ValueError names the field."""
        for field in fields(self):
            value = getattr(self, field.name)
            # Only the rates may be infinite: a range that follows at once.
            usable = value > 0.0 and (field.name in ("rise", "fall") or math.isfinite(value))
            if not usable:
                raise ValueError(f"{field.name}: must be a number greater than 0 (got {value})")
        if not self.floor <= self.cap <= 1.0:
            raise ValueError(f"cap: must be from the floor {self.floor} to 1 (got {self.cap})")
        if not self.floor <= self.initial <= self.cap:
            raise ValueError(f"initial: must be from floor to cap, {self.floor} to {self.cap} (got {self.initial})")


def initial_variance(terms: Terms) -> float:
    """Variance a day whose target is the initial scan range: `(initial/q)^2`."""
    return (terms.initial / terms.multiple) ** 2


def averaged(variance: float, log_return: float, seconds: float, halflife: float) -> float:
    """`v' = lambda v + (1 - lambda) r^2 86400/dt` with `lambda = 2^(-dt/halflife)` (M-21).

    Parameters
    ----------
    variance : float, a day
    log_return : float, over `seconds`
    seconds : float, greater than 0
    halflife : float, seconds

    Returns
    -------
    float, variance a day

    Examples
    --------
    A day of 4% weighs a half with a halflife of a day, two hours of 1% each about a twelfth of that:

    >>> round(averaged(0.02**2, 0.04, 86_400, 86_400), 6)
    0.001
    >>> round(averaged(averaged(0.0, 0.01, 3600, 86_400), 0.01, 3600, 86_400) / (0.0024 / 2), 3)
    0.112
    """
    kept = math.exp2(-seconds / halflife)
    return kept * variance + (1.0 - kept) * log_return**2 * DAY / seconds


def target(variance: Floats | float, terms: Terms) -> Floats:
    """Target of the scan range: `clamp(q sqrt(v), floor, cap)` (M-22).

    Parameters
    ----------
    variance : array of any shape, a day

    Returns
    -------
    array of its shape, fraction of spot

    Examples
    --------
    >>> target(np.array([0.03, 0.05, 0.20]) ** 2, Terms()).round(12).tolist()
    [0.12, 0.175, 0.4]
    """
    sigma = np.sqrt(np.asarray(variance, dtype=np.float64))
    return np.asarray(np.clip(terms.multiple * sigma, terms.floor, terms.cap), dtype=np.float64)


@dataclass(frozen=True)
class State:
    """After an accepted price: `time` in seconds, `price` in USD, `variance` a day, and the ramp of the scan range."""

    time: int
    price: float
    variance: float
    ramp: Ramp

    @staticmethod
    def first(time: int, price: float, terms: Terms) -> State:
        """At the first price, which has no return yet."""
        return State(
            time, price, initial_variance(terms), Ramp(time, terms.initial, terms.initial, terms.rise, terms.fall)
        )

    def scan_range(self, time: int) -> float:
        """Scan range at a time from the last change on."""
        return self.ramp.at(time)

    def accepted(self, time: int, price: float, terms: Terms) -> State:
        """After one more price; ValueError where it is not later than the last."""
        if time <= self.time:
            raise ValueError(f"time: must be after {self.time} (got {time})")
        variance = averaged(self.variance, math.log(price / self.price), time - self.time, terms.halflife)
        return State(time, price, variance, self.ramp.aim(time, float(target(variance, terms))))

    def changed(self, time: int, terms: Terms) -> State:
        """After a change of parameters: the target is theirs, the scan range stays where it is for the moment."""
        aimed = self.ramp.aim(time, float(target(self.variance, terms)), terms.rise, terms.fall)
        return State(self.time, self.price, self.variance, aimed)


def variance_path(times: NDArray[np.int64], prices: Floats, terms: Terms, start: float | None = None) -> Floats:
    """Variance a day after every price of a path (M-21).

    Parameters
    ----------
    times : array (n,), seconds, rising
    prices : array (n,), USD
    start : float, optional
        Variance at the first price, by default that of the initial scan range.

    Returns
    -------
    array (n,)
    """
    seconds = np.diff(times).astype(np.float64)
    if np.any(seconds <= 0.0):
        raise ValueError("times: must rise")
    kept = 2.0 ** (-seconds / terms.halflife)
    added = (1.0 - kept) * np.diff(np.log(prices)) ** 2 * DAY / seconds
    variance = initial_variance(terms) if start is None else start
    values = np.empty(prices.size)
    values[:1] = variance
    for i, (k, a) in enumerate(zip(kept.tolist(), added.tolist(), strict=True), 1):
        variance = k * variance + a
        values[i] = variance
    return values


@dataclass(frozen=True, eq=False)
class ScanRanges:
    """A path of the scan range. Arrays (n,): `times` in seconds, the others right after the price of that time.

    `sigma` is the volatility a day, `target` and `scan_range` are fractions of spot.
    """

    times: NDArray[np.int64]
    sigma: Floats
    target: Floats
    scan_range: Floats


def scan_range_path(times: NDArray[np.int64], prices: Floats, terms: Terms, start: State | None = None) -> ScanRanges:
    """The scan range at every price of a path, as if each were accepted at its time (M-21, M-22).

    Parameters
    ----------
    times : array (n,), seconds, rising
    prices : array (n,), USD; NaN where none was accepted, but not the first
    terms : Terms
    start : State, optional
        Right after the first price, by default as if there had been none before.

    Returns
    -------
    ScanRanges of n rows

    Examples
    --------
    Volatility doubles at once, the range by a point an hour:

    >>> moves = np.exp(np.array([0.0, 0.5, 0.5, 0.5]))
    >>> scan_range_path(np.arange(4) * 3600, moves, Terms()).scan_range.round(4).tolist()
    [0.16, 0.16, 0.17, 0.18]
    """
    accepted = np.isfinite(prices)
    if not accepted.all() and not (accepted.size and accepted[0]):
        raise ValueError("prices: the first must be a number")
    # An hour without a price leaves everything as it was; the range walks on.
    last = np.maximum.accumulate(np.where(accepted, np.arange(prices.size), 0))
    row = (np.cumsum(accepted) - 1)[last]
    variance = variance_path(times[accepted], prices[accepted], terms, start.variance if start else None)[row]
    aimed = target(variance, terms)
    first = start.scan_range(int(times[0])) if start else terms.initial
    values = ramp.path(times, aimed, first, terms.rise, terms.fall)
    return ScanRanges(times, np.sqrt(variance), aimed, values)
