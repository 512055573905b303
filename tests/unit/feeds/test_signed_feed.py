"""The signed feed: what was signed by enough signers passes, whoever brings it, and nothing else does (INV-13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from scripts import feed
from tests.unit.feeds.stage import (
    DAYS,
    ONE,
    SPOT,
    THRESHOLD,
    UNDERLYING,
    VALID,
    WIDEST,
    Stage,
    prices,
    slice_at,
    whole,
    with_expiry,
    with_surface,
)
from tests.unit.market_data.updates import DAY, NOW, Surface, Terms, Update

# Order of secp256k1: a signature with n - s and the other v is good for the same message.
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOT_A_SIGNER = "feed: not a signer"
NOT_ASCENDING = "feed: signers not ascending"
MISSING = "feed: an expiry is missing"
NOBODY = "0x" + "00" * 20


@pytest.fixture
def later(stage: Stage) -> Stage:
    """A surface was brought half an hour ago."""
    stage.submit(whole(NOW - 1800))
    return stage


# ---------------------------------------------------------------------------------------------------- what passes


def test_whoever_brings_it_what_was_signed_is_published(stage):
    update = whole()
    receipt = stage.submit(update)
    assert receipt.sender == stage.stranger
    assert receipt.events.filter(stage.market_data.MarketUpdated)[0].spot == SPOT
    head, *words = stage.read([e.expiry for e in update.expiries])
    assert head >> 184 == SPOT
    assert [word >> 184 for word in words[::2]] == [e.forward for e in update.expiries]
    assert [word >> 208 for word in words[1::2]] == [e.surface.a for e in update.expiries]


def test_prices_alone_leave_surfaces_as_they_are(later):
    expiries = [e.expiry for e in whole().expiries]
    before = later.read(expiries)
    later.submit(prices(days=DAYS[:2], spot=SPOT + 1))
    after = later.read(expiries)
    assert after[0] >> 184 == SPOT + 1
    assert [word & (2**32 - 1) for word in after[1::2]] == [NOW, NOW, NOW - 1800]
    assert after[2::2] == before[2::2]
    assert later.named() == expiries


def test_spot_alone_is_an_update(stage):
    stage.submit(prices())
    assert stage.read([])[0] >> 184 == SPOT


def test_any_signers_of_enough_will_do_and_more_are_not_looked_at(stage):
    update = whole()
    for chosen in (stage.signers[2:], stage.signers[::2], stage.signers):
        assert stage.tries(update, stage.sign(update, signers=chosen)) is None
    assert stage.tries(update, [*stage.sign(update), b"", b"\xff" * 65]) is None


def test_the_answer_is_that_of_market_data(stage):
    stage.submit(prices(NOW - 60))
    stage.market_data.set_terms(UNDERLYING, Terms(jump=ONE // 10, confirmation_seconds=60), sender=stage.owner)
    assert stage.is_taken(prices())
    assert not stage.is_taken(prices(spot=2 * SPOT, perp_mark=2 * SPOT))


# ------------------------------------------------------------------------------------------------- what is signed


@pytest.mark.parametrize("count", [0, 1, 2, 8, 16])
def test_the_hash_is_that_of_wallets(stage, count):
    """EIP-712 as eth_account knows it, nested arrays included."""
    update = whole(days=range(1, count + 1))
    message = feed.message(stage.feed.provider.chain_id, stage.feed.address, update, NOW)
    assert bytes(stage.feed.hash_update(update, NOW)) == _hash_eip191_message(message)


def test_the_domain_is_told(stage):
    _, name, version, chain_id, contract, _, extensions = stage.feed.eip712Domain()
    assert (name, version) == (feed.DOMAIN, feed.VERSION)
    assert (chain_id, contract) == (stage.feed.provider.chain_id, stage.feed.address)
    assert extensions == []


@pytest.mark.parametrize(
    "wrong",
    [{"name": "Ballast"}, {"version": "2"}, {"chainId": 1}, {"verifyingContract": NOBODY[:-1] + "1"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_signature_for_another_domain_is_worth_nothing(stage, wrong):
    update = whole()
    right = feed.message(stage.feed.provider.chain_id, stage.feed.address, update, NOW + VALID)
    domain = {
        "name": feed.DOMAIN,
        "version": feed.VERSION,
        "chainId": stage.feed.provider.chain_id,
        "verifyingContract": stage.feed.address,
    }
    for data, answer in ((domain, None), (domain | wrong, NOT_A_SIGNER)):
        message = encode_typed_data(
            domain_data=data, message_types=feed.TYPES, message_data=feed.content(update, NOW + VALID)
        )
        assert (message == right) == (answer is None)
        signatures = [bytes(s.sign_message(message).encode_rsv()) for s in stage.signers[:THRESHOLD]]
        assert stage.tries(update, signatures) == answer


def leaves(row: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The places of every number in nested tuples."""
    for i, value in enumerate(row):
        if isinstance(value, tuple):
            yield from leaves(value, (*path, i))
        else:
            yield (*path, i)


def raised(row: Any, path: tuple[int, ...]) -> Any:
    """The same with one number higher by one."""
    i, *rest = path
    values = list(row)
    values[i] = raised(values[i], tuple(rest)) if rest else values[i] + 1
    return type(row)(*values) if hasattr(row, "_fields") else tuple(values)


@pytest.mark.parametrize("path", leaves(whole()), ids=str)
def test_no_number_can_be_changed_once_it_is_signed(stage, path):
    update = whole()
    changed = raised(update, path)
    assert changed != update
    assert stage.tries(changed, stage.sign(update)) == NOT_A_SIGNER


def test_no_expiry_can_be_added_left_out_or_moved(stage):
    update = whole()
    signatures = stage.sign(update)
    first, second, third = update.expiries
    for rows in ((first, second), (), (first, third, second), (first, second, third, slice_at(100))):
        assert stage.tries(update._replace(expiries=rows), signatures) == NOT_A_SIGNER


def test_the_deadline_is_signed_and_its_second_is_the_last(stage):
    update, deadline = whole(), NOW + VALID
    signatures = stage.sign(update, deadline)
    assert stage.tries(update, signatures, deadline, time=deadline) is None
    assert stage.tries(update, signatures, deadline, time=deadline + 1) == "feed: deadline"
    assert stage.tries(update, signatures, deadline + 1, time=deadline + 1) == NOT_A_SIGNER


# ------------------------------------------------------------------------------------------------------ who signed


def test_too_few_signatures(stage):
    update = whole()
    for count in range(THRESHOLD):
        assert stage.tries(update, stage.sign(update)[:count]) == "feed: too few signatures"


def test_a_signer_counts_once_and_in_order(stage):
    update = whole()
    first, second, third = stage.sign(update)
    for signatures in ([first, first, second], [first, second, second], [second, first, third], [third, second, first]):
        assert stage.tries(update, signatures) == NOT_ASCENDING


def test_a_stranger_counts_nowhere(stage):
    update = whole()
    first, second, third = stage.sign(update)
    (other,) = stage.sign(update, signers=[stage.owner])
    for signatures in ([other, second, third], [first, other, third], [first, second, other]):
        assert stage.tries(update, signatures) == NOT_A_SIGNER


def test_the_other_form_of_a_signature_is_refused(stage):
    update = whole()
    *others, last = stage.sign(update)
    high = CURVE_ORDER - int.from_bytes(last[32:64], "big")
    mirrored = last[:32] + high.to_bytes(32, "big") + bytes([55 - last[64]])
    assert (
        Account.recover_message(
            feed.message(stage.feed.provider.chain_id, stage.feed.address, update, NOW + VALID), signature=mirrored
        )
        == stage.signers[2]
    )
    assert stage.tries(update, [*others, mirrored]) == "ecdsa: invalid signature `s` value"


def compact(signature: bytes) -> bytes:
    """EIP-2098: the parity of v in the highest bit of s."""
    s = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return signature[:32] + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "cut", [lambda s: b"", lambda s: s[:64], compact, lambda s: s[:-1]], ids=["none", "no v", "compact", "a byte"]
)
def test_a_signature_has_65_bytes(stage, cut):
    update = whole()
    first, second, third = stage.sign(update)
    assert stage.tries(update, [first, cut(second), third]) == "feed: signature length"


def test_a_longer_signature_does_not_even_decode(stage):
    update = whole()
    first, second, third = stage.sign(update)
    assert stage.tries(update, [first, second, third + b"\x00"]) == ""


def test_what_recovers_to_nobody_is_refused(stage):
    update = whole()
    first, second, _ = stage.sign(update)
    for nonsense in (bytes(65), b"\x01" * 64 + b"\x1d"):
        assert stage.tries(update, [nonsense, first, second]) == "ecdsa: invalid signature"


# ------------------------------------------------------------------------------------------- when, and how much


def test_a_replay_is_not_newer_than_itself(stage):
    update = whole()
    signatures = stage.sign(update)
    stage.submit(update)
    assert stage.tries(update, signatures, time=NOW + 1) == "market: timestamp not newer"
    # Nor can what was signed before be brought after.
    assert stage.tries(whole(NOW - 1), time=NOW + 1) == "market: timestamp not newer"
    assert stage.tries(whole(NOW + 1), time=NOW + 1) is None


def test_nothing_comes_from_the_future(stage):
    assert stage.tries(whole(NOW + 1)) == "market: timestamp ahead"


def test_what_is_old_when_it_comes_is_not_fresh(stage):
    """Admissible, since it is newer than nothing; but no risk is taken on it."""
    update = whole(NOW - 2 * DAY)
    stage.submit(update, time=NOW)
    assert not stage.market_data.read(UNDERLYING, [update.expiries[0].expiry])[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda u: prices(spot=0, perp_mark=0), "market: price"),
        (lambda u: prices(spot=0), "feed: perp basis"),
        (lambda u: prices(perp_mark=0), "feed: perp basis"),
        (lambda u: prices(spot=2**72, perp_mark=2**72), "feed: spot"),
        (lambda u: prices(spot=2**255, perp_mark=2**255), "feed: spot"),
        (lambda u: prices(perp_mark=2**256 - 1), "feed: perp basis"),
        (lambda u: u._replace(underlying=0), "market: underlying"),
        (lambda u: u._replace(underlying=3), "market: no terms"),
        (lambda u: u._replace(confidence=ONE), "market: confidence"),
        (lambda u: with_expiry(with_surface(u, 1, forward=0), 1, forward=0), "feed: forward basis"),
        (lambda u: with_expiry(u, 1, forward=2**256 - 1), "feed: forward basis"),
        (lambda u: with_expiry(u, 1, rate=ONE + 1), "market: rate"),
        (lambda u: u._replace(expiries=(u.expiries[1], u.expiries[0])), "feed: expiries not ascending"),
        (lambda u: u._replace(expiries=(u.expiries[0], u.expiries[0])), "feed: expiries not ascending"),
        (lambda u: u._replace(expiries=(slice_at(0),)), "feed: expiries not ascending"),
        (lambda u: u._replace(expiries=(slice_at(-1)._replace(surface=Surface(0, 0, 0, 0, 0, 0, 0)),)),
         "feed: expiries not ascending"),
        (lambda u: with_expiry(u, 2, expiry=2**32), "feed: expiry"),
        (lambda u: with_expiry(u, 2, expiry=2**256 - 1), "feed: expiry"),
        (lambda u: with_surface(u, 0, ref_seconds=0), "feed: part of a surface"),
        (lambda u: with_surface(u, 2, ref_seconds=0), "feed: part of a surface"),
        (lambda u: with_surface(u, 1, ref_seconds=30 * DAY + 1), "feed: surface tenor"),
        (lambda u: with_surface(u, 1, ref_seconds=30 * DAY - 1), "feed: surface tenor"),
        (lambda u: with_surface(u, 1, ref_seconds=2**256 - 1), "feed: surface tenor"),
        (lambda u: with_surface(u, 1, forward=SPOT + 1), "feed: surface forward"),
        (lambda u: with_expiry(u, 1, forward=SPOT + 1), "feed: surface forward"),
    ],
)  # fmt: skip
def test_what_signers_may_not_say(stage, change, reason):
    """However many of them."""
    assert stage.tries(change(whole())) == reason


@pytest.mark.parametrize("sign", [1, -1])
def test_the_basis_may_be_the_widest(stage, sign):
    room = SPOT * WIDEST // ONE
    assert stage.tries(prices(perp_mark=SPOT + sign * room)) is None
    assert stage.tries(prices(perp_mark=SPOT + sign * (room + 1))) == "feed: perp basis"
    for over, answer in ((0, None), (1, "feed: forward basis")):
        forward = SPOT + sign * (room + over)
        assert stage.tries(whole(expiries=(slice_at(7, forward=forward),))) == answer


def test_the_room_of_a_basis_is_rounded_down(stage):
    # A quarter of it is no whole number.
    assert stage.tries(prices(spot=4003, perp_mark=5003)) is None
    assert stage.tries(prices(spot=4003, perp_mark=5004)) == "feed: perp basis"


def test_prices_of_an_expiry_that_has_no_surface_are_no_data(later):
    assert later.tries(prices(days=(8,))) == "market: no surface"


# ------------------------------------------------------------------------------------------------- a whole surface


def test_a_surface_names_what_the_last_one_named(later):
    for days in ((7, 30), (7, 91), (30, 91), (7,), (1, 30, 91), (7, 30, 90), (1, 2, 3, 4)):
        assert later.tries(whole(days=days)) == MISSING
    for days in (DAYS, (1, *DAYS), (7, 8, 30, 31, 91), (*DAYS, 92)):
        assert later.tries(whole(days=days)) is None


def test_what_has_expired_needs_no_name(later):
    at_expiry = NOW + 7 * DAY
    for time, answer in ((at_expiry - 1, MISSING), (at_expiry, None), (at_expiry + 1, None)):
        assert later.tries(whole(time, days=(30, 91)), deadline=time, time=time) == answer
    far = NOW + 200 * DAY
    assert later.tries(whole(far, days=(300,)), deadline=far, time=far) is None


def test_prices_alone_name_what_they_like(later):
    for days in ((), (7,), (91,), (30, 91)):
        assert later.tries(prices(days=days)) is None


def test_each_underlying_has_a_surface_of_its_own(later):
    later.market_data.set_terms(1, Terms(), sender=later.owner)
    assert later.tries(whole(days=(7,))._replace(underlying=1)) is None


@pytest.mark.parametrize("counts", [(1, 8), (8, 9), (9, 16), (16, 16), (7, 15)])
def test_as_many_expiries_as_an_update_holds_are_remembered(stage, counts):
    """Eight of them fill a word."""
    for time, count in zip((NOW - 2, NOW - 1), counts, strict=True):
        update = whole(time, days=range(1, count + 1))
        stage.submit(update)
        assert stage.named() == [e.expiry for e in update.expiries]
    everything = range(1, counts[1] + 1)
    assert stage.tries(whole(days=everything)) is None
    for left_out in everything:
        assert stage.tries(whole(days=[d for d in everything if d != left_out])) == MISSING


def test_a_second_word_is_forgotten_with_its_expiries(stage):
    stage.submit(whole(NOW - 1, days=range(1, 13)))
    time = NOW + 6 * DAY
    stage.submit(whole(time, days=range(7, 13)))
    assert stage.named() == [NOW + d * DAY for d in range(7, 13)]
    assert stage.tries(whole(time + 1, days=range(7, 13)), deadline=time + 1, time=time + 1) is None


def test_a_surface_that_was_doubted_names_nothing(later):
    later.market_data.set_terms(UNDERLYING, Terms(jump=ONE // 10, confirmation_seconds=60), sender=later.owner)
    later.submit(whole(NOW - 900))
    before = later.named()
    rows = tuple(slice_at(d, NOW, 3 * SPOT // 2) for d in (*DAYS, 92))
    receipt = later.submit(whole(spot=3 * SPOT // 2, perp_mark=3 * SPOT // 2, expiries=rows))
    assert len(receipt.events.filter(later.market_data.UpdateDoubted)) == 1
    assert later.named() == before


# ------------------------------------------------------------------------------------------------------- arbitrage


@pytest.mark.parametrize(
    ("i", "smile", "reason"),
    [
        (1, {"a": -ONE // 10}, "surface: variance"),
        (1, {"b": 2 * ONE}, "surface: wings"),
        # Axel Vogt's slice, of which Gatheral and Jacquier (2014) show that its density turns negative.
        (
            2,
            {"a": -41 * ONE // 1000, "b": 1331 * ONE // 10**4, "rho": 306 * ONE // 1000}
            | {"m": 3586 * ONE // 10**4, "sigma": 4153 * ONE // 10**4},
            "surface: butterfly",
        ),
        # A month with less variance than its first week.
        (1, {"a": 0, "b": ONE // 1000}, "surface: calendar"),
    ],
    ids=["variance", "wings", "butterfly", "calendar"],
)
def test_a_surface_that_can_be_traded_against_is_refused(later, i, smile, reason):
    """However many have signed it, the one before stays until its heartbeat ends."""
    expiries = [e.expiry for e in whole().expiries]
    before = later.read(expiries)
    assert later.tries(whole()) is None
    assert later.tries(with_surface(whole(), i, **smile)) == reason
    # Its prices may go on without it.
    later.submit(prices(days=DAYS))
    assert later.read(expiries)[2::2] == before[2::2]


# ------------------------------------------------------------------------------------------------------- the owner


def test_signers_change_at_once(stage):
    update = whole()
    signatures = stage.sign(update)
    assert stage.tries(update, signatures) is None
    ordered = sorted([stage.signers[0], stage.owner], key=lambda account: int(account.address, 16))
    receipt = stage.feed.set_signers(ordered, 2, sender=stage.owner)
    assert receipt.events == [stage.feed.SignersSet(signers=ordered, threshold=2)]
    assert stage.feed.signers() == ordered
    assert stage.feed.threshold() == 2
    assert [stage.feed.is_signer(s) for s in stage.signers] == [True, False, False, False, False]
    assert stage.tries(update, signatures) == NOT_A_SIGNER
    assert stage.tries(update, stage.sign(update, signers=ordered)) is None
    assert stage.feed.widest_basis() == WIDEST


def test_sixteen_signers_of_whom_all_are_needed(stage, accounts):
    ordered = sorted(accounts[:16], key=lambda account: int(account.address, 16))
    stage.feed.set_signers(ordered, 16, sender=stage.owner)
    update = whole()
    assert stage.tries(update, stage.sign(update, signers=ordered)) is None
    assert stage.tries(update, stage.sign(update, signers=ordered[:15])) == "feed: too few signatures"


@dataclass(frozen=True)
class Choice:
    """Signers by number, -1 for the zero address, and a threshold; what is wrong with them."""

    signers: tuple[int, ...]
    threshold: int
    reason: str


CHOICES = [
    Choice((), 0, "feed: threshold"),
    Choice((), 1, "feed: threshold"),
    Choice((0, 1), 0, "feed: threshold"),
    Choice((0, 1), 3, "feed: threshold"),
    Choice((0, 1), 257, "feed: threshold"),
    Choice((1, 0), 1, NOT_ASCENDING),
    Choice((0, 0), 1, NOT_ASCENDING),
    Choice((-1, 0), 1, NOT_ASCENDING),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_signers_that_cannot_be(stage, project_contracts, choice):
    addresses = [NOBODY if i < 0 else stage.signers[i].address for i in choice.signers]
    for act in (
        lambda: stage.feed.set_signers.call(addresses, choice.threshold, sender=stage.owner, skip_trace=True),
        lambda: stage.owner.deploy(
            project_contracts.SignedFeed, stage.market_data, addresses, choice.threshold, WIDEST
        ),
    ):
        with pytest.raises(Exception, match=choice.reason):
            act()


def test_the_widest_basis_is_in_force_at_once(stage):
    receipt = stage.feed.set_widest_basis(0, sender=stage.owner)
    assert receipt.events == [stage.feed.WidestBasisSet(widest_basis=0)]
    assert stage.feed.widest_basis() == 0
    assert stage.feed.threshold() == THRESHOLD
    assert stage.tries(prices(perp_mark=SPOT)) is None
    assert stage.tries(prices(perp_mark=SPOT + 1)) == "feed: perp basis"


def test_a_basis_wider_than_spot_cannot_be(stage, project_contracts):
    with pytest.raises(Exception, match="feed: widest basis"):
        stage.feed.set_widest_basis.call(ONE + 1, sender=stage.owner, skip_trace=True)
    with pytest.raises(Exception, match="feed: market data"):
        stage.owner.deploy(project_contracts.SignedFeed, NOBODY, stage.signers, THRESHOLD, WIDEST)


def test_only_the_owner_chooses(stage):
    for act, arguments in ((stage.feed.set_signers, (stage.signers, 1)), (stage.feed.set_widest_basis, (ONE,))):
        for caller in (stage.stranger, stage.signers[0]):
            with pytest.raises(Exception, match="ownable: caller is not the owner"):
                act.call(*arguments, sender=caller, skip_trace=True)


def test_who_is_no_publisher_publishes_nothing(stage):
    stage.market_data.set_publisher(stage.feed, False, sender=stage.owner)
    assert stage.tries(whole()) == "market: publisher"


# ------------------------------------------------------------------------------------------------------ a property


@dataclass(frozen=True)
class Message:
    """What somebody brings: who signed in which order, by number (from 5 on no signers), and when it is brought."""

    update: Update
    signers: tuple[int, ...]
    deadline: int
    time: int


Defect = Callable[[st.DrawFn, Message], Message]


def _signers(draw: st.DrawFn, m: Message) -> Message:
    return replace(m, signers=tuple(draw(st.lists(st.integers(0, 6), max_size=5))))


def _time(draw: st.DrawFn, m: Message) -> Message:
    return replace(m, time=draw(st.sampled_from([NOW - 1, NOW, m.deadline, m.deadline + 1])))


def _newer(draw: st.DrawFn, m: Message) -> Message:
    timestamp = draw(st.sampled_from([NOW - 1801, NOW - 1800, NOW - 1799, NOW]))
    tenors = [e.expiry - timestamp if e.surface.ref_seconds else 0 for e in m.update.expiries]
    update = m.update._replace(timestamp=timestamp)
    for i, tenor in enumerate(tenors):
        update = with_surface(update, i, ref_seconds=tenor)
    return replace(m, update=update)


def _perp(draw: st.DrawFn, m: Message) -> Message:
    room = m.update.spot * WIDEST // ONE
    offset = draw(st.sampled_from([room, room + 1, -room, -room - 1]))
    return replace(m, update=m.update._replace(perp_mark=m.update.spot + offset))


def _spot(draw: st.DrawFn, m: Message) -> Message:
    return replace(m, update=m.update._replace(spot=draw(st.sampled_from([0, SPOT // 2, SPOT + 1, 2**72]))))


def _forward(draw: st.DrawFn, m: Message) -> Message:
    if not m.update.expiries:
        return m
    i = draw(st.integers(0, len(m.update.expiries) - 1))
    forward = SPOT + draw(st.integers(-SPOT // 3, SPOT // 3))
    update = with_expiry(m.update, i, forward=forward)
    # In step with its surface or not.
    return replace(m, update=with_surface(update, i, forward=forward) if draw(st.booleans()) else update)


def _surface(draw: st.DrawFn, m: Message) -> Message:
    if not m.update.expiries:
        return m
    i = draw(st.integers(0, len(m.update.expiries) - 1))
    tenor = m.update.expiries[i].expiry - m.update.timestamp
    return replace(m, update=with_surface(m.update, i, ref_seconds=draw(st.sampled_from([0, tenor, tenor + 1]))))


def _order(draw: st.DrawFn, m: Message) -> Message:
    return replace(m, update=m.update._replace(expiries=tuple(draw(st.permutations(m.update.expiries)))))


DEFECTS: tuple[Defect, ...] = (_signers, _time, _newer, _perp, _spot, _forward, _surface, _order)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Well formed, but for the expiries that it may lack, and then with up to two defects."""
    more = draw(st.sets(st.sampled_from([1, 8, 40, 92]), max_size=3))
    some = st.lists(st.sampled_from(DAYS), unique=True)
    days = sorted(more.union(draw(st.one_of(st.just(list(DAYS)), some))))
    known = [d for d in days if d in DAYS]
    update = draw(st.sampled_from([whole(days=days), whole(days=sorted({*days, *DAYS})), prices(days=known)]))
    chosen = sorted(draw(st.permutations(range(5)))[: draw(st.integers(THRESHOLD, 5))])
    message = Message(update, tuple(chosen), NOW + draw(st.integers(0, VALID)), NOW)
    for defect in draw(st.lists(st.sampled_from(DEFECTS), max_size=2)):
        message = defect(draw, message)
    return message


def passes(m: Message) -> bool:
    """What the feed and market data are to let pass, half an hour after a surface with the expiries of DAYS."""
    u = m.update
    needed = m.signers[:THRESHOLD]
    times = [e.expiry for e in u.expiries]
    kinds = {e.surface.ref_seconds != 0 for e in u.expiries}
    signed = len(needed) == THRESHOLD and all(a < b for a, b in pairwise(needed))
    near = all(abs(p - u.spot) * ONE <= WIDEST * u.spot for p in (u.perp_mark, *(e.forward for e in u.expiries)))
    ordered = all(a < b for a, b in pairwise([u.timestamp, *times]))
    calibrated = all(
        not e.surface.ref_seconds or (e.surface.ref_seconds, e.surface.forward) == (e.expiry - u.timestamp, e.forward)
        for e in u.expiries
    )
    is_surface = True in kinds
    known = {NOW + d * DAY for d in DAYS}
    complete = known <= set(times) if is_surface else set(times) <= known
    return (
        signed
        and max(needed) < 5
        and m.time <= m.deadline
        and NOW - 1800 < u.timestamp <= m.time
        and 10**3 <= u.spot <= 10**17
        and len(kinds) < 2
        and near
        and ordered
        and calibrated
        and complete
    )


@pytest.fixture(scope="module")
def half_an_hour_later(stage: Stage) -> Iterator[Stage]:
    """`later`, for all examples: calls leave nothing behind."""
    with stage.ape_chain.isolate():
        stage.submit(whole(NOW - 1800))
        yield stage


@given(message=messages())
def test_the_feed_takes_what_the_rules_admit_and_nothing_else(half_an_hour_later, message):
    stage = half_an_hour_later
    accounts = [*stage.signers, stage.owner, stage.stranger]
    signatures = [stage.sign(message.update, message.deadline, [accounts[i]])[0] for i in message.signers]
    answer = stage.tries(message.update, signatures, message.deadline, message.time)
    assert (answer is None) == passes(message), answer
