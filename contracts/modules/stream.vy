# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Stream: income that is released over time, to accounts in proportion to their scores
@notice What comes in is released linearly, and what is released raises an index: the income of one unit of score since the
        beginning. An account's score is entered with the index then, and ends at a midnight (UTC), whose index is kept. While
        no account has a score, nothing is released.
@custom:security What an account is credited depends on its score and on time alone, not on when, how often or by whom it is
        asked for. Whatever division leaves stays in `owed` for ever: less than a unit of 1e-18 for each credit, and for each
        step of the index less than a unit for each 1e27 of all scores, and one more.
"""

DAY: constant(uint256) = 86_400
YEAR: constant(uint256) = 365 * DAY
# Over which income is released.
PERIOD: constant(uint256) = 7 * DAY
# A score ends at the seventh midnight after it was entered.
LIFE: constant(uint256) = 7
SCALE: constant(uint256) = 10**27

struct State:
    time: uint256  # up to which it is
    unreleased: uint256
    finish: uint256  # when all will be released; after `time` where there is something to release
    owed: uint256  # released and not credited yet
    index: uint256  # income of a unit of score, 1e-27
    total: uint256  # of all scores

struct Entry:
    score: uint256
    index: uint256  # when it was entered
    end: uint256  # midnight

_state: State
_entries: HashMap[uint256, Entry]
# By midnight: the scores that end then, and the index then.
_ending: HashMap[uint256, uint256]
_index_at: HashMap[uint256, uint256]


@internal
def _accrue():
    """
    @notice Brings the stream up to this block.
    """
    midnight: uint256 = self._next_midnight()
    indices: DynArray[uint256, LIFE] = []
    self._state, indices = self._advanced()
    for index: uint256 in indices:
        if self._ending[midnight] != 0:
            self._index_at[midnight] = index
        midnight += DAY


@internal
def _receive(amount: uint256):
    """
    @notice Adds income. When all will be released is the mean of what there was and of the whole period, weighted by amounts:
            many small additions do not slow down what is on its way.
    @param amount The stream has accrued.
    """
    s: State = self._state
    total: uint256 = s.unreleased + amount
    if amount == 0:
        return
    left: uint256 = 0
    if s.unreleased != 0:
        left = s.finish - s.time
    self._state.unreleased = total
    # At least a second: both times are.
    self._state.finish = s.time + (s.unreleased * left + amount * PERIOD) // total


@internal
def _credit(account: uint256) -> uint256:
    """
    @notice Takes out what an account's score has earned. The stream has accrued.
    @return How much, rounded down.
    """
    amount: uint256 = self._earned(self._entries[account], self._state.index, self._index_at[self._entries[account].end])
    self._entries[account].index = self._state.index
    if amount != 0:
        self._state.owed -= amount
    return amount


@internal
def _enter(account: uint256, score: uint256):
    """
    @notice Replaces an account's score from now on. It has been credited.
    """
    old: Entry = self._entries[account]
    if old.end > block.timestamp:
        self._state.total -= old.score
        self._ending[old.end] -= old.score
    end: uint256 = (block.timestamp // DAY + LIFE) * DAY
    self._state.total += score
    self._ending[end] += score
    self._entries[account] = Entry(score=score, index=self._state.index, end=end)


@internal
@view
def _score(account: uint256) -> uint256:
    """
    @return The score that earns now; 0 where it has ended.
    """
    entry: Entry = self._entries[account]
    if entry.end <= block.timestamp:
        return 0
    return entry.score


@internal
@view
def _pending(account: uint256) -> uint256:
    """
    @return What `_credit` would take out in this block.
    """
    entry: Entry = self._entries[account]
    first: uint256 = self._next_midnight()
    state: State = empty(State)
    indices: DynArray[uint256, LIFE] = []
    state, indices = self._advanced()
    last: uint256 = self._index_at[entry.end]
    if entry.end >= first and entry.end <= block.timestamp:
        last = indices[(entry.end - first) // DAY]
    return self._earned(entry, state.index, last)


@internal
@view
def _flow() -> (uint256, uint256):
    """
    @return What is released in a year at the speed of now, and all scores.
    """
    state: State = empty(State)
    indices: DynArray[uint256, LIFE] = []
    state, indices = self._advanced()
    if state.unreleased == 0:
        return 0, state.total
    return state.unreleased * YEAR // (state.finish - state.time), state.total


@internal
@view
def _earned(entry: Entry, index: uint256, last: uint256) -> uint256:
    """
    @param entry Of an account.
    @param index Now.
    @param last At the entry's end, if that is behind.
    @return What it has earned since its index, rounded down.
    """
    if entry.score == 0:
        return 0
    until: uint256 = index
    if entry.end <= block.timestamp:
        # Once credited, an entry that has ended has a later index.
        until = max(last, entry.index)
    return entry.score * (until - entry.index) // SCALE


@internal
@view
def _next_midnight() -> uint256:
    """
    @return The first midnight behind the time up to which the stream is.
    """
    return (self._state.time // DAY + 1) * DAY


@internal
@view
def _advanced() -> (State, DynArray[uint256, LIFE]):
    """
    @return The stream in this block, and its index at each midnight on the way there, as far as a score can end: none ends
            later than LIFE midnights after the last accrual.
    """
    state: State = self._state
    midnight: uint256 = self._next_midnight()
    indices: DynArray[uint256, LIFE] = []
    for _: uint256 in range(LIFE):
        if midnight > block.timestamp:
            break
        state = self._run(state, midnight)
        state.total -= self._ending[midnight]
        indices.append(state.index)
        midnight += DAY
    return self._run(state, block.timestamp), indices


@internal
@pure
def _run(state: State, until: uint256) -> State:
    """
    @return The stream at a later time, no score having changed since.
    """
    s: State = state
    if s.unreleased != 0:
        if s.total == 0:
            # It waits for somebody to earn it.
            s.finish += until - s.time
        else:
            amount: uint256 = s.unreleased
            if until < s.finish:
                amount = s.unreleased * (until - s.time) // (s.finish - s.time)
            s.unreleased -= amount
            s.owed += amount
            s.index += amount * SCALE // s.total
    s.time = until
    return s
