# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Solvency: state changes first, one check of every account touched last (decisions 4 and 5)
@notice The first touch of an account in a call keeps what the engine would have seen then, in transient storage. At the
        end an account passes if it has initial margin on fresh data and risk is not paused, or if the call took no
        risk: then, and only then, the engine is asked about both states.
@custom:security An act takes no risk if no scenario's loss grows by more than equity does, each underlying taken at its
        own worst scenario, and `E_mm - MM` does not fall. A loss is P&L below zero: gains given up are no risk, else no
        position could ever be closed at its mark. Equity is the lower of the changes of E_im and E_mm.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import positions

uses: accounts
uses: authority
uses: custody
uses: positions

MAX_TOUCHED: constant(uint256) = 32
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_SCENARIOS: constant(uint256) = 64
# How far an account has come in this call.
KEPT: constant(uint256) = 1
DUE: constant(uint256) = 2

engine: public(address)
market_data: public(address)

_touched: transient(DynArray[uint256, MAX_TOUCHED])
_state: transient(HashMap[uint256, uint256])
_before: transient(HashMap[uint256, IMarginEngine.Account])


@external
@view
def assess(account: uint256) -> IMarginEngine.Assessment:
    """
    @custom:see IClearingHouse
    """
    state: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    state, fresh = self._load(account)
    return self._assess(state, fresh)


@external
@view
def portfolio(account: uint256) -> IMarginEngine.Account:
    """
    @custom:see IClearingHouse
    """
    return self._load(account)[0]


@internal
def _set_engine(new_engine: address, new_market_data: address):
    """
    @notice Replaces the engine and the market data.
    """
    assert new_engine.is_contract and new_market_data.is_contract, "solvency: not a contract"
    self.engine = new_engine
    self.market_data = new_market_data
    log IClearingHouse.EngineSet(engine=new_engine, market_data=new_market_data)


@internal
def _touch(account: uint256, due: bool):
    """
    @notice To be called before an account's state changes.
    @param account The account.
    @param due Whether the change may lower equity or raise risk.
    """
    if self._state[account] == 0:
        self._touched.append(account)
        self._state[account] = KEPT
        self._before[account] = self._load(account)[0]
    if due:
        self._state[account] = DUE


@internal
def _settle():
    """
    @notice The check at the end of the outermost call. Leaves the transient set empty for the next call of the
            transaction.
    """
    for account: uint256 in self._touched:
        if self._state[account] == DUE:
            self._require_sound(account)
        self._state[account] = 0
    self._touched = []


@internal
@view
def _require_sound(account: uint256):
    """
    @notice Passes an account that has initial margin, or that took no risk in this call.
    """
    after: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    after, fresh = self._load(account)
    positions._require_limits(after.legs, custody._claims(account), after.mode == accounts.ISOLATED)
    if authority.paused & authority.RISK == 0 and self._has_initial(self._assess(after, fresh)):
        return
    assert self._takes_no_risk(self._before[account], after), "solvency: margin"


@internal
@view
def _require_admissible(account: uint256):
    """
    @notice The limits alone, for acts that need no check.
    """
    positions._require_limits(
        positions._books[account], custody._claims(account), accounts.mode_of[account] == accounts.ISOLATED
    )


@internal
@pure
def _has_initial(figures: IMarginEngine.Assessment) -> bool:
    """
    @return Whether there is initial margin, on fresh data.
    """
    return figures.fresh and figures.equity_initial >= figures.initial


@internal
@view
def _load(account: uint256) -> (IMarginEngine.Account, bool):
    """
    @return The account as the engine wants it, and whether the prices of its collateral are fresh.
    """
    holdings: DynArray[IMarginEngine.Holding, custody.MAX_COLLATERALS] = []
    fresh: bool = False
    holdings, fresh = custody._holdings(account, self.market_data)
    return (
        IMarginEngine.Account(
            mode=accounts.mode_of[account],
            cash=custody._cash[account],
            cost=positions.cost[account],
            holdings=holdings,
            legs=positions._books[account],
        ),
        fresh,
    )


@internal
@view
def _assess(state: IMarginEngine.Account, fresh: bool) -> IMarginEngine.Assessment:
    """
    @notice Asks the engine.
    @param state The account.
    @param fresh Whether the prices of its collateral are.
    """
    figures: IMarginEngine.Assessment = staticcall IMarginEngine(self.engine).assess(state)
    figures.fresh = figures.fresh and fresh
    return figures


@internal
@view
def _takes_no_risk(before: IMarginEngine.Account, after: IMarginEngine.Account) -> bool:
    """
    @notice Decision 5. Both states are seen at the same prices, so that stale ones do no harm.
    """
    old: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    new: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    old_reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
    new_reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
    old, old_reports = staticcall IMarginEngine(self.engine).explain(before)
    new, new_reports = staticcall IMarginEngine(self.engine).explain(after)
    if new.equity_maintenance - new.maintenance < old.equity_maintenance - old.maintenance:
        return False

    gain: int256 = min(
        new.equity_maintenance - old.equity_maintenance, new.equity_initial - old.equity_initial
    )
    # Both lists ascend. An underlying of the old state alone can only lose its losses.
    i: uint256 = 0
    for report: IMarginEngine.Report in new_reports:
        for _: uint256 in range(MAX_UNDERLYINGS):
            if i == len(old_reports) or old_reports[i].underlying >= report.underlying:
                break
            i += 1
        known: bool = i < len(old_reports) and old_reports[i].underlying == report.underlying
        growth: int256 = 0
        for s: uint256 in range(len(report.pnl), bound=MAX_SCENARIOS):
            loss: int256 = max(-report.pnl[s], 0)
            if known:
                loss -= max(-old_reports[i].pnl[s], 0)
            growth = max(growth, loss)
        gain -= growth
    return gain >= 0
