"""What a scan range would have been worth: known answers on made-up prices, and claims about real ones."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_model import history, methodology, replay
from python_model.history import HOUR, HistoryError, Series
from python_model.replay import HOURS
from python_model.volatility import Terms, scan_range_path
from tests.model.series import frame, jump, series, write

HOUSE = methodology.load("house")
DATA = Path(__file__).parents[3] / "shared" / "data"
TERMS = Terms()


# --- moves -----------------------------------------------------------------------------------------------------------


@given(
    prices=st.lists(st.floats(1, 1e5), min_size=30, max_size=60),
    gaps=st.sets(st.integers(1, 59), max_size=10),
    spread=st.floats(0, 0.5),
    hours=st.sampled_from([1, 2, HOURS]),
)
def test_moves_are_those_of_a_plain_loop(prices, gaps, spread, hours):
    close = np.array(prices)
    close[[g for g in gaps if g < close.size]] = np.nan
    s = series(close, close * (1 + spread), close * (1 - spread))
    closing, worst = replay.closing_moves(s, hours), replay.worst_moves(s, hours)
    for t in range(close.size):
        later = [i for i in range(t + 1, t + hours + 1) if i < close.size and math.isfinite(close[i])]
        if t + hours >= close.size or not math.isfinite(close[t]) or not later:
            assert math.isnan(closing[t]) and math.isnan(worst[t])
            continue
        furthest = max(max(abs(s.high[i] / close[t] - 1), abs(s.low[i] / close[t] - 1)) for i in later)
        assert worst[t] == pytest.approx(furthest, rel=1e-14)
        if math.isfinite(close[t + hours]):
            assert closing[t] == pytest.approx(abs(close[t + hours] / close[t] - 1), rel=1e-14)
            assert worst[t] >= closing[t]
        else:
            assert math.isnan(closing[t])


def test_a_wick_is_in_the_worst_move_alone():
    quiet = np.full(100, 2000.0)
    low = np.where(np.arange(100) == 50, 1200.0, 2000.0)
    s = series(quiet, quiet, low)
    assert np.nanmax(replay.closing_moves(s)) == 0.0
    assert np.flatnonzero(replay.worst_moves(s) == 0.4).tolist() == list(range(26, 50))


# --- coverage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [0.30, -0.30])
def test_one_jump_is_beyond_a_static_range_for_the_day_before_it(move):
    got = replay.judge(jump(move), replay.constant(jump(move), 0.16))
    for c in (got.closing, got.worst):
        assert (c.observed, c.exceeded, c.runs) == (1000 - HOURS, HOURS, 1)
        assert (c.beyond, c.furthest) == (pytest.approx(0.14), pytest.approx(0.14))
        assert c.share == HOURS / 976 and c.days == pytest.approx(976 / 24)
    assert (got.mean, got.rise.points, got.ratio.ratio, got.peak_over_trough) == (pytest.approx(0.16), 0.0, 1.0, 1.0)


def test_the_dynamic_range_of_one_jump():
    s = jump(0.30)
    path = scan_range_path(s.times, s.close, TERMS)
    # Twenty days of nothing leave the floor. The jump takes the target beyond the cap, and the range follows by a point
    # an hour from the hour of the jump on, until it meets the target, which is on its way down again.
    assert path.scan_range[500] == 0.12 and path.target[499] == 0.12 and path.target[500] == 0.40
    assert path.scan_range[501:527] == pytest.approx(0.12 + 0.01 * np.arange(1, 27))
    variance = 24 * (1 - 2 ** (-1 / 72)) * math.log(1.3) ** 2
    met = 3.5 * math.sqrt(variance * 2 ** (-26 / 72))
    assert path.scan_range.max() == path.scan_range[527] == pytest.approx(met, rel=1e-3) and met < 0.40
    got = replay.judge(s, path.scan_range)
    assert (got.rise.low, got.rise.high, got.rise.at) == (0.12, pytest.approx(0.36), 524)
    assert (got.ratio.ratio, got.peak_over_trough) == (pytest.approx(3.0), pytest.approx(path.scan_range[527] / 0.12))
    assert got.closing.exceeded == HOURS and got.closing.beyond == pytest.approx(0.18)


def test_what_is_not_beyond_is_not_counted():
    got = replay.coverage(replay.closing_moves(jump(0.30)), 0.31)
    assert (got.exceeded, got.beyond, got.furthest, got.runs, got.interval[0]) == (0, 0.0, 0.0, 0, 0.0)
    with pytest.raises(ValueError, match=r"^moves: none is known"):
        replay.coverage(np.full(5, np.nan), 0.1)


def test_a_missing_hour_is_no_day_observed():
    s = jump(0.30)
    close = s.close.copy()
    close[100] = np.nan
    assert replay.coverage(replay.closing_moves(series(close)), 0.16).observed == 976 - 2


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 30))
def test_runs_are_counted_as_by_hand(hours, apart):
    count, last = 0, None
    for i, hour in enumerate(hours):
        if hour:
            count += last is None or i - last > apart
            last = i
    assert replay.runs(np.array(hours, dtype=bool), apart) == count


@pytest.mark.parametrize(
    ("trials", "p", "low", "high"),
    [
        # Kupiec (1995): numbers of failures that do not reject p at 95%, exclusive. The table leaves the first lower
        # end open; none in 255 has a ratio of 5.13, above 3.84.
        (255, 0.01, 0, 7),
        (510, 0.01, 1, 11),
        (1000, 0.01, 4, 17),
        (255, 0.025, 2, 12),
        (1000, 0.025, 15, 36),
        (255, 0.05, 6, 21),
        (1000, 0.05, 37, 65),
        (255, 0.10, 16, 36),
        (1000, 0.10, 81, 120),
    ],
)
def test_the_interval_is_that_of_the_published_table(trials, p, low, high):
    inside = []
    for failures in range(trials // 5):
        a, b = replay.likelihood_interval(failures, trials)
        if a <= p <= b:
            inside.append(failures)
    assert (inside[0] - 1, inside[-1] + 1) == (low, high)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_holds_the_share(trials, share):
    low, high = replay.likelihood_interval(share * trials, trials)
    assert 0.0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1.0


def test_a_static_range_as_wide_as_its_quantile_goes_beyond_as_often():
    moves = np.abs(np.random.default_rng(3).normal(0, 0.04, 20_000))
    for share in (0.001, 0.02, 0.3):
        got = replay.coverage(moves, replay.equally_wide(moves, share)).share
        assert got == pytest.approx(share, abs=1 / moves.size)


# --- books -----------------------------------------------------------------------------------------------------------


def test_a_book_needs_what_its_path_says():
    ranges = np.random.default_rng(5).uniform(0.12, 0.40, 25)
    for standard in replay.standard_books():
        got = replay.initial_path(standard, HOUSE, ranges)
        want = [standard.initial(HOUSE, float(r)) for r in ranges]
        # The worst scenario changes at a bend: a line over a tenth of a point cuts it by less than a thousandth.
        np.testing.assert_allclose(got, want, rtol=1e-3)
        wide, narrow = standard.initial(HOUSE, 0.40), standard.initial(HOUSE, 0.12)
        assert wide > 2 * narrow


def test_the_perpetual_needs_its_range_and_its_cost():
    perpetual = replay.standard_books()[0]
    # 10 at 2,000 USD: 1.25 times the range, and 5 bps for a delta of 20,000 USD in a depth of 20m.
    want = 1.25 * (20_000 * 0.16 + 20_000 * 0.0005 * (1 + 0.001))
    assert perpetual.initial(HOUSE, 0.16) == pytest.approx(want, rel=1e-12)


# --- weeks and settings ----------------------------------------------------------------------------------------------


def test_worst_weeks_do_not_overlap_and_come_in_order():
    at = {200: 0.8, 220: 0.9, 500: 0.6, 800: 0.7}
    factors = np.ones(1200)
    for hour, factor in at.items():
        factors[hour] = factor
    weeks = replay.worst_weeks(series(2000 * np.cumprod(factors)), 3)
    # The two of 200 and 220 are within one day, and together worse than the one of 800.
    assert [round(w.move, 3) for w in weeks] == [-0.4, -0.3, -0.28]
    for week, hour in zip(weeks, (500, 800, 220), strict=True):
        assert week.at < hour <= week.at + HOURS
        assert (week.start, week.stop) == (week.at - 72, week.at + 96)


def test_at_the_edges_a_week_is_cut():
    (week,) = replay.worst_weeks(jump(-0.3, at=10, hours=60), 1)
    assert (week.start, week.stop) == (0, 60)


def test_settings_differ_in_what_they_say():
    rows = list(replay.variations(TERMS))
    assert len(rows) == 4 + 2 + 2 + 2 + 4 + 2
    for name, value, terms in rows:
        changed = {k for k in TERMS.__dict__ if getattr(terms, k) != getattr(TERMS, k)}
        assert getattr(terms, name) == value and changed - {"initial"} == {name}
    settings = replay.all_settings(TERMS)
    assert len(set(settings)) == len(settings) == 5 * 3 * 3 * 3 and TERMS in settings


def test_better_is_beyond_less_often_at_no_more():
    s = jump(0.30)
    narrow, default, wide = (replay.judge(s, replay.constant(s, r)) for r in (0.1, 0.16, 0.31))
    assert replay.better([[narrow], [default], [wide]], [default]) == ()
    cheap = replay.Verdict(wide.closing, wide.worst, default.mean, wide.rise, wide.ratio, 1.0)
    assert replay.better([[default], [cheap]], [default]) == (1,)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_series_is_read_at_the_ends_of_its_hours_with_gaps_shown(tmp_path):
    table = frame(np.arange(100.0, 110.0))
    write(tmp_path, table.drop(table.index[[3, 4]]))
    got = history.load(tmp_path, "ETH")
    start = int(pd.Timestamp("2020-01-01", tz="UTC").timestamp())
    assert got.times.tolist() == [start + HOUR * (i + 1) for i in range(10)]
    assert np.flatnonzero(np.isnan(got.close)).tolist() == [3, 4]
    assert (got.close[5], got.high[5], got.low[5]) == (105.0, 105.0 * 1.01, 105.0 * 0.99)
    assert got.between(2, 6).times.tolist() == got.times[2:6].tolist()


def test_what_is_no_series_is_refused_in_one_line(tmp_path):
    with pytest.raises(HistoryError, match=r"eth_usdt_1h\.parquet: is absent"):
        history.load(tmp_path, "ETH")
    write(tmp_path, frame(np.array([100.0, -1.0])))
    with pytest.raises(HistoryError, match="prices must be greater than 0"):
        history.load(tmp_path, "ETH")
    write(tmp_path, frame(np.array([100.0, 101.0])).iloc[::-1])
    with pytest.raises(HistoryError, match="must have rows by rising time"):
        history.load(tmp_path, "ETH")
    write(tmp_path, frame(np.array([100.0, 101.0])).drop(columns="low"))
    with pytest.raises(HistoryError) as error:
        history.load(tmp_path, "ETH")
    assert "low" in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "prices" / history.FILES["ETH"]).write_text("no parquet")
    with pytest.raises(HistoryError) as error:
        history.load(tmp_path, "ETH")
    assert "\n" not in str(error.value)


def test_a_week_without_its_beginning_is_refused(tmp_path):
    text = history.WEEK.read_text(encoding="utf-8")
    path = tmp_path / "week.csv"
    path.write_text(text.replace("# variance", "# other"), encoding="utf-8")
    with pytest.raises(HistoryError, match=r"^week\.csv: variance is missing"):
        history.read_week(path)
    path.write_text(text.replace("-0.0203", "much"), encoding="utf-8")
    with pytest.raises(HistoryError, match=r"^week\.csv: log_return: "):
        history.read_week(path)


def test_the_week_that_ships_is_a_week_around_a_fall_by_half():
    week = history.read_week()
    assert week.series.close.size == replay.WEEK + 1
    (fall,) = replay.worst_weeks(week.series, 1)
    assert fall.move == pytest.approx(-0.478, abs=1e-3)
    path = scan_range_path(week.series.times, week.series.close, TERMS, week.start)
    assert path.scan_range[0] == week.start.scan_range(week.start.time) == pytest.approx(0.162664)
    assert path.scan_range[fall.at] < 0.20 and path.scan_range.max() == 0.40


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(replay) == doctest.TestResults(failed=0, attempted=1)


# --- real prices -----------------------------------------------------------------------------------------------------


def real(name: str) -> Series:
    """A real series; skips where there is none."""
    if not (DATA / "prices").is_dir():
        pytest.skip("../shared/data/prices is absent: the real hourly prices are no part of the project")
    return history.load(DATA, name)


@pytest.fixture(scope="module", params=sorted(history.FILES))
def recorded(request) -> Series:
    """Each of them."""
    return real(request.param)


def test_real_days_go_beyond_the_default_range_in_less_than_a_hundredth_by_close(recorded):
    got = replay.judge(recorded, replay.held(recorded, TERMS))
    assert got.closing.share < 0.008 and got.closing.interval[1] < 0.0105
    assert got.worst.share < 0.02
    assert 0.13 < got.mean < 0.165, "no more on average than the static 16%"


def test_real_days_go_beyond_a_static_range_of_the_same_mean_at_least_two_fifths_more_often(recorded):
    dynamic = replay.judge(recorded, replay.held(recorded, TERMS))
    static = replay.judge(recorded, replay.constant(recorded, dynamic.mean))
    assert static.worst.share > 1.4 * dynamic.worst.share
    assert static.closing.share > 1.3 * dynamic.closing.share


def test_a_slower_rise_would_have_cost_little_coverage_and_spared_most_of_the_rise(recorded):
    slow = replay.adapted(TERMS, rise=0.0025 / HOUR)
    a, b = (replay.judge(recorded, replay.held(recorded, t)) for t in (TERMS, slow))
    assert b.worst.share - a.worst.share < 0.0006
    # Never more than 24 hours of the rate.
    assert b.rise.points <= 0.06 + 1e-12 < 0.19 < a.rise.points <= 0.24 + 1e-12


def test_the_limit_of_the_fall_does_not_bind(recorded):
    # sqrt(v) can fall by no more than ln 2 / 2 of itself in a half-life: 0.19 points an hour of 40%.
    default = replay.held(recorded, TERMS)
    faster = replay.held(recorded, replay.adapted(TERMS, fall=0.01 / HOUR))
    assert np.max(np.abs(default - faster)) < 0.01 and float(np.mean(default != faster)) < 0.01


def test_the_week_that_ships_is_that_of_the_real_prices():
    recorded = real("ETH")
    week, (fall,) = history.read_week(), replay.worst_weeks(recorded, 1)
    rows = slice(fall.start, fall.stop + 1)
    assert week.series.times.tolist() == recorded.times[rows].tolist()
    # Roundings of 168 returns to 1e-4: 0.84% if all had one sign.
    np.testing.assert_allclose(week.series.close, recorded.close[rows], rtol=0.0084)
    whole = scan_range_path(recorded.times, recorded.close, TERMS).scan_range[rows]
    mine = scan_range_path(week.series.times, week.series.close, TERMS, week.start).scan_range
    # Volatility errs by no more than the roundings of the returns do, of 1e-4 in 4e-3 an hour.
    np.testing.assert_allclose(mine, whole, atol=0.002)
