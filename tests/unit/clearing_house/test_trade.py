"""Trades: novation between two accounts, exact to the wei, with both sides checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from python_model import listing
from scripts import protocol
from tests.unit.protocol_fixtures import (
    BTC,
    CALL,
    DAY,
    ETH,
    FUTURE,
    PERP,
    PUT,
    WAD,
    Order,
    World,
    call,
    flat_market,
    future,
    instrument,
    perp,
    put,
    usd,
    worth,
)

MARGIN = "solvency: margin"


# ------------------------------------------------------------------------------------------------------------ novation


def test_each_side_holds_the_opposite_of_the_other(world: World) -> None:
    """INV-01."""
    package = [perp(1.5), future(world.week, -2), call(world.month, 2100, 3, 90), put(world.month, 1900, -4, 80)]
    world.trade(world.taking, world.making, *package)
    assert world.sizes(world.taking) == {instrument(leg): leg[4] for leg in package}
    assert world.sizes(world.making) == {instrument(leg): -leg[4] for leg in package}
    world.check_ledger()


def test_options_are_paid_in_cash_and_the_rest_is_agreed(world: World) -> None:
    """Premium and cost, exact at 1e-18."""
    option = call(world.month, 2100, 0.000003, 91.123456789)
    linear = perp(-0.000007, 1999.987654321)
    world.trade(world.taking, world.making, option, linear)
    assert worth(option) == 273_370_370_367_000 and worth(linear) == -13_999_913_580_247_000
    assert world.house.cash(world.taking) == 100_000 * WAD - worth(option)
    assert world.house.cash(world.making) == 10_000_000 * WAD + worth(option)
    assert world.house.cost(world.taking) == worth(linear) == -world.house.cost(world.making)
    world.check_ledger()


def test_a_trade_is_told_with_its_sums(world: World) -> None:
    option, linear = call(world.month, 2100, 2, 90), perp(3, 2001)
    receipt = world.trade(world.taking, world.making, option, linear)
    event = receipt.events.filter(world.exchange.Traded)[0]
    assert (event.taker, event.maker) == (world.taking, world.making)
    assert (event.premium, event.cost) == (worth(option), worth(linear))


def test_a_trade_at_mark_changes_nobodys_equity(world: World) -> None:
    """INV-12: up to the kernel's price error, which is deducted from either side (M-16)."""
    before = [world.figures(a).net_value for a in (world.taking, world.making)]
    legs = [perp(2), world.marked(call(world.month, 2100, 3)), world.marked(put(world.week, 1900, -1))]
    world.trade(world.taking, world.making, *legs)
    notional = (3 * 4100 + 3900) * WAD
    for account, value in zip((world.taking, world.making), before, strict=True):
        after = world.figures(account).net_value
        # Prices at 1e-9 for four units.
        assert abs(after - value) <= notional // (5 * 10**9) + 4 * 10**9 + 10**5


def test_positions_of_one_instrument_are_one_leg(world: World) -> None:
    world.trade(world.taking, world.making, call(world.month, 2100, 2, 90))
    world.trade(world.taking, world.making, call(world.month, 2100, 1.5, 90), call(world.month, 2200, 1, 60))
    world.trade(world.taking, world.making, call(world.month, 2100, -0.5, 90))
    assert world.sizes(world.taking) == {
        instrument(call(world.month, 2100, 1)): 3_000_000,
        instrument(call(world.month, 2200, 1)): 1_000_000,
    }
    world.check_ledger()


def test_opposite_positions_vanish_wherever_they_stand_in_the_book(world: World) -> None:
    legs = [perp(1), future(world.week, 1), call(world.week, 2000, 1, 50), put(world.month, 2000, 1, 50)]
    for gone in range(4):
        world.trade(world.taking, world.making, *legs)
        world.trade(world.taking, world.making, (*legs[gone][:4], -legs[gone][4], legs[gone][5]))
        assert set(world.sizes(world.taking)) == {instrument(leg) for leg in legs} - {instrument(legs[gone])}
        world.trade(world.taking, world.making, *((*leg[:4], -leg[4], leg[5]) for leg in legs if leg != legs[gone]))
        assert world.house.book(world.taking) == world.house.book(world.making) == []
    assert world.house.cash(world.taking) == 100_000 * WAD
    world.check_ledger()


def test_a_book_ascends_by_instrument(world: World) -> None:
    later = [call(world.month, 2200, 1, 60), perp(0.01, 70_000, BTC), put(world.week, 1800, 1, 20), perp(1)]
    for leg in later:
        world.trade(world.taking, world.making, leg)
    words = list(world.house.book(world.taking))
    assert words == sorted(words) and len(words) == 4


def test_a_position_flips_through_zero(world: World) -> None:
    world.trade(world.taking, world.making, perp(2, 2000))
    world.trade(world.taking, world.making, perp(-5, 2010))
    assert world.sizes(world.taking) == {instrument(perp(1)): -3_000_000}
    assert world.house.cost(world.taking) == 2 * 2000 * WAD - 5 * 2010 * WAD
    world.check_ledger()


# ---------------------------------------------------------------------------------------------------------- realisation


def test_profit_is_realised_when_the_last_linear_leg_closes(world: World) -> None:
    world.trade(world.taking, world.making, perp(2, 2000), future(world.week, 1, 2005))
    world.trade(world.taking, world.making, perp(-2, 2030))
    # 60 USD are in the cost, not in the cash.
    assert world.house.cash(world.taking) == 100_000 * WAD
    assert world.house.cost(world.taking) == (2005 - 60) * WAD
    world.trade(world.taking, world.making, future(world.week, -1, 1995.000000001))
    profit = (60 - 10) * WAD + 10**9
    assert world.house.cost(world.taking) == 0 == world.house.cost(world.making)
    assert world.house.cash(world.taking) == 100_000 * WAD + profit
    assert world.house.cash(world.making) == 10_000_000 * WAD - profit
    world.check_ledger()


def test_options_that_remain_keep_no_profit_back(world: World) -> None:
    world.trade(world.taking, world.making, perp(1, 2000), call(world.month, 2000, 1, 100))
    world.trade(world.taking, world.making, perp(-1, 1990))
    assert world.house.cost(world.taking) == 0
    assert world.house.cash(world.taking) == (100_000 - 100 - 10) * WAD


def test_one_side_may_realise_while_the_other_opens(world: World) -> None:
    """INV-02 sums cash - cost."""
    world.trade(world.taking, world.making, perp(1, 2000))
    world.trade(world.taking, world.bidding, perp(-1, 2100))
    assert world.house.cash(world.taking) == 100_100 * WAD
    assert world.house.cash(world.bidding) == 10_000_000 * WAD
    assert world.house.cost(world.bidding) == 2100 * WAD
    world.check_ledger()


def test_a_loss_is_realised_into_debt(world: World) -> None:
    account = world.open(world.taker, ether=10)
    world.trade(account, world.making, perp(1, 2000))
    world.trade(account, world.making, perp(-1, 1900))
    assert world.house.cash(account) == -100 * WAD
    world.check_ledger()


# --------------------------------------------------------------------------------------------------- who may, and terms


def test_only_the_takers_side_takes(world: World) -> None:
    """Nobody calls for it, and nobody is it."""
    data = world.data(world.taking, world.making, perp(1))
    quote = world.signed(world.order(world.making, perp(-1)))
    for user in (world.stranger, world.maker, world.owner):
        assert world.tries(world.house.trade, data, sender=user) == "exchange: not approved"
        alone = protocol.submission(quote, world.called(world.order(world.taking, perp(1)), user))
        assert world.tries(world.house.trade, alone, sender=user) == "accounts: not authorised"


def test_an_account_does_not_trade_with_itself(world: World) -> None:
    assert world.try_trade(world.taking, world.taking, perp(1)) == "exchange: one account"


def test_two_accounts_of_one_owner_need_no_signature(world: World) -> None:
    other = world.open(world.taker, usd=10_000)
    sides = [world.called(world.order(account, perp(size))) for account, size in ((other, -1), (world.taking, 1))]
    world.house.trade(protocol.submission(*sides), sender=world.taker)
    assert world.sizes(other) == {instrument(perp(1)): -1_000_000}


def test_a_package_has_a_leg(world: World) -> None:
    assert world.try_trade(world.taking, world.making) == "exchange: no legs"


def test_sixteen_legs_are_the_most_in_a_package(world: World) -> None:
    legs = [call(world.month, 1500 + 50 * i, 1, 10) for i in range(17)]
    assert world.try_trade(world.taking, world.making, *legs) == ""
    assert world.try_trade(world.taking, world.making, *legs[:16]) is None


def test_legs_stand_in_order_and_once(world: World) -> None:
    ordered = [perp(1), future(world.week, 1), call(world.week, 2000, 1, 50), put(world.week, 2000, 1, 50)]
    other = world.open(world.taker, usd=100_000)

    def answer(legs: list[Any]) -> str | None:
        orders = Order(other, protocol.opposite(legs)), Order(world.taking, tuple(legs))
        return world.tries(world.house.trade, protocol.submission(*map(world.called, orders)), sender=world.taker)

    assert answer(ordered) is None
    for i in range(3):
        swapped = [*ordered[:i], ordered[i + 1], ordered[i], *ordered[i + 2 :]]
        assert answer(swapped) == "exchange: order"
    assert answer([perp(1), perp(1)]) == "exchange: order"


def test_what_has_expired_is_not_traded(world: World) -> None:
    world.wait(world.week - world.now - 1)
    for u in (ETH, BTC):
        world.move(1.0, u)
    # The clock stands at the expiry itself: moving two markets took two seconds.
    assert world.now == world.week + 1
    assert world.try_trade(world.taking, world.making, future(world.week, 1)) == "exchange: leg expired"
    assert world.try_trade(world.taking, world.making, future(world.month, 1)) is None


def test_the_last_second_of_an_instrument_is_the_one_before_its_expiry(world: World) -> None:
    world.wait(world.week - world.now - 2)
    world.move(1.0, ETH)
    assert world.try_trade(world.taking, world.making, future(world.week, 1)) is None
    world.wait(1)
    assert world.try_trade(world.taking, world.making, future(world.week, 1)) == "exchange: leg expired"


@pytest.mark.parametrize(
    ("leg", "reason"),
    [
        ((0, 0, 0, PERP, 1, 1), "position: underlying"),
        ((256, 0, 0, PERP, 1, 1), "position: underlying"),
        ((ETH, 0, 0, 4, 1, 1), "position: kind"),
        ((ETH, 1, 0, PERP, 1, 1), "exchange: leg expired"),
        ((ETH, 2**32 - 1, 0, PERP, 1, 1), "position: expiry"),
        ((ETH, 0, 0, FUTURE, 1, 1), "position: expiry"),
        ((ETH, 2**32, 0, FUTURE, 1, 1), "position: expiry"),
        ((ETH, 0, 10**6, PERP, 1, 1), "position: strike"),
        ((ETH, 2**32 - 1, 0, CALL, 1, 1), "position: strike"),
        ((ETH, 2**32 - 1, 0, PUT, 1, 1), "position: strike"),
        ((ETH, 2**32 - 1, 9 * 10**18 + 1, PUT, 1, 1), "position: strike"),
        ((ETH, 0, 0, PERP, 0, 1), "position: size"),
        ((ETH, 0, 0, PERP, 9 * 10**18 + 1, 1), "exchange: ratio"),
        ((ETH, 0, 0, PERP, -9 * 10**18 - 1, 1), "exchange: ratio"),
        ((ETH, 0, 0, PERP, 1, 2**72), "exchange: price range"),
    ],
)
def test_a_leg_out_of_bounds_is_refused(world: World, leg: Any, reason: str) -> None:
    """Derive's audit: a strike of zero must not get into a book."""
    assert world.try_trade(world.taking, world.making, leg) == reason


def test_the_smallest_size_of_all_numbers_is_refused(world: World) -> None:
    """It has no opposite."""
    other = world.open(world.taker)
    for ratio in (-(2**255), 2**255 - 1):
        orders = Order(other, ((ETH, 0, 0, PERP, ratio, 1),)), Order(world.taking, ((ETH, 0, 0, PERP, -(2**255), 1),))
        answer = world.tries(world.house.trade, protocol.submission(*map(world.called, orders)), sender=world.taker)
        assert answer == ("" if ratio < 0 else "exchange: legs differ")


def test_sizes_add_up_within_bounds(world: World) -> None:
    """Two accounts of one owner would like 9e12 + 1e-6 units."""
    market = flat_market(0.000001, world.start, days=())
    world.publish(9, replace(market, scan_range=0.01))
    for u in (ETH, BTC):
        world.move(1.0, u)
    size = 9 * 10**18
    world.trade(world.making, world.bidding, (9, 0, 0, PERP, size, 1000))
    one = world.try_trade(world.making, world.bidding, (9, 0, 0, PERP, 1, 1000))
    assert one == "positions: size"


# --------------------------------------------------------------------------------------------------------------- limits


def test_a_book_has_128_legs_at_most(world: World) -> None:
    strikes = [1000 + 10 * i for i in range(128)]
    for at in range(0, 128, 16):
        world.trade(world.making, world.bidding, *(call(world.month, k, 1, 10) for k in strikes[at : at + 16]))
    assert len(world.house.book(world.making)) == 128
    more = call(world.month, 5000, 1, 1)
    assert world.try_trade(world.making, world.taking, more) == "positions: too many legs"
    assert world.try_trade(world.taking, world.making, more) == "positions: too many legs"
    # In the place of another one it fits.
    assert world.try_trade(world.making, world.bidding, call(world.month, 1000, -1, 10), more) is None
    world.check_ledger()


def test_an_underlying_has_16_expiries_at_most(world: World) -> None:
    days = [d for d in range(1, 400) if listing.admits_expiry(world.start + d * DAY, world.now)][:17]
    for some in (days[:9], days[9:]):
        world.publish(ETH, flat_market(2000.0, world.start, days=some))
    legs = [future(world.start + d * DAY, 0.1) for d in days]
    world.trade(world.making, world.bidding, *legs[:16])
    assert world.try_trade(world.making, world.bidding, legs[16]) == "positions: too many expiries"
    # A perpetual is no further expiry, and another underlying counts for itself.
    assert world.try_trade(world.making, world.bidding, perp(1), future(world.week, 0.1, 70_000, BTC)) is None


def test_an_account_has_8_underlyings_at_most(world: World) -> None:
    for u in range(10, 19):
        world.publish(u, flat_market(100.0, world.start, days=()))
    legs = [perp(1, 100, u) for u in range(10, 19)]
    assert world.try_trade(world.making, world.bidding, *legs) == "positions: underlyings"
    assert world.try_trade(world.making, world.bidding, *legs[:8]) is None


# --------------------------------------------------------------------------------------------------------------- margin


@pytest.mark.parametrize("poor", ["taker", "maker"])
def test_initial_margin_is_asked_of_either_side(world: World, poor: str) -> None:
    """IM of a perpetual at spot: 1.25 * (16% + 5 bps) + 0.1%, and less than 3 bps for its size (M-12)."""
    account = world.open(world.taker if poor == "taker" else world.maker, usd=4_032)
    pair = (account, world.making) if poor == "taker" else (world.taking, account)
    before = world.state(*pair)
    assert world.try_trade(*pair, perp(10)) == MARGIN
    world.give(world.quote, world.user(account), usd(1))
    world.house.deposit(account, 0, usd(1), sender=world.user(account))
    assert world.try_trade(*pair, perp(10)) is None
    assert world.state(*pair)[0][0] == before[0][0]


def test_a_trade_that_is_refused_fills_nothing(world: World) -> None:
    account = world.open(world.taker, usd=1)
    quote = world.order(world.making, perp(-10))
    data = protocol.submission(world.signed(quote), world.called(world.order(account, perp(10))))
    assert world.tries(world.house.trade, data, sender=world.taker) == MARGIN
    assert world.exchange.filled(world.digest(quote)) == 0


def test_a_premium_is_margin_paid(world: World) -> None:
    """An account without cash buys what its collateral can carry, and owes the premium."""
    account = world.open(world.taker, ether=1)
    world.trade(account, world.making, world.marked(call(world.month, 2000, 1)))
    assert world.house.cash(account) < 0
    assert world.freedom(account) >= 0
    world.check_ledger()


def test_no_price_is_too_bad_for_an_account_that_can_afford_it(world: World) -> None:
    """Prices are agreed; what is checked is who is left with what."""
    other = world.open(world.taker)
    assert world.try_trade(world.taking, other, call(world.week, 10_000, 0.000001, 1e9)) is None
    assert world.try_trade(world.taking, other, call(world.week, 10_000, 1, 100_001)) == MARGIN
