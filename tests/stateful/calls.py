"""How each act of the mirror is a call of the contracts.

An act that is no function of the clearing house with these very arguments has a method `_call_<name>` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from python_model import interest
from python_model.portfolio import Underlying
from scripts import chain, protocol
from tests.stateful.state import COLLECTOR, NOBODY, USDC, Act, Bid, Consent, Instrument, Leg, Terms
from tests.stateful.world import Call, World, call

# Kinds of action in a batch.
ACTION = {"deposit": 0, "withdraw": 1, "transfer": 2, "trade": 3, "bid": 4, "call": 5}
# The lower bits of a position word: the logarithm of its strike.
LOGARITHM = 2**80 - 1


class Calls:
    """Encoding, for a protocol and the caller of the moment."""

    world: World
    house: Any
    names: dict[str, int]
    caller: str
    # The logarithm that the exchange put into the words of an instrument.
    logarithms: dict[Instrument, int]

    def encoded(self, act: Act, caller: str, now: int) -> Call:
        """The call that an act is."""
        self.caller, self.time = caller, now
        special = getattr(self, f"_call_{act.name}", None)
        return special(*act.arguments) if special else call(self.house, act.name, *act.arguments)

    def _call_publish(self, name: str, state: Underlying) -> Call:
        update = chain.update(self.names[name], state, self.time, chain.Clock(0))
        return call(self.world.protocol.market_data, "publish", update)

    def _call_donate(self, kind: int, amount: int) -> Call:
        token = self.world.protocol.quote if kind == USDC else self.world.protocol.weth
        return call(token, "transfer", self.house.address, amount)

    def _call_trade(self, taker: int, maker: int, legs: Sequence[Leg], consent: Consent) -> Call:
        return call(self.house, "trade", self._submission(taker, maker, legs, consent))

    def _call_approve(self, taker: int, maker: int, legs: Sequence[Leg], consent: Consent) -> Call:
        return call(self.world.protocol.exchange, "approve", self._order(taker, maker, legs, consent).row)

    def _call_cancel(self, *arguments: Any) -> Call:
        return call(self.world.protocol.exchange, "cancel", *arguments)

    def _call_cancel_range(self, *arguments: Any) -> Call:
        return call(self.world.protocol.exchange, "cancel_range", *arguments)

    def _call_cancel_below(self, *arguments: Any) -> Call:
        return call(self.world.protocol.exchange, "cancel_below", *arguments)

    def _call_set_fees(self, *rates: int) -> Call:
        return call(self.world.protocol.exchange, "set_fees", (*rates, COLLECTOR))

    def _call_set_cap(self, *arguments: Any) -> Call:
        return call(self.world.protocol.collaterals, "set_cap", *arguments)

    def _call_set_withdrawal_limit(self, *arguments: Any) -> Call:
        return call(self.world.protocol.collaterals, "set_withdrawal_limit", *arguments)

    def _call_poke(self, *arguments: Any) -> Call:
        return call(self.world.protocol.collaterals, "poke", *arguments)

    def _call_execute(self, acts: Sequence[Act]) -> Call:
        return call(self.house, "execute", [self._action(act) for act in acts])

    def word(self, instrument: Instrument, size: int) -> int:
        """The position word, with the logarithm that is in the books."""
        word = chain.pack(*instrument, size)
        return word & ~LOGARITHM | self.logarithms.get(instrument, word & LOGARITHM)

    def _bid(self, bid: Bid) -> bytes:
        """`ILiquidation.Bid`."""
        package = [self.word(i, size) for i, size in bid.package]
        return protocol.bid(**{**bid._asdict(), "package": package})

    def _call_bid(self, account: int, bidder: int, bid: Bid) -> Call:
        return call(self.house, "bid", account, bidder, self._bid(bid))

    def _call_end(self, account: int) -> Call:
        return call(self.world.protocol.liquidation, "end", account)

    def _call_absorb(self, account: int) -> Call:
        return call(self.world.protocol.liquidation, "absorb", account)

    def _call_set_terms(self, terms: Terms) -> Call:
        return call(self.world.protocol.liquidation, "set_terms", tuple(terms))

    def _call_set_evidence(self, count: int) -> Call:
        return call(self.world.protocol.liquidation, "set_evidence", list(self.world.evidence[:count]))

    def _call_set_deleveraging(self, deleveraging: str) -> Call:
        return call(self.world.protocol.liquidation, "set_deleveraging", deleveraging)

    def _call_set_deleveraged(self, account: int) -> Call:
        return call(self.world.protocol.liquidation, "set_deleveraged", account)

    def _call_award(self) -> Call:
        p = self.world.protocol
        state = (0, 0, 0, [], [])
        book = (1, 2, state, True, 0, 0, p.engine.address, p.market_data.address, b"")
        return call(p.liquidation, "award", *book)

    def _call_set_member(self, member: str, allowed: bool) -> Call:
        return call(self.house, "set_member", getattr(self.world.protocol, member).address, allowed)

    def _call_settle(self, accounts: Sequence[int]) -> Call:
        return call(self.world.protocol.settlement, "settle", accounts)

    def _call_realise(self, account: int, profit: int | None) -> Call:
        """Without what the mirror takes over from the contract."""
        return call(self.world.protocol.settlement, "realise", account)

    def _call_collect(self, *arguments: Any) -> Call:
        return call(self.world.protocol.money_market, "collect", *arguments)

    def _call_set_interest_rates(self, terms: interest.Terms | None) -> Call:
        rates = NOBODY if terms is None else self.world.protocol.interest_rates.address
        return call(self.world.protocol.money_market, "set_interest_rates", rates)

    def _call_set_minimum_equity(self, *arguments: Any) -> Call:
        return call(self.world.protocol.admission, "set_minimum_equity", *arguments)

    def _call_set_allow_list(self, *arguments: Any) -> Call:
        return call(self.world.protocol.admission, "set_allow_list", *arguments)

    def _call_set_allowed(self, *arguments: Any) -> Call:
        return call(self.world.protocol.admission, "set_allowed", *arguments)

    def _call_set_contracts(self, other: str, admission: bool) -> Call:
        """The contracts that there are, but for one of them; with an admission to portfolio mode or without."""
        p = self.world.protocol
        named = {
            "report": p.report,
            "exchange": p.exchange,
            "liquidation": p.liquidation,
            "collaterals": p.collaterals,
            "money market": p.money_market,
        }
        addresses = [p.weth.address if name == other else contract.address for name, contract in named.items()]
        return call(self.house, "set_contracts", *addresses, p.admission.address if admission else NOBODY)

    def _call_post(self) -> Call:
        return call(self.house, "post", 1, [], 1, 0)

    def _call_agree(self) -> Call:
        p = self.world.protocol
        return call(p.exchange, "agree", self.caller, p.market_data.address, b"")

    @staticmethod
    def _order(taker: int, maker: int, legs: Sequence[Leg], consent: Consent) -> protocol.Order:
        """The maker's."""
        return protocol.Order(
            maker,
            protocol.opposite(legs),
            lots=consent.lots,
            max_fee=consent.max_fee,
            counterparty=taker,
            nonce=consent.nonce,
            deadline=consent.deadline,
        )

    def _submission(self, taker: int, maker: int, legs: Sequence[Leg], consent: Consent) -> bytes:
        """The maker's order and the taker's, each perhaps signed."""
        order = self._order(taker, maker, legs, consent)
        limits = [list(leg) for leg in legs]
        if limits:
            limits[0][5] -= consent.short if limits[0][4] > 0 else -consent.short
        taken = protocol.Order(taker, tuple(map(tuple, limits)), lots=consent.lots, nonce=consent.nonce)
        return protocol.submission(
            protocol.Consent(order, consent.signer, self._signature(order, consent.key)),
            protocol.Consent(taken, consent.taker_signer or self.caller, self._signature(taken, consent.taker_key)),
            consent.fill,
        )

    def _signature(self, order: protocol.Order, key: str | None) -> bytes:
        """Of a user; none for nobody."""
        if key is None:
            return protocol.NO_SIGNATURE
        (signer,) = [a for a in (self.world.owner, *self.world.users) if a.address == key]
        return protocol.signature(signer, protocol.order_message(self.world.protocol, order))

    def _action(self, act: Act) -> tuple:
        """`IClearingHouse.Action`."""
        account, *a = act.arguments
        counterparty, collateral, amount, recipient, data = 0, 0, 0, NOBODY, b""
        match act.name:
            case "deposit":
                collateral, amount = a
            case "withdraw":
                collateral, amount, recipient = a
            case "transfer":
                counterparty, collateral, amount = a
            case "trade":
                data = self._submission(*act.arguments)
            case "bid":
                counterparty, data = a[0], self._bid(a[1])
            case "call":
                # Whom the clearing house is to call stands in the place of the account.
                account, recipient = 0, account
        return (ACTION[act.name], account, counterparty, collateral, amount, recipient, data)
