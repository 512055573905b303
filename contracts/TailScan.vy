# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Tail scan: a book over the rows of a scenario set, underlying by underlying (M-18, M-19)
@notice A service of the tail engine with code of its own. Filtered history: a row's return is a multiple of what the market's
        volatility is today (M-21). P&L is joint: all underlyings move as they did on the same day.
@custom:security Stateless. Profits err by less than the bound of M-16, as `history` shows, and so does the k-th largest of the
        losses and the mean of the k largest: neither moves by more than the losses do. What truncating divisions lose is
        a unit of 1e-18 for each expiry and for what is linear, which `portfolio` covers.
"""

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.interfaces import IMethodology
from contracts.interfaces import IScenarioSet
from contracts.interfaces import ITailKernel
from contracts.interfaces import ITailScan
from contracts.libraries import expiry_words
from contracts.libraries import moves
from contracts.libraries import position
from contracts.libraries import tail

implements: ITailScan

WAD: constant(uint256) = 10**18
DAY: constant(uint256) = 86400
MAX_HORIZON: constant(uint256) = 30 * 86400
# The share of a forward that is fixed, in its second word.
FIXED: constant(uint256) = 2**16 - 1

MAX_LEGS: constant(uint256) = 128
MAX_HOLDINGS: constant(uint256) = 16
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_EXPIRIES: constant(uint256) = 16
MAX_FOURS: constant(uint256) = 64
MAX_TAIL: constant(uint256) = 32

market_data: public(immutable(address))
methodology: public(immutable(address))
tail_kernel: public(immutable(address))
scenario_set: public(immutable(address))
tail_count: public(immutable(uint256))
horizon_seconds: public(immutable(uint256))
COUNT: immutable(uint256)
POWER_SHORT: immutable(int256)
POWER_LONG: immutable(int256)


@deploy
def __init__(
    market_data_: address,
    methodology_: address,
    tail_kernel_: address,
    scenario_set_: address,
    tail_count_: uint256,
    horizon_seconds_: uint256,
):
    """
    @notice Ties the scan to what it reads.
    @param market_data_ IMarketData.
    @param methodology_ IMethodology, for the powers of h(tau).
    @param tail_kernel_ ITailKernel.
    @param scenario_set_ IScenarioSet.
    @param tail_count_ How many of the largest losses make the tail: k = ceil((1 - alpha) N) of M-19.
    @param horizon_seconds_ How far ahead a row looks, in seconds.
    """
    market_data = market_data_
    methodology = methodology_
    tail_kernel = tail_kernel_
    scenario_set = scenario_set_
    COUNT = staticcall IScenarioSet(scenario_set_).count()
    assert tail_count_ > 0 and tail_count_ <= min(MAX_TAIL, COUNT), "tail: count"
    tail_count = tail_count_
    assert horizon_seconds_ > 0 and horizon_seconds_ <= MAX_HORIZON, "tail: horizon"
    horizon_seconds = horizon_seconds_
    compiled: IMethodology.Compiled = staticcall IMethodology(methodology_).compiled()
    POWER_SHORT = compiled.parameters.vol_power_short
    POWER_LONG = compiled.parameters.vol_power_long


@external
@view
def scan(
    legs: DynArray[uint256, MAX_LEGS], holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS]
) -> ITailScan.Tail:
    """
    @custom:see ITailScan
    """
    result: ITailScan.Tail = empty(ITailScan.Tail)
    count: uint256 = len(legs)
    leg: uint256 = 0
    u: uint256 = 0
    joint: int256[4][MAX_FOURS] = empty(int256[4][MAX_FOURS])
    pnl: int256[4][MAX_FOURS] = empty(int256[4][MAX_FOURS])
    repricing: uint256[4][MAX_FOURS] = empty(uint256[4][MAX_FOURS])
    for _: uint256 in range(MAX_UNDERLYINGS + 1):
        # The next underlying, of legs or holdings, whichever comes first.
        following: uint256 = max_value(uint256)
        if leg < count:
            following = legs[leg] >> 248
        for h: IMarginEngine.Holding in holdings:
            if h.underlying > u and h.underlying < following and h.amount != 0:
                following = h.underlying
        if following == max_value(uint256):
            break
        u = following
        rows: DynArray[uint256, MAX_FOURS] = staticcall IScenarioSet(scenario_set).rows(u)
        assert len(rows) != 0, "tail: underlying"

        # One pass over the legs of u: its expiries, and where their options start and end.
        expiries: DynArray[uint256, MAX_EXPIRIES] = []
        first_option: DynArray[uint256, MAX_EXPIRIES] = []
        end_option: DynArray[uint256, MAX_EXPIRIES] = []
        futures: DynArray[int256, MAX_EXPIRIES] = []
        perps: int256 = 0
        key: uint256 = 0
        start: uint256 = leg
        leg = count
        for i: uint256 in range(start, count, bound=MAX_LEGS):
            word: uint256 = legs[i]
            if word >> 216 == key:
                continue
            # The first leg of an expiry, and the only one without a strike: a future, or the perpetual.
            if word >> 248 != u:
                leg = i
                break
            key = word >> 216
            size: int256 = 0
            options_from: uint256 = i
            if (word >> 152) & (2**64 - 1) == 0:
                size = position.size(word)
                options_from = unsafe_add(i, 1)
                if key == u << 32:
                    perps = size
                    continue
            if len(end_option) != 0:
                end_option[len(end_option) - 1] = i
            expiries.append(key & (2**32 - 1))
            futures.append(size)
            first_option.append(options_from)
            end_option.append(count)
        if len(end_option) != 0:
            end_option[len(end_option) - 1] = leg

        words: DynArray[uint256, 33] = []
        fresh: bool = False
        words, fresh = staticcall IMarketData(market_data).read(u, expiries)
        assert words[0] >> 184 != 0, "engine: no market data"
        dynamics: IMarketData.Dynamics = staticcall IMarketData(market_data).dynamics(u)
        # Held at 1e-18, rounded down: an input like any other (M-0). A variance is below 2**87, and this below 2**78.
        unit: int256 = convert(isqrt(dynamics.variance * horizon_seconds * WAD // DAY), int256)

        # What moves as spot does (M-6). No overflow from here on: prices are below 2**100 and sizes below 2**63, so that money
        # is below 2**170 for 128 legs.
        linear: int256 = 0
        if perps != 0:
            linear = unsafe_div(unsafe_mul(perps, convert((words[0] >> 112) & (2**72 - 1), int256) * 10**9), 10**6)
        for h: IMarginEngine.Holding in holdings:
            if h.underlying == u:
                linear = unsafe_add(linear, convert(h.amount * h.price // 10**18, int256))
        for e: uint256 in range(len(expiries), bound=MAX_EXPIRIES):
            forward: int256 = convert(words[unsafe_add(unsafe_add(e, e), 1)] >> 184, int256) * 10**9
            assert forward != 0, "engine: no expiry data"
            if futures[e] != 0:
                # What its settlement has fixed of it moves no more (M-4).
                open: int256 = convert(unsafe_sub(FIXED, words[unsafe_add(unsafe_add(e, e), 2)] & FIXED), int256)
                forward = unsafe_div(unsafe_mul(forward, open), moves.ALL_FIXED)
                linear = unsafe_add(linear, unsafe_div(unsafe_mul(futures[e], forward), 10**6))
        pnl = self._linear(rows, unit, linear)

        # How much of a forward the rows of the kernel take to move; less than nothing while there are none.
        moving: int256 = -1
        for e: uint256 in range(len(expiries), bound=MAX_EXPIRIES):
            if first_option[e] == end_option[e]:
                continue
            one: uint256 = words[unsafe_add(unsafe_add(e, e), 1)]
            two: uint256 = words[unsafe_add(unsafe_add(e, e), 2)]
            open: int256 = convert(unsafe_sub(FIXED, two & FIXED), int256)
            if open != moving:
                moving = open
                repricing = moves.words(rows, unit, open)
            pnl = staticcall ITailKernel(tail_kernel).reprice(
                legs,
                first_option[e],
                end_option[e],
                expiry_words.market(
                    convert(one >> 184, int256) * 10**9, one, two, expiries[e], POWER_SHORT, POWER_LONG
                ),
                len(rows),
                repricing,
                pnl,
            )

        value_at_risk: int256 = 0
        alone: int256 = 0
        worst_row: uint256 = 0
        value_at_risk, alone, worst_row = tail.measure(pnl, COUNT, tail_count)
        if len(result.apart) == 0:
            # Those of the whole, unless another underlying follows.
            result.value_at_risk = value_at_risk
            result.expected_shortfall = alone
            result.worst_row = worst_row
            joint = pnl
        else:
            for i: uint256 in range(len(rows), bound=MAX_FOURS):
                sum: int256[4] = joint[i]
                four: int256[4] = pnl[i]
                # Profits are below 2**240.
                joint[i] = [
                    unsafe_add(sum[0], four[0]),
                    unsafe_add(sum[1], four[1]),
                    unsafe_add(sum[2], four[2]),
                    unsafe_add(sum[3], four[3]),
                ]
        result.apart.append(alone)
    if len(result.apart) > 1:
        result.value_at_risk, result.expected_shortfall, result.worst_row = tail.measure(joint, COUNT, tail_count)
    return result


@internal
@pure
def _linear(rows: DynArray[uint256, MAX_FOURS], unit: int256, linear: int256) -> int256[4][MAX_FOURS]:
    """
    @notice The profits of what moves as spot does.
    @param rows Of the scenario set.
    @param unit U, 1e-18.
    @param linear What it is worth, 1e-18, below 2**170.
    @return The profits, each rounded towards zero.
    """
    pnl: int256[4][MAX_FOURS] = empty(int256[4][MAX_FOURS])
    if linear == 0:
        return pnl
    for i: uint256 in range(len(rows), bound=MAX_FOURS):
        four: uint256 = rows[i]
        # A move is at most 4e24, below 2**82.
        pnl[i] = [
            unsafe_div(unsafe_mul(linear, moves.price(four, unit)), moves.ONE),
            unsafe_div(unsafe_mul(linear, moves.price(four >> 64, unit)), moves.ONE),
            unsafe_div(unsafe_mul(linear, moves.price(four >> 128, unit)), moves.ONE),
            unsafe_div(unsafe_mul(linear, moves.price(four >> 192, unit)), moves.ONE),
        ]
    return pnl
