"""Settlement of expiries at 08:00 UTC by the mean of spot over their last 30 minutes, and what positions then pay."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats
from python_model.portfolio import Expiry, Kind

DAY = 86_400
# Seconds into the day.
TIME_OF_DAY = 8 * 3600
WINDOW_SECONDS = 1800
# The share of a forward that is fixed is held in so many parts.
SHARES = 2**16 - 1


def settles_by_mean(expiry: int) -> bool:
    """Whether an expiry, in seconds since 1970, is at 08:00 UTC: no other has a settlement price."""
    return expiry % DAY == TIME_OF_DAY


def window_mean(times: NDArray[np.int64], spot: Floats, expiry: int, later: float, now: int) -> float:
    """Mean over the window of an expiry, of spot until `now` and of `later` from then on.

    Each state is in force until the next one. Before the first one there is no spot: it starts the mean.

    Parameters
    ----------
    times : array (states,), seconds since 1970, rising, the first before the expiry; none after `now` counts
    spot : array (states,), USD
    expiry : int, seconds since 1970
    later : float, USD
    now : int, seconds since 1970

    Returns
    -------
    float, USD. ValueError where nothing was published before the expiry.
    """
    if times.size == 0 or times[0] >= expiry:
        raise ValueError(f"times: the first must be before the expiry {expiry} (got {times[:1].tolist()})")
    start = max(int(times[0]), expiry - WINDOW_SECONDS)
    fixed = min(max(now, start), expiry)
    edges = np.clip(np.append(times, fixed), start, fixed)
    return float((np.diff(edges) @ spot + (expiry - fixed) * later) / (expiry - start))


def settlement_price(times: NDArray[np.int64], spot: Floats, expiry: int) -> float | None:
    """The settlement price of an expiry at 08:00 UTC, USD; None until a state at or after it makes it final.

    Parameters
    ----------
    times : array (states,), seconds since 1970, rising
    spot : array (states,), USD
    expiry : int, seconds since 1970

    Returns
    -------
    float or None; None also where nothing was published before the expiry, or the expiry is not at 08:00 UTC.
    """
    if not settles_by_mean(expiry) or times.size == 0 or times[0] >= expiry or times[-1] < expiry:
        return None
    return window_mean(times, spot, expiry, 0.0, expiry)


def partly_fixed_forward(times: NDArray[np.int64], spot: Floats, expiry: int, now: int, forward: float) -> float:
    """The forward of an expiry while its settlement price is being fixed, and after; USD.

    Parameters
    ----------
    times : array (states,), seconds since 1970, rising, none after `now`
    spot : array (states,), USD
    expiry : int, seconds since 1970
    now : int, seconds since 1970
    forward : float, USD
        As last published.

    Returns
    -------
    float: `forward` until the window opens, where nothing was published before the expiry, and where the expiry is not
    at 08:00 UTC.
    """
    if not settles_by_mean(expiry) or now <= expiry - WINDOW_SECONDS or times.size == 0 or times[0] >= expiry:
        return forward
    return window_mean(times, spot, expiry, forward, now)


def fixed_share(times: NDArray[np.int64], spot: Floats, expiry: int, now: int, forward: float) -> float:
    """What part of `partly_fixed_forward` is fixed and moves no more, in whole 65,535ths, as it is held.

    Parameters
    ----------
    times, spot, expiry, now, forward : as of `partly_fixed_forward`

    Returns
    -------
    float in [0, 1], rounded down
    """
    value = partly_fixed_forward(times, spot, expiry, now, forward)
    if not settles_by_mean(expiry) or now <= expiry - WINDOW_SECONDS or times.size == 0 or times[0] >= expiry:
        return 0.0
    open_seconds = max(expiry - now, 0)
    window = expiry - max(int(times[0]), expiry - WINDOW_SECONDS)
    # Whole numbers of them come out of division a little below.
    return math.floor((1.0 - open_seconds * forward / (window * value)) * SHARES + 1e-6) / SHARES


def as_read(row: Expiry, times: NDArray[np.int64], spot: Floats, now: int) -> Expiry:
    """An expiry as a margin check sees it at `now`: forward partly fixed, if it is; the rest as last published.

    Parameters
    ----------
    row : Expiry
    times, spot, now : as of `partly_fixed_forward`

    Returns
    -------
    Expiry
    """
    return replace(
        row,
        forward=partly_fixed_forward(times, spot, row.expiry, now, row.forward),
        fixed=fixed_share(times, spot, row.expiry, now, row.forward),
    )


def payoff(kind: Kind, settlement: Floats | float, strike: float | None = None, entry: float = 0.0) -> Floats:
    """What one unit pays at its settlement price, USD: an option its intrinsic value, a future the change from entry.

    Parameters
    ----------
    kind : Kind
        CALL, PUT or FUTURE; a perpetual never settles: ValueError.
    settlement : array of any shape, USD
    strike : float, USD, of an option
    entry : float, USD, of a future

    Returns
    -------
    array of the shape of `settlement`; to the long, so that the short's is its negative.
    """
    price = np.asarray(settlement, dtype=np.float64)
    if kind is Kind.FUTURE:
        return price - entry
    if not kind.is_option or strike is None:
        raise ValueError(f"kind: must be future, or call or put with a strike (got {kind.value})")
    return np.maximum(price - strike if kind is Kind.CALL else strike - price, 0.0)
