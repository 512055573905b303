# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Tranche: shares of one part of the insurance fund
@notice Token and queue; the money and its books are the backstop's. The public surface, with its natspec, is ITranche.
@custom:security See ITranche. Of snekmate's token only what a holder does is exported: shares are issued for deposits and
        burned for redemptions, and in no other way.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC4626
from snekmate.auth import ownable
from snekmate.tokens import erc20

from contracts.interfaces import IBackstop
from contracts.interfaces import IClearingHouse
from contracts.interfaces import ICollaterals
from contracts.interfaces import ITranche

implements: ITranche
implements: IERC4626

# Nobody can use it: none of its functions is exported.
initializes: ownable
initializes: erc20[ownable := ownable]

exports: (
    erc20.DOMAIN_SEPARATOR,
    erc20.allowance,
    erc20.approve,
    erc20.balanceOf,
    erc20.decimals,
    erc20.eip712Domain,
    erc20.name,
    erc20.nonces,
    erc20.permit,
    erc20.symbol,
    erc20.totalSupply,
    erc20.transfer,
    erc20.transferFrom,
)

# Of a controller.
struct Request:
    ready: uint256  # shares whose cooldown is over
    ready_most: uint256  # what they were worth when they were requested, 1e-18
    waiting: uint256  # shares whose cooldown may not be over
    waiting_most: uint256
    ready_at: uint256  # when it will be

QUOTE: constant(uint256) = 0
# 1e24 shares start as one quote unit: 1e6 for each 1e-18.
DECIMALS: constant(uint8) = 24
# All requests of a controller are one.
REQUEST: constant(uint256) = 0
# ERC-165 itself, operators and asynchronous redemption of ERC-7540, vaults of ERC-7575.
INTERFACES: constant(bytes4[4]) = [0x01ffc9a7, 0xe3bc4e65, 0x620ee8e4, 0x2f0a18c5]

backstop: public(immutable(address))
kind: public(immutable(uint256))
asset: public(immutable(address))
_unit: immutable(uint256)

isOperator: public(HashMap[address, HashMap[address, bool]])
_requests: HashMap[address, Request]


@deploy
def __init__(backstop_: address, kind_: uint256, name: String[25], symbol: String[5]):
    """
    @notice Without shares; the backstop must name it.
    @param backstop_ IBackstop.
    @param kind_ JUNIOR 0, SENIOR 1.
    @param name Of the token.
    @param symbol Of the token.
    """
    backstop = backstop_
    kind = kind_
    asset = staticcall IBackstop(backstop_).token()
    _unit = staticcall IBackstop(backstop_).unit()
    ownable.__init__()
    erc20.__init__(name, symbol, DECIMALS, name, "1")


@external
def deposit(assets: uint256, receiver: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._enter(assets, max_value(uint256), receiver)


@external
def mint(shares: uint256, receiver: address) -> uint256:
    """
    @custom:see ITranche
    """
    assets: uint256 = self._cost(shares)
    issued: uint256 = self._enter(assets, shares, receiver)
    assert issued == shares, "tranche: too few arrived"
    return assets


@external
def requestRedeem(shares: uint256, controller: address, owner: address) -> uint256:
    """
    @custom:see ITranche
    """
    self._require_control(controller)
    if msg.sender != owner and not self.isOperator[owner][msg.sender]:
        erc20._spend_allowance(owner, msg.sender, shares)
    erc20._transfer(owner, self, shares)
    most: uint256 = staticcall IBackstop(backstop).to_assets(kind, shares, False)
    # They could be worth nothing ever after.
    assert most != 0, "tranche: worth nothing"
    terms: IBackstop.Terms = staticcall IBackstop(backstop).terms()
    request: Request = self._request(controller)
    request.waiting += shares
    request.waiting_most += most
    request.ready_at = block.timestamp + terms.cooldown_seconds
    self._requests[controller] = request
    log ITranche.RedeemRequest(
        controller=controller, owner=owner, requestId=REQUEST, sender=msg.sender, shares=shares
    )
    return REQUEST


@external
def redeem(shares: uint256, receiver: address, controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    self._require_control(controller)
    most: uint256 = self._take(controller, shares)
    return self._leave(shares, most, receiver, controller)


@external
def withdraw(assets: uint256, receiver: address, controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    self._require_control(controller)
    request: Request = self._request(controller)
    value: uint256 = assets * _unit
    assert request.ready_most != 0, "tranche: not claimable"
    shares: uint256 = staticcall IBackstop(backstop).to_shares(kind, value, True)
    shares = max(shares, (value * request.ready + request.ready_most - 1) // request.ready_most)
    self._take(controller, shares)
    paid: uint256 = self._leave(shares, value, receiver, controller)
    assert paid == assets, "tranche: not paid in full"
    return shares


@external
def setOperator(operator: address, approved: bool) -> bool:
    """
    @custom:see ITranche
    """
    self.isOperator[msg.sender][operator] = approved
    log ITranche.OperatorSet(controller=msg.sender, operator=operator, approved=approved)
    return True


@external
@view
def pendingRedeemRequest(requestId: uint256, controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._request(controller).waiting


@external
@view
def claimableRedeemRequest(requestId: uint256, controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._request(controller).ready


@external
@view
def request_of(controller: address) -> (uint256, uint256, uint256, uint256, uint256):
    """
    @custom:see ITranche
    """
    request: Request = self._request(controller)
    return request.ready, request.ready_most, request.waiting, request.waiting_most, request.ready_at


@external
@view
def share() -> address:
    """
    @custom:see ITranche
    """
    return self


@external
@view
def totalAssets() -> uint256:
    """
    @custom:see ITranche
    """
    pool: IBackstop.Pool = staticcall IBackstop(backstop).pool()
    return pool.assets[kind] // _unit


@external
@view
def convertToShares(assets: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    return self._shares_for(assets)


@external
@view
def convertToAssets(shares: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    return self._worth(shares) // _unit


@external
@view
def maxDeposit(receiver: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._room()


@external
@view
def previewDeposit(assets: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    return self._shares_for(assets)


@external
@view
def maxMint(receiver: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._shares_for(self._room())


@external
@view
def previewMint(shares: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    return self._cost(shares)


@external
@view
def maxWithdraw(controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    if not self._pays():
        return 0
    request: Request = self._request(controller)
    return min(self._worth(request.ready), request.ready_most) // _unit


@external
@view
def previewWithdraw(assets: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    raise "tranche: asynchronous"


@external
@view
def maxRedeem(controller: address) -> uint256:
    """
    @custom:see ITranche
    """
    return self._request(controller).ready if self._pays() else 0


@external
@view
def previewRedeem(shares: uint256) -> uint256:
    """
    @custom:see ITranche
    """
    raise "tranche: asynchronous"


@external
@view
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @custom:see ITranche
    """
    return interface_id in INTERFACES


@internal
def _enter(assets: uint256, most: uint256, receiver: address) -> uint256:
    """
    @notice Takes tokens of the caller to the backstop, and issues what it says they are worth.
    @return Shares.
    """
    before: uint256 = staticcall IERC20(asset).balanceOf(backstop)
    assert extcall IERC20(asset).transferFrom(msg.sender, backstop, assets, default_return_value=True), "tranche: transfer"
    arrived: uint256 = (staticcall IERC20(asset).balanceOf(backstop)) - before
    shares: uint256 = extcall IBackstop(backstop).enter(arrived, most)
    erc20._mint(receiver, shares)
    log IERC4626.Deposit(sender=msg.sender, owner=receiver, assets=arrived, shares=shares)
    return shares


@internal
def _take(controller: address, shares: uint256) -> uint256:
    """
    @notice Takes shares out of a request.
    @return The most that is paid for them: their part of what all that are ready were worth, rounded down.
    """
    request: Request = self._request(controller)
    assert shares != 0 and shares <= request.ready, "tranche: not claimable"
    most: uint256 = request.ready_most * shares // request.ready
    request.ready -= shares
    request.ready_most -= most
    self._requests[controller] = request
    return most


@internal
def _leave(shares: uint256, most: uint256, receiver: address, controller: address) -> uint256:
    """
    @notice Burns shares that wait here, and has them paid.
    @return Token units.
    """
    erc20._burn(self, shares)
    assets: uint256 = extcall IBackstop(backstop).leave(shares, most, receiver)
    log IERC4626.Withdraw(sender=msg.sender, receiver=receiver, owner=controller, assets=assets, shares=shares)
    return assets


@internal
@view
def _request(controller: address) -> Request:
    """
    @return What a controller has requested, as of now.
    """
    request: Request = self._requests[controller]
    if request.ready_at <= block.timestamp:
        request.ready += request.waiting
        request.ready_most += request.waiting_most
        request.waiting = 0
        request.waiting_most = 0
    return request


@internal
@view
def _require_control(controller: address):
    """
    @notice Only a controller and its operators pass.
    """
    assert msg.sender == controller or self.isOperator[controller][msg.sender], "tranche: not the controller"


@internal
@view
def _shares_for(assets: uint256) -> uint256:
    """
    @return What token units are in shares, rounded down.
    """
    return staticcall IBackstop(backstop).to_shares(kind, assets * _unit, False)


@internal
@view
def _worth(shares: uint256) -> uint256:
    """
    @return What shares are worth, 1e-18, rounded down.
    """
    return staticcall IBackstop(backstop).to_assets(kind, shares, False)


@internal
@view
def _cost(shares: uint256) -> uint256:
    """
    @return What shares cost, token units, rounded up.
    """
    value: uint256 = staticcall IBackstop(backstop).to_assets(kind, shares, True)
    return (value + _unit - 1) // _unit


@internal
@view
def _room() -> uint256:
    """
    @return What can be deposited, token units.
    """
    takes: bool = False
    pays: bool = False
    takes, pays = staticcall IBackstop(backstop).is_open(kind)
    if not takes:
        return 0
    house: IClearingHouse = IClearingHouse(staticcall IBackstop(backstop).clearing_house())
    credited: uint256 = staticcall house.credited(QUOTE)
    collaterals: address = staticcall house.collaterals()
    terms: ICollaterals.Terms = staticcall ICollaterals(collaterals).terms(QUOTE)
    return max(terms.cap, credited) - credited


@internal
@view
def _pays() -> bool:
    """
    @return Whether redemptions are open.
    """
    takes: bool = False
    pays: bool = False
    takes, pays = staticcall IBackstop(backstop).is_open(kind)
    return pays
