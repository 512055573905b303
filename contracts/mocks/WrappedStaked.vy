# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Wrapped staked ether: shares of a token that rebases, as wstETH holds stETH
@notice A share is worth more or less by the index of the token inside; balances stay. For tests only.
"""

from contracts.mocks import RebasingToken
from contracts.mocks import Token

initializes: Token

exports: Token.__interface__

inside: public(immutable(address))


@deploy
def __init__(inside_: address):
    """
    @param inside_ RebasingToken.
    """
    inside = inside_
    Token.__init__("Wrapped staked ether", "wstETH", 18)


@external
@view
def stEthPerToken() -> uint256:
    return staticcall RebasingToken.__at__(inside).index()
