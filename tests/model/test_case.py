"""Case files: what a good one gives, and the one line that a bad one gets."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import yaml

from python_model import case as cases
from python_model.case import CaseError, parse_case, read_case, read_market
from python_model.margin import assess
from python_model.methodology import load
from python_model.portfolio import Kind, Mode

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
    (("methodology",), "hose", 'methodology: unknown methodology "hose" (known: deribit, house, span, tims)'),
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
