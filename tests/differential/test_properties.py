"""What must hold of the engine whatever the book: INV-06 to INV-08, equal modes of a single position, defined risk.

Figures are the contract's own integers (1e-18 USD), so that nothing but its roundings needs a tolerance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from python_model import methodology
from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market, Mode, Position
from scripts import chain
from tests import tolerances as t
from tests.differential import strategies
from tests.differential.comparison import Differences

pytestmark = pytest.mark.differential

WAD = 10**18
PRESETS = [methodology.load(name) for name in methodology.grids()]
HOUSE = methodology.load("house")
NAMES = chain.ids(strategies.NAMES)
PARAMETERS = (
    "scan_range",
    "vol_up",
    "vol_down",
    "vol_floor_up",
    "vol_power_short",
    "vol_power_long",
    "tilt",
    "calendar",
    "vega_calendar",
    "som",
    "flat",
    "h_delta",
    "depth_delta",
    "h_vega",
    "depth_vega",
    "initial_factor",
)
ISOLATED, CROSS, PORTFOLIO = (chain.MODES[mode] for mode in (Mode.ISOLATED, Mode.CROSS, Mode.PORTFOLIO))
# `portfolio.ROUNDING`.
ROUNDING = 10**4

# An example costs a tenth of a second: a failure is not shrunk.
quick = settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
books = strategies.markets().flatmap(
    lambda market: st.tuples(st.just(market), strategies.books(market, (Mode.PORTFOLIO,)))
)
presets = st.sampled_from(PRESETS)

Account = tuple[Any, ...]
Reports = dict[int, Any]


@pytest.fixture(scope="module")
def deployment(project_contracts: Any, deployer: Any) -> chain.Deployment:
    """An engine for every preset."""
    return chain.deploy_engine(project_contracts, deployer, PRESETS, NAMES)


@dataclass(frozen=True)
class Desk:
    """A market on the chain, and the engines at its time."""

    deployment: chain.Deployment
    market: Market
    clock: chain.Clock
    now: int

    def account(self, book: Book) -> Account:
        """Of a book, as the engine takes it."""
        return chain.account(book, self.market, NAMES, self.clock)

    def explain(self, account: Account, preset: Methodology = HOUSE) -> tuple[Any, Reports]:
        """The assessment, and the reports by underlying."""
        assessment, reports = chain.call_at(self.deployment.reports[preset.name].explain, self.now, account)
        return assessment, {r.underlying: r for r in reports}

    def error(self, book: Book) -> int:
        """What M-16 adds to a maintenance figure: the kernel's bound and the allowance for roundings, 1e-18 USD."""
        return chain.wad(1.000001 * t.EPSILON * chain.error_notional(book, self.market)) + ROUNDING


@pytest.fixture(scope="module")
def open_desk(deployment: chain.Deployment, ape_chain: Any) -> Callable[[Market], Desk]:
    """Publish a market and go to its time."""

    def run(market: Market) -> Desk:
        now = ape_chain.blocks.head.timestamp + 10
        ape_chain.pending_timestamp = now
        clock = chain.publish(deployment, market, now)
        return Desk(deployment, market, clock, clock.chain(market.as_of))

    return run


def numbers(preset: Methodology) -> tuple[dict[str, int], list[Any], list[Any]]:
    """Parameters by name, groups and scenarios, as deployed."""
    values, groups, scenarios = chain.methodology_arguments(preset, NAMES)
    return dict(zip(PARAMETERS, values, strict=True)), groups, scenarios


def parts(account: Account) -> list[Account]:
    """Every leg and every in-grid holding alone, as a portfolio without cash."""
    _, _, _, holdings, legs = account
    alone = [(PORTFOLIO, 0, 0, [], [leg]) for leg in legs]
    return alone + [(PORTFOLIO, 0, 0, [h], []) for h in holdings if h[0] and h[1]]


def total_scan(reports: Reports, groups: Sequence[tuple[int, int]]) -> int:
    """M-8, credits rounded down."""
    total = sum(r.scan for r in reports.values())
    for members, credit in groups:
        inside = [r for r in reports.values() if members >> r.underlying & 1]
        if inside:
            joint = max(0, -min(map(sum, zip(*(r.pnl for r in inside), strict=True))))
            total -= credit * (sum(r.scan for r in inside) - joint) // WAD
    return total


# --- INV-06 ----------------------------------------------------------------------------------------------------------


def exact_linear(account: Account, market: Market, clock: chain.Clock, preset: Methodology) -> list[Fraction]:
    """MM, IM and both equities of a book without options by M-4 to M-15, from the same integers, without rounding."""
    p, groups, scenarios = numbers(preset)
    _, cash, cost, holdings, legs = account
    equity = [Fraction(cash - cost)] * 2
    profits: dict[int, list[Fraction]] = {}
    scans: dict[int, Fraction] = {}
    spread = liquidity = doubt = Fraction(0)
    for name, u in NAMES.items():
        if name not in market.underlyings:
            continue
        *_, perp_mark, confidence, expiries = chain.update(u, market.underlyings[name], 0, clock)
        scan_range = chain.scaled(market.underlyings[name].scan_range, 12)
        forwards = {e[0]: e[1] * 10**9 for e in expiries}
        buckets: dict[int, Fraction] = defaultdict(Fraction)
        for word in legs:
            if word >> 248 == u:
                expiry, size = word >> 216 & 2**32 - 1, (word >> 80) % 2**64
                size -= 2**64 if size >= 2**63 else 0
                buckets[expiry] += Fraction(size * (forwards[expiry] if expiry else perp_mark * 10**9), 10**6)
                equity = [e - (0 if expiry else Fraction(size * clock.funding[u], 10**6)) for e in equity]
        equity = [e + sum(buckets.values()) for e in equity]
        for h in holdings:
            if h[0] == u:
                buckets[0] += Fraction(h[1] * h[2], WAD)
        if not buckets:
            continue
        linear = sum(buckets.values())
        unit = Fraction(p["scan_range"] or scan_range * 10**6, WAD)
        profits[u] = [
            Fraction(g, WAD) * linear * (max(1 + Fraction(x, WAD) * unit, Fraction(1, 20)) - 1)
            for x, _, _, g in scenarios
        ]
        scans[u] = max(Fraction(0), -min(profits[u]))
        longs = sum(max(b, 0) for b in buckets.values())
        spread += Fraction(p["calendar"], WAD) * min(longs, longs - linear)
        depth = Fraction(p["depth_delta"])
        liquidity += abs(linear) * Fraction(p["h_delta"], WAD) * (1 + abs(linear) / depth)
        doubt += Fraction(confidence, 10**12) * abs(linear)
    spread += sum(scans.values())
    for members, credit in groups:
        inside = [u for u in scans if members >> u & 1]
        if inside:
            joint = max(Fraction(0), -min(map(sum, zip(*(profits[u] for u in inside), strict=True))))
            spread -= Fraction(credit, WAD) * (sum(scans[u] for u in inside) - joint)
    for h in holdings:
        worth = Fraction(h[1] * h[2], WAD)
        equity = [e + worth * (1 - Fraction(cut, WAD)) for e, cut in zip(equity, (h[4], h[3]), strict=True)]
    maintenance = spread + liquidity
    return [maintenance, Fraction(p["initial_factor"], WAD) * maintenance + doubt, *equity]


# A scan range that has moved (M-22) has all of its twelve decimals.
moved_markets = st.builds(
    lambda market, scan_range: replace(
        market, underlyings={n: replace(u, scan_range=scan_range) for n, u in market.underlyings.items()}
    ),
    strategies.markets(),
    strategies.decimals(0.05, 0.6, 12),
)
linear_books = moved_markets.flatmap(
    lambda market: st.tuples(
        st.just(market),
        st.builds(
            lambda book, extra: replace(
                book, positions=tuple(p for p in book.positions if not p.kind.is_option) + extra
            ),
            strategies.books(market, (Mode.PORTFOLIO,)),
            st.lists(strategies.positions(market).filter(lambda p: not p.kind.is_option), max_size=6).map(tuple),
        ),
    )
)


@quick
@given(situation=linear_books, preset=presets)
def test_requirement_and_equity_of_linear_books_are_exact(open_desk, situation, preset):
    """INV-06 without any float: requirements not below the exact ones, equity not above, and hardly apart.

    A price factor may lose one unit of 1e-18, and each of two ratios of M-12 gain one: times a large book that is more
    than the allowance for roundings, if still less than a trillionth of a dollar.
    """
    market, book = situation
    desk = open_desk(market)
    account = desk.account(book)
    assessment, _ = desk.explain(account, preset)
    maintenance, initial, equity_maintenance, equity_initial = exact_linear(account, market, desk.clock, preset)
    highest = max(max(u.spot, u.perp_mark, *(e.forward for e in u.expiries)) for u in market.underlyings.values())
    gross = math.ceil(sum(abs(p.size) * highest for p in book.positions))
    gross += math.ceil(sum(c.amount * c.price for c in book.collateral))
    assert -gross <= assessment.maintenance - maintenance <= ROUNDING + 3 * gross
    assert -2 * gross <= assessment.initial - initial <= 2 * (ROUNDING + 3 * gross)
    assert 0 <= equity_maintenance - assessment.equity_maintenance <= 2 * ROUNDING
    assert 0 <= equity_initial - assessment.equity_initial <= 2 * ROUNDING


@quick
@given(situation=books, preset=presets, mode=st.sampled_from([CROSS, PORTFOLIO]))
def test_engine_and_report_say_the_same(open_desk, situation, preset, mode):
    """Two contracts with one methodology compiled in."""
    market, book = situation
    desk = open_desk(market)
    account = (mode, *desk.account(book)[1:])
    assert (
        chain.call_at(desk.deployment.engines[preset.name].assess, desk.now, account)
        == desk.explain(account, preset)[0]
    )


@quick
@given(situation=books, preset=presets, mode=st.sampled_from([Mode.CROSS, Mode.PORTFOLIO]))
def test_requirement_is_at_least_the_model_s_and_hardly_more(open_desk, situation, preset, mode):
    """INV-06 with options: `Differences` measures every figure in turn."""
    market, book = situation
    desk, book = open_desk(market), replace(book, mode=mode)
    assessment, reports = desk.explain(desk.account(book), preset)
    Differences().compare(assessment, list(reports.values()), NAMES, book, market, preset)


# --- INV-07 ----------------------------------------------------------------------------------------------------------


@quick
@given(situation=books, preset=presets)
def test_scan_is_sub_additive(open_desk, situation, preset):
    """Exactly: the kernel errs leg by leg in the same way. Ten units a part are what its divisions lose."""
    market, book = situation
    desk = open_desk(market)
    account, groups = desk.account(book), numbers(preset)[1]
    whole = desk.explain(account, preset)[1]
    alone = [desk.explain(part, preset)[1] for part in parts(account)]
    slack = 10 * (len(alone) + 1)
    assert total_scan(whole, groups) <= sum(total_scan(reports, groups) for reports in alone) + slack
    for u, r in whole.items():
        assert r.scan <= sum(reports[u].scan for reports in alone if u in reports) + slack


def concentration(desk: Desk, account: Account, whole: Reports, preset: Methodology) -> Fraction:
    """What M-12 charges beyond proportion, over all underlyings: |Delta|S h |Delta|S / D and n h n / D."""
    p = numbers(preset)[0]
    vegas: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for leg in account[4]:
        vegas[leg >> 248][leg >> 216].append(leg)
    total = Fraction(0)
    for u, r in whole.items():
        spot = chain.scaled(desk.market.underlyings[next(n for n in NAMES if NAMES[n] == u)].spot, 18)
        delta = Fraction(abs(r.delta) * spot, WAD)
        by_expiry = [desk.explain((PORTFOLIO, 0, 0, [], legs), preset)[1][u].vega for legs in vegas[u].values()]
        points = Fraction(sum(map(abs, by_expiry)), 100)
        linear = Fraction(delta * p["h_delta"] + points * p["h_vega"], WAD)
        total += max(r.liquidity - linear, 0)
    return total


@quick
@given(situation=books, preset=presets)
def test_portfolio_exceeds_cross_by_its_own_charges_at_most(open_desk, situation, preset):
    """INV-07: by the calendar charges, by what concentration adds to the liquidation cost, and by what M-14 spared.

    A part that the cap of M-14 spares something alone is not always spared it in the whole book, beside a holding.
    """
    market, book = situation
    desk = open_desk(market)
    account = desk.account(book)
    portfolio, whole = desk.explain(account, preset)
    cross, _ = desk.explain((CROSS, *account[1:]), preset)
    spared = 0
    for part in parts(account):
        figures, reports = desk.explain(part, preset)
        for r in reports.values():
            uncapped = max(r.scan + r.calendar + r.vega_calendar, r.short_option) + r.liquidity
            spared += max(uncapped - figures.maintenance, 0)
    own = sum(r.calendar + r.vega_calendar for r in whole.values()) + concentration(desk, account, whole, preset)
    slack = desk.error(book) + 10 * (len(account[4]) + len(account[3]) + 1)
    assert portfolio.maintenance <= cross.maintenance + own + spared + slack


@quick
@given(situation=books)
def test_initial_is_at_least_maintenance(open_desk, situation):
    """INV-07 for every preset and mode, and no charge is negative."""
    market, book = situation
    desk = open_desk(market)
    account = desk.account(book)
    for preset in PRESETS:
        for mode in (CROSS, PORTFOLIO):
            assessment, reports = desk.explain((mode, *account[1:]), preset)
            assert assessment.initial >= assessment.maintenance >= 0
            assert assessment.equity_maintenance >= assessment.equity_initial
            for r in reports.values():
                assert min(getattr(r, charge) for charge in chain.CHARGES) >= 0


# --- INV-08 ----------------------------------------------------------------------------------------------------------


def scaled(account: Account, factor: int) -> Account:
    """Every size and amount times a whole number."""
    mode, cash, cost, holdings, legs = account
    grown = []
    for leg in legs:
        size = (leg >> 80) % 2**64
        size = (size - 2**64 if size >= 2**63 else size) * factor
        grown.append(leg & ~((2**64 - 1) << 80) | (size % 2**64) << 80)
    return mode, cash, cost * factor, [(h[0], h[1] * factor, *h[2:]) for h in holdings], grown


@quick
@given(situation=books, preset=presets, factor=st.sampled_from([2, 3, 10, 997]))
def test_scan_and_calendar_scale_with_the_book(open_desk, situation, preset, factor):
    """Within the units that divisions lose in the small book, times the factor.

    A delta loses two of its units, each worth a forward.
    """
    market, book = situation
    desk = open_desk(market)
    account = desk.account(book)
    one, many = (desk.explain(a, preset)[1] for a in (account, scaled(account, factor)))
    forward = max(e.forward for u in market.underlyings.values() for e in u.expiries)
    slack = 10 * (factor + 1) * (len(account[4]) + len(account[3]) + 1) * math.ceil(forward + 1)
    for u, r in one.items():
        for charge in ("scan", "calendar", "vega_calendar", "short_option", "confidence"):
            assert abs(getattr(many[u], charge) - factor * getattr(r, charge)) <= slack, charge
        assert many[u].liquidity >= factor * r.liquidity - slack


@quick
@given(situation=books, data=st.data())
def test_a_leg_and_its_opposite_change_nothing(open_desk, situation, data):
    """The words are the same after netting, so the engine is asked the same."""
    market, book = situation
    leg = data.draw(strategies.positions(market))
    desk = open_desk(market)
    more = replace(book, positions=(*book.positions, leg, replace(leg, size=-leg.size)))
    assert desk.account(more) == desk.account(book)
    assert desk.explain(desk.account(more)) == desk.explain(desk.account(book))


# --- M-17, M-14 ------------------------------------------------------------------------------------------------------


@quick
@given(
    situation=strategies.markets().flatmap(
        lambda market: st.tuples(st.just(market), strategies.positions(market), strategies.decimals(-1e4, 1e4, 2))
    ),
    preset=presets,
)
def test_modes_agree_on_a_single_position_on_cash(open_desk, situation, preset):
    """To the wei, charges and Greeks included."""
    market, position, cash = situation
    desk = open_desk(market)
    account = desk.account(Book(Mode.PORTFOLIO, cash, (), (position,)))
    isolated, cross, portfolio = (desk.explain((mode, *account[1:]), preset) for mode in (ISOLATED, CROSS, PORTFOLIO))
    assert isolated == cross == portfolio
    engine = desk.deployment.engines[preset.name]
    for mode in (ISOLATED, CROSS, PORTFOLIO):
        assert chain.call_at(engine.assess, desk.now, (mode, *account[1:])) == portfolio[0]


@quick
@given(
    situation=strategies.markets().flatmap(
        lambda market: st.tuples(
            st.just(market),
            st.lists(strategies.positions(market).filter(lambda p: p.kind.is_option), min_size=1, max_size=8),
        )
    ),
    preset=presets,
)
def test_long_options_never_need_more_than_their_value(open_desk, situation, preset):
    """However many of however many underlyings, paid for in full."""
    market, legs = situation
    book = Book(Mode.PORTFOLIO, 0.0, (), tuple(replace(p, size=abs(p.size)) for p in legs))
    desk = open_desk(market)
    assessment, _ = desk.explain(desk.account(book), preset)
    factor = numbers(preset)[0]["initial_factor"]
    worth = max(assessment.option_value, 0)
    assert assessment.maintenance <= worth + desk.error(book)
    assert assessment.initial <= worth + desk.error(book) * factor // WAD + 1


@st.composite
def condors(draw: st.DrawFn) -> tuple[Market, tuple[Position, ...], float, str, int]:
    """A market with flat vols, and a short iron condor in it: legs, width, underlying and expiry."""
    market = draw(strategies.markets())
    name = draw(st.sampled_from(sorted(market.underlyings)))
    u = market.underlyings[name]
    flat = tuple(
        replace(e, svi=replace(e.svi, a=round(draw(strategies.decimals(0.05, 3, 2)) ** 2 * e.svi.ref_tau, 12), b=0.0))
        for e in u.expiries
    )
    market = replace(market, underlyings={**market.underlyings, name: replace(u, expiries=flat)})
    e = draw(st.sampled_from(flat))
    size = draw(strategies.logarithmic(-6, 3, 6))
    step = max(round(e.forward * draw(strategies.decimals(0.01, 0.2, 2)), 6), 1e-6)
    middle = max(round(e.forward * draw(strategies.decimals(0.8, 1.2, 2)), 6), 4 * step)
    rows = [(Kind.PUT, -2, 1), (Kind.PUT, -1, -1), (Kind.CALL, 1, -1), (Kind.CALL, 2, 1)]
    legs = tuple(Position(name, kind, sign * size, e.expiry, round(middle + at * step, 6)) for kind, at, sign in rows)
    strikes = [p.strike or 0.0 for p in legs]
    width = size * max(strikes[1] - strikes[0], strikes[3] - strikes[2])
    return market, legs, width, name, e.expiry


@quick
@given(condor=condors(), preset=presets)
def test_an_iron_condor_never_needs_more_than_its_width(open_desk, condor, preset):
    """What it needs beside the premium that it took in, too."""
    market, legs, width, name, expiry = condor
    book = Book(Mode.PORTFOLIO, 0.0, (), legs)
    desk = open_desk(market)
    assessment, _ = desk.explain(desk.account(book), preset)
    e = market.underlyings[name].at(expiry)
    most = chain.wad(width * float(mpmath.exp(-mpmath.mpf(e.rate) * market.tau(expiry))) * (1 + 1e-14)) + 1
    error = 2 * desk.error(book)
    factor = numbers(preset)[0]["initial_factor"]
    assert assessment.maintenance <= most + error
    assert assessment.initial <= most + error * factor // WAD
    assert assessment.initial - assessment.option_value <= most + error * factor // WAD
