"""INV-12: funding changes what an account has as the model says, and not what it needs; it is zero-sum to the wei."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.differential.perpetual import HOUSE, NAME, Accounts, Trade, differences
from tests.unit.market_data.course import LATE, USD, Course, State, marked_courses
from tests.unit.market_data.updates import NOW

pytestmark = pytest.mark.differential

HEARTBEAT = chain.HEARTBEAT_SECONDS


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """The house engine, without data."""
    return chain.deploy_engine(project_contracts, deployer, [HOUSE], {NAME: 2})


@st.composite
def situations(draw: st.DrawFn) -> list[tuple[State, list[Trade], int]]:
    """States one after the other, what three accounts trade with each other in each, and when it is looked at then."""
    states = draw(marked_courses(HEARTBEAT))
    rows = []
    for state, until in zip(states, [*(s.time for s in states[1:]), states[-1].time + 2 * HEARTBEAT], strict=True):
        # Mostly while it is fresh.
        last = min(until - state.time - 1, draw(st.sampled_from([HEARTBEAT, HEARTBEAT, until])))
        trades = []
        for _ in range(draw(st.integers(0, 2))):
            buyer, seller = draw(st.permutations(range(3)))[:2]
            size = draw(st.one_of(st.integers(1, 10**9), st.sampled_from([1, 10**6, 10**12])))
            price = max(state.spot * draw(st.integers(90, 110)) // 100, 1)
            trades.append(Trade(state.time + draw(st.integers(0, last)), buyer, seller, size, price))
        rows.append((state, trades, until - 1))
    return rows


@given(situation=situations())
def test_equity_is_the_model_s_and_adds_up_to_nothing(deployment, ape_chain, situation):
    engine = deployment.engines[HOUSE.name]
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        course = Course(deployment.market_data, deployment.sender)
        states: list[State] = []
        entered: list[Trade] = []
        for state, trades, time in situation:
            course.publish(state)
            states.append(state)
            entered += [trade.entered(course) for trade in trades]
            if entered:
                assert differences(engine, course, states, entered, time, HEARTBEAT) == []


def test_opposite_accounts_have_opposite_equity_and_the_same_requirement(deployment, ape_chain):
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        course = Course(deployment.market_data, deployment.sender)
        course.publish(State(NOW, 2000 * USD, 2003 * USD))
        accounts = Accounts.of([Trade(NOW + 10, 0, 1, 1_234_567, 2002 * USD).entered(course)], 2)
        engine = deployment.engines[HOUSE.name]
        early = [accounts.figures(i, engine, course, NOW + 10) for i in range(2)]
        late = [accounts.figures(i, engine, course, NOW + 1010) for i in range(2)]
        paid = course.funding(NOW + 1010) - course.funding(NOW + 10)
        assert paid == 3 * 10**18 * 1010 // 28_800 // 10**6 * 10**6 - 3 * 10**18 * 10 // 28_800 // 10**6 * 10**6
        assert early[0].net_value - late[0].net_value == 1_234_567 * paid // 10**6
        assert late[1].net_value - early[1].net_value == 1_234_567 * paid // 10**6
        assert {f.maintenance for f in early + late} == {early[0].maintenance}
        assert {f.initial for f in early + late} == {early[0].initial}
