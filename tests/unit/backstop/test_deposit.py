"""Deposits: what they cost, what they bring, and what nobody can do to the price."""

from __future__ import annotations

import pytest

from scripts.protocol import FUND
from tests.unit.backstop.conftest import JUNIOR, PAR, SENIOR, UNIT, WEEK, YEAR, Fund
from tests.unit.protocol_fixtures import QUOTE, WAD, usd


@pytest.mark.parametrize("kind", [JUNIOR, SENIOR])
def test_the_first_deposit_is_at_par(fund: Fund, kind: int) -> None:
    tranche = fund.tranches[kind]
    assert tranche.previewDeposit(usd(1_000)) == 1_000 * WAD * PAR
    shares = fund.deposit(tranche, fund.first, 1_000)
    assert shares == 1_000 * WAD * PAR == 1_000 * 10 ** tranche.decimals()
    assert fund.world.house.cash(FUND) == fund.pool.cash == 1_000 * WAD
    assert tranche.totalAssets() == tranche.convertToAssets(shares) == usd(1_000)
    assert fund.pool.assets[1 - kind] == 0
    fund.check()


def test_events_say_what_came(fund: Fund) -> None:
    fund.give(fund.first, fund.junior, usd(5))
    receipt = fund.junior.deposit(usd(5), fund.second, sender=fund.first)
    shares = 5 * WAD * PAR
    assert receipt.events.filter(fund.junior.Deposit)[0] == fund.junior.Deposit(
        sender=fund.first, owner=fund.second, assets=usd(5), shares=shares
    )
    assert receipt.events.filter(fund.backstop.Entered)[0] == fund.backstop.Entered(
        kind=JUNIOR, amount=usd(5), shares=shares
    )
    assert fund.junior.balanceOf(fund.second) == shares


def test_mint_costs_as_foreseen_rounded_up(held: Fund) -> None:
    """After a loss a share is worth 0.7: of three shares' units a token unit is a third."""
    held.lose(300)
    shares = 10 * WAD * PAR + 1
    cost = held.junior.previewMint(shares)
    assert cost == usd(7) + 1
    held.give(held.third, held.junior, cost)
    held.junior.mint(shares, held.third, sender=held.third)
    assert held.junior.balanceOf(held.third) == shares
    assert held.world.quote.balanceOf(held.third) == 0
    held.check()


def test_shares_are_rounded_down_for_those_who_are_there(held: Fund) -> None:
    held.lose(1_000 / 3)
    before = held.worth(held.junior, held.first)
    held.deposit(held.junior, held.third, 123.456789)
    assert held.worth(held.junior, held.third) <= usd(123.456789) * UNIT
    assert held.worth(held.junior, held.third) >= usd(123.456789) * UNIT - 1
    assert held.worth(held.junior, held.first) >= before
    held.check()


def test_nothing_is_refused(fund: Fund) -> None:
    assert fund.world.tries(fund.junior.deposit, 0, fund.first, sender=fund.first) == "custody: nothing arrived"


def test_a_deposit_stops_at_the_cap_of_the_house(held: Fund) -> None:
    credited = held.world.house.credited(QUOTE)
    held.world.collaterals.set_cap(QUOTE, credited + usd(10), sender=held.world.owner)
    assert held.junior.maxDeposit(held.third) == usd(10)
    assert held.junior.maxMint(held.third) == 10 * WAD * PAR
    held.give(held.third, held.junior, usd(11))
    assert held.world.tries(held.junior.deposit, usd(10) + 1, held.third, sender=held.third) == "custody: cap"
    held.junior.deposit(usd(10), held.third, sender=held.third)
    held.world.collaterals.set_cap(QUOTE, 0, sender=held.world.owner)
    assert held.junior.maxDeposit(held.third) == held.junior.maxMint(held.third) == 0


def test_donations_change_no_price(held: Fund) -> None:
    """INV-03: neither tokens sent to any of the contracts nor shares sent to the tranche."""
    p, world = held.world.protocol, held.world
    before = [t.convertToAssets(10**24) for t in held.tranches], tuple(held.pool.assets)
    for receiver in (p.backstop, p.junior, p.senior, p.clearing_house):
        world.quote.mint(receiver, usd(10**6), sender=world.stranger)
    held.junior.transfer(held.junior, 10**24, sender=held.first)
    held.sync()
    assert ([t.convertToAssets(10**24) for t in held.tranches], tuple(held.pool.assets)) == before
    # Nor does the next to come get what lies about.
    assert held.deposit(held.junior, held.third, 100) == 100 * WAD * PAR
    assert world.quote.balanceOf(p.backstop) == usd(10**6)


def test_nobody_inflates_the_first_share(fund: Fund) -> None:
    """The smallest deposit, then much income, released: the second comer loses less than a token unit."""
    fund.deposit(fund.junior, fund.first, 0.000001)
    fund.earn(1_000_000)
    fund.world.wait(WEEK)
    fund.sync()
    assert fund.assets[JUNIOR] == pytest.approx(1_000_000, rel=1e-9)
    fund.deposit(fund.junior, fund.second, 1_000)
    assert 0 <= 1_000 * WAD - fund.worth(fund.junior, fund.second) < UNIT
    fund.check()


def test_shares_left_by_the_last_are_not_the_next_ones(fund: Fund) -> None:
    """Whoever enters an empty tranche does so at par, whatever rounding or income the last holder left."""
    fund.deposit(fund.senior, fund.first, 1_000)
    fund.request(fund.senior, fund.first)
    # Requested shares earn nothing: these 10 USD are left behind.
    fund.earn(10)
    fund.world.wait(WEEK)
    assert fund.redeem(fund.senior, fund.first) == usd(1_000)
    assert fund.pool.income == 10 * WAD and fund.pool.shares[SENIOR] == 0
    assert fund.deposit(fund.senior, fund.second, 50) == 50 * WAD * PAR
    assert fund.worth(fund.senior, fund.second) == 50 * WAD
    fund.check()


def test_what_comes_while_nobody_holds_a_share_is_not_the_first_ones_at_once(fund: Fund) -> None:
    fund.earn(700)
    fund.world.wait(YEAR)
    fund.deposit(fund.junior, fund.first, 100)
    assert fund.worth(fund.junior, fund.first) == 100 * WAD
    fund.world.wait(WEEK // 7)
    assert fund.assets[JUNIOR] == pytest.approx(200, rel=1e-12)


def test_no_deposit_pays_what_the_fund_owes(held: Fund) -> None:
    held.lose(5_001)
    for tranche in held.tranches:
        assert tranche.maxDeposit(held.third) == 0
        held.give(held.third, tranche, usd(1))
        assert held.world.tries(tranche.deposit, usd(1), held.third, sender=held.third) == "backstop: shortfall"


def test_a_loss_that_was_not_booked_yet_is_before_a_deposit(held: Fund) -> None:
    """The price of a deposit is that of the moment, whoever has or has not looked at the fund."""
    held.move(-500 * WAD)
    shares = 500 * WAD * (1_000 * WAD * PAR + PAR) // (500 * WAD + 1)
    assert held.junior.previewDeposit(usd(500)) == shares
    assert held.deposit(held.junior, held.third, 500) == shares
    assert held.worth(held.junior, held.third) == pytest.approx(500 * WAD, abs=1)
    held.check()
