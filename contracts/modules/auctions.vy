# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Auctions: which are running, since when, and what their clocks say
@notice An auction is of an account. It starts, is marked while the account has no net value, unmarked when it has some again,
        and ends. Prices and slices at a time are those of libraries/auction.
@custom:security `insolvent_running` counts the marked auctions that may cost the fund more than dust; every change of a mark goes
        through `_mark`.
"""

from contracts.interfaces import ILiquidation
from contracts.interfaces import IMarginEngine
from contracts.libraries import auction
from contracts.libraries import fixed_point

WAD: constant(int256) = 10**18
WHOLE: constant(uint256) = 10**18
# A slice may always be worth 100 quote units, and so many times its premium.
SMALL: constant(int256) = 100 * 10**18
PREMIUMS: constant(int256) = 10
# An auction that can cost the fund less does not keep anyone from leaving it.
DUST: constant(int256) = 100 * 10**18

terms: public(ILiquidation.Terms)
insolvent_running: public(uint256)
_auctions: HashMap[uint256, ILiquidation.Auction]


@external
@view
def auction_of(account: uint256) -> ILiquidation.Auction:
    """
    @custom:see ILiquidation
    """
    return self._auctions[account]


@internal
def _set_terms(t: ILiquidation.Terms):
    """
    @notice Changes the terms. No prices rise with time, and none falls at once.
    """
    assert t.first_discount >= 10**15 and t.first_discount <= t.knee_discount, "liquidation: discount"
    assert t.knee_discount <= 5 * 10**17, "liquidation: discount"
    assert t.knee_seconds >= 60 and t.knee_seconds < t.solvent_seconds, "liquidation: seconds"
    assert t.solvent_seconds <= 7 * 86_400, "liquidation: seconds"
    assert t.insolvent_seconds >= 60 and t.insolvent_seconds <= 7 * 86_400, "liquidation: seconds"
    assert t.minimum_slice != 0 and t.minimum_slice <= WHOLE, "liquidation: slice"
    assert t.fee <= 5 * 10**16, "liquidation: fee"
    assert t.reward <= 1_000 * 10**18 and t.reward_share <= 10**17, "liquidation: reward"
    self.terms = t
    log ILiquidation.TermsSet(terms=t)


@internal
def _start(
    account: uint256, starter: uint256, figures: IMarginEngine.Assessment, fund: int256
) -> ILiquidation.Sale:
    """
    @notice Starts an auction for a reward, or marks whether the account of a running one has net value.
    @param account Unhealthy.
    @param starter Account that is rewarded.
    @param figures Of the account, some scenarios perhaps left out.
    @param fund Cash of the fund.
    """
    t: ILiquidation.Terms = self.terms
    a: ILiquidation.Auction = self._auctions[account]
    is_new: bool = a.started == 0
    if is_new:
        a.started = block.timestamp
    dead: bool = self._is_dead(a, t, figures)
    sale: ILiquidation.Sale = empty(ILiquidation.Sale)
    sale.needs = min_value(int256)
    if is_new:
        reward: int256 = min(
            convert(t.reward, int256), fixed_point.mul_down(figures.maintenance, convert(t.reward_share, int256))
        )
        if figures.net_value >= reward:
            sale.account_cash = -reward
        elif fund >= reward:
            sale.fund_cash = -reward
        else:
            reward = 0
        sale.bidder_cash = reward
        log ILiquidation.AuctionStarted(
            account=account, starter=starter, reward=convert(reward, uint256), insolvent=dead
        )
    else:
        # Once it has begun to fall, the price falls to its end; after a time there it begins anew.
        assert (not self._is_marked(a, t)) if dead else a.marked != 0, "liquidation: running"
        log ILiquidation.AuctionMarked(account=account, insolvent=dead)
    self._auctions[account].started = a.started
    self._mark(account, dead, figures.maintenance - figures.net_value)
    return sale


@internal
def _mark(account: uint256, dead: bool, exposure: int256):
    """
    @notice Lets the price of an account without net value fall from now on, or no more.
    @param account In auction.
    @param dead Whether it falls.
    @param exposure What that can cost the fund.
    """
    counted: bool = dead and exposure >= DUST
    if counted != self._auctions[account].counted:
        self._auctions[account].counted = counted
        if counted:
            self.insolvent_running += 1
        else:
            self.insolvent_running -= 1
    marked: uint256 = 0
    if dead:
        marked = block.timestamp
    if marked != self._auctions[account].marked:
        self._auctions[account].marked = marked
    if not dead and self._auctions[account].deleveraged != 0:
        self._auctions[account].deleveraged = 0


@internal
def _end(account: uint256):
    """
    @notice Forgets an auction.
    """
    self._mark(account, False, 0)
    self._auctions[account] = empty(ILiquidation.Auction)
    log ILiquidation.AuctionEnded(account=account)


@internal
@view
def _is_dead(a: ILiquidation.Auction, t: ILiquidation.Terms, figures: IMarginEngine.Assessment) -> bool:
    """
    @return Whether nobody can buy the account at a discount to its value any more.
    """
    return figures.net_value <= 0 or block.timestamp > a.started + t.solvent_seconds


@internal
@view
def _is_marked(a: ILiquidation.Auction, t: ILiquidation.Terms) -> bool:
    """
    @return Whether the falling price is in force.
    """
    return a.marked != 0 and block.timestamp <= a.marked + 2 * t.insolvent_seconds


@internal
@view
def _discount(a: ILiquidation.Auction, t: ILiquidation.Terms) -> int256:
    """
    @return The discount now.
    """
    return auction.discount(
        block.timestamp - a.started, t.first_discount, t.knee_discount, t.knee_seconds, t.solvent_seconds
    )


@internal
@view
def _falling_price(
    a: ILiquidation.Auction, t: ILiquidation.Terms, figures: IMarginEngine.Assessment, whole: bool
) -> int256:
    """
    @return What a bidder pays for all of the account now. Whoever takes one that hardly needs margin earns the reward, but not
            for a part of it: by parts it would be earned many times.
    """
    bonus: int256 = figures.maintenance
    if whole:
        bonus = max(bonus, convert(t.reward, int256))
    return auction.falling_price(figures.net_value, bonus, block.timestamp - a.marked, t.insolvent_seconds)


@internal
@pure
def _limit(
    t: ILiquidation.Terms, figures: IMarginEngine.Assessment, discount: int256, premium: int256
) -> int256:
    """
    @return The largest fraction that may be sold of an account with net value.
    """
    return auction.largest_slice(
        figures.initial - figures.equity_initial,
        figures.net_value,
        WAD - discount - self._fee_rate(t, discount),
        SMALL + PREMIUMS * premium,
        convert(t.minimum_slice, int256),
    )


@internal
@pure
def _fee_rate(t: ILiquidation.Terms, discount: int256) -> int256:
    """
    @return What of net value sold goes to the fund: no more than the bidder pays.
    """
    return min(convert(t.fee, int256), WAD - discount)
