# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Exchange: what two sides agreed to
@notice The maker's side signs a package or approves it on chain. Nonces have no order, so that makers can quote many
        packages at once. The public surface, with its natspec, is IExchange.
@custom:security Holds no money and no positions: it can refuse a trade, and the clearing house checks both sides of any
        that it lets pass.
"""

from snekmate.utils import eip712_domain_separator
from snekmate.utils import signature_checker

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IExchange
from contracts.interfaces import IMarketData
from contracts.libraries import position

implements: IExchange

initializes: eip712_domain_separator

MAX_PACKAGE: constant(uint256) = 16
MAX_LEGS: constant(uint256) = 128
# Prices come at 1e-9 and sizes at 1e-6: their product wants three digits more.
TO_WAD: constant(int256) = 10**3
PRICE_LIMIT: constant(uint256) = 2**72
MAX_STRIKE_RATIO: constant(uint256) = 100
LEG_TYPE: constant(bytes32) = keccak256(
    "Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 size,uint256 price)"
)
TRADE_TYPE: constant(bytes32) = keccak256(
    "Trade(uint256 taker,uint256 maker,Leg[] legs,uint256 nonce,uint256 deadline)Leg(uint256 underlying,uint256 expiry,uint256 strike,uint256 kind,int256 size,uint256 price)"
)


clearing_house: public(immutable(address))
nonce_used: public(HashMap[uint256, HashMap[uint256, bool]])
# Whose approval it is.
_approved: HashMap[uint256, HashMap[bytes32, address]]


@deploy
def __init__(clearing_house_: address):
    """
    @notice Fixes the EIP-712 domain and whom it serves.
    @param clearing_house_ IClearingHouse.
    """
    eip712_domain_separator.__init__("Ballast", "1")
    clearing_house = clearing_house_


@external
def approve_trade(account: uint256, digest: bytes32, approved: bool):
    """
    @custom:see IExchange
    """
    assert staticcall IClearingHouse(clearing_house).owner_of(account) == msg.sender, "accounts: not the owner"
    approver: address = empty(address)
    if approved:
        approver = msg.sender
    self._approved[account][digest] = approver
    log IExchange.TradeApproved(account=account, digest=digest, approved=approved)


@external
def cancel_nonce(account: uint256, nonce: uint256):
    """
    @custom:see IExchange
    """
    self._require_control(account)
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
    @custom:see IExchange
    """
    return self._digest(taker, maker, legs, nonce, deadline)


@external
def agree(
    taker: uint256,
    maker: uint256,
    maker_owner: address,
    maker_calls: bool,
    market_data: address,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
    signature: Bytes[65],
) -> (DynArray[uint256, MAX_LEGS], int256, int256, DynArray[uint256, MAX_PACKAGE]):
    """
    @custom:see IExchange
    """
    assert msg.sender == clearing_house, "exchange: caller"
    assert taker != maker, "exchange: one account"
    assert len(legs) != 0, "exchange: no legs"
    if not maker_calls:
        assert block.timestamp <= deadline, "exchange: deadline"
        self._use_nonce(maker, nonce)
        digest: bytes32 = self._digest(taker, maker, legs, nonce, deadline)
        # A failed recovery gives the empty address, which owns every account that does not exist.
        assert maker_owner != empty(address), "exchange: no such account"
        if len(signature) == 0:
            assert self._approved[maker][digest] == maker_owner, "exchange: not approved"
        else:
            assert signature_checker._is_valid_signature_now(maker_owner, digest, signature), "exchange: signature"

    package: DynArray[uint256, MAX_LEGS] = []
    premium: int256 = 0
    cost: int256 = 0
    last: uint256 = 0
    expiry: uint256 = 0
    highest_strike: uint256 = 0
    too_high: DynArray[uint256, MAX_PACKAGE] = []
    for leg: IClearingHouse.Leg in legs:
        assert leg.expiry == 0 or block.timestamp < leg.expiry, "exchange: expired"
        assert leg.price < PRICE_LIMIT, "exchange: price"
        word: uint256 = position.pack(leg.underlying, leg.expiry, leg.strike, leg.kind, leg.size)
        assert position.instrument(word) > last, "exchange: order"
        last = position.instrument(word)
        if leg.kind >= position.CALL:
            if word >> 216 != expiry:
                expiry = word >> 216
                highest_strike = self._highest_strike(market_data, leg.underlying, leg.expiry)
            if leg.strike > highest_strike:
                too_high.append(word)
        package.append(word)
        value: int256 = leg.size * convert(leg.price, int256) * TO_WAD
        if leg.kind < position.CALL:
            cost += value
        else:
            premium += value
    log IExchange.Traded(taker=taker, maker=maker, premium=premium, cost=cost, legs=legs)
    return package, premium, cost, too_high


@internal
@view
def _highest_strike(market_data: address, underlying: uint256, expiry: uint256) -> uint256:
    """
    @notice A put far in the money grows by interest on its strike, which no scenario of prices covers: a hundred times
            the forward is the limit. Where there is no forward the engine will say so.
    @return The highest strike that may be traded, 1e-6 quote units.
    """
    words: DynArray[uint256, 33] = []
    fresh: bool = False
    words, fresh = staticcall IMarketData(market_data).read(underlying, [expiry])
    forward: uint256 = words[1] >> 184
    # From 1e-9 to 1e-6.
    return MAX_STRIKE_RATIO * forward // 10**3 if forward != 0 else max_value(uint256)


@internal
@view
def _require_control(account: uint256):
    """
    @notice Only the account's owner and operators pass.
    """
    assert staticcall IClearingHouse(clearing_house).controls(account, msg.sender), "accounts: not authorised"


@internal
def _use_nonce(account: uint256, nonce: uint256):
    assert not self.nonce_used[account][nonce], "exchange: nonce"
    self.nonce_used[account][nonce] = True
    log IExchange.NonceUsed(account=account, nonce=nonce)


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
