"""A course of prices through the contract that holds market data, beside the float model.

Each price is published in a block of its hour. One that jumps further than an update may is doubted, and published
again when it can be confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from python_model import volatility
from python_model.history import Series
from python_model.normal import Floats
from python_model.ramp import Ramp
from python_model.volatility import State, Terms
from scripts import chain

USD = 10**9
UNDERLYING = 1
# Where a course begins after the last block.
PAUSE_SECONDS = 60


@dataclass(frozen=True, eq=False)
class Course:
    """What contract and model said of a series. `contract` and `model` are scan ranges (n,) at the hours with a price.

    `hours` are their indices in the series, `doubts` how many updates had to be confirmed, `gas` what an update took on
    average.
    """

    series: Series
    hours: NDArray[np.int64]
    contract: Floats
    model: Floats
    doubts: int
    gas: float

    @property
    def difference(self) -> float:
        """The largest between contract and model, a fraction of spot."""
        return float(np.max(np.abs(self.contract - self.model)))

    @property
    def allowed(self) -> float:
        """The contract rounds to 1e-12 with each update, once the target and once where the ramp bends."""
        return 2e-12 * (self.hours.size + self.doubts + 1)


def deploy(contracts: Any, sender: Any, terms: Terms) -> Any:
    """Market data whose scan ranges walk at the speeds of these terms, and which the sender may publish."""
    market_data = sender.deploy(contracts.MarketData, *chain.speeds(terms))
    market_data.set_publisher(sender, True, sender=sender)
    return market_data


def run(
    contracts: Any, sender: Any, series: Series, terms: Terms, advance: Callable[[], None] = lambda: None
) -> Course:
    """Publish every price of a series to fresh market data; moves the chain's clock by as much as the series lasts.

    Parameters
    ----------
    contracts : namespace of ape contract containers
    sender : ape account
    series : Series
        The first price must be known; hours without a price are left out.
    terms : Terms
        The range begins at `initial`.
    advance : called once for each hour
    """
    market_data, provider = deploy(contracts, sender, terms), sender.provider
    market_data.set_terms(UNDERLYING, chain.terms(terms), sender=sender)
    speeds = (speed * 1e-12 for speed in chain.speeds(terms))
    ramp = Ramp(0, terms.initial, terms.initial, *speeds)
    shift = provider.get_block("latest").timestamp + PAUSE_SECONDS - int(series.times[0])
    confirmation = chain.GUARD[-1]
    state: State | None = None
    hours, contract, model, gas, doubts = [], [], [], [], 0

    def publish(time: int, price: float) -> bool:
        provider.set_timestamp(time)
        spot = chain.scaled(price, 9)
        receipt = market_data.publish((UNDERLYING, time, spot, spot, 0, []), sender=sender)
        gas.append(receipt.gas_used)
        return not receipt.decode_logs(market_data.UpdateDoubted)

    for i, (hour, price) in enumerate(zip(series.times.tolist(), series.close.tolist(), strict=True)):
        advance()
        if not math.isfinite(price):
            continue
        time, price = hour + shift, round(price, 9)
        if not publish(time, price):
            doubts += 1
            time += confirmation
            if not publish(time, price):
                raise RuntimeError(f"hour {i}: a price of {price} was doubted twice")
        if state is None:
            state = State.first(time, price, terms)
            ramp = ramp.aim(time, terms.initial)
        else:
            state = state.accepted(time, price, terms)
            ramp = ramp.aim(time, float(volatility.target(state.variance, terms)))
        hours.append(i)
        contract.append(chain.call_at(market_data.dynamics, time, UNDERLYING).scan_range / 1e12)
        model.append(ramp.at(time))
    return Course(series, np.array(hours), np.array(contract), np.array(model), doubts, float(np.mean(gas)))
