# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Pyth source: the price of a Pyth feed, which anyone brings with `update`
@custom:security Keeps no money and no state. `spot` answers in the midst of `update` too: a lock would let whoever
        receives change there decide that a price is not usable.
"""

from contracts.interfaces import IPyth
from contracts.interfaces import ISpotSource
from contracts.libraries import outside

implements: ISpotSource

# 1e-12 units.
ONE: constant(uint256) = 10**12
# 1e-9 quote units, as in market data.
MAX_PRICE: constant(uint256) = 10**17
MAX_AGE: constant(uint256) = 7 * 86_400
# Powers of ten by which a price of 1 to 2**63 - 1 becomes one at 1e-9 that is neither 0 nor above MAX_PRICE.
MAX_SHIFT: constant(int256) = 17
MIN_SHIFT: constant(int256) = -18
# A proxy, and a price of three words, need about 20,000 from cold storage.
PYTH_GAS: constant(uint256) = 72_000
MAX_UPDATES: constant(uint256) = 8
MAX_UPDATE_LENGTH: constant(uint256) = 4096
GET_PRICE: constant(Bytes[4]) = method_id("getPriceNoOlderThan(bytes32,uint256)")

pyth: public(immutable(address))
price_id: public(immutable(bytes32))
max_age_seconds: public(immutable(uint256))
widest: public(immutable(uint256))


@deploy
def __init__(pyth_: address, price_id_: bytes32, max_age_seconds_: uint256, widest_: uint256):
    """
    @notice Fixes whom to ask, and what to believe.
    @param pyth_ IPyth.
    @param price_id_ The feed.
    @param max_age_seconds_ Age beyond which a price is stale, at most a week.
    @param widest_ Half-width of the confidence beyond which a price is not usable, as a fraction at 1e-12.
    """
    assert pyth_ != empty(address), "source: pyth"
    assert price_id_ != empty(bytes32), "source: price id"
    assert max_age_seconds_ != 0 and max_age_seconds_ <= MAX_AGE, "source: age"
    assert widest_ < ONE, "source: confidence"
    pyth = pyth_
    price_id = price_id_
    max_age_seconds = max_age_seconds_
    widest = widest_


@external
@payable
def update(data: DynArray[Bytes[MAX_UPDATE_LENGTH], MAX_UPDATES]):
    """
    @notice Brings prices to Pyth. By anyone, who pays Pyth's fee; the rest of what was sent comes back.
    @param data Signed updates, from Pyth's service.
    """
    fee: uint256 = staticcall IPyth(pyth).getUpdateFee(data)
    assert msg.value >= fee, "source: fee"
    extcall IPyth(pyth).updatePriceFeeds(data, value=fee)
    if msg.value > fee:
        raw_call(msg.sender, b"", value=msg.value - fee)


@external
@view
def spot() -> (uint256, uint256, uint256, bool):
    """
    @custom:see ISpotSource
    """
    answer: Bytes[160] = b""
    answered: bool = False
    payload: Bytes[68] = concat(GET_PRICE, price_id, convert(max_age_seconds, bytes32))
    answer, answered = outside.ask(pyth, payload, 4, PYTH_GAS)
    if not answered:
        return 0, 0, 0, False
    value: int256 = convert(convert(outside.word(answer, 0), bytes32), int256)
    half_width: uint256 = outside.word(answer, 1)
    exponent: int256 = convert(convert(outside.word(answer, 2), bytes32), int256)
    timestamp: uint256 = outside.word(answer, 3)
    # What is said of the age is looked at again here; Pyth lets prices pass that are as far in the future.
    if timestamp == 0 or timestamp > block.timestamp or block.timestamp - timestamp > max_age_seconds:
        return 0, 0, 0, False
    # Wider words are none of Pyth's types.
    if value <= 0 or value > convert(max_value(int64), int256) or half_width > convert(max_value(uint64), uint256):
        return 0, 0, 0, False
    if exponent > MAX_SHIFT - 9 or exponent < MIN_SHIFT - 9:
        return 0, 0, 0, False
    units: uint256 = convert(value, uint256)
    # Of the price that is returned, in Pyth's units.
    kept: uint256 = units
    price: uint256 = 0
    if exponent >= -9:
        price = units * 10 ** convert(exponent + 9, uint256)
    else:
        divisor: uint256 = 10 ** convert(-9 - exponent, uint256)
        price = units // divisor
        kept = price * divisor
    if price == 0 or price > MAX_PRICE:
        return 0, 0, 0, False
    # Rounded up, and what rounding took from the price added: Pyth's interval lies within the one that is returned. Below
    # 2**65 * 1e12.
    confidence: uint256 = ((units - kept + half_width) * ONE + kept - 1) // kept
    if confidence > widest:
        return 0, 0, 0, False
    return price, confidence, timestamp, True
