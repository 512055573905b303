"""From exposures to margin: worst loss, groups, charges, tail, requirements, defined-risk cap (M-7 to M-14, M-20)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from python_model.exposure import Exposure
from python_model.methodology import Group, Methodology
from python_model.normal import Floats
from python_model.tail import Tail, tail_loss


@dataclass(frozen=True)
class Charges:
    """Charges of one underlying, USD, none negative: the worst loss (M-7, M-20) and M-9 to M-13's."""

    scan: float = 0.0
    calendar: float = 0.0
    vega_calendar: float = 0.0
    short_option: float = 0.0
    liquidity: float = 0.0
    confidence: float = 0.0

    def __add__(self, other: Charges) -> Charges:
        """Charge by charge."""
        return Charges(
            self.scan + other.scan,
            self.calendar + other.calendar,
            self.vega_calendar + other.vega_calendar,
            self.short_option + other.short_option,
            self.liquidity + other.liquidity,
            self.confidence + other.confidence,
        )


@dataclass(frozen=True)
class Requirement:
    """Maintenance and initial margin in USD (M-13, M-14), and the charges of each underlying."""

    maintenance: float
    initial: float
    charges: dict[str, Charges]


def worst_loss(pnl: Floats) -> float:
    """`W = max(0, -min_s P_s)` (M-7).

    Parameters
    ----------
    pnl : array (scenarios,), USD, a gain is positive

    Returns
    -------
    float, USD, not negative
    """
    return max(0.0, -float(np.min(pnl)))


def offset_charge(amounts: Floats, rate: float) -> float:
    """`rate min(sum of positives, sum of negatives)` (M-9, M-10): what expiries offset, charged.

    Parameters
    ----------
    amounts : array (buckets,), USD, signed
    rate : float

    Returns
    -------
    float, USD, not negative
    """
    longs = float(np.sum(np.maximum(amounts, 0.0)))
    shorts = float(np.sum(np.maximum(-amounts, 0.0)))
    return rate * min(longs, shorts)


def liquidation_cost(u: Exposure, methodology: Methodology) -> float:
    """`|D|S h (1 + |D|S/depth) + n h_v (1 + n/depth_v)` (M-12), USD: grows faster than linearly.

    Both depths are the share of M-23 of the methodology's: where the market is thin, a large book pays more.
    """
    delta_usd = abs(u.delta) * u.spot
    vega_points = 0.01 * float(np.sum(np.abs(u.bucket_vega)))
    of_delta = delta_usd * methodology.h_delta * (1.0 + delta_usd / (u.depth * methodology.depth_delta))
    of_vega = vega_points * methodology.h_vega * (1.0 + vega_points / (u.depth * methodology.depth_vega))
    return of_delta + of_vega


def tail_scan(exposures: Mapping[str, Exposure], tail: Tail | None) -> float:
    """`T`, the joint expected shortfall of all underlyings given (M-20), USD, not negative; 0 without a tail or a book.

    Raises
    ------
    ValueError
        Names an underlying that has no P&L in the rows of the tail.
    """
    if tail is None or not exposures:
        return 0.0
    joint = np.zeros(len(tail.scenarios))
    for name, u in exposures.items():
        if u.tail_pnl is None or u.tail_pnl.size != joint.size:
            raise ValueError(f"{name}: must be priced in the {joint.size} rows of the tail")
        joint = joint + u.tail_pnl
    return tail_loss(joint, tail.k)


def charges(name: str, u: Exposure, methodology: Methodology, tail: Tail | None = None) -> Charges:
    """All charges of one underlying (M-7, M-9 to M-13); with a tail, `max(W_u, T_u)` is its scan (M-20)."""
    return Charges(
        scan=max(worst_loss(u.scenario_pnl), tail_scan({name: u}, tail)),
        calendar=offset_charge(u.bucket_delta * u.spot, methodology.calendar),
        vega_calendar=offset_charge(u.bucket_vega_shock, methodology.vega_calendar),
        short_option=methodology.som * u.spot * u.short_units + methodology.flat * u.gross_units,
        liquidity=liquidation_cost(u, methodology),
        confidence=u.confidence * abs(u.delta) * u.spot,
    )


def group_scan(pnls: Mapping[str, Floats], group: Group) -> float:
    """`(1 - kappa) sum W_u + kappa J` of one group (M-8).

    Parameters
    ----------
    pnls : mapping of underlying to array (scenarios,), USD
        The members of the group that the book holds; at least one.
    group : Group

    Returns
    -------
    float, USD: at most the sum of the worst losses
    """
    apart = sum(worst_loss(pnl) for pnl in pnls.values())
    joint = worst_loss(np.sum(list(pnls.values()), axis=0))
    return (1.0 - group.credit) * apart + group.credit * joint


def total_scan(pnls: Mapping[str, Floats], methodology: Methodology) -> float:
    """Sum of scans over all groups; an underlying in no group stands alone (M-8), USD."""
    total, alone = 0.0, dict(pnls)
    for group in methodology.groups:
        members = {name: alone.pop(name) for name in group.members if name in alone}
        if members:
            total += group_scan(members, group)
    return total + sum(worst_loss(pnl) for pnl in alone.values())


def stand_alone(row: Charges, methodology: Methodology) -> tuple[float, float]:
    """`MM_u` and `IM_u`: M-13 for a book of one underlying, before any cap, USD."""
    maintenance = max(row.scan + row.calendar + row.vega_calendar, row.short_option) + row.liquidity
    return maintenance, methodology.initial_factor * maintenance + row.confidence


def requirement(exposures: Mapping[str, Exposure], methodology: Methodology, tail: Tail | None = None) -> Requirement:
    """Maintenance and initial margin of a portfolio (M-13), capped by what it can lose (M-14).

    With a tail the scan is the larger of the grid's and of the joint expected shortfall (M-20), and so it is
    stand-alone. As both are sub-additive, what is said of the cap below holds with a tail too.

    The cap, as read here: only where every underlying of the account is options only (no future, perp or in-grid
    collateral anywhere; cash-like collateral does not matter),

        `MM <= sum_u min(MM_u, L_u)`, `IM <= sum_u min(IM_u, L_u)`,

    with `L_u` the most that u's book can lose. An underlying whose `L_u` is infinite contributes its stand-alone
    figure, so that it does not undo the cap of the others. As the portfolio figures never exceed the sums of the
    stand-alone ones, this binds only where some `L_u` is the smaller.

    Parameters
    ----------
    exposures : mapping of underlying to Exposure
    methodology : Methodology
    tail : Tail, optional
        The exposures are then priced in its rows.

    Returns
    -------
    Requirement, USD
    """
    rows = {name: charges(name, u, methodology, tail) for name, u in exposures.items()}
    scan = total_scan({name: u.scenario_pnl for name, u in exposures.items()}, methodology)
    scan = max(scan, tail_scan(exposures, tail))
    spread = sum(row.calendar + row.vega_calendar for row in rows.values())
    minimum = sum(row.short_option for row in rows.values())
    maintenance = max(scan + spread, minimum) + sum(row.liquidity for row in rows.values())
    initial = methodology.initial_factor * maintenance + sum(row.confidence for row in rows.values())
    if all(u.options_only for u in exposures.values()):
        alone = {name: stand_alone(row, methodology) for name, row in rows.items()}
        maintenance = min(maintenance, math.fsum(min(alone[name][0], u.most_lost) for name, u in exposures.items()))
        initial = min(initial, math.fsum(min(alone[name][1], u.most_lost) for name, u in exposures.items()))
    return Requirement(maintenance, initial, rows)
