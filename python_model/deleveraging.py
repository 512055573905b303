"""Deleveraging: a loss that the fund cannot pay is shared by those who gained most by the other side of it.

A candidate closes whatever it holds against the account. In which order they are taken is a matter of

    score = gain * leverage,    leverage = notional of all its legs / its net value,

the gain that of the legs which it would close, since the fixing of spot at the last 08:00 UTC, or at the one before,
whichever is more: variation gains of a day, as clearing houses haircut them (CPMI-IOSCO, Recovery of financial market
infrastructures, 4.2.20). Options count by their value, for a premium paid is not remembered.

With `D = max(-NV, 0)` the deficit of the account, `F` what the fund has of it, and `U` what earlier candidates were
spared, who closes a notional `n` out of `N` has to bear

    share = (D - F - U) n / N,    and bears    min(share, gain),

while the fund pays `F n / N`. So a dollar of notional costs everybody the same, whoever comes first: what a gain does
not cover goes to `U`, and to nobody else. Once all legs are closed the account has exactly `-U`.

Books are without entries, as `python_model.liquidation.without_entries` makes them. USD; packages have the signs of
the account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from python_model.exposure import mark
from python_model.liquidation import figures, less
from python_model.methodology import Methodology
from python_model.portfolio import Book, Market, Position

MOST = 16

# Spot at some 08:00 UTC by underlying, USD; those that had none then are missing.
Fixing = Mapping[str, float]


class NominationError(ValueError):
    """A nomination that is refused; the reason in the words of the contract."""


@dataclass(frozen=True)
class Nomination:
    """A candidate, and its score in USD."""

    candidate: int
    score: float


@dataclass(frozen=True)
class Closing:
    """What a candidate closes, USD.

    Attributes
    ----------
    candidate : id
    package : legs that the account gives
    notional : of them, at spot
    value : of them to the account, at their marks
    share : of the deficit, that falls to them
    loss : what the candidate bears of it, on top of their value
    fund : what the fund pays for them
    uncovered : of the deficit, what candidates have been spared then
    holder : the candidate afterwards
    """

    candidate: int
    package: tuple[Position, ...]
    notional: float
    value: float
    share: float
    loss: float
    fund: float
    uncovered: float
    holder: Book


@dataclass(frozen=True)
class Round:
    """A round while candidates are taken.

    Attributes
    ----------
    account : Book
    fund : cash of the fund, USD; negative where it owes
    uncovered : of the deficit, what candidates who closed have been spared, USD
    closings : in order
    passed_over : ids of those that hold nothing against the account any more, or would not be healthy
    """

    account: Book
    fund: float
    uncovered: float = 0.0
    closings: tuple[Closing, ...] = field(default=())
    passed_over: tuple[int, ...] = field(default=())


def opposite(legs: Sequence[Position], other: Sequence[Position]) -> tuple[Position, ...]:
    """Of each instrument held with opposite signs, what both have, with the sign of the first.

    Parameters
    ----------
    legs, other : net legs
    """
    held = {p.instrument: p.size for p in other}
    pairs = ((p, held.get(p.instrument, 0.0)) for p in legs)
    return tuple(replace(p, size=min(p.size, -q, key=abs)) for p, q in pairs if p.size * q < 0.0)


def notional(legs: Sequence[Position], market: Market) -> float:
    """Sum of `|size| spot` over legs of any kind, USD."""
    return sum(abs(p.size) * market.underlyings[p.underlying].spot for p in legs)


def value(legs: Iterable[Position], market: Market) -> float:
    """Sum of `size mark`, USD: of options what they are worth, of the others what they are entered at now."""
    return sum(p.size * mark(p, market) for p in legs)


def gain(package: Sequence[Position], market: Market, fixings: Sequence[Fixing]) -> float:
    """What whoever holds the other side of a package has gained, USD, not negative.

    Parameters
    ----------
    package : with the signs of the account
    market : Market
    fixings : the last one and the one before; an underlying that was not fixed has not moved
    """

    def since(fixing: Fixing) -> float:
        linear = ((p, market.underlyings[p.underlying].spot) for p in package if not p.kind.is_option)
        return sum(p.size * (fixing.get(p.underlying, spot) - spot) for p, spot in linear)

    options = value((p for p in package if p.kind.is_option), market)
    return max(max(since(fixing) for fixing in fixings) - options, 0.0)


def score(account: Book, candidate: Book, market: Market, methodology: Methodology, fixings: Sequence[Fixing]) -> float:
    """Gain times leverage, USD.

    Parameters
    ----------
    account, candidate : Book
    market : Market
    methodology : Methodology
    fixings : as of `gain`

    Raises
    ------
    NominationError
        The candidate is unhealthy or has no net value, or holds nothing against the account.
    """
    f = figures(candidate, market, methodology)
    if f.is_unhealthy or f.net_value <= 0.0:
        raise NominationError("unhealthy")
    package = opposite(account.positions, candidate.positions)
    if not package:
        raise NominationError("no opposite legs")
    return gain(package, market, fixings) * notional(candidate.positions, market) / f.net_value


def entered(ranking: Sequence[Nomination], nomination: Nomination) -> tuple[Nomination, ...]:
    """The ranking with one more: highest score first, of equal ones who was nominated first, the best sixteen.

    Parameters
    ----------
    ranking : as this makes it
    nomination : of a candidate that may have been there, and is ranked anew

    Raises
    ------
    NominationError
        Sixteen others come before it.
    """
    others = [n for n in ranking if n.candidate != nomination.candidate]
    best = tuple(sorted([*others, nomination], key=lambda n: -n.score)[:MOST])
    if nomination not in best:
        raise NominationError("rank")
    return best


def offer(r: Round, candidate: int, holder: Book, market: Market, fixings: Sequence[Fixing]) -> Closing:
    """What a candidate would close and bear, whether it can or not; of nothing where it holds nothing opposite.

    Parameters
    ----------
    r : Round
    candidate : id
    holder : its book
    market : Market
    fixings : as of `gain`
    """
    book = r.account
    package = opposite(book.positions, holder.positions)
    part = notional(package, market) / notional(book.positions, market)
    deficit = max(-net_value(book, market), 0.0)
    fund = min(max(r.fund, 0.0), deficit)
    # Less where the market has come back since.
    uncovered = min(r.uncovered, deficit - fund)
    share = (deficit - fund - uncovered) * part
    loss = min(share, gain(package, market, fixings))
    worth = value(package, market)
    return Closing(
        candidate=candidate,
        package=package,
        notional=notional(package, market),
        value=worth,
        share=share,
        loss=loss,
        fund=fund * part,
        uncovered=uncovered + share - loss,
        holder=closed(holder, opposite(holder.positions, book.positions), -worth - loss),
    )


def net_value(book: Book, market: Market) -> float:
    """Of an account without entries, USD: collateral by its price."""
    return book.cash + value(book.positions, market) + sum(c.amount * c.price for c in book.collateral)


def closed(book: Book, package: tuple[Position, ...], cash: float) -> Book:
    """The book without a package of its legs, and with so much more cash, USD."""
    return replace(book, cash=book.cash + cash, positions=less(book.positions, package))


def close(
    r: Round,
    candidates: Iterable[tuple[int, Book]],
    market: Market,
    methodology: Methodology,
    fixings: Sequence[Fixing],
) -> Round:
    """Take candidates in order, until the account is healthy or has no legs.

    Parameters
    ----------
    r : Round, in which some may have been taken before
    candidates : ids and books, see `entered`
    market : Market
    methodology : Methodology
        By which is judged who is healthy.
    fixings : as of `gain`

    Returns
    -------
    Round
    """
    for candidate, holder in candidates:
        if not r.account.positions or not figures(r.account, market, methodology).is_unhealthy:
            break
        c = offer(r, candidate, holder, market, fixings)
        if not c.package or figures(c.holder, market, methodology).is_unhealthy:
            r = replace(r, passed_over=(*r.passed_over, candidate))
            continue
        r = replace(
            r,
            account=closed(r.account, c.package, c.value + c.loss + c.fund),
            fund=r.fund - c.fund,
            uncovered=c.uncovered,
            closings=(*r.closings, c),
        )
    return r
