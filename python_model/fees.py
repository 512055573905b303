"""What a side of a trade pays, as `contracts/modules/fees.vy`.

A part of the notional; of an option at most a part of its premium.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_model.portfolio import Position


@dataclass(frozen=True)
class Fees:
    """Rates of maker and taker as fractions of the notional, and the cap as a fraction of the premium of an option."""

    maker: float
    taker: float
    premium_cap: float


HOUSE = Fees(maker=1e-4, taker=3e-4, premium_cap=0.125)


def fee(position: Position, price: float, spot: float, rate: float, premium_cap: float) -> float:
    """The fee of a side for one leg, USD.

    Parameters
    ----------
    position : what is traded; the sign of its size does not matter
    price : USD for one unit
    spot : USD
    rate : of the side, `Fees.maker` or `Fees.taker`
    premium_cap : `Fees.premium_cap`
    """
    charged = abs(position.size) * spot * rate
    return min(charged, abs(position.size) * price * premium_cap) if position.kind.is_option else charged
