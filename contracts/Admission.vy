# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Admission: a minimum equity and an allow-list for portfolio mode (M-17)
@notice Both are off until they are set, and ask nothing before the clearing house is told of this contract. The public
        surface, with its natspec, is IAdmission.
@custom:security See IAdmission.
"""

from contracts.interfaces import IAdmission
from contracts.interfaces import IClearingHouse

implements: IAdmission

clearing_house: public(immutable(address))
minimum_equity: public(int256)
allow_list: public(bool)
is_allowed: public(HashMap[address, bool])


@deploy
def __init__(clearing_house_: address):
    """
    @notice Ties it to a clearing house, whose owner sets the terms.
    @param clearing_house_ IClearingHouse.
    """
    clearing_house = clearing_house_


@external
@view
def admits(owner: address, equity: int256) -> bool:
    """
    @custom:see IAdmission
    """
    if equity < self.minimum_equity:
        return False
    return not self.allow_list or self.is_allowed[owner]


@external
def set_minimum_equity(minimum: int256):
    """
    @custom:see IAdmission
    """
    self._require_owner()
    assert minimum >= 0, "admission: minimum"
    self.minimum_equity = minimum
    log IAdmission.MinimumEquitySet(minimum_equity=minimum)


@external
def set_allow_list(enabled: bool):
    """
    @custom:see IAdmission
    """
    self._require_owner()
    self.allow_list = enabled
    log IAdmission.AllowListSet(enabled=enabled)


@external
def set_allowed(owner: address, allowed: bool):
    """
    @custom:see IAdmission
    """
    self._require_owner()
    self.is_allowed[owner] = allowed
    log IAdmission.OwnerAllowed(owner=owner, allowed=allowed)


@internal
@view
def _require_owner():
    """
    @notice Only the owner of the clearing house passes.
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"
