"""A deployed protocol with a published market, its users by role, and what tests say about it in one line each.

The clock of the chain stands still: a block has the timestamp of the last one until `World.wait` is called, so that an
option is worth the same when it is read and when it is traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import decode
from web3.exceptions import ContractLogicError

from python_model import fees, listing, methodology, scenario_set
from python_model.portfolio import SVI, Expiry, Underlying
from scripts import chain, protocol

DAY = 86_400
WAD = 10**18
EMPTY = "0x" + "00" * 20
PERP, FUTURE, CALL, PUT = range(4)
# Steps of a batch; CALL is an option's kind too.
DEPOSIT, WITHDRAW, TRANSFER, TRADE, BID, CALL_OUT = range(6)
# Kinds of bid.
START, SOLVENT, INSOLVENT, TARGETED = range(4)
FUND = protocol.FUND
ISOLATED, CROSS, PORTFOLIO, VAR, MAX = range(5)
RISK, LIQUIDATION = 1, 2
QUOTE, WETH = protocol.QUOTE, protocol.WETH
NO_RATE = protocol.NO_SOURCES[:4]
BTC, ETH = 1, 2
SPOT = {BTC: 70_000.0, ETH: 2000.0}
SCAN_RANGE = 0.16
FOR_EVER = protocol.FOR_EVER
SCOPE_TRADE, SCOPE_FUNDS, SCOPE_ALL = protocol.SCOPE_TRADE, protocol.SCOPE_FUNDS, protocol.SCOPE_ALL
# Days from the start, a Friday at 08:00 UTC, to the expiries: a week, a month and a quarter that the rules list.
EXPIRY_DAYS = (7, 28, 91)
A_START = 1_770_364_800
# EIP-7825: no transaction may ask for more gas since Osaka.
TRANSACTION_GAS_LIMIT = 2**24

Leg = protocol.Leg
Order, Consent = protocol.Order, protocol.Consent


# ------------------------------------------------------------------------------------------------------------- markets


def flat_market(spot: float, now: int, days: Sequence[int] = EXPIRY_DAYS, rate: float = 0.04) -> Underlying:
    """An underlying with a plain smile of about 70% vol and all prices at spot."""
    rows = tuple(
        Expiry(now + d * DAY, spot, rate, SVI(0.2 * d / 365, 0.6 * d / 365, -0.25, 0.02, 0.4, d / 365, spot))
        for d in days
    )
    return Underlying(spot, 0.001, SCAN_RANGE, spot, rows)


def moved(u: Underlying, factor: float) -> Underlying:
    """The underlying with every price times a factor, its surface where it was."""
    rows = tuple(replace(e, forward=round(e.forward * factor, 9)) for e in u.expiries)
    return replace(u, spot=round(u.spot * factor, 9), perp_mark=round(u.perp_mark * factor, 9), expiries=rows)


# ---------------------------------------------------------------------------------------------------------- arguments


def perp(size: float, price: float = SPOT[ETH], underlying: int = ETH) -> Leg:
    """`IExchange.Leg` of a perpetual; the side whose order it is in receives the size."""
    return (underlying, 0, 0, PERP, chain.scaled(size, 6), chain.scaled(price, 9))


def future(expiry: int, size: float, price: float = SPOT[ETH], underlying: int = ETH) -> Leg:
    """A dated future."""
    return (underlying, expiry, 0, FUTURE, chain.scaled(size, 6), chain.scaled(price, 9))


def call(expiry: int, strike: float, size: float, price: float = 0.0, underlying: int = ETH) -> Leg:
    """A call, paid for in cash."""
    return (underlying, expiry, chain.scaled(strike, 6), CALL, chain.scaled(size, 6), chain.scaled(price, 9))


def put(expiry: int, strike: float, size: float, price: float = 0.0, underlying: int = ETH) -> Leg:
    """A put, paid for in cash."""
    return (underlying, expiry, chain.scaled(strike, 6), PUT, chain.scaled(size, 6), chain.scaled(price, 9))


def worth(leg: Leg) -> int:
    """size * price of a leg, exact at 1e-18."""
    return leg[4] * leg[5] * 1000


def instrument(leg: Leg) -> int:
    """What the upper 112 bits of its position word say."""
    return chain.pack(*leg[:4], 1) >> 144


def action(kind: int, account: int = 0, **fields: Any) -> tuple[Any, ...]:
    """`IClearingHouse.Action`, with nothing in the fields that are not named."""
    row: dict[str, Any] = {
        "counterparty": 0,
        "collateral": 0,
        "amount": 0,
        "recipient": EMPTY,
        "data": b"",
    }
    assert set(fields) <= set(row)
    return (kind, account, *(row | fields).values())


def usd(amount: float) -> int:
    """Units of the quote token, which has 6 decimals."""
    return chain.scaled(amount, 6)


# ------------------------------------------------------------------------------------------------------------- answers


def reason(error: ContractLogicError) -> str:
    """The reason of a revert; "" where it gave none, as the lock and the ABI decoder do."""
    data = str(error.data or "")
    if data.startswith("0x08c379a0"):
        return str(decode(["string"], bytes.fromhex(data[10:]))[0])
    assert data in ("", "0x"), f"neither a reason nor nothing: {data}"
    return ""


def size_of(word: int) -> int:
    """The size field of a position word, 1e-6 units."""
    size = (word >> 80) & (2**64 - 1)
    return size - 2**64 if size >= 2**63 else size


# --------------------------------------------------------------------------------------------------------------- world


@dataclass(repr=False)
class World:
    """The protocol, its users, and the accounts that three of them start with."""

    protocol: protocol.Protocol
    contracts: Any
    ape_chain: Any
    start: int
    owner: Any
    guardian: Any
    taker: Any
    maker: Any
    operator: Any
    stranger: Any
    bidder: Any
    heir: Any
    # 100,000 USD, and ten million each.
    taking: int = 0
    making: int = 0
    bidding: int = 0
    # Receives the fees.
    collecting: int = 0
    nonce: int = 0
    markets: dict[int, Underlying] = field(default_factory=dict)

    @property
    def house(self) -> Any:
        return self.protocol.clearing_house

    @property
    def collaterals(self) -> Any:
        return self.protocol.collaterals

    @property
    def exchange(self) -> Any:
        return self.protocol.exchange

    @property
    def liquidation(self) -> Any:
        return self.protocol.liquidation

    @property
    def quote(self) -> Any:
        return self.protocol.quote

    @property
    def weth(self) -> Any:
        return self.protocol.weth

    @property
    def week(self) -> int:
        return self.start + EXPIRY_DAYS[0] * DAY

    @property
    def month(self) -> int:
        return self.start + EXPIRY_DAYS[1] * DAY

    @property
    def quarter(self) -> int:
        return self.start + EXPIRY_DAYS[2] * DAY

    # ----------------------------------------------------------------------------------------------------- accounts

    def open(self, user: Any, usd: float = 0.0, ether: float = 0.0, mode: int = PORTFOLIO) -> int:
        """A new account with freshly minted collateral."""
        names = {number: name for name, number in chain.MODES.items()}
        account = protocol.create_account(self.protocol, user, names[mode])
        protocol.fund(self.protocol, user, account, usd, ether)
        return account

    def give(self, token: Any, user: Any, units: int) -> None:
        """Tokens that the clearing house may take."""
        token.mint(user, units, sender=user)
        token.approve(self.house, units, sender=user)

    def user(self, account: int) -> Any:
        """Whose an account is."""
        address = self.house.owner_of(account)
        users = (self.owner, self.guardian, self.taker, self.maker, self.operator, self.stranger, self.bidder)
        return next(user for user in users if user.address == address)

    def drain(self, account: int) -> None:
        """Withdraw all cash that initial margin allows: a unit more would be refused."""
        amount = min(self.freedom(account), self.house.cash(account)) // 10**12
        self.house.withdraw(account, QUOTE, amount, self.user(account), sender=self.user(account))

    def list_kind(
        self, token: Any, peg: int | None = WAD, underlying: int = 0, rate: tuple[Any, ...] = NO_RATE, limit: int = 0
    ) -> tuple[int, Any]:
        """List a token with haircuts of 10% and 5%, up to a million; its kind, and the source of its peg if it has one.

        `rate` are source, selector, decimals and growth a day; `limit` is that of withdrawals, token units a day.
        """
        source = None if peg is None else self.owner.deploy(self.contracts.PegSource, peg)
        cap = 10 ** (6 + token.decimals())
        terms = (token, underlying, WAD // 10, WAD // 20, cap, limit, (*rate, source or EMPTY))
        self.collaterals.list_collateral(terms, sender=self.owner)
        return self.collaterals.count(), source

    # ------------------------------------------------------------------------------------------------------- trades

    def order(self, account: int, *legs: Leg, **fields: Any) -> Order:
        """An order of an account, with a nonce of its own."""
        self.nonce += 1
        return Order(account, tuple(sorted(legs)), **{"nonce": self.nonce} | fields)

    def signed(self, order: Order, signer: Any = None) -> Consent:
        """Signed by the account's owner, if by nobody else."""
        return protocol.signed(self.protocol, signer or self.user(order.account), order)

    def called(self, order: Order, signer: Any = None) -> Consent:
        """Without a signature: the signer calls, or has approved."""
        return Consent(order, getattr(signer or self.user(order.account), "address", signer))

    def digest(self, order: Order) -> bytes:
        """`hash_order`."""
        return bytes(self.exchange.hash_order(order.row))

    def data(self, taker: int, maker: int, *legs: Leg) -> bytes:
        """What `trade` takes: the taker's owner calls; the maker's signed, or is the same."""
        order, other = self.order(taker, *legs), self.order(maker, *protocol.opposite(legs), counterparty=taker)
        alike = self.house.owner_of(taker) == self.house.owner_of(maker)
        return protocol.submission(self.called(other) if alike else self.signed(other), self.called(order))

    def trade(self, taker: int, maker: int, *legs: Leg) -> Any:
        """Trade; the receipt."""
        return self.house.trade(self.data(taker, maker, *legs), sender=self.user(taker))

    def try_trade(self, taker: int, maker: int, *legs: Leg) -> str | None:
        """The reason why a trade is refused; None where it passes."""
        return self.tries(self.house.trade, self.data(taker, maker, *legs), sender=self.user(taker))

    def trade_action(self, taker: int, maker: int, *legs: Leg) -> tuple[Any, ...]:
        """The same trade as a step of a batch."""
        return action(TRADE, data=self.data(taker, maker, *legs))

    def charge(self, schedule: fees.Fees = fees.HOUSE, account: int | None = None) -> None:
        """Set fees; there are none at the start."""
        receiver = self.collecting if account is None else account
        self.exchange.set_fees(protocol.fee_schedule(schedule, receiver), sender=self.owner)

    # ------------------------------------------------------------------------------------------------- liquidations

    def bid(self, account: int, bidder: int, kind: int, sender: Any = None, **fields: Any) -> Any:
        """Bid, without limits but for those named; the receipt."""
        data = protocol.bid(kind, **fields)
        return self.house.bid(account, bidder, data, sender=sender or self.user(bidder))

    def try_bid(self, account: int, bidder: int, kind: int, sender: Any = None, **fields: Any) -> str | None:
        """Why a bid is refused; None where it passes."""
        data = protocol.bid(kind, **fields)
        return self.tries(self.house.bid, account, bidder, data, sender=sender or self.user(bidder))

    def bid_action(self, account: int, bidder: int, kind: int, **fields: Any) -> tuple[Any, ...]:
        """The same bid as a step of a batch."""
        return action(BID, account, counterparty=bidder, data=protocol.bid(kind, **fields))

    def start_auction(self, account: int, starter: int | None = None) -> Any:
        """Start the auction of an account, by the bidder's account if by no other; the receipt."""
        return self.bid(account, starter or self.bidding, START)

    def sell(self, account: int, bidder: int | None = None, kind: int = SOLVENT, **fields: Any) -> Any:
        """Sell the largest slice of an account, or less, its auction started before; the event of the sale."""
        if self.liquidation.auction_of(account).started == 0:
            self.start_auction(account)
        receipt = self.bid(account, bidder or self.bidding, kind, **fields)
        return receipt.events.filter(self.liquidation.Sold)[0]

    def quote_of(self, account: int) -> Any:
        """`ILiquidation.Quote`."""
        return self.liquidation.quote(account)

    def set_terms(self, **changed: int) -> None:
        """Change some terms of liquidation."""
        terms = protocol.LIQUIDATION | changed
        assert set(changed) <= set(protocol.LIQUIDATION)
        self.liquidation.set_terms(tuple(terms.values()), sender=self.owner)

    def back(self, usd: float) -> None:
        """Put cash into the fund: a deposit of the owner in its junior tranche."""
        units, junior = chain.scaled(usd, 6), self.protocol.junior
        if units:
            self.quote.mint(self.owner, units, sender=self.owner)
            self.quote.approve(junior, units, sender=self.owner)
            junior.deposit(units, self.owner, sender=self.owner)

    # -------------------------------------------------------------------------------------------------------- calls

    def around(self, **changed: Any) -> tuple[Any, ...]:
        """Arguments of `set_contracts`: those that are there, portfolio mode for everybody, and what is to change."""
        p = self.protocol
        names = ("report", "exchange", "liquidation", "collaterals", "money_market")
        return tuple(({name: getattr(p, name) for name in names} | {"admission": EMPTY} | changed).values())

    def tries(self, handler: Any, *arguments: Any, sender: Any) -> str | None:
        """The reason why a call reverts, None where it passes. The chain stays as it is."""
        transaction = {
            "to": handler.contract.address,
            "from": getattr(sender, "address", sender),
            "data": "0x" + bytes(handler.encode_input(*arguments)).hex(),
            "gas": 10**9,
        }
        try:
            self.ape_chain.provider.web3.eth.call(transaction)
        except ContractLogicError as error:
            return reason(error)
        return None

    def gas(self, handler: Any, *arguments: Any, sender: Any) -> int:
        """What a call uses as a transaction, by a call that is given so much and one in its stead."""
        data = "0x" + bytes(handler.encode_input(*arguments)).hex()
        transaction = {"to": handler.contract.address, "from": sender.address, "data": data, "gas": 10**9}
        return int(self.ape_chain.provider.web3.eth.estimate_gas(transaction))

    # ------------------------------------------------------------------------------------------------ time and market

    @property
    def now(self) -> int:
        return int(self.ape_chain.blocks.head.timestamp)

    def wait(self, seconds: int) -> None:
        """Mine a block so much later."""
        self.ape_chain.mine(timestamp=self.now + seconds)

    def go_stale(self) -> None:
        """Let every price outlive its heartbeat."""
        self.wait(chain.HEARTBEAT_SECONDS + 1)

    def publish(self, underlying: int, state: Underlying) -> None:
        """Publish an underlying as of a second later than the last block; new ones with a scan range that stays."""
        if self.protocol.market_data.dynamics(underlying).scan_range == 0:
            terms = chain.fixed_terms(state.scan_range)
            self.protocol.market_data.set_terms(underlying, terms, sender=self.owner)
        self.wait(1)
        update = chain.update(underlying, state, self.now, chain.Clock(0))
        self.protocol.market_data.publish(update, sender=self.owner)
        self.markets[underlying] = state

    def move(self, factor: float, underlying: int = ETH) -> None:
        """Multiply the prices of the start."""
        self.publish(underlying, moved(flat_market(SPOT[underlying], self.start), factor))

    # ------------------------------------------------------------------------------------------------------- figures

    def figures(self, account: int) -> Any:
        """`IMarginEngine.Assessment`."""
        return self.house.assess(account)

    def health(self, account: int) -> int:
        """E_mm - MM."""
        f = self.figures(account)
        return int(f.equity_maintenance - f.maintenance)

    def freedom(self, account: int) -> int:
        """E_im - IM: what can be withdrawn of an account that has the cash."""
        f = self.figures(account)
        return int(f.equity_initial - f.initial)

    def marked(self, leg: Leg) -> Leg:
        """An option at the engine's mark, rounded by less than 1e-9 USD in the taker's favour."""
        word = chain.pack(*leg[:4], 10**6)
        value = int(self.protocol.engine.assess((PORTFOLIO, 0, 0, [], [word])).option_value)
        return (*leg[:5], value // 10**9 if leg[4] > 0 else -(-value // 10**9))

    def sizes(self, account: int) -> dict[int, int]:
        """Size by instrument, 1e-6 units."""
        return {word >> 144: size_of(word) for word in self.house.book(account)}

    def state(self, *accounts: int) -> list[Any]:
        """Everything that accounts have and owe."""
        kinds = range(1, self.collaterals.count() + 1)
        return [
            (
                list(self.house.book(a)),
                self.house.cash(a),
                self.house.cost(a),
                [self.house.balance_of(a, kind) for kind in kinds],
                self.house.mode_of(a),
            )
            for a in accounts
        ]

    def stored_cash(self, account: int) -> int:
        """Cash as of the account's last act, 1e-18: the upper 160 bits of its word."""
        word = int(self.house.cash_word(account))
        return (word - 2**256 if word >= 2**255 else word) >> 96

    def check_ledger(self) -> None:
        """INV-01, INV-02 and INV-03, exactly."""
        accounts = range(1, self.house.account_count() + 1)
        sums: dict[int, int] = {}
        for account in accounts:
            for name, size in self.sizes(account).items():
                sums[name] = sums.get(name, 0) + size
        assert not any(sums.values()), "INV-01"
        # As of their last acts: interest since then is neither in the cash nor in the reserve.
        owed = self.house.reserve() + sum(self.stored_cash(a) - self.house.cost(a) for a in accounts)
        credited = self.house.credited(QUOTE)
        assert owed == credited * self.collaterals.unit(QUOTE), "INV-02"
        assert credited <= self.quote.balanceOf(self.house), "INV-02"
        for kind in range(1, self.collaterals.count() + 1):
            held = self.contracts.Token.at(self.collaterals.terms(kind).token).balanceOf(self.house)
            assert sum(self.house.balance_of(a, kind) for a in accounts) == self.house.credited(kind) <= held, "INV-03"


def deploy_world(contracts: Any, accounts: Any, ape_chain: Any, quote_decimals: int = 6) -> World:
    """Deploy everything, publish a market, fund a taker, a maker and a bidder."""
    owner = accounts[0]
    tokens = protocol.Tokens(
        owner.deploy(contracts.Token, "USD Coin", "USDC", quote_decimals),
        owner.deploy(contracts.Token, "Wrapped Ether", "WETH", 18),
    )
    ids = {"BTC": BTC, "ETH": ETH}
    terms = chain.fixed_terms(SCAN_RANGE)
    deployed = protocol.deploy(
        contracts,
        owner,
        methodology.load("house"),
        ids,
        tokens,
        terms=terms,
        trusted=True,
        rows=scenario_set.synthetic(),
    )
    head = int(ape_chain.blocks.head.timestamp)
    start = A_START + listing.shift(A_START, [A_START + days * DAY for days in EXPIRY_DAYS], head)
    ape_chain.mine(timestamp=start)
    world = World(deployed, contracts, ape_chain, start, *accounts[:8])
    world.collecting = deployed.exchange.fee_schedule().account
    world.charge(fees.Fees(0.0, 0.0, 0.0))
    for underlying in SPOT:
        world.move(1.0, underlying)
    world.house.set_guardian(world.guardian, sender=owner)
    world.taking = world.open(world.taker, usd=100_000)
    world.making = world.open(world.maker, usd=10_000_000)
    world.bidding = world.open(world.bidder, usd=10_000_000)
    return world
