"""Assess case files by the contracts on a chain and by the float model, figure beside figure.

Runs as ``ape run margin CASE [--out OUT] [--network CHOICE]``, which is what ``make margin CASE=path [OUT=path]`` does.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`, where a dataclass would look up
# annotations that are text.
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
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
from python_model import margin as float_model  # noqa: E402
from python_model import methodology  # noqa: E402
from python_model.case import Case, CaseError  # noqa: E402
from python_model.methodology import Methodology  # noqa: E402
from python_model.portfolio import Book, Market, Mode, net  # noqa: E402
from python_model.scenarios import in_words  # noqa: E402
from scripts import chain  # noqa: E402

# Doubles err by 1.1e-16 an operation and a figure takes fewer than a thousand on numbers of the size of the gross book,
# whose rounding the logarithm's division by sigma sqrt(tau) cannot enlarge by more than ten.
NOISE = 1e-12
# Fixed point: 1e-18 a truncating division.
DUST = 1e-12
# A net delta errs by this share of 4 epsilon sum |q| (F + K): 1.5e-10 of the CDF, and the 2e-10 that the engine adds.
DELTA_SHARE = 0.1
# A vega errs by this share of itself: the density at a d1 that is off by 1e-11.
VEGA_SHARE = 1e-9
# Columns from which on a console has room for the bounds.
WIDE = 100
REQUIREMENTS = {"maintenance": "maintenance margin", "initial": "initial margin"}
EQUITIES = {"equity_maintenance": "maintenance equity", "equity_initial": "initial equity"}
CHARGES = {
    "scan": "worst loss",
    "calendar": "calendar charge",
    "vega_calendar": "vega calendar charge",
    "short_option": "option minimum",
    "liquidity": "liquidation cost",
    "confidence": "price confidence",
}
GREEK_UNITS = {"delta": "{u}", "gamma": "{u} per USD", "vega": "USD per 1.00 vol", "theta": "USD a day",
               "rho": "USD per 1.00 rate"}  # fmt: skip


class AssessmentError(RuntimeError):
    """A case that the chain cannot assess; one line."""


def one_line(error: object) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())


# ---------------------------------------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Job:
    """A case file, what was read from it, or why it could not be, and where its result goes."""

    source: Path
    target: Path | None
    case: Case | None = None
    error: str | None = None


def read(path: Path) -> Case:
    """A case from its file, its net legs within what a position word holds; CaseError names what is wrong."""
    case = cases.read_case(path)
    most = chain.MAX_FIELD // 10**6
    rows = [p.instrument for p in case.book.positions]
    for leg in net(case.book.positions, case.market):
        if abs(leg.size) > most:
            last = max(i for i, instrument in enumerate(rows) if instrument == leg.instrument)
            raise CaseError(
                f"account.positions[{last}].size: sizes in one instrument must add up to at most {most} "
                f"(got {leg.size:.15g})"
            )
    return case


def job(source: Path, target: Path | None) -> Job:
    """The job of one file."""
    try:
        return Job(source, target, read(source))
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


def plan(case: Path, out: Path | None) -> list[Job]:
    """The jobs of a case file, or of every ``*.json`` of a folder.

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
        return [job(case, out)]
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
    return [job(source, None if out is None else out / source.name) for source in sources]


# ---------------------------------------------------------------------------------------------- contract and model


@dataclass(frozen=True)
class Figure:
    """One figure of both sides. `above`, `below`: how far the contract may lie off the model (None: not compared)."""

    name: str
    unit: str
    contract: float
    model: float
    above: float | None = None
    below: float | None = None
    underlying: str | None = None

    @property
    def title(self) -> str:
        """The name, with that of the underlying."""
        return self.name if self.underlying is None else f"{self.underlying}: {self.name}"

    @property
    def difference(self) -> float:
        """Contract less model."""
        return self.contract - self.model

    @property
    def disagrees(self) -> bool:
        """Whether the contract is further off than it may be; the model's figure is rounded itself."""
        if self.above is None or self.below is None:
            return False
        rounding = NOISE * abs(self.model)
        return not -self.below - rounding <= self.difference <= self.above + rounding


@dataclass(frozen=True)
class Bounds:
    """What contract and model may differ by, USD.

    Attributes
    ----------
    price : float
        ``4 epsilon sum |q| (F + K)`` over net options (M-16): the `error_bound` of a result. It bounds every figure but
        those below.
    liquidity : float
        Of the liquidation cost and so of the maintenance margin. M-12 grows with the square of a delta, whose error it
        multiplies: by more than one for books of tens of billions.
    initial_factor : float
        The initial margin errs by this factor more than the maintenance margin: the engine adds `f` times the bound.
    noise : float
        What the model's own doubles err by, `NOISE` of the gross book; of requirements that and the factor of M-12.
    """

    price: float
    liquidity: float
    initial_factor: float
    noise: float
    requirement_noise: float

    @staticmethod
    def of(book: Book, market: Market, preset: Methodology) -> "Bounds":
        """The bounds of one book."""
        price = 4 * chain.EPSILON * chain.error_notional(book, market)
        gross = abs(book.cash) + sum(c.amount * c.price for c in book.collateral)
        gross += sum(abs(p.size) * (market.underlyings[p.underlying].spot + (p.entry or 0.0)) for p in book.positions)
        gross += price / (4 * chain.EPSILON)
        liquidity, steepest = price, 0.0
        for table in float_model.leg_tables(book, market, preset).values():
            size = np.abs(table.size)
            delta_usd = float(size @ np.abs(table.delta)) * table.spot
            points = 0.01 * float(size @ np.abs(table.vega))
            slope = preset.h_delta * (1 + 2 * (delta_usd + DELTA_SHARE * price) / (table.depth * preset.depth_delta))
            vega_slope = preset.h_vega * (1 + 2 * points / (table.depth * preset.depth_vega))
            gross += delta_usd
            liquidity += slope * DELTA_SHARE * price + vega_slope * VEGA_SHARE * points
            steepest = max(steepest, slope, vega_slope)
        noise = NOISE * gross + DUST
        return Bounds(price, liquidity, preset.initial_factor, noise, noise * (1 + steepest))


def money(contract: dict[str, Any], model: dict[str, Any], bounds: Bounds) -> list[Figure]:
    """Every money figure that both sides give: requirements, equity, option value, capital, charges, scenario P&L.

    A requirement of the contract may not be below the model's, and equity not above it, by more than the model's own
    noise (INV-06).
    """
    b, f, low = bounds, bounds.initial_factor, bounds.requirement_noise
    wide = {"maintenance": b.liquidity + low, "initial": f * (b.liquidity + low)}
    rows = [Figure(title, "USD", contract[k], model[k], wide[k], f * low) for k, title in REQUIREMENTS.items()]
    plain = b.price + b.noise
    rows += [Figure(title, "USD", contract[k], model[k], b.noise, plain) for k, title in EQUITIES.items()]
    rows.append(Figure("option value", "USD", contract["option_value"], model["option_value"], plain, plain))
    for mode in ("isolated", "cross", "portfolio"):
        figures = contract["capital"][mode], model["capital"][mode]
        rows.append(Figure(f"capital, {mode}", "USD", *figures, wide["initial"] + plain, f * low + plain))
    for u, charges in model["charges"].items():
        for key, title in CHARGES.items():
            bound = b.liquidity + low if key == "liquidity" else plain
            rows.append(Figure(title, "USD", contract["charges"][u][key], charges[key], bound, bound, u))
    for u, pnl in model["scenario_pnl"].items():
        for i, (x, y) in enumerate(zip(contract["scenario_pnl"][u], pnl, strict=True)):
            rows.append(Figure(f"P&L of scenario {i}", "USD", x, y, plain, plain, u))
    return rows


def greeks(contract: dict[str, Any], model: dict[str, Any]) -> list[Figure]:
    """Greeks of both sides, side by side; `tests/differential` compares them."""
    return [
        Figure(key, unit.format(u=u), contract["greeks"][u][key], row[key], underlying=u)
        for u, row in model["greeks"].items()
        for key, unit in GREEK_UNITS.items()
    ]


@dataclass(frozen=True)
class Outcome:
    """The result of a case, its figures side by side, and those beyond their bound."""

    result: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)

    @property
    def disagreements(self) -> list[str]:
        """One line for each figure beyond its bound."""
        return [
            f"DISAGREEMENT: {f.title}: contract {f.contract!r}, model {f.model!r}, off by {f.difference:.3e} {f.unit} "
            f"(bound: {f.above:.3e} above, {f.below:.3e} below)"
            for f in self.figures
            if f.disagrees
        ]


class Desk:
    """Engines on a chain, one for each methodology asked for, deployed once for any number of cases."""

    def __init__(self, contracts: Any, sender: Any, presets: dict[str, Methodology]) -> None:
        """Deploy. `contracts` are ape's containers by name; `sender` pays. Raises what ape raises."""
        self.presets = presets
        # Members of correlation groups keep their ids; other names are numbered case by case, for each case publishes
        # its own market.
        self.grouped = chain.ids({name for m in presets.values() for group in m.groups for name in group.members})
        self.deployment = chain.deploy_engine(contracts, sender, list(presets.values()), self.grouped)
        self.provider = self.deployment.market_data.provider
        self.published = 0
        chain.require_time_override(self.provider)

    def names(self, market: Market) -> dict[str, int]:
        """Ids of the underlyings of a market."""
        others = sorted(set(market.underlyings) - set(self.grouped))
        free = len(self.grouped) + 1
        numbered = self.grouped | {name: free + i for i, name in enumerate(others)}
        return {name: numbered[name] for name in market.underlyings}

    def now(self) -> int:
        """A time newer than that of the last case's data and not ahead of the next block."""
        latest = self.provider.get_block("latest").timestamp
        if latest <= self.published:
            latest = self.published + 1
            if self.provider.network.is_dev:
                self.provider.set_timestamp(latest)
            else:
                time.sleep(2)
        self.published = latest
        return latest

    def assess(self, case: Case) -> Outcome:
        """Publish the case's market, ask the engine, measure a transaction, and put the model's answer beside it.

        Times to expiry are exact, since views are called in a block of the time that stands for `as_of`. The
        transaction that measures gas is mined in real time, some seconds later.

        Raises
        ------
        AssessmentError
            Where the chain refuses.
        """
        preset = self.presets[case.methodology]
        names = self.names(case.market)
        deployment = replace(self.deployment, names=names)
        engine, report = deployment.engines[case.methodology], deployment.reports[case.methodology]
        try:
            clock = chain.publish(deployment, case.market, self.now())
            # Perhaps a second earlier: see `publish`.
            now = clock.chain(case.market.as_of)
            accounts = {
                mode: chain.account(replace(case.book, mode=mode), case.market, names, clock) for mode in chain.MODES
            }
            own = accounts[case.book.mode]
            assessment, reports = chain.call_at(report.explain, now, own)
            portfolio = chain.call_at(engine.assess, now, accounts[Mode.PORTFOLIO])
            cross = chain.call_at(engine.assess, now, accounts[Mode.CROSS])
            gas = engine.assess.transact(own, sender=deployment.sender).gas_used
        except (RuntimeError, OSError, ApeException) as error:
            raise AssessmentError(f"chain: {one_line(error)}") from error
        contract = chain.result(assessment, reports, names)
        contract["capital"] = chain.capital(portfolio, cross)
        model = float_model.assess(case.book, case.market, preset).to_dict()
        bounds = Bounds.of(case.book, case.market, preset)
        compared = money(contract, model, bounds)
        result = {
            "contract": contract,
            "model": model,
            "max_abs_difference": max(abs(figure.difference) for figure in compared),
            "error_bound": bounds.price,
            "gas": {"assess": gas},
            "legs": len(net(case.book.positions, case.market)),
            "scenarios": len(preset),
        }
        return Outcome(result, compared + greeks(contract, model))


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
    for figure in sorted(outcome.figures, key=lambda figure: figure.underlying or ""):
        if "P&L" in figure.name:
            continue
        if figure.underlying != section:
            table.add_section()
            section = figure.underlying
        allowed = "" if figure.above is None else f"-{figure.below:.1e} to +{figure.above:.1e}"
        values = number(figure.contract), number(figure.model), f"{figure.difference:+.1e}"
        style = "bold red" if figure.disagrees else None
        cells = [*values, allowed][: len(headings)]
        table.add_row(escape(f"{figure.title}, {figure.unit}"), *cells, style=style)
    return table


def standing(r: dict[str, Any]) -> str:
    """What the figures mean for the account."""
    free, buffer = r["equity_initial"] - r["initial"], r["equity_maintenance"] - r["maintenance"]
    if free >= 0:
        return f"Healthy: {number(free)} USD above initial margin may be withdrawn or put at risk."
    if buffer >= 0:
        return f"Below initial margin by {number(-free)} USD: only acts that lower the risk pass."
    return f"Liquidatable: {number(-buffer)} USD below maintenance margin."


def tell(console: Console, source: Path, case: Case, outcome: Outcome, preset: Methodology) -> None:
    """Print one case for people."""
    r, contract = outcome.result, outcome.result["contract"]
    title = f"{source.name}: {case.methodology} methodology, {case.book.mode} mode, {r['legs']} legs"
    console.print(comparison(f"{escape(title)}, {r['scenarios']} scenarios", outcome, console.width))
    console.print(standing(contract), highlight=False)
    for u, scenario in contract["worst_scenario"].items():
        words = in_words(preset, scenario, case.market.underlyings[u].scan_range)
        profit = number(contract["scenario_pnl"][u][scenario])
        line = f"Worst scenario of {escape(u)}, all legs together: {words}: P&L {profit} USD (number {scenario})."
        console.print(line, highlight=False)
    verdict = "every money figure within its bound" if not outcome.disagreements else "DISAGREEMENT"
    console.print(
        f"Largest difference {r['max_abs_difference']:.2e} USD; 4 epsilon sum |q|(F+K) = {r['error_bound']:.2e} USD; "
        f"{verdict}.",
        highlight=False,
    )
    console.print(f"A transaction that assesses the account: {r['gas']['assess']:,} gas.", highlight=False)
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
            f"{r['max_abs_difference']:.1e}", f"{r['error_bound']:.1e}", f"{r['gas']['assess']:,}",
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
        try:
            contracts = chain.load_contracts()
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
@click.option("--network", metavar="CHOICE", help="Ape network, `ecosystem:network:provider`; default: ape's.")
@click.option("--account", metavar="ALIAS", help="Ape account that pays; on local networks by default a test one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
@verbosity_option(default="ERROR")
def cli(case: Path, out: Path | None, network: str | None, account: str | None, as_json: bool) -> None:
    """Assess the account of a CASE file by the contracts and by the float model.

    CASE is a JSON file with a market and an account, or a folder: then every *.json in it is assessed in one run, and
    OUT is a folder with a result of the same name for each. A bad case gives {"error": "..."} there.

    Deploys market data, methodology, pricing kernel and margin engine on the network, publishes the case's market, and
    compares every figure. Ends with 1 where a case is bad (one line says which field and why) or where contract and
    model differ by more than the error bound allows.

    \b
    Examples:
      ape run margin case.json --network ethereum:local:foundry
      ape run margin cases/ --out build/results --network ethereum:local:foundry
      ape run margin case.json --json --network ethereum:sepolia:node --account deployer
    """
    logs_to_stderr()
    try:
        jobs = plan(case, out)
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
                tell(console, job.source, job.case, outcome, methodology.load(job.case.methodology))
    if out is not None and not as_json:
        console.print(f"wrote {escape(str(out))}", highlight=False)
    if failed:
        raise SystemExit(1)
