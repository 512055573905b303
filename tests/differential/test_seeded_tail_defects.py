"""Defects planted in the contracts of the tail, each of which the comparison with the model must notice.

A defect that no situation tells from the true contracts would be one that the tests of the tail cannot see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from python_model import methodology
from python_model.portfolio import Book, Collateral, Kind, Mode, Position
from python_model.scenario_set import ScenarioSet
from scripts import chain, normal_table
from tests.differential import planting
from tests.differential.planting import Defect
from tests.differential.tail_comparison import (
    DAY,
    Differences,
    Setting,
    deploy,
    draw,
    in_fours,
    of_rows,
)
from tests.differential.test_seeded_defects import LEGS as GRID_LEGS
from tests.differential.test_seeded_defects import MARKET, dated
from tests.model.books import NOW, future, option, perp

pytestmark = [pytest.mark.differential, pytest.mark.slow]

KERNEL, SCAN, ENGINE, HARNESS = "TailKernel", "TailScan", "TailEngine", "mocks/TailHarness"
TAIL, MOVES, HISTORY, PORTFOLIO = (
    "libraries/tail.vy",
    "libraries/moves.vy",
    "libraries/history.vy",
    "modules/portfolio.vy",
)

DEFECTS = [
    Defect(
        "index of the tail off by one", TAIL, "return largest[last], total", "return largest[last - 1], total", SCAN
    ),
    Defect("one loss too few in the tail", TAIL, "last: uint256 = k - 1", "last: uint256 = k - 2", SCAN),
    Defect("losses not sorted", TAIL, "if largest[at - 1] >= loss:", "if largest[at - 1] <= loss:", SCAN),
    Defect("smaller losses do not give way", TAIL, "largest[at] = largest[at - 1]", "largest[at] = loss", SCAN),
    Defect("gains for losses", TAIL, "loss: int256 = unsafe_sub(0, profit)", "loss: int256 = profit", SCAN),
    Defect("rows behind the last count", TAIL, " and row < count:", ":", HARNESS),
    Defect("shortfall rounded down", TAIL, "if total > 0:", "if total < 0:", HARNESS),
    Defect("no filter", SCAN + ".vy", "dynamics.variance * horizon_seconds * WAD", "horizon_seconds * WAD * WAD", SCAN),
    Defect(
        "variance for volatility",
        SCAN + ".vy",
        "isqrt(dynamics.variance * horizon_seconds * WAD // DAY)",
        "dynamics.variance * horizon_seconds // DAY",
        SCAN,
    ),
    Defect(
        "horizon left out",
        SCAN + ".vy",
        "dynamics.variance * horizon_seconds * WAD // DAY",
        "dynamics.variance * WAD",
        SCAN,
    ),
    Defect("cap for the floor", MOVES, "        return -MAX_FALL", "        return MAX_RISE", SCAN),
    Defect("no cap", MOVES, "if moved > MAX_RISE:", "if moved > 100 * MAX_RISE:", SCAN),
    Defect("x for y", MOVES, "| (row & (2**32 - 1))", "| ((row >> 32) & (2**32 - 1))", SCAN),
    Defect("second term of the logarithm", MOVES, "1050 * SCALE", "150 * SCALE", SCAN),
    Defect("a row twice", MOVES, "row = row >> 64", "row = row << 64 >> 64", SCAN),
    Defect("a linear row twice", SCAN + ".vy", "moves.price(four >> 64, unit)", "moves.price(four, unit)", SCAN),
    Defect(
        "one row of the joint sum", SCAN + ".vy", "unsafe_add(sum[2], four[2])", "unsafe_add(sum[2], four[1])", SCAN
    ),
    Defect(
        "collateral out of the grid",
        SCAN + ".vy",
        "            if h.underlying == u:",
        "            if h.underlying == 0:",
        SCAN,
    ),
    Defect(
        "sign of a vol move",
        HISTORY,
        "four[1] << 224, bytes32), int256) >> 224, reach), MILLION",
        "four[1] << 224, bytes32), int256) >> 224, reach), -MILLION",
        KERNEL,
    ),
    Defect(
        "h(tau) left out", HISTORY, "unsafe_mul(root, expiry.vol_scale), WAD)", "unsafe_mul(root, WAD), WAD)", KERNEL
    ),
    Defect(
        "one cell",
        HISTORY,
        "debts[2], unsafe_mul(o.debt, unsafe_add",
        "debts[1], unsafe_mul(o.debt, unsafe_add",
        KERNEL,
    ),
    Defect("put parity", HISTORY, "[-puts, -puts, -puts, -puts]", "[-puts, -puts, -puts, puts]", KERNEL),
    Defect("least vol", HISTORY, "MIN_VOL: constant(uint256) = 10**16", "MIN_VOL: constant(uint256) = 10**15", KERNEL),
    Defect("a vol below nothing", HISTORY, "scales[r] = 0", "scales[r] = 2**100", KERNEL),
    Defect("the step at expiry", HISTORY, "if expiry.forward > strike:", "if expiry.forward < strike:", KERNEL),
    Defect("what there was is lost", HISTORY, "rest[3],", "0,", KERNEL),
    Defect("tail left out of a share", PORTFOLIO, "max(r.scan, tail)", "r.scan", ENGINE),
    Defect("smaller of the two scans", ENGINE + ".vy", "scan: int256 = max(", "scan: int256 = min(", ENGINE),
    Defect("credit left out", ENGINE + ".vy", "grid - portfolio._credit(scans)", "grid", ENGINE),
    Defect("shares for the whole", ENGINE + ".vy", "book, larger - scan)", "book, larger - grid)", ENGINE),
]
BUILT = (KERNEL, SCAN, ENGINE)

# --- situations ------------------------------------------------------------------------------------------------------

C, P = Kind.CALL, Kind.PUT
LEGS: dict[str, tuple[Position, ...]] = {
    "puts": (option("ETH", P, 30, 0.95, -4.0), option("ETH", P, 7, 1.0, 2.0)),
    "calls of two": (option("ETH", C, 30, 1.0, -4.0), option("BTC", C, 180, 1.1, -0.2)),
    "straddle": (option("ETH", C, 7, 1.0, -4.0), option("ETH", P, 7, 1.0, -4.0)),
    "long straddles": tuple(option(n, k, 30, 1.0, 2.0) for n in ("ETH", "SOL") for k in (C, P)),
    "far strikes": (option("ETH", C, 180, 2.5, 10.0), option("ETH", P, 1, 0.4, -3.0), option("ETH", C, 1, 3.0, -80.0)),
    "pair": (perp("ETH", 35.0, 1950.0), perp("BTC", -1.0, 71_000.0)),
    "call on a future": (option("ETH", C, 30, 1.05, -4.0), future("ETH", 30, 2.0, 2000.0), perp("ETH", 1.0, 2000.0)),
    "at expiry": (option("ETH", C, 0, 1.0, 2.0), option("ETH", C, 0, 0.9, 1.0), option("ETH", P, 0, 1.2, -1.5)),
    **{name: tuple(GRID_LEGS[name]) for name in ("within hours", "calm")},
    "bought calm": tuple(dated("SOL", kind, 14 * 86_400, 100.2, 100.0) for kind in (C, P)),
}
ETHER = (Collateral(4.5, 2000.0, "ETH", 0.06, 0.04),)
NAMES = chain.ids(MARKET.underlyings)


def rows(count: int) -> ScenarioSet:
    """Random rows, then two in which only vols fall, and at last the worst there can be."""
    x, y = draw(7, tuple(NAMES), count)
    x[-5:], y[-5:] = np.array([[0.0, 0.0, -50.0, 50.0, -4.0]]).T, np.array([[-0.6, -0.9, 0.5, -0.95, 1.0]]).T
    return of_rows(tuple(NAMES), x, y)


SETTINGS = {
    "house": Setting(methodology.load("house"), rows(50), 3),
    "var": Setting(methodology.load("var"), rows(49), 2, 10 * DAY),
}
BOOKS = {
    **{
        f"{name}, {setting}": (Book(Mode.PORTFOLIO, 1e4, (), legs), setting)
        for name, legs in LEGS.items()
        for setting in SETTINGS
    },
    "covered call": (Book(Mode.PORTFOLIO, 0.0, ETHER, (option("ETH", C, 30, 1.1, -4.0),)), "var"),
    "everything": (Book(Mode.PORTFOLIO, 0.0, ETHER, tuple(p for legs in LEGS.values() for p in legs)), "house"),
}
# Sums that k does not divide, of gains and of losses; and a last four that is not full.
VECTORS = ([-3, -2, -2, 9, -1], [1, 2, 2, 5, 8, 9])


@dataclass
class Bench:
    """One market on the chain, and whatever build of the contracts is asked about it."""

    contracts: Any
    deployment: chain.Deployment
    clock: chain.Clock
    true_kernel: Any
    engines: dict[tuple[str, str], Any] = field(default_factory=dict)

    def deploy(self, contract: str, bytecode: dict[str, str], *arguments: Any) -> Any:
        """A contract, from other bytecode where that is given; the interface is that of the true one."""
        return planting.deploy(self.contracts, self.deployment.sender, contract, bytecode, *arguments)

    def engine(self, name: str, bytecode: dict[str, str]) -> Any:
        """A tail engine of a setting, and what it reads, from the bytecode given and else of the true contracts."""
        kernel = self.true_kernel
        if KERNEL in bytecode:
            kernel = self.deploy(KERNEL, bytecode, normal_table.words())

        def create(contract: str, *arguments: Any) -> Any:
            return self.deploy(contract, bytecode, *arguments)

        kernels = (self.deployment.kernel, kernel)
        return deploy(create, SETTINGS[name], NAMES, self.deployment.market_data, kernels)

    def differences(self, bytecode: dict[str, str]) -> Iterator[tuple[str, str | None]]:
        """Situation by situation, what differs from the model first."""
        if HARNESS in bytecode:
            harness = self.deploy("TailHarness", {"TailHarness": bytecode[HARNESS]})
            for pnl in VECTORS:
                losses = sorted((-profit for profit in pnl), reverse=True)
                want = (losses[2], -(-sum(losses[:3]) // 3), pnl.index(min(pnl)))
                got = tuple(chain.call_at(harness.tail_measure, self.clock.chain(NOW), in_fours(pnl, -99), len(pnl), 3))
                yield f"{pnl}", None if got == want else f"contract {got}, sorted losses {want}"
            return
        engines = {name: self.engine(name, bytecode) for name in SETTINGS}
        time = self.clock.chain(NOW)
        market = chain.learnt(self.deployment, MARKET)
        for situation, (book, name) in BOOKS.items():
            account = chain.account(book, MARKET, NAMES, self.clock)
            try:
                assessment, tail = (
                    chain.call_at(view, time, account) for view in (engines[name].assess, engines[name].tail)
                )
                Differences().compare(assessment, tail, book, market, SETTINGS[name])
                yield situation, None
            except (AssertionError, RuntimeError) as difference:
                yield situation, str(difference)

    def first_difference(self, bytecode: dict[str, str]) -> str | None:
        """Where a build first differs from the model."""
        found = ((situation, text) for situation, text in self.differences(bytecode) if text is not None)
        return next((f"{situation}: {text}" for situation, text in found), None)


builds = planting.builds_of(DEFECTS)


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """The true contracts, and the market published."""
    deployment = chain.deploy_engine(project_contracts, deployer, [], NAMES)
    now = ape_chain.blocks.head.timestamp + 10
    ape_chain.pending_timestamp = now
    clock = chain.publish(deployment, MARKET, now)
    return Bench(
        project_contracts, deployment, clock, deployer.deploy(project_contracts.TailKernel, normal_table.words())
    )


def test_true_contracts_agree_with_the_model(bench):
    assert [row for row in bench.differences({}) if row[1] is not None] == []
    harness = bench.contracts.TailHarness.contract_type.deployment_bytecode.bytecode
    assert [row for row in bench.differences({HARNESS: harness}) if row[1] is not None] == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_noticed(bench, builds, defect):
    difference = bench.first_difference({defect.rebuilds: builds[defect.name].result()})
    assert difference is not None, f"{defect.name}: no situation told the defect from the true contracts"
    print(difference)
