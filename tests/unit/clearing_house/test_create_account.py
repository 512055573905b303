"""Accounts: ids with an owner and a mode."""

from __future__ import annotations

import pytest

from tests.unit.protocol_fixtures import (
    CROSS,
    EMPTY,
    FUND,
    ISOLATED,
    MAX,
    PORTFOLIO,
    SCOPE_ALL,
    VAR,
    WAD,
    World,
)


@pytest.mark.parametrize("mode", [ISOLATED, CROSS, PORTFOLIO, VAR, MAX])
def test_an_account_has_an_owner_and_a_mode(world: World, mode: int) -> None:
    receipt = world.house.create_account(mode, sender=world.stranger)
    account = world.house.account_count()
    assert receipt.events == [world.house.AccountCreated(account=account, owner=world.stranger, mode=mode)]
    assert world.house.owner_of(account) == world.stranger
    assert world.house.mode_of(account) == mode


def test_ids_count_upwards_from_one(world: World) -> None:
    """The fund's, that of fees, and that of claims come first, with the deployment."""
    assert FUND == 1
    assert world.protocol.backstop.claims_account() == 3
    assert [world.collecting, world.taking, world.making, world.bidding] == [2, 4, 5, 6]
    assert world.open(world.stranger) == 7 == world.house.account_count()


def test_there_is_no_sixth_mode(world: World) -> None:
    assert world.tries(world.house.create_account, 5, sender=world.stranger) == "accounts: mode"


def test_an_account_that_does_not_exist_has_no_owner_and_nothing(world: World) -> None:
    for account in (0, 99):
        assert world.house.owner_of(account) == EMPTY
        assert not world.house.controls(account, world.stranger, SCOPE_ALL)
        assert world.state(account) == [([], 0, 0, [0], ISOLATED)]


def test_one_user_may_have_many_accounts_which_share_nothing(world: World) -> None:
    other = world.open(world.taker)
    assert world.house.cash(other) == 0
    assert world.house.cash(world.taking) == 100_000 * WAD
