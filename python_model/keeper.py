"""What a keeper does, as pure decisions: whom to ask about, whose auction to start, what to bid and when to let go.

Nothing is remembered between two rounds: everything that a decision needs is on the chain, so that a keeper which was
killed goes on where it stopped. Money is in USD, fractions are of 1, times in seconds. Rules that bind on-chain are
those of `contracts/libraries/auction.vy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from python_model.normal import Floats
from python_model.screening import Figures, near


class Act(StrEnum):
    """What is sent to the chain."""

    START = "start"
    MARK = "mark"
    SOLVENT = "solvent"
    INSOLVENT = "insolvent"
    END = "end"
    ABSORB = "absorb"


# Ranks of what is sent in one round: what earns nothing by itself comes first, for others wait for it.
ORDER = {Act.START: 0, Act.MARK: 1, Act.SOLVENT: 2, Act.INSOLVENT: 3, Act.ABSORB: 4, Act.END: 5}


# Figures are floats here and integers on the chain.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Terms:
    """`ILiquidation.Terms` as far as a keeper needs them."""

    insolvent_seconds: float = 3_600.0
    solvent_seconds: float = 43_200.0
    minimum_slice: float = 0.10
    reward: float = 25.0
    reward_share: float = 0.02
    first_discount: float = 0.02


@dataclass(frozen=True)
class Policy:
    """What the operator wants.

    Attributes
    ----------
    minimum_profit : float
        USD that a purchase must leave after hedge and gas; also what a start must earn, see `starts`.
    hedge_multiple : float
        Cost of a hedge, in costs of liquidation by M-12 of what is bought.
    slippage : float
        How much dearer than quoted a purchase may become on its way, as a fraction of the price.
    valid_seconds : int
        For how long a bid holds.
    gas_limit : int
        Of one transaction; an account that takes more is left alone, with a warning.
    gas_base, gas_per_leg : int
        Gas of a start or a bid: so much, and so much for each leg of account and bidder.
    near : float
        Share of maintenance margin within which an account is asked about.
    upkeep : bool
        Whether to do what nobody pays for: starts whose reward is below their gas, marks, ends, debts absorbed.
    """

    minimum_profit: float = 5.0
    hedge_multiple: float = 1.0
    slippage: float = 0.01
    valid_seconds: int = 60
    # Within the 2**24 gas that a transaction may have since Osaka (EIP-7825).
    gas_limit: int = 16_000_000
    gas_base: int = 600_000
    gas_per_leg: int = 45_000
    near: float = 0.02
    upkeep: bool = True

    def __post_init__(self) -> None:
        """Refuse what has no meaning; ValueError names the field and what to do."""
        for name in ("minimum_profit", "hedge_multiple", "slippage", "near"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be a number, not negative (got {getattr(self, name)})")
        for name in ("valid_seconds", "gas_limit", "gas_base", "gas_per_leg"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1 (got {getattr(self, name)})")

    def gas(self, legs: int) -> int:
        """Gas of a start or a bid for accounts with so many legs together."""
        return self.gas_base + self.gas_per_leg * legs


@dataclass(frozen=True)
class Candidate:
    """An account and what the chain says of it now: `ILiquidation.Quote`, its auction, and the screening's figures.

    Attributes
    ----------
    account : int
    unhealthy : bool
    kind : SOLVENT, INSOLVENT or None where nothing could be bought
    fraction, price : the largest part that may be bought and its price, premium included; negative: the bidder is paid
    premium : what a bidder of less than all pays for rounding
    net_value : of the whole
    initial_shortfall : `IM - E_im` of the whole
    maintenance : MM
    liquidity : M-12 of the whole, what closing it costs
    legs : number of legs, or so many that cost as much gas
    empty : whether it has neither legs nor collateral
    cash : of the account
    started, marked, deleveraged : seconds since 1970, 0 where not
    """

    account: int
    unhealthy: bool
    kind: Act | None
    fraction: float
    price: float
    premium: float
    net_value: float
    initial_shortfall: float
    maintenance: float
    liquidity: float
    legs: int
    empty: bool = False
    cash: float = 0.0
    started: int = 0
    marked: int = 0
    deleveraged: int = 0


@dataclass(frozen=True)
class Purse:
    """What bidder and fund have: `free` is `E_im - IM` of the bidder's account, `legs` as `Candidate.legs`."""

    free: float
    fund: float
    legs: int = 0


@dataclass(frozen=True)
class Step:
    """One transaction. Of bids: at most `fraction`, at least `min_fraction`, for at most `max_price`, up to `deadline`.

    `profit` is what it is expected to leave after hedge and gas, `why` says what decided, for the log.
    """

    act: Act
    account: int
    gas: int
    profit: float
    why: str
    fraction: float = 1.0
    min_fraction: float = 0.0
    max_price: float = 0.0
    deadline: int = 0


# ------------------------------------------------------------------------------------------------ whom to ask about


def to_check(figures: Figures, running: Iterable[int], policy: Policy) -> NDArray[np.intp]:
    """Rows of the books to ask the chain about: those near the line, worst first, then other running auctions.

    Parameters
    ----------
    figures : Figures
    running : rows whose auction runs
    policy : Policy
    """
    close = near(figures, policy.near)
    others = np.setdiff1d(np.array(sorted(running), dtype=np.intp), close)
    return np.concatenate([close, others])


def to_refresh(stored: Floats, current: Floats, least: float, share: float = 0.1) -> NDArray[np.intp]:
    """Accounts whose stored score of the yield is out of date: off by more than a share of the larger, and `least`.

    Parameters
    ----------
    stored, current : arrays (accounts,), USD
    least : float, USD below which a difference is not worth its gas
    share : float
    """
    off = np.abs(current - stored)
    return np.flatnonzero((off > share * np.maximum(np.abs(stored), np.abs(current))) & (off > least))


# ------------------------------------------------------------------------------------------------ one account


def reward(c: Candidate, fund: float, terms: Terms) -> float:
    """What a start pays: by the account if its net value covers that, else by the fund, else nothing."""
    amount = min(terms.reward, terms.reward_share * c.maintenance)
    return amount if c.net_value >= amount or fund >= amount else 0.0


def start(c: Candidate, purse: Purse, terms: Terms, policy: Policy, gas_usd: float) -> Step | None:
    """The start of an auction, or None.

    It is worth its gas if the reward pays for it, or if the purchase that it makes possible does at the first discount;
    and is done in any case by a keeper that does upkeep.
    """
    if not c.unhealthy or c.started:
        return None
    gas = policy.gas(c.legs)
    earned = reward(c, purse.fund, terms) - gas * gas_usd
    # Of the largest slice at the first discount there is no more to earn than this.
    later = terms.first_discount * max(c.net_value, 0.0) - policy.hedge_multiple * c.liquidity - gas * gas_usd
    if earned >= 0.0:
        return Step(Act.START, c.account, gas, earned, "reward pays for gas")
    if earned + later >= policy.minimum_profit:
        return Step(Act.START, c.account, gas, earned, "a purchase will pay for gas")
    return Step(Act.START, c.account, gas, earned, "upkeep") if policy.upkeep else None


def mark(c: Candidate, terms: Terms, policy: Policy, gas_usd: float, now: int) -> Step | None:
    """Lets the price of an account without net value fall, or says that it has some again; None where all is said."""
    if not c.unhealthy or not c.started or not policy.upkeep:
        return None
    dead = c.net_value <= 0.0 or now > c.started + terms.solvent_seconds
    in_force = c.marked != 0 and now <= c.marked + 2 * terms.insolvent_seconds
    gas = policy.gas(c.legs)
    if dead and not in_force:
        return Step(Act.MARK, c.account, gas, -gas * gas_usd, "no net value: its price may fall")
    if not dead and c.marked:
        return Step(Act.MARK, c.account, gas, -gas * gas_usd, "it has net value again")
    return None


def bid(c: Candidate, purse: Purse, terms: Terms, policy: Policy, gas_usd: float, now: int) -> tuple[Step | None, str]:
    """A bid for as much as pays and as the bidder has margin for, or None and why not.

    A part f of the quoted one gains `f (NV - price)`, pays the premium where it is less than all, and costs
    `f hedge_multiple C_liq` and gas; it takes `price + f (IM - E_im)` of the bidder's free equity. All of it grows with
    f but for gas and premium, so the largest f is the best one, and the least that still pays is what is asked for.
    """
    if c.kind is None or not c.unhealthy:
        return None, "nothing is for sale"
    gas = policy.gas(c.legs + purse.legs)
    if gas > policy.gas_limit:
        return None, f"would take {gas:,} gas, more than the limit"
    whole = c.fraction >= 1.0
    premium = 0.0 if whole else c.premium
    # For all of the account, at the quoted price of a unit.
    price = (c.price - premium) / c.fraction
    gain = c.net_value - price - policy.hedge_multiple * c.liquidity
    fixed = gas * gas_usd + policy.minimum_profit
    if gain <= 0.0:
        return None, "costs more to hedge than the discount"
    fraction, needed = c.fraction, price + c.initial_shortfall
    if needed > 0.0 and purse.free < fraction * needed + premium:
        # A part of less than the largest pays the premium too.
        premium, fraction = c.premium, max(purse.free - c.premium, 0.0) / needed
    # What the fund does not have it may owe only when everything else has been tried.
    if not c.deleveraged and purse.fund < -price * fraction:
        premium, fraction = c.premium, max(purse.fund, 0.0) / -price * (1.0 - ROUNDING)
    if c.kind is Act.INSOLVENT and fraction < c.fraction:
        # Who takes a part does not earn the reward that whoever takes the whole does where it needs less margin.
        bonus = max(terms.reward - c.maintenance, 0.0)
        price, gain = price + bonus, gain - bonus
        if gain <= 0.0:
            return None, "a part of it does not pay"
    least = min(terms.minimum_slice, c.fraction)
    if fraction < least:
        return None, "the bidder's margin or the fund's cash does not reach for the smallest slice"
    profit = fraction * gain - premium - gas * gas_usd
    if profit < policy.minimum_profit:
        return None, f"would leave {profit:,.2f} USD"
    cost = fraction * price + premium
    # No dearer than quoted but for the slippage, and never so dear that it does not pay.
    limit = min(cost + policy.slippage * abs(cost), cost + profit - policy.minimum_profit)
    smallest = min(max(least, (fixed + c.premium) / gain), fraction)
    step = Step(
        act=c.kind,
        account=c.account,
        gas=gas,
        profit=profit,
        why=f"{100 * fraction:.1f}% for {cost:,.2f} USD",
        # The largest slice moves with every second: all that may be had.
        fraction=1.0 if fraction == c.fraction else fraction,
        min_fraction=smallest * (1.0 - policy.slippage),
        max_price=limit,
        deadline=now + policy.valid_seconds,
    )
    return step, step.why


def finish(c: Candidate, policy: Policy, gas_usd: float) -> Step | None:
    """The end of an auction that is over, or the absorption of a debt that nothing stands against; None for neither."""
    gas = policy.gas(c.legs)
    if not policy.upkeep:
        return None
    if c.empty and c.cash < 0.0:
        return Step(Act.ABSORB, c.account, gas, -gas * gas_usd, "nothing is left but a debt")
    if c.started and not c.unhealthy:
        return Step(Act.END, c.account, gas, -gas * gas_usd, "healthy again")
    return None


# ------------------------------------------------------------------------------------------------ a round


def openings(
    candidates: Sequence[Candidate], purse: Purse, terms: Terms, policy: Policy, gas_usd: float, now: int
) -> list[Step]:
    """What comes before bids: auctions started and marked, debts absorbed, auctions ended; in the order of `ORDER`."""
    steps = []
    for c in candidates:
        step = finish(c, policy, gas_usd)
        if step is None:
            step = start(c, purse, terms, policy, gas_usd) or mark(c, terms, policy, gas_usd, now)
        if step is not None:
            steps.append(step)
    return sorted(steps, key=lambda s: ORDER[s.act])


def purchases(
    candidates: Sequence[Candidate], purse: Purse, terms: Terms, policy: Policy, gas_usd: float, now: int
) -> tuple[list[Step], dict[int, str]]:
    """The bids of a round, most profitable first, as far as margin and fund reach; and why others have none.

    Returns
    -------
    (steps, refusals) : refusals by account
    """
    ranked = []
    refused: dict[int, str] = {}
    for c in candidates:
        step, why = bid(c, purse, terms, policy, gas_usd, now)
        if step is None:
            refused[c.account] = why
        else:
            ranked.append((step.profit, c))
    steps = []
    for _, c in sorted(ranked, key=lambda row: -row[0]):
        step, why = bid(c, purse, terms, policy, gas_usd, now)
        if step is None:
            refused[c.account] = why
            continue
        part = min(step.fraction, c.fraction)
        cost = part * (c.price - (c.premium if c.fraction < 1.0 else 0.0)) / c.fraction
        # What it buys comes with equity of its own, and with its requirement, which adds up at most.
        spent = max(cost + part * c.initial_shortfall, 0.0) + c.premium
        purse = Purse(purse.free - spent, purse.fund + min(cost, 0.0) * (c.kind is Act.INSOLVENT), purse.legs + c.legs)
        steps.append(step)
    return steps, refused
