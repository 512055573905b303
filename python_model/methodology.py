"""A methodology: a list of scenarios and the parameters of every charge, read from data (M-3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from python_model.normal import Floats

FOLDER = Path(__file__).parent / "methodologies"
MAX_SCENARIOS = 64
# Parameters are held to 1e-12 (M-0).
STEP = Decimal("1e-12")


class MethodologyError(ValueError):
    """A methodology that cannot be used; the message names the field and why."""


@dataclass(frozen=True)
class Group:
    """Correlation group (M-8): the members' names and the credit kappa in [0, 1]."""

    members: tuple[str, ...]
    credit: float


@dataclass(frozen=True)
class TailTerms:
    """How far into the tail of a scenario set (M-19): `alpha` in (0, 1), and for how many days ahead."""

    alpha: float
    horizon_days: float


@dataclass(frozen=True, eq=False)
class Methodology:
    """Scenarios and parameters.

    Attributes
    ----------
    x, y, z, g : arrays (scenarios,)
        Price move in scan ranges, vol move in vol ranges, smile tilt, covered fraction (M-3).
    scan_range : float or None
        Overrides the scan range of every market.
    vol_up, vol_down, vol_floor_up : float
        `Y_up`, `Y_down` and the least vol of a scenario with y > 0 (M-5).
    vol_power_short, vol_power_long : float
        `p` of `h(tau)`, to and beyond 30 days (M-5).
    tilt : float
        `Z` (M-5).
    groups : tuple of Group
        Underlyings in no group stand alone (M-8).
    calendar, vega_calendar : float
        `beta` (M-9), `eta` (M-10).
    som, flat : float
        Fraction of spot for a short unit, USD for any unit (M-11).
    h_delta, depth_delta : float
        Fraction, USD (M-12).
    h_vega, depth_vega : float
        Vol points, USD for a vol point (M-12).
    initial_factor : float
        `f`, at least 1 (M-13).
    tail : TailTerms or None
        The scan is the larger of the grid's and of the expected shortfall over a scenario set (M-20); a grid of one
        scenario that moves nothing leaves the expected shortfall alone. None: the grid alone.
    """

    name: str
    x: Floats
    y: Floats
    z: Floats
    g: Floats
    scan_range: float | None
    vol_up: float
    vol_down: float
    vol_floor_up: float
    vol_power_short: float
    vol_power_long: float
    tilt: float
    groups: tuple[Group, ...]
    calendar: float
    vega_calendar: float
    som: float
    flat: float
    h_delta: float
    depth_delta: float
    h_vega: float
    depth_vega: float
    initial_factor: float
    tail: TailTerms | None = None

    def __len__(self) -> int:
        """Number of scenarios."""
        return int(self.x.size)

    def range_of(self, market_scan_range: float) -> float:
        """`R_u`: the methodology's own scan range, or else the market's."""
        return market_scan_range if self.scan_range is None else self.scan_range


# Name, least and greatest admissible value.
PARAMETERS: dict[str, tuple[str, str]] = {
    "vol_up": ("0", "10"),
    "vol_down": ("0", "1"),
    "vol_floor_up": ("0", "10"),
    "vol_power_short": ("0", "1"),
    "vol_power_long": ("0", "1"),
    "tilt": ("0", "0.99"),
    "calendar": ("0", "1"),
    "vega_calendar": ("0", "1"),
    "som": ("0", "1"),
    "flat": ("0", "100"),
    "h_delta": ("0", "1"),
    "depth_delta": ("1", "1e15"),
    "h_vega": ("0", "100"),
    "depth_vega": ("1", "1e15"),
    "initial_factor": ("1", "2"),
}
# Least depth for each half-spread: beyond it, the cost of the largest book would not be a number any more.
LEAST_DEPTH = {"h_delta": ("depth_delta", 4e7), "h_vega": ("depth_vega", 4e3)}
MAX_GROUPS = 8
# Greatest covered rise g x: beyond, a scenario could err by more than the bound of M-16.
MAX_COVERED_RISE = 4.0
SCENARIO_BOUNDS = (("x", "-100", "100"), ("y", "-1", "1"), ("z", "-1", "1"), ("g", "1e-12", "1"))


def _number(raw: Any, field: str, low: str, high: str) -> float:
    """A finite decimal in [low, high], rounded to 1e-12; MethodologyError otherwise."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise MethodologyError(f"{field}: must be a number (got {raw!r})")
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        raise MethodologyError(f"{field}: must be a number (got {raw!r})") from None
    if not number.is_finite() or not Decimal(low) <= number <= Decimal(high):
        raise MethodologyError(f"{field}: must be between {low} and {high} (got {raw})")
    return float(number.quantize(STEP))


def _scenarios(raw: Any) -> Floats:
    """The scenario list as an array (scenarios, 4)."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_SCENARIOS:
        raise MethodologyError(f"scenarios: must be a list of 1 to {MAX_SCENARIOS} rows")
    rows = []
    for i, row in enumerate(raw):
        if not isinstance(row, list) or len(row) != len(SCENARIO_BOUNDS):
            raise MethodologyError(f"scenarios[{i}]: must be a row of x, y, z, g")
        bounds = zip(row, SCENARIO_BOUNDS, strict=True)
        rows.append([_number(cell, f"scenarios[{i}].{name}", low, high) for cell, (name, low, high) in bounds])
        if rows[i][0] * rows[i][3] > MAX_COVERED_RISE:
            raise MethodologyError(f"scenarios[{i}]: g * x must be at most {MAX_COVERED_RISE:g} (got {row})")
    return np.array(rows, dtype=np.float64)


def _groups(raw: Any) -> tuple[Group, ...]:
    """The correlation groups; no underlying may be in two."""
    if not isinstance(raw, list):
        raise MethodologyError("groups: must be a list")
    if len(raw) > MAX_GROUPS:
        raise MethodologyError(f"groups: must be at most {MAX_GROUPS} (got {len(raw)})")
    groups, seen = [], set()
    for i, row in enumerate(raw):
        if not isinstance(row, dict) or set(row) != {"members", "credit"} or not isinstance(row["members"], list):
            raise MethodologyError(f"groups[{i}]: must have members (a list) and credit")
        for member in row["members"]:
            if not isinstance(member, str) or member in seen:
                raise MethodologyError(f"groups[{i}].members: must be names in one group only (got {member!r})")
            seen.add(member)
        groups.append(Group(tuple(row["members"]), _number(row["credit"], f"groups[{i}].credit", "0", "1")))
    return tuple(groups)


def _tail(raw: Any) -> TailTerms | None:
    """The terms of the tail, where there are any."""
    if raw is None:
        return None
    if not isinstance(raw, dict) or set(raw) != {"alpha", "horizon_days"}:
        raise MethodologyError("tail: must have alpha and horizon_days")
    alpha = _number(raw["alpha"], "tail.alpha", "0.5", "0.9999")
    return TailTerms(alpha, _number(raw["horizon_days"], "tail.horizon_days", "0.00002", "30"))


def parse(raw: Any) -> Methodology:
    """A methodology from the structure of a preset file; MethodologyError names what is wrong.

    With a `base`, the name of another preset, which may have one itself, what is not given is that one's.
    """
    if not isinstance(raw, dict):
        raise MethodologyError("methodology: must be a mapping")
    while "base" in raw:
        raw = _read(raw["base"]) | {key: value for key, value in raw.items() if key != "base"}
    known = {"name", "scan_range", "parameters", "groups", "scenarios", "tail"}
    for key in raw:
        if key not in known:
            raise MethodologyError(f"{key}: unknown field")
    for key in known - {"scan_range", "tail"}:
        if key not in raw:
            raise MethodologyError(f"{key}: missing")
    if not isinstance(raw["name"], str):
        raise MethodologyError("name: must be a string")
    given = raw["parameters"]
    if not isinstance(given, dict):
        raise MethodologyError("parameters: must be a mapping")
    for key in set(given) ^ set(PARAMETERS):
        raise MethodologyError(f"parameters.{key}: " + ("unknown field" if key in given else "missing"))
    values = {k: _number(given[k], f"parameters.{k}", low, high) for k, (low, high) in PARAMETERS.items()}
    for spread, (depth, factor) in LEAST_DEPTH.items():
        if values[spread] * factor > values[depth]:
            least = values[spread] * factor
            raise MethodologyError(
                f"parameters.{depth}: must be at least {least:g} for this {spread} (got {given[depth]})"
            )
    scan_range = raw.get("scan_range")
    table = _scenarios(raw["scenarios"])
    return Methodology(
        name=raw["name"],
        x=table[:, 0].copy(),
        y=table[:, 1].copy(),
        z=table[:, 2].copy(),
        g=table[:, 3].copy(),
        scan_range=None if scan_range is None else _number(scan_range, "scan_range", "1e-12", "1"),
        groups=_groups(raw["groups"]),
        tail=_tail(raw.get("tail")),
        **values,
    )


def without_grid(base: Methodology) -> Methodology:
    """The charges of a methodology, with a grid of one scenario in which nothing moves: a scan of 0."""
    nothing = np.zeros(1)
    return replace(base, x=nothing, y=nothing, z=nothing, g=np.ones(1))


def names() -> tuple[str, ...]:
    """Names of the presets that ship with the model."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def _read(name: Any) -> dict[str, Any]:
    """The structure of a preset file by name; MethodologyError where there is none."""
    if name not in names():
        raise MethodologyError(f"unknown methodology {name!r} (known: {', '.join(names())})")
    structure: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return structure


def grids() -> tuple[str, ...]:
    """Names of the presets that have no tail: a book and a market are all that their margin takes."""
    return tuple(name for name in names() if load(name).tail is None)


def load(name: str) -> Methodology:
    """A preset by name; MethodologyError where there is none."""
    return parse(_read(name))
