"""Chapter of the demo: an auction minute by minute, and a loss from the account that made it to everybody and back."""

from __future__ import annotations

from itertools import pairwise
from textwrap import fill

from scripts import chain, waterfall
from scripts.pictures import BLUE, BROWN, GREY, ORANGE, RED, SKY, drawing, png
from scripts.report import Chapter, Picture, Sheet, cents, percent, usd
from scripts.waterfall import Look, Moment, Story

# Who bears a loss, in order, and in which colour.
BEARERS = {
    "trader": GREY,
    "junior": ORANGE,
    "senior": BROWN,
    "counterparties": BLUE,
    "everybody's cash": RED,
    "who withdrew": SKY,
    "nobody yet": "#E1E6EB",
}


def auction_picture(looks: tuple[Look, ...]) -> bytes:
    """The discount, and below it equity against both requirements; triangles are sales."""
    with drawing(10, 6.6) as figure:
        top, low = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": [1.0, 1.6]})
        minutes = [x.minute for x in looks]
        top.step(minutes, [100 * x.discount for x in looks], where="post", color=BROWN, lw=2)
        top.set_title("Discount of the auction, % of net value")
        top.set_ylim(0, 110 * max(x.discount for x in looks))
        for style, colour, words, row in (
            ("-", BLUE, "equity", [x.equity for x in looks]),
            ("--", ORANGE, "initial margin", [x.initial for x in looks]),
            ("-.", RED, "maintenance margin", [x.maintenance for x in looks]),
        ):
            low.plot(minutes, row, style, color=colour, lw=2, label=words)
        for before, x in pairwise(looks):
            if x.sold:
                for axes, level in ((top, 100 * before.discount), (low, x.equity)):
                    axes.plot(x.minute, level, "v", color="#1B2330", ms=9, zorder=5)
                words = f"{100 * x.sold:.0f}% for {x.price:,.0f} USD"
                low.annotate(words, (x.minute, x.equity), (10, 34), textcoords="offset points", fontsize=9)
        low.set_ylim(bottom=0)
        low.set_title("The account, USD")
        low.set_xlabel("minutes since the price fell")
        low.legend(loc="upper right", ncols=3)
        for axes in (top, low):
            axes.grid(axis="y", color="#E1E6EB", lw=0.8)
        return png(figure)


def waterfall_picture(moments: tuple[Moment, ...]) -> bytes:
    """Who bears how much of the loss at each stage, one upon the other."""
    with drawing(10, 5.8) as figure:
        axes = figure.subplots()
        floor = [0.0] * len(moments)
        for name, colour in BEARERS.items():
            heights = [max(chain.as_float(m.borne[name]), 0.0) for m in moments]
            axes.bar(range(len(moments)), heights, bottom=floor, color=colour, width=0.72, label=name)
            floor = [a + b for a, b in zip(floor, heights, strict=True)]
        labels = ["\n".join((fill(m.words, 11), clock(m.minute))) for m in moments]
        axes.set_xticks(range(len(moments)), labels, fontsize=8.5)
        axes.set_ylim(0, 1.08 * max(floor))
        axes.set_ylabel("USD")
        axes.set_title("Who bears the loss, and when")
        axes.grid(axis="y", color="#E1E6EB", lw=0.8)
        axes.set_axisbelow(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return png(figure)


def clock(minute: float) -> str:
    """Time since prices fell, in words."""
    if minute < 1.0:
        return "at once"
    return f"{minute:.0f} min" if minute < 600 else f"day {minute / 1440:.0f}"


def sale_sheet(looks: tuple[Look, ...]) -> Sheet:
    """What the keeper bought."""
    rows = [
        (
            f"{x.minute:.0f}",
            percent(before.discount),
            percent(x.sold),
            cents(x.price),
            cents(x.equity),
            cents(x.initial),
        )
        for before, x in pairwise(looks)
        if x.sold
    ]
    return Sheet(
        "Bought by a keeper that watched the chain",
        ("minute", "discount", "part of\nthe account", "price\nUSD", "equity after\nUSD", "initial margin\nUSD"),
        "rrrrrr",
        rows,
        f"The keeper of `make keeper`, once a minute, content with {waterfall.PROFIT:.0f} USD after hedge and gas.",
    )


def moment_sheet(moments: tuple[Moment, ...]) -> Sheet:
    """Whose money there is at each stage, and the sum."""
    names = [name for name in moments[0].worth if any(m.worth[name] for m in moments)]
    rows = [
        (m.words, *(usd(chain.as_float(m.worth[n])) for n in names), usd(chain.as_float(sum(m.worth.values()))))
        for m in moments
    ]
    return Sheet(
        "Whose money there is, USD",
        ("stage", *names, "sum"),
        "l" + "r" * (len(names) + 1),
        rows,
        "Cash less cost and perpetuals at the price; of the fund what is nobody's yet, or what it owes; claims that "
        "are covered and not paid.",
    )


def borne_sheet(moments: tuple[Moment, ...]) -> Sheet:
    """Who bears the loss at each stage."""
    rows = [
        (f"{m.words}\n{clock(m.minute)}", *(cents(chain.as_float(m.borne[name])) for name in BEARERS)) for m in moments
    ]
    return Sheet("Who bears the loss, USD", ("stage", *BEARERS), "l" + "r" * len(BEARERS), rows)


def chapter(title: str, story: Story) -> Chapter:
    """Tell both."""
    first = story.moments[0]
    held = "to the last unit of 1e-18 USD" if story.holds else "NOT TO THE LAST UNIT"
    return Chapter(
        title,
        [
            f"An account is long {waterfall.PERPS:.0f} perpetuals at {waterfall.ENTRY:,.0f} USD on "
            f"{waterfall.DEPOSITED:,.0f} USD, and the price falls to {waterfall.SICK:,.0f} USD, later to "
            f"{waterfall.SICKER:,.0f}. A keeper starts the auction; the discount rises by the minute until it pays.",
            Picture(
                auction_picture(story.looks),
                "An auction in time",
                "Blue is what the account has, red what it needs to be left alone. When the discount pays what the "
                "keeper wants, it buys just so much of everything that the account has initial margin (orange) again; "
                "when the price falls once more, another auction begins, at its first discount.",
            ),
            sale_sheet(story.looks),
            "Another account like it, and the price halves at once: 10,000 USD are lost on 4,500. Nobody bids, the "
            f"fund of {waterfall.JUNIOR + waterfall.SENIOR:,.0f} USD is too small for what a bidder would ask; one of "
            "two counterparties is nominated.",
            Picture(
                waterfall_picture(story.moments),
                "A loss in time",
                "Dark grey is the account's own money, light grey what nobody has paid yet; then the junior tranche, "
                "the senior tranche, the counterparty that closes at the bankruptcy price, and what the fund owes: "
                "everybody's cash. Who withdraws meanwhile is cut and has a claim. Later income covers debt and claim "
                "in step, before the fund's holders get any.",
            ),
            borne_sheet(story.moments),
            moment_sheet(story.moments),
            f"At every stage all that everybody has is {cents(chain.as_float(sum(first.worth.values())))} USD, "
            f"which is what the vault holds and what was withdrawn, {held}.",
        ],
    )
