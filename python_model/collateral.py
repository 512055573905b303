"""What collateral is worth: price by base, rate and market, bounded growth of the rate, haircut by the discount.

All functions take scalars or arrays of one shape and return the same.
"""

from __future__ import annotations

import numpy as np

from python_model.normal import Floats

DAY = 86_400
MAX_PRICE = 1e8
PEG_FLOOR, PEG_SLOPE = 0.99, 4.0


def price(base: Floats | float, rate: Floats | float, peg: Floats | float) -> Floats:
    """`base rate min(peg, 1)`: what the token is worth by its own contract, or less if the market says so.

    Parameters
    ----------
    base : USD, spot of the underlying of which it is a claim; 1 for what is like cash
    rate : units of base that a token is worth by its own contract; 1 for a plain token
    peg : price on the market as a fraction of `base rate`

    Returns
    -------
    array, USD for a whole token, at most `MAX_PRICE`
    """
    worth: Floats = np.asarray(base, dtype=np.float64) * rate * np.minimum(peg, 1.0)
    return np.minimum(worth, MAX_PRICE)


def bounded_rate(
    current: Floats | float, noted: Floats | float, seconds: Floats | float, max_growth: Floats | float
) -> Floats:
    """`min(current, noted (1 + g min(dt, 1 day)))`: a rate may grow by `g` a day; a fall counts at once.

    A donation to a vault (Cream, Sonne, Venus) thus lifts nobody's margin by more than a day's growth, however long
    nobody has noted the rate.

    Parameters
    ----------
    current : rate by the token's own contract now
    noted : rate that was used when it was last noted
    seconds : since then, not negative
    max_growth : fraction a day

    Returns
    -------
    array, the rate that is used
    """
    days = np.minimum(np.asarray(seconds, dtype=np.float64), DAY) / DAY
    return np.minimum(current, noted * (1.0 + max_growth * days))


def haircut(plain: Floats | float, peg: Floats | float) -> Floats:
    """`plain + 4 max(0, 0.99 - peg)`, at most 1: grows with the discount of the market to the rate.

    Parameters
    ----------
    plain : haircut at par, initial or maintenance, fraction
    peg : price on the market as a fraction of `base rate`

    Returns
    -------
    array, fraction; the contract stays one unit of 1e-18 below 1
    """
    discount = np.maximum(0.0, PEG_FLOOR - np.asarray(peg, dtype=np.float64))
    return np.minimum(plain + PEG_SLOPE * discount, 1.0)
