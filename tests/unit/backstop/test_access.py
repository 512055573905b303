"""Access matrix: every function of the fund's contracts that is no view, by every role (INV-05)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scripts import protocol
from tests.unit.backstop.conftest import JUNIOR, WEEK, Fund
from tests.unit.protocol_fixtures import World, usd

ROLES = (
    "owner",
    "guardian",
    "holder",
    "operator",
    "spender",
    "stranger",
    "member",
    "collaterals",
    "clearing house",
    "tranche",
    "old tranche",
)
SHARES = 10**24


@dataclass(frozen=True)
class Stage:
    """A holder with a request that is ready, an operator and a spender of theirs, and tokens for everybody."""

    fund: Fund
    vacant: Any
    old: Any

    @property
    def holder(self) -> Any:
        return self.fund.first

    def sender(self, role: str) -> Any:
        w = self.fund.world
        return {
            "owner": w.owner,
            "guardian": w.guardian,
            "holder": self.holder,
            "operator": self.fund.second,
            "spender": self.fund.third,
            "stranger": w.stranger,
            "member": self.fund.key,
            "collaterals": w.collaterals,
            "clearing house": w.house,
            "tranche": self.fund.junior,
            "old tranche": self.old,
        }[role]


@pytest.fixture(scope="module")
def stage(deployed_fund: Fund) -> Stage:
    fund, world = deployed_fund, deployed_fund.world
    old = fund.another(JUNIOR)
    fund.backstop.set_tranche(JUNIOR, old, sender=world.owner)
    fund.backstop.set_tranche(JUNIOR, fund.junior, sender=world.owner)
    fund.deposit(fund.junior, fund.first, 1_000)
    fund.junior.setOperator(fund.second, True, sender=fund.first)
    fund.junior.approve(fund.third, SHARES, sender=fund.first)
    fund.request(fund.junior, fund.first, 100 * SHARES)
    world.wait(WEEK)
    for user in (world.owner, world.guardian, *(fund.first, fund.second, fund.third), world.stranger, fund.key):
        fund.give(user, fund.junior, usd(10))
    for contract in (world.collaterals, world.house, fund.junior, old):
        # Their views of themselves would be too small; what they call is simulated from their address.
        world.quote.mint(contract, usd(10), sender=world.owner)
    # Lies in the backstop within a call alone; here, so that `enter` has something to take.
    world.quote.mint(fund.backstop, usd(1), sender=world.owner)
    # Vacant, so that another may take its place.
    vacant = fund.another(1)
    return Stage(fund, vacant, old)


Row = tuple[Callable[[Stage], tuple[Any, ...]], set[str], str]
EVERYBODY = set(ROLES)
OWNER_ONLY = ({"owner"}, "authority: not the owner")
CONTROL = ({"holder", "operator"}, "tranche: not the controller")

# Arguments with which somebody passes, who passes, and what everybody else is told.
BACKSTOP: dict[str, Row] = {
    "sync": (lambda s: (), EVERYBODY, ""),
    "recover": (lambda s: (s.fund.world.taking,), EVERYBODY, ""),
    "dock": (lambda s: (s.fund.world.taking, 1, 1), {"collaterals"}, "backstop: caller"),
    "enter": (lambda s: (usd(1), 2**256 - 1), {"tranche"}, "backstop: caller"),
    "leave": (lambda s: (SHARES, 10**18, s.fund.third), {"tranche"}, "backstop: caller"),
    "set_terms": (lambda s: (tuple(protocol.BACKSTOP.values()),), *OWNER_ONLY),
    "set_tranche": (lambda s: (1, s.vacant), *OWNER_ONLY),
}
TRANCHE: dict[str, Row] = {
    "requestRedeem": (lambda s: (SHARES, s.holder, s.holder), *CONTROL),
    "redeem": (lambda s: (SHARES, s.holder, s.holder), *CONTROL),
    "withdraw": (lambda s: (usd(1), s.holder, s.holder), *CONTROL),
    "setOperator": (lambda s: (s.fund.third, False), EVERYBODY, ""),
    "transfer": (lambda s: (s.fund.third, 0), EVERYBODY, ""),
    "transferFrom": (lambda s: (s.holder, s.fund.third, SHARES), {"spender"}, "erc20: insufficient allowance"),
    "approve": (lambda s: (s.fund.third, 1), EVERYBODY, ""),
}
CONTRACTS = {"backstop": BACKSTOP, "junior": TRANCHE}
# Which take what the caller has allowed, and what its owner has signed: tested with their effects.
ELSEWHERE = {"deposit", "mint", "permit"}


def functions(contract: Any) -> set[str]:
    """Every function that can change state."""
    return {abi.name for abi in contract.contract_type.mutable_methods}


def test_every_function_has_a_row(stage: Stage) -> None:
    assert functions(stage.fund.backstop) == set(BACKSTOP)
    assert functions(stage.fund.junior) == set(TRANCHE) | ELSEWHERE


@pytest.mark.parametrize(("contract", "function"), [(c, f) for c, rows in CONTRACTS.items() for f in rows])
def test_every_role_is_let_in_or_told_why_not(stage: Stage, contract: str, function: str) -> None:
    arguments, allowed, reason = CONTRACTS[contract][function]
    handler = getattr(getattr(stage.fund, contract), function)
    answers = {role: stage.fund.world.tries(handler, *arguments(stage), sender=stage.sender(role)) for role in ROLES}
    assert answers == {role: None if role in allowed else reason for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_deposits_are_of_the_callers_tokens(stage: Stage, role: str) -> None:
    """Whoever has allowed the tranche to take some; contracts of the protocol have not."""
    users = {"owner", "guardian", "holder", "operator", "spender", "stranger", "member"}
    for deposit, amount in ((stage.fund.junior.deposit, usd(1)), (stage.fund.junior.mint, SHARES)):
        answer = stage.fund.world.tries(deposit, amount, stage.fund.third, sender=stage.sender(role))
        assert answer == (None if role in users else ""), role


def test_the_account_of_the_fund_answers_to_the_backstop_alone(stage: Stage) -> None:
    world: World = stage.fund.world
    house, fund = world.house, protocol.FUND
    waiting = stage.fund.backstop.claims_account()
    assert house.owner_of(fund) == house.owner_of(waiting) == stage.fund.backstop
    for role in set(ROLES) - {"clearing house"}:
        sender = stage.sender(role)
        for account in (fund, waiting):
            for call in (
                (house.withdraw, account, 0, 1, world.stranger),
                (house.deposit, account, 0, 1),
                (house.transfer, account, world.taking, 0, 1),
            ):
                assert world.tries(*call, sender=sender) == "accounts: not authorised", role
            assert world.tries(house.transfer_account, account, world.stranger, sender=sender) == (
                "accounts: not the owner"
            )


def test_nobody_permits_for_another(stage: Stage) -> None:
    world = stage.fund.world
    permit = (stage.fund.junior.permit, stage.holder, world.stranger, SHARES, 2**64, 27, b"\1" * 32, b"\1" * 32)
    assert world.tries(*permit, sender=world.stranger) == "erc20: invalid signature"
