"""Checks of the contracts that ruff and mypy cannot make: names, natspec and size.

Run by `make lint`. The rules are those of the house: a CamelCase file is deployable, a snake_case file is not; the
natspec of the public surface stands in the interfaces, to which a deployable may point.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.table import Table
from vyper.ast import nodes, parse_to_ast
from vyper.exceptions import VyperException

ROOT = Path(__file__).resolve().parents[1]
SIZE_LIMIT = 24_576  # EIP-170, bytes of runtime code
# Folders of contracts/ whose files are deployed, beside contracts/ itself.
DEPLOYABLE_FOLDERS = (".", "feeds", "crosschain", "governance")
CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]*")
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SEE = re.compile(r"@custom:see[ \t]+(\w+)")


@dataclass(frozen=True)
class Problem:
    """One finding: where it is, and what to do."""

    path: Path
    line: int | None
    message: str


@dataclass(frozen=True)
class Size:
    """Bytes of a deployed contract: its code and the immutables behind the code."""

    path: Path
    code: int
    immutables: int

    @property
    def total(self) -> int:
        return self.code + self.immutables


def deployables(contracts: Path) -> list[Path]:
    return sorted(path for folder in DEPLOYABLE_FOLDERS for path in (contracts / folder).glob("*.vy"))


def check_names(contracts: Path) -> Iterator[Problem]:
    for path in [*deployables(contracts), *sorted((contracts / "mocks").rglob("*.vy"))]:
        if not CAMEL_CASE.fullmatch(path.stem):
            yield Problem(
                path,
                None,
                "a deployable: rename it in CamelCase, or move it to contracts/modules or contracts/libraries",
            )
    for folder in ("modules", "libraries"):
        for path in sorted((contracts / folder).rglob("*.vy")):
            if not SNAKE_CASE.fullmatch(path.stem):
                yield Problem(path, None, "not a deployable: rename it in snake_case, or move it to contracts/")


def external_functions(path: Path) -> list[nodes.FunctionDef]:
    module = parse_to_ast(path.read_text(), is_interface=path.suffix == ".vyi")
    return [
        node
        for node in module.get_children(nodes.FunctionDef)
        if any(getattr(decorator, "id", None) == "external" for decorator in node.decorator_list)
    ]


def missing_tags(function: nodes.FunctionDef, text: str) -> list[str]:
    """The natspec tags that the signature asks for and the docstring lacks."""
    documented = set(re.findall(r"@param[ \t]+(\w+)", text))
    missing = [] if "@notice" in text else ["@notice"]
    missing += [f"@param {argument.arg}" for argument in function.args.args if argument.arg not in documented]
    if function.returns is not None and "@return" not in text:
        missing.append("@return")
    return missing


def check_natspec(contracts: Path) -> Iterator[Problem]:
    declared: dict[str, set[str]] = {}
    for path in [*sorted((contracts / "interfaces").rglob("*.vyi")), *deployables(contracts)]:
        try:
            functions = external_functions(path)
        except VyperException as error:
            yield Problem(path, None, f"does not parse, mend it first: {error.message}")
            continue
        if path.suffix == ".vyi":
            declared[path.stem] = {function.name for function in functions}
        for function in functions:
            text = function.doc_string.value if function.doc_string is not None else ""
            reference = SEE.search(text)
            if path.suffix == ".vy" and reference is not None:
                interface = reference.group(1)
                if function.name not in declared.get(interface, set()):
                    yield Problem(
                        path,
                        function.lineno,
                        f"{function.name}: contracts/interfaces/{interface}.vyi does not declare it; declare it there"
                        " or name the interface that does",
                    )
            elif missing := missing_tags(function, text):
                hint = " (or `@custom:see` and its interface)" if path.suffix == ".vy" else ""
                yield Problem(
                    path, function.lineno, f"{function.name}: add {', '.join(missing)} to its docstring{hint}"
                )


def measure(path: Path, root: Path, evm_version: str) -> Size | Problem:
    """Compile with the vyper of this environment, which finds installed packages by itself."""
    vyper = Path(sys.executable).parent / "vyper"
    command = [str(vyper), str(path), "-f", "bytecode_runtime,layout", "-p", str(root), "--evm-version", evm_version]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        reason = run.stderr.strip().splitlines() or ["no reason given"]
        return Problem(path, None, "does not compile, mend it first:\n  " + "\n  ".join(reason))
    bytecode, layout = run.stdout.splitlines()[:2]
    return Size(
        path,
        code=len(bytecode.removeprefix("0x")) // 2,
        immutables=immutables_length(json.loads(layout).get("code_layout", {})),
    )


def immutables_length(code_layout: dict[str, object]) -> int:
    """The end of the last immutable; those of a module stand in a dictionary under the module's name."""
    end = 0
    for entry in code_layout.values():
        if not isinstance(entry, dict):
            continue
        if isinstance(entry.get("offset"), int) and isinstance(entry.get("length"), int):
            end = max(end, entry["offset"] + entry["length"])
        else:
            end = max(end, immutables_length(entry))
    return end


def check_sizes(contracts: Path, console: Console) -> Iterator[Problem]:
    root = contracts.parent
    evm_version = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["vyper"]["evm_version"]
    paths = deployables(contracts)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda path: measure(path, root, evm_version), paths))

    sizes = sorted((result for result in results if isinstance(result, Size)), key=lambda size: -size.total)
    table = Table("contract", title=f"Runtime code (limit {SIZE_LIMIT:,} bytes)")
    for header in ("code", "immutables", "total", "left"):
        table.add_column(header, justify="right")
    for size in sizes:
        left = SIZE_LIMIT - size.total
        style = "red" if left < 0 else "yellow" if left < SIZE_LIMIT // 20 else None
        cells = [f"{value:,}" for value in (size.code, size.immutables, size.total, left)]
        table.add_row(size.path.stem, *cells, style=style)
    if sizes:
        console.print(table)

    yield from (result for result in results if isinstance(result, Problem))
    for size in sizes:
        if size.total > SIZE_LIMIT:
            excess = size.total - SIZE_LIMIT
            yield Problem(
                size.path, None, f"{excess:,} bytes over the limit: move views or a concept to a contract of its own"
            )


@click.command(help=__doc__)
@click.option(
    "--contracts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "contracts",
    help="The folder to check.",
)
def cli(contracts: Path) -> None:
    contracts = contracts.resolve()
    console = Console()
    problems = [*check_names(contracts), *check_natspec(contracts), *check_sizes(contracts, console)]
    for problem in problems:
        place = problem.path.relative_to(contracts.parent).as_posix()
        click.echo(f"{place}{f':{problem.line}' if problem.line else ''}: {problem.message}", err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} to mend in the contracts")
    console.print(f"Contracts: names, natspec and size hold ({len(deployables(contracts))} deployables)")


if __name__ == "__main__":
    cli()
