"""`ape run deploy` as a user runs it: on a chain with the id of Sepolia, from an encrypted account."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from python_model import scenario_set
from scripts import chain, deploy, options, protocol
from tests.integration.nodes import PASSPHRASE, ROOT, Done, Node, User, anvil, with_accounts

pytestmark = pytest.mark.slow

SEPOLIA, MAINNET = 11155111, 1
# Where a test may put a contract.
PLACE = "0x00000000000000000000000000000000000f0001"
# With test tokens, two underlyings and a scenario set.
STEPS = protocol.TOKEN_STEPS + protocol.STEPS + protocol.TAIL_STEPS + 2
GAS = deploy.GAS + deploy.TAIL_GAS
TAILS = ("tail_kernel", "scenario_set", "tail_scan", "var_methodology", "var_engine", "max_engine")
NAMES = (
    *("clearing_house", "collaterals", "exchange", "liquidation", "deleveraging", "settlement"),
    *("money_market", "interest_rates", "backstop", "junior", "senior", "yields", "lens", "admission"),
    *("engine", "report", "methodology", "kernel", "market_data", "signed_feed"),
    *("evidence_1", "evidence_2", "evidence_3"),
    *TAILS,
)

# A user who has only the deployment file.
USER = """
import json, sys
import ape
from python_model.portfolio import Mode
from scripts import compiled, protocol

network, file = sys.argv[1:]
with ape.networks.parse_network_choice(network):
    loaded = protocol.load(file, compiled.load())
    user = ape.accounts.load("deployer")
    user.set_autosign(True)
    account = protocol.create_account(loaded, user, Mode.MAX)
    protocol.fund(loaded, user, account, usd=1234.5)
    print(json.dumps({
        "account": account,
        "owner": loaded.clearing_house.owner_of(account),
        "cash": loaded.clearing_house.cash(account),
        "weth": loaded.clearing_house.balance_of(account, protocol.WETH),
        "names": loaded.names,
    }))
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: Any) -> User:
    """What `ape accounts generate deployer` leaves behind, and a second account that never gets any ether."""
    return with_accounts(tmp_path_factory.mktemp("ape"), "deployer", "pauper")


@pytest.fixture(scope="module")
def node(user: User) -> Iterator[Node]:
    """A chain that says it is Sepolia, on which the user has some ether."""
    with anvil(SEPOLIA) as running:
        running.web3.provider.make_request("anvil_setBalance", [user.address, hex(10**18)])
        yield running


@pytest.fixture(scope="module")
def network(node: Node) -> str:
    return f"ethereum:sepolia:{node.url}"


@pytest.fixture(scope="module")
def path(tmp_path_factory: Any, network: str) -> Path:
    """A new file for each network: a deployment does not overwrite another one's."""
    assert network
    return tmp_path_factory.mktemp("deployments") / "new" / "sepolia.json"


@pytest.fixture(scope="module")
def run(user: User, network: str, path: Path) -> Done:
    """The deployment."""
    done = user.deploy(network, "--account", "deployer", "--scenarios", "synthetic", "--out", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def file(run: Any, path: Path) -> dict[str, Any]:
    """The deployment file."""
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def addresses(file: dict[str, Any]) -> dict[str, str]:
    """Every address in the file, by name."""
    return {key: row["address"] for key, row in {**file["contracts"], **file["tokens"]}.items()}


def test_the_file_says_where_and_what(file, user):
    assert (file["chain_id"], file["network"]) == (SEPOLIA, "ethereum:sepolia")
    assert (file["methodology"], file["underlyings"]) == ("house", {"BTC": 1, "ETH": 2})
    assert file["deployer"] == user.address
    assert f'version = "{file["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert set(file["contracts"]) == set(NAMES)
    assert {key: row["decimals"] for key, row in file["tokens"].items()} == {"quote": 6, "weth": 18}


def test_nothing_secret_is_written_or_printed(run, path, node):
    for text in (path.read_text(encoding="utf-8"), run.stdout):
        assert PASSPHRASE not in text
        assert node.url not in text


def test_every_address_has_code_and_came_from_its_transaction(file, addresses, node):
    blocks = []
    for key, row in {**file["contracts"], **file["tokens"]}.items():
        receipt = node.web3.eth.get_transaction_receipt(row["transaction"])
        assert receipt["contractAddress"] == addresses[key], key
        assert node.web3.eth.get_code(addresses[key]), key
        blocks.append(receipt["blockNumber"])
    assert file["block"] == min(blocks)


def test_the_contracts_know_each_other(addresses, node):
    house = addresses["clearing_house"]
    for function in ("engine", "report", "collaterals", "exchange", "liquidation", "market_data"):
        assert node.ask(house, function) == addresses[function], function
    for contract in ("collaterals", "exchange", "liquidation", "deleveraging", "backstop", "yields"):
        assert node.ask(addresses[contract], "clearing_house") == house
    assert node.ask(addresses["liquidation"], "deleveraging") == addresses["deleveraging"]
    for tranche in ("junior", "senior"):
        assert node.ask(addresses[tranche], "backstop") == addresses["backstop"]
    for contract in ("engine", "report", "evidence_1", "evidence_2", "evidence_3"):
        assert node.ask(addresses[contract], "market_data") == addresses["market_data"]
        assert node.ask(addresses[contract], "methodology") == addresses["methodology"]
        assert node.ask(addresses[contract], "pricing_kernel") == addresses["kernel"]


def test_accounts_can_choose_the_tail_of_the_set(file, addresses, node):
    rows = scenario_set.synthetic()
    digest = scenario_set.hashed(*chain.scenario_set_arguments(rows, file["underlyings"]))
    assert int(digest, 16) == node.number(addresses["scenario_set"], "digest()")
    assert file["scenarios"] == {
        "name": rows.name,
        "version": rows.version,
        "rows": len(rows),
        "digest": digest,
        "file_digest": rows.digest,
    }
    assert node.ask(addresses["tail_scan"], "scenario_set") == addresses["scenario_set"]
    for engine, data in (("var_engine", "var_methodology"), ("max_engine", "methodology")):
        assert node.ask(addresses[engine], "tail_scan") == addresses["tail_scan"]
        assert node.ask(addresses[engine], "methodology") == addresses[data]
        assert node.ask(addresses[engine], "market_data") == addresses["market_data"]


def test_the_deployer_owns_them(addresses, node, user):
    assert node.ask(addresses["clearing_house"], "owner") == user.address
    for contract in ("market_data", "signed_feed"):
        assert node.ask(addresses[contract], "owner") == user.address


def test_only_the_feed_publishes_and_the_deployer_signs_for_it(run, addresses, node, user):
    assert node.ask(addresses["signed_feed"], "market_data") == addresses["market_data"]
    for account, allowed in ((addresses["signed_feed"], 1), (user.address, 0)):
        assert node.number(addresses["market_data"], "is_publisher(address)", account) == allowed
    assert node.number(addresses["signed_feed"], "is_signer(address)", user.address) == 1
    assert node.number(addresses["signed_feed"], "threshold()") == 1
    assert f"Warning: market data of this deployment need one signature, that of {user.address}" in run.stdout


def test_the_tables_gas_is_that_of_the_chain_and_within_what_was_asked_of_the_account(run, file, addresses, node):
    head = node.web3.eth.block_number
    blocks = [node.web3.eth.get_block(n) for n in range(file["block"], head + 1)]
    total = sum(block["gasUsed"] for block in blocks[:STEPS])
    assert 0.8 * GAS < total < GAS
    assert f"{total:,}" in run.stdout
    for address in addresses.values():
        assert address in run.stdout
        assert f"{len(node.web3.eth.get_code(address)):,}" in run.stdout


def test_the_progress_bar_reaches_its_end(run):
    assert f"{STEPS}/{STEPS}" in run.stdout


def test_a_user_of_the_file_opens_an_account_and_deposits(run, user, network, path):
    done = user.run(sys.executable, "-c", USER, network, str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == {
        # Those of the fund, of fees and of claims come first.
        "account": 4,
        "owner": user.address,
        "cash": 1234_500000 * 10**12,
        "weth": 0,
        "names": {"BTC": 1, "ETH": 2},
    }


def test_an_earlier_deployment_is_not_overwritten(run, user, network, path):
    before = path.read_bytes()
    again = user.deploy(network, "--account", "deployer", "--out", str(path))
    assert again.returncode != 0
    assert f"--out: {path} describes an earlier deployment" in again.stderr
    assert path.read_bytes() == before


def test_an_account_without_funds_is_told_how_much_it_needs(user, network, tmp_path):
    done = user.deploy(network, "--account", "pauper", "--out", str(tmp_path / "x.json"))
    assert done.returncode != 0
    assert "--account: 0x" in done.stderr
    assert "has 0.000000 ETH" in done.stderr
    assert f"{deploy.GAS / 1e6:.0f} million gas" in done.stderr


def test_a_wrong_passphrase_says_where_the_right_one_belongs(user, network, tmp_path):
    mistaken = User(user.addresses, {**user.environment, "APE_ACCOUNTS_deployer_PASSPHRASE": "battery"})
    done = mistaken.deploy(network, "--account", "deployer", "--out", str(tmp_path / "x.json"))
    assert done.returncode != 0
    assert "--account: wrong passphrase for 'deployer'; set APE_ACCOUNTS_deployer_PASSPHRASE" in done.stderr


def test_a_mainnet_gets_no_test_tokens(user, tmp_path):
    with anvil(MAINNET) as node:
        out = str(tmp_path / "x.json")
        done = user.deploy(f"ethereum:mainnet:{node.url}", "--account", "deployer", "--out", out)
        assert node.web3.eth.block_number == 0
    assert done.returncode != 0
    assert "--quote: test tokens are not deployed on Ethereum; pass --quote with the address" in done.stderr


def test_a_node_that_does_not_answer_is_an_error_of_the_option(user):
    done = user.deploy("ethereum:sepolia:node")
    assert done.returncode != 0
    assert "Error: --network: " in done.stderr
    assert "SEPOLIA_RPC_URL" in done.stderr


def test_a_mainnet_gets_no_single_signer(user, tmp_path):
    with anvil(MAINNET) as node:
        tokens = ("--quote", PLACE, "--weth", PLACE[:-1] + "2")
        for address in tokens[1::2]:
            node.web3.provider.make_request("anvil_setCode", [address, "0x00"])
        done = user.deploy(
            f"ethereum:mainnet:{node.url}", "--account", "deployer", *tokens, "--out", str(tmp_path / "x")
        )
        assert node.web3.eth.block_number == 0
    assert done.returncode != 0
    assert "--signers: missing; on Ethereum pass --signers" in done.stderr


@pytest.fixture(scope="module")
def token(project_contracts: Any, deployer: Any) -> Any:
    """A token on the session's local chain."""
    return deployer.deploy(project_contracts.Token, "USD Coin", "USDC", 6)


def refusal(function: Any, *arguments: Any) -> str:
    """The message with which a reader of options refuses."""
    with pytest.raises(click.UsageError) as caught:
        function(*arguments)
    return caught.value.message


def test_options_that_name_nothing_known():
    assert refusal(deploy.read_methodology, "hause") == (
        "--methodology: unknown methodology 'hause' (known: deribit, house, max, span, tims, var)"
    )
    assert refusal(deploy.read_underlyings, "BTC,SOL").startswith("--underlyings: ETH is missing")
    for text in ("", "ETH,", "ETH,BTC,ETH"):
        assert refusal(deploy.read_underlyings, text).startswith("--underlyings: must be different names")
    many = ",".join(["ETH", *(f"U{i}" for i in range(255))])
    assert refusal(deploy.read_underlyings, many) == "--underlyings: at most 255 (got 256)"


def test_addresses_that_are_no_tokens(ape_chain, project_contracts, token, accounts):
    provider = ape_chain.provider
    other = accounts[5].address
    assert refusal(deploy.read_tokens, token.address, None, provider).startswith("--weth: missing; pass it together")
    assert refusal(deploy.read_tokens, None, token.address, provider).startswith("--quote: missing; pass it together")
    assert refusal(deploy.read_tokens, "0x12", token.address, provider).startswith("--quote: must be an address")
    assert "--weth: there is no contract at" in refusal(deploy.read_tokens, token.address, other, provider)
    assert refusal(deploy.read_tokens, token.address, token.address, provider).startswith("--weth: must be another")
    mistyped = token.address[:-1] + ("0" if token.address[-1] != "0" else "1")
    assert refusal(deploy.read_tokens, mistyped, other, provider).startswith("--quote: the checksum does not fit")

    assert deploy.read_tokens(None, None, provider) is None
    assert deploy.read_contract("quote", token.address.lower(), provider) == token.address


def test_contracts_that_are_no_tokens(project_contracts, deployer, token):
    market_data = deployer.deploy(project_contracts.MarketData, chain.AT_ONCE, chain.AT_ONCE)
    pair = (token.address, market_data.address)
    assert "is no ERC-20 token with decimals" in refusal(deploy.existing_tokens, project_contracts, pair)
    fine = deployer.deploy(project_contracts.Token, "Too fine", "FINE", 19)
    assert refusal(deploy.existing_tokens, project_contracts, (fine.address, token.address)) == (
        f"--quote: at most 18 decimals (the token at {fine.address} has 19)"
    )


def test_a_deployment_can_use_tokens_that_are_there(project_contracts, deployer, token, ape_chain):
    weth = deployer.deploy(project_contracts.Token, "Wrapped Ether", "WETH", 18)
    tokens = deploy.existing_tokens(project_contracts, (token.address, weth.address))
    house = deploy.read_methodology("house")
    sent = len(ape_chain.history[deployer.address].sessional)
    deployed = protocol.deploy(project_contracts, deployer, house, deploy.read_underlyings("ETH"), tokens)
    receipts = ape_chain.history[deployer.address].sessional[sent:]
    described = deploy.describe(deployed, "house", receipts, ape_chain.provider, None)
    assert described["scenarios"] is None and deployed.tails is None
    assert not set(TAILS) & set(described["contracts"])
    assert deployed.engine.tails() == []
    assert described["tokens"]["quote"] == {"address": token.address, "transaction": None, "decimals": 6}
    assert len(receipts) == protocol.STEPS + 1


def test_signers_that_cannot_be(ape_chain, accounts):
    provider, one, other = ape_chain.provider, accounts[0], accounts[1].address
    pair = f"{one.address}, {other}"
    assert deploy.read_signers(None, None, one, provider) == ([one.address], 1)
    assert deploy.read_signers(pair, 2, one, provider) == ([one.address, other], 2)
    many = ",".join(account.address for account in accounts[:17])
    for text, threshold, why in (
        (None, 1, "--signers: missing; pass it together with --threshold"),
        (pair, None, "--threshold: missing; pass it together with --signers"),
        (pair, 0, "--threshold: must be 1 to 2, the number of signers (got 0)"),
        (pair, 3, "--threshold: must be 1 to 2, the number of signers (got 3)"),
        ("", 1, "--signers: must be an address"),
        (f"{other},", 1, "--signers: must be an address"),
        (f"{other},{other.lower()}", 1, "--signers: must be different addresses"),
        (f"{other},{protocol.NOBODY}", 1, "--signers: the zero address signs nothing"),
        (many, 1, "--signers: at most 16 (got 17)"),
    ):
        assert refusal(deploy.read_signers, text, threshold, one, provider).startswith(why)


def test_scenario_sets_that_cannot_be(ape_chain, tmp_path):
    """None is taken by itself but on a local chain, and no made-up one where tokens have worth."""
    local = ape_chain.provider
    live, main = (
        SimpleNamespace(network=SimpleNamespace(is_dev=False), chain_id=chain_id) for chain_id in (SEPOLIA, MAINNET)
    )
    names = {"BTC": 1, "ETH": 2}
    assert deploy.read_scenarios(None, names, local).name == "synthetic"
    assert deploy.read_scenarios(None, names, live) is None
    assert deploy.read_scenarios("synthetic", names, live).name == "synthetic"
    path = tmp_path / "rows.csv"
    path.write_text(scenario_set.render(scenario_set.synthetic(20)))
    assert len(deploy.read_scenarios(str(path), names, main)) == 20
    for text, ids, provider, why in (
        ("synthetic", names, main, "a made-up set margins nobody on Ethereum"),
        (str(tmp_path / "none.csv"), names, live, f"{tmp_path / 'none.csv'}: cannot be read"),
        (str(path), {"SOL": 1}, live, "has rows of ETH, BTC, but of none of SOL"),
    ):
        assert refusal(deploy.read_scenarios, text, ids, provider).startswith(f"--scenarios: {why}")
    assert refusal(deploy.read_methodology, "var").startswith(
        "--methodology: var is what accounts choose by their mode"
    )


def test_files_that_cannot_be_written(ape_chain, tmp_path):
    assert refusal(deploy.read_out, tmp_path, ape_chain.provider).startswith("--out: ")
    (tmp_path / "file").write_text("")
    message = refusal(deploy.read_out, tmp_path / "file" / "x.json", ape_chain.provider)
    assert message.startswith(f"--out: {tmp_path / 'file'} cannot be made")


def test_accounts_that_are_not_there(ape_chain):
    assert refusal(options.read_account, "nobody", ape_chain.provider).startswith("--account: no account 'nobody'")
    live = SimpleNamespace(network=SimpleNamespace(is_dev=False))
    assert refusal(options.read_account, None, live).startswith("--account: missing; `ape accounts list`")


def test_files_that_cannot_be_loaded(project_contracts, ape_chain, file, path, tmp_path):
    """On the session's local chain, which is not that of the file."""

    def why(content: Any) -> str:
        (tmp_path / "x.json").write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(protocol.DeploymentError) as caught:
            protocol.load(tmp_path / "x.json", project_contracts)
        return str(caught.value)

    with pytest.raises(protocol.DeploymentError, match="cannot be read"):
        protocol.load(tmp_path / "missing.json", project_contracts)
    assert "is no deployment file" in why("{")
    assert "is no deployment file" in why([])
    assert "has no 'tokens'" in why({"contracts": {}})
    assert f"is of chain {SEPOLIA}, but this is chain {ape_chain.chain_id}" in why(file)
    assert "has no code at" in why({**file, "chain_id": ape_chain.chain_id})
