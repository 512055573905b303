"""What margin modes do to a crash: liquidations that move the price, who is liquidated by that, and who pays.

Cross and portfolio margin ask for less capital than isolated accounts do. What that means for everybody else depends on
what people do with the capital that it frees: leave it where it is, take it out, or take more risk on it. All of these
are simulated, on the same traders and the same hours.

What is simulated: traders with random books of well-known kinds; the world outside takes the other side and never
defaults. In every hour prices move along a path, and down or up by what has been liquidated, whose delta is hedged at
once at a linear impact that decays. Unhealthy accounts are sold by the rules of decision 8 at one discount, round after
round until everybody is healthy. An account without net value costs the backstop its debt and what closing it costs
(M-12). Nobody adds money, closes or trades during the crash: real people do, some too late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from python_model import screening, volatility
from python_model.history import Series
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from python_model.screening import Books, Figures, reprice

DAY = 86_400
HOUR = 3_600
TENORS = (14, 45)
# Implied vol of a calm market, and the weight of realised vol in that of a wild one.
CALM_VOL, REALISED_WEIGHT = 0.70, 0.5
# An account worth less is sold whole, USD.
DUST = 100.0


class Freed(StrEnum):
    """What a trader does with the capital that its mode does not ask for, compared with isolated accounts."""

    KEPT = "kept"
    WITHDRAWN = "withdrawn"
    LEVERED = "levered"


@dataclass(frozen=True)
class Regime:
    """A mode for everybody, and what they do with the capital that it frees."""

    mode: Mode
    freed: Freed

    @property
    def words(self) -> str:
        """For tables."""
        if self.mode is Mode.ISOLATED:
            return "isolated"
        return f"{self.mode.value}, freed capital {self.freed.value}"


REGIMES = (
    Regime(Mode.ISOLATED, Freed.KEPT),
    *(Regime(mode, freed) for mode in (Mode.CROSS, Mode.PORTFOLIO) for freed in Freed),
)


@dataclass(frozen=True)
class Settings:
    """Assumptions, each of which can be argued about.

    Attributes
    ----------
    traders : int
    buffer : float
        Mean of what a trader has above initial margin, as a fraction of it; exponential.
    impact : float
        Log move of a price if the whole net delta of all traders, without regard to sign, were sold at once: what makes
        a cascade. The depth in USD that follows is the same in all regimes.
    halflife_hours : float
        After which half of the impact is gone.
    discount, fee : float
        Of what is sold to bidders, and of that to the backstop.
    minimum_slice : float
    most : float
        By how much a trader who takes more risk multiplies a book at most: a pair that needs next to nothing would else
        grow without end. What that leaves free is kept.
    backstop : float
        What it has at first, as a fraction of the capital of isolated accounts; the same USD in all regimes.
    rounds : int
        Of liquidations within an hour, at most.
    seed : int
    """

    traders: int = 1_000
    buffer: float = 0.25
    impact: float = 0.10
    halflife_hours: float = 6.0
    discount: float = 0.04
    fee: float = 0.01
    minimum_slice: float = 0.10
    most: float = 4.0
    backstop: float = 0.02
    rounds: int = 100
    seed: int = 5


@dataclass(frozen=True, eq=False)
class Course:
    """Hourly prices of each underlying, (hours,), USD, and the state of its scan range at the first of them."""

    times: NDArray[np.int64]
    prices: Mapping[str, Floats]
    start: Mapping[str, volatility.State]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one regime; money in USD.

    Attributes
    ----------
    regime : Regime
    traders : how many there are
    capital : posted at first by all traders, equity with the value of options
    notional : gross, of all legs at first
    liquidated : traders of whom something was sold
    sold : net value sold to bidders
    given : what bidders got of it by the discount, and the backstop by the fee
    depth : most rounds of liquidation within one hour
    fall : largest log move of any price that was due to liquidations, positive
    debt : what accounts without net value cost
    paid, shortfall : of that, by the backstop and by nobody
    price, plain : arrays (hours,), of the first underlying with and without liquidations
    debts : array (hours,), cumulated
    """

    regime: Regime
    traders: int
    capital: float
    notional: float
    liquidated: int
    sold: float
    given: float
    depth: int
    fall: float
    debt: float
    paid: float
    shortfall: float
    price: Floats
    plain: Floats
    debts: Floats


# ------------------------------------------------------------------------------------------------ course and market


def course(series: Sequence[Series], start: int, stop: int, terms: volatility.Terms) -> Course:
    """A piece of the past, its scan ranges those that all hours before led to; missing hours keep the last price.

    Parameters
    ----------
    series : sequence of Series
        Of the same hours by their times; the first one's indices count.
    start, stop : int
        First hour, and the one behind the last.
    terms : volatility.Terms
    """
    times = series[0].times[start:stop]
    prices, states = {}, {}
    for s in series:
        at = int(np.searchsorted(s.times, times[0]))
        close = s.close[: at + times.size]
        known = np.maximum.accumulate(np.where(np.isfinite(close), np.arange(close.size), 0))
        path = volatility.scan_range_path(s.times[: at + 1], close[: at + 1], terms)
        prices[s.name] = close[known][at:]
        first = volatility.State.first(int(times[0]), float(prices[s.name][0]), terms)
        aimed = replace(first.ramp, value=float(path.scan_range[-1]), target=float(path.target[-1]))
        states[s.name] = replace(first, variance=float(path.sigma[-1] ** 2), ramp=aimed)
    return Course(times, prices, states)


def cut(hours: Course, start: int, stop: int, terms: volatility.Terms) -> Course:
    """The hours from index `start` to before `stop`, scan ranges those that the hours before led to."""
    states = dict(hours.start)
    for hour in range(1, start + 1):
        time = int(hours.times[hour])
        states = {name: state.accepted(time, float(hours.prices[name][hour]), terms) for name, state in states.items()}
    rows = slice(start, stop)
    return Course(hours.times[rows], {name: p[rows] for name, p in hours.prices.items()}, states)


def implied_vol(variance: float) -> float:
    """Half of a calm vol and half of the realised one, at least the calm one; a year."""
    realised = math.sqrt(365.0 * variance)
    return max((1.0 - REALISED_WEIGHT) * CALM_VOL + REALISED_WEIGHT * realised, CALM_VOL)


def market(states: Mapping[str, volatility.State], time: int, expiries: Sequence[int]) -> Market:
    """Every strike at one vol, forwards and perpetuals at spot."""
    rows = {}
    for name, state in states.items():
        vol, spot = implied_vol(state.variance), state.price
        dates = []
        for expiry in expiries:
            tau = max(expiry - time, HOUR) / SECONDS_PER_YEAR
            dates.append(Expiry(expiry, spot, 0.0, SVI(vol**2 * tau, 0.0, 0.0, 0.0, 1.0, tau, spot)))
        rows[name] = Underlying(spot, 0.001, state.scan_range(time), spot, tuple(dates))
    return Market(time, rows)


# ------------------------------------------------------------------------------------------------ traders

Legs = tuple[Position, ...]
Builder = Callable[[str, float, int, int, float, float], Legs]


def _option(name: str, kind: Kind, size: float, expiry: int, spot: float, multiple: float) -> Position:
    """An option struck at a multiple of spot."""
    return Position(name, kind, size, expiry, round(spot * multiple, 2))


def _perp(name: str, size: float) -> Position:
    """A perpetual at its mark."""
    return Position(name, Kind.PERP, size)


# Of name, spot, near and far expiry, size, and a number in [0, 1) that varies strikes.
KINDS: tuple[tuple[str, float, Builder], ...] = (
    ("long perpetual", 0.22, lambda n, s, a, b, q, v: (_perp(n, q),)),
    ("short perpetual", 0.10, lambda n, s, a, b, q, v: (_perp(n, -q),)),
    (
        "long, with a put bought",
        0.10,
        lambda n, s, a, b, q, v: (_perp(n, q), _option(n, Kind.PUT, q, a, s, 0.85 + 0.1 * v)),
    ),
    (
        "long, with a call sold",
        0.12,
        lambda n, s, a, b, q, v: (_perp(n, q), _option(n, Kind.CALL, -q, a, s, 1.02 + 0.1 * v)),
    ),
    ("put sold", 0.10, lambda n, s, a, b, q, v: (_option(n, Kind.PUT, -q, a, s, 0.85 + 0.13 * v),)),
    (
        "put spread sold",
        0.08,
        lambda n, s, a, b, q, v: (
            _option(n, Kind.PUT, -q, a, s, 0.95),
            _option(n, Kind.PUT, q, a, s, 0.80 + 0.1 * v),
        ),
    ),
    (
        "strangle sold",
        0.08,
        lambda n, s, a, b, q, v: (
            _option(n, Kind.PUT, -q, b, s, 0.88 + 0.08 * v),
            _option(n, Kind.CALL, -q, b, s, 1.08 + 0.08 * v),
        ),
    ),
    ("future against perpetual", 0.08, lambda n, s, a, b, q, v: (Position(n, Kind.FUTURE, -q, b), _perp(n, q))),
    (
        "calendar spread",
        0.06,
        lambda n, s, a, b, q, v: (
            _option(n, Kind.PUT, -q, a, s, 0.95 + 0.1 * v),
            _option(n, Kind.PUT, q, b, s, 0.95 + 0.1 * v),
        ),
    ),
    (
        "market maker",
        0.06,
        lambda n, s, a, b, q, v: (
            _option(n, Kind.PUT, -q, a, s, 0.9),
            _option(n, Kind.PUT, q, b, s, 0.85),
            _option(n, Kind.CALL, q, a, s, 1.05),
            _option(n, Kind.CALL, -q, b, s, 1.15),
            _perp(n, round((v - 0.5) * q, 6)),
        ),
    ),
)


def traders(at: Market, settings: Settings) -> list[Legs]:
    """Random books: a kind by its weight, one underlying, sizes whose value in USD is log-normal.

    A trader of two in ten holds two kinds, so that there is something to net.
    """
    rng = np.random.default_rng(settings.seed)
    weights = np.array([weight for _, weight, _ in KINDS])
    names = sorted(at.underlyings)
    near, far = (e.expiry for e in at.underlyings[names[0]].expiries)
    books = []
    for _ in range(settings.traders):
        legs: Legs = ()
        for _ in range(1 + int(rng.random() < 0.2)):
            name = names[int(rng.integers(len(names)))]
            spot = at.underlyings[name].spot
            build = KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))][2]
            size = round(float(rng.lognormal(math.log(50_000.0), 1.0)) / spot, 6)
            legs += build(name, spot, near, far, size, float(rng.random()))
        books.append(legs)
    return books


@dataclass(frozen=True, eq=False)
class Stage:
    """Accounts of a regime at the first hour: `trader` of each account, `capital` posted in all, `notional` of all."""

    books: Books
    trader: NDArray[np.int64]
    capital: float
    notional: float


def stage(books: Sequence[Legs], regime: Regime, at: Market, methodology: Methodology, settings: Settings) -> Stage:
    """Accounts with the money that their traders have.

    In isolated mode a leg is an account with its own initial margin and the trader's buffer. `KEPT` gives the accounts
    of another mode the same equity as these together have; `WITHDRAWN` what their own initial margin asks for, with the
    same buffer; `LEVERED` the equity of isolated accounts, on books as large as it bears with the same buffer.
    """
    rng = np.random.default_rng(settings.seed + 1)
    buffer = 1.0 + rng.exponential(settings.buffer, len(books))
    split = [(i, Book(Mode.ISOLATED, 0.0, (), (leg,))) for i, legs in enumerate(books) for leg in legs]
    apart = screening.gather([book for _, book in split], at, ())
    trader = np.array([i for i, _ in split], dtype=np.int64)
    alone = reprice(apart, at, (), methodology)
    wanted = buffer[trader] * alone.initial
    if regime.mode is Mode.ISOLATED:
        rows, figures, equity = apart, alone, wanted
    else:
        rows = screening.gather([Book(regime.mode, 0.0, (), legs) for legs in books], at, ())
        trader = np.arange(len(books), dtype=np.int64)
        figures = reprice(rows, at, (), methodology)
        equity = np.bincount([i for i, _ in split], weights=wanted, minlength=len(books)).astype(np.float64)
        if regime.freed is Freed.WITHDRAWN:
            equity = buffer * figures.initial
        if regime.freed is Freed.LEVERED:
            rows, figures = levered(rows, figures, equity / buffer, settings.most, at, methodology)
    # Equity without cash: options, and futures and perpetuals at the mark at which they were entered.
    rows = replace(rows, cash=equity - figures.net_value)
    return Stage(rows, trader, float(equity.sum()), notional(rows, at))


def levered(
    books: Books, figures: Figures, initial: Floats, most: float, at: Market, methodology: Methodology
) -> tuple[Books, Figures]:
    """Books multiplied until they need so much initial margin, by `most` at most.

    Requirements grow a little faster than books (M-12), hence the repetition.
    """
    rows, now, total = books, figures, np.ones(len(books))
    for _ in range(6):
        total = np.minimum(total * initial / np.maximum(now.initial, 1e-9), most)
        rows = scaled(books, total)
        now = reprice(rows, at, (), methodology)
    return rows, now


def scaled(books: Books, factor: Floats) -> Books:
    """Legs and what they cost times a factor for each account."""
    legs = np.repeat(factor, np.diff(books.starts))
    return replace(books, size=books.size * legs, cost=books.cost * factor)


def notional(books: Books, at: Market) -> float:
    """Sum of `|q| S`, USD."""
    spot = np.array([at.underlyings[name].spot for name in sorted(at.underlyings)])
    return float(np.sum(np.abs(books.size) * spot[books.instruments.underlying[books.instrument]]))


# ------------------------------------------------------------------------------------------------ the crash


@dataclass(frozen=True, eq=False)
class Sale:
    """One round of liquidations: accounts after it, and what it did; `delta` is (underlyings,), USD sold."""

    books: Books
    accounts: NDArray[np.intp]
    sold: float
    given: float
    fee: float
    debt: float
    delta: Floats


def sell(books: Books, figures: Figures, settings: Settings) -> Sale:
    """Sell of every unhealthy account what decision 8 sells at the discount: see `contracts/libraries/auction.vy`."""
    rows = np.flatnonzero(figures.excess < 0.0)
    value, lost = figures.net_value[rows], settings.discount + settings.fee
    shortfall = figures.initial[rows] - figures.equity_initial[rows]
    solvent = value > 0.0
    part = np.ones(rows.size)
    kept = shortfall[solvent] + value[solvent] * (1.0 - lost)
    least = np.maximum(settings.minimum_slice, DUST / value[solvent])
    part[solvent] = np.minimum(np.maximum(shortfall[solvent] / kept, least), 1.0)
    worth = np.where(solvent, part * value, 0.0)
    left = np.ones(len(books))
    left[rows] = 1.0 - part
    cash = books.cash * left
    cash[rows] += worth * (1.0 - lost)
    after = replace(scaled(books, left), cash=cash)
    debt = np.where(solvent, 0.0, figures.liquidity[rows] - value)
    return Sale(
        after,
        rows,
        sold=float(worth.sum()),
        given=float(worth.sum()) * lost,
        fee=float(worth.sum()) * settings.fee,
        debt=float(debt.sum()),
        delta=np.asarray(part @ figures.delta[rows], dtype=np.float64),
    )


def run(
    regime: Regime,
    hours: Course,
    methodology: Methodology,
    settings: Settings,
    terms: volatility.Terms,
) -> Outcome:
    """One regime through the crash.

    Parameters
    ----------
    regime : Regime
    hours : Course
    methodology : Methodology
    settings : Settings
    terms : volatility.Terms
        Of the scan range, which follows the prices that liquidations have moved.
    """
    names, first = sorted(hours.prices), int(hours.times[0])
    expiries = [first + days * DAY for days in TENORS]
    states = dict(hours.start)
    opening = market(states, first, expiries)
    people = traders(opening, settings)
    base = stage(people, REGIMES[0], opening, methodology, settings)
    begun = stage(people, regime, opening, methodology, settings)
    # The depth of the market and the backstop are what they are, whatever mode there is.
    whole = screening.gather([Book(Mode.PORTFOLIO, 0.0, (), legs) for legs in people], opening, ())
    depth = np.abs(reprice(whole, opening, (), methodology).delta).sum(axis=0) / settings.impact
    fund = settings.backstop * base.capital
    books, moved, fall = begun.books, np.zeros(len(names)), 0.0
    touched = np.zeros(len(people), dtype=bool)
    sold = given = debt = paid = 0.0
    deepest, price, debts = 0, [], []
    for hour, time in enumerate(hours.times.tolist()):
        moved *= 0.5 ** (1.0 / settings.halflife_hours) if hour else 1.0
        before, rounds = states, 0
        while True:
            spot = {n: float(hours.prices[n][hour]) * math.exp(moved[k]) for k, n in enumerate(names)}
            if hour:
                # The scan range sees one price an hour, the last.
                states = {n: before[n].accepted(time, spot[n], terms) for n in names}
            figures = reprice(books, market(states, time, expiries), (), methodology)
            if not np.any(figures.excess < 0.0) or rounds == settings.rounds:
                break
            sale = sell(books, figures, settings)
            books, rounds = sale.books, rounds + 1
            touched[begun.trader[sale.accounts]] = True
            sold, given, debt = sold + sale.sold, given + sale.given, debt + sale.debt
            fund += sale.fee
            covered = min(sale.debt, fund)
            fund, paid = fund - covered, paid + covered
            moved = moved - sale.delta / np.maximum(depth, 1.0)
            fall = max(fall, float(np.max(np.abs(moved))))
        deepest = max(deepest, rounds)
        price.append(spot[names[-1]])
        debts.append(debt)
    return Outcome(
        regime=regime,
        traders=len(people),
        capital=begun.capital,
        notional=begun.notional,
        liquidated=int(touched.sum()),
        sold=sold,
        given=given,
        depth=deepest,
        fall=fall,
        debt=debt,
        paid=paid,
        shortfall=debt - paid,
        price=np.array(price),
        plain=np.asarray(hours.prices[names[-1]], dtype=np.float64),
        debts=np.array(debts),
    )
