"""Bids as steps of a batch: one check at its end, so that a bidder can hedge, sell or borrow in between."""

from __future__ import annotations

from typing import Any

from scripts import protocol
from tests.unit.protocol_fixtures import (
    CALL_OUT,
    DEPOSIT,
    PORTFOLIO,
    QUOTE,
    SOLVENT,
    START,
    WAD,
    WETH,
    WITHDRAW,
    World,
    action,
    perp,
    usd,
)


def distressed(world: World, ether: float = 0.0, deposited: float = 4_500, factor: float = 0.85) -> int:
    """Long perpetuals at 2,000, on cash or on ether."""
    account = world.open(world.taker, usd=0.0 if ether else deposited, ether=ether)
    world.trade(account, world.making, perp(5 if ether else 10))
    world.move(0.7 if ether else factor)
    assert world.health(account) < 0 < world.figures(account).net_value
    return account


def test_start_bid_and_hedge_are_one_batch(world: World) -> None:
    """A bidder that could not carry the slice passes it on in the same call."""
    account = distressed(world)
    poor = world.open(world.bidder, usd=100)
    q = world.quote_of(account)
    assert world.try_bid(account, poor, SOLVENT) == "liquidation: bidder's margin"
    with world.ape_chain.isolate():
        world.start_auction(account)
        q = world.quote_of(account)
    size = 10 * 10**6 * q.fraction // WAD
    hedge = world.trade_action(poor, world.making, (*perp(-1, 1_700)[:4], -size, perp(1, 1_700)[5]))
    steps = [world.bid_action(account, poor, START), world.bid_action(account, poor, SOLVENT), hedge]
    receipt = world.house.execute(steps, sender=world.bidder)
    (sale,) = receipt.events.filter(world.liquidation.Sold)
    assert sale.fraction == q.fraction
    assert world.sizes(poor) == {}
    gain = world.house.cash(poor) - usd(100) * 10**12
    # Reward and discount, less what rounding costs.
    assert gain > 25 * WAD + sale.net_value * sale.fraction // WAD * 19 // 1000
    assert world.freedom(account) >= -(10**12)
    world.check_ledger()


def test_the_check_is_at_the_end_of_the_batch(world: World) -> None:
    account = distressed(world)
    poor = world.open(world.bidder, usd=100)
    world.give(world.quote, world.bidder, usd(50_000))
    deposit = action(DEPOSIT, poor, amount=usd(50_000))
    steps = [world.bid_action(account, poor, SOLVENT), deposit]
    assert world.tries(world.house.execute, steps, sender=world.bidder) is None
    assert world.tries(world.house.execute, steps[:1], sender=world.bidder) == "liquidation: bidder's margin"


def test_an_account_that_acted_in_the_call_is_not_for_sale(world: World) -> None:
    """INV-09: nor is it made unhealthy by the batch that buys it."""
    account = distressed(world)
    world.house.set_operator(account, world.bidder, 2**64, 3, sender=world.taker)
    world.give(world.quote, world.bidder, usd(1))
    steps = [action(DEPOSIT, account, amount=usd(1)), world.bid_action(account, world.bidding, SOLVENT)]
    assert world.tries(world.house.execute, steps, sender=world.bidder) == "liquidation: in this call"
    assert world.tries(world.house.execute, steps[1:], sender=world.bidder) is None


def test_two_slices_in_one_batch_are_one_check(world: World) -> None:
    account = distressed(world)
    steps = [world.bid_action(account, world.bidding, SOLVENT, fraction=WAD // 10) for _ in range(2)]
    receipt = world.house.execute(steps, sender=world.bidder)
    assert [e.fraction for e in receipt.events.filter(world.liquidation.Sold)] == [WAD // 10] * 2
    world.check_ledger()


def test_a_withdrawal_after_a_bid_needs_initial_margin(world: World) -> None:
    account = distressed(world)
    bidder = world.open(world.bidder, usd=round(world.quote_of(account).needs / WAD + 500, 6))
    bid = world.bid_action(account, bidder, SOLVENT)
    out = action(WITHDRAW, bidder, amount=usd(800), recipient=world.bidder)
    assert world.tries(world.house.execute, [bid], sender=world.bidder) is None
    assert world.tries(world.house.execute, [out], sender=world.bidder) is None
    assert world.tries(world.house.execute, [bid, out], sender=world.bidder) == "solvency: margin"


def flash(world: World) -> tuple[Any, int]:
    """A contract without money, with an account; a lender who pays for ether."""
    lender = world.stranger
    world.give(world.quote, lender, usd(100_000))
    contract = world.owner.deploy(world.contracts.Flash, world.house, world.quote, world.weth, lender)
    world.quote.approve(contract, usd(100_000), sender=lender)
    contract.open(PORTFOLIO, sender=world.owner)
    return contract, world.house.account_count()


def test_a_flash_liquidation_needs_no_money(world: World) -> None:
    """Slice, hedge, withdrawal of its ether, its sale to a lender, deposit of what that paid: one transaction."""
    account = distressed(world, ether=3)
    contract, bidder = flash(world)
    world.start_auction(account)
    q = world.quote_of(account)
    ether = 3 * WAD * q.fraction // WAD
    size = 5 * 10**6 * q.fraction // WAD
    paid = ether * 1_400 // 10**12
    order = world.order(bidder, (*perp(-1, 1_400)[:4], -size, perp(1, 1_400)[5]))
    other = world.order(world.making, *protocol.opposite(order.legs), counterparty=bidder)
    trade = action(3, data=protocol.submission(world.signed(other), protocol.Consent(order, contract.address)))
    steps = [
        world.bid_action(account, bidder, SOLVENT),
        trade,
        action(WITHDRAW, bidder, collateral=WETH, amount=ether, recipient=contract),
        action(CALL_OUT, recipient=contract, data=paid.to_bytes(32)),
        action(DEPOSIT, bidder, collateral=QUOTE, amount=paid),
    ]
    contract.run(steps, sender=world.owner)
    assert world.house.book(bidder) == [] and world.house.balance_of(bidder, WETH) == 0
    assert world.house.cash(bidder) > 0, "the discount"
    assert contract.caller() == contract.address
    world.check_ledger()


def test_a_flash_liquidation_that_does_not_pay_fails_as_a_whole(world: World) -> None:
    account = distressed(world, ether=3)
    contract, bidder = flash(world)
    before = world.state(account)
    steps = [world.bid_action(account, bidder, SOLVENT), action(CALL_OUT, recipient=contract, data=bytes(32))]
    assert world.tries(contract.run, steps, sender=world.owner) == "liquidation: bidder's margin"
    assert world.state(account) == before


def test_a_callee_finds_the_house_locked(world: World) -> None:
    """One lock for all functions and views: what is called in the midst of a batch can call nothing of it."""
    steps = [action(CALL_OUT, recipient=world.quote, data=b"")]
    assert world.tries(world.house.execute, steps, sender=world.bidder) == ""
