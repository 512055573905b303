"""Kinds of collateral: bounds of their terms."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.protocol import NO_SOURCES
from tests.unit.collaterals.kinds import STETH_PER_TOKEN
from tests.unit.protocol_fixtures import EMPTY, ETH, QUOTE, WAD, WETH, World


def token(world: World, decimals: int = 18) -> Any:
    return world.owner.deploy(world.contracts.Token, "Some", "SOM", decimals)


def terms(asset: Any, sources: tuple[Any, ...] = NO_SOURCES, **changed: Any) -> tuple[Any, ...]:
    """Admissible terms, but for what is changed."""
    row = {"underlying": ETH, "initial": WAD // 5, "maintenance": WAD // 10, "cap": 10**24, "limit": 0} | changed
    return (asset, *row.values(), sources)


def refusal(world: World, *arguments: Any, **changed: Any) -> str | None:
    """Why terms are not admissible; None where they are."""
    return world.tries(world.collaterals.list_collateral, terms(*arguments, **changed), sender=world.owner)


def test_a_kind_is_stored_as_it_was_given(world: World) -> None:
    asset, pegged = token(world, 8), world.owner.deploy(world.contracts.PegSource, WAD)
    sources = (EMPTY, bytes(4), 0, 0, pegged.address)
    world.collaterals.list_collateral(terms(asset, sources, cap=10**15, limit=10**12), sender=world.owner)
    kind = world.collaterals.count()
    got = world.collaterals.terms(kind)
    assert kind == WETH + 1
    assert (got.token, got.underlying) == (asset, ETH)
    assert (got.haircut_initial, got.haircut_maintenance) == (WAD // 5, WAD // 10)
    assert (got.cap, got.withdrawal_limit, world.house.credited(kind)) == (10**15, 10**12, 0)
    assert world.collaterals.unit(kind) == 10**10
    assert got.sources.peg_source == pegged and got.sources.rate_source == EMPTY


def test_the_quote_token_is_kind_zero(world: World) -> None:
    assert world.collaterals.terms(QUOTE).token == world.quote
    assert world.collaterals.unit(QUOTE) == 10**12
    value = world.collaterals.value(QUOTE)
    assert (value.price, value.haircut_initial, value.fresh) == (WAD, 0, True)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"initial": WAD}, "collaterals: haircut"),
        ({"maintenance": WAD // 5 + 1}, "collaterals: haircut"),
        ({"underlying": 256}, "collaterals: underlying"),
        # 1e-18 units up to 2**96, so that sums stay inside what the engine bears.
        ({"cap": 2**96 + 1}, "collaterals: cap"),
        ({"limit": 2**96 + 1}, "collaterals: withdrawal limit"),
    ],
)
def test_terms_out_of_bounds_are_refused(world: World, changed: dict[str, int], reason: str) -> None:
    assert refusal(world, token(world), **changed) == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"initial": WAD - 1, "maintenance": WAD - 1},
        {"initial": 0, "maintenance": 0},
        {"cap": 2**96},
        {"cap": 0},
        {"limit": 2**96},
        {"underlying": 255},
    ],
)
def test_the_bounds_themselves_pass(world: World, changed: dict[str, int]) -> None:
    assert refusal(world, token(world), **changed) is None


def test_of_what_is_no_plain_claim_the_market_must_say_the_worth(world: World) -> None:
    """No 1:1 assumption (USDe 2025, stETH 2022): neither for a stablecoin nor for what has a rate of its own."""
    staked = world.owner.deploy(world.contracts.WrappedStaked, world.owner.deploy(world.contracts.RebasingToken, WAD))
    rated = (staked, STETH_PER_TOKEN, 18, WAD // 100, EMPTY)
    for asset, sources, underlying in ((token(world), NO_SOURCES, 0), (staked, rated, ETH)):
        assert refusal(world, asset, sources, underlying=underlying) == "collaterals: no peg source"
        pegged = (*sources[:4], world.owner.deploy(world.contracts.PegSource, WAD))
        assert refusal(world, asset, pegged, underlying=underlying) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"decimals": 19}, "collaterals: rate decimals"),
        ({"growth": WAD // 10 + 1}, "collaterals: growth"),
        ({"selector": b"\xde\xad\xbe\xef"}, "collaterals: no rate"),
        ({"source": "0x" + "77" * 20}, "collaterals: no rate"),
        ({"growth": WAD // 10}, None),
    ],
)
def test_sources_out_of_bounds_are_refused(world: World, changed: dict[str, Any], reason: str | None) -> None:
    staked = world.owner.deploy(world.contracts.WrappedStaked, world.owner.deploy(world.contracts.RebasingToken, WAD))
    pegged = world.owner.deploy(world.contracts.PegSource, WAD)
    row = {"source": staked, "selector": STETH_PER_TOKEN, "decimals": 18, "growth": WAD // 100} | changed
    sources = (*row.values(), pegged)
    assert refusal(world, staked, sources) == reason
    # And as the second word of governance.
    world.collaterals.list_collateral(terms(token(world)), sender=world.owner)
    change = (world.collaterals.set_sources, world.collaterals.count(), sources)
    assert world.tries(*change, sender=world.owner) == reason


def test_a_cap_counts_in_units_of_the_token(world: World) -> None:
    """2**96 at 1e-18 are 2**96 / 1e12 of a token of 6 decimals."""
    asset = token(world, 6)
    most = 2**96 // 10**12
    assert refusal(world, asset, cap=most) is None
    assert refusal(world, asset, cap=most + 1) == "collaterals: cap"


def test_a_token_is_listed_once(world: World) -> None:
    for asset in (world.quote, world.weth):
        assert refusal(world, asset, cap=0) == "collaterals: listed already"


def test_a_token_has_at_most_eighteen_decimals(world: World) -> None:
    assert refusal(world, token(world, 19)) == "collaterals: decimals"


def test_an_address_without_code_is_no_token(world: World) -> None:
    assert refusal(world, world.stranger) == ""


def test_there_are_sixteen_kinds_beside_the_quote_token(world: World) -> None:
    for _ in range(15):
        world.collaterals.list_collateral(terms(token(world)), sender=world.owner)
    assert world.collaterals.count() == 16
    assert refusal(world, token(world)) == "collaterals: too many kinds"


def test_an_account_may_hold_all_sixteen(world: World) -> None:
    for _ in range(15):
        world.list_kind(token(world))
    for kind in range(1, 17):
        asset = world.contracts.Token.at(world.collaterals.terms(kind).token)
        world.give(asset, world.taker, WAD)
        world.house.deposit(world.taking, kind, WAD, sender=world.taker)
    # 1 USD each of fifteen tokens after 10%, and 2,000 of WETH after 2%.
    figures = world.figures(world.taking)
    assert figures.equity_initial == 100_000 * WAD + 15 * WAD * 9 // 10 + 1960 * WAD - 10**4
    assert len(world.house.portfolio(world.taking).holdings) == 16
    world.check_ledger()


def test_a_cap_may_fall_below_what_is_credited(world: World) -> None:
    """Then it can only be withdrawn."""
    receipt = world.collaterals.set_cap(QUOTE, 0, sender=world.owner)
    assert receipt.events == [world.collaterals.CapSet(collateral=QUOTE, cap=0)]
    world.give(world.quote, world.taker, 1)
    assert world.tries(world.house.deposit, world.taking, QUOTE, 1, sender=world.taker) == "custody: cap"
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, world.taker, sender=world.taker) is None


def test_an_unknown_kind_has_no_terms_to_change(world: World) -> None:
    calls = (
        (world.collaterals.set_cap, 9, 0),
        (world.collaterals.set_withdrawal_limit, 9, 0),
        (world.collaterals.set_sources, 9, NO_SOURCES),
        (world.collaterals.poke, 9),
    )
    for call in calls:
        assert world.tries(*call, sender=world.owner) == "collaterals: unknown kind"


def test_the_quote_token_has_no_sources(world: World) -> None:
    assert world.tries(world.collaterals.set_sources, QUOTE, NO_SOURCES, sender=world.owner) == "collaterals: quote"


def test_kinds_are_fixed_once_they_are_named(world: World) -> None:
    """Another contract would give other meanings to what is credited."""
    foreign = world.owner.deploy(world.contracts.Collaterals, world.house, world.quote, 0)
    call = world.house.set_contracts
    assert world.tries(call, *world.around(collaterals=foreign), sender=world.owner) == "custody: collaterals are fixed"
    assert world.tries(call, *world.around(), sender=world.owner) is None
    # Nor are those of another clearing house taken.
    house = world.owner.deploy(world.contracts.ClearingHouse)
    assert world.tries(house.set_contracts, *world.around(), sender=world.owner) == "custody: collaterals"
