"""The contracts, compiled once for the sources as they are: for commands and for tests.

Ape's own cache misses a change in an imported module, and compiling everything takes most of a minute. What is kept
here has the digest of all sources, of the compiler and of how it is told to compile.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import ape
from ape.contracts import ContractContainer
from ethpm_types import ContractType

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache"
# They have no bytecode of their own.
PARTS = ("libraries", "modules")
# Of what a compiler says of a contract, what only debuggers read: nine tenths of it.
UNREAD = {"ast", "pcmap", "sourcemap"}


def digest() -> str:
    """A name for all sources, the packages that compile them or are a part of them, and the compiler's settings."""
    result = hashlib.sha256(f"{version('vyper')} {version('snekmate')}\n".encode())
    for path in (*sorted((ROOT / "contracts").rglob("*.vy*")), ROOT / "requirements.lock", ROOT / "ape-config.yaml"):
        result.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return result.hexdigest()[:20]


def load(*names: str) -> SimpleNamespace:
    """Contracts by name, `load("MarginEngine").MarginEngine`; all of them where none is named.

    Compiles what nobody has compiled since a source changed, and waits while another process does. OSError where the
    project's folder cannot be written; what the compiler raises where it refuses.
    """
    sources = {p.stem: p for p in sorted((ROOT / "contracts").rglob("*.vy")) if p.parent.name not in PARTS}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"contracts-{digest()}.json"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        missing = [sources[name].relative_to(ROOT) for name in names or sources if name not in rows]
        if missing:
            compiled = ape.compilers.compile(missing, project=ape.project)
            rows |= {contract.name: contract.model_dump(mode="json", exclude=UNREAD) for contract in compiled}
            new = path.with_suffix(".new")
            new.write_text(json.dumps(rows), encoding="utf-8")
            for old in FOLDER.glob("contracts-*.json"):
                old.unlink()
            new.rename(path)
    return SimpleNamespace(
        **{name: ContractContainer(ContractType.model_validate(rows[name])) for name in names or sources}
    )
