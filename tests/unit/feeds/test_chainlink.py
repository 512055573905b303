"""`ChainlinkSource`: every field of a round that could be wrong, to its last unit (INV-13)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.unit.feeds.outside import (
    DAY,
    LINGERS,
    MANNERS,
    MAX_PRICE,
    NANO,
    NOTHING,
    NOW,
    PICO,
    ChainlinkTerms,
    Round,
    but,
    refusal,
    rude,
    with_gas,
    words,
)
from tests.unit.protocol_fixtures import EMPTY
from tests.wide import integers

TERMS = ChainlinkTerms()
# What an ISpotSource may use, and what both sources of this folder stay below.
SPOT_GAS = 85_000
FEED_GAS = 36_000


@dataclass(frozen=True)
class Stage:
    """A source on a rollup, with an aggregator and an uptime feed that say what a test wants."""

    contracts: Any
    owner: Any
    aggregator: Any
    sequencer: Any
    source: Any
    ape_chain: Any

    def rude(self, answer: bytes = b"") -> Any:
        return rude(self.contracts, self.owner, answer)

    def spot(self, last: Round | None = None, status: Round | None = None, now: int = NOW) -> tuple[Any, ...]:
        """What the source says of a round and a status, good ones if there are none."""
        self.aggregator.set_round(*(last or TERMS.good()), sender=self.owner)
        self.sequencer.set_round(*(status or TERMS.up()), sender=self.owner)
        return self.ask(now)

    def ask(self, now: int = NOW) -> tuple[Any, ...]:
        return tuple(chain.call_at(self.source.spot, now))


@pytest.fixture(scope="module")
def stage(project_contracts: Any, deployer: Any, ape_chain: Any) -> Stage:
    aggregator = deployer.deploy(project_contracts.Aggregator, 8, "ETH / USD")
    sequencer = deployer.deploy(project_contracts.Aggregator, 0, "L2 Sequencer Uptime Status Feed")
    source = deployer.deploy(project_contracts.ChainlinkSource, *TERMS.arguments(aggregator, sequencer))
    return Stage(project_contracts, deployer, aggregator, sequencer, source, ape_chain)


def deployed(contracts: Any, owner: Any, terms: ChainlinkTerms, aggregator: Any, sequencer: Any = EMPTY) -> Any:
    """A source that asks a rude aggregator."""
    aggregator.set_answer(words(terms.decimals), sender=owner)
    return owner.deploy(contracts.ChainlinkSource, *terms.arguments(aggregator, sequencer))


def test_construction(stage: Stage) -> None:
    source = stage.source
    assert (source.aggregator(), source.sequencer()) == (stage.aggregator, stage.sequencer)
    assert (source.decimals(), source.heartbeat_seconds(), source.grace_seconds()) == (8, TERMS.heartbeat, TERMS.grace)
    assert (source.least(), source.greatest(), source.confidence()) == (TERMS.least, TERMS.greatest, TERMS.confidence)


def test_a_good_round_is_usable(stage: Stage) -> None:
    assert stage.spot() == (2000 * NANO, TERMS.confidence, NOW - 5, True)


GOOD, ID = TERMS.good(), (1 << 64) + 7
REFUSED = {
    "stale by a second": {"updated_at": NOW - TERMS.heartbeat - 1},
    "never updated": {"updated_at": 0},
    "a second in the future": {"updated_at": NOW + 1},
    "far in the future": {"updated_at": 2**256 - 1},
    "answered in the round before": {"answered_in": ID - 1},
    "answered in the phase before": {"round_id": (2 << 64) + 1},
    "zero": {"answer": 0},
    "minus one": {"answer": -1},
    "the least number": {"answer": -(2**255)},
    "the greatest number": {"answer": 2**255 - 1},
    "at the floor": {"answer": 100 * 10**8},
    "below the floor": {"answer": 100 * 10**8 - 1},
    "at the ceiling": {"answer": 10_000 * 10**8},
    "above the ceiling": {"answer": 10_000 * 10**8 + 1},
}
ADMITTED = {
    "of the last second of the heartbeat": {"updated_at": NOW - TERMS.heartbeat},
    "of now": {"updated_at": NOW},
    "answered in a later round": {"answered_in": ID + 1},
    "the first round of a new phase": {"round_id": (2 << 64) + 1, "answered_in": (2 << 64) + 1},
    "above the floor": {"answer": 100 * 10**8 + 1},
    "below the ceiling": {"answer": 10_000 * 10**8 - 1},
    "started at no time": {"started_at": 0},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_round_that_is_not_to_be_used(stage: Stage, case: str) -> None:
    assert stage.spot(GOOD._replace(**REFUSED[case])) == NOTHING


@pytest.mark.parametrize("case", ADMITTED)
def test_the_bounds_themselves_pass(stage: Stage, case: str) -> None:
    last = GOOD._replace(**ADMITTED[case])
    assert stage.spot(last) == (last.answer * 10, TERMS.confidence, last.updated_at, True)


UP = TERMS.up()


@pytest.mark.parametrize(
    ("changed", "usable"),
    [
        ({"answer": 1}, False),
        ({"answer": 2}, False),
        ({"answer": -1}, False),
        ({"started_at": 0}, False),
        ({"started_at": NOW - TERMS.grace}, False),
        ({"started_at": NOW - TERMS.grace - 1}, True),
        ({"started_at": NOW}, False),
        ({"started_at": NOW + 1}, False),
        ({"started_at": 2**256 - 1}, False),
        # A status is told when it changes: its age says nothing.
        ({"updated_at": 1}, True),
    ],
)
def test_the_sequencer_is_up_and_has_been_for_the_grace(stage: Stage, changed: dict[str, int], usable: bool) -> None:
    assert stage.spot(status=UP._replace(**changed))[3] is usable


def test_without_a_sequencer_nobody_is_asked(stage: Stage) -> None:
    source = stage.owner.deploy(
        stage.contracts.ChainlinkSource, *but(TERMS, grace=0).arguments(stage.aggregator, EMPTY)
    )
    stage.aggregator.set_round(*GOOD, sender=stage.owner)
    assert chain.call_at(source.spot, NOW)[3]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("who", ["aggregator", "sequencer"])
def test_who_does_not_answer_as_he_should(stage: Stage, who: str, manner: str) -> None:
    """Not usable, never a revert, within the gas that a source is given."""
    aggregator, sequencer = stage.rude(words(*GOOD)), stage.rude(words(*UP))
    source = deployed(stage.contracts, stage.owner, TERMS, aggregator, sequencer)
    aggregator.set_answer(words(*GOOD), sender=stage.owner)
    assert chain.call_at(source.spot, NOW)[3]
    MANNERS[manner]({"aggregator": aggregator, "sequencer": sequencer}[who], stage.owner)
    assert tuple(chain.call_at(source.spot, NOW)) == NOTHING
    assert with_gas(source.spot, SPOT_GAS, NOW) == words(0, 0, 0, 0)


@pytest.mark.parametrize("who", ["aggregator", "sequencer"])
def test_an_answer_that_is_a_byte_short(stage: Stage, who: str) -> None:
    aggregator, sequencer = stage.rude(), stage.rude(words(*UP))
    source = deployed(stage.contracts, stage.owner, TERMS, aggregator, sequencer)
    answers = {aggregator: words(*GOOD), sequencer: words(*UP)}
    short = {"aggregator": aggregator, "sequencer": sequencer}[who]
    for cut, usable in ((1, False), (0, True)):
        for feed, answer in answers.items():
            feed.set_answer(answer[: len(answer) - cut] if feed == short else answer, sender=stage.owner)
        assert chain.call_at(source.spot, NOW)[3] is usable


@pytest.mark.parametrize("who", ["aggregator", "sequencer"])
def test_nobody_is_there(stage: Stage, who: str) -> None:
    """A call to an address without code succeeds, and says nothing."""
    feeds = {"aggregator": stage.aggregator, "sequencer": stage.sequencer}
    source = stage.owner.deploy(stage.contracts.ChainlinkSource, *TERMS.arguments(*feeds.values()))
    stage.aggregator.set_round(*GOOD, sender=stage.owner)
    stage.sequencer.set_round(*UP, sender=stage.owner)
    assert chain.call_at(source.spot, NOW)[3]
    source.provider.web3.provider.make_request("anvil_setCode", [feeds[who].address, "0x"])
    assert tuple(chain.call_at(source.spot, NOW)) == NOTHING


def test_ids_beyond_80_bits_are_none(stage: Stage) -> None:
    aggregator = stage.rude()
    source = deployed(stage.contracts, stage.owner, but(TERMS, grace=0), aggregator)
    for ids, usable in (((2**80 - 1, 2**80 - 1), True), ((2**80, 2**80), False), ((7, 2**80), False)):
        last = GOOD._replace(round_id=ids[0], answered_in=ids[1])
        aggregator.set_answer(words(*last), sender=stage.owner)
        assert chain.call_at(source.spot, NOW)[3] is usable


def test_nobody_chooses_an_answer_by_the_gas_he_sends(stage: Stage) -> None:
    """Too little for either feed ends the call, never its answer alone."""
    assert stage.spot()[3]
    full = with_gas(stage.source.spot, 10**6, NOW)
    answers = {with_gas(stage.source.spot, gas, NOW) for gas in range(2_000, 100_000, 250)}
    assert answers == {None, full}
    assert with_gas(stage.source.spot, FEED_GAS, NOW) is None


def test_nobody_takes_longer_than_his_share(stage: Stage) -> None:
    """A good answer after 100,000 gas is none, however much the caller has."""
    aggregator = stage.rude()
    source = deployed(stage.contracts, stage.owner, but(TERMS, grace=0), aggregator)
    aggregator.set_answer(words(*GOOD), sender=stage.owner)
    assert chain.call_at(source.spot, NOW)[3]
    aggregator.set_manner(LINGERS, sender=stage.owner)
    assert tuple(chain.call_at(source.spot, NOW)) == NOTHING


@pytest.mark.parametrize("decimals", range(19))
def test_answers_of_any_decimals_are_rounded_down(stage: Stage, decimals: int) -> None:
    terms = but(TERMS, decimals=decimals, grace=0)
    aggregator = stage.rude()
    source = deployed(stage.contracts, stage.owner, terms, aggregator)
    answer = 123_456_789_012_345_678_901 * 10**decimals // 10**17
    aggregator.set_answer(words(*GOOD._replace(answer=answer)), sender=stage.owner)
    price, *_, usable = chain.call_at(source.spot, NOW)
    assert usable
    assert 0 <= answer * NANO - price * 10**decimals < 10**decimals


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"heartbeat": 0}, "source: heartbeat"),
        ({"heartbeat": 7 * DAY + 1}, "source: heartbeat"),
        ({"heartbeat": 7 * DAY}, None),
        ({"least": 10_000 * NANO}, "source: bounds"),
        ({"greatest": MAX_PRICE + 1}, "source: bounds"),
        ({"greatest": MAX_PRICE, "least": 0}, None),
        ({"confidence": PICO}, "source: confidence"),
        ({"confidence": PICO - 1}, None),
        ({"grace": DAY + 1}, "source: grace"),
        ({"grace": DAY}, None),
    ],
)
def test_terms_that_are_refused(stage: Stage, changed: dict[str, int], reason: str | None) -> None:
    arguments = but(TERMS, **changed).arguments(stage.aggregator, stage.sequencer)
    assert refusal(stage.contracts.ChainlinkSource, *arguments, sender=stage.owner) == reason


def test_a_grace_wants_a_sequencer(stage: Stage) -> None:
    arguments = TERMS.arguments(stage.aggregator, EMPTY)
    assert refusal(stage.contracts.ChainlinkSource, *arguments, sender=stage.owner) == "source: grace"


@pytest.mark.parametrize(("decimals", "reason"), [(18, None), (19, "source: decimals"), (255, "source: decimals")])
def test_decimals_are_looked_at_once(stage: Stage, decimals: int, reason: str | None) -> None:
    aggregator = stage.owner.deploy(stage.contracts.Aggregator, decimals, "ETH / USD")
    arguments = TERMS.arguments(aggregator, stage.sequencer)
    assert refusal(stage.contracts.ChainlinkSource, *arguments, sender=stage.owner) == reason


def test_a_proxy_goes_on_with_another_aggregator(stage: Stage) -> None:
    """Its ids jump, its rounds begin again at 1; while there is none yet nothing is usable."""
    aggregator = stage.aggregator
    aggregator.push(2000 * 10**8, sender=stage.owner)
    before, now = aggregator.latestRoundData(), stage.source.provider.get_block("latest").timestamp
    stage.sequencer.set_round(*TERMS.up(now), sender=stage.owner)
    assert stage.ask(now) == (2000 * NANO, TERMS.confidence, now, True)
    aggregator.change_phase(sender=stage.owner)
    assert stage.ask(now) == NOTHING
    aggregator.push(2001 * 10**8, sender=stage.owner)
    after = aggregator.latestRoundData()
    assert after[0] % 2**64 == 1 and after[0] >> 64 == (before[0] >> 64) + 1
    assert tuple(aggregator.getRoundData(before[0])) == tuple(before)
    assert stage.ask(after[3])[0] == 2001 * NANO


times = st.one_of(
    st.sampled_from([0, 1, 2**64, 2**256 - 1]),
    *(st.integers(NOW - d - 2, NOW - d + 2) for d in (0, TERMS.heartbeat, TERMS.grace)),
    st.integers(NOW - 2 * DAY, NOW + 2),
)
ids = st.one_of(st.integers(ID - 1, ID + 1), st.sampled_from([0, 2**80 - 1, 2**80, 2**256 - 1]))


@st.composite
def rounds(draw: st.DrawFn, good: Round, answers: st.SearchStrategy[int]) -> Round:
    """A good round with some fields replaced."""
    fields = draw(st.sets(st.sampled_from(Round._fields), max_size=2))
    of = {"round_id": ids, "answered_in": ids, "answer": answers, "started_at": times, "updated_at": times}
    return good._replace(**{name: draw(of[name]) for name in sorted(fields)})


@st.composite
def cases(draw: st.DrawFn) -> tuple[ChainlinkTerms, Round, Round | None]:
    """Terms, a round, and a status where there is a sequencer."""
    least = draw(st.one_of(st.just(0), integers(0, 1000 * NANO)))
    terms = but(TERMS, decimals=draw(st.integers(0, 18)), least=least, greatest=draw(integers(3000 * NANO, MAX_PRICE)))
    ends = st.builds(
        lambda end, units: terms.scaled(Fraction(end, NANO)) + units,
        st.sampled_from([terms.least, terms.greatest]),
        st.integers(-2, 2),
    )
    answers = st.one_of(ends, st.integers(-2, 2), integers(-(2**255), 2**255 - 1), integers(0, terms.scaled(10**9)))
    last = draw(rounds(terms.good(), answers))
    status = draw(st.one_of(st.none(), rounds(TERMS.up(), st.sampled_from([0, 1, -1, 2**255 - 1]))))
    return (terms if status is not None else but(terms, grace=0)), last, status


@given(case=cases())
def test_whatever_is_said(stage: Stage, case: tuple[ChainlinkTerms, Round, Round | None]) -> None:
    """Usable exactly if every condition holds, and then as computed."""
    terms, last, status = case
    with stage.ape_chain.isolate():
        aggregator = stage.rude()
        sequencer = EMPTY if status is None else stage.rude(words(*status))
        source = deployed(stage.contracts, stage.owner, terms, aggregator, sequencer)
        aggregator.set_answer(words(*last), sender=stage.owner)
        assert tuple(chain.call_at(source.spot, NOW)) == terms.spot(last, status, NOW)
