"""Fills: whole lots of a package, all legs or none, at the maker's prices and within the taker's net price."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import protocol
from tests.unit.protocol_fixtures import (
    ETH,
    SPOT,
    WAD,
    Leg,
    Order,
    World,
    call,
    future,
    instrument,
    perp,
    put,
    worth,
)

DIFFER = "exchange: legs differ"


def condor(world: World, price: float = 10) -> tuple[Leg, ...]:
    """Four legs, sold."""
    return (
        put(world.month, 1800, 0.5, price),
        put(world.month, 1900, -0.5, 3 * price),
        call(world.month, 2100, -0.5, 3 * price),
        call(world.month, 2200, 0.5, price),
    )


def filling(world: World, made: Order, taken: Order, lots: int = 1) -> bytes:
    return protocol.submission(world.signed(made), world.called(taken), lots)


def answer(world: World, made: Order, taken: Order, lots: int = 1) -> str | None:
    return world.tries(world.house.trade, filling(world, made, taken, lots), sender=world.taker)


# ---------------------------------------------------------------------------------------------------------------- lots


ratios = st.integers(-300_000, 300_000).filter(bool)
per_unit = st.integers(1, 10**11)


@given(
    lots=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    rows=st.lists(st.tuples(ratios, per_unit), min_size=4, max_size=4),
    rest=st.integers(0, 3),
)
def test_partial_fills_are_pro_rata_over_the_legs_exactly(
    deployed_world: World, lots: list[int], rows: list[tuple[int, int]], rest: int
) -> None:
    """INV-01, INV-12: after k lots each leg, the premium and the cost are k times those of one, to the wei."""
    world = replace(deployed_world)
    kinds = [perp(1), future(world.week, 1), call(world.month, 2000, 1), put(world.month, 2100, 1)]
    legs = tuple((*leg[:4], ratio, price) for leg, (ratio, price) in zip(kinds, rows, strict=True))
    total = sum(lots) + rest
    with world.ape_chain.isolate():
        taker = world.open(world.bidder, usd=9_000_000)
        made = world.order(world.making, *protocol.opposite(legs), lots=total)
        taken = world.order(taker, *legs, lots=total)
        sides = world.signed(made), world.signed(taken)
        done = 0
        for k in lots:
            world.house.trade(protocol.submission(*sides, k), sender=world.stranger)
            done += k
            assert world.sizes(taker) == {instrument(leg): leg[4] * done for leg in legs}
            assert world.sizes(world.making) == {instrument(leg): -leg[4] * done for leg in legs}
            assert world.house.cash(taker) == 9_000_000 * WAD - done * sum(map(worth, legs[2:]))
            assert world.house.cost(taker) == done * sum(map(worth, legs[:2]))
            assert [world.exchange.filled(world.digest(side.order)) for side in sides] == [done, done]
        more = protocol.submission(*sides, rest + 1)
        assert world.tries(world.house.trade, more, sender=world.stranger) == "exchange: filled"
        world.check_ledger()


def test_the_smaller_of_two_orders_is_the_limit(world: World) -> None:
    for made, taken, reason in ((3, 5, None), (2, 5, "exchange: filled"), (5, 2, "exchange: filled")):
        orders = world.order(world.making, perp(-1), lots=made), world.order(world.taking, perp(1), lots=taken)
        assert answer(world, *orders, 3) == reason


@pytest.mark.parametrize("lots", [0, 2**64, 2**256 - 1])
def test_lots_are_a_number(world: World, lots: int) -> None:
    orders = (world.order(account, perp(size), lots=2**256 - 1) for account, size in sides(world))
    assert answer(world, *orders, lots) == "exchange: lots"


def sides(world: World) -> tuple[tuple[int, int], tuple[int, int]]:
    return (world.making, -1), (world.taking, 1)


def test_sizes_are_those_of_a_word(world: World) -> None:
    orders = [world.order(account, (2, 0, 0, 0, size * 10**18, 1), lots=10) for account, size in sides(world)]
    assert answer(world, *orders, 10) == "position: size"


# ---------------------------------------------------------------------------------------------------------------- legs


def test_a_package_is_traded_whole(world: World) -> None:
    """A condor; and one side lacking margin for it gets none of its legs."""
    legs = condor(world)
    world.trade(world.taking, world.making, *legs)
    assert world.sizes(world.taking) == {instrument(leg): leg[4] for leg in legs}
    poor = world.open(world.taker)
    assert world.try_trade(poor, world.making, *legs) == "solvency: margin"
    assert world.house.book(poor) == []


@pytest.mark.parametrize("field", ["underlying", "expiry", "strike", "kind", "ratio"])
def test_both_sides_have_the_same_legs(world: World, field: str) -> None:
    legs = condor(world)
    i = protocol.LEG_FIELDS.index(field)
    other = {"underlying": 1, "expiry": world.week, "kind": 2}.get(field, legs[0][i] - 1)
    changed = ((*legs[0][:i], other, *legs[0][i + 1 :]), *legs[1:])
    made = Order(world.making, protocol.opposite(legs))
    assert answer(world, made, Order(world.taking, legs)) is None
    assert answer(world, made, Order(world.taking, changed)) == DIFFER
    for some in (legs[:3], (*legs, call(world.month, 2300, 1)), ()):
        assert answer(world, made, Order(world.taking, some)) == DIFFER


def test_both_sides_cannot_receive(world: World) -> None:
    assert answer(world, Order(world.making, (perp(1),)), Order(world.taking, (perp(1),))) == DIFFER


# --------------------------------------------------------------------------------------------------------------- prices


def test_execution_is_at_the_makers_prices(world: World) -> None:
    """The taker would have paid more."""
    made = world.order(world.making, call(world.month, 2100, -2, 90), perp(-1, 1990))
    taken = world.order(world.taking, call(world.month, 2100, 2, 95), perp(1, 2010))
    world.house.trade(filling(world, made, taken), sender=world.taker)
    assert world.house.cash(world.taking) == (100_000 - 180) * WAD
    assert world.house.cost(world.taking) == 1990 * WAD


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (1, 0)])
def test_the_takers_limit_is_on_the_net_price(world: World, better: int, worse: int) -> None:
    """A leg may cost more if another costs less, to 1e-9 USD a unit; bought or sold."""
    for sign in (1, -1):
        legs = (future(world.week, sign, 2000), call(world.month, 2100, sign, 90))
        made = [list(leg) for leg in protocol.opposite(legs)]
        made[worse][5] += sign * 10**9
        made[better][5] -= sign * 10**9

        def order(rows: Any = made) -> Order:
            return world.order(world.making, *map(tuple, rows))

        taken = world.order(world.taking, *legs)
        assert answer(world, order(), taken) is None
        made[worse][5] += sign
        assert answer(world, order(), taken) == "exchange: price"
        made[better][5] -= sign
        assert answer(world, order(), taken) is None


@given(
    rows=st.lists(
        st.tuples(st.integers(-(10**6), 10**6).filter(bool), st.integers(0, 10**10), st.integers(0, 10**10)),
        min_size=1,
        max_size=4,
    )
)
def test_the_limit_is_the_sum_of_ratio_times_price(deployed_world: World, rows: list[tuple[int, int, int]]) -> None:
    world = replace(deployed_world)
    strikes = [call(world.month, 1900 + 10 * i, 1) for i in range(len(rows))]
    made = Order(
        world.making, tuple((*k[:4], -ratio, price) for k, (ratio, price, _) in zip(strikes, rows, strict=True))
    )
    taken = Order(
        world.taking, tuple((*k[:4], ratio, limit) for k, (ratio, _, limit) in zip(strikes, rows, strict=True))
    )
    pays = sum(ratio * price for ratio, price, _ in rows)
    most = sum(ratio * limit for ratio, _, limit in rows)
    assert (answer(world, made, taken) == "exchange: price") == (pays > most)


# -------------------------------------------------------------------------------------------------------------- funding


@pytest.mark.parametrize("premium", [0.002, -0.002, 0.02])
def test_a_perpetual_is_entered_net_of_funding(world: World, premium: float) -> None:
    """INV-12: whoever comes later owes nothing of what was paid before; exact at 1e-18, and nothing at the mark."""
    mark = round(SPOT[ETH] * (1 + premium), 9)
    world.publish(ETH, replace(world.markets[ETH], perp_mark=mark))
    world.wait(1234)
    funding = world.protocol.market_data.funding(ETH)
    assert funding * premium > 0
    leg, other = perp(1.234567, mark), future(world.week, 1, 2001)
    before = [world.figures(a).net_value for a in (world.taking, world.making)]
    world.trade(world.taking, world.making, leg, other)
    assert world.house.cost(world.taking) * 10**6 == (worth(leg) + worth(other)) * 10**6 - leg[4] * funding
    assert world.house.cost(world.making) == -world.house.cost(world.taking)
    # The future is bought 1 USD above its mark; each figure is rounded down by less than 1e-14 USD.
    gains = [world.figures(a).net_value - old for a, old in zip((world.taking, world.making), before, strict=True)]
    assert abs(gains[0] + WAD) <= 10**4 and abs(gains[1] - WAD) <= 10**4
    world.wait(600)
    world.trade(world.taking, world.making, perp(-1.234567, mark))
    paid = world.protocol.market_data.funding(ETH) - funding
    assert paid * premium > 0
    assert (world.house.cost(world.taking) - worth(other)) * 10**6 == leg[4] * paid
    world.check_ledger()
