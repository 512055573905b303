"""The rules of a life: every state-changing function of the protocol, called by its users and by strangers."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from scripts import protocol
from tests.stateful import world as worlds
from tests.stateful.bidding import Bidding
from tests.stateful.drawing import (
    ACTIONS,
    MENU,
    RICH,
    action,
    favours,
    fractions,
    indices,
    packages,
    stretches,
)
from tests.stateful.machine import PPM
from tests.stateful.market import WIDEST
from tests.stateful.state import (
    CALL,
    COLLECTOR,
    LIQUIDATION,
    MAKER_FEE,
    PERP,
    PREMIUM_CAP,
    RISK,
    TAKER_FEE,
    USDC,
    WETH,
    Instrument,
)
from tests.stateful.users import CROSS, ISOLATED, MAX, PORTFOLIO, VAR

MOST_ACCOUNTS = 8
# Of a life, after its beginning; more in profile deep.
STEPS = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 40


class Life(Bidding):
    """Rules."""

    @initialize(
        purses=st.lists(st.tuples(fractions, st.integers(0, PPM)), min_size=6, max_size=6),
        positions=st.lists(stretches, min_size=6, max_size=6),
    )
    def open(self, purses: list[tuple[int, int]], positions: list[Any]) -> None:
        """Two accounts for each user, in all modes, and some positions; the last account is a market maker's."""
        self.begin()
        self.orders, self.steps = [], 0
        modes = (PORTFOLIO, ISOLATED, VAR, CROSS, MAX, PORTFOLIO)
        for n, (mode, (usd, ether)) in enumerate(zip(modes, purses, strict=True)):
            owner, account = self.user(n // 2), n + 4
            self.act(owner, "create_account", mode)
            self.act(owner, "deposit", account, USDC, 9 * 10**11 if account == RICH else 10**10 * usd // PPM)
            if ether % 2:
                self.act(owner, "deposit", account, WETH, 5 * 10**18 * ether // PPM)
        self.stretch(positions)

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

    @action(names=st.sampled_from([("ETH",), ("BTC",), ("ETH", "BTC")]), price=st.sampled_from([0.7, 1.0, 1.3]))
    def prices_are_doubted(self, names: tuple[str, ...], price: float) -> None:
        """Nothing of them is taken over: no risk is taken and nobody liquidated until others come (INV-13)."""
        for name in names:
            self.publish(name, replace(self.moved(name, price), confidence=1.5 * WIDEST))

    @action(
        often=3,
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

    # ------------------------------------------------------------------------------------------------------ settlement

    @action(
        often=3,
        ahead=st.sampled_from([None, None, 900, 0, 0, -1]),
        who=st.one_of(st.just([]), st.lists(indices, max_size=6)),
        caller=indices,
        again=st.booleans(),
    )
    def settle(self, ahead: int | None, who: list[int], caller: int, again: bool) -> None:
        """Anyone settles some accounts, or all; perhaps just after an expiry, perhaps twice: that changes nothing.

        `ahead` of the next expiry, seconds, prices are published: in the half hour that makes its price, or at its end.
        """
        dates = {i.expiry for a in self.mirror.accounts.values() for i in a.legs if i.expiry > self.mirror.now}
        if ahead is not None and dates:
            # Each publication takes a second.
            self.wait(max(min(dates) - ahead - len(self.names) - self.mirror.now, 0))
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

    @action(index=indices, caller=indices, late=st.sampled_from([False, False, False, True]))
    def make_cash(self, index: int, caller: int, late: bool) -> None:
        """After a move, anyone realises the profit of futures and perpetuals, of an account that has some for most."""
        name = list(self.names)[caller % 2]
        perp, a = Instrument(self.names[name], 0, 0, PERP), self.trader(index)
        package = (self.leg(perp, 1000, PPM),)
        b = self.another(a, caller)
        self.act(self.sender(a, 0), "trade", a, b, package, self.consent("signed", a, b, package))
        self.publish(name, self.moved(name, 1.01))
        if late:
            self.wait(self.mirror.heartbeat + 1)
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

    @action(share=st.integers(0, PPM), user=indices, rates=st.booleans())
    def earn(self, share: int, user: int, rates: bool) -> None:
        """The protocol's interest and fees go to whom they belong; perhaps other rates, or none."""
        earned = self.mirror.money.at(self.mirror.now + 1).earned
        self.seen["collect", "of something"] += earned * share // PPM > 0
        self.by_owner(user, "collect", COLLECTOR, earned * share // PPM)
        # In the second that it takes, a thousandth is not earned.
        self.act(self.mirror.owner, "collect", COLLECTOR, earned * 1001 // 1000 + 10**18)
        owner = self.mirror.accounts[COLLECTOR].owner
        self.act(owner, "withdraw", COLLECTOR, USDC, max(self.held(COLLECTOR, USDC), 0) * share // PPM, owner)
        if rates:
            self.by_owner(user, "set_interest_rates", protocol.INTEREST if share % 4 else None)

    # ------------------------------------------------------------------------------------------------------ authority

    def by_owner(self, user: int, name: str, *arguments: Any) -> None:
        """A user tries what is the owner's, then the owner."""
        self.act(self.user(user), name, *arguments)
        self.act(self.mirror.owner, name, *arguments)

    @action(
        name=st.sampled_from(["ETH", "BTC"]),
        share=st.sampled_from([0, PPM // 2, PPM, PPM, PPM * 11 // 10]),
        taker=indices,
        rows=packages,
        lifted=st.sampled_from([True, True, True, False]),
    )
    def cap(self, name: str, share: int, taker: int, rows: list[Any], lifted: bool) -> None:
        """Cap open interest at about what there is, none at 0; somebody trades there; perhaps it is lifted."""
        underlying = self.names[name]
        self.by_owner(taker, "set_open_interest_cap", underlying, self.mirror.open_interest[underlying] * share // PPM)
        a = self.trader(taker)
        b = self.another(a, taker)
        listed = [i for i in self.instruments() if i.underlying == underlying]
        package = self.package(rows, a, listed)
        self.act(self.sender(a, 0), "trade", a, b, package, self.consent("signed", a, b, package))
        beyond = 0 < self.mirror.open_interest_caps[underlying] < self.mirror.open_interest[underlying]
        holders = [x for x in self.players if any(i in listed for i in self.mirror.accounts[x].legs)]
        if beyond and holders:
            self.reduce(holders[taker % len(holders)], taker, PPM, 1_000, 0, 16)
        if lifted:
            self.act(self.mirror.owner, "set_open_interest_cap", underlying, 0)

    @action(
        user=indices,
        account=indices,
        share=st.sampled_from([0, 0, PPM - 1, PPM, PPM + 1, PPM * 2]),
        listed=st.booleans(),
        allowed=st.booleans(),
        lifted=st.sampled_from([True, True, True, False]),
        rows=st.lists(stretches, min_size=1, max_size=2),
    )
    def admit(
        self, user: int, account: int, share: int, listed: bool, allowed: bool, lifted: bool, rows: list[Any]
    ) -> None:
        """Modes with offsets ask for an equity about that of some account, or a listed owner; somebody trades."""
        a = self.account(account)
        minimum = int(max(self.figures(a).assessment.equity_initial, 0.0) * share) * 10**12
        self.by_owner(user, "set_contracts", "", True)
        self.by_owner(user, "set_minimum_equity", minimum)
        self.by_owner(user, "set_allow_list", listed)
        self.by_owner(user, "set_allowed", self.sender(a, 0), allowed)
        self.stretch(rows)
        self.act(self.sender(a, 0), "set_mode", a, (PORTFOLIO, VAR, MAX)[user % 3])
        if lifted:
            self.act(self.mirror.owner, "set_contracts", "", False)

    @action(often=1, user=indices, heir=st.integers(0, 4), accepted=st.booleans())
    def hand_over(self, user: int, heir: int, accepted: bool) -> None:
        """Contracts are named again; owner and guardian change."""
        for other in ("", "collaterals", "money market"):
            self.by_owner(user, "set_contracts", other, self.mirror.admission)
        heirs = [self.world.owner.address, self.world.guardian.address, *(u.address for u in self.world.users)]
        self.by_owner(user, "set_guardian", heirs[heir - 1])
        self.by_owner(user, "transfer_ownership", heirs[heir])
        self.act(self.user(user), "accept_ownership")
        self.act(self.user(user), "set_paused", RISK)
        self.act(self.mirror.owner, "set_paused", 0)
        if accepted:
            self.act(heirs[heir], "accept_ownership")

    @action(often=1, who=st.integers(0, 4))
    def intrude(self, who: int) -> None:
        """What contracts alone may call, a user, the guardian or the owner calls."""
        callers = [*(u.address for u in self.world.users), self.mirror.guardian, self.mirror.owner]
        for name in ("post", "award", "agree"):
            assert not self.act(callers[who], name)

    @action(
        often=1, index=indices, mode=st.integers(0, 4), share=st.integers(1, PPM), kind=st.sampled_from([USDC, WETH])
    )
    def come_and_give(self, index: int, mode: int, share: int, kind: int) -> None:
        """A user opens an account, and sends tokens past all accounts."""
        user = self.user(index)
        self.act(user, "create_account", 5)
        if len(self.players) < MOST_ACCOUNTS:
            self.act(user, "create_account", mode)
        self.act(user, "donate", kind, self.mirror.wallets[user, kind] * share // PPM // 1000)

    @action(
        what=st.sampled_from(["pause", "pause", "fees", *["resume"] * 3, "cap", "limit"]),
        user=indices,
        which=st.integers(0, 3),
        share=st.integers(1, 1000),
    )
    def administer(self, what: str, user: int, which: int, share: int) -> None:
        """Fees, the pause, caps and limits."""
        kind, there = which % 2, self.mirror.credited[which % 2]
        if what == "fees":
            self.by_owner(user, "set_fees", *((MAKER_FEE, TAKER_FEE, PREMIUM_CAP) if which else (0, 0, 0)))
        elif what == "pause":
            flags = (RISK, LIQUIDATION, RISK | LIQUIDATION, 4)[which]
            self.act(self.user(user), "set_paused", flags)
            self.act(self.mirror.guardian, "set_paused", flags)
            self.act(self.mirror.guardian, "set_paused", 0)
            if which == 3:
                self.act(self.mirror.owner, "set_paused", 0)
        elif what == "resume":
            self.act(self.mirror.owner, "set_paused", 0)
            self.act(self.mirror.owner, "set_cap", kind, worlds.CAP[kind])
            self.act(self.mirror.owner, "set_withdrawal_limit", kind, 0)
        elif what == "cap":
            # At what is there already, so that deposits stop, or just above.
            self.by_owner(user, "set_cap", kind, there + share * (which // 2))
        elif what == "limit":
            # Of what is there a part, so that withdrawals stop, or nothing.
            self.by_owner(user, "set_withdrawal_limit", kind, there * share // PPM // (1 + which))
            self.act(self.user(user), "poke", kind)

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
