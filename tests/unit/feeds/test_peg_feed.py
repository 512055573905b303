"""`PegFeed`: the real `Collaterals` prices a wrapped staked token by protocol rate and market, the lesser of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.collaterals.kinds import PERCENT, STETH_PER_TOKEN
from tests.unit.feeds.outside import MANNERS, MAX_PRICE, NANO, ChainlinkTerms, refusal, rude, with_gas, words
from tests.unit.protocol_fixtures import DAY, EMPTY, ETH, WAD, World, perp
from tests.wide import integers

RATE = 12 * WAD // 10
MAX_RATE, MAX_PEG = 10**26, 2 * WAD
# Of Collaterals, for all sources of a kind: less by what its check of the gas that is left lets slip.
PEG_GAS = 98_000
HEARTBEAT = 7 * DAY


@dataclass(frozen=True)
class Stage:
    """A wrapped staked token whose peg is made of an aggregator's round, and an account of the taker with ten of it.

    The market quotes what is inside, or the wrapper: then the feed divides by the rate.
    """

    world: World
    kind: int
    token: Any
    inside: Any
    aggregator: Any
    feed: Any
    account: int
    quotes_wrapper: bool

    @property
    def value(self) -> Any:
        return self.world.collaterals.value(self.kind)

    def quote(self, ratio: int) -> None:
        """What the market pays for one that is inside, 1e-18."""
        answer = ratio * RATE // WAD if self.quotes_wrapper else ratio
        self.aggregator.push(answer, sender=self.world.owner)

    def withdraw(self) -> str | None:
        """Why a unit cannot be withdrawn; None where it can."""
        world = self.world
        return world.tries(world.house.withdraw, self.account, self.kind, 1, world.taker, sender=world.taker)


@pytest.fixture(scope="module", params=["what is inside", "the wrapper"])
def deployed_stage(deployed_world: World, request: Any) -> Stage:
    world, wrapper = deployed_world, request.param == "the wrapper"
    contracts, owner = world.contracts, world.owner
    inside = owner.deploy(contracts.RebasingToken, RATE)
    token = owner.deploy(contracts.WrappedStaked, inside)
    aggregator = owner.deploy(contracts.Aggregator, 18, "wstETH / ETH" if wrapper else "stETH / ETH")
    aggregator.push(RATE if wrapper else WAD, sender=owner)
    source = owner.deploy(contracts.ChainlinkSource, aggregator, HEARTBEAT, NANO // 2, 2 * NANO, 5 * NANO, EMPTY, 0)
    rate = (token, STETH_PER_TOKEN, 18) if wrapper else (EMPTY, bytes(4), 0)
    feed = owner.deploy(contracts.PegFeed, source, *rate, 18, PERCENT)
    terms = (token, ETH, WAD // 10, WAD // 20, 10**24, 0, (token, STETH_PER_TOKEN, 18, PERCENT, feed))
    world.collaterals.list_collateral(terms, sender=owner)
    kind, account = world.collaterals.count(), world.open(world.taker)
    world.give(token, world.taker, 20 * WAD)
    world.house.deposit(account, kind, 10 * WAD, sender=world.taker)
    return Stage(world, kind, token, inside, aggregator, feed, account, wrapper)


@pytest.fixture
def stage(deployed_stage: Stage, world: World) -> Stage:
    return replace(deployed_stage, world=world)


def test_at_par_it_is_worth_its_rate(stage: Stage) -> None:
    value = stage.value
    assert (value.price, value.rate, value.peg, value.fresh) == (2400 * WAD, RATE, WAD, True)


def test_a_discount_of_the_market_counts(stage: Stage) -> None:
    """stETH 2022: at 0.937, with haircuts that grow below 0.99."""
    stage.quote(937 * WAD // 1000)
    value = stage.value
    assert (value.price, value.peg, value.fresh) == (22_488 * WAD // 10, 937 * WAD // 1000, True)
    assert value.haircut_initial == WAD // 10 + 4 * 53 * WAD // 1000


def test_a_premium_of_the_market_does_not(stage: Stage) -> None:
    stage.quote(105 * WAD // 100)
    assert stage.feed.peg() == (105 * WAD // 100, True)
    value = stage.value
    assert (value.price, value.peg, value.fresh) == (2400 * WAD, WAD, True)


def test_a_rate_that_jumps_counts_by_a_day_of_growth(stage: Stage) -> None:
    """And only as far as the market pays it."""
    stage.inside.set_index(2 * RATE, sender=stage.world.owner)
    assert (stage.value.price, stage.value.rate, stage.value.fresh) == (2400 * WAD, RATE, True)
    stage.world.wait(DAY)
    stage.world.move(1.0)
    value = stage.value
    assert (value.rate, value.fresh) == (1212 * WAD // 1000, True)
    if stage.quotes_wrapper:
        # 1.2 / 1.212 rounded down, times 1.212.
        assert 2400 * WAD - 3000 <= value.price <= 2400 * WAD
        stage.quote(101 * WAD // 100)
    assert stage.value.price == 2424 * WAD


def test_a_donation_halves_nobodys_peg(stage: Stage) -> None:
    """INV-04: the rate that the market's price is divided by jumps no further than the one it is multiplied by."""
    before = stage.world.figures(stage.account)
    stage.inside.set_index(100 * RATE, sender=stage.world.owner)
    assert stage.world.figures(stage.account) == before


def test_a_fall_of_the_rate_counts_at_once(stage: Stage) -> None:
    """Slashing; the market has not noticed yet."""
    stage.inside.set_index(WAD, sender=stage.world.owner)
    value = stage.value
    assert (value.price, value.peg, value.fresh) == (2000 * WAD, WAD, True)


def stale(stage: Stage) -> None:
    stage.world.wait(HEARTBEAT + 1)
    stage.world.move(1.0)


LOST_LEGS: dict[str, Callable[[Stage], None]] = {
    "market stale": stale,
    "market at its floor": lambda s: s.aggregator.push(WAD // 2, sender=s.world.owner),
    "market without a round": lambda s: s.aggregator.change_phase(sender=s.world.owner),
    "rate zero": lambda s: s.inside.set_index(0, sender=s.world.owner),
    "rate out of bounds": lambda s: s.inside.set_index(MAX_RATE + 1, sender=s.world.owner),
}


@pytest.mark.parametrize("leg", LOST_LEGS)
def test_a_leg_that_is_lost(stage: Stage, leg: str) -> None:
    """Moonwell 2026. The price is kept, discount and all, and raises no risk; deposits and smaller positions pass."""
    world = stage.world
    stage.quote(95 * WAD // 100)
    stage.feed.poke(sender=world.stranger)
    world.trade(stage.account, world.making, perp(0.5))
    assert stage.withdraw() is None
    before = stage.value
    LOST_LEGS[leg](stage)
    value = stage.value
    assert not value.fresh
    assert (value.price, value.rate, value.peg) == (before.price, RATE, 95 * WAD // 100)
    deposit = (world.house.deposit, stage.account, stage.kind, WAD)
    assert world.tries(*deposit, sender=world.taker) is None
    assert stage.withdraw() == "solvency: margin"
    assert world.try_trade(stage.account, world.making, perp(0.1)) == "solvency: margin"
    assert world.try_trade(stage.account, world.making, perp(-0.1)) is None
    stage.inside.set_index(RATE, sender=world.owner)
    stage.quote(WAD)
    assert (stage.value.price, stage.value.fresh) == (2400 * WAD, True)
    assert stage.withdraw() is None


def test_without_positions_nothing_is_held_back(stage: Stage) -> None:
    stale(stage)
    assert not stage.value.fresh
    assert stage.withdraw() is None


# ---------------------------------------------------------------------------------------------------------------- poke


def test_a_poke_keeps_the_peg_and_changes_no_value(stage: Stage) -> None:
    stage.quote(9 * WAD // 10)
    before = stage.value
    receipt = stage.feed.poke(sender=stage.world.stranger)
    rate = RATE if stage.quotes_wrapper else WAD
    assert receipt.events == [stage.feed.Noted(peg=9 * WAD // 10, rate=rate)]
    assert stage.value == before


def test_a_poke_wants_both_legs(stage: Stage) -> None:
    poke = (stage.feed.poke,)
    stage.inside.set_index(0, sender=stage.world.owner)
    reason = "feed: no rate" if stage.quotes_wrapper else None
    assert stage.world.tries(*poke, sender=stage.world.stranger) == reason
    stage.aggregator.change_phase(sender=stage.world.owner)
    assert stage.world.tries(*poke, sender=stage.world.stranger) == "feed: source unusable"


def test_pokes_follow_a_rate_that_grows(stage: Stage) -> None:
    """With both notes renewed the two bounds are one, and a discount is seen in full."""
    world = stage.world
    for day in range(1, 4):
        stage.inside.set_index(RATE * (1000 + 5 * day) // 1000, sender=world.owner)
        world.wait(DAY)
        stage.feed.poke(sender=world.stranger)
        world.collaterals.poke(stage.kind, sender=world.stranger)
    world.move(1.0)
    stage.quote(95 * WAD // 100 * (1015 if stage.quotes_wrapper else 1000) // 1000)
    assert stage.value.rate == RATE * 1015 // 1000
    assert abs(stage.value.peg - 95 * WAD // 100) <= NANO


def test_nothing_else_changes_state(stage: Stage) -> None:
    """And anyone may poke."""
    assert {method.name for method in stage.feed.contract_type.mutable_methods} == {"poke"}


# -------------------------------------------------------------------------------------------------------------- manners


@dataclass(frozen=True)
class Corner:
    """A feed whose source and rate may have any manners."""

    contracts: Any
    owner: Any
    source: Any
    rate: Any
    feed: Any
    ape_chain: Any

    @property
    def now(self) -> int:
        return int(self.ape_chain.blocks.head.timestamp)

    def says(self, market: tuple[int, ...], rate: tuple[int, ...]) -> tuple[int, bool]:
        self.source.set_answer(words(*market), sender=self.owner)
        self.rate.set_answer(words(*rate), sender=self.owner)
        return tuple(self.feed.peg())  # type: ignore[return-value]


GOOD_SPOT = (11 * NANO // 10, 5 * NANO, 1, 1)


@pytest.fixture(scope="module")
def corner(deployed_world: World) -> Corner:
    contracts, owner = deployed_world.contracts, deployed_world.owner
    source, rate = rude(contracts, owner, words(*GOOD_SPOT)), rude(contracts, owner, words(RATE))
    feed = owner.deploy(contracts.PegFeed, source, rate, STETH_PER_TOKEN, 18, 18, PERCENT)
    return Corner(contracts, owner, source, rate, feed, deployed_world.ape_chain)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("who", ["source", "rate"])
def test_who_does_not_answer_as_he_should(corner: Corner, who: str, manner: str) -> None:
    """The peg noted, not fresh, within what Collaterals gives for it."""
    noted = 11 * WAD // 10 * WAD // RATE
    assert corner.says(GOOD_SPOT, (RATE,)) == (noted, True)
    MANNERS[manner]({"source": corner.source, "rate": corner.rate}[who], corner.owner)
    assert corner.feed.peg() == (noted, False)
    assert with_gas(corner.feed.peg, PEG_GAS, corner.now) == words(noted, 0)


def test_on_a_rollup_it_fits_into_what_collaterals_gives(corner: Corner) -> None:
    """Everything from cold storage: a source that asks for the sequencer too, and a rate."""
    contracts, owner = corner.contracts, corner.owner
    aggregator, sequencer = (owner.deploy(contracts.Aggregator, decimals, "") for decimals in (18, 0))
    aggregator.push(RATE, sender=owner)
    sequencer.set_round(1, 0, 1, 1, 1, sender=owner)
    terms = ChainlinkTerms(decimals=18, least=0, greatest=2 * NANO)
    source = owner.deploy(contracts.ChainlinkSource, *terms.arguments(aggregator, sequencer))
    token = owner.deploy(contracts.WrappedStaked, owner.deploy(contracts.RebasingToken, RATE))
    feed = owner.deploy(contracts.PegFeed, source, token, STETH_PER_TOKEN, 18, 18, PERCENT)
    assert with_gas(feed.peg, PEG_GAS, corner.now) == words(WAD, 1)


@pytest.mark.parametrize("usable", [0, 2, 2**256 - 1])
def test_usable_is_one_and_nothing_else(corner: Corner, usable: int) -> None:
    assert corner.says((*GOOD_SPOT[:3], usable), (RATE,))[1] is False


def test_nobody_chooses_an_answer_by_the_gas_he_sends(corner: Corner) -> None:
    """Nor what is noted."""
    corner.says(GOOD_SPOT, (RATE,))
    call = {"to": corner.feed.address, "data": corner.feed.peg.encode_input().hex()}
    request = corner.ape_chain.provider.web3.provider.make_request
    answers = {
        request("eth_call", [{**call, "gas": hex(gas)}, "latest"]).get("result") for gas in range(24_000, 200_000, 500)
    }
    assert len(answers) == 2 and None in answers


@given(
    market=st.one_of(integers(0, 2**256 - 1), integers(0, 3 * NANO), st.integers(MAX_PRICE - 1, MAX_PRICE + 1)),
    usable=st.sampled_from([1, 1, 1, 0, 2]),
    rate=st.one_of(integers(0, 2**256 - 1), integers(0, 3 * WAD), st.integers(MAX_RATE - 1, MAX_RATE + 1)),
    seconds=st.one_of(st.just(0), st.just(DAY), st.integers(0, 3 * DAY)),
)
def test_whatever_is_said(corner: Corner, market: int, usable: int, rate: int, seconds: int) -> None:
    """What Collaterals can use, fresh exactly if both legs are there, and as computed."""
    with corner.ape_chain.isolate():
        corner.ape_chain.mine(timestamp=corner.now + seconds)
        peg, fresh = corner.says((market, 0, 0, usable), (rate,))
    noted = 11 * WAD // 10 * WAD // RATE
    has_market, has_rate = usable == 1 and 0 < market <= MAX_PRICE, 0 < rate <= MAX_RATE
    used = min(rate, RATE + RATE * PERCENT * min(seconds, DAY) // (WAD * DAY)) if has_rate else RATE
    assert fresh is (has_market and has_rate)
    assert peg == (min(market * NANO * WAD // used, MAX_PEG) if has_market else noted)
    assert 0 < peg <= MAX_PEG


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rate_decimals": 19}, "feed: rate decimals"),
        ({"token_decimals": 19}, "feed: token decimals"),
        ({"growth": WAD // 10 + 1}, "feed: growth"),
        ({"growth": WAD // 10}, None),
        ({"source": EMPTY}, "feed: source unusable"),
        ({"rate_source": EMPTY}, None),
    ],
)
def test_terms_that_are_refused(corner: Corner, changed: dict[str, Any], reason: str | None) -> None:
    corner.says(GOOD_SPOT, (RATE,))
    row = {
        "source": corner.source,
        "rate_source": corner.rate,
        "selector": STETH_PER_TOKEN,
        "rate_decimals": 18,
        "token_decimals": 18,
        "growth": PERCENT,
    } | changed
    assert refusal(corner.contracts.PegFeed, *row.values(), sender=corner.owner) == reason


def test_a_feed_begins_with_both_legs(corner: Corner) -> None:
    arguments = (corner.source, corner.rate, STETH_PER_TOKEN, 18, 18, PERCENT)
    for market, rate, reason in ((0, RATE, "feed: source unusable"), (NANO, 0, "feed: no rate")):
        corner.says((market, 0, 0, 1), (rate,))
        assert refusal(corner.contracts.PegFeed, *arguments, sender=corner.owner) == reason


@pytest.mark.parametrize("decimals", [0, 6, 17, 18])
def test_rates_of_any_decimals(corner: Corner, decimals: int) -> None:
    rate = 2 * 10**decimals
    corner.says(GOOD_SPOT, (rate,))
    feed = corner.owner.deploy(corner.contracts.PegFeed, corner.source, corner.rate, STETH_PER_TOKEN, decimals, 6, 0)
    assert feed.peg() == (55 * WAD // 100, True)
