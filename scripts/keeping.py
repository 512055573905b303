"""The rounds of a keeper: read what changed, reprice everybody at once, ask the chain about few, start, bid and end.

Everything is on the chain: a keeper that was killed, at whatever point, reads it again and goes on. What to do is
decided in `python_model.keeper`, what is on the chain is read by `scripts.chain_state`; here are order, transactions
and figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eth_abi.abi import decode

from python_model import keeper
from python_model.keeper import Act, Candidate, Policy, Purse, Step
from python_model.methodology import Methodology
from python_model.portfolio import Collateral, Market
from python_model.screening import Books, Figures, reprice
from scripts import chain, protocol
from scripts.chain_state import Account, Auction, ChainError, Head, Node, Refused, View, World, books, expiries, reason
from scripts.keeper_records import Hedge, Journal, Metrics, Purchase, Report
from scripts.wallet import Wallet

# Kinds of bid by act; ends and absorptions are functions of their own.
KINDS = {
    Act.START: protocol.START,
    Act.MARK: protocol.START,
    Act.SOLVENT: protocol.SOLVENT,
    Act.INSOLVENT: protocol.INSOLVENT,
}
QUOTED = {protocol.SOLVENT: Act.SOLVENT, protocol.INSOLVENT: Act.INSOLVENT}
# Seconds to wait for a transaction before the round goes on without it.
PATIENCE, POLL = 120.0, 0.05
# Of whose events nodes tell at once; whoever slept longer reads everything anew.
MOST_BLOCKS = 1_000
# Transactions in flight: nodes promise a place to no more of one sender.
IN_FLIGHT = 16
GWEI = 10**9
WAD = 1e18


class Keeper:
    """Watches the accounts of one deployment, and acts for one bidder's account."""

    def __init__(
        self,
        world: World,
        method: Methodology,
        policy: Policy,
        bidder: int,
        wallet: Wallet | None,
        journal: Journal,
        metrics: Metrics,
        hedge: Hedge | None = None,
        workers: int = 1,
        tip: int = GWEI // 10,
    ) -> None:
        """A keeper that has not looked yet.

        Parameters
        ----------
        world : World
        method : Methodology
            That of the engine.
        policy : Policy
        bidder : int
            Account of the house that is rewarded and buys.
        wallet : Wallet, optional
            Who may trade for it; without one nothing is sent.
        journal, metrics
        hedge : callable, optional
            Told of every purchase. What it raises is logged and stops nothing.
        workers : int
            Threads of repricing.
        tip : int
            Priority fee, wei.
        """
        self.world, self.method, self.policy = world, method, policy
        self.bidder, self.wallet, self.hedge = bidder, wallet, hedge
        self.journal, self.metrics = journal, metrics
        self.workers, self.tip = workers, tip
        house, liquidation = world.deployed.clearing_house, world.deployed.liquidation
        self.bid, self.end, self.absorb = View.of(house.bid), View.of(liquidation.end), View.of(liquidation.absorb)
        self.forget()

    # ------------------------------------------------------------------------------------------------- what is known

    def forget(self) -> None:
        """Know nothing, so that the next round reads everything."""
        self.seen: Head | None = None
        self.accounts: dict[int, Account] = {}
        self.auctions: dict[int, Auction] = {}
        self.kinds = 0
        self.rows: tuple[list[int], Books] | None = None
        self.listed: tuple[str, ...] = ()
        self.terms = keeper.Terms()

    def look(self, report: Report) -> Head:
        """Bring what is known up to the latest block: all of it at first, and after a reorganisation."""
        head = self.world.head()
        if self.seen is not None and (
            head.number < self.seen.number or self.world.block_hash(self.seen.number) != self.seen.hash
        ):
            self.journal.write("reorganised", block=head.number, before=self.seen.number)
            self.forget()
        if self.seen is not None and head.number - self.seen.number > MOST_BLOCKS:
            self.forget()
        (count,) = self.world.node.sure([(self.world.views["count"], ())], head.tag)
        self.read_terms(head)
        if self.seen is None:
            wanted = set(range(1, count + 1))
            (self.kinds,) = self.world.node.sure([(self.world.views["kinds"], ())], head.tag)
        elif head.number == self.seen.number:
            wanted = set()
        else:
            touched, _ = self.world.touched(self.seen.number + 1, head.number)
            new = set(range(max(self.accounts, default=0) + 1, count + 1))
            wanted = {i for i in touched if 1 <= i <= count} | new | {protocol.FUND}
            (kinds,) = self.world.node.sure([(self.world.views["kinds"], ())], head.tag)
            if kinds != self.kinds:
                wanted, self.kinds = set(range(1, count + 1)), kinds
        if wanted:
            ids = sorted(wanted)
            self.accounts |= self.world.accounts(ids, self.kinds, head.tag)
            running = self.world.auctions(ids, head.tag)
            self.auctions = {i: a for i, a in self.auctions.items() if i not in wanted} | running
            self.rows = None
        self.seen = head
        report.block, report.accounts, report.read = head.number, len(self.accounts), len(wanted)
        return head

    def read_terms(self, head: Head) -> None:
        """How prices fall, as the contract has it now."""
        (t,) = self.world.node.sure([(self.world.views["terms"], ())], head.tag)
        self.terms = keeper.Terms(
            insolvent_seconds=t["insolvent_seconds"],
            solvent_seconds=t["solvent_seconds"],
            minimum_slice=t["minimum_slice"] / WAD,
            reward=t["reward"] / WAD,
            reward_share=t["reward_share"] / WAD,
            first_discount=t["first_discount"] / WAD,
        )

    def screen(self, head: Head) -> tuple[list[int], Figures, Market]:
        """Reprice everybody at the market of a block; ids of the rows, their figures, and the market."""
        market = self.world.market(expiries(self.accounts.values()), head)
        kinds: tuple[Collateral, ...] = self.world.collateral(head.tag)
        if self.rows is None or self.listed != tuple(sorted(market.underlyings)):
            ids = sorted(self.accounts)
            self.listed = tuple(sorted(market.underlyings))
            names = self.world.deployed.names
            self.rows = ids, books([self.accounts[i] for i in ids], names, self.listed, self.kinds)
        ids, rows = self.rows
        began = time.perf_counter()
        figures = reprice(rows, market, kinds, self.method, self.workers)
        self.metrics.repricing.observe(time.perf_counter() - began)
        self.ask_tails(ids, figures, head)
        return ids, figures, market

    def ask_tails(self, ids: Sequence[int], figures: Figures, head: Head) -> None:
        """Put the chain's requirements in the place of the grid's where an account is margined by a scenario set."""
        found = [(k, i) for k, i in enumerate(ids) if self.accounts[i].by_tail and self.accounts[i].words]
        answers = self.world.node.calls([(self.world.views["assess"], (i,)) for _, i in found], head.tag)
        for (k, i), answer in zip(found, answers, strict=True):
            if isinstance(answer, Refused):
                self.journal.write("no figures", account=i, why=answer.reason)
                continue
            figures.maintenance[k], figures.initial[k] = answer["maintenance"] / WAD, answer["initial"] / WAD

    def ask(self, ids: Sequence[int], rows: Mapping[int, int], figures: Figures, block: str) -> list[Candidate]:
        """What the chain says of some accounts now."""
        quotes = self.world.node.calls([(self.world.views["quote"], (i,)) for i in ids], block)
        auctions = self.world.auctions(ids, block)
        found = []
        for i, quote in zip(ids, quotes, strict=True):
            if isinstance(quote, Refused):
                self.journal.write("no quote", account=i, why=quote.reason)
                continue
            row, account = rows[i], self.accounts[i]
            auction = auctions.get(i, Auction(0, 0, 0))
            found.append(
                Candidate(
                    account=i,
                    unhealthy=quote["unhealthy"],
                    kind=QUOTED.get(quote["kind"]),
                    fraction=quote["fraction"] / WAD,
                    price=quote["price"] / WAD,
                    premium=quote["premium"] / WAD,
                    net_value=quote["net_value"] / WAD,
                    initial_shortfall=float(figures.initial[row] - figures.equity_initial[row]),
                    maintenance=float(figures.maintenance[row]),
                    liquidity=float(figures.liquidity[row]),
                    legs=account.burden,
                    empty=account.is_empty,
                    cash=account.cash / WAD,
                    **asdict(auction),
                )
            )
        return found

    def purse(self, block: str) -> Purse:
        """What bidder and fund have now."""
        fund, figures = self.world.node.sure(
            [(self.world.views["cash"], (protocol.FUND,)), (self.world.views["assess"], (self.bidder,))], block
        )
        free = (figures["equity_initial"] - figures["initial"]) / WAD
        self.metrics.fund.set(fund / WAD)
        self.metrics.free.set(free)
        return Purse(free, fund / WAD, self.accounts[self.bidder].burden if self.bidder in self.accounts else 0)

    # ------------------------------------------------------------------------------------------------------- a round

    def round(self) -> Report:
        """Look, decide and act once; ChainError where the node fails."""
        report, began = Report(), time.perf_counter()

        def lap(phase: str) -> None:
            report.seconds[phase] = time.perf_counter() - began - sum(report.seconds.values())

        head = self.look(report)
        lap("look")
        ids, figures, market = self.screen(head)
        rows = {i: k for k, i in enumerate(ids)}
        lap("screen")
        chosen = keeper.to_check(figures, [rows[i] for i in self.auctions if i in rows], self.policy)
        wanted = [ids[k] for k in chosen.tolist() if ids[k] not in (protocol.FUND, self.bidder)]
        candidates = self.ask(wanted, rows, figures, head.tag)
        report.near = wanted
        report.unhealthy = [c.account for c in candidates if c.unhealthy]
        lap("ask")
        gas_usd = self.gas_price(head) / WAD * market.underlyings["ETH"].spot if "ETH" in market.underlyings else 0.0
        purse = self.purse(head.tag)
        steps = keeper.openings(candidates, purse, self.terms, self.policy, gas_usd, head.timestamp)
        self.send(steps, figures, rows, report)
        lap("open")
        if candidates:
            if report.done:
                # Whose auction was started just now can be bought from.
                head = self.world.head()
                candidates = self.ask(report.unhealthy, rows, figures, head.tag)
                purse = self.purse(head.tag)
            bids, refused = keeper.purchases(
                [c for c in candidates if c.kind is not None],
                purse,
                self.terms,
                self.policy,
                gas_usd,
                head.timestamp,
            )
            for account, why in refused.items():
                self.journal.write("left", account=account, why=why)
            report.refused = len(refused)
            self.send(bids, figures, rows, report)
        lap("buy")
        self.tell(report, head)
        return report

    def tell(self, report: Report, head: Head) -> None:
        """Figures of a round for Prometheus and the journal."""
        m = self.metrics
        m.block.set(report.block)
        m.lag.set(max(time.time() - head.timestamp, 0.0))
        m.accounts.set(report.accounts)
        m.near.set(len(report.near))
        m.unhealthy.set(len(report.unhealthy))
        m.running.set(len(self.auctions))
        total = sum(report.seconds.values())
        m.seconds.observe(total)
        self.journal.write(
            "round",
            block=report.block,
            accounts=report.accounts,
            read=report.read,
            near=len(report.near),
            unhealthy=len(report.unhealthy),
            auctions=len(self.auctions),
            done=report.done,
            failed=report.failed,
            refused=report.refused,
            seconds={**{k: round(v, 3) for k, v in report.seconds.items()}, "all": round(total, 3)},
        )

    # ---------------------------------------------------------------------------------------------------- transactions

    def gas_price(self, head: Head) -> int:
        """What a unit of gas costs now, wei."""
        return head.base_fee + self.tip

    def call_of(self, step: Step) -> tuple[str, str]:
        """Address and calldata of a step."""
        if step.act is Act.END:
            return self.end.address, self.end.data(step.account)
        if step.act is Act.ABSORB:
            return self.absorb.address, self.absorb.data(step.account)
        data = protocol.bid(
            KINDS[step.act],
            fraction=min(chain.wad(step.fraction), protocol.WHOLE),
            min_fraction=chain.wad(step.min_fraction),
            max_price=chain.wad(step.max_price),
            deadline=step.deadline or protocol.FOR_EVER,
        )
        return self.bid.address, self.bid.data(step.account, self.bidder, data)

    def send(self, steps: Sequence[Step], figures: Figures, rows: Mapping[int, int], report: Report) -> None:
        """Try each step on the node, send those that pass, and wait for them."""
        if not steps:
            return
        if self.wallet is None:
            for step in steps:
                self.journal.write("would send", act=step.act, account=step.account, profit=step.profit, why=step.why)
            return
        node, sender, head = self.world.node, self.wallet.address, self.world.head()
        calls = [self.call_of(step) for step in steps]
        tries = node.batch(
            [
                ("eth_call", [{"from": sender, "to": to, "data": data, "gas": hex(step.gas)}, "latest"])
                for step, (to, data) in zip(steps, calls, strict=True)
            ]
        )
        passed = []
        for step, call, answer in zip(steps, calls, tries, strict=True):
            if "error" in answer:
                # Another keeper was first, or the market has moved: nothing is lost but this call.
                self.metrics.sent.labels(step.act, "refused").inc()
                self.journal.write("refused", act=step.act, account=step.account, why=reason(answer["error"]))
            else:
                passed.append((step, call))
        counts = [("eth_getTransactionCount", [sender, tag]) for tag in ("latest", "pending")]
        nonce, pending = (int(n, 16) for n in node.results(counts))
        if pending > nonce:
            self.journal.write("waiting", why=f"{pending - nonce} transactions of {sender} are not mined yet")
            return
        for part in portions(passed, head.gas_limit // 2):
            mined = self.submit(self.wallet, part, nonce, head, figures, rows, report)
            nonce += len(part)
            if not mined:
                break

    def submit(
        self,
        wallet: Wallet,
        part: Sequence[tuple[Step, tuple[str, str]]],
        nonce: int,
        head: Head,
        figures: Figures,
        rows: Mapping[int, int],
        report: Report,
    ) -> bool:
        """Sign and send some transactions from a nonce on; whether all of them are mined."""
        node, hashes, most = self.world.node, {}, self.policy.gas_limit
        fees: dict[str, int | str] = {"max_fee": 2 * head.base_fee + self.tip, "tip": self.tip}
        raw = [
            # What steps before it in the block add to the bidder's book, expiries above all, is known in legs alone.
            wallet.sign({"to": to, "data": data, "gas": min(step.gas * 3 // 2, most), "nonce": nonce + k, **fees})
            for k, (step, (to, data)) in enumerate(part)
        ]
        sent = node.batch([("eth_sendRawTransaction", [data]) for data in raw])
        for (step, _), answer in zip(part, sent, strict=True):
            if "error" in answer:
                self.metrics.sent.labels(step.act, "not sent").inc()
                self.journal.write("not sent", act=step.act, account=step.account, why=reason(answer["error"]))
            else:
                hashes[answer["result"]] = step
        receipts = self.receipts(list(hashes))
        for transaction, receipt in receipts.items():
            self.note(hashes[transaction], transaction, receipt, figures, rows, report)
        return len(hashes) == len(part) and all(receipts.values())

    def receipts(self, hashes: list[str]) -> dict[str, dict[str, Any] | None]:
        """Receipts by hash, None for what is not mined in time."""
        found: dict[str, dict[str, Any] | None] = dict.fromkeys(hashes)
        deadline = time.monotonic() + PATIENCE
        while True:
            open_ones = [h for h in hashes if found[h] is None]
            rows = self.world.node.results([("eth_getTransactionReceipt", [h]) for h in open_ones])
            found |= dict(zip(open_ones, rows, strict=True))
            if all(found.values()) or time.monotonic() > deadline:
                return found
            time.sleep(POLL)

    def note(
        self,
        step: Step,
        transaction: str,
        receipt: dict[str, Any] | None,
        figures: Figures,
        rows: Mapping[int, int],
        report: Report,
    ) -> None:
        """Count and log what became of a step; tell the hedge of a purchase."""
        outcome = "pending" if receipt is None else "done" if int(receipt["status"], 16) else "reverted"
        used = 0 if receipt is None else int(receipt["gasUsed"], 16)
        self.metrics.sent.labels(step.act, outcome).inc()
        self.metrics.gas.inc(used)
        about = {"act": step.act, "account": step.account, "transaction": transaction, "gas": used}
        if outcome != "done":
            report.failed += 1
            self.journal.write(outcome, **about)
            return
        report.done[step.act] = report.done.get(step.act, 0) + 1
        sold = self.sold(receipt or {})
        if sold is None:
            self.journal.write("done", **about, why=step.why)
            return
        fraction, value, price = sold
        self.metrics.bought.inc(max(fraction * value, 0.0))
        self.journal.write("bought", **about, fraction=fraction, price=price, profit=step.profit)
        if self.hedge is not None:
            delta = fraction * figures.delta[rows[step.account]]
            names = dict(zip(self.listed, delta.tolist(), strict=True))
            try:
                self.hedge(Purchase(step.account, fraction, price, names, transaction))
            except Exception as error:  # noqa: BLE001 - a hook of the operator's, which may raise anything
                self.metrics.errors.inc()
                self.journal.write("hedge failed", account=step.account, why=f"{type(error).__name__}: {error}")

    def sold(self, receipt: Mapping[str, Any]) -> tuple[float, float, float] | None:
        """Fraction, net value and price of the sale in a receipt; None where there is none."""
        for row in receipt["logs"]:
            if self.world.topics.get(row["topics"][0], ("",))[0] == "Sold":
                _, fraction, value, price, _ = decode(
                    ["uint256", "uint256", "int256", "int256", "int256"], bytes.fromhex(row["data"][2:])
                )
                return fraction / WAD, value / WAD, price / WAD
        return None

    # ------------------------------------------------------------------------------------------------------ for ever

    def run(self, interval: float, stopped: Callable[[], bool], once: bool = False) -> bool:
        """Rounds, one a block at most, until told to stop; what fails is logged and tried again, later each time.

        Returns
        -------
        bool, whether the last round went well
        """
        failures, before, well = 0, -1, True
        while not stopped():
            try:
                if once or self.world.head().number != before:
                    before = self.round().block
                failures, well = 0, True
            except ChainError as error:
                failures, well = failures + 1, False
                self.metrics.errors.inc()
                self.journal.write("failed", why=str(error), again_in=0 if once else interval * 2 ** min(failures, 5))
                # Half of a round may have been read.
                self.forget()
            if once:
                break
            wake = time.monotonic() + interval * (2 ** min(failures, 5) if failures else 1)
            while time.monotonic() < wake and not stopped():
                time.sleep(min(0.2, interval))
        return well


def portions(rows: Sequence[tuple[Step, tuple[str, str]]], gas: int) -> list[list[tuple[Step, tuple[str, str]]]]:
    """Steps in order, in parts of no more gas together than that, nor more of them than may be in flight."""
    parts: list[list[tuple[Step, tuple[str, str]]]] = []
    left = 0
    for row in rows:
        if not parts or len(parts[-1]) == IN_FLIGHT or row[0].gas > left:
            parts.append([])
            left = gas
        parts[-1].append(row)
        left -= row[0].gas
    return parts


def connect(deployed: protocol.Protocol, provider: Any) -> World:
    """The world of a deployment through the node that ape is connected with."""
    return World(deployed, Node(provider.web3.provider))
