"""Listing by rule: expiries by the calendar, strikes by their digits and the forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import listing
from tests.unit.protocol_fixtures import BTC, DAY, ETH, World, call, future, perp, put

NOT_LISTED = "exchange: not listed"
HOUR = 3600


def listed(world: World, expiry: int, strike: float = 0.0, underlying: int = ETH) -> bool:
    return bool(world.exchange.lists(world.protocol.market_data, underlying, expiry, int(strike * 10**6)))


def test_the_calendar_is_pythons_for_three_years(world: World) -> None:
    """Every day of them, at eight o'clock and off it, from now and from every moment an expiry may come nearer by."""
    now = world.now
    for day in range(3 * 366):
        for hour in (0, 8):
            expiry = (now // DAY + day) * DAY + hour * HOUR
            assert listed(world, expiry) == listing.admits_expiry(expiry, now), datetime.fromtimestamp(expiry, UTC)


def test_a_model_of_the_calendar_in_words() -> None:
    """Monday 2 February 2026, 10:00. Of the model, which the contract equals."""
    now = datetime(2026, 2, 2, 10, tzinfo=UTC)

    def admitted(month: int, day: int, hour: int = 8, year: int = 2026) -> bool:
        expiry = datetime(year, month, day, hour, tzinfo=UTC)
        return listing.admits_expiry(int(expiry.timestamp()), int(now.timestamp()))

    assert [day for day in range(1, 29) if admitted(2, day)] == [3, 4, 5, 6, 7, 8, 9, 10, 13, 20, 27]
    assert [day for day in range(1, 32) if admitted(3, day)] == [6, 13, 20, 27]
    # Sixty days end at 10:00 on 3 April.
    assert [day for day in range(1, 31) if admitted(4, day)] == [3, 24]
    assert [day for day in range(1, 32) if admitted(5, day)] == [29]
    assert [day for day in range(1, 32) if admitted(12, day)] == [25]
    assert admitted(2, 26, year=2027) and not admitted(3, 26, year=2027)
    assert not admitted(2, 3, hour=9) and not admitted(2, 2)


@pytest.mark.parametrize(("days", "weekday"), [(8, None), (60, 4), (400, 4)])
def test_the_ends_of_the_three_ranges(world: World, days: int, weekday: int | None) -> None:
    """To the second, as an expiry comes nearer."""
    expiry = next(
        t
        for t in range((world.now // DAY + days + 2) * DAY + 8 * HOUR, 2**32, DAY)
        if listing.admits_expiry(t, t - days * DAY) and not listing.admits_expiry(t, t - days * DAY - 1)
    )
    assert weekday is None or datetime.fromtimestamp(expiry, UTC).weekday() == weekday
    world.wait(expiry - days * DAY - 1 - world.now)
    assert not listed(world, expiry)
    world.wait(1)
    assert listed(world, expiry)


def test_what_came_near_stays_listed_until_it_expires(world: World) -> None:
    expiry = world.now // DAY * DAY + 8 * HOUR + 7 * DAY
    for left in (6 * DAY, 3 * DAY, 1):
        world.wait(expiry - left - world.now)
        assert listed(world, expiry)
    world.wait(1)
    assert not listed(world, expiry)


@given(digits=st.integers(1, 12_000), power=st.integers(0, 6))
def test_strikes_have_three_significant_digits(deployed_world: World, digits: int, power: int) -> None:
    world = deployed_world
    strike = digits * 10**power / 1000
    forward = world.markets[ETH].spot
    assert listed(world, world.month, strike) == listing.admits_strike(strike, forward)
    assert listing.admits_strike(strike, forward) == (
        float(f"{strike:.3g}") == strike and forward / 10 <= strike <= 10 * forward
    )


def test_the_grid_is_as_fine_as_it_says(world: World) -> None:
    assert [k for k in (2000, 2005, 2010, 2010.5, 2011, 995, 999, 999.5) if listed(world, world.month, k)] == [
        2000,
        2010,
        995,
        999,
    ]
    assert listed(world, world.month, 70_500, BTC) and not listed(world, world.month, 70_550, BTC)


def test_strikes_are_near_the_forward(world: World) -> None:
    assert [k for k in (199, 200, 20_000, 20_100) if listed(world, world.month, k)] == [200, 20_000]
    world.move(1.001)
    assert not listed(world, world.month, 200) and listed(world, world.month, 20_000)


def test_perpetuals_always_are(world: World) -> None:
    assert listed(world, 0) and listed(world, 0, underlying=99)


# --------------------------------------------------------------------------------------------------------------- trades


def test_what_is_not_listed_is_not_opened(world: World) -> None:
    expiry = world.week - 2 * HOUR
    for leg in (
        future(expiry, 1),
        future(world.week + 2 * DAY, 1),
        call(expiry, 2000, 1, 1),
        call(world.month, 2001, 1, 1),
        put(world.month, 20_100, 1, 1),
        put(world.month, 199, 1, 1),
    ):
        assert world.try_trade(world.taking, world.making, leg) == NOT_LISTED
        assert world.try_trade(world.taking, world.making, perp(1), leg) == NOT_LISTED


def strays(world: World) -> int:
    """An account long two calls whose strike the market has left behind."""
    account = world.open(world.taker, usd=10_000)
    world.trade(account, world.making, call(world.month, 20_000, 2, 0.01), perp(1))
    world.move(0.9)
    assert not listed(world, world.month, 20_000)
    return account


@pytest.mark.parametrize(
    ("size", "reason"), [(0.000001, NOT_LISTED), (-0.5, None), (-2, None), (-2.000001, NOT_LISTED)]
)
def test_it_may_be_closed_to_the_last_unit(world: World, size: float, reason: str | None) -> None:
    account, third = strays(world), world.bidding
    leg = call(world.month, 20_000, size, 0.001)
    assert world.try_trade(account, world.making, leg) == reason
    # Handed on to somebody who has none, as far as it goes.
    assert world.try_trade(account, third, leg) == reason


def test_nothing_else_in_a_package_makes_up_for_it(world: World) -> None:
    account = strays(world)
    legs = [perp(-1, 1800), call(world.month, 20_000, 1, 0.001)]
    assert world.try_trade(account, world.making, *legs) == NOT_LISTED


def test_a_market_can_be_moved_to_a_week_like_its_own() -> None:
    """`shift` finds the next week in which a market's expiries are listed as they were."""
    as_of = int(datetime(2026, 2, 2, 10, 8, tzinfo=UTC).timestamp())
    days = {datetime(2026, month, day, 8, tzinfo=UTC) for month, day in ((2, 4), (2, 13), (2, 27), (6, 26))}
    expiries = [int(day.timestamp()) for day in days]
    assert listing.shift(as_of, expiries, as_of - 1) == 0
    moved_by = listing.shift(as_of, expiries, as_of)
    assert moved_by > 0 and moved_by % listing.WEEK == 0
    assert all(listing.admits_expiry(e + moved_by, as_of + moved_by) for e in expiries)
    june = max(days) + timedelta(seconds=moved_by)
    assert (june + timedelta(weeks=1)).month != june.month
    with pytest.raises(ValueError, match="no week lists all"):
        listing.shift(as_of, [as_of + 20 * DAY], as_of)
