# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Margin engine: the requirement of a whole book by its worst loss over stressed prices and vols
@notice Stateless: reads validated market data, a methodology and a book, and returns figures. To replace any of the
        three, deploy another engine.
@custom:security Requirements are rounded up and equity down, by the proven price error of the kernel (M-16): the
        requirement is never below the exact one.
"""

from snekmate.utils import math

from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.interfaces import IMethodology
from contracts.interfaces import IPricingKernel
from contracts.libraries import aggregation
from contracts.libraries import position

implements: IMarginEngine

WAD: constant(int256) = 10**18
YEAR: constant(int256) = 365 * 86400
DAY: constant(int256) = 86400
MONTH: constant(int256) = 30 * 86400
# 1 + x R never falls below this (M-4).
MIN_FACTOR: constant(int256) = 5 * 10**16
# Epsilon of M-16, as a divisor: 1e-9. A scenario's profit errs by less than 1.5e-10 (g F' + g K + F + K) |q|, and
# `Methodology` holds g x below 4.
EPSILON_DIVISOR: constant(int256) = 10**9
# What a net delta errs by, for each USD of notional: 1.5e-10 rounded up, as a divisor.
DELTA_DIVISOR: constant(int256) = 5 * 10**9
# Each truncating division loses less than one unit of 1e-18, some of them times a size below 2**44: far fewer than
# these many in all. A billionth of a millionth of a dollar.
ROUNDING: constant(int256) = 10**4

ISOLATED: constant(uint256) = 0
PORTFOLIO: constant(uint256) = 2
MAX_LEGS: constant(uint256) = 128
MAX_HOLDINGS: constant(uint256) = 16
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_EXPIRIES: constant(uint256) = 16
MAX_SCENARIOS: constant(uint256) = 64

MARKET_DATA: public(immutable(address))
METHODOLOGY: public(immutable(address))
PRICING_KERNEL: public(immutable(address))


struct Margin:
    maintenance: int256
    initial: int256
    option_value: int256
    linear_value: int256  # sum of size * mark over futures and perpetuals
    notional: int256  # sum of |q| (F + K) over options
    fresh: bool


@deploy
def __init__(market_data: address, methodology: address, pricing_kernel: address):
    """
    @notice Ties the engine to what it reads.
    @param market_data An `IMarketData`.
    @param methodology An `IMethodology`.
    @param pricing_kernel An `IPricingKernel`.
    """
    MARKET_DATA = market_data
    METHODOLOGY = methodology
    PRICING_KERNEL = pricing_kernel


@external
@view
def assess(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
    """
    @notice The solvency figures of an account.
    @param account The account.
    @return Requirements and equities. Reverts only for an account that is not admissible.
    """
    if account.mode != PORTFOLIO and self._parts(account.legs, account.holdings) > 1:
        return self._cross(account)
    margin: Margin = empty(Margin)
    reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
    margin, reports = self._portfolio(account.legs, account.holdings)
    return self._assessment(account.cash - account.cost, account.holdings, margin)


@external
@view
def explain(
    account: IMarginEngine.Account,
) -> (IMarginEngine.Assessment, DynArray[IMarginEngine.Report, MAX_UNDERLYINGS]):
    """
    @notice The solvency figures and what they are made of.
    @param account The account.
    @return The figures of `assess`, and a report for each underlying in ascending order. P&L and Greeks are of the
            whole book in every mode; charges are those that the requirement is made of.
    """
    margin: Margin = empty(Margin)
    reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
    margin, reports = self._portfolio(account.legs, account.holdings)
    if account.mode != PORTFOLIO and self._parts(account.legs, account.holdings) > 1:
        return self._cross(account), self._charges_of_parts(account, reports)
    return self._assessment(account.cash - account.cost, account.holdings, margin), reports


@internal
@pure
def _parts(
    legs: DynArray[uint256, MAX_LEGS], holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS]
) -> uint256:
    """@return How many legs and in-grid holdings there are: what cross margin takes one by one."""
    parts: uint256 = len(legs)
    for h: IMarginEngine.Holding in holdings:
        if h.underlying != 0 and h.amount != 0:
            parts += 1
    return parts


@internal
@view
def _cross(account: IMarginEngine.Account) -> IMarginEngine.Assessment:
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
        option_value=total.option_value + part.option_value,
        isolated=total.isolated + part.isolated,
        fresh=total.fresh and part.fresh,
    )


@internal
@view
def _charges_of_parts(
    account: IMarginEngine.Account, whole: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS]
) -> DynArray[IMarginEngine.Report, MAX_UNDERLYINGS]:
    """
    @notice The reports of a book with the charges that its parts are due, each alone.
    @param account The account.
    @param whole Reports of the book as a whole.
    @return The same with other charges.
    """
    reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = whole
    for i: uint256 in range(len(reports), bound=MAX_UNDERLYINGS):
        reports[i].scan = 0
        reports[i].calendar = 0
        reports[i].vega_calendar = 0
        reports[i].short_option = 0
        reports[i].liquidity = 0
        reports[i].confidence = 0
    part: IMarginEngine.Account = empty(IMarginEngine.Account)
    part.mode = PORTFOLIO
    legs: uint256 = len(account.legs)
    for i: uint256 in range(legs + len(account.holdings), bound=MAX_LEGS + MAX_HOLDINGS):
        if i < legs:
            part.legs = [account.legs[i]]
        else:
            part.legs = []
            part.holdings = [account.holdings[i - legs]]
        figures: IMarginEngine.Assessment = empty(IMarginEngine.Assessment)
        alone: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
        figures, alone = staticcall IMarginEngine(self).explain(part)
        for r: IMarginEngine.Report in alone:
            for j: uint256 in range(len(reports), bound=MAX_UNDERLYINGS):
                if r.underlying == reports[j].underlying:
                    reports[j].scan += r.scan
                    reports[j].calendar += r.calendar
                    reports[j].vega_calendar += r.vega_calendar
                    reports[j].short_option += r.short_option
                    reports[j].liquidity += r.liquidity
                    reports[j].confidence += r.confidence
    return reports


@internal
@pure
def _assessment(
    net_cash: int256, holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS], margin: Margin
) -> IMarginEngine.Assessment:
    """
    @notice Adds equity (M-15) to a requirement, rounded down.
    @param net_cash Cash less the cost of futures and perpetuals.
    @param holdings Collateral.
    @param margin The requirement.
    @return The figures of the account.
    """
    base: int256 = net_cash + margin.option_value - margin.notional // DELTA_DIVISOR + margin.linear_value
    if margin.notional != 0 or margin.linear_value != 0:
        base -= ROUNDING
    a: IMarginEngine.Assessment = IMarginEngine.Assessment(
        maintenance=margin.maintenance,
        initial=margin.initial,
        equity_maintenance=base,
        equity_initial=base,
        option_value=margin.option_value,
        isolated=max(margin.initial - margin.option_value, 0),
        fresh=margin.fresh,
    )
    for h: IMarginEngine.Holding in holdings:
        worth: uint256 = h.amount * h.price // 10**18
        a.equity_maintenance += convert(worth * (10**18 - h.haircut_maintenance) // 10**18, int256)
        a.equity_initial += convert(worth * (10**18 - h.haircut_initial) // 10**18, int256)
    return a


@internal
@view
def _portfolio(
    legs: DynArray[uint256, MAX_LEGS],
    holdings: DynArray[IMarginEngine.Holding, MAX_HOLDINGS],
) -> (Margin, DynArray[IMarginEngine.Report, MAX_UNDERLYINGS]):
    """
    @notice Requirement of a book as a whole (M-4 to M-14).
    @param legs Position words, ascending.
    @param holdings Collateral; only what is a claim on an underlying matters here.
    @return Requirements, rounded up, and a report for each underlying in ascending order.
    """
    methodology: IMethodology.Compiled = staticcall IMethodology(METHODOLOGY).compiled()
    p: IMethodology.Parameters = methodology.parameters
    margin: Margin = empty(Margin)
    margin.fresh = True
    reports: DynArray[IMarginEngine.Report, MAX_UNDERLYINGS] = []
    options_only: bool = True
    capped_maintenance: int256 = 0
    capped_initial: int256 = 0
    count: uint256 = len(legs)
    rungs: uint256 = len(methodology.rungs)
    leg: uint256 = 0
    for unused: uint256 in range(MAX_UNDERLYINGS + 1):
        # The next underlying, of legs or holdings, whichever comes first.
        u: uint256 = max_value(uint256)
        if leg < count:
            u = legs[leg] >> 248
        previous: uint256 = 0
        if len(reports) != 0:
            previous = reports[len(reports) - 1].underlying
        for h: IMarginEngine.Holding in holdings:
            if h.underlying > previous and h.underlying < u and h.amount != 0:
                u = h.underlying
        if u == max_value(uint256):
            break

        # One pass over the legs of u: its expiries, and where their options start and end.
        expiries: DynArray[uint256, MAX_EXPIRIES] = []
        first_option: DynArray[uint256, MAX_EXPIRIES] = []
        end_option: DynArray[uint256, MAX_EXPIRIES] = []
        futures: DynArray[int256, MAX_EXPIRIES] = []
        perps: int256 = 0
        options: bool = False
        plain: bool = True
        key: uint256 = u << 32
        for i: uint256 in range(leg, count, bound=MAX_LEGS):
            word: uint256 = legs[i]
            if word >> 248 != u:
                break
            leg = unsafe_add(i, 1)
            if word >> 216 != key:
                key = word >> 216
                if len(end_option) != 0:
                    end_option[len(end_option) - 1] = i
                expiries.append(key & (2**32 - 1))
                first_option.append(i)
                end_option.append(i)
                futures.append(0)
            if (word >> 152) & (2**64 - 1) != 0:
                options = True
                continue
            plain = False
            if word >> 144 == u << 104:
                perps = position.size(word)
            else:
                futures[len(futures) - 1] = position.size(word)
                first_option[len(first_option) - 1] = leg
        if len(end_option) != 0:
            end_option[len(end_option) - 1] = leg

        words: DynArray[uint256, 33] = []
        fresh: bool = False
        words, fresh = staticcall IMarketData(MARKET_DATA).read(u, expiries)
        margin.fresh = margin.fresh and fresh
        # Prices at 1e-9 and fractions at 1e-12, both to 1e-18.
        spot: int256 = convert(words[0] >> 184, int256) * 10**9
        assert spot != 0, "engine: no market data"
        perp_mark: int256 = convert((words[0] >> 112) & (2**72 - 1), int256) * 10**9
        confidence: int256 = convert((words[0] >> 72) & (2**40 - 1), int256) * 10**6
        scan_range: int256 = p.scan_range
        if scan_range == 0:
            scan_range = convert((words[0] >> 32) & (2**40 - 1), int256) * 10**6

        # The price moves of u, each logarithm once (M-4).
        ladder: IPricingKernel.Ladder = empty(IPricingKernel.Ladder)
        for x: int256 in methodology.moves:
            factor: int256 = max(WAD + x * scan_range // WAD, MIN_FACTOR)
            ladder.factors.append(factor)
            if options:
                ladder.logs.append(math._wad_ln(factor))
        if options:
            ladder.levels = methodology.levels
            ladder.rungs = methodology.rungs
        # Options' profit, in the order of the rungs.
        pnl: DynArray[int256, MAX_SCENARIOS] = []

        # What moves by the fraction of spot: its mark value is all there is to know. Bucket 0 is delivery (M-9).
        r: IMarginEngine.Report = empty(IMarginEngine.Report)
        r.underlying = u
        linear: int256 = perps * perp_mark // 10**6
        margin.linear_value += linear
        for h: IMarginEngine.Holding in holdings:
            if h.underlying == u and h.amount != 0:
                linear += convert(h.amount * h.price // 10**18, int256)
                plain = False
        if not plain:
            options_only = False
        delta_usd: int256 = linear
        longs: int256 = max(linear, 0)
        shorts: int256 = max(-linear, 0)
        vega_longs: int256 = 0
        vega_shorts: int256 = 0
        vega_gross: int256 = 0
        short_units: int256 = 0
        gross_units: int256 = 0
        option_value: int256 = 0
        notional: int256 = 0
        most_lost: int256 = 0
        bounded: bool = plain

        for e: uint256 in range(len(expiries), bound=MAX_EXPIRIES):
            one: uint256 = words[2 * e + 1]
            forward: int256 = convert(one >> 184, int256) * 10**9
            assert forward != 0, "engine: no expiry data"
            worth: int256 = futures[e] * forward // 10**6
            margin.linear_value += worth
            linear += worth
            bucket: int256 = worth
            if first_option[e] != end_option[e]:
                market: IPricingKernel.Expiry = self._expiry(forward, one, words[2 * e + 2], expiries[e], p)
                strip: IPricingKernel.Strip = staticcall IPricingKernel(PRICING_KERNEL).scan(
                    legs, first_option[e], end_option[e], market, ladder
                )
                if len(pnl) == 0:
                    pnl = strip.pnl
                else:
                    for i: uint256 in range(rungs, bound=MAX_SCENARIOS):
                        pnl[i] += strip.pnl[i]
                bucket += strip.delta * forward // WAD
                # dDelta/dS with F/S held: gamma in F times (F/S)**2.
                r.gamma += strip.gamma * forward // spot * forward // spot
                r.vega += strip.vega
                r.theta += strip.theta
                r.rho -= strip.value * market.seconds // YEAR
                option_value += strip.value
                notional += strip.notional
                short_units += strip.short
                gross_units += strip.gross
                shock: int256 = strip.vega_vol * p.vol_up // WAD * market.vol_scale // WAD
                vega_longs += max(shock, 0)
                vega_shorts += max(-shock, 0)
                vega_gross += abs(strip.vega)
                if bounded:
                    least: int256 = 0
                    least, bounded = aggregation.least_payoff(legs, first_option[e], end_option[e])
                    most_lost += strip.value - least * strip.discount // WAD
            delta_usd += bucket
            longs += max(bucket, 0)
            shorts += max(-bucket, 0)

        # M-6, back in the order of the list. |linear| < 2**160 even for 128 legs of the greatest size and price, a
        # factor is below 2**67 and a covered fraction at most 2**60: nothing overflows.
        r.pnl = methodology.moves
        for _: uint256 in range(rungs - len(r.pnl), bound=MAX_SCENARIOS):
            r.pnl.append(0)
        for i: uint256 in range(rungs, bound=MAX_SCENARIOS):
            rung: uint256 = methodology.rungs[i]
            profit: int256 = unsafe_div(
                unsafe_mul(linear, unsafe_sub(ladder.factors[(rung >> 8) & 255], WAD)), WAD
            )
            if options:
                profit = unsafe_add(profit, pnl[i])
            r.pnl[rung & 255] = unsafe_div(unsafe_mul(profit, convert(rung >> 16, int256)), WAD)
        r.scan, r.worst_scenario = aggregation.worst(r.pnl)
        r.calendar = aggregation.offset_charge(longs, shorts, p.calendar)
        r.vega_calendar = aggregation.offset_charge(vega_longs, vega_shorts, p.vega_calendar)
        r.short_option = p.som * spot // WAD * short_units // WAD + p.flat * gross_units // WAD
        # |delta| with the error that the table may have put into it.
        delta_bound: int256 = abs(delta_usd) + notional // DELTA_DIVISOR
        r.liquidity = aggregation.liquidation_cost(
            delta_bound, p.h_delta, p.depth_delta
        ) + aggregation.liquidation_cost(vega_gross // 100, p.h_vega, p.depth_vega)
        r.confidence = confidence * delta_bound // WAD
        r.delta = delta_usd * WAD // spot
        reports.append(r)

        margin.option_value += option_value
        margin.notional += notional
        # M-14, stand-alone.
        alone: int256 = max(r.scan + r.calendar + r.vega_calendar, r.short_option) + r.liquidity
        alone_initial: int256 = p.initial_factor * alone // WAD + r.confidence
        if bounded:
            alone = min(alone, max(most_lost, 0))
            alone_initial = min(alone_initial, max(most_lost, 0))
        capped_maintenance += alone
        capped_initial += alone_initial

    # M-8 and M-13.
    spread: int256 = 0
    minimum: int256 = 0
    liquidity: int256 = 0
    doubt: int256 = 0
    for r: IMarginEngine.Report in reports:
        spread += r.scan + r.calendar + r.vega_calendar
        minimum += r.short_option
        liquidity += r.liquidity
        doubt += r.confidence
    for group: IMethodology.Group in methodology.groups:
        joint: DynArray[int256, MAX_SCENARIOS] = []
        apart: int256 = 0
        members: uint256 = 0
        for i: uint256 in range(len(reports), bound=MAX_UNDERLYINGS):
            if (group.members >> reports[i].underlying) & 1 == 0:
                continue
            members += 1
            apart += reports[i].scan
            if members == 1:
                joint = reports[i].pnl
            else:
                for s: uint256 in range(rungs, bound=MAX_SCENARIOS):
                    joint[s] += reports[i].pnl[s]
        if members > 1:
            loss: int256 = 0
            at: uint256 = 0
            loss, at = aggregation.worst(joint)
            # The joint loss is at most the sum: the credit never adds.
            spread -= group.credit * max(apart - loss, 0) // WAD
    margin.maintenance = max(spread, minimum) + liquidity
    margin.initial = p.initial_factor * margin.maintenance // WAD + doubt
    if options_only:
        margin.maintenance = min(margin.maintenance, capped_maintenance)
        margin.initial = min(margin.initial, capped_initial)
    if len(reports) != 0:
        # M-16: up by the kernel's bound, the initial figure by its factor of it.
        bound: int256 = margin.notional // EPSILON_DIVISOR + ROUNDING
        margin.maintenance += bound
        margin.initial += p.initial_factor * bound // WAD
    return margin, reports


@internal
@view
def _expiry(
    forward: int256, one: uint256, two: uint256, expiry: uint256, p: IMethodology.Parameters
) -> IPricingKernel.Expiry:
    """@return The market of an expiry for the kernel, from its two words (see `IMarketData`)."""
    tau: int256 = 0
    if expiry > block.timestamp:
        tau = convert(expiry - block.timestamp, int256)
    log_forward: int256 = math._wad_ln(forward)
    surface_forward: int256 = convert((one >> 112) & (2**72 - 1), int256) * 10**9
    surface_log: int256 = log_forward
    if surface_forward != forward:
        surface_log = math._wad_ln(surface_forward)
    # h = (30d / max(tau, 1d))**p (M-5).
    power: int256 = p.vol_power_short
    if tau > MONTH:
        power = p.vol_power_long
    return IPricingKernel.Expiry(
        forward=forward,
        log_forward=log_forward,
        rate=self._field(one >> 64),
        seconds=tau,
        vol_scale=math._wad_exp(math._wad_ln(MONTH * WAD // max(tau, DAY)) * power // WAD),
        surface=IPricingKernel.Surface(
            a=self._field(two >> 208),
            b=self._field(two >> 160),
            rho=self._field(two >> 112),
            m=self._field(two >> 64),
            sigma=self._field(two >> 16),
            ref_seconds=convert((one >> 32) & (2**32 - 1), int256),
            log_forward=surface_log,
        ),
    )


@internal
@pure
def _field(word: uint256) -> int256:
    """@return The lowest 48 bits, signed, from 1e-12 to 1e-18."""
    return (convert(convert(word << 208, bytes32), int256) >> 208) * 10**6


@internal
@pure
def _signed(word: uint256) -> int256:
    """@return The lowest 72 bits, signed."""
    return convert(convert(word << 184, bytes32), int256) >> 184
