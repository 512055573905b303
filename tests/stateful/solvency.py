"""The mirror's margin: the float model's figures of an account, and the check at the end of every call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import replace

import numpy as np

from python_model import interest, margin, volatility
from python_model.methodology import Methodology
from python_model.portfolio import Book, Mode
from python_model.tail import Tail
from scripts import chain
from tests import tolerances
from tests.stateful.market import MarketMirror
from tests.stateful.money import Money
from tests.stateful.state import (
    BOUGHT,
    EXPIRY_WEIGHT,
    FUTURE,
    HAIRCUT_MAINTENANCE,
    KEPT,
    MOST_EXPIRIES,
    MOST_LEGS,
    MOST_TAIL_WEIGHT,
    MOST_WEIGHT,
    PAID,
    PERP,
    RISK,
    TAILS,
    UNDERLYING_WEIGHT,
    WAD,
    Account,
    Figures,
    Refused,
    both,
    either,
    not_negative,
)


class SolvencyMirror(MarketMirror, ABC):
    """Accounts, their cash and their margin."""

    def __init__(
        self,
        methodology: Methodology,
        tail: Tail,
        names: dict[str, int],
        publisher: str,
        heartbeat: int,
        dynamic: volatility.Terms,
        terms: interest.Terms,
    ) -> None:
        super().__init__(names, publisher, heartbeat, dynamic)
        self.methodology = methodology
        self.tail = tail
        self.accounts: dict[int, Account] = {}
        self.money = Money(terms)
        # The counterpart of entries that only one account has: interest and settlement.
        self.reserve = 0
        self.paused = 0
        # Who may take risk in portfolio mode: everybody where nobody is asked.
        self.admission = False
        self.minimum_equity = 0
        self.allow_list = False
        self.allowed: set[str] = set()
        # Of a call: verdicts that errors leave open; accounts as they were when first touched, how far they have come,
        # and what they paid in fees.
        self.doubts: set[str] = set()
        self.touched: dict[int, Account] = {}
        self.levels: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        # How often an account below initial margin passed by decision 5, by mode.
        self.risk_free: Counter[Mode] = Counter()

    def _change(self, account: int, amount: int) -> int:
        """Add to an account's cash, its interest first, which is the reserve's. The cash afterwards."""
        state = self.accounts[account]
        self.reserve -= self.money.change(state, amount, self.now)
        return state.cash

    def _touch(self, account: int, level: int) -> None:
        if account not in self.touched:
            # With its interest, which is no gain of this call.
            self._change(account, 0)
            self.touched[account] = self.accounts[account].copy()
        self.levels[account] = max(level, self.levels.get(account, KEPT))

    def _decide(self, passes: bool | None, reason: str, mode: Mode | None = None) -> None:
        """Refuse, or note that the contract may."""
        if passes is None:
            self.doubts.add(reason)
        elif not passes:
            raise Refused(reason, mode)

    def weight(self, account: Account) -> int:
        """Of its legs, expiries and, for a tail, underlyings, one of which may be its collateral's alone."""
        dates = {(i.underlying, i.expiry) for i in account.legs if i.expiry}
        underlyings = {i.underlying for i in account.legs} | ({self.names["ETH"]} if account.weth else set())
        each = UNDERLYING_WEIGHT if account.mode in TAILS else 0
        return len(account.legs) + EXPIRY_WEIGHT * len(dates) + each * len(underlyings)

    def _require_admissible(self, account: Account) -> None:
        """The limits of a book alone. Two underlyings are below the limit of eight."""
        self._require(len(account.legs) <= MOST_LEGS[account.mode], "positions: legs of this mode")
        dates = {(i.underlying, i.expiry) for i in account.legs if i.expiry}
        most = max((sum(u == v for v, _ in dates) for u, _ in dates), default=0)
        self._require(most <= MOST_EXPIRIES, "positions: too many expiries")
        heaviest = MOST_TAIL_WEIGHT if account.mode in TAILS else MOST_WEIGHT
        self._require(self.weight(account) <= heaviest, "positions: weight of this mode")

    def _settle(self) -> None:
        for account, before in self.touched.items():
            state, level = self.accounts[account], self.levels[account]
            if level == BOUGHT:
                self._require_bidder(state)
            elif level != KEPT:
                self._require_sound(before, state, level == PAID, self.charged.get(account, 0))

    @abstractmethod
    def _require_bidder(self, account: Account) -> None:
        """What an account needs that bought in a liquidation: with auctions."""

    def _require_sound(self, before: Account, after: Account, paid: bool, fees: int) -> None:
        """Nothing at risk, initial margin on fresh data in an open mode, or no risk taken and nothing paid out."""
        self._require_admissible(after)
        sound: bool | None = False
        if not self.paused & RISK:
            if not after.legs and after.cash >= 0:
                return
            figures = self.figures(after)
            sound = not_negative(figures.excess, figures.error) if figures.fresh else False
            sound = both(sound, self.admits(after, figures))
        if sound:
            return
        # Collateral that came in does not count.
        safe = False if paid else self.takes_no_risk(before, replace(after, weth=before.weth), fees)
        self.risk_free[after.mode] += safe is True and sound is False
        self._decide(either(sound, safe), "solvency: margin", after.mode)

    def admits(self, account: Account, figures: Figures) -> bool | None:
        """Whether an account may take risk in its mode."""
        if not account.mode.has_offsets or not self.admission:
            return True
        enough = not_negative(figures.assessment.equity_initial - self.minimum_equity / WAD, figures.error)
        return both(enough, not self.allow_list or account.owner in self.allowed)

    def takes_no_risk(self, before: Account, after: Account, fees: int) -> bool | None:
        """Decision 5, as `IMarginReport.takes_no_risk` states it; None where errors leave it open.

        Equity is no lower with either haircut, neither requirement is higher, and no underlying loses more than before
        in any scenario of the grid, by whatever the account is margined, where P&L above zero counts as zero before.
        Fees are forgiven, as far as they make the account neither unhealthy nor less healthy.
        """
        if before.key == after.key:
            return True
        old, new = self.figures(before), self.figures(after)
        # Even where both are exact, their difference as floats is not.
        error = old.error + new.error + tolerances.DUST + tolerances.NOISE * (self.gross(before) + self.gross(after))
        a, b = old.assessment, new.assessment
        lines = [
            b.equity_maintenance + fees / WAD - a.equity_maintenance,
            b.equity_initial + fees / WAD - a.equity_initial,
            new.health - min(old.health, 0.0),
            a.maintenance - b.maintenance,
            a.initial - b.initial,
        ]
        # Without a move there is no profit on either side, exactly.
        m = self.methodology
        moved = (m.x != 0.0) | (m.y != 0.0) | (m.z != 0.0)
        held, holds = self.grid_pnl(before), self.grid_pnl(after)
        for name, profits in holds.items():
            known = np.minimum(held.get(name, np.zeros(len(m))), 0.0)
            lines.append(float(np.min((np.array(profits) - known)[moved])))
        verdicts = [not_negative(line, error) for line in lines]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def grid_pnl(self, account: Account) -> dict[str, list[float]]:
        """P&L in every scenario of the grid, which an account of mode VAR is not margined by."""
        whole = replace(account, mode=Mode.PORTFOLIO) if account.mode is Mode.VAR else account
        return self.figures(whole).assessment.scenario_pnl

    def is_fresh(self, account: Account) -> bool:
        """Whether every price that the account's figures rest on is within its heartbeat."""
        used = {(self.name_of[i.underlying], expiry) for i in account.legs for expiry in (0, i.expiry)}
        if account.weth:
            used.add(("ETH", 0))
        return all(self.is_current(*key) for key in used)

    def depends(self, account: int, name: str) -> bool:
        """Whether an account's margin depends on an underlying."""
        state = self.accounts[account]
        return (name == "ETH" and state.weth > 0) or any(self.name_of[i.underlying] == name for i in state.legs)

    def prudent(self, account: Account) -> int:
        """The cash that margin counts, 1e-18 USD."""
        return self.money.prudent(account, self.now)

    def book(self, account: Account) -> Book:
        """The account as the model wants it: entries are in the cash, as `cost` is known in sum only."""
        positions = tuple(self.position(i, size) for i, size in sorted(account.legs.items()))
        held = (self.weth_holding(account.weth),) if account.weth else ()
        return Book(account.mode, (self.prudent(account) - account.cost) / WAD, held, positions)

    def notional(self, account: Account) -> float:
        """N of `Figures`, USD."""
        return chain.error_notional(self.book(account), self.snapshot())

    def gross(self, account: Account) -> float:
        """G of `Figures`, USD."""
        linear = sum(abs(size) / 10**6 * self.mark(i) for i, size in account.legs.items() if i.kind in (PERP, FUTURE))
        worth = account.weth / WAD * self.market["ETH"].spot
        return self.notional(account) + linear + worth + (abs(self.prudent(account)) + abs(account.cost)) / WAD

    def figures(self, account: Account) -> Figures:
        """What the model says of an account now. Refused where its book has an expiry without market data."""
        key = (self.now, self.prudent(account), account.mode, account.cost, account.weth, *sorted(account.legs.items()))
        if key not in self._seen:
            self._seen[key] = self.assess(account)
        return self._seen[key]

    def assess(self, account: Account) -> Figures:
        """The same, computed anew."""
        try:
            tail = self.tail if account.mode in TAILS else None
            a = margin.assess(self.book(account), self.snapshot(), self.methodology, tail)
        except KeyError:
            raise Refused("engine: no expiry data") from None
        error = 0.0
        if account.legs or account.weth:
            f = self.methodology.initial_factor
            error = (
                5 * f * tolerances.EPSILON * self.notional(account)
                + 6 * f * tolerances.NOISE * self.gross(account)
                + tolerances.DUST
            )
        net_value = a.equity_maintenance + HAIRCUT_MAINTENANCE * account.weth / WAD * self.market["ETH"].spot
        stale_value = 0.0 if self.is_fresh(account) else self._stale_value(account)
        return Figures(a, net_value, self.is_fresh(account), stale_value, error)

    def _stale_value(self, account: Account) -> float:
        """Gross value of what has a stale price, USD: |delta| by expiry and notional, of underlyings or of parts."""
        apart = not account.mode.has_offsets and len(account.legs) + (account.weth > 0) > 1
        total = 0.0
        market = self.snapshot()
        for name, table in margin.leg_tables(self.book(account), market, self.methodology).items():
            stale = np.array([not (self.is_current(name, 0) and self.is_current(name, int(b))) for b in table.bucket])
            values = table.size * table.delta * table.spot
            if apart:
                total += float(np.abs(values[stale]).sum())
            elif stale.any():
                stale[:] = True
                total += sum(abs(float(values[table.bucket == b].sum())) for b in np.unique(table.bucket))
            options = slice(0, table.option_count)
            forwards = np.array([market.underlyings[name].at(int(b)).forward for b in table.bucket[options]])
            total += float((np.abs(table.size) * stale)[options] @ (forwards + table.strike[options]))
        if account.weth and not self.is_current("ETH", 0):
            total += account.weth / WAD * self.market["ETH"].spot
        return total
