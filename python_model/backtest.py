"""Back-tests of margin: what each method asked for each day, and what the book lost over the next days (M-13 to M-20).

Every kind of book of `backtest_books` is struck on the first day of each month and held for it, on the market of
`backtest_market`. Its maintenance margin of a day, by eight methods, stands against its loss over one and two days,
options repriced in full. The methods:

- `house`, `span`, `tims`, `deribit`: the presets, in portfolio mode.
- `var`: no grid at all; the scan is the 99% expected shortfall over the 250 latest joint days that were known (as many
  as there were at the beginning of 2018), filtered, for a horizon of one day, and the house's charges apply. No stress
  days: who names them knows what came later.
- `max`: the larger of the house's grid and that tail.
- `isolated`, `cross`: the house without any offset (M-17). Isolated, each leg has only its own margin, so that a gain
  on one pays for no loss on another.

Assumptions beside those of the market: a book has exactly its maintenance margin each day, nobody adds or trades, and
what it loses over the horizon is lost at mid. So a loss beyond margin is a loss beyond equity of an account that could
not be liquidated for so long. Depths are the whole ones (M-23), the oracle is 0.1% wide.

A partition is one book in one month. It is computed by itself, from what it is given, and sums run in a fixed order: so
results are equal to the last bit whatever computes them, on machines of one kind (NumPy's logarithm and exponential may
differ in the last bit between kinds of processors).

References
----------
Basel Committee, *Supervisory framework for the use of backtesting*, 1996. EMIR technical standards (EU) 153/2013, art.
49: daily back-tests of margin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from python_model import black
from python_model.backtest_books import BookType, Legs, Strike, expired
from python_model.backtest_margin import Priced, Rows, priced, requirement
from python_model.backtest_market import HORIZONS, Ints, MarketPath
from python_model.methodology import Methodology, load
from python_model.normal import Floats
from python_model.portfolio import SECONDS_PER_YEAR, Kind
from python_model.scenarios import VOL_MIN, vol_time_factor

METHODS = ("house", "var", "max", "span", "tims", "deribit", "isolated", "cross")
PRESETS = ("house", "span", "tims", "deribit")
# Partitions that a process takes at a time: each lasts some hundredths of a second.
CHUNK = 8
CONNECT_SECONDS, WORKER_SECONDS = 10, 30


class BacktestError(RuntimeError):
    """A back-test that cannot run; one line that says why, and what to do."""


@lru_cache(maxsize=1)
def methodologies() -> dict[str, Methodology]:
    """The presets; `max` has the prices of `house`."""
    return {name: load(name) for name in (*PRESETS, "var")}


@dataclass(frozen=True, eq=False)
class Partition:
    """One book over the days of one month: `path` has these `days` and those after them that its losses need."""

    book: str
    legs: Legs
    path: MarketPath
    days: int


@dataclass(frozen=True, eq=False)
class Piece:
    """What came of a partition, or of all of a book's; money in USD for a notional of a million at the strike.

    Attributes
    ----------
    margin, capital : arrays (methods, days), maintenance margin; `max(0, IM - V)`, in isolated mode by legs (M-17)
    loss : array (horizons, days), of the book, a loss is positive; NaN where the later day is not known
    beyond : array (methods, horizons, days), loss beyond margin, not negative, NaN likewise
    alive : array (days,), whether the book has a leg that has not expired
    """

    margin: Floats
    capital: Floats
    loss: Floats
    beyond: Floats
    alive: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Record:
    """One book over all days: `month` (days,) counts the strikes, so that days of one number hold the same legs."""

    book: str
    month: Ints
    piece: Piece


# ------------------------------------------------------------------------------------------------ one partition


def leg_losses(legs: Legs, path: MarketPath, days: int, m: Methodology) -> Floats:
    """Loss of each leg over each horizon by full repricing, array (horizons, legs, days), USD; a loss is positive.

    A leg that expires on the way pays what it is worth at the spot of that hour. The vol of a leg moves by `h(tau)`
    times the move of the vol of 30 days, as a row of a tail does (M-5, M-18).

    Parameters
    ----------
    legs : tuple of Position
    path : MarketPath
        Longer than `days` by the longest horizon where all losses are to be known.
    days : int
    m : Methodology
        For the powers of `h(tau)`.
    """
    result = np.full((len(HORIZONS), len(legs), days), np.nan)
    gone = expired(legs, path.times)
    now = np.arange(days)
    for i, p in enumerate(legs):
        column = path.names.index(p.underlying)
        spot = path.spot[:, column]
        # The first day on which a leg is no more, or one behind the last.
        end = int(np.argmax(gone[i])) if gone[i].any() else len(path)
        for k, days_on in enumerate(HORIZONS):
            then = np.minimum(now + days_on, end)
            known = np.isfinite(path.later[k, :days, column])
            then = np.minimum(then, len(path) - 1)
            if p.kind is Kind.PERP:
                change = spot[then] - spot[:days]
            else:
                assert p.expiry is not None and p.strike is not None
                tau, later_tau = (np.maximum(p.expiry - path.times[t], 0) / SECONDS_PER_YEAR for t in (now, then))
                vol = path.vol[:days, column]
                moved = np.maximum(1.0 + path.later[k, :days, column] * vol_time_factor(tau, m), 0.0)
                later_vol = np.maximum(vol * np.where(known, moved, 1.0), VOL_MIN)
                call = p.kind is Kind.CALL
                worth = black.value(spot[:days], p.strike, vol, tau, 1.0, call)
                change = black.value(spot[then], p.strike, later_vol, later_tau, 1.0, call) - worth
            loss = np.where(gone[i, :days], 0.0, -p.size * change)
            result[k, i] = np.where(known, loss, np.nan)
    return result


def in_order(legs: Legs) -> Legs:
    """Legs as `priced` has them: by underlying, options first."""
    return tuple(sorted(legs, key=lambda p: (p.underlying, not p.kind.is_option)))


def examine(partition: Partition) -> Piece:
    """Margins and losses of one book over one month, from nothing but the partition: it may run anywhere."""
    days, presets = partition.days, methodologies()
    legs, path = in_order(partition.legs), partition.path.between(0, partition.days)
    rows = Rows.of(path)
    order = list(presets)
    tables = priced(legs, path, list(presets.values()), presets["house"])

    def by(name: str) -> dict[str, Priced]:
        return {u: versions[order.index(name)] for u, versions in tables.items()}

    house = by("house")
    needs = {name: requirement(by(name), presets[name]) for name in PRESETS}
    needs["var"] = requirement(by("var"), presets["var"], rows)
    needs["max"] = requirement(house, presets["house"], rows)
    worth = np.asarray(sum(t.net(t.value) for t in house.values()), dtype=np.float64)
    parts = [(u, t.alone(i)) for u, t in house.items() for i in range(len(t))]
    alone = [requirement({u: part}, presets["house"]) for u, part in parts]
    apart = np.sum([mm for mm, _ in alone], axis=0), np.sum([im for _, im in alone], axis=0)
    needs["isolated"] = needs["cross"] = apart
    capital = {name: np.maximum(im - worth, 0.0) for name, (_, im) in needs.items()}
    capital["isolated"] = np.sum(
        [np.maximum(im - part.net(part.value), 0.0) for (_, im), (_, part) in zip(alone, parts, strict=True)], axis=0
    )
    by_leg = leg_losses(legs, partition.path, days, presets["house"])
    loss = np.sum(by_leg, axis=1)
    margin = np.stack([needs[name][0] for name in METHODS])
    beyond = np.maximum(loss[None] - margin[:, None], 0.0)
    own = np.stack([mm for mm, _ in alone])
    beyond[METHODS.index("isolated")] = np.sum(np.maximum(by_leg - own, 0.0), axis=1)
    return Piece(
        margin=margin,
        capital=np.stack([capital[name] for name in METHODS]),
        loss=loss,
        beyond=beyond,
        alive=~expired(legs, path.times).all(axis=0),
    )


# ------------------------------------------------------------------------------------------------ all of them


def months(times: Ints) -> list[int]:
    """Index of the first day of each month, and the number of days at the end."""
    month = times.astype("datetime64[s]").astype("datetime64[M]")
    return [0, *(np.flatnonzero(np.diff(month.astype(np.int64))) + 1).tolist(), times.size]


def partitions(path: MarketPath, types: Sequence[BookType]) -> Iterator[Partition]:
    """Every book in every month, one book after the other."""
    edges = list(pairwise(months(path.times)))
    slices = [(path.between(start, min(stop + max(HORIZONS), len(path))), stop - start) for start, stop in edges]
    for kind in types:
        for part, days in slices:
            spot, vol = (dict(zip(path.names, v[0].tolist(), strict=True)) for v in (part.spot, part.vol))
            yield Partition(kind.name, kind.build(Strike(int(part.times[0]), spot, vol)), part, days)


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces of one book, one after the other in time."""
    return Piece(*(np.concatenate([getattr(p, key) for p in pieces], axis=-1) for key in Piece.__dataclass_fields__))


def one_line(error: Exception) -> str:
    """What an error says, in a line that is not too long."""
    return " ".join(str(error).split())[:160]


def on_dask(tasks: Sequence[Partition], address: str, advance: Callable[[], None]) -> list[Piece]:
    """Partitions on a Dask cluster.

    Returns
    -------
    list of Piece, in the order of the partitions, whatever the order in which they come

    Raises
    ------
    BacktestError
        The scheduler does not answer, has no worker, or it or they lack the project.
    """
    # Takes a second, and nobody else needs it.
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise BacktestError(f"scheduler: {address} does not answer ({one_line(error)})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except OSError:
            raise BacktestError(f"scheduler: {address} has no worker after {WORKER_SECONDS} seconds") from None
        futures = client.map(examine, tasks, pure=False)
        place = {future.key: i for i, future in enumerate(futures)}
        found: dict[int, Piece] = {}
        try:
            for future, piece in distributed.as_completed(futures, with_results=True):
                found[place[future.key]] = piece
                advance()
        except (ImportError, RuntimeError) as error:
            raise BacktestError(
                f"scheduler: {address} and its workers need the project on their path, in the same version "
                f"({one_line(error)})"
            ) from None
    return [found[i] for i in range(len(tasks))]


def run(
    path: MarketPath,
    types: Sequence[BookType],
    workers: int = 1,
    scheduler: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[Record]:
    """All books over all days.

    Parameters
    ----------
    path : MarketPath
    types : sequence of BookType
    workers : int
        Local processes; 1 is this process. The result does not depend on it.
    scheduler : str, optional
        Address of a Dask scheduler; it and its workers must have the project on their path. Nothing runs here then.
    advance : callable, optional
        Called after each partition.

    Returns
    -------
    list of Record, in the order of the types; BacktestError where Dask cannot be used.
    """
    tasks = list(partitions(path, types))
    if scheduler is not None:
        pieces = on_dask(tasks, scheduler, advance)
    elif workers > 1:
        pieces = []
        with ProcessPoolExecutor(workers) as pool:
            for piece in pool.map(examine, tasks, chunksize=CHUNK):
                pieces.append(piece)
                advance()
    else:
        pieces = []
        for task in tasks:
            pieces.append(examine(task))
            advance()
    edges = months(path.times)
    month = np.repeat(np.arange(len(edges) - 1), np.diff(edges)).astype(np.int64)
    each = len(edges) - 1
    return [Record(kind.name, month, joined(pieces[i * each : (i + 1) * each])) for i, kind in enumerate(types)]
