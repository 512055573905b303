"""Solvent auctions: a slice of everything, at net value less a discount that rises, to a bidder with margin."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from scripts import chain, protocol
from tests.unit.collaterals.kinds import deposit, staked
from tests.unit.protocol_fixtures import (
    BTC,
    CROSS,
    DAY,
    ETH,
    FUND,
    INSOLVENT,
    ISOLATED,
    LIQUIDATION,
    QUOTE,
    RISK,
    SCOPE_FUNDS,
    SCOPE_TRADE,
    SOLVENT,
    SPOT,
    START,
    TARGETED,
    TRANSACTION_GAS_LIMIT,
    WAD,
    WETH,
    Leg,
    World,
    call,
    flat_market,
    future,
    moved,
    perp,
    put,
)

# Equity and requirement of 128 legs, their sizes cut to 1e-6 units: less than a dollar at these prices and sizes.
ROUNDING_WAD = WAD
# At the start of an auction: the bidder pays 98%, of which the fund gets one.
FIRST, FEE = protocol.LIQUIDATION["first_discount"], protocol.LIQUIDATION["fee"]


def distressed(world: World, factor: float = 0.85, deposited: float = 4_500, mode: int = 2) -> int:
    """Long ten perpetuals entered at 2,000, whose price falls; its auction has begun."""
    account = world.open(world.taker, usd=deposited, mode=mode)
    world.trade(account, world.making, perp(10))
    world.move(factor)
    assert world.health(account) < 0
    world.start_auction(account)
    return account


def largest(world: World, account: int) -> int:
    """The largest slice."""
    return int(world.quote_of(account).fraction)


def answer(world: World, account: int, bidder: int = 0, **fields: Any) -> str | None:
    """Why a solvent bid is refused."""
    return world.try_bid(account, bidder or world.bidding, SOLVENT, **fields)


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_healthy_account_is_not_sold(world: World) -> None:
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    for factor in (1.0, 0.96):
        world.move(factor)
        assert answer(world, account) == "liquidation: healthy"


def test_nothing_is_sold_on_stale_data(world: World) -> None:
    """INV-13. Prices that are better by twice their value would make any account healthy."""
    account = distressed(world)
    world.go_stale()
    assert largest(world, account) == 0
    assert answer(world, account) == "liquidation: healthy"


def test_a_bidder_bears_twice_what_it_has_at_stale_prices(world: World) -> None:
    """INV-13. To the last unit: what is in doubt is the gross value of its position in bitcoin."""

    def with_bitcoin(cash: float) -> tuple[int, int]:
        bidder = world.open(world.bidder, usd=cash)
        world.trade(bidder, world.making, perp(0.1, 70_000, BTC))
        account = distressed(world)
        world.go_stale()
        world.move(0.85)
        return account, bidder

    with world.ape_chain.isolate():
        account, bidder = with_bitcoin(50_000)
        world.sell(account, bidder)
        after = world.figures(bidder)
    assert not after.fresh and after.stale_value == 7_000 * WAD
    # Cash comes in units of 1e-6.
    spare = (after.equity_initial - after.initial - 2 * after.stale_value) // 10**12
    for units, reason in ((spare, None), (spare + 1, "liquidation: bidder's margin")):
        with world.ape_chain.isolate():
            assert answer(world, *with_bitcoin(50_000 - units / 10**6)) == reason


def test_nobody_buys_an_account_of_their_own(world: World) -> None:
    account = distressed(world)
    other = world.open(world.taker, usd=100_000)
    for kind in (START, SOLVENT, INSOLVENT, TARGETED):
        assert world.try_bid(account, other, kind) == "liquidation: own account"


def test_only_the_bidders_side_bids(world: World) -> None:
    account = distressed(world)
    for user in (world.stranger, world.owner, world.taker):
        reason = world.try_bid(account, world.bidding, SOLVENT, sender=user)
        assert reason == "accounts: not authorised"
    appoint = (world.house.set_operator, world.bidding, world.operator, 2**64)
    for scope, reason in ((SCOPE_FUNDS, "accounts: not authorised"), (SCOPE_TRADE, None)):
        appoint[0](*appoint[1:], scope, sender=world.bidder)
        assert world.try_bid(account, world.bidding, SOLVENT, sender=world.operator) == reason


def test_a_bid_ends_at_its_deadline(world: World) -> None:
    account = distressed(world)
    assert answer(world, account, deadline=world.now) is None
    assert answer(world, account, deadline=world.now - 1) == "liquidation: deadline"


def test_a_bid_has_a_minimum_and_a_highest_price(world: World) -> None:
    account = distressed(world)
    limit = largest(world, account)
    assert answer(world, account, min_fraction=limit) is None
    assert answer(world, account, min_fraction=limit + 1) == "liquidation: below minimum"
    with world.ape_chain.isolate():
        event = world.sell(account)
    price = event.price
    assert answer(world, account, max_price=price) is None
    assert answer(world, account, max_price=price - 1) == "liquidation: price"


def test_slices_are_not_too_small(world: World) -> None:
    account = distressed(world)
    assert answer(world, account, fraction=WAD // 10) is None
    assert answer(world, account, fraction=WAD // 10 - 1) == "liquidation: slice too small"


def test_a_bidder_without_margin_is_refused(world: World) -> None:
    """A bid without cash prints none: what the bidder owes, its margin must carry."""
    account = distressed(world)
    poor = world.open(world.bidder, usd=100)
    assert answer(world, account, poor) == "liquidation: bidder's margin"


def test_a_bidder_without_room_is_refused(world: World) -> None:
    account = distressed(world)
    isolated = world.open(world.bidder, usd=1_000_000, mode=ISOLATED)
    world.trade(isolated, world.making, future(world.week, 1))
    assert answer(world, account, isolated) == "positions: legs of this mode"
    for u in range(10, 18):
        world.publish(u, flat_market(100.0, world.start, days=()))
    for u in SPOT:
        world.move(0.85 if u == ETH else 1.0, u)
    full, other = world.open(world.bidder, usd=1_000_000), world.open(world.bidder, usd=1_000_000)
    world.trade(full, other, *(perp(1, 100, u) for u in range(10, 18)))
    assert answer(world, account, full) == "positions: underlyings"


def test_a_bidder_with_too_many_legs_is_refused(world: World) -> None:
    account = distressed(world)
    full, other = world.open(world.bidder, usd=1_000_000), world.open(world.bidder, usd=1_000_000)
    for at in range(0, 128, 16):
        world.trade(full, other, *(call(world.month, 1000 + 10 * i, 0.01, 10) for i in range(at, at + 16)))
    assert answer(world, account, full) == "positions: too many legs"


def test_a_pause_stops_liquidations_and_a_pause_of_risk_does_not(world: World) -> None:
    account = distressed(world)
    world.house.set_paused(LIQUIDATION, sender=world.guardian)
    assert answer(world, account) == "liquidation: paused"
    world.house.set_paused(RISK, sender=world.owner)
    assert answer(world, account) is None


# ------------------------------------------------------------------------------------------------------- what is sold


def test_more_than_the_largest_slice_is_not_taken(world: World) -> None:
    account = distressed(world)
    limit = largest(world, account)
    event = world.sell(account)
    assert limit < WAD and event.fraction == limit
    assert world.sizes(account) == {ETH << 104: 10_000_000 - 10_000_000 * limit // WAD}
    world.check_ledger()


def test_a_slice_is_a_part_of_everything(world: World) -> None:
    """Legs, collateral, cash and cost in proportion; amounts cut towards zero."""
    account = world.open(world.taker, usd=3_001, ether=1)
    world.trade(
        account, world.making, perp(10), world.marked(call(world.month, 2200, -3)), future(world.week, 0.000003)
    )
    world.move(0.8)
    world.start_auction(account)
    before = world.state(account)[0]
    sizes = world.sizes(account)
    f = WAD // 4
    event = world.sell(account, fraction=f)
    price = event.price
    after = world.state(account)[0]
    # A quarter of three millionths is nothing, so that leg stays.
    taken = {name: size // 4 if size > 0 else -(-size // 4) for name, size in sizes.items()}
    assert world.sizes(account) == {n: s - taken[n] for n, s in sizes.items()}
    assert world.sizes(world.bidding) == {n: s for n, s in taken.items() if s} != taken
    assert after[3][0] == before[3][0] - before[3][0] // 4
    assert before[1] - after[1] == before[1] // 4 - price + event.fund
    assert before[2] - after[2] == before[2] // 4
    world.check_ledger()


@pytest.mark.parametrize(("seconds", "discount"), [(0, 0.02), (450, 0.16), (900, 0.30), (22_050, 0.65), (43_200, 1.0)])
def test_the_bidder_pays_net_value_less_a_discount_that_rises(world: World, seconds: int, discount: float) -> None:
    """2% at first, 30% after a quarter of an hour, all after twelve; the fund gets a hundredth while that is paid."""
    account = distressed(world, deposited=4_600)
    if seconds:
        world.wait(seconds - 1)
        world.move(0.85)
    before, mine, fund = world.figures(account), world.house.cash(world.bidding), world.house.cash(FUND)
    f = WAD // 3
    event = world.sell(account, fraction=f)
    value = -(-before.net_value * f // WAD)
    premium = world.quote_of(account).premium
    d = chain.wad(discount)
    fee = value * min(FEE, WAD - d) // WAD
    assert (event.net_value, event.fraction, event.fund) == (before.net_value, f, fee)
    assert event.price == -(-value * (WAD - d) // WAD) + premium
    assert world.house.cash(FUND) - fund == fee
    gained = world.house.cash(world.bidding) - mine + event.price
    assert gained == 4_575 * f, "its part of the cash, the reward for the start taken off"
    assert world.sizes(world.bidding)[ETH << 104] == 10 * 10**6 // 3
    world.check_ledger()


def test_what_rounding_can_cost_the_bidder_pays(world: World) -> None:
    """A millionth of six times spot, four times the strike and 250 USD for each leg, of a slice that is not all."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10), world.marked(put(world.month, 1_500, -0.01)))
    world.move(0.85)
    spot = round(0.85 * SPOT[ETH])
    assert world.quote_of(account).premium == (2 * (6 * spot + 250) + 4 * 1_500) * 10**12
    world.set_terms(minimum_slice=WAD)
    world.start_auction(account)
    value = world.figures(account).net_value
    assert world.sell(account).price == -(-value * (WAD - FIRST) // WAD)


def random_book(world: World, seed: int) -> list[Leg]:
    """A dozen legs of both underlyings, mostly short options."""
    rng = random.Random(seed)
    legs: dict[Any, Leg] = {}
    for _ in range(12):
        u = rng.choice([ETH, ETH, BTC])
        unit = SPOT[ETH] / SPOT[u]
        size = round(rng.uniform(-3, 1.5) * unit, 6)
        expiry = rng.choice([world.week, world.month, world.quarter])
        strike = float(f"{SPOT[u] * rng.uniform(0.7, 1.4):.3g}")
        kind = rng.choice(["call", "put", "future", "perp"])
        leg = {
            "call": lambda: world.marked(call(expiry, strike, size, 0, u)),  # noqa: B023
            "put": lambda: world.marked(put(expiry, strike, size, 0, u)),  # noqa: B023
            "future": lambda: future(expiry, size, SPOT[u], u),  # noqa: B023
            "perp": lambda: perp(size, SPOT[u], u),  # noqa: B023
        }[kind]()
        legs[leg[:4]] = leg
    return list(legs.values())


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6, 7, 8])
def test_the_largest_slice_restores_initial_margin(world: World, seed: int) -> None:
    """Decision 8, INV-01, INV-02, INV-09, over random books with and without collateral and offsets."""
    mode = CROSS if seed % 4 == 3 else 2
    account = world.open(world.taker, usd=60_000, ether=seed % 3, mode=mode)
    world.trade(account, world.making, *random_book(world, seed))
    world.drain(account)
    for percent in (-6, 6, -12, 12, -20, 20, -30, 30):
        for u in SPOT:
            world.move(1 + percent / 100, u)
        if world.health(account) < 0:
            break
    world.start_auction(account)
    before = world.figures(account)
    health = world.health(account)
    total = before.net_value + world.figures(world.bidding).net_value
    limit = largest(world, account)
    assert health < 0 < limit <= WAD
    if before.net_value >= 100 * WAD + 10 * world.quote_of(account).premium:
        assert limit < WAD
    fee = world.sell(account).fund

    after = world.figures(account)
    if limit < WAD:
        # Back at initial margin: no lower but for rounding, and little higher, as the liquidation cost falls faster
        # than in proportion (M-12); more only by the minimum slice.
        assert world.freedom(account) >= -ROUNDING_WAD
        if limit > WAD // 10:
            assert world.freedom(account) <= ROUNDING_WAD + before.initial // 100
    else:
        assert world.house.book(account) == []
    assert world.health(account) >= health, "INV-09"
    assert after.equity_maintenance >= after.maintenance or limit < WAD
    notional = sum(abs(leg[4]) for leg in random_book(world, seed)) * 200_000 * 10**12 // 5 // 10**9
    assert abs(after.net_value + world.figures(world.bidding).net_value + fee - total) <= notional, "INV-12"
    world.check_ledger()


def test_a_liquidated_account_is_not_sold_again(world: World) -> None:
    """INV-09: nothing beyond the slice rule."""
    account = distressed(world)
    world.sell(account)
    assert world.health(account) > 0
    assert answer(world, account) == "liquidation: healthy"


def test_small_bids_one_after_the_other_take_no_more_than_one(world: World) -> None:
    """INV-09: each is measured against what is left."""
    account = distressed(world)
    with world.ape_chain.isolate():
        world.sell(account)
        once = world.figures(account)
    for _ in range(9):
        if world.health(account) >= 0:
            break
        health = world.health(account)
        world.sell(account, fraction=WAD // 10)
        assert world.health(account) >= health
    assert world.health(account) >= 0
    # It ends once the account is healthy, before it has initial margin.
    assert world.figures(account).maintenance >= once.maintenance


def test_collateral_is_sold_with_the_rest(world: World) -> None:
    account = world.open(world.taker, ether=3)
    world.trade(account, world.making, perp(5))
    world.move(0.7)
    assert world.health(account) < 0
    world.start_auction(account)
    limit = largest(world, account)
    world.sell(account)
    assert world.house.balance_of(world.bidding, WETH) == 3 * WAD * limit // WAD
    world.check_ledger()


def test_selling_oneself_to_a_friend_profits_nobody(world: World) -> None:
    """INV-09: what one side loses by the discount the other gains, but for the fee."""
    account = distressed(world)
    friend = world.open(world.stranger, usd=50_000)
    before = sum(world.figures(a).net_value for a in (account, friend))
    fee = world.sell(account, friend).fund
    after = sum(world.figures(a).net_value for a in (account, friend))
    # Equity of each account is rounded down by less than 1e-14 USD.
    assert abs(after - before + fee) <= 2 * 10**4
    assert fee > 0


# ------------------------------------------------------------------------------------- what must not stop a liquidation


def account_with_deep_puts(world: World, sign: int, perps: float = 2.18) -> int:
    """An unhealthy account that holds, beside a perpetual, 126 millionths of a put against 126 legs of a millionth.

    The strikes are the highest that can be had, so that a millionth is worth two thirds of a dollar. They balance,
    unless one side is cut and the other stays whole, as every slice does that is not all.
    """
    account, other = world.open(world.taker, usd=round(perps * 413, 6)), world.open(world.taker, usd=10_000)
    one = put(world.month, 9 * SPOT[BTC], sign * 0.000126, 0, BTC)
    against = [put(world.month, 100_000 + 1_000 * i, -sign * 0.000001, 0, BTC) for i in range(404, 530)]
    legs = [world.marked(leg) for leg in (one, *against)]
    batch = [world.trade_action(account, other, *legs[at : at + 16]) for at in range(0, 127, 16)]
    world.house.execute(batch, sender=world.taker)
    world.trade(account, world.making, perp(perps))
    world.move(0.94)
    assert world.health(account) < 0
    return account


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_rounding_of_slices_stops_no_liquidation(world: World, sign: int) -> None:
    """INV-09, INV-11. Whichever way it is cut, the largest slice leaves the account no worse and is worth its price."""
    account = account_with_deep_puts(world, sign)
    before, health = world.figures(world.bidding).net_value, world.health(account)
    assert answer(world, account) is None
    world.sell(account)
    assert world.figures(world.bidding).net_value > before
    assert world.health(account) >= max(health, 0)


def test_a_bid_for_something_of_value_takes_no_debt(world: World) -> None:
    """The price falls while the bid is on its way."""
    account = distressed(world, 0.85)
    assert answer(world, account, max_price=10_000 * WAD) is None
    world.move(0.5)
    assert answer(world, account, max_price=10_000 * WAD) == "liquidation: no value"


def sleepy(world: World, amount: int = 1) -> tuple[Any, int, Any]:
    """A token of which the taker has some, its kind, and its price source, which is awake."""
    token = world.owner.deploy(world.contracts.Token, "Asleep", "ZZZ", 18)
    kind, source = world.list_kind(token)
    world.give(token, world.taker, amount)
    return token, kind, source


def test_collateral_with_a_stale_price_is_not_taken_for_a_shield(world: World) -> None:
    """INV-09, INV-11: a wei of anything whose source sleeps, deposited by the account in distress."""
    account = distressed(world)
    _, kind, source = sleepy(world)
    source.set_peg(WAD, False, sender=world.owner)
    assert world.tries(world.house.deposit, account, kind, 1, sender=world.taker) == "custody: stale price"
    assert answer(world, account) is None


@pytest.mark.parametrize("amount", [1, WAD])
def test_a_speck_of_collateral_whose_price_grew_stale_shields_nobody(world: World, amount: int) -> None:
    """INV-11: by an account that took care to have it before."""
    _, kind, source = sleepy(world, amount)
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10))
    world.house.deposit(account, kind, amount, sender=world.taker)
    source.set_peg(WAD, False, sender=world.owner)
    world.move(0.85)
    assert world.health(account) < 0
    assert answer(world, account) is None


def test_a_speck_of_a_leg_whose_price_grew_stale_shields_nobody(world: World) -> None:
    """INV-11: a millionth of bitcoin, which nobody publishes any more."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10), perp(0.000001, SPOT[BTC], BTC))
    world.go_stale()
    world.move(0.85)
    assert world.health(account) < 0
    assert answer(world, account) is None


def test_what_may_be_worth_more_than_its_stale_price_protects(world: World) -> None:
    """INV-13: sold only if short of margin by more than twice the value in doubt."""
    account = distressed(world)
    missing = -world.health(account)
    # A token of 1 USD counts 0.95 after its haircut, and may be worth 2 more.
    protecting = missing * 100 // 295
    _, kind, source = sleepy(world, protecting + 10**6)
    for amount, reason in ((protecting - 10**6, None), (2 * 10**6, "liquidation: healthy")):
        source.set_peg(WAD, True, sender=world.owner)
        world.house.deposit(account, kind, amount, sender=world.taker)
        source.set_peg(WAD, False, sender=world.owner)
        assert answer(world, account) == reason


def test_a_leg_that_has_expired_shields_nobody(world: World) -> None:
    """A millionth of an option whose expiry nobody publishes any more; it cannot be closed either."""
    account = world.open(world.taker, usd=4_500)
    world.trade(account, world.making, perp(10), call(world.week, 3000, 0.000001, 1))
    world.wait(world.week - 600 - world.now)
    world.move(0.8)
    world.wait(DAY)
    market = moved(flat_market(SPOT[ETH], world.start), 0.8)
    world.publish(ETH, replace(market, expiries=market.expiries[1:]))
    assert world.health(account) < 0
    assert answer(world, account) is None


@pytest.mark.parametrize(
    ("mode", "days", "strikes"),
    [(2, (28,), 16), (2, (7, 28), 6.5), (2, (7, 28, 56, 91), 1.75), (CROSS, (28,), 4), (CROSS, (7, 28, 56, 91), 1)],
)
def test_an_account_at_all_limits_is_sold_in_one_transaction(
    world: World, mode: int, days: tuple[int, ...], strikes: float
) -> None:
    """8 underlyings and 16 kinds of collateral; 128 legs of 8 expiries, 104 of 16, 56 of 32; 32 legs in cross mode.

    Fifteen of the kinds have sources of rate and peg. A transaction has at most 2**24 gas since Osaka.
    """
    account = world.open(world.taker, usd=100_000, mode=mode)
    others = range(10, 18)
    for u in others:
        world.publish(u, flat_market(100.0, world.start, days=days))
    legs = [(d, 95 + k) for d in days for k in range(-int(-strikes // 1))][: round(strikes * len(days))]
    for u in others:
        world.trade(account, world.making, *(call(world.start + d * DAY, k, -5, 5, u) for d, k in legs))
    assert len(world.house.book(account)) == 8 * len(legs)
    more = call(world.start + days[0] * DAY, 90, -5, 5, others[0])
    assert str(world.try_trade(account, world.making, more)).startswith("positions: "), "the book is not at its limit"
    for i in range(15):
        kind = staked(world, underlying=others[i % 8])
        kind.token.mint(world.taker, WAD, sender=world.taker)
        deposit(world, kind, account, WAD)
    world.drain(account)
    for u in others:
        world.publish(u, moved(flat_market(100.0, world.start, days=days), 1.08))
    assert world.health(account) < 0 < world.figures(account).net_value
    bidder = world.open(world.bidder, usd=1_000_000)
    sale = world.gas(world.house.bid, account, bidder, protocol.bid(SOLVENT), sender=world.bidder)
    assert sale <= TRANSACTION_GAS_LIMIT


def test_what_a_bidder_owes_is_covered(world: World) -> None:
    """A bidder without cash, but with collateral, owes the price: INV-02 holds."""
    account = world.open(world.taker, ether=3)
    world.trade(account, world.making, perp(5))
    world.move(0.7)
    bidder = world.open(world.bidder, ether=100)
    world.sell(account, bidder)
    assert world.house.cash(bidder) < 0 <= world.freedom(bidder)
    assert (
        world.tries(world.house.withdraw, bidder, QUOTE, 1, world.bidder, sender=world.bidder) == "custody: not enough"
    )
    world.check_ledger()
