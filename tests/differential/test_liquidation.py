"""Decision 8, INV-09: auctions of random distressed accounts, on Anvil against the float model."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from python_model import liquidation, methodology
from python_model.portfolio import Book, Market, Mode
from scripts import chain
from tests.differential import auctions
from tests.differential.auctions import WAD, Bench, Situation
from tests.differential.comparison import figures_tolerance
from tests.differential.strategies import NAMES, books, markets

pytestmark = pytest.mark.differential

# Four accounts each, few of which are too near to no net value: over 300 in profile ci, 3,000 in profile deep.
EXAMPLES = 850 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 88
PRESETS = {name: methodology.load(name) for name in ("house", "span")}
MODES = (Mode.PORTFOLIO, Mode.PORTFOLIO, Mode.CROSS, Mode.ISOLATED)
# Since the auction was started: around both ends of each part of each price.
ELAPSED = [0, 1, 450, 899, 900, 901, 3599, 3600, 3601, 7199, 7200, 7201, 20_000, 43_199, 43_200, 43_201]


@st.composite
def distressed(draw: st.DrawFn, market: Market) -> tuple[Book, str]:
    """An account whose cash is so that `E_mm` is below `MM` by a thousandth to twice of it, and by what may be told."""
    preset = draw(st.sampled_from(sorted(PRESETS)))
    book = draw(books(market, MODES))
    if book.mode is Mode.ISOLATED:
        book = replace(book, positions=book.positions[:1])
    f = liquidation.figures(book, market, PRESETS[preset])
    missing = 10.0 ** draw(st.floats(-3.0, 0.3)) * max(f.maintenance, 100.0)
    missing += 4 * figures_tolerance(book, market, PRESETS[preset])
    cash = book.cash + f.maintenance - f.equity_maintenance - missing
    return replace(book, cash=round(cash, 6)), preset


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Market, tuple[tuple[Book, str], ...]]:
    """A market, and four distressed accounts on it."""
    market = draw(markets())
    return market, tuple(draw(distressed(market)) for _ in range(4))


@pytest.fixture(scope="module")
def bench(project_contracts: Any, deployer: Any, ape_chain: Any) -> Bench:
    """Market data, an engine for each preset, and the liquidation contract."""
    deployment = chain.deploy_engine(project_contracts, deployer, list(PRESETS.values()), chain.ids(NAMES))
    return Bench(project_contracts, deployment, ape_chain, {})


@pytest.fixture(scope="module")
def sold() -> Any:
    """How many accounts were asked about, and how many bids of each kind were awarded; printed at the end."""
    count: Counter[str] = Counter()
    yield count
    print(f"\n{dict(count)}")


elapsed = st.sampled_from(ELAPSED) | st.integers(0, 45_000)
shares = st.sampled_from([WAD // 10, WAD // 3, WAD]) | st.integers(WAD // 10, WAD)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    scene=scenes(),
    waited=elapsed,
    share=shares.map(lambda n: Fraction(n, WAD)),
    leg=st.floats(0.0, 1.0),
    loss=st.floats(-0.02, 0.1),
)
def test_every_bid_is_judged_as_by_the_model(
    bench: Bench, sold: Any, scene: Any, waited: int, share: Fraction, leg: float, loss: float
) -> None:
    market, accounts = scene
    a = bench.open()
    names = bench.deployment.names
    clock, time = bench.publish(market, waited)
    for book, preset in accounts:
        state = chain.account(book, market, names, clock)
        s = Situation(book, market, PRESETS[preset], *bench.ages(a, time), share, leg, loss)
        if abs(s.figures.net_value) <= 4 * s.tolerance:
            continue
        sold["accounts"] += 1
        sold[book.mode.value] += 1
        for case in auctions.cases(s, a, names, clock):
            was_sold = auctions.compare(bench, preset, time, state, s, case)
            sold[case.name] += was_sold
