"""Fifth chapter of the demo: the crash, who was liquidated and when, and who paid what."""

from __future__ import annotations

from collections.abc import Sequence

from python_model.liquidation import Terms
from python_model.portfolio import Market
from scripts import pictures
from scripts.crash import WATCH_SECONDS, Sale, Step
from scripts.pictures import Track
from scripts.report import Chapter, Picture, Sheet, cents, percent, tiny, usd, utc
from scripts.story import Stage, Standing

WATCHED = ("call seller", "market maker", "put seller")
SHOWN_SECONDS = 12 * 3600
INSURANCE = "insurance fund"
TERMS = Terms()


def cover(standing: Standing) -> float:
    """Equity as a share of maintenance margin."""
    return standing.equity_maintenance / standing.maintenance


def path_sheet(steps: Sequence[Step], anchors: Sequence[int]) -> Sheet:
    """Prices, and equity against maintenance margin: every half day, recorded market, sale and expiry."""
    rows, strong = [], set()

    def row(time: str, market: Market, standings: dict[str, Standing], event: str) -> tuple[str, ...]:
        first, second, third = (standings[name] for name in WATCHED)
        figures = [f"{market.underlyings[name].spot:,.0f}" for name in ("ETH", "BTC")]
        for s in (first, second):
            figures += [usd(s.equity_maintenance), percent(cover(s))]
        figures += [
            usd(third.equity_maintenance),
            usd(third.initial),
            usd(third.maintenance),
            f"{100 * cover(third):.2f}%",
        ]
        return (time, *figures, tiny(max(s.difference for s in standings.values())), event)

    for step in steps:
        time = step.market.as_of
        if not (step.sales or step.settlements or time in anchors or (time - anchors[0]) % SHOWN_SECONDS == 0):
            continue
        event = "breach" if step.sales else "expiry" if step.settlements else "recorded" if time in anchors else ""
        rows.append(row(utc(time), step.market, step.standings, event))
        for sale in step.sales:
            strong |= {len(rows) - 1, len(rows)}
            after = {**step.standings, sale.seller: sale.after[0], sale.bidder: sale.after[1]}
            rows.append(row("", step.market, after, f"{percent(sale.fraction)} sold"))
    return Sheet(
        "On the way down: equity against margin",
        (
            "time\nUTC",
            "ETH\nUSD",
            "BTC\nUSD",
            "calls\nequity",
            "\ncover",
            "maker\nequity",
            "\ncover",
            "puts\nequity",
            "initial\nmargin",
            "maint.\nmargin",
            "\ncover",
            "off\nmodel",
            "event",
        ),
        "l" + "r" * 11 + "l",
        rows,
        "Calls, maker and puts stand for call seller, market maker and put seller; money in USD. Cover is equity "
        "as a share of maintenance margin: under 100% an account may be liquidated. Off model: the largest "
        "difference of any requirement or equity of all accounts.",
        frozenset(strong),
    )


def sale_sheet(sales: Sequence[Sale]) -> Sheet:
    """Each liquidation: size, price and effect."""
    rows = [
        (
            str(i + 1),
            utc(s.time),
            f"{100 * s.fraction:.2f}%",
            cents(s.slice_value),
            cents(s.price),
            cents(s.discount),
            cents(s.fee),
            f"{100 * cover(s.before[0]):.2f}%",
            f"{100 * cover(s.after[0]):.2f}%",
            f"{s.gas:,}",
        )
        for i, s in enumerate(sales)
    ]
    return Sheet(
        "Liquidations of the put seller, executed on the chain by the bidder",
        (
            "sale",
            "time\nUTC",
            "slice of\neverything",
            "net value of\nslice, USD",
            "price paid\nUSD",
            "discount\nUSD",
            "fee to the\nfund, USD",
            "cover\nbefore",
            "cover\nafter",
            "gas",
        ),
        "rlrrrrrrrr",
        rows,
        "The bidder takes the largest slice that the rule allows: just enough to bring the account back to initial "
        "margin. It comes at once: its bid starts the auction, at net value less "
        f"{percent(TERMS.first_discount)}. The insurance fund gets {percent(TERMS.fee)} of the net value sold. The "
        "model finds the same size, price and fee.",
    )


def payment_sheet(sales: Sequence[Sale]) -> Sheet:
    """Who paid what in each liquidation."""
    rows, strong = [], set()
    for i, sale in enumerate(sales):
        pairs = [(before, after) for before, after in zip(sale.before, sale.after, strict=True)]
        for who, (before, after) in zip((sale.seller, sale.bidder), pairs, strict=True):
            figures = (before.cash, after.cash, after.cash - before.cash)
            values = (before.net_value, after.net_value, after.net_value - before.net_value)
            rows.append((str(i + 1), who, *(cents(x) for x in figures), *(cents(x) for x in values)))
        earned = sale.fund[1] - sale.fund[0]
        rows.append((str(i + 1), INSURANCE, *2 * tuple(cents(x) for x in (*sale.fund, earned))))
        strong.add(len(rows))
        moved = sum(after.cash - before.cash for before, after in pairs) + earned
        gained = sum(after.net_value - before.net_value for before, after in pairs) + earned
        rows.append((str(i + 1), "sum", "", "", cents(moved), "", "", cents(gained)))
    return Sheet(
        "Who paid what",
        (
            "sale",
            "account",
            "cash\nbefore, USD",
            "cash\nafter, USD",
            "change\nUSD",
            "net value\nbefore, USD",
            "net value\nafter, USD",
            "change\nUSD",
        ),
        "rlrrrrrr",
        rows,
        "With its share of the short puts the bidder takes over the same share of the seller's cash, and pays the "
        "price out of it. The seller loses the discount and the fee, the bidder gains the one and the insurance "
        "fund the other, and nobody else is touched.",
        frozenset(strong),
    )


def result_sheet(first: Step, last: Step, sales: Sequence[Sale]) -> Sheet:
    """Who gained and lost over the whole crash."""
    rows, sums = [], [0.0, 0.0, 0.0, 0.0]
    for name, start in first.standings.items():
        end = last.standings[name]
        change = end.net_value - start.net_value
        # Nobody's collateral was sold.
        pairs = zip(start.book.collateral, end.book.collateral, strict=True)
        ether = sum(a.amount * (b.price - a.price) for a, b in pairs)
        sold = sum(s.discount * (s.bidder == name) - (s.discount + s.fee) * (s.seller == name) for s in sales)
        parts = (change, ether, change - ether - sold, sold)
        sums = [a + b for a, b in zip(sums, parts, strict=True)]
        rows.append((name, usd(start.net_value), usd(end.net_value), *(usd(x) for x in parts)))
    if sales:
        before, after = sales[0].fund[0], sales[-1].fund[1]
        parts = (after - before, 0.0, after - before - sum(s.fee for s in sales), sum(s.fee for s in sales))
        sums = [a + b for a, b in zip(sums, parts, strict=True)]
        rows.append((INSURANCE, usd(before), usd(after), *(usd(x) for x in parts)))
    rows.append(("sum", "", "", *(usd(x) for x in sums)))
    return Sheet(
        "Who gained and who lost over the whole crash",
        (
            "account",
            "net value\nat first, USD",
            "net value\nat last, USD",
            "change\nUSD",
            "by ether held\nUSD",
            "by derivatives\nUSD",
            "by sales\nUSD",
        ),
        "lrrrrrr",
        rows,
        "Derivatives and sales, which are discounts and fees, add up to nothing: what one account loses another gains. "
        "Only WETH and wstETH lost value by itself.",
        frozenset({len(rows) - 1}),
    )


def track(name: str, steps: Sequence[Step]) -> Track:
    """One account over the steps; a sale adds the state after it."""
    rows: list[tuple[int, Standing]] = []
    marks = []
    for step in steps:
        rows.append((step.market.as_of, step.standings[name]))
        for sale in step.sales:
            if sale.seller == name:
                marks.append((sale.time, sale.before[0].equity_maintenance, f"{percent(sale.fraction)} sold"))
                rows.append((sale.time, sale.after[0]))
    return Track(
        title=name.capitalize(),
        times=[time for time, _ in rows],
        equity=[s.equity_maintenance for _, s in rows],
        initial=[s.initial for _, s in rows],
        maintenance=[s.maintenance for _, s in rows],
        sales=marks,
    )


def chapter(stage: Stage, steps: Sequence[Step]) -> Chapter:
    """Tell the crash as it was replayed."""
    anchors = [anchor.as_of for anchor in stage.path.anchors]
    sales = [sale for step in steps for sale in step.sales]
    prices = {name: [s.market.underlyings[name].spot for s in steps] for name in ("ETH", "BTC")}
    low = [step.market.as_of for step in steps].index(anchors[1])
    eth, btc = (percent(1.0 - row[low] / row[0]) for row in prices.values())
    chart = pictures.crash(
        [step.market.as_of for step in steps], prices, [track(name, steps) for name in WATCHED], anchors
    )
    return Chapter(
        "5. The crash of 5 and 6 February 2026",
        [
            f"Three markets are recorded: {', '.join(utc(a) for a in anchors)} UTC. From the first to the second "
            f"ETH fell by {eth} and BTC by {btc}. What lies between them is interpolated in proportion to time, so "
            "the hours of the liquidations are those of the interpolated path, not of history, which was rougher. "
            "The chain's clock moves along: options decay towards their own expiries, and those of 4 February are "
            "settled on the way, of which the next chapter tells. A bidder looks at every account once in "
            f"{WATCH_SECONDS // 60} minutes.",
            path_sheet(steps, anchors),
            Picture(
                chart,
                "Three accounts in the crash",
                "Blue is what an account has, orange what it needs to take risk, red what it needs to be left "
                "alone. The call seller loses with its ETH, and needs less and less. The market maker's hedged "
                "book moves little. The put seller began with nothing to spare: each time blue meets red a slice "
                "of everything is sold (triangle), the requirement falls with the size of the book, and what is "
                "left is safe again for a while.",
            ),
            sale_sheet(sales),
            payment_sheet(sales),
            result_sheet(steps[0], steps[-1], sales),
        ],
    )
