"""Last chapter of the demo: do money, positions and the two calculations agree, and what did it cost."""

from __future__ import annotations

from collections.abc import Sequence

from scripts import chain
from scripts.crash import Step
from scripts.report import Chapter, Sheet, percent
from scripts.story import Conservation, Stage


def money(wad: int) -> str:
    """An amount at 1e-18, six decimals."""
    return f"{chain.as_float(wad):,.6f}"


def conserved(sums: Conservation) -> str:
    """The conservation line (INV-01 to INV-03)."""
    return (
        f"Conservation {'holds' if sums.holds else 'IS BROKEN'}: cash less cost of all accounts {money(sums.owed)} "
        f"USD, USDC held {money(sums.held)}, difference {money(sums.owed - sums.held)}; WETH credited "
        f"{money(sums.credited)}, held {money(sums.vault)}, difference {money(sums.credited - sums.vault)}; wstETH "
        f"credited {money(sums.staked)}, held {money(sums.staked_vault)}, difference "
        f"{money(sums.staked - sums.staked_vault)}; positions add up to zero in {sums.instruments - sums.open_sums} "
        f"of {sums.instruments} instruments."
    )


def agreed(stage: Stage) -> str:
    """How contract and model compare."""
    a = stage.agreement
    return (
        f"Contract and model {'agree' if a.holds else 'DISAGREE'}: {a.count:,} figures compared, largest difference "
        f"{a.largest:.4f} USD; the nearest that one came to what its proven error bound allows is "
        f"{percent(a.share)} of it."
    )


def facts(stage: Stage, steps: Sequence[Step], sums: Conservation, saved: str) -> list[tuple[str, str]]:
    """The figures for a first look at the report; `saved` is what portfolio mode saves the market maker."""
    sales = [sale.seller for step in steps for sale in step.sales]
    missing = abs(sums.owed - sums.held) + sums.lost_collateral
    return [
        (saved, "less capital for the market maker's 32 legs in portfolio mode than in cross mode"),
        (str(len(sales)), f"liquidations on the way down, all of: {', '.join(sorted(set(sales))) or 'nobody'}"),
        (money(missing), "USD and tokens missing when cash and collateral of all accounts are added up"),
        (
            f"{stage.agreement.largest:.2f} USD",
            f"largest of {stage.agreement.count:,} differences of contract and model",
        ),
    ]


def chapter(stage: Stage, sums: Conservation) -> Chapter:
    """Add up, and tell."""
    return Chapter(
        "9. The books balance",
        [
            conserved(sums),
            agreed(stage),
            Sheet(
                "Gas of each step, as the chain charged it",
                ("step", "gas"),
                "lr",
                [(step, f"{gas:,}") for step, gas in stage.gas.items()],
                "A first time writes empty storage and costs more. A trade checks both accounts over all scenarios; "
                "a liquidation checks the account once, and the bidder unless it has cash alone; a settlement checks "
                "nobody, as it changes what nobody is worth.",
            ),
        ],
    )


def sound(stage: Stage, sums: Conservation) -> bool:
    """Whether everything that must hold holds."""
    return sums.holds and stage.agreement.holds
