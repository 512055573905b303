"""Fourth chapter of the demo: calls sold against staked ether that serves as collateral inside the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from python_model import books, collateral
from python_model.portfolio import Book, Collateral, Kind, Mode, Position
from scripts import chain, pictures, protocol, story
from scripts.chapter_life import instrument
from scripts.report import Chapter, Picture, Sheet, cents, tiny, usd
from scripts.story import Stage

OWNER, BUYER = "staker", "fund"
# wstETH that the owner brings, and ETH of calls sold: about as many as the tokens are worth.
TOKENS, CALLS = 20.0, 24.0
CASH = 100_000.0
DAYS = 25
# Strikes of the calls as multiples of the forward; the last is the one that is traded.
STRIKES = (0.15, 0.60, 0.90, 1.10)
PEGS = (1.0, story.STAKED_PEG, 0.97, 0.94)


@dataclass(frozen=True)
class Need:
    """Initial margin of a book, and its worst loss over the scenarios with a rising price: contract, model, USD."""

    initial: tuple[float, float]
    rise: tuple[float, float]
    difference: float


def need(stage: Stage, cash: float, holdings: tuple[Collateral, ...], *positions: Position) -> Need:
    """What a book needs, and why."""
    contract, model, difference, _ = story.explain(stage, Book(Mode.PORTFOLIO, cash, holdings, positions))
    rises = np.flatnonzero(stage.methodology.x > 0.0)

    def worst(pnl: list[float]) -> float:
        return max(0.0, -min(pnl[i] for i in rises))

    rise = worst(contract["scenario_pnl"]["ETH"]), worst(model.scenario_pnl["ETH"])
    return Need((contract["initial"], model.initial), rise, difference)


def holding(stage: Stage) -> Collateral:
    """The tokens as the contracts see them."""
    value = stage.view(stage.protocol.collaterals.value, stage.staked.kind)
    haircuts = chain.as_float(value.haircut_initial), chain.as_float(value.haircut_maintenance)
    return Collateral(TOKENS, chain.as_float(value.price), "ETH", *haircuts)


def value_sheet(stage: Stage) -> Sheet:
    """What a token is worth, and what the market's doubt does to it; leaves the peg as it was."""
    p, spot = stage.protocol, stage.market.underlyings["ETH"].spot
    rows: list[tuple[str, ...]] = []
    for peg in (*PEGS, story.STAKED_PEG):
        stage.staked.peg.set_peg(chain.wad(peg), True, sender=stage.sender)
        if len(rows) == len(PEGS):
            break
        v = stage.view(p.collaterals.value, stage.staked.kind)
        contract = [chain.as_float(x) for x in (v.price, v.haircut_initial, v.haircut_maintenance)]
        plain = protocol.STAKED_HAIRCUT_INITIAL, protocol.STAKED_HAIRCUT_MAINTENANCE
        model = [
            float(collateral.price(spot, story.STAKED_RATE, peg)),
            *(float(collateral.haircut(h, peg)) for h in plain),
        ]
        bounds = (story.NOISE * spot + story.DUST, story.DUST, story.DUST)
        off = max(stage.agreement.see(a, b, bound) for a, b, bound in zip(contract, model, bounds, strict=True))
        worth = contract[0] * (1.0 - contract[1])
        shares = [f"{100 * x:.2f}%" for x in contract[1:]]
        rows.append(
            (
                f"{peg:.4f}",
                f"{story.STAKED_RATE:.2f}",
                cents(contract[0]),
                cents(model[0]),
                *shares,
                cents(worth),
                tiny(off),
            )
        )
    return Sheet(
        "What one wstETH is worth, by what the market pays for it",
        (
            "market over\nrate",
            "rate\nETH",
            "price\nUSD",
            "by model\nUSD",
            "haircut\ninitial",
            "haircut\nmaintenance",
            "counts for\nUSD",
            "off model",
        ),
        "rrrrrrrr",
        rows,
        "Price is spot × rate × min(market over rate, 1). Both haircuts grow by four times what the market is below "
        f"0.99 of the rate. The second row is the market's price now, {story.STAKED_PEG:.4f} of the rate; the others "
        "are put to the contracts for this table alone.",
        frozenset({PEGS.index(story.STAKED_PEG)}),
    )


@dataclass(frozen=True)
class Compared:
    """Calls of one strike: on cash, and with the tokens."""

    call: Position
    cash: Need
    both: Need


def compare(stage: Stage, held: Collateral) -> list[Compared]:
    """Calls of every strike, on cash and on the tokens."""
    calls = [books.option(stage.market, Kind.CALL, multiple, -CALLS, DAYS) for multiple in STRIKES]
    return [Compared(call, need(stage, CASH, (), call), need(stage, 0.0, (held,), call)) for call in calls]


def margin_sheet(alone: Need, rows: list[Compared]) -> Sheet:
    """The margin of the same calls on cash and on staked ether, contract beside model."""
    cells = []
    for row in rows:
        figures = (*row.cash.initial, *row.both.initial, row.both.initial[0] - alone.initial[0])
        share = f"{100 * row.both.initial[0] / row.cash.initial[0]:.0f}%"
        off = tiny(max(row.cash.difference, row.both.difference))
        cells.append((instrument(row.call), *(cents(x) for x in figures), share, off))
    cells.append(("none", "0.00", "0.00", *(cents(x) for x in alone.initial), "", "", tiny(alone.difference)))
    return Sheet(
        f"Initial margin of {CALLS:.0f} calls sold, on cash and on {TOKENS:.0f} wstETH",
        (
            "calls sold",
            "on cash\nUSD",
            "by model\nUSD",
            "on wstETH\nUSD",
            "by model\nUSD",
            "of which by\ncalls, USD",
            "on wstETH\nv. cash",
            "off model\nUSD",
        ),
        "lrrrrrrr",
        cells,
        f"The tokens are a position inside the scenario grid: alone they need {usd(alone.initial[0])} USD, for a fall "
        f"of ETH. Calls sold against them add nothing: they take away. Calls at {100 * STRIKES[0]:.0f}% of the "
        "forward move almost as ETH does and hedge the tokens as a whole: what is left of both margins is near zero, "
        f"most of it the calendar charge. Calls at {100 * STRIKES[-1]:.0f}% leave the tokens their fall; the next "
        "table has the part that is hedged.",
        frozenset({0}),
    )


def rise_sheet(rows: list[Compared]) -> Sheet:
    """The risk of the calls themselves, a rise: covered or not."""
    cells = [(instrument(r.call), *(cents(x) for x in (*r.cash.rise, *r.both.rise))) for r in rows]
    return Sheet(
        "The hedged part: the worst loss when ETH rises",
        ("calls sold", "on cash\nUSD", "by model\nUSD", "on wstETH\nUSD", "by model\nUSD"),
        "lrrrr",
        cells,
        "The worst over all scenarios in which the price rises, before any factor. What the calls lose then the tokens "
        "gain; what is left is of a small rise together with a rise of vol, against which tokens are no hedge.",
    )


def account_sheet(stage: Stage, before: story.Standing, after: story.Standing, asked: tuple[float, float]) -> Sheet:
    """The account before and after the trade."""
    rows = [
        (
            words,
            *(cents(x) for x in (s.cash, s.net_value, s.equity_initial, s.initial, s.maintenance, told)),
            tiny(s.difference),
        )
        for words, s, told in (("wstETH alone", before, asked[0]), ("with the calls", after, asked[1]))
    ]
    return Sheet(
        "The staker's account on the chain",
        (
            "account",
            "cash\nUSD",
            "net value\nUSD",
            "equity\nUSD",
            "initial\nmargin, USD",
            "maintenance\nmargin, USD",
            "foretold by\nthe lens, USD",
            "off model\nUSD",
        ),
        "lrrrrrrr",
        rows,
        "The lens answers “what if” for a package before anybody signs: the initial margin without it and with it. "
        "Fees are no part of that, nor of the margin.",
    )


def trade(stage: Stage, call: Position) -> Sheet:
    """Sell the calls from the account that holds the tokens, asking the lens first."""
    staker, buyer = stage.actors[OWNER], stage.actors[BUYER]
    before = story.standing(stage, staker)
    package = protocol.legs(stage.protocol, [call], story.marks([call], stage.market), stage.clock)
    figures = stage.view(stage.protocol.lens.what_if, staker.account, list(package))
    asked = chain.as_float(figures[0].initial), chain.as_float(figures[1].initial)
    story.trade(stage, staker, buyer, [call])
    after = story.standing(stage, staker)
    return account_sheet(stage, before, after, asked)


def chapter(stage: Stage, owner: Any) -> Chapter:
    """Compare, trade, and tell."""
    story.join(stage, OWNER, owner, staked=TOKENS)
    value = value_sheet(stage)
    held = holding(stage)
    alone = need(stage, 0.0, (held,))
    rows = compare(stage, held)
    chart = pictures.covered(
        stage.market,
        stage.methodology,
        (
            ("calls sold", Book(Mode.PORTFOLIO, 0.0, (), (rows[-1].call,))),
            ("wstETH held", Book(Mode.PORTFOLIO, 0.0, (held,), ())),
        ),
        [(instrument(r.call), r.cash.initial[0], r.both.initial[0]) for r in rows],
        alone.initial[0],
    )
    ether = TOKENS * story.STAKED_RATE
    return Chapter(
        "4. Calls covered by staked ether",
        [
            f"The {OWNER} holds {TOKENS:.0f} wstETH, a token that is worth {story.STAKED_RATE:.2f} ETH by its own "
            f"contract, {ether:.1f} ETH in all, and deposits them as collateral. They are listed by configuration: "
            "where to read the rate, how fast it may grow, where to read the market's price, and haircuts of "
            f"{100 * protocol.STAKED_HAIRCUT_INITIAL:.0f}% and {100 * protocol.STAKED_HAIRCUT_MAINTENANCE:.0f}%.",
            value,
            margin_sheet(alone, rows),
            rise_sheet(rows),
            Picture(
                chart,
                "Calls sold on cash, and against staked ether",
                f"Left: calls at {100 * STRIKES[-1]:.0f}% of the forward, which the staker sells. In a rise they lose "
                "no more than a part of what the tokens gain; in a fall their premium makes up for a part of what "
                "the tokens lose. Right: the same calls on cash (grey) and on the tokens (blue); the line is what "
                f"the tokens need alone, {usd(alone.initial[0])} USD.",
            ),
            trade(stage, rows[-1].call),
        ],
    )
