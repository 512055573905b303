# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Solvency: state changes first, one check of every account touched last (decisions 4 and 5)
@notice The first touch of an account in a call keeps what the engine would have seen then, in transient storage. At the
        end an account passes if it has initial margin on fresh data, may have its mode and risk is not paused, or if
        the call took no risk: then, and only then, the engine is asked about both states.
@custom:security What no risk is, IMarginReport says.
"""

from contracts.interfaces import IAdmission
from contracts.interfaces import IClearingHouse
from contracts.interfaces import ICollaterals
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import ledger
from contracts.modules import positions

uses: accounts
uses: authority
uses: custody
uses: ledger
uses: positions

MAX_TOUCHED: constant(uint256) = 32
# How far an account has come in this call: its state was kept; it bought in a liquidation, which needs initial margin, but
# no fresh prices of what cannot matter; it must be checked; and it has paid out, which no gain of the same call excuses.
KEPT: constant(uint256) = 1
BOUGHT: constant(uint256) = 2
DUE: constant(uint256) = 3
PAID: constant(uint256) = 4
# A bidder must bear to lose this many times the gross value of what has a stale price.
STALE_FACTOR: constant(int256) = 2

engine: public(address)
report: public(address)
market_data: public(address)
# Without one everybody may have portfolio mode.
admission: public(address)

_touched: transient(DynArray[uint256, MAX_TOUCHED])
_state: transient(HashMap[uint256, uint256])
_before: transient(HashMap[uint256, IMarginEngine.Account])
# What an account has paid for trades in this call.
_fees: transient(HashMap[uint256, int256])


@external
@view
def assess(account: uint256) -> IMarginEngine.Assessment:
    """
    @custom:see IClearingHouse
    """
    return self._figures(account)


@external
@view
def portfolio(account: uint256) -> IMarginEngine.Account:
    """
    @custom:see IClearingHouse
    """
    state: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    stale_value: int256 = 0
    state, fresh, stale_value = self._load(account)
    return state


@internal
def _set_report(new_report: address):
    """
    @notice Replaces the report, and with it the engine and the market data that it stands on.
    """
    self.report = new_report
    self.engine = staticcall IMarginReport(new_report).engine()
    self.market_data = staticcall IMarginReport(new_report).market_data()


@internal
def _touch(account: uint256, level: uint256):
    """
    @notice To be called before an account's state changes.
    @param account The account.
    @param level KEPT, DUE where the change may lower equity or raise risk, PAID where it takes something out.
    """
    if self._state[account] == 0:
        self._touched.append(account)
        # With its interest, which is no gain of this call.
        ledger._change(account, 0)
        fresh: bool = False
        stale_value: int256 = 0
        self._before[account], fresh, stale_value = self._load(account)
    if level > self._state[account]:
        self._state[account] = level


@internal
def _charge(account: uint256, fee: int256, receiver: uint256):
    """
    @notice Moves a fee from an account that was touched to another, exactly (INV-12).
    """
    if fee != 0:
        self._fees[account] += fee
        ledger._change(account, -fee)
        ledger._change(receiver, fee)


@internal
def _settle():
    """
    @notice The check at the end of the outermost call. Leaves the transient set empty for the next call of the
            transaction.
    """
    for account: uint256 in self._touched:
        level: uint256 = self._state[account]
        if level == BOUGHT:
            self._require_bidder(account)
        elif level != KEPT:
            self._require_sound(account, level == PAID)
        self._state[account] = 0
        self._fees[account] = 0
    self._touched = []


@internal
@view
def _require_bidder(account: uint256):
    """
    @notice Passes an account that may have its mode, and has initial margin even if what has a stale price were so much worse.
    """
    self._require_admissible(account)
    figures: IMarginEngine.Assessment = self._figures(account)
    spare: int256 = figures.equity_initial - STALE_FACTOR * figures.stale_value
    assert figures.initial <= spare, "liquidation: bidder's margin"
    assert self._is_admitted(account, figures.equity_initial), "liquidation: bidder's mode"


@internal
@view
def _require_sound(account: uint256, paid: bool):
    """
    @notice Passes an account that has initial margin, or nothing at risk, or that took no risk in this call.
    """
    self._require_admissible(account)
    if authority.paused & authority.RISK == 0:
        if len(positions._books[account]) == 0 and ledger._prudent(account) >= 0:
            return
        figures: IMarginEngine.Assessment = self._figures(account)
        if self._has_initial(figures) and self._is_admitted(account, figures.equity_initial):
            return
    assert not paid, "solvency: margin"
    before: IMarginEngine.Account = self._before[account]
    after: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    stale_value: int256 = 0
    after, fresh, stale_value = self._load(account)
    # Collateral that came in does not count: at a stale price it would pay for a trade at any price.
    after.holdings = before.holdings
    assert staticcall IMarginReport(self.report).takes_no_risk(before, after, self._fees[account]), "solvency: margin"


@internal
@view
def _health(account: uint256) -> int256:
    """
    @return E_mm - MM, on whatever data there are; 0 for an account without positions.
    """
    if len(positions._books[account]) == 0:
        return 0
    figures: IMarginEngine.Assessment = self._figures(account)
    return figures.equity_maintenance - figures.maintenance


@internal
@view
def _require_addition(account: uint256, collateral: uint256, health: int256):
    """
    @notice A new kind of collateral may not make an account worse: a claim on an underlying is a position in the grid, and
            ends the cap of an account that was options only (M-14).
    @param account The account that received it.
    @param collateral Its kind.
    @param health What `_health` was before.
    """
    self._require_admissible(account)
    price: uint256 = 0
    fresh: bool = False
    price, fresh = staticcall ICollaterals(custody.collaterals).price_of(collateral, self.market_data)
    assert price != 0, "custody: no market data"
    if len(positions._books[account]) == 0:
        return
    # Else it would stop liquidations of the account.
    assert fresh, "custody: stale price"
    after: int256 = self._health(account)
    assert after >= 0 or after >= health, "solvency: collateral adds risk"


@internal
@view
def _require_admissible(account: uint256):
    """
    @notice The limits of a book alone.
    """
    most_legs: uint256 = positions.MAX_LEGS
    most_weight: uint256 = positions.MAX_WEIGHT
    underlying_weight: uint256 = 0
    mode: uint256 = accounts.mode_of[account]
    if mode == accounts.ISOLATED:
        most_legs = 1
    elif mode == accounts.CROSS:
        most_legs = positions.MAX_CROSS_LEGS
    elif mode > accounts.PORTFOLIO:
        most_legs = positions.MAX_TAIL_LEGS
        most_weight = positions.MAX_TAIL_WEIGHT
        underlying_weight = positions.TAIL_UNDERLYING_WEIGHT
    positions._require_limits(
        positions._books[account], custody._claims(account), most_legs, most_weight, underlying_weight
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
def _is_admitted(account: uint256, equity: int256) -> bool:
    """
    @return Whether an account of this initial equity may take risk in its mode.
    """
    if accounts.mode_of[account] < accounts.PORTFOLIO or self.admission == empty(address):
        return True
    return staticcall IAdmission(self.admission).admits(accounts.owner_of[account], equity)


@internal
@view
def _load(account: uint256) -> (IMarginEngine.Account, bool, int256):
    """
    @return The account as the engine wants it; whether the prices of its collateral are fresh, and the value of what is not.
    """
    holdings: DynArray[IMarginEngine.Holding, custody.MAX_COLLATERALS] = []
    fresh: bool = False
    stale_value: int256 = 0
    holdings, fresh, stale_value = custody._holdings(account, self.market_data)
    return IMarginEngine.Account(
        mode=accounts.mode_of[account],
        cash=ledger._prudent(account),
        cost=positions.cost[account],
        holdings=holdings,
        legs=positions._books[account],
    ), fresh, stale_value


@internal
@view
def _figures(account: uint256) -> IMarginEngine.Assessment:
    """
    @return What the engine says of an account now, `fresh` and `stale_value` counting the prices of its collateral too.
    """
    # As `_load`, which would copy the book twice more.
    holdings: DynArray[IMarginEngine.Holding, custody.MAX_COLLATERALS] = []
    fresh: bool = True
    stale_value: int256 = 0
    # Else it would read where the market data are.
    if custody._held[account] != 0:
        holdings, fresh, stale_value = custody._holdings(account, self.market_data)
    figures: IMarginEngine.Assessment = staticcall IMarginEngine(self.engine).assess(
        IMarginEngine.Account(
            mode=accounts.mode_of[account],
            cash=ledger._prudent(account),
            cost=positions.cost[account],
            holdings=holdings,
            legs=positions._books[account],
        )
    )
    figures.fresh = figures.fresh and fresh
    figures.stale_value += stale_value
    return figures
