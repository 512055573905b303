"""One planted defect at a time must make a source differ from what is computed here, on fixed answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scripts import chain
from tests.differential import planting
from tests.differential.planting import Defect
from tests.unit.feeds.outside import (
    BURNS,
    LINGERS,
    NANO,
    NOW,
    REVERTS,
    ChainlinkTerms,
    PythPrice,
    PythTerms,
    but,
    does,
    rude,
    with_gas,
    words,
)
from tests.unit.protocol_fixtures import WAD

pytestmark = pytest.mark.slow

CHAINLINK, PYTH, PEG = "ChainlinkSource", "PythSource", "PegFeed"
OUTSIDE = "libraries/outside.vy"
SPOT_GAS, FEED_GAS = 85_000, 36_000


def planted(name: str, contract: str, text: str, defect: str, source: str | None = None) -> Defect:
    return Defect(name, source or f"feeds/{contract}.vy", text, defect, f"feeds/{contract}")


DEFECTS = [
    planted("open round", CHAINLINK, "if updated_at == 0 or answered_in < round_id", "if answered_in < round_id"),
    planted("answer of a round before", CHAINLINK, "updated_at == 0 or answered_in < round_id", "updated_at == 0"),
    planted("round of the future", CHAINLINK, "updated_at > block.timestamp or ", ""),
    planted("heartbeat, a second less", CHAINLINK, "- updated_at > heartbeat", "- updated_at >= heartbeat"),
    planted("any age", CHAINLINK, "or block.timestamp - updated_at > heartbeat_seconds", ""),
    planted(
        "age of the start",
        CHAINLINK,
        "        return 0, 0\n    return price, updated_at",
        "        return 0, 0\n    return price, started_at",
    ),
    planted("answer at its floor", CHAINLINK, "price <= least", "price < least"),
    planted("answer at its ceiling", CHAINLINK, "price >= greatest", "price > greatest"),
    planted("overflow", CHAINLINK, "answer <= 0 or answer > MAX_ANSWER", "answer <= 0"),
    planted("decimals", CHAINLINK, "10**9 // _divisor", "10"),
    planted("status upside down", CHAINLINK, "answer != 0:", "answer == 0:"),
    planted("any status", CHAINLINK, "not answered or answer != 0", "not answered"),
    planted("grace, a second less", CHAINLINK, "started_at > grace_seconds", "started_at >= grace_seconds"),
    planted("grace since the update", CHAINLINK, "block.timestamp - started_at >", "block.timestamp - updated_at >"),
    planted("status that never came", CHAINLINK, "started_at == 0 or started_at >", "started_at >"),
    planted("status of the future", CHAINLINK, "started_at == 0 or started_at > block.timestamp", "started_at == 0"),
    planted("sequencer not asked", CHAINLINK, "if not self._is_up()", "if False"),
    planted("ids of any length", CHAINLINK, "round_id >> 80 != 0 or answered_in >> 80 != 0", "round_id >> 80 != 0"),
    planted("short answers", CHAINLINK, "success and len(answer) >= 32 * words", "success", OUTSIDE),
    planted("answers with a revert", CHAINLINK, "success and len", "len", OUTSIDE),
    planted(
        "gas not asked for",
        CHAINLINK,
        'assert msg.gas > gas_limit + gas_limit // 63 + OVERHEAD, "source: gas"',
        "pass",
        OUTSIDE,
    ),
    planted("gas without a limit", CHAINLINK, "gas=gas_limit, ", "", OUTSIDE),
    planted("price rounded up", PYTH, "price = units // divisor", "price = (units + divisor - 1) // divisor"),
    planted("doubt rounded down", PYTH, "* ONE + kept - 1)", "* ONE)"),
    planted("doubt without what rounding took", PYTH, "(units - kept + half_width)", "(half_width)"),
    planted("doubt beyond the widest", PYTH, "if confidence > widest", "if confidence > widest + 1"),
    planted("Pyth's own age", PYTH, " or block.timestamp - timestamp > max_age_seconds", ""),
    planted("price of the future", PYTH, "timestamp > block.timestamp or ", ""),
    planted("time zero", PYTH, "if timestamp == 0 or ", "if "),
    planted("price zero", PYTH, "price == 0 or price > MAX_PRICE", "price > MAX_PRICE"),
    planted("greatest price", PYTH, "price == 0 or price > MAX_PRICE", "price == 0"),
    planted("sign of the price", PYTH, "value <= 0 or ", "value == 0 or "),
    planted("length of the price", PYTH, "value > convert(max_value(int64), int256) or ", ""),
    planted("length of the doubt", PYTH, " or half_width > convert(max_value(uint64), uint256)", ""),
    planted("exponents too high", PYTH, "exponent > MAX_SHIFT - 9 or ", ""),
    planted("exponents too low", PYTH, " or exponent < MIN_SHIFT - 9", ""),
    planted("one exponent less", PYTH, "exponent > MAX_SHIFT - 9", "exponent >= MAX_SHIFT - 9"),
    planted("rate without a bound", PEG, "min(asked, min(rate + growth, MAX_RATE))", "asked"),
    planted(
        "growth for ever", PEG, "min(block.timestamp - (noted & BITS_64), DAY)", "(block.timestamp - (noted & BITS_64))"
    ),
    planted("rate not divided by", PEG, "* WAD // rate, MAX_PEG", ", MAX_PEG"),
    planted(
        "peg above the greatest", PEG, "min(market * 10**9 * WAD // rate, MAX_PEG)", "market * 10**9 * WAD // rate"
    ),
    planted("market that is not usable", PEG, " or outside.word(answer, 3) != 1", ""),
    planted("lost market is fresh", PEG, "BITS_64, False", "BITS_64, True"),
    planted("lost rate is fresh", PEG, "self._quotient(market, rate), answered", "self._quotient(market, rate), True"),
    planted("rate that overflows", PEG, "    if rate > MAX_RATE:\n        return 0\n", ""),
]


@dataclass(frozen=True)
class Bench:
    """True contracts, and whatever build of them is asked."""

    contracts: Any
    owner: Any
    ape_chain: Any

    def first_difference(self, contract: str, bytecode: str) -> str | None:
        """Where a build first differs from what is computed; it may revert nowhere."""
        looks = {CHAINLINK: self.chainlink, PYTH: self.pyth, PEG: self.peg}
        with self.ape_chain.isolate():
            try:
                return next(looks[contract]({contract: bytecode}), None)
            except RuntimeError as error:
                return f"reverts: {error}"

    def chainlink(self, bytecode: dict[str, str]) -> Iterator[str]:
        for terms in (ChainlinkTerms(), but(ChainlinkTerms(), decimals=18)):
            aggregator, sequencer = (rude(self.contracts, self.owner) for _ in range(2))
            aggregator.set_answer(words(terms.decimals), sender=self.owner)
            arguments = terms.arguments(aggregator, sequencer)
            source = planting.deploy(self.contracts, self.owner, CHAINLINK, bytecode, *arguments)
            good, up = terms.good(), terms.up()
            floor, ceiling = terms.scaled(terms.least // NANO), terms.scaled(terms.greatest // NANO)
            answers = (-(2**255), -1, 0, 1, floor, floor + 10**9, ceiling - 1, ceiling, 10**26 + 1, 2**255 - 1)
            times = (0, NOW - terms.heartbeat - 1, NOW - terms.heartbeat, NOW, NOW + 1, 2**256 - 1)
            changes = NOW - terms.grace - 1, NOW - terms.grace
            rounds = [(good._replace(answer=answer), up) for answer in answers]
            rounds += [(good._replace(updated_at=time), up) for time in times]
            rounds += [(good._replace(answered_in=n), up) for n in (good.round_id - 1, good.round_id + 1, 2**80)]
            rounds += [(good, up._replace(answer=answer)) for answer in (1, -1)]
            rounds += [(good, up._replace(started_at=time)) for time in (*times, *changes)]
            for last, status in [(good, up), *rounds]:
                aggregator.set_answer(words(*last), sender=self.owner)
                sequencer.set_answer(words(*status), sender=self.owner)
                said, expected = tuple(chain.call_at(source.spot, NOW)), terms.spot(last, status, NOW)
                if said != expected:
                    yield f"{last} and {status}: {said} instead of {expected}"
            sequencer.set_answer(words(*up), sender=self.owner)
            yield from self.manners(aggregator, words(*good), source)
            yield from self.beginning(aggregator, sequencer, source, terms)

    def manners(self, asked: Any, answer: bytes, source: Any) -> Iterator[str]:
        """Short answers, reverts with a good one, one that took too long, and every amount of gas."""
        for change in (does(0, answer[:-1]), does(REVERTS, answer), does(LINGERS, answer)):
            change(asked, self.owner)
            if chain.call_at(source.spot, NOW)[3]:
                yield "usable without an answer"
        does(BURNS)(asked, self.owner)
        if with_gas(source.spot, SPOT_GAS, NOW) is None:
            yield "reverts where the gas is burnt"
        does(0, answer)(asked, self.owner)
        if not chain.call_at(source.spot, NOW)[3]:
            yield "not usable with an answer"
        # Six cold words of the first feed, and the share of the second.
        for gas in range(2_000, 6 * 2_100 + FEED_GAS, 500):
            if with_gas(source.spot, gas, NOW) is not None:
                yield f"an answer with {gas} gas, which is less than a feed may use"

    def beginning(self, aggregator: Any, sequencer: Any, source: Any, terms: ChainlinkTerms) -> Iterator[str]:
        """A round without a time, on a chain that is no older than the heartbeat."""
        now = terms.heartbeat
        sequencer.set_answer(words(*terms.up(now)._replace(started_at=1)), sender=self.owner)
        last = terms.good(now)._replace(updated_at=0)
        aggregator.set_answer(words(*last), sender=self.owner)
        if chain.call_at(source.spot, now)[3]:
            yield "usable without a time"

    def pyth(self, bytecode: dict[str, str]) -> Iterator[str]:
        terms = PythTerms()
        pyth = rude(self.contracts, self.owner)
        arguments = (pyth, b"\x01" * 32, terms.max_age, terms.widest)
        source = planting.deploy(self.contracts, self.owner, PYTH, bytecode, *arguments)
        good = terms.good()
        prices = [good._replace(price=price) for price in (-(2**63), -1, 0, 1, 2**63, 2**255 - 1)]
        prices += [good._replace(conf=conf) for conf in (0, 1, 20 * 10**8, 20 * 10**8 + 1, 2**64, 2**256 - 1)]
        times = (0, NOW - terms.max_age - 1, NOW - terms.max_age, NOW, NOW + 1, 2**256 - 1)
        prices += [good._replace(publish_time=time) for time in times]
        prices += [PythPrice(1, 0, expo, NOW) for expo in (-10, -9, 8, 9, 70, 2**31 - 1)]
        prices += [PythPrice(9 * 10**18, 0, expo, NOW) for expo in (-27, -28, -90, -9, 0)]
        prices += [PythPrice(10**8, 0, 0, NOW), PythPrice(10**8 + 1, 0, 0, NOW), PythPrice(2**63, 0, -20, NOW)]
        prices += [PythPrice(10**10 + 7, 3, -11, NOW), PythPrice(10**18 + 1, 2**64, -20, NOW)]
        prices += [PythPrice(3 * 10**11, 7, -8, NOW), PythPrice(10**12, 10**10 + 1, -9, NOW)]
        for price in [good, *prices]:
            pyth.set_answer(words(*price), sender=self.owner)
            said, expected = tuple(chain.call_at(source.spot, NOW)), terms.spot(price, NOW)
            if said != expected:
                yield f"{price}: {said} instead of {expected}"
        # On a chain that is no older than the age.
        pyth.set_answer(words(*good._replace(publish_time=0)), sender=self.owner)
        if chain.call_at(source.spot, terms.max_age)[3]:
            yield "usable without a time"

    def peg(self, bytecode: dict[str, str]) -> Iterator[str]:
        spot = (12 * NANO // 10, 0, 0, 1)
        source, rate = (rude(self.contracts, self.owner, words(*answer)) for answer in (spot, (12 * 10**5,)))
        arguments = (source, rate, bytes(4), 6, 18, WAD // 100)
        feed = planting.deploy(self.contracts, self.owner, PEG, bytecode, *arguments)
        begun = int(self.ape_chain.blocks.head.timestamp)
        expected = {
            # Seconds, market, whether it is usable, rate at 1e-18: the peg at 1e-18, and whether it is fresh.
            (0, NANO, 1, WAD): (WAD, True),
            (0, 9 * NANO // 10, 1, 12 * WAD // 10): (75 * WAD // 100, True),
            (0, 12 * NANO // 10, 1, 24 * WAD // 10): (WAD, True),
            (86_400, 12 * NANO // 10, 1, 24 * WAD // 10): (WAD * 100 // 101, True),
            (864_000, 12 * NANO // 10, 1, 24 * WAD // 10): (WAD * 100 // 101, True),
            (0, 9 * NANO, 1, WAD): (2 * WAD, True),
            (0, 9 * NANO, 0, WAD): (WAD, False),
            (0, 9 * NANO // 10, 1, 0): (75 * WAD // 100, False),
            (0, 9 * NANO // 10, 1, 2**268 - 1): (75 * WAD // 100, False),
        }
        for (seconds, market, usable, said), answer in expected.items():
            source.set_answer(words(market, 0, 0, usable), sender=self.owner)
            rate.set_answer(words(said // 10**12), sender=self.owner)
            got = tuple(chain.call_at(feed.peg, begun + seconds))
            if got != answer:
                yield f"{market, usable, said} after {seconds}: {got} instead of {answer}"


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    return Bench(project_contracts, deployer, ape_chain)


builds = planting.builds_of(DEFECTS, {name: f"feeds/{name}" for name in (CHAINLINK, PYTH, PEG)})


@pytest.mark.parametrize("contract", [CHAINLINK, PYTH, PEG])
def test_true_contracts_say_what_is_computed(bench: Bench, builds: planting.Builds, contract: str) -> None:
    assert bench.first_difference(contract, builds[contract].result()) is None


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_noticed(bench: Bench, builds: planting.Builds, defect: Defect) -> None:
    difference = bench.first_difference(defect.rebuilds.removeprefix("feeds/"), builds[defect.name].result())
    assert difference is not None, f"{defect.name}: no answer told the defect from the true contract"
    print(difference)
