# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Price source: says what a test wants it to say
"""

_price: uint256
_fresh: bool


@deploy
def __init__(price: uint256):
    self._price = price
    self._fresh = True


@external
def set_price(price: uint256, fresh: bool):
    """
    @param price 1e-18 quote units for one whole token.
    @param fresh Whether it may be used to raise risk.
    """
    self._price = price
    self._fresh = fresh


@external
@view
def price() -> (uint256, bool):
    return self._price, self._fresh
