"""Case files: what a good one gives, and the one line that a bad one gets."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace

import pytest
import yaml

from python_model import case as cases
from python_model.case import CaseError, parse_case, read_case, read_market, read_package
from python_model.margin import assess
from python_model.methodology import load
from python_model.portfolio import Kind, Mode
from python_model.scenario_set import render, synthetic

EXPIRY = 1_772_928_000
GOOD = {
    "as_of": 1_770_336_000,
    "methodology": "house",
    "market": {
        "ETH": {
            "spot": 2000.0,
            "confidence": 0.001,
            "scan_range": 0.16,
            "perp_mark": 2001.0,
            "expiries": [
                {
                    "expiry": EXPIRY,
                    "forward": 2006.6,
                    "rate": 0.04,
                    "svi": {
                        "a": 0.002,
                        "b": 0.09,
                        "rho": -0.25,
                        "m": 0.0,
                        "sigma": 0.45,
                        "ref_tau": 0.0821917808219178,
                    },
                }
            ],
        }
    },
    "collateral": {
        "WETH": {"price": 2000.0, "underlying": "ETH", "haircut_initial": 0.02, "haircut_maintenance": 0.01},
        "USDX": {"price": 1, "underlying": None},
    },
    "account": {
        "mode": "portfolio",
        "cash": 10000.0,
        "collateral": [{"asset": "WETH", "amount": 1.5}],
        "positions": [
            {"underlying": "ETH", "kind": "call", "expiry": EXPIRY, "strike": 2200.0, "size": -3.0},
            {"underlying": "ETH", "kind": "future", "expiry": EXPIRY, "size": 1.0, "entry": 1990.0},
            {"underlying": "ETH", "kind": "perp", "size": 2.0, "entry": 1980.0},
        ],
    },
}
DELETE = object()


def changed(path, value):
    """The good case with one field set, or taken out."""
    data = copy.deepcopy(GOOD)
    *parents, last = path
    node = data
    for key in parents:
        node = node[key]
    if value is DELETE:
        del node[last]
    else:
        node[last] = value
    return data


SVI_PATH = ("market", "ETH", "expiries", 0, "svi")
ROW = ("market", "ETH", "expiries", 0)
POSITIONS = ("account", "positions")
PERP = GOOD["account"]["positions"][2]
EXPIRIES = GOOD["market"]["ETH"]["expiries"]

BAD = [
    ((*POSITIONS, 0, "kind"), "swap", 'account.positions[0].kind: unknown kind "swap" (known: call, put, '),
    ((*POSITIONS, 0, "strike"), 0, "account.positions[0].strike: must be greater than 0 (got 0)"),
    ((*POSITIONS, 0, "strike"), "0.0000001", "account.positions[0].strike: must be greater than 0 (got "),
    ((*POSITIONS, 0, "strike"), DELETE, "account.positions[0].strike: missing"),
    ((*POSITIONS, 0, "strike"), "1e13", "account.positions[0].strike: must be at most 9000000000000"),
    ((*POSITIONS, 0, "expiry"), EXPIRY + 1, f"account.positions[0].expiry: no market data for ETH at {EXPIRY + 1}"),
    ((*POSITIONS, 0, "expiry"), 1.5, "account.positions[0].expiry: must be a whole number (got 1.5)"),
    ((*POSITIONS, 0, "expiry"), -5, "account.positions[0].expiry: must be at least 1 (got -5)"),
    ((*POSITIONS, 0, "size"), 0, "account.positions[0].size: must not be 0 (got 0)"),
    ((*POSITIONS, 0, "size"), "0.0000004", 'account.positions[0].size: must not be 0 (got "0.0000004")'),
    ((*POSITIONS, 0, "size"), "NaN", 'account.positions[0].size: must be a finite number (got "NaN")'),
    ((*POSITIONS, 0, "size"), float("nan"), 'account.positions[0].size: must be a finite number (got "NaN")'),
    ((*POSITIONS, 0, "size"), float("-inf"), "account.positions[0].size: must be a finite number (got "),
    ((*POSITIONS, 0, "size"), "1e999", "account.positions[0].size: must be at most"),
    ((*POSITIONS, 0, "size"), "three", 'account.positions[0].size: must be a number (got "three")'),
    ((*POSITIONS, 0, "size"), "1_000", 'account.positions[0].size: must be a number (got "1_000")'),
    ((*POSITIONS, 0, "size"), True, "account.positions[0].size: must be a number (got true)"),
    ((*POSITIONS, 0, "size"), [1], "account.positions[0].size: must be a number"),
    ((*POSITIONS, 0, "underlying"), "DOGE", 'account.positions[0].underlying: unknown underlying "DOGE" (known: ETH)'),
    ((*POSITIONS, 0, "stike"), 5, "account.positions[0].stike: unknown field"),
    ((*POSITIONS, 1, "strike"), 5, "account.positions[1].strike: a future has none (got 5)"),
    ((*POSITIONS, 1, "expiry"), DELETE, "account.positions[1].expiry: missing"),
    ((*POSITIONS, 2, "expiry"), EXPIRY, f"account.positions[2].expiry: a perp has none (got {EXPIRY})"),
    ((*POSITIONS, 2, "entry"), -1, "account.positions[2].entry: must be at least 0 (got -1)"),
    ((*POSITIONS, 2), "perp", 'account.positions[2]: must be an object (got "perp")'),
    (POSITIONS, [PERP] * 129, "account.positions: must have at most 128 rows (got 129)"),
    (POSITIONS, {}, "account.positions: must be a list"),
    (("account", "mode"), "isolated", "account.positions: an isolated account holds one position (got 3)"),
    (("account", "mode"), "gross", 'account.mode: unknown mode "gross"'),
    (("account", "cash"), DELETE, "account.cash: missing"),
    (("account", "cash"), None, "account.cash: must be a number (got null)"),
    (("account", "cash"), 1e16, "account.cash: must be at most"),
    (("account", "collateral", 0, "asset"), "WBTC", 'account.collateral[0].asset: unknown asset "WBTC"'),
    (("account", "collateral", 0, "amount"), -1, "account.collateral[0].amount: must be at least 0 (got -1)"),
    (("account", "collateral"), [{"asset": "WETH", "amount": 1}] * 17, "account.collateral: must have at most 16 rows"),
    (("account",), DELETE, "account: missing"),
    (("account",), [], "account: must be an object"),
    (("collateral", "WETH", "haircut_initial"), 1, "collateral.WETH.haircut_initial: must be less than 1 (got 1)"),
    (("collateral", "WETH", "haircut_initial"), -0.1, "collateral.WETH.haircut_initial: must be at least 0 (got -0.1)"),
    (("collateral", "WETH", "haircut_initial"), 0, "collateral.WETH.haircut_maintenance: must be at most"),
    (("collateral", "WETH", "underlying"), "BTC", 'collateral.WETH.underlying: unknown underlying "BTC"'),
    (("collateral", "WETH", "price"), 0, "collateral.WETH.price: must be at least 0.000001 (got 0)"),
    (("market", "ETH", "spot"), -2000, "market.ETH.spot: must be at least 0.000001 (got -2000)"),
    (("market", "ETH", "spot"), "1e9", "market.ETH.spot: must be at most 100000000 "),
    (("market", "ETH", "confidence"), 1, "market.ETH.confidence: must be less than 1 (got 1)"),
    (("market", "ETH", "confidence"), -0.1, "market.ETH.confidence: must be at least 0 (got -0.1)"),
    (("market", "ETH", "scan_range"), 0, "market.ETH.scan_range: must be greater than 0 (got 0)"),
    (("market", "ETH", "scan_range"), 1.1, "market.ETH.scan_range: must be at most 1 (got 1.1)"),
    (("market", "ETH", "scan_range"), DELETE, "market.ETH.scan_range: missing"),
    (("market", "ETH", "expiries"), EXPIRIES * 17, "market.ETH.expiries: must have at most 16 rows"),
    (("market", "ETH", "expiries"), EXPIRIES * 2, "market.ETH.expiries[1].expiry: given twice"),
    ((*ROW, "expiry"), 1_770_336_000 + 11 * 31_536_000, "market.ETH.expiries[0].expiry: must be at most 10 years"),
    ((*ROW, "expiry"), 2**32, "market.ETH.expiries[0].expiry: must be at most 4294967295"),
    ((*ROW, "forward"), 0, "market.ETH.expiries[0].forward: must be at least"),
    ((*ROW, "rate"), -6, "market.ETH.expiries[0].rate: must be at least -1 (got -6)"),
    (ROW, EXPIRIES[0] | {"expiry": 2_085_696_000, "rate": -0.05}, "market.ETH.expiries[0].rate: must be at least -0.0"),
    ((*ROW, "rate"), 2, "market.ETH.expiries[0].rate: must be at most 1 (got 2)"),
    ((*ROW, "svi"), DELETE, "market.ETH.expiries[0].svi: missing"),
    ((*SVI_PATH, "rho"), -1, "market.ETH.expiries[0].svi.rho: must be greater than -1 (got -1)"),
    ((*SVI_PATH, "rho"), 1, "market.ETH.expiries[0].svi.rho: must be less than 1 (got 1)"),
    ((*SVI_PATH, "sigma"), 0, "market.ETH.expiries[0].svi.sigma: must be greater than 0 (got 0)"),
    ((*SVI_PATH, "b"), -0.1, "market.ETH.expiries[0].svi.b: must be at least 0 (got -0.1)"),
    ((*SVI_PATH, "ref_tau"), 1e-7, "market.ETH.expiries[0].svi.b: must be at most 0.00951294 for this ref_tau"),
    ((*SVI_PATH, "a"), 101, "market.ETH.expiries[0].svi.a: must be at most 100 (got 101)"),
    ((*SVI_PATH, "ref_tau"), 0, "market.ETH.expiries[0].svi.ref_tau: must be greater than 0 (got 0)"),
    ((*SVI_PATH, "ref_tau"), 1e-9, "market.ETH.expiries[0].svi.ref_tau: must be at least one second"),
    (("market",), dict.fromkeys("ABCDEFGHI", GOOD["market"]["ETH"]), "market: must have at most 8 underlyings (got 9)"),
    (("market",), "no-such-snapshot", 'market: no snapshot named "no-such-snapshot"'),
    (("market",), "../methodologies/house", 'market: no snapshot named "../methodologies/house"'),
    (("methodology",), "hose", 'methodology: unknown methodology "hose" (known: deribit, house, max, span, tims, var)'),
    (("as_of",), -1, "as_of: must be at least 0 (got -1)"),
    (("as_of",), 1.5, "as_of: must be a whole number (got 1.5)"),
    (("as_of",), DELETE, "as_of: missing"),
    (("acount",), {}, "acount: unknown field"),
]  # fmt: skip


def test_the_good_case():
    case = parse_case(json.dumps(GOOD))
    assert case.warnings == ()
    assert case.book.mode is Mode.PORTFOLIO
    assert [p.kind for p in case.book.positions] == [Kind.CALL, Kind.FUTURE, Kind.PERP]
    assert case.market.underlyings["ETH"].expiries[0].svi.forward == 2006.6
    assert case.market.underlyings["ETH"].expiries[0].svi.ref_tau == 30 / 365
    result = assess(case.book, case.market, load(case.methodology)).to_dict()
    assert set(result) == {
        "maintenance", "initial", "equity_maintenance", "equity_initial", "option_value",
        "worst_scenario", "scenario_pnl", "greeks", "charges", "capital",
    }  # fmt: skip
    json.dumps(result, allow_nan=False)


def test_decimal_strings_are_numbers():
    text = json.dumps(GOOD)
    as_strings = json.dumps(json.loads(text, parse_float=str, parse_int=str))
    assert parse_case(as_strings) == parse_case(text)


def test_defaults():
    data = changed(("market", "ETH", "perp_mark"), DELETE)
    del data["market"]["ETH"]["confidence"], data["market"]["ETH"]["expiries"][0]["rate"]
    eth = parse_case(json.dumps(data)).market.underlyings["ETH"]
    assert (eth.perp_mark, eth.confidence, eth.expiries[0].rate) == (2000.0, 0.0, 0.0)


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_bad_cases_name_the_field(path, value, message):
    with pytest.raises(CaseError) as error:
        parse_case(json.dumps(changed(path, value)))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00", "[" * 100_000, '{"as_of": 01}', "1" * 10_000])
def test_not_json_or_no_object(text):
    with pytest.raises(CaseError, match=r"^case: ") as error:
        parse_case(text)
    assert len(str(error.value).splitlines()) == 1


def test_a_name_given_twice():
    with pytest.raises(CaseError, match="cash: given twice"):
        parse_case('{"account": {"cash": 1, "cash": 2}}')


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CaseError, match="case: cannot be read"):
        read_case(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("path", "value", "warning", "read"),
    [
        ((*POSITIONS, 0, "size"), "-3.0000004", "account.positions[0].size: rounded to 1e-6 (from ", -3.0),
        ((*POSITIONS, 0, "strike"), "2200.0000001", "account.positions[0].strike: rounded to 1e-6 (from ", 2200.0),
        (("market", "ETH", "spot"), "2000.0000000001", "market.ETH.spot: rounded to 1e-9 (from ", 2000.0),
        ((*SVI_PATH, "ref_tau"), 0.0822, "market.ETH.expiries[0].svi.ref_tau: rounded to whole seconds", None),
        ((*POSITIONS, 0, "entry"), 5, "account.positions[0].entry: has no effect", None),
    ],
)
def test_roundings_are_told(path, value, warning, read):
    case = parse_case(json.dumps(changed(path, value)))
    assert len(case.warnings) == 1
    assert case.warnings[0].startswith(warning)
    if read is not None:
        assert replace(case, warnings=()) == parse_case(json.dumps(changed(path, read)))


@pytest.mark.parametrize("path", sorted(cases.MARKETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_snapshots_that_ship_can_be_read(path):
    market = read_market(path.stem)
    assert {"ETH", "BTC"} <= set(market.underlyings)


def test_a_market_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "MARKETS", tmp_path)
    (tmp_path / "a-day.yaml").write_text(yaml.safe_dump({"as_of": GOOD["as_of"], **GOOD["market"]}))
    data = changed(("market",), "a-day")
    assert parse_case(json.dumps(data)) == parse_case(json.dumps(GOOD))
    del data["as_of"]
    assert parse_case(json.dumps(data)).market == read_market("a-day")


@pytest.mark.parametrize("methodology", ["house", "span", "tims", "deribit"])
@pytest.mark.parametrize("spot", ["0.000001", "1e8"])
@pytest.mark.parametrize(("strike", "size"), [("0.000001", "9e12"), ("9e12", "-9e12"), ("1", "0.000001")])
@pytest.mark.parametrize("tenor", [0, 1, 10 * 31_536_000])
def test_the_limits_give_plain_numbers(methodology, spot, strike, size, tenor):
    data = copy.deepcopy(GOOD) | {"methodology": methodology, "as_of": EXPIRY - tenor}
    data["market"]["ETH"] |= {"spot": spot, "perp_mark": spot, "scan_range": 1}
    data["market"]["ETH"]["expiries"][0] |= {"forward": spot, "rate": -0.04}
    for position in data["account"]["positions"]:
        position["size"] = size
    data["account"]["positions"][0]["strike"] = strike
    case = parse_case(json.dumps(data))
    json.dumps(assess(case.book, case.market, load(case.methodology)).to_dict(), allow_nan=False)


# --- tails -----------------------------------------------------------------------------------------------------------


def tailed(**fields):
    """The good case with a methodology that has a tail."""
    return GOOD | {"methodology": "max"} | fields


def parsed(data, folder=None):
    return parse_case(json.dumps(data), folder)


def test_a_tail_by_default_is_the_made_up_set_and_the_scan_range_in_deviations():
    case = parsed(tailed())
    terms = load("max").tail
    assert (case.tail.alpha, case.tail.horizon, case.tail.k) == (terms.alpha, terms.horizon_days, 3)
    assert case.tail.scenarios.digest == synthetic().digest
    assert case.market.underlyings["ETH"].daily_vol == pytest.approx(0.16 / 3.5, abs=1e-12)
    assert case.warnings == (
        "scenarios: not given, taken as synthetic, a made-up set of ETH and BTC",
        "market.ETH.daily_vol: not given, taken as 0.0457143, scan_range / 3.5",
    )
    assert assess(case.book, case.market, load("max"), case.tail).maintenance > 0.0


def test_a_tail_as_a_case_says(tmp_path):
    rows = synthetic(rows=120, seed=3)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "own.csv").write_text(render(rows))
    data = tailed(methodology="var", scenarios="sets/own.csv")
    data["market"] = {"ETH": GOOD["market"]["ETH"] | {"daily_vol": "0.031"}}
    case = parsed(data, tmp_path)
    assert (case.tail.scenarios.digest, case.tail.k, case.warnings) == (rows.digest, 2, ())
    assert case.market.underlyings["ETH"].daily_vol == 0.031
    (tmp_path / "case.json").write_text(json.dumps(data))
    assert read_case(tmp_path / "case.json").tail.scenarios.digest == rows.digest


def test_a_grid_takes_no_tail():
    data = GOOD | {"scenarios": "nowhere.csv", "market": {"ETH": GOOD["market"]["ETH"] | {"daily_vol": 0.05}}}
    case = parsed(data)
    assert case.tail is None and case.market.underlyings["ETH"].daily_vol is None
    assert case.warnings == (
        "scenarios: has no effect, house has no tail",
        "market.ETH.daily_vol: has no effect, house has no tail",
    )


def with_sol(**fields):
    """A case that also has a market of SOL, and whatever is said."""
    return tailed(market=GOOD["market"] | {"SOL": {"spot": 100, "scan_range": 0.25}}) | fields


SOL_PERP = {"underlying": "SOL", "kind": "perp", "size": 1}
SOL_CLAIM = GOOD["collateral"] | {"mSOL": {"price": 100, "underlying": "SOL"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tailed(scenarios="none.csv"), "scenarios: none.csv: cannot be read"),
        (tailed(scenarios=""), "scenarios: must be text"),
        (tailed(scenarios=5), "scenarios: must be text"),
        (
            with_sol(account=GOOD["account"] | {"positions": [SOL_PERP]}),
            "methodology: the scenario set synthetic has no rows of SOL (has: ETH, BTC), see scenarios",
        ),
        (
            with_sol(collateral=SOL_CLAIM, account=GOOD["account"] | {"collateral": [{"asset": "mSOL", "amount": 1}]}),
            "methodology: the scenario set synthetic has no rows of SOL",
        ),
        (
            with_sol(packages=[{"name": "p", "positions": [SOL_PERP]}]),
            "packages[0].positions[0].underlying: the scenario set synthetic has no rows of SOL",
        ),
        (
            tailed(market={"SOL": {"spot": 1, "scan_range": 0.1}}, collateral={}, account={"mode": "cross", "cash": 1}),
            "methodology: the scenario set synthetic has no rows of the market",
        ),
        *(
            (
                tailed(market={"ETH": GOOD["market"]["ETH"] | {"daily_vol": vol}}),
                "market.ETH.daily_vol: must be " + words,
            )
            for vol, words in [
                (0, "at least"),
                (-1, "at least"),
                (0.6, "at most"),
                ("NaN", "a finite"),
                (True, "a number"),
            ]
        ),
    ],
)
def test_bad_tails_name_the_field(tmp_path, data, message):
    with pytest.raises(CaseError, match="^" + re.escape(message).replace(re.escape("none.csv"), ".*none.csv")):
        parsed(data, tmp_path)


def test_what_is_not_held_needs_no_rows():
    empty = GOOD["account"] | {"collateral": [{"asset": "mSOL", "amount": 0}]}
    assert parsed(with_sol(collateral=SOL_CLAIM, account=empty)).tail is not None


# --- packages --------------------------------------------------------------------------------------------------------

CALL = {"underlying": "ETH", "kind": "call", "expiry": EXPIRY, "strike": 2400, "size": 3}


def test_packages_of_a_case_and_of_files(tmp_path):
    case = parsed(GOOD | {"packages": [{"name": "wing", "positions": [CALL]}, {"name": "cash", "cash": "-12.5"}]})
    wing, cash = case.packages
    assert (wing.name, wing.cash, cash.positions, cash.cash) == ("wing", None, (), -12.5)
    assert (wing.positions[0].kind, wing.positions[0].strike, wing.positions[0].size) == (Kind.CALL, 2400.0, 3.0)
    (tmp_path / "hedge.json").write_text(json.dumps({"name": "hedge", "positions": [CALL | {"size": "0.0000014"}]}))
    more = read_package(tmp_path / "hedge.json", case)
    assert [p.name for p in more.packages] == ["wing", "cash", "hedge"]
    assert more.warnings == ('package hedge.json: positions[0].size: rounded to 1e-6 (from "0.0000014" to 0.000001)',)


PACKAGE = {"name": "p", "positions": [CALL]}
BAD_PACKAGES = [
    (5, "{}: must be an object"),
    ({"positions": [CALL]}, "{}.name: missing"),
    ({"name": "", "positions": [CALL]}, "{}.name: must be text"),
    ({"name": "p"}, "{}.positions: must have a row where there is no cash"),
    (PACKAGE | {"size": 1}, "{}.size: unknown field"),
    (PACKAGE | {"positions": [CALL | {"strike": 0}]}, "{}.positions[0].strike: must be greater than 0"),
    (PACKAGE | {"positions": [CALL | {"expiry": 5}]}, "{}.positions[0].expiry: no market data for ETH at 5"),
    (PACKAGE | {"cash": "much"}, "{}.cash: must be a number"),
    (PACKAGE | {"positions": [CALL] * 129}, "{}.positions: must have at most 128 rows"),
    (
        PACKAGE | {"positions": [CALL | {"strike": 2400 + i} for i in range(126)]},
        "{}.positions: the account must have at most 128 legs (would be 129)",
    ),
]


@pytest.mark.parametrize(("package", "message"), BAD_PACKAGES)
def test_bad_packages_name_the_field(tmp_path, package, message):
    with pytest.raises(CaseError, match="^" + re.escape(message.format("packages[0]"))):
        parsed(GOOD | {"packages": [package]})
    (tmp_path / "p.json").write_text(json.dumps(package))
    with pytest.raises(CaseError, match="^" + re.escape("package p.json: " + message.format("").lstrip(".: "))):
        read_package(tmp_path / "p.json", parsed(GOOD))


def test_packages_that_cannot_be(tmp_path):
    with pytest.raises(CaseError, match=r"^packages\[1\]\.name: given twice \(\"p\"\)"):
        parsed(GOOD | {"packages": [PACKAGE, PACKAGE]})
    with pytest.raises(CaseError, match=r"^packages: must have at most 16 rows"):
        parsed(GOOD | {"packages": [PACKAGE] * 17})
    alone = GOOD | {"account": {"mode": "isolated", "cash": 0, "positions": [CALL]}}
    with pytest.raises(
        CaseError, match=r"^packages\[0\]\.positions: an isolated account holds one position \(would be 2"
    ):
        parsed(alone | {"packages": [PACKAGE | {"positions": [CALL | {"strike": 1}]}]})
    assert len(parsed(alone | {"packages": [PACKAGE]}).packages) == 1
    for text, words in (("{", "package p.json: not JSON"), (None, "package p.json: cannot be read")):
        (tmp_path / "p.json").write_text(text) if text else (tmp_path / "p.json").unlink()
        with pytest.raises(CaseError, match=f"^{words}"):
            read_package(tmp_path / "p.json", parsed(GOOD))
