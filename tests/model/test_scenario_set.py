"""Scenario sets: what they refuse, their packing and digest, their file, and the made-up set."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from python_model import scenario_set
from python_model.scenario_set import ScenarioSet, ScenarioSetError, digest_of, packed, read, render, synthetic

X = [[-1.5, 2.0], [0.25, -0.000001], [0.0, 50.0], [3.0, -50.0], [1.0, 1.0]]
Y = [[0.1, -0.95], [-0.000001, 10.0], [0.0, 0.0], [0.5, 0.25], [-0.5, 0.0]]
DATES = ("2020-03-12", "2021-05-19", "2022-06-13", "2022-11-08", "2024-08-05")
SMALL = ScenarioSet("small", "2", ("ETH", "BTC"), DATES, X, Y)

rows = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        st.lists(st.tuples(*[st.integers(-50_000_000, 50_000_000)] * 2), min_size=n, max_size=n),
        st.lists(st.tuples(*[st.integers(-950_000, 10_000_000)] * 2), min_size=n, max_size=n),
    )
)


def made(table) -> ScenarioSet:
    """A set from integers in 1e-6."""
    x, y = (np.array(part) / 1e6 for part in table)
    return ScenarioSet("drawn", "1", ("ETH", "BTC"), tuple(f"{i:03d}" for i in range(len(x))), x, y)


# --- what a set is ---------------------------------------------------------------------------------------------------


def test_rows_are_rounded_to_a_millionth_and_cannot_be_written():
    given_x = np.array([[0.12345649, -0.0000005]])
    s = ScenarioSet("a", "1", ("ETH", "BTC"), ("1",), given_x, np.array([[0.1, 0.2]]))
    assert s.x.tolist() == [[0.123456, 0.0]]
    given_x[0, 0] = 7.0
    assert s.x[0, 0] == 0.123456
    with pytest.raises(ValueError, match="read-only"):
        s.x[0, 0] = 1.0
    with pytest.raises(FrozenInstanceError):
        s.name = "b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name: must be one line"),
        ({"name": "a\n# version: 3"}, "name: must be one line"),
        ({"version": "1,2"}, "version: must be one line"),
        ({"underlyings": ()}, "underlyings: must be 1 to 255 (got 0)"),
        ({"underlyings": ("ETH", "ETH")}, "underlyings[1]: must be a name, each once (got 'ETH')"),
        ({"underlyings": ("ETH",)}, "x: must have 5 rows of 1"),
        ({"dates": ()}, "dates: must be 1 to 256 (got 0)"),
        ({"dates": tuple(f"{i:03d}" for i in range(257))}, "dates: must be 1 to 256 (got 257)"),
        ({"dates": (*DATES[:3], DATES[2], DATES[4])}, "dates[3]: must be a date after the one before"),
        ({"dates": DATES[:4]}, "x: must have 4 rows of 2"),
        ({"x": [[50.000001, 0]] * 5}, "x[0][0]: must be from -50 to 50"),
        ({"x": [[0, 0], [0, float("nan")], *[[0, 0]] * 3]}, "x[1][1]: must be from -50 to 50 (got nan)"),
        ({"x": [[0, -float("inf")]] * 5}, "x[0][1]: must be"),
        ({"x": [[0, 0], [0]]}, "x: must be rows of numbers"),
        ({"x": [0, 0]}, "x: must have rows and underlyings"),
        ({"y": [[0, -0.950001]] * 5}, "y[0][1]: must be from -0.95 to 10"),
        ({"y": [[10.000001, 0]] * 5}, "y[0][0]: must be from -0.95 to 10"),
        ({"y": [[0, 0]] * 4}, "y: must have 5 rows of 2"),
    ],
)
def test_what_is_no_set_is_refused_by_field(change, message):
    with pytest.raises(ScenarioSetError, match="^" + re.escape(message)):
        replace(SMALL, **change)


# --- packing and digest ----------------------------------------------------------------------------------------------


def test_words_are_packed_from_the_lowest_bit():
    first, second = packed(SMALL, "ETH")
    # Two's complement of -1,500,000 and so on, eight hexadecimal digits each.
    cells = ["ffe91ca0", "000186a0", "0003d090", "ffffffff", "00000000", "00000000", "002dc6c0", "0007a120"]
    pairs = [x + y for x, y in zip(cells[::2], cells[1::2], strict=True)]
    assert f"{first:064x}" == "".join(reversed(pairs))
    assert f"{second:064x}" == "0" * 48 + "000f4240" + "fff85ee0"


@given(rows)
def test_packing_can_be_undone(table):
    s = made(table)
    for column, name in enumerate(s.underlyings):
        words = packed(s, name)
        assert len(words) == -(-len(s) // 4)
        data = b"".join(word.to_bytes(32, "little") for word in words)
        cells = [int.from_bytes(data[i : i + 4], "little", signed=True) for i in range(0, len(data), 4)]
        assert cells[: 2 * len(s)] == [n for x, y in zip(*table, strict=True) for n in (y[column], x[column])]
        assert not any(cells[2 * len(s) :])


def test_the_digest_is_that_of_the_abi_encoding_by_hand():
    def word(n):
        return n.to_bytes(32, "big")

    eth, btc = packed(SMALL, "ETH"), packed(SMALL, "BTC")
    # Head: N, and where the two arrays begin; the ids; the rows, with where each of their two arrays begins.
    data = [5, 0x60, 0xC0, 2, 3, 9, 2, 0x40, 0xA0, 2, *eth, 2, *btc]
    assert digest_of(SMALL, (3, 9)) == "0x" + keccak(b"".join(map(word, data))).hex()
    data[4:6] = [1, 2]
    assert SMALL.digest == digest_of(SMALL) == "0x" + keccak(b"".join(map(word, data))).hex()


@given(rows, st.data())
def test_the_digest_knows_every_cell_and_no_name(table, data):
    s = made(table)
    dates = tuple(f"d{i:03d}" for i in range(len(s)))
    assert replace(s, name="other", version="9", dates=dates).digest == s.digest
    field = data.draw(st.sampled_from(["x", "y"]))
    row, column = data.draw(st.integers(0, len(s) - 1)), data.draw(st.integers(0, 1))
    cells = getattr(s, field).copy()
    cells[row, column] += -1e-6 if cells[row, column] > 0 else 1e-6
    assert replace(s, **{field: cells}).digest != s.digest


def test_a_row_of_zeros_is_not_the_padding_of_a_word():
    three, four = (ScenarioSet("a", "1", ("E",), tuple("1234"[:n]), np.zeros((n, 1)), np.zeros((n, 1))) for n in (3, 4))
    assert packed(three, "E") == packed(four, "E") and three.digest != four.digest


@pytest.mark.parametrize("ids", [(2, 1), (1,), (0, 1), (1, 1), (1, 2, 3)])
def test_ids_must_rise(ids):
    with pytest.raises(ScenarioSetError, match=r"^ids: must rise from 1, one for each underlying"):
        digest_of(SMALL, ids)


# --- files -----------------------------------------------------------------------------------------------------------


@given(table=rows)
def test_a_set_is_read_as_it_was_written(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("sets") / "set.csv"
    s = made(table)
    path.write_text(render(s, ["Where it is from."]), encoding="utf-8")
    got = read(path)
    assert (got.name, got.version, got.underlyings, got.dates) == (s.name, s.version, s.underlyings, s.dates)
    assert np.array_equal(got.x, s.x) and np.array_equal(got.y, s.y) and got.digest == s.digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# name: small\n", "", "name: is missing"),
        ("# version: 2\n", "", "version: is missing"),
        ("-1.500000", "-1.500001", "digest: is 0x"),
        ("-1.500000", "much", "ETH x[0]: must be a number (got 'much')"),
        ("-1.500000", "", "ETH x[0]: must be a number (got '')"),
        ("-1.500000", "nan", "ETH x[0]: must be a number (got 'nan')"),
        ("-1.500000", "-51", "x[0][0]: must be from -50 to 50"),
        ("-1.500000,", "", "row 0: must have 5 columns (got 4)"),
        ("BTC x,BTC y", "BTC y,BTC x", "date: columns must be date, then x and y of each"),
        ("date,", "day,", "date: columns must be date, then x and y of each"),
        ("2021-05-19,", "2019-05-19,", "dates[1]: must be a date after the one before"),
    ],
)
def test_a_file_that_is_no_set_is_refused_by_field(tmp_path, old, new, message):
    text = render(SMALL)
    assert old in text
    path = tmp_path / "set.csv"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ScenarioSetError, match=r"^set\.csv: " + re.escape(message)):
        read(path)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(ScenarioSetError, match=r"none\.csv: cannot be read"):
        read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioSetError, match=r"bytes\.csv: cannot be read"):
        read(tmp_path / "bytes.csv")
    (tmp_path / "head.csv").write_text("# name: a\n# version: 1\n", encoding="utf-8")
    with pytest.raises(ScenarioSetError, match=r"^head\.csv: date: is missing"):
        read(tmp_path / "head.csv")


# --- the made-up set -------------------------------------------------------------------------------------------------


def test_the_made_up_set_never_changes():
    assert synthetic().digest == "0x2ae2502e7575a433271d4e3106ea60adf114999b7b1ef7a2316a62bf05332ca1"
    assert synthetic(250).digest == synthetic().digest != synthetic(250, seed=1).digest
    assert len(synthetic(1)) == 1 and len(synthetic(scenario_set.MAX_ROWS)) == 256


def test_the_made_up_set_is_what_it_says():
    x, y = (np.concatenate([getattr(synthetic(256, seed), key) for seed in range(100)]) for key in ("x", "y"))
    assert np.mean(x**2, axis=0) == pytest.approx(1.0, abs=1e-5)
    # Of 25,600 rows: a correlation errs by (1 - r^2)/sqrt(n) of normals, of these tails by some times that.
    assert np.corrcoef(x.T)[0, 1] == pytest.approx(scenario_set.CORRELATION, abs=0.03)
    noise = y + scenario_set.VOL_OF_FALL * x
    # Deviation of a normal: 1/sqrt(2n) of itself, here within five of them.
    assert np.std(noise, axis=0) == pytest.approx(scenario_set.VOL_NOISE, rel=5 / np.sqrt(2 * len(x)))
    assert abs(np.corrcoef(noise[:, 0], x[:, 0])[0, 1]) < 5 / np.sqrt(len(x))
    # A normal goes beyond four deviations once in 16,000 days, these do once in 200.
    assert 0.002 < np.mean(np.abs(x) > 4.0) < 0.01
