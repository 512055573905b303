# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Exchange: what two sides agreed to
@notice Matches a maker's order with a taker's: the same package from both sides, some lots of it, at the maker's prices.
        Wiring of orders and fees; which instruments may be opened, libraries/listing says. The public surface, with its
        natspec, is IExchange.
@custom:security Holds no money and no positions: it can refuse a trade, and the clearing house asks whether its signers
        act for their accounts and checks both sides of any that it lets pass.
"""

from snekmate.utils import eip712_domain_separator

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IExchange
from contracts.interfaces import IMarketData
from contracts.libraries import listing
from contracts.libraries import position
from contracts.modules import fees
from contracts.modules import orders

implements: IExchange

initializes: eip712_domain_separator
initializes: fees
initializes: orders[eip712_domain_separator := eip712_domain_separator]

exports: eip712_domain_separator.eip712Domain
exports: (
    orders.approve,
    orders.cancel,
    orders.cancel_range,
    orders.cancel_below,
    orders.is_cancelled,
    orders.hash_order,
    orders.clearing_house,
    orders.filled,
    orders.approved,
    orders.lowest_nonce,
)
exports: fees.fee_schedule

MAX_PACKAGE: constant(uint256) = 16
MAX_LEGS: constant(uint256) = 128
# Two orders of sixteen legs with the longest signatures have 8,000.
MAX_DATA: constant(uint256) = 8192
# Prices come at 1e-9 and sizes at 1e-6: their product wants three digits more.
TO_WAD: constant(int256) = 10**3
PRICE_LIMIT: constant(uint256) = 2**72
MILLION: constant(int256) = 10**6
MAX_LOTS: constant(uint256) = 2**64


@deploy
def __init__(clearing_house_: address):
    """
    @notice Fixes the EIP-712 domain and whom it serves. There are no fees until they are set.
    @param clearing_house_ IClearingHouse.
    """
    eip712_domain_separator.__init__("Ballast", "1")
    orders.__init__(clearing_house_)


@external
def set_fees(schedule: IExchange.FeeSchedule):
    """
    @custom:see IExchange
    """
    house: IClearingHouse = IClearingHouse(orders.clearing_house)
    assert msg.sender == staticcall house.owner(), "authority: not the owner"
    if schedule.maker_rate != 0 or schedule.taker_rate != 0:
        assert staticcall house.owner_of(schedule.account) != empty(address), "fees: account"
    fees._set(schedule)


@external
@view
def lists(market_data: address, underlying: uint256, expiry: uint256, strike: uint256) -> bool:
    """
    @custom:see IExchange
    """
    forward: uint256 = 0
    spot: uint256 = 0
    spot, forward = self._prices(market_data, underlying, expiry)
    return self._is_listed(expiry, strike, forward)


@external
def agree(caller: address, market_data: address, data: Bytes[MAX_DATA]) -> IExchange.Fill:
    """
    @custom:see IExchange
    """
    assert msg.sender == orders.clearing_house, "exchange: caller"
    s: IExchange.Submission = abi_decode(data, IExchange.Submission)
    assert s.maker.account != s.taker.account, "exchange: one account"
    assert s.lots != 0 and s.lots < MAX_LOTS, "exchange: lots"
    assert len(s.maker.legs) != 0, "exchange: no legs"
    assert len(s.maker.legs) == len(s.taker.legs), "exchange: legs differ"
    orders._consent(s.maker, s.maker_signer, s.maker_signature, caller, s.taker.account, s.lots)
    orders._consent(s.taker, s.taker_signer, s.taker_signature, caller, s.maker.account, s.lots)

    schedule: IExchange.FeeSchedule = fees.fee_schedule
    fill: IExchange.Fill = empty(IExchange.Fill)
    fill.taker = s.taker.account
    fill.maker = s.maker.account
    fill.taker_signer = s.taker_signer
    fill.maker_signer = s.maker_signer
    fill.fee_account = schedule.account
    # What the taker saves on its limit, for one lot at 1e-15.
    saved: int256 = 0
    taker_fee: uint256 = 0
    maker_fee: uint256 = 0
    last: uint256 = 0
    bucket: uint256 = 0
    spot: uint256 = 0
    forward: uint256 = 0
    i: uint256 = 0
    for leg: IExchange.Leg in s.taker.legs:
        price: uint256 = s.maker.legs[i].price
        self._require_opposite(leg, s.maker.legs[i])
        i += 1
        assert price < PRICE_LIMIT and leg.price < PRICE_LIMIT, "exchange: price range"
        assert leg.expiry == 0 or block.timestamp < leg.expiry, "exchange: leg expired"
        assert abs(leg.ratio) <= position.MAX_SIZE, "exchange: ratio"
        word: uint256 = position.pack(
            leg.underlying, leg.expiry, leg.strike, leg.kind, leg.ratio * convert(s.lots, int256)
        )
        assert position.instrument(word) > last, "exchange: order"
        last = position.instrument(word)
        if word >> 216 != bucket:
            bucket = word >> 216
            spot, forward = self._prices(market_data, leg.underlying, leg.expiry)
        if not self._is_listed(leg.expiry, leg.strike, forward):
            fill.restricted.append(word)
        fill.package.append(word)

        saved += leg.ratio * (convert(leg.price, int256) - convert(price, int256))
        value: int256 = position.size(word) * convert(price, int256) * TO_WAD
        if leg.kind == position.PERP:
            # Entered net of funding, a multiple of 1e6, as it is marked: exact.
            value -= position.size(word) * (staticcall IMarketData(market_data).funding(leg.underlying) // MILLION)
        if leg.kind < position.CALL:
            fill.cost += value
        else:
            fill.premium += value
        taker_fee += fees._fee(word, price, spot, schedule.taker_rate, schedule.premium_cap)
        maker_fee += fees._fee(word, price, spot, schedule.maker_rate, schedule.premium_cap)
    assert saved >= 0, "exchange: price"
    # Who receives the fees pays none.
    if fill.taker == schedule.account:
        taker_fee = 0
    if fill.maker == schedule.account:
        maker_fee = 0
    self._require_fee(taker_fee, s.taker.max_fee, s.lots)
    self._require_fee(maker_fee, s.maker.max_fee, s.lots)
    fill.taker_fee = convert(taker_fee, int256)
    fill.maker_fee = convert(maker_fee, int256)
    log IExchange.Traded(
        taker=fill.taker,
        maker=fill.maker,
        lots=s.lots,
        premium=fill.premium,
        cost=fill.cost,
        taker_fee=taker_fee,
        maker_fee=maker_fee,
        legs=s.maker.legs,
    )
    return fill


@internal
@pure
def _require_opposite(leg: IExchange.Leg, other: IExchange.Leg):
    """
    @notice The other side's leg is the same instrument, and gives what this one takes.
    """
    assert (
        leg.underlying == other.underlying
        and leg.expiry == other.expiry
        and leg.strike == other.strike
        and leg.kind == other.kind
        and leg.ratio == -other.ratio
    ), "exchange: legs differ"


@internal
@pure
def _require_fee(fee: uint256, max_fee: uint256, lots: uint256):
    """
    @notice What is paid for a lot, rounded up, is at most what its side allows.
    """
    assert (fee + lots - 1) // lots <= max_fee, "exchange: fee"


@internal
@view
def _is_listed(expiry: uint256, strike: uint256, forward: uint256) -> bool:
    """
    @param expiry 0 for a perpetual, which always is.
    @param strike 0 for a future or a perpetual.
    @param forward 1e-9 quote units; 0 where there is none, which the engine will say.
    @return Whether it may be opened.
    """
    if expiry == 0:
        return True
    if not listing.admits_expiry(expiry, block.timestamp):
        return False
    return strike == 0 or listing.admits_strike(strike, forward)


@internal
@view
def _prices(market_data: address, underlying: uint256, expiry: uint256) -> (uint256, uint256):
    """
    @return Spot and forward, 1e-9 quote units; 0 for what there is not.
    """
    words: DynArray[uint256, 33] = []
    fresh: bool = False
    words, fresh = staticcall IMarketData(market_data).read(underlying, [expiry])
    return words[0] >> 184, words[1] >> 184
