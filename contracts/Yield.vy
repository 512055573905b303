# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Yield: idle cash earns what the protocol earns, the more the less risk stands on it
@notice Measures scores and moves money; how income is released to scores, modules/stream says. The public surface, with its
        natspec, is IYield.
@custom:security See IYield.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMoneyMarket
from contracts.interfaces import IYield
from contracts.modules import stream

implements: IYield

initializes: stream

WAD: constant(uint256) = 10**18
FUND: constant(uint256) = 1
FEES: constant(uint256) = 2
MAX_ACCOUNTS: constant(uint256) = 64
# Two measurements that count together are so far apart at least.
WINDOW: constant(uint256) = 3600

# The least of what was measured since a time.
struct Measure:
    lowest: uint256
    since: uint256

clearing_house: public(immutable(address))
fund_share: public(uint256)
_measures: HashMap[uint256, Measure]


@deploy
def __init__(clearing_house_: address, first_share: uint256):
    """
    @notice Ties it to a clearing house, of which it must be a member.
    @param clearing_house_ IClearingHouse.
    @param first_share What the fund gets of income, 1e-18.
    """
    clearing_house = clearing_house_
    self._set_fund_share(first_share)


@external
def refresh(accounts: DynArray[uint256, MAX_ACCOUNTS]) -> uint256:
    """
    @custom:see IYield
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    stream._accrue()
    total: uint256 = 0
    for account: uint256 in accounts:
        paid: uint256 = self._refresh(account, house)
        total += paid
    if total != 0:
        extcall house.post(FEES, [], -convert(total, int256), 0)
    return total


@external
def distribute() -> uint256:
    """
    @custom:see IYield
    """
    house: IClearingHouse = IClearingHouse(clearing_house)
    market: IMoneyMarket = IMoneyMarket(staticcall house.money_market())
    interest: uint256 = staticcall market.earned()
    if interest != 0:
        extcall market.collect(FEES, interest)
    stream._accrue()
    cash: int256 = staticcall house.cash(FEES)
    income: int256 = cash - convert(stream._state.unreleased + stream._state.owed, int256)
    if income <= 0:
        return 0
    # Down: the rest is for the accounts.
    share: int256 = income * convert(self.fund_share, int256) // convert(WAD, int256)
    if share != 0:
        extcall house.post(FEES, [], -share, 0)
        extcall house.post(FUND, [], share, 0)
    stream._receive(convert(income - share, uint256))
    log IYield.Distributed(income=convert(income, uint256), fund=convert(share, uint256))
    return convert(income, uint256)


@external
def set_fund_share(fund_share: uint256):
    """
    @custom:see IYield
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"
    self._set_fund_share(fund_share)


@external
@view
def rate_of(account: uint256) -> IYield.Rate:
    """
    @custom:see IYield
    """
    r: IYield.Rate = self._measured(account, IClearingHouse(clearing_house))
    r.counted = stream._score(account)
    r.lowest = self._measures[account].lowest
    r.since = self._measures[account].since
    r.end = stream._entries[account].end
    flow: uint256 = 0
    total: uint256 = 0
    flow, total = stream._flow()
    if r.cash > 0 and total != 0:
        r.rate = flow * r.counted // total * WAD // convert(r.cash, uint256)
    return r


@external
@view
def earned(account: uint256) -> uint256:
    """
    @custom:see IYield
    """
    return stream._pending(account)


@external
@view
def held() -> (uint256, uint256, uint256):
    """
    @custom:see IYield
    """
    return stream._state.unreleased, stream._state.owed, stream._state.finish


@internal
def _set_fund_share(fund_share: uint256):
    """
    @notice Changes what the fund gets of income.
    """
    assert fund_share <= WAD, "yield: share"
    self.fund_share = fund_share
    log IYield.FundShareSet(fund_share=fund_share)


@internal
def _refresh(account: uint256, house: IClearingHouse) -> uint256:
    """
    @notice Credits an account and measures it; account 2 is debited for all together.
    @return What it was credited.
    """
    assert account > FEES, "yield: account"
    paid: uint256 = stream._credit(account)
    if paid != 0:
        extcall house.post(account, [], convert(paid, int256), 0)
    figures: IYield.Rate = self._measured(account, house)
    measured: uint256 = figures.measured
    counted: uint256 = 0
    m: Measure = self._measures[account]
    if stream._entries[account].end <= block.timestamp:
        # What was measured before is too old to be of any use.
        m = Measure(lowest=measured, since=block.timestamp)
    elif block.timestamp - m.since >= WINDOW:
        counted = min(m.lowest, measured)
        m = Measure(lowest=measured, since=block.timestamp)
    else:
        counted = min(stream._score(account), measured)
        m.lowest = min(m.lowest, measured)
    self._measures[account] = m
    stream._enter(account, counted)
    log IYield.Refreshed(account=account, paid=paid, measured=measured, counted=counted)
    return paid


@internal
@view
def _measured(account: uint256, house: IClearingHouse) -> IYield.Rate:
    """
    @return The figures of an account's score, and the score.
    """
    r: IYield.Rate = empty(IYield.Rate)
    figures: IMarginEngine.Assessment = staticcall house.assess(account)
    r.cash = staticcall house.cash(account)
    r.maintenance = figures.maintenance
    r.equity = figures.equity_maintenance
    if figures.fresh and r.equity > r.maintenance:
        # Equity is positive: a requirement is never negative. Both roundings down.
        r.factor = convert(r.equity - r.maintenance, uint256) * WAD // convert(r.equity, uint256)
        if r.cash > 0:
            r.measured = convert(min(r.cash, r.equity), uint256) * r.factor // WAD
    return r
