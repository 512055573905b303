# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Tail kernel: the options of one expiry, repriced in every row of a scenario set
@notice A stateless service with its own code and memory and its own copy of the table of the normal distribution, as
        `PricingKernel` is.
@custom:security Pure arithmetic: no storage, no money, no caller matters.
"""

from contracts.interfaces import ITailKernel
from contracts.libraries import history
from contracts.libraries import normal

implements: ITailKernel

initializes: normal
initializes: history[normal := normal]

exports: history.reprice


@deploy
def __init__(table: uint256[normal.INTERVALS]):
    """
    @notice Stores the table of the normal distribution.
    @param table What `scripts/normal_table.py` computes.
    """
    normal.__init__(table)
