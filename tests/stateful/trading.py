"""The mirror's trades: orders and what is left of them, fees, listing, open interest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from python_model import listing
from tests.stateful.solvency import SolvencyMirror
from tests.stateful.state import (
    CALL,
    COLLECTOR,
    DUE,
    FUNDS,
    FUTURE,
    MAKER_FEE,
    MEMBERS,
    NOBODY,
    PERP,
    PREMIUM_CAP,
    PRICE_LIMIT,
    PUT,
    TAKER_FEE,
    TRADE,
    WAD,
    Consent,
    Instrument,
    Leg,
)


class TradingMirror(SolvencyMirror):
    """Who may act for an account, and what two of them agree to."""

    def __init__(self, owner: str, **others: Any) -> None:
        super().__init__(**others)
        self.owner = owner
        # By account, owner and key.
        self.operators: dict[tuple[int, str, str], tuple[int, int]] = {}
        self.cancelled: set[tuple[int, int]] = set()
        self.lowest_nonce: dict[int, int] = {}
        self.approvals: set[tuple] = set()
        # Lots by order.
        self.filled: dict[tuple, int] = {}
        self.fees = (MAKER_FEE, TAKER_FEE, PREMIUM_CAP)
        # Contracts that may post one-sided entries.
        self.members = set(MEMBERS)

    def controls(self, account: int, caller: str, scope: int) -> bool:
        """Whether an address may act for an account."""
        owner = self._owner(account)
        expiry, allowed = self.operators.get((account, owner, caller), (0, 0))
        return owner == caller or (self.now < expiry and bool(allowed & scope))

    def _owner(self, account: int) -> str:
        return self.accounts[account].owner if account in self.accounts else NOBODY

    def _require_control(self, account: int, caller: str, scope: int = FUNDS) -> None:
        self._require(self.controls(account, caller, scope), "accounts: not authorised")

    def _require_owner(self, sender: str) -> None:
        self._require(sender == self.owner, "authority: not the owner")

    def _add(self, account: int, package: Iterable[tuple[Instrument, int]], cost: int) -> int:
        """Merge a package into a book. Profit of futures and perpetuals, which becomes cash once there is none left."""
        state = self.accounts[account]
        for instrument, size in package:
            held = state.legs.pop(instrument, 0)
            if held + size:
                state.legs[instrument] = held + size
            self.open_interest[instrument.underlying] += max(held + size, 0) - max(held, 0)
        state.cost += cost
        if state.has_linear:
            return 0
        profit, state.cost = -state.cost, 0
        return profit

    def _post(self, member: str, account: int, package: Iterable[tuple[Instrument, int]], cash: int, cost: int) -> None:
        """A one-sided entry of a member, whose other side is the reserve."""
        self._require(member in self.members, "clearing house: caller")
        self.reserve -= cash - cost
        self._change(account, cash + self._add(account, package, cost))

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
        self._require_owner(sender)
        self.fees = maker, taker, cap

    @staticmethod
    def _order(taker: int, maker: int, legs: tuple[Leg, ...], consent: Consent) -> tuple:
        """What the maker's digest binds."""
        return (maker, taker, legs, consent.lots, consent.max_fee, consent.nonce, consent.deadline)

    def trade(self, sender: str, taker: int, maker: int, legs: tuple[Leg, ...], consent: Consent) -> None:
        """Fill some lots of a maker's order, at its prices, with that of a taker who calls or has signed."""
        self._require(taker != maker, "exchange: one account")
        self._require(consent.fill > 0, "exchange: lots")
        self._require(len(legs) > 0, "exchange: no legs")
        self._require(self.now <= consent.deadline, "exchange: expired")
        buyer = consent.taker_signer or sender
        offered = self._order(taker, maker, legs, consent)
        self._spend(sender, maker, offered, consent, consent.signer, consent.key)
        self._spend(sender, taker, ("taken", *offered, consent.short), consent, buyer, consent.taker_key)
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
        self._require_control(taker, buyer, TRADE)
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
        before = dict(self.open_interest)
        for side, sign in ((taker, 1), (maker, -1)):
            profit = self._add(side, [(leg.instrument, sign * leg.size) for leg in legs], sign * cost)
            self._change(side, profit - sign * premium)
        for u in sorted({leg.underlying for leg in legs}):
            cap, now = self.open_interest_caps[u], self.open_interest[u]
            self._require(cap == 0 or now <= max(cap, before[u]), "positions: open interest")
        for side, fee in ((taker, taken), (maker, made)):
            if fee:
                self._change(side, -fee)
                self._change(COLLECTOR, fee)
                self.charged[side] = self.charged.get(side, 0) + fee

    def _spend(self, sender: str, account: int, order: tuple, consent: Consent, signer: str, key: str | None) -> None:
        """Use up lots of an order, to which its signer must have consented: by calling, a signature or an approval."""
        if signer == sender:
            self._require(consent.fill <= consent.lots, "exchange: filled")
            return
        nonce = consent.nonce
        cancelled = (account, nonce) in self.cancelled or nonce < self.lowest_nonce.get(account, 0)
        self._require(not cancelled, "exchange: cancelled")
        filled = self.filled.get(order, 0) + consent.fill
        self._require(filled <= consent.lots, "exchange: filled")
        if key is None:
            self._require((order, signer) in self.approvals, "exchange: not approved")
        else:
            self._require(key == signer, "exchange: signature")
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
