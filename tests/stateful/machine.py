"""A state machine's actions: each is a call of the protocol and of the mirror, and what must hold after it.

A new external function takes a method of the mirror, and a rule that calls `Machine.act` with its name and arguments.
Where it is no function of the clearing house with these very arguments, a method of `Calls` says what to call.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import currently_in_test_context, note
from hypothesis.stateful import RuleBasedStateMachine

from python_model.portfolio import Mode, Underlying
from scripts import chain, protocol
from tests.differential.comparison import Differences
from tests.stateful.calls import Calls
from tests.stateful.checks import ROUNDING, Checks, health
from tests.stateful.mirror import Mirror
from tests.stateful.state import COLLECTOR, PAID, STALE_FACTOR, USDC, WAD, WETH, Account, Act
from tests.stateful.world import CAP, World, call

PPM = 10**6
FOR_EVER = 2**40


class Machine(Checks, Calls, RuleBasedStateMachine):
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
        self.mirror = mirror(
            owner=world.owner.address,
            guardian=world.guardian.address,
            publisher=world.owner.address,
            methodology=self.methodology,
            names=self.names,
            heartbeat=chain.HEARTBEAT_SECONDS,
            terms=protocol.INTEREST,
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
        one = self.encoded(act, sender, now)
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
            if name == "settle" or (name == "liquidate" and account == arguments[0]):
                continue
            if account in healthy:
                assert health(figures) >= -ROUNDING, f"{act}: account {account} became unhealthy (INV-04)"
            state = new.accounts[account]
            if new.levels.get(account) == PAID and (state.legs or state.cash < 0):
                assert figures.fresh and figures.equity_initial >= figures.initial, f"{act}: {account} (INV-05)"
        return True

    def realise(self, sender: str, account: int) -> None:
        """Make unrealised profit cash. What the contract rounds, the mirror takes over, once it has been compared."""
        now = self.mirror.now + 1
        one = self.encoded(Act("realise", (account, None)), sender, now)
        answer = self.world.ask([one], now, sender)[0]
        profit = None if "error" in answer else one.decoded(answer["result"])
        before = self.mirror.accounts[account].cost
        if self.act(sender, "realise", account, profit) and profit is not None:
            self.seen["realise", "moved"] += self.mirror.accounts[account].cost != before

    def tell(self, what: str) -> None:
        """Note what happened, for the report of a failure; a machine may also be driven by hand."""
        if currently_in_test_context():
            note(f"{self.mirror.now - self.world.start} s: {what}")

    def liquidate(
        self, sender: str, account: int, bidder: int, fraction: int, minimum: int, max_price: int, deadline: int
    ) -> bool:
        """Bid for a slice. What the contract rounds, the mirror takes over, once it has been compared."""
        now, liquidation = self.mirror.now + 1, self.world.protocol.liquidation
        bid = (account, bidder, fraction, minimum, max_price, deadline)
        one = self.encoded(Act("liquidate", (*bid, None, None)), sender, now)
        twin = self.mirror.copy()
        twin.now = now
        interest = twin.money.change(twin.accounts[account], 0, now)
        limit, before = self.world.view(
            [call(liquidation, "largest_slice", account), call(self.house, "assess", account)], now
        )
        expected, error = twin.largest_slice(account)
        answer = self.world.ask([one], now, sender)[0]
        taken, price = (None, None) if "error" in answer else one.decoded(answer["result"])
        if interest > 0:
            # Which the view does not count yet, as margin does not.
            limit = limit if taken is None or taken == fraction else taken
        elif price is not None:
            assert taken == min(fraction, limit), "INV-09"
        if expected is not None and interest <= 0:
            assert abs(limit / WAD - expected) <= error, f"largest_slice of {account}: {limit / WAD}, not {expected}"
            assert (limit == 0) == (expected == 0.0)
        if expected is not None and taken is not None:
            assert taken / WAD <= expected + error, "INV-09"
        if not self.act(sender, "liquidate", *bid, limit, price):
            return False
        self.seen["liquidate", "passed with stale prices"] += not before.fresh
        after = self.assess((account, bidder))
        assert health(after[account]) >= health(before), "INV-09"
        assert after[bidder].equity_initial - STALE_FACTOR * after[bidder].stale_value >= after[bidder].initial
        return True

    # ------------------------------------------------------------------------------------------------------ market

    def publish(self, name: str, state: Underlying) -> None:
        """Publish an underlying as of the block. What has expired keeps its last mark, if that is fresh."""
        rows = tuple(
            e for e in state.expiries if e.expiry > self.mirror.now or not self.mirror.is_current(name, e.expiry)
        )
        assert self.act(self.world.owner.address, "publish", name, replace(state, expiries=rows))

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
