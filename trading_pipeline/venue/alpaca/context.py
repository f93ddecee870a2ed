"""What the Alpaca doors share: who may come in, how often, how answers and errors look, and the faults played on them.

A handler is a plain function from what was asked to a Reply, or to an AlpacaError raised; it runs whole between two
turns of the event loop. One that only reads, and may take long, runs in a thread: orders do not wait for it. The op of
a route is what fault scripts call it: "orders.submit", "data.bars".
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.ports import TradingCalendar
from trading_pipeline.venue.alpaca.distortion import HTML_PAGE, distorted, torn
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.door import ABORT
from trading_pipeline.venue.faults import UNANSWERED, Fault, FaultRule, Faults
from trading_pipeline.venue.hub import Hub

WINDOW_SECONDS = 60
INVALID, UNPROCESSABLE, FORBIDDEN, NOT_FOUND, TOO_MANY = 40010001, 42210000, 40310000, 40410000, 42910000
UNAUTHORIZED, INTERNAL = 40110000, 50010000
LOG = logging.getLogger(__name__)


class AlpacaError(TradingPipelineError):
    """What Alpaca answers instead: an HTTP status and a body with a code, a message and details of its own."""

    def __init__(self, status: int, code: int | None, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = ({} if code is None else {"code": code}) | {"message": message} | details


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. rule: the fault it meets, for handlers that have a part in it."""

    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: bytes
    rule: FaultRule | None = None

    def document(self) -> dict[str, Any]:
        """The body as a JSON object, numbers as they were written; raises AlpacaError for any other body."""
        try:
            found = json.loads(self.body, parse_float=Decimal, parse_constant=Decimal)
        except (ValueError, RecursionError) as error:
            raise AlpacaError(400, INVALID, "request body format is invalid") from error
        if not isinstance(found, dict):
            raise AlpacaError(400, INVALID, "request body format is invalid")
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: a body rendered as JSON, or None for none."""

    body: Any
    status: int = 200


Handler = Callable[[Asked], Reply]
Subject = Callable[[Asked], str]
Work = Callable[[Asked, FaultRule | None], Awaitable[Response]]


class RateLimit:
    """So many requests in a minute; the minute begins with the first."""

    def __init__(self, per_minute: int, elapsed: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._elapsed = per_minute, elapsed
        self._since, self._used = elapsed(), 0

    def take(self) -> bool:
        """Count a request; False when it is one too many."""
        now = self._elapsed()
        if now - self._since >= WINDOW_SECONDS:
            self._since, self._used = now, 0
        self._used += 1
        return self._used <= self.per_minute

    @property
    def left(self) -> int:
        return max(self.per_minute - self._used, 0)

    @property
    def seconds_left(self) -> float:
        """Until the quota is whole again."""
        return max(self._since + WINDOW_SECONDS - self._elapsed(), 0.0)


class DoorContext:
    """One venue's Alpaca doors. Keys may be changed while it serves, as a user does at the vendor's."""

    def __init__(
        self, hub: Hub, rules: AlpacaDoorRules, calendar: TradingCalendar, faults: Faults | None = None
    ) -> None:
        self.hub, self.rules, self.calendar, self.faults = hub, rules, calendar, faults or Faults()
        self.keys: Mapping[str, str] = {rules.key_id: rules.secret_key}
        self.trading_limit = RateLimit(rules.requests_per_minute)
        self.data_limit = RateLimit(rules.data_requests_per_minute)

    def route(
        self,
        path: str,
        op: str,
        handler: Handler,
        *,
        method: str = "GET",
        limit: RateLimit | None = None,
        subject: Subject | None = None,
        in_thread: bool = False,
    ) -> Route:
        """An endpoint behind keys, rate limit and faults. subject: the client_order_id fault rules may ask for.

        in_thread: for handlers that never touch the engine.
        """
        counted = limit or self.trading_limit
        work = partial(_in_thread if in_thread else _at_once, handler)

        async def serve(request: Request) -> Response:
            asked = Asked(request.path_params, request.query_params, await request.body())
            response = self._refused(request, counted)
            if response is None:
                rule = self.faults.next(op, subject(asked) if subject else "")
                response = await self._served(work, replace(asked, rule=rule), rule, request)
            response.headers.update(self._quota(counted))
            return response

        return Route(path, serve, methods=[method])

    def is_authorized(self, key_id: str, secret_key: str) -> bool:
        """True for a key of the account and its secret."""
        known = self.keys.get(key_id)
        return known is not None and hmac.compare_digest(known.encode(), secret_key.encode())

    def _refused(self, request: Request, limit: RateLimit) -> Response | None:
        """A gateway of its own checks the keys; what it says has no code for a wrong secret."""
        if not limit.take():
            return rendered(AlpacaError(429, TOO_MANY, "rate limit exceeded"))
        key_id, secret = (request.headers.get(f"APCA-API-{name}", "") for name in ("KEY-ID", "SECRET-KEY"))
        if self.is_authorized(key_id, secret):
            return None
        if key_id in self.keys:
            return rendered(AlpacaError(403, None, "forbidden."))
        return rendered(AlpacaError(401, UNAUTHORIZED, "request is not authorized"))

    def _quota(self, limit: RateLimit) -> dict[str, str]:
        resets_at = self.hub.time.now().timestamp() + limit.seconds_left
        return {
            "X-RateLimit-Limit": str(limit.per_minute),
            "X-RateLimit-Remaining": str(limit.left),
            "X-RateLimit-Reset": str(int(resets_at)),
        }

    async def _served(self, work: Work, asked: Asked, rule: FaultRule | None, request: Request) -> Response:
        if rule is None:
            return await work(asked, None)
        if rule.fault is Fault.DELAY:
            await asyncio.sleep(rule.seconds)
        response = _not_done(rule) or await work(asked, rule)
        if rule.fault in UNANSWERED:
            request.scope[ABORT]()
            await asyncio.sleep(0)
        if rule.fault is Fault.HTTP_504:
            return rendered(AlpacaError(504, None, "gateway timeout"))
        if rule.fault is Fault.HTML_BODY:
            return Response(HTML_PAGE, 504, media_type="text/html")
        return response


async def _at_once(handler: Handler, asked: Asked, rule: FaultRule | None) -> Response:
    return done(handler, asked, rule)


async def _in_thread(handler: Handler, asked: Asked, rule: FaultRule | None) -> Response:
    return await run_in_threadpool(done, handler, asked, rule)


def done(handler: Handler, asked: Asked, rule: FaultRule | None = None) -> Response:
    """The handler's answer, or its error, as it goes out; the venue's own trouble is a 500."""
    try:
        return rendered(handler(asked), rule)
    except AlpacaError as error:
        return rendered(error, rule)
    except TradingPipelineError as error:
        LOG.exception("the venue failed")
        return rendered(AlpacaError(500, INTERNAL, f"internal server error occurred: {error}"))


def rendered(answer: Reply | AlpacaError, rule: FaultRule | None = None) -> Response:
    """JSON as Alpaca writes it; a fault may spoil it."""
    if answer.body is None:
        return Response(status_code=answer.status)
    text = json.dumps(distorted(answer.body, rule), separators=(",", ":"))
    if rule is not None and rule.fault is Fault.MALFORMED:
        text = torn(text)
    return Response(text, answer.status, media_type="application/json")


def _not_done(rule: FaultRule) -> Response | None:
    """What is said when nothing was done; None for faults under which it is."""
    if rule.fault in {Fault.DROP_REQUEST, Fault.RESET}:
        return Response(status_code=500)
    if rule.fault is Fault.HTTP_429:
        return rendered(AlpacaError(429, TOO_MANY, "rate limit exceeded"))
    if rule.fault is Fault.HTTP_500:
        return rendered(AlpacaError(500, INTERNAL, "internal server error occurred"))
    if rule.fault is Fault.REJECT:
        return rendered(AlpacaError(403, FORBIDDEN, "new orders are rejected by user request"))
    return None
