"""Replay nine years of hourly prices of ETH and BTC through the scan range that follows volatility.

Runs as ``ape run replay``, which is what ``make report`` does.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import ape
import click
from ape.cli import ConnectedProviderCommand, verbosity_option
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # ape has the project on the path only while it reads this file
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from python_model import history, methodology, replay  # noqa: E402
from python_model.history import HistoryError  # noqa: E402
from python_model.volatility import Terms  # noqa: E402
from scripts import compiled, report, series  # noqa: E402
from scripts.chapter_volatility import date, share  # noqa: E402
from scripts.replay_chapters import Replay, replay_chapters, weeks_on_chain  # noqa: E402

TITLE = "A scan range that follows volatility, on real prices"
LEAD = (
    "How often prices of the next day went beyond the scan range, what that cost in margin, and by how much margin "
    "rose when markets fell: ETH and BTC by the hour, from 2017 to 2026."
)
# The widest table is made for this; on a narrower terminal it would lose figures.
LEAST_WIDTH = 136


def week_text(worst: Replay) -> str:
    """The file of the worst week that ships with the model: returns, and what was known at their beginning."""
    fall, series, path = worst.weeks[0], worst.series, worst.path
    closes = series.close[fall.start : fall.stop + 1]
    if not np.isfinite(closes).all():
        raise click.ClickException(f"{series.name}: an hour of the worst week is missing")
    start = int(series.times[fall.start])
    lines = [
        f"# {series.name}: hourly log-returns, rounded to 1e-4, of the week around its largest fall in 24 hours since",
        f"# 2017, which begins {date(int(series.times[fall.at]))} UTC. Derived by scripts/replay.py from",
        "# hourly prices in USDT (public repository IngiOrn/crypto_data); do not edit by hand.",
        "#",
        "# At the beginning: seconds since 1970, USD; variance a day and scan range of the default parameters, after",
        "# all prices before.",
        f"# time: {start}",
        f"# price: {closes[0]:.2f}",
        f"# variance: {path.sigma[fall.start] ** 2:.9f}",
        f"# scan_range: {path.scan_range[fall.start]:.6f}",
        "log_return",
        *(f"{x + 0.0:.4f}" for x in np.diff(np.log(closes)).round(4)),
    ]
    return "\n".join(lines) + "\n"


@click.command(cls=ConnectedProviderCommand, context_settings={"help_option_names": ["-h", "--help"]})
@series.option("Folder whose prices/ has hourly prices of ETH and BTC as Parquet.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/replay.html"),
    show_default=True,
    help="Where to write the report, one HTML file that needs no other.",
)
@click.option(
    "--weeks",
    type=click.IntRange(0, 5),
    default=5,
    show_default=True,
    help="How many of the worst weeks of each underlying go through the contract.",
)
@click.option("--rewrite-week", is_flag=True, help="Make the worst week of these prices the one that ships.")
@verbosity_option(default="WARNING")
def cli(provider: Any, data: Path, out: Path, weeks: int, rewrite_week: bool) -> None:
    """Replay nine years of hourly prices through the scan range that follows volatility (M-21, M-22).

    \b
    1. Coverage and cost: how often the next 24 hours went beyond the range, and how wide it was.
    2. Procyclicality: the largest rise within 24 hours, of the range and of the margin of standard books.
    3. The five worst weeks of each underlying, and what the contract made of them.
    4. Other settings: one parameter at a time, and a search over 135 combinations.

    Prints the tables and writes them with pictures. Moves the chain's clock: it runs on local networks alone. Ends with
    1 where the prices are absent, or where contract and model differ by more than rounding allows.

    \b
    Examples:
      ape run replay --network ethereum:local:foundry
      ape run replay --data ../shared/data --out replay.html
    """
    if not provider.network.is_dev:
        raise click.UsageError(f"network: must be a local one, the clock is moved (got {provider.network.choice})")
    # About a setting of Solidity, which ape reads and nobody here sets.
    warnings.filterwarnings("ignore", module="pydantic_settings")
    began = time.monotonic()
    console = Console(width=max(Console().width, LEAST_WIDTH))
    terms, house = Terms(), methodology.load("house")
    try:
        replays = [Replay.of(history.load(data, name), terms) for name in history.FILES]
    except HistoryError as error:
        raise click.ClickException(str(error)) from None
    if rewrite_week:
        history.WEEK.write_text(week_text(replays[0]), encoding="utf-8")
        console.print(f"wrote {history.WEEK}", soft_wrap=True)
    console.print(f"[bold]{TITLE}[/]\n{LEAD}", highlight=False, width=report.TEXT_WIDTH)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        compiling = progress.add_task("compiling the contracts", total=None)
        contracts = compiled.load()
        progress.update(compiling, total=1, completed=1)
        hours = sum(fall.stop + 1 - fall.start for r in replays for fall in r.weeks[:weeks])
        publishing = progress.add_task("the worst weeks through the contract", total=hours)
        sender = ape.accounts.test_accounts[0]
        courses = weeks_on_chain(replays, weeks, contracts, sender, lambda: progress.advance(publishing))
        searching = progress.add_task("searching all settings", total=len(replay.all_settings(terms)))
        chapters = replay_chapters(replays, house, terms, courses, lambda: progress.advance(searching))
    for chapter in chapters:
        report.tell(console, chapter)
    facts = [
        (share(r.dynamic.worst.share), f"of hours: the next 24 of {r.series.name} went beyond a range of "
                                       f"{share(r.dynamic.mean, 1)} on average")
        for r in replays
    ]  # fmt: skip
    facts += [
        (share(r.static.worst.share), f"of hours: beyond a static {share(r.static.mean, 0)}, {r.series.name}")
        for r in replays
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.page(TITLE, LEAD, facts, chapters), encoding="utf-8")
    console.print(f"\nReport: {out.resolve()} ({time.monotonic() - began:.0f} s)", highlight=False, soft_wrap=True)
    if any(course.difference > course.allowed for course in courses):
        raise SystemExit(1)
