"""The rules of a life: every state-changing function of the protocol, called by its users and by strangers."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from python_model.portfolio import Mode
from scripts import protocol
from tests.stateful import world as worlds
from tests.stateful.drawing import (
    ACTIONS,
    MENU,
    RICH,
    Drawing,
    action,
    beyond,
    consents,
    favours,
    fractions,
    indices,
    kinds,
    oddities,
    packages,
    steps,
    strangers,
    stretches,
)
from tests.stateful.machine import FOR_EVER, PPM
from tests.stateful.state import (
    CALL,
    COLLECTOR,
    LIQUIDATION,
    MAKER_FEE,
    NOBODY,
    PREMIUM_CAP,
    PUT,
    RISK,
    TAKER_FEE,
    USDC,
    WAD,
    WETH,
    Account,
    Act,
    Consent,
    Instrument,
    Leg,
)

ISOLATED, CROSS, PORTFOLIO = range(3)
MOST_ACCOUNTS = 8
# Of a life, after its beginning; more in profile deep.
STEPS = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 40
# What rounding interest at every act of a batch, on every account of an owner, may cost, 1e-18 USD.
FEW = 100


class Life(Drawing):
    """Rules."""

    @initialize(
        purses=st.lists(st.tuples(fractions, st.integers(0, PPM)), min_size=6, max_size=6),
        positions=st.lists(stretches, min_size=6, max_size=6),
    )
    def open(self, purses: list[tuple[int, int]], positions: list[Any]) -> None:
        """Two accounts for each user, in all modes, and some positions; the last account is a market maker's."""
        self.begin()
        self.orders, self.steps = [], 0
        modes = (PORTFOLIO, ISOLATED, PORTFOLIO, CROSS, PORTFOLIO, PORTFOLIO)
        for n, (mode, (usd, ether)) in enumerate(zip(modes, purses, strict=True)):
            owner, account = self.user(n // 2), n + 2
            self.act(owner, "create_account", mode)
            self.act(owner, "deposit", account, USDC, 9 * 10**11 if account == RICH else 10**10 * usd // PPM)
            if ether % 2:
                self.act(owner, "deposit", account, WETH, 5 * 10**18 * ether // PPM)
        self.stretch(positions)

    @action(index=indices, stranger=strangers, kind=kinds, share=fractions, more=beyond)
    def pay_in(self, index: int, stranger: int, kind: int, share: int, more: int) -> None:
        account = self.account(index)
        sender = self.sender(account, stranger)
        purse = self.mirror.wallets.get((sender, kind), 10**6)
        # A hundredth, so that accounts stay of a size; all of it at the end of the range.
        amount = purse * share // PPM if share == PPM else purse * share // PPM // 100
        self.act(sender, "deposit", account, kind, amount + more)

    @action(
        index=indices,
        stranger=strangers,
        kind=kinds,
        share=fractions,
        more=beyond,
        to=st.sampled_from(["owner"] * 8 + ["other", "nobody"]),
    )
    def pay_out(self, index: int, stranger: int, kind: int, share: int, more: int, to: str) -> None:
        account = self.account(index)
        recipient = {"owner": self.sender(account, 0), "other": self.sender(account, 1), "nobody": NOBODY}[to]
        amount = self.held(account, kind) * share // PPM + more
        self.act(self.sender(account, stranger), "withdraw", account, kind, max(amount, 0), recipient)

    @action(index=indices, share=st.sampled_from([PPM - 1, PPM, PPM, PPM + 1, PPM // 2, PPM * 99 // 100]))
    def pay_out_to_the_line(self, index: int, share: int) -> None:
        """Cash down to initial margin."""
        account = self.account(index)
        excess = int(self.figures(account).excess * PPM) * share // PPM
        amount = min(excess, self.held(account, USDC))
        if amount > 0:
            self.act(self.sender(account, 0), "withdraw", account, USDC, amount, self.sender(account, 0))

    @action(giver=indices, receiver=indices, stranger=strangers, kind=kinds, share=fractions, more=beyond)
    def move_between(self, giver: int, receiver: int, stranger: int, kind: int, share: int, more: int) -> None:
        """Between one owner's accounts, for most draws."""
        a = self.account(giver)
        b = self.account(receiver // 8) if receiver % 8 == 1 else self.sibling(a, receiver // 8)
        amount = self.held(a, kind) * share // PPM + more
        self.act(self.sender(a, stranger), "transfer", a, b, kind, max(amount, 0))

    @action(taker=indices, maker=indices, stranger=strangers, rows=packages, kind=consents, odd=oddities)
    def deal(self, taker: int, maker: int, stranger: int, rows: list[Any], kind: str, odd: str) -> None:
        a = self.trader(taker)
        b = a if odd == "one account" else self.another(a, maker)
        listed = self.instruments(expired=odd == "expired") or self.instruments()
        package = self.package([] if odd == "no legs" else rows, a, listed)
        if odd == "unsorted":
            package = package[::-1]
        if odd == "unknown expiry":
            # At eight o'clock of one of the next days, where most have no data.
            expiry = (self.mirror.now // 86_400 + 1 + maker % 7) * 86_400 + 8 * 3600
            package = (Leg(self.names["ETH"], expiry, 2 * 10**9, CALL, rows[0][1], 10**9),)
        if odd == "strike":
            e = self.mirror.market["ETH"].expiries[maker % 3]
            # About the highest that is listed, on the grid or off it.
            strike = int(float(f"{e.forward * 10:.3g}") * 10**6)
            highest = Instrument(self.names["ETH"], e.expiry, strike + maker % 2, PUT)
            package = (self.leg(highest, rows[0][2] * (1 + rows[0][1] // 1000), PPM),)
        # What both have signed, anyone may submit.
        sender = self.sender(a, 2 if kind in ("submitted", "ghost") else stranger)
        self.act(sender, "trade", a, b, package, self.consent(kind, a, b, package))

    @action(index=indices, stranger=strangers, fill=st.integers(1, 3), withdrawn=st.sampled_from([False] * 5 + [True]))
    def fill(self, index: int, stranger: int, fill: int, withdrawn: bool) -> None:
        """Some more lots of an order, or too many; perhaps after its maker took it back."""
        if not self.orders:
            return
        taker, maker, package, consent = self.orders[index % len(self.orders)]
        if withdrawn:
            self.act(self.sender(maker, stranger), "cancel", maker, consent.nonce)
        self.act(self.sender(taker, stranger), "trade", taker, maker, package, consent._replace(fill=fill))

    @action(rows=st.lists(stretches, min_size=1, max_size=3))
    def stretch(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        """Legs as large as initial margin allows if they stood alone, or somewhat more."""
        for index, maker, which, sign, share in rows:
            a = self.trader(index)
            b = self.another(a, maker)
            listed = self.instruments()
            i = listed[which % len(listed)]
            alone = self.mirror.figures(Account(NOBODY, Mode.PORTFOLIO, legs={i: sign * 10**6})).assessment
            size = int(max(self.figures(a).excess, 0.0) / max(alone.initial, 1.0) * share)
            package = (self.leg(i, sign * max(size, 1), PPM),)
            self.act(self.sender(a, 0), "trade", a, b, package, self.consent("signed", a, b, package))

    @action(index=indices, maker=indices, share=st.sampled_from([PPM, PPM, PPM // 2, 1]), favour=favours)
    def close(self, index: int, maker: int, share: int, favour: int) -> None:
        """Some account closes up to 16 legs."""
        holders = [a for a, x in self.mirror.accounts.items() if x.legs and a != RICH] or [RICH]
        self.reduce(holders[index % len(holders)], maker, share, favour, 0, 16)

    def reduce(self, account: int, maker: int, share: int, favour: int, start: int, most: int) -> None:
        """Trade a share of an account's legs back, at marks made better by `favour`, millionths."""
        b = self.another(account, maker)
        legs = sorted(self.mirror.accounts[account].legs.items())
        book = [(i, n) for i, n in legs if not 0 < i.expiry <= self.mirror.now + 1]
        start = start % len(book) if book else 0
        rows = [(i, n * share // PPM) for i, n in book[start : start + most]]
        package = tuple(self.leg(i, -n, PPM + (favour if n > 0 else -favour)) for i, n in rows if n)
        if package:
            self.act(self.sender(account, 0), "trade", account, b, package, self.consent("signed", account, b, package))

    @action(index=indices, stranger=strangers, rows=st.lists(steps, min_size=1, max_size=5), package=packages)
    def batch(self, index: int, stranger: int, rows: list[Any], package: list[Any]) -> None:
        """Deposits, withdrawals, transfers and trades of one sender, checked once."""
        first = self.account(index)
        sender = self.sender(first, stranger)
        own = [a for a, account in self.mirror.accounts.items() if account.owner == sender] or [first]
        acts = []
        for name, one, other, kind, share in rows:
            a = own[one % len(own)]
            b = self.sibling(a, other)
            if name == "deposit":
                acts.append(Act(name, (a, kind, self.mirror.wallets.get((sender, kind), 0) * share // PPM // 100)))
            elif name == "withdraw":
                acts.append(Act(name, (a, kind, max(self.held(a, kind) * share // PPM, 0), sender)))
            elif name == "transfer":
                acts.append(Act(name, (a, b, kind, max(self.held(a, kind) * share // PPM, 0))))
            else:
                b = self.another(a, other)
                traded = self.package(package, a, self.instruments())
                acts.append(Act(name, (a, b, traded, self.consent("signed", a, b, traded))))
        self.act(sender, "execute", acts)

    @action(index=indices, other=indices, rows=st.lists(st.tuples(st.integers(0, 5), indices), min_size=1, max_size=16))
    def dust(self, index: int, other: int, rows: list[tuple[int, int]]) -> None:
        """INV-10: the smallest operations among one owner's accounts leave him with what he had."""
        a = self.account(index)
        owner, b = self.mirror.accounts[a].owner, self.sibling(a, other)
        listed = self.instruments()
        no_consent = Consent(0, FOR_EVER, owner, None)
        acts = []
        for which, draw in rows:
            kind, leg = draw % 2, self.leg(listed[draw % len(listed)], 1 if draw % 2 else -1, draw % (2 * PPM))
            acts.append(
                [
                    Act("deposit", (a, kind, 1)),
                    Act("withdraw", (a, kind, 1, owner)),
                    Act("transfer", (a, b, kind, 1)),
                    Act("transfer", (b, a, kind, 1)),
                    Act("trade", (a, b, (leg,), no_consent)),
                    Act("trade", (b, a, (leg,), no_consent)),
                ][which]
            )
        old = self.mirror
        self.act(owner, "execute", acts)
        new, now = self.mirror, self.mirror.now
        before, after = self.wealth(old, now), self.wealth(new, now)
        fees = sum(sign * m.money.cash(m.accounts[COLLECTOR], now) for sign, m in ((1, new), (-1, old)))
        # Interest is rounded down where accounts act.
        assert -FEW <= after[owner][0] + fees - before[owner][0] <= 0 and fees >= -FEW, "INV-10"
        before[owner], after[owner] = before[owner][1:], after[owner][1:]
        assert after == before, "INV-10"

    @action(
        names=st.sampled_from([("ETH",), ("BTC",), ("ETH", "BTC"), ("ETH", "BTC")]),
        price=st.sampled_from([0.75, 0.9, 0.97, 1.0, 1.03, 1.1, 1.3]),
        vol=st.sampled_from([0.7, 1.0, 1.0, 1.4]),
        basis=st.sampled_from([-0.05, 0.0, 0.03, 0.1]),
        sticky=st.booleans(),
    )
    def prices_move(self, names: tuple[str, ...], price: float, vol: float, basis: float, sticky: bool) -> None:
        for name in names:
            self.publish(name, self.moved(name, price, vol, basis, sticky))

    @action(
        seconds=st.sampled_from([60, 60, 1800, 1800, 3601, 36 * 3600, 22 * 86_400]),
        fresh=st.sampled_from([("ETH", "BTC")] * 3 + [("ETH",), ("BTC",), ()]),
    )
    def time_passes(self, seconds: int, fresh: tuple[str, ...]) -> None:
        """Perhaps past a heartbeat or an expiry; some data are published again."""
        self.wait(seconds)
        for name in fresh:
            self.publish(name, self.mirror.market[name])

    @action(
        index=st.sampled_from([0, 0, 0, 1, 2, 3]),
        how=st.sampled_from([0, 0, 0, 1, 2, None]),
        bidder=indices,
        share=st.one_of(st.sampled_from([PPM, PPM // 2, PPM // 20]), st.integers(PPM // 10, PPM)),
        terms=st.sampled_from(
            [""] * 10
            + ["stranger", "own account", "stale", "stale", "stale", "late", "dust"]
            + ["minimum", "too high a minimum", "too low a price", "nothing for it"]
        ),
    )
    def bid(self, index: int, how: int | None, bidder: int, share: int, terms: str) -> None:
        """Somebody bids for a share of one of the shakiest accounts, mostly after prices have moved against it."""
        # What is stale must not matter: then the account must be in more trouble.
        account = self.worst_first(index) if how is None else self.press(index, how + 2 * (terms == "stale"))
        if terms == "stale":
            self.wait(self.mirror.heartbeat + 1)
            for name in list(self.names)[bidder % 3 : bidder % 3 + 1]:
                self.publish(name, self.mirror.market[name])
        rivals = [a for a in self.players if self.mirror.accounts[a].owner != self.mirror.accounts[account].owner]
        buyer = RICH if RICH in rivals and bidder % 4 else rivals[bidder // 4 % len(rivals)]
        if terms == "own account":
            buyer = self.sibling(account, bidder)
        fraction = share if terms == "dust" else WAD * share // PPM
        minimum = {"minimum": fraction // 2, "too high a minimum": fraction + 1}.get(terms, 0)
        most = {"too low a price": 1, "nothing for it": 0}.get(terms, 2**100)
        deadline = self.mirror.now if terms == "late" else FOR_EVER
        self.liquidate(self.sender(buyer, int(terms == "stranger")), account, buyer, fraction, minimum, most, deadline)

    @action(
        index=st.sampled_from([0, 0, 0, 1, 2, 3]),
        how=st.sampled_from([-1, 0, 1]),
        maker=indices,
        share=fractions,
        favour=favours,
        first=indices,
    )
    def rescue(self, index: int, how: int, maker: int, share: int, favour: int, first: int) -> None:
        """The owner of an account in trouble closes some of it, at marks or somewhat better or worse (decision 5)."""
        self.reduce(self.press(index, how), maker, share, favour, first // 2 if first % 2 else 0, 4)

    @action(index=indices, stranger=strangers, mode=st.sampled_from([0, 1, 1, 2, 2, 3]))
    def change_mode(self, index: int, stranger: int, mode: int) -> None:
        account = self.account(index)
        self.act(self.sender(account, stranger), "set_mode", account, mode)

    # ------------------------------------------------------------------------------------------------------ orders

    @action(
        how=st.sampled_from(["approve", "cancel", "cancel_range", "cancel_below"]),
        index=indices,
        taker=indices,
        stranger=strangers,
        rows=packages,
        which=st.integers(0, 255),
    )
    def write_orders(self, how: str, index: int, taker: int, stranger: int, rows: list[Any], which: int) -> None:
        """Consent on chain, or take it back: one order, some, or all so far."""
        maker = self.account(index)
        sender = self.sender(maker, stranger)
        if how == "approve":
            a = self.another(maker, taker)
            package = self.package(rows, a, self.instruments())
            self.nonce += 1
            consent = Consent(self.nonce, FOR_EVER, sender, None, lots=3)
            if self.act(sender, "approve", a, maker, package, consent):
                self.orders.append((a, maker, package, consent))
        elif how == "cancel":
            self.act(sender, "cancel", maker, self.nonce + which % 2)
        elif how == "cancel_range":
            self.act(sender, "cancel_range", maker, self.nonce >> 8, which << (self.nonce & 255) & (2**256 - 1))
        else:
            self.act(sender, "cancel_below", maker, self.nonce * (which % 2))

    # ------------------------------------------------------------------------------------------------------ settlement

    @action(
        expire=st.sampled_from([False, False, True]),
        who=st.lists(indices, max_size=6),
        caller=indices,
        again=st.booleans(),
    )
    def settle(self, expire: bool, who: list[int], caller: int, again: bool) -> None:
        """Anyone settles some accounts, or all; perhaps just after an expiry, and perhaps again, which changes nothing."""
        dates = {i.expiry for a in self.mirror.accounts.values() for i in a.legs if i.expiry > self.mirror.now}
        if expire and dates:
            self.wait(min(dates) - self.mirror.now)
            for name in self.names:
                self.publish(name, self.mirror.market[name])
        # One in seven does not exist.
        accounts = [a for n in who for a in [n % (len(self.mirror.accounts) + 1) + 1]] or sorted(self.mirror.accounts)
        expired = sum(self.mirror.is_final(i) for a in self.mirror.accounts.values() for i in a.legs)
        for _ in range(1 + again):
            before = self.mirror
            assert self.act(self.user(caller), "settle", accounts)
            left = sum(self.mirror.is_final(i) for a in self.mirror.accounts.values() for i in a.legs)
            self.seen["settle", "legs"] += expired - left
            expired = left
        if again:
            assert before.accounts == self.mirror.accounts and before.reserve == self.mirror.reserve, "idempotent"

    @action(index=indices, caller=indices)
    def make_cash(self, index: int, caller: int) -> None:
        """Anyone realises the profit of futures and perpetuals, of an account that has some for most indices."""
        holders = [a for a in self.players if self.mirror.accounts[a].has_linear] or self.players
        self.realise(self.user(caller), holders[index % len(holders)] if index % 8 else self.account(index // 8))

    # ------------------------------------------------------------------------------------------------------ interest

    @action(
        index=indices,
        ether=st.integers(1, 20),
        share=st.integers(PPM // 10, PPM),
        days=st.sampled_from([0, 0, 1, 30]),
    )
    def borrow(self, index: int, ether: int, share: int, days: int) -> None:
        """Buy options for more than the cash of an account that has ether; time passes, and interest."""
        a = self.trader(index)
        owner = self.mirror.accounts[a].owner
        self.act(owner, "deposit", a, WETH, min(ether * 10**18, self.mirror.wallets[owner, WETH]))
        calls = [i for i in self.instruments() if i.kind == CALL and self.mirror.mark(i) > 0]
        dearest = max(calls, key=lambda i: (i.expiry, self.mirror.mark(i) / i.strike), default=None)
        if dearest is None:
            return
        worth = max(self.figures(a).assessment.equity_initial, 0.0) * share / PPM
        size = max(int((max(self.held(a, USDC) / 10**6, 0.0) + worth) / self.mirror.mark(dearest) * 10**6), 1)
        package = (self.leg(dearest, size, PPM),)
        if self.act(owner, "trade", a, RICH, package, self.consent("signed", a, RICH, package)) and days:
            self.seen["borrow", "debts"] += self.mirror.money.debts > 0
            self.wait(days * 86_400)
            for name in self.names:
                self.publish(name, self.mirror.market[name])

    @action(
        often=1,
        what=st.sampled_from(["collect", "collect", "collect", "rates", "fees"]),
        share=st.integers(0, PPM + 1),
        stranger=strangers,
    )
    def earn(self, what: str, share: int, stranger: int) -> None:
        """The protocol's interest and fees go to whom they belong; other rates."""
        who = self.user(share) if stranger else self.mirror.owner
        if what == "rates":
            self.act(who, "set_interest_rates", protocol.INTEREST if share % 3 else None)
        elif what == "collect":
            earned = self.mirror.money.at(self.mirror.now + 1).earned
            self.seen["collect", "of something"] += earned > 1
            self.act(who, "collect", COLLECTOR, earned * share // PPM + (share > PPM))
        else:
            owner = self.mirror.accounts[COLLECTOR].owner
            self.act(owner, "withdraw", COLLECTOR, USDC, self.held(COLLECTOR, USDC) * min(share, PPM) // PPM, owner)

    # ------------------------------------------------------------------------------------------------------ authority

    @action(
        name=st.sampled_from(["ETH", "BTC"]),
        share=st.sampled_from([0, PPM // 2, PPM, PPM, PPM * 11 // 10]),
        stranger=strangers,
        taker=indices,
        rows=packages,
    )
    def cap(self, name: str, share: int, stranger: int, taker: int, rows: list[Any]) -> None:
        """Cap open interest at about what there is, none at 0; and somebody trades there."""
        underlying = self.names[name]
        who = self.user(taker) if stranger else self.mirror.owner
        self.act(who, "set_open_interest_cap", underlying, self.mirror.open_interest[underlying] * share // PPM)
        a = self.trader(taker)
        b = self.another(a, taker)
        listed = [i for i in self.instruments() if i.underlying == underlying]
        package = self.package(rows, a, listed)
        self.act(self.sender(a, 0), "trade", a, b, package, self.consent("signed", a, b, package))

    @action(
        often=1,
        what=st.sampled_from(["transfer_ownership", "accept_ownership", "set_guardian", "set_contracts"]),
        which=st.integers(0, 5),
        stranger=strangers,
    )
    def hand_over(self, what: str, which: int, stranger: int) -> None:
        """Owner and guardian change, contracts are named again."""
        m = self.mirror
        who = self.user(which) if stranger else m.owner
        heirs = [self.world.owner.address, self.world.guardian.address, self.user(which)]
        if what == "accept_ownership":
            self.act(who if m.pending_owner == NOBODY or stranger else m.pending_owner, what)
        elif what == "set_contracts":
            self.act(who, what, ("", "", "", "", "collaterals", "money market")[which])
        else:
            self.act(who, what, heirs[which % 3])

    @action(often=1, what=st.sampled_from(["post", "sell_slice", "agree"]), who=st.integers(0, 4))
    def intrude(self, what: str, who: int) -> None:
        """What contracts alone may call, a user, the guardian or the owner calls."""
        assert not self.act(
            [*(u.address for u in self.world.users), self.mirror.guardian, self.mirror.owner][who], what
        )

    @action(
        what=st.sampled_from(["account", *["operator", "pause"] * 2, "gift", "fees", *["resume"] * 3, "cap", "limit"]),
        index=indices,
        stranger=strangers,
        which=st.integers(0, 3),
        share=st.integers(1, 1000),
    )
    def administer(self, what: str, index: int, stranger: int, which: int, share: int) -> None:
        """Accounts, operators, raw transfers, the pause, caps and limits."""
        account, kind = self.account(index), which % 2
        sender = self.sender(account, stranger)
        if what == "account" and len(self.players) < MOST_ACCOUNTS:
            self.act(sender, "create_account", which)
        elif what == "operator":
            # The user after the owner, from never to for a month.
            expiry = (0, self.mirror.now + 5, self.mirror.now + 3600, self.mirror.now + 30 * 86_400)[which]
            self.act(sender, "set_operator", account, self.sender(account, 1), expiry, (3, 3, 1, 2, 4)[share % 5])
        elif what == "gift":
            self.act(sender, "donate", kind, self.mirror.wallets[sender, kind] * share // PPM)
        elif what == "fees":
            who = sender if stranger else self.mirror.owner
            self.act(who, "set_fees", *((MAKER_FEE, TAKER_FEE, PREMIUM_CAP) if which else (0, 0, 0)))
        elif what == "pause":
            who = sender if stranger else self.mirror.guardian
            self.act(who, "set_paused", (RISK, LIQUIDATION, RISK | LIQUIDATION, 4)[which])
        elif what == "resume":
            self.act(self.mirror.guardian if stranger else self.mirror.owner, "set_paused", 0)
            self.act(self.mirror.owner, "set_cap", kind, worlds.CAP[kind])
            self.act(self.mirror.owner, "set_withdrawal_limit", kind, 0)
        elif what == "cap":
            # At what is there already, so that deposits stop, or just above.
            who = sender if stranger else self.mirror.owner
            self.act(who, "set_cap", kind, self.mirror.credited[kind] + share * (which // 2))
        elif what == "limit":
            # Of what is there a part, so that withdrawals stop, or nothing.
            who = sender if stranger else self.mirror.owner
            self.act(who, "set_withdrawal_limit", kind, self.mirror.credited[kind] * share // PPM // (1 + which))
            self.act(sender, "poke", kind)

    @rule(step=st.sampled_from(MENU).flatmap(lambda name: st.tuples(st.just(name), ACTIONS[name])))
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        """One rule: of many, Hypothesis leaves about half out of each life, and a liquidation needs most of them."""
        name, arguments = step
        self.steps += 1
        getattr(self, name)(**arguments)

    def teardown(self) -> None:
        """Count what was lived."""
        super().teardown()
        self.seen["life", "whole"] += self.steps >= STEPS
        self.seen["life", "steps"] += self.steps
