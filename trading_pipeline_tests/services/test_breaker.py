"""The breaker in a running session: what trips, what is done then, what a person may do, and that a replay agrees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.adapters.latch_file import FileLatch
from trading_pipeline.domain.breaker import Cause, Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import Lease, TradingState
from trading_pipeline.domain.errors import InputError, LedgerUnavailable, TradingError
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.breaker import ControlView, resume
from trading_pipeline.services.kill import a_kill
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.trading_state import set_trading_state, trip
from trading_pipeline_tests.fakes import Crashed, Fuse, FusedLedger
from trading_pipeline_tests.services.braking import DIP, FALL, event, falling, history, next_day, played, view
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_live_loop import ActingClock
from trading_pipeline_tests.services.test_replay_acts import again, watched


def test_a_reached_daily_limit_latches_file_and_record_closes_positions_and_is_said_once(
    stage: Stage, latch: Latch
) -> None:
    scene = falling(stage, FALL)

    played(scene, latch)

    assert [what for what, _ in history(scene)] == ["daily_loss"]
    told = event(scene, "daily_loss")
    assert (told.severity, told.data["measured"], told.data["limit"]) == ("CRITICAL", "240", "200")
    found = latch.look()
    assert found.trip is not None
    assert (found.state, found.trip.by, found.trip.at) == (TradingState.HALTED, "daily_loss", told.occurred_at)
    assert [side for side, _, _ in scene.shares()] == ["BUY", "SELL"]
    with scene.ledger.read() as tx:
        assert [trade.exit_reason.value for trade in tx.trades("A")] == ["circuit_breaker"]
        assert any(alert.kind == "entries_withdrawn" for alert in tx.alerts("A"))
    now = view(scene, latch)
    assert (now.state, now.is_latched) == (TradingState.HALTED, True)
    assert [(cause.kind, cause.name, cause.measured) for cause in now.causes] == [("trip", "daily_loss", "240")]
    assert now.cooldown_until == told.occurred_at + timedelta(minutes=30)


def test_three_quarters_of_it_leave_only_exits_for_the_session_and_the_next_begins_anew(stage: Stage) -> None:
    scene = falling(stage, DIP)
    scene.watchlist("ABC", at=75)
    scene.bars += [*flat_bars("49.90", "ABC"), *flat_bars("49.90", "ABC", NEXT)]
    next_day(scene, "ABC")

    played(scene)

    assert event(scene, "daily_loss_near").severity == "WARNING"
    assert (view(scene).state, view(scene).is_latched) == (TradingState.REDUCING, False)
    assert [order.symbol for order in scene.orders(Leg.ENTRY)] == ["XYZ"]
    with pytest.raises(TradingError, match="daily_loss_near lifts by itself"):
        resume(scene.ledger, None, scene.rules, reason="x", operator="y", at=OPENS)
    scene.loop(NEXT).run()
    assert view(scene).state is TradingState.ACTIVE
    assert [order.symbol for order in scene.orders(Leg.ENTRY)] == ["XYZ", "ABC"]


def test_a_drawdown_is_from_the_peak_of_the_session_also_one_reached_before_a_restart(stage: Stage) -> None:
    prices: dict[int, object] = {5: "50.00", 20: "49.90", 40: "53.90", 50: "52.80"}
    quick = {"drawdown": {"threshold_fraction": "0.002"}, "daily_loss": {"enabled": False}}
    whole = falling(stage, prices, breaker=quick)
    played(whole)
    parted = falling(stage, prices, breaker=quick)
    first = parted.loop()
    first.stop_requested = lambda: first.desk.clock.now() >= minute(45)
    assert first.run().phase is SessionPhase.RUNNING
    parted.loop().run()

    for scene in (whole, parted):
        assert history(scene) == [("drawdown", 50)]
        assert event(scene, "drawdown").data["measured"] == "220"


@pytest.mark.parametrize("prices", [FALL, DIP])
def test_losses_of_a_recorded_session_stop_its_replay_at_the_same_instant(
    stage: Stage, latch: Latch, prices: dict[int, object]
) -> None:
    scene = falling(stage, prices)
    played(scene, latch)

    assert again(stage, scene).verified


def test_defaults_stop_nothing_in_an_ordinary_session(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, path(FALL), at=(15,))
    played(scene, latch)

    assert (history(scene), view(scene, latch).causes, latch.look().trip) == ([], (), None)


# after a crash


TRANSACTIONS = [pytest.param(range(1, 21, 4), id="some"), pytest.param(range(1, 41), id="all", marks=pytest.mark.soak)]


@pytest.mark.parametrize("every", TRANSACTIONS)
def test_a_crash_at_any_transaction_of_a_trip_ends_where_none_would_have(
    stage: Stage, tmp_path: Path, every: range
) -> None:
    def day(burns_at: int) -> tuple[list[Any], bool]:
        scene = falling(stage, FALL)
        latch = Latch(FileLatch(tmp_path / str(burns_at), "A"), FixedClock(OPENS))
        fuse = Fuse()
        loop = scene.loop(desk=scene.desk(latch=latch, ledger=FusedLedger(scene.ledger, fuse)))
        loop.on_step = lambda at, *_: setattr(fuse, "burns_at", fuse.touched + burns_at) if at == minute(55) else None
        died = False
        try:
            loop.run()
        except Crashed:
            died = True
            played(scene, latch)
        with scene.ledger.read() as tx:
            record = tx.session_record("A", TIMES.session)
        assert record is not None
        assert latch.look().state is TradingState.HALTED
        return [record.decision_hash, scene.shares()], died

    expected, _ = day(10_000)
    for burns_at in every:
        found, died = day(burns_at)
        assert died
        assert found == expected, burns_at


def test_a_file_without_its_row_is_taken_into_the_record_as_the_rule_would_have_written_it(
    stage: Stage, latch: Latch
) -> None:
    scene = watched(stage, flat_bars("50.20"), at=(15, 30))
    cause = Cause(
        trigger=Trigger.DRAWDOWN, state=TradingState.HALTED, measured="1", limit="1", words="w", flattens=True
    )
    latch.overwrite(Trip(account="A", cause=cause, by="drawdown", at=minute(20), session=TIMES.session))

    played(scene, latch)

    with scene.ledger.read() as tx:
        row = tx.trading_state("A")
    assert row is not None
    assert (row.state, row.set_by, row.changed_at) == (TradingState.HALTED, "drawdown", minute(20))
    assert event(scene, "drawdown").occurred_at == minute(20)
    assert scene.orders() == []


def test_a_kill_that_found_no_database_stops_the_loop_and_closes_what_it_left(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15, 45), cadence={"cycle_seconds": 20})
    real = FixedClock(OPENS)

    def killed() -> None:
        word = a_kill("A", TIMES.session, operator="Kim", reason="drill", flatten=True, clock=FixedClock(minute(33)))
        latch.overwrite(word)

    clock = ActingClock(OPENS, at=minute(33), act=killed)
    loop = scene.loop(desk=scene.desk(clock=SteppedClock(OPENS, clock), latch=replace(latch, clock=real)))
    loop.real_clock = clock
    loop.run()

    with scene.ledger.read() as tx:
        row = tx.trading_state("A")
        (trade,) = tx.trades("A")
    assert row is not None
    assert (row.set_by, row.reason) == ("Kim", "drill")
    assert trade.exit_reason.value == "kill_switch"
    assert trade.exit_at <= minute(40)
    assert len([order for order in scene.orders(Leg.ENTRY) if order.submitted_at]) == 1
    assert again(stage, scene).verified


@pytest.mark.parametrize("content", ["", "{}"])
def test_an_unreadable_latch_lets_no_entry_leave_and_is_told(stage: Stage, latch: Latch, content: str) -> None:
    scene = watched(stage, flat_bars("49.90"), at=(15, 30))
    Path(latch.file.place).write_text(content)

    played(scene, latch)

    assert [order.status for order in scene.orders(Leg.ENTRY)] == [OrdStatus.CANCELED] * 2
    assert scene.fills() == []
    with scene.ledger.read() as tx:
        (told,) = [alert for alert in tx.alerts("A") if alert.kind == "latch_unreadable"]
    assert "remove it (rm -r" in told.message


def test_with_neither_file_nor_row_the_process_itself_blocks(stage: Stage, tmp_path: Path) -> None:
    scene = stage.scene()
    (tmp_path / "no folder").write_text("a file where the home should be")
    latch = Latch(FileLatch(tmp_path / "no folder", "A"), FixedClock(OPENS))

    class Gone:
        def read(self) -> None:
            raise LedgerUnavailable("the database is gone")

        transaction = read

    cause = Cause(trigger=Trigger.DRAWDOWN, state=TradingState.HALTED, measured="", limit="", words="w")
    desk = replace(scene.desk(latch=latch), ledger=Gone())  # type: ignore[arg-type]
    with suppress(LedgerUnavailable):
        trip(desk, TIMES.session, cause)

    assert latch.look().state is TradingState.HALTED


# a person resumes


def tripped(stage: Stage, latch: Latch) -> Scene:
    """Halted by the daily limit, its session closed."""
    scene = falling(stage, FALL)
    played(scene, latch)
    return scene


def test_nobody_resumes_during_the_cooldown_without_overriding_it(stage: Stage, latch: Latch) -> None:
    scene = tripped(stage, latch)
    at = event(scene, "daily_loss").occurred_at

    def ask(now: datetime, *, override: bool = False) -> ControlView:
        return resume(
            scene.ledger, latch, scene.rules, reason="seen", operator="ann", at=now, override_cooldown=override
        )

    with pytest.raises(TradingError, match="the cooldown ends at"):
        ask(at + timedelta(minutes=29))
    assert ask(at + timedelta(minutes=29), override=True).state is TradingState.ACTIVE
    assert latch.look().state is TradingState.ACTIVE
    with pytest.raises(TradingError, match="Nothing to resume"):
        ask(at + timedelta(minutes=31))


@dataclass
class Interrupted:
    """A ledger before whose every transaction something happens elsewhere."""

    inner: Ledger
    act: Callable[[], object]

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        self.act()
        return self.inner.transaction()

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self.inner.read()

    def fenced(self, lease: Lease) -> Ledger:
        return self.inner.fenced(lease)


@pytest.mark.parametrize("with_row", [True, False], ids=["on record", "by file alone"])
def test_a_kill_that_comes_while_somebody_resumes_is_not_resumed_away(
    stage: Stage, latch: Latch, *, with_row: bool
) -> None:
    scene = tripped(stage, latch)
    at = event(scene, "daily_loss").occurred_at + timedelta(hours=1)
    word = a_kill("A", TIMES.session, operator="bob", reason="fire", flatten=True, clock=FixedClock(at))

    def kill() -> None:
        latch.overwrite(word)
        if with_row:
            set_trading_state(scene.ledger, "A", TradingState.HALTED, reason="fire", operator="bob", at=at)

    with pytest.raises(TradingError, match=r"stopped again meanwhile, by bob \(fire\)"):
        resume(
            Interrupted(scene.ledger, kill), latch, scene.rules, reason="seen", operator="ann", at=at,
            override_cooldown=True,
        )  # fmt: skip

    assert latch.look().trip == word
    assert view(scene, latch).state is TradingState.HALTED


def test_nobody_resumes_while_its_cause_still_holds_or_record_and_venue_differ(stage: Stage, latch: Latch) -> None:
    scene = falling(stage, FALL)
    loop = scene.loop(desk=scene.desk(latch=latch))
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(70)
    loop.run()

    with pytest.raises(TradingError, match=r"daily_loss still holds: .* It ends with session 2025-06-10"):
        resume(scene.ledger, latch, scene.rules, reason="x", operator="y", at=minute(200))
    with pytest.raises(InputError, match="needs a reason and a name"):
        resume(scene.ledger, latch, scene.rules, reason="", operator="y", at=minute(200))
    assert view(scene, latch).state is TradingState.HALTED


def test_after_a_resume_the_next_session_trades_and_may_trip_again(stage: Stage, latch: Latch) -> None:
    scene = tripped(stage, latch)
    resume(scene.ledger, latch, scene.rules, reason="seen", operator="ann", at=minute(150))
    scene.bars += path(FALL, times=NEXT)
    next_day(scene, "XYZ")

    scene.loop(NEXT, scene.desk(times=NEXT, latch=latch)).run()

    assert [what for what, _ in history(scene)].count("daily_loss") == 2
    assert latch.look().state is TradingState.HALTED


# conditions
