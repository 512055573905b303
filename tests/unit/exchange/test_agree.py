"""Consent: each side's order is signed by a key that may trade for it, for this chain, these legs and this many lots.

Whatever is refused has a reason of its own and moves nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_utils import keccak

from scripts import protocol
from tests.unit.protocol_fixtures import (
    EMPTY,
    FOR_EVER,
    SCOPE_ALL,
    SCOPE_FUNDS,
    SCOPE_TRADE,
    Consent,
    Order,
    World,
    call,
    instrument,
    perp,
)

SIGNATURE, UNAUTHORISED = "exchange: signature", "accounts: not authorised"
# Order of secp256k1.
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def answer(world: World, maker: Consent, taker: Consent | None = None, lots: int = 1, sender: Any = None) -> str | None:
    """Why the maker's consent is refused, to a taker who calls and takes the opposite. Nothing moves by asking."""
    before = world.state(world.taking, world.making)
    if taker is None:
        taker = world.called(Order(world.taking, protocol.opposite(maker.order.legs), maker.order.lots))
    data = protocol.submission(maker, taker, lots)
    reason = world.tries(world.house.trade, data, sender=sender or world.taker)
    assert world.state(world.taking, world.making) == before
    return reason


def quoted(world: World, **fields: Any) -> Order:
    """The maker offers one perpetual."""
    return world.order(world.making, perp(-1), **fields)


def both(world: World) -> tuple[Consent, Consent]:
    """A perpetual of which both sides signed to trade ten lots."""
    made, taken = (world.order(a, perp(n), lots=10) for a, n in ((world.making, -1), (world.taking, 1)))
    return world.signed(made), world.signed(taken)


# ---------------------------------------------------------------------------------------------------------- what passes


def test_whoever_has_both_signatures_submits(world: World) -> None:
    made, taken = both(world)
    receipt = world.house.trade(protocol.submission(made, taken, 3), sender=world.stranger)
    assert world.sizes(world.making) == {instrument(perp(1)): -3_000_000}
    assert world.sizes(world.taking) == {instrument(perp(1)): 3_000_000}
    fills = [
        world.exchange.OrderFilled(account=side.order.account, digest=world.digest(side.order), lots=3, filled=3)
        for side in (made, taken)
    ]
    assert [event for event in receipt.events if event.event_name == "OrderFilled"] == fills
    world.check_ledger()


def test_the_caller_needs_no_signature_and_spends_no_lots(world: World) -> None:
    """Calling is consent, to this one fill."""
    made, taken = both(world)
    calling = world.called(taken.order)
    world.house.trade(protocol.submission(made, calling), sender=world.taker)
    assert world.exchange.filled(world.digest(made.order)) == 1
    assert world.exchange.filled(world.digest(taken.order)) == 0


def test_the_maker_may_call_as_well(world: World) -> None:
    made, taken = both(world)
    assert answer(world, world.called(made.order), taken, sender=world.maker) is None


def test_who_acts_for_both_sides_signs_nothing(world: World) -> None:
    made, taken = (world.called(side.order, world.operator) for side in both(world))
    for account in (world.taking, world.making):
        assert answer(world, made, taken, sender=world.operator) == UNAUTHORISED
        world.house.set_operator(account, world.operator, FOR_EVER, SCOPE_TRADE, sender=world.user(account))
    assert answer(world, made, taken, sender=world.operator) is None
    # Which is no signature for anybody else.
    assert answer(world, made, taken, sender=world.stranger) == "exchange: not approved"


# ------------------------------------------------------------------------------------------ acceptance: what does not


@pytest.mark.parametrize("wrong", ["chain", "contract", "name", "version"])
def test_a_signature_for_another_domain_is_refused(world: World, wrong: str) -> None:
    """Replay on another chain, or by another exchange."""
    order = quoted(world)
    message = protocol.order_message(world.protocol, order)
    domain: dict[str, Any] = {
        "name": "Ballast",
        "version": "1",
        "chainId": world.exchange.provider.chain_id,
        "verifyingContract": world.exchange.address,
    }
    changed = {
        "chain": {"chainId": 1},
        "contract": {"verifyingContract": world.house.address},
        "name": {"name": "Ballast2"},
        "version": {"version": "2"},
    }[wrong]

    def signed(domain: dict[str, Any]) -> Consent:
        names = [field["name"] for field in protocol.TYPES["Order"]]
        row = dict(zip(names, order.row, strict=True))
        row["legs"] = [dict(zip(protocol.LEG_FIELDS, leg, strict=True)) for leg in order.legs]
        other = protocol.encode_typed_data(domain, protocol.TYPES, row)
        assert (other.body == message.body) and (other.header == message.header) == (domain == good)
        return Consent(order, world.maker.address, protocol.signature(world.maker, other))

    good = dict(domain)
    assert answer(world, signed(domain)) is None
    assert answer(world, signed(domain | changed)) == SIGNATURE


def test_a_replay_is_refused(world: World) -> None:
    side = world.signed(quoted(world))
    data = protocol.submission(side, world.called(world.order(world.taking, perp(1))))
    world.house.trade(data, sender=world.taker)
    assert answer(world, side) == "exchange: filled"


def test_a_cancelled_order_is_refused(world: World) -> None:
    order = quoted(world)
    side = world.signed(order)
    world.exchange.cancel(world.making, order.nonce, sender=world.maker)
    assert answer(world, side) == "exchange: cancelled"


def test_a_deadline_is_the_last_second(world: World) -> None:
    side = world.signed(quoted(world, deadline=world.now + 10))
    world.wait(10)
    assert answer(world, side) is None
    world.wait(1)
    assert answer(world, side) == "exchange: expired"


def test_a_caller_has_a_deadline_too(world: World) -> None:
    taken = world.order(world.taking, perp(1), deadline=world.now - 1)
    assert answer(world, world.signed(quoted(world)), world.called(taken)) == "exchange: expired"


@pytest.mark.parametrize(
    "field", ["account", "lots", "max_fee", "counterparty", "nonce", "deadline", *protocol.LEG_FIELDS]
)
def test_whatever_is_changed_was_not_signed(world: World, field: str) -> None:
    """The digest binds every field of the order and of every leg."""
    leg = call(world.month, 2000, -1, 100)
    order = world.order(world.making, leg, perp(2), lots=3, max_fee=10**18, deadline=world.now + 10)
    side = world.signed(order)
    assert answer(world, side) is None
    if field in protocol.LEG_FIELDS:
        i = protocol.LEG_FIELDS.index(field)
        other = {"underlying": 1, "expiry": world.week, "strike": leg[2] + 10**7, "kind": 3}.get(field, leg[i] - 1)
        changed = replace(order, legs=tuple(sorted((perp(2), (*leg[:i], other, *leg[i + 1 :])))))
    else:
        value = {"account": world.open(world.maker, usd=10**6), "counterparty": world.taking}.get(field)
        changed = replace(order, **{field: getattr(order, field) + 1 if value is None else value})
    assert answer(world, replace(side, order=changed)) == SIGNATURE


def test_legs_are_neither_added_nor_left_out(world: World) -> None:
    legs = [perp(-1), call(world.month, 2000, 1, 100), call(world.month, 2100, 1, 80)]
    side = world.signed(world.order(world.making, *legs[:2]))
    assert answer(world, side) is None
    for some in (legs[:1], legs):
        assert answer(world, replace(side, order=replace(side.order, legs=tuple(some)))) == SIGNATURE


def test_the_other_half_of_the_curve_is_refused(world: World) -> None:
    """Malleability: n - s with the other v is as good a signature of the same digest."""
    side = world.signed(quoted(world))
    r, s, v = side.signature[:32], int.from_bytes(side.signature[32:64], "big"), side.signature[64]
    twin = r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    assert Account._recover_hash(world.digest(side.order), signature=twin) == world.maker
    assert answer(world, replace(side, signature=twin)) == "ecdsa: invalid signature `s` value"


@pytest.mark.parametrize("signature", [b"", bytes(65), b"\x01" * 65], ids=["none", "zeros", "ones"])
def test_nobody_signs_nothing(world: World, signature: bytes) -> None:
    """A failed recovery gives the empty address, which owns every account that does not exist."""
    for maker in (0, 99, world.making):
        order = world.order(maker, perp(-1))
        assert answer(world, Consent(order, EMPTY, signature)) == "exchange: signer"
        assert answer(world, Consent(order, EMPTY, signature), sender=EMPTY) == "exchange: signer"
    absent = world.signed(world.order(99, perp(-1)), world.maker)
    assert answer(world, absent) == UNAUTHORISED


@pytest.mark.parametrize(
    "signature",
    [bytes(65), b"\x01" * 65, bytes(64) + b"\x1b", b"\x01", b"\x01" * 64, b"\x01" * 66, b"\x01" * 512],
    ids=["zeros", "ones", "zeros with v", "one byte", "64 bytes", "66 bytes", "512 bytes"],
)
def test_what_is_no_signature_is_refused(world: World, signature: bytes) -> None:
    side = Consent(quoted(world), world.maker.address, signature)
    assert answer(world, side) in (SIGNATURE, "ecdsa: invalid signature")


def test_more_than_any_signature_is_refused(world: World) -> None:
    assert answer(world, Consent(quoted(world), world.maker.address, b"\x01" * 513)) == ""


def test_a_signature_of_anybody_else_is_none(world: World) -> None:
    """Neither as the owner's nor as one's own."""
    for user in (world.taker, world.stranger, world.owner, world.operator):
        side = world.signed(quoted(world), user)
        assert answer(world, replace(side, signer=world.maker.address)) == SIGNATURE
        assert answer(world, side) == UNAUTHORISED


def test_an_operator_signs_within_its_scope_and_time(world: World) -> None:
    side = world.signed(quoted(world), world.operator)
    appoint = (world.house.set_operator, world.making, world.operator)
    for scope, expiry, reason in (
        (SCOPE_FUNDS, FOR_EVER, UNAUTHORISED),
        (0, FOR_EVER, UNAUTHORISED),
        (SCOPE_TRADE, world.now + 1, None),
        (SCOPE_ALL, world.now + 1, None),
        (SCOPE_ALL, world.now, UNAUTHORISED),
    ):
        appoint[0](*appoint[1:], expiry, scope, sender=world.maker)
        assert answer(world, side) == reason


# -------------------------------------------------------------------------------------------------------------- wallets


def wallet_account(world: World) -> tuple[Any, int]:
    """A contract of the maker's with an account of 10,000 USD."""
    wallet = world.maker.deploy(world.contracts.Wallet)
    wallet.call(world.house, world.house.create_account.encode_input(2), sender=world.maker)
    account = world.house.account_count()
    units = 10_000 * 10**6
    world.quote.mint(wallet, units, sender=world.maker)
    wallet.call(world.quote, world.quote.approve.encode_input(world.house, units), sender=world.maker)
    wallet.call(world.house, world.house.deposit.encode_input(account, 0, units), sender=world.maker)
    assert world.house.owner_of(account) == wallet
    return wallet, account


@pytest.mark.parametrize("length", [1, 65, 512])
def test_a_wallet_signs_by_its_own_rules(world: World, length: int) -> None:
    """EIP-1271; signatures of several keys are longer than one. It may take it back before it is used."""
    wallet, account = wallet_account(world)
    side = Consent(world.order(account, perp(-1)), wallet.address, b"\x01" * length)
    digest = world.digest(side.order)
    assert answer(world, side) == "exchange: wallet"
    wallet.sign(digest, True, sender=world.maker)
    assert answer(world, side) is None
    wallet.sign(digest, False, sender=world.maker)
    assert answer(world, side) == "exchange: wallet"
    wallet.sign(digest, True, sender=world.maker)
    data = protocol.submission(side, world.called(world.order(world.taking, perp(1))))
    world.house.trade(data, sender=world.taker)
    assert answer(world, side) == "exchange: filled"
    world.check_ledger()


def test_a_wallet_is_an_operator_as_any_key_is(world: World) -> None:
    wallet, _ = wallet_account(world)
    side = Consent(quoted(world), wallet.address, b"\x01")
    wallet.sign(world.digest(side.order), True, sender=world.maker)
    assert answer(world, side) == UNAUTHORISED
    world.house.set_operator(world.making, wallet, FOR_EVER, SCOPE_TRADE, sender=world.maker)
    assert answer(world, side) is None


def test_the_key_behind_a_wallet_does_not_sign_for_it(world: World) -> None:
    wallet, account = wallet_account(world)
    side = world.signed(world.order(account, perp(-1)), world.maker)
    assert answer(world, side) == UNAUTHORISED
    assert answer(world, replace(side, signer=wallet.address)) == "exchange: wallet"


def test_a_contract_without_a_signature_function_signs_nothing(world: World) -> None:
    token = world.owner.deploy(world.contracts.RudeToken, 18)
    token.call(world.house, world.house.create_account.encode_input(2), sender=world.maker)
    order = world.order(world.house.account_count(), perp(-1))
    assert answer(world, Consent(order, token.address, b"\x01" * 65)) == "exchange: wallet"


# ---------------------------------------------------------------------------------------------------------------- rest


def test_an_order_for_one_is_for_nobody_else(world: World) -> None:
    other = world.open(world.taker, usd=10_000)
    for account, reason in ((world.taking, None), (other, "exchange: counterparty"), (0, None)):
        assert answer(world, world.signed(quoted(world, counterparty=account))) == reason
    choosy = world.called(world.order(world.taking, perp(1), counterparty=other))
    assert answer(world, world.signed(quoted(world)), choosy) == "exchange: counterparty"


def test_only_the_clearing_house_asks(world: World) -> None:
    made, taken = both(world)
    arguments = (world.stranger, world.protocol.market_data, protocol.submission(made, taken))
    for user in (world.maker, world.taker, world.owner, world.stranger):
        assert world.tries(world.exchange.agree, *arguments, sender=user) == "exchange: caller"
    assert world.tries(world.exchange.agree, *arguments, sender=world.house) is None


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 500, -32])
def test_what_is_no_submission_is_refused(world: World, cut: int) -> None:
    data = protocol.submission(*both(world))
    assert world.tries(world.house.trade, data, sender=world.stranger) is None
    assert world.tries(world.house.trade, data[:cut], sender=world.stranger) == ""


def test_the_digest_is_that_of_eip_712(world: World) -> None:
    """As any wallet computes it, for packages of one leg and of sixteen."""
    for count in (1, 2, 16):
        legs = tuple(call(world.month, 1500 + i, (-1) ** i * (i + 1) * 1.5, 100 + i) for i in range(count))
        for number in (0, 7, 2**256 - 1):
            order = Order(number, legs, number, number, number, number, number)
            message = protocol.order_message(world.protocol, order)
            assert world.digest(order) == keccak(b"\x19" + message.version + message.header + message.body)


def test_a_wallet_can_ask_for_the_domain(world: World) -> None:
    """EIP-5267."""
    _, name, version, chain_id, contract, _, _ = world.exchange.eip712Domain()
    assert (name, version, chain_id) == ("Ballast", "1", world.exchange.provider.chain_id)
    assert contract == world.exchange


def test_the_exchange_serves_one_clearing_house(world: World) -> None:
    assert world.exchange.clearing_house() == world.house
    assert world.house.exchange() == world.exchange
