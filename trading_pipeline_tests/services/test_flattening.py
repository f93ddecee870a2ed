"""That positions are to be closed outlives its file, its session and its machine, and ends when nothing is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.domain.control import TradingState, TradingStateRecord
from trading_pipeline.services.breaker import resume
from trading_pipeline.services.breaker_watch import Breaker
from trading_pipeline.services.kill import a_kill
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.trading_state import adopt, record_word
from trading_pipeline_tests.services.braking import next_day, played, view
from trading_pipeline_tests.services.scripted import NEXT, OPENS, TIMES, Scene, Stage, flat_bars, minute, path
from trading_pipeline_tests.services.test_live_loop import ActingClock
from trading_pipeline_tests.services.test_replay_acts import again, state, watched


def killed_elsewhere(scene: Scene, at: datetime) -> None:
    """By a kill in another home of the same database: no file is written here."""
    word = a_kill("A", TIMES.session, operator="Kim", reason="drill", flatten=True, clock=FixedClock(at))
    with scene.ledger.transaction() as tx:
        record_word(tx, word)


def live_until_the_close(scene: Scene, latch: Latch, at: datetime, act: Callable[[], None]) -> None:
    clock = ActingClock(OPENS, at=at, act=act)
    loop = scene.loop(desk=scene.desk(clock=SteppedClock(OPENS, clock), latch=replace(latch, clock=clock)))
    loop.real_clock = clock
    loop.run()


def row_of(scene: Scene) -> TradingStateRecord:
    with scene.ledger.read() as tx:
        row = tx.trading_state("A")
    assert row is not None
    return row


def test_a_flatten_that_only_the_record_knows_is_carried_out_once_whoever_said_it_is_done(
    stage: Stage, latch: Latch
) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15, 45), cadence={"cycle_seconds": 20})
    live_until_the_close(scene, latch, minute(33), lambda: killed_elsewhere(scene, minute(33)))

    with scene.ledger.read() as tx:
        (trade,) = tx.trades("A")
        told = [one.message for one in tx.alerts("A") if one.kind in {"kill", "flattened"}]
    assert trade.exit_reason.value == "kill_switch"
    assert trade.exit_at <= minute(40)
    assert (row_of(scene).state, row_of(scene).flattens) == (TradingState.HALTED, False)
    assert not view(scene, latch).flattens
    assert [words.split(":")[0] for words in told] == ["Kim stopped all trading", "all is closed, as Kim wanted"]
    assert again(stage, scene).verified


@pytest.mark.parametrize("has_file", [False, True])
def test_while_a_kill_that_left_no_file_here_may_be_selling_nothing_is_sent_for_half_a_minute(
    stage: Stage, latch: Latch, has_file: bool
) -> None:
    scene, clock = stage.scene(), FixedClock(minute(33))
    here = replace(latch, clock=clock)
    killed_elsewhere(scene, minute(33))
    if has_file:  # then the file tells how long, and it does not: the kill is over
        here.overwrite(a_kill("A", TIMES.session, operator="Kim", reason="drill", flatten=True, clock=clock))
    breaker = Breaker(scene.desk(latch=here), TIMES)

    seen = []
    for seconds in (0, 29, 31):
        clock.instant = minute(33) + timedelta(seconds=seconds)
        breaker.keep_off(row_of(scene))
        seen.append(here.look().hands_off)

    assert seen == ([False] * 3 if has_file else [True, True, False])


def test_a_flatten_outlives_its_file_and_its_session_until_nothing_is_held(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, [*flat_bars("49.90"), *flat_bars("49.90", times=NEXT)], at=(15,), exits={"hold": "swing"})
    played(scene, latch)
    assert scene.shares()
    killed_elsewhere(scene, minute(0, NEXT) - timedelta(hours=2))
    assert view(scene, latch).flattens

    next_day(scene, "XYZ")
    scene.loop(times=NEXT, desk=scene.desk(times=NEXT, latch=latch)).run()

    with scene.ledger.read() as tx:
        assert [trade.exit_reason.value for trade in tx.trades("A")] == ["kill_switch"]
        assert tx.positions("A") == []
    assert not row_of(scene).flattens


def test_a_kill_that_is_to_close_positions_is_taken_over_by_a_record_that_was_halted_before(
    stage: Stage, latch: Latch
) -> None:
    scene = watched(stage, path({5: "50.00", 20: "49.90"}), at=(15,), cadence={"cycle_seconds": 20})
    state(scene, TradingState.HALTED, minute(-60))()
    word = a_kill("A", TIMES.session, operator="Kim", reason="drill", flatten=True, clock=FixedClock(minute(-30)))

    latch.overwrite(word)
    adopt(scene.ledger, word)
    adopt(scene.ledger, word)

    assert (row_of(scene).set_by, row_of(scene).changed_at, row_of(scene).flattens) == ("Kim", minute(-30), True)
    with scene.ledger.read() as tx:
        assert [one.kind for one in tx.alerts("A") if one.kind == "kill"] == ["kill"]


def test_a_resume_ends_a_flatten_on_record(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, flat_bars("50.20"), at=(15,))
    killed_elsewhere(scene, minute(-60))
    assert view(scene, latch).flattens

    resume(scene.ledger, latch, scene.rules, reason="looked at it", operator="Kim", at=minute(0))

    assert (row_of(scene).state, row_of(scene).flattens) == (TradingState.ACTIVE, False)
    assert not view(scene, latch).flattens
