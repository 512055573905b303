"""Settlement of the model against figures worked out by hand, second by second, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import settlement
from python_model.portfolio import Kind

EIGHT = 20_000 * settlement.DAY + settlement.TIME_OF_DAY
WINDOW = settlement.WINDOW_SECONDS


def course(*states):
    return np.array([s[0] for s in states], dtype=np.int64), np.array([s[1] for s in states], dtype=np.float64)


def test_only_08_00_utc_settles_by_the_mean():
    assert settlement.settles_by_mean(EIGHT)
    assert not any(settlement.settles_by_mean(EIGHT + s) for s in (-3600, -1, 1, 3600))
    late = course((EIGHT - 9000, 2000.0), (EIGHT + 9000, 2000.0))
    assert settlement.settlement_price(*late, EIGHT + 1) is None
    assert settlement.partly_fixed_forward(*late, EIGHT + 1, EIGHT, 2100.0) == 2100.0


def test_the_mean_of_half_an_hour():
    path = course((EIGHT - 2700, 2000.0), (EIGHT - 1200, 2300.0), (EIGHT + 60, 9000.0))
    assert settlement.settlement_price(*path, EIGHT) == pytest.approx(2200.0, rel=1e-15)


def test_it_is_known_with_the_first_state_at_or_after_the_expiry():
    before = ((EIGHT - 1800, 2000.0), (EIGHT - 900, 2100.0))
    assert settlement.settlement_price(*course(*before), EIGHT) is None
    for after in (0, 1, 10**6):
        assert settlement.settlement_price(*course(*before, (EIGHT + after, 1.0)), EIGHT) == 2050.0


def test_a_first_state_inside_the_window_starts_the_mean():
    path = course((EIGHT - 400, 2000.0), (EIGHT - 300, 2400.0), (EIGHT, 1.0))
    assert settlement.settlement_price(*path, EIGHT) == 2300.0
    assert settlement.partly_fixed_forward(*path[:1], path[1], EIGHT, EIGHT, 1.0) == 2300.0


def test_without_a_state_before_it_there_is_no_price():
    path = course((EIGHT, 2000.0), (EIGHT + 1, 2000.0))
    assert settlement.settlement_price(*path, EIGHT) is None
    assert settlement.settlement_price(*course(), EIGHT) is None
    assert settlement.partly_fixed_forward(*path, EIGHT, EIGHT + 1, 2100.0) == 2100.0
    with pytest.raises(ValueError, match="times: the first must be before the expiry"):
        settlement.window_mean(*path, EIGHT, 0.0, EIGHT)


def test_the_forward_is_fixed_second_by_second():
    path = course((EIGHT - 2700, 2000.0))
    for seconds, want in ((-1, 2100.0), (0, 2100.0), (450, 2075.0), (900, 2050.0), (1800, 2000.0), (9999, 2000.0)):
        got = settlement.partly_fixed_forward(*path, EIGHT, EIGHT - WINDOW + seconds, 2100.0)
        assert got == pytest.approx(want, rel=1e-15)


courses = st.lists(st.tuples(st.integers(1, 1500), st.floats(1.0, 1e5)), min_size=1, max_size=8)


@given(rows=courses, start=st.integers(-4000, -1), now=st.integers(0, 4000), forward=st.floats(1.0, 1e5))
def test_it_is_the_mean_of_every_second(rows, start, now, forward):
    """One second after the other, the slow way."""
    times = EIGHT + start + np.cumsum([0] + [r[0] for r in rows[:-1]])
    spot = np.array([r[1] for r in rows])
    first = max(int(times[0]), EIGHT - WINDOW)
    fixed = min(max(int(times[-1]), first) + now, EIGHT)
    seconds = [
        spot[np.searchsorted(times, second, "right") - 1] if second < fixed else forward
        for second in range(first, EIGHT)
    ]
    got = settlement.window_mean(times, spot, EIGHT, forward, fixed)
    # 1800 additions of doubles.
    assert got == pytest.approx(float(np.mean(seconds)), rel=1e-12)


prices = st.floats(1e-6, 1e8)


@given(price=prices, strike=prices, entry=prices)
def test_payoffs(price, strike, entry):
    call, put = (float(settlement.payoff(kind, price, strike)) for kind in (Kind.CALL, Kind.PUT))
    assert min(call, put) == 0.0
    assert call - put == price - strike
    assert float(settlement.payoff(Kind.FUTURE, price, entry=entry)) == price - entry


def test_payoffs_of_many_prices_at_once():
    assert settlement.payoff(Kind.CALL, np.array([90.0, 100.0, 130.0]), 100.0).tolist() == [0.0, 0.0, 30.0]
    assert settlement.payoff(Kind.PUT, np.array([90.0, 100.0, 130.0]), 100.0).tolist() == [10.0, 0.0, 0.0]


@pytest.mark.parametrize(("kind", "strike"), [(Kind.PERP, None), (Kind.CALL, None), (Kind.PERP, 1.0)])
def test_what_has_no_payoff_says_so(kind, strike):
    with pytest.raises(ValueError, match="kind: must be future, or call or put with a strike"):
        settlement.payoff(kind, 100.0, strike)
