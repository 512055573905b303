"""Random lives of the whole protocol against its mirror: state, margin and invariants after every transaction.

A step takes some 30 ms. Profile deep takes some hundred times as many as profile ci.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ape.contracts import ContractContainer
from ethpm_types import Bytecode
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from python_model import methodology
from python_model.portfolio import Mode, Underlying
from tests.differential.planting import Defect, build
from tests.stateful import world as worlds
from tests.stateful.machine import FOR_EVER, PPM, Machine
from tests.stateful.mirror import (
    CALL,
    COLLECTOR,
    FUTURE,
    LIQUIDATION,
    MAKER_FEE,
    NOBODY,
    PERP,
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
    Mirror,
)

pytestmark = [pytest.mark.stateful, pytest.mark.slow]

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
LIVES, FIXED_LIVES, STEPS = (1000, 20, 100) if DEEP else (20, 20, 50)
ISOLATED, CROSS, PORTFOLIO = range(3)
MOST_ACCOUNTS = 8
# Strikes as shares of the first spot; deep in and out of the money, and around it.
STRIKES = (0.5, 0.85, 1.0, 1.15, 2.0)
# Shares of spot by which prices may be moved against an account.
MOVES = (0.0, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.32, 0.5)
# Up to this many times its equity may an account draw as the size of a leg: half of what is tried finds margin.
LEVERAGE = 3
RICH = 7  # the account of a market maker

# Which account, user, instrument: taken modulo how many there are.
indices = st.integers(0, 2**16)
fractions = st.one_of(st.integers(PPM // 100, PPM), st.sampled_from([PPM // 3, PPM // 2, PPM, 0, 1]))
kinds = st.sampled_from([USDC] * 6 + [WETH] * 6 + [2])
# The owner mostly; else another user, who may be an operator.
strangers = st.sampled_from([0] * 9 + [1])
# Token units beyond the fraction drawn.
beyond = st.sampled_from([0, 0, 0, 1])
prices = st.sampled_from([PPM, PPM, PPM, 980_000, 1_020_000, PPM // 2, 2 * PPM, 0])
legs = st.tuples(indices, st.one_of(st.integers(PPM // 100, PPM), st.integers(1, 9)), st.sampled_from([1, -1]), prices)
# Of initial margin.
usual = st.integers(PPM // 2, PPM * 95 // 100)
margins = st.one_of(usual, usual, usual, st.integers(PPM * 95 // 100, PPM * 5 // 4))
stretches = st.tuples(indices, indices, indices, st.sampled_from([1, -1]), margins)
# Millionths by which prices are better than marks for who closes.
favours = st.sampled_from([20_000, 1_000, 1_000, 10, 0, -20_000])
packages = st.lists(legs, min_size=1, max_size=4)
consents = st.sampled_from(
    ["signed"] * 8
    + ["approved"] * 4
    + ["partly"] * 3
    + ["operator", "forged", "none", "late", "cancelled", "fee", "limit"]
)
oddities = st.sampled_from([""] * 12 + ["unsorted", "expired", "unknown expiry", "strike", "one account", "no legs"])
steps = st.tuples(st.sampled_from(["deposit", "withdraw", "transfer", "trade"]), indices, indices, kinds, fractions)


ACTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {}


def action(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a method of `Life` as a step, and says how its arguments are drawn."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        ACTIONS[method.__name__] = st.fixed_dictionaries(arguments)
        return method

    return mark


class Life(Machine):
    """How actions are drawn from the current state."""

    # ------------------------------------------------------------------------------------------------------ drawing

    def account(self, index: int) -> int:
        return self.players[index % len(self.players)]

    @property
    def players(self) -> list[int]:
        """The accounts of users."""
        return [a for a in self.mirror.accounts if a != COLLECTOR]

    def user(self, index: int) -> str:
        return self.world.users[index % len(self.world.users)].address

    def sender(self, account: int, stranger: int) -> str:
        """The account's owner, or the user after him."""
        addresses = [u.address for u in self.world.users]
        return self.user(addresses.index(self.mirror.accounts[account].owner) + stranger)

    def held(self, account: int, kind: int) -> int:
        return self.mirror.accounts[account].balance(kind) if kind in (USDC, WETH) else 10**6

    def another(self, account: int, index: int) -> int:
        """An account beside this one: the market maker for three quarters of the indices."""
        others = [a for a in self.players if a != account]
        return RICH if index % 4 and account != RICH else others[index // 4 % len(others)]

    def sibling(self, account: int, index: int) -> int:
        """Another account of the same owner."""
        owner = self.mirror.accounts[account].owner
        own = [b for b, x in self.mirror.accounts.items() if x.owner == owner and b != account]
        return own[index % len(own)]

    def trader(self, index: int) -> int:
        """An account that may take a further leg, for most indices."""
        books = {a: self.mirror.accounts[a] for a in self.players}
        free = [a for a, x in books.items() if x.mode is not Mode.ISOLATED or not x.legs]
        return free[index // 8 % len(free)] if index % 8 else self.account(index // 8)

    def instruments(self, expired: bool = False) -> list[Instrument]:
        """Everything that can be traded, or what cannot be traded any more."""
        listed = []
        for name, i in self.names.items():
            u = self.world.market.underlyings[name]
            strikes = [float(f"{u.spot * share:.3g}") for share in STRIKES]
            listed.append(Instrument(i, 0, 0, PERP))
            for e in u.expiries:
                listed.append(Instrument(i, e.expiry, 0, FUTURE))
                listed += [Instrument(i, e.expiry, int(k * 10**6), kind) for k in strikes for kind in (CALL, PUT)]
        return [i for i in listed if (0 < i.expiry <= self.mirror.now + 1) == expired]

    def leg(self, i: Instrument, size: int, price: int) -> Leg:
        """A leg at a share of the mark, in millionths."""
        return Leg(*i, size, max(round(self.mirror.mark(i) * 10**9), 0) * price // PPM)

    def package(self, rows: list[tuple[int, int, int, int]], account: int, listed: list[Instrument]) -> tuple[Leg, ...]:
        """Legs of up to LEVERAGE times an account's equity."""
        equity = self.figures(account).assessment.equity_initial
        drawn = {}
        for index, share, sign, price in rows:
            i = listed[index % len(listed)]
            most = LEVERAGE * max(equity, 1.0) / self.mirror.market[self.mirror.name_of[i.underlying]].spot
            drawn[i] = self.leg(i, sign * max(1, round(most * share)), price)
        return tuple(drawn[i] for i in sorted(drawn))

    def figures(self, account: int) -> Any:
        return self.mirror.figures(self.mirror.accounts[account])

    def worst_first(self, index: int) -> int:
        """An account, those with the least above maintenance margin, relative to it, first."""

        def room(account: int) -> float:
            figures = self.figures(account)
            return figures.health / max(figures.assessment.maintenance, 1.0)

        ranked = sorted(self.players, key=room)
        return ranked[index % len(ranked)]

    def consent(self, kind: str, taker: int, maker: int, package: tuple[Leg, ...]) -> Consent:
        """The maker's consent, or something that is none."""
        self.nonce += 1
        owner = self.mirror.accounts[maker].owner
        consent = Consent(self.nonce, FOR_EVER, owner, owner)
        match kind:
            case "approved":
                consent = consent._replace(key=None)
                self.act(owner, "approve", taker, maker, package, consent)
            case "partly":
                consent = consent._replace(lots=3, fill=self.nonce % 5)
                self.orders.append((taker, maker, package, consent))
            case "operator":
                key = self.sender(maker, 1)
                return consent._replace(signer=key, key=key)
            case "forged":
                return consent._replace(key=self.sender(maker, 1))
            case "none":
                return consent._replace(key=None)
            case "late":
                return consent._replace(deadline=self.mirror.now)
            case "fee":
                return consent._replace(max_fee=0)
            case "limit" if package and package[0].price:
                return consent._replace(short=1)
            case "cancelled":
                which = self.nonce % 3
                if which == 0:
                    self.act(owner, "cancel", maker, consent.nonce)
                elif which == 1:
                    self.act(owner, "cancel_range", maker, consent.nonce >> 8, 1 << (consent.nonce & 255))
                else:
                    self.act(owner, "cancel_below", maker, consent.nonce + 1)
        return consent

    # ------------------------------------------------------------------------------------------------------ rules

    @initialize(
        purses=st.lists(st.tuples(fractions, st.integers(0, PPM)), min_size=6, max_size=6),
        positions=st.lists(stretches, min_size=6, max_size=6),
    )
    def open(self, purses: list[tuple[int, int]], positions: list[Any]) -> None:
        """Two accounts for each user, in all modes, and some positions; the last account is a market maker's."""
        self.begin()
        # Orders of several lots, with their taker, maker and package.
        self.orders: list[tuple[int, int, tuple[Leg, ...], Consent]] = []
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
        self.act(self.sender(a, stranger), "trade", a, b, package, self.consent(kind, a, b, package))

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
        before, collected = self.wealth(self.mirror), self.mirror.accounts[COLLECTOR].cash
        self.act(owner, "execute", acts)
        after, fees = self.wealth(self.mirror), self.mirror.accounts[COLLECTOR].cash - collected
        after[owner] = (after[owner][0] + fees, *after[owner][1:])
        assert after == before and fees >= 0, "INV-10"

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

    def press(self, index: int, how: int) -> int:
        """Publish prices at which a shaky account is just unhealthy, or nearly, or more so. The shakiest then."""
        states = dict(self.mirror.market)
        for account in map(self.worst_first, range(index, index + 4)):
            greeks = self.figures(account).assessment.greeks
            delta = {name: row["delta"] * states[name].spot for name, row in greeks.items()}
            if not any(delta.values()):
                continue
            name = max(delta, key=lambda n: abs(delta[n]))
            ladder = [self.moved(name, 1 - far if delta[name] > 0 else 1 + far) for far in MOVES]
            broken = next((n for n, state in enumerate(ladder) if self.breaks(account, name, state)), None)
            if broken is not None:
                states[name] = ladder[min(max(broken + how, 0), len(ladder) - 1)]
                break
        for name, state in states.items():
            self.publish(name, state)
        return self.worst_first(0)

    def breaks(self, account: int, name: str, state: Underlying) -> bool:
        """Whether an account is unhealthy at other prices, as the model says."""
        twin = copy(self.mirror)
        twin.market = {**twin.market, name: state}
        return bool(twin.assess(twin.accounts[account]).health < 0)

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
            who = sender if stranger else self.world.owner.address
            self.act(who, "set_fees", *((MAKER_FEE, TAKER_FEE, PREMIUM_CAP) if which else (0, 0, 0)))
        elif what == "pause":
            who = sender if stranger else self.world.guardian.address
            self.act(who, "set_paused", (RISK, LIQUIDATION, RISK | LIQUIDATION, 4)[which])
        elif what == "resume":
            self.act((self.world.guardian if stranger else self.world.owner).address, "set_paused", 0)
            self.act(self.world.owner.address, "set_cap", kind, worlds.CAP[kind])
            self.act(self.world.owner.address, "set_withdrawal_limit", kind, 0)
        elif what == "cap":
            # At what is there already, so that deposits stop, or just above.
            who = sender if stranger else self.world.owner.address
            self.act(who, "set_cap", kind, self.mirror.credited[kind] + share * (which // 2))
        elif what == "limit":
            # Of what is there a part, so that withdrawals stop, or nothing.
            who = sender if stranger else self.world.owner.address
            self.act(who, "set_withdrawal_limit", kind, self.mirror.credited[kind] * share // PPM // (1 + which))
            self.act(sender, "poke", kind)

    @rule(drawn=st.one_of([st.tuples(st.just(name), drawn) for name, drawn in ACTIONS.items()]))
    def step(self, drawn: tuple[str, dict[str, Any]]) -> None:
        """One rule: of many, Hypothesis leaves about half out of each life, and a liquidation needs most of them."""
        name, arguments = drawn
        getattr(self, name)(**arguments)


# Found with the mirror as it is, in the contract that holds the money.
DEFECTS = [
    Defect("a bid prints cash", "modules/slices.vy", "custody._cash[bidder] -= price", "pass", "ClearingHouse"),
    Defect(
        "makers go unchecked",
        "ClearingHouse.vy",
        "_touch(fill.maker, solvency.DUE)",
        "_touch(fill.maker, solvency.KEPT)",
        "ClearingHouse",
    ),
    Defect("a loss is a profit", "modules/positions.vy", "profit = -total", "profit = total", "ClearingHouse"),
]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[str]]]:
    """Bytecode of the planted defects; compiled while other tests run."""
    with ThreadPoolExecutor(2) as pool:
        yield {d.name: pool.submit(build, tmp_path_factory.mktemp("contracts"), d, d.rebuilds) for d in DEFECTS}


@pytest.fixture(scope="module")
def new_world(project_contracts: Any, accounts: Any, ape_chain: Any, isolated: Any) -> Iterator[worlds.World]:
    """Deploys the protocol, perhaps with other contracts."""

    def create(**others: Any) -> worlds.World:
        contracts = SimpleNamespace(**{**vars(project_contracts), **others})
        return worlds.build(contracts, accounts, ape_chain.provider, methodology.load("house"))

    with isolated():
        yield create


@pytest.fixture(scope="module")
def world(new_world: Any) -> worlds.World:
    """One deployment for all examples."""
    return new_world()


def live(world: worlds.World, mirror: type[Mirror] = Mirror, **options: Any) -> Counter[tuple[str, str]]:
    """Lives of the protocol beside a mirror. What happened in them."""
    seen: Counter[tuple[str, str]] = Counter()
    run_state_machine_as_test(partial(Life, world, seen, mirror), settings=settings(**options))
    for (name, outcome), times in sorted(seen.items()):
        print(f"{name:16s} {outcome or '(silent)':32s} {times:6d}")
    return seen


# The same lives each time.
FIXED: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "print_blob": False,
    "phases": [Phase.generate],
    "report_multiple_bugs": False,
}


def test_the_protocol_is_its_mirror(world):
    """INV-01 to INV-07, INV-09, INV-10 after every transaction."""
    live(world, max_examples=LIVES, stateful_step_count=STEPS)


def test_what_matters_happens(world):
    """Each act passes, and each is refused, in lives that are the same each time."""
    seen = live(world, max_examples=FIXED_LIVES, stateful_step_count=STEPS, **FIXED)
    for name in ("deposit", "withdraw", "transfer", "trade", "execute", "set_mode", "set_paused", "liquidate"):
        refused = sum(times for (n, outcome), times in seen.items() if n == name and outcome != "passed")
        assert seen[name, "passed"] and refused, f"{name}: the rules draw nothing of interest"
    for name in ("withdraw", "trade", "transfer", "execute"):
        assert seen[name, "solvency: margin"], f"no {name} was ever refused for want of margin"
    assert seen["decision 5", "passed"], "no account below initial margin ever reduced risk"


class ForgetsMargin(Mirror):
    def _require_sound(self, before: Account, after: Account, paid: bool, fees: int) -> None:
        pass


class ForgetsHeartbeats(Mirror):
    def is_fresh(self, account: Account) -> bool:
        return True


class ForgetsWhoseAccountItIs(Mirror):
    def controls(self, account: int, caller: str, scope: int) -> bool:
        return True


@pytest.mark.parametrize("wrong", [ForgetsMargin, ForgetsHeartbeats, ForgetsWhoseAccountItIs])
def test_a_wrong_mirror_is_found_out(world, wrong):
    """Within a few lives: what happens to the true contracts differs from what a wrong mirror expects."""
    with pytest.raises(AssertionError):
        live(world, wrong, max_examples=40, stateful_step_count=40, **FIXED)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_wrong_contract_is_found_out(new_world, builds, project_contracts, defect):
    """The same lives, with a defect planted in the clearing house."""
    changed = {"deployment_bytecode": Bytecode(bytecode=builds[defect.name].result())}
    house = ContractContainer(project_contracts.ClearingHouse.contract_type.model_copy(update=changed))
    world = new_world(ClearingHouse=house)
    with pytest.raises(AssertionError):
        live(world, max_examples=40, stateful_step_count=40, **FIXED)
