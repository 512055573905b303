"""The protocol in plain Python, written from its specification.

Money, sizes and tokens are exact integers; margin is the float model's.

A call is tried on a copy of the mirror: it ends in a new state, or in the reason with which the contracts must revert.
Where a margin check falls within the error that M-16 grants the contract, both are right, and the mirror says so.

Units are those of the contracts: cash and cost 1e-18 USD, sizes and strikes 1e-6, prices 1e-9, fractions 1e-18, tokens
in units of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from python_model import exposure, listing, margin, settlement
from python_model.methodology import Methodology
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Position, Underlying
from scripts import chain
from tests import tolerances

WAD = 10**18
USDC, WETH = 0, 1
KINDS_OF_COLLATERAL = 2
UNIT = {USDC: 10**12, WETH: 1}
HAIRCUT_INITIAL, HAIRCUT_MAINTENANCE = 0.02, 0.01
PERP, FUTURE, CALL, PUT = range(4)
KIND = {PERP: Kind.PERP, FUTURE: Kind.FUTURE, CALL: Kind.CALL, PUT: Kind.PUT}
MODE = (Mode.ISOLATED, Mode.CROSS, Mode.PORTFOLIO)
RISK, LIQUIDATION = 1, 2
# What a call did to an account: its state was kept; it must be checked; it was paid from, which no gain excuses.
KEPT, DUE, PAID = 1, 2, 3
NOBODY = "0x" + "00" * 20
# A slice may always be worth this much, USD, and so many times the strikes of the book in smallest sizes.
SMALL, DUST_FACTOR, SMALLEST = 100.0, 10, 1e-6
# How often the gross value of what has a stale price must not matter for a liquidation.
STALE_FACTOR = 2
# A revert that says nothing: arithmetic of a token.
SILENT = ""

# What operators may do.
TRADE, FUNDS = 1, 2
# Fees of the house: of the notional, and of an option at most a part of its premium; 1e-18.
MAKER_FEE, TAKER_FEE, PREMIUM_CAP = 10**14, 3 * 10**14, 125 * 10**15
# Account 1 receives them.
COLLECTOR = 1
ANY_FEE = 2**256 - 1
PRICE_LIMIT = 2**72
# Legs that each mode allows; and legs + 3 * expiries, because expiries cost gas too.
MOST_LEGS = {Mode.ISOLATED: 1, Mode.CROSS: 32, Mode.PORTFOLIO: 128}
MOST_EXPIRIES, EXPIRY_WEIGHT, MOST_WEIGHT = 16, 3, 152


class Refused(Exception):  # noqa: N818
    """A call that must revert, and the reason it must give."""


class Instrument(NamedTuple):
    """What a position is in; sorts as the contracts sort a book."""

    underlying: int
    expiry: int
    strike: int
    kind: int


class Leg(NamedTuple):
    """One row of a package, as the taker sees it, for one lot."""

    underlying: int
    expiry: int
    strike: int
    kind: int
    size: int
    price: int

    @property
    def instrument(self) -> Instrument:
        return Instrument(*self[:4])

    @property
    def value(self) -> int:
        """What the taker pays, 1e-18 USD."""
        return self.size * self.price * 1000


class Consent(NamedTuple):
    """A maker's consent to a package, and what the taker who calls makes of it."""

    nonce: int
    deadline: int
    signer: str  # who is said to consent
    key: str | None  # who signed; None: nobody, so that the signer calls or has approved
    lots: int = 1
    max_fee: int = ANY_FEE  # of the maker, for a lot, 1e-18
    fill: int = 1  # lots to fill now
    short: int = 0  # by how much the taker's limit for its first leg is below the maker's price, 1e-9


class Act(NamedTuple):
    """One step of a batch: the name of the mirror's method, and its arguments behind the sender."""

    name: str
    arguments: tuple


@dataclass
class Account:
    """What the clearing house holds for one account."""

    owner: str
    mode: Mode
    cash: int = 0
    cost: int = 0
    weth: int = 0
    legs: dict[Instrument, int] = field(default_factory=dict)

    def copy(self) -> Account:
        return replace(self, legs=dict(self.legs))

    @property
    def key(self) -> tuple:
        """Everything that margin depends on."""
        return (self.mode, self.cash, self.cost, self.weth, tuple(sorted(self.legs.items())))

    def balance(self, kind: int) -> int:
        """Token units that a debit may take."""
        return self.cash // UNIT[USDC] if kind == USDC else self.weth

    def add(self, package: Iterable[tuple[Instrument, int]], cost: int) -> None:
        """Take a package over; profit of futures and perps becomes cash once there is none left."""
        for instrument, size in package:
            total = self.legs.pop(instrument, 0) + size
            if total:
                self.legs[instrument] = total
        self.cost += cost
        if not any(i.kind in (PERP, FUTURE) for i in self.legs):
            self.cash -= self.cost
            self.cost = 0


@dataclass(frozen=True)
class Figures:
    """The model's assessment of an account, USD, and what the contract may differ by.

    `error` bounds the difference in each of E_mm - MM, E_im - IM, equity, requirement, net value, stale value, and a
    scenario's P&L; the first two and STALE_FACTOR times the stale value, whose deltas err by less than epsilon N / 2,
    together by twice as much.
    With N = sum |q| (F + K) over options, f the initial factor and the constants of `tests/tolerances.py`:

    - M-16: a requirement exceeds the exact one by at most 4 f epsilon N, an equity falls short by at most epsilon N,
      and a scenario's profit errs by at most epsilon N: 5 f epsilon N covers each of them and each pair. What errors of
      delta and vega put into M-12 is h (1 + 2 x / depth) times 4e-10 N, for h below 0.001: lost in the 4.
    - Floats: NOISE of the gross G = N + sum |q| price of what is linear + |cash| + collateral, in equity and in the
      requirements of at most two underlyings, each with the derivative 1 + slope <= 2 of M-12, times f: 6 f NOISE G.
    - DUST: truncated divisions.

    An account of cash alone is a matter of integers: no error.
    """

    assessment: margin.Assessment
    net_value: float
    fresh: bool
    stale_value: float
    error: float

    @property
    def health(self) -> float:
        return self.assessment.equity_maintenance - self.assessment.maintenance

    @property
    def excess(self) -> float:
        """What there is above initial margin."""
        return self.assessment.equity_initial - self.assessment.initial


@dataclass(frozen=True)
class Prediction:
    """What a call does: the state after it (None if it must revert) and the reasons with which it may revert."""

    after: Mirror | None
    reasons: frozenset[str]


def not_negative(figure: float, error: float) -> bool | None:
    """Whether a figure is at least zero; None where its error leaves that open."""
    if abs(figure) <= error and error > 0.0:
        return None
    return figure >= 0.0


def either(a: bool | None, b: bool | None) -> bool | None:
    """Whether one of two verdicts passes; None where that is open."""
    return True if a or b else None if a is None or b is None else False


def truncated(amount: int, fraction: int) -> int:
    """A fraction of an amount, towards zero."""
    part = abs(amount) * fraction // WAD
    return part if amount >= 0 else -part


class Mirror:
    """The whole protocol: accounts, vault, wallets, market, authority."""

    def __init__(
        self, methodology: Methodology, names: dict[str, int], owner: str, guardian: str, heartbeat: int
    ) -> None:
        self.methodology = methodology
        self.names = names
        self.name_of = {i: name for name, i in names.items()}
        self.owner, self.guardian = owner, guardian
        self.heartbeat = heartbeat
        self.now = 0
        self.accounts: dict[int, Account] = {}
        self.wallets: dict[tuple[str, int], int] = {}
        self.vault = {USDC: 0, WETH: 0}
        self.credited = {USDC: 0, WETH: 0}
        self.caps = {USDC: 0, WETH: 0}
        # Token units a day, 0 for none; what of it was used up, and when.
        self.limits = {USDC: 0, WETH: 0}
        self.outflow = {USDC: (0, 0), WETH: (0, 0)}
        self.operators: dict[tuple[int, str], tuple[int, int]] = {}
        self.cancelled: set[tuple[int, int]] = set()
        self.lowest_nonce: dict[int, int] = {}
        self.approvals: set[tuple] = set()
        # Lots by order.
        self.filled: dict[tuple, int] = {}
        self.fees = (MAKER_FEE, TAKER_FEE, PREMIUM_CAP)
        # What accounts paid in this call.
        self.charged: dict[int, int] = {}
        self.paused = 0
        self.discount, self.minimum_slice = WAD // 20, WAD // 10
        self.market: dict[str, Underlying] = {}
        # When each underlying and each of its expiries was last published.
        self.published: dict[tuple[str, int], int] = {}
        # Times with spot and mark of the perpetual at 1e-9 USD, by underlying.
        self.course: dict[str, list[tuple[int, int, int]]] = {name: [] for name in names}
        self.doubts: set[str] = set()
        self.touched: dict[int, Account] = {}
        self.levels: dict[int, int] = {}
        self.risk_free = 0  # how often an account below initial margin passed by decision 5
        self._seen: dict[tuple, Figures] = {}

    def copy(self) -> Mirror:
        """Independent of the original, but for what neither changes."""
        twin = object.__new__(type(self))
        twin.__dict__ = {
            key: value.copy() if isinstance(value, (dict, set)) else value for key, value in self.__dict__.items()
        }
        twin.accounts = {a: account.copy() for a, account in self.accounts.items()}
        twin.course = {name: list(states) for name, states in self.course.items()}
        twin._seen = self._seen
        return twin

    def attempt(self, act: Act, sender: str) -> Prediction:
        """What a call of `sender` would do now."""
        trial = self.copy()
        trial.doubts, trial.touched, trial.levels, trial.charged = set(), {}, {}, {}
        try:
            getattr(trial, act.name)(sender, *act.arguments)
            trial._settle()
        except Refused as refusal:
            return Prediction(None, frozenset(trial.doubts | {str(refusal)}))
        return Prediction(trial, frozenset(trial.doubts))

    # ------------------------------------------------------------------------------------------------------ accounts

    def controls(self, account: int, caller: str, scope: int) -> bool:
        """Whether an address may act for an account."""
        expiry, allowed = self.operators.get((account, caller), (0, 0))
        return self._owner(account) == caller or (self.now < expiry and bool(allowed & scope))

    def _owner(self, account: int) -> str:
        return self.accounts[account].owner if account in self.accounts else NOBODY

    def _require(self, condition: bool, reason: str) -> None:
        if not condition:
            raise Refused(reason)

    def _require_control(self, account: int, caller: str, scope: int = FUNDS) -> None:
        self._require(self.controls(account, caller, scope), "accounts: not authorised")

    def create_account(self, sender: str, mode: int) -> None:
        """Open an account."""
        self._require(mode < len(MODE), "accounts: mode")
        self.accounts[len(self.accounts) + 1] = Account(sender, MODE[mode])

    def set_operator(self, sender: str, account: int, operator: str, expiry: int, scope: int) -> None:
        """Let a key act for an account until `expiry`."""
        self._require(self._owner(account) == sender, "accounts: not the owner")
        self._require(scope <= TRADE | FUNDS, "accounts: scope")
        self.operators[account, operator] = expiry, scope

    def set_mode(self, sender: str, account: int, mode: int) -> None:
        """Change the margin mode."""
        self._require(self._owner(account) == sender, "accounts: not the owner")
        self._require(mode < len(MODE), "accounts: mode")
        self._touch(account, DUE)
        self.accounts[account].mode = MODE[mode]

    # ------------------------------------------------------------------------------------------------------ tokens

    def _move_tokens(self, sender: str, kind: int, amount: int) -> None:
        self._require(amount <= self.wallets[sender, kind], SILENT)
        self.wallets[sender, kind] -= amount
        self.vault[kind] += amount

    def donate(self, sender: str, kind: int, amount: int) -> None:
        """Send tokens to the clearing house past it: nobody's account changes (INV-03)."""
        self._move_tokens(sender, kind, amount)

    def _credit(self, account: int, kind: int, amount: int) -> None:
        if kind == USDC:
            self.accounts[account].cash += amount * UNIT[USDC]
        else:
            self.accounts[account].weth += amount

    def _debit(self, account: int, kind: int, amount: int) -> None:
        self._require(kind < KINDS_OF_COLLATERAL or amount == 0, "custody: not enough")
        self._require(kind < KINDS_OF_COLLATERAL, "collaterals: unknown kind")
        held = self.accounts[account].cash if kind == USDC else self.accounts[account].weth
        self._require(amount * UNIT[kind] <= held, "custody: not enough")
        self._credit(account, kind, -amount)

    def deposit(self, sender: str, account: int, kind: int, amount: int) -> None:
        """Take tokens of the sender."""
        self._require_control(account, sender)
        self._require(kind < KINDS_OF_COLLATERAL, "collaterals: unknown kind")
        self._move_tokens(sender, kind, amount)
        self._require(amount > 0, "custody: nothing arrived")
        self._require(self.credited[kind] + amount <= self.caps[kind], "custody: cap")
        self._touch(account, KEPT)
        self.credited[kind] += amount
        self._add_collateral(account, kind, amount)

    def _add_collateral(self, account: int, kind: int, amount: int) -> None:
        """Credit. A kind that the account did not hold may not make it worse, nor stale beside positions."""
        before = self.accounts[account].copy()
        self._credit(account, kind, amount)
        if kind == USDC or before.weth:
            return
        after = self.accounts[account]
        self._require_admissible(after)
        if after.legs:
            self._require(self.is_current("ETH", 0), "custody: stale price")
            old, new = self.figures(before), self.figures(after)
            change = not_negative(new.health - old.health, old.error + new.error)
            self._decide(either(not_negative(new.health, new.error), change), "solvency: collateral adds risk")

    def withdraw(self, sender: str, account: int, kind: int, amount: int, recipient: str) -> None:
        """Pay tokens out."""
        self._require_control(account, sender)
        self._require(recipient == self._owner(account) or sender == self._owner(account), "accounts: recipient")
        self._require(recipient in {wallet for wallet, _ in self.wallets}, "custody: recipient")
        self._touch(account, PAID)
        self._debit(account, kind, amount)
        self._require(amount <= self.credited[kind], "custody: vault is short")
        if self.limits[kind]:
            used = self.used(kind) + amount
            self._require(used <= self.limits[kind], "collaterals: withdrawal limit")
            self.outflow[kind] = (used, self.now)
        self.credited[kind] -= amount
        self.vault[kind] -= amount
        self.wallets[recipient, kind] += amount

    def used(self, kind: int) -> int:
        """How much of a day's withdrawals is used up now."""
        used, since = self.outflow[kind]
        return max(0, used - self.limits[kind] * (self.now - since) // 86_400)

    def transfer(self, sender: str, giver: int, receiver: int, kind: int, amount: int) -> None:
        """Move collateral or cash between two accounts of one owner."""
        self._require(giver != receiver, "accounts: one account")
        self._require_control(giver, sender)
        self._require_control(receiver, sender)
        self._require(self._owner(giver) == self._owner(receiver), "accounts: two owners")
        self._touch(giver, PAID)
        self._touch(receiver, KEPT)
        self._debit(giver, kind, amount)
        self._add_collateral(receiver, kind, amount)

    # ------------------------------------------------------------------------------------------------------ trades

    def approve(self, sender: str, taker: int, maker: int, legs: tuple[Leg, ...], consent: Consent) -> None:
        """Consent to a maker's order on chain."""
        self._require_control(maker, sender, TRADE)
        self.approvals.add((self._order(taker, maker, legs, consent), sender))

    def cancel(self, sender: str, account: int, nonce: int) -> None:
        """Make every order with a nonce worthless."""
        self._require_control(account, sender, TRADE)
        self.cancelled.add((account, nonce))

    def cancel_range(self, sender: str, account: int, word: int, mask: int) -> None:
        """Make orders with any of 256 nonces worthless."""
        self._require_control(account, sender, TRADE)
        self.cancelled |= {(account, 256 * word + i) for i in range(256) if mask >> i & 1}

    def cancel_below(self, sender: str, account: int, nonce: int) -> None:
        """Make orders with any lower nonce worthless."""
        self._require_control(account, sender, TRADE)
        self._require(nonce > self.lowest_nonce.get(account, 0), "exchange: nonce")
        self.lowest_nonce[account] = nonce

    def set_fees(self, sender: str, maker: int, taker: int, cap: int) -> None:
        """Another schedule."""
        self._require(sender == self.owner, "authority: not the owner")
        self.fees = maker, taker, cap

    @staticmethod
    def _order(taker: int, maker: int, legs: tuple[Leg, ...], consent: Consent) -> tuple:
        """What the maker's digest binds."""
        return (maker, taker, legs, consent.lots, consent.max_fee, consent.nonce, consent.deadline)

    def trade(self, sender: str, taker: int, maker: int, legs: tuple[Leg, ...], consent: Consent) -> None:
        """Fill some lots of a maker's order, at its prices, with that of a taker who calls."""
        self._require(taker != maker, "exchange: one account")
        self._require(consent.fill > 0, "exchange: lots")
        self._require(len(legs) > 0, "exchange: no legs")
        self._require(self.now <= consent.deadline, "exchange: expired")
        if consent.signer == sender:
            self._require(consent.fill <= consent.lots, "exchange: filled")
        else:
            self._spend(self._order(taker, maker, legs, consent), consent)
        last = Instrument(0, 0, 0, 0)
        for leg in legs:
            self._require(leg.price < PRICE_LIMIT, "exchange: price range")
            self._require(leg.expiry == 0 or self.now < leg.expiry, "exchange: leg expired")
            self._require(leg.size != 0, "position: size")
            self._require(leg.instrument > last, "exchange: order")
            last = leg.instrument
        legs = tuple(leg._replace(size=leg.size * consent.fill) for leg in legs)
        self._require(not consent.short, "exchange: price")
        made, taken = (sum(self._fee(leg, rate) for leg in legs) for rate in self.fees[:2])
        self._require(-(-made // consent.fill) <= consent.max_fee, "exchange: fee")
        self._require_control(taker, sender, TRADE)
        self._require_control(maker, consent.signer, TRADE)
        self._touch(taker, DUE)
        self._touch(maker, DUE)
        a, b = self.accounts[taker], self.accounts[maker]
        for leg in legs:
            ends = [abs(held) >= abs(leg.size) for held in (a.legs.get(leg.instrument, 0),) if held * leg.size < 0]
            ends += [abs(held) >= abs(leg.size) for held in (b.legs.get(leg.instrument, 0),) if held * leg.size > 0]
            self._require(self._is_listed(leg) or any(ends), "exchange: not listed")
        premium = sum(leg.value for leg in legs if leg.kind in (CALL, PUT))
        cost = sum(leg.value for leg in legs if leg.kind in (PERP, FUTURE))
        cost -= sum(leg.size * self.funding(self.name_of[leg.underlying]) for leg in legs if leg.kind == PERP) // 10**6
        for account, sign in ((a, 1), (b, -1)):
            account.cash -= sign * premium
            account.add([(leg.instrument, sign * leg.size) for leg in legs], sign * cost)
        for side, fee in ((taker, taken), (maker, made)):
            self.accounts[side].cash -= fee
            self.accounts[COLLECTOR].cash += fee
            self.charged[side] = self.charged.get(side, 0) + fee

    def _spend(self, order: tuple, consent: Consent) -> None:
        """Use up lots of the maker's order, to which its signer must have consented."""
        maker, nonce = order[0], consent.nonce
        cancelled = (maker, nonce) in self.cancelled or nonce < self.lowest_nonce.get(maker, 0)
        self._require(not cancelled, "exchange: cancelled")
        filled = self.filled.get(order, 0) + consent.fill
        self._require(filled <= consent.lots, "exchange: filled")
        if consent.key is None:
            self._require((order, consent.signer) in self.approvals, "exchange: not approved")
        else:
            self._require(consent.key == consent.signer, "exchange: signature")
        self.filled[order] = filled

    def _fee(self, leg: Leg, rate: int) -> int:
        """The fee of a side, 1e-18 USD, rounded up."""
        spot = round(self.market[self.name_of[leg.underlying]].spot * 10**9)
        fee = -(-abs(leg.size) * spot * 1000 * rate // WAD)
        return fee if leg.kind in (PERP, FUTURE) else min(fee, -(-abs(leg.value) * self.fees[2] // WAD))

    def _is_listed(self, leg: Leg) -> bool:
        """Whether an instrument may be opened. Where there is no forward, the engine refuses."""
        if leg.kind == PERP:
            return True
        forwards = {e.expiry: e.forward for e in self.snapshot().underlyings[self.name_of[leg.underlying]].expiries}
        forward = forwards.get(leg.expiry, leg.strike / 10**6)
        near = leg.kind == FUTURE or listing.admits_strike(leg.strike / 10**6, forward)
        return near and listing.admits_expiry(leg.expiry, self.now)

    def execute(self, sender: str, acts: Sequence[Act]) -> None:
        """Several things, and one check."""
        for act in acts:
            getattr(self, act.name)(sender, *act.arguments)

    # ------------------------------------------------------------------------------------------------------ liquidation

    def liquidate(
        self,
        sender: str,
        account: int,
        bidder: int,
        fraction: int,
        minimum: int,
        max_price: int,
        deadline: int,
        limit: int,
        price: int | None,
    ) -> None:
        """Sell a slice to a bidder.

        `limit` is the largest slice as the contract rounds it, which the caller compares with `largest_slice`; `price`
        what the contract asked, or None where it reverted.
        """
        self._require(self.now <= deadline, "liquidation: deadline")
        self._require_control(bidder, sender, TRADE)
        self._require(not self.paused & LIQUIDATION, "liquidation: paused")
        self._require(self._owner(account) != self._owner(bidder), "liquidation: own account")
        before = self.figures(self.accounts[account])
        healthy = not_negative(before.health + STALE_FACTOR * before.stale_value, 2 * before.error)
        self._decide(None if healthy is None else not healthy, "liquidation: healthy")
        taken = min(fraction, limit)
        self._require(min(self.minimum_slice, limit) <= taken, "liquidation: slice too small")
        self._take(account, bidder, taken)
        after = self.figures(self.accounts[account])
        value, error = before.net_value - after.net_value, before.error + after.error + tolerances.DUST
        estimate = max(value, 0.0) * (1 - self.discount / WAD)
        self._decide(not_negative(after.health + estimate - before.health, 2 * error), "liquidation: worse")
        paid = round(estimate * WAD) if price is None else price
        assert abs(paid / WAD - estimate) <= error, f"a slice of {account} for {paid / WAD}, not {estimate}"
        self.accounts[account].cash += paid
        self.accounts[bidder].cash -= paid
        self._require_admissible(self.accounts[bidder])
        buyer = self.figures(self.accounts[bidder])
        left = buyer.excess - STALE_FACTOR * buyer.stale_value
        self._decide(not_negative(left, 2 * buyer.error + error), "liquidation: bidder's margin")
        self._require(minimum <= taken, "liquidation: below minimum")
        affordable = price <= max_price if price is not None else not_negative(max_price / WAD - estimate, error)
        self._decide(affordable, "liquidation: price")
        if max_price:
            self._decide(not_negative(value, error), "liquidation: no value")

    def _take(self, account: int, bidder: int, fraction: int) -> None:
        """Move a fraction of everything, towards zero, but a leg of which nothing would move as a whole."""
        seller, buyer = self.accounts[account], self.accounts[bidder]
        part = [(i, truncated(size, fraction) or size) for i, size in sorted(seller.legs.items())]
        cost, cash = truncated(seller.cost, fraction), truncated(seller.cash, fraction)
        weth = seller.weth * fraction // WAD
        for side, sign in ((seller, -1), (buyer, 1)):
            side.cash += sign * cash
            side.weth += sign * weth
            side.add([(i, sign * size) for i, size in part], sign * cost)

    def largest_slice(self, account: int) -> tuple[float | None, float]:
        """The largest fraction that may be sold, 0 for none, and what it may err by; None where health is in doubt."""
        figures, state = self.figures(self.accounts[account]), self.accounts[account]
        healthy = not_negative(figures.health + STALE_FACTOR * figures.stale_value, 2 * figures.error)
        if healthy:
            return 0.0, 0.0
        least_worth = SMALL + DUST_FACTOR * SMALLEST * sum(i.strike for i in state.legs) / 10**6
        small = not_negative(figures.net_value - least_worth, figures.error)
        if healthy is None or small is None:
            return None, 0.0
        if not small:
            return 1.0, 0.0
        shortfall, kept = -figures.excess, figures.net_value * (1 - self.discount / WAD)
        needed, worthwhile = shortfall / (shortfall + kept), least_worth / figures.net_value
        # Numerators and denominators err by at most 2 `error` each, and the quotients are at most 1.
        error = 4 * figures.error / min(shortfall + kept, figures.net_value) + tolerances.DUST
        return max(needed, worthwhile, self.minimum_slice / WAD), error

    # ------------------------------------------------------------------------------------------------------ authority

    def set_paused(self, sender: str, flags: int) -> None:
        """Pause or resume."""
        self._require(flags <= RISK | LIQUIDATION, "authority: flags")
        if sender != self.owner:
            self._require(sender == self.guardian, "authority: not the guardian")
            self._require(flags & self.paused == self.paused, "authority: only more")
        self.paused = flags

    def set_cap(self, sender: str, kind: int, cap: int) -> None:
        """Change how much may be deposited."""
        self._require(sender == self.owner, "authority: not the owner")
        self.caps[kind] = cap

    def set_withdrawal_limit(self, sender: str, kind: int, limit: int) -> None:
        """Change how much may be withdrawn within a day; of the new limit as much is used up, if it has so much."""
        self._require(sender == self.owner, "authority: not the owner")
        self.outflow[kind] = (min(self.used(kind), limit), self.now)
        self.limits[kind] = limit

    def poke(self, sender: str, kind: int) -> None:
        """Note the rate of a kind: neither has one."""

    def publish(self, sender: str, name: str, state: Underlying) -> None:
        """Replace the state of an underlying and of the expiries named."""
        self._require(sender == self.owner, "market: publisher")
        known = {e.expiry: e for e in (*(self.market[name].expiries if name in self.market else ()), *state.expiries)}
        self.market[name] = replace(state, expiries=tuple(known[expiry] for expiry in sorted(known)))
        self.course[name].append((self.now, round(state.spot * 10**9), round(state.perp_mark * 10**9)))
        self.published.update({(name, e.expiry): self.now for e in state.expiries} | {(name, 0): self.now})
        # Not cleared: other copies share the old one.
        self._seen = {}

    # ------------------------------------------------------------------------------------------------------ solvency

    def _touch(self, account: int, level: int) -> None:
        self.touched.setdefault(account, self.accounts[account].copy())
        self.levels[account] = max(level, self.levels.get(account, KEPT))

    def _decide(self, passes: bool | None, reason: str) -> None:
        """Refuse, or note that the contract may."""
        if passes is None:
            self.doubts.add(reason)
        else:
            self._require(passes, reason)

    def _require_admissible(self, account: Account) -> None:
        """The limits of a book alone. Two underlyings are below the limit of eight."""
        self._require(len(account.legs) <= MOST_LEGS[account.mode], "positions: legs of this mode")
        dates = {(i.underlying, i.expiry) for i in account.legs if i.expiry}
        most = max((sum(u == v for v, _ in dates) for u, _ in dates), default=0)
        fits = most <= MOST_EXPIRIES and (not dates or len(account.legs) + EXPIRY_WEIGHT * len(dates) <= MOST_WEIGHT)
        self._require(fits, "positions: too many expiries")

    def _settle(self) -> None:
        for account, before in self.touched.items():
            if self.levels[account] >= DUE:
                self._require_sound(
                    before, self.accounts[account], self.levels[account] == PAID, self.charged.get(account, 0)
                )

    def _require_sound(self, before: Account, after: Account, paid: bool, fees: int) -> None:
        """Nothing at risk, initial margin on fresh data, or no risk taken and nothing paid out (decision 5)."""
        self._require_admissible(after)
        sound: bool | None = False
        if not self.paused & RISK:
            if not after.legs and after.cash >= 0:
                return
            figures = self.figures(after)
            sound = not_negative(figures.excess, figures.error) if figures.fresh else False
        if sound:
            return
        # Collateral that came in does not count.
        safe = False if paid else self.takes_no_risk(before, replace(after, weth=before.weth), fees)
        self.risk_free += safe is True and sound is False
        self._decide(either(sound, safe), "solvency: margin")

    def takes_no_risk(self, before: Account, after: Account, fees: int) -> bool | None:
        """Decision 5, as `IMarginReport.takes_no_risk` states it; None where errors leave it open.

        Equity is no lower with either haircut, neither requirement is higher, and no underlying loses more than before
        in any scenario, where P&L above zero counts as zero before. Fees are forgiven, as far as they make the account
        neither unhealthy nor less healthy.
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
        for name, profits in b.scenario_pnl.items():
            known = np.minimum(a.scenario_pnl.get(name, np.zeros(len(m))), 0.0)
            lines.append(float(np.min((np.array(profits) - known)[moved])))
        verdicts = [not_negative(line, error) for line in lines]
        if False in verdicts:
            return False
        return None if None in verdicts else True

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

    def is_current(self, name: str, expiry: int) -> bool:
        """Whether an underlying (expiry 0) or an expiry is within its heartbeat: an expired one as of its end."""
        seen_at = min(self.now, expiry) if expiry else self.now
        return seen_at <= self.published[name, expiry] + self.heartbeat or self._is_settled(name, expiry)

    def book(self, account: Account) -> Book:
        """The account as the model wants it: entries are in the cash, as `cost` is known in sum only."""
        positions = tuple(self.position(i, size) for i, size in sorted(account.legs.items()))
        held = (self.weth_holding(account.weth),) if account.weth else ()
        return Book(account.mode, (account.cash - account.cost) / WAD, held, positions)

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
        """The market now: with what longs have paid for a perpetual, and with forwards that are being fixed."""
        seen = {}
        for name, u in self.market.items():
            rows = tuple(replace(e, forward=self._forward(name, e.expiry, e.forward)) for e in u.expiries)
            seen[name] = replace(u, expiries=rows, perp_funding=self.funding(name) / WAD)
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

    def _is_settled(self, name: str, expiry: int) -> bool:
        """Whether an expiry has its final price: with the first state at or after it."""
        times = [time for time, *_ in self.course[name]]
        return settlement.settles_by_mean(expiry) and times[0] < expiry <= times[-1]

    def _forward(self, name: str, expiry: int, forward: float) -> float:
        """Of the last half hour before an expiry at eight o'clock what has passed is fixed: the mean of spot."""
        course = self.course[name]
        window = max(expiry - settlement.WINDOW_SECONDS, course[0][0])
        late = self.now > expiry - settlement.WINDOW_SECONDS and course[0][0] < expiry
        if not settlement.settles_by_mean(expiry) or not late:
            return forward
        fixed = min(self.now, expiry)
        ends = [*(min(max(time, window), fixed) for time, *_ in course), fixed]
        mean = sum(spot * (b - a) for (_, spot, _), a, b in zip(course, ends, ends[1:], strict=False))
        later = (expiry - fixed) * round(forward * 10**9)
        return (mean + later) // (expiry - window) / 10**9

    def mark(self, i: Instrument) -> float:
        """Mark of an instrument, USD."""
        return exposure.mark(self.position(i, 0), self.snapshot())

    def notional(self, account: Account) -> float:
        """N of `Figures`, USD."""
        return chain.error_notional(self.book(account), self.snapshot())

    def gross(self, account: Account) -> float:
        """G of `Figures`, USD."""
        linear = sum(abs(size) / 10**6 * self.mark(i) for i, size in account.legs.items() if i.kind in (PERP, FUTURE))
        worth = account.weth / WAD * self.market["ETH"].spot
        return self.notional(account) + linear + worth + (abs(account.cash) + abs(account.cost)) / WAD

    def figures(self, account: Account) -> Figures:
        """What the model says of an account now. Refused where its book has an expiry without market data."""
        key = (self.now, *account.key)
        if key not in self._seen:
            self._seen[key] = self.assess(account)
        return self._seen[key]

    def assess(self, account: Account) -> Figures:
        """The same, computed anew."""
        try:
            a = margin.assess(self.book(account), self.snapshot(), self.methodology)
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
        apart = account.mode is not Mode.PORTFOLIO and len(account.legs) + (account.weth > 0) > 1
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
