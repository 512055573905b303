"""Leaving: request, cooldown, redemption; what it brings, when it does not, and who may."""

from __future__ import annotations

import pytest

from scripts import protocol
from scripts.protocol import FUND
from tests.unit.backstop.conftest import JUNIOR, PAR, SENIOR, UNIT, WEEK, Fund
from tests.unit.protocol_fixtures import DAY, RISK, WAD, perp, usd

HUNDRED = 100 * WAD * PAR
LATER = "tranche: not claimable"


def test_a_request_waits_for_its_cooldown(held: Fund) -> None:
    junior, first = held.junior, held.first
    receipt = junior.requestRedeem(HUNDRED, first, first, sender=first)
    assert junior.RedeemRequest(controller=first, owner=first, requestId=0, sender=first, shares=HUNDRED) in (
        receipt.events
    )
    assert junior.balanceOf(first) == 9 * HUNDRED and junior.balanceOf(junior) == HUNDRED
    assert junior.totalSupply() == 10 * HUNDRED
    held.world.wait(WEEK - 1)
    assert (junior.pendingRedeemRequest(0, first), junior.claimableRedeemRequest(0, first)) == (HUNDRED, 0)
    assert junior.maxRedeem(first) == junior.maxWithdraw(first) == 0
    assert held.world.tries(junior.redeem, 1, first, first, sender=first) == LATER
    assert held.world.tries(junior.withdraw, 1, first, first, sender=first) == LATER
    held.world.wait(1)
    assert (junior.pendingRedeemRequest(0, first), junior.claimableRedeemRequest(0, first)) == (0, HUNDRED)
    assert (junior.maxRedeem(first), junior.maxWithdraw(first)) == (HUNDRED, usd(100))
    receipt = junior.redeem(HUNDRED, held.third, first, sender=first)
    assert junior.Withdraw(sender=first, receiver=held.third, owner=first, assets=usd(100), shares=HUNDRED) in (
        receipt.events
    )
    assert held.world.quote.balanceOf(held.third) == usd(100)
    assert junior.totalSupply() == 9 * HUNDRED
    held.check()


def test_a_part_of_what_is_ready(held: Fund) -> None:
    junior, first = held.junior, held.first
    held.request(junior, first, HUNDRED)
    held.world.wait(WEEK)
    junior.redeem(HUNDRED // 4, first, first, sender=first)
    junior.withdraw(usd(30), first, first, sender=first)
    assert held.world.quote.balanceOf(first) == usd(55)
    assert junior.claimableRedeemRequest(0, first) == pytest.approx(HUNDRED * 45 // 100, abs=PAR)
    assert held.world.tries(junior.redeem, HUNDRED, first, first, sender=first) == LATER
    assert held.world.tries(junior.withdraw, usd(45) + 1, first, first, sender=first) == LATER
    held.check()


def test_zero_is_refused(held: Fund) -> None:
    held.request(held.junior, held.first, HUNDRED)
    held.world.wait(WEEK)
    assert held.world.tries(held.junior.redeem, 0, held.first, held.first, sender=held.first) == LATER
    request = (held.junior.requestRedeem, 0, held.first, held.first)
    assert held.world.tries(*request, sender=held.first) == "tranche: worth nothing"


def test_a_second_request_waits_for_itself_and_not_for_the_first(held: Fund) -> None:
    """What waits starts anew; what is ready stays ready."""
    junior, first = held.junior, held.first
    held.request(junior, first, HUNDRED)
    held.world.wait(WEEK)
    held.request(junior, first, HUNDRED)
    assert junior.request_of(first) == (HUNDRED, 100 * WAD, HUNDRED, 100 * WAD, held.world.now + WEEK)
    held.world.wait(WEEK - 1)
    held.request(junior, first, HUNDRED)
    assert junior.pendingRedeemRequest(0, first) == 2 * HUNDRED
    held.world.wait(1)
    assert junior.claimableRedeemRequest(0, first) == HUNDRED
    held.world.wait(WEEK)
    assert junior.claimableRedeemRequest(0, first) == 3 * HUNDRED


def test_shares_in_a_request_bear_losses_until_they_are_redeemed(held: Fund) -> None:
    held.request(held.junior, held.first)
    held.lose(250)
    held.world.wait(WEEK)
    held.lose(250)
    assert held.junior.maxWithdraw(held.first) == usd(500)
    assert held.redeem(held.junior, held.first) == usd(500)
    held.check()


def test_shares_in_a_request_earn_nothing(held: Fund) -> None:
    """Their gain is of those who stay."""
    held.deposit(held.junior, held.third, 1_000)
    held.request(held.junior, held.first)
    held.earn(200)
    held.world.wait(WEEK)
    held.sync()
    junior = held.pool.assets[JUNIOR]
    assert held.junior.maxWithdraw(held.first) == usd(1_000)
    assert held.redeem(held.junior, held.first) == usd(1_000)
    assert held.worth(held.junior, held.third) == pytest.approx(junior - 1_000 * WAD, abs=1)
    held.check()


def test_a_gain_makes_good_a_loss_of_the_same_request(held: Fund) -> None:
    held.request(held.junior, held.first)
    held.lose(400)
    held.earn(300)
    held.world.wait(WEEK)
    coupon = held.pool.assets[SENIOR] - 4_000 * WAD
    assert coupon > 0
    assert held.redeem(held.junior, held.first) == (900 * WAD - coupon) // UNIT


def test_redemptions_are_rounded_down_and_dust_stays(held: Fund) -> None:
    held.lose(1_000 / 3)
    held.request(held.junior, held.first, HUNDRED)
    held.world.wait(WEEK)
    worth = held.backstop.to_assets(JUNIOR, HUNDRED, False)
    assert worth % UNIT != 0
    before = held.pool.assets[JUNIOR]
    paid = held.redeem(held.junior, held.first)
    assert paid == worth // UNIT
    assert held.pool.assets[JUNIOR] == before - paid * UNIT
    held.check()


def test_withdraw_takes_shares_rounded_up(held: Fund) -> None:
    held.lose(1_000 / 3)
    held.request(held.junior, held.first, HUNDRED)
    held.world.wait(WEEK)
    before = held.junior.totalSupply()
    held.junior.withdraw(usd(10), held.first, held.first, sender=held.first)
    burned = before - held.junior.totalSupply()
    assets, supply = 1_000 * WAD - round(10**9 / 3) * UNIT, 1_000 * WAD * PAR
    by_price = -(-10 * WAD * (supply + PAR) // (assets + 1))
    # What was worth so much when it was requested, rounded down, binds as much here.
    by_request = -(-10 * WAD * HUNDRED // (HUNDRED * (assets + 1) // (supply + PAR)))
    assert burned == max(by_price, by_request)
    held.check()


def test_nobody_leaves_in_a_hurry(held: Fund) -> None:
    """Deposit and redemption in turns bring nothing, whatever the rounding."""
    held.lose(1_000 / 7)
    for amount in (0.000001, 0.000007, 1.234567, 99.999999):
        held.deposit(held.junior, held.third, amount)
        assert held.exit(held.junior, held.third) <= usd(amount)
        assert held.junior.balanceOf(held.third) == 0
    held.check()


def test_everybody_leaves(held: Fund) -> None:
    held.deposit(held.junior, held.third, 77.7)
    held.lose(100.000001)
    for tranche, user in ((held.junior, held.first), (held.senior, held.second), (held.junior, held.third)):
        held.request(tranche, user)
    held.world.wait(WEEK)
    paid = sum(
        held.redeem(tranche, user)
        for tranche, user in ((held.junior, held.first), (held.senior, held.second), (held.junior, held.third))
    )
    assert usd(4_977.699999) - 3 <= paid <= usd(4_977.699999)
    assert tuple(held.pool.shares) == tuple(held.pool.assets) == (0, 0)
    assert held.pool.income == held.pool.cash == usd(4_977.699999) * UNIT - paid * UNIT
    held.check()


def test_previews_of_redemptions_revert(held: Fund) -> None:
    for view in (held.junior.previewRedeem, held.junior.previewWithdraw):
        assert held.world.tries(view, 1, sender=held.first) == "tranche: asynchronous"


# ---------------------------------------------------------------------------------------------------------- when not


def test_nobody_leaves_while_an_auction_may_cost_the_fund(held: Fund) -> None:
    """Until it is over: then whoever wanted to leave in time has borne its loss like all others."""
    world, house = held.world, held.world.house
    held.request(held.junior, held.first)
    distressed = world.open(world.stranger, usd=4_500)
    world.trade(distressed, world.making, perp(10))
    world.wait(WEEK)
    world.move(0.75)
    # The reward of whoever starts it is the fund's to pay.
    house.bid(distressed, world.bidding, protocol.bid(protocol.START), sender=world.bidder)
    reward = 1_000 * WAD - held.pool.assets[JUNIOR]
    assert 0 < reward <= protocol.LIQUIDATION["reward"]
    assert world.liquidation.insolvent_running() == 1
    assert held.backstop.is_open(JUNIOR) == (True, False)
    assert held.junior.maxRedeem(held.first) == held.junior.maxWithdraw(held.first) == 0
    assert held.junior.claimableRedeemRequest(0, held.first) == 10 * HUNDRED
    for leave, amount in ((held.junior.redeem, HUNDRED), (held.junior.withdraw, usd(1))):
        assert world.tries(leave, amount, held.first, held.first, sender=held.first) == "backstop: insolvent auctions"
    # Requests and deposits go on: they can only lose by it.
    held.request(held.senior, held.second, HUNDRED)
    world.wait(protocol.LIQUIDATION["insolvent_seconds"] // 5)
    world.move(0.75)
    before = house.cash(FUND)
    house.bid(distressed, world.bidding, protocol.bid(protocol.INSOLVENT), sender=world.bidder)
    loss = before - house.cash(FUND)
    assert loss > 0 and world.liquidation.insolvent_running() == 0
    assert held.redeem(held.junior, held.first) == (1_000 * WAD - reward - loss) // UNIT
    held.check()


def test_nobody_leaves_while_the_fund_owes(held: Fund) -> None:
    held.request(held.senior, held.second)
    held.world.wait(WEEK)
    held.lose(5_010)
    assert held.backstop.is_open(SENIOR) == (False, False)
    assert held.senior.maxRedeem(held.second) == 0
    # Whoever insists gives shares for nothing.
    assert held.redeem(held.senior, held.second) == 0
    held.check()


def test_shares_worth_nothing_cannot_be_requested(held: Fund) -> None:
    """Their price would stay nothing whatever came."""
    held.lose(1_000)
    assert held.world.tries(held.junior.requestRedeem, HUNDRED, held.first, held.first, sender=held.first) == (
        "tranche: worth nothing"
    )


def test_a_pause_of_the_house_stops_redemptions_but_nothing_else(held: Fund) -> None:
    held.request(held.junior, held.first, HUNDRED)
    held.world.wait(WEEK)
    held.world.house.set_paused(RISK, sender=held.world.owner)
    assert held.world.tries(held.junior.redeem, HUNDRED, held.first, held.first, sender=held.first) is not None
    held.deposit(held.junior, held.third, 5)
    held.request(held.junior, held.third)
    held.world.house.set_paused(0, sender=held.world.owner)
    assert held.redeem(held.junior, held.first) == usd(100)


def test_a_limit_of_withdrawals_counts(held: Fund) -> None:
    held.request(held.junior, held.first, HUNDRED)
    held.world.wait(WEEK)
    held.world.collaterals.set_withdrawal_limit(0, usd(99), sender=held.world.owner)
    redeem = (held.junior.redeem, HUNDRED, held.first, held.first)
    assert held.world.tries(*redeem, sender=held.first) == "collaterals: withdrawal limit"
    held.junior.withdraw(usd(99), held.first, held.first, sender=held.first)
    assert held.world.quote.balanceOf(held.first) == usd(99)


def test_admission_of_the_house_does_not_stop_redemptions(held: Fund) -> None:
    """The fund's account is not in portfolio mode."""
    p, world = held.world.protocol, held.world
    p.admission.set_allow_list(True, sender=world.owner)
    around = (p.report, p.exchange, p.liquidation, p.collaterals, p.money_market, p.admission)
    world.house.set_contracts(*around, sender=world.owner)
    assert held.exit(held.junior, held.first) == usd(1_000)


# ---------------------------------------------------------------------------------------------------------------- who


def test_who_may_request(held: Fund) -> None:
    junior, first, second, third = held.junior, held.first, held.second, held.third
    request = junior.requestRedeem
    tries = held.world.tries
    # With shares of one's own, for oneself alone: a request of a stranger would start the cooldown anew.
    assert tries(request, 1 << 70, second, first, sender=first) == "tranche: not the controller"
    # With another's shares not without leave.
    assert tries(request, 1 << 70, third, first, sender=third) == "erc20: insufficient allowance"
    junior.approve(third, HUNDRED, sender=first)
    request(HUNDRED, third, first, sender=third)
    assert junior.pendingRedeemRequest(0, third) == HUNDRED and junior.allowance(first, third) == 0
    assert tries(request, 1 << 70, third, first, sender=third) == "erc20: insufficient allowance"
    receipt = junior.setOperator(third, True, sender=first)
    assert junior.OperatorSet(controller=first, operator=third, approved=True) in receipt.events
    assert junior.isOperator(first, third) and not junior.isOperator(third, first)
    request(HUNDRED, first, first, sender=third)
    assert junior.pendingRedeemRequest(0, first) == HUNDRED
    junior.setOperator(third, False, sender=first)
    assert tries(request, HUNDRED, first, first, sender=third) == "tranche: not the controller"
    assert tries(request, 10 * HUNDRED, first, first, sender=first) == "erc20: transfer amount exceeds balance"


def test_who_may_redeem(held: Fund) -> None:
    junior, first, third = held.junior, held.first, held.third
    held.request(junior, first, HUNDRED)
    held.world.wait(WEEK)
    for leave, amount in ((junior.redeem, HUNDRED), (junior.withdraw, usd(1))):
        assert held.world.tries(leave, amount, third, first, sender=third) == "tranche: not the controller"
    junior.setOperator(third, True, sender=first)
    junior.redeem(HUNDRED, third, first, sender=third)
    assert held.world.quote.balanceOf(third) == usd(100)


def test_shares_are_a_token_like_any_other(held: Fund) -> None:
    junior = held.junior
    assert (junior.name(), junior.symbol(), junior.decimals()) == ("Ballast Junior", "bJUN", 24)
    junior.transfer(held.third, HUNDRED, sender=held.first)
    junior.approve(held.second, HUNDRED, sender=held.first)
    junior.transferFrom(held.first, held.third, HUNDRED, sender=held.second)
    assert junior.balanceOf(held.third) == 2 * HUNDRED
    assert held.exit(junior, held.third) == usd(200)


def test_nobody_issues_or_burns_shares_otherwise(held: Fund) -> None:
    """Of snekmate's token neither minters nor owner nor burning are there: INV-02 for shares."""
    names = {abi.name for abi in held.junior.contract_type.mutable_methods}
    assert names == {
        "approve",
        "deposit",
        "mint",
        "permit",
        "redeem",
        "requestRedeem",
        "setOperator",
        "transfer",
        "transferFrom",
        "withdraw",
    }


@pytest.mark.parametrize(
    ("interface_id", "supported"),
    [
        ("01ffc9a7", True),
        ("e3bc4e65", True),
        ("2f0a18c5", True),
        ("620ee8e4", True),
        ("ce3bbe50", False),
        ("ff" * 4, False),
    ],
)
def test_interfaces(held: Fund, interface_id: str, supported: bool) -> None:
    """ERC-165, ERC-7540 operators and redemptions and ERC-7575, but no asynchronous deposits."""
    assert held.senior.supportsInterface(bytes.fromhex(interface_id)) is supported
    assert held.senior.share() == held.senior
    assert held.senior.asset() == held.world.quote


def test_times_of_a_request_are_those_of_its_day(held: Fund) -> None:
    held.request(held.junior, held.first, HUNDRED)
    terms = held.backstop.terms()
    held.backstop.set_terms((terms.coupon, 30 * DAY, terms.release_seconds), sender=held.world.owner)
    held.request(held.senior, held.second, HUNDRED)
    held.world.wait(WEEK)
    assert held.junior.maxRedeem(held.first) == HUNDRED and held.senior.maxRedeem(held.second) == 0
    held.world.wait(23 * DAY)
    assert held.senior.maxRedeem(held.second) == HUNDRED
