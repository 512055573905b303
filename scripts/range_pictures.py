"""The pictures of the scan range over time, as PNG, in the colours and style of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from python_model.history import Series
from python_model.normal import Floats
from python_model.replay import HOURS, worst_moves
from python_model.volatility import ScanRanges
from scripts.pictures import BLACK, BLUE, GREY, ORANGE, RED, days, drawing, patch, png, stroke, years

GRID = "#E1E6EB"


def moments(times: NDArray[np.int64]) -> Any:
    """Seconds since 1970 for an axis of time."""
    return times.astype("datetime64[s]")


@dataclass(frozen=True, eq=False)
class Panel:
    """A series with its scan range, drawn against a constant one; arrays (n,)."""

    series: Series
    path: ScanRanges


def furthest(over: NDArray[np.bool_], excess: Floats) -> NDArray[np.intp]:
    """Of each group of hours with a day between groups, the one that went beyond furthest."""
    at = np.flatnonzero(over)
    groups = np.split(at, np.flatnonzero(np.diff(at) > HOURS) + 1) if at.size else []
    return np.array([g[np.argmax(excess[g])] for g in groups], dtype=np.intp)


def history(panels: Sequence[Panel], static: float) -> bytes:
    """The scan range over all years, the worst move of the next day behind it, and where that went beyond.

    Parameters
    ----------
    panels : one for each underlying, from the top down
    static : the constant range to compare with, a fraction
    """
    with drawing(11, 3.9 * len(panels) + 0.6) as figure:
        for axes, panel in zip(np.atleast_1d(figure.subplots(len(panels), 1, sharex=True)), panels, strict=True):
            series, path = panel.series, panel.path
            move = worst_moves(series)
            excess = move - path.scan_range
            marks = furthest(excess > 0.0, excess)
            # A day has one bar, its worst hour: all hours would be one grey surface.
            days = series.times // 86_400
            starts = np.flatnonzero(np.diff(days, prepend=-1))
            bars = np.maximum.reduceat(np.where(np.isfinite(move), move, 0.0), starts)
            when = moments(series.times)
            axes.fill_between(when[starts], 0.0, 100 * bars, step="post", color=GREY, alpha=0.75, lw=0)
            axes.plot(when, 100 * path.scan_range, color=BLUE, lw=1.3)
            axes.axhline(100 * static, color=BLACK, lw=1.2, ls="--")
            axes.plot(when[marks], 100 * move[marks], "v", color=RED, ms=4.5, mew=0.0, zorder=4)
            axes.set_ylim(0, 5 * np.ceil(20 * np.nanmax(move)) + 3)
            axes.set_ylabel(f"% of the spot of {series.name}")
            axes.set_title(f"{series.name}: scan range and the worst move of the next 24 hours")
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.set_axisbelow(True)
            axes.margins(x=0.005)
            years(axes.xaxis)
        figure.axes[-1].set_xlabel("time, UTC (marks: 1 January)")
        handles: list[Any] = [
            stroke(color=BLUE, lw=2, label="scan range"),
            stroke(color=BLACK, ls="--", label=f"static {100 * static:.0f}%"),
            patch(color=GREY, alpha=0.75, label="worst move of the next 24 hours"),
            stroke(color=RED, marker="v", ls="", label="beyond the scan range (furthest hour of each event)"),
        ]
        figure.legend(handles=handles, ncols=4, loc="outside upper center")
        return png(figure)


def week(panel: Panel, static: float, fall: int) -> bytes:
    """A week by the hour: price above; below, the target, the scan range that walks to it, and the moves to come.

    Parameters
    ----------
    panel : Panel
        Of that week alone.
    static : float
    fall : int
        Index of the hour at which the largest fall of 24 hours begins.
    """
    series, path = panel.series, panel.path
    move = worst_moves(series)
    when = moments(series.times)
    with drawing(10, 7.2) as figure:
        top, low = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.0, 1.5]})
        top.plot(when, series.close, color=BLUE, lw=2.0)
        top.set_ylabel(f"spot of {series.name}, USD")
        top.set_title("Price, hourly closes")
        change = series.close[fall + HOURS] / series.close[fall] - 1.0
        top.annotate(
            f"{100 * change:+.0f}% in these 24 hours".replace("-", "−"),
            (when[fall + HOURS // 2], 0.9),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9.5,
            bbox={"fc": "white", "ec": "none", "pad": 1.5},
        )
        inside, whole = np.minimum(move, path.scan_range), np.maximum(move, path.scan_range)
        low.fill_between(when, 0.0, 100 * inside, color=GREY, alpha=0.45, lw=0)
        low.fill_between(when, 100 * path.scan_range, 100 * whole, color=RED, alpha=0.35, lw=0)
        low.plot(when, 100 * path.target, color=ORANGE, lw=1.6, ls="-.", drawstyle="steps-post")
        low.plot(when, 100 * path.scan_range, color=BLUE, lw=2.4)
        low.axhline(100 * static, color=BLACK, lw=1.2, ls="--")
        low.set_ylim(0, None)
        low.set_ylabel("% of spot")
        low.set_title("Scan range, its target, and the move that was to come")
        for axes in (top, low):
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.axvspan(when[fall], when[fall + HOURS], color=ORANGE, alpha=0.09, lw=0, zorder=0)
            axes.margins(x=0.005)
        days(low.xaxis, "%-d %b\n%Y")
        low.set_xlabel("time, UTC (marks: midnight)")
        handles: list[Any] = [
            stroke(color=BLUE, lw=2.4, label="scan range"),
            stroke(color=ORANGE, lw=1.6, ls="-.", label="target"),
            stroke(color=BLACK, ls="--", label=f"static {100 * static:.0f}%"),
            patch(color=GREY, alpha=0.45, label="worst move of the next 24 hours"),
            patch(color=RED, alpha=0.35, label="beyond the scan range"),
        ]
        figure.legend(handles=handles, ncols=5, loc="outside upper center")
        return png(figure)
