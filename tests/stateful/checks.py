"""What must hold after every act: chain and mirror are equal, margin is the model's, and the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from python_model import volatility
from python_model.methodology import Methodology, without_grid
from python_model.portfolio import Book, Mode
from tests import tolerances
from tests.differential import tail_comparison
from tests.differential.comparison import Differences
from tests.stateful.auctions import AuctionMirror
from tests.stateful.calls import LOGARITHM, Calls
from tests.stateful.mirror import Mirror
from tests.stateful.state import (
    MEMBERS,
    MODE,
    NOBODY,
    TAILS,
    UNIT,
    USDC,
    WAD,
    WETH,
    Account,
    Instrument,
    Judgement,
    Refused,
)
from tests.stateful.world import Call, World, call, reason

# An account's first claim or position brings what M-16 holds against truncations, 1e-14 USD on either side.
ROUNDING = round(tolerances.DUST * WAD)
# Beneath its index an account's word holds its cash; both sides of its bits.
INDEX_BITS, WORD_BITS = 96, 256
# Of rounding, 1e-18 USD, in the protocol's favour: a change of cash rounds its account's and, with the interest until
# then, what debts paid and what credits got, each by less than one; and reading the same of every account and the sums.
CHANGE_DUST, READ_DUST = 3, 3


def instrument(word: int) -> Instrument:
    """What a position word is in."""
    return Instrument(word >> 248, (word >> 216) & (2**32 - 1), (word >> 152) & (2**64 - 1), (word >> 144) & 255)


def size(word: int) -> int:
    """The signed size of a position word."""
    field = (word >> 80) & (2**64 - 1)
    return field - 2**64 if field >= 2**63 else field


def health(figures: Any) -> int:
    """E_mm - MM of an `IMarginEngine.Assessment`."""
    return figures.equity_maintenance - figures.maintenance


def as_tuple(state: Any, mode: Mode | None = None) -> tuple:
    """`IMarginEngine.Account` again, perhaps in another mode."""
    holdings = [tuple(vars(h).values()) for h in state.holdings]
    return (state.mode if mode is None else MODE.index(mode), state.cash, state.cost, holdings, list(state.legs))


def word_of(account: Account) -> int:
    """The word of an account's cash."""
    return (account.cash % 2 ** (WORD_BITS - INDEX_BITS)) << INDEX_BITS | account.index


class Checks(Calls):
    """Reading the chain, and comparing."""

    world: World
    house: Any
    mirror: Mirror
    names: dict[str, int]
    methodology: Methodology
    differences: Differences
    tail_differences: tail_comparison.Differences
    seen: Counter[Any]
    logarithms: dict[Instrument, int]
    judged: dict[tuple, Judgement]

    def assess(self, accounts: Iterable[int]) -> dict[int, Any]:
        """What the contract says of accounts now."""
        rows = sorted(accounts)
        answers = self.world.view([call(self.house, "assess", a) for a in rows], self.mirror.now)
        return dict(zip(rows, answers, strict=True))

    def judge(self, mirror: AuctionMirror, account: Account, evidence: int) -> Judgement:
        """What the engine, or one of evidence, says of an account that need not be on the chain, at the mirror's time.

        Held against the model's figures (INV-06); evidence may ask for less margin, and for no more.
        """
        key = (mirror.now, mirror.prudent(account), *account.key, evidence)
        if key not in self.judged:
            self.judged[key] = self._ask_engine(mirror, account, evidence)
        return self.judged[key]

    def _ask_engine(self, mirror: AuctionMirror, account: Account, evidence: int) -> Judgement:
        p, now = self.world.protocol, mirror.now
        holdings, fresh, stale_value = [], True, 0
        if account.weth:
            one = call(p.collaterals, "holdings", 1 << WETH, [account.weth], p.market_data.address)
            (rows, fresh, stale_value), *_ = self.world.view([one], now)
            holdings = [tuple(vars(row).values()) for row in rows]
        legs = [self.word(i, size) for i, size in sorted(account.legs.items())]
        state = (MODE.index(account.mode), mirror.prudent(account), account.cost, holdings, legs)
        engine = p.engine
        if evidence:
            engine = SimpleNamespace(address=self.world.evidence[evidence - 1], contract_type=p.engine.contract_type)
        one = call(engine, "assess", state)
        (answer,) = self.world.ask([one], now)
        if "error" in answer:
            raise Refused(reason(answer["error"]))
        got = one.decoded(answer["result"])
        want = mirror.figures(account)
        worth, error = want.assessment, max(want.error, ROUNDING / WAD)
        self.differences.near("net_value", got.net_value / WAD, want.net_value, error)
        self.differences.near("equity_initial", got.equity_initial / WAD, worth.equity_initial, error)
        if evidence:
            full = self.judge(mirror, account, 0)
            assert got.maintenance <= full.maintenance, "INV-09: evidence asks for more than all scenarios"
            assert got.net_value == full.net_value and got.equity_maintenance == full.equity_maintenance
        else:
            self.differences.near("maintenance", got.maintenance / WAD, worth.maintenance, error)
            self.differences.near("initial", got.initial / WAD, worth.initial, error)
        return Judgement(
            got.maintenance,
            got.initial,
            got.equity_maintenance,
            got.equity_initial,
            got.net_value,
            got.fresh and fresh,
            got.stale_value + stale_value,
        )

    def wealth(self, mirror: Mirror, now: int) -> dict[str, tuple[int, int, dict[Instrument, int]]]:
        """What each owner has, in wallet and accounts together: cash less cost, ether, and net positions."""
        result = {}
        for user in self.world.users:
            own = [a for a in mirror.accounts.values() if a.owner == user.address]
            net: dict[Instrument, int] = {}
            for i, n in ((i, n) for a in own for i, n in a.legs.items()):
                net[i] = net.get(i, 0) + n
            result[user.address] = (
                mirror.wallets[user.address, USDC] * UNIT[USDC] + sum(mirror.money.cash(a, now) - a.cost for a in own),
                mirror.wallets[user.address, WETH] + sum(a.weth for a in own),
                {i: n for i, n in net.items() if n},
            )
        return result

    def _balance(self, kind: int, address: str) -> Call:
        token = self.world.protocol.quote if kind == USDC else self.world.protocol.weth
        return call(token, "balanceOf", address)

    def compare(self, assessed: Iterable[int]) -> dict[int, Any]:
        """Read everything, compare it with the mirror, check the invariants.

        Margin is compared for the accounts `assessed` alone, and returned: it depends on an account's state, the market
        and the time, and on nothing else but interest.
        """
        mirror, house, p, now = self.mirror, self.house, self.world.protocol, self.mirror.now
        money, accounts = mirror.money, sorted(mirror.accounts)
        held = [mirror.accounts[a] for a in accounts]
        limits = mirror.limits.items()
        expected: list[tuple[Call, Any]] = [
            (call(house, "account_count"), len(accounts)),
            (call(house, "paused"), mirror.paused),
            (call(house, "owner"), mirror.owner.lower()),
            (call(house, "pending_owner"), mirror.pending_owner.lower()),
            (call(house, "guardian"), mirror.guardian.lower()),
            (call(house, "reserve"), mirror.reserve),
            (call(house, "admission"), p.admission.address.lower() if mirror.admission else NOBODY),
            (call(p.admission, "minimum_equity"), mirror.minimum_equity),
            (call(p.admission, "allow_list"), mirror.allow_list),
            (call(p.money_market, "earned"), money.earned),
            (call(p.liquidation, "insolvent_running"), mirror.insolvent_running),
            *((call(house, "members", getattr(p, member).address), member in mirror.members) for member in MEMBERS),
            *((call(house, "credited", kind), amount) for kind, amount in mirror.credited.items()),
            *((call(house, "open_interest", u), open_now) for u, open_now in mirror.open_interest.items()),
            *((call(house, "open_interest_cap", u), cap) for u, cap in mirror.open_interest_caps.items()),
            *(
                (call(p.collaterals, "withdrawable", kind), limit - mirror.used(kind) if limit else 2**256 - 1)
                for kind, limit in limits
            ),
            *((self._balance(kind, house.address), amount) for kind, amount in mirror.vault.items()),
            *((self._balance(kind, address), amount) for (address, kind), amount in mirror.wallets.items()),
            *((call(house, "owner_of", a), x.owner.lower()) for a, x in zip(accounts, held, strict=True)),
            *((call(house, "cash_word", a), word_of(x)) for a, x in zip(accounts, held, strict=True)),
            *((call(house, "cash", a), money.cash(x, now)) for a, x in zip(accounts, held, strict=True)),
        ]
        read = [
            *(call(p.liquidation, "auction_of", a) for a in accounts),
            call(p.money_market, "interest"),
            *(call(p.collaterals, "terms", kind) for kind in (USDC, WETH)),
            *(call(house, "portfolio", a) for a in accounts),
        ]
        answers = self.world.view([*(one for one, _ in expected), *read], now)
        for (one, value), answer in zip(expected, answers, strict=False):
            assert answer == value, f"{one.function.name}: {answer}, not {value}"
        auctions, (interest, *rows) = (
            answers[len(expected) : len(expected) + len(accounts)],
            answers[len(expected) + len(accounts) :],
        )
        for account, auction in zip(accounts, auctions, strict=True):
            assert tuple(vars(auction).values()) == tuple(mirror.auction(account)), account
        self.same_interest(interest)
        terms, states = rows[:2], dict(zip(accounts, rows[2:], strict=True))
        assert [(t.cap, t.withdrawal_limit) for t in terms] == list(
            zip(mirror.caps.values(), mirror.limits.values(), strict=True)
        )
        for account, state in states.items():
            self.same_state(account, state)
        self.conserved(states)
        figures = self.assess(assessed)
        self.same_margin({a: states[a] for a in figures}, figures)
        return figures

    def same_interest(self, got: Any) -> None:
        """Rates and indices of now. The sum of credits is rounded down in a view, up when it is kept."""
        money = self.mirror.money
        then = money.at(self.mirror.now)
        assert (got.debt_rate, got.credit_rate) == money.rates()
        assert (got.debt_index, got.credit_index, got.debts) == (then.debt_index, then.credit_index, then.debts)
        assert 0 <= then.credits - got.credits <= 1

    def same_state(self, account: int, state: Any) -> None:
        """An account on the chain against the mirror's, exactly."""
        mine = self.mirror.accounts[account]
        legs = {instrument(word): size(word) for word in state.legs}
        held = [h.amount for h in state.holdings]
        got = (MODE[state.mode], state.cash, state.cost, legs, held)
        want = (mine.mode, self.mirror.prudent(mine), mine.cost, mine.legs, [mine.weth] if mine.weth else [])
        assert got == want, account
        assert [instrument(word) for word in state.legs] == sorted(legs)
        self.logarithms |= {instrument(word): word & LOGARITHM for word in state.legs}

    def conserved(self, states: dict[int, Any]) -> None:
        """INV-01, INV-02, INV-03, INV-12; numbers that were just compared are the mirror's.

        Of what has a settlement price one side may have settled alone: the reserve holds what the other will get or
        pay, so that what all have, all settled, with all interest, and what the protocol earned is there.
        """
        mirror = self.mirror
        net: Counter[Instrument] = Counter()
        longs: Counter[int] = Counter()
        for word in (word for state in states.values() for word in state.legs):
            net[instrument(word)] += size(word)
            longs[word >> 248] += max(size(word), 0)
        assert not any(n for i, n in net.items() if not mirror.is_final(i)), "INV-01"
        assert all(longs[u] == open_now for u, open_now in mirror.open_interest.items()), "open interest"
        held = mirror.credited[USDC] * UNIT[USDC]
        stored = sum(a.cash - a.cost for a in mirror.accounts.values())
        assert stored + mirror.reserve == held, "INV-02"
        due = sum(n * mirror.payoff(i) * 1000 for i, n in net.items() if mirror.is_final(i))
        grown = sum(mirror.money.cash(a, mirror.now) - a.cost for a in mirror.accounts.values())
        spare = held - grown - due - mirror.money.at(mirror.now).earned
        assert 0 <= spare <= CHANGE_DUST * mirror.money.acts + READ_DUST * len(states), f"INV-12: {spare}"
        ether = sum(h.amount for state in states.values() for h in state.holdings)
        assert ether == mirror.credited[WETH], "INV-03"
        assert all(mirror.credited[kind] <= held for kind, held in mirror.vault.items()), "INV-03"

    def same_margin(self, states: dict[int, Any], figures: dict[int, Any]) -> None:
        """INV-06 and INV-07: the contract's figures against the model's, and a portfolio against its parts.

        Of an account that is margined by a tail the report explains the grid's share, which portfolio mode has.
        """
        report, now = self.world.protocol.report, self.mirror.now
        accounts = [a for a in states if self.mirror.accounts[a].legs or self.mirror.accounts[a].weth]
        rows = [states[a] for a in accounts]
        calls = [call(report, "explain", as_tuple(row)) for row in rows]
        apart = [call(report, "explain", as_tuple(row, mode=Mode.CROSS)) for row in rows]
        answers = self.world.view([*calls, *apart], now)
        for account, (whole, reports), (parts, part_reports) in zip(
            accounts, answers[: len(rows)], answers[len(rows) :], strict=True
        ):
            got, mine = figures[account], self.mirror.accounts[account]
            want = self.mirror.figures(mine)
            assert got.fresh == want.fresh
            self.differences.near("stale_value", got.stale_value / WAD, want.stale_value, want.error)
            assert got.net_value == whole.net_value
            assert (got.maintenance, got.initial) == (whole.maintenance, whole.initial)
            grid, book = whole, self.mirror.book(mine)
            if mine.mode in TAILS:
                self.differences.near("maintenance", got.maintenance / WAD, want.assessment.maintenance, want.error)
                grid, book = self.same_tail(mine, states[account], whole), self.whole_book(mine)
            self.differences.compare(grid, reports, self.names, book, self.mirror.snapshot(), self.methodology)
            assert got.maintenance <= got.initial, "INV-07"
            if mine.mode.has_offsets:
                for a, b in zip(reports, part_reports, strict=True):
                    assert a.scan <= b.scan + ROUNDING, "INV-07"
                own = sum(r.calendar + r.vega_calendar + r.liquidity for r in reports)
                assert grid.maintenance <= parts.maintenance + own + ROUNDING, "INV-07"

    def whole_book(self, account: Account) -> Book:
        """The account as the model wants it, in portfolio mode."""
        return replace(self.mirror.book(account), mode=Mode.PORTFOLIO)

    def same_tail(self, account: Account, state: Any, got: Any) -> Any:
        """Figures by a tail against its own engine's and the model's; with the grid they are no less than either's.

        What the grid alone says is returned.
        """
        p, tail = self.world.protocol, self.world.tail
        whole = as_tuple(state, mode=Mode.PORTFOLIO)
        engines = (p.engine, p.tails.var_engine, p.tails.max_engine)
        calls = [*(call(engine, "assess", whole) for engine in engines), call(p.tails.var_engine, "tail", whole)]
        grid, alone, larger, measured = self.world.view(calls, self.mirror.now)
        own = alone if account.mode is Mode.VAR else larger
        assert vars(got) == vars(own), f"{account.mode}: {got}, by its own engine {own}"
        assert larger.maintenance >= max(grid.maintenance, alone.maintenance)
        assert larger.initial >= max(grid.initial, alone.initial)
        self.seen[account.mode, "by the tail"] += own.maintenance > grid.maintenance
        self.tail_differences.compare(
            own,
            measured,
            self.whole_book(account),
            self.mirror.snapshot(),
            tail_comparison.Setting(
                without_grid(self.methodology) if account.mode is Mode.VAR else self.methodology,
                tail.scenarios,
                tail.k,
                round(tail.horizon * volatility.DAY),
            ),
        )
        return grid
