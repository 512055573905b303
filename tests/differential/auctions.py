"""The liquidation contract, asked about accounts made up for it, against the model: price, slice, payments, and after.

The clearing house is there, so that it may be told apart from others, but holds none of the accounts: what it would
ask, `award`, is asked in its name of any account on any published market, at any time of an auction. An auction is
started by a transaction, and every bid is a call, so that each is judged on the same state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from python_model import liquidation
from python_model.liquidation import BidError, Figures, Sale, Terms
from python_model.methodology import Methodology
from python_model.portfolio import Book, Kind, Market
from scripts import chain, protocol
from tests.differential import planting
from tests.differential.comparison import figures_tolerance

WAD = 10**18
TERMS = Terms()
# Nothing of them needs market data: 0.5 USD of debt with a token that is worth a dollar to whoever buys and a dime to
# margin; and a debt alone.
SOLVENT_STATE = (2, -WAD // 2, 0, [(0, WAD, WAD, 9 * WAD // 10, 9 * WAD // 10)], [])
DEAD_STATE = (2, -WAD, 0, [], [])
# A starter and bidder that nobody knows.
BIDDER = 7
# Of the engine's figures, which are rounded by up to 1e4 of 1e-18 each (`portfolio.ROUNDING`), some times 1.25.
ROUNDING = 10**5
# Roundings of the contract's fractions of 1e-18, and of the doubles of the model: relative.
RELATIVE = 1e-13


@dataclass(frozen=True)
class Auctions:
    """Auctions of accounts without anything, started at the same time, in each state that one may be in."""

    solvent: int
    dead: int
    late: int  # first started when its time was over
    deleveraged: int
    none: int


@dataclass(frozen=True)
class Case:
    """A bid for an account and what the model says of it: a sale, or why not.

    `elapsed` is since the start of the auction. At an edge, contract and model may differ in whether they sell.
    """

    name: str
    account: int
    elapsed: int
    fund: float
    bid: dict[str, Any]
    answer: Sale | str
    edge: bool = False
    entry: int = 0  # what the legs of a bid for some cost, entered at 0 in the model, with the funding of the chain


class Bench:
    """A liquidation contract with a house to speak for, and the engine that it asks."""

    def __init__(self, contracts: Any, deployment: chain.Deployment, ape_chain: Any, bytecode: dict[str, str]) -> None:
        self.deployment, self.ape_chain = deployment, ape_chain
        owner = deployment.sender
        self.house = owner.deploy(contracts.ClearingHouse)
        terms = tuple(protocol.LIQUIDATION.values())
        self.contract = planting.deploy(contracts, owner, "Liquidation", bytecode, self.house, terms)
        self.contract.set_deleveraging(owner, sender=owner)
        self.web3 = ape_chain.provider.web3
        self.request("anvil_impersonateAccount", self.house.address)
        self.request("anvil_setBalance", self.house.address, hex(10**24))
        self.next = 100

    def request(self, method: str, *arguments: Any) -> Any:
        """What the node answers; RuntimeError with its message where it fails."""
        answer = self.web3.provider.make_request(method, list(arguments))
        if "error" in answer:
            raise RuntimeError(answer["error"].get("message", str(answer["error"])))
        return answer["result"]

    def transaction(self, engine: Any, account: int, state: Any, fund: float, bid: bytes) -> dict[str, str]:
        """`award` in the name of the house."""
        fixed = (engine, self.deployment.market_data)
        data = self.contract.award.encode_input(account, BIDDER, state, True, 0, chain.wad(fund), *fixed, bid)
        return {"from": self.house.address, "to": self.contract.address, "data": "0x" + bytes(data).hex()}

    def start(self, time: int, *bids: tuple[int, Any]) -> None:
        """Start auctions in one block each, a second apart, the first at a time."""
        engine = next(iter(self.deployment.engines.values()))
        for i, (account, state) in enumerate(bids):
            self.ape_chain.pending_timestamp = time + i
            sent = self.transaction(engine, account, state, 0.0, protocol.bid(protocol.START))
            receipt = self.web3.eth.wait_for_transaction_receipt(
                self.request("eth_sendTransaction", {**sent, "gas": hex(10**6)})
            )
            assert receipt["status"] == 1

    def open(self) -> Auctions:
        """Auctions in each state, all started or marked within seconds of the last block."""
        a = Auctions(*range(self.next, self.next + 5))
        self.next += 5
        begin = int(self.ape_chain.blocks.head.timestamp) + 10
        self.start(begin, (a.late, SOLVENT_STATE))
        now = begin + TERMS.solvent_seconds + 1
        self.start(now, *((account, SOLVENT_STATE) for account in (a.late, a.solvent)))
        self.start(now + 2, *((account, DEAD_STATE) for account in (a.dead, a.deleveraged)))
        self.contract.set_deleveraged(a.deleveraged, sender=self.deployment.sender)
        return a

    def publish(self, market: Market, later: int) -> tuple[chain.Clock, int]:
        """Publish a market so much later; its clock, and the time that is the market's."""
        now = int(self.ape_chain.blocks.head.timestamp) + later
        self.ape_chain.pending_timestamp = now
        clock = chain.publish(self.deployment, market, now)
        return clock, clock.chain(market.as_of)

    def ages(self, a: Auctions, time: int) -> tuple[int, int, int, int, int]:
        """Seconds since each auction was started or marked, in the order of `Situation`."""
        solvent, dead, deleveraged, late = (
            self.contract.auction_of(i) for i in (a.solvent, a.dead, a.deleveraged, a.late)
        )
        assert solvent.marked == 0
        assert dead.started == dead.marked
        assert deleveraged.started == deleveraged.marked <= deleveraged.deleveraged
        overdue = late.marked - late.started - TERMS.solvent_seconds
        return (
            time - solvent.started,
            time - dead.marked,
            time - deleveraged.marked,
            time - late.marked,
            overdue,
        )

    def ask(self, preset: str, time: int, state: Any, case: Case) -> Any:
        """The contract's answer to a case: the award, or why there is none."""
        engine = self.deployment.engines[preset]
        sent = self.transaction(engine, case.account, state, case.fund, protocol.bid(**case.bid))
        block = {"time": hex(time), "gasLimit": hex(chain.CALL_GAS)}
        try:
            answer = self.request("eth_call", {**sent, "gas": hex(chain.CALL_GAS)}, "latest", {}, block)
        except RuntimeError as error:
            return str(error).rpartition("liquidation: ")[2]
        ecosystem = self.ape_chain.provider.network.ecosystem
        return ecosystem.decode_returndata(self.contract.award.abis[0], bytes.fromhex(answer[2:]))[0]


@dataclass(frozen=True)
class Situation:
    """An account on a market, as the model sees it, and what its auction is asked."""

    book: Book
    market: Market
    methodology: Methodology
    solvent_seconds: (
        int  # since each auction was started; the late one since it was marked, `start_of_late` after its time
    )
    dead_seconds: int
    deleveraged_seconds: int
    late_seconds: int
    start_of_late: int
    fraction: Fraction
    leg: float  # which leg a bidder wants, and with `fraction` how much of it
    loss: float  # of what the account loses by the largest slice, at which it does
    funding: float  # of the chain, by which its premium exceeds that of the model, which has none; USD

    @property
    def flat(self) -> Book:
        """The account without entries."""
        return liquidation.without_entries(self.book, self.market)

    @property
    def figures(self) -> Figures:
        """Of the account."""
        return liquidation.figures(self.flat, self.market, self.methodology)

    @property
    def tolerance(self) -> float:
        """Of each figure, USD."""
        return figures_tolerance(self.book, self.market, self.methodology)


def answer(function: Any, *arguments: Any, **named: Any) -> Sale | str:
    """What the model says: a sale, or why not."""
    try:
        sale = function(*arguments, **named)
    except BidError as refusal:
        return str(refusal)
    assert isinstance(sale, Sale)
    return sale


def slice_tolerance(s: Situation, elapsed: int) -> float:
    """Of the largest slice.

    By m / (m + n), m being IM - E, which errs by 2 tolerances, and n being NV times at most 1: at most 3 tolerances
    over m + n. By least / NV, where that is less than 1: at most a tolerance, and ten
    times what the premiums differ by, over NV.
    """
    f = s.figures
    off = liquidation.discount(elapsed, TERMS)
    missing = f.initial - f.equity_initial
    kept = f.net_value * (1.0 - off - liquidation.fee_rate(off, TERMS))
    error = 3.0 * s.tolerance + liquidation.PREMIUMS * s.funding
    return error / max(min(missing + kept, f.net_value), s.tolerance) + RELATIVE


def cases(s: Situation, a: Auctions, names: dict[str, int], clock: chain.Clock) -> Iterator[Case]:
    """Bids of each kind."""
    book, f, share = s.flat, s.figures, int(s.fraction * WAD)
    common = (book, s.market, f)
    for name, account, elapsed, fraction in (
        ("solvent", a.solvent, s.solvent_seconds, WAD),
        ("solvent", a.solvent, s.solvent_seconds, share),
        ("too small", a.solvent, s.solvent_seconds, WAD // 10 - 1),
        ("not started", a.none, 0, share),
    ):
        sale = answer(liquidation.solvent, *common, elapsed, Fraction(fraction, WAD))
        yield Case(name, account, elapsed, 0.0, {"kind": protocol.SOLVENT, "fraction": fraction}, sale)
    late = TERMS.solvent_seconds + s.late_seconds + s.start_of_late
    for name, account, elapsed, marked, deleveraged in (
        ("insolvent", a.dead, s.dead_seconds, s.dead_seconds, False),
        ("late", a.late, late, s.late_seconds, False),
        ("deleveraged", a.deleveraged, s.deleveraged_seconds, s.deleveraged_seconds, True),
        ("not marked", a.solvent, s.solvent_seconds, None, False),
    ):
        for fraction in (WAD, share):
            part = Fraction(fraction, WAD)
            bid = {"kind": protocol.INSOLVENT, "fraction": fraction}
            rich = answer(liquidation.insolvent, *common, elapsed, marked, 1e30, part, deleveraged)
            # The fund has a bit more than is asked for, or a bit less.
            paid = max(-rich.price, 0.0) if isinstance(rich, Sale) else 0.0
            for fund in {paid * 1.001 + 4 * s.tolerance, max(paid * 0.999 - 4 * s.tolerance, 0.0)}:
                sale = answer(liquidation.insolvent, *common, elapsed, marked, fund, part, deleveraged)
                yield Case(name, account, elapsed, fund, bid, sale, paid < 4 * s.tolerance)
    for fund in (0.0, 1e6):
        yield start(s, a, fund)
    if book.positions:
        yield targeted(s, a, names, clock)


def start(s: Situation, a: Auctions, fund: float) -> Case:
    """The start of an auction: a reward, of one or the other."""
    of_account, of_fund = liquidation.reward(s.figures, fund, TERMS)
    sale = Sale(Fraction(0), (), -of_account, of_account + of_fund, -of_fund, 0.0, 0.0, float("-inf"), False)
    due = min(TERMS.reward, TERMS.reward_share * s.figures.maintenance)
    edge = abs(s.figures.net_value - due) <= 2 * s.tolerance
    return Case("start", a.none, 0, fund, {"kind": protocol.START}, sale, edge)


def targeted(s: Situation, a: Auctions, names: dict[str, int], clock: chain.Clock) -> Case:
    """A bid for a part of a leg, at the mark less a loss, of which the fee takes a part."""
    book, f = s.flat, s.figures
    off = liquidation.discount(s.solvent_seconds, TERMS)
    rounding = liquidation.premium(book, s.market)
    most = liquidation.largest_slice(f, off, rounding, TERMS) * f.net_value * off if f.net_value > 0.0 else 0.0
    leg = book.positions[min(int(s.leg * len(book.positions)), len(book.positions) - 1)]
    package = liquidation.part((leg,), s.fraction) or (leg,)
    rest = replace(book, positions=liquidation.less(book.positions, package))
    value = f.net_value - liquidation.figures(rest, s.market, s.methodology).net_value
    price = round(value - s.loss * most, 6)
    # At which price it is entered is between the bidder and the account: it pays the rest at once.
    cost = 0.0 if leg.kind.is_option else round(price / 3, 6)
    entry = chain.cost(package, s.market, names, clock)
    bid = {
        "kind": protocol.TARGETED,
        "package": [chain.position_word(p, names, clock) for p in package],
        "cost": chain.wad(cost) + entry,
        "max_price": chain.wad(price) - chain.wad(cost),
    }
    call = (book, s.market, s.methodology, s.solvent_seconds, package, price)
    sale = answer(liquidation.targeted, *call)
    edge = not liquidation.is_dead(f, s.solvent_seconds, TERMS) and is_close(s, *call)
    return Case("targeted", a.solvent, s.solvent_seconds, 0.0, bid, sale, edge, entry)


def is_close(s: Situation, *call: Any) -> bool:
    """Whether a bid for some legs is so near the edge of a rule that contract and model may judge it differently.

    With d of each figure, at a fee of at most half of what is given: a gain errs by 6 d, a loss by 3 d, E - IM by 3 d.
    """
    d, f = s.tolerance, s.figures
    x = liquidation.trial(*call, TERMS)
    slices = slice_tolerance(s, s.solvent_seconds)
    limit = x.most_loss / x.lost
    rule = 6 * d * abs(x.lost) + abs(x.gain) * d + 3 * d * abs(x.by_slice) + abs(x.loss) * 4 * d
    span = abs(f.initial - f.equity_initial) + abs(f.net_value)
    return (
        abs(x.gain) <= 6 * d
        or abs(x.gain * x.lost - x.loss * x.by_slice) <= rule
        or abs(x.loss - x.most_loss) <= 4 * d + slices * abs(x.lost)
        or (limit != 1.0 and 1.0 - limit <= slices)
        or abs(x.above - x.most_above) <= 6 * d + slices * span + s.funding
    )


def near(name: str, got: int, want: float, tolerance: float) -> None:
    """Money of the contract against the model's."""
    error = abs(chain.as_float(got) - want)
    assert error <= tolerance, (
        f"{name}: contract {chain.as_float(got)!r}, model {want!r}, off by {error:.3e} > {tolerance:.3e}"
    )


def proportion(amount: int, fraction: int) -> int:
    """A fraction of an amount, towards zero."""
    part = abs(amount) * fraction // WAD
    return part if amount >= 0 else -part


def paid_funding(bench: Bench, time: int, legs: list[int]) -> float:
    """What the funding of a millionth of each perpetual is, USD."""
    perps = (word for word in legs if (word >> 144) & 255 == chain.KINDS[Kind.PERP])
    paid = (chain.call_at(bench.deployment.market_data.funding, time, word >> 248) for word in perps)
    return sum(abs(chain.as_float(amount)) for amount in paid) / liquidation.SIZE


def uncut(bench: Bench, time: int, fraction: int, legs: list[int]) -> float:
    """What the funding of the chain is for the part of perpetuals that cutting moves, or not; USD.

    Their cost goes in proportion, to the unit, and their sizes do not; in the model there was no funding before.
    """
    total = 0.0
    for word in legs:
        if (word >> 144) & 255 == chain.KINDS[Kind.PERP]:
            paid = chain.as_float(chain.call_at(bench.deployment.market_data.funding, time, word >> 248))
            moved = proportion(size(word), fraction)
            total += abs(size(word) * fraction / WAD - moved) / liquidation.SIZE * abs(paid)
    return total


def compare(bench: Bench, preset: str, time: int, state: Any, s: Situation, case: Case) -> bool:
    """Assert that the contract answers as the model; whether it sold."""
    got, want = bench.ask(preset, time, state, case), case.answer
    if isinstance(got, str) or isinstance(want, str):
        both = f"{case.name}: contract {got!r:.300}, model {want!r:.300}"
        assert case.edge or got == want, both
        return False
    assert got.account_cash + got.bidder_cash + got.fund_cash == 0
    _, cash, cost, holdings, legs = state
    d = s.tolerance
    # Exactly: the slice, and each size and cost of it.
    fraction = int(got.fraction)
    slices = 0.0
    if case.name in ("start", "targeted"):
        assert fraction == 0
        assert list(got.package) == case.bid.get("package", [])
        assert got.cost == case.bid.get("cost", 0)
        moved_cash = 0
    else:
        asked = Fraction(case.bid["fraction"], WAD)
        if want.fraction != asked or fraction != case.bid["fraction"]:
            slices = slice_tolerance(s, case.elapsed)
        assert abs(float(Fraction(fraction, WAD) - want.fraction)) <= slices, (
            case.name,
            "fraction",
            fraction,
            want.fraction,
        )
        sizes = [chain.scaled(p.size, 6) for p in liquidation.part(s.flat.positions, Fraction(fraction, WAD))]
        assert sorted(sizes) == sorted(size(word) for word in got.package), (case.name, "sizes")
        # Words of the book in its order, those left out of which nothing would move.
        moving = [word for word in legs if proportion(size(word), fraction) != 0]
        for word, whole in zip(got.package, moving, strict=True):
            assert (word ^ whole) & ~SIZE_MASK == 0
            assert size(word) == proportion(size(whole), fraction), (case.name, "size")
        assert got.cost == proportion(cost, fraction)
        moved_cash = proportion(cash, fraction)
    # Of prices: net value errs by d, once with the discount and once with the time passed, and so does the requirement.
    money = abs(chain.as_float(cash)) + abs(chain.as_float(cost)) + sum(a * p for _, a, p, *_ in holdings) / WAD**2
    span = abs(s.figures.net_value) + abs(s.figures.initial) + abs(s.figures.equity_initial) + money
    within = 3 * d + slices * span + RELATIVE * span + 1e-15 + s.funding
    near(
        f"{case.name}: price",
        moved_cash - got.bidder_cash if case.name != "start" else 0,
        want.price - (chain.as_float(got.cost - case.entry) if case.name == "targeted" else 0.0),
        within,
    )
    # What goes with a slice of cash and cost is exact, and the contract's perpetuals are entered at another funding.
    share = moved_cash
    model_share = float(want.fraction) * s.flat.cash
    entered = got.cost - case.entry if case.name == "targeted" else 0
    near(f"{case.name}: account", got.account_cash + share + entered, want.account + model_share, within)
    near(f"{case.name}: bidder", got.bidder_cash - share - entered, want.bidder - model_share, within)
    near(f"{case.name}: fund", got.fund_cash, want.fund, within)
    if want.needs == float("inf"):
        assert got.needs == 2**255 - 1
    elif want.needs == float("-inf"):
        assert got.needs == -(2**255)
    else:
        near(f"{case.name}: needs", got.needs, want.needs, 2 * within)
        afterwards(bench, preset, time, state, s, case, got, within)
    return True


SIZE_MASK = (2**64 - 1) << 80


def size(word: int) -> int:
    """Size of a word, 1e-6 units."""
    field = (word >> 80) & (2**64 - 1)
    return field - 2**64 if field >= 2**63 else field


def resized(word: int, units: int) -> int:
    """The word with another size."""
    return (word & ~SIZE_MASK) | ((units % 2**64) << 80)


def afterwards(
    bench: Bench, preset: str, time: int, state: Any, s: Situation, case: Case, got: Any, within: float
) -> None:
    """The account and a bidder with cash alone after a slice, by the engine and by the model (INV-09)."""
    mode, cash, cost, holdings, legs = state
    engine = bench.deployment.engines[preset]
    fraction = int(got.fraction)
    funding = uncut(bench, time, fraction, legs)
    gone = {word >> 144: size(word) for word in got.package}
    left = {word: size(word) - gone.get(word >> 144, 0) for word in legs}
    rest = [resized(word, amount) for word, amount in left.items() if amount != 0]
    kept = [(u, amount - amount * fraction // WAD, *more) for u, amount, *more in holdings]
    before = chain.call_at(engine.assess, time, state)
    after = chain.call_at(
        engine.assess, time, (mode, cash + got.account_cash, cost - got.cost, kept if fraction != WAD else [], rest)
    )
    assert isinstance(case.answer, Sale)
    sale = replace(
        case.answer,
        fraction=Fraction(fraction, WAD),
        package=liquidation.part(s.flat.positions, Fraction(fraction, WAD)),
    )
    want = liquidation.figures(liquidation.remaining(s.flat, sale), s.market, s.methodology)
    for key in ("maintenance", "initial", "equity_maintenance", "equity_initial", "net_value"):
        near(f"{case.name}: {key} afterwards", getattr(after, key), getattr(want, key), s.tolerance + within + funding)
    lost = (before.equity_maintenance - before.maintenance) - (after.equity_maintenance - after.maintenance)
    assert lost <= ROUNDING, f"{case.name}: INV-09, E - MM fell by {chain.as_float(lost)!r}"
    taken = [(u, amount * fraction // WAD, *more) for u, amount, *more in holdings]
    bidder = chain.call_at(engine.assess, time, (mode, got.needs + got.bidder_cash, got.cost, taken, list(got.package)))
    missing = bidder.initial - bidder.equity_initial
    assert missing <= 0, f"{case.name}: a bidder with its needs lacks {chain.as_float(missing)!r}"
