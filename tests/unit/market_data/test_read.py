"""What was published is read back to the last bit, with its age."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.unit.market_data.updates import DAY, HEARTBEAT, NOW, SCAN_RANGE, Expiry, Surface, Terms, Update
from tests.wide import integers

PRICES = st.one_of(integers(10**3, 10**17), st.sampled_from([10**3, 10**17]))


def within(greatest: int) -> st.SearchStrategy[int]:
    """Signed, the ends often."""
    return st.one_of(integers(-greatest, greatest), st.sampled_from([-greatest, -1, 0, greatest]))


surfaces = st.builds(
    Surface,
    a=within(10**14),
    b=integers(0, 10**14),
    rho=within(10**12 - 1),
    m=within(10**14),
    sigma=integers(1, 10**14),
    ref_seconds=integers(1, 3650 * DAY),
    forward=PRICES,
).map(lambda s: s._replace(b=min(s.b, 10**17 * s.ref_seconds // (365 * DAY))))
expiries = st.builds(
    Expiry, expiry=integers(1, NOW + 3650 * DAY), forward=PRICES, rate=within(10**12), surface=surfaces
).map(lambda e: e._replace(rate=max(e.rate, -(4 * 10**11 * 365 * DAY // max(e.expiry - NOW, 1)))))
updates = st.builds(
    Update,
    underlying=integers(1, 255),
    timestamp=st.just(NOW),
    spot=PRICES,
    perp_mark=PRICES,
    confidence=integers(0, 10**12 - 1),
    expiries=st.lists(expiries, max_size=4, unique_by=lambda e: e.expiry).map(tuple),
)


def packed(*fields: tuple[int, int]) -> int:
    """Fields of so many bits from the most significant one."""
    word = 0
    for value, bits in fields:
        word = (word << bits) | (value % 2**bits)
    return word


def head(u: Update) -> int:
    """Of an underlying at its whole depth."""
    return packed((u.spot, 72), (u.perp_mark, 72), (u.confidence, 40), (SCAN_RANGE, 40), (10**6, 32))


def pair(e: Expiry, timestamp: int) -> list[int]:
    s = e.surface
    return [
        packed((e.forward, 72), (s.forward, 72), (e.rate, 48), (s.ref_seconds, 32), (timestamp, 32)),
        packed((s.a, 48), (s.b, 48), (s.rho, 48), (s.m, 48), (s.sigma, 48), (0, 16)),
    ]


@pytest.fixture
def published(market_data, publisher, ape_chain):
    """Publish at a time of the chain."""

    def run(update: Update) -> None:
        ape_chain.pending_timestamp = update.timestamp
        market_data.publish(update, sender=publisher)

    return run


@given(update=updates)
def test_words_are_read_back_exactly(market_data, owner, publisher, ape_chain, update):
    with ape_chain.isolate():
        market_data.set_terms(update.underlying, Terms(), sender=owner)
        ape_chain.pending_timestamp = NOW
        market_data.publish(update, sender=publisher)
        asked = [e.expiry for e in update.expiries]
        words, fresh = chain.call_at(market_data.read, NOW, update.underlying, asked[::-1])
        assert words == [head(update), *(word for e in update.expiries[::-1] for word in pair(e, NOW))]
        assert fresh


def test_what_was_never_published_is_zero_and_not_fresh(market_data, published):
    assert tuple(chain.call_at(market_data.read, NOW, 2, [])) == ([0], False)
    assert tuple(chain.call_at(market_data.read, NOW, 2, [NOW])) == ([0, 0, 0], False)
    published(Update())
    known = Update().expiries[0].expiry
    assert chain.call_at(market_data.read, NOW, 2, [known])[1]
    words, fresh = chain.call_at(market_data.read, NOW, 2, [known, known + 1, known])
    assert (words[3:5], fresh) == ([0, 0], False)
    assert words[1:3] == words[5:7] == pair(Update().expiries[0], NOW)
    for other in (0, 1, 3, 255, 2**256 - 1):
        assert tuple(chain.call_at(market_data.read, NOW, other, [])) == ([0], False)


def test_an_update_leaves_the_expiries_that_it_does_not_name(market_data, published):
    near, far = Expiry(NOW + DAY), Expiry(NOW + 9 * DAY)
    published(Update(expiries=(near, far)))
    later = far._replace(forward=2100 * 10**9)
    published(Update(timestamp=NOW + 60, spot=1990 * 10**9, expiries=(later,)))
    words, fresh = chain.call_at(market_data.read, NOW + 60, 2, [near.expiry, far.expiry])
    assert words == [head(Update(timestamp=NOW + 60, spot=1990 * 10**9)), *pair(near, NOW), *pair(later, NOW + 60)]
    assert fresh


def test_data_are_fresh_until_the_heartbeat_has_passed(market_data, published):
    near, far = Expiry(NOW + DAY), Expiry(NOW + 9 * DAY)
    published(Update(expiries=(near, far)))
    published(Update(timestamp=NOW + 60, expiries=(far,)))

    def fresh(seconds: int, *asked: Expiry) -> bool:
        return chain.call_at(market_data.read, NOW + seconds, 2, [e.expiry for e in asked])[1]

    # The head and the far expiry are a minute younger than the near one: the oldest that is asked for counts.
    for asked, age in (((), 60), ((far,), 60), ((near,), 0), ((far, near), 0), ((near, far), 0)):
        assert fresh(age + HEARTBEAT, *asked)
        assert not fresh(age + HEARTBEAT + 1, *asked)


def test_another_heartbeat_counts_from_the_next_update_on(market_data, owner, published):
    """Else the owner could bring old prices back to life, and with them liquidations (INV-14)."""
    published(Update())
    for heartbeat in (5, 2 * HEARTBEAT, 0):
        market_data.set_terms(2, Terms(heartbeat_seconds=heartbeat), sender=owner)
        assert chain.call_at(market_data.read, NOW + HEARTBEAT, 2, [])[1]
        assert not chain.call_at(market_data.read, NOW + HEARTBEAT + 1, 2, [])[1]
    published(Update(timestamp=NOW + 1))
    assert chain.call_at(market_data.read, NOW + 1, 2, [])[1]
    assert not chain.call_at(market_data.read, NOW + 2, 2, [])[1]


def test_up_to_16_expiries(market_data):
    assert len(chain.call_at(market_data.read, NOW, 2, list(range(1, 17)))[0]) == 33
    with pytest.raises(RuntimeError, match="revert"):
        chain.call_at(market_data.read, NOW, 2, list(range(1, 18)))
