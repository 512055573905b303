"""Made-up prices by the hour, as the model has them and as the files do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from python_model import history
from python_model.history import HOUR, Series


def series(close: np.ndarray, high: np.ndarray | None = None, low: np.ndarray | None = None) -> Series:
    """Closes from time 0 on; highs and lows are the closes where not given."""
    close = np.asarray(close, dtype=float)
    times = HOUR * np.arange(close.size, dtype=np.int64)
    return Series("ETH", times, close, close if high is None else high, close if low is None else low)


def jump(move: float, at: int = 500, hours: int = 1000) -> Series:
    """Quiet but for one jump."""
    return series(2000.0 * np.where(np.arange(hours) < at, 1.0, 1.0 + move))


def frame(close: np.ndarray, start: str = "2020-01-01") -> pd.DataFrame:
    """A table as the files have it."""
    index = pd.date_range(start, periods=close.size, freq="h", tz="UTC", name="time")
    return pd.DataFrame({"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close}, index=index)


def write(folder: Path, table: pd.DataFrame, name: str = "ETH") -> None:
    """Put a table where a series is looked for."""
    (folder / "prices").mkdir(exist_ok=True)
    table.to_parquet(folder / "prices" / history.FILES[name])
