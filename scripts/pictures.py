"""The pictures of the report, as PNG, in colours that the colour-blind can tell apart (Okabe and Ito; blue to red)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from python_model.margin import leg_tables
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market, Position
from python_model.settlement import payoff

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

BLUE, SKY, GREY, ORANGE, RED, BLACK = "#0072B2", "#56B4E9", "#9AA5B1", "#E69F00", "#D55E00", "#1B2330"
# Orange that is dark enough for letters.
BROWN = "#8F6200"
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4A5666",
    "axes.labelcolor": BLACK,
    "legend.frameon": False,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure in the style of all pictures, of a size in inches; draw and write it inside.

    Here and below Matplotlib is imported where it draws: it takes a second, which commands without pictures save.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def patch(**style: Any) -> Patch:
    """A surface of a legend."""
    from matplotlib.patches import Patch

    return Patch(**style)


def stroke(**style: Any) -> Line2D:
    """A line or marker of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


def dated(axis: Axis, form: str) -> None:
    """Label an axis of time by dates in UTC, `form` as of strftime."""
    from matplotlib.dates import DateFormatter

    axis.set_major_formatter(DateFormatter(form, tz=UTC))


def days(axis: Axis, form: str) -> None:
    """A label at each midnight, a tick every six hours between."""
    from matplotlib.dates import DayLocator, HourLocator

    axis.set_major_locator(DayLocator())
    axis.set_minor_locator(HourLocator(byhour=(6, 12, 18)))
    dated(axis, form)


def years(axis: Axis) -> None:
    """A label at each year."""
    from matplotlib.dates import YearLocator

    axis.set_major_locator(YearLocator())
    dated(axis, "%Y")


def png(figure: Figure) -> bytes:
    """The picture's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def capital_bars(rows: Sequence[tuple[str, Mapping[str, float]]]) -> bytes:
    """Capital of each strategy by mode, as a share of what isolated accounts need.

    Parameters
    ----------
    rows : sequence of (name, capital by mode in USD), from the top down
    """
    modes = (("isolated", GREY), ("cross", SKY), ("portfolio", BLUE))
    with drawing(10, 6.4) as figure:
        axes = figure.subplots()
        for i, (_, capital) in enumerate(rows):
            whole = capital["isolated"]
            if whole < 1.0:
                axes.text(0.8, i, "no capital beyond the premium paid, in any mode", va="center", fontsize=8.5)
                continue
            for k, (mode, colour) in enumerate(modes):
                share, y = 100 * capital[mode] / whole, i + 0.27 * (k - 1)
                axes.barh(y, share, 0.25, color=colour)
                axes.text(share + 0.8, y, f"{capital[mode]:,.0f}", va="center", fontsize=8.5)
        handles = [patch(color=colour, label=mode) for mode, colour in modes]
        figure.legend(handles=handles, ncols=3, loc="outside upper right")
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.set_xlim(0, 112)
        axes.set_xlabel("capital, % of what isolated accounts need (figures at the bars: USD)")
        axes.set_title("Capital by margin mode")
        return png(figure)


def profit(book: Book, market: Market, methodology: Methodology, moves: Floats, vols: Floats) -> Floats:
    """Profit of a book over a grid of price moves (scan ranges) and vol moves (vol ranges), all underlyings together.

    Returns
    -------
    array (vols, moves), USD
    """
    x, y = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(moves, vols))
    grid = replace(methodology, x=x, y=y, z=np.zeros_like(x), g=np.ones_like(x))
    tables = leg_tables(book, market, grid).values()
    return np.asarray(sum(t.change @ t.size for t in tables), dtype=np.float64).reshape(vols.size, moves.size)


def heat_maps(books: Sequence[tuple[str, Book]], market: Market, methodology: Methodology) -> bytes:
    """Profit over price and vol, one map for each book, with the scenarios of the grid and the worst of them."""
    # A little beyond the grid, so that its edge is seen whole.
    moves, vols = np.linspace(-1.25, 1.25, 101), np.linspace(-1.08, 1.08, 87)
    scan_range = methodology.range_of(market.underlyings["ETH"].scan_range)
    plain = (methodology.g == 1.0) & (methodology.z == 0.0)
    from matplotlib.colors import TwoSlopeNorm

    with drawing(10, 4.6) as figure:
        for axes, (name, book) in zip(np.atleast_1d(figure.subplots(1, len(books), sharey=True)), books, strict=True):
            values = profit(book, market, methodology, moves, vols) / 1000
            top = float(np.abs(values).max())
            scale = TwoSlopeNorm(0.0, -top, top)
            image = axes.pcolormesh(moves, vols, values, cmap="RdBu", norm=scale, shading="gouraud")
            lines = axes.contour(moves, vols, values, levels=[0.0], colors=BLACK, linewidths=1.2)
            axes.clabel(lines, fmt="no profit, no loss", fontsize=8)
            axes.plot(methodology.x[plain], methodology.y[plain], ".", color=BLACK, ms=4)
            pairs = list(zip(methodology.x[plain], methodology.y[plain], strict=True))
            nodes = [profit(book, market, methodology, np.array([x]), np.array([y])).item() for x, y in pairs]
            worst = int(np.argmin(nodes))
            x, y = pairs[worst]
            axes.plot(x, y, "o", ms=13, mfc="none", mec=BLACK, mew=1.8, clip_on=False)
            axes.annotate(
                f"worst of the {len(nodes)}:\n{nodes[worst]:,.0f} USD",
                (x, y),
                (-0.55 * np.sign(x), 0.62 * y),
                ha="center",
                fontsize=9,
                arrowprops={"arrowstyle": "-", "color": BLACK},
                bbox={"boxstyle": "round", "fc": "white", "ec": "none", "alpha": 0.85},
            )
            ticks = (-1.0, -0.5, 0.0, 0.5, 1.0)
            axes.set_xticks(ticks, [f"{100 * scan_range * m:+.0f}%" if m else "0" for m in ticks])
            axes.set_xlabel("price move of every underlying")
            axes.set_title(name)
            figure.colorbar(image, ax=axes, label="profit or loss, thousand USD", pad=0.02)
        figure.axes[0].set_yticks(
            [-1, 0, 1], [f"{-100 * methodology.vol_down:.0f}%", "0", f"+{100 * methodology.vol_up:.0f}%"]
        )
        figure.axes[0].set_ylabel("move of the implied vol of a 30-day option,\nrelative; shorter ones move more")
        return png(figure)


@dataclass(frozen=True)
class Track:
    """An account over time: seconds since 1970, and USD. A moment may come twice, before and after a sale."""

    title: str
    times: Sequence[int]
    equity: Sequence[float]
    initial: Sequence[float]
    maintenance: Sequence[float]
    sales: Sequence[tuple[int, float, str]] = ()


def crash(
    times: Sequence[int], prices: Mapping[str, Sequence[float]], tracks: Sequence[Track], snapshots: Sequence[int]
) -> bytes:
    """Prices above, then equity against the two requirements for each account; liquidations marked.

    Parameters
    ----------
    times, prices : of the market; prices in USD by name, drawn as a share of the first
    tracks : the accounts
    snapshots : moments at which the market is recorded, not interpolated
    """

    def moments(seconds: Sequence[int]) -> list[Any]:
        return [datetime.fromtimestamp(t, UTC) for t in seconds]

    with drawing(10, 10.5) as figure:
        top, *rest = figure.subplots(
            len(tracks) + 1, sharex=True, gridspec_kw={"height_ratios": [1.0, *(1.0 for _ in tracks[1:]), 1.5]}
        )
        for (name, series), colour, style in zip(prices.items(), (BLUE, BROWN), ("-", "--"), strict=True):
            top.plot(moments(times), [100 * p / series[0] for p in series], style, color=colour, lw=2)
            top.annotate(
                f"{name}: {series[0]:,.0f} to {series[-1]:,.0f} USD",
                (0.06, 0.26 if name == "ETH" else 0.1),
                xycoords="axes fraction",
                color=colour,
                fontsize=9.5,
                fontweight="bold",
            )
        top.set_title("Spot price, 2 February = 100")
        top.set_ylabel("index")
        for axes, track in zip(rest, tracks, strict=True):
            when = moments(track.times)
            thousand = {k: [v / 1000 for v in getattr(track, k)] for k in ("equity", "initial", "maintenance")}
            axes.plot(when, thousand["equity"], "-", color=BLUE, lw=2.2, label="equity")
            axes.plot(when, thousand["initial"], "--", color=ORANGE, lw=1.6, label="initial margin")
            axes.plot(when, thousand["maintenance"], "-.", color=RED, lw=1.6, label="maintenance margin")
            axes.fill_between(when, 0, thousand["maintenance"], color=RED, alpha=0.07, lw=0)
            for time, level, words in track.sales:
                moment = moments([time])[0]
                axes.plot(moment, level / 1000, "v", color=BLACK, ms=9, zorder=5)
                axes.annotate(
                    words,
                    (moment, level / 1000),
                    (28, 24),
                    textcoords="offset points",
                    ha="left",
                    fontsize=9,
                    arrowprops={"arrowstyle": "-", "color": BLACK, "shrinkB": 5},
                )
            axes.set_ylim(0, 1.12 * max(max(row) for row in thousand.values()))
            axes.set_ylabel("thousand USD")
            axes.set_title(track.title)
        for axes in (top, *rest):
            axes.grid(axis="y", color="#E1E6EB", lw=0.8)
            for moment in moments(snapshots):
                axes.axvline(moment, color=GREY, lw=1.0, ls=":", zorder=0)
        handles = rest[0].get_legend_handles_labels()[0]
        handles.append(stroke(color=BLACK, marker="v", ls="", ms=8, label="liquidation"))
        handles.append(stroke(color=GREY, ls=":", label="recorded market"))
        figure.legend(handles=handles, ncols=5, loc="outside upper center")
        days(rest[-1].xaxis, "%-d Feb 00:00")
        rest[-1].set_xlabel("time, UTC")
        return png(figure)


def covered(
    market: Market,
    methodology: Methodology,
    parts: Sequence[tuple[str, Book]],
    margins: Sequence[tuple[str, float, float]],
    alone: float,
) -> bytes:
    """Profit over price of a position, of its cover and of both; and margins beside it.

    Parameters
    ----------
    parts : two pairs of name and book
    margins : rows of (name, margin on cash, margin with the cover), USD
    alone : margin of the cover, USD
    """
    moves = np.linspace(-1.0, 1.0, 201)
    scan_range = 100 * methodology.range_of(market.underlyings["ETH"].scan_range)
    lines = [(name, profit(book, market, methodology, moves, np.zeros(1))[0] / 1000) for name, book in parts]
    lines.append(("both", sum(values for _, values in lines)))
    with drawing(10, 4.4) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.15, 1.0]})
        for (name, values), colour, style in zip(lines, (ORANGE, GREY, BLUE), ("--", "-.", "-"), strict=True):
            left.plot(scan_range * moves, values, style, color=colour, lw=2.6 if name == "both" else 1.8, label=name)
        left.axhline(0.0, color=BLACK, lw=0.8)
        left.set_xlabel("price move of ETH, %, vol unmoved")
        left.set_ylabel("profit or loss, thousand USD")
        left.set_title("Profit over the scan range")
        left.legend(loc="upper left")
        for i, (_, cash, both) in enumerate(margins):
            for k, (value, colour) in enumerate(((cash, GREY), (both, BLUE))):
                y = i + 0.36 * (k - 0.5)
                right.barh(y, value / 1000, 0.34, color=colour)
                white = {"fc": "white", "ec": "none", "pad": 1.0}
                right.annotate(
                    f"{value:,.0f}",
                    (value / 1000, y),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8.5,
                    bbox=white,
                )
        right.axvline(alone / 1000, color=BLACK, lw=1.2, ls=":")
        right.set_yticks(range(len(margins)), [name for name, *_ in margins])
        right.set_ylim(len(margins) - 0.45, -0.55)
        right.set_xlim(0, 1.2 * max(max(row[1:]) for row in margins) / 1000)
        right.set_xlabel("initial margin, thousand USD (figures: USD)")
        right.set_title("Margin of the calls sold")
        handles: list[Any] = [patch(color=c, label=t) for t, c in (("on cash", GREY), ("with wstETH", BLUE))]
        handles.append(stroke(color=BLACK, ls=":", label="wstETH alone"))
        figure.legend(handles=handles, ncols=3, loc="outside upper right")
        return png(figure)


def expiry(
    times: Sequence[int],
    spots: Sequence[float],
    forwards: Sequence[float],
    price: float,
    legs: Sequence[Position],
) -> bytes:
    """Spot and the partly fixed forward in the last half hour; and the payoff of a book of one expiry.

    Parameters
    ----------
    times, spots, forwards : seconds since 1970 and USD, at each publication
    price : settlement price, USD
    legs : options of that expiry
    """
    moments = [datetime.fromtimestamp(t, UTC) for t in times]
    strikes = [leg.strike for leg in legs if leg.strike is not None]
    prices = np.linspace(min(strikes) - 200, max(strikes) + 200, 401)

    def pays(at: Floats) -> Floats:
        return np.asarray(sum(leg.size * payoff(leg.kind, at, leg.strike) for leg in legs))

    with drawing(10, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(moments, spots, color=GREY, lw=2.0, drawstyle="steps-post", label="spot")
        left.plot(moments, forwards, "-o", color=BLUE, lw=2.2, ms=5, label="forward in the margin")
        left.axhline(price, color=BLACK, lw=1.2, ls=":", label=f"settlement price {price:,.2f}")
        dated(left.xaxis, "%H:%M")
        left.set_xlabel("time, UTC")
        left.set_ylabel("USD")
        left.set_title("The last half hour")
        left.legend()
        right.plot(prices, pays(prices), color=BLUE, lw=2.2)
        right.axhline(0.0, color=BLACK, lw=0.8)
        paid = pays(np.array([price])).item()
        right.plot(price, paid, "o", color=RED, ms=9, zorder=5)
        # Between the inner strikes, under the line.
        right.annotate(
            f"{paid:,.2f} USD\nat {price:,.2f}",
            (price, paid),
            (float(np.mean(sorted(strikes)[1:-1])), 0.6 * float(pays(prices).min())),
            color=RED,
            ha="center",
            arrowprops={"arrowstyle": "-", "color": RED, "shrinkB": 6},
        )
        right.set_xlabel("settlement price, USD")
        right.set_ylabel("the legs pay, USD")
        right.set_title("Payoff of the condor seller's legs")
        return png(figure)
