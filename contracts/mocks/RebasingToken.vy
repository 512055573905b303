# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Rebasing token: balances are shares times an index that moves, as those of stETH
@notice The index moves by reward and slashing. For tests only: such a token is not to be listed, but held wrapped.
"""

WAD: constant(uint256) = 10**18

decimals: public(constant(uint8)) = 18
index: public(uint256)
shares: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(index: uint256):
    """
    @param index Token units of a share, 1e-18.
    """
    self.index = index


@external
def set_index(index: uint256):
    """@notice Reward or slashing: changes every balance in proportion."""
    self.index = index


@external
def mint(to: address, amount: uint256):
    self.shares[to] += amount * WAD // self.index


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
@view
def balanceOf(owner: address) -> uint256:
    return self.shares[owner] * self.index // WAD


@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return True


@internal
def _move(owner: address, to: address, amount: uint256):
    # Down, as stETH does: what arrives may be a unit less than the amount.
    shares: uint256 = amount * WAD // self.index
    self.shares[owner] -= shares
    self.shares[to] += shares
