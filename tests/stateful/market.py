"""The mirror's market: what was published, and what follows from its course: funding, fixings, settlement prices."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from python_model import exposure, settlement, volatility
from python_model.portfolio import Collateral, Expiry, Market, Position, Underlying
from tests.stateful.state import (
    FUTURE,
    HAIRCUT_INITIAL,
    HAIRCUT_MAINTENANCE,
    KIND,
    PERP,
    PUT,
    WAD,
    Figures,
    Instrument,
    Refused,
)

MILLION = 10**6
DEPTH_SPEED = 14
# Half-width of the confidence beyond which an update is doubted.
WIDEST = 0.02
# Of a spot that is not fresh.
STALE_CONFIDENCE = 0.05
# Of a double, and more than a variance of 1e-18 loses by roundings.
EPSILON_OF_DOUBLES, VARIANCE_ROUNDING = 2.0**-52, 1e-17


class Variance(NamedTuple):
    """Of a day (M-21), and by how much the contract's may differ."""

    value: float
    error: float


class MarketMirror:
    """Market data, and the clock."""

    def __init__(self, names: dict[str, int], publisher: str, heartbeat: int, dynamic: volatility.Terms) -> None:
        self.names = names
        self.dynamic = dynamic
        first = Variance(volatility.initial_variance(dynamic), VARIANCE_ROUNDING)
        self.variances = dict.fromkeys(names, first)
        self.name_of = {i: name for name, i in names.items()}
        self.publisher = publisher
        self.heartbeat = heartbeat
        self.now = 0
        self.market: dict[str, Underlying] = {}
        # When each underlying and each of its expiries was last published.
        self.published: dict[tuple[str, int], int] = {}
        # By underlying, 1e-6 units: long sizes of all accounts, and where they may not grow any more, 0 for nowhere.
        self.open_interest: dict[int, int] = dict.fromkeys(self.name_of, 0)
        self.open_interest_caps: dict[int, int] = dict.fromkeys(self.name_of, 0)
        # What was published last of these was doubted: nothing of it was taken over.
        self.doubted: set[str] = set()
        # Share of the depths of M-12 that is left, its target and since when, 1e-6, by underlying (M-23).
        self.depths: dict[str, tuple[int, int, int]] = dict.fromkeys(names, (MILLION, MILLION, 0))
        # Times with spot and mark of the perpetual at 1e-9 USD, by underlying.
        self.course: dict[str, list[tuple[int, int, int]]] = {name: [] for name in names}
        self._seen: dict[tuple, Figures] = {}

    def _require(self, condition: bool, reason: str) -> None:
        if not condition:
            raise Refused(reason)

    def publish(self, sender: str, name: str, state: Underlying) -> None:
        """Replace the state of an underlying and of the expiries named."""
        self._require(sender == self.publisher, "market: publisher")
        # Not cleared: other copies share the old one.
        self._seen = {}
        if state.confidence > WIDEST:
            self.doubted.add(name)
            return
        self.doubted.discard(name)
        self.variances[name] = self.learnt(name, state.spot)
        known = {e.expiry: e for e in (*(self.market[name].expiries if name in self.market else ()), *state.expiries)}
        self.market[name] = replace(state, expiries=tuple(known[expiry] for expiry in sorted(known)))
        self.depths[name] = (self.depth(name), self.depth_target(self.names[name]), self.now)
        self.course[name].append((self.now, round(state.spot * 10**9), round(state.perp_mark * 10**9)))
        self.published.update({(name, e.expiry): self.now for e in state.expiries} | {(name, 0): self.now})

    def learnt(self, name: str, spot: float) -> Variance:
        """Variance after one more price: before the first it is what it was set to.

        What a weight lacks of 1 errs by some units of a double, more than the contract's does by its own.
        """
        old = self.variances[name]
        if name not in self.market:
            return old
        elapsed = max(self.now - self.published[name, 0], 1)
        move = math.log(spot / self.market[name].spot)
        value = volatility.averaged(old.value, move, elapsed, self.dynamic.halflife)
        gross = old.value + move**2 * volatility.DAY / elapsed
        return Variance(value, old.error + 4 * EPSILON_OF_DOUBLES * gross + VARIANCE_ROUNDING)

    def depth(self, name: str) -> int:
        """Where the share of the depths is now, 1e-6: it moves by fourteen a second at most."""
        start, target, since = self.depths[name]
        reach = DEPTH_SPEED * (self.now - since)
        return min(target, start + reach) if start < target else max(target, start - reach)

    def depth_target(self, underlying: int) -> int:
        """The whole up to half of the cap, then down to a quarter at the cap, rounded down (M-23)."""
        held, cap = self.open_interest[underlying], self.open_interest_caps[underlying]
        if cap == 0 or held <= cap // 2:
            return 10**6
        return 10**6 - min(-(-750_000 * (2 * held - cap) // cap), 750_000)

    def is_current(self, name: str, expiry: int) -> bool:
        """Whether an underlying (expiry 0) or an expiry is within its heartbeat: an expired one as of its end.

        Where an update was doubted, the underlying is not until one is taken over.
        """
        if expiry == 0 and name in self.doubted:
            return False
        seen_at = min(self.now, expiry) if expiry else self.now
        return seen_at <= self.published[name, expiry] + self.heartbeat or self._is_settled(name, expiry)

    def position(self, i: Instrument, size: int) -> Position:
        """A leg as the model wants it, its entry 0."""
        return Position(
            self.name_of[i.underlying],
            KIND[i.kind],
            size / 10**6,
            i.expiry or None,
            i.strike / 10**6 if i.strike else None,
            0.0 if i.kind in (PERP, FUTURE) else None,
        )

    def weth_holding(self, amount: int) -> Collateral:
        """WETH as collateral at spot."""
        return Collateral(amount / WAD, self.market["ETH"].spot, "ETH", HAIRCUT_INITIAL, HAIRCUT_MAINTENANCE)

    def snapshot(self) -> Market:
        """The market now: with what longs have paid, volatility as it was learnt, and forwards that are being fixed."""
        seen = {}
        for name, u in self.market.items():
            rows = tuple(self._as_read(name, e) for e in u.expiries)
            confidence = u.confidence if self.is_current(name, 0) else max(u.confidence, STALE_CONFIDENCE)
            seen[name] = replace(
                u,
                expiries=rows,
                perp_funding=self.funding(name) / WAD,
                depth=self.depth(name) / MILLION,
                confidence=confidence,
                daily_vol=math.sqrt(self.variances[name].value),
            )
        return Market(self.now, seen)

    def funding(self, name: str) -> int:
        """What a long has paid for a whole perpetual, 1e-18 USD: the premium, at most 0.5% of spot, in eight hours."""
        total = 0
        times = [*(time for time, *_ in self.course[name][1:]), self.now]
        for (start, spot, mark), end in zip(self.course[name], times, strict=True):
            limit = spot // 200
            total += min(max(mark - spot, -limit), limit) * min(end - start, self.heartbeat)
        paid = abs(total) * 1000 // (8 * 3600) * 10**6
        return paid if total > 0 else -paid

    def is_final(self, i: Instrument) -> bool:
        """Whether an instrument has expired and can be settled."""
        return i.expiry > 0 and self._is_settled(self.name_of[i.underlying], i.expiry)

    def payoff(self, i: Instrument) -> int:
        """What a unit of an instrument is settled at, 1e-9 USD."""
        price, _ = self._mean(self.name_of[i.underlying], i.expiry, i.expiry, 0)
        if i.kind == FUTURE:
            return price
        value = price - i.strike * 1000
        return max(-value if i.kind == PUT else value, 0)

    def _is_settled(self, name: str, expiry: int) -> bool:
        """Whether an expiry has its final price: with the first state at or after it."""
        times = [time for time, *_ in self.course[name]]
        return settlement.settles_by_mean(expiry) and times[0] < expiry <= times[-1]

    def _as_read(self, name: str, e: Expiry) -> Expiry:
        """Of the last half hour before an expiry at eight o'clock what has passed is fixed: the mean of spot."""
        start = self.course[name][0][0]
        late = self.now > e.expiry - settlement.WINDOW_SECONDS and start < e.expiry
        if not settlement.settles_by_mean(e.expiry) or not late:
            return e
        forward, fixed = self._mean(name, e.expiry, min(self.now, e.expiry), round(e.forward * 10**9))
        return replace(e, forward=forward / 10**9, fixed=fixed / settlement.SHARES)

    def _mean(self, name: str, expiry: int, fixed: int, forward: int) -> tuple[int, int]:
        """Mean over the window before an expiry, 1e-9 USD: of spot until `fixed`, of a forward from then on.

        And the share of it that is fixed, in so many `settlement.SHARES`, rounded down.
        """
        course = self.course[name]
        window = max(expiry - settlement.WINDOW_SECONDS, course[0][0])
        ends = [*(min(max(time, window), fixed) for time, *_ in course), fixed]
        behind = sum(spot * (b - a) for (_, spot, _), a, b in zip(course, ends, ends[1:], strict=False))
        total = behind + (expiry - fixed) * forward
        return total // (expiry - window), behind * settlement.SHARES // total

    def mark(self, i: Instrument) -> float:
        """Mark of an instrument, USD."""
        return exposure.mark(self.position(i, 0), self.snapshot())
