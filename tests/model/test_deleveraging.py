"""Who shares a loss in the model, and how much: by hand, and for all books."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from python_model import deleveraging
from python_model.deleveraging import Fixing, Nomination, NominationError, Round
from python_model.liquidation import figures, without_entries
from python_model.portfolio import Book, Collateral, Kind, Mode, Position, net
from tests.model.books import MARKET, claims, future, option, perp, positions
from tests.model.distressed import HOUSE, slack

# Spot is 2,000 and 70,000: shorts of ether gained 2,000 a unit, and longs of bitcoin 35,000.
FALL = ({"ETH": 4000.0, "BTC": 35_000.0}, {})
RICH = 1e7


def worth(usd: float, *legs: Position, collateral: tuple[Collateral, ...] = (), mode: Mode = Mode.PORTFOLIO) -> Book:
    """A book without entries, of so much net value."""
    book = without_entries(Book(mode, 0.0, collateral, legs), MARKET)
    return replace(book, cash=usd - deleveraging.net_value(replace(book, cash=0.0), MARKET))


def close(account: Book, *holders: Book, fund: float = 0.0, fixings: tuple[Fixing, ...] = FALL) -> Round:
    """A round in which candidates 1, 2 and so on are taken."""
    return deleveraging.close(Round(account, fund), list(enumerate(holders, 1)), MARKET, HOUSE, fixings)


def sizes(legs: tuple[Position, ...]) -> list[float]:
    return [p.size for p in legs]


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_opposite_legs_are_what_both_have():
    account = (perp("BTC", -1.0), perp("ETH", 5.0), future("ETH", 7, 2.0), perp("SOL", 3.0))
    other = (perp("BTC", 0.25), perp("ETH", -8.0), future("ETH", 30, -2.0), perp("SOL", 3.0))
    assert deleveraging.opposite(account, other) == (perp("BTC", -0.25), perp("ETH", 5.0))
    assert deleveraging.opposite(other, account) == (perp("BTC", 0.25), perp("ETH", -5.0))


def test_a_gain_is_since_the_fixing_that_makes_it_more():
    long = (perp("ETH", 10.0), future("BTC", 30, -1.0))
    yesterday, before = {"ETH": 2100.0, "BTC": 69_000.0}, {"ETH": 2200.0, "BTC": 69_500.0}
    assert deleveraging.gain(long, MARKET, (yesterday, before)) == 10 * 200.0 + 500.0
    assert deleveraging.gain(long, MARKET, (before, yesterday)) == 10 * 200.0 + 500.0
    assert deleveraging.gain(long, MARKET, (yesterday, {})) == 10 * 100.0 + 1000.0
    # Of all legs together since one of them, not of each since its best.
    assert deleveraging.gain(long, MARKET, ({"ETH": 2100.0}, {"BTC": 69_500.0})) == 1000.0
    assert deleveraging.gain((perp("ETH", -10.0),), MARKET, (yesterday, before)) == 0.0


def test_an_option_counts_by_its_value():
    written, held = option("ETH", Kind.PUT, 30, 1.1, -2.0), option("ETH", Kind.PUT, 30, 1.1, 2.0)
    value = deleveraging.value((held,), MARKET)
    assert deleveraging.gain((written,), MARKET, ({}, {})) == value > 300.0
    assert deleveraging.gain((held,), MARKET, ({}, {})) == 0.0
    # What its writer would pay to be out is a loss, which a perpetual may make good.
    assert deleveraging.gain((held, perp("ETH", 1.0)), MARKET, FALL) == pytest.approx(2000.0 - value, rel=1e-12)


def test_the_score_is_gain_times_leverage():
    account = worth(-1.0, perp("ETH", 10.0))
    candidate = worth(25_000.0, perp("ETH", -4.0), perp("BTC", 0.5))
    score = deleveraging.score(account, candidate, MARKET, HOUSE, FALL)
    assert score == pytest.approx(4 * 2000.0 * (8000.0 + 35_000.0) / 25_000.0, rel=1e-12)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (worth(100.0, perp("ETH", -4.0)), "unhealthy"),
        (worth(0.0), "unhealthy"),
        (worth(RICH, perp("ETH", 4.0)), "no opposite legs"),
    ],
)
def test_who_cannot_be_nominated(candidate: Book, reason: str):
    with pytest.raises(NominationError, match=reason):
        deleveraging.score(worth(-1.0, perp("ETH", 10.0)), candidate, MARKET, HOUSE, FALL)


def test_the_best_sixteen_are_kept_and_of_equal_ones_the_first():
    ranking: tuple[Nomination, ...] = ()
    for i in range(16):
        ranking = deleveraging.entered(ranking, Nomination(i, float(i // 2)))
    assert [n.candidate for n in ranking] == [14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1]
    with pytest.raises(NominationError, match="rank"):
        deleveraging.entered(ranking, Nomination(16, 0.0))
    better = deleveraging.entered(ranking, Nomination(16, 7.0))
    assert [n.candidate for n in better] == [14, 15, 16, *range(12, 14), 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0]
    # Ranked anew, behind those with the same score.
    assert [n.candidate for n in deleveraging.entered(better, Nomination(14, 7.0))][:3] == [15, 16, 14]


def test_the_bankruptcy_price_by_hand():
    """Long 35 ETH and short 1 BTC, 140,000 USD, with 1,400 missing: a hundredth of each."""
    r = close(
        worth(-1400.0, perp("ETH", 35.0), perp("BTC", -1.0)),
        worth(RICH, perp("ETH", -10.0)),
        worth(RICH, perp("ETH", -50.0), perp("BTC", 0.25)),
        worth(RICH, perp("BTC", 9.0)),
    )
    assert [sizes(c.package) for c in r.closings] == [[10.0], [-0.25, 25.0], [-0.75]]
    assert [c.loss for c in r.closings] == pytest.approx([200.0, 675.0, 525.0], rel=1e-9)
    assert [c.value for c in r.closings] == pytest.approx([20_010.0, 50_025.0 - 17_508.75, -52_526.25], rel=1e-12)
    assert [sizes(c.holder.positions) for c in r.closings] == [[], [-25.0], [8.25]]
    assert deleveraging.net_value(r.closings[0].holder, MARKET) == pytest.approx(RICH - 200.0, rel=1e-12)
    assert (r.account.positions, r.passed_over) == ((), ())
    assert r.account.cash == pytest.approx(0.0, abs=1e-9)
    assert r.uncovered == pytest.approx(0.0, abs=1e-9)


def test_the_fund_pays_its_part_for_what_is_closed_alone():
    r = close(worth(-5500.0, perp("ETH", 10.0)), worth(RICH, perp("ETH", -0.1)), fund=2000.0)
    (c,) = r.closings
    assert (c.fund, c.loss, r.fund) == pytest.approx((20.0, 35.0, 1980.0), rel=1e-9)
    assert deleveraging.net_value(r.account, MARKET) == pytest.approx(-5445.0, rel=1e-9)


@pytest.mark.parametrize(("fund", "paid"), [(-300.0, 0.0), (0.0, 0.0), (6000.0, 5500.0)])
def test_a_fund_that_owes_pays_nothing_and_one_that_can_all(fund: float, paid: float):
    r = close(worth(-5500.0, perp("ETH", 10.0)), worth(RICH, perp("ETH", -10.0)), fund=fund)
    (c,) = r.closings
    assert (c.fund, c.loss, r.fund) == pytest.approx((paid, 5500.0 - paid, fund - paid), rel=1e-9)


def test_what_a_gain_does_not_cover_is_not_passed_on():
    """Two have gained 100 each by five: of 1,000 missing each bears 100, and not the second one 900."""
    fixings = ({"ETH": 2020.0}, {})
    holders = [worth(RICH, perp("ETH", -5.0)) for _ in range(2)]
    r = close(worth(-1000.0, perp("ETH", 10.0)), *holders, fixings=fixings)
    assert [(c.share, c.loss) for c in r.closings] == [pytest.approx((500.0, 100.0), rel=1e-9)] * 2
    assert (r.uncovered, r.account.cash) == pytest.approx((800.0, -800.0), rel=1e-9)


def test_an_account_that_is_healthy_again_is_left_alone():
    """It has value, and was not bought: nobody bears anything, and there is less to hold."""
    account = worth(1000.0, perp("ETH", 10.0))
    assert figures(account, MARKET, HOUSE).is_unhealthy
    r = close(account, *(worth(RICH, perp("ETH", -8.0)) for _ in range(2)))
    assert [(c.candidate, c.loss, c.fund) for c in r.closings] == [(1, 0.0, 0.0)]
    assert sizes(r.account.positions) == [2.0]


def test_who_holds_the_same_side_or_nothing_any_more_is_passed_over():
    holders = (worth(RICH, perp("ETH", 5.0)), worth(RICH, perp("ETH", -5.0)), worth(RICH, perp("ETH", -5.0)))
    r = close(worth(-10.0, perp("ETH", 5.0), perp("BTC", 1.0)), *holders)
    assert ([c.candidate for c in r.closings], r.passed_over) == ([2], (1, 3))


def test_who_would_lose_its_hedge_is_passed_over():
    """Short ether against bitcoin: without the ether there is no maintenance margin."""
    hedged, plain = worth(RICH, perp("ETH", -5.0), perp("BTC", 0.15)), worth(RICH, perp("ETH", -5.0))
    f = figures(hedged, MARKET, HOUSE)
    hedged = replace(hedged, cash=hedged.cash + 1.1 * f.maintenance - f.equity_maintenance)
    assert not figures(hedged, MARKET, HOUSE).is_unhealthy
    r = close(worth(-1.0, perp("ETH", 5.0)), hedged, plain)
    assert ([c.candidate for c in r.closings], r.passed_over) == ([2], (1,))


# --- for all books ---------------------------------------------------------------------------------------------------

amounts = st.floats(0.0, 1e6)
prices = st.floats(0.5, 2.0)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Book, float, list[Book], tuple[Fixing, Fixing]]:
    """A bankrupt account, a fund, candidates that hold parts of its legs on either side, and fixings."""
    legs = net(tuple(draw(st.lists(positions, min_size=1, max_size=4))), MARKET) or (perp("ETH", 1.0),)
    collateral = tuple(draw(st.lists(claims, max_size=1)))
    mode = draw(st.sampled_from([Mode.PORTFOLIO, Mode.CROSS]))
    account = worth(-draw(amounts), *legs, collateral=collateral, mode=mode)
    holders = []
    for _ in range(draw(st.integers(1, 5))):
        parts = [draw(st.sampled_from([-0.4, 0.0, 0.5, 1.0, 1.0, 1.7])) for _ in legs]
        theirs = (replace(p, size=round(-p.size * x, 6)) for p, x in zip(legs, parts, strict=True))
        holders.append(worth(draw(st.sampled_from([1e9, 1e6])), *(p for p in theirs if p.size != 0.0)))
    fund = draw(st.sampled_from([0.0, -1.0]) | amounts)
    days = [{name: u.spot * draw(prices) for name, u in MARKET.underlyings.items()} for _ in range(2)]
    return account, fund, holders, (days[0], days[1])


@given(rounds())
def test_every_dollar_missing_is_borne_paid_or_uncovered(drawn):
    account, fund, holders, fixings = drawn
    r = close(account, *holders, fund=fund, fixings=fixings)
    event(f"closed {len(r.closings)}, passed over {len(r.passed_over)}, left {bool(r.account.positions)}")
    noise = slack(account) + sum(slack(h) for h in holders)
    missing = max(-deleveraging.net_value(account, MARKET), 0.0)
    borne, paid = sum(c.loss for c in r.closings), sum(c.fund for c in r.closings)
    after = deleveraging.net_value(r.account, MARKET)
    assert after == pytest.approx(borne + paid - missing, abs=noise)
    assert r.fund == pytest.approx(fund - paid, abs=noise)
    assert r.uncovered == pytest.approx(sum(c.share - c.loss for c in r.closings), abs=noise)
    if not r.account.positions:
        assert borne + paid + r.uncovered == pytest.approx(missing, abs=noise)
        assert after == pytest.approx(-r.uncovered, abs=noise)
    # A dollar of notional costs everybody the same, and what is open has as much to bear still.
    whole = deleveraging.notional(account.positions, MARKET)
    for c in r.closings:
        each = max(missing - max(fund, 0.0), 0.0) / whole
        assert c.share == pytest.approx(each * c.notional, abs=noise)
        assert c.fund == pytest.approx(min(max(fund, 0.0), missing) * c.notional / whole, abs=noise)


@given(rounds())
def test_nobody_pays_more_than_it_gained_or_turns_a_position(drawn):
    account, fund, holders, fixings = drawn
    r = close(account, *holders, fund=fund, fixings=fixings)
    left = {p.instrument: p.size for p in account.positions}
    for c in r.closings:
        holder = holders[c.candidate - 1]
        assert 0.0 <= c.loss <= deleveraging.gain(c.package, MARKET, fixings)
        assert c.fund >= 0.0
        given_up = deleveraging.net_value(holder, MARKET) - deleveraging.net_value(c.holder, MARKET)
        assert given_up == pytest.approx(c.loss, abs=slack(account) + slack(holder))
        assert not figures(c.holder, MARKET, HOUSE).is_unhealthy
        held = {p.instrument: p.size for p in holder.positions}
        kept = {p.instrument: p.size for p in c.holder.positions}
        for p in c.package:
            assert 0.0 < abs(p.size) <= abs(left[p.instrument])
            assert held[p.instrument] * p.size < 0.0
            assert kept.get(p.instrument, 0.0) == round(held[p.instrument] + p.size, 6)
            assert kept.get(p.instrument, 0.0) * p.size <= 0.0
            left[p.instrument] = round(left[p.instrument] - p.size, 6)
    assert {p.instrument: p.size for p in r.account.positions} == {key: size for key, size in left.items() if size}
