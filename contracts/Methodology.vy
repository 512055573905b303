# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Methodology: one set of scenarios and charges, fixed for ever
@notice To change a number, governance deploys another and points the engine's successor at it: whoever holds an address
        holds its numbers.
@custom:security The bounds below are what keeps the engine total and its error bound true.
"""

from contracts.interfaces import IMethodology

implements: IMethodology

WAD: constant(int256) = 10**18
MIN_VOL: constant(int256) = 10**16
MAX_SCENARIOS: constant(uint256) = 64

COMPILED: immutable(IMethodology.Compiled)


@deploy
def __init__(
    parameters: IMethodology.Parameters,
    groups: DynArray[IMethodology.Group, 8],
    scenarios: DynArray[IMethodology.Scenario, MAX_SCENARIOS],
):
    """
    @notice Checks and sorts the scenarios.
    @param parameters Every charge; see the bounds in the code.
    @param groups Correlation groups without a common member.
    @param scenarios 1 to 64 rows of x, y, z, g.
    """
    assert len(scenarios) > 0, "methodology: scenarios"
    assert parameters.scan_range >= 0 and parameters.scan_range <= WAD, "methodology: scan_range"
    assert parameters.vol_up >= 0 and parameters.vol_up <= 10 * WAD, "methodology: vol_up"
    assert parameters.vol_down >= 0 and parameters.vol_down <= WAD, "methodology: vol_down"
    assert parameters.vol_floor_up >= 0 and parameters.vol_floor_up <= 10 * WAD, "methodology: vol_floor_up"
    assert parameters.vol_power_short >= 0 and parameters.vol_power_short <= WAD, "methodology: vol_power_short"
    assert parameters.vol_power_long >= 0 and parameters.vol_power_long <= WAD, "methodology: vol_power_long"
    assert parameters.tilt >= 0 and parameters.tilt < WAD, "methodology: tilt"
    assert parameters.calendar >= 0 and parameters.calendar <= WAD, "methodology: calendar"
    assert parameters.vega_calendar >= 0 and parameters.vega_calendar <= WAD, "methodology: vega_calendar"
    assert parameters.som >= 0 and parameters.som <= WAD, "methodology: som"
    assert parameters.flat >= 0 and parameters.flat <= 100 * WAD, "methodology: flat"
    assert parameters.h_delta >= 0 and parameters.h_delta <= WAD, "methodology: h_delta"
    assert parameters.depth_delta >= WAD and parameters.depth_delta <= 10**15 * WAD, "methodology: depth_delta"
    # A net delta is below 2e41 and a vega for a point below 2.5e39, both at 1e-18: 128 legs of the greatest size, price and
    # discount factor. With a quarter of the depth (M-23) their squares times these ratios come to 1.1e76 together, times the
    # initial factor below 2**254.
    assert parameters.h_delta * 4 * 10**7 <= parameters.depth_delta, "methodology: h_delta for its depth"
    assert parameters.h_vega >= 0 and parameters.h_vega <= 100 * WAD, "methodology: h_vega"
    assert parameters.depth_vega >= WAD and parameters.depth_vega <= 10**15 * WAD, "methodology: depth_vega"
    assert parameters.h_vega * 4000 <= parameters.depth_vega, "methodology: h_vega for its depth"
    # IM >= MM for whatever passes (INV-07), and within the four error bounds of M-16.
    assert (
        parameters.initial_factor >= WAD and parameters.initial_factor <= 2 * WAD
    ), "methodology: initial_factor"

    result: IMethodology.Compiled = empty(IMethodology.Compiled)
    result.parameters = parameters
    result.groups = groups
    seen: uint256 = 1
    for group: IMethodology.Group in groups:
        # Bit 0 is no underlying.
        assert group.members & seen == 0, "methodology: group members"
        assert group.credit >= 0 and group.credit <= WAD, "methodology: group credit"
        seen |= group.members

    result.scenarios = len(scenarios)
    level_y: DynArray[int256, MAX_SCENARIOS] = []
    level_z: DynArray[int256, MAX_SCENARIOS] = []
    order: DynArray[uint256, MAX_SCENARIOS] = []  # indices by ascending x
    for i: uint256 in range(len(scenarios), bound=MAX_SCENARIOS):
        s: IMethodology.Scenario = scenarios[i]
        assert abs(s.x) <= 100 * WAD, "methodology: x"
        assert abs(s.y) <= WAD, "methodology: y"
        assert abs(s.z) <= WAD, "methodology: z"
        assert s.g > 0 and s.g <= WAD, "methodology: g"
        # A larger covered rise would let the price error of a scenario outgrow the bound of M-16.
        assert s.g * s.x <= 4 * WAD * WAD, "methodology: g * x above 4"
        known: bool = False
        for n: uint256 in range(len(level_y), bound=MAX_SCENARIOS):
            if level_y[n] == s.y and level_z[n] == s.z:
                known = True
        if not known:
            level_y.append(s.y)
            level_z.append(s.z)
        order.append(i)
        for n: uint256 in range(i, bound=MAX_SCENARIOS):
            at: uint256 = i - n
            if scenarios[order[at - 1]].x <= s.x:
                break
            order[at] = order[at - 1]
            order[at - 1] = i

    for i: uint256 in range(len(level_y), bound=MAX_SCENARIOS):
        remaining: uint256 = 0
        move: uint256 = 0
        for n: uint256 in order:
            s: IMethodology.Scenario = scenarios[n]
            if i == 0 and (len(result.moves) == 0 or result.moves[len(result.moves) - 1] != s.x):
                result.moves.append(s.x)
            if result.moves[move] != s.x:
                move += 1
            if s.y != level_y[i] or s.z != level_z[i] or (s.x == 0 and s.y == 0 and s.z == 0):
                continue
            rung: uint256 = len(result.rungs)
            result.order[rung // 32] |= move << (8 * (rung % 32))
            result.rungs.append((convert(s.g, uint256) << 16) | (move << 8) | n)
            remaining += 1
        vol_range: int256 = parameters.vol_down
        least: int256 = MIN_VOL
        if level_y[i] > 0:
            vol_range = parameters.vol_up
            least = max(MIN_VOL, parameters.vol_floor_up)
        vol: uint256 = (
            (self._field(level_y[i] * vol_range // WAD) << 168)
            | (self._field(level_z[i] * parameters.tilt // WAD) << 96)
            | (self._field(least) << 24)
        )
        # The kernel has slots 0 to 7, 8, and 9 to 12, each of the three worked off whole. A pass costs as much as a slot
        # and a half, so that a slot or two may stay without a move.
        for _: uint256 in range(MAX_SCENARIOS):
            if remaining == 0:
                break
            first: uint256 = 0
            run: uint256 = 13
            if remaining <= 2:
                first = 8
                run = 9
            elif remaining <= 4:
                first = 9
            elif remaining == 5:
                first = 8
            elif remaining <= 8:
                run = 8
            elif remaining <= 10:
                run = 9
            behind: uint256 = min(first + remaining, run)
            result.passes.append(vol | (first << 16) | (behind << 8) | run)
            remaining -= behind - first
    COMPILED = result


@external
@view
def compiled() -> IMethodology.Compiled:
    """
    @notice Everything that a margin check needs to know.
    @return Parameters, groups and the sorted scenarios.
    """
    return COMPILED


@internal
@pure
def _field(number: int256) -> uint256:
    """@return The number as 72 bits of two's complement."""
    return convert(convert(number, bytes32), uint256) & (2**72 - 1)
