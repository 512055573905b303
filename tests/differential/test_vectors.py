"""Published figures, priced by the contracts: the kernel alone, and the engine with its market data.

The kernel takes a vol and a rate at 1e-18, so nothing but its own error stands between it and an exact price.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from python_model import black, methodology
from python_model.portfolio import SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from scripts import chain, normal_table
from tests import tolerances as t
from tests.model.vectors import (
    BLACK76,
    HAUG_GREEKS,
    HAUG_VALUES,
    SPAN_CALL,
    SPAN_COVERED,
    SPAN_FUTURE,
    SVI_VOLS,
    VOLLIB,
)
from tests.unit.pricing_kernel import calls

pytestmark = pytest.mark.differential

WAD = 10**18
YEAR = 365 * 86_400
AS_OF = 1_770_336_000
UNIT = 10**6
OPTION = {True: Kind.CALL, False: Kind.PUT}
PRESETS = ("house", "span", "tims")


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """The engine with what it reads, one underlying U."""
    presets = [methodology.load(name) for name in PRESETS]
    return chain.deploy_engine(project_contracts, deployer, presets, chain.ids(["U"]))


@pytest.fixture(scope="module")
def kernel(deployment: chain.Deployment) -> Any:
    return deployment.kernel


@pytest.fixture(scope="module")
def harness(project_contracts: Any, deployer: Any) -> Any:
    return deployer.deploy(project_contracts.LibraryHarness, normal_table.words())


def forward_of(S: float, q: float, r: float, tau: float) -> float:
    return S * math.exp((r - q) * tau)


def price_bound(F: float, K: float, D: float = 1.0) -> float:
    """What the normal table does to a price, and the floats to the model's."""
    return (t.CDF_ERROR + t.NOISE) * D * (F + K)


def kernel_value(kernel: Any, F: float, K: float, vol: float, tau: float, r: float, is_call: bool) -> float:
    """Value of one option by the kernel, F, K, vol and r as written."""
    market = calls.Market(chain.wad(F), chain.wad(vol), round(tau * YEAR), chain.wad(r))
    legs = [calls.leg(chain.scaled(K, 6), chain.KINDS[OPTION[is_call]], UNIT)]
    return calls.scan(kernel, market, legs).value / WAD


# --- the kernel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_call", "K", "S", "q", "r", "tau", "vol", "expected"), HAUG_VALUES)
def test_haug_values(kernel, is_call, K, S, q, r, tau, vol, expected):
    F, D = forward_of(S, q, r, tau), math.exp(-r * tau)
    value = kernel_value(kernel, F, K, vol, tau, r, is_call)
    assert value == pytest.approx(float(black.value(F, K, vol, tau, D, is_call)), abs=price_bound(F, K))
    # Printed to four digits, the last of them not always rounded.
    assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("row", VOLLIB)
def test_vollib_values(kernel, row):
    S, K, r, tau, vol, call, put = row[:7]
    F, D = forward_of(S, 0.0, r, tau), math.exp(-r * tau)
    for is_call, expected in ((True, call), (False, put)):
        value = kernel_value(kernel, F, K, vol, tau, r, is_call)
        assert value == pytest.approx(float(black.value(F, K, vol, tau, D, is_call)), abs=price_bound(F, K))
        # Ten significant digits are given.
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9 + price_bound(F, K))


# Left out: a vol of 2500% (M-1 clamps at 1000%), a strike of zero and a forward of zero, which no contract admits.
WITHIN_DOMAIN = [row for row in BLACK76 if row[1] <= 10 and row[2] > 0 and row[3] > 0]


@pytest.mark.parametrize(("seconds", "vol", "F", "K", "D", "call", "put"), WITHIN_DOMAIN)
def test_extreme_values(kernel, seconds, vol, F, K, D, call, put):
    tau = seconds / YEAR
    for is_call, expected in ((True, call), (False, put)):
        value = kernel_value(kernel, F, K, vol, tau, -math.log(D) / tau, is_call)
        assert value == pytest.approx(expected, abs=price_bound(F, K))


@pytest.mark.parametrize(("tau", "a", "b", "rho", "m", "sigma", "F", "K", "expected"), SVI_VOLS)
def test_svi_vols(kernel, tau, a, b, rho, m, sigma, F, K, expected):
    """The vol that a strip's vegas are weighted with."""
    seconds, ln = round(tau * YEAR), calls.log(chain.wad(F))
    surface = (*(chain.wad(x) for x in (a, b, rho, m, sigma)), seconds, ln)
    expiry = (chain.wad(F), ln, 0, seconds, WAD, surface)
    words = [calls.leg(chain.scaled(K, 6), chain.KINDS[Kind.CALL], UNIT)]
    strip = chain.call_at(kernel.scan, AS_OF, words, 0, 1, expiry, calls.ladder([]))
    assert strip.vega_vol / strip.vega == pytest.approx(expected, rel=1e-12)


# Of HAUG_VALUES, one strike at three prices: what a move of 10% does, with the same vol.
HAUG_MOVES = [
    (is_call, tau, vol, {S: value for c, _, S, q, _, t_, v, value in HAUG_VALUES if q == 0.1 and (c, t_, v) == key})
    for key in [(c, t_, v) for c in (True, False) for t_ in (0.1, 0.5) for v in (0.15, 0.25, 0.35)]
    for is_call, tau, vol in [key]
]


@pytest.mark.parametrize(("is_call", "tau", "vol", "values"), HAUG_MOVES)
def test_haug_values_after_a_move(kernel, is_call, tau, vol, values):
    """The same figures out of the scenario grid, which has another path to a price."""
    market = calls.Market(100 * WAD, chain.wad(vol), round(tau * YEAR), WAD // 10)
    words = [calls.leg(100 * UNIT, chain.KINDS[OPTION[is_call]], UNIT)]
    factors = (WAD * 9 // 10, WAD, WAD * 11 // 10)
    pnl = calls.scan(kernel, market, words, [calls.Level(factors)]).pnl
    for got, S in zip(pnl, (90.0, 100.0, 110.0), strict=True):
        # Two printed figures of four digits.
        assert got / WAD == pytest.approx(values[S] - values[100.0], abs=1.5e-4)


# --- the engine ------------------------------------------------------------------------------------------------------


def single(S: float, F: float, r: float, tau: float, vol: float, confidence: float = 0.0) -> Market:
    """One underlying with one expiry and a flat vol, in the decimals of the market data."""
    seconds = round(tau * YEAR)
    # A variance of one year: at 1e-12 it keeps more of a vol than its square over a short tenor.
    surface = SVI(round(vol * vol, 12), 0.0, 0.0, 0.0, 1.0, 1.0, round(F, 9))
    expiry = Expiry(AS_OF + seconds, round(F, 9), round(r, 12), surface)
    return Market(AS_OF, {"U": Underlying(S, confidence, 0.16, S, (expiry,))})


def explain(deployment: chain.Deployment, ape_chain: Any, market: Market, preset: str, *legs: Position) -> Any:
    """The engine's figures of a book on cash, as plain numbers."""
    now = ape_chain.blocks.head.timestamp + 10
    ape_chain.pending_timestamp = now
    clock = chain.publish(deployment, market, now)
    book = Book(Mode.PORTFOLIO, 0.0, (), legs)
    account = chain.account(book, market, deployment.names, clock)
    assessment, reports = chain.call_at(deployment.reports[preset].explain, now, account)
    assert assessment.fresh
    assert chain.call_at(deployment.engines[preset].assess, now, account) == assessment
    return chain.result(assessment, reports, deployment.names)


def option(K: float, is_call: bool, tau: float, size: float = 1.0) -> Position:
    return Position("U", OPTION[is_call], size, AS_OF + round(tau * YEAR), K)


@pytest.mark.parametrize(("greek", "is_call", "K", "S", "q", "r", "tau", "vol", "expected"), HAUG_GREEKS)
def test_haug_greeks(deployment, ape_chain, greek, is_call, K, S, q, r, tau, vol, expected):
    market = single(S, forward_of(S, q, r, tau), r, tau, vol)
    greeks = explain(deployment, ape_chain, market, "house", option(K, is_call, tau))["greeks"]["U"]
    assert greeks[greek] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("row", VOLLIB)
def test_vollib_values_and_greeks(deployment, ape_chain, row):
    S, K, r, tau, vol, call, put, delta, gamma, vega, put_delta = row
    market = single(S, forward_of(S, 0.0, r, tau), r, tau, vol)
    # Rounding the forward to 1e-9 moves a price by half of that. Prices are given to ten digits, deltas and gammas to
    # nine places.
    rounding = 1e-9 + price_bound(S, K)
    for is_call, value, slope in ((True, call, delta), (False, put, put_delta)):
        got = explain(deployment, ape_chain, market, "house", option(K, is_call, tau))
        greeks = got["greeks"]["U"]
        assert got["option_value"] == pytest.approx(value, rel=1e-9, abs=rounding)
        assert greeks["delta"] == pytest.approx(slope, abs=5e-10 + 2 * t.CDF_ERROR)
        assert greeks["gamma"] == pytest.approx(gamma, abs=5e-10)
        assert greeks["vega"] == pytest.approx(vega, rel=1e-8, abs=1e-8)


def test_tims_1000_shares_at_75_need_11250(deployment, ape_chain):
    got = explain(deployment, ape_chain, single(75.0, 75.0, 0.0, 0.1, 0.3), "tims", Position("U", Kind.PERP, 1000.0))
    # Exact but for the engine's allowance for roundings, 1e-14 USD.
    assert got["maintenance"] == got["initial"] == pytest.approx(11_250, abs=1e-11)
    assert got["charges"]["U"]["scan"] == 11_250


def test_tims_straddle_of_200_contracts_needs_7500(deployment, ape_chain):
    """Far out of the money, so that the valuation points cost less than the minimum of 37.50 a contract of 100.

    One perp of a millionth keeps the defined-risk cap (M-14), which TIMS does not know, from binding.
    """
    tau = 7 / 365
    legs = [option(150.0, True, tau, 10_000.0), option(37.5, False, tau, 10_000.0), Position("U", Kind.PERP, 1e-6)]
    got = explain(deployment, ape_chain, single(75.0, 75.0, 0.0, tau, 0.3), "tims", *legs)
    assert got["charges"]["U"]["short_option"] == 7_500
    bound = t.EPSILON * 10_000 * (75 + 150 + 75 + 37.5)
    assert 7_500 <= got["maintenance"] == got["initial"] <= 7_500 + bound * (1 + 1e-9)


def test_span_array_of_a_future(deployment, ape_chain):
    """The preset gives the array that the book prints, thirds of 10,000 rounded to tens."""
    market = single(62_500.0, 62_500.0, 0.0, 0.1, 0.3)
    got = explain(deployment, ape_chain, market, "span", Position("U", Kind.PERP, 1.0))
    assert [round(pnl, -1) for pnl in got["scenario_pnl"]["U"]] == SPAN_FUTURE


@pytest.mark.parametrize(
    ("pnl", "margin", "scenario"),
    [(SPAN_CALL, 3_990, 13), (SPAN_COVERED, 6_620, 12), ([-p for p in SPAN_FUTURE], 10_000, 10)],
)
def test_span_books_through_the_contract_s_worst_loss(harness, pnl, margin, scenario):
    """The naked call of 3,990 and the covered write of 6,620, from the published arrays."""
    worst = chain.call_at(harness.aggregation_worst, AS_OF, [p * WAD for p in pnl])
    assert (worst, -pnl[worst]) == (scenario, margin)
