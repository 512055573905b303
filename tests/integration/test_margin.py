"""The margin command: one result a case, one line a bad case, and no admissible case that the engine refuses."""

from __future__ import annotations

import copy
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ape.logging import logger
from click.testing import CliRunner, Result
from rich.console import Console

from python_model import case as cases
from python_model import methodology
from python_model.case import parse_case
from python_model.scenario_set import render
from scripts import chain, explanation, margin
from scripts.desk import VOL_STEP, AssessmentError, Desk, Outcome
from scripts.margin_figures import Bounds, Figure, money
from tests.differential.tail_comparison import draw, of_rows

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(__file__).parent / "cases"
GOOD = json.loads((CASES / "covered_call.json").read_text())
AS_OF, EXPIRY = GOOD["as_of"], 1_772_928_000
YEAR = 31_536_000
PRESETS = {name: methodology.load(name) for name in methodology.names()}
GRIDS = methodology.grids()
FIGURES = ("maintenance", "initial", "equity_maintenance", "equity_initial", "option_value")
DELETE = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good case with one field, named as in messages, set or taken out."""
    data = copy.deepcopy(GOOD)
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    node = data
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    key = int(last) if isinstance(node, list) else last
    if value is DELETE:
        del node[key]
    else:
        node[key] = value
    return data


def written(folder: Path, data: Any, name: str = "case.json") -> Path:
    """The case as a file."""
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as users run it, on a chain of its own."""
    ape = Path(sys.executable).with_name("ape")
    words = [ape, "run", "margin", *arguments, "--network", "ethereum:local:foundry"]
    return subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True, timeout=300)


def bounds(limits: cases.Range) -> tuple[str, str]:
    """Least and greatest admissible number; one step inside where the bound itself is not admissible."""
    step = limits.step if limits.step != "1e-30" else "3.2e-8"
    low = limits.low if limits.low is not None else str(cases.Decimal(limits.above or "0") + cases.Decimal(step))
    high = limits.high if limits.high is not None else str(cases.Decimal(limits.below or "0") - cases.Decimal(step))
    return low, high


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The command in this process, which fails the test where it asks for a chain."""

    def connected(*_: object) -> None:
        pytest.fail("a bad case must be found before a chain is started")

    def invoke(*arguments: object) -> Result:
        return CliRunner(mix_stderr=False).invoke(margin.cli, [str(word) for word in arguments])

    monkeypatch.setattr(margin, "connected", connected)
    with logger.at_level(logger.level):
        yield invoke


@pytest.fixture(scope="module")
def deployed(project_contracts: Any, deployer: Any) -> Desk:
    """Engines of every preset on this session's chain."""
    return Desk(project_contracts, deployer, PRESETS)


@pytest.fixture
def desk(deployed: Desk) -> Desk:
    """The engines, without what another test deployed besides: that is undone with the test."""
    mine = copy.copy(deployed)
    mine.shared = dict(deployed.shared)
    return mine


def assessed(desk: Desk, data: dict[str, Any], folder: Path | None = None) -> Outcome:
    """The outcome of a case, in which contract and model agree."""
    outcome = desk.assess(parse_case(json.dumps(data), folder))
    assert outcome.disagreements == []
    return outcome


# ---------------------------------------------------------------------------------------------- results


def check_side(side: dict[str, Any], underlyings: set[str], scenarios: int, rows: int | None) -> None:
    """Fields, lengths and plain numbers of one side of a result."""
    fields = {*FIGURES, "worst_scenario", "scenario_pnl", "greeks", "charges", "capital"}
    assert set(side) == fields | ({"tail"} if rows else set())
    if rows:
        tail = side["tail"]
        assert set(tail) == {"value_at_risk", "expected_shortfall", "worst_row", "worst_day"}
        assert tail["value_at_risk"] <= tail["expected_shortfall"]
        assert 0 <= tail["worst_row"] < rows and type(tail["worst_day"]) is str
    assert all(type(side[key]) in (int, float) for key in FIGURES)
    assert set(side["capital"]) == {"isolated", "cross", "portfolio"}
    assert all(type(value) is float and value >= 0 for value in side["capital"].values())
    for key in ("worst_scenario", "scenario_pnl", "greeks", "charges"):
        assert set(side[key]) == underlyings
    for u in underlyings:
        pnl = side["scenario_pnl"][u]
        assert len(pnl) == scenarios and all(type(value) is float for value in pnl)
        assert type(side["worst_scenario"][u]) is int
        assert pnl[side["worst_scenario"][u]] == min(pnl)
        assert set(side["greeks"][u]) == {"delta", "gamma", "vega", "theta", "rho"}
        charges = {"scan", "calendar", "vega_calendar", "short_option", "liquidity", "confidence"}
        assert set(side["charges"][u]) == charges
        assert all(type(v) is float for v in [*side["greeks"][u].values(), *side["charges"][u].values()])


def check_result(
    result: dict[str, Any], underlyings: set[str], legs: int, scenarios: int, rows: int | None = None
) -> None:
    """The whole format of a result, as `json` reads it; `rows` of a methodology with a tail."""
    fields = {"contract", "model", "max_abs_difference", "error_bound", "gas", "legs", "scenarios", "explanation"}
    assert set(result) == fields | ({"rows", "tail_count"} if rows else set())
    assert result.get("rows") == rows
    check_side(result["contract"], underlyings, scenarios, rows)
    check_side(result["model"], underlyings, scenarios, rows)
    explained = result["explanation"]
    assert set(explained) == {"waterfall", "worst", "worst_pnl", "legs", "packages"}
    assert all(set(row) == {"label", "amount", "unit", "total"} for row in explained["waterfall"])
    assert all(set(row) == {"leg", "amount"} for row in explained["legs"])
    requirement = result["model"]["maintenance"]
    assert sum(row["amount"] for row in explained["legs"]) == pytest.approx(requirement, rel=1e-9, abs=1e-9)
    assert (result["legs"], result["scenarios"]) == (legs, scenarios)
    assert set(result["gas"]) == {"assess"}
    if result["gas"]["assess"] is None:
        # With a tail, the largest books do not fit a block.
        assert rows and legs == 128
    else:
        # More than a transaction costs that does nothing.
        assert type(result["gas"]["assess"]) is int and result["gas"]["assess"] > 21_000
    assert type(result["max_abs_difference"]) is float and type(result["error_bound"]) is float


def test_the_command_prints_json_alone(tmp_path):
    out = tmp_path / "result.json"
    run = command(CASES / "covered_call.json", "--out", out, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert json.loads(out.read_text()) == result
    check_result(result, {"ETH"}, 3, 33)
    # Three calls of 2200 at a forward of 2006.6: 4e-9 * 3 * (2006.6 + 2200).
    assert result["error_bound"] == pytest.approx(4e-9 * 3 * (2006.6 + 2200), rel=1e-12)
    assert 0 < result["max_abs_difference"] <= result["error_bound"]
    for key in ("maintenance", "initial"):
        assert 0 <= result["contract"][key] - result["model"][key] <= result["error_bound"]


def test_the_command_on_a_folder_goes_on_after_a_bad_case(tmp_path):
    folder, out = tmp_path / "cases", tmp_path / "deep" / "results"
    folder.mkdir()
    written(folder, GOOD, "a.json")
    written(folder, changed("account.mode", "gross"), "b.json")
    written(folder, (CASES / "condor.json").read_text(), "c.json")
    written(folder, "no case", "notes.txt")
    run = command(folder, "--out", out)
    assert run.returncode == 1
    assert run.stderr.splitlines() == ['b.json: account.mode: unknown mode "gross" (known: isolated, cross, portfolio)']
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json", "c.json"]
    check_result(json.loads((out / "a.json").read_text()), {"ETH"}, 3, 33)
    bad = json.loads((out / "b.json").read_text())
    assert bad == {"error": 'account.mode: unknown mode "gross" (known: isolated, cross, portfolio)'}
    check_result(json.loads((out / "c.json").read_text()), {"BTC", "ETH"}, 5, 33)
    assert "a.json" in run.stdout and "INFO" not in run.stdout


def test_the_command_tells_a_bad_case_in_one_line(tmp_path):
    run = command(written(tmp_path, changed("account.positions[0].strike", 0)), "--out", tmp_path / "out.json")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr == "account.positions[0].strike: must be greater than 0 (got 0)\n"
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("mode", ["portfolio", "cross"])
def test_capital_of_every_mode_is_the_contracts_own_answer(desk, name, mode):
    outcome = assessed(desk, changed("account.mode", mode) | {"methodology": name})
    rows = None if name in GRIDS else 250
    check_result(json.loads(json.dumps(outcome.result)), {"ETH"}, 3, len(PRESETS[name]), rows)
    contract = outcome.result["contract"]
    capital = contract["capital"]
    assert capital[mode] == pytest.approx(max(0.0, contract["initial"] - contract["option_value"]), rel=1e-15)
    assert capital["cross"] >= capital["portfolio"] > 0
    assert capital["isolated"] >= capital["cross"]


def test_one_deployment_serves_case_after_case(desk):
    first = assessed(desk, GOOD).result
    other = changed("market.ETH.spot", 1500)
    other["market"]["DOGE"] = other["market"]["ETH"] | {"spot": 0.1, "perp_mark": 0.1}
    other["account"]["positions"][2]["underlying"] = "DOGE"
    assert set(assessed(desk, other).result["contract"]["greeks"]) == {"DOGE", "ETH"}
    again = assessed(desk, GOOD).result
    assert again["contract"] == first["contract"]


def test_an_empty_account_needs_nothing(desk):
    data = changed("account.positions", [])
    data["account"]["collateral"] = []
    result = assessed(desk, data).result
    check_result(result, set(), 0, 33)
    assert result["contract"]["initial"] == 0.0
    assert result["contract"]["equity_initial"] == 10_000.0


def test_legs_of_one_instrument_are_one(desk):
    data = changed("account.positions", GOOD["account"]["positions"][:1] * 2)
    assert assessed(desk, data).result["legs"] == 1


def test_a_model_with_other_numbers_is_found_out(desk):
    """The comparison can fail: the engine's methodology has another vol range than the model's."""
    off = methodology.load("house")
    object.__setattr__(off, "vol_up", 0.501)
    deployed = desk.presets
    desk.presets = deployed | {"house": off}
    try:
        found = desk.assess(parse_case(json.dumps(changed("account.collateral", [])))).disagreements
    finally:
        desk.presets = deployed
    assert any(line.startswith("DISAGREEMENT: maintenance margin: contract") for line in found)
    assert any("ETH: P&L of scenario" in line for line in found)


def test_a_disagreement_is_loud(tmp_path, offline, monkeypatch):
    figure = Figure("maintenance margin", "USD", 1.0, 2.0, 0.1, 0.1)

    def perform(jobs: list[margin.Job], *_: object) -> list[Any]:
        return [(job, Outcome({"contract": {}}, [figure])) for job in jobs]

    monkeypatch.setattr(margin, "perform", perform)
    run = offline(written(tmp_path, GOOD), "--json")
    assert run.exit_code == 1
    assert run.stderr.startswith("DISAGREEMENT: maintenance margin: contract 1.0, model 2.0, off by -1.000e+00 USD")


@pytest.mark.parametrize("key", ["maintenance", "initial"])
def test_a_requirement_below_the_models_disagrees_within_the_error_bound(desk, key):
    outcome = assessed(desk, GOOD)
    bounds = Bounds.of(*book_of(GOOD), PRESETS["house"])
    low = copy.deepcopy(outcome.result["contract"])
    low[key] = outcome.result["model"][key] - 0.01 * outcome.result["error_bound"]
    assert any(figure.disagrees for figure in money(low, outcome.result["model"], bounds))


def book_of(data: dict[str, Any]) -> tuple[Any, Any]:
    """Book and market of a case."""
    case = parse_case(json.dumps(data))
    return case.book, case.market


# ---------------------------------------------------------------------------------------------- tails

WHAT_IF = json.loads((CASES / "what_if.json").read_text())


@pytest.mark.parametrize("scan_range", ["1e-12", 0.16, 1])
@pytest.mark.parametrize("daily_vol", [*bounds(cases.DAILY_VOL), "0.031234567891"])
def test_the_chain_has_the_volatility_of_the_case(desk, scan_range, daily_vol):
    eth = GOOD["market"]["ETH"] | {"scan_range": scan_range, "daily_vol": daily_vol}
    case = parse_case(json.dumps(GOOD | {"methodology": "max", "market": {"ETH": eth}}))
    deployment = desk.deployment(case)
    chain.publish(deployment, case.market, desk.now())
    u = chain.learnt(deployment, case.market).underlyings["ETH"]
    assert u.daily_vol == pytest.approx(float(daily_vol), rel=0, abs=VOL_STEP)
    assert deployment.market_data.dynamics(deployment.names["ETH"]).scan_range == chain.scaled(float(scan_range), 12)
    assert desk.learnt(deployment, case).market.underlyings["ETH"] == u


def test_a_tail_twice_as_wild_loses_twice(desk):
    """A perpetual's loss is proportional to volatility, and each case has its own, one after the other."""
    data = changed("account.positions", GOOD["account"]["positions"][2:])
    data["account"]["collateral"] = []
    found = []
    for vol in (0.02, 0.04, 0.02):
        data["market"]["ETH"]["daily_vol"] = vol
        for name in ("var", "max"):
            found.append(assessed(desk, data | {"methodology": name}).result["contract"])
    shortfall = [side["tail"]["expected_shortfall"] for side in found]
    assert shortfall[2] == pytest.approx(2 * shortfall[0], rel=1e-9)
    assert shortfall == [shortfall[i] for i in (0, 0, 2, 2, 0, 0)]
    # Of the max, the grid's 16% is the larger at 2% a day; of the var, the tail alone counts.
    var, both = found[0], found[1]
    assert both["maintenance"] > 1.5 * var["maintenance"]
    assert var["charges"]["ETH"]["scan"] == 0.0 and both["charges"]["ETH"]["scan"] > 0.0
    liquidity = var["charges"]["ETH"]["liquidity"]
    assert var["maintenance"] == pytest.approx(shortfall[0] + liquidity, rel=1e-12)


def test_a_model_with_another_volatility_is_found_out(desk, monkeypatch):
    def off(self: Desk, deployment: Any, case: cases.Case, true: Any = Desk.learnt) -> cases.Case:
        case = true(self, deployment, case)
        rows = {n: replace(u, daily_vol=1.000001 * u.daily_vol) for n, u in case.market.underlyings.items()}
        return replace(case, market=replace(case.market, underlyings=rows))

    monkeypatch.setattr(Desk, "learnt", off)
    found = desk.assess(parse_case(json.dumps(WHAT_IF))).disagreements
    assert any(line.startswith("DISAGREEMENT: value at risk: contract") for line in found)
    assert any(line.startswith("DISAGREEMENT: expected shortfall: contract") for line in found)


def test_a_chain_with_another_volatility_is_an_error(desk, monkeypatch):
    monkeypatch.setattr(chain, "begin_volatility", lambda *_: None)
    data = changed("market.ETH.daily_vol", 0.03) | {"methodology": "var"}
    wanted = r"^chain: market\.ETH\.daily_vol: is 0\.0457\d+ on the chain \(wanted 0\.03\)"
    with pytest.raises(AssessmentError, match=wanted):
        desk.assess(parse_case(json.dumps(data)))


# ---------------------------------------------------------------------------------------------- explanation, what if

HEDGE = {"name": "hedge", "positions": [{"underlying": "ETH", "kind": "perp", "size": -2}]}


def test_the_command_tries_packages(tmp_path):
    hedge = written(
        tmp_path, {"name": "more", "positions": [{"underlying": "BTC", "kind": "perp", "size": "0.3"}]}, "m"
    )
    run = command(CASES / "what_if.json", "--package", hedge, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    check_result(result, {"BTC", "ETH"}, 3, 33, 250)
    assert result["tail_count"] == 3
    wings, withdrawal, more = result["explanation"]["packages"]
    assert [p["name"] for p in (wings, withdrawal, more)] == ["wings", "withdrawal", "more"]
    assert wings["cash"] < 0 and (withdrawal["cash"], more["cash"]) == (-5000, 0)
    for package, side in itertools.product((wings, withdrawal, more), ("contract", "model")):
        before, after = result[side], package[side]["after"]
        before["free_collateral"] = before["equity_initial"] - before["initial"]
        assert set(after) == {*FIGURES[:4], "free_collateral"}
        for key, change in package[side]["change"].items():
            assert after[key] - before[key] == pytest.approx(change, abs=1e-9)
        legs = package["legs"]
        assert sum(leg["after"] for leg in legs) == pytest.approx(package["model"]["after"]["maintenance"], rel=1e-9)
    assert wings["contract"]["change"]["initial"] < -1000
    assert withdrawal["contract"]["change"] == pytest.approx(
        {"maintenance": 0, "initial": 0, "equity_maintenance": -5000, "equity_initial": -5000, "free_collateral": -5000}
    )
    assert "BTC" in more["worst"]["before"] and "BTC" not in more["worst"]["after"]


@pytest.mark.parametrize("name", ["house", "var"])
def test_what_a_package_leaves_is_what_a_case_with_it_has(desk, name):
    data = GOOD | {"methodology": name, "packages": [HEDGE | {"cash": 100}]}
    (tried,) = assessed(desk, data).result["explanation"]["packages"]
    done = changed("account.positions", GOOD["account"]["positions"] + HEDGE["positions"])
    done["account"]["cash"] += 100
    result = assessed(desk, done | {"methodology": name}).result
    for side in ("contract", "model"):
        want = {key: result[side][key] for key in FIGURES[:4]}
        want["free_collateral"] = want["equity_initial"] - want["initial"]
        assert tried[side]["after"] == pytest.approx(want, rel=1e-12)
    assert tried["worst"]["after"] == result["explanation"]["worst"]


def test_a_package_on_which_contract_and_model_differ_is_found_out(desk):
    off = methodology.load("house")
    object.__setattr__(off, "vol_up", 0.501)
    desk.presets = desk.presets | {"house": off}
    found = desk.assess(parse_case(json.dumps(GOOD | {"packages": [HEDGE]}))).disagreements
    assert any(line.startswith("DISAGREEMENT: after hedge: maintenance margin: contract") for line in found)


BAD_PACKAGES = [
    ("{", "package p.json: not JSON"),
    ({"positions": []}, "package p.json: name: missing"),
    (
        HEDGE | {"positions": [{"underlying": "DOGE", "kind": "perp", "size": 1}]},
        "package p.json: positions[0].underlying",
    ),
    (
        HEDGE | {"positions": [{"underlying": "ETH", "kind": "perp", "size": "9e12"}]},
        "package p.json: positions[0].size: sizes in one instrument must add up to at most 9000000000000",
    ),
]


@pytest.mark.parametrize(("package", "message"), BAD_PACKAGES)
def test_a_bad_package_is_one_line(tmp_path, offline, package, message):
    run = offline(written(tmp_path, GOOD), "--package", written(tmp_path, package, "p.json"))
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert run.stderr.startswith(message)


@pytest.mark.parametrize("mode", ["portfolio", "cross"])
def test_the_explanation_fits_a_narrow_console(desk, mode):
    data = copy.deepcopy(WHAT_IF)
    data["account"]["mode"] = mode
    case = parse_case(json.dumps(data))
    outcome = desk.assess(case)
    console = Console(width=80, record=True, file=io.StringIO())
    margin.tell(console, Path("case.json"), case, outcome)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    for words in (
        "= maintenance margin",
        "= buffer",
        "What costs margin",
        "-20 ETH 1600 put 2026-03-27",
        "What if: wings",
    ):
        assert words in text
    assert "All legs together lose most in the worst scenario, BTC +16%, vol +50%; ETH +16%, vol +50%: P&L -5,6" in text
    assert ("correlation credit" in text) == (mode == "portfolio")
    assert ("each leg is margined in its own worst scenario" in text) == (mode == "cross")
    assert "Note: market.ETH.daily_vol: not given, taken as 0.0457143, scan_range / 3.5" in text


def test_many_legs_are_told_in_part_and_add_up(desk):
    strikes = range(1000, 1000 + 50 * 40, 50)
    call = GOOD["account"]["positions"][0]
    data = changed("account.positions", [call | {"strike": k, "size": (-1) ** k // 50 * 2 + 1} for k in strikes])
    outcome = assessed(desk, data)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(explanation.legs_table(outcome.explanation))
    rows = [line.split() for line in console.export_text().splitlines() if "%" in line]
    assert len(rows) == explanation.MOST_LEGS + 2 and rows[12][1:3] == ["legs", "between"]
    amounts = [float(row[-2].replace(",", "")) for row in rows]
    # Each is rounded to a cent.
    assert sum(amounts[:-1]) == pytest.approx(amounts[-1], abs=0.005 * len(rows))


# ---------------------------------------------------------------------------------------------- what people read


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_has_units_words_and_roundings(desk, width):
    data = changed("account.positions[0].size", "-3.0000004")
    case = parse_case(json.dumps(data))
    outcome = desk.assess(case)
    console = Console(width=width, record=True, file=io.StringIO())
    margin.tell(console, Path("case.json"), case, outcome)
    assert "…" not in (text := " ".join(console.export_text().split()))
    assert "maintenance margin, USD" in text and "USD per 1.00 vol" in text and "ETH per USD" in text
    assert all(margin.number(outcome.result[side]["initial"]) in text for side in ("contract", "model"))
    assert "All legs together lose most in the worst scenario, ETH -64%, vol +50%, 25% of it counted: P&L" in text
    assert 'Note: account.positions[0].size: rounded to 1e-6 (from "-3.0000004" to -3)' in text
    assert "Healthy" in text and "gas" in text
    assert all(f"capital, {mode}" in text for mode in ("isolated", "cross", "portfolio"))


# ---------------------------------------------------------------------------------------------- bad cases

POSITION = "account.positions[0]"
SPOT = "market.ETH.spot"
ROW = "market.ETH.expiries[0]"
BAD = [
    (POSITION + ".kind", "swap", POSITION + '.kind: unknown kind "swap"'),
    (POSITION + ".expiry", EXPIRY + 1, POSITION + ".expiry: no market data for ETH"),
    (POSITION + ".size", "NaN", POSITION + ".size: must be a finite number"),
    (POSITION + ".size", float("nan"), POSITION + ".size: must be a finite number"),
    (POSITION + ".size", float("inf"), POSITION + ".size: must be a finite number"),
    (POSITION + ".size", 0, POSITION + ".size: must not be 0"),
    (POSITION + ".strike", 0, POSITION + ".strike: must be greater than 0"),
    (POSITION + ".strike", DELETE, POSITION + ".strike: missing"),
    (POSITION + ".underlying", "DOGE", POSITION + ".underlying: unknown underlying"),
    ("account.positions", GOOD["account"]["positions"] * 43, "account.positions: must have at most 128 rows (got 129)"),
    ("account.mode", "gross", "account.mode: unknown mode"),
    ("account.mode", "isolated", "account.positions: an isolated account holds one position"),
    ("account.collateral[0].asset", "GOLD", 'account.collateral[0].asset: unknown asset "GOLD"'),
    (
        "collateral.WETH.haircut_maintenance",
        0.5,
        "collateral.WETH.haircut_maintenance: must be at most haircut_initial",
    ),
    ("account.cash", DELETE, "account.cash: missing"),
    ("account.cash", "1e16", "account.cash: must be at most"),
    (SPOT, -1, "market.ETH.spot: must be at least"),
    (ROW + ".svi.rho", 1, ROW + ".svi.rho: must be "),
    (ROW + ".expiry", AS_OF + 10 * YEAR + 1, ROW + ".expiry: must be at most 10 years after as_of"),
    ("market", "no-such-day", "market: no snapshot named"),
    ("methodology", "hose", "methodology: unknown methodology"),
    ("as_of", DELETE, "as_of: missing"),
    ("colateral", {}, "colateral: unknown field"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_a_bad_case_is_one_line(tmp_path, offline, path, value, message):
    run = offline(written(tmp_path, changed(path, value)))
    assert (run.exit_code, run.stdout) == (1, "")
    assert run.stderr.startswith(message)
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "nul", '{"as_of": 1,}', "\x00", "[" * 10_000])
def test_no_case_at_all_is_one_line(tmp_path, offline, text):
    run = offline(written(tmp_path, text))
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert run.stderr.startswith("case: ")


def test_sizes_that_add_up_beyond_a_position_word(tmp_path, offline):
    perp = {"underlying": "ETH", "kind": "perp", "size": 5e12}
    run = offline(written(tmp_path, changed("account.positions", [perp, perp])))
    assert run.exit_code == 1
    assert run.stderr.startswith(
        "account.positions[1].size: sizes in one instrument must add up to at most 9000000000000"
    )


def test_places_for_results_that_do_not_serve(tmp_path, offline):
    good = written(tmp_path, GOOD)
    folder = tmp_path / "folder"
    folder.mkdir()
    written(folder, GOOD)
    (tmp_path / "results" / "case.json").mkdir(parents=True)
    for arguments, message in [
        ((tmp_path / "none.json",), "case: "),
        ((tmp_path / "results",), "case: no *.json in the folder"),
        ((good, "--out", folder), "out: "),
        ((good, "--out", good), "out: is the case file itself"),
        ((good, "--out", tmp_path / "none" / "out.json"), "out: the folder "),
        ((good, "--out", "/proc/out.json"), "out: "),
        ((folder, "--out", good), "out: the folder cannot be made"),
        ((folder, "--out", folder), "out: is the folder of the cases"),
        ((folder, "--out", tmp_path / "results"), "out: "),
    ]:
        run = offline(*arguments)
        assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1), arguments
        assert run.stderr.startswith(message), (arguments, run.stderr)
    assert json.loads(good.read_text()) == GOOD


def test_a_folder_of_bad_cases_needs_no_chain(tmp_path, offline):
    folder = tmp_path / "cases"
    folder.mkdir()
    written(folder, "{")
    run = offline(folder, "--out", tmp_path / "out", "--json")
    assert run.exit_code == 1
    assert set(json.loads(run.stdout)["case.json"]) == set(json.loads((tmp_path / "out" / "case.json").read_text()))


def test_a_choice_of_network_or_account_that_does_not_exist(tmp_path):
    good = written(tmp_path, GOOD)
    for arguments, message in [
        (("--network", "nowhere:local:foundry"), "network: "),
        (("--network", "ethereum:local:foundry", "--account", "nobody-of-this-name"), "account: "),
        (("--network", "http://127.0.0.1:9"), "account: --account ALIAS must name who pays"),
    ]:
        run = CliRunner(mix_stderr=False).invoke(margin.cli, [str(good), *arguments])
        assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1), run.stderr
        assert run.stderr.startswith(message)


# ---------------------------------------------------------------------------------------------- the admissible domain


def expiry(time: int, forward: object, **changes: object) -> dict[str, Any]:
    """A row of `expiries`."""
    svi = GOOD["market"]["ETH"]["expiries"][0]["svi"] | {"forward": forward}
    row = {"expiry": time, "forward": forward, "rate": 0.04, "svi": svi}
    return row | changes


def test_the_largest_book(desk, tmp_path):
    """8 underlyings of 16 expiries, 128 legs and 16 kinds of collateral, in every preset and mode."""
    times = [AS_OF + 86_400 * 7 * (i + 1) for i in range(16)]
    names = ["ETH", "BTC", *"ABCDEF"]
    rows = [expiry(time, 2000) for time in times]
    market = {name: {"spot": 2000, "confidence": 0.001, "scan_range": 0.16, "expiries": rows} for name in names}
    kinds = itertools.cycle(["call", "put", "put"])
    legs = [
        {"underlying": name, "kind": next(kinds), "expiry": time, "strike": 1500 + 10 * i, "size": (-1) ** i * (1 + i)}
        for i, (name, time) in enumerate(itertools.product(names, times))
    ]
    collateral = {
        f"C{i}": {"price": 10 + i, "underlying": names[i % 8], "haircut_initial": 0.1}
        for i in range(cases.MAX_COLLATERALS)
    }
    held = [{"asset": asset, "amount": 5} for asset in collateral]
    for name, mode in itertools.product(PRESETS, ("portfolio", "cross")):
        account = {"mode": mode, "cash": 0, "collateral": held, "positions": legs}
        data = {"as_of": AS_OF, "methodology": name, "market": market, "collateral": collateral, "account": account}
        rows = None if name in GRIDS else 250
        if rows:
            data["scenarios"] = "rows.csv"
            (tmp_path / "rows.csv").write_text(render(of_rows(names, *draw(5, names, rows))))
        result = assessed(desk, data, tmp_path).result
        check_result(result, set(names), 128, len(PRESETS[name]), rows)


@pytest.mark.parametrize("as_of", [0, AS_OF, cases.MAX_TIME])
def test_every_time(desk, as_of):
    """Long expired, just expired, at expiry, in a second, in ten years: whatever fits beside `as_of`."""
    tenors = [-as_of + 1, -as_of + 2, -YEAR, -1, 0, 1, 60, 30 * 86_400, 30 * 86_400 + 1, YEAR, cases.MAX_TENOR_SECONDS]
    times = sorted({as_of + t for t in tenors if 1 <= as_of + t <= cases.MAX_TIME})
    market = {"ETH": {"spot": 2000, "scan_range": 0.16, "expiries": [expiry(t, 2000 + i) for i, t in enumerate(times)]}}
    for name in [*GRIDS, "max"]:
        legs = [
            {"underlying": "ETH", "kind": kind, "expiry": time, "strike": 2000 + n, "size": (-1) ** n * (1 + i)}
            for i, time in enumerate(times)
            for n, kind in enumerate(("call", "put"))
        ]
        account = {"mode": "portfolio", "cash": 0, "positions": legs}
        result = assessed(desk, {"as_of": as_of, "methodology": name, "market": market, "account": account}).result
        assert result["legs"] == 2 * len(times)


@pytest.mark.parametrize("name", [*GRIDS, "max"])
@pytest.mark.parametrize("price", bounds(cases.PRICE))
@pytest.mark.parametrize("size", [bounds(cases.SIZE)[0], bounds(cases.SIZE)[1], cases.SIZE.step])
def test_every_size_at_every_price(desk, name, price, size):
    """A perp, a future, options of the least and greatest strike and collateral, each alone and all together."""
    u = {"spot": price, "scan_range": 1, "confidence": bounds(cases.SHARE)[1], "expiries": [expiry(EXPIRY, price)]}
    strikes = [(kind, strike) for kind in ("call", "put") for strike in bounds(cases.STRIKE)]
    legs = [{"underlying": "ETH", "kind": "perp", "size": size, "entry": bounds(cases.ENTRY)[1]}]
    legs += [{"underlying": "ETH", "kind": "future", "expiry": EXPIRY, "size": size, "entry": 0}]
    legs += [{"underlying": "ETH", "kind": k, "expiry": EXPIRY, "strike": K, "size": size} for k, K in strikes]
    collateral = {"C": {"price": price, "underlying": "ETH", "haircut_initial": bounds(cases.SHARE)[1]}}
    held = [{"asset": "C", "amount": bounds(cases.AMOUNT)[1]}]
    books = [([leg], []) for leg in legs] + [([], held), (legs, held)]
    for (positions, holdings), mode, cash in zip(
        books, itertools.cycle(["portfolio", "cross"]), itertools.cycle(bounds(cases.CASH)), strict=False
    ):
        account = {"mode": mode, "cash": cash, "collateral": holdings, "positions": positions}
        data = {"as_of": AS_OF, "methodology": name, "market": {"ETH": u}, "collateral": collateral, "account": account}
        assessed(desk, data)


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("sign", [1, -1])
def test_the_most_money(desk, name, sign):
    """128 legs and 16 kinds of collateral of the greatest size at the greatest price: nothing overflows."""
    price, size = bounds(cases.PRICE)[1], sign * float(bounds(cases.SIZE)[1])
    times = [AS_OF + 30 * 86_400 * (i + 1) for i in range(16)]
    u = {"spot": price, "scan_range": 1, "expiries": [expiry(time, price, rate=-0.3) for time in times]}
    strikes = [float(price) + i for i in range(6)] + [bounds(cases.STRIKE)[1]]
    options = list(zip(itertools.cycle(["call", "put"]), strikes, strict=False))
    legs = [{"underlying": "ETH", "kind": "future", "expiry": time, "size": size} for time in times]
    legs += [
        {"underlying": "ETH", "kind": kind, "expiry": time, "strike": strike, "size": size}
        for time, (kind, strike) in itertools.product(times, options)
    ]
    collateral = {f"C{i}": {"price": price, "underlying": "ETH"} for i in range(cases.MAX_COLLATERALS)}
    held = [{"asset": asset, "amount": bounds(cases.AMOUNT)[1]} for asset in collateral]
    for mode in ("portfolio", "cross"):
        account = {"mode": mode, "cash": bounds(cases.CASH)[1], "collateral": held, "positions": legs}
        data = {"as_of": AS_OF, "methodology": name, "market": {"ETH": u}, "collateral": collateral, "account": account}
        assert assessed(desk, data).result["legs"] == 128


@pytest.mark.parametrize("name", [*GRIDS, "max"])
@pytest.mark.parametrize("years", [0, 1, 10])
def test_every_rate(desk, name, years):
    """The bound of M-16 holds where discount factors exceed one."""
    lowest = max(float(bounds(cases.RATE)[0]), -float(cases.MAX_GROWTH) / max(years, 0.01))
    for rate in (lowest, 0, bounds(cases.RATE)[1]):
        row = expiry(AS_OF + years * YEAR, 2000, rate=rate)
        legs = [
            {"underlying": "ETH", "kind": kind, "expiry": row["expiry"], "strike": strike, "size": size}
            for kind, strike, size in [("call", 2000, -1), ("put", 2100, -1), ("call", 100, 1), ("put", 9000, -1)]
        ]
        for leg in legs:
            u = {"spot": 2000, "scan_range": 1, "expiries": [row]}
            account = {"mode": "portfolio", "cash": 0, "positions": [leg]}
            assessed(desk, {"as_of": AS_OF, "methodology": name, "market": {"ETH": u}, "account": account})


@pytest.mark.parametrize("name", GRIDS)
def test_every_surface(desk, name):
    """All corners of the surface's domain, 128 of them in one book."""
    tenors = ("0.0001", bounds(cases.REF_TAU)[1])
    slopes = (bounds(cases.SVI_B)[0], None)
    corners = itertools.product(
        bounds(cases.SVI_A),
        slopes,
        *(bounds(x) for x in (cases.SVI_RHO, cases.SVI_M, cases.SVI_SIGMA)),
        tenors,
        (1000, 2000),
    )
    market: dict[str, Any] = {}
    legs = []
    for i, (a, b, rho, m, sigma, ref_tau, forward) in enumerate(corners):
        u = market.setdefault("ABCDEFGH"[i // 16], {"spot": 2000, "scan_range": 0.16, "expiries": []})
        steepest = min(float(bounds(cases.SVI_B)[1]), 0.99 * cases.MAX_STEEPNESS * float(ref_tau))
        svi = {"a": a, "b": steepest if b is None else b, "rho": rho, "m": m, "sigma": sigma, "ref_tau": ref_tau}
        time = AS_OF + 86_400 * (1 + 40 * (i % 16))
        u["expiries"].append({"expiry": time, "forward": 2000, "svi": svi | {"forward": forward}})
        leg = {"underlying": "ABCDEFGH"[i // 16], "expiry": time, "strike": 1800 + i, "size": (-1) ** i}
        legs.append(leg | {"kind": "call" if i % 3 else "put"})
    account = {"mode": "portfolio", "cash": 0, "positions": legs}
    data = {"as_of": AS_OF, "methodology": name, "market": market, "account": account}
    assert assessed(desk, data).result["legs"] == 128
