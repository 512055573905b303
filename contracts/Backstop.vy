# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Backstop: who bears what liquidated accounts cannot pay, and who earns what they pay for it
@notice Owner of the fund's account in the clearing house, with the books of whose it is. The public surface, with its natspec, is
        IBackstop.
@custom:security See IBackstop. Tokens are only passed through; nobody can take any from here.
"""

from ethereum.ercs import IERC20

from contracts.interfaces import IBackstop
from contracts.interfaces import IClearingHouse
from contracts.interfaces import ICollaterals
from contracts.interfaces import ILiquidation
from contracts.interfaces import IMoneyMarket
from contracts.interfaces import ITranche
from contracts.modules import claims
from contracts.modules import tranches

implements: IBackstop

initializes: claims
initializes: tranches

exports: tranches.terms

QUOTE: constant(uint256) = 0
FUND: constant(uint256) = 1
# Of an account that never has a position: no contract of admission is asked.
ISOLATED: constant(uint256) = 0

clearing_house: public(immutable(address))
token: public(immutable(address))
unit: public(immutable(uint256))
# Where cash that covers claims waits, so that what the fund owes is what its account says.
claims_account: public(immutable(uint256))
collaterals: immutable(address)
money_market: immutable(address)

# Of the junior and the senior tranche.
tranche_of: public(address[2])
# Covers claims and is still in the account of the fund: it cannot be moved while the clearing house is locked.
_unmoved: uint256


@deploy
def __init__(clearing_house_: address, terms: IBackstop.Terms):
    """
    @notice Opens the account of the claims. The clearing house must make this contract owner of the fund's account and a member.
    @param clearing_house_ IClearingHouse, with collaterals and money market.
    @param terms Coupon and times.
    """
    clearing_house = clearing_house_
    house: IClearingHouse = IClearingHouse(clearing_house_)
    collaterals = staticcall house.collaterals()
    money_market = staticcall house.money_market()
    terms_of_quote: ICollaterals.Terms = staticcall ICollaterals(collaterals).terms(QUOTE)
    token = terms_of_quote.token
    unit = staticcall ICollaterals(collaterals).unit(QUOTE)
    claims_account = extcall house.create_account(ISOLATED)
    tranches.__init__(terms)
    # Of what this contract never holds but within a call.
    assert extcall IERC20(token).approve(clearing_house, max_value(uint256), default_return_value=True)


@external
def sync():
    """
    @custom:see IBackstop
    """
    self._sync()


@external
def recover(account: uint256) -> uint256:
    """
    @custom:see IBackstop
    """
    self._sync()
    amount: uint256 = claims._recover(account)
    if amount != 0:
        log IBackstop.Recovered(account=account, amount=amount)
        self._move(claims_account, account, convert(amount, int256))
    return amount


@external
def enter(amount: uint256, most: uint256) -> uint256:
    """
    @custom:see IBackstop
    """
    kind: uint256 = self._kind()
    self._sync()
    # It would pay what the fund owes, at once.
    assert tranches._pool.cash >= 0, "backstop: shortfall"
    assert not tranches._is_wiped_out(tranches._pool, kind), "backstop: wiped out"
    arrived: uint256 = extcall IClearingHouse(clearing_house).deposit(FUND, QUOTE, amount)
    shares: uint256 = tranches._enter(kind, arrived * unit, most)
    assert shares != 0, "backstop: no share"
    log IBackstop.Entered(kind=kind, amount=arrived, shares=shares)
    return shares


@external
def leave(shares: uint256, most: uint256, receiver: address) -> uint256:
    """
    @custom:see IBackstop
    """
    kind: uint256 = self._kind()
    self._sync()
    assert self._is_quiet(), "backstop: insolvent auctions"
    worth: uint256 = tranches._to_assets(tranches._pool, kind, shares, False)
    amount: uint256 = min(worth, most) // unit
    tranches._leave(kind, shares, amount * unit)
    log IBackstop.Left(kind=kind, receiver=receiver, amount=amount, shares=shares)
    if amount != 0:
        extcall IClearingHouse(clearing_house).withdraw(FUND, QUOTE, amount, receiver)
    return amount


@external
def dock(account: uint256, amount: uint256, shortfall: uint256) -> uint256:
    """
    @custom:see IBackstop
    """
    assert msg.sender == collaterals, "backstop: caller"
    self._update(-convert(shortfall, int256))
    # What covers claims is not the fund's any more, though still in its account.
    lacking: uint256 = convert(max(-tranches._pool.cash, 0), uint256)
    interest: IMoneyMarket.Interest = staticcall IMoneyMarket(money_market).interest()
    # The withdrawal is part of what the shortfall is shared by, and was debited already.
    credits: uint256 = interest.credits + amount * unit
    kept: uint256 = 0
    if amount != 0:
        kept = min((amount * lacking + credits - 1) // credits, amount)
    claims._add(account, kept * unit)
    tranches._update(tranches._pool.cash + convert(kept * unit, int256))
    log IBackstop.Docked(account=account, kept=kept * unit, claims=claims.total)
    return amount - kept


@external
def set_terms(terms: IBackstop.Terms):
    """
    @custom:see IBackstop
    """
    self._require_owner()
    self._sync()
    tranches._set_terms(terms)


@external
def set_tranche(kind: uint256, tranche: address):
    """
    @custom:see IBackstop
    """
    self._require_owner()
    self._sync()
    vacant: bool = tranches._pool.shares[kind] == 0 or tranches._is_wiped_out(tranches._pool, kind)
    assert vacant, "backstop: tranche is held"
    assert staticcall ITranche(tranche).backstop() == self, "backstop: tranche"
    assert staticcall ITranche(tranche).kind() == kind, "backstop: tranche"
    assert staticcall ITranche(tranche).totalSupply() == 0, "backstop: tranche"
    tranches._vacate(kind)
    self.tranche_of[kind] = tranche
    log IBackstop.TrancheSet(kind=kind, tranche=tranche)


@external
@view
def pool() -> IBackstop.Pool:
    """
    @custom:see IBackstop
    """
    return self._current()


@external
@view
def claim_of(account: uint256) -> (uint256, uint256):
    """
    @custom:see IBackstop
    """
    return claims._claims[account].owed, claims._recoverable(account)


@external
@view
def lacking() -> uint256:
    """
    @custom:see IBackstop
    """
    return claims.total


@external
@view
def is_open(kind: uint256) -> (bool, bool):
    """
    @custom:see IBackstop
    """
    pool: IBackstop.Pool = self._current()
    solvent: bool = pool.cash >= 0
    return solvent and not tranches._is_wiped_out(pool, kind), solvent and self._is_quiet()


@external
@view
def to_shares(kind: uint256, assets: uint256, up: bool) -> uint256:
    """
    @custom:see IBackstop
    """
    return tranches._to_shares(self._current(), kind, assets, up)


@external
@view
def to_assets(kind: uint256, shares: uint256, up: bool) -> uint256:
    """
    @custom:see IBackstop
    """
    return tranches._to_assets(self._current(), kind, shares, up)


@internal
def _sync():
    """
    @notice Brings the books up to this block, and moves to claimants what covers their claims.
    """
    self._update(staticcall IClearingHouse(clearing_house).cash(FUND))
    if self._unmoved != 0:
        # Interest on what waited for claimants is the fund's, and its income at the next update.
        waiting: int256 = staticcall IClearingHouse(clearing_house).cash(claims_account)
        amount: int256 = convert(claims.covered, int256) - waiting
        self._unmoved = 0
        self._move(FUND, claims_account, amount)


@internal
def _update(cash: int256):
    """
    @notice Books gain or loss: claims first.
    @param cash In the account of the fund.
    """
    part: uint256 = self._part(cash)
    if part != 0:
        claims._cover(part)
        self._unmoved += part
    tranches._update(cash - convert(self._unmoved, int256))
    log IBackstop.Updated(
        cash=tranches._pool.cash,
        income=tranches._pool.income,
        junior=tranches._pool.assets[tranches.JUNIOR],
        senior=tranches._pool.assets[tranches.SENIOR],
        claims=claims.total,
    )


@internal
def _move(sender: uint256, receiver: uint256, amount: int256):
    """
    @notice Moves cash between accounts.
    """
    extcall IClearingHouse(clearing_house).post(sender, [], -amount, 0)
    extcall IClearingHouse(clearing_house).post(receiver, [], amount, 0)


@internal
@view
def _current() -> IBackstop.Pool:
    """
    @return The pool as an update would leave it now.
    """
    cash: int256 = staticcall IClearingHouse(clearing_house).cash(FUND)
    return tranches._after(cash - convert(self._unmoved + self._part(cash), int256))


@internal
@view
def _part(cash: int256) -> uint256:
    """
    @param cash In the account of the fund.
    @return What of that covers claims now.
    """
    before: int256 = tranches._pool.cash
    after: int256 = cash - convert(self._unmoved, int256)
    if after <= before:
        return 0
    return claims._part(convert(after - before, uint256), convert(max(-before, 0), uint256))


@internal
@view
def _is_quiet() -> bool:
    """
    @return Whether no auction runs that may still cost the fund something.
    """
    liquidation: address = staticcall IClearingHouse(clearing_house).liquidation()
    return staticcall ILiquidation(liquidation).insolvent_running() == 0


@internal
@view
def _kind() -> uint256:
    """
    @return Which tranche is calling.
    """
    if msg.sender == self.tranche_of[tranches.JUNIOR]:
        return tranches.JUNIOR
    assert msg.sender == self.tranche_of[tranches.SENIOR], "backstop: caller"
    return tranches.SENIOR


@internal
@view
def _require_owner():
    """
    @notice Only the owner of the clearing house passes.
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"
