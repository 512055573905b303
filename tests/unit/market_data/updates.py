"""Updates that differ from an admissible one in a single field."""

from __future__ import annotations

from typing import NamedTuple

HEARTBEAT = 600
DAY = 86_400
NOW = 2_000_000_000
SCAN_RANGE = 160 * 10**9
NOBODY = "0x" + "00" * 20
# A point up and a quarter of a point down an hour, 1e-12 a second.
RISE, FALL = 2_777_777, 694_444


class Terms(NamedTuple):
    """`IMarketData.Terms`: a scan range that stays, no second source, any confidence and any jump."""

    heartbeat_seconds: int = HEARTBEAT
    forward_heartbeat_seconds: int = HEARTBEAT
    surface_heartbeat_seconds: int = 0
    multiple: int = 35 * 10**11
    halflife_seconds: int = 3 * DAY
    floor: int = SCAN_RANGE
    cap: int = SCAN_RANGE
    initial: int = SCAN_RANGE
    second_source: str = NOBODY
    widest: int = 10**12
    jump: int = 0
    confirmation_seconds: int = 0


class Surface(NamedTuple):
    """`IMarketData.Surface`."""

    a: int = 2 * 10**9
    b: int = 90 * 10**9
    rho: int = -250 * 10**9
    m: int = 10**9
    sigma: int = 450 * 10**9
    ref_seconds: int = 30 * DAY
    forward: int = 2006 * 10**9


class Expiry(NamedTuple):
    """`IMarketData.ExpiryUpdate`."""

    expiry: int = NOW + 30 * DAY
    forward: int = 2007 * 10**9
    rate: int = 40 * 10**9
    surface: Surface = Surface()


class Update(NamedTuple):
    """`IMarketData.Update`."""

    underlying: int = 2
    timestamp: int = NOW
    spot: int = 2000 * 10**9
    perp_mark: int = 2001 * 10**9
    confidence: int = 10**9
    expiries: tuple[Expiry, ...] = (Expiry(),)
