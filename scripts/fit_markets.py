"""Fit the market snapshots of ``python_model/markets`` to recorded option chains.

Runs as ``python scripts/fit_markets.py CHAIN_FOLDER`` and as ``ape run fit_markets CHAIN_FOLDER``.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads change the order of sums, and so the last digits

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # as a plain script, only scripts/ is on the path
    sys.path.insert(0, str(ROOT))

from python_model.calibration import SliceFit, fit_surface  # noqa: E402
from python_model.option_chain import CalibrationError, Chain, read_chain  # noqa: E402
from python_model.snapshots import render_snapshot  # noqa: E402


def snapshot_name(chain: Chain) -> str:
    """File stem: the underlyings, then the date, ``eth-btc-2026-02-05``."""
    date = datetime.fromtimestamp(chain.as_of, UTC).strftime("%Y-%m-%d")
    return "-".join([*(name.lower() for name in chain.underlyings), date])


def fit_chain(chain: Chain, progress: Progress) -> dict[str, tuple[SliceFit, ...]]:
    """Fit every underlying of a chain, advancing a progress bar by expiry."""
    count = sum(len(own.slices) for own in chain.underlyings.values())
    task = progress.add_task(snapshot_name(chain), total=count)
    return {
        name: fit_surface(own.slices, on_fit=lambda _: progress.advance(task))
        for name, own in chain.underlyings.items()
    }


def error_table(chain: Chain, fits: dict[str, tuple[SliceFit, ...]]) -> Table:
    """Fit error of each expiry."""
    table = Table(
        title=f"{snapshot_name(chain)}   as_of {chain.as_of}",
        caption="errors in vol points: rmse vega-weighted over all strikes, max over call deltas of 5-95%; "
        "inside: share of two-sided quotes that contain the fitted price",
    )
    table.add_column("underlying")
    table.add_column("expiry (UTC)")
    for heading in ("days", "forward", "strikes", "ATM vol %", "rmse", "max", "inside %"):
        table.add_column(heading, justify="right")
    for name, slices in fits.items():
        for fit in slices:
            q = fit.quotes
            atm = 100.0 * float(q.vols[abs(q.log_moneyness).argmin()])
            table.add_row(
                name,
                datetime.fromtimestamp(q.expiry, UTC).strftime("%Y-%m-%d %H:%M"),
                f"{q.tau_seconds / 86400:.2f}",
                f"{q.forward:,.2f}",
                str(q.strikes.size),
                f"{atm:.1f}",
                f"{fit.rmse:.2f}",
                f"{fit.max_error:.2f}",
                f"{100 * fit.inside_quotes:.0f}",
            )
        table.add_section()
    return table


@click.command()
@click.argument("chain_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "python_model" / "markets",
    show_default="python_model/markets of the repository",
    help="Folder for the YAML files; created if absent.",
)
@click.option("--pattern", default="deribit_*.csv.gz", show_default=True, help="Which files of CHAIN_FOLDER to read.")
@click.option("--dry-run", is_flag=True, help="Print the fit errors, write nothing.")
def cli(chain_folder: Path, out: Path, pattern: str, dry_run: bool) -> None:
    """Fit raw SVI to each recorded option chain in CHAIN_FOLDER and write one snapshot a chain.

    A chain is a CSV (gzip allowed) of every listed BTC and ETH option at one moment, with the columns of Deribit's
    records. Each expiry is fitted free of butterfly and calendar arbitrage; a chain that cannot be is an error, and
    nothing is written for it. The same chain gives the same file (across linear-algebra libraries, up to rounding).

    Example: python scripts/fit_markets.py ../shared/data/markets
    """
    paths = sorted(chain_folder.glob(pattern))
    if not paths:
        raise click.ClickException(f"{chain_folder}: no file matches {pattern}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    for path in paths:
        try:
            chain = read_chain(path)
            with Progress(*columns, console=console) as progress:
                fits = fit_chain(chain, progress)
        except CalibrationError as error:
            raise click.ClickException(f"{path.name}: {error}") from error
        console.print(error_table(chain, fits))
        if not dry_run:
            out.mkdir(parents=True, exist_ok=True)
            target = out / f"{snapshot_name(chain)}.yaml"
            target.write_text(render_snapshot(chain, fits, path.name), encoding="utf-8")
            console.print(f"wrote {target}")


if __name__ == "__main__":
    cli()
