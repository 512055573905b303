"""Fees: a part of the notional, of options at most a part of the premium; rounded up, and bounded by the order."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import fees
from python_model.portfolio import Kind, Position
from scripts import chain, protocol
from tests import tolerances
from tests.unit.protocol_fixtures import (
    BTC,
    EMPTY,
    ETH,
    SPOT,
    WAD,
    Leg,
    World,
    call,
    future,
    perp,
    put,
    worth,
)

FEE = "exchange: fee"


def exact(world: World, legs: list[Leg], lots: int, rate: float) -> int:
    """The fee of a side by the rule, each leg rounded up at 1e-18."""
    total = 0
    for underlying, _, _, kind, ratio, price in legs:
        size = abs(ratio) * lots

        def part(amount: int, share: float) -> int:
            return int((Decimal(amount) * Decimal(repr(share))).to_integral_value(ROUND_CEILING))

        spot = chain.scaled(world.markets[underlying].spot, 9)
        fee = part(size * spot * 1000, rate)
        if kind >= 2:
            fee = min(fee, part(size * price * 1000, fees.HOUSE.premium_cap))
        total += fee
    return total


def submit(world: World, legs: list[Leg], lots: int = 1, most: tuple[int, int] | None = None, taker: int = 0) -> bytes:
    """Both sides sign; `most` are the maker's and the taker's bounds on the fee of a lot."""
    bounds = most or (2**256 - 1, 2**256 - 1)
    sides = (world.making, protocol.opposite(legs), bounds[0]), (taker or world.taking, legs, bounds[1])
    orders = [world.order(account, *some, lots=lots, max_fee=bound) for account, some, bound in sides]
    return protocol.submission(*map(world.signed, orders), lots)


sizes = st.integers(-(10**5), 10**5).filter(bool)
prices = st.integers(0, 300 * 10**9)


@given(rows=st.lists(st.tuples(sizes, prices), min_size=5, max_size=5), lots=st.integers(1, 7))
def test_fees_are_those_of_the_rule_and_zero_sum(deployed_world: World, rows: list[tuple[int, int]], lots: int) -> None:
    """INV-12: what two sides pay the third receives, to the wei."""
    world = replace(deployed_world)
    kinds = [
        perp(1, 70_000, BTC),
        perp(1),
        future(world.week, 1),
        call(world.month, 2000, 1),
        put(world.month, 2100, 1),
    ]
    legs = sorted((*leg[:4], ratio, price) for leg, (ratio, price) in zip(kinds, rows, strict=True))
    with world.ape_chain.isolate():
        world.charge()
        taker = world.open(world.bidder, usd=9_000_000)
        accounts = (taker, world.making, world.collecting)
        before = [world.house.cash(a) for a in accounts]
        receipt = world.house.trade(submit(world, legs, lots, taker=taker), sender=world.stranger)
        premium = lots * sum(worth(leg) for leg in legs if leg[3] >= 2)
        paid = [old - world.house.cash(a) for a, old in zip(accounts, before, strict=True)]
        taken, made = (exact(world, legs, lots, rate) for rate in (fees.HOUSE.taker, fees.HOUSE.maker))
        assert paid == [premium + taken, -premium + made, -taken - made]
        (event,) = receipt.events.filter(world.exchange.Traded)
        assert (event.taker_fee, event.maker_fee) == (taken, made)
        world.check_ledger()


def test_the_model_says_the_same(world: World) -> None:
    """Each side of the cap: an option whose premium is small, and one whose notional is."""
    world.charge()
    kinds = {0: Kind.PERP, 1: Kind.FUTURE, 2: Kind.CALL, 3: Kind.PUT}
    for leg in (perp(-1.5, 1999), future(world.week, 2), call(world.month, 2000, 3, 1), put(world.month, 2000, -3, 90)):
        position = Position("ETH", kinds[leg[3]], chain.as_float(leg[4], 6))
        model = fees.fee(position, chain.as_float(leg[5], 9), SPOT[ETH], fees.HOUSE.taker, fees.HOUSE.premium_cap)
        contract = exact(world, [leg], 1, fees.HOUSE.taker) / WAD
        # Doubles.
        assert contract == pytest.approx(model, rel=1e-15, abs=tolerances.DUST)
        with world.ape_chain.isolate():
            world.trade(world.taking, world.making, leg)
            premium = worth(leg) if leg[3] >= 2 else 0
            assert world.house.cash(world.taking) == 100_000 * WAD - premium - exact(world, [leg], 1, fees.HOUSE.taker)


def test_a_cheap_option_costs_a_part_of_its_premium(world: World) -> None:
    """12.5% of 1 USD, in place of 3 bps of 2,000."""
    world.charge()
    world.trade(world.taking, world.making, call(world.week, 3000, 1, 1))
    assert world.house.cash(world.taking) == 100_000 * WAD - WAD - WAD // 8


def test_the_smallest_trade_costs_a_wei_at_least(world: World) -> None:
    """Rounded up: no number of trades is too small to pay."""
    world.charge(replace(fees.HOUSE, maker=1e-18, taker=1e-18))
    world.trade(world.taking, world.making, perp(0.000001))
    assert world.house.cash(world.taking) == 100_000 * WAD - 1
    assert world.house.cash(world.collecting) == 2


def test_an_orders_bound_is_on_the_fee_of_a_lot(world: World) -> None:
    """Up: two lots whose fees have a wei between them need the larger half."""
    world.charge()
    legs, lots = [perp(0.000003, 1999.123456789), call(world.month, 2000, 0.000007, 1.23456789)], 3
    lot = [-(-exact(world, legs, lots, rate) // lots) for rate in (fees.HOUSE.maker, fees.HOUSE.taker)]
    for change, reason in (((0, 0), None), ((-1, 0), FEE), ((0, -1), FEE)):
        most = (lot[0] + change[0], lot[1] + change[1])
        assert world.tries(world.house.trade, submit(world, legs, lots, most), sender=world.stranger) == reason


def test_fees_that_rise_after_a_signature_do_not_bind_it(world: World) -> None:
    data = submit(world, [perp(1)], most=(0, 0))
    assert world.tries(world.house.trade, data, sender=world.stranger) is None
    world.charge()
    assert world.tries(world.house.trade, data, sender=world.stranger) == FEE


def test_the_account_that_receives_fees_pays_none(world: World) -> None:
    world.charge(account=world.making)
    world.trade(world.taking, world.making, perp(1))
    fee = exact(world, [perp(1)], 1, fees.HOUSE.taker)
    assert world.house.cash(world.making) == 10_000_000 * WAD + fee
    assert world.house.cash(world.taking) == 100_000 * WAD - fee
    world.check_ledger()


# ------------------------------------------------------------------------------------------------------------- schedule


def test_the_schedule_is_told(world: World) -> None:
    schedule = (10**16, 10**15, 5 * 10**17, world.making)
    receipt = world.exchange.set_fees(schedule, sender=world.owner)
    assert tuple(vars(world.exchange.fee_schedule()).values()) == schedule
    assert [event.event_name for event in receipt.events] == ["FeesSet"]


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ((10**16 + 1, 0, 0), "fees: maker rate"),
        ((0, 10**16 + 1, 0), "fees: taker rate"),
        ((0, 0, 5 * 10**17 + 1), "fees: premium cap"),
        ((10**16, 10**16, 5 * 10**17), None),
    ],
)
def test_the_schedule_has_bounds(world: World, schedule: tuple[int, int, int], reason: str | None) -> None:
    answer = world.tries(world.exchange.set_fees, (*schedule, world.collecting), sender=world.owner)
    assert answer == reason


def test_fees_go_to_an_account_that_exists(world: World) -> None:
    for account in (0, 99):
        assert world.house.owner_of(account) == EMPTY
        for schedule, reason in (((1, 0, 0), "fees: account"), ((0, 1, 0), "fees: account"), ((0, 0, 0), None)):
            assert world.tries(world.exchange.set_fees, (*schedule, account), sender=world.owner) == reason


# ------------------------------------------------------------------------------------------------------ closing trades


def below_initial_margin(world: World) -> int:
    """Long ten perpetuals of ETH, healthy, with less than initial margin, in a market with fees."""
    world.charge()
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.96)
    assert world.freedom(account) < 0 < world.health(account)
    return account


@pytest.mark.parametrize("size", [-10, -1, -0.000001])
def test_a_fee_keeps_nobody_from_closing_at_the_mark(world: World, size: float) -> None:
    """Decision 5: it lowers equity, and is no risk."""
    account = below_initial_margin(world)
    health = world.health(account)
    world.trade(account, world.making, perp(size, 1920))
    assert world.health(account) >= min(health, 0)
    world.check_ledger()


def test_nothing_beside_the_fee_is_forgiven(world: World) -> None:
    """1e-9 USD on each of 0.1 units, a twentieth of a millionth of the fee."""
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(-0.1, 1919.999999999)) == "solvency: margin"
    assert world.try_trade(account, world.making, perp(0.000001, 1920)) == "solvency: margin"


def test_a_fee_is_forgiven_once(world: World) -> None:
    """Within a batch each counts; after the call it is forgotten."""
    account = below_initial_margin(world)
    trades = [world.trade_action(account, world.making, perp(-0.1, 1920)) for _ in range(3)]
    assert world.tries(world.house.execute, trades, sender=world.taker) is None
    batch = [*trades, world.trade_action(account, world.making, perp(-0.1, 1919.999999999))]
    assert world.tries(world.house.execute, batch, sender=world.taker) == "solvency: margin"


def test_a_fee_makes_no_healthy_account_unhealthy(world: World) -> None:
    """INV-04: legs that offset each other free next to nothing of the requirement, which cannot pay what closing costs.

    A box of four options, beside a perpetual that brings the account near to maintenance margin.
    """
    account = world.open(world.taker, usd=10_000)
    box = [
        call(world.month, 1900, 10),
        put(world.month, 1900, -10),
        call(world.month, 2100, -10),
        put(world.month, 2100, 10),
    ]
    world.trade(account, world.making, *map(world.marked, box), perp(10))
    world.drain(account)
    world.move(0.956)
    # Less than it costs to close the box at 1%.
    assert 0 <= world.health(account) < 100 * WAD
    closing = [world.marked(leg) for leg in protocol.opposite(box)]
    assert world.try_trade(account, world.making, *closing) is None
    world.charge(fees.Fees(0.01, 0.01, 0.5))
    assert exact(world, closing, 1, 0.01) > 100 * WAD
    assert world.try_trade(account, world.making, *closing) == "solvency: margin"
