"""Is a requirement exceeded as often as it says, and are its exceedances spread over time? Likelihood-ratio tests.

Coverage (Kupiec): the share of failures against the one promised, two-sided: too many say that a margin is too low, too
few that it costs more than it promises. Independence (Christoffersen): whether a failure makes one on the next day more
likely, against a Markov chain of first order; failures further apart are not seen by it. Joint: both at once.

References
----------
Kupiec, *Techniques for Verifying the Accuracy of Risk Measurement Models*, Journal of Derivatives 3 (1995).
Christoffersen, *Evaluating Interval Forecasts*, International Economic Review 39 (1998). Jorion, *Value at Risk*, 3rd
ed. 2007, chapter 6: worked numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

SIZE = 0.05
FEW, MANY = "too few", "too many"


@dataclass(frozen=True)
class LikelihoodRatio:
    """One test: the ratio, which is chi-squared with `freedom` degrees under the hypothesis, and its p-value.

    Where the sample cannot speak, both are None and `silent` says why; otherwise `silent` is empty.
    """

    freedom: int
    statistic: float | None = None
    p: float | None = None
    silent: str = ""

    @property
    def rejects(self) -> bool:
        """Whether the hypothesis falls at 5%; a silent test rejects nothing."""
        return self.p is not None and self.p < SIZE


def decided(freedom: int, statistic: float) -> LikelihoodRatio:
    """A test from its statistic; what rounding has made negative is zero."""
    statistic = max(statistic, 0.0)
    return LikelihoodRatio(freedom, statistic, float(scipy.stats.chi2.sf(statistic, freedom)))


def log_likelihood(failures: int, others: int, p: float) -> float:
    """`failures ln p + others ln(1 - p)`, with `0 ln 0 = 0`."""
    hits = failures * math.log(p) if failures else 0.0
    return hits + (others * math.log1p(-p) if others else 0.0)


def kupiec(failures: int, trials: int, p: float) -> LikelihoodRatio:
    """Unconditional coverage (Kupiec 1995): `LR = -2 ln [L(p) / L(failures / trials)]`, one degree of freedom.

    Parameters
    ----------
    failures, trials : int
    p : float
        Promised probability of a failure, between 0 and 1; ValueError otherwise.

    Returns
    -------
    LikelihoodRatio; silent without trials, and where not even none at all would speak against p.

    Examples
    --------
    J.P. Morgan in 1998 had 20 failures in 252 days at 95%, and Jorion a ratio of 3.91:

    >>> round(kupiec(20, 252, 0.05).statistic, 2)
    3.91
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"p: must be between 0 and 1 (got {p})")
    if not 0 <= failures <= trials:
        raise ValueError(f"failures: must be from 0 to the {trials} trials (got {failures})")
    if trials == 0:
        return LikelihoodRatio(1, silent="no day to test")
    best = log_likelihood(failures, trials - failures, failures / trials)
    test = decided(1, 2.0 * (best - log_likelihood(failures, trials - failures, p)))
    if failures == 0 and not test.rejects:
        return LikelihoodRatio(1, silent=f"no exceedance, and {trials} days are too few to say that this is too few")
    return test


@dataclass(frozen=True)
class Transitions:
    """Pairs of neighbouring days: `n01` failures after a day without, `n11` after a failure, and so on."""

    n00: int
    n01: int
    n10: int
    n11: int

    @staticmethod
    def of(failed: NDArray[np.bool_], neighbours: NDArray[np.bool_] | None = None) -> Transitions:
        """Count the pairs of a sequence.

        Parameters
        ----------
        failed : array (days,)
        neighbours : array (days - 1,), optional
            Whether a day and the next in the array follow one another in time; by default all do.
        """
        before, after = failed[:-1], failed[1:]
        if neighbours is not None:
            before, after = before[neighbours], after[neighbours]

        def count(first: bool, second: bool) -> int:
            return int(np.sum((before == first) & (after == second)))

        return Transitions(count(False, False), count(False, True), count(True, False), count(True, True))


def independence(pairs: Transitions) -> LikelihoodRatio:
    """Independence of failures (Christoffersen 1998): one chance of failure, or one after each state of a day.

    `LR = -2 ln [L(pi) / L(pi_01, pi_11)]`, `pi_01 = n01/(n00+n01)`, `pi_11 = n11/(n10+n11)`, `pi` that of all pairs.

    Returns
    -------
    LikelihoodRatio of one degree of freedom; silent for fewer than two failures, and where no day was without.

    Examples
    --------
    Of the same 20 failures 6 followed on one another, and Jorion has a ratio of 9.53:

    >>> round(independence(Transitions(218, 14, 14, 6)).statistic, 2)
    9.53
    """
    calm, wild = pairs.n00 + pairs.n01, pairs.n10 + pairs.n11
    failures = pairs.n01 + pairs.n11
    if max(failures, wild) == 0:
        return LikelihoodRatio(1, silent="no exceedance that could follow another")
    if max(failures, wild) == 1 or min(failures, wild, calm) == 0:
        return LikelihoodRatio(1, silent="too few exceedances to say whether they follow one another")
    apart = log_likelihood(pairs.n01, pairs.n00, pairs.n01 / calm) + log_likelihood(
        pairs.n11, pairs.n10, pairs.n11 / wild
    )
    together = log_likelihood(failures, pairs.n00 + pairs.n10, failures / (calm + wild))
    return decided(1, 2.0 * (apart - together))


def joint(coverage: LikelihoodRatio, independent: LikelihoodRatio) -> LikelihoodRatio:
    """Conditional coverage (Christoffersen 1998): the sum of both ratios, two degrees of freedom; silent if one is."""
    if coverage.statistic is None or independent.statistic is None:
        return LikelihoodRatio(2, silent=coverage.silent or independent.silent)
    return decided(2, coverage.statistic + independent.statistic)
