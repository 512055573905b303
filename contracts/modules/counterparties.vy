# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Counterparties: what two accounts hold against each other, and what that has gained
@notice Packages here have the signs of the first account: of each instrument that the second one holds with the opposite sign,
        as much as both have. Notional is |size| * spot, whatever the instrument. What the second account has gained by futures
        and perpetuals is measured against the fixings of the last two 08:00 UTC: what their sizes make of the move of spot
        since. Money at 1e-18 quote units.
@custom:security Stateless. No entry price is used: a gain counted from entries is put back to zero by whoever pays the variation
        of an account, or hands a position over at its mark to another account of its own.
"""

from contracts.interfaces import IMarketData
from contracts.libraries import position
from contracts.modules import positions

DAY: constant(uint256) = 86_400
# Fixings are at 08:00 UTC.
TIME_OF_DAY: constant(uint256) = 8 * 3600
# A size of 1e-6 times a price of 1e-9, to 1e-18.
TO_WAD: constant(int256) = 10**3

struct Measure:
    notional: int256
    gain: int256  # of the other side, by futures and perpetuals, since the last fixing
    earlier_gain: int256  # since that of the day before


@internal
@pure
def _opposite(
    book: DynArray[uint256, positions.MAX_LEGS], other: DynArray[uint256, positions.MAX_LEGS]
) -> DynArray[uint256, positions.MAX_LEGS]:
    """
    @param book Ascending.
    @param other Ascending.
    @return Of each instrument held by both with opposite signs, what both have, with the sign of the first book.
    """
    package: DynArray[uint256, positions.MAX_LEGS] = []
    i: uint256 = 0
    j: uint256 = 0
    for _: uint256 in range(2 * positions.MAX_LEGS):
        if i == len(book) or j == len(other):
            break
        ours: uint256 = position.instrument(book[i])
        theirs: uint256 = position.instrument(other[j])
        if ours == theirs:
            size: int256 = position.size(book[i])
            against: int256 = -position.size(other[j])
            if size > 0 and against > 0:
                package.append(positions._resize(book[i], min(size, against)))
            elif size < 0 and against < 0:
                package.append(positions._resize(book[i], max(size, against)))
        if ours <= theirs:
            i += 1
        if theirs <= ours:
            j += 1
    return package


@internal
@view
def _measure(legs: DynArray[uint256, positions.MAX_LEGS], market_data: IMarketData) -> Measure:
    """
    @param legs A package.
    @param market_data Where spot and fixings are.
    @return Its notional, and what the other side has gained by its futures and perpetuals. Where there was no fixing yet there
            is no gain.
    """
    m: Measure = empty(Measure)
    last: uint256 = (block.timestamp + DAY - TIME_OF_DAY) // DAY * DAY - DAY + TIME_OF_DAY
    underlying: uint256 = 0
    spot: int256 = 0
    move: int256 = 0
    earlier_move: int256 = 0
    for word: uint256 in legs:
        if position.underlying(word) != underlying:
            underlying = position.underlying(word)
            words: DynArray[uint256, 33] = []
            fresh: bool = False
            words, fresh = staticcall market_data.read(underlying, [])
            spot = convert(words[0] >> 184, int256)
            move = self._move(underlying, last, spot, market_data)
            earlier_move = self._move(underlying, last - DAY, spot, market_data)
        size: int256 = position.size(word) * TO_WAD
        m.notional += abs(size) * spot
        if position.kind(word) < position.CALL:
            m.gain -= size * move
            m.earlier_gain -= size * earlier_move
    return m


@internal
@view
def _move(underlying: uint256, time: uint256, spot: int256, market_data: IMarketData) -> int256:
    """
    @return How far spot has come since the fixing of a time, 1e-9; 0 where there was none.
    """
    price: uint256 = 0
    is_final: bool = False
    price, is_final = staticcall market_data.settlement(underlying, time)
    if not is_final:
        return 0
    return spot - convert(price, int256)
