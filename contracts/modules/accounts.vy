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
# As PORTFOLIO with another scan (M-20): the expected shortfall over a scenario set, and the larger of that and the grid's.
VAR: constant(uint256) = 3
MAX: constant(uint256) = 4
# What an operator may do.
TRADE: constant(uint256) = 1
FUNDS: constant(uint256) = 2

account_count: public(uint256)
owner_of: public(HashMap[uint256, address])
mode_of: public(HashMap[uint256, uint256])
# By account, by the owner who appointed the key: another owner has other keys.
_operators: HashMap[uint256, HashMap[address, HashMap[address, IClearingHouse.Operator]]]


@external
def create_account(mode: uint256) -> uint256:
    """
    @custom:see IClearingHouse
    """
    assert mode <= MAX, "accounts: mode"
    account: uint256 = self.account_count + 1
    self.account_count = account
    self.owner_of[account] = msg.sender
    self.mode_of[account] = mode
    log IClearingHouse.AccountCreated(account=account, owner=msg.sender, mode=mode)
    return account


@external
def set_operator(account: uint256, operator: address, expiry: uint256, scope: uint256):
    """
    @custom:see IClearingHouse
    """
    self._require_owner(account)
    assert scope <= TRADE | FUNDS, "accounts: scope"
    self._operators[account][msg.sender][operator] = IClearingHouse.Operator(expiry=expiry, scope=scope)
    log IClearingHouse.OperatorSet(account=account, operator=operator, expiry=expiry, scope=scope)


@external
def transfer_account(account: uint256, new_owner: address):
    """
    @custom:see IClearingHouse
    """
    self._require_owner(account)
    assert new_owner != empty(address), "accounts: owner"
    self.owner_of[account] = new_owner
    log IClearingHouse.AccountTransferred(account=account, previous_owner=msg.sender, owner=new_owner)


@external
@view
def operators(account: uint256, operator: address) -> IClearingHouse.Operator:
    """
    @custom:see IClearingHouse
    """
    return self._operators[account][self.owner_of[account]][operator]


@internal
def _set_mode(account: uint256, mode: uint256):
    """
    @notice Changes the mode; the caller of this function checks the account.
    """
    self._require_owner(account)
    assert mode <= MAX, "accounts: mode"
    self.mode_of[account] = mode
    log IClearingHouse.ModeSet(account=account, mode=mode)


@external
@view
def controls(account: uint256, caller: address, scope: uint256) -> bool:
    """
    @custom:see IClearingHouse
    """
    return self._controls(account, caller, scope)


@internal
@view
def _require_owner(account: uint256):
    """
    @notice Only the owner passes. An account that does not exist has the empty owner, who cannot call.
    """
    assert self.owner_of[account] == msg.sender, "accounts: not the owner"


@internal
@view
def _controls(account: uint256, caller: address, scope: uint256) -> bool:
    """
    @return Whether the caller is the owner, or an operator of that scope whose time is not up.
    """
    if self.owner_of[account] == caller:
        return True
    key: IClearingHouse.Operator = self._operators[account][self.owner_of[account]][caller]
    return block.timestamp < key.expiry and key.scope & scope != 0


@internal
@view
def _require_control(account: uint256):
    """
    @notice Only the owner and operators of its funds pass.
    """
    self._require_scope(account, msg.sender, FUNDS)


@internal
@view
def _require_scope(account: uint256, caller: address, scope: uint256):
    """
    @notice Only the owner and operators of that scope pass.
    """
    assert self._controls(account, caller, scope), "accounts: not authorised"
