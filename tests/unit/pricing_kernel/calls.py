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


def slots(count: int) -> list[tuple[int, int, int]]:
    """First slot, slot behind the last move and behind the last that is worked off, of the passes for so many moves.

    Slots 0 to 7, 8, and 9 to 12 are worked off whole, be there a move in each or not.
    """
    passes = []
    while count:
        first, run = next(
            pair
            for most, pair in ((2, (8, 9)), (4, (9, 13)), (5, (8, 13)), (8, (0, 8)), (10, (0, 9)), (64, (0, 13)))
            if count <= most
        )
        behind = min(first + count, run)
        passes.append((first, behind, run))
        count -= behind - first
    return passes


def ladder(levels: Sequence[Level]) -> tuple[Any, ...]:
    """`IPricingKernel.Ladder`; the factors of a level ascend."""
    factors = sorted({factor for level in levels for factor in level.factors})
    passes, moves = [], []
    for level in levels:
        assert list(level.factors) == sorted(level.factors)
        vol = (level.vol_move % 2**72 << 168) | (level.tilt % 2**72 << 96) | (level.floor << 24)
        for first, behind, run in slots(len(level.factors)):
            passes.append(vol | first << 16 | behind << 8 | run)
        moves += [factors.index(factor) for factor in level.factors]
    order = [sum(move << 8 * i for i, move in enumerate(moves[word : word + 32])) for word in (0, 32)]
    return passes, order, factors, [log(factor) for factor in factors]


def leg(strike: int, kind: int, size: int, expiry: int = EXPIRY) -> int:
    """The word of an option; strike and size at 1e-6."""
    return chain.pack(1, expiry, strike, kind, size)


def scan(kernel: Any, market: Market, legs: Sequence[int], levels: Sequence[Level] = ()) -> Any:
    """`IPricingKernel.Strip` of a whole book of one expiry. No time matters to the kernel."""
    words = sorted(legs)
    return chain.call_at(kernel.scan, EXPIRY, words, 0, len(words), market.expiry(), ladder(levels))
