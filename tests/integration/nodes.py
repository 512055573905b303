"""Chains and users of tests that run commands as a user does: an Anvil on a port, encrypted accounts in a folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from web3 import HTTPProvider, Web3

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "correct horse battery staple"

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Node:
    """An Anvil of the test's own."""

    url: str
    web3: Web3

    def number(self, address: str, signature: str, *accounts: str) -> int:
        """What a view of addresses answers, as a number."""
        words = b"".join(bytes.fromhex(account[2:]).rjust(32, b"\x00") for account in accounts)
        return int(self.web3.eth.call({"to": address, "data": Web3.keccak(text=signature)[:4] + words}).hex(), 16)

    def ask(self, address: str, function: str) -> str:
        """The address that a view without arguments answers."""
        data = self.web3.eth.call({"to": address, "data": Web3.keccak(text=f"{function}()")[:4]})
        return Web3.to_checksum_address(data[-20:])


@contextmanager
def anvil(chain_id: int, *options: str) -> Iterator[Node]:
    """Anvil on a free port; stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binary = shutil.which("anvil")
    assert binary is not None
    command = [binary, "--port", str(port), "--chain-id", str(chain_id), "--silent", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    node = Node(f"http://127.0.0.1:{port}", Web3(HTTPProvider(f"http://127.0.0.1:{port}")))
    try:
        for _ in range(100):
            if node.web3.is_connected():
                break
            time.sleep(0.1)
        yield node
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass(frozen=True)
class User:
    """Encrypted accounts in an ape data folder of the test's own, and the environment that opens them."""

    addresses: dict[str, str]
    environment: dict[str, str]

    def run(self, *command: str, timeout: float = 300) -> Done:
        """Run a command as this user."""
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def deploy(self, network: str, *options: str) -> Done:
        """`ape run deploy`."""
        return self.run("ape", "run", "deploy", "--network", network, *options)

    @property
    def address(self) -> str:
        """Of the first account."""
        return next(iter(self.addresses.values()))


def with_accounts(folder: Path, *aliases: str) -> User:
    """A user with new accounts in a data folder, as `ape accounts generate` leaves them."""
    (folder / "accounts").mkdir()
    addresses = {}
    for alias in aliases:
        account = Account.create()
        (folder / "accounts" / f"{alias}.json").write_text(json.dumps(Account.encrypt(account.key, PASSPHRASE)))
        addresses[alias] = str(account.address)
    variables = {f"APE_ACCOUNTS_{alias}_PASSPHRASE": PASSPHRASE for alias in aliases}
    # A tester's own node is not to be asked.
    inherited = {key: value for key, value in os.environ.items() if key != "SEPOLIA_RPC_URL"}
    return User(addresses, {**inherited, "APE_DATA_FOLDER": str(folder), **variables})
