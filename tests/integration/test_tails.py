"""`ape run tails` as an operator runs it: a deployment without a scenario set gets one, then another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from python_model import scenario_set
from python_model.scenario_set import ScenarioSet
from scripts import chain, protocol
from tests.integration.nodes import PASSPHRASE, Done, Node, User, anvil, with_accounts

SEPOLIA = 11_155_111
RUNNING = scenario_set.synthetic()
MILDER = replace(RUNNING, name="milder", x=RUNNING.x / 2)


@dataclass(frozen=True)
class Stage:
    """A chain that says it is Sepolia, its deployment file, and that file before there were tails."""

    node: Node
    user: User
    path: Path
    before: Path

    def run(self, scenarios: str, account: str = "owner", path: Path | None = None) -> Done:
        network = f"ethereum:sepolia:{self.node.url}"
        options = ("--account", account, "--scenarios", scenarios, "--deployment", str(path or self.path))
        return self.user.run("ape", "run", "tails", "--network", network, *options)

    def file(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))


def written(folder: Path, rows: ScenarioSet) -> str:
    path = folder / f"{rows.name}.csv"
    path.write_text(scenario_set.render(rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: Any) -> Iterator[Stage]:
    user = with_accounts(tmp_path_factory.mktemp("ape"), "owner", "stranger")
    folder = tmp_path_factory.mktemp("deployments")
    path = folder / "sepolia.json"
    with anvil(SEPOLIA) as node:
        for address in user.addresses.values():
            node.web3.provider.make_request("anvil_setBalance", [address, hex(10**18)])
        done = user.deploy(f"ethereum:sepolia:{node.url}", "--account", "owner", "--out", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        before = Path(shutil.copy(path, folder / "before.json"))
        yield Stage(node, user, path, before)


@pytest.fixture(scope="module")
def stage(bare: Stage, tmp_path_factory: Any) -> Stage:
    """With the made-up set, then with the milder one."""
    assert bare.file()["scenarios"] is None
    done = bare.run("synthetic")
    assert done.returncode == 0, done.stdout + done.stderr
    first = bare.file()
    assert first["scenarios"]["file_digest"] == RUNNING.digest
    arguments = chain.scenario_set_arguments(RUNNING, first["underlyings"])
    assert first["scenarios"]["digest"] == scenario_set.hashed(*arguments)
    done = bare.run(written(tmp_path_factory.mktemp("sets"), MILDER))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "In use: milder 1, 250 rows of ETH, BTC" in done.stdout
    assert PASSPHRASE not in done.stdout + done.stderr
    assert bare.node.url not in bare.path.read_text(encoding="utf-8")
    second = bare.file()
    replaced = {"engine", "report", *protocol.TAIL_CONTAINERS}
    assert {k for k, row in second["contracts"].items() if row != first["contracts"][k]} == replaced
    return bare


def test_the_clearing_house_uses_what_the_file_says(stage):
    file, node = stage.file(), stage.node
    address = {key: row["address"] for key, row in file["contracts"].items()}
    assert node.ask(address["clearing_house"], "engine") == address["engine"]
    assert node.ask(address["clearing_house"], "report") == address["report"]
    assert node.ask(address["tail_scan"], "scenario_set") == address["scenario_set"]
    for mode in ("var", "max"):
        assert node.ask(address[f"{mode}_engine"], "tail_scan") == address["tail_scan"]
    assert node.ask(address["var_engine"], "methodology") == address["var_methodology"]
    assert node.ask(address["max_engine"], "methodology") == address["methodology"]
    scenarios = file["scenarios"]
    assert (scenarios["name"], scenarios["version"], scenarios["rows"]) == ("milder", RUNNING.version, len(RUNNING))
    for key in ("engine", "report", *protocol.TAIL_CONTAINERS):
        receipt = node.web3.eth.get_transaction_receipt(file["contracts"][key]["transaction"])
        assert receipt["contractAddress"] == address[key]


def test_what_cannot_be_is_refused_in_a_line_and_changes_nothing(stage, tmp_path):
    content = stage.path.read_bytes()
    eth = replace(RUNNING, name="eth", underlyings=("ETH",), x=RUNNING.x[:, :1], y=RUNNING.y[:, :1])
    for done, why in (
        (stage.run(written(tmp_path, MILDER)), "--scenarios: is the running set already"),
        (stage.run(written(tmp_path, eth)), "--scenarios: has no rows of BTC, which accounts of VAR and MAX may hold"),
        (stage.run("synthetic", account="stranger"), f"--account: {stage.user.addresses['stranger']} is not the owner"),
        (
            stage.run("synthetic", path=stage.before),
            f"--deployment: {stage.before}: the clearing house uses the engine",
        ),
        (stage.run("synthetic", path=tmp_path / "none.json"), "--deployment: "),
    ):
        assert done.returncode != 0
        assert f"Error: {why}" in done.stderr
        assert "Traceback" not in done.stderr
    assert stage.path.read_bytes() == content
