"""What the commands on networks share: accounts by alias, addresses, and errors of one line that name the option."""

from __future__ import annotations

from typing import Any

import ape
import click
from ape.cli import ConnectedProviderCommand
from ape.exceptions import AccountsError, ConfigError, NetworkError, ProviderError
from ape.logging import LogLevel, logger
from web3 import Web3

from python_model import methodology

# Chains on which tokens have worth, by chain id: a token that anyone may mint has no place there.
MAINNETS = {
    1: "Ethereum",
    10: "OP Mainnet",
    25: "Cronos",
    56: "BNB Smart Chain",
    100: "Gnosis",
    130: "Unichain",
    137: "Polygon",
    146: "Sonic",
    250: "Fantom",
    324: "ZKsync Era",
    480: "World Chain",
    999: "HyperEVM",
    1088: "Metis",
    1101: "Polygon zkEVM",
    1284: "Moonbeam",
    5000: "Mantle",
    8453: "Base",
    34443: "Mode",
    42161: "Arbitrum One",
    42170: "Arbitrum Nova",
    42220: "Celo",
    43114: "Avalanche",
    57073: "Ink",
    59144: "Linea",
    80094: "Berachain",
    81457: "Blast",
    534352: "Scroll",
    7777777: "Zora",
}


def wrong(option: str, why: str) -> click.UsageError:
    """The error of an option: its name, what is wrong and what to do."""
    return click.UsageError(f"--{option}: {why}")


def failed(step: str, error: Exception, undone: str = "") -> click.ClickException:
    """The error of a call or a transaction, in one line."""
    why = getattr(error, "revert_message", None) or " ".join(str(error).split())
    return click.ClickException(f"{step}: {why}{undone}")


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


def read_methodology(name: str) -> methodology.Methodology:
    """A preset by name, which must be a grid: a tail is no methodology of a deployment."""
    try:
        preset = methodology.load(name)
    except methodology.MethodologyError as error:
        raise wrong("methodology", str(error)) from None
    if preset.tail is not None:
        raise wrong("methodology", f"{name} is what accounts choose by their mode; name a preset without a tail")
    return preset


def check_funds(account: Any, provider: Any, gas: int) -> None:
    """Refuse an account that cannot pay for so much gas at the price of now."""
    price, balance = provider.gas_price, account.balance
    if balance < gas * price:
        raise wrong(
            "account",
            f"{account.address} has {balance / 1e18:.6f} ETH on chain {provider.chain_id}; a deployment takes up to "
            f"{gas * price / 1e18:.6f} ({gas / 1e6:.0f} million gas at {price / 1e9:.3g} gwei), so send it some",
        )


class NetworkCommand(ConnectedProviderCommand):
    """A command on a network, which says in one line what is wrong with the network."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ConfigError, NetworkError, ProviderError) as error:
            hint = "pass ethereum:sepolia:URL, or set SEPOLIA_RPC_URL to the URL and pass ethereum:sepolia:node"
            raise wrong("network", f"{error} ({hint})") from error
