"""Signed market data: what signers sign, and how it is brought to `contracts/feeds/SignedFeed.vy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_account.messages import SignableMessage, encode_typed_data

DOMAIN, VERSION = "Ballast market data", "1"
SURFACE_FIELDS = ("a", "b", "rho", "m", "sigma", "refSeconds", "forward")
EXPIRY_FIELDS = ("expiry", "forward", "rate", "surface")
UPDATE_FIELDS = ("underlying", "timestamp", "spot", "perpMark", "confidence", "expiries", "deadline")
TYPES = {
    "Update": [{"name": name, "type": "Expiry[]" if name == "expiries" else "uint256"} for name in UPDATE_FIELDS],
    "Expiry": [
        {"name": name, "type": {"rate": "int256", "surface": "Surface"}.get(name, "uint256")} for name in EXPIRY_FIELDS
    ],
    "Surface": [
        {"name": name, "type": "uint256" if name in ("refSeconds", "forward") else "int256"} for name in SURFACE_FIELDS
    ],
}


def content(update: Sequence[Any], deadline: int) -> dict[str, Any]:
    """An update, as `scripts.chain.update` makes it, and its deadline by the names of TYPES."""
    *head, expiries = update
    rows = [
        dict(zip(EXPIRY_FIELDS, (*row[:3], dict(zip(SURFACE_FIELDS, row[3], strict=True))), strict=True))
        for row in expiries
    ]
    return dict(zip(UPDATE_FIELDS, (*head, rows, deadline), strict=True))


def message(chain_id: int, feed: str, update: Sequence[Any], deadline: int) -> SignableMessage:
    """The EIP-712 message of an update.

    Parameters
    ----------
    chain_id : int
    feed : address of the signed feed
    update, deadline : as in `content`
    """
    return encode_typed_data(
        domain_data={"name": DOMAIN, "version": VERSION, "chainId": chain_id, "verifyingContract": feed},
        message_types=TYPES,
        message_data=content(update, deadline),
    )


def signatures(feed: Any, signers: Sequence[Any], update: Sequence[Any], deadline: int) -> list[bytes]:
    """Signatures of ape accounts, r, s, v, in the order that the feed wants: by address.

    Parameters
    ----------
    feed : ape contract instance
    signers : sequence of ape account
    update, deadline : as in `message`
    """
    said = message(feed.provider.chain_id, feed.address, update, deadline)
    ordered = sorted(signers, key=lambda signer: int(signer.address, 16))
    return [bytes(signer.sign_message(said).encode_rsv()) for signer in ordered]
