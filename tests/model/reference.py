"""A slow, scalar reading of M-1 to M-6 with plain loops: the vectorised grid is held to it."""

from __future__ import annotations

import math

from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market, Position


def value(F: float, K: float, sigma: float, tau: float, D: float, is_call: bool) -> float:
    """M-2, put by parity."""
    v = sigma * math.sqrt(tau)
    if v == 0.0:
        call = max(F - K, 0.0)
    else:
        d1 = math.log(F / K) / v + v / 2
        phi = [0.5 * math.erfc(-d / math.sqrt(2)) for d in (d1, d1 - v)]
        call = F * phi[0] - K * phi[1]
    return D * (call if is_call else call - F + K)


def leg_change(p: Position, market: Market, methodology: Methodology, s: int) -> float:
    """Change of value of one unit in scenario s, before g."""
    u = market.underlyings[p.underlying]
    R = u.scan_range if methodology.scan_range is None else methodology.scan_range
    move = max(1 + methodology.x[s] * R, 0.05)
    if p.kind is Kind.PERP:
        return u.perp_mark * (move - 1)
    e = next(row for row in u.expiries if row.expiry == p.expiry)
    F = e.forward
    if p.kind is Kind.FUTURE:
        return F * (move - 1)
    K, svi = p.strike, e.svi
    tau = max(e.expiry - market.as_of, 0) / 31_536_000
    D = math.exp(-e.rate * tau)
    k = math.log(K / svi.forward)
    w = svi.a + svi.b * (svi.rho * (k - svi.m) + math.sqrt((k - svi.m) ** 2 + svi.sigma**2))
    sigma = min(max(math.sqrt(max(w, 0) / svi.ref_tau), 0.01), 10.0)
    h = (30 / max(tau * 365, 1)) ** (methodology.vol_power_short if tau * 365 <= 30 else methodology.vol_power_long)
    y, z = methodology.y[s], methodology.z[s]
    Y = methodology.vol_up if y > 0 else methodology.vol_down
    t = min(max(math.log(K / F) / (2 * math.sqrt(max(tau, 1 / 365))), -1), 1)
    shocked = max(sigma * max(1 + y * Y * h, 0) * (1 + z * methodology.tilt * t), 0.01)
    if y > 0:
        shocked = max(shocked, methodology.vol_floor_up)
    is_call = p.kind is Kind.CALL
    return value(F * move, K, shocked, tau, D, is_call) - value(F, K, sigma, tau, D, is_call)


def scenario_pnl(book: Book, market: Market, methodology: Methodology, name: str) -> list[float]:
    """P&L of one underlying in every scenario (M-6)."""
    u = market.underlyings[name]
    R = u.scan_range if methodology.scan_range is None else methodology.scan_range
    result = []
    for s in range(len(methodology)):
        pnl = sum(p.size * leg_change(p, market, methodology, s) for p in book.positions if p.underlying == name)
        move = max(1 + methodology.x[s] * R, 0.05)
        pnl += sum(c.amount * c.price * (move - 1) for c in book.collateral if c.underlying == name)
        result.append(methodology.g[s] * pnl)
    return result
