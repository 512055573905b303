"""The crash on the chain: prices move, a bidder watches, and who falls below maintenance margin is sold in slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain as concatenated

from python_model import margin
from python_model.methodology import Methodology
from python_model.portfolio import Book, Collateral, Market
from python_model.settlement import WINDOW_SECONDS
from scripts import chain, expiry, protocol
from scripts.story import Actor, Allowed, Stage, Standing, book_of, standing

WHOLE = 10**18
# A bidder comes when the shortfall is worth it, USD, and looks once in five minutes.
SHORTFALL, WATCH_SECONDS = 1.0, 300


@dataclass(frozen=True)
class Sale:
    """A liquidation: the slice, what it was worth and cost, and both sides before and after, at the same prices."""

    time: int
    seller: str
    bidder: str
    fraction: float
    slice_value: float
    price: float
    gas: int
    before: tuple[Standing, Standing]
    after: tuple[Standing, Standing]


def shortfall(book: Book, now: Market, market: Market, methodology: Methodology) -> float:
    """By how much a book of now is below maintenance margin at a later market by the model, USD.

    Its collateral moves with spot.
    """

    def moved(c: Collateral) -> Collateral:
        if c.underlying is None:
            return c
        return replace(c, price=c.price * market.underlyings[c.underlying].spot / now.underlyings[c.underlying].spot)

    repriced = tuple(moved(c) for c in book.collateral)
    figures = margin.assess(replace(book, collateral=repriced), market, methodology)
    return figures.maintenance - figures.equity_maintenance


def is_worth_a_bid(account: Standing) -> bool:
    """Whether a bidder comes: so much is missing that it still will be when the bid is mined, seconds later."""
    return account.maintenance - account.equity_maintenance > SHORTFALL


def first_breach(stage: Stage, books: Sequence[Book], until: int) -> int | None:
    """The first look after now, but not after `until`, at which a book is short enough for a bidder.

    Within a step of the replay prices move one way, so that halving finds it.
    """

    def breached(look: int) -> bool:
        market = stage.path.at(min(stage.time + look * WATCH_SECONDS, until))
        return any(shortfall(book, stage.market, market, stage.methodology) > SHORTFALL for book in books)

    low, high = 0, -(-(until - stage.time) // WATCH_SECONDS)
    if not breached(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if breached(middle) else (middle, high)
    return min(stage.time + high * WATCH_SECONDS, until)


def liquidate(stage: Stage, seller: Actor, bidder: Actor) -> Sale:
    """Let a bidder take the largest slice of an account that may be sold."""
    p = stage.protocol
    before = standing(stage, seller), standing(stage, bidder)
    # The bidder's limits: any size that the rule allows, for no more than its share of the net value.
    share = chain.as_float(stage.view(p.liquidation.largest_slice, seller.account))
    limit = chain.wad(share * max(before[0].net_value, 0.0))
    deadline = stage.clock.chain(stage.time) + WATCH_SECONDS
    receipt = p.liquidation.liquidate(seller.account, bidder.account, WHOLE, 1, limit, deadline, sender=bidder.owner)
    stage.spend(f"liquidate {len(before[0].book.positions)} legs", receipt)
    event = receipt.events.filter(p.clearing_house.Liquidated)[0]
    fraction, price = chain.as_float(event.fraction), chain.as_float(event.price)
    # Into the model's own books: a share of the seller's cash goes over, the price comes back.
    moved = fraction * stage.ledger[seller.name] - price
    stage.ledger[seller.name] -= moved
    stage.ledger[bidder.name] += moved
    after = standing(stage, seller), standing(stage, bidder)
    worth = chain.as_float(event.slice_value)
    sale = Sale(stage.time, seller.name, bidder.name, fraction, worth, price, receipt.gas_used, before, after)
    compare_sale(stage, sale, p.clearing_house.provider.get_block(receipt.block_number).timestamp)
    return sale


def compare_sale(stage: Stage, sale: Sale, block_time: int) -> None:
    """Size and price of a slice by the rule (`ILiquidation.liquidate`) and the model, at the second of its block."""
    market = replace(stage.market, as_of=block_time - stage.clock.shift)
    book = sale.before[0].book
    figures = margin.assess(book, market, stage.methodology)
    allowed = Allowed.of(book, market, stage.methodology)
    worth = net_value(book, market, stage.methodology)
    short = figures.initial - figures.equity_initial
    fraction = max(short / (short + worth * (1.0 - protocol.DISCOUNT)), protocol.MINIMUM_SLICE)
    # As money, what the fraction is of the net value: it errs as requirement and equity do.
    both = allowed.requirement + allowed.value
    stage.agreement.see(sale.fraction * worth, fraction * worth, 2 * both)
    # Sizes of the slice are rounded towards zero at 1e-6 units, each worth less than twice spot and the strike.
    spots = {name: u.spot for name, u in market.underlyings.items()}
    rounding = 1e-6 * sum(2 * spots[p.underlying] + (p.strike or 0.0) for p in book.positions)
    paid = fraction * worth * (1.0 - protocol.DISCOUNT)
    stage.agreement.see(sale.price, paid, 2 * both + rounding)


def net_value(book: Book, market: Market, methodology: Methodology) -> float:
    """Equity without haircuts, USD."""
    plain = tuple(replace(c, haircut_initial=0.0, haircut_maintenance=0.0) for c in book.collateral)
    return margin.assess(replace(book, collateral=plain), market, methodology).equity_maintenance


@dataclass(frozen=True)
class Step:
    """The market and every account at one moment of the crash, and what followed at once: liquidations, settlements."""

    market: Market
    standings: dict[str, Standing]
    sales: tuple[Sale, ...]
    settlements: tuple[expiry.Settlement, ...] = ()


def replay(stage: Stage, bidder: str, step_seconds: int) -> Iterator[Step]:
    """Walk the path to its end, on the chain, and let the bidder liquidate whoever falls below maintenance margin.

    Stops at every snapshot, in steps of `step_seconds` between them, at every look of a bidder who finds a breach, and
    at what fixes a settlement price. An expiry is settled as soon as it can be.
    """
    ends = [anchor.as_of for anchor in stage.path.anchors]
    due = [
        (name, time)
        for name, time in expiry.due(stage.path.anchors[0], ends[-1])
        if any(expiry.legs(stage, actor, name, time) for actor in stage.actors.values())
    ]
    windows = [range(time - WINDOW_SECONDS, time + 1, expiry.FIXING_SECONDS) for _, time in due]
    stops = sorted({*ends, *range(ends[0], ends[-1], step_seconds), *concatenated(*windows)})
    fixings: dict[tuple[str, int], list[expiry.Fixing]] = {key: [] for key in due}
    others = [actor for name, actor in stage.actors.items() if name != bidder]
    while True:
        now = {name: standing(stage, actor) for name, actor in stage.actors.items()}
        books: dict[str, Book] = {}
        sales: list[Sale] = []
        for actor in others:
            account = now[actor.name]
            while is_worth_a_bid(account):
                sales.append(liquidate(stage, actor, stage.actors[bidder]))
                account = sales[-1].after[0]
            books[actor.name] = account.book
        for (name, time), window in zip(due, windows, strict=True):
            if window.start <= stage.time < window.stop:
                fixings[name, time].append(expiry.fixing(stage, name, time))
        settled = tuple(expiry.settle(stage, *key, fixings[key]) for key in due if key[1] == stage.time)
        books |= {name: book_of(stage, stage.actors[name]) for name in books} if settled else {}
        yield Step(stage.market, now, tuple(sales), settled)
        if stage.time == ends[-1]:
            return
        until = next(stop for stop in stops if stop > stage.time)
        stage.publish(first_breach(stage, list(books.values()), until) or until)
