"""The kernel of the tail beside that of the grid: the same arithmetic, arranged otherwise (M-2, M-5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain, normal_table
from tests.differential.tail_comparison import in_fours
from tests.unit.pricing_kernel.calls import CALL, EXPIRY, PUT, WAD, Level, Market, leg, log, scan
from tests.unit.pricing_kernel.test_scan import markets, ratios, sizes, strike_of
from tests.wide import integers

# Both round an argument of the table to 5e-11, not always to the same side, and where two cubics meet they differ by
# twice the table's error at most.
APART = 3e-10

Row = tuple[int, int]
factors = st.one_of(integers(WAD // 20, 5 * WAD), integers(WAD * 9 // 10, WAD * 11 // 10))
# Factor at 1e-18 and vol move at 1e-6.
rows = st.lists(st.tuples(factors, integers(-950_000, 10**7)), min_size=1, max_size=9)
legs = st.lists(st.tuples(ratios, st.sampled_from([CALL, PUT]), sizes), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def kernels(project_contracts: Any, deployer: Any) -> tuple[Any, Any]:
    """Of the tail, and of the grid."""
    words = normal_table.words()
    return tuple(deployer.deploy(c, words) for c in (project_contracts.TailKernel, project_contracts.PricingKernel))


def reprice(kernel: Any, market: Market, words: list[int], drawn: list[Row], before: list[int]) -> list[int]:
    """Profits of rows, those of the fill at the end left out."""
    packed = [factor << 176 | log(factor) % 2**80 << 96 | move % 2**32 for factor, move in drawn]
    fours, rows = -(-len(drawn) // 4), in_fours(packed, WAD << 176)
    got = chain.call_at(kernel.reprice, EXPIRY, words, 0, len(words), market.expiry(), fours, rows, in_fours(before))
    assert not any(any(four) for four in got[fours:])
    return [profit for four in got for profit in four][: len(drawn)]


def words_of(market: Market, drawn: list[tuple[int, int, int]]) -> list[int]:
    """Ascending words, one of each strike and kind."""
    found = {}
    for ratio, kind, size in drawn:
        word = leg(strike_of(market, ratio), kind, size)
        found[word >> 144] = word
    return [found[key] for key in sorted(found)]


@given(market=markets, legs=legs, drawn=rows, gone=st.booleans())
def test_profits_are_those_of_the_grid(kernels, market, legs, drawn, gone):
    """Of whatever strike, vol and row, and of an expiry that has passed."""
    if gone:
        market = market._replace(seconds=0)
    words = words_of(market, legs)
    tail, grid = kernels
    got = reprice(tail, market, words, drawn, [0] * len(drawn))
    for (factor, move), profit in zip(drawn, got, strict=True):
        strip = scan(grid, market, words, [Level((factor,), vol_move=move * 10**12)])
        assert abs(profit - strip.pnl[0]) <= APART * strip.notional * (1 + factor / WAD) + 10


@given(market=markets, legs=legs, drawn=rows, data=st.data())
def test_profits_come_on_top_of_what_there_is(kernels, market, legs, drawn, data):
    words = words_of(market, legs)
    before = [data.draw(integers(-(10**40), 10**40)) for _ in drawn]
    alone = reprice(kernels[0], market, words, drawn, [0] * len(drawn))
    assert reprice(kernels[0], market, words, drawn, before) == [a + b for a, b in zip(alone, before, strict=True)]


@given(market=markets, legs=legs, drawn=rows)
def test_a_row_does_not_depend_on_its_neighbours(kernels, market, legs, drawn):
    """Four rows take the general path together where one of them has to, whose CDF differs by 5 units of 2**-64."""
    words = words_of(market, legs)
    notional = scan(kernels[1], market, words).notional
    together = reprice(kernels[0], market, words, drawn, [0] * len(drawn))
    for row, profit in zip(drawn, together, strict=True):
        alone = reprice(kernels[0], market, words, [row], [0])[0]
        assert abs(profit - alone) <= 5 * 2**-64 * notional * (1 + row[0] / WAD) + 2


def test_a_far_vol_move_takes_the_general_path(kernels):
    """A vol that falls by all of it, one at its floor, and a deviation wider than the table: as the grid has them."""
    market = Market(2_000 * WAD, WAD // 50, 7 * 86_400, vol_scale=2 * WAD)
    wild = Market(2_000 * WAD, 10 * WAD, 730 * 86_400, vol_scale=2 * WAD)
    for m in (market, wild):
        words = [leg(strike * 10**6, CALL, 10**6) for strike in (1_000, 1_990, 2_000, 9_000)]
        for row in ((WAD, -950_000), (WAD * 2, -600_000), (WAD // 20, -450_000), (5 * WAD, 10**7), (WAD, 0)):
            strip = scan(kernels[1], m, words, [Level((row[0],), vol_move=row[1] * 10**12)])
            assert abs(reprice(kernels[0], m, words, [row], [0])[0] - strip.pnl[0]) <= APART * strip.notional * 6
