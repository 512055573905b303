"""What a keeper tells of its work: purchases to whoever hedges, a journal, metrics, and a report of each round."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True)
class Purchase:
    """What a bid has bought, for whoever hedges it: `delta` in USD by underlying, as screened before the sale."""

    account: int
    fraction: float
    price: float
    delta: Mapping[str, float]
    transaction: str


Hedge = Callable[[Purchase], None]


class Journal:
    """Structured logs: one JSON object a line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Writes to standard output, if to nothing else."""
        self.stream = stream or sys.stdout

    def write(self, event: str, **fields: Any) -> None:
        """One line: time, event and fields; floats in six digits."""
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in fields.items()}
        row = {"time": round(time.time(), 3), "event": event, **rounded}
        self.stream.write(json.dumps(row, default=str) + "\n")
        self.stream.flush()


class Metrics:
    """What Prometheus is told, on a registry of its own."""

    def __init__(self) -> None:
        """Everything at zero."""
        self.registry = CollectorRegistry()
        r = self.registry
        self.block = Gauge("keeper_block", "Number of the last block seen", registry=r)
        self.lag = Gauge("keeper_lag_seconds", "Age of the last block when it was seen", registry=r)
        self.accounts = Gauge("keeper_accounts", "Accounts watched", registry=r)
        self.near = Gauge("keeper_near", "Accounts asked about in the last round", registry=r)
        self.unhealthy = Gauge("keeper_unhealthy", "Accounts unhealthy on chain in the last round", registry=r)
        self.running = Gauge("keeper_auctions", "Auctions running", registry=r)
        self.fund = Gauge("keeper_fund_usd", "Cash of the insurance fund", registry=r)
        self.free = Gauge("keeper_free_usd", "Equity of the bidder above initial margin", registry=r)
        self.seconds = Histogram("keeper_round_seconds", "Of a whole round", registry=r)
        self.repricing = Histogram("keeper_reprice_seconds", "Of repricing all accounts", registry=r)
        self.sent = Counter("keeper_transactions", "Transactions by act and outcome", ("act", "outcome"), registry=r)
        self.bought = Counter("keeper_bought_usd", "Net value bought", registry=r)
        self.gas = Counter("keeper_gas", "Gas used", registry=r)
        self.errors = Counter("keeper_errors", "Rounds that failed", registry=r)


@dataclass
class Report:
    """What a round found and did; seconds by phase. `unhealthy` and `near` are ids of accounts."""

    block: int = 0
    accounts: int = 0
    read: int = 0
    near: list[int] = field(default_factory=list)
    unhealthy: list[int] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    refused: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
