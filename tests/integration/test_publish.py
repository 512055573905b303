"""`ape run publish` as its users run it: from a recorded chain, or a snapshot, to what market data read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from eth_abi.abi import decode, encode
from rich.console import Console
from web3 import Web3

from python_model import case
from scripts import chain, protocol, publish
from tests.integration.nodes import PASSPHRASE, ROOT, Done, Node, User, anvil, with_accounts

pytestmark = pytest.mark.slow

LOCAL = "ethereum:local:foundry"
SEPOLIA = 11155111
SNAPSHOT = "eth-btc-2026-02-06"
RECORDINGS = ROOT.parent / "shared" / "data" / "markets"
SIGNERS = ("alpha", "beta", "gamma")
READ = "read(uint256,uint256[])"


def run(user: User, *arguments: str) -> Done:
    """Run the command under test."""
    return user.run("ape", "run", "publish", *arguments)


def rows(text: str) -> list[tuple[str, ...]]:
    """The lines of a table that are of an expiry: underlying, day, time, and numbers."""
    return [tuple(line.split()) for line in text.splitlines() if re.match(r"[A-Z]+ +\d{4}-\d\d-\d\d \d\d:\d\d ", line)]


def quoted_and_read(done: Done) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Underlying, expiry, forward and vol: in the table of what is signed, and in that of what was read."""
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.split("What market data read now")
    return [(*row[:3], *row[4:6]) for row in rows(before)], [row[:5] for row in rows(after)]


# ------------------------------------------------------------------------------------------------ on a local network


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: Any) -> User:
    """A user without any account."""
    return with_accounts(tmp_path_factory.mktemp("ape"))


def test_a_snapshot_goes_out_of_the_box(nobody):
    done = run(nobody, SNAPSHOT, "--network", LOCAL)
    quoted, read = quoted_and_read(done)
    market = case.read_market(SNAPSHOT)
    assert len(quoted) == sum(len(u.expiries) for u in market.underlyings.values())
    assert read == quoted
    for name in market.underlyings:
        assert re.search(rf"{name} +spot .* yes +[\d,]{{7,}}\n", done.stdout)
    assert len(set(re.findall("0x[0-9a-fA-F]{40}", done.stdout))) == publish.LOCAL_THRESHOLD


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recorded chains in {RECORDINGS}")
def test_a_recorded_chain_is_fitted_and_goes_out_of_the_box(nobody):
    recording = sorted(RECORDINGS.glob("deribit_*.csv.gz"))[0]
    done = run(nobody, str(recording), "--network", LOCAL)
    quoted, read = quoted_and_read(done)
    assert len(quoted) >= 20
    assert read == quoted
    assert "Fit error: vega-weighted" in done.stdout
    before = done.stdout.split("What market data read now")[0]
    # The last column, below a vol point or so but for the front expiries.
    errors = sorted(float(row[6]) for row in rows(before))
    assert len(errors) == len(quoted)
    assert 0.0 < errors[len(errors) // 2] < 1.0


def test_a_dry_run_sends_nothing(nobody):
    done = run(nobody, SNAPSHOT, "--network", LOCAL, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows(done.stdout)) == 24
    assert "market data read" not in done.stdout
    assert "0x" not in done.stdout


# ------------------------------------------------------------------------------------------- to a deployment elsewhere


@pytest.fixture(scope="module")
def user(tmp_path_factory: Any) -> User:
    """Three signers, a relayer, and somebody who has no part in it."""
    return with_accounts(tmp_path_factory.mktemp("ape"), "relayer", *SIGNERS, "stranger")


@pytest.fixture(scope="module")
def node(user: User) -> Iterator[Node]:
    """A chain that says it is Sepolia, at the time of the snapshot."""
    as_of = case.read_market(SNAPSHOT).as_of
    with anvil(SEPOLIA, "--timestamp", str(as_of)) as running:
        running.web3.provider.make_request("anvil_setBalance", [user.addresses["relayer"], hex(10**18)])
        yield running


@pytest.fixture(scope="module")
def network(node: Node) -> str:
    return f"ethereum:sepolia:{node.url}"


@pytest.fixture(scope="module")
def path(user: User, network: str, tmp_path_factory: Any) -> Path:
    """A deployment whose market data need two of the three."""
    out = tmp_path_factory.mktemp("deployments") / "sepolia.json"
    signers = ",".join(user.addresses[alias] for alias in SIGNERS)
    done = user.deploy(network, "--account", "relayer", "--signers", signers, "--threshold", "2", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout
    return out


@pytest.fixture(scope="module")
def common(network: str, path: Path) -> tuple[str, ...]:
    """Arguments of every run."""
    return (SNAPSHOT, "--network", network, "--deployment", str(path), "--account", "relayer")


@pytest.fixture(scope="module")
def published(user: User, common: tuple[str, ...]) -> Done:
    """The snapshot, brought."""
    return run(user, *common, "--signer", "gamma", "--signer", "alpha")


def test_market_data_read_the_snapshot_to_the_digit(published, node, path):
    assert published.returncode == 0, published.stdout + published.stderr
    market, file = case.read_market(SNAPSHOT), json.loads(path.read_text())
    for name, u in market.underlyings.items():
        i = file["underlyings"][name]
        _, timestamp, spot, perp_mark, confidence, expiries = chain.update(i, u, market.as_of, chain.Clock(0))
        data = Web3.keccak(text=READ)[:4] + encode(["uint256", "uint256[]"], [i, [e[0] for e in expiries]])
        answer = node.web3.eth.call({"to": file["contracts"]["market_data"]["address"], "data": data})
        (head, *words), is_fresh = decode(["uint256[]", "bool"], answer)
        assert is_fresh
        assert (head >> 184, (head >> 112) % 2**72, (head >> 72) % 2**40) == (spot, perp_mark, confidence)
        for (_, forward, rate, surface), first, second in zip(expiries, words[::2], words[1::2], strict=True):
            *smile, tenor, svi_forward = surface
            assert [first >> 184, (first >> 112) % 2**72] == [forward, svi_forward]
            assert [(first >> 64) % 2**48, (first >> 32) % 2**32, first % 2**32] == [rate % 2**48, tenor, timestamp]
            # Nothing of it is fixed yet, but perhaps of the first.
            assert [(second >> shift) % 2**48 for shift in (208, 160, 112, 64, 16)] == [p % 2**48 for p in smile]


def test_the_relayer_paid_and_the_signers_signed(published, user, node):
    assert all(user.addresses[alias] in published.stdout for alias in ("alpha", "gamma"))
    assert user.addresses["beta"] not in published.stdout
    for alias in SIGNERS:
        assert node.web3.eth.get_transaction_count(user.addresses[alias]) == 0


def test_nothing_secret_is_printed(published):
    assert PASSPHRASE not in published.stdout + published.stderr


def test_a_recording_can_be_brought_once(published, user, common):
    again = run(user, *common, "--signer", "alpha", "--signer", "beta")
    assert again.returncode != 0
    assert "Error: ETH: refused, market: timestamp not newer" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--signer", "alpha"), "--signer: the feed needs 2 signatures; pass --signer as many times (got 1)"),
        (("--signer", "alpha", "--signer", "alpha"), "--signer: must be different accounts (got alpha, alpha)"),
        (("--signer", "alpha", "--signer", "stranger"), "--signer: 'stranger' (0x"),
        (("--signer", "alpha", "--signer", "delta"), "--signer: no account 'delta'"),
        (("--now", "--signer", "alpha", "--signer", "beta"), "--now: sets the clock of the chain"),
        (("--valid", "0"), "--valid: must be at least a second (got 0)"),
        (("--deployment", "/nowhere.json"), "--deployment: /nowhere.json: no such file"),
    ],
)
def test_options_that_cannot_be(user, common, arguments, why):
    done = run(user, *common, *arguments)
    assert done.returncode != 0
    assert f"Error: {why}" in done.stderr


# ------------------------------------------------------------------------------------------------------- the argument


def refusal(text: str) -> str:
    """The message with which a recording is refused."""
    with pytest.raises(click.UsageError) as caught:
        publish.read_recording(text, Console(quiet=True))
    return caught.value.message


def test_chains_that_cannot_be_read(tmp_path):
    assert refusal("eth-btc-2026-02-07").startswith("CHAIN: no such file, and no snapshot of that name (got 'eth-btc-")
    assert f"snapshots: eth-btc-2026-02-02, eth-btc-2026-02-05, {SNAPSHOT}" in refusal("nothing")
    for content in ("", "a,b\n1,2\n"):
        file = tmp_path / "chain.csv"
        file.write_text(content)
        assert refusal(str(file)).startswith("CHAIN: chain.csv: ")
    assert refusal(str(tmp_path)).startswith("CHAIN: no such file")


def test_a_deployment_file_without_a_feed_is_told(tmp_path, project_contracts):
    """Of before there was one."""
    file = tmp_path / "old.json"
    rest = {key: {"address": protocol.NOBODY} for key in protocol.CONTAINERS if key != "signed_feed"}
    file.write_text(json.dumps({"contracts": rest, "tokens": {}, "underlyings": {}, "chain_id": 1}))
    with pytest.raises(protocol.DeploymentError, match="has no 'signed_feed'"):
        protocol.load(file, SimpleNamespace())
