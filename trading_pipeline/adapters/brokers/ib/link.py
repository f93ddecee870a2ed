"""The connection to TWS: made, watched, made again; and one request at a time on it, each with a limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from trading_pipeline.adapters.brokers.ib.board import Board, ear
from trading_pipeline.adapters.brokers.ib.budget import Budget
from trading_pipeline.adapters.brokers.ib.codes import Meaning, is_read_only, meaning_of
from trading_pipeline.adapters.brokers.ib.health import Health, LinkState
from trading_pipeline.adapters.brokers.ib_client import NEW_YORK, IbThread
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import IbRules
from trading_pipeline.domain.errors import OutcomeUnknown, TradingPipelineError
from trading_pipeline.ports import Clock

T = TypeVar("T")
LOG = logging.getLogger(__name__)
IN_USE = 326
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.2, 60.0
STEADY_SECONDS = 1.0
"""A connection that lasted as long was one: the next attempt comes at once."""
MOST_REMARKS = 20
READ_ONLY_ADVICE = (
    "its API is read-only: no order can be sent. In TWS or Gateway open Configure > API > Settings and clear "
    '"Read-Only API"'
)


class ConnectionLost(OutcomeUnknown):
    """The connection ended before the answer came: a question may be asked again on the next one."""


class Link:
    """Touched only from inside the library's thread, but for `health`.

    reconcile: reads everything again after each connection, before it is READY. on_news: called for each error message
    and each change of state.
    """

    def __init__(
        self, thread: IbThread, rules: IbRules, clock: Clock, ids: VenueIds, board: Board,
        reconcile: Callable[[], Awaitable[None]], on_news: Callable[[], None],
    ) -> None:  # fmt: skip
        self._thread, self._rules, self._clock, self._ids, self.board = thread, rules, clock, ids, board
        self._reconcile, self._on_news = reconcile, on_news
        self._budget = Budget(rules.messages_per_second)
        self._ib: Any = None
        self._lost: asyncio.Event = asyncio.Event()
        self._denied: asyncio.Future[str] | None = None
        self._moved = asyncio.Condition()
        self._work: set[asyncio.Task[None]] = set()
        self.is_read_only, self._cut_off = False, ""
        self.health = Health(state=LinkState.DISCONNECTED, since=clock.now(), library=thread.sdk.__name__)

    @property
    def client_id(self) -> int:
        return self._rules.client_id

    # made, and made again

    async def run(self) -> None:
        """Connect, and connect again after each loss, waiting twice as long after each failure or short success."""
        wait, loop = FIRST_WAIT_SECONDS, asyncio.get_running_loop()
        while True:
            problem, began = await self._attempt(), loop.time()
            if problem:
                LOG.warning("no connection to TWS at %s:%d: %s", self._rules.host, self._rules.port, problem)
                self._set(LinkState.REFUSED, problem)
            else:
                await self._lost.wait()
                self._set(LinkState.DISCONNECTED, self.health.problem or "the connection to TWS was lost")
            wait = FIRST_WAIT_SECONDS if loop.time() - began >= STEADY_SECONDS else wait
            await asyncio.sleep(wait)
            wait = min(2 * wait, MOST_WAIT_SECONDS)

    async def _attempt(self) -> str:
        """Why there is no connection; empty when there is one."""
        self._hang_up()
        self._set(LinkState.CONNECTING, self.health.problem)
        self._lost.clear()
        self.is_read_only, self._cut_off = False, ""
        self._ib, self._denied = self._new_client(), asyncio.get_running_loop().create_future()
        rules = self._rules
        dialing = asyncio.ensure_future(
            self._ib.connectAsync(rules.host, rules.port, rules.client_id, timeout=rules.timeout_seconds)
        )
        await asyncio.wait({dialing, self._denied}, return_when=asyncio.FIRST_COMPLETED)
        dialing.cancel()  # nothing, when it is done
        await asyncio.wait({dialing})
        return self._failure(dialing) or await self._read_again()

    def _failure(self, dialing: asyncio.Future[Any]) -> str:
        where = f"{self._rules.host}:{self._rules.port}"
        denied = self._denied.result() if self._denied is not None and self._denied.done() else ""
        error = asyncio.CancelledError() if dialing.cancelled() else dialing.exception()
        if isinstance(error, ConnectionRefusedError):
            return (
                f"nobody listens at {where}. Start TWS or IB Gateway and log in; enable socket clients in Configure > "
                "API > Settings; check broker.ib.port (Gateway 4002 paper, 4001 live; TWS 7497, 7496)"
            )
        if isinstance(error, TimeoutError):
            return (
                f"what listens at {where} did not answer as TWS within {self._rules.timeout_seconds:g} s. Check "
                "broker.ib.port, and whether TWS waits for somebody to log in or to accept the connection"
            )
        return denied or (f"{where} cannot be reached ({error!r})" if error else "")

    async def _read_again(self) -> str:
        """Nothing is sent before orders, executions and positions are read."""
        ib = self._ib
        if ib is None:
            return "the connection was lost"
        ib.client.updateReqId(self._ids.floor() + 1)
        self._set(LinkState.RECONCILING)
        try:
            await self._reconcile()
        except TradingPipelineError as error:
            return READ_ONLY_ADVICE if self.is_read_only else str(error)
        if self._lost.is_set() or self._ib is not ib:
            return "the connection was lost while orders were read again"
        if self._cut_off:
            self._set(LinkState.CUT_OFF, self._cut_off)
        else:
            self._set(LinkState.READY, connections=self.health.connections + 1)
        return ""

    def _new_client(self) -> Any:
        """A client of its own per connection: nothing of an earlier one is left in it."""
        sdk = self._thread.sdk
        ib = sdk.IB()
        ib.TimezoneTWS = NEW_YORK
        ib.wrapper = ear(sdk, ib, self.board)
        ib.client = sdk.Client(ib.wrapper)
        ib.client.MaxRequests = 0  # the budget paces; what waits in the library could leave after we gave it up
        ib.client.apiEnd += ib.disconnectedEvent
        ib.client.conn.disconnected += lambda _: self._on_ended(ib)
        ib.disconnectedEvent += self._on_lost
        ib.errorEvent += self._on_error
        return ib

    def lose(self, problem: str) -> None:
        """Give the connection up: it does not answer."""
        self._set(LinkState.DISCONNECTED, problem)
        self._hang_up()
        self._lost.set()
        self.board.stir()

    def ended(self, running: Future[None]) -> None:
        """`run` has ended: by `close`, or by an error nobody expected, which is said."""
        error = None if running.cancelled() else running.exception()
        if error is not None:
            LOG.critical("the connection to TWS is kept up no longer", exc_info=error)
            self._set(LinkState.CLOSED, f"{error!r}: an error in this system. Restart it, and report this")
            self._hang_up()

    def close(self) -> None:
        """Hang up for good."""
        self._set(LinkState.CLOSED, "closed")
        self._hang_up()

    def _hang_up(self) -> None:
        ib, self._ib = self._ib, None
        if ib is not None:
            ib.disconnectedEvent -= self._on_lost
            with suppress(OSError, RuntimeError):
                ib.client.disconnect()

    # requests

    async def ready(self) -> None:
        """Return when orders may be sent. Raises OutcomeUnknown when that is not in sight."""
        try:
            async with asyncio.timeout(self._rules.timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self.health.state not in _SOON)
        except TimeoutError:
            pass
        self.require_ready()

    async def lost(self) -> None:
        """Return once the loss of the connection is noted: the library tells requests first."""
        while self.is_ready() and not self.is_connected():
            await asyncio.sleep(0)

    def require_ready(self) -> None:
        """Raises OutcomeUnknown unless orders may be sent now."""
        if not self.is_ready():
            raise OutcomeUnknown(self.why_not())

    def is_ready(self) -> bool:
        return self.health.state is LinkState.READY

    def is_connected(self) -> bool:
        """True while there is a socket, whatever is known of what is behind it."""
        return self._ib is not None and bool(self._ib.isConnected())

    def why_not(self) -> str:
        """Why nothing can be asked now."""
        why = self.health.problem or "not connected yet"
        return f"Interactive Brokers cannot be asked ({self.health.state}): {why}"

    async def ask(self, what: str, start: Callable[[Any], Awaitable[T]]) -> T:
        """One request's answer. Raises OutcomeUnknown when none comes in time; then the connection is made anew."""
        await self._budget.take()
        if not self.is_connected():
            raise ConnectionLost(self.why_not())
        try:
            async with asyncio.timeout(self._rules.timeout_seconds):
                return await start(self._ib)
        except TimeoutError as error:
            problem = f"{what}: no answer within {self._rules.timeout_seconds:g} s"
            self.lose(READ_ONLY_ADVICE if self.is_read_only else problem)
            raise OutcomeUnknown(f"{problem}. Ask again; TWS is connected to anew") from error
        except (ConnectionError, OSError) as error:
            raise ConnectionLost(f"{what}: the connection was lost ({error}). Ask again") from error

    async def send(self, messages: int, say: Callable[[Any], None], *, even_unready: bool = False) -> None:
        """Send without waiting for an answer. Raises OutcomeUnknown before anything leaves when it cannot.

        even_unready: also while orders are read again, as a cancel of what should not be there.
        """
        await self.turn(messages, even_unready=even_unready)
        self.say(say)

    async def turn(self, messages: int, *, even_unready: bool = False) -> None:
        """Return when so many messages may leave. Raises OutcomeUnknown when they cannot then."""
        await self._budget.take(messages)
        if not self.is_connected() or not (even_unready or self.is_ready()):
            raise OutcomeUnknown(self.why_not())

    def say(self, say: Callable[[Any], None]) -> None:
        """Send, right after the `turn`: nothing may be waited for in between."""
        say(self._ib)

    def next_id(self) -> int:
        """An order id nobody has used."""
        if self._ib is None:
            raise OutcomeUnknown(self.why_not())
        return int(self._ib.client.getReqId())

    def accounts(self) -> tuple[str, ...]:
        """What this log-in may trade."""
        return tuple(self._ib.client.getAccounts()) if self._ib is not None and self._ib.isConnected() else ()

    # messages

    def remark(self, text: str) -> None:
        """Something nobody has heard of: said in the log, and kept for people who look."""
        LOG.error("%s", text)
        health = self.health
        self.health = Health(
            state=health.state, since=health.since, library=health.library, problem=health.problem,
            connections=health.connections, remarks=(*health.remarks, text)[-MOST_REMARKS:],
        )  # fmt: skip

    def _on_error(self, request_id: int, code: int, text: str, _: Any) -> None:
        meaning = meaning_of(code)
        if is_read_only(code, text):
            self.is_read_only = True
            self._deny(READ_ONLY_ADVICE)
        if request_id > 0:
            self.board.complain(self._rules.client_id, request_id, code, text)
        if meaning is Meaning.CUT_OFF:
            self._cut_off = f"TWS has lost Interactive Brokers ({code}: {text}); it tries by itself"
            self._set(LinkState.CUT_OFF, self._cut_off)
        elif meaning in {Meaning.RESTORED, Meaning.RESTORED_LOST}:
            self._cut_off = ""
            self._begin(self._come_back())
        elif meaning is Meaning.DENIED:
            self._deny(self._in_use() if code == IN_USE else f"TWS refuses ({code}: {text})")
        elif meaning is Meaning.UNKNOWN:
            self.remark(f"TWS says {code}, which nobody has heard of: {text} (request {request_id})")
        self._on_news()

    async def _come_back(self) -> None:
        ib = self._ib
        problem = await self._read_again()
        if problem and self._ib is ib:
            self.lose(problem)

    def _in_use(self) -> str:
        return (
            f"client id {self._rules.client_id} is in use: another program, or a former one that still hangs, is "
            "connected with it. Stop it, or choose another broker.ib.client_id"
        )

    def _deny(self, advice: str) -> None:
        """The first word about it is the reason."""
        if self._denied is not None and not self._denied.done():
            self._denied.set_result(advice)

    def _on_ended(self, ib: Any) -> None:
        """The socket of a client ended, perhaps of one that was hung up before."""
        if ib is self._ib:
            where = f"{self._rules.host}:{self._rules.port}"
            self._deny(f"{where} ended the connection before it was one. Check broker.ib.port: is it TWS or Gateway?")

    def _on_lost(self) -> None:
        self._set(LinkState.DISCONNECTED, "TWS ended the connection")
        self._lost.set()
        self.board.stir()

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _set(self, state: LinkState, problem: str = "", connections: int | None = None) -> None:
        if self.health.state is LinkState.CLOSED:
            return
        health = self.health
        since = health.since if state is health.state else self._clock.now()
        self.health = Health(
            state=state, since=since, library=health.library, problem=problem, remarks=health.remarks,
            connections=health.connections if connections is None else connections,
        )  # fmt: skip
        self._begin(self._tell())

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()
        self._on_news()


_SOON = frozenset({LinkState.DISCONNECTED, LinkState.CONNECTING, LinkState.RECONCILING})
"""States that end by themselves in a moment."""
