"""The figures of contract and model side by side, and how far they may be apart.

Bounds are derived, not tuned: a requirement of the contract may not be below the model's, nor equity above it (INV-06).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from python_model import margin as float_model
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market
from scripts import chain

# Doubles err by 1.1e-16 an operation and a figure takes fewer than a thousand on numbers of the size of the gross book,
# whose rounding the logarithm's division by sigma sqrt(tau) cannot enlarge by more than ten.
NOISE = 1e-12
# Fixed point: 1e-18 a truncating division.
DUST = 1e-12
# A net delta errs by this share of 4 epsilon sum |q| (F + K): 1.5e-10 of the CDF, and the 2e-10 that the engine adds.
DELTA_SHARE = 0.1
# A vega errs by this share of itself: the density at a d1 that is off by 1e-11.
VEGA_SHARE = 1e-9
REQUIREMENTS = {"maintenance": "maintenance margin", "initial": "initial margin"}
EQUITIES = {"equity_maintenance": "maintenance equity", "equity_initial": "initial equity"}
TAILS = {"value_at_risk": "value at risk", "expected_shortfall": "expected shortfall"}
CHARGES = {
    "scan": "worst loss",
    "calendar": "calendar charge",
    "vega_calendar": "vega calendar charge",
    "short_option": "option minimum",
    "liquidity": "liquidation cost",
    "confidence": "price confidence",
}
GREEK_UNITS = {"delta": "{u}", "gamma": "{u} per USD", "vega": "USD per 1.00 vol", "theta": "USD a day",
               "rho": "USD per 1.00 rate"}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One figure of both sides. `above`, `below`: how far the contract may lie off the model (None: not compared).

    `section`: an underlying, or a package after which it is; None for the account as it stands.
    """

    name: str
    unit: str
    contract: float
    model: float
    above: float | None = None
    below: float | None = None
    section: str | None = None

    @property
    def title(self) -> str:
        """The name, with that of the section."""
        return self.name if self.section is None else f"{self.section}: {self.name}"

    @property
    def difference(self) -> float:
        """Contract less model."""
        return self.contract - self.model

    @property
    def disagrees(self) -> bool:
        """Whether the contract is further off than it may be; the model's figure is rounded itself."""
        if self.above is None or self.below is None:
            return False
        rounding = NOISE * abs(self.model)
        return not -self.below - rounding <= self.difference <= self.above + rounding


@dataclass(frozen=True)
class Bounds:
    """What contract and model may differ by, USD.

    Attributes
    ----------
    price : float
        ``4 epsilon sum |q| (F + K)`` over net options (M-16): the `error_bound` of a result. It bounds every figure but
        those below.
    liquidity : float
        Of the liquidation cost and so of the maintenance margin. M-12 grows with the square of a delta, whose error it
        multiplies: by more than one for books of tens of billions.
    initial_factor : float
        The initial margin errs by this factor more than the maintenance margin: the engine adds `f` times the bound.
    tail : float
        Of VaR and ES: `epsilon sum |q| (F + K)`, for neither moves by more than the losses do (M-19), and noise.
    noise : float
        What the model's own doubles err by, `NOISE` of the gross book; of requirements that and the factor of M-12.
    """

    price: float
    liquidity: float
    initial_factor: float
    tail: float
    noise: float
    requirement_noise: float

    @staticmethod
    def of(book: Book, market: Market, preset: Methodology) -> Bounds:
        """The bounds of one book."""
        price = 4 * chain.EPSILON * chain.error_notional(book, market)
        gross = abs(book.cash) + sum(c.amount * c.price for c in book.collateral)
        gross += sum(abs(p.size) * (market.underlyings[p.underlying].spot + (p.entry or 0.0)) for p in book.positions)
        gross += price / (4 * chain.EPSILON)
        liquidity, steepest = price, 0.0
        for table in float_model.leg_tables(book, market, preset).values():
            size = np.abs(table.size)
            delta_usd = float(size @ np.abs(table.delta)) * table.spot
            points = 0.01 * float(size @ np.abs(table.vega))
            slope = preset.h_delta * (1 + 2 * (delta_usd + DELTA_SHARE * price) / (table.depth * preset.depth_delta))
            vega_slope = preset.h_vega * (1 + 2 * points / (table.depth * preset.depth_vega))
            gross += delta_usd
            liquidity += slope * DELTA_SHARE * price + vega_slope * VEGA_SHARE * points
            steepest = max(steepest, slope, vega_slope)
        noise = NOISE * gross + DUST
        return Bounds(price, liquidity, preset.initial_factor, price / 4 + noise, noise, noise * (1 + steepest))


def requirements(
    contract: dict[str, Any], model: dict[str, Any], bounds: Bounds, section: str | None = None
) -> list[Figure]:
    """Requirements and equity of both sides.

    A requirement of the contract may not be below the model's, and equity not above it, by more than the model's own
    noise (INV-06).
    """
    b, f, low = bounds, bounds.initial_factor, bounds.requirement_noise
    wide = {"maintenance": b.liquidity + low, "initial": f * (b.liquidity + low)}
    rows = [Figure(title, "USD", contract[k], model[k], wide[k], f * low, section) for k, title in REQUIREMENTS.items()]
    plain = b.price + b.noise
    return rows + [
        Figure(title, "USD", contract[k], model[k], b.noise, plain, section) for k, title in EQUITIES.items()
    ]


def money(contract: dict[str, Any], model: dict[str, Any], bounds: Bounds) -> list[Figure]:
    """Every money figure that both sides give: requirements, equity, option value, capital, charges, scenario P&L."""
    b, f, low = bounds, bounds.initial_factor, bounds.requirement_noise
    plain, wide = b.price + b.noise, f * (b.liquidity + low)
    rows = requirements(contract, model, bounds)
    rows.append(Figure("option value", "USD", contract["option_value"], model["option_value"], plain, plain))
    for mode in ("isolated", "cross", "portfolio"):
        figures = contract["capital"][mode], model["capital"][mode]
        rows.append(Figure(f"capital, {mode}", "USD", *figures, wide + plain, f * low + plain))
    for u, charges in model["charges"].items():
        for key, title in CHARGES.items():
            bound = b.liquidity + low if key == "liquidity" else plain
            rows.append(Figure(title, "USD", contract["charges"][u][key], charges[key], bound, bound, u))
    for u, pnl in model["scenario_pnl"].items():
        for i, (x, y) in enumerate(zip(contract["scenario_pnl"][u], pnl, strict=True)):
            rows.append(Figure(f"P&L of scenario {i}", "USD", x, y, plain, plain, u))
    return rows


def tails(contract: dict[str, Any], model: dict[str, Any], losses: Floats, bounds: Bounds) -> list[Figure]:
    """VaR and ES of both sides, and what the model loses in the worst row of each; `losses` (rows,) are the model's."""
    b = bounds.tail
    rows = [Figure(title, "USD", contract["tail"][k], model["tail"][k], b, b) for k, title in TAILS.items()]
    there, here = (float(losses[side["tail"]["worst_row"]]) for side in (contract, model))
    # The contract's row may be another one where both lose the same to within twice the bound.
    return [*rows, Figure("loss of the worst day", "USD", there, here, bounds.noise, 2 * b)]


def greeks(contract: dict[str, Any], model: dict[str, Any]) -> list[Figure]:
    """Greeks of both sides, side by side; `tests/differential` compares them."""
    return [
        Figure(key, unit.format(u=u), contract["greeks"][u][key], row[key], section=u)
        for u, row in model["greeks"].items()
        for key, unit in GREEK_UNITS.items()
    ]
