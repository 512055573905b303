# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Expiry words: the market of an expiry, from the two words in which market data hand it out
@notice Fields as in `IMarketData`, for the kernels at 1e-18.
"""

from snekmate.utils import math

from contracts.interfaces import IPricingKernel

WAD: constant(int256) = 10**18
DAY: constant(int256) = 86400
MONTH: constant(int256) = 30 * 86400


@internal
@view
def market(
    forward: int256, one: uint256, two: uint256, expiry: uint256, power_short: int256, power_long: int256
) -> IPricingKernel.Expiry:
    """
    @notice What a kernel needs to know of an expiry.
    @param forward Of the first word, 1e-18, not zero.
    @param one The first word.
    @param two The second word.
    @param expiry Seconds since 1970.
    @param power_short Of h(tau) up to 30 days (M-5), 1e-18.
    @param power_long Beyond.
    @return The market.
    """
    tau: int256 = 0
    if expiry > block.timestamp:
        tau = convert(expiry - block.timestamp, int256)
    log_forward: int256 = math._wad_ln(forward)
    surface_forward: int256 = convert((one >> 112) & (2**72 - 1), int256) * 10**9
    surface_log: int256 = log_forward
    if surface_forward != forward:
        surface_log = math._wad_ln(surface_forward)
    # h = (30d / max(tau, 1d))**p (M-5).
    power: int256 = power_short
    if tau > MONTH:
        power = power_long
    return IPricingKernel.Expiry(
        forward=forward,
        log_forward=log_forward,
        rate=self._field(one >> 64),
        seconds=tau,
        vol_scale=math._wad_exp(math._wad_ln(MONTH * WAD // max(tau, DAY)) * power // WAD),
        surface=IPricingKernel.Surface(
            a=self._field(two >> 208),
            b=self._field(two >> 160),
            rho=self._field(two >> 112),
            m=self._field(two >> 64),
            sigma=self._field(two >> 16),
            ref_seconds=convert((one >> 32) & (2**32 - 1), int256),
            log_forward=surface_log,
        ),
    )


@internal
@pure
def _field(word: uint256) -> int256:
    """@return The lowest 48 bits, signed, from 1e-12 to 1e-18."""
    return (convert(convert(word << 208, bytes32), int256) >> 208) * 10**6
