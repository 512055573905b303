"""Gas of the contracts and speed of the float model, into build/bench.json.

Gas is exact and the same on every machine. Speeds are of this machine, now: compare them within one run only.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ape
import click
import numpy as np
from ape.cli import ConnectedProviderCommand
from ape.logging import LogLevel, logger
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from python_model import black, listing, methodology, scenario_set, scenarios, screening, svi
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from scripts import chain, compiled, feed, protocol

ROOT = Path(__file__).resolve().parents[1]
DAY = 86_400
# A Friday, 08:00 UTC, and how many days later the expiries are.
AS_OF = 1_770_364_800
EXPIRY_DAYS = (28, 56, 91, 119)
COUNTS = (1, 4, 16, 32, 64, 128)
# USD; and the ids of underlyings where there are several.
SPOTS = {"ETH": 2_000.0, "BTC": 70_000.0}
NAMES = {"BTC": 1, "ETH": 2}
# Of a margin check over the rows of a scenario set: options, of how many underlyings, with how many expiries each.
TAIL_BOOKS = ((32, 2, 1), (32, 2, 2), (8, 1, 1), (8, 2, 1))
# Of the signed feed: test accounts, the first of which deploys.
SIGNERS, THRESHOLD = slice(1, 6), 3
# Of who buys what the first one's account holds.
OTHER = 6
FEED_EXPIRIES = 8
GRIDS = {"house": 33, "house23": 23}
# Gas of a transaction before its first instruction: 21,000 and 4 or 16 for a byte of calldata.
BASE_GAS, ZERO_BYTE_GAS, BYTE_GAS = 21_000, 4, 16


def grid_23() -> methodology.Methodology:
    """The house grid without extremes and tilts, and every other move where the vol does not: 9 + 5 + 9 scenarios."""
    house = methodology.load("house")
    inner = (np.abs(house.x) <= 1.0) & (house.z == 0.0)
    keep = np.flatnonzero(inner & ((house.y != 0.0) | (np.mod(house.x, 0.5) == 0.0)))
    rows = {key: getattr(house, key)[keep] for key in ("x", "y", "z", "g")}
    return methodology.Methodology(**{**vars(house), **rows, "name": "house23"})


def market(expiries: int, names: Sequence[str] = ("ETH",)) -> Market:
    """Underlyings with expiries about a month apart."""
    underlyings = {}
    for name in names:
        spot, rows = SPOTS[name], []
        for i, days in enumerate(EXPIRY_DAYS[:expiries]):
            forward = round(spot * (1.0 + 0.0035 * i), 6)
            tau = days / 365
            rows.append(
                Expiry(AS_OF + days * DAY, forward, 0.04, SVI(0.2 * tau, 0.6 * tau, -0.25, 0.0, 0.45, tau, forward))
            )
        underlyings[name] = Underlying(spot, 0.001, 0.16, round(1.0005 * spot, 6), tuple(rows))
    return Market(AS_OF, underlyings)


def surface(now: int, expiries: int) -> Underlying:
    """ETH with a surface calibrated now, an expiry a fortnight, in numbers with as many digits as fitted ones have."""
    rows = []
    for i in range(expiries):
        forward, tenor = 2_003.123456789 + 7.0 * i, 14 * DAY * (i + 1)
        tau = tenor / SECONDS_PER_YEAR
        smile = SVI(round(0.2 * tau, 12), round(0.6 * tau, 12), -0.25, 0.012345678901, 0.412345678901, tau, forward)
        rows.append(Expiry(now + tenor, forward, 0.04, smile))
    return Underlying(2_000.123456789, 0.001, 0.16, 2_001.123456789, tuple(rows))


def options(count: int, expiries: int, name: str = "ETH") -> list[Position]:
    """Calls and puts in turn, bought and sold in turn by pairs, strikes from 60% to 165% of spot."""
    return [
        Position(
            name,
            Kind.CALL if i % 2 else Kind.PUT,
            (1.0 if i // 2 % 2 else -1.0) * (1 + i % 5),
            AS_OF + EXPIRY_DAYS[i % expiries] * DAY,
            SPOTS[name] / 200 * (120 + round(210.0 * i / count)),
        )
        for i in range(count)
    ]


def calldata_gas(data: bytes) -> int:
    """Gas of a transaction before its first instruction."""
    return BASE_GAS + sum(BYTE_GAS if byte else ZERO_BYTE_GAS for byte in data)


class Bench:
    """A deployed protocol with two rich accounts, and the rows measured so far."""

    def __init__(
        self, contracts: Any, sender: Any, method: methodology.Methodology, advance: Callable[[], None]
    ) -> None:
        self.sender, self.method, self.advance = sender, method, advance
        self.other = ape.accounts.test_accounts[OTHER]
        tokens = protocol.deploy_tokens(contracts, sender)
        self.signers = ape.accounts.test_accounts[SIGNERS]
        signing: dict[str, Any] = {"signers": [signer.address for signer in self.signers], "threshold": THRESHOLD}
        self.p = protocol.deploy(contracts, sender, method, {"ETH": 1}, tokens, trusted=True, **signing)
        self.provider = self.p.clearing_house.provider
        head = self.provider.get_block("latest").timestamp
        times = [AS_OF + days * DAY for days in EXPIRY_DAYS]
        self.clock = chain.Clock(listing.shift(AS_OF, times, head))
        # Mined: no surface is published before it was calibrated.
        self.provider.set_timestamp(self.clock.chain(AS_OF))
        self.provider.mine()
        self.nonce = 0
        self.rows: list[dict[str, Any]] = []

    def row(self, name: str, gas: int, **fields: Any) -> dict[str, Any]:
        """Keep a measurement."""
        self.rows.append({"name": name, **fields, "gas": gas})
        self.advance()
        return self.rows[-1]

    def publish(self, state: Market) -> chain.Clock:
        """Publish a market at the next block's time, which is that of the market and what it took to come here."""
        now = self.provider.get_block("latest").timestamp + 1
        self.provider.set_timestamp(now)
        update = chain.update(1, state.underlyings["ETH"], now, self.clock)
        self.p.market_data.publish(update, sender=self.sender)
        return self.clock

    def account(self, owner: Any, usd: float = 2e7) -> tuple[Any, int]:
        """A new account with cash, and its owner."""
        account = protocol.create_account(self.p, owner)
        protocol.fund(self.p, owner, account, usd=usd)
        return owner, account

    def accounts(self, usd: float = 2e7) -> tuple[tuple[Any, int], tuple[Any, int]]:
        """Two new accounts with cash."""
        return self.account(self.sender, usd), self.account(self.sender, usd)

    def trade(self, taker: tuple[Any, int], maker: tuple[Any, int], legs: list[Position], clock: chain.Clock) -> Any:
        """Trade a package of options at 10 USD, and anything else at spot."""
        self.nonce += 1
        prices = [2_000.0 if protocol.is_linear(p) else 10.0 for p in legs]
        return protocol.trade(self.p, taker, maker, protocol.legs(self.p, legs, prices, clock), self.nonce)

    def send(self, function: Any, *arguments: Any) -> int:
        """Gas used by a real transaction that calls a view, from cold storage."""
        data = bytes(function.encode_input(*arguments))
        transaction = {"from": self.sender.address, "to": function.contract.address, "data": data, "gas": 29_000_000}
        receipt = self.provider.web3.eth.wait_for_transaction_receipt(
            self.provider.web3.eth.send_transaction(transaction)
        )
        assert receipt["status"] == 1, function
        return int(receipt["gasUsed"])

    def call(self, function: Any, *arguments: Any) -> int:
        """Gas of a call by itself, without what a transaction costs."""
        data = bytes(function.encode_input(*arguments))
        transaction = {"from": self.sender.address, "to": function.contract.address, "data": "0x" + data.hex()}
        answer = self.provider.web3.provider.make_request(
            "debug_traceCall", [{**transaction, "gas": hex(29_000_000)}, "latest", {"tracer": "callTracer"}]
        )["result"]
        assert "error" not in answer, answer
        return int(answer["gasUsed"], 16) - calldata_gas(data)

    def books(self) -> None:
        """The margin check over numbers of options and expiries."""
        for expiries in (1, 4):
            clock = self.publish(market(expiries))
            for count in COUNTS:
                if count < expiries:
                    continue
                book, other = self.accounts()
                legs = options(count, expiries)
                for start in range(0, count, 16):
                    self.trade(book, other, legs[start : start + 16], clock)
                fields = {
                    "options": count,
                    "expiries": expiries,
                    "underlyings": 1,
                    "scenarios": len(self.method),
                }
                for name, gas in (
                    ("assess", self.send(self.p.clearing_house.assess, book[1])),
                    ("engine", self.call(self.p.engine.assess, self.p.clearing_house.portfolio(book[1]))),
                ):
                    row = self.row(name, gas, **fields)
                    row["gas_per_cell"] = round(gas / (count * len(self.method)), 1)
                    row["gas_per_leg"] = round(gas / count, 1)

    def tails(self, contracts: Any) -> None:
        """The margin check over 250 rows, the grid's beside it and alone; in a market of its own."""
        deployment = chain.deploy_engine(contracts, self.sender, [], NAMES)
        state, preset, rows = market(2, tuple(NAMES)), methodology.load("max"), scenario_set.synthetic()
        data = self.sender.deploy(contracts.Methodology, *chain.methodology_arguments(preset, NAMES))
        reads = (deployment.market_data, data, deployment.kernel)
        tails = self.judges = protocol.deploy_tails(contracts, self.sender.deploy, preset, NAMES, rows, reads)
        now = self.provider.get_block("latest").timestamp + 10
        self.provider.set_timestamp(now)
        clock = chain.publish(deployment, state, now)
        still = methodology.without_grid(preset)
        for name, engine, grid in (("var", tails.max_engine, len(preset)), ("es", tails.var_engine, len(still))):
            for count, underlyings, expiries in TAIL_BOOKS:
                names = list(SPOTS)[:underlyings]
                legs = [p for u in names for p in options(count // underlyings, expiries, u)]
                book = Book(Mode.PORTFOLIO, 1e7, (), tuple(legs))
                gas = self.send(engine.assess, chain.account(book, state, NAMES, clock))
                fields = {"options": count, "expiries": expiries, "underlyings": underlyings, "scenarios": grid}
                row = self.row(f"{name}_{len(rows)}x{count}", gas, **fields, rows=len(rows))
                row["gas_per_cell"] = round(gas / (count * (grid + len(rows))), 1)
                row["gas_per_leg"] = round(gas / count, 1)

    def bytecode(self) -> dict[str, int]:
        """Bytes of what is on the chain, by contract, once there are tails."""
        containers = {k: v for k, v in (protocol.CONTAINERS | protocol.TAIL_CONTAINERS).items() if v != "Token"}
        deployed = self.p.contracts | vars(self.judges)
        return {v: len(bytes(self.provider.get_code(deployed[k].address))) for k, v in containers.items()}

    def packages(self, expiries: int, clock: chain.Clock) -> None:
        """Four legs in one order between two accounts of sixteen legs each: of those that both have, then new ones."""
        pair = self.accounts()
        legs = options(20, expiries)
        self.trade(*pair, legs[:16], clock)
        for name, package in (("trade_package", legs[12:16]), ("trade_package_new", legs[16:])):
            # A new leg writes empty storage, 17,100 more on each side.
            self.row(name, self.trade(*pair, package, clock).gas_used, options=16, expiries=expiries, legs=4)

    def expiry(self) -> None:
        """Settlement of 32 legs of one account at one expiry; moves the chain there."""
        clock = self.publish(market(1))
        pair = self.accounts()
        legs = options(32, 1)
        for start in (0, 16):
            self.trade(*pair, legs[start : start + 16], clock)
        self.provider.set_timestamp(clock.chain(AS_OF + EXPIRY_DAYS[0] * DAY))
        self.provider.mine()
        self.publish(market(1))
        receipt = self.p.settlement.settle([pair[0][1]], sender=self.sender)
        assert len(self.p.clearing_house.book(pair[0][1])) == 0, "not all legs were settled"
        self.row("settle_32", receipt.gas_used, legs=32)

    def acts(self) -> None:
        """What users do: vault, packages, a perpetual on cash; and the market behind it."""
        clock = self.publish(market(4))
        book, other = self.accounts()
        house = self.p.clearing_house
        units = 10**9
        self.p.quote.mint(self.sender, units, sender=self.sender)
        self.p.quote.approve(house, units, sender=self.sender)
        self.row("deposit", house.deposit(book[1], protocol.QUOTE, units, sender=self.sender).gas_used)
        for expiries in (1, 4):
            self.packages(expiries, clock)
        self.trade(book, other, options(16, 4), clock)
        calls = [Position("ETH", Kind.CALL, 1.0, AS_OF + EXPIRY_DAYS[0] * DAY, 2_110.0 + 10.0 * i) for i in range(4)]
        self.trade(book, other, calls, clock)
        withdrawal = house.withdraw(book[1], protocol.QUOTE, units, self.sender, sender=self.sender)
        self.row("withdraw", withdrawal.gas_used, options=20)
        perp, against = self.accounts(10_000.0)
        self.trade(perp, against, [Position("ETH", Kind.PERP, 1.0, entry=2_000.0)], clock)
        self.row("assess_perp", self.send(house.assess, perp[1]), options=0, scenarios=len(self.method))

        times = [clock.chain(e.expiry) for e in market(4).underlyings["ETH"].expiries]
        reads = [self.call(self.p.market_data.read, 1, times[:n]) for n in (1, 2)]
        self.row("market_read", reads[0])
        self.row("market_read_expiry", reads[1] - reads[0])

    def distressed(self, clock: chain.Clock, expiries: int) -> tuple[int, tuple[Any, int]]:
        """An account with 128 options, a little below maintenance margin; and another owner's with the other side."""
        book, maker = self.account(self.sender), self.account(self.other)
        legs = options(128, expiries)
        for start in range(0, 128, 16):
            self.trade(book, maker, legs[start : start + 16], clock)
        house = self.p.clearing_house
        figures = house.assess(book[1])
        excess = figures.equity_maintenance - figures.maintenance + chain.wad(1.0)
        house.set_member(self.sender, True, sender=self.sender)
        house.post(book[1], [], -excess, 0, sender=self.sender)
        house.post(maker[1], [], excess, 0, sender=self.sender)
        house.set_member(self.sender, False, sender=self.sender)
        return book[1], maker

    def auctions(self, expiries: int) -> None:
        """An auction started on the least evidence that proves it; slices of 128 options sold, each with its start."""
        clock, house = self.publish(market(len(EXPIRY_DAYS))), self.p.clearing_house
        fields = {"options": 128, "expiries": expiries}

        def bid(account: int, bidder: tuple[Any, int], kind: int, evidence: int = 0) -> tuple[Any, ...]:
            return account, bidder[1], protocol.bid(kind, evidence)

        account, maker = self.distressed(clock, expiries)
        starter = self.account(self.other)
        proofs = {}
        for i in range(1, len(self.p.liquidation.evidence()) + 1):
            data = "0x" + bytes(house.bid.encode_input(*bid(account, starter, protocol.START, i))).hex()
            transaction = {"from": self.other.address, "to": house.address, "data": data}
            answer = self.provider.web3.provider.make_request("eth_estimateGas", [transaction])
            # An engine may know too few of the scenarios.
            if "error" not in answer:
                proofs[i] = int(answer["result"], 16)
        least = min(proofs, key=lambda i: proofs[i])
        receipt = house.bid(*bid(account, starter, protocol.START, least), sender=self.other)
        self.row("start_128", receipt.gas_used, **fields)
        for name, bidder in (("liquidate_128", self.account(self.other)), ("liquidate_128_maker", None)):
            account, maker = self.distressed(clock, expiries)
            receipt = house.bid(*bid(account, bidder or maker, protocol.SOLVENT), sender=self.other)
            assert receipt.events.filter(self.p.liquidation.AuctionStarted), "the auction ran already"
            self.row(name, receipt.gas_used, **fields)

    def income(self) -> None:
        """The score of an account with 16 options that has been measured before, and the payment of what it earned."""
        clock = self.publish(market(1))
        pair = self.accounts()
        self.trade(*pair, options(16, 1), clock)
        for _ in range(3):
            self.p.yields.refresh([pair[0][1]], sender=self.sender)
            self.p.yields.distribute(sender=self.sender)
            self.provider.set_timestamp(self.provider.get_block("latest").timestamp + 3600)
            self.provider.mine()
            self.publish(market(1))
        receipt = self.p.yields.refresh([pair[0][1]], sender=self.sender)
        assert receipt.events.filter(self.p.yields.Refreshed)[0].paid, "nothing was earned"
        self.row("yield_refresh", receipt.gas_used, options=16)

    def backstop(self) -> None:
        """A deposit into a tranche that others hold too, and its redemption; moves the chain beyond the cooldown."""
        tranche, units = self.p.junior, 10**9
        for holder in (self.sender, self.other):
            self.p.quote.mint(holder, 2 * units, sender=holder)
            self.p.quote.approve(tranche, 2 * units, sender=holder)
            receipt = tranche.deposit(units, holder, sender=holder)
        self.row("backstop_deposit", receipt.gas_used)
        shares = tranche.balanceOf(self.other)
        tranche.requestRedeem(shares, self.other, self.other, sender=self.other)
        self.provider.set_timestamp(self.provider.get_block("latest").timestamp + protocol.BACKSTOP["cooldown_seconds"])
        self.provider.mine()
        receipt = tranche.redeem(shares, self.other, self.other, sender=self.other)
        self.row("backstop_redeem", receipt.gas_used)

    def feed(self) -> None:
        """An update with a surface, and one of spot alone, by the signed feed; storage has been written before."""
        for name, expiries in (("feed_update_8", FEED_EXPIRIES), ("feed_update_spot", 0)):
            start = self.provider.get_block("latest").timestamp
            gas = 0
            for _ in range(3):
                now = self.provider.get_block("latest").timestamp + 60
                # The expiries stay, their tenors shrink.
                state = surface(start, expiries)
                rows = [
                    replace(e, svi=replace(e.svi, ref_tau=(e.expiry - now) / SECONDS_PER_YEAR)) for e in state.expiries
                ]
                update = chain.update(1, replace(state, expiries=tuple(rows)), now, chain.Clock(0))
                signatures = feed.signatures(self.p.signed_feed, self.signers[:THRESHOLD], update, now)
                self.provider.set_timestamp(now)
                gas = self.p.signed_feed.submit(update, now, signatures, sender=self.sender).gas_used
            self.row(name, gas)


def slopes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What one more option costs, and one more scenario for it: from the largest books of one expiry, on both grids."""
    gas = {(r["options"], r["scenarios"]): r["gas"] for r in rows if r["name"] == "engine" and r["expiries"] == 1}
    leg = {s: (gas[128, s] - gas[64, s]) / 64 for s in GRIDS.values()}
    cell = (leg[33] - leg[23]) / 10
    return {"gas_per_option": leg[33], "gas_per_cell": cell, "gas_per_option_setup": leg[33] - 33 * cell}


def rates(work: dict[str, tuple[Callable[[], Any], int]], rounds: int = 12) -> dict[str, float]:
    """Cells a second of each: the best of rounds in turn, since noise only makes slower, and all alike."""
    best = dict.fromkeys(work, math.inf)
    for _ in range(rounds):
        for name, (function, _) in work.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: cells / best[name] for name, (_, cells) in work.items()}


def model_speed() -> dict[str, float]:
    """The float model against QuantLib called from Python, on the same options, one after the other."""
    import QuantLib

    house, rng = methodology.load("house"), np.random.default_rng(1)
    legs = 200_000
    book = scenarios.OptionLegs(
        forward=np.full(legs, 2_000.0),
        strike=rng.uniform(1_000.0, 4_000.0, legs),
        sigma=rng.uniform(0.3, 1.5, legs),
        tau=rng.uniform(0.02, 1.0, legs),
        discount=np.ones(legs),
        is_call=rng.random(legs) < 0.5,
    )
    multiples = scenarios.price_multiples(house, 0.16)
    out = np.empty((len(house), legs))
    sizes, starts = rng.normal(size=legs), np.arange(0, legs, 32)

    def model() -> None:
        scenarios.grid_cells(book, multiples, house, workers=2, out=out)

    def accounts() -> None:
        scenarios.batch_pnl(book, sizes, starts, np.zeros(starts.size), multiples, house, workers=2)

    few = 2_000
    kinds = [QuantLib.Option.Call if call else QuantLib.Option.Put for call in book.is_call[:few]]
    rows = list(zip(kinds, book.strike[:few].tolist(), (book.sigma * np.sqrt(book.tau))[:few].tolist(), strict=True))
    forwards = [2_000.0 * m for m in multiples.tolist()]

    def quantlib() -> None:
        formula = QuantLib.blackFormula
        for forward in forwards:
            for kind, strike, deviation in rows:
                formula(kind, strike, forward, deviation, 1.0)

    return rates(
        {
            "cells_per_second": (model, out.size),
            "quantlib_cells_per_second": (quantlib, few * len(forwards)),
            "accounts_per_second": (accounts, starts.size),
        }
    )


def screening_speed(accounts: int = 100_000, legs: int = 16, workers: int = 2) -> dict[str, float]:
    """Seconds to reprice all accounts in every scenario: books that share no instrument, and books of one listing.

    The best of three; half of the options are on ETH, half on BTC, over four expiries, bought and sold alike.
    """
    house, rng, count = methodology.load("house"), np.random.default_rng(3), accounts * legs
    eth = market(len(EXPIRY_DAYS)).underlyings["ETH"]
    state = Market(AS_OF, {"BTC": eth, "ETH": eth})
    of = [np.repeat(np.arange(accounts), legs), rng.integers(0, 2, count)]
    of.append(AS_OF + DAY * rng.choice(EXPIRY_DAYS, count))
    kind = rng.integers(screening.CALL, screening.PUT + 1, count)
    best = {}
    # Strikes to a millionth or to a twentieth of spot.
    for name, strike in (
        ("seconds", rng.uniform(1_000.0, 4_000.0, count)),
        ("seconds_listed", 100.0 * rng.integers(10, 41, count)),
    ):
        order = np.lexsort((strike, of[2], of[1], of[0]))
        key = np.stack([row[order].astype(np.float64) for row in (of[1], kind, of[2], strike)])
        if name == "seconds":
            table, index = key, np.arange(count)
        else:
            table, index = np.unique(key, axis=1, return_inverse=True)
        whole = table[:3].astype(np.int64)
        books = screening.Books(
            mode=np.full(accounts, screening.PORTFOLIO),
            cash=np.full(accounts, 10_000.0),
            cost=np.zeros(accounts),
            amount=np.zeros((accounts, 0)),
            starts=np.arange(0, count + 1, legs),
            instrument=index.reshape(-1),
            size=rng.normal(size=count),
            instruments=screening.Instruments(whole[0], whole[1], whole[2], table[3].copy()),
        )
        reprice: Callable[[], Any] = partial(screening.reprice, books, state, [], house, workers)
        best[name] = 1.0 / rates({name: (reprice, 1)}, 3)[name]
    return {"accounts": accounts, "legs": legs, "scenarios": len(house), "workers": workers, **best}


def accuracy(bench: Bench, cases: int) -> dict[str, float]:
    """Largest error of the contract's option value over the forward, against the float model (1e-15)."""
    state, rng = market(4), np.random.default_rng(2)
    clock = bench.publish(state)
    worst = 0.0
    for _ in range(cases):
        e = state.underlyings["ETH"].expiries[rng.integers(4)]
        strike = round(e.forward * float(np.exp(rng.normal(0.0, 0.4))), 6)
        leg = Position("ETH", Kind.CALL if rng.random() < 0.5 else Kind.PUT, 1.0, e.expiry, strike)
        word = chain.position_word(leg, {"ETH": 1}, clock)
        figures = chain.call_at(
            bench.p.engine.assess, clock.chain(AS_OF), (chain.MODES[Mode.PORTFOLIO], 0, 0, [], [word])
        )
        surface, tau = e.svi, state.tau(e.expiry)
        vol = svi.implied_vol(strike, **vars(surface))
        exact = black.value(e.forward, strike, vol, tau, math.exp(-e.rate * tau), leg.kind is Kind.CALL)
        worst = max(worst, abs(chain.as_float(figures.option_value) - float(exact)) / e.forward)
    return {"max_price_error_over_forward": worst, "cases": cases}


def show(console: Console, result: dict[str, Any]) -> None:
    """The figures as tables."""
    table = Table(title="Gas", caption="assess: a whole transaction from cold storage; engine: the call by itself")
    for heading in ("name", "options", "expiries", "underlyings", "scenarios", "gas", "a cell", "a leg"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for row in result["gas"]:
        keys = ("options", "expiries", "underlyings", "scenarios", "gas", "gas_per_cell", "gas_per_leg")
        table.add_row(row["name"], *(f"{row[key]:,}" if key in row else "" for key in keys))
    console.print(table)
    margin = result["marginal"]
    console.print(
        f"One more option: {margin['gas_per_option']:,.0f} gas, of which {margin['gas_per_option_setup']:,.0f} once and"
        f" {margin['gas_per_cell']:,.0f} for each scenario."
    )
    speed = result["model"]
    ratio = speed["cells_per_second"] / speed["quantlib_cells_per_second"]
    console.print(
        f"Model: {speed['cells_per_second'] / 1e6:.1f}M cells/s,"
        f" {speed['accounts_per_second']:,.0f} accounts of 32 options/s;"
        f" QuantLib from Python {speed['quantlib_cells_per_second'] / 1e6:.2f}M cells/s: {ratio:.1f} times."
    )
    screened = speed["screening"]
    console.print(
        f"Screening: {screened['accounts']:,} accounts, {screened['legs']} options, {screened['scenarios']} scenarios:"
        f" {screened['seconds']:.1f} s where no two legs are of one instrument,"
        f" {screened['seconds_listed']:.1f} s with a listing."
    )
    error = result["accuracy"]
    console.print(
        f"Largest price error over F: {error['max_price_error_over_forward']:.2e} in {error['cases']:,} options."
    )


SNAPSHOT = ROOT / "tests" / "gas_snapshot.json"


def snapshot(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Gas by a name that tells the row: what a test holds the code to."""
    keys = ("options", "expiries", "underlyings", "scenarios")
    return {" ".join([row["name"], *(f"{key}={row[key]}" for key in keys if key in row)]): row["gas"] for row in rows}


def measure_gas(contracts: Any, sender: Any, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Every gas row and what follows from them, exact: the same numbers on every machine."""
    request = sender.provider.web3.provider.make_request
    # Interest accrues when time has passed: by the clock of the machine some rows would cost 3,600 more or less.
    request("anvil_setBlockTimestampInterval", [1])
    house = Bench(contracts, sender, methodology.load("house"), advance)
    house.books()
    house.tails(contracts)
    house.acts()
    for expiries in (1, 4):
        house.auctions(expiries)
    house.income()
    house.expiry()
    house.feed()
    house.backstop()
    other = Bench(contracts, sender, grid_23(), advance)
    other.books()
    request("anvil_removeBlockTimestampInterval", [])
    rows = house.rows + other.rows
    return {"gas": rows, "marginal": slopes(rows), "bench": house}


@click.command(cls=ConnectedProviderCommand)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=ROOT / "build" / "bench.json")
@click.option("--cases", default=400, show_default=True, help="Options priced for the accuracy figure.")
@click.option("--snapshot", "keep", is_flag=True, help="Make this gas the snapshot that the tests hold the code to.")
def cli(out: Path, cases: int, keep: bool) -> None:
    """Measure gas and speed, print them, and write them as JSON."""
    logger.set_level(LogLevel.ERROR)
    console = Console(width=None if Console().is_terminal else 120)
    contracts = compiled.load()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=73)
        result = measure_gas(contracts, ape.accounts.test_accounts[0], lambda: progress.advance(task))
        bench = result.pop("bench")
        result["bytecode"] = bench.bytecode()
        result["accuracy"] = accuracy(bench, cases)
        result["model"] = {**model_speed(), "screening": screening_speed()}
    show(console, result)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"wrote {out}")
    if keep:
        SNAPSHOT.write_text(json.dumps(snapshot(result["gas"]), indent=1) + "\n")
        console.print(f"wrote {SNAPSHOT}")
