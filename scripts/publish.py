"""Sign a recorded option chain and bring it on chain: `ape run publish CHAIN` (`make publish CHAIN=path`).

From the recording to what `MarketData.read` answers: read, fitted free of arbitrage, signed by some of the feed's
signers, relayed to the signed feed, read back. On a local network without a deployment the protocol is deployed first.
"""

# Without `annotations` from `__future__`: ape runs this file outside of `sys.modules`, where a dataclass would look up
# names of types.

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads change the order of sums, and so the last digits

import ape
import click
from ape.cli import network_option
from ape.exceptions import ApeException, ContractLogicError
from ape.logging import LogLevel, logger
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from python_model import calibration, case, listing, methodology, option_chain, snapshots, svi
from python_model.portfolio import SECONDS_PER_YEAR, SVI, Expiry, Market, Underlying
from scripts import chain, compiled, feed, protocol
from scripts.options import NetworkCommand, read_account, unlock, wrong

ROOT = Path(__file__).resolve().parents[1]
DAY = 86_400
# Of a local stage: signers are the test accounts from the second on.
LOCAL_SIGNERS, LOCAL_THRESHOLD = 5, 3
# A signature that nobody brings in this time is of a market that has moved.
VALID_SECONDS = 600
DOUBTS = {1: "no second source", 2: "confidence too wide", 3: "a jump that is not confirmed yet"}


@dataclass(frozen=True)
class Recording:
    """A market, and by underlying and expiry how far its surfaces are from what was quoted, vol points.

    A snapshot of the project was fitted before: its errors stand in its file.
    """

    name: str
    market: Market
    errors: Mapping[tuple[str, int], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Feed:
    """Where an update is brought, whose signatures it gets, and who pays."""

    deployed: protocol.Protocol
    signers: Sequence[Any]
    relayer: Any


@dataclass(frozen=True)
class Reading:
    """What market data answer of an underlying: forward in USD and at-the-money vol, by expiry on the chain."""

    spot: float
    is_fresh: bool
    scan_range: float
    expiries: Mapping[int, tuple[float, float]]


def bad_chain(why: str) -> click.UsageError:
    """The error of the argument."""
    return click.UsageError(f"CHAIN: {why}")


@contextmanager
def bar(console: Console, description: str, total: int) -> Iterator[Any]:
    """A progress bar, as what moves it on; a new description may go along."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, logger.at_level(LogLevel.WARNING):
        task = progress.add_task(description, total=total)

        def advance(step: str = description) -> None:
            progress.update(task, description=step, advance=1)

        yield advance


# ------------------------------------------------------------------------------------------------------ the recording


def fitted(recorded: option_chain.Chain, fits: Mapping[str, Sequence[calibration.SliceFit]]) -> Market:
    """The market of a chain and its fits, in the digits of M-0, with rate 0 as `calibration` explains."""
    places = option_chain.PRICE_DECIMALS
    underlyings = {}
    for name, own in recorded.underlyings.items():
        rows = []
        for fit in fits[name]:
            forward = round(fit.quotes.forward, places)
            rows.append(
                Expiry(fit.quotes.expiry, forward, 0.0, SVI(**vars(fit.svi), ref_tau=fit.quotes.tau, forward=forward))
            )
        underlyings[name] = Underlying(
            spot=round(own.spot, places),
            confidence=own.confidence,
            scan_range=snapshots.SCAN_RANGE,
            perp_mark=round(own.perp_mark, places),
            expiries=tuple(rows),
        )
    return Market(recorded.as_of, underlyings)


def read_recording(text: str, console: Console) -> Recording:
    """A recorded chain, fitted, or a snapshot of the project by name."""
    path = Path(text)
    if not path.is_file():
        try:
            return Recording(text, case.read_market(text))
        except case.CaseError:
            known = ", ".join(sorted(p.stem for p in case.MARKETS.glob("*.yaml")))
            raise bad_chain(f"no such file, and no snapshot of that name (got {text!r}; snapshots: {known})") from None
    try:
        recorded = option_chain.read_chain(path)
    except (ValueError, OSError) as error:  # of the chain, or of pandas: it is no table
        raise bad_chain(f"{path.name}: {error}") from error
    try:
        with bar(console, "fitting", sum(len(own.slices) for own in recorded.underlyings.values())) as advance:
            fits = {
                name: calibration.fit_surface(own.slices, on_fit=lambda _: advance())
                for name, own in recorded.underlyings.items()
            }
    except option_chain.CalibrationError as error:
        raise bad_chain(f"{path.name}: {error}") from error
    errors = {(name, fit.quotes.expiry): fit.rmse for name, slices in fits.items() for fit in slices}
    return Recording(path.name, fitted(recorded, fits), errors)


def moment(time: int) -> str:
    """A time as people write it, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def table(title: str, *headings: str, caption: str | None = None) -> Table:
    """An empty table; names to the left, numbers to the right."""
    view = Table(title=title, caption=caption, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading in headings:
        is_name = heading in ("underlying", "expiry (UTC)", "fresh")
        view.add_column(heading, justify="left" if is_name else "right", no_wrap=True)
    return view


def quoted(recording: Recording, clock: chain.Clock) -> Table:
    """What is to be signed."""
    market = recording.market
    view = table(
        f"{recording.name}, as of {moment(clock.chain(market.as_of))}",
        *("underlying", "expiry (UTC)", "days", "forward", "ATM vol %", "fit error"),
        caption="ATM: at the forward. Fit error: vega-weighted root mean square over all strikes, vol points"
        if recording.errors
        else "ATM: at the forward. A snapshot: its fit errors stand in its file",
    )
    for name, u in market.underlyings.items():
        view.add_row(name, "spot", "", f"{u.spot:,.2f}", "", "")
        view.add_row(name, "perpetual", "", f"{u.perp_mark:,.2f}", "", "")
        for e in u.expiries:
            error = recording.errors.get((name, e.expiry))
            view.add_row(
                name,
                moment(clock.chain(e.expiry)),
                f"{(e.expiry - market.as_of) / DAY:.2f}",
                f"{e.forward:,.2f}",
                f"{100 * svi.implied_vol(e.forward, **vars(e.svi)):.1f}",
                "" if error is None else f"{error:.2f}",
            )
        view.add_section()
    return view


def clock_after(market: Market, head: int) -> chain.Clock:
    """Shift by whole weeks to after the head of a chain, so that what was listed then is listed."""
    times = {e.expiry for u in market.underlyings.values() for e in u.expiries}
    listed = [time for time in times if listing.admits_expiry(time, market.as_of)]
    return chain.Clock(listing.shift(market.as_of, listed, head))


# ----------------------------------------------------------------------------------------------------------- the feed


def stage(contracts: Any, market: Market, chosen: Sequence[Any], relayer: Any, console: Console) -> Feed:
    """The protocol on a local network; test accounts sign, or the accounts chosen, of which all have to."""
    test_accounts = ape.accounts.test_accounts
    signers = list(chosen) or [test_accounts[i] for i in range(1, 1 + LOCAL_SIGNERS)]
    threshold = len(chosen) or LOCAL_THRESHOLD
    names = chain.ids({*market.underlyings, "ETH"})
    with bar(console, "deploying", protocol.TOKEN_STEPS + protocol.STEPS + len(names)) as advance:
        deployed = protocol.deploy(
            contracts,
            relayer,
            methodology.load("house"),
            names,
            protocol.deploy_tokens(contracts, relayer, advance),
            advance,
            signers=[signer.address for signer in signers],
            threshold=threshold,
        )
    return Feed(deployed, signers[:threshold], relayer)


def choose(deployed: protocol.Protocol, accounts: Mapping[str, Any]) -> list[Any]:
    """As many of the accounts as the feed needs; an error where one is no signer or they are too few."""
    signed_feed = deployed.signed_feed
    for alias, account in accounts.items():
        if not signed_feed.is_signer(account):
            raise wrong("signer", f"{alias!r} ({account.address}) is no signer of the feed at {signed_feed.address}")
    needed = signed_feed.threshold()
    if len(accounts) < needed:
        raise wrong("signer", f"the feed needs {needed} signatures; pass --signer as many times (got {len(accounts)})")
    if not deployed.market_data.is_publisher(signed_feed):
        raise wrong("deployment", f"market data at {deployed.market_data.address} do not take the feed for a publisher")
    return list(accounts.values())[:needed]


def read_signers(aliases: Sequence[str], provider: Any) -> dict[str, Any]:
    """The accounts that sign, by alias."""
    if len(set(aliases)) != len(aliases):
        raise wrong("signer", f"must be different accounts (got {', '.join(aliases)})")
    return {alias: read_account(alias, provider, "signer") for alias in aliases}


def load_contracts(console: Console) -> SimpleNamespace:
    """Every contract by name."""
    with console.status("Compiling"), logger.at_level(LogLevel.WARNING):
        return compiled.load()


def find_feed(
    path: Path | None, market: Market, accounts: Mapping[str, Any], relayer: Any, provider: Any, console: Console
) -> Feed:
    """The feed of a deployment file, or on a local network that of a stage deployed now; accounts sign, by alias."""
    chosen = list(accounts.values())
    is_local = path is None and provider.network.is_dev
    file = path or ROOT / "build" / "deployments" / f"{provider.chain_id}.json"
    if is_local and not file.is_file():
        return stage(load_contracts(console), market, chosen, relayer, console)
    try:
        deployed = protocol.load(file, load_contracts(console))
    except protocol.DeploymentError as error:
        # A file of an earlier run of a local chain says nothing of this one.
        if is_local:
            return stage(load_contracts(console), market, chosen, relayer, console)
        raise wrong("deployment", str(error)) from None
    return Feed(deployed, choose(deployed, accounts), relayer)


def submit(to: Feed, name: str, update: Sequence[Any], deadline: int) -> Any:
    """Sign an update and bring it; the receipt."""
    signed_feed = to.deployed.signed_feed
    signatures = feed.signatures(signed_feed, to.signers, update, deadline)
    try:
        with logger.at_level(LogLevel.WARNING):
            return signed_feed.submit(update, deadline, signatures, sender=to.relayer)
    except ContractLogicError as error:
        raise click.ClickException(f"{name}: refused, {error.revert_message or error}") from error
    except ApeException as error:
        raise click.ClickException(f"{name}: {error}") from error


def doubt(to: Feed, receipt: Any) -> str | None:
    """Why market data did not take an update over; None where they did."""
    events = receipt.events.filter(to.deployed.market_data.UpdateDoubted)
    return DOUBTS.get(int(events[0].doubt), f"doubt {events[0].doubt}") if events else None


def signed_field(word: int, shift: int) -> float:
    """48 bits of two's complement at 1e-12."""
    number = (word >> shift) & (2**48 - 1)
    return chain.as_float(number - 2**48 if number >> 47 else number, 12)


def read_back(deployed: protocol.Protocol, name: str, expiries: Sequence[int]) -> Reading:
    """What market data answer now, decoded."""
    words, is_fresh = deployed.market_data.read(deployed.names[name], list(expiries))
    rows = {}
    for i, expiry in enumerate(expiries):
        first, second = int(words[1 + 2 * i]), int(words[2 + 2 * i])
        forward = chain.as_float(first >> 184, 9)
        a, b, rho, m, sigma = (signed_field(second, shift) for shift in (208, 160, 112, 64, 16))
        tau = ((first >> 32) & (2**32 - 1)) / SECONDS_PER_YEAR
        surface = SVI(a, b, rho, m, sigma, ref_tau=tau, forward=chain.as_float((first >> 112) & (2**72 - 1), 9))
        rows[expiry] = forward, float(svi.implied_vol(forward, **vars(surface)))
    head = int(words[0])
    return Reading(chain.as_float(head >> 184, 9), bool(is_fresh), chain.as_float((head >> 32) & (2**40 - 1), 12), rows)


def answered(readings: Mapping[str, Reading], gas: Mapping[str, int]) -> Table:
    """What market data read, and what it cost to tell them."""
    view = table("What market data read now", "underlying", "expiry (UTC)", "forward", "ATM vol %", "fresh", "gas")
    for name, reading in readings.items():
        fresh = "yes" if reading.is_fresh else "no"
        view.add_row(name, "spot", f"{reading.spot:,.2f}", "", fresh, f"{gas[name]:,}")
        for expiry, (forward, vol) in reading.expiries.items():
            view.add_row(name, moment(expiry), f"{forward:,.2f}", f"{100 * vol:.1f}", "", "")
        view.add_row(name, "scan range", f"{100 * reading.scan_range:.1f}%", "", "", "")
        view.add_section()
    return view


# -------------------------------------------------------------------------------------------------------- the command


@click.command(cls=NetworkCommand)
@network_option()
@click.argument("recorded", metavar="CHAIN")
@click.option("--signer", "aliases", metavar="ALIAS", multiple=True, help="Who signs (`ape accounts list`); repeat it.")
@click.option("--account", "alias", metavar="ALIAS", help="Who brings the update and pays.")
@click.option("--deployment", type=click.Path(path_type=Path), help="File [build/deployments/<chain id>.json].")
@click.option(
    "--now/--as-recorded",
    "is_now",
    default=None,
    help="Whole weeks later, after the chain's head, or at the recording's own time. [now on local networks]",
)
@click.option("--valid", default=VALID_SECONDS, show_default=True, metavar="SECONDS", help="How long signatures hold.")
@click.option("--dry-run", is_flag=True, help="Fit and print; sign and send nothing.")
def cli(
    provider: Any,
    recorded: str,
    aliases: tuple[str, ...],
    alias: str | None,
    deployment: Path | None,
    is_now: bool | None,
    valid: int,
    dry_run: bool,
) -> None:
    """Fit CHAIN, sign it and bring it to market data through the signed feed.

    CHAIN is a recorded option chain (CSV, gzip allowed, with the columns of Deribit's records), or the name of a
    snapshot in python_model/markets. Encrypted accounts take their passphrase from APE_ACCOUNTS_<alias>_PASSPHRASE,
    or ask for it once. On a local network without a deployment the protocol is deployed first, with test accounts as
    signers.

    Example: ape run publish eth-btc-2026-02-06 --network ethereum:local:foundry
    """
    console = Console(width=None if Console().is_terminal else 120)
    is_local = provider.network.is_dev
    if is_now is None:
        is_now = is_local
    if is_now and not is_local:
        raise wrong("now", "sets the clock of the chain, which only a local network lets; leave it out")
    if valid < 1:
        raise wrong("valid", f"must be at least a second (got {valid})")
    relayer, accounts = None, read_signers(aliases, provider)
    if not dry_run:
        relayer = read_account(alias, provider)
        if deployment is not None and not deployment.is_file():
            raise wrong("deployment", f"{deployment}: no such file; `make deploy` makes it")
    recording = read_recording(recorded, console)
    market = recording.market
    head = int(provider.get_block("latest").timestamp)
    clock = clock_after(market, head) if is_now else chain.Clock(0)
    console.print(quoted(recording, clock))
    if dry_run:
        return

    unlock(relayer)
    for account in accounts.values():
        unlock(account, "signer")
    to = find_feed(deployment, market, accounts, relayer, provider, console)
    unknown = sorted(set(market.underlyings) - set(to.deployed.names))
    if unknown:
        console.print(f"Left out, as the deployment does not know them: {', '.join(unknown)}")
    if len(unknown) == len(market.underlyings):
        raise bad_chain(f"none of its underlyings is one of the deployment's ({', '.join(to.deployed.names)})")

    now = clock.chain(market.as_of)
    deadline = max(now, int(provider.get_block("latest").timestamp)) + valid
    readings, gas, doubts = {}, {}, []
    for name, u in market.underlyings.items():
        if name in unknown:
            continue
        if is_now and provider.get_block("latest").timestamp < now:
            provider.set_timestamp(now)
        receipt = submit(to, name, chain.update(to.deployed.names[name], u, now, clock), deadline)
        why = doubt(to, receipt)
        if why is not None:
            doubts.append(f"{name}: {why}")
        gas[name] = receipt.gas_used
        readings[name] = read_back(to.deployed, name, [clock.chain(e.expiry) for e in u.expiries])
    console.print(answered(readings, gas))
    console.print(f"Signed by {', '.join(signer.address for signer in to.signers)}", soft_wrap=True)
    if doubts:
        raise click.ClickException(f"doubted, and not taken over: {'; '.join(doubts)}")
