# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Raw SVI: the implied volatility of a strike (M-1)
@notice w(k) = a + b (rho (k - m) + sqrt((k - m)**2 + sigma**2)), vol = sqrt(max(w, 0) / ref_tau) within [1%, 1000%].
        Source: J. Gatheral, A parsimonious arbitrage-free implied volatility parameterization, 2004.
"""

from contracts.interfaces import IPricingKernel

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 86400
MIN_VOL: constant(int256) = 10**16
MAX_VOL: constant(int256) = 10 * 10**18


@internal
@pure
def vol(surface: IPricingKernel.Surface, log_strike: int256) -> int256:
    """
    @notice Implied volatility of a strike; rounded down.
    @param surface a, b, rho, m, sigma in 1e-18; tenor at calibration in seconds, positive; ln of the forward at
           calibration in 1e-18. |a|, |m| and b below 2**9, |rho| at most 1 (all in 1.0), so that nothing overflows.
    @param log_strike ln K, 1e-18, |ln K| below 64 (in 1.0).
    @return The volatility for a year, 1e-18, in [1%, 1000%].
    """
    # |k - m| < 2**70; squares and products below 2**142; b times the sum below 2**144.
    k: int256 = unsafe_sub(unsafe_sub(log_strike, surface.log_forward), surface.m)
    root: uint256 = isqrt(
        convert(
            convert(unsafe_add(unsafe_mul(k, k), unsafe_mul(surface.sigma, surface.sigma)), bytes32), uint256
        )
    )
    # Total variance at 1e-36: no rounding after the two of the inner sum.
    w: int256 = unsafe_add(
        unsafe_mul(surface.a, WAD),
        unsafe_mul(
            surface.b,
            unsafe_add(unsafe_div(unsafe_mul(surface.rho, k), WAD), convert(convert(root, bytes32), int256)),
        ),
    )
    if w <= 0:
        return MIN_VOL
    # w < 2**145 and a year is below 2**25 seconds.
    variance: int256 = unsafe_div(unsafe_mul(w, YEAR), surface.ref_seconds)
    return min(
        max(convert(convert(isqrt(convert(convert(variance, bytes32), uint256)), bytes32), int256), MIN_VOL), MAX_VOL
    )
