# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Library harness: the internal functions of the libraries, for tests only
@notice Each function has the name of its library and its own; see the libraries for units and rounding.
@custom:security Never deployed with the protocol.
"""

from contracts.interfaces import IPricingKernel
from contracts.libraries import aggregation
from contracts.libraries import fixed_point
from contracts.libraries import normal
from contracts.libraries import position
from contracts.libraries import svi

initializes: normal

BATCH: constant(uint256) = 1024


struct Fields:
    instrument: uint256
    underlying: uint256
    expiry: uint256
    strike: int256
    kind: uint256
    size: int256
    log_strike: int256


@deploy
def __init__(table: uint256[normal.INTERVALS]):
    normal.__init__(table)


@external
@pure
def fixed_point_div(a: int256, b: int256) -> (int256, int256):
    return fixed_point.div_down(a, b), fixed_point.div_up(a, b)


@external
@pure
def fixed_point_mul(a: int256, b: int256) -> (int256, int256):
    return fixed_point.mul_down(a, b), fixed_point.mul_up(a, b)


@external
@view
def normal_cdf(arguments: DynArray[int256, BATCH]) -> DynArray[int256, BATCH]:
    values: DynArray[int256, BATCH] = []
    for t: int256 in arguments:
        values.append(normal.cdf(t))
    return values


@external
@pure
def normal_pdf(arguments: DynArray[int256, BATCH]) -> DynArray[int256, BATCH]:
    values: DynArray[int256, BATCH] = []
    for d: int256 in arguments:
        values.append(normal.pdf(d))
    return values


@external
@pure
def svi_vol(surface: IPricingKernel.Surface, log_strikes: DynArray[int256, BATCH]) -> DynArray[int256, BATCH]:
    values: DynArray[int256, BATCH] = []
    for log_strike: int256 in log_strikes:
        values.append(svi.vol(surface, log_strike))
    return values


@external
@pure
def position_pack(underlying: uint256, expiry: uint256, strike: uint256, kind: uint256, size: int256) -> uint256:
    return position.pack(underlying, expiry, strike, kind, size)


@external
@pure
def position_fields(word: uint256) -> Fields:
    return Fields(
        instrument=position.instrument(word),
        underlying=position.underlying(word),
        expiry=position.expiry(word),
        strike=position.strike(word),
        kind=position.kind(word),
        size=position.size(word),
        log_strike=position.log_strike(word),
    )


@external
@pure
def aggregation_worst(pnl: DynArray[int256, aggregation.MAX_SCENARIOS]) -> uint256:
    return aggregation.worst(pnl)


@external
@pure
def aggregation_offset_charge(longs: int256, shorts: int256, rate: int256) -> int256:
    return aggregation.offset_charge(longs, shorts, rate)


@external
@pure
def aggregation_liquidation_cost(amount: int256, rate: int256, depth: int256) -> int256:
    return aggregation.liquidation_cost(amount, rate, depth)
