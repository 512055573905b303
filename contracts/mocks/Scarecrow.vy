# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Scarecrow: a liquidation contract that has as many insolvent auctions as it is told
@notice For tests only.
"""

insolvent_running: public(uint256)


@deploy
def __init__(insolvent_running: uint256):
    self.insolvent_running = insolvent_running


@external
def set_insolvent_running(insolvent_running: uint256):
    self.insolvent_running = insolvent_running
