"""An expiry on the chain: the settlement price gathers over the last half hour, then every leg becomes cash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from python_model import settlement
from python_model.portfolio import Market, Position
from scripts import chain, protocol
from scripts.story import DUST, NOISE, Actor, Stage, Standing, book_of, standing

# How often spot is published while a settlement price is being fixed.
FIXING_SECONDS = 300
# Prices of the chain are at 1e-9 USD, rounded down.
PRICE_STEP = 1e-9


@dataclass(frozen=True)
class Fixing:
    """Spot at one moment of the window, the forward by contract and model, USD, and what share of it is fixed."""

    time: int
    spot: float
    contract: float
    model: float
    share: float
    difference: float


@dataclass(frozen=True)
class Payment:
    """What an account got for its expired legs: cash by the contract, 1e-18 USD, and by the model, USD for each leg."""

    name: str
    legs: tuple[Position, ...]
    paid: int
    model: tuple[float, ...]
    before: Standing
    after: Standing
    difference: float


@dataclass(frozen=True)
class Settlement:
    """An expiry as it was settled. Totals of the cash of all accounts and the reserve are at 1e-18 USD."""

    underlying: str
    expiry: int
    price: float
    model_price: float
    fixings: tuple[Fixing, ...]
    payments: tuple[Payment, ...]
    cash_before: int
    cash_after: int
    settled_again: int
    gas: int


def due(market: Market, until: int) -> list[tuple[str, int]]:
    """Underlyings and expiries after a market's time that are over by a moment, in order of time."""
    rows = {(e.expiry, name) for name, u in market.underlyings.items() for e in u.expiries}
    return [(name, time) for time, name in sorted(rows) if market.as_of < time <= until]


def fixing(stage: Stage, name: str, expiry: int) -> Fixing:
    """The forward of an expiry now, as far as it is fixed."""
    id_, market_data = stage.protocol.names[name], stage.protocol.market_data
    words, _ = stage.view(market_data.read, id_, [stage.clock.chain(expiry)])
    u = stage.market.underlyings[name]
    row = u.at(expiry)
    contract, share = chain.as_float(words[1] >> 184, 9), (words[2] & settlement.SHARES) / settlement.SHARES
    stage.agreement.see(share, row.fixed, 1.0 / settlement.SHARES)
    return Fixing(stage.time, u.spot, contract, row.forward, share, see_price(stage, contract, row.forward))


def see_price(stage: Stage, contract: float, model: float) -> float:
    """Compare two prices: the chain's is rounded down; the difference."""
    return stage.agreement.see(contract, model, PRICE_STEP + NOISE * model)


def all_cash(stage: Stage) -> int:
    """Cash of all accounts, and the reserve: 1e-18 USD."""
    house = stage.protocol.clearing_house
    accounts = range(1, house.account_count() + 1)
    return int(house.reserve()) + sum(protocol.stored_cash(stage.protocol, account) for account in accounts)


def settle(stage: Stage, name: str, expiry: int, fixings: list[Fixing]) -> Settlement:
    """Settle everybody's legs of an expiry in one call, which anyone may send; and once more, for nothing."""
    p = stage.protocol
    worth, final = stage.view(p.market_data.settlement, p.names[name], stage.clock.chain(expiry))
    assert final, "the expiry has no settlement price yet"
    price = chain.as_float(worth, 9)
    times, spots = (np.array(row) for row in zip(*stage.course[name], strict=True))
    model_price = settlement.settlement_price(times, spots, expiry)
    assert model_price is not None
    see_price(stage, price, model_price)

    holders = {
        actor.account: (actor, expired)
        for actor in stage.actors.values()
        if (expired := legs(stage, actor, name, expiry))
    }
    before = {account: standing(stage, actor) for account, (actor, _) in holders.items()}
    cash_before = all_cash(stage)
    receipt = p.settlement.settle(list(holders), sender=stage.sender)
    stage.spend(
        f"settle {sum(len(expired) for _, expired in holders.values())} legs of {len(holders)} accounts", receipt
    )
    again = stage.view(p.settlement.settle, list(holders))
    events = {event.account: event for event in receipt.events.filter(p.settlement.Settled)}
    payments = []
    for account, (actor, expired) in holders.items():
        model = tuple(leg.size * float(settlement.payoff(leg.kind, price, leg.strike)) for leg in expired)
        noise = NOISE * sum(abs(leg.size) * (price + (leg.strike or 0.0)) for leg in expired) + DUST
        off = stage.agreement.see(chain.as_float(events[account].cash), sum(model), noise)
        stage.ledger[actor.name] += sum(model)
        after = standing(stage, actor)
        payments.append(Payment(actor.name, expired, events[account].cash, model, before[account], after, off))
    return Settlement(
        name,
        expiry,
        price,
        model_price,
        tuple(fixings),
        tuple(payments),
        cash_before,
        all_cash(stage),
        again,
        receipt.gas_used,
    )


def legs(stage: Stage, actor: Actor, name: str, expiry: int) -> tuple[Position, ...]:
    """What an account holds of an expiry."""
    return tuple(leg for leg in book_of(stage, actor).positions if (leg.underlying, leg.expiry) == (name, expiry))
