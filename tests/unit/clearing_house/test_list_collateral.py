"""Kinds of collateral: bounds of their terms."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.protocol_fixtures import EMPTY, ETH, QUOTE, WAD, WETH, World


def token(world: World, decimals: int = 18) -> Any:
    return world.owner.deploy(world.contracts.Token, "Some", "SOM", decimals)


def terms(asset: Any, **changed: Any) -> tuple[Any, ...]:
    """Admissible terms, but for what is changed."""
    row = {"underlying": ETH, "source": EMPTY, "initial": WAD // 5, "maintenance": WAD // 10, "cap": 10**24} | changed
    return (asset, *row.values())


def test_a_kind_is_stored_as_it_was_given(world: World) -> None:
    asset = token(world, 8)
    world.house.list_collateral(*terms(asset, source=world.stranger, cap=10**15), sender=world.owner)
    kind = world.house.collateral_count()
    got = world.house.collaterals(kind)
    assert kind == WETH + 1
    assert (got.token, got.decimals, got.underlying, got.source) == (asset, 8, ETH, world.stranger)
    assert (got.haircut_initial, got.haircut_maintenance) == (WAD // 5, WAD // 10)
    assert (got.cap, got.credited) == (10**15, 0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"initial": WAD}, "custody: haircut"),
        ({"maintenance": WAD // 5 + 1}, "custody: haircut"),
        ({"underlying": 0}, "custody: no price"),
        ({"underlying": 256}, "custody: no price"),
        # 1e-18 units up to 2**96, so that sums stay inside what the engine bears.
        ({"cap": 2**96 + 1}, "custody: cap"),
    ],
)
def test_terms_out_of_bounds_are_refused(world: World, changed: dict[str, int], reason: str) -> None:
    assert world.tries(world.house.list_collateral, *terms(token(world), **changed), sender=world.owner) == reason


@pytest.mark.parametrize(
    "changed",
    [{"initial": WAD - 1, "maintenance": WAD - 1}, {"initial": 0, "maintenance": 0}, {"cap": 2**96}, {"cap": 0}],
)
def test_the_bounds_themselves_pass(world: World, changed: dict[str, int]) -> None:
    assert world.tries(world.house.list_collateral, *terms(token(world), **changed), sender=world.owner) is None


def test_a_cap_counts_in_units_of_the_token(world: World) -> None:
    """2**96 at 1e-18 are 2**96 / 1e12 of a token of 6 decimals."""
    asset = token(world, 6)
    most = 2**96 // 10**12
    assert world.tries(world.house.list_collateral, *terms(asset, cap=most), sender=world.owner) is None
    assert world.tries(world.house.list_collateral, *terms(asset, cap=most + 1), sender=world.owner) == "custody: cap"


def test_a_token_is_listed_once(world: World) -> None:
    for asset in (world.quote, world.weth):
        answer = world.tries(world.house.list_collateral, *terms(asset, cap=0), sender=world.owner)
        assert answer == "custody: listed already"


def test_a_token_has_at_most_eighteen_decimals(world: World) -> None:
    answer = world.tries(world.house.list_collateral, *terms(token(world, 19)), sender=world.owner)
    assert answer == "custody: decimals"


def test_an_address_without_code_is_no_token(world: World) -> None:
    assert world.tries(world.house.list_collateral, *terms(world.stranger), sender=world.owner) == ""


def test_there_are_sixteen_kinds_beside_the_quote_token(world: World) -> None:
    for _ in range(15):
        world.house.list_collateral(*terms(token(world)), sender=world.owner)
    assert world.house.collateral_count() == 16
    answer = world.tries(world.house.list_collateral, *terms(token(world)), sender=world.owner)
    assert answer == "custody: too many kinds"


def test_an_account_may_hold_all_sixteen(world: World) -> None:
    for _ in range(15):
        world.list_kind(token(world))
    for kind in range(1, 17):
        asset = world.contracts.Token.at(world.house.collaterals(kind).token)
        world.give(asset, world.taker, WAD)
        world.house.deposit(world.taking, kind, WAD, sender=world.taker)
    # 1,000 to each of fifteen tokens of 1 USD after 10%, and 2,000 of WETH after 2%.
    figures = world.figures(world.taking)
    assert figures.equity_initial == 100_000 * WAD + 15 * WAD * 9 // 10 + 1960 * WAD - 10**4
    assert len(world.house.portfolio(world.taking).holdings) == 16
    world.check_ledger()


def test_a_cap_may_fall_below_what_is_credited(world: World) -> None:
    """Then it can only be withdrawn."""
    receipt = world.house.set_cap(QUOTE, 0, sender=world.owner)
    assert receipt.events == [world.house.CapSet(collateral=QUOTE, cap=0)]
    world.give(world.quote, world.taker, 1)
    assert world.tries(world.house.deposit, world.taking, QUOTE, 1, sender=world.taker) == "custody: cap"
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.taker) is None


def test_a_cap_of_an_unknown_kind_is_refused(world: World) -> None:
    assert world.tries(world.house.set_cap, 9, 0, sender=world.owner) == "custody: unknown kind"


def test_a_price_source_is_used_for_equity_and_grid_alike(world: World) -> None:
    """No 1:1 assumption: a staked token at a discount is worth the discount at once (stETH 2022)."""
    asset = token(world)
    kind, source = world.list_kind(asset, 2_400 * WAD, ETH)
    account = world.open(world.taker)
    world.give(asset, world.taker, WAD)
    world.house.deposit(account, kind, WAD, sender=world.taker)
    before = world.figures(account)
    assert before.net_value == 2_400 * WAD - 10**4
    source.set_price(2_000 * WAD, True, sender=world.owner)
    after = world.figures(account)
    assert after.net_value == 2_000 * WAD - 10**4
    assert after.equity_maintenance == 1_900 * WAD - 10**4 and after.equity_initial == 1_800 * WAD - 10**4
    assert after.maintenance < before.maintenance
