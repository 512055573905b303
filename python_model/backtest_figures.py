"""The figures of a back-test, for one book, method and horizon: how often margin was too little, its cost, its rises.

The promised share of exceedances is 1%, for all alike. The grids promise none; the expected shortfall of `var` lies
beyond the 99% quantile (M-19), so that it should be exceeded less often.

References
----------
See `coverage_tests` for the tests. Murphy, Vasios and Vause, Bank of England Financial Stability Paper 29, 2014: peak
to trough and the largest call within n days, as measures of procyclicality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from python_model.backtest import METHODS, Record
from python_model.backtest_market import HORIZONS, Ints
from python_model.coverage_tests import FEW, MANY, LikelihoodRatio, Transitions, independence, joint, kupiec
from python_model.normal import Floats
from python_model.tail import ALPHA

PROMISED = round(1.0 - ALPHA, 12)
CALL_DAYS = (1, 5, 20)
LOSS_SHARE = 0.995
# A loss beyond margin by less is rounding: that of a book which is margined by the most that it can lose.
CENT = 0.01


@dataclass(frozen=True)
class Figures:
    """One book by one method over one horizon; money in USD for a notional of a million at the strike.

    Attributes
    ----------
    book, method : str
    horizon : int, days
    days, exceedances : int
        Days whose loss is known, and those of them whose loss was beyond margin.
    tested, failures : int
        The same of every `horizon`-th day, whose windows do not overlap: what the tests are made of.
    coverage, independent, both : LikelihoodRatio
        Kupiec, and Christoffersen's independence and joint test.
    shortfall, worst : float or None
        Mean and largest loss beyond margin on the days beyond; None without any.
    peak_to_trough : float or None
        Largest margin over least; None where the least is nothing.
    calls : tuple of float
        The largest rise of margin within 1, 5 and 20 days on the same legs, not negative.
    margin, capital : float
        Mean maintenance margin, and mean capital that the book needs (M-17).
    loss : float
        The realised loss that 99.5% of days did not exceed; a loss is positive.
    """

    book: str
    method: str
    horizon: int
    days: int
    exceedances: int
    tested: int
    failures: int
    coverage: LikelihoodRatio
    independent: LikelihoodRatio
    both: LikelihoodRatio
    shortfall: float | None
    worst: float | None
    peak_to_trough: float | None
    calls: tuple[float, ...]
    margin: float
    capital: float
    loss: float

    @property
    def rate(self) -> float:
        """Share of days beyond margin."""
        return self.exceedances / self.days

    @property
    def cost(self) -> float | None:
        """Mean capital for each USD of the realised 99.5% loss; None where that is no loss."""
        return self.capital / self.loss if self.loss > CENT else None

    @property
    def side(self) -> str:
        """On which side coverage fails, `too many` or `too few`; empty where it does not."""
        if not self.coverage.rejects:
            return ""
        return MANY if self.failures > PROMISED * self.tested else FEW

    @property
    def failed(self) -> tuple[str, ...]:
        """The tests that fall at 5%, in words."""
        names = [f"coverage ({self.side})"] if self.side else []
        names += ["independence"] if self.independent.rejects else []
        return (*names, *(["joint"] if self.both.rejects else []))


def largest_call(margin: Floats, month: Ints, alive: NDArray[np.bool_], days: int) -> float:
    """The largest rise of margin from one day to `days` later while the same legs are held, not negative.

    Parameters
    ----------
    margin : array (n,), USD
    month, alive : arrays (n,), of `Record`
    days : int

    Examples
    --------
    >>> month, alive = np.array([0, 0, 0, 1]), np.ones(4, dtype=bool)
    >>> largest_call(np.array([10.0, 12.0, 15.0, 99.0]), month, alive, 1)
    3.0
    """
    if days >= margin.size:
        return 0.0
    same = (month[days:] == month[:-days]) & alive[days:] & alive[:-days]
    rises = (margin[days:] - margin[:-days])[same]
    return max(float(rises.max(initial=0.0)), 0.0)


def figures(record: Record, method: str, horizon: int) -> Figures:
    """The figures of a record by one method over one of its horizons; ValueError where no loss is known."""
    m, h = METHODS.index(method), HORIZONS.index(horizon)
    piece = record.piece
    loss, beyond, margin = piece.loss[h], piece.beyond[m, h], piece.margin[m]
    known = piece.alive & np.isfinite(loss)
    if not known.any():
        raise ValueError(f"{record.book}: no loss over {horizon} days is known")
    over = known & (beyond > CENT)
    # Windows that share a day fail together: only those that share none say something about independence.
    rows = np.flatnonzero(known & (np.arange(loss.size) % horizon == 0))
    failed = over[rows]
    coverage = kupiec(int(failed.sum()), rows.size, PROMISED)
    independent = independence(Transitions.of(failed, np.diff(rows) == horizon))
    held = margin[piece.alive]
    least = float(held.min())
    return Figures(
        book=record.book,
        method=method,
        horizon=horizon,
        days=int(known.sum()),
        exceedances=int(over.sum()),
        tested=rows.size,
        failures=int(failed.sum()),
        coverage=coverage,
        independent=independent,
        both=joint(coverage, independent),
        shortfall=float(np.mean(beyond[over])) if over.any() else None,
        worst=float(np.max(beyond[over])) if over.any() else None,
        peak_to_trough=float(held.max()) / least if least > CENT else None,
        calls=tuple(largest_call(margin, record.month, piece.alive, n) for n in CALL_DAYS),
        margin=float(np.mean(held)),
        capital=float(np.mean(piece.capital[m][piece.alive])),
        loss=float(np.quantile(loss[known], LOSS_SHARE)),
    )


def all_figures(records: Sequence[Record]) -> list[Figures]:
    """Of every book, method and horizon, in that order."""
    return [figures(r, method, horizon) for r in records for method in METHODS for horizon in HORIZONS]
