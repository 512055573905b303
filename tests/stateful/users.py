"""What users do with accounts: money in and out, orders and trades, modes and operators."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.stateful.drawing import (
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
    FUNDS,
    MODE,
    MOST_TAIL_WEIGHT,
    NOBODY,
    PUT,
    TAILS,
    TRADE,
    USDC,
    Account,
    Act,
    Consent,
    Instrument,
    Leg,
)

ISOLATED, CROSS, PORTFOLIO, VAR, MAX = range(5)


class Users(Drawing):
    """Rules."""

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

    @action(often=3, taker=indices, maker=indices, stranger=strangers, rows=packages, kind=consents, odd=oddities)
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

    @action(
        index=indices,
        fresh=st.booleans(),
        taker=indices,
        rows=packages,
        fills=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        submitted=st.booleans(),
        withdrawn=st.sampled_from([False] * 5 + [True]),
    )
    def fill(
        self,
        index: int,
        fresh: bool,
        taker: int,
        rows: list[Any],
        fills: list[int],
        submitted: bool,
        withdrawn: bool,
    ) -> None:
        """Some lots of an order, and some more, or too many; by anyone where both signed; perhaps cancelled."""
        if fresh or not self.orders:
            a = self.trader(taker)
            b = self.another(a, taker)
            # A hundredth, so that margin allows some lots for most draws.
            small = [(which, max(share // 100, 1), sign, PPM) for which, share, sign, _ in rows]
            package, consent = self.package(small, a, self.instruments()), self.consent("signed", a, b, ())
            self.orders.append((a, b, package, consent._replace(lots=3)))
        buyer, maker, package, consent = self.orders[-1 if fresh else index % len(self.orders)]
        owner = self.sender(buyer, 0)
        if submitted:
            consent = consent._replace(taker_signer=owner, taker_key=owner)
        for n, lots in enumerate(fills):
            if withdrawn and n == 1:
                self.act(self.sender(maker, 0), "cancel", maker, consent.nonce)
            sender = self.user(index + n) if submitted else owner
            passed = self.act(sender, "trade", buyer, maker, package, consent._replace(fill=lots))
            self.seen["fill", "passed"] += passed and lots < consent.lots
            if passed:
                # More than what is left.
                self.act(owner, "trade", buyer, maker, package, consent._replace(fill=consent.lots))

    @action(often=3, rows=st.lists(stretches, min_size=1, max_size=3))
    def stretch(self, rows: list[tuple[int, int, int, int, int]]) -> None:
        """Legs as large as initial margin allows if they stood alone, or somewhat more."""
        for index, maker, which, sign, share in rows:
            a = self.trader(index)
            b = self.another(a, maker)
            listed = self.instruments()
            i = listed[which % len(listed)]
            mode = self.mirror.accounts[a].mode
            alone = self.mirror.figures(Account(NOBODY, mode, legs={i: sign * 10**6})).assessment
            size = int(max(self.figures(a).excess, 0.0) / max(alone.initial, 1.0) * share)
            package = (self.leg(i, sign * max(size, 1), PPM),)
            self.act(self.sender(a, 0), "trade", a, b, package, self.consent("signed", a, b, package))

    @action(often=1, index=indices, which=st.lists(indices, min_size=16, max_size=16), more=st.sampled_from([0, 0, 1]))
    def crowd(self, index: int, which: list[int], more: int) -> None:
        """As many small legs as an account that a tail margins may have, or one more; then they are closed."""
        tails = [a for a in self.players if self.mirror.accounts[a].mode in TAILS] or self.players
        a = tails[index % len(tails)]
        trial, listed = self.mirror.accounts[a].copy(), self.instruments()
        drawn: dict[Instrument, Leg] = {}
        for n in which:
            i = listed[n % len(listed)]
            if i not in trial.legs:
                trial.legs[i] = n % 1000 + 1
                if self.mirror.weight(trial) > MOST_TAIL_WEIGHT + more:
                    del trial.legs[i]
                else:
                    drawn[i] = self.leg(i, trial.legs[i] * (-1) ** n, PPM)
        package = tuple(drawn[i] for i in sorted(drawn))
        for legs in (package, tuple(leg._replace(size=-leg.size) for leg in package)):
            self.act(self.sender(a, 0), "trade", a, RICH, legs, self.consent("signed", a, RICH, legs))

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
        after[owner] = (after[owner][0] + fees, *after[owner][1:])
        assert after == before and fees >= 0, "INV-10"

    @action(index=indices, stranger=strangers, mode=st.sampled_from([0, 1, 1, 2, 2, 3, 3, 4, 4, 5]), back=st.booleans())
    def change_mode(self, index: int, stranger: int, mode: int, back: bool) -> None:
        """To another mode, and perhaps back."""
        account = self.account(index)
        before = MODE.index(self.mirror.accounts[account].mode)
        if self.act(self.sender(account, stranger), "set_mode", account, mode) and back:
            self.act(self.sender(account, 0), "set_mode", account, before)

    @action(index=indices, heir=indices, returned=st.booleans(), rows=packages)
    def give_away(self, index: int, heir: int, returned: bool, rows: list[Any]) -> None:
        """An account changes hands, with an order that its owner signed; what he might have done for it, he tries."""
        a = self.account(index)
        b, old, new = self.another(a, heir), self.sender(a, 0), self.user(heir)
        package = self.package(rows, b, self.instruments())
        consent = self.consent("signed", b, a, package)
        self.act(new, "transfer_account", a, new)
        self.act(old, "transfer_account", a, NOBODY)
        self.act(old, "transfer_account", a, new)
        self.act(self.sender(b, 0), "trade", b, a, package, consent)
        self.act(old, "withdraw", a, USDC, 0, old)
        # So that nobody owns all accounts.
        if returned or sum(x.owner == old for x in self.mirror.accounts.values()) < 1:
            self.act(new, "transfer_account", a, old)

    @action(
        how=st.sampled_from(["cancel", "cancel_range", "cancel_below", ""]),
        index=indices,
        taker=indices,
        rows=packages,
        which=st.integers(0, 255),
    )
    def write_orders(self, how: str, index: int, taker: int, rows: list[Any], which: int) -> None:
        """Consent on chain, and perhaps take it back: one order, some, or all so far. Another tries too."""
        maker = self.account(index)
        a = self.another(maker, taker)
        package = self.package(rows, a, self.instruments())
        self.nonce += 1
        for sender in (self.sender(maker, 1), self.sender(maker, 0)):
            consent = Consent(self.nonce, FOR_EVER, sender, None, lots=3)
            if self.act(sender, "approve", a, maker, package, consent):
                self.orders.append((a, maker, package, consent))
            if how == "cancel":
                self.act(sender, how, maker, self.nonce - which % 2)
            elif how == "cancel_range":
                self.act(sender, how, maker, self.nonce >> 8, which << (self.nonce & 255) & (2**256 - 1))
            elif how == "cancel_below":
                self.act(sender, how, maker, 0)
                self.act(sender, how, maker, self.nonce + which % 2)

    @action(
        index=indices,
        term=st.sampled_from([0, 5, 3600, 30 * 86_400, 30 * 86_400]),
        scope=st.sampled_from([TRADE, FUNDS, TRADE | FUNDS, 0, 4]),
        share=fractions,
        rows=packages,
    )
    def delegate(self, index: int, term: int, scope: int, share: int, rows: list[Any]) -> None:
        """A key of the user after the owner may do some things for a while, and tries them all."""
        a, expiry = self.account(index), self.mirror.now + term
        owner, key, b = self.sender(a, 0), self.sender(a, 1), self.another(a, index)
        for sender in (key, owner):
            self.act(sender, "set_operator", a, key, expiry, scope)
        self.act(key, "withdraw", a, USDC, max(self.held(a, USDC) * share // PPM // 100, 0), owner)
        self.act(key, "withdraw", a, USDC, 1, key)
        self.act(key, "set_mode", a, PORTFOLIO)
        package = self.package(rows, a, self.instruments())
        self.act(key, "trade", a, b, package, self.consent("signed", a, b, package))
        back = self.package(rows, b, self.instruments())
        self.act(self.sender(b, 0), "trade", b, a, back, self.consent("operator", b, a, back))
        self.act(key, "cancel", a, self.nonce)
