"""VaR, ES and the margin that stands on them: the contracts on Anvil against the float model (M-18 to M-20)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from python_model import methodology
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Position
from python_model.scenario_set import ScenarioSet
from scripts import chain, normal_table
from tests.differential import strategies
from tests.differential.tail_comparison import (
    DAY,
    Differences,
    Setting,
    deploy,
    draw,
    of_rows,
)
from tests.differential.test_fixing import LATE, Fixing
from tests.differential.test_fixing import situations as fixing_situations
from tests.model import books
from tests.model.books import NOW, future, option, perp

pytestmark = pytest.mark.differential

# Two books a situation: 120 in profile ci.
EXAMPLES = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
BOOKS = 2
MAX_LEGS = 32
NAMES = chain.ids(strategies.NAMES)


def rows(count: int, seed: int) -> ScenarioSet:
    """Random rows; the first ones at the ends of what a set may hold, where there is room for them."""
    x, y = draw(seed, strategies.NAMES, count)
    ends = [(0.0, 0.0), (50.0, 10.0), (-50.0, -0.95), (-50.0, 10.0), (50.0, -0.95)][: count // 5]
    for i, (price, vol) in enumerate(ends):
        x[i], y[i] = price, vol
    return of_rows(strategies.NAMES, x, y)


SETTINGS = (
    Setting(methodology.load("house"), rows(250, 1), 3),
    Setting(methodology.load("var"), rows(256, 2), 32, 10 * DAY),
    Setting(methodology.load("span"), rows(5, 3), 5, 3600),
    Setting(methodology.load("house"), rows(1, 4), 1, 30 * DAY),
)


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """Market data and a kernel."""
    return chain.deploy_engine(project_contracts, deployer, [], NAMES)


@pytest.fixture(scope="module")
def engines(project_contracts: Any, deployer: Any, deployment: chain.Deployment) -> list[Any]:
    """An engine of each setting."""
    tail_kernel = deployer.deploy(project_contracts.TailKernel, normal_table.words())

    def create(name: str, *arguments: Any) -> Any:
        return deployer.deploy(getattr(project_contracts, name), *arguments)

    kernels = (deployment.kernel, tail_kernel)
    return [deploy(create, setting, NAMES, deployment.market_data, kernels) for setting in SETTINGS]


@pytest.fixture(scope="module")
def differences() -> Any:
    """Errors over the whole module, printed at its end."""
    seen = Differences()
    yield seen
    print(f"\n{seen.books} books")
    for name, share in sorted(seen.largest.items(), key=lambda row: -row[1]):
        print(f"  {name:20s} {share:8.4f} of its tolerance")


@st.composite
def situations(draw: st.DrawFn) -> tuple[Market, list[tuple[int, Book]]]:
    """A market, and books with the setting that each is assessed in."""
    market = draw(strategies.markets())

    def book() -> Book:
        count = draw(st.sampled_from([1, 2, 4, 8, 16, MAX_LEGS]))
        legs = draw(st.lists(strategies.positions(market), min_size=count // 2, max_size=count))
        mode = draw(st.sampled_from([Mode.PORTFOLIO] * 4 + [Mode.CROSS]))
        return Book(
            mode,
            draw(strategies.decimals(-1e5, 1e5, 2)),
            tuple(draw(st.lists(strategies.holdings(market), max_size=2))),
            tuple(legs[:6] if mode is Mode.CROSS else legs),
        )

    return market, [(draw(st.integers(0, len(SETTINGS) - 1)), book()) for _ in range(BOOKS)]


def ask(engine: Any, account: Any, time: int) -> tuple[Any, Any]:
    """What an engine says of an account at a time of the chain."""
    return chain.call_at(engine.assess, time, account), chain.call_at(engine.tail, time, account)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(situation=situations())
def test_every_figure_agrees(deployment, engines, differences, ape_chain, situation):
    """INV-06; and no admissible book makes the engine revert. Volatility is that of the first publication."""
    market, drawn = situation
    with ape_chain.isolate():
        now = ape_chain.blocks.head.timestamp + 10
        ape_chain.pending_timestamp = now
        clock = chain.publish(deployment, market, now)
        for i, book in drawn:
            account = chain.account(book, market, NAMES, clock)
            assessment, tail = ask(engines[i], account, clock.chain(market.as_of))
            learnt = chain.learnt(deployment, market)
            differences.compare(assessment, tail, book, learnt, SETTINGS[i])


@settings(max_examples=20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(situation=fixing_situations())
def test_what_a_settlement_has_fixed_moves_no_more(deployment, engines, differences, ape_chain, situation):
    states, market, book = situation
    with ape_chain.isolate():
        ape_chain.pending_timestamp = LATE
        fixing = Fixing(deployment, states, market)
        account = chain.account(book, fixing.market, NAMES, chain.Clock(0))
        assessment, tail = ask(engines[0], account, fixing.now)
        learnt = chain.learnt(deployment, fixing.market)
        differences.compare(assessment, tail, book, learnt, SETTINGS[0])


# --- what holds of the two scans -------------------------------------------------------------------------------------

CONDOR = (
    option("ETH", Kind.PUT, 30, 0.8, 5.0),
    option("ETH", Kind.PUT, 30, 0.9, -5.0),
    option("ETH", Kind.CALL, 30, 1.1, -5.0),
    option("ETH", Kind.CALL, 30, 1.2, 5.0),
)
CASES = {
    "nothing": (),
    "long call": (option("ETH", Kind.CALL, 30, 1.0, 3.25),),
    "condor": CONDOR,
    "condors of two": (*CONDOR, *(replace(p, underlying="BTC", strike=(p.strike or 0) * 35) for p in CONDOR)),
    "pair": (perp("ETH", 35.0, 1950.0), perp("BTC", -1.0, 71_000.0)),
    "calendar": (future("ETH", 30, 10.0, 1900.0), future("ETH", 180, -9.0, 2100.0)),
}


@pytest.fixture
def published(deployment, ape_chain):
    """The model's test market, and its clock."""
    with ape_chain.isolate():
        now = ape_chain.blocks.head.timestamp + 10
        ape_chain.pending_timestamp = now
        yield chain.publish(deployment, books.MARKET, now)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("setting", range(len(SETTINGS)))
def test_cases(deployment, engines, differences, published, case, setting):
    book = Book(Mode.PORTFOLIO, 1e4, (), CASES[case])
    assessment, tail = ask(engines[setting], chain.account(book, books.MARKET, NAMES, published), published.chain(NOW))
    learnt = chain.learnt(deployment, books.MARKET)
    differences.compare(assessment, tail, book, learnt, SETTINGS[setting])


@pytest.mark.parametrize("case", CASES)
def test_the_larger_of_the_two_scans(project_contracts, deployer, deployment, engines, published, case):
    """Never less than the margin engine with the same grid asks for, and neither less than the ES alone does."""
    data = deployer.deploy(project_contracts.Methodology, *chain.methodology_arguments(SETTINGS[0].methodology, NAMES))
    grid = deployer.deploy(
        project_contracts.MarginEngine,
        deployment.market_data,
        data,
        deployment.kernel,
        chain.ALL_PASSES,
        chain.NO_TAILS,
    )
    book = Book(Mode.PORTFOLIO, 1e4, (), CASES[case])
    account, time = chain.account(book, books.MARKET, NAMES, published), published.chain(NOW)
    both, alone = (chain.call_at(engine.assess, time, account) for engine in (engines[0], grid))
    assert both.maintenance >= alone.maintenance and both.initial >= alone.initial
    same = ("equity_maintenance", "equity_initial", "net_value", "option_value", "fresh", "stale_value")
    assert [getattr(both, key) for key in same] == [getattr(alone, key) for key in same]


def test_a_sum_of_parts_takes_each_part_by_itself(engines, published):
    time = published.chain(NOW)

    def assessed(mode: Mode, legs: tuple[Position, ...], collateral: tuple[Collateral, ...] = ()) -> Any:
        account = chain.account(Book(mode, 0.0, collateral, legs), books.MARKET, NAMES, published)
        return chain.call_at(engines[0].assess, time, account)

    ether = Collateral(4.5, 2000.0, "ETH", 0.06, 0.04)
    legs = CASES["condors of two"]
    whole = assessed(Mode.CROSS, legs, (ether,))
    parts = [assessed(Mode.PORTFOLIO, (leg,)) for leg in legs] + [assessed(Mode.PORTFOLIO, (), (ether,))]
    for key in ("maintenance", "initial", "isolated"):
        assert getattr(whole, key) == sum(getattr(part, key) for part in parts)


def test_an_underlying_that_the_set_lacks_is_an_error(project_contracts, deployer, deployment, published):
    def create(name: str, *arguments: Any) -> Any:
        return deployer.deploy(getattr(project_contracts, name), *arguments)

    ether = Setting(SETTINGS[0].methodology, of_rows(["ETH"], *draw(1, ["ETH"], 250)), 3)
    tail_kernel = create("TailKernel", normal_table.words())
    engine = deploy(create, ether, NAMES, deployment.market_data, (deployment.kernel, tail_kernel))
    time = published.chain(NOW)
    for book, known in (
        (Book(Mode.PORTFOLIO, 0.0, (), CASES["condor"]), True),
        (Book(Mode.PORTFOLIO, 0.0, (), CASES["pair"]), False),
        (Book(Mode.CROSS, 0.0, (), CASES["pair"]), False),
        (Book(Mode.PORTFOLIO, 0.0, (Collateral(1.0, 100.0, "SOL", 0.1, 0.1),)), False),
        # Worth nothing, and so no part of the risk.
        (Book(Mode.PORTFOLIO, 0.0, (Collateral(0.0, 100.0, "SOL", 0.1, 0.1),)), True),
    ):
        account = chain.account(book, books.MARKET, NAMES, published)
        if known:
            ask(engine, account, time)
            continue
        for view in (engine.assess, engine.tail):
            with pytest.raises(RuntimeError, match="tail: underlying"):
                chain.call_at(view, time, account)


@pytest.mark.parametrize(
    ("k", "horizon", "field"),
    [(0, DAY, "count"), (33, DAY, "count"), (6, DAY, "count"), (3, 0, "horizon"), (3, 30 * DAY + 1, "horizon")],
)
def test_a_scan_refuses(project_contracts, deployer, deployment, engines, ape_chain, k, horizon, field):
    """More losses than rows, or than places for them, or a horizon of nothing or of years."""
    count = 5 if k == 6 else 250
    rows_ = deployer.deploy(project_contracts.ScenarioSet, *chain.scenario_set_arguments(rows(count, 9), NAMES))
    data = engines[0].methodology()
    constructor = project_contracts.TailScan.constructor
    arguments = (deployment.market_data.address, data, chain.NOBODY, rows_.address, k, horizon)
    code = bytes(constructor.deployment_bytecode) + bytes(constructor.encode_input(*arguments))
    answer = ape_chain.provider.web3.provider.make_request("eth_call", [{"data": "0x" + code.hex()}, "latest"])
    assert answer["error"]["message"].endswith(f"tail: {field}")
