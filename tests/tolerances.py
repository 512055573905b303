"""Every tolerance of the differential tests, derived once.

Floats. A double has a relative error of 1.1e-16 an operation; a scenario's profit of one leg takes fewer than 100
operations on numbers of the size of F + K (times the covered fraction and the price factor, whose product the
methodology bounds by 5.4): NOISE = 1e-12 of the gross notional covers it with room for the conditioning of ln(F/K)/v,
whose error of 1e-16/v shifts d1 and d2 alike and so cancels to first order.

Kernel. The CDF errs by less than CDF_ERROR, the price by that times (F' + K): EPSILON = 1e-9 of (F + K) bounds the
profit of a scenario (see `portfolio`). A delta errs by the CDF's error: DELTA_ERROR of the notional.

Greeks of the density. Contract and model differ in d1 by less than 1e-16/v (float logarithm) + 1e-17/v: with v above
1e-5 (a minute at 1%) that is 1e-11, times |d1| <= 9 relative to the density: DENSITY = 1e-9 of the gross. The
fixed-point density itself errs by less than 1e-17 absolutely.
"""

# Proven in tests/unit/libraries/test_normal.py.
CDF_ERROR = 1.41e-10
EPSILON = 1e-9
DELTA_ERROR = 2e-10
NOISE = 1e-12
DENSITY = 1e-9
DENSITY_ABSOLUTE = 1e-17
# One unit of 1e-18 a truncating division, some of them multiplied by sizes: `portfolio.ROUNDING` and more.
DUST = 1e-12
