"""The protocol in plain Python, written from its specification.

Money, sizes and tokens are exact integers; margin is the float model's.

A call is tried on a copy of the mirror: it ends in a new state, or in the reason with which the contracts must revert.
Where a margin check falls within the error that M-16 grants the contract, both are right, and the mirror says so.

Units are those of the contracts: cash and cost 1e-18 USD, sizes and strikes 1e-6, prices 1e-9, fractions 1e-18, tokens
in units of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from python_model import interest
from tests.stateful.auctions import AuctionMirror
from tests.stateful.state import (
    FUNDS,
    FUTURE,
    KEPT,
    KINDS_OF_COLLATERAL,
    LIQUIDATION,
    MODE,
    NOBODY,
    PAID,
    RISK,
    SILENT,
    TRADE,
    UNIT,
    USDC,
    WAD,
    WETH,
    Account,
    Act,
    Prediction,
    Refused,
    either,
    not_negative,
)


class Mirror(AuctionMirror):
    """The whole protocol: accounts, vault, wallets, settlement, authority, and what it inherits."""

    def __init__(self, guardian: str, **others: Any) -> None:
        super().__init__(**others)
        self.guardian = guardian
        self.pending_owner = NOBODY
        self.wallets: dict[tuple[str, int], int] = {}
        self.vault = {USDC: 0, WETH: 0}
        self.credited = {USDC: 0, WETH: 0}
        self.caps = {USDC: 0, WETH: 0}
        # Token units a day, 0 for none; what of it was used up, and when.
        self.limits = {USDC: 0, WETH: 0}
        self.outflow = {USDC: (0, 0), WETH: (0, 0)}

    def copy(self) -> Mirror:
        """Independent of the original, but for what neither changes."""
        twin = object.__new__(type(self))
        twin.__dict__ = {
            key: value.copy() if isinstance(value, (dict, set)) else value for key, value in self.__dict__.items()
        }
        twin.accounts = {a: account.copy() for a, account in self.accounts.items()}
        twin.money = self.money.copy()
        twin.course = {name: list(states) for name, states in self.course.items()}
        twin._seen = self._seen
        return twin

    def attempt(self, act: Act, sender: str) -> Prediction:
        """What a call of `sender` would do now."""
        trial = self.copy()
        trial.doubts, trial.touched, trial.levels, trial.charged, trial.sales = set(), {}, {}, {}, []
        try:
            getattr(trial, act.name)(sender, *act.arguments)
            trial._settle()
        except Refused as refusal:
            return Prediction(None, frozenset(trial.doubts | {str(refusal)}), refusal.mode)
        return Prediction(trial, frozenset(trial.doubts))

    # ------------------------------------------------------------------------------------------------------ accounts

    def create_account(self, sender: str, mode: int) -> None:
        """Open an account."""
        self._require(mode < len(MODE), "accounts: mode")
        self.accounts[len(self.accounts) + 1] = Account(sender, MODE[mode])

    def set_operator(self, sender: str, account: int, operator: str, expiry: int, scope: int) -> None:
        """Let a key act for an account until `expiry`."""
        self._require(self._owner(account) == sender, "accounts: not the owner")
        self._require(scope <= TRADE | FUNDS, "accounts: scope")
        self.operators[account, sender, operator] = expiry, scope

    def transfer_account(self, sender: str, account: int, new_owner: str) -> None:
        """Hand an account over; keys and orders of the old owner count no more."""
        self._require(self._owner(account) == sender, "accounts: not the owner")
        self._require(new_owner != NOBODY, "accounts: owner")
        self.accounts[account].owner = new_owner

    def set_mode(self, sender: str, account: int, mode: int) -> None:
        """Change the margin mode."""
        self._require(self._owner(account) == sender, "accounts: not the owner")
        self._touch(account, PAID)
        self._require(mode < len(MODE), "accounts: mode")
        self.accounts[account].mode = MODE[mode]

    # ------------------------------------------------------------------------------------------------------ tokens

    def _move_tokens(self, sender: str, kind: int, amount: int) -> None:
        self._require(amount <= self.wallets[sender, kind], SILENT)
        self.wallets[sender, kind] -= amount
        self.vault[kind] += amount

    def donate(self, sender: str, kind: int, amount: int) -> None:
        """Send tokens to the clearing house past it: nobody's account changes (INV-03)."""
        self._move_tokens(sender, kind, amount)

    def _credit(self, account: int, kind: int, amount: int) -> None:
        if kind == USDC:
            self._change(account, amount * UNIT[USDC])
        else:
            self.accounts[account].weth += amount

    def _debit(self, account: int, kind: int, amount: int) -> None:
        self._require(kind < KINDS_OF_COLLATERAL or amount == 0, "custody: not enough")
        self._require(kind < KINDS_OF_COLLATERAL, "collaterals: unknown kind")
        if kind == USDC:
            self._require(self._change(account, -amount * UNIT[USDC]) >= 0, "custody: not enough")
        else:
            self._require(amount <= self.accounts[account].weth, "custody: not enough")
            self.accounts[account].weth -= amount

    def deposit(self, sender: str, account: int, kind: int, amount: int) -> None:
        """Take tokens of the sender."""
        self._require_control(account, sender)
        self._require(kind < KINDS_OF_COLLATERAL, "collaterals: unknown kind")
        self._move_tokens(sender, kind, amount)
        self._require(amount > 0, "custody: nothing arrived")
        self._require(self.credited[kind] + amount <= self.caps[kind], "custody: cap")
        self.credited[kind] += amount
        self._add_collateral(account, kind, amount)

    def _add_collateral(self, account: int, kind: int, amount: int) -> None:
        """Credit. A kind that the account did not hold may not make it worse, nor stale beside positions."""
        before = self.accounts[account].copy()
        self._credit(account, kind, amount)
        if kind == USDC or before.weth:
            return
        after = self.accounts[account]
        self._require_admissible(after)
        if after.legs:
            self._require(self.is_current("ETH", 0), "custody: stale price")
            old, new = self.figures(before), self.figures(after)
            change = not_negative(new.health - old.health, old.error + new.error)
            self._decide(either(not_negative(new.health, new.error), change), "solvency: collateral adds risk")

    def withdraw(self, sender: str, account: int, kind: int, amount: int, recipient: str) -> None:
        """Pay tokens out."""
        self._require_control(account, sender)
        self._require(recipient == self._owner(account) or sender == self._owner(account), "accounts: recipient")
        self._require(recipient in {wallet for wallet, _ in self.wallets}, "custody: recipient")
        self._touch(account, PAID)
        self._debit(account, kind, amount)
        self._require(amount <= self.credited[kind], "custody: vault is short")
        if self.limits[kind]:
            used = self.used(kind) + amount
            self._require(used <= self.limits[kind], "collaterals: withdrawal limit")
            self.outflow[kind] = (used, self.now)
        self.credited[kind] -= amount
        self.vault[kind] -= amount
        self.wallets[recipient, kind] += amount

    def used(self, kind: int) -> int:
        """How much of a day's withdrawals is used up now."""
        used, since = self.outflow[kind]
        return max(0, used - self.limits[kind] * (self.now - since) // 86_400)

    def transfer(self, sender: str, giver: int, receiver: int, kind: int, amount: int) -> None:
        """Move collateral or cash between two accounts of one owner."""
        self._require(giver != receiver, "accounts: one account")
        self._require_control(giver, sender)
        self._require_control(receiver, sender)
        self._require(self._owner(giver) == self._owner(receiver), "accounts: two owners")
        self._touch(giver, PAID)
        self._touch(receiver, KEPT)
        self._debit(giver, kind, amount)
        self._add_collateral(receiver, kind, amount)

    def call(self, sender: str, callee: str) -> None:
        """Have somebody act in the midst of a batch, who is no contract."""
        raise Refused(SILENT)

    def execute(self, sender: str, acts: Sequence[Act]) -> None:
        """Several things, and one check, which sees the state before the first of them."""
        for act in acts:
            if act.name == "deposit" and act.arguments[0] in self.accounts:
                self._touch(act.arguments[0], KEPT)
            getattr(self, act.name)(sender, *act.arguments)

    # ------------------------------------------------------------------------------------------------------ settlement

    def settle(self, sender: str, accounts: Sequence[int]) -> None:
        """Turn expired legs with a final price into cash, of whoever."""
        for account in accounts:
            legs = self.accounts[account].legs if account in self.accounts else {}
            closing = {i: n for i, n in sorted(legs.items()) if self.is_final(i)}
            values = {i: n * self.payoff(i) * 1000 for i, n in closing.items()}
            cost = -sum(value for i, value in values.items() if i.kind == FUTURE)
            cash = sum(value for i, value in values.items() if i.kind != FUTURE)
            if closing:
                self._post("settlement", account, [(i, -n) for i, n in closing.items()], cash, cost)

    def realise(self, sender: str, account: int, profit: int | None) -> None:
        """Move the unrealised profit of futures and perpetuals into cash.

        `profit` is what the contract moved, which it rounds down, or None where it reverted.
        """
        if account not in self.accounts or not self.accounts[account].has_linear:
            return
        state = self.accounts[account]
        figures = self.figures(state)
        self._require(figures.fresh, "settlement: stale data")
        held = self.weth_holding(state.weth).amount * self.market["ETH"].spot if state.weth else 0.0
        expected = figures.net_value - figures.assessment.option_value - self.prudent(state) / WAD - held
        moved = round(expected * WAD) if profit is None else profit
        assert abs(moved / WAD - expected) <= figures.error, f"{account} realises {moved / WAD}, not {expected}"
        self._post("settlement", account, [], moved, moved)

    def collect(self, sender: str, account: int, amount: int) -> None:
        """Pay what the protocol earned by interest into an account; members may too, of which no user is one."""
        self._require_owner(sender)
        self.money.accrue(self.now)
        self._require(amount <= self.money.earned, "cash: not earned")
        self.money.earned -= amount
        self._post("money_market", account, [], amount, 0)

    def set_interest_rates(self, sender: str, terms: interest.Terms | None) -> None:
        """Other rates from now on."""
        self._require_owner(sender)
        self.money.accrue(self.now)
        self.money.terms = terms

    def post(self, sender: str) -> None:
        """Such an entry is for members alone."""
        raise Refused("clearing house: caller")

    def award(self, sender: str) -> None:
        """What is sold the liquidation contract tells the clearing house alone."""
        raise Refused("liquidation: caller")

    def agree(self, sender: str) -> None:
        """Orders are spent by the clearing house alone."""
        raise Refused("exchange: caller")

    # ------------------------------------------------------------------------------------------------------ authority

    def set_paused(self, sender: str, flags: int) -> None:
        """Pause or resume."""
        self._require(flags <= RISK | LIQUIDATION, "authority: flags")
        if sender != self.owner:
            self._require(sender == self.guardian, "authority: not the guardian")
            self._require(flags & self.paused == self.paused, "authority: only more")
        self.paused = flags

    def set_cap(self, sender: str, kind: int, cap: int) -> None:
        """Change how much may be deposited."""
        self._require_owner(sender)
        self.caps[kind] = cap

    def set_withdrawal_limit(self, sender: str, kind: int, limit: int) -> None:
        """Change how much may be withdrawn within a day; of the new limit as much is used up, if it has so much."""
        self._require_owner(sender)
        self.outflow[kind] = (min(self.used(kind), limit), self.now)
        self.limits[kind] = limit

    def poke(self, sender: str, kind: int) -> None:
        """Note the rate of a kind: neither has one."""

    def set_open_interest_cap(self, sender: str, underlying: int, cap: int) -> None:
        """Change where open interest may not grow any more."""
        self._require_owner(sender)
        self.open_interest_caps[underlying] = cap

    def set_member(self, sender: str, member: str, allowed: bool) -> None:
        """Say whether a contract may post one-sided entries."""
        self._require_owner(sender)
        (self.members.add if allowed else self.members.discard)(member)

    def set_guardian(self, sender: str, guardian: str) -> None:
        """Name who may pause."""
        self._require_owner(sender)
        self.guardian = guardian

    def transfer_ownership(self, sender: str, new_owner: str) -> None:
        """Offer everything to another."""
        self._require_owner(sender)
        self.pending_owner = new_owner

    def accept_ownership(self, sender: str) -> None:
        """Take it over."""
        self._require(sender == self.pending_owner, "authority: not the new owner")
        self.owner, self.pending_owner = sender, NOBODY

    def set_minimum_equity(self, sender: str, minimum: int) -> None:
        """Change the equity that portfolio mode asks for."""
        self._require_owner(sender)
        self.minimum_equity = minimum

    def set_allow_list(self, sender: str, enabled: bool) -> None:
        """Whether owners must have been allowed."""
        self._require_owner(sender)
        self.allow_list = enabled

    def set_allowed(self, sender: str, owner: str, allowed: bool) -> None:
        """Allow an owner, or no more."""
        self._require_owner(sender)
        (self.allowed.add if allowed else self.allowed.discard)(owner)

    def set_contracts(self, sender: str, other: str, admission: bool) -> None:
        """Name the contracts once more, perhaps with an admission; collaterals and money market are fixed for good."""
        self._require_owner(sender)
        self._require(other != "collaterals", "custody: collaterals are fixed")
        self._require(other != "money market", "cash: money market is fixed")
        self.admission = admission
