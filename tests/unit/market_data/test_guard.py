"""A price that is well signed is not believed for that alone (INV-13, decision 7)."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.unit.market_data.updates import DAY, HEARTBEAT, NOW, Terms, Update

USD = 10**9
SPOT = 2000 * USD
ONE = 10**12
PERCENT = ONE // 100
NO_SECOND_SOURCE, TOO_WIDE, JUMP = 1, 2, 3
REVERTS, BURNS = 1, 2


# Of every test here: one that came to be in the midst of them would be undone with the first that uses it.
@pytest.fixture(scope="module", autouse=True)
def source(project_contracts: Any, owner: Any) -> Any:
    """A second source that says whatever a test wants."""
    return owner.deploy(project_contracts.RudeSource)


def says(source: Any, owner: Any, price: int = SPOT, confidence: int = 0, usable: int = 1) -> None:
    """Let a second source answer as `ISpotSource` does."""
    source.set_answer(encode(["uint256"] * 4, [price, confidence, NOW, usable]), sender=owner)


@pytest.fixture(scope="module")
def send(market_data: Any, publisher: Any, ape_chain: Any) -> Any:
    """Publish at a time; the doubt, or None where the update was taken over, and its confidence."""

    def run(
        time: int = NOW, spot: int = SPOT, confidence: int = 10**9, **changed: Any
    ) -> tuple[int | None, int | None]:
        ape_chain.pending_timestamp = max(time, ape_chain.pending_timestamp)
        update = Update(timestamp=time, spot=spot, perp_mark=spot, confidence=confidence, **changed)
        receipt = market_data.publish(update, sender=publisher)
        doubted = receipt.decode_logs(market_data.UpdateDoubted)
        if doubted:
            assert (doubted[0].underlying, doubted[0].timestamp, doubted[0].spot) == (2, time, spot)
            return doubted[0].doubt, None
        (taken,) = receipt.decode_logs(market_data.MarketUpdated)
        return None, taken.confidence

    return run


def state(market_data: Any, time: int) -> tuple[list[int], bool]:
    """Head and expiry as read at a time, and whether fresh."""
    words, fresh = chain.call_at(market_data.read, time, 2, [NOW + 30 * DAY])
    return list(words), bool(fresh)


# --- the second source ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "other", "own", "widened"),
    [
        # Agreement leaves the confidence; it may be wider than what is between the two.
        (SPOT, 0, PERCENT, PERCENT),
        (SPOT * 101 // 100, 0, PERCENT, PERCENT),
        # Else it reaches the other's price, or its half-width.
        (SPOT * 102 // 100, 0, PERCENT, 2 * PERCENT),
        (SPOT * 98 // 100, 0, PERCENT, 2 * PERCENT),
        (SPOT * 105 // 100, PERCENT, PERCENT, 5 * PERCENT - 105 * PERCENT // 100),
        (SPOT * 95 // 100, PERCENT, 0, 5 * PERCENT - 95 * PERCENT // 100),
        # Rounded up: a unit of 1e-9 USD in 2000 USD is 0.0005 of a unit.
        (SPOT + 1, 0, 0, 1),
    ],
)
def test_confidence_reaches_what_the_second_source_says(market_data, owner, source, send, price, other, own, widened):
    market_data.set_terms(2, Terms(second_source=source, widest=10 * PERCENT), sender=owner)
    says(source, owner, price, other)
    assert send(confidence=own) == (None, widened)
    words, fresh = state(market_data, NOW)
    assert fresh
    assert (words[0] >> 72) % 2**40 == widened


def test_disagreement_beyond_the_limit_is_doubted_to_the_last_unit(market_data, owner, source, send):
    market_data.set_terms(2, Terms(second_source=source, widest=2 * PERCENT), sender=owner)
    says(source, owner, SPOT * 102 // 100)
    assert send() == (None, 2 * PERCENT)
    says(source, owner, SPOT * 102 // 100 + 1)
    assert send(NOW + 1) == (TOO_WIDE, None)


@pytest.mark.parametrize("confidence", [2 * PERCENT + 1, ONE - 1])
def test_a_confidence_that_is_too_wide_by_itself(market_data, owner, send, confidence):
    market_data.set_terms(2, Terms(widest=2 * PERCENT), sender=owner)
    assert send(confidence=2 * PERCENT) == (None, 2 * PERCENT)
    assert send(NOW + 1, confidence=confidence) == (TOO_WIDE, None)


MISSING = {
    "unusable": lambda s, o: says(s, o, usable=0),
    "half usable": lambda s, o: says(s, o, usable=2),
    "zero": lambda s, o: says(s, o, 0),
    "beyond all prices": lambda s, o: says(s, o, 2**72),
    "as wide as itself": lambda s, o: says(s, o, SPOT, ONE),
    "short": lambda s, o: s.set_answer(bytes(127), sender=o),
    "nothing": lambda s, o: s.set_answer(b"", sender=o),
    "reverts": lambda s, o: s.set_manner(REVERTS, sender=o),
    "burns its gas": lambda s, o: s.set_manner(BURNS, sender=o),
}


@pytest.mark.parametrize("manner", MISSING.values(), ids=MISSING)
def test_a_composite_that_lost_a_leg_is_doubted(market_data, owner, source, send, manner):
    """Moonwell 2026: one leg of a price was missing, and the other was believed."""
    market_data.set_terms(2, Terms(second_source=source), sender=owner)
    says(source, owner)
    assert send() == (None, 10**9)
    manner(source, owner)
    assert send(NOW + 1) == (NO_SECOND_SOURCE, None)
    assert not state(market_data, NOW + 1)[1]
    says(source, owner)
    assert send(NOW + 2) == (None, 10**9)
    assert state(market_data, NOW + 2)[1]


def test_a_source_that_is_no_contract_says_nothing(market_data, owner, stranger, send):
    market_data.set_terms(2, Terms(second_source=stranger), sender=owner)
    assert send() == (NO_SECOND_SOURCE, None)


def test_too_little_gas_does_not_silence_the_second_source(market_data, owner, publisher, source, ape_chain):
    """Else a relayer could choose whether an update is doubted."""
    market_data.set_terms(2, Terms(second_source=source), sender=owner)
    source.set_manner(BURNS, sender=owner)
    data = "0x" + bytes(market_data.publish.encode_input(Update())).hex()
    transaction = {"from": publisher.address, "to": market_data.address, "data": data, "gas": hex(130_000)}
    call = ape_chain.provider.web3.provider.make_request
    answer = call("eth_call", [transaction, "latest", {}, {"time": hex(NOW)}])
    assert "source: gas" in answer["error"]["message"]
    transaction["gas"] = hex(2_000_000)
    assert "error" not in call("eth_call", [transaction, "latest", {}, {"time": hex(NOW)}])


# --- jumps ---------------------------------------------------------------------------------------------------------


def test_a_jump_waits_for_a_second_update(market_data, owner, send):
    market_data.set_terms(2, Terms(jump=10 * PERCENT, confirmation_seconds=60), sender=owner)
    assert send() == (None, 10**9)
    # To the last unit.
    assert send(NOW + 1, SPOT * 9 // 10) == (None, 10**9)
    crashed = SPOT * 9 // 10 * 9 // 10 - 1
    assert send(NOW + 2, crashed) == (JUMP, None)
    assert send(NOW + 61, crashed) == (JUMP, None)
    assert send(NOW + 62, crashed) == (None, 10**9)
    assert state(market_data, NOW + 62)[1]


def test_the_confirmation_is_of_about_the_same_price(market_data, owner, send):
    market_data.set_terms(2, Terms(jump=10 * PERCENT, confirmation_seconds=60), sender=owner)
    assert send() == (None, 10**9)
    assert send(NOW + 10, SPOT // 2) == (JUMP, None)
    # Another jump, which has to wait itself ...
    assert send(NOW + 100, SPOT // 4) == (JUMP, None)
    assert send(NOW + 101, SPOT // 2) == (JUMP, None)
    # ... and so has the first one, being said again.
    assert send(NOW + 160, SPOT // 2) == (JUMP, None)
    assert send(NOW + 161, SPOT // 2) == (None, 10**9)


def test_what_contradicts_a_jump_is_believed_at_once(market_data, owner, send):
    market_data.set_terms(2, Terms(jump=10 * PERCENT, confirmation_seconds=60), sender=owner)
    assert send() == (None, 10**9)
    assert send(NOW + 10, SPOT // 2) == (JUMP, None)
    assert send(NOW + 11, SPOT) == (None, 10**9)
    # And the jump is forgotten.
    assert send(NOW + 100, SPOT // 2) == (JUMP, None)


def test_a_jump_that_was_contradicted_is_not_confirmed_behind_another_doubt(market_data, owner, send):
    terms = Terms(widest=2 * PERCENT, jump=10 * PERCENT, confirmation_seconds=60)
    market_data.set_terms(2, terms, sender=owner)
    assert send() == (None, 10**9)
    assert send(NOW + 10, SPOT // 2) == (JUMP, None)
    assert send(NOW + 11, SPOT) == (None, 10**9)
    assert send(NOW + 100, SPOT, 3 * PERCENT) == (TOO_WIDE, None)
    assert send(NOW + 101, SPOT // 2) == (JUMP, None)


def test_an_update_does_not_confirm_itself(market_data, owner, send):
    market_data.set_terms(2, Terms(jump=10 * PERCENT, confirmation_seconds=1), sender=owner)
    assert send() == (None, 10**9)
    for _ in range(2):
        assert send(NOW + 10, SPOT // 2) == (JUMP, None)
    assert send(NOW + 11, SPOT // 2) == (None, 10**9)


def test_the_first_price_is_no_jump_and_zero_stands_for_any(market_data, owner, send):
    market_data.set_terms(2, Terms(jump=1, confirmation_seconds=60), sender=owner)
    assert send() == (None, 10**9)
    market_data.set_terms(2, Terms(jump=0), sender=owner)
    assert send(NOW + 1, SPOT * 1000) == (None, 10**9)


# --- what a doubted update does ------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", [NO_SECOND_SOURCE, TOO_WIDE, JUMP])
def test_nothing_of_a_doubted_update_is_taken_over(market_data, owner, source, send, doubt):
    market_data.set_terms(
        2, Terms(second_source=source, widest=2 * PERCENT, jump=10 * PERCENT, confirmation_seconds=60), sender=owner
    )
    says(source, owner)
    assert send() == (None, 10**9)
    before, fresh = state(market_data, NOW + 9)
    assert fresh
    dynamics = chain.call_at(market_data.dynamics, NOW + 9, 2)
    says(source, owner, SPOT // 2 if doubt == JUMP else SPOT, usable=0 if doubt == NO_SECOND_SOURCE else 1)
    spot = {NO_SECOND_SOURCE: SPOT, TOO_WIDE: SPOT * 103 // 100, JUMP: SPOT // 2}[doubt]
    assert send(NOW + 9, spot) == (doubt, None)
    after, fresh = state(market_data, NOW + 9)
    assert not fresh
    # But for the confidence, which is wide now.
    mask = ~((2**40 - 1) << 72)
    assert after[0] & mask == before[0] & mask
    assert after[1:] == before[1:]
    assert (after[0] >> 72) % 2**40 == 5 * PERCENT
    doubted = chain.call_at(market_data.dynamics, NOW + 9, 2)
    assert doubted.is_doubted
    assert not dynamics.is_doubted
    assert tuple(doubted)[:5] == tuple(dynamics)[:5]
    assert market_data.last_timestamp(2) == NOW


def test_a_malformed_update_is_refused_even_where_it_would_be_doubted(market_data, owner, attempt, publisher):
    market_data.set_terms(2, Terms(widest=0), sender=owner)
    for update, reason in (
        (Update(spot=0), "price"),
        (Update(perp_mark=0), "price"),
        (Update(timestamp=NOW + 1), "timestamp ahead"),
        (Update(confidence=ONE), "confidence"),
    ):
        assert attempt(market_data.publish, update, sender=publisher) == f"market: {reason}"


# --- the rule as a whole -------------------------------------------------------------------------------------------


@st.composite
def courses(draw: st.DrawFn) -> list[dict[str, int]]:
    """Updates and what the second source says at the time."""
    rows, time = [], NOW
    for _ in range(draw(st.integers(2, 8))):
        rows.append(
            {
                "time": time,
                "spot": SPOT * draw(st.sampled_from([50, 80, 95, 100, 101, 104, 120])) // 100,
                "confidence": draw(st.sampled_from([0, 5, 19, 20, 21, 500])) * PERCENT // 10,
                "other": SPOT * draw(st.sampled_from([50, 80, 95, 100, 100, 101, 104, 120])) // 100,
                "width": draw(st.sampled_from([0, 0, 1, 5])) * PERCENT,
                "usable": draw(st.sampled_from([1, 1, 1, 1, 0])),
            }
        )
        time += draw(st.sampled_from([1, 59, 60, 300]))
    return rows


@given(rows=courses())
def test_an_update_is_taken_over_exactly_if_nothing_speaks_against_it(
    project_contracts, market_data, owner, send, ape_chain, rows
):
    """The same rule, written in fractions."""
    jump, widest, confirmation = 0.1, 0.02, 60
    with ape_chain.isolate():
        # Of the example: ape forgets what a contract is that it has seen come to be behind what is undone.
        source = owner.deploy(project_contracts.RudeSource)
        terms = Terms(
            second_source=source.address, widest=2 * PERCENT, jump=10 * PERCENT, confirmation_seconds=confirmation
        )
        market_data.set_terms(2, terms, sender=owner)
        last: int | None = None
        candidate: tuple[int, int] | None = None
        for row in rows:
            says(source, owner, row["other"], row["width"], row["usable"])
            doubt, taken = send(row["time"], row["spot"], row["confidence"])
            apart = abs(row["spot"] - row["other"]) / row["spot"]
            reach = row["width"] / ONE * row["other"] / row["spot"]
            width = max(row["confidence"] / ONE, apart - reach)
            if not row["usable"]:
                expected = NO_SECOND_SOURCE
            elif width > widest + 2e-12:
                expected = TOO_WIDE
            elif last is not None and abs(row["spot"] / last - 1) > jump + 1e-12:
                confirmed = candidate is not None and abs(row["spot"] / candidate[0] - 1) <= jump + 1e-12
                if confirmed and row["time"] >= candidate[1] + confirmation:
                    expected = None
                else:
                    expected = JUMP
                    if not confirmed:
                        candidate = (row["spot"], row["time"])
            else:
                expected = None
            assert doubt == expected
            words, fresh = chain.call_at(market_data.read, row["time"], 2, [])
            assert fresh is (expected is None)
            if expected is None:
                last, candidate = row["spot"], None
                # The contract rounds up by less than two units of 1e-12.
                assert 0 <= taken / ONE - width + 1e-15 <= 2e-12
            if last is not None:
                assert words[0] >> 184 == last
            # A doubt does not end by itself, and freshness does.
            assert not chain.call_at(market_data.read, row["time"] + HEARTBEAT + 1, 2, [])[1]
