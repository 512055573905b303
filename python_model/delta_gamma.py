"""Value at risk without repricing: delta, gamma and vega of a book on normal moves, by Cornish and Fisher's expansion.

With the joint moves `f` of prices and vols normal of mean 0 and covariance `C`, the P&L is close to the quadratic form

    Q = a' f + f' G f / 2,

whose cumulants are known: `kappa_n = (n-1)!/2 tr((G C)^n) + n!/2 a' C (G C)^(n-2) a`. A quantile follows from the first
four. It costs a few products of small matrices, and is as good as the moves are small and normal: a tail of fat rows,
or a short option near its strike, is for full repricing.

References
----------
Mina and Xiao, *Return to RiskMetrics: the evolution of a standard*, RiskMetrics Group 2001, chapter 2. Jaschke, *The
Cornish-Fisher expansion in the context of delta-gamma-normal approximations*, Journal of Risk 4 (2002). Maillard, *A
user's guide to the Cornish Fisher expansion*, SSRN 1997178 (2012): where it is a quantile at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from python_model.exposure import leg_table
from python_model.margin import holdings
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market
from python_model.tail import ALPHA, Moves, tail_count

# Beyond so many deviations is a three-hundredth of a tail of 1%: what the expansion does there has hardly any weight.
FAR = 4.0


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A book to second order in the moves of `names`, prices first, then vols: arrays (2n,), (2n, 2n), USD.

    `linear` is the P&L of a move of 1.00 (delta by spot; vega by vol and h), `curved` its second derivative (gamma by
    the square of spot; nothing for vols).
    """

    names: tuple[str, ...]
    linear: Floats
    curved: Floats


@dataclass(frozen=True)
class Parametric:
    """Value at risk and expected shortfall, USD, a loss is positive, with the moments of the loss they come from.

    `kurtosis` is in excess of the normal's. `usable` says whether the expansion rises through the tail: where it does
    not, as for much bought gamma, it is no quantile, and neither figure means anything.
    """

    var: float
    es: float
    mean: float
    deviation: float
    skewness: float
    kurtosis: float
    usable: bool


def covariance(moves: Moves) -> Floats:
    """Second moments (2n, 2n) of the moves about 0, prices first, then vols: as RiskMetrics, which knows no mean."""
    factors = np.concatenate([moves.price, moves.vol], axis=1)
    return np.asarray(factors.T @ factors / len(moves), dtype=np.float64)


def quadratic(book: Book, market: Market, methodology: Methodology, moves: Moves) -> Quadratic:
    """Delta, gamma and vega of a book by the underlyings of the moves (M-24, `h(tau)` of M-5)."""
    n = len(moves.underlyings)
    linear, curved = np.zeros(2 * n), np.zeros((2 * n, 2 * n))
    for name, own in holdings(book, market).items():
        # Under the methodology of rows a vega shock is that of a vol of 30 days that moves by all of itself.
        table = leg_table(name, *own, market, moves.methodology(name, methodology))
        i = moves.underlyings.index(name)
        linear[i] = table.spot * float(table.size @ table.delta)
        linear[n + i] = float(table.size @ table.vega_shock)
        curved[i, i] = table.spot**2 * float(table.size @ table.gamma)
    return Quadratic(moves.underlyings, linear, curved)


def cumulants(linear: Floats, curved: Floats, covariances: Floats) -> tuple[float, float, float, float]:
    """The first four cumulants of `Q`, USD to their powers; arrays (m,), (m, m), (m, m)."""
    powers = [np.linalg.matrix_power(curved @ covariances, n) for n in range(5)]
    traces = [float(np.trace(p)) for p in powers]
    bends = [float(linear @ covariances @ p @ linear) for p in powers[:3]]
    return traces[1] / 2, traces[2] / 2 + bends[0], traces[3] + 3 * bends[1], 3 * traces[4] + 12 * bends[2]


def cornish_fisher(skewness: float, kurtosis: float, alpha: float) -> tuple[float, float, bool]:
    """Quantile and mean beyond it of a loss of mean 0 and deviation 1.

    Parameters
    ----------
    skewness, kurtosis : float
        Of the loss; kurtosis in excess of 3.
    alpha : float

    Returns
    -------
    (quantile, mean, usable) : `w(z) = z + (z^2-1) S/6 + (z^3-3z) K/24 - (2z^3-5z) S^2/36` at the normal's quantile;
        the integral of `w` beyond it, by its share; whether `w` rises from there on, to 4 deviations
    """
    z = float(scipy.stats.norm.ppf(alpha))
    s, k = skewness / 6.0, kurtosis / 24.0
    cubic = k - 2.0 * s**2
    straight = 1.0 - 3.0 * k + 5.0 * s**2
    quantile = straight * z + s * (z**2 - 1.0) + cubic * z**3
    # Of a standard normal beyond z, with h = phi(z) / (1 - alpha): means of Z, Z^2 and Z^3 are h, 1 + z h, (z^2 + 2) h.
    h = float(scipy.stats.norm.pdf(z)) / (1.0 - alpha)
    mean = h * (straight + s * z + cubic * (z**2 + 2.0))
    # The slope is a parabola: it is least at an end, or at its vertex.
    slope = np.array([3.0 * cubic, 2.0 * s, straight])
    vertex = -s / (3.0 * cubic) if cubic > 0.0 else z
    usable = bool(np.all(np.polyval(slope, [z, max(z, FAR), min(max(vertex, z), max(z, FAR))]) > 0.0))
    return quantile, mean, usable


def parametric(book: Book, market: Market, methodology: Methodology, moves: Moves, alpha: float = ALPHA) -> Parametric:
    """Value at risk and expected shortfall of a book by delta, gamma, vega and the covariance of moves.

    Parameters
    ----------
    book, market, methodology : as in `value_at_risk.historical`
    moves : Moves
        Only their covariance counts.
    alpha : float

    Returns
    -------
    Parametric; all 0 for a book without risk. Time does not pass: theta is left out, as in every scenario.
    """
    tail_count(alpha, len(moves))
    q = quadratic(book, market, methodology, moves)
    first, second, third, fourth = cumulants(q.linear, q.curved, covariance(moves))
    if second <= 0.0:
        return Parametric(-first, -first, -first, 0.0, 0.0, 0.0, True)
    deviation = math.sqrt(second)
    skewness, kurtosis = -third / deviation**3, fourth / second**2
    quantile, mean, usable = cornish_fisher(skewness, kurtosis, alpha)
    var, es = deviation * quantile - first, deviation * mean - first
    return Parametric(var, es, -first, deviation, skewness, kurtosis, usable)
