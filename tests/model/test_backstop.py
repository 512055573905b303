"""The waterfall of the model, by hand and to the wei: junior, senior, shortfall, haircut, recovery, and back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from python_model import backstop
from python_model.backstop import Fund

WAD = backstop.WAD
# From a unit to a billion USD, and every size between.
money = st.one_of(st.integers(0, 1000), st.integers(0, 10**27), st.integers(0, 27).map(lambda n: 10**n))
USDC = 10**12
funds = st.builds(
    lambda pool, claims, due: Fund(pool[0], pool[1], pool[2], due, {i: c for i, c in enumerate(claims) if c}),
    st.one_of(st.tuples(money, money, st.just(0)), st.tuples(st.just(0), st.just(0), money)),
    st.lists(money, max_size=4),
    money,
)


def test_a_loss_takes_junior_then_senior_then_is_a_shortfall():
    fund = Fund(junior=100, senior=300)
    assert backstop.bear(fund, 60) == Fund(junior=40, senior=300)
    assert backstop.bear(fund, 150) == Fund(junior=0, senior=250)
    assert backstop.bear(fund, 450) == Fund(shortfall=50)


def test_income_heals_shortfall_and_claims_in_proportion_then_pays_the_coupon_then_junior():
    fund = Fund(shortfall=60, due=7, claims={8: 30, 9: 10})
    assert backstop.earn(fund, 50) == Fund(shortfall=30, due=7, claims={8: 15, 9: 5}, recovered={8: 15, 9: 5})
    assert backstop.earn(fund, 105) == Fund(senior=5, due=2, recovered={8: 30, 9: 10})
    assert backstop.earn(fund, 120) == Fund(junior=13, senior=7, recovered={8: 30, 9: 10})


def test_a_haircut_is_the_share_of_the_shortfall_in_all_credit():
    """A quarter of 1,000 is missing: of 100 are paid 75, and of the rest a quarter is missing still."""
    fund, paid = backstop.dock(Fund(shortfall=250), 8, 100, 1000)
    assert paid == 75
    assert fund == Fund(shortfall=225, claims={8: 25})
    assert backstop.dock(fund, 8, 100, 900) == (Fund(shortfall=200, claims={8: 50}), 75)
    assert backstop.dock(Fund(junior=1), 8, 100, 1000) == (Fund(junior=1), 100)
    assert backstop.kept(100, 1001, 1000) == 100


def test_five_percent_a_year_are_due_to_the_senior_tranche():
    fund = backstop.accrue(Fund(junior=1, senior=1000 * WAD), backstop.YEAR // 2, WAD // 20)
    assert fund.due == 25 * WAD


@given(fund=funds, loss=money)
def test_a_loss_is_borne_to_the_wei(fund, loss):
    then = backstop.bear(fund, loss)
    assert fund.cash - then.cash == loss
    assert then.junior == 0 or then.senior == fund.senior
    assert then.pool == 0 or then.shortfall == 0


@given(fund=funds, income=money)
def test_an_income_is_shared_to_the_wei(fund, income):
    then = backstop.earn(fund, income)
    assert then.cash - fund.cash == income
    healed = fund.shortfall - then.shortfall + fund.claimed - then.claimed
    # Nothing goes to the tranches before the hole is filled, but what is rounded off where there is no shortfall left.
    assert healed >= min(income, fund.shortfall + fund.claimed) - len(fund.claims)
    assert then.junior == fund.junior or then.due == 0 or fund.due == 0 or income <= healed + len(fund.claims)
    for account, claim in fund.claims.items():
        # In proportion, within a unit.
        want = min(income, fund.shortfall + fund.claimed) * claim // (fund.shortfall + fund.claimed)
        assert claim - then.claims.get(account, 0) == then.recovered.get(account, 0) == want


@given(shortfall=money, lent=st.lists(money, min_size=1, max_size=6))
def test_nobody_is_better_off_by_withdrawing_sooner(shortfall, lent):
    """Every account withdraws all: of each is kept its share, within a token unit of 1e-6 for each before it."""
    whole = [c // USDC for c in lent]
    total = sum(whole) * USDC
    assume(0 < shortfall <= total)
    fund, left = Fund(shortfall=shortfall), total
    for i, amount in enumerate(whole):
        before = fund
        fund, paid = backstop.dock(fund, i, amount, left, USDC)
        left -= amount * USDC
        share = -(-amount * shortfall // total)
        assert share - i - 1 <= amount - paid <= share
        # To the wei: the claim is what was kept.
        assert fund.cash - before.cash == (amount - paid) * USDC == fund.claimed - before.claimed
    assert fund.shortfall == 0
    assert shortfall <= fund.claimed < shortfall + len(whole) * USDC


@given(
    fund=st.builds(Fund, junior=money, senior=money),
    loss=money,
    lent=st.lists(money, min_size=1, max_size=5),
    incomes=st.lists(money, max_size=6),
)
def test_through_all_stages_and_back(fund, loss, lent, incomes):
    """Account, junior, senior, shortfall, haircut, recovery: at each stage the parts make up the cash, to the wei."""
    cash = fund.cash
    fund = backstop.bear(fund, loss)
    cash -= loss
    left = sum(lent)
    paid_out = 0
    for i, credit in enumerate(lent):
        fund, paid = backstop.dock(fund, i, credit, left)
        left -= credit
        paid_out += paid
        cash += credit - paid
        assert fund.cash == cash
    for income in incomes:
        fund = backstop.earn(fund, income)
        cash += income
        assert fund.cash == cash
        for i in range(len(lent)):
            fund, amount = backstop.collect(fund, i)
            cash -= amount
            paid_out += amount
            assert fund.cash == cash
    # Whoever withdrew got all but what is owed still.
    assert paid_out + fund.claimed == sum(lent)
    if sum(incomes) >= loss + len(incomes) * len(lent):
        assert fund.shortfall == 0
        # A unit for each claim and income may be rounded off, in the fund's favour.
        assert fund.claimed <= len(incomes) * len(lent)


@given(fund=funds, parts=st.lists(money, min_size=1, max_size=5))
def test_a_loss_in_parts_is_the_loss(fund, parts):
    whole = backstop.bear(fund, sum(parts))
    for part in parts:
        fund = backstop.bear(fund, part)
    assert fund == whole


@given(total=money, supply=money, assets=money, offset=st.sampled_from([1, 10**3, 10**6]))
def test_no_round_trip_through_a_tranche_gains(total, supply, assets, offset):
    shares = backstop.shares_of(assets, total, supply, offset)
    assert backstop.assets_of(shares, total + assets, supply + shares, offset) <= assets


@given(amount=money, seconds=st.integers(1, 10**6), early=st.integers(0, 10**6), late=st.integers(0, 10**6))
def test_income_is_released_steadily(amount, seconds, early, late):
    early, late = sorted((early, late))
    assert 0 <= backstop.vested(amount, early, seconds) <= backstop.vested(amount, late, seconds) <= amount
    assert backstop.vested(amount, seconds, seconds) == amount


def test_a_claim_keeps_its_rank_through_a_second_loss():
    """What comes after a loss that came after a claim is shared by both."""
    fund = replace(Fund(shortfall=100), claims={8: 100})
    assert backstop.earn(backstop.bear(fund, 200), 40) == Fund(shortfall=270, claims={8: 90}, recovered={8: 10})
