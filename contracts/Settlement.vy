# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Settlement: expired legs become cash, and so does the profit of futures and perpetuals
@notice An option pays its intrinsic value at the settlement price, a future is closed at it. Variation moves unrealised
        profit into cash. The public surface, with its natspec, is ISettlement.
@custom:security See ISettlement.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.interfaces import ISettlement
from contracts.libraries import position
from contracts.modules import positions

implements: ISettlement

MAX_ACCOUNTS: constant(uint256) = 64
# A size of 1e-6 times a price of 1e-9, to 1e-18.
TO_WAD: constant(int256) = 10**3

clearing_house: public(immutable(address))


@deploy
def __init__(clearing_house_: address):
    """
    @notice Ties it to a clearing house, which must appoint it.
    @param clearing_house_ IClearingHouse.
    """
    clearing_house = clearing_house_


@external
def settle(accounts: DynArray[uint256, MAX_ACCOUNTS]) -> uint256:
    """
    @custom:see ISettlement
    """
    market_data: IMarketData = IMarketData(staticcall IClearingHouse(clearing_house).market_data())
    settled: uint256 = 0
    for account: uint256 in accounts:
        legs: uint256 = self._settle(account, market_data)
        settled += legs
    return settled


@external
def realise(account: uint256) -> int256:
    """
    @custom:see ISettlement
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    state: IMarginEngine.Account = staticcall house.portfolio(account)
    if not positions._has_linear(state.legs):
        return 0
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    assert figures.fresh, "settlement: stale data"
    # Net value less all but that profit. The engine rounds it down by a little, which stays unrealised.
    profit: int256 = figures.net_value - figures.option_value - state.cash
    for h: IMarginEngine.Holding in state.holdings:
        profit -= convert(h.amount * h.price // 10**18, int256)
    log ISettlement.Realised(account=account, profit=profit)
    extcall house.post(account, [], profit, profit)
    return profit


@internal
def _settle(account: uint256, market_data: IMarketData) -> uint256:
    """
    @notice Turns every leg of an account with a final settlement price into cash.
    @return How many there were.
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    book: DynArray[uint256, positions.MAX_LEGS] = staticcall house.book(account)
    closing: DynArray[uint256, positions.MAX_LEGS] = []
    cash: int256 = 0
    cost: int256 = 0
    bucket: uint256 = 0  # underlying and expiry
    price: int256 = 0
    is_final: bool = False
    for word: uint256 in book:
        if word >> 216 != bucket:
            bucket = word >> 216
            is_final = False
            if position.expiry(word) != 0 and position.expiry(word) <= block.timestamp:
                settled_at: uint256 = 0
                settled_at, is_final = staticcall market_data.settlement(
                    position.underlying(word), position.expiry(word)
                )
                price = convert(settled_at, int256)
        if not is_final:
            continue
        closing.append(word)
        value: int256 = price
        if position.kind(word) != position.FUTURE:
            # From 1e-18 to 1e-9: strikes have six decimals.
            value -= position.strike(word) // 10**9
            if position.kind(word) == position.PUT:
                value = -value
            value = max(value, 0)
        value *= position.size(word) * TO_WAD
        if position.kind(word) == position.FUTURE:
            cost -= value
        else:
            cash += value
    if len(closing) != 0:
        log ISettlement.Settled(account=account, legs=len(closing), cash=cash - cost)
        extcall house.post(account, positions._negate(closing), cash, cost)
    return len(closing)
