"""The tools under the tests: Anvil of the lock file, on a port and a process of our own, with isolation that holds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A session of its own: it connects as the tests do, then reports which Anvil it started.
SESSION = """
import ape, json
with ape.networks.parse_network_choice("ethereum:local:foundry") as provider:
    print(json.dumps({"pid": provider.process.pid, "uri": provider.uri}))
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_chain_is_anvil_of_the_lock_file(chain):
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/@foundry-rs/anvil"]
    version = chain.provider.web3.client_version.lower()
    assert version.startswith("anvil/")
    assert locked["version"] in version
    assert chain.chain_id == 31337


def test_the_chain_is_a_child_of_this_session(chain):
    assert chain.provider.process is not None
    assert is_running(chain.provider.process.pid)


def test_another_session_has_its_own_anvil_and_leaves_none_behind(chain):
    run = subprocess.run([sys.executable, "-c", SESSION], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    other = json.loads(next(line for line in run.stdout.splitlines() if line.startswith("{")))
    assert other["uri"] != chain.provider.uri
    assert not is_running(other["pid"])
    assert chain.provider.is_connected


def test_accounts_are_funded(accounts, deployer):
    assert len(accounts) == 20
    assert accounts[19].balance >= 10**6 * 10**18
    assert deployer == accounts[0]


def test_isolation_restores_balance_and_height(accounts, chain, isolated):
    giver, taker = accounts[1], accounts[2]
    before = taker.balance, chain.blocks.height
    with isolated():
        giver.transfer(taker, 10**18)
        assert (taker.balance, chain.blocks.height) == (before[0] + 10**18, before[1] + 1)
    assert (taker.balance, chain.blocks.height) == before


def test_isolation_lets_failures_pass(accounts, chain):
    """Ape's own swallows them: every assertion inside would hold."""
    giver, taker = accounts[1], accounts[2]
    before = taker.balance

    def fails() -> None:
        with chain.isolate():
            giver.transfer(taker, 10**18)
            raise ValueError("in the body")

    with pytest.raises(ValueError, match="in the body"):
        fails()
    assert taker.balance == before


@pytest.mark.parametrize("tool", ["vyper", "anvil"])
def test_vyper_and_anvil_come_from_this_environment(tool):
    found = shutil.which(tool)
    assert found is not None
    assert Path(found).parent == Path(sys.executable).parent
