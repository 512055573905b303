"""Third chapter of the demo: a package of four legs at a net price, by orders that both sides sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from python_model import books, fees
from python_model.listing import WEEK
from python_model.portfolio import Kind, Market, Position
from scripts import chain, protocol, story
from scripts.chapter_life import instrument
from scripts.report import Chapter, Sheet, cents, tiny, usd
from scripts.story import Actor, Stage

SELLER, BUYER = "condor seller", "fund"
SELLER_USD = 20_000.0
# Lots of the order, and how they are filled.
LOTS, FILLS = 10, (4, 6)
EXPIRY_DAYS = 2
# Strikes as multiples of the forward.
WINGS = ((Kind.PUT, 0.85, 1), (Kind.PUT, 0.925, -1), (Kind.CALL, 1.05, -1), (Kind.CALL, 1.15, 1))
# By how much somebody changes a leg's price in a signed order, 1e-9 USD.
TAMPERED = 10**9


def condor(market: Market) -> list[Position]:
    """What the seller receives for one lot: a strangle sold, a wider one bought, all of two days."""
    return [books.option(market, kind, multiple, sign, EXPIRY_DAYS) for kind, multiple, sign in WINGS]


def times(positions: Sequence[Position], lots: int) -> list[Position]:
    """So many lots of a package."""
    return [replace(p, size=p.size * lots) for p in positions]


def net_price(positions: Sequence[Position], market: Market) -> float:
    """What a lot costs who receives it, USD; negative where it is paid for taking it."""
    return -story.premium(positions, market)


@dataclass(frozen=True)
class Quote:
    """Both sides' orders for the same package, and their signatures."""

    seller: protocol.Consent
    buyer: protocol.Consent

    def submission(self, lots: int) -> bytes:
        """What the clearing house is given: the buyer, who quotes, is the maker."""
        return protocol.submission(self.buyer, self.seller, lots)


def quote(stage: Stage, seller: Actor, buyer: Actor, positions: Sequence[Position]) -> Quote:
    """Let both sides sign the package at the marks, as the answer to a request for a quote."""
    package = protocol.legs(stage.protocol, positions, story.marks(positions, stage.market), stage.clock)
    stage.nonce += 1
    deadline = stage.clock.chain(stage.time) + chain.HEARTBEAT_SECONDS

    def consent(actor: Actor, other: Actor, legs: tuple[protocol.Leg, ...], rate: float) -> protocol.Consent:
        limit = story.most(story.fee(stage, positions, rate))
        order = protocol.Order(actor.account, legs, LOTS, limit, other.account, stage.nonce, deadline)
        return protocol.signed(stage.protocol, actor.owner, order)

    return Quote(
        consent(seller, buyer, package, fees.HOUSE.taker),
        consent(buyer, seller, protocol.opposite(package), fees.HOUSE.maker),
    )


def order_sheet(stage: Stage, consent: protocol.Consent, positions: Sequence[Position]) -> Sheet:
    """The order field by field, as a wallet shows it before it signs (EIP-712)."""
    order, exchange = consent.order, stage.protocol.exchange
    limit = chain.as_float(order.max_fee)
    rows = [
        ("domain", f"{exchange.address}", f"the exchange: Ballast 1, chain {exchange.provider.chain_id}"),
        ("account", str(order.account), f"the {SELLER}'s"),
    ]
    for i, leg in enumerate(order.legs):
        p = next(p for p in positions if protocol.legs(stage.protocol, [p], [0.0], stage.clock)[0][:5] == leg[:5])
        raw = ", ".join(
            f"{name} {value}" for name, value in zip(protocol.LEG_FIELDS, leg, strict=True) if name != "expiry"
        )
        verb = "receives" if p.size > 0 else "gives"
        words = f"{verb} {abs(p.size):.0f} × {instrument(p)} at {chain.as_float(leg[5], 9):,.2f} USD"
        rows.append((f"legs[{i}]\nexpiry {leg[1]}", raw, words))
    deadline = datetime.fromtimestamp(order.deadline - stage.clock.shift, UTC)
    return Sheet(
        f"The order that the {SELLER} signs, as a wallet shows it",
        ("field", "what is signed", "in words"),
        "lll",
        [
            *rows,
            ("lots", str(order.lots), "all legs or none, for so many lots in all"),
            ("maxFee", str(order.max_fee), f"pays at most {limit:.2f} USD of fees for a lot"),
            ("counterparty", str(order.counterparty), f"nobody but the {BUYER}"),
            ("nonce", str(order.nonce), "by which it can be cancelled"),
            ("deadline", str(order.deadline), f"{deadline.day} {deadline:%b %H:%M:%S}, an hour after the quote"),
        ],
        "Strikes at 1e-6 and prices at 1e-9 USD, ratios at 1e-6 ETH, times in seconds of the chain, which runs "
        f"{stage.clock.shift // WEEK} weeks after history. The {BUYER} signs the same legs with the opposite ratios. "
        f"What is signed hashes to {exchange.hash_order(order.row).to_0x_hex()}.",
    )


def leg_sheet(stage: Stage, positions: Sequence[Position]) -> Sheet:
    """The package leg by leg, with its fees."""
    cap, spot = fees.HOUSE.premium_cap, stage.market.underlyings["ETH"].spot
    rows, sums = [], [0.0, 0.0, 0.0]
    for p, price in zip(positions, story.marks(positions, stage.market), strict=True):
        charges = [fees.fee(p, price, spot, rate, cap) for rate in (fees.HOUSE.taker, fees.HOUSE.maker)]
        figures = [-p.size * price, *charges]
        sums = [a + b for a, b in zip(sums, figures, strict=True)]
        by = "premium" if charges[0] < abs(p.size) * spot * fees.HOUSE.taker else "notional"
        rows.append(
            (instrument(p), f"{p.size:+.0f}", cents(price), cents(figures[0]), *(f"{x:.4f}" for x in charges), by)
        )
    rows.append(("net, for a lot", "", "", cents(sums[0]), *(f"{x:.4f}" for x in sums[1:]), ""))
    return Sheet(
        f"The package: what the {SELLER} gets for a lot",
        (
            "leg",
            "ratio\nETH",
            "mark\nUSD",
            "premium\nreceived, USD",
            f"fee of the {SELLER}\n(taker), USD",
            f"fee of the {BUYER}\n(maker), USD",
            "fee\nbound by",
        ),
        "lrrrrrl",
        rows,
        f"A taker pays {1e4 * fees.HOUSE.taker:.0f} bps of the notional and a maker {1e4 * fees.HOUSE.maker:.0f} bp, "
        f"for an option at most {100 * cap:.1f}% of its premium. The legs trade at one net price, together or not at "
        "all.",
        frozenset({len(rows) - 1}),
    )


def fill(stage: Stage, seller: Actor, buyer: Actor, sender: Actor, quoted: Quote, lots: int) -> tuple[str, ...]:
    """Let anybody submit some lots of the order; a row of what was paid, contract beside model."""
    p = stage.protocol
    package = times(condor(stage.market), lots)
    receipt = p.clearing_house.trade(quoted.submission(lots), sender=sender.owner)
    stage.spend(f"trade {len(package)} legs by two signatures", receipt)
    traded = receipt.events.filter(p.exchange.Traded)[0]
    paid = [(-chain.as_float(traded.premium), story.premium(package, stage.market))]
    for contract, rate in ((traded.taker_fee, fees.HOUSE.taker), (traded.maker_fee, fees.HOUSE.maker)):
        paid.append((chain.as_float(contract), story.fee(stage, package, rate)))
    bound = story.NOISE * stage.market.underlyings["ETH"].spot * sum(abs(leg.size) for leg in package) + story.DUST
    off = max(stage.agreement.see(contract, model, bound) for contract, model in paid)
    story.enter(stage, seller, buyer, package)
    filled = p.exchange.filled(p.exchange.hash_order(quoted.seller.order.row))
    figures = [text for pair in paid for text in map(cents, pair)]
    return (str(lots), f"{filled} of {LOTS}", *figures, tiny(off), f"{receipt.gas_used:,}")


def refusals(stage: Stage, sender: Actor, quoted: Quote, left: int) -> Sheet:
    """What the exchange says to those who want more than was signed, while some lots are left."""
    trade, order = stage.protocol.clearing_house.trade, quoted.seller.order
    dearer = (*order.legs[0][:5], order.legs[0][5] + TAMPERED)
    forged = replace(quoted, seller=replace(quoted.seller, order=replace(order, legs=(dearer, *order.legs[1:]))))
    unsigned = replace(quoted, seller=replace(quoted.seller, signature=protocol.NO_SIGNATURE))
    attempts = (
        (f"{left + 1} lots, one more than are left", quoted.submission(left + 1)),
        (f"{left} lots, after one leg's price was changed by 1 USD", forged.submission(left)),
        (f"{left} lots, without the seller's signature", unsigned.submission(left)),
    )
    rows = [(what, f"“{story.refusal(trade, sender.owner, data)}”") for what, data in attempts]
    return Sheet("What is refused between the fills, whoever submits it", ("attempt", "answer"), "ll", rows)


def chapter(stage: Stage, owner: Any) -> Chapter:
    """Let both sides sign, fill the order in two parts, and tell."""
    seller = story.join(stage, SELLER, owner, SELLER_USD)
    buyer, sender = stage.actors[BUYER], stage.actors["bidder"]
    lot = condor(stage.market)
    quoted = quote(stage, seller, buyer, lot)
    order = order_sheet(stage, quoted.seller, lot)
    rows = [fill(stage, seller, buyer, sender, quoted, FILLS[0])]
    refused = refusals(stage, sender, quoted, LOTS - FILLS[0])
    rows.append(fill(stage, seller, buyer, sender, quoted, FILLS[1]))
    fills = Sheet(
        "The fills, submitted by the bidder, who has no part in them",
        (
            "lots",
            "filled",
            "premium to\nseller, USD",
            "by model\nUSD",
            "seller's\nfee, USD",
            "by model\nUSD",
            "fund's\nfee, USD",
            "by model\nUSD",
            "off model\nUSD",
            "gas",
        ),
        "rrrrrrrrrr",
        rows,
        "Anyone who has both signatures may submit; they say all there is to say. A part of an order fills the same "
        "part of every leg. Both accounts are checked once, at the end.",
    )
    now = story.standing(stage, seller)
    width = max(a.strike - b.strike for a, b in ((lot[1], lot[0]), (lot[3], lot[2])) if a.strike and b.strike)
    return Chapter(
        "3. A package of four legs by signed order",
        [
            f"The {SELLER} (a new account with {usd(SELLER_USD)} USDC) asks for a quote of an iron condor of two "
            f"days, and the {BUYER} answers: {LOTS} lots at {cents(-net_price(lot, stage.market))} USD each. Both "
            "sign an order of four legs as typed data (EIP-712), which a wallet shows field by field.",
            order,
            leg_sheet(stage, lot),
            fills,
            refused,
            f"After it the {SELLER} has {cents(now.cash)} USD of cash and needs {cents(now.initial)} USD of initial "
            f"margin: no more than the wings are apart, {usd(width)} USD for each of {LOTS} lots, can ever be lost.",
        ],
    )
