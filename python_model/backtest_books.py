"""The books of a back-test: well-known strategies, struck anew on the first day of each month at the same value in USD.

The listed expiries are the last Fridays of months, 08:00 UTC. When a book is struck, `front` is 21 to 30 days away and
expires while the book is held; `near`, of the next month, is 52 to 61 days away; `far` comes three months after that.
Strikes are round numbers near a multiple of spot (`books.round_strike`), sizes `NOTIONAL` over spot. Hedges are made
when a book is struck and stay: a book that is hedged daily loses less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from python_model import black
from python_model.books import round_strike
from python_model.portfolio import SECONDS_PER_YEAR, Kind, Position

NOTIONAL = 1_000_000.0
FRIDAY, EXPIRY_HOUR = 4, 8


def last_friday(year: int, month: int) -> int:
    """The last Friday of a month at 08:00 UTC, seconds since 1970; a month beyond 12 is of a later year.

    Examples
    --------
    >>> [str(datetime.fromtimestamp(last_friday(2020, month), UTC).date()) for month in (2, 3, 14)]
    ['2020-02-28', '2020-03-27', '2021-02-26']
    """
    year, month = year + month // 12, month % 12 + 1
    day = datetime(year, month, 1, EXPIRY_HOUR, tzinfo=UTC) - timedelta(days=1)
    return int((day - timedelta(days=(day.weekday() - FRIDAY) % 7)).timestamp())


@dataclass(frozen=True)
class Strike:
    """What is known when a book is struck: the moment, spot in USD and vol a year of each underlying."""

    time: int
    spot: Mapping[str, float]
    vol: Mapping[str, float]

    def expiry(self, months: int) -> int:
        """The listed expiry of the month that is so many after this one."""
        now = datetime.fromtimestamp(self.time, UTC)
        return last_friday(now.year, now.month + months)

    @property
    def front(self) -> int:
        """The expiry of this month."""
        return self.expiry(0)

    @property
    def near(self) -> int:
        """The expiry of the next month."""
        return self.expiry(1)

    @property
    def far(self) -> int:
        """The expiry three months after the near one."""
        return self.expiry(4)

    def units(self, name: str, share: float = 1.0) -> float:
        """Size of a share of the notional."""
        return round(share * NOTIONAL / self.spot[name], 6)

    def option(self, name: str, kind: Kind, multiple: float, share: float, expiry: int) -> Position:
        """An option struck at a multiple of spot; a negative share is sold."""
        return Position(name, kind, self.units(name, share), expiry, round_strike(self.spot[name], multiple))

    def perp(self, name: str, share: float) -> Position:
        """A perpetual; a negative share is sold."""
        return Position(name, Kind.PERP, self.units(name, share))

    def hedged(self, *legs: Position) -> Legs:
        """The legs and a perpetual for each underlying that takes their delta away."""
        hedges = []
        for name in sorted({p.underlying for p in legs}):
            delta = 0.0
            for p in legs:
                if p.underlying != name or p.expiry is None or p.strike is None:
                    continue
                tau = (p.expiry - self.time) / SECONDS_PER_YEAR
                greeks = black.greeks(
                    self.spot[name], p.strike, self.vol[name], tau, 0.0, self.spot[name], p.kind is Kind.CALL
                )
                delta += p.size * float(greeks.delta)
            hedges.append(Position(name, Kind.PERP, -round(delta, 6)))
        return *legs, *hedges


Legs = tuple[Position, ...]
C, P = Kind.CALL, Kind.PUT


@dataclass(frozen=True)
class BookType:
    """A kind of book: `build` strikes it, `words` say what it holds."""

    name: str
    words: str
    build: Callable[[Strike], Legs]


def straddle(s: Strike, name: str, share: float, expiry: int) -> Legs:
    """Call and put at the money."""
    return tuple(s.option(name, kind, 1.0, share, expiry) for kind in (C, P))


# Of the market maker: expiry in months from now, kind, strike as a multiple of spot, share of the notional. Bought and
# sold strikes alternate, and the later expiry leans against the earlier, as clients trade both ways.
LADDER = (
    (0, P, 0.80, 0.5),
    (0, P, 0.90, -1.0),
    (0, C, 1.00, 0.5),
    (0, C, 1.10, -1.0),
    (0, C, 1.20, 0.5),
    (1, P, 0.75, 0.5),
    (1, P, 0.90, 0.5),
    (1, C, 1.00, -0.5),
    (1, C, 1.15, 0.5),
    (1, C, 1.30, -0.5),
)


def market_maker(s: Strike, name: str) -> Legs:
    """Ten options of two expiries, hedged."""
    return s.hedged(*(s.option(name, kind, k, share, s.expiry(months)) for months, kind, k, share in LADDER))


# Of one underlying each; the number is that of the legs as a rule.
SINGLE: tuple[tuple[str, str, Callable[[Strike, str], Legs]], ...] = (
    ("long perpetual", "spot bought", lambda s, n: (s.perp(n, 1.0),)),
    ("short perpetual", "spot sold", lambda s, n: (s.perp(n, -1.0),)),
    ("long straddle", "near call and put bought at the money", lambda s, n: straddle(s, n, 1.0, s.near)),
    ("short straddle", "near call and put sold at the money", lambda s, n: straddle(s, n, -1.0, s.near)),
    (
        "hedged short straddle",
        "the same with its delta hedged when struck",
        lambda s, n: s.hedged(*straddle(s, n, -1.0, s.near)),
    ),
    (
        "expiring straddle",
        "front call and put sold at the money, held to expiry",
        lambda s, n: straddle(s, n, -1.0, s.front),
    ),
    (
        "short strangle",
        "near 85% put and 115% call sold",
        lambda s, n: (s.option(n, P, 0.85, -1.0, s.near), s.option(n, C, 1.15, -1.0, s.near)),
    ),
    ("short put", "near 90% put sold", lambda s, n: (s.option(n, P, 0.9, -1.0, s.near),)),
    (
        "covered call",
        "perpetual bought, near 110% call sold",
        lambda s, n: (s.perp(n, 1.0), s.option(n, C, 1.1, -1.0, s.near)),
    ),
    (
        "protected long",
        "perpetual and near 90% put bought",
        lambda s, n: (s.perp(n, 1.0), s.option(n, P, 0.9, 1.0, s.near)),
    ),
    (
        "risk reversal",
        "near 90% put sold, 110% call bought",
        lambda s, n: (s.option(n, P, 0.9, -1.0, s.near), s.option(n, C, 1.1, 1.0, s.near)),
    ),
    (
        "call spread",
        "near call sold at the money, 115% call bought",
        lambda s, n: (s.option(n, C, 1.0, -1.0, s.near), s.option(n, C, 1.15, 1.0, s.near)),
    ),
    (
        "iron condor",
        "near 90% put and 110% call sold, 80% put and 120% call bought",
        lambda s, n: tuple(
            s.option(n, kind, k, q, s.near)
            for kind, k, q in ((P, 0.8, 1.0), (P, 0.9, -1.0), (C, 1.1, -1.0), (C, 1.2, 1.0))
        ),
    ),
    (
        "calendar",
        "front call sold at the money, near one bought",
        lambda s, n: (s.option(n, C, 1.0, -1.0, s.front), s.option(n, C, 1.0, 1.0, s.near)),
    ),
    (
        "reverse calendar",
        "near straddle bought, far one sold",
        lambda s, n: (*straddle(s, n, 1.0, s.near), *straddle(s, n, -1.0, s.far)),
    ),
    ("market maker", "ten front and near options, hedged when struck", market_maker),
)


def of_one(name: str, words: str, build: Callable[[Strike, str], Legs], underlying: str) -> BookType:
    """A kind of book on one underlying."""
    return BookType(f"{underlying} {name}", words, lambda s: build(s, underlying))


def of_both(first: str, second: str) -> tuple[BookType, ...]:
    """Kinds of book over two underlyings."""
    return (
        BookType(
            f"{first}–{second} spread",
            f"{first} perpetual bought, {second} sold for the same value",
            lambda s: (s.perp(first, 1.0), s.perp(second, -1.0)),
        ),
        BookType(
            f"{first}–{second} straddles",
            f"near straddle of {first} sold, of {second} bought",
            lambda s: (*straddle(s, first, -1.0, s.near), *straddle(s, second, 1.0, s.near)),
        ),
    )


def book_types(names: tuple[str, ...]) -> tuple[BookType, ...]:
    """Every kind of book on a market: those of one underlying for each, and those of the first two."""
    single = tuple(of_one(*row, name) for name in names for row in SINGLE)
    return single + (of_both(names[0], names[1]) if len(names) > 1 else ())


def expired(legs: Legs, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each leg has expired: array (legs, days) of bool; a perpetual never does."""
    expiries = np.array([np.iinfo(np.int64).max if p.expiry is None else p.expiry for p in legs], dtype=np.int64)
    return np.asarray(expiries[:, None] <= times[None, :])
