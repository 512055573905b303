"""Another scenario set for a running protocol: who would fall below is named first, and nothing else changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from rich.console import Console

from python_model import methodology, scenario_set
from python_model.portfolio import Mode
from python_model.scenario_set import MAX_MOVE, ScenarioSet
from scripts import tails
from tests.unit.protocol_fixtures import MAX, PORTFOLIO, VAR, World, call

HOUSE = methodology.load("house")
RUNNING = scenario_set.synthetic()


def scaled(factor: float) -> ScenarioSet:
    """The running set with every return times a factor."""
    return replace(RUNNING, version="2", x=(factor * RUNNING.x).clip(-MAX_MOVE, MAX_MOVE))


@pytest.fixture
def target(world: World, tmp_path: Path) -> tails.Target:
    path = tmp_path / "local.json"
    path.write_text(json.dumps({"contracts": {"lens": {"address": "0x1"}}, "scenarios": None, "mine": [1]}))
    return tails.Target(world.protocol, world.contracts, path, HOUSE)


@pytest.fixture
def accounts_of(world: World) -> dict[int, int]:
    """Accounts by mode that have sold two calls, with what initial margin wants of cash and little more."""
    opened = {}
    for mode in (PORTFOLIO, VAR, MAX):
        opened[mode] = world.open(world.taker, usd=20_000, mode=mode)
        world.trade(opened[mode], world.making, call(world.month, 2100, -2, 80))
        world.drain(opened[mode])
    return opened


def quiet(target: tails.Target, rows: ScenarioSet, force: bool, owner: Any) -> Any:
    return tails.replace(target, rows, force, owner, Console(quiet=True))


def test_accounts_that_would_fall_are_named_and_nothing_changes(world, target, accounts_of):
    house, content = world.house, target.path.read_bytes()
    before = house.engine(), house.report()
    with pytest.raises(click.ClickException) as caught:
        quiet(target, scaled(4.0), False, world.owner)
    why = caught.value.message
    assert why.startswith(f"refused: accounts {accounts_of[VAR]}, {accounts_of[MAX]} would fall below maintenance")
    assert "deployed, but not in use: TailKernel 0x" in why
    assert (house.engine(), house.report()) == before
    assert target.path.read_bytes() == content


def test_by_force_they_are_judged_by_the_new_set_and_others_as_before(world, target, accounts_of):
    house = world.house
    names = ("exchange", "liquidation", "collaterals", "money_market", "admission", "market_data")
    others = {name: getattr(house, name)() for name in names}
    before = {mode: world.figures(account) for mode, account in accounts_of.items()}
    used = quiet(target, scaled(4.0), True, world.owner)
    engine = world.contracts.MarginEngine.at(house.engine(), fetch_from_explorer=False, detect_proxy=False)
    assert list(engine.tails()) == [used.var_engine, used.max_engine]
    for mode, account in accounts_of.items():
        figures = world.figures(account)
        if mode == PORTFOLIO:
            assert tuple(figures) == tuple(before[mode])
        else:
            assert figures.maintenance > figures.equity_maintenance == before[mode].equity_maintenance
    assert {name: getattr(house, name)() for name in names} == others
    content = json.loads(target.path.read_text())
    assert content["mine"] == [1]
    assert content["contracts"]["lens"] == {"address": "0x1"}
    assert {key: row["address"] for key, row in content["contracts"].items() if key != "lens"} == {
        **{key: contract.address for key, contract in vars(used).items()},
        "engine": house.engine(),
        "report": house.report(),
    }
    rows = content["scenarios"]
    assert (rows["name"], rows["version"], rows["rows"]) == (RUNNING.name, "2", len(RUNNING))
    assert rows["digest"] == "0x" + used.scenario_set.digest().hex() != RUNNING.digest


def test_a_milder_set_needs_no_force_and_trading_goes_on(world, target, accounts_of):
    account = accounts_of[VAR]
    before = world.figures(account)
    quiet(target, scaled(0.5), False, world.owner)
    assert world.figures(account).maintenance < before.maintenance
    world.trade(account, world.making, call(world.month, 2100, -0.1, 80))


def test_what_every_account_would_need_is_told(world, target, accounts_of):
    """Of the modes with a tail alone, and of those that have a book."""
    world.open(world.taker, usd=1_000, mode=VAR)
    told = []
    found = tails.needs(target, target.deployed.engine, lambda *step: told.append(step))
    assert [(n.account, n.mode) for n in found] == [(accounts_of[VAR], Mode.VAR), (accounts_of[MAX], Mode.MAX)]
    assert all(n.before == n.after and n.equity >= n.before and not n.falls for n in found)
    count = world.house.account_count()
    assert told == [(count, i) for i in range(1, count + 1)]


def test_a_new_engine_that_refuses_an_account_lets_it_fall():
    need = tails.Need(7, Mode.VAR, equity=100, before=100, after=100)
    assert not need.falls
    assert replace(need, after=101).falls
    assert replace(need, after=None).falls
    assert not replace(need, before=101, after=200).falls, "it is below already"
    assert not replace(need, equity=None, before=None).falls, "it cannot be assessed now"


def test_sets_that_cannot_take_the_place_of_the_running_one(target):
    few = ScenarioSet("few", "1", ("ETH",), ("a",), RUNNING.x[:1, :1], RUNNING.y[:1, :1])
    for rows, why in (
        (RUNNING, "--scenarios: is the running set already"),
        (replace(RUNNING, name="other", version="9"), "--scenarios: is the running set already"),
        (few, "--scenarios: has no rows of BTC, which accounts of VAR and MAX may hold by the running set"),
    ):
        with pytest.raises(click.UsageError) as caught:
            tails.check_set(rows, target)
        assert caught.value.message == why
    tails.check_set(scaled(2.0), target)
    without: Any = SimpleNamespace(names=target.deployed.names, tails=None)
    tails.check_set(few, replace(target, deployed=without))
