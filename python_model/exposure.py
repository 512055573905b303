"""From a book to numbers: the legs of one underlying, priced once, and the exposure of any subset of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from python_model import black, portfolio, svi
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Collateral, Kind, Market, Position
from python_model.scenarios import OptionLegs, grid_cells, price_multiples, vol_time_factor

# Bucket of perps and in-grid collateral, which are delivered now (M-9).
DELIVERY = 0


@dataclass(frozen=True, eq=False)
class LegTable:
    """Legs of one underlying; options come first, then futures, perps and in-grid collateral. Arrays (legs,), per unit.

    Attributes
    ----------
    spot, confidence, depth : float
        USD; fraction of spot; share of the depths of M-12 (M-23).
    option_count : int
    size : units held, negative is short; the amount of collateral
    bucket : expiry in seconds since 1970, DELIVERY for perps and collateral
    change : array (scenarios, legs), USD, before g (M-6)
    option_value, vega, theta, rho, gamma, delta : M-24, zero where a leg has none
    vega_shock : `vega sigma Y_up h(tau)`, USD (M-10)
    strike, discount, is_call : of options; 0, 1, False elsewhere
    tail_change : array (rows, legs), USD, in the rows of a tail, None without one (M-18)
    """

    spot: float
    confidence: float
    depth: float
    option_count: int
    size: Floats
    bucket: NDArray[np.int64]
    change: Floats
    option_value: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats
    vega_shock: Floats
    strike: Floats
    discount: Floats
    is_call: NDArray[np.bool_]
    tail_change: Floats | None = None

    def __len__(self) -> int:
        """Number of legs."""
        return int(self.size.size)


@dataclass(frozen=True, eq=False)
class Exposure:
    """What the aggregation needs to know of one underlying.

    Attributes
    ----------
    spot, confidence, depth : float
    scenario_pnl : array (scenarios,), USD, covered fraction included, a gain is positive (M-6)
    delta, gamma, vega, theta, rho : float, net (M-24)
    option_value : float, USD (M-15)
    bucket_delta : array (buckets,), units: net delta per expiry and for delivery (M-9)
    bucket_vega : array (buckets,), USD for 1.00 of vol (M-12)
    bucket_vega_shock : array (buckets,), USD for the up-shock (M-10)
    short_units, gross_units : float, of net option legs (M-11)
    options_only : bool, no future, perp or in-grid collateral
    most_lost : float, USD: the most that an options-only book can lose (M-14); infinite for any other
    tail_pnl : array (rows,), USD, in the rows of a tail, None without one (M-18)
    """

    spot: float
    confidence: float
    depth: float
    scenario_pnl: Floats
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float
    option_value: float
    bucket_delta: Floats
    bucket_vega: Floats
    bucket_vega_shock: Floats
    short_units: float
    gross_units: float
    options_only: bool
    most_lost: float
    tail_pnl: Floats | None = None


def mark(position: Position, market: Market) -> float:
    """Mark of one unit of any leg, USD: the model's value of an option, else the market's price.

    Raises KeyError for an expiry without market data.
    """
    if not position.kind.is_option:
        return portfolio.mark(position, market)
    o = option_legs([position], market)
    return float(black.value(o.forward, o.strike, o.sigma, o.tau, o.discount, o.is_call)[0])


def option_legs(positions: Sequence[Position], market: Market) -> OptionLegs:
    """Pricing inputs of options of one underlying; vols by M-1, `D = exp(-r tau)`.

    Raises KeyError for an expiry without market data.
    """
    rows = []
    for p in positions:
        assert p.expiry is not None and p.strike is not None
        e = market.underlyings[p.underlying].at(p.expiry)
        s = e.svi
        sigma = float(svi.implied_vol(p.strike, s.forward, s.a, s.b, s.rho, s.m, s.sigma, s.ref_tau))
        rows.append((e.forward, p.strike, sigma, market.tau(e.expiry), market.discount(e)))
    forward, strike, sigma, tau, discount = np.array(rows, dtype=np.float64).reshape(len(rows), 5).T.copy()
    is_call = np.array([p.kind is Kind.CALL for p in positions], dtype=np.bool_)
    return OptionLegs(forward, strike, sigma, tau, discount, is_call)


def leg_table(
    name: str,
    positions: Sequence[Position],
    collateral: Sequence[Collateral],
    market: Market,
    methodology: Methodology,
) -> LegTable:
    """Price every leg of one underlying in every scenario.

    Parameters
    ----------
    name : str
        The underlying.
    positions : sequence of Position
        Net legs of that underlying.
    collateral : sequence of Collateral
        Holdings that are claims on it.
    market, methodology

    Returns
    -------
    LegTable; KeyError for a missing underlying or expiry.
    """
    u = market.underlyings[name]
    options = [p for p in positions if p.kind.is_option]
    linear = [p for p in positions if not p.kind.is_option]
    legs = option_legs(options, market)
    rates = np.array([u.at(p.expiry).rate for p in options if p.expiry is not None], dtype=np.float64)
    greeks = black.greeks(legs.forward, legs.strike, legs.sigma, legs.tau, rates, u.spot, legs.is_call)
    values = black.value(legs.forward, legs.strike, legs.sigma, legs.tau, legs.discount, legs.is_call)
    shock = greeks.vega * legs.sigma * methodology.vol_up * vol_time_factor(legs.tau, methodology)
    # What moves by the same fraction as spot: its price is all there is to know.
    prices = [u.perp_mark if p.kind is Kind.PERP else u.at(p.expiry or 0).forward for p in linear]
    price = np.array(prices + [c.price for c in collateral], dtype=np.float64)
    multiples = price_multiples(methodology, u.scan_range)
    # What a settlement has fixed of a forward moves no more; a perpetual and a holding have none.
    fixed = {e.expiry: e.fixed for e in u.expiries}
    moving = 1.0 - np.array([fixed.get(p.expiry or DELIVERY, 0.0) for p in [*options, *linear]], dtype=np.float64)
    moving = np.concatenate([moving, np.ones(len(collateral))])
    option_moving, linear_moving = np.split(moving, [len(options)])
    cells = np.empty((multiples.size, len(options)))
    for share in np.unique(option_moving):
        rows = np.flatnonzero(option_moving == share)
        cells[:, rows] = grid_cells(legs.part(rows), 1.0 + share * (multiples - 1.0), methodology)
    changes = [cells, np.outer(multiples - 1.0, linear_moving * price)]
    sizes = [p.size for p in options] + [p.size for p in linear] + [c.amount for c in collateral]
    buckets = [p.expiry or DELIVERY for p in [*options, *linear]] + [DELIVERY] * len(collateral)
    blank = np.zeros(price.size)
    return LegTable(
        spot=u.spot,
        confidence=u.confidence,
        depth=u.depth,
        option_count=len(options),
        size=np.array(sizes, dtype=np.float64),
        bucket=np.array(buckets, dtype=np.int64),
        change=np.concatenate(changes, axis=1),
        option_value=np.concatenate([values, blank]),
        delta=moving * np.concatenate([greeks.delta, price / u.spot]),
        gamma=moving**2 * np.concatenate([greeks.gamma, blank]),
        vega=np.concatenate([greeks.vega, blank]),
        theta=np.concatenate([greeks.theta, blank]),
        rho=np.concatenate([greeks.rho, blank]),
        vega_shock=np.concatenate([shock, blank]),
        strike=np.concatenate([legs.strike, blank]),
        discount=np.concatenate([legs.discount, np.ones(price.size)]),
        is_call=np.concatenate([legs.is_call, np.zeros(price.size, dtype=np.bool_)]),
    )


def worst_payoffs(size: Floats, strike: Floats, is_call: NDArray[np.bool_]) -> Floats:
    """Payoffs (legs,) of one unit, where options of one expiry together pay least over `S_T >= 0`, USD.

    Linear between strikes, that is at 0 or at a strike, unless the net calls are short: see `least_payoff`.
    """
    terminal = np.concatenate([[0.0], strike])[:, None]
    payoff = np.maximum(np.where(is_call, terminal - strike, strike - terminal), 0.0)
    return np.asarray(payoff[np.argmin(payoff @ size)], dtype=np.float64)


def least_payoff(size: Floats, strike: Floats, is_call: NDArray[np.bool_]) -> float:
    """Exact minimum over `S_T >= 0` of the payoff of options of one expiry (M-14).

    Parameters
    ----------
    size, strike, is_call : arrays (legs,), units, USD

    Returns
    -------
    float, USD; minus infinity where the expiry is net short calls.
    """
    # Sizes are multiples of 1e-6; what is smaller is rounding of their sum.
    if float(np.sum(size[is_call])) < -5e-7:
        return -float("inf")
    return float(worst_payoffs(size, strike, is_call) @ size)


def most_lost(table: LegTable, legs: NDArray[np.intp]) -> float:
    """Most that an options-only subset can lose, `sum_e [V_e - D_e min payoff_e]` (M-14), USD, not negative.

    Infinite where a leg is no option, or an expiry is net short calls.
    """
    if np.any(legs >= table.option_count):
        return float("inf")
    total = float(table.size[legs] @ table.option_value[legs])
    for bucket in np.unique(table.bucket[legs]):
        e = legs[table.bucket[legs] == bucket]
        total -= float(table.discount[e[0]]) * least_payoff(table.size[e], table.strike[e], table.is_call[e])
    # A surface with arbitrage may price a book below its least payoff.
    return max(total, 0.0)


def exposure(table: LegTable, methodology: Methodology, legs: NDArray[np.intp] | None = None) -> Exposure:
    """Exposure of a subset of legs, all of them by default.

    Parameters
    ----------
    table : LegTable
    methodology : Methodology
    legs : array of indices into the table, or None

    Returns
    -------
    Exposure
    """
    legs = np.arange(len(table), dtype=np.intp) if legs is None else legs
    size = table.size[legs]
    _, bucket = np.unique(table.bucket[legs], return_inverse=True)
    options = size[legs < table.option_count]

    def per_bucket(unit: Floats) -> Floats:
        return np.asarray(np.bincount(bucket, weights=size * unit[legs]), dtype=np.float64)

    def net(unit: Floats) -> float:
        return float(size @ unit[legs])

    return Exposure(
        spot=table.spot,
        confidence=table.confidence,
        depth=table.depth,
        scenario_pnl=np.asarray(methodology.g * (table.change[:, legs] @ size), dtype=np.float64),
        delta=net(table.delta),
        gamma=net(table.gamma),
        vega=net(table.vega),
        theta=net(table.theta),
        rho=net(table.rho),
        option_value=net(table.option_value),
        bucket_delta=per_bucket(table.delta),
        bucket_vega=per_bucket(table.vega),
        bucket_vega_shock=per_bucket(table.vega_shock),
        short_units=float(np.sum(np.maximum(-options, 0.0))),
        gross_units=float(np.sum(np.abs(options))),
        options_only=options.size == legs.size,
        most_lost=most_lost(table, legs),
        tail_pnl=None if table.tail_change is None else np.asarray(table.tail_change[:, legs] @ size, dtype=np.float64),
    )
