# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Outside: asks a contract that may have any manners, and survives its answer
@custom:security The answer is cut to so many words before it is copied. Whoever is asked has exactly the gas that is
        named; where that much is not left, the call reverts, so that nobody chooses an answer by the gas that he sends.
"""

# Five words: what `latestRoundData` returns is the longest.
MAX_WORDS: constant(uint256) = 5
# Access to a cold account, 2,600, and what comes between the check and the call.
OVERHEAD: constant(uint256) = 3_000


@internal
@view
def ask(target: address, payload: Bytes[68], words: uint256, gas_limit: uint256) -> (Bytes[32 * MAX_WORDS], bool):
    """
    @notice The first words of an answer.
    @param target Whom to ask.
    @param payload Selector and arguments.
    @param words How many words there have to be, at most 5.
    @param gas_limit Gas that is at its disposal.
    @return The answer, and whether there was one that is long enough.
    """
    # A call passes on at most 63/64 of what is left.
    assert msg.gas > gas_limit + gas_limit // 63 + OVERHEAD, "source: gas"
    success: bool = False
    answer: Bytes[32 * MAX_WORDS] = b""
    success, answer = raw_call(
        target, payload, max_outsize=32 * MAX_WORDS, gas=gas_limit, is_static_call=True, revert_on_failure=False
    )
    return answer, success and len(answer) >= 32 * words


@internal
@pure
def word(answer: Bytes[32 * MAX_WORDS], i: uint256) -> uint256:
    """
    @notice One word of an answer.
    @param answer As returned by `ask`.
    @param i Below the number of words that were asked for.
    @return The word.
    """
    return convert(slice(answer, 32 * i, 32), uint256)
