"""Where open interest nears its cap, depth is less and margin more: by how much, how slowly, and for whom."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import aggregation, exposure, liquidity, methodology
from python_model.margin import assess, leg_tables
from python_model.portfolio import Market
from tests.model.books import MARKET, book, books, perp

HOUSE = methodology.load("house")
shares = st.floats(0.25, 1.0)
utilisations = st.lists(st.tuples(st.integers(1, 10**5), st.floats(0, 2)), min_size=1, max_size=20)


def thin(depths: dict[str, float]) -> Market:
    """The market with other depths."""
    rows = {name: replace(u, depth=depths.get(name, 1.0)) for name, u in MARKET.underlyings.items()}
    return replace(MARKET, underlyings=rows)


# --- the share (M-23) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "want"), [(0.0, 1.0), (0.5, 1.0), (0.6, 0.85), (0.75, 0.625), (1.0, 0.25), (1.5, 0.25)]
)
def test_targets(used, want):
    assert float(liquidity.depth_target(used)) == pytest.approx(want, rel=1e-15)


@given(a=st.floats(0, 3), b=st.floats(0, 3))
def test_more_open_interest_never_leaves_more_depth(a, b):
    low, high = sorted((a, b))
    assert 0.25 <= float(liquidity.depth_target(high)) <= float(liquidity.depth_target(low)) <= 1.0


def test_without_a_cap_nothing_is_used():
    assert liquidity.utilisation(np.array([0.0, 10.0, 10.0]), np.array([0.0, 0.0, 40.0])).tolist() == [0.0, 0.0, 0.25]


@given(course=utilisations)
def test_the_share_moves_by_at_most_five_points_an_hour_and_never_at_once(course):
    times = np.cumsum([0, *(seconds for seconds, _ in course)], dtype=np.int64)
    used = np.array([*(u for _, u in course), 0.0])
    path = liquidity.depth_path(times, used)
    assert path[0] == 1.0 and np.all((path >= 0.25) & (path <= 1.0))
    # 1e-14: roundings of twenty sums of numbers up to 1.
    assert np.all(np.abs(np.diff(path)) <= 0.000014 * np.diff(times) + 1e-14)
    # What is used at the last time cannot be in the share of that time.
    assert liquidity.depth_path(times, np.array([*used[:-1], 2.0]))[-1] == path[-1]


def test_the_first_share_is_the_whole_and_falls_by_the_second():
    full = liquidity.first(100).aim(100, float(liquidity.depth_target(1.0)))
    assert [full.at(100), full.at(101), full.at(100 + 3600)] == pytest.approx([1.0, 0.999986, 0.9496], rel=1e-14)
    assert full.at(100 + 53_571) > full.at(100 + 53_572) == 0.25


# --- in the margin (M-12) --------------------------------------------------------------------------------------------


@given(book=books, share=shares)
def test_a_share_of_the_depth_is_the_methodology_with_that_depth(book, share):
    shallow = replace(HOUSE, depth_delta=share * HOUSE.depth_delta, depth_vega=share * HOUSE.depth_vega)
    got = assess(book, thin(dict.fromkeys(MARKET.underlyings, share)), HOUSE)
    assert got.to_dict() == assess(book, MARKET, shallow).to_dict()


@given(book=books, share=shares)
def test_less_depth_never_lowers_a_requirement_and_touches_the_liquidation_cost_alone(book, share):
    deep, shallow = assess(book, MARKET, HOUSE), assess(book, thin({"ETH": share}), HOUSE)
    assert shallow.maintenance >= deep.maintenance and shallow.initial >= deep.initial
    for name, row in deep.charges.items():
        other = shallow.charges[name]
        assert replace(other, liquidity=row.liquidity) == row
        assert other.liquidity >= row.liquidity
        assert name == "ETH" or other == row
    assert (shallow.equity_initial, shallow.greeks) == (deep.equity_initial, deep.greeks)


def test_a_book_of_20_million_in_a_market_at_its_cap():
    # Delta of 20m USD, the whole depth: 5 bps of it, doubled; with a quarter of the depth five times that.
    size = 20e6 / 2000.0
    costs = []
    for depth in (1.0, 0.25):
        market = thin({"ETH": depth})
        eth = replace(market.underlyings["ETH"], perp_mark=2000.0)
        market = replace(market, underlyings={**market.underlyings, "ETH": eth})
        table = leg_tables(book(perp("ETH", size)), market, HOUSE)["ETH"]
        assert table.depth == depth
        costs.append(aggregation.liquidation_cost(exposure.exposure(table, HOUSE), HOUSE))
    assert costs == pytest.approx([20_000.0, 50_000.0], rel=1e-12)


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(liquidity) == doctest.TestResults(failed=0, attempted=2)
