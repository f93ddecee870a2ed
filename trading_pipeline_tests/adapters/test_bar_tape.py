"""Stored bars as a tape: traded units, whatever they were delivered in; each file read once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.bar_tape import StoredTape
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.errors import DataFileError
from trading_pipeline.domain.market import Adjustment, SessionTimes, Timeframe
from trading_pipeline.domain.money import plain
from trading_pipeline.venue.tape import CorporateAction, Tape

CALENDAR = ExchangeCalendar()
BEFORE, AFTER = (CALENDAR.times(date(2024, 11, day)) for day in (26, 27))
LONG_AGO, FAR = datetime(2015, 1, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)


def rows(symbol: str, times: SessionTimes, *closes: float, minutes: int = 5) -> pd.DataFrame:
    """Consecutive bars from the open on; 390 minutes: the daily bar."""
    starts = pd.DatetimeIndex([times.opens_at + timedelta(minutes=minutes * n) for n in range(len(closes))])
    close = pd.Series(closes, dtype="float64")
    return pd.DataFrame(
        {
            "symbol": symbol, "start": starts.as_unit("ns"), "end": (starts + timedelta(minutes=minutes)).as_unit("ns"),
            "open": close, "high": close, "low": close, "close": close, "volume": 1000.0,
            "session": pd.Timestamp(times.session),
        }
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> ParquetBarStore:
    return ParquetBarStore(tmp_path, CALENDAR, FixedClock(datetime(2025, 1, 2, tzinfo=UTC)))


def split_two_for_one(store: ParquetBarStore) -> None:
    frame = pd.DataFrame({"symbol": ["AAA"], "ex_date": [pd.Timestamp(AFTER.session)], "kind": ["split"], "value": 2.0})
    store.write_actions(frame, known_at=None)


def closes(tape: Tape, symbol: str, timeframe: Timeframe) -> list[str]:
    return [plain(bar.close) for bar in tape.bars(symbol, timeframe, LONG_AGO, FAR)]


def test_bars_of_two_sessions_come_in_order_and_only_those_that_start_in_the_span(store: ParquetBarStore) -> None:
    for times in (BEFORE, AFTER):
        store.write(
            pd.concat([rows("AAA", times, 10.0, 10.1, 10.2), rows("BBB", times, 7)]), Timeframe.MIN5, known_at=None
        )
    tape = StoredTape(store, CALENDAR)

    found = tape.bars("AAA", Timeframe.MIN5, BEFORE.opens_at + timedelta(minutes=5), AFTER.opens_at)

    assert [(bar.start_at, bar.close) for bar in found] == [
        (BEFORE.opens_at + timedelta(minutes=5), Decimal("10.1")),
        (BEFORE.opens_at + timedelta(minutes=10), Decimal("10.2")),
        (AFTER.opens_at, Decimal(10)),
    ]
    assert list(tape.bars("ZZZ", Timeframe.MIN5, LONG_AGO, FAR)) == []
    assert (tape.symbols(), tape.base_timeframe()) == (("AAA", "BBB"), Timeframe.MIN5)


@pytest.mark.parametrize("timeframe", [Timeframe.MIN5, Timeframe.DAY1])
def test_bars_delivered_adjusted_are_told_as_they_were_traded(store: ParquetBarStore, timeframe: Timeframe) -> None:
    split_two_for_one(store)
    delivered = pd.concat([rows("AAA", BEFORE, 50.0), rows("AAA", AFTER, 51.0)])
    store.write(
        delivered, Timeframe.MIN5, known_at=None, adjustment=Adjustment.SPLIT, adjusted_through=date(2024, 12, 2)
    )

    found = StoredTape(store, CALENDAR).bars("AAA", timeframe, LONG_AGO, FAR)

    assert [(bar.close, bar.volume) for bar in found] == [(Decimal(100), Decimal(500)), (Decimal(51), Decimal(1000))]


def test_the_official_daily_bar_is_told_before_one_made_of_minutes(store: ParquetBarStore) -> None:
    store.write(pd.concat([rows("AAA", BEFORE, 10.0), rows("AAA", AFTER, 11.0)]), Timeframe.MIN5, known_at=None)
    store.write(rows("AAA", BEFORE, 10.5, minutes=390), Timeframe.DAY1, known_at=None)

    assert closes(StoredTape(store, CALENDAR), "AAA", Timeframe.DAY1) == ["10.5", "11"]


def test_actions_and_sessions_are_those_of_the_span(store: ParquetBarStore) -> None:
    split_two_for_one(store)
    tape = StoredTape(store, CALENDAR)
    split = CorporateAction(symbol="AAA", ex_date=AFTER.session, kind="split", value=Decimal(2))

    assert list(tape.actions(BEFORE.session, AFTER.session)) == [split]
    assert list(tape.actions(LONG_AGO.date(), BEFORE.session)) == []
    assert list(tape.sessions(BEFORE.session, date(2024, 12, 1))) == [
        CALENDAR.times(date(2024, 11, day)) for day in (26, 27, 29)
    ]


def test_with_room_for_little_it_answers_the_same(store: ParquetBarStore) -> None:
    for times in (BEFORE, AFTER):
        store.write(rows("AAA", times, 10.0, 10.1), Timeframe.MIN1, known_at=None)
    narrow = StoredTape(store, CALENDAR, max_rows=1)

    assert [closes(narrow, "AAA", Timeframe.MIN1) for _ in range(2)] == [["10", "10.1"] * 2] * 2


def test_an_empty_store_is_an_empty_tape_and_a_damaged_one_says_which_file(store: ParquetBarStore) -> None:
    tape = StoredTape(store, CALENDAR)
    assert (tape.symbols(), tape.base_timeframe(), closes(tape, "AAA", Timeframe.DAY1)) == ((), None, [])

    store.write(rows("AAA", BEFORE, 10.0), Timeframe.MIN1, known_at=None)
    (store.root / "1min" / f"{BEFORE.session}.parquet").write_bytes(b"PAR1 not really")
    broken = StoredTape(store, CALENDAR)

    for ask in (broken.symbols, lambda: closes(broken, "AAA", Timeframe.MIN1)):
        with pytest.raises(DataFileError, match="Check that the file exists"):
            ask()
