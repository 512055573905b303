"""The contract's answer against the model's, figure by figure, each within its derived tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np

from python_model.exposure import LegTable, option_legs
from python_model.margin import assess, leg_tables
from python_model.methodology import Methodology
from python_model.portfolio import Book, Market, net
from scripts import chain
from tests import tolerances as t


def gross(table: LegTable, market: Market, name: str) -> float:
    """Sum of |q| times the greatest price that a leg meets in a computation, USD."""
    u = market.underlyings[name]
    price = max([u.spot, u.perp_mark, *(e.forward for e in u.expiries)])
    linear = np.abs(table.size * table.delta)[table.option_count :].sum() * u.spot
    options = slice(0, table.option_count)
    return float((np.abs(table.size[options]) * (price + table.strike[options])).sum() + linear)


class Differences:
    """Collects the largest error seen of each figure, as a share of its tolerance."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = {}
        self.portfolios = 0
        self.largest_error = 0.0

    def near(self, name: str, contract: float, model: float, tolerance: float) -> None:
        """Assert closeness and remember the share of the tolerance that was used."""
        error = abs(contract - model)
        share = error / tolerance
        self.largest[name] = max(self.largest.get(name, 0.0), share)
        assert error <= tolerance, (
            f"{name}: contract {contract!r}, model {model!r}, off by {error:.3e} > {tolerance:.3e}"
        )

    def compare(
        self, assessment: Any, reports: Any, names: dict[str, int], book: Book, market: Market, methodology: Methodology
    ) -> None:
        """Assert every figure of one book."""
        self.portfolios += 1
        got = chain.result(assessment, reports, names)
        want = assess(book, market, methodology).to_dict()
        tables = leg_tables(book, market, methodology)
        assert set(got["scenario_pnl"]) == set(tables)
        notional = chain.error_notional(book, market)
        total = sum(gross(table, market, name) for name, table in tables.items())
        noise = t.NOISE * total + t.DUST
        linear_liquidity = 0.0
        for name, table in tables.items():
            u = market.underlyings[name]
            size = np.abs(table.size)
            options = slice(0, table.option_count)
            expiries = [market.underlyings[name].at(int(b)) for b in table.bucket[options]]
            forwards = np.array([e.forward for e in expiries])
            growth = np.array([max(market.discount(e), 1.0) for e in expiries])
            n_u = float((size[options] * (forwards + table.strike[options]) * growth).sum())
            noise_u = t.NOISE * gross(table, market, name) + t.DUST
            pnl, model_pnl = got["scenario_pnl"][name], want["scenario_pnl"][name]
            assert len(pnl) == len(model_pnl) == len(methodology)
            for a, b in zip(pnl, model_pnl, strict=True):
                self.near("scenario_pnl", a, b, t.EPSILON * n_u + noise_u)
            worst = got["worst_scenario"][name]
            self.near("worst_scenario", model_pnl[worst], min(model_pnl), 2 * (t.EPSILON * n_u + noise_u))

            g, m = got["greeks"][name], want["greeks"][name]
            tau = np.array([market.tau(int(b)) for b in table.bucket[options]])
            v = np.maximum(t_v(table, book, market, name), 1e-12)
            floor = size[options] * t.DENSITY_ABSOLUTE
            self.near("delta", g["delta"], m["delta"], (t.DELTA_ERROR * n_u + noise_u) / u.spot)
            rough = float((size * np.abs(table.gamma)).sum())
            ratio = (forwards / u.spot) ** 2
            self.near(
                "gamma",
                g["gamma"],
                m["gamma"],
                t.DENSITY * rough + float((floor / (forwards * v) * ratio).sum()) + 1e-15,
            )
            vega = float((size * np.abs(table.vega)).sum())
            vega_floor = float((floor * forwards * np.sqrt(tau)).sum())
            self.near("vega", g["vega"], m["vega"], t.DENSITY * vega + vega_floor + t.DUST)
            value_error = t.EPSILON * n_u + noise_u
            decay = float((size[options] * np.abs(table.theta[options])).sum())
            with np.errstate(divide="ignore"):
                theta_floor = float((floor * forwards * 10 / np.sqrt(np.maximum(tau, 1e-9))).sum()) / 365
            self.near("theta", g["theta"], m["theta"], t.DENSITY * decay + theta_floor + value_error / 365)
            self.near("rho", g["rho"], m["rho"], value_error * max([2.1, *tau]))

            parts_noise = noise_u * (1 if book.mode.value == "portfolio" else len(table))
            c, d = got["charges"][name], want["charges"][name]
            self.near("scan", c["scan"], d["scan"], t.EPSILON * n_u + parts_noise)
            self.near(
                "calendar", c["calendar"], d["calendar"], methodology.calendar * t.DELTA_ERROR * n_u + parts_noise
            )
            shock = float((size * np.abs(table.vega_shock)).sum())
            self.near(
                "vega_calendar",
                c["vega_calendar"],
                d["vega_calendar"],
                methodology.vega_calendar * (t.DENSITY * shock + 100 * vega_floor) + parts_noise,
            )
            self.near("short_option", c["short_option"], d["short_option"], parts_noise)
            liquidity = liquidity_tolerance(table, methodology, n_u, noise_u, vega_floor) + parts_noise
            self.near("liquidity", c["liquidity"], d["liquidity"], liquidity)
            self.near(
                "confidence", c["confidence"], d["confidence"], u.confidence * 2 * t.DELTA_ERROR * n_u + parts_noise
            )
            linear_liquidity += liquidity

        self.near("option_value", got["option_value"], want["option_value"], t.EPSILON * notional + noise)
        worth = sum(c.amount * c.price for c in book.collateral)
        equity_noise = noise + t.NOISE * (abs(book.cash) + worth + entries(book))
        for key in ("equity_maintenance", "equity_initial"):
            self.near(key, got[key], want[key], t.EPSILON * notional + equity_noise)
            assert got[key] <= want[key] + equity_noise, f"{key} above the exact one (INV-06)"
        for key, factor in (("maintenance", 1.0), ("initial", methodology.initial_factor)):
            excess = got[key] - want[key]
            slack = factor * noise * max(1, len(tables)) * (1 + linear_slope(tables, market, methodology))
            self.largest_error = max(self.largest_error, excess / notional if notional > 1 else 0.0)
            assert excess >= -slack, f"{key}: contract {got[key]!r} below model {want[key]!r} by {-excess:.3e} (INV-06)"
            bound = 4 * t.EPSILON * notional + linear_liquidity * factor + slack
            self.near(key, got[key], want[key], bound)


def liquidity_tolerance(
    table: LegTable, methodology: Methodology, notional: float, noise: float, vega_floor: float
) -> float:
    """Derivative of M-12 at the book's gross figures, times the error of delta (its bound is added) and vega; USD."""
    size = np.abs(table.size)
    delta_usd = float((size * np.abs(table.delta)).sum()) * table.spot
    slope = methodology.h_delta * (1 + 2 * delta_usd / (table.depth * methodology.depth_delta))
    points = float((size * np.abs(table.vega)).sum()) / 100
    vega_slope = methodology.h_vega * (1 + 2 * points / (table.depth * methodology.depth_vega))
    return slope * (2 * t.DELTA_ERROR * notional + noise) + vega_slope * (t.DENSITY * points + vega_floor)


def figures_tolerance(book: Book, market: Market, methodology: Methodology) -> float:
    """How far any requirement or equity of the contract may be from the model's, in any mode; USD (INV-06)."""
    tables = leg_tables(book, market, methodology)
    parts = 1 if book.mode.value == "portfolio" else sum(len(table) for table in tables.values())
    notional = chain.error_notional(book, market)
    noise = t.NOISE * sum(gross(table, market, name) for name, table in tables.items()) + t.DUST
    liquidity = 0.0
    for name, table in tables.items():
        options = slice(0, table.option_count)
        rows = [market.underlyings[name].at(int(b)) for b in table.bucket[options]]
        forwards = np.array([e.forward for e in rows])
        tau = np.array([market.tau(e.expiry) for e in rows])
        floor = float((np.abs(table.size[options]) * t.DENSITY_ABSOLUTE * forwards * np.sqrt(tau)).sum())
        liquidity += liquidity_tolerance(table, methodology, notional, noise, floor)
    worth = sum(c.amount * c.price for c in book.collateral)
    equity = t.EPSILON * notional + noise + t.NOISE * (abs(book.cash) + worth + entries(book))
    slope = 1 + linear_slope(tables, market, methodology)
    requirement = 4 * t.EPSILON * notional + liquidity + noise * max(1, parts) * slope
    return methodology.initial_factor * requirement + equity


def linear_slope(tables: dict[str, LegTable], market: Market, methodology: Methodology) -> float:
    """Largest derivative of the liquidation cost in the gross delta: what float noise of a delta is multiplied by."""
    return max(
        (
            methodology.h_delta
            * (
                1
                + 2
                * float((np.abs(x.size) * np.abs(x.delta)).sum())
                * market.underlyings[n].spot
                / (x.depth * methodology.depth_delta)
            )
            for n, x in tables.items()
        ),
        default=0.0,
    )


def entries(book: Book) -> float:
    """Gross entry cost of futures and perps, USD."""
    return sum(abs(p.size) * (p.entry or 0.0) for p in book.positions)


def t_v(table: LegTable, book: Book, market: Market, name: str) -> Any:
    """``sigma sqrt(tau)`` of each option of a table."""
    legs = [p for p in net(book.positions, market) if p.underlying == name and p.kind.is_option]
    priced = option_legs(legs, market)
    return priced.sigma * np.sqrt(priced.tau)
