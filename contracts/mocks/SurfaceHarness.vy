# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Surface harness: the arbitrage checks of the library, for tests only
@notice Apart from the other libraries, whose tables leave no room for it.
@custom:security Never deployed with the protocol.
"""

from contracts.interfaces import IMarketData
from contracts.libraries import surface

BATCH: constant(uint256) = 1024


@external
@pure
def flaws(updates: DynArray[IMarketData.ExpiryUpdate, BATCH], timestamp: uint256) -> DynArray[uint256, BATCH]:
    found: DynArray[uint256, BATCH] = []
    for update: IMarketData.ExpiryUpdate in updates:
        if surface.is_admissible(update, timestamp):
            found.append(surface.flaw(surface.remaining(update, timestamp)))
        else:
            found.append(surface.PARAMETERS)
    return found


@external
@pure
def crossings(updates: DynArray[IMarketData.ExpiryUpdate, BATCH], timestamp: uint256) -> DynArray[bool, BATCH]:
    # Of each with the one before it, the first with itself; no matter in which order they expire.
    found: DynArray[bool, BATCH] = []
    near: surface.Slice = empty(surface.Slice)
    for update: IMarketData.ExpiryUpdate in updates:
        far: surface.Slice = surface.remaining(update, timestamp)
        if len(found) == 0:
            near = far
        found.append(surface.crosses(near, far))
        near = far
    return found


@external
@view
def require_free_of_arbitrage(updates: DynArray[IMarketData.ExpiryUpdate, surface.MAX_EXPIRIES], timestamp: uint256) -> uint256:
    before: uint256 = msg.gas
    surface.require_free_of_arbitrage(updates, timestamp)
    return before - msg.gas
