"""The pictures of the back-test: exceedances by method, margins and losses in a crash, capital against coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from python_model.backtest import METHODS, Record
from python_model.backtest_figures import PROMISED, Figures
from python_model.backtest_market import HORIZONS, MarketPath
from python_model.coverage_tests import kupiec
from scripts.pictures import BLACK, BLUE, BROWN, GREY, ORANGE, RED, SKY, dated, drawing, patch, png, stroke
from scripts.range_pictures import GRID, moments

GREEN, PINK = "#009E73", "#CC79A7"
COLOURS = {
    "house": BLUE,
    "var": RED,
    "max": BLACK,
    "span": SKY,
    "tims": ORANGE,
    "deribit": GREEN,
    "isolated": GREY,
    "cross": PINK,
}
MARKERS = dict(zip(METHODS, "osD^vPXh", strict=True))
# Days before and after the worst day.
LEAD, TRAIL = 24, 26
# A share of no exceedance stands here, per cent: a logarithmic axis has no zero.
NONE = 0.015


def accepted(trials: int) -> tuple[float, float]:
    """The least and greatest share of failures that Kupiec's test does not reject, per cent."""
    inside = [n for n in range(trials + 1) if n <= 0.1 * trials and not kupiec(n, trials, PROMISED).rejects]
    return 100 * inside[0] / trials, 100 * inside[-1] / trials


def exceedances(rows: Sequence[Figures]) -> bytes:
    """The share of days beyond margin of every book, by method and horizon, and the shares that Kupiec accepts.

    Parameters
    ----------
    rows : figures of every book, method and horizon
    """
    with drawing(11, 5.4) as figure:
        panels = figure.subplots(1, len(HORIZONS), sharey=True)
        for axes, horizon in zip(panels, HORIZONS, strict=True):
            tested = max(f.tested for f in rows if f.horizon == horizon)
            low, high = accepted(tested)
            axes.axvspan(low, high, color=SKY, alpha=0.3, lw=0)
            axes.axvline(100 * PROMISED, color=BLACK, lw=1.0, ls=":")
            for i, method in enumerate(METHODS):
                own = [f for f in rows if f.method == method and f.horizon == horizon]
                shares = np.sort([100 * f.rate for f in own])
                # Spread by rank over the height of a row, so that equal shares are seen side by side.
                spread = i + 0.66 * (np.arange(shares.size) / max(shares.size - 1, 1) - 0.5)
                axes.plot(np.maximum(shares, NONE), spread, "o", ms=4.5, color=COLOURS[method], alpha=0.75, mew=0)
                pooled = 100 * sum(f.exceedances for f in own) / sum(f.days for f in own)
                axes.plot([max(pooled, NONE)] * 2, [i - 0.38, i + 0.38], color=BLACK, lw=2.4)
                label = f"{pooled:.2f}%"
                axes.annotate(label, (1.0, i), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                              ha="right", va="center", fontsize=9)  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlim(0.8 * NONE, 60.0)
            axes.set_xticks([NONE, 0.1, 1.0, 10.0], ["none", "0.1%", "1%", "10%"])
            axes.xaxis.set_minor_formatter("")
            axes.set_xlabel("share of days beyond margin")
            axes.set_title(f"Loss over {horizon} day{'s' if horizon > 1 else ''}")
            axes.grid(axis="x", color=GRID, lw=0.8)
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(METHODS)), METHODS)
        panels[0].set_ylim(len(METHODS) - 0.4, -0.6)
        handles: list[Any] = [
            stroke(marker="o", ls="", color=GREY, ms=6, label="a book"),
            stroke(color=BLACK, lw=2.4, label="all books together (figure at the right)"),
            patch(color=SKY, alpha=0.3, label="not rejected by Kupiec's test at 5%"),
            stroke(color=BLACK, ls=":", label="1%"),
        ]
        figure.legend(handles=handles, ncols=4, loc="outside upper center")
        return png(figure)


def worst_day(record: Record) -> int:
    """The day whose loss went furthest beyond the margin of the house, or was nearest to it."""
    return int(np.nanargmax(record.piece.loss[0] - record.piece.margin[METHODS.index("house")]))


def crash(records: Sequence[Record], path: MarketPath, methods: Sequence[str]) -> bytes:
    """Margins by method and the loss of the next day, around the worst day of the first book.

    Parameters
    ----------
    records : books to show, from the top down
    path : MarketPath
    methods : which margins to draw
    """
    worst = worst_day(records[0])
    days = slice(max(worst - LEAD, 0), worst + TRAIL)
    when = moments(path.times[days])
    styles = dict(zip(methods, ("-", "-", "--", "-.", ":"), strict=False))
    with drawing(11, 3.1 * len(records) + 0.5) as figure:
        panels = np.atleast_1d(figure.subplots(len(records), 1, sharex=True))
        for axes, record in zip(panels, records, strict=True):
            loss = record.piece.loss[0, days] / 1e3
            axes.bar(when, np.maximum(loss, 0.0), width=np.timedelta64(19, "h"), color=GREY, alpha=0.8)
            for method in methods:
                margin = record.piece.margin[METHODS.index(method), days] / 1e3
                axes.plot(when, margin, styles[method], color=COLOURS[method], lw=1.9)
            drawn = [record.piece.margin[METHODS.index(m), days].max() / 1e3 for m in methods]
            axes.set_ylim(0.0, 1.08 * max(float(np.nanmax(loss)), *drawn))
            axes.set_ylabel("thousand USD")
            axes.set_title(record.book)
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.set_axisbelow(True)
            # A new book is struck: margins before and after are those of other strikes.
            for first in np.flatnonzero(np.diff(record.month[days])) + 1:
                axes.axvline(when[first], color=BROWN, lw=1.0, ls=":")
        dated(panels[-1].xaxis, "%-d %b %Y")
        panels[-1].set_xlabel("time, 08:00 UTC")
        handles: list[Any] = [patch(color=GREY, alpha=0.8, label="loss of the next day")]
        handles += [stroke(color=COLOURS[m], ls=styles[m], lw=1.9, label=f"margin, {m}") for m in methods]
        handles.append(stroke(color=BROWN, ls=":", label="struck anew"))
        figure.legend(handles=handles, ncols=len(handles), loc="outside upper center")
        return png(figure)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third."""
    low, middle, high = np.quantile(np.array(values), [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def capital(rows: Sequence[Figures]) -> bytes:
    """Cost against coverage by method, medians and quartiles of all books.

    Parameters
    ----------
    rows : figures of every book and method, of one horizon
    """
    measures: tuple[tuple[str, Callable[[Figures], float]], ...] = (
        ("mean maintenance margin", lambda f: f.margin / f.loss),
        ("mean capital: initial margin less value", lambda f: f.capital / f.loss),
    )
    with drawing(11, 5.2) as figure:
        panels = figure.subplots(1, 2, sharex=True)
        for axes, (words, measure) in zip(panels, measures, strict=True):
            for method in METHODS:
                own = [f for f in rows if f.method == method and f.cost is not None]
                if not own:
                    continue
                left, x, right = quartiles([max(100 * f.rate, NONE) for f in own])
                low, y, high = quartiles([measure(f) for f in own])
                colour = COLOURS[method]
                axes.plot([left, right], [y, y], color=colour, lw=1.6, alpha=0.6)
                axes.plot([x, x], [low, high], color=colour, lw=1.6, alpha=0.6)
                # Often the house and the larger of it and the tail are the same: one stands around the other.
                around = method == "max"
                face: Any = {"mfc": "none" if around else colour, "mec": colour if around else "white"}
                axes.plot(x, y, MARKERS[method], ms=17 if around else 10, mew=2.0 if around else 0.8, zorder=5, **face)
            axes.axvline(100 * PROMISED, color=BLACK, lw=1.0, ls=":")
            axes.set_xscale("log")
            axes.set_xticks([NONE, 0.1, 1.0], ["none", "0.1%", "1%"])
            axes.xaxis.set_minor_formatter("")
            axes.set_xlim(0.8 * NONE, 2.0)
            axes.set_ylim(bottom=0.0)
            axes.set_xlabel("share of days beyond margin, loss over 1 day")
            axes.set_ylabel("USD for each USD of realised 99.5% loss")
            axes.set_title(words[0].upper() + words[1:])
            axes.grid(color=GRID, lw=0.8)
            axes.set_axisbelow(True)
        handles: list[Any] = []
        for m in METHODS:
            hollow: Any = {"mfc": "none", "mew": 2.0} if m == "max" else {}
            handles.append(stroke(marker=MARKERS[m], ls="", color=COLOURS[m], ms=9, label=m, **hollow))
        figure.legend(handles=handles, ncols=len(METHODS), loc="outside upper center")
        return png(figure)
