"""What a margin check over 250 rows costs: exact figures, and the targets they have to meet."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from python_model import methodology
from python_model.portfolio import SVI, Book, Expiry, Kind, Market, Mode, Position, Underlying
from scripts import chain, normal_table
from scripts.benchmark import AS_OF, DAY, calldata_gas
from tests.differential.tail_comparison import Setting, deploy, draw, of_rows

NAMES = {"BTC": 1, "ETH": 2}
SPOTS = {"BTC": 70_000.0, "ETH": 2_000.0}
EXPIRY_DAYS = (28, 56)
ROWS, K = 250, 3
TOLERANCE = 0.01


class Case(NamedTuple):
    """A book of options spread over underlyings and expiries."""

    legs: int
    underlyings: tuple[str, ...] = ("BTC", "ETH")
    expiries: int = 1


CASES = {
    "var_250x32": Case(32),
    "var_250x32 expiries=2": Case(32, expiries=2),
    "var_250x8": Case(8, ("ETH",)),
    "var_250x8 underlyings=2": Case(8),
}
# Gas of `assess` as a call from another contract, and as a transaction of its own; the scan of the house grid included,
# and with a grid that does not move.
RECORDED = {
    "house": {
        "var_250x32": (5_870_712, 5_906_136),
        "var_250x32 expiries=2": (6_278_931, 6_314_355),
        "var_250x8": (1_712_144, 1_737_632),
        "var_250x8 underlyings=2": (2_222_108, 2_247_608),
    },
    "var": {
        "var_250x32": (5_245_238, 5_280_662),
        "var_250x32 expiries=2": (5_578_743, 5_614_167),
        "var_250x8": (1_527_916, 1_553_404),
        "var_250x8 underlyings=2": (1_962_682, 1_988_182),
    },
}
TARGETS = {"var_250x32": 6_500_000, "var_250x32 expiries=2": 6_500_000, "var_250x8": 1_800_000}


def market() -> Market:
    """Two underlyings with a smile, expiries a month and two ahead."""
    underlyings = {}
    for name, spot in SPOTS.items():
        rows = []
        for i, days in enumerate(EXPIRY_DAYS):
            forward, tau = round(spot * (1 + 0.0035 * i), 6), days / 365
            surface = SVI(0.2 * tau, 0.6 * tau, -0.25, 0.0, 0.45, tau, forward)
            rows.append(Expiry(AS_OF + days * DAY, forward, 0.04, surface))
        underlyings[name] = Underlying(spot, 0.001, 0.16, spot, tuple(rows))
    return Market(AS_OF, underlyings)


def legs(case: Case) -> tuple[Position, ...]:
    """Calls and puts in turn, bought and sold in turn by pairs, strikes from 60% to 165% of spot."""
    count = case.legs // len(case.underlyings)
    return tuple(
        Position(
            name,
            Kind.CALL if i % 2 else Kind.PUT,
            (1.0 if i // 2 % 2 else -1.0) * (1 + i % 5),
            AS_OF + EXPIRY_DAYS[i % case.expiries] * DAY,
            round(SPOTS[name] * (0.6 + 1.05 * i / count), 2),
        )
        for name in case.underlyings
        for i in range(count)
    )


class Bench:
    """An engine with the house grid and one without, in a published market."""

    def __init__(self, contracts: Any, deployer: Any, ape_chain: Any) -> None:
        self.deployer, self.provider = deployer, ape_chain.provider

        def create(name: str, *arguments: Any) -> Any:
            return deployer.deploy(getattr(contracts, name), *arguments)

        deployment = chain.deploy_engine(contracts, deployer, [], NAMES)
        now = ape_chain.blocks.head.timestamp + 10
        ape_chain.pending_timestamp = now
        self.clock = chain.publish(deployment, market(), now)
        rows = of_rows(sorted(NAMES), *draw(1, sorted(NAMES), ROWS))
        kernels = (deployment.kernel, create("TailKernel", normal_table.words()))
        self.engines = {
            m.name: deploy(create, Setting(m, rows, K), NAMES, deployment.market_data, kernels)
            for m in map(methodology.load, ("house", "var"))
        }

    def gas(self, engine: Any, case: Case) -> tuple[int, int]:
        """Of a call by itself, and of a whole transaction."""
        book = Book(Mode.PORTFOLIO, 1e6, (), legs(case))
        data = bytes(engine.assess.encode_input(chain.account(book, market(), NAMES, self.clock)))
        call = {"from": self.deployer.address, "to": engine.address, "data": "0x" + data.hex(), "gas": hex(29_000_000)}
        answer = self.provider.web3.provider.make_request("debug_traceCall", [call, "latest", {"tracer": "callTracer"}])
        assert "error" not in answer["result"], answer
        return int(answer["result"]["gasUsed"], 16) - calldata_gas(data), self.send(call)

    def send(self, call: dict[str, str]) -> int:
        """Gas of a transaction."""
        eth = self.provider.web3.eth
        receipt = eth.wait_for_transaction_receipt(eth.send_transaction(call))
        assert receipt["status"] == 1
        return int(receipt["gasUsed"])


@pytest.fixture(scope="module")
def measured(project_contracts: Any, deployer: Any, ape_chain: Any) -> dict[str, dict[str, tuple[int, int]]]:
    with ape_chain.isolate():
        bench = Bench(project_contracts, deployer, ape_chain)
        found = {
            name: {case: bench.gas(engine, of) for case, of in CASES.items()} for name, engine in bench.engines.items()
        }
    for name, cases in found.items():
        for case, (call, transaction) in cases.items():
            print(f"{name:6s} {case:24s} call {call:>9,} transaction {transaction:>9,}")
    return found


def test_gas_is_what_was_recorded(measured):
    for name, cases in measured.items():
        for case, found in cases.items():
            assert found == pytest.approx(RECORDED[name][case], rel=TOLERANCE), (
                f"{name}, {case}: record {found}, or why"
            )


def test_targets_are_met(measured):
    for case, target in TARGETS.items():
        assert measured["house"][case][1] <= target, case
