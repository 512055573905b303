"""Implied vol of a strike from a raw SVI slice (M-1)."""

from __future__ import annotations

import numpy as np

from python_model.black import Array
from python_model.normal import Floats

VOL_MIN = 0.01
VOL_MAX = 10.0


def total_variance(k: Array, a: Array, b: Array, rho: Array, m: Array, sigma: Array) -> Floats:
    """Raw SVI total variance `w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2))`.

    Parameters
    ----------
    k : array of any shape
        Log-moneyness `ln(K / F_svi)`.
    a, b, rho, m, sigma : float, or arrays of that shape
        The slice: total variance at calibration.

    Returns
    -------
    array of the shape of `k`; may be negative for an inadmissible slice (M-1 floors it).
    """
    shifted = np.asarray(k, dtype=np.float64) - m
    return np.asarray(a + b * (rho * shifted + np.hypot(shifted, sigma)), dtype=np.float64)


def implied_vol(
    strike: Array, forward: Array, a: Array, b: Array, rho: Array, m: Array, sigma: Array, ref_tau: Array
) -> Floats:
    """Implied vol of a strike (M-1), sticky strike: `forward` and `ref_tau` are those of the calibration.

    Parameters
    ----------
    strike : array of any shape, USD, positive
    forward : float, or array of that shape, USD
    a, b, rho, m, sigma : likewise
        Raw SVI parameters.
    ref_tau : likewise
        Years to expiry at calibration, positive.

    Returns
    -------
    array of the shape of `strike`, vol a year in [1%, 1000%].
    """
    k = np.log(np.asarray(strike, dtype=np.float64) / forward)
    w = np.maximum(total_variance(k, a, b, rho, m, sigma), 0.0)
    return np.asarray(np.clip(np.sqrt(w / ref_tau), VOL_MIN, VOL_MAX), dtype=np.float64)
