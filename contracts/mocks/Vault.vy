# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Vault: an ERC-4626 share, which a raw transfer of its asset makes dearer
@notice That of snekmate. For tests only.
"""

from ethereum.ercs import IERC20
from snekmate.extensions import erc4626

initializes: erc4626

exports: erc4626.__interface__


@deploy
def __init__(asset: IERC20):
    """
    @param asset What its shares are shares of.
    """
    erc4626.__init__("Vault", "VLT", asset, 0, "Vault", "1")
