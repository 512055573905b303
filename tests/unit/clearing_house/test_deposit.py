"""Deposits: credited is what arrived, up to a cap, to the payer's own side; no margin is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.protocol_fixtures import QUOTE, SPOT, WAD, WETH, World, flat_market, perp, usd


def rude(world: World, decimals: int = 18, units: int = 10**20) -> tuple[Any, int]:
    """A listed token with switchable manners, some of which the taker may deposit."""
    token = world.owner.deploy(world.contracts.RudeToken, decimals)
    kind, _ = world.list_kind(token)
    world.give(token, world.taker, units)
    return token, kind


def test_a_deposit_is_credited_to_the_unit(world: World) -> None:
    """6 decimals become 18, exactly."""
    world.give(world.quote, world.taker, 1)
    receipt = world.house.deposit(world.taking, QUOTE, 1, sender=world.taker)
    assert world.house.cash(world.taking) == 100_000 * WAD + 10**12
    assert world.house.Deposited(account=world.taking, collateral=QUOTE, payer=world.taker, amount=1) in receipt.events
    world.check_ledger()


def test_eighteen_decimals_stay_as_they_are(world: World) -> None:
    world.give(world.weth, world.taker, 3)
    world.house.deposit(world.taking, WETH, 3, sender=world.taker)
    assert world.house.balance_of(world.taking, WETH) == 3
    assert world.house.cash(world.taking) == 100_000 * WAD
    world.check_ledger()


def test_what_arrived_is_credited_not_what_was_asked_for(world: World) -> None:
    token, kind = rude(world, units=10_000)
    token.set_manners(100, 0, False, False, sender=world.owner)
    world.house.deposit(world.taking, kind, 10_000, sender=world.taker)
    assert world.house.balance_of(world.taking, kind) == 9_900 == world.house.credited(kind)
    world.check_ledger()


def test_a_token_that_says_nothing_is_believed_by_its_balance(world: World) -> None:
    token = world.owner.deploy(world.contracts.SilentToken)
    kind, _ = world.list_kind(token)
    world.give(token, world.taker, 5)
    world.house.deposit(world.taking, kind, 5, sender=world.taker)
    assert world.house.balance_of(world.taking, kind) == 5


@pytest.mark.parametrize(
    ("manners", "reason"),
    [
        ((0, 0, True, False), "custody: transfer"),
        ((0, 0, False, True), "token: refused"),
        ((10_000, 0, False, False), "custody: nothing arrived"),
    ],
    ids=["says false", "reverts", "takes all"],
)
def test_a_token_that_does_not_deliver_is_refused(world: World, manners: tuple[Any, ...], reason: str) -> None:
    token, kind = rude(world)
    token.set_manners(*manners, sender=world.owner)
    assert world.tries(world.house.deposit, world.taking, kind, 100, sender=world.taker) == reason


def test_a_deposit_of_nothing_is_refused(world: World) -> None:
    assert world.tries(world.house.deposit, world.taking, QUOTE, 0, sender=world.taker) == "custody: nothing arrived"


def test_without_an_allowance_nothing_is_taken(world: World) -> None:
    world.quote.mint(world.taker, 1, sender=world.taker)
    assert world.tries(world.house.deposit, world.taking, QUOTE, 1, sender=world.taker) == ""


@pytest.mark.parametrize("kind", [2, 2**256 - 1])
def test_an_unknown_kind_is_refused(world: World, kind: int) -> None:
    assert world.tries(world.house.deposit, world.taking, kind, 1, sender=world.taker) == "collaterals: unknown kind"


def test_an_account_takes_nothing_from_strangers(world: World) -> None:
    """INV-11: not even as a gift."""
    world.give(world.quote, world.stranger, 1)
    for account in (world.taking, 99):
        reason = world.tries(world.house.deposit, account, QUOTE, 1, sender=world.stranger)
        assert reason == "accounts: not authorised"


def test_deposits_stop_at_the_cap(world: World) -> None:
    world.collaterals.set_cap(WETH, 10, sender=world.owner)
    world.give(world.weth, world.taker, 20)
    assert world.tries(world.house.deposit, world.taking, WETH, 11, sender=world.taker) == "custody: cap"
    world.house.deposit(world.taking, WETH, 10, sender=world.taker)
    assert world.tries(world.house.deposit, world.taking, WETH, 1, sender=world.taker) == "custody: cap"
    world.house.withdraw(world.taking, WETH, 4, world.taker, sender=world.taker)
    assert world.tries(world.house.deposit, world.taking, WETH, 4, sender=world.taker) is None


def test_the_cap_counts_what_arrived(world: World) -> None:
    token, kind = rude(world)
    world.collaterals.set_cap(kind, 99, sender=world.owner)
    token.set_manners(100, 0, False, False, sender=world.owner)
    assert world.tries(world.house.deposit, world.taking, kind, 100, sender=world.taker) is None


def test_a_raw_transfer_changes_nobodys_account(world: World) -> None:
    """INV-03: neither before the next deposit nor by it."""
    before = world.state(world.taking, world.making)
    for token in (world.quote, world.weth):
        token.mint(world.house, 10**9, sender=world.stranger)
    assert world.state(world.taking, world.making) == before
    world.give(world.quote, world.taker, 1)
    world.house.deposit(world.taking, QUOTE, 1, sender=world.taker)
    assert world.house.cash(world.taking) == 100_000 * WAD + 10**12
    world.check_ledger()


def test_an_unhealthy_account_may_deposit(world: World) -> None:
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.8)
    assert world.health(account) < 0
    world.give(world.quote, world.taker, usd(5_000))
    world.house.deposit(account, QUOTE, usd(5_000), sender=world.taker)
    assert world.health(account) > 0


def test_a_stale_price_stops_no_deposit(world: World) -> None:
    """INV-13."""
    token = world.owner.deploy(world.contracts.Token, "Stale", "OLD", 18)
    kind, source = world.list_kind(token)
    source.set_peg(WAD, False, sender=world.owner)
    world.give(token, world.taker, 1)
    world.house.deposit(world.taking, kind, 1, sender=world.taker)
    assert not world.figures(world.taking).fresh


def test_collateral_takes_a_place_among_the_underlyings(world: World) -> None:
    """An account of eight underlyings has no room for a claim on a ninth."""
    others = range(10, 18)
    for u in others:
        world.publish(u, flat_market(100.0, world.start, days=()))
    for u in SPOT:
        world.move(1.0, u)
    world.trade(world.taking, world.making, *(perp(1, 100, u) for u in others))
    world.give(world.weth, world.taker, 1)
    assert world.tries(world.house.deposit, world.taking, WETH, 1, sender=world.taker) == "positions: underlyings"
    world.trade(world.taking, world.making, perp(-1, 100, 17))
    assert world.tries(world.house.deposit, world.taking, WETH, 1, sender=world.taker) is None


def test_a_claim_on_an_underlying_without_market_stops_no_account(world: World) -> None:
    """A kind may be listed before its market is published: whoever holds it must stay in reach of a liquidation."""
    token = world.owner.deploy(world.contracts.Token, "Early", "ELY", 18)
    kind, _ = world.list_kind(token, peg=None, underlying=9)
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.give(token, world.taker, 1)
    if world.tries(world.house.deposit, account, kind, 1, sender=world.taker) is not None:
        return
    world.house.deposit(account, kind, 1, sender=world.taker)
    world.move(0.8)
    bid = (world.liquidation.liquidate, account, world.bidding, WAD, 0, 2**256 - 1, 2**64)
    assert world.tries(*bid, sender=world.bidder) is None
