"""Market data that goes on until it is cancelled: ticks, five-second bars, historical bars kept up to date."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.tws.session import Session
from trading_pipeline.venue.tws.wire import Message

DELAY = timedelta(minutes=15)
Render = Callable[[MarketBar], Iterable[Message]]


@dataclass(frozen=True, slots=True)
class Stream:
    """One subscription of one client. takes_line: it counts against the lines of market data."""

    session: Session
    request_id: int
    symbol: str
    render: Render
    is_delayed: bool = False
    takes_line: bool = True


@dataclass(slots=True)
class Streams:
    """All subscriptions of a door, and the last bars they are about. `tell` is how news of the market goes out."""

    lines: int
    tell: Callable[[Session, Sequence[Message]], None]
    _open: dict[tuple[int, int], Stream] = field(default_factory=dict)
    _recent: dict[str, deque[MarketBar]] = field(default_factory=dict)

    def add(self, stream: Stream) -> bool:
        """Begin; False when every line is taken."""
        taken = sum(one.takes_line for one in self._open.values())
        if stream.takes_line and taken >= self.lines:
            return False
        self._open[stream.session.client_id, stream.request_id] = stream
        return True

    def end(self, session: Session, request_id: int) -> bool:
        """Release one; False when there was none."""
        return self._open.pop((session.client_id, request_id), None) is not None

    def end_all(self, session: Session | None = None) -> None:
        """Release a client's, or everybody's."""
        for key, stream in list(self._open.items()):
            if session is None or stream.session is session:
                del self._open[key]

    def last(self, symbol: str, now: datetime, *, is_delayed: bool) -> MarketBar | None:
        """The newest bar a client may see of a symbol."""
        ends_by = now - DELAY if is_delayed else now
        return next((bar for bar in reversed(self._recent.get(symbol, ())) if bar.end_at <= ends_by), None)

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """The market moved. Live streams get its bars, delayed ones those that have become old enough."""
        live: dict[str, list[MarketBar]] = {}
        for bar in sorted(bars, key=lambda bar: bar.end_at):
            live.setdefault(bar.symbol, []).append(bar)
            self._keep(bar, now)
        old = {symbol: self.last(symbol, now, is_delayed=True) for symbol in live}
        for stream in list(self._open.values()):
            late = old.get(stream.symbol)
            fresh = live.get(stream.symbol, []) if not stream.is_delayed else [late] if late else []
            if messages := [message for bar in fresh for message in stream.render(bar)]:
                self.tell(stream.session, messages)

    def _keep(self, bar: MarketBar, now: datetime) -> None:
        """As far back as a delayed client looks, and one bar more."""
        kept = self._recent.setdefault(bar.symbol, deque())
        kept.append(bar)
        while len(kept) > 1 and kept[1].end_at <= now - DELAY:
            kept.popleft()
