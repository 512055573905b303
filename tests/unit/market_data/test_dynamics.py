"""The scan range follows volatility and the depth open interest, along ramps that no update can jump (M-21 to M-23)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode
from hypothesis import given, note
from hypothesis import strategies as st

from python_model import liquidity, ramp, volatility
from scripts import chain
from tests.unit.market_data.updates import DAY, FALL, NOW, RISE, Terms, Update

USD = 10**9
SPOT = 2000 * USD
ONE = 10**12
HOUR = 3600
# What the model has for the same speeds: whole units of 1e-12 a second.
DEFAULTS = replace(volatility.Terms(), rise=RISE / ONE, fall=FALL / ONE)


def moving(**changed: Any) -> Terms:
    """The default terms of M-21 and M-22."""
    values = chain.terms(DEFAULTS, (chain.NOBODY, ONE, 0, 0))[3:8]
    return Terms(0, 0, 0, *values, chain.NOBODY, ONE, 0, 0)._replace(**changed)


def tolerance(updates: int) -> float:
    """How far scan ranges of contract and model may be apart.

    A variance is rounded up by less than two units of 1e-18 with each update, on top of the error of `_wad_exp` and
    `_wad_ln`, below 1e-17 each; times q / (2 sigma), with sigma above floor / q = 0.034, that is far below 1e-15. The
    range is rounded up to 1e-12 once as target, and down to it once with each bend.
    """
    return (updates + 2) * 1e-12


@dataclass
class Twin:
    """The same updates for the contract and for the model."""

    market_data: Any
    publisher: Any
    owner: Any
    ape_chain: Any
    underlying: int = 2

    def publish(self, time: int, spot: int, timestamp: int | None = None) -> None:
        """In a block of a given time, as of a timestamp not behind it."""
        self.ape_chain.pending_timestamp = time
        update = Update(self.underlying, timestamp or time, spot, spot, expiries=())
        self.market_data.publish(update, sender=self.publisher)

    def change(self, time: int, terms: Terms) -> None:
        """Set terms in a block of a given time."""
        self.ape_chain.pending_timestamp = time
        self.market_data.set_terms(self.underlying, terms, sender=self.owner)

    def range_at(self, time: int) -> float:
        """As handed out to the margin engine."""
        words, _ = chain.call_at(self.market_data.read, time, self.underlying, [])
        scan_range = (words[0] >> 32) % 2**40
        assert scan_range == self.dynamics(time).scan_range
        return float(scan_range / ONE)

    def depth_at(self, time: int) -> float:
        """As handed out to the margin engine."""
        words, _ = chain.call_at(self.market_data.read, time, self.underlying, [])
        assert words[0] % 2**32 == self.dynamics(time).depth
        return float(words[0] % 2**32 / 10**6)

    def dynamics(self, time: int) -> Any:
        """`IMarketData.Dynamics`."""
        return chain.call_at(self.market_data.dynamics, time, self.underlying)


@pytest.fixture(scope="module")
def twin(market_data, publisher, owner, ape_chain):
    """Of an underlying with the default terms."""
    market_data.set_terms(2, moving(), sender=owner)
    return Twin(market_data, publisher, owner, ape_chain)


def test_it_begins_where_the_terms_say(twin):
    for initial in (12 * 10**10, 31 * 10**10):
        twin.change(NOW - 1, moving(initial=initial))
        first = twin.dynamics(NOW)
        assert (first.scan_range, first.scan_range_target, first.depth, first.depth_target) == (
            initial,
            initial,
            10**6,
            10**6,
        )
        assert first.variance == pytest.approx((initial / ONE / 3.5) ** 2 * 10**18, rel=1e-11)


def test_a_calm_day_and_a_crash(twin):
    """By hand: 16% / 3.5 a day to begin with; a tenth in an hour weighs as 49% a day for an hour."""
    twin.publish(NOW, SPOT)
    twin.publish(NOW + DAY, SPOT)
    calm = 0.16 / 3.5 * 2.0 ** (-1 / 6)
    assert twin.dynamics(NOW + DAY).variance == pytest.approx(calm**2 * 1e18, rel=1e-9)
    twin.publish(NOW + DAY + HOUR, SPOT * 9 // 10)
    kept = 2.0 ** (-1 / 72)
    variance = kept * calm**2 + (1 - kept) * np.log(0.9) ** 2 * 24
    crash = twin.dynamics(NOW + DAY + HOUR)
    assert crash.variance == pytest.approx(variance * 1e18, rel=1e-9)
    assert crash.scan_range_target == pytest.approx(3.5 * np.sqrt(variance) * ONE, rel=1e-9)
    # The range itself was told a day late that the day was calm: it has fallen for an hour.
    low = 0.16 - 0.0025
    assert twin.range_at(NOW + DAY + HOUR) == pytest.approx(low, abs=1e-6)
    # And rises by a point an hour.
    assert twin.range_at(NOW + DAY + 2 * HOUR) == pytest.approx(low + 0.01, abs=1e-6)


# --- the model -----------------------------------------------------------------------------------------------------

SECONDS = st.one_of(st.integers(1, 120), st.integers(600, 4 * HOUR), st.integers(DAY, 30 * DAY))
LAGS = st.sampled_from([0, 0, 1, 30, 300])


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Block time, timestamp and spot; timestamps rise and are not ahead of their block."""
    rows = [(NOW, NOW, SPOT)]
    for _ in range(draw(st.integers(1, 7))):
        time, timestamp, spot = rows[-1]
        time += draw(SECONDS)
        timestamp = max(timestamp + 1, time - draw(LAGS))
        move = draw(st.sampled_from([1, 20, 100, 1000, 3000])) * draw(st.integers(-300, 300))
        rows.append((time, timestamp, max(spot + spot * move // 10**6, USD)))
    return rows


@given(rows=courses(), after=SECONDS)
def test_contract_and_model_agree(twin, ape_chain, rows, after):
    with ape_chain.isolate():
        state: volatility.State | None = None
        variance, aim = 0.0, ramp.Ramp(NOW, 0.16, 0.16, DEFAULTS.rise, DEFAULTS.fall)
        for i, (time, timestamp, spot) in enumerate(rows):
            before = twin.range_at(time) if i else 0.16
            twin.publish(time, spot, timestamp)
            price = spot / USD
            if state is None:
                state = volatility.State.first(timestamp, price, DEFAULTS)
            else:
                state = state.accepted(timestamp, price, DEFAULTS)
            variance = state.variance
            # The average runs on the time of the prices, the ramp on that of the blocks.
            aim = aim.aim(time, float(volatility.target(variance, DEFAULTS)))
            for moment in (time, time + after):
                note(f"{moment}: {aim}")
                assert abs(twin.range_at(moment) - aim.at(moment)) <= tolerance(i + 1)
            # INV-14: to the last unit.
            assert twin.range_at(time) == before
            assert twin.dynamics(time).variance / 10**18 == pytest.approx(variance, rel=1e-9, abs=1e-16)


@given(rows=courses(), data=st.data())
def test_no_sequence_of_updates_and_terms_beats_the_ramp(twin, ape_chain, rows, data):
    """INV-14: between any two moments the range moves no faster than the speeds, whatever the owner sets."""
    with ape_chain.isolate():
        moments: list[tuple[int, float]] = []
        last = NOW
        for time, timestamp, spot in rows:
            for between in (time - 1, time):
                if between >= max(last, NOW) and moments:
                    moments.append((between, twin.range_at(between)))
            twin.publish(time, spot, timestamp)
            moments.append((time, twin.range_at(time)))
            last = time
            if data.draw(st.booleans()):
                least = data.draw(st.integers(1, ONE // 2))
                most = data.draw(st.integers(least, ONE))
                changed = moving(
                    floor=least,
                    cap=most,
                    initial=least,
                    multiple=data.draw(st.integers(1, 10 * ONE)),
                    halflife_seconds=data.draw(st.integers(1, 365 * DAY)),
                )
                # In the block of the update, and it changes nothing there.
                ape_chain.provider.make_request("anvil_setBlockTimestampInterval", [0])
                twin.change(time, changed)
                ape_chain.provider.make_request("anvil_removeBlockTimestampInterval", [])
                assert twin.range_at(time) == moments[-1][1]
        moments.append((last + 10 * DAY, twin.range_at(last + 10 * DAY)))
        for (start, low), (end, high) in pairwise(moments):
            assert -FALL * (end - start) <= round((high - low) * ONE) <= RISE * (end - start)


def test_the_range_stays_within_floor_and_cap(twin):
    twin.publish(NOW, SPOT)
    for i in range(1, 40):
        twin.publish(NOW + i * HOUR, SPOT if i % 2 else SPOT // 2)
    assert twin.range_at(NOW + 40 * HOUR) == pytest.approx(0.4, abs=1e-4)
    assert twin.range_at(NOW + 400 * HOUR) == 0.4
    twin.publish(NOW + 300 * DAY, SPOT)
    twin.publish(NOW + 600 * DAY, SPOT)
    assert twin.range_at(NOW + 900 * DAY) == 0.12


def test_extremes_do_not_revert(twin, owner, market_data):
    """Fourteen decades in a second, years without a price, a halflife of a second or a year."""
    for halflife in (1, 365 * DAY):
        with twin.ape_chain.isolate():
            twin.change(NOW - 10, moving(halflife_seconds=halflife, multiple=10 * ONE))
            prices = (10**3, 10**17, 10**3, 10**17)
            times = (NOW, NOW + 1, NOW + 2, 2**32 - 2)
            for time, price in zip(times, prices, strict=True):
                twin.publish(time, price)
            assert 0 < twin.dynamics(times[-1]).variance < 2**88
            assert 0.12 <= twin.range_at(times[-1]) <= 0.4


# --- depth ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(project_contracts: Any, owner: Any, market_data: Any) -> Any:
    """Says one number for both open interest and cap; the real house is asked in the tests of the clearing house."""
    source = owner.deploy(project_contracts.RudeSource)
    market_data.set_depth_source(source, sender=owner)
    return source


def test_depth_sinks_along_its_ramp(twin, house, owner):
    house.set_answer(encode(["uint256"], [0]), sender=owner)
    twin.publish(NOW, SPOT)
    assert twin.depth_at(NOW + DAY) == 1.0
    # Full: as much as the cap.
    house.set_answer(encode(["uint256"], [10**9]), sender=owner)
    twin.publish(NOW + DAY, SPOT)
    model = liquidity.first(NOW).aim(NOW + DAY, liquidity.LEAST)
    for seconds in (0, 1, HOUR, 10 * HOUR, 20 * HOUR):
        assert twin.depth_at(NOW + DAY + seconds) == pytest.approx(model.at(NOW + DAY + seconds), abs=1e-9)
    assert twin.depth_at(NOW + 2 * DAY) == liquidity.LEAST
    # And comes back.
    house.set_answer(encode(["uint256"], [0]), sender=owner)
    twin.publish(NOW + 2 * DAY, SPOT)
    assert twin.depth_at(NOW + 2 * DAY + HOUR) == pytest.approx(liquidity.LEAST + HOUR * liquidity.RATE, abs=1e-9)
    assert twin.depth_at(NOW + 3 * DAY) == 1.0


SILENT = {
    "reverts": lambda h, o: h.set_manner(1, sender=o),
    "burns its gas": lambda h, o: h.set_manner(2, sender=o),
    "says nothing": lambda h, o: h.set_answer(b"", sender=o),
    "is negative": lambda h, o: h.set_answer(encode(["int256"], [-1]), sender=o),
    "is beyond all sizes": lambda h, o: h.set_answer(encode(["uint256"], [2**128]), sender=o),
}


@pytest.mark.parametrize("manner", SILENT.values(), ids=SILENT)
def test_a_house_that_does_not_answer_leaves_the_target(twin, house, owner, manner):
    """It is in the midst of a call: prices go on."""
    house.set_answer(encode(["uint256"], [2**128 - 1]), sender=owner)
    twin.publish(NOW, SPOT)
    assert twin.dynamics(NOW).depth_target == 250_000
    manner(house, owner)
    twin.publish(NOW + 1, SPOT)
    assert twin.dynamics(NOW + 1).depth_target == 250_000


def test_without_a_house_depth_comes_back(twin, house, market_data, owner):
    house.set_answer(encode(["uint256"], [1]), sender=owner)
    twin.publish(NOW, SPOT)
    market_data.set_depth_source(chain.NOBODY, sender=owner)
    twin.publish(NOW + 1, SPOT)
    assert twin.dynamics(NOW + 1).depth_target == 10**6
