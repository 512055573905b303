# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Black-76 over a history: every option of one expiry repriced in every row of a scenario set
@notice The arithmetic of `black`, arranged for rows that each have a price and a vol of their own (M-18): an option and a
        row cost one division 1/v and two look-ups of the normal table, and nothing else that is dear. Rows are worked off
        four at a time, the options inside, so that whatever belongs to a row stays at a fixed place in memory.
@custom:security Price error below 1.5e-10 (F + K) D, as in `black`: that of the normal table, below 1.41e-10, and below 1e-11
        for other roundings. An error d of a row's logarithm costs less than d F', whatever the vol: `moves` has d below 1e-13.
        An error d of sigma sqrt(tau), the same in d1 and d2, costs less than 0.4 d F'; it is below 1e-12, since a vol is cut by
        2**-45 at most and tau is below 137 years.
        The floor of 1e-10 under sigma sqrt(tau), which the shocked prices of an expired option meet, costs 4e-11 F' more.
        A factor is at most 5: a row's profit errs by less than 1.5e-10 (F' + K + F + K) D |q| <= 9e-10 (F + K) D |q|. At expiry
        today's price is exact, and the profit errs by less than (1.5e-10 (F' + K) + 4e-11 F') |q| <= 9.5e-10 (F + K) |q|:
        below the epsilon of M-16 in both cases.
"""

from snekmate.utils import math

from contracts.interfaces import IPricingKernel
from contracts.libraries import normal
from contracts.libraries import position
from contracts.libraries import svi

uses: normal

WAD: constant(int256) = 10**18
UNIT: constant(uint256) = 10**18
YEAR: constant(int256) = 365 * 86400
# Sizes are in 1e-6 units.
MILLION: constant(int256) = 10**6
# Arguments of the table carry 66 more bits, which puts the fraction where the packed cubic wants it. They are odd, so that their
# lowest bit is the 1 in 1 + f: the centre is, and everything that is added to it or taken off it is even.
MASK: constant(uint256) = (2**29 - 1) << 66 | 1
END: constant(uint256) = 448 * 2**95
CENTRE: constant(uint256) = 224 * 2**95 + 1
# Table units in 1.0 of d: those of a vol, even when halved, times those of a scale.
UNITS: constant(uint256) = VOL_UNITS * SCALE_UNITS
VOL_UNITS: constant(uint256) = 2**47
SCALE_UNITS: constant(uint256) = 35 * 2**48
# What a width divides into half the slope: twice a moneyness times that is even.
HALF_SQUARE: constant(uint256) = UNITS**2 // (2 * 10**18)
MIN_VOL: constant(uint256) = 10**16
# sigma * sqrt(tau) never falls below this (1e-18): an option at expiry is worth its intrinsic value within 4e-11 F.
MIN_WIDTH: constant(uint256) = 10**8

MAX_LEGS: constant(uint256) = 128
MAX_FOURS: constant(uint256) = 64


struct Option:
    # Calls and puts of one strike, netted.
    size: int256  # 1e-6
    debt: int256  # size * strike, 1e-24
    moneyness: uint256  # 2 ln(F / K), 1e-18, modulo 2**256
    vol: uint256  # 2**-47, a multiple of 4


@external
@view
def reprice(
    legs: DynArray[uint256, MAX_LEGS],
    first: uint256,
    end: uint256,
    expiry: IPricingKernel.Expiry,
    fours: uint256,
    rows: uint256[4][MAX_FOURS],
    before: int256[4][MAX_FOURS],
) -> int256[4][MAX_FOURS]:
    """
    @notice Profit of the options of one expiry, row by row, on top of what there is.
    @param legs Position words, ascending.
    @param first Index of the first option of the expiry.
    @param end Index behind its last option.
    @param expiry The market of the expiry.
    @param fours How many fours of rows there are.
    @param rows Words as `ITailKernel` says.
    @param before Profits of everything else.
    @return The sums. Errors as the library states; nothing is rounded for or against anybody here.
    """
    table: int256[normal.INTERVALS] = normal.TABLE
    # Of the four rows: twice ln of the price factor, sigma' sqrt(tau) for a vol of 1.0 in units of a scale, the shocked
    # forward; sums of q N(d1) and of q K N(d2).
    x: uint256[4] = empty(uint256[4])
    scales: uint256[4] = empty(uint256[4])
    forwards: int256[4] = empty(int256[4])
    units: int256[4] = empty(int256[4])
    debts: int256[4] = empty(int256[4])
    # Arguments of the table as words, modulo 2**256.
    width: uint256 = 0
    t: uint256 = 0
    u: uint256 = 0
    f: int256 = 0
    w: int256 = 0
    sqrt_tau: uint256 = isqrt(convert(expiry.seconds * 10**36 // YEAR, uint256))
    discount: int256 = math._wad_exp(-expiry.rate * expiry.seconds // YEAR)
    # sqrt(tau) in units of a scale, below 2**57 as tau is below 137 years: of a vol of 1.0, and of its relative move by 1.0
    # (M-5), h(tau) being at most 31.
    root: int256 = convert(unsafe_div(unsafe_mul(sqrt_tau, SCALE_UNITS), UNIT), int256)
    reach: int256 = unsafe_div(unsafe_mul(root, expiry.vol_scale), WAD)

    # Strike by strike: net size, vol and value today. Bounds, here and in the rows: prices < 2**105, a CDF <= 2**64,
    # sizes < 2**63, 128 legs: sums stay below 2**240.
    option: Option = empty(Option)
    puts: int256 = 0
    calls: int256 = 0
    least_vol: uint256 = max_value(uint256)
    most_vol: uint256 = 1
    following: uint256 = legs[first]
    pnl: int256[4][MAX_FOURS] = empty(int256[4][MAX_FOURS])
    options: DynArray[Option, MAX_LEGS] = []
    for i: uint256 in range(first, end, bound=MAX_LEGS):
        leg: uint256 = following
        size: int256 = position.size(leg)
        option.size = unsafe_add(option.size, size)
        if position.kind(leg) == position.PUT:
            puts = unsafe_add(puts, size)
        if unsafe_add(i, 1) < end:
            following = legs[unsafe_add(i, 1)]
            if following >> 152 == leg >> 152:
                # A call and a put of one strike are priced once.
                continue
        if option.size == 0:
            continue

        log_strike: int256 = position.log_strike(leg)
        moneyness: int256 = unsafe_sub(expiry.log_forward, log_strike)
        option.moneyness = convert(convert(moneyness, bytes32), uint256) << 1
        strike: int256 = position.strike(leg)
        option.debt = unsafe_mul(option.size, strike)
        vol: uint256 = convert(svi.vol(expiry.surface, log_strike), uint256)
        option.vol = unsafe_div(unsafe_mul(vol, VOL_UNITS // 4), UNIT) << 2
        least_vol = min(least_vol, option.vol)
        most_vol = max(most_vol, option.vol)
        options.append(option)
        n1: int256 = 0
        n2: int256 = 0
        if sqrt_tau == 0:
            # A step, exactly: the least width would smear it. At the money either side is worth nothing.
            if expiry.forward > strike:
                n1 = normal.ONE
                n2 = normal.ONE
        else:
            v: uint256 = max(unsafe_div(unsafe_mul(vol, sqrt_tau), UNIT), MIN_WIDTH)
            width = unsafe_div(unsafe_mul(v, UNITS), UNIT)
            t = unsafe_add(
                unsafe_add(CENTRE, width >> 1), unsafe_mul(option.moneyness, unsafe_div(HALF_SQUARE, width))
            )
            n1 = normal.cdf(convert(convert(t, bytes32), int256) >> 66)
            n2 = normal.cdf(convert(convert(unsafe_sub(t, width), bytes32), int256) >> 66)
        calls = unsafe_add(
            calls,
            unsafe_sub(unsafe_mul(unsafe_mul(option.size, expiry.forward), n1), unsafe_mul(option.debt, n2)),
        )
        option.size = 0

    # A profit is D [calls' - calls - puts (F' - F)], puts by parity, with calls' = F' units - debts. So the sums of a row start
    # from minus the puts, and from calls - puts F.
    puts = puts << 64
    units_before: int256[4] = [-puts, -puts, -puts, -puts]
    calls = unsafe_sub(calls, unsafe_mul(puts, expiry.forward))
    debts_before: int256[4] = [calls, calls, calls, calls]
    # Least vol of a row (M-5), in table units.
    least: uint256 = unsafe_div(
        unsafe_mul(max(unsafe_div(unsafe_mul(MIN_VOL, sqrt_tau), UNIT), MIN_WIDTH), UNITS), UNIT
    )
    # Four rows are plain where no vol of the expiry meets its floor and d1 - d2 fits into the table, which is so for scales
    # from the lowest on and within the span: then one test below does for both ends of the table.
    lowest: uint256 = unsafe_div(unsafe_add(least, unsafe_sub(least_vol, 1)), least_vol)
    span: uint256 = 0
    highest: uint256 = unsafe_div(END, most_vol)
    if highest >= lowest:
        span = unsafe_sub(highest, lowest)
    else:
        # No scale is.
        lowest = max_value(uint256)

    # A scale is below 2**66, as a vol move is at most 10, and times a vol, which is at most 10, below 2**117. Twice a moneyness
    # is below 2**69 and half the slope, with v not below 1e-10, below 2**73. Arguments of the table wrap by design, as do the
    # words of its cubics.
    for i: uint256 in range(fours, bound=MAX_FOURS):
        four: uint256[4] = rows[i]
        plain: bool = True
        x[0] = convert(convert(convert(convert(four[0] << 80, bytes32), int256) >> 176, bytes32), uint256) << 1
        forwards[0] = unsafe_div(unsafe_mul(expiry.forward, convert(convert(four[0] >> 176, bytes32), int256)), WAD)
        scales[0] = convert(
            convert(
                unsafe_add(
                    root, unsafe_div(unsafe_mul(convert(convert(four[0] << 224, bytes32), int256) >> 224, reach), MILLION)
                ),
                bytes32,
            ),
            uint256,
        )
        if unsafe_sub(scales[0], lowest) > span:
            plain = False
        x[1] = convert(convert(convert(convert(four[1] << 80, bytes32), int256) >> 176, bytes32), uint256) << 1
        forwards[1] = unsafe_div(unsafe_mul(expiry.forward, convert(convert(four[1] >> 176, bytes32), int256)), WAD)
        scales[1] = convert(
            convert(
                unsafe_add(
                    root, unsafe_div(unsafe_mul(convert(convert(four[1] << 224, bytes32), int256) >> 224, reach), MILLION)
                ),
                bytes32,
            ),
            uint256,
        )
        if unsafe_sub(scales[1], lowest) > span:
            plain = False
        x[2] = convert(convert(convert(convert(four[2] << 80, bytes32), int256) >> 176, bytes32), uint256) << 1
        forwards[2] = unsafe_div(unsafe_mul(expiry.forward, convert(convert(four[2] >> 176, bytes32), int256)), WAD)
        scales[2] = convert(
            convert(
                unsafe_add(
                    root, unsafe_div(unsafe_mul(convert(convert(four[2] << 224, bytes32), int256) >> 224, reach), MILLION)
                ),
                bytes32,
            ),
            uint256,
        )
        if unsafe_sub(scales[2], lowest) > span:
            plain = False
        x[3] = convert(convert(convert(convert(four[3] << 80, bytes32), int256) >> 176, bytes32), uint256) << 1
        forwards[3] = unsafe_div(unsafe_mul(expiry.forward, convert(convert(four[3] >> 176, bytes32), int256)), WAD)
        scales[3] = convert(
            convert(
                unsafe_add(
                    root, unsafe_div(unsafe_mul(convert(convert(four[3] << 224, bytes32), int256) >> 224, reach), MILLION)
                ),
                bytes32,
            ),
            uint256,
        )
        if unsafe_sub(scales[3], lowest) > span:
            plain = False
        units = units_before
        debts = debts_before
        if plain:
            for o: Option in options:
                width = unsafe_mul(o.vol, scales[0])
                t = unsafe_add(
                    unsafe_add(CENTRE, width >> 1),
                    unsafe_mul(unsafe_add(o.moneyness, x[0]), unsafe_div(HALF_SQUARE, width)),
                )
                u = unsafe_sub(t, width)
                if u < unsafe_sub(END, width):
                    f = convert(convert(t & MASK, bytes32), int256)
                    w = unsafe_mul(table[t >> 95], f)
                    units[0] = unsafe_add(
                        units[0], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                    f = convert(convert(u & MASK, bytes32), int256)
                    w = unsafe_mul(table[u >> 95], f)
                    debts[0] = unsafe_add(
                        debts[0], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                else:
                    units[0] = unsafe_add(units[0], unsafe_mul(o.size, self._cdf(t)))
                    debts[0] = unsafe_add(debts[0], unsafe_mul(o.debt, self._cdf(u)))
                width = unsafe_mul(o.vol, scales[1])
                t = unsafe_add(
                    unsafe_add(CENTRE, width >> 1),
                    unsafe_mul(unsafe_add(o.moneyness, x[1]), unsafe_div(HALF_SQUARE, width)),
                )
                u = unsafe_sub(t, width)
                if u < unsafe_sub(END, width):
                    f = convert(convert(t & MASK, bytes32), int256)
                    w = unsafe_mul(table[t >> 95], f)
                    units[1] = unsafe_add(
                        units[1], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                    f = convert(convert(u & MASK, bytes32), int256)
                    w = unsafe_mul(table[u >> 95], f)
                    debts[1] = unsafe_add(
                        debts[1], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                else:
                    units[1] = unsafe_add(units[1], unsafe_mul(o.size, self._cdf(t)))
                    debts[1] = unsafe_add(debts[1], unsafe_mul(o.debt, self._cdf(u)))
                width = unsafe_mul(o.vol, scales[2])
                t = unsafe_add(
                    unsafe_add(CENTRE, width >> 1),
                    unsafe_mul(unsafe_add(o.moneyness, x[2]), unsafe_div(HALF_SQUARE, width)),
                )
                u = unsafe_sub(t, width)
                if u < unsafe_sub(END, width):
                    f = convert(convert(t & MASK, bytes32), int256)
                    w = unsafe_mul(table[t >> 95], f)
                    units[2] = unsafe_add(
                        units[2], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                    f = convert(convert(u & MASK, bytes32), int256)
                    w = unsafe_mul(table[u >> 95], f)
                    debts[2] = unsafe_add(
                        debts[2], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                else:
                    units[2] = unsafe_add(units[2], unsafe_mul(o.size, self._cdf(t)))
                    debts[2] = unsafe_add(debts[2], unsafe_mul(o.debt, self._cdf(u)))
                width = unsafe_mul(o.vol, scales[3])
                t = unsafe_add(
                    unsafe_add(CENTRE, width >> 1),
                    unsafe_mul(unsafe_add(o.moneyness, x[3]), unsafe_div(HALF_SQUARE, width)),
                )
                u = unsafe_sub(t, width)
                if u < unsafe_sub(END, width):
                    f = convert(convert(t & MASK, bytes32), int256)
                    w = unsafe_mul(table[t >> 95], f)
                    units[3] = unsafe_add(
                        units[3], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                    f = convert(convert(u & MASK, bytes32), int256)
                    w = unsafe_mul(table[u >> 95], f)
                    debts[3] = unsafe_add(
                        debts[3], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                    )
                else:
                    units[3] = unsafe_add(units[3], unsafe_mul(o.size, self._cdf(t)))
                    debts[3] = unsafe_add(debts[3], unsafe_mul(o.debt, self._cdf(u)))
        else:
            for r: uint256 in range(4):
                if scales[r] > max_value(uint256) >> 1:
                    # M-5: a vol falls by all of it at most.
                    scales[r] = 0
                for o: Option in options:
                    width = max(unsafe_mul(o.vol, scales[r]), least)
                    t = unsafe_add(
                        unsafe_add(CENTRE, width >> 1),
                        unsafe_mul(unsafe_add(o.moneyness, x[r]), unsafe_div(HALF_SQUARE, width)),
                    )
                    units[r] = unsafe_add(units[r], unsafe_mul(o.size, self._cdf(t)))
                    debts[r] = unsafe_add(debts[r], unsafe_mul(o.debt, self._cdf(unsafe_sub(t, width))))
        rest: int256[4] = before[i]
        pnl[i] = [
            unsafe_add(
                rest[0],
                unsafe_div(
                    unsafe_mul(unsafe_sub(unsafe_mul(forwards[0], units[0]), debts[0]) >> 64, discount),
                    WAD * MILLION,
                ),
            ),
            unsafe_add(
                rest[1],
                unsafe_div(
                    unsafe_mul(unsafe_sub(unsafe_mul(forwards[1], units[1]), debts[1]) >> 64, discount),
                    WAD * MILLION,
                ),
            ),
            unsafe_add(
                rest[2],
                unsafe_div(
                    unsafe_mul(unsafe_sub(unsafe_mul(forwards[2], units[2]), debts[2]) >> 64, discount),
                    WAD * MILLION,
                ),
            ),
            unsafe_add(
                rest[3],
                unsafe_div(
                    unsafe_mul(unsafe_sub(unsafe_mul(forwards[3], units[3]), debts[3]) >> 64, discount),
                    WAD * MILLION,
                ),
            ),
        ]
    return pnl


@internal
@view
def _cdf(t: uint256) -> int256:
    """@return The CDF of any argument, clamped outside the table."""
    return normal.cdf(convert(convert(t, bytes32), int256) >> 66)
