"""Withdrawals: of what an account has, to whom its owner says, if initial margin remains."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.protocol_fixtures import EMPTY, QUOTE, WAD, WETH, World, call, perp, usd

MARGIN = "solvency: margin"


def rude(world: World) -> tuple[Any, int]:
    """A thousand units of a token with switchable manners, in the taker's account."""
    token = world.owner.deploy(world.contracts.RudeToken, 18)
    kind, _ = world.list_kind(token)
    world.give(token, world.taker, 1_000)
    world.house.deposit(world.taking, kind, 1_000, sender=world.taker)
    return token, kind


def test_a_withdrawal_is_debited_to_the_unit(world: World) -> None:
    receipt = world.house.withdraw(world.taking, QUOTE, 1, world.heir, sender=world.taker)
    assert world.quote.balanceOf(world.heir) == 1
    assert world.house.cash(world.taking) == 100_000 * WAD - 10**12
    event = world.house.Withdrawn(account=world.taking, collateral=QUOTE, recipient=world.heir, amount=1)
    assert event in receipt.events
    world.check_ledger()


def test_everything_can_be_withdrawn_but_no_more(world: World) -> None:
    call = (world.house.withdraw, world.taking, QUOTE)
    assert world.tries(*call, usd(100_000) + 1, world.taker, sender=world.taker) == "custody: not enough"
    world.house.withdraw(world.taking, QUOTE, usd(100_000), world.taker, sender=world.taker)
    assert world.state(world.taking) == [([], 0, 0, [0], 2)]
    assert world.tries(*call, 1, world.taker, sender=world.taker) == "custody: not enough"


def test_an_amount_finer_than_the_token_stays(world: World) -> None:
    """A premium of 1e-15 USD received."""
    account = world.open(world.taker, usd=1)
    world.trade(account, world.making, call(world.week, 10_000, -0.000001, 0.000000001))
    assert world.house.cash(account) == WAD + 1_000
    world.trade(account, world.making, call(world.week, 10_000, 0.000001))
    world.house.withdraw(account, QUOTE, usd(1), world.taker, sender=world.taker)
    assert world.house.cash(account) == 1_000
    world.check_ledger()


def test_collateral_can_be_withdrawn_but_no_more_than_is_credited(world: World) -> None:
    account = world.open(world.taker, ether=2)
    world.open(world.maker, ether=5)
    withdraw = (world.house.withdraw, account, WETH)
    assert world.tries(*withdraw, 2 * WAD + 1, world.taker, sender=world.taker) == "custody: not enough"
    world.house.withdraw(account, WETH, 2 * WAD, world.taker, sender=world.taker)
    assert world.weth.balanceOf(world.taker) == 2 * WAD
    world.check_ledger()


def test_tokens_sent_raw_cannot_be_withdrawn(world: World) -> None:
    """INV-03."""
    account = world.open(world.taker)
    world.quote.mint(world.house, usd(100), sender=world.stranger)
    assert (
        world.tries(world.house.withdraw, account, QUOTE, 1, world.taker, sender=world.taker) == "custody: not enough"
    )


def test_who_owes_cash_withdraws_none(world: World) -> None:
    """Cash may not go below zero by a withdrawal, however much collateral there is."""
    account = world.open(world.taker, ether=100)
    world.trade(account, world.making, world.marked(call(world.month, 2000, 10)))
    assert world.house.cash(account) < 0
    assert world.freedom(account) > 0
    assert (
        world.tries(world.house.withdraw, account, QUOTE, 1, world.taker, sender=world.taker) == "custody: not enough"
    )


def test_unrealised_profit_is_not_cash(world: World) -> None:
    """Mango 2022, as far as it exists: a profit has to be realised against somebody before it can leave."""
    account = world.open(world.taker, usd=10_000)
    world.trade(account, world.making, perp(10))
    world.move(2.0)
    assert world.freedom(account) > 15_000 * WAD
    withdraw = (world.house.withdraw, account, QUOTE)
    assert world.tries(*withdraw, usd(10_000) + 1, world.taker, sender=world.taker) == "custody: not enough"
    assert world.tries(*withdraw, usd(10_000), world.taker, sender=world.taker) is None


def test_cash_lent_to_others_comes_back_when_they_pay(world: World) -> None:
    """What debtors owe is not in the vault: a lender may have to wait for it, and loses nothing."""
    for account in (world.making, world.bidding, world.taking):
        amount = world.house.cash(account) // 10**12
        world.house.withdraw(account, QUOTE, amount, world.user(account), sender=world.user(account))
    lender, debtor = world.open(world.stranger, usd=1_000), world.open(world.taker, ether=10)
    payee = world.open(world.taker)
    world.trade(debtor, payee, call(world.week, 10_000, 1, 900))
    world.house.withdraw(payee, QUOTE, usd(880), world.taker, sender=world.taker)
    withdraw = (world.house.withdraw, lender, QUOTE, usd(1_000), world.stranger)
    assert world.tries(*withdraw, sender=world.stranger) == "custody: vault is short"
    world.check_ledger()
    world.give(world.quote, world.taker, usd(900))
    world.house.deposit(debtor, QUOTE, usd(900), sender=world.taker)
    world.house.withdraw(*withdraw[1:], sender=world.stranger)


def test_initial_margin_must_remain(world: World) -> None:
    world.trade(world.taking, world.making, perp(10))
    free = world.freedom(world.taking) // 10**12
    withdraw = (world.house.withdraw, world.taking, QUOTE)
    assert world.tries(*withdraw, free + 1, world.taker, sender=world.taker) == MARGIN
    world.house.withdraw(world.taking, QUOTE, free, world.taker, sender=world.taker)
    assert 0 <= world.freedom(world.taking) < 10**12


def test_collateral_is_counted_after_its_initial_haircut(world: World) -> None:
    account = world.open(world.taker, ether=10)
    world.trade(account, world.making, perp(-5))
    assert world.tries(world.house.withdraw, account, WETH, 10 * WAD, world.taker, sender=world.taker) == MARGIN
    assert world.tries(world.house.withdraw, account, WETH, 4 * WAD, world.taker, sender=world.taker) is None


@pytest.mark.parametrize("recipient", ["empty", "house"])
def test_tokens_go_neither_nowhere_nor_in_circles(world: World, recipient: str) -> None:
    to = EMPTY if recipient == "empty" else world.house
    assert world.tries(world.house.withdraw, world.taking, QUOTE, 1, to, sender=world.taker) == "custody: recipient"


@pytest.mark.parametrize("user", ["stranger", "owner", "guardian", "maker"])
def test_nobody_else_withdraws(world: World, user: str) -> None:
    """Least of all who governs: the owner and the guardian move no funds (decision 9)."""
    sender = getattr(world, user)
    answer = world.tries(world.house.withdraw, world.taking, QUOTE, 1, sender, sender=sender)
    assert answer == "accounts: not authorised"


def test_an_unknown_kind_is_refused(world: World) -> None:
    assert (
        world.tries(world.house.withdraw, world.taking, 9, 0, world.taker, sender=world.taker)
        == "collaterals: unknown kind"
    )


@pytest.mark.parametrize(
    ("manners", "reason"),
    [
        ((0, 0, True, False), "custody: transfer"),
        ((0, 0, False, True), "token: refused"),
        ((0, 1, False, False), "custody: token took more"),
    ],
    ids=["says false", "reverts", "takes more from the vault"],
)
def test_a_token_that_turns_bad_stops_its_own_withdrawals(world: World, manners: tuple[Any, ...], reason: str) -> None:
    """INV-11: and no others."""
    token, kind = rude(world)
    token.mint(world.house, 1_000, sender=world.owner)
    token.set_manners(*manners, sender=world.owner)
    assert world.tries(world.house.withdraw, world.taking, kind, 500, world.taker, sender=world.taker) == reason
    world.house.withdraw(world.taking, QUOTE, usd(1), world.taker, sender=world.taker)
    assert world.house.balance_of(world.taking, kind) == 1_000


def test_a_fee_of_the_token_is_the_recipients(world: World) -> None:
    token, kind = rude(world)
    token.set_manners(1_000, 0, False, False, sender=world.owner)
    world.house.withdraw(world.taking, kind, 1_000, world.heir, sender=world.taker)
    assert token.balanceOf(world.heir) == 900
    assert world.house.credited(kind) == 0


def test_a_token_that_says_nothing_is_sent(world: World) -> None:
    token = world.owner.deploy(world.contracts.SilentToken)
    kind, _ = world.list_kind(token)
    world.give(token, world.taker, 5)
    world.house.deposit(world.taking, kind, 5, sender=world.taker)
    world.house.withdraw(world.taking, kind, 5, world.heir, sender=world.taker)
    assert token.balanceOf(world.heir) == 5


def test_a_blocked_recipient_may_name_another(world: World) -> None:
    token, kind = rude(world)
    token.set_blocked(world.taker, True, sender=world.owner)
    withdraw = (world.house.withdraw, world.taking, kind, 1_000)
    assert world.tries(*withdraw, world.taker, sender=world.taker) == "token: blocked"
    assert world.tries(*withdraw, world.heir, sender=world.taker) is None


def test_balances_that_shrink_hurt_no_other_kind(world: World) -> None:
    """Such tokens are not to be listed; should one begin to rebase, the last to leave find less."""
    token, kind = rude(world)
    token.shrink(5_000, sender=world.owner)
    assert world.tries(world.house.withdraw, world.taking, kind, 1_000, world.taker, sender=world.taker) == ""
    world.house.withdraw(world.taking, QUOTE, usd(100_000), world.taker, sender=world.taker)


def test_a_kind_that_is_gone_is_asked_for_no_price(world: World) -> None:
    """A stale source matters to holders alone."""
    token = world.owner.deploy(world.contracts.Token, "Some", "SOM", 18)
    kind, source = world.list_kind(token)
    world.give(token, world.taker, 10)
    world.house.deposit(world.taking, kind, 10, sender=world.taker)
    world.house.withdraw(world.taking, kind, 10, world.taker, sender=world.taker)
    source.set_peg(WAD, False, sender=world.owner)
    assert world.figures(world.taking).fresh
