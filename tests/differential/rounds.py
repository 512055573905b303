"""Whole rounds of deleveraging on a chain, from the nomination to the books afterwards, against the float model.

Books are posted as they are drawn, by a member of the clearing house, so that any account may hold anything. Every
figure of the model begins with books and market read from the chain: at the nomination, and again at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from python_model import deleveraging, methodology
from python_model.deleveraging import Closing, Fixing, Nomination, NominationError, Round
from python_model.liquidation import figures
from python_model.portfolio import Book, Kind, Market, Position, net
from scripts import chain, keeping, story
from scripts.chain_state import World as State
from tests import tolerances as t
from tests.differential import planting
from tests.differential.comparison import figures_tolerance
from tests.unit.protocol_fixtures import (
    BTC,
    DAY,
    EMPTY,
    ETH,
    EXPIRY_DAYS,
    FUND,
    SPOT,
    START,
    World,
    deploy_world,
    flat_market,
    moved,
)

HOUSE = methodology.load("house")
NAMES = {"BTC": SPOT[BTC], "ETH": SPOT[ETH]}
MOST = 5
# Seconds in which anyone nominates, in which the price of an account falls, and after which it may without net value.
NOMINATIONS, FALL, SOLVENT = 1_800, 3_600, 43_200
CLOCK = chain.Clock(0)


# ------------------------------------------------------------------------------------------------------------ drawing


@dataclass(frozen=True)
class Course:
    """Spot of an underlying as factors of that of the start: at two fixings, and from then on; and its basis."""

    fixings: tuple[float, float]
    now: float
    basis: float


@dataclass(frozen=True)
class Holder:
    """A candidate: which parts of the account's legs it holds the opposite of, what else, and its equity.

    `margin` is `E_mm` as a multiple of maintenance margin.
    """

    parts: tuple[float, ...]
    others: tuple[Position, ...]
    margin: float


@dataclass(frozen=True)
class Scene:
    """What happens to an account. Expiries are in days from the start, net value and fund are multiples.

    Attributes
    ----------
    courses : by underlying
    days : how many fixings there were
    legs : of the account
    with_ether : whether it has one ether of collateral
    net_value : as a multiple of its maintenance margin
    fund : cash of the fund, as a multiple of what is missing, and of maintenance margin
    holders : in the order of their nomination
    drifts : factors of all prices, before the nomination and before the end
    first : how many candidates are taken by a first call
    """

    courses: dict[str, Course]
    days: int
    legs: tuple[Position, ...]
    with_ether: bool
    net_value: float
    fund: tuple[float, float]
    holders: tuple[Holder, ...]
    drifts: tuple[float, float]
    first: int


# Ether falls, and an account that is long, a put written, owes more than others have gained; the fund has some of it.
# Of its holders two are equal, and a third one, which would come first, would lose a hedge that it needs.
BANKRUPT = Scene(
    courses={"ETH": Course((1.0, 1.03), 0.97, 0.002)},
    days=2,
    legs=(
        Position("ETH", Kind.PERP, 10.0, None, None, 2000.0),
        Position("ETH", Kind.PUT, -2.0, EXPIRY_DAYS[1], 2000.0),
    ),
    with_ether=False,
    net_value=-1.0,
    fund=(0.3, 0.0),
    holders=(
        Holder((0.3, 0.5), (), 30.0),
        Holder((0.3, 0.5), (), 30.0),
        Holder((0.4, 0.0), (Position("ETH", Kind.FUTURE, 4.0, EXPIRY_DAYS[1], None, 2000.0),), 1.02),
    ),
    drifts=(1.0, 1.0),
    first=1,
)

# An account that nobody bought has enough for what is left, once a half is closed.
HEALTHY_AGAIN = replace(
    BANKRUPT,
    net_value=0.9,
    fund=(0.0, 0.0),
    holders=(Holder((0.5, 0.5), (), 30.0), Holder((0.2, 0.0), (), 30.0)),
    first=2,
)

factors = st.sampled_from([0.7, 0.9, 0.97, 1.0, 1.03, 1.1, 1.4])
parts = st.sampled_from([0.5, 1.0, 0.25, 0.5, 1.0, 1.5, 0.0, -0.5])


@st.composite
def legs(draw: st.DrawFn, names: Sequence[str]) -> Position:
    """A leg of any kind, of a hundred to a hundred thousand USD; an expiry in days."""
    name, kind = draw(st.sampled_from(names)), draw(st.sampled_from([Kind.PERP, Kind.PERP, *Kind]))
    usd = draw(st.sampled_from([100.0, 3000.0, 20_000.0, 100_000.0])) * draw(st.sampled_from([1, 1.37, -1, -1.37]))
    size, expiry = round(usd / NAMES[name], 6), None if kind is Kind.PERP else draw(st.sampled_from(EXPIRY_DAYS))
    if kind.is_option:
        return Position(name, kind, size, expiry, round(NAMES[name] * draw(st.sampled_from([0.6, 0.9, 1.0, 1.3])), 6))
    return Position(name, kind, size, expiry, None, round(NAMES[name] * draw(factors), 6))


def hedge(leg: Position, part: float) -> Position:
    """Of who holds the opposite of a part of a leg, the same of another instrument."""
    size = round(leg.size * (part or 1.0), 6)
    if leg.kind is Kind.PERP:
        return Position(leg.underlying, Kind.FUTURE, size, EXPIRY_DAYS[-1], None, NAMES[leg.underlying])
    return Position(leg.underlying, Kind.PERP, size, None, None, NAMES[leg.underlying])


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Accounts with debts of a hundredth to five times their margin, some with value that nobody bought."""
    names = draw(st.sampled_from([("ETH",), ("BTC", "ETH")]))
    drawn = draw(st.lists(legs(names), min_size=1, max_size=4, unique_by=lambda p: p.instrument))
    holders = []
    for _ in range(draw(st.integers(2, MOST - 1))):
        held = tuple(draw(parts) for _ in drawn)
        others = (hedge(drawn[0], held[0]),) if draw(st.booleans()) else draw(st.lists(legs(names), max_size=1))
        holders.append(Holder(held, tuple(others), draw(st.sampled_from([30.0, 3.0, 1.3, 1.02, 30.0, 0.5]))))
    return Scene(
        courses={
            n: Course((draw(factors), draw(factors)), draw(factors), draw(st.sampled_from([0.0, 0.002, -0.01])))
            for n in names
        },
        days=draw(st.sampled_from([1, 2, 2])),
        legs=tuple(drawn),
        with_ether=draw(st.booleans()),
        net_value=draw(st.sampled_from([-0.01, -0.3, -1.0, -5.0, -0.3, -1.0, 0.9, 0.5])),
        fund=draw(st.sampled_from([(0.0, 0.0), (0.3, 0.0), (0.9, 0.0), (0.0, -0.1), (1.0, 0.5)])),
        # Of equal ones the first comes first.
        holders=(*holders, *holders[: draw(st.integers(0, 1))]),
        drifts=(draw(st.sampled_from([1.0, 0.995])), draw(st.sampled_from([1.0, 1.004]))),
        first=draw(st.sampled_from([16, 16, 1, 2])),
    )


# ----------------------------------------------------------------------------------------------------------- the chain


@dataclass(frozen=True)
class Bench:
    """A protocol without interest, and accounts that have nothing: two, one of them with an ether, and candidates."""

    world: World
    rounds: Any
    state: State
    plain: int
    with_ether: int
    candidates: tuple[int, ...]

    def planted(self, contracts: Any, bytecode: str) -> Bench:
        """With another contract of deleveraging."""
        world = replace(self.world, markets=dict(self.world.markets))
        rounds = planting.deploy(contracts, world.owner, "Deleveraging", {"Deleveraging": bytecode}, world.house)
        world.house.set_member(rounds, True, sender=world.owner)
        world.liquidation.set_deleveraging(rounds, sender=world.owner)
        return replace(self, world=world, rounds=rounds)

    def post(self, account: int, words: list[int], cash: int, cost: int = 0) -> None:
        """Change an account."""
        self.world.house.post(account, words, cash, cost, sender=self.world.heir)

    def publish(self, scene: Scene, factor: float) -> None:
        """The market of a scene after its fixings."""
        for name, course in scene.courses.items():
            self.publish_one(name, course.now * factor, course.basis)

    def publish_one(self, name: str, factor: float, basis: float) -> None:
        """Futures and perpetuals differ from spot by a basis."""
        u = moved(flat_market(NAMES[name], self.world.start), factor)
        rows = tuple(replace(e, forward=round(u.spot * (1.0 + 2.0 * basis), 9)) for e in u.expiries)
        perp_mark = round(u.spot * (1.0 + basis), 9)
        self.world.publish(self.state.deployed.names[name], replace(u, perp_mark=perp_mark, expiries=rows))

    def fix(self, scene: Scene) -> tuple[Fixing, Fixing]:
        """Let 08:00 UTC pass, once or twice; the last fixing and the one before."""
        fixings: list[dict[str, float]] = [{}]
        for day in range(scene.days):
            for name, course in scene.courses.items():
                self.publish_one(name, course.fixings[day], 0.0)
            fixings.append({name: round(NAMES[name] * c.fixings[day], 9) for name, c in scene.courses.items()})
            self.world.wait(DAY)
        return fixings[-1], fixings[-2]

    def market(self) -> Market:
        """As it is on the chain now."""
        days = [self.world.start + d * DAY for d in EXPIRY_DAYS]
        ids = self.state.deployed.names.values()
        return self.state.market(dict.fromkeys(ids, days), self.state.head())

    def book(self, account: int) -> Book:
        """An account as it is on the chain, without entries."""
        return story.decoded(self.world.house.portfolio(account), self.state.deployed.names, CLOCK)

    def enter(self, account: int, positions: Sequence[Position], market: Market, target: Any) -> None:
        """Give an account legs, expiries in days, and cash for which `target` says the figure that is to be zero."""
        names = self.state.deployed.names
        dated = [p if p.expiry is None else replace(p, expiry=self.world.start + p.expiry * DAY) for p in positions]
        held = net(tuple(dated), market)
        cost = chain.cost(held, market, names, CLOCK)
        flat = replace(
            self.book(account), positions=tuple(p if p.kind.is_option else replace(p, entry=0.0) for p in held)
        )
        cash = chain.wad(round(-target(figures(flat, market, HOUSE)), 6))
        self.post(account, sorted(chain.position_word(p, names, CLOCK) for p in held), cash + cost, cost)

    def tries(self, handler: Any, *arguments: Any) -> str | None:
        """Why a call reverts; None where it does not."""
        return self.world.tries(handler, *arguments, sender=self.world.stranger)


@contextmanager
def staged(contracts: Any, accounts: Any, ape_chain: Any) -> Iterator[Bench]:
    """A protocol on a clock that stands still."""
    request = ape_chain.provider.web3.provider.make_request
    request("anvil_setBlockTimestampInterval", [0])
    world = deploy_world(contracts, accounts, ape_chain)
    p = world.protocol
    world.house.set_member(world.heir, True, sender=world.owner)
    p.money_market.set_interest_rates(EMPTY, sender=world.owner)
    plain, *candidates = [world.open(world.taker) for _ in range(1 + MOST)]
    with_ether = world.open(world.taker, ether=1.0)
    state = keeping.connect(p, ape_chain.provider)
    yield Bench(world, p.deleveraging, state, plain, with_ether, tuple(candidates))
    request("anvil_removeBlockTimestampInterval", [])


# ---------------------------------------------------------------------------------------------------------- comparison


def tolerance(market: Market, *books: Book) -> float:
    """How far any figure of the books, and any value or gain of parts of them, may be from the model's; USD."""
    return max(figures_tolerance(book, market, HOUSE) for book in books)


def near(name: str, got: int, want: float, within: float) -> None:
    """Money of the contract against the model's."""
    error = abs(chain.as_float(got) - want)
    assert error <= within, (
        f"{name}: contract {chain.as_float(got)!r}, model {want!r}, off by {error:.3e} > {within:.3e}"
    )


def same(name: str, got: Any, want: Any) -> None:
    """What contract and model must agree on exactly."""
    assert got == want, f"{name}: contract {got!r}, model {want!r}"


class UnclearError(Exception):
    """A scene so near to some edge that contract and model may judge it differently, or one that comes to nothing."""


def require_clear(condition: bool) -> None:
    """Give up a scene unless the condition holds."""
    if not condition:
        raise UnclearError


def is_clear(book: Book, market: Market, within: float) -> bool:
    """Whether contract and model must agree on who is healthy, and has net value."""
    f = figures(book, market, HOUSE)
    return abs(f.equity_maintenance - f.maintenance) > within and abs(f.net_value) > within


def start(world: World, account: int) -> None:
    """Start or mark an auction, unless time has made the account healthy."""
    reason = world.try_bid(account, world.bidding, START)
    assert reason in (None, "liquidation: healthy")
    require_clear(reason is None)
    world.start_auction(account)


def prepare(bench: Bench, scene: Scene) -> tuple[int, tuple[int, ...], tuple[Fixing, Fixing]]:
    """The account in auction, its price fallen all the way, its candidates, and the fixings."""
    world = bench.world
    fixings = bench.fix(scene)
    bench.publish(scene, 1.0)
    market = bench.market()
    account = bench.with_ether if scene.with_ether else bench.plain
    candidates = bench.candidates[: len(scene.holders)]
    least = 100.0 if scene.net_value < 0.0 else 0.0
    bench.enter(account, scene.legs, market, lambda f: f.net_value - scene.net_value * max(f.maintenance, least))
    for candidate, holder in zip(candidates, scene.holders, strict=True):
        against = (replace(p, size=round(-p.size * x, 6)) for p, x in zip(scene.legs, holder.parts, strict=True))
        held = (*(p for p in against if p.size != 0.0), *holder.others)
        bench.enter(candidate, held, market, lambda f, m=holder.margin: f.equity_maintenance - m * f.maintenance - 1.0)
    start(world, account)
    if scene.net_value > 0.0:
        world.wait(SOLVENT + 1)
        bench.publish(scene, 1.0)
        start(world, account)
    world.wait(FALL)
    bench.publish(scene, scene.drifts[0])
    f = world.figures(account)
    fund = scene.fund[0] * max(-int(f.net_value), 0) + scene.fund[1] * int(f.maintenance)
    bench.post(FUND, [], chain.wad(round(fund / 10**18, 6)) - world.house.cash(FUND))
    return account, candidates, fixings


def nominate(
    bench: Bench, account: int, candidates: Sequence[int], fixings: Sequence[Fixing], seen: Counter[str]
) -> list[int]:
    """Nominate all, and compare scores and ranks; the candidates in order."""
    market, book = bench.market(), bench.book(account)
    ranking: tuple[Nomination, ...] = ()
    for candidate in candidates:
        holder = bench.book(candidate)
        d = tolerance(market, book, holder)
        require_clear(is_clear(holder, market, 4 * d))
        want: float | str
        try:
            want = deleveraging.score(book, holder, market, HOUSE, fixings)
        except NominationError as refusal:
            want = str(refusal)
        reason = bench.tries(bench.rounds.nominate, account, candidate)
        if isinstance(want, str) or reason is not None:
            same("nomination", reason, f"deleveraging: {want}")
            seen[want] += 1
            continue
        receipt = bench.rounds.nominate(account, candidate, sender=bench.world.stranger)
        got = receipt.events.filter(bench.rounds.Nominated)[0]
        package = deleveraging.opposite(book.positions, holder.positions)
        gain = deleveraging.gain(package, market, fixings)
        notional = deleveraging.notional(package, market)
        near("gain", got.gain, gain, d)
        near("notional", got.notional, notional, t.NOISE * notional + t.DUST)
        # Gain and net value err by d, at a net value of four times that and more.
        gross, net_value = deleveraging.notional(holder.positions, market), deleveraging.net_value(holder, market)
        near("score", got.score, want, 2 * d * (gross + want) / net_value + t.NOISE * want)
        seen["gain" if gain > 0.0 else "no gain"] += 1
        # By scores of the contract, which may tell apart what the model finds equal.
        ranking = deleveraging.entered(ranking, Nomination(candidate, got.score))
    state = bench.rounds.round_of(account)
    same("ranks", list(state.candidates), [n.candidate for n in ranking])
    same("scores", list(state.scores), [n.score for n in ranking])
    return list(state.candidates)


def follow(
    r: Round, candidates: Sequence[tuple[int, Book]], market: Market, fixings: Sequence[Fixing], within: float
) -> Round:
    """The model's round, in which nobody may be so near to unhealthy that the contract might judge otherwise."""
    for candidate, holder in candidates:
        if r.account.positions:
            require_clear(is_clear(r.account, market, within))
            require_clear(is_clear(deleveraging.offer(r, candidate, holder, market, fixings).holder, market, within))
        r = deleveraging.close(r, [(candidate, holder)], market, HOUSE, fixings)
    return r


def same_books(bench: Bench, account: int, want: Book, within: float) -> None:
    """An account on the chain against the model's: sizes and collateral exactly."""
    got = bench.book(account)
    same("sizes", *({p.instrument: p.size for p in book.positions} for book in (got, want)))
    same("collateral", got.collateral, want.collateral)
    near("cash", chain.wad(got.cash), want.cash, within)


def same_closing(got: Any, want: Closing, d: float, k: int) -> None:
    """The event of a closing, after k others, against the model's.

    What is missing for a dollar of notional, `(D - F - U) / N`, is the same before and after a closing, but for the
    values of the account, of the package and of what is left, each off by d. So after k closings `D - F - U` errs by
    `(1 + 3 k) d`, of which a share is a part, and a loss is that or a gain. A part of the fund errs as what is missing
    where the fund has that, and else not at all.
    """
    same("closing", (got.candidate, got.legs), (want.candidate, len(want.package)))
    near("notional", got.notional, want.notional, t.NOISE * want.notional + t.DUST)
    near("value", got.value, want.value, d)
    for name in ("share", "loss", "fund"):
        near(name, getattr(got, name), getattr(want, name), (1 + 3 * k) * d)


def compare(bench: Bench, seen: Counter[str], scene: Scene) -> None:
    """A whole round of a scene by contract and model; what came up is counted.

    Parameters
    ----------
    bench : Bench
    seen : Counter
    scene : Scene

    Raises
    ------
    UnclearError
    """
    world, rounds = bench.world, bench.rounds
    with world.ape_chain.isolate():
        account, candidates, fixings = prepare(bench, scene)
        reason = bench.tries(rounds.open, account)
        # In time it may have become healthy or of value, or need so little that the fund has it.
        assert reason in (None, *(f"deleveraging: {words}" for words in ("healthy", "has value", "fund can pay")))
        require_clear(reason is None)
        rounds.open(account, sender=world.stranger)
        order = nominate(bench, account, candidates, fixings, seen)
        world.wait(NOMINATIONS)
        bench.publish(scene, scene.drifts[0] * scene.drifts[1])

        market, books = bench.market(), {i: bench.book(i) for i in (account, *candidates)}
        r = Round(books[account], chain.as_float(world.house.cash(FUND)))
        # Of each closing value, loss and the fund's part, and what is spared, add up: at most twice (1 + 3 n) d and d.
        n = len(order)
        d = tolerance(market, *books.values())
        whole = (n + 1) * (3 + 6 * n) * d
        require_clear(is_clear(r.account, market, whole) and r.account.positions != ())
        require_clear(figures(r.account, market, HOUSE).is_unhealthy)
        require_clear(deleveraging.net_value(r.account, market) < 0.0 or scene.net_value > 0.0)
        closings, passed, taken = [], [], 0
        for count in (scene.first, 16):
            some = [(i, books[i]) for i in order[taken : taken + count]]
            r = follow(r, some, market, fixings, whole)
            reason = bench.tries(rounds.close, account, count)
            assert reason is None, f"close: {reason}"
            receipt = rounds.close(account, count, sender=world.stranger)
            closings += receipt.events.filter(rounds.Deleveraged)
            passed += [e.candidate for e in receipt.events.filter(rounds.PassedOver)]
            taken = len(r.closings) + len(r.passed_over)
            if not r.account.positions or taken == n or not figures(r.account, market, HOUSE).is_unhealthy:
                break

        same("closings", [e.candidate for e in closings], [c.candidate for c in r.closings])
        same("passed over", tuple(passed), r.passed_over)
        for k, (got, want) in enumerate(zip(closings, r.closings, strict=True)):
            same_closing(got, want, d, k)
        state = rounds.round_of(account)
        same("taken", state.next, taken)
        near("uncovered", state.uncovered, r.uncovered, whole)
        near("fund", world.house.cash(FUND), r.fund, whole)
        after = {i: books[i] for i in candidates} | {c.candidate: c.holder for c in r.closings} | {account: r.account}
        for i, book in after.items():
            same_books(bench, i, book, whole)
            near("net value", world.figures(i).net_value, deleveraging.net_value(book, market), whole + d)
        is_over = not r.account.positions or taken == n
        same("over", world.liquidation.auction_of(account).deleveraged != 0, is_over)
        if not r.account.positions and scene.net_value < 0.0 and not scene.with_ether:
            same("nothing left but", world.figures(account).net_value, -state.uncovered)

        seen.update(p.kind.value for c in r.closings for p in c.package)
        seen.update({"rounds": 1, "closings": len(closings), "passed over": len(passed)})
        seen.update({"uncovered": r.uncovered > whole, "the fund paid": sum(c.fund for c in r.closings) > whole})
        seen.update({"empty": not r.account.positions, "healthy again": not is_over})
