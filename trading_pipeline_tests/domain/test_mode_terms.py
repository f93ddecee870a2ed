"""On what terms a session trades: never wider than configuration nor mode, and lowered by what was lost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.breaker_rules import BreakerRules
from trading_pipeline.domain.mode_terms import Record, Terms, WatchRules, allows_less, risk_left, why_lower
from trading_pipeline.domain.modes import LADDER, Rung
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline_tests.builders import dec

RULES = WatchRules()
RUNGS = [Rung(mode, step + 1) for mode, steps in LADDER.items() for step in range(len(steps))]
MINIMAL = Rung(Mode.LIVE_MINIMAL)

rungs = st.sampled_from(RUNGS)
parts = st.sampled_from([dec("1"), dec("0.5"), dec("0.25"), dec("0.125")])
terms = st.builds(
    Terms, rung=rungs, first_fraction=parts, risk_fraction=parts, is_watched=st.booleans(),
    barred_by=st.sampled_from(["", "not approved"]), approved_by=st.sampled_from(["", "abc"]),
)  # fmt: skip
fractions = st.integers(1, 100).map(lambda n: Decimal(n) / 10_000)
shares = st.integers(1, 100).map(lambda n: Decimal(n) / 100)


@st.composite
def limits(draw: st.DrawFn) -> RiskLimits:
    exposure = draw(shares)
    return RiskLimits(
        max_trade_risk_fraction=draw(fractions), max_open_risk_fraction=dec("0.03"),
        max_total_exposure_fraction=exposure, max_position_notional_fraction=exposure * draw(shares),
        daily_loss_fraction=draw(shares), max_open_positions=draw(st.integers(1, 9)),
        max_order_notional_usd=draw(st.integers(100, 20_000).map(Decimal)),
    )  # fmt: skip


@given(configured=limits(), on=terms, equity=st.integers(1, 10**7).map(Decimal))
def test_limits_in_force_are_never_wider_than_configuration_nor_mode(
    configured: RiskLimits, on: Terms, equity: Decimal
) -> None:
    found, rung = on.limits(configured, RULES, equity_usd=equity), on.rung.limits

    assert found.max_trade_risk_fraction <= on.size_fraction * min(
        configured.max_trade_risk_fraction, rung.trade_risk_fraction
    )
    for name in ("max_total_exposure_fraction", "max_position_notional_fraction"):
        assert getattr(found, name) <= min(configured.max_total_exposure_fraction, rung.exposure_fraction)
    assert found.daily_loss_fraction <= min(configured.daily_loss_fraction, rung.daily_loss_fraction)
    assert found.daily_loss_block_share <= configured.daily_loss_block_share
    assert found.max_open_positions <= min(configured.max_open_positions, rung.symbols or 99)
    assert found.max_order_notional_usd <= configured.max_order_notional_usd


@given(configured=limits(), rung=rungs, part=parts)
def test_a_lesser_part_of_the_size_is_that_part_of_each_cap_or_the_smallest_order(
    configured: RiskLimits, rung: Rung, part: Decimal
) -> None:
    equity = dec(1_000_000)
    whole = Terms(rung=rung).limits(configured, RULES, equity_usd=equity)
    less = Terms(rung=rung, first_fraction=part).limits(configured, RULES, equity_usd=equity)

    smallest = configured.min_notional_usd
    assert less.max_trade_risk_fraction == whole.max_trade_risk_fraction * part
    assert less.max_order_notional_usd == min(
        whole.max_order_notional_usd, max(whole.max_order_notional_usd * part, smallest)
    )
    assert less.max_position_notional_fraction * equity == min(
        whole.max_position_notional_fraction * equity,
        max(whole.max_position_notional_fraction * equity * part, smallest),
    )


@given(on=terms)
def test_terms_are_read_as_they_were_put_on_record(on: Terms) -> None:
    assert Terms.of(on.data) == on


@given(before=terms, after=terms)
def test_terms_allow_less_exactly_when_something_an_entry_needs_became_less(before: Terms, after: Terms) -> None:
    def room(on: Terms) -> tuple[Decimal, ...]:
        of = on.rung.limits
        if on.barred_by:
            return dec(0), dec(0), dec(0)
        return of.trade_risk_fraction * on.size_fraction, of.exposure_fraction, dec(of.symbols or 10**9)

    assert allows_less(before, after) == (
        bool(after.barred_by)
        or any(
            now < then for now, then in zip(room(after), room(Terms.of({**before.data, "barred_by": ""})), strict=True)
        )
    )


def test_what_was_asked_for_by_name_may_be_lent_where_nothing_is_at_stake() -> None:
    lent = RiskLimits(max_total_exposure_fraction=dec(2), buying_power_multiple=dec(2))

    found = {
        mode: Terms(rung=Rung(mode)).limits(lent, RULES, is_leveraged=True).max_total_exposure_fraction for mode in Mode
    }

    assert found == {
        Mode.SIMULATION: 2, Mode.PAPER: dec("0.20"), Mode.LIVE_MINIMAL: dec("0.02"), Mode.LIVE_SCALED: dec("0.05"),
    }  # fmt: skip
    assert Terms().limits(lent, RULES).max_total_exposure_fraction == dec("0.80")


def test_the_shipped_limits_are_those_of_simulation() -> None:
    assert Terms().limits(RiskLimits(), RULES) == RiskLimits()


def test_a_watched_mode_trips_at_half_of_every_threshold_and_keeps_the_daily_limit() -> None:
    rules, watched = BreakerRules(), Terms(rung=MINIMAL, is_watched=True)

    tight = watched.breaker(rules, RULES)

    assert tight.drawdown.threshold_fraction == rules.drawdown.threshold_fraction / 2
    assert [tight.latency.threshold, tight.stale_data.threshold, tight.clock_skew.threshold] == [1, 60, 1]
    assert tight.latency.release == rules.latency.release / 2
    assert watched.limits(RiskLimits(), RULES).daily_loss_block_share == dec("0.375")
    assert watched.limits(RiskLimits(), RULES).daily_loss_fraction == dec("0.01")
    assert Terms(rung=MINIMAL).breaker(rules, RULES) is rules


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Record(results_usd=[dec(-1)] * 6), "6 losing trades in a row"),
        (Record(results_usd=[dec(-1)] * 5), ""),
        (Record(results_usd=[dec(-1)] * 6 + [dec(1)]), ""),
        (Record(drawdown=dec("0.05")), "5.00% below the highest equity"),
        (Record(drawdown=dec("0.0499")), ""),
        (Record(exposure_fraction=dec("0.0221")), "breaks the mode's limit"),
        (Record(exposure_fraction=dec("0.022")), ""),
    ],
)
def test_what_takes_a_mode_one_rung_down(done: Record, words: str) -> None:
    found = why_lower(done, MINIMAL, RULES)

    assert (words in found) if words else (found == "")


def test_nothing_is_beneath_simulation() -> None:
    worst = Record(results_usd=[dec(-1)] * 99, drawdown=dec("0.9"), exposure_fraction=dec(5))

    assert why_lower(worst, Rung(Mode.SIMULATION), RULES) == ""


@pytest.mark.parametrize(
    ("done", "left"),
    [
        (Record(), "1"),
        (Record(results_usd=[dec(-1)] * 3), "0.5"),
        (Record(drawdown=dec("0.025")), "0.5"),
        (Record(correlations=2), "0.5"),
        (Record(results_usd=[dec(-1)] * 3, drawdown=dec("0.025"), correlations=1), "0.125"),
        (Record(results_usd=[dec(-1), dec(-1), dec(0), dec(-1)]), "1"),
    ],
)
def test_each_finding_halves_the_risk_per_trade(done: Record, left: str) -> None:
    assert risk_left(done, RULES) == dec(left)
