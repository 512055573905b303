"""An auction and a loss in time, on a deployment of their own: what a keeper buys, and who bears what it cannot sell.

Perpetuals alone, whose mark is spot, and no interest: so every account's worth is a whole number of 1e-18 USD, and
their sum is the tokens in the vault, to the last unit.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from python_model import methodology
from python_model.keeper import Policy
from python_model.portfolio import Underlying
from scripts import chain, protocol
from scripts.keeper_records import Journal, Metrics
from scripts.keeping import Keeper, connect
from scripts.wallet import ApeWallet

ETH = 1
WAD = 10**18
DAY, HOUR, MINUTE = 86_400, 3_600, 60
ENTRY, SICK, SICKER, FALLEN = 2_000.0, 1_700.0, 1_590.0, 1_000.0
DEPOSITED, PERPS = 4_500.0, 10.0
JUNIOR, SENIOR = 1_000.0, 2_000.0
# A keeper that waits for a discount which pays so much, USD, and a price that falls once more on the way.
PROFIT, ROUNDS, AGAIN = 60.0, 24, 9
RICH = {"maker": 100_000.0, "bidder": 100_000.0}
NOMINATIONS = 30 * MINUTE
WITHDRAWN, INCOME = 50_000.0, 500.0


# How often `play` tells that it has come further.
STEPS = ROUNDS + 9


@dataclass(frozen=True)
class Look:
    """An account in its auction: minutes since the first price, USD, and the discount; what was sold then."""

    minute: float
    equity: float
    maintenance: float
    initial: float
    discount: float
    sold: float = 0.0
    price: float = 0.0


@dataclass(frozen=True)
class Moment:
    """A stage of the loss: minutes since prices fell, what happened, whose money there is (1e-18 USD), who bears what.

    `worth` is by party, and sums to the same at every moment; `borne` by who has lost so much by this loss.
    """

    minute: float
    words: str
    worth: dict[str, int]
    borne: dict[str, int]


@dataclass
class Scene:
    """A deployment, its users by role, and the clock."""

    p: protocol.Protocol
    provider: Any
    owner: Any
    users: dict[str, tuple[Any, int]]
    nonce: int = 0
    spot: float = ENTRY
    withdrawn: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def publish(self, seconds: int, spot: float) -> None:
        """A price, so much later."""
        now = int(self.provider.get_block("latest").timestamp) + seconds
        self.provider.set_timestamp(now)
        update = chain.update(ETH, Underlying(spot, 0.001, 0.16, spot, ()), now, chain.Clock(0))
        self.p.market_data.publish(update, sender=self.owner)
        self.spot = spot

    @property
    def now(self) -> int:
        """Of the last block."""
        return int(self.provider.get_block("latest").timestamp)

    def account(self, role: str) -> int:
        """The id of a user's account."""
        return self.users[role][1]

    def trade(self, taker: str, maker: str, size: float) -> None:
        """Perpetuals at spot."""
        self.nonce += 1
        leg = (ETH, 0, 0, 0, chain.scaled(size, 6), chain.scaled(self.spot, 9))
        protocol.trade(self.p, self.users[taker], self.users[maker], [leg], self.nonce)

    def worth(self, account: int) -> int:
        """Cash less cost, and perpetuals at spot."""
        house = self.p.clearing_house
        sizes = sum(((word >> 80) + 2**63) % 2**64 - 2**63 for word in house.book(account))
        mark = chain.scaled(self.spot, 9)
        return int(protocol.stored_cash(self.p, account) - house.cost(account) + sizes * mark * 1000)

    def parties(self) -> dict[str, int]:
        """Whose the tokens in the vault are, and those that were withdrawn; the fund may owe."""
        rows = {role: self.worth(account) for role, (_, account) in self.users.items()}
        pool = self.p.backstop.pool()
        rows |= {"junior": int(pool.assets[0]), "senior": int(pool.assets[1])}
        # Income that is not released yet, or what it owes.
        rows["fund"] = int(pool.income) + min(int(pool.cash), 0)
        rows["claims"] = self.worth(int(self.p.backstop.claims_account()))
        return rows | {"withdrawn": self.withdrawn}

    @property
    def held(self) -> int:
        """Tokens in the vault, and those that were withdrawn, 1e-18 USD."""
        return int(self.p.quote.balanceOf(self.p.clearing_house)) * 10**12 + self.withdrawn


@dataclass(frozen=True)
class Story:
    """The auction minute by minute, the loss stage by stage, and whether its sums hold to the last unit."""

    looks: tuple[Look, ...]
    moments: tuple[Moment, ...]
    holds: bool


def set_scene(contracts: Any, accounts: Any, funds: dict[str, float]) -> Scene:
    """Deploy, fund users by role, USD, and let 08:00 pass twice: a deleveraging counts gains from those prices."""
    owner, *others = accounts
    tokens = protocol.deploy_tokens(contracts, owner)
    house = methodology.load("house")
    p = protocol.deploy(contracts, owner, house, {"ETH": ETH}, tokens, terms=chain.fixed_terms(0.16), trusted=True)
    p.money_market.set_interest_rates(protocol.NOBODY, sender=owner)
    p.exchange.set_fees((0, 0, 0, 0), sender=owner)
    scene = Scene(p, p.clearing_house.provider, owner, {})
    scene.publish(DAY - (scene.now - 15 * HOUR // 2) % DAY, ENTRY)
    for _ in range(2):
        scene.publish(DAY, ENTRY)
    for (role, usd), user in zip(funds.items(), others, strict=False):
        account = protocol.create_account(p, user)
        protocol.fund(p, user, account, usd)
        scene.users[role] = (user, account)
    for tranche, usd in ((p.junior, JUNIOR), (p.senior, SENIOR)):
        units = chain.scaled(usd, 6)
        p.quote.mint(owner, units, sender=owner)
        p.quote.approve(tranche, units, sender=owner)
        tranche.deposit(units, owner, sender=owner)
    return scene


def auction(scene: Scene, advance: Callable[[], None]) -> list[Look]:
    """A keeper watches the chain, once a minute, and buys when the discount pays what it wants."""
    p, account = scene.p, scene.account("patient")
    scene.trade("patient", "maker", PERPS)
    user, bidding = scene.users["bidder"]
    wallet = ApeWallet(user, scene.provider)
    policy = Policy(minimum_profit=PROFIT, hedge_multiple=1.0)
    keeper = Keeper(
        connect(p, scene.provider),
        methodology.load("house"),
        policy,
        bidding,
        wallet,
        Journal(io.StringIO()),
        Metrics(),
    )
    looks: list[Look] = []
    sold = p.liquidation.Sold
    begin = scene.now
    for n in range(ROUNDS):
        scene.publish(MINUTE if n else 1, SICK if n < AGAIN else SICKER)
        looks.append(look(scene, account, begin))
        block = scene.provider.get_block("latest").number
        keeper.round()
        head = scene.provider.get_block("latest").number
        for event in sold.range(block + 1, head + 1) if head > block else ():
            looks.append(look(scene, account, begin, event))
        advance()
    return looks


def look(scene: Scene, account: int, begin: int, event: Any = None) -> Look:
    """The account now, and what was just sold of it."""
    figures = scene.p.clearing_house.assess(account)
    auction = scene.p.liquidation.auction_of(account)
    quote = scene.p.liquidation.quote(account)
    return Look(
        minute=(scene.now - begin) / MINUTE,
        equity=chain.as_float(figures.equity_maintenance),
        maintenance=chain.as_float(figures.maintenance),
        initial=chain.as_float(figures.initial),
        discount=chain.as_float(quote.discount) if auction.started else 0.0,
        sold=chain.as_float(event.fraction) if event is not None else 0.0,
        price=chain.as_float(event.price) if event is not None else 0.0,
    )


def loss(scene: Scene, advance: Callable[[], None]) -> list[Moment]:
    """A gap, and what follows: the account, junior, senior, counterparties, everybody; and back."""
    p, account, rounds = scene.p, scene.account("trader"), scene.p.deleveraging
    anyone = scene.owner
    scene.publish(1, ENTRY)
    scene.trade("trader", "counterparty", 4.0)
    scene.trade("trader", "maker", 6.0)
    p.backstop.sync(sender=anyone)
    moments: list[Moment] = []
    pool = p.backstop.pool()
    deposited = {"junior": int(pool.assets[0]), "senior": int(pool.assets[1])}
    begin = scene.now

    def note(words: str) -> None:
        p.backstop.sync(sender=anyone)
        worth = scene.parties()
        borne = {
            "trader": chain.wad(DEPOSITED) - max(worth["trader"], 0),
            **{tranche: assets - worth[tranche] for tranche, assets in deposited.items()},
            "counterparties": scene.lost.get("counterparties", 0),
            "everybody's cash": max(-worth["fund"], 0),
            "who withdrew": int(p.backstop.lacking()),
            "nobody yet": max(-worth["trader"], 0),
        }
        moments.append(Moment((scene.now - begin) / MINUTE, words, worth, borne))
        advance()

    note("before")
    scene.publish(1, FALLEN)
    note("the price halves")
    user, bidding = scene.users["bidder"]
    p.clearing_house.bid(account, bidding, protocol.bid(protocol.START), sender=user)
    scene.publish(HOUR, FALLEN)
    note("auctioned for an hour")
    rounds.open(account, sender=anyone)
    rounds.nominate(account, scene.account("counterparty"), sender=anyone)
    scene.publish(NOMINATIONS, FALLEN)
    receipt = rounds.close(account, 16, sender=anyone)
    scene.lost["counterparties"] = sum(int(e.loss) for e in receipt.events.filter(rounds.Deleveraged))
    note("deleveraged")
    p.clearing_house.bid(account, bidding, protocol.bid(protocol.INSOLVENT), sender=user)
    note("sold, the fund owes")
    maker, making = scene.users["maker"]
    before = int(p.quote.balanceOf(maker))
    p.clearing_house.withdraw(making, protocol.QUOTE, chain.scaled(WITHDRAWN, 6), maker, sender=maker)
    scene.withdrawn += (int(p.quote.balanceOf(maker)) - before) * 10**12
    note("a withdrawal is cut")
    hole = moments[-1].borne["everybody's cash"] + moments[-1].borne["who withdrew"]
    p.clearing_house.set_member(anyone, True, sender=anyone)
    for part, words in ((hole // 2, "income covers half"), (hole - hole // 2 + chain.wad(INCOME), "income covers all")):
        scene.publish(DAY, FALLEN)
        # What the bidder's trades would bring in fees, all at once.
        p.clearing_house.post(bidding, [], -part, 0, sender=anyone)
        p.clearing_house.post(protocol.FUND, [], part, 0, sender=anyone)
        note(words)
    p.backstop.recover(making, sender=anyone)
    note("the claim is paid")
    return moments


def play(contracts: Any, accounts: Any, advance: Callable[[], None]) -> Story:
    """Both stories. Moves the chain's clock by days.

    Parameters
    ----------
    contracts : namespace of ape contract containers
    accounts : ape accounts, the first of which deploys; six at least
    advance : callable
        Told after each of STEPS steps.
    """
    looks = auction(set_scene(contracts, accounts, {"patient": DEPOSITED} | RICH), advance)
    scene = set_scene(contracts, accounts, {"trader": DEPOSITED, "counterparty": 100_000.0} | RICH)
    moments = loss(scene, advance)
    sums = {sum(m.worth.values()) for m in moments}
    return Story(tuple(looks), tuple(moments), sums == {scene.held})
