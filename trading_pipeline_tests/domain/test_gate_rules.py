"""Evidence held against what a mode asks for: small samples fail, and every figure shows what stands behind it."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.gate_rules import (
    EVIDENCE,
    SESSIONS_PER_YEAR,
    STATEMENTS,
    Z95,
    Evidence,
    Wanted,
    judge,
    sharpe_interval,
    wilson_interval,
)
from trading_pipeline.domain.mode_gate import GateItem
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.risk_book import Mode

NOW = datetime(2025, 6, 10, 14, tzinfo=UTC)
GOOD = Evidence(
    sessions=10, trades=20, wins=9, losses=11, net_usd=Decimal(1), daily_returns=(0.01,) * 10, sharpe=0.5,
    drawdown_fraction=0.15, breaches=(), equity_usd=Decimal(5000),
)  # fmt: skip


def wanted(mode: Mode = Mode.LIVE_MINIMAL, kind: ChangeKind = ChangeKind.RAISE, **changes: object) -> Wanted:
    made = Wanted(
        kind=kind, rung=Rung(mode), at=NOW, config_hash="c", min_notional_usd=Decimal(100),
        statements=frozenset(EVIDENCE[mode].statements), said_by="kim",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def failed(found: Evidence, asked: Wanted | None = None) -> list[str]:
    return [item.name for item in judge(asked or wanted(), found) if not item.passed]


def item(name: str, found: Evidence, asked: Wanted | None = None) -> GateItem:
    (one,) = [one for one in judge(asked or wanted(), found) if one.name == name]
    return one


def test_what_just_meets_every_threshold_passes() -> None:
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"sessions": 9}, {"sessions", "max_drawdown", "limit_breaches"}),
        ({"daily_returns": (0.01,) * 9}, {"sharpe"}),
        ({"trades": 19}, {"closed_trades"}),
        ({"wins": 8, "losses": 11}, {"win_rate"}),
        ({"wins": 8, "losses": 12}, {"win_rate"}),
        ({"sharpe": 0.4999}, {"sharpe"}),
        ({"sharpe": math.nan}, {"sharpe"}),
        ({"sharpe": math.inf}, {"sharpe"}),
        ({"drawdown_fraction": 0.1501}, {"max_drawdown"}),
        ({"drawdown_fraction": math.nan}, {"max_drawdown"}),
        ({"breaches": ("daily_loss on 2025-06-03",)}, {"limit_breaches"}),
        ({"equity_usd": Decimal("4999.99")}, {"equity"}),
        ({"equity_usd": Decimal("NaN")}, {"equity"}),
        ({"equity_usd": Decimal("Infinity")}, {"equity"}),
        ({"equity_usd": None}, {"equity"}),
        ({"not_reconciled": "cash differs"}, {"reconciliation"}),
        ({"self_test_failed": "latch"}, {"self_test"}),
        ({"held_back": "paused"}, {"trading_state"}),
    ],
)
def test_each_threshold_is_one_that_fails_alone(change: dict[str, object], fails: set[str]) -> None:
    assert set(failed(replace(GOOD, **change))) == fails  # type: ignore[arg-type]


def test_e49_ten_good_days_and_a_few_lucky_trades_are_no_evidence() -> None:
    lucky = replace(GOOD, sessions=7, daily_returns=(0.02,) * 7, sharpe=12.0, trades=7, wins=7, losses=0)

    assert {"sessions", "closed_trades", "win_rate", "sharpe"} <= set(failed(lucky))
    assert item("win_rate", lucky).note == "too few decided trades: 7 of 20"
    assert item("sharpe", lucky).note == "too few sessions: 7 of 10"


def test_e49_every_estimate_shows_its_sample_and_its_interval() -> None:
    for name in ("win_rate", "sharpe"):
        one = item(name, GOOD)
        assert one.sample in {10, 20}
        assert one.interval
        assert one.note == "the interval reaches below the threshold: it may be chance"
    assert item("win_rate", GOOD).interval == "25.8% to 65.8%"


def test_nothing_at_all_passes_nothing_that_is_measured() -> None:
    nothing = Evidence(
        sessions=0, trades=0, wins=0, losses=0, net_usd=Decimal(0), daily_returns=(), sharpe=0.0,
        drawdown_fraction=0.0, breaches=(), equity_usd=None, not_reconciled="never", self_test_failed="never",
    )  # fmt: skip

    stated = wanted(statements=frozenset())
    assert {one.name for one in judge(stated, nothing) if one.passed} == {"configuration", "trading_state"}
    assert item("win_rate", nothing).measured == "none"


def test_scaling_asks_for_profit_and_for_a_look_at_correlation() -> None:
    asked = wanted(Mode.LIVE_SCALED)
    seven = replace(GOOD, sessions=7, daily_returns=(0.01,) * 7)

    assert failed(seven, asked) == []
    assert failed(replace(seven, net_usd=Decimal(0)), asked) == ["net_pnl"]
    assert failed(seven, replace(asked, statements=frozenset({"results_match_broker"}))) == ["correlation_reviewed"]


def test_the_same_under_new_settings_asks_for_agreement_alone_and_going_on_for_the_cooldown() -> None:
    renewed = judge(wanted(kind=ChangeKind.RENEW), GOOD)
    resumed = wanted(kind=ChangeKind.RESUME)

    assert [one.name for one in renewed] == ["configuration", "reconciliation", "equity"]
    assert failed(replace(GOOD, cooldown_until=NOW), resumed) == []
    assert failed(replace(GOOD, cooldown_until=NOW.replace(hour=15)), resumed) == ["cooldown"]


def test_what_only_a_person_can_say_is_on_the_report_with_the_name() -> None:
    asked = wanted(statements=wanted().statements - {"stops_verified"})

    assert item("emergency_stop_tested", GOOD, asked).measured == "stated by kim"
    assert failed(GOOD, asked) == ["stops_verified"]
    with pytest.raises(InputError, match="nobody can state moon_is_full"):
        wanted(statements=frozenset({"moon_is_full"}))
    assert {name for asked in EVIDENCE.values() for name in asked.statements} == set(STATEMENTS)


@given(wins=st.integers(0, 2000), losses=st.integers(0, 2000))
def test_the_interval_of_a_win_rate_ends_where_the_score_test_rejects(wins: int, losses: int) -> None:
    assume(wins + losses)
    n, rate = wins + losses, wins / (wins + losses)

    low, high = wilson_interval(wins, losses)

    assert 0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1
    for end in (low, high):  # at its ends |rate − p| is exactly z standard errors of p (Wilson's definition)
        assert (rate - end) ** 2 == pytest.approx(Z95**2 * end * (1 - end) / n, abs=1e-9)


def test_the_interval_of_a_sharpe_ratio_is_as_wide_as_samples_of_it_scatter() -> None:
    draw, true, n = random.Random(7), 1.5, 250
    daily = true / math.sqrt(SESSIONS_PER_YEAR)
    found = []
    for _ in range(600):
        returns = [draw.gauss(daily, 1.0) for _ in range(n)]
        found.append(statistics.fmean(returns) / statistics.stdev(returns) * math.sqrt(SESSIONS_PER_YEAR))

    low, high = sharpe_interval(true, n)

    assert statistics.stdev(found) * Z95 == pytest.approx((high - low) / 2, rel=0.1)
    assert sharpe_interval(1.0, 1) == (-math.inf, math.inf)
