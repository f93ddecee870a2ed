"""Clients of the data stream for tests: the vendor's own, and a bare socket that says and hears single messages."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
from alpaca.data.live import StockDataStream
from websockets.sync.client import ClientConnection, connect

from trading_pipeline_tests.venue.alpaca.doors import AlpacaDoors

PATIENCE_SECONDS = 10.0


def stream_url(doors: AlpacaDoors, feed: str = "iex") -> str:
    return f"{doors.url.replace('http', 'ws', 1)}/v2/{feed}"


class BareLine:
    """A WebSocket of one of the two codecs."""

    def __init__(self, socket: ClientConnection, *, is_packed: bool) -> None:
        self.socket, self._is_packed = socket, is_packed

    def say(self, **message: Any) -> None:
        self.say_raw(msgpack.packb(message) if self._is_packed else json.dumps(message))

    def say_raw(self, frame: bytes | str) -> None:
        self.socket.send(frame)

    def hear(self, timeout: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """The next array; raises TimeoutError when nothing comes."""
        frame = self.socket.recv(timeout)
        found: list[dict[str, Any]] = (
            msgpack.unpackb(frame, timestamp=3) if isinstance(frame, bytes) else json.loads(frame)
        )
        return found

    def answer(self, **message: Any) -> dict[str, Any]:
        """What a control message comes to: always an array of one."""
        self.say(**message)
        (found,) = self.hear()
        return found

    def subscribe(self, **channels: list[str]) -> dict[str, Any]:
        return self.answer(action="subscribe", **channels)


@contextmanager
def a_bare_line(
    doors: AlpacaDoors, feed: str = "iex", *, is_packed: bool = True, headers: dict[str, str] | None = None
) -> Iterator[BareLine]:
    """Connected and welcomed, not yet authenticated."""
    kind = {"Content-Type": "application/msgpack"} if is_packed else {}
    with connect(stream_url(doors, feed), additional_headers=kind | (headers or {})) as socket:
        line = BareLine(socket, is_packed=is_packed)
        assert line.hear() == [{"T": "success", "msg": "connected"}]
        yield line


@contextmanager
def a_line(doors: AlpacaDoors, feed: str = "iex", *, is_packed: bool = True) -> Iterator[BareLine]:
    """Authenticated."""
    key, secret = doors.keys
    with a_bare_line(doors, feed, is_packed=is_packed) as line:
        assert line.answer(action="auth", key=key, secret=secret) == {"T": "success", "msg": "authenticated"}
        yield line


class Heard:
    """What alpaca-py's stream handed to its handlers, in order, and what else it was told."""

    def __init__(self, doors: AlpacaDoors) -> None:
        self.items: list[Any] = []
        self.at: list[float] = []
        self.is_subscribed = threading.Event()
        self.stream = _Telling(*doors.keys, url_override=stream_url(doors))
        self.stream.heard = self

    async def hear(self, item: Any) -> None:
        self.items.append(item)
        self.at.append(time.perf_counter())

    def wait(self, count: int) -> list[Any]:
        """At least so many; fails when they do not come."""
        until(lambda: len(self.items) >= count, f"{count} items")
        return self.items


class _Telling(StockDataStream):
    """Tells when its subscription was acknowledged."""

    heard: Heard

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        await super()._dispatch(msg)
        if msg["T"] == "subscription":
            self.heard.is_subscribed.set()

    async def end(self) -> None:
        """At once; its own `stop` waits up to five seconds for a message."""
        await self.stop_ws()
        await self.close()


@contextmanager
def the_vendors_stream(doors: AlpacaDoors, subscribe: Callable[[StockDataStream, Any], None]) -> Iterator[Heard]:
    """alpaca-py's own stream running in a thread, its subscription acknowledged."""
    heard = Heard(doors)
    heard.stream._reconnect_min_backoff = heard.stream._reconnect_max_backoff = 0.05
    subscribe(heard.stream, heard.hear)
    thread = threading.Thread(target=heard.stream.run, daemon=True)
    thread.start()
    assert heard.is_subscribed.wait(PATIENCE_SECONDS)
    try:
        yield heard
    finally:
        loop: Any = heard.stream._loop
        asyncio.run_coroutine_threadsafe(heard.stream.end(), loop).result(PATIENCE_SECONDS)
        thread.join(PATIENCE_SECONDS)


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        time.sleep(0.005)
