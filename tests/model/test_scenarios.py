"""The grid: presets, shocks, and the fast path against the scalar reference."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from python_model import exposure, methodology, scenarios
from python_model.margin import assess
from python_model.portfolio import Kind
from tests.model import reference
from tests.model.books import MARKET, books, option

HOUSE = methodology.load("house")


def test_house_has_33_scenarios_in_order():
    rows = list(zip(HOUSE.x, HOUSE.y, HOUSE.z, HOUSE.g, strict=True))
    ladder = [0, 0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1, -1]
    assert rows[:27] == [(x, y, 0, 1) for y in (1, 0, -1) for x in ladder]
    assert rows[27:] == [
        (2, 1, 0, 0.5),
        (-2, 1, 0, 0.5),
        (4, 1, 0, 0.25),
        (-4, 1, 0, 0.25),
        (0, 0, 1, 1),
        (0, 0, -1, 1),
    ]


def test_presets_move_the_price_as_documented():
    moves = {n: 100 * (scenarios.price_multiples(methodology.load(n), 0.3) - 1) for n in methodology.grids()}
    assert sorted(moves["tims"]) == pytest.approx([-15, -12, -9, -6, -3, 3, 6, 9, 12, 15])
    assert sorted(set(moves["deribit"].round(9))) == [
        -66,
        -33,
        -16,
        -12,
        -8,
        -4,
        0,
        4,
        8,
        12,
        16,
        50,
        100,
        200,
        300,
        400,
        500,
    ]
    assert moves["span"] == pytest.approx([0, 0, 10, 10, -10, -10, 20, 20, -20, -20, 30, 30, -30, -30, 60, -60])
    deribit = methodology.load("deribit")
    assert deribit.g[-8:] * abs(moves["deribit"][-8:]) == pytest.approx([16] * 8, rel=1e-9)


def test_price_is_floored():
    assert scenarios.price_multiples(HOUSE, 0.4)[30] == 0.05


def test_vol_time_factor():
    h = scenarios.vol_time_factor(np.array([0, 1, 30, 60, 365]) / 365, HOUSE)
    assert h == pytest.approx([30**0.3, 30**0.3, 1, 0.5**0.13, (30 / 365) ** 0.13])


@given(book=books, name=st.sampled_from(methodology.grids()))
def test_grid_agrees_with_the_scalar_reference(book, name):
    method = methodology.load(name)
    for u, pnl in assess(book, MARKET, method).scenario_pnl.items():
        gross = sum(
            abs(p.size) * (MARKET.underlyings[u].spot + (p.strike or 0)) for p in book.positions if p.underlying == u
        )
        gross += sum(c.amount * c.price for c in book.collateral if c.underlying == u)
        # Rounding of F N(d1) and K N(d2) at the largest price move (six times spot).
        assert pnl == pytest.approx(reference.scenario_pnl(book, MARKET, method, u), abs=1e-12 * gross)


@given(st.integers(0, 2**32 - 1))
def test_batch_agrees_with_one_account_at_a_time(seed):
    random = np.random.default_rng(seed)
    count = 3 * scenarios.BLOCK
    kinds = random.choice([Kind.CALL, Kind.PUT], 8)
    legs = [option("ETH", kind, 30, m, 1.0) for kind, m in zip(kinds, random.uniform(0.5, 2, 8).round(2), strict=True)]
    few = exposure.option_legs(legs, MARKET)
    pick = random.integers(0, 8, count)
    many = scenarios.OptionLegs(*(getattr(few, n)[pick] for n in scenarios.OptionLegs.__annotations__))
    sizes = random.normal(size=count)
    starts = np.flatnonzero(random.random(count) < 0.02)
    starts = np.unique(np.append(0, starts))
    linear = random.normal(size=starts.size)
    multiples = scenarios.price_multiples(HOUSE, 0.16)
    pnl = scenarios.batch_pnl(many, sizes, starts, linear, multiples, HOUSE, workers=2)
    cells = scenarios.grid_cells(few, multiples, HOUSE)[:, pick] * sizes
    for account, (low, high) in enumerate(zip(starts, [*starts[1:], count], strict=True)):
        expected = HOUSE.g * (cells[:, low:high].sum(axis=1) + (multiples - 1) * linear[account])
        np.testing.assert_allclose(pnl[:, account], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenarios": []}, "scenarios: must be a list of 1 to 64 rows"),
        ({"scenarios": [["0", "0", "0", "1"]] * 65}, "scenarios: must be"),
        ({"scenarios": [["0", "2", "0", "1"]]}, r"scenarios\[0\].y: must be between -1 and 1"),
        ({"scenarios": [["0", "0", "0", "0"]]}, r"scenarios\[0\].g"),
        ({"scenarios": [["nan", "0", "0", "1"]]}, r"scenarios\[0\].x"),
        ({"scenarios": [["10", "0", "0", "0.5"]]}, r"scenarios\[0\]: g \* x must be at most 4"),
        ({"groups": [{"members": [str(i)], "credit": "0"} for i in range(9)]}, "groups: must be at most 8"),
        ({"extra": 1}, "extra: unknown field"),
        ({"groups": [{"members": ["ETH", "ETH"], "credit": "0.5"}]}, r"groups\[0\].members"),
        ({"groups": [{"members": ["ETH"], "credit": "1.5"}]}, r"groups\[0\].credit"),
        ({"tail": 0.99}, "tail: must have alpha and horizon_days"),
        ({"tail": {"alpha": "0.99"}}, "tail: must have alpha and horizon_days"),
        ({"tail": {"alpha": "1", "horizon_days": "1"}}, r"tail.alpha: must be between 0.5 and 0.9999 \(got 1\)"),
        ({"tail": {"alpha": "0.99", "horizon_days": "31"}}, r"tail.horizon_days: must be between 0.00002 and 30"),
        ({"base": "hous"}, "unknown methodology 'hous'"),
    ],
)
def test_bad_methodologies_are_refused(change, message):
    names = methodology.PARAMETERS
    raw = {"name": "x", "groups": [], "parameters": dict.fromkeys(names, "1"), "scenarios": [["0", "0", "0", "1"]]}
    raw["parameters"] |= {"tilt": "0.2", "depth_delta": "4e7", "depth_vega": "4000"}
    methodology.parse(raw)
    with pytest.raises(methodology.MethodologyError, match=message):
        methodology.parse(raw | change)


@pytest.mark.parametrize(("spread", "depth", "least"), [("h_delta", "depth_delta", 4e7), ("h_vega", "depth_vega", 4e3)])
def test_a_half_spread_wants_its_depth(spread, depth, least):
    raw = yaml.safe_load((methodology.FOLDER / "house.yaml").read_text(encoding="utf-8"))
    raw["parameters"] |= {spread: "0.5", depth: least / 2}
    methodology.parse(raw)
    raw["parameters"][depth] = least / 2 - 1
    with pytest.raises(
        methodology.MethodologyError, match=f"parameters.{depth}: must be at least .* for this {spread}"
    ):
        methodology.parse(raw)


def test_initial_factor_is_at_least_one():
    raw = {"name": "x", "groups": [], "parameters": dict.fromkeys(methodology.PARAMETERS, "0"), "scenarios": []}
    raw["parameters"] |= {"depth_delta": "1", "depth_vega": "1"}
    with pytest.raises(methodology.MethodologyError, match=r"parameters.initial_factor"):
        methodology.parse(raw)


def test_a_preset_on_the_base_of_another_has_all_but_what_it_says():
    """`max` is the house with a tail, and `var` that without a grid."""
    house, larger, var = (methodology.load(name) for name in ("house", "max", "var"))

    def told(m: methodology.Methodology) -> dict[str, object]:
        grid = {key: getattr(m, key).tolist() for key in "xyzg"}
        return vars(m) | grid | {"name": "", "tail": None}

    assert told(larger) == told(house)
    assert told(var) == told(methodology.without_grid(house)) != told(house)
    assert house.tail is None and larger.tail == var.tail == methodology.TailTerms(alpha=0.99, horizon_days=1.0)
    assert methodology.grids() == ("deribit", "house", "span", "tims")


def test_unknown_methodology():
    with pytest.raises(methodology.MethodologyError, match="unknown methodology 'hous'"):
        methodology.load("hous")


@pytest.mark.parametrize(
    ("x", "y", "z", "g", "words"),
    [
        (1, 1, 0, 1, "+16%, vol +50%"),
        (-0.25, -1, 0, 1, "-4%, vol -30%"),
        (0, 0, -1, 1, "unmoved, vol unmoved, smile tilted towards low strikes"),
        (-100, 0, 0, 0.5, "-95%, vol unmoved, 50% of it counted"),
        (2, 0.5, 0, 1, "+32%, vol +25%"),
    ],
)
def test_a_scenario_in_words(x, y, z, g, words):
    raw = {"name": "one", "groups": [], "scenarios": [[str(v) for v in (x, y, z, g)]], "parameters": {}}
    raw["parameters"] = {key: low for key, (low, _) in methodology.PARAMETERS.items()}
    raw["parameters"] |= {"vol_up": "0.5", "vol_down": "0.3"}
    assert scenarios.in_words(methodology.parse(raw), 0, 0.16) == words
