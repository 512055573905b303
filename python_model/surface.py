"""Static arbitrage of raw-SVI surfaces: the rule that the contracts ask of what is published, in floats.

An expiry is judged as it stands, the total variance that remains against ``k = ln(K / F)`` of its forward now,

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)).

Of each expiry (`slice_flaw`):

* variance: ``1e-12 <= min w <= 1000``, what vols of 1% to 1000% (``M-1``) can make of a second and of ten years;
* wings: ``b (1 + |rho|) < 2``. No steeper slope is free of arbitrage [1]_, and at 2 itself the price of a call does not
  fall to nothing as its strike grows;
* butterfly: Durrleman's ``g(k) >= 0``, which is where the density of the price is not negative [2]_.

And of each pair of neighbours (`crosses`): ``w`` of the later is nowhere below ``1 - ALLOWED`` of the earlier's.

Both are sought along ``k = m + sigma sinh(u)``, where the slice itself bends: on `GRID`, and from its least value on
either side of 0 downhill, by the steps of `STEPS`. Beyond the grid a slice is straight: the last points and the slopes
decide.

References
----------
.. [1] R. Lee, "The moment formula for implied volatility at extreme strikes", Mathematical Finance 14(3), 2004.
.. [2] J. Gatheral, A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14(1), 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from itertools import pairwise
from math import cosh, isfinite, log, sqrt

import numpy as np

from python_model import svi as formula
from python_model.normal import Floats

SVI_DECIMALS = 12
LEAST_VARIANCE, GREATEST_VARIANCE = 1e-12, 1000.0
ALLOWED = 2.0**-13
"""Part of the earlier's total variance by which the later may be below it: 0.006% of a vol, which nobody quotes."""
ROUNDING = 2.0**-40
"""A unit of what is published: a slope of 2 is not undercut by rounding."""

_SIDE = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0])
GRID = np.concatenate([-_SIDE[:0:-1], _SIDE])
"""Points u, shape (19,)."""
STEPS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
HIDDEN_DIP = 0.25
"""How far g may dip between points 1 apart, with room to spare; between points half as far apart, a quarter of it."""


class Flaw(StrEnum):
    """What is wrong with a surface, as the contracts name it."""

    PARAMETERS = "parameters"
    WINGS = "wings"
    VARIANCE = "variance"
    BUTTERFLY = "butterfly"
    CALENDAR = "calendar"


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
        return Svi(*(round(x, decimals) for x in astuple(self)))

    def remaining(self, ref_tau: float, svi_forward: float, tau: float, forward: float) -> Svi:
        """Total variance that remains against ``ln(K / forward)``, with sticky strikes (M-1): raw SVI again.

        Parameters
        ----------
        ref_tau, svi_forward : float
            Years and USD at calibration.
        tau, forward : float
            Years and USD now.
        """
        part = tau / ref_tau
        return Svi(part * self.a, part * self.b, self.rho, self.m - log(forward / svi_forward), self.sigma)


def total_variance(svi: Svi, k: Floats) -> Floats:
    """Raw SVI total variance at log-moneyness `k` (any shape).

    Examples
    --------
    >>> float(total_variance(Svi(0.04, 0.1, 0.0, 0.0, 0.1), np.array([0.0]))[0])
    0.05
    """
    return formula.total_variance(k, *astuple(svi))


def durrleman_g(svi: Svi, k: Floats) -> Floats:
    """Durrleman's function; the risk-neutral density at `k` is non-negative exactly where this is.

    ``g = (1 - k w' / (2 w))^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2``. Where ``w <= 0`` the result is ``-inf``.
    """
    x = k - svi.m
    root = np.hypot(x, svi.sigma)
    w = total_variance(svi, k)
    first = svi.b * (svi.rho + x / root)
    second = svi.b * svi.sigma / root * (svi.sigma / root) / root
    positive = w > 0.0
    safe = np.where(positive, w, 1.0)
    g = (1.0 - 0.5 * k * first / safe) ** 2 - 0.25 * first * first * (1.0 / safe + 0.25) + 0.5 * second
    return np.where(positive, g, -np.inf)


def wing_slopes(svi: Svi) -> Floats:
    """Asymptotic slopes of total variance against |k|: left tail, right tail."""
    return np.array([svi.b * (1.0 - svi.rho), svi.b * (1.0 + svi.rho)])


def wing_slope(svi: Svi) -> float:
    """Steeper of the two asymptotic slopes of total variance; Lee's bound is 2."""
    return svi.b * (1.0 + abs(svi.rho))


def minimum_variance(svi: Svi) -> float:
    """Least total variance over all k, ``a + b sigma sqrt(1 - rho^2)``."""
    return svi.a + svi.b * svi.sigma * sqrt((1.0 - svi.rho) * (1.0 + svi.rho))


# --- the search -----------------------------------------------------------------------------------------------------


def _least(value: Callable[[Floats], Floats], hidden: float) -> float:
    """Least of a function of u that the search comes across.

    From the least point of `GRID` on either side downhill, each step the one that lowers the value more, if one does;
    as long as the value is below what can be hidden between points so far apart: `hidden` between points 1 apart, a
    quarter of that between points half as far apart, and so on.
    """
    values = value(GRID)
    found = float(np.min(values))
    middle = GRID.size // 2
    for side in (slice(middle, None, -1), slice(middle, None)):
        best = int(np.argmin(values[side]))
        u, least, room = float(GRID[side][best]), float(values[side][best]), hidden
        if 4.0 * least >= room:
            continue
        for step in STEPS:
            below, above = (float(x) for x in value(np.array([u - step, u + step])))
            if below < least and below <= above:
                u, least = u - step, below
            elif above < least:
                u, least = u + step, above
            room /= 4.0
            if least < 0.0 or least >= room:
                break
        found = min(found, least)
    return found


def least_g(svi: Svi) -> float:
    """Least of Durrleman's g that the search comes across."""
    return _least(lambda u: durrleman_g(svi, svi.m + svi.sigma * np.sinh(u)), HIDDEN_DIP)


def wing_dips(svi: Svi) -> bool:
    """Whether g is negative in a wing beyond the last point of `GRID`, where ``w = A + B |k|`` is straight.

    There ``16 w^2 g`` is the parabola ``(4 - B^2) w^2 + (8 A - 4 B^2) w + 4 A^2``.
    """
    for sign, slope in zip((-1.0, 1.0), wing_slopes(svi), strict=True):
        level = svi.a - sign * slope * svi.m
        w = float(total_variance(svi, np.array(svi.m + sign * svi.sigma * np.sinh(GRID[-1]))))
        lead, middle, last = 4.0 - slope * slope, 8.0 * level - 4.0 * slope * slope, 4.0 * level * level
        if (lead * w + middle) * w + last < 0.0:
            return True
        has_roots = level * (level - 4.0) + slope * slope > 0.0
        if has_roots and 2.0 * lead * w + middle < 0.0:
            return True
    return False


def least_gap(near: Svi, far: Svi) -> float:
    """Least height of the later slice over the earlier, less what is allowed for, that the search comes across.

    With z the height over the mean of the earlier's asymptotes and r that of the earlier itself, the height is
    ``(z^2 - r^2) / (2 z)``: all of ``z - r`` where it is small, never less than half, and of its sign.
    """
    low = Svi(near.a * (1.0 - ALLOWED), near.b * (1.0 - ALLOWED), near.rho, near.m, near.sigma)

    def height(u: Floats) -> Floats:
        k = far.m + far.sigma * np.sinh(u)
        z = total_variance(far, k) - low.a - low.b * low.rho * (k - low.m)
        r = low.b * np.hypot(k - low.m, low.sigma)
        positive = z > 0.0
        return np.where(positive, (z - r) * (z + r) / (2.0 * np.where(positive, z, 1.0)), np.minimum(z - r, 0.0))

    # Between points d apart the later is b sigma (cosh(d / 2) - 1) below its chord at most, the earlier below its own.
    return _least(height, far.b * far.sigma * (cosh(0.5) - 1.0))


def tails_cross(near: Svi, far: Svi) -> tuple[bool, bool]:
    """Whether the later slice is less steep than is allowed: left tail, right tail."""
    left, right = wing_slopes(far) < (1.0 - ALLOWED) * wing_slopes(near)
    return bool(left), bool(right)


# --- the rule -------------------------------------------------------------------------------------------------------


def slice_flaw(svi: Svi) -> Flaw | None:
    """What is wrong with one expiry; None if it is free of static arbitrage."""
    if not all(isfinite(x) for x in astuple(svi)) or svi.b < 0.0 or svi.sigma <= 0.0 or abs(svi.rho) >= 1.0:
        return Flaw.PARAMETERS
    if wing_slope(svi) >= 2.0 - ROUNDING:
        return Flaw.WINGS
    if not LEAST_VARIANCE <= minimum_variance(svi) <= GREATEST_VARIANCE:
        return Flaw.VARIANCE
    if least_g(svi) < 0.0 or wing_dips(svi):
        return Flaw.BUTTERFLY
    return None


def crosses(near: Svi, far: Svi) -> bool:
    """Whether total variance falls somewhere from one expiry to a later one by more than is allowed for."""
    return any(tails_cross(near, far)) or least_gap(near, far) < 0.0


def surface_flaw(slices: Sequence[Svi]) -> Flaw | None:
    """First flaw of a surface, expiries ascending; None if it is free of static arbitrage."""
    near: Svi | None = None
    for far in slices:
        flaw = slice_flaw(far)
        if flaw is not None:
            return flaw
        if near is not None and crosses(near, far):
            return Flaw.CALENDAR
        near = far
    return None


def slice_problems(svi: Svi) -> list[str]:
    """What is wrong with one expiry, in words; empty if it is free of static arbitrage."""
    flaw = slice_flaw(svi)
    if flaw is None:
        return []
    words = {
        Flaw.PARAMETERS: "parameters not finite, or outside b >= 0, sigma > 0, |rho| < 1",
        Flaw.WINGS: f"wing slope {wing_slope(svi):.4f}, not below Lee's bound of 2",
    }
    if flaw is Flaw.VARIANCE:
        return [f"total variance falls to {minimum_variance(svi):.3e}"]
    if flaw is Flaw.BUTTERFLY:
        return [f"butterfly arbitrage, g = {least_g(svi):.3e}{' and in a wing' if wing_dips(svi) else ''}"]
    return [words[flaw]]


def surface_problems(slices: Sequence[Svi]) -> list[str]:
    """What is wrong with a surface (expiries ascending), in words; empty if it is free of static arbitrage."""
    found = [f"expiry {i}: {reason}" for i, svi in enumerate(slices) for reason in slice_problems(svi)]
    if found:
        return found
    for i, (near, far) in enumerate(pairwise(slices), 1):
        found += [
            f"expiry {i}: calendar arbitrage in the {name} tail"
            for name, is_crossed in zip(("left", "right"), tails_cross(near, far), strict=True)
            if is_crossed
        ]
        gap = least_gap(near, far)
        if gap < 0.0:
            found.append(f"expiry {i}: calendar arbitrage, total variance falls by {-gap:.3e}")
    return found
