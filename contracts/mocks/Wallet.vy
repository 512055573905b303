# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Wallet: a contract that owns accounts and signs by EIP-1271
@notice Accepts whatever its owner marked. For tests only.
"""

MAX_PAYLOAD: constant(uint256) = 4096
MAGIC: constant(bytes4) = 0x1626ba7e

owner: address
_signed: HashMap[bytes32, bool]


@deploy
def __init__():
    self.owner = msg.sender


@external
def sign(digest: bytes32, valid: bool):
    """@notice Marks a digest as signed, or takes it back."""
    assert msg.sender == self.owner, "wallet: owner"
    self._signed[digest] = valid


@external
def call(target: address, payload: Bytes[MAX_PAYLOAD]):
    """@notice Acts as a user."""
    assert msg.sender == self.owner, "wallet: owner"
    raw_call(target, payload)


@external
@view
def isValidSignature(digest: bytes32, signature: Bytes[512]) -> bytes4:
    """@notice The magic value for a marked digest, whatever the signature."""
    if self._signed[digest]:
        return MAGIC
    return empty(bytes4)
