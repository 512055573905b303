"""The story of portfolio margin on a chain: what it saves, the life of a book, a crash, and the sums at the end.

Runs as ``ape run demo``, which is what ``make demo`` does.
"""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ape
import click
from ape.cli import ConnectedProviderCommand, verbosity_option
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # ape has the project on the path only while it reads this file
    sys.path.insert(0, str(ROOT))

from python_model import case, methodology  # noqa: E402
from scripts import (  # noqa: E402
    chapter_capital,
    chapter_cover,
    chapter_crash,
    chapter_expiry,
    chapter_ledger,
    chapter_life,
    chapter_package,
    chapter_volatility,
    chapter_waterfall,
    compiled,
    crash,
    market_path,
    report,
    story,
    waterfall,
)

TITLE = "Portfolio margin through a crash"
LEAD = (
    "Eight strategies, seven accounts and the days in which ETH lost a fifth of its price: margined by the "
    "contracts on a chain, and by an independent float model beside them."
)
STEP_SECONDS = 3 * 3600
# Tables are made for this; on a narrower terminal they would lose figures.
LEAST_WIDTH = 120


@contextmanager
def progress_bar(console: Console, words: str, total: float | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar that vanishes when it is done; none where the output is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(words, total=total)


def set_stage(console: Console) -> tuple[SimpleNamespace, story.Stage]:
    """Compile and deploy everything; the market of the first snapshot is published. The contracts, and the stage."""
    snapshots = [case.read_market(name) for name in market_path.SNAPSHOTS]
    path = market_path.Path.through(snapshots, chapter_life.expiries(snapshots[0]))
    with progress_bar(console, "compiling the contracts", None) as (progress, task):
        contracts = compiled.load()
        progress.update(task, description="deploying the protocol")
        house = methodology.load("house")
        return contracts, story.set_stage(contracts, ape.accounts.test_accounts[0], house, path)


def replay(stage: story.Stage, console: Console) -> list[crash.Step]:
    """The steps of the crash."""
    start, end = stage.path.anchors[0].as_of, stage.path.anchors[-1].as_of
    steps = []
    with progress_bar(console, "the crash, hour by hour", end - start) as (progress, task):
        for step in crash.replay(stage, "bidder", STEP_SECONDS):
            steps.append(step)
            progress.update(task, completed=step.market.as_of - start)
    return steps


def volatility(console: Console, contracts: SimpleNamespace, stage: story.Stage) -> report.Chapter:
    """A week of prices through market data of their own, once the story is over: it moves the chain's clock."""
    with progress_bar(console, "the worst week of ETH, hour by hour", None) as (progress, task):
        course = chapter_volatility.week_on_chain(
            contracts, ape.accounts.test_accounts[0], lambda: progress.advance(task)
        )
    for contract, model in zip(course.contract, course.model, strict=True):
        stage.agreement.see(float(contract), float(model), course.allowed)
    return chapter_volatility.chapter("7. A scan range that follows volatility", stage.methodology, course)


def losses(console: Console, contracts: SimpleNamespace) -> tuple[report.Chapter, bool]:
    """An auction with a keeper, and a loss through the waterfall, on deployments of their own; whether sums hold."""
    with progress_bar(console, "an auction and a loss, stage by stage", waterfall.STEPS) as (progress, task):
        told = waterfall.play(contracts, ape.accounts.test_accounts[:6], lambda: progress.advance(task))
    return chapter_waterfall.chapter("8. Who bears a loss", told), told.holds


@click.command(cls=ConnectedProviderCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/report.html"),
    show_default=True,
    help="Where to write the report, one HTML file that needs no other.",
)
@verbosity_option(default="WARNING")
def cli(provider: Any, out: Path) -> None:
    """Tell the story of portfolio margin on a local chain, in tables, and write it as a report with pictures.

    \b
    1. Capital of eight strategies in isolated, cross and portfolio mode, on a recorded market.
    2. The life of a book: accounts, deposits, signed packages, a batch, the margin check, Greeks.
    3. A package of four legs at a net price, by signed orders, filled in part.
    4. Calls sold against staked ether, and the same calls on cash.
    5. The crash of 5 and 6 February 2026, replayed on the chain, liquidations included.
    6. An expiry on the way: its settlement price, and who got what.
    7. The worst week of ETH, and the scan range that followed its volatility, on the chain.
    8. An auction with a keeper, live, and a loss from the account that made it to everybody's cash and back.
    9. The sums: money and positions conserved, contract beside model, gas of each step.

    Mints worthless tokens and moves the chain's clock: it runs on local networks alone. Ends with 1 where contract and
    model differ by more than their proven bound allows, or where a sum is off.

    \b
    Examples:
      ape run demo --network ethereum:local:foundry
      ape run demo --out story.html
    """
    if not provider.network.is_dev:
        raise click.UsageError(f"network: must be a local one, the demo mints tokens (got {provider.network.choice})")
    # About a setting of Solidity, which ape reads and nobody here sets.
    warnings.filterwarnings("ignore", module="pydantic_settings")
    began = time.monotonic()
    console = Console(width=max(Console().width, LEAST_WIDTH))
    chapters = []

    def tell(chapter: report.Chapter) -> None:
        chapters.append(chapter)
        report.tell(console, chapter)

    console.print(f"[bold]{TITLE}[/]\n{LEAD}", highlight=False, width=report.TEXT_WIDTH)
    contracts, stage = set_stage(console)
    tell(chapter_capital.chapter(stage))
    tell(chapter_life.chapter(stage, ape.accounts.test_accounts[1:6]))
    tell(chapter_package.chapter(stage, ape.accounts.test_accounts[6]))
    tell(chapter_cover.chapter(stage, ape.accounts.test_accounts[7]))
    steps = replay(stage, console)
    tell(chapter_crash.chapter(stage, steps))
    tell(chapter_expiry.chapter(stage, steps))
    sums = story.conservation(stage)
    week = volatility(console, contracts, stage)
    tell(week)
    loss, holds = losses(console, contracts)
    tell(loss)
    tell(chapter_ledger.chapter(stage, sums))
    facts = chapter_ledger.facts(stage, steps, sums, chapter_capital.saved_by_maker(chapters[0]))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.page(TITLE, LEAD, facts, chapters), encoding="utf-8")
    console.print(f"\nReport: {out.resolve()} ({time.monotonic() - began:.0f} s)", highlight=False, soft_wrap=True)
    if not (chapter_ledger.sound(stage, sums) and holds):
        raise SystemExit(1)
