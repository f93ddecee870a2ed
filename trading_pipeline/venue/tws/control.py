"""The control door of a process with a TWS door: the venue's own, and what an operator can do to TWS."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Literal

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trading_pipeline.domain.errors import InputError
from trading_pipeline.venue.door import Door
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.door import TwsDoor

PATH = "/tws"


class Act(BaseModel):
    """What happens to TWS. reset: every socket ends (the nightly reset). outage: 1100 now and, `seconds` later, 1102,
    or 1101 when the data is lost. roll_back: the client's next id is `count` lower. correct: a fill has another price.
    hold, let_go: the order with that orderRef is Inactive, and is worked again; nothing may reach its price meanwhile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Literal["reset", "lose_servers", "find_servers", "outage", "roll_back", "correct", "hold", "let_go"]
    seconds: float = Field(0.0, ge=0, le=86_400)
    with_data: bool = True
    client_id: int = Field(1, ge=0)
    count: int = Field(1, ge=1)
    exec_id: str = ""
    order_ref: str = ""
    price: Decimal = Decimal(0)


class Control:
    """The venue's control door with POST /tws beside its own operations."""

    def __init__(self, hub: Hub, door: Door, tws: TwsDoor) -> None:
        self._hub, self._tws = hub, tws
        acts = Starlette(routes=[Route(PATH, self._act, methods=["POST"])])

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (acts if scope.get("path") == PATH else door.app)(scope, receive, send)

        self.app: ASGIApp = app

    async def _act(self, request: Request) -> Response:
        try:
            act = Act.model_validate_json(await request.body())
            self._doings[act.act](act)
        except ValidationError as error:
            faults = json.loads(error.json(include_url=False, include_context=False))
            return JSONResponse({"error": "InputError", "message": f"this is no act: {faults}"}, 400)
        except InputError as error:
            return JSONResponse({"error": "InputError", "message": str(error)}, 400)
        return JSONResponse(None)

    @property
    def _doings(self) -> Mapping[str, Callable[[Act], None]]:
        tws = self._tws
        return {
            "reset": lambda _: tws.drop_all(),
            "lose_servers": lambda _: tws.lose_servers(),
            "find_servers": lambda act: tws.find_servers(with_data=act.with_data),
            "outage": lambda act: tws.begin_outage(act.seconds, act.with_data),
            "roll_back": lambda act: tws.roll_back_ids(act.client_id, act.count),
            "correct": self._correct,
            "hold": lambda act: tws.hold(act.order_ref, is_held=True),
            "let_go": lambda act: tws.hold(act.order_ref, is_held=False),
        }

    def _correct(self, act: Act) -> None:
        known = self._tws.desk.showing.report_of(act.exec_id)
        if known is None:
            raise InputError(f"no fill was told under the execId {act.exec_id!r}")
        self._hub.call(lambda venue, now: venue.correct(known, act.price, now))


async def serve_beside(tws: TwsDoor, listening: socket.socket, server: uvicorn.Server, control: socket.socket) -> None:
    """Both doors on one event loop, until the control door's server ends."""
    serving = asyncio.create_task(tws.serve(listening))
    await server.serve(sockets=[control])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
