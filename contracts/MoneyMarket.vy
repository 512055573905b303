# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Money market: interest on the cash that accounts have or owe
@notice Two indices grow with time, one of debts and one of credits, at rates that the share of cash which is owed decides
        (IInterestRates). The clearing house keeps a word for each account, its cash and the index as of its last act, and
        has it changed here. The public surface, with its natspec, is IMoneyMarket.
@custom:security See IMoneyMarket.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IInterestRates
from contracts.interfaces import IMoneyMarket

implements: IMoneyMarket

WAD: constant(uint256) = 10**18
YEAR: constant(uint256) = 365 * 86400
# 1,000% a year, whatever the rates contract says.
MAX_RATE: constant(uint256) = 10 * WAD
# An index is held in 96 bits: it grows no more beyond 1e9.
MAX_INDEX: constant(uint256) = 10**27
INDEX_BITS: constant(uint256) = 96
INDEX_MASK: constant(uint256) = 2**96 - 1
# More would not fit a word.
MAX_CASH: constant(int256) = 2**150

clearing_house: public(immutable(address))
# Without one there is no interest.
interest_rates: public(address)
# What debts paid and credits did not get: of the clearing house's reserve, this is the protocol's.
earned: public(uint256)
_debt_index: uint256
_credit_index: uint256
_accrued_at: uint256
# Sums over all accounts, with interest, debts rounded down and credits up: they make the rate, nobody's cash.
_debts: uint256
_credits: uint256


@deploy
def __init__(clearing_house_: address):
    """
    @notice Indices start at 1; there is no interest until rates are named.
    @param clearing_house_ IClearingHouse, which must appoint it.
    """
    clearing_house = clearing_house_
    self._debt_index = WAD
    self._credit_index = WAD
    self._accrued_at = block.timestamp


@external
@reentrant
def change(word: uint256, change: int256) -> (uint256, int256, int256):
    """
    @custom:see IMoneyMarket
    """
    # Asked in the midst of `collect` too; the clearing house has a lock of its own.
    assert msg.sender == clearing_house, "cash: caller"
    self._accrue()
    before: int256 = self._with_interest(word, self._debt_index, self._credit_index)
    after: int256 = before + change
    assert abs(after) <= MAX_CASH, "cash: too much"
    self._debts = self._shifted(self._debts, max(-after, 0) - max(-before, 0))
    self._credits = self._shifted(self._credits, max(after, 0) - max(before, 0))
    index: uint256 = self._credit_index
    if after < 0:
        index = self._debt_index
    new_word: uint256 = (convert(convert(after, bytes32), uint256) << INDEX_BITS) | index
    return new_word, after, before - self._stored(word)


@external
@view
def cash(word: uint256) -> int256:
    """
    @custom:see IMoneyMarket
    """
    debt_index: uint256 = 0
    credit_index: uint256 = 0
    debt_index, credit_index = self._indices()
    return self._with_interest(word, debt_index, credit_index)


@external
@view
def interest() -> IMoneyMarket.Interest:
    """
    @custom:see IMoneyMarket
    """
    debt_index: uint256 = 0
    credit_index: uint256 = 0
    debt_index, credit_index = self._indices()
    debt_rate: uint256 = 0
    credit_rate: uint256 = 0
    debt_rate, credit_rate = self._rates()
    return IMoneyMarket.Interest(
        debts=self._debts * debt_index // self._debt_index,
        credits=self._credits * credit_index // self._credit_index,
        debt_rate=debt_rate,
        credit_rate=credit_rate,
        debt_index=debt_index,
        credit_index=credit_index,
    )


@external
def set_interest_rates(new_rates: address):
    """
    @custom:see IMoneyMarket
    """
    self._require_owner()
    self._accrue()
    self.interest_rates = new_rates
    log IMoneyMarket.InterestRatesSet(interest_rates=new_rates)


@external
def collect(account: uint256, amount: uint256):
    """
    @custom:see IMoneyMarket
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    if not staticcall house.members(msg.sender):
        self._require_owner()
    self._accrue()
    assert amount <= self.earned, "cash: not earned"
    self.earned -= amount
    log IMoneyMarket.Collected(account=account, amount=amount)
    extcall house.post(account, [], convert(amount, int256), 0)


@internal
@view
def _require_owner():
    """
    @notice Only the owner of the clearing house passes.
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"


@internal
def _accrue():
    """
    @notice Brings the indices and the sums up to this block.
    """
    if block.timestamp == self._accrued_at:
        return
    debt_index: uint256 = 0
    credit_index: uint256 = 0
    debt_index, credit_index = self._indices()
    self._accrued_at = block.timestamp
    if debt_index == self._debt_index:
        # A rate of zero: credits get no more than debts pay.
        return
    paid: uint256 = self._debts * (debt_index - self._debt_index) // self._debt_index
    got: uint256 = (self._credits * (credit_index - self._credit_index) + self._credit_index - 1) // self._credit_index
    self._debts += paid
    self._credits += got
    self._debt_index = debt_index
    self._credit_index = credit_index
    self.earned += max(paid, got) - got


@internal
@view
def _indices() -> (uint256, uint256):
    """
    @return What a unit owed, and a unit had, at the beginning has become by this block, 1e-18; debts rounded up, credits down.
    """
    elapsed: uint256 = block.timestamp - self._accrued_at
    if elapsed == 0 or self._debts == 0:
        return self._debt_index, self._credit_index
    rate: uint256 = 0
    credit_rate: uint256 = 0
    rate, credit_rate = self._rates()
    return (
        min(self._debt_index + (self._debt_index * rate * elapsed + WAD * YEAR - 1) // (WAD * YEAR), MAX_INDEX),
        min(self._credit_index + self._credit_index * credit_rate * elapsed // (WAD * YEAR), MAX_INDEX),
    )


@internal
@view
def _rates() -> (uint256, uint256):
    """
    @return Rates of debts and of credits a year, 1e-18. Credits get no more than debts pay.
    """
    if self.interest_rates == empty(address):
        return 0, 0
    debt_rate: uint256 = 0
    credit_rate: uint256 = 0
    debt_rate, credit_rate = staticcall IInterestRates(self.interest_rates).rates(self._debts, self._credits)
    debt_rate = min(debt_rate, MAX_RATE)
    if self._credits == 0:
        return debt_rate, 0
    return debt_rate, min(credit_rate, debt_rate * self._debts // self._credits)


@internal
@pure
def _stored(word: uint256) -> int256:
    """
    @return The cash in a word, 1e-18, as of its index.
    """
    return convert(convert(word, bytes32), int256) >> INDEX_BITS


@internal
@pure
def _with_interest(word: uint256, debt_index: uint256, credit_index: uint256) -> int256:
    """
    @return The cash in a word at indices of now, rounded down: a debt grows to the next unit.
    """
    stored: int256 = self._stored(word)
    index: uint256 = word & INDEX_MASK
    if stored >= 0:
        if index == credit_index or index == 0:
            return stored
        return stored * convert(credit_index, int256) // convert(index, int256)
    if index == debt_index:
        return stored
    numerator: int256 = stored * convert(debt_index, int256) - (convert(index, int256) - 1)
    return numerator // convert(index, int256)


@internal
@pure
def _shifted(total: uint256, change: int256) -> uint256:
    """
    @return A sum and a change, not below zero: sums are rounded on their own.
    """
    return convert(max(convert(total, int256) + change, 0), uint256)
