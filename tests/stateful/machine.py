"""A state machine's actions: each is a call of the protocol and of the mirror, and what must hold after it.

A new external function takes a method of the mirror, and a rule that calls `Machine.act` with its name and arguments.
Where it is no function of the clearing house with these very arguments, a method `_call_<name>` says what to call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import currently_in_test_context, note
from hypothesis.stateful import RuleBasedStateMachine

from python_model.portfolio import Mode, Underlying
from scripts import chain, protocol
from tests import tolerances
from tests.differential.comparison import Differences
from tests.stateful.mirror import (
    COLLECTOR,
    MODE,
    NOBODY,
    PAID,
    STALE_FACTOR,
    UNIT,
    USDC,
    WAD,
    WETH,
    Account,
    Act,
    Consent,
    Instrument,
    Leg,
    Mirror,
)
from tests.stateful.world import CAP, Call, World, call

PPM = 10**6
FOR_EVER = 2**40
# An account's first claim or position brings what M-16 holds against truncations, 1e-14 USD on either side.
ROUNDING = round(tolerances.DUST * WAD)
# Kinds of action in a batch.
ACTION = {"deposit": 0, "withdraw": 1, "transfer": 2, "trade": 3}


def instrument(word: int) -> Instrument:
    """What a position word is in."""
    return Instrument(word >> 248, (word >> 216) & (2**32 - 1), (word >> 152) & (2**64 - 1), (word >> 144) & 255)


def size(word: int) -> int:
    """The signed size of a position word."""
    field = (word >> 80) & (2**64 - 1)
    return field - 2**64 if field >= 2**63 else field


class Machine(RuleBasedStateMachine):
    """Actions, comparisons and invariants; a subclass says which actions are drawn, and how.

    Parameters
    ----------
    world : World
    seen : Counter
        What happened, over all examples: (call, "passed" or the reason of its revert).
    mirror : class of the mirror
        A deliberately wrong one must be found out.
    """

    def __init__(self, world: World, seen: Counter[tuple[str, str]], mirror: type[Mirror] = Mirror) -> None:
        super().__init__()
        self.world, self.seen = world, seen
        self.house = world.protocol.clearing_house
        self.methodology = world.methodology
        self.differences = Differences()
        self.names = world.protocol.names
        self.snapshot = None
        self.nonce = 0
        # Of the call that is being made.
        self.caller = NOBODY
        self.mirror = mirror(
            self.methodology, self.names, world.owner.address, world.guardian.address, chain.HEARTBEAT_SECONDS
        )

    # ------------------------------------------------------------------------------------------------------ life

    def begin(self) -> None:
        """Remember the chain, and start the mirror from what `world.build` left."""
        world = self.world
        self.snapshot = world.rpc.one("evm_snapshot")
        self.mirror.now = world.start
        self.mirror.caps = dict(CAP)
        self.mirror.accounts[COLLECTOR] = Account(world.owner.address, Mode.PORTFOLIO)
        for address in [a.address for a in (world.owner, world.guardian, *world.users)]:
            for kind in (USDC, WETH):
                (self.mirror.wallets[address, kind],) = world.view([self._balance(kind, address)], world.start)
        for name, state in world.market.underlyings.items():
            self.publish(name, state)

    def teardown(self) -> None:
        """Undo everything on the chain."""
        if self.snapshot is not None:
            assert self.world.rpc.one("evm_revert", self.snapshot)

    # ------------------------------------------------------------------------------------------------------ one call

    def act(self, sender: str, name: str, *arguments: Any) -> bool:
        """Predict a call, make it, compare everything. Whether it passed.

        What the mirror is sure must revert is only asked, which changes nothing.
        """
        self.mirror.now += 1
        now, act = self.mirror.now, Act(name, arguments)
        self.caller = sender
        special = getattr(self, f"_call_{name}", None)
        one = special(*arguments) if special else call(self.house, name, *arguments)
        prediction = self.mirror.attempt(act, sender)
        old, new = self.mirror, prediction.after
        if new is None or prediction.reasons:
            refusal = self.world.refusal(one, now, sender)
            if refusal is not None:
                self.tell(f"{name}{arguments} by {sender} reverts: {refusal!r}")
                assert refusal in prediction.reasons, f"{act} reverts: {refusal!r}, expected {set(prediction.reasons)}"
                self.seen[name, refusal] += 1
                return False
            assert new is not None, f"{act} passes, expected {set(prediction.reasons)}"
        changed = [a for a, x in new.accounts.items() if a not in old.accounts or old.accounts[a].key != x.key]
        healthy = {a for a, f in self.assess(set(changed) & set(old.accounts)).items() if health(f) >= 0}
        assert self.world.send(one, now, sender), f"{act} reverts: {self.world.refusal(one, now, sender)!r}"
        self.tell(f"{name}{arguments} by {sender} passes")
        self.seen[name, "passed"] += 1
        self.seen["decision 5", "passed"] += new.risk_free - old.risk_free
        self.mirror = new
        if name == "publish":
            self.compare(a for a in new.accounts if new.depends(a, arguments[0]))
            return True
        for account, figures in self.compare(changed).items():
            if name == "liquidate" and account == arguments[0]:
                continue
            if account in healthy:
                assert health(figures) >= -ROUNDING, f"{act}: account {account} became unhealthy (INV-04)"
            state = new.accounts[account]
            if new.levels.get(account) == PAID and (state.legs or state.cash < 0):
                assert figures.fresh and figures.equity_initial >= figures.initial, f"{act}: {account} (INV-05)"
        return True

    def tell(self, what: str) -> None:
        """Note what happened, for the report of a failure; a machine may also be driven by hand."""
        if currently_in_test_context():
            note(f"{self.mirror.now - self.world.start} s: {what}")

    def assess(self, accounts: Iterable[int]) -> dict[int, Any]:
        """What the contract says of accounts now."""
        rows = sorted(accounts)
        answers = self.world.view([call(self.house, "assess", a) for a in rows], self.mirror.now)
        return dict(zip(rows, answers, strict=True))

    def wealth(self, mirror: Mirror) -> dict[str, tuple[int, int, dict[Instrument, int]]]:
        """What each owner has, in wallet and accounts together: cash less cost, ether, and net positions."""
        result = {}
        for user in self.world.users:
            own = [a for a in mirror.accounts.values() if a.owner == user.address]
            net: dict[Instrument, int] = {}
            for i, n in ((i, n) for a in own for i, n in a.legs.items()):
                net[i] = net.get(i, 0) + n
            result[user.address] = (
                mirror.wallets[user.address, USDC] * UNIT[USDC] + sum(a.cash - a.cost for a in own),
                mirror.wallets[user.address, WETH] + sum(a.weth for a in own),
                {i: n for i, n in net.items() if n},
            )
        return result

    # ------------------------------------------------------------------------------------------------------ comparison

    def _balance(self, kind: int, address: str) -> Call:
        token = self.world.protocol.quote if kind == USDC else self.world.protocol.weth
        return call(token, "balanceOf", address)

    def compare(self, assessed: Iterable[int]) -> dict[int, Any]:
        """Read everything, compare it with the mirror, check the invariants.

        Margin is compared for the accounts `assessed` alone, and returned: it depends on an account's state, the market
        and the time, and on nothing else.
        """
        mirror, house, now = self.mirror, self.house, self.mirror.now
        accounts = sorted(mirror.accounts)
        answers = iter(
            self.world.view(
                [
                    call(house, "account_count"),
                    call(house, "paused"),
                    *(call(house, "credited", kind) for kind in (USDC, WETH)),
                    *(call(self.world.protocol.collaterals, "terms", kind) for kind in (USDC, WETH)),
                    *(call(self.world.protocol.collaterals, "withdrawable", kind) for kind in (USDC, WETH)),
                    *(self._balance(kind, house.address) for kind in (USDC, WETH)),
                    *(self._balance(kind, address) for address, kind in mirror.wallets),
                    *(call(house, "portfolio", a) for a in accounts),
                ],
                now,
            )
        )
        assert (next(answers), next(answers)) == (len(accounts), mirror.paused)
        credited = [next(answers) for _ in (USDC, WETH)]
        assert credited == list(mirror.credited.values())
        terms = [next(answers) for _ in (USDC, WETH)]
        assert [t.cap for t in terms] == list(mirror.caps.values())
        assert [t.withdrawal_limit for t in terms] == list(mirror.limits.values())
        room = [limit - mirror.used(kind) if limit else 2**256 - 1 for kind, limit in mirror.limits.items()]
        assert [next(answers) for _ in room] == room
        vault = [next(answers) for _ in (USDC, WETH)]
        assert vault == list(mirror.vault.values())
        assert [next(answers) for _ in mirror.wallets] == list(mirror.wallets.values())
        states = dict(zip(accounts, answers, strict=True))
        for account, state in states.items():
            self.same_state(account, state)
        self.conserved(states, credited, vault)
        figures = self.assess(assessed)
        self.same_margin({a: states[a] for a in figures}, figures)
        return figures

    def same_state(self, account: int, state: Any) -> None:
        """An account on the chain against the mirror's, exactly."""
        mine = self.mirror.accounts[account]
        legs = {instrument(word): size(word) for word in state.legs}
        held = [h.amount for h in state.holdings]
        got = (MODE[state.mode], state.cash, state.cost, legs, held)
        assert got == (mine.mode, mine.cash, mine.cost, mine.legs, [mine.weth] if mine.weth else []), account
        assert [instrument(word) for word in state.legs] == sorted(legs)

    def conserved(self, states: dict[int, Any], credited: Sequence[int], vault: Sequence[int]) -> None:
        """INV-01, INV-02, INV-03, from what the chain says alone."""
        net: Counter[Instrument] = Counter()
        for word in (word for state in states.values() for word in state.legs):
            net[instrument(word)] += size(word)
        assert not any(net.values()), "INV-01"
        money = sum(state.cash - state.cost for state in states.values())
        assert money == credited[USDC] * UNIT[USDC], "INV-02"
        ether = sum(h.amount for state in states.values() for h in state.holdings)
        assert ether == credited[WETH], "INV-03"
        assert all(c <= held for c, held in zip(credited, vault, strict=True)), "INV-03"

    def same_margin(self, states: dict[int, Any], figures: dict[int, Any]) -> None:
        """INV-06 and INV-07: the contract's figures against the model's, and a portfolio against its parts."""
        report, now = self.world.protocol.report, self.mirror.now
        accounts = [a for a in states if self.mirror.accounts[a].legs or self.mirror.accounts[a].weth]
        rows = [states[a] for a in accounts]
        calls = [call(report, "explain", as_tuple(row)) for row in rows]
        apart = [call(report, "explain", as_tuple(row, mode=MODE.index("cross"))) for row in rows]
        answers = self.world.view([*calls, *apart], now)
        for account, (whole, reports), (parts, part_reports) in zip(
            accounts, answers[: len(rows)], answers[len(rows) :], strict=True
        ):
            got, mine = figures[account], self.mirror.accounts[account]
            want = self.mirror.figures(mine)
            assert got.fresh == want.fresh
            self.differences.near("stale_value", got.stale_value / WAD, want.stale_value, want.error)
            assert got.net_value == whole.net_value
            self.differences.compare(
                got, reports, self.names, self.mirror.book(mine), self.mirror.snapshot(), self.methodology
            )
            assert got.maintenance <= got.initial, "INV-07"
            if mine.mode == "portfolio":
                for a, b in zip(reports, part_reports, strict=True):
                    assert a.scan <= b.scan + ROUNDING, "INV-07"
                own = sum(r.calendar + r.vega_calendar + r.liquidity for r in reports)
                assert whole.maintenance <= parts.maintenance + own + ROUNDING, "INV-07"

    # ------------------------------------------------------------------------------------------------------ market

    def publish(self, name: str, state: Underlying) -> None:
        """Publish an underlying as of the block. What has expired keeps its last mark, if that is fresh."""
        rows = tuple(
            e for e in state.expiries if e.expiry > self.mirror.now or not self.mirror.is_current(name, e.expiry)
        )
        assert self.act(self.world.owner.address, "publish", name, replace(state, expiries=rows))

    def _call_publish(self, name: str, state: Underlying) -> Call:
        update = chain.update(self.names[name], state, self.mirror.now, chain.Clock(0))
        return call(self.world.protocol.market_data, "publish", update)

    def moved(self, name: str, price: float, vol: float = 1.0, basis: float = 0.0, sticky: bool = False) -> Underlying:
        """An underlying with spot times `price`, total variances times `vol`, and forwards at 1 + `basis` of spot.

        Where `sticky`, the surface stays calibrated at its old forward.
        """
        old = self.mirror.market[name]
        first = self.world.market.underlyings[name].spot
        spot = round(min(max(old.spot * price, first / 5), first * 5), 6)
        rows = []
        for e in old.expiries:
            forward = round(spot * (1 + basis * self.mirror.snapshot().tau(e.expiry)), 6)
            surface = replace(
                e.svi,
                a=round(e.svi.a * vol, 12),
                b=round(min(e.svi.b * vol, 5.0), 12),
                forward=e.svi.forward if sticky else forward,
            )
            rows.append(replace(e, forward=forward, svi=surface))
        return replace(old, spot=spot, perp_mark=round(spot * (1 + basis / 10), 6), expiries=tuple(rows))

    def wait(self, seconds: int) -> None:
        """Let time pass, and look at everything again."""
        self.mirror.now += seconds
        self.compare(self.mirror.accounts)

    # ------------------------------------------------------------------------------------------------------ calls

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

    def _call_liquidate(self, *arguments: Any) -> Call:
        """Without the two that the mirror takes over from the contract."""
        return call(self.world.protocol.liquidation, "liquidate", *arguments[:-2])

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
        """The maker's order, perhaps signed, and that of the caller."""
        order = self._order(taker, maker, legs, consent)
        signature = protocol.NO_SIGNATURE
        if consent.key is not None:
            key = {a.address: a for a in (self.world.owner, *self.world.users)}[consent.key]
            signature = protocol.signature(key, protocol.order_message(self.world.protocol, order))
        limits = [list(leg) for leg in legs]
        if limits:
            limits[0][5] -= consent.short if limits[0][4] > 0 else -consent.short
        taken = protocol.Order(taker, tuple(map(tuple, limits)), lots=consent.lots)
        return protocol.submission(
            protocol.Consent(order, consent.signer, signature), protocol.Consent(taken, self.caller), consent.fill
        )

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
        return (ACTION[act.name], account, counterparty, collateral, amount, recipient, data)

    def liquidate(
        self, sender: str, account: int, bidder: int, fraction: int, minimum: int, max_price: int, deadline: int
    ) -> bool:
        """Bid for a slice. What the contract rounds, the mirror takes over, once it has been compared."""
        now, liquidation = self.mirror.now + 1, self.world.protocol.liquidation
        bid = (account, bidder, fraction, minimum, max_price, deadline)
        one = self._call_liquidate(*bid, None, None)
        twin = self.mirror.copy()
        twin.now = now
        limit, before = self.world.view(
            [call(liquidation, "largest_slice", account), call(self.house, "assess", account)], now
        )
        expected, error = twin.largest_slice(account)
        if expected is not None:
            assert abs(limit / WAD - expected) <= error, f"largest_slice of {account}: {limit / WAD}, not {expected}"
            assert (limit == 0) == (expected == 0.0)
        answer = self.world.ask([one], now, sender)[0]
        taken, price = (None, None) if "error" in answer else one.decoded(answer["result"])
        if price is not None:
            assert taken == min(fraction, limit), "INV-09"
        if not self.act(sender, "liquidate", *bid, limit, price):
            return False
        self.seen["liquidate", "passed with stale prices"] += not before.fresh
        after = self.assess((account, bidder))
        assert health(after[account]) >= health(before), "INV-09"
        assert after[bidder].equity_initial - STALE_FACTOR * after[bidder].stale_value >= after[bidder].initial
        return True


def health(figures: Any) -> int:
    """E_mm - MM of an `IMarginEngine.Assessment`."""
    return figures.equity_maintenance - figures.maintenance


def as_tuple(state: Any, mode: int | None = None) -> tuple:
    """`IMarginEngine.Account` again, perhaps in another mode."""
    holdings = [tuple(vars(h).values()) for h in state.holdings]
    return (state.mode if mode is None else mode, state.cash, state.cost, holdings, list(state.legs))
