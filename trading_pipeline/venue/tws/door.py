"""The venue's TWS door on loopback: an asyncio server that speaks to the vendor's clients as TWS and Gateway do."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence

from trading_pipeline.domain.errors import InputError, TradingPipelineError
from trading_pipeline.domain.orders import ExecType, ExecutionReport
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.chaos import MARKET_NEWS, NEWS, TOO_FAST, Chaos
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Contracts
from trading_pipeline.venue.tws.data_requests import DataRequests
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
from trading_pipeline.venue.tws.showing import HELD
from trading_pipeline.venue.tws.streams import Streams
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
LOST = "Connectivity between IB and Trader Workstation has been lost."
RESTORED_WITHOUT = "Connectivity between IB and Trader Workstation has been restored - data lost."
RESTORED_WITH = "Connectivity between IB and Trader Workstation has been restored - data maintained."
UNREADABLE = "Server error when reading an API client request: "
IN_USE = "Unable to connect as the client id is already in use. Retry with a unique client id."


class TwsDoor:
    """Clients of one venue, each under a client id of its own."""

    def __init__(self, hub: Hub, rules: TwsDoorRules | None = None, faults: Faults | None = None) -> None:
        self._hub, self.rules = hub, rules or TwsDoorRules()
        self.account = Account(hub, self.rules.account or hub.venue.rules.account, self.rules.currency)
        self.sessions: dict[int, Session] = {}
        self.is_cut_off = False
        self.streams = Streams(self.rules.market_data_lines, self._tell_market)
        contracts = Contracts(hub, self.rules.symbols)
        self.desk = Desk(hub, self.rules, contracts, self.account.name, self._say)
        self.chaos = Chaos(hub, self.desk, faults or Faults(), self.begin_outage)
        news = OrderNews(hub, self.desk, self.account, self._tell)
        for hear in (news.on_reports, self._tell_account):
            hub.hear_reports(hear)
        for listen in (self.desk.cancels.on_bars, news.on_bars, self.streams.on_bars):
            hub.hear_bars(listen)
        parts = (
            OrderRequests(hub, self.desk, self.rules),
            AccountRequests(hub, self.account, contracts),
            DataRequests(hub, contracts, self.rules, self.streams),
        )
        self._requests: dict[int, Request] = {number: one for part in parts for number, one in part.table.items()}

    async def serve(self, listening: socket.socket) -> None:
        """Take connections until cancelled."""
        server = await asyncio.start_server(self._greet, sock=listening)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self.drop_all()

    # what the operator, or a fault, does

    def drop_all(self) -> None:
        """Every socket ends, as at the nightly reset; clients come back as they like."""
        for session in list(self.sessions.values()):
            session.close()

    def lose_servers(self) -> None:
        """TWS loses the broker: what clients send is lost, what happens is not told."""
        self._announce(1100, LOST)
        self.is_cut_off = True

    def find_servers(self, *, with_data: bool) -> None:
        """TWS has the broker back; without data every subscription is gone."""
        self.is_cut_off = False
        if with_data:
            return self._announce(1102, RESTORED_WITH)
        self.streams.end_all()
        return self._announce(1101, RESTORED_WITHOUT)

    def begin_outage(self, seconds: float, with_data: bool) -> None:
        """Lose the broker's servers for so long."""
        self.lose_servers()
        asyncio.get_running_loop().call_later(seconds, lambda: self.find_servers(with_data=with_data))

    def roll_back_ids(self, client_id: int, count: int) -> None:
        """A client's next valid id is `count` lower from now on, as after a restart that forgot some."""
        self._hub.call(lambda venue, _: venue.note(self.desk.orders.roll_back(client_id, count)))

    def hold(self, order_ref: str, *, is_held: bool) -> None:
        """The broker holds an order (Inactive), or works it again. Nobody is told: whoever asks is shown it."""
        held = set(self._hub.venue.book().facts.get(HELD, []))
        named = {order.perm_id for order in self.desk.orders if order.terms.order_ref == order_ref}
        self._hub.call(lambda venue, _: venue.note({HELD: sorted(held | named if is_held else held - named)}))

    # connections

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection from its hello to its end."""
        session = Session(writer, Pace(self.rules.messages_per_second))
        try:
            writer.write(encoded((await _version(reader), local_time(self._hub.time.now()))))
            while not writer.is_closing():
                await self._hear(session, Fields(fields_of(await read_frame(reader))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            LOG.info("client %s left", session.client_id)
        except TradingPipelineError as trouble:
            LOG.error("client %s was cut off: %s", session.client_id, trouble)  # noqa: TRY400 - what is wrong is said
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
            self.streams.end_all(session)
        session.close()

    async def _hear(self, session: Session, fields: Fields) -> None:
        number = fields.to(0).whole()
        if number == START_API and session.client_id == NOT_STARTED:
            return self._start(session, fields.to(2).whole())
        if session.client_id == NOT_STARTED:
            raise InputError(f"message {number} before the API was started")
        if session.pace.is_over():
            session.say(error(-1, 100, TOO_FAST))
            return session.close() if session.pace.strikes >= self.rules.strikes else None
        request = self._requests.get(number)
        if request is None:
            return session.say(error(-1, 320, f"{UNREADABLE}message {number} is not served here"))
        if self.is_cut_off:
            return None
        try:
            return await self.chaos.serve(session, request, fields, lambda: self._run(session, request, fields))
        except InputError as trouble:
            return session.say(error(-1, 320, f"{UNREADABLE}{trouble}"))

    def _run(self, session: Session, request: Request, fields: Fields) -> None:
        try:
            request.run(session, fields)
        except Trouble as trouble:
            session.say(error(request.request_id(fields), trouble.code, str(trouble)))

    def _start(self, session: Session, client_id: int) -> None:
        if client_id in self.sessions or len(self.sessions) >= self.rules.largest_client_count:
            session.say(error(-1, 326, IN_USE))
            return session.close()
        session.client_id = client_id
        self.sessions[client_id] = session
        session.say(managed_accounts(self.account), next_valid_id(self.desk, session))
        greetings = ((1100, LOST),) if self.is_cut_off else FARMS
        return session.say(*(error(-1, code, text) for code, text in greetings))

    # what is said

    def _say(self, client_id: int, message: Message) -> None:
        if client_id in self.sessions:
            self.sessions[client_id].say(message)

    def _announce(self, code: int, text: str) -> None:
        for session in self.sessions.values():
            session.say(error(-1, code, text))

    def _tell(self, order: WireOrder, messages: Sequence[Message]) -> None:
        """News of an order to its client, and to the master client if there is one."""
        for client_id in sorted({order.client_id, self.rules.master_client_id or order.client_id}):
            session = self.sessions.get(client_id)
            if session is not None and not self.is_cut_off and (order.order_id or session.binds_manual_orders):
                self.chaos.tell(session, NEWS, order.terms.order_ref, messages)

    def _tell_market(self, session: Session, messages: Sequence[Message]) -> None:
        if not self.is_cut_off:
            self.chaos.tell(session, MARKET_NEWS, "", messages)

    def _tell_account(self, reports: Sequence[ExecutionReport]) -> None:
        """After fills: what is held now, to whoever follows it."""
        engine_ids = {report.client_order_id for report in reports if report.exec_type is ExecType.TRADE}
        symbols = sorted({self._hub.venue.book().tickets[engine_id].symbol for engine_id in engine_ids})
        for session in self.sessions.values() if symbols and not self.is_cut_off else ():
            if session.follows_positions:
                session.say(*(self.account.position(self.account.held(symbol)) for symbol in symbols))
            if session.follows_account:
                session.say(*(self.account.portfolio(self.account.held(symbol)) for symbol in symbols))
                session.say(*self.account.values_now())


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
