"""The scenario set of the account modes VAR and MAX, as commands take it and as deployment files name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from python_model import scenario_set
from python_model.scenario_set import ScenarioSet, ScenarioSetError
from scripts import protocol
from scripts.options import MAINNETS, wrong

# What a scenario set takes with what reads it, rounded up.
TAIL_GAS = 30_000_000


def read_scenarios(text: str | None, names: dict[str, int], provider: Any) -> ScenarioSet | None:
    """The scenario set of the modes VAR and MAX: a file, or the made-up one, which is the default of local chains."""
    text = text or ("synthetic" if provider.network.is_dev else None)
    if text is None:
        return None
    if text == "synthetic":
        if provider.chain_id in MAINNETS:
            raise wrong(
                "scenarios", f"a made-up set margins nobody on {MAINNETS[provider.chain_id]}; build one of the past "
                "with `ape run scenarios` and pass its file"
            )  # fmt: skip
        rows = scenario_set.synthetic()
    else:
        try:
            rows = scenario_set.read(Path(text))
        except ScenarioSetError as error:
            raise wrong("scenarios", str(error)) from None
    known = [name for name in rows.underlyings if name in names]
    if not known:
        raise wrong("scenarios", f"has rows of {', '.join(rows.underlyings)}, but of none of {', '.join(names)}")
    return rows


def scenarios_row(rows: ScenarioSet, tails: protocol.Tails) -> dict[str, Any]:
    """What a deployment file says of the set in use: the digest of the contract, and that which its file states.

    They differ where the ids of underlyings are others than 1, 2, ... in the order of the file.
    """
    digest = "0x" + bytes(tails.scenario_set.digest()).hex()
    return {
        "name": rows.name,
        "version": rows.version,
        "rows": len(rows),
        "digest": digest,
        "file_digest": rows.digest,
    }
