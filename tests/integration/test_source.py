"""`ape run source` as its users run it: from an oracle's price to what market data believe afterwards."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts import adapters, chain, feed, protocol, source
from tests.integration.nodes import PASSPHRASE, Done, Node, User, anvil, with_accounts
from tests.unit.feeds.outside import rude, words
from tests.unit.market_data.updates import FALL, RISE, Terms, Update

pytestmark = pytest.mark.slow

SEPOLIA = 11155111
NANO = 10**9
# Of the terms that are compared with, 1e-12.
WIDEST = 2 * 10**10
# Longer than a command takes.
HEARTBEAT, MAX_AGE = 3_600, 600
PRICE_ID = "0x" + "ab" * 32
NOT_FOUND, TOO_WIDE = 1, 2
# USD.
ETH, BTC = 2_000, 80_000


# -------------------------------------------------------------------------------------------- a deployment elsewhere


@dataclass(frozen=True)
class Stage:
    """A deployment that ETH is published of and BTC is not, oracles, and who owns it and who does not."""

    node: Node
    user: User
    contracts: Any
    path: Path
    aggregator: Any
    pyth: Any

    @property
    def file(self) -> dict[str, Any]:
        """The deployment file."""
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def market_data(self) -> Any:
        return self.at("MarketData", self.file["contracts"]["market_data"]["address"])

    @property
    def passer_by(self) -> dict[str, Any]:
        """Somebody with ether, as the sender of a transaction."""
        return {"from": self.node.web3.eth.accounts[5]}

    @property
    def now(self) -> int:
        return int(self.node.web3.eth.get_block("latest")["timestamp"])

    def at(self, container: str, address: str) -> Any:
        """A contract of the project, of web3."""
        abi = [entry.model_dump(mode="json") for entry in getattr(self.contracts, container).contract_type.abi]
        return self.node.web3.eth.contract(address=address, abi=abi)

    def create(self, container: str, *arguments: Any) -> Any:
        """A contract that has nothing to do with the deployment."""
        contract_type = getattr(self.contracts, container).contract_type
        abi = [entry.model_dump(mode="json") for entry in contract_type.abi]
        bytecode = contract_type.deployment_bytecode.bytecode
        sent = self.node.web3.eth.contract(abi=abi, bytecode=bytecode).constructor(*arguments).transact(self.passer_by)
        return self.at(container, self.node.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"])

    def send(self, call: Any) -> Any:
        """The receipt of a call by a passer-by."""
        receipt = self.node.web3.eth.wait_for_transaction_receipt(call.transact(self.passer_by))
        assert receipt["status"] == 1
        return receipt

    def wait(self, seconds: int = 1) -> None:
        """Let time pass."""
        self.node.web3.provider.make_request("evm_increaseTime", [seconds])
        self.node.web3.provider.make_request("evm_mine", [])

    def quote(self, usd: float) -> None:
        """Chainlink says so now, later than anything published."""
        self.wait()
        self.send(self.aggregator.functions.push(chain.scaled(usd, 8)))

    def quote_pyth(self, usd: float, half_width: float) -> None:
        """Pyth says so now."""
        self.wait()
        price = (chain.scaled(usd, 8), chain.scaled(half_width, 8), -8, self.now)
        code = self.node.web3.codec.encode(
            ["(bytes32,(int64,uint64,int32,uint256),(int64,uint64,int32,uint256))", "uint64"],
            [(bytes.fromhex(PRICE_ID[2:]), price, price), self.now - 1],
        )
        self.send(self.pyth.functions.updatePriceFeeds([code]))

    def publish(self, name: str, usd: float) -> int:
        """Sign a price and bring it; the doubt of market data, 0 for none."""
        self.wait()
        file = self.file
        update = (file["underlyings"][name], self.now, *[chain.scaled(usd, 9)] * 2, 0, [])
        deadline = self.now + 600
        key = json.loads((Path(self.user.environment["APE_DATA_FOLDER"]) / "accounts" / "owner.json").read_text())
        address = file["contracts"]["signed_feed"]["address"]
        said = feed.message(SEPOLIA, address, update, deadline)
        signed = Account.sign_message(said, Account.decrypt(key, PASSPHRASE)).signature
        receipt = self.send(self.at("SignedFeed", address).functions.submit(update, deadline, [bytes(signed)]))
        return self.doubt(receipt)

    def doubt(self, receipt: Any) -> int:
        """Of the update that a transaction brought."""
        events = self.market_data.events
        doubted = [event for log in receipt["logs"] for event in self._events(events.UpdateDoubted(), log)]
        taken = [event for log in receipt["logs"] for event in self._events(events.MarketUpdated(), log)]
        assert len(doubted) + len(taken) == 1
        return doubted[0]["args"]["doubt"] if doubted else 0

    @staticmethod
    def _events(kind: Any, log: Any) -> list[Any]:
        same = log["topics"][0].hex().removeprefix("0x") == kind.topic.removeprefix("0x")
        return [kind.process_log(log)] if same else []

    def terms(self, name: str) -> dict[str, Any]:
        """Of an underlying, as market data have them."""
        answer = self.market_data.functions.terms(self.file["underlyings"][name]).call()
        return dict(zip(source.TERMS, answer, strict=True))

    def dynamics(self, name: str) -> tuple[int, int]:
        """Where the scan range is and where it goes."""
        return tuple(self.market_data.functions.dynamics(self.file["underlyings"][name]).call()[:2])

    def run(self, *arguments: str, account: str = "owner") -> Done:
        """Run the command under test."""
        network = f"ethereum:sepolia:{self.node.url}"
        common = ("--network", network, "--deployment", str(self.path), "--account", account)
        return self.user.run("ape", "run", "source", *arguments, *common)

    def chainlink(self, name: str = "ETH", *options: str, account: str = "owner") -> Done:
        terms = ("--heartbeat", str(HEARTBEAT), "--least", "1", "--greatest", "1e6", "--confidence", "0.005")
        whom = ("--aggregator", self.aggregator.address)
        return self.run("chainlink", name, *whom, *terms, *options, account=account)

    def use_pyth(self, name: str = "ETH", *options: str) -> Done:
        whom = ("--pyth", self.pyth.address, "--price-id", PRICE_ID)
        return self.run("pyth", name, *whom, "--max-age", str(MAX_AGE), "--widest", "0.01", *options)


def succeeded(done: Done) -> str:
    """What a command that went well has printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSPHRASE not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def whole_stage(tmp_path_factory: Any, project_contracts: Any) -> Iterator[Stage]:
    user = with_accounts(tmp_path_factory.mktemp("ape"), "owner", "stranger")
    path = tmp_path_factory.mktemp("deployments") / "sepolia.json"
    with anvil(SEPOLIA) as node:
        for address in user.addresses.values():
            node.web3.provider.make_request("anvil_setBalance", [address, hex(10**18)])
        succeeded(user.deploy(f"ethereum:sepolia:{node.url}", "--account", "owner", "--out", str(path)))
        bare = Stage(node, user, project_contracts, path, None, None)
        aggregator, pyth = bare.create("Aggregator", 8, "ETH / USD"), bare.create("Pyth", 0)
        stage = Stage(node, user, project_contracts, path, aggregator, pyth)
        assert stage.publish("ETH", ETH) == 0
        yield stage


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    """As it was, chain and file."""
    content = whole_stage.path.read_bytes()
    request = whole_stage.node.web3.provider.make_request
    snapshot = request("evm_snapshot", [])["result"]
    yield whole_stage
    request("evm_revert", [snapshot])
    whole_stage.path.write_bytes(content)


def refused(stage: Stage, done: Done, why: str) -> None:
    """A command has failed for a reason, in one line, and the file is what it was, alone in its folder."""
    assert done.returncode != 0
    assert f"Error: {why}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sources" not in stage.file
    assert "published_sources" not in stage.file
    assert list(stage.path.parent.iterdir()) == [stage.path]


def test_a_chainlink_price_that_disagrees_is_doubted_until_the_source_is_removed(stage):
    before, file, dynamics = stage.terms("ETH"), stage.file, stage.dynamics("ETH")
    stage.quote(2_004)
    printed = succeeded(stage.chainlink())
    assert "0.000% apart beyond the confidence of the source; market data doubt what is beyond 2.000%" in printed
    assert "The aggregator says 2,004 as of " in printed

    row = stage.file["sources"]["ETH"]
    assert row["kind"] == "chainlink"
    assert (row["aggregator"], row["heartbeat"], row["greatest"]) == (stage.aggregator.address, HEARTBEAT, 1e6)
    created = stage.node.web3.eth.get_transaction_receipt(row["transaction"])
    assert created["contractAddress"] == row["address"]
    rest = {key: value for key, value in stage.file.items() if key != "sources"}
    assert rest == file
    assert stage.terms("ETH") == {**before, "second_source": row["address"]}
    assert stage.dynamics("ETH") == dynamics

    deployed = stage.at("ChainlinkSource", row["address"]).functions
    assert deployed.aggregator().call() == stage.aggregator.address
    assert deployed.heartbeat_seconds().call() == HEARTBEAT
    assert (deployed.least().call(), deployed.greatest().call()) == (NANO, 10**6 * NANO)
    assert (deployed.confidence().call(), deployed.grace_seconds().call()) == (5 * 10**9, 0)
    assert deployed.sequencer().call() == protocol.NOBODY

    # 2% and 0.5% from 2,004.
    assert stage.publish("ETH", 2_050) == 0
    assert stage.publish("ETH", 2_060) == TOO_WIDE
    assert f"No longer the second source: {row['address']}" in succeeded(stage.run("none", "ETH"))
    assert stage.file == {**file, "sources": {}}
    assert stage.terms("ETH") == before
    assert stage.publish("ETH", 2_060) == 0


def test_a_pyth_price_guards_what_was_never_published(stage):
    before, dynamics = stage.terms("BTC"), stage.dynamics("BTC")
    stage.quote_pyth(BTC, 80)
    printed = succeeded(stage.use_pyth("BTC"))
    assert "Nothing is published yet" in printed
    assert "Pyth says 80,000, give or take 80, as of " in printed
    row = stage.file["sources"]["BTC"]
    assert (row["kind"], row["pyth"], row["price_id"]) == ("pyth", stage.pyth.address, PRICE_ID)
    assert (row["max_age"], row["widest"]) == (MAX_AGE, 0.01)
    assert stage.terms("BTC") == {**before, "second_source": row["address"]}
    # The scan range with which it began is still where it begins.
    assert stage.dynamics("BTC") == dynamics
    stage.quote_pyth(BTC, 80)
    assert stage.publish("BTC", BTC + 500) == 0
    assert stage.publish("BTC", BTC + 2_000) == TOO_WIDE
    stage.wait(MAX_AGE + 1)
    assert stage.publish("BTC", BTC) == NOT_FOUND


def test_the_oracle_feed_is_deployed_once_and_anyone_publishes_with_it(stage):
    before = stage.terms("ETH")
    stage.quote(2_004)
    printed = succeeded(stage.chainlink("ETH", "--as-publisher"))
    address = stage.file["contracts"]["oracle_feed"]["address"]
    oracle_feed = stage.at("OracleFeed", address)
    assert "Anyone may now publish ETH with OracleFeed.publish(2)" in printed
    assert stage.node.number(stage.market_data.address, "is_publisher(address)", address) == 1
    assert oracle_feed.functions.source_of(2).call() == stage.file["published_sources"]["ETH"]["address"]
    assert stage.doubt(stage.send(oracle_feed.functions.publish(2))) == 0
    assert stage.terms("ETH") == before

    stage.quote_pyth(BTC, 80)
    succeeded(stage.use_pyth("BTC", "--as-publisher"))
    assert stage.file["contracts"]["oracle_feed"]["address"] == address
    assert set(stage.file["published_sources"]) == {"ETH", "BTC"}
    assert stage.doubt(stage.send(oracle_feed.functions.publish(1))) == 0

    succeeded(stage.run("none", "ETH", "--as-publisher"))
    assert set(stage.file["published_sources"]) == {"BTC"}
    assert oracle_feed.functions.source_of(2).call() == protocol.NOBODY
    assert "sources" not in stage.file


def test_what_is_far_from_what_is_published_needs_force(stage):
    stage.quote(2_100)
    height = stage.node.web3.eth.block_number
    done = stage.chainlink()
    refused(stage, done, "refused: it is 4.475% from the published spot beyond its own confidence")
    assert "(--force connects it all the same)" in done.stderr
    assert stage.node.web3.eth.block_number == height
    assert "Warning: it is 4.475% from" in succeeded(stage.chainlink("ETH", "--force"))
    assert stage.terms("ETH")["second_source"] == stage.file["sources"]["ETH"]["address"]
    assert stage.publish("ETH", ETH) == TOO_WIDE


def test_what_is_not_usable_needs_force_and_is_never_published(stage):
    stage.quote(2_000)
    stage.wait(HEARTBEAT + 1)
    refused(stage, stage.chainlink(), "refused: it is not usable now (--force connects it all the same)")
    refused(stage, stage.chainlink("ETH", "--as-publisher", "--force"), "refused: it is not usable now, and the oracle")
    assert "Warning: it is not usable now" in succeeded(stage.chainlink("ETH", "--force"))
    assert stage.publish("ETH", ETH) == NOT_FOUND


def test_a_dry_run_compares_and_sends_nothing(stage):
    stage.quote(2_004)
    height, content = stage.node.web3.eth.block_number, stage.path.read_bytes()
    assert "market data" in succeeded(stage.chainlink("ETH", "--dry-run"))
    assert (stage.node.web3.eth.block_number, stage.path.read_bytes()) == (height, content)


def test_only_the_owner_connects(stage):
    stage.quote(2_000)
    height = stage.node.web3.eth.block_number
    stranger, owner = stage.user.addresses["stranger"], stage.user.addresses["owner"]
    why = f"--account: {stranger} is not the owner of market data, {owner}, who alone names its sources"
    refused(stage, stage.chainlink(account="stranger"), why)
    assert stage.node.web3.eth.block_number == height


def test_an_owner_who_cannot_pay_changes_nothing(stage):
    stage.quote(2_000)
    stage.node.web3.provider.make_request("anvil_setBalance", [stage.user.addresses["owner"], "0x1"])
    refused(stage, stage.chainlink(), "ChainlinkSource: ")


def test_arguments_that_name_nothing_known(stage):
    stage.quote(2_000)
    refused(stage, stage.chainlink("SOL"), "UNDERLYING: the deployment has no 'SOL' (it has BTC, ETH)")
    refused(stage, stage.chainlink("ETH", "--least", "little"), "Invalid value for '--least': 'little'")
    refused(stage, stage.run("none", "ETH"), "UNDERLYING: market data compare ETH with no second source")
    refused(stage, stage.run("none", "ETH", "--as-publisher"), f"--as-publisher: {stage.path} has no oracle feed")


# ------------------------------------------------------------------------------------ in the chain of the other tests


@pytest.fixture(scope="module")
def desk(project_contracts: Any, deployer: Any, tmp_path_factory: Any) -> SimpleNamespace:
    """Market data that one account owns and publishes, oracles, and a file that says so."""
    market_data = deployer.deploy(project_contracts.MarketData, RISE, FALL)
    market_data.set_terms(2, Terms(widest=WIDEST), sender=deployer)
    market_data.set_publisher(deployer, True, sender=deployer)
    time = deployer.provider.get_block("latest").timestamp - 1
    market_data.publish(Update(timestamp=time, spot=ETH * NANO, confidence=0, expiries=()), sender=deployer)
    path = tmp_path_factory.mktemp("desk") / "local.json"
    path.write_text(json.dumps({"contracts": {}, "mine": [1]}))
    deployed: Any = SimpleNamespace(market_data=market_data, names={"ETH": 2})
    return SimpleNamespace(
        target=source.Target(deployed, project_contracts, path, "ETH", source.read_terms(market_data, 2)),
        aggregator=deployer.deploy(project_contracts.Aggregator, 8, "ETH / USD"),
        uptime=deployer.deploy(project_contracts.Aggregator, 0, "Sequencer"),
        pyth=deployer.deploy(project_contracts.Pyth, 0),
        provider=deployer.provider,
        owner=deployer,
    )


def message(function: Any, *arguments: Any, **named: Any) -> str:
    """The message of the error with which a function refuses."""
    with pytest.raises(click.ClickException) as caught:
        function(*arguments, **named)
    return caught.value.message


def adapter(desk: Any, **changed: Any) -> adapters.Adapter:
    """A good ChainlinkSource, but for what is changed."""
    options = {"heartbeat": HEARTBEAT, "least": 1.0, "greatest": 1e6, "confidence": 0.005}
    more: dict[str, Any] = {"aggregator": desk.aggregator.address, "sequencer": None, "grace": None}
    return adapters.chainlink_adapter(desk.provider, **{**options, **more, **changed})


def test_options_of_chainlink_that_cannot_be(desk, accounts, project_contracts, deployer):
    nobody = accounts[7].address
    fine = deployer.deploy(project_contracts.Aggregator, 19, "too fine").address
    here = desk.aggregator.address
    nan = float("nan")
    for changed, why in (
        ({"aggregator": "0x12"}, "--aggregator: must be an address"),
        ({"aggregator": nobody}, f"--aggregator: there is no contract at {nobody}"),
        ({"aggregator": desk.pyth.address}, f"--aggregator: the contract at {desk.pyth.address} is no aggregator"),
        ({"aggregator": fine}, f"--aggregator: at most 18 decimals (the one at {fine} has 19)"),
        ({"heartbeat": 604_801}, "--heartbeat: must be 1 to 604800 seconds (got 604801)"),
        ({"heartbeat": -1}, "--heartbeat: must be 1 to 604800 seconds (got -1)"),
        ({"least": -1.0}, "--least: must be 0 to 100,000,000 USD (got -1)"),
        ({"least": nan}, "--least: must be 0 to 100,000,000 USD (got nan)"),
        ({"greatest": 2e8}, "--greatest: must be 0 to 100,000,000 USD (got 2e+08)"),
        ({"least": 1e6}, "--least: must be below --greatest (got 1e+06 and 1e+06)"),
        ({"confidence": 1.0}, "--confidence: must be a fraction from 0 to below 1"),
        ({"confidence": nan}, "--confidence: must be a fraction from 0 to below 1"),
        ({"confidence": 0.9999999999999}, "--confidence: must be a fraction from 0 to below 1"),
        ({"sequencer": here}, "--grace: missing; pass it together with --sequencer"),
        ({"grace": 60}, "--sequencer: missing; pass it together with --grace"),
        ({"sequencer": here, "grace": 60}, "--sequencer: must be the uptime feed, not the aggregator"),
        ({"sequencer": nobody, "grace": 60}, f"--sequencer: there is no contract at {nobody}"),
        ({"sequencer": desk.pyth.address, "grace": 60}, f"--sequencer: the contract at {desk.pyth.address} is no"),
        ({"sequencer": desk.uptime.address, "grace": 86_401}, "--grace: must be 0 to 86400 seconds (got 86401)"),
    ):
        assert message(adapter, desk, **changed).startswith(why)


def test_options_of_pyth_that_cannot_be(desk, accounts):
    good = {"pyth": desk.pyth.address, "price_id": PRICE_ID, "max_age": 60, "widest": 0.01}
    assert (
        adapters.pyth_adapter(desk.provider, **{**good, "price_id": "0x" + "AB" * 32}).settings["price_id"] == PRICE_ID
    )
    for changed, why in (
        ({"pyth": accounts[7].address}, "--pyth: there is no contract at "),
        ({"price_id": PRICE_ID[2:]}, "--price-id: must be 0x and 64 hexadecimal digits (got 'abab"),
        ({"price_id": PRICE_ID[:-1] + "g"}, "--price-id: must be 0x and 64 hexadecimal digits"),
        ({"price_id": PRICE_ID[:-1]}, "--price-id: must be 0x and 64 hexadecimal digits"),
        ({"price_id": "0x" + "00" * 32}, "--price-id: zero is the id of no feed"),
        ({"max_age": 0}, "--max-age: must be 1 to 604800 seconds (got 0)"),
        ({"widest": -0.1}, "--widest: must be a fraction from 0 to below 1"),
    ):
        assert message(adapters.pyth_adapter, desk.provider, **{**good, **changed}).startswith(why)


def test_what_a_source_would_say_is_what_it_says_once_deployed(desk, isolated, project_contracts):
    """With and without a sequencer; no price, one, and some that are out of bounds."""
    usable = 0
    with isolated():
        for status in (0, 1):
            desk.uptime.push(status, sender=desk.owner)
            for answer in (2_000 * 10**8, 2**255 - 1, 0, -1):
                desk.aggregator.push(answer, sender=desk.owner)
                for more in ({}, {"sequencer": desk.uptime.address, "grace": 600}):
                    would_be = adapter(desk, **more)
                    asked = adapters.ask(desk.target.contracts, would_be, desk.provider)
                    said = desk.owner.deploy(project_contracts.ChainlinkSource, *would_be.arguments).spot()
                    assert (asked.price, asked.confidence, asked.timestamp, asked.is_usable) == tuple(said)
                    usable += asked.is_usable
    assert usable == 2


def test_a_constructor_that_reverts_says_why(desk):
    wrong = adapters.Adapter("chainlink", "ChainlinkSource", (*adapter(desk).arguments[:6], 1), {}, "")
    assert "source: grace" in message(adapters.ask, desk.target.contracts, wrong, desk.provider)


# Often near to the edge of 2%.
prices = st.integers(1_955 * NANO, 2_045 * NANO) | st.integers(20 * NANO, 200_000 * NANO)


@given(other=prices, confidence=st.integers(0, 10**11))
def test_a_source_is_refused_exactly_where_the_published_price_would_be_doubted(desk, isolated, other, confidence):
    data, target, owner = desk.target.deployed.market_data, desk.target, desk.owner
    spot = ETH * NANO
    with isolated():
        said = rude(target.contracts, owner, words(other, confidence, 1, 1))
        data.set_terms(2, Terms(second_source=said.address, widest=WIDEST), sender=owner)
        update = Update(timestamp=desk.provider.get_block("latest").timestamp, spot=spot, confidence=0, expiries=())
        is_believed = data.publish.call(update, sender=owner)
        before = adapters.Spot(spot, 0, 1, True, 1)
        found = source.objections(target, adapters.Spot(other, confidence, 1, True, 1), before, False)
        assert bool(found) == (not is_believed)


def test_a_publisher_whose_confidence_is_too_wide_is_refused(desk):
    before = adapters.Spot(ETH * NANO, 0, 1, True, 1)
    for confidence, objections in ((WIDEST, 0), (WIDEST + 1, 1)):
        said = adapters.Spot(ETH * NANO, confidence, 1, True, 1)
        assert len(source.objections(desk.target, said, before, True)) == objections
        assert source.objections(desk.target, said, before, False) == []


def test_a_failure_half_way_names_what_stands_there_for_nothing(desk, isolated):
    """The oracle feed asks its source at once, and this one says nothing."""
    content = desk.target.path.read_bytes()
    with isolated():
        desk.aggregator.push(0, sender=desk.owner)
        why = message(source.connect, desk.target, adapter(desk), True, desk.owner, Console(quiet=True))
    assert re.fullmatch(
        r"OracleFeed.set_source: feed: source unusable "
        r"\(deployed, but not in use: ChainlinkSource 0x\w{40}, OracleFeed 0x\w{40}\)",
        why,
    )
    assert desk.target.path.read_bytes() == content


def test_a_file_that_has_gone_meanwhile_is_told_with_what_is_in_use(desk, isolated, tmp_path):
    gone = dataclasses.replace(desk.target, path=tmp_path / "gone.json")
    with isolated():
        desk.aggregator.push(ETH * 10**8, sender=desk.owner)
        why = message(source.connect, gone, adapter(desk), False, desk.owner, Console(quiet=True))
    assert re.search(
        r"^--deployment: .*gone.json cannot be written \(No such file .*, but ChainlinkSource 0x\w{40}", why
    )


def test_an_oracle_feed_of_something_else_is_not_used(desk, isolated, project_contracts, tmp_path):
    path = tmp_path / "local.json"
    target = dataclasses.replace(desk.target, path=path)
    with isolated():
        other = desk.owner.deploy(project_contracts.OracleFeed, desk.aggregator).address
        for address, why in (
            (desk.aggregator.address, "'oracle_feed' is no oracle feed on this chain"),
            (protocol.NOBODY, "'oracle_feed' is no oracle feed on this chain"),
            (other, f"'oracle_feed' publishes to other market data, at {desk.aggregator.address}"),
        ):
            path.write_text(json.dumps({"contracts": {"oracle_feed": {"address": address}}}))
            assert message(source.find_oracle_feed, target) == f"--deployment: {path}: {why}"


def test_an_oracle_feed_of_another_owner_is_told(desk, isolated, project_contracts, accounts):
    with isolated():
        oracle_feed = accounts[3].deploy(project_contracts.OracleFeed, desk.target.deployed.market_data)
        assert message(source.check_owner, desk.target, oracle_feed, desk.owner) == (
            f"--account: {desk.owner.address} is not the owner of the oracle feed, {accounts[3].address}, "
            "who alone names its sources"
        )


def test_terms_read_and_set_again_change_nothing(desk, isolated):
    """A scan range outside of its bounds, on its way to them, is no reason to refuse."""
    data, owner = desk.target.deployed.market_data, desk.owner
    with isolated():
        data.set_terms(2, Terms(floor=2 * WIDEST, initial=3 * WIDEST, cap=3 * WIDEST), sender=owner)
        before = source.read_terms(data, 2)
        assert before["initial"] == before["cap"] < data.dynamics(2).scan_range
        data.set_terms(2, tuple(before.values()), sender=owner)
        assert source.read_terms(data, 2) == before


def test_a_file_is_changed_as_a_whole_or_not_at_all(tmp_path):
    file = tmp_path / "local.json"
    file.write_text(json.dumps({"contracts": {}, "mine": [1]}))
    file.chmod(0o640)
    with pytest.raises(TypeError):
        source.rewrite(file, lambda content: content.update(sources={"ETH": b"no JSON"}))
    assert json.loads(file.read_text()) == {"contracts": {}, "mine": [1]}
    source.rewrite(file, lambda content: content.update(sources={"ETH": {"kind": "pyth"}}))
    assert json.loads(file.read_text()) == {"contracts": {}, "mine": [1], "sources": {"ETH": {"kind": "pyth"}}}
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_whose_sources_are_no_table_is_told(tmp_path):
    file = tmp_path / "local.json"
    file.write_text(json.dumps({"contracts": {}, "sources": []}))
    assert message(source.read_file, file) == f"--deployment: {file}: 'sources' must be a table by underlying"
