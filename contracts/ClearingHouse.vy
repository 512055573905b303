# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Clearing house: the only holder of money
@notice Wiring of accounts, custody, positions and the check at the end of every call. The public surface, with its
        natspec, is IClearingHouse.
@custom:security The transient lock covers every function and view. Whatever can lower equity or raise risk ends in
        `solvency._settle`, liquidations in a check of their own.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IExchange
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import positions
from contracts.modules import slices
from contracts.modules import solvency

implements: IClearingHouse

initializes: accounts
initializes: authority
initializes: custody
initializes: positions
initializes: solvency[
    accounts := accounts, authority := authority, custody := custody, positions := positions
]
initializes: slices[
    accounts := accounts, authority := authority, custody := custody, positions := positions, solvency := solvency
]

exports: (
    accounts.create_account,
    accounts.set_operator,
    accounts.account_count,
    accounts.owner_of,
    accounts.mode_of,
    accounts.operator_expiry,
    accounts.controls,
)
exports: (
    authority.owner,
    authority.pending_owner,
    authority.transfer_ownership,
    authority.accept_ownership,
    authority.guardian,
    authority.paused,
    authority.set_guardian,
    authority.set_paused,
)
exports: (custody.cash, custody.balance_of, custody.collateral_count, custody.collaterals)
exports: (positions.book, positions.cost)
exports: (solvency.assess, solvency.portfolio, solvency.engine, solvency.report, solvency.market_data)

# Kinds of action in a batch.
DEPOSIT: constant(uint256) = 0
WITHDRAW: constant(uint256) = 1
TRANSFER: constant(uint256) = 2
TRADE: constant(uint256) = 3
MAX_ACTIONS: constant(uint256) = 16


MAX_PACKAGE: constant(uint256) = 16

exchange: public(address)
liquidation: public(address)


@deploy
def __init__(quote: address, cap: uint256):
    """
    @notice The deployer becomes the owner, who names the other contracts.
    @param quote The stablecoin that is cash.
    @param cap How much of it may be deposited, token units.
    """
    authority.__init__()
    custody.__init__(quote, cap)


@external
def set_mode(account: uint256, mode: uint256):
    """
    @custom:see IClearingHouse
    """
    solvency._touch(account, solvency.DUE)
    accounts._set_mode(account, mode)
    solvency._settle()


@external
def deposit(account: uint256, collateral: uint256, amount: uint256) -> uint256:
    """
    @custom:see IClearingHouse
    """
    return self._deposit(account, collateral, amount)


@external
def withdraw(account: uint256, collateral: uint256, amount: uint256, recipient: address):
    """
    @custom:see IClearingHouse
    """
    self._withdraw(account, collateral, amount, recipient)
    solvency._settle()


@external
def transfer(sender: uint256, receiver: uint256, collateral: uint256, amount: uint256):
    """
    @custom:see IClearingHouse
    """
    self._transfer(sender, receiver, collateral, amount)
    solvency._settle()


@external
def trade(
    taker: uint256,
    maker: uint256,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
    signature: Bytes[65],
):
    """
    @custom:see IClearingHouse
    """
    self._trade(taker, maker, legs, nonce, deadline, signature)
    solvency._settle()


@external
def execute(actions: DynArray[IClearingHouse.Action, MAX_ACTIONS]):
    """
    @custom:see IClearingHouse
    """
    for action: IClearingHouse.Action in actions:
        if action.kind == DEPOSIT:
            # Kept before, so that the check sees the call as a whole.
            solvency._touch(action.account, solvency.KEPT)
            self._deposit(action.account, action.collateral, action.amount)
        elif action.kind == WITHDRAW:
            self._withdraw(action.account, action.collateral, action.amount, action.recipient)
        elif action.kind == TRANSFER:
            self._transfer(action.account, action.counterparty, action.collateral, action.amount)
        else:
            assert action.kind == TRADE, "clearing house: action"
            self._trade(
                action.account, action.counterparty, action.legs, action.nonce, action.deadline, action.signature
            )
    solvency._settle()


@external
def sell_slice(account: uint256, bidder: uint256, fraction: uint256) -> (uint256, uint256):
    """
    @custom:see IClearingHouse
    """
    assert msg.sender == self.liquidation, "liquidation: caller"
    return slices._sell(account, bidder, fraction, msg.sender)


@external
def list_collateral(
    token: address,
    underlying: uint256,
    source: address,
    haircut_initial: uint256,
    haircut_maintenance: uint256,
    cap: uint256,
) -> uint256:
    """
    @custom:see IClearingHouse
    """
    authority._require_owner()
    return custody._list(token, underlying, source, haircut_initial, haircut_maintenance, cap)


@external
def set_cap(collateral: uint256, cap: uint256):
    """
    @custom:see IClearingHouse
    """
    authority._require_owner()
    custody._set_cap(collateral, cap)


@external
def set_contracts(new_report: address, new_exchange: address, new_liquidation: address):
    """
    @custom:see IClearingHouse
    """
    authority._require_owner()
    solvency._set_report(new_report)
    self.exchange = new_exchange
    self.liquidation = new_liquidation
    log IClearingHouse.ContractsSet(
        engine=solvency.engine,
        report=new_report,
        market_data=solvency.market_data,
        exchange=new_exchange,
        liquidation=new_liquidation,
    )


@internal
def _deposit(account: uint256, collateral: uint256, amount: uint256) -> uint256:
    """
    @notice Only the account's own side may add to it: a kind of collateral with a stale price would stop the account.
    """
    accounts._require_control(account)
    is_new: bool = custody._is_new(account, collateral)
    health: int256 = solvency._health(account) if is_new else 0
    arrived: uint256 = custody._receive(account, collateral, amount)
    if is_new:
        solvency._require_addition(account, collateral, health)
    return arrived


@internal
def _withdraw(account: uint256, collateral: uint256, amount: uint256, recipient: address):
    """
    @notice A delegated key can pay out to the owner alone.
    """
    accounts._require_control(account)
    owner: address = accounts.owner_of[account]
    assert recipient == owner or msg.sender == owner, "accounts: recipient"
    solvency._touch(account, solvency.PAID)
    custody._send(account, collateral, amount, recipient)


@internal
def _transfer(sender: uint256, receiver: uint256, collateral: uint256, amount: uint256):
    """
    @notice Both accounts must be the caller's to act for, and have one owner.
    """
    assert sender != receiver, "accounts: one account"
    accounts._require_control(sender)
    accounts._require_control(receiver)
    assert accounts.owner_of[sender] == accounts.owner_of[receiver], "accounts: two owners"
    solvency._touch(sender, solvency.PAID)
    solvency._touch(receiver, solvency.KEPT)
    is_new: bool = custody._is_new(receiver, collateral)
    health: int256 = solvency._health(receiver) if is_new else 0
    custody._debit(sender, collateral, amount)
    custody._credit(receiver, collateral, amount)
    if is_new:
        solvency._require_addition(receiver, collateral, health)
    log IClearingHouse.Transferred(sender=sender, receiver=receiver, collateral=collateral, amount=amount)


@internal
def _trade(
    taker: uint256,
    maker: uint256,
    legs: DynArray[IClearingHouse.Leg, MAX_PACKAGE],
    nonce: uint256,
    deadline: uint256,
    signature: Bytes[65],
):
    """
    @notice Novates what the exchange lets pass (decision 1): every amount moves from one account to the other, exactly.
    """
    accounts._require_control(taker)
    package: DynArray[uint256, positions.MAX_LEGS] = []
    premium: int256 = 0
    cost: int256 = 0
    too_high: DynArray[uint256, MAX_PACKAGE] = []
    package, premium, cost, too_high = extcall IExchange(self.exchange).agree(
        taker,
        maker,
        accounts.owner_of[maker],
        accounts._controls(maker, msg.sender),
        solvency.market_data,
        legs,
        nonce,
        deadline,
        signature,
    )
    solvency._touch(taker, solvency.DUE)
    solvency._touch(maker, solvency.DUE)
    for word: uint256 in too_high:
        positions._require_no_growth(taker, maker, word)
    custody._cash[taker] += positions._add(taker, package, cost) - premium
    custody._cash[maker] += positions._add(maker, positions._negate(package), -cost) + premium
