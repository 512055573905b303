"""A requirement explained for people: the waterfall, the worst scenario, legs, and what packages change, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from python_model.case import Case, Package
from python_model.explanation import Explanation, Worst, changes
from python_model.portfolio import Mode
from scripts.desk import Outcome

# Legs that a table names; those between the dearest and those that free most are one row.
MOST_LEGS = 24
# Figures of an account that a package changes, by their names in a result.
ACCOUNT = {
    "maintenance": "maintenance margin",
    "initial": "initial margin",
    "equity_maintenance": "maintenance equity",
    "equity_initial": "initial equity",
    "free_collateral": "buffer",
}


class Dollars:
    """How a table writes dollars: with cents, or six decimals where the table has nothing that cents would tell."""

    def __init__(self, values: Iterable[float]) -> None:
        """Of all the values that the table has."""
        largest = max((abs(value) for value in values), default=0.0)
        self.digits = 2 if largest >= 1.0 else 6
        self.huge = largest >= 1e12

    def __call__(self, value: float, signed: bool = False) -> str:
        """A value; a change is signed. In powers of ten where there are huge ones."""
        # Not `-0.00`.
        value = 0.0 if abs(value) < 0.5 * 10.0**-self.digits else value
        sign = "+" if signed and value else ""
        return f"{value:{sign}.8e}" if self.huge else f"{value:{sign},.{self.digits}f}"


def grid(title: str, first: str, *others: str) -> Table:
    """A table of names, which fold, and of numbers, which do not."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def waterfall_table(explanation: Explanation) -> Table:
    """What the requirement is made of, and what equity leaves."""
    usd = Dollars(row.amount for row in explanation.waterfall)
    table = grid("From scan to buffer, by the model", "step", "USD")
    for row in explanation.waterfall:
        table.add_row(
            escape(f"= {row.label}" if row.total else f"  {row.label}"),
            usd(row.amount),
            style="bold" if row.total else None,
            end_section=row.total,
        )
    return table


def legs_table(explanation: Explanation) -> Table:
    """The maintenance margin by legs."""
    shares, total = explanation.legs, sum(share.amount for share in explanation.legs)
    usd = Dollars(share.amount for share in shares)
    table = grid("What costs margin: the maintenance margin by legs", "leg", "USD", "share")

    def share_of(amount: float) -> str:
        return f"{100 * amount / total:.1f}%" if total > 0.0 else ""

    half = MOST_LEGS // 2
    few = len(shares) <= MOST_LEGS
    for share in shares if few else shares[:half]:
        table.add_row(escape(share.words), usd(share.amount), share_of(share.amount))
    if not few:
        between = sum(share.amount for share in shares[half:-half])
        table.add_row(f"{len(shares) - MOST_LEGS} legs between", usd(between), share_of(between), style="dim")
        for share in shares[-half:]:
            table.add_row(escape(share.words), usd(share.amount), share_of(share.amount))
    table.add_section()
    table.add_row("= maintenance margin", usd(total), share_of(total), style="bold")
    return table


def worst_in_words(worst: Worst) -> str:
    """Where all legs together lose most, and what."""
    return escape(f"{worst.words}: P&L {Dollars([worst.pnl])(worst.pnl)} USD")


def package_tables(
    before: Explanation, after: Explanation, package: dict[str, Any], r: dict[str, Any]
) -> Iterator[Table]:
    """What a package changes: of the account, and by instruments."""
    name, there = escape(package["name"]), package["contract"]
    own = r["contract"] | {"free_collateral": r["contract"]["equity_initial"] - r["contract"]["initial"]}
    usd = Dollars([*there["after"].values(), *(own[key] for key in ACCOUNT)])
    table = grid(f"What if: {name}", "figure, USD, by the contract", "now", "after", "change")
    for key, title in ACCOUNT.items():
        change = there["change"][key]
        table.add_row(title, usd(own[key]), usd(there["after"][key]), usd(change, signed=True))
    yield table
    moved = changes(before, after)
    usd = Dollars(amount for _, *amounts in moved for amount in amounts)
    rows = [row for row in moved if usd(row[2] - row[1]) != usd(0.0)]
    if rows:
        half = MOST_LEGS // 2
        shown = rows if len(rows) <= MOST_LEGS else rows[:half] + rows[-half:]
        legs = grid(f"{name}: maintenance by instrument", "instrument, USD", "now", "after", "change")
        for words, old, new in shown:
            legs.add_row(escape(words), usd(old), usd(new), usd(new - old, signed=True))
        if len(rows) > len(shown):
            legs.caption = f"and {len(rows) - len(shown)} that change less"
        yield legs


def cash_in_words(package: Package, cash: float) -> str:
    """What a package does to the cash."""
    paid = ", as its options cost at their mark" if package.cash is None else ""
    return f"Cash changes by {Dollars([cash])(cash, signed=True)} USD{paid}." if cash else "Cash does not change."


def tell(console: Console, case: Case, outcome: Outcome) -> None:
    """Print the explanation of an outcome."""
    explanation = outcome.explanation
    if explanation is None:
        return
    console.print()
    console.print(waterfall_table(explanation))
    told = worst_in_words(explanation.worst)
    if explanation.worst.pnl == 0.0:
        line = f"All legs together: {explanation.worst.words}."
    elif explanation.worst.day is None or case.tail is None:
        line = f"All legs together lose most in the worst scenario, {told} (vols of 30 days)."
    else:
        count, k = len(case.tail.scenarios), case.tail.k
        line = f"All legs together lose most on the worst of {count} days, {told} (vols of 30 days); "
        line += f"their expected shortfall is the mean of the {k} worst."
    console.print(line, highlight=False)
    if case.book.mode is not Mode.PORTFOLIO and len(explanation.legs) > 1:
        console.print("In this mode each leg is margined in its own worst scenario, without offsets.", highlight=False)
    if explanation.legs:
        console.print()
        console.print(legs_table(explanation))
    told_packages = outcome.result["explanation"]["packages"]
    for paid, package, after in zip(case.packages, told_packages, outcome.changed, strict=True):
        console.print()
        for table in package_tables(explanation, after, package, outcome.result):
            console.print(table)
        console.print(cash_in_words(paid, package["cash"]), highlight=False)
        console.print(f"Worst now: {told}.", highlight=False)
        console.print(f"Worst then: {worst_in_words(after.worst)}.", highlight=False)
