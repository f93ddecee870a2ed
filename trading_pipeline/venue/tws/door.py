"""The venue's TWS door on loopback: an asyncio server that speaks to the vendor's clients as TWS and Gateway do."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Sequence

from trading_pipeline.domain.errors import InputError, TradingPipelineError
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.contracts import Contracts
from trading_pipeline.venue.tws.desk import Desk
from trading_pipeline.venue.tws.news import OrderNews
from trading_pipeline.venue.tws.order_messages import error
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.requests import (
    AccountRequests,
    OrderRequests,
    Request,
    managed_accounts,
    next_valid_id,
)
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.session import NOT_STARTED, Pace, Session
from trading_pipeline.venue.tws.wire import (
    HELLO,
    OLDEST_CLIENT,
    SERVER_VERSION,
    Fields,
    Message,
    encoded,
    fields_of,
    local_time,
    read_frame,
)

LOG = logging.getLogger(__name__)
START_API = 71
FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)


class TwsDoor:
    """Clients of one venue, each under a client id of its own."""

    def __init__(self, hub: Hub, rules: TwsDoorRules | None = None, faults: Faults | None = None) -> None:
        self._hub, self.rules, self.faults = hub, rules or TwsDoorRules(), faults or Faults()
        self.account = Account(hub, self.rules.account or hub.venue.rules.account)
        contracts = Contracts(hub, self.rules.symbols)
        self.sessions: dict[int, Session] = {}
        self.desk = Desk(hub, self.rules, contracts, self.account.name, self._say)
        news = OrderNews(hub, self.desk, self.account, self._tell)
        hub.hear_reports(news.on_reports)
        hub.hear_bars(news.on_bars)
        parts = (OrderRequests(hub, self.desk, self.rules), AccountRequests(hub, self.account, contracts))
        self._requests: dict[int, Request] = {number: one for part in parts for number, one in part.table.items()}

    async def serve(self, listening: socket.socket) -> None:
        """Take connections until cancelled."""
        server = await asyncio.start_server(self._greet, sock=listening)
        try:
            async with server:
                await server.serve_forever()
        finally:
            for session in list(self.sessions.values()):
                session.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection from its hello to its end."""
        session = Session(writer, Pace(self.rules.messages_per_second))
        try:
            writer.write(encoded((await _version(reader), local_time(self._hub.time.now()))))
            while not writer.is_closing():
                await self._hear(session, Fields(fields_of(await read_frame(reader))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, struct.error):
            LOG.info("client %s left", session.client_id)
        except TradingPipelineError as trouble:
            LOG.error("client %s was cut off: %s", session.client_id, trouble)  # noqa: TRY400 - what is wrong is said
        finally:
            if self.sessions.get(session.client_id) is session:
                del self.sessions[session.client_id]
            writer.close()

    async def _hear(self, session: Session, fields: Fields) -> None:
        number = fields.to(0).whole()
        if number == START_API and session.client_id == NOT_STARTED:
            return self._start(session, fields.to(2).whole())
        if session.client_id == NOT_STARTED:
            raise InputError(f"message {number} before the API was started")
        if session.pace.is_over():
            session.say(error(-1, 100, "Max rate of messages per second has been exceeded."))
            return session.close() if session.pace.strikes >= self.rules.strikes else None
        request = self._requests.get(number)
        if request is None:
            return session.say(error(-1, 320, f"Server error when reading an API client request: message {number}"))
        return request.run(session, fields)

    def _start(self, session: Session, client_id: int) -> None:
        if client_id in self.sessions:
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            session.say(error(-1, 326, text))
            return session.close()
        session.client_id = client_id
        self.sessions[client_id] = session
        session.say(managed_accounts(self.account), next_valid_id(self.desk, session))
        return session.say(*(error(-1, code, text) for code, text in FARMS))

    def _say(self, client_id: int, message: Message) -> None:
        if client_id in self.sessions:
            self.sessions[client_id].say(message)

    def _tell(self, order: WireOrder, messages: Sequence[Message]) -> None:
        """News of an order to its client, and to the master client if there is one."""
        for client_id in sorted({order.client_id, self.rules.master_client_id or order.client_id}):
            session = self.sessions.get(client_id)
            if session is not None and (order.order_id or session.binds_manual_orders):
                session.say(*messages)


async def _version(reader: asyncio.StreamReader) -> int:
    """The newest version both sides speak. Raises InputError for a hello that is none, or too old a client."""
    if await reader.readexactly(len(HELLO)) != HELLO:
        raise InputError("the connection did not begin as a TWS client's does")
    spoken = (await read_frame(reader)).decode(errors="replace").split(" ")[0].removeprefix("v")
    oldest, _, newest = spoken.partition("..")
    if not (oldest.isdecimal() and (newest or oldest).isdecimal()):
        raise InputError(f"{spoken!r} are no versions of the protocol")
    version = min(SERVER_VERSION, int(newest or oldest))
    if version < OLDEST_CLIENT or int(oldest) > SERVER_VERSION:
        raise InputError(f"this door speaks version {SERVER_VERSION}, the client {spoken}")
    return version
