"""`make report` as a user runs it: the replay of made-up prices, and what it says where there are none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from python_model import history
from tests.model.series import frame, write

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
TITLES = (
    "Moves of the next 24 hours beyond the scan range",
    "The same by period",
    "Worst moves within fewer hours",
    "The largest rise within 24 hours",
    "The five worst weeks of each",
    "Through the contract: the scan range that the chain has held",
    "One parameter changed at a time",
)


pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [str(TOOLS / "ape"), "run", "replay", "--network", "ethereum:local:foundry", *arguments]
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_without_prices_it_says_so_in_one_line(tmp_path):
    out = tmp_path / "replay.html"
    got = run("--data", str(tmp_path / "none"), "--out", str(out))
    assert got.returncode == 1
    lines = got.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ") and "eth_usdt_1h.parquet: is absent" in lines[0]
    assert not out.exists()


def test_the_report_of_made_up_prices(tmp_path):
    for seed, name in enumerate(history.FILES):
        # Heavy tails, so that every table has something to tell.
        returns = 0.006 * np.random.default_rng(seed).standard_t(3, 24 * 120)
        write(tmp_path, frame(2000 * np.exp(np.cumsum(returns))), name)
    out = tmp_path / "new" / "replay.html"
    week = history.WEEK.read_bytes()
    got = run("--data", str(tmp_path), "--out", str(out), "--weeks", "1")
    assert got.returncode == 0, got.stderr
    text = out.read_text(encoding="utf-8")
    for title in TITLES:
        assert title in got.stdout and f"<caption>{title}</caption>" in text
    assert "Of all 135 combinations" in text
    assert text.count("data:image/png;base64,") == 2
    assert set(re.findall(r'(?:src|href)="(?!#)([^"]{0,10})', text)) == {"data:image"}, "one file that needs no other"
    assert history.WEEK.read_bytes() == week, "only --rewrite-week writes the week that ships"


def test_the_help_tells_the_options():
    got = run("--help")
    assert got.returncode == 0
    for word in ("--data", "--out", "--weeks", "--rewrite-week", "../shared/data"):
        assert word in got.stdout
