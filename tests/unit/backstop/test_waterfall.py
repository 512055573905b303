"""Losses and income: in which order, how fast, and who gets nothing of what was earned before."""

from __future__ import annotations

import pytest

from scripts import chain, protocol
from scripts.protocol import FUND
from tests.unit.backstop.conftest import JUNIOR, PAR, SENIOR, UNIT, WEEK, YEAR, Fund
from tests.unit.protocol_fixtures import DAY, WAD, usd

COUPON = protocol.BACKSTOP["coupon"]


def coupon(assets: int, seconds: int) -> int:
    """Due on assets of the senior tranche, rounded down."""
    return assets * COUPON * seconds // (WAD * YEAR)


# ------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("loss", "junior", "senior", "cash"),
    [
        (0.000001, 999.999999, 4_000, 4_999.999999),
        (400, 600, 4_000, 4_600),
        (1_000, 0, 4_000, 4_000),
        (1_000.5, 0, 3_999.5, 3_999.5),
        (5_000, 0, 0, 0),
        (5_100, 0, 0, -100),
    ],
)
def test_losses_take_junior_then_senior(held: Fund, loss: float, junior: float, senior: float, cash: float) -> None:
    held.lose(loss)
    pool = held.pool
    assert tuple(pool.assets) == (usd(junior) * UNIT, usd(senior) * UNIT)
    assert pool.cash == usd(cash) * UNIT
    held.check()


def test_income_not_released_yet_bears_losses_first(held: Fund) -> None:
    held.earn(50)
    held.lose(30)
    assert held.pool.income == 20 * WAD and held.assets == (1_000, 4_000)
    held.lose(30)
    assert held.pool.income == 0 and held.assets == (990, 4_000)
    held.check()


def test_every_holder_of_a_tranche_loses_alike(held: Fund) -> None:
    held.deposit(held.junior, held.third, 3_000)
    held.lose(1_000)
    assert held.worth(held.junior, held.first) == pytest.approx(750 * WAD, abs=1)
    assert held.worth(held.junior, held.third) == pytest.approx(2_250 * WAD, abs=1)


def test_what_passes_between_two_looks_counts_as_one(held: Fund) -> None:
    """A loss that came back before anybody looked wiped out nobody, but the price knows nothing of it either."""
    held.move(-2_000 * WAD)
    held.move(1_900 * WAD)
    held.sync()
    assert held.assets == (900, 4_000)
    held.check()


# ------------------------------------------------------------------------------------------------------------- income


def test_income_is_released_linearly_in_a_week(held: Fund) -> None:
    held.earn(70)
    assert held.assets == (1_000, 4_000) and held.pool.income == 70 * WAD
    for day in range(1, 8):
        held.world.wait(DAY)
        if day % 3 == 0:
            # Whether anybody looks meanwhile makes no difference but for rounding.
            held.sync()
        pool = held.pool
        assert pool.income == pytest.approx((70 - 10 * day) * WAD, abs=10)
        due = coupon(4_000 * WAD, DAY * day)
        # Compounded for at most a week, at a thousandth for the week.
        assert pool.assets[SENIOR] - 4_000 * WAD == pytest.approx(due, rel=1e-3)
        held.check()
    assert held.pool.income == 0
    held.world.wait(WEEK)
    assert held.pool.assets[SENIOR] == held.backstop.pool().assets[SENIOR]
    assert sum(held.pool.assets) == 5_070 * WAD


def test_coupon_first_to_the_wei(held: Fund) -> None:
    """In one step: released, of which what is due to the senior tranche, and the rest."""
    held.earn(70)
    held.world.wait(DAY)
    due = coupon(4_000 * WAD, DAY)
    assert tuple(held.pool.assets) == (1_010 * WAD - due, 4_000 * WAD + due)


def test_income_below_the_coupon_is_all_the_seniors(held: Fund) -> None:
    held.earn(0.7)
    held.world.wait(WEEK)
    due = coupon(4_000 * WAD, WEEK)
    assert due > 0.7 * WAD
    assert tuple(held.pool.assets) == (1_000 * WAD, 4_000 * WAD + usd(0.7) * UNIT)
    assert held.pool.coupon_due == due - usd(0.7) * UNIT
    # It is paid from what comes later.
    held.earn(70)
    held.world.wait(WEEK)
    assert held.pool.assets[SENIOR] - 4_000 * WAD == pytest.approx(coupon(4_000 * WAD, 2 * WEEK), rel=1e-3)


def test_coupons_are_never_paid_out_of_assets(held: Fund) -> None:
    held.world.wait(YEAR)
    held.sync()
    assert held.assets == (1_000, 4_000)


def test_arrears_end_after_ninety_days(held: Fund) -> None:
    held.world.wait(YEAR)
    assert held.pool.coupon_due == coupon(4_000 * WAD, 90 * DAY)


def test_without_a_junior_tranche_the_senior_gets_it_all(fund: Fund) -> None:
    fund.deposit(fund.senior, fund.second, 4_000)
    fund.earn(70)
    fund.world.wait(WEEK)
    assert tuple(fund.pool.assets) == (0, 4_070 * WAD)


def test_without_a_senior_tranche_the_junior_gets_it_all(fund: Fund) -> None:
    fund.deposit(fund.junior, fund.first, 1_000)
    fund.earn(70)
    fund.world.wait(WEEK)
    assert tuple(fund.pool.assets) == (1_070 * WAD, 0)


def test_small_income_does_not_hold_up_what_is_being_released(held: Fund) -> None:
    """The time left is the mean, weighted by amount: dust moves it by dust."""
    held.earn(70)
    held.world.wait(6 * DAY)
    held.earn(0.000001)
    assert held.pool.release_left == pytest.approx(DAY, abs=2)
    held.earn(10)
    assert held.pool.release_left == pytest.approx((DAY + WEEK) / 2, abs=2)


def test_income_is_not_for_who_comes_just_before_it(held: Fund) -> None:
    """A hundred times the junior tranche, an instant before: nothing at once, then its part of what it stays for."""
    held.deposit(held.junior, held.third, 100_000)
    held.earn(1_000)
    assert held.worth(held.junior, held.third) == 100_000 * WAD
    held.request(held.junior, held.third)
    held.world.wait(WEEK)
    # In the request it has earned nothing, so that all of it is the others'.
    assert held.redeem(held.junior, held.third) == usd(100_000)
    assert held.worth(held.junior, held.first) + held.pool.income == pytest.approx(
        2_000 * WAD - coupon(4_000 * WAD, WEEK), rel=1e-6
    )
    held.check()


def test_income_is_not_for_who_comes_just_after_it(held: Fund) -> None:
    held.earn(70)
    held.world.wait(WEEK)
    held.deposit(held.junior, held.third, 100_000)
    assert held.worth(held.junior, held.third) <= 100_000 * WAD
    assert held.worth(held.junior, held.first) == pytest.approx(1_070 * WAD - coupon(4_000 * WAD, WEEK), abs=2)


def test_interest_of_the_fund_is_income_and_that_of_its_debt_a_loss(held: Fund) -> None:
    world, money_market = held.world, held.world.protocol.money_market
    money_market.set_interest_rates(world.protocol.interest_rates, sender=world.owner)
    # A debtor, so that there is interest.
    debtor = world.open(world.stranger)
    for account, amount in ((debtor, -(10**6) * WAD), (world.making, 10**6 * WAD)):
        world.house.post(account, [], amount, 0, sender=held.key)
    held.sync()
    world.wait(30 * DAY)
    grown = world.house.cash(FUND) - 5_000 * WAD
    assert grown > WAD // 10
    held.sync()
    assert held.pool.income == grown and held.assets == (1_000, 4_000)
    held.move(-6_000 * WAD)
    held.sync()
    owed = held.pool.cash
    assert -1_000 * WAD < owed < 0
    world.wait(30 * DAY)
    assert held.pool.cash == world.house.cash(FUND) < owed


# --------------------------------------------------------------------------------------------------------- wiped out


def test_a_tranche_without_assets_takes_none(held: Fund) -> None:
    held.lose(1_000)
    assert held.backstop.is_open(JUNIOR) == (False, True)
    assert held.backstop.is_open(SENIOR) == (True, True)
    assert held.junior.maxDeposit(held.third) == 0 < held.senior.maxDeposit(held.third)
    held.give(held.third, held.junior, usd(1))
    assert held.world.tries(held.junior.deposit, usd(1), held.third, sender=held.third) == "backstop: wiped out"
    held.deposit(held.senior, held.third, 1)


@pytest.mark.parametrize(("left", "answer"), [(999, "backstop: wiped out"), (1_000, None)])
def test_wiped_out_is_below_a_millionth_of_par(held: Fund, left: int, answer: str | None) -> None:
    held.lose(1_000 - left / 10**6)
    held.give(held.third, held.junior, usd(1))
    assert held.world.tries(held.junior.deposit, usd(1), held.third, sender=held.third) == answer


def test_income_restores_those_who_were_wiped_out(held: Fund) -> None:
    held.lose(1_000)
    held.earn(70)
    held.world.wait(WEEK)
    assert held.backstop.is_open(JUNIOR) == (True, True)
    assert held.worth(held.junior, held.first) == pytest.approx(70 * WAD - coupon(4_000 * WAD, WEEK), abs=2)


def test_another_contract_takes_the_place_of_one_that_is_wiped_out(held: Fund) -> None:
    """The old shares are worth nothing for good; the new ones start at par."""
    held.request(held.junior, held.first, 10**26)
    held.lose(999.9999999)
    old, new = held.junior, held.another(JUNIOR)
    receipt = held.backstop.set_tranche(JUNIOR, new, sender=held.world.owner)
    assert held.backstop.TrancheSet(kind=JUNIOR, tranche=new) in receipt.events
    # What was left of the old one is income.
    assert held.pool.income == 0
    assert held.deposit(new, held.third, 500) == 500 * WAD * PAR
    assert tuple(held.pool.assets) == (500 * WAD, 4_000 * WAD)
    held.world.wait(WEEK)
    assert held.world.tries(old.redeem, 10**24, held.first, held.first, sender=held.first) == "backstop: caller"
    held.give(held.first, old, usd(1))
    assert held.world.tries(old.deposit, usd(1), held.first, sender=held.first) == "backstop: caller"
    assert held.world.house.cash(FUND) == held.pool.cash


def test_no_other_takes_the_place_of_one_that_is_held(held: Fund) -> None:
    owner, world = held.world.owner, held.world
    place = held.backstop.set_tranche
    new = held.another(JUNIOR)
    assert world.tries(place, JUNIOR, new, sender=owner) == "backstop: tranche is held"
    held.lose(999)
    assert world.tries(place, JUNIOR, new, sender=owner) == "backstop: tranche is held"
    held.lose(1)
    assert world.tries(place, JUNIOR, new, sender=owner) is None
    assert world.tries(place, JUNIOR, new, sender=world.stranger) == "authority: not the owner"
    # One of the other kind, of another backstop, or with shares.
    terms = tuple(protocol.BACKSTOP.values())
    other = owner.deploy(world.contracts.Backstop, world.house, terms)
    for wrong in (held.another(SENIOR), held.another(JUNIOR, other), held.junior):
        assert world.tries(place, JUNIOR, wrong, sender=owner) == "backstop: tranche"


# -------------------------------------------------------------------------------------------------------------- terms


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"coupon": chain.wad(0.5) + 1}, "backstop: coupon"),
        ({"cooldown_seconds": 3_599}, "backstop: cooldown"),
        ({"cooldown_seconds": 30 * DAY + 1}, "backstop: cooldown"),
        ({"release_seconds": DAY - 1}, "backstop: release"),
        ({"release_seconds": 30 * DAY + 1}, "backstop: release"),
        ({"coupon": 0, "cooldown_seconds": 3_600, "release_seconds": DAY}, None),
        ({"coupon": chain.wad(0.5), "cooldown_seconds": 30 * DAY, "release_seconds": 30 * DAY}, None),
    ],
)
def test_bounds_of_terms(fund: Fund, changed: dict[str, int], reason: str | None) -> None:
    terms = tuple((protocol.BACKSTOP | changed).values())
    assert fund.world.tries(fund.backstop.set_terms, terms, sender=fund.world.owner) == reason
    if reason is None:
        receipt = fund.backstop.set_terms(terms, sender=fund.world.owner)
        assert tuple(receipt.events.filter(fund.backstop.TermsSet)[0].terms) == terms
        assert tuple(fund.backstop.terms()) == terms


def test_terms_change_what_comes_alone(held: Fund) -> None:
    held.earn(70)
    held.request(held.junior, held.first, 10**24)
    held.world.wait(DAY)
    due = coupon(4_000 * WAD, DAY)
    held.backstop.set_terms((0, 30 * DAY, 30 * DAY), sender=held.world.owner)
    assert held.pool.assets[SENIOR] == 4_000 * WAD + due
    assert held.pool.release_left == 6 * DAY
    held.world.wait(6 * DAY)
    assert held.pool.income == 0 and held.pool.assets[SENIOR] == 4_000 * WAD + due
    assert held.junior.claimableRedeemRequest(0, held.first) == 10**24
