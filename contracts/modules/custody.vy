# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Custody: what is credited to whom, and the tokens behind it
@notice Kind 0 is the quote token. Its balance is `cash` at 1e-18, which may be negative; of every other kind an account
        holds token units. Kinds that an account holds are bits of one word, so that a check reads no empty balance. What
        a kind is and what it is worth, ICollaterals says.
@custom:security Credits follow what arrived, never what was asked for; nobody is credited for a raw transfer (INV-03).
        A token must send exactly the amount asked for: one that takes more from the vault makes the call revert.
"""

from ethereum.ercs import IERC20

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ICollaterals
from contracts.interfaces import IMarginEngine
from contracts.modules import ledger

uses: ledger

QUOTE: constant(uint256) = 0
MAX_COLLATERALS: constant(uint256) = 16
# The account of the insurance fund. What it owes nobody has paid yet: withdrawals of cash are cut by their share of that.
FUND: constant(uint256) = 1

collaterals: public(address)
# Token units credited to all accounts together.
credited: public(HashMap[uint256, uint256])
_quote_unit: uint256
_balances: HashMap[uint256, HashMap[uint256, uint256]]
# Bit k is set while the account holds something of kind k, k from 1.
_held: HashMap[uint256, uint256]


@external
@view
def balance_of(account: uint256, collateral: uint256) -> uint256:
    """
    @custom:see IClearingHouse
    """
    return self._balances[account][collateral]


@internal
def _set_collaterals(collaterals: address):
    """
    @notice Names the kinds, once and for all: another contract would give other meanings to what is credited.
    """
    if self.collaterals != collaterals:
        assert self.collaterals == empty(address), "custody: collaterals are fixed"
        assert staticcall ICollaterals(collaterals).clearing_house() == self, "custody: collaterals"
        self.collaterals = collaterals
        self._quote_unit = staticcall ICollaterals(collaterals).unit(QUOTE)


@internal
def _receive(account: uint256, collateral: uint256, amount: uint256) -> uint256:
    """
    @notice Takes tokens of the caller and credits what arrived.
    @return Token units credited.
    """
    token: address = empty(address)
    cap: uint256 = 0
    token, cap = staticcall ICollaterals(self.collaterals).intake(collateral)
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transferFrom(msg.sender, self, amount, default_return_value=True), "custody: transfer"
    arrived: uint256 = (staticcall IERC20(token).balanceOf(self)) - before
    assert arrived != 0, "custody: nothing arrived"
    credited: uint256 = self.credited[collateral] + arrived
    assert credited <= cap, "custody: cap"
    self.credited[collateral] = credited
    self._credit(account, collateral, arrived)
    log IClearingHouse.Deposited(account=account, collateral=collateral, payer=msg.sender, amount=arrived)
    return arrived


@internal
def _send(account: uint256, collateral: uint256, amount: uint256, recipient: address):
    """
    @notice Debits an account and pays tokens out, if so much may leave now.
    """
    assert recipient != empty(address) and recipient != self, "custody: recipient"
    self._debit(account, collateral, amount)
    token: address = empty(address)
    paid: uint256 = 0
    token, paid = extcall ICollaterals(self.collaterals).release(
        collateral, amount, account, ledger._prudent(FUND)
    )
    # What is cut is the fund's; the account has a claim to it.
    self._credit(FUND, collateral, amount - paid)
    credited: uint256 = self.credited[collateral]
    # Cash of some accounts is lent to others where those owe cash; it comes back when they pay.
    assert paid <= credited, "custody: vault is short"
    self.credited[collateral] = credited - paid
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    assert extcall IERC20(token).transfer(recipient, paid, default_return_value=True), "custody: transfer"
    assert before <= (staticcall IERC20(token).balanceOf(self)) + paid, "custody: token took more"
    log IClearingHouse.Withdrawn(account=account, collateral=collateral, recipient=recipient, amount=paid)


@internal
def _credit(account: uint256, collateral: uint256, amount: uint256):
    """
    @notice Adds token units to an account.
    """
    if amount == 0:
        return
    if collateral == QUOTE:
        # Both at most 2**96: so much may be credited in all.
        ledger._change(account, convert(amount * self._quote_unit, int256))
    else:
        self._balances[account][collateral] += amount
        self._held[account] |= 1 << collateral


@internal
def _debit(account: uint256, collateral: uint256, amount: uint256):
    """
    @notice Takes token units from an account, which must have them.
    """
    if collateral == QUOTE:
        value: int256 = convert(amount * self._quote_unit, int256)
        assert ledger._change(account, -value) >= 0, "custody: not enough"
    else:
        balance: uint256 = self._balances[account][collateral]
        assert amount <= balance, "custody: not enough"
        self._balances[account][collateral] = balance - amount
        if amount == balance:
            self._held[account] &= ~(1 << collateral)


@internal
@view
def _is_new(account: uint256, collateral: uint256) -> bool:
    """
    @return Whether an account holds nothing yet of a kind, the quote token apart.
    """
    return collateral != QUOTE and (self._held[account] >> collateral) & 1 == 0


@internal
@view
def _kinds(account: uint256) -> DynArray[uint256, MAX_COLLATERALS]:
    """
    @return The kinds that the account holds, the quote token apart, ascending.
    """
    kinds: DynArray[uint256, MAX_COLLATERALS] = []
    held: uint256 = self._held[account] >> 1
    for kind: uint256 in range(1, MAX_COLLATERALS + 1):
        if held == 0:
            break
        if held & 1 == 1:
            kinds.append(kind)
        held >>= 1
    return kinds


@internal
@view
def _claims(account: uint256) -> DynArray[uint256, MAX_COLLATERALS]:
    """
    @return The underlying of each kind that the account holds.
    """
    if self._held[account] == 0:
        return []
    return staticcall ICollaterals(self.collaterals).underlyings_of(self._held[account])


@internal
@view
def _holdings(
    account: uint256, market_data: address
) -> (DynArray[IMarginEngine.Holding, MAX_COLLATERALS], bool, int256):
    """
    @notice The collateral of an account as the engine wants it.
    @return A holding for each kind, whether all their prices are fresh, and the value of those whose are not.
    """
    if self._held[account] == 0:
        return [], True, 0
    amounts: DynArray[uint256, MAX_COLLATERALS] = []
    kinds: DynArray[uint256, MAX_COLLATERALS] = self._kinds(account)
    for kind: uint256 in kinds:
        amounts.append(self._balances[account][kind])
    return staticcall ICollaterals(self.collaterals).holdings(self._held[account], amounts, market_data)
