"""The vol of a strike against mpmath and the float model, surfaces that nobody would quote included."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import svi
from scripts import chain
from tests.model.vectors import SVI_VOLS
from tests.wide import integers

WAD = 10**18
YEAR = 365 * 86_400
MIN_VOL, MAX_VOL = WAD // 100, 10 * WAD


class Surface(NamedTuple):
    """`IPricingKernel.Surface`."""

    a: int
    b: int
    rho: int
    m: int
    sigma: int
    ref_seconds: int
    log_forward: int


def steps(*greatest: int, least: int | None = None) -> st.SearchStrategy[int]:
    """Multiples of 1e-12 at 1e-18, to each of some ends."""
    return st.one_of(*(integers(-end if least is None else least, end) for end in greatest)).map(lambda n: n * 10**6)


logs = integers(-14 * WAD, 28 * WAD)
quoted = st.builds(
    Surface,
    a=steps(10**11, least=0),
    b=steps(10**12, least=0),
    rho=steps(10**12),
    m=steps(10**12),
    sigma=steps(10**12, least=1),
    ref_seconds=integers(86_400, YEAR),
    log_forward=logs,
)
# What `MarketData` admits.
extreme = st.builds(
    Surface,
    a=steps(10**14, 10**10),
    b=steps(10**14, 10**12, least=0),
    rho=steps(10**12),
    m=steps(10**14, 10**12),
    sigma=steps(10**14, 10**12, 1, least=1),
    ref_seconds=st.one_of(integers(1, 10 * YEAR), st.sampled_from([1, 60, 86_400, YEAR, 10 * YEAR])),
    log_forward=logs,
)
surfaces = st.one_of(quoted, extreme)
# ln K of strikes from 1e-6 to 9e12, and strikes around the forward.
LEAST, GREATEST = -13_815_510_557_964_274_105, 29_828_297_929_000_000_000
log_strikes = st.lists(integers(LEAST, GREATEST), max_size=4)
log_ratios = st.lists(integers(-2 * WAD, 2 * WAD), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


def ends(surface: Surface, log_strike: int) -> tuple[float, float]:
    """Least and greatest vol that the roundings admit, 1e-18, before the clamps.

    rho k and the root err by less than a unit each, which b multiplies; the variance and its root lose less than one.
    """
    with mpmath.workdps(60):
        a, b, rho, m, sigma, seconds, log_forward = map(mpmath.mpf, surface)
        k = log_strike - log_forward - m
        variance = (a * WAD + b * (rho * k / WAD + mpmath.sqrt(k * k + sigma * sigma))) * YEAR / seconds
        error = 2 * b * YEAR / seconds + 1
        return mpmath.sqrt(max(variance - error, 0)) - 1, mpmath.sqrt(max(variance + error, 0))


def clamped(vol: float) -> float:
    return min(max(vol, MIN_VOL), MAX_VOL)


@given(surface=surfaces, strikes=log_strikes, ratios=log_ratios)
def test_vol_within_its_roundings(harness, now, surface, strikes, ratios):
    strikes += [surface.log_forward + ratio for ratio in ratios]
    vols = chain.call_at(harness.svi_vol, now, surface, strikes)
    for log_strike, vol in zip(strikes, vols, strict=True):
        low, high = ends(surface, log_strike)
        assert clamped(low) <= vol <= clamped(high)


def log_of(number: int, decimals: int) -> int:
    """Logarithm of a decimal, rounded down at 1e-18."""
    with mpmath.workdps(40):
        return int(mpmath.floor(mpmath.log(mpmath.mpf(number) / 10**decimals) * WAD))


@given(
    surface=surfaces,
    strike=st.one_of(integers(1, 9 * 10**18), integers(10**9, 10**10)),
    forward=st.one_of(integers(10**3, 10**21), integers(10**12, 10**13)),
)
def test_vol_of_the_model(harness, now, surface, strike, forward):
    """Squares agree within what either rounds: the clamps only bring the two together."""
    surface = surface._replace(log_forward=log_of(forward, 9))
    a, b, rho, m, sigma = (number / WAD for number in surface[:5])
    ref_tau = surface.ref_seconds / YEAR
    K, F = strike / 10**6, forward / 10**9
    model = float(svi.implied_vol(K, F, a, b, rho, m, sigma, ref_tau))
    (vol,) = chain.call_at(harness.svi_vol, now, surface, [log_of(strike, 6)])
    # A dozen float operations on terms of this size; the contract's units of 1e-18 are a hundredth of that.
    terms = abs(a) + b * (2 * abs(np.log(K / F) - m) + sigma + 2)
    assert abs((vol / WAD) ** 2 - model**2) <= 3e-15 * terms / ref_tau + 1e-14 * model**2


@pytest.mark.parametrize(("tau", "a", "b", "rho", "m", "sigma", "F", "K", "expected"), SVI_VOLS)
def test_published_vols(harness, now, tau, a, b, rho, m, sigma, F, K, expected):
    surface = (*(chain.wad(x) for x in (a, b, rho, m, sigma)), round(tau * YEAR), log_of(round(F), 0))
    (vol,) = chain.call_at(harness.svi_vol, now, surface, [log_of(round(K), 0)])
    # Parameters as printed have 17 digits, of which 1e-18 keeps 14 or more.
    assert vol / WAD == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("w", "expected"),
    [
        (-100 * WAD, MIN_VOL),
        (-1, MIN_VOL),
        (0, MIN_VOL),
        (1, MIN_VOL),
        (99 * 10**12, MIN_VOL),  # 0.995%
        (10**14, MIN_VOL),
        (101 * 10**12, 10_049_875_621_120_890),
        (99 * WAD, 9_949_874_371_066_199_547),
        (100 * WAD, MAX_VOL),
        (101 * WAD, MAX_VOL),
    ],
)
def test_clamps(harness, now, w, expected):
    # A flat surface of one year: w is a.
    assert chain.call_at(harness.svi_vol, now, (w, 0, 0, 0, WAD, YEAR, 0), [0]) == [expected]


def test_every_admissible_extreme_at_once_is_answered(harness, now):
    """Unchecked arithmetic: the bounds of `MarketData` at their ends give vols within the clamps, none wrapped."""
    strikes = [LEAST, 0, GREATEST]
    forward = 27_631_021_115_928_547_000
    fields = [(10**20, -(10**20)), (0, 10**20), (WAD, -WAD), (10**20, -(10**20)), (10**6, 10**20), (1, 10 * YEAR)]
    for case in product(*fields):
        surface = Surface(*case, forward)
        vols = chain.call_at(harness.svi_vol, now, surface, strikes)
        for log_strike, vol in zip(strikes, vols, strict=True):
            low, high = ends(surface, log_strike)
            assert clamped(low) <= vol <= clamped(high)
