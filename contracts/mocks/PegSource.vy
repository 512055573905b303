# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Peg source: says what a test wants it to say
"""

from contracts.interfaces import IPegSource

implements: IPegSource

_peg: uint256
_fresh: bool


@deploy
def __init__(peg: uint256):
    self._peg = peg
    self._fresh = True


@external
def set_peg(peg: uint256, fresh: bool):
    """
    @param peg 1e-18.
    @param fresh Whether it may be used to raise risk.
    """
    self._peg = peg
    self._fresh = fresh


@external
@view
def peg() -> (uint256, bool):
    """
    @custom:see IPegSource
    """
    return self._peg, self._fresh
