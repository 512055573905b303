# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Token: a well-behaved ERC-20 of any decimals that anyone may mint
@notice For tests, the demo and test networks.
@custom:security Worthless by design.
"""

from ethereum.ercs import IERC20

implements: IERC20

name: public(immutable(String[32]))
symbol: public(immutable(String[16]))
decimals: public(immutable(uint8))
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(name_: String[32], symbol_: String[16], decimals_: uint8):
    """
    @notice An empty token.
    @param name_ Its name.
    @param symbol_ Its symbol.
    @param decimals_ Its decimals.
    """
    name = name_
    symbol = symbol_
    decimals = decimals_


@external
def mint(to: address, amount: uint256):
    """
    @notice Makes new tokens.
    @param to Who gets them.
    @param amount Token units.
    """
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=empty(address), receiver=to, value=amount)


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Lets an address spend tokens of the caller.
    @param spender The address.
    @param amount Token units.
    @return True.
    """
    self.allowance[msg.sender][spender] = amount
    log IERC20.Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Sends tokens of the caller.
    @param to Who gets them.
    @param amount Token units.
    @return True.
    """
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Sends tokens that the caller was allowed to spend.
    @param owner Whose they are.
    @param to Who gets them.
    @param amount Token units.
    @return True.
    """
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return True


@internal
def _move(owner: address, to: address, amount: uint256):
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=owner, receiver=to, value=amount)
