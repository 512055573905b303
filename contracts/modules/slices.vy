# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Slices: what a liquidation moves from an account to a bidder, and for how much cash of whom (decision 8)
@notice ILiquidation says which account may be sold, what of it, when and for how much; here it is moved. Legs, cost and cash go
        from one account to another, exactly (INV-01, INV-02).
@custom:security The liquidation contract is trusted with what unhealthy accounts are sold for, as the exchange is with what was
        agreed. An account that was touched in the same call is not for sale: its own check is still to come. The bidder is
        checked at the end of the call.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.modules import accounts
from contracts.modules import authority
from contracts.modules import custody
from contracts.modules import ledger
from contracts.modules import positions
from contracts.modules import solvency

uses: accounts
uses: authority
uses: custody
uses: ledger
uses: positions
uses: solvency

WAD: constant(uint256) = 10**18
# As the liquidation contract takes it.
MAX_DATA: constant(uint256) = 8192


@internal
def _sell(account: uint256, bidder: uint256, data: Bytes[MAX_DATA], rule: address):
    """
    @notice Moves what the rule awards to a bid.
    @param account What is sold.
    @param bidder An account of another owner that the caller may bid for.
    @param data abi.encode(ILiquidation.Bid).
    @param rule ILiquidation.
    """
    assert authority.paused & authority.LIQUIDATION == 0, "liquidation: paused"
    assert accounts.owner_of[account] != accounts.owner_of[bidder], "liquidation: own account"
    accounts._require_scope(bidder, msg.sender, accounts.TRADE)
    assert solvency._state[account] == 0, "liquidation: in this call"
    solvency._touch(bidder, solvency.KEPT)
    cash: int256 = ledger._prudent(bidder)
    # It will have what is sold and nothing else, in the same mode: what that needs the rule knows.
    flat: bool = (
        len(positions._books[bidder]) == 0
        and custody._held[bidder] == 0
        and accounts.mode_of[bidder] == accounts.mode_of[account]
        and solvency.admission == empty(address)
    )

    # With their interest, or the bidder would get what came since the account's last act.
    ledger._change(account, 0)
    fund: int256 = ledger._change(custody.FUND, 0)
    state: IMarginEngine.Account = empty(IMarginEngine.Account)
    fresh: bool = False
    stale_value: int256 = 0
    state, fresh, stale_value = solvency._load(account)
    sale: ILiquidation.Sale = extcall ILiquidation(rule).award(
        account, bidder, state, fresh, stale_value, fund, solvency.engine, solvency.market_data, data
    )

    # Checked by the contract that spends it, whoever decides.
    assert sale.account_cash + sale.bidder_cash + sale.fund_cash == 0, "liquidation: cash"
    if sale.fund_cash != 0:
        ledger._change(custody.FUND, sale.fund_cash)
    given: int256 = 0
    taken: int256 = 0
    if len(sale.package) != 0:
        given = positions._add(account, sale.package, -1, sale.cost)
        taken = positions._add(bidder, sale.package, 1, sale.cost)
    if sale.fraction != 0:
        kinds: DynArray[uint256, custody.MAX_COLLATERALS] = custody._kinds(account)
        for kind: uint256 in kinds:
            amount: uint256 = custody._balances[account][kind] * sale.fraction // WAD
            custody._debit(account, kind, amount)
            custody._credit(bidder, kind, amount)
    ledger._change(account, sale.account_cash + given)
    ledger._change(bidder, sale.bidder_cash + taken)
    if sale.needs != min_value(int256) and not (flat and sale.needs <= cash):
        solvency._touch(bidder, solvency.BOUGHT)
