"""Paths of the spot of ETH by the hour, USD: one made up, and some of the real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration import parquet

# Real hourly prices lie beside the project, not in it.
DATA = Path(__file__).parents[3] / "shared/data/prices/eth_usdt_1h.parquet"
SYNTHETIC = "synthetic"
# The crash of 19 May 2021: from 3,450 USD to 1,950 and back to 2,700 within two days, the worst hour among them -22%.
CRASH = "2021-05-18"
PATHS = (SYNTHETIC, CRASH)


def hourly(name: str, hours: int) -> list[float]:
    """So many hours and the one that ends them: made up, or from 08:00 UTC of a day. Skips where there are no data."""
    if name == SYNTHETIC:
        return [
            round(2000 * (1 + 0.07 * math.sin(h / 7) - 0.001 * h + 0.01 * math.cos(2.3 * h)), 2)
            for h in range(hours + 1)
        ]
    if not DATA.is_file():
        pytest.skip(f"{DATA} is absent: the real hourly prices are not part of the project")
    first = datetime.fromisoformat(f"{name}T08:00+00:00").astimezone(UTC)
    columns = parquet.read(DATA, ("time", "open"))
    spot = dict(zip(columns["time"], columns["open"], strict=True))
    return [spot[first.timestamp() + 3600 * h] for h in range(hours + 1)]


def at(hours: Sequence[float], hour: float) -> float:
    """Between two hours on the straight line through them; to 1e-9 USD (M-0)."""
    last = min(int(hour), len(hours) - 2)
    return round(hours[last] + (hour - last) * (hours[last + 1] - hours[last]), 9)
