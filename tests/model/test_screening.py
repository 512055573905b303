"""All accounts at once: the same figures as one by one, and nobody missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_model import methodology, screening
from python_model.margin import assess
from python_model.portfolio import Book, Collateral, Expiry, Kind, Market, Mode
from tests.model.books import MARKET, NOW, claims, future, option, options, perp, positions
from tests.tolerances import NOISE

HOUSE = methodology.load("house")
PRESETS = ("house", "span", "tims", "deribit")
KINDS = (
    *(Collateral(0.0, u.spot, name, 0.06, 0.04) for name, u in MARKET.underlyings.items()),
    Collateral(0.0, 0.998, None, 0.02, 0.01),
)
FIGURES = ("maintenance", "initial", "equity_maintenance", "equity_initial", "option_value")

cash_like = st.integers(1, 50_000).map(lambda n: replace(KINDS[-1], amount=float(n)))
# One holding a kind, as the house has it.
holdings = st.lists(st.one_of(claims, cash_like), max_size=4, unique_by=lambda c: c.underlying).map(tuple)
cash = st.integers(-200_000, 200_000).map(float)
several = st.builds(
    Book,
    st.sampled_from([Mode.CROSS, Mode.PORTFOLIO, Mode.PORTFOLIO]),
    cash,
    holdings,
    st.lists(positions, max_size=8).map(tuple),
)
options_only = st.builds(
    Book, st.sampled_from([Mode.CROSS, Mode.PORTFOLIO]), cash, st.just(()), st.lists(options, max_size=8).map(tuple)
)
alone = st.builds(Book, st.just(Mode.ISOLATED), cash, holdings, st.lists(positions, max_size=1).map(tuple))
many = st.lists(st.one_of(several, options_only, alone), min_size=1, max_size=12)


def gross(book: Book) -> float:
    """What floats err in proportion to (tests/tolerances.py)."""
    legs = sum(abs(p.size) * (2.0 * MARKET.underlyings[p.underlying].spot + (p.strike or 0.0)) for p in book.positions)
    return 1.0 + abs(book.cash) + legs + sum(c.amount * c.price for c in book.collateral)


def same(books: list[Book], market: Market, method: methodology.Methodology, workers: int = 1) -> screening.Figures:
    """The figures of all books, after comparing each with its assessment by itself."""
    got = screening.reprice(screening.gather(books, market, KINDS), market, KINDS, method, workers)
    for i, book in enumerate(books):
        want = assess(book, market, method)
        # Liquidation cost is quadratic: it errs in proportion to itself.
        error = NOISE * (gross(book) + abs(want.initial))
        for name in FIGURES:
            assert getattr(got, name)[i] == pytest.approx(getattr(want, name), rel=0, abs=error), (i, name)
        liquidity = sum(row.liquidity for row in want.charges.values())
        assert got.liquidity[i] == pytest.approx(liquidity, rel=0, abs=error)
        for k, name in enumerate(sorted(market.underlyings)):
            delta = want.greeks[name]["delta"] * market.underlyings[name].spot if name in want.greeks else 0.0
            assert got.delta[i, k] == pytest.approx(delta, rel=0, abs=error)
        haircut = sum(c.amount * c.price * c.haircut_maintenance for c in book.collateral)
        assert got.net_value[i] == pytest.approx(want.equity_maintenance + haircut, rel=0, abs=error)
    return got


@given(many, st.sampled_from(PRESETS))
@settings(deadline=None)
def test_all_at_once_are_as_one_by_one(books, preset):
    same(books, MARKET, methodology.load(preset))


@given(many)
@settings(deadline=None, max_examples=20)
def test_a_forward_that_is_half_fixed_moves_by_half(books):
    def half(e: Expiry) -> Expiry:
        return replace(e, fixed=0.5 if e.expiry == NOW + 86_400 else 0.0)

    rows = {n: replace(u, expiries=tuple(map(half, u.expiries)), depth=0.5) for n, u in MARKET.underlyings.items()}
    same(books, Market(MARKET.as_of, rows), HOUSE)


def test_neither_blocks_nor_threads_change_a_figure(monkeypatch):
    rng = np.random.default_rng(11)
    books = []
    for _ in range(200):
        count = int(rng.integers(0, 9))
        legs = tuple(
            option(
                str(rng.choice(list(MARKET.underlyings))),
                Kind.CALL if rng.random() < 0.5 else Kind.PUT,
                int(rng.choice([1, 7, 30])),
                float(rng.choice([0.8, 1.0, 1.2])),
                float(rng.integers(-5, 6)) or 1.0,
            )
            for _ in range(count)
        )
        books.append(Book(Mode.PORTFOLIO, 1_000.0, (), legs))
    rows = screening.gather(books, MARKET, KINDS)
    whole = screening.reprice(rows, MARKET, KINDS, HOUSE)
    monkeypatch.setattr(screening, "BLOCK", 37)
    for workers in (1, 3):
        parts = screening.reprice(rows, MARKET, KINDS, HOUSE, workers)
        for name in (*FIGURES, "net_value", "doubt"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-9)


def test_no_book_of_absurd_size_spoils_its_neighbours():
    condor = (
        option("ETH", Kind.PUT, 30, 0.85, 10.0),
        option("ETH", Kind.PUT, 30, 0.925, -10.0),
        option("ETH", Kind.CALL, 30, 1.075, -10.0),
        option("ETH", Kind.CALL, 30, 1.15, 10.0),
    )
    plain = Book(Mode.PORTFOLIO, 2_000.0, (), condor)
    absurd = Book(Mode.PORTFOLIO, 0.0, (), (replace(condor[3], strike=9e12, size=9e12),))
    same([plain], MARKET, HOUSE)
    got = screening.reprice(screening.gather([absurd, plain, absurd], MARKET, KINDS), MARKET, KINDS, HOUSE)
    want = assess(plain, MARKET, HOUSE)
    assert got.maintenance[1] == pytest.approx(want.maintenance, abs=1e-6)
    assert want.maintenance < 1_500.0, "no more than the width of one side"


def test_near_are_the_unhealthy_and_those_almost_so_worst_first():
    legs = (perp("ETH", 10.0, 2000.0),)
    needed = assess(Book(Mode.PORTFOLIO, 0.0, (), legs), MARKET, HOUSE)
    profit = needed.equity_maintenance
    # Equity over maintenance margin.
    shares = (1.5, 1.0 + 1e-9, 1.015, 0.2, 1.021, -3.0)
    books = [Book(Mode.PORTFOLIO, share * needed.maintenance - profit, (), legs) for share in shares]
    books += [Book(Mode.PORTFOLIO, -1.0), Book(Mode.PORTFOLIO, 1.0)]
    got = screening.reprice(screening.gather(books, MARKET, KINDS), MARKET, KINDS, HOUSE)
    assert screening.near(got).tolist() == [6, 5, 3, 1, 2]
    assert screening.near(got, 0.0).tolist() == [6, 5, 3, 1]
    assert np.flatnonzero(got.excess < 0.0).tolist() == [3, 5, 6]


def test_the_contracts_own_error_is_within_the_doubt():
    legs = (option("ETH", Kind.CALL, 30, 1.0, -1e6), option("ETH", Kind.PUT, 180, 1.2, 1e6))
    got = screening.reprice(
        screening.gather([Book(Mode.PORTFOLIO, 0.0, (), legs)], MARKET, KINDS), MARKET, KINDS, HOUSE
    )
    forwards = {e.expiry: e.forward for e in MARKET.underlyings["ETH"].expiries}
    notional = sum(1e6 * (forwards[p.expiry] + p.strike) for p in legs)
    assert got.doubt[0] == pytest.approx(4e-9 * notional + 0.01)


def test_what_the_market_lacks_is_named():
    books = screening.gather([Book(Mode.PORTFOLIO, 0.0, (), (future("ETH", 7, 1.0),))], MARKET, KINDS)
    u = MARKET.underlyings["ETH"]
    later = Market(NOW, {**MARKET.underlyings, "ETH": replace(u, expiries=u.expiries[-1:])})
    with pytest.raises(ValueError, match=f"^ETH: no market data for expiry {NOW + 7 * 86_400}"):
        screening.reprice(books, later, KINDS, HOUSE)


def test_nobody_is_no_account():
    got = screening.reprice(screening.gather([], MARKET, KINDS), MARKET, KINDS, HOUSE)
    assert got.excess.size == 0 and screening.near(got).size == 0
