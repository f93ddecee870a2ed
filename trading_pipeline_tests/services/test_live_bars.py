"""A session's bars: closed in time, late ones as corrections, gaps repaired, silence noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.analytics.bars import roll_up
from trading_pipeline.domain.bar_building import MINUTE, LiveRules, MinuteBar
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.services.live_bars import LiveBarRecorder, Stored, minute_frame
from trading_pipeline_tests.bar_builders import CALENDAR, FULL_DAY, table_of
from trading_pipeline_tests.services.vendors import TIMES, ListedHistory, ScriptedStream, ToldClock, a_minute

RULES = LiveRules()


@contextmanager
def recording(
    folder: Path,
    *symbols: str,
    at: datetime = TIMES.opens_at,
    history: ListedHistory | None = None,
    stream: ScriptedStream | None = None,
    timeframe: Timeframe = Timeframe.MIN1,
) -> Iterator[tuple[LiveBarRecorder, ScriptedStream, ToldClock, ParquetBarStore]]:
    clock = ToldClock(at)
    told = stream or ScriptedStream(clock)
    told.clock = clock
    store = ParquetBarStore(folder, CALENDAR, clock)
    recorder = LiveBarRecorder(
        stream=told, history=history or ListedHistory(), bars=store, times=TIMES, symbols=symbols or ("AAA", "BBB"),
        rules=RULES, clock=clock, timeframe=timeframe,
    )  # fmt: skip
    recorder.start()
    try:
        yield recorder, told, clock, store
    finally:
        recorder.close()


def stored_within(recorder: LiveBarRecorder, clock: ToldClock, seconds: float) -> list[Stored]:
    """What was stored in so many seconds."""
    until, found = clock.now() + timedelta(seconds=seconds), []
    while clock.now() < until:
        before = clock.now()
        stored = recorder.step()
        found += [stored] if stored else []
        if clock.now() == before:
            clock.pass_seconds(0.01)
    return found


def closes(store: ParquetBarStore, known_at: datetime | None = None) -> dict[tuple[str, datetime], float]:
    rows = store.read(Timeframe.MIN1, [FULL_DAY], known_at=known_at)
    keys = zip(rows["symbol"], [start.to_pydatetime() for start in rows["start"]], strict=True)
    return dict(zip(keys, rows["close"], strict=True))


def repaired(recorder: LiveBarRecorder) -> None:
    """Let the question to the history be answered."""
    assert recorder._repair is not None
    recorder._repair.exception(5)


def test_a_minute_is_stored_as_soon_as_every_symbol_has_its_bar(tmp_path: Path) -> None:
    with recording(tmp_path) as (recorder, stream, clock, store):
        clock.pass_seconds(60.2)
        stream.arriving = [a_minute(0), a_minute(0, 60.0, symbol="BBB")]

        stored = recorder.step()

        assert stored == Stored(TIMES.opens_at + MINUTE, 2, 0)
        rows = store.read(Timeframe.MIN1, [FULL_DAY])
        assert set(rows["known_at"]) == {pd.Timestamp(clock.now())}
        assert set(rows["feed"]) == {"iex"}


def test_a_minute_waits_for_the_others_no_longer_than_its_grace(tmp_path: Path) -> None:
    with recording(tmp_path) as (recorder, stream, clock, _):
        clock.pass_seconds(60.2)
        stream.arriving = [a_minute(0)]

        assert not stored_within(recorder, clock, 1.5)
        assert [one.new for one in stored_within(recorder, clock, 1.0)] == [1]
        assert clock.now() <= TIMES.opens_at + timedelta(seconds=60 + RULES.grace_seconds + 1)


def test_a_late_bar_and_a_vendors_correction_are_versions_of_their_own(tmp_path: Path) -> None:
    with recording(tmp_path) as (recorder, stream, clock, store):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(0)]
        stored_within(recorder, clock, 2)
        decided_at = clock.now()
        clock.pass_seconds(20)
        stream.arriving = [a_minute(0, 60.0, symbol="BBB"), a_minute(0, 51.0)]
        stored_within(recorder, clock, 2)

        assert closes(store, decided_at) == {("AAA", TIMES.opens_at): 50.0}
        assert closes(store) == {("AAA", TIMES.opens_at): 51.0, ("BBB", TIMES.opens_at): 60.0}
        assert (recorder.counts.late, recorder.counts.corrected) == (2, 1)


def test_a_bar_told_twice_is_stored_once(tmp_path: Path) -> None:
    with recording(tmp_path) as (recorder, stream, clock, _):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(0), a_minute(0)]
        stored_within(recorder, clock, 5)
        stream.arriving = [a_minute(0)]
        stored_within(recorder, clock, 5)

        assert (recorder.counts.new, recorder.counts.corrected) == (1, 0)


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_bar_that_cannot_be_is_counted_and_not_stored(tmp_path: Path, price: float) -> None:
    with recording(tmp_path) as (recorder, stream, clock, store):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(0, price), a_minute(0, symbol="BBB")]
        stored_within(recorder, clock, 3)

        assert recorder.counts.unusable == 1
        assert list(closes(store)) == [("BBB", TIMES.opens_at)]


def test_a_bar_outside_the_session_is_counted_and_not_stored(tmp_path: Path) -> None:
    with recording(tmp_path) as (recorder, stream, clock, store):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(-1), a_minute(390), a_minute(0)]
        stored_within(recorder, clock, 3)

        assert recorder.counts.outside == 2
        assert list(closes(store)) == [("AAA", TIMES.opens_at)]


def test_who_begins_in_the_middle_asks_the_history_for_what_was_before(tmp_path: Path) -> None:
    history = ListedHistory([a_minute(n, 40.0 + n, symbol=s) for n in range(10) for s in ("AAA", "BBB")])
    with recording(tmp_path, at=TIMES.opens_at + 10 * MINUTE, history=history) as (recorder, _, clock, store):
        repaired(recorder)
        stored_within(recorder, clock, 3)

        assert len(closes(store)) == 20
        assert recorder.counts.repaired == 20


def test_e43_what_a_broken_connection_missed_is_repaired_from_the_history(tmp_path: Path) -> None:
    history = ListedHistory()
    with recording(tmp_path, "AAA", history=history) as (recorder, stream, clock, store):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(0)]
        stored_within(recorder, clock, 2)
        history.minutes = [a_minute(0), a_minute(1, 51.0), a_minute(2, 52.0)]
        clock.instant = TIMES.opens_at + timedelta(minutes=3, seconds=5)
        stream.connections += 1  # the library has reconnected by itself
        recorder.step()
        repaired(recorder)
        stored_within(recorder, clock, 3)

        assert [price for _, price in sorted(closes(store).items())] == [50.0, 51.0, 52.0]
        assert (recorder.counts.reconnects, recorder.counts.repaired) == (1, 2)


def test_a_mute_stream_is_stale_and_replaced_until_bars_come_again(tmp_path: Path) -> None:
    with recording(tmp_path, "AAA") as (recorder, stream, clock, _):
        clock.pass_seconds(61)
        stream.arriving = [a_minute(0)]
        stored_within(recorder, clock, 60 + RULES.silence_seconds - 3)
        assert not is_stale(recorder)

        stored_within(recorder, clock, 5)
        assert is_stale(recorder)
        assert stream.asked_to_reconnect == 1

        stream.arriving = [a_minute(2)]
        stored_within(recorder, clock, 1)
        assert not is_stale(recorder)


def test_nobody_calls_a_stream_mute_before_the_first_minute_ends_or_after_the_close(tmp_path: Path) -> None:
    with recording(tmp_path, "AAA", at=TIMES.opens_at - timedelta(hours=1)) as (recorder, stream, clock, _):
        stored_within(recorder, clock, 3600 + 60 + RULES.silence_seconds - 2)
        assert stream.asked_to_reconnect == 0

    with recording(tmp_path, "AAA", at=TIMES.closes_at) as (recorder, stream, clock, _):
        stored_within(recorder, clock, 120)
        assert stream.asked_to_reconnect <= 1


def test_a_store_of_five_minute_bars_gets_what_its_minutes_make(tmp_path: Path) -> None:
    minutes = [a_minute(n, 50.0 + n, symbol=s) for n in range(10) for s in ("AAA", "BBB")]
    with recording(tmp_path, timeframe=Timeframe.MIN5) as (recorder, stream, clock, store):
        ends = feed(recorder, stream, clock, minutes)

        rows = store.read(Timeframe.MIN5, [FULL_DAY])
        expected = roll_up(minute_frame(minutes, TIMES), Timeframe.MIN5, table_of(FULL_DAY))
        columns = ["symbol", "start", "end", "open", "high", "low", "close", "volume"]
        pd.testing.assert_frame_equal(rows[columns], expected[columns])
        assert {one.closed_until for one in ends if one.new} == {TIMES.opens_at + n * MINUTE for n in (5, 10)}


def test_a_late_minute_changes_the_five_minutes_it_belongs_to(tmp_path: Path) -> None:
    with recording(tmp_path, "AAA", timeframe=Timeframe.MIN5) as (recorder, stream, clock, store):
        feed(recorder, stream, clock, [a_minute(n) for n in (0, 1, 3, 4, 5, 6)])
        stream.arriving = [a_minute(2, 99.0)]
        stored_within(recorder, clock, 62)

        rows = store.read(Timeframe.MIN5, [FULL_DAY])
        assert list(rows["high"]) == [99.0]
        assert list(rows["volume"]) == [500.0]
        assert recorder.counts.corrected == 1


def test_the_recording_ends_a_minute_after_the_close_when_the_last_corrections_are_in(tmp_path: Path) -> None:
    with recording(tmp_path, "AAA", at=TIMES.closes_at - MINUTE) as (recorder, stream, clock, store):
        repaired(recorder)
        recorder.step()
        clock.instant = TIMES.closes_at + timedelta(seconds=0.5)
        stream.arriving = [a_minute(389)]
        seen: list[Stored] = []

        def on_stored(stored: Stored) -> None:
            seen.append(stored)
            stream.arriving = [a_minute(389, 77.0)] if stored.new else []

        recorder.run(on_stored, lambda: False)

        assert [one.closed_until for one in seen if one.new] == [TIMES.closes_at]
        assert list(closes(store).values()) == [77.0]
        assert clock.now() >= TIMES.closes_at + MINUTE


def test_a_refused_symbol_is_not_waited_for(tmp_path: Path) -> None:
    clock = ToldClock(TIMES.opens_at)
    stream = ScriptedStream(clock, refuses={"BBB": "no subscription"})
    with recording(tmp_path, stream=stream) as (recorder, stream, clock, _):
        clock.pass_seconds(60.2)
        stream.arriving = [a_minute(0)]

        assert recorder.step() is not None
        assert recorder.refused == {"BBB": "no subscription"}


def feed(
    recorder: LiveBarRecorder, stream: ScriptedStream, clock: ToldClock, minutes: Sequence[MinuteBar]
) -> list[Stored]:
    """Let each minute's bars arrive half a second after its end."""
    found: list[Stored] = []
    for end in sorted({bar.end_at for bar in minutes}):
        clock.instant = max(clock.instant, end + timedelta(seconds=0.5))
        stream.arriving = [bar for bar in minutes if bar.end_at == end]
        found += stored_within(recorder, clock, RULES.grace_seconds + 0.5)
    return found


def is_stale(recorder: LiveBarRecorder) -> bool:
    return recorder.is_stale
