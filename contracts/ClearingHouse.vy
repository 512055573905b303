# pragma version 0.4.3
# pragma optimize codesize
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Clearing house: the only holder of money
@notice Wiring of accounts, custody, positions and the check at the end of every call. The public surface, with its
        natspec, is IClearingHouse.
@custom:security The transient lock covers every function and view. Whatever can lower equity or raise risk ends in
        `solvency._settle`.
"""

from contracts.interfaces import ICallee
from contracts.interfaces import IClearingHouse
from contracts.interfaces import IExchange
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import ledger
from contracts.modules import positions
from contracts.modules import slices
from contracts.modules import solvency

implements: IClearingHouse

initializes: accounts
initializes: authority
initializes: ledger
initializes: custody[ledger := ledger]
initializes: positions
initializes: solvency[
    accounts := accounts,
    authority := authority,
    custody := custody,
    ledger := ledger,
    positions := positions,
]
initializes: slices[
    accounts := accounts,
    authority := authority,
    custody := custody,
    ledger := ledger,
    positions := positions,
    solvency := solvency,
]

exports: (
    accounts.create_account,
    accounts.set_operator,
    accounts.transfer_account,
    accounts.account_count,
    accounts.owner_of,
    accounts.mode_of,
    accounts.operators,
    accounts.controls,
)
exports: (
    authority.owner,
    authority.pending_owner,
    authority.transfer_ownership,
    authority.accept_ownership,
    authority.guardian,
    authority.members,
    authority.paused,
    authority.set_guardian,
    authority.set_member,
    authority.set_paused,
)
exports: (ledger.cash, ledger.cash_word, ledger.reserve, ledger.money_market)
exports: (custody.balance_of, custody.credited, custody.collaterals)
exports: (positions.book, positions.cost, positions.open_interest, positions.open_interest_cap)
exports: (
    solvency.assess,
    solvency.portfolio,
    solvency.engine,
    solvency.report,
    solvency.market_data,
    solvency.admission,
)

# Kinds of action in a batch.
DEPOSIT: constant(uint256) = 0
WITHDRAW: constant(uint256) = 1
TRANSFER: constant(uint256) = 2
TRADE: constant(uint256) = 3
BID: constant(uint256) = 4
CALL: constant(uint256) = 5
MAX_ACTIONS: constant(uint256) = 16
# As exchange and liquidation contract take it.
MAX_DATA: constant(uint256) = 8192

exchange: public(address)
liquidation: public(address)


@deploy
def __init__():
    """
    @notice The deployer becomes the owner, who names the other contracts.
    """
    authority.__init__()


@external
def set_mode(account: uint256, mode: uint256):
    """
    @custom:see IClearingHouse
    """
    # An account that is not admitted to its new mode could pass as having taken no risk.
    solvency._touch(account, solvency.PAID)
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
def trade(data: Bytes[MAX_DATA]):
    """
    @custom:see IClearingHouse
    """
    self._trade(data)
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
        elif action.kind == TRADE:
            self._trade(action.data)
        elif action.kind == BID:
            slices._sell(action.account, action.counterparty, action.data, self.liquidation)
        else:
            assert action.kind == CALL, "clearing house: action"
            extcall ICallee(action.recipient).on_batch(msg.sender, action.data)
    solvency._settle()


@external
def bid(account: uint256, bidder: uint256, data: Bytes[MAX_DATA]):
    """
    @custom:see IClearingHouse
    """
    slices._sell(account, bidder, data, self.liquidation)
    solvency._settle()


@external
def post(account: uint256, package: DynArray[uint256, positions.MAX_LEGS], cash: int256, cost: int256):
    """
    @custom:see IClearingHouse
    """
    assert authority.members[msg.sender], "clearing house: caller"
    ledger.reserve -= cash - cost
    profit: int256 = positions._add(account, package, 1, cost)
    ledger._change(account, cash + profit)


@external
def set_contracts(
    new_report: address,
    new_exchange: address,
    new_liquidation: address,
    collaterals: address,
    money_market: address,
    admission: address,
):
    """
    @custom:see IClearingHouse
    """
    authority._require_owner()
    solvency._set_report(new_report)
    custody._set_collaterals(collaterals)
    ledger._set_money_market(money_market)
    solvency.admission = admission
    self.exchange = new_exchange
    self.liquidation = new_liquidation
    log IClearingHouse.ContractsSet(
        engine=solvency.engine,
        report=new_report,
        market_data=solvency.market_data,
        exchange=new_exchange,
        liquidation=new_liquidation,
        collaterals=collaterals,
        money_market=money_market,
        admission=admission,
    )


@external
def set_open_interest_cap(underlying: uint256, cap: int256):
    """
    @custom:see IClearingHouse
    """
    authority._require_owner()
    positions.open_interest_cap[underlying] = cap
    log IClearingHouse.OpenInterestCapSet(underlying=underlying, cap=cap)


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
def _trade(data: Bytes[MAX_DATA]):
    """
    @notice Novates what the exchange lets pass (decision 1): every amount moves from one account to the other, exactly.
    """
    fill: IExchange.Fill = extcall IExchange(self.exchange).agree(msg.sender, solvency.market_data, data)
    accounts._require_scope(fill.taker, fill.taker_signer, accounts.TRADE)
    accounts._require_scope(fill.maker, fill.maker_signer, accounts.TRADE)
    solvency._touch(fill.taker, solvency.DUE)
    solvency._touch(fill.maker, solvency.DUE)
    for word: uint256 in fill.restricted:
        positions._require_closing(fill.taker, fill.maker, word)
    open_before: DynArray[int256, positions.MAX_LEGS] = positions._open_interests(fill.package)
    ledger._change(fill.taker, positions._add(fill.taker, fill.package, 1, fill.cost) - fill.premium)
    ledger._change(fill.maker, positions._add(fill.maker, fill.package, -1, fill.cost) + fill.premium)
    positions._require_caps(fill.package, open_before)
    solvency._charge(fill.taker, fill.taker_fee, fill.fee_account)
    solvency._charge(fill.maker, fill.maker_fee, fill.fee_account)
