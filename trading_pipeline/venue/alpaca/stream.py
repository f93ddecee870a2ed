"""The trade_updates WebSocket: binary frames of JSON, nothing replayed to who comes late.

Fault scripts name it "stream" (each piece of news, by the order's client id) and "stream.connect".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from trading_pipeline.venue.alpaca.context import DoorContext
from trading_pipeline.venue.alpaca.distortion import distorted, torn
from trading_pipeline.venue.alpaca.model import News
from trading_pipeline.venue.alpaca.orders import Orders
from trading_pipeline.venue.alpaca.rendering import news_json
from trading_pipeline.venue.faults import NOT_DONE, UNANSWERED, Fault, FaultRule

TRADE_UPDATES = "trade_updates"
GOING_AWAY, POLICY = 1001, 1008
DENIALS = NOT_DONE | UNANSWERED | {Fault.HTTP_504, Fault.HTML_BODY, Fault.CLOSE}
"""Under these a connection is refused; under any other it is made."""
Frame = bytes | None
"""None closes the socket."""


class Listener:
    """One connection: what it is to be sent, and whether it is mute."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.is_mute = False

    def send(self, frame: Frame) -> None:
        if not self.is_mute or frame is None:
            self.frames.put_nowait(frame)


class TradeUpdates:
    """Who listens, and what reaches them."""

    def __init__(self, context: DoorContext, orders: Orders) -> None:
        self._context, self._orders = context, orders
        self._listeners: list[Listener] = []
        self._kept_back: list[bytes] = []

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/stream", self.serve)]

    @property
    def listening(self) -> int:
        """Connections that are told."""
        return len(self._listeners)

    # telling

    def tell(self, news: Sequence[News]) -> None:
        """Send news to every listener, as the faults let it through."""
        for one in news:
            rule = self._context.faults.next("stream", one.order.client_order_id)
            self._play(rule, self._frame(one, rule))

    def _frame(self, news: News, rule: FaultRule | None) -> bytes:
        text = json.dumps(distorted(news_json(self._orders, news), rule), separators=(",", ":"))
        return (torn(text) if rule is not None and rule.fault is Fault.MALFORMED else text).encode()

    def _play(self, rule: FaultRule | None, frame: bytes) -> None:
        fault = None if rule is None else rule.fault
        if fault is Fault.OMIT:
            return
        if fault is Fault.REORDER:
            self._kept_back.append(frame)
            return
        if rule is not None and fault is Fault.STALL:
            self._mute(rule.seconds)
        elif rule is not None and fault is Fault.DELAY:
            asyncio.get_running_loop().call_later(rule.seconds, self._broadcast, frame)
        elif fault in {Fault.CLOSE, Fault.RESET, Fault.DROP_REPLY}:
            self._broadcast(None)
        else:
            self._broadcast(*([frame] * (2 if fault is Fault.DUPLICATE else 1)), *self._kept_back)
            self._kept_back.clear()

    def _broadcast(self, *frames: Frame) -> None:
        for listener in tuple(self._listeners):
            for frame in frames:
                listener.send(frame)

    def _mute(self, seconds: float) -> None:
        """Connected and silent; what happens meanwhile is never told. 0 seconds: until it reconnects."""
        muted = tuple(self._listeners)
        for listener in muted:
            listener.is_mute = True
        if seconds:
            asyncio.get_running_loop().call_later(seconds, _unmute, muted)

    # serving

    async def serve(self, socket: WebSocket) -> None:
        rule = self._context.faults.next("stream.connect")
        if rule is not None and rule.fault is Fault.DELAY:
            await asyncio.sleep(rule.seconds)
        elif rule is not None and rule.fault in DENIALS:
            await socket.close(POLICY)
            return
        await socket.accept()
        listener = Listener()
        sending = asyncio.create_task(_send_all(socket, listener))
        try:
            await self._converse(socket, listener)
        except WebSocketDisconnect:
            pass
        finally:
            if listener in self._listeners:
                self._listeners.remove(listener)
            sending.cancel()

    async def _converse(self, socket: WebSocket, listener: Listener) -> None:
        is_authorized = False
        while True:
            asked = _read(await socket.receive())
            data = asked.get("data") if isinstance(asked.get("data"), dict) else asked
            assert isinstance(data, dict), "one of two dicts"
            action = asked.get("action")
            if action in {"authenticate", "auth"}:
                is_authorized = self._authorize(data, listener)
            elif action == "listen" and is_authorized:
                self._listen(data, listener)
            else:
                listener.send(_answer("authorization", status="unauthorized", action=str(action)))

    def _authorize(self, data: dict[str, Any], listener: Listener) -> bool:
        """Both spellings of the key are taken."""
        key_id, secret = data.get("key_id", data.get("key")), data.get("secret_key", data.get("secret"))
        is_known = self._context.is_authorized(str(key_id), str(secret))
        status = "authorized" if is_known else "unauthorized"
        listener.send(_answer("authorization", status=status, action="authenticate"))
        return is_known

    def _listen(self, data: dict[str, Any], listener: Listener) -> None:
        asked = data.get("streams")
        streams = [TRADE_UPDATES] if isinstance(asked, list) and TRADE_UPDATES in asked else []
        listener.send(_answer("listening", streams=streams))
        if streams and listener not in self._listeners:
            self._listeners.append(listener)
        elif not streams and listener in self._listeners:
            self._listeners.remove(listener)


async def _send_all(socket: WebSocket, listener: Listener) -> None:
    while (frame := await listener.frames.get()) is not None:
        await socket.send_bytes(frame)
    await socket.close(GOING_AWAY)


def _unmute(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.is_mute = False


def _read(message: Any) -> dict[str, Any]:
    """A client's frame, text or binary; raises WebSocketDisconnect for its end."""
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", GOING_AWAY))
    try:
        asked = json.loads(message.get("text") or message.get("bytes") or b"")
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _answer(stream: str, **data: Any) -> bytes:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
