"""Case files: one account and its market, checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from python_model import methodology, scenario_set, volatility
from python_model.fields import CaseError, Fields, Range, load_json, read_decimal, shown
from python_model.portfolio import (
    SECONDS_PER_YEAR,
    SVI,
    Book,
    Collateral,
    Expiry,
    Kind,
    Market,
    Mode,
    Position,
    Underlying,
    net,
)
from python_model.tail import Tail

__all__ = ["Case", "CaseError", "Package", "parse_case", "read_case", "read_market", "read_package"]

MARKETS = Path(__file__).parent / "markets"
SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

# By what a whole book is margined says the methodology.
MODES = tuple(mode.value for mode in Mode if not mode.has_tail)
MAX_LEGS = 128
MAX_COLLATERALS = 16
MAX_UNDERLYINGS = 8
MAX_EXPIRIES = 16
MAX_TIME = 2**32 - 1
MAX_TENOR_SECONDS = 10 * SECONDS_PER_YEAR
MAX_NAME = 31
MAX_PACKAGES = 16
# The scenario set of a case that names none.
SYNTHETIC = "synthetic"

# Steps by M-0; bounds are what the fixed point of the contracts stores.
PRICE = Range("1e-9", low="0.000001", high="100000000")
STRIKE = Range("1e-6", above="0", high="9000000000000")
ENTRY = Range("1e-6", low="0", high="9000000000000")
SIZE = Range("1e-6", low="-9000000000000", high="9000000000000")
AMOUNT = Range("1e-12", low="0", high="9000000000000")
CASH = Range("1e-6", low="-1000000000000000", high="1000000000000000")
SHARE = Range("1e-12", low="0", below="1")
SCAN_RANGE = Range("1e-12", above="0", high="1")
# Below, a variance of 1e-18 would be too coarse.
DAILY_VOL = Range("1e-12", low="0.0001", high="0.5")
RATE = Range("1e-12", low="-1", high="1")
SVI_A = Range("1e-12", low="-100", high="100")
SVI_B = Range("1e-12", low="0", high="100")
SVI_RHO = Range("1e-12", above="-1", below="1")
SVI_M = Range("1e-12", low="-100", high="100")
SVI_SIGMA = Range("1e-12", above="0", high="100")
REF_TAU = Range("1e-30", above="0", high="10")

# -rate times the time to expiry: a discount factor below 1.5, in proportion to which prices err.
MAX_GROWTH = Decimal("0.4")
# b a year of tenor: a smile steeper than this is no smile, and its vols would be noise.
MAX_STEEPNESS = 100_000

# A tenor in years written with 16 digits is no whole number of seconds; only more than this is a rounding to tell of.
SECONDS_TOLERANCE = Decimal("0.001")


@dataclass(frozen=True)
class Package:
    """Trades to be tried on a book: `cash` is what they change it by, USD; None where options trade at their mark."""

    name: str
    positions: tuple[Position, ...]
    cash: float | None = None


@dataclass(frozen=True)
class Case:
    """A case file as read: `warnings` name the fields that were rounded (M-0), assumed, or have no effect.

    `tail` is what the methodology takes, and None for one without; `packages` are to be tried on the book.
    """

    market: Market
    book: Book
    methodology: str
    warnings: tuple[str, ...]
    tail: Tail | None = None
    packages: tuple[Package, ...] = ()


def _ref_tau(row: Fields) -> float:
    """Tenor at calibration, in years of whole seconds (M-0)."""
    path, raw = row.at("ref_tau"), row.get("ref_tau")
    seconds = read_decimal(raw, path, REF_TAU, []) * SECONDS_PER_YEAR
    whole = int(seconds.to_integral_value())
    if whole < 1:
        raise CaseError(f"{path}: must be at least one second (got {shown(raw)})")
    if abs(seconds - whole) > SECONDS_TOLERANCE:
        row.warnings.append(f"{path}: rounded to whole seconds (from {shown(raw)} years to {whole} s)")
    return whole / SECONDS_PER_YEAR


def _expiry(raw: Any, path: str, as_of: int, warnings: list[str]) -> Expiry:
    """One row of `expiries`."""
    row = Fields.of(raw, path, warnings, ("expiry", "forward", "rate", "svi"))
    expiry = row.integer("expiry", 1, MAX_TIME)
    if expiry - as_of > MAX_TENOR_SECONDS:
        raise CaseError(f"{row.at('expiry')}: must be at most 10 years after as_of (got {expiry})")
    forward, rate = row.number("forward", PRICE), row.number("rate", RATE, 0.0)
    # In decimals, as the contract does: a double of what was read is nearest to it.
    years = Decimal(max(expiry - as_of, 0)) / SECONDS_PER_YEAR
    if -Decimal(repr(rate)) * years > MAX_GROWTH:
        least = -MAX_GROWTH / years
        raise CaseError(f"{row.at('rate')}: must be at least {least:.6g} over {years:.6g} years (got {rate:g})")
    known = ("a", "b", "rho", "m", "sigma", "ref_tau", "forward")
    surface = Fields.of(row.get("svi"), row.at("svi"), warnings, known)
    svi = SVI(
        a=surface.number("a", SVI_A),
        b=surface.number("b", SVI_B),
        rho=surface.number("rho", SVI_RHO),
        m=surface.number("m", SVI_M),
        sigma=surface.number("sigma", SVI_SIGMA),
        ref_tau=_ref_tau(surface),
        forward=surface.number("forward", PRICE, forward),
    )
    most = MAX_STEEPNESS * Decimal(round(svi.ref_tau * SECONDS_PER_YEAR)) / SECONDS_PER_YEAR
    if Decimal(repr(svi.b)) > most:
        raise CaseError(f"{surface.at('b')}: must be at most {most:.6g} for this ref_tau (got {svi.b:g})")
    return Expiry(expiry, forward, rate, svi)


def _underlying(raw: Any, path: str, as_of: int, warnings: list[str]) -> Underlying:
    """One underlying of the market."""
    known = ("spot", "confidence", "scan_range", "perp_mark", "daily_vol", "expiries")
    row = Fields.of(raw, path, warnings, known)
    spot = row.number("spot", PRICE)
    expiries: list[Expiry] = []
    for i, item in enumerate(row.rows("expiries", MAX_EXPIRIES)):
        here = f"{row.at('expiries')}[{i}]"
        expiry = _expiry(item, here, as_of, warnings)
        if any(expiry.expiry == other.expiry for other in expiries):
            raise CaseError(f"{here}.expiry: given twice ({expiry.expiry})")
        expiries.append(expiry)
    return Underlying(
        spot=spot,
        confidence=row.number("confidence", SHARE, 0.0),
        scan_range=row.number("scan_range", SCAN_RANGE),
        perp_mark=row.number("perp_mark", PRICE, spot),
        expiries=tuple(sorted(expiries, key=lambda e: e.expiry)),
        daily_vol=row.number("daily_vol", DAILY_VOL) if row.has("daily_vol") else None,
    )


def _market(raw: Any, path: str, as_of: int, warnings: list[str]) -> Market:
    """The market section."""
    rows = Fields.of(raw, path, warnings)
    if len(rows.members) > MAX_UNDERLYINGS:
        raise CaseError(f"{path}: must have at most {MAX_UNDERLYINGS} underlyings (got {len(rows.members)})")
    for name in rows.members:
        if len(name.encode()) > MAX_NAME:
            raise CaseError(f"{rows.at(name)}: names must have at most {MAX_NAME} bytes")
    return Market(as_of, {n: _underlying(item, rows.at(n), as_of, warnings) for n, item in rows.members.items()})


def _snapshot(name: str) -> tuple[dict[str, Any], Any]:
    """Market section and `as_of` of a snapshot file: the underlyings beside `as_of`, or under `market`."""
    path = MARKETS / f"{name}.yaml"
    if not SNAPSHOT_NAME.fullmatch(name) or not path.is_file():
        raise CaseError(f"market: no snapshot named {shown(name)}")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or "as_of" not in raw:
        raise CaseError(f"market: snapshot {shown(name)} has no as_of")
    section = raw["market"] if "market" in raw else {k: v for k, v in raw.items() if k != "as_of"}
    return section, raw["as_of"]


def read_market(name: str) -> Market:
    """A snapshot of the project's own, by name; CaseError where it is missing or bad."""
    section, as_of = _snapshot(name)
    return _market(section, "market", Fields({"as_of": as_of}, "").integer("as_of", 0, MAX_TIME), [])


def _asset(raw: Any, path: str, market: Market, warnings: list[str]) -> Collateral:
    """One kind of collateral, with an amount of zero."""
    row = Fields.of(raw, path, warnings, ("price", "underlying", "haircut_initial", "haircut_maintenance"))
    underlying = row.choice("underlying", tuple(market.underlyings)) if row.has("underlying") else None
    initial = row.number("haircut_initial", SHARE, 0.0)
    maintenance = row.number("haircut_maintenance", SHARE, 0.0)
    if maintenance > initial:
        raise CaseError(f"{row.at('haircut_maintenance')}: must be at most haircut_initial (got {maintenance:g})")
    return Collateral(0.0, row.number("price", PRICE), underlying, initial, maintenance)


def _holdings(account: Fields, assets: dict[str, Collateral], warnings: list[str]) -> tuple[Collateral, ...]:
    """Collateral of the account: one holding an asset, amounts in one asset added."""
    amounts: dict[str, float] = {}
    for i, raw in enumerate(account.rows("collateral", MAX_COLLATERALS)):
        row = Fields.of(raw, f"{account.at('collateral')}[{i}]", warnings, ("asset", "amount"))
        asset = row.choice("asset", tuple(assets))
        amounts[asset] = amounts.get(asset, 0.0) + row.number("amount", AMOUNT)
    rows = ((amount, assets[name]) for name, amount in amounts.items())
    return tuple(
        Collateral(amount, c.price, c.underlying, c.haircut_initial, c.haircut_maintenance) for amount, c in rows
    )


def _position(raw: Any, path: str, market: Market, warnings: list[str]) -> Position:
    """One row of `positions`."""
    row = Fields.of(raw, path, warnings, ("underlying", "kind", "expiry", "strike", "size", "entry"))
    underlying = row.choice("underlying", tuple(market.underlyings))
    kind = Kind(row.choice("kind", tuple(k.value for k in Kind)))
    expiry = strike = entry = None
    if kind is Kind.PERP:
        if row.has("expiry"):
            raise CaseError(f"{row.at('expiry')}: a perp has none (got {shown(row.members['expiry'])})")
    else:
        expiry = row.integer("expiry", 1, MAX_TIME)
        if all(e.expiry != expiry for e in market.underlyings[underlying].expiries):
            raise CaseError(f"{row.at('expiry')}: no market data for {underlying} at {expiry}")
    if kind.is_option:
        strike = row.number("strike", STRIKE)
        if row.has("entry"):
            warnings.append(f"{row.at('entry')}: has no effect, an option is paid for in cash")
    else:
        if row.has("strike"):
            raise CaseError(f"{row.at('strike')}: a {kind.value} has none (got {shown(row.members['strike'])})")
        entry = row.number("entry", ENTRY) if row.has("entry") else None
    size = row.number("size", SIZE)
    if size == 0.0:
        raise CaseError(f"{row.at('size')}: must not be 0 (got {shown(row.members['size'])})")
    return Position(underlying, kind, size, expiry, strike, entry)


def _book(raw: Any, assets: dict[str, Collateral], market: Market, warnings: list[str]) -> Book:
    """The account section."""
    account = Fields.of(raw, "account", warnings, ("mode", "cash", "collateral", "positions"))
    mode = Mode(account.choice("mode", MODES))
    rows = account.rows("positions", MAX_LEGS)
    positions = tuple(_position(row, f"{account.at('positions')}[{i}]", market, warnings) for i, row in enumerate(rows))
    if mode is Mode.ISOLATED and len(net(positions, market)) > 1:
        raise CaseError(f"account.positions: an isolated account holds one position (got {len(positions)})")
    return Book(mode, account.number("cash", CASH), _holdings(account, assets, warnings), positions)


# ------------------------------------------------------------------------------------------------ tail


def _tail(case: Fields, name: str, folder: Path) -> Tail | None:
    """What the methodology looks at beside its grid: the set that the case names, or the made-up one."""
    terms = methodology.load(name).tail
    if terms is None:
        if case.has("scenarios"):
            case.warnings.append(f"scenarios: has no effect, {name} has no tail")
        return None
    if not case.has("scenarios"):
        case.warnings.append(f"scenarios: not given, taken as {SYNTHETIC}, a made-up set of ETH and BTC")
    chosen = case.text("scenarios") if case.has("scenarios") else SYNTHETIC
    try:
        rows = scenario_set.synthetic() if chosen == SYNTHETIC else scenario_set.read(folder / chosen)
        return Tail(rows, terms.alpha, terms.horizon_days)
    except ValueError as error:
        raise CaseError(f"scenarios: {error}") from None


def _with_volatility(market: Market, name: str, tail: Tail | None, warnings: list[str]) -> Market:
    """The market with a volatility a day of every underlying where there is a tail, and with none where there is not.

    By default that for which the house's scan range stands.
    """
    multiple = volatility.Terms().multiple
    underlyings = {}
    for u, row in market.underlyings.items():
        daily_vol = row.daily_vol
        if tail is None:
            if daily_vol is not None:
                warnings.append(f"market.{u}.daily_vol: has no effect, {name} has no tail")
            daily_vol = None
        elif daily_vol is None:
            daily_vol = max(round(row.scan_range / multiple, 12), float(DAILY_VOL.low or 0))
            if u in tail.scenarios.underlyings:
                warnings.append(f"market.{u}.daily_vol: not given, taken as {daily_vol:.6g}, scan_range / {multiple:g}")
        underlyings[u] = replace(row, daily_vol=daily_vol)
    return Market(market.as_of, underlyings)


def _check_rows(tail: Tail | None, market: Market, held: set[str]) -> None:
    """CaseError where the scenario set lacks what is held, or has nothing of the market."""
    if tail is None:
        return
    rows = tail.scenarios
    known = ", ".join(rows.underlyings)
    for name in sorted(held - set(rows.underlyings)):
        raise CaseError(
            f"methodology: the scenario set {rows.name} has no rows of {name} (has: {known}), see scenarios"
        )
    if not set(rows.underlyings) & set(market.underlyings):
        raise CaseError(f"methodology: the scenario set {rows.name} has no rows of the market (has: {known})")


# ------------------------------------------------------------------------------------------------ packages


def _package(raw: Any, path: str, case: Case, warnings: list[str]) -> Package:
    """Trades to be tried on the book of a case."""
    row = Fields.of(raw, path, warnings, ("name", "positions", "cash"))
    name = row.text("name")
    if any(name == other.name for other in case.packages):
        raise CaseError(f"{row.at('name')}: given twice ({shown(name)})")
    rows = row.rows("positions", MAX_LEGS)
    positions = tuple(
        _position(item, f"{row.at('positions')}[{i}]", case.market, warnings) for i, item in enumerate(rows)
    )
    cash = row.number("cash", CASH) if row.has("cash") else None
    if not positions and cash is None:
        raise CaseError(f"{row.at('positions')}: must have a row where there is no cash")
    if case.tail is not None:
        for i, p in enumerate(positions):
            if p.underlying not in case.tail.scenarios.underlyings:
                where = f"{row.at('positions')}[{i}].underlying"
                raise CaseError(f"{where}: the scenario set {case.tail.scenarios.name} has no rows of {p.underlying}")
    legs = len(net(case.book.positions + positions, case.market))
    if case.book.mode is Mode.ISOLATED and legs > 1:
        raise CaseError(f"{row.at('positions')}: an isolated account holds one position (would be {legs})")
    if legs > MAX_LEGS:
        raise CaseError(f"{row.at('positions')}: the account must have at most {MAX_LEGS} legs (would be {legs})")
    return Package(name, positions, cash)


def read_package(path: str | Path, case: Case) -> Case:
    """The case with one more package, from a file of its own; CaseError names the file and what is wrong in it."""
    file = Path(path)
    warnings: list[str] = []
    try:
        if len(case.packages) == MAX_PACKAGES:
            raise CaseError(f"packages: must be at most {MAX_PACKAGES}")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CaseError(f"cannot be read ({error})") from None
        package = _package(load_json(text), "", case, warnings)
    except CaseError as error:
        raise CaseError(f"package {file.name}: {str(error).removeprefix('case: ')}") from None
    notes = (*case.warnings, *(f"package {file.name}: {warning}" for warning in warnings))
    return replace(case, packages=(*case.packages, package), warnings=notes)


# ------------------------------------------------------------------------------------------------ the whole file


def parse_case(text: str, folder: Path | None = None) -> Case:
    """A case from the text of its file; CaseError names the first field that is wrong, and why.

    Paths in it are relative to `folder`, by default the current one.
    """
    warnings: list[str] = []
    known = ("as_of", "methodology", "market", "scenarios", "collateral", "account", "packages")
    fields = Fields.of(load_json(text), "", warnings, known)
    name = fields.choice("methodology", methodology.names())
    section, snapshot_time = fields.get("market"), None
    if isinstance(section, str):
        section, snapshot_time = _snapshot(section)
    times = fields if fields.has("as_of") or snapshot_time is None else Fields({"as_of": snapshot_time}, "market")
    market = _market(section, "market", times.integer("as_of", 0, MAX_TIME), warnings)
    rows = Fields.of(fields.members.get("collateral", {}), "collateral", warnings)
    if len(rows.members) > MAX_COLLATERALS:
        raise CaseError(f"collateral: must have at most {MAX_COLLATERALS} assets (got {len(rows.members)})")
    assets = {n: _asset(raw, rows.at(n), market, warnings) for n, raw in rows.members.items()}
    book = _book(fields.get("account"), assets, market, warnings)
    tail = _tail(fields, name, folder or Path())
    held = {p.underlying for p in net(book.positions, market)}
    held |= {c.underlying for c in book.collateral if c.underlying is not None and c.amount != 0.0}
    _check_rows(tail, market, held)
    market = _with_volatility(market, name, tail, warnings)
    case = Case(market, book, name, (), tail)
    for i, raw in enumerate(fields.rows("packages", MAX_PACKAGES)):
        package = _package(raw, f"packages[{i}]", case, warnings)
        case = replace(case, packages=(*case.packages, package))
    return replace(case, warnings=tuple(warnings))


def read_case(path: str | Path) -> Case:
    """A case from its file; CaseError names what is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"case: cannot be read ({error})") from None
    return parse_case(text, Path(path).parent)
