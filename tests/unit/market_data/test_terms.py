"""What the owner sets for an underlying: bounds to the last unit, read back exactly, and nothing of it at once."""

from __future__ import annotations

import pytest

from scripts import chain
from tests.unit.market_data.updates import DAY, HEARTBEAT, NOW, SCAN_RANGE, Expiry, Surface, Terms, Update

WEEK = 7 * DAY
WHOLE = 10**12


def moving(**changed):
    """Terms that let floor, cap and initial differ."""
    return Terms(floor=1, cap=WHOLE)._replace(**changed)


def guarded(**changed):
    """Terms in which a jump has to be confirmed."""
    return Terms(jump=1, confirmation_seconds=1)._replace(**changed)


# Maker, field, least and greatest admissible value, reason.
BOUNDS = [
    (Terms, "heartbeat_seconds", 0, WEEK, "heartbeat"),
    (Terms, "forward_heartbeat_seconds", 0, WEEK, "forward heartbeat"),
    (Terms, "surface_heartbeat_seconds", 0, WEEK, "surface heartbeat"),
    (Terms, "multiple", 1, 10 * WHOLE, "multiple"),
    (Terms, "halflife_seconds", 1, 365 * DAY, "halflife"),
    (moving, "floor", 1, SCAN_RANGE, "floor|initial"),
    (moving, "cap", SCAN_RANGE, WHOLE, "cap|initial"),
    (moving, "initial", 1, WHOLE, "initial"),
    (Terms, "widest", 0, WHOLE, "widest"),
    (guarded, "jump", 0, WHOLE, "jump"),
    (Terms, "confirmation_seconds", 0, 2**16 - 1, "confirmation"),
    (guarded, "confirmation_seconds", 1, 2**16 - 1, "confirmation"),
]
IDS = [f"{make.__name__}-{field}" for make, field, *_ in BOUNDS]


@pytest.mark.parametrize(("make", "field", "least", "greatest", "reason"), BOUNDS, ids=IDS)
def test_fields_at_their_bounds(market_data, attempt, owner, make, field, least, greatest, reason):
    for value in (least, greatest):
        assert attempt(market_data.set_terms, 2, make(**{field: value}), sender=owner) is None


@pytest.mark.parametrize(("make", "field", "least", "greatest", "reason"), BOUNDS, ids=IDS)
def test_fields_beyond_their_bounds(market_data, attempt, owner, make, field, least, greatest, reason):
    for value in (least - 1, greatest + 1, 2**256 - 1):
        if value >= 0:
            said = attempt(market_data.set_terms, 2, make(**{field: value}), sender=owner)
            assert said in [f"market: {words}" for words in reason.split("|")]


@pytest.mark.parametrize("underlying", [0, 256, 2**256 - 1])
def test_an_underlying_has_eight_bits(market_data, attempt, owner, underlying):
    assert attempt(market_data.set_terms, underlying, Terms(), sender=owner) == "market: underlying"


def test_terms_are_read_back(market_data, owner, stranger):
    terms = Terms(1, 2, 3, 4, 5, 6, 9, 8, stranger.address, 10, 11, 12)
    receipt = market_data.set_terms(7, terms, sender=owner)
    (event,) = receipt.decode_logs(market_data.TermsSet)
    assert event.underlying == 7
    assert [str(field).lower() for field in event.terms] == [str(field).lower() for field in terms]
    # The initial scan range is used up: nothing depends on it any more.
    assert tuple(market_data.terms(7)) == terms._replace(initial=0)
    assert tuple(market_data.terms(8)) == Terms(*[0] * 12)._replace(second_source=chain.NOBODY)


def test_the_greatest_terms_fit_their_words(market_data, owner):
    stranger = "0x" + "f" * 40
    # Checksummed by ape: compare as numbers.
    greatest = Terms(WEEK, WEEK, WEEK, 10 * WHOLE, 365 * DAY, WHOLE, WHOLE, WHOLE, stranger, WHOLE, WHOLE, 2**16 - 1)
    market_data.set_terms(7, greatest, sender=owner)
    read = market_data.terms(7)
    assert int(read.second_source, 16) == int(stranger, 16)
    assert tuple(read)[:7] == greatest[:7]
    assert tuple(read)[9:] == greatest[9:]


def test_nothing_is_published_without_terms(market_data, attempt, publisher):
    assert attempt(market_data.publish, Update(underlying=9), sender=publisher) == "market: no terms"


def test_each_field_has_its_heartbeat(market_data, owner, publisher, ape_chain):
    """The forward outlives spot, and the surface the forward, or the other way round."""
    tenor = 30 * DAY
    row = Expiry(NOW + tenor, surface=Surface(ref_seconds=tenor))
    for spot, forward, surface in ((600, 1200, 1800), (1800, 1200, 600), (600, 600, 0), (1200, 600, 1800)):
        with ape_chain.isolate():
            terms = Terms(heartbeat_seconds=spot, forward_heartbeat_seconds=forward, surface_heartbeat_seconds=surface)
            market_data.set_terms(2, terms, sender=owner)
            ape_chain.pending_timestamp = NOW
            market_data.publish(Update(expiries=(row,)), sender=publisher)

            def fresh(seconds: int, *expiries: int) -> bool:
                return bool(chain.call_at(market_data.read, NOW + seconds, 2, list(expiries))[1])

            assert fresh(spot)
            assert not fresh(spot + 1)
            least = min(spot, forward, surface or forward)
            assert fresh(least, row.expiry)
            assert not fresh(least + 1, row.expiry)


def test_a_forward_alone_leaves_the_surface_and_its_age(market_data, owner, publisher, ape_chain):
    tenor = 30 * DAY
    market_data.set_terms(
        2, Terms(forward_heartbeat_seconds=HEARTBEAT, surface_heartbeat_seconds=2 * HEARTBEAT), sender=owner
    )
    row = Expiry(NOW + tenor, surface=Surface(ref_seconds=tenor))
    ape_chain.pending_timestamp = NOW
    market_data.publish(Update(expiries=(row,)), sender=publisher)
    words, _ = chain.call_at(market_data.read, NOW, 2, [row.expiry])
    prices = Expiry(row.expiry, 2100 * 10**9, -(10**10), Surface(*[0] * 7))
    for age in (HEARTBEAT, 2 * HEARTBEAT):
        ape_chain.pending_timestamp = NOW + age
        market_data.publish(Update(timestamp=NOW + age, expiries=(prices,)), sender=publisher)
        moved, fresh = chain.call_at(market_data.read, NOW + age, 2, [row.expiry])
        assert fresh
        assert (moved[1] >> 184, moved[2]) == (prices.forward, words[2])
        # SVI forward and tenor are the old ones, the rate and the time are new.
        assert (moved[1] >> 112) % 2**72 == row.surface.forward
        assert (moved[1] >> 64) % 2**48 == 2**48 - 10**10
        assert (moved[1] >> 32) % 2**32 == tenor
        assert moved[1] % 2**32 == NOW + age
    assert not chain.call_at(market_data.read, NOW + 2 * HEARTBEAT + 1, 2, [row.expiry])[1]


def test_a_surface_is_not_calibrated_after_its_update(market_data, attempt, owner, publisher):
    """It would outlive its heartbeat. Where surfaces have none, its tenor is what the publisher says."""
    tenor = 30 * DAY
    for heartbeat, ref_seconds, reason in (
        (HEARTBEAT, tenor, None),
        (HEARTBEAT, tenor + 1, None),
        (HEARTBEAT, tenor - 1, "market: svi tenor"),
        (0, tenor - 1, None),
    ):
        market_data.set_terms(2, Terms(surface_heartbeat_seconds=heartbeat), sender=owner)
        update = Update(expiries=(Expiry(NOW + tenor, surface=Surface(ref_seconds=ref_seconds)),))
        assert attempt(market_data.publish, update, sender=publisher) == reason


def test_a_forward_needs_a_surface(market_data, attempt, publisher):
    prices = Expiry(surface=Surface(*[0] * 7))
    assert attempt(market_data.publish, Update(expiries=(prices,)), sender=publisher) == "market: no surface"


def test_confidence_is_wide_while_data_are_not_fresh(market_data, owner, publisher, ape_chain):
    for confidence, stale in ((10**9, 5 * 10**10), (6 * 10**10, 6 * 10**10)):
        with ape_chain.isolate():
            ape_chain.pending_timestamp = NOW
            market_data.publish(Update(confidence=confidence), sender=publisher)

            def read(seconds: int) -> int:
                words, _ = chain.call_at(market_data.read, NOW + seconds, 2, [])
                return (words[0] >> 72) % 2**40

            assert read(HEARTBEAT) == confidence
            assert read(HEARTBEAT + 1) == stale
