"""What the mirror's parts speak of: accounts, orders, acts, figures, verdicts that errors may leave open.

Units are those of the contracts: cash and cost 1e-18 USD, sizes and strikes 1e-6, prices 1e-9, fractions 1e-18, tokens
in units of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from python_model import margin
from python_model.portfolio import Kind, Mode

if TYPE_CHECKING:
    from tests.stateful.mirror import Mirror

WAD = 10**18
USDC, WETH = 0, 1
KINDS_OF_COLLATERAL = 2
UNIT = {USDC: 10**12, WETH: 1}
HAIRCUT_INITIAL, HAIRCUT_MAINTENANCE = 0.02, 0.01
PERP, FUTURE, CALL, PUT = range(4)
KIND = {PERP: Kind.PERP, FUTURE: Kind.FUTURE, CALL: Kind.CALL, PUT: Kind.PUT}
MODE = (Mode.ISOLATED, Mode.CROSS, Mode.PORTFOLIO, Mode.VAR, Mode.MAX)
# Margined by the tail of a scenario set, alone or beside the grid.
TAILS = tuple(mode for mode in MODE if mode.has_tail)
RISK, LIQUIDATION = 1, 2
# What a call did to an account: its state was kept; it bought in a liquidation; it must be checked; it was paid from,
# which no gain excuses.
KEPT, BOUGHT, DUE, PAID = 1, 2, 3, 4
NOBODY = "0x" + "00" * 20
# Kinds of bid.
START, SOLVENT, INSOLVENT, TARGETED = range(4)
# What a unit of a leg can be worth and need at most: so many times spot and strike, and 1e-18 USD.
SPOTS, STRIKES, FLAT = 6, 4, 250 * WAD
# In the modes of TAILS, whose rows let prices rise further.
TAIL_SPOTS = 15
# A slice may always be worth this much, 1e-18 USD, and so many times the premium.
SMALL, PREMIUMS = 100 * WAD, 10
# What rounding amounts one by one may lose, 1e-18 USD.
UNITS = 10**6
# Below this, 1e-18 USD, an auction keeps nobody from leaving the fund.
DUST = 100 * WAD
# How often the gross value of what has a stale price must not matter for a liquidation.
STALE_FACTOR = 2
# A revert that says nothing: arithmetic of a token.
SILENT = ""

# What operators may do.
TRADE, FUNDS = 1, 2
# Fees of the house: of the notional, and of an option at most a part of its premium; 1e-18.
MAKER_FEE, TAKER_FEE, PREMIUM_CAP = 10**14, 3 * 10**14, 125 * 10**15
# Account 1 is the insurance fund's; account 2 receives the fees; account 3 holds what claims were covered with.
FUND, COLLECTOR, CLAIMS = 1, 2, 3
ANY_FEE = 2**256 - 1
# Contracts that may post.
MEMBERS = ("settlement", "money_market", "liquidation", "deleveraging", "yields", "backstop")
PRICE_LIMIT = 2**72
# Legs that each mode allows; and legs + 3 * expiries, + 4 * underlyings in the modes of TAILS: those cost gas too.
MOST_LEGS = {Mode.ISOLATED: 1, Mode.CROSS: 32, Mode.PORTFOLIO: 128, Mode.VAR: 16, Mode.MAX: 16}
MOST_EXPIRIES, EXPIRY_WEIGHT, UNDERLYING_WEIGHT = 16, 3, 4
MOST_WEIGHT, MOST_TAIL_WEIGHT = 152, 36


class Refused(Exception):  # noqa: N818
    """A call that must revert, and the reason it must give; of what lacks margin, the mode too."""

    def __init__(self, reason: str, mode: Mode | None = None) -> None:
        super().__init__(reason)
        self.mode = mode


class Instrument(NamedTuple):
    """What a position is in; sorts as the contracts sort a book."""

    underlying: int
    expiry: int
    strike: int
    kind: int


class Leg(NamedTuple):
    """One row of a package, as the taker sees it, for one lot."""

    underlying: int
    expiry: int
    strike: int
    kind: int
    size: int
    price: int

    @property
    def instrument(self) -> Instrument:
        return Instrument(*self[:4])

    @property
    def value(self) -> int:
        """What the taker pays, 1e-18 USD."""
        return self.size * self.price * 1000


class Consent(NamedTuple):
    """A maker's consent to a package, and what the taker makes of it, who calls or has signed."""

    nonce: int
    deadline: int
    signer: str  # who is said to consent
    key: str | None  # who signed; None: nobody, so that the signer calls or has approved
    lots: int = 1
    max_fee: int = ANY_FEE  # of the maker, for a lot, 1e-18
    fill: int = 1  # lots to fill now
    short: int = 0  # by how much the taker's limit for its first leg is below the maker's price, 1e-9
    taker_signer: str | None = None  # who is said to consent for the taker; None: the caller
    taker_key: str | None = None  # who signed for the taker


class Bid(NamedTuple):
    """`ILiquidation.Bid`; of TARGETED a package of instruments and sizes."""

    kind: int
    evidence: int = 0
    fraction: int = WAD
    min_fraction: int = 0
    max_price: int = 2**255 - 1
    deadline: int = 2**64
    package: tuple[tuple[Instrument, int], ...] = ()
    cost: int = 0


class Terms(NamedTuple):
    """`ILiquidation.Terms`: seconds, and fractions and money at 1e-18."""

    first_discount: int
    knee_discount: int
    knee_seconds: int
    solvent_seconds: int
    insolvent_seconds: int
    minimum_slice: int
    fee: int
    reward: int
    reward_share: int


class Auction(NamedTuple):
    """`ILiquidation.Auction`: when it started, was marked and deleveraged, and whether it counts among `running`."""

    started: int
    marked: int = 0
    deleveraged: int = 0
    counted: bool = False


class Judgement(NamedTuple):
    """What the contract's engine says of an account, `IMarginEngine.Assessment` so far as liquidations need it."""

    maintenance: int
    initial: int
    equity_maintenance: int
    equity_initial: int
    net_value: int
    fresh: bool
    stale_value: int

    @property
    def health(self) -> int:
        return self.equity_maintenance - self.maintenance

    @property
    def excess(self) -> int:
        return self.equity_initial - self.initial


class Sale(NamedTuple):
    """What a bid that passed came to, money at 1e-18 USD.

    Attributes
    ----------
    before : Judgement
        Of the account, its interest paid.
    fraction : int
        Of everything; 0 where nothing or a package was sold.
    price, fee : int
        From the bidder, premium included, and to the fund, negative where it pays.
    reward, rewarded_by : int
        Of who started the auction, and the account that paid it, 0 for none.
    premium : int
        What cutting the sizes of all legs to 1e-6 can change.
    restoring : bool
        Whether the largest slice was what restores initial margin, and no minimum of it.
    unchecked : bool
        Whether the bidder was not looked at again.
    """

    kind: int
    account: int
    bidder: int
    before: Judgement
    fraction: int = 0
    price: int = 0
    fee: int = 0
    reward: int = 0
    rewarded_by: int = 0
    premium: int = 0
    restoring: bool = False
    unchecked: bool = False


class Act(NamedTuple):
    """One step of a batch: the name of the mirror's method, and its arguments behind the sender."""

    name: str
    arguments: tuple


@dataclass
class Account:
    """What the clearing house holds for one account: cash as of its last act, and the interest index of then."""

    owner: str
    mode: Mode
    cash: int = 0
    index: int = 0
    cost: int = 0
    weth: int = 0
    legs: dict[Instrument, int] = field(default_factory=dict)

    def copy(self) -> Account:
        return replace(self, legs=dict(self.legs))

    @property
    def key(self) -> tuple:
        """All that the clearing house holds for the account."""
        return (self.mode, self.cash, self.index, self.cost, self.weth, tuple(sorted(self.legs.items())))

    @property
    def has_linear(self) -> bool:
        """Whether there is a future or a perpetual in the book."""
        return any(i.kind in (PERP, FUTURE) for i in self.legs)


@dataclass(frozen=True)
class Figures:
    """The model's assessment of an account, USD, and what the contract may differ by.

    `error` bounds the difference in each of E_mm - MM, E_im - IM, equity, requirement, net value, stale value, and a
    scenario's P&L; the first two and STALE_FACTOR times the stale value, whose deltas err by less than epsilon N / 2,
    together by twice as much.
    With N = sum |q| (F + K) over options, f the initial factor and the constants of `tests/tolerances.py`:

    - M-16: a requirement exceeds the exact one by at most 4 f epsilon N, an equity falls short by at most epsilon N,
      and a scenario's profit errs by at most epsilon N: 5 f epsilon N covers each of them and each pair. What errors of
      delta and vega put into M-12 is h (1 + 2 x / depth) times 4e-10 N, for h below 0.001: lost in the 4. A mean of the
      largest losses over rows moves by no more than the losses do, and errs as the worst loss does.
    - Floats: NOISE of the gross G = N + sum |q| price of what is linear + |cash| + collateral, in equity and in the
      requirements of at most two underlyings, each with the derivative 1 + slope <= 2 of M-12, times f: 6 f NOISE G.
    - DUST: truncated divisions.

    An account of cash alone is a matter of integers: no error.
    """

    assessment: margin.Assessment
    net_value: float
    fresh: bool
    stale_value: float
    error: float

    @property
    def health(self) -> float:
        return self.assessment.equity_maintenance - self.assessment.maintenance

    @property
    def excess(self) -> float:
        """What there is above initial margin."""
        return self.assessment.equity_initial - self.assessment.initial


@dataclass(frozen=True)
class Prediction:
    """What a call does: the state after it (None if it must revert) and the reasons with which it may revert.

    `mode` is that of the account which lacks margin, if one does.
    """

    after: Mirror | None
    reasons: frozenset[str]
    mode: Mode | None = None


def not_negative(figure: float, error: float) -> bool | None:
    """Whether a figure is at least zero; None where its error leaves that open."""
    if abs(figure) <= error and error > 0.0:
        return None
    return figure >= 0.0


def either(a: bool | None, b: bool | None) -> bool | None:
    """Whether one of two verdicts passes; None where that is open."""
    return True if a or b else None if a is None or b is None else False


def both(a: bool | None, b: bool | None) -> bool | None:
    """Whether two verdicts pass; None where that is open."""
    return False if a is False or b is False else None if a is None or b is None else True


def truncated(amount: int, fraction: int) -> int:
    """A fraction of an amount, towards zero."""
    part = abs(amount) * fraction // WAD
    return part if amount >= 0 else -part


def mul_down(a: int, b: int) -> int:
    """a b at 1e-18, towards minus infinity."""
    return a * b // WAD


def mul_up(a: int, b: int) -> int:
    """a b at 1e-18, towards plus infinity."""
    return -(-a * b // WAD)
