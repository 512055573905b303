"""Funding and settlement prices: one planted defect at a time must make contract and model differ on fixed courses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ape.exceptions import ContractLogicError

from python_model import funding, settlement
from scripts import chain
from tests.differential import planting
from tests.differential.perpetual import HOUSE, NAME, Trade, differences
from tests.differential.planting import Defect
from tests.unit.market_data.course import (
    EIGHT,
    LATE,
    USD,
    Course,
    State,
    arrays,
    funding_tolerance,
    mean_tolerance,
)
from tests.unit.market_data.updates import DAY, FALL, HEARTBEAT, RISE, Expiry, Terms

pytestmark = [pytest.mark.differential, pytest.mark.slow]

DATA, ENGINE = "MarketData", "MarginEngine"
FUNDING, SETTLEMENTS, PORTFOLIO = "modules/funding.vy", "modules/settlements.vy", "modules/portfolio.vy"

DEFECTS = [
    Defect("sign of funding", FUNDING, "premium * min(elapsed", "-premium * min(elapsed", DATA),
    Defect("greatest premium", FUNDING, "(int256) = 200", "(int256) = 201", DATA),
    Defect("least premium", FUNDING, ", limit), -limit)", ", limit), -spot)", DATA),
    Defect("funding of stale data", FUNDING, "premium * min(elapsed, heartbeat_seconds)", "premium * elapsed", DATA),
    Defect("period of funding", FUNDING, "int256) = 8 * 3600", "int256) = 24 * 3600", DATA),
    Defect("funding forgets", FUNDING, "return self._accruals[underlying] + premium", "return premium", DATA),
    Defect("mark of the perpetual", FUNDING, "(head >> 112)", "(head >> 184)", DATA),
    Defect("funding in the equity", PORTFOLIO, "unsafe_sub(perp_mark, paid)", "unsafe_add(perp_mark, paid)", ENGINE),
    Defect(
        "funding in the risk",
        PORTFOLIO,
        "linear = unsafe_div(unsafe_mul(perps, perp_mark)",
        "linear = unsafe_div(unsafe_mul(perps, unsafe_sub(perp_mark, paid))",
        ENGINE,
    ),
    Defect("opening of the window", SETTLEMENTS, "(uint256) = 1800", "(uint256) = 1801", DATA),
    Defect("time of day", SETTLEMENTS, "uint256) = 8 * 3600", "uint256) = 8 * 3600 + 1", DATA),
    Defect("start of the overlap", SETTLEMENTS, "expiry) - max(start, opening)", "expiry) - opening", DATA),
    Defect("end of the overlap", SETTLEMENTS, "min(timestamp, expiry) - max", "timestamp - max", DATA),
    Defect("08:00 itself", SETTLEMENTS, "(start + DAY - TIME_OF_DAY) //", "(start + DAY - TIME_OF_DAY - 1) //", DATA),
    Defect("days of a gap", SETTLEMENTS, "        expiry += DAY", "        expiry += 2 * DAY", DATA),
    Defect("final too late", SETTLEMENTS, "if timestamp >= expiry:", "if timestamp > expiry:", DATA),
    Defect("final too early", SETTLEMENTS, "if timestamp >= expiry:", "if timestamp >= opening:", DATA),
    Defect("spot that is fixed", SETTLEMENTS, "(head >> 184) * (now - start)", "forward * (now - start)", DATA),
    Defect("seconds that are open", SETTLEMENTS, "forward * (expiry - now)", "forward * (expiry - start)", DATA),
    Defect("part that is covered", SETTLEMENTS, "& (2**31 - 1)) + expiry - start)", "& (2**31 - 1)) + WINDOW)", DATA),
    Defect("sum before the head", SETTLEMENTS, "fixed: uint256 = (window >> 32) + ", "fixed: uint256 = ", DATA),
    Defect("no forward after 08:00", SETTLEMENTS, "max(min(block.timestamp, expiry)", "max(block.timestamp", DATA),
    Defect("age of what is settled", "MarketData.vy", "is_fresh or is_final", "is_fresh", DATA),
]

# Through a window, to the second of an expiry, over a gap into another window, and on. Premiums within and beyond both
# limits, gaps below and above the heartbeat.
WHOLE = [
    State(EIGHT - 2400, 2000 * USD, 2004 * USD),
    State(EIGHT - 1900, 2021 * USD, 2090 * USD),
    State(EIGHT - 1200, 2080 * USD, 2079 * USD),
    State(EIGHT - 700, 1950 * USD, 1800 * USD),
    State(EIGHT - 1, 1990 * USD, 1991 * USD),
    State(EIGHT, 2033 * USD, 2030 * USD),
    State(EIGHT + 400, 2010 * USD, 2013 * USD),
    State(EIGHT + 3 * DAY - 900, 1700 * USD, 1702 * USD),
    State(EIGHT + 3 * DAY + 50, 1720 * USD, 1719 * USD),
]
COURSES = {
    "whole": WHOLE,
    "from inside a window": WHOLE[3:],
    "from 08:00": WHOLE[5:],
}
TRADES = [
    Trade(EIGHT - 2300, 0, 1, 7_500_000, 2001 * USD),
    Trade(EIGHT - 1000, 2, 0, 2_500_000, 2070 * USD),
    Trade(EIGHT - 650, 1, 2, 1_000_001, 1900 * USD),
    Trade(EIGHT + 410, 0, 2, 4_000_000, 2010 * USD),
]
# Moments after a state, in both directions around the heartbeat and the ends of a window.
MOMENTS = (0, 1, 99, 100, 101, HEARTBEAT - 1, HEARTBEAT, HEARTBEAT + 1, 899, 901)
DAYS = [EIGHT + i * DAY for i in range(4)]
FORWARD = 2044 * USD


def look(course: Course, engine: Any, known: list[State], trades: list[Trade], until: int) -> Iterator[str]:
    """What differs while the last of the known states is in force."""
    times, spot, mark = arrays(known)
    tolerance = mean_tolerance(known, FORWARD)
    for day in DAYS:
        want = settlement.settlement_price(times, spot, day)
        price, is_final = course.settlement(day)
        if is_final != (want is not None) or abs(price / USD - (want or 0.0)) > tolerance:
            yield f"settlement of {day}: contract {(price / USD, is_final)}, model {want}"
        if want is not None and not course.fresh(day, known[-1].time):
            yield f"settled at {day}, and not fresh"
    for time in (known[-1].time + after for after in MOMENTS):
        if time >= until:
            continue
        paid = float(funding.accumulated(times, mark, spot, time, HEARTBEAT))
        if abs(course.funding(time) / 1e18 - paid) > funding_tolerance(known, HEARTBEAT):
            yield f"funding at {time}: contract {course.funding(time) / 1e18!r}, model {paid!r}"
        for day in DAYS:
            fixed = settlement.partly_fixed_forward(times, spot, day, time, FORWARD / USD)
            if abs(course.forward(day, time) / USD - fixed) > tolerance:
                yield f"forward of {day} at {time}: contract {course.forward(day, time) / USD!r}, model {fixed!r}"
    if trades:
        time = min(until - 1, known[-1].time + HEARTBEAT // 2)
        yield from differences(engine, course, known, trades, time, HEARTBEAT)


@dataclass(frozen=True)
class Bench:
    """True contracts, and whatever build of them is asked."""

    contracts: Any
    deployment: chain.Deployment
    ape_chain: Any

    def first_difference(self, bytecode: dict[str, str]) -> str | None:
        """Where a build first differs from the model."""
        true = self.deployment
        with self.ape_chain.isolate():
            self.ape_chain.pending_timestamp = LATE
            data = planting.deploy(self.contracts, true.sender, DATA, bytecode, RISE, FALL)
            data.set_publisher(true.sender, True, sender=true.sender)
            for i in range(len(COURSES)):
                data.set_terms(i + 1, Terms(), sender=true.sender)
            methodology = true.engines[HOUSE.name].methodology()
            engine = planting.deploy(
                self.contracts,
                true.sender,
                ENGINE,
                bytecode,
                data,
                methodology,
                true.kernel,
                chain.ALL_PASSES,
                chain.NO_TAILS,
            )
            found = (text for i, name in enumerate(COURSES) for text in self.course(data, engine, i + 1, name))
            try:
                return next(found, None)
            except (RuntimeError, ContractLogicError) as error:
                return f"reverts: {error}"

    def course(self, data: Any, engine: Any, underlying: int, name: str) -> Iterator[str]:
        """Publish a course, and look after each of its states."""
        course = Course(data, self.deployment.sender, underlying)
        states = COURSES[name]
        trades: list[Trade] = []
        for i, state in enumerate(states):
            course.publish(state, *(Expiry(day, FORWARD) for day in DAYS if day > state.time - DAY))
            until = states[i + 1].time if i + 1 < len(states) else state.time + DAY
            trades += [t.entered(course) for t in TRADES if state.time <= t.time < until]
            for text in look(course, engine, states[: i + 1], trades, until):
                yield f"{name}: {text}"


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """The true contracts, without data."""
    return Bench(project_contracts, chain.deploy_engine(project_contracts, deployer, [HOUSE], {NAME: 1}), ape_chain)


builds = planting.builds_of(DEFECTS, {contract: contract for contract in (DATA, ENGINE)})


def test_true_contracts_agree_with_the_model(bench, builds):
    assert bench.first_difference({contract: builds[contract].result() for contract in (DATA, ENGINE)}) is None


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_noticed(bench, builds, defect):
    difference = bench.first_difference({defect.rebuilds: builds[defect.name].result()})
    assert difference is not None, f"{defect.name}: no course told the defect from the true contracts"
    print(difference)
