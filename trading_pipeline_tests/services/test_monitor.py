"""Who guards the account, as others read it: alive while its heartbeat is, gone when it is released or ran out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.lease import acquire
from trading_pipeline.services.monitor import read_monitor
from trading_pipeline_tests.services.scripted import TIMES, Stage

NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)


def test_where_nobody_ever_led_nobody_is_alive(stage: Stage) -> None:
    seen = read_monitor(stage.scene().ledger, "A", NOW)

    assert (seen.is_alive, seen.holder, seen.heartbeat_age_seconds, seen.session) == (False, "", None, None)
    assert seen.words() == "nobody has led account A yet (no session yet)"


def test_a_leader_is_alive_until_its_lease_is_over(stage: Stage) -> None:
    ledger = stage.scene().ledger
    held = acquire(ledger, FixedClock(NOW), LeaseRules(), "A", "host-1")

    alive, gone = (read_monitor(ledger, "A", NOW + timedelta(seconds=age)) for age in (7.5, 8))
    assert (alive.is_alive, alive.heartbeat_age_seconds, alive.holder, alive.token) == (True, 7.5, "host-1", 1)
    assert (gone.is_alive, gone.holder) == (False, "host-1")

    held.release()
    assert not read_monitor(ledger, "A", NOW + timedelta(seconds=1)).is_alive


def test_how_far_the_session_got_is_told(stage: Stage) -> None:
    scene = stage.scene()
    scene.loop().run()

    seen = read_monitor(scene.ledger, "A", NOW)

    assert (seen.session, seen.phase, seen.last_step_at) == (TIMES.session, SessionPhase.CLOSED, TIMES.closes_at)
    assert "session 2025-06-10 closed, done to 2025-06-10 15:30:00 UTC" in seen.words()


def test_an_instant_without_a_zone_is_refused(stage: Stage) -> None:
    with pytest.raises(NaiveDatetimeError):
        read_monitor(stage.scene().ledger, "A", NOW.replace(tzinfo=None))
