"""What bidders do: auctions started, slices and packages bought, by several accounts, alone or in batches.

An auction is lived as a story of chapters about one account: bids, waiting, prices, deposits, settlement in between.
"""

from __future__ import annotations

from hypothesis import strategies as st

from python_model.portfolio import Mode
from scripts import protocol
from tests.stateful.auctions import ENDLESS
from tests.stateful.drawing import RICH, action, indices
from tests.stateful.machine import FOR_EVER, PPM
from tests.stateful.state import (
    CALL,
    COLLECTOR,
    FUND,
    FUNDS,
    INSOLVENT,
    MODE,
    PERP,
    PUT,
    SOLVENT,
    START,
    TAILS,
    TARGETED,
    UNIT,
    USDC,
    WAD,
    Act,
    Bid,
    Refused,
    Terms,
    truncated,
)
from tests.stateful.users import Users

# Beyond this many accounts of users, bidders are found among them.
MOST_BIDDERS = 9
# Seconds that pass between bids: what is left of discount and falling price differs.
PAUSES = (60, 300, 900, 3_000, 3_700, 7_300, 13 * 3600)
# Shares of the whole, of a minimum, of what is allowed.
shares = st.one_of(
    st.sampled_from([PPM, PPM, PPM // 2, PPM // 10]), st.integers(PPM // 10, PPM), st.integers(1, PPM // 9)
)
chapters = st.sampled_from(
    ["start"] * 4
    + ["solvent"] * 5
    + ["insolvent"] * 4
    + ["targeted"] * 5
    + ["flash"] * 3
    + ["twice"] * 2
    + ["wait"] * 6
    + ["rescue", "recover", "end", "end", "absorb", "back", "drain", "deleverage", "settle", "touched", "fall"]
)
stories = st.lists(st.tuples(chapters, indices, shares), min_size=2, max_size=7)
FIRST_TERMS = Terms(**protocol.LIQUIDATION)
# Other terms of auctions: gentle and quick.
OTHER_TERMS = (
    Terms(WAD // 1000, WAD // 10, 3_600, 7_200, 1_800, WAD // 4, 0, 0, 0),
    Terms(WAD // 20, WAD // 2, 60, 86_400, 60, WAD // 100, WAD // 20, 1000 * WAD, WAD // 10),
)


class Bidding(Users):
    """Rules."""

    # ------------------------------------------------------------------------------------------------------ bidders

    def rivals(self, account: int) -> list[int]:
        """Accounts of other owners."""
        return [a for a in self.players if self.mirror.accounts[a].owner != self.mirror.accounts[account].owner]

    def rival(self, account: int, index: int) -> int:
        """One of them: the market maker for half of the indices."""
        rivals = self.rivals(account)
        return RICH if RICH in rivals and index % 2 else rivals[index // 2 % len(rivals)]

    def flat(self, account: int, index: int, cash: int) -> int | None:
        """An account of another owner and the same mode that holds about so much cash, 1e-18 USD, and nothing else."""
        mode = self.mirror.accounts[account].mode
        books = {a: self.mirror.accounts[a] for a in self.rivals(account)}
        found = [a for a, x in books.items() if not x.legs and not x.weth and x.mode is mode and x.cash >= 0]
        if not found and len(self.players) < MOST_BIDDERS:
            owners = sorted({x.owner for x in books.values()})
            self.act(owners[index % len(owners)], "create_account", MODE.index(mode))
            found = [max(self.mirror.accounts)]
        if not found:
            return None
        bidder = found[index % len(found)]
        owner, missing = self.mirror.accounts[bidder].owner, -(-cash // UNIT[USDC]) - self.held(bidder, USDC)
        if missing > 0:
            self.act(owner, "deposit", bidder, USDC, min(missing, self.mirror.wallets[owner, USDC]))
        elif missing < 0:
            self.act(owner, "withdraw", bidder, USDC, min(-missing, self.held(bidder, USDC)), owner)
        return bidder

    def bidder(self, account: int, index: int, share: int) -> int:
        """Who bids: one with the cash that a flat bidder needs, or a little less or more, for a quarter of indices."""
        if index % 4 == 0:
            try:
                needs = self.mirror.quote(account)["needs"]
            except Refused:
                needs = ENDLESS
            if needs != ENDLESS:
                few = (needs * share // PPM, needs * 1001 // 1000, needs * 101 // 100, needs * 999 // 1000)
                found = self.flat(account, index // 16, max(few[index // 4 % 4], 0))
                if found is not None:
                    return found
        return self.rival(account, index // 4)

    def offer(self, account: int, bidder: int, bid: Bid, stranger: int = 0) -> bool:
        """Bid, after a look at what is quoted."""
        self.same_quote(account)
        return self.act(self.sender(bidder, stranger), "bid", account, bidder, bid)

    # ------------------------------------------------------------------------------------------------------ stories

    @action(
        often=8,
        index=st.sampled_from([0, 0, 0, 1, 2, 3]),
        how=st.sampled_from([None, 0, 0, 1, 1, 2, 3, 8]),
        modes=st.sampled_from([MODE, MODE, MODE, TAILS, TAILS[:1], TAILS[1:]]),
        started=st.sampled_from([True, True, False]),
        story=stories,
    )
    def auction(
        self,
        index: int,
        how: int | None,
        modes: tuple[Mode, ...],
        started: bool,
        story: list[tuple[str, int, int]],
    ) -> None:
        """An account in trouble, perhaps one without net value, and all that happens in its auction."""
        running = [a for a in self.mirror.auctions if a in self.players]
        account = running[index % len(running)] if how is None and running else self.press(index, how or 0, modes)
        if started:
            self.tell_start(account, index, PPM)
        for what, who, share in story:
            getattr(self, f"tell_{what}")(account, who, share)

    def tell_start(self, account: int, who: int, share: int) -> None:
        """Anyone starts the auction or marks it, on evidence or by the whole grid."""
        evidence = who // 4 % (self.mirror.evidence + 2) if who % 2 else 0
        self.offer(account, self.rival(account, who), Bid(START, evidence))

    def tell_solvent(self, account: int, who: int, share: int) -> None:
        """A slice is bought."""
        self.offer(account, self.bidder(account, who, share), Bid(SOLVENT, fraction=WAD * share // PPM))

    def tell_insolvent(self, account: int, who: int, share: int) -> None:
        """A part is bought of what has no net value; it is marked before where it has to be."""
        a = self.mirror.auction(account)
        if who % 8 and a.started and not self.mirror.is_marked(a):
            self.tell_start(account, 0, share)
        self.offer(account, self.bidder(account, who, share), Bid(INSOLVENT, fraction=WAD * share // PPM))

    def tell_targeted(self, account: int, who: int, share: int) -> None:
        """Some legs are bought, for less than their marks: of what may be lost, some or more."""
        self.offer(account, self.rival(account, who), self.package_bid(account, who, share))

    def package_bid(self, account: int, who: int, share: int) -> Bid:
        """Fractions of some legs, up to about the largest slice, at marks less a share of what a slice would lose."""
        state, figures = self.mirror.accounts[account], self.figures(account)
        legs = sorted((i, n) for i, n in state.legs.items() if not 0 < i.expiry <= self.mirror.now + 1)
        if who % 2 and legs:
            legs = [legs[who // 2 % len(legs)]]
        discount = self.mirror.discount(self.mirror.auction(account)) / WAD
        worth = max(figures.net_value, 0.0)
        needed = -figures.excess / max(-figures.excess + worth * max(0.99 - discount, 0.0), 1.0)
        part = int(min(max(needed, 0.1), 1.0) * WAD) * share // PPM
        package = tuple((i, truncated(n, part) or n) for i, n in legs[:16])
        if who % 32 == 5 and package:
            i, n = package[0]
            package = ((i, state.legs[i] + (1 if n > 0 else -1)), *package[1:])
        if who % 32 == 7:
            package = package[::-1] if len(package) > 1 else ()
        loss = (0, 20, 50, 80, 90, 95, 101, 150, -10)[who // 4 % 9]
        given = int(loss / 100 * part / WAD * worth * discount * WAD)
        value = cost = 0
        for i, n in package:
            marked = n * round(self.mirror.mark(i) * 10**9) * 1000
            if i.kind in (CALL, PUT):
                value += marked
            else:
                cost += marked
            if i.kind == PERP:
                cost -= n * self.mirror.funding(self.mirror.name_of[i.underlying]) // 10**6
        return Bid(TARGETED, max_price=value - given, package=package, cost=cost)

    def tell_flash(self, account: int, who: int, share: int) -> None:
        """A slice is bought, sold on to the market maker, and the profit withdrawn, all in one call."""
        cash = 0 if who % 4 else 10**21
        bidder = self.flat(account, who, cash) if who % 3 else self.rival(account, who)
        if bidder is None or bidder == RICH or self.mirror.accounts[account].owner == self.sender(bidder, 0):
            return
        sender, dead = self.sender(bidder, 0), self.figures(account).net_value <= 0.0
        bid = Bid(INSOLVENT if dead else SOLVENT, fraction=WAD * share // PPM)
        trial = self.mirror.copy()
        trial.now += 1
        trial.touched, trial.levels, trial.sales = {}, {}, []
        before = self.mirror.accounts[bidder].legs
        try:
            trial.bid(sender, account, bidder, bid)
            bought = {i: n - before.get(i, 0) for i, n in trial.accounts[bidder].legs.items()}
            sale = trial.sales[0]
        except Refused:
            bought, sale = {}, None
        # Somewhat below marks, of which the market maker has something.
        rows = [(i, n) for i, n in sorted(bought.items()) if n and not 0 < i.expiry <= self.mirror.now + 1]
        sold = tuple(self.leg(i, -n, PPM - 1_000 if n > 0 else PPM + 1_000) for i, n in rows)
        acts = [Act("bid", (account, bidder, bid))]
        if sold:
            acts.append(Act("trade", (bidder, RICH, sold, self.consent("signed", bidder, RICH, sold))))
        # Where the fund would owe something, a withdrawal is cut: how that goes is tested with the backstop.
        if sale is not None and trial.accounts[FUND].cash >= 0:
            won = truncated(sale.before.net_value, sale.fraction) - sale.price
            acts.append(Act("withdraw", (bidder, USDC, max(won, 0) // UNIT[USDC] * (who // 8 % 8) // 8, sender)))
        if who % 32 == 9:
            acts.append(Act("call", (sender,)))
        self.act(sender, "execute", acts)

    def tell_twice(self, account: int, who: int, share: int) -> None:
        """Two bids for one account in one call, by two accounts of one owner, or a start and a bid."""
        one = self.rival(account, who)
        kind = INSOLVENT if self.figures(account).net_value <= 0.0 else SOLVENT
        first = Bid(START) if who % 4 == 0 else Bid(kind, fraction=WAD * share // PPM)
        bids = ((one, first), (self.sibling(one, who), Bid(kind, fraction=WAD * share // PPM)))
        self.act(self.sender(one, 0), "execute", [Act("bid", (account, bidder, bid)) for bidder, bid in bids])

    def tell_touched(self, account: int, who: int, share: int) -> None:
        """The account's owner lets a bidder act for it, who does, and bids for it in the same call."""
        bidder = self.rival(account, who)
        owner, key = self.sender(account, 0), self.sender(bidder, 0)
        self.act(owner, "set_operator", account, key, FOR_EVER, FUNDS)
        acts = [Act("deposit", (account, USDC, 1)), Act("bid", (account, bidder, Bid(SOLVENT)))]
        self.act(key, "execute", acts)
        self.act(owner, "set_operator", account, key, 0, FUNDS)

    def tell_wait(self, account: int, who: int, share: int) -> None:
        """Time passes; what is left of prices is published again."""
        self.wait(PAUSES[who % len(PAUSES)])
        for name in self.names:
            self.publish(name, self.mirror.market[name])

    def tell_recover(self, account: int, who: int, share: int) -> None:
        """Prices go back to where they were at first, more or less."""
        for name, first in self.world.market.underlyings.items():
            self.publish(name, self.moved(name, first.spot / self.mirror.market[name].spot * (1 + who % 3 / 100)))

    def tell_fall(self, account: int, who: int, share: int) -> None:
        """Prices move on against it."""
        self.worsen(account, (0.01, 0.03, 0.08)[who % 3])

    def tell_rescue(self, account: int, who: int, share: int) -> None:
        """The owner pays in what is missing, or some of it."""
        owner, figures = self.sender(account, 0), self.figures(account)
        missing = max(-figures.excess if who % 2 else -figures.health, 0.0) + 1
        few = (share, PPM, PPM * 101 // 100)[who // 2 % 3]
        amount = int(missing * 10**6) * few // PPM
        self.act(owner, "deposit", account, USDC, min(amount, self.mirror.wallets[owner, USDC]))
        self.act(self.user(who), "end", account)

    def tell_end(self, account: int, who: int, share: int) -> None:
        """Anyone ends it, or tries."""
        self.act(self.user(who), "end", account)

    def tell_absorb(self, account: int, who: int, share: int) -> None:
        """The owner closes all he can, and the fund has to pay what is left, if that is a debt."""
        self.reduce(account, who, PPM, 0, 0, 16)
        self.act(self.user(who), "absorb", account)

    def tell_back(self, account: int, who: int, share: int) -> None:
        """The fund gets money."""
        owner = self.mirror.accounts[FUND].owner
        amount = self.mirror.wallets.get((owner, USDC), 0) * share // PPM // (20, 1000)[who % 2]
        self.act(owner, "deposit", FUND, USDC, amount)

    def tell_drain(self, account: int, who: int, share: int) -> None:
        """And gives it away."""
        owner = self.mirror.accounts[FUND].owner
        self.act(owner, "withdraw", FUND, USDC, max(self.held(FUND, USDC), 0) * share // PPM, owner)

    def tell_deleverage(self, account: int, who: int, share: int) -> None:
        """Counterparties are said to have shared a loss already, so that the fund may owe the rest."""
        if self.mirror.deleveraging != self.user(who):
            self.act(self.user(who), "set_deleveraging", self.user(who))
            self.act(self.mirror.owner, "set_deleveraging", self.user(who))
        self.tell_drain(account, who, PPM)
        self.act(self.user(who + 1), "set_deleveraged", account)
        if self.act(self.user(who), "set_deleveraged", account):
            self.tell_insolvent(account, who | 1, share)

    def tell_settle(self, account: int, who: int, share: int) -> None:
        """The next expiry passes, and what has expired is settled, of the account at least."""
        dates = {i.expiry for i in self.mirror.accounts[account].legs if i.expiry > self.mirror.now}
        if dates:
            self.wait(max(min(dates) - len(self.names) - self.mirror.now, 0))
            for name in self.names:
                self.publish(name, self.mirror.market[name])
        self.act(self.user(who), "settle", [account] if who % 2 else sorted(self.mirror.accounts))

    # ------------------------------------------------------------------------------------------------------ alone

    @action(
        often=3,
        index=st.sampled_from([0, 0, 0, 1, 2, 3]),
        how=st.sampled_from([0, 0, 0, 1, 2, None]),
        bidder=indices,
        kind=st.sampled_from([START, SOLVENT, SOLVENT, INSOLVENT, TARGETED, 4]),
        share=shares,
        terms=st.sampled_from(
            [""] * 4
            + ["stranger", "own account", "the fund", "stale", "stale", "stale", "late", "dust"]
            + ["minimum", "too high a minimum", "too low a price", "paused"]
        ),
    )
    def bid(self, index: int, how: int | None, bidder: int, kind: int, share: int, terms: str) -> None:
        """Somebody bids for a share of one of the shakiest accounts, mostly after prices have moved against it."""
        # What is stale must not matter: then the account must be in more trouble.
        account = self.worst_first(index) if how is None else self.press(index, how + 2 * (terms == "stale"))
        if terms == "stale":
            self.wait(self.mirror.heartbeat + 1)
            for name in list(self.names)[bidder % 3 : bidder % 3 + 1]:
                self.publish(name, self.mirror.market[name])
        buyer = self.rival(account, bidder)
        if terms == "own account":
            buyer = self.sibling(account, bidder)
        if terms == "the fund":
            # Which its owner would bid for.
            buyer = FUND
        offer = Bid(kind, fraction=share if terms == "dust" else WAD * share // PPM)
        if kind == TARGETED:
            offer = self.package_bid(account, bidder, share)
        minimum = {"minimum": offer.fraction // 2, "too high a minimum": offer.fraction + 1}.get(terms, 0)
        offer = offer._replace(min_fraction=minimum)
        if terms == "too low a price":
            offer = offer._replace(max_price=1)
        if terms == "late":
            offer = offer._replace(deadline=self.mirror.now)
        if terms == "paused":
            self.act(self.mirror.owner, "set_paused", 2)
        sender = self.mirror.accounts[FUND].owner if buyer == FUND else self.sender(buyer, int(terms == "stranger"))
        self.same_quote(account)
        self.act(sender, "bid", account, buyer, offer)
        if terms == "paused":
            self.act(self.mirror.owner, "set_paused", 0)

    @action(often=1, user=indices, which=st.integers(0, 7))
    def other_terms(self, user: int, which: int) -> None:
        """The owner changes how auctions go, or goes back; and who belongs to the protocol, for a moment."""
        terms = [*OTHER_TERMS, FIRST_TERMS, FIRST_TERMS][which % 4]
        for sender in (self.user(user), self.mirror.owner):
            self.act(sender, "set_terms", terms)
            self.act(sender, "set_evidence", (3, 3, 1, 0)[which // 2])
            self.act(sender, "set_member", "money_market", False)
        self.act(self.mirror.owner, "collect", COLLECTOR, 0)
        self.act(self.mirror.owner, "set_member", "money_market", True)

    def worsen(self, account: int, far: float) -> None:
        """Move the price that an account depends on most, against it."""
        greeks = self.figures(account).assessment.greeks
        delta = {name: row["delta"] * self.mirror.market[name].spot for name, row in greeks.items()}
        if any(delta.values()):
            name = max(delta, key=lambda n: abs(delta[n]))
            self.publish(name, self.moved(name, 1 - far if delta[name] > 0 else 1 + far))
