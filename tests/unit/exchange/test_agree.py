"""Consent of the maker's side: signed by its owner, or approved on chain; for one taker, one package, once."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_utils import keccak

from scripts import protocol
from tests.unit.protocol_fixtures import EMPTY, FOR_EVER, NOTHING_SIGNED, World, call, instrument, perp

SIGNATURE = "exchange: signature"
# Order of secp256k1.
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def trade(world: World, *arguments: Any, sender: Any = None) -> str | None:
    """Why `trade` refuses what the taker asks for."""
    return world.tries(world.house.trade, *arguments, sender=sender or world.taker)


def terms(world: World, signature: bytes | None = None, deadline: int = FOR_EVER) -> tuple[Any, ...]:
    """One perpetual for the taker, signed by the maker if by nobody else."""
    package = [perp(1)]
    signed = world.signed(world.taking, world.making, package, 7, deadline) if signature is None else signature
    return world.taking, world.making, package, 7, deadline, signed


def test_a_signature_of_the_makers_owner_is_consent(world: World) -> None:
    receipt = world.house.trade(*terms(world), sender=world.taker)
    assert world.sizes(world.making) == {instrument(perp(1)): -1_000_000}
    assert world.exchange.nonce_used(world.making, 7)
    assert world.exchange.NonceUsed(account=world.making, nonce=7) in receipt.events


def test_a_signature_of_anybody_else_is_not(world: World) -> None:
    message = protocol.trade_message(world.protocol, world.taking, world.making, [perp(1)], 7, FOR_EVER)
    world.house.set_operator(world.making, world.operator, FOR_EVER, sender=world.maker)
    for user in (world.taker, world.stranger, world.owner, world.operator):
        assert trade(world, *terms(world, protocol.signature(user, message))) == SIGNATURE


@pytest.mark.parametrize(
    "field", ["taker", "maker", "underlying", "expiry", "strike", "kind", "size", "price", "nonce"]
)
def test_whatever_is_changed_was_not_signed(world: World, field: str) -> None:
    """The digest binds both accounts, every field of every leg, the nonce and the deadline."""
    leg = call(world.month, 2000, 1, 100)
    other, maker = world.open(world.taker, usd=1_000), world.open(world.maker, usd=1_000)
    signed = world.signed(world.taking, world.making, [leg], 7)
    changed: dict[str, tuple[Any, ...]] = {
        "taker": (other, world.making, [leg], 7),
        "maker": (world.taking, maker, [leg], 7),
        "underlying": (world.taking, world.making, [(1, *leg[1:])], 7),
        "expiry": (world.taking, world.making, [(leg[0], world.week, *leg[2:])], 7),
        "strike": (world.taking, world.making, [(*leg[:2], leg[2] + 1, *leg[3:])], 7),
        "kind": (world.taking, world.making, [(*leg[:3], 3, *leg[4:])], 7),
        "size": (world.taking, world.making, [(*leg[:4], -leg[4], leg[5])], 7),
        "price": (world.taking, world.making, [(*leg[:5], leg[5] - 1)], 7),
        "nonce": (world.taking, world.making, [leg], 8),
    }
    assert trade(world, world.taking, world.making, [leg], 7, FOR_EVER, signed) is None
    assert trade(world, *changed[field], FOR_EVER, signed) == SIGNATURE


def test_legs_are_neither_added_nor_left_out(world: World) -> None:
    legs = [perp(1), call(world.month, 2000, 1, 100), call(world.month, 2100, 1, 80)]
    signed = world.signed(world.taking, world.making, legs[:2], 7)
    assert trade(world, world.taking, world.making, legs[:2], 7, FOR_EVER, signed) is None
    assert trade(world, world.taking, world.making, legs[:1], 7, FOR_EVER, signed) == SIGNATURE
    assert trade(world, world.taking, world.making, legs, 7, FOR_EVER, signed) == SIGNATURE


def test_a_deadline_is_the_last_second(world: World) -> None:
    last = world.now + 10
    arguments = terms(world, deadline=last)
    world.wait(10)
    assert trade(world, *arguments) is None
    assert trade(world, *arguments[:4], last + 1, arguments[5]) == SIGNATURE
    world.wait(1)
    assert trade(world, *arguments) == "exchange: deadline"


def test_a_nonce_is_used_once(world: World) -> None:
    """Replay."""
    arguments = terms(world)
    world.house.trade(*arguments, sender=world.taker)
    assert trade(world, *arguments) == "exchange: nonce"


def test_nonces_have_no_order_and_are_each_makers_own(world: World) -> None:
    other = world.open(world.maker, usd=10_000)
    for nonce in (2**256 - 1, 0, 7):
        signed = world.signed(world.taking, world.making, [perp(1)], nonce)
        world.house.trade(world.taking, world.making, [perp(1)], nonce, FOR_EVER, signed, sender=world.taker)
    signed = world.signed(world.taking, other, [perp(1)], 7)
    assert trade(world, world.taking, other, [perp(1)], 7, FOR_EVER, signed) is None


def test_the_other_half_of_the_curve_is_refused(world: World) -> None:
    """Malleability: n - s with the other v is as good a signature of the same digest."""
    signed = world.signed(world.taking, world.making, [perp(1)], 7)
    r, s, v = signed[:32], int.from_bytes(signed[32:64], "big"), signed[64]
    twin = r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    digest = world.exchange.hash_trade(world.taking, world.making, [perp(1)], 7, FOR_EVER)
    assert Account._recover_hash(digest, signature=signed) == world.maker
    assert trade(world, *terms(world, twin)) == "ecdsa: invalid signature `s` value"


@pytest.mark.parametrize(
    "signature",
    [bytes(65), b"\x01" * 65, bytes(64) + b"\x1b", b"\x01", b"\x01" * 32],
    ids=["zeros", "ones", "zeros with v", "one byte", "one word"],
)
def test_what_is_no_signature_is_refused(world: World, signature: bytes) -> None:
    assert trade(world, *terms(world, signature)) in (SIGNATURE, "ecdsa: invalid signature")


def test_more_than_a_signature_is_refused(world: World) -> None:
    assert trade(world, *terms(world, b"\x01" * 66)) == ""


@pytest.mark.parametrize("wrong", ["chain", "contract", "name", "version"])
def test_a_signature_for_another_domain_is_refused(world: World, wrong: str) -> None:
    """Replay on another chain, or by another exchange."""
    domain: dict[str, Any] = {
        "name": "Ballast",
        "version": "1",
        "chainId": world.exchange.provider.chain_id,
        "verifyingContract": world.exchange.address,
    }
    domain |= {
        "chain": {"chainId": 1},
        "contract": {"verifyingContract": world.house.address},
        "name": {"name": "Ballast2"},
        "version": {"version": "2"},
    }[wrong]
    message = {
        "taker": world.taking,
        "maker": world.making,
        "legs": [dict(zip(protocol.LEG_FIELDS, perp(1), strict=True))],
        "nonce": 7,
        "deadline": FOR_EVER,
    }
    signed = world.maker.sign_message(protocol.encode_typed_data(domain, protocol.TYPES, message)).encode_rsv()
    assert trade(world, *terms(world, signed)) == SIGNATURE


@pytest.mark.parametrize("signature", [bytes(65), b"\x01" * 65])
def test_an_account_that_does_not_exist_consents_to_nothing(world: World, signature: bytes) -> None:
    """A failed recovery gives the empty address, which owns it."""
    for maker in (0, 99):
        assert world.house.owner_of(maker) == EMPTY
        assert trade(world, world.taking, maker, [perp(1)], 1, FOR_EVER, signature) == "exchange: no such account"
        assert trade(world, world.taking, maker, [perp(1)], 1, FOR_EVER, NOTHING_SIGNED) == "exchange: no such account"


def test_only_the_clearing_house_asks(world: World) -> None:
    sides = (world.taking, world.making, world.maker, True, world.protocol.market_data)
    arguments = (*sides, [perp(1)], 7, FOR_EVER, NOTHING_SIGNED)
    for user in (world.maker, world.taker, world.owner, world.stranger):
        assert world.tries(world.exchange.agree, *arguments, sender=user) == "exchange: caller"
    assert world.tries(world.exchange.agree, *arguments, sender=world.house) is None


def test_who_acts_for_both_sides_needs_no_consent_and_spends_no_nonce(world: World) -> None:
    for account in (world.taking, world.making):
        world.house.set_operator(account, world.operator, FOR_EVER, sender=world.user(account))
    arguments = (world.taking, world.making, [perp(1)], 7, 0, NOTHING_SIGNED)
    world.house.trade(*arguments, sender=world.operator)
    assert not world.exchange.nonce_used(world.making, 7)
    assert trade(world, *arguments) == "exchange: deadline"


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


def test_a_wallet_signs_by_its_own_rules(world: World) -> None:
    """EIP-1271; and may take it back before it is used."""
    wallet, account = wallet_account(world)
    arguments = (world.taking, account, [perp(1)], 7, FOR_EVER, b"\x01" * 65)
    digest = world.exchange.hash_trade(*arguments[:5])
    assert trade(world, *arguments) == SIGNATURE
    wallet.sign(digest, True, sender=world.maker)
    assert trade(world, *arguments) is None
    wallet.sign(digest, False, sender=world.maker)
    assert trade(world, *arguments) == SIGNATURE
    wallet.sign(digest, True, sender=world.maker)
    world.house.trade(*arguments, sender=world.taker)
    assert trade(world, *arguments) == "exchange: nonce"
    world.check_ledger()


def test_the_key_behind_a_wallet_does_not_sign_for_it(world: World) -> None:
    _, account = wallet_account(world)
    message = protocol.trade_message(world.protocol, world.taking, account, [perp(1)], 7, FOR_EVER)
    signed = protocol.signature(world.maker, message)
    assert trade(world, world.taking, account, [perp(1)], 7, FOR_EVER, signed) == SIGNATURE


def test_a_contract_without_a_signature_function_signs_nothing(world: World) -> None:
    token = world.owner.deploy(world.contracts.RudeToken, 18)
    token.call(world.house, world.house.create_account.encode_input(2), sender=world.maker)
    account = world.house.account_count()
    assert trade(world, world.taking, account, [perp(1)], 7, FOR_EVER, b"\x01" * 65) == SIGNATURE


# ---------------------------------------------------------------------------------------------------------------- hash


def test_the_digest_is_that_of_eip_712(world: World) -> None:
    """As any wallet computes it, for packages of one leg and of sixteen."""
    for count in (1, 2, 16):
        legs = [call(world.month, 1500 + i, (-1) ** i * (i + 1) * 1.5, 100 + i) for i in range(count)]
        for nonce, deadline in ((0, 0), (2**256 - 1, 2**256 - 1)):
            message = protocol.trade_message(world.protocol, world.taking, world.making, legs, nonce, deadline)
            expected = keccak(b"\x19" + message.version + message.header + message.body)
            assert world.exchange.hash_trade(world.taking, world.making, legs, nonce, deadline) == expected


def test_the_exchange_serves_one_clearing_house(world: World) -> None:
    assert world.exchange.clearing_house() == world.house
    assert world.house.exchange() == world.exchange
