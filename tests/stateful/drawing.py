"""How a life's actions are drawn from the state that it is in."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from hypothesis import strategies as st

from python_model.portfolio import Mode, Underlying
from tests.stateful.machine import FOR_EVER, PPM, Machine
from tests.stateful.state import (
    CALL,
    CLAIMS,
    COLLECTOR,
    FUND,
    FUTURE,
    MODE,
    PERP,
    PUT,
    UNIT,
    USDC,
    WETH,
    Consent,
    Instrument,
    Leg,
)

# Strikes as shares of the first spot; deep in and out of the money, and around it.
STRIKES = (0.5, 0.85, 1.0, 1.15, 2.0)
# Shares of spot by which prices may be moved against an account.
MOVES = (0.0, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.32, 0.5)
# Up to this many times its equity may an account draw as the size of a leg: half of what is tried finds margin.
LEVERAGE = 3
RICH = 9  # the account of a market maker

# Which account, user, instrument: taken modulo how many there are.
indices = st.integers(0, 2**16)
fractions = st.one_of(st.integers(PPM // 100, PPM), st.sampled_from([PPM // 3, PPM // 2, PPM, 0, 1]))
kinds = st.sampled_from([USDC] * 6 + [WETH] * 6 + [2])
# The owner mostly; else another user, who may be an operator.
strangers = st.sampled_from([0] * 9 + [1])
# Token units beyond the fraction drawn.
beyond = st.sampled_from([0, 0, 0, 1])
prices = st.sampled_from([PPM, PPM, PPM, 980_000, 1_020_000, PPM // 2, 2 * PPM, 0])
legs = st.tuples(indices, st.one_of(st.integers(PPM // 100, PPM), st.integers(1, 9)), st.sampled_from([1, -1]), prices)
# Of initial margin.
usual = st.integers(PPM // 2, PPM * 95 // 100)
margins = st.one_of(usual, usual, usual, st.integers(PPM * 95 // 100, PPM * 5 // 4))
stretches = st.tuples(indices, indices, indices, st.sampled_from([1, -1]), margins)
# Millionths by which prices are better than marks for who closes.
favours = st.sampled_from([20_000, 1_000, 1_000, 10, 0, -20_000])
packages = st.lists(legs, min_size=1, max_size=4)
consents = st.sampled_from(
    ["signed"] * 8
    + ["approved"] * 4
    + ["partly"] * 3
    + ["submitted"] * 2
    + ["operator", "forged", "none", "late", "cancelled", "fee", "limit", "ghost"]
)
oddities = st.sampled_from([""] * 12 + ["unsorted", "expired", "unknown expiry", "strike", "one account", "no legs"])
steps = st.tuples(st.sampled_from(["deposit", "withdraw", "transfer", "trade"]), indices, indices, kinds, fractions)


ACTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {}
# Names of actions, as often as they are to be drawn among all.
MENU: list[str] = []


def action(often: int = 2, **arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a method of `Life` as a step, and says how often it is drawn, and how its arguments are."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        ACTIONS[method.__name__] = st.fixed_dictionaries(arguments)
        MENU.extend([method.__name__] * often)
        return method

    return mark


class Drawing(Machine):
    """Which account, package, consent an index stands for."""

    # Orders of several lots, with their taker, maker and package.
    orders: list[tuple[int, int, tuple[Leg, ...], Consent]]

    def account(self, index: int) -> int:
        return self.players[index % len(self.players)]

    @property
    def players(self) -> list[int]:
        """The accounts of users."""
        return [a for a in self.mirror.accounts if a not in (FUND, COLLECTOR, CLAIMS)]

    def user(self, index: int) -> str:
        return self.world.users[index % len(self.world.users)].address

    def sender(self, account: int, stranger: int) -> str:
        """The account's owner, or the user after him."""
        addresses = [u.address for u in self.world.users]
        return self.user(addresses.index(self.mirror.accounts[account].owner) + stranger)

    def held(self, account: int, kind: int) -> int:
        """Token units that a debit may take, in the next second."""
        state = self.mirror.accounts[account]
        if kind == USDC:
            return self.mirror.money.cash(state, self.mirror.now + 1) // UNIT[USDC]
        return state.weth if kind == WETH else 10**6

    def another(self, account: int, index: int) -> int:
        """An account beside this one: the market maker for three quarters of the indices."""
        others = [a for a in self.players if a != account]
        return RICH if index % 4 and account != RICH else others[index // 4 % len(others)]

    def sibling(self, account: int, index: int) -> int:
        """Another account of the same owner; of anyone where there is none."""
        owner = self.mirror.accounts[account].owner
        own = [b for b, x in self.mirror.accounts.items() if x.owner == owner and b != account]
        return own[index % len(own)] if own else self.another(account, index)

    def trader(self, index: int) -> int:
        """An account that may take a further leg, for most indices."""
        books = {a: self.mirror.accounts[a] for a in self.players}
        free = [a for a, x in books.items() if x.mode is not Mode.ISOLATED or not x.legs]
        return free[index // 8 % len(free)] if index % 8 else self.account(index // 8)

    def instruments(self, expired: bool = False) -> list[Instrument]:
        """Everything that can be traded, or what cannot be traded any more."""
        listed = []
        for name, i in self.names.items():
            u = self.world.market.underlyings[name]
            strikes = [float(f"{u.spot * share:.3g}") for share in STRIKES]
            listed.append(Instrument(i, 0, 0, PERP))
            for e in u.expiries:
                listed.append(Instrument(i, e.expiry, 0, FUTURE))
                listed += [Instrument(i, e.expiry, int(k * 10**6), kind) for k in strikes for kind in (CALL, PUT)]
        return [i for i in listed if (0 < i.expiry <= self.mirror.now + 1) == expired]

    def leg(self, i: Instrument, size: int, price: int) -> Leg:
        """A leg at a share of the mark, in millionths."""
        return Leg(*i, size, max(round(self.mirror.mark(i) * 10**9), 0) * price // PPM)

    def package(self, rows: list[tuple[int, int, int, int]], account: int, listed: list[Instrument]) -> tuple[Leg, ...]:
        """Legs of up to LEVERAGE times an account's equity."""
        equity = self.figures(account).assessment.equity_initial
        drawn = {}
        for index, share, sign, price in rows:
            i = listed[index % len(listed)]
            most = LEVERAGE * max(equity, 1.0) / self.mirror.market[self.mirror.name_of[i.underlying]].spot
            drawn[i] = self.leg(i, sign * max(1, round(most * share)), price)
        return tuple(drawn[i] for i in sorted(drawn))

    def figures(self, account: int) -> Any:
        return self.mirror.figures(self.mirror.accounts[account])

    def worst_first(self, index: int, modes: tuple[Mode, ...] = MODE) -> int:
        """An account of some modes, those with the least above maintenance margin, relative to it, first."""

        def room(account: int) -> float:
            figures = self.figures(account)
            return figures.health / max(figures.assessment.maintenance, 1.0)

        own = [a for a in self.players if self.mirror.accounts[a].mode in modes]
        ranked = sorted(own or self.players, key=room)
        return ranked[index % len(ranked)]

    def consent(self, kind: str, taker: int, maker: int, package: tuple[Leg, ...]) -> Consent:
        """The maker's consent, or something that is none."""
        self.nonce += 1
        owner = self.mirror.accounts[maker].owner
        consent = Consent(self.nonce, FOR_EVER, owner, owner)
        match kind:
            case "approved":
                consent = consent._replace(key=None)
                self.act(owner, "approve", taker, maker, package, consent)
            case "partly":
                consent = consent._replace(lots=3, fill=self.nonce % 5)
                self.orders.append((taker, maker, package, consent))
            case "submitted":
                buyer = self.mirror.accounts[taker].owner
                return consent._replace(taker_signer=buyer, taker_key=buyer)
            case "ghost":
                buyer = self.mirror.accounts[taker].owner
                return consent._replace(taker_signer=buyer, taker_key=(owner, None)[self.nonce % 2])
            case "operator":
                key = self.sender(maker, 1)
                return consent._replace(signer=key, key=key)
            case "forged":
                return consent._replace(key=self.sender(maker, 1))
            case "none":
                return consent._replace(key=None)
            case "late":
                return consent._replace(deadline=self.mirror.now)
            case "fee":
                return consent._replace(max_fee=0)
            case "limit" if package and package[0].price:
                return consent._replace(short=1)
            case "cancelled":
                which = self.nonce % 3
                if which == 0:
                    self.act(owner, "cancel", maker, consent.nonce)
                elif which == 1:
                    self.act(owner, "cancel_range", maker, consent.nonce >> 8, 1 << (consent.nonce & 255))
                else:
                    self.act(owner, "cancel_below", maker, consent.nonce + 1)
        return consent

    def press(self, index: int, how: int, modes: tuple[Mode, ...] = MODE) -> int:
        """Publish prices at which a shaky account is just unhealthy, or nearly, or more so. The shakiest then.

        Of some modes, if there are any.
        """
        states = dict(self.mirror.market)
        for account in (self.worst_first(n, modes) for n in range(index, index + 4)):
            greeks = self.figures(account).assessment.greeks
            delta = {name: row["delta"] * states[name].spot for name, row in greeks.items()}
            if not any(delta.values()):
                continue
            name = max(delta, key=lambda n: abs(delta[n]))
            ladder = [self.moved(name, 1 - far if delta[name] > 0 else 1 + far) for far in MOVES]
            broken = next((n for n, state in enumerate(ladder) if self.breaks(account, name, state)), None)
            if broken is not None:
                states[name] = ladder[min(max(broken + how, 0), len(ladder) - 1)]
                break
        for name, state in states.items():
            self.publish(name, state)
        return self.worst_first(0, modes)

    def breaks(self, account: int, name: str, state: Underlying) -> bool:
        """Whether an account is unhealthy at other prices, as the model says."""
        twin = copy(self.mirror)
        twin.variances = {**twin.variances, name: twin.learnt(name, state.spot)}
        twin.market = {**twin.market, name: state}
        return bool(twin.assess(twin.accounts[account]).health < 0)
