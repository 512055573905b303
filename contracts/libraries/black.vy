# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Black-76 over a scenario ladder: every option of one expiry repriced in every scenario
@notice Value V = D [F N(d1) - K N(d2)] (M-2), shocked prices (M-4), shocked vols (M-5), Greeks (M-24). No logarithm,
        exponential or square root inside the grid: an option and a shocked vol cost one division 1/v, after which each
        price move costs one multiply-add for d1, and d2 = d1 - v. Puts come from parity. Moves that share a vol are worked
        off together, the options inside, so that whatever belongs to a move stays at a fixed place in memory.
@custom:security Price error below 1.5e-10 (F + K) D: that of the normal table, and below 1e-11 for other roundings. The
        floor of 1e-10 under sigma sqrt(tau), which the shocked prices of an expired option meet, costs 4e-11 F more.
"""

from snekmate.utils import math

from contracts.interfaces import IPricingKernel
from contracts.libraries import normal
from contracts.libraries import position
from contracts.libraries import svi

uses: normal

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 86400
# Sizes are in 1e-6 units.
MILLION: constant(int256) = 10**6
# Arguments of the table carry 66 more bits inside the grid, which puts the fraction where the packed cubic wants it.
MASK: constant(uint256) = (2**29 - 1) << 66
END: constant(uint256) = 448 * 2**95
CENTRE: constant(uint256) = 224 * 2**95
UNITS: constant(int256) = 35 * 2**95
UNITS_SQUARED: constant(uint256) = (35 * 2**95) ** 2 // 10**18
# sqrt(1/365) at 1e-18: the tilt of M-5 counts tenors below a day as a day.
MIN_SQRT_TAU: constant(int256) = 52_342_392_259_021_369
# sigma * sqrt(tau) never falls below this (1e-18): an option at expiry is worth its intrinsic value within 4e-11 F.
MIN_WIDTH: constant(int256) = 10**8

SLOTS: constant(uint256) = 13
MAX_SCENARIOS: constant(uint256) = 64
MAX_LEGS: constant(uint256) = 128


struct Option:
    # Calls and puts of one strike, netted.
    size: int256  # 1e-6
    strike: int256  # 1e-18
    debt: int256  # size * strike, 1e-24
    moneyness: int256  # ln(F / K), 1e-18
    vol: int256  # 1e-18


@external
@view
def scan(
    legs: DynArray[uint256, MAX_LEGS],
    first: uint256,
    end: uint256,
    expiry: IPricingKernel.Expiry,
    ladder: IPricingKernel.Ladder,
) -> IPricingKernel.Strip:
    """
    @notice Value, Greeks and scenario profit of the options of one expiry.
    @param legs Position words, ascending.
    @param first Index of the first option of the expiry.
    @param end Index behind its last option.
    @param expiry The market of the expiry.
    @param ladder Shocked vols and price moves.
    @return The sums. Errors as the library states; nothing is rounded for or against anybody here.
    """
    table: int256[normal.INTERVALS] = normal.TABLE
    # By slot: ln(1 + x R), ascending, and shocked forwards; sums of q N(d1) and of q K N(d2).
    x: uint256[SLOTS] = empty(uint256[SLOTS])
    forwards: int256[SLOTS] = empty(int256[SLOTS])
    units: int256[SLOTS] = empty(int256[SLOTS])
    debts: int256[SLOTS] = empty(int256[SLOTS])
    strip: IPricingKernel.Strip = empty(IPricingKernel.Strip)
    sqrt_tau: int256 = convert(isqrt(convert(expiry.seconds * 10**36 // YEAR, uint256)), int256)
    strip.discount = math._wad_exp(-expiry.rate * expiry.seconds // YEAR)

    # Strike by strike: net size, vol, value and Greeks. Bounds, here and in the grid: prices < 2**105, a CDF
    # <= 2**64, sizes < 2**63, 128 legs: sums stay below 2**240.
    option: Option = empty(Option)
    puts: int256 = 0
    put_strikes: int256 = 0
    calls: int256 = 0
    delta: int256 = 0
    gamma: int256 = 0
    density: int256 = 0
    density_vol: int256 = 0
    leg: uint256 = 0
    following: uint256 = legs[first]
    # Arguments of the table as words, modulo 2**256: one below zero is a large one, so that a comparison tests both ends.
    t: uint256 = 0
    u: uint256 = 0
    f: int256 = 0
    w: int256 = 0
    # Last in memory, of which only what is touched is paid for.
    options: DynArray[Option, MAX_LEGS] = []
    for i: uint256 in range(first, end, bound=MAX_LEGS):
        leg = following
        # The fields of `position`, read in place: a call for each would cost a tenth of the leg.
        size: int256 = convert(convert(leg << 112, bytes32), int256) >> 192
        strike: int256 = unsafe_mul(convert(convert((leg >> 152) & (2**64 - 1), bytes32), int256), position.MICRO)
        option.size = unsafe_add(option.size, size)
        magnitude: int256 = size
        if size < 0:
            magnitude = unsafe_sub(0, size)
            strip.short = unsafe_add(strip.short, magnitude)
        strip.gross = unsafe_add(strip.gross, magnitude)
        strip.notional = unsafe_add(strip.notional, unsafe_mul(magnitude, unsafe_add(expiry.forward, strike)))
        if (leg >> 144) & 255 == position.PUT:
            puts = unsafe_add(puts, size)
            put_strikes = unsafe_add(put_strikes, unsafe_mul(size, strike))
        if unsafe_add(i, 1) < end:
            following = legs[unsafe_add(i, 1)]
            if following >> 152 == leg >> 152:
                # A call and a put of one strike are priced once.
                continue
        if option.size == 0:
            continue

        log_strike: int256 = convert(convert(leg << 176, bytes32), int256) >> 176
        option.moneyness = unsafe_sub(expiry.log_forward, log_strike)
        option.strike = strike
        option.debt = unsafe_mul(option.size, strike)
        option.vol = svi.vol(expiry.surface, log_strike)
        options.append(option)
        v: int256 = unsafe_div(unsafe_mul(option.vol, sqrt_tau), WAD)
        if v < MIN_WIDTH:
            v = MIN_WIDTH
        d1: int256 = unsafe_add(unsafe_div(unsafe_mul(option.moneyness, WAD), v), unsafe_div(v, 2))
        n1: int256 = 0
        n2: int256 = 0
        t = unsafe_add(CENTRE, convert(convert(unsafe_div(unsafe_mul(d1, UNITS), WAD), bytes32), uint256))
        u = unsafe_sub(t, convert(convert(unsafe_div(unsafe_mul(v, UNITS), WAD), bytes32), uint256))
        if sqrt_tau == 0:
            # A step, exactly: the least width would smear it.
            if expiry.forward > strike:
                n1 = normal.ONE
            elif expiry.forward == strike:
                n1 = normal.ONE // 2
            n2 = n1
        elif t < END and u < END:
            f = convert(convert(t & MASK, bytes32), int256)
            w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
            n1 = unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190
            f = convert(convert(u & MASK, bytes32), int256)
            w = unsafe_mul(table[u >> 95], unsafe_add(1, f))
            n2 = unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190
        else:
            n1 = normal.cdf(convert(convert(t, bytes32), int256) >> 66)
            n2 = normal.cdf(convert(convert(u, bytes32), int256) >> 66)
        calls = unsafe_add(
            calls,
            unsafe_sub(unsafe_mul(unsafe_mul(option.size, expiry.forward), n1), unsafe_mul(option.debt, n2)),
        )
        delta = unsafe_add(delta, unsafe_mul(option.size, n1))
        phi: int256 = unsafe_mul(option.size, normal.pdf(d1))
        density = unsafe_add(density, phi)
        density_vol = unsafe_add(density_vol, unsafe_div(unsafe_mul(phi, option.vol), WAD))
        gamma = unsafe_add(gamma, unsafe_div(unsafe_mul(phi, WAD), v))
        option.size = 0

    # The payoff at expiry is linear between strikes, so it is least at 0, at a strike, or at infinity if calls are net
    # short. Between two strikes its slope is (calls with a strike at or below) - (puts with a strike above) (M-14).
    payoff: int256 = put_strikes
    slope_there: int256 = unsafe_sub(0, puts)
    at: int256 = 0
    strip.least_payoff = payoff
    for o: Option in options:
        payoff = unsafe_add(payoff, unsafe_mul(slope_there, unsafe_sub(o.strike, at)))
        at = o.strike
        slope_there = unsafe_add(slope_there, o.size)
        if payoff < strip.least_payoff:
            strip.least_payoff = payoff
    strip.bounded = slope_there >= 0

    # The grid, pass by pass (see `IMethodology.Compiled`). Slots 0 to 7, 8, and 9 to 12 have their cells written out below:
    # a loop over cells would cost half as much again.
    # Calls at today's price less the parity term of the puts; what the puts take off each unit.
    today: int256 = unsafe_sub(calls, unsafe_mul(puts, expiry.forward) << 64)
    puts = puts << 64
    tilt_unit: int256 = unsafe_mul(2, max(sqrt_tau, MIN_SQRT_TAU))
    rung: uint256 = 0
    for fields: uint256 in ladder.passes:
        # sigma' sqrt(tau) for a vol of 1.0, and its floor, in table units. A move is at most 10, h(tau) at most 31.
        scale: int256 = unsafe_add(
            WAD,
            unsafe_div(unsafe_mul(convert(convert(fields << 16, bytes32), int256) >> 184, expiry.vol_scale), WAD),
        )
        if scale < 0:
            scale = 0
        scale = unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(scale, sqrt_tau), WAD), UNITS), WAD)
        tilting: int256 = convert(convert(fields << 88, bytes32), int256) >> 184
        least: int256 = convert(convert((fields >> 24) & (2**72 - 1), bytes32), int256)
        least = unsafe_div(unsafe_mul(least, sqrt_tau), WAD)
        if least < MIN_WIDTH:
            least = MIN_WIDTH
        least = unsafe_div(unsafe_mul(least, UNITS), WAD)
        start: uint256 = (fields >> 16) & 255
        behind: uint256 = (fields >> 8) & 255
        stop: uint256 = fields & 255
        long: bool = start == 0
        single: bool = start <= 8 and stop >= 9
        short: bool = stop == 13
        units = empty(int256[SLOTS])
        debts = empty(int256[SLOTS])
        for j: uint256 in range(start, behind, bound=SLOTS):
            move: uint256 = (ladder.order[rung >> 5] >> ((rung & 31) << 3)) & 255
            x[j] = convert(convert(ladder.logs[move], bytes32), uint256)
            forwards[j] = unsafe_div(unsafe_mul(expiry.forward, ladder.factors[move]), WAD)
            rung = unsafe_add(rung, 1)
        least_x: uint256 = x[start]
        most_x: uint256 = x[unsafe_sub(behind, 1)]
        for j: uint256 in range(behind, stop, bound=SLOTS):
            # Slots without a move: any argument inside the table will do.
            x[j] = most_x

        for o: Option in options:
            v: int256 = unsafe_div(unsafe_mul(o.vol, scale), WAD)
            if tilting != 0:
                tilt: int256 = unsafe_div(unsafe_mul(o.moneyness, -WAD), tilt_unit)
                if tilt > WAD:
                    tilt = WAD
                elif tilt < -WAD:
                    tilt = -WAD
                v = unsafe_div(unsafe_mul(v, unsafe_add(WAD, unsafe_div(unsafe_mul(tilting, tilt), WAD))), WAD)
            if v < least:
                v = least
            width: uint256 = convert(convert(v, bytes32), uint256)
            slope: uint256 = unsafe_div(UNITS_SQUARED, width)
            origin: uint256 = unsafe_add(
                unsafe_add(CENTRE, width >> 1),
                unsafe_mul(convert(convert(o.moneyness, bytes32), uint256), slope),
            )
            t = unsafe_add(origin, unsafe_mul(most_x, slope))
            u = unsafe_sub(unsafe_add(origin, unsafe_mul(least_x, slope)), width)
            if t < END:
                if u < END:
                    if long:
                        t = unsafe_add(origin, unsafe_mul(x[0], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[0] = unsafe_add(
                            units[0], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[0] = unsafe_add(
                            debts[0], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[1], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[1] = unsafe_add(
                            units[1], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[1] = unsafe_add(
                            debts[1], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[2], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[2] = unsafe_add(
                            units[2], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[2] = unsafe_add(
                            debts[2], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[3], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[3] = unsafe_add(
                            units[3], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[3] = unsafe_add(
                            debts[3], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[4], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[4] = unsafe_add(
                            units[4], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[4] = unsafe_add(
                            debts[4], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[5], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[5] = unsafe_add(
                            units[5], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[5] = unsafe_add(
                            debts[5], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[6], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[6] = unsafe_add(
                            units[6], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[6] = unsafe_add(
                            debts[6], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[7], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[7] = unsafe_add(
                            units[7], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[7] = unsafe_add(
                            debts[7], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                    if single:
                        t = unsafe_add(origin, unsafe_mul(x[8], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[8] = unsafe_add(
                            units[8], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[8] = unsafe_add(
                            debts[8], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                    if short:
                        t = unsafe_add(origin, unsafe_mul(x[9], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[9] = unsafe_add(
                            units[9], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[9] = unsafe_add(
                            debts[9], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[10], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[10] = unsafe_add(
                            units[10], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[10] = unsafe_add(
                            debts[10], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[11], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[11] = unsafe_add(
                            units[11], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[11] = unsafe_add(
                            debts[11], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_add(origin, unsafe_mul(x[12], slope))
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[12] = unsafe_add(
                            units[12], unsafe_mul(o.size, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                        t = unsafe_sub(t, width)
                        f = convert(convert(t & MASK, bytes32), int256)
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[12] = unsafe_add(
                            debts[12], unsafe_mul(o.debt, unsafe_add(w, unsafe_mul(unsafe_mul((w << 132) >> 202, f), f)) >> 190)
                        )
                    continue
            for j: uint256 in range(start, behind, bound=SLOTS):
                t = unsafe_add(origin, unsafe_mul(x[j], slope))
                units[j] = unsafe_add(units[j], unsafe_mul(o.size, normal.cdf(convert(convert(t, bytes32), int256) >> 66)))
                t = unsafe_sub(t, width)
                debts[j] = unsafe_add(debts[j], unsafe_mul(o.debt, normal.cdf(convert(convert(t, bytes32), int256) >> 66)))
        for j: uint256 in range(start, behind, bound=SLOTS):
            # D [calls' - calls - puts (F' - F)] with calls' = F' units - debts: puts by parity.
            change: int256 = unsafe_sub(
                unsafe_sub(unsafe_mul(forwards[j], unsafe_sub(units[j], puts)), debts[j]), today
            )
            strip.pnl.append(unsafe_div(unsafe_mul(change >> 64, strip.discount), WAD * MILLION))

    strip.least_payoff = unsafe_div(strip.least_payoff, MILLION)
    # Values, and so their errors, are in proportion to the discount factor, above 1 where the rate is negative.
    strip.notional = unsafe_div(unsafe_mul(unsafe_div(strip.notional, MILLION), max(strip.discount, WAD)), WAD)
    strip.short = unsafe_mul(strip.short, position.MICRO)
    strip.gross = unsafe_mul(strip.gross, position.MICRO)
    strip.value = unsafe_div(
        unsafe_mul(
            unsafe_div(
                unsafe_add(today >> 64, put_strikes), MILLION
            ),
            strip.discount,
        ),
        WAD,
    )
    # Calls D N(d1), puts D (N(d1) - 1).
    strip.delta = unsafe_div(
        unsafe_mul(unsafe_mul(unsafe_sub(delta, puts), 10**12) >> 64, strip.discount), WAD
    )
    # Sums of q phi are at 1e-24: times D F, times sqrt(tau).
    scaled: int256 = unsafe_div(unsafe_mul(strip.discount, expiry.forward), WAD)
    strip.vega = unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(density, scaled), 10**24), sqrt_tau), WAD)
    density_vol = unsafe_div(unsafe_mul(density_vol, scaled), 10**24)
    strip.vega_vol = unsafe_div(unsafe_mul(density_vol, sqrt_tau), WAD)
    strip.theta = unsafe_div(unsafe_mul(expiry.rate, strip.value), WAD)
    if sqrt_tau != 0:
        # At expiry gamma is a spike that is told as nothing.
        strip.gamma = unsafe_div(unsafe_mul(unsafe_div(gamma, MILLION), strip.discount), expiry.forward)
        strip.theta = unsafe_sub(strip.theta, unsafe_div(unsafe_mul(density_vol, WAD), unsafe_mul(2, sqrt_tau)))
    strip.theta = unsafe_div(strip.theta, 365)
    return strip
