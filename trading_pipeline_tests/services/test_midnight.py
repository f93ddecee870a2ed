"""A market that never closes: one session ends at the instant at which the next begins."""

from __future__ import annotations

from datetime import timedelta

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Stage, flat_bars

MIDNIGHT = OPENS.replace(hour=0, minute=0)
DAYS = [
    SessionTimes(OPENS.date() + timedelta(days=n), MIDNIGHT + timedelta(days=n), MIDNIGHT + timedelta(days=n + 1))
    for n in range(2)
]


def test_the_next_session_begins_where_the_last_one_ended_and_each_instant_has_one_point(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars(times=DAYS[0]), *flat_bars(times=DAYS[1])], equity_point_minutes=60)

    phases = [scene.loop(times).run().phase for times in DAYS]

    with scene.ledger.read() as tx:
        points = tx.equity_points("A")
    assert phases == [SessionPhase.CLOSED] * 2
    assert [one.at for one in points] == [MIDNIGHT + timedelta(hours=n) for n in range(1, 49)]
    assert [one.session for one in points] == [times.session for times in DAYS for _ in range(24)]
    assert (DAYS[0].follows_at_once, TIMES.follows_at_once) == (True, False)


def test_a_session_decides_the_same_with_and_without_the_one_before_it_on_record(stage: Stage) -> None:
    bars = [*flat_bars(times=DAYS[0]), *flat_bars(times=DAYS[1])]
    both, alone = stage.scene(bars=bars), stage.scene(bars=bars)  # a replay has a ledger of its own

    hashes = [both.loop(times).run().decision_hash for times in DAYS]

    assert alone.loop(DAYS[1]).run().decision_hash == hashes[1]
