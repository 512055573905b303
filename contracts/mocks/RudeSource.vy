# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Rude source: answers whatever it is asked with whatever a test wants it to say
@notice Of rates and pegs alike: reverts, burns all its gas, answers with nothing, too little, too much or nonsense. For
        tests only.
"""

MAX_ANSWER: constant(uint256) = 20_000

ANSWERS: constant(uint256) = 0
REVERTS: constant(uint256) = 1
BURNS: constant(uint256) = 2
LINGERS: constant(uint256) = 3

_manner: uint256
_answer: Bytes[MAX_ANSWER]


@external
def set_answer(answer: Bytes[MAX_ANSWER]):
    """
    @param answer What it says, byte by byte.
    """
    self._manner = ANSWERS
    self._answer = answer


@external
def set_manner(manner: uint256):
    """
    @param manner REVERTS 1, with what it says as reason; BURNS 2: an endless loop; LINGERS 3: uses nearly all
        that `Collaterals` gives it, and answers.
    """
    self._manner = manner


@external
@raw_return
def __default__() -> Bytes[MAX_ANSWER]:
    if self._manner == REVERTS:
        raw_revert(self._answer)
    if self._manner == BURNS:
        for _: uint256 in range(2**64):
            pass
    if self._manner == LINGERS:
        for _: uint256 in range(2_300):
            pass
    return self._answer
