# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Peg feed: the peg of a staked token or a vault share, from what the market pays for it
@notice The public surface, with its natspec, is IPegSource and IPegFeed.
@custom:security Holds no money. No lock: it calls nothing that may change state.
"""

from contracts.interfaces import IPegFeed
from contracts.interfaces import IPegSource
from contracts.libraries import outside

implements: IPegFeed
implements: IPegSource

WAD: constant(uint256) = 10**18
DAY: constant(uint256) = 86_400
# As in Collaterals.
MAX_RATE: constant(uint256) = 10**26
MAX_GROWTH: constant(uint256) = 10**17
MAX_PEG: constant(uint256) = 2 * 10**18
# 1e-9, as in market data.
MAX_MARKET: constant(uint256) = 10**17
# Of the 100,000 that Collaterals gives: a source that uses all its share leaves the rate none, which is then not asked.
# One that answers has to leave 49,000; two feeds of Chainlink do. Lido's rate reads some 14 words from cold storage, behind
# two proxies: about 37,000.
SPOT_GAS: constant(uint256) = 85_000
RATE_GAS: constant(uint256) = 45_000
SPOT: constant(Bytes[4]) = method_id("spot()")
BITS_64: constant(uint256) = 2**64 - 1

source: public(immutable(address))
rate_source: public(immutable(address))
rate_selector: public(immutable(bytes4))
rate_decimals: public(immutable(uint256))
token_decimals: public(immutable(uint256))
max_growth: public(immutable(uint256))
# rate 128 | peg 64 | time at which they were noted 64
_noted: uint256


@deploy
def __init__(
    source_: address,
    rate_source_: address,
    rate_selector_: bytes4,
    rate_decimals_: uint256,
    token_decimals_: uint256,
    max_growth_: uint256,
):
    """
    @notice Fixes whom to ask, and notes what they say.
    @param source_ ISpotSource: what the market pays for the token, in units of its base. Usable now.
    @param rate_source_ What the market's price is divided by, where it quotes the wrapper; else empty.
    @param rate_selector_ Called with one whole token as argument, as by Collaterals.
    @param rate_decimals_ Of its answer, at most 18.
    @param token_decimals_ Of the token, at most 18.
    @param max_growth_ Of the rate, 1e-18 a day, at most 0.1: the same as in Collaterals.
    """
    assert rate_decimals_ <= 18, "feed: rate decimals"
    assert token_decimals_ <= 18, "feed: token decimals"
    assert max_growth_ <= MAX_GROWTH, "feed: growth"
    source = source_
    rate_source = rate_source_
    rate_selector = rate_selector_
    rate_decimals = rate_decimals_
    token_decimals = token_decimals_
    max_growth = max_growth_
    market: uint256 = self._market()
    assert market != 0, "feed: source unusable"
    rate: uint256 = WAD
    if rate_source_ != empty(address):
        rate = self._asked_rate()
        assert rate != 0, "feed: no rate"
    self._note(market, rate)


@external
def poke():
    """
    @custom:see IPegFeed
    """
    market: uint256 = self._market()
    assert market != 0, "feed: source unusable"
    rate: uint256 = 0
    answered: bool = False
    rate, answered = self._rate()
    assert answered, "feed: no rate"
    self._note(market, rate)


@external
@view
def peg() -> (uint256, bool):
    """
    @custom:see IPegSource
    """
    market: uint256 = self._market()
    if market == 0:
        # The source may have burnt all its share, and left none for the rate.
        return (self._noted >> 64) & BITS_64, False
    rate: uint256 = 0
    answered: bool = False
    rate, answered = self._rate()
    return self._quotient(market, rate), answered


@internal
def _note(market: uint256, rate: uint256):
    """
    @notice Keeps the peg; the rate grows from this one, for a day.
    """
    peg: uint256 = self._quotient(market, rate)
    self._noted = rate << 128 | peg << 64 | block.timestamp
    log IPegFeed.Noted(peg=peg, rate=rate)


@internal
@pure
def _quotient(market: uint256, rate: uint256) -> uint256:
    """
    @notice Market over rate, rounded down. At least 10, as the market is at least 1 and the rate at most 1e26; cut where
            Collaterals stops to believe it, for of a premium nothing counts.
    """
    return min(market * 10**9 * WAD // rate, MAX_PEG)


@internal
@view
def _rate() -> (uint256, bool):
    """
    @return The rate that is used, 1e-18, and whether its source has answered.
    """
    noted: uint256 = self._noted
    rate: uint256 = noted >> 128
    if rate_source == empty(address):
        return rate, True
    asked: uint256 = self._asked_rate()
    if asked == 0:
        return rate, False
    # Growth stops after a day, rounded down, as in Collaterals.
    growth: uint256 = rate * max_growth * min(block.timestamp - (noted & BITS_64), DAY) // (WAD * DAY)
    return min(asked, min(rate + growth, MAX_RATE)), True


@internal
@view
def _market() -> uint256:
    """
    @return What the market pays, 1e-9; 0 where that cannot be used.
    """
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(source, SPOT, 4, SPOT_GAS)
    if not answered or outside.word(answer, 3) != 1:
        return 0
    market: uint256 = outside.word(answer, 0)
    return market if market <= MAX_MARKET else 0


@internal
@view
def _asked_rate() -> uint256:
    """
    @return What the source of the rate says, at 1e-18; 0 where it says nothing that can be used.
    """
    # With the argument where the function takes none: contracts do not mind.
    payload: Bytes[68] = concat(rate_selector, convert(10**token_decimals, bytes32))
    answer: Bytes[160] = b""
    answered: bool = False
    answer, answered = outside.ask(rate_source, payload, 1, RATE_GAS)
    if not answered:
        return 0
    rate: uint256 = outside.word(answer, 0)
    # First, so that it can be scaled.
    if rate > MAX_RATE:
        return 0
    rate *= 10 ** (18 - rate_decimals)
    return rate if rate <= MAX_RATE else 0
