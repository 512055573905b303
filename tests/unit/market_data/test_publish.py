"""Who may publish what, to the last unit of every bound."""

from __future__ import annotations

import pytest

from tests.unit.market_data.updates import DAY, NOW, Expiry, Surface, Update

LEAST_INTEGER = -(2**255)
TENOR = 10 * 365 * DAY
HUGE = 2**256 - 1


def with_expiry(**changed):
    return Update(expiries=(Expiry(**changed),))


def with_surface(**changed):
    return Update(expiries=(Expiry(surface=Surface(**changed)),))


def long_surface(**changed):
    """A tenor at which no slope is too steep."""
    return with_surface(ref_seconds=TENOR, **changed)


def flat_surface(**changed):
    return with_surface(b=0, **changed)


# Maker, field, least and greatest admissible value, reason.
BOUNDS = [
    (Update, "underlying", 1, 255, "underlying"),
    (Update, "spot", 10**3, 10**17, "price"),
    (Update, "perp_mark", 10**3, 10**17, "price"),
    (Update, "confidence", 0, 10**12 - 1, "confidence"),
    (with_expiry, "expiry", 1, NOW + TENOR, "expiry"),
    (with_expiry, "forward", 10**3, 10**17, "price"),
    (with_expiry, "rate", -(10**12), 10**12, "rate"),
    (with_surface, "a", -(10**14), 10**14, "svi a"),
    (long_surface, "b", 0, 10**14, "svi b"),
    (with_surface, "rho", -(10**12) + 1, 10**12 - 1, "svi rho"),
    (with_surface, "m", -(10**14), 10**14, "svi m"),
    (with_surface, "sigma", 1, 10**14, "svi sigma"),
    (flat_surface, "ref_seconds", 1, TENOR, "svi tenor|no surface"),
    (with_surface, "forward", 10**3, 10**17, "price"),
]
IDS = [f"{make.__name__}-{field}" for make, field, *_ in BOUNDS]
SIGNED = {"rate", "a", "b", "rho", "m", "sigma"}


@pytest.mark.parametrize(("make", "field", "least", "greatest", "reason"), BOUNDS, ids=IDS)
def test_fields_at_their_bounds(market_data, attempt, publisher, make, field, least, greatest, reason):
    for value in (least, greatest):
        assert attempt(market_data.publish, make(**{field: value}), sender=publisher) is None


@pytest.mark.parametrize(("make", "field", "least", "greatest", "reason"), BOUNDS, ids=IDS)
def test_fields_beyond_their_bounds(market_data, attempt, publisher, make, field, least, greatest, reason):
    signed = make is not Update and field in SIGNED
    for value in (least - 1, greatest + 1, 2**255 - 1 if signed else HUGE):
        if value >= 0 or signed:
            said = attempt(market_data.publish, make(**{field: value}), sender=publisher)
            assert said in [f"market: {words}" for words in reason.split("|")]


@pytest.mark.parametrize("field", ["a", "rho", "m"])
def test_the_least_integer_reverts(market_data, attempt, publisher, field):
    # It has no absolute value: the checked arithmetic refuses it without a reason.
    assert attempt(market_data.publish, with_surface(**{field: LEAST_INTEGER}), sender=publisher) == ""
    assert attempt(market_data.publish, with_expiry(rate=LEAST_INTEGER), sender=publisher) == ""


def test_expiries_fit_their_32_bits(market_data, attempt, publisher):
    late = 2**32 - DAY
    for expiry, reason in ((2**32 - 1, None), (2**32, "market: expiry")):
        update = Update(timestamp=late, expiries=(Expiry(expiry),))
        assert attempt(market_data.publish, update, sender=publisher, time=late) == reason


def test_a_discount_factor_stays_below_three_halves(market_data, attempt, publisher):
    # 0.4 over the time to expiry, and nothing over time that has passed.
    for rate, days, reason in (
        (-4 * 10**10, 3650, None),
        (-4 * 10**10 - 1, 3650, "market: rate"),
        (-(10**12), 146, None),
        (-(10**12), 147, "market: rate"),
        (-(10**12), -1, None),
    ):
        update = with_expiry(expiry=NOW + days * DAY, rate=rate)
        assert attempt(market_data.publish, update, sender=publisher) == reason


def test_smiles_are_not_too_steep(market_data, attempt, publisher):
    # b = 1e5 years^-1 times the tenor: here an hour.
    b = 10**5 * 10**12 * 3600 // (365 * DAY)
    for slope, reason in ((b, None), (b + 1, "market: svi steepness")):
        update = with_surface(b=slope, ref_seconds=3600)
        assert attempt(market_data.publish, update, sender=publisher) == reason


def test_an_expiry_may_have_passed(market_data, attempt, publisher):
    # What has expired is still priced until it is settled.
    assert attempt(market_data.publish, with_expiry(expiry=NOW - DAY), sender=publisher) is None


def test_a_bad_expiry_after_good_ones_refuses_the_whole(market_data, attempt, publisher):
    expiries = (Expiry(), Expiry(NOW + 60 * DAY, forward=0))
    assert attempt(market_data.publish, Update(expiries=expiries), sender=publisher) == "market: price"


def test_up_to_16_expiries(market_data, attempt, publisher):
    expiries = tuple(Expiry(NOW + i * DAY) for i in range(17))
    assert attempt(market_data.publish, Update(expiries=expiries[:16]), sender=publisher) is None
    assert attempt(market_data.publish, Update(expiries=expiries), sender=publisher) == ""
    assert attempt(market_data.publish, Update(expiries=()), sender=publisher) is None


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_timestamp_is_not_ahead_of_the_block(market_data, attempt, publisher):
    ahead = Update(timestamp=NOW + 1)
    assert attempt(market_data.publish, ahead, sender=publisher, time=NOW) == "market: timestamp ahead"
    assert attempt(market_data.publish, ahead, sender=publisher, time=NOW + 1) is None


def test_timestamps_rise_by_underlying(market_data, attempt, publisher, ape_chain):
    ape_chain.pending_timestamp = NOW
    market_data.publish(Update(), sender=publisher)
    for older in (NOW - DAY, NOW - 1, NOW):
        update = Update(timestamp=older, expiries=(Expiry(NOW + DAY),))
        assert attempt(market_data.publish, update, sender=publisher, time=NOW + 9) == "market: timestamp not newer"
        # Others have a time of their own.
        assert attempt(market_data.publish, update._replace(underlying=3), sender=publisher, time=NOW + 9) is None
    newer = Update(timestamp=NOW + 1)
    assert attempt(market_data.publish, newer, sender=publisher, time=NOW + 9) is None


def test_a_timestamp_of_zero_is_none(market_data, attempt, publisher):
    assert attempt(market_data.publish, Update(timestamp=0), sender=publisher) == "market: timestamp not newer"
    assert attempt(market_data.publish, Update(timestamp=1), sender=publisher, time=1) == "market: expiry"


# --- who -------------------------------------------------------------------------------------------------------------


def test_only_a_publisher_publishes(market_data, attempt, owner, publisher, stranger):
    for sender in (owner, stranger):
        assert attempt(market_data.publish, Update(), sender=sender) == "market: publisher"
    market_data.set_publisher(publisher, False, sender=owner)
    assert attempt(market_data.publish, Update(), sender=publisher) == "market: publisher"
    market_data.set_publisher(stranger, True, sender=owner)
    assert attempt(market_data.publish, Update(), sender=stranger) is None


def test_the_event_says_what_was_published(market_data, publisher, ape_chain):
    ape_chain.pending_timestamp = NOW
    receipt = market_data.publish(Update(), sender=publisher)
    (event,) = receipt.decode_logs(market_data.MarketUpdated)
    assert (event.underlying, event.timestamp, event.spot) == (2, NOW, 2000 * 10**9)
