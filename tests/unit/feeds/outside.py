"""What the world outside may say, and what is to be believed of it, computed here again with fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from web3.exceptions import ContractLogicError

from tests.unit.protocol_fixtures import reason

NOW = 2_000_000_000
DAY = 86_400
NANO, PICO = 10**9, 10**12
MAX_PRICE = 10**17
REVERTS, BURNS, LINGERS = 1, 2, 3
NOTHING = (0, 0, 0, False)


def words(*numbers: int) -> bytes:
    """Numbers as an answer has them, negative ones in two's complement."""
    return b"".join((number % 2**256).to_bytes(32, "big") for number in numbers)


def signed(word: int) -> int:
    """A word as int256."""
    return word % 2**256 - (2**256 if word % 2**256 >= 2**255 else 0)


def rude(contracts: Any, owner: Any, answer: bytes = b"") -> Any:
    """A `RudeSource` that says something, so far politely."""
    source = owner.deploy(contracts.RudeSource)
    source.set_answer(answer, sender=owner)
    return source


def does(manner: int, answer: bytes = b"") -> Callable[[Any, Any], None]:
    """Make a `RudeSource` behave."""

    def change(source: Any, owner: Any) -> None:
        source.set_answer(answer, sender=owner)
        if manner:
            source.set_manner(manner, sender=owner)

    return change


# Of everybody who is asked.
MANNERS = {
    "reverts": does(REVERTS),
    "reverts at length": does(REVERTS, b"\xff" * 20_000),
    "burns all gas": does(BURNS),
    "burns more than its share": does(LINGERS, words(1, 10**8, NOW, NOW, 1)),
    "says nothing": does(0),
    "says a byte": does(0, b"\x01"),
    "says the greatest numbers": does(0, b"\xff" * 160),
    "says zeros": does(0, b"\x00" * 160),
    "says 20,000 bytes": does(0, b"\xff" * 20_000),
}


# --------------------------------------------------------------------------------------------------------------- calls


def with_gas(handler: Any, gas: int, time: int) -> bytes | None:
    """The answer to a call that is given so much gas beside what every transaction costs; None where it reverts."""
    data = bytes(handler.encode_input())
    # 21,000, and 16 for each byte of a selector, in which none is zero.
    transaction = {"to": handler.contract.address, "data": "0x" + data.hex(), "gas": hex(gas + 21_000 + 16 * len(data))}
    block = {"time": hex(time)}
    answer = handler.contract.provider.web3.provider.make_request("eth_call", [transaction, "latest", {}, block])
    return None if "error" in answer else bytes.fromhex(answer["result"][2:])


def refusal(target: Any, *arguments: Any, sender: Any, value: int = 0) -> str | None:
    """The reason or error with which a deployment or a call reverts; None where it passes. The chain stays as it is."""
    transaction: dict[str, Any] = {"from": sender.address, "value": value, "gas": 10**8}
    if hasattr(target, "constructor"):
        transaction["data"] = target.constructor.serialize_transaction(*arguments).data
    else:
        transaction["to"] = target.contract.address
        transaction["data"] = "0x" + bytes(target.encode_input(*arguments)).hex()
    try:
        sender.provider.web3.eth.call(transaction)
    except ContractLogicError as error:
        data = str(error.data or "")
        return data if len(data) == 10 else reason(error)
    return None


# ----------------------------------------------------------------------------------------------------------- Chainlink


class Round(NamedTuple):
    """What `latestRoundData` returns."""

    round_id: int
    answer: int
    started_at: int
    updated_at: int
    answered_in: int


@dataclass(frozen=True)
class ChainlinkTerms:
    """Arguments of `ChainlinkSource`, but for the feeds; and the decimals of the aggregator."""

    decimals: int = 8
    heartbeat: int = 3_600
    least: int = 100 * NANO
    greatest: int = 10_000 * NANO
    confidence: int = 5 * NANO
    grace: int = 1_800

    def arguments(self, aggregator: Any, sequencer: Any) -> tuple[Any, ...]:
        return (aggregator, self.heartbeat, self.least, self.greatest, self.confidence, sequencer, self.grace)

    def scaled(self, price: int | Fraction) -> int:
        """An answer in the aggregator's decimals."""
        return floor(Fraction(price) * 10**self.decimals)

    def good(self, now: int = NOW) -> Round:
        """A round against which nothing speaks."""
        return Round((1 << 64) + 7, self.scaled(2000), now - 10, now - 5, (1 << 64) + 7)

    def up(self, now: int = NOW) -> Round:
        """A sequencer that has been up for long."""
        return Round((1 << 64) + 2, 0, now - DAY, now - DAY, (1 << 64) + 2)

    def spot(self, last: Round, status: Round | None, now: int) -> tuple[int, int, int, bool]:
        """What the source has to say (INV-13)."""
        answer = signed(last.answer)
        price = floor(Fraction(answer, 10**self.decimals) * NANO)
        conditions = [
            max(last.round_id, last.answered_in) < 2**80,
            last.answered_in >= last.round_id,
            0 < last.updated_at <= now <= last.updated_at + self.heartbeat,
            answer > 0,
            self.least < price,
            Fraction(answer, 10**self.decimals) * NANO < self.greatest,
        ]
        if status is not None:
            conditions += [
                max(status.round_id, status.answered_in) < 2**80,
                signed(status.answer) == 0,
                status.started_at > 0,
                now > status.started_at + self.grace,
            ]
        return (price, self.confidence, last.updated_at, True) if all(conditions) else NOTHING


# ---------------------------------------------------------------------------------------------------------------- Pyth


class PythPrice(NamedTuple):
    """`PythStructs.Price`."""

    price: int
    conf: int
    expo: int
    publish_time: int


@dataclass(frozen=True)
class PythTerms:
    """Arguments of `PythSource`, but for the contract and the feed."""

    max_age: int = 60
    widest: int = 10 * NANO

    def good(self, now: int = NOW) -> PythPrice:
        """2,000 give or take 1."""
        return PythPrice(2000 * 10**8, 10**8, -8, now - 5)

    def spot(self, said: PythPrice, now: int) -> tuple[int, int, int, bool]:
        """What the source has to say (INV-13)."""
        value, expo = signed(said.price), signed(said.expo)
        conditions = [
            0 < value < 2**63,
            said.conf < 2**64,
            # No price of this type is admissible beyond; and the powers below stay small.
            -40 < expo < 40,
            0 < said.publish_time <= now <= said.publish_time + self.max_age,
        ]
        if not all(conditions):
            return NOTHING
        exact = value * Fraction(10) ** expo * NANO
        price = floor(exact)
        if not 0 < price <= MAX_PRICE:
            return NOTHING
        # The least multiple of 1e-12 for which price * (1 - c) to price * (1 + c) has in it what Pyth says.
        half_width = said.conf * Fraction(10) ** expo * NANO
        confidence = -floor(-max(exact + half_width - price, price - (exact - half_width)) * PICO / price)
        return (price, confidence, said.publish_time, True) if confidence <= self.widest else NOTHING


def but(terms: Any, **changed: int) -> Any:
    """Terms that differ in some."""
    return replace(terms, **changed)
