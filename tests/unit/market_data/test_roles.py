"""The owner names publishers and the heartbeat, hands over in two steps, and nobody else does any of it."""

from __future__ import annotations

import pytest

from tests.unit.market_data.updates import HEARTBEAT

NOT_OWNER = "ownable: caller is not the owner"


def test_construction(market_data, owner):
    assert market_data.owner() == owner
    assert market_data.heartbeat_seconds() == HEARTBEAT
    assert not market_data.is_publisher(owner)
    (event,) = market_data.creation_metadata.receipt.decode_logs(market_data.HeartbeatSet)
    assert event.heartbeat_seconds == HEARTBEAT


@pytest.mark.parametrize("allowed", [True, False])
def test_set_publisher(market_data, owner, stranger, allowed):
    receipt = market_data.set_publisher(stranger, allowed, sender=owner)
    (event,) = receipt.decode_logs(market_data.PublisherSet)
    assert (event.publisher, event.allowed) == (stranger, allowed)
    assert market_data.is_publisher(stranger) is allowed


def test_set_heartbeat(market_data, owner):
    receipt = market_data.set_heartbeat(123, sender=owner)
    (event,) = receipt.decode_logs(market_data.HeartbeatSet)
    assert event.heartbeat_seconds == market_data.heartbeat_seconds() == 123


def test_a_heartbeat_is_at_most_a_week(market_data, attempt, owner):
    """Beyond the largest integer less the time, reading would revert."""
    week = 7 * 86_400
    assert attempt(market_data.set_heartbeat, week, sender=owner) is None
    for heartbeat in (week + 1, 2**256 - 1):
        assert attempt(market_data.set_heartbeat, heartbeat, sender=owner) == "market: heartbeat"


def test_only_the_owner(market_data, attempt, publisher, stranger):
    calls = [
        (market_data.set_publisher, (stranger.address, True)),
        (market_data.set_heartbeat, (1,)),
        (market_data.transfer_ownership, (stranger.address,)),
    ]
    for sender in (publisher, stranger):
        for function, arguments in calls:
            assert attempt(function, *arguments, sender=sender) == NOT_OWNER


def test_ownership_passes_when_the_new_owner_accepts(market_data, attempt, owner, stranger):
    market_data.transfer_ownership(stranger, sender=owner)
    assert (market_data.owner(), market_data.pending_owner()) == (owner, stranger)
    assert attempt(market_data.set_heartbeat, 1, sender=stranger) == NOT_OWNER
    assert attempt(market_data.accept_ownership, sender=owner) is not None
    market_data.accept_ownership(sender=stranger)
    assert market_data.owner() == stranger
    assert attempt(market_data.set_heartbeat, 1, sender=owner) == NOT_OWNER
    assert attempt(market_data.set_heartbeat, 1, sender=stranger) is None


def test_nothing_else_changes_state(market_data):
    """Whoever adds a function adds a test of who may call it."""
    mutable = {method.name for method in market_data.contract_type.mutable_methods}
    assert mutable == {"publish", "set_publisher", "set_heartbeat", "transfer_ownership", "accept_ownership"}
