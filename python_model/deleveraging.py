"""Deleveraging: a loss that the fund cannot bear is shared by those who gained most from it, with most leverage.

An account is bankrupt when nobody takes it at a price that the fund can pay. Its legs are then closed against accounts
that hold the opposite, in the order of profit times leverage, at the bankruptcy price: the mark, moved against them so
that the account's deficit `D` is spread over its legs in proportion to their notional `N`:

    p = mark (1 + D / N)   where the account is long: who is short pays more to be out,
    p = mark (1 - D / N)   where it is short: who is long gets less.

So a counterparty that closes `x` units pays `x mark D / N`, and the account has no deficit left once all its legs are
closed. No counterparty pays more than it has gained, or than leaves it healthy; then less of its legs is closed. USD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MOST = 16
# Sizes are cut to the millionth of a unit.
SIZE = 10**6

Instrument = tuple[str, int, float, str]
Sizes = Mapping[Instrument, float]


@dataclass(frozen=True)
class Candidate:
    """An account that may have to share a loss.

    Attributes
    ----------
    account : id
    profit : unrealised profit of its futures and perpetuals, USD: no more of the loss is shared
    notional : gross notional of its legs, USD
    equity : USD
    sizes : units by instrument
    """

    account: int
    profit: float
    notional: float
    equity: float
    sizes: Sizes

    @property
    def score(self) -> float:
        """`profit notional / equity`: profit times leverage; 0 where there is no profit or no equity."""
        if self.profit <= 0.0 or self.equity <= 0.0:
            return 0.0
        return self.profit * self.notional / self.equity


@dataclass(frozen=True)
class Closing:
    """What is closed with a counterparty: units by instrument that the account gives, and what it gets, USD."""

    account: int
    sizes: Sizes
    paid: float


@dataclass(frozen=True)
class Result:
    """Closings in order; what the account has left, and the part of the deficit that nobody shares."""

    closings: tuple[Closing, ...]
    sizes: Sizes = field(default_factory=dict)
    deficit: float = 0.0


def ranked(candidates: list[Candidate], most: int = MOST) -> list[Candidate]:
    """The candidates of the highest scores, who was nominated first before who was later; none without a score."""
    return sorted((c for c in candidates if c.score > 0.0), key=lambda c: -c.score)[:most]


def deficit(net_value: float, fund: float) -> float:
    """What counterparties have to share: a debt, less what the fund has, which pays first. USD, not negative."""
    return max(-net_value - max(fund, 0.0), 0.0)


def bankruptcy_price(mark: float, size: float, share: float) -> float:
    """Price at which the account's leg is closed.

    Parameters
    ----------
    mark : USD
    size : of the account's leg, signed
    share : deficit as a fraction of the notional of its legs
    """
    return mark * (1.0 + share) if size > 0.0 else mark * (1.0 - share)


def opposite(held: float, size: float) -> float:
    """How many of the account's units, signed as its leg, close with a holder of the same instrument."""
    return 0.0 if held * size >= 0.0 else (min(abs(size), abs(held)) * (1.0 if size > 0.0 else -1.0))


def cut(units: float, part: float) -> float:
    """A part of units, towards zero at 1e-6."""
    return int(round(units * SIZE) * part) / SIZE


def close(
    sizes: Sizes,
    marks: Mapping[Instrument, float],
    missing: float,
    candidates: list[Candidate],
    stays_healthy: Callable[[Candidate, Closing], bool] = lambda candidate, closing: True,
) -> Result:
    """Close the legs of a bankrupt account with its counterparties in order.

    Parameters
    ----------
    sizes : units of the account by instrument
    marks : USD for a unit, of every instrument in `sizes`
    missing : its deficit, USD, not negative
    candidates : in order, see `ranked`
    stays_healthy : whether a candidate has maintenance margin after a closing; one that has not is passed over

    Returns
    -------
    Result
    """
    left = dict(sizes)
    notional = sum(abs(size) * marks[key] for key, size in sizes.items())
    share = missing / notional if notional > 0.0 else 0.0
    closings = []
    for c in candidates:
        whole = {key: opposite(c.sizes.get(key, 0.0), size) for key, size in left.items()}
        asked = sum(abs(units) * marks[key] for key, units in whole.items()) * share
        most = min(c.profit, c.equity)
        part = 1.0 if asked <= most else most / asked
        units = {key: cut(size, part) for key, size in whole.items() if cut(size, part) != 0.0}
        paid = sum(abs(size) * marks[key] for key, size in units.items()) * share
        closing = Closing(c.account, units, paid)
        if not units or not stays_healthy(c, closing):
            continue
        closings.append(closing)
        for key, size in units.items():
            left[key] = round(left[key] - size, 6)
    rest = {key: size for key, size in left.items() if size != 0.0}
    return Result(tuple(closings), rest, missing - sum(c.paid for c in closings))
