# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Signed feed: market data that some of many signers have agreed to
@notice A publisher of market data that anybody may relay to. The public surface, with its natspec, is ISignedFeed.
@custom:security Judges an update by itself, static arbitrage included, and against the last surface; whether it is newer,
        within bounds and to be believed, market data judge. The owner chooses signers, and so what is believed: it belongs behind a timelock.
"""

from snekmate.auth import ownable
from snekmate.auth import ownable_2step
from snekmate.utils import ecdsa
from snekmate.utils import eip712_domain_separator

from contracts.interfaces import IMarketData
from contracts.interfaces import ISignedFeed
from contracts.libraries import surface

implements: ISignedFeed

initializes: ownable
initializes: ownable_2step[ownable := ownable]
initializes: eip712_domain_separator

exports: (
    ownable.owner,
    ownable_2step.pending_owner,
    ownable_2step.transfer_ownership,
    ownable_2step.accept_ownership,
    eip712_domain_separator.eip712Domain,
)

MAX_SIGNERS: constant(uint256) = 16
MAX_EXPIRIES: constant(uint256) = 16
SIGNATURE_BYTES: constant(uint256) = 65
# 1e-12 units.
ONE: constant(uint256) = 10**12
# What the words of market data hold, and so no overflow here; which prices are admissible, they say.
PRICE_LIMIT: constant(uint256) = 2**72
BITS_32: constant(uint256) = 2**32 - 1
BITS_40: constant(uint256) = 2**40 - 1
SURFACE_TYPE: constant(bytes32) = keccak256(
    "Surface(int256 a,int256 b,int256 rho,int256 m,int256 sigma,uint256 refSeconds,uint256 forward)"
)
EXPIRY_TYPE: constant(bytes32) = keccak256(
    "Expiry(uint256 expiry,uint256 forward,int256 rate,Surface surface)Surface(int256 a,int256 b,int256 rho,int256 m,int256 sigma,uint256 refSeconds,uint256 forward)"
)
UPDATE_TYPE: constant(bytes32) = keccak256(
    "Update(uint256 underlying,uint256 timestamp,uint256 spot,uint256 perpMark,uint256 confidence,Expiry[] expiries,uint256 deadline)Expiry(uint256 expiry,uint256 forward,int256 rate,Surface surface)Surface(int256 a,int256 b,int256 rho,int256 m,int256 sigma,uint256 refSeconds,uint256 forward)"
)

market_data: public(immutable(IMarketData))

is_signer: public(HashMap[address, bool])
_signers: DynArray[address, MAX_SIGNERS]
# widest basis 40 | threshold 8, from the least significant bit 8 up: one word, since every update needs both.
_rules: uint256
# By underlying, the expiries of the last surface, ascending from the least significant bit, 8 of 32 bits a word.
_named: HashMap[uint256, uint256[2]]


@deploy
def __init__(market_data_: address, signers: DynArray[address, MAX_SIGNERS], threshold: uint256, widest_basis: uint256):
    """
    @notice The deployer owns the feed. Market data have to name it a publisher.
    @param market_data_ IMarketData.
    @param signers As in `set_signers`.
    @param threshold As in `set_signers`.
    @param widest_basis As in `set_widest_basis`.
    """
    ownable.__init__()
    ownable_2step.__init__()
    eip712_domain_separator.__init__("Ballast market data", "1")
    assert market_data_ != empty(address), "feed: market data"
    market_data = IMarketData(market_data_)
    self._set_signers(signers, threshold)
    self._set_widest_basis(widest_basis)


@external
def set_signers(signers: DynArray[address, MAX_SIGNERS], threshold: uint256):
    """
    @notice Replaces all signers. Only the owner. What was signed and not brought yet needs the new ones' signatures.
    @param signers Addresses, strictly ascending, without the zero address.
    @param threshold How many of them an update needs, 1 to all.
    """
    ownable._check_owner()
    self._set_signers(signers, threshold)


@external
def set_widest_basis(widest_basis: uint256):
    """
    @notice Sets how far the perpetual's mark and any forward may be from spot. Only the owner.
    @param widest_basis A fraction of spot, 1e-12, at most 1e12.
    """
    ownable._check_owner()
    self._set_widest_basis(widest_basis)


@external
def submit(update: IMarketData.Update, deadline: uint256, signatures: DynArray[Bytes[65], 16]) -> bool:
    """
    @custom:see ISignedFeed
    """
    assert block.timestamp <= deadline, "feed: deadline"
    rules: uint256 = self._rules
    self._check_signatures(self._digest(update, deadline), signatures, rules & 255)
    old: uint256[2] = empty(uint256[2])
    new: uint256[2] = self._check(update, rules >> 8)
    if new[0] != 0:
        old = self._read_named(update.underlying)
        if new[0] != old[0] or new[1] != old[1]:
            self._check_whole(update.timestamp, old, new)
        surface.require_free_of_arbitrage(update.expiries, update.timestamp)
    taken: bool = extcall market_data.publish(update)
    # A surface that was doubted is not there: the next one is compared with what is.
    if taken and new[0] != 0:
        for i: uint256 in range(2):
            if new[i] != old[i]:
                self._named[update.underlying][i] = new[i]
    return taken


@external
@view
def hash_update(update: IMarketData.Update, deadline: uint256) -> bytes32:
    """
    @custom:see ISignedFeed
    """
    return self._digest(update, deadline)


@external
@view
def named(underlying: uint256) -> DynArray[uint256, MAX_EXPIRIES]:
    """
    @custom:see ISignedFeed
    """
    words: uint256[2] = self._named[underlying]
    expiries: DynArray[uint256, MAX_EXPIRIES] = []
    for i: uint256 in range(MAX_EXPIRIES):
        expiry: uint256 = self._expiry(words, i)
        if expiry == 0:
            break
        expiries.append(expiry)
    return expiries


@external
@view
def signers() -> DynArray[address, MAX_SIGNERS]:
    """
    @custom:see ISignedFeed
    """
    return self._signers


@external
@view
def threshold() -> uint256:
    """
    @custom:see ISignedFeed
    """
    return self._rules & 255


@external
@view
def widest_basis() -> uint256:
    """
    @custom:see ISignedFeed
    """
    return self._rules >> 8


@internal
def _set_signers(signers: DynArray[address, MAX_SIGNERS], threshold: uint256):
    """
    @notice Checks and keeps the signers, and forgets those before.
    """
    assert threshold != 0 and threshold <= len(signers), "feed: threshold"
    for signer: address in self._signers:
        self.is_signer[signer] = False
    last: address = empty(address)
    for signer: address in signers:
        assert convert(signer, uint160) > convert(last, uint160), "feed: signers not ascending"
        self.is_signer[signer] = True
        last = signer
    self._signers = signers
    self._rules = (self._rules & ~convert(255, uint256)) | threshold
    log ISignedFeed.SignersSet(signers=signers, threshold=threshold)


@internal
def _set_widest_basis(widest_basis: uint256):
    """
    @notice Checks and keeps it.
    """
    assert widest_basis <= ONE, "feed: widest basis"
    self._rules = (widest_basis << 8) | (self._rules & 255)
    log ISignedFeed.WidestBasisSet(widest_basis=widest_basis)


@internal
@view
def _check_signatures(digest: bytes32, signatures: DynArray[Bytes[65], 16], threshold: uint256):
    """
    @notice Ascending addresses are different ones.
    """
    assert len(signatures) >= threshold, "feed: too few signatures"
    last: uint160 = 0
    for i: uint256 in range(threshold, bound=MAX_SIGNERS):
        # Shorter ones exist, of which one more form would pass.
        assert len(signatures[i]) == SIGNATURE_BYTES, "feed: signature length"
        signer: address = ecdsa._recover_sig(digest, signatures[i])
        assert self.is_signer[signer], "feed: not a signer"
        assert convert(signer, uint160) > last, "feed: signers not ascending"
        last = convert(signer, uint160)


@internal
@pure
def _check(update: IMarketData.Update, widest_basis: uint256) -> uint256[2]:
    """
    @notice What an update must be by itself: expiries in order, prices near spot, surfaces for all or for none, and each
            calibrated where it is quoted, so that neighbours compare at equal moneyness.
    @return Its expiries, packed as `_named`; zeros where it has no surfaces.
    """
    assert update.spot < PRICE_LIMIT, "feed: spot"
    # 72 bits times 40. Rounded down: never wider than the fraction.
    room: uint256 = unsafe_div(unsafe_mul(update.spot, widest_basis), ONE)
    assert self._distance(update.perp_mark, update.spot) <= room, "feed: perp basis"
    words: uint256[2] = empty(uint256[2])
    last: uint256 = update.timestamp
    count: uint256 = 0
    surfaces: uint256 = 0
    for e: IMarketData.ExpiryUpdate in update.expiries:
        assert e.expiry > last, "feed: expiries not ascending"
        assert e.expiry <= BITS_32, "feed: expiry"
        assert self._distance(e.forward, update.spot) <= room, "feed: forward basis"
        if e.surface.ref_seconds != 0:
            # Later than the last one, and so than the timestamp.
            assert e.surface.ref_seconds == unsafe_sub(e.expiry, update.timestamp), "feed: surface tenor"
            assert e.surface.forward == e.forward, "feed: surface forward"
            words[count // 8] |= e.expiry << (32 * (count % 8))
            surfaces += 1
        last = e.expiry
        count += 1
    assert surfaces == 0 or surfaces == count, "feed: part of a surface"
    return words


@internal
@view
def _read_named(underlying: uint256) -> uint256[2]:
    """
    @return Words of `_named`: the second is looked at where the first is full.
    """
    words: uint256[2] = empty(uint256[2])
    words[0] = self._named[underlying][0]
    if words[0] >> 224 != 0:
        words[1] = self._named[underlying][1]
    return words


@internal
@pure
def _check_whole(timestamp: uint256, old: uint256[2], new: uint256[2]):
    """
    @notice Reverts unless every old expiry that is later than the timestamp is among the new. Both ascend.
    """
    j: uint256 = 0
    for i: uint256 in range(MAX_EXPIRIES):
        expiry: uint256 = self._expiry(old, i)
        if expiry == 0:
            break
        if expiry <= timestamp:
            continue
        for _: uint256 in range(MAX_EXPIRIES):
            # 0 behind the last.
            if self._expiry(new, j) == 0 or self._expiry(new, j) >= expiry:
                break
            j += 1
        assert self._expiry(new, j) == expiry, "feed: an expiry is missing"


@internal
@pure
def _expiry(words: uint256[2], i: uint256) -> uint256:
    """
    @return The i-th expiry of two words; 0 behind the last.
    """
    if i == MAX_EXPIRIES:
        return 0
    return (words[i // 8] >> (32 * (i % 8))) & BITS_32


@internal
@pure
def _distance(a: uint256, b: uint256) -> uint256:
    """@return The difference without its sign."""
    return unsafe_sub(max(a, b), min(a, b))


@internal
@view
def _digest(update: IMarketData.Update, deadline: uint256) -> bytes32:
    """
    @notice EIP-712: the hash of an array of structs is that of their hashes, one after the other.
    """
    hashes: bytes32[MAX_EXPIRIES] = empty(bytes32[MAX_EXPIRIES])
    n: uint256 = 0
    for e: IMarketData.ExpiryUpdate in update.expiries:
        of_surface: bytes32 = keccak256(abi_encode(SURFACE_TYPE, e.surface))
        hashes[n] = keccak256(abi_encode(EXPIRY_TYPE, e.expiry, e.forward, e.rate, of_surface))
        n += 1
    packed: Bytes[32 * MAX_EXPIRIES] = slice(abi_encode(hashes), 0, 32 * n)
    return eip712_domain_separator._hash_typed_data_v4(
        keccak256(
            abi_encode(
                UPDATE_TYPE,
                update.underlying,
                update.timestamp,
                update.spot,
                update.perp_mark,
                update.confidence,
                keccak256(packed),
                deadline,
            )
        )
    )
