"""All accounts of a clearing house repriced in one pass: who is worth a question to the chain (M-1 to M-17).

The same figures as `margin.assess`, of a hundred thousand accounts instead of one. Books are arrays that change with
trades alone; a price update costs one call of `reprice`. Distinct instruments are priced once for each block of
accounts, so that a listing which everybody trades costs next to nothing, and books that share nothing cost what
`scenarios.grid_cells` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from python_model import black, svi
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Underlying, net, unrealised
from python_model.scenarios import OptionLegs, grid_cells, price_multiples, vol_time_factor

Ints = NDArray[np.int64]

# As the position words have them.
PERP, FUTURE, CALL, PUT = range(4)
KINDS = {Kind.PERP: PERP, Kind.FUTURE: FUTURE, Kind.CALL: CALL, Kind.PUT: PUT}
PORTFOLIO = 2
MODES = {Mode.ISOLATED: 0, Mode.CROSS: 1, Mode.PORTFOLIO: PORTFOLIO}

# Legs and accounts of a block: some of them in flight on each core are a few dozen megabytes.
BLOCK = 1 << 15
# Of M-16: the contract's requirement exceeds the exact one by at most 4 epsilon times the notional of the options.
EPSILON = 1e-9
# Roundings of equity and requirement at 1e-18 are far below a cent.
CENT = 0.01
# Sizes are multiples of 1e-6; what is smaller is rounding of their sum.
HALF_A_SIZE = 5e-7


@dataclass(frozen=True, eq=False)
class Instruments:
    """Distinct instruments. Arrays (instruments,).

    Attributes
    ----------
    underlying : index into the sorted names of the market's underlyings
    kind : PERP, FUTURE, CALL or PUT
    expiry : seconds since 1970, 0 for a perpetual
    strike : USD, 0 but for options
    """

    underlying: Ints
    kind: Ints
    expiry: Ints
    strike: Floats

    def __len__(self) -> int:
        """Number of instruments."""
        return int(self.kind.size)

    def part(self, rows: Ints) -> Instruments:
        """Some of them."""
        return Instruments(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Books:
    """Accounts as arrays. The legs of an account ascend by underlying, expiry and strike, as the house keeps them.

    Attributes
    ----------
    mode : array (accounts,), 0 isolated, 1 cross, 2 portfolio; above, by a tail, which counts as 2 here
    cash : array (accounts,), USD
    cost : array (accounts,), sum of size times entry over futures and perpetuals, USD
    amount : array (accounts, kinds of collateral), units
    starts : array (accounts + 1,), first leg of each account; the last one is the number of legs
    instrument : array (legs,), index into `instruments`
    size : array (legs,), units, negative is short
    instruments : Instruments
    """

    mode: Ints
    cash: Floats
    cost: Floats
    amount: Floats
    starts: Ints
    instrument: Ints
    size: Floats
    instruments: Instruments

    def __len__(self) -> int:
        """Number of accounts."""
        return int(self.cash.size)


@dataclass(frozen=True, eq=False)
class Figures:
    """What `margin.assess` says of each account, USD, and `net_value`, equity without haircuts. Arrays (accounts,).

    `liquidity` is M-12, what closing the book costs; `doubt` bounds by how much the contract's `E_mm - MM` can be
    less (M-16). `delta` is (accounts, underlyings), net, claims included, in the order of the sorted names.
    """

    maintenance: Floats
    initial: Floats
    equity_maintenance: Floats
    equity_initial: Floats
    net_value: Floats
    option_value: Floats
    liquidity: Floats
    doubt: Floats
    delta: Floats

    @property
    def excess(self) -> Floats:
        """`E_mm - MM`, negative where an account is unhealthy."""
        return self.equity_maintenance - self.maintenance


def near(figures: Figures, share: float = 0.02) -> NDArray[np.intp]:
    """The accounts to ask the chain about: unhealthy, or healthy by less than a share of their requirement.

    The share covers what the screening does not know, such as time and interest since its market; the contract's own
    error is covered exactly. So with the market of the chain and a share of 0 no unhealthy account is missed.

    Parameters
    ----------
    figures : Figures
    share : float, not negative, of maintenance margin

    Returns
    -------
    array of indices, the least healthy in proportion to its requirement first
    """
    line = share * figures.maintenance + figures.doubt
    found = np.flatnonzero(figures.excess < line)
    ratio = figures.excess[found] / np.maximum(figures.maintenance[found], CENT)
    return found[np.argsort(ratio, kind="stable")]


def gather(rows: Sequence[Book], market: Market, kinds: Sequence[Collateral]) -> Books:
    """Books of the model as arrays, legs netted.

    Parameters
    ----------
    rows : sequence of Book
    market : Market
        Gives the entry of legs that have none.
    kinds : sequence of Collateral
        One a kind; holdings are told apart by what they are, without their amount. ValueError for any other.
    """
    names = {name: i for i, name in enumerate(sorted(market.underlyings))}
    table: dict[tuple[int, int, float, int], int] = {}
    starts, instrument, size, cost = [0], [], [], []
    amount = np.zeros((len(rows), len(kinds)))
    plain = [(c.price, c.underlying, c.haircut_initial, c.haircut_maintenance) for c in kinds]
    for i, book in enumerate(rows):
        legs = net(book.positions, market)
        worth = 0.0
        for p in legs:
            key = (names[p.underlying], p.expiry or 0, p.strike or 0.0, KINDS[p.kind])
            instrument.append(table.setdefault(key, len(table)))
            size.append(p.size)
            if not p.kind.is_option:
                u = market.underlyings[p.underlying]
                worth += p.size * (u.perp_mark - u.perp_funding if p.expiry is None else u.at(p.expiry).forward)
        # What legs that net to nothing have earned stays in the cost, which has no legs of its own.
        cost.append(worth - unrealised(book.positions, market))
        starts.append(len(size))
        for c in book.collateral:
            amount[i, plain.index((c.price, c.underlying, c.haircut_initial, c.haircut_maintenance))] += c.amount
    keys = np.array(list(table), dtype=np.float64).reshape(len(table), 4)
    return Books(
        mode=np.array([MODES[b.mode] for b in rows], dtype=np.int64),
        cash=np.array([b.cash for b in rows], dtype=np.float64),
        cost=np.array(cost, dtype=np.float64),
        amount=amount,
        starts=np.array(starts, dtype=np.int64),
        instrument=np.array(instrument, dtype=np.int64),
        size=np.array(size, dtype=np.float64),
        instruments=Instruments(
            keys[:, 0].astype(np.int64), keys[:, 3].astype(np.int64), keys[:, 1].astype(np.int64), keys[:, 2].copy()
        ),
    )


# ------------------------------------------------------------------------------------------------ one unit of each


@dataclass(frozen=True, eq=False)
class State:
    """A market as arrays, in the order of its sorted names; buckets are its expiries, the first that of delivery now.

    Attributes
    ----------
    names, rows : of the underlyings
    spot, confidence, depth : arrays (underlyings,)
    multiples : array (underlyings, scenarios)
    expiries : array (buckets,), seconds, ascending from 0
    slots : array (underlyings, buckets), row of `terms`, -1 where an underlying lacks the expiry
    terms : array (11, slots): forward, tau, discount, fixed, and the seven numbers of a surface
    kinds, claims : kinds of collateral; underlying of each, -1 for what is like cash
    """

    names: tuple[str, ...]
    rows: tuple[Underlying, ...]
    spot: Floats
    confidence: Floats
    depth: Floats
    multiples: Floats
    expiries: Ints
    slots: Ints
    terms: Floats
    kinds: tuple[Collateral, ...]
    claims: Ints
    methodology: Methodology

    @staticmethod
    def of(market: Market, kinds: Sequence[Collateral], methodology: Methodology) -> State:
        """The arrays of a market."""
        names = tuple(sorted(market.underlyings))
        rows = tuple(market.underlyings[name] for name in names)
        expiries = sorted({0} | {e.expiry for u in rows for e in u.expiries})
        slots = np.full((len(rows), len(expiries)), -1, dtype=np.int64)
        terms: list[tuple[float, ...]] = []
        for i, u in enumerate(rows):
            for e in u.expiries:
                slots[i, expiries.index(e.expiry)] = len(terms)
                s = e.svi
                surface = (s.forward, s.a, s.b, s.rho, s.m, s.sigma, s.ref_tau)
                terms.append((e.forward, market.tau(e.expiry), market.discount(e), e.fixed, *surface))
        return State(
            names=names,
            rows=rows,
            spot=np.array([u.spot for u in rows]),
            confidence=np.array([u.confidence for u in rows]),
            depth=np.array([u.depth for u in rows]),
            multiples=np.stack([price_multiples(methodology, u.scan_range) for u in rows]),
            expiries=np.array(expiries, dtype=np.int64),
            slots=slots,
            terms=np.array(terms, dtype=np.float64).reshape(len(terms), 11).T.copy(),
            kinds=tuple(kinds),
            claims=np.array([-1 if c.underlying is None else names.index(c.underlying) for c in kinds], dtype=np.int64),
            methodology=methodology,
        )


@dataclass(frozen=True, eq=False)
class Units:
    """One unit of each instrument held long; arrays (instruments,), as in `exposure.LegTable`.

    `change` is (scenarios, instruments), before g; `price` the mark of a future, or of a perpetual net of funding, 0
    for an option; `notional` `(F + K) max(D, 1)` of an option.
    """

    underlying: Ints
    bucket: Ints
    option: NDArray[np.bool_]
    call: NDArray[np.bool_]
    strike: Floats
    discount: Floats
    value: Floats
    price: Floats
    delta: Floats
    vega: Floats
    vega_shock: Floats
    notional: Floats
    change: Floats


def _units(instruments: Instruments, state: State) -> Units:
    """Price one unit of each instrument in every scenario; ValueError for an expiry without market data."""
    method, count, u = state.methodology, len(instruments), instruments.underlying
    option = instruments.kind >= CALL
    bucket = np.minimum(np.searchsorted(state.expiries, instruments.expiry), state.expiries.size - 1)
    slot = state.slots[u, bucket]
    dated = instruments.kind != PERP
    missing = dated & ((slot < 0) | (state.expiries[bucket] != instruments.expiry))
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        name, expiry = state.names[int(u[first])], int(instruments.expiry[first])
        raise ValueError(f"{name}: no market data for expiry {expiry}")
    # A perpetual has no row of its own: any number will do where it is not read.
    terms = state.terms[:, np.maximum(slot, 0)] if state.terms.size else np.ones((11, count))
    forward, tau, discount, fixed, *surface = terms
    moving = np.where(dated, 1.0 - fixed, 1.0)
    spot = state.spot[u]
    marks = np.array([row.perp_mark for row in state.rows])
    price = np.where(dated, forward, marks[u])
    change = np.empty((len(method), count))
    linear = np.flatnonzero(~option)
    change[:, linear] = (state.multiples[u[linear]].T - 1.0) * (moving * price)[linear]
    value, delta, vega, shock = np.zeros(count), moving * price / spot, np.zeros(count), np.zeros(count)
    o = np.flatnonzero(option)
    if o.size:
        sigma = svi.implied_vol(instruments.strike[o], *(column[o] for column in surface))
        legs = OptionLegs(forward[o], instruments.strike[o], sigma, tau[o], discount[o], instruments.kind[o] == CALL)
        rate = np.where(tau[o] > 0.0, -np.log(discount[o]) / np.where(tau[o] > 0.0, tau[o], 1.0), 0.0)
        greeks = black.greeks(legs.forward, legs.strike, sigma, legs.tau, rate, spot[o], legs.is_call)
        value[o] = black.value(legs.forward, legs.strike, sigma, legs.tau, legs.discount, legs.is_call)
        delta[o], vega[o] = moving[o] * greeks.delta, greeks.vega
        shock[o] = greeks.vega * sigma * method.vol_up * vol_time_factor(legs.tau, method)
        # Options of one underlying whose forward is as much fixed share their multiples.
        shares = set((1.0 - state.terms[3]).tolist())
        for of, plain in enumerate(state.multiples):
            for share in shares:
                rows = np.flatnonzero((u[o] == of) & (moving[o] == share))
                if rows.size:
                    change[:, o[rows]] = grid_cells(legs.part(rows), 1.0 + share * (plain - 1.0), method)
    funding = np.array([row.perp_funding for row in state.rows])
    return Units(
        underlying=u,
        bucket=np.where(dated, bucket, 0),
        option=option,
        call=instruments.kind == CALL,
        strike=instruments.strike,
        discount=discount,
        value=value,
        price=np.where(option, 0.0, np.where(dated, price, price - funding[u])),
        delta=delta,
        vega=vega,
        vega_shock=shock,
        notional=np.where(option, (forward + instruments.strike) * np.maximum(discount, 1.0), 0.0),
        change=change,
    )


# ------------------------------------------------------------------------------------------------ accounts of a block


def _least_payoffs(first: Ints, length: Ints, size: Floats, strike: Floats, call: NDArray[np.bool_]) -> Floats:
    """`exposure.least_payoff` of many expiries at once: options of each stand together, by rising strike.

    Walks the payoff from a price of 0 upwards, each expiry by itself: no sum runs over the legs of two accounts, so
    that no book of absurd size spoils the figures of its neighbours.

    Parameters
    ----------
    first, length : arrays (expiries,), of legs
    size, strike, call : arrays (legs,)

    Returns
    -------
    array (expiries,), USD; minus infinity where an expiry is net short calls
    """
    puts = np.where(call, 0.0, size)
    payoff = np.add.reduceat(puts * strike, first)
    slope = -np.add.reduceat(puts, first)
    calls = np.add.reduceat(np.where(call, size, 0.0), first)
    least, at = payoff.copy(), np.zeros(first.size)
    order = np.argsort(-length, kind="stable")
    for step in range(int(length.max(initial=0))):
        live = order[: np.searchsorted(-length[order], -step, side="left")]
        leg = first[live] + step
        payoff[live] += slope[live] * (strike[leg] - at[live])
        at[live] = strike[leg]
        slope[live] += size[leg]
        least[live] = np.minimum(least[live], payoff[live])
    return np.asarray(np.where(calls < -HALF_A_SIZE, -np.inf, least), dtype=np.float64)


def _costs(delta_usd: Floats, vega: Floats, depth: Floats, m: Methodology) -> Floats:
    """M-12, of any shape: `|delta| S` and the sum of `|vega|` of the expiries."""
    points = 0.01 * vega
    of_delta: Floats = delta_usd * m.h_delta * (1.0 + delta_usd / (depth * m.depth_delta))
    return np.asarray(of_delta + points * m.h_vega * (1.0 + points / (depth * m.depth_vega)), dtype=np.float64)


def _totals(key: Ints, weights: Floats, count: int) -> Floats:
    """Sums of weights by key, (count,); of none there are zeros, which NumPy would count as integers."""
    return np.asarray(np.bincount(key, weights=weights, minlength=count), dtype=np.float64)


def _worst(pnl: Floats) -> Floats:
    """`max(0, -min_s P_s)` over the first axis (M-7)."""
    return np.asarray(np.maximum(0.0, -np.min(pnl, axis=0)), dtype=np.float64)


def _offset(amounts: Floats, rate: float) -> Floats:
    """`aggregation.offset_charge` over the last axis."""
    longs = np.sum(np.maximum(amounts, 0.0), axis=-1)
    shorts = np.sum(np.maximum(-amounts, 0.0), axis=-1)
    return np.asarray(rate * np.minimum(longs, shorts), dtype=np.float64)


def _distinct(index: Ints) -> tuple[Ints, Ints]:
    """`np.unique` with the inverse, of numbers that lie close together: without a sort."""
    if not index.size:
        return index, index
    low = int(index.min())
    place = np.zeros(int(index.max()) - low + 1, dtype=np.int64)
    place[index - low] = 1
    used = np.flatnonzero(place)
    place[used] = np.arange(used.size)
    return used + low, place[index - low]


class _Block:
    """Accounts in a row of the books, and what their requirement is made of."""

    def __init__(self, books: Books, start: int, stop: int, state: State) -> None:
        self.state, self.method = state, state.methodology
        self.accounts = stop - start
        low, high = int(books.starts[start]), int(books.starts[stop])
        used, self.of = _distinct(books.instrument[low:high])
        self.units = _units(books.instruments.part(used), state)
        self.size = books.size[low:high]
        self.account = np.repeat(np.arange(self.accounts), np.diff(books.starts[start : stop + 1]))
        self.amount = books.amount[start:stop]
        prices = np.array([c.price for c in state.kinds])
        self.worth = self.amount * prices
        # USD of claims by underlying.
        self.claims = np.zeros((self.accounts, len(state.rows)))
        for kind, u in enumerate(state.claims):
            if u >= 0:
                self.claims[:, u] += self.worth[:, kind]
        self.short = np.maximum(-self.size, 0.0) * self.units.option[self.of]
        self.gross = np.abs(self.size) * self.units.option[self.of]

    def sums(self, unit: Floats) -> Floats:
        """Sum over the legs of each account of size times a figure of one unit."""
        return _totals(self.account, self.size * unit[self.of], self.accounts)

    def by_underlying(self, legs: Floats) -> Floats:
        """Sums of legs, (accounts, underlyings)."""
        count = len(self.state.rows)
        key = self.account * count + self.units.underlying[self.of]
        return _totals(key, legs, self.accounts * count).reshape(self.accounts, count)

    def by_bucket(self, unit: Floats) -> Floats:
        """Sums of size times a figure of one unit, (accounts, underlyings, buckets)."""
        count, buckets = len(self.state.rows), self.state.expiries.size
        key = (self.account * count + self.units.underlying[self.of]) * buckets + self.units.bucket[self.of]
        total = _totals(key, self.size * unit[self.of], self.accounts * count * buckets)
        return total.reshape(self.accounts, count, buckets)

    def pnl(self) -> Floats:
        """M-6, covered fraction included: array (scenarios, accounts, underlyings)."""
        count, units = len(self.state.rows), self.units
        claims = (self.state.multiples.T[:, None, :] - 1.0) * self.claims
        if self.size.size:
            key = self.account * count + units.underlying[self.of]
            first = np.flatnonzero(np.diff(key, prepend=-1))
            flat = claims.reshape(len(self.method), -1)
            for s, row in enumerate(units.change):
                flat[s, key[first]] += np.add.reduceat(row[self.of] * self.size, first)
        return np.asarray(claims * self.method.g[:, None, None], dtype=np.float64)

    def scan(self, pnl: Floats, apart: Floats) -> Floats:
        """`aggregation.total_scan` of each account."""
        names = self.state.names
        total, alone = np.zeros(self.accounts), set(range(len(names)))
        for group in self.method.groups:
            members = [names.index(name) for name in group.members if name in names]
            if members:
                joint = _worst(pnl[:, :, members].sum(axis=2))
                total += (1.0 - group.credit) * apart[:, members].sum(axis=1) + group.credit * joint
                alone -= set(members)
        return np.asarray(total + apart[:, sorted(alone)].sum(axis=1), dtype=np.float64)

    def most_lost(self, value: Floats) -> Floats:
        """`exposure.most_lost` of each account and underlying whose legs are options only (M-14)."""
        count, buckets, units = len(self.state.rows), self.state.expiries.size, self.units
        o = np.flatnonzero(units.option[self.of])
        least = np.zeros(self.accounts * count)
        if o.size:
            of = self.of[o]
            key = (self.account[o] * count + units.underlying[of]) * buckets + units.bucket[of]
            first = np.flatnonzero(np.diff(key, prepend=-1))
            length = np.diff(np.append(first, o.size))
            payoff = _least_payoffs(first, length, self.size[o], units.strike[of], units.call[of])
            np.add.at(least, key[first] // buckets, units.discount[of[first]] * payoff)
        return np.asarray(np.maximum(value - least.reshape(self.accounts, count), 0.0), dtype=np.float64)

    def joint(self) -> tuple[Floats, Floats, Floats]:
        """Maintenance, initial margin and cost of liquidation in portfolio mode (M-13, M-14)."""
        m, units, spot = self.method, self.units, self.state.spot
        pnl = self.pnl()
        apart = _worst(pnl)
        delta = self.by_bucket(units.delta)
        delta[:, :, 0] += self.claims / spot
        net_delta = np.abs(delta.sum(axis=2)) * spot
        calendar = _offset(delta * spot[:, None], m.calendar) + _offset(
            self.by_bucket(units.vega_shock), m.vega_calendar
        )
        minimum = m.som * spot * self.by_underlying(self.short) + m.flat * self.by_underlying(self.gross)
        vega = np.abs(self.by_bucket(units.vega)).sum(axis=2)
        liquidity = _costs(net_delta, vega, self.state.depth, m)
        doubt = self.state.confidence * net_delta
        total = np.maximum(self.scan(pnl, apart) + calendar.sum(axis=1), minimum.sum(axis=1))
        maintenance = total + liquidity.sum(axis=1)
        initial = m.initial_factor * maintenance + doubt.sum(axis=1)
        linear = _totals(self.account, (~units.option[self.of]).astype(np.float64), self.accounts)
        capped = (linear == 0) & ~np.any(self.claims != 0.0, axis=1)
        alone = np.maximum(apart + calendar, minimum) + liquidity
        lost = self.most_lost(self.by_underlying(self.size * units.value[self.of]))
        cap = np.minimum(alone, lost).sum(axis=1), np.minimum(m.initial_factor * alone + doubt, lost).sum(axis=1)
        return (
            np.where(capped, np.minimum(maintenance, cap[0]), maintenance),
            np.where(capped, np.minimum(initial, cap[1]), initial),
            liquidity.sum(axis=1),
        )

    def apart(self) -> tuple[Floats, Floats, Floats]:
        """Maintenance, initial margin and cost of liquidation without any offset: every leg and claim alone (M-17)."""
        m, units, state = self.method, self.units, self.state
        covered = units.change * m.g[:, None]
        losses = np.stack([_worst(covered), _worst(-covered)])
        q, long = np.abs(self.size), self.size > 0.0
        u = units.underlying[self.of]
        delta_usd = q * np.abs(units.delta[self.of]) * state.spot[u]
        scan = q * np.where(long, losses[0][self.of], losses[1][self.of])
        minimum = m.som * state.spot[u] * self.short + m.flat * self.gross
        cost = _costs(delta_usd, q * units.vega[self.of], state.depth[u], m)
        maintenance = np.maximum(scan, minimum) + cost
        initial = m.initial_factor * maintenance + state.confidence[u] * delta_usd
        # The most that a bought option can lose is its value, and a sold put its discounted strike less that.
        value = q * units.value[self.of]
        sold = np.where(
            units.call[self.of], np.inf, np.maximum(q * (units.discount * units.strike)[self.of] - value, 0.0)
        )
        lost = np.where(units.option[self.of], np.where(long, value, sold), np.inf)
        mm = _totals(self.account, np.minimum(maintenance, lost), self.accounts)
        im = _totals(self.account, np.minimum(initial, lost), self.accounts)
        liquidity = _totals(self.account, cost, self.accounts)
        for kind, of in enumerate(state.claims):
            if of >= 0:
                usd = self.worth[:, kind]
                fall = float(_worst((state.multiples[of] - 1.0) * m.g))
                closing = _costs(usd, np.zeros_like(usd), state.depth[of], m)
                claim = usd * fall + closing
                liquidity += closing
                mm += claim
                im += m.initial_factor * claim + state.confidence[of] * usd
        return mm, im, liquidity


def reprice(
    books: Books, market: Market, kinds: Sequence[Collateral], methodology: Methodology, workers: int = 1
) -> Figures:
    """The figures of every account (M-1 to M-17): those of `margin.assess`, but for the order of additions.

    Parameters
    ----------
    books : Books
    market : Market
    kinds : sequence of Collateral
        Price, underlying and haircuts of each kind of collateral; amounts are those of the books.
    methodology : Methodology
    workers : int
        Threads; the result does not depend on it.

    Returns
    -------
    Figures; ValueError where an instrument has no market data.
    """
    state = State.of(market, kinds, methodology)
    out = {f.name: np.empty(len(books)) for f in fields(Figures)}
    out["delta"] = np.empty((len(books), len(state.rows)))
    haircuts = [np.array([getattr(c, name) for c in kinds]) for name in ("haircut_maintenance", "haircut_initial")]
    weight = books.starts + np.arange(len(books) + 1)
    edges = np.unique(np.append(np.searchsorted(weight, np.arange(0, weight[-1], BLOCK)), len(books)))

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        block = _Block(books, start, stop, state)
        value, worth = block.sums(block.units.value), block.worth
        base = books.cash[rows] - books.cost[rows] + value + block.sums(block.units.price)
        portfolio = books.mode[rows] >= PORTFOLIO
        needs = np.zeros((3, block.accounts))
        for chosen, figures in ((portfolio, block.joint), (~portfolio, block.apart)):
            if chosen.any():
                needs[:, chosen] = np.stack(figures())[:, chosen]
        notional = _totals(block.account, block.gross * block.units.notional[block.of], block.accounts)
        out["maintenance"][rows], out["initial"][rows], out["liquidity"][rows] = needs
        out["equity_maintenance"][rows] = base + worth @ (1.0 - haircuts[0])
        out["equity_initial"][rows] = base + worth @ (1.0 - haircuts[1])
        out["net_value"][rows] = base + worth.sum(axis=1)
        out["option_value"][rows] = value
        out["delta"][rows] = block.by_underlying(block.size * block.units.delta[block.of]) * state.spot + block.claims
        out["doubt"][rows] = 4.0 * EPSILON * notional + CENT

    pairs = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    if workers > 1 and len(pairs) > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda pair: work(*pair), pairs))
    else:
        for start, stop in pairs:
            work(start, stop)
    return Figures(**out)
