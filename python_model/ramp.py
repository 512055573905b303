"""A number that moves slowly: towards a target, at most so much a second, and never at the moment the target is set.

So a target may jump with one price or one change of parameters, and nobody is worse off in that block (INV-14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats


@dataclass(frozen=True)
class Ramp:
    """A number as of `time` in seconds, the `target` it moves to, and its greatest `rise` and `fall` a second.

    Examples
    --------
    >>> ramp = Ramp(0, 0.16, 0.20, rise=0.01, fall=0.0025)
    >>> [round(ramp.at(second), 4) for second in (0, 1, 4, 9)]
    [0.16, 0.17, 0.2, 0.2]
    >>> round(ramp.aim(2, 0.10).at(2), 4), round(ramp.aim(2, 0.10).at(6), 4)
    (0.18, 0.17)
    """

    time: int
    value: float
    target: float
    rise: float
    fall: float

    def at(self, time: int) -> float:
        """The number at a time from `time` on; ValueError before."""
        if time < self.time:
            raise ValueError(f"time: must be at least {self.time} (got {time})")
        return moved(self.value, self.target, float(time - self.time), self.rise, self.fall)

    def aim(self, time: int, target: float, rise: float | None = None, fall: float | None = None) -> Ramp:
        """The ramp with another target, and other rates if given, from a time on; the number itself stays."""
        rise, fall = (self.rise if rise is None else rise), (self.fall if fall is None else fall)
        return Ramp(time, self.at(time), target, rise, fall)


def moved(value: float, target: float, seconds: float, rise: float, fall: float) -> float:
    """Where `value` is after some seconds on its way to `target`; it does not move in none, at any rate."""
    if seconds == 0.0:
        return value
    return min(target, value + rise * seconds) if target >= value else max(target, value - fall * seconds)


def path(times: NDArray[np.int64], targets: Floats, start: float, rise: float, fall: float) -> Floats:
    """The number at every time, where each target is set at its time and holds until the next.

    Parameters
    ----------
    times : array (n,), seconds, rising
    targets : array (n,)
    start : float
        The number at the first time.
    rise, fall : float
        Greatest change a second, not negative.

    Returns
    -------
    array (n,), before and after its own target is set: the same
    """
    values, value = np.empty(targets.size), start
    if targets.size:
        values[0] = start
    for i, (seconds, target) in enumerate(zip(np.diff(times).tolist(), targets[:-1].tolist(), strict=True), 1):
        value = moved(value, target, seconds, rise, fall)
        values[i] = value
    return values
