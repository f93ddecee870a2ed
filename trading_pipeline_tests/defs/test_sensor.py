"""The sensor that starts decisions: only for a fresh watchlist of the running session."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest

from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.sensors import new_watchlist_sensor
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline_tests.traded_home import TradedHome


def tick(made: TradedHome, now: datetime) -> dg.RunRequest | dg.SkipReason:
    resource = WorkspaceResource(home=str(made.home), profile=str(made.profile), now=now.isoformat())
    found = new_watchlist_sensor(dg.build_sensor_context(resources={"workspace": resource}))
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def skipped(made: TradedHome, now: datetime) -> str:
    found = tick(made, now)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def a_snapshot(made: TradedHome) -> ScanSnapshot:
    """One of the running session, with a later one after it."""
    with made.open().ledger.read() as tx:
        return tx.snapshots(made.running)[10]


def test_a_fresh_snapshot_of_the_running_session_starts_one_decision(deciding_home: TradedHome) -> None:
    snapshot = a_snapshot(deciding_home)

    first = tick(deciding_home, snapshot.as_of + timedelta(minutes=1))
    again = tick(deciding_home, snapshot.as_of + timedelta(minutes=2))

    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key == snapshot.snapshot_id  # Dagster starts a run key once
    assert first.tags["session"] == deciding_home.running.isoformat()


def test_the_next_snapshot_starts_the_next_decision(deciding_home: TradedHome) -> None:
    snapshot = a_snapshot(deciding_home)

    first = tick(deciding_home, snapshot.as_of + timedelta(minutes=1))
    later = tick(deciding_home, snapshot.as_of + timedelta(minutes=16))

    assert isinstance(first, dg.RunRequest)
    assert isinstance(later, dg.RunRequest)
    assert first.run_key != later.run_key


def test_a_backfill_of_past_sessions_starts_no_decision(deciding_home: TradedHome) -> None:
    next_day = datetime.fromisoformat("2025-06-10T15:00:00+00:00")  # a session; nothing of it is researched

    assert "session 2025-06-10 has no watchlist snapshot yet" in skipped(deciding_home, next_day)


def test_a_stale_snapshot_is_told_with_its_age(deciding_home: TradedHome) -> None:
    with deciding_home.open().ledger.read() as tx:
        last = tx.snapshots(deciding_home.running)[-1]

    assert isinstance(tick(deciding_home, last.as_of + timedelta(minutes=20)), dg.RunRequest)
    assert "0:21:00 old; at most 0:20:00 is allowed" in skipped(deciding_home, last.as_of + timedelta(minutes=21))


def test_before_the_first_snapshot_there_is_nothing_to_decide(deciding_home: TradedHome) -> None:
    opens = deciding_home.open().calendar.times(deciding_home.running).opens_at

    assert "no watchlist snapshot yet" in skipped(deciding_home, opens + timedelta(minutes=1))


@pytest.mark.parametrize("day", ["2025-07-04", "2025-06-14"])
def test_on_a_closed_day_the_reason_is_the_day(deciding_home: TradedHome, day: str) -> None:
    reason = skipped(deciding_home, datetime.fromisoformat(f"{day}T15:00:00+00:00"))

    assert f"{day}: the exchange is closed" in reason


def test_where_the_loop_decides_no_run_is_started_for_nothing(traded_home: TradedHome) -> None:
    snapshot = a_snapshot(traded_home)

    assert "the session's loop decides" in skipped(traded_home, snapshot.as_of + timedelta(minutes=1))
