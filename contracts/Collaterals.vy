# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Collaterals: what each kind of collateral is, what it is worth, and how fast it may leave
@notice Owned by whoever owns the clearing house. The public surface, with its natspec, is ICollaterals.
@custom:security Holds no money. Sources are asked with little gas, for little data and without a right to change state;
        what they answer is bounded before it is used.
"""

from ethereum.ercs import IERC20Detailed

from contracts.interfaces import IBackstop
from contracts.interfaces import IClearingHouse
from contracts.interfaces import ICollaterals
from contracts.interfaces import IMarginEngine
from contracts.interfaces import IMarketData
from contracts.libraries import outside

implements: ICollaterals

QUOTE: constant(uint256) = 0
MAX_COLLATERALS: constant(uint256) = 16
WAD: constant(uint256) = 10**18
DAY: constant(uint256) = 86_400
# Amounts at 1e-18 stay inside what the engine's signed arithmetic bears.
MAX_AMOUNT: constant(uint256) = 2**96
# 1e8 at 1e-18, as for the prices of market data, for which no charge overflows.
MAX_PRICE: constant(uint256) = 10**26
MAX_RATE: constant(uint256) = 10**26
MAX_GROWTH: constant(uint256) = 10**17
# No market pays double for what can be bought at its worth.
MAX_PEG: constant(uint256) = 2 * 10**18
# Both haircuts grow by PEG_SLOPE for each unit by which the peg is below PEG_FLOOR.
PEG_FLOOR: constant(uint256) = 99 * 10**16
PEG_SLOPE: constant(uint256) = 4
# Ample for a proxy in front of a vault; sixteen kinds whose sources burn it all cost a margin check 3.3M.
SOURCE_GAS: constant(uint256) = 100_000
# IPegSource.
PEG: constant(Bytes[4]) = method_id("peg()")
LISTED: constant(uint256) = 1 << 255
BITS_64: constant(uint256) = 2**64 - 1

clearing_house: public(immutable(address))
backstop: public(address)
count: public(uint256)
terms: public(HashMap[uint256, ICollaterals.Terms])
_is_listed: HashMap[address, bool]
# What a margin check needs of the terms, again, in two words: an account at every limit must be sold in one transaction.
# 1 | haircut_initial 64 | haircut_maintenance 64 | max_growth 64 | underlying 8 | decimals 8, from bit 255 and 207 down.
_facts: HashMap[uint256, uint256]
# rate_source 160 | rate_selector 32 | rate_decimals 8
_rate_facts: HashMap[uint256, uint256]
# rate << 64 | time at which it was noted
_noted: HashMap[uint256, uint256]
# amount << 64 | time: what of a day's withdrawals had not been refilled then
_outflow: HashMap[uint256, uint256]


@deploy
def __init__(clearing_house_: address, quote: address, cap: uint256):
    """
    @notice Lists the quote token.
    @param clearing_house_ IClearingHouse, which must appoint this contract.
    @param quote A stablecoin of the quote currency with at most 18 decimals.
    @param cap Token units.
    """
    clearing_house = clearing_house_
    self._store(
        QUOTE,
        ICollaterals.Terms(
            token=quote,
            underlying=0,
            haircut_initial=0,
            haircut_maintenance=0,
            cap=cap,
            withdrawal_limit=0,
            sources=empty(ICollaterals.Sources),
        ),
    )
    self._note(QUOTE, WAD)


@external
def list_collateral(terms: ICollaterals.Terms) -> uint256:
    """
    @custom:see ICollaterals
    """
    self._require_owner()
    collateral: uint256 = self.count + 1
    assert collateral <= MAX_COLLATERALS, "collaterals: too many kinds"
    assert terms.underlying < 256, "collaterals: underlying"
    assert terms.haircut_initial < WAD, "collaterals: haircut"
    assert terms.haircut_maintenance <= terms.haircut_initial, "collaterals: haircut"
    self.count = collateral
    self._store(collateral, terms)
    self._set_sources(collateral, terms.sources, MAX_RATE)
    return collateral


@external
def set_cap(collateral: uint256, cap: uint256):
    """
    @custom:see ICollaterals
    """
    self._require_owner()
    self._require_known(collateral)
    self._set_cap(collateral, cap)


@external
def set_withdrawal_limit(collateral: uint256, withdrawal_limit: uint256):
    """
    @custom:see ICollaterals
    """
    self._require_owner()
    self._require_known(collateral)
    self._set_withdrawal_limit(collateral, withdrawal_limit)


@external
def set_sources(collateral: uint256, sources: ICollaterals.Sources):
    """
    @custom:see ICollaterals
    """
    self._require_owner()
    self._require_known(collateral)
    assert collateral != QUOTE, "collaterals: quote"
    self._set_sources(collateral, sources, self._most(collateral, self._facts[collateral]))


@external
def set_backstop(backstop: address):
    """
    @custom:see ICollaterals
    """
    self._require_owner()
    # Claims to what was kept are kept there.
    assert self.backstop == empty(address), "collaterals: backstop is fixed"
    assert staticcall IBackstop(backstop).clearing_house() == clearing_house, "collaterals: backstop"
    self.backstop = backstop
    log ICollaterals.BackstopSet(backstop=backstop)


@external
def poke(collateral: uint256):
    """
    @custom:see ICollaterals
    """
    self._require_known(collateral)
    rate: uint256 = 0
    answered: bool = False
    rate, answered = self._rate(collateral, self._facts[collateral])
    assert answered, "collaterals: no rate"
    self._note(collateral, rate)


@external
def release(collateral: uint256, amount: uint256, account: uint256, fund_cash: int256) -> (address, uint256):
    """
    @custom:see ICollaterals
    """
    assert msg.sender == clearing_house, "collaterals: caller"
    self._require_known(collateral)
    paid: uint256 = amount
    if collateral == QUOTE and fund_cash < 0 and self.backstop != empty(address):
        paid = extcall IBackstop(self.backstop).dock(account, amount, convert(-fund_cash, uint256))
        assert paid <= amount, "collaterals: paid"
    limit: uint256 = self.terms[collateral].withdrawal_limit
    if limit != 0:
        used: uint256 = self._used(collateral, limit) + paid
        assert used <= limit, "collaterals: withdrawal limit"
        self._outflow[collateral] = used << 64 | block.timestamp
    return self.terms[collateral].token, paid


@external
@view
def intake(collateral: uint256) -> (address, uint256):
    """
    @custom:see ICollaterals
    """
    self._require_known(collateral)
    return self.terms[collateral].token, self.terms[collateral].cap


@external
@view
def withdrawable(collateral: uint256) -> uint256:
    """
    @custom:see ICollaterals
    """
    self._require_known(collateral)
    limit: uint256 = self.terms[collateral].withdrawal_limit
    if limit == 0:
        return max_value(uint256)
    return limit - self._used(collateral, limit)


@external
@view
def underlyings_of(held: uint256) -> DynArray[uint256, MAX_COLLATERALS]:
    """
    @custom:see ICollaterals
    """
    underlyings: DynArray[uint256, MAX_COLLATERALS] = []
    kinds: DynArray[uint256, MAX_COLLATERALS] = self._kinds(held)
    for kind: uint256 in kinds:
        underlyings.append(self._underlying(kind))
    return underlyings


@external
@view
def price_of(collateral: uint256, market_data: address) -> (uint256, bool):
    """
    @custom:see ICollaterals
    """
    v: ICollaterals.Value = self._value(collateral, market_data)
    return v.price, v.fresh


@external
@view
def unit(collateral: uint256) -> uint256:
    """
    @custom:see ICollaterals
    """
    self._require_known(collateral)
    return self._unit(collateral)


@external
@view
def value(collateral: uint256) -> ICollaterals.Value:
    """
    @custom:see ICollaterals
    """
    return self._value(collateral, staticcall IClearingHouse(clearing_house).market_data())


@external
@view
def holdings(
    held: uint256, amounts: DynArray[uint256, MAX_COLLATERALS], market_data: address
) -> (DynArray[IMarginEngine.Holding, MAX_COLLATERALS], bool, int256):
    """
    @custom:see ICollaterals
    """
    holdings: DynArray[IMarginEngine.Holding, MAX_COLLATERALS] = []
    fresh: bool = True
    stale_value: int256 = 0
    kinds: DynArray[uint256, MAX_COLLATERALS] = self._kinds(held)
    for i: uint256 in range(len(kinds), bound=MAX_COLLATERALS):
        v: ICollaterals.Value = self._value(kinds[i], market_data)
        amount: uint256 = amounts[i] * self._unit(kinds[i])
        if not v.fresh:
            fresh = False
            stale_value += convert(amount * v.price // WAD, int256)
        holdings.append(
            IMarginEngine.Holding(
                underlying=self._underlying(kinds[i]),
                amount=amount,
                price=v.price,
                haircut_initial=v.haircut_initial,
                haircut_maintenance=v.haircut_maintenance,
            )
        )
    return holdings, fresh, stale_value


@internal
@view
def _require_owner():
    """
    @notice Only the owner of the clearing house passes.
    """
    assert msg.sender == staticcall IClearingHouse(clearing_house).owner(), "authority: not the owner"


@internal
@view
def _require_known(collateral: uint256):
    """
    @notice Only kinds that are listed pass.
    """
    assert self._facts[collateral] != 0, "collaterals: unknown kind"


@internal
def _store(collateral: uint256, terms: ICollaterals.Terms):
    """
    @notice Keeps the terms of a new kind, but for its sources.
    """
    assert not self._is_listed[terms.token], "collaterals: listed already"
    decimals: uint256 = convert(staticcall IERC20Detailed(terms.token).decimals(), uint256)
    assert decimals <= 18, "collaterals: decimals"
    self._is_listed[terms.token] = True
    self.terms[collateral] = terms
    self._pack(collateral, decimals)
    log ICollaterals.CollateralListed(
        collateral=collateral,
        token=terms.token,
        underlying=terms.underlying,
        haircut_initial=terms.haircut_initial,
        haircut_maintenance=terms.haircut_maintenance,
    )
    self._set_cap(collateral, terms.cap)
    self._set_withdrawal_limit(collateral, terms.withdrawal_limit)


@internal
def _set_cap(collateral: uint256, cap: uint256):
    """
    @notice Changes how much may be credited in all.
    """
    assert cap * self._unit(collateral) <= MAX_AMOUNT, "collaterals: cap"
    self.terms[collateral].cap = cap
    log ICollaterals.CapSet(collateral=collateral, cap=cap)


@internal
def _set_withdrawal_limit(collateral: uint256, withdrawal_limit: uint256):
    """
    @notice Changes how much may leave within a day.
    """
    assert withdrawal_limit <= MAX_AMOUNT, "collaterals: withdrawal limit"
    # At most the new limit is used up, so that it is whole again within a day.
    used: uint256 = min(self._used(collateral, self.terms[collateral].withdrawal_limit), withdrawal_limit)
    self._outflow[collateral] = used << 64 | block.timestamp
    self.terms[collateral].withdrawal_limit = withdrawal_limit
    log ICollaterals.WithdrawalLimitSet(collateral=collateral, withdrawal_limit=withdrawal_limit)


@internal
def _set_sources(collateral: uint256, sources: ICollaterals.Sources, most: uint256):
    """
    @notice Changes whom to ask, and notes what is answered.
    @param collateral The kind.
    @param sources Whom to ask.
    @param most What the rate may be at most, 1e-18.
    """
    has_rate: bool = sources.rate_source != empty(address)
    # No 1:1 assumption: of a stablecoin, a staked token or a vault share the market has to say what it is worth.
    if has_rate or self.terms[collateral].underlying == 0:
        assert sources.peg_source != empty(address), "collaterals: no peg source"
    assert sources.rate_decimals <= 18, "collaterals: rate decimals"
    assert sources.max_growth <= MAX_GROWTH, "collaterals: growth"
    self.terms[collateral].sources = sources
    self._pack(collateral, self._facts[collateral] & 255)
    rate: uint256 = WAD
    if has_rate:
        rate = self._asked_rate(self._rate_facts[collateral], self._facts[collateral])
        assert rate != 0, "collaterals: no rate"
    else:
        assert rate <= most, "collaterals: growth"
    log ICollaterals.SourcesSet(collateral=collateral, sources=sources)
    self._note(collateral, min(rate, most))


@internal
def _pack(collateral: uint256, decimals: uint256):
    """
    @notice Keeps the facts of terms that have changed.
    """
    terms: ICollaterals.Terms = self.terms[collateral]
    self._facts[collateral] = (
        LISTED
        | (terms.haircut_initial << 144)
        | (terms.haircut_maintenance << 80)
        | (terms.sources.max_growth << 16)
        | (terms.underlying << 8)
        | decimals
    )
    self._rate_facts[collateral] = (
        (convert(terms.sources.rate_source, uint256) << 40)
        | (convert(terms.sources.rate_selector, uint256) << 8)
        | terms.sources.rate_decimals
    )


@internal
def _note(collateral: uint256, rate: uint256):
    """
    @notice Lets the rate grow from this one, for a day.
    """
    self._noted[collateral] = rate << 64 | block.timestamp
    log ICollaterals.RateNoted(collateral=collateral, rate=rate)


@internal
@view
def _unit(collateral: uint256) -> uint256:
    """
    @return 1e-18 units in one unit of the token.
    """
    return 10 ** (18 - (self._facts[collateral] & 255))


@internal
@view
def _underlying(collateral: uint256) -> uint256:
    """
    @return Of which it is a claim.
    """
    return (self._facts[collateral] >> 8) & 255


@internal
@pure
def _kinds(held: uint256) -> DynArray[uint256, MAX_COLLATERALS]:
    """
    @return The kinds whose bits are set, ascending.
    """
    kinds: DynArray[uint256, MAX_COLLATERALS] = []
    for kind: uint256 in range(1, MAX_COLLATERALS + 1):
        if held >> kind == 0:
            break
        if (held >> kind) & 1 == 1:
            kinds.append(kind)
    return kinds


@internal
@view
def _used(collateral: uint256, limit: uint256) -> uint256:
    """
    @return How much of a limit is used up now, rounded up, at most the limit.
    """
    outflow: uint256 = self._outflow[collateral]
    refilled: uint256 = limit * (block.timestamp - (outflow & BITS_64)) // DAY
    return max(outflow >> 64, refilled) - refilled


@internal
@view
def _value(collateral: uint256, market_data: address) -> ICollaterals.Value:
    """
    @return What a kind is worth now.
    """
    facts: uint256 = self._facts[collateral]
    assert facts != 0, "collaterals: unknown kind"
    fresh: bool = True
    base: uint256 = WAD
    underlying: uint256 = self._underlying(collateral)
    if underlying != 0:
        words: DynArray[uint256, 33] = []
        words, fresh = staticcall IMarketData(market_data).read(underlying, [])
        # 72 bits of 1e-9 quote units.
        base = (words[0] >> 184) * 10**9
    rate: uint256 = 0
    peg: uint256 = 0
    answered: bool = False
    rate, answered = self._rate(collateral, facts)
    fresh = fresh and answered
    peg, answered = self._peg(collateral)
    fresh = fresh and answered
    discount: uint256 = PEG_SLOPE * (max(PEG_FLOOR, peg) - peg)
    return ICollaterals.Value(
        # Base and rate are at most 1e26, peg at most 1e18.
        price=min(base * rate * peg // WAD**2, MAX_PRICE),
        rate=rate,
        peg=peg,
        haircut_initial=min(((facts >> 144) & BITS_64) + discount, WAD - 1),
        haircut_maintenance=min(((facts >> 80) & BITS_64) + discount, WAD - 1),
        fresh=fresh,
    )


@internal
@view
def _rate(collateral: uint256, facts: uint256) -> (uint256, bool):
    """
    @return The rate that is used, at 1e-18, and whether its source has answered.
    """
    rate_facts: uint256 = self._rate_facts[collateral]
    if rate_facts >> 40 == 0:
        return WAD, True
    rate: uint256 = self._asked_rate(rate_facts, facts)
    if rate == 0:
        return self._noted[collateral] >> 64, False
    return min(rate, self._most(collateral, facts)), True


@internal
@view
def _most(collateral: uint256, facts: uint256) -> uint256:
    """
    @notice Growth stops after a day: what nobody has noted for long cannot have been watched either.
    @return What the rate may be at most now, at 1e-18, rounded down.
    """
    noted: uint256 = self._noted[collateral]
    seconds: uint256 = min(block.timestamp - (noted & BITS_64), DAY)
    growth: uint256 = (noted >> 64) * ((facts >> 16) & BITS_64) * seconds // (WAD * DAY)
    return min((noted >> 64) + growth, MAX_RATE)


@internal
@view
def _asked_rate(rate_facts: uint256, facts: uint256) -> uint256:
    """
    @return What the source of the rate says, at 1e-18; 0 where it says nothing that can be used.
    """
    # With the argument where the function takes none: contracts do not mind.
    payload: Bytes[36] = concat(
        convert(convert((rate_facts >> 8) & (2**32 - 1), uint32), bytes4), convert(10 ** (facts & 255), bytes32)
    )
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(convert(rate_facts >> 40, address), payload, 1, SOURCE_GAS)
    if not answered:
        return 0
    rate: uint256 = outside.word(answer, 0)
    # First, so that it can be scaled.
    if rate > MAX_RATE:
        return 0
    rate *= 10 ** (18 - (rate_facts & 255))
    return rate if rate <= MAX_RATE else 0


@internal
@view
def _peg(collateral: uint256) -> (uint256, bool):
    """
    @return The peg that is used, at 1e-18, at most 1, and whether it is fresh.
    """
    source: address = self.terms[collateral].sources.peg_source
    if source == empty(address):
        return WAD, True
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(source, PEG, 2, SOURCE_GAS)
    if not answered:
        return WAD, False
    peg: uint256 = outside.word(answer, 0)
    if peg == 0 or peg > MAX_PEG:
        return WAD, False
    return min(peg, WAD), outside.word(answer, 1) == 1

