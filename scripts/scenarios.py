"""Build a scenario set for value at risk from prices and vol indices of the past (M-18).

Runs as ``python -m scripts.scenarios`` and as ``ape run scenarios``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # as a plain script, only scripts/ is on the path
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from python_model import history, scenario_history, scenario_set  # noqa: E402
from python_model.history import HistoryError  # noqa: E402
from python_model.normal import Floats  # noqa: E402
from python_model.scenario_set import ScenarioSet, ScenarioSetError  # noqa: E402
from python_model.tail import ALPHA, expected_shortfall, tail_count, value_at_risk  # noqa: E402
from scripts import series  # noqa: E402

if TYPE_CHECKING:
    import pandas as pd

# Of the table of the worst days.
WORST = 8
# Columns where the output is no terminal.
WIDTH = 120


def tail_row(label: str, values: Floats, k: int, unit: float = 1.0) -> list[str]:
    """A row of the table of tails: the spread, then from the lowest to the highest."""
    low_mean, low = (-float(f(-values, k)) for f in (expected_shortfall, value_at_risk))
    high, high_mean = (float(f(values, k)) for f in (value_at_risk, expected_shortfall))
    spread = float(np.sqrt(np.mean(values**2)))
    figures = [float(np.min(values)), low_mean, low, high, high_mean, float(np.max(values))]
    return [label, f"{unit * spread:.2f}", *(f"{unit * v:+.2f}" for v in figures)]


def tails_table(scenarios: ScenarioSet) -> Table:
    """How far returns and vol moves of each underlying go on either side."""
    k = tail_count(ALPHA, len(scenarios))
    days = f"{k} of {len(scenarios)} days" if k > 1 else f"1 of {len(scenarios)} days"
    table = Table(
        title=f"{scenarios.name} {scenarios.version}: tails of {days}, {100 * ALPHA:g}%",
        caption="x: return in multiples of the volatility a day known before the day; y: relative move of a vol of 30 "
        "days. Spread: root of the mean square. VaR: the last day of the tail; ES: the mean of the tail.",
    )
    table.add_column("move")
    for heading in ("spread", "lowest", "ES low", "VaR low", "VaR high", "ES high", "highest"):
        table.add_column(heading, justify="right")
    for i, name in enumerate(scenarios.underlyings):
        table.add_row(*tail_row(f"{name} x, multiples", scenarios.x[:, i], k))
        table.add_row(*tail_row(f"{name} y, %", scenarios.y[:, i], k, 100.0))
    return table


def days_table(scenarios: ScenarioSet, days: Mapping[str, pd.DataFrame]) -> Table:
    """The worst days, with what they were before they were divided by volatility."""
    table = Table(
        title=f"The {WORST} worst days by the largest fall in multiples of volatility",
        caption="return: of the day, %; sigma: volatility a day before it, %; y: relative move of a vol of 30 days, %, "
        "* by the proxy",
    )
    table.add_column("day (UTC)")
    for name in scenarios.underlyings:
        for heading in ("return", "sigma", "x", "y"):
            table.add_column(f"{name} {heading}", justify="right")
    for row in np.argsort(np.min(scenarios.x, axis=1), kind="stable")[:WORST]:
        cells = [scenarios.dates[row]]
        for i, name in enumerate(scenarios.underlyings):
            day = days[name].loc[scenarios.dates[row]]
            mark = "*" if day["proxied"] else " "
            cells += [f"{100 * day['move']:+.1f}", f"{100 * day['sigma']:.1f}"]
            cells += [f"{scenarios.x[row, i]:+.2f}", f"{100 * scenarios.y[row, i]:+.1f}{mark}"]
        table.add_row(*cells)
    return table


def notes(days: Mapping[str, pd.DataFrame], scenarios: ScenarioSet, returns: str, stress: Sequence[str]) -> list[str]:
    """What the file says of where it comes from."""
    shares = ", ".join(
        f"{name} {int(table.loc[list(scenarios.dates), 'proxied'].sum())}" for name, table in days.items()
    )
    return [
        f"Scenario set (M-18), derived by scripts/scenarios.py from hourly prices in USDT and vol indices of 30 days; "
        f"{returns} returns.",
        f"Stress days, each in the place of the mildest: {', '.join(stress) or 'none'}.",
        f"Days whose vol move is the proxy, as there was no index: {shares} of {len(scenarios)}.",
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@series.option("Folder whose prices/ has hourly prices and whose volatility/ has vol indices of ETH and BTC.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/scenarios.csv"),
    show_default=True,
    help="Where to write the set.",
)
@click.option("--name", default="eth-btc", show_default=True, help="Name of the set.")
@click.option("--version", default="1", show_default=True, help="Version of the set.")
@click.option(
    "--rows",
    type=click.IntRange(1, scenario_set.MAX_ROWS),
    default=scenario_history.ROWS,
    show_default=True,
    help="How many days, the stress days among them.",
)
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d"]), help="First day that may be among the latest.")
@click.option("--to", "end", type=click.DateTime(["%Y-%m-%d"]), help="Last day that may be among the latest.")
@click.option(
    "--stress",
    type=click.DateTime(["%Y-%m-%d"]),
    multiple=True,
    help=f"A day to have in any case; as often as needed [{', '.join(scenario_history.STRESS)}].",
)
@click.option("--no-stress", is_flag=True, help="The latest days alone.")
@click.option(
    "--returns",
    type=click.Choice(scenario_history.RETURNS),
    default="simple",
    show_default=True,
    help="Kind of return that a row has.",
)
@click.option("--synthetic", is_flag=True, help="The made-up set instead, which needs no data.")
def cli(
    data: Path,
    out: Path,
    name: str,
    version: str,
    rows: int,
    start: datetime | None,
    end: datetime | None,
    stress: tuple[datetime, ...],
    no_stress: bool,
    returns: str,
    synthetic: bool,
) -> None:
    """Build a scenario set from the past of ETH and BTC, write it as CSV and print its tails (M-18).

    A day is its return by the volatility that was known before it, and the move of the vol index. The latest days are
    taken; each stress day that is not among them takes the place of the mildest.

    \b
    Examples:
      python -m scripts.scenarios --rows 250 --to 2026-02-06
      ape run scenarios --synthetic --out build/synthetic.csv
    """
    if stress and no_stress:
        raise click.UsageError("--stress: cannot be given with --no-stress")
    console = Console(width=None if Console().is_terminal else WIDTH)
    days: dict[str, pd.DataFrame] = {}
    named = tuple(f"{day:%Y-%m-%d}" for day in stress) or (() if no_stress else scenario_history.STRESS)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        if synthetic:
            scenarios, remarks = scenario_set.synthetic(rows), ["A made-up set: scenario_set.synthetic."]
        else:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                for asset in progress.track(history.FILES, description="reading the past"):
                    series = history.load(data, asset)
                    days[asset] = scenario_history.days(
                        series, scenario_history.load_index(data, asset), returns=returns
                    )
            first, last = (None if day is None else f"{day:%Y-%m-%d}" for day in (start, end))
            on = scenario_history.chosen_days(days, rows, first, last, named)
            scenarios = scenario_history.build(days, on, name, version)
            remarks = notes(days, scenarios, returns, named)
    except (HistoryError, ScenarioSetError) as error:
        raise click.ClickException(str(error)) from None
    console.print(tails_table(scenarios))
    if days:
        console.print(days_table(scenarios, days))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(scenario_set.render(scenarios, remarks), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"out: {out} cannot be written ({error})") from None
    dates = f"{scenarios.dates[0]} to {scenarios.dates[-1]}"
    console.print(f"wrote {out}: {len(scenarios)} rows, {dates}, digest {scenarios.digest}", soft_wrap=True)


if __name__ == "__main__":
    cli()
