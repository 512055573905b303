"""Who bears what no trader pays: tranches, shortfall, claims, haircut and recovery. Integers, as in the contracts.

The fund's cash is the pool of two tranches; below zero it is a shortfall, which the lenders of all accounts bear. The
order of a loss is junior, senior, shortfall. While there is a shortfall `S`, a withdrawal of `a` is paid less
`k = a S / C`, `C` being all positive cash: what is kept lowers the shortfall and becomes a claim, and as

    (S - k) / (C - a)  =  S / C

nobody is better off by withdrawing sooner. Income goes to shortfall and claims in proportion, then to what the senior
tranche is due, then to the junior one.

Money is in the smallest unit of the books (1e-18), withdrawals in the smallest unit of the token. Each rounding favours
the fund, and what is rounded off stays in it: the sum of all parts is the cash of the fund and what was paid of claims.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

WAD = 10**18
YEAR = 365 * 86_400


@dataclass(frozen=True)
class Fund:
    """The backstop, in units of 1e-18.

    Attributes
    ----------
    junior, senior : assets of the tranches, not negative; 0 while there is a shortfall
    shortfall : what the fund owes, not negative
    due : coupon that the senior tranche has earned and not got
    claims : by account, what was kept of its withdrawals and not paid yet
    recovered : by account, what was paid of its claim and not collected yet
    """

    junior: int = 0
    senior: int = 0
    shortfall: int = 0
    due: int = 0
    claims: dict[int, int] = field(default_factory=dict)
    recovered: dict[int, int] = field(default_factory=dict)

    @property
    def pool(self) -> int:
        """What losses are paid with."""
        return self.junior + self.senior

    @property
    def claimed(self) -> int:
        """Sum of all claims."""
        return sum(self.claims.values())

    @property
    def cash(self) -> int:
        """Cash of the fund's account: tranches, what was recovered and not collected, less what it owes."""
        return self.pool + sum(self.recovered.values()) - self.shortfall


def mul_up(a: int, b: int, c: int) -> int:
    """`ceil(a b / c)`, `c` positive."""
    return -(-a * b // c)


def accrue(fund: Fund, seconds: int, rate: int) -> Fund:
    """Add the coupon of a time to what the senior tranche is due; rounded down.

    Parameters
    ----------
    fund : Fund
    seconds : not negative
    rate : a year, 1e-18, simple
    """
    return replace(fund, due=fund.due + fund.senior * rate * seconds // (WAD * YEAR))


def bear(fund: Fund, loss: int) -> Fund:
    """A loss, positive: junior first, then senior, the rest is shortfall."""
    junior = min(loss, fund.junior)
    senior = min(loss - junior, fund.senior)
    return replace(
        fund,
        junior=fund.junior - junior,
        senior=fund.senior - senior,
        shortfall=fund.shortfall + loss - junior - senior,
    )


def earn(fund: Fund, income: int) -> Fund:
    """An income, positive: shortfall and claims in proportion, then the coupon that is due, then junior.

    A claim's part is rounded down, and what that leaves goes to the shortfall or, where there is none, further down.
    """
    hole = fund.shortfall + fund.claimed
    healed = min(income, hole)
    paid = {account: healed * claim // hole for account, claim in fund.claims.items()} if hole else {}
    to_shortfall = min(healed - sum(paid.values()), fund.shortfall)
    rest = income - to_shortfall - sum(paid.values())
    coupon = min(rest, fund.due)
    recovered = dict(fund.recovered)
    for account, part in paid.items():
        recovered[account] = recovered.get(account, 0) + part
    claims = {account: claim - paid.get(account, 0) for account, claim in fund.claims.items()}
    return Fund(
        junior=fund.junior + rest - coupon,
        senior=fund.senior + coupon,
        shortfall=fund.shortfall - to_shortfall,
        due=fund.due - coupon,
        claims={account: claim for account, claim in claims.items() if claim},
        recovered={account: part for account, part in recovered.items() if part},
    )


def kept(amount: int, shortfall: int, credit: int) -> int:
    """What is kept of a withdrawal, rounded up: its share of the shortfall, at most all of it.

    Parameters
    ----------
    amount : in any unit, not negative
    shortfall : what the fund owes, not negative
    credit : all positive cash before the withdrawal, in the unit of the shortfall

    Returns
    -------
    int, in the unit of the amount
    """
    if shortfall <= 0 or amount == 0:
        return 0
    return amount if credit <= shortfall else mul_up(amount, shortfall, credit)


def dock(fund: Fund, account: int, amount: int, credit: int, unit: int = 1) -> tuple[Fund, int]:
    """A withdrawal of cash: what is kept of it is credited to the fund, and is a claim of the account.

    Parameters
    ----------
    fund : Fund
    account : id, debited of all of the amount already
    amount : units of the token
    credit : all positive cash before the withdrawal, 1e-18
    unit : what a unit of the token is, 1e-18

    Returns
    -------
    (fund, paid), paid in units of the token. Where a shortfall is smaller than what was kept, by less than a unit, the
    rest is the junior tranche's.
    """
    share = kept(amount, fund.shortfall, credit)
    if share == 0:
        return fund, amount
    value = share * unit
    healed = min(value, fund.shortfall)
    claims = {**fund.claims, account: fund.claims.get(account, 0) + value}
    docked = replace(fund, shortfall=fund.shortfall - healed, junior=fund.junior + value - healed, claims=claims)
    return docked, amount - share


def collect(fund: Fund, account: int) -> tuple[Fund, int]:
    """Credit an account with what was recovered of its claim; (fund, amount), the amount leaves the fund's cash."""
    rest = dict(fund.recovered)
    amount = rest.pop(account, 0)
    return replace(fund, recovered=rest), amount


def vested(amount: int, elapsed: int, seconds: int) -> int:
    """What of an income is its tranche's after a time, so that no deposit can take what was earned before it.

    Linear, rounded down, all of it after `seconds`.
    """
    return amount if elapsed >= seconds else amount * elapsed // seconds


def shares_of(assets: int, total: int, supply: int, offset: int = 1) -> int:
    """Shares for a deposit, rounded down, with virtual shares and one virtual unit against inflation.

    Parameters
    ----------
    assets : that come in
    total, supply : assets and shares of the tranche before
    offset : virtual shares
    """
    return assets * (supply + offset) // (total + 1)


def assets_of(shares: int, total: int, supply: int, offset: int = 1) -> int:
    """Assets for shares, rounded down; see `shares_of`."""
    return shares * (total + 1) // (supply + offset)
