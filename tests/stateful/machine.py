"""A state machine's actions: each is a call of the protocol and of the mirror, and what must hold after it.

A new external function takes a method of the mirror, and a rule that calls `Machine.act` with its name and arguments.
Where it is no function of the clearing house with these very arguments, a method of `Calls` says what to call.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from eth_utils import to_checksum_address
from hypothesis import currently_in_test_context, note
from hypothesis.stateful import RuleBasedStateMachine

from python_model.portfolio import Mode, Underlying
from scripts import chain, protocol
from tests.differential import tail_comparison
from tests.differential.comparison import Differences
from tests.stateful.checks import ROUNDING, Checks, health
from tests.stateful.market import VARIANCE_ROUNDING, Variance
from tests.stateful.mirror import Mirror
from tests.stateful.state import (
    BOUGHT,
    CLAIMS,
    COLLECTOR,
    FUND,
    INSOLVENT,
    KEPT,
    PAID,
    SOLVENT,
    STALE_FACTOR,
    START,
    TARGETED,
    UNIT,
    USDC,
    WAD,
    WETH,
    Account,
    Act,
    Figures,
    Instrument,
    Judgement,
    Sale,
    truncated,
)
from tests.stateful.world import CAP, World, call

PPM = 10**6
FOR_EVER = 2**40


def liquidity(figures: Figures) -> float:
    """What M-12 asks of an account, USD."""
    return sum(charges.liquidity for charges in figures.assessment.charges.values())


class Machine(Checks, RuleBasedStateMachine):
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
        self.tail_differences = tail_comparison.Differences()
        self.names = world.protocol.names
        self.snapshot = None
        self.nonce = 0
        self.mirror = mirror(
            owner=world.owner.address,
            guardian=world.guardian.address,
            publisher=world.owner.address,
            methodology=self.methodology,
            tail=world.tail,
            dynamic=world.dynamic,
            names=self.names,
            heartbeat=chain.HEARTBEAT_SECONDS,
            terms=protocol.INTEREST,
            liquidation=protocol.LIQUIDATION,
            evidence=len(world.evidence),
        )
        self.mirror.judge = self.judge
        self.logarithms: dict[Instrument, int] = {}
        self.judged: dict[tuple, Judgement] = {}
        # Who has bought of an account, in its auction of now.
        self.bidders: dict[int, set[int]] = {}

    # ------------------------------------------------------------------------------------------------------ life

    def begin(self) -> None:
        """Remember the chain, and start the mirror from what `world.build` left."""
        world = self.world
        self.snapshot = world.rpc.one("evm_snapshot")
        self.mirror.now = world.start
        self.mirror.caps = dict(CAP)
        first = (FUND, COLLECTOR, CLAIMS)
        owners = [call(self.house, "owner_of", account) for account in first]
        for account, owner in zip(first, world.view(owners, world.start), strict=True):
            self.mirror.accounts[account] = Account(to_checksum_address(owner), Mode.ISOLATED)
        self.mirror.deleveraging = world.protocol.deleveraging.address
        holders = {x.owner for x in self.mirror.accounts.values()}
        for address in [*(a.address for a in (world.owner, world.guardian, *world.users)), *holders]:
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
                if prediction.mode is not None:
                    self.seen[prediction.mode, "lacked margin"] += 1
                return False
            assert new is not None, f"{act} passes, expected {set(prediction.reasons)}"
        changed = {a for a, x in new.accounts.items() if a not in old.accounts or old.accounts[a].key != x.key}
        changed |= {a for sale in new.sales for a in (sale.account, sale.bidder)}
        healthy = {a for a, f in self.assess(changed & set(old.accounts)).items() if health(f) >= 0}
        assert self.world.send(one, now, sender), f"{act} reverts: {self.world.refusal(one, now, sender)!r}"
        self.tell(f"{name}{arguments} by {sender} passes")
        self.seen[name, "passed"] += 1
        self.count_modes(old, new)
        self.mirror = new
        if name == "publish":
            self.learn(arguments[0])
            self.compare(a for a in new.accounts if new.depends(a, arguments[0]))
            return True
        figures_after = self.compare(changed)
        self.check_sales(old, new, figures_after, alone=name == "bid")
        for account, figures in figures_after.items():
            if name == "settle":
                continue
            # The fund is there to lose.
            if account in healthy and account != FUND:
                assert health(figures) >= -ROUNDING, f"{act}: account {account} became unhealthy (INV-04)"
            state = new.accounts[account]
            if new.levels.get(account) == PAID and (state.legs or state.cash < 0):
                assert figures.fresh and figures.equity_initial >= figures.initial, f"{act}: {account} (INV-05)"
        if new.accounts[FUND].cash < 0:
            # At once, so that no withdrawal is cut: how that goes is tested with the backstop.
            owner = new.accounts[FUND].owner
            debt = -new.money.cash(new.accounts[FUND], new.now + 1)
            self.act(owner, "deposit", FUND, USDC, -(-debt // UNIT[USDC]))
        return True

    def count_modes(self, old: Mirror, new: Mirror) -> None:
        """What accounts of each mode did in a call that passed."""
        for mode, times in (new.risk_free - old.risk_free).items():
            self.seen["decision 5", "passed"] += times
            self.seen[mode, "took no risk"] += times
        for account in new.touched:
            if account in old.accounts:
                before, after = old.accounts[account], new.accounts[account]
                self.seen[after.mode, "traded"] += before.legs != after.legs
                if before.mode is not after.mode and after.legs:
                    self.seen[before.mode, "left"] += 1
                    self.seen[after.mode, "chosen"] += 1

    def learn(self, name: str) -> None:
        """Compare what the chain has learnt of volatility, and take over its rounding."""
        mine = self.mirror.variances[name]
        (dynamics,) = self.world.view(
            [call(self.world.protocol.market_data, "dynamics", self.names[name])], self.mirror.now
        )
        self.differences.near("variance", dynamics.variance / WAD, mine.value, mine.error)
        self.mirror.variances[name] = Variance(dynamics.variance / WAD, VARIANCE_ROUNDING)

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

    # ------------------------------------------------------------------------------------------------------ auctions

    def check_sales(self, old: Mirror, new: Mirror, figures: dict[int, Any], alone: bool) -> None:
        """INV-09 for every sale of a call, whose figures are those after it."""
        sold: dict[int, list[Sale]] = {}
        for sale in new.sales:
            sold.setdefault(sale.account, []).append(sale)
            self.count(sale, new)
        for account, sales in sold.items():
            # Where its own side has done something afterwards, that has been looked at.
            if account not in new.touched:
                self.check_sold(sales, old, new, figures[account])
        for bidder in {sale.bidder for sale in new.sales if sale.kind != START}:
            after = figures[bidder]
            if new.levels[bidder] in (KEPT, BOUGHT):
                spare = after.equity_initial - STALE_FACTOR * after.stale_value - after.initial
                assert spare >= 0, f"INV-09: bidder {bidder} lacks {-spare}"
        if alone:
            self.check_shared(old, new)

    def check_sold(self, sales: list[Sale], old: Mirror, new: Mirror, after: Any) -> None:
        """The sold account is no worse, but for the reward, and no more was taken of it than the rule allows."""
        account, first, last = sales[0].account, sales[0], sales[-1]
        rewards = sum(sale.reward for sale in sales if sale.rewarded_by == account)
        assert health(after) >= first.before.health - rewards, f"INV-09: {health(after)} after {sales}"
        if any(sale.fraction == WAD for sale in sales):
            state = new.accounts[account]
            assert not state.legs and not state.weth and account not in new.auctions, "INV-09: something is left"
        elif len(sales) == 1 and last.kind == SOLVENT:
            # Sizes are cut to 1e-6, for which there is the premium; and M-12 falls faster than what is left.
            left = (1 - last.fraction / WAD) * liquidity(old.figures(old.accounts[account]))
            falls = round((left - liquidity(new.figures(new.accounts[account]))) * WAD)
            slack = 2 * last.premium + ROUNDING + max(falls, 0)
            above = after.equity_initial - after.initial - round(slack * self.methodology.initial_factor)
            assert above <= 0 or not last.restoring, f"INV-09: {above} above initial margin after {last}"
            goes_on = account in new.auctions and last.before.fresh and health(after) > slack
            assert not goes_on, "INV-09: the auction of a healthy account goes on"
        elif last.kind == TARGETED:
            assert (account in new.auctions) == (health(after) < 0), "INV-09: an auction ends once all is well"

    def check_shared(self, old: Mirror, new: Mirror) -> None:
        """What account, bidder and fund had they have, and the fund pays no more than what is stated."""
        among = {FUND} | {a for sale in new.sales for a in (sale.account, sale.bidder)}

        def together(mirror: Mirror) -> tuple[int, int, Counter[Instrument]]:
            net: Counter[Instrument] = Counter()
            for a in among:
                net.update(mirror.accounts[a].legs)
            states = [mirror.accounts[a] for a in among]
            cash = sum(mirror.money.cash(x, new.now) - x.cost for x in states)
            return cash, sum(x.weth for x in states), Counter({i: n for i, n in net.items() if n})

        assert together(new) == together(old), "INV-02"
        change = new.money.cash(new.accounts[FUND], new.now) - old.money.cash(old.accounts[FUND], new.now)
        least = 0
        for sale in new.sales:
            if sale.kind == START:
                least -= sale.reward if sale.rewarded_by == FUND else 0
            elif sale.kind == INSOLVENT:
                bonus = max(sale.before.maintenance, new.liquidation.reward)
                least += min(truncated(sale.before.net_value - bonus, sale.fraction), 0)
            else:
                least += sale.fee
        assert change >= least, f"INV-09: the fund changes by {change}, not by {least}"

    def count(self, sale: Sale, new: Mirror) -> None:
        """What kinds of sale there were."""
        kind = ("start", "solvent", "insolvent", "targeted")[sale.kind]
        what = {
            kind: True,
            "whole": sale.fraction == WAD,
            "part": 0 < sale.fraction < WAD,
            "restored": sale.restoring and sale.account not in new.auctions,
            "stale": sale.kind != START and not sale.before.fresh,
            "unchecked": sale.unchecked,
            "paid by the fund": sale.kind == INSOLVENT and sale.price < 0,
            "rewarded by the account": sale.rewarded_by == sale.account and sale.reward > 0,
            "rewarded by the fund": sale.rewarded_by == FUND and sale.reward > 0,
            "marked": sale.kind == START and new.auction(sale.account).marked == new.now,
            "unmarked": sale.kind == START and not new.auction(sale.account).marked and not sale.rewarded_by,
            "fund owes": sale.kind == INSOLVENT and sale.price < 0 and new.accounts[FUND].cash < 0,
        }
        for name, happened in what.items():
            self.seen["sale", name] += happened
        self.seen[new.accounts[sale.account].mode, f"sold: {kind}"] += 1
        if sale.kind != START:
            self.seen[new.accounts[sale.bidder].mode, "bought"] += 1
        if sale.kind != START:
            bidders = self.bidders.setdefault(sale.account, set())
            bidders.add(sale.bidder)
            self.seen["sale", "several bidders"] += len(bidders) > 1
        if sale.account not in new.auctions:
            self.bidders.pop(sale.account, None)

    def same_quote(self, account: int) -> None:
        """`ILiquidation.Quote` of now against the mirror's, exactly."""
        (got,) = self.world.view([call(self.world.protocol.liquidation, "quote", account)], self.mirror.now)
        assert vars(got) == self.mirror.quote(account), account

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
