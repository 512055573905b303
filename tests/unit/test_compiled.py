"""What commands and tests get as the contracts is what the compiler makes of the sources as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts import compiled

EVM_VERSION = yaml.safe_load((compiled.ROOT / "ape-config.yaml").read_text())["vyper"]["evm_version"]


@pytest.mark.parametrize("name", ["InterestRates", "Lens"])
def test_bytecode_is_that_of_the_compiler(project_contracts, name):
    command = [Path(sys.executable).parent / "vyper", f"contracts/{name}.vy", "-f", "bytecode"]
    run = subprocess.run(
        [*command, "--evm-version", EVM_VERSION], cwd=compiled.ROOT, capture_output=True, text=True, check=True
    )
    kept = getattr(project_contracts, name).contract_type.deployment_bytecode.bytecode
    assert kept.removeprefix("0x") == run.stdout.strip().removeprefix("0x")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources in a folder of the test's own, which is the project for it."""
    shutil.copytree(compiled.ROOT / "contracts", tmp_path / "contracts")
    for name in ("requirements.lock", "ape-config.yaml"):
        shutil.copy(compiled.ROOT / name, tmp_path)
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "FOLDER", tmp_path / ".cache")
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["contracts/libraries/tail.vy", "contracts/interfaces/ILens.vyi", "requirements.lock", "ape-config.yaml"]
)
def test_another_source_tool_or_setting_has_another_name(copy, changed):
    before = compiled.digest()
    assert compiled.digest() == before
    path = copy / changed
    path.write_text(path.read_text() + "\n")
    assert compiled.digest() != before


def test_only_what_is_named_is_compiled_and_only_once(copy, monkeypatch):
    """What a changed source has left behind is gone."""
    asked = []
    compile_contracts = type(compiled.ape.compilers).compile

    def counted(manager, paths, **options):
        asked.append([path.stem for path in paths])
        return compile_contracts(manager, paths, **options)

    monkeypatch.setattr(type(compiled.ape.compilers), "compile", counted)
    assert vars(compiled.load("InterestRates")).keys() == {"InterestRates"}
    assert vars(compiled.load("Aggregator", "InterestRates")).keys() == {"Aggregator", "InterestRates"}
    compiled.load("Aggregator")
    assert asked == [["InterestRates"], ["Aggregator"]]
    module = copy / "contracts" / "libraries" / "fixed_point.vy"
    module.write_text(module.read_text() + "\n")
    compiled.load("Aggregator")
    assert asked[2:] == [["Aggregator"]]
    assert len(list((copy / ".cache").glob("contracts-*.json"))) == 1
