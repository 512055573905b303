# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Authority: an owner who hands over in two steps, and a guardian who can only pause
@notice The functions of snekmate's two-step ownership, inside the lock and without a way to leave no owner.
"""

from snekmate.auth import ownable
from snekmate.auth import ownable_2step

from contracts.interfaces import IClearingHouse

initializes: ownable
initializes: ownable_2step[ownable := ownable]

RISK: constant(uint256) = 1
LIQUIDATION: constant(uint256) = 2

guardian: public(address)
paused: public(uint256)
# Contracts of the protocol that may post one-sided entries.
members: public(HashMap[address, bool])


@deploy
def __init__():
    """
    @notice The deployer becomes the owner.
    """
    ownable.__init__()
    ownable_2step.__init__()


@external
@view
def owner() -> address:
    """
    @custom:see IClearingHouse
    """
    return ownable.owner


@external
@view
def pending_owner() -> address:
    """
    @custom:see IClearingHouse
    """
    return ownable_2step.pending_owner


@external
def transfer_ownership(new_owner: address):
    """
    @custom:see IClearingHouse
    """
    self._require_owner()
    ownable_2step.pending_owner = new_owner
    log ownable_2step.OwnershipTransferStarted(previous_owner=ownable.owner, new_owner=new_owner)


@external
def accept_ownership():
    """
    @custom:see IClearingHouse
    """
    assert ownable_2step.pending_owner == msg.sender, "authority: not the new owner"
    ownable_2step._transfer_ownership(msg.sender)


@external
def set_guardian(new_guardian: address):
    """
    @custom:see IClearingHouse
    """
    self._require_owner()
    self.guardian = new_guardian
    log IClearingHouse.GuardianSet(guardian=new_guardian)


@external
def set_member(member: address, allowed: bool):
    """
    @custom:see IClearingHouse
    """
    self._require_owner()
    self.members[member] = allowed
    log IClearingHouse.MemberSet(member=member, allowed=allowed)


@external
def set_paused(flags: uint256):
    """
    @custom:see IClearingHouse
    """
    assert flags <= RISK | LIQUIDATION, "authority: flags"
    if msg.sender != ownable.owner:
        assert msg.sender == self.guardian, "authority: not the guardian"
        assert flags & self.paused == self.paused, "authority: only more"
    self.paused = flags
    log IClearingHouse.PauseSet(paused=flags)


@internal
@view
def _require_owner():
    """
    @notice Only the owner passes.
    """
    assert msg.sender == ownable.owner, "authority: not the owner"
