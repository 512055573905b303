"""Value at risk by simulation, with how far chance may have moved it.

Moves of prices and vols are drawn from a joint Student t, or a normal, of the covariance of a scenario set, and the
book is repriced in full: what rows of the past are too few for, at the price of a shape that is assumed.

References
----------
Glasserman, *Monte Carlo Methods in Financial Engineering*, 2003, chapter 9. Manistre and Hancock, *Variance of the CTE
estimator*, North American Actuarial Journal 9 (2005): the error of expected shortfall. Conover, *Practical
Nonparametric Statistics*, 3rd ed. 1999, section 3.2: order statistics as an interval for a quantile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from python_model.delta_gamma import covariance
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market
from python_model.scenario_set import VOL_MOVES
from python_model.tail import ALPHA, Moves, expected_shortfall, tail_count
from python_model.value_at_risk import leg_losses

PATHS = 20_000
DEGREES = 4
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure in USD, and the interval that holds the true one with the stated confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Simulated:
    """Value at risk and expected shortfall of `paths` draws, USD, a loss is positive."""

    var: Estimate
    es: Estimate
    paths: int


def quantile_interval(losses: Floats, alpha: float, confidence: float = CONFIDENCE) -> Estimate:
    """Value at risk of independent losses, between two order statistics.

    How many of n losses exceed the true quantile is binomial of `1 - alpha`, whatever they are distributed as: if at
    least `a` and at most `b` do, the quantile is between the (b+1)-th and the a-th largest. No shape is assumed.

    Parameters
    ----------
    losses : array (n,), USD, independent
    alpha, confidence : float

    Returns
    -------
    Estimate; an end is infinite where n is too small for one.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: must be between 0 and 1 (got {confidence})")
    largest = np.sort(losses)[::-1]
    k = tail_count(alpha, losses.size)
    beyond = scipy.stats.binom(losses.size, 1.0 - alpha)
    # Each end misses with at most half of what is left: P(X < a) and P(X > b) are.
    a = int(beyond.ppf((1.0 - confidence) / 2))
    b = int(beyond.ppf((1.0 + confidence) / 2))
    high = float(largest[a - 1]) if a >= 1 else math.inf
    low = float(largest[b]) if b < losses.size else -math.inf
    return Estimate(float(largest[k - 1]), low, high)


def shortfall_interval(losses: Floats, alpha: float, confidence: float = CONFIDENCE) -> Estimate:
    """Expected shortfall of independent losses, with the error of a mean beyond an estimated quantile.

    Its variance is close to `(s^2 + alpha (ES - VaR)^2) / k`, with `s^2` that of the k losses of the tail: the second
    term is for the quantile being an estimate too. It needs a tail of finite variance, and k of some hundreds for the
    normal to hold: the skewed mean of a few makes it too narrow.

    Parameters
    ----------
    losses : array (n,), USD, independent; at least two in the tail
    alpha, confidence : float
    """
    k = tail_count(alpha, losses.size)
    if k < 2:
        raise ValueError(f"losses: must be so many that two are in the tail (got {losses.size} for alpha {alpha})")
    tail = np.sort(losses)[losses.size - k :]
    es = float(expected_shortfall(losses, k))
    variance = float(np.var(tail, ddof=1)) + alpha * (es - float(tail[0])) ** 2
    reach = float(scipy.stats.norm.ppf((1.0 + confidence) / 2)) * math.sqrt(variance / k)
    return Estimate(es, es - reach, es + reach)


def draw(moves: Moves, paths: int = PATHS, seed: int = 0, degrees: int | None = DEGREES) -> Moves:
    """Joint moves of the covariance of others, with a mean of 0; the same for the same arguments.

    Parameters
    ----------
    moves : Moves
    paths, seed : int
    degrees : int or None
        Of a Student t, more than 2: one shock to volatility for all of a row. None for a normal.

    Returns
    -------
    Moves of `paths` rows; vol moves are held within those of a scenario set, which like the clamp of prices takes a
    little off the covariance.
    """
    if paths < 1:
        raise ValueError(f"paths: must be at least 1 (got {paths})")
    if degrees is not None and degrees <= 2:
        raise ValueError(f"degrees: must be more than 2, else there is no variance (got {degrees})")
    spread = covariance(moves)
    zero = np.zeros(len(spread))
    if degrees is None:
        rows = scipy.stats.multivariate_normal(zero, spread, allow_singular=True, seed=seed).rvs(paths)
    else:
        shape = spread * (degrees - 2) / degrees
        rows = scipy.stats.multivariate_t(zero, shape, degrees, allow_singular=True, seed=seed).rvs(paths)
    price, vol = np.split(np.asarray(rows, dtype=np.float64).reshape(paths, -1), 2, axis=1)
    return Moves(moves.underlyings, tuple(map(str, range(paths))), price, np.clip(vol, *VOL_MOVES))


def monte_carlo(
    book: Book,
    market: Market,
    methodology: Methodology,
    moves: Moves,
    alpha: float = ALPHA,
    paths: int = PATHS,
    seed: int = 0,
    degrees: int | None = DEGREES,
    confidence: float = CONFIDENCE,
) -> Simulated:
    """Simulated value at risk and expected shortfall of a book.

    Parameters
    ----------
    book, market, methodology : as in `value_at_risk.historical`
    moves : Moves
        Their covariance is what is drawn from.
    alpha, confidence : float
    paths, seed, degrees : of `draw`

    Returns
    -------
    Simulated
    """
    losses = leg_losses(book, market, methodology, draw(moves, paths, seed, degrees)).total
    return Simulated(quantile_interval(losses, alpha, confidence), shortfall_interval(losses, alpha, confidence), paths)
