# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Rounding: what cutting the sizes of a slice to 1e-6 can change, and what a bidder needs in spite of it
@notice The premium bounds, for both sides of a slice that is not all, how far value and requirement may be from their parts.
@custom:security Stateless. Holds for methodologies whose scan range is at most 40%, whose covered moves are at most one scan range,
        and whose flat charge is at most 100 quote units a unit.
"""

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.libraries import fixed_point
from contracts.libraries import position

WAD: constant(int256) = 10**18
PORTFOLIO: constant(uint256) = 2
MAX_LEGS: constant(uint256) = 128
# What a unit of a leg can be worth and need together, at most: so many times spot and strike, and so much for flat charges.
# A call is worth less than F, a put less than K D; each scenario of the presets takes at most 1.4 F or K D of that, other
# charges 0.3 F; initial margin is 1.25 times as much; F is within a quarter of spot.
SPOTS: constant(int256) = 6
# A row of a scenario set lets a price rise by 4 F, and so what a call is worth by 5 F: with D up to 1.5, F up to 1.25 spots and
# 1 + 1.25 (5 + 0.3) of F D it is 14.3 spots.
TAIL_SPOTS: constant(int256) = 15
STRIKES: constant(int256) = 4
FLAT: constant(int256) = 250 * 10**18
# Sizes are cut to the millionth of a unit.
MILLION: constant(int256) = 10**6
# More than the units of 1e-18 that are lost by rounding amounts one by one.
ROUNDING: constant(int256) = 10**6


@internal
@view
def _premium(state: IMarginEngine.Account, market_data: address) -> int256:
    """
    @param state The account.
    @param market_data IMarketData.
    @return What a millionth of a unit of every leg can be worth and need at most, 1e-18 quote units.
    """
    total: int256 = 0
    underlying: uint256 = 0
    spot: int256 = 0
    spots: int256 = SPOTS
    if state.mode > PORTFOLIO:
        spots = TAIL_SPOTS
    for word: uint256 in state.legs:
        # Fields of words are taken out in place, as in `positions._merge`.
        if word >> 248 != underlying:
            underlying = word >> 248
            words: DynArray[uint256, 33] = []
            fresh: bool = False
            words, fresh = staticcall IMarketData(market_data).read(underlying, [])
            spot = convert(words[0] >> 184, int256) * 10**9
            if (word >> 144) & 255 == position.PERP:
                # The first leg of its underlying; it is worth its mark net of all funding since the beginning.
                funding: int256 = staticcall IMarketData(market_data).funding(underlying)
                total += abs(funding)
        total += spots * spot + STRIKES * convert(((word >> 152) & (2**64 - 1)) * 10**12, int256) + FLAT
    return fixed_point.div_up(total, MILLION)


@internal
@pure
def _needs(
    state: IMarginEngine.Account,
    figures: IMarginEngine.Assessment,
    fraction: int256,
    price: int256,
    premium: int256,
) -> int256:
    """
    @return Cash with which a bidder that has nothing else has initial margin with that fraction: the price and its part of
            IM - E. Of collateral it gets whole units, so that only all of it is a known part.
    """
    needs: int256 = price + fixed_point.mul_up(figures.initial - figures.equity_initial, fraction) + ROUNDING
    if fraction != WAD:
        if len(state.holdings) != 0:
            return max_value(int256)
        needs += premium
    if not figures.fresh:
        return max_value(int256)
    return needs
