# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Pricing kernel: the options of one expiry, repriced over a scenario ladder
@notice A stateless service of the margin engine with its own code and memory, since the table of the normal
        distribution fills half of what a contract may hold.
@custom:security Pure arithmetic: no storage, no money, no caller matters.
"""

from contracts.interfaces import IPricingKernel
from contracts.libraries import black
from contracts.libraries import normal

implements: IPricingKernel

initializes: normal
initializes: black[normal := normal]

exports: black.scan


@deploy
def __init__(table: uint256[normal.INTERVALS]):
    """
    @notice Stores the table of the normal distribution.
    @param table What `scripts/normal_table.py` computes.
    """
    normal.__init__(table)

