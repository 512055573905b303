"""Market data that are guarded and move: one planted defect at a time must be seen on a fixed course of updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ape.exceptions import ContractLogicError
from eth_abi.abi import encode

from python_model import liquidity, ramp, volatility
from scripts import chain
from tests.differential import planting
from tests.differential.planting import Defect
from tests.unit.market_data.course import DAY, USD
from tests.unit.market_data.updates import FALL, NOW, RISE, Expiry, Surface, Terms, Update

pytestmark = [pytest.mark.differential, pytest.mark.slow]

DATA = "MarketData"
DYNAMICS, GUARD, LIQUIDITY, WIRING = (
    "modules/dynamics.vy",
    "modules/oracle_guard.vy",
    "libraries/liquidity.vy",
    "MarketData.vy",
)
DEFECTS = [
    Defect("ln 2", DYNAMICS, "693_147_180_559_945_309", "683_147_180_559_945_309", DATA),
    Defect(
        "speed of depth", DYNAMICS, "DEPTH_SPEED: constant(uint256) = 14", "DEPTH_SPEED: constant(uint256) = 15", DATA
    ),
    Defect("rises as it falls", DYNAMICS, "unsafe_mul(elapsed, rise)", "unsafe_mul(elapsed, fall)", DATA),
    Defect("falls as it rises", DYNAMICS, "unsafe_mul(elapsed, fall)", "unsafe_mul(elapsed, rise)", DATA),
    Defect("no ramp", DYNAMICS, "min(target, unsafe_add(start, unsafe_mul(elapsed, rise)))", "target", DATA),
    Defect(
        "overshoots",
        DYNAMICS,
        "min(unsafe_sub(start, target), unsafe_mul(elapsed, fall))",
        "unsafe_mul(elapsed, fall)",
        DATA,
    ),
    Defect("depth overshoots", DYNAMICS, "min(unsafe_sub(start, target), reach)", "reach", DATA),
    Defect(
        "bends from its target",
        DYNAMICS,
        "self._course(self._scan_range(course), target,",
        "self._course(self._target_of(course), target,",
        DATA,
    ),
    Defect("length of a day", DYNAMICS, "uint256) * DAY // elapsed", "uint256) * (DAY - 60) // elapsed", DATA),
    Defect(
        "weights",
        DYNAMICS,
        "self._variances[underlying] * weight + square // WAD * (WAD - weight)",
        "self._variances[underlying] * (WAD - weight) + square // WAD * weight",
        DATA,
    ),
    Defect("direction of the return", DYNAMICS, "spot * WAD // before", "spot * WAD // max(spot, before)", DATA),
    Defect("initial volatility", DYNAMICS, "deviation * deviation // WAD", "deviation", DATA),
    Defect("clamp", DYNAMICS, "least), most)", "least), 2 * most)", DATA),
    Defect("floor", DYNAMICS, "// WAD, least), most)", "// WAD, 1), most)", DATA),
    Defect(
        "timestamp of the average",
        WIRING,
        "update.timestamp - (head & BITS_32),",
        "block.timestamp - (head & BITS_32),",
        DATA,
    ),
    Defect("knee of the depth", LIQUIDITY, "cap // 2", "cap // 3", DATA),
    Defect("least depth", LIQUIDITY, "= 250_000", "= 260_000", DATA),
    Defect("depth rounded up", LIQUIDITY, "* excess + cap - 1) // cap", "* excess) // cap", DATA),
    Defect("missing leg is believed", GUARD, "outside.word(answer, 3) != 1", "outside.word(answer, 3) == 7", DATA),
    Defect("confidence of the other", GUARD, "max(apart, reach) - reach", "apart", DATA),
    Defect("nearer than it is", GUARD, "max(confidence, max(apart, reach) - reach)", "confidence", DATA),
    Defect("jump is measured from the new price", GUARD, "<= other * jump", "<= spot * jump", DATA),
    Defect("confirmed at once", GUARD, "timestamp < since + confirmation", "timestamp < since", DATA),
    Defect(
        "candidate is what was before",
        GUARD,
        "self._candidates[underlying] = (spot << 32)",
        "self._candidates[underlying] = (head >> 184 << 32)",
        DATA,
    ),
    Defect("an old candidate", GUARD, "since > head & (2**32 - 1) and self", "self", DATA),
    Defect(
        "widest",
        WIRING,
        "if confidence > market_terms._widest(guard)",
        "if confidence > 2 * market_terms._widest(guard)",
        DATA,
    ),
    Defect("a doubt is forgotten", WIRING, "[update.underlying][1] = word | 1", "[update.underlying][1] = word", DATA),
    Defect("a doubt does not matter", WIRING, "        and word & 1 == 0\n", "", DATA),
    Defect("a doubt stays", WIRING, "& ~course.REST) | (", "& ~course.REST) | (word & 1) | (", DATA),
    Defect("confidence while stale", WIRING, "= 5 * 10**10", "= 4 * 10**10", DATA),
    Defect("age of a surface", WIRING, "unsafe_add(now, (pair[0] >> 32) & BITS_32) <=", "unsafe_add(now, 0) <=", DATA),
]

ONE = 10**12
SPOT = 2000 * USD
CAP = 7_777_777
# A cap that the course reaches.
TERMS = volatility.Terms(cap=0.18, rise=RISE / ONE, fall=FALL / ONE)


@dataclass(frozen=True)
class Step:
    """An update, what the second source and the house say at its time, and what becomes of it."""

    after: int
    lag: int
    spot: int
    confidence: int
    other: int
    usable: int
    doubt: int = 0
    width: int = 0
    full: int = 0


# The guard: a leg is missing, prices apart, too wide, a jump, one too early, another one, confirmed; and calm days.
STEPS = [
    Step(0, 0, SPOT, 10**9, SPOT, 1),
    Step(3600, 0, SPOT * 97 // 100, 10**9, SPOT * 97 // 100, 1),
    Step(3600, 300, SPOT * 105 // 100, 10**9, SPOT * 105 // 100, 1),
    Step(60, 0, SPOT * 105 // 100, 10**9, SPOT * 105 // 100, 0, doubt=1),
    Step(60, 0, SPOT * 105 // 100, 10**9, SPOT * 106 // 100, 1, width=4 * 10**9),
    Step(60, 0, SPOT * 105 // 100, 10**9, SPOT * 109 // 100, 1, doubt=2),
    Step(60, 0, SPOT * 105 // 100, 25 * 10**9, SPOT * 105 // 100, 1, doubt=2),
    Step(60, 0, SPOT * 105 // 100, 10**9, SPOT * 105 // 100, 1),
    # A fall of 10.5%, which is 11.7% of what it falls to.
    Step(600, 0, SPOT * 94 // 100, 10**9, SPOT * 94 // 100, 1, doubt=3),
    Step(59, 0, SPOT * 94 // 100, 10**9, SPOT * 94 // 100, 1, doubt=3),
    Step(1, 0, SPOT * 94 // 100, 10**9, SPOT * 94 // 100, 1),
    # A rise of 10.5% is one of 9.5% backwards.
    Step(600, 0, SPOT * 1039 // 1000, 10**9, SPOT * 1039 // 1000, 1, doubt=3),
    Step(600, 0, SPOT * 94 // 100, 10**9, SPOT * 94 // 100, 1),
    # What was contradicted confirms nothing.
    Step(600, 0, SPOT * 1039 // 1000, 10**9, SPOT * 1039 // 1000, 1, doubt=3),
    Step(600, 0, SPOT * 94 // 100, 10**9, SPOT * 94 // 100, 1),
    Step(10 * 3600, 0, SPOT * 90 // 100, 10**9, SPOT * 90 // 100, 1),
    Step(40 * 3600, 0, SPOT * 90 // 100, 10**9, SPOT * 90 // 100, 1, full=CAP * 45 // 100),
    Step(30 * DAY, 0, SPOT * 90 // 100, 10**9, SPOT * 90 // 100, 1, full=CAP * 2 // 3),
    Step(30 * DAY, 0, SPOT * 91 // 100, 10**9, SPOT * 91 // 100, 1, full=CAP),
    Step(3600, 0, SPOT * 91 // 100, 10**9, SPOT * 91 // 100, 1, full=CAP * 3 // 5),
]
HEARTBEAT, SURFACE_HEARTBEAT = 600, 500


@dataclass(frozen=True)
class Stage:
    """Market data of some build, its second source and its house; and an expiry after all steps."""

    data: Any
    source: Any
    house: Any
    sender: Any
    ape_chain: Any
    expiry: int = NOW + 100 * DAY

    def look(self) -> Iterator[str]:
        """What differs from the model, or from what the guard is to do, step by step."""
        data, sender = self.data, self.sender
        terms = chain.terms(TERMS, (self.source, 2 * ONE // 100, ONE // 10, 60))[3:]
        data.set_terms(2, Terms(HEARTBEAT, HEARTBEAT, SURFACE_HEARTBEAT, *terms), sender=sender)
        data.set_depth_source(self.house, sender=sender)
        state: volatility.State | None = None
        ranges, depth = ramp.Ramp(NOW, TERMS.initial, TERMS.initial, TERMS.rise, TERMS.fall), liquidity.first(NOW)
        time = NOW
        for i, step in enumerate(STEPS):
            time += step.after
            answer = encode(["uint256"] * 4, [step.other, 5 * 10**9 if step.width else 0, time, step.usable])
            self.source.set_answer(answer, sender=sender)
            self.house.fill(2, step.full, CAP, sender=sender)
            self.ape_chain.pending_timestamp = time
            update = Update(2, time - step.lag, step.spot, step.spot, step.confidence, self.expiries(time - step.lag))
            receipt = data.publish(update, sender=sender)
            doubts = [event.doubt for event in receipt.decode_logs(data.UpdateDoubted)]
            if doubts != ([step.doubt] if step.doubt else []):
                yield f"step {i}: doubts {doubts}"
                return
            words, fresh = chain.call_at(data.read, time, 2, [])
            if fresh != (not step.doubt):
                yield f"step {i}: fresh {fresh}"
            width = (words[0] >> 72) % 2**40
            expected = max(step.confidence, 5 * 10**10) if step.doubt else (step.width or step.confidence)
            if abs(width - expected) > ONE // 1000 * bool(step.width):
                yield f"step {i}: confidence {width}, expected {expected}"
            if step.doubt:
                continue
            price = step.spot / USD
            if state is None:
                state = volatility.State.first(time - step.lag, price, TERMS)
            else:
                state = state.accepted(time - step.lag, price, TERMS)
            variance = chain.call_at(data.dynamics, time, 2).variance / 10**18
            # Rounded up by less than two units of 1e-18 with each update; see `test_dynamics.tolerance`.
            if not -1e-15 <= variance - state.variance <= 1e-15:
                yield f"step {i}: variance {variance}, model {state.variance}"
            ranges = ranges.aim(time, float(volatility.target(state.variance, TERMS)))
            depth = depth.aim(time, float(liquidity.depth_target(liquidity.utilisation(step.full, CAP))))
            for after in (0, 1, 1800, 9 * 3600, 40 * DAY):
                words, _ = chain.call_at(data.read, time + after, 2, [])
                scan_range, share = (words[0] >> 32) % 2**40 / ONE, words[0] % 2**32 / 10**6
                if abs(scan_range - ranges.at(time + after)) > (i + 2) * 1e-12:
                    yield f"step {i} + {after}: scan range {scan_range}, model {ranges.at(time + after)}"
                # Rounded down to 1e-6 once as target.
                if not -1.001e-6 <= share - depth.at(time + after) <= 1e-12:
                    yield f"step {i} + {after}: depth {share}, model {depth.at(time + after)}"
            until = time - step.lag + SURFACE_HEARTBEAT
            if not chain.call_at(data.read, until, 2, [self.expiry])[1]:
                yield f"step {i}: the surface is stale too early"
            if chain.call_at(data.read, until + 1, 2, [self.expiry])[1]:
                yield f"step {i}: the surface is stale too late"

    def expiries(self, timestamp: int) -> tuple[Expiry, ...]:
        """A surface calibrated at the update."""
        return (Expiry(self.expiry, surface=Surface(ref_seconds=self.expiry - timestamp)),)


@dataclass(frozen=True)
class Bench:
    """True contracts, and whatever build of market data is asked."""

    contracts: Any
    deployer: Any
    ape_chain: Any

    def first_difference(self, bytecode: dict[str, str]) -> str | None:
        """Where a build first differs from the model."""
        with self.ape_chain.isolate():
            data = planting.deploy(self.contracts, self.deployer, DATA, bytecode, RISE, FALL)
            data.set_publisher(self.deployer, True, sender=self.deployer)
            source = self.deployer.deploy(self.contracts.RudeSource)
            house = self.deployer.deploy(self.contracts.FullHouse)
            try:
                return next(Stage(data, source, house, self.deployer, self.ape_chain).look(), None)
            except (RuntimeError, ContractLogicError) as error:
                return f"reverts: {error}"


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """The true contracts."""
    return Bench(project_contracts, deployer, ape_chain)


builds = planting.builds_of(DEFECTS)


def test_the_true_contract_agrees_with_the_model(bench):
    assert bench.first_difference({}) is None


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_noticed(bench, builds, defect):
    difference = bench.first_difference({defect.rebuilds: builds[defect.name].result()})
    assert difference is not None, f"{defect.name}: the course did not tell the defect from the true contract"
    print(difference)
