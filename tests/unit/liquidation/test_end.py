"""The end of an auction: as soon as the account is healthy, and when nothing is left but a debt."""

from __future__ import annotations

from tests.unit.protocol_fixtures import (
    FUND,
    INSOLVENT,
    QUOTE,
    SOLVENT,
    WAD,
    World,
    call,
    perp,
    usd,
)


def distressed(world: World, factor: float = 0.85) -> int:
    """Long ten perpetuals at 2,000, in auction."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(factor)
    world.start_auction(account)
    return account


def end(world: World, account: int) -> str | None:
    """Why an auction cannot be ended; None where anyone can."""
    return world.tries(world.liquidation.end, account, sender=world.stranger)


def test_the_largest_slice_ends_it(world: World) -> None:
    account = distressed(world)
    receipt = world.bid(account, world.bidding, SOLVENT)
    assert receipt.events.filter(world.liquidation.AuctionEnded) == [world.liquidation.AuctionEnded(account=account)]
    assert world.liquidation.auction_of(account).started == 0


def test_a_smaller_slice_ends_it_once_the_account_is_healthy(world: World) -> None:
    """Derive: no auction goes on above the line. The next one, if prices fall again, begins at the first discount."""
    account = distressed(world)
    ended = []
    while not ended:
        assert world.health(account) < 0
        ended = list(
            world.bid(account, world.bidding, SOLVENT, fraction=WAD // 10).events.filter(world.liquidation.AuctionEnded)
        )
    assert world.health(account) >= 0 > world.freedom(account)


def test_a_deposit_ends_it_by_anyones_hand(world: World) -> None:
    account = distressed(world)
    assert end(world, account) == "liquidation: unhealthy"
    world.give(world.quote, world.taker, usd(10_000))
    world.house.deposit(account, QUOTE, usd(10_000), sender=world.taker)
    assert world.try_bid(account, world.bidding, SOLVENT) == "liquidation: healthy"
    assert end(world, account) is None
    world.liquidation.end(account, sender=world.stranger)
    assert world.liquidation.auction_of(account).started == 0
    assert end(world, account) == "liquidation: not started"


def test_a_price_ends_it_and_stale_prices_do_not(world: World) -> None:
    """INV-13: who cannot be known to be healthy is not."""
    account = distressed(world)
    world.move(1.0)
    assert end(world, account) is None
    world.go_stale()
    assert end(world, account) == "liquidation: unhealthy"


def test_an_insolvent_account_that_recovers_is_counted_no_more(world: World) -> None:
    account = distressed(world, 0.5)
    assert world.liquidation.insolvent_running() == 1
    world.move(1.0)
    world.liquidation.end(account, sender=world.stranger)
    assert world.liquidation.insolvent_running() == 0


def test_an_account_with_nothing_but_a_debt_is_absorbed(world: World) -> None:
    """The fund pays it, and owes what it does not have."""
    for pool in (0.0, 300.0, 10_000.0):
        with world.ape_chain.isolate():
            account = world.open(world.taker, usd=400)
            world.trade(account, world.making, world.marked(call(world.week, 2000, -1)))
            if pool:
                world.back(pool)
            # It expires deep in the money: what is left is a debt.
            world.wait(world.week - world.now - 1_900)
            for _ in range(4):
                world.move(1.4)
                world.wait(600)
            world.wait(max(world.week - world.now, 0))
            world.move(1.4)
            world.protocol.settlement.settle([account], sender=world.stranger)
            debt = -world.house.cash(account)
            assert world.house.book(account) == [] and debt > 0
            fund = world.house.cash(FUND)
            receipt = world.liquidation.absorb(account, sender=world.stranger)
            assert receipt.events.filter(world.liquidation.Absorbed) == [
                world.liquidation.Absorbed(account=account, debt=debt)
            ]
            assert world.house.cash(account) == 0
            assert world.house.cash(FUND) == fund - debt
            world.protocol.settlement.settle([world.making], sender=world.stranger)
            world.check_ledger()


def test_nothing_else_is_absorbed(world: World) -> None:
    """Neither an account with legs or collateral, nor one without a debt, nor the fund itself."""
    absorb = world.liquidation.absorb
    account = distressed(world, 0.5)
    assert world.tries(absorb, account, sender=world.stranger) == "liquidation: no debt"
    assert world.tries(absorb, world.bidding, sender=world.stranger) == "liquidation: no debt"
    owing = world.open(world.taker, ether=3)
    world.trade(owing, world.making, world.marked(call(world.month, 2000, 1)))
    assert world.house.cash(owing) < 0
    assert world.tries(absorb, owing, sender=world.stranger) == "liquidation: has more than debt"
    world.liquidation.set_deleveraging(world.heir, sender=world.owner)
    world.liquidation.set_deleveraged(account, sender=world.heir)
    world.wait(3_600)
    world.move(0.5)
    world.sell(account, kind=INSOLVENT)
    assert world.house.cash(FUND) < 0
    assert world.tries(absorb, FUND, sender=world.stranger) == "liquidation: no debt"
