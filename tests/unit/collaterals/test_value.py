"""What a token is worth: base, rate and peg, against the model and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_model import collateral
from tests.unit.collaterals.kinds import CONVERT_TO_ASSETS, PERCENT, STETH_PER_TOKEN, deposit, provide, share, staked
from tests.unit.protocol_fixtures import DAY, ETH, NO_RATE, WAD, WETH, World, perp

# Doubles: a few operations of 1.1e-16 each. The contract truncates the rate by a unit of 1e-18, which a base of 2,000
# USD makes 2e-15, and the price by one more.
RELATIVE, ABSOLUTE = 1e-12, 3e-15


def test_a_claim_without_rate_is_worth_its_underlying(world: World) -> None:
    value = world.collaterals.value(WETH)
    assert (value.price, value.rate, value.peg, value.fresh) == (2000 * WAD, WAD, WAD, True)
    assert (value.haircut_initial, value.haircut_maintenance) == (2 * PERCENT, PERCENT)


def test_staked_ether_is_worth_its_rate(world: World) -> None:
    kind = staked(world)
    assert world.collaterals.value(kind.id).price == 2400 * WAD


@pytest.mark.parametrize("decimals", [6, 18])
def test_a_share_of_a_vault_is_worth_its_assets(world: World, decimals: int) -> None:
    """In the decimals of the asset, which are those of the share."""
    kind = share(world, decimals)
    assert world.collaterals.value(kind.id).price == WAD
    kind.inside.mint(kind.token, 5_000 * 10**decimals, sender=world.owner)
    world.wait(DAY)
    # Half a percent on a million, rounded down by the vault to a unit of the asset.
    assert 0 < 1005 * WAD // 1000 - world.collaterals.value(kind.id).price <= 10 ** (18 - decimals)


@settings(max_examples=60, deadline=None)
@given(
    noted=st.integers(WAD // 100, 100 * WAD),
    factor=st.one_of(st.just(1000), st.integers(1, 5000)),
    growth=st.one_of(st.just(0), st.just(WAD // 10), st.integers(0, WAD // 10)),
    seconds=st.one_of(st.just(0), st.just(DAY), st.integers(0, 3 * DAY)),
    peg=st.one_of(st.just(WAD), st.just(99 * PERCENT), st.integers(1, 2 * WAD), st.integers(90 * PERCENT, WAD)),
    base=st.sampled_from([0, ETH]),
)
def test_price_rate_and_haircuts_are_those_of_the_model(
    deployed_world: World, noted: int, factor: int, growth: int, seconds: int, peg: int, base: int
) -> None:
    world = deployed_world
    with world.ape_chain.isolate():
        inside = world.owner.deploy(world.contracts.RebasingToken, noted)
        token = world.owner.deploy(world.contracts.WrappedStaked, inside)
        rate = (token, STETH_PER_TOKEN, 18, growth)
        kind, source = world.list_kind(token, underlying=base, rate=rate)
        inside.set_index(noted * factor // 1000, sender=world.owner)
        source.set_peg(peg, True, sender=world.owner)
        world.wait(seconds)
        value = world.collaterals.value(kind)
    used = collateral.bounded_rate(noted * factor // 1000 / WAD, noted / WAD, seconds, growth / WAD)
    spot = 2000.0 if base else 1.0
    assert value.rate / WAD == pytest.approx(float(used), rel=RELATIVE, abs=1e-18)
    expected = float(collateral.price(spot, used, peg / WAD))
    assert value.price / WAD == pytest.approx(expected, rel=RELATIVE, abs=ABSOLUTE)
    for got, plain in ((value.haircut_initial, 0.10), (value.haircut_maintenance, 0.05)):
        assert got / WAD == pytest.approx(float(collateral.haircut(plain, peg / WAD)), rel=RELATIVE)
        assert got < WAD
    assert value.haircut_maintenance <= value.haircut_initial


# ---------------------------------------------------------------------------------------------------------------- rate


def test_a_rate_grows_by_no_more_than_its_growth_of_a_day(world: World) -> None:
    """However long nobody has noted it."""
    kind = staked(world)
    kind.inside.set_index(24 * WAD // 10, sender=world.owner)
    for seconds, used in ((0, 12_000), (DAY // 2, 12_060), (DAY // 2, 12_120), (300 * DAY, 12_120)):
        world.wait(seconds)
        assert world.collaterals.value(kind.id).rate == used * WAD // 10_000


def test_a_poke_lets_it_grow_for_another_day(world: World) -> None:
    kind = staked(world)
    kind.inside.set_index(24 * WAD // 10, sender=world.owner)
    for used in (12_120, 12_241):
        world.wait(DAY)
        receipt = world.collaterals.poke(kind.id, sender=world.stranger)
        rate = world.collaterals.value(kind.id).rate
        assert rate * 10_000 // WAD == used
        assert receipt.events == [world.collaterals.RateNoted(collateral=kind.id, rate=rate)]


@pytest.mark.parametrize("index", [6, 12, 13, 24])
@pytest.mark.parametrize("seconds", [0, 1, 12_345, 3 * DAY])
def test_a_poke_changes_no_value_at_the_moment(world: World, index: int, seconds: int) -> None:
    """INV-04: to the unit. A hostile token may call it in the middle of a deposit."""
    kind = staked(world)
    kind.inside.set_index(index * WAD // 10 + 7, sender=world.owner)
    world.wait(seconds)
    before = world.collaterals.value(kind.id)
    world.collaterals.poke(kind.id, sender=world.stranger)
    assert world.collaterals.value(kind.id) == before


def test_pokes_compound_to_little_more(world: World) -> None:
    """Noted every hour: (1 + 1%/24)**24, below exp(1%)."""
    kind = staked(world)
    kind.inside.set_index(24 * WAD // 10, sender=world.owner)
    for _ in range(24):
        world.wait(3600)
        world.collaterals.poke(kind.id, sender=world.stranger)
    assert 12_120 * WAD // 10_000 < world.collaterals.value(kind.id).rate < 12_121 * WAD // 10_000


def test_a_fall_counts_at_once(world: World) -> None:
    """Slashing: for equity, and for the grid."""
    kind = staked(world)
    account = world.open(world.taker)
    kind.token.mint(world.taker, WAD, sender=world.taker)
    deposit(world, kind, account, WAD)
    before = world.figures(account)
    assert before.net_value == 2400 * WAD - 10**4
    kind.inside.set_index(WAD, sender=world.owner)
    after = world.figures(account)
    assert after.net_value == 2000 * WAD - 10**4
    assert after.maintenance < before.maintenance


def test_after_a_fall_that_was_noted_it_grows_from_there(world: World) -> None:
    kind = staked(world)
    kind.inside.set_index(WAD, sender=world.owner)
    world.collaterals.poke(kind.id, sender=world.stranger)
    kind.inside.set_index(12 * WAD // 10, sender=world.owner)
    world.wait(DAY)
    assert world.collaterals.value(kind.id).rate == 101 * WAD // 100


def test_cream_sonne_venus_a_donation_to_a_vault_lifts_margin_by_a_day_of_growth(world: World) -> None:
    """The attacker, who owns the vault, doubles its share price and borrows against it in one block."""
    kind = share(world)
    account = world.open(world.taker)
    provide(world, kind, world.taker, 10**6 * WAD)
    deposit(world, kind, account, 10**6 * WAD)
    before = world.figures(account).equity_initial
    kind.inside.mint(kind.token, 2 * 10**6 * WAD, sender=world.taker)
    assert kind.token.convertToAssets(WAD) >= 2 * WAD - 1
    assert world.figures(account).equity_initial == before
    for _ in range(2):
        world.wait(10 * DAY)
        assert world.figures(account).equity_initial <= before * 101 // 100
    world.check_ledger()


# ----------------------------------------------------------------------------------------------------------------- peg


def test_steth_2022_a_discount_counts_in_price_and_haircut(world: World) -> None:
    """0.937: 2400 * 0.937, and 4 * 0.053 on both haircuts."""
    kind = staked(world)
    kind.peg.set_peg(937 * WAD // 1000, True, sender=world.owner)
    value = world.collaterals.value(kind.id)
    assert value.price == 22_488 * WAD // 10
    assert (value.haircut_initial, value.haircut_maintenance) == (312 * WAD // 1000, 262 * WAD // 1000)
    assert value.fresh


def test_usde_2025_at_a_discount_of_a_third_nothing_can_be_borrowed_against(world: World) -> None:
    kind = share(world)
    account = world.open(world.taker)
    provide(world, kind, world.taker, 100_000 * WAD)
    deposit(world, kind, account, 100_000 * WAD)
    assert world.try_trade(account, world.making, perp(1)) is None
    kind.peg.set_peg(65 * PERCENT, True, sender=world.owner)
    # 65,000 USD of which 1e-18 counts.
    assert world.figures(account).equity_maintenance == 65_000
    assert world.try_trade(account, world.making, perp(1)) == "solvency: margin"


def test_a_premium_makes_nobody_richer(world: World) -> None:
    kind = staked(world)
    before = world.collaterals.value(kind.id)
    kind.peg.set_peg(104 * PERCENT, True, sender=world.owner)
    assert world.collaterals.value(kind.id) == before


def test_a_price_is_at_most_that_of_market_data(world: World) -> None:
    """1e8 USD: what the charges of the engine are proven for."""
    kind = staked(world, rate=10**8 * WAD)
    assert world.collaterals.value(kind.id).price == 10**8 * WAD


# ------------------------------------------------------------------------------------------------------------- sources


def test_dead_sources_can_be_replaced(world: World) -> None:
    """The rate goes on from where it was, whatever the new source says."""
    kind = staked(world)
    other = world.owner.deploy(
        world.contracts.WrappedStaked, world.owner.deploy(world.contracts.RebasingToken, 5 * WAD)
    )
    peg = world.owner.deploy(world.contracts.PegSource, 98 * PERCENT)
    sources = (other, STETH_PER_TOKEN, 18, 2 * PERCENT, peg)
    world.collaterals.set_sources(kind.id, sources, sender=world.owner)
    value = world.collaterals.value(kind.id)
    assert (value.rate, value.peg) == (12 * WAD // 10, 98 * PERCENT)
    world.wait(DAY)
    assert world.collaterals.value(kind.id).rate == 1224 * WAD // 1000


def test_a_rate_is_not_dropped_for_a_higher_one(world: World) -> None:
    """A token worth 0.9 of its base does not become worth 1 by losing its source."""
    kind = staked(world, rate=9 * WAD // 10)
    change = (world.collaterals.set_sources, kind.id, (*NO_RATE, kind.peg))
    assert world.tries(*change, sender=world.owner) == "collaterals: growth"


def test_the_argument_of_a_rate_is_a_whole_token(world: World) -> None:
    """Of 6 decimals: convertToAssets(1e6)."""
    kind = share(world, 6)
    assert world.collaterals.terms(kind.id).sources.rate_selector == CONVERT_TO_ASSETS
    assert kind.token.decimals() == 6
    assert world.collaterals.value(kind.id).rate == kind.token.convertToAssets(10**6) * 10**12
