"""Who shares a loss in the model, and how much: by hand, and for all books."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import deleveraging
from python_model.deleveraging import Candidate, Closing
from python_model.liquidation import figures, without_entries
from python_model.portfolio import Book, Mode
from tests.model.books import MARKET, perp
from tests.model.distressed import HOUSE

ETH, BTC = ("ETH", 0, 0.0, "perp"), ("BTC", 0, 0.0, "perp")
MARKS = {ETH: 2000.0, BTC: 70_000.0}


def candidate(
    account: int, profit: float = 1e9, notional: float = 1.0, equity: float = 1e9, **sizes: float
) -> Candidate:
    return Candidate(account, profit, notional, equity, {{"eth": ETH, "btc": BTC}[k]: v for k, v in sizes.items()})


def test_the_order_is_profit_times_leverage():
    rows = [
        candidate(1, profit=100.0, notional=1000.0, equity=1000.0),
        candidate(2, profit=50.0, notional=5000.0, equity=1000.0),
        candidate(3, profit=100.0, notional=1000.0, equity=1000.0),
        candidate(4, profit=0.0, notional=1000.0, equity=1.0),
        candidate(5, profit=10.0, notional=1000.0, equity=-1.0),
    ]
    assert [c.account for c in deleveraging.ranked(rows)] == [2, 1, 3]
    assert [c.account for c in deleveraging.ranked(rows, 2)] == [2, 1]


def test_the_fund_pays_first():
    assert deleveraging.deficit(-500.0, 120.0) == 380.0
    assert deleveraging.deficit(-500.0, -3.0) == 500.0
    assert deleveraging.deficit(-500.0, 600.0) == 0.0
    assert deleveraging.deficit(1.0, 0.0) == 0.0


def test_the_bankruptcy_price_by_hand():
    """Long 35 ETH and short 1 BTC, 140,000 USD, with 1,400 missing: a hundredth of each."""
    result = deleveraging.close(
        {ETH: 35.0, BTC: -1.0},
        MARKS,
        1400.0,
        [candidate(1, eth=-10.0), candidate(2, eth=-50.0, btc=0.25), candidate(3, btc=9.0)],
    )
    assert [c.account for c in result.closings] == [1, 2, 3]
    assert [dict(c.sizes) for c in result.closings] == [{ETH: 10.0}, {ETH: 25.0, BTC: -0.25}, {BTC: -0.75}]
    assert [c.paid for c in result.closings] == pytest.approx([200.0, 675.0, 525.0], rel=1e-12)
    assert not result.sizes
    assert result.deficit == pytest.approx(0.0, abs=1e-9)
    assert deleveraging.bankruptcy_price(2000.0, 35.0, 0.01) == pytest.approx(2020.0, rel=1e-15)
    assert deleveraging.bankruptcy_price(70_000.0, -1.0, 0.01) == pytest.approx(69_300.0, rel=1e-15)


def test_nobody_pays_more_than_it_gained():
    result = deleveraging.close({ETH: 10.0}, MARKS, 200.0, [candidate(1, profit=50.0, eth=-10.0)])
    assert [dict(c.sizes) for c in result.closings] == [{ETH: 2.5}]
    assert result.closings[0].paid == pytest.approx(50.0, rel=1e-12)
    assert (dict(result.sizes), result.deficit) == ({ETH: 7.5}, pytest.approx(150.0, rel=1e-12))


def test_who_holds_the_same_side_or_would_not_be_healthy_is_passed_over():
    rows = [candidate(1, eth=5.0), candidate(2, eth=-5.0), candidate(3, eth=-5.0)]
    result = deleveraging.close({ETH: 5.0}, MARKS, 10.0, rows, lambda c, closing: c.account != 2)
    assert [c.account for c in result.closings] == [3]


def test_who_is_healthy_is_asked_of_the_margin_model():
    """A candidate whose other leg is hedged by what would be closed: without it, it has no maintenance margin."""
    legs = {1: (perp("ETH", -5.0), perp("BTC", 0.15)), 2: (perp("ETH", -5.0),)}
    books = {i: without_entries(Book(Mode.PORTFOLIO, 0.0, (), rows), MARKET) for i, rows in legs.items()}
    for i, book in books.items():
        f = figures(book, MARKET, HOUSE)
        books[i] = replace(book, cash=book.cash + 1.1 * f.maintenance - f.equity_maintenance)

    def stays_healthy(c: Candidate, closing: Closing) -> bool:
        book = books[c.account]
        rest = tuple(
            replace(p, size=p.size + closing.sizes.get(p.instrument, 0.0))
            for p in book.positions
            if p.size + closing.sizes.get(p.instrument, 0.0) != 0.0
        )
        value = sum(size * MARKS[key] for key, size in closing.sizes.items())
        f = figures(replace(book, cash=book.cash - value - closing.paid, positions=rest), MARKET, HOUSE)
        return not f.is_unhealthy

    rows = [candidate(i, eth=-5.0) for i in (1, 2)]
    result = deleveraging.close({ETH: 5.0}, {ETH: 2001.0}, 1.0, rows, stays_healthy)
    assert [c.account for c in result.closings] == [2]


sizes = st.integers(-(10**9), 10**9).map(lambda n: n / 1e6)
amounts = st.floats(0.0, 1e7)


@given(
    eth=sizes,
    btc=sizes,
    missing=amounts,
    rows=st.lists(st.tuples(amounts, amounts, sizes, sizes), max_size=20),
)
def test_what_is_paid_and_what_is_missing_is_the_deficit(eth, btc, missing, rows):
    candidates = [Candidate(i, p, 1.0, e, {ETH: x, BTC: y}) for i, (p, e, x, y) in enumerate(rows)]
    account = {ETH: eth, BTC: btc}
    result = deleveraging.close(account, MARKS, missing, deleveraging.ranked(candidates))
    noise = 1e-9 * (1.0 + missing)
    assert len(result.closings) <= deleveraging.MOST
    assert -noise <= result.deficit <= missing + noise
    left = {key: result.sizes.get(key, 0.0) for key in account}
    notional = sum(abs(account[key]) * MARKS[key] for key in account)
    rest = sum(abs(left[key]) * MARKS[key] for key in account)
    # Each unit carries its share: what is open still is missing still.
    if notional:
        assert result.deficit == pytest.approx(missing * rest / notional, abs=1e-9 * (1.0 + missing))
    for key, size in account.items():
        closed = sum(c.sizes.get(key, 0.0) for c in result.closings)
        assert round((closed + left[key] - size) * 1e6) == 0
        assert abs(left[key]) <= abs(size)
    for c in result.closings:
        of = candidates[c.account]
        assert c.paid <= min(of.profit, of.equity) + noise
        # It closes, and never turns, a position.
        assert all(of.sizes[key] * size < 0.0 and abs(size) <= abs(of.sizes[key]) for key, size in c.sizes.items())
