"""Hourly prices of the past: whole series from files beside the project, and one week that ships with the model."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats
from python_model.ramp import Ramp
from python_model.volatility import State, Terms, target

HOUR = 3600
# Of the series: hourly open, high, low and close in USDT, by the UTC time at which the hour begins.
FILES = {"ETH": "eth_usdt_1h.parquet", "BTC": "btc_usdt_1h.parquet"}
WEEK = Path(__file__).parent / "markets" / "eth-worst-week.csv"
COMMENT = re.compile(r"# (\w+): ([-+.\de]+)")


class HistoryError(ValueError):
    """Prices that cannot be read; one line that says which, and why."""


@dataclass(frozen=True, eq=False)
class Series:
    """Prices by the hour without a gap in time. Arrays (n,): `times` in seconds at which an hour ends, prices in USD.

    NaN where an hour is missing, but not in the first.
    """

    name: str
    times: NDArray[np.int64]
    close: Floats
    high: Floats
    low: Floats

    def between(self, start: int, stop: int) -> Series:
        """The hours from index `start` to before `stop`."""
        rows = slice(max(start, 0), stop)
        return Series(self.name, self.times[rows], self.close[rows], self.high[rows], self.low[rows])


def load(folder: Path, name: str) -> Series:
    """A whole series from the folder of the data; HistoryError where it is absent or is not one."""
    import pandas as pd

    path = folder / "prices" / FILES[name]
    if not path.is_file():
        raise HistoryError(f"{path}: is absent; the real hourly prices are no part of the project")
    if find_spec("pyarrow") is None:
        raise HistoryError("pyarrow: is not installed; without it nothing reads the real hourly prices")
    try:
        frame = pd.read_parquet(path, columns=["high", "low", "close"])
    except (OSError, ValueError, KeyError) as error:
        raise HistoryError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    if len(frame) == 0 or not isinstance(frame.index, pd.DatetimeIndex) or not frame.index.is_monotonic_increasing:
        raise HistoryError(f"{path}: must have rows by rising time")
    hours = pd.date_range(frame.index[0], frame.index[-1], freq="h")
    frame = frame.reindex(hours)
    if not (frame.stack() > 0.0).all():
        raise HistoryError(f"{path}: prices must be greater than 0")
    ends = (hours.to_numpy(dtype="datetime64[s]").astype(np.int64) + HOUR).astype(np.int64)
    close, high, low = (frame[key].to_numpy(dtype=np.float64) for key in ("close", "high", "low"))
    return Series(name, ends, close, high, low)


@dataclass(frozen=True, eq=False)
class Week:
    """A week of closes with the state of the dynamic margin at its beginning; highs and lows are the closes."""

    series: Series
    start: State


def read_week(path: Path = WEEK, terms: Terms | None = None) -> Week:
    """The week that ships with the model: hourly log-returns, and what was known at their beginning.

    Parameters
    ----------
    path : Path
        Comments `# key: number` for `time` (seconds), `price` (USD), `variance` (a day) and `scan_range`; then a
        column `log_return`, one row an hour.
    terms : Terms, optional
        By which the scan range moves on, the defaults where none are given.

    Returns
    -------
    Week; HistoryError where the file is not one.
    """
    terms = Terms() if terms is None else terms
    lines = path.read_text(encoding="utf-8").splitlines()
    known = {m[1]: m[2] for m in map(COMMENT.fullmatch, lines) if m}
    for key in ("time", "price", "variance", "scan_range"):
        if key not in known:
            raise HistoryError(f"{path.name}: {key} is missing")
    time, price = int(known["time"]), float(known["price"])
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    try:
        returns = np.array([float(row["log_return"]) for row in rows])
    except (KeyError, ValueError) as error:
        raise HistoryError(f"{path.name}: log_return: {error}") from None
    close = price * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    times = np.asarray(time + HOUR * np.arange(close.size), dtype=np.int64)
    variance, scan_range = float(known["variance"]), float(known["scan_range"])
    ramp = Ramp(time, scan_range, float(target(variance, terms)), terms.rise, terms.fall)
    return Week(Series("ETH", times, close, close, close), State(time, price, variance, ramp))
