"""The ladder: its limits, what comes next, what is a rise, and the strictest of configuration and rung."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.modes import (
    LADDER,
    LIVE,
    ModeRules,
    Rung,
    least_equity_usd,
    limits_hash,
    limits_in_force,
    next_rungs,
    one_below,
    rises,
)
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.risk_book import Mode

RUNGS = [Rung(mode) for mode in Mode if mode is not Mode.LIVE_SCALED] + [
    Rung(Mode.LIVE_SCALED, step, symbols) for step in (1, 2, 3) for symbols in (2, 3, 7, 100)
]
rungs = st.sampled_from(RUNGS)


def test_the_ladder_is_the_specified_one() -> None:
    told = {
        mode: [
            (str(one.trade_risk_fraction), str(one.exposure_fraction), str(one.daily_loss_fraction), one.symbols)
            for one in steps
        ]
        for mode, steps in LADDER.items()
    }

    assert told == {
        Mode.SIMULATION: [("0.01", "0.80", "0.02", None)],
        Mode.PAPER: [("0.005", "0.20", "0.02", None)],
        Mode.LIVE_MINIMAL: [("0.001", "0.02", "0.01", 2)],
        Mode.LIVE_SCALED: [
            ("0.0025", "0.05", "0.02", 2), ("0.005", "0.05", "0.02", 2), ("0.01", "0.10", "0.02", 2),
        ],
    }  # fmt: skip


def test_live_minimal_needs_five_thousand_dollars() -> None:
    assert least_equity_usd(Rung(Mode.LIVE_MINIMAL), Decimal(100)) == 5000
    assert least_equity_usd(Rung(Mode.LIVE_SCALED), Decimal(100)) == 2000


@given(rung=rungs)
def test_what_comes_next_is_a_rise_by_one_thing_and_one_below_is_none(rung: Rung) -> None:
    for one in next_rungs(rung):
        assert rises(rung, one)
        assert not rises(one, rung)
        changed = [then != now for then, now in zip(rung.place, one.place, strict=True)]
        assert rung.mode is not one.mode or sum(changed) == 1
    assert not rises(rung, one_below(rung))
    assert one_below(rung) != rung or rung.mode is Mode.SIMULATION


@given(before=rungs, after=rungs)
def test_whatever_allows_more_in_anything_is_a_rise(before: Rung, after: Rung) -> None:
    if rises(before, after) or before == after:
        return
    assert after.limits.trade_risk_fraction <= before.limits.trade_risk_fraction or after.mode not in LIVE
    if before.mode in LIVE and after.mode in LIVE:
        assert after.limits.exposure_fraction <= before.limits.exposure_fraction
        assert (after.limits.symbols or 0) <= (before.limits.symbols or 0)


@given(rung=rungs, part=st.decimals("0.01", "1", places=2))
def test_the_strictest_of_configuration_and_rung_is_in_force(rung: Rung, part: Decimal) -> None:
    exposure = Decimal("0.8") * part
    configured = RiskLimits(
        max_trade_risk_fraction=Decimal("0.01") * part, max_total_exposure_fraction=exposure,
        max_position_notional_fraction=min(Decimal("0.10"), exposure), daily_loss_fraction=Decimal("0.02") * part,
        max_open_positions=5,
    )  # fmt: skip

    now, mode = limits_in_force(configured, rung), rung.limits

    assert now.max_trade_risk_fraction == min(configured.max_trade_risk_fraction, mode.trade_risk_fraction)
    assert now.max_total_exposure_fraction == min(exposure, mode.exposure_fraction)
    assert now.daily_loss_fraction == min(configured.daily_loss_fraction, mode.daily_loss_fraction)
    assert now.max_open_positions == min(5, mode.symbols or 5)
    assert now.max_position_notional_fraction <= now.max_total_exposure_fraction
    assert limits_in_force(now, rung) == now


def test_in_simulation_the_shipped_limits_are_in_force() -> None:
    assert limits_in_force(RiskLimits(), Rung(Mode.SIMULATION)) == RiskLimits()


def test_limits_are_known_by_what_they_are_not_by_how_they_are_written() -> None:
    rung = Rung(Mode.PAPER)
    written = RiskLimits(min_reward_risk=Decimal("1.50"))

    assert limits_hash(RiskLimits(), rung) == limits_hash(written, rung)
    assert limits_hash(RiskLimits(), rung) != limits_hash(RiskLimits(min_reward_risk=Decimal("1.51")), rung)
    assert limits_hash(RiskLimits(), rung) != limits_hash(RiskLimits(), Rung(Mode.LIVE_MINIMAL))


@pytest.mark.parametrize(
    ("mode", "step", "symbols"),
    [(Mode.PAPER, 2, None), (Mode.LIVE_SCALED, 0, None), (Mode.LIVE_SCALED, 4, None), (Mode.LIVE_SCALED, 1, 1),
     (Mode.LIVE_SCALED, 1, 101), (Mode.LIVE_MINIMAL, 1, 3), (Mode.SIMULATION, 1, 5)],
)  # fmt: skip
def test_a_rung_the_ladder_does_not_have_is_refused(mode: Mode, step: int, symbols: int | None) -> None:
    with pytest.raises(InputError):
        Rung(mode, step, symbols)


def test_two_people_for_live_scaled_whatever_the_settings_say() -> None:
    assert [ModeRules().approvers_for(mode) for mode in Mode] == [1, 1, 1, 2]
    assert [ModeRules(approvers=2).approvers_for(mode) for mode in Mode] == [2, 2, 2, 2]
    for wrong in ({"approvers": 0}, {"approvers": 3}, {"first_trades_size_fraction": "0.5"}, {"aprovers": 1}):
        with pytest.raises(ValidationError):
            ModeRules.model_validate(wrong)
