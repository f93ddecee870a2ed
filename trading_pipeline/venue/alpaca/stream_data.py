"""Alpaca's stock data stream: /v2/iex and /v2/sip, one connection per key, driven by the bars the market delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.alpaca.context import DoorContext
from trading_pipeline.venue.alpaca.stream_data_client import StreamClient, StreamError
from trading_pipeline.venue.alpaca.stream_data_codec import Message
from trading_pipeline.venue.alpaca.stream_data_faults import Outcome, Spoiler
from trading_pipeline.venue.alpaca.stream_data_news import News
from trading_pipeline.venue.faults import Fault, FaultRule
from trading_pipeline.venue.hours import halts

FEEDS = ("iex", "sip")
CONNECT = "data.stream.connect"
"""Op of the fault rules for a connection's beginning."""
DENIED = {Fault.HTTP_429: 429, Fault.HTTP_500: 500, Fault.HTTP_504: 504}
WELCOME = {"T": "success", "msg": "connected"}
ADMITTED = {"T": "success", "msg": "authenticated"}


def data_streams(context: DoorContext) -> list[WebSocketRoute]:
    """The stream of each feed."""
    return [WebSocketRoute(f"/v2/{feed}", DataStream(context, feed).serve) for feed in FEEDS]


class DataStream:
    """All connections of one feed. A delivery is encoded once and told to whoever follows it."""

    def __init__(self, context: DoorContext, feed: str) -> None:
        self._context, self._feed, rules = context, feed, context.rules
        volume = rules.iex_volume_fraction if feed == "iex" else Decimal(1)
        self._news, self._spoiler = News(feed, rules.quote_spread_fraction, volume), Spoiler(context.faults)
        self._clients: dict[str, StreamClient] = {}
        context.hub.hear_bars(self._on_bars)

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from its beginning to its end."""
        rule = self._context.faults.next(CONNECT)
        if rule is not None and await self._is_denied(socket, rule):
            return
        await socket.accept()
        client = StreamClient(socket, self._context.rules)
        writing = asyncio.create_task(client.write())
        try:
            await self._attend(client, socket)
        except StreamError as error:
            client.cut(error)
            await writing
        except WebSocketDisconnect:
            pass
        finally:
            writing.cancel()
            self._clients = {key: one for key, one in self._clients.items() if one is not client}

    async def _attend(self, client: StreamClient, socket: WebSocket) -> None:
        client.say(WELCOME)
        key = await self._key_of(client, socket)
        if self._feed == "sip" and not self._context.rules.recent_sip:
            raise StreamError(409)
        if key in self._clients:
            raise StreamError(406)
        self._clients[key] = client
        client.say(ADMITTED)
        await client.listen()

    async def _key_of(self, client: StreamClient, socket: WebSocket) -> str:
        """Shown in headers, else in the first message, in time. Raises StreamError: 402 or 404."""
        shown = tuple(socket.headers.get(f"APCA-API-{name}", "") for name in ("KEY-ID", "SECRET-KEY"))
        if not any(shown):
            try:
                shown = await asyncio.wait_for(_shown(client), self._context.rules.auth_seconds)
            except TimeoutError as error:
                raise StreamError(404) from error
        if not self._context.is_authorized(*shown):
            raise StreamError(402)
        return shown[0]

    def _on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        known = halts(self._context.hub.venue.book())
        news = [*self._news.of_halts(known, now), *self._news.of_bars(bars, self._is_followed)]
        self._play(self._spoiler.spoiled(news))

    def _is_followed(self, channel: str, symbol: str) -> bool:
        return any(client.follows(channel, symbol) for client in self._clients.values())

    def _play(self, outcome: Outcome) -> None:
        self._tell(outcome.now)
        loop = asyncio.get_running_loop()
        for seconds, message in outcome.later:
            loop.call_later(seconds, self._tell, [message])
        if outcome.ending is not None:
            self._end(outcome.ending)

    def _end(self, rule: FaultRule) -> None:
        for client in [*self._clients.values()]:
            if rule.fault is Fault.CLOSE:
                client.cut()
            else:
                client.mute(rule.seconds)

    def _tell(self, messages: Sequence[Message]) -> None:
        for client in self._clients.values():
            client.tell(messages)

    async def _is_denied(self, socket: WebSocket, rule: FaultRule) -> bool:
        """What a script makes of a connection's beginning."""
        if rule.fault is Fault.DELAY:
            await asyncio.sleep(rule.seconds)
        if rule.fault in DENIED:
            await socket.send_denial_response(Response(status_code=DENIED[rule.fault]))
        return rule.fault in DENIED


async def _shown(client: StreamClient) -> tuple[str, str]:
    """The keys of an auth message; any other action is answered that it is too early."""
    while (asked := await client.read())["action"] != "auth":
        client.say(StreamError(401).wire)
    return str(asked.get("key", "")), str(asked.get("secret", ""))
