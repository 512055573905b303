"""Deleveraging: counterparties close what they hold against an account that nobody wants, at its bankruptcy price."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import event as observe
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol_fixtures import (
    BTC,
    DAY,
    ETH,
    FUND,
    INSOLVENT,
    LIQUIDATION,
    START,
    TRANSACTION_GAS_LIMIT,
    WAD,
    WETH,
    Leg,
    World,
    call,
    future,
    perp,
    put,
)

FEES = 2
NOMINATIONS, LIFE, FALL = 1_800, DAY, 3_600
# The engine rounds values down by 1.5e-10 of the options' notional, at most a million in these tests, each time.
ENGINE = 10**15


@dataclass
class Stage:
    """A world with fixings at 2,000, whose price can fall, and a key that may post what a test wants."""

    world: World
    key: Any
    factor: float = 1.0

    @property
    def rounds(self) -> Any:
        return self.world.protocol.deleveraging

    def wait(self, seconds: int) -> None:
        """Let time pass, and publish prices again."""
        self.world.wait(seconds)
        self.move(self.factor)

    def move(self, factor: float) -> None:
        self.factor = factor
        for underlying in (BTC, ETH):
            self.world.move(factor, underlying)

    def post(self, account: int, usd: float) -> None:
        self.world.house.post(account, [], round(usd * WAD), 0, sender=self.key)

    def bankrupt(self, *legs: Leg, against: int = 0, usd: float = 4_500, factor: float = 0.5) -> int:
        """An account whose price has fallen all the way: long ten perpetuals entered at 2,000, if nothing else."""
        world = self.world
        account = world.open(world.taker, usd=usd)
        world.trade(account, against or world.making, *(legs or (perp(10),)))
        self.move(factor)
        assert world.figures(account).net_value < 0
        world.start_auction(account)
        self.wait(FALL)
        return account

    def bankrupt_among(self, sizes: dict[int, float]) -> int:
        """Long perpetuals entered at 2,000 against several accounts, ten in all; fallen to 1,000."""
        account = self.world.open(self.world.taker, usd=4_500)
        for against, size in sizes.items():
            self.world.trade(account, against, perp(size))
        self.move(0.5)
        self.world.start_auction(account)
        self.wait(FALL)
        return account

    def open(self, account: int) -> None:
        self.rounds.open(account, sender=self.world.stranger)

    def nominate(self, account: int, *candidates: int) -> list[int]:
        """By a stranger; their scores."""
        scores = []
        for candidate in candidates:
            receipt = self.rounds.nominate(account, candidate, sender=self.world.stranger)
            scores.append(int(receipt.events.filter(self.rounds.Nominated)[0].score))
        return scores

    def close(self, account: int, count: int = 16) -> Any:
        """The receipt."""
        return self.rounds.close(account, count, sender=self.world.stranger)

    def share(self, account: int, *candidates: int) -> list[Any]:
        """The whole round; what was closed."""
        self.open(account)
        self.nominate(account, *candidates)
        self.wait(NOMINATIONS)
        return list(self.close(account).events.filter(self.rounds.Deleveraged))

    def tries(self, handler: Any, *arguments: Any) -> str | None:
        return self.world.tries(handler, *arguments, sender=self.world.stranger)

    def net_value(self, account: int) -> int:
        return int(self.world.figures(account).net_value)


@pytest.fixture(scope="module")
def deployed_stage(deployed_world: World) -> Stage:
    """A day later, when 08:00 UTC has passed at the first prices, twice."""
    key = deployed_world.heir
    deployed_world.house.set_member(key, True, sender=deployed_world.owner)
    stage = Stage(deployed_world, key)
    stage.wait(DAY)
    stage.wait(DAY)
    return stage


@pytest.fixture
def stage(deployed_stage: Stage, world: World) -> Stage:
    return Stage(world, deployed_stage.key)


# ------------------------------------------------------------------------------------------------- the bankruptcy price


def test_the_account_ends_at_exactly_nothing(stage: Stage) -> None:
    """10,000 were lost of 4,500: the counterparty's ten are closed at 1,000 and 550 more."""
    world = stage.world
    account = stage.bankrupt()
    before = stage.net_value(world.making)
    open_interest = world.house.open_interest(ETH)
    (event,) = stage.share(account, world.making)
    assert world.state(account) == [([], 0, 0, [0], 2)]
    assert (world.house.book(world.making), stage.net_value(account)) == ([], 0)
    assert abs(event.loss - 5_500 * WAD) <= ENGINE and event.loss == event.share
    assert event.notional == 10_000 * WAD and event.fund == 0
    assert world.house.open_interest(ETH) == open_interest - 10 * 10**6
    assert abs(before - stage.net_value(world.making) - event.loss) <= ENGINE
    assert stage.rounds.round_of(account).uncovered == 0
    world.check_ledger()
    # Empty: its auction can be ended.
    world.liquidation.end(account, sender=world.stranger)


def test_the_fund_pays_first(stage: Stage) -> None:
    world = stage.world
    account = stage.bankrupt()
    stage.post(FUND, 2_000)
    fund = world.house.cash(FUND)
    (event,) = stage.share(account, world.making)
    assert event.fund == fund and world.house.cash(FUND) == 0
    assert abs(event.loss - 5_500 * WAD + fund) <= ENGINE
    assert (stage.net_value(account), world.house.book(account)) == (0, [])
    world.check_ledger()


def test_the_fund_pays_for_what_is_closed_alone(stage: Stage) -> None:
    """Else the account would have its money, and its owner the legs, should the price come back."""
    world = stage.world
    speck = world.open(world.bidder, usd=1_000)
    account = stage.bankrupt_among({speck: 0.1, world.making: 9.9})
    stage.post(FUND, 2_000)
    fund = world.house.cash(FUND)
    (event,) = stage.share(account, speck)
    assert event.fund == -(-fund // 100) and world.house.cash(FUND) == fund - event.fund
    assert abs(event.fund + event.loss - 55 * WAD) <= ENGINE
    assert abs(stage.net_value(account) + 5_445 * WAD) <= ENGINE


def test_specks_do_not_fill_the_list(stage: Stage) -> None:
    """However high their leverage: what ranks is money."""
    world = stage.world
    specks = [world.open(world.bidder, usd=6) for _ in range(16)]
    account = world.open(world.taker, usd=4_500)
    for speck in specks:
        world.trade(account, speck, perp(0.01))
    world.trade(account, world.making, perp(9.84))
    stage.move(0.5)
    world.start_auction(account)
    stage.wait(FALL)
    stage.open(account)
    stage.nominate(account, *specks, world.making)
    assert stage.rounds.round_of(account).candidates[0] == world.making


def test_where_the_fund_covers_the_loss_legs_are_closed_at_their_marks(stage: Stage) -> None:
    """It has what is missing, but not what a bidder asks for the risk on top."""
    world = stage.world
    account = stage.bankrupt()
    stage.post(FUND, 6_000)
    before, fund = stage.net_value(world.making), world.house.cash(FUND)
    (event,) = stage.share(account, world.making)
    assert event.loss == 0 and fund - world.house.cash(FUND) == event.fund
    assert abs(event.fund - 5_500 * WAD) <= ENGINE
    assert abs(stage.net_value(world.making) - before) <= ENGINE
    assert (stage.net_value(account), world.house.book(account)) == (0, [])


def test_counterparties_bear_it_in_proportion_to_what_they_close(stage: Stage) -> None:
    """And at one price, in whatever order."""
    world = stage.world
    small, large = world.open(world.bidder, usd=100_000), world.open(world.bidder, usd=100_000)
    account = stage.bankrupt_among({small: 4, large: 6})
    losses = {event.candidate: event.loss for event in stage.share(account, small, large)}
    assert abs(losses[small] - 2_200 * WAD) <= ENGINE and abs(losses[large] - 3_300 * WAD) <= ENGINE
    assert (stage.net_value(account), world.house.book(account)) == (0, [])
    world.check_ledger()


def test_what_is_not_closed_keeps_its_part_of_the_deficit(stage: Stage) -> None:
    world = stage.world
    small = world.open(world.bidder, usd=100_000)
    account = stage.bankrupt_among({small: 4, world.making: 6})
    (event,) = stage.share(account, small)
    assert abs(event.loss - 2_200 * WAD) <= ENGINE
    assert abs(stage.net_value(account) + 3_300 * WAD) <= ENGINE
    assert world.sizes(account) == {ETH << 104: 6 * 10**6}
    # It goes on in its auction, and the fund may owe.
    asked = -world.quote_of(account).price
    assert asked > world.house.cash(FUND)
    world.bid(account, world.bidding, INSOLVENT)
    assert world.house.cash(FUND) < 0
    assert world.house.book(account) == []
    world.check_ledger()


kinds = st.sampled_from((perp, future, call, put))


@given(
    rows=st.lists(
        st.tuples(kinds, st.integers(-300, 300).map(lambda n: n or 1), st.integers(0, 8), st.integers(0, 2)),
        min_size=1,
        max_size=6,
    ),
    fund=st.sampled_from((0, 0, 700)),
    # More than options can lose by time in an hour and a half.
    debt=st.integers(200, 40_000),
    order=st.randoms(use_true_random=False),
)
def test_every_book_ends_at_nothing_or_at_what_is_uncovered(
    deployed_stage: Stage, rows: list[Any], fund: int, debt: int, order: random.Random
) -> None:
    """INV-01, INV-02: whatever is held against whom, legs and money sum to what they were; gains bound losses."""
    world = replace(deployed_stage.world, markets=dict(deployed_stage.world.markets))
    stage = Stage(world, deployed_stage.key)
    with world.ape_chain.isolate():
        others = [world.open(world.bidder, usd=1_000_000) for _ in range(3)]
        account = world.open(world.taker, usd=1_000_000)
        for make, tenths, step, other in rows:
            size, strike = tenths / 10, 1600 + 100 * step
            leg = {
                perp: lambda size=size: perp(size),
                future: lambda size=size: future(world.month, size),
                call: lambda size=size, strike=strike: call(world.month, strike, size, 50),
                put: lambda size=size, strike=strike: put(world.month, strike, size, 50),
            }[make]()
            world.trade(account, others[other], leg)
        stage.move(0.7)
        # As poor as makes it insolvent, so much deep.
        stage.post(account, -(stage.net_value(account) / WAD) - debt - 1)
        if not world.house.book(account) or world.health(account) >= 0:
            return
        world.start_auction(account)
        stage.wait(FALL)
        stage.post(FUND, fund)
        try_open = stage.tries(stage.rounds.open, account)
        if try_open is not None:
            assert try_open == "deleveraging: fund can pay"
            return
        stage.open(account)
        order.shuffle(others)
        for other in others:
            reason = stage.tries(stage.rounds.nominate, account, other)
            assert reason in (None, "deleveraging: no opposite legs")
            if reason is None:
                stage.nominate(account, other)
        stage.wait(NOMINATIONS)
        everybody = (account, FUND, *others)
        for a in everybody:
            # With the interest since its last act.
            stage.post(a, 0)
        owned = sum(stage.net_value(a) for a in everybody)
        sizes = sum(abs(size) for size in world.sizes(account).values())
        receipt = stage.close(account)
        state = stage.rounds.round_of(account)
        passed = receipt.events.filter(stage.rounds.PassedOver)
        closings = receipt.events.filter(stage.rounds.Deleveraged)
        observe(f"{len(closings)} closed, {len(passed)} passed over, uncovered: {state.uncovered > 0}")
        if not passed:
            # Every leg has its counterparties here.
            assert world.house.book(account) == []
            assert stage.net_value(account) == -state.uncovered
        assert sum(abs(size) for size in world.sizes(account).values()) <= sizes
        for event in closings:
            assert 0 <= event.loss <= event.share
        for other in others:
            assert world.health(other) >= 0
        assert abs(sum(stage.net_value(a) for a in everybody) - owned) <= ENGINE
        world.check_ledger()


# --------------------------------------------------------------------------------------------------------------- bounds


def test_nobody_pays_more_than_its_gain(stage: Stage) -> None:
    """Short ten from 2,000 to 1,000: 10,000. What is missing beyond that stays with the account."""
    world = stage.world
    account = stage.bankrupt()
    stage.post(account, -20_000)
    (event,) = stage.share(account, world.making)
    assert event.loss == 10_000 * WAD < event.share
    uncovered = stage.rounds.round_of(account).uncovered
    assert uncovered == event.share - event.loss
    assert world.house.cash(account) == -uncovered and world.house.book(account) == []
    world.liquidation.absorb(account, sender=world.stranger)
    assert world.house.cash(FUND) == -uncovered
    world.check_ledger()


def test_what_a_gain_does_not_cover_is_not_passed_on(stage: Stage) -> None:
    """Two of equal size bear the same, whoever comes first and whatever the account owes."""
    world = stage.world
    first, second = world.open(world.bidder, usd=60_000), world.open(world.bidder, usd=100_000)
    account = world.open(world.taker, usd=4_500)
    world.trade(account, first, perp(5))
    world.trade(account, second, perp(5))
    stage.move(0.5)
    stage.post(account, -20_000)
    world.start_auction(account)
    stage.wait(FALL)
    events = stage.share(account, second, first)
    assert [(event.candidate, event.loss) for event in events] == [(first, 5_000 * WAD), (second, 5_000 * WAD)]
    assert world.house.cash(account) == -stage.rounds.round_of(account).uncovered


def test_the_holder_of_an_option_loses_its_value_at_most(stage: Stage) -> None:
    world = stage.world
    account = stage.bankrupt(put(world.month, 2000, -10, 150), usd=6_000)
    value = -world.figures(account).option_value
    stage.post(account, -15_000)
    (event,) = stage.share(account, world.making)
    # Nothing moves in cash: the option is gone, for nothing.
    assert event.loss == pytest.approx(value, rel=1e-3) and event.loss < event.share
    assert abs(event.value + event.loss) <= ENGINE and world.house.book(world.making) == []


def test_who_would_become_unhealthy_is_passed_over(stage: Stage) -> None:
    """It has its gain, and took it out; the loss would come out of its margin."""
    world = stage.world
    thin = world.open(world.bidder, usd=4_500)
    account = stage.bankrupt(against=thin)
    world.protocol.settlement.realise(thin, sender=world.stranger)
    world.drain(thin)
    before = world.state(thin)
    stage.open(account)
    stage.nominate(account, thin)
    stage.wait(NOMINATIONS)
    receipt = stage.close(account)
    assert [event.candidate for event in receipt.events.filter(stage.rounds.PassedOver)] == [thin]
    assert world.state(thin) == before
    assert world.liquidation.auction_of(account).deleveraged == world.now


def test_who_would_lose_its_hedge_is_passed_over(stage: Stage) -> None:
    """Short ten perpetuals against ten futures: without the perpetuals it would need margin that it does not have."""
    world = stage.world
    hedged = world.open(world.bidder, usd=30_000)
    world.trade(hedged, world.making, future(world.month, 10))
    account = stage.bankrupt(against=hedged)
    world.protocol.settlement.realise(hedged, sender=world.stranger)
    world.drain(hedged)
    assert world.health(hedged) > 0
    stage.post(account, 5_499)
    assert -WAD > stage.net_value(account) > -2 * WAD
    stage.share(account, hedged)
    assert len(world.house.book(hedged)) == 2 and len(world.house.book(account)) == 1


def test_paying_out_a_gain_changes_no_rank(stage: Stage) -> None:
    """Neither variation nor a handover at the mark makes the gain of a day disappear."""
    world = stage.world
    account = stage.bankrupt()
    stage.open(account)
    world.protocol.settlement.realise(world.making, sender=world.maker)
    (after,) = stage.nominate(account, world.making)
    gain = 10 * 1_000 * WAD
    assert after == gain * 10_000 * WAD // stage.net_value(world.making)
    other = world.open(world.maker, usd=10_000_000)
    world.trade(world.making, other, perp(10, 1_000))
    receipt = stage.rounds.nominate(account, other, sender=world.stranger)
    assert receipt.events.filter(stage.rounds.Nominated)[0].gain == gain


def test_the_fixing_of_the_day_before_counts_where_the_last_came_after_the_fall(stage: Stage) -> None:
    world = stage.world
    account = stage.bankrupt()
    stage.wait((world.start - world.now) % DAY)
    assert world.protocol.market_data.settlement(ETH, world.now // DAY * DAY + 8 * 3_600)[0] == 1_000 * 10**9
    stage.open(account)
    receipt = stage.rounds.nominate(account, world.making, sender=world.stranger)
    assert receipt.events.filter(stage.rounds.Nominated)[0].gain == 10_000 * WAD


# ------------------------------------------------------------------------------------------------------------- ranking


def test_the_rank_is_gain_times_leverage(stage: Stage) -> None:
    """Of equal positions the one with less behind it comes first; then the one that holds more."""
    world = stage.world
    low, middle, high = (world.open(world.bidder, usd=usd) for usd in (1_000_000, 100_000, 20_000))
    account = world.open(world.taker, usd=4_500)
    for other in (low, middle, high):
        world.trade(account, other, perp(3))
    stage.move(0.5)
    world.start_auction(account)
    stage.wait(FALL)
    stage.open(account)
    scores = stage.nominate(account, low, high, middle)
    for other, score in zip((low, high, middle), scores, strict=True):
        assert score == 3_000 * WAD * 3_000 * WAD // stage.net_value(other)
    state = stage.rounds.round_of(account)
    assert (list(state.candidates), list(state.scores)) == ([high, middle, low], sorted(scores, reverse=True))
    # Ranked anew, at what it is now.
    stage.post(low, -950_000)
    (score,) = stage.nominate(account, low)
    assert list(stage.rounds.round_of(account).candidates) == [high, low, middle]
    assert list(stage.rounds.round_of(account).scores) == [scores[1], score, scores[2]]


def test_the_best_sixteen_are_kept(stage: Stage) -> None:
    world = stage.world
    others = [world.open(world.bidder, usd=10_000 + 1_000 * i) for i in range(18)]
    account = world.open(world.taker, usd=4_500)
    for other in others:
        world.trade(account, other, perp(0.5))
    stage.move(0.5)
    world.start_auction(account)
    stage.wait(FALL)
    stage.open(account)
    # The seventeenth in place of the last, the eighteenth not at all.
    stage.nominate(account, *others[1:17], others[0])
    assert list(stage.rounds.round_of(account).candidates) == others[:16]
    for late in others[16:]:
        assert stage.tries(stage.rounds.nominate, account, late) == "deleveraging: rank"
    stage.wait(NOMINATIONS)
    gas = world.gas(stage.rounds.close, account, 16, sender=world.stranger)
    print(f"close with 16 candidates of one leg: {gas:,}")
    assert gas < TRANSACTION_GAS_LIMIT


def test_a_round_can_be_closed_in_parts(stage: Stage) -> None:
    world = stage.world
    others = [world.open(world.bidder, usd=50_000 + 10_000 * i) for i in range(3)]
    account = world.open(world.taker, usd=4_500)
    for other, size in zip(others, (2, 5, 3), strict=True):
        world.trade(account, other, perp(size))
    stage.move(0.5)
    world.start_auction(account)
    stage.wait(FALL)
    stage.open(account)
    stage.nominate(account, *others)
    stage.wait(NOMINATIONS)
    with world.ape_chain.isolate():
        at_once = {
            event.candidate: event.loss for event in stage.close(account).events.filter(stage.rounds.Deleveraged)
        }
    in_parts = {}
    for i in range(3):
        assert world.liquidation.auction_of(account).deleveraged == 0
        receipt = stage.close(account, 1)
        in_parts |= {event.candidate: event.loss for event in receipt.events.filter(stage.rounds.Deleveraged)}
        assert stage.rounds.round_of(account).next == i + 1
    assert in_parts == at_once
    assert world.liquidation.auction_of(account).deleveraged == world.now
    assert stage.net_value(account) == 0


# ------------------------------------------------------------------------------------------------------ when, and who


def test_what_a_round_needs(stage: Stage) -> None:
    world = stage.world
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    assert stage.tries(stage.rounds.open, account) == "deleveraging: not marked"
    stage.move(0.5)
    assert stage.tries(stage.rounds.open, account) == "deleveraging: not marked"
    world.start_auction(account)
    stage.wait(FALL - 10)
    assert stage.tries(stage.rounds.open, account) == "deleveraging: price falls"
    stage.wait(10)
    with world.ape_chain.isolate():
        world.go_stale()
        assert stage.tries(stage.rounds.open, account) == "deleveraging: stale data"
    with world.ape_chain.isolate():
        stage.move(0.99)
        assert stage.tries(stage.rounds.open, account) == "deleveraging: healthy"
        stage.move(0.8)
        assert world.figures(account).net_value > 0 > world.health(account)
        assert stage.tries(stage.rounds.open, account) == "deleveraging: has value"
    with world.ape_chain.isolate():
        asked = -world.quote_of(account).price
        missing = asked - world.house.cash(FUND)
        world.house.post(FUND, [], missing - 1, 0, sender=stage.key)
        assert stage.tries(stage.rounds.open, account) is None
        world.house.post(FUND, [], 1, 0, sender=stage.key)
        assert stage.tries(stage.rounds.open, account) == "deleveraging: fund can pay"
    stage.open(account)
    assert stage.tries(stage.rounds.open, account) == "deleveraging: open"
    # A day later the same auction may have another.
    stage.wait(LIFE)
    assert stage.tries(stage.rounds.open, account) is None


def test_who_can_be_nominated(stage: Stage) -> None:
    world = stage.world
    idle, poor = world.open(world.bidder, usd=1_000), world.open(world.bidder, usd=4_500)
    alike = world.open(world.bidder, usd=100_000)
    world.trade(alike, world.making, perp(1))
    world.trade(poor, world.making, perp(-1), perp(0.15, 70_000, BTC))
    account = stage.bankrupt()
    assert stage.tries(stage.rounds.nominate, account, world.making) == "deleveraging: not open"
    stage.open(account)
    for candidate in (0, FUND, FEES, account):
        assert stage.tries(stage.rounds.nominate, account, candidate) == "deleveraging: candidate"
    for candidate in (idle, alike):
        assert stage.tries(stage.rounds.nominate, account, candidate) == "deleveraging: no opposite legs"
    assert world.health(poor) < 0
    assert stage.tries(stage.rounds.nominate, account, poor) == "deleveraging: unhealthy"
    with world.ape_chain.isolate():
        world.go_stale()
        assert stage.tries(stage.rounds.nominate, account, world.making) == "deleveraging: stale data"
    stage.wait(NOMINATIONS - 10)
    assert stage.tries(stage.rounds.nominate, account, world.making) is None
    stage.wait(10)
    assert stage.tries(stage.rounds.nominate, account, world.making) == "deleveraging: not open"


def test_when_a_round_can_be_closed(stage: Stage) -> None:
    world = stage.world
    account = stage.bankrupt()
    assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: no round"
    stage.open(account)
    stage.nominate(account, world.making)
    assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: no round"
    stage.wait(NOMINATIONS)
    assert stage.tries(stage.rounds.close, account, 16) is None
    with world.ape_chain.isolate():
        world.house.set_paused(LIQUIDATION, sender=world.guardian)
        assert stage.tries(stage.rounds.close, account, 16) == "liquidation: paused"
    with world.ape_chain.isolate():
        world.go_stale()
        assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: stale data"
    with world.ape_chain.isolate():
        stage.move(1.0)
        assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: healthy"
        stage.move(0.8)
        assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: has value"
    with world.ape_chain.isolate():
        world.house.set_member(stage.rounds, False, sender=world.owner)
        assert stage.tries(stage.rounds.close, account, 16) == "clearing house: caller"
    with world.ape_chain.isolate():
        world.liquidation.set_deleveraging(world.stranger, sender=world.owner)
        assert stage.tries(stage.rounds.close, account, 16) == "liquidation: caller"
    with world.ape_chain.isolate():
        # Sold in the meantime.
        stage.post(FUND, 100_000)
        world.bid(account, world.bidding, INSOLVENT)
        assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: no round"
    stage.wait(LIFE)
    assert stage.tries(stage.rounds.close, account, 16) == "deleveraging: no round"


def test_where_nobody_is_nominated_the_auction_runs_on_with_a_shortfall(stage: Stage) -> None:
    world = stage.world
    account = stage.bankrupt()
    assert world.try_bid(account, world.bidding, INSOLVENT) == "liquidation: fund is short"
    assert stage.share(account) == []
    assert world.try_bid(account, world.bidding, INSOLVENT) is None
    # A new mark, at which the price begins to fall anew, does not forget it.
    stage.wait(FALL)
    stage.wait(600)
    world.bid(account, world.bidding, START)
    stage.wait(FALL)
    world.bid(account, world.bidding, INSOLVENT)
    assert world.house.cash(FUND) < 0 and world.house.book(account) == []
    world.check_ledger()


def test_a_candidate_at_stale_collateral_prices_is_passed_over(stage: Stage) -> None:
    world = stage.world
    other = world.open(world.bidder, usd=100_000)
    token = world.owner.deploy(world.contracts.Token, "Some Dollar", "SOME", 18)
    kind, peg = world.list_kind(token)
    world.give(token, world.bidder, 10 * WAD)
    world.house.deposit(other, kind, 10 * WAD, sender=world.bidder)
    account = stage.bankrupt(against=other)
    stage.open(account)
    stage.nominate(account, other)
    stage.wait(NOMINATIONS)
    peg.set_peg(WAD, False, sender=world.owner)
    receipt = stage.close(account)
    assert [event.candidate for event in receipt.events.filter(stage.rounds.PassedOver)] == [other]


def test_collateral_stays_with_the_account(stage: Stage) -> None:
    """It counts in full: what is left after a round is worth nothing less its debt."""
    world = stage.world
    account = world.open(world.taker, usd=2_500, ether=1)
    world.trade(account, world.making, perp(10))
    stage.move(0.5)
    world.start_auction(account)
    stage.wait(FALL)
    (event,) = stage.share(account, world.making)
    assert abs(event.loss - 6_500 * WAD) <= ENGINE
    assert world.house.balance_of(account, WETH) == WAD and world.house.cash(account) == -1_000 * WAD
    # The engine takes 1e4 units off for what is in the grid.
    assert stage.net_value(account) == -(10**4)


# ----------------------------------------------------------------------------------------------------------------- gas


@pytest.mark.parametrize("whole", [True, False])
def test_gas_of_128_legs_against_128(stage: Stage, whole: bool) -> None:
    """In one transaction: of all legs, or of a half of some on each side, which has to be valued apart."""
    world = stage.world
    account, other = world.open(world.taker, usd=10_000_000), world.open(world.bidder, usd=10_000_000)
    third = world.open(world.maker, usd=10_000_000)
    expiries = (world.week, world.month, world.quarter)
    # Every strike of one thousand to two thousand that the grid lists in tens.
    rows = [(e, 1000 + 20 * k) for k in range(43) for e in expiries][:128]
    for at in range(0, 128, 16):
        world.trade(account, other, *(put(e, strike, -1, 200) for e, strike in rows[at : at + 16]))
        if not whole:
            side = other if at % 32 else account
            sign = 1 if side == other else -1
            world.trade(side, third, *(put(e, strike, sign, 200) for e, strike in rows[at : at + 16]))
    assert len(world.house.book(account)) == len(world.house.book(other)) == 128
    stage.move(0.5)
    stage.post(account, -stage.net_value(account) / WAD - 1_000)
    world.start_auction(account)
    stage.wait(FALL)
    nominate = 0
    stage.open(account)
    nominate = world.gas(stage.rounds.nominate, account, other, sender=world.stranger)
    stage.nominate(account, other)
    stage.wait(NOMINATIONS)
    gas = world.gas(stage.rounds.close, account, 16, sender=world.stranger)
    print(f"nominate: {nominate:,}; close of 128 against 128, {'whole' if whole else 'parts'}: {gas:,}")
    assert nominate < TRANSACTION_GAS_LIMIT and gas < TRANSACTION_GAS_LIMIT
    (event,) = stage.close(account).events.filter(stage.rounds.Deleveraged)
    assert event.legs == 128
    assert (stage.net_value(account) == 0) == whole
    world.check_ledger()
