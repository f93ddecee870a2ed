"""A venue that does not answer at the close: waited for, then said; what it did is booked later, and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from trading_pipeline.adapters.clock import SteppedClock
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.closing import PATIENCE, UNHEARD, remarks
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.braking import next_day
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_breaker_loop import MarketClock, as_it_is
from trading_pipeline_tests.services.test_replay_acts import again, watched

CLOSES = TIMES.closes_at


def day(stage: Stage, heard_again: timedelta) -> tuple[Scene, SessionRecord, datetime]:
    """XYZ is held for days; its stop is hit minutes before the close, of which the venue tells so long after it.

    Returns also when the loop ended.
    """
    bars = [*path({5: "50.00", 20: "49.90", 115: "47.00"}), *flat_bars("47.00", times=NEXT)]
    scene = watched(stage, bars, at=(15,), exits={"hold": "swing"}, cadence={"cycle_seconds": 20})
    clock = MarketClock(OPENS, scene)

    class Silent(Wrapped):
        def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
            if minute(111) <= clock.now() < CLOSES + heard_again:
                raise OutcomeUnknown("no answer within 5 s")
            return self.broker.execution_reports(since)

    desk = scene.desk(clock=SteppedClock(OPENS, clock))
    loop = scene.loop(desk=replace(desk, broker=Silent(desk.broker, as_it_is)))
    loop.real_clock, loop.market = clock, None
    return scene, loop.run(), clock.now()


def remarks_of(scene: Scene, session: date) -> tuple[str, ...]:
    with scene.ledger.read() as tx:
        record = tx.session_record("A", session)
        assert record is not None
        return remarks(tx, record)


def test_a_venue_that_answers_minutes_after_the_close_is_waited_for_and_its_fills_are_of_the_session(
    stage: Stage,
) -> None:
    scene, record, ended_at = day(stage, heard_again=timedelta(minutes=4))

    assert record.phase is SessionPhase.CLOSED
    assert timedelta(minutes=4) <= ended_at - CLOSES <= timedelta(minutes=5)
    with scene.ledger.read() as tx:
        assert [trade.session for trade in tx.trades("A")] == [TIMES.session]
        assert UNHEARD not in {one.kind for one in tx.alerts("A")}
    assert remarks_of(scene, TIMES.session) == ()


def test_one_that_stays_silent_is_said_and_what_it_did_is_booked_later_and_shown_in_the_report(stage: Stage) -> None:
    scene, record, ended_at = day(stage, heard_again=timedelta(hours=3))

    assert record.phase is SessionPhase.CLOSED
    assert PATIENCE <= ended_at - CLOSES <= PATIENCE + timedelta(minutes=1)
    with scene.ledger.read() as tx:
        assert tx.trades("A") == []
        assert [one.level.value for one in tx.alerts("A") if one.kind == UNHEARD] == ["ERROR"]
    (said,) = remarks_of(scene, TIMES.session)
    assert "closed while the venue was silent" in said
    replayed = again(stage, scene)
    assert not replayed.verified
    assert "unanswered questions" in replayed.unverifiable

    next_day(scene, "ABC")
    scene.loop(times=NEXT, desk=scene.desk(times=NEXT)).run()

    with scene.ledger.read() as tx:
        assert [trade.session for trade in tx.trades("A")] == [NEXT.session]
    marked, booked = remarks_of(scene, TIMES.session)
    assert marked == said
    assert booked.startswith(
        "1 fill(s) of before the close became known later; they are booked with session 2025-06-11"
    )
    assert "SELL 200 XYZ at " in booked
    assert remarks_of(scene, NEXT.session) == ()


def test_without_a_running_clock_nobody_waits(stage: Stage) -> None:
    scene = stage.scene(bars=flat_bars("50.00"))
    desk = scene.desk()

    class Mute(Wrapped):
        def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:  # noqa: ARG002 - the port's
            raise OutcomeUnknown("no answer")

    loop = scene.loop(desk=replace(desk, broker=Mute(desk.broker, as_it_is)))
    assert loop.run().phase is SessionPhase.CLOSED
    assert scene.events(UNHEARD) == [(UNHEARD, "ERROR")]
