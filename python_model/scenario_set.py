"""A scenario set: joint days of the past, as standardised returns and relative vol moves, and its digest (M-18).

A row is one day of every underlying, so that what fell together falls together. Returns are multiples of the volatility
that was known before the day: multiplied by today's, they say what such a day would do now (filtered historical
simulation).

References
----------
Barone-Adesi, Giannopoulos and Vosper, *VaR without correlations for portfolios of derivative securities*, Journal of
Futures Markets 19 (1999): filtered historical simulation. Hull and White, *Incorporating volatility updating into the
historical simulation method for value at risk*, Journal of Risk 1 (1998).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from python_model.normal import Floats

# What a row holds: returns in multiples of a day's volatility, vol moves as fractions, both to 1e-6 (M-0).
STEPS = 10**6
MAX_ROWS = 256
MAX_UNDERLYINGS = 255
MAX_MOVE = 50.0
VOL_MOVES = (-0.95, 10.0)
ROWS_A_WORD = 4
HALF = 32

LINE = re.compile(r"[^\n\r,#\"]+")
COMMENT = re.compile(r"# (name|version|digest): (.+)")


class ScenarioSetError(ValueError):
    """A scenario set that cannot be used; one line that names the field and why."""


def held(values: Any, name: str, low: float, high: float) -> Floats:
    """An array (rows, underlyings) rounded to 1e-6 that nobody can write to; ScenarioSetError where it is none.

    The bounds are those of the rounded numbers.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScenarioSetError(f"{name}: must be rows of numbers") from None
    if array.ndim != 2:
        raise ScenarioSetError(f"{name}: must have rows and underlyings (got {array.ndim} dimensions)")
    rounded: Floats = np.round(array * STEPS) / STEPS
    for row, column in np.argwhere(~((rounded >= low) & (rounded <= high))):
        value = array[row, column]
        raise ScenarioSetError(f"{name}[{row}][{column}]: must be from {low:g} to {high:g} (got {value:g})")
    rounded.flags.writeable = False
    return rounded


@dataclass(frozen=True, eq=False)
class ScenarioSet:
    """Joint rows of standardised returns and vol moves (M-18). ScenarioSetError names a field that cannot be.

    Attributes
    ----------
    name, version : str, one line without comma
    underlyings : tuple of str, each once, in the order of their ids on the chain
    dates : tuple of str, rising: the day of each row, or what it is called where it is no day
    x : array (rows, underlyings), price move in multiples of one day's volatility, |x| <= 50; a rise is positive
    y : array (rows, underlyings), relative move of a vol of 30 days, -0.95 to 10; a rise is positive

    Both are rounded to 1e-6 and cannot be written to. Sets of the same rows have the same `digest`.
    """

    name: str
    version: str
    underlyings: tuple[str, ...]
    dates: tuple[str, ...] = field(repr=False)
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)

    def __post_init__(self) -> None:
        """Round and check; ScenarioSetError names the field."""
        for key in ("name", "version"):
            text = getattr(self, key)
            if not LINE.fullmatch(text):
                raise ScenarioSetError(f"{key}: must be one line without comma, quote or # (got {text!r})")
        object.__setattr__(self, "underlyings", tuple(self.underlyings))
        object.__setattr__(self, "dates", tuple(self.dates))
        if not 1 <= len(self.underlyings) <= MAX_UNDERLYINGS:
            raise ScenarioSetError(f"underlyings: must be 1 to {MAX_UNDERLYINGS} (got {len(self.underlyings)})")
        for i, name in enumerate(self.underlyings):
            if not LINE.fullmatch(name) or name in self.underlyings[:i]:
                raise ScenarioSetError(f"underlyings[{i}]: must be a name, each once (got {name!r})")
        if not 1 <= len(self.dates) <= MAX_ROWS:
            raise ScenarioSetError(f"dates: must be 1 to {MAX_ROWS} (got {len(self.dates)})")
        for i, date in enumerate(self.dates):
            if not LINE.fullmatch(date) or (i and date <= self.dates[i - 1]):
                raise ScenarioSetError(f"dates[{i}]: must be a date after the one before (got {date!r})")
        object.__setattr__(self, "x", held(self.x, "x", -MAX_MOVE, MAX_MOVE))
        object.__setattr__(self, "y", held(self.y, "y", *VOL_MOVES))
        for key in ("x", "y"):
            shape = getattr(self, key).shape
            if shape != (len(self.dates), len(self.underlyings)):
                wanted = f"{len(self.dates)} rows of {len(self.underlyings)}"
                raise ScenarioSetError(f"{key}: must have {wanted}, as dates and underlyings (got {shape})")

    def __len__(self) -> int:
        """Number of rows, N."""
        return len(self.dates)

    @property
    def digest(self) -> str:
        """What the contract's digest is where the underlyings have the ids 1, 2, ...: `digest_of`."""
        return digest_of(self)


def words(x: Sequence[int], y: Sequence[int]) -> list[int]:
    """Rows as the contract holds them, four to a word of 256 bits, the first one lowest.

    Each has 64 bits: x above y, 32 bits signed of both, in 1e-6. What is left of the last word is zero.

    Parameters
    ----------
    x, y : sequence of int (rows,), in 1e-6
    """
    cells = [((a % 2**HALF) << HALF) | (b % 2**HALF) for a, b in zip(x, y, strict=True)]
    fours = (cells[at : at + ROWS_A_WORD] for at in range(0, len(cells), ROWS_A_WORD))
    return [sum(cell << 2 * HALF * i for i, cell in enumerate(four)) for four in fours]


def packed(scenarios: ScenarioSet, underlying: str) -> list[int]:
    """The `words` of one underlying."""
    column = scenarios.underlyings.index(underlying)
    x, y = (np.rint(v[:, column] * STEPS).astype(np.int64).tolist() for v in (scenarios.x, scenarios.y))
    return words(x, y)


def hashed(count: int, ids: Sequence[int], rows: Sequence[Sequence[int]]) -> str:
    """The contract's digest of N, the ids and the `words` of each: 0x and 64 hexadecimal digits."""
    data = encode(["uint256", "uint256[]", "uint256[][]"], [count, ids, rows])
    return "0x" + bytes(keccak(data)).hex()


def digest_of(scenarios: ScenarioSet, ids: Sequence[int] | None = None) -> str:
    """Name of everything that moves a margin: keccak-256 of the standard ABI encoding of

        (uint256 count, uint256[] underlyings, uint256[][] rows),

    which is `keccak256(abi_encode(count, underlyings, rows))` in Vyper: N, the ids, and `packed` of each.

    Parameters
    ----------
    scenarios : ScenarioSet
    ids : sequence of int, rising; by default 1, 2, ...
        Ids of the underlyings on the chain, in their order.

    Returns
    -------
    str, 0x and 64 hexadecimal digits. It depends on no name and no date.
    """
    ids = range(1, len(scenarios.underlyings) + 1) if ids is None else ids
    known = [0, *ids]
    if len(ids) != len(scenarios.underlyings) or any(a >= b for a, b in pairwise(known)):
        raise ScenarioSetError(f"ids: must rise from 1, one for each underlying (got {list(ids)})")
    return hashed(len(scenarios), list(ids), [packed(scenarios, name) for name in scenarios.underlyings])


# ------------------------------------------------------------------------------------------------ files


def render(scenarios: ScenarioSet, notes: Sequence[str] = ()) -> str:
    """A set as CSV: comments with notes, name, version and digest, then a row a day, `x` and `y` of each underlying."""
    comments = [*notes, *([""] if notes else [])]
    comments += [
        "x: return in multiples of the volatility a day that was known before the day.",
        "y: relative move of a vol of 30 days.",
        "",
        f"name: {scenarios.name}",
        f"version: {scenarios.version}",
        f"digest: {scenarios.digest}",
    ]
    header = ",".join(["date", *(f"{name} {key}" for name in scenarios.underlyings for key in ("x", "y"))])
    cells = np.stack([scenarios.x, scenarios.y], axis=2).reshape(len(scenarios), -1)
    rows = (",".join([date, *(f"{v:.6f}" for v in row)]) for date, row in zip(scenarios.dates, cells, strict=True))
    return "\n".join([*(f"# {line}".rstrip() for line in comments), header, *rows]) + "\n"


def read(path: Path) -> ScenarioSet:
    """The set of a file of `render`; ScenarioSetError where it is not one, or not the one of its digest."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioSetError(f"{path}: cannot be read ({error})") from None
    lines = text.splitlines()
    known = {m[1]: m[2] for m in map(COMMENT.fullmatch, lines) if m}
    for key in ("name", "version"):
        if key not in known:
            raise ScenarioSetError(f"{path.name}: {key}: is missing")
    table = [line.split(",") for line in lines if line and not line.startswith("#")]
    if not table:
        raise ScenarioSetError(f"{path.name}: date: is missing")
    header, *rows = table
    names = tuple(column.removesuffix(" x") for column in header[1::2])
    if header != ["date", *(f"{name} {key}" for name in names for key in ("x", "y"))]:
        got = ",".join(header)
        raise ScenarioSetError(f"{path.name}: date: columns must be date, then x and y of each (got {got})")
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ScenarioSetError(f"{path.name}: row {i}: must have {len(header)} columns (got {len(row)})")
    numbers = np.empty((len(rows), len(names), 2))
    for i, (_, *words) in enumerate(rows):
        for column, word, place in zip(header[1:], words, np.ndindex(len(names), 2), strict=True):
            try:
                numbers[i, *place] = float(word)
            except ValueError:
                numbers[i, *place] = math.nan
            if math.isnan(numbers[i, *place]):
                raise ScenarioSetError(f"{path.name}: {column}[{i}]: must be a number (got {word!r})")
    dates = tuple(date for date, *_ in rows)
    try:
        scenarios = ScenarioSet(known["name"], known["version"], names, dates, numbers[..., 0], numbers[..., 1])
    except ScenarioSetError as error:
        raise ScenarioSetError(f"{path.name}: {error}") from None
    if known.get("digest", scenarios.digest) != scenarios.digest:
        raise ScenarioSetError(f"{path.name}: digest: is {known['digest']}, of its rows {scenarios.digest}")
    return scenarios


# ------------------------------------------------------------------------------------------------ without data

# Of the made-up set: degrees of freedom of the returns; correlation of ETH and BTC; by how much vol rises for a fall of
# one day's volatility, and how it moves besides, as vol indices of 30 days did from 2022 to 2026.
DEGREES, CORRELATION = 4.0, 0.8
VOL_OF_FALL, VOL_NOISE = 0.02, 0.03


def synthetic(rows: int = 250, seed: int = 20_260_205) -> ScenarioSet:
    """A made-up set of ETH and BTC for machines without data: the same for the same arguments, read from no file.

    Returns are Student t of 4 degrees of freedom, with a common shock to volatility, so that large moves come together,
    and a mean square of 1; `y = -0.02 x` plus normal noise of 3%, so that vols rise in falls.

    Parameters
    ----------
    rows : int, 1 to 256
    seed : int
    """
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((rows, 4))
    shock = np.sum(rng.standard_normal((rows, int(DEGREES))) ** 2, axis=1) / DEGREES
    both = np.stack(
        [normals[:, 0], CORRELATION * normals[:, 0] + math.sqrt(1.0 - CORRELATION**2) * normals[:, 1]], axis=1
    )
    drawn = both / np.sqrt(shock)[:, None]
    x = np.clip(drawn / np.sqrt(np.mean(drawn**2, axis=0)), -MAX_MOVE, MAX_MOVE)
    y = np.clip(-VOL_OF_FALL * x + VOL_NOISE * normals[:, 2:], *VOL_MOVES)
    dates = tuple(f"day {i:03d}" for i in range(1, rows + 1))
    return ScenarioSet("synthetic", "1", ("ETH", "BTC"), dates, x, y)
