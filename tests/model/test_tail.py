"""Value at risk and expected shortfall of rows: by hand, by ORE's convention, by known laws, by their axioms."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import integrate, stats

from python_model import methodology, tail
from python_model.tail import Moves, Tail, expected_shortfall, ore, tail_count, tail_rows, value_at_risk
from tests.model.tails import MARKET, SET, TAIL

HOUSE = methodology.load("house")
# Whole thousands, so that sums are exact.
losses = arrays.arrays(np.float64, st.integers(1, 60), elements=st.integers(-1000, 1000).map(float))
pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[arrays.arrays(np.float64, n, elements=st.integers(-1000, 1000).map(float))] * 2)
)
alphas = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99])


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_ten_losses_by_hand():
    rows = np.array([3.0, -1.0, 10.0, 4.0, 0.0, 7.0, -5.0, 7.0, 2.0, 1.0])
    want = {0.99: (1, 10.0, 10.0), 0.9: (1, 10.0, 10.0), 0.8: (2, 7.0, 8.5), 0.7: (3, 7.0, 8.0), 0.6: (4, 4.0, 7.0)}
    for alpha, (k, var, es) in want.items():
        assert tail_count(alpha, 10) == k
        assert (float(value_at_risk(rows, k)), float(expected_shortfall(rows, k))) == (var, es)
    assert tail_rows(rows, 4).tolist() == [2, 5, 7, 3]


def test_a_gain_in_every_row_is_a_negative_loss_and_no_requirement():
    rows = -np.arange(1.0, 11.0)
    assert (float(value_at_risk(rows, 2)), float(expected_shortfall(rows, 2))) == (-2.0, -1.5)
    assert tail.tail_loss(-rows, 2) == 0.0 and tail.tail_loss(rows, 2) == 9.5


def test_many_books_are_measured_at_once():
    table = np.random.default_rng(1).normal(size=(50, 3, 4))
    for i in np.ndindex(3, 4):
        own = np.sort(table[:, i[0], i[1]])[::-1]
        assert value_at_risk(table, 5)[i] == own[4]
        assert expected_shortfall(table, 5)[i] == pytest.approx(own[:5].mean(), rel=1e-14)


def test_the_tail_has_as_many_rows_as_its_decimal_says():
    for n in range(1, 257):
        for hundredths in range(1, 100):
            assert tail_count(hundredths / 100, n) == -((hundredths - 100) * n // 100)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.1, math.nan, math.inf])
def test_alpha_is_between_0_and_1(alpha):
    with pytest.raises(ValueError, match=r"^alpha: must be between 0 and 1"):
        tail_count(alpha, 10)


# --- ORE -------------------------------------------------------------------------------------------------------------


def test_ore_takes_element_7_of_715_and_the_mean_of_the_first_8():
    rows = np.random.default_rng(2).permutation(np.arange(1.0, 716.0) ** 2)
    sorted_losses = np.arange(715.0, 0.0, -1.0) ** 2
    assert math.floor(715 * 0.01) == 7
    assert ore(rows, 0.01) == (sorted_losses[7], sorted_losses[:8].mean()) == (708.0**2, sorted_losses[:8].mean())
    # 715 (1 - 0.99) is no whole number: here M-19 has the same k of 8.
    k = tail_count(0.99, 715)
    assert k == 8 and (float(value_at_risk(rows, k)), float(expected_shortfall(rows, k))) == ore(rows, 0.01)


@given(losses, st.integers(1, 99))
def test_ore_is_ours_but_where_the_share_is_whole(rows, hundredths):
    k = -(-hundredths * rows.size // 100)
    further = hundredths * rows.size % 100 == 0
    assert ore(rows, hundredths / 100) == (
        float(value_at_risk(rows, k + further)),
        pytest.approx(float(expected_shortfall(rows, k + further))),
    )


@pytest.mark.parametrize("q", [-0.01, 1.0, math.nan])
def test_ore_refuses_a_share_that_is_none(q):
    with pytest.raises(ValueError, match=r"^q: must be from 0 to below 1"):
        ore(np.zeros(5), q)


# --- known distributions ---------------------------------------------------------------------------------------------

N = 200_000


@pytest.mark.parametrize("alpha", [0.95, 0.99, 0.999])
@pytest.mark.parametrize("law", [stats.norm(3.0, 2.0), stats.t(4), stats.t(8, 0.0, 5.0)], ids=["normal", "t4", "t8"])
def test_draws_have_the_value_at_risk_and_shortfall_of_their_law(law, alpha):
    rows = law.rvs(N, random_state=np.random.default_rng(11))
    k = tail_count(alpha, N)
    var = float(law.ppf(alpha))
    moments = [integrate.quad(lambda x, n=n: (x - var) ** n * law.pdf(x), var, np.inf)[0] / (1 - alpha) for n in (1, 2)]
    es = var + moments[0]
    # Deviation of an order statistic, and that of Manistre and Hancock; five of each.
    error = math.sqrt(alpha * (1 - alpha) / N) / float(law.pdf(var))
    assert float(value_at_risk(rows, k)) == pytest.approx(var, abs=5 * error)
    error = math.sqrt((moments[1] - moments[0] ** 2 + alpha * moments[0] ** 2) / (N * (1 - alpha)))
    assert float(expected_shortfall(rows, k)) == pytest.approx(es, abs=5 * error)


def test_those_laws_have_the_shortfall_of_the_formulas():
    z, q = stats.norm.ppf(0.99), stats.t(4).ppf(0.99)
    normal = integrate.quad(lambda x: x * stats.norm.pdf(x), z, np.inf)[0] / 0.01
    assert normal == pytest.approx(stats.norm.pdf(z) / 0.01) == pytest.approx(2.6652, abs=1e-4)
    student = integrate.quad(lambda x: x * stats.t(4).pdf(x), q, np.inf)[0] / 0.01
    assert student == pytest.approx(stats.t(4).pdf(q) / 0.01 * (4 + q**2) / 3) == pytest.approx(5.2206, abs=1e-4)


# --- axioms (Acerbi and Tasche) --------------------------------------------------------------------------------------


@given(losses, alphas)
def test_shortfall_is_at_least_value_at_risk_and_at_most_the_worst(rows, alpha):
    k = tail_count(alpha, rows.size)
    assert value_at_risk(rows, k) <= expected_shortfall(rows, k) <= rows.max()
    assert expected_shortfall(rows, k) >= rows.mean() - 1e-9


@given(losses, alphas, st.integers(-500, 500))
def test_cash_lowers_both_by_itself(rows, alpha, cash):
    k = tail_count(alpha, rows.size)
    for f in (value_at_risk, expected_shortfall):
        assert f(rows - cash, k) == pytest.approx(f(rows, k) - cash, abs=1e-9)


@given(losses, alphas, st.integers(0, 16))
def test_a_book_of_so_many_times_the_size_has_so_many_times_the_risk(rows, alpha, times):
    k = tail_count(alpha, rows.size)
    for f in (value_at_risk, expected_shortfall):
        assert f(times * rows, k) == pytest.approx(times * f(rows, k), abs=1e-9)


@given(pairs, alphas)
def test_shortfall_of_both_is_at_most_the_sum(both, alpha):
    a, b = both
    k = tail_count(alpha, a.size)
    assert expected_shortfall(a + b, k) <= expected_shortfall(a, k) + expected_shortfall(b, k) + 1e-9


def test_value_at_risk_of_both_can_be_more_than_the_sum():
    a, b = np.zeros(100), np.zeros(100)
    a[3], b[4] = 100.0, 100.0
    assert value_at_risk(a, 2) == value_at_risk(b, 2) == 0.0 and value_at_risk(a + b, 2) == 100.0


@given(losses, alphas, st.randoms(use_true_random=False))
def test_the_order_of_days_does_not_matter(rows, alpha, random):
    k, shuffled = tail_count(alpha, rows.size), rows.tolist()
    random.shuffle(shuffled)
    for f in (value_at_risk, expected_shortfall):
        assert f(np.array(shuffled), k) == pytest.approx(f(rows, k), abs=1e-9)
    assert sorted(rows[tail_rows(rows, k)]) == sorted(rows)[rows.size - k :]


@given(pairs, alphas)
def test_more_loss_in_every_row_is_no_less_risk(both, alpha):
    a, b = both
    k = tail_count(alpha, a.size)
    for f in (value_at_risk, expected_shortfall):
        assert f(np.maximum(a, b), k) >= f(a, k) - 1e-9


# --- rows on a market ------------------------------------------------------------------------------------------------


def test_rows_are_multiples_of_todays_volatility_over_the_horizon():
    moves = replace(TAIL, horizon=4.0).moves(MARKET, ["SOL", "ETH"])
    assert moves.underlyings == ("SOL", "ETH") and moves.labels == SET.dates
    # Volatilities of 8% and 5% a day, over two roots of a day: -3 and 2 of them, and the ends held.
    assert moves.price[3].tolist() == pytest.approx([2 * 0.16, -3 * 0.10])
    assert moves.price[0].tolist() == [-0.95, -0.95] and moves.price[1].tolist() == [4.0, 4.0]
    assert np.array_equal(moves.vol, SET.y[:, [2, 0]])


def test_what_a_tail_cannot_price_is_named():
    with pytest.raises(ValueError, match=r"^DOGE: the scenario set small has no rows of it \(has: ETH, BTC, SOL\)"):
        TAIL.moves(replace(MARKET, underlyings={"DOGE": MARKET.underlyings["ETH"]}), ["DOGE"])
    for value in (None, math.nan, math.inf, -0.1):
        eth = replace(MARKET.underlyings["ETH"], daily_vol=value)
        with pytest.raises(ValueError, match=r"^ETH\.daily_vol: a tail needs the volatility a day"):
            TAIL.moves(replace(MARKET, underlyings={"ETH": eth}), ["ETH"])
    with pytest.raises(ValueError, match=r"^BTC: the scenario set has no rows of it \(has: ETH\)"):
        TAIL.moves(MARKET, ["ETH"]).methodology("BTC", HOUSE)


@pytest.mark.parametrize("horizon", [0.0, -1.0, math.nan, math.inf])
def test_a_tail_has_a_horizon_and_an_alpha(horizon):
    with pytest.raises(ValueError, match=r"^horizon: must be a number of days greater than 0"):
        Tail(SET, 0.99, horizon)
    with pytest.raises(ValueError, match=r"^alpha: must be between 0 and 1"):
        Tail(SET, 1.0)
    assert Tail(SET, 0.9).k == 4 and Tail(SET).k == 1


def test_moves_that_do_not_fit_are_refused():
    ones = np.ones((2, 1))
    with pytest.raises(ValueError, match=r"^price: must be of shape \(2, 1\)"):
        Moves(("ETH",), ("a", "b"), np.ones((1, 1)), ones)
    with pytest.raises(ValueError, match=r"^vol: must be numbers"):
        Moves(("ETH",), ("a", "b"), ones, ones * np.nan)


def test_a_row_in_words():
    moves = Moves(("ETH", "BTC"), ("2020-03-12", "b"), np.array([[-0.446, -0.99], [0.02, 0.0]]),
                  np.array([[0.73, -0.125], [0.0, 0.0]]))  # fmt: skip
    assert moves.in_words(0, ["ETH", "BTC"], HOUSE) == "ETH -44.6%, vol +73%; BTC -95%, vol -12.5%"
    assert moves.in_words(1, ["BTC", "ETH"], HOUSE) == "BTC unmoved, vol unmoved; ETH +2%, vol unmoved"


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(tail) == doctest.TestResults(failed=0, attempted=1)
