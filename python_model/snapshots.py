"""Market snapshots fitted to a recorded option chain: how they are written, and what a shipped one must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite

import numpy as np

from python_model.calibration import SliceFit
from python_model.option_chain import MAX_EXPIRIES, PRICE_DECIMALS, YEAR_SECONDS, CalibrationError, Chain
from python_model.surface import SVI_DECIMALS, Svi, surface_problems

SCAN_RANGE = 0.16


def decimal_text(value: float, decimals: int | None = None) -> str:
    """Positional decimal (YAML 1.1 reads ``1e-05`` as a string), at most `decimals` places, at least one.

    Examples
    --------
    >>> decimal_text(1e-05), decimal_text(2000.0), decimal_text(-0.0, 12)
    ('0.00001', '2000.0', '0.0')
    """
    rounded = value if decimals is None else round(value, decimals)
    return np.format_float_positional(rounded + 0.0, unique=True, trim="0")


def render_snapshot(chain: Chain, fits: Mapping[str, Sequence[SliceFit]], source: str) -> str:
    """Write a snapshot as YAML text: the case file's ``market`` section, ``as_of``, and a header of origin and error.

    Parameters
    ----------
    chain : Chain
        What was fitted.
    fits : Mapping of str to sequence of SliceFit
        By underlying, ascending in expiry.
    source : str
        Name of the recorded file.
    """
    lines = [
        f"# Market snapshot fitted by scripts/fit_markets.py to {source} (Deribit chain, via the public",
        "# repository znmahbub/SVCJ-Deribit-Inverse-Options-Pricer). Derived figures only; do not edit by hand.",
        "#",
        "# spot: median index price. forward: median price of the future of that expiry.",
        "# perp_mark: mark of the perpetual, or spot where the chain has none.",
        "# confidence: half of the 5%-95% range of the index over the records, rounded up to 1e-4, at least 0.001.",
        "# scan_range: 0.16 for every underlying; the dynamic range (M-21, M-22) takes over once prices are fed.",
        "# rate: 0. Marks are in coin and undiscounted (parity in coin gives a discount factor of 1), so a USD rate",
        "# cannot be identified; the value in USD is the mark in coin times the forward. Year of 365 days.",
        "# Deribit's options settle against the index at expiry and are marked against the future of that expiry.",
        f"# Black-76 on recorded vol and forward meets the mark to {chain.mark_error_median:.1e} coin in the median, "
        f"{chain.mark_error_99:.1e} at 99%.",
        "# Each expiry: raw SVI, g(k) >= 0 and no calendar crossing for |k| <= 8, wing slopes in order and at most 2.",
        "#",
        "# rmse: vega-weighted, vol points; max: over call deltas of 5%-95%; inside: share of two-sided quotes met.",
        "# underlying  expiry (UTC)      days  strikes   rmse    max  inside",
    ]
    for name, slices in fits.items():
        for fit in slices:
            q = fit.quotes
            when = datetime.fromtimestamp(q.expiry, UTC).strftime("%Y-%m-%d %H:%M")
            lines.append(
                f"# {name:<10}  {when}  {q.tau_seconds / 86400:6.2f}  {q.strikes.size:7d}  {fit.rmse:5.2f}"
                f"  {fit.max_error:5.2f}  {100 * fit.inside_quotes:5.0f}%"
            )
    lines += [f"as_of: {chain.as_of}", "market:"]
    for name, slices in fits.items():
        own = chain.underlyings[name]
        lines += [
            f"  {name}:",
            f"    spot: {decimal_text(own.spot, PRICE_DECIMALS)}",
            f"    confidence: {decimal_text(own.confidence, 4)}",
            f"    scan_range: {decimal_text(SCAN_RANGE)}",
            f"    perp_mark: {decimal_text(own.perp_mark, PRICE_DECIMALS)}",
            "    expiries:",
        ]
        for fit in slices:
            forward = decimal_text(fit.quotes.forward, PRICE_DECIMALS)
            p = fit.svi
            svi = ", ".join(
                f"{n}: {decimal_text(getattr(p, n), SVI_DECIMALS)}" for n in ("a", "b", "rho", "m", "sigma")
            )
            lines.append(
                f"      - {{expiry: {fit.quotes.expiry}, forward: {forward}, rate: 0.0, "
                f"svi: {{{svi}, ref_tau: {decimal_text(fit.quotes.tau)}, forward: {forward}}}}}"
            )
    return "\n".join(lines) + "\n"


def snapshot_surfaces(document: Mapping[str, object]) -> dict[str, tuple[Svi, ...]]:
    """SVI parameters of a parsed snapshot, by underlying, in the order of the file."""
    surfaces: dict[str, tuple[Svi, ...]] = {}
    market = document["market"]
    if not isinstance(market, Mapping):
        raise CalibrationError("market: not a mapping")
    for name, own in market.items():
        surfaces[str(name)] = tuple(
            Svi(*(float(entry["svi"][key]) for key in ("a", "b", "rho", "m", "sigma"))) for entry in own["expiries"]
        )
    return surfaces


def snapshot_problems(document: Mapping[str, object]) -> list[str]:
    """Reasons why a parsed snapshot is not fit to ship: digits (M-0), order, tenors, arbitrage; empty if none."""
    found: list[str] = []
    as_of = document["as_of"]
    market = document["market"]
    if not isinstance(as_of, int) or not isinstance(market, Mapping):
        return ["as_of is not whole seconds, or market is not a mapping"]

    def digits(field: str, value: object, limit: int) -> None:
        if not isinstance(value, int | float) or not isfinite(value):
            found.append(f"{field}: {value!r} is not a finite number")
        else:
            exponent = Decimal(repr(value)).normalize().as_tuple().exponent
            if isinstance(exponent, int) and -exponent > limit:
                found.append(f"{field}: {value!r} has more than {limit} decimals")

    for name, own in market.items():
        for field, limit in (
            ("spot", PRICE_DECIMALS),
            ("perp_mark", PRICE_DECIMALS),
            ("confidence", 12),
            ("scan_range", 12),
        ):
            digits(f"{name}.{field}", own[field], limit)
            if not own[field] > 0:
                found.append(f"{name}.{field}: not positive")
        last = as_of
        if not 0 < len(own["expiries"]) <= MAX_EXPIRIES:
            found.append(f"{name}: {len(own['expiries'])} expiries")
        for entry in own["expiries"]:
            label, svi = f"{name}.{entry['expiry']}", entry["svi"]
            if not isinstance(entry["expiry"], int) or entry["expiry"] <= last:
                found.append(f"{label}: expiries are not ascending whole seconds after as_of")
            last = entry["expiry"]
            digits(f"{label}.forward", entry["forward"], PRICE_DECIMALS)
            digits(f"{label}.rate", entry["rate"], SVI_DECIMALS)
            digits(f"{label}.svi.forward", svi["forward"], PRICE_DECIMALS)
            for key in ("a", "b", "rho", "m", "sigma"):
                digits(f"{label}.svi.{key}", svi[key], SVI_DECIMALS)
            if not isinstance(svi["ref_tau"], float) or svi["ref_tau"] != (entry["expiry"] - as_of) / YEAR_SECONDS:
                found.append(f"{label}.svi.ref_tau: not (expiry - as_of) / year")
    if not found:
        for name, slices in snapshot_surfaces(document).items():
            found += [f"{name}: {reason}" for reason in surface_problems(slices)]
    return found
