"""The word of a leg: what goes in comes out, sorting sorts the book, and nothing inadmissible gets in."""

from __future__ import annotations

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import chain
from tests.wide import integers

PERP, FUTURE, CALL, PUT = range(4)
MAX_STRIKE = MAX_SIZE = 9 * 10**18
FIELDS = ("underlying", "expiry", "strike", "kind", "size")


def magnitudes(greatest: int) -> st.SearchStrategy[int]:
    """Positive integers of every order of magnitude, the ends included."""
    return st.one_of(
        integers(1, greatest),
        st.sampled_from([1, 2, greatest - 1, greatest]),
        integers(0, len(str(greatest)) - 1).flatmap(lambda n: integers(10**n, min(10 ** (n + 1), greatest))),
    )


sizes = st.builds(lambda n, sign: n * sign, magnitudes(MAX_SIZE), st.sampled_from([1, -1]))


@st.composite
def legs(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Arguments of `pack` that are admissible."""
    kind = draw(st.sampled_from([PERP, FUTURE, CALL, PUT]))
    return (
        draw(integers(1, 255)),
        0 if kind == PERP else draw(magnitudes(2**32 - 1)),
        draw(magnitudes(MAX_STRIKE)) if kind >= CALL else 0,
        kind,
        draw(sizes),
    )


@pytest.fixture(scope="module")
def now(ape_chain):
    return ape_chain.blocks.head.timestamp


def pack(harness, now, leg):
    return chain.call_at(harness.position_pack, now, *leg)


@given(leg=legs())
def test_round_trip(harness, now, leg):
    underlying, expiry, strike, kind, size = leg
    word = pack(harness, now, leg)
    fields = chain.call_at(harness.position_fields, now, word)
    assert (fields.underlying, fields.expiry, fields.kind, fields.size) == (underlying, expiry, kind, size)
    assert fields.strike == strike * 10**12
    assert fields.instrument == word >> 144 == (underlying << 104) | (expiry << 72) | (strike << 8) | kind
    if strike == 0:
        assert fields.log_strike == 0
    else:
        with mpmath.workdps(40):
            # The stated error of snekmate's logarithm: 2 units of 1e-18.
            assert abs(fields.log_strike - mpmath.log(mpmath.mpf(strike) / 10**6) * 10**18) < 2


@given(leg=legs())
def test_the_scripts_pack_the_same_word(harness, now, leg):
    ours, theirs = pack(harness, now, leg), chain.pack(*leg)
    assert ours >> 80 == theirs >> 80
    logs = [(word % 2**80 + 2**79) % 2**80 - 2**79 for word in (ours, theirs)]
    # One rounds down, the other errs by less than 2 units.
    assert abs(logs[0] - logs[1]) <= 2


@given(a=legs(), b=legs())
def test_words_sort_by_underlying_expiry_strike_and_kind(harness, now, a, b):
    if a[:4] != b[:4]:
        assert (pack(harness, now, a) < pack(harness, now, b)) == (a[:4] < b[:4])


@given(leg=legs(), size=sizes)
def test_size_does_not_change_the_instrument(harness, now, leg, size):
    words = [pack(harness, now, leg), pack(harness, now, (*leg[:4], size))]
    assert words[0] >> 144 == words[1] >> 144
    assert words[0] % 2**80 == words[1] % 2**80


GOOD = {"underlying": 1, "expiry": 2_000_000_000, "strike": 3_000_000_000, "kind": CALL, "size": 1_000_000}
FUTURES = {"kind": FUTURE, "strike": 0}
PERPS = {"kind": PERP, "strike": 0, "expiry": 0}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"underlying": 0}, "underlying"),
        ({"underlying": 256}, "underlying"),
        ({"underlying": 2**256 - 1}, "underlying"),
        ({"kind": 4}, "kind"),
        ({"kind": 256 + CALL}, "kind"),
        ({"expiry": 0}, "expiry"),
        ({"expiry": 2**32}, "expiry"),
        ({**FUTURES, "expiry": 0}, "expiry"),
        ({**PERPS, "expiry": 1}, "expiry"),
        ({"strike": 0}, "strike"),
        ({"kind": PUT, "strike": 0}, "strike"),
        ({"strike": MAX_STRIKE + 1}, "strike"),
        ({"strike": 2**64 + 1}, "strike"),
        ({**FUTURES, "strike": 1}, "strike"),
        ({**PERPS, "strike": 1}, "strike"),
        ({"size": 0}, "size"),
        ({"size": MAX_SIZE + 1}, "size"),
        ({"size": -MAX_SIZE - 1}, "size"),
        ({"size": 2**255 - 1}, "size"),
    ],
)
def test_what_is_inadmissible_reverts_with_its_field(harness, now, changed, reason):
    with pytest.raises(RuntimeError, match=f"position: {reason}$"):
        pack(harness, now, [{**GOOD, **changed}[field] for field in FIELDS])


def test_the_least_integer_as_a_size_reverts(harness, now):
    # It has no absolute value: refused by the checked arithmetic, without a reason.
    with pytest.raises(RuntimeError, match="revert"):
        pack(harness, now, [{**GOOD, "size": -(2**255)}[field] for field in FIELDS])


@pytest.mark.parametrize("changed", [{}, FUTURES, PERPS, {"kind": PUT}])
def test_what_was_changed_above_was_admissible_before(harness, now, changed):
    assert pack(harness, now, [{**GOOD, **changed}[field] for field in FIELDS]) > 0
