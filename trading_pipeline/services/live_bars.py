"""From a vendor's stream to stored base bars: closed, corrected, repaired, and watched for silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from trading_pipeline.analytics.bars import minutes_of, roll_up, session_table
from trading_pipeline.analytics.schemas import SESSION_NS, UTC_NS
from trading_pipeline.domain.bar_building import MINUTE, LiveRules, MinuteBar, unusable
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.ports import BarStore, Clock, LiveBars, MarketDataSource

log = logging.getLogger(__name__)
Key = tuple[str, datetime]
NUMBERS = ("open", "high", "low", "close", "volume", "vwap", "trade_count")
POLL_SECONDS = 0.5
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """One write: what it changed, and up to when the session is closed now."""

    closed_until: datetime
    new: int
    corrected: int
    late: int = 0
    """Bars of minutes that had been closed before."""


@dataclass(slots=True)
class LiveCounts:
    """What became of the session's bars so far."""

    received: int = 0
    new: int = 0
    corrected: int = 0
    late: int = 0
    """Came after their minute was stored: stored as another version."""
    outside: int = 0
    """Of another session, or outside regular hours: not stored."""
    unusable: int = 0
    """A price or volume that cannot be: not stored."""
    repaired: int = 0
    """Asked for from the history, because the stream was not there."""
    reconnects: int = 0


@dataclass(slots=True)
class LiveBarRecorder:
    """Stores one session's bars as they close. One thread runs `step`; a repair asks the history in another.

    A minute is stored when every subscribed symbol has its bar or `grace_seconds` after its end, all symbols in one
    write. A bar that comes later, corrections of the vendor included, is another version with the next write. Bars are
    dated by when they were stored: what a decision read is what was known.
    """

    stream: LiveBars
    history: MarketDataSource
    bars: BarStore
    times: SessionTimes
    symbols: tuple[str, ...]
    rules: LiveRules
    clock: Clock
    timeframe: Timeframe = Timeframe.MIN1
    """What the store keeps: 1min, or 5min made of minutes."""
    counts: LiveCounts = field(default_factory=LiveCounts)
    refused: dict[str, str] = field(default_factory=dict)
    is_stale: bool = False
    """True from a silence in session hours until the next bar."""
    _minutes: dict[Key, MinuteBar] = field(default_factory=dict)
    _waiting: dict[Key, MinuteBar] = field(default_factory=dict)
    _closed_until: datetime | None = None
    _heard_at: datetime = NEVER
    _tried_at: datetime = NEVER
    _connections: int = 0
    _repairs: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "bar-repair"))
    _repair: Future[list[MinuteBar]] | None = None

    def start(self) -> None:
        """Open the stream, and ask the history for what the session has had so far. Raises MarketDataError."""
        self.stream.on_disconnect = lambda reason: log.warning("%s's stream ended: %s", self.stream.name, reason)
        self.stream.connect()
        self.refused |= self.stream.subscribe(self.symbols)
        self._connections = self.stream.health().connections
        self._closed_until = max(self.times.opens_at, self._last_minute(self.clock.now()))
        self._heard_at = self._tried_at = self.clock.now()
        if self._closed_until > self.times.opens_at:
            self._ask_history(self.times.opens_at)

    def run(self, on_stored: Callable[[Stored], None], stop_requested: Callable[[], bool]) -> None:
        """Steps until the session's last bar is stored, or a stop is requested."""
        while not stop_requested() and not self.is_over:
            stored = self.step()
            if stored is not None:
                on_stored(stored)

    @property
    def is_over(self) -> bool:
        """True a minute after the close, when corrections of the last bars have come too, and nothing waits."""
        is_past = self.clock.now() >= self.times.closes_at + MINUTE
        return is_past and self._closed() == self.times.closes_at and not self._waiting and self._repair is None

    @property
    def closed_until(self) -> datetime | None:
        """Up to when minutes are stored; None before `start`."""
        return self._closed_until

    def step(self) -> Stored | None:
        """Take what has arrived, look after the stream, and store a minute that has closed; None when none has."""
        self._take(self.stream.take(self._patience()))
        self._collect_repair()
        self._look_after_stream()
        now = self.clock.now()
        end = self._due(now)
        if end is None and not self._is_late_news(now):
            return None
        return self._store(end or self._closed())

    def close(self) -> None:
        """End stream and repairs."""
        self.stream.disconnect()
        self._repairs.shutdown(cancel_futures=True)

    # arrival

    def _take(self, bars: Sequence[MinuteBar]) -> None:
        if bars:
            self._heard_at, self.is_stale = self.clock.now(), False
        self.counts.received += len(bars)
        self.counts.late += sum(bar.end_at <= self._closed() for bar in self._keep(bars))

    def _keep(self, bars: Sequence[MinuteBar]) -> list[MinuteBar]:
        """Let those wait to be stored that can be and say something new; returns them."""
        wrong, kept = {id(bar) for bar in unusable(bars)}, []
        for bar in bars:
            known = self._minutes.get(_key(bar))
            if id(bar) in wrong:
                self.counts.unusable += 1
                log.warning("a bar that cannot be was not stored: %s", bar)
            elif not self.times.opens_at <= bar.start_at < self.times.closes_at:
                self.counts.outside += 1
            elif known is None or not _equal(known, bar):
                self._minutes[_key(bar)] = self._waiting[_key(bar)] = bar
                kept.append(bar)
        return kept

    def _patience(self) -> float:
        """Seconds until the next minute has to be stored; short enough that a stop is heard."""
        due = self._closed() + MINUTE + self._grace
        return max(0.0, min(POLL_SECONDS, (due - self.clock.now()).total_seconds()))

    # closing

    @property
    def _grace(self) -> timedelta:
        return timedelta(seconds=self.rules.grace_seconds)

    def _closed(self) -> datetime:
        return self._closed_until or self.times.opens_at

    def _last_minute(self, now: datetime) -> datetime:
        """The newest minute's end that is past its grace."""
        passed = (min(now - self._grace, self.times.closes_at) - self.times.opens_at) // MINUTE
        return self.times.opens_at + max(passed, 0) * MINUTE

    def _due(self, now: datetime) -> datetime | None:
        """The minute's end up to which everything may be stored now; None when the next one is still waited for."""
        closed, following = self._closed(), self._closed() + MINUTE
        if following > self.times.closes_at or now < following:
            return None
        by_time = self._last_minute(now)
        if by_time > closed:
            return by_time
        arrived = sum(1 for symbol, start in self._waiting if start == closed)
        return following if arrived >= len(self.symbols) - len(self.refused) else None

    def _is_late_news(self, now: datetime) -> bool:
        """True when what waits belongs to stored minutes and no minute is about to close: corrections, a repair."""
        if not self._waiting or any(bar.end_at > self._closed() for bar in self._waiting.values()):
            return False
        return self._closed() == self.times.closes_at or now < self._closed() + MINUTE - self._grace

    def _store(self, end: datetime) -> Stored:
        """Write everything that waits and belongs to minutes up to `end`, in one write."""
        ready = {key: bar for key, bar in self._waiting.items() if bar.end_at <= end}
        late = sum(bar.end_at <= self._closed() for bar in ready.values())
        new = corrected = 0
        for rows in self._rows(ready, end):
            written = self.bars.write(rows, self.timeframe, known_at=self.clock.now(), feed=self.stream.feed)
            new, corrected = new + written.new, corrected + written.corrected
        for key in ready:
            del self._waiting[key]
        self._closed_until = max(self._closed(), end)
        self.counts.new += new
        self.counts.corrected += corrected
        return Stored(self._base_end(self._closed()), new, corrected, late)

    def _base_end(self, closed: datetime) -> datetime:
        """End of the newest base bar that is closed when minutes are closed up to there."""
        if closed == self.times.closes_at:
            return closed
        return closed - (closed - self.times.opens_at) % self.timeframe.length

    def _rows(self, ready: Mapping[Key, MinuteBar], end: datetime) -> list[pd.DataFrame]:
        """The bars to write: minutes as they are, or every longer bar that they change and that is closed."""
        is_minute = self.timeframe is Timeframe.MIN1
        chosen = list(ready.values()) if is_minute else self._parts_of_changed(ready, end)
        if not chosen:
            return []
        frame = minute_frame(chosen, self.times)
        return [frame if is_minute else roll_up(frame, self.timeframe, session_table([self.times]))]

    def _parts_of_changed(self, ready: Mapping[Key, MinuteBar], end: datetime) -> list[MinuteBar]:
        """All minutes of longer bars that end by `end` and have a minute that is new since they were last written."""
        closed, before = self._base_end(end), self._base_end(self._closed())
        changed = {(symbol, self._base_start(start)) for symbol, start in ready}
        return [
            bar
            for (symbol, start), bar in self._minutes.items()
            if (before <= self._base_start(start) or (symbol, self._base_start(start)) in changed)
            and self._base_start(start) < closed
        ]

    def _base_start(self, start: datetime) -> datetime:
        return start - (start - self.times.opens_at) % self.timeframe.length

    # silence and gaps

    def _look_after_stream(self) -> None:
        """A new connection has missed what was sent meanwhile; a mute one in session hours is replaced."""
        health, now = self.stream.health(), self.clock.now()
        if health.connections > self._connections:
            self._connections = health.connections
            self.counts.reconnects += 1
            self._tried_at = now
            self._ask_history(self._closed())
        if not self._is_silent(now):
            return
        self.is_stale = True
        if now - self._tried_at < self._silence:
            return
        self._tried_at = now
        log.warning("%s's stream is mute: %s", self.stream.name, health.problem or "no bar though minutes have ended")
        self.stream.reconnect()

    @property
    def _silence(self) -> timedelta:
        return timedelta(seconds=self.rules.silence_seconds)

    def _is_silent(self, now: datetime) -> bool:
        """True when a minute of the session ended that long ago and nothing has come since its end."""
        silence = self._silence
        ended = self.times.opens_at + (min(now, self.times.closes_at) - self.times.opens_at) // MINUTE * MINUTE
        if now > self.times.closes_at + silence or ended <= self.times.opens_at:
            return False
        if now - ended < silence:
            ended -= MINUTE
        return self._heard_at < ended and ended > self.times.opens_at

    def _ask_history(self, since: datetime) -> None:
        """Begin to ask for the session's minutes; one question at a time, its answer covers everything before it."""
        if self._repair is None:
            self._repair = self._repairs.submit(self._missed, since)

    def _missed(self, since: datetime) -> list[MinuteBar]:
        """Minutes from before `since` on. A minute that has just ended may be neither streamed nor complete yet."""
        self.clock.sleep_until(self.clock.now() + self._grace)
        now = self.clock.now()
        size, found = self.history.request_size(Timeframe.MIN1).symbols, list[MinuteBar]()
        for at in range(0, len(self.symbols), size):
            some = [one for one in self.symbols[at : at + size] if one not in self.refused]
            delivery = self.history.bars(some, Timeframe.MIN1, [self.times], now)
            self._require_same_feed(delivery.feed)
            found += [bar for bar in minutes_of(delivery.bars, now) if since - MINUTE <= bar.start_at]
        return [bar for bar in found if bar.end_at + self._grace <= now]

    def _require_same_feed(self, feed: str) -> None:
        if feed != self.stream.feed:
            raise MarketDataError(
                f"the history is of {feed}, the stream of {self.stream.feed}: bars cannot be repaired"
            )

    def _collect_repair(self) -> None:
        if self._repair is None or not self._repair.done():
            return
        asked, self._repair = self._repair, None
        try:
            self.counts.repaired += len(self._keep(asked.result()))
        except MarketDataError as error:
            log.warning("the gap is not repaired: %s", error)


def _key(bar: MinuteBar) -> Key:
    return bar.symbol, bar.start_at


def _equal(one: MinuteBar, other: MinuteBar) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in NUMBERS[:5])


def minute_frame(bars: Sequence[MinuteBar], times: SessionTimes) -> pd.DataFrame:
    """Minute bars of one session as a bar frame."""
    rows = [(bar.symbol, bar.start_at, bar.end_at, *(getattr(bar, name) for name in NUMBERS)) for bar in bars]
    frame = pd.DataFrame(rows, columns=["symbol", "start", "end", *NUMBERS])
    frame.insert(1, "session", pd.Timestamp(times.session))
    instants = {"session": SESSION_NS, "start": UTC_NS, "end": UTC_NS}
    numbers = dict.fromkeys(NUMBERS, "float64")
    return frame.astype({"symbol": "str", **instants, **numbers}).sort_values(["symbol", "start"], ignore_index=True)
