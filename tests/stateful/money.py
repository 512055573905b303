"""Interest on cash, to the last unit: the mirror of `MoneyMarket` and `InterestRates`.

Money, rates a year and indices at 1e-18. An account's cash stands as of its last act, with the index of then: of debts
where it is negative, else of credits. Debts are rounded up, credits down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from python_model import interest
from scripts import chain
from tests.stateful.state import WAD, Account

YEAR = 365 * 86_400


@dataclass
class Money:
    """Sums, indices and what the protocol earned.

    Attributes
    ----------
    terms : interest.Terms or None
        None: cash bears no interest.
    debts, credits : int
        Over all accounts with interest, debts rounded down and credits up: they make the rate, nobody's cash.
    accrued_at : int, seconds
    acts : int
        How often some cash changed: each rounds by less than CHANGE_DUST.
    """

    terms: interest.Terms | None
    debts: int = 0
    credits: int = 0
    debt_index: int = WAD
    credit_index: int = WAD
    accrued_at: int = 0
    earned: int = 0
    acts: int = 0

    def copy(self) -> Money:
        return replace(self)

    def rates(self) -> tuple[int, int]:
        """Of debts and credits; credits get no more than debts pay."""
        if self.terms is None:
            return 0, 0
        t = self.terms
        base, slope, steep, kink, share = (chain.wad(n) for n in (t.base, t.slope, t.steep, t.kink, t.reserve_share))
        used = min(self.debts * WAD // self.credits, WAD) if self.credits else WAD
        rate = base + slope * min(used, kink) // kink + steep * max(used - kink, 0) // (WAD - kink)
        if not self.credits:
            return rate, 0
        lent = rate * used // WAD * (WAD - share) // WAD
        return rate, min(lent, rate * self.debts // self.credits)

    def at(self, now: int) -> Money:
        """The same with interest up to a time: nobody pays where nobody owes."""
        twin = self.copy()
        twin.accrued_at, elapsed = now, now - self.accrued_at
        if not self.debts or not elapsed:
            return twin
        debt_rate, credit_rate = self.rates()
        twin.debt_index += -(-self.debt_index * debt_rate * elapsed // (WAD * YEAR))
        twin.credit_index += self.credit_index * credit_rate * elapsed // (WAD * YEAR)
        paid = self.debts * (twin.debt_index - self.debt_index) // self.debt_index
        got = -(-self.credits * (twin.credit_index - self.credit_index) // self.credit_index)
        twin.debts, twin.credits = self.debts + paid, self.credits + got
        twin.earned += max(paid - got, 0)
        return twin

    def accrue(self, now: int) -> None:
        """Bring everything up to a time."""
        self.__dict__.update(self.at(now).__dict__)

    def cash(self, account: Account, now: int) -> int:
        """An account's cash with its interest."""
        then = self.at(now)
        if account.cash < 0:
            # Floor division of a negative number: up, for a debt.
            return account.cash * then.debt_index // account.index
        return account.cash * then.credit_index // account.index if account.index else account.cash

    def prudent(self, account: Account, now: int) -> int:
        """What margin counts: a debt with its interest, a credit without what came since the last act."""
        return self.cash(account, now) if account.cash < 0 else account.cash

    def change(self, account: Account, amount: int, now: int) -> int:
        """Add to an account's cash, its interest first. The interest, negative of a debt."""
        self.accrue(now)
        self.acts += 1
        stored, before = account.cash, self.cash(account, now)
        after = before + amount
        self.debts = max(self.debts + max(-after, 0) - max(-before, 0), 0)
        self.credits = max(self.credits + max(after, 0) - max(before, 0), 0)
        account.cash, account.index = after, self.debt_index if after < 0 else self.credit_index
        return before - stored
