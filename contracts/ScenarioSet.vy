# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Scenario set: one history of joint moves, fixed for ever (M-18)
@notice To take in newer days, governance deploys another and points the engine's successor at it.
@custom:security The bounds below are what keeps the arithmetic of the tail in range. The rows stand in the code: who reads
        those of one underlying pays for a copy of code, and not for storage.
"""

from contracts.interfaces import IScenarioSet

implements: IScenarioSet

MAX_UNDERLYINGS: constant(uint256) = 8
MAX_ROWS: constant(uint256) = 256
MAX_WORDS: constant(uint256) = 64
# At 1e-6.
MAX_RETURN: constant(int256) = 50 * 10**6
MIN_VOL_MOVE: constant(int256) = -950_000
MAX_VOL_MOVE: constant(int256) = 10 * 10**6

COUNT: immutable(uint256)
UNDERLYINGS: immutable(DynArray[uint256, MAX_UNDERLYINGS])
ROWS: immutable(DynArray[DynArray[uint256, MAX_WORDS], MAX_UNDERLYINGS])
DIGEST: immutable(bytes32)


@deploy
def __init__(
    count_: uint256,
    underlyings_: DynArray[uint256, MAX_UNDERLYINGS],
    rows_: DynArray[DynArray[uint256, MAX_WORDS], MAX_UNDERLYINGS],
):
    """
    @notice Checks every number.
    @param count_ How many rows there are, 1 to 256.
    @param underlyings_ Ids, 1 to 255, strictly ascending.
    @param rows_ The words of each underlying, in that order (see `IScenarioSet`).
    """
    assert count_ > 0 and count_ <= MAX_ROWS, "scenario set: count"
    assert len(underlyings_) > 0, "scenario set: underlyings"
    assert len(rows_) == len(underlyings_), "scenario set: rows"
    previous: uint256 = 0
    for u: uint256 in underlyings_:
        assert u > previous and u < 256, "scenario set: underlyings"
        previous = u
    for words: DynArray[uint256, MAX_WORDS] in rows_:
        assert len(words) == (count_ + 3) // 4, "scenario set: rows"
        i: uint256 = 0
        for word: uint256 in words:
            for lane: uint256 in range(4):
                field: uint256 = (word >> (64 * lane)) & (2**64 - 1)
                if i >= count_:
                    assert field == 0, "scenario set: padding"
                x: int256 = convert(convert(field << 192, bytes32), int256) >> 224
                y: int256 = convert(convert(field << 224, bytes32), int256) >> 224
                assert abs(x) <= MAX_RETURN, "scenario set: x"
                assert y >= MIN_VOL_MOVE and y <= MAX_VOL_MOVE, "scenario set: y"
                i += 1
    COUNT = count_
    UNDERLYINGS = underlyings_
    ROWS = rows_
    DIGEST = keccak256(abi_encode(count_, underlyings_, rows_))


@external
@view
def rows(underlying: uint256) -> DynArray[uint256, MAX_WORDS]:
    """
    @custom:see IScenarioSet
    """
    i: uint256 = 0
    for u: uint256 in UNDERLYINGS:
        if u == underlying:
            return ROWS[i]
        i += 1
    return []


@external
@view
def count() -> uint256:
    """
    @custom:see IScenarioSet
    """
    return COUNT


@external
@view
def underlyings() -> DynArray[uint256, MAX_UNDERLYINGS]:
    """
    @custom:see IScenarioSet
    """
    return UNDERLYINGS


@external
@view
def digest() -> bytes32:
    """
    @custom:see IScenarioSet
    """
    return DIGEST
