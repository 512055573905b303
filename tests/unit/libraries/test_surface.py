"""Surfaces that allow arbitrage are refused with the reason, all others are not, and nothing else reverts."""

from __future__ import annotations

import re
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model.surface import GRID, STEPS, Svi
from scripts import chain
from tests.differential.planting import ROOT
from tests.differential.surfaces import (
    MAX_PRICE,
    MAX_SVI,
    MAX_TENOR,
    MIN_PRICE,
    NOW,
    ONE,
    Surface,
    real,
    update,
)
from tests.unit.market_data.updates import Expiry
from tests.wide import integers

REASONS = {"wings", "variance", "butterfly", "calendar"}
NEAR = Svi(0.004, 0.05, -0.3, 0.01, 0.12)
FAR = Svi(0.012, 0.09, -0.35, 0.02, 0.25)
FLAT = Svi(0.04, 0.0, 0.0, 0.0, 0.1)


@pytest.fixture(scope="module")
def surface(project_contracts: Any, deployer: Any) -> Any:
    """The checks as views."""
    return deployer.deploy(project_contracts.SurfaceHarness)


def refusal(surface: Any, updates: list[Expiry], now: int = NOW) -> str | None:
    """Reason of the revert after the name of the library; None where there was none."""
    try:
        chain.call_at(surface.require_free_of_arbitrage, now, updates, now)
    except RuntimeError as error:
        found = re.search(r"surface: (\w+)", str(error))
        if found is None:
            raise
        return found.group(1)
    return None


def days(*slices: Svi) -> list[Expiry]:
    return [update(svi, 30 * (i + 1)) for i, svi in enumerate(slices)]


# --- what allows arbitrage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        pytest.param([Svi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)], "butterfly", id="Vogt's slice"),
        pytest.param([Svi(0.02, 0.3, -0.2, 0.0, 1e-4)], "butterfly", id="a V with a point"),
        pytest.param([Svi(0.02, 0.3, -0.2, 0.0, 1e-12)], "butterfly", id="a V with the sharpest point"),
        pytest.param([Svi(0.01, 0.2, 0.0, 3.0, 0.1)], "butterfly", id="a minimum far from the money"),
        pytest.param([Svi(-0.1, 0.1, 0.0, 0.0, 0.1)], "variance", id="negative variance"),
        pytest.param([Svi(-0.3, 0.5, 0.8, 0.0, 1.0)], "variance", id="a minimum of zero"),
        pytest.param([Svi(0.0, 0.0, 0.0, 0.0, 0.1)], "variance", id="no variance"),
        pytest.param([Svi(0.01, 1.5, 0.5, 0.0, 1.0)], "wings", id="a wing of 2.25"),
        pytest.param([Svi(5.0, 1.25, 0.6, 0.0, 1.0)], "wings", id="a wing of 2"),
        pytest.param([FAR, Svi(FAR.a - 0.0005, FAR.b, FAR.rho, FAR.m, FAR.sigma)], "calendar", id="shifted down"),
        pytest.param([Svi(0.004, 0.12, -0.3, 0.01, 0.12), FAR], "calendar", id="a steeper wing in the near"),
        pytest.param([NEAR, Svi(5.0, 0.045, -0.3, 0.0, 0.2)], "calendar", id="a crossing in the far wings only"),
        pytest.param(
            [FLAT, Svi(-0.0373, 0.2, 0.3, 0.0, 0.4)], "calendar", id="a crossing between two points of the grid"
        ),
        pytest.param([FAR, NEAR], "calendar", id="reversed"),
    ],
)
def test_refused_with_the_reason(surface, slices, reason):
    assert refusal(surface, days(*slices)) == reason


def test_accepts_what_is_free_of_arbitrage(surface):
    assert refusal(surface, days(NEAR, FAR)) is None
    assert refusal(surface, days(FLAT)) is None
    assert refusal(surface, []) is None
    # Of a year at 1000%.
    assert refusal(surface, days(Svi(99.0, 0.1, 0.0, 0.0, 0.1))) is None


def test_equal_slices_do_not_cross(surface):
    """No variance from one expiry to the next is at the edge, and free of arbitrage."""
    for svi in (NEAR, FAR, FLAT):
        assert refusal(surface, days(svi, svi)) is None


@pytest.mark.parametrize("name", real())
def test_accepts_real_surfaces_at_their_price(surface, name):
    """Fitted to three chains. Eight expiries take less than 230,000 gas, seven comparisons included."""
    as_of, rows = real()[name]
    assert refusal(surface, rows, as_of) is None
    assert chain.call_at(surface.require_free_of_arbitrage, as_of, rows[:8], as_of) < 230_000


# --- as it stands now ------------------------------------------------------------------------------------------------


def test_a_surface_ages(surface):
    """A later expiry of which most has passed falls below an earlier one published now."""
    aged = update(FAR, 60, 240)
    assert refusal(surface, [update(FAR, 30), update(FAR, 60)]) is None
    assert refusal(surface, [update(FAR, 30), aged]) == "calendar"


def test_a_surface_keeps_its_strikes(surface):
    """With a forward 10% up, two slices that touch everywhere cross: the older one has its smile 10% below."""
    moved = update(FAR, 60, forward=2200, ref_forward=2000)
    assert refusal(surface, [update(FAR, 30, forward=2200), update(FAR, 60, forward=2200)]) is None
    assert refusal(surface, [update(FAR, 30, forward=2200), moved]) == "calendar"
    both = [update(FAR, 30, forward=2200, ref_forward=2000), moved]
    assert refusal(surface, both) is None


def test_expired_is_passed_over(surface):
    expired = update(Svi(-1.0, 50.0, 0.0, 0.0, 0.1), 0)
    assert refusal(surface, [expired, *days(NEAR, FAR)]) is None


def test_refuses_disorder(surface):
    near, far = days(NEAR, FAR)
    assert refusal(surface, [far, near]) == "expiries"
    assert refusal(surface, [near, near]) == "expiries"


@pytest.mark.parametrize(
    "change",
    [
        {"a": MAX_SVI + 1},
        {"a": -MAX_SVI - 1},
        {"b": -1},
        {"b": MAX_SVI + 1},
        {"rho": ONE},
        {"rho": -ONE},
        {"m": MAX_SVI + 1},
        {"m": -MAX_SVI - 1},
        {"sigma": 0},
        {"sigma": MAX_SVI + 1},
        {"ref_seconds": 0},
        {"ref_seconds": MAX_TENOR + 1},
        {"forward": MIN_PRICE - 1},
        {"forward": MAX_PRICE + 1},
    ],
    ids=str,
)
def test_refuses_what_market_data_would(surface, change):
    (row,) = days(NEAR)
    assert refusal(surface, [row._replace(surface=row.surface._replace(**change))]) == "parameters"


def test_refuses_prices_and_expiries_out_of_bounds(surface):
    (row,) = days(NEAR)
    for price in (MIN_PRICE - 1, MAX_PRICE + 1):
        assert refusal(surface, [row._replace(forward=price)]) == "parameters"
    assert refusal(surface, [row._replace(expiry=NOW + MAX_TENOR + 1)]) == "parameters"


# --- whatever is published -------------------------------------------------------------------------------------------

near_one = st.one_of(integers(0, ONE - 1), integers(0, 1000).map(lambda n: ONE - 1 - n))
admissible = st.builds(
    Surface,
    a=st.one_of(integers(-MAX_SVI, MAX_SVI), integers(-ONE, ONE)),
    b=st.one_of(integers(0, MAX_SVI), integers(0, ONE), integers(0, 1000)),
    rho=st.builds(lambda size, sign: sign * size, near_one, st.sampled_from([-1, 1])),
    m=st.one_of(integers(-MAX_SVI, MAX_SVI), integers(-ONE, ONE)),
    sigma=st.one_of(integers(1, MAX_SVI), integers(1, ONE), integers(1, 1000)),
    ref_seconds=integers(1, MAX_TENOR),
    forward=integers(MIN_PRICE, MAX_PRICE),
)
rows = st.builds(
    Expiry,
    expiry=integers(1, MAX_TENOR).map(lambda seconds: NOW + seconds),
    forward=integers(MIN_PRICE, MAX_PRICE),
    rate=st.just(0),
    surface=admissible,
)


@given(updates=st.lists(rows, max_size=4, unique_by=lambda row: row.expiry))
def test_nothing_published_reverts_without_a_reason(surface, updates):
    assert refusal(surface, sorted(updates, key=lambda row: row.expiry)) in {None, *REASONS}


@given(near=rows, far=rows, lift=integers(0, 99 * ONE))
def test_two_slices_that_hardly_bend_are_compared(surface, near, far, lift):
    """Slopes so small that neither has a flaw: all other numbers reach their ends in the comparison."""
    smiles = [row.surface._replace(b=row.surface.b % 1000, a=ONE + lift * i) for i, row in enumerate((near, far))]
    seconds = sorted(row.expiry - NOW for row in (near, far))
    pair = [
        Expiry(NOW + time + i, row.forward, 0, smile._replace(ref_seconds=time + i))
        for i, (row, smile, time) in enumerate(zip((near, far), smiles, seconds, strict=True))
    ]
    assert refusal(surface, pair[:1]) in {None, "butterfly", "parameters"}
    assert refusal(surface, pair) in {None, "butterfly", "calendar", "parameters"}


def test_tables_are_those_of_the_model():
    """Hyperbolic cosines and sines at 2**-80, rounded to nearest, of the points and steps that the model names."""
    source = (ROOT / "contracts" / "libraries" / "surface.vy").read_text()

    def table(name: str) -> list[tuple[int, ...]]:
        body = re.search(rf"{name}: constant\(int256\[2\]\[\d+\]\) = \[(.*?)\n\]", source, re.DOTALL)
        assert body is not None
        return [tuple(int(n) for n in row.split(", ")) for row in re.findall(r"\[([\d_, ]+)\]", body.group(1))]

    with mpmath.workdps(60):
        for name, points in (("GRID", GRID[GRID > 0]), ("STEPS", STEPS)):
            exact = [
                tuple(int(mpmath.nint(f(mpmath.mpf(float(u))) * 2**80)) for f in (mpmath.cosh, mpmath.sinh))
                for u in points
            ]
            assert table(name) == exact
