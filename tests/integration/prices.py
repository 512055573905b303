"""Paths of the spot of ETH by the hour, USD: one made up, and one of real prices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

# Real prices lie beside the project, not in it.
DATA = Path(__file__).parents[3] / "shared/data/prices/eth_usdt_1h.parquet"
SYNTHETIC = "synthetic"
# Two crashes: by half, with the worst hour on record, -21%; and from 3,500 USD to 2,200 and back to 2,700.
PATHS = (SYNTHETIC, "2020-03-11", "2021-05-18")


def hourly(name: str, hours: int) -> list[float]:
    """So many hours and the one that ends them: made up, or from 08:00 UTC of a day, as each hour opened.

    Skips where there are no real prices.
    """
    if name == SYNTHETIC:
        return [round(2000 - 2 * h + 140 * math.sin(h / 7) + 20 * math.cos(2.3 * h), 2) for h in range(hours + 1)]
    if not DATA.is_file():
        pytest.skip("../shared/data/prices is absent: the real hourly prices are no part of the project")
    opens = pd.read_parquet(DATA)["open"]
    return opens[pd.date_range(f"{name} 08:00", periods=hours + 1, freq="h", tz="UTC")].tolist()


def at(hours: Sequence[float], hour: float) -> float:
    """The spot of any moment, on the straight line from one hour to the next; to 1e-9 USD (M-0)."""
    last = min(int(hour), len(hours) - 2)
    return round(hours[last] + (hour - last) * (hours[last + 1] - hours[last]), 9)
