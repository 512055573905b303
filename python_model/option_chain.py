"""A recorded option chain: one moment's quotes of every listed option, by underlying and expiry.

Conventions of the recorded chains (Deribit)
--------------------------------------------
Options are written on, margined and settled in the coin, against the index at expiry; until then they are marked
against a future. The mark in coin is undiscounted Black-76 divided by the forward, ``mark = black76(F, K, iv, tau) /
F``, with ``F`` the future of the same expiry (or one interpolated by the exchange, ``SYN.``) and a year of 365 days.
Put-call parity of the marks therefore reads ``C - P = 1 - K / F``: the discount factor in coin is one, and no rate in
USD can be read from the options. The basis ``ln(F / S) / tau`` mixes that rate with the lending rate and funding of
the coin and, for short tenors, with the delay between records (-200% to +330% a year for the front expiries of
2026-02-05). Snapshots therefore state ``rate = 0``: the value of an option in USD is then its mark in coin times the
forward. `parity_discount` lets a test confirm the premise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from python_model.svi import VOL_MAX, VOL_MIN

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]

YEAR_SECONDS = 31_536_000
PRICE_DECIMALS = 9
MIN_STRIKES = 6
MAX_EXPIRIES = 16
CONFIDENCE_FLOOR = 0.001


class CalibrationError(ValueError):
    """A chain that cannot be read, or a surface that cannot be made free of arbitrage."""


@dataclass(frozen=True)
class SliceQuotes:
    """Quotes of one expiry, one row a strike (the out-of-the-money side), strikes ascending.

    Attributes
    ----------
    expiry, tau_seconds : int
        Unix time of expiry; seconds from the chain's ``as_of`` to it, positive.
    forward : float
        USD.
    strikes : Array
        USD, shape (n,).
    vols : Array
        Implied vol of the mark, 0.5 for 50%, shape (n,).
    bids, asks : Array
        Coin, NaN where missing, shape (n,).
    """

    expiry: int
    tau_seconds: int
    forward: float
    strikes: Array
    vols: Array
    bids: Array
    asks: Array

    @property
    def tau(self) -> float:
        """Years of 365 days."""
        return self.tau_seconds / YEAR_SECONDS

    @property
    def log_moneyness(self) -> Array:
        """``ln(K / F)``, shape (n,)."""
        return np.asarray(np.log(self.strikes / self.forward), dtype=np.float64)

    @property
    def spreads(self) -> Array:
        """Ask minus bid in coin, NaN where a side is missing or the quote is crossed, shape (n,)."""
        spread = self.asks - self.bids
        return np.where(spread > 0.0, spread, np.nan)


@dataclass(frozen=True)
class UnderlyingQuotes:
    """One underlying of a chain.

    Attributes
    ----------
    spot : float
        Median index price, USD.
    confidence : float
        Fraction of spot; see `index_confidence`.
    perp_mark : float
        USD; spot where the chain has no perpetual.
    slices : tuple of SliceQuotes
        Ascending in expiry.
    """

    spot: float
    confidence: float
    perp_mark: float
    slices: tuple[SliceQuotes, ...]


@dataclass(frozen=True)
class Chain:
    """A recorded chain.

    Attributes
    ----------
    as_of : int
        Unix seconds, the record's time rounded down.
    underlyings : Mapping of str to UnderlyingQuotes
        By coin.
    mark_error_median, mark_error_99 : float
        Absolute difference, in coin, between recorded mark and Black-76 on the recorded vol and forward.
    dropped : int
        Records without a usable vol, forward or time.
    """

    as_of: int
    underlyings: Mapping[str, UnderlyingQuotes]
    mark_error_median: float
    mark_error_99: float
    dropped: int


# --- Black-76 in coin -------------------------------------------------------------------------------------------------


def black76_coin(forward: Array, strikes: Array, vols: Array, tau: Array, is_call: npt.NDArray[np.bool_]) -> Array:
    """Undiscounted Black-76 divided by the forward: the price in coin of an inverse option. Shapes broadcast."""
    v = vols * np.sqrt(tau)
    d1 = np.log(forward / strikes) / v + 0.5 * v
    call = ndtr(d1) - strikes / forward * ndtr(d1 - v)
    return np.asarray(np.where(is_call, call, call - 1.0 + strikes / forward), dtype=np.float64)


def call_delta(quotes: SliceQuotes) -> Array:
    """``N(d1)`` of each strike at its quoted vol, shape (n,)."""
    v = quotes.vols * sqrt(quotes.tau)
    return np.asarray(ndtr(-quotes.log_moneyness / v + 0.5 * v), dtype=np.float64)


def vega_coin(quotes: SliceQuotes) -> Array:
    """Vega in coin for 1.00 of vol at the quoted vol, ``phi(d1) sqrt(tau)``, shape (n,)."""
    v = quotes.vols * sqrt(quotes.tau)
    d1 = -quotes.log_moneyness / v + 0.5 * v
    return np.asarray(np.exp(-0.5 * d1 * d1) / sqrt(2.0 * np.pi) * sqrt(quotes.tau), dtype=np.float64)


def parity_discount(strikes: Array, calls: Array, puts: Array) -> tuple[float, float]:
    """Discount factor and forward implied by put-call parity of prices in coin.

    In coin ``C - P = D (1 - K / F)``, a straight line in K.

    Parameters
    ----------
    strikes, calls, puts : Array
        Shape (n,), n >= 2; USD, coin, coin.

    Returns
    -------
    tuple of float
        ``D`` (coin) and ``F`` (USD).
    """
    if strikes.size < 2:
        raise CalibrationError("parity needs two strikes")
    slope, intercept = np.polyfit(strikes, calls - puts, 1)
    return float(intercept), float(-intercept / slope)


def index_confidence(index: Array, spot: float) -> float:
    """Oracle confidence half-width as a fraction of spot.

    Half of the 5%-95% range of the index over the records of one chain (they are not simultaneous), rounded up to 1e-4,
    and at least 0.001.
    """
    low, high = (float(x) for x in np.quantile(index, [0.05, 0.95]))
    return max(CONFIDENCE_FLOOR, ceil((high - low) / 2.0 / spot * 1e4) / 1e4)


# --- reading --------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "timestamp", "instrument_name", "currency", "option_type", "strike", "expiry_datetime",
    "bid_price", "ask_price", "mark_price", "futures_price", "implied_volatility", "index_price",
)  # fmt: skip


def load_records(path: Path) -> pd.DataFrame:
    """Load a recorded chain (CSV, gzip allowed), with ``expiry`` and ``as_of`` added in unix seconds.

    Raises
    ------
    CalibrationError
        If a column is missing or the file holds more than one moment.
    """
    import pandas as pd

    frame = pd.read_csv(path)
    missing = sorted(set(_COLUMNS) - set(frame.columns))
    if missing:
        raise CalibrationError(f"{path.name}: columns missing: {', '.join(missing)}")
    if frame["timestamp"].nunique() != 1:
        raise CalibrationError(f"{path.name}: not one moment but {frame['timestamp'].nunique()}")
    epoch = pd.Timestamp("1970-01-01", tz="UTC")
    second = pd.Timedelta(seconds=1)
    frame["as_of"] = (pd.to_datetime(frame["timestamp"], utc=True) - epoch) // second
    frame["expiry"] = (pd.to_datetime(frame["expiry_datetime"], utc=True) - epoch) // second
    return frame


def read_chain(path: Path, min_strikes: int = MIN_STRIKES, max_expiries: int = MAX_EXPIRIES) -> Chain:
    """Read a recorded Deribit chain.

    Of each strike the out-of-the-money option is kept (its call and put carry one mark vol). An expiry is kept if it
    lies after the record and has at least `min_strikes` usable strikes; of more than `max_expiries` the nearest are
    kept.

    Parameters
    ----------
    path : Path
        CSV file as described in the data folder's README.
    min_strikes, max_expiries : int
        Selection limits.

    Raises
    ------
    CalibrationError
        If the file lacks a column, is empty or holds more than one moment.
    """
    records = load_records(path)
    as_of = int(records["as_of"].iloc[0])
    is_option = records["option_type"].isin(["call", "put"])
    usable = records[
        is_option
        & (records["expiry"] > as_of)
        & (records["strike"] > 0.0)
        & (records["futures_price"] > 0.0)
        & records["implied_volatility"].between(VOL_MIN, VOL_MAX)
    ]
    if usable.empty:
        raise CalibrationError(f"{path.name}: no usable record")
    model = black76_coin(
        usable["futures_price"].to_numpy(float),
        usable["strike"].to_numpy(float),
        usable["implied_volatility"].to_numpy(float),
        (usable["expiry"] - as_of).to_numpy(float) / YEAR_SECONDS,
        (usable["option_type"] == "call").to_numpy(bool),
    )
    mark_error = np.abs(model - usable["mark_price"].to_numpy(float))

    underlyings: dict[str, UnderlyingQuotes] = {}
    for coin in sorted(usable["currency"].unique(), reverse=True):
        own = usable[usable["currency"] == coin]
        index = own["index_price"].to_numpy(float)
        spot = round(float(np.median(index)), PRICE_DECIMALS)
        perpetual = records[records["instrument_name"] == f"{coin}-PERPETUAL"]["mark_price"]
        slices = [_read_slice(group, int(str(expiry)), as_of) for expiry, group in own.groupby("expiry", sort=True)]
        underlyings[str(coin)] = UnderlyingQuotes(
            spot=spot,
            confidence=index_confidence(index, spot),
            perp_mark=spot if perpetual.empty else round(float(perpetual.iloc[0]), PRICE_DECIMALS),
            slices=tuple([s for s in slices if s.strikes.size >= min_strikes][:max_expiries]),
        )
    return Chain(
        as_of=as_of,
        underlyings=underlyings,
        mark_error_median=float(np.median(mark_error)),
        mark_error_99=float(np.quantile(mark_error, 0.99)),
        dropped=len(records) - len(usable),
    )


def _read_slice(group: pd.DataFrame, expiry: int, as_of: int) -> SliceQuotes:
    forward = round(float(group["futures_price"].median()), PRICE_DECIMALS)
    otm = np.where(group["strike"] < forward, "put", "call") == group["option_type"]
    # False sorts last: where the out-of-the-money option is not recorded, the other side stands in.
    rows = group.assign(otm=otm).sort_values(["strike", "otm"], ascending=[True, False]).drop_duplicates("strike")
    return SliceQuotes(
        expiry=expiry,
        tau_seconds=expiry - as_of,
        forward=forward,
        strikes=rows["strike"].to_numpy(float),
        vols=rows["implied_volatility"].to_numpy(float),
        bids=np.where(rows["otm"], rows["bid_price"], np.nan).astype(float),
        asks=np.where(rows["otm"], rows["ask_price"], np.nan).astype(float),
    )
