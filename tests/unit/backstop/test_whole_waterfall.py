"""A loss through every stage and back: account, junior, senior, deleveraging, cut withdrawals, recovery; to the wei."""

from __future__ import annotations

from tests.unit.backstop.conftest import JUNIOR, SENIOR, Fund
from tests.unit.protocol_fixtures import BTC, DAY, ETH, FUND, INSOLVENT, QUOTE, WAD, World, perp, usd

HOUR, NOMINATIONS = 3_600, 1_800
DEPOSITED, PERPS, ENTRY, FALLEN = 4_500, 10, 2_000, 1_000


def publish(world: World, seconds: int, factor: float) -> None:
    """Let time pass, and prices be published again."""
    world.wait(seconds)
    for underlying in (BTC, ETH):
        world.move(factor, underlying)


def total(world: World) -> int:
    """All cash less all cost, with the reserve: what the vault holds of the quote token."""
    accounts = range(1, world.house.account_count() + 1)
    return int(world.house.reserve() + sum(world.stored_cash(a) - world.house.cost(a) for a in accounts))


def value(world: World, account: int) -> int:
    """Net value."""
    return int(world.figures(account).net_value)


def test_a_shortfall_walks_through_every_stage_and_back(fund: Fund) -> None:
    world, backstop, rounds = fund.world, fund.backstop, fund.world.protocol.deleveraging
    publish(world, DAY, 1.0)
    publish(world, DAY, 1.0)
    fund.deposit(fund.junior, fund.first, 1_000)
    fund.deposit(fund.senior, fund.second, 2_000)
    small = world.open(world.bidder, usd=100_000)
    account = world.open(world.taker, usd=DEPOSITED)
    world.trade(account, small, perp(4))
    world.trade(account, world.making, perp(6))
    held = total(world)

    # The account first: all that it has, and the auction finds nobody in its hour.
    publish(world, 1, FALLEN / ENTRY)
    lost = PERPS * (ENTRY - FALLEN)
    deficit = -value(world, account)
    assert abs(deficit - (lost - DEPOSITED) * WAD) <= 10**6
    # A fund of 3,000 pays no reward that the account cannot, but 25 USD it does.
    reward = world.start_auction(account).events.filter(world.liquidation.AuctionStarted)[0].reward
    publish(world, HOUR, FALLEN / ENTRY)
    fund.sync()
    assert fund.pool.assets[JUNIOR] == 1_000 * WAD - reward, "junior bears the first loss"
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: fund is short"

    # Deleveraging: the fund pays its part of what is closed, junior first and then senior; the counterparty the rest.
    rounds.open(account, sender=world.stranger)
    rounds.nominate(account, small, sender=world.stranger)
    publish(world, NOMINATIONS, FALLEN / ENTRY)
    before = value(world, small)
    pool = world.house.cash(FUND)
    (closed,) = rounds.close(account, 16, sender=world.stranger).events.filter(rounds.Deleveraged)
    assert closed.fund == -(-pool * 4 // PERPS) and world.house.cash(FUND) == pool - closed.fund
    # What the engine rounds of a value is far below a millionth.
    assert abs(before - value(world, small) - closed.loss) <= 10**6
    assert abs(closed.fund + closed.loss - deficit * 4 // PERPS) <= 10**6
    fund.sync()
    assert fund.pool.assets[JUNIOR] == 0
    assert fund.pool.assets[SENIOR] == 2_000 * WAD - (closed.fund - 1_000 * WAD + reward)
    assert total(world) == held

    # What nobody nominated shares stays in the auction, and the fund comes to owe: senior is gone too.
    left = world.house.cash(FUND)
    sale = world.sell(account, kind=INSOLVENT)
    shortfall = -world.house.cash(FUND)
    assert shortfall == -sale.price - left > 0
    assert world.state(account) == [([], 0, 0, [0], 2)]
    fund.sync()
    assert [fund.pool.assets[kind] for kind in (JUNIOR, SENIOR)] == [0, 0]
    assert total(world) == held

    # The haircut: a withdrawal is cut by the share of all cash that is not there, and the account has a claim to that.
    lent = world.protocol.money_market.interest().credits
    amount = usd(1_000_000)
    tokens = world.quote.balanceOf(world.maker)
    cash = world.house.cash(world.making)
    world.house.withdraw(world.making, QUOTE, amount, world.maker, sender=world.maker)
    paid = world.quote.balanceOf(world.maker) - tokens
    kept = -(-amount * shortfall // lent)
    assert amount - paid == kept > 0
    assert cash - world.house.cash(world.making) == amount * 10**12
    assert world.house.cash(FUND) == kept * 10**12 - shortfall
    assert backstop.claim_of(world.making) == (kept * 10**12, 0)
    assert total(world) == held - paid * 10**12
    world.check_ledger()

    # Later income: shortfall and claims in step, and only then holders.
    hole = shortfall
    half = hole // 2
    fund.move(half)
    fund.sync()
    owed, recoverable = backstop.claim_of(world.making)
    # In step but for a wei of rounding.
    assert abs(recoverable - owed * half // hole) <= 1
    assert abs(-world.house.cash(FUND) - (shortfall - kept * 10**12) * (hole - half) // hole) <= 1
    fund.move(hole - half + 500 * WAD)
    fund.sync()
    backstop.recover(world.making, sender=world.stranger)
    assert backstop.claim_of(world.making) == (0, 0)
    assert world.house.cash(FUND) == 500 * WAD, "the rest is the fund's income"
    assert fund.pool.income == 500 * WAD
    # The maker paid the income of this test itself: with that it has all that it had.
    assert world.house.cash(world.making) == cash - amount * 10**12 + kept * 10**12 - hole - 500 * WAD
    assert total(world) == held - paid * 10**12
    fund.check()
