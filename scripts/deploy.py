"""Deploy the whole protocol to any network: `ape run deploy --network NETWORK` (`make deploy`).

Everything that can be wrong is looked at before the first transaction. The deployment file that it writes is read again
by `scripts.protocol.load`.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import ape
import click
from ape.cli import network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from python_model.scenario_set import ScenarioSet
from scripts import chain, compiled, protocol
from scripts.options import (
    MAINNETS,
    NetworkCommand,
    check_funds,
    read_account,
    read_address,
    read_contract,
    read_methodology,
    unlock,
    wrong,
)
from scripts.tail_options import TAIL_GAS, read_scenarios, scenarios_row

ROOT = Path(__file__).resolve().parents[1]
CODE_LIMIT = 24_576  # EIP-170, bytes of runtime code
# What everything takes but tails, rounded up: a deployment that stops half-way has cost money and is worth nothing.
GAS = 75_000_000
MAX_UNDERLYINGS = 255
MAX_DECIMALS = 18
MAX_SIGNERS = 16


def read_underlyings(text: str) -> dict[str, int]:
    """Ids of the underlyings of a list such as ``ETH,BTC``, in order of name."""
    listed = [name.strip() for name in text.split(",")]
    if not all(listed) or len(set(listed)) != len(listed):
        raise wrong("underlyings", f"must be different names with commas between them (got {text!r})")
    if "ETH" not in listed:
        raise wrong("underlyings", f"ETH is missing, of which the collateral WETH is a claim (got {text!r})")
    if len(listed) > MAX_UNDERLYINGS:
        raise wrong("underlyings", f"at most {MAX_UNDERLYINGS} (got {len(listed)})")
    return chain.ids(listed)


def read_signers(text: str | None, threshold: int | None, account: Any, provider: Any) -> tuple[list[str], int]:
    """Signers of market data, and how many of them an update needs: by default the account alone, but on no mainnet."""
    if text is None and threshold is None:
        if provider.chain_id in MAINNETS:
            raise wrong(
                "signers",
                f"missing; on {MAINNETS[provider.chain_id]} pass --signers with the addresses whose signatures make "
                "market data, commas between them, and --threshold with how many of them an update needs",
            )
        return [account.address], 1
    if text is None:
        raise wrong("signers", "missing; pass it together with --threshold, or neither for the deployer alone")
    if threshold is None:
        raise wrong("threshold", "missing; pass it together with --signers, or neither for the deployer alone")
    signers = [read_address("signers", part.strip()) for part in text.split(",")]
    if len(set(signers)) != len(signers):
        raise wrong("signers", f"must be different addresses (got {text})")
    if protocol.NOBODY in signers:
        raise wrong("signers", "the zero address signs nothing")
    if len(signers) > MAX_SIGNERS:
        raise wrong("signers", f"at most {MAX_SIGNERS} (got {len(signers)})")
    if not 1 <= threshold <= len(signers):
        raise wrong("threshold", f"must be 1 to {len(signers)}, the number of signers (got {threshold})")
    return signers, threshold


def read_tokens(quote: str | None, weth: str | None, provider: Any) -> tuple[str, str] | None:
    """Addresses of the tokens to use; None where test tokens are to be deployed."""
    if quote is None and weth is None:
        if provider.chain_id in MAINNETS:
            raise wrong(
                "quote",
                f"test tokens are not deployed on {MAINNETS[provider.chain_id]}; pass --quote with the address of a "
                "stablecoin and --weth with that of WETH",
            )
        return None
    if quote is None or weth is None:
        missing, given = ("quote", "weth") if quote is None else ("weth", "quote")
        raise wrong(missing, f"missing; pass it together with --{given}, or neither for test tokens")
    addresses = read_contract("quote", quote, provider), read_contract("weth", weth, provider)
    if addresses[0] == addresses[1]:
        raise wrong("weth", f"must be another token than --quote (got {addresses[1]} for both)")
    return addresses


def read_out(path: Path, provider: Any) -> Path:
    """The path to write to, its folder made."""
    if path.is_dir():
        raise wrong("out", f"{path} is a folder; name a file in it")
    if path.exists() and not provider.network.is_dev:
        raise wrong("out", f"{path} describes an earlier deployment; move it away or name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise wrong("out", f"{path.parent} cannot be made ({error.strerror}); name another file") from None
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise wrong("out", f"{path} cannot be written; name a file in a folder of yours")
    return path


def existing_tokens(contracts: Any, addresses: tuple[str, str]) -> protocol.Tokens:
    """The tokens at two addresses, which must answer as ERC-20 tokens with decimals do."""
    found = []
    for option, address in zip(("quote", "weth"), addresses, strict=True):
        token = contracts.Token.at(address, fetch_from_explorer=False, detect_proxy=False)
        try:
            decimals = token.decimals()
        except ApeException:
            raise wrong(option, f"the contract at {address} is no ERC-20 token with decimals") from None
        if decimals > MAX_DECIMALS:
            raise wrong(option, f"at most {MAX_DECIMALS} decimals (the token at {address} has {decimals})")
        found.append(token)
    return protocol.Tokens(*found)


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def describe(
    deployed: protocol.Protocol, name: str, receipts: list[Any], provider: Any, rows: ScenarioSet | None
) -> dict[str, Any]:
    """The content of the deployment file.

    Parameters
    ----------
    deployed : Protocol
    name : of the methodology
    receipts : of every transaction of the deployment, in order
    provider : ape provider; its address is not kept, as it may hold a key
    rows : ScenarioSet of the account modes VAR and MAX

    Returns
    -------
    dict; `block` is the first one of the deployment, `transaction` None for a token that was there before. Engines of
    evidence stand beside the other contracts, numbered as `ILiquidation.Bid` does.
    """
    created = {r.contract_address: r for r in receipts if r.contract_address}

    def row(address: str) -> dict[str, Any]:
        receipt = created.get(address)
        return {"address": address, "transaction": receipt.txn_hash if receipt else None}

    scenarios = None if rows is None or deployed.tails is None else scenarios_row(rows, deployed.tails)
    tokens = ("quote", "weth")
    contracts = {key: row(c.address) for key, c in deployed.contracts.items() if key not in tokens}
    evidence = {f"evidence_{i}": row(address) for i, address in enumerate(deployed.liquidation.evidence(), 1)}
    return {
        "chain_id": provider.chain_id,
        "network": f"{provider.network.ecosystem.name}:{provider.network.name}",
        "block": receipts[0].block_number,
        "deployer": receipts[0].sender,
        "version": version(),
        "methodology": name,
        "underlyings": deployed.names,
        "scenarios": scenarios,
        "contracts": contracts | evidence,
        "tokens": {
            key: {**row(deployed.contracts[key].address), "decimals": deployed.contracts[key].decimals()}
            for key in tokens
        },
    }


def table(description: dict[str, Any], receipts: list[Any], provider: Any) -> Table:
    """Addresses, bytes of code and gas."""
    created = {r.contract_address: r for r in receipts if r.contract_address}
    view = Table(
        title=f"Ballast {description['version']} on chain {description['chain_id']}",
        caption=f"bytes: of code on the chain, {CODE_LIMIT:,} at most (EIP-170)",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    view.add_column("contract", no_wrap=True)
    view.add_column("address", no_wrap=True)
    view.add_column("bytes", justify="right", no_wrap=True)
    view.add_column("gas", justify="right", no_wrap=True)
    for key, row in {**description["contracts"], **description["tokens"]}.items():
        receipt = created.get(row["address"])
        size = len(provider.get_code(row["address"]))
        gas = f"{receipt.gas_used:,}" if receipt else "was there"
        view.add_row(key.replace("_", " "), row["address"], f"{size:,}", gas)
    calls = sum(r.gas_used for r in receipts if not r.contract_address)
    view.add_row("", "set_publisher, set_contracts and so on", "", f"{calls:,}")
    view.add_row("total", "", "", f"{sum(r.gas_used for r in receipts):,}")
    return view


@click.command(cls=NetworkCommand)
@network_option()
@click.option("--account", "alias", metavar="ALIAS", help="Who pays and becomes the owner (`ape accounts list`).")
@click.option("--methodology", "name", default="house", show_default=True, help="Preset of scenarios and charges.")
@click.option("--underlyings", default="ETH,BTC", show_default=True, help="What may be traded; ETH among it.")
@click.option("--quote", metavar="ADDRESS", help="Stablecoin that is cash; with --weth. Test tokens by default.")
@click.option("--weth", metavar="ADDRESS", help="Wrapped ether; with --quote.")
@click.option(
    "--signers", metavar="ADDRESSES", help="Who signs market data; with --threshold. By default the deployer."
)
@click.option("--threshold", type=int, metavar="N", help="How many of the signers an update needs.")
@click.option(
    "--scenarios",
    metavar="PATH",
    help="Scenario set of the account modes VAR and MAX, as `ape run scenarios` writes it, or `synthetic`, the default "
    "of local chains; without one no account can have these modes until `ape run tails` gives one.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Deployment file [build/deployments/<chain id>.json].")
def cli(
    provider: Any,
    alias: str | None,
    name: str,
    underlyings: str,
    quote: str | None,
    weth: str | None,
    signers: str | None,
    threshold: int | None,
    scenarios: str | None,
    out: Path | None,
) -> None:
    """Deploy the whole protocol and write down where it is.

    An encrypted account takes its passphrase from APE_ACCOUNTS_<alias>_PASSPHRASE, or asks for it once.
    """
    console = Console()
    preset, names = read_methodology(name), read_underlyings(underlyings)
    addresses = read_tokens(quote, weth, provider)
    rows = read_scenarios(scenarios, names, provider)
    out = read_out(out or ROOT / "build" / "deployments" / f"{provider.chain_id}.json", provider)
    account = read_account(alias, provider)
    feed_signers, needed = read_signers(signers, threshold, account, provider)
    check_funds(account, provider, GAS + (TAIL_GAS if rows else 0))
    unlock(account)
    if signers is None:
        console.print(
            f"[bold yellow]Warning:[/] market data of this deployment need one signature, that of {account.address}; "
            "--signers and --threshold name others, and SignedFeed.set_signers later.",
            soft_wrap=True,
        )

    with console.status("Compiling"), logger.at_level(LogLevel.WARNING):
        contracts = compiled.load()
    known = None if addresses is None else existing_tokens(contracts, addresses)

    sent = len(ape.chain.history[account.address].sessional)
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, logger.at_level(LogLevel.WARNING):
        steps = protocol.STEPS + len(names) + (protocol.TOKEN_STEPS if known is None else 0)
        steps += protocol.TAIL_STEPS if rows else 0
        task = progress.add_task("", total=steps, completed=-1)

        def announce(step: str) -> None:
            progress.update(task, description=step, advance=1)

        try:
            tokens = known or protocol.deploy_tokens(contracts, account, announce)
            deployed = protocol.deploy(
                contracts, account, preset, names, tokens, announce,
                signers=feed_signers, threshold=needed, rows=rows,
            )  # fmt: skip
        except ApeException as error:
            step = progress.tasks[task].description
            raise click.ClickException(f"{step}: {error} (no use in what came before it: deploy again)") from error
        announce("done")
    receipts = ape.chain.history[account.address].sessional[sent:]

    description = describe(deployed, name, receipts, provider, rows)
    out.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    console.print(table(description, receipts, provider))
    console.print(f"Deployment file: {out}", soft_wrap=True)
