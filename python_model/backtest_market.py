"""The market of a back-test, day by day at 08:00 UTC, when options expire: what was known at that hour (M-18, M-21).

Assumptions, each of which can be argued about:

- Forwards and perpetuals are at spot; rates, funding and basis are nothing. So a future against spot has no risk here.
- One vol for every strike and tenor of an underlying: the last close of its index of 30 days that is no older than a
  day (hourly for ETH, that of midnight for BTC). Before an index begins, and where it has ended, a **proxy**: 1.1 times
  the EWMA volatility a year of a half-life of 14 days (`scenario_history`). The index was 1.07 times that of ETH and
  1.12 times that of BTC in the median of the days that have both; 1.1 is known with hindsight, and nothing else is.
- Over a horizon, the vol of 30 days moves as the index did where both of its ends are known, else as the proxy did: a
  day on which one takes the place of the other moves nothing. Other tenors move by `h(tau)` times as much (M-5), as
  they do in the rows of a tail: of that law, and of the smile, a back-test like this says nothing.
- An hour without a price keeps the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from python_model import scenario_history
from python_model.history import FILES, HOUR, HistoryError, Series, load
from python_model.normal import Floats
from python_model.scenario_history import INDEX_FILES, PROXY_HALFLIFE, ROWS, load_index
from python_model.scenario_set import MAX_MOVE, STEPS, VOL_MOVES
from python_model.volatility import DAY, Terms, scan_range_path, variance_path

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]

HORIZONS = (1, 2)
PROXY_MULTIPLE = 1.1
FIRST_DAY = "2018-01-01"
# With fewer rows a tail of 99% would be one or two days of the beginning of 2018.
LEAST_ROWS = 100


@dataclass(frozen=True, eq=False)
class VolIndex:
    """A vol index: `times` in seconds at which its closes are known, rising, and `closes` as fractions a year."""

    times: Ints
    closes: Floats

    def at(self, times: Ints) -> Floats:
        """The last close known at some times, NaN where it is older than a day.

        Parameters
        ----------
        times : array (n,), seconds

        Returns
        -------
        array (n,)
        """
        if not self.times.size:
            return np.full(times.size, np.nan)
        row = np.searchsorted(self.times, times, side="right") - 1
        fresh = (row >= 0) & (times - self.times[np.maximum(row, 0)] < DAY)
        return np.where(fresh, self.closes[np.maximum(row, 0)], np.nan)


@dataclass(frozen=True, eq=False)
class MarketPath:
    """A market over days. Arrays (days, underlyings) unless said otherwise; of a day, only `later` looks beyond it.

    Attributes
    ----------
    names : tuple of str
    times : array (days,), seconds, a day apart
    spot : USD
    vol : a year, of every strike and tenor
    proxied : bool, whether the vol is the proxy
    scan_range : fraction of spot (M-22)
    sigma : a day (M-21), the price unit of a tail
    later : array (horizons, days, underlyings), relative move of a vol of 30 days over the horizon, NaN where not known
    x, y : arrays (rows, underlyings), the joint days of the past (M-18), standardised return and relative vol move
    first_row, stop_row : arrays (days,), the rows that are a day's set
    """

    names: tuple[str, ...]
    times: Ints
    spot: Floats
    vol: Floats
    proxied: NDArray[np.bool_]
    scan_range: Floats
    sigma: Floats
    later: Floats
    x: Floats
    y: Floats
    first_row: Ints
    stop_row: Ints

    def __len__(self) -> int:
        """Number of days."""
        return int(self.times.size)

    def between(self, start: int, stop: int) -> MarketPath:
        """The days from index `start` to before `stop`, and the rows of their sets alone."""
        days = slice(start, stop)
        first, last = int(self.first_row[start]), int(self.stop_row[stop - 1])
        return replace(
            self,
            **{key: getattr(self, key)[days] for key in ("times", "spot", "vol", "proxied", "scan_range", "sigma")},
            later=self.later[:, days],
            x=self.x[first:last],
            y=self.y[first:last],
            first_row=self.first_row[days] - first,
            stop_row=self.stop_row[days] - first,
        )


def filled(close: Floats) -> Floats:
    """Prices (n,) with the last one in place of each that is missing; the first is there."""
    return np.asarray(close[np.maximum.accumulate(np.where(np.isfinite(close), np.arange(close.size), 0))])


def moves_over(index: Floats, proxy: Floats, days: int) -> Floats:
    """Relative move over so many days: of the index where it is known on both ends, else of the proxy.

    Parameters
    ----------
    index, proxy : arrays (days,), the index NaN where not known
    days : int

    Returns
    -------
    array (days,), NaN at the end, where the later day is not known
    """
    result = np.full(proxy.size, np.nan)
    if days < proxy.size:
        of_index, of_proxy = (v[days:] / v[:-days] - 1.0 for v in (index, proxy))
        result[:-days] = np.where(np.isfinite(of_index), of_index, of_proxy)
    return result


def joint_rows(
    series: Sequence[Series], indices: Mapping[str, pd.Series[float]], terms: Terms
) -> tuple[Ints, Floats, Floats]:
    """Every joint day of the past as a row (M-18), rounded as a scenario set is.

    Returns
    -------
    (ends, x, y) : arrays (rows,), seconds at which a row is known, the midnight that ends it; and (rows, underlyings)
    """
    tables = {s.name: scenario_history.days(s, indices.get(s.name), terms) for s in series}
    on = scenario_history.joint_days(tables)
    ends = on.to_numpy(dtype="datetime64[s]").astype(np.int64) + DAY
    held = [t.reindex(on) for t in tables.values()]
    x = np.stack([(t["move"] / t["sigma"]).to_numpy(dtype=np.float64) for t in held], axis=1)
    y = np.stack([t["vol_move"].to_numpy(dtype=np.float64) for t in held], axis=1)
    rounded = (np.round(v * STEPS) / STEPS for v in (np.clip(x, -MAX_MOVE, MAX_MOVE), np.clip(y, *VOL_MOVES)))
    return ends.astype(np.int64), *rounded


def market_path(
    series: Sequence[Series],
    indices: Mapping[str, VolIndex],
    daily: Mapping[str, pd.Series[float]],
    terms: Terms | None = None,
    start: str = FIRST_DAY,
    rows: int = ROWS,
    least: int = LEAST_ROWS,
) -> MarketPath:
    """The market of every day from a date on that has a set of at least so many rows.

    Parameters
    ----------
    series : sequence of Series, in the order of the underlyings
    indices : mapping of name to VolIndex, for the level of vol; a name without one has the proxy
    daily : mapping of name to closes by date, for the rows of the sets, as `scenario_history.load_index` reads them
    terms : Terms, optional
        Of scan range and average, the defaults where none are given.
    start : str, date
    rows, least : int
        Of a day's set: so many of the latest days, or all where there are fewer, but no less.

    Returns
    -------
    MarketPath; HistoryError where no day has enough.
    """
    terms = Terms() if terms is None else terms
    ends, x, y = joint_rows(series, daily, terms)
    begin = max(int(s.times[0]) for s in series)
    begin = max(begin, int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()))
    first = -(-(begin - 8 * HOUR) // DAY) * DAY + 8 * HOUR
    times = np.arange(first, min(int(s.times[-1]) for s in series) + 1, DAY, dtype=np.int64)
    stop_row = np.searchsorted(ends, times, side="right").astype(np.int64)
    enough = stop_row >= least
    if not enough.any():
        raise HistoryError(f"prices: no day from {start} on has {least} joint days before it")
    times, stop_row = times[enough], stop_row[enough]
    columns: dict[str, list[Floats]] = {key: [] for key in ("spot", "vol", "known", "scan_range", "sigma")}
    later: list[list[Floats]] = []
    for s in series:
        at = np.searchsorted(s.times, times)
        prices = filled(s.close)
        path = scan_range_path(s.times, s.close, terms)
        slow = variance_path(s.times, prices, replace(terms, halflife=PROXY_HALFLIFE))
        proxy = PROXY_MULTIPLE * np.sqrt(365.0 * slow[at])
        index = indices[s.name].at(times) if s.name in indices else np.full(times.size, np.nan)
        columns["spot"].append(prices[at])
        columns["vol"].append(np.where(np.isfinite(index), index, proxy))
        columns["known"].append(np.isfinite(index).astype(np.float64))
        columns["scan_range"].append(path.scan_range[at])
        columns["sigma"].append(path.sigma[at])
        later.append([moves_over(index, proxy, days) for days in HORIZONS])
    table = {key: np.stack(column, axis=1) for key, column in columns.items()}
    return MarketPath(
        names=tuple(s.name for s in series),
        times=times,
        spot=table["spot"],
        vol=table["vol"],
        proxied=table["known"] == 0.0,
        scan_range=table["scan_range"],
        sigma=table["sigma"],
        later=np.moveaxis(np.array(later), 0, 2),
        x=x,
        y=y,
        first_row=np.maximum(stop_row - rows, 0),
        stop_row=stop_row,
    )


def hourly_index(folder: Path, name: str) -> VolIndex:
    """A vol index with every close that its file has, at the time at which it is known; HistoryError where absent."""
    import pandas as pd

    if INDEX_FILES[name].endswith(".csv"):
        closes = load_index(folder, name)
        length = DAY
    else:
        # The daily reading checks the file; the hours between its days are read here.
        load_index(folder, name)
        frame = pd.read_parquet(folder / "volatility" / INDEX_FILES[name], columns=["close"])
        closes = frame["close"]
        closes.index = pd.DatetimeIndex(closes.index).tz_localize(None)
        length = HOUR
    times = closes.index.to_numpy(dtype="datetime64[s]").astype(np.int64) + length
    return VolIndex(times.astype(np.int64), closes.to_numpy(dtype=np.float64) / 100.0)


def recorded(folder: Path, terms: Terms | None = None) -> MarketPath:
    """The market of the real prices of a folder; HistoryError where one is absent."""
    series = [load(folder, name) for name in FILES]
    daily = {name: load_index(folder, name) for name in FILES}
    return market_path(series, {name: hourly_index(folder, name) for name in FILES}, daily, terms)
