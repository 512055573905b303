"""Well-known strategies as books on any market that has ETH and BTC: what they hold, and in a few words why.

Every builder takes a `Market` and returns a portfolio-mode `Book` without cash. Expiries are the listed ones nearest to
a tenor, strikes round numbers nearest to a multiple of the forward, so that a book can be traded as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from python_model import methodology
from python_model.exposure import exposure, leg_table
from python_model.portfolio import Book, Collateral, Expiry, Kind, Market, Mode, Position

UNITS = 10.0
NEAR_DAYS, FAR_DAYS = 25, 144
# A round strike is a multiple of a twentieth of its leading power of ten: 50 USD for ETH at 2,000, 500 for BTC at
# 70,000. So it is listed, as it has three significant digits.
STRIKES_A_DECADE = 20

# Of the market maker: days to expiry, then strikes as multiples of the forward (puts below 1, calls from 1) with sizes
# in ETH. Bought and sold strikes alternate and the far expiry leans against the near ones, as clients trade both ways.
LADDER = (
    (11, ((0.80, 200), (0.90, -200), (1.00, 100), (1.10, -300), (1.20, 200))),
    (25, ((0.75, 200), (0.90, -300), (1.00, 400), (1.10, -500), (1.25, 200))),
    (144, ((0.70, -100), (0.85, 200), (1.00, -150), (1.20, 100), (1.50, -50))),
)


@dataclass(frozen=True)
class Strategy:
    """A named book: `build` makes it from a market, `words` say what it is."""

    name: str
    words: str
    build: Callable[[Market], Book]


def listed(market: Market, name: str, days: float) -> Expiry:
    """The expiry of an underlying whose time from now is nearest to `days`."""
    target = market.as_of + days * 86_400
    return min(market.underlyings[name].expiries, key=lambda e: abs(e.expiry - target))


def round_strike(forward: float, multiple: float) -> float:
    """The round strike nearest to a multiple of a forward, USD."""
    strike = forward * multiple
    step = 10.0 ** math.floor(math.log10(strike)) / STRIKES_A_DECADE
    return float(round(strike / step) * step)


def option(market: Market, kind: Kind, multiple: float, size: float, days: float, name: str = "ETH") -> Position:
    """An option by tenor and by its strike as a multiple of the forward."""
    e = listed(market, name, days)
    return Position(name, kind, size, e.expiry, round_strike(e.forward, multiple))


def perp(name: str, size: float) -> Position:
    """A perpetual at its mark."""
    return Position(name, Kind.PERP, size)


def ether(market: Market, amount: float, haircut_initial: float = 0.0, haircut_maintenance: float = 0.0) -> Collateral:
    """WETH at spot, a position inside the grid (M-6)."""
    return Collateral(amount, market.underlyings["ETH"].spot, "ETH", haircut_initial, haircut_maintenance)


def book(*positions: Position, collateral: tuple[Collateral, ...] = ()) -> Book:
    """A portfolio-mode book without cash."""
    return Book(Mode.PORTFOLIO, 0.0, collateral, positions)


def long_call(market: Market) -> Book:
    """Bought upside: nothing more than the premium can be lost."""
    return book(option(market, Kind.CALL, 1.1, UNITS, NEAR_DAYS))


def covered_call(market: Market) -> Book:
    """WETH held, upside sold against it."""
    call = option(market, Kind.CALL, 1.1, -UNITS, NEAR_DAYS)
    return book(call, collateral=(ether(market, UNITS),))


def short_straddle(market: Market) -> Book:
    """Call and put sold at the forward: lives on quiet markets, loses on either side."""
    legs = (option(market, kind, 1.0, -UNITS, NEAR_DAYS) for kind in (Kind.CALL, Kind.PUT))
    return book(*legs)


def iron_condor(market: Market) -> Book:
    """A strangle sold, and a wider one bought: no more than the width of one side can be lost."""
    wings = ((Kind.PUT, 0.85, 1), (Kind.PUT, 0.925, -1), (Kind.CALL, 1.075, -1), (Kind.CALL, 1.15, 1))
    return book(*(option(market, kind, multiple, sign * UNITS, NEAR_DAYS) for kind, multiple, sign in wings))


def synthetic_future(market: Market) -> Book:
    """Call bought and put sold at one strike, which is a future, against a perpetual sold."""
    call = option(market, Kind.CALL, 1.0, UNITS, NEAR_DAYS)
    put = option(market, Kind.PUT, 1.0, -UNITS, NEAR_DAYS)
    return book(call, put, perp("ETH", -UNITS))


def calendar_spread(market: Market) -> Book:
    """A near call sold, a far one of the same strike bought: earns the faster decay of the near one."""
    near = option(market, Kind.CALL, 1.0, -UNITS, NEAR_DAYS)
    far = Position("ETH", Kind.CALL, UNITS, listed(market, "ETH", FAR_DAYS).expiry, near.strike)
    return book(near, far)


def eth_btc_spread(market: Market) -> Book:
    """ETH future bought, BTC future of the same value sold: a view on their ratio alone."""
    eth, btc = listed(market, "ETH", FAR_DAYS), listed(market, "BTC", FAR_DAYS)
    size = round(UNITS * eth.forward / btc.forward, 3)
    return book(Position("ETH", Kind.FUTURE, UNITS, eth.expiry), Position("BTC", Kind.FUTURE, -size, btc.expiry))


def delta(positions: tuple[Position, ...], name: str, market: Market) -> float:
    """Net delta of positions in one underlying (M-24), in its units. It depends on no methodology."""
    legs = [p for p in positions if p.underlying == name]
    any_methodology = methodology.load("house")
    return exposure(leg_table(name, legs, [], market, any_methodology), any_methodology).delta


def market_maker(market: Market) -> Book:
    """Thirty options over three expiries of ETH and BTC, each side hedged by a perpetual: 32 legs without delta."""
    legs: list[Position] = []
    for name in ("ETH", "BTC"):
        # The same value of BTC as of ETH, in whole tenths.
        scale = market.underlyings["ETH"].spot / market.underlyings[name].spot
        options = tuple(
            option(market, Kind.PUT if multiple < 1 else Kind.CALL, multiple, round(size * scale, 1), days, name)
            for days, strip in LADDER
            for multiple, size in strip
        )
        legs += [*options, perp(name, -round(delta(options, name, market), 3))]
    return book(*legs)


STRATEGIES = (
    Strategy("long call", "10 calls at 110%, 25 days", long_call),
    Strategy("covered call", "10 WETH, 10 such calls sold", covered_call),
    Strategy("short straddle", "10 calls and 10 puts sold", short_straddle),
    Strategy("iron condor", "85/92.5% puts, 107.5/115% calls", iron_condor),
    Strategy("synthetic v. perp", "call less put, less perp", synthetic_future),
    Strategy("calendar spread", "25 days sold, 144 bought", calendar_spread),
    Strategy("ETH–BTC spread", "futures of the same value", eth_btc_spread),
    Strategy("market maker", "30 options and 2 perps", market_maker),
)
