"""The jobs of a running session on a clock that is told the time: hosting the loop, and deciding beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.definitions import defs
from trading_pipeline.domain.errors import HomeInUseError, TradingError
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline_tests.defs.test_runs import resources
from trading_pipeline_tests.traded_home import TradedHome, at_noon, before_the_open, interrupted


@dataclass
class LateClock(FixedClock):
    """Wakes three milliseconds late, as a machine does."""

    def sleep_until(self, instant: datetime) -> None:
        super().sleep_until(instant + timedelta(milliseconds=3))


def hash_of(made: TradedHome) -> str:
    """Of what was decided in the running session."""
    with made.open().ledger.read() as tx:
        record = tx.session_record("SIM", made.running)
    assert record is not None
    return record.decision_hash


def test_the_hosted_loop_decides_as_the_replay_does_and_reports_the_session(
    traded_home: TradedHome, replayed_home: TradedHome, tmp_path: Path
) -> None:
    made = traded_home.copied_to(tmp_path / "live")
    job = defs.resolve_job_def("position_monitoring_job")

    done = job.execute_in_process(resources=resources(made, now=before_the_open(made).isoformat()))

    with made.open().ledger.read() as tx:
        record = tx.session_record("SIM", made.running)
    assert record is not None
    assert record.phase is SessionPhase.CLOSED
    assert record.decision_hash == hash_of(replayed_home)
    events = [
        event.step_materialization_data.materialization for event in done.all_events if event.is_step_materialization
    ]
    assert {one.asset_key.to_user_string() for one in events} == {
        "trade_decisions", "orders", "fills", "positions", "trades",
    }  # fmt: skip
    assert {one.partition for one in events} == {made.running.isoformat()}
    assert {answer.passed for answer in done.get_asset_check_evaluations()} == {True}


def test_a_loop_stopped_at_noon_goes_on_though_its_clock_is_late_doubles_nothing_and_is_verified_by_its_replay(
    traded_home: TradedHome, replayed_home: TradedHome, tmp_path: Path
) -> None:
    made = traded_home.copied_to(tmp_path / "live")
    opened = interrupted(made)
    with opened.ledger.read() as tx:
        half_way = tx.session_record("SIM", made.running)

    record = replace(opened, clock=LateClock(at_noon(made))).host(made.running)
    (again,) = made.open().replay(made.running, made.running)

    assert half_way is not None
    assert record is not None
    assert half_way.phase is SessionPhase.RUNNING
    assert record.decision_hash == again.record.decision_hash == hash_of(replayed_home)
    assert again.verified
    with made.open().ledger.read() as tx:
        assert tx.fills("SIM", session=made.running)


def test_two_loops_never_trade_one_home_at_the_same_time(traded_home: TradedHome, tmp_path: Path) -> None:
    made = traded_home.copied_to(tmp_path)

    opened = replace(made.open(), clock=FixedClock(before_the_open(made)))

    with made.open().exclusive("trading"), pytest.raises(HomeInUseError, match="another process is busy with trading"):
        opened.host(made.running)


def test_the_execution_job_leaves_deciding_to_the_loop_when_the_loop_is_the_decider(
    traded_home: TradedHome, tmp_path: Path
) -> None:
    made = traded_home.copied_to(tmp_path)
    opened = made.open()
    with opened.ledger.read() as tx:
        before = tx.row_counts()

    done = defs.resolve_job_def("execution_job").execute_in_process(
        resources=resources(made, now=at_noon(made).isoformat())
    )

    assert done.success
    assert "nothing decided here" in replace(opened, clock=FixedClock(at_noon(made))).decide()
    with opened.ledger.read() as tx:
        assert tx.row_counts() == before


def test_the_execution_job_writes_intents_and_opens_no_venue(deciding_home: TradedHome, tmp_path: Path) -> None:
    made = deciding_home.copied_to(tmp_path)
    opened = made.open()
    (made.home / "venue.sqlite3").unlink()
    with opened.ledger.read() as tx:
        assert not tx.decisions("SIM", made.running)
        now = next(s.as_of for s in tx.snapshots(made.running) if s.selected) + timedelta(minutes=1)
        orders = tx.row_counts()["execution_reports"]

    for _ in range(2):
        done = defs.resolve_job_def("execution_job").execute_in_process(resources=resources(made, now=now.isoformat()))
        assert done.success

    with opened.ledger.read() as tx:
        plans = tx.plans("SIM", made.running)
        assert len(tx.decisions("SIM", made.running)) == len(plans)
        assert tx.row_counts()["execution_reports"] == orders  # nothing was sent
        assert len(plans) == len({plan.setup_id for plan in plans}) > 0
    assert not (made.home / "venue.sqlite3").exists()


def test_a_process_that_only_decides_cannot_send_by_mistake(traded_home: TradedHome) -> None:
    from trading_pipeline.adapters.brokers.absent import AbsentBroker

    with pytest.raises(TradingError, match="this process decides only"):
        AbsentBroker().cancel("tp-entry")
