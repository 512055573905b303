"""The arbitrage checks of the contract against those of the model: one verdict, on surfaces near every edge."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from python_model import surface
from python_model.surface import Flaw
from tests.differential import surfaces
from tests.differential.surfaces import CODES, NOW, is_pair_tie, is_tie, model

pytestmark = [pytest.mark.differential, pytest.mark.slow]

SLICES, PAIRS = 1_000, 500
# Cases that the error of floats may decide: a few, as it is 1e-11 of the terms and edges are approached to 1%.
FEW = 5


@pytest.fixture(scope="module")
def harness(project_contracts: Any, deployer: Any) -> Any:
    """The checks of the contracts."""
    return deployer.deploy(project_contracts.SurfaceHarness)


def test_slices_are_judged_alike(harness):
    rows = surfaces.slices(np.random.default_rng(20_260_202), SLICES)
    found = harness.flaws(rows, NOW)
    expected = [surface.slice_flaw(model(row)) for row in rows]
    differing = [i for i in range(SLICES) if found[i] != CODES[expected[i]]]
    ties = [i for i in differing if is_tie(model(rows[i]))]
    assert [(rows[i], found[i], expected[i]) for i in differing if i not in ties] == []
    assert len(ties) <= FEW
    mix = Counter(expected)
    assert min(mix[flaw] for flaw in (None, Flaw.WINGS, Flaw.VARIANCE, Flaw.BUTTERFLY)) >= SLICES // 25, mix


def test_pairs_are_judged_alike(harness):
    pairs = surfaces.pairs(np.random.default_rng(20_260_205), PAIRS)
    # Each is judged with the one before it: every other answer is of a pair.
    found = harness.crossings([row for pair in pairs for row in pair], NOW)[1::2]
    models = [(model(near), model(far)) for near, far in pairs]
    expected = [surface.crosses(*pair) for pair in models]
    differing = [i for i in range(PAIRS) if found[i] != expected[i]]
    ties = [i for i in differing if is_pair_tie(*models[i])]
    assert [(pairs[i], found[i]) for i in differing if i not in ties] == []
    assert len(ties) <= FEW
    in_tails = sum(any(surface.tails_cross(*pair)) for pair in models)
    between = sum(expected) - in_tails
    assert min(in_tails, between, PAIRS - sum(expected)) >= PAIRS // 20, (in_tails, between)


@pytest.mark.parametrize("name", surfaces.real())
def test_real_surfaces_are_free_of_arbitrage(harness, name):
    """Those fitted to three chains, as published and ten minutes later with forwards moved by half a percent."""
    as_of, rows = surfaces.real()[name]
    later = [row._replace(forward=row.forward * 1005 // 1000) for row in rows[1:]]
    for now, taken in ((as_of, rows), (as_of + 600, later)):
        expected = [surface.slice_flaw(model(row, now)) for row in taken]
        assert list(harness.flaws(taken, now)) == [CODES[flaw] for flaw in expected]
    assert set(harness.flaws(rows, as_of)) == {CODES[None]}
    assert not any(harness.crossings(rows, as_of))
    assert surface.surface_flaw([model(row, as_of) for row in rows]) is None
