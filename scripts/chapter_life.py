"""Second chapter of the demo: accounts, deposits, trades, a batch and the margin check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from python_model import aggregation, books, margin
from python_model.books import STRATEGIES
from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market, Mode, Position
from scripts import story
from scripts.report import Chapter, Sheet, cents, tiny, usd
from scripts.story import Stage, Standing, Told

# What the users bring, USD and ETH.
FUND_USD, FUND_ETHER, MAKER_USD, BIDDER_USD, SELLER_USD = 1_000_000.0, 200.0, 150_000.0, 200_000.0, 100_000.0
WRITER_ETHER, WRITER_PAYOUT, TOO_MUCH = 50.0, 2_000.0, 20_000.0
# What each contract is for, by its name in `Protocol`.
PURPOSE = {
    "clearing_house": "accounts, vaults, cash, positions: the only holder of money",
    "collaterals": "what each collateral is worth, and how fast it may leave",
    "exchange": "what two sides agreed to: EIP-712 orders, fees, listing",
    "liquidation": "auctions of unhealthy accounts: when, how much, for what",
    "deleveraging": "who shares a loss that nobody else bears",
    "settlement": "expired legs become cash",
    "money_market": "interest between accounts that owe cash and accounts that have it",
    "interest_rates": "the curve of its rates",
    "backstop": "the insurance fund: who bears its losses, who gets its income",
    "junior": "shares of its first loss; those of the senior tranche are alike",
    "yields": "what the protocol earns goes to idle cash and the fund",
    "engine": "what an account needs",
    "report": "what a requirement is made of; whether an act took risk",
    "methodology": "scenarios and charges, as data",
    "kernel": "option prices over a ladder of scenarios",
    "market_data": "prices, forwards and vol surfaces, with their times; funding; settlement prices",
    "lens": "what a front end asks of an account, in one call",
}
# Greeks in the units of a trading desk: name, factor, format.
GREEKS = (
    ("delta", 1.0, 3),
    ("gamma", 1.0, 4),
    ("vega", 0.01, 1),
    ("theta", 1.0, 1),
    ("rho", 0.01, 1),
)


def instrument(position: Position) -> str:
    """An option in words: `27 Feb 2,600 call`."""
    moment = datetime.fromtimestamp(position.expiry or 0, UTC)
    return f"{moment.day} {moment:%b} {position.strike:,.0f} {position.kind.value}"


def listing(positions: Sequence[Position]) -> str:
    """Sizes and instruments in words, without signs."""
    return ", ".join(f"{abs(p.size):.0f} × {instrument(p)}" for p in positions)


def written_calls(market: Market) -> list[Position]:
    """What the covered-call seller sells: calls of two days, and of four weeks."""
    return [books.option(market, Kind.CALL, 1.05, -20.0, 2), books.option(market, Kind.CALL, 1.10, -30.0, 25)]


def most_puts(market: Market, methodology: Methodology, money: float) -> list[Position]:
    """As many puts of two strikes as an account with this money may sell, in tens of ETH."""

    def sold(size: float) -> list[Position]:
        return [books.option(market, Kind.PUT, multiple, -size, 25) for multiple in (0.85, 0.95)]

    def fits(size: float) -> bool:
        book = Book(Mode.PORTFOLIO, 0.0, (), tuple(sold(size)))
        return margin.assess(book, market, methodology).initial <= 0.995 * money

    size = 10.0
    while fits(size + 10.0):
        size += 10.0
    return sold(size)


def expiries(market: Market) -> set[int]:
    """Every expiry of the story."""
    legs = [p for s in STRATEGIES for p in s.build(market).positions] + written_calls(market)
    return {p.expiry for p in legs if p.expiry is not None}


def protocol_sheet(stage: Stage) -> Sheet:
    """The contracts as they stand on the chain."""
    rows = []
    for key, purpose in PURPOSE.items():
        contract = getattr(stage.protocol, key)
        code = len(contract.provider.get_code(contract.address))
        gas = contract.creation_metadata.receipt.gas_used
        rows.append((contract.contract_type.name, purpose, f"{code:,}", f"{gas:,}"))
    return Sheet(
        "The protocol on the chain", ("contract", "what it does", "code\nbytes", "gas of\ndeployment"), "llrr", rows
    )


def events(stage: Stage, owners: Sequence[Any]) -> Sheet:
    """Let the users act, and log it."""
    log: list[tuple[str, ...]] = []

    def note(who: str, what: str, gas: int | None, premium: float | None = None) -> None:
        money = "" if premium is None else cents(premium)
        log.append((str(len(log) + 1), who, what, money, "" if gas is None else f"{gas:,}"))

    fund = story.join(stage, "fund", owners[0], FUND_USD, FUND_ETHER)
    maker = story.join(stage, "market maker", owners[1], MAKER_USD)
    writer = story.join(stage, "call seller", owners[2])
    seller = story.join(stage, "put seller", owners[3], SELLER_USD)
    story.join(stage, "bidder", owners[4], BIDDER_USD)
    note("all five", "open an account in portfolio mode each", stage.gas["open an account"])
    others = f"{usd(MAKER_USD)}, {usd(SELLER_USD)} and {usd(BIDDER_USD)}"
    note("fund", f"deposits {usd(FUND_USD)} USDC; others bring {others}", stage.gas["deposit USDC"])
    note("fund", f"deposits {FUND_ETHER:.0f} WETH, a position inside the scenario grid", stage.gas["deposit WETH"])

    for name in ("ETH", "BTC"):
        legs = [p for p in books.market_maker(stage.market).positions if p.underlying == name]
        package = [replace(p, size=-p.size) for p in legs]
        premium = story.premium(package, stage.market)
        receipt = story.trade(stage, fund, maker, package)
        words = f"takes the maker's {len(package)} legs of {name} in one package, by the maker's EIP-712 signature"
        note("fund", words, receipt.gas_used, premium)
    calls = written_calls(stage.market)
    premium = story.premium(calls, stage.market)
    receipt = story.deposit_trade_withdraw(stage, writer, maker, WRITER_ETHER, calls, WRITER_PAYOUT)
    words = f"deposits {WRITER_ETHER:.0f} WETH, sells {listing(calls)}, withdraws {usd(WRITER_PAYOUT)} USDC"
    note("call seller", f"in one batch, checked once: {words}", receipt.gas_used, premium)
    puts = most_puts(stage.market, stage.methodology, SELLER_USD)
    premium = story.premium(puts, stage.market)
    receipt = story.trade(stage, seller, maker, puts)
    note("put seller", f"sells {listing(puts)}: as many as the money allows", receipt.gas_used, premium)
    refusal = story.refused_withdrawal(stage, seller, TOO_MUCH)
    note("put seller", f"asks for {usd(TOO_MUCH)} USDC back: refused, “{refusal}”", None)
    hedge = -round(books.delta(story.book_of(stage, maker).positions, "ETH", stage.market), 3)
    receipt = story.trade(stage, maker, fund, [books.perp("ETH", hedge)])
    note("market maker", f"hedges its delta by {hedge:+,.3f} ETH perpetual; this time the fund signs", receipt.gas_used)
    return Sheet(
        "What happened",
        ("step", "who", "what", "premium\nreceived, USD", "gas"),
        "rllrr",
        log,
        "Trades are at the model's marks, in whole cents. The maker signs, the taker sends. Fees are 1 bp of the "
        "notional from makers and 3 bps from takers, of an option at most an eighth of its premium: "
        f"{usd(story.collected(stage))} USD in all. The refused withdrawal shows the check at work: it would have left "
        "the account below initial margin.",
    )


def standing_sheet(standings: dict[str, Standing]) -> Sheet:
    """Every account after its trades."""
    rows = [
        (
            name,
            str(len(s.book.positions)),
            *(usd(x) for x in (s.cash, s.net_value, s.equity_initial, s.initial, s.maintenance)),
            usd(s.equity_initial - s.initial),
            tiny(s.difference),
        )
        for name, s in standings.items()
    ]
    return Sheet(
        "The margin check: every account after its trades",
        (
            "account",
            "legs",
            "cash\nUSD",
            "net value\nUSD",
            "equity\nUSD",
            "initial\nmargin, USD",
            "maintenance\nmargin, USD",
            "free\nUSD",
            "off model\nUSD",
        ),
        "lrrrrrrrr",
        rows,
        "Net value counts everything at its mark; equity takes a haircut off WETH. Free, equity less initial "
        "margin, may be withdrawn or put at risk. Below maintenance margin an account may be liquidated.",
    )


def check_sheet(stage: Stage, told: Told) -> Sheet:
    """What a requirement is made of, from the worst losses down to the initial margin."""
    contract, model, *_ = told
    names = sorted(contract["charges"], reverse=True)

    def total(charge: str) -> tuple[float, float]:
        return (
            sum(contract["charges"][name][charge] for name in names),
            sum(float(getattr(model.charges[name], charge)) for name in names),
        )

    def credit(pnl: dict[str, list[float]], apart: float) -> float:
        return aggregation.total_scan({name: np.array(row) for name, row in pnl.items()}, stage.methodology) - apart

    apart = total("scan")
    lines: list[tuple[str, float, float, str]] = [
        (
            f"worst loss of {name}",
            contract["charges"][name]["scan"],
            model.charges[name].scan,
            story.in_words(stage, name, contract["worst_scenario"][name]),
        )
        for name in names
    ]
    lines.append(
        (
            "credit of ETH and BTC",
            credit(contract["scenario_pnl"], apart[0]),
            credit(model.scenario_pnl, apart[1]),
            "their worst scenarios are not the same one",
        )
    )
    lines.append(("calendar charge", *total("calendar"), "one expiry hedges another's delta, but not quite"))
    lines.append(("vega calendar charge", *total("vega_calendar"), "nor its vega"))
    lines.append(("liquidation cost", *total("liquidity"), "half-spreads, and the depth of the market"))
    rest = (
        contract["maintenance"] - sum(line[1] for line in lines),
        model.maintenance - sum(line[2] for line in lines),
    )
    lines.append(("bound of the price error", rest[0], rest[1], "the contract rounds against the account"))
    lines.append(("maintenance margin", contract["maintenance"], model.maintenance, "the sum; below it: liquidation"))
    factor = f"{stage.methodology.initial_factor:.2f} times that, and the doubt about the price"
    lines.append(("initial margin", contract["initial"], model.initial, factor))
    rows = [(title, cents(a), cents(b), tiny(abs(a - b)), why) for title, a, b, why in lines]
    return Sheet(
        "What the market maker's margin is made of",
        ("part", "contract\nUSD", "model\nUSD", "difference\nUSD", "why"),
        "lrrrl",
        rows,
        "",
        frozenset({len(rows) - 2, len(rows) - 1}),
    )


def worst_sheet(stage: Stage, told: dict[str, Told]) -> Sheet:
    """The worst scenario of every account, in words."""
    rows = [
        (account, name, story.in_words(stage, name, scenario), usd(contract["scenario_pnl"][name][scenario]))
        for account, (contract, *_) in told.items()
        for name, scenario in sorted(contract["worst_scenario"].items(), reverse=True)
    ]
    columns = ("account", "underlying", "worst scenario", "profit or loss\nUSD")
    return Sheet("What each account fears most", columns, "lllr", rows)


def greeks_sheet(told: dict[str, Told]) -> Sheet:
    """Greeks, contract above model."""
    rows = []
    for account, (contract, model, *_) in told.items():
        for name in sorted(contract["greeks"], reverse=True):
            for side, greeks in (("contract", contract["greeks"][name]), ("model", model.greeks[name])):
                # Adding nothing turns a negative zero into a plain one.
                figures = (f"{round(greeks[key] * factor, places) + 0.0:,.{places}f}" for key, factor, places in GREEKS)
                rows.append((account, name, side, *figures))
    return Sheet(
        "Greeks of the whole account",
        (
            "account",
            "underlying",
            "by",
            "delta\nunits",
            "gamma\nunits per USD",
            "vega\nUSD per vol point",
            "theta\nUSD a day",
            "rho\nUSD per 1% of rate",
        ),
        "lllrrrrr",
        rows,
        "Delta includes WETH held as collateral; the market maker's hedges leave it none.",
    )


def chapter(stage: Stage, owners: Sequence[Any]) -> Chapter:
    """Live through it, and tell."""
    happened = events(stage, owners)
    standings = {name: story.standing(stage, actor) for name, actor in stage.actors.items()}
    told = {
        name: story.explain(stage, story.book_of(stage, stage.actors[name]))
        for name in ("market maker", "call seller", "put seller")
    }
    return Chapter(
        "2. The life of a book on the chain",
        [
            "The protocol stands on a chain of its own (Anvil), whose clock runs a whole number of weeks after "
            "history. Five users: a fund, rich and patient; a market maker who quotes both sides; a prudent seller "
            "of calls who owns the ETH; a seller of puts who stakes all that margin allows; and a bidder with idle "
            "cash. Every trade moves a package between two accounts by opposite amounts, and both are checked at "
            "the end of the call.",
            protocol_sheet(stage),
            happened,
            standing_sheet(standings),
            check_sheet(stage, told["market maker"]),
            worst_sheet(stage, told),
            greeks_sheet(told),
        ],
    )
