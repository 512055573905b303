"""The insurance fund of a deployed protocol, its holders, and a key that moves cash in and out of the fund."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scripts.protocol import FUND
from tests.unit.protocol_fixtures import DAY, EMPTY, WAD, World

JUNIOR, SENIOR = 0, 1
WEEK = 7 * DAY
YEAR = 365 * DAY
# 1e-18 quote units in a unit of the token, and shares for 1e-18 at the start.
UNIT, PAR = 10**12, 10**6


@dataclass(frozen=True, repr=False)
class Fund:
    """The backstop, without interest on cash, so that sums can be done by hand."""

    world: World
    # A member of the house, as the contracts are that cause losses and income.
    key: Any
    # Who deposits.
    first: Any
    second: Any
    third: Any

    @property
    def backstop(self) -> Any:
        return self.world.protocol.backstop

    @property
    def tranches(self) -> tuple[Any, Any]:
        return self.world.protocol.junior, self.world.protocol.senior

    @property
    def junior(self) -> Any:
        return self.world.protocol.junior

    @property
    def senior(self) -> Any:
        return self.world.protocol.senior

    # --------------------------------------------------------------------------------------------------- its holders

    def give(self, user: Any, tranche: Any, units: int) -> None:
        """Tokens that a tranche may take."""
        self.world.quote.mint(user, units, sender=user)
        self.world.quote.approve(tranche, units, sender=user)

    def deposit(self, tranche: Any, user: Any, usd: float) -> int:
        """Deposit freshly minted tokens; the shares."""
        units = round(usd * 10**6)
        self.give(user, tranche, units)
        before = tranche.balanceOf(user)
        tranche.deposit(units, user, sender=user)
        return int(tranche.balanceOf(user) - before)

    def request(self, tranche: Any, user: Any, shares: int | None = None) -> None:
        """Request the redemption of shares, by default of all."""
        amount = tranche.balanceOf(user) if shares is None else shares
        tranche.requestRedeem(amount, user, user, sender=user)

    def redeem(self, tranche: Any, user: Any) -> int:
        """Redeem whatever can be; token units received."""
        before = self.world.quote.balanceOf(user)
        tranche.redeem(tranche.claimableRedeemRequest(0, user), user, user, sender=user)
        return int(self.world.quote.balanceOf(user) - before)

    def exit(self, tranche: Any, user: Any) -> int:
        """Request, wait and redeem everything; token units received."""
        self.request(tranche, user)
        self.world.wait(WEEK)
        return self.redeem(tranche, user)

    def worth(self, tranche: Any, user: Any) -> int:
        """Of the shares of a user, 1e-18."""
        return int(self.backstop.to_assets(tranche.kind(), tranche.balanceOf(user), False))

    def another(self, kind: int, backstop: Any = None) -> Any:
        """A tranche that nobody has named."""
        arguments = (backstop or self.backstop, kind, "Ballast Tranche 2", "bTR2")
        return self.world.owner.deploy(self.world.contracts.Tranche, *arguments)

    # ------------------------------------------------------------------------------------------------ gains and losses

    def move(self, wad: int) -> None:
        """Cash from a trader to the fund, or from the fund to a trader."""
        for account, amount in ((FUND, wad), (self.world.making, -wad)):
            self.world.house.post(account, [], amount, 0, sender=self.key)

    def lose(self, usd: float) -> None:
        """A loss, booked."""
        self.move(-round(usd * 10**6) * UNIT)
        self.backstop.sync(sender=self.key)

    def earn(self, usd: float) -> None:
        """Income, booked and not released yet."""
        self.move(round(usd * 10**6) * UNIT)
        self.backstop.sync(sender=self.key)

    def sync(self) -> None:
        self.backstop.sync(sender=self.key)

    # -------------------------------------------------------------------------------------------------------- figures

    @property
    def pool(self) -> Any:
        """`IBackstop.Pool`."""
        return self.backstop.pool()

    @property
    def assets(self) -> tuple[float, float]:
        """Of both tranches, USD."""
        return self.pool.assets[JUNIOR] / WAD, self.pool.assets[SENIOR] / WAD

    def recoverable(self, account: int) -> int:
        return int(self.backstop.claim_of(account)[1])

    def owed(self, account: int) -> int:
        return int(self.backstop.claim_of(account)[0])

    def check(self) -> None:
        """Whose the fund is, to the wei, and INV-02."""
        self.sync()
        pool, house = self.pool, self.world.house
        assert pool.income + sum(pool.assets) == max(pool.cash, 0)
        assert pool.cash == house.cash(FUND)
        for kind, tranche in enumerate(self.tranches):
            assert pool.shares[kind] == tranche.totalSupply()
            assert self.backstop.to_assets(kind, tranche.totalSupply(), False) <= pool.assets[kind]
        assert self.world.quote.balanceOf(self.backstop) == 0
        self.world.check_ledger()


@pytest.fixture(scope="module")
def deployed_fund(deployed_world: World, accounts: Any) -> Fund:
    world, key = deployed_world, deployed_world.heir
    world.house.set_member(key, True, sender=world.owner)
    world.protocol.money_market.set_interest_rates(EMPTY, sender=world.owner)
    return Fund(world, key, *accounts[8:11])


@pytest.fixture
def fund(deployed_fund: Fund) -> Fund:
    """Empty."""
    return deployed_fund


@pytest.fixture
def held(fund: Fund) -> Fund:
    """The first has 1,000 USD in the junior, the second 4,000 USD in the senior tranche."""
    fund.deposit(fund.junior, fund.first, 1_000)
    fund.deposit(fund.senior, fund.second, 4_000)
    return fund
