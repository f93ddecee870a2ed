"""Fetching: every missing symbol-session is asked for once, in pieces, and a fetch that was stopped goes on."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.market_data.fetch_log import FetchLogFile
from trading_pipeline.analytics.schemas import SESSION_NS
from trading_pipeline.domain.errors import InputError, MarketDataError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.ports import BarStore, RequestSize
from trading_pipeline.services.fetch import FetchReport, FetchRequest, fetch, plan, symbols_of
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.market_data import fetch_desk
from trading_pipeline_tests.bar_builders import CALENDAR, flat_bars
from trading_pipeline_tests.services.vendors import ListedHistory

DAYS = CALENDAR.sessions(date(2025, 6, 30), date(2025, 7, 10))
"""Eight sessions around the half-day of July 3rd and the holiday after it."""
NOW = CALENDAR.times(DAYS[-1]).closes_at + timedelta(hours=1)


def a_home(folder: Path) -> Workspace:
    return Workspace(folder, Settings(), clock=FixedClock(NOW))


def daily(*symbols: str) -> pd.DataFrame:
    rows = [(symbol, day, 50.0, 51.0, 49.0, 50.5, 1e6) for symbol in symbols for day in DAYS]
    frame = pd.DataFrame(rows, columns=["symbol", "time", "open", "high", "low", "close", "volume"])
    return frame.astype({"symbol": "str", "time": SESSION_NS}).assign(vwap=50.2, trade_count=1.0)


def wanted(*symbols: str, again: bool = False) -> FetchRequest:
    return FetchRequest(symbols, Timeframe.DAY1, DAYS[0], DAYS[-1], again)


def fetched(home: Workspace, source: ListedHistory, request: FetchRequest) -> FetchReport:
    return fetch(fetch_desk(home, source), request)


def stored(bars: BarStore) -> Counter[str]:
    return Counter(bars.read(Timeframe.DAY1, DAYS)["symbol"])


def test_what_is_missing_is_asked_for_in_pieces_and_stored_with_its_feed(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA", "BBB", "CCC"))

    report = fetched(home, source, wanted("AAA", "BBB", "CCC"))

    assert stored(home.bars) == dict.fromkeys(("AAA", "BBB", "CCC"), len(DAYS))
    assert (report.asked, report.new, report.present) == (3 * len(DAYS), 3 * len(DAYS), 0)
    assert all(len(symbols) <= 2 and len(sessions) <= 2 for symbols, sessions in source.asked)
    assert set(home.bars.read(Timeframe.DAY1, DAYS)["feed"]) == {"sip"}


def test_the_same_fetch_again_asks_nothing(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"))
    fetched(home, source, wanted("AAA"))
    asked = len(source.asked)

    report = fetched(home, source, wanted("AAA"))

    assert len(source.asked) == asked
    assert (report.asked, report.present) == (0, len(DAYS))


def test_a_symbol_without_bars_is_told_and_not_asked_for_again(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"))

    first = fetched(home, source, wanted("AAA", "ZZZ"))
    asked = len(source.asked)
    fetched(home, source, wanted("AAA", "ZZZ"))

    assert first.without_bars == ("ZZZ",)
    assert len(source.asked) == asked


def test_a_refused_symbol_is_told_the_rest_goes_on_and_it_is_asked_for_again(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA", "BBB"), refuses={"BBB": "unknown"})

    first = fetched(home, source, wanted("AAA", "BBB"))
    source.refuses = {}
    second = fetched(home, source, wanted("AAA", "BBB"))

    assert first.refused == {"BBB": "unknown"}
    assert not first.without_bars
    assert second.asked == len(DAYS)
    assert stored(home.bars) == {"AAA": len(DAYS), "BBB": len(DAYS)}


@pytest.mark.parametrize("answered", range(5))
def test_a_fetch_that_broke_off_anywhere_goes_on_there(tmp_path: Path, answered: int) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA", "BBB", "CCC"), breaks_after=answered)
    with pytest.raises(MarketDataError, match="the vendor is gone"):
        fetched(home, source, wanted("AAA", "BBB", "CCC"))

    source.breaks_after = None
    fetched(home, source, wanted("AAA", "BBB", "CCC"))

    assert stored(home.bars) == dict.fromkeys(("AAA", "BBB", "CCC"), len(DAYS))
    assert len(source.asked) == len(set(source.asked))  # nothing twice


def test_a_crash_between_storing_and_noting_repeats_only_what_is_harmless(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"))
    fetched(home, source, wanted("AAA"))
    log = home.bars.root / "fetched.jsonl"
    log.write_text(log.read_text()[:-20])  # the last note was torn

    report = fetched(home, source, wanted("AAA"))

    assert (report.asked, report.new, report.corrected) == (2, 0, 0)
    assert stored(home.bars) == {"AAA": len(DAYS)}
    assert fetched(home, source, wanted("AAA")).asked == 0


def test_what_was_imported_from_files_is_not_asked_for(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA", "BBB"))
    home.bars.write(flat_bars("AAA", *DAYS[:3], timeframe=Timeframe.DAY1), Timeframe.DAY1, known_at=None)

    report = fetched(home, source, wanted("AAA", "BBB"))

    assert report.present == 3
    assert not [one for symbols, sessions in source.asked if "AAA" in symbols for one in sessions if one in DAYS[:3]]


def test_what_a_stream_stored_is_asked_for_again_and_corrected(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"))
    live = flat_bars("AAA", DAYS[0], price=50.0, timeframe=Timeframe.DAY1)
    home.bars.write(live, Timeframe.DAY1, known_at=NOW - timedelta(days=5), feed="iex")

    report = fetched(home, source, wanted("AAA"))

    assert (report.new, report.corrected) == (len(DAYS) - 1, 1)


def test_a_session_that_is_not_over_for_the_vendor_is_left_for_later(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"), delay=timedelta(hours=2))

    report = fetched(home, source, wanted("AAA"))

    assert report.unavailable == (DAYS[-1],)
    assert stored(home.bars) == {"AAA": len(DAYS) - 1}


def test_when_no_session_is_over_nothing_is_asked(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(delay=timedelta(days=30))

    with pytest.raises(InputError, match=r"no session .* is over.*data stream"):
        fetched(home, source, wanted("AAA"))
    with pytest.raises(InputError, match="the exchange is closed"):
        fetched(home, source, FetchRequest(("AAA",), Timeframe.DAY1, date(2025, 7, 4), date(2025, 7, 6)))
    assert not source.asked


def test_rows_that_cannot_be_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    rows = daily("AAA")
    rows.loc[0, "close"], rows.loc[1, "high"] = float("nan"), 1.0
    home = a_home(tmp_path)

    report = fetched(home, ListedHistory(daily=rows), wanted("AAA"))

    assert report.reasons == {"nan_price": 1, "ohlc_violation": 1}
    assert report.new == len(DAYS) - 2


def test_corporate_actions_are_known_from_their_ex_date(tmp_path: Path) -> None:
    taken = pd.DataFrame({"symbol": ["AAA"], "ex_date": [DAYS[2]], "kind": ["split"], "value": [2.0]})
    taken = taken.astype({"ex_date": SESSION_NS})
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"), taken=taken)

    assert fetched(home, source, wanted("AAA")).actions == 1
    assert fetched(home, source, wanted("AAA")).actions == 0
    known = home.bars.actions(known_at=CALENDAR.times(DAYS[2]).opens_at)
    assert list(known["value"]) == [2.0]


def test_asking_again_stores_what_the_vendor_has_corrected(tmp_path: Path) -> None:
    home, source = a_home(tmp_path), ListedHistory(daily=daily("AAA"))
    fetched(home, source, wanted("AAA"))
    assert source.daily is not None
    source.daily.loc[0, "close"] = 50.25

    report = fetched(home, source, wanted("AAA", again=True))

    assert (report.new, report.corrected, report.unchanged) == (0, 1, len(DAYS) - 1)


cells = st.sets(st.tuples(st.integers(0, 7), st.sampled_from("ABCDE")))


@given(present=cells, symbols=st.integers(1, 4), sessions=st.integers(1, 4))
def test_a_plan_covers_what_is_missing_exactly_once_and_no_question_is_too_large(
    present: set[tuple[int, str]], symbols: int, sessions: int
) -> None:
    there = {day: {s for n, s in present if n == number} for number, day in enumerate(DAYS)}

    pieces = plan("ABCDE", DAYS, there, RequestSize(symbols, sessions))

    asked = Counter((day, symbol) for piece in pieces for day in piece.sessions for symbol in piece.symbols)
    assert asked == Counter((day, s) for day in DAYS for s in "ABCDE" if s not in there[day])
    assert all(len(piece.symbols) <= symbols and len(piece.sessions) <= sessions for piece in pieces)


def test_a_note_of_another_vendor_feed_or_timeframe_is_none_of_ours(tmp_path: Path) -> None:
    log = FetchLogFile(tmp_path / "log.jsonl")
    log.note("alpaca", "sip", Timeframe.DAY1, ["AAA"], DAYS[:1])

    assert log.answered("alpaca", "sip", Timeframe.DAY1) == {DAYS[0]: frozenset({"AAA"})}
    for other in (("ib", "sip", Timeframe.DAY1), ("alpaca", "iex", Timeframe.DAY1), ("alpaca", "sip", Timeframe.MIN1)):
        assert not log.answered(*other)


def test_symbols_are_read_from_the_line_or_from_a_file() -> None:
    files = {"list.txt": "aapl  # the first\n\nBRK.B, msft\n"}

    assert symbols_of("msft,AAPL,aapl", read=files.__getitem__) == ("AAPL", "MSFT")
    assert symbols_of("@list.txt", read=files.__getitem__) == ("AAPL", "BRK.B", "MSFT")
    for wrong in ("", " , ", "A$B", "TOO_LONG_FOR_A_SYMBOL"):
        with pytest.raises(InputError, match="--symbols"):
            symbols_of(wrong, read=files.__getitem__)
