"""Unhealthy accounts: books whose cash is set so that maintenance equity is a given part of maintenance margin."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from python_model import methodology
from python_model.liquidation import Figures, figures, without_entries
from python_model.portfolio import Book, Kind, Mode
from tests.model.books import MARKET, claims, option, positions

HOUSE = methodology.load("house")


def at_ratio(book: Book, ratio: float) -> Book:
    """The book without entries, its cash such that `E_mm = ratio MM`, to 1e-6 USD; healthy where it needs nothing."""
    flat = without_entries(book, MARKET)
    f = figures(flat, MARKET, HOUSE)
    return replace(flat, cash=round(flat.cash + ratio * f.maintenance - f.equity_maintenance, 6))


def slack(book: Book, *more: Figures) -> float:
    """Noise of doubles in the figures of a book, USD: 1e-12 of all that is added up, and 1e-6 USD of the cash."""
    marks = {n: max(u.spot, u.perp_mark, *(e.forward for e in u.expiries)) for n, u in MARKET.underlyings.items()}
    gross = sum(abs(p.size) * (marks[p.underlying] + (p.strike or 0.0)) for p in book.positions)
    gross += sum(c.amount * c.price for c in book.collateral) + abs(book.cash)
    return 1e-9 + 1e-11 * (gross + sum(f.maintenance + f.initial for f in more))


# What takes the place of books that need next to nothing: one leg, so that every mode may have it.
SHORT = (option("ETH", Kind.CALL, 30, 1.0, -3.0),)

modes = st.sampled_from([Mode.PORTFOLIO, Mode.PORTFOLIO, Mode.CROSS, Mode.ISOLATED])


@st.composite
def accounts(draw: st.DrawFn, low: float = -0.5, high: float = 0.999) -> Book:
    """An unhealthy account in any mode, with net value or without: of a requirement of at least 10 USD."""
    mode = draw(modes)
    legs = draw(st.lists(positions, min_size=1, max_size=1 if mode is Mode.ISOLATED else 6))
    book = Book(mode, 0.0, tuple(draw(st.lists(claims, max_size=2))), tuple(legs))
    ratio = draw(st.floats(low, high))
    account = at_ratio(book, ratio)
    f = figures(account, MARKET, HOUSE)
    if f.maintenance < 10.0 or not f.is_unhealthy:
        # Legs that net to nothing, or that were paid for whole.
        account = at_ratio(replace(book, positions=SHORT), ratio)
    return account
