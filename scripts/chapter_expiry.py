"""Sixth chapter of the demo: an expiry, its settlement price, who got what, and that nothing was lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

from python_model.portfolio import Position
from python_model.settlement import WINDOW_SECONDS
from scripts import chain, pictures
from scripts.chapter_life import instrument
from scripts.crash import Step
from scripts.expiry import FIXING_SECONDS, Payment, Settlement
from scripts.report import Chapter, Picture, Sheet, cents, tiny, usd, utc
from scripts.story import Stage

# Whose payoff is drawn.
DRAWN = "condor seller"


def wei(amount: int) -> str:
    """An amount at 1e-18, to its last digit."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 10**18:,}.{abs(amount) % 10**18:018d}"


def fixing_sheet(s: Settlement) -> Sheet:
    """How the settlement price came about."""
    rows = []
    for f in s.fixings:
        row = (
            utc(f.time),
            f"{f.spot:,.4f}",
            f"{100 * f.share:.0f}%",
            f"{f.contract:,.6f}",
            f"{f.model:,.6f}",
            tiny(f.difference),
        )
        rows.append(row)
    off = abs(s.price - s.model_price)
    rows.append(("settled", "", "", f"{s.price:,.9f}", f"{s.model_price:,.9f}", tiny(off)))
    return Sheet(
        f"The settlement price of {s.underlying}: the mean of spot over the last {WINDOW_SECONDS // 60} minutes",
        (
            "time\nUTC",
            "spot published\nUSD",
            "of it\nfixed",
            "forward in the margin\nUSD",
            "by model\nUSD",
            "off model\nUSD",
        ),
        "lrrrrr",
        rows,
        f"Spot is published every {FIXING_SECONDS // 60} minutes here, and each price holds until the next. In the "
        "window the margin uses the part of the mean that is known, which no scenario moves, and the forward for the "
        "rest: the nearer the end, the less a single price can do. The first price at or after 08:00 makes the mean "
        "final, for good.",
        frozenset({len(rows) - 1}),
    )


def leg_rows(payment: Payment, price: float) -> list[tuple[str, ...]]:
    """Each expired leg of an account, and the account's sum."""

    def row(leg: Position, paid: float) -> tuple[str, ...]:
        return (payment.name, instrument(leg), f"{leg.size:+,.0f}", cents(abs(paid / leg.size)), cents(paid), "", "")

    rows = [row(leg, paid) for leg, paid in zip(payment.legs, payment.model, strict=True)]
    paid = chain.as_float(payment.paid)
    rows.append((payment.name, "sum", "", "", cents(sum(payment.model)), cents(paid), tiny(payment.difference)))
    return rows


def payment_sheet(s: Settlement) -> Sheet:
    """Who got what for which leg."""
    rows: list[tuple[str, ...]] = []
    strong = set()
    for payment in s.payments:
        rows += leg_rows(payment, s.price)
        strong.add(len(rows) - 1)
    total = sum(p.paid for p in s.payments)
    rows.append(("all", "sum", "", "", cents(sum(sum(p.model) for p in s.payments)), cents(chain.as_float(total)), ""))
    return Sheet(
        "Who gets what",
        (
            "account",
            "leg",
            "size\nETH",
            "pays for one\nUSD",
            "to the account,\nby model, USD",
            "cash by contract\nUSD",
            "off model\nUSD",
        ),
        "llrrrrr",
        rows,
        "An option pays what it is worth at the settlement price: a call what that is above the strike, a put what "
        "it is below. What longs receive shorts pay.",
        frozenset({*strong, len(rows) - 1}),
    )


def account_sheet(s: Settlement) -> Sheet:
    """Every account before and after."""
    rows = []
    for p in s.payments:
        a, b = p.before, p.after
        figures = [cents(x) for x in (a.cash, b.cash, a.net_value, b.net_value)] + [usd(a.initial), usd(b.initial)]
        rows.append((p.name, f"{len(a.book.positions)} → {len(b.book.positions)}", *figures, tiny(b.difference)))
    return Sheet(
        "The accounts before and after, at the same prices",
        (
            "account",
            "legs",
            "cash\nbefore, USD",
            "cash\nafter, USD",
            "net value\nbefore, USD",
            "net value\nafter, USD",
            "margin\nbefore, USD",
            "margin\nafter, USD",
            "off model\nUSD",
        ),
        "lrrrrrrrr",
        rows,
        "Settlement changes what nobody is worth. Margin is initial margin: what a settlement price has fixed moves "
        "no more, so that it has counted as money since, and covers nothing else.",
    )


def conserved(s: Settlement) -> str:
    """The conservation line, to the wei."""
    total = sum(p.paid for p in s.payments)
    return (
        f"Cash is conserved to the wei: the accounts together got {wei(total)} USD; the cash of all accounts and the "
        f"reserve was {wei(s.cash_before)} USD before and {wei(s.cash_after)} USD after. One call of anybody settled "
        f"{sum(len(p.legs) for p in s.payments)} legs of {len(s.payments)} accounts for {s.gas:,} gas; the same call "
        f"again finds {s.settled_again} legs to settle."
    )


def chapter(stage: Stage, steps: Sequence[Step]) -> Chapter:
    """Tell the expiry as it was settled on the way."""
    s = next(settlement for step in steps for settlement in step.settlements)
    drawn = next(p for p in s.payments if p.name == DRAWN)
    times, spots = zip(*((f.time, f.spot) for f in s.fixings), strict=True)
    return Chapter(
        f"6. An expiry: {utc(s.expiry)} UTC",
        [
            f"On the way down some options ended: those of {utc(s.expiry)} UTC, among them the package of chapter 3 "
            "and the calls of the call seller. Nobody delivers anything: options pay their value at the settlement "
            "price in cash.",
            fixing_sheet(s),
            payment_sheet(s),
            Picture(
                pictures.expiry(times, spots, [f.contract for f in s.fixings], s.price, drawn.legs),
                "The settlement price, and what the condor pays at it",
                "Left: spot as published, each price holding until the next (grey), and the forward that the margin "
                "uses (blue), which comes to rest at the mean. Right: what the condor seller's legs pay by "
                "settlement price; the dot is what they paid.",
            ),
            account_sheet(s),
            conserved(s),
        ],
    )
