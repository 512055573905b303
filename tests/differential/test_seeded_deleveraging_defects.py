"""Wrong signs, parts and orders planted in the deleveraging: one round by hand, compared with the model, notices each.

The true contract closes the same round as the model (tests/differential/test_deleveraging.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential import planting
from tests.differential.planting import Builds, Defect
from tests.differential.rounds import BANKRUPT, Bench, compare, staged

pytestmark = [pytest.mark.differential, pytest.mark.slow]

DELEVERAGING, COUNTERPARTIES, NOMINATIONS = "Deleveraging.vy", "modules/counterparties.vy", "modules/nominations.vy"


def defect(name: str, source: str, text: str, planted: str) -> Defect:
    """All are of the deleveraging contract."""
    return Defect(name, source, text, planted, "Deleveraging")


DEFECTS = [
    defect("a gain the wrong way round", COUNTERPARTIES, "m.gain -= size * move", "m.gain += size * move"),
    defect("the worse of two gains", DELEVERAGING, "max(part.gain, part.earlier", "min(part.gain, part.earlier"),
    defect("options are worth nothing", DELEVERAGING, "earlier_gain) - option_value, 0)", "earlier_gain), 0)"),
    defect("a score without leverage", DELEVERAGING, "p.gain * gross.notional // figures.net_value", "p.gain"),
    defect("of equal ones the last", NOMINATIONS, "old_scores[i] < score", "old_scores[i] <= score"),
    defect("the fund pays in advance", DELEVERAGING, "fixed_point.div_up(fund * p.notional, total.notional)", "fund"),
    defect(
        "a part of the wrong whole", DELEVERAGING, "uncovered) * p.notional, total", "uncovered) * p.notional, part"
    ),
    defect("who is spared is forgotten", DELEVERAGING, "convert(uncovered + share - loss,", "convert(share - loss,"),
    defect("who cannot bear it does", DELEVERAGING, "return fresh and figures", "return fresh or figures"),
]


builds = planting.builds_of(DEFECTS)


@pytest.fixture(scope="module")
def bench(project_contracts: Any, accounts: Any, ape_chain: Any) -> Iterator[Bench]:
    """The true contracts."""
    with staged(project_contracts, accounts, ape_chain) as made:
        yield made


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda d: d.name)
def test_a_planted_defect_is_noticed(
    project_contracts: Any, bench: Bench, ape_chain: Any, builds: Builds, planted: Defect
) -> None:
    with ape_chain.isolate():
        wrong = bench.planted(project_contracts, builds[planted.name].result())
        with pytest.raises(AssertionError) as error:
            compare(wrong, Counter(), BANKRUPT)
        print(error.value)
