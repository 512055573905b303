# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Nominations: who shares the loss of an account, and in which order
@notice A round belongs to one auction of an account. While it is open the best sixteen candidates are kept, highest score
        first; afterwards they are taken one by one.
"""

MAX_CANDIDATES: constant(uint256) = 16
# Anyone nominates for so long.
OPEN_SECONDS: constant(uint256) = 1_800
# After which a round is over, and the same auction may have another.
ROUND_SECONDS: constant(uint256) = 86_400

struct Round:
    opened: uint256  # 0 where there was none
    started: uint256  # of the auction that it belongs to
    next: uint256  # how many candidates have been taken
    uncovered: uint256  # of the deficit, what fell to legs that were closed without bearing it, 1e-18

_rounds: HashMap[uint256, Round]
_candidates: HashMap[uint256, DynArray[uint256, MAX_CANDIDATES]]
_scores: HashMap[uint256, DynArray[uint256, MAX_CANDIDATES]]


@internal
def _open(account: uint256, started: uint256):
    """
    @notice Begins the round of an auction that has none, or whose last one is over.
    @param account In auction.
    @param started When its auction did.
    """
    r: Round = self._rounds[account]
    assert r.started != started or block.timestamp >= r.opened + ROUND_SECONDS, "deleveraging: open"
    self._rounds[account] = Round(opened=block.timestamp, started=started, next=0, uncovered=0)
    self._candidates[account] = []
    self._scores[account] = []


@internal
def _enter(account: uint256, candidate: uint256, score: uint256):
    """
    @notice Puts a candidate in its place: behind those with the same score, before those with a lower one. Who was there
            already is ranked anew; if the list is full the last one leaves it.
    """
    assert self._is_open(account), "deleveraging: not open"
    old: DynArray[uint256, MAX_CANDIDATES] = self._candidates[account]
    old_scores: DynArray[uint256, MAX_CANDIDATES] = self._scores[account]
    new: DynArray[uint256, MAX_CANDIDATES] = []
    new_scores: DynArray[uint256, MAX_CANDIDATES] = []
    placed: bool = False
    for i: uint256 in range(len(old), bound=MAX_CANDIDATES):
        if old[i] == candidate:
            continue
        if not placed and old_scores[i] < score:
            new.append(candidate)
            new_scores.append(score)
            placed = True
        if len(new) < MAX_CANDIDATES:
            new.append(old[i])
            new_scores.append(old_scores[i])
    if not placed:
        assert len(new) < MAX_CANDIDATES, "deleveraging: rank"
        new.append(candidate)
        new_scores.append(score)
    self._candidates[account] = new
    self._scores[account] = new_scores


@internal
@view
def _is_open(account: uint256) -> bool:
    """
    @return Whether candidates may be nominated.
    """
    opened: uint256 = self._rounds[account].opened
    return opened != 0 and block.timestamp < opened + OPEN_SECONDS


@internal
@view
def _is_closing(account: uint256, started: uint256) -> bool:
    """
    @return Whether candidates may be taken, for the auction that started then.
    """
    r: Round = self._rounds[account]
    since: uint256 = block.timestamp - r.opened
    return r.opened != 0 and r.started == started and since >= OPEN_SECONDS and since < ROUND_SECONDS
