"""Any course of events, on Anvil and in the model: what accounts are paid and what counts of them, to the unit."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from operator import mul
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from python_model import income
from python_model.income import DAY, HOUR, WAD, WEEK, Income
from scripts import chain
from tests.differential import planting
from tests.differential.planting import Builds, Defect
from tests.unit.protocol_fixtures import World, perp

pytestmark = pytest.mark.differential

FUND, FEES = 1, 2
# Each is half a dozen transactions, and ten views after each of them.
EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 20

# ------------------------------------------------------------------------------------------------------------ courses

# An event: so many seconds after the last, or at the midnight after that; and what, in the words of `Sides`.
Event = tuple[int, bool, tuple[Any, ...]]

row = st.integers(0, 3)
waits = st.sampled_from((0, 1, HOUR - 1, HOUR, DAY, 2 * DAY, WEEK, 30 * DAY)) | st.integers(0, 3 * DAY)
amounts = st.integers(0, 1_000) | st.integers(10**15, 10**24)
shares = st.sampled_from((WAD // 2, WAD // 2, 0, WAD)) | st.integers(0, WAD)
acts = st.one_of(
    st.tuples(st.just("refresh"), st.lists(row, min_size=1, max_size=3)),
    st.tuples(st.just("refresh"), st.permutations(range(4))),
    st.tuples(st.just("distribute"), amounts, shares),
    st.tuples(st.just("cash"), row, st.builds(mul, amounts, st.sampled_from((1, -1)))),
    st.tuples(st.just("trade"), row, st.sampled_from((-20, -0.1, 1, 100)), st.sampled_from((0.97, 1.0, 1.03))),
)
courses = st.lists(st.tuples(waits, st.sampled_from((False, False, True)), acts), min_size=4, max_size=8)
# Two measurements of three accounts, and two incomes; a fourth account is not known yet.
BEGINNING: list[Event] = [
    (0, False, ("refresh", [0, 1, 2])),
    (HOUR, False, ("refresh", [2, 1, 0])),
    (0, False, ("distribute", 10**21, WAD // 2)),
    (7, False, ("distribute", 10**20 + 7, WAD // 3)),
]
# From there through all that is told apart: payments in parts, cash that is owed to others, a rise that has to wait,
# ends of scores, and income that waits until somebody has a score again.
WHOLE: list[Event] = [
    (DAY, False, ("refresh", [0, 3])),
    (0, False, ("trade", 1, 100, 0.97)),
    (0, False, ("refresh", [1])),
    (0, False, ("cash", 3, 10**24)),
    (HOUR, False, ("refresh", [3, 0])),
    (DAY, False, ("distribute", 10**22, WAD // 2)),
    (5 * DAY, False, ("cash", 2, -1)),
    (0, True, ("refresh", [2])),
    (HOUR, False, ("distribute", 7, 0)),
    (8 * DAY, True, ("refresh", [0, 1, 2, 3])),
    (HOUR, False, ("refresh", [3, 2, 1, 0])),
    (WEEK, False, ("refresh", [0, 1, 2, 3])),
]


@dataclass
class Sides:
    """A yield contract and the model of it, which are told the same."""

    world: World
    contract: Any
    accounts: list[int]
    now: int
    model: Income

    @classmethod
    def begun(cls, world: World, bytecode: dict[str, str]) -> Sides:
        """Both with some accounts, after the beginning; the contract from other bytecode where that is given."""
        contract = planting.deploy(world.contracts, world.owner, "Yield", bytecode, world.house, WAD // 2)
        accounts = [world.open(world.bidder, usd=usd) for usd in (5_000, 50_000, 1_000_000, 100_000)]
        for member in (world.heir, contract):
            world.house.set_member(member, True, sender=world.owner)
        sides = cls(world, contract, accounts, world.now, Income(world.now))
        sides.follow(BEGINNING)
        return sides

    def follow(self, course: list[Event]) -> None:
        """Tell both of every event, and compare them after each."""
        for seconds, to_midnight, (act, *details) in course:
            self.wait(seconds - (self.now + seconds) % DAY + DAY if to_midnight else seconds)
            getattr(self, act)(*details)
            self.compare()

    # ------------------------------------------------------------------------------------------------------ reading

    def read(self, view: Any, *arguments: Any) -> Any:
        """What a view says now."""
        return chain.call_at(view, self.now, *arguments)

    def cash_of(self, *accounts: int) -> dict[int, int]:
        """Cash by account."""
        return {account: self.read(self.world.house.cash, account) for account in accounts}

    def measured(self, account: int) -> int:
        """The model's score of the account's figures."""
        f = self.read(self.world.house.assess, account)
        return income.score(*self.cash_of(account).values(), f.maintenance, f.equity_maintenance, f.fresh)

    def compare(self) -> None:
        """What both say of every account, and of what is spoken for."""
        then = income.advance(self.model, self.now)
        assert tuple(self.read(self.contract.held)) == (self.model.unreleased, self.model.owed, self.model.finish)
        for account in self.accounts:
            known, said = then.account(account), self.read(self.contract.rate_of, account)
            assert self.read(self.contract.earned, account) == known.earned
            assert (said.counted, said.end) == (known.counted(self.now), known.end)
            assert (said.lowest, said.since) == (known.lowest, known.since)
            assert said.rate == income.rate(self.model, self.now, account, said.cash)

    # ------------------------------------------------------------------------------------------------------- events

    def wait(self, seconds: int) -> None:
        """Nothing happens for so many seconds."""
        if seconds:
            self.world.wait(seconds)
            self.now += seconds

    def cash(self, which: int, amount: int) -> None:
        """Cash comes in or goes out; with whom does not matter here."""
        self.world.house.post(self.accounts[which], [], amount, 0, sender=self.world.heir)

    def trade(self, which: int, size: float, factor: float) -> None:
        """Perpetuals at the price of the start on a market that may be elsewhere, if there is margin for them."""
        world = self.world
        world.move(factor)
        self.now = world.now
        data = world.data(self.accounts[which], world.making, perp(size))
        if world.tries(world.house.trade, data, sender=world.bidder) is None:
            world.house.trade(data, sender=world.bidder)

    def distribute(self, amount: int, fund_share: int) -> None:
        """An income, with what the money market has earned."""
        world = self.world
        self.contract.set_fund_share(fund_share, sender=world.owner)
        world.house.post(FEES, [], amount, 0, sender=world.heir)
        before = self.cash_of(FUND, FEES)
        cash = before[FEES] + self.read(world.protocol.money_market.earned)
        receipt = self.contract.distribute(sender=world.stranger)
        self.model, came, fund = income.distribute(self.model, self.now, cash, fund_share)
        events = receipt.events.filter(self.contract.Distributed)
        assert [(event.income, event.fund) for event in events] == ([(came, fund)] if came else [])
        assert self.cash_of(FUND, FEES) == {FUND: before[FUND] + fund, FEES: cash - fund}

    def refresh(self, which: list[int]) -> None:
        """Some accounts, perhaps some of them twice; each is measured when it has been paid."""
        accounts = [self.accounts[i] for i in which]
        cash = self.cash_of(FEES, *accounts)
        receipt = self.contract.refresh(accounts, sender=self.world.stranger)
        for event, account in zip(receipt.events.filter(self.contract.Refreshed), accounts, strict=True):
            measured = self.measured(account)
            self.model, paid = income.refresh(self.model, self.now, account, measured)
            counted = self.model.account(account).score
            assert (event.account, event.paid, event.measured, event.counted) == (account, paid, measured, counted)
            cash[account] += paid
            cash[FEES] -= paid
        assert self.cash_of(*cash) == cash


@pytest.fixture(scope="module")
def begun(deployed_world: World) -> Sides:
    """The true contract."""
    return Sides.begun(deployed_world, {})


def compare(begun: Sides, course: list[Event]) -> None:
    """A course from the beginning on; the chain stays as it is."""
    world = replace(begun.world, markets=dict(begun.world.markets))
    with world.ape_chain.isolate():
        replace(begun, world=world).follow(course)


@settings(max_examples=EXAMPLES)
@given(course=courses)
@example(course=WHOLE)
def test_contract_and_model_agree_to_the_unit(begun: Sides, course: list[Event]) -> None:
    compare(begun, course)


# ------------------------------------------------------------------------------------------------------------ defects


def defect(name: str, source: str, text: str, planted: str) -> Defect:
    """All are of the yield contract."""
    return Defect(name, source, text, planted, "Yield")


STREAM, YIELD = "modules/stream.vy", "Yield.vy"
DEFECTS = [
    defect("payments are rounded up", STREAM, "(until - entry.index) // SCALE", "(until - entry.index) // SCALE + 1"),
    defect("scores live a day longer", STREAM, "LIFE: constant(uint256) = 7", "LIFE: constant(uint256) = 8"),
    defect("income takes a day longer", STREAM, "PERIOD: constant(uint256) = 7", "PERIOD: constant(uint256) = 8"),
    defect("a score that has ended earns", STREAM, "until = max(last, entry.index)", "until = index"),
    defect("nothing waits", STREAM, "            s.finish += until - s.time\n", "            pass\n"),
    defect("scores are added up", STREAM, "self._state.total -= old.score", "self._state.total += old.score"),
    defect("the higher measurement counts", YIELD, "counted = min(m.lowest,", "counted = max(m.lowest,"),
    defect("debts to others count", YIELD, "convert(min(r.cash, r.equity), uint256)", "convert(r.cash, uint256)"),
]


builds = planting.builds_of(DEFECTS)


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda d: d.name)
def test_a_planted_defect_is_noticed(world: World, builds: Builds, planted: Defect) -> None:
    bytecode = {"Yield": builds[planted.name].result()}
    with pytest.raises(AssertionError):
        compare(Sides.begun(world, bytecode), WHOLE)
