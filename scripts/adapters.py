"""Oracle adapters to be: their arguments, looked at one by one, and what they would say if they were deployed now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak
from web3.exceptions import Web3Exception

from scripts import chain, protocol
from scripts.options import failed, read_contract, wrong

ONE = 10**12
# Bounds of the adapters' constructors.
MAX_SECONDS = 7 * 86_400
MAX_GRACE = 86_400
MAX_USD = 1e8
MAX_DECIMALS = 18
# Code of a contract's creation that creates another one, whose code follows it, and returns what `spot()` of that says
# and the time of the block. Where one of the two reverts, it does with the same reason.
REVERT = "3d5f5f3e 3d5ffd"
TRIAL = f"""
    61{{length}} 61003e 5f 39 61{{length}} 5f 5f f0
    80 6019 57 {REVERT} 5b
    63{{selector}} 5f 52 6080 5f 6004 601c 84 5a fa
    6035 57 {REVERT} 5b
    42 6080 52 60a0 5f f3
"""


@dataclass(frozen=True)
class Adapter:
    """A source to be: which contract, with what arguments, and what stands of it in the deployment file."""

    kind: str
    container: str
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any]
    # What whom it asks says, in words.
    outside: str


@dataclass(frozen=True)
class Spot:
    """A price, 1e-9 USD, its confidence, 1e-12, since when it holds, and the time at which it was asked for."""

    price: int
    confidence: int
    timestamp: int
    is_usable: bool
    now: int


def moment(time: int) -> str:
    """A time as people write it, UTC; one that no calendar has, as it is."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(time)


def read_seconds(option: str, seconds: int, least: int = 1, greatest: int = MAX_SECONDS) -> int:
    """Seconds within bounds."""
    if not least <= seconds <= greatest:
        raise wrong(option, f"must be {least} to {greatest} seconds (got {seconds})")
    return seconds


def read_fraction(option: str, fraction: float) -> int:
    """A fraction at 1e-12."""
    # As NaN is in no interval.
    if not 0.0 <= fraction < 1.0 or chain.scaled(fraction, 12) >= ONE:
        raise wrong(
            option, f"must be a fraction from 0 to below 1, such as 0.005 for half a percent (got {fraction:g})"
        )
    return chain.scaled(fraction, 12)


def read_price(option: str, usd: float) -> int:
    """A price at 1e-9."""
    if not 0.0 <= usd <= MAX_USD:
        raise wrong(option, f"must be 0 to {MAX_USD:,.0f} USD (got {usd:g})")
    return chain.scaled(usd, 9)


def read_price_id(text: str) -> str:
    """The id of a Pyth feed, in lower case."""
    digits = text[2:].lower()
    if text[:2] != "0x" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise wrong("price-id", f"must be 0x and 64 hexadecimal digits (got {text!r})")
    if not int(digits, 16):
        raise wrong("price-id", "zero is the id of no feed")
    return f"0x{digits}"


def view(provider: Any, address: str, signature: str, types: Sequence[str], words: str = "") -> tuple[Any, ...] | None:
    """What a contract of somebody else answers; None where it reverts, or answers something else."""
    data = f"0x{keccak(text=signature)[:4].hex()}{words}"
    try:
        return decode(types, bytes(provider.web3.eth.call({"to": address, "data": data})))
    except (Web3Exception, DecodingError, ValueError):
        return None


def chainlink_adapter(
    provider: Any,
    aggregator: str,
    heartbeat: int,
    least: float,
    greatest: float,
    confidence: float,
    sequencer: str | None,
    grace: int | None,
) -> Adapter:
    """`ChainlinkSource`, once its arguments are looked at."""
    address = read_contract("aggregator", aggregator, provider)
    heartbeat = read_seconds("heartbeat", heartbeat)
    floor, ceiling = read_price("least", least), read_price("greatest", greatest)
    if floor >= ceiling:
        raise wrong("least", f"must be below --greatest (got {least:g} and {greatest:g})")
    half_width = read_fraction("confidence", confidence)
    if (sequencer is None) != (grace is None):
        missing, given = ("sequencer", "grace") if sequencer is None else ("grace", "sequencer")
        raise wrong(missing, f"missing; pass it together with --{given}, or neither where there is no sequencer")
    uptime, delay = protocol.NOBODY, 0
    if sequencer is not None and grace is not None:
        uptime, delay = read_contract("sequencer", sequencer, provider), read_seconds("grace", grace, 0, MAX_GRACE)
        if uptime == address:
            raise wrong("sequencer", f"must be the uptime feed, not the aggregator (got {uptime} for both)")
    answer = view(provider, address, "decimals()", ["uint8"])
    if answer is None:
        raise wrong("aggregator", f"the contract at {address} is no aggregator of Chainlink: it has no decimals")
    decimals = int(answer[0])
    if decimals > MAX_DECIMALS:
        raise wrong("aggregator", f"at most {MAX_DECIMALS} decimals (the one at {address} has {decimals})")
    last = view(provider, address, "latestRoundData()", ["uint80", "int256", "uint256", "uint256", "uint80"])
    said = "has no last round" if last is None else f"says {last[1] / 10**decimals:,.9g} as of {moment(last[3])}"
    settings = {
        "aggregator": address,
        "heartbeat": heartbeat,
        "least": least,
        "greatest": greatest,
        "confidence": confidence,
        **({} if sequencer is None else {"sequencer": uptime, "grace": delay}),
    }
    arguments = (address, heartbeat, floor, ceiling, half_width, uptime, delay)
    if sequencer is not None:
        status = view(provider, uptime, "latestRoundData()", ["uint80", "int256", "uint256", "uint256", "uint80"])
        if status is None:
            raise wrong("sequencer", f"the contract at {uptime} is no uptime feed of Chainlink: it has no round")
        said += f"; the sequencer is {'down' if status[1] else 'up'} since {moment(status[2])}"
    return Adapter("chainlink", "ChainlinkSource", arguments, settings, f"The aggregator {said}")


def pyth_adapter(provider: Any, pyth: str, price_id: str, max_age: int, widest: float) -> Adapter:
    """`PythSource`, once its arguments are looked at."""
    address, feed_id = read_contract("pyth", pyth, provider), read_price_id(price_id)
    max_age, limit = read_seconds("max-age", max_age), read_fraction("widest", widest)
    last = view(provider, address, "getPriceUnsafe(bytes32)", ["int64", "uint64", "int32", "uint256"], feed_id[2:])
    said = "has no price of this id, or nobody has brought one yet"
    if last is not None:
        price, half_width, exponent, time = last
        # As text: of any exponent, as nobody vouches for it, there is a nearest double.
        usd, width = (f"{float(f'{n}e{exponent}'):,.9g}" for n in (price, half_width))
        said = f"says {usd}, give or take {width}, as of {moment(time)}"
    settings = {"pyth": address, "price_id": feed_id, "max_age": max_age, "widest": widest}
    return Adapter("pyth", "PythSource", (address, feed_id, max_age, limit), settings, f"Pyth {said}")


def trial(code: bytes) -> str:
    """Code with which a node says what a source says that is not deployed, given the code of its creation."""
    parts = {"length": f"{len(code):04x}", "selector": keccak(text="spot()")[:4].hex()}
    return "0x" + bytes.fromhex(TRIAL.format(**parts)).hex() + code.hex()


def ask(contracts: Any, adapter: Adapter, provider: Any) -> Spot:
    """What an adapter would say if it was deployed now."""
    constructor = getattr(contracts, adapter.container).constructor
    code = bytes(constructor.serialize_transaction(*adapter.arguments).data)
    try:
        answer = provider.web3.eth.call({"data": trial(code)})
    except (Web3Exception, ValueError) as error:
        raise failed(f"{adapter.container} cannot be deployed", error) from error
    if len(answer) != 160:
        raise click.ClickException(f"{adapter.container}: the node does not answer what it would say")
    return Spot(*decode(["uint256", "uint256", "uint256", "bool", "uint256"], answer))
