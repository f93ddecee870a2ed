"""Alpaca's stream of order news: a reason to look, at once, and never what is booked.

Nothing is replayed after a break, and events may be lost, doubled or out of order: whoever hears of one asks REST how
orders stand. So does whoever hears of a (re)connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from alpaca.trading.stream import TradingStream
from websockets.exceptions import WebSocketException

from trading_pipeline.adapters.brokers.alpaca.keys import AlpacaKeys
from trading_pipeline.domain.broker_rules import AlpacaRules

log = logging.getLogger(__name__)
FRAMES = logging.getLogger(f"{__name__}.frames")
FRAMES.setLevel(logging.INFO)  # below, the socket's library logs what is sent, our keys among it
LISTEN = json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}})
STOP_SECONDS, CANCEL_AGAIN_SECONDS = 10.0, 0.2


@dataclass(frozen=True, slots=True)
class NewsHealth:
    """is_connected: authenticated and heard from lately. connections: so far. problem: the last one, in words."""

    is_connected: bool
    connections: int
    problem: str = ""


class AlpacaOrderNews:
    """The stream in a thread of its own. Both callbacks are called in that thread: they must only leave a note.

    on_news: something happened to an order. on_connected: the stream is (re)connected, so anything may have been
    missed: reconcile. A stream that says nothing for `stream_silence_seconds`, though asked, is opened anew.
    """

    def __init__(
        self,
        rules: AlpacaRules,
        keys: AlpacaKeys,
        *,
        on_news: Callable[[], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._stream = _Stream(rules, keys, on_news, on_connected)
        self._thread = threading.Thread(target=self._run, name="alpaca-order-news", daemon=True)

    def start(self) -> None:
        """Connect, and stay connected; returns at once."""
        self._thread.start()

    def health(self) -> NewsHealth:
        """How the stream stands."""
        return self._stream.health

    def stop(self) -> None:
        """Disconnect, and wait until the thread has ended."""
        self._stream.end()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._stream.live())


async def _cancelled(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel until all have ended: before Python 3.12 a cancellation that meets an answer may be lost."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)


class _Stream(TradingStream):
    """The client library's stream, which reconnects with growing waits, with a heartbeat and fresh keys."""

    _ws: Any
    _running: bool

    def __init__(
        self, rules: AlpacaRules, keys: AlpacaKeys, on_news: Callable[[], None], on_connected: Callable[[], None]
    ) -> None:
        silence = rules.stream_silence_seconds
        frames = {"ping_interval": silence / 2, "ping_timeout": silence, "close_timeout": 1, "logger": FRAMES}
        super().__init__(
            "-",
            "-",
            raw_data=True,
            url_override=rules.trading_stream_url,
            websocket_params={"max_queue": 1024, **frames},
        )
        self._keys, self._silence = keys, silence
        self._on_news, self._on_connected = on_news, on_connected
        self._heard_at = 0.0
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._living: asyncio.Future[Any] | None = None
        self._is_over = threading.Event()
        self.health = NewsHealth(is_connected=False, connections=0)
        self.subscribe_trade_updates(self._hear)

    async def live(self) -> None:
        """Run until `end`."""
        self._own_loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(work) for work in (self._run_forever(), self._beat())]  # type: ignore[no-untyped-call]
        living = self._living = asyncio.gather(*tasks)
        if self._is_over.is_set():
            living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        await _cancelled(tasks)
        if self._ws is not None:
            await self._ws.close()
        self._disconnected("stopped")

    def end(self) -> None:
        """Ask it to end, from another thread."""
        self._is_over.set()
        loop, living = self._own_loop, self._living
        if loop is not None and living is not None and not loop.is_closed():
            with suppress(RuntimeError):  # it has ended between the question and here
                loop.call_soon_threadsafe(living.cancel)

    async def _start_ws(self) -> None:
        self._api_key, self._secret_key = self._keys.pair()
        try:
            await super()._start_ws()  # type: ignore[no-untyped-call]
        except Exception as error:
            self._disconnected(f"{type(error).__name__}: {error}")
            if isinstance(error, ValueError):
                self._keys.refresh()
            raise
        self._heard_at = asyncio.get_running_loop().time()
        self.health = NewsHealth(is_connected=True, connections=self.health.connections + 1)
        self._on_connected()

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        await super()._dispatch(msg)

    async def _hear(self, _: Any) -> None:
        self._on_news()

    async def close(self) -> None:
        self._disconnected("the connection ended")
        await super().close()

    async def _beat(self) -> None:
        """Ask for a sign of life when it is quiet; Alpaca answers a repeated "listen" and changes nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._silence / 4)
            quiet = loop.time() - self._heard_at
            if self._ws is None or not self._running or quiet < self._silence / 2:
                continue
            if quiet >= self._silence:
                log.warning("Alpaca's stream said nothing for %.0f s; it is opened anew", quiet)
                self._heard_at = loop.time()
                self._disconnected("silence")
                self._ws.transport.abort()
            else:
                await self._ask()

    async def _ask(self) -> None:
        ws = self._ws
        if ws is None or not ws.open:
            return
        with suppress(WebSocketException, TimeoutError, OSError):  # whoever reads from it notices, and reconnects
            await asyncio.wait_for(ws.send(LISTEN), self._silence / 4)

    def _disconnected(self, problem: str) -> None:
        if self.health.is_connected or problem != "the connection ended":
            self.health = NewsHealth(is_connected=False, connections=self.health.connections, problem=problem)
