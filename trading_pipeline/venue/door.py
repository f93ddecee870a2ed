"""The simulated venue's HTTP door on loopback: POST /OPERATION with a JSON message, and a JSON answer.

One event loop serves all, so that calls meet the engine one at a time. POST /faults changes the faults being played.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trading_pipeline.domain.errors import InputError, OrderRefused, TradingPipelineError
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.faults import NOT_DONE, UNANSWERED, Fault, FaultRule, Faults, FaultScript
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.protocol import (
    FENCE_HEADER,
    OPERATIONS,
    STATUS_OF,
    WATCHED,
    Bars,
    Closing,
    Opening,
    Operation,
    Submit,
    Watched,
)

LOOPBACK = "127.0.0.1"
ABORT = "trading_pipeline.abort"
LOG = logging.getLogger(__name__)


class Door:
    """What comes in by HTTP, done at the venue, with the faults of a script."""

    def __init__(self, hub: Hub, faults: Faults | None = None) -> None:
        self._hub, self._venue, self._faults = hub, hub.venue, faults or Faults()
        routes = [Route("/faults", self._load_faults, methods=["POST"]), Route("/watch", self._watch)]
        routes += [Route(f"/{name}", self._handler(name, op), methods=["POST"]) for name, op in OPERATIONS.items()]
        self.app: ASGIApp = abortable(Starlette(routes=routes))

    def _handler(self, name: str, operation: Operation) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            try:
                message = operation.message.validate_json(await request.body())
                token = _fence(request)
            except (ValidationError, InputError) as error:
                return _failed(InputError(f"the venue cannot read this {name}: {error}"))
            rule = self._faults.next(name, getattr(message, "client_order_id", ""))
            if rule is None:
                return self._done(operation, message, token)
            return await self._faulty(rule, operation, message, token, request)

        return handle

    async def _faulty(
        self, rule: FaultRule, operation: Operation, message: Any, token: int | None, request: Request
    ) -> Response:
        if rule.fault is Fault.DELAY:
            await asyncio.sleep(rule.seconds)
        if rule.fault is Fault.HALT and isinstance(message, Submit):
            self._halt(message, rule.seconds)
        response = _unanswered(rule) if rule.fault in NOT_DONE else self._done(operation, message, token, rule)
        if rule.fault is Fault.REJECT_LATER and isinstance(message, Submit) and response.status_code == 200:
            self._hub.call(lambda venue, _: venue.reject(message.client_order_id, message.now, "rejected by script"))
        if rule.fault is Fault.HTTP_504:
            return JSONResponse({"message": "gateway timeout"}, 504)
        if rule.fault in UNANSWERED:
            request.scope[ABORT]()
            await asyncio.sleep(0)
        return response

    def _done(self, operation: Operation, message: Any, token: int | None, rule: FaultRule | None = None) -> Response:
        try:
            if operation.is_fenced and token is not None:
                self._venue.fence(token)
            answer = self._perform(operation, message)
        except TradingPipelineError as error:
            return _failed(error)
        if operation is OPERATIONS["execution_reports"]:
            answer = self._faults.distorted(rule, answer)
        return Response(operation.answer.dump_json(answer), media_type="application/json")

    def _perform(self, operation: Operation, message: Any) -> Any:
        """Callers here bring the time along; the other doors of the process go by it."""
        if isinstance(message, Bars):
            return self._hub.on_bars(message.bars, message.now)
        if isinstance(message, Opening | Closing):
            answer = self._hub.call(lambda venue, _: operation.run(venue, message))
            times = message.times
            self._hub.time.advance(times.opens_at if isinstance(message, Opening) else times.closes_at)
            return answer
        if now := getattr(message, "now", None):
            self._hub.time.advance(now)
        return self._hub.call(lambda venue, _: operation.run(venue, message))

    def _halt(self, message: Submit, seconds: float) -> None:
        symbol = orders_of(message.request)[0].symbol
        self._venue.halt(Halt(symbol, message.now, message.now + timedelta(seconds=seconds)))

    async def _load_faults(self, request: Request) -> Response:
        try:
            self._faults.load(FaultScript.model_validate_json(await request.body()))
        except ValidationError as error:
            return _failed(InputError(f"this is no fault script: {error}"))
        return JSONResponse(None)

    async def _watch(self, request: Request) -> Response:  # noqa: ARG002
        """What the venue saw of its client: gaps in protection; and which faults it played."""
        seen = Watched(
            now=self._hub.time.now(), gaps=self._hub.cover.gaps,
            faults={fault.value: count for fault, count in sorted(self._faults.played.items())},
        )  # fmt: skip
        return Response(WATCHED.dump_json(seen), media_type="application/json")


def _fence(request: Request) -> int | None:
    text = request.headers.get(FENCE_HEADER)
    if text is None:
        return None
    if not text.isdecimal():
        raise InputError(f"{FENCE_HEADER} must be a whole number, not {text!r}")
    return int(text)


def _failed(error: TradingPipelineError) -> Response:
    """The definite errors by name; any other is the venue's own trouble."""
    for kind, status in STATUS_OF.items():
        if isinstance(error, kind):
            return JSONResponse({"error": kind.__name__, "message": str(error)}, status)
    LOG.error("the venue failed: %s", error)
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, 500)


def _unanswered(rule: FaultRule) -> Response:
    """What is said when nothing was done."""
    if rule.fault is Fault.REJECT:
        return _failed(OrderRefused("rejected by script"))
    if rule.fault is Fault.HTTP_429:
        return JSONResponse({"message": "too many requests"}, 429, {"Retry-After": f"{rule.seconds:g}"})
    return JSONResponse({"message": "internal error"}, 500)


def abortable(app: ASGIApp) -> ASGIApp:
    """Let handlers end the connection without a word; uvicorn's request cycle knows the transport."""

    async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = getattr(send, "__self__", None)
        scope[ABORT] = cycle.transport.abort if cycle is not None else lambda: None
        await app(scope, receive, send)

    return with_abort


def listen(port: int = 0) -> socket.socket:
    """A loopback socket that already takes connections; port 0: a free one.

    Its connections inherit TCP_NODELAY: the event loop sets it only on sockets made with a protocol number, and
    without it every answer waits 40 ms for an acknowledgement. Raises InputError when the port cannot be had.
    """
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {LOOPBACK} cannot be had ({os.strerror(error.errno or 0)}): choose another one, or 0 for "
            "any free one"
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where clients find it."""
    return f"http://{LOOPBACK}:{port_of(listening)}"


class Served(Protocol):
    """Whatever has an application to serve."""

    app: ASGIApp


class ByPort:
    """Several doors of one process: each connection goes to the door of the port it came to."""

    def __init__(self, doors: Mapping[int, Served]) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await doors[scope["server"][1]].app(scope, receive, send)

        self.app: ASGIApp = app


def port_of(listening: socket.socket) -> int:
    """Where it listens."""
    port: int = listening.getsockname()[1]
    return port


def server_of(door: Served) -> uvicorn.Server:
    """A server to run on a listening socket, or on those of several doors."""
    return uvicorn.Server(
        uvicorn.Config(
            door.app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1,
            loop="asyncio", ws="websockets-sansio", log_config=None,
        )
    )  # fmt: skip
