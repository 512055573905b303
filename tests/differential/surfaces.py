"""Surfaces for the tests of the arbitrage checks: random ones near every edge, and those of real markets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import yaml

from python_model import surface
from python_model.surface import Flaw, Svi
from tests.unit.market_data.updates import Expiry, Surface

NOW = 1_790_000_000
YEAR = 365 * 86_400
DAY = 86_400
ONE = 10**12
MAX_SVI, MAX_TENOR, MIN_PRICE, MAX_PRICE = 100 * ONE, 10 * YEAR, 10**3, 10**17
MARKETS = sorted((Path(__file__).resolve().parents[2] / "python_model" / "markets").glob("*.yaml"))

# What `surface.flaw` answers.
CODES: dict[Flaw | None, int] = {
    None: 0,
    Flaw.PARAMETERS: 1,
    Flaw.WINGS: 2,
    Flaw.VARIANCE: 3,
    Flaw.BUTTERFLY: 4,
}


def update(
    svi: Svi, days: float = 30, ref_days: float | None = None, forward: float = 2000, ref_forward: float = 0
) -> Expiry:
    """An expiry some days after `NOW`, published of this moment and forward unless said otherwise."""
    seconds = round(days * DAY)
    numbers = [round(x * ONE) for x in (svi.a, svi.b, svi.rho, svi.m, svi.sigma)]
    ref_seconds = seconds if ref_days is None else round(ref_days * DAY)
    return Expiry(
        NOW + seconds,
        round(forward * 10**9),
        0,
        Surface(*numbers, ref_seconds, round((ref_forward or forward) * 10**9)),
    )


def model(row: Expiry, now: int = NOW) -> Svi:
    """What the model makes of an expiry: what remains of it."""
    s = row.surface
    svi = Svi(*(number / ONE for number in s[:5]))
    return svi.remaining(s.ref_seconds / YEAR, s.forward / 10**9, (row.expiry - now) / YEAR, row.forward / 10**9)


def real() -> dict[str, tuple[int, list[Expiry]]]:
    """Time and expiries of each underlying of each snapshot."""
    found = {}
    for path in MARKETS:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        as_of = document["as_of"]
        for name, own in document["market"].items():
            rows = []
            for entry in own["expiries"]:
                svi = entry["svi"]
                numbers = [round(svi[key] * ONE) for key in ("a", "b", "rho", "m", "sigma")]
                ref = Surface(*numbers, round(svi["ref_tau"] * YEAR), round(svi["forward"] * 10**9))
                rows.append(Expiry(entry["expiry"], round(entry["forward"] * 10**9), 0, ref))
            found[f"{path.stem} {name}"] = (as_of, rows)
    return found


# --- ties ------------------------------------------------------------------------------------------------------------

NUDGE = 1e-11
"""Part of its terms by which w is moved to see whether rounding decides. A float errs by 1e-16 of them an operation,
and they reach 200 times `_scale` at the ends of the grid: with a few dozen operations, 1e-12."""


def _scale(svi: Svi) -> float:
    return abs(svi.a) + svi.b * (abs(svi.m) + svi.sigma)


def _nudged(svi: Svi) -> Iterator[Svi]:
    for sign in (-1, 1):
        yield replace(svi, a=svi.a + sign * NUDGE * _scale(svi))
        yield replace(svi, b=svi.b * (1 + sign * NUDGE))
        yield replace(svi, m=svi.m + sign * NUDGE * (abs(svi.m) + svi.sigma))


def is_tie(svi: Svi) -> bool:
    """Whether a slice is judged otherwise within the error of floats."""
    flaw = surface.slice_flaw(svi)
    return any(surface.slice_flaw(other) is not flaw for other in _nudged(svi))


def is_pair_tie(near: Svi, far: Svi) -> bool:
    """Whether a pair is judged otherwise within the error of floats."""
    is_crossed = surface.crosses(near, far)
    lift = NUDGE * (_scale(near) + _scale(far))
    others = [replace(far, a=far.a + lift), replace(far, a=far.a - lift), *_nudged(far)]
    return any(surface.crosses(near, other) is not is_crossed for other in others)


# --- random ----------------------------------------------------------------------------------------------------------


def _loguniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(10 ** rng.uniform(np.log10(low), np.log10(high)))


def quoted(rng: np.random.Generator) -> Svi:
    """A slice such as markets have, its minimum at any height: the lower, the likelier a butterfly."""
    b = _loguniform(rng, 1e-3, 1.9)
    rho = float(rng.uniform(-0.97, 0.97) if rng.random() < 0.8 else np.tanh(rng.uniform(-5, 5)))
    b /= 1 + abs(rho) if rng.random() < 0.85 else 0.4
    sigma = _loguniform(rng, 1e-3, 5)
    m = float(rng.normal()) * sigma * _loguniform(rng, 1e-2, 2)
    # Where w is small, g turns negative when the minimum falls to somewhere about b**2.
    least = _loguniform(rng, 1e-2, 1e2) * b * b * (1 - rho * rho)
    if rng.random() < 0.1:
        least = -least
    return Svi(least - b * sigma * sqrt(1 - rho * rho), b, rho, m, sigma)


def extreme(rng: np.random.Generator) -> Surface:
    """Whatever `MarketData` admits, small and large numbers alike, ends included."""

    def number(high: int, low: int = 0) -> int:
        if rng.random() < 0.1:
            return int(rng.choice([low, low + 1, high]))
        return min(high, int(_loguniform(rng, low + 1, high)))

    def signed(high: int) -> int:
        return number(high) * int(rng.choice([-1, 1]))

    near_one = ONE - 1 - min(ONE - 1, number(ONE - 1))
    rho = int(rng.choice([-1, 1])) * (near_one if rng.random() < 0.5 else number(ONE - 1))
    b = number(MAX_SVI if rng.random() < 0.3 else ONE)
    sigma, ref_seconds, forward = number(MAX_SVI, 1), number(MAX_TENOR, 1), number(MAX_PRICE, MIN_PRICE)
    return Surface(signed(MAX_SVI), b, rho, signed(MAX_SVI), sigma, ref_seconds, forward)


def _is_inside(s: Surface) -> bool:
    return abs(s.a) <= MAX_SVI and s.b <= MAX_SVI and abs(s.m) <= MAX_SVI and s.sigma <= MAX_SVI


def slices(rng: np.random.Generator, count: int) -> list[Expiry]:
    """Expiries of every kind: as quoted, aged and moved since, and extreme."""
    rows = []
    for i in range(count):
        if i % 4 == 0:
            ref = extreme(rng)
            seconds = ref.ref_seconds if rng.random() < 0.5 else int(_loguniform(rng, 1, MAX_TENOR))
            forward = ref.forward if rng.random() < 0.5 else int(_loguniform(rng, MIN_PRICE, MAX_PRICE))
            rows.append(Expiry(NOW + seconds, forward, 0, ref))
        else:
            days, drift = _loguniform(rng, 0.02, 1000), float(rng.normal()) * 0.1
            aged = i % 4 == 1
            ref_days = days * float(rng.uniform(1, 3)) if aged else None
            row = update(quoted(rng), days, ref_days, 2000, 2000 * float(np.exp(drift)) if aged else 0)
            while not _is_inside(row.surface):
                row = update(quoted(rng), days, ref_days)
            rows.append(row)
    return rows


def _flawless(rng: np.random.Generator) -> tuple[Expiry, Svi]:
    while True:
        row = slices(rng, 3)[int(rng.integers(1, 3))]
        svi = model(row)
        if surface.slice_flaw(svi) is None:
            return row, svi


def _unlike(rng: np.random.Generator) -> tuple[Expiry, Expiry]:
    """Two slices that cross in no tail, the later raised to where they touch, a little more or a little less."""
    while True:
        (near, near_svi), (far, far_svi) = _flawless(rng), _flawless(rng)
        if not any(surface.tails_cross(near_svi, far_svi)):
            gap = surface.least_gap(near_svi, far_svi) * float(rng.choice([0.9, 0.99, 1.01, 1.1]))
            part = far.surface.ref_seconds / (far.expiry - NOW)
            return near, far._replace(surface=far.surface._replace(a=far.surface.a - round(gap * part * ONE)))


def _alike(rng: np.random.Generator) -> tuple[Expiry, Expiry]:
    """A slice and the same with one number changed, half of the time higher on the whole."""
    near, _ = _flawless(rng)
    s = near.surface
    change = 1 + float(rng.normal()) * _loguniform(rng, 1e-4, 0.3)
    by = _loguniform(rng, 1e-4, 1e-1) * float(rng.choice([-1, 1])) * s.sigma
    changed = [
        s,
        s._replace(a=s.a + round(by * s.b / ONE)),
        s._replace(b=round(s.b * change)),
        s._replace(rho=max(min(round(s.rho * change), ONE - 1), 1 - ONE)),
        s._replace(m=s.m + round(by)),
        s._replace(sigma=max(1, round(s.sigma * change))),
        s._replace(ref_seconds=min(MAX_TENOR, max(1, round(s.ref_seconds * change)))),
        s._replace(forward=round(s.forward * change)),
    ][int(rng.integers(8))]
    lift = _loguniform(rng, 1e-3, 0.3) if rng.random() < 0.5 else 0.0
    raised = changed._replace(a=changed.a + round(lift * abs(changed.a)), b=round(changed.b * (1 + lift)))
    return near, near._replace(surface=raised)


def pairs(rng: np.random.Generator, count: int) -> list[tuple[Expiry, Expiry]]:
    """Neighbours without a flaw of their own, unlike each other and alike in turn."""
    found: list[tuple[Expiry, Expiry]] = []
    while len(found) < count:
        near, far = _unlike(rng) if len(found) % 2 else _alike(rng)
        if _is_inside(far.surface) and surface.slice_flaw(model(far)) is None:
            found.append((near, far))
    return found
