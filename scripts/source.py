"""Connect an oracle adapter to a deployed protocol: `ape run source chainlink|pyth|none UNDERLYING`.

An adapter becomes the second source that market data compare signed prices with, or what the oracle feed publishes.
What it would say is asked before anything is sent: the node deploys it for the length of one call.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`, where a dataclass would look up
# names of types.

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from ape.cli import network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from scripts import chain, compiled, protocol
from scripts.adapters import ONE, Adapter, Spot, ask, chainlink_adapter, pyth_adapter
from scripts.options import NetworkCommand, read_account, unlock, wrong
from scripts.sending import Sending, rewrite, transaction_of

ROOT = Path(__file__).resolve().parents[1]
# `IMarketData.Terms`, in order.
TERMS = (
    *("heartbeat_seconds", "forward_heartbeat_seconds", "surface_heartbeat_seconds"),
    *("multiple", "halflife_seconds", "floor", "cap", "initial"),
    *("second_source", "widest", "jump", "confirmation_seconds"),
)


@dataclass(frozen=True)
class Target:
    """An underlying of a deployment, whose file this is, and its terms by name."""

    deployed: protocol.Protocol
    contracts: Any
    path: Path
    name: str
    terms: Mapping[str, Any]

    @property
    def id(self) -> int:
        """Of the underlying."""
        return self.deployed.names[self.name]


def bad_underlying(why: str) -> click.UsageError:
    """The error of the argument."""
    return click.UsageError(f"UNDERLYING: {why}")


# ------------------------------------------------------------------------------------------------- what is there so far


def read_terms(market_data: Any, underlying: int) -> dict[str, Any]:
    """The terms in force, by name, such that setting them again changes nothing."""
    answer = market_data.terms(underlying)
    terms = {name: getattr(answer, name) for name in TERMS}
    # Used up by the first publication, and before it what the scan range is. Both bounds hold for it in any case.
    scan_range = int(market_data.dynamics(underlying).scan_range)
    terms["initial"] = min(max(scan_range, terms["floor"]), terms["cap"])
    return terms


def read_file(path: Path) -> dict[str, Any]:
    """The deployment file; `protocol.load` has looked at the rest of it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("sources", "published_sources"):
        if not isinstance(content.get(key, {}), dict):
            raise wrong("deployment", f"{path}: {key!r} must be a table by underlying")
    return content


def find_target(path: Path | None, underlying: str, provider: Any, console: Console) -> Target:
    """The underlying of a deployment file that is to have another source."""
    path = (path or ROOT / "build" / "deployments" / f"{provider.chain_id}.json").resolve()
    with console.status("Compiling"), logger.at_level(LogLevel.WARNING):
        contracts = compiled.load()
    try:
        deployed = protocol.load(path, contracts)
    except protocol.DeploymentError as error:
        raise wrong("deployment", str(error)) from None
    read_file(path)
    if not os.access(path.parent, os.W_OK):
        raise wrong("deployment", f"{path} cannot be written; copy it to a folder of yours")
    if underlying not in deployed.names:
        raise bad_underlying(f"the deployment has no {underlying!r} (it has {', '.join(deployed.names)})")
    terms = read_terms(deployed.market_data, deployed.names[underlying])
    if not terms["multiple"]:
        raise bad_underlying(f"market data at {deployed.market_data.address} have no terms of {underlying}")
    return Target(deployed, contracts, path, underlying, terms)


def find_oracle_feed(target: Target) -> Any | None:
    """The oracle feed of the deployment file; None where there is none yet."""
    row = read_file(target.path)["contracts"].get("oracle_feed")
    if row is None:
        return None
    try:
        oracle_feed = target.contracts.OracleFeed.at(row["address"], fetch_from_explorer=False, detect_proxy=False)
        known = oracle_feed.market_data()
    except (ApeException, KeyError, TypeError, ValueError):
        raise wrong("deployment", f"{target.path}: 'oracle_feed' is no oracle feed on this chain") from None
    if known != target.deployed.market_data.address:
        raise wrong("deployment", f"{target.path}: 'oracle_feed' publishes to other market data, at {known}")
    return oracle_feed


def check_owner(target: Target, oracle_feed: Any | None, account: Any) -> None:
    """Refuse an account that market data, or the oracle feed, would refuse."""
    for who, contract in (("market data", target.deployed.market_data), ("the oracle feed", oracle_feed)):
        owner = account.address if contract is None else contract.owner()
        if owner != account.address:
            raise wrong("account", f"{account.address} is not the owner of {who}, {owner}, who alone names its sources")


# ------------------------------------------------------------------------------------------------- what a source says


def published(target: Target, now: int) -> Spot | None:
    """What market data read now; None where nothing was published yet."""
    data = target.deployed.market_data
    (head, *_), is_fresh = data.read(target.id, [])
    if not head:
        return None
    return Spot(head >> 184, (head >> 72) & (2**40 - 1), int(data.last_timestamp(target.id)), bool(is_fresh), now)


def apart(spot: int, source: Spot) -> int:
    """How far a price is from a source beyond the confidence of that, 1e-12, as `contracts/modules/oracle_guard.vy`."""
    distance = -(-abs(spot - source.price) * ONE // spot)
    reach = source.price * source.confidence // spot
    return max(distance - reach, 0)


def objections(target: Target, source: Spot, before: Spot | None, is_publisher: bool) -> list[str]:
    """What speaks against a source."""
    if not source.is_usable:
        return ["it is not usable now"]
    widest = target.terms["widest"]
    found = []
    if before is not None and apart(before.price, source) > widest:
        age = "" if before.is_usable else ", which is not fresh,"
        found.append(
            f"it is {percent(apart(before.price, source))}% from the published spot{age} beyond its own confidence, "
            f"and the widest that market data believe is {percent(widest)}%"
        )
    if is_publisher and source.confidence > widest:
        found.append(f"its confidence is {percent(source.confidence)}%, and the widest is {percent(widest)}%")
    return found


def percent(fraction: int) -> str:
    """A fraction at 1e-12, in percent."""
    return f"{fraction / 1e10:.3f}"


def compared(target: Target, title: str, source: Spot, before: Spot | None) -> Table:
    """The source to be, beside what market data read now."""
    view = Table(title=target.name, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    view.add_column("who", no_wrap=True)
    for heading in ("price, USD", "confidence", "age, s", "usable"):
        view.add_column(heading, justify="right", no_wrap=True)
    for who, said in ((title, source), ("market data", before)):
        if said is None or not said.price:
            view.add_row(who, "", "", "", "no")
            continue
        view.add_row(
            who,
            f"{chain.as_float(said.price, 9):,.9g}",
            f"{percent(said.confidence)}%",
            f"{max(said.now - said.timestamp, 0):,}",
            "yes" if said.is_usable else "no",
        )
    return view


def verdict(target: Target, source: Spot, before: Spot | None) -> str:
    """How the two compare, in words."""
    if before is None:
        return "Nothing is published yet that it could be compared with"
    if not source.is_usable:
        return "The source says nothing that could be compared"
    return (
        f"{percent(apart(before.price, source))}% apart beyond the confidence of the source; market data doubt what is "
        f"beyond {percent(target.terms['widest'])}%"
    )


# --------------------------------------------------------------------------------------------------- what is changed


def name_second_source(target: Target, source: str, sending: Sending) -> None:
    """Set the terms anew, with another second source."""
    data = target.deployed.market_data
    terms = {**read_terms(data, target.id), "second_source": source}
    row = tuple(terms[name] for name in TERMS)
    sending.send("MarketData.set_terms", lambda: data.set_terms(target.id, row, sender=sending.account))


def name_published_source(target: Target, oracle_feed: Any, source: str, sending: Sending) -> None:
    """Let the oracle feed publish what a source says; the feed asks it at once, and refuses one that is not usable."""
    data, sender = target.deployed.market_data, sending.account
    sending.send("OracleFeed.set_source", lambda: oracle_feed.set_source(target.id, source, sender=sender))
    if source != protocol.NOBODY and not data.is_publisher(oracle_feed):
        sending.send("MarketData.set_publisher", lambda: data.set_publisher(oracle_feed, True, sender=sender))


def connect(target: Target, adapter: Adapter | None, as_publisher: bool, account: Any, console: Console) -> None:
    """Deploy an adapter and name it, or name nobody; then write down what there is."""
    oracle_feed = find_oracle_feed(target) if as_publisher else None
    check_owner(target, oracle_feed, account)
    if adapter is None and as_publisher and oracle_feed is None:
        raise wrong("as-publisher", f"{target.path} has no oracle feed whose source could be removed")
    unlock(account)
    sending = Sending(account, console)
    row: dict[str, Any] | None = None
    source = protocol.NOBODY
    if adapter is not None:
        contract = sending.create(getattr(target.contracts, adapter.container), *adapter.arguments)
        source = contract.address
        row = {"kind": adapter.kind, "address": source, "transaction": transaction_of(contract, account)}
        row.update(adapter.settings)
    feed_row: dict[str, Any] | None = None
    if as_publisher:
        if oracle_feed is None:
            oracle_feed = sending.create(target.contracts.OracleFeed, target.deployed.market_data)
            feed_row = {"address": oracle_feed.address, "transaction": transaction_of(oracle_feed, account)}
        name_published_source(target, oracle_feed, source, sending)
    else:
        name_second_source(target, source, sending)

    def change(content: dict[str, Any]) -> None:
        if feed_row is not None:
            content["contracts"]["oracle_feed"] = feed_row
        sources = content.setdefault("published_sources" if as_publisher else "sources", {})
        if row is None:
            sources.pop(target.name, None)
        else:
            sources[target.name] = row

    try:
        rewrite(target.path, change)
    except OSError as error:
        there = f"{'; '.join(sending.created)} in use" if sending.created else "the source is removed"
        raise wrong("deployment", f"{target.path} cannot be written ({error.strerror}), but {there}") from None
    for line in sending.created:
        console.print(line, soft_wrap=True)
    replaced = target.terms["second_source"]
    if not as_publisher and replaced != protocol.NOBODY:
        console.print(f"No longer the second source: {replaced}", soft_wrap=True)
    if as_publisher and row is not None:
        console.print(f"Anyone may now publish {target.name} with OracleFeed.publish({target.id})", soft_wrap=True)
    console.print(f"Deployment file: {target.path}", soft_wrap=True)


# ------------------------------------------------------------------------------------------------------- the commands


@dataclass(frozen=True)
class Choice:
    """The options that all commands share."""

    underlying: str
    deployment: Path | None
    alias: str | None
    as_publisher: bool
    force: bool = False
    dry_run: bool = False


def add(provider: Any, adapter: Adapter, choice: Choice, console: Console) -> None:
    """Compare what an adapter would say with what is published, and connect it."""
    account = None if choice.dry_run else read_account(choice.alias, provider)
    target = find_target(choice.deployment, choice.underlying, provider, console)
    source = ask(target.contracts, adapter, provider)
    before = published(target, source.now)
    console.print(compared(target, adapter.kind, source, before))
    for line in (verdict(target, source, before), adapter.outside):
        console.print(line, soft_wrap=True)
    found = objections(target, source, before, choice.as_publisher)
    if found and choice.as_publisher and not source.is_usable:
        raise click.ClickException(f"refused: {found[0]}, and the oracle feed takes no such source (--force or not)")
    if found and not choice.force:
        raise click.ClickException(f"refused: {'; '.join(found)} (--force connects it all the same)")
    for objection in found:
        console.print(f"[bold yellow]Warning:[/] {objection}", soft_wrap=True)
    if account is not None:
        connect(target, adapter, choice.as_publisher, account, console)


def shared(command: Any) -> Any:
    """The argument and the options that all commands share."""
    for option in (
        click.option(
            "--as-publisher", is_flag=True, help="Of the oracle feed, which publishes it; not the second source."
        ),
        click.option("--account", "alias", metavar="ALIAS", help="The owner of market data (`ape accounts list`)."),
        click.option("--deployment", type=click.Path(path_type=Path), help="File [build/deployments/<chain id>.json]."),
        click.argument("underlying", metavar="UNDERLYING"),
        network_option(),
    ):
        command = option(command)
    return command


def compared_first(command: Any) -> Any:
    """The options of commands that compare first."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Compare; send nothing."),
        click.option("--force", is_flag=True, help="Connect it whatever the comparison says."),
    ):
        command = option(command)
    return command


def wide() -> Console:
    """A console whose tables are not cut where there is no terminal."""
    return Console(width=None if Console().is_terminal else 120)


@click.group()
def cli() -> None:
    """Connect oracle adapters to a deployed protocol.

    A source is deployed and named the second source that prices of UNDERLYING must agree with; every other term stays
    what it is. With --as-publisher the oracle feed publishes it instead (deployed where there is none yet). What it
    would say is shown beside what market data read before anything is sent. Only the owner of market data can do it.
    An encrypted account takes its passphrase from APE_ACCOUNTS_<alias>_PASSPHRASE, or asks for it once.

    Example: ape run source pyth ETH --pyth 0x… --price-id 0x… --max-age 60 --widest 0.005 --account owner
    --network ethereum:sepolia:node
    """


@cli.command(cls=NetworkCommand)
@shared
@click.option("--aggregator", required=True, metavar="ADDRESS", help="Chainlink's proxy of the price.")
@click.option("--heartbeat", required=True, type=int, metavar="SECONDS", help="Age beyond which an answer is stale.")
@click.option("--least", required=True, type=float, metavar="USD", help="The aggregator's floor, no price itself.")
@click.option("--greatest", required=True, type=float, metavar="USD", help="The aggregator's ceiling, likewise.")
@click.option(
    "--confidence", required=True, type=float, metavar="FRACTION", help="Its deviation threshold: 0.005 is 0.5%."
)
@click.option("--sequencer", metavar="ADDRESS", help="On a rollup, the uptime feed of its sequencer; with --grace.")
@click.option("--grace", type=int, metavar="SECONDS", help="How long the sequencer must have been up.")
@compared_first
def chainlink(
    provider: Any,
    underlying: str,
    deployment: Path | None,
    alias: str | None,
    as_publisher: bool,
    aggregator: str,
    heartbeat: int,
    least: float,
    greatest: float,
    confidence: float,
    sequencer: str | None,
    grace: int | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Deploy a ChainlinkSource and connect it to UNDERLYING.

    Example: ape run source chainlink ETH --aggregator 0x… --heartbeat 3600 --least 1 --greatest 100000
    --confidence 0.005 --account owner --network ethereum:sepolia:node
    """
    adapter = chainlink_adapter(provider, aggregator, heartbeat, least, greatest, confidence, sequencer, grace)
    add(provider, adapter, Choice(underlying, deployment, alias, as_publisher, force, dry_run), wide())


@cli.command(cls=NetworkCommand)
@shared
@click.option("--pyth", required=True, metavar="ADDRESS", help="Pyth's contract on this chain.")
@click.option("--price-id", required=True, metavar="ID", help="The feed, 0x and 64 hexadecimal digits.")
@click.option("--max-age", required=True, type=int, metavar="SECONDS", help="Age beyond which a price is stale.")
@click.option("--widest", required=True, type=float, metavar="FRACTION", help="Confidence beyond which none is usable.")
@compared_first
def pyth(
    provider: Any,
    underlying: str,
    deployment: Path | None,
    alias: str | None,
    as_publisher: bool,
    pyth: str,
    price_id: str,
    max_age: int,
    widest: float,
    force: bool,
    dry_run: bool,
) -> None:
    """Deploy a PythSource and connect it to UNDERLYING.

    Example: ape run source pyth ETH --pyth 0x… --price-id 0x… --max-age 60 --widest 0.005 --account owner
    --network ethereum:sepolia:node
    """
    adapter = pyth_adapter(provider, pyth, price_id, max_age, widest)
    add(provider, adapter, Choice(underlying, deployment, alias, as_publisher, force, dry_run), wide())


@cli.command("none", cls=NetworkCommand)
@shared
def nobody(provider: Any, underlying: str, deployment: Path | None, alias: str | None, as_publisher: bool) -> None:
    """Remove the second source of UNDERLYING, or with --as-publisher what the oracle feed publishes of it.

    Signed prices are then compared with nothing.

    Example: ape run source none ETH --account owner --network ethereum:sepolia:node
    """
    console = wide()
    account = read_account(alias, provider)
    target = find_target(deployment, underlying, provider, console)
    if not as_publisher and target.terms["second_source"] == protocol.NOBODY:
        raise bad_underlying(f"market data compare {underlying} with no second source")
    connect(target, None, as_publisher, account, console)
