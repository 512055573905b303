"""The scan range that follows volatility, on real prices: a week for the demo, and nine years for the report.

The float model is fed with hourly closes, and judged by what came after; the worst weeks go through the contract too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from python_model import history, replay
from python_model.history import Series
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.replay import HOURS
from python_model.volatility import ScanRanges, Terms, scan_range_path
from scripts import chain, range_on_chain, range_pictures
from scripts.range_on_chain import Course
from scripts.range_pictures import Panel
from scripts.report import Chapter, Picture, Sheet, usd

STATIC = 0.16
SHOWN_HOURS = 12
# Of the contract's guard, a fraction of spot and seconds.
JUMP, CONFIRMATION = chain.GUARD[2] / 1e12, chain.GUARD[3]


def points_an_hour(rate: float) -> str:
    """A rate a second in words: `0.25 points an hour`, `1 point an hour`."""
    if math.isclose(100 * 3600 * rate, 1.0):
        return "1 point an hour"
    return "at once" if math.isinf(rate) else f"{100 * 3600 * rate:.3g} points an hour"


def share(x: float, digits: int = 2) -> str:
    """A fraction in per cent."""
    return f"{100 * x:.{digits}f}%"


def points(x: float, digits: int = 1) -> str:
    """A difference of fractions, in points."""
    return f"{100 * x:.{digits}f}"


def date(seconds: int, time: bool = True) -> str:
    """A moment with its year, `12 Mar 2020 02:00`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y %H:%M}" if time else f"{moment.day} {moment:%b %Y}"


# ------------------------------------------------------------------------------------------------ the demo's week


def hour_sheet(series: Series, path: ScanRanges, methodology: Methodology) -> Sheet:
    """The week in steps of half a day: what the model saw, wanted and asked for."""
    standards = replay.standard_books()
    rows: list[tuple[str, ...]] = []
    for i in range(0, series.times.size, SHOWN_HOURS):
        back = i - HOURS
        change = share(series.close[i] / series.close[back] - 1.0, 1) if back >= 0 else "–"
        figures = (share(x, 1) for x in (path.sigma[i], path.target[i], path.scan_range[i]))
        needs = (usd(s.initial(methodology, float(path.scan_range[i]))) for s in standards)
        rows.append((date(int(series.times[i])), f"{series.close[i]:,.2f}", change, *figures, *needs))
    names = (s.name.replace("short 30-day ", "") for s in standards)
    return Sheet(
        "The week, half a day at a time",
        (
            "time\nUTC",
            "spot\nUSD",
            "change\n24 hours",
            "volatility\na day",
            "target",
            "scan range",
            *(f"{name}\ninitial, USD" for name in names),
        ),
        "l" + "r" * (5 + len(standards)),
        rows,
        "The last three columns are the initial margin of ten perpetuals bought, and of ten straddles and strangles of "
        "30 days sold, at a spot of 2,000 USD and a vol of 70% that do not move: so it is the scan range alone that "
        "moves them.",
    )


def rise_sheet(paths: Sequence[tuple[str, Floats, Sequence[int]]], methodology: Methodology) -> Sheet:
    """By how much a requirement rose within 24 hours through the scan range alone.

    Parameters
    ----------
    paths : rows of (name, scan range (n,), times in seconds (n,))
    """
    rows: list[tuple[str, ...]] = []
    for name, path, times in paths:
        by_points, by_ratio = replay.largest_rise(path), replay.largest_rise(path, relative=True)
        rows.append(
            (
                name,
                "scan range",
                share(by_points.low, 1),
                share(by_points.high, 1),
                f"{points(by_points.points)} points",
                date(times[by_points.at]),
                f"{by_ratio.ratio:.2f}",
            )
        )
        for standard in replay.standard_books():
            needs = replay.initial_path(standard, methodology, path)
            rise, ratio = replay.largest_rise(needs), replay.largest_rise(needs, relative=True)
            rows.append(
                (
                    "",
                    standard.name,
                    usd(rise.low),
                    usd(rise.high),
                    f"{usd(rise.points)} USD",
                    date(times[rise.at]),
                    f"{ratio.ratio:.2f}",
                )
            )
    return Sheet(
        "The largest rise within 24 hours",
        ("", "of", "from", "to", "rise", "at\nUTC", "largest\nratio"),
        "llrrrlr",
        rows,
        "Books of ten units, initial margin in USD, at a spot of 2,000 USD and a vol of 70% that do not move. The "
        "largest ratio may be of another day than the largest rise. A static range never rises.",
    )


def chain_sheet(courses: Sequence[Course]) -> Sheet:
    """Weeks that went through the contract, beside the model."""
    rows = []
    for course in courses:
        times = course.series.times[course.hours]
        rows.append(
            (
                course.series.name,
                f"{date(int(times[0]), False)} – {date(int(times[-1]), False)}",
                f"{course.hours.size + course.doubts:,}",
                str(course.doubts),
                share(float(course.contract[0]), 1),
                share(float(course.contract.max()), 1),
                points(largest_of(course.contract)),
                f"{course.difference:.0e}",
                f"{course.gas:,.0f}",
            )
        )
    return Sheet(
        "Through the contract: the scan range that the chain has held",
        (
            "",
            "hours from, to",
            "updates",
            "of them\ndoubted",
            "range at\nthe start",
            "largest",
            "rise in 24 h\npoints",
            "furthest from\nthe model",
            "gas of an\nupdate",
        ),
        "llrrrrrrr",
        rows,
        f"Every hour is an update in a block of its own. One that moves spot by more than {share(JUMP, 0)} is doubted: "
        "it is not taken over, and no risk is taken and nobody liquidated, until another says the same "
        f"{CONFIRMATION} seconds later. Ranges are fractions of spot: the contract rounds to 1e-12.",
    )


def largest_of(path: Floats) -> float:
    """The largest rise within 24 hours; of a shorter path, over all of it."""
    return replay.largest_rise(path, min(HOURS, path.size - 1)).points


def chapter(title: str, methodology: Methodology, course: Course, terms: Terms | None = None) -> Chapter:
    """The chapter for the demo: the worst week of ETH, from the series that ships with the model.

    `course` is that week on a chain.
    """
    terms = Terms() if terms is None else terms
    week = history.read_week(terms=terms)
    series = week.series
    path = scan_range_path(series.times, series.close, terms, week.start)
    (fall,) = replay.worst_weeks(series, 1)
    rise = replay.largest_rise(path.scan_range)
    worst = replay.coverage(replay.worst_moves(series), path.scan_range)
    return Chapter(
        title,
        [
            "The scan range is no constant. Every accepted price feeds an average of squared returns in which three "
            "days count as much as all before them; 3.5 times that volatility of a day is the target, within 12% and "
            "40%; and the range walks to the target by at most a point an hour up, and a quarter of one down. So no "
            "price and no change of parameters moves the range in its own block.",
            f"Here the model is fed with the worst week of ETH since 2017, from {date(int(series.times[0]), False)} to "
            f"{date(int(series.times[-1]), False)}: hourly returns, rounded, that ship with it. ETH fell by "
            f"{share(-fall.move, 0)} in 24 hours. The range had no time to foresee that: it began the fall at "
            f"{share(float(path.scan_range[fall.at]), 1)}, and walked to {share(float(path.scan_range.max()), 0)} "
            f"within {HOURS} hours by {points(rise.points)} points. In {worst.exceeded} of {worst.observed} hours the "
            "next day went beyond it. What a range cannot give in such a week, initial margin above maintenance, "
            "liquidation in slices and the reserve have to.",
            Picture(
                range_pictures.week(Panel(series, path), STATIC, fall.at),
                "The scan range in the worst week of ETH",
                "The target (orange) jumps with the price, the range (blue) follows by at most a point an hour. Where "
                "the move that was to come within 24 hours, by hourly closes, is beyond the range, it is red; the "
                "moves of the last day of the week are not known here.",
            ),
            hour_sheet(series, path, methodology),
            rise_sheet([("ETH", path.scan_range, series.times.tolist())], methodology),
            "The same week went through the contract that holds market data, which begins at the same range but knows "
            "nothing of what was before:",
            chain_sheet([course]),
        ],
    )


def week_on_chain(contracts: Any, sender: Any, advance: Callable[[], None] = lambda: None) -> Course:
    """Publish the week that ships with the model, hour by hour; moves the chain's clock by a week."""
    week = history.read_week()
    terms = replace(Terms(), initial=round(week.start.scan_range(week.start.time), 6))
    return range_on_chain.run(contracts, sender, week.series, terms, advance)
