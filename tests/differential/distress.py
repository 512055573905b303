"""Random distressed accounts, and what of their auctions is compared with the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from python_model import liquidation, methodology
from python_model.portfolio import Book, Market, Mode
from scripts import chain
from tests.differential import auctions
from tests.differential.auctions import WAD, Bench, Situation
from tests.differential.comparison import figures_tolerance
from tests.differential.strategies import books, markets

PRESETS = {name: methodology.load(name) for name in ("house", "span")}
MODES = (Mode.PORTFOLIO, Mode.PORTFOLIO, Mode.CROSS, Mode.ISOLATED)
# Since the auction was started: around both ends of each part of each price.
ELAPSED = [0, 1, 450, 899, 900, 901, 3599, 3600, 3601, 7199, 7200, 7201, 20_000, 43_199, 43_200, 43_201]


@st.composite
def distressed(draw: st.DrawFn, market: Market) -> tuple[Book, str]:
    """An account whose cash is so that `E_mm` is below `MM` by a thousandth to twice of it, and by what may be told."""
    preset = draw(st.sampled_from(sorted(PRESETS)))
    book = draw(books(market, MODES))
    if book.mode is Mode.ISOLATED:
        book = replace(book, positions=book.positions[:1])
    f = liquidation.figures(book, market, PRESETS[preset])
    missing = 10.0 ** draw(st.floats(-3.0, 0.3)) * max(f.maintenance, 100.0)
    missing += 4 * figures_tolerance(book, market, PRESETS[preset])
    cash = book.cash + f.maintenance - f.equity_maintenance - missing
    return replace(book, cash=round(cash, 6)), preset


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Market, tuple[tuple[Book, str], ...]]:
    """A market, and four distressed accounts on it."""
    market = draw(markets())
    return market, tuple(draw(distressed(market)) for _ in range(4))


elapsed = st.sampled_from(ELAPSED) | st.integers(0, 45_000)
shares = st.sampled_from([WAD // 10, WAD // 3, WAD]) | st.integers(WAD // 10, WAD)
# Arguments of `compare`.
BIDS = {
    "scene": scenes(),
    "waited": elapsed,
    "share": shares.map(lambda n: Fraction(n, WAD)),
    "leg": st.floats(0.0, 1.0),
    "loss": st.sampled_from([0.01, 0.05, 0.2, 0.5]) | st.floats(-0.2, 1.2),
}


def compare(
    bench: Bench,
    sold: Counter[str],
    scene: tuple[Market, tuple[tuple[Book, str], ...]],
    waited: int,
    share: Fraction,
    leg: float,
    loss: float,
) -> None:
    """Every kind of bid for every account of a scene; what was sold is counted by its kind.

    Parameters
    ----------
    bench : Bench
    sold : Counter
    scene : a market and accounts with their presets
    waited : seconds since the auctions began
    share : of the account, that the bidder takes
    leg : which leg a bidder wants, from the first to the last
    loss : of what the account loses by the largest slice, at which it does
    """
    market, accounts = scene
    a = bench.open()
    names = bench.deployment.names
    clock, time = bench.publish(market, waited)
    for book, preset in accounts:
        state = chain.account(book, market, names, clock)
        s = Situation(
            book,
            market,
            PRESETS[preset],
            *bench.ages(a, time),
            share,
            leg,
            loss,
            auctions.paid_funding(bench, time, state[4]),
        )
        if abs(s.figures.net_value) <= 4 * s.tolerance:
            continue
        sold["accounts"] += 1
        sold[book.mode.value] += 1
        for case in auctions.cases(s, a, names, clock):
            sold[case.name] += auctions.compare(bench, preset, time, state, s, case)
