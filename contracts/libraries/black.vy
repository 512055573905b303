# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Black-76 over a scenario ladder: every option of one expiry repriced in every scenario
@notice Value V = D [F N(d1) - K N(d2)] (M-2), shocked prices (M-4), shocked vols (M-5), Greeks (M-24). No logarithm,
        exponential or square root inside the grid: an option and a shocked vol cost one division 1/v, after which each
        price move costs one multiply-add for d1, and d2 = d1 - v. Puts come from parity. The moves of one vol are
        worked off in blocks of nine, four or one whose cells are written out, the options inside: so that whatever
        belongs to the block stays at fixed places in memory.
@custom:security Price error below 3e-10 (F + K): twice the normal table's bound would be the worst case for a single
        leg; the other roundings, the floor of 1e-10 under sigma sqrt(tau) that stands for an expired option included,
        stay below 5e-11 (F + K).
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

LONG_BLOCK: constant(uint256) = 9
SHORT_BLOCK: constant(uint256) = 4
MAX_SCENARIOS: constant(uint256) = 64
MAX_LEGS: constant(uint256) = 128


struct Option:
    # Calls and puts of one strike, netted.
    size: int256  # 1e-6
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
    strip: IPricingKernel.Strip = empty(IPricingKernel.Strip)
    sqrt_tau: int256 = convert(isqrt(convert(expiry.seconds * 10**36 // YEAR, uint256)), int256)
    strip.discount = math._wad_exp(-expiry.rate * expiry.seconds // YEAR)

    # Strike by strike: net size, vol, value and Greeks. Bounds, here and in the grid: prices < 2**105, a CDF
    # <= 2**64, sizes < 2**63, 128 legs: sums stay below 2**240.
    options: DynArray[Option, MAX_LEGS] = []
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
    for i: uint256 in range(first, end, bound=MAX_LEGS):
        leg = following
        # The fields of `position`, read in place: a call for each would cost a tenth of the leg.
        size: int256 = convert(convert(leg << 112, bytes32), int256) >> 192
        strike: int256 = unsafe_mul(convert((leg >> 152) & (2**64 - 1), int256), position.MICRO)
        option.size = unsafe_add(option.size, size)
        strip.gross = unsafe_add(strip.gross, abs(size))
        strip.short = unsafe_add(strip.short, max(unsafe_sub(0, size), 0))
        strip.notional = unsafe_add(
            strip.notional, unsafe_mul(abs(size), unsafe_add(expiry.forward, strike))
        )
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
        option.debt = unsafe_mul(option.size, strike)
        option.vol = svi.vol(expiry.surface, log_strike)
        options.append(option)
        v: int256 = max(unsafe_div(unsafe_mul(option.vol, sqrt_tau), WAD), MIN_WIDTH)
        d1: int256 = unsafe_add(unsafe_div(unsafe_mul(option.moneyness, WAD), v), unsafe_div(v, 2))
        n1: int256 = normal.cdf(unsafe_add(normal.CENTRE, unsafe_div(unsafe_mul(d1, normal.UNITS), WAD)))
        n2: int256 = normal.cdf(
            unsafe_add(normal.CENTRE, unsafe_div(unsafe_mul(unsafe_sub(d1, v), normal.UNITS), WAD))
        )
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

    # The grid, block by block of price moves that share a vol.
    table: uint256[normal.INTERVALS] = normal.TABLE
    rung: uint256 = 0
    for level: uint256 in ladder.levels:
        # The fields of a level (see `IMethodology`), 72 bits each: move, tilt, floor; and how many moves share it.
        # sigma' sqrt(tau) and its floor in table units, for a vol of 1.0.
        vol_move: int256 = convert(convert(level << 32, bytes32), int256) >> 184
        tilting: int256 = convert(convert(level << 104, bytes32), int256) >> 184
        scale: int256 = max(WAD + vol_move * expiry.vol_scale // WAD, 0) * sqrt_tau // WAD * UNITS // WAD
        least: int256 = max(convert((level >> 8) & (2**72 - 1), int256) * sqrt_tau // WAD, MIN_WIDTH) * UNITS // WAD
        remaining: uint256 = level & 255
        for _: uint256 in range(MAX_SCENARIOS):
            if remaining == 0:
                break
            block_size: uint256 = 1
            if remaining >= LONG_BLOCK:
                block_size = LONG_BLOCK
            elif remaining >= SHORT_BLOCK:
                block_size = SHORT_BLOCK
            remaining -= block_size
            # ln(1 + x R) as words, sums of q N(d1) and of q K N(d2), and the outermost moves.
            x: uint256[LONG_BLOCK] = empty(uint256[LONG_BLOCK])
            units: int256[LONG_BLOCK] = empty(int256[LONG_BLOCK])
            debts: int256[LONG_BLOCK] = empty(int256[LONG_BLOCK])
            low: int256 = max_value(int256)
            high: int256 = min_value(int256)
            for j: uint256 in range(block_size, bound=LONG_BLOCK):
                move: int256 = ladder.logs[(ladder.rungs[unsafe_add(rung, j)] >> 8) & 255]
                low = min(low, move)
                high = max(high, move)
                x[j] = convert(convert(move, bytes32), uint256)
            lowest: uint256 = convert(convert(low, bytes32), uint256)
            highest: uint256 = convert(convert(high, bytes32), uint256)

            for o: Option in options:
                v: int256 = unsafe_div(unsafe_mul(o.vol, scale), WAD)
                if tilting != 0:
                    tilt: int256 = unsafe_div(
                        unsafe_mul(o.moneyness, -WAD), unsafe_mul(2, max(sqrt_tau, MIN_SQRT_TAU))
                    )
                    tilt = unsafe_div(unsafe_mul(tilting, min(max(tilt, -WAD), WAD)), WAD)
                    v = unsafe_div(unsafe_mul(v, unsafe_add(WAD, tilt)), WAD)
                # Positive, as the least width is. Two's complement arithmetic on words from here on: the range test below
                # shows when they are arguments of the table.
                width: uint256 = convert(convert(max(v, least), bytes32), uint256)
                slope: uint256 = unsafe_div(UNITS_SQUARED, width)
                origin: uint256 = unsafe_add(
                    unsafe_add(CENTRE, width >> 1),
                    unsafe_mul(convert(convert(o.moneyness, bytes32), uint256), slope),
                )
                # A word below zero is a large word: one comparison tests both ends.
                if (
                    unsafe_sub(unsafe_add(origin, unsafe_mul(lowest, slope)), width) < END
                    and unsafe_add(origin, unsafe_mul(highest, slope)) < END
                ):
                    t: uint256 = 0
                    f: uint256 = 0
                    w: uint256 = 0
                    t = unsafe_add(origin, unsafe_mul(x[0], slope))
                    f = t & MASK
                    w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                    units[0] = unsafe_add(
                        units[0],
                        unsafe_mul(
                            o.size,
                            convert(
                                convert(
                                    unsafe_add(
                                        w,
                                        convert(
                                            convert(
                                                unsafe_mul(
                                                    unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                    convert(convert(f, bytes32), int256),
                                                ),
                                                bytes32,
                                            ),
                                            uint256,
                                        ),
                                    ) >> 190,
                                    bytes32,
                                ),
                                int256,
                            ),
                        ),
                    )
                    t = unsafe_sub(t, width)
                    f = t & MASK
                    w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                    debts[0] = unsafe_add(
                        debts[0],
                        unsafe_mul(
                            o.debt,
                            convert(
                                convert(
                                    unsafe_add(
                                        w,
                                        convert(
                                            convert(
                                                unsafe_mul(
                                                    unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                    convert(convert(f, bytes32), int256),
                                                ),
                                                bytes32,
                                            ),
                                            uint256,
                                        ),
                                    ) >> 190,
                                    bytes32,
                                ),
                                int256,
                            ),
                        ),
                    )
                    if block_size != 1:
                        t = unsafe_add(origin, unsafe_mul(x[1], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[1] = unsafe_add(
                            units[1],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[1] = unsafe_add(
                            debts[1],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[2], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[2] = unsafe_add(
                            units[2],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[2] = unsafe_add(
                            debts[2],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[3], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[3] = unsafe_add(
                            units[3],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[3] = unsafe_add(
                            debts[3],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                    if block_size == LONG_BLOCK:
                        t = unsafe_add(origin, unsafe_mul(x[4], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[4] = unsafe_add(
                            units[4],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[4] = unsafe_add(
                            debts[4],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[5], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[5] = unsafe_add(
                            units[5],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[5] = unsafe_add(
                            debts[5],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[6], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[6] = unsafe_add(
                            units[6],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[6] = unsafe_add(
                            debts[6],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[7], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[7] = unsafe_add(
                            units[7],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[7] = unsafe_add(
                            debts[7],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_add(origin, unsafe_mul(x[8], slope))
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        units[8] = unsafe_add(
                            units[8],
                            unsafe_mul(
                                o.size,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                        t = unsafe_sub(t, width)
                        f = t & MASK
                        w = unsafe_mul(table[t >> 95], unsafe_add(1, f))
                        debts[8] = unsafe_add(
                            debts[8],
                            unsafe_mul(
                                o.debt,
                                convert(
                                    convert(
                                        unsafe_add(
                                            w,
                                            convert(
                                                convert(
                                                    unsafe_mul(
                                                        unsafe_mul(convert(convert(w << 132, bytes32), int256) >> 202, convert(convert(f, bytes32), int256)),
                                                        convert(convert(f, bytes32), int256),
                                                    ),
                                                    bytes32,
                                                ),
                                                uint256,
                                            ),
                                        ) >> 190,
                                        bytes32,
                                    ),
                                    int256,
                                ),
                            ),
                        )
                else:
                    for j: uint256 in range(block_size, bound=LONG_BLOCK):
                        t: uint256 = unsafe_add(origin, unsafe_mul(x[j], slope))
                        units[j] = unsafe_add(
                            units[j], unsafe_mul(o.size, normal.cdf(convert(convert(t, bytes32), int256) >> 66))
                        )
                        debts[j] = unsafe_add(
                            debts[j],
                            unsafe_mul(
                                o.debt,
                                normal.cdf(convert(convert(unsafe_sub(t, width), bytes32), int256) >> 66),
                            ),
                        )
            for j: uint256 in range(block_size, bound=LONG_BLOCK):
                # D [calls' - calls - puts (F' - F)] with calls' = F' units - debts: puts by parity.
                price: int256 = unsafe_div(
                    unsafe_mul(expiry.forward, ladder.factors[(ladder.rungs[unsafe_add(rung, j)] >> 8) & 255]), WAD
                )
                change: int256 = unsafe_sub(
                    unsafe_sub(unsafe_sub(unsafe_mul(price, units[j]), debts[j]), calls) >> 64,
                    unsafe_mul(puts, unsafe_sub(price, expiry.forward)),
                )
                strip.pnl.append(unsafe_div(unsafe_mul(unsafe_div(change, MILLION), strip.discount), WAD))
            rung += block_size

    strip.notional = unsafe_div(strip.notional, MILLION)
    strip.short = unsafe_mul(strip.short, position.MICRO)
    strip.gross = unsafe_mul(strip.gross, position.MICRO)
    strip.value = unsafe_div(
        unsafe_mul(
            unsafe_div(
                unsafe_add(unsafe_sub(calls >> 64, unsafe_mul(puts, expiry.forward)), put_strikes), MILLION
            ),
            strip.discount,
        ),
        WAD,
    )
    # Calls D N(d1), puts D (N(d1) - 1).
    strip.delta = unsafe_div(
        unsafe_mul(unsafe_sub(unsafe_mul(delta, 10**12) >> 64, unsafe_mul(puts, 10**12)), strip.discount), WAD
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
