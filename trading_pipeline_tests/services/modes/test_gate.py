"""Evidence from the record: what the account did since it entered its mode; money put in is no result."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.gate_rules import Evidence
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.reconciliation import Break, BreakKind, Reconciliation
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase
from trading_pipeline.services.breaker import ControlView, read_control
from trading_pipeline.services.modes.approvals import Asking
from trading_pipeline.services.modes.gate import Asked, evidence
from trading_pipeline.services.modes.targets import target_of
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline_tests.builders import a_fill
from trading_pipeline_tests.services.modes.people import ACCOUNT, GROUND, KIM, LEE, Office, prove, self_test, stated


def found(office: Office, account: str = ACCOUNT) -> Evidence:
    control: ControlView = read_control(office.ledger, None, account)
    with office.ledger.read() as tx:
        return evidence(tx, Asked(account, account, GROUND.limits, control), office.state.entered_at)


def report(office: Office, target: str, **changes: object) -> GateReport:
    asking = Asking(target=target_of(target), reason="", statements=stated(target_of(target).mode))
    return office.desk.report(replace(asking, **changes))  # type: ignore[arg-type]


def put_in(office: Office, amount: int, number: int = 1) -> None:
    now = office.clock.now()
    with office.ledger.transaction() as tx:
        tx.add_cash_activity(
            CashActivity(broker="b", activity_id=f"flow-{number}", account=ACCOUNT, session=now.date(), symbol="",
                         kind=CashKind.DEPOSIT, amount_usd=Decimal(amount), occurred_at=now)
        )  # fmt: skip


def event(office: Office, kind: str) -> None:
    now = office.clock.now()
    with office.ledger.transaction() as tx:
        tx.add_risk_event(
            RiskEvent(event_id=f"{kind}-{now}", account=ACCOUNT, session=now.date(), occurred_at=now, kind=kind,
                      severity="CRITICAL", message=kind)
        )  # fmt: skip


def test_a_record_is_measured_trade_by_trade_and_session_by_session(office: Office) -> None:
    prove(office, sessions=12, wins=16, losses=8)

    seen = found(office)

    assert (seen.sessions, seen.trades, seen.wins, seen.losses, seen.net_usd) == (12, 24, 16, 8, Decimal(2400))
    assert len(seen.daily_returns) == 12
    assert sum(seen.daily_returns) == pytest.approx(0.024, rel=0.02)
    assert seen.equity_usd == 102_400
    assert (seen.not_reconciled, seen.self_test_failed, seen.held_back, seen.breaches) == ("", "", "", ())


def test_what_was_done_before_the_mode_was_entered_counts_for_nothing(office: Office) -> None:
    office.climb(Mode.PAPER)

    seen = found(office)

    assert (seen.sessions, seen.trades, seen.daily_returns, seen.sharpe) == (0, 0, (), 0.0)
    assert {item.name for item in report(office, "LIVE_MINIMAL").failed} >= {"sessions", "closed_trades", "win_rate"}


def test_a_session_that_is_not_closed_or_was_begun_before_is_none(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office, sessions=11)
    with office.ledger.transaction() as tx:
        last = tx.session_records(ACCOUNT)[-1]
        tx.save_session_record(replace(last, phase=SessionPhase.RUNNING))
        first = tx.session_records(ACCOUNT)[-11]
        entered_at = office.state.entered_at
        assert entered_at is not None
        tx.save_session_record(replace(first, started_at=entered_at - timedelta(microseconds=1)))

    assert found(office).sessions == 9


def test_sessions_at_our_own_simulator_are_no_evidence_of_paper(office: Office) -> None:
    """The rung says PAPER, and execution.mode was left at simulation."""
    office.climb(Mode.PAPER)
    prove(office)
    with office.ledger.transaction() as tx:
        last = tx.session_records(ACCOUNT)[-1]
        tx.add_fill(a_fill(broker="simulated", account=ACCOUNT, session=last.session))

    (item,) = report(office, "LIVE_MINIMAL").failed

    assert (item.name, item.measured) == ("broker", "1 fills by the simulator")
    assert "execution.mode paper" in item.note


def test_sessions_in_paper_are_no_evidence_of_a_live_mode(office: Office) -> None:
    """The rung says LIVE_MINIMAL, and sessions were run with execution.mode paper: under other settings, that is."""
    at_live = office.under(digest="live")
    at_live.climb(Mode.LIVE_MINIMAL)
    prove(office)  # their sessions ran under settings "c"

    failed = {item.name: item for item in report(at_live, "LIVE_SCALED").failed}

    assert {"sessions", "closed_trades", "net_pnl"} <= set(failed)
    assert (failed["sessions"].measured, failed["sessions"].note) == ("0", "12 under other settings left aside")
    assert report(office.under(digest="c"), "LIVE_SCALED").passed


def test_after_a_fall_from_a_live_mode_another_account_proves_anew(office: Office) -> None:
    """Its sessions before the fall have spoken already."""
    office.climb(Mode.PAPER)
    prove(office)
    live = office.under(account="L")
    more: dict[str, Any] = {"evidence_account": ACCOUNT, "equity_usd": Decimal(100_000)}
    live.approve(live.asked("LIVE_MINIMAL", **more))
    live.desk.lower(Rung(Mode.PAPER), reason="losses", operator="kim")

    failed = {item.name for item in report(live, "LIVE_MINIMAL", **more).failed}
    assert {"sessions", "closed_trades"} <= failed
    prove(office)
    assert live.approve(live.asked("LIVE_MINIMAL", **more)).state.mode is Mode.LIVE_MINIMAL


def test_e49_seven_profitable_days_do_not_suffice(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office, sessions=7, wins=7, losses=0)

    made = report(office, "LIVE_MINIMAL")

    assert not made.passed
    assert {"sessions", "closed_trades", "win_rate", "sharpe"} <= {item.name for item in made.failed}


def test_money_put_in_is_no_profit_and_hides_no_loss(office: Office) -> None:
    prove(office, sessions=3, wins=0, losses=30)
    before = found(office)
    put_in(office, 50_000)
    with office.ledger.transaction() as tx:
        last = tx.equity_points(ACCOUNT)[-1]
        later = replace(last, at=last.at + timedelta(hours=3), equity_usd=last.equity_usd + 50_000)
        tx.add_equity_point(later)

    after = found(office)

    assert after.daily_returns == pytest.approx(before.daily_returns)
    assert after.drawdown_fraction == pytest.approx(before.drawdown_fraction)
    assert before.drawdown_fraction == pytest.approx(0.03)


def test_a_gap_over_night_is_in_the_returns(office: Office) -> None:
    prove(office, sessions=1, wins=0, losses=0)
    prove(office, sessions=1, wins=0, losses=0, equity=90_000)

    seen = found(office)

    assert seen.daily_returns == pytest.approx((0.0, -0.1))
    assert seen.drawdown_fraction == pytest.approx(0.1)


def test_an_account_that_lost_everything_has_no_more_returns_and_fails(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office, sessions=1, wins=0, losses=0, equity=100_000)
    prove(office, sessions=12, wins=0, losses=0, equity=0)

    seen = found(office)

    assert len(seen.daily_returns) == 2
    assert "sharpe" in {item.name for item in report(office, "LIVE_MINIMAL").failed}


@pytest.mark.parametrize(("kind", "counts"), [
    (Trigger.DAILY_LOSS, True), (Trigger.DRAWDOWN, True), (Trigger.RECONCILIATION, True),
    (Trigger.DAILY_LOSS_NEAR, False), (Trigger.PAUSE, False), (Trigger.LATENCY, False),
])  # fmt: skip
def test_a_broken_limit_counts_a_warning_does_not(office: Office, kind: Trigger, counts: bool) -> None:
    prove(office)
    office.clock.wait(hours=-7)
    event(office, kind.value)

    assert bool(found(office).breaches) is counts


def test_the_newest_comparison_and_the_newest_self_test_decide(office: Office) -> None:
    prove(office)
    now = office.clock.now()
    gone = Break(kind=BreakKind.POSITION_GONE, symbol="XYZ", subject="XYZ", ours="100", theirs="0")
    with office.ledger.transaction() as tx:
        tx.add_reconciliation(Reconciliation(account=ACCOUNT, session=now.date(), at=now, breaks=(gone,), suspected=()))
        tx.add_risk_event(replace(self_test(ACCOUNT, now, ok=False), event_id="later"))

    seen = found(office)

    assert "position gone" in seen.not_reconciled
    assert seen.self_test_failed


def test_a_session_begun_since_the_last_comparison_makes_it_old(office: Office) -> None:
    prove(office)
    with office.ledger.transaction() as tx:
        last = tx.session_records(ACCOUNT)[-1]
        tx.save_session_record(replace(last, session=last.session + timedelta(days=1)))

    assert "was begun since" in found(office).not_reconciled


def test_a_session_that_was_no_real_one_leads_to_one_that_is(office: Office) -> None:
    assert "no session was run yet: one in real time does" in found(office).self_test_failed
    prove(office)
    with office.ledger.transaction() as tx:
        last = tx.session_records(ACCOUNT)[-1]
        later = replace(last, session=last.session + timedelta(days=1))
        tx.save_session_record(later)

    words = found(office).self_test_failed

    assert words.startswith(f"session {later.session} has not tried its controls: one in real time does")
    assert "without --accelerated" in words


def test_paper_may_speak_for_a_live_account_of_another_name(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office)
    live = office.under(account="LIVE")
    asking = Asking(
        target=target_of("LIVE_MINIMAL"), reason="ready", statements=stated(Mode.LIVE_MINIMAL), evidence_account="A"
    )

    assert [item.name for item in live.desk.report(asking).failed] == ["equity"]  # nobody knows it yet
    request, made = live.desk.request(replace(asking, equity_usd=Decimal(10_000)), KIM)

    assert request is not None
    assert (made.evidence_account, made.account, request.account) == ("A", "LIVE", "LIVE")
    assert live.approve(request.request_id).state.rung == Rung(Mode.LIVE_MINIMAL)
    assert office.state.mode is Mode.PAPER


def test_what_was_stated_does_not_outdo_the_record(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office, equity=3_000, wins=0, losses=0)

    made = report(office, "LIVE_MINIMAL", equity_usd=Decimal(1_000_000))

    (equity,) = [item for item in made.items if item.name == "equity"]
    assert (equity.measured, equity.passed) == ("3,000.00 USD", False)


def test_a_stopped_account_goes_on_by_approval_and_its_evidence_begins_anew(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office)
    with office.ledger.transaction() as tx:
        change_mode(tx, ACCOUNT, ChangeKind.STOP, at=office.clock.now(), reason="loss", actor="daily_loss")
    assert office.state.is_stopped

    office.approve(office.asked("RESUME"), LEE)

    assert (office.state.name, office.state.is_stopped) == ("PAPER", False)
    assert found(office).sessions == 0


def test_a_new_configuration_is_approved_on_the_same_rung_and_evidence_begins_anew(office: Office) -> None:
    office.climb(Mode.PAPER)
    prove(office)
    changed = office.under(config_hash="d" * 64)

    changed.approve(changed.asked("RENEW"))

    assert (changed.state.mode, changed.state.config_hash) == (Mode.PAPER, "d" * 64)
    assert found(changed).sessions == 0
