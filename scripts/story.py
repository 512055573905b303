"""What the demo is made of: a protocol on a chain whose clock follows history, its users, and what they do.

Times are those of the snapshots, seconds since 1970; the chain lives a whole number of weeks later. Money is in USD.
Every figure of a contract is put beside the float model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from python_model import fees, listing, margin, scenarios, settlement
from python_model.exposure import mark
from python_model.methodology import Methodology
from python_model.portfolio import Book, Collateral, Kind, Market, Mode, Position
from scripts import chain, protocol
from scripts.market_path import Path
from scripts.protocol import Protocol, Staked

# Doubles err by 1.1e-16 an operation; a figure takes fewer than a thousand on numbers of the size of the gross book.
NOISE = 1e-12
# Fixed point: 1e-18 a truncating division.
DUST = 1e-12
KINDS = {number: kind for kind, number in chain.KINDS.items()}
MODES = {number: mode for mode, number in chain.MODES.items()}
# Of `IClearingHouse.Action`.
DEPOSIT, WITHDRAW, TRADE = 0, 1, 3
NOBODY = "0x" + "00" * 20
# ETH that a wrapped staked ether is worth by its own contract, and what the market pays for that.
STAKED_RATE, STAKED_PEG = 1.21, 0.9985


@dataclass
class Agreement:
    """How far the contracts were from the model, over all figures compared."""

    count: int = 0
    largest: float = 0.0
    share: float = 0.0

    def see(self, contract: float, model: float, allowed: float) -> float:
        """Remember one pair of figures and what they may differ by; the difference."""
        self.count += 1
        self.largest = max(self.largest, abs(contract - model))
        self.share = max(self.share, abs(contract - model) / allowed)
        return abs(contract - model)

    @property
    def holds(self) -> bool:
        """Whether every figure is within what is allowed."""
        return self.share <= 1.0


@dataclass(frozen=True)
class Allowed:
    """What contract and model may differ by, USD: the kernel's bound (M-16) and the noise of the model's doubles.

    A requirement may be `4 epsilon sum |q|(F+K)` above the exact one, the initial one `f` times that; values and
    profits err by less than `epsilon sum |q|(F+K)`; cash is exact on the chain.
    """

    requirement: float
    value: float
    cash: float

    @staticmethod
    def of(book: Book, market: Market, methodology: Methodology) -> Allowed:
        """The bounds of a book."""
        notional = chain.error_notional(book, market)
        spots = {name: u.spot for name, u in market.underlyings.items()}
        gross = notional + abs(book.cash) + sum(c.amount * c.price for c in book.collateral)
        gross += sum(2 * abs(p.size) * spots[p.underlying] for p in book.positions)
        noise = NOISE * gross + DUST
        price = chain.EPSILON * notional
        return Allowed(methodology.initial_factor * (4 * price + noise), price + noise, noise)


@dataclass(frozen=True)
class Actor:
    """A user with one account."""

    name: str
    owner: Any
    account: int


@dataclass(frozen=True)
class Standing:
    """An account at one moment, by the contracts: cash, net value without haircuts, equities and requirements, USD.

    `book` is what the account holds, `difference` the largest between contract and model.
    """

    cash: float
    net_value: float
    equity_initial: float
    equity_maintenance: float
    initial: float
    maintenance: float
    book: Book
    difference: float


@dataclass
class Stage:
    """The protocol, the market that was published last and its time, and what happened so far.

    `ledger` is the cash less cost of each actor by the model's own book-keeping, USD. `course` is every spot that was
    published, with its time, by underlying.
    """

    protocol: Protocol
    staked: Staked
    methodology: Methodology
    path: Path
    clock: chain.Clock
    sender: Any
    market: Market
    agreement: Agreement = field(default_factory=Agreement)
    actors: dict[str, Actor] = field(default_factory=dict)
    ledger: dict[str, float] = field(default_factory=dict)
    gas: dict[str, int] = field(default_factory=dict)
    course: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    nonce: int = 0

    @property
    def time(self) -> int:
        """Of the market that was published last."""
        return self.market.as_of

    @property
    def tokens(self) -> dict[int, Any]:
        """What may be deposited, by kind of collateral."""
        p = self.protocol
        return {protocol.QUOTE: p.quote, protocol.WETH: p.weth, self.staked.kind: self.staked.token}

    def spend(self, step: str, receipt: Any) -> Any:
        """Note the gas of a step, the first time that it is taken; the receipt."""
        self.gas.setdefault(step, receipt.gas_used)
        return receipt

    def view(self, function: Any, *arguments: Any) -> Any:
        """Call a view as of the market's own second, so that times to expiry are exact."""
        return chain.call_at(function, self.clock.chain(self.time), *arguments)

    def publish(self, time: int) -> None:
        """Move the chain to a time and publish the market of that moment."""
        market = self.path.at(time)
        stamp = self.clock.chain(time)
        self.sender.provider.set_timestamp(stamp)
        for name, u in market.underlyings.items():
            update = chain.update(self.protocol.names[name], u, stamp, self.clock)
            receipt = self.protocol.market_data.publish(update, sender=self.sender)
            first = ", first time" if time == self.path.anchors[0].as_of else ""
            self.spend(f"publish {name} with {len(u.expiries)} expiries{first}", receipt)
            self.course.setdefault(name, []).append((time, u.spot))
        self.market = self.fixed(market)

    def fixed(self, market: Market) -> Market:
        """A market whose forwards are fixed as far as their settlement prices are, by the spots that were published."""
        rows = {}
        for name, u in market.underlyings.items():
            times, spots = (np.array(row) for row in zip(*self.course[name], strict=True))
            read = tuple(settlement.as_read(e, times, spots, market.as_of) for e in u.expiries)
            rows[name] = replace(u, expiries=read)
        return replace(market, underlyings=rows)


def set_stage(contracts: Any, sender: Any, methodology: Methodology, path: Path) -> Stage:
    """Deploy the protocol and publish the first market of a path, on a chain with a block a second."""
    start = path.anchors[0].as_of
    names = chain.ids(path.anchors[0].underlyings)
    tokens = protocol.deploy_tokens(contracts, sender)
    # Between two snapshots prices follow a line, which has no volatility: the scan range is that of the snapshots.
    (scan_range,) = {u.scan_range for anchor in path.anchors for u in anchor.underlyings.values()}
    terms = chain.fixed_terms(scan_range)
    deployed = protocol.deploy(contracts, sender, methodology, names, tokens, terms=terms, trusted=True)
    staked = protocol.list_staked(contracts, sender, deployed, STAKED_RATE, STAKED_PEG)
    sender.provider.make_request("anvil_setBlockTimestampInterval", [1])
    head = sender.provider.get_block("latest").timestamp
    # Whole weeks, so that time of day and calendar stay what they were: what was listed then is listed.
    times = {e.expiry for u in path.anchors[0].underlyings.values() for e in u.expiries}
    clock = chain.Clock(listing.shift(start, times, head))
    stage = Stage(deployed, staked, methodology, path, clock, sender, path.anchors[0])
    stage.publish(start)
    return stage


# --------------------------------------------------------------------------------------------- what the chain holds


def unpack(word: int, names: dict[str, int], clock: chain.Clock) -> Position:
    """The position of a word (`contracts/libraries/position.vy`).

    A perpetual or future gets an entry of zero: what it cost stands in the account's `cost`, which `book_of` takes from
    its cash.
    """
    of = {number: name for name, number in names.items()}
    kind = KINDS[(word >> 144) & 0xFF]
    size = (word >> 80) & (2**64 - 1)
    size -= 2**64 if size >> 63 else 0
    return Position(
        of[word >> 248],
        kind,
        chain.as_float(size, 6),
        None if kind is Kind.PERP else ((word >> 216) & (2**32 - 1)) - clock.shift,
        chain.as_float((word >> 152) & (2**64 - 1), 6) if kind.is_option else None,
        None if kind.is_option else 0.0,
    )


def book_of(stage: Stage, actor: Actor) -> Book:
    """An account as the model sees it, read from the clearing house."""
    state = stage.view(stage.protocol.clearing_house.portfolio, actor.account)
    return decoded(state, stage.protocol.names, stage.clock)


def decoded(state: Any, names: dict[str, int], clock: chain.Clock) -> Book:
    """The book in an `IMarginEngine.Account`."""
    of = {number: name for name, number in names.items()}
    holdings = tuple(
        Collateral(
            amount=chain.as_float(h.amount),
            price=chain.as_float(h.price),
            underlying=of.get(h.underlying),
            haircut_initial=chain.as_float(h.haircut_initial),
            haircut_maintenance=chain.as_float(h.haircut_maintenance),
        )
        for h in state.holdings
    )
    legs = tuple(unpack(word, names, clock) for word in state.legs)
    return Book(MODES[state.mode], chain.as_float(state.cash - state.cost), holdings, legs)


def standing(stage: Stage, actor: Actor) -> Standing:
    """An account now, contract and model compared."""
    state = stage.view(stage.protocol.clearing_house.portfolio, actor.account)
    figures = stage.view(stage.protocol.clearing_house.assess, actor.account)
    book = decoded(state, stage.protocol.names, stage.clock)
    model = margin.assess(book, stage.market, stage.methodology)
    allowed = Allowed.of(book, stage.market, stage.methodology)
    contract, differences = {}, [stage.agreement.see(book.cash, stage.ledger[actor.name], allowed.cash)]
    for key in ("equity_initial", "equity_maintenance", "initial", "maintenance"):
        bound = allowed.value if key.startswith("equity") else allowed.requirement
        contract[key] = chain.as_float(getattr(figures, key))
        differences.append(stage.agreement.see(contract[key], getattr(model, key), bound))
    return Standing(
        cash=chain.as_float(state.cash),
        net_value=chain.as_float(figures.net_value),
        book=book,
        difference=max(differences),
        **contract,
    )


# What `explain` gives: the contract's figures as in a result file (`scripts.chain.result`) with `capital`, the model's
# assessment, the largest difference of their money, and what that may be, USD.
Told: TypeAlias = tuple[dict[str, Any], margin.Assessment, float, float]


def explain(stage: Stage, book: Book) -> Told:
    """A book in portfolio mode by `MarginReport.explain` and by the model, and its capital in every mode."""
    p = stage.protocol
    accounts = {
        mode: chain.account(replace(book, mode=mode), stage.market, p.names, stage.clock)
        for mode in (Mode.CROSS, Mode.PORTFOLIO)
    }
    assessment, reports = stage.view(p.report.explain, accounts[Mode.PORTFOLIO])
    cross = stage.view(p.engine.assess, accounts[Mode.CROSS])
    contract = chain.result(assessment, reports, p.names)
    contract["capital"] = chain.capital(assessment, cross)
    model = margin.assess(replace(book, mode=Mode.PORTFOLIO), stage.market, stage.methodology)
    allowed, see = Allowed.of(book, stage.market, stage.methodology), stage.agreement.see
    both = allowed.requirement + allowed.value
    money = [see(contract[key], getattr(model, key), allowed.requirement) for key in ("maintenance", "initial")]
    money.append(see(contract["option_value"], model.option_value, allowed.value))
    money += [see(contract["capital"][mode], getattr(model.capital, mode), both) for mode in contract["capital"]]
    for u, pnl in model.scenario_pnl.items():
        money += [see(a, b, allowed.value) for a, b in zip(contract["scenario_pnl"][u], pnl, strict=True)]
    return contract, model, max(money), both


def in_words(stage: Stage, name: str, scenario: int) -> str:
    """A scenario of an underlying for people."""
    return scenarios.in_words(stage.methodology, scenario, stage.market.underlyings[name].scan_range)


def marks(positions: Sequence[Position], market: Market) -> list[float]:
    """Prices of instruments at the model's marks, USD for one unit, in whole cents."""
    return [round(mark(p, market), 2) for p in positions]


def premium(positions: Sequence[Position], market: Market) -> float:
    """What a taker receives for the options of a package at the marks, USD; negative where it pays."""
    prices = marks(positions, market)
    return -sum(p.size * price for p, price in zip(positions, prices, strict=True) if p.kind.is_option)


# ------------------------------------------------------------------------------------------------ what users do


def join(stage: Stage, name: str, owner: Any, usd: float = 0.0, ether: float = 0.0, staked: float = 0.0) -> Actor:
    """Open an account in portfolio mode, and fund it; tokens are minted to the owner first."""
    p = stage.protocol
    receipt = p.clearing_house.create_account(chain.MODES[Mode.PORTFOLIO], sender=owner)
    stage.spend("open an account", receipt)
    account = int(receipt.events.filter(p.clearing_house.AccountCreated)[0].account)
    actor = stage.actors[name] = Actor(name, owner, account)
    stage.ledger[name] = usd
    for (kind, token), amount in zip(stage.tokens.items(), (usd, ether, staked), strict=True):
        if amount:
            units = provide(stage, actor, kind, amount)
            receipt = p.clearing_house.deposit(account, kind, units, sender=owner)
            stage.spend(f"deposit {token.symbol()}", receipt)
    return actor


def provide(stage: Stage, actor: Actor, kind: int, amount: float) -> int:
    """Mint tokens to an owner, who lets the clearing house take them; token units."""
    token = stage.tokens[kind]
    units = chain.scaled(amount, token.decimals())
    token.mint(actor.owner, units, sender=actor.owner)
    token.approve(stage.protocol.clearing_house, units, sender=actor.owner)
    return units


def quote(stage: Stage, taker: Actor, maker: Actor, positions: Sequence[Position]) -> bytes:
    """A maker's signed quote of a package at the marks, with the order of the taker who takes it by calling.

    `positions` are what the taker receives.
    """
    package = protocol.legs(stage.protocol, positions, marks(positions, stage.market), stage.clock)
    stage.nonce += 1
    quoted = protocol.Order(
        maker.account,
        protocol.opposite(package),
        max_fee=most(fee(stage, positions, fees.HOUSE.maker)),
        counterparty=taker.account,
        nonce=stage.nonce,
        deadline=stage.clock.chain(stage.time) + chain.HEARTBEAT_SECONDS,
    )
    taken = protocol.Order(taker.account, package, max_fee=most(fee(stage, positions, fees.HOUSE.taker)))
    return protocol.submission(
        protocol.signed(stage.protocol, maker.owner, quoted), protocol.Consent(taken, taker.owner.address)
    )


def fee(stage: Stage, positions: Sequence[Position], rate: float) -> float:
    """What a side pays for a package at the marks by the model, USD."""
    return sum(
        fees.fee(p, price, stage.market.underlyings[p.underlying].spot, rate, fees.HOUSE.premium_cap)
        for p, price in zip(positions, marks(positions, stage.market), strict=True)
    )


def collected(stage: Stage) -> float:
    """All fees so far, USD."""
    receiver = stage.protocol.exchange.fee_schedule().account
    return chain.as_float(stage.protocol.clearing_house.cash(receiver))


def most(usd: float) -> int:
    """A fee as the limit of an order, 1e-18 USD: up to the next cent, as it is rounded up on the chain."""
    return (int(usd * 100) + 1) * 10**16


def enter(stage: Stage, taker: Actor, maker: Actor, positions: Sequence[Position]) -> None:
    """Enter a trade at the marks into the model's own books, and its fees."""
    value = sum(p.size * price for p, price in zip(positions, marks(positions, stage.market), strict=True))
    stage.ledger[taker.name] -= value + fee(stage, positions, fees.HOUSE.taker)
    stage.ledger[maker.name] += value - fee(stage, positions, fees.HOUSE.maker)


def trade(stage: Stage, taker: Actor, maker: Actor, positions: Sequence[Position]) -> Any:
    """Trade a package: the maker signs, the taker sends."""
    house = stage.protocol.clearing_house
    receipt = house.trade(quote(stage, taker, maker, positions), sender=taker.owner)
    books = " and ".join(str(len(house.book(actor.account))) for actor in (taker, maker))
    words = f"{len(positions)} legs" if len(positions) > 1 else "1 leg"
    enter(stage, taker, maker, positions)
    return stage.spend(f"trade {words}, check books of {books} legs", receipt)


def deposit_trade_withdraw(
    stage: Stage, taker: Actor, maker: Actor, ether: float, positions: Sequence[Position], usd: float
) -> Any:
    """Deposit WETH, trade a package and withdraw USDC in one batch, checked once."""
    p = stage.protocol
    order = quote(stage, taker, maker, positions)
    units = provide(stage, taker, protocol.WETH, ether)
    paid = chain.scaled(usd, p.quote.decimals())
    actions = [
        (DEPOSIT, taker.account, 0, protocol.WETH, units, NOBODY, b""),
        (TRADE, 0, 0, 0, 0, NOBODY, order),
        (WITHDRAW, taker.account, 0, protocol.QUOTE, paid, taker.owner.address, b""),
    ]
    receipt = p.clearing_house.execute(actions, sender=taker.owner)
    enter(stage, taker, maker, positions)
    stage.ledger[taker.name] -= usd
    return stage.spend(f"batch: deposit, trade {len(positions)} legs, withdraw", receipt)


def refused_withdrawal(stage: Stage, actor: Actor, usd: float) -> str:
    """Why the clearing house refuses to pay out cash; an empty text where it would pay."""
    units = chain.scaled(usd, stage.protocol.quote.decimals())
    withdraw = stage.protocol.clearing_house.withdraw
    return refusal(withdraw, actor.owner, actor.account, protocol.QUOTE, units, actor.owner.address)


def refusal(function: Any, sender: Any, *arguments: Any) -> str:
    """Why a transaction would be refused; an empty text where it would pass."""
    data = "0x" + bytes(function.encode_input(*arguments)).hex()
    call = {"from": sender.address, "to": function.contract.address, "data": data}
    answer = function.contract.provider.web3.provider.make_request("eth_call", [call, "latest"])
    return str(answer["error"]["message"]).removeprefix("execution reverted: ") if "error" in answer else ""


# ------------------------------------------------------------------------------------------------ conservation


@dataclass(frozen=True)
class Conservation:
    """Money and positions over all accounts, in the contracts' own integers.

    `owed` is the sum of cash less cost, with the reserve, and `held` the quote tokens of the clearing house, both at
    1e-18; `credited` and `vault` the same for WETH, and `staked` and `staked_vault` for wstETH. `open_sums` counts
    instruments whose positions do not add up to zero, of `instruments`.
    """

    owed: int
    held: int
    credited: int
    vault: int
    staked: int
    staked_vault: int
    instruments: int
    open_sums: int

    @property
    def holds(self) -> bool:
        """INV-01, INV-02 and INV-03, to the last unit."""
        return not any((self.owed - self.held, self.lost_collateral, self.open_sums))

    @property
    def lost_collateral(self) -> int:
        """How far tokens held and credited are apart."""
        return abs(self.credited - self.vault) + abs(self.staked - self.staked_vault)


def conservation(stage: Stage) -> Conservation:
    """Add up every account that there is."""
    p = stage.protocol
    house = p.clearing_house
    accounts = range(1, house.account_count() + 1)
    sums: dict[int, int] = {}
    for account in accounts:
        for word in house.book(account):
            size = (word >> 80) & (2**64 - 1)
            sums[word >> 144] = sums.get(word >> 144, 0) + (size - 2**64 if size >> 63 else size)
    return Conservation(
        owed=house.reserve() + sum(protocol.stored_cash(p, a) - house.cost(a) for a in accounts),
        held=p.quote.balanceOf(house) * 10 ** (18 - p.quote.decimals()),
        credited=sum(house.balance_of(a, protocol.WETH) for a in accounts),
        vault=p.weth.balanceOf(house),
        staked=sum(house.balance_of(a, stage.staked.kind) for a in accounts),
        staked_vault=stage.staked.token.balanceOf(house),
        instruments=len(sums),
        open_sums=sum(1 for total in sums.values() if total),
    )
