"""The whole protocol on a chain: deployment, and the calls of its users in their own units.

Amounts here are decimals of the model (ETH, USD); `scripts.chain` turns them into the contracts' integers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from python_model import fees, interest, methodology, volatility
from python_model.methodology import Methodology
from python_model.portfolio import Kind, Mode, Position
from python_model.scenario_set import ScenarioSet
from scripts import chain, normal_table

QUOTE, WETH = 0, 1
# Name of the container of each contract of `Protocol`.
CONTAINERS = {
    "clearing_house": "ClearingHouse",
    "collaterals": "Collaterals",
    "exchange": "Exchange",
    "liquidation": "Liquidation",
    "deleveraging": "Deleveraging",
    "settlement": "Settlement",
    "money_market": "MoneyMarket",
    "backstop": "Backstop",
    "junior": "Tranche",
    "senior": "Tranche",
    "interest_rates": "InterestRates",
    "yields": "Yield",
    "lens": "Lens",
    "admission": "Admission",
    "engine": "MarginEngine",
    "report": "MarginReport",
    "methodology": "Methodology",
    "kernel": "PricingKernel",
    "market_data": "MarketData",
    "signed_feed": "SignedFeed",
    "quote": "Token",
    "weth": "Token",
}
# The same for `Tails`.
TAIL_CONTAINERS = {
    "tail_kernel": "TailKernel",
    "scenario_set": "ScenarioSet",
    "tail_scan": "TailScan",
    "var_methodology": "Methodology",
    "var_engine": "TailEngine",
    "max_engine": "TailEngine",
}
# How often `deploy_tokens` and `deploy` announce a transaction, the latter once more for each underlying, and how much
# more often with tails.
TOKEN_STEPS, STEPS, TAIL_STEPS = 2, 44, len(TAIL_CONTAINERS)
# Of an order approved on chain, or whose signer is the caller.
NO_SIGNATURE = b""
FOR_EVER = 2**64
ANY_FEE = 2**256 - 1
# Scopes of operators.
SCOPE_TRADE, SCOPE_FUNDS, SCOPE_ALL = 1, 2, 3

# How far the perpetual's mark and any forward may be from spot in signed market data.
WIDEST_BASIS = 0.25
# `ILiquidation.Terms`: 2% at first, 30% after 15 minutes, all after 12 hours; an hour for what has no net value; a
# slice of a tenth; 1% for the fund; 25 USD, or 2% of maintenance margin if that is less, for who starts an auction.
LIQUIDATION = {
    "first_discount": chain.wad(0.02),
    "knee_discount": chain.wad(0.30),
    "knee_seconds": 900,
    "solvent_seconds": 43_200,
    "insolvent_seconds": 3_600,
    "minimum_slice": chain.wad(0.10),
    "fee": chain.wad(0.01),
    "reward": chain.wad(25.0),
    "reward_share": chain.wad(0.02),
}
# The account of the insurance fund (`custody.FUND`).
FUND = 1
# What the fund gets of the protocol's income; the rest goes to accounts with idle cash.
FUND_SHARE = chain.wad(0.5)
# Kinds of bid, and the limits of one that has none.
START, SOLVENT, INSOLVENT, TARGETED = range(4)
WHOLE, ANY_PRICE = 10**18, 2**255 - 1
BID_ABI = "(uint256,uint256,uint256,uint256,int256,uint256,uint256[],int256)"
# `IBackstop.Terms`: 5% a year for the senior tranche; a week from request to redemption, and for income to be released.
BACKSTOP = {"coupon": chain.wad(0.05), "cooldown_seconds": 7 * 86_400, "release_seconds": 7 * 86_400}
# Name and symbol of the shares of each tranche, by its kind.
TRANCHES = (("Ballast Junior", "bJUN"), ("Ballast Senior", "bSEN"))
# 1% to 5% a year while up to four fifths of all cash are owed, then steeply to 80%; a tenth for the reserve.
INTEREST = interest.Terms(base=0.01, slope=0.04, steep=0.75, kink=0.8, reserve_share=0.1)
WETH_HAIRCUT_INITIAL, WETH_HAIRCUT_MAINTENANCE = 0.02, 0.01
NOBODY = "0x" + "00" * 20
# Of staked ether in a wrapper: the haircuts, how much its rate may grow a day, and the deposits accepted, whole tokens.
STAKED_HAIRCUT_INITIAL, STAKED_HAIRCUT_MAINTENANCE, STAKED_GROWTH, STAKED_CAP = 0.06, 0.04, 0.001, 1e6
# The function of wstETH that says how much staked ether a token is worth, at 1e-18.
STAKED_RATE = "stEthPerToken()"
# `ICollaterals.Sources` of a token that is worth its underlying.
NO_SOURCES = (NOBODY, bytes(4), 0, 0, NOBODY)

LEG_FIELDS = ("underlying", "expiry", "strike", "kind", "ratio", "price")
TYPES = {
    "Order": [
        {"name": "account", "type": "uint256"},
        {"name": "legs", "type": "Leg[]"},
        {"name": "lots", "type": "uint256"},
        {"name": "maxFee", "type": "uint256"},
        {"name": "counterparty", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ],
    "Leg": [{"name": name, "type": "int256" if name == "ratio" else "uint256"} for name in LEG_FIELDS],
}
# ABI of `IExchange.Order` and `IExchange.Submission`.
ORDER_ABI = "(uint256,(uint256,uint256,uint256,uint256,int256,uint256)[],uint256,uint256,uint256,uint256,uint256)"
SUBMISSION_ABI = f"({ORDER_ABI},address,bytes,{ORDER_ABI},address,bytes,uint256)"

# `IExchange.Leg`, in the order of LEG_FIELDS.
Leg = tuple[int, ...]


class DeploymentError(ValueError):
    """A deployment file that cannot be used; the message says why."""


@dataclass(frozen=True)
class Tails:
    """What judges accounts of the modes VAR and MAX, as ape instances."""

    tail_kernel: Any
    scenario_set: Any
    tail_scan: Any
    var_methodology: Any
    var_engine: Any
    max_engine: Any


@dataclass(frozen=True)
class Protocol:
    """The contracts, as ape instances, and the ids of underlyings. Without `tails` no book has the mode VAR or MAX."""

    clearing_house: Any
    collaterals: Any
    exchange: Any
    liquidation: Any
    deleveraging: Any
    settlement: Any
    money_market: Any
    backstop: Any
    junior: Any
    senior: Any
    interest_rates: Any
    yields: Any
    lens: Any
    admission: Any
    engine: Any
    report: Any
    methodology: Any
    kernel: Any
    market_data: Any
    signed_feed: Any
    quote: Any
    weth: Any
    names: dict[str, int]
    tails: Tails | None = None

    @property
    def contracts(self) -> dict[str, Any]:
        """Contract instances by name."""
        own = {key: value for key, value in vars(self).items() if key not in ("names", "tails")}
        return own | (vars(self.tails) if self.tails else {})


@dataclass(frozen=True)
class Order:
    """`IExchange.Order`: what an account gives and takes for each of so many lots.

    Ratios at 1e-6 units, strikes at 1e-6 and prices at 1e-9 USD, `max_fee` for a lot at 1e-18 USD, `deadline` in
    seconds since 1970.
    """

    account: int
    legs: tuple[Leg, ...]
    lots: int = 1
    max_fee: int = ANY_FEE
    counterparty: int = 0
    nonce: int = 0
    deadline: int = FOR_EVER

    @property
    def row(self) -> tuple[Any, ...]:
        """As the ABI wants it."""
        return self.account, list(self.legs), self.lots, self.max_fee, self.counterparty, self.nonce, self.deadline


@dataclass(frozen=True)
class Consent:
    """An order, who consents to it, and how: without a signature it was approved on chain, or the signer calls."""

    order: Order
    signer: str
    signature: bytes = NO_SIGNATURE


@dataclass(frozen=True)
class Tokens:
    """What the clearing house is to hold, and how much of it in whole tokens."""

    quote: Any
    weth: Any
    quote_cap: float = 1e9
    weth_cap: float = 1e6


@dataclass(frozen=True)
class Staked:
    """Wrapped staked ether as a kind of collateral, and what the market pays for it."""

    kind: int
    token: Any
    peg: Any


def unannounced(step: str) -> None:
    """Tell nobody what is sent next."""


def deploy_tokens(contracts: Any, sender: Any, announce: Callable[[str], None] = unannounced) -> Tokens:
    """Worthless tokens that anyone may mint: for local chains and test networks."""
    announce("Token USDC")
    quote = sender.deploy(contracts.Token, "USD Coin", "USDC", 6)
    announce("Token WETH")
    return Tokens(quote, sender.deploy(contracts.Token, "Wrapped Ether", "WETH", 18))


def deploy(
    contracts: Any,
    sender: Any,
    methodology: Methodology,
    names: dict[str, int],
    tokens: Tokens,
    announce: Callable[[str], None] = unannounced,
    terms: tuple[Any, ...] | None = None,
    signers: Sequence[str] = (),
    threshold: int = 1,
    trusted: bool = False,
    rows: ScenarioSet | None = None,
) -> Protocol:
    """Deploy and connect every contract.

    Parameters
    ----------
    contracts : namespace of ape contract containers
    sender : ape account
        Becomes the owner of all contracts.
    methodology : Methodology
    names : ids of underlyings; ETH must be among them
    tokens : Tokens
    announce : callable
        Told before each transaction what it is.
    terms : tuple
        `IMarketData.Terms` of every underlying, by default those of the methodology (M-21, M-22) and `chain.GUARD`.
    signers : sequence of addresses
        Whose signatures make market data; by default the sender's alone.
    threshold : int
        How many of them an update needs.
    trusted : bool
        Whether the sender may publish without signatures, one transaction more: for the stages of local chains.
    rows : ScenarioSet
        Of the account modes VAR and MAX, with some of the underlyings; without it no book can have them.

    Returns
    -------
    Protocol
    """

    def create(container: Any, *arguments: Any) -> Any:
        announce(container.name)
        return sender.deploy(container, *arguments)

    dynamic = volatility.Terms()
    market_data = create(contracts.MarketData, *chain.speeds(dynamic))
    ordered = sorted(signers or (str(sender.address),), key=lambda address: int(address, 16))
    signed_feed = create(contracts.SignedFeed, market_data, ordered, threshold, chain.scaled(WIDEST_BASIS, 12))
    for publisher in (signed_feed, sender) if trusted else (signed_feed,):
        announce("MarketData.set_publisher")
        market_data.set_publisher(publisher, True, sender=sender)
    for name, i in names.items():
        announce(f"MarketData.set_terms of {name}")
        market_data.set_terms(i, terms or chain.terms(dynamic), sender=sender)
    kernel = create(contracts.PricingKernel, normal_table.words())
    data = create(contracts.Methodology, *chain.methodology_arguments(methodology, names))
    tails = deploy_tails(contracts, create, methodology, names, rows, (market_data, data, kernel)) if rows else None
    judges = chain.NO_TAILS if tails is None else (tails.var_engine, tails.max_engine)
    engine = create(contracts.MarginEngine, market_data, data, kernel, chain.ALL_PASSES, judges)
    evidence = [
        create(contracts.MarginEngine, market_data, data, kernel, passes, chain.NO_TAILS)
        for passes in chain.evidence_passes(data.compiled())
    ]
    report = create(contracts.MarginReport, engine, market_data, data, kernel)
    house = create(contracts.ClearingHouse)
    announce("MarketData.set_depth_source")
    market_data.set_depth_source(house, sender=sender)
    quote_cap = chain.scaled(tokens.quote_cap, tokens.quote.decimals())
    collaterals = create(contracts.Collaterals, house, tokens.quote, quote_cap)
    exchange = create(contracts.Exchange, house)
    liquidation = create(contracts.Liquidation, house, tuple(LIQUIDATION.values()))
    settlement = create(contracts.Settlement, house)
    money_market = create(contracts.MoneyMarket, house)
    rates = create(contracts.InterestRates, *(chain.wad(rate) for rate in astuple(INTEREST)))
    deleveraging = create(contracts.Deleveraging, house)
    yields = create(contracts.Yield, house, FUND_SHARE)
    lens = create(contracts.Lens, house)
    admission = create(contracts.Admission, house)
    announce("ClearingHouse.set_contracts")
    # Everybody may have portfolio mode (M-17) until the owner names `admission` too.
    house.set_contracts(report, exchange, liquidation, collaterals, money_market, NOBODY, sender=sender)
    for member in (settlement, money_market, liquidation, deleveraging, yields):
        announce("ClearingHouse.set_member")
        house.set_member(member, True, sender=sender)
    announce("Liquidation.set_evidence")
    liquidation.set_evidence(evidence, sender=sender)
    announce("Liquidation.set_deleveraging")
    liquidation.set_deleveraging(deleveraging, sender=sender)
    announce("MoneyMarket.set_interest_rates")
    money_market.set_interest_rates(rates, sender=sender)
    opened = []
    # Neither ever has a position: no contract of admission need be asked whether it may pay out.
    for _ in range(2):
        announce("ClearingHouse.create_account")
        receipt = house.create_account(chain.MODES[Mode.ISOLATED], sender=sender)
        opened.append(int(receipt.events.filter(house.AccountCreated)[0].account))
    fund_account, fee_account = opened
    if fund_account != FUND:
        raise DeploymentError(f"the first account of a clearing house is the fund's, not {fund_account}")
    backstop = create(contracts.Backstop, house, tuple(BACKSTOP.values()))
    announce("ClearingHouse.transfer_account")
    house.transfer_account(FUND, backstop, sender=sender)
    announce("ClearingHouse.set_member")
    house.set_member(backstop, True, sender=sender)
    announce("Collaterals.set_backstop")
    collaterals.set_backstop(backstop, sender=sender)
    tranches = [create(contracts.Tranche, backstop, kind, *label) for kind, label in enumerate(TRANCHES)]
    for kind, tranche in enumerate(tranches):
        announce("Backstop.set_tranche")
        backstop.set_tranche(kind, tranche, sender=sender)
    announce("Exchange.set_fees")
    exchange.set_fees(fee_schedule(fees.HOUSE, fee_account), sender=sender)
    announce("ClearingHouse.transfer_account")
    house.transfer_account(fee_account, yields, sender=sender)
    announce("Collaterals.list_collateral")
    collaterals.list_collateral(
        (
            tokens.weth,
            names["ETH"],
            chain.wad(WETH_HAIRCUT_INITIAL),
            chain.wad(WETH_HAIRCUT_MAINTENANCE),
            chain.scaled(tokens.weth_cap, tokens.weth.decimals()),
            0,
            NO_SOURCES,
        ),
        sender=sender,
    )
    return Protocol(
        clearing_house=house,
        collaterals=collaterals,
        exchange=exchange,
        liquidation=liquidation,
        deleveraging=deleveraging,
        settlement=settlement,
        money_market=money_market,
        backstop=backstop,
        junior=tranches[0],
        senior=tranches[1],
        interest_rates=rates,
        yields=yields,
        lens=lens,
        admission=admission,
        engine=engine,
        report=report,
        methodology=data,
        kernel=kernel,
        market_data=market_data,
        signed_feed=signed_feed,
        quote=tokens.quote,
        weth=tokens.weth,
        names=names,
        tails=tails,
    )


def deploy_tails(
    contracts: Any,
    create: Callable[..., Any],
    preset: Methodology,
    names: dict[str, int],
    rows: ScenarioSet,
    reads: tuple[Any, Any, Any],
) -> Tails:
    """Deploy what judges accounts of the modes VAR and MAX (M-18 to M-20).

    Parameters
    ----------
    contracts : namespace of ape contract containers
    create : callable; deploys a container with arguments
    preset : Methodology
        Of the margin engine: both modes have its charges, MAX its grid too.
    names : ids of underlyings
    rows : ScenarioSet
    reads : the market data, the methodology and the kernel that the margin engine reads

    Returns
    -------
    Tails
    """
    market_data, data, kernel = reads
    still = methodology.without_grid(preset)
    terms = methodology.load("max").tail
    assert terms is not None
    tail_kernel = create(contracts.TailKernel, normal_table.words())
    scenarios = create(contracts.ScenarioSet, *chain.scenario_set_arguments(rows, names))
    scan = create(
        contracts.TailScan, market_data, data, tail_kernel, scenarios, *chain.tail_scan_arguments(terms, rows)
    )
    var_data = create(contracts.Methodology, *chain.methodology_arguments(still, names))
    return Tails(
        tail_kernel=tail_kernel,
        scenario_set=scenarios,
        tail_scan=scan,
        var_methodology=var_data,
        var_engine=create(contracts.TailEngine, market_data, var_data, kernel, scan),
        max_engine=create(contracts.TailEngine, market_data, data, kernel, scan),
    )


def list_staked(contracts: Any, sender: Any, protocol: Protocol, rate: float, peg: float) -> Staked:
    """Deploy a token as wstETH is one, worth `rate` ETH by itself and `peg` of that to the market, and list it.

    For local chains: anyone may mint the token, and set its peg.
    """
    inside = sender.deploy(contracts.RebasingToken, chain.wad(rate))
    token = sender.deploy(contracts.WrappedStaked, inside)
    source = sender.deploy(contracts.PegSource, chain.wad(peg))
    sources = (token, keccak(text=STAKED_RATE)[:4], chain.WAD, chain.wad(STAKED_GROWTH), source)
    terms = (
        token,
        protocol.names["ETH"],
        chain.wad(STAKED_HAIRCUT_INITIAL),
        chain.wad(STAKED_HAIRCUT_MAINTENANCE),
        chain.wad(STAKED_CAP),
        0,
        sources,
    )
    protocol.collaterals.list_collateral(terms, sender=sender)
    return Staked(int(protocol.collaterals.count()), token, source)


def stored_cash(protocol: Protocol, account: int) -> int:
    """Cash as of the account's last act, without the interest since, 1e-18 USD: the upper 160 bits of its word."""
    word = int(protocol.clearing_house.cash_word(account))
    return (word - 2**256 if word >> 255 else word) >> 96


def fee_schedule(schedule: fees.Fees, account: int) -> tuple[int, ...]:
    """`IExchange.FeeSchedule`."""
    return chain.wad(schedule.maker), chain.wad(schedule.taker), chain.wad(schedule.premium_cap), account


def load(path: str | Path, contracts: Any) -> Protocol:
    """The protocol that `scripts/deploy.py` described in a deployment file, on the connected chain.

    Parameters
    ----------
    path : of the file
    contracts : namespace of ape contract containers

    Returns
    -------
    Protocol

    Raises
    ------
    DeploymentError
        The file cannot be read, is of another chain, or names an address without code.
    """
    try:
        file = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = {**file["contracts"], **file["tokens"]}
        # All of the tails, or none.
        containers = CONTAINERS | (TAIL_CONTAINERS if TAIL_CONTAINERS.keys() & rows.keys() else {})
        addresses = {key: str(rows[key]["address"]) for key in containers}
        names = {str(name): int(i) for name, i in file["underlyings"].items()}
        chain_id = int(file["chain_id"])
    except OSError as error:
        raise DeploymentError(f"{path}: cannot be read ({error.strerror}); make it with `make deploy`") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DeploymentError(f"{path}: is no deployment file ({error})") from None
    except KeyError as error:
        raise DeploymentError(f"{path}: has no {error}") from None

    provider = contracts.ClearingHouse.provider
    if chain_id != provider.chain_id:
        raise DeploymentError(f"{path}: is of chain {chain_id}, but this is chain {provider.chain_id}")
    for key, address in addresses.items():
        if not provider.get_code(address):
            raise DeploymentError(f"{path}: {key} has no code at {address}; was the chain started anew?")
    instances = {
        key: getattr(contracts, containers[key]).at(address, fetch_from_explorer=False, detect_proxy=False)
        for key, address in addresses.items()
    }
    tails = Tails(**{key: instances.pop(key) for key in TAIL_CONTAINERS}) if len(containers) > len(CONTAINERS) else None
    return Protocol(**instances, names=names, tails=tails)


def create_account(protocol: Protocol, owner: Any, mode: Mode = Mode.PORTFOLIO) -> int:
    """Open an account; its id."""
    receipt = protocol.clearing_house.create_account(chain.MODES[mode], sender=owner)
    return int(receipt.events.filter(protocol.clearing_house.AccountCreated)[0].account)


def fund(protocol: Protocol, owner: Any, account: int, usd: float = 0.0, ether: float = 0.0) -> None:
    """Mint test tokens to an owner and deposit them: USD of the quote token, and WETH."""
    for kind, token, amount in ((QUOTE, protocol.quote, usd), (WETH, protocol.weth, ether)):
        if amount:
            units = chain.scaled(amount, token.decimals())
            token.mint(owner, units, sender=owner)
            token.approve(protocol.clearing_house, units, sender=owner)
            protocol.clearing_house.deposit(account, kind, units, sender=owner)


def legs(
    protocol: Protocol, positions: Sequence[Position], prices: Sequence[float], clock: chain.Clock
) -> tuple[Leg, ...]:
    """`IExchange.Leg` of a package, in the order that the exchange wants, for a lot of the whole.

    Parameters
    ----------
    positions : sequence of Position
        What the account of the order receives.
    prices : sequence of float
        USD for one unit: premium of an option, entry of a future or a perpetual.
    clock : chain.Clock
    """
    rows = [
        (
            protocol.names[p.underlying],
            0 if p.expiry is None else clock.chain(p.expiry),
            0 if p.strike is None else chain.scaled(p.strike, 6),
            chain.KINDS[p.kind],
            chain.scaled(p.size, 6),
            chain.scaled(price, 9),
        )
        for p, price in zip(positions, prices, strict=True)
    ]
    return tuple(sorted(rows))


def opposite(package: Sequence[Leg]) -> tuple[Leg, ...]:
    """The same package from the other side."""
    return tuple((*leg[:4], -leg[4], leg[5]) for leg in package)


def order_message(protocol: Protocol, order: Order) -> SignableMessage:
    """The EIP-712 message that an order's side signs."""
    account, package, lots, max_fee, counterparty, nonce, deadline = order.row
    return encode_typed_data(
        domain_data={
            "name": "Ballast",
            "version": "1",
            "chainId": protocol.exchange.provider.chain_id,
            "verifyingContract": protocol.exchange.address,
        },
        message_types=TYPES,
        message_data={
            "account": account,
            "legs": [dict(zip(LEG_FIELDS, leg, strict=True)) for leg in package],
            "lots": lots,
            "maxFee": max_fee,
            "counterparty": counterparty,
            "nonce": nonce,
            "deadline": deadline,
        },
    )


def signature(signer: Any, message: SignableMessage) -> bytes:
    """The 65 bytes r, s, v of an ape account's signature."""
    return bytes(signer.sign_message(message).encode_rsv())


def signed(protocol: Protocol, signer: Any, order: Order) -> Consent:
    """An order with the signature of an ape account."""
    return Consent(order, signer.address, signature(signer, order_message(protocol, order)))


def submission(maker: Consent, taker: Consent, lots: int = 1) -> bytes:
    """What `ClearingHouse.trade` takes: both orders with their consents, and how many lots to fill."""
    row = (
        maker.order.row,
        maker.signer,
        maker.signature,
        taker.order.row,
        taker.signer,
        taker.signature,
        lots,
    )
    return encode([SUBMISSION_ABI], [row])


def trade(
    protocol: Protocol,
    taker: tuple[Any, int],
    maker: tuple[Any, int],
    package: Sequence[Leg],
    nonce: int,
    deadline: int = FOR_EVER,
) -> Any:
    """Trade a package that the taker receives: the maker's owner signs, the taker's sends.

    Both are pairs of ape account and account id.
    """
    order = Order(maker[1], opposite(package), counterparty=taker[1], nonce=nonce, deadline=deadline)
    call = Consent(Order(taker[1], tuple(package)), taker[0].address)
    return protocol.clearing_house.trade(submission(signed(protocol, maker[0], order), call), sender=taker[0])


def bid(
    kind: int,
    evidence: int = 0,
    fraction: int = WHOLE,
    min_fraction: int = 0,
    max_price: int = ANY_PRICE,
    deadline: int = FOR_EVER,
    package: Sequence[int] = (),
    cost: int = 0,
) -> bytes:
    """What `ClearingHouse.bid` takes, `ILiquidation.Bid`, without limits but for those named.

    Parameters
    ----------
    kind : int; START, SOLVENT, INSOLVENT or TARGETED
    evidence : int; of START, 0 for the margin engine
    fraction, min_fraction : int, 1e-18
    max_price : int, 1e-18 USD; negative for what the bidder is to be paid; of TARGETED, the price
    deadline : int, seconds since 1970
    package : sequence of position words, of TARGETED
    cost : int, 1e-18 USD; of TARGETED, size * entry price over its futures and perpetuals

    Returns
    -------
    bytes
    """
    row = (kind, evidence, fraction, min_fraction, max_price, deadline, list(package), cost)
    return encode([BID_ABI], [row])


def is_linear(position: Position) -> bool:
    """Whether a position is paid for when it is closed (`cost`), not in cash."""
    return position.kind in (Kind.FUTURE, Kind.PERP)
