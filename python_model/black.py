"""Black-76 option value (M-2) and Greeks (M-24), vectorised and total."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats, cdf, pdf

DAYS_PER_YEAR = 365.0

# Stands for a standard deviation of zero: d1 becomes huge, or 0 exactly at the money, and never 0/0.
TINY_DEVIATION = 1e-100

Array = Floats | float
Flags = NDArray[np.bool_] | bool


def d1_d2(forward: Array, strike: Array, deviation: Array) -> tuple[Floats, Floats]:
    """The two quantiles of Black-76 (M-2).

    Parameters
    ----------
    forward, strike : array, USD, not negative
    deviation : array
        `v = sigma sqrt(tau)`, not negative.

    Returns
    -------
    (d1, d2) : arrays of the broadcast shape
        `d1 = ln(F/K)/v + v/2`, `d2 = d1 - v`. A forward (strike) of zero gives minus (plus) infinity.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moneyness = np.log(np.asarray(forward, dtype=np.float64)) - np.log(np.asarray(strike, dtype=np.float64))
    # Both zero: an option on nothing at a price of nothing.
    moneyness = np.where(np.isnan(moneyness), 0.0, moneyness)
    v = np.maximum(np.asarray(deviation, dtype=np.float64), TINY_DEVIATION)
    d1 = moneyness / v + 0.5 * v
    return np.asarray(d1), np.asarray(d1 - v)


def value(forward: Array, strike: Array, sigma: Array, tau: Array, discount: Array, is_call: Flags) -> Floats:
    """Value of one European option on a forward (M-2).

    Puts are `D (K N(-d2) - F N(-d1))`: parity written out, without its cancellation.

    Parameters
    ----------
    forward, strike : array, USD, not negative
    sigma : array
        Vol a year, 1.00 = 100%.
    tau : array
        Years to expiry, not negative; at 0 the value is the discounted intrinsic value.
    discount : array
        `D = exp(-r tau)`.
    is_call : array of bool

    Returns
    -------
    array of the broadcast shape, USD for one unit, never negative or NaN.
    """
    forward = np.asarray(forward, dtype=np.float64)
    strike = np.asarray(strike, dtype=np.float64)
    d1, d2 = d1_d2(forward, strike, np.asarray(sigma, dtype=np.float64) * np.sqrt(np.asarray(tau, dtype=np.float64)))
    sign = np.where(is_call, 1.0, -1.0)
    undiscounted = sign * (forward * cdf(sign * d1) - strike * cdf(sign * d2))
    return np.asarray(discount * np.maximum(undiscounted, 0.0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Greeks:
    """Sensitivities of options, each an array of one shape (M-24).

    Attributes
    ----------
    delta : units of the underlying, `dV/dS` with `F/S` held
    gamma : change of delta for 1 USD of S, `F/S` held
    vega : USD for 1.00 of vol
    theta : USD a day
    rho : USD for 1.00 of rate, at a fixed forward
    """

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


def greeks(forward: Array, strike: Array, sigma: Array, tau: Array, rate: Array, spot: Array, is_call: Flags) -> Greeks:
    """Greeks of one long option (M-24).

    At `tau = 0` gamma, vega and rho are 0, delta is that of the discounted intrinsic value (one half at the money), and
    theta keeps only its carry `r V`.

    Parameters
    ----------
    forward, strike, spot : array, USD; spot positive
    sigma : array, vol a year
    tau : array, years, not negative
    rate : array, continuously compounded a year
    is_call : array of bool

    Returns
    -------
    Greeks of the broadcast shape; positive is a gain of the holder.
    """
    forward = np.asarray(forward, dtype=np.float64)
    tau = np.asarray(tau, dtype=np.float64)
    sigma = np.asarray(sigma, dtype=np.float64)
    rate = np.asarray(rate, dtype=np.float64)
    root = np.sqrt(tau)
    discount = np.exp(-rate * tau)
    d1, _ = d1_d2(forward, strike, sigma * root)
    sign = np.where(is_call, 1.0, -1.0)
    carry = forward / np.asarray(spot, dtype=np.float64)
    live = (root > 0.0) & (sigma > 0.0) & (forward > 0.0)
    density = np.where(live, pdf(d1), 0.0)
    safe_root = np.where(live, root, 1.0)
    safe_deviation = np.where(live, forward * sigma * root, 1.0)
    worth = value(forward, strike, sigma, tau, discount, is_call)
    decay = -discount * forward * density * sigma / (2.0 * safe_root)
    return Greeks(
        delta=np.asarray(discount * sign * cdf(sign * d1) * carry),
        gamma=np.asarray(discount * density / safe_deviation * carry * carry),
        vega=np.asarray(discount * forward * density * root),
        theta=np.asarray((decay + rate * worth) / DAYS_PER_YEAR),
        rho=np.asarray(-tau * worth),
    )
