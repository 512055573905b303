"""The SVI calibration recovers what it should, refuses arbitrage, and the shipped snapshots keep their promises."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from python_model import calibration as cal
from python_model import option_chain, snapshots, surface

ROOT = Path(__file__).resolve().parents[2]
MARKETS = sorted((ROOT / "python_model" / "markets").glob("*.yaml"))
CHAINS = ROOT.parent / "shared" / "data" / "markets"

needs_chains = pytest.mark.skipif(not CHAINS.is_dir(), reason=f"recorded option chains absent ({CHAINS})")

# Axel Vogt's example, Gatheral and Jacquier (2014), section 3.2: w > 0 everywhere, yet the density turns negative.
VOGT = surface.Svi(a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)

NEAR = surface.Svi(a=0.004, b=0.05, rho=-0.3, m=0.01, sigma=0.12)
FAR = surface.Svi(a=0.012, b=0.09, rho=-0.35, m=0.02, sigma=0.25)

VOL_TOLERANCE = 1e-4
"""0.01 vol points: the precision with which the exchange publishes vols."""
REFIT_TOLERANCE = 5e-4
"""0.05 vol points between two machines' optima of one chain: below the bid-ask spread of every expiry."""


def synthetic(svi: surface.Svi, days: int, strikes: int = 31, width: float = 0.5) -> option_chain.SliceQuotes:
    """Quotes that lie exactly on `svi`."""
    forward = 2000.0
    k = np.linspace(-width, width, strikes)
    tau_seconds = days * 86_400
    price = np.full(strikes, 0.01)
    return option_chain.SliceQuotes(
        expiry=1_770_000_000 + tau_seconds,
        tau_seconds=tau_seconds,
        forward=forward,
        strikes=forward * np.exp(k),
        vols=np.sqrt(surface.total_variance(svi, k) * option_chain.YEAR_SECONDS / tau_seconds),
        bids=price,
        asks=price + 0.0005,
    )


def document(path: Path) -> dict[str, object]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


# --- formulas


def test_parity_in_coin_gives_discount_and_forward():
    strikes = np.linspace(1000.0, 3000.0, 21)
    put = np.full(21, 0.05)
    discount, forward = option_chain.parity_discount(strikes, put + 0.97 * (1 - strikes / 2050.0), put)
    assert discount == pytest.approx(0.97, abs=1e-12)
    assert forward == pytest.approx(2050.0, abs=1e-8)


def test_weights_fall_with_spread_and_are_capped():
    quotes = synthetic(NEAR, 30)
    tight = cal.quote_weights(quotes)
    assert tight.max() == 1.0 and tight.min() > 0.0
    middle = quotes.strikes.size // 2
    asks = quotes.asks.copy()
    asks[middle] += 0.005
    assert cal.quote_weights(replace(quotes, asks=asks))[middle] < tight[middle]
    asks[middle] = np.nan
    missing = cal.quote_weights(replace(quotes, asks=asks))[middle]
    asks[middle] = 0.5
    assert cal.quote_weights(replace(quotes, asks=asks))[middle] == missing > 0.0


# --- fitting


def test_recovers_synthetic_slice():
    fit = cal.fit_slice(synthetic(FAR, 90))
    k = np.linspace(-0.5, 0.5, 101)
    tau = fit.quotes.tau
    np.testing.assert_allclose(cal.implied_vol(fit.svi, k, tau), cal.implied_vol(FAR, k, tau), atol=VOL_TOLERANCE)
    for name in ("a", "b", "rho", "m", "sigma"):
        assert getattr(fit.svi, name) == pytest.approx(getattr(FAR, name), abs=2e-3), name


def test_recovers_synthetic_surface():
    quotes = [synthetic(NEAR, 30), synthetic(FAR, 90, width=0.8)]
    fits = cal.fit_surface(quotes)
    assert [fit.quotes.expiry for fit in fits] == [q.expiry for q in quotes]
    for fit, svi in zip(fits, (NEAR, FAR), strict=True):
        k = fit.quotes.log_moneyness
        np.testing.assert_allclose(
            cal.implied_vol(fit.svi, k, fit.quotes.tau), cal.implied_vol(svi, k, fit.quotes.tau), atol=VOL_TOLERANCE
        )


def test_fit_of_arbitrageable_quotes_is_free_of_arbitrage():
    """Vogt's own vols, wide enough to show the defect: the fit gives up closeness, not admissibility."""
    quotes = synthetic(VOGT, 365, strikes=61, width=1.5)
    fit = cal.fit_slice(quotes)
    assert surface.slice_problems(fit.svi) == []
    assert 0.0 < fit.rmse < 2.0


def test_fit_of_crossing_quotes_does_not_cross():
    quotes = [synthetic(FAR, 30), synthetic(replace(FAR, a=0.011), 33, width=0.4)]
    fits = cal.fit_surface(quotes)
    assert surface.surface_problems([fit.svi for fit in fits]) == []
    assert fits[1].rmse > 0.0


def test_refuses_too_few_strikes_and_disorder():
    with pytest.raises(option_chain.CalibrationError, match="5 strikes, 6 needed"):
        cal.fit_slice(synthetic(NEAR, 30, strikes=5))
    with pytest.raises(option_chain.CalibrationError, match="ascending"):
        cal.fit_surface([synthetic(FAR, 90), synthetic(NEAR, 30)])


# --- shipped snapshots


def test_three_snapshots_are_shipped():
    assert [path.stem for path in MARKETS] == ["eth-btc-2026-02-02", "eth-btc-2026-02-05", "eth-btc-2026-02-06"]


@pytest.mark.parametrize("path", MARKETS, ids=lambda path: path.stem)
def test_shipped_snapshot_is_fit_to_use(path):
    snapshot = document(path)
    assert snapshots.snapshot_problems(snapshot) == []
    market = snapshot["market"]
    assert isinstance(market, dict)
    assert list(market) == ["ETH", "BTC"]
    for own in market.values():
        assert len(own["expiries"]) == 12
        assert own["confidence"] >= option_chain.CONFIDENCE_FLOOR


def test_snapshot_check_notices_each_defect():
    def broken(change):
        snapshot = document(MARKETS[0])
        market = snapshot["market"]
        assert isinstance(market, dict)
        change(market["ETH"])
        return " ".join(snapshots.snapshot_problems(snapshot))

    assert "more than 9 decimals" in broken(lambda own: own.update(spot=2000.00000000011))
    assert "not positive" in broken(lambda own: own.update(spot=0.0))
    assert "ascending" in broken(lambda own: own["expiries"].reverse())
    assert "ref_tau" in broken(lambda own: own["expiries"][0]["svi"].update(ref_tau=0.1))
    assert "more than 12 decimals" in broken(lambda own: own["expiries"][0]["svi"].update(a=1.23e-13))
    assert "calendar" in broken(lambda own: own["expiries"][3]["svi"].update(a=0.5))
    assert "butterfly" in broken(
        lambda own: own["expiries"][-1]["svi"].update(a=VOGT.a, b=VOGT.b, rho=VOGT.rho, m=VOGT.m, sigma=VOGT.sigma)
    )
    assert "finite" in broken(lambda own: own["expiries"][0].update(forward=float("nan")))


# --- recorded chains


@needs_chains
@pytest.mark.parametrize("path", sorted(CHAINS.glob("deribit_*.csv.gz")), ids=lambda path: path.name[8:16])
def test_recorded_marks_follow_the_stated_convention(path):
    """Undiscounted Black-76 over the forward, a year of 365 days, and a discount factor of one in coin."""
    chain = option_chain.read_chain(path)
    assert chain.mark_error_median < 1e-4
    records = option_chain.load_records(path)
    for expiry in records["expiry"].unique():
        for coin in ("BTC", "ETH"):
            own = records[(records["expiry"] == expiry) & (records["currency"] == coin)]
            prices = own.pivot_table(index="strike", columns="option_type", values="mark_price").dropna()
            discount, _ = option_chain.parity_discount(
                prices.index.to_numpy(float), prices["call"].to_numpy(float), prices["put"].to_numpy(float)
            )
            assert discount == pytest.approx(1.0, abs=5e-3), (coin, expiry)


@needs_chains
@pytest.mark.slow
def test_refit_of_a_recorded_chain_meets_the_committed_snapshot():
    path = CHAINS / "deribit_20260205T212937Z.csv.gz"
    snapshot = document(ROOT / "python_model" / "markets" / "eth-btc-2026-02-05.yaml")
    chain = option_chain.read_chain(path)
    assert chain.as_of == snapshot["as_of"]
    market = snapshot["market"]
    assert isinstance(market, dict)
    for name, fitted in snapshots.snapshot_surfaces(snapshot).items():
        own = chain.underlyings[name]
        assert own.spot == market[name]["spot"]
        assert own.confidence == market[name]["confidence"]
        assert [q.forward for q in own.slices] == [entry["forward"] for entry in market[name]["expiries"]]
        for fit, committed in zip(cal.fit_surface(own.slices), fitted, strict=True):
            delta = option_chain.call_delta(fit.quotes)
            k = fit.quotes.log_moneyness[(delta > 0.05) & (delta < 0.95)]
            np.testing.assert_allclose(
                cal.implied_vol(fit.svi, k, fit.quotes.tau),
                cal.implied_vol(committed, k, fit.quotes.tau),
                atol=REFIT_TOLERANCE,
                err_msg=f"{name} {fit.quotes.expiry}",
            )


# --- the script


def load_cli():
    spec = importlib.util.spec_from_file_location("fit_markets", ROOT / "scripts" / "fit_markets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cli


def test_script_explains_itself_and_refuses_an_empty_folder(tmp_path):
    cli = load_cli()
    assert "CHAIN_FOLDER" in CliRunner().invoke(cli, ["--help"]).output
    result = CliRunner().invoke(cli, [str(tmp_path)])
    assert result.exit_code != 0
    assert "no file matches" in result.output


def test_script_names_a_missing_column(tmp_path):
    (tmp_path / "deribit_x.csv.gz").write_bytes(b"")
    (tmp_path / "deribit_y.csv").write_text("timestamp,strike\n2026-02-02T00:00:00+00:00,1\n")
    result = CliRunner().invoke(load_cli(), [str(tmp_path), "--pattern", "*.csv"])
    assert result.exit_code != 0
    assert "columns missing" in result.output
