"""Between the float model's objects and the contracts: deployment of the engine, encoding and decoding.

Nothing here computes margin. Numbers of the model are doubles nearest to decimals (M-0), so the decimal is got back by
its shortest form and scaled exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from typing import Any

from python_model import scenario_set, settlement, volatility
from python_model.methodology import Methodology, TailTerms
from python_model.portfolio import (
    SECONDS_PER_YEAR,
    Book,
    Collateral,
    Kind,
    Market,
    Mode,
    Position,
    Underlying,
    mark,
    net,
)
from python_model.scenario_set import ScenarioSet
from python_model.tail import tail_count
from scripts import normal_table

KINDS = {Kind.PERP: 0, Kind.FUTURE: 1, Kind.CALL: 2, Kind.PUT: 3}
MODES = {Mode.ISOLATED: 0, Mode.CROSS: 1, Mode.PORTFOLIO: 2, Mode.VAR: 3, Mode.MAX: 4}
WAD = 18
SECONDS_PER_DAY = 86_400
# Of M-16: the requirement exceeds the exact one by at most 4 epsilon times the notional.
EPSILON = 1e-9
HEARTBEAT_SECONDS = 3600
# Until a market says another.
SCAN_RANGE = 0.16
# Where scan ranges are those of case files: there within a second, 1e-12 of spot.
AT_ONCE = 10**12
NOBODY = "0x" + "00" * 20
# `IMarketData.Terms` apart from volatility: how long a surface lasts; the second source; the widest confidence, the
# greatest move of one update (both 1e-12), and for how many seconds a greater one waits for a second one.
SURFACE_HEARTBEAT_SECONDS = 4 * 3600
GUARD = (NOBODY, 2 * 10**10, 10 * 10**10, 60)
# What `deploy_engine` deploys, and what it does besides for methodologies with a tail.
CONTRACTS = ("MarketData", "Methodology", "PricingKernel", "MarginEngine", "MarginReport")
TAIL_CONTRACTS = ("ScenarioSet", "TailKernel", "TailScan", "TailEngine")
# Largest size and strike of a position word, 1e-6 units.
MAX_FIELD = 9 * 10**18
# Of a margin engine that knows the whole methodology, and of one that judges no account of the modes VAR and MAX.
ALL_PASSES = 0
NO_TAILS: tuple[Any, ...] = ()
# For views: more than `explain` of a cross account of 128 legs takes, which is more than a block of Anvil.
CALL_GAS = 10**9
# As many as a market has expiries at most: 8 underlyings of 16.
EARLY_TIMES = 128
# Code of a contract's creation that returns the time of its block.
TIME_CODE = "0x425f5260205ff3"


def scaled(number: float, decimals: int) -> int:
    """A decimal number times ``10**decimals``, rounded half to even."""
    with localcontext(prec=60):
        return int(Decimal(repr(float(number))).scaleb(decimals).to_integral_value())


def wad(number: float) -> int:
    """A number at 1e-18."""
    return scaled(number, WAD)


def as_float(number: int, decimals: int = WAD) -> float:
    """A fixed-point number as the nearest double."""
    with localcontext(prec=60):
        return float(Decimal(number).scaleb(-decimals))


def pack(underlying: int, expiry: int, strike: int, kind: int, size: int) -> int:
    """The position word, as `contracts/libraries/position.vy` packs it.

    Parameters
    ----------
    underlying, expiry, kind : int
    strike, size : int, 1e-6 units

    Returns
    -------
    int, an unsigned 256-bit word. ``ln K`` is rounded down at 1e-18. ValueError where a number does not fit.
    """
    if not 0 < abs(size) <= MAX_FIELD or not 0 <= strike <= MAX_FIELD:
        raise ValueError(f"size and strike must be at most {MAX_FIELD} (got {size} and {strike})")
    log_strike = 0
    if strike:
        with localcontext(prec=60):
            log_strike = int((Decimal(strike).scaleb(-6).ln().scaleb(WAD)).to_integral_value(rounding="ROUND_FLOOR"))
    return (
        (underlying << 248)
        | (expiry << 216)
        | (strike << 152)
        | (kind << 144)
        | ((size % 2**64) << 80)
        | (log_strike % 2**80)
    )


@dataclass(frozen=True)
class Clock:
    """Shift from the time of a case to the time of the chain; times to expiry stay what they are.

    Expiries that would fall before `EARLY_TIMES` passed long ago: these, in ascending order, become 1, 2, 3 and so on,
    and so stay apart. `funding` is what a long of one perpetual has paid on the chain until the time of the case, by
    id of the underlying, 1e-18 USD: what happened on this chain before is no part of the case.
    """

    shift: int
    early: tuple[int, ...] = ()
    funding: Mapping[int, int] = field(default_factory=dict)

    def chain(self, time: int) -> int:
        """A case's time on the chain, kept within 32 bits."""
        if time in self.early:
            return self.early.index(time) + 1
        return max(time + self.shift, 1)


def ids(names: Iterable[str]) -> dict[str, int]:
    """Ids of underlyings, from 1, in order of name."""
    return {name: i + 1 for i, name in enumerate(sorted(names))}


def position_word(position: Position, names: dict[str, int], clock: Clock) -> int:
    """The word of a net leg."""
    return pack(
        names[position.underlying],
        0 if position.expiry is None else clock.chain(position.expiry),
        0 if position.strike is None else scaled(position.strike, 6),
        KINDS[position.kind],
        scaled(position.size, 6),
    )


def holding(collateral: Collateral, names: dict[str, int]) -> tuple[int, ...]:
    """`IMarginEngine.Holding`."""
    return (
        0 if collateral.underlying is None else names[collateral.underlying],
        wad(collateral.amount),
        wad(collateral.price),
        wad(collateral.haircut_initial),
        wad(collateral.haircut_maintenance),
    )


def cost(positions: Sequence[Position], market: Market, names: dict[str, int], clock: Clock) -> int:
    """Sum of size times entry over futures and perps, these net of the funding of the chain; 1e-18 USD."""
    total = 0
    for p in positions:
        if p.kind.is_option:
            continue
        entry = scaled(mark(p, market) if p.entry is None else p.entry, 12)
        if p.kind is Kind.PERP:
            u = market.underlyings[p.underlying]
            # From the funding of the case to that of the chain, which is a multiple of 1e-12.
            entry += scaled(u.perp_funding, 12) - clock.funding.get(names[p.underlying], 0) // 10**6
        total += scaled(p.size, 6) * entry
    return total


def account(book: Book, market: Market, names: dict[str, int], clock: Clock) -> tuple[Any, ...]:
    """`IMarginEngine.Account` of a book: legs netted, entries summed into the cost."""
    legs = sorted(position_word(p, names, clock) for p in net(book.positions, market))
    return (
        MODES[book.mode],
        wad(book.cash),
        cost(book.positions, market, names, clock),
        [holding(c, names) for c in book.collateral],
        legs,
    )


def update(underlying: int, u: Underlying, timestamp: int, clock: Clock) -> tuple[Any, ...]:
    """`IMarketData.Update` of one underlying."""
    expiries = [
        (
            clock.chain(e.expiry),
            scaled(e.forward, 9),
            scaled(e.rate, 12),
            (
                scaled(e.svi.a, 12),
                scaled(e.svi.b, 12),
                scaled(e.svi.rho, 12),
                scaled(e.svi.m, 12),
                scaled(e.svi.sigma, 12),
                round(e.svi.ref_tau * SECONDS_PER_YEAR),
                scaled(e.svi.forward, 9),
            ),
        )
        for e in u.expiries
    ]
    return (
        underlying,
        timestamp,
        scaled(u.spot, 9),
        scaled(u.perp_mark, 9),
        scaled(u.confidence, 12),
        expiries,
    )


def speeds(terms: volatility.Terms) -> tuple[int, int]:
    """Constructor arguments of `MarketData`: how fast a scan range may rise and fall, 1e-12 a second, rounded down."""
    return math.floor(terms.rise * 1e12), math.floor(terms.fall * 1e12)


def terms(
    volatility_terms: volatility.Terms, guard: tuple[Any, ...] = GUARD, heartbeat_seconds: int = HEARTBEAT_SECONDS
) -> tuple[Any, ...]:
    """`IMarketData.Terms`."""
    t = volatility_terms
    ranges = (scaled(value, 12) for value in (t.floor, t.cap, t.initial))
    heartbeats = (heartbeat_seconds, heartbeat_seconds, SURFACE_HEARTBEAT_SECONDS)
    return *heartbeats, scaled(t.multiple, 12), round(t.halflife), *ranges, *guard


def fixed_terms(
    scan_range: float, heartbeat_seconds: int = HEARTBEAT_SECONDS, multiple: float = volatility.Terms.multiple
) -> tuple[Any, ...]:
    """`IMarketData.Terms` of an underlying whose scan range does not move, and whose publisher is always believed.

    Its volatility starts at `scan_range / multiple` a day.
    """
    fixed = volatility.Terms(multiple=multiple, floor=scan_range, cap=scan_range, initial=scan_range)
    _, _, _, *rest = terms(fixed, (NOBODY, 10**12, 0, 0))
    return heartbeat_seconds, heartbeat_seconds, 0, *rest


def methodology_arguments(methodology: Methodology, names: dict[str, int]) -> tuple[Any, ...]:
    """Constructor arguments of `Methodology`; members of groups that have no id are left out."""
    m = methodology
    parameters = (
        0 if m.scan_range is None else wad(m.scan_range),
        *(
            wad(value)
            for value in (
                m.vol_up,
                m.vol_down,
                m.vol_floor_up,
                m.vol_power_short,
                m.vol_power_long,
                m.tilt,
                m.calendar,
                m.vega_calendar,
                m.som,
                m.flat,
                m.h_delta,
                m.depth_delta,
                m.h_vega,
                m.depth_vega,
                m.initial_factor,
            )
        ),
    )
    groups = [(sum(1 << names[n] for n in g.members if n in names), wad(g.credit)) for g in m.groups]
    scenarios = [tuple(wad(float(v)) for v in row) for row in zip(m.x, m.y, m.z, m.g, strict=True)]
    return parameters, groups, scenarios


def scenario_set_arguments(rows: ScenarioSet, names: dict[str, int]) -> tuple[int, list[int], list[list[int]]]:
    """Constructor arguments of `ScenarioSet`; underlyings that have no id are left out."""
    ordered = sorted((name for name in rows.underlyings if name in names), key=lambda name: names[name])
    return len(rows), [names[name] for name in ordered], [scenario_set.packed(rows, name) for name in ordered]


def tail_scan_arguments(terms: TailTerms, rows: ScenarioSet) -> tuple[int, int]:
    """The last two constructor arguments of `TailScan`: how many losses make the tail, and the horizon in seconds."""
    return tail_count(terms.alpha, len(rows)), round(terms.horizon_days * SECONDS_PER_DAY)


def evidence_passes(compiled: Any, count: int = 3) -> list[int]:
    """What engines of evidence work off, one pass each: the longest, which try most scenarios.

    Parameters
    ----------
    compiled : `IMethodology.Compiled`
    count : int, of engines

    Returns
    -------
    For each engine the bits of its passes.
    """
    lengths = [((word >> 8) & 255) - ((word >> 16) & 255) for word in compiled.passes]
    longest = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))[:count]
    return [1 << i for i in longest]


@dataclass(frozen=True)
class Deployment:
    """Engines and reports by methodology, and what they read, on some chain."""

    market_data: Any
    kernel: Any
    engines: dict[str, Any]
    reports: dict[str, Any]
    names: dict[str, int]
    sender: Any


def deploy_engine(
    contracts: Any,
    sender: Any,
    methodologies: Sequence[Methodology],
    names: dict[str, int],
    rows: ScenarioSet | None = None,
    shared: dict[str, Any] | None = None,
) -> Deployment:
    """Deploy market data, kernel, and a methodology with an engine for each preset: a tail engine where it has a tail.

    Parameters
    ----------
    contracts : namespace of ape contract containers
    sender : ape account; becomes owner and publisher
    methodologies : sequence of Methodology
    names : ids of underlyings
    rows : ScenarioSet, optional
        Of the methodologies with a tail; ValueError where one has none.
    shared : dict, optional
        Contracts that read no market, by what made them: those that are there are not deployed again, others are added.

    Returns
    -------
    Deployment
    """
    known = {} if shared is None else shared

    def create(name: str, *arguments: Any) -> Any:
        return sender.deploy(getattr(contracts, name), *arguments)

    def once(name: str, *arguments: Any) -> Any:
        key = f"{name}{arguments}"
        if key not in known:
            known[key] = create(name, *arguments)
        return known[key]

    market_data = create("MarketData", AT_ONCE, AT_ONCE)
    market_data.set_publisher(sender, True, sender=sender)
    for i in names.values():
        market_data.set_terms(i, fixed_terms(SCAN_RANGE), sender=sender)
    kernel = once("PricingKernel", normal_table.words())
    engines, reports = {}, {}
    for m in methodologies:
        data = once("Methodology", *methodology_arguments(m, names))
        if m.tail is None:
            engine = create("MarginEngine", market_data, data, kernel, ALL_PASSES, NO_TAILS)
        elif rows is None:
            raise ValueError(f"rows: the methodology {m.name} needs a scenario set")
        else:
            scenarios = once("ScenarioSet", *scenario_set_arguments(rows, names))
            tail_kernel = once("TailKernel", normal_table.words())
            count_and_horizon = tail_scan_arguments(m.tail, rows)
            scan = create("TailScan", market_data, data, tail_kernel, scenarios, *count_and_horizon)
            engine = create("TailEngine", market_data, data, kernel, scan)
        engines[m.name] = engine
        reports[m.name] = create("MarginReport", engine, market_data, data, kernel)
    return Deployment(market_data, kernel, engines, reports, names, sender)


def begin_volatility(deployment: Deployment, market: Market, timestamp: int) -> None:
    """Publish what the chain has never seen and has a volatility, a second before ``timestamp``.

    An average starts at the scan range of the first terms, which is made what the market's volatility is. With the next
    update, at ``timestamp``, terms may fix another scan range, and as spot does not move the average only loses a
    second's share; so it starts by as much higher. It is then off by no more than the step of a scan range, 1e-12.
    """
    lost = 2.0 ** (0.5 / volatility.Terms.halflife)
    for name, u in market.underlyings.items():
        i = deployment.names[name]
        if u.daily_vol is None or deployment.market_data.last_timestamp(i) != 0:
            continue
        deployment.market_data.set_terms(i, fixed_terms(u.daily_vol * lost, multiple=1.0), sender=deployment.sender)
        before = update(i, replace(u, expiries=()), timestamp - 1, Clock(0))
        deployment.market_data.publish(before, sender=deployment.sender)


def publish(deployment: Deployment, market: Market, timestamp: int) -> Clock:
    """Publish a market as of ``timestamp`` of the chain, which may not be ahead of the next block.

    Scan ranges are fixed to those of the market, an update before the one that counts. Volatilities are those of the
    market where it has any and the chain has not yet learnt others.

    An expiry that fell on 08:00 UTC, its window open, would be worth what spot was on this chain before: then the
    market is published as of a second earlier.

    Returns
    -------
    Clock that the market's expiries were shifted by, and the funding at the market's time.
    """
    times = {e.expiry for u in market.underlyings.values() for e in u.expiries}
    near = [time for time in times if time < market.as_of + settlement.WINDOW_SECONDS]
    while any(settlement.settles_by_mean(time + timestamp - market.as_of) for time in near):
        timestamp -= 1
    begin_volatility(deployment, market, timestamp)
    shift = timestamp - market.as_of
    early = tuple(sorted(time for time in times if time + shift <= EARLY_TIMES))
    funding = {}
    ranges = {deployment.names[name]: u.scan_range for name, u in market.underlyings.items()}
    moving = [i for i, r in ranges.items() if deployment.market_data.dynamics(i).scan_range != scaled(r, 12)]
    for i in moving:
        deployment.market_data.set_terms(i, fixed_terms(ranges[i]), sender=deployment.sender)
    provider = deployment.market_data.provider
    if moving and provider.network.is_dev:
        # A scan range is there within a second, and blocks of a local chain may share one.
        provider.set_timestamp(provider.get_block("latest").timestamp + 1)
    for name, u in market.underlyings.items():
        i = deployment.names[name]
        deployment.market_data.publish(update(i, u, timestamp, Clock(shift, early)), sender=deployment.sender)
        funding[i] = int(call_at(deployment.market_data.funding, timestamp, i))
    return Clock(shift, early, funding)


def error_notional(book: Book, market: Market) -> float:
    """``sum |q| (F + K) max(D, 1)`` over the net options of a book, USD: what prices err in proportion to (M-16)."""
    total = 0.0
    for p in net(book.positions, market):
        if p.kind.is_option:
            e = market.underlyings[p.underlying].at(p.expiry or 0)
            total += abs(p.size) * (e.forward + (p.strike or 0.0)) * max(market.discount(e), 1.0)
    return total


CHARGES = ("scan", "calendar", "vega_calendar", "short_option", "liquidity", "confidence")
GREEKS = ("delta", "gamma", "vega", "theta", "rho")


def figures(assessment: Any) -> dict[str, float]:
    """Requirements, equity and option value of `IMarginEngine.Assessment`, USD."""
    return {
        key: as_float(getattr(assessment, key))
        for key in ("maintenance", "initial", "equity_maintenance", "equity_initial", "option_value")
    }


def result(assessment: Any, reports: Sequence[Any], names: dict[str, int]) -> dict[str, Any]:
    """The contract's answer of `explain` as the fields of a result file, but for `capital`."""
    of = {i: name for name, i in names.items()}
    return {
        **figures(assessment),
        "worst_scenario": {of[r.underlying]: int(r.worst_scenario) for r in reports},
        "scenario_pnl": {of[r.underlying]: [as_float(v) for v in r.pnl] for r in reports},
        "greeks": {of[r.underlying]: {g: as_float(getattr(r, g)) for g in GREEKS} for r in reports},
        "charges": {of[r.underlying]: {c: as_float(getattr(r, c)) for c in CHARGES} for r in reports},
    }


def capital(portfolio: Any, cross: Any) -> dict[str, float]:
    """Capital that a book needs in each mode (M-17), USD, from what `assess` says of it in portfolio and cross mode."""
    return {
        "isolated": as_float(cross.isolated),
        "cross": as_float(max(0, cross.initial - cross.option_value)),
        "portfolio": as_float(max(0, portfolio.initial - portfolio.option_value)),
    }


def learnt(deployment: Deployment, market: Market) -> Market:
    """The market with the volatilities a day that the chain has (M-21)."""
    rows = {
        name: replace(
            u, daily_vol=math.sqrt(as_float(deployment.market_data.dynamics(deployment.names[name]).variance))
        )
        for name, u in market.underlyings.items()
    }
    return replace(market, underlyings=rows)


def tail_result(answer: Sequence[int], rows: ScenarioSet) -> dict[str, Any]:
    """The answer of `ITailEngine.tail` as the fields of a result file."""
    value_at_risk, expected_shortfall, row = answer
    return {
        "value_at_risk": as_float(value_at_risk),
        "expected_shortfall": as_float(expected_shortfall),
        "worst_row": int(row),
        "worst_day": rows.dates[row],
    }


def _call_at(provider: Any, time: int, transaction: dict[str, str]) -> bytes:
    """``eth_call`` in a block of a given time; RuntimeError with the node's message where it fails."""
    transaction = {**transaction, "gas": hex(CALL_GAS)}
    overrides = {"time": hex(time), "gasLimit": hex(CALL_GAS)}
    answer = provider.web3.provider.make_request("eth_call", [transaction, "latest", {}, overrides])
    if "error" in answer:
        raise RuntimeError(answer["error"].get("message", str(answer["error"])))
    return bytes.fromhex(answer["result"][2:])


def require_time_override(provider: Any) -> None:
    """RuntimeError unless the node lets a call choose its block's time, as `call_at` needs."""
    time = 1_000_000_007
    try:
        answer = int.from_bytes(_call_at(provider, time, {"data": TIME_CODE}))
    except RuntimeError as error:
        raise RuntimeError(f"the node does not take block overrides in eth_call ({error})") from None
    if answer != time:
        raise RuntimeError("the node ignores block overrides in eth_call")


def fits_a_block(function: Any, sender: Any, *arguments: Any) -> bool:
    """Whether a transaction with all the gas of a block can call a function."""
    provider = function.contract.provider
    data = "0x" + bytes(function.encode_input(*arguments)).hex()
    call = {"from": sender.address, "to": function.contract.address, "data": data}
    limit = {"gas": hex(provider.get_block("latest").gas_limit)}
    return "error" not in provider.web3.provider.make_request("eth_call", [call | limit, "latest"])


def call_at(function: Any, time: int, *arguments: Any) -> Any:
    """Call a view as if the block had the timestamp ``time``, so that times to expiry are exact.

    Parameters
    ----------
    function : ape view handler with one overload
    time : int, seconds since 1970
    arguments : of the function

    Returns
    -------
    What the function returns. Raises RuntimeError with the node's message where it reverts.
    """
    provider = function.contract.provider
    abi = function.abis[0]
    data = function.encode_input(*arguments)
    answer = _call_at(provider, time, {"to": function.contract.address, "data": "0x" + bytes(data).hex()})
    values = provider.network.ecosystem.decode_returndata(abi, answer)
    return values[0] if len(values) == 1 else values
