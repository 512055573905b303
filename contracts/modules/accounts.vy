# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Accounts: ids with an owner, operators and a mode
"""

from contracts.interfaces import IClearingHouse

ISOLATED: constant(uint256) = 0
CROSS: constant(uint256) = 1
PORTFOLIO: constant(uint256) = 2

account_count: public(uint256)
owner_of: public(HashMap[uint256, address])
mode_of: public(HashMap[uint256, uint256])
operator_expiry: public(HashMap[uint256, HashMap[address, uint256]])


@external
def create_account(mode: uint256) -> uint256:
    """
    @custom:see IClearingHouse
    """
    assert mode <= PORTFOLIO, "accounts: mode"
    account: uint256 = self.account_count + 1
    self.account_count = account
    self.owner_of[account] = msg.sender
    self.mode_of[account] = mode
    log IClearingHouse.AccountCreated(account=account, owner=msg.sender, mode=mode)
    return account


@external
def set_operator(account: uint256, operator: address, expiry: uint256):
    """
    @custom:see IClearingHouse
    """
    self._require_owner(account)
    self.operator_expiry[account][operator] = expiry
    log IClearingHouse.OperatorSet(account=account, operator=operator, expiry=expiry)


@internal
def _set_mode(account: uint256, mode: uint256):
    """
    @notice Changes the mode; the caller of this function checks the account.
    """
    self._require_owner(account)
    assert mode <= PORTFOLIO, "accounts: mode"
    self.mode_of[account] = mode
    log IClearingHouse.ModeSet(account=account, mode=mode)


@external
@view
def controls(account: uint256, caller: address) -> bool:
    """
    @custom:see IClearingHouse
    """
    return self._controls(account, caller)


@internal
@view
def _require_owner(account: uint256):
    """
    @notice Only the owner passes. An account that does not exist has the empty owner, who cannot call.
    """
    assert self.owner_of[account] == msg.sender, "accounts: not the owner"


@internal
@view
def _controls(account: uint256, caller: address) -> bool:
    """
    @return Whether the caller is the owner or an operator whose time is not up.
    """
    return self.owner_of[account] == caller or block.timestamp < self.operator_expiry[account][caller]


@internal
@view
def _require_control(account: uint256):
    """
    @notice Only the owner and operators pass.
    """
    assert self._controls(account, msg.sender), "accounts: not authorised"
