"""What commands that change a deployment share: transactions one by one, and its file as a whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ape
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from rich.console import Console

from scripts.options import failed


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the deployment file as a whole or not at all: whoever reads it meanwhile reads the old or the new one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Sending:
    """Transactions one after the other; an error says which one failed, and what stands on the chain for nothing."""

    def __init__(self, account: Any, console: Console) -> None:
        self.account, self.console = account, console
        self.created: list[str] = []

    def send(self, step: str, act: Callable[[], Any]) -> Any:
        """What `act`, a transaction, returns."""
        try:
            # Of an unlocked account ape would warn at each signature that it is.
            with self.console.status(step), logger.at_level(LogLevel.ERROR):
                return act()
        except ApeException as error:
            raise failed(step, error, self.unused()) from error

    def unused(self) -> str:
        """What an error has to say of what was deployed before it."""
        return f" (deployed, but not in use: {', '.join(self.created)})" if self.created else ""

    def create(self, container: Any, *arguments: Any) -> Any:
        """A new contract."""
        contract = self.send(container.name, lambda: self.account.deploy(container, *arguments))
        self.created.append(f"{container.name} {contract.address}")
        return contract


def transaction_of(contract: Any, account: Any) -> str:
    """The hash of the transaction that created a contract in this run."""
    receipts = ape.chain.history[account.address].sessional
    return next(str(r.txn_hash) for r in reversed(receipts) if r.contract_address == contract.address)
