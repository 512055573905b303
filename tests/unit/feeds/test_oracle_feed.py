"""`OracleFeed`: anyone relays what a source says; nobody chooses price or time; nothing unusable passes (INV-13)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.feeds.outside import NANO, ChainlinkTerms, refusal
from tests.unit.protocol_fixtures import BTC, DAY, EMPTY, ETH, World

TERMS = ChainlinkTerms(grace=0)
NOT_OWNER = "ownable: caller is not the owner"


@dataclass(frozen=True)
class Stage:
    """A world in which ETH is published by an aggregator."""

    world: World
    aggregator: Any
    source: Any
    feed: Any

    def quote(self, usd: int) -> int:
        """A round a second later; its time."""
        self.world.wait(1)
        self.aggregator.push(usd * 10**8, sender=self.world.owner)
        return self.world.now

    def refusal(self, underlying: int = ETH) -> str | None:
        """Why a stranger cannot publish; None where he can."""
        return self.world.tries(self.feed.publish, underlying, sender=self.world.stranger)

    def head(self) -> tuple[int, int, int, int]:
        """Spot, perp mark, confidence and time of what is published."""
        data = self.world.protocol.market_data
        words, _ = data.read(ETH, [])
        return words[0] >> 184, (words[0] >> 112) % 2**72, (words[0] >> 72) % 2**40, data.last_timestamp(ETH)


@pytest.fixture(scope="module")
def deployed_stage(deployed_world: World) -> Stage:
    world = deployed_world
    contracts, owner, data = world.contracts, world.owner, world.protocol.market_data
    aggregator = owner.deploy(contracts.Aggregator, 8, "ETH / USD")
    source = owner.deploy(contracts.ChainlinkSource, *TERMS.arguments(aggregator, EMPTY))
    feed = owner.deploy(contracts.OracleFeed, data)
    data.set_publisher(feed, True, sender=owner)
    stage = Stage(world, aggregator, source, feed)
    stage.quote(2000)
    feed.set_source(ETH, source, sender=owner)
    return stage


@pytest.fixture
def stage(deployed_stage: Stage, world: World) -> Stage:
    return replace(deployed_stage, world=world)


def test_construction(stage: Stage) -> None:
    assert (stage.feed.market_data(), stage.feed.owner()) == (stage.world.protocol.market_data, stage.world.owner)
    assert (stage.feed.source_of(ETH), stage.feed.source_of(BTC)) == (stage.source, EMPTY)


def test_what_the_source_says_is_published(stage: Stage) -> None:
    """Spot as the mark of the perpetual too, at the time of the source, by anyone."""
    time = stage.quote(2100)
    stage.world.wait(60)
    stage.feed.publish(ETH, sender=stage.world.stranger)
    assert stage.head() == (2100 * NANO, 2100 * NANO, TERMS.confidence, time)


def test_a_perpetual_without_a_mark_of_its_own_pays_no_funding(stage: Stage) -> None:
    data = stage.world.protocol.market_data
    stage.feed.publish(ETH, sender=stage.world.stranger)
    paid = data.funding(ETH)
    stage.world.wait(DAY)
    stage.quote(2200)
    stage.feed.publish(ETH, sender=stage.world.stranger)
    assert data.funding(ETH) == paid


def test_a_round_is_published_once(stage: Stage) -> None:
    stage.quote(2100)
    stage.feed.publish(ETH, sender=stage.world.stranger)
    assert stage.refusal() == "market: timestamp not newer"
    stage.quote(2101)
    assert stage.refusal() is None


def test_a_round_that_goes_back_is_not_published(stage: Stage) -> None:
    """Whatever its id: times are kept by market data."""
    time = stage.quote(2100)
    stage.feed.publish(ETH, sender=stage.world.stranger)
    before = stage.head()
    last = stage.aggregator.latest_round()
    stage.aggregator.set_round(last + 1, 1900 * 10**8, time - 1, time - 1, last + 1, sender=stage.world.owner)
    assert stage.refusal() == "market: timestamp not newer"
    assert stage.head() == before


@pytest.mark.parametrize("answer", [0, -1, 100 * 10**8, 10_000 * 10**8, 2**255 - 1])
def test_nothing_unusable_is_published(stage: Stage, answer: int) -> None:
    stage.world.wait(1)
    stage.aggregator.push(answer, sender=stage.world.owner)
    assert stage.refusal() == "feed: source unusable"


def test_a_stale_round_is_not_published(stage: Stage) -> None:
    stage.quote(2100)
    stage.world.wait(TERMS.heartbeat)
    assert stage.refusal() is None
    stage.world.wait(1)
    assert stage.refusal() == "feed: source unusable"


@pytest.mark.parametrize("underlying", [0, BTC, 256, 2**256 - 1])
def test_without_a_source_nothing_is_published(stage: Stage, underlying: int) -> None:
    assert stage.refusal(underlying) == "feed: no source"


def test_a_publisher_that_is_dismissed(stage: Stage) -> None:
    stage.quote(2100)
    stage.world.protocol.market_data.set_publisher(stage.feed, False, sender=stage.world.owner)
    assert stage.refusal() == "market: publisher"


def test_a_source_is_named_and_taken_away(stage: Stage) -> None:
    owner = stage.world.owner
    receipt = stage.feed.set_source(BTC, stage.source, sender=owner)
    assert receipt.events == [stage.feed.SourceSet(underlying=BTC, source=stage.source)]
    receipt = stage.feed.set_source(ETH, EMPTY, sender=owner)
    assert receipt.events == [stage.feed.SourceSet(underlying=ETH, source=EMPTY)]
    assert stage.refusal() == "feed: no source"


@pytest.mark.parametrize("underlying", [0, 256, 2**256 - 1])
def test_ids_are_those_of_market_data(stage: Stage, underlying: int) -> None:
    arguments = (underlying, stage.source)
    assert stage.world.tries(stage.feed.set_source, *arguments, sender=stage.world.owner) == "feed: underlying"


def test_a_source_that_is_named_is_usable(stage: Stage) -> None:
    stage.aggregator.push(0, sender=stage.world.owner)
    arguments = (BTC, stage.source)
    assert stage.world.tries(stage.feed.set_source, *arguments, sender=stage.world.owner) == "feed: source unusable"


def test_only_the_owner_names_sources(stage: Stage) -> None:
    world, feed = stage.world, stage.feed
    for handler, arguments in ((feed.set_source, (ETH, EMPTY)), (feed.transfer_ownership, (world.stranger,))):
        for sender in (world.stranger, world.guardian, world.taker):
            assert world.tries(handler, *arguments, sender=sender) == NOT_OWNER
        assert world.tries(handler, *arguments, sender=world.owner) is None


def test_ownership_passes_when_the_new_owner_accepts(stage: Stage) -> None:
    world, feed = stage.world, stage.feed
    feed.transfer_ownership(world.heir, sender=world.owner)
    assert (feed.owner(), feed.pending_owner()) == (world.owner, world.heir)
    assert refusal(feed.accept_ownership, sender=world.owner) == "ownable_2step: caller is not the new owner"
    feed.accept_ownership(sender=world.heir)
    assert feed.owner() == world.heir
    assert refusal(feed.set_source, ETH, EMPTY, sender=world.owner) == NOT_OWNER


@pytest.mark.parametrize(
    ("contract", "functions"),
    [
        ("ChainlinkSource", set()),
        ("PythSource", {"update"}),
        ("PegFeed", {"poke"}),
        ("OracleFeed", {"publish", "set_source", "transfer_ownership", "accept_ownership"}),
    ],
)
def test_nothing_else_changes_state(stage: Stage, contract: str, functions: set[str]) -> None:
    """Whoever adds a function to a feed adds a test of who may call it."""
    methods = getattr(stage.world.contracts, contract).contract_type.mutable_methods
    assert {method.name for method in methods} == functions
