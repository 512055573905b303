"""The scan range that follows volatility, on real prices: a week for the demo, and nine years for the report.

The float model is fed with hourly closes, and judged by what came after; the worst weeks go through the contract too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from python_model import history, replay
from python_model.history import Series
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.replay import HOURS, Coverage, Fall, Verdict
from python_model.volatility import DAY, ScanRanges, Terms, scan_range_path
from scripts import chain, range_on_chain, range_pictures
from scripts.range_on_chain import Course
from scripts.range_pictures import Panel
from scripts.report import Chapter, Picture, Sheet, usd

STATIC = 0.16
SHOWN_HOURS = 12
# Of the contract's guard, a fraction of spot and seconds.
JUMP, CONFIRMATION = chain.GUARD[2] / 1e12, chain.GUARD[3]
PERIODS = ((2017, 2018), (2019, 2020), (2021, 2022), (2023, 2026))
HORIZONS = (1, 4, 12, 24)
SETTING_WORDS: dict[str, Callable[[float], str]] = {
    "multiple": lambda v: f"q {v:g}",
    "halflife": lambda v: f"half-life {v / DAY:g} d",
    "floor": lambda v: f"floor {100 * v:g}%",
    "cap": lambda v: f"cap {100 * v:g}%",
    "rise": lambda v: f"rise {points_an_hour(v)}".replace("points an hour", "points/h"),
    "fall": lambda v: f"fall {points_an_hour(v)}".replace("points an hour", "points/h"),
}


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


def terms_in_words(terms: Terms) -> str:
    """The parameters in a line."""
    return (
        f"q {terms.multiple:g}, half-life {terms.halflife / DAY:g} days, floor {share(terms.floor, 0)}, cap "
        f"{share(terms.cap, 0)}, at most {points_an_hour(terms.rise)} up and {points_an_hour(terms.fall)} down"
    )


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


def weeks_on_chain(
    replays: Sequence[Replay], weeks: int, contracts: Any, sender: Any, advance: Callable[[], None] = lambda: None
) -> list[Course]:
    """Publish so many of the worst weeks of each underlying, each begun at the range that it had."""
    courses = []
    for r in replays:
        for fall in r.weeks[:weeks]:
            initial = round(float(r.path.scan_range[fall.start]), 6)
            # A price must be known at the start.
            start = fall.start + int(np.argmax(np.isfinite(r.series.close[fall.start : fall.stop])))
            week = r.series.between(start, fall.stop + 1)
            courses.append(range_on_chain.run(contracts, sender, week, replace(r.terms, initial=initial), advance))
    return courses


# ------------------------------------------------------------------------------------------------ the report


@dataclass(frozen=True, eq=False)
class Replay:
    """One underlying over all years: its prices, the scan range, the range that never moves, and the worst weeks."""

    series: Series
    terms: Terms
    path: ScanRanges
    dynamic: Verdict
    static: Verdict
    weeks: tuple[Fall, ...]

    @staticmethod
    def of(series: Series, terms: Terms) -> Replay:
        """Feed the model with the closes, and judge."""
        path = scan_range_path(series.times, series.close, terms)
        static = replay.judge(series, replay.constant(series, STATIC))
        return Replay(series, terms, path, replay.judge(series, path.scan_range), static, replay.worst_weeks(series))


def coverage_sheet(replays: Sequence[Replay]) -> Sheet:
    """How often and how far the next day went beyond the range."""
    rows: list[tuple[str, ...]] = []
    strong = set()
    for r in replays:
        mean = replay.judge(r.series, replay.constant(r.series, r.dynamic.mean))
        settings = (
            ("dynamic", r.dynamic),
            (f"static {share(STATIC, 0)}", r.static),
            (f"static {share(r.dynamic.mean, 1)}", mean),
        )
        for i, (name, verdict) in enumerate(settings):
            pair: tuple[tuple[str, Coverage], ...] = (("close", verdict.closing), ("worst", verdict.worst))
            for k, (measure, c) in enumerate(pair):
                if i == 0:
                    strong.add(len(rows))
                rows.append(
                    (
                        r.series.name if i == k == 0 else "",
                        name if k == 0 else "",
                        share(verdict.mean, 1) if k == 0 else "",
                        measure,
                        f"{c.exceeded:,}",
                        share(c.share),
                        f"{share(c.interval[0])} – {share(c.interval[1])}",
                        str(c.runs),
                        points(c.beyond, 2),
                        points(c.furthest),
                    )
                )
    first = replays[0].dynamic.closing
    return Sheet(
        "Moves of the next 24 hours beyond the scan range",
        (
            "",
            "range",
            "mean range\n= cost",
            "move",
            "hours\nbeyond",
            "share\nof hours",
            "95% interval\nof the share",
            "events",
            "mean beyond\npoints",
            "furthest\npoints",
        ),
        "llrlrrrrrr",
        rows,
        "Close: from close to close, |S(t+24h)/S(t) − 1|. Worst: the furthest hourly high or low within the 24 hours. "
        "The third range never moves and is as wide as the dynamic one on average. Windows of neighbouring hours "
        f"overlap: {first.observed:,} hours are about {first.days:,.0f} independent days, for which the interval "
        "(Kupiec's likelihood ratio) is made; and days beyond come in clusters, so the truth is less certain still. "
        "An event is a group of such hours with more than a day between groups. Mean beyond is the shortfall in the "
        "hours beyond, on average.",
        frozenset(strong),
    )


def years(series: Series) -> Floats:
    """The year of every hour (n,)."""
    return np.asarray(series.times.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970)


def period_sheet(replays: Sequence[Replay]) -> Sheet:
    """The same, two years or so at a time."""
    rows: list[tuple[str, ...]] = []
    for r in replays:
        closing, worst, year = replay.closing_moves(r.series), replay.worst_moves(r.series), years(r.series)
        for i, (first, last) in enumerate(PERIODS):
            inside = (year >= first) & (year <= last) & np.isfinite(closing) & np.isfinite(worst)
            if not inside.any():
                continue
            path = r.path.scan_range[inside]
            shares = [
                share(replay.coverage(move[inside], limit).share)
                for limit in (path, STATIC)
                for move in (closing, worst)
            ]
            rows.append(
                (
                    r.series.name if i == 0 else "",
                    f"{first} – {last}",
                    share(float(path.mean()), 1),
                    share(float(np.mean(path <= r.terms.floor)), 0),
                    *shares,
                )
            )
    return Sheet(
        "The same by period",
        (
            "",
            "years",
            "mean\nrange",
            "hours at\nthe floor",
            "dynamic\nclose",
            "\nworst",
            f"static {share(STATIC, 0)}\nclose",
            "\nworst",
        ),
        "llrrrrrr",
        rows,
        "Share of hours whose next 24 went beyond the range. Where a market is quiet for years the dynamic range lies "
        "at its floor: cheaper than the static one, and gone beyond more often by the first move that ends the quiet.",
    )


def horizon_sheet(replays: Sequence[Replay], terms: Terms) -> Sheet:
    """Worst moves over shorter times than a day: what matters once an account can be liquidated."""
    heads = [f"{r.series.name} {name}" for r in replays for name in ("dynamic", f"static {share(STATIC, 0)}")]
    rows = []
    for hours in HORIZONS:
        figures = []
        for r in replays:
            moves = replay.worst_moves(r.series, hours)
            figures += [share(replay.coverage(moves, limit).share, 3) for limit in (r.path.scan_range, STATIC)]
        rows.append((f"{hours}", *figures))
    first = replays[0]
    over = replay.worst_moves(first.series) > first.path.scan_range
    began = float(np.mean(first.path.scan_range[over] <= terms.floor)) if over.any() else 0.0
    return Sheet(
        "Worst moves within fewer hours",
        ("within\nhours", *heads),
        "r" + "r" * len(heads),
        rows,
        f"Share of hours that began a move beyond the range. Of the hours of {first.series.name} whose next 24 went "
        f"beyond, {share(began, 0)} began with the range at its floor.",
    )


def static_equals(r: Replay) -> tuple[float, float]:
    """The static ranges that go beyond as often as the dynamic one, by close and by worst excursion."""
    closing, worst = replay.closing_moves(r.series), replay.worst_moves(r.series)
    return (
        replay.equally_wide(closing, r.dynamic.closing.share),
        replay.equally_wide(worst, r.dynamic.worst.share),
    )


def week_sheet(replays: Sequence[Replay]) -> Sheet:
    """The five worst weeks of each underlying."""
    rows: list[tuple[str, ...]] = []
    for r in replays:
        worst = replay.worst_moves(r.series)
        for i, fall in enumerate(r.weeks):
            hours = slice(fall.start, fall.stop)
            path = r.path.scan_range
            rows.append(
                (
                    r.series.name if i == 0 else "",
                    date(int(r.series.times[fall.at])),
                    share(fall.move, 1),
                    share(float(worst[fall.at]), 1),
                    share(float(path[fall.start]), 1),
                    share(float(path[fall.at]), 1),
                    share(float(path[hours].max()), 1),
                    points(replay.largest_rise(path[hours]).points),
                    str(int(np.sum(worst[hours] > path[hours]))),
                    str(int(np.sum(worst[hours] > STATIC))),
                )
            )
    return Sheet(
        "The five worst weeks of each",
        (
            "",
            "fall begins\nUTC",
            "close to\nclose",
            "worst\nmove",
            "range 3 d\nbefore",
            "as it\nbegins",
            "largest of\nthe week",
            "rise in 24 h\npoints",
            "hours\nbeyond",
            f"beyond\n{share(STATIC, 0)}",
        ),
        "llrrrrrrrr",
        rows,
        "By the largest fall from close to close in 24 hours; a week is from three days before the fall begins to four "
        "days after, and no two overlap. Hours beyond: those of the 168 whose next 24 hours went beyond the dynamic "
        f"range, and beyond a static {share(STATIC, 0)}, by worst excursion.",
    )


def sweep_sheet(replays: Sequence[Replay], terms: Terms) -> Sheet:
    """The default, and settings that differ from it in one parameter."""
    rows = [(f"default: {terms.multiple:g}, {terms.halflife / DAY:g} d", terms)]
    rows += [(SETTING_WORDS[name](value), other) for name, value, other in replay.variations(terms)]
    cells = []
    for words, setting in rows:
        figures: list[str] = []
        for r in replays:
            v = r.dynamic if setting is terms else replay.judge(r.series, replay.held(r.series, setting))
            figures += [
                share(v.closing.share),
                share(v.worst.share),
                points(v.worst.beyond, 2),
                share(v.mean, 1),
                points(v.rise.points),
                f"{v.ratio.ratio:.2f}",
            ]
        cells.append((words, *figures))
    heads = [
        head
        for r in replays
        for head in (
            f"{r.series.name} close\nbeyond",
            "worst\nbeyond",
            "by\npoints",
            "mean\nrange",
            "rise 24 h\npoints",
            "\nratio",
        )
    ]
    return Sheet(
        "One parameter changed at a time",
        ("setting", *heads),
        "l" + "r" * len(heads),
        cells,
        f"The default: {terms_in_words(terms)}. Beyond: share of hours whose next 24 hours went beyond the range.",
        frozenset({0}),
    )


def fall_words(terms: Terms) -> str:
    """How fast the target itself can fall, and whether the limit of the fall is ever felt."""
    # q sqrt(v) loses half of its logarithm's ln 2 in a half-life.
    fastest = terms.cap * math.log(2.0) / 2.0 / terms.halflife
    words = f"Volatility forgets slowly by itself: a target at the cap falls by {points_an_hour(fastest)} at most. "
    if fastest > terms.fall:
        return words + f"So the limit of the fall, {points_an_hour(terms.fall)}, holds the range above its target."
    return words + (
        f"So the limit of the fall, {points_an_hour(terms.fall)}, is felt only after a change of parameters, or hours "
        "without a price."
    )


def search_words(replays: Sequence[Replay], terms: Terms, advance: Callable[[], None]) -> str:
    """What the search over all combinations found."""
    settings = replay.all_settings(terms)
    verdicts = []
    for setting in settings:
        verdicts.append([replay.judge(r.series, replay.held(r.series, setting)) for r in replays])
        advance()
    found = replay.better(verdicts, [r.dynamic for r in replays])
    words = (
        f"Of all {len(settings)} combinations of q {', '.join(f'{x:g}' for x in replay.MULTIPLES)}, half-life "
        f"{', '.join(f'{x / DAY:g}' for x in replay.HALFLIVES)} days, floor "
        f"{', '.join(share(x, 0) for x in replay.FLOORS)} and cap {', '.join(share(x, 0) for x in replay.CAPS)}, "
    )
    names = " and ".join(r.series.name for r in replays)
    if not found:
        return words + (
            f"none goes beyond less often than the default, by worst excursion, without a wider range on average "
            f"({names} averaged)."
        )
    return words + (
        f"{len(found)} go beyond less often than the default at no wider range on average ({names} averaged): "
        + "; ".join(terms_in_words(settings[i]) for i in found[:5])
        + "."
    )


def replay_chapters(
    replays: Sequence[Replay],
    methodology: Methodology,
    terms: Terms,
    courses: Sequence[Course] = (),
    advance: Callable[[], None] = lambda: None,
) -> list[Chapter]:
    """The whole report: coverage, procyclicality, worst weeks, other settings.

    Parameters
    ----------
    replays : one for each underlying, the one whose worst week is drawn first
    courses : worst weeks that went through the contract
    advance : called once for each combination of the search
    """
    first = replays[0]
    fall = first.weeks[0]
    path = first.path
    rows = slice(fall.start, fall.stop + HOURS)
    drawn = Panel(
        first.series.between(fall.start, fall.stop + HOURS),
        ScanRanges(path.times[rows], path.sigma[rows], path.target[rows], path.scan_range[rows]),
    )
    equals = "; ".join(
        f"{r.series.name} {share(a, 1)} by close and {share(b, 1)} by worst excursion, against a mean of "
        f"{share(r.dynamic.mean, 1)}"
        for r in replays
        for a, b in (static_equals(r),)
    )
    return [
        Chapter(
            "1. Coverage and cost",
            [
                "The model is fed with every hourly close from August 2017 to April 2026, as if each were an accepted "
                "price, and the range of every hour is held against what prices did in the 24 hours that followed. "
                f"Parameters: {terms_in_words(terms)}.",
                Picture(
                    range_pictures.history([Panel(r.series, r.path) for r in replays], STATIC),
                    "The scan range over nine years",
                    "Grey is what came, a bar a day; blue what was held against it. A triangle marks each event in "
                    "which the next 24 hours went beyond the range.",
                ),
                coverage_sheet(replays),
                f"To go beyond as seldom as the dynamic range, a static one would have to be: {equals}.",
                period_sheet(replays),
                horizon_sheet(replays, terms),
            ],
        ),
        Chapter(
            "2. Procyclicality",
            [
                "A requirement that rises in a crash takes liquidity when there is least of it. The range may rise by "
                f"{points_an_hour(terms.rise)}: what that has meant for the books of those who sell risk.",
                rise_sheet([(r.series.name, r.path.scan_range, r.series.times.tolist()) for r in replays], methodology),
            ],
        ),
        Chapter(
            "3. The worst weeks",
            [
                week_sheet(replays),
                Picture(
                    range_pictures.week(drawn, STATIC, fall.at - fall.start),
                    f"The worst week of {first.series.name}, hour by hour",
                    "The target (orange) jumps with the price, the range (blue) follows by at most "
                    f"{points_an_hour(terms.rise)}. Red is what went beyond it.",
                ),
                *([chain_sheet(courses)] if courses else []),
            ],
        ),
        Chapter(
            "4. Other settings",
            [sweep_sheet(replays, terms), fall_words(terms), search_words(replays, terms, advance)],
        ),
    ]
