# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Tail: the largest losses of a history (M-19)
@notice VaR is the k-th largest loss, ES the mean of the k largest. Profits stand in fours, as the kernel works them off;
        what stands behind the last row does not count.
@custom:security ES is rounded up. Neither is floored: a book that gains in every row has a negative VaR.
"""

MAX_FOURS: constant(uint256) = 64
MAX_TAIL: constant(uint256) = 32
# More than any profit.
NO_LOSS: constant(int256) = 2**250


@internal
@pure
def measure(pnl: int256[4][MAX_FOURS], count: uint256, k: uint256) -> (int256, int256, uint256):
    """
    @notice VaR and ES of profits.
    @param pnl Profits by row, each |P| below 2**249.
    @param count How many rows there are, 1 to 256.
    @param k How many losses make the tail, 1 to 32 and at most `count`.
    @return The k-th largest loss; the mean of the k largest, rounded up; the first row with the largest loss.
    """
    # The first k places, in descending order.
    largest: int256[MAX_TAIL] = empty(int256[MAX_TAIL])
    for i: uint256 in range(k, bound=MAX_TAIL):
        largest[i] = -NO_LOSS
    # Minus the k-th largest so far.
    threshold: int256 = NO_LOSS
    last: uint256 = k - 1
    worst: uint256 = 0
    row: uint256 = 0
    for four: int256[4] in pnl:
        # Whether any profit is below the threshold: the sign of a difference, whose size is below 2**251.
        below: int256 = (
            unsafe_sub(four[0], threshold)
            | unsafe_sub(four[1], threshold)
            | unsafe_sub(four[2], threshold)
            | unsafe_sub(four[3], threshold)
        )
        if below < 0:
            for profit: int256 in four:
                if profit < threshold and row < count:
                    # Those that are smaller give way, the smallest of them for good.
                    loss: int256 = unsafe_sub(0, profit)
                    at: uint256 = last
                    for _: uint256 in range(last, bound=MAX_TAIL):
                        if largest[at - 1] >= loss:
                            break
                        largest[at] = largest[at - 1]
                        at -= 1
                    largest[at] = loss
                    threshold = unsafe_sub(0, largest[last])
                    if at == 0:
                        worst = row
                row = unsafe_add(row, 1)
        else:
            row = unsafe_add(row, 4)
    total: int256 = 0
    for i: uint256 in range(k, bound=MAX_TAIL):
        # 32 losses below 2**249.
        total = unsafe_add(total, largest[i])
    # Division truncates, which rounds a negative sum up already.
    if total > 0:
        total = unsafe_add(total, convert(last, int256))
    return largest[last], total // convert(k, int256), worst
