"""The market between its snapshots: the crash of 5 and 6 February 2026 as a path that can be stopped at any second.

The snapshots are fitted to real option chains. Between two of them nothing is recorded, so the path is interpolated in
proportion to time: prices geometrically, each expiry's smile by its least variance, slopes and shape. An expiry that
the later snapshot has no more keeps its vols, its forward running into spot; once expired it is held at the spot of
that moment, where an option is worth its intrinsic value.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from python_model.portfolio import SECONDS_PER_YEAR, SVI, Expiry, Market, Underlying

SNAPSHOTS = ("eth-btc-2026-02-02", "eth-btc-2026-02-05", "eth-btc-2026-02-06")


def blend(a: float, b: float, weight: float) -> float:
    """`a` at weight 0, `b` at weight 1, straight between; rounded to 1e-12 (M-0)."""
    return round(a + weight * (b - a), 12)


def geometric(a: float, b: float, weight: float) -> float:
    """The same for prices, straight in logarithms; rounded to 1e-9 USD."""
    return round(a * (b / a) ** weight, 9)


def least_variance(s: SVI) -> float:
    """Least variance a year of a slice: `(a + b sigma sqrt(1 - rho^2)) / ref_tau`."""
    return (s.a + s.b * s.sigma * math.sqrt(1.0 - s.rho**2)) / s.ref_tau


def smile(a: SVI, b: SVI, weight: float, tau: float, forward: float) -> SVI:
    """A slice between two of the same expiry, `tau` years before it.

    It blends the least variance in place of SVI's `a`: so no variance is negative where neither slice has any.
    """
    rho, m, sigma = (blend(getattr(a, key), getattr(b, key), weight) for key in ("rho", "m", "sigma"))
    slope = round(tau * blend(a.b / a.ref_tau, b.b / b.ref_tau, weight), 12)
    least = tau * blend(least_variance(a), least_variance(b), weight)
    return SVI(round(least - slope * sigma * math.sqrt(1.0 - rho**2), 12), slope, rho, m, sigma, tau, forward)


def surviving(a: Expiry, b: Expiry, weight: float, tau: float) -> Expiry:
    """An expiry that both snapshots have, between them."""
    forward = geometric(a.forward, b.forward, weight)
    return Expiry(a.expiry, forward, blend(a.rate, b.rate, weight), smile(a.svi, b.svi, weight, tau, forward))


def expiring(e: Expiry, first: Underlying, start: int, spot: float, time: int) -> Expiry:
    """An expiry that only the earlier snapshot has, when spot is `spot`; not after it has expired."""
    left = (e.expiry - time) / (e.expiry - start)
    forward = round(spot * (e.forward / first.spot) ** left, 9)
    return replace(e, forward=forward, svi=replace(e.svi, forward=forward))


def underlying_at(a: Market, b: Market, name: str, time: int) -> Underlying:
    """One underlying at a time from `a` to `b`, with the expiries of `a`."""
    u, v = a.underlyings[name], b.underlyings[name]

    def weight(moment: int) -> float:
        return (moment - a.as_of) / (b.as_of - a.as_of)

    def row(e: Expiry) -> Expiry:
        if e.expiry <= a.as_of:
            return e
        if e.expiry <= b.as_of:
            moment = min(time, e.expiry)
            return expiring(e, u, a.as_of, geometric(u.spot, v.spot, weight(moment)), moment)
        tau = (e.expiry - time) / SECONDS_PER_YEAR
        # The snapshots themselves are passed through untouched.
        return v.at(e.expiry) if time == b.as_of else surviving(e, v.at(e.expiry), weight(time), tau)

    return Underlying(
        spot=geometric(u.spot, v.spot, weight(time)),
        confidence=blend(u.confidence, v.confidence, weight(time)),
        scan_range=blend(u.scan_range, v.scan_range, weight(time)),
        perp_mark=geometric(u.perp_mark, v.perp_mark, weight(time)),
        expiries=tuple(row(e) for e in u.expiries),
        depth=blend(u.depth, v.depth, weight(time)),
    )


@dataclass(frozen=True)
class Path:
    """A market at any second from the first to the last of its `anchors`, which all have the same expiries."""

    anchors: tuple[Market, ...]

    @staticmethod
    def through(snapshots: Sequence[Market], expiries: Collection[int]) -> Path:
        """The path through snapshots in order of time, with these expiries alone.

        Raises KeyError where the first snapshot has none of that time, or a later one lacks one that is still alive.
        """
        first = snapshots[0]
        kept = {n: tuple(u.at(e) for e in sorted(expiries)) for n, u in first.underlyings.items()}
        anchors = [replace(first, underlyings={n: replace(u, expiries=kept[n]) for n, u in first.underlyings.items()})]
        for later in snapshots[1:]:
            rows = {name: underlying_at(anchors[-1], later, name, later.as_of) for name in first.underlyings}
            anchors.append(Market(later.as_of, rows))
        return Path(tuple(anchors))

    def at(self, time: int) -> Market:
        """The market at a time in seconds since 1970; ValueError outside of the path."""
        for a, b in pairwise(self.anchors):
            if time == a.as_of:
                return a
            if a.as_of < time <= b.as_of:
                return Market(time, {name: underlying_at(a, b, name, time) for name in a.underlyings})
        raise ValueError(f"time: must be from {self.anchors[0].as_of} to {self.anchors[-1].as_of} (got {time})")
