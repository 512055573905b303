"""The keeper as a Silverback bot: one round at each block, by the same functions as `ape run keeper`.

Install Silverback beside the locked packages (`uv pip install --python .venv/bin/python "silverback>=0.7.38"`), then:

    BALLAST_BIDDER=7 silverback run scripts.bot:bot --network ethereum:sepolia:node --account bidder

Without an account it looks and decides, and sends nothing. `BALLAST_DEPLOYMENT` names a deployment file,
`BALLAST_METHODOLOGY` another preset than `house`.
"""

import os
import threading
from pathlib import Path
from typing import Any

from ape import chain
from silverback import SilverbackBot

from python_model.keeper import Policy
from scripts.keeper import ROOT, check_bidder, read_deployment, read_method
from scripts.keeper_records import Journal, Metrics, Report
from scripts.keeping import Keeper, connect
from scripts.wallet import ApeWallet

bot = SilverbackBot()
# Blocks may come while a round goes on: the next round sees them all.
busy = threading.Lock()


def build(provider: Any, signer: Any, environment: Any = os.environ) -> Keeper:
    """A keeper as the environment describes it; errors name what is missing as the command's do."""
    path = environment.get("BALLAST_DEPLOYMENT") or ROOT / "build" / "deployments" / f"{provider.chain_id}.json"
    world = connect(read_deployment(Path(path), provider), provider)
    method = read_method(environment.get("BALLAST_METHODOLOGY", "house"), world)
    wallet = None if signer is None else ApeWallet(signer, provider)
    text = environment.get("BALLAST_BIDDER", "")
    bidder = check_bidder(world, int(text) if text.isdecimal() else None, wallet.address if wallet else None)
    return Keeper(world, method, Policy(), bidder, wallet, Journal(), Metrics())


def figures(report: Report) -> dict[str, float]:
    """What Silverback records of a round."""
    return {
        "accounts": report.accounts,
        "near": len(report.near),
        "unhealthy": len(report.unhealthy),
        "done": sum(report.done.values()),
        "failed": report.failed,
        "seconds": sum(report.seconds.values()),
    }


@bot.on_worker_startup()
def open_eyes(state: Any) -> None:
    """Read the deployment."""
    state.keeper = build(chain.provider, bot.signer)


@bot.on_(chain.blocks)
def on_block(block: Any) -> dict[str, float] | None:
    """A round; nothing where the last one still goes on."""
    if not busy.acquire(blocking=False):
        return None
    try:
        return figures(bot.state.keeper.round())
    finally:
        busy.release()
