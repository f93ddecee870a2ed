"""The border's turns: protection waits for nobody else, and neither questions nor entries keep the loop from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.services.border import Pacer, border
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Stage, minute, quote


def test_protection_waits_for_no_questions_and_no_entries_however_many_there_are() -> None:
    clock = FixedClock(OPENS)
    pacer = Pacer(clock, SubmissionRules(orders_per_second=50, venue_requests_per_minute=100), timedelta(seconds=2))
    for _ in range(70):
        pacer.read()
    with pytest.raises(OutcomeUnknown, match="was not asked"):
        pacer.read()
    assert not pacer.entry()

    for _ in range(30):
        pacer.protection()

    assert clock.now() == OPENS


def test_a_question_and_an_entry_wait_for_a_turn_that_is_near() -> None:
    clock = FixedClock(OPENS)
    pacer = Pacer(clock, SubmissionRules(orders_per_second=50, venue_requests_per_minute=10), timedelta(seconds=2))
    for _ in range(7):
        pacer.read()
    clock.sleep_until(OPENS + timedelta(seconds=58.5))

    pacer.read()
    assert OPENS + timedelta(minutes=1) <= clock.now() < OPENS + timedelta(seconds=61)
    assert pacer.entry()


def test_an_entry_whose_turn_is_far_is_held_and_keeps_no_stop_waiting(stage: Stage) -> None:
    scene = stage.scene()
    clock = FixedClock(minute(15))
    desk = scene.desk(clock=clock)
    edge = border(desk.broker, clock, SubmissionRules(venue_requests_per_minute=10), is_live=True)
    desk = replace(desk, broker=edge, border=edge)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    while edge.pacer.room_for_entries():
        edge.pacer.read()

    assert dispatch_due(desk) == Dispatched(held=1)
    edge.pacer.protection()

    assert clock.now() == minute(15)
    clock.sleep_until(minute(17))
    assert dispatch_due(desk) == Dispatched(sent=1)
