"""The demo, run once as a user runs it: it ends well, tells everything, and what it tells adds up."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.story import Agreement, Conservation

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
TITLES = (
    "Capital by margin mode",
    "The protocol on the chain",
    "What happened",
    "The margin check: every account after its trades",
    "What the market maker's margin is made of",
    "What each account fears most",
    "Greeks of the whole account",
    "The order that the condor seller signs, as a wallet shows it",
    "The package: what the condor seller gets for a lot",
    "The fills, submitted by the bidder, who has no part in them",
    "What is refused between the fills, whoever submits it",
    "What one wstETH is worth, by what the market pays for it",
    "Initial margin of 24 calls sold, on cash and on 20 wstETH",
    "The hedged part: the worst loss when ETH rises",
    "The staker's account on the chain",
    "On the way down: equity against margin",
    "Liquidations of the put seller, executed on the chain by the bidder",
    "Who paid what",
    "Who gained and who lost over the whole crash",
    "The settlement price of ETH: the mean of spot over the last 30 minutes",
    "Who gets what",
    "The accounts before and after, at the same prices",
    "The week, half a day at a time",
    "The largest rise within 24 hours",
    "Through the contract: the scan range that the chain has held",
    "Bought by a keeper that watched the chain",
    "Who bears the loss, USD",
    "Whose money there is, USD",
    "Gas of each step, as the chain charged it",
)
STRATEGIES = ("long call", "covered call", "short straddle", "iron condor", "synthetic v. perp", "calendar spread",
              "ETH–BTC spread", "market maker")  # fmt: skip


class Page(HTMLParser):
    """Tables by caption, with cells as text; addresses of every attribute that could load something; tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        if tag in ("caption", "td", "th"):
            self.texts = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self.tables["".join(self.texts)] = self.rows
        elif tag in ("td", "th"):
            self.rows[-1].append("\n".join(self.texts))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Told:
    """What the run printed and wrote."""

    def __init__(self, run: subprocess.CompletedProcess[str], report: Path) -> None:
        self.run = run
        # Words are wrapped on the console.
        self.words = " ".join(run.stdout.split())
        self.html = report.read_text(encoding="utf-8") if report.exists() else ""
        self.page = Page(self.html)

    def column(self, table: str, heading: str) -> list[str]:
        """The cells of a column of a table of the report, from the top down."""
        head, *rows = self.page.tables[table]
        return [row[head.index(heading)] for row in rows]

    def numbers(self, table: str, heading: str) -> list[float]:
        """The same as numbers, cells without one left out."""
        texts = (cell.replace(",", "").rstrip("%") for cell in self.column(table, heading))
        return [float(text) for text in texts if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    report = tmp_path_factory.mktemp("demo") / "folder" / "report.html"
    command = [str(TOOLS / "ape"), "run", "demo", "--network", "ethereum:local:foundry", "--out", str(report)]
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    # A minute and a half; more where other tests share two cores with it.
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    return Told(run, report)


pytestmark = pytest.mark.slow


def number(cell: str) -> float:
    """A figure of a table."""
    return float(cell.replace(",", ""))


def test_it_ends_well_and_says_where_the_report_is(told: Told) -> None:
    assert told.run.returncode == 0, told.run.stderr
    assert re.search(r"Report: \S+/folder/report\.html \(\d+ s\)", told.run.stdout)


def test_nothing_of_the_tools_disturbs_the_story(told: Told) -> None:
    assert told.run.stderr == ""
    assert not re.search(r"INFO|SUCCESS|WARNING|Traceback", told.run.stdout)


@pytest.mark.parametrize("title", TITLES)
def test_every_table_is_printed_and_is_in_the_report(told: Told, title: str) -> None:
    assert title in told.words
    assert len(told.page.tables[title]) > 1, "a table without rows"


def test_no_figure_is_cut_off(told: Told) -> None:
    assert "…" not in told.run.stdout


def test_all_eight_strategies_are_margined_in_three_modes(told: Told) -> None:
    table = "Capital by margin mode"
    assert tuple(cell.split("\n")[0] for cell in told.column(table, "strategy")) == STRATEGIES
    modes = [told.numbers(table, f"{mode}\nUSD") for mode in ("portfolio", "cross", "isolated")]
    assert all(len(column) == 8 for column in modes)
    for portfolio, cross, isolated in zip(*modes, strict=True):
        # Cross and isolated are printed in whole dollars.
        assert portfolio <= cross + 0.5 and cross <= isolated + 0.5


def test_contract_and_model_agree_in_what_is_printed(told: Told) -> None:
    match = re.search(
        r"Contract and model agree: ([\d,]+) figures compared, largest difference ([\d.]+) USD; .* is (\d+)% of it",
        told.words,
    )
    assert match is not None
    count, largest, share = (float(text.replace(",", "")) for text in match.groups())
    assert count > 1000 and share <= 100
    assert 0 < largest < 1, "two calculations that agree to the last bit are one"

    table = "Capital by margin mode"
    off, allowed = told.numbers(table, "off model\nUSD"), told.numbers(table, "allowed\nUSD")
    assert len(off) == len(allowed) == 8
    assert all(0 < difference <= bound for difference, bound in zip(off, allowed, strict=True))
    for contract, model in zip(
        told.numbers(table, "portfolio\nUSD"), told.numbers(table, "by model\nUSD"), strict=True
    ):
        assert contract == pytest.approx(model, abs=largest + 0.01), "printed in cents"

    greeks = told.page.tables["Greeks of the whole account"][1:]
    for contract, model in zip(greeks[::2], greeks[1::2], strict=True):
        assert (contract[2], model[2]) == ("contract", "model")
        assert contract[:2] == model[:2] and contract[3:] == model[3:]


def test_money_and_positions_are_conserved(told: Told) -> None:
    match = re.search(
        r"Conservation holds: cash less cost of all accounts ([\d,.]+) USD, USDC held ([\d,.]+), difference 0\.000000; "
        r"WETH credited ([\d,.]+), held ([\d,.]+), difference 0\.000000; "
        r"wstETH credited ([\d,.]+), held ([\d,.]+), difference 0\.000000; "
        r"positions add up to zero in (\d+) of (\d+)",
        told.words,
    )
    assert match is not None
    owed, held, credited, vault, staked, staked_vault, sums, instruments = match.groups()
    assert owed == held == "1,468,000.000000", "1,470,000 USDC came in, 2,000 went out"
    assert credited == vault == "250.000000"
    assert staked == staked_vault == "20.000000"
    assert sums == instruments


def test_only_the_put_seller_is_liquidated_and_every_sale_makes_the_account_sound(told: Told) -> None:
    table = "Liquidations of the put seller, executed on the chain by the bidder"
    before, after = told.numbers(table, "cover\nbefore"), told.numbers(table, "cover\nafter")
    assert len(before) >= 2
    assert all(99 < cover < 100 for cover in before), "the bidder comes at once"
    # Back to initial margin, which is a quarter above maintenance margin and a little more.
    assert all(125 <= cover < 130 for cover in after)
    assert set(told.column("Who paid what", "account")) == {"put seller", "bidder", "insurance fund", "sum"}


def test_a_keeper_waits_for_a_discount_and_buys_what_restores_initial_margin(told: Told) -> None:
    table = "Bought by a keeper that watched the chain"
    minutes, discounts = told.numbers(table, "minute"), told.numbers(table, "discount")
    assert len(minutes) == 2 and minutes == sorted(minutes)
    assert all(2 < discount <= 30 for discount in discounts)
    after, margin = told.numbers(table, "equity after\nUSD"), told.numbers(table, "initial margin\nUSD")
    # The premium for rounding, and cents.
    assert all(0 <= a - m <= 0.03 for a, m in zip(after, margin, strict=True))


def test_a_loss_is_borne_in_order_and_nothing_is_lost_on_the_way(told: Told) -> None:
    table = "Who bears the loss, USD"
    heads = ("trader", "junior", "senior", "counterparties", "everybody's cash", "who withdrew", "nobody yet")
    rows = list(zip(*(told.numbers(table, head) for head in heads), strict=True))
    assert len(rows) == 9 and rows[0] == (0.0,) * 7
    for trader, junior, senior, _, owed, cut, _ in rows[1:]:
        assert trader == 4_500.0
        assert senior == 0.0 or junior == 1_000.0, "junior before senior"
        assert owed + cut == 0.0 or senior == 2_000.0, "senior before everybody"
    assert rows[-1][4:] == (0.0, 0.0, 0.0), "all of it has come back"
    assert any(row[5] > 0.0 for row in rows), "somebody withdrew meanwhile"
    assert set(told.numbers("Whose money there is, USD", "sum")) == {307_500.0}
    assert "to the last unit of 1e-18 USD" in told.words and "NOT TO THE LAST UNIT" not in told.words


def test_what_one_side_of_a_liquidation_pays_the_other_gets(told: Told) -> None:
    rows = told.page.tables["Who paid what"][1:]
    table = "Liquidations of the put seller, executed on the chain by the bidder"
    discounts, fees = told.numbers(table, "discount\nUSD"), told.numbers(table, "fee to the\nfund, USD")
    assert len(rows) == 4 * len(discounts)
    for i, (discount, fee) in enumerate(zip(discounts, fees, strict=True)):
        seller, bidder, fund, total = rows[4 * i : 4 * i + 4]
        cash, gained = ([number(row[k]) for row in (seller, bidder, fund)] for k in (4, 7))
        # Each is printed in cents, and sizes are cut to a millionth.
        assert gained == pytest.approx([-discount - fee, discount, fee], abs=0.021)
        assert cash[2] == fee
        assert sum(cash) == pytest.approx(0.0, abs=0.015 + 1e-6)
        assert (total[4], total[-1]) == ("0.00", "0.00")
        # 2% and 1% of what is sold; of the discount goes a premium for rounding.
        worth = told.numbers(table, "net value of\nslice, USD")[i]
        assert fee == pytest.approx(0.01 * worth, abs=0.006)
        assert 0.0 <= 0.02 * worth - discount < 0.2


def test_the_crash_makes_nobody_rich_but_by_another(told: Told) -> None:
    *_, total = told.page.tables["Who gained and who lost over the whole crash"]
    # The change, and of it ether held, derivatives and sales.
    assert total[3] == total[4] and float(total[4].replace(",", "")) < 0
    assert total[5:] == ["0", "0"]


def test_a_withdrawal_that_would_break_the_margin_is_refused(told: Told) -> None:
    assert "refused, “solvency: margin”" in told.words


def test_the_package_is_four_legs_that_add_up_to_one_net_price(told: Told) -> None:
    order = dict(
        row[::2] for row in told.page.tables["The order that the condor seller signs, as a wallet shows it"][1:]
    )
    verbs = [words.split()[0] for field, words in order.items() if field.startswith("legs[")]
    assert sorted(verbs) == ["gives", "gives", "receives", "receives"]

    table = "The package: what the condor seller gets for a lot"
    for heading in (
        "premium\nreceived, USD",
        "fee of the condor seller\n(taker), USD",
        "fee of the fund\n(maker), USD",
    ):
        *legs, net = told.numbers(table, heading)
        assert len(legs) == 4
        assert net == pytest.approx(sum(legs), abs=2.5e-4), "five numbers of four digits"
    assert set(told.column(table, "fee\nbound by")) == {"premium", "notional", ""}


def test_an_order_fills_in_part_and_pays_what_the_model_says(told: Told) -> None:
    table = "The fills, submitted by the bidder, who has no part in them"
    assert told.column(table, "filled") == ["4 of 10", "10 of 10"]
    for contract in ("premium to\nseller, USD", "seller's\nfee, USD", "fund's\nfee, USD"):
        head = told.page.tables[table][0]
        paid = told.column(table, contract)
        assert paid == [row[head.index(contract) + 1] for row in told.page.tables[table][1:]], "by model, beside it"
        first, second = (float(text) for text in paid)
        assert second == pytest.approx(1.5 * first, abs=0.0125), "six lots cost as much as one and a half times four"


def test_what_was_not_signed_is_refused(told: Told) -> None:
    answers = told.column("What is refused between the fills, whoever submits it", "answer")
    assert answers == ["“exchange: filled”", "“exchange: signature”", "“exchange: not approved”"]


def test_what_is_hedged_by_staked_ether_needs_next_to_nothing(told: Told) -> None:
    table = "Initial margin of 24 calls sold, on cash and on 20 wstETH"
    cash, staked = (told.numbers(table, f"{name}\nUSD") for name in ("on cash", "on wstETH"))
    assert len(cash) == len(staked) == 5
    assert staked[0] < 0.1 * cash[0], "calls that move as ETH does"
    assert all(margin < staked[-1] for margin in staked[:-1]), "calls take away from what the tokens need alone"
    hedged = "The hedged part: the worst loss when ETH rises"
    on_cash, on_tokens = (told.numbers(hedged, f"{name}\nUSD") for name in ("on cash", "on wstETH"))
    assert all(covered < 0.15 * naked for naked, covered in zip(on_cash, on_tokens, strict=True))
    for title in (table, hedged):
        for row in told.page.tables[title][1:]:
            assert row[1] == row[2] and row[3] == row[4], "contract and model, printed in cents"


def test_the_market_price_of_staked_ether_lowers_what_it_counts_for(told: Told) -> None:
    table = "What one wstETH is worth, by what the market pays for it"
    assert told.column(table, "price\nUSD") == told.column(table, "by model\nUSD")
    assert told.column(table, "haircut\ninitial") == ["6.00%", "6.00%", "14.00%", "26.00%"]
    worth = told.numbers(table, "counts for\nUSD")
    assert worth == sorted(worth, reverse=True) and len(set(worth)) == 4


def test_the_lens_foretold_the_margin_of_the_covered_calls(told: Told) -> None:
    table = "The staker's account on the chain"
    assert told.column(table, "initial\nmargin, USD") == told.column(table, "foretold by\nthe lens, USD")


def test_the_settlement_price_is_the_mean_of_the_last_half_hour(told: Told) -> None:
    table = "The settlement price of ETH: the mean of spot over the last 30 minutes"
    assert [time.rpartition(" ")[2] for time in told.column(table, "time\nUTC")][:-1] == [
        "07:30", "07:35", "07:40", "07:45", "07:50", "07:55", "08:00"
    ]  # fmt: skip
    # The last spot has been in force for no second of the window.
    *spots, _ = told.numbers(table, "spot published\nUSD")
    *forwards, settled = told.numbers(table, "forward in the margin\nUSD")
    assert settled == pytest.approx(sum(spots) / len(spots), abs=5e-5 + 1e-9), "spots are printed to 1e-4"
    assert forwards[-1] == pytest.approx(settled, abs=5e-7), "printed to 1e-6"
    assert settled != pytest.approx(spots[-1], abs=0.1), "a mean of one price only would prove nothing"


def test_settlement_pays_what_one_has_to_another(told: Told) -> None:
    rows = told.page.tables["Who gets what"][1:]
    sums = [row for row in rows if row[1] == "sum"]
    assert {row[0] for row in sums} == {"fund", "market maker", "call seller", "condor seller", "all"}
    assert all(row[4] == row[5] for row in sums), "model and contract, in cents"
    paid = {row[0]: float(row[5].replace(",", "")) for row in sums}
    assert paid["all"] == 0.0 and paid["fund"] == -paid["condor seller"] > 0.0
    settled = next(r for r in rows if r[0] == "fund" and r[1] == "4 Feb 2,200 put")
    price = told.numbers("The settlement price of ETH: the mean of spot over the last 30 minutes", "by model\nUSD")[-1]
    assert float(settled[4]) == pytest.approx(10 * (2200.0 - price), abs=0.005 + 1e-8), "printed in cents"

    table = "The accounts before and after, at the same prices"
    assert told.column(table, "net value\nbefore, USD") == told.column(table, "net value\nafter, USD")


def test_settlement_conserves_cash_to_the_wei(told: Told) -> None:
    match = re.search(
        r"Cash is conserved to the wei: the accounts together got (\S+) USD; the cash of all accounts and the reserve "
        r"was (\S+) USD before and (\S+) USD after\. One call of anybody settled (\d+) legs of 4 accounts for [\d,]+ "
        r"gas; the same call again finds 0 legs to settle",
        told.words,
    )
    assert match is not None
    got, before, after, legs = match.groups()
    assert got == "0." + 18 * "0"
    assert before == after == "1,468,000." + 18 * "0"
    assert int(legs) == sum(row[1] != "sum" for row in told.page.tables["Who gets what"][1:])


def test_the_report_needs_no_other_file(told: Told) -> None:
    assert not re.search(r"https?:|//cdn|@import|url\(", told.html)
    assert told.page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in told.page.addresses)


def test_the_report_has_its_pictures(told: Told) -> None:
    pictures = [a.partition(",")[2] for a in told.page.addresses if a.startswith("data:")]
    assert len(pictures) == 8
    for picture in pictures:
        data = base64.b64decode(picture, validate=True)
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) > 20_000


def test_an_agreement_breaks_with_the_first_figure_beyond_its_bound() -> None:
    agreement = Agreement()
    agreement.see(100.0, 100.4, 0.5)
    assert agreement.holds
    agreement.see(100.0, 100.6, 0.5)
    agreement.see(100.0, 100.0, 0.5)
    assert not agreement.holds


@pytest.mark.parametrize("change", [{"held": 99}, {"vault": 6}, {"staked_vault": 4}, {"open_sums": 1}])
def test_conservation_breaks_with_a_single_unit(change: dict[str, int]) -> None:
    sums = Conservation(owed=100, held=100, credited=7, vault=7, staked=5, staked_vault=5, instruments=3, open_sums=0)
    assert sums.holds
    assert not replace(sums, **change).holds
