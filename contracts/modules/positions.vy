# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Positions: a book of packed words for each account, ascending by instrument
@notice A package is merged into a book in one pass, and only the words that change are written. Beside the book stands
        `cost`, the sum of size * entry price over futures and perpetuals, in place of an entry price for each leg.
@custom:security Packages go into two books with opposite sizes, or out of one book into another, so that every
        instrument sums to zero over all accounts (INV-01).
"""

from contracts.libraries import position

MAX_LEGS: constant(uint256) = 128
MAX_UNDERLYINGS: constant(uint256) = 8
MAX_EXPIRIES: constant(uint256) = 16
# An account at every limit must be sold within the 2**24 gas of one transaction, which assesses it three times: an expiry
# costs as much as three legs there. In isolated and cross mode each leg is assessed alone, which is dearer still.
EXPIRY_WEIGHT: constant(uint256) = 3
MAX_WEIGHT: constant(uint256) = 152
MAX_CROSS_LEGS: constant(uint256) = 32
# By the tail of a scenario set each underlying, that of a claim too, costs as much as four legs, and a leg as much as eight.
MAX_TAIL_LEGS: constant(uint256) = 16
MAX_TAIL_WEIGHT: constant(uint256) = 36
TAIL_UNDERLYING_WEIGHT: constant(uint256) = 4
MAX_COLLATERALS: constant(uint256) = 16
# The field of the size in a word.
SIZE_MASK: constant(uint256) = (2**64 - 1) << 80
WAD: constant(int256) = 10**18

_books: HashMap[uint256, DynArray[uint256, MAX_LEGS]]
cost: public(HashMap[uint256, int256])
# By underlying: the long sizes of all instruments and accounts, 1e-6 units.
open_interest: public(HashMap[uint256, int256])
open_interest_cap: public(HashMap[uint256, int256])


@external
@view
def book(account: uint256) -> DynArray[uint256, MAX_LEGS]:
    """
    @custom:see IClearingHouse
    """
    return self._books[account]


@internal
def _add(account: uint256, package: DynArray[uint256, MAX_LEGS], sign: int256, cost: int256) -> int256:
    """
    @notice Merges a package into a book, or its opposite.
    @param account The account.
    @param package Words strictly ascending by instrument.
    @param sign 1 if the account receives the package, -1 if it gives it.
    @param cost What the futures and perpetuals of the package cost the receiver; may be negative.
    @return Profit to be added to the account's cash: all of it once the book holds no future or perpetual, else 0.
    """
    new: DynArray[uint256, MAX_LEGS] = []
    longer: DynArray[int256, MAX_LEGS] = []
    new, longer = self._merge(self._books[account], package, sign)
    underlying: uint256 = 0
    longs: int256 = 0
    for i: uint256 in range(len(package), bound=MAX_LEGS):
        if package[i] >> 248 != underlying:
            self._widen(underlying, longs)
            underlying = package[i] >> 248
            longs = 0
        longs += longer[i]
    self._widen(underlying, longs)
    # Whole: a word that stays has been read, and costs little to write again.
    self._books[account] = new
    total: int256 = self.cost[account] + sign * cost
    profit: int256 = 0
    if total != 0 and not self._has_linear(new):
        profit = -total
        total = 0
    if total != self.cost[account]:
        self.cost[account] = total
    return profit


@internal
def _widen(underlying: uint256, longs: int256):
    """
    @notice Counts what is open more than before.
    """
    if longs != 0:
        self.open_interest[underlying] += longs


@internal
@view
def _require_closing(receiver: uint256, giver: uint256, word: uint256):
    """
    @notice An instrument that nobody may open can be closed or handed on: all of the leg must close a position of one of its
            sides. Asked leg by leg, so that nothing else in the package can make up for it.
    @param receiver Gets the word's size.
    @param giver Gives it.
    @param word The leg, before it moves.
    """
    size: int256 = position.size(word)
    assert self._closes(receiver, word, size) or self._closes(giver, word, -size), "exchange: not listed"


@internal
@view
def _closes(account: uint256, word: uint256, change: int256) -> bool:
    """
    @return Whether a change of a word's instrument makes the account's position smaller, or ends it.
    """
    for held: uint256 in self._books[account]:
        if position.instrument(held) == position.instrument(word):
            size: int256 = position.size(held)
            # Sizes have 64 bits.
            return unsafe_mul(size, change) < 0 and unsafe_mul(size, unsafe_add(size, change)) >= 0
    return False


@internal
@view
def _open_interests(package: DynArray[uint256, MAX_LEGS]) -> DynArray[int256, MAX_LEGS]:
    """
    @return What is open in the underlying of each word.
    """
    interests: DynArray[int256, MAX_LEGS] = []
    for word: uint256 in package:
        interests.append(self.open_interest[position.underlying(word)])
    return interests


@internal
@view
def _require_caps(package: DynArray[uint256, MAX_LEGS], before: DynArray[int256, MAX_LEGS]):
    """
    @notice What is open in an underlying beyond its cap may only shrink.
    @param package What was traded.
    @param before What was open in the underlying of each word.
    """
    for i: uint256 in range(len(package), bound=MAX_LEGS):
        underlying: uint256 = position.underlying(package[i])
        cap: int256 = self.open_interest_cap[underlying]
        now: int256 = self.open_interest[underlying]
        assert cap == 0 or now <= cap or now <= before[i], "positions: open interest"


@internal
@pure
def _merge(
    book: DynArray[uint256, MAX_LEGS], package: DynArray[uint256, MAX_LEGS], sign: int256
) -> (DynArray[uint256, MAX_LEGS], DynArray[int256, MAX_LEGS]):
    """
    @notice The union of two ascending lists of words, sizes of the same instrument added, zero sizes left out.
    @param book Words.
    @param package Words.
    @param sign Of the sizes of the package: 1, or -1 for their opposites.
    @return The union; and for each word of the package, how much longer the book is in it, shorts counting as nothing.
    """
    merged: DynArray[uint256, MAX_LEGS] = []
    longer: DynArray[int256, MAX_LEGS] = []
    i: uint256 = 0
    j: uint256 = 0
    # Behind the end of a list stands what is greater than every word.
    held: uint256 = max_value(uint256)
    added: uint256 = max_value(uint256)
    if len(book) != 0:
        held = book[0]
    if len(package) != 0:
        added = package[0]
        assert added >> 144 != 0, "positions: order"
    # Fields of words are taken out in place: calls of libraries/position, as often, would cost a tenth of a sale.
    for _: uint256 in range(2 * MAX_LEGS):
        mine: uint256 = held >> 144
        theirs: uint256 = added >> 144
        word: uint256 = held
        size: int256 = 0
        if theirs <= mine:
            if added == max_value(uint256):
                break
            # Sizes have 64 bits.
            size = unsafe_mul(convert(convert(added << 112, bytes32), int256) >> 192, sign)
            before: int256 = 0
            word = added
            if theirs == mine:
                before = convert(convert(held << 112, bytes32), int256) >> 192
                size = unsafe_add(before, size)
            if theirs == mine or sign < 0:
                assert abs(size) <= position.MAX_SIZE, "positions: size"
                word = (added & ~SIZE_MASK) | ((convert(convert(size, bytes32), uint256) << 80) & SIZE_MASK)
            longer.append(unsafe_sub(max(size, 0), max(before, 0)))
            # At most 128 of each.
            j = unsafe_add(j, 1)
            added = max_value(uint256)
            if j < len(package):
                added = package[j]
                assert added >> 144 > theirs, "positions: order"
            if size == 0:
                word = 0
        if mine <= theirs:
            i = unsafe_add(i, 1)
            held = max_value(uint256)
            if i < len(book):
                held = book[i]
        if word != 0:
            assert len(merged) < MAX_LEGS, "positions: too many legs"
            merged.append(word)
    return merged, longer


@internal
@pure
def _resize(word: uint256, size: int256) -> uint256:
    """
    @notice The word of the same instrument with another size; its cached logarithm stays.
    """
    assert abs(size) <= position.MAX_SIZE, "positions: size"
    return (word & ~SIZE_MASK) | ((convert(convert(size, bytes32), uint256) << 80) & SIZE_MASK)


@internal
@pure
def _negate(package: DynArray[uint256, MAX_LEGS]) -> DynArray[uint256, MAX_LEGS]:
    """
    @return The same instruments with the opposite sizes.
    """
    negative: DynArray[uint256, MAX_LEGS] = []
    for word: uint256 in package:
        negative.append(self._resize(word, -position.size(word)))
    return negative


@internal
@pure
def _slice(book: DynArray[uint256, MAX_LEGS], fraction: int256) -> DynArray[uint256, MAX_LEGS]:
    """
    @notice A part of every leg. Sizes are rounded towards zero, each by less than a millionth; a leg of which nothing would
            move stays.
    @param book Words.
    @param fraction 1e-18, positive, at most 1e18.
    """
    part: DynArray[uint256, MAX_LEGS] = []
    for word: uint256 in book:
        # Towards zero: at most 9e18 * 1e18, and no more than the size, so that it fits its field.
        size: int256 = unsafe_mul(convert(convert(word << 112, bytes32), int256) >> 192, fraction) // WAD
        if size != 0:
            part.append((word & ~SIZE_MASK) | ((convert(convert(size, bytes32), uint256) << 80) & SIZE_MASK))
    return part


@internal
@pure
def _has_linear(book: DynArray[uint256, MAX_LEGS]) -> bool:
    """
    @return Whether there is a future or a perpetual in the book.
    """
    for word: uint256 in book:
        if (word >> 144) & 255 < position.CALL:
            return True
    return False


@internal
@pure
def _require_limits(
    book: DynArray[uint256, MAX_LEGS],
    claims: DynArray[uint256, MAX_COLLATERALS],
    most_legs: uint256,
    most_weight: uint256,
    underlying_weight: uint256,
):
    """
    @notice What makes an account admissible to the engine beyond the order of its words.
    @param book Words.
    @param claims Underlyings of the account's collateral; they take a place in the grid too.
    @param most_legs How many legs its mode allows.
    @param most_weight Of legs, expiries and underlyings together.
    @param underlying_weight Of an underlying.
    """
    assert len(book) <= most_legs, "positions: legs of this mode"
    weight: uint256 = len(book)
    seen: uint256 = 0  # one bit for each of the 256 ids
    underlyings: uint256 = 0
    expiries: uint256 = 0
    last: uint256 = 0  # underlying and expiry
    for word: uint256 in book:
        bucket: uint256 = word >> 216
        if bucket == last:
            continue
        last = bucket
        bit: uint256 = 1 << (bucket >> 32)
        if seen & bit == 0:
            seen |= bit
            underlyings += 1
            expiries = 0
        if bucket & (2**32 - 1) != 0:
            expiries += 1
            weight += EXPIRY_WEIGHT
            assert expiries <= MAX_EXPIRIES, "positions: too many expiries"
    for claim: uint256 in claims:
        bit: uint256 = 1 << claim
        if claim != 0 and seen & bit == 0:
            seen |= bit
            underlyings += 1
    assert underlyings <= MAX_UNDERLYINGS, "positions: underlyings"
    # At most 128 + 3 * 128 + 4 * 8.
    weight = unsafe_add(weight, unsafe_mul(underlyings, underlying_weight))
    assert weight <= most_weight, "positions: weight of this mode"
