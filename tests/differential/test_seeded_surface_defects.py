"""The arbitrage checks: one planted defect at a time must make contract and model differ on fixed surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ape.exceptions import VirtualMachineError

from python_model import surface
from tests.differential import planting, surfaces
from tests.differential.planting import Defect
from tests.differential.surfaces import CODES, NOW, is_pair_tie, is_tie, model
from tests.unit.market_data.updates import Expiry

pytestmark = [pytest.mark.differential, pytest.mark.slow]

HARNESS, SURFACE = "mocks/SurfaceHarness", "libraries/surface.vy"
SLICES, PAIRS = 900, 450


def defect(name: str, text: str, planted: str) -> Defect:
    return Defect(name, SURFACE, text, planted, HARNESS)


DEFECTS = [
    defect("Lee's bound", ">= 2 * ONE - ROUNDING", ">= 4 * ONE - ROUNDING"),
    defect("one wing only", "unsafe_mul(s.b, abs(s.rho))", "unsafe_mul(s.b, s.rho)"),
    defect("sign under the root", "unsafe_sub(ONE * ONE, unsafe_mul(s.rho", "unsafe_add(ONE * ONE, unsafe_mul(s.rho"),
    defect("greatest variance", "constant(int256) = 1000 * 2**80", "constant(int256) = 10 * 2**80"),
    defect("least variance", "2**80 // 10**12", "2**80 // 10**6"),
    defect("tenor upside down", "s.a * seconds * ONE // (ref_seconds", "s.a * ref_seconds * ONE // (seconds"),
    defect("b does not age", "s.b * seconds * ONE // (ref_seconds", "s.b * ref_seconds * ONE // (ref_seconds"),
    defect("sign of the drift", "smile.m -= drift", "smile.m += drift"),
    defect("scale of the drift", "drift * ONE // 10**18", "drift * ONE // 10**17"),
    defect("a point of the grid", "[2_843_888_722_", "[2_943_888_722_"),
    defect("the wing of the grid", "[243_859_240_728_", "[243_759_240_728_"),
    defect("a step downhill", "151_509_565_552_204_304_111_452", "141_509_565_552_204_304_111_452"),
    defect("curvature", "s.b << (2 * UNIT - 1)", "s.b << (2 * UNIT)"),
    defect("share of k w' / w", "w << 17", "w << 18"),
    defect("quarter of the slope", "square >> (UNIT + 2)) >> 2", "square >> (UNIT + 2)) >> 1"),
    defect("a quarter beside 1 / w", "square >> (UNIT + 2)", "square >> (UNIT + 4)"),
    defect(
        "sign of g's second term",
        "unsafe_mul(share, share) >> 48, unsafe_add(",
        "unsafe_mul(share, share) >> 48, -unsafe_add(",
    ),
    defect("no way down g", "if least_below << 2 < HIDDEN_DIP", "if least_below << 40 < HIDDEN_DIP"),
    defect("no left wing", "self._wing_dips(curve, -s.b, w_below)", "self._wing_dips(curve, s.b, w_above)"),
    defect(
        "parabola of the wing", "unsafe_sub(unsafe_mul(2, level), square)", "unsafe_sub(unsafe_mul(4, level), square)"
    ),
    defect("lowest of the parabola", "unsafe_mul(2, lead), middle) < 0", "unsafe_mul(2, lead), middle) > 0"),
    defect("what is allowed for", "ALLOWED: constant(uint256) = 13", "ALLOWED: constant(uint256) = 5"),
    defect("tails", "return True\n    apart:", "return False\n    apart:"),
    defect("right tail", "unsafe_add(far.b, tilt) < right or", "unsafe_add(far.b, tilt) < left or"),
    defect("side of the shift", "unsafe_sub(far.m, near.m)", "unsafe_sub(near.m, far.m)"),
    defect("height of the earlier", "unsafe_sub(far.a, near_a)", "unsafe_sub(far.a, near_a >> 1)"),
    defect("asymptotes for the slice", "product=unsafe_mul(near_beta, near_beta)", "product=0"),
    defect("no way down the gap", "if least_above << 2 < hidden:", "if least_above << 40 < hidden:"),
    defect("heights of the grid", "unsafe_sub(level, right_rise) >> UNIT", "unsafe_add(level, right_rise) >> UNIT"),
]


@dataclass(frozen=True)
class Bench:
    """Fixed surfaces and the verdicts of the model, where the error of floats does not decide them."""

    rows: list[Expiry]
    flaws: list[int]
    pairs: list[tuple[Expiry, Expiry]]
    crossings: list[bool]

    @classmethod
    def build(cls) -> Bench:
        rng = np.random.default_rng(20_260_206)
        rows = [row for row in surfaces.slices(rng, SLICES) if not is_tie(model(row))]
        pairs = [(n, f) for n, f in surfaces.pairs(rng, PAIRS) if not is_pair_tie(model(n), model(f))]
        flaws = [CODES[surface.slice_flaw(model(row))] for row in rows]
        return cls(rows, flaws, pairs, [surface.crosses(model(near), model(far)) for near, far in pairs])

    def first_difference(self, harness: Any) -> str | None:
        """Where a build first differs from the model."""
        for row, found, expected in zip(self.rows, harness.flaws(self.rows, NOW), self.flaws, strict=True):
            if found != expected:
                return f"{row}: {found} instead of {expected}"
        found_all = harness.crossings([row for pair in self.pairs for row in pair], NOW)[1::2]
        for pair, found, expected in zip(self.pairs, found_all, self.crossings, strict=True):
            if found != expected:
                return f"{pair}: {found} instead of {expected}"
        return None


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench.build()


builds = planting.builds_of(DEFECTS, {"true": HARNESS})


def deploy(contracts: SimpleNamespace, sender: Any, bytecode: str) -> Any:
    return planting.deploy(contracts, sender, "SurfaceHarness", {"SurfaceHarness": bytecode})


def test_true_checks_agree_with_the_model(project_contracts, deployer, builds, bench):
    assert bench.first_difference(deploy(project_contracts, deployer, builds["true"].result())) is None


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_planted_defect_is_noticed(project_contracts, deployer, builds, bench, planted):
    harness = deploy(project_contracts, deployer, builds[planted.name].result())
    try:
        difference = bench.first_difference(harness)
    except VirtualMachineError as error:  # a defect may make the checks revert, which is noticed, too
        difference = f"reverts: {error}"
    assert difference is not None, f"{planted.name}: no surface told the defect from the true checks"
    print(difference)
