"""Between bars on an accelerated clock: what is worth another look, how often it is looked at, and when that ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest

from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.services import care
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline.services.waiting import SECOND_LOOKS, rounds_between
from trading_pipeline_tests.services.guarded import Faults, cover, desk_with, holding, position_of, sync
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, a_bar, minute, quote

CONNECTED, IN_THE_SAME_PROCESS = 1, 0
SECOND = timedelta(seconds=1)


def cycle(scene: Scene, connections: int) -> Cycle:
    desk = scene.desk(at=21, connections=lambda: connections)
    return Cycle(desk, TIMES, Reconciler(desk, TIMES.session))


def entered(scene: Scene, faults: Faults | None = None) -> Desk:
    """An entry of 200 shares is sent."""
    desk = desk_with(scene, 15, faults)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    return desk


def untroubled(stage: Stage) -> Scene:
    """An entry works, and shares are held under their stop."""
    return holding(stage.scene())


def working(stage: Stage) -> Scene:
    scene = stage.scene()
    entered(scene)
    sync(scene)
    return scene


def filled_in_part(stage: Stage) -> Scene:
    scene = working(stage)
    scene.venue.on_bars([a_bar(20, "49.90", low="49.80", volume=800)], minute(20))
    sync(scene)
    assert scene.order().status is OrdStatus.PARTIALLY_FILLED
    return scene


def in_doubt(stage: Stage) -> Scene:
    scene = stage.scene()
    entered(scene, Faults(["request"]))
    assert scene.order().status is OrdStatus.IN_DOUBT
    return scene


def bare(stage: Stage) -> Scene:
    return without_legs(untroubled(stage))


def bare_and_leaving(stage: Stage) -> Scene:
    scene = untroubled(stage)
    held = position_of(scene)
    assert held is not None
    care.start_exit(scene.desk(at=21), TIMES, held, quote("50.00", 21)["XYZ"], ExitReason.MANUAL)
    return without_legs(scene)


def without_legs(scene: Scene) -> Scene:
    """Somebody cancels the stop, and the venue its target with it."""
    scene.desk(at=21).broker.cancel(scene.order(Leg.STOP).client_order_id)
    sync(scene)
    assert cover(scene).bare == 200
    return scene


@pytest.mark.parametrize(
    ("made", "where_it_may_fail", "in_the_same_process"),
    [
        (working, False, False),
        (untroubled, False, False),
        (filled_in_part, True, True),
        (in_doubt, True, False),
        (bare, True, False),
        (bare_and_leaving, False, False),
    ],
)
def test_what_is_worth_another_look_soon(
    stage: Stage, made: Callable[[Stage], Scene], where_it_may_fail: bool, in_the_same_process: bool
) -> None:
    scene = made(stage)

    assert cycle(scene, CONNECTED).is_uneasy() is where_it_may_fail
    assert cycle(scene, IN_THE_SAME_PROCESS).is_uneasy() is in_the_same_process


def test_a_venue_that_was_not_heard_is_asked_again_soon_until_it_answers(stage: Stage) -> None:
    scene = working(stage)
    with scene.ledger.read() as tx:
        record = tx.session_record("A", TIMES.session)
    assert record is not None
    at_a_door, here = cycle(scene, CONNECTED), cycle(scene, IN_THE_SAME_PROCESS)

    for one in (at_a_door, here):
        one.note_silence("no answer within 5 s")

    assert (at_a_door.is_uneasy(), here.is_uneasy()) == (True, False)
    at_a_door.sync(record)
    assert not at_a_door.is_uneasy()


def looks(scene: Scene, connections: int, calm_after: int = 1_000) -> list[float]:
    """Seconds after the bar that ended at minute 20 at which it is looked again, uneasy for so many looks."""
    desk, asked = scene.desk(connections=lambda: connections), count()
    rounds = rounds_between(desk, None, minute(20), minute(25), lambda: next(asked) < calm_after)
    return [(at - minute(20)) / SECOND for at in rounds]


def test_an_unease_that_stays_is_looked_at_six_times_and_then_left_to_the_next_bar(stage: Stage) -> None:
    scene = stage.scene()

    assert looks(scene, CONNECTED) == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    assert len(looks(scene, CONNECTED)) == SECOND_LOOKS


def test_where_no_connection_can_fail_one_second_look_is_enough(stage: Stage) -> None:
    assert looks(stage.scene(), IN_THE_SAME_PROCESS) == [5.0]


def test_the_looks_end_with_the_unease(stage: Stage) -> None:
    scene = stage.scene()

    assert looks(scene, CONNECTED, calm_after=2) == [5.0, 10.0]
    assert looks(scene, CONNECTED, calm_after=0) == []
