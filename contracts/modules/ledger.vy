# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Ledger: the cash of each account, and the reserve that is its counterpart
@notice A word for each account, which IMoneyMarket reads and changes. What is credited to one account and debited to no
        other comes out of the reserve: interest, and settlement while only one side has settled.
@custom:security All cash less all cost, plus the reserve, is what the vault holds, to the last unit (INV-02). A margin
        check counts a debt with its interest, a credit without what came since its last act: never too much.
"""

from contracts.interfaces import IMoneyMarket

INDEX_BITS: constant(uint256) = 96

money_market: public(address)
reserve: public(int256)
cash_word: public(HashMap[uint256, uint256])


@external
@view
def cash(account: uint256) -> int256:
    """
    @custom:see IClearingHouse
    """
    return staticcall IMoneyMarket(self.money_market).cash(self.cash_word[account])


@internal
def _set_money_market(money_market: address):
    """
    @notice Names the money market, once and for all: words mean nothing to another.
    """
    if self.money_market != money_market:
        assert self.money_market == empty(address), "cash: money market is fixed"
        assert staticcall IMoneyMarket(money_market).clearing_house() == self, "cash: money market"
        self.money_market = money_market


@internal
def _change(account: uint256, change: int256) -> int256:
    """
    @notice Adds to an account's cash, its interest first.
    @param account The account.
    @param change 1e-18, may be negative; what one account gets another, the reserve or the vault must give.
    @return The cash afterwards.
    """
    word: uint256 = 0
    cash: int256 = 0
    interest: int256 = 0
    word, cash, interest = extcall IMoneyMarket(self.money_market).change(self.cash_word[account], change)
    self.cash_word[account] = word
    if interest != 0:
        self.reserve -= interest
    return cash


@internal
@view
def _prudent(account: uint256) -> int256:
    """
    @return What a margin check counts, 1e-18: a debt with all its interest, a credit as of the account's last act.
    """
    cash: int256 = convert(convert(self.cash_word[account], bytes32), int256) >> INDEX_BITS
    if cash < 0:
        return staticcall IMoneyMarket(self.money_market).cash(self.cash_word[account])
    return cash
