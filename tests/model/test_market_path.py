"""The market between the recorded ones: prices and vols that could have been, and options that expire on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import black, svi
from python_model.case import read_market
from python_model.portfolio import Expiry, Market
from scripts.market_path import SNAPSHOTS, Path

RECORDED = [read_market(name) for name in SNAPSHOTS]
# 4 February 08:00, which expires between the first two snapshots, and three that outlive the last.
EXPIRED, ALIVE = 1_770_192_000, (1_770_969_600, 1_772_179_200, 1_782_460_800)
PATH = Path.through(RECORDED, {EXPIRED, *ALIVE})
START, CRASH, END = (m.as_of for m in RECORDED)
times = st.integers(START, END)
# Log-moneyness over which the path's books have strikes, and more.
K = np.linspace(-1.0, 1.0, 41)


def vols(e: Expiry) -> np.ndarray:
    s = e.svi
    return svi.implied_vol(s.forward * np.exp(K), s.forward, s.a, s.b, s.rho, s.m, s.sigma, s.ref_tau)


def bounds(time: int) -> tuple[Market, Market]:
    """The recorded markets around a time."""
    return (PATH.anchors[0], PATH.anchors[1]) if time <= CRASH else (PATH.anchors[1], PATH.anchors[2])


@pytest.mark.parametrize("i", range(3))
def test_it_passes_through_every_recorded_market(i: int) -> None:
    market = PATH.at(RECORDED[i].as_of)
    for name, u in RECORDED[i].underlyings.items():
        got = market.underlyings[name]
        assert (got.spot, got.perp_mark, got.confidence) == (u.spot, u.perp_mark, u.confidence)
        for expiry in ALIVE:
            assert got.at(expiry) == u.at(expiry)


@given(time=times)
def test_prices_between_lie_between(time: int) -> None:
    a, b = bounds(time)
    for name, u in PATH.at(time).underlyings.items():
        x, y = a.underlyings[name], b.underlyings[name]
        pairs = [(u.spot, x.spot, y.spot)]
        pairs += [(u.at(e).forward, x.at(e).forward, y.at(e).forward) for e in ALIVE]
        for value, first, last in pairs:
            assert min(first, last) - 1e-9 <= value <= max(first, last) + 1e-9, "but for the rounding to 1e-9"


@given(time=times)
def test_vols_between_are_no_wilder_than_the_recorded_ones(time: int) -> None:
    a, b = bounds(time)
    for name, u in PATH.at(time).underlyings.items():
        for expiry in ALIVE:
            now, first, last = (
                vols(u.at(expiry)),
                vols(a.underlyings[name].at(expiry)),
                vols(b.underlyings[name].at(expiry)),
            )
            assert np.all(now > 0.5 * np.minimum(first, last)) and np.all(now < 1.5 * np.maximum(first, last))


@pytest.mark.parametrize("anchor", [START, CRASH, END])
def test_nothing_jumps_at_a_recorded_market(anchor: int) -> None:
    for beside in (anchor - 1, anchor + 1):
        if START <= beside <= END:
            for name, u in PATH.at(beside).underlyings.items():
                there = PATH.at(anchor).underlyings[name]
                # A second is less than 5e-5 of either leg, over which prices move by 21% and vols by a half.
                assert u.spot == pytest.approx(there.spot, rel=5e-5)
                for expiry in ALIVE:
                    np.testing.assert_allclose(vols(u.at(expiry)), vols(there.at(expiry)), rtol=1e-4)


@given(time=st.integers(EXPIRED, END))
def test_an_expired_option_is_worth_its_intrinsic_value_at_the_spot_of_its_expiry(time: int) -> None:
    market = PATH.at(time)
    for name, u in market.underlyings.items():
        e = u.at(EXPIRED)
        assert e.forward == PATH.at(EXPIRED).underlyings[name].spot
        assert market.tau(EXPIRED) == 0
        strikes = e.forward * np.exp(K)
        call = black.value(e.forward, strikes, vols(e), market.tau(EXPIRED), 1.0, True)
        np.testing.assert_allclose(call, np.maximum(e.forward - strikes, 0.0), rtol=1e-14)


@given(time=st.integers(START, EXPIRED))
def test_until_then_it_keeps_its_vol_while_its_forward_runs_into_spot(time: int) -> None:
    for name, u in PATH.at(time).underlyings.items():
        first = RECORDED[0].underlyings[name]
        np.testing.assert_allclose(vols(u.at(EXPIRED)), vols(first.at(EXPIRED)), rtol=1e-12)
        assert abs(u.at(EXPIRED).forward / u.spot - 1) <= abs(first.at(EXPIRED).forward / first.spot - 1) + 1e-12


@pytest.mark.parametrize("time", [START - 1, END + 1])
def test_there_is_no_market_outside(time: int) -> None:
    with pytest.raises(ValueError, match=r"^time: must be from"):
        PATH.at(time)


def test_an_expiry_that_the_first_market_lacks_is_refused() -> None:
    with pytest.raises(KeyError):
        Path.through(RECORDED, {START})
