"""The report of the replay: nine years of prices through the scan range, and the worst weeks through the contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from python_model import replay
from python_model.history import Series
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.replay import HOURS, Coverage, Fall, Verdict
from python_model.volatility import DAY, ScanRanges, Terms, scan_range_path
from scripts import range_on_chain, range_pictures
from scripts.chapter_volatility import STATIC, chain_sheet, date, points, points_an_hour, rise_sheet, share
from scripts.range_on_chain import Course
from scripts.range_pictures import Panel
from scripts.report import Chapter, Picture, Sheet

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


def terms_in_words(terms: Terms) -> str:
    """The parameters in a line."""
    return (
        f"q {terms.multiple:g}, half-life {terms.halflife / DAY:g} days, floor {share(terms.floor, 0)}, cap "
        f"{share(terms.cap, 0)}, at most {points_an_hour(terms.rise)} up and {points_an_hour(terms.fall)} down"
    )


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
