"""Give a running deployment a scenario set, or another one: `ape run tails --scenarios PATH`.

A set is fixed for ever, and so are the engines that read it: a new set comes with new ones, and with a margin engine
and a report that know them. What accounts of the modes VAR and MAX would need then is compared before the clearing
house is told.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`, where a dataclass would look up
# names of types.

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from ape.cli import network_option
from ape.exceptions import ApeException
from ape.logging import LogLevel, logger
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from python_model import scenario_set
from python_model.methodology import Methodology
from python_model.portfolio import Mode
from python_model.scenario_set import ScenarioSet
from scripts import chain, compiled, protocol
from scripts.chain_state import is_preset
from scripts.options import NetworkCommand, check_funds, read_account, read_methodology, unlock, wrong
from scripts.sending import Sending, rewrite, transaction_of
from scripts.tail_options import TAIL_GAS, read_scenarios, scenarios_row

ROOT = Path(__file__).resolve().parents[1]
# Of a margin engine, a report and the call that names them, rounded up.
ENGINE_GAS = 14_000_000
MODES = {number: mode for mode, number in chain.MODES.items() if mode.has_tail}


@dataclass(frozen=True)
class Need:
    """What an account of the mode VAR or MAX needs now and by the new set; 1e-18 USD, None where an engine refuses."""

    account: int
    mode: Mode
    equity: int | None
    before: int | None
    after: int | None

    @property
    def falls(self) -> bool:
        """Whether it could be liquidated, or not be assessed, by the new set alone."""
        if self.equity is None or self.before is None or self.equity < self.before:
            return False
        return self.after is None or self.equity < self.after


@dataclass(frozen=True)
class Target:
    """A deployment that is to have another scenario set."""

    deployed: protocol.Protocol
    contracts: Any
    path: Path
    preset: Methodology


def find_target(path: Path, console: Console) -> Target:
    """The deployment of a file, which has to be what the clearing house uses."""
    with console.status("Compiling"), logger.at_level(LogLevel.WARNING):
        contracts = compiled.load()
    try:
        deployed = protocol.load(path, contracts)
        name = str(json.loads(path.read_text(encoding="utf-8"))["methodology"])
    except protocol.DeploymentError as error:
        raise wrong("deployment", str(error)) from None
    except KeyError as error:
        raise wrong("deployment", f"{path}: has no {error}") from None
    preset = read_methodology(name)
    if not is_preset(deployed.methodology.compiled(), preset, deployed.names):
        raise wrong("deployment", f"{path}: the methodology on the chain is not {name}")
    engine = deployed.clearing_house.engine()
    if engine != deployed.engine.address:
        raise wrong(
            "deployment",
            f"{path}: the clearing house uses the engine {engine}, not {deployed.engine.address} of the file",
        )
    return Target(deployed, contracts, path, preset)


def check_set(rows: ScenarioSet, target: Target) -> None:
    """Refuse a set that is the running one, or that lacks an underlying which accounts may hold by the running one."""
    _, ids, words = chain.scenario_set_arguments(rows, target.deployed.names)
    if target.deployed.tails is None:
        return
    running = target.deployed.tails.scenario_set
    names = {i: name for name, i in target.deployed.names.items()}
    missing = [names[i] for i in running.underlyings() if i not in ids]
    if missing:
        raise wrong(
            "scenarios",
            f"has no rows of {', '.join(missing)}, which accounts of VAR and MAX may hold by the running set",
        )
    if scenario_set.hashed(len(rows), ids, words) == "0x" + bytes(running.digest()).hex():
        raise wrong("scenarios", "is the running set already")


def needs(target: Target, engine: Any, advance: Callable[[int, int], None]) -> list[Need]:
    """What every account of the modes VAR and MAX that has a book needs, by the running engine and by another one.

    Parameters
    ----------
    target : Target
    engine : `IMarginEngine`
    advance : callable; told how many accounts there are, and how many were looked at
    """

    def assessed(by: Any, state: Any) -> Any | None:
        try:
            return by.assess(state)
        except ApeException:
            return None

    house, found = target.deployed.clearing_house, []
    count = int(house.account_count())
    for account in range(1, count + 1):
        mode = MODES.get(int(house.mode_of(account)))
        if mode is not None and house.book(account):
            state = house.portfolio(account)
            before, after = (assessed(by, state) for by in (target.deployed.engine, engine))
            found.append(
                Need(
                    account,
                    mode,
                    None if before is None else int(before.equity_maintenance),
                    None if before is None else int(before.maintenance),
                    None if after is None else int(after.maintenance),
                )
            )
        advance(count, account)
    return found


def compared(found: list[Need]) -> Table:
    """Maintenance margin now and by the new set."""
    view = Table(title="Accounts of VAR and MAX, USD", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("account", "mode", "equity", "maintenance now", "by the new set", ""):
        view.add_column(heading, justify="left" if heading in ("mode", "") else "right", no_wrap=True)
    for need in found:
        figures = ("?" if x is None else f"{x / 1e18:,.0f}" for x in (need.equity, need.before, need.after))
        view.add_row(str(need.account), need.mode.value, *figures, "falls below" if need.falls else "")
    return view


def replace(target: Target, rows: ScenarioSet, force: bool, account: Any, console: Console) -> protocol.Tails:
    """Deploy what reads the set, compare, and name it; then write it down. The new contracts."""
    deployed, contracts = target.deployed, target.contracts
    house = deployed.clearing_house
    sending = Sending(account, console)
    reads = (deployed.market_data, deployed.methodology, deployed.kernel)
    tails = protocol.deploy_tails(contracts, sending.create, target.preset, deployed.names, rows, reads)
    judges = (tails.var_engine, tails.max_engine)
    engine = sending.create(contracts.MarginEngine, *reads, chain.ALL_PASSES, judges)
    report = sending.create(contracts.MarginReport, engine, *reads)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("comparing accounts", total=None)
        found = needs(target, engine, lambda count, done: progress.update(task, total=count, completed=done))
    if found:
        console.print(compared(found))
    fallen = [str(need.account) for need in found if need.falls]
    if fallen and not force:
        words = f"account{'s' if len(fallen) > 1 else ''} {', '.join(fallen)}"
        raise click.ClickException(
            f"refused: {words} would fall below maintenance margin (--force names it all the same){sending.unused()}"
        )

    others = (house.exchange(), house.liquidation(), house.collaterals(), house.money_market(), house.admission())
    sending.send("ClearingHouse.set_contracts", lambda: house.set_contracts(report, *others, sender=account))
    created = {**vars(tails), "engine": engine, "report": report}
    rewritten = {
        key: {"address": contract.address, "transaction": transaction_of(contract, account)}
        for key, contract in created.items()
    }

    def change(content: dict[str, Any]) -> None:
        content["contracts"] |= rewritten
        content["scenarios"] = scenarios_row(rows, tails)

    try:
        rewrite(target.path, change)
    except OSError as error:
        there = "; ".join(sending.created)
        raise wrong("deployment", f"{target.path} cannot be written ({error.strerror}), but in use: {there}") from None
    for line in sending.created:
        console.print(line, soft_wrap=True)
    return tails


@click.command(cls=NetworkCommand)
@network_option()
@click.option("--account", "alias", metavar="ALIAS", help="The owner of the clearing house (`ape accounts list`).")
@click.option(
    "--scenarios", metavar="PATH", required=True, help="As `ape run scenarios` writes it, or `synthetic`, made up."
)
@click.option("--deployment", type=click.Path(path_type=Path), help="File [build/deployments/<chain id>.json].")
@click.option("--force", is_flag=True, help="Name it even where accounts fall below maintenance margin by it.")
def cli(provider: Any, alias: str | None, scenarios: str, deployment: Path | None, force: bool) -> None:
    """Give a deployment a scenario set, or another one, for accounts of the modes VAR and MAX (M-18 to M-20).

    Deploys the set, the engines that read it, and a margin engine and a report that know them; shows what each of
    these accounts needs now and would need; then names them in the clearing house and in the deployment file. Refuses
    a set without an underlying that the running one has, and one by which an account would fall below maintenance
    margin. Only the owner of the clearing house can do it; everything else stays what it is.

    An encrypted account takes its passphrase from APE_ACCOUNTS_<alias>_PASSPHRASE, or asks for it once.

    Example: ape run tails --scenarios build/2027.csv --account owner --network ethereum:sepolia:node
    """
    console = Console(width=None if Console().is_terminal else 120)
    account = read_account(alias, provider)
    path = (deployment or ROOT / "build" / "deployments" / f"{provider.chain_id}.json").resolve()
    target = find_target(path, console)
    rows = read_scenarios(scenarios, target.deployed.names, provider)
    assert rows is not None
    check_set(rows, target)
    owner = target.deployed.clearing_house.owner()
    if owner != account.address:
        raise wrong(
            "account", f"{account.address} is not the owner of the clearing house, {owner}, who names its contracts"
        )
    check_funds(account, provider, TAIL_GAS + ENGINE_GAS)
    unlock(account)
    replace(target, rows, force, account, console)
    console.print(
        f"In use: {rows.name} {rows.version}, {len(rows)} rows of {', '.join(rows.underlyings)}", soft_wrap=True
    )
    console.print(f"Deployment file: {path}", soft_wrap=True)
