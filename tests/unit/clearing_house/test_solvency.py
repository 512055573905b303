"""Decisions 4 and 5: what an account below initial margin, on stale data, or under a pause may still do."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import (
    BTC,
    CROSS,
    DAY,
    DEPOSIT,
    ETH,
    QUOTE,
    RISK,
    TRANSFER,
    WAD,
    WETH,
    WITHDRAW,
    World,
    action,
    call,
    perp,
    put,
    usd,
)

REFUSED = "solvency: margin"


def below_initial_margin(world: World) -> int:
    """Long ten perpetuals of ETH, healthy, with less than initial margin."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.96)
    assert world.freedom(account) < 0 < world.health(account)
    return account


# ------------------------------------------------------------------------------------------- below initial margin


def test_an_account_below_initial_margin_may_close_at_mark(world: World) -> None:
    account = below_initial_margin(world)
    world.trade(account, world.making, perp(-10, 1920))
    assert world.house.book(account) == []
    world.check_ledger()


def test_it_may_close_in_part(world: World) -> None:
    account = below_initial_margin(world)
    before = world.health(account)
    world.trade(account, world.making, perp(-0.000001, 1920))
    assert world.health(account) >= before


def test_it_may_not_close_below_the_mark(world: World) -> None:
    account = below_initial_margin(world)
    # 1e-9 USD on each of 0.1 units.
    assert world.try_trade(account, world.making, perp(-0.1, 1919.999999999)) == REFUSED


def test_an_option_is_closed_at_its_mark(world: World) -> None:
    account = world.open(world.taker, usd=10_000)
    world.trade(account, world.making, world.marked(call(world.month, 2000, -10)))
    world.drain(account)
    world.move(1.02)
    assert world.freedom(account) < 0 < world.health(account)
    back = world.marked(call(world.month, 2000, 10))
    # A part so small that the rest still lacks initial margin, 1e-5 USD a unit above the mark: more than the price
    # error of 1e-9 F that the account gets rid of.
    assert world.try_trade(account, world.making, (*back[:4], 10**5, back[5] + 10**4)) == REFUSED
    world.trade(account, world.making, back)
    assert world.house.book(account) == []


def test_it_may_deposit(world: World) -> None:
    account = below_initial_margin(world)
    world.give(world.quote, world.taker, 1)
    world.house.deposit(account, QUOTE, 1, sender=world.taker)


def test_it_may_not_withdraw(world: World) -> None:
    account = below_initial_margin(world)
    assert world.tries(world.house.withdraw, account, QUOTE, 1, world.taker, sender=world.taker) == REFUSED


def test_it_may_not_send_to_another_account(world: World) -> None:
    account = below_initial_margin(world)
    other = world.open(world.taker)
    assert world.tries(world.house.transfer, account, other, QUOTE, 1, sender=world.taker) == REFUSED


def test_it_may_not_add_risk(world: World) -> None:
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(0.000001, 1920)) == REFUSED


def test_it_may_not_flip_its_risk(world: World) -> None:
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(-21, 1920)) == REFUSED


def test_it_may_not_swap_one_risk_for_another_that_improves_one_number(world: World) -> None:
    """A short position of slightly less margin: `E_mm - MM` is better, and up moves lose that lost nothing before."""
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(-19.9, 1920)) == REFUSED


def test_it_may_not_move_its_risk_to_another_underlying(world: World) -> None:
    """The requirement falls by 61 USD for ETH and rises by 54 for BTC."""
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(-0.2, 1920), perp(0.0048, 70_000, BTC)) == REFUSED


def test_a_requirement_that_falls_is_not_enough_if_equity_falls_too(world: World) -> None:
    """One better number: a loss of 2 USD, against 30 USD less of maintenance margin."""
    account = below_initial_margin(world)
    assert world.try_trade(account, world.making, perp(-0.1, 1900)) == REFUSED


def test_a_mode_that_asks_for_more_is_refused(world: World) -> None:
    account = world.open(world.taker, usd=700)
    world.trade(account, world.making, *map(world.marked, (call(world.month, 2000, -10), call(world.month, 2050, 10))))
    world.drain(account)
    assert world.tries(world.house.set_mode, account, CROSS, sender=world.taker) == REFUSED


@pytest.mark.parametrize("deposited", [330, 403])
def test_a_batch_that_opens_risk_needs_initial_margin_however_it_began(world: World, deposited: float) -> None:
    """M-15. An empty account had initial margin; after the act it has maintenance margin only (321 USD of 403.25)."""
    account = world.open(world.taker)
    world.give(world.quote, world.taker, usd(deposited))
    batch = [
        action(DEPOSIT, account, collateral=QUOTE, amount=usd(deposited)),
        world.trade_action(account, world.making, perp(1)),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == REFUSED


def test_a_good_price_pays_for_initial_margin_not_just_for_maintenance(world: World) -> None:
    """M-15, as above, with a gift in place of a deposit."""
    account = world.open(world.taker)
    assert world.try_trade(account, world.making, perp(1, 2000 - 330)) == REFUSED


# ---------------------------------------------------------------------------------------------------------- stale data


def test_stale_data_refuse_whatever_raises_risk(world: World) -> None:
    """INV-13."""
    world.trade(world.taking, world.making, perp(1))
    world.go_stale()
    assert world.try_trade(world.taking, world.making, perp(1)) == REFUSED
    # What can lose is nothing more, yet the account has risk that nobody can value.
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.taker) == REFUSED


def test_stale_data_of_one_underlying_are_enough(world: World) -> None:
    """INV-13."""
    world.trade(world.taking, world.making, perp(1), perp(0.1, 70_000, BTC))
    world.go_stale()
    world.move(1.0, BTC)
    assert not world.figures(world.taking).fresh
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.taker) == REFUSED
    world.move(1.0, ETH)
    assert world.figures(world.taking).fresh


def test_stale_data_stop_no_deposit_and_no_closing_trade(world: World) -> None:
    """INV-13, decision 7: both sides close at the last mark."""
    world.trade(world.taking, world.making, perp(10))
    world.go_stale()
    world.give(world.quote, world.taker, 1)
    world.house.deposit(world.taking, QUOTE, 1, sender=world.taker)
    world.trade(world.taking, world.making, perp(-10))
    assert world.house.book(world.taking) == []
    world.check_ledger()


def test_who_has_no_position_may_withdraw_on_stale_data(world: World) -> None:
    world.go_stale()
    world.house.withdraw(world.taking, QUOTE, usd(100_000), world.taker, sender=world.taker)


def test_a_position_that_could_not_be_opened_any_more_can_be_closed(world: World) -> None:
    """Decision 7: the market fell, and with it the highest strike that may be opened."""
    account = world.open(world.taker, usd=10_000)
    legs = [put(world.month, 19_900, size) for size in (-0.01, 0.01)]
    world.trade(account, world.making, world.marked(legs[0]))
    world.move(0.9)
    assert world.try_trade(account, world.making, world.marked(legs[1])) is None


def test_what_was_never_published_is_never_used(world: World) -> None:
    """INV-13."""
    assert world.try_trade(world.taking, world.making, perp(1, 2000, 9)) == "engine: no market data"
    expiry = world.week - DAY
    assert world.try_trade(world.taking, world.making, call(expiry, 2000, 1)) == "engine: no expiry data"


def test_stale_data_let_nobody_open_positions_with_a_deposit(world: World) -> None:
    """INV-13. One owner, both sides: should the price have moved by more than the margin, one of them is a gift."""
    long, short = world.open(world.taker), world.open(world.taker)
    world.give(world.quote, world.taker, usd(10_000))
    world.go_stale()
    batch = [
        action(DEPOSIT, long, collateral=QUOTE, amount=usd(5_000)),
        action(DEPOSIT, short, collateral=QUOTE, amount=usd(5_000)),
        world.trade_action(long, short, perp(10)),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == REFUSED


def stale_tokens(world: World, *holders: int) -> int:
    """A kind of collateral whose price of 1 USD is stale, of which the taker may deposit a million.

    The holders have one unit of it each, from when its price was fresh: a new kind with a stale price is refused.
    """
    token = world.owner.deploy(world.contracts.Token, "Depegged", "DPG", 18)
    kind, source = world.list_kind(token)
    world.give(token, world.taker, 10**24 + len(holders))
    for holder in holders:
        world.house.deposit(holder, kind, 1, sender=world.taker)
    source.set_peg(WAD, False, sender=world.owner)
    return kind


def test_a_new_kind_with_a_stale_price_is_refused_beside_positions(world: World) -> None:
    """It would stop every liquidation of the account."""
    kind = stale_tokens(world)
    world.trade(world.taking, world.making, perp(10))
    deposit = (world.house.deposit, world.taking, kind, 1)
    assert world.tries(*deposit, sender=world.taker) == "custody: stale price"


def test_a_stale_price_of_collateral_buys_no_options(world: World) -> None:
    """INV-13. A million tokens whose price is stale pay a premium of 890,000 USD, which the other side takes out."""
    kind = stale_tokens(world)
    debtor, winner = world.open(world.taker), world.open(world.taker)
    batch = [
        action(DEPOSIT, debtor, collateral=kind, amount=10**24),
        world.trade_action(debtor, winner, call(world.week, 20_000, 1, 890_000)),
        action(WITHDRAW, winner, collateral=QUOTE, amount=usd(880_000), recipient=world.taker.address),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == REFUSED


@pytest.mark.parametrize("way", ["deposit", "transfer"])
@pytest.mark.parametrize("instrument", ["option", "perpetual"])
def test_a_stale_price_of_collateral_closes_at_no_fantastic_price(world: World, instrument: str, way: str) -> None:
    """INV-13. As above, as a closing trade: risk falls, and tokens at a stale price keep equity up."""
    debtor, winner = world.open(world.taker, usd=100), world.open(world.taker, usd=100)
    if instrument == "option":
        world.trade(debtor, winner, call(world.week, 2000, -0.01, 50))
        close = call(world.week, 2000, 0.01, 89_000_000)
    else:
        world.trade(debtor, winner, perp(-0.01))
        close = perp(0.01, 89_000_000)
    kind = stale_tokens(world, debtor)
    if way == "deposit":
        bring = action(DEPOSIT, debtor, collateral=kind, amount=9 * 10**23)
    else:
        store = world.open(world.taker)
        world.house.deposit(store, kind, 9 * 10**23, sender=world.taker)
        bring = action(TRANSFER, store, counterparty=debtor, collateral=kind, amount=9 * 10**23)
    batch = [
        bring,
        world.trade_action(debtor, winner, close),
        action(WITHDRAW, winner, collateral=QUOTE, amount=usd(880_000), recipient=world.taker.address),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == REFUSED


def test_a_stale_price_of_collateral_replaces_no_cash(world: World) -> None:
    """INV-13. The account has positions, and swaps the cash that secures them for tokens at a stale price."""
    world.trade(world.taking, world.making, perp(10))
    kind = stale_tokens(world, world.taking)
    other = world.open(world.taker)
    deposit = action(DEPOSIT, world.taking, collateral=kind, amount=10**23)
    exits = [
        action(WITHDRAW, world.taking, collateral=QUOTE, amount=usd(90_000), recipient=world.taker.address),
        action(TRANSFER, world.taking, counterparty=other, collateral=QUOTE, amount=usd(90_000)),
    ]
    for way in exits:
        assert world.tries(world.house.execute, [deposit, way], sender=world.taker) == REFUSED


def test_a_stale_mark_sells_nothing_to_an_empty_account(world: World) -> None:
    """INV-13. The owner of options that a stale mark still calls valuable sells them to an account of nothing."""
    owner = world.open(world.taker, usd=100_000)
    option = call(world.month, 1000, 50)
    world.trade(owner, world.making, world.marked(option))
    world.go_stale()
    mark = world.marked(option)
    empty = world.open(world.taker)
    sale = (*option[:5], mark[5] // 2)
    assert world.try_trade(empty, owner, sale) == REFUSED


# -------------------------------------------------------------------------------------------------------------- paused


def test_a_pause_of_risk_refuses_risk_and_withdrawals(world: World) -> None:
    world.house.set_paused(RISK, sender=world.guardian)
    assert world.try_trade(world.taking, world.making, perp(1)) == REFUSED
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.taker) == REFUSED


def test_a_pause_of_risk_lets_deposits_and_closing_trades_pass(world: World) -> None:
    world.trade(world.taking, world.making, perp(10))
    world.house.set_paused(RISK, sender=world.guardian)
    world.give(world.quote, world.taker, 1)
    world.house.deposit(world.taking, QUOTE, 1, sender=world.taker)
    world.trade(world.taking, world.making, perp(-10))


def test_a_pause_of_risk_lets_nobody_open_positions_with_a_deposit(world: World) -> None:
    long, short = world.open(world.taker), world.open(world.taker)
    world.give(world.quote, world.taker, usd(10_000))
    world.house.set_paused(RISK, sender=world.guardian)
    batch = [
        action(DEPOSIT, long, collateral=QUOTE, amount=usd(5_000)),
        action(DEPOSIT, short, collateral=QUOTE, amount=usd(5_000)),
        world.trade_action(long, short, perp(10)),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == REFUSED


# ----------------------------------------------------------------------------------------------- INV-04 without prices


def narrow_spread(world: World) -> int:
    """Short a spread ten dollars wide, with its width as initial margin and no more (M-14)."""
    account = world.open(world.taker, usd=1_000)
    world.trade(account, world.making, *map(world.marked, (call(world.month, 2000, -10), call(world.month, 2010, 10))))
    world.drain(account)
    assert world.health(account) >= 0
    return account


def test_a_deposit_makes_nobody_unhealthy(world: World) -> None:
    """INV-04: a speck of in-grid collateral ends the cap of an account that was options only."""
    account = narrow_spread(world)
    world.give(world.weth, world.taker, 1)
    deposit = (world.house.deposit, account, WETH, 1)
    if world.tries(*deposit, sender=world.taker) != "solvency: collateral adds risk":
        world.house.deposit(*deposit[1:], sender=world.taker)
    assert world.health(account) >= 0


def test_a_transfer_makes_its_receiver_no_worse(world: World) -> None:
    """INV-04, as above."""
    account, other = narrow_spread(world), world.open(world.taker, ether=1)
    transfer = (world.house.transfer, other, account, WETH, 1)
    if world.tries(*transfer, sender=world.taker) != "solvency: collateral adds risk":
        world.house.transfer(*transfer[1:], sender=world.taker)
    assert world.health(account) >= 0


def test_no_account_loses_its_margin_by_the_passage_of_one_block(world: World) -> None:
    """INV-04. A put is worth D (K - F): of a strike of billions, twelve seconds of interest exceed the margin of F."""
    long, short = world.open(world.taker, usd=10_000), world.open(world.taker, usd=10_000)
    assert world.try_trade(long, short, world.marked(put(world.quarter, 4e12, 1))) == "exchange: not listed"
    world.trade(long, short, world.marked(put(world.quarter, 20_000, 1)))
    world.wait(12)
    assert world.health(long) >= 0 and world.health(short) >= 0


def test_what_closes_beside_it_opens_no_such_strike(world: World) -> None:
    """INV-04, as above: a package may not trade another leg for it."""
    long, short = world.open(world.taker, usd=10_000), world.open(world.taker, usd=10_000)
    world.trade(long, short, perp(0.01))
    strike = world.marked(put(world.quarter, 4e12, 1))
    assert world.try_trade(long, short, perp(-0.01), strike) == "exchange: not listed"


def test_a_strike_that_became_too_high_does_not_grow(world: World) -> None:
    """INV-04, as above: it may only be closed."""
    account = world.open(world.taker, usd=10_000)
    strike = put(world.month, 19_900, 0.01)
    world.trade(account, world.making, world.marked(strike))
    world.move(0.9)
    assert world.try_trade(account, world.making, world.marked(strike)) == "exchange: not listed"
    back = world.marked((*strike[:4], -strike[4], 0))
    assert world.try_trade(account, world.making, back) is None
