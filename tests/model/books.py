"""Markets and books for the tests of the model, and strategies that draw them."""

from __future__ import annotations

from hypothesis import strategies as st

from python_model.portfolio import SVI, Book, Collateral, Expiry, Kind, Market, Mode, Position, Underlying

NOW = 1_770_336_000
DAY = 86_400
TENORS = (0, 1, 7, 30, 180)


def expiry_row(days: int, forward: float, rate: float = 0.04) -> Expiry:
    """One expiry with a plain smile: about 70% vol."""
    tau = max(days, 1) / 365
    return Expiry(NOW + days * DAY, forward, rate, SVI(0.2 * tau, 0.6 * tau, -0.25, 0.02, 0.4, tau, forward))


def underlying(spot: float, scan_range: float = 0.16, confidence: float = 0.001) -> Underlying:
    """An underlying with five expiries, the first of them expired now."""
    rows = tuple(expiry_row(days, spot * (1 + 0.0001 * days)) for days in TENORS)
    return Underlying(spot, confidence, scan_range, spot * 1.0005, rows)


MARKET = Market(NOW, {"ETH": underlying(2000.0), "BTC": underlying(70_000.0, 0.14), "SOL": underlying(100.0, 0.25)})

names = st.sampled_from(sorted(MARKET.underlyings))
sizes = st.integers(-40_000_000, 40_000_000).filter(bool).map(lambda n: n / 1e6)
moneyness = st.integers(30, 300).map(lambda n: n / 100)
days = st.sampled_from(TENORS)


def option(name: str, kind: Kind, tenor: int, moneyness: float, size: float) -> Position:
    """An option whose strike is a multiple of spot."""
    return Position(name, kind, size, NOW + tenor * DAY, round(MARKET.underlyings[name].spot * moneyness, 6))


def future(name: str, tenor: int, size: float, entry: float | None = None) -> Position:
    """A dated future."""
    return Position(name, Kind.FUTURE, size, NOW + tenor * DAY, None, entry)


def perp(name: str, size: float, entry: float | None = None) -> Position:
    """A perpetual."""
    return Position(name, Kind.PERP, size, None, None, entry)


options = st.builds(option, names, st.sampled_from([Kind.CALL, Kind.PUT]), days, moneyness, sizes)
positions = st.one_of(options, options, st.builds(future, names, days, sizes), st.builds(perp, names, sizes))
claims = st.builds(
    lambda name, amount: Collateral(amount, MARKET.underlyings[name].spot, name, 0.06, 0.04),
    names,
    st.integers(1, 20_000_000).map(lambda n: n / 1e6),
)


def book(*legs: Position, mode: Mode = Mode.PORTFOLIO, collateral: tuple[Collateral, ...] = ()) -> Book:
    """A book with 10,000 USD of cash."""
    return Book(mode, 10_000.0, collateral, tuple(legs))


books = st.builds(
    lambda legs, collateral: Book(Mode.PORTFOLIO, 10_000.0, tuple(collateral), tuple(legs)),
    st.lists(positions, min_size=1, max_size=8),
    st.lists(claims, max_size=2),
)
