"""Scenario sets from prices: volatility before the day, vol moves and their proxy, which days, and the command."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from python_model import history, scenario_history, scenario_set
from python_model.history import HOUR, HistoryError, Series
from python_model.scenario_history import STRESS, WARM_UP_DAYS, build, chosen_days, days, load_index, plain
from python_model.scenario_set import ScenarioSetError
from python_model.tail import Tail
from python_model.volatility import DAY, Terms, variance_path
from scripts.scenarios import cli
from tests.model import series

DATA = Path(__file__).parents[3] / "shared" / "data"
START = 1_577_836_800  # 2020-01-01, midnight
LENGTH = 60


def hourly(seed: int = 0, length: int = LENGTH) -> Series:
    """Made-up prices at the ends of hours, from midnight of 2020-01-01 on."""
    times = START + HOUR * np.arange(24 * length + 1, dtype=np.int64)
    steps = np.random.default_rng(seed).normal(0, 0.008, times.size)
    close = 2000.0 * np.exp(np.cumsum(steps))
    return Series("ETH", times, close, close, close)


def changed(s: Series, at: int, factor: float) -> Series:
    """The same prices but one."""
    close = s.close.copy()
    close[at] *= factor
    return Series(s.name, s.times, close, close, close)


def vol_index(length: int = LENGTH, seed: int = 9) -> pd.Series:
    """Made-up closes of a vol index by date."""
    closes = 60.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.04, length)))
    return pd.Series(closes, pd.date_range("2020-01-01", periods=length, freq="D"))


# --- days ------------------------------------------------------------------------------------------------------------


def test_a_day_is_its_return_by_the_volatility_before_it():
    s = hourly()
    table = days(s)
    assert len(table) == LENGTH - WARM_UP_DAYS
    path = variance_path(s.times, s.close, Terms())
    for n in range(WARM_UP_DAYS, LENGTH):
        begin, end = 24 * n, 24 * (n + 1)
        row = table.loc[pd.Timestamp("2020-01-01") + pd.Timedelta(days=n)]
        assert row["move"] == pytest.approx(s.close[end] / s.close[begin] - 1.0, rel=1e-12)
        assert row["sigma"] == pytest.approx(math.sqrt(path[begin]), rel=1e-12)
        proxy = np.sqrt(variance_path(s.times, s.close, Terms(halflife=14.0 * DAY)))
        assert row["proxied"] and row["vol_move"] == pytest.approx(proxy[end] / proxy[begin] - 1.0, rel=1e-9)
    logs = days(s, returns="log")
    assert logs["move"].to_numpy() == pytest.approx(np.log1p(table["move"]).to_numpy(), rel=1e-9)


@given(hour=st.integers(1, 24), day=st.integers(WARM_UP_DAYS, LENGTH - 1), factor=st.sampled_from([0.5, 0.9, 1.3]))
def test_volatility_before_a_day_knows_nothing_of_the_day(hour, day, factor):
    before, after = days(hourly()), days(changed(hourly(), 24 * day + hour, factor))
    date = pd.Timestamp("2020-01-01") + pd.Timedelta(days=day)
    assert before.loc[:date, "sigma"].equals(after.loc[:date, "sigma"])
    assert (
        day == LENGTH - 1 or before["sigma"][date + pd.Timedelta(days=1)] < after["sigma"][date + pd.Timedelta(days=1)]
    )


def test_a_row_gives_its_own_price_at_its_own_volatility():
    table = days(hourly())
    on = table.index[:20]
    s = build({"ETH": table}, on, "own")
    for row, date in enumerate(on):
        # Rounded to 1e-6 of a volatility of a few hundredths.
        assert s.x[row, 0] * table["sigma"][date] == pytest.approx(table["move"][date], abs=1e-7)
    assert plain({"ETH": table}, on, 4.0).price[:, 0] == pytest.approx(2.0 * table["move"][on].to_numpy())
    assert plain({"ETH": table}, on).labels == s.dates


def test_the_index_moves_over_the_day_and_the_proxy_where_it_is_not_known():
    index = vol_index()
    index.iloc[40] = np.nan
    table = days(hourly(), index)
    bare = days(hourly())
    for n in range(WARM_UP_DAYS, LENGTH):
        row, date = table.iloc[n - WARM_UP_DAYS], table.index[n - WARM_UP_DAYS]
        assert date == pd.Timestamp("2020-01-01") + pd.Timedelta(days=n)
        if n in (40, 41):
            assert row["proxied"] and row["vol_move"] == bare["vol_move"][date]
        else:
            assert not row["proxied"]
            assert row["vol_move"] == pytest.approx(index.iloc[n] / index.iloc[n - 1] - 1.0, rel=1e-12)


def test_a_day_without_a_price_at_both_ends_is_left_out():
    s = hourly()
    table = days(changed(s, 24 * 45, np.nan))
    missing = days(s).index.difference(table.index)
    assert list(missing.strftime("%Y-%m-%d")) == ["2020-02-14", "2020-02-15"]


def test_prices_of_a_day_will_do():
    s = hourly()
    daily = Series("ETH", s.times[::24], s.close[::24], s.close[::24], s.close[::24])
    table = days(daily)
    assert table["move"].to_numpy() == pytest.approx(days(s)["move"].to_numpy())
    path = variance_path(daily.times, daily.close, Terms())
    assert table["sigma"].to_numpy() == pytest.approx(np.sqrt(path[WARM_UP_DAYS:-1]))


def test_another_kind_of_return_is_refused():
    with pytest.raises(ScenarioSetError, match=r"^returns: must be one of simple, log \(got 'square'\)"):
        days(hourly(), returns="square")


# --- which days ------------------------------------------------------------------------------------------------------


def table_of(x, start="2021-01-01"):
    """Days of known x: a volatility of 1%."""
    index = pd.date_range(start, periods=len(x), freq="D")
    x = np.array(x, dtype=float)
    return pd.DataFrame({"move": 0.01 * x, "sigma": 0.01, "vol_move": 0.0, "proxied": True}, index)


def on(history_, *args, **kwargs):
    return [int(d) for d in chosen_days(history_, *args, **kwargs).strftime("%d")]


TEN = {"ETH": table_of([9, 1, 2, 3, -4, 5, 0.5, 1, 2, 1.5]), "BTC": table_of([0, 0, 0, 0, 0, 0, 7, 0, 0, 0])}


def test_the_latest_days_are_taken():
    assert on(TEN, 3, stress=()) == [8, 9, 10]
    assert on(TEN, 3, end="2021-01-06", stress=()) == [4, 5, 6]
    assert on(TEN, 10, stress=()) == list(range(1, 11))
    assert on(TEN, 2, start="2021-01-02", end="2021-01-03", stress=()) == [2, 3]


def test_a_stress_day_takes_the_place_of_the_mildest():
    # Of 6 to 10 the severities are 5, 7 (by BTC), 1, 2 and 1.5.
    assert on(TEN, 5, stress=("2021-01-01",)) == [1, 6, 7, 9, 10]
    assert on(TEN, 5, stress=("2021-01-01", "2021-01-05")) == [1, 5, 6, 7, 9]
    # One that is among the latest stays, though it is the mildest.
    assert on(TEN, 5, stress=("2021-01-01", "2021-01-08")) == [1, 6, 7, 8, 9]
    assert on(TEN, 5, stress=("2021-01-08",)) == [6, 7, 8, 9, 10]
    # Of two alike the earlier goes.
    assert on({"A": table_of([5, 1, 1, 1])}, 3, stress=("2021-01-01",)) == [1, 3, 4]


@given(
    st.lists(st.floats(-9, 9), min_size=12, max_size=30), st.integers(3, 10), st.sets(st.integers(0, 11), max_size=3)
)
def test_stress_makes_the_tail_no_milder(x, rows, stress):
    tables = {"A": table_of(x)}
    named = tuple(f"{tables['A'].index[i]:%Y-%m-%d}" for i in stress)
    plain_days, stressed = chosen_days(tables, rows, stress=()), chosen_days(tables, rows, stress=named)
    assert (
        len(stressed) == rows and stressed.is_monotonic_increasing and set(named) <= set(stressed.strftime("%Y-%m-%d"))
    )
    kept = plain_days.difference(stressed)
    severity = (tables["A"]["move"] / tables["A"]["sigma"]).abs()
    others = plain_days.intersection(stressed).difference(pd.DatetimeIndex(named))
    assert kept.empty or others.empty or severity[kept].max() <= severity[others].min()


def test_days_are_joint():
    tables = {"ETH": table_of([1, 2, 3, 4]), "BTC": table_of([1, 2, 3, 4]).drop(pd.Timestamp("2021-01-03"))}
    assert on(tables, 3, stress=()) == [1, 2, 4]
    with pytest.raises(ScenarioSetError, match=r"^stress: 2021-01-03 is no day of all of ETH, BTC"):
        chosen_days(tables, 2, stress=("2021-01-03",))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rows": 11}, "rows: must be at most the 10 joint days from start to end (got 11)"),
        ({"rows": 3, "start": "2021-01-09"}, "rows: must be at most the 2 joint days"),
        ({"rows": 1, "stress": ("2021-01-01", "2021-01-02")}, "rows: must be at least 1, and hold the 2 stress days"),
        ({"rows": 0}, "rows: must be at least 1"),
    ],
)
def test_days_that_are_not_there_are_refused(kwargs, message):
    with pytest.raises(ScenarioSetError, match="^" + re.escape(message)):
        chosen_days(TEN, **{"stress": (), **kwargs})
    with pytest.raises(ScenarioSetError, match=r"^underlyings: must be at least one"):
        chosen_days({})


def test_a_move_beyond_what_a_set_holds_is_refused():
    with pytest.raises(ScenarioSetError, match=r"^x\[0\]\[0\]: must be from -50 to 50 \(got 51\)"):
        build({"A": table_of([51])}, table_of([51]).index, "a")


# --- the command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_command_says_what_it_does():
    got = run("--help")
    assert got.exit_code == 0 and "--stress" in got.output and "Examples" in got.output


def test_the_made_up_set_is_written_without_data(tmp_path):
    out = tmp_path / "deep" / "set.csv"
    got = run("--synthetic", "--out", out)
    assert got.exit_code == 0, got.output
    assert scenario_set.read(out).digest == scenario_set.synthetic().digest
    assert scenario_set.synthetic().digest in got.output and "ETH x, multiples" in got.output


def files(folder, length=100):
    """A folder as that of the data, with made-up prices and indices."""
    (folder / "volatility").mkdir()
    for seed, name in enumerate(history.FILES):
        close = hourly(seed, length).close[1:]
        series.write(folder, series.frame(close), name)
        path = folder / "volatility" / scenario_history.INDEX_FILES[name]
        if path.suffix == ".csv":
            daily = vol_index(length)
            stamps = [f"{d:%Y-%m-%d} 00:00:00+00:00" for d in daily.index]
            pd.DataFrame({"timestamp": stamps, "dvol": daily.to_numpy()}).to_csv(path, index=False)
        else:
            index = pd.date_range("2020-01-01", periods=24 * length, freq="h", tz="UTC", name="time")
            pd.DataFrame({"close": np.repeat(vol_index(length).to_numpy(), 24)}, index=index).to_parquet(path)


def test_a_set_is_made_from_files(tmp_path):
    files(tmp_path)
    out = tmp_path / "set.csv"
    got = run(
        "--data", tmp_path, "--out", out, "--rows", 40, "--stress", "2020-02-10", "--name", "mine", "--to", "2020-04-01"
    )
    assert got.exit_code == 0, got.output
    s = scenario_set.read(out)
    assert (s.name, len(s), s.underlyings, s.dates[0], s.dates[-1]) == (
        "mine",
        40,
        ("ETH", "BTC"),
        "2020-02-10",
        "2020-04-01",
    )
    text = out.read_text(encoding="utf-8")
    assert "2020-02-10" in text.split("\n")[1] and "ETH 0, BTC 0 of 40" in text
    # Hours end a whole hour after they begin, and the index of a day is its last.
    tables = {n: days(history.load(tmp_path, n), load_index(tmp_path, n)) for n in history.FILES}
    want = build(tables, pd.DatetimeIndex(s.dates), "mine")
    assert want.digest == s.digest
    closes = vol_index(100)
    assert tables["ETH"]["vol_move"]["2020-02-10"] == pytest.approx(closes["2020-02-10"] / closes["2020-02-09"] - 1.0)
    assert tables["BTC"]["vol_move"].to_numpy() == pytest.approx(tables["ETH"]["vol_move"].to_numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stress", "2020-02-10", "--no-stress"], "--stress: cannot be given with --no-stress"),
        (["--stress", "yesterday"], "'--stress': 'yesterday' does not match"),
        (["--rows", "257"], "'--rows': 257 is not in the range"),
        (["--rows", "90", "--no-stress"], "rows: must be at most the 69 joint days"),
        (["--rows", "40", "--stress", "2019-01-01"], "stress: 2019-01-01 is no day of all of ETH, BTC"),
        (["--rows", "40", "--no-stress", "--name", "a,b"], "name: must be one line without comma"),
        (["--data", "nowhere"], "eth_usdt_1h.parquet: is absent"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path, arguments, message):
    files(tmp_path)
    got = run("--data", tmp_path, "--out", tmp_path / "set.csv", *arguments)
    assert got.exit_code != 0 and message in got.output and not (tmp_path / "set.csv").exists()
    assert "Traceback" not in got.output


def test_an_index_that_is_none_is_refused_in_one_line(tmp_path):
    with pytest.raises(HistoryError, match=r"btc_dvol_1d\.csv: is absent"):
        load_index(tmp_path, "BTC")
    (tmp_path / "volatility").mkdir()
    path = tmp_path / "volatility" / "btc_dvol_1d.csv"
    for text in ("no table", "timestamp,dvol\nnever,5\n", "timestamp,dvol\n2020-01-01 00:00:00+00:00,-5\n", ""):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(HistoryError, match=r"btc_dvol_1d\.csv: ") as error:
            load_index(tmp_path, "BTC")
        assert "\n" not in str(error.value)


# --- real prices -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> dict[str, pd.DataFrame]:
    """The days of ETH and BTC; skips where there are none."""
    if not (DATA / "prices").is_dir() or not (DATA / "volatility").is_dir():
        pytest.skip("../shared/data is absent: the real prices and vol indices are no part of the project")
    return {n: days(history.load(DATA, n), load_index(DATA, n)) for n in history.FILES}


def test_real_days_by_their_volatility_have_a_spread_near_one(recorded):
    for table in recorded.values():
        x = table["move"] / table["sigma"]
        assert len(table) > 3000 and 1.0 < x.std() < 1.3
        # Filtering takes what comes of changing volatility off the tail, but not all of it.
        assert x.kurt() > 3.0


def test_the_default_set_has_the_days_of_stress(recorded):
    chosen = chosen_days(recorded)
    s = build(recorded, chosen, "real")
    assert len(s) == 250 and set(STRESS) <= set(s.dates)
    worst = s.dates[int(np.argmin(s.x[:, 0]))]
    assert worst == "2020-03-12" and s.x.min() < -7.0
    assert s.y[s.dates.index("2020-03-12")].min() > 0.5, "the proxy rises on the worst day"
    # On average vols rise as prices fall.
    falls = s.x[:, 0] < -2.0
    assert s.y[falls, 0].mean() > 0.03 > s.y[~falls, 0].mean()
    assert Tail(s).k == 3


def test_the_proxy_is_spread_like_the_index_on_days_that_have_both(recorded):
    for name, table in recorded.items():
        bare = days(history.load(DATA, name))
        both = ~table["proxied"]
        index, proxy = table["vol_move"][both], bare["vol_move"].reindex(table.index)[both]
        assert 0.6 < proxy.std() / index.std() < 1.2 and 0.25 < index.corr(proxy) < 0.5
        assert 0.7 < proxy.quantile(0.99) / index.quantile(0.99) < 1.3
