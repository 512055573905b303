"""Defects planted in a copy of the contracts, compiled with the vyper of this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from ape.contracts import ContractContainer
from ethpm_types import Bytecode

ROOT = Path(__file__).resolve().parents[2]
EVM_VERSION = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["vyper"]["evm_version"]


@dataclass(frozen=True)
class Defect:
    """A text that occurs once in a source under contracts/, what to put in its place, and which contract to rebuild."""

    name: str
    source: str
    text: str
    planted: str
    rebuilds: str


Job = tuple[Defect | None, str]


def plant(folder: Path, defect: Defect | None) -> Path:
    """Copy the contracts into a folder, with the defect in them."""
    shutil.copytree(ROOT / "contracts", folder / "contracts")
    if defect is not None:
        path = folder / "contracts" / defect.source
        source = path.read_text()
        if source.count(defect.text) != 1:
            raise LookupError(
                f"{defect.name}: contracts/{defect.source} holds {defect.text!r} {source.count(defect.text)} times"
                " instead of once; plant the defect where the code is now"
            )
        path.write_text(source.replace(defect.text, defect.planted))
    return folder


def build(folder: Path, defect: Defect | None, contract: str) -> str:
    """The deployment bytecode of a contract whose sources hold the defect."""
    plant(folder, defect)
    command = [Path(sys.executable).parent / "vyper", f"contracts/{contract}.vy", "-f", "bytecode", "-p", folder]
    run = subprocess.run([*command, "--evm-version", EVM_VERSION], cwd=folder, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{defect.name if defect else contract} does not compile:\n{run.stderr}")
    return run.stdout.strip()


class Builds(Mapping[str, Future[str]]):
    """Bytecode by name of a job, a defect and the contract that it is in, compiled when it is first asked for.

    So processes that share the tests of a file do not compile what only another one needs.
    """

    def __init__(self, pool: Executor, folder: Callable[[str], Path], jobs: Mapping[str, Job]) -> None:
        self.pool, self.folder, self.jobs = pool, folder, jobs
        self.futures: dict[str, Future[str]] = {}

    def __getitem__(self, name: str) -> Future[str]:
        """The build of a job."""
        if name not in self.futures:
            self.futures[name] = self.pool.submit(build, self.folder("contracts"), *self.jobs[name])
        return self.futures[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the jobs."""
        return iter(self.jobs)

    def __len__(self) -> int:
        """How many jobs there are."""
        return len(self.jobs)


@contextmanager
def building(folder: Callable[[str], Path], jobs: Mapping[str, Job]) -> Iterator[Builds]:
    """Builds of jobs, each in a process of its own; nothing is compiled any more once they are left."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield Builds(pool, folder, jobs)
        pool.shutdown(cancel_futures=True)


def builds_of(defects: Sequence[Defect], true: Mapping[str, str] = MappingProxyType({})) -> Any:
    """The fixture `builds` of a module: bytecode by defect, and of true contracts by the name that they are given."""

    @pytest.fixture(scope="module", name="builds")
    def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
        jobs: dict[str, Job] = {name: (None, contract) for name, contract in true.items()}
        jobs |= {defect.name: (defect, defect.rebuilds) for defect in defects}
        with building(tmp_path_factory.mktemp, jobs) as compiled:
            yield compiled

    return builds


def deploy(contracts: Any, sender: Any, contract: str, bytecode: Mapping[str, str], *arguments: Any) -> Any:
    """A contract, from other bytecode where that is given; the interface is that of the true one."""
    container = getattr(contracts, contract)
    if contract in bytecode:
        changed = {"deployment_bytecode": Bytecode(bytecode=bytecode[contract])}
        container = ContractContainer(container.contract_type.model_copy(update=changed))
    return sender.deploy(container, *arguments)
