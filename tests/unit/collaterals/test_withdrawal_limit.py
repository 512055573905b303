"""How fast a kind may leave: a bucket of a day that refills linearly."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import protocol
from tests.unit.protocol_fixtures import (
    DAY,
    QUOTE,
    SOLVENT,
    WAD,
    WETH,
    WITHDRAW,
    World,
    action,
    perp,
    usd,
)

REFUSED = "collaterals: withdrawal limit"
LIMIT = usd(1_000)


@pytest.fixture
def limited(world: World) -> World:
    """A thousand USD a day."""
    world.collaterals.set_withdrawal_limit(QUOTE, LIMIT, sender=world.owner)
    return world


def out(world: World, units: int, account: int = 0) -> str | None:
    """Why so much cannot be withdrawn; None where it can."""
    account = account or world.taking
    user = world.user(account)
    return world.tries(world.house.withdraw, account, QUOTE, units, user, sender=user)


def take(world: World, units: int, account: int = 0) -> None:
    account = account or world.taking
    user = world.user(account)
    world.house.withdraw(account, QUOTE, units, user, sender=user)


def test_a_days_limit_can_be_withdrawn_but_no_more(limited: World) -> None:
    assert out(limited, LIMIT + 1) == REFUSED
    take(limited, LIMIT)
    assert out(limited, 1) == REFUSED
    assert limited.collaterals.withdrawable(QUOTE) == 0


@pytest.mark.parametrize(
    ("seconds", "units"), [(1, LIMIT // DAY), (DAY // 2, LIMIT // 2), (DAY, LIMIT), (9 * DAY, LIMIT)]
)
def test_it_refills_linearly_and_never_overflows(limited: World, seconds: int, units: int) -> None:
    take(limited, LIMIT)
    limited.wait(seconds)
    assert limited.collaterals.withdrawable(QUOTE) == units
    assert out(limited, units + 1) == REFUSED
    assert out(limited, units) is None


def test_small_withdrawals_add_up(limited: World) -> None:
    """To the unit, within one block and across blocks."""
    for _ in range(4):
        take(limited, LIMIT // 4)
    assert out(limited, 1) == REFUSED
    limited.wait(DAY // 4)
    take(limited, LIMIT // 8)
    assert limited.collaterals.withdrawable(QUOTE) == LIMIT // 8


def test_all_accounts_share_it(limited: World) -> None:
    take(limited, LIMIT - 1, limited.making)
    assert out(limited, 2) == REFUSED
    assert out(limited, 1) is None


def test_a_batch_is_no_way_round(limited: World) -> None:
    acts = [action(WITHDRAW, limited.taking, amount=LIMIT // 2, recipient=limited.taker) for _ in range(3)]
    assert limited.tries(limited.house.execute, acts, sender=limited.taker) == REFUSED
    assert limited.tries(limited.house.execute, acts[:2], sender=limited.taker) is None


def test_each_kind_has_its_own(limited: World) -> None:
    account = limited.open(limited.taker, ether=5)
    limited.collaterals.set_withdrawal_limit(WETH, WAD, sender=limited.owner)
    take(limited, LIMIT)
    withdraw = (limited.house.withdraw, account, WETH)
    assert limited.tries(*withdraw, WAD + 1, limited.taker, sender=limited.taker) == REFUSED
    assert limited.tries(*withdraw, WAD, limited.taker, sender=limited.taker) is None


def test_what_stays_in_the_vault_does_not_count(limited: World) -> None:
    """Transfers between own accounts, and liquidations."""
    world = limited
    take(world, LIMIT)
    other = world.open(world.taker)
    assert world.tries(world.house.transfer, world.taking, other, QUOTE, usd(50_000), sender=world.taker) is None
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.85)
    bid = (world.house.bid, account, world.bidding, protocol.bid(SOLVENT))
    assert world.tries(*bid, sender=world.bidder) is None


def test_deposits_are_not_limited(limited: World) -> None:
    take(limited, LIMIT)
    limited.give(limited.quote, limited.taker, 5 * LIMIT)
    assert limited.tries(limited.house.deposit, limited.taking, QUOTE, 5 * LIMIT, sender=limited.taker) is None


def test_a_new_limit_is_whole_again_within_a_day(limited: World) -> None:
    """However much of the old one was used up."""
    take(limited, LIMIT)
    receipt = limited.collaterals.set_withdrawal_limit(QUOTE, 100, sender=limited.owner)
    assert receipt.events == [limited.collaterals.WithdrawalLimitSet(collateral=QUOTE, withdrawal_limit=100)]
    assert limited.collaterals.withdrawable(QUOTE) == 0
    limited.wait(DAY)
    assert limited.collaterals.withdrawable(QUOTE) == 100


def test_a_higher_limit_counts_at_once(limited: World) -> None:
    take(limited, LIMIT)
    limited.collaterals.set_withdrawal_limit(QUOTE, 3 * LIMIT, sender=limited.owner)
    assert limited.collaterals.withdrawable(QUOTE) == 2 * LIMIT


def test_none_is_none(world: World) -> None:
    assert world.collaterals.withdrawable(QUOTE) == 2**256 - 1
    take(world, usd(100_000))


def test_taking_a_limit_away_and_back_forgets_what_was_used(limited: World) -> None:
    take(limited, LIMIT)
    for limit in (0, LIMIT):
        limited.collaterals.set_withdrawal_limit(QUOTE, limit, sender=limited.owner)
    assert limited.collaterals.withdrawable(QUOTE) == LIMIT


def test_only_the_clearing_house_uses_it_up(limited: World) -> None:
    answers: list[Any] = [
        limited.tries(limited.collaterals.release, QUOTE, 1, 1, 0, sender=user)
        for user in (limited.owner, limited.taker)
    ]
    assert answers == ["collaterals: caller"] * 2
