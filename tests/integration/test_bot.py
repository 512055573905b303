"""The Silverback bot is there where Silverback is, and nothing else needs it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec

import click
import pytest

from scripts.keeper_records import Report
from tests.integration.nodes import ROOT

BESIDE = "Silverback is installed beside the locked packages, by whoever wants the bot"


def test_the_command_needs_no_silverback():
    code = "import sys; sys.modules['silverback'] = None; import scripts.keeper, scripts.keeping"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "silverback" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


@pytest.mark.skipif(find_spec("silverback") is not None, reason="Silverback is installed")
def test_without_silverback_the_bot_names_it():
    with pytest.raises(ModuleNotFoundError, match="silverback"):
        importlib.import_module("scripts.bot")


@pytest.mark.skipif(find_spec("silverback") is None, reason=BESIDE)
def test_the_bot_makes_a_round_at_each_block_and_says_what_is_missing(ape_chain, tmp_path):
    module = importlib.import_module("scripts.bot")
    assert "on_block" in module.bot.broker.get_all_tasks()
    report = Report(accounts=9, near=[2, 3], unhealthy=[3], done={"start": 1, "solvent": 2}, seconds={"look": 0.5})
    assert module.figures(report) == {
        "accounts": 9,
        "near": 2,
        "unhealthy": 1,
        "done": 3,
        "failed": 0,
        "seconds": 0.5,
    }
    with pytest.raises(click.UsageError, match=r"--deployment: .*no such file"):
        module.build(ape_chain.provider, None, {"BALLAST_DEPLOYMENT": str(tmp_path / "none.json")})
