"""Watch every account, start auctions, bid: `ape run keeper` (`make keeper NETWORK=... ARGS="--bidder ID"`).

All accounts are repriced in one pass at each block; the chain is asked about those near the line alone. Whatever a
keeper knows it has read from the chain, so that it may be stopped or killed and started again at any time.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`.

import importlib
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click
from ape.cli import network_option
from ape.logging import LogLevel, logger
from prometheus_client import start_http_server

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # ape has the project on the path only while it reads this file
    sys.path.insert(0, str(ROOT))

from python_model import methodology  # noqa: E402
from python_model.keeper import Policy  # noqa: E402
from scripts import compiled, protocol  # noqa: E402
from scripts.chain_state import ChainError, World, is_preset  # noqa: E402
from scripts.keeper_records import Hedge, Journal, Metrics  # noqa: E402
from scripts.keeping import GWEI, Keeper, connect  # noqa: E402
from scripts.options import NetworkCommand, read_account, read_methodology, unlock, wrong  # noqa: E402
from scripts.wallet import ApeWallet  # noqa: E402

DEFAULT = Policy()
# What a key must be allowed to do for the bidder's account.
SCOPE_TRADE = protocol.SCOPE_TRADE


def read_hedge(text: str | None) -> Hedge | None:
    """A callable by ``module:name``."""
    if text is None:
        return None
    module, _, name = text.partition(":")
    if not module or not name:
        raise wrong("hedge", f"must be module:name, such as my_desk.hedging:sell (got {text!r})")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise wrong("hedge", f"{error}; is the module on PYTHONPATH?") from None
    if not callable(found):
        raise wrong("hedge", f"{text} is not callable")
    return found


def read_policy(**options: Any) -> Policy:
    """The operator's rules."""
    try:
        return Policy(**options)
    except ValueError as error:
        field, _, why = str(error).partition(": ")
        raise wrong(field.replace("_", "-"), why) from None


def read_deployment(path: Path, provider: Any) -> protocol.Protocol:
    """The contracts of a deployment file on the connected chain."""
    if not path.is_file():
        raise wrong("deployment", f"{path}: no such file; `make deploy` writes one, --deployment names another")
    with logger.at_level(LogLevel.ERROR):
        contracts = compiled.load()
    try:
        return protocol.load(path, contracts)
    except protocol.DeploymentError as error:
        raise wrong("deployment", str(error)) from None


def read_method(name: str, world: World) -> methodology.Methodology:
    """The preset of the engine, which has to be that of the chain."""
    preset = read_methodology(name)
    head = world.head()
    (compiled,) = world.node.sure([(world.views["compiled"], ())], head.tag)
    if not is_preset(compiled, preset, world.deployed.names):
        raise wrong("methodology", f"the chain's is not {name!r}; name the preset that was deployed")
    return preset


def check_bidder(world: World, bidder: int | None, address: str | None) -> int:
    """The bidder's account, which the key must be allowed to trade for."""
    head = world.head()
    (count,) = world.node.sure([(world.views["count"], ())], head.tag)
    if bidder is None:
        raise wrong(
            "bidder",
            "missing; the id of the account that is rewarded and buys. Open one with ClearingHouse.create_account(2) "
            "and deposit quote tokens into it",
        )
    if not 1 <= bidder <= count or bidder == protocol.FUND:
        raise wrong("bidder", f"must be an account from 2 to {count} (got {bidder})")
    if address is not None:
        (may,) = world.node.sure([(world.views["controls"], (bidder, address, SCOPE_TRADE))], head.tag)
        if not may:
            raise wrong(
                "bidder",
                f"{address} may not trade for account {bidder}; its owner appoints it with "
                f"ClearingHouse.set_operator({bidder}, {address}, EXPIRY, {SCOPE_TRADE})",
            )
    return bidder


@click.command(cls=NetworkCommand, context_settings={"help_option_names": ["-h", "--help"]})
@network_option()
@click.option("--bidder", type=int, metavar="ID", help="Account of the house that is rewarded and buys.")
@click.option("--account", "alias", metavar="ALIAS", help="Key that trades for it and pays gas (`ape accounts list`).")
@click.option(
    "--deployment", type=click.Path(path_type=Path), help="Deployment file [build/deployments/<chain id>.json]."
)
@click.option("--methodology", "preset", default="house", show_default=True, help="Preset that was deployed.")
@click.option("--dry-run", is_flag=True, help="Look and decide; sign and send nothing.")
@click.option("--once", is_flag=True, help="One round, then end: 0 if it went well, 1 if not.")
@click.option("--interval", type=click.FloatRange(0.05), default=2.0, show_default=True, help="Seconds between looks.")
@click.option(
    "--minimum-profit",
    type=float,
    default=DEFAULT.minimum_profit,
    show_default=True,
    help="USD that a purchase leaves after hedge and gas.",
)
@click.option(
    "--hedge-multiple",
    type=float,
    default=DEFAULT.hedge_multiple,
    show_default=True,
    help="What a hedge costs, in costs of liquidation (M-12).",
)
@click.option(
    "--slippage",
    type=float,
    default=DEFAULT.slippage,
    show_default=True,
    help="How much dearer a purchase may become on its way.",
)
@click.option(
    "--valid-seconds", type=int, default=DEFAULT.valid_seconds, show_default=True, help="For how long a bid holds."
)
@click.option("--gas-limit", type=int, default=DEFAULT.gas_limit, show_default=True, help="Of one transaction.")
@click.option("--tip", type=click.FloatRange(0.0), default=0.1, show_default=True, help="Priority fee, gwei.")
@click.option(
    "--near",
    type=float,
    default=DEFAULT.near,
    show_default=True,
    help="Share of maintenance margin within which the chain is asked.",
)
@click.option(
    "--upkeep/--no-upkeep",
    default=DEFAULT.upkeep,
    show_default=True,
    help="Start, mark, end and absorb what nobody pays for.",
)
@click.option(
    "--hedge", metavar="MODULE:NAME", help="Callable that is told of each purchase (`keeper_records.Purchase`)."
)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads of repricing.")
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="Serve Prometheus metrics on this port.")
def cli(
    provider: Any,
    bidder: int | None,
    alias: str | None,
    deployment: Path | None,
    preset: str,
    dry_run: bool,
    once: bool,
    interval: float,
    minimum_profit: float,
    hedge_multiple: float,
    slippage: float,
    valid_seconds: int,
    gas_limit: int,
    tip: float,
    near: float,
    upkeep: bool,
    hedge: str | None,
    workers: int,
    metrics_port: int | None,
) -> None:
    """Watch all accounts of a deployment, start auctions of unhealthy ones, and bid.

    At each new block: read what changed, reprice everybody, ask the chain about those near the line, start auctions
    whose reward or purchase pays for gas, buy where the discount pays for hedge, gas and minimum profit, end what is
    over. Logs are JSON, one object a line. The state is on the chain alone: kill it and start it again at will.

    An encrypted key takes its passphrase from APE_ACCOUNTS_<alias>_PASSPHRASE, or asks for it once.

    \b
    Examples:
      ape run keeper --bidder 7 --dry-run --once --network ethereum:sepolia:node
      ape run keeper --bidder 7 --account bidder --metrics-port 9101 --network ethereum:sepolia:node
    """
    policy = read_policy(
        minimum_profit=minimum_profit,
        hedge_multiple=hedge_multiple,
        slippage=slippage,
        valid_seconds=valid_seconds,
        gas_limit=gas_limit,
        near=near,
        upkeep=upkeep,
    )
    hook = read_hedge(hedge)
    path = deployment or ROOT / "build" / "deployments" / f"{provider.chain_id}.json"
    world = connect(read_deployment(path, provider), provider)
    wallet = None
    if not dry_run:
        key = read_account(alias, provider)
        unlock(key)
        wallet = ApeWallet(key, provider)
    try:
        method = read_method(preset, world)
        account = check_bidder(world, bidder, wallet.address if wallet else None)
    except ChainError as error:
        raise click.ClickException(f"{error}; try again, or another --network") from None

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    metrics, journal = Metrics(), Journal()
    if metrics_port is not None:
        try:
            start_http_server(metrics_port, registry=metrics.registry)
        except OSError as error:
            raise wrong("metrics-port", f"{metrics_port} cannot be served ({error.strerror}); name another") from None
    keeper = Keeper(world, method, policy, account, wallet, journal, metrics, hook, workers, round(tip * GWEI))
    journal.write("watching", chain=provider.chain_id, bidder=account, sends=wallet is not None)
    well = keeper.run(interval, stop.is_set, once)
    journal.write("stopped")
    if not well:
        raise SystemExit(1)
