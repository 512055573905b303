"""Targeted bids: legs of the bidder's choice, where that helps the account at least as much as a slice of all."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import chain, protocol
from tests.unit.protocol_fixtures import ETH, FUND, PERP, TARGETED, WAD, World, call, moved, perp, put

FIRST, FEE = protocol.LIQUIDATION["first_discount"], protocol.LIQUIDATION["fee"]


def mixed(world: World, factor: float = 0.93) -> int:
    """Long perpetuals, and options that are worth something but need little; prices have fallen."""
    account = world.open(world.taker, usd=6_000)
    legs = [world.marked(leg) for leg in (call(world.quarter, 2_000, 1), put(world.quarter, 1_500, 2))]
    world.trade(account, world.making, perp(8), *legs)
    world.drain(account)
    world.move(factor)
    assert world.health(account) < 0 < world.figures(account).net_value
    world.start_auction(account)
    return account


def some_perp(size: float) -> int:
    """The word of a perpetual."""
    return chain.pack(ETH, 0, 0, PERP, chain.scaled(size, 6))


def at_mark(world: World, size: float) -> int:
    """What a perpetual of that size costs at its mark."""
    return chain.scaled(size, 6) * chain.scaled(world.markets[ETH].perp_mark, 9) * 1000


def target(world: World, account: int, size: float, loss: int, **fields: Any) -> dict[str, Any]:
    """Fields of a bid for some of the perpetual, entered at its mark, for which the account pays so much: 1e-18 USD."""
    return {"package": [some_perp(size)], "cost": at_mark(world, size), "max_price": -loss} | fields


def rates(world: World, account: int) -> tuple[float, float]:
    """What E_mm - MM gains by a slice for each USD of net value lost, fee included; and the most that may be lost."""
    f, q = world.figures(account), world.quote_of(account)
    lost = q.discount / WAD + FEE / WAD
    gain = f.maintenance - f.equity_maintenance + f.net_value * (1 - lost)
    return gain / (f.net_value * lost), q.fraction / WAD * f.net_value / WAD * lost


def test_a_leg_that_needs_much_is_taken_for_little(world: World) -> None:
    """The perpetual alone makes the account unhealthy: taking some of it costs less than a slice of everything."""
    account = mixed(world)
    rate, most = rates(world, account)
    before, cash, fund = world.figures(account), world.house.cash(account), world.house.cash(FUND)
    mine = world.house.cash(world.bidding)
    size, loss = 1.0, chain.wad(3.0)
    fields = target(world, account, size, loss)
    assert loss * 1.5 < most * WAD
    event = world.sell(account, kind=TARGETED, **fields)
    after = world.figures(account)
    fee = loss * FEE // FIRST
    assert (event.price, event.fraction, event.fund) == (-loss, 0, fee)
    assert world.house.cash(account) == cash - loss - fee
    assert world.house.cash(FUND) == fund + fee
    assert world.house.cash(world.bidding) == mine + loss
    assert world.sizes(account)[ETH << 104] == 7_000_000
    assert world.sizes(world.bidding) == {ETH << 104: 1_000_000}
    gained = after.equity_maintenance - after.maintenance - before.equity_maintenance + before.maintenance
    assert gained > 0, "INV-09"
    assert gained >= rate * (loss + fee) > 0
    assert abs(before.net_value - after.net_value - loss - fee) <= 10**6
    world.check_ledger()


def test_a_package_may_cost_no_more_than_the_largest_slice(world: World) -> None:
    """To a cent: what the account loses, the fee of half a discount included."""
    account = mixed(world)
    rate, most = rates(world, account)
    f = world.figures(account)
    # What a perpetual gains in margin, so that the rate is not what stops it.
    for dollars, reason in ((0.01, "liquidation: loss"), (-0.01, None)):
        loss = chain.wad(round((most + dollars) * FIRST / (FIRST + FEE), 6))
        size = 2.0
        answer = world.try_bid(account, world.bidding, TARGETED, **target(world, account, size, loss))
        gain = f.maintenance / WAD * size / 8
        if gain < rate * most:
            assert answer == "liquidation: a slice is better"
        else:
            assert answer == reason


def test_a_package_that_helps_less_than_a_slice_is_refused(world: World) -> None:
    """Calls that are paid for need nothing: taking them at a discount leaves the account worse."""
    account = mixed(world)
    option = next(word for word in world.house.book(account) if (word >> 144) & 255 == 2)
    value = world.protocol.engine.assess((2, 0, 0, [], [option])).option_value
    bid = {"package": [option], "max_price": value * 98 // 100}
    assert world.try_bid(account, world.bidding, TARGETED, **bid) in (
        "liquidation: no better",
        "liquidation: a slice is better",
    )


def test_a_dear_price_buys_no_more_than_restores_initial_margin(world: World) -> None:
    """For a tiny loss a bidder may take what brings the account back to initial margin, and not all that it likes."""
    account = mixed(world)
    f = world.figures(account)
    enough = None
    for size in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0):
        answer = world.try_bid(account, world.bidding, TARGETED, **target(world, account, size, 10**12))
        if answer is None:
            enough = size
        else:
            assert answer == "liquidation: too much"
            with world.ape_chain.isolate():
                # So much would have been more than initial margin.
                other = world.open(world.taker, usd=1.0)
                assert world.health(other) >= 0
                need = f.initial * (8 - size) / 8
                assert f.equity_initial > need * 0.8
            break
    assert enough is not None and enough < 7.0
    world.bid(account, world.bidding, TARGETED, **target(world, account, enough, 10**12))
    assert world.freedom(account) <= world.quote_of(account).premium + WAD


def test_it_ends_the_auction_of_an_account_that_it_heals(world: World) -> None:
    account = mixed(world, factor=0.945)
    size = next(s for s in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0) if heals(world, account, s))
    receipt = world.bid(account, world.bidding, TARGETED, **target(world, account, size, 10**15))
    assert world.health(account) >= 0
    assert receipt.events.filter(world.liquidation.AuctionEnded) == [world.liquidation.AuctionEnded(account=account)]


def heals(world: World, account: int, size: float) -> bool:
    """Whether the account would be healthy without so much of its perpetual."""
    with world.ape_chain.isolate():
        if world.try_bid(account, world.bidding, TARGETED, **target(world, account, size, 10**15)) is not None:
            return False
        world.bid(account, world.bidding, TARGETED, **target(world, account, size, 10**15))
        return world.health(account) >= 0


@pytest.mark.parametrize(
    ("size", "reason"),
    [(8.000001, "liquidation: size"), (-0.1, "liquidation: size")],
)
def test_a_package_is_within_what_the_account_holds(world: World, size: float, reason: str) -> None:
    account = mixed(world)
    assert world.try_bid(account, world.bidding, TARGETED, **target(world, account, size, 10**12)) == reason


def test_bad_packages_are_named(world: World) -> None:
    account = mixed(world)
    nothing = {"package": [], "max_price": 0}
    assert world.try_bid(account, world.bidding, TARGETED, **nothing) == "liquidation: package"
    strange = chain.pack(ETH, world.week, chain.scaled(2_000.0, 6), 2, 10**6)
    assert world.try_bid(account, world.bidding, TARGETED, package=[strange], max_price=0) == "liquidation: no such leg"
    twice = [some_perp(1.0), some_perp(1.0)]
    fields = target(world, account, 1.0, 10**12, package=twice)
    assert world.try_bid(account, world.bidding, TARGETED, **fields) == "liquidation: no such leg"
    # Whatever logarithm of the strike it says, the one that the book has is kept.
    option = next(word for word in world.house.book(account) if (word >> 144) & 255 == 2)
    lying = option & ~(2**80 - 1)
    sale = world.liquidation.award.call(
        account,
        world.bidding,
        as_row(world.house.portfolio(account)),
        True,
        0,
        0,
        world.protocol.engine,
        world.protocol.market_data,
        protocol.bid(
            TARGETED, package=[some_perp(0.5), lying], cost=at_mark(world, 0.5), max_price=fair(world, option)
        ),
        sender=world.house,
    )
    assert sale.package[1] == option


def fair(world: World, option: int) -> int:
    """What an option is worth, a dollar off."""
    return int(world.protocol.engine.assess((2, 0, 0, [], [option])).option_value) - WAD


def as_row(state: Any) -> tuple[Any, ...]:
    """`IMarginEngine.Account` as the ABI wants it."""
    return (state.mode, state.cash, state.cost, [tuple(vars(h).values()) for h in state.holdings], list(state.legs))


def test_nothing_is_targeted_without_net_value_or_on_stale_data(world: World) -> None:
    account = mixed(world)
    fields = target(world, account, 1.0, 10**12)
    world.move(0.55)
    assert world.figures(account).net_value < 0
    assert world.try_bid(account, world.bidding, TARGETED, **fields) == "liquidation: no value"


def test_a_bidder_of_a_package_is_assessed(world: World) -> None:
    account = mixed(world)
    poor = world.open(world.bidder, usd=300)
    fields = target(world, account, 1.0, chain.wad(3.0))
    assert world.try_bid(account, poor, TARGETED, **fields) == "liquidation: bidder's margin"
    later = moved(world.markets[ETH], 1.0)
    world.publish(ETH, later)
    assert world.try_bid(account, world.bidding, TARGETED, **fields) is None
