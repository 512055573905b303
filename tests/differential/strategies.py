"""Markets and books that try the whole admissible domain: minutes to two years, F/50 to 50 F, nine decades of size."""

from __future__ import annotations

from hypothesis import strategies as st

from python_model.portfolio import SVI, Book, Collateral, Expiry, Kind, Market, Mode, Position, Underlying

NAMES = ("BTC", "ETH", "SOL")
AS_OF = 1_770_336_000
MINUTE, DAY = 60, 86_400
# Expired, minutes, days, both sides of the 30 days at which h(tau) bends, and two years.
TENORS = (0, MINUTE, 7 * MINUTE, 6 * 3600, DAY, 7 * DAY, 30 * DAY, 31 * DAY, 180 * DAY, 730 * DAY)


def decimals(low: float, high: float, places: int) -> st.SearchStrategy[float]:
    """Multiples of 10**-places between two numbers."""
    unit = 10**places
    return st.integers(round(low * unit), round(high * unit)).map(lambda n: n / unit)


def logarithmic(low: int, high: int, places: int) -> st.SearchStrategy[float]:
    """Positive decimals over decades 10**low to 10**high, at least 10**-places."""
    return st.builds(
        lambda mantissa, exponent: max(round(mantissa * 10.0**exponent, places), 10.0**-places),
        decimals(1.0, 9.999, 3),
        st.integers(low, high - 1),
    )


@st.composite
def surfaces(draw: st.DrawFn, forward: float, seconds: int) -> SVI:
    """Plain, flat at the least vol, very steep, and clamped at both ends."""
    ref_seconds = max(seconds, 60) if draw(st.booleans()) else draw(st.sampled_from([3600, 30 * DAY, 365 * DAY]))
    ref_tau = ref_seconds / (365 * DAY)
    vol = draw(st.sampled_from([0.002, 0.02, 0.3, 0.6, 1.5, 4.0, 12.0]))
    return SVI(
        a=min(round(draw(decimals(0.0, 1.0, 3)) * vol**2 * ref_tau, 12), 100.0),
        b=min(round(draw(decimals(0.0, 2.0, 3)) * vol**2 * ref_tau, 12), 100.0),
        rho=draw(decimals(-0.999, 0.999, 3)),
        m=draw(decimals(-0.5, 0.5, 3)),
        sigma=draw(decimals(0.001, 2.0, 3)),
        ref_tau=ref_tau,
        forward=round(forward * draw(st.sampled_from([1.0, 1.0, 0.9, 1.25])), 9),
    )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """One to three underlyings with up to four expiries each."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    underlyings = {}
    for name in sorted(names):
        spot = draw(logarithmic(-2, 6, 4))
        rows = []
        for seconds in sorted(draw(st.lists(st.sampled_from(TENORS), min_size=1, max_size=4, unique=True))):
            forward = round(spot * draw(decimals(0.9, 1.15, 4)), 9)
            rate = draw(decimals(-0.2, 0.3, 3))
            rows.append(Expiry(AS_OF + seconds, forward, rate, draw(surfaces(forward, seconds))))
        underlyings[name] = Underlying(
            spot=spot,
            confidence=draw(decimals(0.0, 0.02, 4)),
            scan_range=draw(decimals(0.05, 0.6, 3)),
            perp_mark=round(spot * draw(decimals(0.95, 1.05, 4)), 9),
            expiries=tuple(rows),
        )
    return Market(AS_OF, underlyings)


@st.composite
def positions(draw: st.DrawFn, market: Market) -> Position:
    """A leg of any kind; strikes between F/50 and 50 F, sizes of 1e-6 to 1e3."""
    name = draw(st.sampled_from(sorted(market.underlyings)))
    u = market.underlyings[name]
    kind = draw(st.sampled_from([Kind.CALL, Kind.PUT, Kind.CALL, Kind.PUT, Kind.FUTURE, Kind.PERP]))
    size = draw(logarithmic(-6, 3, 6)) * draw(st.sampled_from([1, -1]))
    if kind is Kind.PERP:
        return Position(name, kind, size, entry=round(u.perp_mark * draw(decimals(0.5, 2.0, 2)), 6))
    e = draw(st.sampled_from(u.expiries))
    if kind is Kind.FUTURE:
        return Position(name, kind, size, e.expiry, entry=round(e.forward * draw(decimals(0.5, 2.0, 2)), 6))
    ratio = draw(st.one_of(decimals(0.7, 1.4, 3), decimals(0.02, 50.0, 2), st.just(1.0)))
    return Position(name, kind, size, e.expiry, max(round(e.forward * ratio, 6), 1e-6))


@st.composite
def holdings(draw: st.DrawFn, market: Market) -> Collateral:
    """Collateral inside or outside the grid."""
    maintenance = draw(decimals(0.0, 0.2, 3))
    return Collateral(
        amount=draw(logarithmic(-6, 3, 6)),
        price=draw(logarithmic(-1, 4, 4)),
        underlying=draw(st.sampled_from([None, *sorted(market.underlyings)])),
        haircut_initial=round(maintenance + draw(decimals(0.0, 0.2, 3)), 12),
        haircut_maintenance=maintenance,
    )


@st.composite
def books(
    draw: st.DrawFn, market: Market, modes: tuple[Mode, ...] = (Mode.PORTFOLIO, Mode.PORTFOLIO, Mode.CROSS)
) -> Book:
    """Up to a dozen legs and three holdings."""
    return Book(
        mode=draw(st.sampled_from(modes)),
        cash=draw(decimals(-1e5, 1e5, 2)),
        collateral=tuple(draw(st.lists(holdings(market), max_size=3))),
        positions=tuple(draw(st.lists(positions(market), max_size=12))),
    )


@st.composite
def situations(draw: st.DrawFn, count: int = 4) -> tuple[Market, tuple[Book, ...]]:
    """A market and some books on it."""
    market = draw(markets())
    return market, tuple(draw(books(market)) for _ in range(count))
