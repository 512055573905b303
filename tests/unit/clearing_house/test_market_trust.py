"""Market data that nobody can trust never raise risk, and never lock anybody in; margin that moves jumps at nobody.

INV-11, INV-13 and INV-14 as the users of the clearing house meet them, with real feeds where there is one to fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from python_model import liquidity, margin, methodology, volatility
from python_model.portfolio import Book, Kind, Market, Mode, Position
from scripts import chain, protocol
from tests.unit.protocol_fixtures import (
    DAY,
    ETH,
    QUOTE,
    SCAN_RANGE,
    SOLVENT,
    SPOT,
    WAD,
    World,
    flat_market,
    future,
    moved,
    perp,
    put,
    usd,
)

MARGIN = "solvency: margin"
ONE = 10**12
HOUR = 3600


def terms(world: World, **changed: Any) -> None:
    """Terms of ETH: as they are, but for what is changed."""
    names = [field.name for field in world.protocol.market_data.set_terms.abis[0].inputs[1].components]
    rows = dict(zip(names, chain.fixed_terms(SCAN_RANGE), strict=True)) | changed
    world.protocol.market_data.set_terms(ETH, tuple(rows.values()), sender=world.owner)


def publish(world: World, factor: float = 1.0, confidence: float = 0.001) -> bool:
    """All prices of ETH times a factor, as of the last block; whether they were taken over."""
    state = replace(moved(flat_market(SPOT[ETH], world.start), factor), confidence=confidence)
    update = chain.update(ETH, state, world.now, chain.Clock(0))
    receipt = world.protocol.market_data.publish(update, sender=world.owner)
    return not receipt.decode_logs(world.protocol.market_data.UpdateDoubted)


# --- what may be wrong ---------------------------------------------------------------------------------------------


def spot_grows_stale(world: World) -> None:
    world.go_stale()


def surface_grows_stale(world: World) -> None:
    """Forwards go on without it."""
    terms(world, surface_heartbeat_seconds=2 * HOUR)
    state = flat_market(SPOT[ETH], world.start)
    for seconds in (1, HOUR, HOUR):
        world.wait(seconds)
        rows = tuple(replace(e, svi=replace(e.svi, ref_tau=0.0)) for e in state.expiries)
        update = chain.update(ETH, replace(state, expiries=rows), world.now, chain.Clock(0))
        world.protocol.market_data.publish(update, sender=world.owner)


def second_source_is_missing(world: World) -> None:
    """Moonwell 2026: one leg of a composite price. A Chainlink feed whose answer is its floor."""
    contracts, owner = world.contracts, world.owner
    aggregator = owner.deploy(contracts.Aggregator, 8, "ETH / USD")
    aggregator.push(2000 * 10**8, sender=owner)
    source = owner.deploy(contracts.ChainlinkSource, aggregator, DAY, 10**9, 10**15, ONE // 200, chain.NOBODY, 0)
    terms(world, second_source=source)
    world.wait(1)
    assert publish(world)
    aggregator.push(1 * 10**8, sender=owner)
    world.wait(1)
    assert not publish(world)


def second_source_disagrees(world: World) -> None:
    contracts, owner = world.contracts, world.owner
    aggregator = owner.deploy(contracts.Aggregator, 8, "ETH / USD")
    source = owner.deploy(contracts.ChainlinkSource, aggregator, DAY, 10**9, 10**15, ONE // 200, chain.NOBODY, 0)
    terms(world, second_source=source, widest=ONE // 50)
    aggregator.push(2100 * 10**8, sender=owner)
    world.wait(1)
    assert not publish(world)


def confidence_is_too_wide(world: World) -> None:
    terms(world, widest=ONE // 50)
    world.wait(1)
    assert not publish(world, confidence=0.03)


def spot_jumps(world: World) -> None:
    terms(world, jump=ONE // 10, confirmation_seconds=60)
    world.wait(1)
    assert not publish(world, 0.5)


WRONG = {
    f.__name__: f
    for f in (
        spot_grows_stale,
        surface_grows_stale,
        second_source_is_missing,
        second_source_disagrees,
        confidence_is_too_wide,
        spot_jumps,
    )
}


@pytest.mark.parametrize("happens", WRONG.values(), ids=WRONG)
def test_no_risk_is_taken_and_nobody_is_locked_in(world: World, happens: Callable[[World], None]) -> None:
    # Each with a counterparty of its own, who closes too.
    account, option, maker, writer = (
        world.open(user, usd=50_000) for user in (world.taker, world.taker, world.maker, world.maker)
    )
    world.trade(account, maker, perp(5))
    world.trade(option, writer, put(world.month, 1900, -5, 60))
    distressed = world.open(world.taker, usd=20_000)
    world.trade(distressed, world.making, perp(10), put(world.month, 1900, -5, 60))
    world.drain(distressed)
    happens(world)
    # INV-13: no risk on data that nobody trusts, no way out with money, and no liquidation.
    assert world.try_trade(option, writer, put(world.month, 1900, -1, 60)) == MARGIN
    # A perpetual knows no surface.
    expected = None if happens is surface_grows_stale else MARGIN
    assert world.try_trade(account, maker, perp(0.001)) == expected
    assert world.tries(world.house.withdraw, option, QUOTE, 1, world.taker, sender=world.taker) == MARGIN
    bid = (world.house.bid, distressed, world.bidding, protocol.bid(SOLVENT))
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"
    # INV-11: deposits, and signed trades that close at the last mark. The worst of each scenario gets better.
    units = usd(100)
    world.give(world.quote, world.taker, units)
    assert world.tries(world.house.deposit, option, QUOTE, units, sender=world.taker) is None
    assert world.try_trade(option, writer, world.marked(put(world.month, 1900, 5))) is None
    assert world.try_trade(account, maker, perp(-5, SPOT[ETH])) is None


def test_a_confirmed_crash_liquidates_and_a_doubted_one_does_not(world: World) -> None:
    """The breaker delays by the confirmation, and no longer."""
    terms(world, jump=ONE // 10, confirmation_seconds=60)
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, perp(10))
    world.drain(account)
    bid = (world.house.bid, account, world.bidding, protocol.bid(SOLVENT))
    world.wait(1)
    assert not publish(world, 0.85)
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"
    world.wait(59)
    assert not publish(world, 0.84)
    world.wait(1)
    assert publish(world, 0.84)
    assert world.tries(*bid, sender=world.bidder) is None


def test_a_settlement_comes_from_what_was_recorded(world: World) -> None:
    """A doubted spot at eight o'clock does not fix the price: the next one that is believed does."""
    account = world.open(world.taker, usd=20_000)
    world.trade(account, world.making, future(world.week, 1))
    terms(world, jump=ONE // 10, confirmation_seconds=60)
    world.wait(world.week - 10 - world.now)
    assert publish(world)
    world.wait(10)
    assert not publish(world, 2.0)
    assert not world.protocol.market_data.settlement(ETH, world.week)[1]
    assert world.protocol.settlement.settle([account], sender=world.stranger).return_value == 0
    world.wait(61)
    assert publish(world, 2.0)
    price, is_final = world.protocol.market_data.settlement(ETH, world.week)
    assert (price, is_final) == (chain.scaled(SPOT[ETH], 9), True)
    assert len(world.house.book(account)) == 1
    world.protocol.settlement.settle([account], sender=world.stranger)
    assert len(world.house.book(account)) == 0


# --- INV-14 --------------------------------------------------------------------------------------------------------


def writer(world: World) -> int:
    """An account with initial margin to the unit, of all kinds of legs."""
    account = world.open(world.taker, usd=60_000)
    world.trade(account, world.making, perp(10), put(world.month, 1900, -20, 60), future(world.quarter, 5))
    world.drain(account)
    return account


def test_no_parameter_makes_an_account_liquidatable_in_its_block(world: World) -> None:
    account = writer(world)
    world.wait(10)
    before = world.figures(account)
    most = {"floor": ONE, "cap": ONE, "initial": ONE, "multiple": 10 * ONE, "halflife_seconds": 1}
    terms(world, **most)
    world.house.set_open_interest_cap(ETH, 1, sender=world.owner)
    assert world.figures(account) == before
    # Nor the first update under them, in the same block still.
    assert publish(world)
    after = world.figures(account)
    assert after == before
    dynamics = world.protocol.market_data.dynamics(ETH)
    assert (dynamics.scan_range_target, dynamics.depth_target) == (ONE, 250_000)
    # An hour later it needs more, by a point of range and five of depth.
    world.wait(HOUR)
    assert world.figures(account).maintenance > before.maintenance * 102 // 100


def test_no_volatility_makes_an_account_liquidatable_in_its_block(world: World) -> None:
    """A price that goes down a fifth and comes back within seconds leaves the account where it was, for the moment."""
    terms(world, floor=12 * ONE // 100, cap=40 * ONE // 100, initial=16 * ONE // 100)
    account = writer(world)
    world.wait(10)
    publish(world)
    before = world.figures(account)
    for factor in (0.8, 1.0):
        world.wait(1)
        publish(world, factor)
    after = world.figures(account)
    dynamics = world.protocol.market_data.dynamics(ETH)
    assert dynamics.scan_range_target > 30 * ONE // 100
    # Two seconds at a point an hour, of 16 points: less than a ten-thousandth of the requirement.
    assert abs(after.maintenance - before.maintenance) < before.maintenance // 10_000
    world.wait(10 * HOUR)
    assert world.figures(account).maintenance > before.maintenance * 13 // 10


# --- M-23 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("used", [0.4, 0.6, 0.9, 1.0])
def test_margin_rises_as_open_interest_nears_its_cap(world: World, used: float) -> None:
    """By the model: the depths of M-12 are a share of what they were."""
    size = 1000.0
    positions = (Position("ETH", Kind.PERP, size, entry=SPOT[ETH]),)
    account = world.open(world.taker, usd=10_000_000)
    world.trade(account, world.making, perp(size))
    interest = world.house.open_interest(ETH)
    world.house.set_open_interest_cap(ETH, round(interest / used), sender=world.owner)
    world.wait(1)
    assert publish(world)
    world.wait(20 * HOUR)
    assert publish(world)
    share = float(liquidity.depth_target(liquidity.utilisation(interest, round(interest / used))))
    assert world.protocol.market_data.dynamics(ETH).depth / 10**6 == pytest.approx(share, abs=1e-6)
    state = replace(flat_market(SPOT[ETH], world.start), depth=world.protocol.market_data.dynamics(ETH).depth / 10**6)
    market = Market(world.now, {"ETH": state})
    model = margin.assess(Book(Mode.PORTFOLIO, 0.0, (), positions), market, methodology.load("house"))
    assert world.figures(account).maintenance / WAD == pytest.approx(model.maintenance, rel=1e-12)


def test_the_defaults_of_a_deployment_are_those_of_the_model() -> None:
    """What the methodology says: M-21, M-22."""
    defaults = volatility.Terms()
    assert chain.speeds(defaults) == (2_777_777, 694_444)
    assert chain.terms(defaults)[3:8] == (35 * ONE // 10, 3 * DAY, *(ONE * p // 100 for p in (12, 40, 16)))
