# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Flash: a bidder without money, which borrows what it needs in the midst of its batch
@notice For tests of flash liquidations: it owns an account, sends a batch, and when it is called pays for the collateral that it
        has withdrawn with tokens of its lender, at the lender's price.
@custom:security None by design.
"""

from ethereum.ercs import IERC20

from contracts.interfaces import ICallee
from contracts.interfaces import IClearingHouse

implements: ICallee

house: IClearingHouse
quote: IERC20
collateral: IERC20
lender: address
caller: public(address)
data: public(Bytes[8192])


@deploy
def __init__(house: address, quote: address, collateral: address, lender: address):
    """
    @param house IClearingHouse.
    @param quote Token that the lender pays in.
    @param collateral Token that it buys.
    @param lender Has approved this contract.
    """
    self.house = IClearingHouse(house)
    self.quote = IERC20(quote)
    self.collateral = IERC20(collateral)
    self.lender = lender


@external
def open(mode: uint256) -> uint256:
    """
    @param mode Of the account.
    @return The account.
    """
    return extcall self.house.create_account(mode)


@external
def run(actions: DynArray[IClearingHouse.Action, 16]):
    """
    @param actions The batch.
    """
    extcall self.house.execute(actions)


@external
def on_batch(caller: address, data: Bytes[8192]):
    """
    @custom:see ICallee
    """
    assert msg.sender == self.house.address, "flash: caller"
    self.caller = caller
    self.data = data
    # What comes in for what has come out: the price is in the data.
    paid: uint256 = convert(slice(data, 0, 32), uint256)
    got: uint256 = staticcall self.collateral.balanceOf(self)
    if got != 0:
        assert extcall self.collateral.transfer(self.lender, got), "flash: transfer"
    assert extcall self.quote.transferFrom(self.lender, self, paid), "flash: lender"
    assert extcall self.quote.approve(self.house.address, paid), "flash: approval"


@external
def reenter(caller: address, data: Bytes[8192]):
    """
    @param caller Not looked at.
    @param data Not looked at.
    """
    extcall self.house.execute([])
