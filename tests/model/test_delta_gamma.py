"""Value at risk by expansion: cumulants of known laws, the expansion and its integral, books against repricing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import integrate, stats

from python_model import methodology
from python_model.delta_gamma import cornish_fisher, covariance, cumulants, parametric, quadratic
from python_model.monte_carlo import draw
from python_model.portfolio import Kind
from python_model.scenario_set import synthetic
from python_model.tail import Moves, Tail
from python_model.value_at_risk import historical
from tests.model.books import book, future, option, perp
from tests.model.tails import MARKET

HOUSE = methodology.load("house")
MOVES = Tail(synthetic()).moves(MARKET, ["ETH", "BTC"])


# --- cumulants -------------------------------------------------------------------------------------------------------


@given(st.floats(-5, 5), st.floats(-5, 5).filter(lambda g: abs(g) > 0.05), st.floats(0.05, 4))
def test_one_factor_has_the_cumulants_of_a_noncentral_chi_square(a, g, c):
    # a f + g f^2/2 = g c/2 X - a^2/(2g), with X = (f + a/g)^2 / c of one degree and noncentrality a^2/(g^2 c).
    got = cumulants(np.array([a]), np.array([[g]]), np.array([[c]]))
    centre, scale = a * a / (g * g * c), g * c / 2
    # kappa_n of a noncentral chi-square: 2^(n-1) (n-1)! (k + n nc).
    raw = [2 ** (n - 1) * math.factorial(n - 1) * (1 + n * centre) * scale**n for n in (1, 2, 3, 4)]
    raw[0] -= a * a / (2 * g)
    assert got == pytest.approx(raw, rel=1e-9, abs=1e-9)


def test_those_are_the_moments_of_scipy():
    mean, variance, skewness, kurtosis = (float(x) for x in stats.ncx2(1, 1.7).stats("mvsk"))
    nc = math.sqrt(1.7)
    got = cumulants(np.array([2 * nc]), np.array([[2.0]]), np.eye(1))
    assert (got[0] + 1.7, got[1]) == pytest.approx((mean, variance))
    assert (got[2] / got[1] ** 1.5, got[3] / got[1] ** 2) == pytest.approx((skewness, kurtosis))


matrices = arrays.arrays(np.float64, (3, 3), elements=st.integers(-20, 20).map(lambda n: n / 10))
vectors = arrays.arrays(np.float64, 3, elements=st.integers(-20, 20).map(lambda n: n / 10))


@given(vectors, matrices, matrices)
def test_correlated_factors_are_independent_ones_turned(a, g, root):
    curved = g + g.T
    turned = cumulants(root.T @ a, root.T @ curved @ root, np.eye(3))
    got = cumulants(a, curved, root @ root.T)
    size = 1 + np.abs(root).sum() ** 2 * (np.abs(a).sum() ** 2 + np.abs(curved).sum() ** 2 + 1)
    assert got == pytest.approx(turned, rel=1e-8, abs=1e-12 * size**2)


# --- the expansion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.9, 0.975, 0.99])
def test_without_skewness_and_kurtosis_it_is_the_normal(alpha):
    z = stats.norm.ppf(alpha)
    quantile, mean, usable = cornish_fisher(0.0, 0.0, alpha)
    assert usable and quantile == pytest.approx(z) and mean == pytest.approx(stats.norm.pdf(z) / (1 - alpha))


@given(st.floats(-1, 1), st.floats(0, 4), st.sampled_from([0.9, 0.975, 0.99]))
def test_the_shortfall_is_the_integral_of_the_quantile(s, k, alpha):
    def w_of(z):
        return z + (z * z - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s * s / 36

    def w(p):
        return w_of(stats.norm.ppf(p))

    quantile, mean, usable = cornish_fisher(s, k, alpha)
    assert quantile == pytest.approx(w(alpha))
    beyond = integrate.quad(lambda z: w_of(z) * math.exp(-z * z / 2), stats.norm.ppf(alpha), 40.0)[0]
    assert mean == pytest.approx(beyond / math.sqrt(2 * math.pi) / (1 - alpha), rel=1e-6)
    if usable:
        levels = w(np.linspace(alpha, stats.norm.cdf(4.0), 2000))
        assert np.all(np.diff(levels) > 0.0) and mean >= quantile


def test_where_it_falls_it_says_so():
    # A skewness of 3 without the kurtosis that goes with it turns the cubic down.
    assert cornish_fisher(3.0, 0.0, 0.99)[2] is False
    assert cornish_fisher(-3.0, 1.0, 0.99)[2] is False


def bent(bend):
    """Figures of `f + bend f^2/2` of a standard normal f by the expansion, and by evenly spread quantiles of f."""
    first, second, third, fourth = cumulants(np.ones(1), np.array([[bend]]), np.eye(1))
    quantile, mean, usable = cornish_fisher(-third / second**1.5, fourth / second**2, 0.99)
    rows = stats.norm.ppf((np.arange(400_000) + 0.5) / 400_000)
    losses = np.sort(-(rows + bend * rows**2 / 2))
    deviation = math.sqrt(second)
    return usable, (deviation * quantile - first, deviation * mean - first), (losses[-4000], losses[-4000:].mean())


@pytest.mark.parametrize("bend", [-0.6, -0.4, -0.2, 0.1, 0.2])
def test_a_gently_bent_book_has_the_figures_of_its_law(bend):
    usable, expansion, law = bent(bend)
    # What is left out is of the fifth cumulant.
    assert usable and expansion == pytest.approx(law, rel=0.006)


@pytest.mark.parametrize("bend", [0.4, 0.6, 1.0])
def test_much_bought_gamma_is_not_for_the_expansion(bend):
    usable, expansion, law = bent(bend)
    assert not usable and expansion != pytest.approx(law, rel=0.02)


# --- books -----------------------------------------------------------------------------------------------------------


def test_covariance_is_about_zero():
    moves = Moves(("ETH",), ("a", "b"), np.array([[-0.1], [-0.3]]), np.array([[0.2], [0.0]]))
    assert covariance(moves) == pytest.approx(np.array([[0.05, -0.01], [-0.01, 0.02]]))


def test_a_straight_book_is_normal():
    held = book(perp("ETH", 3.0), future("BTC", 30, -0.05))
    got = parametric(held, MARKET, HOUSE, MOVES)
    eth = 3.0 * MARKET.underlyings["ETH"].perp_mark
    btc = -0.05 * MARKET.underlyings["BTC"].at(held.positions[1].expiry).forward
    worth = np.array([eth, btc])
    deviation = math.sqrt(worth @ covariance(MOVES)[:2, :2] @ worth)
    z = stats.norm.ppf(0.99)
    assert (got.mean, got.skewness, got.kurtosis, got.usable) == (0.0, 0.0, 0.0, True)
    assert (got.var, got.es) == pytest.approx((z * deviation, stats.norm.pdf(z) / 0.01 * deviation))


def test_derivatives_are_those_of_repricing():
    held = book(option("ETH", Kind.PUT, 30, 0.95, -10.0), option("ETH", Kind.CALL, 7, 1.1, 4.0), perp("ETH", 2.0))
    q = quadratic(held, MARKET, HOUSE, MOVES)

    def pnl(price, vol):
        row = Moves(("ETH",), ("a",), np.array([[price]]), np.array([[vol]]))
        return -historical(held, MARKET, HOUSE, row, 0.5).var

    step = 1e-4
    assert q.linear[0] == pytest.approx((pnl(step, 0.0) - pnl(-step, 0.0)) / (2 * step), rel=1e-5)
    assert q.linear[2] == pytest.approx((pnl(0.0, step) - pnl(0.0, -step)) / (2 * step), rel=1e-5)
    assert q.curved[0, 0] == pytest.approx((pnl(step, 0.0) + pnl(-step, 0.0)) / step**2, rel=1e-4)
    assert q.linear[[1, 3]].tolist() == [0.0, 0.0] and np.count_nonzero(q.curved) == 1


def test_small_normal_moves_give_what_repricing_gives():
    small = Moves(MOVES.underlyings, MOVES.labels, 0.2 * MOVES.price, 0.2 * MOVES.vol)
    held = book(option("ETH", Kind.CALL, 30, 1.0, -10.0), option("BTC", Kind.PUT, 30, 0.95, 0.5), perp("ETH", 2.0))
    rows = draw(small, 40_000, seed=5, degrees=None)
    full, short = historical(held, MARKET, HOUSE, rows, 0.99), parametric(held, MARKET, HOUSE, small)
    assert short.usable
    # Chance of 40,000 draws is about 1.5%; terms of the third order of moves of a hundredth are less.
    assert (short.var, short.es) == pytest.approx((full.var, full.es), rel=0.04)


def test_a_book_without_risk_has_none():
    got = parametric(book(), MARKET, HOUSE, MOVES)
    assert (got.var, got.es, got.deviation, got.usable) == (0.0, 0.0, 0.0, True)
    with pytest.raises(ValueError, match=r"^SOL: the scenario set has no rows of it"):
        parametric(book(perp("SOL", 1.0)), MARKET, HOUSE, MOVES)
