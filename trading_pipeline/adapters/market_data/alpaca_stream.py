"""Alpaca's live minute bars: the vendor's own, with its corrections, through alpaca-py's stream in a thread."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from alpaca.data.enums import DataFeed
from alpaca.data.live import StockDataStream

from trading_pipeline.adapters.market_data.alpaca import AlpacaMarketData
from trading_pipeline.adapters.market_data.live import LiveStream
from trading_pipeline.domain.bar_building import UNKNOWN, MinuteBar
from trading_pipeline.domain.broker_rules import AlpacaRules
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.ports import Clock, TradingCalendar

log = logging.getLogger(__name__)
logging.getLogger("alpaca.data.live.websocket").setLevel(
    logging.CRITICAL
)  # what it says is said here, without tracebacks
CONNECT_ATTEMPTS = 3
ADVICE = {
    401: "authenticate first: this is a fault of the program",
    402: "the keys are refused: set TRADING_PIPELINE__BROKER__ALPACA__KEY_ID and __SECRET_KEY",
    404: "the keys were sent too late: look at the network",
    405: "more symbols than the plan streams (30 on the free one): stream fewer, or subscribe to more",
    406: "another connection with these keys is open: one is allowed; stop the other program",
    407: "this program read too slowly: stream fewer symbols",
    409: "the plan does not include this feed: set broker.alpaca.feed: iex",
}
"""What the stream's error codes ask for."""
CODES = {"auth failed": 402, "auth timeout": 404, "connection limit": 406, "insufficient subscription": 409}
"""Errors before a stream begins come through the library as words alone."""
FATAL = {401, 402, 405, 409}
"""Errors that opening another connection does not cure."""


class AlpacaLiveBars(LiveStream):
    """Implements LiveBars. The client library reconnects by itself; every reconnection is told through on_disconnect.

    What was missed meanwhile is not replayed by Alpaca: whoever reads the stream asks the history for it.
    """

    name = "alpaca"

    def __init__(self, rules: AlpacaRules, history: AlpacaMarketData, calendar: TradingCalendar, clock: Clock) -> None:
        super().__init__(history, calendar, clock)
        self._rules = rules
        self.on_disconnect: Callable[[str], None] = lambda reason: log.warning("the stream ended: %s", reason)
        self._arrived: queue.SimpleQueue[MinuteBar] = queue.SimpleQueue()
        self._symbols: tuple[str, ...] = ()
        self._news = threading.Condition()
        self._line: _Line | None = None
        self._thread: threading.Thread | None = None
        self._acknowledged = frozenset[str]()

    @property
    def feed(self) -> str:
        """iex or sip."""
        return self._rules.feed

    def connect(self) -> None:
        """Nothing is sent before there are symbols: the connection is opened by `subscribe`."""

    def subscribe(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """Stream bars and corrected bars of these symbols; returns once Alpaca has acknowledged them.

        Alpaca acknowledges a symbol it does not know like any other. Raises MarketDataError for wrong keys, a refused
        connection, too many symbols, or no answer.
        """
        self._end()
        self._symbols, self._problem, self._acknowledged = tuple(symbols), "", frozenset()
        self._begin()
        wanted, patience = frozenset(symbols), self._rules.timeout_seconds * CONNECT_ATTEMPTS
        with self._news:
            answered = self._news.wait_for(lambda: wanted <= self._acknowledged or self._problem, patience)
        if self._problem or not answered:
            self._end()
            raise MarketDataError(
                f"Alpaca's stream at {self._url} gives no bars: {self._problem or f'no answer in {patience:g} s'}."
            )
        return {}

    def take(self, timeout_seconds: float) -> Sequence[MinuteBar]:
        """Bars that came since the last call; waits for the first at most so long."""
        try:
            found = [self._arrived.get(timeout=max(timeout_seconds, 0.001))]
        except queue.Empty:
            return []
        while not self._arrived.empty():
            found.append(self._arrived.get())
        return found

    def reconnect(self) -> None:
        """Give the connection up and open another; returns before it is open."""
        self._end()
        self._begin()

    def disconnect(self) -> None:
        """End the stream."""
        self._end()

    @property
    def _url(self) -> str:
        return f"{self._rules.data_stream_url.rstrip('/')}/{self._rules.feed}"

    def _begin(self) -> None:
        line = _Line(self._rules, self._url, self._on_control, self._on_line)
        self._line = line
        line.subscribe_bars(self._on_bar, *self._symbols)
        line.subscribe_updated_bars(self._on_bar, *self._symbols)
        self._thread = threading.Thread(target=line.run, name="alpaca-bars", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        line, thread = self._line, self._thread
        self._line = self._thread = None
        if line is not None and thread is not None:
            line.end()
            thread.join(self._rules.timeout_seconds)
        self._is_connected = False

    async def _on_bar(self, message: Any) -> None:
        self._last_at = self._clock.now()
        bar = _minute(message, self._last_at)
        if bar is not None:
            self._arrived.put(bar)

    def _on_control(self, message: Mapping[str, Any]) -> None:
        """An acknowledgement or an error of the vendor, from the stream's thread."""
        self._last_at = self._clock.now()
        with self._news:
            if message.get("T") == "subscription":
                self._acknowledged = frozenset(message.get("bars") or ())
                self._problem = ""
            else:
                self._problem = told(message)
                log.error("Alpaca's stream: %s", self._problem)
            self._news.notify_all()

    def _on_line(self, reason: str) -> None:
        """The connection was opened (no reason), or has ended."""
        was_connected, self._is_connected = self._is_connected, not reason
        self._connections += self._is_connected
        if was_connected and reason and self._line is not None:
            self.on_disconnect(reason)


class _Line(StockDataStream):
    """alpaca-py's stream, which neither tells of connections nor of refusals, made to tell; it ends on a fatal one."""

    def __init__(
        self,
        rules: AlpacaRules,
        url: str,
        on_control: Callable[[Mapping[str, Any]], None],
        on_line: Callable[[str], None],
    ) -> None:
        super().__init__(
            rules.key_id.get_secret_value(), rules.secret_key.get_secret_value(), raw_data=True,
            feed=DataFeed(rules.feed), url_override=url,
            websocket_params={"ping_interval": 10, "ping_timeout": 30, "max_queue": 4096},
        )  # fmt: skip
        self._on_control, self._on_line, self._is_over = on_control, on_line, False

    async def _start_ws(self) -> None:
        if self._is_over:
            self._should_run = False
            raise ValueError("ended before it began")
        try:
            await super()._start_ws()
        except Exception as refusal:
            # the library tries for ever, refused keys too, and tells nobody
            text = str(refusal) or type(refusal).__name__
            code = next((code for words, code in CODES.items() if words in text), 0)
            self._should_run = code not in FATAL
            self._on_control({"code": code, "msg": text})
            raise
        self._on_line("")

    async def close(self) -> None:
        await super().close()
        self._on_line("the connection was closed")

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        if msg.get("T") in {"error", "subscription"}:
            self._on_control(msg)
            if msg.get("code") in FATAL:
                await self.stop_ws()
            return
        await super()._dispatch(msg)

    def end(self) -> None:
        """Stop, from another thread; the connection is closed when the stream's own thread ends."""
        self._is_over = True
        self._should_run = False
        loop: asyncio.AbstractEventLoop | None = getattr(self, "_loop", None)
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self._leave(), loop)

    async def _leave(self) -> None:
        await self.stop_ws()
        socket: Any = getattr(self, "_ws", None)
        if socket is not None:
            await socket.close()


def told(message: Mapping[str, Any]) -> str:
    """An error of the stream in words, with what to do."""
    code, text = message.get("code"), message.get("msg", "no reason given")
    advice = ADVICE.get(code) if isinstance(code, int) else None
    return f"{text} (code {code})" + (f": {advice}" if advice else "")


def _minute(message: Mapping[str, Any], arrived_at: datetime) -> MinuteBar | None:
    """The bar a message tells of; None (and a warning) for one that cannot be read."""
    try:
        return MinuteBar(
            symbol=str(message["S"]), start_at=_instant(message["t"]), arrived_at=arrived_at,
            open=float(message["o"]), high=float(message["h"]), low=float(message["l"]), close=float(message["c"]),
            volume=float(message["v"]), vwap=float(message.get("vw") or UNKNOWN),
            trade_count=float(message.get("n", UNKNOWN)),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        log.warning("a bar of Alpaca's stream cannot be read (%s): %s", error, message)
        return None


def _instant(stamp: Any) -> datetime:
    """A msgpack timestamp (or an ISO text) as aware UTC."""
    at: datetime = stamp.to_datetime() if hasattr(stamp, "to_datetime") else datetime.fromisoformat(str(stamp))
    if at.tzinfo is None:
        raise ValueError(f"{stamp!r} has no time zone")
    return at.astimezone(UTC)
