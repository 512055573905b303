"""The arbitrage rule finds what a dense grid finds, and refuses the known examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from python_model import option_chain, surface
from python_model.surface import Flaw, Svi
from tests.differential import surfaces

# Axel Vogt's example, Gatheral and Jacquier (2014), section 3.2: w > 0 everywhere, yet the density turns negative.
VOGT = Svi(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)

NEAR = Svi(a=0.004, b=0.05, rho=-0.3, m=0.01, sigma=0.12)
FAR = Svi(a=0.012, b=0.09, rho=-0.35, m=0.02, sigma=0.25)

# What the search may miss; derived in `surface.vy` from surfaces at the edge.
MISSED_G, MISSED_FALL = 0.0025, 0.002

DENSE = np.linspace(-8.0, 8.0, 4001)


def test_durrleman_g_agrees_with_finite_differences():
    k = np.linspace(-1.0, 1.0, 41)
    h = 1e-4
    w, up, down = (surface.total_variance(VOGT, k + shift) for shift in (0.0, h, -h))
    first, second = (up - down) / (2 * h), (up - 2 * w + down) / h**2
    expected = (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
    np.testing.assert_allclose(surface.durrleman_g(VOGT, k), expected, atol=1e-6)


def test_negative_g_is_a_negative_density():
    """g and the butterfly price of the same slice change sign together."""
    k = np.linspace(-1.5, 1.5, 3001)
    strikes = np.exp(k)
    vols = np.sqrt(surface.total_variance(VOGT, k))
    one = np.array(1.0)
    call = option_chain.black76_coin(one, strikes, vols, one, np.ones(k.size, dtype=bool))
    slope = np.diff(call) / np.diff(strikes)
    curvature = np.diff(slope)
    g = surface.durrleman_g(VOGT, k)[1:-1]
    clear = np.abs(g) > 1e-3
    assert (g < 0).any()
    assert np.array_equal(np.sign(curvature[clear]), np.sign(g[clear]))


def test_refuses_vogts_butterfly():
    assert surface.minimum_variance(VOGT) > 0.0
    assert surface.wing_slope(VOGT) < 2.0
    assert any("butterfly" in reason for reason in surface.slice_problems(VOGT))


@pytest.mark.parametrize(
    ("svi", "word"),
    [
        (Svi(0.01, 1.5, 0.5, 0.0, 1.0), "Lee"),
        (Svi(-0.1, 0.1, 0.0, 0.0, 0.1), "falls to"),
        (Svi(0.01, -0.1, 0.0, 0.0, 0.1), "outside"),
        (Svi(0.01, 0.1, 1.0, 0.0, 0.1), "outside"),
        (Svi(float("nan"), 0.1, 0.0, 0.0, 0.1), "finite"),
    ],
)
def test_refuses_inadmissible_slice(svi, word):
    assert any(word in reason for reason in surface.slice_problems(svi))


def test_accepts_clean_surface_and_refuses_it_reversed():
    assert surface.surface_problems([NEAR, FAR]) == []
    assert surface.surface_flaw([NEAR, FAR]) is None
    assert surface.surface_flaw([FAR, NEAR]) is Flaw.CALENDAR
    assert any("calendar" in reason for reason in surface.surface_problems([FAR, NEAR]))


def test_refuses_crossing_that_happens_only_in_a_tail():
    far = replace(FAR, a=5.0, b=NEAR.b * 0.9)
    assert surface.least_gap(NEAR, far) > 0.0
    assert any("tail" in reason for reason in surface.surface_problems([NEAR, far]))


def test_slices_that_pass_have_no_dip_of_substance():
    """Against a grid of 4,001 points, on random slices of which many are near the edge."""
    rows = surfaces.slices(np.random.default_rng(1), 800)
    passed = [svi for svi in map(surfaces.model, rows) if surface.slice_flaw(svi) is None]
    assert len(passed) > 200
    for svi in passed:
        assert np.min(surface.durrleman_g(svi, svi.m + svi.sigma * np.sinh(DENSE))) >= -MISSED_G


def test_pairs_that_pass_do_not_cross_by_anything_of_substance():
    rows = surfaces.pairs(np.random.default_rng(2), 200)
    passed = [(n, f) for n, f in ((surfaces.model(n), surfaces.model(f)) for n, f in rows) if not surface.crosses(n, f)]
    assert len(passed) > 100
    for near, far in passed:
        k = np.concatenate([svi.m + svi.sigma * np.sinh(DENSE) for svi in (near, far)])
        earlier = surface.total_variance(near, k)
        assert np.all(surface.total_variance(far, k) >= (1 - surface.ALLOWED - MISSED_FALL) * earlier)


def test_what_is_refused_for_a_crossing_crosses():
    rows = surfaces.pairs(np.random.default_rng(3), 200)
    refused = [(n, f) for n, f in ((surfaces.model(n), surfaces.model(f)) for n, f in rows) if surface.crosses(n, f)]
    assert len(refused) > 20
    u = np.linspace(-40.0, 40.0, 40_001)
    for near, far in refused:
        k = np.concatenate([svi.m + svi.sigma * np.sinh(u) for svi in (near, far)])
        earlier = surface.total_variance(near, k)
        assert np.any(surface.total_variance(far, k) < earlier)


def test_remaining_variance_is_the_same_smile_seen_from_now():
    """Vols of strikes stay, and their variance shrinks in proportion to the time left."""
    now = FAR.remaining(ref_tau=0.5, svi_forward=2000.0, tau=0.2, forward=2200.0)
    strikes = np.array([1000.0, 2000.0, 2150.0, 5000.0])
    then = surface.total_variance(FAR, np.log(strikes / 2000.0))
    np.testing.assert_allclose(surface.total_variance(now, np.log(strikes / 2200.0)), 0.4 * then, rtol=1e-12)
