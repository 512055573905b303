# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Consent: how the maker of a trade authorises it
@notice One digest (EIP-712) stands for a package, its two accounts, a nonce and a deadline. The maker's side signs it or
        approves it on chain. Nonces have no order, so that makers can quote many packages at once.
@custom:security A signature is never an identifier: what is spent is the nonce.
"""

from snekmate.utils import eip712_domain_separator
from snekmate.utils import signature_checker

from contracts.interfaces import IClearingHouse
from contracts.modules import accounts

uses: accounts
initializes: eip712_domain_separator

MAX_PACKAGE: constant(uint256) = 16
LEG_TYPE: constant(bytes32) = keccak256(
    "Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 size,uint256 price)"
)
TRADE_TYPE: constant(bytes32) = keccak256(
    "Trade(uint256 taker,uint256 maker,Leg[] legs,uint256 nonce,uint256 deadline)Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 size,uint256 price)"
)

nonce_used: public(HashMap[uint256, HashMap[uint256, bool]])
_approved: HashMap[uint256, HashMap[bytes32, bool]]


@deploy
def __init__():
    """
    @notice Fixes the EIP-712 domain.
    """
    eip712_domain_separator.__init__("Ballast", "1")


@external
def approve_trade(account: uint256, digest: bytes32, approved: bool):
    """
    @custom:see IClearingHouse
    """
    accounts._require_control(account)
    self._approved[account][digest] = approved
    log IClearingHouse.TradeApproved(account=account, digest=digest, approved=approved)


@external
def cancel_nonce(account: uint256, nonce: uint256):
    """
    @custom:see IClearingHouse
    """
    accounts._require_control(account)
    self._use_nonce(account, nonce)


@external
@view
def hash_trade(
    taker: uint256,
    maker: uint256,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
) -> bytes32:
    """
    @custom:see IClearingHouse
    """
    return self._digest(taker, maker, legs, nonce, deadline)


@internal
def _require_maker(
    taker: uint256,
    maker: uint256,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
    signature: Bytes[65],
):
    """
    @notice Passes where the maker's side agreed to the package, and spends that consent.
    """
    if accounts._controls(maker, msg.sender):
        return
    assert block.timestamp <= deadline, "consent: deadline"
    self._use_nonce(maker, nonce)
    digest: bytes32 = self._digest(taker, maker, legs, nonce, deadline)
    if len(signature) == 0:
        assert self._approved[maker][digest], "consent: not approved"
    else:
        owner: address = accounts.owner_of[maker]
        # A failed recovery gives the empty address, which owns every account that does not exist.
        assert owner != empty(address), "consent: no such account"
        assert signature_checker._is_valid_signature_now(owner, digest, signature), "consent: signature"


@internal
def _use_nonce(account: uint256, nonce: uint256):
    assert not self.nonce_used[account][nonce], "consent: nonce"
    self.nonce_used[account][nonce] = True
    log IClearingHouse.NonceUsed(account=account, nonce=nonce)


@internal
@view
def _digest(
    taker: uint256,
    maker: uint256,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
) -> bytes32:
    """
    @notice EIP-712: the hash of an array of structs is that of their hashes, one after the other.
    """
    hashes: bytes32[MAX_PACKAGE] = empty(bytes32[MAX_PACKAGE])
    n: uint256 = 0
    for leg: IClearingHouse.Leg in legs:
        hashes[n] = keccak256(abi_encode(LEG_TYPE, leg))
        n += 1
    packed: Bytes[32 * MAX_PACKAGE] = slice(abi_encode(hashes), 0, 32 * n)
    return eip712_domain_separator._hash_typed_data_v4(
        keccak256(abi_encode(TRADE_TYPE, taker, maker, keccak256(packed), nonce, deadline))
    )
