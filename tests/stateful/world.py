"""The deployed protocol for a state machine: raw JSON-RPC in batches, because a machine lives on thousands of calls.

Time is the machine's own: every transaction is mined at the second it names, and every view is asked as of that second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import requests
from eth_abi import decode, encode
from eth_utils import keccak

from python_model import listing, methodology, scenario_set, volatility
from python_model.case import read_market
from python_model.methodology import Methodology
from python_model.portfolio import Market
from python_model.tail import Tail
from scripts import chain, protocol
from tests.stateful.market import WIDEST
from tests.stateful.state import SILENT, UNIT, USDC, WETH

GAS = 16_000_000
SNAPSHOT = "eth-btc-2026-02-05"
SCAN_RANGE = 0.16
# Of the scenario set: two of them make its tail, and the last word is half full.
ROWS = 102
# Of the snapshot's expiries: in 35 hours, 21 days and 140 days.
EXPIRIES = (1, 6, 9)
# What each user, and the owner, has in the wallet.
PURSE = {USDC: 10**6 * 10**6, WETH: 500 * 10**18}
CAP = {USDC: 10**9 * 10**6, WETH: 10**6 * 10**18}


class Rpc:
    """Batches of JSON-RPC requests to one node."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        """The answers, in the order of the calls."""
        if not calls:
            return []
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
        answers = self.session.post(self.url, json=body, timeout=120).json()
        return sorted(answers, key=lambda answer: answer["id"])

    def one(self, method: str, *parameters: Any) -> Any:
        """The result of one request that must succeed."""
        answer = self.batch([(method, list(parameters))])[0]
        assert "error" not in answer, answer
        return answer["result"]


@dataclass(frozen=True)
class Call:
    """A function of a contract with its arguments encoded."""

    contract: Any
    function: Any
    data: str

    def transaction(self, sender: str | None = None) -> dict[str, str]:
        row = {"to": self.contract.address, "data": self.data}
        return row if sender is None else {**row, "from": sender}

    def decoded(self, answer: str) -> Any:
        """What the function returned; structs with their field names."""
        outputs = self.function.outputs
        values = decode([o.canonical_type for o in outputs], bytes.fromhex(answer[2:]))
        named = [with_names(o, value) for o, value in zip(outputs, values, strict=True)]
        return named[0] if len(named) == 1 else named


def with_names(abi: Any, value: Any) -> Any:
    """A decoded struct as a namespace, also inside of lists."""
    if not abi.components:
        return value
    if str(abi.type).endswith("[]"):
        return [with_names(abi.model_copy(update={"type": "tuple"}), row) for row in value]
    return SimpleNamespace(**{c.name: with_names(c, row) for c, row in zip(abi.components, value, strict=True)})


def abi_of(contract: Any, name: str) -> Any:
    """The one function of that name."""
    (function,) = [f for f in contract.contract_type.abi if f.type == "function" and f.name == name]
    return function


def call(contract: Any, name: str, *arguments: Any) -> Call:
    """Encode a call."""
    function = abi_of(contract, name)
    data = encode([i.canonical_type for i in function.inputs], arguments)
    return Call(contract, function, "0x" + (keccak(text=function.selector)[:4] + data).hex())


def reason(error: dict[str, Any]) -> str:
    """The revert reason in an error of the node; SILENT where there is none."""
    data = bytes.fromhex((error.get("data") or "0x")[2:])
    if data[:4] == keccak(text="Error(string)")[:4]:
        return str(decode(["string"], data[4:])[0])
    assert "revert" in error["message"], error
    return SILENT


@dataclass(frozen=True)
class World:
    """A protocol, its users, the market it starts with, and the node."""

    protocol: protocol.Protocol
    methodology: Methodology
    tail: Tail
    dynamic: volatility.Terms
    rpc: Rpc
    owner: Any
    guardian: Any
    users: list[Any]
    market: Market
    start: int
    # Addresses of the engines of evidence.
    evidence: tuple[str, ...]

    def view(self, calls: Sequence[Call], time: int, sender: str | None = None) -> list[Any]:
        """Results of views as of a second; an `AssertionError` where one reverts."""
        values = []
        for one, answer in zip(calls, self.ask(calls, time, sender), strict=True):
            assert "error" not in answer, f"{one.function.name}: {answer['error']['message']}"
            values.append(one.decoded(answer["result"]))
        return values

    def ask(self, calls: Sequence[Call], time: int, sender: str | None = None) -> list[dict[str, Any]]:
        """Raw answers of `eth_call` as of a second."""
        return self.rpc.batch([("eth_call", [c.transaction(sender), "latest", {}, {"time": hex(time)}]) for c in calls])

    def refusal(self, one: Call, time: int, sender: str) -> str | None:
        """Why a call reverts; None where it would not."""
        answer = self.ask([one], time, sender)[0]
        return reason(answer["error"]) if "error" in answer else None

    def send(self, one: Call, time: int, sender: str) -> bool:
        """Mine a transaction in a block of its own at a second. Whether it succeeded."""
        transaction = {**one.transaction(sender), "gas": hex(GAS), "gasPrice": "0x0"}
        timed, receipt = self.rpc.batch(
            [("evm_setNextBlockTimestamp", [time]), ("eth_sendTransactionSync", [transaction])]
        )
        assert "error" not in timed, timed
        assert "error" not in receipt, receipt
        return receipt["result"]["status"] == "0x1"


def start_market(after: int) -> Market:
    """The snapshot after a time, in a week that lists its expiries; with a rate, so that discount factors matter."""
    market = read_market(SNAPSHOT)
    times = {u.expiries[i].expiry for u in market.underlyings.values() for i in EXPIRIES}
    shift = listing.shift(market.as_of, times, after)
    underlyings = {}
    for name, u in market.underlyings.items():
        rows = [replace(u.expiries[i], expiry=u.expiries[i].expiry + shift, rate=0.04) for i in EXPIRIES]
        underlyings[name] = replace(u, expiries=tuple(rows))
    return Market(market.as_of + shift, underlyings)


def build(contracts: Any, accounts: Any, provider: Any, preset: Methodology) -> World:
    """Deploy the protocol; three users and the owner have tokens and let the clearing house take them."""
    owner, guardian, *others = accounts
    users = others[:3]
    tokens = protocol.deploy_tokens(contracts, owner)
    # What a scan range does is tested with market data: here it stays.
    *fixed, _, jump, confirmation = chain.fixed_terms(SCAN_RANGE)
    terms = (*fixed, chain.scaled(WIDEST, 12), jump, confirmation)
    names = chain.ids(["ETH", "BTC"])
    rows = scenario_set.synthetic(ROWS)
    deployed = protocol.deploy(contracts, owner, preset, names, tokens, terms=terms, trusted=True, rows=rows)
    far = methodology.load("max").tail
    assert far is not None
    tail = Tail(rows, far.alpha, far.horizon_days)
    dynamic = volatility.Terms(floor=SCAN_RANGE, cap=SCAN_RANGE, initial=SCAN_RANGE)
    now = provider.get_block("latest").timestamp + 1
    market = start_market(now + 100)
    evidence = tuple(str(address) for address in deployed.liquidation.evidence())
    rpc = Rpc(provider.uri)
    world = World(deployed, preset, tail, dynamic, rpc, owner, guardian, users, market, market.as_of, evidence)
    calls = [(call(deployed.clearing_house, "set_guardian", guardian.address), owner)]
    # Contracts that own accounts of the protocol act by themselves here, as if they had keys.
    world.rpc.one("anvil_autoImpersonateAccount", True)
    holders = (deployed.backstop, deployed.yields)
    for user in (*users, owner, *holders):
        for kind, token in ((USDC, deployed.quote), (WETH, deployed.weth)):
            calls.append((call(token, "mint", user.address, PURSE[kind]), user))
            calls.append((call(token, "approve", deployed.clearing_house.address, 2**256 - 1), user))
    for one, sender in calls:
        now += 1
        assert world.send(one, now, sender.address)
    assert now < world.start
    assert all(
        10 ** (18 - token.decimals()) == UNIT[kind] for kind, token in ((USDC, deployed.quote), (WETH, deployed.weth))
    )
    return world
