"""What is assessed: markets, collateral, positions and books, and the netting of a book."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

SECONDS_PER_YEAR = 365 * 86_400


class Kind(StrEnum):
    """Instrument kinds."""

    CALL = "call"
    PUT = "put"
    FUTURE = "future"
    PERP = "perp"

    @property
    def is_option(self) -> bool:
        """Whether the instrument is a call or a put."""
        return self in (Kind.CALL, Kind.PUT)


class Mode(StrEnum):
    """Account modes (M-17), and portfolio mode by the tail of a scenario set (M-20)."""

    ISOLATED = "isolated"
    CROSS = "cross"
    PORTFOLIO = "portfolio"
    VAR = "var"
    MAX = "max"

    @property
    def has_offsets(self) -> bool:
        """Whether the book is margined as a whole."""
        return self not in (Mode.ISOLATED, Mode.CROSS)

    @property
    def has_tail(self) -> bool:
        """Whether the expected shortfall over a scenario set is a part of the margin."""
        return self in (Mode.VAR, Mode.MAX)


@dataclass(frozen=True)
class SVI:
    """Raw SVI slice (M-1): total variance, calibrated at `forward` (USD) with tenor `ref_tau` (years)."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    ref_tau: float
    forward: float


@dataclass(frozen=True)
class Expiry:
    """Market of one expiry: `expiry` in seconds since 1970, `forward` in USD, `rate` a year, continuous.

    `fixed` is the share of the forward that its settlement has fixed already, 0 to 1: it moves no more (M-4).
    """

    expiry: int
    forward: float
    rate: float
    svi: SVI
    fixed: float = 0.0


@dataclass(frozen=True)
class Underlying:
    """Market of one underlying: `spot`, `perp_mark` in USD, `confidence` and `scan_range` as fractions of spot.

    `perp_funding` in USD is what a long of one unit of the perpetual has paid since the first publication: it is in no
    part of the risk, only in what the position is worth. `depth` in (0, 1] is the share of the depths of M-12 that the
    market has at present (M-23). `daily_vol` is the EWMA volatility a day (M-21), which a tail needs (M-18).
    """

    spot: float
    confidence: float
    scan_range: float
    perp_mark: float
    expiries: tuple[Expiry, ...]
    perp_funding: float = 0.0
    depth: float = 1.0
    daily_vol: float | None = None

    def at(self, expiry: int) -> Expiry:
        """The market of an expiry; KeyError where it has none."""
        for row in self.expiries:
            if row.expiry == expiry:
                return row
        raise KeyError(expiry)


@dataclass(frozen=True)
class Market:
    """All underlyings at one moment, `as_of` in seconds since 1970."""

    as_of: int
    underlyings: dict[str, Underlying]

    def tau(self, expiry: int) -> float:
        """Years to `expiry`, 0 once it has passed."""
        return max(expiry - self.as_of, 0) / SECONDS_PER_YEAR

    def discount(self, row: Expiry) -> float:
        """`D = exp(-r tau)` of an expiry."""
        return math.exp(-row.rate * self.tau(row.expiry))


@dataclass(frozen=True)
class Collateral:
    """A holding of `amount` units at `price` USD.

    A claim on an `underlying` is a position inside the grid (M-6); None is cash-like. Haircuts are fractions (M-15).
    """

    amount: float
    price: float
    underlying: str | None = None
    haircut_initial: float = 0.0
    haircut_maintenance: float = 0.0


@dataclass(frozen=True)
class Position:
    """A holding of `size` units (negative is short).

    `expiry` is None for a perp, `strike` None but for options. `entry` in USD is the price of a future, or of a perp
    less the funding at the time; None is the current mark; an option has none, for its value is paid in cash.
    """

    underlying: str
    kind: Kind
    size: float
    expiry: int | None = None
    strike: float | None = None
    entry: float | None = None

    @property
    def instrument(self) -> tuple[str, int, float, str]:
        """Key of the instrument; sorts a book by underlying, expiry, strike and kind."""
        return (self.underlying, self.expiry or 0, self.strike or 0.0, self.kind.value)


@dataclass(frozen=True)
class Book:
    """One account: `cash` in USD, collateral and positions."""

    mode: Mode
    cash: float
    collateral: tuple[Collateral, ...] = field(default=())
    positions: tuple[Position, ...] = field(default=())


def mark(position: Position, market: Market) -> float:
    """Current mark of a perp, net of funding, or of a future, USD. KeyError where the market lacks it."""
    underlying = market.underlyings[position.underlying]
    if position.kind is Kind.PERP:
        return underlying.perp_mark - underlying.perp_funding
    assert position.expiry is not None
    return underlying.at(position.expiry).forward


def unrealised(positions: tuple[Position, ...], market: Market) -> float:
    """Unrealised profit of perps and futures (M-15): `sum q (mark - entry)`, undiscounted, USD.

    Take it over the book before netting: legs that net to nothing keep what they have earned.
    """
    linear = (p for p in positions if not p.kind.is_option and p.entry is not None)
    return sum(p.size * (mark(p, market) - p.entry) for p in linear if p.entry is not None)


def net(positions: tuple[Position, ...], market: Market) -> tuple[Position, ...]:
    """One leg an instrument: sizes added, entries weighted by size, empty legs dropped.

    Parameters
    ----------
    positions : tuple of Position, in any order
    market : Market
        Gives the entry of legs that have none.

    Returns
    -------
    tuple of Position, sorted by instrument. The unrealised profit of a leg whose size nets to zero is not in the
    result: see `unrealised`.
    """
    sizes: dict[tuple[str, int, float, str], float] = {}
    costs: dict[tuple[str, int, float, str], float] = {}
    first: dict[tuple[str, int, float, str], Position] = {}
    for p in positions:
        key = p.instrument
        first.setdefault(key, p)
        # Sizes are decimals to 1e-6 (M-0): rounding keeps sums such as 0.1 + 0.2 - 0.3 exact.
        sizes[key] = round(sizes.get(key, 0.0) + p.size, 6)
        if not p.kind.is_option:
            entry = mark(p, market) if p.entry is None else p.entry
            costs[key] = costs.get(key, 0.0) + p.size * entry
    legs = []
    for key in sorted(sizes):
        p, size = first[key], sizes[key]
        if size != 0.0:
            average = None if p.kind.is_option else costs[key] / size
            legs.append(Position(p.underlying, p.kind, size, p.expiry, p.strike, average))
    return tuple(legs)
