"""What a methodology accepts, to the last unit, and the form in which it hands the scenarios out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from python_model import methodology
from scripts import chain
from tests.wide import integers

WAD = 10**18
MIN_VOL = WAD // 100

# Name, least and greatest admissible value, 1e-18.
BOUNDS = {
    "scan_range": (0, WAD),
    "vol_up": (0, 10 * WAD),
    "vol_down": (0, WAD),
    "vol_floor_up": (0, 10 * WAD),
    "vol_power_short": (0, WAD),
    "vol_power_long": (0, WAD),
    "tilt": (0, WAD - 1),
    "calendar": (0, WAD),
    "vega_calendar": (0, WAD),
    "som": (0, WAD),
    "flat": (0, 100 * WAD),
    "h_delta": (0, WAD),
    "depth_delta": (WAD, 10**15 * WAD),
    "h_vega": (0, 100 * WAD),
    "depth_vega": (WAD, 10**15 * WAD),
    "initial_factor": (WAD, 2 * WAD),
}
NAMES = {"BTC": 1, "ETH": 2}
HOUSE = chain.methodology_arguments(methodology.load("house"), NAMES)[0]
ONE = [(0, 0, 0, WAD)]

Row = Sequence[int]
Build = Callable[[Row, Sequence[Row], Sequence[Row]], Any]


@pytest.fixture(scope="module")
def build(project_contracts: Any, ape_chain: Any) -> Build:
    """`compiled()` of a methodology with these arguments, or RuntimeError with the reason.

    The constructor runs in an `eth_call`, which returns the code; a second one asks that code. No state changes.
    """
    container, provider = project_contracts.Methodology, ape_chain.provider
    abi = next(method for method in container.contract_type.view_methods if method.name == "compiled")
    address, selector = "0x" + "11" * 20, "0x" + keccak(text=abi.selector)[:4].hex()

    def call(*arguments: Any) -> bytes:
        answer = provider.web3.provider.make_request("eth_call", [*arguments])
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def run(parameters: Row, groups: Sequence[Row], scenarios: Sequence[Row]) -> Any:
        constructor = container.constructor
        data = bytes(constructor.deployment_bytecode) + bytes(constructor.encode_input(parameters, groups, scenarios))
        code = call({"data": "0x" + data.hex()}, "latest")
        result = call({"to": address, "data": selector}, "latest", {address: {"code": code}})
        return provider.network.ecosystem.decode_returndata(abi, bytes.fromhex(result[2:]))[0]

    return run


def with_parameters(**changed: int) -> tuple[int, ...]:
    return tuple(changed.get(field, old) for field, old in zip(BOUNDS, HOUSE, strict=True))


def with_parameter(name: str, value: int) -> tuple[int, ...]:
    """Half-spreads at which any depth will do, and depths at which any half-spread will."""
    free = {"h_delta": 0, "h_vega": 0} if name.startswith("depth") else {}
    deep = {"depth_delta": 10**15 * WAD, "depth_vega": 10**15 * WAD} if name.startswith("h_") else {}
    return with_parameters(**free | deep | {name: value})


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOUNDS)
def test_parameters_at_their_bounds(build, name):
    for value in BOUNDS[name]:
        assert getattr(build(with_parameter(name, value), [], ONE).parameters, name) == value


@pytest.mark.parametrize("name", BOUNDS)
def test_parameters_beyond_their_bounds(build, name):
    least, greatest = BOUNDS[name]
    for value in (least - 1, -(2**255), greatest + 1, 2**255 - 1):
        with pytest.raises(RuntimeError, match=f"methodology: {name}$"):
            build(with_parameter(name, value), [], ONE)


@pytest.mark.parametrize(
    ("spread", "depth", "least"), [("h_delta", "depth_delta", 4 * 10**7), ("h_vega", "depth_vega", 4000)]
)
def test_a_half_spread_wants_its_depth(build, spread, depth, least):
    """Else the cost of the largest book would overflow."""
    build(with_parameters(**{spread: WAD, depth: least * WAD}), [], ONE)
    with pytest.raises(RuntimeError, match=f"methodology: {spread} for its depth$"):
        build(with_parameters(**{spread: WAD, depth: least * WAD - 1}), [], ONE)
    assert methodology.LEAST_DEPTH[spread] == (depth, least)


def test_the_model_accepts_no_parameter_that_the_contract_refuses():
    assert (methodology.MAX_GROUPS, methodology.MAX_COVERED_RISE) == (8, 4)
    for name, (low, high) in methodology.PARAMETERS.items():
        least, greatest = BOUNDS[name]
        assert least <= chain.wad(float(low)) <= chain.wad(float(high)) <= greatest


@pytest.mark.parametrize(
    "row",
    [
        (4 * WAD, WAD, WAD, WAD),
        (-100 * WAD, -WAD, -WAD, WAD),
        (100 * WAD, 0, 0, WAD // 25),
        (0, 0, 0, 1),
        (8 * WAD, 0, 0, WAD // 2),
    ],
)
def test_scenarios_at_their_bounds(build, row):
    compiled = build(HOUSE, [], [row])
    assert (compiled.scenarios, list(compiled.moves)) == (1, [row[0]])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((100 * WAD + 1, 0, 0, 1), "x"),
        ((-100 * WAD - 1, 0, 0, WAD), "x"),
        ((0, WAD + 1, 0, WAD), "y"),
        ((0, -WAD - 1, 0, WAD), "y"),
        ((0, 0, WAD + 1, WAD), "z"),
        ((0, 0, -WAD - 1, WAD), "z"),
        ((0, 0, 0, 0), "g"),
        ((0, 0, 0, -1), "g"),
        ((0, 0, 0, WAD + 1), "g"),
        ((4 * WAD + 1, 0, 0, WAD), r"g \* x above 4"),
        ((100 * WAD, 0, 0, WAD // 25 + 1), r"g \* x above 4"),
    ],
)
def test_scenarios_beyond_their_bounds(build, row, reason):
    for scenarios in ([row], [*ONE, row]):
        with pytest.raises(RuntimeError, match=f"methodology: {reason}$"):
            build(HOUSE, [], scenarios)


@pytest.mark.parametrize("field", range(3))
def test_the_least_integer_in_a_scenario_reverts(build, field):
    row = [0, 0, 0, WAD]
    row[field] = -(2**255)
    with pytest.raises(RuntimeError, match="revert"):
        build(HOUSE, [], [row])


def test_one_to_64_scenarios(build):
    rows = [(i * WAD // 16, 0, 0, WAD) for i in range(65)]
    with pytest.raises(RuntimeError, match=r"methodology: scenarios$"):
        build(HOUSE, [], [])
    assert build(HOUSE, [], rows[:64]).scenarios == 64
    # More than the type holds: the decoder refuses them without a reason.
    with pytest.raises(RuntimeError, match="revert"):
        build(HOUSE, [], rows)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([(1, 0)], "group members"),
        ([(0b111, 0)], "group members"),
        ([(0b110, 0), (0b1100, 0)], "group members"),
        ([(0b10, 0), (0b100, 0), (0b10, 0)], "group members"),
        ([(0b110, WAD + 1)], "group credit"),
        ([(0b110, -1)], "group credit"),
    ],
)
def test_groups_that_are_refused(build, groups, reason):
    with pytest.raises(RuntimeError, match=f"methodology: {reason}$"):
        build(HOUSE, groups, ONE)


def test_groups_at_their_bounds(build):
    groups = [(0b110, 0), (0b1000, WAD), (2**255, WAD // 2), *((1 << i, i) for i in range(10, 15))]
    assert [tuple(group) for group in build(HOUSE, groups, ONE).groups] == groups
    with pytest.raises(RuntimeError, match="revert"):
        build(HOUSE, [*groups, (1 << 20, 0)], ONE)


# --- compiled --------------------------------------------------------------------------------------------------------


def signed(number: int) -> int:
    number %= 2**72
    return number - 2**72 if number >= 2**71 else number


def scenarios_of(compiled: Any) -> dict[int, tuple[int, int, int, int, int]]:
    """By scenario index: x, relative vol move, tilt, least vol and covered fraction, as the engine will read them."""
    rungs, found = iter(compiled.rungs), {}
    for fields in compiled.passes:
        first, behind, run = (fields >> 16) & 255, (fields >> 8) & 255, fields & 255
        # Slots 0 to 7, 8, and 9 to 12 are worked off whole; the last of them may be without a move.
        assert (first, run) in {(0, 13), (0, 9), (0, 8), (8, 13), (9, 13), (8, 9)}
        assert first < behind <= run
        previous = -1
        for _ in range(behind - first):
            rung = next(rungs)
            move = (rung >> 8) & 255
            assert rung & 255 not in found
            assert move >= previous, "moves of a pass do not ascend"
            previous = move
            vol = signed(fields >> 168), signed(fields >> 96), (fields >> 24) % 2**72
            found[rung & 255] = (compiled.moves[move], *vol, rung >> 16)
    assert next(rungs, None) is None
    moves = [(rung >> 8) & 255 for rung in compiled.rungs]
    assert list(compiled.order) == [sum(move << 8 * i for i, move in enumerate(moves[w : w + 32])) for w in (0, 32)]
    return found


def toward_zero(a: int, b: int) -> int:
    return abs(a) // b if a >= 0 else -(abs(a) // b)


def expected(parameters: dict[str, int], row: Row) -> tuple[int, int, int, int, int]:
    x, y, z, g = row
    up = y > 0
    return (
        x,
        toward_zero(y * parameters["vol_up" if up else "vol_down"], WAD),
        toward_zero(z * parameters["tilt"], WAD),
        max(MIN_VOL, parameters["vol_floor_up"]) if up else MIN_VOL,
        g,
    )


fractions = st.one_of(st.sampled_from([-WAD, 0, WAD]), integers(-WAD, WAD))
rows = st.tuples(
    st.one_of(st.sampled_from([-WAD, 0, WAD, 4 * WAD]), integers(-100 * WAD, 4 * WAD)),
    fractions,
    fractions,
    st.one_of(st.just(WAD), integers(1, WAD)),
)
parameters = st.fixed_dictionaries({name: integers(*bounds) for name, bounds in BOUNDS.items()}).map(
    lambda p: p | {depth: max(p[depth], p[spread] * int(n)) for spread, (depth, n) in methodology.LEAST_DEPTH.items()}
)


def moving(scenarios: Sequence[Row]) -> dict[int, Row]:
    """By index, all but those without any move, which have no P&L."""
    return {i: row for i, row in enumerate(scenarios) if tuple(row[:3]) != (0, 0, 0)}


@given(parameters=parameters, scenarios=st.lists(rows, min_size=1, max_size=64))
def test_compiled_says_what_the_list_says(build, parameters, scenarios):
    given = {name: parameters[name] for name in BOUNDS}
    compiled = build(tuple(given.values()), [], scenarios)
    assert scenarios_of(compiled) == {i: expected(given, row) for i, row in moving(scenarios).items()}
    assert compiled.scenarios == len(scenarios)
    assert tuple(compiled.parameters) == tuple(given.values())
    # One move for each price: its logarithm is taken once.
    assert list(compiled.moves) == sorted({row[0] for row in scenarios})


@pytest.mark.parametrize("count", range(1, 65))
def test_no_scenario_of_a_long_ladder_is_lost(build, count):
    """And no more than two slots of a pass stay without a move."""
    scenarios = [(i * WAD // 16, WAD, 0, WAD) for i in range(count)]
    compiled = build(HOUSE, [], scenarios)
    assert len(scenarios_of(compiled)) == count
    assert all((fields & 255) - (fields >> 8 & 255) <= 2 for fields in compiled.passes)


@pytest.mark.parametrize("name", methodology.names())
def test_presets_are_accepted_as_they_are(build, name):
    values, groups, scenarios = chain.methodology_arguments(methodology.load(name), NAMES)
    compiled = build(values, groups, scenarios)
    by_name = dict(zip(BOUNDS, values, strict=True))
    assert scenarios_of(compiled) == {i: expected(by_name, row) for i, row in moving(scenarios).items()}
    assert compiled.scenarios == len(scenarios)
    assert [tuple(group) for group in compiled.groups] == groups


def test_the_house_grid_of_33_takes_five_passes(build):
    compiled = build(*chain.methodology_arguments(methodology.load("house"), NAMES))
    assert compiled.scenarios == 33
    # Thirteen moves with vol up, extremes included, nine with vol down, eight that leave it, and two tilts.
    assert sorted((fields >> 8 & 255) - (fields >> 16 & 255) for fields in compiled.passes) == [1, 1, 8, 9, 13]
    # The scenario without any move is left out.
    assert (len(compiled.rungs), len(compiled.moves)) == (32, 13)


def test_a_deployed_methodology_answers_the_same(build, project_contracts, deployer):
    arguments = chain.methodology_arguments(methodology.load("house"), NAMES)
    assert deployer.deploy(project_contracts.Methodology, *arguments).compiled() == build(*arguments)
