"""Shocked prices and vols (M-4, M-5) and the change of option values over the whole grid (M-6)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from python_model.black import TINY_DEVIATION, value
from python_model.methodology import Methodology
from python_model.normal import Floats

PRICE_FLOOR = 0.05
VOL_MIN = 0.01
DAY = 1.0 / 365.0
MONTH = 30.0 / 365.0

# Legs of one block: its dozen rows of floats stay in the second-level cache.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class OptionLegs:
    """Options of one underlying, for one unit each; all arrays (legs,).

    Attributes
    ----------
    forward, strike : USD, positive
    sigma : vol a year (M-1)
    tau : years to expiry, not negative
    discount : `exp(-r tau)`
    is_call : bool
    """

    forward: Floats
    strike: Floats
    sigma: Floats
    tau: Floats
    discount: Floats
    is_call: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of legs."""
        return int(self.forward.size)

    def part(self, rows: slice | NDArray[np.intp]) -> OptionLegs:
        """Some of the legs."""
        return OptionLegs(
            self.forward[rows],
            self.strike[rows],
            self.sigma[rows],
            self.tau[rows],
            self.discount[rows],
            self.is_call[rows],
        )


def price_multiples(methodology: Methodology, market_scan_range: float) -> Floats:
    """Shocked price over current price, `1 + x R` floored at 0.05 (M-4).

    Parameters
    ----------
    methodology : Methodology
    market_scan_range : float
        The market's `R_u`; a scan range of the methodology's own takes its place.

    Returns
    -------
    array (scenarios,), in [0.05, inf)
    """
    moves = 1.0 + methodology.x * methodology.range_of(market_scan_range)
    return np.asarray(np.maximum(moves, PRICE_FLOOR), dtype=np.float64)


def vol_time_factor(tau: Floats | float, methodology: Methodology) -> Floats:
    """`h(tau) = (30d / max(tau, 1d))^p`: short-dated vols move more (M-5).

    Parameters
    ----------
    tau : array of any shape, years

    Returns
    -------
    array of the shape of `tau`, positive; 1 at 30 days.
    """
    tau = np.asarray(tau, dtype=np.float64)
    power = np.where(tau <= MONTH, methodology.vol_power_short, methodology.vol_power_long)
    return np.asarray((MONTH / np.maximum(tau, DAY)) ** power, dtype=np.float64)


def tilt_weight(strike: Floats, forward: Floats, tau: Floats) -> Floats:
    """`t(K) = clamp(ln(K/F) / (2 sqrt(max(tau, 1/365))), -1, 1)` (M-5), of the shape of the arguments."""
    skew = np.log(strike / forward) / (2.0 * np.sqrt(np.maximum(tau, DAY)))
    return np.asarray(np.clip(skew, -1.0, 1.0), dtype=np.float64)


def vol_levels(methodology: Methodology) -> tuple[Floats, NDArray[np.intp]]:
    """Distinct vol shocks of the grid: scenarios that share one differ in price alone.

    Returns
    -------
    (levels, index) : arrays (levels, 2) of y and z, and (scenarios,) of each scenario's level
    """
    pairs = np.stack([methodology.y, methodology.z], axis=1)
    levels, index = np.unique(pairs, axis=0, return_inverse=True)
    return levels, np.asarray(index, dtype=np.intp).reshape(-1)


def shocked_vols(options: OptionLegs, levels: Floats, methodology: Methodology) -> Floats:
    """Shocked vols (M-5).

    Parameters
    ----------
    options : OptionLegs
    levels : array (levels, 2)
        y and z of each vol level.

    Returns
    -------
    array (levels, legs), vol a year, at least 1%; with y > 0 at least `vol_floor_up`.
    """
    y, z = levels[:, :1], levels[:, 1:]
    reach = np.where(y > 0.0, methodology.vol_up, methodology.vol_down)
    moved = np.maximum(1.0 + y * reach * vol_time_factor(options.tau, methodology), 0.0)
    tilted = 1.0 + z * methodology.tilt * tilt_weight(options.strike, options.forward, options.tau)
    floor = np.where(y > 0.0, max(VOL_MIN, methodology.vol_floor_up), VOL_MIN)
    return np.asarray(np.maximum(options.sigma * moved * tilted, floor), dtype=np.float64)


def _fill(out: Floats, options: OptionLegs, multiples: Floats, methodology: Methodology) -> None:
    """Write the value changes of one block of legs into `out` (scenarios, legs)."""
    levels, index = vol_levels(methodology)
    root = np.sqrt(options.tau)
    deviations = np.maximum(shocked_vols(options, levels, methodology) * root, TINY_DEVIATION)
    moneyness = np.log(options.forward / options.strike)
    now = value(options.forward, options.strike, options.sigma, options.tau, options.discount, options.is_call)
    # A put is the call with every sign turned: V = s (F N(s d1) - K N(s d2)).
    sign = np.where(options.is_call, 1.0, -1.0)
    signed_forward = sign * options.discount * options.forward
    signed_strike = sign * options.discount * options.strike
    log_multiples = np.log(multiples)
    quantile = np.empty(len(options))
    order = np.argsort(index, kind="stable")
    of_level = np.split(order, np.searchsorted(index[order], np.arange(1, len(levels))))
    for level, v in enumerate(deviations):
        slope = sign / v
        base = slope * moneyness + 0.5 * sign * v
        signed_v = sign * v
        for s in of_level[level]:
            row = out[s]
            np.multiply(slope, log_multiples[s], out=quantile)
            np.add(quantile, base, out=quantile)
            ndtr(quantile, out=row)
            np.subtract(quantile, signed_v, out=quantile)
            ndtr(quantile, out=quantile)
            np.multiply(row, multiples[s], out=row)
            np.multiply(row, signed_forward, out=row)
            np.multiply(quantile, signed_strike, out=quantile)
            np.subtract(row, quantile, out=row)
            np.subtract(row, now, out=row)


def _run(work: Callable[[int, int], None], edges: list[int], workers: int) -> None:
    """Call `work(start, stop)` between consecutive edges, on `workers` threads."""
    if workers > 1 and len(edges) > 2:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))
    else:
        for start, stop in pairwise(edges):
            work(start, stop)


def grid_cells(
    options: OptionLegs, multiples: Floats, methodology: Methodology, workers: int = 1, out: Floats | None = None
) -> Floats:
    """Change of value of every leg in every scenario, before the covered fraction g (M-6).

    The fast path: one logarithm a leg, one vol and one division for each leg and vol level; a cell costs two normal
    distribution functions and a few multiplications. Blocks of legs fit the cache and may run on several threads.

    Parameters
    ----------
    options : OptionLegs
        Legs of one underlying, of any number of accounts.
    multiples : array (scenarios,)
        Of `price_multiples`.
    methodology : Methodology
    workers : int
        Threads; the result does not depend on it.
    out : array (scenarios, legs) or None
        Written and returned where given: fresh memory costs as much as the arithmetic.

    Returns
    -------
    array (scenarios, legs), USD for one unit held long
    """
    cells = np.empty((multiples.size, len(options))) if out is None else out

    def work(start: int, stop: int) -> None:
        _fill(cells[:, start:stop], options.part(slice(start, stop)), multiples, methodology)

    _run(work, [*range(0, len(options), BLOCK), len(options)], workers)
    return cells


def batch_pnl(
    options: OptionLegs,
    sizes: Floats,
    starts: NDArray[np.intp],
    linear: Floats,
    multiples: Floats,
    methodology: Methodology,
    workers: int = 1,
) -> Floats:
    """Scenario P&L of many accounts on one underlying (M-6); no more than a block of cells is held in memory.

    Parameters
    ----------
    options : OptionLegs
        Legs of all accounts, one account after the other.
    sizes : array (legs,)
        Units, negative is short.
    starts : array (accounts,)
        First leg of each account, strictly increasing from 0: every account has at least one leg.
    linear : array (accounts,)
        USD value of what moves with spot: `sum q F + sum q P_perp + sum amount price`.
    multiples : array (scenarios,)
    methodology : Methodology
    workers : int

    Returns
    -------
    array (scenarios, accounts), USD; a gain is positive
    """
    pnl = np.outer(multiples - 1.0, linear)
    ends = np.append(starts, len(options))
    first_of_block = np.searchsorted(starts, np.arange(0, len(options), BLOCK))
    edges = [*np.unique(first_of_block[first_of_block < starts.size]).tolist(), starts.size]

    def work(first: int, last: int) -> None:
        low, high = int(ends[first]), int(ends[last])
        cells = np.empty((multiples.size, high - low))
        _fill(cells, options.part(slice(low, high)), multiples, methodology)
        np.multiply(cells, sizes[low:high], out=cells)
        pnl[:, first:last] += np.add.reduceat(cells, starts[first:last] - low, axis=1)

    _run(work, edges, workers)
    np.multiply(pnl, methodology.g[:, None], out=pnl)
    return np.asarray(pnl, dtype=np.float64)


def in_words(methodology: Methodology, scenario: int, scan_range: float) -> str:
    """A scenario for people: `+16%, vol +50%`, the vol that of 30 days."""
    x, y, z, g = (float(column[scenario]) for column in (methodology.x, methodology.y, methodology.z, methodology.g))
    move = max(1.0 + x * methodology.range_of(scan_range), PRICE_FLOOR) - 1.0
    vol = y * (methodology.vol_up if y > 0.0 else methodology.vol_down)
    words = [f"{100 * move:+.4g}%" if move else "unmoved", f"vol {100 * vol:+.4g}%" if vol else "vol unmoved"]
    if z:
        words.append(f"smile tilted towards {'high' if z > 0 else 'low'} strikes")
    if g != 1.0:
        words.append(f"{100 * g:.4g}% of it counted")
    return ", ".join(words)
