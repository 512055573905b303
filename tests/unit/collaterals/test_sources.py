"""Sources with bad manners: what they do stops no margin check and no liquidation, and lifts no margin (INV-13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from web3.exceptions import ContractLogicError, Web3RPCError

from scripts import protocol
from tests.unit.collaterals.kinds import PERCENT, STETH_PER_TOKEN
from tests.unit.protocol_fixtures import DAY, ETH, SOLVENT, WAD, World, perp

RATE = 12 * WAD // 10
REVERTS, BURNS, LINGERS = 1, 2, 3
# Of `Collaterals`: what each source may burn, and 1/32 that must be left beside it.
SOURCE_GAS = 100_000


def words(*numbers: int) -> bytes:
    return b"".join((number % 2**256).to_bytes(32, "big") for number in numbers)


def says(answer: bytes) -> Callable[[Any, Any], None]:
    return lambda source, owner: source.set_answer(answer, sender=owner)


def does(manner: int, answer: bytes = b"") -> Callable[[Any, Any], None]:
    def change(source: Any, owner: Any) -> None:
        source.set_answer(answer, sender=owner)
        source.set_manner(manner, sender=owner)

    return change


# Of rates and pegs alike.
MANNERS = {
    "reverts": does(REVERTS),
    "reverts at length": does(REVERTS, b"\xff" * 20_000),
    "burns all gas": does(BURNS),
    "says nothing": says(b""),
    "says too little": says(b"\x00" * 31),
    "says zero": says(words(0, 1)),
    "says too much": says(words(10**26 + 1, 1)),
    "says minus one": says(words(-1, 1)),
    "says the greatest number": says(words(2**255 - 1, 1)),
    "says 20,000 bytes": says(b"\xff" * 20_000),
}
PEG_MANNERS = {
    "says half of it": says(words(WAD)),
    "says double and more": says(words(2 * WAD + 1, 1)),
    "is fresh in a strange way": says(words(WAD, 2)),
    "is stale": says(words(WAD, 0)),
}
CASES = [("rate", name) for name in MANNERS] + [("peg", name) for name in MANNERS | PEG_MANNERS]


@dataclass(frozen=True)
class Stage:
    """A kind whose sources can be made rude, and an account of the taker with nothing but ten of it."""

    world: World
    kind: int
    token: Any
    rate: Any
    peg: Any
    account: int

    def spoil(self, source: str, name: str) -> None:
        (MANNERS | PEG_MANNERS)[name](getattr(self, source), self.world.owner)

    def heal(self) -> None:
        self.rate.set_answer(words(RATE), sender=self.world.owner)
        self.peg.set_answer(words(WAD, 1), sender=self.world.owner)


@pytest.fixture(scope="module")
def deployed_stage(deployed_world: World) -> Stage:
    world = deployed_world
    rate, peg = (world.owner.deploy(world.contracts.RudeSource) for _ in range(2))
    token = world.owner.deploy(world.contracts.Token, "Claim", "CLM", 18)
    stage = Stage(world, 0, token, rate, peg, world.open(world.taker))
    stage.heal()
    terms = (token, ETH, WAD // 10, WAD // 20, 10**24, 0, (rate, STETH_PER_TOKEN, 18, PERCENT, peg))
    world.collaterals.list_collateral(terms, sender=world.owner)
    stage = replace(stage, kind=world.collaterals.count())
    world.give(token, world.taker, 20 * WAD)
    world.house.deposit(stage.account, stage.kind, 10 * WAD, sender=world.taker)
    return stage


@pytest.fixture
def stage(deployed_stage: Stage, world: World) -> Stage:
    return replace(deployed_stage, world=world)


@pytest.mark.parametrize(("source", "manner"), CASES)
def test_what_a_source_does_not_say_is_not_fresh(stage: Stage, source: str, manner: str) -> None:
    """The last rate noted, or par, in its place: nothing is doubled, nothing is lost."""
    stage.world.wait(DAY)
    stage.world.move(1.0)
    stage.spoil(source, manner)
    value = stage.world.collaterals.value(stage.kind)
    assert not value.fresh
    assert (value.rate, value.peg, value.price) == (RATE, WAD, 2400 * WAD)
    assert (value.haircut_initial, value.haircut_maintenance) == (10 * PERCENT, 5 * PERCENT)
    figures = stage.world.figures(stage.account)
    assert not figures.fresh
    assert figures.stale_value == figures.net_value + 10**4 == 24_000 * WAD
    stage.heal()
    assert stage.world.figures(stage.account).fresh


@pytest.mark.parametrize(("source", "manner"), CASES)
def test_it_raises_no_risk_and_liquidates_nobody_in_doubt(stage: Stage, source: str, manner: str) -> None:
    world = stage.world
    world.trade(stage.account, world.making, perp(30))
    health = world.health(stage.account)
    assert health > 0
    stage.spoil(source, manner)
    assert world.health(stage.account) == health
    assert world.try_trade(stage.account, world.making, perp(0.1)) == "solvency: margin"
    # What takes no risk passes.
    assert world.try_trade(stage.account, world.making, perp(-1)) is None
    withdraw = (world.house.withdraw, stage.account, stage.kind, 1, world.taker)
    assert world.tries(*withdraw, sender=world.taker) == "solvency: margin"
    bid = (world.house.bid, stage.account, world.bidding, protocol.bid(SOLVENT))
    assert world.tries(*bid, sender=world.bidder) == "liquidation: healthy"


@pytest.mark.parametrize(("source", "manner"), CASES)
def test_who_is_short_of_margin_in_any_case_is_sold(stage: Stage, source: str, manner: str) -> None:
    """INV-11: a speck of it shields nobody, and burdens no bidder."""
    world = stage.world
    account = world.open(world.taker, usd=4_500)
    world.house.deposit(account, stage.kind, WAD // 1000, sender=world.taker)
    world.trade(account, world.making, perp(10))
    stage.spoil(source, manner)
    world.move(0.8)
    assert world.health(account) < 0
    world.sell(account)
    assert world.house.balance_of(world.bidding, stage.kind) > 0
    world.check_ledger()


@pytest.mark.parametrize(("source", "manner"), CASES)
def test_nobody_else_notices(stage: Stage, source: str, manner: str) -> None:
    world = stage.world
    world.trade(world.taking, world.making, perp(1))
    before = world.figures(world.taking)
    stage.spoil(source, manner)
    assert world.figures(world.taking) == before
    assert world.try_trade(world.taking, world.making, perp(1)) is None


@pytest.mark.parametrize("manner", MANNERS)
def test_a_rate_that_is_not_said_is_not_noted(stage: Stage, manner: str) -> None:
    stage.spoil("rate", manner)
    poke = (stage.world.collaterals.poke, stage.kind)
    assert stage.world.tries(*poke, sender=stage.world.stranger) == "collaterals: no rate"


def test_a_stale_peg_is_the_last_one_said(stage: Stage) -> None:
    """Its discount holds until a fresh one says otherwise."""
    stage.peg.set_answer(words(937 * WAD // 1000, 0), sender=stage.world.owner)
    value = stage.world.collaterals.value(stage.kind)
    assert (value.peg, value.fresh) == (937 * WAD // 1000, False)
    assert value.price == 22_488 * WAD // 10


def test_the_bounds_themselves_pass(stage: Stage) -> None:
    stage.peg.set_answer(words(2 * WAD, 1), sender=stage.world.owner)
    assert stage.world.collaterals.value(stage.kind).fresh
    stage.rate.set_answer(words(10**26), sender=stage.world.owner)
    value = stage.world.collaterals.value(stage.kind)
    assert (value.fresh, value.rate) == (True, RATE)
    stage.rate.set_answer(words(1), sender=stage.world.owner)
    assert stage.world.collaterals.value(stage.kind).rate == 1


def test_a_source_burns_no_more_than_its_share(stage: Stage) -> None:
    """A margin check costs at most two shares more a kind, which is what sixteen kinds leave room for."""
    assess = (stage.world.house.assess, stage.account)
    plain = stage.world.gas(*assess, sender=stage.world.taker)
    for source in ("rate", "peg"):
        stage.spoil(source, "burns all gas")
    assert stage.world.gas(*assess, sender=stage.world.taker) < plain + 2 * SOURCE_GAS * 33 // 32


def test_nobody_chooses_an_answer_by_the_gas_he_sends(stage: Stage) -> None:
    """Too little for a source ends the call, never its answer alone: else a caller could make prices stale."""
    stage.peg.set_manner(LINGERS, sender=stage.world.owner)
    web3 = stage.world.ape_chain.provider.web3
    handler = stage.world.collaterals.value
    call = {
        "to": stage.world.collaterals.address,
        "from": stage.world.taker.address,
        "data": "0x" + bytes(handler.encode_input(stage.kind)).hex(),
    }
    assert stage.world.collaterals.value(stage.kind).fresh
    full = web3.eth.call({**call, "gas": 10**7})
    answers = set()
    for gas in range(100_000, 250_000, 500):
        try:
            answers.add(bytes(web3.eth.call({**call, "gas": gas})))
        except (ContractLogicError, Web3RPCError):
            answers.add(b"")
    assert answers == {b"", bytes(full)}
