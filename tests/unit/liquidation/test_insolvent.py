"""Insolvent auctions: the price of an account without net value falls below zero, and the fund pays."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import ETH, FUND, INSOLVENT, WAD, WETH, World, call, moved, perp, put

HOUR = 3_600
REWARD = 25 * WAD


def bankrupt(world: World, pool: float = 100_000, factor: float = 0.75, size: float = 10, usd: float = 4_500) -> int:
    """Long perpetuals at 2,000 whose price falls below what was deposited; the fund's cash; the auction started."""
    account = world.open(world.taker, usd=usd)
    world.trade(account, world.making, perp(size))
    if pool:
        world.back(pool)
    world.move(factor)
    assert world.figures(account).net_value <= 0
    world.start_auction(account)
    return account


def after(world: World, account: int, seconds: int, factor: float = 0.75) -> None:
    """Let so much time pass since the mark, prices staying."""
    world.wait(world.liquidation.auction_of(account).marked + seconds - 1 - world.now)
    world.publish(ETH, moved(world.markets[ETH], 1.0))


@pytest.mark.parametrize("seconds", [1, 900, 3_599, 3_600, 7_200])
@pytest.mark.parametrize("part", [1, 4])
def test_the_price_falls_to_what_the_taker_needs(world: World, seconds: int, part: int) -> None:
    """From nothing to NV - MM within an hour, where it stays for another; the fund pays it, and nobody else."""
    account = bankrupt(world)
    after(world, account, seconds)
    f = WAD // part
    figures, cash = world.figures(account), [world.house.cash(a) for a in (account, world.bidding, FUND)]
    q = world.quote_of(account)
    passed = min(seconds, HOUR)
    whole = -((figures.maintenance - figures.net_value) * passed // HOUR)
    assert (q.kind, q.fraction, q.price) == (INSOLVENT, WAD, whole)
    event = world.sell(account, kind=INSOLVENT, fraction=f)
    paid, premium = -whole * f // WAD, q.premium if part > 1 else 0
    price = premium - paid
    assert (event.price, event.fraction, event.fund) == (price, f, -paid)
    left = [world.house.cash(a) for a in (account, world.bidding, FUND)]
    share = cash[0] // part
    # The premium is the account's, though the fund pays for the rest.
    assert left == [cash[0] - share + premium, cash[1] + share - price, cash[2] - paid]
    assert world.sizes(account) == ({} if part == 1 else {ETH << 104: 7_500_000})
    world.check_ledger()


def test_an_account_without_net_value_can_go_for_nothing_at_once(world: World) -> None:
    """A bidder for whom its legs are worth a debt takes it at once, without the fund."""
    account = bankrupt(world, 0, 0.5)
    debt, mine = world.figures(account).net_value, world.figures(world.bidding).net_value
    event = world.sell(account, kind=INSOLVENT)
    assert (event.fraction, event.price) == (WAD, 0)
    assert world.state(account) == [([], 0, 0, [0], 2)]
    assert world.figures(world.bidding).net_value == mine + debt
    assert world.liquidation.auction_of(account).started == 0
    assert world.liquidation.insolvent_running() == 0
    world.check_ledger()


def test_a_bidder_says_how_much_it_wants_to_be_paid(world: World) -> None:
    account = bankrupt(world)
    after(world, account, 1_800)
    price = world.quote_of(account).price
    assert price < 0
    assert world.try_bid(account, world.bidding, INSOLVENT, max_price=price - 1) == "liquidation: price"
    assert world.try_bid(account, world.bidding, INSOLVENT, max_price=price) is None
    assert world.try_bid(account, world.bidding, INSOLVENT, fraction=WAD // 10 - 1) == "liquidation: slice too small"
    assert world.try_bid(account, world.bidding, INSOLVENT, fraction=WAD // 10) is None


def test_what_the_fund_does_not_have_it_does_not_pay(world: World) -> None:
    """To the unit of the quote token."""
    account = bankrupt(world, 100)
    after(world, account, HOUR)
    price = world.quote_of(account).price
    missing = -price - world.house.cash(FUND)
    assert missing > 0
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: fund is short"
    # Parts of it that the fund can pay are sold, an eighth at a time.
    world.back(missing // 10**12 / 10**6)
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: fund is short"
    world.back(0.000001)
    assert world.try_bid(account, world.bidding, INSOLVENT) is None


def test_a_loss_that_counterparties_have_shared_the_fund_may_owe(world: World) -> None:
    account = bankrupt(world, 100)
    after(world, account, HOUR)
    world.liquidation.set_deleveraging(world.heir, sender=world.owner)
    assert world.tries(world.liquidation.set_deleveraged, account, sender=world.owner) == "liquidation: caller"
    assert world.tries(world.liquidation.set_deleveraged, world.making, sender=world.heir) == "liquidation: not marked"
    world.liquidation.set_deleveraged(account, sender=world.heir)
    price, fund = world.quote_of(account).price, world.house.cash(FUND)
    world.sell(account, kind=INSOLVENT)
    assert world.house.cash(FUND) == fund + price < 0
    world.check_ledger()


def test_a_price_without_takers_begins_anew(world: World) -> None:
    """Maker 2020: two hours after the mark nothing is sold until somebody marks it again, at its first price."""
    account = bankrupt(world)
    after(world, account, 2 * HOUR)
    assert world.try_bid(account, world.bidding, INSOLVENT) is None
    after(world, account, 2 * HOUR + 1)
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: not marked"
    assert world.quote_of(account).kind == 0
    world.start_auction(account)
    assert world.quote_of(account).price == 0


def test_an_account_that_ran_out_of_time_falls_from_its_value(world: World) -> None:
    """After twelve hours: from net value down to MM less, an hour later."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.back(10_000)
    world.move(0.85)
    world.start_auction(account)
    world.wait(12 * HOUR)
    world.move(0.85)
    world.start_auction(account)
    figures = world.figures(account)
    q = world.quote_of(account)
    assert (q.kind, q.price) == (INSOLVENT, figures.net_value)
    after(world, account, HOUR, 0.85)
    assert world.quote_of(account).price == figures.net_value - figures.maintenance
    world.sell(account, kind=INSOLVENT)
    world.check_ledger()


def test_a_small_debt_is_worth_the_reward(world: World) -> None:
    """Whoever takes a book that needs hardly any margin earns at least the reward: else nobody would take it."""
    account = bankrupt(world, size=0.01, usd=4.5, factor=0.5)
    assert world.figures(account).maintenance < REWARD
    after(world, account, HOUR)
    assert world.quote_of(account).price == world.figures(account).net_value - REWARD


def test_by_parts_nobody_earns_the_reward(world: World) -> None:
    """A tenth of what is left, again and again, would earn a tenth of it each time."""
    account = bankrupt(world, size=0.01, usd=4.5, factor=0.5)
    after(world, account, HOUR)
    figures, q = world.figures(account), world.quote_of(account)
    event = world.sell(account, kind=INSOLVENT, fraction=WAD // 10)
    assert event.price == -((figures.maintenance - figures.net_value) // 10) + q.premium


def test_a_loss_once_shared_stays_the_funds_when_it_is_marked_anew(world: World) -> None:
    account = bankrupt(world, 100)
    world.liquidation.set_deleveraging(world.heir, sender=world.owner)
    world.liquidation.set_deleveraged(account, sender=world.heir)
    after(world, account, 3 * HOUR)
    world.start_auction(account)
    after(world, account, HOUR)
    assert world.try_bid(account, world.bidding, INSOLVENT) is None
    # With net value again it is forgotten.
    world.move(0.8)
    world.start_auction(account)
    assert world.liquidation.auction_of(account).deleveraged == 0


def test_collateral_goes_with_the_debt(world: World) -> None:
    account = world.open(world.taker, ether=3)
    world.trade(account, world.making, perp(5))
    world.back(100_000)
    world.move(0.55)
    world.start_auction(account)
    after(world, account, HOUR)
    world.sell(account, kind=INSOLVENT, fraction=WAD // 3)
    assert world.house.balance_of(world.bidding, WETH) == 3 * WAD * (WAD // 3) // WAD
    world.sell(account, kind=INSOLVENT)
    assert world.house.balance_of(world.bidding, WETH) == 3 * WAD
    assert world.state(account) == [([], 0, 0, [0], 2)]
    world.check_ledger()


def test_the_requirement_of_a_flat_bidder_is_that_of_what_it_takes(world: World) -> None:
    """`needs` is exact for all of an account: with less the bidder is assessed, and refused."""
    account = world.open(world.taker, usd=3_000)
    world.trade(account, world.making, *(call(world.month, 2000 + 50 * i, -0.5, 60) for i in range(8)))
    world.back(100_000)
    world.trade(account, world.making, put(world.month, 1_500, -1, 10))
    world.move(1.6)
    assert world.figures(account).net_value < 0
    world.start_auction(account)
    q = world.quote_of(account)
    units = -(-q.needs // 10**12)
    enough, less = (world.open(world.bidder, usd=(units + change) / 10**6) for change in (0, -1))
    assert world.try_bid(account, enough, INSOLVENT) is None
    assert world.try_bid(account, less, INSOLVENT) == "liquidation: bidder's margin"
    world.bid(account, enough, INSOLVENT)
    assert 0 <= world.freedom(enough) <= 2 * 10**12
