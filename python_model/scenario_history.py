"""A scenario set from the past: daily returns by the volatility known before the day, and moves of a vol index (M-18).

`sigma` before a day is the root of M-21 after the last price of the day before: the same average, fed as often, as the
market's own, by which a row is multiplied when it is used. Fed with one price a day it is another, noisier measure, and
days divided by it have twice the kurtosis.

The vol move is that of an index of implied vol of 30 days, over the same day. Where the index is not known on both
ends of the day, a **proxy** takes its place: the relative move of the EWMA volatility (M-21) of a half-life of 14 days.
Of 3, 7, 14, 30 and 60 days that is the half-life whose moves are spread most like the index's on the days that have
both (ETH, 2022-2026: standard deviation 3.4% for 4.3%, 99% quantile 11.8% for 12.5%; correlation 0.34). It knows
nothing of what people fear, only of what has happened: it rises on rallies too, and a day late.

A day is one of UTC, from midnight to midnight, and has the date on which it begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from python_model.history import HistoryError, Series
from python_model.scenario_set import ScenarioSet, ScenarioSetError
from python_model.tail import Moves
from python_model.volatility import DAY, Terms, variance_path

if TYPE_CHECKING:
    import pandas as pd

# Of the vol indices, beside the prices: closes of an hour or of a day by the UTC time at which it begins.
INDEX_FILES = {"ETH": "eth_dvol_1h.parquet", "BTC": "btc_dvol_1d.csv"}
RETURNS = ("simple", "log")
PROXY_HALFLIFE = 14.0 * DAY
# Ten half-lives of M-21: what the average began with weighs a thousandth.
WARM_UP_DAYS = 30
ROWS = 250

# Days on which ETH and BTC fell together, which a set keeps whatever its dates: a fork and the slide of 2018, the
# pandemic, China's ban, Celsius, FTX on two days, the yen carry trade, the crash of the snapshots of this project.
STRESS = (
    "2018-11-14",
    "2020-03-12",
    "2021-05-19",
    "2022-06-13",
    "2022-11-08",
    "2022-11-09",
    "2024-08-05",
    "2026-02-05",
)


def load_index(folder: Path, name: str) -> pd.Series[float]:
    """Closes of the vol index by date, per cent, from the folder of the data; HistoryError where it is absent."""
    import pandas as pd

    path = folder / "volatility" / INDEX_FILES[name]
    if not path.is_file():
        raise HistoryError(f"{path}: is absent; the vol index is no part of the project")
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, usecols=["timestamp", "dvol"], parse_dates=["timestamp"])
            closes = frame.set_index("timestamp")["dvol"]
        else:
            closes = pd.read_parquet(path, columns=["close"])["close"]
            closes = closes[pd.DatetimeIndex(closes.index).hour == 23]
        closes.index = pd.DatetimeIndex(closes.index).tz_localize(None).normalize()
    except (ImportError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise HistoryError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    if not closes.index.is_monotonic_increasing or not (closes > 0.0).all():
        raise HistoryError(f"{path}: must be numbers greater than 0 by rising time")
    return pd.Series(closes.to_numpy(dtype=np.float64), closes.index)


def days(
    series: Series,
    index: pd.Series[float] | None = None,
    terms: Terms | None = None,
    returns: str = "simple",
    proxy_halflife: float = PROXY_HALFLIFE,
) -> pd.DataFrame:
    """The days of one underlying: what each did, and the volatility that was known before it.

    Parameters
    ----------
    series : Series
        Prices by the hour or by the day; days without a price at both midnights are left out.
    index : Series of float by date, optional
        Closes of a vol index; without one every vol move is the proxy.
    terms : Terms, optional
        Half-life of M-21, the defaults where none are given.
    returns : str
        `simple`, as M-4 moves a price by `1 + x U`: on a day like itself a row gives its price exactly. `log` for
        comparison: falls are larger, rises smaller.
    proxy_halflife : float, seconds

    Returns
    -------
    DataFrame by date: `move` (return, a rise is positive), `sigma` (a day, before the day), `vol_move`, and `proxied`
    (whether the index was not known). The first 30 days, in which the average warms up, are left out.
    """
    import pandas as pd

    if returns not in RETURNS:
        raise ScenarioSetError(f"returns: must be one of {', '.join(RETURNS)} (got {returns!r})")
    terms = Terms() if terms is None else terms
    known = np.isfinite(series.close)
    times, prices = series.times[known], series.close[known]
    midnight = np.flatnonzero(times % DAY == 0)
    at = pd.DatetimeIndex(pd.to_datetime(times[midnight] - DAY, unit="s"))
    frame = pd.DataFrame({"price": prices[midnight]}, index=at)
    for key, halflife in (("sigma", terms.halflife), ("proxy", proxy_halflife)):
        path = variance_path(times, prices, replace(terms, halflife=halflife))
        frame[key] = np.sqrt(path)[midnight]
    frame = frame.reindex(pd.date_range(at[0], at[-1], freq="D"))
    before = frame.shift(1)
    ratio = frame["price"] / before["price"]
    move = ratio - 1.0 if returns == "simple" else np.log(ratio)
    closes = pd.Series(np.nan, frame.index) if index is None else index.reindex(frame.index)
    of_index = closes / closes.shift(1) - 1.0
    proxy = frame["proxy"] / before["proxy"] - 1.0
    result = pd.DataFrame(
        {
            "move": move,
            "sigma": before["sigma"],
            "vol_move": of_index.fillna(proxy),
            "proxied": of_index.isna(),
        }
    )
    # The first row is the midnight at which the prices begin, and no day.
    return result.iloc[WARM_UP_DAYS + 1 :].dropna()


def joint_days(history: Mapping[str, pd.DataFrame]) -> pd.DatetimeIndex:
    """Days that every underlying has, rising."""
    import pandas as pd

    if not history:
        raise ScenarioSetError("underlyings: must be at least one")
    tables = list(history.values())
    shared = tables[0].index
    for table in tables[1:]:
        shared = shared.intersection(table.index)
    return pd.DatetimeIndex(shared.sort_values())


def chosen_days(
    history: Mapping[str, pd.DataFrame],
    rows: int = ROWS,
    start: str | None = None,
    end: str | None = None,
    stress: Sequence[str] = STRESS,
) -> pd.DatetimeIndex:
    """The days of a set: the latest `rows` joint days from `start` to `end`, the mildest replaced by the stress days.

    A stress day that is among the latest stays; each other takes the place of the mildest that is left, mildest by the
    largest |x| of any underlying. So there are `rows` of them, and the tail is at least that of the latest days.

    Parameters
    ----------
    history : mapping of underlying to the table of `days`
    rows : int
    start, end : str, first and last date of the latest days; no limits on the stress days
    stress : sequence of str, dates

    Returns
    -------
    DatetimeIndex of `rows` days, rising; ScenarioSetError where there are not so many, or one of the stress is unknown.
    """
    import pandas as pd

    shared = joint_days(history)
    named = pd.DatetimeIndex(sorted(set(stress)))
    for date in named.difference(shared):
        raise ScenarioSetError(f"stress: {date.date()} is no day of all of {', '.join(history)}")
    if rows < max(1, len(named)):
        raise ScenarioSetError(f"rows: must be at least 1, and hold the {len(named)} stress days (got {rows})")
    latest = shared[shared.slice_indexer(start, end)][-rows:]
    if len(latest) < rows:
        raise ScenarioSetError(f"rows: must be at most the {len(latest)} joint days from start to end (got {rows})")
    others = latest.difference(named)
    standard = [(h["move"] / h["sigma"]).reindex(others).to_numpy(dtype=np.float64) for h in history.values()]
    severity = np.max(np.abs(standard), axis=0)
    # Stable, so that of two alike the earlier goes.
    mildest = np.argsort(severity, kind="stable")[: len(others) + len(named) - rows]
    return pd.DatetimeIndex(others.delete(mildest).union(named))


def build(history: Mapping[str, pd.DataFrame], on: pd.DatetimeIndex, name: str, version: str = "1") -> ScenarioSet:
    """The scenario set of some days, filtered: `x` is the return by the volatility before the day (M-18).

    Parameters
    ----------
    history : mapping of underlying to the table of `days`, in the order of the ids on the chain
    on : DatetimeIndex, of `chosen_days`
    name, version : str
    """
    tables = [table.reindex(on) for table in history.values()]
    x = np.stack([(t["move"] / t["sigma"]).to_numpy(dtype=np.float64) for t in tables], axis=1)
    y = np.stack([t["vol_move"].to_numpy(dtype=np.float64) for t in tables], axis=1)
    dates = tuple(on.strftime("%Y-%m-%d"))
    return ScenarioSet(name, version, tuple(history), dates, x, y)


def plain(history: Mapping[str, pd.DataFrame], on: pd.DatetimeIndex, horizon: float = 1.0) -> Moves:
    """The same days as they were, unfiltered: what plain historical simulation replays.

    Parameters
    ----------
    history, on : as of `build`
    horizon : float, days; returns grow by its root
    """
    tables = [table.reindex(on) for table in history.values()]
    price = np.sqrt(horizon) * np.stack([t["move"].to_numpy(dtype=np.float64) for t in tables], axis=1)
    vol = np.stack([t["vol_move"].to_numpy(dtype=np.float64) for t in tables], axis=1)
    return Moves(tuple(history), tuple(on.strftime("%Y-%m-%d")), price, vol)
