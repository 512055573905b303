"""A thousand traders through the worst crashes, under isolated, cross and portfolio margin: `make cascade`.

Runs without a chain, as ``python -m scripts.cascade``.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # ape has the project on the path only while it reads this file
    sys.path.insert(0, str(ROOT))

from python_model import cascade, history, methodology, replay  # noqa: E402
from python_model.cascade import REGIMES, Course, Freed, Outcome, Regime, Settings  # noqa: E402
from python_model.history import HistoryError  # noqa: E402
from python_model.methodology import Methodology  # noqa: E402
from python_model.portfolio import Mode  # noqa: E402
from python_model.volatility import Terms  # noqa: E402
from scripts import cascade_pictures, report  # noqa: E402
from scripts.chapter_volatility import date  # noqa: E402
from scripts.report import Chapter, Picture, Sheet  # noqa: E402

TITLE = "Capital saved, and what it costs in a crash"
LEAD = (
    "The same traders on the same hours under isolated, cross and portfolio margin: how much capital each mode asks "
    "for, "
    "whom a crash liquidates, how far liquidations push the price, and what accounts leave behind that have lost more "
    "than they had."
)
# Hours before the fall by the close of 24 hours, and after its beginning.
BEFORE, AFTER = 6, 48
ISOLATED, CROSS_KEPT = REGIMES[0], Regime(Mode.CROSS, Freed.KEPT)
KEPT, WITHDRAWN, LEVERED = (Regime(Mode.PORTFOLIO, freed) for freed in Freed)


def crashes(data: Path, count: int, terms: Terms) -> list[tuple[str, Course]]:
    """The hours around the worst falls of ETH, with BTC's of the same hours; HistoryError where there are no prices."""
    series = [history.load(data, name) for name in history.FILES]
    found = []
    for fall in replay.worst_weeks(series[0], count):
        start, stop = max(fall.at - BEFORE, 1), min(fall.at + AFTER, series[0].times.size)
        found.append((date(int(series[0].times[fall.at])), cascade.course(series, start, stop, terms)))
    return found


def shipped(terms: Terms) -> list[tuple[str, Course]]:
    """The week that ships with the model: ETH alone."""
    week = history.read_week()
    whole = Course(week.series.times, {"ETH": week.series.close}, {"ETH": week.start})
    (fall,) = replay.worst_weeks(week.series, 1)
    start, stop = max(fall.at - BEFORE, 0), min(fall.at + AFTER, whole.times.size)
    return [(date(int(whole.times[fall.at])), cascade.cut(whole, start, stop, terms))]


def millions(amount: float) -> str:
    """USD, in millions."""
    return f"{amount / 1e6:.1f}"


def thousands(amount: float) -> str:
    """USD, in thousands."""
    return f"{amount / 1e3:,.0f}"


def sheet(name: str, course: Course, outcomes: list[Outcome]) -> Sheet:
    """All regimes through one crash."""
    falls = ", ".join(f"{n} {100 * (p.min() / p[0] - 1):+.0f}%" for n, p in sorted(course.prices.items()))
    ranges = ", ".join(
        f"{n} {100 * state.scan_range(int(course.times[0])):.1f}%" for n, state in sorted(course.start.items())
    )
    rows = [
        (
            o.regime.words,
            millions(o.capital),
            f"{o.notional / o.capital:.1f}",
            f"{100 * o.liquidated / o.traders:.0f}%",
            str(o.depth),
            f"{100 * (1 - math.exp(-o.fall)):.1f}%",
            thousands(o.given),
            thousands(o.debt),
            f"{1e4 * o.debt / o.notional:.1f}",
            thousands(o.shortfall),
        )
        for o in outcomes
    ]
    columns = (
        "mode",
        "capital\nm USD",
        "notional\nfor a USD",
        "traders\nliquidated",
        "rounds\nin an hour",
        "price\npushed by",
        "discounts\nk USD",
        "bad debt\nk USD",
        "of notional\n1e-4",
        "uncovered\nk USD",
    )
    note = (
        f"Lowest price against the first: {falls}. Scan ranges in the first hour: {ranges}. Rounds: of liquidations in "
        "the worst hour, each after the price moved by the one before. Discounts: what the liquidated gave to bidders "
        "and "
        "backstop. Uncovered: bad debt beyond what the backstop had."
    )
    return Sheet(f"From {name}", columns, "l" + "r" * (len(columns) - 1), rows, note)


def sensitivity(course: Course, house: Methodology, settings: Settings, terms: Terms) -> Sheet:
    """What the two assumptions do that matter most: the depth of the market and what people keep as a buffer."""
    rows = []
    for buffer in (0.1, settings.buffer, 0.5):
        for impact in (0.0, settings.impact, 0.3):
            changed = replace(settings, buffer=buffer, impact=max(impact, 1e-12))
            row = [f"{100 * buffer:.0f}%", f"{100 * impact:.0f}%"]
            for regime in (ISOLATED, KEPT, WITHDRAWN, LEVERED):
                o = cascade.run(regime, course, house, changed, terms)
                row.append(f"{100 * o.liquidated / o.traders:.0f}% · {o.depth} · {thousands(o.debt)}")
            rows.append(tuple(row))
    return Sheet(
        "Other assumptions: traders liquidated · rounds in the worst hour · bad debt in thousand USD",
        ("mean buffer", "impact", "isolated", *(f"portfolio, {freed.value}" for freed in Freed)),
        "rrrrrr",
        rows,
        "Buffer: what traders have above initial margin. Impact: log move of the price if the net delta of all "
        "traders, "
        "without regard to sign, were sold at once. More impact can mean less bad debt: it liquidates early, before "
        "the "
        "worst hour, and the recorded prices, in which the liquidations of the time are already, do not fall further "
        "for it.",
    )


def findings(outcomes: dict[Regime, Outcome]) -> list[str]:
    """What the figures say, in words that follow from them."""
    isolated, kept, withdrawn, levered = (outcomes[r] for r in (ISOLATED, KEPT, WITHDRAWN, LEVERED))

    saved = 1.0 - withdrawn.capital / isolated.capital
    return [
        f"For the same books portfolio margin asks for {100 * saved:.0f}% less capital than isolated accounts do. "
        "Left in "
        f"the accounts, that capital makes everybody safer: {100 * kept.liquidated / kept.traders:.0f}% of traders are "
        f"liquidated instead of {100 * isolated.liquidated / isolated.traders:.0f}%, for gains on one leg pay for "
        "losses "
        f"on another, and bad debt is {thousands(kept.debt)} thousand USD instead of {thousands(isolated.debt)}.",
        f"Taken out, it protects nobody: {100 * withdrawn.liquidated / withdrawn.traders:.0f}% are liquidated, and bad "
        f"debt is {thousands(withdrawn.debt)} thousand USD, which is {1e4 * withdrawn.debt / withdrawn.capital:.0f} "
        "for "
        f"each 10,000 of capital that is left, against {1e4 * isolated.debt / isolated.capital:.0f} under isolated "
        "margin.",
        f"Used for more risk, up to {levered.notional / kept.notional:.1f} times the notional on the same money, it "
        "costs "
        f"{thousands(levered.debt)} thousand USD of bad debt against {thousands(kept.debt)} where it stays, and "
        "pushes the "
        f"price by {100 * levered.fall:.1f}% against {100 * kept.fall:.1f}%. The saving is the trader's; a part of its "
        "price is paid by the backstop, and by everybody whom the pushed price liquidates.",
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder whose prices/ has hourly prices of ETH and BTC as Parquet [../shared/data beside the project].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("build/cascade.html"),
    show_default=True,
    help="Where to write the report, one HTML file that needs no other.",
)
@click.option("--crashes", "count", type=click.IntRange(1, 5), default=3, show_default=True, help="How many crashes.")
@click.option("--traders", type=click.IntRange(10), default=1_000, show_default=True, help="How many traders.")
@click.option(
    "--impact",
    type=click.FloatRange(0.0, 1.0),
    default=Settings.impact,
    show_default=True,
    help="Log move of a price if all traders' net delta were sold at once.",
)
@click.option(
    "--backstop",
    type=click.FloatRange(0.0, 1.0),
    default=Settings.backstop,
    show_default=True,
    help="What the backstop has at first, as a fraction of the capital of isolated accounts.",
)
@click.option("--seed", type=int, default=Settings.seed, show_default=True, help="Of the traders.")
def cli(data: Path | None, out: Path, count: int, traders: int, impact: float, backstop: float, seed: int) -> None:
    """Send random traders through the worst crashes, under isolated, cross and portfolio margin.

    Without --data, and where there are no prices beside the project, the week that ships is used: ETH alone.

    \b
    Examples:
      make cascade
      make cascade ARGS="--impact 0.3 --backstop 0.005"
      python -m scripts.cascade --data ../shared/data --crashes 5
    """
    began = time.monotonic()
    console = Console(width=max(Console().width, 136))
    terms, house = Terms(), methodology.load("house")
    settings = Settings(traders=traders, impact=max(impact, 1e-12), backstop=backstop, seed=seed)
    try:
        rows = crashes(data or ROOT.parent / "shared" / "data", count, terms)
    except HistoryError as error:
        if data is not None:
            raise click.ClickException(f"{error}; leave --data out for the week that ships") from None
        rows = shipped(terms)
    console.print(f"[bold]{TITLE}[/]\n{LEAD}", highlight=False, width=report.TEXT_WIDTH)
    results = []
    with console.status("simulating"):
        for name, course in rows:
            results.append((name, course, [cascade.run(r, course, house, settings, terms) for r in REGIMES]))
        other = sensitivity(rows[0][1], house, settings, terms)
    name, course, outcomes = results[0]
    by = {o.regime: o for o in outcomes}
    shown = [by[r] for r in (ISOLATED, KEPT, WITHDRAWN, LEVERED)]
    parts: list[str | Sheet | Picture] = [
        f"{settings.traders:,} traders hold random books of ten kinds, from plain perpetuals to spreads and market "
        "making. "
        "In isolated mode every leg is an account of its own. Everybody has a buffer above initial margin, on average "
        f"{100 * settings.buffer:.0f}% of it. Of cross and portfolio mode there are three variants: the capital that "
        "the "
        "mode does not ask for stays in the account (kept), leaves (withdrawn), or carries a larger book, at most "
        f"{settings.most:g} times as large (levered).",
        *findings(by),
        *(sheet(*row) for row in results),
        Picture(
            cascade_pictures.trade_off([(f"from {n}", o) for n, _, o in results]),
            "Efficiency against systemic risk",
            "Each point is a mode. Further right: more risk on the same capital. Higher up: more people liquidated, "
            "prices "
            "pushed further, more debts for the backstop.",
        ),
        Picture(
            cascade_pictures.courses(sorted(course.prices)[-1], course.times.tolist(), shown),
            "The worst crash",
            "The price as it was and as liquidations push it, in the hours around the fall; and what accounts without "
            "net "
            "value have cost by then.",
        ),
        other,
    ]
    limits = (
        "The world outside takes the other side of every trade and never defaults; liquidators hedge at once, at a "
        "linear "
        f"impact of which half is gone after {settings.halflife_hours:g} hours. Nobody adds money, closes or trades. "
        "Hourly "
        "closes stand for the course within an hour: jumps are larger than they were, and there are fewer of them. "
        "Implied "
        "vol follows realised vol by half. Scan ranges follow the prices that liquidations have moved. Who would "
        "withdraw "
        "or lever up is not known: the variants are the two ends and the middle."
    )
    chapters = [Chapter("Three margin modes in a crash", parts), Chapter("What is assumed", [limits])]
    for chapter in chapters:
        report.tell(console, chapter)
    facts = [
        (
            f"{100 * (1 - by[WITHDRAWN].capital / by[ISOLATED].capital):.0f}%",
            "less capital by portfolio than by isolated",
        ),
        *(
            (f"{thousands(by[r].debt)}k USD", f"bad debt from {name}: {r.words}")
            for r in (ISOLATED, KEPT, WITHDRAWN, LEVERED)
        ),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.page(TITLE, LEAD, facts, chapters), encoding="utf-8")
    console.print(f"\nReport: {out.resolve()} ({time.monotonic() - began:.0f} s)", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    cli()
