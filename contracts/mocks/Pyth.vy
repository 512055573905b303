# pragma version 0.4.3
# @license AGPL-3.0-only
"""
@title Pyth: takes updates from anybody, unsigned, for a fee each
@notice With the encoding of Pyth's own mock: a PriceFeed and the time of the price before it. For tests only.
"""

from contracts.interfaces import IPyth

implements: IPyth

# What Pyth reverts with.
INSUFFICIENT_FEE: constant(Bytes[4]) = method_id("InsufficientFee()")
INVALID_UPDATE_DATA: constant(Bytes[4]) = method_id("InvalidUpdateData()")
PRICE_FEED_NOT_FOUND: constant(Bytes[4]) = method_id("PriceFeedNotFound()")
STALE_PRICE: constant(Bytes[4]) = method_id("StalePrice()")

single_update_fee: public(uint256)
_feeds: HashMap[bytes32, IPyth.PriceFeed]


@deploy
def __init__(single_update_fee: uint256):
    """
    @param single_update_fee Wei for each update.
    """
    self.single_update_fee = single_update_fee


@external
@view
def getUpdateFee(updateData: DynArray[Bytes[4096], 8]) -> uint256:
    """
    @custom:see IPyth
    """
    return self._fee(len(updateData))


@external
@payable
def updatePriceFeeds(updateData: DynArray[Bytes[4096], 8]):
    """
    @custom:see IPyth
    """
    if msg.value < self._fee(len(updateData)):
        raw_revert(INSUFFICIENT_FEE)
    for data: Bytes[4096] in updateData:
        # Nine words and one.
        if len(data) != 320:
            raw_revert(INVALID_UPDATE_DATA)
        feed: IPyth.PriceFeed = empty(IPyth.PriceFeed)
        previous: uint64 = 0
        feed, previous = abi_decode(data, (IPyth.PriceFeed, uint64))
        if self._feeds[feed.id].price.publishTime < feed.price.publishTime:
            self._feeds[feed.id] = feed
            log IPyth.PriceFeedUpdate(
                id=feed.id,
                publishTime=convert(feed.price.publishTime, uint64),
                price=feed.price.price,
                conf=feed.price.conf,
            )


@external
@view
def getPriceUnsafe(id: bytes32) -> IPyth.Price:
    """
    @custom:see IPyth
    """
    return self._price(id)


@external
@view
def getPriceNoOlderThan(id: bytes32, age: uint256) -> IPyth.Price:
    """
    @custom:see IPyth
    """
    price: IPyth.Price = self._price(id)
    later: uint256 = max(price.publishTime, block.timestamp)
    if later - min(price.publishTime, block.timestamp) > age:
        raw_revert(STALE_PRICE)
    return price


@internal
@view
def _fee(updates: uint256) -> uint256:
    return self.single_update_fee * updates


@internal
@view
def _price(id: bytes32) -> IPyth.Price:
    feed: IPyth.PriceFeed = self._feeds[id]
    if feed.id == empty(bytes32):
        raw_revert(PRICE_FEED_NOT_FOUND)
    return feed.price
