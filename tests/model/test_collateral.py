"""What collateral was worth when the market doubted it, by hand."""

import numpy as np
import pytest

from python_model.collateral import DAY, MAX_PRICE, bounded_rate, haircut, price

# A few operations on doubles.
NOISE = 1e-12


@pytest.mark.parametrize(
    ("base", "rate", "peg", "plain", "worth", "after_haircut"),
    [
        # June 2022: stETH at 0.937 ether on Curve. Ether at 1,100 USD, wstETH of 1.07 stETH, haircut 6%:
        # 1100 * 1.07 * 0.937 = 1102.849; haircut 0.06 + 4 * 0.053 = 0.272.
        (1_100.0, 1.07, 0.937, 0.06, 1_102.849, 1_102.849 * 0.728),
        # 24 April 2024: ezETH at 688 USD on Uniswap, ether at about 3,150: 78% below par, for minutes.
        (3_150.0, 1.0, 688 / 3_150, 0.10, 688.0, 0.0),
        # 10 October 2025: USDe at 0.65 USD on one venue. 0.05 + 4 * 0.34 = 1.41: nothing is left to borrow against.
        (1.0, 1.0, 0.65, 0.05, 0.65, 0.0),
        # A venue that pays more than par makes nobody richer.
        (1.0, 1.0, 1.04, 0.05, 1.0, 0.95),
        # Within a percent of par a discount is noise.
        (2_000.0, 1.2, 0.99, 0.06, 2_376.0, 2_376.0 * 0.94),
    ],
    ids=["stETH 2022", "ezETH 2024", "USDe 2025", "premium", "noise"],
)
def test_worth_by_hand(base, rate, peg, plain, worth, after_haircut):
    got = price(base, rate, peg)
    assert got == pytest.approx(worth, rel=NOISE)
    assert got * (1 - haircut(plain, peg)) == pytest.approx(after_haircut, rel=NOISE, abs=NOISE)


def test_no_token_is_worth_more_than_the_market_data_could_say():
    assert price(1e8, 2.0, 1.0) == MAX_PRICE


@pytest.mark.parametrize(
    ("current", "days", "used"),
    [
        # Doubled by a donation; one percent a day is believed.
        (2.4, 0.0, 1.2),
        (2.4, 0.5, 1.206),
        (2.4, 1.0, 1.212),
        # For a day at most, however long nobody looked.
        (2.4, 365.0, 1.212),
        # Honest growth below the bound, and a fall, at once.
        (1.2001, 1.0, 1.2001),
        (0.6, 0.0, 0.6),
    ],
)
def test_a_rate_grows_by_a_day_at_most(current, days, used):
    assert bounded_rate(current, 1.2, days * DAY, 0.01) == pytest.approx(used, rel=NOISE)


def test_a_haircut_rises_four_points_for_each_point_of_discount():
    pegs = np.array([1.1, 1.0, 0.99, 0.98, 0.97, 0.80, 0.10])
    np.testing.assert_allclose(haircut(0.1, pegs), [0.1, 0.1, 0.1, 0.14, 0.18, 0.86, 1.0], rtol=NOISE)


def test_functions_take_arrays():
    """A row for each token."""
    base, rate, peg = np.array([1.0, 2_000.0]), np.array([1.05, 1.2]), np.array([0.995, 1.01])
    np.testing.assert_allclose(price(base, rate, peg), [1.04475, 2_400.0], rtol=NOISE)
    np.testing.assert_allclose(bounded_rate(rate, 1.0, np.array([DAY, 0]), 0.1), [1.05, 1.0], rtol=NOISE)
