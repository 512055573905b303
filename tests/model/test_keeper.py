"""Decisions of a keeper: worth its gas, within its margin and the fund's cash, and the same after a restart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import keeper
from python_model.keeper import Act, Candidate, Policy, Purse, Terms
from python_model.screening import Figures

TERMS, POLICY, NOW = Terms(), Policy(), 1_000_000
RICH = Purse(free=1e9, fund=1e9)
# 1 USD for a million of gas.
GAS_USD = 1e-6
# 10 legs, worth 10,000 USD at a discount of 3%: half of it restores initial margin.
SOLVENT = Candidate(
    account=7,
    unhealthy=True,
    kind=Act.SOLVENT,
    fraction=0.5,
    price=0.5 * 10_000 * 0.97 + 2.0,
    premium=2.0,
    net_value=10_000.0,
    initial_shortfall=4_000.0,
    maintenance=12_000.0,
    liquidity=60.0,
    legs=10,
    started=NOW - 60,
)
INSOLVENT = replace(SOLVENT, kind=Act.INSOLVENT, fraction=1.0, price=-3_000.0, net_value=-2_000.0, marked=NOW - 1_200)
GAS = POLICY.gas(10) * GAS_USD


def one(c: Candidate, purse: Purse = RICH, policy: Policy = POLICY) -> keeper.Step | None:
    """The bid for one candidate."""
    return keeper.bid(c, purse, TERMS, policy, GAS_USD, NOW)[0]


# --- starts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net_value", "fund", "maintenance", "reward"),
    [
        (10_000.0, 0.0, 12_000.0, 25.0),
        (10_000.0, 0.0, 500.0, 10.0),
        (24.0, 0.0, 12_000.0, 0.0),
        (24.0, 25.0, 12_000.0, 25.0),
        (-5.0, 24.0, 12_000.0, 0.0),
    ],
)
def test_the_reward_is_the_contracts(net_value, fund, maintenance, reward):
    c = replace(SOLVENT, net_value=net_value, maintenance=maintenance)
    assert keeper.reward(c, fund, TERMS) == reward


def test_an_auction_is_started_where_it_pays_or_where_somebody_has_to():
    fresh = replace(SOLVENT, started=0, kind=None)
    greedy = Policy(upkeep=False)
    step = keeper.start(fresh, RICH, TERMS, greedy, GAS_USD)
    assert (step.act, step.account, step.gas) == (Act.START, 7, 600_000 + 450_000)
    assert step.profit == pytest.approx(25.0 - GAS)
    # 40 USD of gas: 15 more than the reward, and a purchase earns no more than 200 less the hedge and as much gas.
    dear = 40.0 / POLICY.gas(10)
    assert keeper.start(fresh, RICH, TERMS, greedy, dear).why == "a purchase will pay for gas"
    dearer = 85.0 / POLICY.gas(10)
    assert keeper.start(fresh, RICH, TERMS, greedy, dearer) is None
    assert keeper.start(fresh, RICH, TERMS, POLICY, dearer).why == "upkeep"
    assert keeper.start(replace(fresh, unhealthy=False), RICH, TERMS, POLICY, GAS_USD) is None
    assert keeper.start(SOLVENT, RICH, TERMS, POLICY, GAS_USD) is None, "it runs already"


def test_a_mark_is_set_where_there_is_no_value_and_taken_away_where_there_is():
    def act(c: Candidate, policy: Policy = POLICY) -> bool:
        return keeper.mark(c, TERMS, policy, GAS_USD, NOW) is not None

    unmarked = replace(INSOLVENT, marked=0)
    assert act(unmarked) and not act(unmarked, Policy(upkeep=False))
    assert not act(INSOLVENT)
    assert not act(replace(INSOLVENT, marked=NOW - 7_200)) and act(replace(INSOLVENT, marked=NOW - 7_201))
    assert not act(SOLVENT) and act(replace(SOLVENT, marked=NOW - 100))
    assert not act(replace(SOLVENT, started=NOW - 43_200)) and act(replace(SOLVENT, started=NOW - 43_201))


# --- bids ------------------------------------------------------------------------------------------------------------


def test_a_solvent_bid_by_hand():
    step = one(SOLVENT)
    # Half of 300 of discount less 60 of hedge, less premium and gas.
    assert step.profit == pytest.approx(0.5 * (300.0 - 60.0) - 2.0 - GAS)
    assert (step.act, step.fraction, step.deadline) == (Act.SOLVENT, 1.0, NOW + 60)
    assert step.max_price == pytest.approx(4_852.0 * 1.01)
    # A tenth would leave 24 less 2, 1.05 of gas and 5: enough.
    assert step.min_fraction == pytest.approx(0.1 * 0.99)
    small = one(replace(SOLVENT, liquidity=250.0))
    # What gains 50 a whole has to be 8.05 / 50 of it at least, to leave 5.
    assert small.min_fraction == pytest.approx((GAS + 5.0 + 2.0) / 50.0 * 0.99)


def test_what_costs_more_than_it_earns_is_left():
    assert one(replace(SOLVENT, liquidity=300.0)) is None
    assert one(SOLVENT, policy=Policy(minimum_profit=117.0)) is None
    assert one(SOLVENT, policy=Policy(minimum_profit=116.9)) is not None
    step, why = keeper.bid(SOLVENT, RICH, TERMS, POLICY, 200.0 / POLICY.gas(10), NOW)
    assert step is None and why == "would leave -82.00 USD"
    step, why = keeper.bid(replace(SOLVENT, legs=150), RICH, TERMS, Policy(gas_limit=7_000_000), GAS_USD, NOW)
    assert step is None and why.startswith("would take 7,350,000 gas")
    assert keeper.bid(replace(SOLVENT, kind=None), RICH, TERMS, POLICY, GAS_USD, NOW)[1] == "nothing is for sale"


def test_a_price_limit_is_never_above_what_still_pays():
    step = one(SOLVENT, policy=Policy(slippage=0.5, minimum_profit=100.0))
    assert step.max_price == pytest.approx(4_852.0 + 120.0 - 2.0 - GAS - 100.0)


def test_a_bidder_takes_what_its_margin_bears():
    # All of it takes 9,700 of price and 4,000 of shortfall: 13,700.
    step = one(SOLVENT, Purse(free=0.25 * 13_700 + 2.0, fund=0.0))
    assert step.fraction == pytest.approx(0.25)
    assert step.max_price == pytest.approx((0.25 * 9_700 + 2.0) * 1.01)
    assert one(SOLVENT, Purse(free=0.0999 * 13_700, fund=0.0)) is None
    assert one(SOLVENT, Purse(free=-1.0, fund=0.0)) is None


def test_the_fund_pays_no_more_than_it_has():
    step = one(INSOLVENT, Purse(1e9, 3_000.0))
    assert step.fraction == 1.0 and step.profit == pytest.approx(1_000.0 - 60.0 - GAS)
    assert step.max_price == pytest.approx(-3_000.0 * 0.99)
    part = one(INSOLVENT, Purse(1e9, 600.0))
    assert part.fraction == pytest.approx(0.2) and part.fraction * 3_000.0 <= 600.0
    assert part.max_price == pytest.approx((-600.0 + 2.0) * 0.99)
    assert one(INSOLVENT, Purse(1e9, 290.0)) is None
    # Once counterparties have shared, the fund may owe.
    assert one(replace(INSOLVENT, deleveraged=NOW - 5_000), Purse(1e9, 0.0)).fraction == 1.0


def test_a_part_of_an_account_that_needs_little_does_not_earn_the_reward():
    speck = replace(INSOLVENT, maintenance=5.0, net_value=-1_000.0, price=-1_025.0, liquidity=0.0)
    assert one(speck, Purse(1e9, 1_025.0)).profit == pytest.approx(25.0 - GAS)
    step, why = keeper.bid(speck, Purse(1e9, 600.0), TERMS, POLICY, GAS_USD, NOW)
    # What it costs the fund is 1,005 for all of it: 5 more than the debt, of which a half does not pay for anything.
    assert step is None and why.startswith("would leave ")


amounts = st.floats(0.0, 1e6)


@given(
    st.floats(1.0, 1e7),
    st.floats(0.1, 1.0),
    st.floats(0.0, 0.5),
    st.floats(0.0, 100.0),
    amounts,
    amounts,
    st.floats(0.0, 1e7),
)
def test_whatever_is_bought_within_its_limits_pays(value, fraction, discount, premium, liquidity, shortfall, free):
    premium = 0.0 if fraction == 1.0 else premium
    price = fraction * value * (1 - discount) + premium
    c = replace(
        SOLVENT,
        fraction=fraction,
        price=price,
        premium=premium,
        net_value=value,
        liquidity=liquidity,
        initial_shortfall=shortfall,
    )
    step = one(c, Purse(free, 0.0))
    if step is None:
        return
    taken = min(step.fraction, fraction)
    left = taken * (value - liquidity) - step.max_price - step.gas * GAS_USD
    assert left >= POLICY.minimum_profit - 1e-6 * value
    needs = taken * (value * (1 - discount) + shortfall) + (premium if taken < fraction else 0.0)
    assert needs <= free * (1 + 1e-9) + 1e-6 + premium
    assert step.min_fraction <= taken


# --- a round ---------------------------------------------------------------------------------------------------------


def test_margin_goes_to_the_best_first():
    rows = [replace(SOLVENT, account=i, liquidity=60.0 + i) for i in range(4)]
    # Enough for one and a half.
    free = 0.75 * 13_700 + 2 * 2.0
    steps, refused = keeper.purchases(rows[::-1], Purse(free, 0.0), TERMS, POLICY, GAS_USD, NOW)
    assert [s.account for s in steps] == [0, 1]
    assert [s.fraction for s in steps] == [1.0, pytest.approx(0.25)]
    assert set(refused) == {2, 3} and all("margin" in why for why in refused.values())


def test_the_fund_is_spent_once():
    rows = [replace(INSOLVENT, account=i) for i in range(3)]
    steps, refused = keeper.purchases(rows, Purse(1e9, 4_500.0), TERMS, POLICY, GAS_USD, NOW)
    paid = sum(-s.max_price for s in steps)
    assert [s.fraction for s in steps] == [1.0, pytest.approx(0.5)] and paid <= 4_500.0 and set(refused) == {2}


def test_openings_come_in_order_and_leave_the_healthy_alone():
    rows = [
        replace(SOLVENT, account=1),
        replace(SOLVENT, account=2, unhealthy=False, kind=None),
        replace(SOLVENT, account=3, started=0, kind=None),
        replace(INSOLVENT, account=4, marked=0, kind=None),
        replace(SOLVENT, account=5, unhealthy=False, started=0, kind=None),
        replace(INSOLVENT, account=6, empty=True, cash=-5.0, legs=0, kind=None),
    ]
    steps = keeper.openings(rows, RICH, TERMS, POLICY, GAS_USD, NOW)
    assert [(s.act, s.account) for s in steps] == [(Act.START, 3), (Act.MARK, 4), (Act.ABSORB, 6), (Act.END, 2)]
    greedy = keeper.openings(rows, RICH, TERMS, Policy(upkeep=False), GAS_USD, NOW)
    assert [(s.act, s.account) for s in greedy] == [(Act.START, 3)]


def figures(excess: list[float]) -> Figures:
    """Accounts with a requirement of 100 USD."""
    need, zero = np.full(len(excess), 100.0), np.zeros(len(excess))
    equity = need + np.array(excess)
    return Figures(need, 1.25 * need, equity, equity, equity, zero, zero, zero, zero[:, None])


def test_whom_to_check():
    rows = figures([50.0, -5.0, 1.9, 2.1, -80.0, 30.0])
    assert keeper.to_check(rows, {0, 4}, POLICY).tolist() == [4, 1, 2, 0]
    assert keeper.to_check(rows, (), replace(POLICY, near=0.0)).tolist() == [4, 1]


def test_scores_that_moved_are_refreshed():
    stored = np.array([100.0, 100.0, 0.0, 5.0, 1_000.0])
    current = np.array([109.0, 115.0, 50.0, 0.0, 0.0])
    assert keeper.to_refresh(stored, current, least=10.0).tolist() == [1, 2, 4]


@pytest.mark.parametrize(("name", "value"), [("minimum_profit", -1.0), ("slippage", float("nan")), ("gas_limit", 0)])
def test_a_policy_without_meaning_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}: must be"):
        Policy(**{name: value})
