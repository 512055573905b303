"""The crash on the chain: prices move, a bidder watches, and who falls below maintenance margin is sold in slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain as concatenated

from python_model import liquidation, margin
from python_model.methodology import Methodology
from python_model.portfolio import Book, Collateral, Market
from python_model.settlement import WINDOW_SECONDS
from scripts import chain, expiry, protocol
from scripts.story import Actor, Allowed, Stage, Standing, book_of, standing

# A bidder comes when the shortfall is worth it, USD, and looks once in five minutes.
SHORTFALL, WATCH_SECONDS = 1.0, 300


@dataclass(frozen=True)
class Sale:
    """A liquidation, USD: `net_value` is of the whole account before; both sides before and after, at the same prices.

    `fund` is the cash of the insurance fund before and after, which gets the fee.
    """

    time: int
    seller: str
    bidder: str
    fraction: float
    net_value: float
    price: float
    fee: float
    gas: int
    before: tuple[Standing, Standing]
    after: tuple[Standing, Standing]
    fund: tuple[float, float]

    @property
    def slice_value(self) -> float:
        """Net value of what was sold."""
        return self.fraction * self.net_value

    @property
    def discount(self) -> float:
        """What the bidder pays less than that."""
        return self.slice_value - self.price


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


def fund_cash(stage: Stage) -> float:
    """Cash of the insurance fund, USD."""
    return chain.as_float(protocol.stored_cash(stage.protocol, protocol.FUND))


def liquidate(stage: Stage, seller: Actor, bidder: Actor) -> Sale:
    """Let a bidder take the largest slice of an account that may be sold; its bid starts the auction."""
    quote = stage.view(stage.protocol.liquidation.quote, seller.account)
    # The bidder's limits: any size that the rule allows, for no more than its share of the net value.
    limit = quote.net_value * quote.fraction // protocol.WHOLE
    return buy(stage, seller, bidder, protocol.WHOLE, 1, limit)


def buy(stage: Stage, seller: Actor, bidder: Actor, fraction: int, least: int, limit: int) -> Sale:
    """Bid for a slice of a solvent account, in units of the contract, and compare what happens with the model."""
    p = stage.protocol
    before, fund = (standing(stage, seller), standing(stage, bidder)), fund_cash(stage)
    started = p.liquidation.auction_of(seller.account).started
    deadline = stage.clock.chain(stage.time) + WATCH_SECONDS
    data = protocol.bid(protocol.SOLVENT, 0, fraction, least, limit, deadline)
    receipt = p.clearing_house.bid(seller.account, bidder.account, data, sender=bidder.owner)
    stage.spend(f"buy a slice of {len(before[0].book.positions)} legs", receipt)
    event = receipt.events.filter(p.liquidation.Sold)[0]
    share, price, fee = (chain.as_float(x) for x in (event.fraction, event.price, event.fund))
    # Into the model's own books: a share of the seller's cash goes over, the price comes back, the fund gets the fee.
    moved = share * stage.ledger[seller.name] - price
    stage.ledger[seller.name] -= moved + fee
    stage.ledger[bidder.name] += moved
    sale = Sale(
        time=stage.time,
        seller=seller.name,
        bidder=bidder.name,
        fraction=share,
        net_value=chain.as_float(event.net_value),
        price=price,
        fee=fee,
        gas=receipt.gas_used,
        before=before,
        after=(standing(stage, seller), standing(stage, bidder)),
        fund=(fund, fund_cash(stage)),
    )
    mined = p.clearing_house.provider.get_block(receipt.block_number).timestamp
    compare_sale(stage, sale, mined, mined - (started or mined), chain.as_float(fraction))
    return sale


def compare_sale(stage: Stage, sale: Sale, mined: int, elapsed: int, fraction: float) -> None:
    """Slice, sizes, price and payments by the model (`python_model.liquidation`), at the second of the sale's block.

    Parameters
    ----------
    stage : Stage
    sale : Sale
    mined : time of its block
    elapsed : seconds since the auction was started
    fraction : the most that the bidder asked for
    """
    market = replace(stage.market, as_of=mined - stage.clock.shift)
    book = liquidation.without_entries(sale.before[0].book, market)
    f = liquidation.figures(book, market, stage.methodology)
    model = liquidation.solvent(book, market, f, elapsed, fraction)
    allowed, see = Allowed.of(book, market, stage.methodology), stage.agreement.see
    see(sale.net_value, f.net_value, allowed.value)
    # Of f = m / (m + NV k), where m errs by requirement and value, NV by value alone, and k is above 0.6, NV df is at
    # most 1.7 times the former and a quarter of the latter. Price and fee are parts of f NV, and NV errs once more.
    both = allowed.requirement + allowed.value
    worth, paid = 2 * both, 3 * both
    share = float(model.fraction)
    see(sale.fraction * f.net_value, share * f.net_value, worth)
    see(sale.price, model.price, paid)
    see(sale.fee, model.fee, paid)
    # Cash moves by its part too.
    cash = paid + worth * abs(book.cash) / f.net_value + allowed.cash
    payments = [b.book.cash - a.book.cash for a, b in zip(sale.before, sale.after, strict=True)]
    for moved, expected in zip(
        (*payments, sale.fund[1] - sale.fund[0]), (model.account, model.bidder, model.fund), strict=True
    ):
        see(moved, expected, cash)
    # Sizes are cut to a millionth, on either side of which two fractions may be.
    left = {p.instrument: p.size for p in sale.after[0].book.positions}
    gone = {p.instrument: p.size for p in model.package}
    for p in book.positions:
        off = abs(p.size) * worth / f.net_value + 1e-6
        see(left.get(p.instrument, 0.0), p.size - gone.get(p.instrument, 0.0), off)


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
