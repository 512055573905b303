# pragma version 0.4.3
# pragma nonreentrancy on
# @license AGPL-3.0-only
"""
@title Oracle feed: publishes what spot sources say, for underlyings whose perpetual has no mark of its own
@notice The public surface, with its natspec, is IOracleFeed.
@custom:security Holds no money. Prices are bounded by their source and by market data.
"""

from snekmate.auth import ownable
from snekmate.auth import ownable_2step

from contracts.interfaces import IMarketData
from contracts.interfaces import IOracleFeed
from contracts.interfaces import ISpotSource

implements: IOracleFeed

initializes: ownable
initializes: ownable_2step[ownable := ownable]

exports: (
    ownable.owner,
    ownable_2step.pending_owner,
    ownable_2step.transfer_ownership,
    ownable_2step.accept_ownership,
)

market_data: public(immutable(address))
source_of: public(HashMap[uint256, address])


@deploy
def __init__(market_data_: address):
    """
    @notice The deployer owns the contract and names sources.
    @param market_data_ IMarketData, which must let this contract publish.
    """
    ownable.__init__()
    ownable_2step.__init__()
    market_data = market_data_


@external
def set_source(underlying: uint256, source: address):
    """
    @custom:see IOracleFeed
    """
    ownable._check_owner()
    assert underlying != 0 and underlying < 256, "feed: underlying"
    if source != empty(address):
        self._require_usable(source)
    self.source_of[underlying] = source
    log IOracleFeed.SourceSet(underlying=underlying, source=source)


@external
def publish(underlying: uint256) -> bool:
    """
    @custom:see IOracleFeed
    """
    source: address = self.source_of[underlying]
    assert source != empty(address), "feed: no source"
    price: uint256 = 0
    confidence: uint256 = 0
    timestamp: uint256 = 0
    price, confidence, timestamp = self._require_usable(source)
    return extcall IMarketData(market_data).publish(
        IMarketData.Update(
            underlying=underlying,
            timestamp=timestamp,
            spot=price,
            perp_mark=price,
            confidence=confidence,
            expiries=[],
        )
    )


@internal
@view
def _require_usable(source: address) -> (uint256, uint256, uint256):
    """
    @return Price, confidence and time of a source, which says that they can be used.
    """
    price: uint256 = 0
    confidence: uint256 = 0
    timestamp: uint256 = 0
    usable: bool = False
    price, confidence, timestamp, usable = staticcall ISpotSource(source).spot()
    assert usable, "feed: source unusable"
    return price, confidence, timestamp
