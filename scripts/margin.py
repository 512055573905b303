"""Assess case files by the contracts on a chain and by the float model, figure beside figure.

Runs as ``ape run margin CASE [--out OUT] [--network CHOICE]``, which is what ``make margin CASE=path [OUT=path]`` does.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`, where a dataclass would look up
# annotations that are text.
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import click
from ape.cli import verbosity_option
from ape.exceptions import ApeException
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # ape has the project on the path only while it reads this file
    sys.path.insert(0, str(ROOT))

from python_model import case as cases  # noqa: E402
from python_model import methodology  # noqa: E402
from python_model.case import Case, CaseError  # noqa: E402
from python_model.portfolio import Position, net  # noqa: E402
from scripts import chain, compiled, explanation  # noqa: E402
from scripts.desk import AssessmentError, Desk, Outcome, one_line  # noqa: E402

# Columns from which on a console has room for the bounds.
WIDE = 100


# ---------------------------------------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Job:
    """A case file, what was read from it, or why it could not be, and where its result goes."""

    source: Path
    target: Path | None
    case: Case | None = None
    error: str | None = None


def require_sizes(case: Case, positions: tuple[Position, ...], paths: list[str]) -> None:
    """CaseError where net legs are more than a position word holds; `paths` are the rows of `positions`."""
    most = chain.MAX_FIELD // 10**6
    rows = [p.instrument for p in positions]
    for leg in net(positions, case.market):
        if abs(leg.size) > most:
            last = max(i for i, instrument in enumerate(rows) if instrument == leg.instrument)
            raise CaseError(
                f"{paths[last]}.size: sizes in one instrument must add up to at most {most} (got {leg.size:.15g})"
            )


def read(path: Path, packages: Sequence[Path] = ()) -> Case:
    """A case from its file, with packages from files of theirs; CaseError names what is wrong.

    Net legs, those after a package too, are within what a position word holds.
    """
    case = cases.read_case(path)
    own = [f"account.positions[{i}]" for i in range(len(case.book.positions))]
    require_sizes(case, case.book.positions, own)
    given = [f"packages[{i}]." for i in range(len(case.packages))]
    for file in packages:
        case = cases.read_package(file, case)
        given.append(f"package {file.name}: ")
    for package, prefix in zip(case.packages, given, strict=True):
        rows = [f"{prefix}positions[{i}]" for i in range(len(package.positions))]
        require_sizes(case, case.book.positions + package.positions, own + rows)
    return case


def job(source: Path, target: Path | None, packages: Sequence[Path] = ()) -> Job:
    """The job of one file."""
    try:
        return Job(source, target, read(source, packages))
    except CaseError as error:
        return Job(source, target, error=one_line(error))


def writable(path: Path) -> bool:
    """Whether a file can be written there. Changes nothing."""
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError:
        return False
    if not there:
        path.unlink()
    return True


def plan(case: Path, out: Path | None, packages: Sequence[Path] = ()) -> list[Job]:
    """The jobs of a case file, or of every ``*.json`` of a folder, each with the packages.

    Makes the folder ``out`` where ``case`` is a folder. CaseError where there is nothing to do or no place for results.
    """
    if not case.exists():
        raise CaseError(f"case: {case} does not exist")
    if not case.is_dir():
        if out is not None:
            if out.is_dir():
                raise CaseError(f"out: {out} is a folder, name a file in it")
            if not out.parent.is_dir():
                raise CaseError(f"out: the folder {out.parent} does not exist")
            if out.exists() and out.samefile(case):
                raise CaseError("out: is the case file itself")
            if not writable(out):
                raise CaseError(f"out: {out} cannot be written")
        return [job(case, out, packages)]
    sources = sorted(path for path in case.glob("*.json") if not path.is_dir())
    if not sources:
        raise CaseError(f"case: no *.json in the folder {case}")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaseError(f"out: the folder cannot be made ({error})") from None
        if out.samefile(case):
            raise CaseError("out: is the folder of the cases, results would replace them")
        for path in (out / source.name for source in sources):
            if not writable(path):
                raise CaseError(f"out: {path} cannot be written")
    return [job(source, None if out is None else out / source.name, packages) for source in sources]


# ---------------------------------------------------------------------------------------------- what is told


def number(value: float) -> str:
    """A figure with six decimals, in powers of ten where it is huge."""
    return f"{value:,.6f}" if abs(value) < 1e12 else f"{value:.12e}"


def comparison(title: str, outcome: Outcome, width: int) -> Table:
    """Contract beside model, figure by figure; without scenario P&L, and on a narrow console without the bounds."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("figure, unit")
    headings = ["contract", "model", "difference", *(["may be off by"] if width >= WIDE else [])]
    for heading in headings:
        # A number is never cut: names give way.
        table.add_column(heading, justify="right", no_wrap=True)
    section = None
    # Of the account, then by underlying.
    for figure in sorted(outcome.figures, key=lambda figure: figure.section or ""):
        if "P&L" in figure.name:
            continue
        if figure.section != section:
            table.add_section()
            section = figure.section
        allowed = "" if figure.above is None else f"-{figure.below:.1e} to +{figure.above:.1e}"
        values = number(figure.contract), number(figure.model), f"{figure.difference:+.1e}"
        style = "bold red" if figure.disagrees else None
        cells = [*values, allowed][: len(headings)]
        table.add_row(escape(f"{figure.title}, {figure.unit}"), *cells, style=style)
    return table


def gas(r: dict[str, Any]) -> str:
    """What assessing the account costs."""
    used = r["gas"]["assess"]
    return "more than a block" if used is None else f"{used:,} gas"


def standing(r: dict[str, Any]) -> str:
    """What the figures mean for the account."""
    free, buffer = r["equity_initial"] - r["initial"], r["equity_maintenance"] - r["maintenance"]
    if free >= 0:
        return f"Healthy: {number(free)} USD above initial margin may be withdrawn or put at risk."
    if buffer >= 0:
        return f"Below initial margin by {number(-free)} USD: only acts that lower the risk pass."
    return f"Liquidatable: {number(-buffer)} USD below maintenance margin."


def tell(console: Console, source: Path, case: Case, outcome: Outcome) -> None:
    """Print one case for people."""
    r, contract = outcome.result, outcome.result["contract"]
    title = f"{source.name}: {case.methodology} methodology, {case.book.mode} mode, {r['legs']} legs"
    console.print(comparison(f"{escape(title)}, {r['scenarios']} scenarios", outcome, console.width))
    verdict = "every money figure within its bound" if not outcome.disagreements else "DISAGREEMENT"
    console.print(
        f"Largest difference {r['max_abs_difference']:.2e} USD; 4 epsilon sum |q|(F+K) = {r['error_bound']:.2e} USD; "
        f"{verdict}.",
        highlight=False,
    )
    console.print(f"A transaction that assesses the account: {gas(r)}.", highlight=False)
    explanation.tell(console, case, outcome)
    console.print()
    console.print(standing(contract), highlight=False)
    for warning in case.warnings:
        console.print(f"Note: {escape(warning)}", highlight=False)


def overview(title: str, rows: list[tuple[Job, Outcome | None]]) -> Table:
    """One line a case that was assessed."""
    caption = "money in USD, the contract's figures; equity and margin are the initial ones; off: most off the model"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("case", "method, mode"):
        table.add_column(heading, overflow="fold")
    for heading in ("legs", "margin", "equity", "off", "bound", "gas"):
        table.add_column(heading, justify="right", no_wrap=True)
    for job, outcome in rows:
        if outcome is None or job.case is None:
            continue
        r = outcome.result
        figures = [f"{r['contract'][key]:,.2f}" for key in ("initial", "equity_initial")]
        table.add_row(
            escape(job.source.name), f"{job.case.methodology}, {job.case.book.mode}", str(r["legs"]), *figures,
            f"{r['max_abs_difference']:.1e}", f"{r['error_bound']:.1e}", gas(r).removesuffix(" gas"),
            style="bold red" if outcome.disagreements else None,
        )  # fmt: skip
    return table


# ---------------------------------------------------------------------------------------------- the command


def fail(error: object) -> NoReturn:
    """One line on stderr, and a non-zero exit."""
    click.echo(one_line(error), err=True)
    raise SystemExit(1)


def logs_to_stderr() -> None:
    """Ape logs to stdout, where results go."""
    levels = ("debug", "info", "success", "warning", "error")
    for name in logging.root.manager.loggerDict:
        for handler in logging.getLogger(name).handlers if name.startswith("ape") else []:
            handler.echo_kwargs = {level: {"err": True} for level in levels}  # type: ignore[attr-defined]
    # About a setting of Solidity, which ape reads and nobody here sets.
    warnings.filterwarnings("ignore", module="pydantic_settings")


@contextmanager
def connected(network: str | None, account: str | None) -> Iterator[Any]:
    """A connection, with the account that pays. CaseError where the choice of either is bad."""
    import ape
    from ape.cli import AccountAliasPromptChoice

    try:
        provider = ape.networks.get_provider_from_choice(network)
        if account is not None:
            sender = AccountAliasPromptChoice().convert(account, None, None)
        elif provider.network.is_dev:
            sender = ape.accounts.test_accounts[0]
        else:
            raise CaseError(f"account: --account ALIAS must name who pays on {network} (see `ape accounts list`)")
        connection = provider.network.use_provider(provider)
        connection.__enter__()
    except click.BadParameter as error:
        raise CaseError(f"account: {error.message}") from None
    except ApeException as error:
        raise CaseError(f"network: {one_line(error)}") from None
    try:
        if not provider.network.is_dev and hasattr(sender, "set_autosign"):
            # Asks for the passphrase once instead of before each of a dozen transactions.
            sender.set_autosign(True)
        yield sender
    finally:
        connection.__exit__(None, None, None)


def write(job: Job, answer: dict[str, Any]) -> None:
    """Write a result where it belongs."""
    if job.target is not None:
        job.target.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def perform(jobs: list[Job], network: str | None, account: str | None) -> list[tuple[Job, Outcome | None]]:
    """Assess every job that has a case, write every result; jobs come back with the errors that they met.

    Raises
    ------
    CaseError, AssessmentError
        Where no chain could be had.
    """
    done: list[tuple[Job, Outcome | None]] = [(job, None) for job in jobs if job.case is None]
    for job, _ in done:
        write(job, {"error": job.error})
    good = [job for job in jobs if job.case is not None]
    if not good:
        return done
    presets = {name: methodology.load(name) for name in sorted({job.case.methodology for job in good if job.case})}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with (
        redirect_stdout(sys.stderr),
        connected(network, account) as sender,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("compiling", total=len(good))
        has_tail = any(preset.tail is not None for preset in presets.values())
        try:
            contracts = compiled.load(*chain.CONTRACTS, *(chain.TAIL_CONTRACTS if has_tail else ()))
            progress.update(task, description="deploying")
            desk = Desk(contracts, sender, presets)
        except (RuntimeError, OSError, ApeException) as error:
            raise AssessmentError(f"network: {one_line(error)}") from error
        for job in good:
            assert job.case is not None
            progress.update(task, description=escape(job.source.name))
            try:
                outcome = desk.assess(job.case)
            except AssessmentError as error:
                write(job, {"error": str(error)})
                done.append((replace(job, error=str(error)), None))
            else:
                write(job, outcome.result)
                done.append((job, outcome))
            progress.advance(task)
    return sorted(done, key=lambda row: row[0].source)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File for the result; a folder where CASE is one.")
@click.option("--package", "packages", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
              help="JSON of trades to try on the account; several times for several packages.")  # fmt: skip
@click.option("--network", metavar="CHOICE", help="Ape network, `ecosystem:network:provider`; default: ape's.")
@click.option("--account", metavar="ALIAS", help="Ape account that pays; on local networks by default a test one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
@verbosity_option(default="ERROR")
def cli(
    case: Path, out: Path | None, packages: tuple[Path, ...], network: str | None, account: str | None, as_json: bool
) -> None:
    """Assess the account of a CASE file by the contracts and by the float model.

    CASE is a JSON file with a market and an account, or a folder: then every *.json in it is assessed in one run, and
    OUT is a folder with a result of the same name for each. A bad case gives {"error": "..."} there.

    Deploys market data, methodology, pricing kernel and margin engine on the network, publishes the case's market, and
    compares every figure. Explains the requirement: step by step, the worst scenario, and by legs. Ends with 1 where a
    case is bad (one line says which field and why) or where contract and model differ by more than the error bound
    allows.

    A package is {"name": ..., "positions": [as in account], "cash": change of cash, USD}; without cash, options are
    paid for at their mark. A case may have packages itself: "packages": [...]. Of a folder, the results have them.

    Methodologies with a tail (var, max) take "scenarios", the path of a file that `ape run scenarios` wrote, and
    "daily_vol" of each underlying; the charges that they report are those of the grid.

    \b
    Examples:
      ape run margin case.json --network ethereum:local:foundry
      ape run margin cases/ --out build/results --network ethereum:local:foundry
      ape run margin case.json --package hedge.json --network ethereum:local:foundry
      ape run margin case.json --json --network ethereum:sepolia:node --account deployer
    """
    logs_to_stderr()
    try:
        jobs = plan(case, out, packages)
        if not case.is_dir() and jobs[0].error:
            fail(jobs[0].error)
        done = perform(jobs, network, account)
    except (CaseError, AssessmentError, OSError) as error:
        fail(error)
    console = Console(width=None if sys.stdout.isatty() else 140)
    failed = False
    for job, outcome in done:
        prefix = f"{job.source.name}: " if case.is_dir() else ""
        for line in [job.error] if job.error else outcome.disagreements if outcome else []:
            failed = True
            click.echo(prefix + line, err=True)
        if as_json and job.case is not None:
            for warning in job.case.warnings:
                click.echo(f"{prefix}note: {warning}", err=True)
    answers = {job.source.name: outcome.result if outcome else {"error": job.error} for job, outcome in done}
    if as_json:
        click.echo(json.dumps(answers if case.is_dir() else next(iter(answers.values())), indent=2, allow_nan=False))
    elif case.is_dir():
        console.print(overview(f"{escape(str(case))}: {len(done)} cases", done))
    else:
        for job, outcome in done:
            if job.case is not None and outcome is not None:
                tell(console, job.source, job.case, outcome)
    if out is not None and not as_json:
        console.print(f"wrote {escape(str(out))}", highlight=False)
    if failed:
        raise SystemExit(1)
