"""Cash with interest: the curve, the indices, and the ledger to the last unit, against a model in floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import interest
from scripts import chain
from tests.unit.protocol_fixtures import EMPTY, World

WAD = 10**18
YEAR = 365 * 86_400
TERMS = interest.Terms(base=0.01, slope=0.04, steep=0.75, kink=0.8, reserve_share=0.1)


def arguments(terms: interest.Terms) -> list[int]:
    return [chain.wad(n) for n in (terms.base, terms.slope, terms.steep, terms.kink, terms.reserve_share)]


@pytest.fixture(scope="module")
def owner(accounts: Any) -> Any:
    return accounts[0]


@pytest.fixture(scope="module")
def rates(project_contracts: Any, owner: Any) -> Any:
    return owner.deploy(project_contracts.InterestRates, *arguments(TERMS))


@dataclass(frozen=True)
class Desk:
    """The clearing house with a key in the place of the settlement contract, which may post what it likes."""

    world: World
    key: Any

    def change(self, account: int, amount: int, time: int) -> None:
        self.world.ape_chain.pending_timestamp = time
        self.world.house.post(account, [], amount, 0, sender=self.key)

    def at(self, time: int, view: Any, *arguments: Any) -> Any:
        return chain.call_at(view, time, *arguments)

    def cash(self, time: int, account: int) -> int:
        return int(self.at(time, self.world.house.cash, account))

    def prudent(self, time: int, account: int) -> int:
        """What a margin check counts."""
        return int(self.at(time, self.world.house.portfolio, account).cash)

    @property
    def lenders(self) -> tuple[int, int, int]:
        """The accounts with cash."""
        return self.world.taking, self.world.making, self.world.bidding

    @property
    def reserve(self) -> int:
        """What interest has left there: what was posted came out of it."""
        return int(self.world.house.reserve())


@pytest.fixture(scope="module")
def desk(deployed_world: World, rates: Any) -> Desk:
    p, key = deployed_world.protocol, deployed_world.heir
    deployed_world.house.set_member(key, True, sender=deployed_world.owner)
    p.money_market.set_interest_rates(rates, sender=deployed_world.owner)
    return Desk(deployed_world, key)


# ---------------------------------------------------------------------------------------------------------- the curve

amounts = st.integers(0, 10**30)


@given(debts=amounts, lent=amounts)
def test_rates_are_those_of_the_model(rates, ape_chain, debts, lent):
    debt_rate, credit_rate = chain.call_at(rates.rates, ape_chain.blocks.head.timestamp, debts, lent)
    # Full utilisation where nobody has anything to lend, in the model as here.
    used = float(interest.utilisation(debts, lent)) if lent else 1.0
    assert debt_rate / WAD == pytest.approx(float(interest.debt_rate(used, TERMS)), rel=1e-12, abs=1e-15)
    assert credit_rate / WAD == pytest.approx(float(interest.credit_rate(used, TERMS)), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("debts", "debt_rate", "credit_rate"),
    [
        (0, "0.01", "0"),
        (40, "0.03", "0.0108"),
        (80, "0.05", "0.036"),
        (90, "0.425", "0.34425"),
        (100, "0.8", "0.72"),
        (150, "0.8", "0.72"),
    ],
)
def test_rates_by_hand(rates, debts, debt_rate, credit_rate):
    """Of 100 that others have, so much is owed."""
    assert tuple(rates.rates(debts * WAD, 100 * WAD)) == (chain.wad(float(debt_rate)), chain.wad(float(credit_rate)))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"base": 10.1, "slope": 0.0, "steep": 0.0}, "interest: rate"),
        ({"base": 4.0, "slope": 4.0, "steep": 2.1}, "interest: rate"),
        ({"kink": 0.0}, "interest: kink"),
        ({"kink": 1.0}, "interest: kink"),
        ({"reserve_share": 1.1}, "interest: reserve share"),
    ],
)
def test_curves_that_are_refused(project_contracts, ape_chain, changed, reason):
    terms = interest.Terms(**{**TERMS.__dict__, **changed})
    constructor = project_contracts.InterestRates.constructor
    data = bytes(constructor.deployment_bytecode) + bytes(constructor.encode_input(*arguments(terms)))
    answer = ape_chain.provider.web3.provider.make_request("eth_call", [{"data": "0x" + data.hex()}, "latest"])
    assert answer["error"]["message"] == f"execution reverted: {reason}"


# --------------------------------------------------------------------------------------------------------- the ledger


@pytest.fixture(scope="module")
def pool(desk: Desk) -> int:
    """What the three accounts of the world have, which lend too; their number of dollars."""
    return sum(desk.cash(desk.world.now, i) for i in desk.lenders)


def test_a_year_by_hand(desk: Desk, pool: int) -> None:
    """A fifth of all cash is owed: 2%, of which a tenth stays with the protocol."""
    start = desk.world.now + 10
    with desk.world.ape_chain.isolate():
        desk.change(11, -pool // 5, start)
        later = start + YEAR
        figures = desk.at(later, desk.world.protocol.money_market.interest)
        assert (figures.debt_rate, figures.credit_rate) == (2 * WAD // 100, 36 * WAD // 10_000)
        assert desk.cash(later, 11) == desk.prudent(later, 11) == -pool // 5 * 102 // 100
        lent = [desk.cash(later, i) for i in desk.lenders]
        assert sum(lent) == pool + pool // 5 * 18 // 1000
        assert sum(desk.prudent(later, i) for i in desk.lenders) == pool
        for account in (*desk.lenders, 11):
            desk.change(account, 0, later)
        assert desk.reserve - pool // 5 == pool // 5 * 2 // 1000
        assert desk.world.protocol.money_market.earned() == pool // 5 * 2 // 1000


def test_earnings_are_collected_by_the_owner(desk: Desk, pool: int) -> None:
    market, world = desk.world.protocol.money_market, desk.world
    start = desk.world.now + 10
    with world.ape_chain.isolate():
        desk.change(11, -pool // 5, start)
        desk.change(11, 0, start + YEAR)
        earned = market.earned()
        assert world.tries(market.collect, 1, 1, sender=world.stranger) == "authority: not the owner"
        before, reserve = world.house.cash(1), desk.reserve
        world.ape_chain.pending_timestamp = start + YEAR
        assert earned > 0
        market.collect(1, earned, sender=world.owner)
        assert (market.earned(), world.house.cash(1) - before, reserve - desk.reserve) == (0, earned, earned)
        assert world.tries(market.collect, 1, 1, sender=world.owner) == "cash: not earned"


def test_only_the_house_changes_words(desk: Desk) -> None:
    world = desk.world
    for user in (world.owner, world.stranger, desk.key):
        assert world.tries(world.protocol.money_market.change, 0, 1, sender=user) == "cash: caller"
        if user is not desk.key:
            assert world.tries(world.house.post, 1, [], 1, 0, sender=user) == "clearing house: caller"
    assert world.tries(world.protocol.money_market.set_interest_rates, EMPTY, sender=world.stranger) == (
        "authority: not the owner"
    )


def test_without_rates_nothing_grows(desk: Desk) -> None:
    world = desk.world
    with world.ape_chain.isolate():
        world.protocol.money_market.set_interest_rates(EMPTY, sender=world.owner)
        start = world.now + 10
        desk.change(11, -5 * WAD, start)
        assert desk.cash(start + 10 * YEAR, 11) == -5 * WAD


def test_too_much_cash_is_refused(desk: Desk) -> None:
    for amount in (2**150 + 1, -(2**150) - 1):
        assert desk.world.tries(desk.world.house.post, 99, [], amount, 0, sender=desk.key) == "cash: too much"


acts = st.lists(
    st.tuples(st.integers(11, 13), st.integers(-(10**6), 10**6), st.integers(1, 400 * 86_400)), min_size=1, max_size=10
)


@given(acts=acts)
def test_every_life_of_a_pool(desk: Desk, acts) -> None:
    """INV-02, INV-12: cash and reserve sum to what came in, exactly; figures are the model's; prudence errs one way."""
    world = desk.world
    with world.ape_chain.isolate():
        time = world.now + 10
        start = {i: desk.cash(time, i) for i in desk.lenders}
        model = interest.Pool(TERMS, {i: cash / WAD for i, cash in start.items()} | {11: 0.0, 12: 0.0, 13: 0.0}, time)
        gross = sum(model.cash.values())
        posted = 0
        for account, amount, wait in acts:
            time += wait
            desk.change(account, amount * WAD, time)
            model.change(time, account, float(amount))
            posted += amount * WAD
            gross += abs(amount)
        for i in model.cash:
            cash, prudent = desk.cash(time, i), desk.prudent(time, i)
            assert prudent == cash if cash < 0 else 0 <= prudent <= cash
            # Floats of the size of all cash.
            assert cash / WAD == pytest.approx(model.cash[i], rel=1e-9, abs=1e-13 * gross)
            desk.change(i, 0, time)
            assert desk.cash(time, i) == cash
        assert sum(desk.cash(time, i) for i in model.cash) + desk.reserve == sum(start.values())
        earned = world.protocol.money_market.earned()
        # What the sums have rounded is the protocol's, so that all others can be paid.
        assert 0 <= desk.reserve + posted - earned <= 100 * (len(acts) + 6)
        assert earned / WAD == pytest.approx(model.reserve, rel=1e-6, abs=1e-12 * gross)
