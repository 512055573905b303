"""Interest on cash: the rate of a kinked utilisation curve, and the growth of what is owed and lent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from python_model.black import Array
from python_model.normal import Floats

SECONDS_PER_YEAR = 365 * 86_400


@dataclass(frozen=True)
class Terms:
    """The curve. Rates a year, simple between acts; all numbers as fractions of 1.

    Attributes
    ----------
    base, slope, steep : float
        Rate without utilisation, what it gains up to the kink, and from there to full utilisation.
    kink : float
        Utilisation in (0, 1) at which the curve bends.
    reserve_share : float
        Part of the interest that goes to the reserve, in [0, 1].
    """

    base: float
    slope: float
    steep: float
    kink: float
    reserve_share: float


def utilisation(debts: Array, lent: Array) -> Floats:
    """Share of all cash that is owed, in [0, 1]; 1 where nobody has any."""
    debts, lent = np.broadcast_arrays(np.asarray(debts, dtype=np.float64), np.asarray(lent, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lent > 0.0, np.minimum(debts / lent, 1.0), 1.0)


def debt_rate(used: Array, terms: Terms) -> Floats:
    """What debts pay a year at a utilisation."""
    used = np.asarray(used, dtype=np.float64)
    below = np.minimum(used, terms.kink) / terms.kink
    above = np.maximum(used - terms.kink, 0.0) / (1.0 - terms.kink)
    return np.asarray(terms.base + terms.slope * below + terms.steep * above, dtype=np.float64)


def credit_rate(used: Array, terms: Terms) -> Floats:
    """What lenders get a year at a utilisation: all that debts pay, less the reserve's share."""
    used = np.asarray(used, dtype=np.float64)
    return np.asarray(debt_rate(used, terms) * used * (1.0 - terms.reserve_share), dtype=np.float64)


@dataclass
class Pool:
    """Cash of all accounts, USD; a debt is negative. Rates change with every act, and hold until the next.

    Attributes
    ----------
    terms : Terms
    cash : dict of float by account
    time : int, seconds of the last act
    reserve : float, what the reserve has earned, USD
    """

    terms: Terms
    cash: dict[int, float]
    time: int
    reserve: float = 0.0

    def advance(self, time: int) -> None:
        """Accrue up to a time, in seconds."""
        years = (time - self.time) / SECONDS_PER_YEAR
        debts = -sum(min(c, 0.0) for c in self.cash.values())
        lent = sum(max(c, 0.0) for c in self.cash.values())
        used = utilisation(debts, lent)
        paid, got = float(debt_rate(used, self.terms)) * years, float(credit_rate(used, self.terms)) * years
        if debts == 0.0:
            paid = got = 0.0
        if lent == 0.0:
            got = 0.0
        for account, amount in self.cash.items():
            self.cash[account] = amount * (1.0 + (paid if amount < 0.0 else got))
        self.reserve += debts * paid - lent * got
        self.time = time

    def change(self, time: int, account: int, amount: float) -> None:
        """Accrue, then add to an account's cash."""
        self.advance(time)
        self.cash[account] = self.cash.get(account, 0.0) + amount
