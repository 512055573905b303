"""Liquidity: the share of the depths of M-12 that is left as open interest nears its cap (M-23)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from python_model import ramp
from python_model.black import Array
from python_model.normal import Floats
from python_model.ramp import Ramp

# Utilisation of the cap from which depth shrinks, and what is left of it at the cap.
KNEE, LEAST = 0.5, 0.25
# Greatest change of the share a second: from 1 to the least in fifteen hours.
RATE = 0.000014


def utilisation(open_interest: Array, cap: Array) -> Floats:
    """Open interest as a share of its cap, both in the same unit; 0 where there is no cap (a cap of 0)."""
    held, limit = np.broadcast_arrays(np.asarray(open_interest, dtype=np.float64), np.asarray(cap, dtype=np.float64))
    return np.divide(held, limit, out=np.zeros(held.shape), where=limit > 0.0)


def depth_target(used: Array) -> Floats:
    """Share of the depths at a utilisation: 1 up to a half, 1/4 from 1 on, straight between (M-23).

    Parameters
    ----------
    used : array of any shape, not negative

    Returns
    -------
    array of its shape, in [1/4, 1]

    Examples
    --------
    >>> depth_target([0.0, 0.5, 0.75, 1.0, 3.0]).tolist()
    [1.0, 1.0, 0.625, 0.25, 0.25]
    """
    over = np.clip((np.asarray(used, dtype=np.float64) - KNEE) / (1.0 - KNEE), 0.0, 1.0)
    return np.asarray(1.0 - (1.0 - LEAST) * over, dtype=np.float64)


def first(time: int) -> Ramp:
    """The share before the first price: all of the depth."""
    return Ramp(time, 1.0, 1.0, RATE, RATE)


def depth_path(times: NDArray[np.int64], used: Floats) -> Floats:
    """The share of the depths at every price of a path, where utilisation is seen at the prices alone.

    Parameters
    ----------
    times : array (n,), seconds, rising
    used : array (n,), utilisation at that time

    Returns
    -------
    array (n,)

    Examples
    --------
    A market that is full at once is thin fifteen hours later:

    >>> depth_path(np.array([0, 3600, 54_000]), np.ones(3)).round(4).tolist()
    [1.0, 0.9496, 0.25]
    """
    return ramp.path(times, depth_target(used), 1.0, RATE, RATE)
