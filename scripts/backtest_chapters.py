"""The report of the back-test: which method fails which test, how far margin was too little, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from python_model.backtest import METHODS, Record
from python_model.backtest_books import NOTIONAL, BookType
from python_model.backtest_figures import CALL_DAYS, LOSS_SHARE, PROMISED, Figures
from python_model.backtest_market import HORIZONS, PROXY_MULTIPLE, MarketPath
from python_model.coverage_tests import FEW, MANY, SIZE, LikelihoodRatio
from scripts import backtest_pictures
from scripts.chapter_volatility import date, share
from scripts.report import Chapter, Picture, Sheet

# Drawn through the crash, and by which methods: the lines of the others would lie on these.
SHOWN = ("BTC long perpetual", "BTC short straddle", "ETH short straddle")
DRAWN = ("house", "var", "tims", "deribit")


def thousand(amount: float | None, digits: int = 1) -> str:
    """Thousand USD; a dash where there is nothing."""
    return "–" if amount is None else f"{round(amount / 1e3, digits) + 0.0:,.{digits}f}"


def ratio(value: float | None) -> str:
    """Two digits, or a dash for none; beyond a thousand nobody needs the figure."""
    if value is None:
        return "–"
    return ">1,000" if value > 1e3 else f"{value:,.2f}"


def p_value(test: LikelihoodRatio) -> str:
    """The p-value, or that the test is silent."""
    if test.p is None:
        return "silent"
    return "<0.001" if test.p < 0.001 else f"{test.p:.3f}"


def statistic(test: LikelihoodRatio) -> str:
    """The likelihood ratio, a dash where the test is silent."""
    return "–" if test.statistic is None else f"{test.statistic:.2f}"


def days_in_words(horizon: int) -> str:
    """`1 day`, `2 days`."""
    return f"{horizon} day{'s' if horizon > 1 else ''}"


def named(books: Iterable[str]) -> str:
    """Names of books in words, those of two underlyings together: `short put (ETH, BTC)`."""
    kinds: dict[str, list[str]] = {}
    for book in books:
        underlying, _, kind = book.partition(" ")
        if "–" in underlying:
            kinds[book] = []
        else:
            kinds.setdefault(kind, []).append(underlying)
    words = [f"{kind} ({', '.join(of)})" if of else kind for kind, of in kinds.items()]
    return ", ".join(words)


def which(books: Sequence[str], everything: Sequence[str]) -> str:
    """How many of all books, and which: by name, or by the names of the others where these are fewer."""
    if len(books) in (0, len(everything)):
        return f"{'all' if books else 'none of'} {len(everything)} books"
    others = [b for b in everything if b not in books]
    if len(others) < len(books):
        return f"{len(books)} of {len(everything)} books, all but {named(others)}"
    return f"{len(books)} of {len(everything)} books, {named(books)}"


def verdict(method: str, horizon: int, rows: Sequence[Figures]) -> str:
    """What fails, in plain words, for one method and horizon."""
    own = [f for f in rows if f.method == method and f.horizon == horizon]
    every = [f.book for f in own]
    many = [f.book for f in own if f.side == MANY]
    few = sum(f.side == FEW for f in own)
    apart, joint = [f.book for f in own if f.independent.rejects], [f.book for f in own if f.both.rejects]
    # Where coverage holds, the joint test says something of its own.
    alone = [f.book for f in own if f.both.rejects and not f.coverage.rejects]
    words = [
        f"{method}, loss over {days_in_words(horizon)}: "
        + (f"fails coverage with too many exceedances for {which(many, every)}" if many else "no coverage test fails")
        + (" with too many exceedances" if not many else "")
        + (f"; with too few, which is dear but safe, for {few}." if few else "."),
        f"Independence fails for {which(apart, every)}." if apart else "Independence fails for none.",
    ]
    silent = sum(f.independent.p is None for f in own)
    if silent:
        words.append(f"It can say nothing of {silent}, which went beyond margin once or never.")
    words.append(
        f"The joint test fails for {len(joint)}"
        + (f", among them {named(alone)}, whose coverage alone does not." if alone else ".")
        if joint
        else "The joint test fails for none."
    )
    return " ".join(words)


def in_short(rows: Sequence[Figures]) -> list[str]:
    """The answer before the details: who fails on the dangerous side, who on no side but the dear one."""
    result = []
    for horizon in HORIZONS:
        counts = {m: sum(f.side == MANY for f in rows if f.method == m and f.horizon == horizon) for m in METHODS}
        fail = [f"{m} ({n} book{'s' if n > 1 else ''})" for m, n in counts.items() if n]
        hold = [m for m, n in counts.items() if not n]
        result.append(
            f"In short, over {days_in_words(horizon)}: "
            + (
                f"too little margin for {share(PROMISED, 0)} by {', '.join(fail)}"
                if fail
                else "no method asks too little"
            )
            + (f"; never by {', '.join(hold)}." if hold and fail else ".")
        )
    decay = [f.method for f in rows if f.side == MANY and f.book.endswith("long straddle") and f.horizon == HORIZONS[0]]
    if decay:
        result.append(
            f"Those who bought options lose more than their margin by {', '.join(dict.fromkeys(decay))} mostly on "
            "quiet days: no time passes in a row of the tail or at a valuation point, so that a day's decay is in "
            "neither, and tims has no fall of vol. In the other grids the vol move down pays for the decay by the "
            "way."
        )
    return result


def summary_sheet(rows: Sequence[Figures]) -> Sheet:
    """A line for each method and horizon, over all books."""
    table: list[tuple[str, ...]] = []
    strong = set()
    for method in METHODS:
        for horizon in HORIZONS:
            own = [f for f in rows if f.method == method and f.horizon == horizon]
            short = [f for f in own if f.shortfall is not None]
            worst = max(short, key=lambda f: f.worst or 0.0, default=None)
            beyond = sum(f.exceedances for f in own)
            mean = sum((f.shortfall or 0.0) * f.exceedances for f in own) / beyond if beyond else None
            troughs = [f.peak_to_trough for f in own if f.peak_to_trough is not None]
            first = horizon == HORIZONS[0]
            if method in ("house", "var"):
                strong.add(len(table))
            table.append(
                (
                    method if first else "",
                    str(horizon),
                    f"{sum(f.days for f in own):,}",
                    f"{beyond:,}",
                    share(beyond / sum(f.days for f in own)),
                    str(sum(f.side == MANY for f in own)),
                    str(sum(f.side == FEW for f in own)),
                    str(sum(f.independent.rejects for f in own)),
                    str(sum(f.both.rejects for f in own)),
                    thousand(mean),
                    thousand(None if worst is None else worst.worst),
                    ratio(float(np.median([f.margin / f.loss for f in own if f.cost is not None]))),
                    ratio(float(np.median([f.cost for f in own if f.cost is not None]))),
                    ratio(float(np.median(troughs))) if first and troughs else "",
                )
            )
    return Sheet(
        "All books together",
        (
            "method",
            "loss over\ndays",
            "book-days",
            "beyond",
            "share",
            f"coverage fails\n{MANY}",
            f"\n{FEW}",
            "independence\nfails",
            "joint\nfails",
            "mean beyond\nthousand USD",
            "furthest beyond\nthousand USD",
            "margin / loss\nmedian",
            "capital / loss\nmedian",
            "peak / trough\nmedian",
        ),
        "l" + 13 * "r",
        table,
        f"Numbers of books whose test falls at {share(SIZE, 0)}; the promised share is {share(PROMISED, 0)} for all. "
        f"Loss: the realised loss that {share(LOSS_SHARE, 1)} of days did not exceed, of each book. Peak over trough "
        "of maintenance margin on a notional that is the same at every strike.",
        frozenset(strong),
    )


def by_book_sheet(rows: Sequence[Figures], horizon: int) -> Sheet:
    """Exceedances of every book by every method, with a mark where coverage fails."""
    books = list(dict.fromkeys(f.book for f in rows))
    table = []
    for book in books:
        own = {f.method: f for f in rows if f.book == book and f.horizon == horizon}
        cells = []
        for method in METHODS:
            f = own[method]
            mark = {MANY: " ▲", FEW: " ▽", "": "  "}[f.side]
            cells.append(f"{f.exceedances}{mark}\n{share(f.rate)}")
        table.append((book, f"{own[METHODS[0]].days:,}", *cells))
    return Sheet(
        f"Days whose loss over {days_in_words(horizon)} was beyond margin",
        ("book", "days", *METHODS),
        "lr" + "r" * len(METHODS),
        table,
        f"▲ too many and ▽ too few for {share(PROMISED, 0)} by Kupiec's test at {share(SIZE, 0)}"
        + (
            f", which takes every {horizon}nd day alone, for windows of {horizon} days share days."
            if horizon > 1
            else "."
        ),
    )


def procyclicality_sheet(rows: Sequence[Figures]) -> Sheet:
    """How margin rose, by method: medians of all books, and the book that was called for most."""
    table = []
    for method in METHODS:
        own = [f for f in rows if f.method == method and f.horizon == HORIZONS[0]]
        troughs = [f.peak_to_trough for f in own if f.peak_to_trough is not None]
        cells = []
        for i in range(len(CALL_DAYS)):
            most = max(own, key=lambda f: f.calls[i])
            cells += [thousand(float(np.median([f.calls[i] for f in own]))), f"{thousand(most.calls[i])}\n{most.book}"]
        table.append((method, ratio(float(np.median(troughs))) if troughs else "–", *cells))
    heads: list[str] = []
    for n in CALL_DAYS:
        heads += [f"{days_in_words(n)}\nmedian", "\nlargest of all"]
    return Sheet(
        "Rises of maintenance margin on the same legs, thousand USD for a notional of a million",
        ("method", "peak / trough\nmedian", *heads),
        "lr" + "rl" * len(CALL_DAYS),
        table,
        "The largest call within so many days, from the day before the rise; a book that is struck anew is no call, "
        "but a leg that expires and leaves another alone is. Spot moves margin too: a book whose notional has "
        "doubled needs twice as much.",
    )


def full_sheet(kind: BookType, rows: Sequence[Figures]) -> Sheet:
    """Every figure of one book."""
    own = [f for f in rows if f.book == kind.name]
    table, silent = [], []
    for f in own:
        first = f.horizon == HORIZONS[0]
        silent += [t.silent for t in (f.coverage, f.independent) if t.silent]
        table.append(
            (
                f.method if first else "",
                str(f.horizon),
                f"{f.days:,}",
                f"{f.exceedances}",
                share(f.rate),
                f"{f.failures} / {f.tested:,}",
                *(x for t in (f.coverage, f.independent, f.both) for x in (statistic(t), p_value(t))),
                thousand(f.shortfall),
                thousand(f.worst),
                ratio(f.peak_to_trough),
                *(thousand(c) for c in f.calls),
                thousand(f.margin),
                thousand(f.capital),
                thousand(f.loss),
                ratio(f.cost),
                ", ".join(f.failed) or "none",
            )
        )
    why = f" Silent: {'; '.join(dict.fromkeys(silent))}." if silent else ""
    return Sheet(
        f"{kind.name}: {kind.words}",
        (
            "method",
            "loss over\ndays",
            "days",
            "beyond",
            "share",
            "tested\nbeyond / days",
            "Kupiec\nLR",
            "\np",
            "independence\nLR",
            "\np",
            "joint\nLR",
            "\np",
            "mean beyond\nthousand USD",
            "furthest\nthousand USD",
            "peak /\ntrough",
            *(f"call, {days_in_words(n)}\nthousand USD" for n in CALL_DAYS),
            "mean margin\nthousand USD",
            "mean capital\nthousand USD",
            f"{share(LOSS_SHARE, 1)} loss\nthousand USD",
            "capital\n/ loss",
            "fails",
        ),
        "l" + "r" * 21 + "l",
        table,
        f"Of margin, calls and capital the horizon changes nothing.{why}",
    )


def assumptions(path: MarketPath) -> list[str]:
    """What is assumed, in words."""
    proxied = ", ".join(
        f"{share(float(path.proxied[:, i].mean()), 0)} of days for {name}" for i, name in enumerate(path.names)
    )
    return [
        f"Every book is struck on the first day of each month, 08:00 UTC, on a notional of {NOTIONAL / 1e6:g} million "
        "USD and held for the month; expiries are the last Fridays of months, and what expires on the way is settled "
        "at the spot of that hour. Hedges are made when a book is struck and stay.",
        "Margin is that of 08:00 UTC, from what was known at that hour; the loss is that of the book until 08:00 UTC "
        "of the next day, or of the one after, options repriced in full. Nobody adds money, trades or is liquidated. "
        "Margin within a day is not looked at: hourly prices are in the report of the replay.",
        "Forwards and perpetuals are at spot; rates, funding and basis are nothing. All strikes and tenors of an "
        "underlying have one vol: the last close of its index of 30 days. Before an index begins and after it ends "
        f"it is a proxy, {PROXY_MULTIPLE:g} times the EWMA volatility of a half-life of 14 days: {proxied}. The "
        "factor is the one number that is known with hindsight. The proxy knows nothing of what people fear, so "
        "before the indices begin the losses of those who sold options are mild.",
        "The vol of a tenor other than 30 days moves by h(τ) times as much as the index (M-5), in margin and loss "
        "alike; the smile does not move. So neither of these two is tested.",
        "var: 99% expected shortfall of the 250 latest joint days, filtered, for one day, without stress days; no "
        "grid, but the charges of the house. Its rows move prices and vols at once: no time passes in them. max: the "
        "larger of the house's grid and that tail. isolated: each leg has only its own margin, and is short by "
        "itself. cross: the sum of these margins for all legs together.",
        f"The share of days promised is {share(PROMISED, 0)}, for all alike: the grids promise none. The tail of var "
        "lies beyond its 99% quantile, being the mean of what is worse, so that it should be exceeded less often "
        "than that. Kupiec's test is two-sided: too few exceedances mean that margin costs more than such a share "
        "asks for. The tests of a loss over two days take every second day, for windows that share a day fail "
        "together. A loss beyond margin by less than a cent is none.",
    ]


def chapters(
    records: Sequence[Record], types: Sequence[BookType], path: MarketPath, rows: Sequence[Figures]
) -> list[Chapter]:
    """The whole report; the last but one chapter has every figure.

    Parameters
    ----------
    records : of every book
    types : of the same books, in the same order
    path : MarketPath
    rows : `backtest_figures.all_figures` of the records
    """
    by = {r.book: r for r in records}
    shown = [by[name] for name in SHOWN if name in by] or list(records[:1])
    first = [f for f in rows if f.horizon == HORIZONS[0]]
    worst = shown[0].piece
    day = backtest_pictures.worst_day(shown[0])
    return [
        Chapter(
            "Which default fails which test",
            [
                f"{len(types)} books, {len(path):,} days from {date(int(path.times[0]), False)} to "
                f"{date(int(path.times[-1]), False)}, {len(METHODS)} methods. A test fails where its p-value is below "
                f"{share(SIZE, 0)}: of true hypotheses so many fall by chance.",
                *in_short(rows),
                summary_sheet(rows),
                *(verdict(method, horizon, rows) for method in METHODS for horizon in HORIZONS),
            ],
        ),
        Chapter(
            "How often",
            [
                Picture(
                    backtest_pictures.exceedances(rows),
                    "Exceedances by method",
                    "Each point is a book. Left of the band margin is dearer than 1% asks for, right of it too low.",
                ),
                *(by_book_sheet(rows, horizon) for horizon in HORIZONS),
            ],
        ),
        Chapter(
            "A crash",
            [
                Picture(
                    backtest_pictures.crash(shown, path, DRAWN),
                    f"Margins and losses around {date(int(path.times[day]), False)}",
                    f"On the worst day the {shown[0].book} lost {thousand(float(worst.loss[0, day]), 0)} thousand USD "
                    f"on a maintenance margin of {thousand(float(worst.margin[METHODS.index('house'), day]), 0)} by "
                    "the house. A bar above a line is a loss beyond that margin.",
                ),
            ],
        ),
        Chapter(
            "What it cost",
            [
                Picture(
                    backtest_pictures.capital(first),
                    "Capital against coverage",
                    "Medians of all books, lines from the first quartile to the third: lower is cheaper, further "
                    "left is safer. The larger mark is `max`, which stands around the house's.",
                ),
                procyclicality_sheet(rows),
            ],
        ),
        Chapter("Every figure", [full_sheet(kind, rows) for kind in types]),
        Chapter("What is assumed", assumptions(path)),
    ]
