"""Starting an auction: proof that an account is unhealthy, a reward, and the mark that says it has no net value."""

from __future__ import annotations

import pytest

from scripts import chain
from tests.unit.protocol_fixtures import (
    FUND,
    INSOLVENT,
    LIQUIDATION,
    SOLVENT,
    START,
    WAD,
    World,
    call,
    perp,
    put,
)

REWARD = 25 * WAD
HOUR = 3_600


def long(world: World, deposited: float = 4_500, size: float = 10) -> int:
    """Long some perpetuals at 2,000."""
    account = world.open(world.taker, usd=deposited)
    world.trade(account, world.making, perp(size))
    return account


def test_an_auction_is_of_an_unhealthy_account(world: World) -> None:
    account = long(world)
    assert world.try_bid(account, world.bidding, START) == "liquidation: healthy"
    world.move(0.85)
    receipt = world.start_auction(account)
    event = world.liquidation.AuctionStarted(account=account, starter=world.bidding, reward=REWARD, insolvent=False)
    assert receipt.events.filter(world.liquidation.AuctionStarted) == [event]
    assert tuple(vars(world.liquidation.auction_of(account)).values()) == (world.now, 0, 0, False)
    assert world.try_bid(account, world.bidding, START) == "liquidation: running"


def test_the_account_rewards_the_starter_as_long_as_it_can(world: World) -> None:
    account = long(world)
    world.move(0.85)
    before = [world.house.cash(a) for a in (account, world.bidding, FUND)]
    world.start_auction(account)
    after = [world.house.cash(a) for a in (account, world.bidding, FUND)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [-REWARD, REWARD, 0]
    world.check_ledger()


def test_the_reward_is_no_more_than_a_part_of_the_margin(world: World) -> None:
    """2% of maintenance margin: an account of a dollar is not worth 25."""
    account = long(world, 4.5, 0.01)
    world.move(0.85)
    margin = world.figures(account).maintenance
    receipt = world.start_auction(account)
    assert receipt.events.filter(world.liquidation.AuctionStarted)[0].reward == margin // 50


@pytest.mark.parametrize(("pool", "reward"), [(0.0, 0), (24.999999, 0), (25.0, REWARD), (1_000.0, REWARD)])
def test_the_fund_rewards_the_starter_where_the_account_cannot(world: World, pool: float, reward: int) -> None:
    account = long(world)
    world.back(pool)
    world.move(0.5)
    before = world.house.cash(FUND)
    mine = world.house.cash(world.bidding)
    receipt = world.start_auction(account)
    (event,) = receipt.events.filter(world.liquidation.AuctionStarted)
    assert (event.reward, event.insolvent) == (reward, True)
    assert before - world.house.cash(FUND) == reward == world.house.cash(world.bidding) - mine
    assert world.liquidation.auction_of(account).marked == world.now
    world.check_ledger()


def test_an_account_is_started_once_for_a_reward(world: World) -> None:
    """Marking it, and marking it again, is for nothing."""
    account = long(world)
    world.move(0.85)
    world.start_auction(account)
    world.move(0.5)
    before = world.house.cash(world.bidding)
    receipt = world.start_auction(account)
    assert receipt.events.filter(world.liquidation.AuctionMarked) == [
        world.liquidation.AuctionMarked(account=account, insolvent=True)
    ]
    assert world.house.cash(world.bidding) == before
    assert world.try_bid(account, world.bidding, START) == "liquidation: running"


def test_evidence_is_one_pass_of_scenarios(world: World) -> None:
    """One breaching scenario is enough: an engine that has it starts the auction, one that has not does not."""
    short = world.open(world.taker, usd=2_500)
    world.trade(short, world.making, *(call(world.month, 2000 + 50 * i, -0.5, 60) for i in range(8)))
    answers: set[str | None] = set()
    for percent in range(10, 60):
        world.move(1 + percent / 100)
        if world.health(short) < 0:
            answers = {world.try_bid(short, world.bidding, START, evidence=e) for e in (1, 2, 3)}
            break
    assert answers == {None, "liquidation: healthy"}


def test_evidence_never_condemns_a_healthy_account(world: World) -> None:
    """A part of the scenarios asks for no more than all of them, of books of all kinds."""
    less = 0
    books = [
        [perp(5)],
        [call(world.month, 2200, -3, 60), call(world.month, 2500, 3, 20)],
        [put(world.week, 1800, -2, 20), perp(-1)],
        [call(world.quarter, 2000, 1, 200), put(world.quarter, 2000, 1, 200)],
        [put(world.month, 1500, -4, 10), call(world.month, 2600, -4, 10)],
    ]
    for mode in (1, 2):
        for legs in books:
            account = world.open(world.taker, usd=100_000, ether=1, mode=mode)
            world.trade(account, world.making, *legs)
            state = world.house.portfolio(account)
            row = (state.mode, state.cash, state.cost, [tuple(vars(h).values()) for h in state.holdings], state.legs)
            whole = world.protocol.engine.assess(row)
            for address in world.liquidation.evidence():
                part = world.contracts.MarginEngine.at(address).assess(row)
                assert part.maintenance <= whole.maintenance and part.initial <= whole.initial
                assert (part.equity_maintenance, part.net_value) == (whole.equity_maintenance, whole.net_value)
                less += part.maintenance < whole.maintenance
    assert less > 0, "a part is less than the whole"


def test_a_pass_that_is_not_there_is_no_engine(world: World) -> None:
    p = world.protocol
    passes = len(p.methodology.compiled().passes)
    words = chain.evidence_passes(p.methodology.compiled(), passes)
    assert sorted(words) == [1 << i for i in range(passes)]


def test_a_mark_comes_and_goes_with_net_value(world: World) -> None:
    account = long(world)
    world.move(0.5)
    world.start_auction(account)
    assert world.liquidation.insolvent_running() == 1
    assert world.try_bid(account, world.bidding, SOLVENT) == "liquidation: no value"
    world.move(0.8)
    assert world.figures(account).net_value > 0
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: has value"
    receipt = world.start_auction(account)
    assert receipt.events.filter(world.liquidation.AuctionMarked) == [
        world.liquidation.AuctionMarked(account=account, insolvent=False)
    ]
    assert world.liquidation.auction_of(account).marked == 0
    assert world.liquidation.insolvent_running() == 0
    assert world.try_bid(account, world.bidding, SOLVENT) is None


def test_after_twelve_hours_an_account_is_marked_whatever_its_value(world: World) -> None:
    account = long(world)
    world.move(0.85)
    world.start_auction(account)
    world.wait(12 * HOUR)
    world.move(0.85)
    assert world.figures(account).net_value > 0
    assert world.try_bid(account, world.bidding, SOLVENT) == "liquidation: no value"
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: not marked"
    world.start_auction(account)
    assert world.try_bid(account, world.bidding, INSOLVENT) is None


def test_dust_keeps_nobody_from_leaving_the_fund(world: World) -> None:
    """INV-11. An auction that can cost less than 100 USD is not counted."""
    account = long(world, 4.5, 0.01)
    world.move(0.5)
    world.start_auction(account)
    assert world.liquidation.auction_of(account).marked != 0
    assert world.liquidation.insolvent_running() == 0


def test_nobody_starts_an_auction_of_the_fund(world: World) -> None:
    """Its debt is everybody's."""
    world.back(10.0)
    for kind in (START, SOLVENT, INSOLVENT):
        assert world.try_bid(FUND, world.bidding, kind) == "liquidation: the fund"


def test_a_pause_of_liquidations_stops_starts(world: World) -> None:
    account = long(world)
    world.move(0.85)
    world.house.set_paused(LIQUIDATION, sender=world.guardian)
    assert world.try_bid(account, world.bidding, START) == "liquidation: paused"
