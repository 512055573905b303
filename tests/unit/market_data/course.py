"""A course of published states, on the chain and as the arrays that the model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scripts import chain
from tests.unit.market_data.updates import DAY, NOW, Expiry, Update

USD = 10**9
# The first 08:00 UTC after NOW, four and a half hours later.
EIGHT = NOW - NOW % DAY + 8 * 3600
# Blocks come long after all states: a state may be of any age when it is published.
LATE = NOW + 1000 * DAY
PERIOD = 8 * 3600


@dataclass(frozen=True)
class State:
    """Prices in 1e-9 USD from a moment on."""

    time: int
    spot: int
    mark: int = 0


@dataclass(frozen=True)
class Course:
    """Market data to publish to and to ask at any time."""

    market_data: Any
    publisher: Any
    underlying: int = 2

    def publish(self, state: State, *expiries: Expiry) -> Any:
        """Publish a state; its mark is spot where it has none."""
        update = Update(
            underlying=self.underlying,
            timestamp=state.time,
            spot=state.spot,
            perp_mark=state.mark or state.spot,
            expiries=expiries,
        )
        return self.market_data.publish(update, sender=self.publisher)

    def funding(self, time: int) -> int:
        """Funding at a time, 1e-18 USD."""
        return int(chain.call_at(self.market_data.funding, time, self.underlying))

    def settlement(self, expiry: int) -> tuple[int, bool]:
        """1e-9 USD, and whether final."""
        price, is_final = self.market_data.settlement(self.underlying, expiry)
        return int(price), bool(is_final)

    def forward(self, expiry: int, time: int) -> int:
        """The forward handed out at a time, 1e-9 USD."""
        words, _ = chain.call_at(self.market_data.read, time, self.underlying, [expiry])
        return int(words[1]) >> 184

    def fixed(self, expiry: int, time: int) -> int:
        """How many 65,535ths of the forward are fixed at a time."""
        words, _ = chain.call_at(self.market_data.read, time, self.underlying, [expiry])
        return int(words[2]) & 65_535

    def fresh(self, expiry: int, time: int) -> bool:
        """Whether head and expiry are fresh."""
        return bool(chain.call_at(self.market_data.read, time, self.underlying, [expiry])[1])


def arrays(states: list[State]) -> tuple[Any, Any, Any]:
    """Times, spots and marks as the model takes them."""
    times = np.array([s.time for s in states], dtype=np.int64)
    spot = np.array([s.spot / USD for s in states])
    mark = np.array([(s.mark or s.spot) / USD for s in states])
    return times, spot, mark


def funding_tolerance(states: list[State], heartbeat: int) -> float:
    """How far funding of contract and model may be apart, USD.

    The contract rounds the limit of a premium to 1e-9 USD and the result to 1e-12. The model's premium is a difference
    of doubles, each of an error below 2**-53 of a price, or it is the limit: 1e-15 of the greater price covers that and
    the sum.
    """
    periods = heartbeat / PERIOD
    return 1e-12 + sum(periods * (1e-9 + 1e-15 * max(s.spot, s.mark) / USD) for s in states)


def mean_tolerance(states: list[State], forward: int = 0) -> float:
    """How far means of contract and model may be apart, USD.

    The contract rounds to 1e-9. The model's sum of as many products as there are states errs by less than 2**-52 of the
    greatest price for each.
    """
    return 1e-9 + (len(states) + 2) * 2.0**-52 * max(forward, *(s.spot for s in states)) / USD


@st.composite
def marked_courses(draw: st.DrawFn, heartbeat: int) -> list[State]:
    """Marks about spot, from a tenth of the limit to far beyond it; gaps on both sides of the heartbeat."""
    prices = st.one_of(st.integers(10**3, 10**17), st.sampled_from([10**3, 10**17]))
    time, states = NOW, []
    for _ in range(draw(st.integers(1, 6))):
        spot = draw(prices)
        mark = spot + spot * draw(st.integers(-1000, 1000)) // 10**5 if draw(st.booleans()) else draw(prices)
        states.append(State(time, spot, min(max(mark, 10**3), 10**17)))
        time += draw(st.one_of(st.integers(1, 2 * heartbeat), st.integers(1, 30 * DAY), st.just(heartbeat)))
    return states
