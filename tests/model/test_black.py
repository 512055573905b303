"""Black-76 against published figures, against mpmath and against what must hold of any option."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import black, normal, svi
from tests.model.vectors import BLACK76, HAUG_GREEKS, HAUG_VALUES, SVI_VOLS, VOLLIB


def forward_of(S, q, r, t):
    return S * math.exp((r - q) * t)


@pytest.mark.parametrize(("is_call", "K", "S", "q", "r", "t", "vol", "expected"), HAUG_VALUES)
def test_haug_values(is_call, K, S, q, r, t, vol, expected):
    # Printed to four digits.
    assert black.value(forward_of(S, q, r, t), K, vol, t, math.exp(-r * t), is_call) == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize(("greek", "is_call", "K", "S", "q", "r", "t", "vol", "expected"), HAUG_GREEKS)
def test_haug_greeks(greek, is_call, K, S, q, r, t, vol, expected):
    greeks = black.greeks(forward_of(S, q, r, t), K, vol, t, r, S, is_call)
    assert getattr(greeks, greek) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("S", "K", "r", "t", "vol", "call", "put", "delta", "gamma", "vega", "put_delta"), VOLLIB)
def test_vollib(S, K, r, t, vol, call, put, delta, gamma, vega, put_delta):
    F, D = forward_of(S, 0, r, t), math.exp(-r * t)
    # Ten significant digits are given.
    assert black.value(F, K, vol, t, D, True) == pytest.approx(call, rel=1e-6, abs=1e-9)
    assert black.value(F, K, vol, t, D, False) == pytest.approx(put, rel=1e-6, abs=1e-9)
    of_call, of_put = black.greeks(F, K, vol, t, r, S, True), black.greeks(F, K, vol, t, r, S, False)
    assert of_call.delta == pytest.approx(delta, abs=2e-9)
    assert of_put.delta == pytest.approx(put_delta, abs=2e-9)
    assert of_call.gamma == pytest.approx(gamma, abs=2e-9)
    assert of_call.vega == pytest.approx(vega, abs=2e-7)


@pytest.mark.parametrize(("seconds", "vol", "F", "K", "D", "call", "put"), BLACK76)
def test_extreme_inputs(seconds, vol, F, K, D, call, put):
    tau = seconds / 31_536_000
    assert black.value(F, K, vol, tau, D, True) == pytest.approx(call, rel=1e-12, abs=1e-12)
    # The source's fixed-point put comes by parity and is true to 1e-10 of the forward.
    assert black.value(F, K, vol, tau, D, False) == pytest.approx(put, rel=1e-12, abs=1e-10)


@pytest.mark.parametrize(("tau", "a", "b", "rho", "m", "sigma", "F", "K", "vol"), SVI_VOLS)
def test_svi_vols(tau, a, b, rho, m, sigma, F, K, vol):
    assert svi.implied_vol(K, F, a, b, rho, m, sigma, tau) == pytest.approx(vol, rel=1e-12)


@pytest.mark.parametrize(("a", "expected"), [(-1.0, 0.01), (1000.0, 10.0)])
def test_svi_is_clamped(a, expected):
    assert svi.implied_vol(100.0, 100.0, a, 0.1, 0.0, 0.0, 0.1, 1.0) == expected


def exact_value(F, K, vol, tau, r, is_call):
    with mpmath.workdps(60):
        F, K, v = mpmath.mpf(F), mpmath.mpf(K), mpmath.mpf(vol) * mpmath.sqrt(mpmath.mpf(tau))
        d1 = mpmath.log(F / K) / v + v / 2
        call = F * mpmath.ncdf(d1) - K * mpmath.ncdf(d1 - v)
        return float(mpmath.exp(-mpmath.mpf(r) * mpmath.mpf(tau)) * (call if is_call else call - F + K))


inputs = {
    "F": st.floats(1e-6, 1e12),
    "ratio": st.floats(-3, 3).map(math.exp),
    "vol": st.floats(0.01, 25),
    "tau": st.floats(1e-7, 10),
    "r": st.floats(-1, 1),
    "is_call": st.booleans(),
}


@given(**inputs)
def test_value_against_high_precision(F, ratio, vol, tau, r, is_call):
    K = F * ratio
    expected = exact_value(F, K, vol, tau, r, is_call)
    # A few roundings of F N(d1) and K N(d2), whose discount may be e^10.
    assert abs(black.value(F, K, vol, tau, math.exp(-r * tau), is_call) - expected) <= 1e-14 * (F + K) * math.exp(
        -r * tau
    )


@given(**inputs)
def test_greeks_are_the_slopes_of_high_precision_values(F, ratio, vol, tau, r, is_call):
    K, S = F * ratio, F * 0.9
    greeks = black.greeks(F, K, vol, tau, r, S, is_call)
    with mpmath.workdps(60):
        v = mpmath.mpf(vol) * mpmath.sqrt(mpmath.mpf(tau))
        d1 = mpmath.log(mpmath.mpf(F) / mpmath.mpf(K)) / v + v / 2
        D, density = mpmath.exp(-mpmath.mpf(r) * tau), mpmath.npdf(d1)
        carry = mpmath.mpf(F) / mpmath.mpf(S)
        worth = mpmath.mpf(exact_value(F, K, vol, tau, r, is_call))
        expected = {
            "delta": D * (mpmath.ncdf(d1) - (0 if is_call else 1)) * carry,
            "gamma": D * density / (F * v) * carry**2,
            "vega": D * F * density * mpmath.sqrt(tau),
            "theta": (-D * F * density * vol / (2 * mpmath.sqrt(tau)) + r * worth) / 365,
            "rho": -tau * worth,
        }
    # d1 is a difference of logarithms over v, so its rounding is some 1e-16 / v.
    blur = 1e-14 + 1e-15 / float(v)
    scale = {"delta": 1, "gamma": 1 / (F * float(v)), "vega": F, "theta": F * (1 + vol / tau**0.5), "rho": F + K}
    for name, exact in expected.items():
        bound = 10 * blur * scale[name] * math.exp(-r * tau) * (1 + ratio)
        assert abs(float(getattr(greeks, name)) - float(exact)) <= bound, name


@given(F=st.floats(1e-6, 1e12), ratio=st.floats(0, 1e6), vol=st.floats(0, 25), tau=st.floats(0, 10), r=st.floats(-1, 1))
def test_parity_and_bounds(F, ratio, vol, tau, r):
    K, D = F * ratio, math.exp(-r * tau)
    call, put = (float(black.value(F, K, vol, tau, D, flag)) for flag in (True, False))
    slack = 1e-13 * D * (F + K)
    assert call - put == pytest.approx(D * (F - K), abs=slack)
    assert D * max(F - K, 0) - slack <= call <= D * F + slack
    assert D * max(K - F, 0) - slack <= put <= D * K + slack


def test_at_expiry_it_is_the_intrinsic_value():
    F, K = np.array([90.0, 100.0, 110.0]), 100.0
    assert black.value(F, K, 0.5, 0.0, 1.0, True).tolist() == [0.0, 0.0, 10.0]
    assert black.value(F, K, 0.5, 0.0, 1.0, False).tolist() == [10.0, 0.0, 0.0]
    greeks = black.greeks(F, K, 0.5, 0.0, 0.05, F, True)
    assert greeks.delta.tolist() == [0.0, 0.5, 1.0]
    assert greeks.gamma.tolist() == greeks.vega.tolist() == greeks.rho.tolist() == [0.0, 0.0, 0.0]
    assert greeks.theta == pytest.approx([0.0, 0.0, 0.05 * 10 / 365])


@given(
    F=st.sampled_from([0.0, 1e-6, 1.0, 1e12]),
    K=st.sampled_from([0.0, 1e-6, 1.0, 9e12]),
    vol=st.sampled_from([0.0, 0.01, 400.0]),
    tau=st.sampled_from([0.0, 1e-9, 10.0]),
    is_call=st.booleans(),
)
def test_no_input_gives_nan(F, K, vol, tau, is_call):
    greeks = black.greeks(F, K, vol, tau, 1.0, 1.0, is_call)
    figures = [black.value(F, K, vol, tau, 1.0, is_call), *(getattr(greeks, n) for n in black.Greeks.__annotations__)]
    assert all(np.isfinite(figure) for figure in figures)


def test_normal_tails():
    assert normal.cdf(-37.0) > 0.0
    assert normal.cdf(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]
    assert normal.pdf(np.array([-np.inf, np.inf, 1e200])) == pytest.approx([0.0, 0.0, 0.0], abs=1e-300)
    assert normal.pdf(0.0) == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-15)
