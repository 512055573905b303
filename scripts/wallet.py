"""Who signs the transactions of a keeper, and pays for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from scripts.chain_state import ChainError


class Wallet(Protocol):
    """Who signs and pays."""

    @property
    def address(self) -> str:
        """Who it is."""
        ...

    def sign(self, transaction: dict[str, int | str]) -> str:
        """The raw transaction, hexadecimal, of `to`, `data`, `gas`, `nonce` and the two fees in wei."""
        ...


@dataclass(frozen=True)
class ApeWallet:
    """An account of ape's: of a key file, a plugin, or a test account."""

    account: Any
    provider: Any

    @property
    def address(self) -> str:
        """Its address."""
        return str(self.account.address)

    def sign(self, transaction: dict[str, int | str]) -> str:
        """Sign as ape does; ChainError where the account declines."""
        row = self.provider.network.ecosystem.create_transaction(
            type=2,
            chainId=self.provider.chain_id,
            to=transaction["to"],
            data=bytes.fromhex(str(transaction["data"])[2:]),
            gas=transaction["gas"],
            nonce=transaction["nonce"],
            value=0,
            maxFeePerGas=transaction["max_fee"],
            maxPriorityFeePerGas=transaction["tip"],
        )
        row.sender = self.account.address
        done = self.account.sign_transaction(row)
        if done is None:
            raise ChainError(f"{self.address} does not sign; unlock the account")
        return "0x" + bytes(done.serialize_transaction()).hex()
