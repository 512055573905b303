"""The mirror's liquidations, to the last unit: auctions, what a bid is awarded, and what moves (decision 8).

Written from ILiquidation. What an account is worth and needs the contract's own engine says (`judge`), whose figures
are held against the float model's each time: all that follows from them is a matter of integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.stateful.state import (
    BOUGHT,
    DUST,
    FLAT,
    FUND,
    INSOLVENT,
    KEPT,
    LIQUIDATION,
    PERP,
    PREMIUMS,
    SMALL,
    SOLVENT,
    SPOTS,
    STALE_FACTOR,
    START,
    STRIKES,
    TAIL_SPOTS,
    TAILS,
    TARGETED,
    TRADE,
    UNITS,
    WAD,
    Account,
    Auction,
    Bid,
    Instrument,
    Judgement,
    Sale,
    Terms,
    mul_down,
    mul_up,
    truncated,
)
from tests.stateful.trading import TradingMirror

# Beyond any cash: nobody passes unchecked.
ENDLESS = 2**255 - 1
Package = list[tuple[Instrument, int]]


def quotient_up(a: int, b: int) -> int:
    """a / b, towards plus infinity."""
    return -(-a // b)


class AuctionMirror(TradingMirror):
    """Auctions of unhealthy accounts."""

    def __init__(self, liquidation: dict[str, int], evidence: int, **others: Any) -> None:
        super().__init__(**others)
        self.liquidation = Terms(**liquidation)
        # How many engines of evidence there are.
        self.evidence = evidence
        self.auctions: dict[int, Auction] = {}
        # Who may note that counterparties have shared a loss.
        self.deleveraging = ""
        # Of a call: what was sold in it.
        self.sales: list[Sale] = []
        self.judge: Callable[[AuctionMirror, Account, int], Judgement] = self._unknown

    @staticmethod
    def _unknown(mirror: AuctionMirror, account: Account, evidence: int) -> Judgement:
        raise LookupError("whoever drives the mirror says what the engine says")

    # ------------------------------------------------------------------------------------------------------ the rule

    def auction(self, account: int) -> Auction:
        """The auction of an account, all zero where there is none."""
        return self.auctions.get(account, Auction(0))

    @property
    def insolvent_running(self) -> int:
        """Auctions that may cost the fund more than dust."""
        return sum(a.counted for a in self.auctions.values())

    def is_unhealthy(self, figures: Judgement) -> bool:
        """Even if stale prices were better by twice their value."""
        return figures.health + STALE_FACTOR * figures.stale_value < 0

    def is_dead(self, a: Auction, figures: Judgement) -> bool:
        """Whether nobody can buy at a discount to net value any more."""
        return figures.net_value <= 0 or self.now > a.started + self.liquidation.solvent_seconds

    def is_marked(self, a: Auction) -> bool:
        """Whether the falling price is in force."""
        return a.marked != 0 and self.now <= a.marked + 2 * self.liquidation.insolvent_seconds

    def discount(self, a: Auction) -> int:
        """Of a solvent bid now: linear to a knee, and from there to everything; rounded down."""
        t, elapsed = self.liquidation, self.now - a.started
        if elapsed >= t.solvent_seconds:
            return WAD
        if elapsed <= t.knee_seconds:
            return t.first_discount + (t.knee_discount - t.first_discount) * elapsed // t.knee_seconds
        late, rest = elapsed - t.knee_seconds, t.solvent_seconds - t.knee_seconds
        return t.knee_discount + (WAD - t.knee_discount) * late // rest

    def fee_rate(self, discount: int) -> int:
        """Of net value sold, to the fund."""
        return min(self.liquidation.fee, WAD - discount)

    def premium(self, account: Account) -> int:
        """What a millionth of a unit of every leg can be worth and need at most, rounded up."""
        spots = {i: round(self.market[name].spot * 10**9) * 10**9 for name, i in self.names.items()}
        legs = account.legs
        times = TAIL_SPOTS if account.mode in TAILS else SPOTS
        each = (times * spots[i.underlying] + STRIKES * i.strike * 10**12 + FLAT for i in legs)
        funding = (abs(self.funding(self.name_of[i.underlying])) for i in legs if i.kind == PERP)
        return quotient_up(sum(each) + sum(funding), 10**6)

    def largest_slice(self, figures: Judgement, discount: int, premium: int) -> tuple[int, bool]:
        """The largest fraction of an account with net value, rounded up; and whether that restores initial margin."""
        least, worth = SMALL + PREMIUMS * premium, figures.net_value
        if worth <= least:
            return WAD, False
        kept = mul_down(worth, WAD - discount - self.fee_rate(discount))
        restoring = quotient_up(-figures.excess * WAD, -figures.excess + kept)
        floor = max(quotient_up(least * WAD, worth), self.liquidation.minimum_slice)
        return max(restoring, floor), restoring >= floor

    def falling_price(self, a: Auction, figures: Judgement, whole: bool) -> int:
        """For all of an account without net value, up: from that or nothing to MM less, or the reward if whole."""
        bonus = max(figures.maintenance, self.liquidation.reward if whole else 0)
        top, seconds = max(figures.net_value, 0), self.liquidation.insolvent_seconds
        return top - (top - figures.net_value + bonus) * min(self.now - a.marked, seconds) // seconds

    def quote(self, account: int) -> dict[str, Any]:
        """`ILiquidation.Quote`: what could be bought now, without interest since the account's last act."""
        figures, a = self.judge(self, self.accounts[account], 0), self.auction(account)
        q = dict.fromkeys(("kind", "fraction", "price", "premium", "discount", "needs"), 0)
        unhealthy = self.is_unhealthy(figures) and account != FUND
        q |= {"unhealthy": unhealthy, "net_value": figures.net_value}
        if not unhealthy:
            return q
        # As if a bid started it.
        a = a if a.started else Auction(self.now)
        q["premium"], q["discount"] = self.premium(self.accounts[account]), self.discount(a)
        if not self.is_dead(a, figures):
            fraction, _ = self.largest_slice(figures, q["discount"], q["premium"])
            price = mul_up(mul_up(figures.net_value, fraction), WAD - q["discount"])
            q |= {"kind": SOLVENT, "fraction": fraction, "price": price + (q["premium"] if fraction != WAD else 0)}
        elif self.is_marked(a):
            q |= {"kind": INSOLVENT, "fraction": WAD, "price": self.falling_price(a, figures, True)}
        if q["kind"]:
            q["needs"] = self._needs(self.accounts[account], figures, q["fraction"], q["price"], q["premium"])
        return q

    def _needs(self, account: Account, figures: Judgement, fraction: int, price: int, premium: int) -> int:
        """Cash with which a bidder that has nothing else has initial margin."""
        if not figures.fresh or (fraction != WAD and account.weth):
            return ENDLESS
        return price + mul_up(-figures.excess, fraction) + (premium if fraction != WAD else 0) + UNITS

    # ------------------------------------------------------------------------------------------------------ bids

    def bid(self, sender: str, account: int, bidder: int, bid: Bid) -> None:
        """Start an auction, or buy in one."""
        self._require(not self.paused & LIQUIDATION, "liquidation: paused")
        self._require(self._owner(account) != self._owner(bidder), "liquidation: own account")
        self._require_control(bidder, sender, TRADE)
        self._require(account not in self.touched, "liquidation: in this call")
        self._touch(bidder, KEPT)
        seller, buyer = self.accounts[account], self.accounts[bidder]
        cash = buyer.cash
        flat = not buyer.legs and not buyer.weth and buyer.mode is seller.mode and not self.admission
        self._change(account, 0)
        fund = self._change(FUND, 0)

        self._require(FUND not in (account, bidder), "liquidation: the fund")
        self._require(self.now <= bid.deadline, "liquidation: deadline")
        evidence = bid.evidence if bid.kind == START else 0
        self._require(evidence <= self.evidence, "liquidation: evidence")
        # A part of the grid says nothing of a tail.
        self._require(not evidence or seller.mode not in TAILS, "engine: mode")
        figures = self.judge(self, seller, evidence)
        self._require(self.is_unhealthy(figures), "liquidation: healthy")
        if bid.kind == START:
            self._start(account, bidder, figures, fund)
            return
        if account not in self.auctions:
            self._require(bid.kind == SOLVENT, "liquidation: not started")
            self.auctions[account] = Auction(self.now)
        if bid.kind == TARGETED:
            sale, package, cost, needs, ends = self._target(account, bidder, bid, figures)
            given, weth = 0, 0
        else:
            sale, needs, ends = self._slice(account, bidder, bid, figures, fund)
            part = sale.fraction
            package = [(i, truncated(size, part)) for i, size in sorted(seller.legs.items()) if truncated(size, part)]
            cost, given, weth = truncated(seller.cost, part), truncated(seller.cash, part), seller.weth * part // WAD

        if sale.fee:
            self._change(FUND, sale.fee)
        profits = {account: 0, bidder: 0}
        if package:
            for side, sign in ((account, -1), (bidder, 1)):
                profits[side] = self._add(side, [(i, sign * size) for i, size in package], sign * cost)
        seller.weth -= weth
        buyer.weth += weth
        self._change(account, sale.price - sale.fee - given + profits[account])
        self._change(bidder, given - sale.price + profits[bidder])
        if ends:
            del self.auctions[account]
        unchecked = flat and needs <= cash
        if not unchecked:
            self._touch(bidder, BOUGHT)
        self.sales.append(sale._replace(unchecked=unchecked))

    def _start(self, account: int, starter: int, figures: Judgement, fund: int) -> None:
        """Start an auction for a reward, or mark whether there is net value in one that runs."""
        t, is_new = self.liquidation, account not in self.auctions
        a = self.auctions.get(account, Auction(self.now))
        dead, reward, payer = self.is_dead(a, figures), 0, 0
        # Evidence may know less of what the account lacks.
        before = self.judge(self, self.accounts[account], 0)
        if is_new:
            reward = min(t.reward, mul_down(figures.maintenance, t.reward_share))
            payer = account if figures.net_value >= reward else FUND if fund >= reward else 0
            reward = reward if payer else 0
            # The fund is not asked for nothing.
            if payer == FUND and reward:
                self._change(FUND, -reward)
            self._change(account, -reward if payer == account else 0)
            self._change(starter, reward)
        else:
            self._require(not self.is_marked(a) if dead else a.marked != 0, "liquidation: running")
            self._change(account, 0)
            self._change(starter, 0)
        counted = dead and figures.maintenance - figures.net_value >= DUST
        self.auctions[account] = a._replace(
            marked=self.now if dead else 0, counted=counted, deleveraged=a.deleveraged if dead else 0
        )
        self.sales.append(Sale(START, account, starter, before, reward=reward, rewarded_by=payer))

    def _slice(self, account: int, bidder: int, bid: Bid, figures: Judgement, fund: int) -> tuple[Sale, int, bool]:
        """A fraction of everything: the sale, what a flat bidder needs, and whether the auction ends."""
        a, state, premium = self.auctions[account], self.accounts[account], self.premium(self.accounts[account])
        fraction, least, fee, left, restoring = min(bid.fraction, WAD), self.liquidation.minimum_slice, 0, -1, False
        if bid.kind == SOLVENT:
            self._require(not self.is_dead(a, figures), "liquidation: no value")
            discount = self.discount(a)
            limit, restoring = self.largest_slice(figures, discount, premium)
            fraction, least = min(fraction, limit), min(least, limit)
            value = mul_up(figures.net_value, fraction)
            price, fee = mul_up(value, WAD - discount), mul_down(value, self.fee_rate(discount))
            left = mul_down(figures.health, WAD - fraction) + price - fee
        else:
            self._require(bid.kind == INSOLVENT, "liquidation: kind")
            self._require(self.is_dead(a, figures), "liquidation: has value")
            self._require(self.is_marked(a), "liquidation: not marked")
            price = mul_up(self.falling_price(a, figures, fraction == WAD), fraction)
            fee = min(price, 0)
            self._require(-fee <= max(fund, 0) or a.deleveraged != 0, "liquidation: fund is short")
        self._require(least <= fraction, "liquidation: slice too small")
        price += premium if fraction != WAD else 0
        self._require(bid.min_fraction <= fraction, "liquidation: below minimum")
        self._require(price <= bid.max_price, "liquidation: price")
        needs = self._needs(state, figures, fraction, price, premium)
        ends = fraction == WAD or (left >= 0 and figures.fresh)
        sale = Sale(bid.kind, account, bidder, figures, fraction, price, fee, premium=premium, restoring=restoring)
        return sale, needs, ends

    def _target(self, account: int, bidder: int, bid: Bid, figures: Judgement) -> tuple[Sale, Package, int, int, bool]:
        """Some legs, at a price of the bidder's: the sale, what moves, what a flat bidder needs, whether it ends."""
        a, state, premium = self.auctions[account], self.accounts[account], self.premium(self.accounts[account])
        self._require(not self.is_dead(a, figures), "liquidation: no value")
        self._require(len(bid.package) > 0, "liquidation: package")
        self._require(figures.fresh, "liquidation: stale data")
        discount, worth = self.discount(a), figures.net_value
        rate = self.fee_rate(discount)
        lost = discount + rate
        limit, _ = self.largest_slice(figures, discount, premium)
        after = state.copy()
        self._take_out(after.legs, bid.package)
        after.cost -= bid.cost
        after.cash += bid.max_price
        after.index = self.money.debt_index if after.cash < 0 else self.money.credit_index
        then = self.judge(self, after, 0)
        given = worth - then.net_value
        fee = max(given, 0) * rate // discount
        loss, gain = given + fee, then.health - fee - figures.health
        self._require(gain > 0, "liquidation: no better")
        by_slice = mul_up(worth, WAD - lost) - figures.health
        better = mul_down(gain, mul_down(worth, lost)) >= mul_up(loss, by_slice)
        self._require(better, "liquidation: a slice is better")
        self._require(loss <= mul_down(mul_down(worth, limit), lost), "liquidation: loss")
        if limit != WAD:
            above = mul_down(figures.excess, WAD - limit) + mul_up(mul_up(worth, limit), WAD - lost)
            self._require(then.excess - fee <= max(above, 0) + premium, "liquidation: too much")
        sale = Sale(TARGETED, account, bidder, figures, 0, bid.max_price, fee, premium=premium)
        return sale, list(bid.package), bid.cost, ENDLESS, then.health >= fee

    def _take_out(self, legs: dict[Instrument, int], package: Iterable[tuple[Instrument, int]]) -> None:
        """Take a package out of a book, which must have all of it; in the book's order."""
        last = Instrument(0, 0, 0, 0)
        for i, size in package:
            self._require(i in legs and i > last, "liquidation: no such leg")
            held, last = legs[i], i
            fits = size != 0 and abs(size) <= abs(held) and (size > 0) == (held > 0)
            self._require(fits, "liquidation: size")
            legs[i] = held - size
            if not legs[i]:
                del legs[i]

    def _require_bidder(self, account: Account) -> None:
        """Initial margin, even if what has a stale price were so much worse, and a mode that is open to it."""
        self._require_admissible(account)
        figures = self.judge(self, account, 0)
        self._require(figures.excess >= STALE_FACTOR * figures.stale_value, "liquidation: bidder's margin")
        if account.mode.has_offsets and self.admission:
            enough = figures.equity_initial >= self.minimum_equity
            allowed = not self.allow_list or account.owner in self.allowed
            self._require(enough and allowed, "liquidation: bidder's mode")

    # ------------------------------------------------------------------------------------------------------ the rest

    def end(self, sender: str, account: int) -> None:
        """End the auction of a healthy account."""
        self._require(account in self.auctions, "liquidation: not started")
        figures = self.judge(self, self.accounts[account], 0)
        self._require(figures.fresh and figures.health >= 0, "liquidation: unhealthy")
        del self.auctions[account]

    def absorb(self, sender: str, account: int) -> None:
        """Have the fund pay a bare debt."""
        state = self.accounts[account]
        debt = -self.prudent(state)
        self._require(account != FUND and debt > 0, "liquidation: no debt")
        self._require(not state.legs and not state.weth, "liquidation: has more than debt")
        self.auctions.pop(account, None)
        self._post("liquidation", account, [], debt, 0)
        self._post("liquidation", FUND, [], -debt, 0)

    def set_terms(self, sender: str, terms: Terms) -> None:
        """Other prices from now on."""
        self._require_owner(sender)
        self.liquidation = terms

    def set_evidence(self, sender: str, count: int) -> None:
        """Name the first engines of evidence alone."""
        self._require_owner(sender)
        self.evidence = count

    def set_deleveraging(self, sender: str, deleveraging: str) -> None:
        """Name who may note that counterparties have shared a loss."""
        self._require_owner(sender)
        self.deleveraging = deleveraging

    def set_deleveraged(self, sender: str, account: int) -> None:
        """Note it: what the auction costs from now on the fund may owe."""
        self._require(sender == self.deleveraging, "liquidation: caller")
        self._require(self.auction(account).marked != 0, "liquidation: not marked")
        self.auctions[account] = self.auctions[account]._replace(deleveraged=self.now)
