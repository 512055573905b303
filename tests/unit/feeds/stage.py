"""A signed feed before market data, its signers, and updates that are admissible until a test changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts import feed
from tests.unit.market_data.updates import DAY, NOW, Expiry, Surface, Update

YEAR = 365 * DAY
USD = 10**9
ONE = 10**12
THRESHOLD = 3
WIDEST = ONE // 4
VALID = 600
UNDERLYING = 2
SPOT = 2000 * USD
DAYS = (7, 30, 91)


def slice_at(days: float, timestamp: int = NOW, forward: int = SPOT, **changed: Any) -> Expiry:
    """An expiry some days after NOW, with a smile of about 70% vol calibrated at the timestamp."""
    expiry = NOW + round(days * DAY)
    tau = expiry - timestamp
    smile = {
        "a": ONE * tau // (5 * YEAR),
        "b": 3 * ONE * tau // (5 * YEAR),
        "rho": -ONE // 4,
        "m": ONE // 50,
        "sigma": 2 * ONE // 5,
        "ref_seconds": tau,
        "forward": forward,
    }
    return Expiry(expiry, forward, ONE // 25, Surface(**smile | changed))


def whole(timestamp: int = NOW, days: Sequence[float] = DAYS, **changed: Any) -> Update:
    """An update with surfaces for all of its expiries; a field of another name than `Update`'s is no field."""
    fields = {"spot": SPOT, "perp_mark": SPOT + USD, "expiries": tuple(slice_at(d, timestamp) for d in days)}
    return Update(UNDERLYING, timestamp, **{"confidence": ONE // 1000, **fields, **changed})


def prices(timestamp: int = NOW, days: Sequence[float] = (), **changed: Any) -> Update:
    """An update without surfaces."""
    none = Surface(0, 0, 0, 0, 0, 0, 0)
    rows = tuple(slice_at(d, timestamp)._replace(surface=none) for d in days)
    return whole(timestamp, **{"expiries": rows} | changed)


def with_expiry(update: Update, i: int, **changed: Any) -> Update:
    """The update with fields of one of its expiries changed."""
    rows = list(update.expiries)
    rows[i] = rows[i]._replace(**changed)
    return update._replace(expiries=tuple(rows))


def with_surface(update: Update, i: int, **changed: Any) -> Update:
    """The update with fields of one of its surfaces changed."""
    return with_expiry(update, i, surface=update.expiries[i].surface._replace(**changed))


@dataclass(frozen=True)
class Stage:
    """The contracts; the signers of the feed, by address, and accounts that are none."""

    market_data: Any
    feed: Any
    signers: Sequence[Any]
    owner: Any
    stranger: Any
    ape_chain: Any

    def sign(self, update: Update, deadline: int = NOW + VALID, signers: Sequence[Any] | None = None) -> list[bytes]:
        """Signatures, of as many signers as are needed unless others are named; by address."""
        return feed.signatures(self.feed, self.signers[:THRESHOLD] if signers is None else signers, update, deadline)

    def tries(
        self,
        update: Update,
        signatures: Sequence[bytes] | None = None,
        deadline: int = NOW + VALID,
        time: int = NOW,
    ) -> str | None:
        """The reason for which an update would be refused, "" for none given; None where it would pass.

        Well signed unless signatures are named. Asked by `eth_call` at a time; brought by who plays no role.
        """
        answer = self._call(update, signatures, deadline, time)
        if "error" not in answer:
            return None
        return str(answer["error"]["message"]).removeprefix("execution reverted").removeprefix(": ")

    def is_taken(self, update: Update) -> bool:
        """What the feed would answer to a well-signed update that passes."""
        return bool(int(self._call(update, None, NOW + VALID, NOW)["result"], 16))

    def _call(self, update: Update, signatures: Sequence[bytes] | None, deadline: int, time: int) -> dict[str, Any]:
        """The node's answer."""
        given = self.sign(update, deadline) if signatures is None else list(signatures)
        transaction = {
            "from": self.stranger.address,
            "to": self.feed.address,
            "data": "0x" + bytes(self.feed.submit.encode_input(update, deadline, given)).hex(),
        }
        request = self.ape_chain.provider.web3.provider.make_request
        return dict(request("eth_call", [transaction, "latest", {}, {"time": hex(time)}]))

    def submit(self, update: Update, time: int | None = None) -> Any:
        """Bring a well-signed update in a block of its own time, or of another; the receipt."""
        moment = update.timestamp if time is None else time
        self.ape_chain.pending_timestamp = moment
        signatures = self.sign(update, moment + VALID)
        return self.feed.submit(update, moment + VALID, signatures, sender=self.stranger)

    def read(self, expiries: Sequence[int]) -> list[int]:
        """The words of market data."""
        return [int(word) for word in self.market_data.read(UNDERLYING, list(expiries))[0]]

    def named(self) -> list[int]:
        """Expiries that the next surface has to name, as far as they live."""
        return [int(expiry) for expiry in self.feed.named(UNDERLYING)]
