"""First chapter of the demo: what eight strategies need in each margin mode."""

from __future__ import annotations

from typing import Any

from python_model.books import STRATEGIES
from scripts import pictures, story
from scripts.report import Chapter, Picture, Sheet, cents, saving, tiny, usd, utc
from scripts.story import Stage

DRAWN = ("short straddle", "market maker")


def sheet(stage: Stage, told: dict[str, story.Told]) -> Sheet:
    """Capital of each strategy by mode."""
    rows = []
    for strategy in STRATEGIES:
        contract, model, difference, allowed = told[strategy.name]
        need = contract["capital"]
        rows.append(
            (
                f"{strategy.name}\n{strategy.words}",
                str(len(strategy.build(stage.market).positions)),
                usd(contract["option_value"]),
                usd(need["isolated"]),
                usd(need["cross"]),
                cents(need["portfolio"]),
                cents(model.capital.portfolio),
                saving(need["portfolio"], need["cross"]),
                saving(need["portfolio"], need["isolated"]),
                tiny(difference),
                tiny(allowed),
            )
        )
    return Sheet(
        "Capital by margin mode",
        (
            "strategy",
            "legs",
            "value\nUSD",
            "isolated\nUSD",
            "cross\nUSD",
            "portfolio\nUSD",
            "by model\nUSD",
            "saved v.\ncross",
            "saved v.\nisolated",
            "off model\nUSD",
            "allowed\nUSD",
        ),
        "lrrrrrrrrrr",
        rows,
        "Units of ETH; figures of the contracts but for one column. Value is that of the options. Capital is what "
        "the account needs beyond the value of its options: max(0, initial margin − option value). A long call is "
        "paid for, and this calendar spread is worth more than its margin: neither needs more. Off model: the "
        "largest difference between contract and float model over requirements, capital of every mode, and the "
        "profit of every scenario.",
    )


def saved_by_maker(told: Chapter) -> str:
    """What portfolio mode saves the market maker against cross mode, from the chapter's table."""
    capital = next(part for part in told.parts if isinstance(part, Sheet))
    row = next(row for row in capital.rows if row[0].startswith("market maker"))
    return row[capital.columns.index("saved v.\ncross")]


def beyond(stage: Stage, contract: dict[str, Any]) -> str:
    """Which scenario is the worst of all, for each underlying."""
    worst = [
        f"{name} {usd(contract['scenario_pnl'][name][scenario])} USD ({story.in_words(stage, name, scenario)})"
        for name, scenario in sorted(contract["worst_scenario"].items(), reverse=True)
    ]
    return ", ".join(worst)


def chapter(stage: Stage) -> Chapter:
    """Assess the strategies, and tell."""
    books = {strategy.name: strategy.build(stage.market) for strategy in STRATEGIES}
    told = {name: story.explain(stage, book) for name, book in books.items()}
    eth, btc = (stage.market.underlyings[name].spot for name in ("ETH", "BTC"))
    return Chapter(
        "1. What portfolio margin saves",
        [
            f"The market of {utc(stage.time)} UTC, 2026, a calm day: ETH {eth:,.2f} USD, BTC {btc:,.2f} USD. An "
            f"account is margined by its worst loss over {len(stage.methodology)} scenarios of price and implied "
            "vol, plus charges for what scenarios do not see. Isolated: each position in an account of its own. "
            "Cross: one pool of money, but each position margined as if it stood alone. Portfolio: the book as a "
            "whole, so that what hedges saves.",
            sheet(stage, told),
            Picture(
                pictures.capital_bars([(name, contract["capital"]) for name, (contract, *_) in told.items()]),
                "Capital by margin mode",
                "The more a book hedges itself, the shorter the blue bar. A lone risk such as the short straddle saves "
                "least: only because price cannot rise and fall at once. Cross is below isolated where a bought option "
                "is worth more than its own margin and pays for the others.",
            ),
            Picture(
                pictures.heat_maps([(name, books[name]) for name in DRAWN], stage.market, stage.methodology),
                "Profit and loss over price and vol",
                "Blue gains, red loses; dots are the inner scenarios, the circle marks the worst of them. The map "
                "is the model's; at the dots the contract finds the same profit, to the difference in the table. "
                "The straddle loses on either side, and more when vol rises. The market maker's 32 legs lose most "
                "in a rally, where more calls are sold than bought. Beyond the map stand the extremes, of which "
                "only a part is counted. Worst of all scenarios: straddle "
                f"{beyond(stage, told['short straddle'][0])}; market maker {beyond(stage, told['market maker'][0])}.",
            ),
        ],
    )
