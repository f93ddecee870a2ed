"""One connection to a data stream: what it may ask, what it follows, and what waits to be written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from trading_pipeline.venue.alpaca.data_wire import Wire
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.alpaca.stream_data_codec import JSON, PACKED, Codec, Message, frames
from trading_pipeline.venue.door import ABORT

CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
COUNTED = ("trades", "quotes")
"""A limited plan counts these; of minute bars it may follow any number."""
FOLLOWING_TRADES = ("corrections", "cancelErrors")
OF_OTHER_FEEDS = ("orderbooks", "news")
LINGER_SECONDS = 2.0
"""A client that does not read why it is cut is cut all the same."""
EVERYTHING = "*"
TEXTS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
}


class StreamError(Exception):
    """What the stream answers instead, by its code."""

    def __init__(self, code: int) -> None:
        super().__init__(TEXTS[code])
        self.code = code

    @property
    def wire(self) -> Wire:
        return {"T": "error", "code": self.code, "msg": TEXTS[self.code]}


class StreamClient:
    """One connection. Who speaks to it never waits: what it does not read is kept, up to a limit."""

    def __init__(self, socket: WebSocket, rules: AlpacaDoorRules) -> None:
        self._socket, self._rules = socket, rules
        self._codec: Codec = PACKED if "msgpack" in socket.headers.get("content-type", "") else JSON
        self._unread: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._mute_until = 0.0
        self._is_cut = False
        self._followed: dict[str, set[str]] = {name: set() for name in CHANNELS}

    def follows(self, channel: str, symbol: str) -> bool:
        """True when it subscribed to that."""
        followed = self._followed[channel]
        return symbol in followed or EVERYTHING in followed

    def say(self, wire: Wire) -> None:
        """A control message: an array of its own."""
        self._put(self._codec.array([self._codec.one(wire)]))

    def tell(self, messages: Sequence[Message]) -> None:
        """Those it follows, unless it is mute; one that leaves too much unread is cut."""
        if self._is_cut or asyncio.get_running_loop().time() < self._mute_until:
            return
        for frame in frames([one for one in messages if self.follows(one.channel, one.symbol)], self._codec):
            self._put(frame)
        if self._unread.qsize() > self._rules.unread_limit:
            self._unread = asyncio.Queue()
            self.cut(StreamError(407))

    def mute(self, seconds: float) -> None:
        """The socket stays open and tells nothing of the market; 0 seconds: for good."""
        now = asyncio.get_running_loop().time()
        self._mute_until = now + seconds if seconds else float("inf")

    def cut(self, error: StreamError | None = None) -> None:
        """Say why, then close; without a reason the connection ends at once, without a word."""
        self._is_cut = True
        abort: Callable[[], None] = self._socket.scope[ABORT]
        if error is None:
            abort()
            return
        self.say(error.wire)
        self._put(None)
        asyncio.get_running_loop().call_later(LINGER_SECONDS, abort)

    async def write(self) -> None:
        """Send what waits, in order, until the end."""
        while (frame := await self._unread.get()) is not None:
            if isinstance(frame, bytes):
                await self._socket.send_bytes(frame)
            else:
                await self._socket.send_text(frame)
        await self._socket.close()

    async def listen(self) -> None:
        """Answer whatever it asks, until it goes. Raises StreamError for what ends the connection."""
        while True:
            asked = await self.read()
            try:
                self._answer(asked)
            except StreamError as error:
                self.say(error.wire)

    async def read(self) -> dict[str, Any]:
        """The next action; what is none is answered and not returned. Raises WebSocketDisconnect at the end."""
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1006))
            frame = received.get("bytes") or received.get("text") or ""
            try:
                asked = self._codec.read(frame)
            except ValueError:
                asked = None
            if isinstance(asked, dict) and isinstance(asked.get("action"), str):
                return asked
            self.say(StreamError(400).wire)

    def _answer(self, asked: dict[str, Any]) -> None:
        action = asked.pop("action")
        if action == "auth":
            raise StreamError(403)
        if action not in {"subscribe", "unsubscribe"}:
            raise StreamError(400)
        changed = self._changed(asked, is_more=action == "subscribe")
        if not self._rules.recent_sip and _count(changed) > self._rules.symbol_limit:
            raise StreamError(405)
        self._followed = changed
        self.say(self._subscription())

    def _changed(self, asked: dict[str, Any], *, is_more: bool) -> dict[str, set[str]]:
        """The subscriptions after it, all or nothing."""
        followed = {name: set(symbols) for name, symbols in self._followed.items()}
        for name, symbols in asked.items():
            if name in OF_OTHER_FEEDS:
                raise StreamError(410)
            if (
                name not in followed
                or not isinstance(symbols, list)
                or not all(isinstance(one, str) for one in symbols)
            ):
                raise StreamError(400)
            followed[name] = followed[name] | set(symbols) if is_more else followed[name] - set(symbols)
        return followed

    def _subscription(self) -> Wire:
        told = {name: sorted(symbols) for name, symbols in self._followed.items()}
        return {"T": "subscription"} | told | dict.fromkeys(FOLLOWING_TRADES, told["trades"])

    def _put(self, frame: bytes | str | None) -> None:
        self._unread.put_nowait(frame)


def _count(followed: dict[str, set[str]]) -> float:
    """Symbols that count; everything is more than any limit."""
    counted = [followed[name] for name in COUNTED]
    return float("inf") if any(EVERYTHING in symbols for symbols in counted) else sum(map(len, counted))
