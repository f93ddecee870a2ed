"""Live minutes from Interactive Brokers, made here of its five-second bars: IB has no stream of minute bars."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, timedelta
from typing import Any

from trading_pipeline.adapters.market_data.ib import LONGEST_WAIT_SECONDS, IbMarketData
from trading_pipeline.adapters.market_data.ib_line import (
    CONNECTION_LOST,
    RESTORED,
    RESTORED_EMPTY,
    Refused,
    told,
)
from trading_pipeline.adapters.market_data.live import LiveStream
from trading_pipeline.domain.bar_building import LiveRules, MinuteBar, MinuteBuilder, Piece
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.ports import Clock, TradingCalendar

log = logging.getLogger(__name__)
REFUSALS = {200, 354, 420, 10089, 10197}
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 1.0, 60.0
SETTLE_SECONDS = 1.0
"""How long after the last request a refusal is waited for: IB does not acknowledge a subscription."""


class IbLiveBars(LiveStream):
    """Implements LiveBars. Lines are given back when it disconnects; a lost connection is made again with back-off."""

    name, feed = "ib", "ib"

    def __init__(self, history: IbMarketData, rules: LiveRules, calendar: TradingCalendar, clock: Clock) -> None:
        super().__init__(history, calendar, clock)
        self._history, self._line = history, history.line
        self.on_disconnect: Callable[[str], None] = lambda reason: log.warning("the stream ended: %s", reason)
        self.builder = MinuteBuilder(timedelta(seconds=rules.grace_seconds), timedelta(minutes=rules.late_minutes))
        self._arrived = threading.Condition()
        self._lines: dict[int, tuple[str, Any]] = {}
        self._refused: dict[str, str] = {}
        self._symbols: tuple[str, ...] = ()
        self._again: Future[None] | None = None
        self._line.on_error, self._line.on_lost = self._on_error, self._on_lost

    def connect(self) -> None:
        """Open the connection; raises MarketDataError with what to do."""
        self._line.call(self._line.connected(), self._line.rules.timeout_seconds)
        self._is_connected, self._connections = True, self._connections + 1

    def subscribe(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """Ask for five-second bars of each symbol, as many as lines and pacing allow; returns those refused."""
        rules = self._line.rules
        most = min(rules.market_data_lines, rules.historical_requests_per_10_minutes)
        self._symbols = tuple(symbols[:most])
        self._refused = dict.fromkeys(
            symbols[most:], f"{most} live symbols are what broker.ib.market_data_lines and IB's pacing allow"
        )
        self._line.call(self._subscribe(), LONGEST_WAIT_SECONDS)
        return dict(self._refused)

    def take(self, timeout_seconds: float) -> Sequence[MinuteBar]:
        """Minutes that have closed since the last call; waits for news at most so long."""
        with self._arrived:
            found = self.builder.closed(self._clock.now())
            if not found:
                self._arrived.wait(timeout_seconds)
                found = self.builder.closed(self._clock.now())
            return found

    def reconnect(self) -> None:
        """Hang up; the loss is noticed, and another connection made."""
        self._line.thread.start(self._hang_up())

    def disconnect(self) -> None:
        """Give every line back."""
        if self._again is not None:
            self._again.cancel()
        try:
            self._line.call(self._release(), self._line.rules.timeout_seconds)
        except MarketDataError as error:
            log.warning("lines could not be given back: %s", error)
        self._is_connected = False

    async def _subscribe(self) -> None:
        for symbol in self._symbols:
            try:
                contract = await self._history.contract(symbol)
            except Refused as refusal:
                self._refused[symbol] = str(refusal)
                continue
            await self._line.pacing.take(symbol, object())  # no request like another
            ib = await self._line.connected()
            bars = ib.reqRealTimeBars(contract, 5, "TRADES", True)
            self._lines[bars.reqId] = symbol, bars
            bars.updateEvent += self._on_bar
        await asyncio.sleep(SETTLE_SECONDS)

    async def _release(self) -> None:
        lines, self._lines = self._lines, {}
        ib = self._line.ib
        if ib is not None and ib.isConnected():
            for _, bars in lines.values():
                ib.cancelRealTimeBars(bars)

    async def _hang_up(self) -> None:
        if self._line.ib is not None:
            self._line.ib.disconnect()

    def _on_bar(self, bars: Any, _is_new: bool) -> None:
        symbol, _ = self._lines.get(bars.reqId, ("", None))
        bar = bars[-1]
        del bars[:-1]
        self._last_at = self._clock.now()
        with self._arrived:
            self.builder.add(_piece(symbol, bar), self._last_at)
            self._arrived.notify_all()

    def _on_error(self, request: int, code: int, text: str) -> None:
        if code == CONNECTION_LOST:
            self._is_connected, self._problem = False, told(code, text)
            self.on_disconnect(self._problem)
        elif code in {RESTORED, RESTORED_EMPTY}:
            self._is_connected, self._problem = True, ""
            self._connections += 1
            if code == RESTORED_EMPTY:  # every subscription is gone
                self._lines = {}
                self._line.thread.start(self._subscribe())
        elif request in self._lines and code in REFUSALS:
            symbol, _ = self._lines.pop(request)
            self._refused[symbol] = told(code, text)

    def _on_lost(self, reason: str) -> None:
        was_connected, self._is_connected, self._lines = self._is_connected, False, {}
        if was_connected:
            self.on_disconnect(reason)
        if self._symbols and (self._again is None or self._again.done()):
            self._again = self._line.thread.start(self._connect_again())

    async def _connect_again(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            await asyncio.sleep(wait)
            try:
                await self._line.connected()
                await self._subscribe()
            except MarketDataError as error:
                self._problem, wait = str(error), min(2 * wait, MOST_WAIT_SECONDS)
                log.warning("%s", error)
            else:
                self._is_connected, self._problem, self._connections = True, "", self._connections + 1
                return


def _piece(symbol: str, bar: Any) -> Piece:
    """A five-second bar; its time is its start."""
    return Piece(
        symbol=symbol, at=bar.time.astimezone(UTC), open=float(bar.open_), high=float(bar.high), low=float(bar.low),
        close=float(bar.close), volume=float(bar.volume), vwap=float(bar.wap), trade_count=float(bar.count), key="5s",
    )  # fmt: skip
