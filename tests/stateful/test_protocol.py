"""Random lives of the whole protocol against its mirror: state, margin and invariants after every transaction.

Profile ci lives SEEDS * LIVES lives of STEPS steps, the same each time; profile deep others, and many times as many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from ape.contracts import ContractContainer
from ethpm_types import Bytecode
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from python_model import methodology
from python_model.portfolio import Book, Mode
from tests.differential import planting
from tests.differential.planting import Defect
from tests.stateful import world as worlds
from tests.stateful.life import STEPS, Life
from tests.stateful.mirror import Mirror
from tests.stateful.state import TAILS, Account

pytestmark = [pytest.mark.stateful, pytest.mark.slow]

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
SEEDS, LIVES = (8, 125) if DEEP else (8, 10)
# What matters must have happened within so many rounds of so many lives.
ROUNDS, ROUND = 10, 20
# A wrong contract or mirror must be found out within so many tens of lives, each of a seed of its own: later lives of a
# seed are much like its earlier ones.
TENS = 12
# Hypothesis ends a few lives early. Of each seed so many must be whole, which is 32 together.
WHOLE = 4
# What the lives of this process have met with.
HAPPENED: Counter[Any] = Counter()

# Every act of a life that changes state, with a reason for which it must also have been refused.
REFUSED = {
    "create_account": "accounts: mode",
    "set_operator": "accounts: not the owner",
    "transfer_account": "accounts: not the owner",
    "set_mode": "accounts: not the owner",
    "deposit": "custody: nothing arrived",
    "withdraw": "solvency: margin",
    "transfer": "solvency: margin",
    "trade": "solvency: margin",
    "execute": "solvency: margin",
    "bid": "liquidation: healthy",
    "end": "liquidation: unhealthy",
    "absorb": "liquidation: no debt",
    "set_terms": "authority: not the owner",
    "set_evidence": "authority: not the owner",
    "set_deleveraging": "authority: not the owner",
    "set_deleveraged": "liquidation: caller",
    "set_member": "authority: not the owner",
    "approve": "accounts: not authorised",
    "cancel": "accounts: not authorised",
    "cancel_range": "accounts: not authorised",
    "cancel_below": "exchange: nonce",
    "realise": "settlement: stale data",
    "collect": "cash: not earned",
    "set_open_interest_cap": "authority: not the owner",
    "set_fees": "authority: not the owner",
    "set_paused": "authority: not the guardian",
    "set_guardian": "authority: not the owner",
    "set_contracts": "custody: collaterals are fixed",
    "transfer_ownership": "authority: not the owner",
    "accept_ownership": "authority: not the new owner",
    "post": "clearing house: caller",
    "award": "liquidation: caller",
    "agree": "exchange: caller",
}
# What contracts alone may call, and so passes only within something else.
INNER = {"post", "award", "agree"}
# Never refused: anyone may settle anything.
EVERY = REFUSED.keys() | {"settle"}

# Found with the mirror as it is.
DEFECTS = [
    Defect(
        "a bid prints cash",
        "modules/slices.vy",
        "ledger._change(bidder, sale.bidder_cash + taken)",
        "ledger._change(bidder, taken)",
        "ClearingHouse",
    ),
    Defect(
        "prices are rounded down",
        "Liquidation.vy",
        "price = fixed_point.mul_up(value, WAD - discount)",
        "price = fixed_point.mul_down(value, WAD - discount)",
        "Liquidation",
    ),
    Defect(
        "what tails may be worth is rounded as for the grid",
        "modules/rounding.vy",
        "spots = TAIL_SPOTS",
        "spots = SPOTS",
        "Liquidation",
    ),
    Defect("rounding is for nothing", "Liquidation.vy", "        price += premium\n", "        pass\n", "Liquidation"),
    Defect(
        "the fund pays twice",
        "Liquidation.vy",
        "fund_cash = min(price, 0)",
        "fund_cash = min(2 * price, 0)",
        "Liquidation",
    ),
    Defect(
        "makers go unchecked",
        "ClearingHouse.vy",
        "_touch(fill.maker, solvency.DUE)",
        "_touch(fill.maker, solvency.KEPT)",
        "ClearingHouse",
    ),
    Defect("a loss is a profit", "modules/positions.vy", "profit = -total", "profit = total", "ClearingHouse"),
    Defect("puts pay as calls", "Settlement.vy", "value = -value", "pass", "Settlement"),
    Defect("debts are rounded down", "MoneyMarket.vy", " - (convert(index, int256) - 1)", "", "MoneyMarket"),
]

# Found as late as in the hundredth life, and by the unit tests of fills at once.
LATE = [Defect("lots fill for ever", "modules/orders.vy", "self.filled[digest] = filled", "pass", "Exchange")]
DEFECTS += LATE if DEEP else []


builds = planting.builds_of(DEFECTS)


@pytest.fixture(scope="module")
def new_world(project_contracts: Any, accounts: Any, ape_chain: Any, isolated: Any) -> Iterator[worlds.World]:
    """Deploys the protocol, perhaps with other contracts."""

    def create(**others: Any) -> worlds.World:
        contracts = SimpleNamespace(**{**vars(project_contracts), **others})
        return worlds.build(contracts, accounts, ape_chain.provider, methodology.load("house"))

    with isolated():
        yield create


@pytest.fixture(scope="module")
def world(new_world: Any) -> worlds.World:
    """One deployment for all examples."""
    return new_world()


def live(world: worlds.World, mirror: type[Mirror] = Mirror, seed: int | None = None, **options: Any) -> Counter[Any]:
    """Lives of the protocol beside a mirror, other ones for each seed. What happened in them."""
    seen: Counter[tuple[str, str]] = Counter()
    machine = partial(Life, world, seen, mirror)
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    # One step more, with which a life begins.
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=STEPS + 1, **options))
    for (name, outcome), times in sorted(seen.items()):
        print(f"{name:24s} {outcome or '(silent)':32s} {times:6d}")
    return seen


# The same lives each time for the same code: Hypothesis draws its constants from all modules that are loaded.
FIXED: dict[str, Any] = {
    "derandomize": True,
    "database": None,
    "print_blob": False,
    "phases": [Phase.generate],
    "report_multiple_bugs": False,
}


def live_on(world: worlds.World, mirror: type[Mirror] = Mirror) -> None:
    """Lives in which something wrong must be found out; mostly it is in the first ten."""
    for seed in range(TENS):
        live(world, mirror, seed=seed, max_examples=10, **FIXED)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_protocol_is_its_mirror(world, seed):
    """INV-01 to INV-07, INV-09, INV-10, INV-12 after every transaction. In parts, so that workers can share them."""
    seen = live(world, seed=None if DEEP else seed, max_examples=LIVES)
    assert seen["life", "whole"] >= WHOLE
    HAPPENED.update(seen)


def missing(seen: Counter[Any]) -> list[str]:
    """What has not happened yet that has to."""
    lacks = [f"no {name} was ever refused: {reason}" for name, reason in REFUSED.items() if not seen[name, reason]]
    lacks += [f"no {name} ever passed" for name in sorted(REFUSED.keys() - INNER) if not seen[name, "passed"]]
    rare = {
        ("decision 5", "passed"): "no account below initial margin ever reduced risk",
        ("settle", "legs"): "nothing was ever settled",
        ("realise", "moved"): "no profit was ever realised",
        ("collect", "of something"): "no interest was ever collected",
        ("borrow", "debts"): "nobody ever owed cash for long",
        ("fill", "passed"): "no more lots of an order were ever filled",
        ("trade", "positions: open interest"): "no cap on open interest was ever hit",
        ("sale", "start"): "no auction was ever started",
        ("sale", "solvent"): "no slice was ever sold",
        ("sale", "insolvent"): "nothing without net value was ever sold",
        ("sale", "targeted"): "no legs were ever chosen",
        ("sale", "part"): "no account was ever sold in part",
        ("sale", "whole"): "no account was ever sold as a whole",
        ("sale", "marked"): "no auction was ever marked",
        ("sale", "several bidders"): "nobody ever bought after another",
        ("bid", "engine: mode"): "evidence was never tried against an account that a tail margins",
        ("trade", "positions: weight of this mode"): "no book was ever too heavy",
    }
    for mode in TAILS:
        rare |= {
            (mode, "traded"): f"no account of mode {mode} ever traded",
            (mode, "lacked margin"): f"no account of mode {mode} was ever refused for margin",
            (mode, "by the tail"): f"no account of mode {mode} ever needed more than by the grid",
            (mode, "chosen"): f"no account with positions ever went to mode {mode}",
            (mode, "left"): f"no account with positions ever left mode {mode}",
            (mode, "sold: start"): f"no auction of mode {mode} was ever started",
            (mode, "sold: solvent"): f"no slice of mode {mode} was ever sold",
            (mode, "bought"): f"no account of mode {mode} ever bought in an auction",
        }
    return lacks + [words for what, words in rare.items() if not seen[what]]


def test_what_matters_happens(world):
    """Each act passes, and each is refused, in the lives lived already and a few rounds of others."""
    seen = HAPPENED.copy()
    for number in range(ROUNDS):
        if not missing(seen):
            break
        seen += live(world, seed=SEEDS + number, max_examples=ROUND, **FIXED)
    assert not missing(seen)


def test_every_function_has_a_rule(world):
    """Of the clearing house and the exchange, those that change state, and those beside them that move money."""
    p = world.protocol
    contracts = {
        p.clearing_house: None,
        p.exchange: None,
        p.settlement: None,
        p.liquidation: None,
        p.money_market: {"collect"},
    }
    forgotten = {
        f"{contract.contract_type.name}.{f.name}"
        for contract, names in contracts.items()
        for f in contract.contract_type.abi
        if f.type == "function" and f.is_stateful and (names is None or f.name in names) and f.name not in EVERY
    }
    assert not forgotten, f"no rule of tests/stateful/life.py calls {sorted(forgotten)}: see tests/stateful/machine.py"


class ForgetsMargin(Mirror):
    def _require_sound(self, before: Account, after: Account, paid: bool, fees: int) -> None:
        pass


class ForgetsHeartbeats(Mirror):
    def is_fresh(self, account: Account) -> bool:
        return True


class ForgetsWhoseAccountItIs(Mirror):
    def controls(self, account: int, caller: str, scope: int) -> bool:
        return True


class ForgetsThatATailMayStandAlone(Mirror):
    def book(self, account: Account) -> Book:
        book = super().book(account)
        return replace(book, mode=Mode.MAX) if account.mode is Mode.VAR else book


@pytest.mark.parametrize(
    "wrong", [ForgetsMargin, ForgetsHeartbeats, ForgetsWhoseAccountItIs, ForgetsThatATailMayStandAlone]
)
def test_a_wrong_mirror_is_found_out(world, wrong):
    """Within a few lives: what happens to the true contracts differs from what a wrong mirror expects."""
    with pytest.raises(AssertionError):
        live_on(world, wrong)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_wrong_contract_is_found_out(new_world, builds, project_contracts, defect):
    """The same lives, with a defect planted in a contract."""
    changed = {"deployment_bytecode": Bytecode(bytecode=builds[defect.name].result())}
    true = getattr(project_contracts, defect.rebuilds)
    world = new_world(**{defect.rebuilds: ContractContainer(true.contract_type.model_copy(update=changed))})
    with pytest.raises(AssertionError):
        live_on(world)
