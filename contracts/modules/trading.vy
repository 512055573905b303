# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Trading: a package of legs novated between two accounts (decision 1)
@custom:security Every amount moves from one account to the other, exactly: size * price needs no rounding.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IMarketData
from contracts.libraries import position
from contracts.modules import accounts
from contracts.modules import consent
from contracts.modules import custody
from contracts.modules import positions
from contracts.modules import solvency

uses: accounts
uses: consent
uses: custody
uses: positions
uses: solvency

MAX_PACKAGE: constant(uint256) = 16
# Prices come at 1e-9 and sizes at 1e-6: their product wants three digits more.
TO_WAD: constant(int256) = 10**3
PRICE_LIMIT: constant(uint256) = 2**72


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
    @notice Moves a package; the caller of this function settles the checks.
    """
    assert taker != maker, "trading: one account"
    assert len(legs) != 0, "trading: no legs"
    accounts._require_control(taker)
    consent._require_maker(taker, maker, legs, nonce, deadline, signature)
    solvency._touch(taker, True)
    solvency._touch(maker, True)

    package: DynArray[uint256, positions.MAX_LEGS] = []
    premium: int256 = 0
    cost: int256 = 0
    for leg: IClearingHouse.Leg in legs:
        assert leg.expiry == 0 or block.timestamp < leg.expiry, "trading: expired"
        assert leg.price < PRICE_LIMIT, "trading: price"
        package.append(position.pack(leg.underlying, leg.expiry, leg.strike, leg.kind, leg.size))
        value: int256 = leg.size * convert(leg.price, int256) * TO_WAD
        if leg.kind < position.CALL:
            cost += value
        else:
            premium += value
    self._move(taker, package, cost, premium)
    self._move(maker, positions._negate(package), -cost, -premium)
    # After the merge, which has shown that the package ascends.
    self._require_market(package)
    log IClearingHouse.Traded(taker=taker, maker=maker, premium=premium, cost=cost, legs=legs)


@internal
def _move(account: uint256, package: DynArray[uint256, positions.MAX_LEGS], cost: int256, payment: int256):
    """
    @notice Adds a package to an account, and takes the payment for it.
    """
    profit: int256 = positions._add(account, package, cost)
    if profit != payment:
        custody._cash[account] += profit - payment


@internal
@view
def _require_market(package: DynArray[uint256, positions.MAX_LEGS]):
    """
    @notice Every instrument must have been priced at some time; whether that is fresh is for the check to ask.
    @param package Words, ascending.
    """
    expiries: DynArray[uint256, 16] = []
    for i: uint256 in range(len(package), bound=MAX_PACKAGE):
        word: uint256 = package[i]
        expiry: uint256 = position.expiry(word)
        if expiry != 0 and (len(expiries) == 0 or expiries[len(expiries) - 1] != expiry):
            expiries.append(expiry)
        if i + 1 == len(package) or position.underlying(package[i + 1]) != position.underlying(word):
            words: DynArray[uint256, 33] = []
            fresh: bool = False
            words, fresh = staticcall IMarketData(solvency.market_data).read(position.underlying(word), expiries)
            for published: uint256 in words:
                assert published != 0, "trading: no market data"
            expiries = []
