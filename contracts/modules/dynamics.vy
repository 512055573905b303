# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Dynamics: the scan range that follows volatility, and the depth that follows open interest (M-21 to M-23)
@notice Both are lines in time that bend towards a target and stay there. A word holds them:

        scan range 40 | its target 40 | depth 20 | its target 20 | since 32 | what the user of this module keeps 104

        from the most significant bit: where they were at a time of the chain, and where they go from there.
@custom:security A change of target moves nothing in its own block, and afterwards no faster than two speeds that are
        fixed for ever: nobody is liquidated by an update of a parameter (INV-14).
"""

from snekmate.utils import math

WAD: constant(uint256) = 10**18
# Scan ranges, 1e-12.
ONE: constant(uint256) = 10**12
DAY: constant(uint256) = 86400
LN_2: constant(int256) = 693_147_180_559_945_309
# Of depth, 1e-6 a second: 5.04 points an hour, both ways.
DEPTH_SPEED: constant(uint256) = 14
# What the user of this module keeps.
REST: constant(uint256) = 2**104 - 1

# Scan range, 1e-12 a second.
rise: public(immutable(uint256))
fall: public(immutable(uint256))

# By underlying: variance of a day, 1e-18. A return of prices within 14 decades of each other, in one second: below 2**87.
_variances: HashMap[uint256, uint256]


@deploy
def __init__(rise_: uint256, fall_: uint256):
    """
    @notice Fixes how fast the scan range may move (M-22).
    @param rise_ At most 1e12, 1e-12 a second: that is from 0 to 100% in a second.
    @param fall_ The same.
    """
    assert rise_ != 0 and rise_ <= ONE, "dynamics: rise"
    assert fall_ != 0 and fall_ <= ONE, "dynamics: fall"
    rise = rise_
    fall = fall_


@internal
@view
def _scan_range(course: uint256) -> uint256:
    """
    @return Where the scan range is now, 1e-12.
    """
    start: uint256 = course >> 216
    target: uint256 = (course >> 176) & (2**40 - 1)
    if start == target:
        return start
    # Speeds of 40 bits, times of 32.
    elapsed: uint256 = self._elapsed(course)
    if start < target:
        return min(target, unsafe_add(start, unsafe_mul(elapsed, rise)))
    return unsafe_sub(start, min(unsafe_sub(start, target), unsafe_mul(elapsed, fall)))


@internal
@view
def _depth(course: uint256) -> uint256:
    """
    @return Where the depth is now, 1e-6.
    """
    start: uint256 = (course >> 156) & (2**20 - 1)
    target: uint256 = (course >> 136) & (2**20 - 1)
    if start == target:
        return start
    reach: uint256 = unsafe_mul(self._elapsed(course), DEPTH_SPEED)
    if start < target:
        return min(target, unsafe_add(start, reach))
    return unsafe_sub(start, min(unsafe_sub(start, target), reach))


@internal
@view
def _elapsed(course: uint256) -> uint256:
    """
    @return Seconds since the course was bent; 0 for a view of the time before.
    """
    since: uint256 = (course >> 104) & (2**32 - 1)
    return unsafe_sub(max(block.timestamp, since), since)


@internal
@view
def _bent(course: uint256, target: uint256, depth_target: uint256) -> uint256:
    """
    @param course The word so far.
    @param target Of the scan range, below 2**40.
    @param depth_target Of the depth, below 2**20.
    @return The word from now on: both where they are, and where they go.
    """
    return self._course(self._scan_range(course), target, self._depth(course), depth_target) | (course & REST)


@internal
@view
def _course(scan_range: uint256, target: uint256, depth: uint256, depth_target: uint256) -> uint256:
    """
    @return A word without what the user of this module keeps.
    """
    return (
        (scan_range << 216)
        | (target << 176)
        | (depth << 156)
        | (depth_target << 136)
        | (block.timestamp << 104)
    )


@internal
@pure
def _target_of(course: uint256) -> uint256:
    """
    @return Where the scan range goes, 1e-12.
    """
    return (course >> 176) & (2**40 - 1)


@internal
@pure
def _depth_target_of(course: uint256) -> uint256:
    """
    @return Where the depth goes, 1e-6.
    """
    return (course >> 136) & (2**20 - 1)


@internal
def _learn(
    underlying: uint256, before: uint256, spot: uint256, elapsed: uint256, halflife: uint256
) -> uint256:
    """
    @notice Feeds the return of an accepted price into the average of squared returns, weighted by time (M-21). Rounded up,
            so that margin is.
    @param underlying The id.
    @param before The price accepted last, from 1e-6 to 1e8 in units of 1e-9.
    @param spot The price now, within the same bounds.
    @param elapsed Seconds between the two, above 0, 32 bits.
    @param halflife Seconds, above 0.
    @return The variance of a day, 1e-18.
    """
    kept: int256 = math._wad_exp(-LN_2 * convert(elapsed, int256) // convert(halflife, int256))
    # |ln| < 33.
    move: int256 = math._wad_ln(convert(spot * WAD // before, int256))
    square: uint256 = convert(move * move, uint256) * DAY // elapsed
    weight: uint256 = convert(kept, uint256)
    variance: uint256 = (self._variances[underlying] * weight + square // WAD * (WAD - weight)) // WAD + 1
    self._variances[underlying] = variance
    return variance


@internal
def _begin(underlying: uint256, initial: uint256, multiple: uint256):
    """
    @notice Starts the average where the first target is the initial scan range.
    @param underlying The id.
    @param initial Scan range, 1e-12.
    @param multiple q of M-22, 1e-12, above 0.
    """
    deviation: uint256 = initial * WAD // multiple
    self._variances[underlying] = deviation * deviation // WAD


@internal
@pure
def _target(variance: uint256, multiple: uint256, least: uint256, most: uint256) -> uint256:
    """
    @notice clamp(q * sigma * sqrt(1 day), least, most) (M-22), rounded up.
    @param variance Of a day, 1e-18.
    @param multiple q, 1e-12.
    @param least Floor, 1e-12.
    @param most Cap, 1e-12.
    @return Scan range, 1e-12.
    """
    return min(max((isqrt(variance * WAD) * multiple + WAD - 1) // WAD, least), most)
