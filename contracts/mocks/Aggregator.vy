# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Aggregator: rounds that a test wants, behind ids with phases, as a proxy of Chainlink has them
@notice An uptime feed as well, with answers 0 and 1. For tests only.
"""

from contracts.interfaces import IAggregatorV3

implements: IAggregatorV3

struct Round:
    answer: int256
    started_at: uint256
    updated_at: uint256
    answered_in: uint80

# Ids of one phase.
PHASE: constant(uint80) = 2**64

decimals: public(immutable(uint8))
description: public(String[64])
version: public(constant(uint256)) = 4
latest_round: public(uint80)
_rounds: HashMap[uint80, Round]
_is_known: HashMap[uint80, bool]


@deploy
def __init__(decimals_: uint8, description_: String[64]):
    """
    @param decimals_ Of its answers.
    @param description_ What is quoted.
    """
    decimals = decimals_
    self.description = description_
    self.latest_round = PHASE


@external
def push(answer: int256):
    """@notice The next round of the phase, which starts and is answered now."""
    self._set(self.latest_round + 1, answer, block.timestamp, block.timestamp, self.latest_round + 1)


@external
def change_phase():
    """@notice Another aggregator behind the proxy: its rounds start again at 1."""
    self.latest_round = (self.latest_round // PHASE + 1) * PHASE


@external
def set_round(round_id: uint80, answer: int256, started_at: uint256, updated_at: uint256, answered_in: uint80):
    """@notice Any round as the latest one."""
    self._set(round_id, answer, started_at, updated_at, answered_in)


@external
@view
def getRoundData(_roundId: uint80) -> (uint80, int256, uint256, uint256, uint80):
    """
    @custom:see IAggregatorV3
    """
    return self._data(_roundId)


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """
    @custom:see IAggregatorV3
    """
    return self._data(self.latest_round)


@internal
def _set(round_id: uint80, answer: int256, started_at: uint256, updated_at: uint256, answered_in: uint80):
    self.latest_round = round_id
    self._is_known[round_id] = True
    self._rounds[round_id] = Round(
        answer=answer, started_at=started_at, updated_at=updated_at, answered_in=answered_in
    )


@internal
@view
def _data(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80):
    assert self._is_known[round_id], "No data present"
    r: Round = self._rounds[round_id]
    return round_id, r.answer, r.started_at, r.updated_at, r.answered_in
