"""The kernel alone: prices and profits against mpmath, and what must hold of them whatever the numbers."""

from __future__ import annotations

from decimal import Decimal

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import exposure
from scripts import chain
from tests import tolerances as t
from tests.unit.pricing_kernel.calls import CALL, EXPIRY, MIN_VOL, PUT, WAD, YEAR, Level, Market, ladder, leg, scan
from tests.wide import integers

MICRO = 10**12
ONE = 10**6  # one unit as a size
DAY = 86_400


def exact(market: Market, strike: int, kind: int, factor: int = WAD, vol: int | None = None) -> mpmath.mpf:
    """Value of one option at a shocked forward and vol, 1e-18 (M-2)."""
    with mpmath.workdps(50):
        F, K = mpmath.mpf(market.forward) * factor / WAD, mpmath.mpf(strike) * MICRO
        tau = mpmath.mpf(market.seconds) / YEAR
        v = mpmath.mpf(market.vol if vol is None else vol) / WAD * mpmath.sqrt(tau)
        D = mpmath.exp(-mpmath.mpf(market.rate) / WAD * tau)
        if v == 0:
            call = max(F - K, 0)
        else:
            d1 = mpmath.log(F / K) / v + v / 2
            call = F * mpmath.ncdf(d1) - K * mpmath.ncdf(d1 - v)
        return D * (call if kind == CALL else call - F + K)


def discount(market: Market) -> float:
    return float(mpmath.exp(-mpmath.mpf(market.rate) / WAD * market.seconds / YEAR))


# A forward of 1e-2 to 1e6, strikes around it, minutes to two years, 1% to 1000%.
ratios = st.one_of(integers(700, 1400), integers(100, 10_000), integers(20, 50_000), st.just(1000))
markets = st.builds(
    Market,
    forward=st.builds(lambda m, e: m * 10**e, integers(10**9, 10**10 - 1), integers(7, 14)),
    vol=st.one_of(integers(2 * MIN_VOL, 2 * WAD), integers(2 * MIN_VOL, 10 * WAD), st.just(WAD // 2)),
    seconds=st.one_of(st.sampled_from([60, DAY, 7 * DAY, 30 * DAY]), integers(60, 2 * YEAR)),
    rate=integers(-(WAD // 20), WAD // 5),
    vol_scale=st.just(WAD),
)
kinds = st.sampled_from([CALL, PUT])
sizes = st.one_of(integers(-(10**12), 10**12), st.sampled_from([-ONE, ONE, 1, -1])).filter(bool)
factors = st.one_of(integers(WAD // 20, 5 * WAD), integers(WAD * 8 // 10, WAD * 12 // 10), st.just(WAD))
levels = st.builds(
    Level,
    factors=st.lists(factors, min_size=1, max_size=13, unique=True).map(lambda f: tuple(sorted(f))),
    vol_move=integers(-(WAD // 2), WAD),
    tilt=st.just(0),
    floor=st.just(MIN_VOL),
)


def strike_of(market: Market, ratio: int) -> int:
    return max(market.forward * ratio // 1000 // MICRO, 1)


# --- against mpmath --------------------------------------------------------------------------------------------------


@given(market=markets, ratio=ratios, kind=kinds)
def test_value(kernel, market, ratio, kind):
    strike = strike_of(market, ratio)
    value = scan(kernel, market, [leg(strike, kind, ONE)]).value
    error = abs(float(value - exact(market, strike, kind)))
    # The table; and 1e-16 for the roundings of v and of ln K, which the density passes on.
    assert error <= (t.CDF_ERROR + 1e-16) * discount(market) * (market.forward + strike * MICRO) + 10


@given(market=markets, ratio=ratios, kind=kinds, level=levels)
def test_profit(kernel, market, ratio, kind, level):
    strike = strike_of(market, ratio)
    strip = scan(kernel, market, [leg(strike, kind, ONE)], [level])
    vol = max(market.vol * (WAD + level.vol_move) // WAD, level.floor)
    now = exact(market, strike, kind)
    for factor, pnl in zip(level.factors, strip.pnl, strict=True):
        error = abs(float(pnl - (exact(market, strike, kind, factor, vol) - now)))
        shocked = market.forward * factor // WAD + strike * MICRO
        bound = t.CDF_ERROR * shocked + t.CDF_ERROR * (market.forward + strike * MICRO)
        assert error <= discount(market) * (bound + 2e-16 * shocked) + 10


@given(market=markets, ratio=integers(100, 10_000), kind=kinds)
def test_headline_price_error_of_a_billionth_of_the_forward(kernel, market, ratio, kind):
    """For strikes from a tenth of the forward to ten forwards."""
    strike = strike_of(market, ratio)
    market = market._replace(rate=0)
    value = scan(kernel, market, [leg(strike, kind, ONE)]).value
    assert abs(float(value - exact(market, strike, kind))) <= 1e-9 * market.forward


# --- what holds of any option ----------------------------------------------------------------------------------------


@given(market=markets, ratio=ratios, size=sizes, level=levels)
def test_put_call_parity_is_exact(kernel, market, ratio, size, level):
    """A call less a put of one strike is D (F - K), and moves by D (F' - F): no table is asked."""
    strike = strike_of(market, ratio)
    strip = scan(kernel, market, [leg(strike, CALL, size), leg(strike, PUT, -size)], [level])
    D = strip.discount
    assert abs(strip.value * WAD * ONE - size * (market.forward - strike * MICRO) * D) <= 2 * WAD * ONE + D * ONE
    assert (strip.vega, strip.gamma) == (0, 0)
    assert abs(strip.delta - size * MICRO * D // WAD) <= 1
    for factor, pnl in zip(level.factors, strip.pnl, strict=True):
        moved = market.forward * factor // WAD - market.forward
        assert abs(pnl * WAD * ONE - size * moved * D) <= 2 * WAD * ONE + D * ONE


@given(market=markets, ratio=ratios, a=sizes, b=sizes, level=levels)
def test_a_call_and_a_put_of_one_strike_are_worth_their_sum(kernel, market, ratio, a, b, level):
    strike = strike_of(market, ratio)
    call, put = leg(strike, CALL, a), leg(strike, PUT, b)
    both, one, other = (scan(kernel, market, legs, [level]) for legs in ([call, put], [call], [put]))
    for name in ("value", "delta", "vega", "notional", "short", "gross"):
        assert abs(getattr(both, name) - getattr(one, name) - getattr(other, name)) <= 2 * (1 + discount(market))
    for together, x, y in zip(both.pnl, one.pnl, other.pnl, strict=True):
        assert abs(together - x - y) <= 2 * (1 + discount(market))


@given(market=markets, ratio=ratios, kind=kinds, size=sizes.map(abs), level=levels, factor=integers(2, 1000))
def test_scaling_a_leg_scales_its_profit(kernel, market, ratio, kind, size, level, factor):
    """INV-08: within one unit of the last division times the factor."""
    strike = strike_of(market, ratio)
    one, many, short = (scan(kernel, market, [leg(strike, kind, n)], [level]) for n in (size, size * factor, -size))
    slack = 2 * (1 + discount(market)) * (factor + 1)
    assert abs(many.value - factor * one.value) <= slack
    for x, y, z in zip(one.pnl, many.pnl, short.pnl, strict=True):
        assert abs(y - factor * x) <= slack
        assert abs(x + z) <= slack
    assert 0 <= many.notional - factor * one.notional <= (1 + discount(market)) * factor


@given(market=markets, ratio=ratios, kind=kinds)
def test_value_is_between_its_bounds(kernel, market, ratio, kind):
    strike = strike_of(market, ratio)
    strip = scan(kernel, market, [leg(strike, kind, ONE)])
    F, K, D = market.forward, strike * MICRO, strip.discount / WAD
    slack = t.CDF_ERROR * D * (F + K) + 10
    intrinsic, most = (F - K, F) if kind == CALL else (K - F, K)
    assert D * max(intrinsic, 0) * (1 - 1e-15) - slack <= strip.value <= D * most * (1 + 1e-15) + slack
    assert -t.CDF_ERROR * D <= (strip.delta if kind == CALL else -strip.delta) / WAD <= D * (1 + 1e-15)
    assert strip.gamma >= 0 and strip.vega >= 0


# --- sums and edges --------------------------------------------------------------------------------------------------

MARKET = Market(2000 * WAD, 7 * WAD // 10, 30 * DAY, WAD // 25)
BOOK = [(1500, PUT, 3), (1500, CALL, -2), (2000, CALL, 5), (2000, PUT, -5), (2200, CALL, -1), (2500, PUT, -7)]


def test_sums_are_exact(kernel):
    strip = scan(kernel, MARKET, [leg(strike * ONE, kind, size * ONE) for strike, kind, size in BOOK])
    assert strip.notional == sum(abs(size) * (2000 + strike) for strike, _, size in BOOK) * WAD
    assert strip.short == sum(max(-size, 0) for _, _, size in BOOK) * WAD
    assert strip.gross == sum(abs(size) for _, _, size in BOOK) * WAD
    assert strip.pnl == []


@pytest.mark.parametrize(("rate", "growth"), [(-WAD // 10, "1.105170918075647625"), (WAD // 10, "1")])
def test_the_notional_of_the_bound_counts_discount_factors_above_one(kernel, rate, growth):
    """exp(0.1) after a year; prices err in proportion to it (M-16)."""
    market = MARKET._replace(rate=rate, seconds=YEAR)
    strip = scan(kernel, market, [leg(strike * ONE, kind, size * ONE) for strike, kind, size in BOOK])
    notional = sum(abs(size) * (2000 + strike) for strike, _, size in BOOK)
    assert abs(strip.notional - int(notional * Decimal(growth) * WAD)) <= 2 * notional


def test_only_the_legs_between_first_and_end_count(kernel):
    mine = [leg(strike * ONE, kind, size * ONE) for strike, kind, size in sorted(BOOK)]
    others = [leg(2000 * ONE, CALL, 9 * ONE, EXPIRY - 1), leg(2000 * ONE, CALL, 9 * ONE, EXPIRY + 1)]
    grid = [Level((WAD * 9 // 10, WAD, WAD * 11 // 10))]
    words = sorted([*mine, *others])
    among = chain.call_at(kernel.scan, EXPIRY, words, 1, len(words) - 1, MARKET.expiry(), ladder(grid))
    assert among == scan(kernel, MARKET, mine, grid)


@pytest.mark.parametrize("count", range(1, 28))
def test_every_slot_says_what_a_scenario_alone_says(kernel, count):
    """The cells of a pass are written out one by one; moves by themselves all go through slot 8."""
    prices = tuple(WAD * (60 + 3 * i) // 100 for i in range(count))
    legs = [leg(strike * ONE, kind, size * ONE) for strike, kind, size in BOOK]
    moves = {"vol_move": WAD // 2, "tilt": WAD // 5, "floor": 4 * WAD // 10}
    together = scan(kernel, MARKET, legs, [Level(prices, **moves)])
    alone = scan(kernel, MARKET, legs, [Level((price,), **moves) for price in prices])
    assert together.pnl == alone.pnl
    assert len(set(together.pnl)) == count


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9, 13])
@pytest.mark.parametrize("far", [WAD // 4, 4 * WAD])
def test_a_pass_that_leaves_the_table_says_the_same_to_the_last_bits(kernel, count, far):
    """A move far beyond the table, at either end, sends the whole pass down the path with clamps."""
    market = MARKET._replace(seconds=7 * DAY)
    near = tuple(WAD * (96 + i) // 100 for i in range(count - 1))
    legs = [leg(2000 * ONE, CALL, ONE)]
    outside = scan(kernel, market, legs, [Level(tuple(sorted((*near, far))))]).pnl
    inside = [scan(kernel, market, legs, [Level((factor,))]).pnl[0] for factor in near]
    # What lies beyond is exact: a call is worth nothing or its forward less the strike.
    beyond = outside.pop(0 if far < WAD else -1)
    value = scan(kernel, market, legs).value
    D = scan(kernel, market, legs).discount
    assert abs(beyond + value - (max(2000 * far - 2000 * WAD, 0)) * D // WAD) <= 2
    # The paths truncate a cell at different bits of 2**64.
    for a, b in zip(inside, outside, strict=True):
        assert abs(a - b) <= 2 * 4000 * WAD // 2**64 + 2


def test_passes_are_taken_in_their_order(kernel):
    legs = [leg(2100 * ONE, CALL, ONE), leg(1900 * ONE, PUT, -2 * ONE)]
    rows = [
        Level((WAD, 2 * WAD), vol_move=WAD // 2),
        Level((WAD // 2,), vol_move=-WAD // 4),
        Level((WAD // 2, WAD, 2 * WAD), tilt=-WAD // 5),
    ]
    parts = [scan(kernel, MARKET, legs, [row]).pnl for row in rows]
    assert scan(kernel, MARKET, legs, rows).pnl == [pnl for part in parts for pnl in part]


def test_128_legs_in_64_scenarios(kernel):
    legs = [leg((1000 + 10 * i) * ONE, kind, (i % 7 - 3) * ONE or ONE) for i in range(64) for kind in (CALL, PUT)]
    grid = [Level(tuple(WAD * (50 + i) // 100 for i in range(j, 64, 4)), vol_move=j * WAD // 10) for j in range(4)]
    strip = scan(kernel, MARKET, legs, grid)
    assert len(strip.pnl) == 64
    parts = [scan(kernel, MARKET, [word], grid) for word in legs]
    for i in range(64):
        assert abs(strip.pnl[i] - sum(part.pnl[i] for part in parts)) <= 2 * 128


def test_no_legs(kernel):
    with pytest.raises(RuntimeError, match="revert"):
        scan(kernel, MARKET, [])


# --- shocked vols ----------------------------------------------------------------------------------------------------


def shocked_vol(market: Market, strike: int, level: Level) -> mpmath.mpf:
    """M-5, 1e-18."""
    with mpmath.workdps(50):
        moved = max(WAD + mpmath.mpf(level.vol_move) * market.vol_scale / WAD, 0)
        root = mpmath.sqrt(max(mpmath.mpf(market.seconds) / YEAR, mpmath.mpf(1) / 365))
        tilt = mpmath.log(mpmath.mpf(strike) * MICRO / market.forward) / (2 * root)
        tilted = 1 + mpmath.mpf(level.tilt) / WAD * min(max(tilt, -1), 1)
        return max(market.vol * moved / WAD * tilted, level.floor)


@given(
    market=markets,
    ratio=ratios,
    kind=kinds,
    vol_scale=integers(WAD // 10, 3 * WAD),
    level=st.builds(
        Level,
        factors=st.tuples(factors),
        vol_move=integers(-WAD, WAD),
        tilt=integers(-WAD * 9 // 10, WAD * 9 // 10),
        floor=st.sampled_from([MIN_VOL, 4 * WAD // 10, 2 * WAD]),
    ),
)
def test_shocked_vols(kernel, market, ratio, kind, vol_scale, level):
    market = market._replace(vol_scale=vol_scale)
    strike = strike_of(market, ratio)
    (pnl,) = scan(kernel, market, [leg(strike, kind, ONE)], [level]).pnl
    shocked = exact(market, strike, kind, level.factors[0], shocked_vol(market, strike, level))
    error = abs(float(pnl - (shocked - exact(market, strike, kind))))
    prices = market.forward * level.factors[0] // WAD + strike * MICRO
    bound = t.CDF_ERROR * prices + t.CDF_ERROR * (market.forward + strike * MICRO)
    # The vol itself errs by some 1e-18, which the vega passes on.
    assert error <= discount(market) * (bound + 2e-16 * prices) + 10


@pytest.mark.parametrize("vol_move", [-WAD, -2 * WAD, -10 * WAD])
def test_a_fall_of_vol_stops_at_its_floor(kernel, vol_move):
    """1 + y Y h is floored at 0, so that a tilt cannot turn a negative vol into a positive one."""
    legs = [leg(1800 * ONE, CALL, ONE)]
    fallen = scan(kernel, MARKET, legs, [Level((WAD,), vol_move, tilt=-WAD // 2)])
    floored = scan(kernel, MARKET, legs, [Level((WAD,), -WAD)])
    assert fallen.pnl == floored.pnl


# --- at expiry -------------------------------------------------------------------------------------------------------


@given(market=markets, ratio=ratios, kind=kinds, factor=factors)
def test_at_expiry_it_is_the_intrinsic_value(kernel, market, ratio, kind, factor):
    market = market._replace(seconds=0)
    strike = strike_of(market, ratio)
    strip = scan(kernel, market, [leg(strike, kind, ONE)], [Level((factor,))])

    def intrinsic(price: int) -> int:
        return max(price - strike * MICRO if kind == CALL else strike * MICRO - price, 0)

    # Today's value is exact; in a scenario a least width of 1e-10 stands for none, which adds 0.4e-10 at the money.
    assert strip.value == intrinsic(market.forward)
    shocked = market.forward * factor // WAD
    bound = (t.CDF_ERROR + 0.4e-10) * (shocked + strike * MICRO) + 10
    assert abs(strip.pnl[0] - (intrinsic(shocked) - intrinsic(market.forward))) <= bound
    assert strip.discount == WAD
    assert (strip.gamma, strip.vega, strip.vega_vol) == (0, 0, 0)
    assert abs(strip.theta - market.rate * strip.value // WAD // 365) <= 1


@pytest.mark.parametrize(("kind", "below", "at", "above"), [(CALL, 0, WAD // 2, WAD), (PUT, -WAD, -WAD // 2, 0)])
def test_delta_at_expiry_is_a_step(kernel, kind, below, at, above):
    for forward, delta in ((2000 * WAD - 1, below), (2000 * WAD, at), (2000 * WAD + 1, above)):
        assert scan(kernel, Market(forward, WAD, 0), [leg(2000 * ONE, kind, ONE)]).delta == delta


# --- least payoff ----------------------------------------------------------------------------------------------------


@st.composite
def options(draw: st.DrawFn, greatest: int = 9 * 10**18) -> list[tuple[int, int, int]]:
    """Strike, kind and size of options of one expiry, no instrument twice; some strikes with a call and a put."""
    some = st.one_of(integers(-5, 5), integers(-greatest, greatest)).filter(bool)
    strikes = st.one_of(integers(1, 9), integers(1, greatest))
    rows = draw(st.dictionaries(st.tuples(strikes, kinds), some, min_size=1, max_size=12))
    return sorted((strike, kind, size) for (strike, kind), size in rows.items())


def payoff(rows: list[tuple[int, int, int]], terminal: int) -> int:
    """At a terminal price of 1e-6 units, in 1e-12."""
    return sum(size * max(terminal - strike if kind == CALL else strike - terminal, 0) for strike, kind, size in rows)


def strip_of(kernel, rows: list[tuple[int, int, int]]):
    return scan(kernel, MARKET, [leg(strike, kind, size) for strike, kind, size in rows])


@given(rows=options())
def test_least_payoff_is_exact(kernel, rows):
    """M-14; where there is one."""
    strip = strip_of(kernel, rows)
    assert strip.bounded == (sum(size for _, kind, size in rows if kind == CALL) >= 0)
    if strip.bounded:
        # Linear between strikes: nowhere can it be less than at zero and at the strikes, but at infinity.
        assert strip.least_payoff == min(payoff(rows, at) for at in [0, *(strike for strike, _, _ in rows)]) * 10**6


@given(rows=options(), terminal=integers(0, 10**19))
def test_no_terminal_price_pays_less(kernel, rows, terminal):
    strip = strip_of(kernel, rows)
    if strip.bounded:
        assert payoff(rows, terminal) * 10**6 >= strip.least_payoff


@given(rows=options(greatest=2**20))
def test_least_payoff_is_that_of_the_model(kernel, rows):
    strip = strip_of(kernel, rows)
    strike, kind, size = (np.array(column, float) for column in zip(*rows, strict=True))
    expected = exposure.least_payoff(size, strike, kind == CALL)
    # Doubles hold products of such numbers exactly.
    assert (strip.least_payoff == int(expected) * 10**6) if strip.bounded else (expected == -float("inf"))


@pytest.mark.parametrize(
    ("rows", "least"),
    [
        ([(100, PUT, -1)], -100),
        ([(100, CALL, 1)], 0),
        ([(100, CALL, -1)], None),
        # A call and a put of one strike that cancel in the grid still make a forward.
        ([(100, CALL, 1), (100, PUT, -1)], -100),
        ([(100, CALL, -1), (100, PUT, 1)], None),
        # An iron condor loses its width.
        ([(90, PUT, 1), (95, PUT, -1), (105, CALL, -1), (110, CALL, 1)], -5),
    ],
)
def test_least_payoff_by_hand(kernel, rows, least):
    strip = strip_of(kernel, [(strike * ONE, kind, size * ONE) for strike, kind, size in rows])
    assert strip.bounded == (least is not None)
    if least is not None:
        assert strip.least_payoff == least * WAD
