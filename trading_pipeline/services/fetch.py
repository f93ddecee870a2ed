"""Fetching history from a vendor: what is missing, in pieces that are stored one by one.

A piece is noted when it is stored. Whoever runs the same fetch again, after a crash too, asks only for the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from typing import TypeVar

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.ports import (
    BarDelivery,
    BarStore,
    Clock,
    FetchLog,
    MarketDataSource,
    RequestSize,
    TradingCalendar,
)

T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What somebody wants: bars of these symbols on every session between two dates, both included."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    first: date
    last: date
    again: bool = False
    """Ask also for what is there; what differs becomes a new version."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One question to the vendor."""

    symbols: tuple[str, ...]
    sessions: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a delivery on its way into the store."""

    new: int
    corrected: int
    unchanged: int
    reasons: Mapping[str, int]
    symbols: tuple[str, ...]
    sessions: tuple[date, ...]


Accept = Callable[[BarDelivery, Timeframe], Accepted]


@dataclass(slots=True, kw_only=True)
class FetchReport:
    """What a fetch did. present: symbol-sessions that were there already; unavailable: sessions too new to be had."""

    provider: str
    feed: str
    timeframe: Timeframe
    asked: int = 0
    present: int = 0
    new: int = 0
    corrected: int = 0
    unchanged: int = 0
    actions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)
    without_bars: tuple[str, ...] = ()
    unavailable: tuple[date, ...] = ()
    unapplied_actions: Mapping[str, int] = field(default_factory=dict)
    sessions: set[date] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDesk:
    """What fetching reads and writes. accept: stores a delivery and sets impossible rows aside."""

    source: MarketDataSource
    bars: BarStore
    log: FetchLog
    calendar: TradingCalendar
    clock: Clock
    accept: Accept


def fetch(desk: FetchDesk, request: FetchRequest, on_progress: Progress | None = None) -> FetchReport:
    """Ask for what is missing and store it; corporate actions of the span come last.

    on_progress(symbol-sessions done, of all that are asked for). Raises InputError when nothing can be asked for,
    MarketDataError when the vendor ends it; what was stored stays, and the same fetch again goes on from there.
    """
    source, timeframe = desk.source, request.timeframe
    report = FetchReport(provider=source.name, feed=source.feed(timeframe), timeframe=timeframe)
    sessions = _available(desk, request, report)
    pieces = plan(request.symbols, sessions, _present(desk, request, sessions), source.request_size(timeframe))
    report.asked = sum(len(piece.symbols) * len(piece.sessions) for piece in pieces)
    report.present = len(request.symbols) * len(sessions) - report.asked
    done = 0
    for piece in pieces:
        _fetch_piece(desk, timeframe, piece, report)
        done += len(piece.symbols) * len(piece.sessions)
        if on_progress:
            on_progress(done, report.asked)
    if pieces:
        asked = sorted({symbol for piece in pieces for symbol in piece.symbols})
        report.without_bars = tuple(one for one in asked if one not in report.symbols and one not in report.refused)
    _fetch_actions(desk, request, sessions, report)
    return report


def _available(desk: FetchDesk, request: FetchRequest, report: FetchReport) -> list[date]:
    """Sessions that are over and that the vendor may give."""
    sessions = desk.calendar.sessions(request.first, request.last)
    if not sessions:
        raise InputError(f"there is no session from {request.first} to {request.last}: the exchange is closed.")
    until = desk.source.available_until(request.timeframe, desk.clock.now())
    over = [day for day in sessions if desk.calendar.times(day).closes_at <= until]
    report.unavailable = tuple(day for day in sessions if day not in set(over))
    if not over:
        raise InputError(
            f"no session from {request.first} to {request.last} is over (by {until:%Y-%m-%d %H:%M} UTC, which is what "
            f"{desk.source.name} gives now). Bars of a running session: trading-pipeline data stream"
        )
    return over


def _present(desk: FetchDesk, request: FetchRequest, sessions: Sequence[date]) -> Mapping[date, Collection[str]]:
    """Symbols not to be asked for: answered before, or imported. What a live stream stored does not count."""
    if request.again:
        return {}
    source, timeframe = desk.source, request.timeframe
    answered = desk.log.answered(source.name, source.feed(timeframe), timeframe)
    imported = desk.bars.imported(timeframe, sessions)
    return {day: answered.get(day, frozenset()) | imported.get(day, frozenset()) for day in sessions}


def plan(
    symbols: Sequence[str], sessions: Sequence[date], present: Mapping[date, Collection[str]], size: RequestSize
) -> list[Piece]:
    """Questions that cover every missing (symbol, session) exactly once, none larger than allowed, oldest first."""

    def missing(day: date) -> tuple[str, ...]:
        there = present.get(day, ())
        return tuple(symbol for symbol in symbols if symbol not in there)

    pieces = []
    for lacking, days in groupby(sessions, missing):
        for some_days in _blocks(list(days), size.sessions):
            pieces += [Piece(tuple(some), tuple(some_days)) for some in _blocks(lacking, size.symbols)]
    return pieces


def _blocks(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[at : at + most] for at in range(0, len(items), most))


def _fetch_piece(desk: FetchDesk, timeframe: Timeframe, piece: Piece, report: FetchReport) -> None:
    """Ask, store, note: in this order, so that a crash between two of them only repeats what is harmless."""
    now = desk.clock.now()
    delivery = desk.source.bars(piece.symbols, timeframe, _times(desk, piece.sessions), now)
    accepted = desk.accept(delivery, timeframe)
    answered = [symbol for symbol in piece.symbols if symbol not in delivery.refused]
    if answered:
        desk.log.note(report.provider, report.feed, timeframe, answered, piece.sessions)
    report.new += accepted.new
    report.corrected += accepted.corrected
    report.unchanged += accepted.unchanged
    report.reasons.update(accepted.reasons)
    report.refused |= delivery.refused
    report.sessions |= set(accepted.sessions)
    report.symbols |= set(accepted.symbols)


def _times(desk: FetchDesk, sessions: Sequence[date]) -> list[SessionTimes]:
    return [desk.calendar.times(day) for day in sessions]


def _fetch_actions(desk: FetchDesk, request: FetchRequest, sessions: Sequence[date], report: FetchReport) -> None:
    """Actions were announced before their ex-dates: each is known from the beginning of its own."""
    known = [symbol for symbol in request.symbols if symbol not in report.refused]
    if known:
        actions, report.unapplied_actions = desk.source.actions(known, sessions[0], sessions[-1])
        report.actions = desk.bars.write_actions(actions, known_at=None) if len(actions) else 0


def symbols_of(text: str, *, read: Callable[[str], str]) -> tuple[str, ...]:
    """Symbols of "A,B" or "@file" (one or more a line, # begins a comment), upper case, sorted, each once.

    read: gives the text of a file. Raises InputError when there is none, or one cannot be a symbol.
    """
    lines = read(text[1:]).splitlines() if text.startswith("@") else [text]
    parts = [part for line in lines for part in line.partition("#")[0].replace(",", " ").split()]
    symbols = sorted({part.upper() for part in parts})
    strange = [one for one in symbols if not one.replace(".", "").replace("-", "").isalnum() or len(one) > 12]
    if not symbols or strange:
        which = f"{', '.join(strange[:5])} cannot be symbols" if strange else f"{text!r} names no symbol"
        raise InputError(f"{which}. Write --symbols AAPL,MSFT or --symbols @FILE")
    return tuple(symbols)


def last_over(calendar: TradingCalendar, now: datetime) -> date:
    """The newest session that is over at `now`."""
    session = calendar.session_of(now)
    return session if calendar.times(session).closes_at <= now else calendar.previous(session)
