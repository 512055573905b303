"""Whatever holders, losses, income and withdrawals do: sums hold to the wei, and nobody is paid what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.protocol import FUND
from tests.unit.backstop.conftest import PAR, UNIT, WEEK, Fund
from tests.unit.protocol_fixtures import DAY, QUOTE, WAD

# Each is a dozen transactions and as many views.
EXAMPLES = 8
KINDS = ("deposit", "request", "redeem", "lose", "earn", "wait", "withdraw", "recover")
# An act: what, who or which, and how much as a fraction of what there is.
acts = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 5),
        st.one_of(st.sampled_from([0.0, 1e-9, 0.5, 1.0, 1.2]), st.floats(0, 1.2)),
    ),
    min_size=3,
    max_size=14,
)


class Life:
    """Acts on a fund, and what all of them together have put in and taken out."""

    def __init__(self, fund: Fund) -> None:
        self.fund = fund
        self.users = (fund.first, fund.second, fund.third)
        self.paid_in = self.paid_out = self.lost = self.earned = self.covered = 0
        self.start = int(fund.world.house.cash(FUND))
        self.kept = 0

    def holder(self, who: int) -> tuple[Any, Any]:
        return self.fund.tranches[who % 2], self.users[who // 2]

    def deposit(self, who: int, part: float) -> None:
        tranche, user = self.holder(who)
        units = 1 + int(part * 10**10)
        self.fund.give(user, tranche, units)
        before = self.prices()
        if self.fund.world.tries(tranche.deposit, units, user, sender=user) is None:
            held = self.fund.worth(tranche, user)
            tranche.deposit(units, user, sender=user)
            self.paid_in += units * UNIT
            # Nobody gets more than they bring, nor does anybody's share lose by it.
            assert self.fund.worth(tranche, user) - held <= units * UNIT + 1
            assert all(a >= b for a, b in zip(self.prices(), before, strict=True))
        else:
            assert tranche.maxDeposit(user) == 0

    def request(self, who: int, part: float) -> None:
        tranche, user = self.holder(who)
        shares = int(min(part, 1.0) * 10**6) * tranche.balanceOf(user) // 10**6
        if self.fund.backstop.to_assets(tranche.kind(), shares, False):
            self.fund.request(tranche, user, shares)

    def redeem(self, who: int, part: float) -> None:
        tranche, user = self.holder(who)
        ready = tranche.maxRedeem(user)
        shares = int(min(part, 1.0) * 10**6) * ready // 10**6
        if shares:
            most = min(self.fund.backstop.to_assets(tranche.kind(), shares, False), tranche.request_of(user)[1])
            before, prices = self.fund.world.quote.balanceOf(user), self.prices()
            tranche.redeem(shares, user, user, sender=user)
            paid = int(self.fund.world.quote.balanceOf(user) - before) * UNIT
            assert paid <= most
            self.paid_out += paid
            empty = tranche.totalSupply() == 0
            assert empty or all(a >= b for a, b in zip(self.prices(), prices, strict=True))

    def lose(self, which: int, part: float) -> None:
        amount = int(part * 10**9) * max(int(self.fund.world.house.cash(FUND)), WAD) // 10**9
        self.fund.move(-amount)
        self.lost += amount
        if which % 2:
            self.fund.sync()

    def earn(self, which: int, part: float) -> None:
        amount = int(part * 1_000 * WAD) + which
        self.fund.move(amount)
        self.earned += amount
        if which % 2:
            self.fund.sync()

    def wait(self, which: int, part: float) -> None:
        self.fund.world.wait(1 + int(part * WEEK) + which * DAY)

    def withdraw(self, which: int, part: float) -> None:
        """Of a trader, for whom a part may be kept."""
        world = self.fund.world
        account = (world.taking, world.bidding)[which % 2]
        user = world.user(account)
        units = int(min(part, 1.0) * 10**6) * (world.house.cash(account) // UNIT // 2) // 10**6
        owed, before = self.fund.owed(account), world.quote.balanceOf(user)
        shortfall = max(-world.house.cash(FUND), 0)
        world.house.withdraw(account, QUOTE, units, user, sender=user)
        kept = units - int(world.quote.balanceOf(user) - before)
        assert self.fund.owed(account) == owed + kept * UNIT
        assert kept == 0 or shortfall > 0
        self.kept += kept * UNIT

    def recover(self, which: int, part: float) -> None:
        world = self.fund.world
        account = (world.taking, world.bidding)[which % 2]
        before, owed = world.house.cash(account), self.fund.owed(account)
        self.fund.backstop.recover(account, sender=world.stranger)
        got = int(world.house.cash(account) - before)
        assert self.fund.owed(account) == owed - got
        self.covered += got

    def prices(self) -> list[int]:
        """Of 1e12 shares of each tranche: of 1e-6 USD at the start."""
        return [int(self.fund.backstop.to_assets(kind, 10**18 * PAR, False)) for kind in (0, 1)]

    def check(self) -> None:
        fund = self.fund
        fund.check()
        world, backstop = fund.world, fund.backstop
        waiting = int(world.house.cash(backstop.claims_account()))
        cash = int(world.house.cash(FUND))
        # What came in, less what went out, is there.
        flows = self.paid_in + self.earned + self.kept - self.paid_out - self.lost - self.covered
        assert cash + waiting == self.start + flows
        # All that was kept is owed still or was paid; what lacks and what waits are the parts of what is owed.
        accounts = (world.taking, world.bidding)
        assert sum(fund.owed(a) for a in accounts) == self.kept - self.covered == backstop.lacking() + waiting
        recoverable = sum(fund.recoverable(a) for a in accounts)
        assert recoverable <= waiting <= recoverable + 4 or backstop.lacking() == 0
        if backstop.lacking() == 0:
            assert recoverable == waiting


@pytest.fixture(scope="module")
def base(deployed_fund: Fund) -> Fund:
    """Both tranches with a holder."""
    deployed_fund.deposit(deployed_fund.junior, deployed_fund.first, 1_000)
    deployed_fund.deposit(deployed_fund.senior, deployed_fund.second, 4_000)
    return deployed_fund


def live(fund: Fund, story: list[tuple[str, int, float]]) -> Life:
    life = Life(fund)
    for name, which, part in story:
        act: Callable[[int, float], None] = getattr(life, name)
        act(which, part)
    return life


@settings(max_examples=EXAMPLES)
@given(story=acts)
def test_sums_hold_to_the_wei(base: Fund, story: list[tuple[str, int, float]]) -> None:
    with base.world.ape_chain.isolate():
        live(base, story).check()


@settings(max_examples=EXAMPLES)
@given(story=acts)
def test_everybody_can_leave_and_nobody_gets_more_than_there_is(
    base: Fund, story: list[tuple[str, int, float]]
) -> None:
    """Whatever was before: the fund is filled up, and all leave, one after another."""
    with base.world.ape_chain.isolate():
        life = live(base, story)
        base.earn(10_000_000)
        base.world.wait(WEEK)
        base.sync()
        for account in (base.world.taking, base.world.bidding):
            owed = base.owed(account)
            assert base.recoverable(account) == owed
            base.backstop.recover(account, sender=base.world.stranger)
        for tranche in base.tranches:
            for user in life.users:
                if base.worth(tranche, user):
                    base.request(tranche, user)
        base.world.wait(WEEK)
        left = base.pool
        total = 0
        for tranche in base.tranches:
            for user in life.users:
                if tranche.maxRedeem(user):
                    total += base.redeem(tranche, user) * UNIT
        assert total <= sum(left.assets)
        base.check()
        # A wiped-out senior tranche has no coupon that could restore it: its shares are worth nothing, and stay.
        assert all(
            shares == 0 or assets == 0 for shares, assets in zip(base.pool.shares, base.pool.assets, strict=True)
        )
        assert base.pool.income == base.world.house.cash(FUND)


def test_the_story_of_a_crash(base: Fund) -> None:
    """The acts above in an order that uses every one of them, so that the sums above are of something."""
    with base.world.ape_chain.isolate():
        story = [
            ("deposit", 4, 0.1),
            ("request", 0, 0.5),
            ("earn", 1, 0.1),
            ("wait", 1, 1.0),
            ("redeem", 0, 0.5),
            ("lose", 1, 1.1),
            ("withdraw", 1, 0.7),
            ("withdraw", 0, 0.7),
            ("earn", 1, 0.1),
            ("recover", 1, 1.0),
            ("withdraw", 1, 0.7),
            ("earn", 2, 0.9),
            ("recover", 0, 1.0),
        ]
        life = live(base, story)
        life.check()
        assert min(life.paid_in, life.paid_out, life.lost, life.earned, life.kept, life.covered) > 0
        assert base.backstop.lacking() == 0
