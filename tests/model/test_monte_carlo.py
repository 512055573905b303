"""Simulated value at risk: known laws, how often the intervals hold the truth, and draws of the right covariance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from python_model import methodology
from python_model.delta_gamma import covariance
from python_model.monte_carlo import draw, monte_carlo, quantile_interval, shortfall_interval
from python_model.portfolio import Kind
from python_model.scenario_set import synthetic
from python_model.tail import Moves, Tail
from tests.model.books import book, option, perp
from tests.model.tails import MARKET

HOUSE = methodology.load("house")
MOVES = Tail(synthetic()).moves(MARKET, ["ETH", "BTC"])
REPEATS = 400


def held(found, true):
    """In how many of the estimates the true figure is."""
    return sum(e.low <= true <= e.high for e in found)


# Of 400 intervals of 95%, at least so many hold the truth but once in 10,000 times.
LEAST = int(stats.binom(REPEATS, 0.95).ppf(1e-4))


@pytest.mark.parametrize("law", [stats.norm(), stats.t(4)], ids=["normal", "t4"])
def test_intervals_of_a_quantile_hold_it_as_often_as_they_say(law):
    rows = law.rvs((REPEATS, 1000), random_state=np.random.default_rng(3))
    found = [quantile_interval(row, 0.99) for row in rows]
    assert held(found, law.ppf(0.99)) >= LEAST and all(e.low <= e.value <= e.high for e in found)


def test_intervals_of_a_quantile_are_the_order_statistics_of_a_binomial():
    # Of 100 losses 0 to 3 exceed the 99% quantile in 98.2% of cases, 0 to 4 in 99.7%; nothing is above the largest.
    rows = np.arange(100.0)
    got = quantile_interval(rows, 0.99)
    assert (got.value, got.low, got.high) == (99.0, 96.0, math.inf)
    got = quantile_interval(rows, 0.9)
    a, b = (int(stats.binom(100, 0.1).ppf(p)) for p in (0.025, 0.975))
    assert (a, b) == (5, 16) and (got.value, got.low, got.high) == (90.0, 99.0 - b, 100.0 - a)


def test_intervals_of_a_shortfall_hold_it_nearly_as_often_as_they_say():
    z = stats.norm.ppf(0.9)
    rows = np.random.default_rng(4).standard_normal((REPEATS, 4000))
    found = [shortfall_interval(row, 0.9) for row in rows]
    assert held(found, stats.norm.pdf(z) / 0.1) >= LEAST
    # Neither are they wider than they must be: the spread of the estimates is what they state.
    reach = np.mean([e.high - e.value for e in found]) / stats.norm.ppf(0.975)
    spread = np.std([e.value for e in found])
    assert spread == pytest.approx(reach, rel=5 / math.sqrt(2 * REPEATS))


def test_without_the_error_of_the_quantile_they_would_be_too_narrow():
    rows = np.random.default_rng(4).standard_normal((REPEATS, 4000))
    narrow = []
    for row in rows:
        tail = np.sort(row)[-400:]
        narrow.append(1.96 * tail.std(ddof=1) / 20.0)
    found = [shortfall_interval(row, 0.9).value for row in rows]
    true = stats.norm.pdf(stats.norm.ppf(0.9)) / 0.1
    assert sum(abs(value - true) <= reach for value, reach in zip(found, narrow, strict=True)) < LEAST


def test_draws_have_the_covariance_of_the_set():
    for degrees in (None, 8):
        got = draw(MOVES, 100_000, seed=2, degrees=degrees)
        want = covariance(MOVES)
        scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
        # A second moment of n draws errs by sqrt((kurtosis - 1)/n): 3 of a normal, 4.5 of a t of 8 degrees.
        error = math.sqrt((3.0 if degrees is None else 4.5) / 100_000)
        assert np.abs((covariance(got) - want) / scale).max() < 5 * error


def test_draws_are_the_same_for_the_same_seed():
    a, b, c = (draw(MOVES, 100, seed) for seed in (1, 1, 2))
    assert np.array_equal(a.price, b.price) and np.array_equal(a.vol, b.vol) and not np.array_equal(a.price, c.price)
    assert len(draw(MOVES, 1)) == 1 and draw(MOVES, 1).price.shape == (1, 2)


@pytest.mark.parametrize("degrees", [None, 5])
def test_a_perpetual_has_the_figures_of_the_law(degrees):
    one = Moves(("ETH",), ("a",), np.array([[0.02]]), np.array([[0.0]]))
    mark = MARKET.underlyings["ETH"].perp_mark
    law = stats.norm(scale=0.02 * mark) if degrees is None else stats.t(5, scale=0.02 * mark * math.sqrt(3 / 5))
    var = law.ppf(0.99)
    es = law.expect(lambda x: x, lb=var) / 0.01
    got = monte_carlo(
        book(perp("ETH", 1.0)), MARKET, HOUSE, one, paths=50_000, seed=1, degrees=degrees, confidence=0.9999
    )
    assert got.paths == 50_000 and got.var.low < var < got.var.high and got.es.low < es < got.es.high
    assert got.es.high - got.es.low < 0.25 * es


def test_a_portfolio_of_options_is_repriced_in_full():
    straddle = book(option("ETH", Kind.CALL, 30, 1.0, -10.0), option("BTC", Kind.PUT, 30, 0.9, -0.3), perp("ETH", -1.0))
    few, many = (monte_carlo(straddle, MARKET, HOUSE, MOVES, paths=n, seed=n) for n in (2_000, 20_000))
    assert many.var.value < many.es.value
    for few_estimate, estimate in ((few.var, many.var), (few.es, many.es)):
        # Both intervals hold the same figure: they meet.
        assert few_estimate.low < estimate.high and estimate.low < few_estimate.high
        assert estimate.high - estimate.low < few_estimate.high - few_estimate.low
    fat, thin = (monte_carlo(straddle, MARKET, HOUSE, MOVES, degrees=d).es.value for d in (4, None))
    assert fat > 1.2 * thin


def test_what_cannot_be_simulated_is_named():
    with pytest.raises(ValueError, match=r"^paths: must be at least 1 \(got 0\)"):
        draw(MOVES, 0)
    with pytest.raises(ValueError, match=r"^degrees: must be more than 2"):
        draw(MOVES, 10, degrees=2)
    with pytest.raises(ValueError, match=r"^confidence: must be between 0 and 1"):
        quantile_interval(np.zeros(10), 0.9, 1.0)
    with pytest.raises(ValueError, match=r"^losses: must be so many that two are in the tail"):
        shortfall_interval(np.zeros(100), 0.99)
