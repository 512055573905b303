# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Tail harness: the internal functions of the libraries of the tail, for tests only
@notice Each function has the name of its library and its own; see the libraries for units and rounding.
@custom:security Never deployed with the protocol.
"""

from contracts.libraries import moves
from contracts.libraries import tail

BATCH: constant(uint256) = 1024


@external
@pure
def tail_measure(pnl: int256[4][64], count: uint256, k: uint256) -> (int256, int256, uint256):
    return tail.measure(pnl, count, k)


@external
@pure
def moves_price(rows: DynArray[uint256, BATCH], unit: int256) -> DynArray[int256, BATCH]:
    values: DynArray[int256, BATCH] = []
    for row: uint256 in rows:
        values.append(moves.price(row, unit))
    return values


@external
@pure
def moves_words(rows: DynArray[uint256, 64], unit: int256, open: int256) -> uint256[4][64]:
    return moves.words(rows, unit, open)
