"""A few crashes and faults at each broker's door; python -m trading_pipeline_tests.crash[.faults] --door plays all."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.crash.doors import DoorKind
from trading_pipeline_tests.crash.faults import Case, Sweep, cases
from trading_pipeline_tests.crash.sweep import calm_day, crash_day, one_of_each

DAY = "target_fill"
PLACES = [
    (DoorKind.ALPACA, DAY, "after submit"), (DoorKind.ALPACA, "lost_cancel", "after cancel"),
    (DoorKind.IB, DAY, "before commit @ order_sync"), (DoorKind.IB, "lost_cancel", "before cancel"),
]  # fmt: skip
FAULTS = {
    DoorKind.ALPACA: (
        ("orders.submit", Fault.DROP_REPLY), ("orders.by_client_order_id", Fault.DROP_REPLY),
        ("activities", Fault.MALFORMED), ("stream", Fault.CLOSE),
    ),
    DoorKind.IB: (
        ("orders.submit", Fault.DROP_REPLY), ("executions", Fault.RESET), ("stream", Fault.DUPLICATE),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("door", "day", "place"), PLACES)
def test_a_session_killed_at_a_brokers_door_ends_as_if_nothing_had_happened(
    door: DoorKind, day: str, place: str, tmp_path: Path
) -> None:
    calm = calm_day(day, tmp_path / "calm", door=door)
    assert calm.faults == ()

    number = next(n for n in one_of_each(calm.points) if calm.points[n - 1].startswith(place))
    assert crash_day(day, number, calm, tmp_path / "crashed", door=door).faults == ()


@pytest.mark.slow
@pytest.mark.parametrize("door", FAULTS)
def test_a_fault_at_a_brokers_door_loses_and_doubles_nothing_and_one_that_was_never_played_is_told(
    door: DoorKind, tmp_path: Path
) -> None:
    within = Sweep(door, tmp_path)
    within.calm(DAY)

    for op, fault in FAULTS[door]:
        told = within.play(Case(DAY, op, fault, 0.0))
        assert (told.faults, told.played) == ((), 1)
    if door is DoorKind.ALPACA:
        told = within.play(Case(DAY, "orders.replace", Fault.RESET, 0.0))
        assert told.faults == (f"never played: orders.replace call 1 was not made on {DAY}",)


def test_every_fault_meets_everything_that_is_asked_at_its_door() -> None:
    for door, least in ((DoorKind.ALPACA, 290), (DoorKind.IB, 380)):
        chosen = cases(door)
        assert len(set(chosen)) == len(chosen) >= least
