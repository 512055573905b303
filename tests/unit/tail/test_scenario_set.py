"""What a scenario set accepts, to the last unit, and the form in which it hands its rows out (M-18)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model.scenario_set import hashed, words
from tests.wide import integers

MAX_X, MIN_Y, MAX_Y = 50 * 10**6, -950_000, 10 * 10**6

returns = st.one_of(integers(-MAX_X, MAX_X), st.sampled_from([-MAX_X, MAX_X, 0, -1, 1]))
vol_moves = st.one_of(integers(MIN_Y, MAX_Y), st.sampled_from([MIN_Y, MAX_Y, 0, -1, 1]))


@st.composite
def sets(draw: st.DrawFn) -> tuple[int, list[int], list[tuple[list[int], list[int]]]]:
    """Count, ids and the x and y of each."""
    count = draw(st.integers(1, 12))
    ids = sorted(draw(st.lists(st.integers(1, 255), min_size=1, max_size=8, unique=True)))
    many = {"min_size": count, "max_size": count}
    return count, ids, [(draw(st.lists(returns, **many)), draw(st.lists(vol_moves, **many))) for _ in ids]


def unpacked(packed: list[int], count: int) -> tuple[list[int], list[int]]:
    """x and y of rows, as the interface says and not as the packing does."""

    def signed(field: int) -> int:
        return field - 2**32 if field >> 31 else field

    fields = [(packed[i // 4] >> 64 * (i % 4)) & (2**64 - 1) for i in range(count)]
    return [signed(field >> 32) for field in fields], [signed(field & (2**32 - 1)) for field in fields]


@given(drawn=sets())
def test_what_goes_in_comes_out(build, drawn):
    count, ids, columns = drawn
    packed = [words(x, y) for x, y in columns]
    view = build("ScenarioSet", count, ids, packed)
    assert (view("count"), list(view("underlyings"))) == (count, ids)
    for i, column in zip(ids, columns, strict=True):
        assert unpacked(list(view("rows", i)), count) == column
    assert "0x" + bytes(view("digest")).hex() == hashed(count, ids, packed)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 250, 255, 256])
def test_eight_underlyings_of_many_rows(build, count):
    columns = [([i * 1000 + u for i in range(count)], [u - i for i in range(count)]) for u in range(8)]
    view = build("ScenarioSet", count, list(range(1, 9)), [words(*column) for column in columns])
    for u, column in enumerate(columns):
        got = list(view("rows", u + 1))
        assert len(got) == -(-count // 4)
        assert unpacked(got, count) == column


def test_an_underlying_that_it_lacks_has_no_rows(build):
    view = build("ScenarioSet", 1, [2, 7], [words([1], [1])] * 2)
    assert [len(view("rows", u)) for u in (0, 1, 2, 3, 7, 8, 255, 2**256 - 1)] == [0, 0, 1, 0, 1, 0, 0, 0]


def test_digest_tells_any_change(build):
    one = words([1, 2, 3, 4, 5], [0] * 5)
    digests = {
        bytes(build("ScenarioSet", *arguments)("digest"))
        for arguments in (
            (5, [1, 2], [one, one]),
            (6, [1, 2], [one, one]),
            (5, [1, 3], [one, one]),
            (5, [1], [one]),
            (5, [1, 2], [one, words([1, 2, 3, 4, 6], [0] * 5)]),
            (5, [1, 2], [one, words([1, 2, 3, 4, 5], [0, 1, 0, 0, 0])]),
        )
    }
    assert len(digests) == 6


ROW = words([0], [0])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0, [1], [[]]), "count"),
        ((257, [1], [[0] * 64]), "count"),
        ((2**256 - 1, [1], [[0] * 64]), "count"),
        ((1, [], []), "underlyings"),
        ((1, [0], [ROW]), "underlyings"),
        ((1, [256], [ROW]), "underlyings"),
        ((1, [2, 2], [ROW, ROW]), "underlyings"),
        ((1, [3, 2], [ROW, ROW]), "underlyings"),
        ((1, [1, 2], [ROW]), "rows"),
        ((1, [1], [ROW, ROW]), "rows"),
        ((5, [1], [[0]]), "rows"),
        ((4, [1], [[0, 0]]), "rows"),
        ((1, [1], [words([MAX_X + 1], [0])]), "x"),
        ((1, [1], [words([-MAX_X - 1], [0])]), "x"),
        ((1, [1], [words([-(2**31)], [0])]), "x"),
        ((6, [1, 2], [words([0] * 6, [0] * 6), words([0, 0, 0, 0, 0, MAX_X + 1], [0] * 6)]), "x"),
        ((1, [1], [words([0], [MIN_Y - 1])]), "y"),
        ((1, [1], [words([0], [MAX_Y + 1])]), "y"),
        ((1, [1], [words([0], [2**31 - 1])]), "y"),
        ((1, [1], [words([0, 1], [0, 0])]), "padding"),
        ((3, [1], [words([0] * 4, [0, 0, 0, 1])]), "padding"),
    ],
)
def test_refusals_name_the_field(build, arguments: Any, field: str):
    with pytest.raises(RuntimeError, match=f"scenario set: {field}$"):
        build("ScenarioSet", *arguments)
