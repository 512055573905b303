# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Static arbitrage of raw-SVI surfaces: what no prices may allow, whoever signed them
@notice An expiry is judged as it stands. Against k = ln(K / F) of its forward now, the total variance that remains is

            w(k) = a + b (rho (k - m) + sqrt((k - m)**2 + sigma**2)),

        a and b being those published times tau / ref_tau, and m that published less ln(F / F_svi). Asked of each:

        * wings      b (1 + |rho|) < 2. Nothing steeper is free of arbitrage (Lee), and at 2 itself neither a call falls to
                     nothing as its strike grows, nor the chance of a price of zero;
        * variance   1e-12 <= min w = a + b sigma sqrt(1 - rho**2) <= 1000, what vols of 1% to 1000% (M-1) can make of
                     a second and of ten years;
        * butterfly  g(k) = (1 - k w' / (2 w))**2 - w'**2 / 4 (1 / w + 1 / 4) + w'' / 2 >= 0 (Durrleman), which is where
                     the density of the price is not negative;

        and of neighbours:

        * calendar   w of the later is nowhere below 8191 / 8192 of w of the earlier: 0.006% of a vol are let pass.

        Both are sought along k = m + sigma sinh(u), where a slice itself bends. There sqrt((k - m)**2 + sigma**2) is
        sigma cosh(u), so no root is drawn. First on a grid of u: 0, 1/2, ... 3, 4, 5, 6, to both sides; then, on either
        side, from the least value downhill by steps of 1/2, 1/4, ... 1/64, for as long as what is hidden between points
        so far apart could reach zero. Beyond the grid, slices are straight: the last points and the slopes decide.

        Sources: R. Lee, The moment formula for implied volatility at extreme strikes, 2004; J. Gatheral and A. Jacquier,
        Arbitrage-free SVI volatility surfaces, 2014.
@custom:security What is missed is a second dip between points of one side. Of 4,000 random surfaces put at the edge of acceptance,
        g of 1 in 100 fell below -0.00016 and the least to -0.0023 (a density of -0.2% of the lognormal one); of 4,452 pairs
        put at the edge, w of 1 in 100 fell by another 0.02% somewhere and of the worst by 0.2%. Wings that have not
        unfolded where the grid ends are judged by their asymptotes: refused with them was nothing of least g above
        0.000021 where |rho| < 0.999 and b < 100 sigma, nothing above 0.0021 with sharper points, but up to 0.18 beyond
        that rho. The clamps of vols (M-1) are left out. Total: within the bounds of `MarketData` nothing overflows.
"""

from snekmate.utils import math

from contracts.interfaces import IMarketData

# What is wrong with an expiry. Zero: nothing.
PARAMETERS: constant(uint256) = 1
WINGS: constant(uint256) = 2
VARIANCE: constant(uint256) = 3
BUTTERFLY: constant(uint256) = 4

MAX_EXPIRIES: constant(uint256) = 16
# The bounds of `MarketData`: prices in 1e-9, parameters in 1e-12, seconds.
MIN_PRICE: constant(uint256) = 10**3
MAX_PRICE: constant(uint256) = 10**17
ONE_SVI: constant(int256) = 10**12
MAX_SVI: constant(int256) = 100 * 10**12
MAX_TENOR: constant(uint256) = 10 * 365 * 86400

# All that follows is in units of 2**-80, of which a product is shifted back.
UNIT: constant(uint256) = 80
ONE: constant(int256) = 2**80
# A unit of what is published: 2 is not reached by rounding.
ROUNDING: constant(int256) = 2**40
# Bits: 1/8192 of total variance, 1/16384 of a vol.
ALLOWED: constant(uint256) = 13
MIN_VARIANCE: constant(int256) = 2**80 // 10**12
MAX_VARIANCE: constant(int256) = 1000 * 2**80

# cosh(u) and sinh(u), rounded to nearest. Of the grid beside 0: 1/2, 1, 3/2, 2, 5/2, 3, 4, 5, 6.
GRID: constant(int256[2][9]) = [
    [1_363_216_144_205_861_211_177_530, 629_965_569_291_364_106_087_365],
    [1_865_470_021_175_480_875_662_632, 1_420_731_066_237_923_210_297_929],
    [2_843_888_722_177_277_237_911_068, 2_574_140_910_439_093_239_219_786],
    [4_548_215_509_393_905_392_439_278, 4_384_605_191_184_305_409_661_184],
    [7_413_483_085_316_589_605_038_641, 7_314_248_411_077_127_046_155_241],
    [12_171_056_529_848_688_896_160_008, 12_110_867_657_415_859_400_871_157],
    [33_013_627_763_508_360_406_395_474, 32_991_485_514_753_031_861_596_198],
    [89_714_322_843_888_586_062_613_732, 89_706_177_165_790_196_733_249_672],
    [243_859_240_728_426_291_485_004_478, 243_856_244_100_919_493_561_553_505],
]
# Of the steps downhill: 1/2, 1/4, 1/8, 1/16, 1/32, 1/64.
STEPS: constant(int256[2][6]) = [
    [1_363_216_144_205_861_211_177_530, 629_965_569_291_364_106_087_365],
    [1_246_901_927_133_178_385_718_928, 305_389_552_142_065_237_335_347],
    [1_218_382_856_816_657_861_219_853, 151_509_565_552_204_304_111_452],
    [1_211_287_771_570_487_374_926_232, 75_607_064_652_017_040_449_544],
    [1_209_516_163_464_947_682_783_723, 37_785_081_077_895_354_505_702],
    [1_209_073_396_569_643_036_397_685, 18_890_234_555_197_539_182_575],
]
# cosh(1/2) - 1: how far cosh(u) is below its chord over 1 of u, at most.
HIDDEN_GAP: constant(int256) = 154_290_324_591_232_036_471_354
# How far g may dip between points 1 apart, with room to spare; between points half as far apart, a quarter of it.
HIDDEN_DIP: constant(int256) = 2**78


struct Slice:
    a: int256
    b: int256
    rho: int256
    m: int256
    sigma: int256


struct Curve:
    smile: Slice
    # b rho, b sigma, b rho sigma, and b / (2 sigma) at 2**-160.
    tilt: int256
    beta: int256
    lean: int256
    bend: int256


struct Gap:
    # The heights over the two asymptotes of the earlier are base + beta cosh u + rise sinh u.
    beta: int256
    right_base: int256
    right_rise: int256
    left_base: int256
    left_rise: int256
    # (b sigma)**2 of the earlier, 2**-160.
    product: int256


@internal
@pure
def require_free_of_arbitrage(updates: DynArray[IMarketData.ExpiryUpdate, MAX_EXPIRIES], timestamp: uint256):
    """
    @notice Reverts unless the expiries, alone and in turn, are free of static arbitrage at a time. Those not after it have
            no variance left and are passed over.
    @param updates Strictly ascending in expiry; units as `IMarketData` states.
    @param timestamp Seconds since 1970, below 2**64.
    """
    last: uint256 = 0
    near: Slice = empty(Slice)
    for update: IMarketData.ExpiryUpdate in updates:
        assert update.expiry > last, "surface: expiries"
        last = update.expiry
        if last > timestamp:
            assert self.is_admissible(update, timestamp), "surface: parameters"
            far: Slice = self.remaining(update, timestamp)
            reason: uint256 = self.flaw(far)
            assert reason != WINGS, "surface: wings"
            assert reason != VARIANCE, "surface: variance"
            assert reason != BUTTERFLY, "surface: butterfly"
            # The first has no earlier one: a slice has a positive sigma.
            if near.sigma != 0:
                assert not self.crosses(near, far), "surface: calendar"
            near = far


@internal
@pure
def is_admissible(update: IMarketData.ExpiryUpdate, timestamp: uint256) -> bool:
    """
    @notice Whether the numbers are within the bounds of `MarketData`, within which nothing here overflows.
    @param update Any.
    @param timestamp Seconds since 1970, before the expiry and below 2**64.
    @return False where one is not.
    """
    s: IMarketData.Surface = update.surface
    return (
        update.expiry <= timestamp + MAX_TENOR
        and update.forward >= MIN_PRICE
        and update.forward <= MAX_PRICE
        and s.forward >= MIN_PRICE
        and s.forward <= MAX_PRICE
        and s.ref_seconds != 0
        and s.ref_seconds <= MAX_TENOR
        and s.a >= -MAX_SVI
        and s.a <= MAX_SVI
        and s.b >= 0
        and s.b <= MAX_SVI
        and s.rho > -ONE_SVI
        and s.rho < ONE_SVI
        and s.m >= -MAX_SVI
        and s.m <= MAX_SVI
        and s.sigma > 0
        and s.sigma <= MAX_SVI
    )


@internal
@pure
def remaining(update: IMarketData.ExpiryUpdate, timestamp: uint256) -> Slice:
    """
    @notice Total variance that remains against ln(K / F) of the forward now. Rounded to zero, by less than
            2**-80 in each number but m, which errs by the rounding of the two logarithms, 2e-18.
    @param update Admissible; see `is_admissible`.
    @param timestamp Seconds since 1970, before the expiry.
    @return Raw SVI, 2**-80.
    """
    s: IMarketData.Surface = update.surface
    # Below 2**29 seconds; parameters below 2**47.
    seconds: int256 = convert(update.expiry - timestamp, int256)
    ref_seconds: int256 = convert(s.ref_seconds, int256)
    smile: Slice = Slice(
        a=(s.a << UNIT) // ONE_SVI,
        b=(s.b << UNIT) // ONE_SVI,
        rho=(s.rho << UNIT) // ONE_SVI,
        m=(s.m << UNIT) // ONE_SVI,
        sigma=(s.sigma << UNIT) // ONE_SVI,
    )
    # Published of this moment, as it mostly is, it stands as it is.
    if seconds != ref_seconds:
        smile.a = s.a * seconds * ONE // (ref_seconds * ONE_SVI)
        smile.b = s.b * seconds * ONE // (ref_seconds * ONE_SVI)
    if update.forward != s.forward:
        drift: int256 = math._wad_ln(convert(update.forward, int256) * 10**9) - math._wad_ln(
            convert(s.forward, int256) * 10**9
        )
        smile.m -= drift * ONE // 10**18
    return smile


@internal
@pure
def flaw(s: Slice) -> uint256:
    """
    @notice What is wrong with one expiry.
    @param s 2**-80: |a| and b below 2**42, |rho| < 1, |m| < 2**8, 0 < sigma < 2**7 (all in 1.0).
    @return 0 or the first of WINGS, VARIANCE and BUTTERFLY.
    """
    # |rho| < 1: products below 2**202.
    if unsafe_add(s.b, unsafe_mul(s.b, abs(s.rho)) >> UNIT) >= 2 * ONE - ROUNDING:
        return WINGS
    # sqrt(1 - rho**2) at 2**-80: below 2**160 under the root. From here on b < 2 and b sigma < 2**8.
    root: uint256 = isqrt(convert(unsafe_sub(ONE * ONE, unsafe_mul(s.rho, s.rho)), uint256))
    least: int256 = unsafe_add(
        s.a, unsafe_mul(unsafe_mul(s.b, s.sigma) >> UNIT, convert(root, int256)) >> UNIT
    )
    if least < MIN_VARIANCE or least > MAX_VARIANCE:
        return VARIANCE
    if self._has_butterfly(s):
        return BUTTERFLY
    return 0


@internal
@pure
def crosses(near: Slice, far: Slice) -> bool:
    """
    @notice Whether total variance falls somewhere from one expiry to a later one. With y the height of a point of the later
            over the `a` of the earlier, and x its k less the earlier's m, it is not below the earlier exactly where its
            heights over the earlier's two asymptotes, y - b (rho + 1) x and y - b (rho - 1) x, are not negative and have
            a product of (b sigma)**2 or more: no root is drawn.
    @param near The earlier, without a flaw.
    @param far The later, without a flaw.
    @return True where they cross by more than is allowed for.
    """
    # Both b are below 2, b sigma below 2**8, |m| below 2**8 and |a| below 2**10. The earlier less what is allowed for.
    near_a: int256 = unsafe_sub(near.a, near.a >> ALLOWED)
    near_b: int256 = unsafe_sub(near.b, near.b >> ALLOWED)
    tilt: int256 = unsafe_mul(near_b, near.rho) >> UNIT
    right: int256 = unsafe_add(near_b, tilt)
    left: int256 = unsafe_sub(near_b, tilt)
    tilt = unsafe_mul(far.b, far.rho) >> UNIT
    # In both tails the slopes decide.
    if unsafe_add(far.b, tilt) < right or unsafe_sub(far.b, tilt) < left:
        return True
    apart: int256 = unsafe_sub(far.m, near.m)
    height: int256 = unsafe_sub(far.a, near_a)
    lean: int256 = unsafe_mul(tilt, far.sigma) >> UNIT
    near_beta: int256 = unsafe_mul(near_b, near.sigma) >> UNIT
    gap: Gap = Gap(
        beta=unsafe_mul(far.b, far.sigma) >> UNIT,
        right_base=unsafe_sub(height, unsafe_mul(right, apart) >> UNIT),
        right_rise=unsafe_sub(lean, unsafe_mul(right, far.sigma) >> UNIT),
        left_base=unsafe_add(height, unsafe_mul(left, apart) >> UNIT),
        left_rise=unsafe_add(lean, unsafe_mul(left, far.sigma) >> UNIT),
        product=unsafe_mul(near_beta, near_beta),
    )
    middle: int256 = self._gap(gap, ONE, 0)
    if middle < 0:
        return True
    # The least gap on either side of u = 0, and where it is.
    least_below: int256 = middle
    least_above: int256 = middle
    place_below: int256[2] = [ONE, 0]
    place_above: int256[2] = [ONE, 0]
    for point: int256[2] in GRID:
        level: int256 = unsafe_mul(gap.beta, point[0])
        right_rise: int256 = unsafe_mul(gap.right_rise, point[1])
        left_rise: int256 = unsafe_mul(gap.left_rise, point[1])
        below: int256 = self._height(
            unsafe_add(gap.right_base, unsafe_sub(level, right_rise) >> UNIT),
            unsafe_add(gap.left_base, unsafe_sub(level, left_rise) >> UNIT),
            gap.product,
        )
        above: int256 = self._height(
            unsafe_add(gap.right_base, unsafe_add(level, right_rise) >> UNIT),
            unsafe_add(gap.left_base, unsafe_add(level, left_rise) >> UNIT),
            gap.product,
        )
        if below < least_below:
            if below < 0:
                return True
            least_below = below
            place_below = point
        if above < least_above:
            if above < 0:
                return True
            least_above = above
            place_above = point
    # Between points 1 apart the later is no more than this below its chord, and the earlier is below its own; between points
    # half as far apart, a quarter of it. Where points are 1 apart, from u = 3 on, it is less than a quarter, too.
    hidden: int256 = unsafe_mul(gap.beta, HIDDEN_GAP) >> UNIT
    place_below[1] = -place_below[1]
    if least_below << 2 < hidden:
        if self._gap_closes(gap, place_below, least_below, hidden):
            return True
    if least_above << 2 < hidden:
        return self._gap_closes(gap, place_above, least_above, hidden)
    return False


@internal
@pure
def _gap_closes(gap: Gap, place: int256[2], first: int256, deepest: int256) -> bool:
    """
    @notice Whether the later slice is below the earlier at a point of the way down from one of the grid.
    """
    c: int256 = place[0]
    s: int256 = place[1]
    least: int256 = first
    hidden: int256 = deepest
    for step: int256[2] in STEPS:
        # cosh(u + d) and cosh(u - d) are cc + ss and cc - ss; sinh likewise.
        cc: int256 = unsafe_mul(c, step[0]) >> UNIT
        ss: int256 = unsafe_mul(s, step[1]) >> UNIT
        sc: int256 = unsafe_mul(s, step[0]) >> UNIT
        cs: int256 = unsafe_mul(c, step[1]) >> UNIT
        below: int256 = self._gap(gap, unsafe_sub(cc, ss), unsafe_sub(sc, cs))
        above: int256 = self._gap(gap, unsafe_add(cc, ss), unsafe_add(sc, cs))
        if below < least and below <= above:
            c = unsafe_sub(cc, ss)
            s = unsafe_sub(sc, cs)
            least = below
        elif above < least:
            c = unsafe_add(cc, ss)
            s = unsafe_add(sc, cs)
            least = above
        if least < 0:
            return True
        hidden = hidden >> 2
        if least >= hidden:
            return False
    return False


@internal
@pure
def _gap(gap: Gap, c: int256, s: int256) -> int256:
    """
    @return `_height` of the later slice where cosh u = c and sinh u = s.
    """
    level: int256 = unsafe_mul(gap.beta, c)
    return self._height(
        unsafe_add(gap.right_base, unsafe_add(level, unsafe_mul(gap.right_rise, s)) >> UNIT),
        unsafe_add(gap.left_base, unsafe_add(level, unsafe_mul(gap.left_rise, s)) >> UNIT),
        gap.product,
    )


@internal
@pure
def _height(right: int256, left: int256, product: int256) -> int256:
    """
    @notice How far a point is above a slice, from its heights over the two asymptotes, each below 2**18 in size.
    @return Their product less (b sigma)**2, over their sum: all of the distance where it is small, and never less than half;
            negative where the point is below.
    """
    if right < 0 or left < 0:
        return -1
    above: int256 = unsafe_sub(unsafe_mul(right, left), product)
    if above < 0:
        return -1
    # Two heights of zero: 0, the quotient of the machine by zero.
    return unsafe_div(above, unsafe_add(right, left))


@internal
@pure
def _has_butterfly(s: Slice) -> bool:
    """
    @notice Whether g is negative at a point of the search, or in a wing beyond its last.
    """
    tilt: int256 = unsafe_mul(s.b, s.rho) >> UNIT
    # b / sigma is below 2**41.
    curve: Curve = Curve(
        smile=s,
        tilt=tilt,
        beta=unsafe_mul(s.b, s.sigma) >> UNIT,
        lean=unsafe_mul(tilt, s.sigma) >> UNIT,
        bend=unsafe_div(s.b << (2 * UNIT - 1), s.sigma),
    )
    middle: int256 = self._g(curve, ONE, 0)
    if middle < 0:
        return True
    # The least g on either side of u = 0, and where it is.
    least_below: int256 = middle
    least_above: int256 = middle
    place_below: int256[2] = [ONE, 0]
    place_above: int256[2] = [ONE, 0]
    w_below: int256 = 0
    w_above: int256 = 0
    for point: int256[2] in GRID:
        c: int256 = point[0]
        numerator: int256 = unsafe_mul(curve.tilt, c)
        turn: int256 = unsafe_mul(curve.smile.b, point[1])
        level: int256 = unsafe_mul(curve.beta, c)
        rise: int256 = unsafe_mul(curve.lean, point[1])
        beside: int256 = unsafe_mul(curve.smile.sigma, point[1]) >> UNIT
        half_second: int256 = unsafe_div(curve.bend, unsafe_mul(unsafe_mul(c, c) >> UNIT, c) >> UNIT)
        w_below = unsafe_add(curve.smile.a, unsafe_sub(level, rise) >> UNIT)
        w_above = unsafe_add(curve.smile.a, unsafe_add(level, rise) >> UNIT)
        below: int256 = self._durrleman(
            unsafe_sub(curve.smile.m, beside), w_below, unsafe_div(unsafe_sub(numerator, turn), c), half_second
        )
        above: int256 = self._durrleman(
            unsafe_add(curve.smile.m, beside), w_above, unsafe_div(unsafe_add(numerator, turn), c), half_second
        )
        if below < least_below:
            if below < 0:
                return True
            least_below = below
            place_below = point
        if above < least_above:
            if above < 0:
                return True
            least_above = above
            place_above = point
    if self._wing_dips(curve, -s.b, w_below) or self._wing_dips(curve, s.b, w_above):
        return True
    place_below[1] = -place_below[1]
    if least_below << 2 < HIDDEN_DIP:
        if self._g_dips(curve, place_below, least_below, HIDDEN_DIP):
            return True
    if least_above << 2 < HIDDEN_DIP:
        return self._g_dips(curve, place_above, least_above, HIDDEN_DIP)
    return False


@internal
@pure
def _g_dips(curve: Curve, place: int256[2], first: int256, deepest: int256) -> bool:
    """
    @notice Whether g is negative at a point of the way down from one of the grid.
    """
    c: int256 = place[0]
    s: int256 = place[1]
    least: int256 = first
    hidden: int256 = deepest
    for step: int256[2] in STEPS:
        cc: int256 = unsafe_mul(c, step[0]) >> UNIT
        ss: int256 = unsafe_mul(s, step[1]) >> UNIT
        sc: int256 = unsafe_mul(s, step[0]) >> UNIT
        cs: int256 = unsafe_mul(c, step[1]) >> UNIT
        below: int256 = self._g(curve, unsafe_sub(cc, ss), unsafe_sub(sc, cs))
        above: int256 = self._g(curve, unsafe_add(cc, ss), unsafe_add(sc, cs))
        if below < least and below <= above:
            c = unsafe_sub(cc, ss)
            s = unsafe_sub(sc, cs)
            least = below
        elif above < least:
            c = unsafe_add(cc, ss)
            s = unsafe_add(sc, cs)
            least = above
        if least < 0:
            return True
        hidden = hidden >> 2
        if least >= hidden:
            return False
    return False


@internal
@pure
def _g(curve: Curve, c: int256, s: int256) -> int256:
    """
    @return `_durrleman` where cosh u = c and sinh u = s: w' = b (rho + tanh u), w'' = b / (sigma cosh(u)**3).
    """
    return self._durrleman(
        unsafe_add(curve.smile.m, unsafe_mul(curve.smile.sigma, s) >> UNIT),
        unsafe_add(
            curve.smile.a, unsafe_add(unsafe_mul(curve.beta, c), unsafe_mul(curve.lean, s)) >> UNIT
        ),
        unsafe_div(unsafe_add(unsafe_mul(curve.tilt, c), unsafe_mul(curve.smile.b, s)), c),
        unsafe_div(curve.bend, unsafe_mul(unsafe_mul(c, c) >> UNIT, c) >> UNIT),
    )


@internal
@pure
def _durrleman(k: int256, w: int256, slope: int256, half_second: int256) -> int256:
    """
    @notice g(k) = (1 - k w' / (2 w))**2 - w'**2 / 4 (1 / w + 1 / 4) + w'' / 2.
    @param k |k| < 2**15.
    @param w At least 2**-41.
    @param slope w', below 2 in size.
    @param half_second w'' / 2, below 2**41.
    @return 2**-80.
    """
    # At 2**-64, for it may be as large as 2**56.
    share: int256 = unsafe_sub(2**64, unsafe_div(unsafe_mul(k, slope), w << 17))
    square: int256 = unsafe_mul(slope, slope)
    return unsafe_add(
        unsafe_sub(
            unsafe_mul(share, share) >> 48, unsafe_add(unsafe_div(square, w), square >> (UNIT + 2)) >> 2
        ),
        half_second,
    )


@internal
@pure
def _wing_dips(curve: Curve, b: int256, w: int256) -> bool:
    """
    @notice Whether g is negative somewhere beyond the last point, where w = A + B |k| is straight. There 16 w**2 g is
            (4 - B**2) w**2 + (8 A - 4 B**2) w + 4 A**2, a parabola: negative at its lowest if A**2 - 4 A + B**2 > 0,
            and that lies beyond where 2 B**2 - 4 A > (4 - B**2) w.
    @param curve The slice.
    @param b b for the right wing, -b for the left.
    @param w Total variance at the last point, below 2**17.
    """
    # dw / dk of the asymptote, and A, below 2**11 in size.
    slope: int256 = unsafe_add(curve.tilt, b)
    level: int256 = unsafe_sub(curve.smile.a, unsafe_mul(slope, curve.smile.m) >> UNIT)
    square: int256 = unsafe_mul(slope, slope) >> UNIT
    lead: int256 = unsafe_mul(unsafe_sub(4 * ONE, square), w) >> UNIT
    middle: int256 = unsafe_mul(4, unsafe_sub(unsafe_mul(2, level), square))
    if unsafe_add(unsafe_mul(unsafe_add(lead, middle), w), unsafe_mul(4, unsafe_mul(level, level))) < 0:
        return True
    if unsafe_add(unsafe_mul(level, unsafe_sub(level, 4 * ONE)) >> UNIT, square) <= 0:
        return False
    return unsafe_add(unsafe_mul(2, lead), middle) < 0
