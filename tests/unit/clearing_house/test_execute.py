"""Batches: several acts, one check at the end."""

from __future__ import annotations

from tests.unit.protocol_fixtures import (
    DEPOSIT,
    QUOTE,
    SCOPE_ALL,
    TRANSFER,
    WAD,
    WETH,
    WITHDRAW,
    World,
    action,
    instrument,
    perp,
    usd,
)

MARGIN = "solvency: margin"


def test_what_would_fail_one_by_one_passes_if_its_end_is_sound(world: World) -> None:
    """Trade on nothing, pay out of the account, and only then bring the margin."""
    account = world.open(world.taker, usd=10)
    world.give(world.quote, world.taker, usd(5_000))
    trade = world.trade_action(account, world.making, perp(10))
    pay = action(WITHDRAW, account, collateral=QUOTE, amount=usd(10), recipient=world.heir)
    bring = action(DEPOSIT, account, collateral=QUOTE, amount=usd(5_000))
    for some in ([trade], [trade, pay]):
        assert world.tries(world.house.execute, some, sender=world.taker) == MARGIN
    world.house.execute([trade, pay, bring], sender=world.taker)
    assert world.sizes(account) == {instrument(perp(1)): 10_000_000}
    assert world.house.cash(account) == 5_000 * WAD
    assert world.quote.balanceOf(world.heir) == usd(10)
    world.check_ledger()


def test_an_unsound_end_undoes_everything(world: World) -> None:
    account = world.open(world.taker, usd=10)
    world.give(world.quote, world.taker, usd(5_000))
    batch = [
        action(DEPOSIT, account, collateral=QUOTE, amount=usd(5_000)),
        world.trade_action(account, world.making, perp(10)),
        # 3,010 USD remain, less than the maintenance margin of ten perpetuals.
        action(WITHDRAW, account, collateral=QUOTE, amount=usd(2_000), recipient=world.taker),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == MARGIN
    assert world.tries(world.house.execute, batch[:2], sender=world.taker) is None


def test_every_account_touched_is_checked(world: World) -> None:
    """The last of three accounts of one owner is short."""
    rich, poor = world.open(world.taker, usd=50_000), world.open(world.taker, usd=100)
    batch = [
        world.trade_action(world.taking, world.making, perp(1)),
        world.trade_action(rich, world.making, perp(1)),
        world.trade_action(poor, world.making, perp(1)),
    ]
    assert world.tries(world.house.execute, batch, sender=world.taker) == MARGIN
    save = action(TRANSFER, rich, counterparty=poor, collateral=QUOTE, amount=usd(400))
    assert world.tries(world.house.execute, [*batch, save], sender=world.taker) is None


def test_who_only_received_is_not_checked(world: World) -> None:
    """An unhealthy account is saved by a batch, not enough for initial margin."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.move(0.8)
    world.give(world.quote, world.taker, usd(1))
    batch = [
        action(DEPOSIT, account, collateral=QUOTE, amount=usd(1)),
        action(TRANSFER, world.taking, counterparty=account, collateral=QUOTE, amount=usd(1)),
    ]
    world.house.execute(batch, sender=world.taker)
    assert world.freedom(account) < 0


def test_what_one_action_brings_in_the_next_may_use(world: World) -> None:
    account, other = world.open(world.taker), world.open(world.taker)
    world.give(world.weth, world.taker, WAD)
    batch = [
        action(DEPOSIT, account, collateral=WETH, amount=WAD),
        action(TRANSFER, account, counterparty=other, collateral=WETH, amount=WAD // 2),
        action(WITHDRAW, other, collateral=WETH, amount=WAD // 2, recipient=world.heir),
    ]
    assert world.tries(world.house.execute, batch[1:] + batch[:1], sender=world.taker) == "custody: not enough"
    world.house.execute(batch, sender=world.taker)
    assert world.weth.balanceOf(world.heir) == WAD // 2
    assert world.state(account, other)[1] == ([], 0, 0, [0], 2)


def test_a_batch_of_nothing_does_nothing(world: World) -> None:
    before = world.state(world.taking, world.making)
    world.house.execute([], sender=world.stranger)
    assert world.state(world.taking, world.making) == before


def test_a_batch_has_sixteen_actions_at_most(world: World) -> None:
    pay = action(WITHDRAW, world.taking, collateral=QUOTE, amount=1, recipient=world.taker)
    assert world.tries(world.house.execute, [pay] * 17, sender=world.taker) == ""
    world.house.execute([pay] * 16, sender=world.taker)
    assert world.house.cash(world.taking) == 100_000 * WAD - 16 * 10**12


def test_a_batch_touches_thirty_two_accounts_at_most(world: World) -> None:
    """The bound of the list of accounts to be checked is never met."""
    accounts = [world.open(world.taker) for _ in range(32)]
    pairs = zip(accounts[::2], accounts[1::2], strict=True)
    batch = [action(TRANSFER, sender, counterparty=receiver, collateral=QUOTE) for sender, receiver in pairs]
    assert world.tries(world.house.execute, batch, sender=world.taker) is None


def test_there_is_no_seventh_kind_of_action(world: World) -> None:
    assert world.tries(world.house.execute, [action(6, world.taking)], sender=world.taker) == "clearing house: action"


def test_every_action_needs_the_authority_of_its_own_function(world: World) -> None:
    other = world.open(world.taker)
    trade = world.trade_action(world.taking, world.making, perp(1))
    acts = [
        action(DEPOSIT, world.taking, amount=1),
        action(WITHDRAW, world.taking, amount=1, recipient=world.taker),
        action(TRANSFER, world.taking, counterparty=other, amount=1),
        trade,
    ]
    for act in acts:
        # Nobody signed for the taker, who calls in the stranger's stead.
        reason = "exchange: not approved" if act is trade else "accounts: not authorised"
        assert world.tries(world.house.execute, [act], sender=world.stranger) == reason
    world.house.set_operator(world.taking, world.operator, 2**64, SCOPE_ALL, sender=world.taker)
    steal = action(WITHDRAW, world.taking, amount=1, recipient=world.operator)
    assert world.tries(world.house.execute, [steal], sender=world.operator) == "accounts: recipient"
    assert world.tries(world.house.execute, [acts[2]], sender=world.operator) == "accounts: not authorised"


def test_a_signed_package_is_used_once_in_a_batch_too(world: World) -> None:
    trade = world.trade_action(world.taking, world.making, perp(1))
    assert world.tries(world.house.execute, [trade, trade], sender=world.taker) == "exchange: filled"
