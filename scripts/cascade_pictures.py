"""The pictures of the cascade: what margin modes save against what they cost in a crash, and the crash itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from python_model.cascade import Freed, Outcome
from python_model.portfolio import Mode
from scripts.pictures import BLACK, BLUE, GREY, ORANGE, RED, SKY, dated, drawing, patch, png, stroke

COLOURS = {Mode.ISOLATED: GREY, Mode.CROSS: SKY, Mode.PORTFOLIO: BLUE}
MARKERS = {Freed.KEPT: "o", Freed.WITHDRAWN: "v", Freed.LEVERED: "^"}


def trade_off(crashes: Sequence[tuple[str, Sequence[Outcome]]]) -> bytes:
    """Efficiency against three measures of systemic risk, one row of panels for each crash.

    Parameters
    ----------
    crashes : sequence of (name, outcomes of all regimes)
    """
    measures = (
        ("traders liquidated, %", lambda o, n: 100.0 * o.liquidated / n),
        ("price pushed by liquidations, %", lambda o, n: 100.0 * (1.0 - np.exp(-o.fall))),
        ("bad debt, 1e-4 of notional", lambda o, n: 1e4 * o.debt / o.notional),
    )
    with drawing(11, 0.9 + 3.1 * len(crashes)) as figure:
        panels = figure.subplots(len(crashes), len(measures), squeeze=False)
        for row, (name, outcomes) in zip(panels, crashes, strict=True):
            for axes, (label, measure) in zip(row, measures, strict=True):
                for o in outcomes:
                    style = {"color": COLOURS[o.regime.mode], "marker": MARKERS[o.regime.freed]}
                    axes.plot(
                        o.notional / o.capital,
                        measure(o, o.traders),
                        ls="",
                        ms=10,
                        mec=BLACK,
                        mew=0.7,
                        alpha=0.85,
                        **style,
                    )
                highest = max(measure(o, o.traders) for o in outcomes)
                # From a little below zero, so that a point on the axis is seen whole.
                axes.set_ylim(-0.04 * (highest or 1.0), 1.12 * (highest or 1.0))
                axes.set_xlim(0.0, 1.1 * max(o.notional / o.capital for o in outcomes))
                axes.set_ylabel(label)
                axes.set_xlabel("notional for each USD of capital")
            row[0].set_title(name)
        handles: list[Any] = [patch(color=colour, label=mode.value) for mode, colour in COLOURS.items()]
        handles += [
            stroke(ls="", marker=marker, color="white", mec=BLACK, ms=9, label=f"freed capital {freed}")
            for freed, marker in MARKERS.items()
        ]
        figure.legend(handles=handles, ncols=6, loc="outside upper center")
        return png(figure)


def courses(name: str, times: Sequence[int], outcomes: Sequence[Outcome]) -> bytes:
    """The price with and without liquidations, and what accounts without net value had cost by each hour.

    Parameters
    ----------
    name : of the underlying
    times : hours, seconds since 1970
    outcomes : of the regimes to be shown
    """
    moments = [datetime.fromtimestamp(t, UTC) for t in times]
    lines = {Freed.KEPT: "-", Freed.WITHDRAWN: "--", Freed.LEVERED: ":"}
    with drawing(10, 6.6) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        above.plot(moments, outcomes[0].plain, color=ORANGE, lw=2.2, label="as it was")
        for o in outcomes:
            colour = RED if o.regime.freed is Freed.LEVERED else COLOURS[o.regime.mode]
            above.plot(moments, o.price, color=colour, ls=lines[o.regime.freed], lw=1.4, label=o.regime.words)
            below.step(moments, o.debts / 1e3, color=colour, ls=lines[o.regime.freed], where="post", lw=1.6)
        above.set_ylabel(f"{name}, USD")
        above.set_title("Price, as it was and as liquidations push it")
        above.legend(loc="upper right")
        below.set_ylabel("thousand USD")
        below.set_title("Bad debt so far")
        below.set_ylim(bottom=0.0)
        dated(below.xaxis, "%d %b\n%H:%M")
        return png(figure)
