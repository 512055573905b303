"""`PythSource`: prices that are brought, and every field of one that could be wrong (INV-13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.unit.feeds.outside import (
    DAY,
    MANNERS,
    MAX_PRICE,
    NANO,
    NOTHING,
    NOW,
    PICO,
    REVERTS,
    PythPrice,
    PythTerms,
    refusal,
    rude,
    with_gas,
    words,
)
from tests.unit.protocol_fixtures import EMPTY
from tests.wide import integers

TERMS = PythTerms()
GOOD = TERMS.good()
FEED, OTHER = b"\x01" * 32, b"\x02" * 32
# Wei for one update.
FEE = 10
SPOT_GAS = 85_000


def signed_update(price: PythPrice, feed: bytes = FEED) -> bytes:
    """An update in the encoding of the mock."""
    row = "(int64,uint64,int32,uint256)"
    return encode([f"(bytes32,{row},{row})", "uint64"], [(feed, price, price), 0])


@dataclass(frozen=True)
class Stage:
    """A source before Pyth, and one before somebody without manners."""

    contracts: Any
    owner: Any
    user: Any
    pyth: Any
    source: Any
    rude: Any
    careless: Any
    ape_chain: Any

    def brought(self, price: PythPrice, now: int = NOW) -> tuple[Any, ...]:
        """What the source says once a price is there."""
        self.source.update([signed_update(price)], value=FEE, sender=self.user)
        return tuple(chain.call_at(self.source.spot, now))

    def said(self, price: PythPrice, now: int = NOW) -> tuple[Any, ...]:
        """What a source says of any four words."""
        self.rude.set_answer(words(*price), sender=self.owner)
        return tuple(chain.call_at(self.careless.spot, now))


@pytest.fixture(scope="module")
def stage(project_contracts: Any, accounts: Any, ape_chain: Any) -> Stage:
    owner, user = accounts[0], accounts[1]
    pyth, nobody = owner.deploy(project_contracts.Pyth, FEE), rude(project_contracts, owner)
    sources = (owner.deploy(project_contracts.PythSource, p, FEED, TERMS.max_age, TERMS.widest) for p in (pyth, nobody))
    return Stage(project_contracts, owner, user, pyth, next(sources), nobody, next(sources), ape_chain)


def test_construction(stage: Stage) -> None:
    source = stage.source
    assert (source.pyth(), source.price_id()) == (stage.pyth, FEED)
    assert (source.max_age_seconds(), source.widest()) == (TERMS.max_age, TERMS.widest)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pyth": EMPTY}, "source: pyth"),
        ({"id": bytes(32)}, "source: price id"),
        ({"age": 0}, "source: age"),
        ({"age": 7 * DAY + 1}, "source: age"),
        ({"age": 7 * DAY}, None),
        ({"widest": PICO}, "source: confidence"),
        ({"widest": PICO - 1}, None),
    ],
)
def test_terms_that_are_refused(stage: Stage, changed: dict[str, Any], reason: str | None) -> None:
    row = {"pyth": stage.pyth, "id": FEED, "age": TERMS.max_age, "widest": TERMS.widest} | changed
    assert refusal(stage.contracts.PythSource, *row.values(), sender=stage.owner) == reason


# -------------------------------------------------------------------------------------------------------------- update


def test_nothing_is_usable_before_somebody_brings_it(stage: Stage) -> None:
    assert tuple(chain.call_at(stage.source.spot, NOW)) == NOTHING
    assert stage.brought(GOOD) == (2000 * NANO, 5 * PICO // 10_000, NOW - 5, True)


@pytest.mark.parametrize("sent", [0, FEE - 1, 2 * FEE - 1])
def test_too_little_is_refused(stage: Stage, sent: int) -> None:
    data = [signed_update(GOOD), signed_update(GOOD, OTHER)]
    assert refusal(stage.source.update, data, sender=stage.user, value=sent) == "source: fee"


@pytest.mark.parametrize("excess", [0, 1, 10**18])
def test_what_is_over_comes_back(stage: Stage, excess: int) -> None:
    """Pyth keeps its fee, the source nothing."""
    user, pyth = stage.user, stage.pyth
    before = user.balance, pyth.balance
    data = [signed_update(GOOD), signed_update(GOOD, OTHER)]
    gas = stage.source.update(data, value=2 * FEE + excess, sender=user).total_fees_paid
    assert (user.balance, pyth.balance) == (before[0] - 2 * FEE - gas, before[1] + 2 * FEE)
    assert stage.source.balance == 0


def test_an_update_that_is_none_is_refused(stage: Stage) -> None:
    error = "0x" + keccak(text="InvalidUpdateData()")[:4].hex()
    assert refusal(stage.source.update, [b"\x00"], sender=stage.user, value=FEE) == error


def test_an_older_price_changes_nothing(stage: Stage) -> None:
    stage.brought(GOOD)
    assert stage.brought(GOOD._replace(price=1, publish_time=GOOD.publish_time - 1))[0] == 2000 * NANO
    assert stage.brought(GOOD._replace(price=2100 * 10**8, publish_time=GOOD.publish_time + 1))[0] == 2100 * NANO


def test_a_price_of_another_feed_is_not_asked_for(stage: Stage) -> None:
    stage.source.update([signed_update(GOOD, OTHER)], value=FEE, sender=stage.user)
    assert tuple(chain.call_at(stage.source.spot, NOW)) == NOTHING


def test_who_cannot_take_change_sends_what_it_costs(stage: Stage) -> None:
    """A contract that takes no ether: refused with change, served without."""
    wallet = stage.owner.deploy(stage.contracts.RudeSource)
    wallet.set_manner(REVERTS, sender=stage.owner)
    sender = stage.ape_chain.provider.account_manager.test_accounts.impersonate_account(wallet.address)
    stage.ape_chain.provider.set_balance(wallet.address, 10**18)
    assert refusal(stage.source.update, [signed_update(GOOD)], sender=sender, value=FEE + 1) is not None
    assert refusal(stage.source.update, [signed_update(GOOD)], sender=sender, value=FEE) is None


# ---------------------------------------------------------------------------------------------------------------- spot

REFUSED = {
    "older than its age by a second": {"publish_time": NOW - TERMS.max_age - 1},
    "a second in the future": {"publish_time": NOW + 1},
    "zero": {"price": 0},
    "minus one": {"price": -1},
    "the least number": {"price": -(2**63)},
    "less than a unit": {"price": 1, "expo": -10, "conf": 0},
    "above the greatest price": {"price": 10**8 + 1, "expo": 0, "conf": 0},
    "less certain for being rounded": {"price": 1_015, "expo": -10, "conf": 6},
    "of an exponent too high": {"price": 1, "expo": 9, "conf": 0},
    "of the highest exponent": {"price": 1, "expo": 2**31 - 1, "conf": 0},
    "of an exponent too low": {"price": 2**63 - 1, "expo": -28, "conf": 0},
    "of the lowest exponent": {"price": 2**63 - 1, "expo": -(2**31), "conf": 0},
    "too uncertain by a unit": {"conf": 20 * 10**8 + 1},
    "of the greatest uncertainty": {"conf": 2**64 - 1},
}
ADMITTED = {
    "of the last second of its age": {"publish_time": NOW - TERMS.max_age},
    "of now": {"publish_time": NOW},
    "of one unit": {"price": 1, "expo": -9, "conf": 0},
    "the greatest price": {"price": 10**8, "expo": 0, "conf": 0},
    "of the highest exponent that fits": {"price": 1, "expo": 8, "conf": 0},
    "of the lowest exponent that fits": {"price": 9 * 10**18, "expo": -27, "conf": 0},
    "certain": {"conf": 0},
    "as uncertain as can be": {"conf": 20 * 10**8},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_price_that_is_not_to_be_used(stage: Stage, case: str) -> None:
    assert stage.brought(GOOD._replace(**REFUSED[case])) == NOTHING


@pytest.mark.parametrize("case", ADMITTED)
def test_the_bounds_themselves_pass(stage: Stage, case: str) -> None:
    price = GOOD._replace(**ADMITTED[case])
    spot = stage.brought(price)
    assert spot[3] and spot == TERMS.spot(price, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"price": 2**63},
        {"price": 2**255 - 1},
        {"conf": 2**64},
        {"conf": 2**256 - 1},
        {"expo": 2**255 - 1},
        {"expo": -(2**255)},
        {"publish_time": 0},
        {"publish_time": 2**256 - 1},
        {"publish_time": NOW - TERMS.max_age - 1},
    ],
)
def test_words_that_are_none_of_its_types(stage: Stage, changed: dict[str, int]) -> None:
    """Whatever Pyth's own checks are, the source makes them again."""
    assert stage.said(GOOD)[3]
    assert stage.said(GOOD._replace(**changed)) == NOTHING


@pytest.mark.parametrize("manner", MANNERS)
def test_who_does_not_answer_as_he_should(stage: Stage, manner: str) -> None:
    """Not usable, never a revert, within the gas that a source is given."""
    assert stage.said(GOOD)[3]
    MANNERS[manner](stage.rude, stage.owner)
    assert tuple(chain.call_at(stage.careless.spot, NOW)) == NOTHING
    assert with_gas(stage.careless.spot, SPOT_GAS, NOW) == words(0, 0, 0, 0)


def test_an_answer_that_is_a_byte_short(stage: Stage) -> None:
    for answer, usable in ((words(*GOOD), True), (words(*GOOD)[:-1], False)):
        stage.rude.set_answer(answer, sender=stage.owner)
        assert chain.call_at(stage.careless.spot, NOW)[3] is usable


def test_nobody_chooses_an_answer_by_the_gas_he_sends(stage: Stage) -> None:
    assert stage.brought(GOOD)[3]
    full = with_gas(stage.source.spot, 10**6, NOW)
    answers = {with_gas(stage.source.spot, gas, NOW) for gas in range(2_000, 100_000, 250)}
    assert answers == {None, full}


@pytest.mark.parametrize("expo", range(-25, 9))
def test_prices_of_any_exponent_are_rounded_down_and_doubt_up(stage: Stage, expo: int) -> None:
    """The interval that is returned has Pyth's in it, and is wider by less than a unit."""
    units = 1_234_567_890_123_456_789 // 10 ** max(expo + 20, 0) or 1
    price, confidence, _, usable = stage.said(GOOD._replace(price=units, conf=units // 999, expo=expo))
    assert usable
    # All at 1e-27 * 1e-12.
    scale = 10 ** (expo + 27)
    low, high = (units - units // 999) * scale * PICO, (units + units // 999) * scale * PICO
    returned = price * 10**18
    assert returned <= units * scale < returned + 10**18
    assert returned * (PICO - confidence) <= low and high <= returned * (PICO + confidence)
    assert returned * (PICO + confidence - 1) < high


exponents = st.one_of(st.integers(-30, 12), st.sampled_from([-(2**31), 2**31 - 1, 2**255 - 1, -(2**255)]))
times = st.one_of(
    st.sampled_from([0, 1, 2**64, 2**256 - 1]), st.integers(NOW - 2, NOW + 2), st.integers(NOW - 62, NOW - 58)
)


@st.composite
def prices(draw: st.DrawFn) -> PythPrice:
    """Mostly of a magnitude and a doubt that may be admissible, with some words replaced."""
    expo = draw(st.integers(-27, 8))
    most = min(MAX_PRICE * 10**18 // 10 ** (expo + 27), 2**63 - 1)
    value = draw(st.one_of(integers(1, most), st.integers(most - 2, most + 2)))
    conf = draw(st.one_of(integers(0, value // 50), st.integers(-2, 2).map(lambda i: max(value // 100 + i, 0))))
    price = PythPrice(value, conf, expo, NOW - draw(st.integers(0, TERMS.max_age)))
    of = {
        "price": st.one_of(st.integers(-2, 2), integers(-(2**255), 2**255 - 1), st.integers(2**63 - 1, 2**63)),
        "conf": st.one_of(integers(0, 2**256 - 1), st.integers(2**64 - 1, 2**64)),
        "expo": exponents,
        "publish_time": times,
    }
    return price._replace(
        **{name: draw(of[name]) for name in sorted(draw(st.sets(st.sampled_from(sorted(of)), max_size=1)))}
    )


@given(said=prices())
def test_whatever_is_said(stage: Stage, said: PythPrice) -> None:
    """Usable exactly if every condition holds, and then as computed."""
    with stage.ape_chain.isolate():
        assert stage.said(said) == TERMS.spot(said, NOW)
