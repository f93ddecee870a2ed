"""A kill that found no database: the mode follows once it is back, and nobody's word alone goes past it."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.breaker import Cause, Trip
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.breaker import resume
from trading_pipeline.services.latch import Latch
from trading_pipeline_tests.services.modes.in_session import in_mode
from trading_pipeline_tests.services.scripted import NEXT, TIMES, Stage, flat_bars, minute
from trading_pipeline_tests.services.test_replay_acts import watched


def test_a_kill_that_found_no_database_stops_the_mode_once_it_is_back(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, flat_bars(), at=(15,), mode="paper")
    people = in_mode(scene, Mode.PAPER)
    cause = Cause(trigger=Trigger.KILL, state=TradingState.HALTED, measured="", limit="", words="a fire")
    latch.engage(Trip(account="A", cause=cause, by="ann", at=minute(0), session=TIMES.session))
    assert not people.state.is_stopped

    scene.loop(desk=scene.desk(latch=latch)).run()

    assert (people.state.is_stopped, people.state.mode) == (True, Mode.PAPER)
    with scene.ledger.read() as tx:
        (change,) = [one for one in tx.mode_changes("A") if one.kind is ChangeKind.STOP]
    assert (change.actor, change.reason) == ("ann", "a fire")


def test_a_latch_that_no_loop_has_seen_is_not_resumed_by_a_word_alone(stage: Stage, latch: Latch) -> None:
    scene = watched(stage, flat_bars(), at=(15,), mode="paper")
    people = in_mode(scene, Mode.PAPER)
    cause = Cause(trigger=Trigger.KILL, state=TradingState.HALTED, measured="", limit="", words="a fire")
    latch.engage(Trip(account="A", cause=cause, by="ann", at=minute(0), session=TIMES.session))

    with pytest.raises(TradingError, match="going on takes approval"):
        resume(scene.ledger, latch, scene.rules, reason="ok", operator="ann", at=minute(0, NEXT))

    assert people.state.is_stopped
    assert latch.look().state is TradingState.HALTED
