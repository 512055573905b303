"""What the commands on networks share: accounts by alias, addresses, and errors of one line that name the option."""

from __future__ import annotations

from typing import Any

import ape
import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import AccountsError, ConfigError, NetworkError, ProviderError
from ape.logging import LogLevel, logger
from web3 import Web3


def wrong(option: str, why: str) -> click.UsageError:
    """The error of an option: its name, what is wrong and what to do."""
    return click.UsageError(f"--{option}: {why}")


def read_address(option: str, address: str) -> str:
    """The checksummed address."""
    try:
        checked = str(Web3.to_checksum_address(address))
    except ValueError:
        raise wrong(option, f"must be an address, 0x and 40 hexadecimal digits (got {address!r})") from None
    if address[2:] not in (address[2:].lower(), address[2:].upper(), checked[2:]):
        raise wrong(option, f"the checksum does not fit, so that a digit may be wrong (got {address})")
    return checked


def read_contract(option: str, address: str, provider: Any) -> str:
    """The checksummed address of a contract."""
    checked = read_address(option, address)
    if not provider.get_code(checked):
        raise wrong(option, f"there is no contract at {checked} on chain {provider.chain_id}")
    return checked


def read_account(alias: str | None, provider: Any, option: str = "account") -> Any:
    """The account of an alias; without one, the first test account of a local network."""
    test_accounts = ape.accounts.test_accounts
    if alias is None:
        if provider.network.is_dev:
            return test_accounts[0]
        raise wrong(option, "missing; `ape accounts list` shows yours, `ape accounts import ALIAS` adds one")
    aliases = set(ape.accounts.aliases)
    if alias not in aliases:
        known = ", ".join(sorted(aliases)) or "none yet"
        raise wrong(option, f"no account {alias!r} (yours: {known}); `ape accounts import {alias}` adds it")
    return ape.accounts.load(alias)


def unlock(account: Any, option: str = "account") -> None:
    """Let an encrypted account sign without a question for each transaction or message."""
    if not hasattr(account, "set_autosign"):
        return
    try:
        with logger.at_level(LogLevel.ERROR):
            account.set_autosign(True)
    except AccountsError:
        variable = f"APE_ACCOUNTS_{account.alias}_PASSPHRASE"
        raise wrong(option, f"wrong passphrase for {account.alias!r}; set {variable}, or type it") from None


class NetworkCommand(ConnectedProviderCommand):
    """A command on a network, which says in one line what is wrong with the network."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, NetworkError, ProviderError) as error:
            hint = "pass ethereum:sepolia:URL, or set SEPOLIA_RPC_URL to the URL and pass ethereum:sepolia:node"
            raise wrong("network", f"{error} ({hint})") from error
