"""Back-tests of margin: each day as `assess` has it, nothing known too early, the same whoever computes it."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import distributed
import numpy as np
import pytest

from python_model import backtest, backtest_books, backtest_figures, backtest_margin, backtest_market
from python_model.backtest import METHODS, BacktestError, Partition, Piece, Record, examine
from python_model.backtest_books import NOTIONAL, Strike, book_types, last_friday
from python_model.backtest_margin import CONFIDENCE
from python_model.backtest_market import HORIZONS, VolIndex
from python_model.coverage_tests import FEW, MANY
from python_model.history import HistoryError, Series
from python_model.margin import assess
from python_model.methodology import load
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from python_model.scenario_set import ScenarioSet
from python_model.tail import Tail
from tests.model import paths, reference

DATA = Path(__file__).parents[3] / "shared" / "data"
PATH = paths.path()
TYPES = book_types(PATH.names)
TASKS = list(backtest.partitions(PATH, TYPES))
DAY = 86_400
HOUSE = load("house")


def market(path, day: int, expiries) -> Market:
    """A day of a path as a market."""
    time, rows = int(path.times[day]), {}
    for i, name in enumerate(path.names):
        spot, vol = float(path.spot[day, i]), float(path.vol[day, i])
        dates = tuple(
            Expiry(e, spot, 0.0, SVI(vol**2, 0.0, 0.0, 0.0, 1.0, 1.0, spot)) for e in sorted(expiries) if e > time
        )
        scan_range, sigma = float(path.scan_range[day, i]), float(path.sigma[day, i])
        rows[name] = Underlying(spot, CONFIDENCE, scan_range, spot, dates, daily_vol=sigma)
    return Market(time, rows)


def tail(path, day: int) -> Tail:
    """The set of a day."""
    rows = slice(int(path.first_row[day]), int(path.stop_row[day]))
    x, y = path.x[rows], path.y[rows]
    return Tail(ScenarioSet("a day", "1", path.names, tuple(f"row {i:04d}" for i in range(len(x))), x, y))


# --- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [t.name for t in TYPES])
def test_margins_are_those_of_assess(kind):
    rng = np.random.default_rng(17)
    still = backtest.methodologies()["var"]
    for task in [t for t in TASKS if t.book == kind][::3]:
        piece = examine(task)
        for day in (int(rng.integers(task.days)), task.days - 1):
            at = market(task.path, day, {p.expiry for p in task.legs if p.expiry is not None})
            legs = tuple(p for p in task.legs if p.expiry is None or p.expiry > at.as_of)
            assert piece.alive[day] == bool(legs)
            book, rows = Book(Mode.PORTFOLIO, 0.0, (), legs), tail(task.path, day)
            house = assess(book, at, HOUSE)
            cross = assess(replace(book, mode=Mode.CROSS), at, HOUSE)
            want = {
                "house": (house.maintenance, house.capital.portfolio),
                "isolated": (cross.maintenance, house.capital.isolated),
                "cross": (cross.maintenance, house.capital.cross),
            }
            others = {
                "var": (still, rows),
                "max": (HOUSE, rows),
                **{n: (load(n), None) for n in ("span", "tims", "deribit")},
            }
            for name, (m, t) in others.items():
                got = assess(book, at, m, t)
                want[name] = got.maintenance, got.capital.portfolio
            for name, (margin, capital) in want.items():
                row = METHODS.index(name)
                # A millionth of a dollar on a notional of a million: 1e-12 of it (tests.tolerances.NOISE).
                assert piece.margin[row, day] == pytest.approx(margin, rel=1e-9, abs=1e-6), (name, day)
                assert piece.capital[row, day] == pytest.approx(capital, rel=1e-9, abs=1e-6), (name, day)


def test_the_orders_that_must_hold():
    for task in TASKS[::5]:
        piece = examine(task)
        mm = dict(zip(METHODS, piece.margin, strict=True))
        assert np.all(mm["max"] >= np.maximum(mm["house"], mm["var"]) - 1e-6)
        assert np.all(mm["cross"] >= mm["house"] - 1e-6) and np.array_equal(mm["cross"], mm["isolated"])
        capital = dict(zip(METHODS, piece.capital, strict=True))
        assert np.all(capital["isolated"] >= capital["cross"] - 1e-6)
        short = dict(zip(METHODS, piece.beyond, strict=True))
        # Legs that stand alone are short at least where all of them together are.
        known = np.isfinite(piece.loss)
        assert np.all(short["isolated"][known] >= short["cross"][known] - 1e-6)


# --- losses ----------------------------------------------------------------------------------------------------------


def plain_loss(leg: Position, path, day: int, days_on: int) -> float:
    """A leg's loss, priced by the plain reference."""
    i = path.names.index(leg.underlying)
    spot, times = path.spot[:, i], path.times
    if leg.kind is Kind.PERP:
        return -leg.size * float(spot[day + days_on] - spot[day])
    if leg.expiry <= times[day]:
        return 0.0
    then = day + days_on
    while times[then] > leg.expiry:
        then -= 1
    call, vol = leg.kind is Kind.CALL, float(path.vol[day, i])
    tau, left = ((leg.expiry - int(times[d])) / SECONDS_PER_YEAR for d in (day, then))
    h = (30.0 / max(365.0 * tau, 1.0)) ** (0.30 if 365.0 * tau <= 30.0 else 0.13)
    moved = max(vol * max(1.0 + float(path.later[HORIZONS.index(days_on), day, i]) * h, 0.0), 0.01)
    before = reference.value(float(spot[day]), leg.strike, vol, tau, 1.0, call)
    if left == 0.0:
        after = max(float(spot[then]) - leg.strike, 0.0) if call else max(leg.strike - float(spot[then]), 0.0)
    else:
        after = reference.value(float(spot[then]), leg.strike, moved, left, 1.0, call)
    return -leg.size * (after - before)


def test_losses_are_those_of_a_plain_pricing():
    expiring = 0
    for task in TASKS[::3]:
        piece = examine(task)
        for k, days_on in enumerate(HORIZONS):
            for day in range(0, task.days, 2):
                if day + days_on >= len(task.path):
                    assert np.isnan(piece.loss[k, day])
                    continue
                legs = [plain_loss(p, task.path, day, days_on) for p in task.legs]
                assert piece.loss[k, day] == pytest.approx(sum(legs), rel=1e-9, abs=1e-5)
                end = task.path.times[day] + days_on * DAY
                expiring += any(p.expiry is not None and task.path.times[day] < p.expiry <= end for p in task.legs)
    assert expiring > 5, "some legs must have expired within the horizon"


def by_hand() -> Partition:
    """A straddle sold at 100 that expires on the third of five days; spot 100, 110, 120, 90, 90, and a perpetual."""
    days = PATH.between(0, 5)
    spot = np.array([100.0, 110.0, 120.0, 90.0, 90.0])[:, None] * np.ones((1, 2))
    flat = replace(days, spot=spot, vol=np.full((5, 2), 1e-6), later=np.zeros((2, 5, 2)))
    expiry = int(days.times[2])
    legs = tuple(Position("ETH", kind, -1.0, expiry, 100.0) for kind in (Kind.CALL, Kind.PUT))
    return Partition("by hand", (*legs, Position("ETH", Kind.PERP, 2.0)), flat, 3)


def test_a_book_by_hand():
    piece = examine(by_hand())
    # Without vol the straddle is worth |S - 100|: 0, 10, then 20 at expiry, and nothing is lost on it after that. Two
    # perpetuals gain 20, then 20 more, then lose 60. The least vol of 1% is worth some millionths.
    assert piece.loss[0].tolist() == pytest.approx([10 - 20, 10 - 20, 60], abs=1e-4)
    # Over two days from the second: the straddle has paid 20 at expiry, whatever comes after.
    assert piece.loss[1].tolist() == pytest.approx([20 - 40, 10 + 40, 60], abs=1e-4)
    assert piece.alive.all()


def test_isolated_legs_do_not_help_one_another():
    task = by_hand()
    piece = examine(task)
    house, isolated, cross = (piece.beyond[METHODS.index(name)] for name in ("house", "isolated", "cross"))
    # On the first day the straddle loses 10 and the perpetuals win 20: together nothing is lost.
    assert house[0, 0] == cross[0, 0] == 0.0
    alone = assess(
        Book(Mode.CROSS, 0.0, (), task.legs[:1]), market(task.path, 0, {task.legs[0].expiry}), HOUSE
    ).maintenance
    assert isolated[0, 0] == pytest.approx(max(10.0 - alone, 0.0), abs=1e-6)
    assert isolated[1, 1] >= cross[1, 1] >= 0.0


def test_a_book_of_which_nothing_is_left_is_not_alive():
    (task, *_) = [t for t in TASKS if t.book == "ETH expiring straddle" and t.days > 28]
    piece = examine(task)
    (expiry,) = {p.expiry for p in task.legs}
    over = task.path.times[: task.days] >= expiry
    assert over.any() and piece.alive.tolist() == (~over).tolist()
    assert np.all(piece.margin[:, over] == 0.0) and np.all(piece.loss[0, over] == 0.0)


# --- the tests notice -------------------------------------------------------------------------------------------------


def quantile(rows, pnl):
    """A tail that forgets what lies beyond its quantile."""
    losses = np.sort(np.where(rows.inside, -pnl, -np.inf), axis=0)[::-1]
    return np.maximum(losses[rows.k - 1, np.arange(rows.k.size)], 0.0)


@pytest.mark.parametrize(
    ("where", "name", "defect", "kind"),
    [
        (backtest_margin.Rows, "scan", quantile, "ETH short straddle"),
        (backtest_margin.Priced, "most_lost", lambda t: np.full(t.spot.size, np.inf), "BTC long straddle"),
        (backtest_margin.Priced, "by_bucket", lambda t, unit: t.net(unit)[None], "ETH reverse calendar"),
        (backtest_margin, "expired", lambda legs, times: np.zeros((len(legs), times.size), dtype=bool), "ETH calendar"),
        (
            backtest_margin,
            "grid_scan",
            lambda pnls, m: sum(backtest_margin.worst(p) for p in pnls.values()),
            "ETH–BTC spread",
        ),
    ],
    ids=["quantile for shortfall", "no cap", "one expiry", "nothing expires", "no credit"],
)
def test_a_wrong_margin_is_noticed(monkeypatch, where, name, defect, kind):
    monkeypatch.setattr(where, name, defect)
    with pytest.raises(AssertionError):
        test_margins_are_those_of_assess(kind)


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("vol_time_factor", lambda tau, m: np.ones_like(tau)),
        ("expired", lambda legs, times: np.zeros((len(legs), times.size), dtype=bool)),
        ("HORIZONS", (1, 1)),
    ],
)
def test_a_wrong_loss_is_noticed(monkeypatch, name, defect):
    monkeypatch.setattr(backtest, name, defect)
    with pytest.raises(AssertionError):
        test_losses_are_those_of_a_plain_pricing()


# --- nothing known too early -----------------------------------------------------------------------------------------


def changed(series: Series, from_time: int) -> Series:
    """The series with all prices from a time on 30% higher."""
    factor = np.where(series.times >= from_time, 1.3, 1.0)
    return Series(series.name, series.times, *(v * factor for v in (series.close, series.high, series.low)))


def test_what_comes_later_changes_no_margin_of_today():
    day = 60
    known, time = PATH.between(0, day + 1), int(PATH.times[day])
    other = paths.path([changed(s, time + 3_600) for s in paths.hourly()])
    assert not np.array_equal(other.spot[day + 1], PATH.spot[day + 1])
    seen = other.between(0, day + 1)
    for key in ("times", "spot", "vol", "scan_range", "sigma", "x", "y", "first_row", "stop_row"):
        assert np.array_equal(getattr(known, key), getattr(seen, key)), key
    for kind in ("ETH short straddle", "ETH–BTC spread", "BTC market maker"):
        types = [t for t in TYPES if t.name == kind]
        (a,), (b,) = (backtest.run(p, types) for p in (PATH, other))
        days = slice(0, day + 1)
        assert np.array_equal(a.piece.margin[:, days], b.piece.margin[:, days])
        assert np.array_equal(a.piece.capital[:, days], b.piece.capital[:, days])
        for k, days_on in enumerate(HORIZONS):
            past = slice(0, day + 1 - days_on)
            assert np.array_equal(a.piece.loss[k, past], b.piece.loss[k, past])
            assert not np.array_equal(a.piece.loss[k, : day + 1], b.piece.loss[k, : day + 1])


def test_the_test_of_that_would_notice_one_hour_too_many():
    # The same with the price of the hour itself: what is fed with it moves, so the test above has teeth.
    day = 60
    other = paths.path([changed(s, int(PATH.times[day])) for s in paths.hourly()])
    assert not np.array_equal(other.sigma[day], PATH.sigma[day])
    assert np.array_equal(other.sigma[:day], PATH.sigma[:day])


def test_a_set_ends_with_the_last_midnight():
    days = np.arange(len(PATH))
    assert np.all(np.diff(PATH.stop_row) == 1) and np.all(PATH.stop_row - PATH.first_row <= 130)
    # The first set has 110 days, those from the 31st of the series on: the day of the midnight before is the last.
    first = PATH.times[0] - 8 * 3_600
    assert PATH.stop_row[0] == 110 and first == paths.START.timestamp() + (110 + 31) * DAY
    assert np.all((PATH.times - first) // DAY == days)


# --- the market ------------------------------------------------------------------------------------------------------


def test_the_vol_is_the_index_where_it_is_fresh_and_else_the_proxy():
    levels, _ = paths.index()
    eth = levels["ETH"]
    known = (PATH.times >= eth.times[0]) & (PATH.times < eth.times[-1] + DAY)
    assert np.array_equal(~PATH.proxied[:, 0], known) and 0 < known.sum() < known.size and PATH.proxied[:, 1].all()
    row = np.searchsorted(eth.times, PATH.times[known], side="right") - 1
    assert np.array_equal(PATH.vol[known, 0], eth.closes[row])
    # Eight hours old at 08:00, as it closes at midnight.
    assert set((PATH.times[known] - eth.times[row]).tolist()) == {8 * 3_600}
    index = VolIndex(np.array([0, 100]), np.array([0.5, 0.6]))
    got = index.at(np.array([-1, 0, 99, 100, 100 + DAY - 1, 100 + DAY]))
    assert np.isnan(got[[0, 5]]).all() and got[1:5].tolist() == [0.5, 0.5, 0.6, 0.6]


def test_no_vol_moves_because_its_source_changes():
    first = int(np.argmax(~PATH.proxied[:, 0]))
    jump = PATH.vol[first, 0] / PATH.vol[first - 1, 0] - 1.0
    assert abs(jump) > 0.1 > abs(PATH.later[0, first - 1, 0])
    assert PATH.later[0, first, 0] == pytest.approx(PATH.vol[first + 1, 0] / PATH.vol[first, 0] - 1.0, rel=1e-12)
    assert PATH.later[1, 0, 1] == pytest.approx(PATH.vol[2, 1] / PATH.vol[0, 1] - 1.0, rel=1e-12)
    assert np.isnan(PATH.later[0, -1]).all() and np.isnan(PATH.later[1, -2:]).all()


def test_too_short_a_past_is_refused():
    with pytest.raises(HistoryError, match="no day from 2020-01-01 on has 10000 joint days"):
        paths.path(least=10_000)


# --- books -----------------------------------------------------------------------------------------------------------


def test_there_are_books_enough_and_each_is_struck_at_the_same_value():
    assert len(TYPES) >= 2 * 12 and len({t.name for t in TYPES}) == len(TYPES) and all(t.words for t in TYPES)
    strike = Strike(
        int(datetime(2020, 3, 1, 8, tzinfo=UTC).timestamp()), {"ETH": 219.0, "BTC": 8531.0}, {"ETH": 0.9, "BTC": 0.7}
    )
    for kind in TYPES:
        legs = kind.build(strike)
        assert len({p.instrument for p in legs}) == len(legs), "no instrument twice"
        for p in legs:
            assert round(p.size, 6) == p.size and abs(p.size) * strike.spot[p.underlying] <= 1.000001 * NOTIONAL
            assert p.expiry is None or p.expiry in (strike.front, strike.near, strike.far)
    assert [datetime.fromtimestamp(e, UTC).date().isoformat() for e in (strike.front, strike.near, strike.far)] == [
        "2020-03-27",
        "2020-04-24",
        "2020-07-31",
    ]
    assert datetime.fromtimestamp(last_friday(2021, 12), UTC) == datetime(2021, 12, 31, 8, tzinfo=UTC)


def test_hedged_books_have_no_delta_when_struck():
    for task in TASKS:
        if "hedged" in task.book or "market maker" in task.book:
            at = market(task.path, 0, {p.expiry for p in task.legs if p.expiry is not None})
            greeks = assess(Book(Mode.PORTFOLIO, 0.0, (), task.legs), at, HOUSE).greeks
            assert all(abs(row["delta"]) < 1e-6 for row in greeks.values())


# --- partitions and workers ------------------------------------------------------------------------------------------

FEW_TYPES = [t for t in TYPES if t.name in ("ETH covered call", "BTC market maker", "ETH–BTC straddles")]


def same(a: list[Record], b: list[Record]) -> bool:
    """Equal to the last bit."""
    return len(a) == len(b) and all(
        x.book == y.book
        and np.array_equal(x.month, y.month)
        and all(
            getattr(x.piece, key).tobytes() == getattr(y.piece, key).tobytes() for key in Piece.__dataclass_fields__
        )
        for x, y in zip(a, b, strict=True)
    )


def test_partitions_join_to_the_whole():
    # One book held over the whole month, at once and in two pieces.
    for task in TASKS[1::11]:
        cut, stop = task.days // 2, task.days
        pieces = [
            Partition(task.book, task.legs, task.path.between(start, min(end + 2, len(task.path))), end - start)
            for start, end in ((0, cut), (cut, stop))
        ]
        whole, both = examine(task), backtest.joined([examine(p) for p in pieces])
        for key in Piece.__dataclass_fields__:
            assert np.array_equal(getattr(whole, key), getattr(both, key), equal_nan=key in ("loss", "beyond")), key


def test_every_day_is_in_one_partition_of_each_book():
    records = backtest.run(PATH, FEW_TYPES)
    assert [r.book for r in records] == [t.name for t in FEW_TYPES]
    month = PATH.times.astype("datetime64[s]").astype("datetime64[M]")
    for r in records:
        assert r.piece.margin.shape == (len(METHODS), len(PATH)) and r.piece.loss.shape == (len(HORIZONS), len(PATH))
        assert np.array_equal(np.diff(r.month), (np.diff(month) > np.timedelta64(0, "M")).astype(int))


def test_two_processes_give_the_same_bits_as_one():
    steps: list[int] = []
    one = backtest.run(PATH, FEW_TYPES, 1, None, lambda: steps.append(1))
    count = len(steps)
    assert same(one, backtest.run(PATH, FEW_TYPES, 2, None, lambda: steps.append(1)))
    assert len(steps) == 2 * count == 2 * sum(t.book in {f.name for f in FEW_TYPES} for t in TASKS)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        yield local


@pytest.mark.slow
def test_dask_with_two_local_workers_gives_the_same_bits(cluster):
    steps: list[int] = []
    here = backtest.run(PATH, FEW_TYPES)
    there = backtest.run(PATH, FEW_TYPES, scheduler=cluster.scheduler_address, advance=lambda: steps.append(1))
    assert same(here, there)
    assert len(steps) == sum(t.book in {f.name for f in FEW_TYPES} for t in TASKS)


def test_a_worker_without_the_project_says_so(cluster, monkeypatch):
    def examine(task):
        raise ImportError("No module named\n'python_model'")

    monkeypatch.setattr(backtest, "examine", examine)
    with pytest.raises(BacktestError, match=r"need the project on their path, .*\(No module named 'python_model'\)$"):
        backtest.run(PATH, FEW_TYPES[:1], scheduler=cluster.scheduler_address)


def test_a_scheduler_that_is_not_there_or_has_no_worker(monkeypatch):
    monkeypatch.setattr(backtest, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(backtest, "WORKER_SECONDS", 1)
    with pytest.raises(BacktestError, match=r"^scheduler: tcp://127.0.0.1:1 does not answer \("):
        backtest.run(PATH, FEW_TYPES[:1], scheduler="tcp://127.0.0.1:1")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        pytest.raises(BacktestError, match=r"has no worker after 1 seconds$"),
    ):
        backtest.run(PATH, FEW_TYPES[:1], scheduler=empty.scheduler_address)


# --- figures ---------------------------------------------------------------------------------------------------------


def record(loss, margin, month=None, alive=None) -> Record:
    """A record whose methods all have the same margin and capital, and whose horizons the same losses."""
    loss, margin = np.array(loss, dtype=float), np.array(margin, dtype=float)
    days, m, h = loss.size, len(METHODS), len(HORIZONS)
    margins = np.tile(margin, (m, 1))
    losses = np.tile(loss, (h, 1))
    beyond = np.maximum(losses[None] - margins[:, None], 0.0)
    piece = Piece(
        margins, 2.0 * margins, losses, beyond, np.ones(days, dtype=bool) if alive is None else np.array(alive)
    )
    return Record("made up", np.zeros(days, dtype=np.int64) if month is None else np.array(month), piece)


def test_figures_by_hand():
    r = record([1, 12, 15, -3, 5, 30, math.nan], [10, 10, 14, 20, 16, 20, 40])
    f = backtest_figures.figures(r, "house", 1)
    assert (f.days, f.exceedances, f.tested, f.failures) == (6, 3, 6, 3) and f.rate == 0.5
    assert (f.shortfall, f.worst) == (pytest.approx((2 + 1 + 10) / 3), pytest.approx(10.0))
    assert f.peak_to_trough == 4.0 and f.calls == (20.0, 30.0, 0.0)
    assert (f.margin, f.capital) == (pytest.approx(130 / 7), pytest.approx(260 / 7))
    # Between the two largest of six: 99.5% of the way along the five steps is 0.975 of the last.
    assert f.loss == pytest.approx(15 + 0.975 * 15) and f.cost == pytest.approx(f.capital / f.loss)
    # Three of six against 1%: 2 [6 ln 0.5 - 3 ln 0.01 - 3 ln 0.99].
    assert f.coverage.statistic == pytest.approx(2 * (6 * math.log(0.5) - 3 * math.log(0.01) - 3 * math.log(0.99)))
    # Pairs: no-yes, yes-yes, yes-no, no-no, no-yes.
    ind = 2 * (math.log(1 / 3) + 2 * math.log(2 / 3) + 2 * math.log(0.5) - 3 * math.log(3 / 5) - 2 * math.log(2 / 5))
    assert f.independent.statistic == pytest.approx(abs(ind)) and f.both.statistic == pytest.approx(
        f.coverage.statistic + f.independent.statistic
    )
    assert f.side == MANY and f.failed == ("coverage (too many)", "joint")


def test_windows_that_share_a_day_are_not_tested_twice():
    f = backtest_figures.figures(record([0, 20, 20, 0, 0, 20, 0, 0], [10] * 8), "span", 2)
    # Days 0, 2, 4 and 6: one of them beyond; all eight: three.
    assert (f.days, f.exceedances, f.tested, f.failures) == (8, 3, 4, 1)
    assert f.independent.p is None and "too few" in f.independent.silent


def test_a_book_that_has_expired_breaks_the_row():
    alive = [True, True, False, True, True]
    f = backtest_figures.figures(record([20, 20, 20, 20, 0], [10, 10, 0, 10, 10], [0, 0, 0, 1, 1], alive), "house", 1)
    assert (f.days, f.exceedances, f.peak_to_trough) == (4, 3, 1.0)
    # Two pairs: yes-yes and yes-no; what is on both sides of the gap are no neighbours.
    assert f.independent.statistic is None and f.calls == (0.0, 0.0, 0.0)


def test_no_exceedance_is_said_and_is_no_nan():
    f = backtest_figures.figures(record([0.0] * 300, [10.0] * 300), "var", 1)
    assert (f.exceedances, f.shortfall, f.worst, f.cost) == (0, None, None, None)
    assert f.coverage.rejects and f.side == FEW and f.failed == ("coverage (too few)",)
    assert "no exceedance" in f.independent.silent and "no exceedance" in f.both.silent
    short = backtest_figures.figures(record([0.0] * 50, [10.0] * 50), "var", 1)
    assert short.coverage.p is None and "50 days are too few" in short.coverage.silent and not short.failed
    nothing = backtest_figures.figures(record([0.0] * 5, [0.0, 1.0, 2.0, 3.0, 4.0]), "var", 1)
    assert nothing.peak_to_trough is None and nothing.calls[0] == 1.0
    with pytest.raises(ValueError, match="no loss over 1 days is known"):
        backtest_figures.figures(record([math.nan] * 3, [1.0] * 3), "house", 1)


def test_no_call_is_made_by_striking_a_new_book():
    f = backtest_figures.figures(record([0] * 4, [10, 12, 99, 90], [0, 0, 1, 1]), "house", 1)
    assert f.calls == (2.0, 0.0, 0.0)


def test_every_book_method_and_horizon_has_its_figures():
    got = backtest_figures.all_figures(backtest.run(PATH, FEW_TYPES))
    keys = [(f.book, f.method, f.horizon) for f in got]
    assert keys == [(t.name, m, h) for t in FEW_TYPES for m in METHODS for h in HORIZONS]
    for f in got:
        numbers = [f.rate, f.margin, f.capital, f.loss, *f.calls]
        numbers += [x for x in (f.shortfall, f.worst, f.peak_to_trough, f.cost) if x is not None]
        assert np.isfinite(numbers).all() and min(f.calls) >= 0.0 and f.failures <= f.exceedances


def test_the_examples_of_the_docstrings_hold():
    for module in (backtest_books, backtest_figures):
        assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=doctest.testmod(module).attempted)


# --- real prices -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    """The real market; skips where there is none."""
    if not all((DATA / folder).is_dir() for folder in ("prices", "volatility")):
        pytest.skip("../shared/data is absent: real prices and vol indices are no part of the project")
    return backtest_market.recorded(DATA)


def test_the_real_market_is_whole(recorded):
    assert str(np.datetime64(int(recorded.times[0]), "s")) == "2018-01-01T08:00:00" and len(recorded) > 3_000
    assert np.all(np.diff(recorded.times) == DAY)
    for key in ("spot", "vol", "scan_range", "sigma"):
        assert np.isfinite(getattr(recorded, key)).all() and (getattr(recorded, key) > 0.0).all()
    assert recorded.stop_row[0] >= backtest_market.LEAST_ROWS and np.max(recorded.stop_row - recorded.first_row) == 250
    # The index of ETH begins in June 2022; that of BTC in April 2023, and ends in January 2026.
    assert 0.45 < recorded.proxied[:, 0].mean() < 0.6 < recorded.proxied[:, 1].mean() < 0.75


def test_the_proxy_is_as_high_as_the_index_in_the_median(recorded):
    for i, name in enumerate(recorded.names):
        both = ~recorded.proxied[:, i]
        alone = backtest_market.market_path([backtest_market.load(DATA, name)], {}, {})
        at = np.isin(alone.times, recorded.times[both])
        ratio = recorded.vol[both, i][np.isin(recorded.times[both], alone.times)] / alone.vol[at, 0]
        assert 0.95 < np.median(ratio) < 1.05


def test_a_real_perpetual_is_short_by_hand(recorded):
    (r,) = backtest.run(recorded, [t for t in book_types(recorded.names) if t.name == "ETH long perpetual"])
    f = backtest_figures.figures(r, "house", 1)
    # The day of the pandemic: the perpetual of the first of March lost 40% of the spot of the eleventh.
    day = int(np.searchsorted(recorded.times, datetime(2020, 3, 12, 8, tzinfo=UTC).timestamp()))
    struck = int(np.searchsorted(recorded.times, datetime(2020, 3, 1, 8, tzinfo=UTC).timestamp()))
    spot = recorded.spot[:, 0]
    assert r.piece.loss[0, day] == pytest.approx(NOTIONAL * (spot[day] - spot[day + 1]) / spot[struck], rel=1e-6)
    assert 0.002 < f.rate < 0.008 and f.side == FEW
    var = backtest_figures.figures(r, "var", 1)
    assert 0.006 < var.rate < 0.015 and not var.coverage.rejects
