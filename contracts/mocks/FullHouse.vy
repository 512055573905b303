# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Full house: open interest and its cap, as a clearing house says them of one underlying
@notice As full as a test wants it, without a trade. For tests only.
"""

open_interest: public(HashMap[uint256, int256])
open_interest_cap: public(HashMap[uint256, int256])


@external
def fill(underlying: uint256, interest: int256, cap: int256):
    """
    @param underlying The id.
    @param interest What is open.
    @param cap Where it may not grow any more; 0 for nowhere.
    """
    self.open_interest[underlying] = interest
    self.open_interest_cap[underlying] = cap
