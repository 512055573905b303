"""An expiry with market data of its own, and its settlement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from python_model.portfolio import SVI, Expiry
from tests.unit.protocol_fixtures import DAY, ETH, SPOT, World, flat_market


def list_friday(world: World) -> int:
    """Publish an expiry at 08:00 UTC some days ahead."""
    expiry = (world.now // DAY + 2) * DAY + 8 * 3600
    publish(world, expiry, 1.0)
    return expiry


def publish(world: World, expiry: int, factor: float, underlying: int = ETH) -> None:
    """Spot, mark and all forwards at a factor of the start, an expiry among them."""
    u = flat_market(SPOT[underlying], world.start)
    seconds = max(expiry - world.now, 60)
    tau = seconds / (365 * DAY)
    row = Expiry(expiry, u.spot, 0.0, SVI(0.3 * tau, 0.2 * tau, -0.2, 0.0, 0.4, tau, u.spot))
    rows = tuple(sorted((*u.expiries, row), key=lambda e: e.expiry))
    rows = tuple(replace(e, forward=round(e.forward * factor, 9)) for e in rows)
    spot = round(u.spot * factor, 9)
    world.publish(underlying, replace(u, spot=spot, perp_mark=spot, expiries=rows))


def settle_at(world: World, expiry: int, factor: float) -> float:
    """Spot is at a factor for the whole last half hour; the settlement price, USD."""
    world.wait(expiry - 3600 - world.now)
    publish(world, expiry, factor)
    world.wait(expiry - world.now)
    publish(world, expiry, factor)
    price, is_final = world.protocol.market_data.settlement(ETH, expiry)
    assert is_final and price / 10**9 == pytest.approx(SPOT[ETH] * factor, abs=1e-9)
    return SPOT[ETH] * factor


def settle(world: World, *accounts: int) -> Any:
    return world.protocol.settlement.settle(accounts, sender=world.stranger)
