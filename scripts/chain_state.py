"""Accounts, market and auctions as they are on a chain, read in JSON-RPC batches: what a keeper knows of the world.

Nothing here decides or sends. Answers of one block belong together: every batch names the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from python_model.methodology import Methodology
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Collateral, Expiry, Market, Underlying
from python_model.screening import Books, Instruments
from scripts import chain
from scripts.protocol import Protocol

# Requests of one batch: nodes that are paid for limit how many they take at once.
BATCH = 250
MAX_EXPIRIES = 16
# Account modes of a scenario set, and how many legs of a grid cost as much as a unit of the weight of their books.
TAIL_MODES = tuple(number for mode, number in chain.MODES.items() if mode.has_tail)
TAIL_BURDEN = 4
# Of the share of a forward that is fixed.
ALL_FIXED = 65_535
# Names of indexed event arguments that are accounts whose state the event changed.
ACCOUNTS = frozenset(("account", "sender", "receiver", "bidder", "starter", "taker", "maker", "candidate"))
ERROR_SELECTOR = "0x08c379a0"


class ChainError(RuntimeError):
    """A node that does not answer, or answers with an error; one line."""


@dataclass(frozen=True)
class Refused:
    """What stands in place of an answer where a call reverts."""

    reason: str


@dataclass(frozen=True)
class View:
    """A function of a contract, with its types."""

    address: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    # Names of the fields where the only output is a struct.
    fields: tuple[str, ...]

    @staticmethod
    def of(handler: Any) -> View:
        """The function of an ape contract instance."""
        (abi,) = handler.abis
        outputs = tuple(o.canonical_type for o in abi.outputs)
        struct = len(outputs) == 1 and outputs[0].startswith("(") and outputs[0].endswith(")")
        return View(
            address=str(handler.contract.address),
            selector=keccak(text=abi.selector)[:4],
            inputs=tuple(i.canonical_type for i in abi.inputs),
            outputs=outputs,
            fields=tuple(c.name for c in abi.outputs[0].components) if struct else (),
        )

    def data(self, *arguments: Any) -> str:
        """Calldata, hexadecimal."""
        return "0x" + (self.selector + encode(self.inputs, arguments)).hex()

    def answer(self, data: str) -> Any:
        """One value, a dict for a struct, or a tuple."""
        values = decode(self.outputs, bytes.fromhex(data[2:]))
        if self.fields:
            return dict(zip(self.fields, values[0], strict=True))
        return values[0] if len(values) == 1 else values


def reason(error: Mapping[str, Any]) -> str:
    """What a node says of a call that reverted: the contract's reason, or its own words."""
    data = error.get("data")
    if isinstance(data, Mapping):
        data = data.get("data")
    if isinstance(data, str) and data.startswith(ERROR_SELECTOR):
        return str(decode(["string"], bytes.fromhex(data[10:]))[0])
    return " ".join(str(error.get("message", "reverted")).split())[:200]


class Node:
    """A node, asked in batches through the provider that ape is connected with, or any other of web3."""

    def __init__(self, provider: Any) -> None:
        """Takes a provider of web3."""
        self.provider = provider

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """The responses, in order; ChainError where the node gives none."""
        answers: list[dict[str, Any]] = []
        for first in range(0, len(requests), BATCH):
            part = list(requests[first : first + BATCH])
            try:
                got = self.provider.make_batch_request(part)
            except Exception as error:
                raise ChainError(f"the node does not answer ({type(error).__name__}: {error})") from error
            if not isinstance(got, list) or len(got) != len(part):
                message = got.get("error", got) if isinstance(got, dict) else got
                raise ChainError(f"the node refuses a batch of {len(part)} requests ({message})")
            answers += got
        return answers

    def results(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results of requests none of which may fail; ChainError names the one that does."""
        answers = self.batch(requests)
        for (method, _), answer in zip(requests, answers, strict=True):
            if "error" in answer:
                raise ChainError(f"{method}: {reason(answer['error'])}")
        return [answer["result"] for answer in answers]

    def ask(self, method: str, *parameters: Any) -> Any:
        """One result."""
        return self.results([(method, parameters)])[0]

    def calls(self, calls: Sequence[tuple[View, Sequence[Any]]], block: str, sender: str | None = None) -> list[Any]:
        """Answers of views, `Refused` for those that revert.

        Parameters
        ----------
        calls : sequence of (View, arguments)
        block : hexadecimal number
        sender : address in whose name to ask
        """
        origin = {"from": sender} if sender else {}
        gas = {"gas": hex(chain.CALL_GAS)}
        requests = [
            ("eth_call", [{"to": view.address, "data": view.data(*arguments), **gas, **origin}, block])
            for view, arguments in calls
        ]
        rows: list[Any] = []
        for (view, _), answer in zip(calls, self.batch(requests), strict=True):
            if "error" in answer:
                rows.append(Refused(reason(answer["error"])))
            elif answer["result"] == "0x":
                raise ChainError(f"there is no contract at {view.address}; is the deployment file of this chain?")
            else:
                rows.append(view.answer(answer["result"]))
        return rows

    def sure(self, calls: Sequence[tuple[View, Sequence[Any]]], block: str) -> list[Any]:
        """Answers of views that must not revert; ChainError where one does."""
        rows = self.calls(calls, block)
        for row in rows:
            if isinstance(row, Refused):
                raise ChainError(f"a view reverts ({row.reason})")
        return rows


@dataclass(frozen=True)
class Head:
    """A block: `tag` is its number in hexadecimal, `base_fee` in wei, `gas_limit` of all its transactions together."""

    number: int
    hash: str
    timestamp: int
    base_fee: int
    gas_limit: int

    @property
    def tag(self) -> str:
        """The number as nodes want it."""
        return hex(self.number)


@dataclass(frozen=True)
class Account:
    """An account on the chain: money at 1e-18 USD, `amounts` in tokens by kind of collateral."""

    mode: int
    cash: int
    cost: int
    amounts: tuple[float, ...]
    words: tuple[int, ...]

    @property
    def is_empty(self) -> bool:
        """Whether it has neither legs nor collateral."""
        return not self.words and not any(self.amounts)

    @property
    def by_tail(self) -> bool:
        """Whether it is margined by a scenario set, which the screening does not know."""
        return self.mode in TAIL_MODES

    @property
    def burden(self) -> int:
        """What assessing it costs, in legs of a grid: by a tail, four a unit of the weight that bounds such books."""
        if not self.by_tail:
            return len(self.words)
        expiries = {word >> 216 for word in self.words if (word >> 216) & (2**32 - 1)}
        underlyings = len({word >> 248 for word in self.words}) + sum(amount > 0.0 for amount in self.amounts)
        return TAIL_BURDEN * (len(self.words) + 3 * len(expiries) + 4 * underlyings)


@dataclass(frozen=True)
class Auction:
    """`ILiquidation.Auction`: times in seconds, 0 where there is none."""

    started: int
    marked: int
    deleveraged: int


class World:
    """What is on a chain of one deployment."""

    def __init__(self, deployed: Protocol, node: Node) -> None:
        """Takes a deployment and a node of its chain."""
        self.deployed, self.node = deployed, node
        p = deployed
        self.views = {
            name: View.of(handler)
            for name, handler in {
                "count": p.clearing_house.account_count,
                "portfolio": p.clearing_house.portfolio,
                "assess": p.clearing_house.assess,
                "balance": p.clearing_house.balance_of,
                "cash": p.clearing_house.cash,
                "controls": p.clearing_house.controls,
                "auction": p.liquidation.auction_of,
                "quote": p.liquidation.quote,
                "terms": p.liquidation.terms,
                "kinds": p.collaterals.count,
                "collateral": p.collaterals.value,
                "collateral_terms": p.collaterals.terms,
                "read": p.market_data.read,
                "funding": p.market_data.funding,
                "compiled": p.methodology.compiled,
            }.items()
        }
        self.topics = _topics(p)

    def head(self) -> Head:
        """The latest block."""
        row = self.node.ask("eth_getBlockByNumber", "latest", False)
        number, timestamp, gas_limit = (int(row[key], 16) for key in ("number", "timestamp", "gasLimit"))
        return Head(number, row["hash"], timestamp, int(row.get("baseFeePerGas") or "0x0", 16), gas_limit)

    def block_hash(self, number: int) -> str | None:
        """Of a block that may have been replaced."""
        row = self.node.ask("eth_getBlockByNumber", hex(number), False)
        return None if row is None else str(row["hash"])

    def touched(self, first: int, last: int) -> tuple[set[int], int]:
        """Accounts that events of these blocks name, and how many market updates there were."""
        tokens = ("quote", "weth")
        addresses = [str(c.address) for name, c in self.deployed.contracts.items() if name not in tokens]
        span = {"fromBlock": hex(first), "toBlock": hex(last), "address": addresses}
        found: set[int] = set()
        updates = 0
        for row in self.node.ask("eth_getLogs", span):
            name, positions = self.topics.get(row["topics"][0], ("", ()))
            updates += name == "MarketUpdated"
            found |= {int(row["topics"][i], 16) for i in positions}
        return found, updates

    def accounts(self, ids: Sequence[int], kinds: int, block: str) -> dict[int, Account]:
        """The state of accounts by id."""
        rows = self.node.sure([(self.views["portfolio"], (i,)) for i in ids], block)
        held = [(i, kind) for i, row in zip(ids, rows, strict=True) if row["holdings"] for kind in range(1, kinds + 1)]
        balances = dict(zip(held, self.node.sure([(self.views["balance"], pair) for pair in held], block), strict=True))
        found = {}
        for i, row in zip(ids, rows, strict=True):
            # Holdings stand in the order of their kinds, amounts at 1e-18.
            of = [kind for kind in range(1, kinds + 1) if balances.get((i, kind))]
            amounts = dict(zip(of, (holding[1] / 1e18 for holding in row["holdings"]), strict=True))
            found[i] = Account(
                row["mode"],
                row["cash"],
                row["cost"],
                tuple(amounts.get(kind, 0.0) for kind in range(1, kinds + 1)),
                tuple(row["legs"]),
            )
        return found

    def auctions(self, ids: Sequence[int], block: str) -> dict[int, Auction]:
        """The auctions of accounts by id, those that run."""
        rows = self.node.sure([(self.views["auction"], (i,)) for i in ids], block)
        return {
            i: Auction(row["started"], row["marked"], row["deleveraged"])
            for i, row in zip(ids, rows, strict=True)
            if row["started"]
        }

    def collateral(self, block: str) -> tuple[Collateral, ...]:
        """Price, underlying and haircuts of each kind."""
        (count,) = self.node.sure([(self.views["kinds"], ())], block)
        names = {i: name for name, i in self.deployed.names.items()}
        kinds = range(1, count + 1)
        values = self.node.sure([(self.views["collateral"], (kind,)) for kind in kinds], block)
        terms = self.node.sure([(self.views["collateral_terms"], (kind,)) for kind in kinds], block)
        return tuple(
            Collateral(
                0.0,
                value["price"] / 1e18,
                names.get(term["underlying"]),
                value["haircut_initial"] / 1e18,
                value["haircut_maintenance"] / 1e18,
            )
            for value, term in zip(values, terms, strict=True)
        )

    def market(self, expiries: Mapping[int, Iterable[int]], head: Head) -> Market:
        """The market of a block: every underlying that was published, with the expiries asked for by its id."""
        calls: list[tuple[View, Sequence[Any]]] = []
        parts: list[tuple[str, list[int]]] = []
        for name, i in self.deployed.names.items():
            wanted = sorted(expiries.get(i, ()))
            for first in range(0, max(len(wanted), 1), MAX_EXPIRIES):
                chunk = wanted[first : first + MAX_EXPIRIES]
                parts.append((name, chunk))
                calls.append((self.views["read"], (i, chunk)))
        calls += [(self.views["funding"], (i,)) for i in self.deployed.names.values()]
        rows = self.node.sure(calls, head.tag)
        funding = dict(zip(self.deployed.names, rows[len(parts) :], strict=True))
        heads: dict[str, int] = {}
        dates: dict[str, list[Expiry]] = {name: [] for name in self.deployed.names}
        for (name, chunk), (words, _) in zip(parts, rows[: len(parts)], strict=True):
            heads[name] = words[0]
            for k, expiry in enumerate(chunk):
                if words[1 + 2 * k]:
                    dates[name].append(read_expiry(expiry, words[1 + 2 * k], words[2 + 2 * k]))
        underlyings = {}
        for name, word in heads.items():
            if word:
                spot, perp, confidence, scan_range, depth = fields(word, 72, 72, 40, 40, 32)
                underlyings[name] = Underlying(
                    spot=spot / 1e9,
                    confidence=confidence / 1e12,
                    scan_range=scan_range / 1e12,
                    perp_mark=perp / 1e9,
                    expiries=tuple(dates[name]),
                    perp_funding=funding[name] / 1e18,
                    depth=depth / 1e6,
                )
        return Market(head.timestamp, underlyings)


def _topics(deployed: Protocol) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By first topic of an event: its name, and which topics are accounts."""
    found = {}
    for contract in deployed.contracts.values():
        for event in contract.contract_type.events:
            indexed = [i for i in event.inputs if i.indexed]
            at = tuple(k + 1 for k, i in enumerate(indexed) if i.name in ACCOUNTS and str(i.type) == "uint256")
            found["0x" + keccak(text=event.selector).hex()] = (event.name, at)
    return found


def fields(word: int, *widths: int) -> list[int]:
    """Unsigned fields from the most significant bit; what is left below is dropped."""
    found, at = [], 256
    for width in widths:
        at -= width
        found.append((word >> at) & ((1 << width) - 1))
    return found


def signed(number: int, bits: int) -> int:
    """Two's complement."""
    return number - (1 << bits) if number >> (bits - 1) else number


def read_expiry(expiry: int, first: int, second: int) -> Expiry:
    """The two words of an expiry (`IMarketData`)."""
    forward, svi_forward, rate, tenor, _ = fields(first, 72, 72, 48, 32, 32)
    a, b, rho, m, sigma, fixed = fields(second, 48, 48, 48, 48, 48, 16)
    surface = SVI(
        signed(a, 48) / 1e12,
        b / 1e12,
        signed(rho, 48) / 1e12,
        signed(m, 48) / 1e12,
        sigma / 1e12,
        tenor / SECONDS_PER_YEAR,
        svi_forward / 1e9,
    )
    return Expiry(expiry, forward / 1e9, signed(rate, 48) / 1e12, surface, fixed / ALL_FIXED)


def expiries(accounts: Iterable[Account]) -> dict[int, set[int]]:
    """Expiries in the books of accounts, by id of the underlying."""
    found: dict[int, set[int]] = {}
    for account in accounts:
        for word in account.words:
            expiry = (word >> 216) & (2**32 - 1)
            if expiry:
                found.setdefault(word >> 248, set()).add(expiry)
    return found


def books(accounts: Sequence[Account], names: Mapping[str, int], listed: Iterable[str], kinds: int) -> Books:
    """The books of accounts as arrays.

    Parameters
    ----------
    accounts : sequence of Account
    names : ids of underlyings
    listed : names of the market's underlyings
    kinds : how many kinds of collateral there are
    """
    index = {names[name]: k for k, name in enumerate(sorted(listed))}
    table: dict[int, int] = {}
    starts, of, size = [0], [], []
    for account in accounts:
        for word in account.words:
            of.append(table.setdefault(word >> 144, len(table)))
            size.append(signed((word >> 80) & (2**64 - 1), 64) / 1e6)
        starts.append(len(of))
    keys = list(table)
    return Books(
        mode=np.array([account.mode for account in accounts], dtype=np.int64),
        cash=np.array([account.cash / 1e18 for account in accounts], dtype=np.float64),
        cost=np.array([account.cost / 1e18 for account in accounts], dtype=np.float64),
        amount=np.array([account.amounts for account in accounts], dtype=np.float64).reshape(len(accounts), kinds),
        starts=np.array(starts, dtype=np.int64),
        instrument=np.array(of, dtype=np.int64),
        size=np.array(size, dtype=np.float64),
        instruments=Instruments(
            underlying=np.array([index[key >> 104] for key in keys], dtype=np.int64),
            kind=np.array([key & 0xFF for key in keys], dtype=np.int64),
            expiry=np.array([(key >> 72) & (2**32 - 1) for key in keys], dtype=np.int64),
            strike=np.array([((key >> 8) & (2**64 - 1)) / 1e6 for key in keys], dtype=np.float64),
        ),
    )


def is_preset(compiled: Mapping[str, Any], preset: Methodology, names: Mapping[str, int]) -> bool:
    """Whether the methodology on the chain is a preset's: its parameters, groups and number of scenarios."""
    parameters, groups, scenarios = chain.methodology_arguments(preset, dict(names))
    return (
        tuple(compiled["parameters"]) == parameters
        and [tuple(group) for group in compiled["groups"]] == groups
        and compiled["scenarios"] == len(scenarios)
    )
