"""A few crashes of every kind of day; python -m trading_pipeline_tests.crash makes them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_pipeline.adapters.ledger import default_url
from trading_pipeline_tests.crash.days import DAYS
from trading_pipeline_tests.crash.sweep import MakeUrl, calm_day, crash_day, one_of_each
from trading_pipeline_tests.postgres import postgres

QUICK = {
    "entry": "before submit",
    "partial_entry": "before cancel",
    "trailing_replace": "after replace",
    "target_fill": "before commit @ order_sync",
    "time_exit": "after commit @ care/exits",
    "kill": "after cancel",
    "lost_answer": "after submit",
    "lost_request": "before commit @ local_reports",
    "lost_cancel": "after cancel",
}
"""What the process dies at, day by day; the venue and the loop are real processes."""


@pytest.mark.slow
@pytest.mark.parametrize("day", QUICK)
def test_a_killed_session_ends_as_if_nothing_had_happened(day: str, tmp_path: Path) -> None:
    assert QUICK.keys() == DAYS.keys()
    _crash_and_compare(day, QUICK[day], tmp_path, default_url)


@pytest.mark.slow
def test_a_killed_session_on_postgresql_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    server = postgres()
    _crash_and_compare("target_fill", "after commit @ order_sync", tmp_path, lambda _: server.database())


def _crash_and_compare(day: str, place: str, folder: Path, make_url: MakeUrl) -> None:
    calm = calm_day(day, folder / "calm", make_url)
    assert calm.faults == ()
    number = next(n for n in one_of_each(calm.points) if calm.points[n - 1].startswith(place))
    assert crash_day(day, number, calm, folder / "crashed", make_url).faults == ()
