"""Risk-adjusted yield: income is released over a week to idle cash, less where risk stands on it, to the last unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scripts import chain
from tests.unit.protocol_fixtures import DAY, QUOTE, WAD, World, call, perp, put, usd

HOUR, WEEK, YEAR = 3_600, 7 * DAY, 365 * DAY
FUND, FEES = 1, 2


@dataclass
class Desk:
    """A world in which a key of the house makes income, and time goes where tests want it."""

    world: World
    key: Any

    @property
    def yields(self) -> Any:
        return self.world.protocol.yields

    def at(self, time: int) -> None:
        self.world.ape_chain.pending_timestamp = time

    def later(self, seconds: int) -> int:
        """The time so much later, which the next transaction has."""
        time = self.world.now + seconds
        self.at(time)
        return time

    def earn(self, amount: int) -> None:
        """Income of the protocol, distributed at once."""
        self.world.house.post(FEES, [], amount, 0, sender=self.key)
        self.yields.distribute(sender=self.world.stranger)

    def refresh(self, *accounts: int) -> list[Any]:
        """By a stranger; the events."""
        receipt = self.yields.refresh(accounts, sender=self.world.stranger)
        return list(receipt.events.filter(self.yields.Refreshed))

    def counting(self, *accounts: int) -> None:
        """Two measurements, an hour apart."""
        self.refresh(*accounts)
        self.later(HOUR)
        self.refresh(*accounts)

    def counted(self, account: int) -> int:
        return int(self.yields.rate_of(account).counted)

    def earned(self, account: int, time: int | None = None) -> int:
        return int(chain.call_at(self.yields.earned, self.world.now if time is None else time, account))

    def check(self) -> None:
        """What is spoken for is in account 2, and money is where it came to."""
        unreleased, owed, _ = self.yields.held()
        assert self.world.house.cash(FEES) >= unreleased + owed
        self.world.check_ledger()


@pytest.fixture(scope="module")
def deployed_desk(deployed_world: World) -> Desk:
    key = deployed_world.heir
    deployed_world.house.set_member(key, True, sender=deployed_world.owner)
    return Desk(deployed_world, key)


@pytest.fixture
def desk(deployed_desk: Desk, world: World) -> Desk:
    return Desk(world, deployed_desk.key)


# ------------------------------------------------------------------------------------------------------------- by hand


def test_a_week_by_hand(desk: Desk) -> None:
    """Half of 1,000 is the fund's; of the rest, cash of 100,000 earns a tenth beside cash of 900,000."""
    small, large = desk.world.taking, desk.world.open(desk.world.bidder, usd=900_000)
    desk.counting(small, large)
    assert (desk.counted(small), desk.counted(large)) == (100_000 * WAD, 900_000 * WAD)
    before = desk.world.house.cash(FUND)
    desk.earn(1_000 * WAD)
    assert desk.world.house.cash(FUND) - before == 500 * WAD
    start = desk.world.now
    assert desk.earned(small) == 0
    for share in (1, 3, 6):
        released = 500 * WAD * share // 7
        # A unit for each midnight on the way.
        assert 0 <= released // 10 - desk.earned(small, start + WEEK * share // 7) <= share
        assert 0 <= released * 9 // 10 - desk.earned(large, start + WEEK * share // 7) <= share
    # They end at the seventh midnight, before the week is over; what is not released by then waits.
    end = desk.yields.rate_of(small).end
    assert end == (start // DAY + 7) * DAY
    last = desk.earned(small, end)
    assert desk.earned(small, start + WEEK) == last
    assert 0 <= 50 * WAD * (end - start) // WEEK - last <= 7
    desk.at(start + WEEK)
    (event,) = desk.refresh(small)
    assert event.paid == last
    desk.check()


def test_the_rate_says_why(desk: Desk) -> None:
    world = desk.world
    account = world.open(world.bidder, usd=100_000)
    world.trade(account, world.making, perp(100))
    desk.counting(account, world.taking)
    desk.earn(1_000 * WAD)
    figures, rate = world.figures(account), desk.yields.rate_of(account)
    factor = (figures.equity_maintenance - figures.maintenance) * WAD // figures.equity_maintenance
    assert (rate.cash, rate.maintenance, rate.equity) == (
        100_000 * WAD,
        figures.maintenance,
        figures.equity_maintenance,
    )
    assert rate.factor == factor and 0 < factor < WAD
    assert rate.measured == rate.counted == rate.lowest == min(rate.cash, rate.equity) * factor // WAD
    assert rate.since == world.now
    total = rate.counted + desk.counted(world.taking)
    # 500 in a week, of which this account gets its part: of its cash, in a year.
    assert rate.rate == 500 * WAD * YEAR // WEEK * rate.counted // total * WAD // (100_000 * WAD)
    assert desk.yields.rate_of(world.taking).rate > rate.rate


# ------------------------------------------------------------------------------------------------------------- of risk


def test_of_equal_cash_the_riskier_earns_strictly_less(desk: Desk) -> None:
    world = desk.world
    accounts = [world.open(world.bidder, usd=100_000) for _ in range(4)]
    for account, size in zip(accounts, (0, 10, 100, 200), strict=True):
        if size:
            world.trade(account, world.making, perp(size))
    desk.counting(*accounts)
    desk.earn(1_000 * WAD)
    desk.later(DAY)
    paid = [event.paid for event in desk.refresh(*accounts)]
    assert paid[0] > paid[1] > paid[2] > paid[3] > 0
    desk.check()


def test_cash_that_is_owed_to_others_is_not_idle(desk: Desk) -> None:
    """Premium received for a deep call is cash, and not equity."""
    world = desk.world
    account = world.open(world.bidder, usd=100_000)
    leg = world.marked(call(world.month, 1000, -100))
    world.trade(account, world.making, leg, perp(100))
    rate = desk.yields.rate_of(account)
    assert rate.cash > 190_000 * WAD > rate.equity > 0
    assert rate.measured == rate.equity * rate.factor // WAD


def test_stale_unhealthy_and_indebted_accounts_have_no_score(desk: Desk) -> None:
    world = desk.world
    account = world.open(world.bidder, usd=4_500)
    world.trade(account, world.making, perp(10))
    desk.counting(account)
    assert desk.counted(account) > 0
    with world.ape_chain.isolate():
        world.go_stale()
        (event,) = desk.refresh(account)
        assert (event.measured, event.counted) == (0, 0)
    with world.ape_chain.isolate():
        world.move(0.85)
        assert world.health(account) < 0
        (event,) = desk.refresh(account)
        assert (event.measured, event.counted) == (0, 0)
    world.house.post(account, [], -5_000 * WAD, 0, sender=desk.key)
    assert world.house.cash(account) < 0
    (event,) = desk.refresh(account)
    assert (event.measured, event.counted) == (0, 0)


def test_a_stale_good_score_is_lowered_at_once_and_only_from_then_on(desk: Desk) -> None:
    """Whoever has taken risk since is measured by anybody; what it earned before stays its own."""
    world = desk.world
    account, other = world.open(world.bidder, usd=100_000), world.taking
    desk.counting(account, other)
    desk.earn(1_000 * WAD)
    world.wait(DAY)
    world.move(1.0)
    world.trade(account, world.making, perp(100))
    world.wait(DAY)
    world.move(1.0)
    earned, theirs = desk.earned(account), desk.earned(other)
    (event,) = desk.refresh(account)
    assert event.paid == earned == theirs > 0
    assert 0 < event.counted < 100_000 * WAD
    time = world.now + HOUR
    assert 0 < desk.earned(account, time) < desk.earned(other, time) - theirs


# ------------------------------------------------------------------------------------------------------------ sniping


def test_a_deposit_for_a_block_gains_nothing(desk: Desk) -> None:
    """Deposit, refresh, distribute, withdraw: nothing then, and nothing ever after, though nobody measures again."""
    world = desk.world
    desk.counting(world.taking)
    world.house.post(FEES, [], 1_000 * WAD, 0, sender=desk.key)
    account = world.open(world.bidder, usd=1_000_000)
    desk.refresh(account)
    desk.yields.distribute(sender=world.bidder)
    desk.refresh(account)
    world.house.withdraw(account, QUOTE, usd(1_000_000), world.bidder, sender=world.bidder)
    start = world.now
    assert world.house.cash(account) == 0
    assert desk.earned(account, start + WEEK) == 0
    assert 0 <= 500 * WAD // 7 - desk.earned(world.taking, start + DAY) <= 2


def test_who_shows_cash_is_measured_by_others_before_it_counts(desk: Desk) -> None:
    world = desk.world
    desk.counting(world.taking)
    desk.earn(1_000 * WAD)
    account = world.open(world.bidder, usd=1_000_000)
    desk.refresh(account)
    world.house.withdraw(account, QUOTE, usd(1_000_000), world.bidder, sender=world.bidder)
    desk.later(HOUR - 60)
    desk.refresh(account)
    desk.later(60)
    world.give(world.quote, world.bidder, usd(1_000_000))
    world.house.deposit(account, QUOTE, usd(1_000_000), sender=world.bidder)
    (event,) = desk.refresh(account)
    assert (event.measured, event.counted) == (1_000_000 * WAD, 0)


def test_what_was_measured_before_an_entry_ended_counts_no_more(desk: Desk) -> None:
    world = desk.world
    account = world.open(world.bidder, usd=1_000_000)
    desk.refresh(account)
    desk.at(desk.yields.rate_of(account).end)
    (event,) = desk.refresh(account)
    assert (event.measured, event.counted) == (1_000_000 * WAD, 0)
    # A second earlier it does.
    desk.at(desk.yields.rate_of(account).end - 1)
    (event,) = desk.refresh(account)
    assert event.counted == event.measured == 1_000_000 * WAD


def test_measuring_often_neither_hastens_nor_delays(desk: Desk) -> None:
    """The hour runs from the first of the measurements that agree."""
    start = desk.world.now
    desk.refresh(desk.world.taking)
    for seconds in (600, 1_800, HOUR - 1):
        desk.at(start + seconds)
        (event,) = desk.refresh(desk.world.taking)
        assert event.counted == 0
    desk.at(start + HOUR)
    (event,) = desk.refresh(desk.world.taking)
    assert event.counted == event.measured == 100_000 * WAD


def test_small_additions_do_not_slow_down_what_is_on_its_way(desk: Desk) -> None:
    desk.counting(desk.world.taking)
    desk.earn(1_000 * WAD)
    start = desk.world.now
    for hours in range(1, 25):
        desk.at(start + hours * HOUR)
        desk.world.house.post(FEES, [], 2, 0, sender=desk.key)
        desk.yields.distribute(sender=desk.world.stranger)
    assert abs(desk.earned(desk.world.taking, start + DAY) - 500 * WAD // 7) <= 24


# ----------------------------------------------------------------------------------------------- income, and who may


def test_interest_is_collected_and_shared(desk: Desk) -> None:
    world = desk.world
    debtor = world.open(world.bidder)
    world.house.post(debtor, [], -1_000_000 * WAD, 0, sender=desk.key)
    desk.later(30 * DAY)
    world.house.post(debtor, [], 0, 0, sender=desk.key)
    earned = world.protocol.money_market.earned()
    assert earned > 0
    fund = world.house.cash(FUND)
    receipt = desk.yields.distribute(sender=world.stranger)
    (event,) = receipt.events.filter(desk.yields.Distributed)
    assert (event.income, event.fund) == (earned, earned // 2)
    assert world.protocol.money_market.earned() == 0
    assert world.house.cash(FUND) - fund == earned // 2
    assert desk.yields.held() == (earned - earned // 2, 0, world.now + WEEK)
    assert desk.yields.distribute.call(sender=world.stranger) == 0
    desk.check()


def test_trading_fees_are_income(desk: Desk) -> None:
    world = desk.world
    assert world.house.owner_of(FEES) == desk.yields.address
    assert world.exchange.fee_schedule().account == FEES
    world.charge()
    world.trade(world.taking, world.making, perp(10))
    fees = world.house.cash(FEES)
    assert fees > 0
    desk.yields.distribute(sender=world.stranger)
    assert desk.yields.held() == (fees - fees // 2, 0, world.now + WEEK)


def test_without_scores_income_waits(desk: Desk) -> None:
    desk.earn(1_000 * WAD)
    desk.later(30 * DAY)
    desk.counting(desk.world.taking)
    assert desk.yields.held() == (500 * WAD, 0, desk.world.now + WEEK)
    assert 0 <= 500 * WAD // 7 - desk.earned(desk.world.taking, desk.world.now + DAY) <= 2


def test_the_protocols_accounts_earn_nothing(desk: Desk) -> None:
    for account in (0, FUND, FEES):
        assert desk.world.tries(desk.yields.refresh, [account], sender=desk.world.owner) == "yield: account"


def test_the_owner_sets_the_funds_share(desk: Desk) -> None:
    world = desk.world
    for user in (world.stranger, world.guardian, world.taker):
        assert world.tries(desk.yields.set_fund_share, 0, sender=user) == "authority: not the owner"
    assert world.tries(desk.yields.set_fund_share, WAD + 1, sender=world.owner) == "yield: share"
    desk.yields.set_fund_share(WAD, sender=world.owner)
    fund = world.house.cash(FUND)
    desk.earn(7)
    assert world.house.cash(FUND) - fund == 7
    desk.yields.set_fund_share(0, sender=world.owner)
    desk.earn(7)
    assert desk.yields.held() == (7, 0, world.now + WEEK)


def test_members_and_the_owner_collect_interest(desk: Desk) -> None:
    world = desk.world
    market = world.protocol.money_market
    assert world.tries(market.collect, FUND, 0, sender=world.stranger) == "authority: not the owner"
    for user in (world.owner, desk.key):
        assert world.tries(market.collect, FUND, 0, sender=user) is None


def test_only_a_member_moves_money(desk: Desk) -> None:
    """Taken off the list, it can neither collect nor pay; nothing of its own changes."""
    world = desk.world
    desk.counting(world.taking)
    desk.earn(1_000 * WAD)
    world.wait(DAY)
    world.house.set_member(desk.yields, False, sender=world.owner)
    before = desk.yields.held()
    assert world.tries(desk.yields.refresh, [world.taking], sender=world.stranger) == "clearing house: caller"
    world.house.post(FEES, [], WAD, 0, sender=desk.key)
    assert world.tries(desk.yields.distribute, sender=world.stranger) == "clearing house: caller"
    assert desk.yields.held() == before


# ---------------------------------------------------------------------------------------------------------------- gas


@pytest.mark.parametrize(("options", "limit"), [(0, 350_000), (32, 1_200_000)])
def test_gas_of_a_refresh(desk: Desk, options: int, limit: int) -> None:
    world = desk.world
    account = world.open(world.bidder, usd=1_000_000)
    for start in range(0, options, 16):
        legs = [world.marked(put(world.month, 1200 + 20 * i, 1 - 2 * (i % 2))) for i in range(start, start + 16)]
        world.trade(account, world.making, *legs)
    desk.counting(account)
    desk.earn(1_000 * WAD)
    world.wait(HOUR)
    gas = world.gas(desk.yields.refresh, [account], sender=world.stranger)
    print(f"refresh of {options} options: {gas:,}")
    assert desk.earned(account) > 0 and gas < limit


def test_gas_of_a_distribution(desk: Desk) -> None:
    world = desk.world
    desk.counting(world.taking)
    desk.earn(1_000 * WAD)
    world.wait(HOUR)
    world.house.post(FEES, [], 1_000 * WAD, 0, sender=desk.key)
    gas = world.gas(desk.yields.distribute, sender=world.stranger)
    print(f"distribute: {gas:,}")
    assert gas < 300_000
