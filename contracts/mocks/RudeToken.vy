# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Rude token: an ERC-20 whose manners are switched off one by one
@notice Takes a fee, says False, reverts, blocks addresses, shrinks balances, takes more from the sender than it was asked
        for, or calls back while it moves. For tests only.
"""

MAX_CALLS: constant(uint256) = 96
MAX_PAYLOAD: constant(uint256) = 2048

decimals: public(immutable(uint8))
allowance: public(HashMap[address, HashMap[address, uint256]])
blocked: public(HashMap[address, bool])
fee_bps: public(uint256)
surcharge: public(uint256)
says_false: public(bool)
reverts: public(bool)
_shares: HashMap[address, uint256]
_shrunk_bps: uint256

# What it calls while it moves, and what came of it.
_target: address
_calls: DynArray[Bytes[MAX_PAYLOAD], MAX_CALLS]
_outcomes: DynArray[uint256, MAX_CALLS]


@deploy
def __init__(decimals_: uint8):
    decimals = decimals_


@external
def set_manners(fee_bps: uint256, surcharge: uint256, says_false: bool, reverts: bool):
    """
    @param fee_bps Taken from what arrives.
    @param surcharge Token units taken from the sender beside the amount.
    """
    self.fee_bps = fee_bps
    self.surcharge = surcharge
    self.says_false = says_false
    self.reverts = reverts


@external
def set_blocked(who: address, blocked: bool):
    self.blocked[who] = blocked


@external
def shrink(bps: uint256):
    """@notice Takes a part of every balance."""
    self._shrunk_bps = bps


@external
def set_calls(target: address, calls: DynArray[Bytes[MAX_PAYLOAD], MAX_CALLS]):
    """@notice What to call, in the middle of the next transfers."""
    self._target = target
    self._calls = calls


@external
@view
def outcomes() -> DynArray[uint256, MAX_CALLS]:
    """@return For each call of the last transfer 0 where it succeeded, else 1 + the length of its answer."""
    return self._outcomes


@external
def call(target: address, payload: Bytes[MAX_PAYLOAD]):
    """@notice Acts as any user: to own an account, say."""
    raw_call(target, payload)


@external
def mint(to: address, amount: uint256):
    self._shares[to] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
@view
def balanceOf(owner: address) -> uint256:
    return self._shares[owner] * (10_000 - self._shrunk_bps) // 10_000


@external
def transfer(to: address, amount: uint256) -> bool:
    return self._move(msg.sender, to, amount)


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    return self._move(owner, to, amount)


@internal
def _move(owner: address, to: address, amount: uint256) -> bool:
    assert not self.reverts, "token: refused"
    assert not self.blocked[owner] and not self.blocked[to], "token: blocked"
    self._call_back()
    if self.says_false:
        return False
    shares: uint256 = amount * 10_000 // (10_000 - self._shrunk_bps)
    self._shares[owner] -= shares + self.surcharge
    self._shares[to] += shares * (10_000 - self.fee_bps) // 10_000
    return True


@internal
def _call_back():
    calls: DynArray[Bytes[MAX_PAYLOAD], MAX_CALLS] = self._calls
    if len(calls) == 0:
        return
    self._outcomes = []
    for payload: Bytes[MAX_PAYLOAD] in calls:
        success: bool = False
        answer: Bytes[MAX_PAYLOAD] = b""
        success, answer = raw_call(self._target, payload, max_outsize=MAX_PAYLOAD, revert_on_failure=False)
        if success:
            self._outcomes.append(0)
        else:
            self._outcomes.append(1 + len(answer))
