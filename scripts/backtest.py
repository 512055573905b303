"""Back-test every margin method on eight years of ETH and BTC: coverage, independence, cost, procyclicality.

The second half of ``make report``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from python_model import backtest, backtest_figures, backtest_market
from python_model.backtest import BacktestError
from python_model.backtest_books import book_types
from python_model.backtest_market import HORIZONS
from python_model.history import HistoryError
from python_model.scenario_set import ScenarioSetError
from scripts import report, series
from scripts.backtest_chapters import chapters, ratio, thousand
from scripts.chapter_volatility import share

TITLE = "Margin against what happened"
LEAD = (
    "What each margin method asked for every day from 2018 to 2026, and what 34 books of ETH and BTC lost over the "
    "next day and the next two: how often that was more, by how much, whether it came in rows, what margin cost, how "
    "it rose."
)
WIDTH = 174


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@series.option("Folder whose prices/ has hourly prices and whose volatility/ has vol indices of ETH and BTC.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/backtest.html"),
    show_default=True,
    help="Where to write the report, one HTML file that needs no other.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one for each core",
    help="Local processes; 1 is none but this one. The figures do not depend on it.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Of a Dask cluster that computes instead, such as tcp://10.0.0.5:8786. Scheduler and workers need the project "
    "on their path: start them in its folder, with PYTHONPATH=.",
)
def cli(data: Path, out: Path, workers: int, scheduler: str | None) -> None:
    """Back-test margin by eight methods on 34 books, struck anew each month, from 2018 to 2026.

    Prints what fails, and writes every figure of every book and method with pictures. Ends with 1 where the data are
    absent or the cluster does not answer.

    \b
    Examples:
      python -m scripts.backtest --data ../shared/data --workers 2
      python -m scripts.backtest --scheduler tcp://127.0.0.1:8786 --out backtest.html
    """
    began = time.monotonic()
    console = Console(width=max(Console().width, WIDTH))
    console.print(f"[bold]{TITLE}[/]\n{LEAD}", highlight=False, width=report.TEXT_WIDTH)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            reading = progress.add_task("reading the past", total=1)
            path = backtest_market.recorded(data)
            progress.advance(reading)
            types = book_types(path.names)
            months = len(backtest.months(path.times)) - 1
            running = progress.add_task("books by months", total=months * len(types))
            records = backtest.run(path, types, workers, scheduler, lambda: progress.advance(running))
    except (HistoryError, ScenarioSetError, BacktestError) as error:
        raise click.ClickException(str(error)) from None
    computed = time.monotonic() - began
    figures = backtest_figures.all_figures(records)
    parts = chapters(records, types, path, figures)
    for chapter in parts:
        # What has a table for each book is for the file alone.
        if chapter.title != "Every figure":
            report.tell(console, chapter)
    one = [f for f in figures if f.horizon == HORIZONS[0]]
    facts = []
    for method in ("house", "var", "tims", "deribit"):
        own = [f for f in one if f.method == method]
        beyond = sum(f.exceedances for f in own)
        rate = beyond / sum(f.days for f in own)
        cost = ratio(float(np.median([f.cost for f in own if f.cost is not None])))
        facts.append((share(rate), f"of book-days beyond margin by {method}; {cost} USD of capital for one of loss"))
    worst = max((f for f in one if f.method == "house"), key=lambda f: f.worst or 0.0)
    facts.append((f"{thousand(worst.worst, 0)}k USD", f"furthest beyond the house's margin in a day: {worst.book}"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report.page(TITLE, LEAD, facts, parts), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"out: {out} cannot be written ({error})") from None
    took = f"{computed:.0f} s of computing, {time.monotonic() - began:.0f} s in all"
    console.print(f"\nReport: {out.resolve()} ({took})", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    cli()
