"""Incidents of others that became requirements: one claim for each that applies to what exists.

Where a whole file answers for one, it is named: Curve and Sharwa `test_reentry`, Perpetual `test_access`, Balancer,
yETH and KyberSwap `test_dust`, replayed and malleable signatures `exchange/test_agree`, stETH `test_list_collateral`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_model.portfolio import SVI
from scripts import protocol
from tests.unit.protocol_fixtures import (
    BTC,
    ETH,
    INSOLVENT,
    QUOTE,
    SOLVENT,
    TRANSFER,
    WAD,
    WETH,
    WITHDRAW,
    World,
    action,
    call,
    future,
    moved,
    perp,
    put,
    usd,
)

MARGIN = "solvency: margin"


def leveraged(world: World) -> int:
    """An account with initial margin to the unit."""
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, perp(10), put(world.month, 1900, -5, 80))
    world.drain(account)
    return account


def test_euler_2023_nobody_gives_away_what_keeps_the_account_healthy(world: World) -> None:
    """INV-04, INV-09: no donation, to anybody, by any route, and so no discounted sale to a friend."""
    account = leveraged(world)
    other = world.open(world.taker)
    gifts = [
        action(WITHDRAW, account, amount=usd(1), recipient=world.stranger),
        action(TRANSFER, account, counterparty=other, amount=usd(1)),
        world.trade_action(account, other, call(world.week, 9_000, 0.01, 1_000)),
        world.trade_action(account, other, perp(0.000001, 10**6)),
        world.trade_action(account, world.making, perp(-1, 1_000)),
    ]
    for gift in gifts:
        assert world.tries(world.house.execute, [gift], sender=world.taker) == MARGIN
    bid = (world.house.bid, account, world.bidding, protocol.bid(SOLVENT))
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"


def test_platypus_2023_every_exit_runs_the_full_check(world: World) -> None:
    """INV-05: debt and collateral are seen together, whichever of the two moves."""
    account = world.open(world.taker, ether=10)
    world.trade(account, world.making, world.marked(call(world.month, 2000, 20)))
    assert world.house.cash(account) < 0
    free = world.freedom(account)
    most = free * 100 // 98 // 2000
    exits = [
        action(WITHDRAW, account, collateral=WETH, amount=most * 3 // 2, recipient=world.taker),
        action(TRANSFER, account, counterparty=world.open(world.taker), collateral=WETH, amount=most * 3 // 2),
    ]
    for way in exits:
        assert world.tries(world.house.execute, [way], sender=world.taker) == MARGIN


def test_harvest_and_cream_a_donation_moves_no_value(world: World) -> None:
    """INV-03: what is sent to the vault, of any token, is in nobody's equity."""
    account = leveraged(world)
    before = world.figures(account)
    for token in (world.quote, world.weth):
        token.mint(world.house, 10**24, sender=world.stranger)
    assert world.figures(account) == before


@pytest.mark.parametrize("price", [0, 999, 10**21 + 1, 2**256 - 1])
def test_luna_2022_a_price_out_of_bounds_is_not_taken(world: World, price: int) -> None:
    """INV-13: not of spot, nor of a perpetual; negative ones do not exist in the ABI."""
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, perp(10))
    before = world.figures(account)
    world.wait(1)
    fair = 2000 * 10**9
    for spot, mark in ((price, fair), (fair, price)):
        update = (ETH, world.now, spot, mark, 10**9, [])
        assert world.tries(world.protocol.market_data.publish, update, sender=world.owner) == "market: price"
    assert world.figures(account) == before


def test_luna_2022_a_feed_that_stops_stops_what_raises_risk(world: World) -> None:
    """INV-13: no price is better than a wrong one, however much collateral is brought."""
    account = leveraged(world)
    world.go_stale()
    world.give(world.quote, world.taker, usd(100_000))
    world.house.deposit(account, QUOTE, usd(100_000), sender=world.taker)
    assert world.tries(world.house.withdraw, account, QUOTE, 1, world.taker, sender=world.taker) == MARGIN
    assert world.try_trade(account, world.making, perp(1)) == MARGIN


def test_luna_2022_a_price_does_not_go_back_in_time(world: World) -> None:
    """INV-13: not to an older one, nor ahead of the block."""
    market = moved(world.markets[ETH], 2.0)
    for shift in (-1, 0, 10):
        update = (ETH, world.now + shift, int(market.spot * 1e9), int(market.spot * 1e9), 0, [])
        answer = world.tries(world.protocol.market_data.publish, update, sender=world.owner)
        assert answer == ("market: timestamp ahead" if shift > 0 else "market: timestamp not newer")


def test_moonwell_2026_collateral_without_its_market_is_worth_nothing_new(world: World) -> None:
    """INV-13: one of two feeds that a value stands on is missing."""
    token = world.owner.deploy(world.contracts.Token, "Staked", "STK", 18)
    kind, source = world.list_kind(token, underlying=ETH)
    account = world.open(world.taker)
    world.give(token, world.taker, 10 * WAD)
    world.house.deposit(account, kind, 10 * WAD, sender=world.taker)
    assert world.try_trade(account, world.making, perp(1)) is None
    source.set_peg(WAD, False, sender=world.owner)
    assert not world.figures(account).fresh
    assert world.try_trade(account, world.making, perp(1)) == MARGIN


def test_maker_2020_what_nobody_bids_for_stays_where_it_is(world: World) -> None:
    """12 March: no price falls by itself. An account with net value is never sold for less than the discount."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    world.wait(3_000)
    limit = world.quote_of(account).fraction
    sale = world.sell(account)
    assert sale.price * WAD >= sale.net_value * sale.fraction // WAD * 98 * WAD // 100
    assert limit < WAD


def test_maker_2020_a_night_without_bids_gives_nothing_away(world: World) -> None:
    """Gas fifty times as dear, nobody bids: after twelve hours nothing is sold by itself, and no price is nothing.

    Whoever comes at last marks the account, and the price falls anew, from its value: not from where it was at night.
    """
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    world.start_auction(account)
    world.wait(11 * 3_600)
    world.move(0.85)
    late = world.quote_of(account)
    assert late.kind == SOLVENT and late.price > 0
    for _ in range(2):
        world.wait(4 * 3_600)
        world.move(0.85)
        for kind in (SOLVENT, INSOLVENT):
            assert world.try_bid(account, world.bidding, kind) in ("liquidation: no value", "liquidation: not marked")
        world.start_auction(account)
        assert world.quote_of(account).price == world.figures(account).net_value
    assert world.sizes(account) != {}


def test_derive_neither_strike_zero_nor_a_bad_surface_stops_a_liquidation(world: World) -> None:
    """INV-11: no option has a strike of zero, and where a surface says nonsense margin is computed all the same."""
    account = world.open(world.taker, usd=4_500)
    assert world.try_trade(account, world.making, (ETH, world.month, 0, 2, 10**6, 10**9)) == "position: strike"
    world.trade(account, world.making, perp(9), world.marked(call(world.month, 2_000, -0.1)))
    fallen = moved(world.markets[ETH], 0.85)
    bad = SVI(-5.0, 0.6, -0.999, 3.0, 0.001, 28 / 365, fallen.spot)
    world.publish(ETH, replace(fallen, expiries=tuple(replace(e, svi=bad) for e in fallen.expiries)))
    assert world.health(account) < 0
    sale = world.sell(account)
    assert sale.fraction > 0
    world.check_ledger()


def test_derive_terms_that_change_on_the_way_make_a_bid_fail_and_nothing_else(world: World) -> None:
    """Sniped parameters: a bid carries its kind, its price, its fractions and its deadline."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    world.start_auction(account)
    q = world.quote_of(account)
    limits = {"max_price": q.price, "min_fraction": q.fraction, "deadline": world.now + 60}
    assert world.try_bid(account, world.bidding, SOLVENT, **limits) is None
    world.set_terms(first_discount=WAD // 1000)
    assert world.try_bid(account, world.bidding, SOLVENT, **limits) in (
        "liquidation: price",
        "liquidation: below minimum",
    )
    world.set_terms(minimum_slice=WAD)
    assert world.try_bid(account, world.bidding, SOLVENT, **limits) == "liquidation: price"
    world.set_terms()
    assert world.try_bid(account, world.bidding, INSOLVENT, **limits) == "liquidation: has value"
    world.wait(61)
    world.move(0.85)
    assert world.try_bid(account, world.bidding, SOLVENT, **limits) == "liquidation: deadline"


def test_derive_128_legs_are_no_shield_of_gas(world: World) -> None:
    """An account as long as may be is sold, its auction started by the bid, for at most 7M gas."""
    account, other = world.open(world.taker, usd=100_000), world.open(world.stranger, usd=10**7)
    for at in range(0, 128, 16):
        rows = (call(world.month, 1_500 + 10 * i, -1 if i % 2 else 0.5, 60) for i in range(at, at + 16))
        world.trade(account, other, *rows)
    world.drain(account)
    world.move(1.1)
    assert len(world.house.book(account)) == 128 and world.health(account) < 0
    bid = (world.house.bid, account, world.bidding, protocol.bid(SOLVENT))
    assert world.gas(*bid, sender=world.bidder) <= 7_000_000


def test_derive_nobody_puts_dust_into_a_bidders_account(world: World) -> None:
    """INV-11: no legs, no collateral, no cash, without the consent of its side."""
    bidder = world.bidding
    leg = call(world.month, 2000, 0.000001, 1)
    sides = [
        world.called(world.order(a, *legs)) for a, legs in ((bidder, protocol.opposite([leg])), (world.taking, [leg]))
    ]
    answer = world.tries(world.house.trade, protocol.submission(*sides), sender=world.taker)
    assert answer == "exchange: not approved"
    assert world.tries(world.house.deposit, bidder, QUOTE, 1, sender=world.taker) == "accounts: not authorised"
    transfer = (world.house.transfer, world.taking, bidder, QUOTE, 1)
    assert world.tries(*transfer, sender=world.taker) == "accounts: not authorised"


def test_derive_a_bid_without_cash_prints_none(world: World) -> None:
    """INV-02: what is paid is owed, and what is owed has margin."""
    account = world.open(world.taker, ether=3)
    world.trade(account, world.making, perp(5))
    world.move(0.7)
    poor, rich = world.open(world.bidder), world.open(world.bidder, ether=50)
    assert world.try_bid(account, poor, SOLVENT) == "liquidation: bidder's margin"
    world.sell(account, rich)
    world.check_ledger()


def test_derive_changing_the_rules_of_an_account_runs_the_check(world: World) -> None:
    """INV-05."""
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, perp(10), future(world.week, -10))
    world.drain(account)
    assert world.tries(world.house.set_mode, account, 1, sender=world.taker) == MARGIN


def test_arcadia_2023_no_setter_but_that_of_the_engine_touches_an_account(world: World) -> None:
    """INV-14: caps, terms of liquidation and pauses change nobody's health."""
    account = leveraged(world)
    before = world.figures(account)
    world.collaterals.set_cap(QUOTE, 0, sender=world.owner)
    world.collaterals.set_cap(WETH, 0, sender=world.owner)
    world.collaterals.set_withdrawal_limit(QUOTE, 1, sender=world.owner)
    world.collaterals.poke(WETH, sender=world.stranger)
    world.house.set_paused(3, sender=world.owner)
    world.set_terms(first_discount=WAD // 5, minimum_slice=WAD)
    assert world.figures(account) == before
    assert world.quote_of(account).fraction == 0


@pytest.mark.parametrize("power", [1, 3])
def test_futureswap_2026_ten_times_the_size_is_ten_times_the_money(world: World, power: int) -> None:
    """Units: premium and cost are homogeneous in sizes, to the wei."""
    small = [call(world.month, 2100, 0.001, 91.5), perp(-0.001, 1999.75), perp(0.0002, 70_001.5, BTC)]
    large = [(*leg[:4], leg[4] * 10**power, leg[5]) for leg in small]
    rows = []
    for package in (small, large):
        account = world.open(world.taker, usd=100_000)
        world.trade(account, world.making, *package)
        rows.append((world.house.cash(account) - 100_000 * WAD, world.house.cost(account)))
    assert rows[1] == tuple(value * 10**power for value in rows[0])
