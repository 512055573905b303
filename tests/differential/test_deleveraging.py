"""Decision 8: whole rounds of deleveraging of random bankrupt accounts, on Anvil against the float model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, example, given, reject, settings

from tests.differential.rounds import BANKRUPT, HEALTHY_AGAIN, Bench, Scene, UnclearError, compare, scenes, staged

pytestmark = [pytest.mark.differential, pytest.mark.slow]

EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 28


@pytest.fixture(scope="module")
def bench(project_contracts: Any, accounts: Any, ape_chain: Any) -> Iterator[Bench]:
    """A protocol, and accounts that have nothing."""
    with staged(project_contracts, accounts, ape_chain) as made:
        yield made


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[str]]:
    """How many rounds, closings and refusals of each kind there were; printed at the end."""
    count: Counter[str] = Counter()
    yield count
    print(f"\n{dict(count)}")


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(scene=BANKRUPT)
@example(scene=HEALTHY_AGAIN)
@given(scene=scenes())
def test_every_round_is_closed_as_by_the_model(bench: Bench, seen: Counter[str], scene: Scene) -> None:
    try:
        compare(bench, seen, scene)
    except UnclearError:
        reject()
