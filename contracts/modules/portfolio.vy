# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Portfolio: what the risk of a book is made of, underlying by underlying (M-4 to M-16)
@notice The methodology is compiled into the code of whoever uses this module: a margin check reads no scenario from
        anywhere else.
@custom:security Stateless. Requirements are rounded up and equity down, by the proven price error of the kernel (M-16).
"""

from snekmate.utils import math

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarginReport
from contracts.interfaces import IMarketData
from contracts.interfaces import IMethodology
from contracts.interfaces import IPricingKernel
from contracts.libraries import aggregation
from contracts.libraries import expiry_words
from contracts.libraries import position

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 86400
# Epsilon of M-16, as a divisor: 1e-9. A scenario's profit errs by less than 1.5e-10 (g F' + g K + F + K) |q|, and
# `Methodology` holds g x below 4.
EPSILON_DIVISOR: constant(int256) = 10**9
# What a net delta errs by, for each USD of notional: 1.5e-10 rounded up, as a divisor.
DELTA_DIVISOR: constant(int256) = 5 * 10**9
# Each truncating division loses less than one unit of 1e-18, some of them times a size below 2**44: far fewer than
# these many in all. A billionth of a millionth of a dollar.
ROUNDING: constant(int256) = 10**4
# x R never falls below the negative of this (M-4).
MAX_FALL: constant(int256) = 95 * 10**16

# The share of a forward that is fixed, in its second word, and all of it.
FIXED: constant(uint256) = 2**16 - 1
ALL_FIXED: constant(int256) = 2**16 - 1

PORTFOLIO: constant(uint256) = 2
MAX_LEGS: constant(uint256) = 128
MAX_HOLDINGS: constant(uint256) = 16
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_EXPIRIES: constant(uint256) = 16
MAX_SCENARIOS: constant(uint256) = 64
MAX_GROUPS: constant(uint256) = 8

market_data: public(immutable(address))
methodology: public(immutable(address))
pricing_kernel: public(immutable(address))
PARAMETERS: immutable(IMethodology.Parameters)
GROUPS: immutable(DynArray[IMethodology.Group, MAX_GROUPS])
SCENARIOS: immutable(uint256)
PASSES: immutable(DynArray[uint256, MAX_SCENARIOS])
ORDER: immutable(uint256[2])
RUNGS: immutable(DynArray[uint256, MAX_SCENARIOS])
MOVES: immutable(DynArray[int256, MAX_SCENARIOS])


# What an underlying contributes to its groups (M-8).
struct Scan:
    underlying: uint256
    worst: int256
    pnl: DynArray[int256, MAX_SCENARIOS]


# Sums over the underlyings of a book, or the share of one of them.
struct Book:
    underlyings: uint256
    spread: int256  # scan and calendar charges
    minimum: int256  # short option minimum
    liquidity: int256
    confidence: int256
    option_value: int256
    linear_value: int256  # size * mark of futures and perpetuals, these net of funding
    notional: int256  # |q| (F + K) max(D, 1) of options
    capped_maintenance: int256  # stand-alone requirements, capped by what can be lost (M-14)
    capped_initial: int256
    mixed: bool  # holds something that is no option
    stale: bool
    stale_value: int256  # |delta| and notional, by expiry, of underlyings that are stale


@deploy
def __init__(market_data_: address, methodology_: address, pricing_kernel_: address, chosen: uint256):
    """
    @notice Compiles a methodology in.
    @param market_data_ IMarketData.
    @param methodology_ IMethodology.
    @param pricing_kernel_ IPricingKernel.
    @param chosen Bit i is set where pass i is worked off; 0 for all of them. A part of the passes never asks for more margin,
           since a worst case is sought among fewer scenarios.
    """
    market_data = market_data_
    methodology = methodology_
    pricing_kernel = pricing_kernel_
    compiled: IMethodology.Compiled = staticcall IMethodology(methodology_).compiled()
    PARAMETERS = compiled.parameters
    GROUPS = compiled.groups
    SCENARIOS = compiled.scenarios
    MOVES = compiled.moves
    passes: DynArray[uint256, MAX_SCENARIOS] = []
    order: uint256[2] = empty(uint256[2])
    rungs: DynArray[uint256, MAX_SCENARIOS] = []
    at: uint256 = 0
    for i: uint256 in range(len(compiled.passes), bound=MAX_SCENARIOS):
        count: uint256 = ((compiled.passes[i] >> 8) & 255) - ((compiled.passes[i] >> 16) & 255)
        if chosen == 0 or (chosen >> i) & 1 == 1:
            passes.append(compiled.passes[i])
            for n: uint256 in range(count, bound=MAX_SCENARIOS):
                rung: uint256 = compiled.rungs[at + n]
                order[len(rungs) // 32] |= ((rung >> 8) & 255) << (8 * (len(rungs) % 32))
                rungs.append(rung)
        at += count
    PASSES = passes
    ORDER = order
    RUNGS = rungs


@internal
@pure
def _is_sum(account: IMarginEngine.Account) -> bool:
    """
    @return Whether the requirement is a sum over parts: isolated or cross mode, and more than one leg or in-grid
            holding. A single part is a portfolio of its own.
    """
    if account.mode >= PORTFOLIO:
        return False
    parts: uint256 = len(account.legs)
    for h: IMarginEngine.Holding in account.holdings:
        if h.underlying != 0 and h.amount != 0:
            parts += 1
    return parts > 1


@internal
@view
def _apart(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @notice Every leg and every in-grid holding alone: no offset is recognised (M-17).
    @dev Each part is assessed by a call of its own, so that none pays for the memory of all.
    @param account The account.
    @return Sums of the parts' requirements, with the equity of the whole.
    """
    total: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
    total.fresh = True
    total.equity_maintenance = account.cash - account.cost
    total.equity_initial = total.equity_maintenance
    total.net_value = total.equity_maintenance
    part: IMarginEngine.Account = empty(IMarginEngine.Account)
    part.mode = PORTFOLIO
    for leg: uint256 in account.legs:
        part.legs = [leg]
        total = self._with_part(total, staticcall IMarginEngine(self).assess(part))
    part.legs = []
    for h: IMarginEngine.Holding in account.holdings:
        part.holdings = [h]
        total = self._with_part(total, staticcall IMarginEngine(self).assess(part))
    return total


@internal
@pure
def _with_part(
    total: IMarginEngine.Assessment, part: IMarginEngine.Assessment
) -> IMarginEngine.Assessment:
    """@return The figures of two books side by side, without any offset."""
    return IMarginEngine.Assessment(
        maintenance=total.maintenance + part.maintenance,
        initial=total.initial + part.initial,
        equity_maintenance=total.equity_maintenance + part.equity_maintenance,
        equity_initial=total.equity_initial + part.equity_initial,
        net_value=total.net_value + part.net_value,
        option_value=total.option_value + part.option_value,
        isolated=total.isolated + part.isolated,
        fresh=total.fresh and part.fresh,
        stale_value=total.stale_value + part.stale_value,
    )


@internal
@pure
def _sum(a: Book, b: Book) -> Book:
    """@return The sums of two books. Eight shares, each far below 2**240."""
    return Book(
        underlyings=unsafe_add(a.underlyings, b.underlyings),
        spread=unsafe_add(a.spread, b.spread),
        minimum=unsafe_add(a.minimum, b.minimum),
        liquidity=unsafe_add(a.liquidity, b.liquidity),
        confidence=unsafe_add(a.confidence, b.confidence),
        option_value=unsafe_add(a.option_value, b.option_value),
        linear_value=unsafe_add(a.linear_value, b.linear_value),
        notional=unsafe_add(a.notional, b.notional),
        capped_maintenance=unsafe_add(a.capped_maintenance, b.capped_maintenance),
        capped_initial=unsafe_add(a.capped_initial, b.capped_initial),
        mixed=a.mixed or b.mixed,
        stale=a.stale or b.stale,
        stale_value=unsafe_add(a.stale_value, b.stale_value),
    )


@internal
@view
def _credit(scans: DynArray[Scan, MAX_UNDERLYINGS]) -> int256:
    """
    @notice What correlation groups take off the sum of the worst losses (M-8).
    @param scans The underlyings of the book.
    @return The credit, rounded down; not negative, as a joint loss is at most the sum.
    """
    credit: int256 = 0
    if len(scans) < 2:
        return credit
    for group: IMethodology.Group in GROUPS:
        joint: DynArray[int256, MAX_SCENARIOS] = []
        apart: int256 = 0
        members: uint256 = 0
        for i: uint256 in range(len(scans), bound=MAX_UNDERLYINGS):
            if (group.members >> scans[i].underlying) & 1 == 0:
                continue
            members += 1
            apart += scans[i].worst
            if members == 1:
                joint = scans[i].pnl
            else:
                for s: uint256 in range(len(joint), bound=MAX_SCENARIOS):
                    joint[s] += scans[i].pnl[s]
        if members > 1 and len(joint) != 0:
            loss: int256 = max(-joint[aggregation.worst(joint)], 0)
            credit += group.credit * (apart - loss) // WAD
    return credit


@internal
@view
def _assessment(
    net_cash: int256,
    holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS],
    book: Book,
    credit: int256,
) -> IMarginEngine.Assessment:
    """
    @notice Requirement (M-13, M-14) and equity (M-15) of a book, rounded up and down by the kernel's bound (M-16).
    @param net_cash Cash less the cost of futures and perpetuals.
    @param holdings Collateral.
    @param book Sums over its underlyings.
    @param credit Of the correlation groups.
    @return The figures of the account.
    """
    maintenance: int256 = max(book.spread - credit, book.minimum) + book.liquidity
    initial: int256 = PARAMETERS.initial_factor * maintenance // WAD + book.confidence
    if not book.mixed:
        maintenance = min(maintenance, book.capped_maintenance)
        initial = min(initial, book.capped_initial)
    equity: int256 = net_cash + book.option_value - book.notional // DELTA_DIVISOR + book.linear_value
    if book.underlyings != 0:
        # The initial figure carries its factor of the bound.
        bound: int256 = book.notional // EPSILON_DIVISOR + ROUNDING
        maintenance += bound
        initial += PARAMETERS.initial_factor * bound // WAD
        equity -= ROUNDING
    a: IMarginEngine.Assessment = IMarginEngine.Assessment(
        maintenance=maintenance,
        initial=initial,
        equity_maintenance=equity,
        equity_initial=equity,
        net_value=equity,
        option_value=book.option_value,
        isolated=max(initial - book.option_value, 0),
        fresh=not book.stale,
        stale_value=book.stale_value,
    )
    for h: IMarginEngine.Holding in holdings:
        worth: uint256 = h.amount * h.price // 10**18
        a.net_value += convert(worth, int256)
        a.equity_maintenance += convert(worth * (10**18 - h.haircut_maintenance) // 10**18, int256)
        a.equity_initial += convert(worth * (10**18 - h.haircut_initial) // 10**18, int256)
    return a


@internal
@view
def _next_underlying(
    legs: DynArray[uint256, MAX_LEGS],
    holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS],
    first: uint256,
    previous: uint256,
    tail: int256,
    listed: bool,
) -> (IMarginReport.Report, Book, uint256):
    """
    @notice Everything about one underlying (M-4 to M-14): the next one of the book, of legs or holdings, whichever
            comes first.
    @param legs Position words, ascending.
    @param holdings Collateral; only what is a claim on an underlying matters here.
    @param first Index of the first leg that is not done yet.
    @param previous The underlying done last; 0 at the start.
    @param tail What the scan of its share is at least (M-20); 0 for the grid alone.
    @param listed Whether P&L is wanted in the order of the methodology's list; else it is in that of the ladder.
    @return A report, its underlying 0 where there is no further one; the underlying's share in the book; the index of
            the first leg behind it.
    """
    p: IMethodology.Parameters = PARAMETERS
    r: IMarginReport.Report = empty(IMarginReport.Report)
    share: Book = empty(Book)
    count: uint256 = len(legs)
    leg: uint256 = first
    u: uint256 = max_value(uint256)
    if leg < count:
        u = legs[leg] >> 248
    for h: IMarginEngine.Holding in holdings:
        if h.underlying > previous and h.underlying < u and h.amount != 0:
            u = h.underlying
    if u == max_value(uint256):
        return r, share, leg
    r.underlying = u
    share.underlyings = 1

    # One pass over the legs of u: its expiries, and where their options start and end.
    expiries: DynArray[uint256, MAX_EXPIRIES] = []
    first_option: DynArray[uint256, MAX_EXPIRIES] = []
    end_option: DynArray[uint256, MAX_EXPIRIES] = []
    futures: DynArray[int256, MAX_EXPIRIES] = []
    perps: int256 = 0
    key: uint256 = 0
    leg = count
    for i: uint256 in range(first, count, bound=MAX_LEGS):
        word: uint256 = legs[i]
        if word >> 216 == key:
            continue
        # The first leg of an expiry, and the only one without a strike: a future, or the perpetual.
        if word >> 248 != u:
            leg = i
            break
        key = word >> 216
        linear_size: int256 = 0
        options_from: uint256 = i
        if (word >> 152) & (2**64 - 1) == 0:
            share.mixed = True
            linear_size = position.size(word)
            options_from = unsafe_add(i, 1)
            if key == u << 32:
                perps = linear_size
                continue
        if len(end_option) != 0:
            end_option[len(end_option) - 1] = i
        expiries.append(key & (2**32 - 1))
        futures.append(linear_size)
        first_option.append(options_from)
        end_option.append(count)
    options: bool = False
    if len(end_option) != 0:
        end_option[len(end_option) - 1] = leg
        for e: uint256 in range(len(expiries), bound=MAX_EXPIRIES):
            if first_option[e] != end_option[e]:
                options = True

    words: DynArray[uint256, 33] = []
    fresh: bool = False
    words, fresh = staticcall IMarketData(market_data).read(u, expiries)
    share.stale = not fresh
    # Prices at 1e-9 and fractions at 1e-12, both to 1e-18.
    spot: int256 = convert(words[0] >> 184, int256) * 10**9
    assert spot != 0, "engine: no market data"
    scan_range: int256 = p.scan_range
    if scan_range == 0:
        scan_range = convert((words[0] >> 32) & (2**40 - 1), int256) * 10**6

    ladder: IPricingKernel.Ladder = empty(IPricingKernel.Ladder)
    if options:
        ladder.passes = PASSES
        ladder.order = ORDER
        ladder.logs = MOVES

    # No overflow from here on: prices are below 2**100 and sizes below 2**63, so that money is below 2**170 for 128 legs, and
    # times a fraction or a number of seconds below 2**237. A gamma times both forwards over spot is below 2**241.

    # What moves by the fraction of spot: its mark value is all there is to know. Bucket 0 is delivery (M-9).
    linear: int256 = 0
    if perps != 0:
        perp_mark: int256 = convert((words[0] >> 112) & (2**72 - 1), int256) * 10**9
        # A multiple of 1e6 below 2**97, as prices are: no division leaves anything. It lowers equity, not risk.
        paid: int256 = staticcall IMarketData(market_data).funding(u)
        linear = unsafe_div(unsafe_mul(perps, perp_mark), 10**6)
        share.linear_value = unsafe_div(unsafe_mul(perps, unsafe_sub(perp_mark, paid)), 10**6)
    for h: IMarginEngine.Holding in holdings:
        if h.underlying == u and h.amount != 0:
            linear = unsafe_add(linear, convert(h.amount * h.price // 10**18, int256))
            share.mixed = True
    delta_usd: int256 = linear
    longs: int256 = max(linear, 0)
    shorts: int256 = max(-linear, 0)
    vega_longs: int256 = 0
    vega_shorts: int256 = 0
    vega_gross: int256 = 0
    short_units: int256 = 0
    gross_units: int256 = 0
    most_lost: int256 = 0
    bounded: bool = not share.mixed
    pnl: DynArray[int256, MAX_SCENARIOS] = []

    # How much of a forward the ladder takes for fixed; less than nothing while there is none.
    fixed: int256 = -1
    for e: uint256 in range(len(expiries), bound=MAX_EXPIRIES):
        one: uint256 = words[unsafe_add(unsafe_add(e, e), 1)]
        two: uint256 = words[unsafe_add(unsafe_add(e, e), 2)]
        forward: int256 = convert(one >> 184, int256) * 10**9
        assert forward != 0, "engine: no expiry data"
        bucket: int256 = unsafe_div(unsafe_mul(futures[e], forward), 10**6)
        share.linear_value = unsafe_add(share.linear_value, bucket)
        # What its settlement has fixed of it moves no more.
        moving: int256 = forward
        share_fixed: int256 = convert(two & FIXED, int256)
        if share_fixed != fixed:
            fixed = share_fixed
            # The price moves of the expiry, each logarithm once (M-4): 1 + x R for what is open, 1 for what is fixed.
            reach: int256 = unsafe_div(unsafe_mul(scan_range, unsafe_sub(ALL_FIXED, fixed)), ALL_FIXED)
            lowest: int256 = WAD - unsafe_div(unsafe_mul(MAX_FALL, unsafe_sub(ALL_FIXED, fixed)), ALL_FIXED)
            ladder.factors = MOVES
            for i: uint256 in range(len(ladder.factors), bound=MAX_SCENARIOS):
                # |x| <= 100 and R <= 1, both at 1e-18.
                factor: int256 = unsafe_add(WAD, unsafe_div(unsafe_mul(ladder.factors[i], reach), WAD))
                if factor < lowest:
                    factor = lowest
                ladder.factors[i] = factor
                if options:
                    ladder.logs[i] = math._wad_ln(factor)
        if fixed != 0:
            moving = unsafe_div(unsafe_mul(forward, unsafe_sub(ALL_FIXED, fixed)), ALL_FIXED)
            bucket = unsafe_div(unsafe_mul(futures[e], moving), 10**6)
        linear = unsafe_add(linear, bucket)
        if first_option[e] != end_option[e]:
            market: IPricingKernel.Expiry = expiry_words.market(
                forward, one, two, expiries[e], p.vol_power_short, p.vol_power_long
            )
            strip: IPricingKernel.Strip = staticcall IPricingKernel(pricing_kernel).scan(
                legs, first_option[e], end_option[e], market, ladder
            )
            if len(pnl) == 0:
                pnl = strip.pnl
            else:
                for i: uint256 in range(len(pnl), bound=MAX_SCENARIOS):
                    pnl[i] = unsafe_add(pnl[i], strip.pnl[i])
            bucket = unsafe_add(bucket, unsafe_div(unsafe_mul(strip.delta, moving), WAD))
            # dDelta/dS with F/S held: gamma in F times (F/S)**2.
            r.gamma = unsafe_add(r.gamma, unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(strip.gamma, moving), spot), moving), spot))
            r.vega = unsafe_add(r.vega, strip.vega)
            r.theta = unsafe_add(r.theta, strip.theta)
            r.rho = unsafe_sub(r.rho, unsafe_div(unsafe_mul(strip.value, market.seconds), YEAR))
            share.option_value = unsafe_add(share.option_value, strip.value)
            share.notional = unsafe_add(share.notional, strip.notional)
            short_units = unsafe_add(short_units, strip.short)
            gross_units = unsafe_add(gross_units, strip.gross)
            shock: int256 = unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(strip.vega_vol, p.vol_up), WAD), market.vol_scale), WAD)
            vega_longs = unsafe_add(vega_longs, max(shock, 0))
            vega_shorts = unsafe_add(vega_shorts, max(-shock, 0))
            vega_gross = unsafe_add(vega_gross, abs(strip.vega))
            bounded = bounded and strip.bounded
            most_lost = unsafe_add(
                most_lost, unsafe_sub(strip.value, unsafe_div(unsafe_mul(strip.least_payoff, strip.discount), WAD))
            )
        delta_usd = unsafe_add(delta_usd, bucket)
        longs = unsafe_add(longs, max(bucket, 0))
        shorts = unsafe_add(shorts, max(-bucket, 0))

    # What is linear moves by the whole.
    if fixed != 0:
        ladder.factors = MOVES
        for i: uint256 in range(len(ladder.factors), bound=MAX_SCENARIOS):
            ladder.factors[i] = max(
                unsafe_add(WAD, unsafe_div(unsafe_mul(ladder.factors[i], scan_range), WAD)), WAD - MAX_FALL
            )

    # M-6. |linear| < 2**160 even for 128 legs of the greatest size and price, a factor is below 2**67 and a covered
    # fraction at most 2**60: nothing overflows.
    # The scenario without a move has no rung and no P&L: hence 0 to begin with.
    if listed:
        for _: uint256 in range(SCENARIOS, bound=MAX_SCENARIOS):
            r.pnl.append(0)
    least: int256 = 0
    i: uint256 = 0
    for rung: uint256 in RUNGS:
        profit: int256 = 0
        if options:
            profit = pnl[i]
            i = unsafe_add(i, 1)
        if linear != 0:
            move: int256 = unsafe_sub(ladder.factors[(rung >> 8) & 255], WAD)
            profit = unsafe_add(profit, unsafe_div(unsafe_mul(linear, move), WAD))
        profit = unsafe_div(unsafe_mul(profit, convert(convert(rung >> 16, bytes32), int256)), WAD)
        if profit < least:
            least = profit
        if listed:
            r.pnl[rung & 255] = profit
        else:
            r.pnl.append(profit)
    r.scan = unsafe_sub(0, least)
    if listed:
        r.worst_scenario = aggregation.worst(r.pnl)
    r.calendar = aggregation.offset_charge(longs, shorts, p.calendar)
    r.vega_calendar = aggregation.offset_charge(vega_longs, vega_shorts, p.vega_calendar)
    r.short_option = unsafe_add(
        unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(p.som, spot), WAD), short_units), WAD),
        unsafe_div(unsafe_mul(p.flat, gross_units), WAD),
    )
    # |delta| with the error that the table may have put into it.
    delta_bound: int256 = abs(delta_usd) + share.notional // DELTA_DIVISOR
    # How much of the depths is left (M-23), at 1e-6 and not less than a quarter; as a divisor the shallower is the dearer.
    depth: int256 = convert(words[0] & (2**32 - 1), int256)
    r.liquidity = aggregation.liquidation_cost(
        delta_bound, p.h_delta, unsafe_div(unsafe_mul(p.depth_delta, depth), 10**6)
    ) + aggregation.liquidation_cost(vega_gross // 100, p.h_vega, unsafe_div(unsafe_mul(p.depth_vega, depth), 10**6))
    # Confidence is held at 1e-12.
    r.confidence = convert((words[0] >> 72) & (2**40 - 1), int256) * delta_bound // 10**12
    r.delta = unsafe_div(unsafe_mul(delta_usd, WAD), spot)

    share.spread = max(r.scan, tail) + r.calendar + r.vega_calendar
    share.minimum = r.short_option
    share.liquidity = r.liquidity
    share.confidence = r.confidence
    if share.stale:
        share.stale_value = longs + shorts + share.notional
    share.capped_maintenance = max(share.spread, share.minimum) + share.liquidity
    share.capped_initial = p.initial_factor * share.capped_maintenance // WAD + share.confidence
    if bounded:
        share.capped_maintenance = min(share.capped_maintenance, max(most_lost, 0))
        share.capped_initial = min(share.capped_initial, max(most_lost, 0))
    return r, share, leg
