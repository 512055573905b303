# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Tranches: whose the fund is, who bears its losses first, and what its income is for
@notice The waterfall and the price of shares. Cash is what it is told; `IBackstop` states the rules.
@custom:security Income and the assets of both tranches sum to the cash, if it is positive, to the last unit. What a share is worth
        times the number of shares is never more than the assets.
"""

from contracts.interfaces import IBackstop

JUNIOR: constant(uint256) = 0
SENIOR: constant(uint256) = 1
KINDS: constant(uint256) = 2
WAD: constant(uint256) = 10**18
YEAR: constant(uint256) = 365 * 86_400
# Shares for a unit at the start, and so many that nobody holds: a price that somebody has driven up is mostly theirs.
VIRTUAL_SHARES: constant(uint256) = 10**6
# Of the price at the start: below it a tranche takes no deposits, or few shares would be most of all shares ever issued.
WIPED_OUT: constant(uint256) = 10**6
# Coupons of longer ago are lost, so that nobody comes for the arrears of others.
MAX_ARREARS: constant(uint256) = 90 * 86_400

MAX_COUPON: constant(uint256) = 5 * 10**17
HOUR: constant(uint256) = 3600
DAY: constant(uint256) = 86_400
MONTH: constant(uint256) = 30 * 86_400

terms: public(IBackstop.Terms)
_pool: IBackstop.Pool


@deploy
def __init__(terms: IBackstop.Terms):
    """
    @notice An empty pool.
    """
    self._set_terms(terms)
    self._pool.updated_at = block.timestamp


@internal
def _set_terms(terms: IBackstop.Terms):
    """
    @notice Changes the terms for what comes.
    """
    assert terms.coupon <= MAX_COUPON, "backstop: coupon"
    assert HOUR <= terms.cooldown_seconds and terms.cooldown_seconds <= MONTH, "backstop: cooldown"
    assert DAY <= terms.release_seconds and terms.release_seconds <= MONTH, "backstop: release"
    self.terms = terms
    log IBackstop.TermsSet(terms=terms)


@internal
def _update(cash: int256):
    """
    @notice Brings the pool up to this block.
    @param cash Of the fund, 1e-18; what it changed by is gain or loss.
    """
    self._pool = self._after(cash)


@internal
def _enter(kind: uint256, assets: uint256, most: uint256) -> uint256:
    """
    @notice Adds assets to a tranche.
    @return The shares that they are, rounded down, at most so many.
    """
    shares: uint256 = min(self._to_shares(self._pool, kind, assets, False), most)
    self._pool.assets[kind] += assets
    self._pool.shares[kind] += shares
    self._pool.cash += convert(assets, int256)
    return shares


@internal
def _leave(kind: uint256, shares: uint256, assets: uint256):
    """
    @notice Takes assets out of a tranche for shares that are worth at least as much. What the last one leaves is income.
    """
    self._pool.assets[kind] -= assets
    self._pool.shares[kind] -= shares
    self._pool.cash -= convert(assets, int256)
    if self._pool.shares[kind] == 0:
        self._vacate(kind)


@internal
def _vacate(kind: uint256):
    """
    @notice Makes what nobody holds income, and the tranche as new.
    """
    left: uint256 = self._pool.assets[kind]
    self._pool.assets[kind] = 0
    self._pool.shares[kind] = 0
    self._pool = self._with_income(self._pool, left)


@internal
@view
def _after(cash: int256) -> IBackstop.Pool:
    """
    @return The pool as of this block with so much cash: first time has passed, then came gain or loss.
    """
    pool: IBackstop.Pool = self._released(self._pool)
    before: uint256 = convert(max(pool.cash, 0), uint256)
    after: uint256 = convert(max(cash, 0), uint256)
    pool.cash = cash
    if after > before:
        return self._with_income(pool, after - before)
    lost: uint256 = before - after
    part: uint256 = min(lost, pool.income)
    pool.income -= part
    lost -= part
    for kind: uint256 in range(KINDS):
        part = min(lost, pool.assets[kind])
        pool.assets[kind] -= part
        lost -= part
    return pool


@internal
@view
def _released(before: IBackstop.Pool) -> IBackstop.Pool:
    """
    @return The pool after the time since its last update: coupons are due, and income went to the tranches. While nobody holds
            a share, the release stands still, or the first to come would take it at once.
    """
    pool: IBackstop.Pool = before
    elapsed: uint256 = block.timestamp - pool.updated_at
    pool.updated_at = block.timestamp
    if elapsed == 0:
        return pool
    rate: uint256 = self.terms.coupon
    pool.coupon_due = min(
        pool.coupon_due + pool.assets[SENIOR] * rate * elapsed // (WAD * YEAR),
        pool.assets[SENIOR] * rate * MAX_ARREARS // (WAD * YEAR),
    )
    if pool.income == 0 or (pool.shares[JUNIOR] == 0 and pool.shares[SENIOR] == 0):
        return pool
    # At least a second is left where there is income.
    passed: uint256 = min(elapsed, pool.release_left)
    released: uint256 = pool.income * passed // pool.release_left
    pool.release_left -= passed
    pool.income -= released
    coupon: uint256 = min(released, pool.coupon_due)
    pool.coupon_due -= coupon
    pool.assets[SENIOR] += coupon
    if pool.shares[JUNIOR] != 0:
        pool.assets[JUNIOR] += released - coupon
    else:
        pool.assets[SENIOR] += released - coupon
    return pool


@internal
@view
def _with_income(before: IBackstop.Pool, income: uint256) -> IBackstop.Pool:
    """
    @return The pool with more income to be released: over the mean of what is left and the full time, rounded up.
    """
    pool: IBackstop.Pool = before
    if income == 0:
        return pool
    total: uint256 = pool.income + income
    weighted: uint256 = pool.income * pool.release_left + income * self.terms.release_seconds
    pool.release_left = (weighted + total - 1) // total
    pool.income = total
    return pool


@internal
@pure
def _to_shares(pool: IBackstop.Pool, kind: uint256, assets: uint256, up: bool) -> uint256:
    """
    @return What assets are in shares.
    """
    numerator: uint256 = assets * (pool.shares[kind] + VIRTUAL_SHARES)
    denominator: uint256 = pool.assets[kind] + 1
    return (numerator + (denominator - 1 if up else 0)) // denominator


@internal
@pure
def _to_assets(pool: IBackstop.Pool, kind: uint256, shares: uint256, up: bool) -> uint256:
    """
    @notice Rounded down, all shares are worth the assets at most, however few these are.
    @return What shares are worth.
    """
    numerator: uint256 = shares * (pool.assets[kind] + 1)
    denominator: uint256 = pool.shares[kind] + VIRTUAL_SHARES
    return (numerator + (denominator - 1 if up else 0)) // denominator


@internal
@pure
def _is_wiped_out(pool: IBackstop.Pool, kind: uint256) -> bool:
    """
    @return Whether shares are worth less than a millionth of what they start at.
    """
    return pool.assets[kind] * VIRTUAL_SHARES * WIPED_OUT < pool.shares[kind]
