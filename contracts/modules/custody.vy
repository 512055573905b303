# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Custody: kinds of collateral, what is credited to whom, and the tokens behind it
@notice Kind 0 is the quote token. Its balance is `cash` at 1e-18, which may be negative; of every other kind an account
        holds token units. Kinds that an account holds are bits of one word, so that a check reads no empty balance.
@custom:security Credits follow what arrived, never what was asked for; nobody is credited for a raw transfer (INV-03).
        A token must send exactly the amount asked for: one that takes more from the vault makes the call revert.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData


interface IPriceSource:
    # 1e-18 quote units for one whole token, and whether that is fresh. Must not revert.
    def price() -> (uint256, bool): view


QUOTE: constant(uint256) = 0
MAX_COLLATERALS: constant(uint256) = 16
WAD: constant(uint256) = 10**18
# Amounts at 1e-18 stay inside what the engine's signed arithmetic bears.
MAX_AMOUNT: constant(uint256) = 2**96

collateral_count: public(uint256)
_collaterals: HashMap[uint256, IClearingHouse.Collateral]
_is_listed: HashMap[address, bool]
_cash: HashMap[uint256, int256]
_balances: HashMap[uint256, HashMap[uint256, uint256]]
# Bit k is set while the account holds something of kind k, k from 1.
_held: HashMap[uint256, uint256]


@deploy
def __init__(quote: address, cap: uint256):
    """
    @notice Lists the quote token.
    @param quote A stablecoin of the quote currency with at most 18 decimals.
    @param cap Token units.
    """
    self._store(QUOTE, quote, 0, empty(address), 0, 0, cap)


@external
@view
def cash(account: uint256) -> int256:
    """
    @custom:see IClearingHouse
    """
    return self._cash[account]


@external
@view
def balance_of(account: uint256, collateral: uint256) -> uint256:
    """
    @custom:see IClearingHouse
    """
    return self._balances[account][collateral]


@external
@view
def collaterals(collateral: uint256) -> IClearingHouse.Collateral:
    """
    @custom:see IClearingHouse
    """
    return self._collaterals[collateral]


@internal
def _list(
    token: address,
    underlying: uint256,
    source: address,
    haircut_initial: uint256,
    haircut_maintenance: uint256,
    cap: uint256,
) -> uint256:
    """
    @notice Lists a further kind.
    """
    collateral: uint256 = self.collateral_count + 1
    assert collateral <= MAX_COLLATERALS, "custody: too many kinds"
    assert underlying < 256 and (underlying != 0 or source != empty(address)), "custody: no price"
    assert haircut_initial < WAD, "custody: haircut"
    assert haircut_maintenance <= haircut_initial, "custody: haircut"
    self.collateral_count = collateral
    self._store(collateral, token, underlying, source, haircut_initial, haircut_maintenance, cap)
    return collateral


@internal
def _store(
    collateral: uint256,
    token: address,
    underlying: uint256,
    source: address,
    haircut_initial: uint256,
    haircut_maintenance: uint256,
    cap: uint256,
):
    assert not self._is_listed[token], "custody: listed already"
    decimals: uint256 = convert(staticcall IERC20Detailed(token).decimals(), uint256)
    assert decimals <= 18, "custody: decimals"
    self._is_listed[token] = True
    self._collaterals[collateral] = IClearingHouse.Collateral(
        token=token,
        decimals=decimals,
        underlying=underlying,
        source=source,
        haircut_initial=haircut_initial,
        haircut_maintenance=haircut_maintenance,
        cap=0,
        credited=0,
    )
    log IClearingHouse.CollateralListed(
        collateral=collateral,
        token=token,
        underlying=underlying,
        source=source,
        haircut_initial=haircut_initial,
        haircut_maintenance=haircut_maintenance,
        cap=cap,
    )
    self._set_cap(collateral, cap)


@internal
def _set_cap(collateral: uint256, cap: uint256):
    """
    @notice Changes how much may be credited in all.
    """
    assert cap * self._unit(collateral) <= MAX_AMOUNT, "custody: cap"
    self._collaterals[collateral].cap = cap
    log IClearingHouse.CapSet(collateral=collateral, cap=cap)


@internal
@view
def _unit(collateral: uint256) -> uint256:
    """
    @return 1e-18 units in one unit of the token.
    """
    assert collateral <= self.collateral_count, "custody: unknown kind"
    return 10 ** (18 - self._collaterals[collateral].decimals)


@internal
def _receive(account: uint256, collateral: uint256, amount: uint256) -> uint256:
    """
    @notice Takes tokens of the caller and credits what arrived.
    @return Token units credited.
    """
    assert collateral <= self.collateral_count, "custody: unknown kind"
    token: IERC20 = IERC20(self._collaterals[collateral].token)
    before: uint256 = staticcall token.balanceOf(self)
    assert extcall token.transferFrom(msg.sender, self, amount, default_return_value=True), "custody: transfer"
    arrived: uint256 = (staticcall token.balanceOf(self)) - before
    assert arrived != 0, "custody: nothing arrived"
    credited: uint256 = self._collaterals[collateral].credited + arrived
    assert credited <= self._collaterals[collateral].cap, "custody: cap"
    self._collaterals[collateral].credited = credited
    self._credit(account, collateral, arrived)
    log IClearingHouse.Deposited(account=account, collateral=collateral, payer=msg.sender, amount=arrived)
    return arrived


@internal
def _send(account: uint256, collateral: uint256, amount: uint256, recipient: address):
    """
    @notice Debits an account and pays tokens out.
    """
    assert recipient != empty(address) and recipient != self, "custody: recipient"
    self._debit(account, collateral, amount)
    credited: uint256 = self._collaterals[collateral].credited
    # Cash of some accounts is lent to others where those owe cash; it comes back when they pay.
    assert amount <= credited, "custody: vault is short"
    self._collaterals[collateral].credited = credited - amount
    token: IERC20 = IERC20(self._collaterals[collateral].token)
    before: uint256 = staticcall token.balanceOf(self)
    assert extcall token.transfer(recipient, amount, default_return_value=True), "custody: transfer"
    assert before <= (staticcall token.balanceOf(self)) + amount, "custody: token took more"
    log IClearingHouse.Withdrawn(account=account, collateral=collateral, recipient=recipient, amount=amount)


@internal
def _credit(account: uint256, collateral: uint256, amount: uint256):
    """
    @notice Adds token units to an account.
    """
    if collateral == QUOTE:
        # At most MAX_AMOUNT, as the total credited is.
        self._cash[account] += convert(amount * self._unit(QUOTE), int256)
    elif amount != 0:
        self._balances[account][collateral] += amount
        self._held[account] |= 1 << collateral


@internal
def _debit(account: uint256, collateral: uint256, amount: uint256):
    """
    @notice Takes token units from an account, which must have them.
    """
    value: uint256 = amount * self._unit(collateral)
    if collateral == QUOTE:
        assert convert(value, int256) <= self._cash[account], "custody: not enough"
        self._cash[account] -= convert(value, int256)
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
    claims: DynArray[uint256, MAX_COLLATERALS] = []
    kinds: DynArray[uint256, MAX_COLLATERALS] = self._kinds(account)
    for kind: uint256 in kinds:
        claims.append(self._collaterals[kind].underlying)
    return claims


@internal
@view
def _holdings(
    account: uint256, market_data: address
) -> (DynArray[IMarginEngine.Holding, MAX_COLLATERALS], bool, int256):
    """
    @notice The collateral of an account as the engine wants it.
    @return A holding for each kind, whether all their prices are fresh, and the value of those whose are not.
    """
    holdings: DynArray[IMarginEngine.Holding, MAX_COLLATERALS] = []
    fresh: bool = True
    stale_value: int256 = 0
    kinds: DynArray[uint256, MAX_COLLATERALS] = self._kinds(account)
    for kind: uint256 in kinds:
        terms: IClearingHouse.Collateral = self._collaterals[kind]
        price: uint256 = 0
        is_fresh: bool = False
        price, is_fresh = self._price(kind, market_data)
        amount: uint256 = self._balances[account][kind] * 10 ** (18 - terms.decimals)
        if not is_fresh:
            fresh = False
            stale_value += convert(amount * price // WAD, int256)
        holdings.append(
            IMarginEngine.Holding(
                underlying=terms.underlying,
                amount=amount,
                price=price,
                haircut_initial=terms.haircut_initial,
                haircut_maintenance=terms.haircut_maintenance,
            )
        )
    return holdings, fresh, stale_value


@internal
@view
def _price(kind: uint256, market_data: address) -> (uint256, bool):
    """
    @return The price of a whole token at 1e-18, and whether it is fresh: of its source, or the spot of its underlying.
    """
    source: address = self._collaterals[kind].source
    if source != empty(address):
        return staticcall IPriceSource(source).price()
    words: DynArray[uint256, 33] = []
    fresh: bool = False
    words, fresh = staticcall IMarketData(market_data).read(self._collaterals[kind].underlying, [])
    # 72 bits of 1e-9 quote units.
    return (words[0] >> 184) * 10**9, fresh
