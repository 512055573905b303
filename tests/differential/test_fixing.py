"""While a settlement price is being fixed, what is fixed of a forward moves no more: contract against model (M-4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import methodology, settlement
from python_model.portfolio import SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from scripts import chain
from tests.differential import strategies
from tests.differential.comparison import Differences
from tests.unit.market_data.course import DAY, EIGHT, LATE

pytestmark = pytest.mark.differential

NAME, ID = "ETH", 2
NAMES = {NAME: ID}
HOUSE = methodology.load("house")
OPENING = EIGHT - settlement.WINDOW_SECONDS
# Least confidence of a spot that is not fresh.
STALE_CONFIDENCE = 0.05


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """The house engine, without data."""
    return chain.deploy_engine(project_contracts, deployer, [HOUSE], NAMES)


class Fixing:
    """A course of spot published up to some moment of a window, and the market that the model sees then."""

    def __init__(self, deployment: chain.Deployment, states: list[tuple[int, float]], market: Market) -> None:
        self.deployment, self.now = deployment, market.as_of
        u = market.underlyings[NAME]
        for time, spot in states:
            rows = u.expiries if time == states[-1][0] else ()
            state = replace(u, spot=spot, perp_mark=spot, expiries=rows)
            update = chain.update(ID, state, time, chain.Clock(0))
            deployment.market_data.publish(update, sender=deployment.sender)
        times, spots = np.array([t for t, _ in states], dtype=np.int64), np.array([s for _, s in states])
        rows = tuple(self.rounded(settlement.as_read(e, times, spots, self.now)) for e in u.expiries)
        # A spot that is not fresh is doubted by the contract, of which the model knows nothing.
        stale = self.now > states[-1][0] + chain.HEARTBEAT_SECONDS
        confidence = max(u.confidence, STALE_CONFIDENCE) if stale else u.confidence
        self.market = Market(self.now, {NAME: replace(u, confidence=confidence, expiries=rows)})

    def rounded(self, row: Expiry) -> Expiry:
        """With the forward of the contract, which is rounded to 1e-9."""
        words, _ = chain.call_at(self.deployment.market_data.read, self.now, ID, [row.expiry])
        forward = (words[1] >> 184) / 10**9
        assert abs(forward - row.forward) <= 2e-9
        assert words[2] & 65_535 == round(row.fixed * settlement.SHARES)
        return replace(row, forward=forward)

    def explain(self, book: Book) -> Any:
        """Of the report, of a book entered at prices of this market."""
        account = chain.account(book, self.market, NAMES, chain.Clock(0))
        return chain.call_at(self.deployment.reports[HOUSE.name].explain, self.now, account)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[tuple[int, float]], Market, Book]:
    """Spot at up to three moments, then a time in the window or behind it, and a book."""
    offsets = draw(st.lists(st.integers(-2400, 1700), min_size=1, max_size=3, unique=True))
    spots = strategies.decimals(1800.0, 2200.0, 2)
    states = [(OPENING + offset, draw(spots)) for offset in sorted(offsets)]
    time, spot = states[-1]
    now = draw(st.one_of(st.integers(time, EIGHT + 300), st.sampled_from([time, EIGHT])))
    rows = []
    for expiry in (EIGHT, EIGHT + 7 * DAY):
        forward = round(spot * draw(strategies.decimals(0.95, 1.05, 4)), 9)
        surface = draw(strategies.surfaces(forward, expiry - time))
        rows.append(Expiry(expiry, forward, draw(strategies.decimals(-0.2, 0.3, 3)), surface))
    market = Market(now, {NAME: Underlying(spot, 0.001, 0.16, spot, tuple(rows))})
    return states, market, draw(strategies.books(market, (Mode.PORTFOLIO, Mode.CROSS)))


@given(situation=situations())
def test_every_figure_is_the_model_s(deployment, ape_chain, situation):
    states, market, book = situation
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        fixing = Fixing(deployment, states, market)
        assessment, reports = fixing.explain(book)
        Differences().compare(assessment, reports, NAMES, book, fixing.market, HOUSE)


def test_a_hedge_that_expires_covers_less_and_less(deployment, ape_chain):
    """A perpetual against a future that expires: half way through the window half of it is open, in the end nothing.

    With the whole of either moving, the two would need nothing, and the loss of the perpetual were not margined.
    """
    spot = 2000.0
    hedge = (Position(NAME, Kind.PERP, 1.0), Position(NAME, Kind.FUTURE, -1.0, EIGHT))
    book = Book(Mode.PORTFOLIO, 0.0, (), hedge)
    surface = SVI(0.0, 0.001, 0.0, 0.0, 0.1, 1 / 365, spot)
    scans = []
    for seconds in (0, 900, 1800):
        with ape_chain.isolate():
            ape_chain.pending_timestamp = LATE
            market = Market(
                OPENING + seconds,
                {NAME: Underlying(spot, 0.001, 0.16, spot, (Expiry(EIGHT, spot, 0.0, surface),))},
            )
            _, reports = Fixing(deployment, [(OPENING - 60, spot)], market).explain(book)
            scans.append(reports[0].scan / 10**18)
    # The extremes: a quarter of a move of four ranges.
    whole = spot * 0.16
    assert scans == pytest.approx([0.0, whole * 0.5, whole], rel=2e-5)
