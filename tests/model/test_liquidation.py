"""Auctions of the model: figures worked out by hand, and what no sale may do to anyone (INV-09)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from python_model import liquidation
from python_model.liquidation import BidError, Figures, Terms, figures
from python_model.portfolio import Book, Kind, Mode
from tests.model.books import MARKET, option, perp
from tests.model.distressed import HOUSE, accounts, at_ratio, slack

TERMS = Terms()
PLAIN = Figures(maintenance=1000.0, initial=1250.0, equity_maintenance=800.0, equity_initial=750.0, net_value=900.0)
DEAD = Figures(maintenance=1000.0, initial=1250.0, equity_maintenance=-300.0, equity_initial=-310.0, net_value=-250.0)
# Within a second of both kinks, at the end, and anywhere.
times = st.one_of(st.sampled_from([0, 1, 899, 900, 901, 43_199, 43_200]), st.integers(0, 43_200))
fractions = st.integers(10**17, 10**18).map(lambda n: Fraction(n, 10**18))
many = st.just(Fraction(1)) | fractions


def after(book: Book, sale: liquidation.Sale) -> Figures:
    return figures(liquidation.remaining(book, sale), MARKET, HOUSE)


def health(f: Figures) -> float:
    return f.equity_maintenance - f.maintenance


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_the_discount_rises_from_2_to_30_percent_in_a_quarter_of_an_hour_and_to_all_in_twelve_hours():
    want = [0.02, 0.16, 0.30, 0.30 + 0.70 * 0.5, 1.0, 1.0]
    got = [liquidation.discount(t, TERMS) for t in (0, 450, 900, 900 + 21_150, 43_200, 10**9)]
    assert got == pytest.approx(want, abs=1e-15)


def test_the_largest_slice_by_hand():
    """500 of initial margin are missing; a fraction brings 900 less 2% and 1%: 873."""
    assert liquidation.largest_slice(PLAIN, 0.02, 0.0, TERMS) == pytest.approx(500 / 1373, rel=1e-15)


def test_a_slice_may_be_a_tenth_or_worth_100_usd_and_ten_premiums():
    nearly = replace(PLAIN, equity_initial=1249.0, net_value=3000.0)
    assert liquidation.largest_slice(nearly, 0.02, 0.0, TERMS) == 0.1
    assert liquidation.largest_slice(nearly, 0.02, 50.0, TERMS) == pytest.approx(0.2, rel=1e-15)
    assert liquidation.largest_slice(replace(nearly, net_value=600.0), 0.02, 50.0, TERMS) == 1.0


def test_the_fee_is_no_more_than_what_the_bidder_pays():
    assert [liquidation.fee_rate(d, TERMS) for d in (0.02, 0.99, 0.995, 1.0)] == pytest.approx(
        [0.01, 0.01, 0.005, 0.0], abs=1e-15
    )


def test_the_price_of_an_account_without_value_by_hand():
    """From nothing to 1,000 below -250, in an hour."""
    got = [liquidation.falling_price(DEAD, t, TERMS) for t in (0, 1800, 3600, 7200)]
    assert got == pytest.approx([0.0, -625.0, -1250.0, -1250.0], abs=1e-9)


def test_an_account_that_nobody_bought_at_a_discount_falls_from_its_value():
    got = [liquidation.falling_price(PLAIN, t, TERMS) for t in (0, 1800, 3600)]
    assert got == pytest.approx([900.0, 400.0, -100.0], abs=1e-9)


def test_the_reward_is_the_accounts_then_the_funds_then_none():
    assert liquidation.reward(PLAIN, 0.0, TERMS) == (20.0, 0.0)
    assert liquidation.reward(replace(PLAIN, maintenance=1e6), 0.0, TERMS) == (25.0, 0.0)
    assert liquidation.reward(DEAD, 20.0, TERMS) == (0.0, 20.0)
    assert liquidation.reward(DEAD, 19.9, TERMS) == (0.0, 0.0)


def test_the_premium_by_hand():
    """6 (2000 + 70000) + 4 2000 + 2 250 millionths; where prices may rise fivefold, 15 of spot."""
    legs = (option("ETH", Kind.CALL, 30, 1.0, -3.0), perp("BTC", 1.0))
    for mode, exact in ((Mode.CROSS, 0.4405), (Mode.PORTFOLIO, 0.4405), (Mode.VAR, 1.0885), (Mode.MAX, 1.0885)):
        assert liquidation.premium(Book(mode, 0.0, (), legs), MARKET) == pytest.approx(exact, rel=1e-12)


def test_sizes_are_cut_towards_zero_and_what_would_not_move_stays():
    legs = (perp("ETH", -1.000001), perp("BTC", 0.000003), option("ETH", Kind.PUT, 30, 1.0, 2.0))
    assert [p.size for p in liquidation.part(legs, 0.3)] == [-0.3, 0.6]
    assert [p.size for p in liquidation.part(legs, Fraction(1, 3))] == [-0.333333, 0.000001, 0.666666]


# --- for all accounts ------------------------------------------------------------------------------------------------


@given(early=times, late=times)
def test_no_price_rises_with_time(early, late):
    early, late = sorted((early, late))
    assert liquidation.discount(early, TERMS) <= liquidation.discount(late, TERMS)
    for f in (PLAIN, DEAD):
        assert liquidation.falling_price(f, early, TERMS) >= liquidation.falling_price(f, late, TERMS)


@given(account=accounts(low=0.0), elapsed=times)
def test_the_largest_slice_restores_initial_margin_or_is_all(account, elapsed):
    f = figures(account, MARKET, HOUSE)
    assume(f.net_value > 0.0)
    sale = liquidation.solvent(account, MARKET, f, elapsed)
    then = after(account, sale)
    event("whole" if sale.fraction == 1 else "part")
    if sale.fraction == 1:
        assert not liquidation.remaining(account, sale).positions
        assert then.equity_maintenance >= -slack(account, f)
    else:
        assert then.equity_initial - then.initial >= -slack(account, f)


@given(account=accounts(low=0.0), elapsed=times)
def test_no_slice_is_larger_than_it_must_be(account, elapsed):
    """What restores initial margin exactly, by the identity of the module; or is worth too little; or is a tenth."""
    f = figures(account, MARKET, HOUSE)
    assume(f.net_value > 0.0)
    off, rounding = liquidation.discount(elapsed, TERMS), liquidation.premium(account, MARKET)
    part = liquidation.largest_slice(f, off, rounding, TERMS)
    kept = 1.0 - off - liquidation.fee_rate(off, TERMS)
    above = (1.0 - part) * (f.equity_initial - f.initial) + part * f.net_value * kept
    small = part * f.net_value <= 100.0 + 10.0 * rounding + 1e-9
    assert abs(above) <= slack(account, f) or small or part in (TERMS.minimum_slice, 1.0)


@given(account=accounts(low=0.0), elapsed=times, fraction=many)
def test_no_slice_lowers_the_health_of_what_stays(account, elapsed, fraction):
    """INV-09, for every fraction that may be bought, at any time."""
    f = figures(account, MARKET, HOUSE)
    assume(f.net_value > 0.0)
    sale = liquidation.solvent(account, MARKET, f, elapsed, fraction)
    assert health(after(account, sale)) >= health(f) - slack(account, f)


@given(account=accounts(), elapsed=times, mark=st.integers(0, 7200), fraction=many)
def test_no_sale_without_value_lowers_the_health_of_what_stays(account, elapsed, mark, fraction):
    """INV-09, where the fund has the cash."""
    f = figures(account, MARKET, HOUSE)
    assume(liquidation.is_dead(f, elapsed, TERMS))
    sale = liquidation.insolvent(account, MARKET, f, elapsed, mark, 1e12, fraction)
    assert health(after(account, sale)) >= health(f) - slack(account, f)


@given(account=accounts(), elapsed=times, mark=st.integers(0, 7200), fraction=many)
def test_money_and_legs_only_change_hands(account, elapsed, mark, fraction):
    f = figures(account, MARKET, HOUSE)
    if liquidation.is_dead(f, elapsed, TERMS):
        sale = liquidation.insolvent(account, MARKET, f, elapsed, mark, 1e12, fraction)
    else:
        sale = liquidation.solvent(account, MARKET, f, elapsed, fraction)
    assert abs(sale.account + sale.bidder + sale.fund) <= slack(account, f)
    rest = liquidation.remaining(account, sale)
    bought = liquidation.received(account, sale, Book(account.mode, 0.0))
    sizes: dict[tuple[str, int, float, str], int] = {}
    for p in (*rest.positions, *bought.positions):
        sizes[p.instrument] = sizes.get(p.instrument, 0) + round(p.size * 1e6)
    assert sizes == {p.instrument: round(p.size * 1e6) for p in account.positions}
    amounts = [sum(c.amount for c in b.collateral) for b in (account, rest, bought)]
    assert amounts[0] == pytest.approx(amounts[1] + amounts[2], rel=1e-12)


@given(account=accounts(), elapsed=times, mark=st.integers(0, 7200), fraction=many)
def test_a_bidder_with_the_cash_it_needs_has_initial_margin(account, elapsed, mark, fraction):
    f = figures(account, MARKET, HOUSE)
    if liquidation.is_dead(f, elapsed, TERMS):
        sale = liquidation.insolvent(account, MARKET, f, elapsed, mark, 1e12, fraction)
    else:
        sale = liquidation.solvent(account, MARKET, f, elapsed, fraction)
    assume(sale.needs != float("inf"))
    then = figures(liquidation.received(account, sale, Book(account.mode, sale.needs)), MARKET, HOUSE)
    assert then.equity_initial - then.initial >= -slack(account, f)


@given(account=accounts(), mark=st.integers(0, 7200), fraction=many, fund=st.floats(0.0, 1e6))
def test_the_fund_pays_at_most_maintenance_margin_beyond_the_debt_and_never_what_it_has_not(
    account, mark, fraction, fund
):
    f = figures(account, MARKET, HOUSE)
    assume(f.net_value <= 0.0)
    # After the deleveraging it owes the rest.
    sale = liquidation.insolvent(account, MARKET, f, 0, mark, fund, fraction, deleveraged=True)
    if -sale.fund > fund:
        with pytest.raises(BidError, match="fund is short"):
            liquidation.insolvent(account, MARKET, f, 0, mark, fund, fraction)
    else:
        assert liquidation.insolvent(account, MARKET, f, 0, mark, fund, fraction) == sale
    most = float(fraction) * (max(f.maintenance, TERMS.reward) - f.net_value)
    assert 0.0 <= -sale.fund <= most + slack(account, f)


@given(account=accounts(low=0.3), elapsed=times, data=st.data())
def test_a_targeted_bid_helps_at_least_as_much_as_a_slice_and_takes_no_more(account, elapsed, data):
    """INV-09; the bidder's gain is bounded by that of the largest slice, whatever it chooses."""
    f = figures(account, MARKET, HOUSE)
    assume(f.net_value > 0.0 and elapsed < TERMS.solvent_seconds)
    chosen = data.draw(st.lists(st.sampled_from(account.positions), min_size=1, unique=True))
    package = liquidation.part(tuple(chosen), data.draw(many))
    rest = replace(account, positions=liquidation.less(account.positions, package))
    value = f.net_value - figures(rest, MARKET, HOUSE).net_value
    # A loss of up to the slice's.
    loss = data.draw(st.floats(-0.1, 1.2)) * f.net_value * liquidation.discount(elapsed, TERMS)
    try:
        sale = liquidation.targeted(account, MARKET, HOUSE, elapsed, package, round(value - loss, 6))
    except BidError as refusal:
        event(str(refusal))
        return
    event("sold")
    then = after(account, sale)
    off = liquidation.discount(elapsed, TERMS)
    rounding = liquidation.premium(account, MARKET)
    limit = liquidation.largest_slice(f, off, rounding, TERMS)
    lost = f.net_value - then.net_value
    assert health(then) > health(f) - slack(account, f)
    assert lost <= limit * f.net_value * (off + liquidation.fee_rate(off, TERMS)) + slack(account, f)
    if limit != 1.0:
        # No further above initial margin than the largest slice leaves it; where that is one that restores it, at it.
        kept = f.net_value * (1.0 - off - liquidation.fee_rate(off, TERMS))
        most = max((1.0 - limit) * (f.equity_initial - f.initial) + limit * kept, 0.0) + rounding
        assert then.equity_initial - then.initial <= most + slack(account, f)


def test_a_bidder_may_take_the_risk_and_leave_the_rest():
    """A short call beside a spread that nobody wants: at a small loss, and no slice is worth as much."""
    legs = (option("ETH", Kind.CALL, 30, 1.0, -10.0), perp("SOL", 0.5))
    account = at_ratio(Book(Mode.PORTFOLIO, 0.0, (), legs), 0.95)
    f = figures(account, MARKET, HOUSE)
    call = replace(account.positions[0], size=-2.0)
    rest = replace(account, positions=liquidation.less(account.positions, (call,)))
    value = f.net_value - figures(rest, MARKET, HOUSE).net_value
    sale = liquidation.targeted(account, MARKET, HOUSE, 60, (call,), value - 10.0)
    then = after(account, sale)
    assert sale.fee == pytest.approx(10.0 * 0.01 / liquidation.discount(60, TERMS), rel=1e-9)
    assert health(then) > health(f)
    gain = health(then) + sale.fee + 10.0 - health(f)
    for share, reason in ((0.5, "a slice is better"), (1.1, "no better")):
        with pytest.raises(BidError, match=reason):
            liquidation.targeted(account, MARKET, HOUSE, 60, (call,), value - share * gain)
    with pytest.raises(BidError, match="size"):
        liquidation.targeted(account, MARKET, HOUSE, 60, (replace(call, size=-10.5),), 0.0)
    with pytest.raises(BidError, match="size"):
        liquidation.targeted(account, MARKET, HOUSE, 60, (replace(call, size=2.0),), 0.0)


def test_who_is_refused():
    account = at_ratio(Book(Mode.PORTFOLIO, 0.0, (), (perp("ETH", 10.0),)), 0.5)
    f = figures(account, MARKET, HOUSE)
    healthy = replace(f, equity_maintenance=f.maintenance)
    dead = replace(f, net_value=0.0)
    cases = [
        ("healthy", lambda: liquidation.solvent(account, MARKET, healthy, 0)),
        ("no value", lambda: liquidation.solvent(account, MARKET, dead, 0)),
        ("no value", lambda: liquidation.solvent(account, MARKET, f, 43_201)),
        ("slice too small", lambda: liquidation.solvent(account, MARKET, f, 0, 0.0999)),
        ("healthy", lambda: liquidation.insolvent(account, MARKET, healthy, 0, 0, 0.0)),
        ("has value", lambda: liquidation.insolvent(account, MARKET, f, 43_200, 0, 0.0)),
        ("not marked", lambda: liquidation.insolvent(account, MARKET, dead, 0, None, 0.0)),
        ("not marked", lambda: liquidation.insolvent(account, MARKET, dead, 0, 7201, 0.0)),
        ("slice too small", lambda: liquidation.insolvent(account, MARKET, dead, 0, 0, 0.0, 0.0999)),
        ("fund is short", lambda: liquidation.insolvent(account, MARKET, dead, 0, 3600, 0.0)),
        ("healthy", lambda: liquidation.targeted(at_ratio(account, 1.1), MARKET, HOUSE, 0, (), 0.0)),
    ]
    for reason, bid in cases:
        with pytest.raises(BidError, match=reason):
            bid()
