# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Claims: what was kept of withdrawals, and how much of it has come back
@notice Money at 1e-18. All claims are covered in step: an account holds units of what is still lacking, as shares of a vault
        whose assets are the total that lacks. Its part of that is not covered yet; the rest of what it is owed can be
        recovered. When nothing lacks, everybody is owed what is covered, to the last unit, and units start anew.
@custom:security What is covered is at least what can be recovered, since an account's part of what lacks is rounded up.
"""

# Of an account.
struct Claim:
    owed: uint256  # kept and not recovered yet
    units: uint256  # of `total`, if `era` is the current one
    era: uint256

# The rest of a claim is covered at once when it is a trillionth, so that units do not grow without bound.
ROUND: constant(uint256) = 40

# What lacks.
total: uint256
# What has come and was not recovered yet.
covered: uint256
_units: uint256
_era: uint256
_claims: HashMap[uint256, Claim]


@internal
def _add(account: uint256, amount: uint256):
    """
    @notice Notes that so much was kept.
    """
    claim: Claim = self._claims[account]
    if claim.era != self._era:
        claim.units = 0
        claim.era = self._era
    units: uint256 = amount
    if self.total != 0:
        units = (amount * self._units + self.total - 1) // self.total
    claim.owed += amount
    claim.units += units
    self._claims[account] = claim
    self._units += units
    self.total += amount


@internal
def _cover(amount: uint256):
    """
    @notice Lets claimants have so much of what lacks.
    """
    self.total -= amount
    self.covered += amount
    if amount != 0 and self.total == 0:
        self._units = 0
        self._era += 1


@internal
def _recover(account: uint256) -> uint256:
    """
    @return What an account gets now, and is owed no more.
    """
    amount: uint256 = self._recoverable(account)
    self._claims[account].owed -= amount
    self.covered -= amount
    return amount


@internal
@view
def _recoverable(account: uint256) -> uint256:
    """
    @return What is covered of the claim of an account.
    """
    claim: Claim = self._claims[account]
    lacking: uint256 = 0
    if claim.era == self._era and claim.units != 0:
        lacking = (claim.units * self.total + self._units - 1) // self._units
    # Rounding of units may leave all of them together a few 1e-18 more than has come.
    return min(claim.owed - min(claim.owed, lacking), self.covered)


@internal
@view
def _part(gain: uint256, shortfall: uint256) -> uint256:
    """
    @param gain Of the fund.
    @param shortfall What the fund owes before it.
    @return What claims get of a gain: as much for each unit that lacks as the shortfall gets, rounded down.
    """
    total: uint256 = self.total
    if total == 0:
        return 0
    hole: uint256 = total + shortfall
    part: uint256 = min(gain, hole) * total // hole
    return total if total - part <= self._units >> ROUND else part
