"""A thousand accounts in a crash on a real chain: all that become unhealthy are found and sold, and nobody else.

The keeper is killed in the midst of a round, and another one goes on from what is on the chain.
"""

from __future__ import annotations

import io
import itertools
import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import numpy as np
import pytest
from web3 import HTTPProvider

from python_model import methodology, screening
from python_model.keeper import Policy
from scripts import chain, protocol
from scripts import keeper as command
from scripts.chain_state import Account, Node, View, World, books, expiries, is_preset
from scripts.keeper_records import Journal, Metrics, Purchase
from scripts.keeping import Keeper
from scripts.wallet import ApeWallet
from tests.integration.nodes import ROOT
from tests.unit import protocol_fixtures as fixtures
from tests.unit.protocol_fixtures import BTC, CALL, EMPTY, ETH, FUND, PERP, PUT, SPOT, deploy_world

pytestmark = pytest.mark.slow

COUNT = 1_000
UPDATES, FALL = 10, 0.25
# Accounts that have less than nothing from the start.
RUINED = 5
WAD = 10**18
HOUSE = methodology.load("house")
GAS = 10_000_000


@dataclass
class Stage:
    """The protocol with a thousand accounts, and where to find it."""

    world: fixtures.World
    url: str
    first: int
    fund: int = 0
    seen_from: int = 0
    logs: list[str] = field(default_factory=list)

    def node(self) -> Node:
        """A connection of its own."""
        return Node(HTTPProvider(self.url, request_kwargs={"timeout": 120}))

    def state(self) -> World:
        """What a keeper reads, through a connection of its own."""
        return World(self.world.protocol, self.node())

    def keeper(self, journal: Any = None, hedge: Callable[[Purchase], None] | None = None, **policy: Any) -> Keeper:
        """A keeper that has just been started, for the bidder."""
        w = self.world
        wallet = ApeWallet(w.bidder, w.ape_chain.provider)
        return Keeper(
            self.state(),
            HOUSE,
            Policy(**policy),
            w.bidding,
            wallet,
            Journal(journal or io.StringIO()),
            Metrics(),
            hedge=hedge,
        )

    @property
    def ids(self) -> range:
        """The thousand."""
        return range(self.first, self.first + COUNT)

    def assessed(self) -> dict[int, dict[str, int]]:
        """The chain's own figures of the thousand, one by one."""
        state = self.state()
        head = state.head()
        rows = state.node.sure([(state.views["assess"], (i,)) for i in self.ids], head.tag)
        return dict(zip(self.ids, rows, strict=True))

    def unhealthy(self) -> set[int]:
        """Whom the chain finds below maintenance margin."""
        return {i for i, row in self.assessed().items() if row["equity_maintenance"] < row["maintenance"]}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of the liquidation contract since the stage was set."""
        event = getattr(self.world.liquidation, name)
        rows = event.query("*", start_block=self.seen_from)
        return [dict(arguments) for arguments in rows["event_arguments"]]


def mine(request: Callable[[str, list[Any]], Any], rows: list[dict[str, Any]]) -> None:
    """Send transactions of unlocked accounts, and mine all of them into as few blocks as they fit in."""
    for first in range(0, len(rows), 250):
        for row in rows[first : first + 250]:
            answer = request("eth_sendTransaction", [row])
            assert "error" not in answer, answer
    while int(request("txpool_status", [])["result"]["pending"], 16):
        request("anvil_mine", ["0x1"])


def positions(rng: np.random.Generator, stage: fixtures.World) -> list[tuple[int, int, int, int, int]]:
    """One to four legs of a listing of 26 instruments: underlying, expiry, strike, kind, size; all in 1e-6."""
    legs = {}
    for _ in range(int(rng.integers(1, 5))):
        underlying = int(rng.choice([BTC, ETH]))
        unit = 10_000.0 / SPOT[underlying]
        # More buyers of risk than sellers, so that a fall hurts.
        size = round(float(rng.lognormal(0.0, 0.7)) * unit * (1 if rng.random() < 0.7 else -1), 6)
        if rng.random() < 0.5:
            key = (underlying, 0, 0, PERP)
        else:
            kind = int(rng.choice([CALL, PUT]))
            multiple = float(rng.choice([0.8, 0.95, 1.05]))
            expiry = int(rng.choice([stage.month, stage.quarter]))
            key = (underlying, expiry, chain.scaled(SPOT[underlying] * multiple, 6), kind)
            size = -size if kind == PUT else size
        legs[key] = chain.scaled(size, 6)
    return sorted((*key, size) for key, size in legs.items())


@pytest.fixture(scope="module")
def stage(project_contracts: Any, accounts: Any, ape_chain: Any) -> Iterator[Stage]:
    """A thousand accounts whose equity is 1.05 to 4 times what they need, and five that owe; the world's other side."""
    request = ape_chain.provider.web3.provider.make_request
    request("anvil_setBlockTimestampInterval", [0])
    with ape_chain.isolate():
        yield set_up(project_contracts, accounts, ape_chain, request)
    request("anvil_removeBlockTimestampInterval", [])


def set_up(contracts: Any, accounts: Any, ape_chain: Any, request: Callable[[str, list[Any]], Any]) -> Stage:
    """Deploy, open the accounts and write their books."""
    world = deploy_world(contracts, accounts, ape_chain)
    owner, house, p = world.owner, world.house, world.protocol
    # To the wei, there is no interest.
    p.money_market.set_interest_rates(EMPTY, sender=owner)
    house.set_member(owner, True, sender=owner)
    other = world.open(owner, usd=5e8)
    protocol.fund(p, world.bidder, world.bidding, usd=1e8)
    world.back(1_000_000)
    stage = Stage(world, str(ape_chain.provider.web3.provider.endpoint_uri), int(house.account_count()) + 1)

    rng = np.random.default_rng(17)
    shelves = [positions(rng, world) for _ in range(COUNT)]
    costs = [sum(s * chain.scaled(SPOT[u], 12) for u, _, _, kind, s in legs if kind == PERP) for legs in shelves]
    words = [tuple(chain.pack(*leg) for leg in legs) for legs in shelves]
    state = stage.state()
    # Some are margined by the tail of a scenario set, which the screening does not know.
    modes = np.random.default_rng(18).choice(
        [fixtures.PORTFOLIO, fixtures.VAR, fixtures.MAX], COUNT, p=[0.9, 0.05, 0.05]
    )
    bare = [Account(int(m), 0, cost, (0.0,), w) for m, cost, w in zip(modes, costs, words, strict=True)]
    market = state.market(expiries(bare), state.head())
    rows = books(bare, p.names, market.underlyings, 1)
    need = screening.reprice(rows, market, state.collateral(state.head().tag), HOUSE)
    # The tail of so volatile a market is more than the worst loss of the grid, but not by half.
    factor = rng.uniform(1.05, 4.0, COUNT) * np.where(modes == fixtures.PORTFOLIO, 1.0, 1.5)
    equity = factor * need.maintenance
    equity[:RUINED] = -500.0
    cash = [chain.wad(round(float(e), 6)) for e in equity - need.net_value]

    nonce = int(ape_chain.provider.get_nonce(owner.address))
    create, post = View.of(house.create_account), View.of(house.post)
    transactions = [(create, (int(mode),)) for mode in modes]
    transactions += [(post, (i, list(w), c, cost)) for i, w, c, cost in zip(stage.ids, words, cash, costs, strict=True)]
    whole: dict[int, int] = {}
    for word in (word for w in words for word in w):
        whole[word >> 144] = whole.get(word >> 144, 0) + fixtures.size_of(word)
    log_strikes = {word >> 144: word & (2**80 - 1) for w in words for word in w}
    opposite = sorted((key << 144) | ((-size % 2**64) << 80) | log_strikes[key] for key, size in whole.items() if size)
    transactions.append((post, (other, opposite, -sum(cash), -sum(costs))))
    request("evm_setAutomine", [False])
    mine(
        request,
        [
            {
                "from": owner.address,
                "to": view.address,
                "data": view.data(*arguments),
                "gas": hex(GAS if arguments[0] == other else 2_000_000),
                "nonce": hex(nonce + k),
            }
            for k, (view, arguments) in enumerate(transactions)
        ],
    )
    request("evm_setAutomine", [True])
    assert int(house.account_count()) == stage.ids[-1]
    assert list(house.book(other)) == opposite
    stage.fund = int(house.cash(FUND))
    stage.seen_from = int(ape_chain.blocks.head.number)
    return stage


def fall(stage: Stage, factor: float, seconds: int = 120) -> None:
    """A price update some time later."""
    stage.world.wait(seconds)
    for underlying in (BTC, ETH):
        stage.world.move(factor, underlying)


def killed(stage: Stage) -> int:
    """A keeper's process, killed when it has sent some; how many auctions and sales it left behind."""
    process = multiprocessing.get_context("fork").Process(target=lambda: stage.keeper().round())
    before = len(stage.events("AuctionStarted"))
    head = stage.world.ape_chain.blocks.height
    process.start()
    while process.is_alive() and stage.world.ape_chain.blocks.height < head + 8:
        time.sleep(0.005)
    assert process.is_alive(), "it was to be killed in the midst of its round"
    process.kill()
    process.join()
    assert process.exitcode == -9
    # What it had handed over is mined all the same.
    before_that = -1
    while stage.world.ape_chain.blocks.height != before_that:
        before_that = stage.world.ape_chain.blocks.height
        time.sleep(1.0)
    return len(stage.events("AuctionStarted")) - before


def test_a_crash(stage):
    began = time.monotonic()
    keeper = stage.keeper()
    calm = keeper.round()
    ruined = set(stage.ids[:RUINED])
    assert set(calm.unhealthy) == ruined == stage.unhealthy()
    assert calm.accounts == stage.ids[-1] and calm.done == {"start": RUINED}

    ever: set[int] = set(ruined)
    seconds = []
    for update in range(1, UPDATES + 1):
        fall(stage, 1.0 - FALL * update / UPDATES)
        below = stage.unhealthy()
        ever |= below
        if update == UPDATES // 2:
            left = killed(stage)
            below_now = stage.unhealthy()
            assert left > 0 and below_now, "it had begun, and had not ended"
            keeper = stage.keeper()
            report = keeper.round()
            assert set(report.unhealthy) == below_now <= below
        else:
            report = keeper.round()
            assert set(report.unhealthy) == below, "all are found within the update, and nobody else"
        started = {row["account"] for row in stage.events("AuctionStarted")}
        assert below <= started
        assert report.failed == 0
        seconds.append(sum(report.seconds.values()))
    sold_in_time = {row["account"] for row in stage.events("Sold")}
    # What nobody bought at the discount so far is bought later, what has no net value when the fund pays enough.
    for _ in range(8):
        fall(stage, 1.0 - FALL, 600)
        ever |= stage.unhealthy()
        keeper.round()
        if not stage.unhealthy():
            break
    assert stage.unhealthy() == set()
    keeper.round()
    state = stage.state()
    assert state.auctions(list(stage.ids), state.head().tag) == {}, "what is over is ended"

    sold = stage.events("Sold")
    started = {row["account"] for row in stage.events("AuctionStarted")}
    assert {row["account"] for row in sold} <= ever and started == ever, "none that was healthy was touched"
    assert ever - ruined and len(ever) > 150
    by_tail = {i for i in ever - ruined if stage.world.house.mode_of(i) > fixtures.PORTFOLIO}
    assert len(by_tail) >= 5, "tail accounts became unhealthy too, and were found and sold"
    assert len(sold_in_time - ruined) > 0.8 * len(ever - ruined)
    print(
        f"\n{COUNT} accounts, {len(ever)} unhealthy, {len(sold)} sales; rounds of {np.mean(seconds):.2f} s, "
        f"{max(seconds):.2f} s at most; {time.monotonic() - began:.0f} s in all"
    )
    check_fund(stage, sold, ruined)
    check_ledger(stage)


def check_fund(stage: Stage, sold: list[dict[str, Any]], ruined: set[int]) -> None:
    """The fund's cash has changed by what events say: fees, what it paid to bidders and starters, debts absorbed."""
    fees = sum(row["fund"] for row in sold if row["fund"] > 0)
    paid = sum(-row["fund"] for row in sold if row["fund"] < 0)
    insolvent = [row for row in stage.events("AuctionStarted") if row["insolvent"]]
    rewards = sum(row["reward"] for row in insolvent)
    absorbed = sum(row["debt"] for row in stage.events("Absorbed"))
    assert {row["account"] for row in insolvent} == ruined and rewards > 0
    assert fees > 0 and paid >= RUINED * 500 * WAD
    assert int(stage.world.house.cash(FUND)) - stage.fund == fees - paid - rewards - absorbed


def check_ledger(stage: Stage) -> None:
    """INV-01 and INV-02 over all accounts."""
    state, house = stage.state(), stage.world.house
    ids = list(range(1, int(house.account_count()) + 1))
    accounts = state.accounts(ids, 1, state.head().tag)
    sums: dict[int, int] = {}
    for account in accounts.values():
        for word in account.words:
            sums[word >> 144] = sums.get(word >> 144, 0) + fixtures.size_of(word)
    assert not any(sums.values()), "INV-01"
    total = int(house.reserve()) + sum(a.cash - a.cost for a in accounts.values())
    assert total == int(house.credited(fixtures.QUOTE)) * 10**12, "INV-02"


# ------------------------------------------------------------------------------------------------ what it is made of


def lines(journal: io.StringIO) -> list[dict[str, Any]]:
    """The structured log."""
    return [json.loads(line) for line in journal.getvalue().splitlines()]


@pytest.fixture
def fallen(stage, ape_chain):
    """The stage after a fall of a fifth, undone afterwards."""
    with ape_chain.isolate():
        fall(stage, 0.8)
        yield stage


def test_the_screening_is_the_chain_to_rounding(fallen):
    state = fallen.state()
    head = state.head()
    ids = list(fallen.ids)
    accounts = state.accounts(ids, 1, head.tag)
    market = state.market(expiries(accounts.values()), head)
    rows = books([accounts[i] for i in ids], fallen.world.protocol.names, market.underlyings, 1)
    got = screening.reprice(rows, market, state.collateral(head.tag), HOUSE, workers=2)
    want = fallen.assessed()
    for k, i in enumerate(ids):
        row = want[i]
        for name in ("equity_initial", "net_value", "option_value"):
            assert getattr(got, name)[k] == pytest.approx(row[name] / WAD, abs=got.doubt[k] + 1e-6)
        if accounts[i].by_tail:
            # What it needs the chain is asked in each round.
            continue
        excess = (row["equity_maintenance"] - row["maintenance"]) / WAD
        assert excess <= got.excess[k] + 1e-6 and got.excess[k] - got.doubt[k] <= excess, i
        assert got.initial[k] == pytest.approx(row["initial"] / WAD, abs=got.doubt[k] + 1e-6)


def test_a_dry_run_says_what_it_would_send_and_sends_nothing(fallen):
    journal = io.StringIO()
    keeper = fallen.keeper(journal)
    keeper.wallet = None
    height = fallen.world.ape_chain.blocks.height
    report = keeper.round()
    assert set(report.unhealthy) == fallen.unhealthy() and report.done == {}
    assert fallen.world.ape_chain.blocks.height == height
    said = [row for row in lines(journal) if row["event"] == "would send"]
    assert {row["account"] for row in said if row["act"] == "start"} == set(report.unhealthy)


def test_purchases_are_told_to_the_hedge_and_counted(fallen):
    told: list[Purchase] = []

    def hedge(purchase: Purchase) -> None:
        told.append(purchase)
        if len(told) == 1:
            raise RuntimeError("the exchange is down")

    journal = io.StringIO()
    keeper = fallen.keeper(journal, hedge)
    report = keeper.round()
    bought = [row for row in lines(journal) if row["event"] == "bought"]
    assert len(told) == len(bought) == report.done["solvent"] > 10
    assert [row["why"] for row in lines(journal) if row["event"] == "hedge failed"] == [
        "RuntimeError: the exchange is down"
    ]
    sold = {row["account"]: row for row in fallen.events("Sold")}
    for purchase in told:
        event = sold[purchase.account]
        assert purchase.fraction == pytest.approx(event["fraction"] / WAD, rel=1e-12)
        assert purchase.price == pytest.approx(event["price"] / WAD, rel=1e-12)
        assert set(purchase.delta) == {"BTC", "ETH"}
    metric = keeper.metrics.registry.get_sample_value
    assert metric("keeper_transactions_total", {"act": "solvent", "outcome": "done"}) == len(told)
    assert metric("keeper_unhealthy") == len(report.unhealthy)
    assert metric("keeper_bought_usd_total") == pytest.approx(
        sum(row["fraction"] * row["net_value"] / WAD**2 for row in sold.values())
    )


def test_a_poor_bidder_starts_and_buys_what_it_can(fallen):
    world = fallen.world
    poor = world.open(world.bidder, usd=3_000)
    keeper = fallen.keeper()
    keeper.bidder = poor
    report = keeper.round()
    assert report.done["start"] == len(report.unhealthy) and report.failed == 0
    figures = world.figures(poor)
    assert figures.equity_initial >= figures.initial and report.done.get("solvent", 0) < len(report.unhealthy)


def test_a_reorganisation_is_noticed(stage, ape_chain):
    journal = io.StringIO()
    keeper = stage.keeper(journal)
    keeper.wallet = None
    with ape_chain.isolate():
        fall(stage, 0.8)
        assert len(keeper.round().unhealthy) > 100
    fall(stage, 1.0, 60)
    report = keeper.round()
    assert set(report.unhealthy) == set(stage.ids[:RUINED])
    assert report.read == report.accounts
    assert [row["event"] for row in lines(journal)].count("reorganised") == 1


def test_a_node_that_is_gone_is_tried_again(stage):
    journal = io.StringIO()
    keeper = stage.keeper(journal)
    keeper.wallet = None
    good, keeper.world.node.provider = keeper.world.node.provider, HTTPProvider("http://127.0.0.1:9")
    assert not keeper.run(0.05, lambda: False, once=True)
    (row,) = lines(journal)
    assert row["event"] == "failed" and "the node does not answer" in row["why"]
    keeper.world.node.provider = good
    # Told to stop right after the first round.
    told = itertools.chain([False], itertools.repeat(True))
    assert keeper.run(0.05, lambda: next(told))
    assert lines(journal)[-1]["event"] == "round"


def test_another_preset_is_not_taken_for_the_chains(stage):
    state = stage.state()
    (compiled,) = state.node.sure([(state.views["compiled"], ())], state.head().tag)
    names = stage.world.protocol.names
    assert [name for name in methodology.grids() if is_preset(compiled, methodology.load(name), names)] == ["house"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None), "--bidder: missing"),
        ((FUND, None), "--bidder: must be an account from 2"),
        ((10**6, None), "--bidder: must be an account from 2"),
        (("bidding", "stranger"), "may not trade for account"),
    ],
)
def test_errors_say_what_to_do(stage, arguments, message):
    bidder, user = arguments
    account = stage.world.bidding if bidder == "bidding" else bidder
    address = None if user is None else str(getattr(stage.world, user).address)
    with pytest.raises(click.UsageError) as error:
        command.check_bidder(stage.state(), account, address)
    assert message in error.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [("nothing", "must be module:name"), ("no_such_module:x", "No module named"), ("json:__doc__", "is not callable")],
)
def test_a_hook_that_is_none_is_named(text, message):
    with pytest.raises(click.UsageError) as error:
        command.read_hedge(text)
    assert error.value.message.startswith("--hedge: ") and message in error.value.message


def test_rules_that_are_none_are_named():
    with pytest.raises(click.UsageError, match=r"--minimum-profit: must be a number"):
        command.read_policy(minimum_profit=-1.0)


def test_the_command_on_a_deployment(fallen, tmp_path):
    p = fallen.world.protocol
    rows = {key: {"address": str(contract.address)} for key, contract in p.contracts.items()}
    # What ape takes a local chain for that it knows by its address alone.
    file = {"chain_id": 1337, "underlyings": p.names, "contracts": rows, "tokens": rows}
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(file))

    def run(*options: str) -> Any:
        network = ("--network", f"ethereum:local:{fallen.url}")
        full = ["ape", "run", "keeper", "--deployment", str(path), "--once", "--dry-run", *network, *options]
        return subprocess.run(full, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    done = run("--bidder", str(fallen.world.bidding))
    assert done.returncode == 0, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["event"] for row in said if row["event"] != "would send" and row["event"] != "left"] == [
        "watching",
        "round",
        "stopped",
    ]
    assert next(row for row in said if row["event"] == "round")["unhealthy"] == len(fallen.unhealthy())
    bad = run()
    assert bad.returncode == 2 and "--bidder: missing" in bad.stderr
