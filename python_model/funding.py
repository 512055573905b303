"""Funding of a perpetual from the course of its mark and of spot: what longs have paid shorts for one unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats

PERIOD_SECONDS = 8 * 3600
MAX_PREMIUM = 0.005


def premium(mark: Floats | float, spot: Floats | float) -> Floats:
    """What a long pays for one unit in a period, USD: `mark - spot`, at most 0.5% of spot either way.

    Parameters
    ----------
    mark, spot : arrays of any shape, USD

    Returns
    -------
    array of their shape, positive where longs pay.
    """
    limit = MAX_PREMIUM * np.asarray(spot, dtype=np.float64)
    return np.asarray(np.clip(np.asarray(mark, dtype=np.float64) - spot, -limit, limit), dtype=np.float64)


def accumulated(
    times: NDArray[np.int64], mark: Floats, spot: Floats, at: NDArray[np.int64] | int, heartbeat_seconds: int
) -> Floats:
    """Funding of one unit from the first state of a path to the times asked for, USD.

    A state is in force until the next one, and accrues its premium evenly, for no longer than the heartbeat.

    Parameters
    ----------
    times : array (states,), seconds since 1970, rising
    mark, spot : arrays (states,), USD
    at : array of any shape, seconds since 1970
    heartbeat_seconds : int

    Returns
    -------
    array of the shape of `at`; 0 before the first state. What a long has paid is positive.
    """
    elapsed = np.maximum(np.asarray(at, dtype=np.int64)[..., None] - times, 0)
    in_force = np.append(np.diff(times), np.iinfo(np.int64).max)
    seconds = np.minimum(np.minimum(elapsed, in_force), heartbeat_seconds)
    return np.asarray(seconds @ (premium(mark, spot) / PERIOD_SECONDS), dtype=np.float64)
