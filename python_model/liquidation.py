"""Auctions of unhealthy accounts (decision 8): discount, largest slice, prices, payments, and the books afterwards.

A slice is a part `f` of every leg, collateral and of cash. It is sold at its part of net value `NV` less a discount `d`
that rises with time; the fund gets a fee of the same net value. With `phi` the fee as a fraction of it, the account is
left with

    E - IM  =  (1 - f) (E - IM) + f NV (1 - d - phi)

so that the largest slice, which brings that to zero, is `f = (IM - E) / (IM - E + NV (1 - d - phi))`. An account
without net value, or one that nobody bought, is sold at a price that falls below its net value, and below zero, paid
by the fund.

Books here have no entry prices: `without_entries` moves what futures and perpetuals cost into the cash, which changes
no figure and makes a slice a matter of proportion. So `cash` of books and sales is cash less cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from python_model.margin import assess
from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market, Position, mark, net

# What a unit of a leg can be worth and need together, at most: so many times spot and strike, and USD for flat charges.
SPOTS, TAIL_SPOTS, STRIKES, FLAT = 6.0, 15.0, 4.0, 250.0
# Sizes are cut to the millionth of a unit.
SIZE = 10**6
# What a slice may always be worth: USD, and so many times the premium for rounding.
SMALL, PREMIUMS = 100.0, 10.0


class BidError(ValueError):
    """A bid that is not awarded; the reason in the words of the contract."""


@dataclass(frozen=True)
class Terms:
    """How prices fall. Fractions of 1, times in seconds, `reward` in USD.

    Attributes
    ----------
    first_discount, knee_discount : at the start, and after `knee_seconds`
    solvent_seconds : after which the discount is everything
    insolvent_seconds : in which the price of an account without net value falls
    minimum_slice : that may always be sold, and must be bought
    fee : of the net value sold, to the fund
    reward, reward_share : of whoever starts an auction: the smaller of USD and a share of maintenance margin
    """

    first_discount: float = 0.02
    knee_discount: float = 0.30
    knee_seconds: int = 900
    solvent_seconds: int = 43_200
    insolvent_seconds: int = 3600
    minimum_slice: float = 0.1
    fee: float = 0.01
    reward: float = 25.0
    reward_share: float = 0.02


@dataclass(frozen=True)
class Figures:
    """What an auction knows of an account, USD: requirements, equities (M-13 to M-15), and equity without haircuts."""

    maintenance: float
    initial: float
    equity_maintenance: float
    equity_initial: float
    net_value: float

    @property
    def is_unhealthy(self) -> bool:
        """Whether the account may be sold."""
        return self.equity_maintenance < self.maintenance


@dataclass(frozen=True)
class Sale:
    """What an award moves. USD; what an account receives is positive, and the three payments sum to zero.

    Attributes
    ----------
    fraction : of everything; 0 for legs of the bidder's choice
    package : legs that the bidder gets and the account gives, entries 0
    account, bidder, fund : cash less cost
    price : paid by the bidder for what it gets, the premium included; negative where it is paid
    fee : to the fund
    needs : cash with which a bidder that has nothing else has initial margin afterwards; infinite where not known
    ends : whether the auction is over
    """

    fraction: Fraction
    package: tuple[Position, ...]
    account: float
    bidder: float
    fund: float
    price: float
    fee: float
    needs: float
    ends: bool


def figures(book: Book, market: Market, methodology: Methodology) -> Figures:
    """Assess a book; `NV` is equity without haircuts, so that collateral counts by its price."""
    a = assess(book, market, methodology)
    haircuts = sum(c.amount * c.price * c.haircut_maintenance for c in book.collateral)
    return Figures(a.maintenance, a.initial, a.equity_maintenance, a.equity_initial, a.equity_maintenance + haircuts)


def without_entries(book: Book, market: Market) -> Book:
    """The same account with net legs entered at 0, what they cost being taken off the cash."""
    cost = sum(p.size * (mark(p, market) if p.entry is None else p.entry) for p in book.positions if p.strike is None)
    legs = tuple(replace(p, entry=None if p.kind.is_option else 0.0) for p in net(book.positions, market))
    return replace(book, cash=book.cash - cost, positions=legs)


def discount(elapsed: float, terms: Terms) -> float:
    """Off net value: linear from the first to that of the knee, and from there to 1.

    Parameters
    ----------
    elapsed : seconds since the auction was started, not negative
    terms : Terms

    Returns
    -------
    float, in [0, 1]
    """
    if elapsed >= terms.solvent_seconds:
        return 1.0
    if elapsed <= terms.knee_seconds:
        return terms.first_discount + (terms.knee_discount - terms.first_discount) * elapsed / terms.knee_seconds
    late = (elapsed - terms.knee_seconds) / (terms.solvent_seconds - terms.knee_seconds)
    return terms.knee_discount + (1.0 - terms.knee_discount) * late


def fee_rate(off: float, terms: Terms) -> float:
    """What of the net value sold goes to the fund at a discount: no more than the bidder pays."""
    return min(terms.fee, 1.0 - off)


def premium(book: Book, market: Market) -> float:
    """What a millionth of a unit of every leg can be worth and need, at most, USD: paid by bidders for rounding.

    Parameters
    ----------
    book : Book, its legs net
    market : Market
    """
    positions, spots = book.positions, TAIL_SPOTS if book.mode.has_tail else SPOTS
    each = (spots * market.underlyings[p.underlying].spot + STRIKES * (p.strike or 0.0) + FLAT for p in positions)
    funding = (abs(market.underlyings[p.underlying].perp_funding) for p in positions if p.kind is Kind.PERP)
    return (sum(each) + sum(funding)) / SIZE


def largest_slice(f: Figures, off: float, rounding: float, terms: Terms) -> float:
    """The largest fraction of an unhealthy account with net value that may be sold, in (0, 1].

    It restores initial margin, or is worth 100 USD and ten times the premium, or is the least that must be bought.

    Parameters
    ----------
    f : Figures, unhealthy, `NV` positive
    off : discount
    rounding : premium, USD
    terms : Terms
    """
    least = SMALL + PREMIUMS * rounding
    if f.net_value <= least:
        return 1.0
    missing = f.initial - f.equity_initial
    restoring = missing / (missing + f.net_value * (1.0 - off - fee_rate(off, terms)))
    return max(restoring, least / f.net_value, terms.minimum_slice)


def exact(fraction: float | Fraction) -> Fraction:
    """A fraction of the contract, which has 18 decimals: of a float the decimal that it is written as."""
    return fraction if isinstance(fraction, Fraction) else Fraction(Decimal(repr(fraction)))


def part(positions: tuple[Position, ...], fraction: float | Fraction) -> tuple[Position, ...]:
    """A fraction of every leg, cut to 1e-6 towards zero; a leg of which nothing would move stays."""
    moved = []
    for p in positions:
        size = int(round(p.size * SIZE) * exact(fraction))
        if size != 0:
            moved.append(replace(p, size=size / SIZE))
    return tuple(moved)


def less(positions: tuple[Position, ...], package: tuple[Position, ...]) -> tuple[Position, ...]:
    """Net legs without a package of some of them."""
    gone = {p.instrument: round(p.size * SIZE) for p in package}
    rest = ((p, round(p.size * SIZE) - gone.get(p.instrument, 0)) for p in positions)
    return tuple(replace(p, size=units / SIZE) for p, units in rest if units != 0)


def remaining(book: Book, sale: Sale) -> Book:
    """The account after a sale; `book` as `without_entries` makes it."""
    kept = float(1 - sale.fraction)
    return replace(
        book,
        cash=book.cash + sale.account,
        collateral=tuple(replace(c, amount=c.amount * kept) for c in book.collateral if kept != 0.0),
        positions=less(book.positions, sale.package),
    )


def received(book: Book, sale: Sale, bidder: Book) -> Book:
    """A bidder after a sale of some of `book`; both as `without_entries` makes them, collateral side by side."""
    share = float(sale.fraction)
    sizes = {p.instrument: round(p.size * SIZE) for p in bidder.positions}
    legs = {p.instrument: p for p in (*bidder.positions, *sale.package)}
    for p in sale.package:
        sizes[p.instrument] = sizes.get(p.instrument, 0) + round(p.size * SIZE)
    gained = tuple(replace(c, amount=c.amount * share) for c in book.collateral if share != 0.0)
    return replace(
        bidder,
        cash=bidder.cash + sale.bidder,
        collateral=(*bidder.collateral, *gained),
        positions=tuple(replace(legs[key], size=sizes[key] / SIZE) for key in sorted(legs) if sizes[key] != 0),
    )


def is_dead(f: Figures, elapsed: float, terms: Terms) -> bool:
    """Whether nobody can buy the account at a discount to its value: there is none, or the time is over."""
    return f.net_value <= 0.0 or elapsed > terms.solvent_seconds


def reward(f: Figures, fund: float, terms: Terms) -> tuple[float, float]:
    """What whoever starts an auction gets of the account, and of the fund where the account's net value is too small.

    Parameters
    ----------
    f : Figures
    fund : cash of the fund, USD
    terms : Terms

    Returns
    -------
    (account, fund), USD, not negative, one of them 0
    """
    due = min(terms.reward, terms.reward_share * f.maintenance)
    if f.net_value >= due:
        return due, 0.0
    return (0.0, due) if fund >= due else (0.0, 0.0)


def _needs(book: Book, f: Figures, fraction: Fraction, price: float, rounding: float) -> float:
    """Cash with which a bidder with nothing else has initial margin: collateral is known in whole units alone."""
    if fraction == 1:
        return price + f.initial - f.equity_initial
    return float("inf") if book.collateral else price + float(fraction) * (f.initial - f.equity_initial) + rounding


def solvent(
    book: Book,
    market: Market,
    f: Figures,
    elapsed: float,
    fraction: float | Fraction = 1.0,
    terms: Terms | None = None,
) -> Sale:
    """A slice of an account with net value.

    Parameters
    ----------
    book : as `without_entries` makes it
    market : Market
    f : Figures of the book
    elapsed : seconds since the auction was started
    fraction : the most that the bidder takes
    terms : Terms

    Returns
    -------
    Sale of that, or of the largest slice where that is smaller.

    Raises
    ------
    BidError
        The account is healthy or dead, or the fraction below what must be bought.
    """
    terms = terms or Terms()
    if not f.is_unhealthy:
        raise BidError("healthy")
    if is_dead(f, elapsed, terms):
        raise BidError("no value")
    off, rounding = discount(elapsed, terms), premium(book, market)
    limit = largest_slice(f, off, rounding, terms)
    taken = min(exact(fraction), exact(limit))
    if taken < min(exact(terms.minimum_slice), exact(limit)):
        raise BidError("slice too small")
    share = float(taken)
    worth = f.net_value * share
    price, fee = worth * (1.0 - off), worth * fee_rate(off, terms)
    left = (f.equity_maintenance - f.maintenance) * (1.0 - share) + price - fee
    if taken != 1:
        price += rounding
    return Sale(
        fraction=taken,
        package=part(book.positions, taken),
        account=price - fee - share * book.cash,
        bidder=share * book.cash - price,
        fund=fee,
        price=price,
        fee=fee,
        needs=_needs(book, f, taken, price, rounding),
        ends=taken == 1 or left >= 0.0,
    )


def falling_price(f: Figures, elapsed: float, terms: Terms, whole: bool = True) -> float:
    """What a bidder pays for all of an account without value, USD; negative where it is paid.

    From net value, or nothing, to maintenance margin less than net value; or to the reward less, where that is more,
    for a bid for all of it: whoever could earn it by parts would earn it many times.

    Parameters
    ----------
    f : Figures
    elapsed : seconds since the account was marked, not negative
    terms : Terms
    whole : whether all of it is bid for
    """
    top, bonus = max(f.net_value, 0.0), max(f.maintenance, terms.reward if whole else 0.0)
    return top - (top - f.net_value + bonus) * min(elapsed, terms.insolvent_seconds) / terms.insolvent_seconds


def insolvent(
    book: Book,
    market: Market,
    f: Figures,
    elapsed: float,
    since_mark: float | None,
    fund: float,
    fraction: float | Fraction = 1.0,
    deleveraged: bool = False,
    terms: Terms | None = None,
) -> Sale:
    """A part of an account without value.

    Parameters
    ----------
    book : as `without_entries` makes it
    market : Market
    f : Figures of the book
    elapsed : seconds since the auction was started
    since_mark : seconds since the account was marked; None where it is not
    fund : cash of the fund, USD
    fraction : what the bidder takes
    deleveraged : whether counterparties have shared the loss since the mark, after which the fund may owe
    terms : Terms

    Raises
    ------
    BidError
        The account is healthy, has value, is not marked; too small a fraction; or the fund has not got the price.
    """
    terms = terms or Terms()
    if not f.is_unhealthy:
        raise BidError("healthy")
    if not is_dead(f, elapsed, terms):
        raise BidError("has value")
    if since_mark is None or since_mark > 2 * terms.insolvent_seconds:
        raise BidError("not marked")
    taken, rounding = exact(fraction), premium(book, market)
    if taken < exact(terms.minimum_slice):
        raise BidError("slice too small")
    share = float(taken)
    price = falling_price(f, since_mark, terms, taken == 1) * share
    paid = max(-price, 0.0)
    if paid > max(fund, 0.0) and not deleveraged:
        raise BidError("fund is short")
    if taken != 1:
        # The account's even where the fund pays for the rest.
        price += rounding
    return Sale(
        fraction=taken,
        package=part(book.positions, taken),
        account=price + paid - share * book.cash,
        bidder=share * book.cash - price,
        fund=-paid,
        price=price,
        fee=0.0,
        needs=_needs(book, f, taken, price, rounding),
        ends=taken == 1,
    )


@dataclass(frozen=True)
class Trial:
    """What a bid for some legs does to the account, USD.

    Attributes
    ----------
    gain : of `E_mm - MM`, the fee paid
    loss : of net value, fee included
    fee : to the fund: a slice's part of what the account loses
    health : `E_mm - MM` afterwards, the fee paid
    above : `E_im - IM` afterwards, the fee paid
    by_slice : what `E_mm - MM` gains by a slice, for each `lost`
    lost : what net value loses by a slice, for each part of the account
    most_loss, most_above : what the largest slice loses, and where it leaves `E_im - IM`; infinite where it is all
    """

    gain: float
    loss: float
    fee: float
    health: float
    above: float
    by_slice: float
    lost: float
    most_loss: float
    most_above: float

    @property
    def refusal(self) -> str | None:
        """Why the bid is refused, the first reason; None where it is not."""
        if self.gain <= 0.0:
            return "no better"
        if self.gain * self.lost < self.loss * self.by_slice:
            return "a slice is better"
        if self.loss > self.most_loss:
            return "loss"
        return "too much" if self.above > self.most_above else None


def trial(
    book: Book,
    market: Market,
    methodology: Methodology,
    elapsed: float,
    package: tuple[Position, ...],
    price: float,
    terms: Terms,
) -> Trial:
    """Try a bid for some legs; parameters as of `targeted`."""
    f = figures(book, market, methodology)
    off, rounding = discount(elapsed, terms), premium(book, market)
    rate, limit = fee_rate(off, terms), largest_slice(f, off, rounding, terms)
    lost, kept = f.net_value * (off + rate), f.net_value * (1.0 - off - rate)
    then = figures(replace(book, cash=book.cash + price, positions=less(book.positions, package)), market, methodology)
    given = f.net_value - then.net_value
    fee = max(given, 0.0) * rate / off
    health = then.equity_maintenance - fee - then.maintenance
    above = (f.equity_initial - f.initial) * (1.0 - limit) + limit * kept
    return Trial(
        gain=health - f.equity_maintenance + f.maintenance,
        loss=given + fee,
        fee=fee,
        health=health,
        above=then.equity_initial - fee - then.initial,
        by_slice=f.maintenance - f.equity_maintenance + kept,
        lost=lost,
        most_loss=limit * lost,
        most_above=float("inf") if limit == 1.0 else max(above, 0.0) + rounding,
    )


def targeted(
    book: Book,
    market: Market,
    methodology: Methodology,
    elapsed: float,
    package: tuple[Position, ...],
    price: float,
    terms: Terms | None = None,
) -> Sale:
    """Legs of the bidder's choice at a price of its own, where a slice would not help the account more.

    What the account gains in `E_mm - MM` for each unit of net value that it loses, fee included, must be at least what
    it gains by a slice; the loss at most that of the largest slice; and `E_im - IM` then at most what that leaves.

    Parameters
    ----------
    book : as `without_entries` makes it
    market : Market
    methodology : Methodology
    elapsed : seconds since the auction was started
    package : legs of the book, as far as the bidder takes them, entries 0
    price : paid by the bidder, USD; negative where it is paid
    terms : Terms

    Raises
    ------
    BidError
    """
    terms = terms or Terms()
    f = figures(book, market, methodology)
    if not f.is_unhealthy:
        raise BidError("healthy")
    if is_dead(f, elapsed, terms):
        raise BidError("no value")
    held = {p.instrument: p.size for p in book.positions}
    if any(not 0.0 < p.size / held.get(p.instrument, float("inf")) <= 1.0 for p in package):
        raise BidError("size")
    tried = trial(book, market, methodology, elapsed, package, price, terms)
    if tried.refusal is not None:
        raise BidError(tried.refusal)
    return Sale(
        fraction=Fraction(0),
        package=package,
        account=price - tried.fee,
        bidder=-price,
        fund=tried.fee,
        price=price,
        fee=tried.fee,
        needs=float("inf"),
        ends=tried.health >= 0.0,
    )
