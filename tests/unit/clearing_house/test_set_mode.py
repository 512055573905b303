"""Modes (M-17): what each may hold, and the check at every change."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import CROSS, ISOLATED, MAX, PORTFOLIO, VAR, World, call, future, perp


@pytest.mark.parametrize("mode", [ISOLATED, CROSS, PORTFOLIO, VAR, MAX])
def test_an_empty_account_may_have_any(world: World, mode: int) -> None:
    receipt = world.house.set_mode(world.taking, mode, sender=world.taker)
    assert receipt.events == [world.house.ModeSet(account=world.taking, mode=mode)]
    assert world.house.mode_of(world.taking) == mode


def test_there_is_no_sixth_mode(world: World) -> None:
    assert world.tries(world.house.set_mode, world.taking, 5, sender=world.taker) == "accounts: mode"


def test_only_the_owner_changes_it(world: World) -> None:
    for user in (world.stranger, world.owner, world.maker):
        assert world.tries(world.house.set_mode, world.taking, CROSS, sender=user) == "accounts: not the owner"


def test_an_isolated_account_holds_one_leg(world: World) -> None:
    account = world.open(world.taker, usd=100_000, mode=ISOLATED)
    assert world.try_trade(account, world.making, perp(1), future(world.week, 1)) == "positions: legs of this mode"
    world.trade(account, world.making, perp(1))
    assert world.try_trade(account, world.making, future(world.week, 1)) == "positions: legs of this mode"
    world.trade(account, world.making, perp(2))
    assert list(world.sizes(account).values()) == [3_000_000]


def test_an_isolated_account_may_swap_its_leg_in_one_package(world: World) -> None:
    account = world.open(world.taker, usd=100_000, mode=ISOLATED)
    world.trade(account, world.making, perp(1))
    world.trade(account, world.making, perp(-1), future(world.week, 1))
    assert len(world.house.book(account)) == 1


def test_an_isolated_maker_holds_one_leg_too(world: World) -> None:
    account = world.open(world.maker, usd=100_000, mode=ISOLATED)
    assert world.try_trade(world.taking, account, perp(1), future(world.week, 1)) == "positions: legs of this mode"


def test_an_account_of_two_legs_does_not_become_isolated(world: World) -> None:
    world.trade(world.taking, world.making, perp(1), future(world.week, -1))
    assert (
        world.tries(world.house.set_mode, world.taking, ISOLATED, sender=world.taker) == "positions: legs of this mode"
    )


def test_cross_mode_ends_at_32_legs(world: World) -> None:
    """Each of them is assessed alone, and all must be within one transaction."""
    account = world.open(world.taker, usd=100_000, mode=CROSS)
    legs = [call(world.month, 1500 + 50 * i, 0.01, 200) for i in range(33)]
    for at in (0, 16):
        world.trade(account, world.making, *legs[at : at + 16])
    assert world.try_trade(account, world.making, legs[32]) == "positions: legs of this mode"
    world.house.set_mode(account, PORTFOLIO, sender=world.taker)
    world.trade(account, world.making, legs[32])
    assert world.tries(world.house.set_mode, account, CROSS, sender=world.taker) == "positions: legs of this mode"


def test_an_account_that_lives_on_its_offsets_stays_in_portfolio_mode(world: World) -> None:
    """The full check: the same hedged book needs far more in cross mode."""
    world.trade(world.taking, world.making, perp(10), future(world.week, -10))
    world.drain(world.taking)
    assert world.tries(world.house.set_mode, world.taking, CROSS, sender=world.taker) == "solvency: margin"


def test_cross_to_portfolio_frees_margin(world: World) -> None:
    account = world.open(world.taker, usd=100_000, mode=CROSS)
    world.trade(account, world.making, perp(10), future(world.week, -10))
    before = world.freedom(account)
    world.house.set_mode(account, PORTFOLIO, sender=world.taker)
    assert world.freedom(account) > before


@pytest.mark.parametrize("leg", ["perp", "call"])
def test_the_three_modes_agree_on_a_single_position(world: World, leg: str) -> None:
    """M-17."""
    world.trade(world.taking, world.making, perp(-3) if leg == "perp" else call(world.month, 2100, -3, 80))
    seen = []
    for mode in (ISOLATED, CROSS, PORTFOLIO):
        world.house.set_mode(world.taking, mode, sender=world.taker)
        figures = world.figures(world.taking)
        seen.append((figures.maintenance, figures.initial, figures.equity_initial))
    assert seen[0] == seen[1] == seen[2]
