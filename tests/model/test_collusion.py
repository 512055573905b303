"""INV-09: nobody profits by liquidating himself. A search over what an owner can do with accounts of his own.

The claim. Let one owner have the account that is liquidated and every account that bids for it. Whatever he does, when
he does it and however prices move in between:

1.  In a sale the owner gains what the fund pays and nothing else, at marks: what one account loses another has.
2.  While the account has net value, the fund pays nothing but the reward of a start that the account cannot pay itself:
    at most min(25 USD, 2% of MM), once an auction. The owner pays the fee of each slice. (What the account itself pays
    for a start the fund may miss after a jump: that is the stated reward, and what follows counts from there.)
3.  Without net value, the fund pays for all parts `i` together at most `sum w_i P_i`, and 25 USD once: `P_i` is what an
    outside bidder would be paid, without the least bonus, for all of the account as it was before the first part, at
    the moment of part `i`; and `w_i` the part of it that is sold then, in all at most 1. So no splitting and no timing
    gains him more than an outside bidder would have.

It is not claimed that he cannot lose more than his margin by a jump: that is what `P_i` is made of, whoever bids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from python_model import liquidation
from python_model.liquidation import Figures, Sale, Terms, figures
from python_model.portfolio import Book, Market, Mode
from tests.model.books import MARKET, perp
from tests.model.distressed import HOUSE, accounts, at_ratio, slack

TERMS = Terms()
FUND = 1e9


@dataclass(frozen=True)
class Act:
    """Fractions of what is possible at the time: how long it waits, how prices move, and what the owner then does."""

    wait: float  # of the time in which the price falls
    move: float  # of all prices
    taken: Fraction  # of the account, or of a leg
    leg: float  # which one, for a bid for a leg; 1 for a slice
    loss: float  # of the account's net value, by a bid for a leg


acts = st.lists(
    st.builds(
        Act,
        wait=st.sampled_from([0.0, 0.01, 0.3, 1.0]) | st.floats(0.0, 1.1),
        move=st.just(1.0) | st.floats(0.85, 1.18),
        taken=st.sampled_from([Fraction(1, 10), Fraction(1, 2), Fraction(1)])
        | st.integers(10**17, 10**18).map(lambda n: Fraction(n, 10**18)),
        leg=st.just(1.0) | st.floats(0.0, 1.0),
        loss=st.floats(-0.05, 0.5),
    ),
    min_size=1,
    max_size=10,
)


def moved(market: Market, factor: float) -> Market:
    """All prices by the same factor; vols stay with the strikes."""
    rows = {
        name: replace(
            u,
            spot=u.spot * factor,
            perp_mark=u.perp_mark * factor,
            expiries=tuple(replace(e, forward=e.forward * factor) for e in u.expiries),
        )
        for name, u in market.underlyings.items()
    }
    return replace(market, underlyings=rows)


def priced(book: Book, factor: float) -> Book:
    """The book with its collateral at the moved prices."""
    return replace(book, collateral=tuple(replace(c, price=c.price * factor) for c in book.collateral))


class Owner:
    """One owner's account, whatever he buys of it, and what that costs the fund."""

    def __init__(self, account: Book) -> None:
        self.account, self.market = account, MARKET
        # The account as it was before the first part of it was sold without value, and what is left of it since.
        self.reference, self.weight = account, 1.0
        self.time, self.started, self.marked = 0.0, None, None
        self.paid = self.allowed = 0.0

    def figures(self, book: Book) -> Figures:
        return figures(book, self.market, HOUSE)

    def act(self, act: Act) -> None:
        """Wait, let prices move, and take what there is: start, mark, or buy."""
        self.market = moved(self.market, act.move)
        self.account, self.reference = priced(self.account, act.move), priced(self.reference, act.move)
        f = self.figures(self.account)
        dead = self.started is not None and liquidation.is_dead(f, self.time - self.started, TERMS)
        self.time += act.wait * (TERMS.insolvent_seconds if dead else TERMS.solvent_seconds)
        if not f.is_unhealthy:
            self.started = self.marked = None
            return
        dead = liquidation.is_dead(f, self.time - (self.time if self.started is None else self.started), TERMS)
        if self.started is None:
            self.started, self.marked = self.time, self.time if dead else None
            of_account, of_fund = liquidation.reward(f, FUND, TERMS)
            # One account pays the other, or the fund pays.
            self.account = replace(self.account, cash=self.account.cash - of_account)
            self.reference, self.weight = self.account, 1.0
            self.paid += of_fund
            self.allowed += of_fund
            assert of_fund <= min(TERMS.reward, TERMS.reward_share * f.maintenance)
        elif not dead:
            self.buy(act, f)
        elif self.marked is None or self.time - self.marked > 2 * TERMS.insolvent_seconds:
            self.marked = self.time
        else:
            self.be_paid(act, f)

    def conserve(self, sale: Sale, f: Figures) -> None:
        """Claim 1: the owner has what he had, and what the fund paid."""
        rest = self.figures(liquidation.remaining(self.account, sale)).net_value
        bought = self.figures(liquidation.received(self.account, sale, Book(self.account.mode, 0.0))).net_value
        assert abs(rest + bought - f.net_value + sale.fund) <= slack(self.account, f)

    def buy(self, act: Act, f: Figures) -> None:
        """Claim 2: a slice, or a leg at a loss."""
        elapsed = self.time - self.started
        try:
            if act.leg == 1.0:
                sale = liquidation.solvent(self.account, self.market, f, elapsed, act.taken)
            else:
                leg = self.account.positions[int(act.leg * len(self.account.positions))]
                package = liquidation.part((leg,), act.taken)
                rest = replace(self.account, positions=liquidation.less(self.account.positions, package))
                price = f.net_value - self.figures(rest).net_value - act.loss * f.net_value
                sale = liquidation.targeted(self.account, self.market, HOUSE, elapsed, package, price)
        except liquidation.BidError:
            return
        self.conserve(sale, f)
        assert sale.fund >= 0.0
        self.paid -= sale.fund
        self.allowed -= sale.fund
        self.take(sale)
        self.reference, self.weight = self.account, 1.0

    def be_paid(self, act: Act, f: Figures) -> None:
        """Claim 3: a part of what has no value."""
        times = self.time - self.started, self.time - self.marked
        sale = liquidation.insolvent(self.account, self.market, f, *times, FUND, act.taken)
        self.conserve(sale, f)
        # What is paid for all of the account as it was: for maintenance margin, and for the reward by whom it ends.
        before = self.figures(self.reference)
        fallen = min(times[1] / TERMS.insolvent_seconds, 1.0)
        whole = fallen * (before.maintenance - min(before.net_value, 0.0)) - max(before.net_value, 0.0)
        share = self.weight * float(sale.fraction)
        self.allowed += share * max(whole, 0.0) + slack(self.reference, before)
        if sale.fraction == 1:
            self.allowed += fallen * TERMS.reward
        self.weight -= share
        self.paid -= sale.fund
        self.take(sale)

    def take(self, sale: Sale) -> None:
        """What is left of the account; nothing is left to sell of one without legs."""
        self.account = liquidation.remaining(self.account, sale)
        if sale.ends:
            self.started = self.marked = None


def profits(account: Book, steps: list[Act]) -> float:
    """What the fund paid the owner beyond what is claimed, USD."""
    owner = Owner(account)
    for step in steps:
        if owner.account.positions:
            owner.act(step)
    return owner.paid - owner.allowed


def dead_account(size: float, ratio: float) -> Book:
    return at_ratio(Book(Mode.PORTFOLIO, 0.0, (), (perp("ETH", size),)), ratio)


AT_ONCE = Act(0.0, 1.0, Fraction(1, 10), 1.0, 0.0)
# A failing example tells enough as it is.
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]
# Without value: it is started, an hour later it is at its last price, and then sold by tenths.
TENTHS = [AT_ONCE, replace(AT_ONCE, wait=1.0), *[AT_ONCE] * 30]


@settings(max_examples=100, phases=QUICK, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(account=accounts(low=-0.5, high=0.999), steps=acts)
@example(account=dead_account(5.0, -0.2), steps=TENTHS)
@example(account=dead_account(0.01, -0.2), steps=TENTHS)
def test_no_owner_profits_by_bidding_for_his_own_account(account, steps):
    assert profits(account, steps) <= 1e-6


def parts_earn_the_whole_reward(f: Figures, elapsed: float, terms: Terms, *_: bool) -> float:
    """Wrong: of every part the reward's share, however often there is one."""
    top, bonus = max(f.net_value, 0.0), max(f.maintenance, terms.reward)
    return top - (top - f.net_value + bonus) * min(elapsed, terms.insolvent_seconds) / terms.insolvent_seconds


def negative_fee(off: float, terms: Terms) -> float:
    """Wrong: the fund pays a part of each slice."""
    return -terms.fee


def late_price(f: Figures, elapsed: float, terms: Terms, *_: bool) -> float:
    """Wrong: a part is priced as an account whose requirement grew."""
    return min(f.net_value, 0.0) - (f.maintenance + 1000.0) * min(elapsed, 3600.0) / 3600.0


WRONG: dict[str, tuple[str, Callable[..., float]]] = {
    "parts earn the whole reward": ("falling_price", parts_earn_the_whole_reward),
    "a fee with the wrong sign": ("fee_rate", negative_fee),
    "a bonus for each part": ("falling_price", late_price),
}


@pytest.mark.parametrize("rule", WRONG)
def test_the_search_finds_a_wrong_rule(rule, monkeypatch):
    """Without the examples above."""
    monkeypatch.setattr(liquidation, *WRONG[rule])

    @settings(
        max_examples=400,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(account=accounts(low=-0.5, high=0.5), steps=acts)
    def search(account, steps):
        assert profits(account, steps) <= 1e-6

    with pytest.raises(AssertionError):
        search()
