# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Orders: what an account agreed to, how much of it is filled, and what it took back
@notice The hash (EIP-712) of an order is its name: signatures and approvals are of it, and what is filled is kept by it. The
        nonce is the handle by which orders are cancelled, one, many or all below; filling spends no nonce.
@custom:security Consent is that of a named signer. Whether the signer may act for the account, the clearing house asks
        itself at the moment of the fill, since its views are locked then: an operator's orders end with the operator.
"""

from snekmate.utils import ecdsa
from snekmate.utils import eip712_domain_separator

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IExchange

uses: eip712_domain_separator

MAX_PACKAGE: constant(uint256) = 16
# Seven signatures of a multi-signature wallet and what is beside them.
MAX_SIGNATURE: constant(uint256) = 512
TRADE: constant(uint256) = 1
# isValidSignature(bytes32,bytes), which is the answer too.
EIP1271: constant(bytes4) = 0x1626ba7e
LEG_TYPE: constant(bytes32) = keccak256(
    "Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 ratio,uint256 price)"
)
ORDER_TYPE: constant(bytes32) = keccak256(
    "Order(uint256 account,Leg[] legs,uint256 lots,uint256 maxFee,uint256 counterparty,uint256 nonce,uint256 deadline)Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 ratio,uint256 price)"
)

clearing_house: public(immutable(address))
filled: public(HashMap[bytes32, uint256])
approved: public(HashMap[bytes32, HashMap[address, bool]])
lowest_nonce: public(HashMap[uint256, uint256])
# 256 nonces a word.
_cancelled: HashMap[uint256, HashMap[uint256, uint256]]


@deploy
def __init__(clearing_house_: address):
    """
    @notice Fixes whose accounts sign.
    @param clearing_house_ IClearingHouse.
    """
    clearing_house = clearing_house_


@external
def approve(order: IExchange.Order):
    """
    @custom:see IExchange
    """
    self._require_control(order.account)
    digest: bytes32 = self._digest(order)
    self.approved[digest][msg.sender] = True
    log IExchange.OrderApproved(account=order.account, digest=digest, signer=msg.sender, order=order)


@external
def cancel(account: uint256, nonce: uint256):
    """
    @custom:see IExchange
    """
    self._cancel(account, nonce >> 8, 1 << (nonce & 255))


@external
def cancel_range(account: uint256, word: uint256, mask: uint256):
    """
    @custom:see IExchange
    """
    self._cancel(account, word, mask)


@external
def cancel_below(account: uint256, nonce: uint256):
    """
    @custom:see IExchange
    """
    self._require_control(account)
    assert nonce > self.lowest_nonce[account], "exchange: nonce"
    self.lowest_nonce[account] = nonce
    log IExchange.CancelledBelow(account=account, nonce=nonce)


@external
@view
def is_cancelled(account: uint256, nonce: uint256) -> bool:
    """
    @custom:see IExchange
    """
    return self._is_cancelled(account, nonce)


@external
@view
def hash_order(order: IExchange.Order) -> bytes32:
    """
    @custom:see IExchange
    """
    return self._digest(order)


@internal
def _consent(
    order: IExchange.Order,
    signer: address,
    signature: Bytes[MAX_SIGNATURE],
    caller: address,
    other: uint256,
    lots: uint256,
):
    """
    @notice Spends a part of an order, or refuses.
    @param order The order.
    @param signer Who consented: the caller by calling, anybody else by signature or approval.
    @param signature Empty where the signer called or approved.
    @param caller Of the clearing house.
    @param other The account on the other side.
    @param lots How many of the order's.
    """
    assert block.timestamp <= order.deadline, "exchange: expired"
    assert order.counterparty == 0 or order.counterparty == other, "exchange: counterparty"
    # It owns every account that does not exist.
    assert signer != empty(address), "exchange: signer"
    if signer == caller:
        # Nothing of it can be used again.
        assert lots <= order.lots, "exchange: filled"
        return
    digest: bytes32 = self._digest(order)
    assert not self._is_cancelled(order.account, order.nonce), "exchange: cancelled"
    filled: uint256 = self.filled[digest] + lots
    assert filled <= order.lots, "exchange: filled"
    self._require_signed(digest, signer, signature)
    self.filled[digest] = filled
    log IExchange.OrderFilled(account=order.account, digest=digest, lots=lots, filled=filled)


@internal
@view
def _require_signed(digest: bytes32, signer: address, signature: Bytes[MAX_SIGNATURE]):
    """
    @notice A wallet that is a contract signs by EIP-1271 alone, as in snekmate's signature_checker, whose signatures are too
            short for wallets of many keys.
    """
    if len(signature) == 0:
        assert self.approved[digest][signer], "exchange: not approved"
    elif signer.is_contract:
        success: bool = False
        answer: Bytes[32] = b""
        success, answer = raw_call(
            signer,
            abi_encode(digest, signature, method_id=EIP1271),
            max_outsize=32,
            is_static_call=True,
            revert_on_failure=False,
        )
        assert success and len(answer) == 32, "exchange: wallet"
        assert convert(answer, bytes32) == convert(EIP1271, bytes32), "exchange: wallet"
    else:
        assert len(signature) == 65, "exchange: signature"
        assert ecdsa._recover_sig(digest, slice(signature, 0, 65)) == signer, "exchange: signature"


@internal
def _cancel(account: uint256, word: uint256, mask: uint256):
    """
    @notice Cancels the nonces 256 * word + i for the bits i of the mask.
    """
    self._require_control(account)
    self._cancelled[account][word] |= mask
    log IExchange.Cancelled(account=account, word=word, mask=mask)


@internal
@view
def _is_cancelled(account: uint256, nonce: uint256) -> bool:
    """
    @return Whether orders with this nonce are worthless.
    """
    return nonce < self.lowest_nonce[account] or (self._cancelled[account][nonce >> 8] >> (nonce & 255)) & 1 == 1


@internal
@view
def _require_control(account: uint256):
    """
    @notice Only the account's owner and operators who may trade pass.
    """
    allowed: bool = staticcall IClearingHouse(clearing_house).controls(account, msg.sender, TRADE)
    assert allowed, "accounts: not authorised"


@internal
@view
def _digest(order: IExchange.Order) -> bytes32:
    """
    @notice EIP-712: the hash of an array of structs is that of their hashes, one after the other.
    """
    hashes: bytes32[MAX_PACKAGE] = empty(bytes32[MAX_PACKAGE])
    n: uint256 = 0
    for leg: IExchange.Leg in order.legs:
        hashes[n] = keccak256(abi_encode(LEG_TYPE, leg))
        n += 1
    packed: Bytes[32 * MAX_PACKAGE] = slice(abi_encode(hashes), 0, 32 * n)
    return eip712_domain_separator._hash_typed_data_v4(
        keccak256(
            abi_encode(
                ORDER_TYPE,
                order.account,
                keccak256(packed),
                order.lots,
                order.max_fee,
                order.counterparty,
                order.nonce,
                order.deadline,
            )
        )
    )
