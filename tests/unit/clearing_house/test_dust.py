"""INV-10: no sequence of 500 dust-sized operations leaves its user with more than before."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.protocol_fixtures import (
    DEPOSIT,
    QUOTE,
    TRADE,
    TRANSFER,
    WAD,
    WETH,
    WITHDRAW,
    Leg,
    World,
    action,
    call,
    future,
    perp,
    put,
    size_of,
)

OPERATIONS = 500
BATCH = 16


def dust_leg(rng: random.Random, world: World) -> Leg:
    """A few millionths of a unit at a price with all its nine digits."""
    size = rng.choice([-3, -2, -1, 1, 2, 3]) / 1e6
    price = 2000 + rng.randrange(10**9) / 1e9
    return rng.choice(
        [
            perp(size, price),
            future(world.week, size, price),
            call(world.month, 2000, size, price / 13),
            put(world.month, 1900, size, price / 17),
        ]
    )


def wealth(world: World, *accounts: int) -> tuple[int, int]:
    """Quote currency at 1e-18 and ether at 1e-18: in accounts, agreed, and in the pocket of the owner."""
    house, user = world.house, world.taker
    cash = sum(house.cash(a) - house.cost(a) for a in accounts) + world.quote.balanceOf(user) * 10**12
    return cash, sum(house.balance_of(a, WETH) for a in accounts) + world.weth.balanceOf(user)


def dust_batch(rng: random.Random, world: World, one: int, two: int, count: int) -> list[tuple[Any, ...]]:
    """Operations of one user between two accounts and the pocket; none goes below what is there."""
    acts = []
    for _ in range(count):
        sender, receiver = rng.sample([one, two], 2)
        what = {"collateral": rng.choice([QUOTE, WETH]), "amount": rng.randrange(1, 4)}
        kind = rng.choice([DEPOSIT, WITHDRAW, TRANSFER, TRADE])
        if kind == DEPOSIT:
            acts.append(action(kind, sender, **what))
        elif kind == WITHDRAW:
            acts.append(action(kind, sender, recipient=world.taker, **what))
        elif kind == TRANSFER:
            acts.append(action(kind, sender, counterparty=receiver, **what))
        else:
            acts.append(world.trade_action(sender, receiver, dust_leg(rng, world)))
    return acts


@pytest.mark.parametrize("seed", range(2))
def test_dust_between_ones_own_accounts_is_worth_nothing(world: World, seed: int) -> None:
    """Exactly nothing: in cash, cost, collateral and tokens together."""
    rng = random.Random(seed)
    one, two = world.open(world.taker, usd=100, ether=1), world.open(world.taker, usd=100, ether=1)
    for token, units in ((world.quote, 10**6), (world.weth, 10**6)):
        world.give(token, world.taker, units)
    before = wealth(world, one, two)
    done = 0
    while done < OPERATIONS:
        count = min(BATCH, OPERATIONS - done)
        world.house.execute(dust_batch(rng, world, one, two, count), sender=world.taker)
        done += count
    assert wealth(world, one, two) == before
    # Close whatever is left: realised profit and premium add nothing either.
    fields = ((248, 8), (216, 32), (152, 64), (144, 8))
    legs = [
        (*((word >> shift) & (2**bits - 1) for shift, bits in fields), -size_of(word), 10**9)
        for word in world.house.book(one)
    ]
    world.trade(one, two, *legs)
    assert world.house.book(one) == world.house.book(two) == []
    assert world.house.cost(one) == world.house.cost(two) == 0
    assert wealth(world, one, two) == before
    world.check_ledger()


def test_dust_traded_with_another_at_its_mark_gains_nothing(world: World) -> None:
    """The maker quotes the mark, rounded against the taker by less than 1e-9 USD a unit."""
    account = world.open(world.taker, usd=100)
    legs = [call(world.month, 2000 + 10 * i, 0.000001) for i in range(16)]
    buys = []
    for leg in legs:
        price = world.marked(leg)[5] + 1
        buys.append((*leg[:5], price))
    sells = [(*leg[:4], -leg[4], leg[5] - 1) for leg in buys]
    before = world.figures(account).net_value
    for _ in range(3):
        world.trade(account, world.making, *buys)
        world.trade(account, world.making, *sells)
    # A round trip costs one 1e-9 USD of a millionth of a unit a leg.
    assert world.figures(account).net_value == before - 3 * 16 * 1_000
    assert world.house.cash(account) == 100 * WAD - 3 * 16 * 1_000
    world.check_ledger()
