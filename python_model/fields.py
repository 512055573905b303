"""Reading numbers and names out of a parsed file, with errors and warnings that name the field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(s?nan|inf(inity)?)", re.IGNORECASE)
# A text, or a bracket outside of texts.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
MAX_DEPTH = 16
MISSING: Any = object()


class CaseError(ValueError):
    """A case that cannot be assessed: one line that names the field and why."""


def shown(raw: Any) -> str:
    """A value for an error message, on one line and short."""
    text = str(raw) if isinstance(raw, Decimal) else json.dumps(raw, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def decimal(raw: Any, path: str) -> Decimal:
    """A finite decimal from a number or a decimal string; CaseError otherwise."""
    if isinstance(raw, Decimal):
        text = str(raw)
    elif isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        text = str(raw).strip()
    else:
        raise CaseError(f"{path}: must be a number (got {shown(raw)})")
    if NOT_FINITE.fullmatch(text):
        raise CaseError(f"{path}: must be a finite number (got {shown(raw)})")
    if not NUMBER.fullmatch(text):
        raise CaseError(f"{path}: must be a number (got {shown(raw)})")
    return Decimal(text)


@dataclass(frozen=True)
class Range:
    """Admissible values of a number and the step that it is rounded to (M-0); a None bound is open-ended."""

    step: str
    low: str | None = None
    high: str | None = None
    above: str | None = None
    below: str | None = None

    def check(self, number: Decimal, path: str, raw: Any) -> None:
        """CaseError where `number` is outside."""
        if self.above is not None and not number > Decimal(self.above):
            raise CaseError(f"{path}: must be greater than {self.above} (got {shown(raw)})")
        if self.low is not None and not number >= Decimal(self.low):
            raise CaseError(f"{path}: must be at least {self.low} (got {shown(raw)})")
        if self.below is not None and not number < Decimal(self.below):
            raise CaseError(f"{path}: must be less than {self.below} (got {shown(raw)})")
        if self.high is not None and not number <= Decimal(self.high):
            raise CaseError(f"{path}: must be at most {self.high} (got {shown(raw)})")

    def rounded(self, number: Decimal) -> Decimal:
        """The nearest multiple of the step."""
        with localcontext() as context:
            context.prec = 60
            return number.quantize(Decimal(self.step), rounding=ROUND_HALF_EVEN)


def read_decimal(raw: Any, path: str, limits: Range, warnings: list[str]) -> Decimal:
    """A number within its range, rounded to its step; a rounding is added to `warnings`."""
    number = decimal(raw, path)
    limits.check(number, path, raw)
    rounded = limits.rounded(number)
    if rounded != number:
        warnings.append(f"{path}: rounded to {limits.step} (from {shown(raw)} to {rounded.normalize():f})")
        limits.check(rounded, path, raw)
    return rounded


@dataclass(frozen=True)
class Fields:
    """One object of the file: its members, the path to it, and the list that collects warnings."""

    members: Mapping[str, Any]
    path: str
    warnings: list[str] = field(default_factory=list)

    @staticmethod
    def of(raw: Any, path: str, warnings: list[str], known: tuple[str, ...] | None = None) -> Fields:
        """The object at `path`; CaseError where it is none or has a member that is not `known` (None: any)."""
        if not isinstance(raw, dict):
            raise CaseError(f"{path or 'case'}: must be an object (got {shown(raw)})")
        fields = Fields(raw, path, warnings)
        for key in raw:
            if not isinstance(key, str) or not key:
                raise CaseError(f"{path or 'case'}: names must be text (got {shown(key)})")
            if known is not None and key not in known:
                raise CaseError(f"{fields.at(key)}: unknown field (known: {', '.join(known)})")
        return fields

    def at(self, key: str) -> str:
        """Path of a member."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether the member is there and not null."""
        return self.members.get(key) is not None

    def get(self, key: str) -> Any:
        """The member; CaseError where it is missing."""
        if key not in self.members:
            raise CaseError(f"{self.at(key)}: missing")
        return self.members[key]

    def number(self, key: str, limits: Range, default: float = MISSING) -> float:
        """A number within its range, rounded to its step; `default` where the member is missing or null."""
        if default is not MISSING and not self.has(key):
            return default
        return float(read_decimal(self.get(key), self.at(key), limits, self.warnings))

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        number = decimal(self.get(key), self.at(key))
        Range("1", str(low), str(high)).check(number, self.at(key), self.members[key])
        if number != int(number):
            raise CaseError(f"{self.at(key)}: must be a whole number (got {shown(self.members[key])})")
        return int(number)

    def text(self, key: str) -> str:
        """A text."""
        raw = self.get(key)
        if not isinstance(raw, str) or not raw:
            raise CaseError(f"{self.at(key)}: must be text (got {shown(raw)})")
        return raw

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of the texts `choices`."""
        raw = self.text(key)
        if raw not in choices:
            raise CaseError(f"{self.at(key)}: unknown {key} {shown(raw)} (known: {', '.join(choices)})")
        return raw

    def rows(self, key: str, most: int) -> list[Any]:
        """A list of at most `most` rows; empty where the member is missing."""
        raw = self.members.get(key, [])
        if not isinstance(raw, list):
            raise CaseError(f"{self.at(key)}: must be a list (got {shown(raw)})")
        if len(raw) > most:
            raise CaseError(f"{self.at(key)}: must have at most {most} rows (got {len(raw)})")
        return raw


def depth(text: str) -> int:
    """Deepest nesting of brackets in a JSON text."""
    level = deepest = 0
    for token in TOKEN.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
        deepest = max(deepest, level)
    return deepest


def load_json(text: str) -> Any:
    """Parse JSON with exact decimals; CaseError for anything but plain JSON, or for a name given twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise CaseError(f"{key}: given twice in one object")
            result[key] = value
        return result

    def not_finite(constant: str) -> Any:
        # Kept as text, so that the error names the field in which it stands.
        return constant

    # The parser recurses: where the recursion limit has been raised, deep nesting would end the process.
    if depth(text) > MAX_DEPTH:
        raise CaseError("case: nested too deeply")
    try:
        return json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=not_finite, object_pairs_hook=unique
        )
    except CaseError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise CaseError(f"case: not JSON ({error})") from None
