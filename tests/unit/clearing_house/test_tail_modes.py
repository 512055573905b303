"""Modes VAR and MAX: accounts margined by the expected shortfall over a scenario set (M-20), alone or with the grid."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import chain
from tests.unit.protocol_fixtures import (
    BTC,
    CROSS,
    ETH,
    INSOLVENT,
    MAX,
    PORTFOLIO,
    QUOTE,
    SOLVENT,
    SPOT,
    START,
    TRANSACTION_GAS_LIMIT,
    VAR,
    WAD,
    World,
    call,
    flat_market,
    future,
    perp,
    put,
)

TAILS = pytest.mark.parametrize("mode", [VAR, MAX])
# An underlying that no scenario set has.
SOL = 9


def as_tuple(state: Any, mode: int) -> tuple[Any, ...]:
    """`IMarginEngine.Account` in another mode."""
    return (mode, state.cash, state.cost, [tuple(h) for h in state.holdings], list(state.legs))


def hedged(world: World, account: int) -> None:
    """A straddle sold, and hedges in both underlyings."""
    world.trade(
        account,
        world.making,
        call(world.month, 2100, -5, 80),
        put(world.month, 1900, -5, 70),
        perp(1.5),
        future(world.week, 0.05, SPOT[BTC], BTC),
    )


# ------------------------------------------------------------------------------------------------------ the figures


@TAILS
def test_the_figures_are_those_of_the_tail_engine(world: World, mode: int) -> None:
    account = world.open(world.taker, usd=50_000, ether=2, mode=mode)
    hedged(world, account)
    tails = world.protocol.tails
    own = {VAR: tails.var_engine, MAX: tails.max_engine}[mode]
    state = world.house.portfolio(account)
    assert state.mode == mode
    figures = world.figures(account)
    assert tuple(figures) == tuple(own.assess(as_tuple(state, PORTFOLIO)))
    grid = world.protocol.engine.assess(as_tuple(state, PORTFOLIO))
    assert figures.equity_maintenance == grid.equity_maintenance
    assert figures.maintenance >= grid.maintenance if mode == MAX else figures.maintenance != grid.maintenance


def test_the_larger_of_both_is_at_least_either(world: World) -> None:
    """And, with one underlying whose share needs no credit, exactly the larger."""
    account = world.open(world.taker, usd=100_000)
    engine = world.protocol.engine
    for leg in (perp(3), perp(-6), call(world.month, 2100, -20, 80)):
        world.trade(account, world.making, leg)
        state = world.house.portfolio(account)
        grid, var, larger = (int(engine.assess(as_tuple(state, mode)).maintenance) for mode in (PORTFOLIO, VAR, MAX))
        assert larger == max(grid, var)


@TAILS
def test_the_report_and_the_lens_say_the_same(world: World, mode: int) -> None:
    account = world.open(world.taker, usd=50_000, mode=mode)
    hedged(world, account)
    figures = world.figures(account)
    explained, reports = world.protocol.report.explain(as_tuple(world.house.portfolio(account), mode))
    assert tuple(explained) == tuple(figures)
    assert [r.underlying for r in reports] == [BTC, ETH]
    view = world.protocol.lens.account(account)
    assert tuple(view.figures) == tuple(figures)
    before, after = world.protocol.lens.what_if(account, [perp(1)])
    assert tuple(before) == tuple(figures)
    assert after.maintenance != before.maintenance


@TAILS
def test_an_engine_without_tails_judges_nobody_of_these_modes(world: World, mode: int) -> None:
    """Nor does one whose mode is beyond those that there are."""
    p = world.protocol
    alone = world.owner.deploy(world.contracts.MarginEngine, p.market_data, p.methodology, p.kernel, 0, [])
    single = [chain.pack(*perp(1)[:4], 10**6)]
    assert alone.tails() == []
    assert alone.assess((PORTFOLIO, 0, 0, [], single)).maintenance > 0
    account = (mode, 0, 0, [], single)
    assert world.tries(alone.assess, account, sender=world.stranger) == "engine: mode"
    assert list(p.engine.tails()) == [p.tails.var_engine, p.tails.max_engine]
    assert world.tries(p.engine.assess, (MAX + 1, 0, 0, [], single), sender=world.stranger) == "engine: mode"


# ------------------------------------------------------------------------------------------------------ the account


@TAILS
def test_a_book_changes_its_mode_where_it_has_initial_margin(world: World, mode: int) -> None:
    account = world.open(world.taker, usd=50_000)
    hedged(world, account)
    world.house.set_mode(account, mode, sender=world.taker)
    assert world.house.mode_of(account) == mode
    world.house.set_mode(account, PORTFOLIO, sender=world.taker)


def test_a_book_that_lives_on_a_smaller_tail_stays_there(world: World) -> None:
    """Calm prices make the tail of a short future smaller than the grid, whose range has a floor."""
    account = world.open(world.taker, usd=100_000, mode=VAR)
    world.trade(account, world.making, perp(-10))
    state = world.house.portfolio(account)
    var, grid = (world.protocol.engine.assess(as_tuple(state, mode)).initial for mode in (VAR, PORTFOLIO))
    assert var != grid
    smaller, other = (VAR, PORTFOLIO) if var < grid else (PORTFOLIO, VAR)
    world.house.set_mode(account, smaller, sender=world.taker)
    world.drain(account)
    for mode in (other, MAX):
        assert world.tries(world.house.set_mode, account, mode, sender=world.taker) == "solvency: margin"


@TAILS
def test_initial_margin_is_asked_by_the_tail(world: World, mode: int) -> None:
    """INV-04: what trades and withdrawals leave is the tail's initial margin, to a unit of the token."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    hedged(world, account)
    world.drain(account)
    assert 0 <= world.freedom(account) < 10**12
    assert world.tries(world.house.withdraw, account, QUOTE, 1, world.taker, sender=world.taker) == "solvency: margin"
    assert world.try_trade(account, world.making, put(world.month, 1900, -0.1, 7)) == "solvency: margin"


@TAILS
def test_below_initial_margin_only_what_takes_no_risk_passes(world: World, mode: int) -> None:
    """By the tail's requirement, and by every scenario of the grid too."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    world.trade(account, world.making, perp(10))
    world.drain(account)
    world.move(0.98)
    assert world.freedom(account) < 0 < world.health(account)
    assert world.try_trade(account, world.making, perp(0.01, 1960)) == "solvency: margin"
    assert world.try_trade(account, world.making, perp(-21, 1960)) == "solvency: margin"
    world.trade(account, world.making, perp(-4, 1960))
    assert world.sizes(account) == {chain.pack(*perp(1)[:4], 1) >> 144: 6 * 10**6}


@TAILS
def test_admission_is_asked_as_in_portfolio_mode(world: World, mode: int) -> None:
    p = world.protocol
    account = world.open(world.taker, usd=50_000, mode=mode)
    p.admission.set_minimum_equity(60_000 * WAD, sender=world.owner)
    world.house.set_contracts(*world.around(admission=p.admission), sender=world.owner)
    assert world.try_trade(account, world.making, perp(1)) == "solvency: margin"
    p.admission.set_minimum_equity(40_000 * WAD, sender=world.owner)
    world.trade(account, world.making, perp(1))


@TAILS
def test_an_underlying_without_rows_has_no_place_there(world: World, mode: int) -> None:
    world.publish(SOL, flat_market(100.0, world.start))
    account = world.open(world.taker, usd=50_000, mode=mode)
    other = world.open(world.maker, usd=50_000)
    assert world.try_trade(account, other, perp(1, 100, SOL)) == "tail: underlying"
    whole = world.open(world.taker, usd=50_000)
    world.trade(whole, other, perp(1, 100, SOL))
    assert world.tries(world.house.set_mode, whole, mode, sender=world.taker) == "tail: underlying"


# ---------------------------------------------------------------------------------------------------------- the limits


def strip(world: World, count: int, underlying: int = ETH, expiry: int | None = None) -> list[Any]:
    """So many small calls of one expiry."""
    spot, when = SPOT[underlying], expiry or world.month
    return [call(when, round(spot * (0.7 + 0.05 * i)), 0.01, 0.0, underlying) for i in range(count)]


def largest(world: World, account: int) -> None:
    """The dearest book of these modes: 16 legs, two underlyings, two expiries each."""
    for underlying in (BTC, ETH):
        for expiry in (world.month, world.quarter):
            legs = strip(world, 4, underlying, expiry)
            world.trade(account, world.making, *(world.marked((*leg[:4], -leg[4], leg[5])) for leg in legs))


@TAILS
def test_such_a_book_has_at_most_sixteen_legs(world: World, mode: int) -> None:
    account = world.open(world.taker, usd=50_000, mode=mode)
    legs = strip(world, 17)
    world.trade(account, world.making, *legs[:16])
    assert world.try_trade(account, world.making, legs[16]) == "positions: legs of this mode"
    whole = world.open(world.taker, usd=50_000)
    for at in (0, 16):
        world.trade(whole, world.making, *legs[at : at + 16])
    assert world.tries(world.house.set_mode, whole, mode, sender=world.taker) == "positions: legs of this mode"


@TAILS
def test_legs_expiries_and_underlyings_weigh_together(world: World, mode: int) -> None:
    """16 + 3 * 4 + 4 * 2 = 36, an underlying of collateral among it."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    largest(world, account)
    assert len(world.house.book(account)) == 16
    # An expiry in the place of a leg of another is too much, and so is a third underlying.
    closed = world.marked((*strip(world, 1)[0][:4], 10_000, 0))
    assert (
        world.try_trade(account, world.making, closed, call(world.week, 2000, 0.01)) == "positions: weight of this mode"
    )
    world.publish(SOL, flat_market(100.0, world.start))
    kind, _ = world.list_kind(world.owner.deploy(world.contracts.Token, "Wrapped SOL", "WSOL", 18), None, SOL)
    token = world.contracts.Token.at(world.collaterals.terms(kind).token)
    world.give(token, world.taker, WAD)
    refused = world.tries(world.house.deposit, account, kind, WAD, sender=world.taker)
    assert refused == "positions: weight of this mode"


@TAILS
def test_one_leg_beyond_the_weight_is_refused(world: World, mode: int) -> None:
    """13 + 3 * 5 + 4 * 2 = 36: any weight of a leg, an expiry or an underlying that is off by one tells."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    world.trade(account, world.making, *strip(world, 4, BTC), *strip(world, 4, BTC, world.quarter))
    others = [*strip(world, 2), *strip(world, 2, expiry=world.quarter), *strip(world, 1, expiry=world.week)]
    world.trade(account, world.making, *others)
    assert len(world.house.book(account)) == 13
    assert world.try_trade(account, world.making, strip(world, 3)[2]) == "positions: weight of this mode"


@TAILS
@pytest.mark.slow
def test_the_dearest_book_is_closed_in_part_within_one_transaction(world: World, mode: int) -> None:
    """Below initial margin an account is assessed three times, and what it trades with once."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    largest(world, account)
    world.drain(account)
    world.move(1.02)
    assert world.freedom(account) < 0 < world.health(account)
    legs = [
        (*leg[:4], 1, leg[5])
        for underlying in (BTC, ETH)
        for expiry in (world.month, world.quarter)
        for leg in strip(world, 4, underlying, expiry)
    ]
    data = world.data(account, world.making, *(world.marked(leg) for leg in legs))
    # So little that initial margin is missing still.
    with world.ape_chain.isolate():
        world.house.trade(data, sender=world.taker)
        assert world.freedom(account) < 0
    gas = world.gas(world.house.trade, data, sender=world.taker)
    print(f"mode {mode}: {gas:,} gas")
    assert gas <= TRANSACTION_GAS_LIMIT


# -------------------------------------------------------------------------------------------------------- liquidation


def distressed(world: World, mode: int, factor: float = 0.9) -> int:
    """Long ten perpetuals with just initial margin, whose price falls; its auction has not begun."""
    account = world.open(world.taker, usd=50_000, mode=mode)
    world.trade(account, world.making, perp(10))
    world.drain(account)
    world.move(factor)
    assert world.health(account) < 0
    return account


@TAILS
def test_it_is_sold_down_to_its_own_initial_margin(world: World, mode: int) -> None:
    """INV-09 by the tail."""
    account = distressed(world, mode, 0.95)
    before = world.health(account)
    assert world.figures(account).net_value > 0
    premium = world.quote_of(account).premium
    sale = world.sell(account)
    assert 0 < sale.fraction <= WAD
    assert world.health(account) >= max(before, 0)
    if sale.fraction != WAD:
        # The premium for rounding, and no more, is beyond what restores it.
        assert 0 <= world.freedom(account) <= 2 * premium
    world.check_ledger()


@TAILS
def test_a_bidder_of_the_same_mode_with_cash_alone_is_known_to_have_margin(world: World, mode: int) -> None:
    account = distressed(world, mode, 0.95)
    rich, poor = (world.open(world.bidder, usd=amount, mode=mode) for amount in (100_000, 1))
    world.start_auction(account)
    assert world.try_bid(account, poor, SOLVENT) == "liquidation: bidder's margin"
    world.sell(account, rich)
    assert world.freedom(rich) >= 0


@TAILS
def test_evidence_of_the_grid_says_nothing_of_it(world: World, mode: int) -> None:
    account = distressed(world, mode)
    assert len(world.liquidation.evidence()) > 0
    assert world.try_bid(account, world.bidding, START, evidence=1) == "engine: mode"
    assert world.try_bid(account, world.bidding, START) is None


@TAILS
def test_what_has_no_value_left_goes_to_the_fund(world: World, mode: int) -> None:
    world.back(100_000)
    account = distressed(world, mode, 0.5)
    world.start_auction(account)
    world.wait(600)
    world.move(0.5)
    sale = world.sell(account, kind=INSOLVENT)
    assert sale.fraction == WAD and sale.price < 0
    assert world.house.book(account) == []
    world.check_ledger()


def test_a_bidder_of_another_mode_is_checked_by_its_own(world: World) -> None:
    """A cross account that buys from a tail account, and the other way round."""
    for of, buyer in ((VAR, CROSS), (CROSS, VAR)):
        with world.ape_chain.isolate():
            account = distressed(world, of, 0.9)
            bidder = world.open(world.bidder, usd=1_000_000, mode=buyer)
            world.sell(account, bidder)
            assert world.freedom(bidder) > 0
