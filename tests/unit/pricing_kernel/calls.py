"""Arguments of the kernel's `scan`, from numbers at 1e-18."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mpmath

from scripts import chain

WAD = 10**18
YEAR = 365 * 86_400
CALL, PUT = chain.KINDS["call"], chain.KINDS["put"]
EXPIRY = 2_000_000_000
MIN_VOL = WAD // 100


def log(number: int) -> int:
    """Logarithm, 1e-18 both, rounded down."""
    with mpmath.workdps(40):
        return int(mpmath.floor(mpmath.log(mpmath.mpf(number) / WAD) * WAD))


class Market(NamedTuple):
    """One expiry with a flat vol: what `IPricingKernel.Expiry` is made from; 1e-18, but for seconds."""

    forward: int
    vol: int
    seconds: int
    rate: int = 0
    vol_scale: int = WAD

    def expiry(self) -> tuple[Any, ...]:
        """`IPricingKernel.Expiry`. A variance of one year makes the vol exact but for its square's last digit."""
        ln = log(self.forward)
        variance = -(-self.vol * self.vol // WAD)
        return (self.forward, ln, self.rate, self.seconds, self.vol_scale, (variance, 0, 0, 0, WAD, YEAR, ln))


class Level(NamedTuple):
    """Scenarios that share a vol: price factors, relative vol move, tilt and least vol."""

    factors: tuple[int, ...]
    vol_move: int = 0
    tilt: int = 0
    floor: int = MIN_VOL


def slots(count: int) -> list[tuple[int, int]]:
    """The passes in which so many moves are worked off: slots 0 to 7, 8, and 9 to 12, as many at once as fit."""
    passes = []
    while count:
        first, behind = 8, 9
        if count >= 13:
            first, behind = 0, 13
        elif count >= 8:
            first, behind = 0, min(count, 9)
        elif count >= 5:
            behind = 13
        elif count == 4:
            first, behind = 9, 13
        passes.append((first, behind))
        count -= behind - first
    return passes


def ladder(levels: Sequence[Level]) -> tuple[list[int], ...]:
    """`IPricingKernel.Ladder`; the factors of a level ascend."""
    factors = sorted({factor for level in levels for factor in level.factors})
    passes, rungs = [], []
    for level in levels:
        assert list(level.factors) == sorted(level.factors)
        vol = (level.vol_move % 2**72 << 160) | (level.tilt % 2**72 << 88) | (level.floor << 16)
        passes += [vol | first << 8 | behind for first, behind in slots(len(level.factors))]
        rungs += [WAD << 16 | factors.index(factor) << 8 for factor in level.factors]
    return passes, rungs, factors, [log(factor) for factor in factors]


def leg(strike: int, kind: int, size: int, expiry: int = EXPIRY) -> int:
    """The word of an option; strike and size at 1e-6."""
    return chain.pack(1, expiry, strike, kind, size)


def scan(kernel: Any, market: Market, legs: Sequence[int], levels: Sequence[Level] = ()) -> Any:
    """`IPricingKernel.Strip` of a whole book of one expiry. No time matters to the kernel."""
    words = sorted(legs)
    return chain.call_at(kernel.scan, EXPIRY, words, 0, len(words), market.expiry(), ladder(levels))
