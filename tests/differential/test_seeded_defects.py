"""The differential comparison must fail where the contracts are wrong: one planted defect at a time, each noticed.

A defect is planted in a copy of the contracts, compiled with the vyper of this environment and deployed beside the true
ones. The situations are fixed, so that what is noticed today is noticed tomorrow; the true contracts pass all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from python_model import methodology
from python_model.portfolio import (
    SECONDS_PER_YEAR,
    SVI,
    Book,
    Collateral,
    Expiry,
    Kind,
    Market,
    Mode,
    Position,
    Underlying,
)
from scripts import chain, normal_table
from tests.differential import planting
from tests.differential.comparison import Differences
from tests.differential.planting import Defect, plant
from tests.model import books
from tests.model.books import NOW, future, option, perp

pytestmark = [pytest.mark.differential, pytest.mark.slow]

KERNEL, METHODOLOGY, ENGINE, REPORT = "PricingKernel", "Methodology", "MarginEngine", "MarginReport"


BLACK, NORMAL, SVI_VOL = "libraries/black.vy", "libraries/normal.vy", "libraries/svi.vy"
AGGREGATION, EXPIRY_WORDS = "libraries/aggregation.vy", "libraries/expiry_words.vy"
PORTFOLIO = "modules/portfolio.vy"

DEFECTS = [
    Defect("scale of the table", BLACK, "= 35 * 2**95\n", "= 35 * 2**95 + 2**80\n", KERNEL),
    Defect("sign of d2", BLACK, "u = unsafe_sub(t, convert(", "u = unsafe_add(t, convert(", KERNEL),
    Defect("one cell of the grid", BLACK, "debts[11], unsafe_mul(o.debt", "debts[10], unsafe_mul(o.debt", KERNEL),
    Defect("put parity of a value", BLACK, "unsafe_add(today >> 64, put_", "unsafe_sub(today >> 64, put_", KERNEL),
    Defect("put parity of a profit", BLACK, "unsafe_sub(units[j], puts)", "unsafe_add(units[j], puts)", KERNEL),
    Defect("least vol of a scenario", BLACK, "if v < least:", "if v < 0:", KERNEL),
    Defect("sign of the tilt", BLACK, "unsafe_mul(o.moneyness, -WAD)", "unsafe_mul(o.moneyness, WAD)", KERNEL),
    Defect("tilt within a day", BLACK, "max(sqrt_tau, MIN_SQRT_TAU)", "max(sqrt_tau, 1)", KERNEL),
    Defect("sign of theta", BLACK, "unsafe_sub(strip.theta,", "unsafe_add(strip.theta,", KERNEL),
    Defect(
        "byte of the size",
        BLACK,
        "size: int256 = convert(convert(leg << 112",
        "size: int256 = convert(convert(leg << 120",
        KERNEL,
    ),
    Defect("sign of the rate", BLACK, "_wad_exp(-expiry.rate", "_wad_exp(expiry.rate", KERNEL),
    Defect("half at expiry", BLACK, "n1 = normal.ONE // 2", "n1 = normal.ONE", KERNEL),
    Defect("density", NORMAL, "= 398_942_280", "= 398_942_680", KERNEL),
    Defect("lane of the cubic", NORMAL, ">> 198, f), f)", ">> 199, f), f)", KERNEL),
    Defect("sign of rho", SVI_VOL, "unsafe_mul(surface.rho, k)", "unsafe_mul(-surface.rho, k)", KERNEL),
    Defect(
        "least vol of a surface",
        SVI_VOL,
        "MIN_VOL: constant(int256) = 10**16",
        "MIN_VOL: constant(int256) = 10**15",
        KERNEL,
    ),
    Defect("floor of an up-shock", "Methodology.vy", "max(MIN_VOL, parameters.vol_floor_up)", "MIN_VOL", METHODOLOGY),
    Defect(
        "vol range of an up-shock",
        "Methodology.vy",
        "vol_range = parameters.vol_up",
        "vol_range = parameters.vol_down",
        METHODOLOGY,
    ),
    Defect("worst loss of all is the best", PORTFOLIO, "if profit < least:", "if profit > least:", REPORT),
    Defect("worst scenario is the best", AGGREGATION, "if profit < least:", "if profit > least:", REPORT),
    Defect("calendar takes the larger side", AGGREGATION, "min(longs, shorts) *", "max(longs, shorts) *", REPORT),
    Defect("payoff at zero", BLACK, "payoff = payoff\n    for", "payoff = max_value(int256)\n    for", KERNEL),
    Defect("big books pay in proportion", AGGREGATION, "(amount * WAD + depth - 1)", "(amount + depth - 1)", REPORT),
    Defect("bound subtracted", PORTFOLIO, "maintenance += bound", "maintenance -= bound", REPORT),
    Defect("equity rounded up", PORTFOLIO, "- book.notional // DELTA", "+ book.notional // DELTA", REPORT),
    Defect(
        "covered fraction",
        PORTFOLIO,
        "unsafe_mul(profit, convert(convert(rung >> 16, bytes32), int256))",
        "unsafe_mul(profit, WAD)",
        REPORT,
    ),
    Defect("least price factor", PORTFOLIO, "if factor < lowest:", "if factor < 0:", REPORT),
    Defect("powers of h(tau)", EXPIRY_WORDS, "if tau > MONTH:", "if tau <= MONTH:", REPORT),
    Defect(
        "collateral in the grid",
        PORTFOLIO,
        "linear = unsafe_add(linear, convert(h.amount * h.price // 10**18, int256))",
        "linear = unsafe_add(linear, 0)",
        REPORT,
    ),
    Defect("minimum on longs", PORTFOLIO, "WAD), short_units), WAD)", "WAD), gross_units), WAD)", REPORT),
    Defect("haircut", PORTFOLIO, "10**18 - h.haircut_initial", "10**18 - h.haircut_maintenance", REPORT),
    Defect("credit of a group", PORTFOLIO, "group.credit * (apart - loss)", "group.credit * apart", REPORT),
    Defect("confidence", PORTFOLIO, "// WAD + book.confidence", "// WAD", REPORT),
    Defect("cap of a mixed book", PORTFOLIO, "if not book.mixed:", "if book.underlyings != 0:", REPORT),
    Defect("sign of rho, the Greek", PORTFOLIO, "r.rho = unsafe_sub(", "r.rho = unsafe_add(", REPORT),
    Defect(
        "cross takes the largest part",
        PORTFOLIO,
        "total.maintenance + part.maintenance",
        "max(total.maintenance, part.maintenance)",
        ENGINE,
    ),
]


# --- situations ------------------------------------------------------------------------------------------------------


def with_expiry(name: str, seconds: int, forward: float, a: float, b: float) -> Underlying:
    """An underlying of the model's test market with one more expiry."""
    u = books.MARKET.underlyings[name]
    surface = SVI(a, b, -0.25, 0.02, 0.4, seconds / SECONDS_PER_YEAR, forward)
    return replace(u, expiries=(*u.expiries, Expiry(NOW + seconds, forward, 0.04, surface)))


# One that expires in six hours, and one whose vols are below 1%.
MARKET = Market(
    NOW,
    {
        **books.MARKET.underlyings,
        "ETH": with_expiry("ETH", 6 * 3600, 2000.5, 0.0004, 0.0012),
        "SOL": with_expiry("SOL", 14 * 86_400, 100.2, 1e-6, 0.0),
    },
)


def dated(name: str, kind: Kind, seconds: int, strike: float, size: float) -> Position:
    return Position(name, kind, size, NOW + seconds, strike)


C, P = Kind.CALL, Kind.PUT
LEGS: dict[str, list[Position]] = {
    "long call": [option("ETH", C, 30, 1.0, 3.25)],
    "short call": [option("ETH", C, 30, 1.1, -2.0)],
    "long put": [option("ETH", P, 7, 0.95, 1.5)],
    "short put": [option("BTC", P, 180, 0.9, -0.75)],
    "short straddle": [option("ETH", C, 7, 1.0, -4.0), option("ETH", P, 7, 1.0, -4.0)],
    "iron condor": [
        option("ETH", P, 30, 0.8, 5.0),
        option("ETH", P, 30, 0.9, -5.0),
        option("ETH", C, 30, 1.1, -5.0),
        option("ETH", C, 30, 1.2, 5.0),
    ],
    "far strikes": [option("ETH", C, 180, 2.5, 10.0), option("ETH", P, 1, 0.4, -3.0), option("ETH", C, 1, 3.0, -80.0)],
    "calendar of options": [option("BTC", C, 7, 1.0, 2.0), option("BTC", C, 180, 1.0, -2.0)],
    "calendar of futures": [future("ETH", 30, 10.0, 1900.0), future("ETH", 180, -9.0, 2100.0)],
    "perp": [perp("SOL", -120.5, 99.0)],
    "pair": [perp("ETH", 35.0, 1950.0), perp("BTC", -1.0, 71_000.0)],
    "call against perp": [option("ETH", C, 30, 1.3, 40.0), perp("ETH", -0.01)],
    "call beside a perp": [option("ETH", C, 30, 1.3, 40.0), perp("BTC", -0.01)],
    "all alike": [option(n, k, 30, 1.0, 1.0) for n in ("ETH", "BTC", "SOL") for k in (C, P)],
    "large": [option("ETH", C, 30, 1.0, 60_000.0), perp("BTC", -3_000.0)],
    "at expiry": [option("ETH", C, 0, 1.0, 2.0), option("ETH", C, 0, 0.9, 1.0), option("ETH", P, 0, 1.2, -1.5)],
    "within hours": [dated("ETH", C, 6 * 3600, 2040.0, -7.0), dated("ETH", P, 6 * 3600, 1950.0, 3.0)],
    "calm": [dated("SOL", C, 14 * 86_400, 100.5, -900.0), dated("SOL", P, 14 * 86_400, 99.0, 400.0)],
}
COLLATERAL = (Collateral(4.5, 2000.0, "ETH", 0.06, 0.04), Collateral(2_500.0, 1.0, None, 0.02, 0.01))
SITUATIONS = {
    **{name: (Book(Mode.PORTFOLIO, 10_000.0, (), tuple(legs)), "house") for name, legs in LEGS.items()},
    **{f"{name}, cross": (Book(Mode.CROSS, -50.0, (), tuple(LEGS[name])), "house") for name in ("pair", "iron condor")},
    **{f"{name}, span": (Book(Mode.PORTFOLIO, 0.0, (), tuple(LEGS[name])), "span") for name in ("far strikes", "pair")},
    **{f"{name}, tims": (Book(Mode.PORTFOLIO, 0.0, (), tuple(LEGS[name])), "tims") for name in ("all alike", "perp")},
    "collateral": (Book(Mode.PORTFOLIO, 1_000.0, COLLATERAL), "house"),
    "covered call": (Book(Mode.PORTFOLIO, 0.0, COLLATERAL, (option("ETH", C, 30, 1.1, -4.0),)), "house"),
    "everything": (Book(Mode.PORTFOLIO, 5.0, COLLATERAL, tuple(p for legs in LEGS.values() for p in legs)), "house"),
}
PRESETS = {name: methodology.load(name) for name in sorted({preset for _, preset in SITUATIONS.values()})}


# --- building and comparing ------------------------------------------------------------------------------------------


builds = planting.builds_of(DEFECTS, {contract: contract for contract in (KERNEL, REPORT)})


@dataclass(frozen=True)
class Bench:
    """One market on the chain, and whatever build of the contracts is asked about it."""

    contracts: Any
    deployment: chain.Deployment
    clock: chain.Clock

    def deploy(self, contract: str, bytecode: dict[str, str], *arguments: Any) -> Any:
        """A contract, from other bytecode where that is given; the interface is that of the true one."""
        return planting.deploy(self.contracts, self.deployment.sender, contract, bytecode, *arguments)

    def report(self, preset: str, bytecode: dict[str, str], table: tuple[int, ...]) -> Any:
        """A report of a preset, and what it reads, from the bytecode given and the true contracts for the rest."""
        true = self.deployment
        kernel, data, engine = true.kernel, true.engines[preset].methodology(), true.engines[preset]
        if KERNEL in bytecode:
            kernel = self.deploy(KERNEL, bytecode, table)
        if METHODOLOGY in bytecode:
            data = self.deploy(METHODOLOGY, bytecode, *chain.methodology_arguments(PRESETS[preset], true.names))
        if ENGINE in bytecode:
            engine = self.deploy(ENGINE, bytecode, true.market_data, data, kernel, chain.ALL_PASSES, chain.NO_TAILS)
        return self.deploy(REPORT, bytecode, engine, true.market_data, data, kernel)

    def differences(self, bytecode: dict[str, str], table: tuple[int, ...] = ()) -> Iterator[tuple[str, str | None]]:
        """Situation by situation, what differs from the model first."""
        reports: dict[str, Any] = {}
        for situation, (book, preset) in SITUATIONS.items():
            if preset not in reports:
                reports[preset] = self.report(preset, bytecode, table or normal_table.words())
            account = chain.account(book, MARKET, self.deployment.names, self.clock)
            try:
                figures, rows = chain.call_at(reports[preset].explain, self.clock.chain(NOW), account)
                Differences().compare(figures, rows, self.deployment.names, book, MARKET, PRESETS[preset])
                yield situation, None
            except (AssertionError, RuntimeError) as difference:
                yield situation, str(difference)

    def first_difference(self, bytecode: dict[str, str], table: tuple[int, ...] = ()) -> str | None:
        """Where a build first differs from the model."""
        found = ((situation, text) for situation, text in self.differences(bytecode, table) if text is not None)
        return next((f"{situation}: {text}" for situation, text in found), None)


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """The true contracts, and the market published."""
    names = chain.ids(MARKET.underlyings)
    deployment = chain.deploy_engine(project_contracts, deployer, list(PRESETS.values()), names)
    now = ape_chain.blocks.head.timestamp + 10
    ape_chain.pending_timestamp = now
    return Bench(project_contracts, deployment, chain.publish(deployment, MARKET, now))


def test_true_contracts_agree_with_the_model(bench, builds):
    """Built from an unchanged copy, so that nothing but the defect tells the others from it."""
    bytecode = {contract: builds[contract].result() for contract in (KERNEL, REPORT)}
    assert [row for row in bench.differences(bytecode) if row[1] is not None] == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_noticed(bench, builds, defect):
    difference = bench.first_difference({defect.rebuilds: builds[defect.name].result()})
    assert difference is not None, f"{defect.name}: no situation told the defect from the true contracts"
    print(difference)


def test_one_wrong_word_of_the_table_is_noticed(bench, builds):
    """By a millionth, in the interval just above d = 0."""
    table = list(normal_table.words())
    table[224] = (table[224] + (2**44 << 190)) % 2**256
    assert bench.first_difference({KERNEL: builds[KERNEL].result()}, tuple(table)) is not None


def test_a_defect_without_a_place_says_so(tmp_path):
    with pytest.raises(LookupError, match="holds 'no such text' 0 times instead of once; plant the defect"):
        plant(tmp_path, Defect("lost", BLACK, "no such text", "", KERNEL))
