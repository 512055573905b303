"""Made-up markets of ETH and BTC over a year and a half, for back-tests without data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from python_model.backtest_market import MarketPath, VolIndex, market_path
from python_model.history import HOUR, Series
from python_model.volatility import DAY

START = pd.Timestamp("2020-01-01")
DAYS = 330


def hourly(seed: int = 3, days: int = DAYS) -> list[Series]:
    """Two series that fall together, with fat tails, storms and some missing hours."""
    rng = np.random.default_rng(seed)
    hours = 24 * days
    storm = 1.0 + 2.0 * (np.sin(np.arange(hours) / 700.0) > 0.9)
    common = 0.006 * storm * rng.standard_t(4, hours)
    times = int(START.timestamp()) + HOUR * np.arange(1, hours + 1, dtype=np.int64)
    result = []
    for name, price in (("ETH", 200.0), ("BTC", 8_000.0)):
        close = price * np.exp(np.cumsum(common + 0.003 * rng.standard_t(4, hours)))
        close[1 + rng.choice(hours - 1, 5, replace=False)] = np.nan
        result.append(Series(name, times, close, close, close))
    return result


def index(seed: int = 5) -> tuple[dict[str, VolIndex], dict[str, pd.Series]]:
    """Of ETH alone, from day 200 on, by the day: its level, and its closes by date."""
    rng = np.random.default_rng(seed)
    closes = 0.8 * np.exp(np.cumsum(0.04 * rng.standard_normal(DAYS - 200)))
    dates = pd.date_range(START + pd.Timedelta(days=200), periods=closes.size, freq="D")
    times = dates.to_numpy(dtype="datetime64[s]").astype(np.int64) + DAY
    return {"ETH": VolIndex(times, closes)}, {"ETH": pd.Series(100.0 * closes, dates)}


def path(series: list[Series] | None = None, rows: int = 130, least: int = 110) -> MarketPath:
    """The days of the series on which a set has enough rows: the last half."""
    levels, daily = index()
    return market_path(
        hourly() if series is None else series, levels, daily, start="2020-01-01", rows=rows, least=least
    )
