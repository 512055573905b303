"""Withdrawals while the fund owes cash: what is kept, whose claim it is, and how it comes back, to the wei."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.protocol import FUND
from tests.unit.backstop.conftest import SENIOR, UNIT, WEEK, Fund
from tests.unit.protocol_fixtures import QUOTE, TRANSFER, WAD, WETH, action, usd


@pytest.fixture
def short(held: Fund) -> Fund:
    """The fund owes 1,000 USD; the world has 20,106,000."""
    held.lose(6_000)
    assert held.world.house.cash(FUND) == -1_000 * WAD
    return held


def all_credits(fund: Fund) -> int:
    """All positive cash."""
    return int(fund.world.protocol.money_market.interest().credits)


def shortfall(fund: Fund) -> int:
    return -int(fund.world.house.cash(FUND))


def withdraw(fund: Fund, account: int, units: int) -> int:
    """What of a withdrawal is kept, token units."""
    user = fund.world.user(account)
    before = fund.world.quote.balanceOf(user)
    fund.world.house.withdraw(account, QUOTE, units, user, sender=user)
    return int(units - (fund.world.quote.balanceOf(user) - before))


def everything(fund: Fund, account: int) -> int:
    """All cash of an account, token units."""
    return int(fund.world.house.cash(account)) // UNIT


def share(amount: int, lacking: int, all_cash: int) -> int:
    """Of a withdrawal, rounded up."""
    return -(-amount * lacking // all_cash)


def test_a_share_of_each_withdrawal_is_kept(short: Fund) -> None:
    world = short.world
    kept = share(usd(50_000), 1_000 * WAD, all_credits(short))
    assert kept == 2_486_820  # 2.48682 of 50,000 USD: 1,000 / 20,106,000, rounded up
    receipt = world.house.withdraw(world.taking, QUOTE, usd(50_000), world.taker, sender=world.taker)
    assert world.quote.balanceOf(world.taker) == usd(50_000) - kept
    assert world.house.cash(world.taking) == 50_000 * WAD
    assert short.owed(world.taking) == short.backstop.lacking() == kept * UNIT
    assert short.recoverable(world.taking) == 0
    assert shortfall(short) == 1_000 * WAD - kept * UNIT
    assert short.backstop.Docked(account=world.taking, kept=kept * UNIT, claims=kept * UNIT) in receipt.events
    assert world.house.Withdrawn(
        account=world.taking, collateral=QUOTE, recipient=world.taker, amount=usd(50_000) - kept
    ) in (receipt.events)
    short.check()


def test_nothing_is_kept_while_the_fund_owes_nothing(held: Fund) -> None:
    held.lose(5_000)
    assert withdraw(held, held.world.taking, usd(50_000)) == 0
    assert held.owed(held.world.taking) == 0


def test_whoever_withdraws_first_gains_nothing_by_it(short: Fund) -> None:
    """The share of what is left stays the same, but for the rounding of a token unit."""
    first = withdraw(short, short.world.bidding, usd(9_000_000))
    second = withdraw(short, short.world.making, usd(9_000_000))
    assert abs(first - second) <= 1


def test_the_last_to_withdraw_pays_the_last_of_it(short: Fund) -> None:
    """When all cash has left, all that the fund owed has been kept of it: the vault is empty to the unit."""
    world = short.world
    kept = {a: withdraw(short, a, everything(short, a)) for a in (world.taking, world.making, world.bidding)}
    assert sum(kept.values()) == usd(1_000)
    assert shortfall(short) == 0 and short.backstop.lacking() == 1_000 * WAD
    assert world.house.credited(QUOTE) == 0
    short.check()
    # Deposits into a new tranche are not touched by what was.
    senior = short.another(SENIOR)
    short.backstop.set_tranche(SENIOR, senior, sender=world.owner)
    short.deposit(senior, short.third, 100)
    world.quote.approve(world.house, usd(10), sender=world.bidder)
    world.house.deposit(world.bidding, QUOTE, usd(10), sender=world.bidder)
    assert withdraw(short, world.bidding, usd(10)) == 0
    assert short.assets == (0, 100)


def test_what_moves_no_cash_out_is_not_touched(short: Fund) -> None:
    world = short.world
    second = world.open(world.taker, ether=2)
    world.house.withdraw(second, WETH, WAD, world.taker, sender=world.taker)
    assert world.weth.balanceOf(world.taker) == WAD
    world.house.execute([action(TRANSFER, world.taking, counterparty=second, amount=usd(10))], sender=world.taker)
    assert world.house.cash(second) == 10 * WAD
    assert short.owed(second) == short.owed(world.taking) == 0


def test_a_limit_of_withdrawals_counts_what_is_paid(short: Fund) -> None:
    world = short.world
    kept = share(usd(50_000), 1_000 * WAD, all_credits(short))
    world.collaterals.set_withdrawal_limit(QUOTE, usd(50_000) - kept, sender=world.owner)
    assert withdraw(short, world.taking, usd(50_000)) == kept
    assert world.collaterals.withdrawable(QUOTE) == 0


def test_a_withdrawal_of_nothing(short: Fund) -> None:
    assert withdraw(short, short.world.taking, 0) == 0
    assert short.backstop.lacking() == 0


def test_a_shortfall_below_a_token_unit(held: Fund) -> None:
    """A unit is kept; what is too much is covered at once by itself, as income."""
    held.move(-5_000 * WAD - 1)
    assert withdraw(held, held.world.taking, usd(1)) == 1
    held.sync()
    # The account has a claim to the whole unit, of which all but 1e-18 came at once.
    assert held.owed(held.world.taking) == UNIT
    assert held.pool.income + held.recoverable(held.world.taking) == UNIT - 1
    held.check()


def test_a_loss_that_nobody_booked_is_seen_by_the_next_withdrawal(held: Fund) -> None:
    held.move(-6_000 * WAD)
    kept = share(usd(50_000), 1_000 * WAD, all_credits(held))
    assert withdraw(held, held.world.taking, usd(50_000)) == kept
    assert held.assets == (0, 0)
    held.check()


# ------------------------------------------------------------------------------------------------------------ recovery


def test_income_is_shared_by_claims_and_shortfall(short: Fund) -> None:
    """Each by its size, before the tranches; what is covered of claims waits in an account of its own."""
    world = short.world
    withdraw(short, world.bidding, usd(5_000_000))
    claim, owed = short.backstop.lacking(), shortfall(short)
    assert claim + owed == 1_000 * WAD and claim == short.owed(world.bidding)
    short.earn(100)
    part = 100 * WAD * claim // (1_000 * WAD)
    assert short.backstop.lacking() == claim - part
    assert shortfall(short) == owed - (100 * WAD - part)
    assert world.house.cash(short.backstop.claims_account()) == part
    assert short.recoverable(world.bidding) == part
    assert short.assets == (0, 0) and short.pool.income == 0
    before = world.house.cash(world.bidding)
    receipt = short.backstop.recover(world.bidding, sender=world.stranger)
    assert short.backstop.Recovered(account=world.bidding, amount=part) in receipt.events
    assert world.house.cash(world.bidding) == before + part
    assert short.owed(world.bidding) == claim - part and short.recoverable(world.bidding) == 0
    assert world.house.cash(short.backstop.claims_account()) == 0
    short.check()


def test_everybody_gets_back_what_was_kept_to_the_wei(short: Fund) -> None:
    """Of three accounts, by income in uneven parts; what comes beyond that is the tranches'."""
    world = short.world
    accounts = (world.taking, world.making, world.bidding)
    kept = {}
    for account, amount in zip(accounts, (12_345.678901, 9_876_543.21, 1.000003), strict=True):
        kept[account] = withdraw(short, account, usd(amount)) * UNIT
        short.earn(3.333333)
    before = {a: world.house.cash(a) for a in accounts}
    recovered = dict.fromkeys(accounts, 0)
    for amount in (0.000007, 123.456789, 0.1, 500.0):
        short.earn(amount)
        for account in accounts[:2]:
            recovered[account] += short.recoverable(account)
            short.backstop.recover(account, sender=world.stranger)
    total = short.backstop.lacking() + shortfall(short)
    assert 0 < total < 500 * WAD
    # `making` pays for it all.
    paid = 3 * usd(3.333333) + usd(623.556796) + usd(1_000)
    short.earn(1_000)
    assert short.pool.income == 1_000 * WAD - total
    assert short.backstop.lacking() == 0
    for account in accounts:
        recovered[account] += short.recoverable(account)
        short.backstop.recover(account, sender=world.stranger)
        short.backstop.recover(account, sender=world.stranger)
    assert recovered == kept
    assert {a: world.house.cash(a) for a in accounts} == {
        a: before[a] + kept[a] - (a == world.making) * (paid - 3 * usd(3.333333)) * UNIT for a in accounts
    }
    assert all(short.owed(a) == 0 for a in accounts)
    assert world.house.cash(short.backstop.claims_account()) == 0
    short.check()


def test_claims_that_are_covered_do_not_share_in_later_ones(short: Fund) -> None:
    """A new era: what one has not fetched stays whole, whatever is kept of others afterwards."""
    world = short.world
    kept = withdraw(short, world.bidding, usd(5_000_000)) * UNIT
    short.earn(1_000)
    assert short.recoverable(world.bidding) == kept
    short.lose(500)
    other = withdraw(short, world.making, usd(5_000_000)) * UNIT
    again = withdraw(short, world.bidding, usd(1_000_000)) * UNIT
    assert short.recoverable(world.bidding) == kept and short.recoverable(world.making) == 0
    assert short.owed(world.bidding) == kept + again
    short.earn(100)
    parts = short.recoverable(world.making), short.recoverable(world.bidding) - kept
    covered = other + again - short.backstop.lacking()
    assert 0 <= covered - sum(parts) <= 2
    assert parts[0] == pytest.approx(covered * other // (other + again), abs=1)
    for account in (world.making, world.bidding):
        short.backstop.recover(account, sender=world.stranger)
    short.check()


def test_a_claim_is_covered_like_what_stayed(short: Fund) -> None:
    """Half of all claims and shortfall come in: whoever left lacks half of what was kept, and so does whoever stays."""
    world = short.world
    kept = withdraw(short, world.bidding, usd(10_000_000)) * UNIT
    short.earn(500)
    short.backstop.recover(world.bidding, sender=world.stranger)
    assert short.owed(world.bidding) == pytest.approx(kept / 2, abs=2)
    assert shortfall(short) == pytest.approx((1_000 * WAD - kept) / 2, abs=2)


def test_the_last_trillionth_is_covered_at_once(short: Fund) -> None:
    """Or the units of later claims could grow until a withdrawal overflows: what is missing is the fund's loss."""
    world = short.world
    withdraw(short, world.bidding, usd(10_000_000))
    short.move(1_000 * WAD - 100)
    short.sync()
    assert short.backstop.lacking() == 0
    assert -100 <= short.pool.cash < 0
    assert short.recoverable(world.bidding) == short.owed(world.bidding)
    short.backstop.recover(world.bidding, sender=world.stranger)
    short.check()


def test_income_that_nobody_booked_covers_claims_before_the_next_withdrawal(short: Fund) -> None:
    """The house is locked then: what covers claims is moved by the next call, and is not the fund's meanwhile."""
    world = short.world
    withdraw(short, world.bidding, usd(5_000_000))
    claim, owed = short.backstop.lacking(), shortfall(short)
    short.move(100 * WAD)
    part = 100 * WAD * claim // (1_000 * WAD)
    all_cash = all_credits(short)
    kept = withdraw(short, world.taking, usd(50_000))
    assert kept == share(usd(50_000), owed - (100 * WAD - part), all_cash)
    assert short.recoverable(world.bidding) == part
    assert world.house.cash(short.backstop.claims_account()) == 0
    assert short.pool.cash == world.house.cash(FUND) - part
    short.sync()
    assert world.house.cash(short.backstop.claims_account()) == part
    assert short.pool.cash == world.house.cash(FUND)
    short.check()


def test_interest_on_what_waits_is_the_funds(short: Fund) -> None:
    world = short.world
    withdraw(short, world.bidding, usd(5_000_000))
    short.earn(100)
    waiting = short.backstop.claims_account()
    covered = world.house.cash(waiting)
    world.protocol.money_market.set_interest_rates(world.protocol.interest_rates, sender=world.owner)
    debtor = world.open(world.stranger)
    for account, amount in ((debtor, -(10**7) * WAD), (world.making, 10**7 * WAD)):
        world.house.post(account, [], amount, 0, sender=short.key)
    world.wait(WEEK)
    assert world.house.cash(waiting) > covered
    lacking = short.backstop.lacking()
    short.earn(1)
    assert world.house.cash(waiting) == covered + lacking - short.backstop.lacking()
    short.backstop.recover(world.bidding, sender=world.stranger)
    assert world.house.cash(waiting) == 0


def test_recovered_cash_can_be_withdrawn_again(short: Fund) -> None:
    world = short.world
    withdraw(short, world.bidding, everything(short, world.bidding))
    short.earn(1_000)
    short.backstop.recover(world.bidding, sender=world.bidder)
    assert withdraw(short, world.bidding, everything(short, world.bidding)) == 0


def test_nothing_to_recover(short: Fund) -> None:
    world = short.world
    before: list[Any] = [world.house.cash(a) for a in (world.taking, world.making, FUND)]
    short.backstop.recover(world.taking, sender=world.stranger)
    short.backstop.recover(10**6, sender=world.stranger)
    assert [world.house.cash(a) for a in (world.taking, world.making, FUND)] == before


def test_the_collaterals_have_one_backstop_for_good(short: Fund) -> None:
    world = short.world
    place = world.collaterals.set_backstop
    assert world.collaterals.backstop() == short.backstop
    assert world.tries(place, short.backstop, sender=world.stranger) == "authority: not the owner"
    assert world.tries(place, short.backstop, sender=world.owner) == "collaterals: backstop is fixed"
