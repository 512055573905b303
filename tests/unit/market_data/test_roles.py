"""The owner names publishers and the heartbeat, hands over in two steps, and nobody else does any of it."""

from __future__ import annotations

import pytest
from ape import reverts

from tests.unit.market_data.updates import FALL, NOBODY, RISE, Terms

NOT_OWNER = "ownable: caller is not the owner"


def test_construction(market_data, owner):
    assert market_data.owner() == owner
    assert (market_data.rise(), market_data.fall()) == (RISE, FALL)
    assert market_data.depth_source() == NOBODY
    assert not market_data.is_publisher(owner)


@pytest.mark.parametrize(("speeds", "reason"), [((0, 1), "rise"), ((10**12 + 1, 1), "rise"), ((1, 0), "fall")])
def test_speeds_are_above_zero_and_at_most_the_whole_in_a_second(project_contracts, owner, speeds, reason):
    owner.deploy(project_contracts.MarketData, 1, 10**12)
    with reverts(f"dynamics: {reason}"):
        owner.deploy(project_contracts.MarketData, *speeds)


@pytest.mark.parametrize("allowed", [True, False])
def test_set_publisher(market_data, owner, stranger, allowed):
    receipt = market_data.set_publisher(stranger, allowed, sender=owner)
    (event,) = receipt.decode_logs(market_data.PublisherSet)
    assert (event.publisher, event.allowed) == (stranger, allowed)
    assert market_data.is_publisher(stranger) is allowed


def test_set_depth_source(market_data, owner, stranger):
    receipt = market_data.set_depth_source(stranger, sender=owner)
    (event,) = receipt.decode_logs(market_data.DepthSourceSet)
    assert event.depth_source == market_data.depth_source() == stranger


def test_only_the_owner(market_data, attempt, publisher, stranger):
    calls = [
        (market_data.set_publisher, (stranger.address, True)),
        (market_data.set_terms, (2, Terms())),
        (market_data.set_depth_source, (stranger.address,)),
        (market_data.transfer_ownership, (stranger.address,)),
    ]
    for sender in (publisher, stranger):
        for function, arguments in calls:
            assert attempt(function, *arguments, sender=sender) == NOT_OWNER


def test_ownership_passes_when_the_new_owner_accepts(market_data, attempt, owner, stranger):
    market_data.transfer_ownership(stranger, sender=owner)
    assert (market_data.owner(), market_data.pending_owner()) == (owner, stranger)
    assert attempt(market_data.set_terms, 2, Terms(), sender=stranger) == NOT_OWNER
    assert attempt(market_data.accept_ownership, sender=owner) is not None
    market_data.accept_ownership(sender=stranger)
    assert market_data.owner() == stranger
    assert attempt(market_data.set_terms, 2, Terms(), sender=owner) == NOT_OWNER
    assert attempt(market_data.set_terms, 2, Terms(), sender=stranger) is None


def test_nothing_else_changes_state(market_data):
    """Whoever adds a function adds a test of who may call it."""
    mutable = {method.name for method in market_data.contract_type.mutable_methods}
    assert mutable == {
        "publish",
        "set_publisher",
        "set_terms",
        "set_depth_source",
        "transfer_ownership",
        "accept_ownership",
    }
