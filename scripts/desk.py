"""Engines on a chain that assess cases, and the model's answers beside theirs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from ape.exceptions import ApeException

from python_model import margin as float_model
from python_model.case import Case
from python_model.explanation import Explanation, cash_of, changes, explain, traded
from python_model.margin import holdings
from python_model.methodology import Methodology
from python_model.normal import Floats
from python_model.portfolio import Book, Market, Mode, net
from python_model.tail import Tail
from python_model.value_at_risk import leg_losses, risk
from scripts import chain
from scripts.margin_figures import EQUITIES, REQUIREMENTS, Bounds, Figure, greeks, money, requirements, tails

# Figures of an account that trades change.
ACCOUNT = (*REQUIREMENTS, *EQUITIES)


class AssessmentError(RuntimeError):
    """A case that the chain cannot assess; one line."""


def one_line(error: object) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())


# What a volatility of the chain may be off that of a case, a day: the step of a scan range, and rounding.
VOL_STEP = 1.01e-12


@dataclass(frozen=True)
class Outcome:
    """The result of a case, its figures side by side, those after each of its packages, and what explains both."""

    result: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    after: list[Figure] = field(default_factory=list)
    explanation: Explanation | None = None
    changed: list[Explanation] = field(default_factory=list)

    @property
    def disagreements(self) -> list[str]:
        """One line for each figure beyond its bound."""
        return [
            f"DISAGREEMENT: {f.title}: contract {f.contract!r}, model {f.model!r}, off by {f.difference:.3e} {f.unit} "
            f"(bound: {f.above:.3e} above, {f.below:.3e} below)"
            for f in [*self.figures, *self.after]
            if f.disagrees
        ]


class Desk:
    """Engines on a chain for any number of cases.

    Those of a grid are deployed once. A volatility on the chain learns from every price, so a case with a tail has
    market data of its own, where it begins as the case says, and engines that read it; what reads no market is shared.
    """

    def __init__(self, contracts: Any, sender: Any, presets: dict[str, Methodology]) -> None:
        """Deploy. `contracts` are ape's containers by name; `sender` pays. Raises what ape raises."""
        self.contracts, self.sender, self.presets = contracts, sender, presets
        # Members of correlation groups keep their ids; other names are numbered case by case, for each case publishes
        # its own market.
        self.grouped = chain.ids({name for m in presets.values() for group in m.groups for name in group.members})
        self.shared: dict[str, Any] = {}
        grids = [m for m in presets.values() if m.tail is None]
        self.grids = chain.deploy_engine(contracts, sender, grids, self.grouped, shared=self.shared)
        self.provider = self.grids.market_data.provider
        self.published = 0
        chain.require_time_override(self.provider)

    def names(self, market: Market) -> dict[str, int]:
        """Ids of the underlyings of a market."""
        others = sorted(set(market.underlyings) - set(self.grouped))
        free = len(self.grouped) + 1
        numbered = self.grouped | {name: free + i for i, name in enumerate(others)}
        return {name: numbered[name] for name in market.underlyings}

    def now(self) -> int:
        """A time newer than that of the last case's data and not ahead of the next block."""
        latest = self.provider.get_block("latest").timestamp
        if latest <= self.published:
            latest = self.published + 1
            if self.provider.network.is_dev:
                self.provider.set_timestamp(latest)
            else:
                time.sleep(2)
        self.published = latest
        return latest

    def deployment(self, case: Case) -> chain.Deployment:
        """The contracts that a case is assessed by."""
        names = self.names(case.market)
        if case.tail is None:
            return replace(self.grids, names=names)
        preset, rows = self.presets[case.methodology], case.tail.scenarios
        return chain.deploy_engine(
            self.contracts, self.sender, [preset], self.grouped | names, rows=rows, shared=self.shared
        )

    def learnt(self, deployment: chain.Deployment, case: Case) -> Case:
        """The case with the volatilities that the chain has, for contract and model; RuntimeError where off."""
        if case.tail is None:
            return case
        market = chain.learnt(deployment, case.market)
        for name, u in market.underlyings.items():
            wanted = case.market.underlyings[name].daily_vol
            if u.daily_vol is None or wanted is None or abs(u.daily_vol - wanted) > VOL_STEP:
                raise RuntimeError(f"market.{name}.daily_vol: is {u.daily_vol!r} on the chain (wanted {wanted!r})")
        return replace(case, market=market)

    def assess(self, case: Case) -> Outcome:
        """Publish the case's market, ask the engine, measure a transaction, and put the model's answer beside it.

        Times to expiry are exact, since views are called in a block of the time that stands for `as_of`. The
        transaction that measures gas is mined in real time, some seconds later.

        Raises
        ------
        AssessmentError
            Where the chain refuses.
        """
        preset = self.presets[case.methodology]
        try:
            deployment = self.deployment(case)
            clock = chain.publish(deployment, case.market, self.now())
            case = self.learnt(deployment, case)
            view = View(deployment, clock, case)
            contract = view.result()
            after = [view.assess(traded(case.book, package, case.market)) for package in case.packages]
            gas = view.gas()
        except (RuntimeError, OSError, ApeException) as error:
            raise AssessmentError(f"chain: {one_line(error)}") from error
        book, market, tail = case.book, case.market, case.tail
        model = float_model.assess(book, market, preset, tail).to_dict()
        bounds = Bounds.of(book, market, preset)
        compared = []
        if tail is not None:
            # Reports of the contracts, and so charges, are of the grid.
            grid = float_model.assess(book, market, replace(preset, tail=None))
            model["charges"] = grid.to_dict()["charges"]
            losses = leg_losses(book, market, preset, tail.moves(market, list(holdings(book, market)))).total
            model["tail"] = tail_figures(losses, tail)
            compared = tails(contract, model, losses, bounds)
        compared = money(contract, model, bounds) + compared
        explanation = explain(book, market, preset, tail)
        packages, figures, changed = [], [], []
        for package, there in zip(case.packages, after, strict=True):
            new = traded(book, package, market)
            here = float_model.assess(new, market, preset, tail).to_dict()
            figures += requirements(there, here, Bounds.of(new, market, preset), f"after {package.name}")
            changed.append(explain(new, market, preset, tail))
            packages.append(
                {"name": package.name, "cash": cash_of(package, market)}
                | {"contract": moved(contract, there), "model": moved(model, here)}
                | change_result(explanation, changed[-1])
            )
        result = {
            "contract": contract,
            "model": model,
            "max_abs_difference": max(abs(figure.difference) for figure in compared),
            "error_bound": bounds.price,
            "gas": {"assess": gas},
            "legs": len(net(book.positions, market)),
            "scenarios": len(preset),
            "explanation": explanation_result(explanation) | {"packages": packages},
        }
        if tail is not None:
            result |= {"rows": len(tail.scenarios), "tail_count": tail.k}
        return Outcome(result, compared + greeks(contract, model), figures, explanation, changed)


@dataclass(frozen=True)
class View:
    """Engines that see the published market of a case, at its time."""

    deployment: chain.Deployment
    clock: chain.Clock
    case: Case

    @property
    def engine(self) -> Any:
        """The margin engine, or tail engine, of the case's methodology."""
        return self.deployment.engines[self.case.methodology]

    def call(self, function: Any, book: Book) -> Any:
        """What a view says of a book. The time is perhaps a second earlier than asked for: see `chain.publish`."""
        return chain.call_at(function, self.clock.chain(self.case.market.as_of), self.account(book))

    def account(self, book: Book) -> tuple[Any, ...]:
        """A book as the engine takes it."""
        return chain.account(book, self.case.market, self.deployment.names, self.clock)

    def assess(self, book: Book) -> dict[str, Any]:
        """Requirements, equity and option value of a book by the contract."""
        return chain.figures(self.call(self.engine.assess, book))

    def result(self) -> dict[str, Any]:
        """The contract's side of a result."""
        case, names = self.case, self.deployment.names
        portfolio, cross = (
            self.call(self.engine.assess, replace(case.book, mode=mode)) for mode in (Mode.PORTFOLIO, Mode.CROSS)
        )
        assessment, reports = self.call(self.deployment.reports[case.methodology].explain, case.book)
        if case.tail is not None:
            # In portfolio mode `explain` knows the grid alone.
            assessment = self.call(self.engine.assess, case.book)
        answer = chain.result(assessment, reports, names) | {"capital": chain.capital(portfolio, cross)}
        if case.tail is not None:
            answer["tail"] = chain.tail_result(self.call(self.engine.tail, case.book), case.tail.scenarios)
        return answer

    def gas(self) -> int | None:
        """What a transaction costs that assesses the account; None where it does not fit a block.

        The first question is whether it does: ape would trace a transaction that fails, for minutes.
        """
        sender, account = self.deployment.sender, self.account(self.case.book)
        if not chain.fits_a_block(self.engine.assess, sender, account):
            return None
        return self.engine.assess.transact(account, sender=sender).gas_used


def tail_figures(losses: Floats, tail: Tail) -> dict[str, Any]:
    """The model's answer in the place of `chain.tail_result`, from losses (rows,), USD."""
    figures = risk(losses, tail.alpha)
    return {
        "value_at_risk": figures.var,
        "expected_shortfall": figures.es,
        "worst_row": figures.worst,
        "worst_day": tail.scenarios.dates[figures.worst],
    }


# ---------------------------------------------------------------------------------------------- as plain numbers


def explanation_result(explanation: Explanation) -> dict[str, Any]:
    """An explanation as the fields of a result file."""
    return {
        "waterfall": [
            {"label": row.label, "amount": row.amount, "unit": "USD", "total": row.total}
            for row in explanation.waterfall
        ],
        "worst": explanation.worst.words,
        "worst_pnl": explanation.worst.pnl,
        "legs": [{"leg": share.words, "amount": share.amount} for share in explanation.legs],
    }


def moved(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Figures of one side after a package, and by how much it changes them, USD."""

    def of(side: dict[str, Any]) -> dict[str, float]:
        return {key: side[key] for key in ACCOUNT} | {"free_collateral": side["equity_initial"] - side["initial"]}

    old, new = of(before), of(after)
    return {"after": new, "change": {key: new[key] - old[key] for key in new}}


def change_result(before: Explanation, after: Explanation) -> dict[str, Any]:
    """What a package changes of an explanation."""
    return {
        "worst": {"before": before.worst.words, "after": after.worst.words},
        "worst_pnl": {"before": before.worst.pnl, "after": after.worst.pnl},
        "legs": [{"leg": name, "before": old, "after": new} for name, old, new in changes(before, after)],
    }
