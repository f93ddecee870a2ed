"""A process that sends one bracket and is killed with SIGKILL at a point: python -m … '{"kind": …, "point": …}'.

The points lie in the socket, below the client libraries, so that the adapters under test know nothing of them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.broker_rules import AlpacaRules, IbRules
from trading_pipeline.ports import Broker
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.venue.builders import a_bracket

LAST_PART = b"b-t"
"""A bracket is out when this is: it is in the last message of it, or in the only one."""


class Point(StrEnum):
    """Where it ends: JOURNALED: on file, before the socket. SENT: in the socket, before any answer.
    ANSWERED: before anybody takes note of the answer."""

    JOURNALED = "journaled"
    SENT = "sent"
    ANSWERED = "answered"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_socket(point: Point, names: tuple[bytes, ...]) -> None:
    """Put the point into every socket of this process."""

    def around(send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(sock: socket.socket, data: Any, *rest: Any) -> Any:
            is_ours = any(name in bytes(data) for name in names)
            if is_ours and point is Point.JOURNALED:
                die()
            sent = send(sock, data, *rest)
            if is_ours and point is Point.SENT:
                die()
            return sent

        return sending

    for name in ("send", "sendall"):
        setattr(socket.socket, name, around(getattr(socket.socket, name)))


def die_in_the_engine(point: Point) -> None:
    """Without a socket, the venue's transaction stands for it."""
    submit = SimulatedVenue.submit

    def submitting(*args: Any, **options: Any) -> str:
        if point is Point.JOURNALED:
            die()
        answer = submit(*args, **options)
        die()
        return answer

    SimulatedVenue.submit = submitting  # type: ignore[method-assign]


def in_process(spec: dict[str, Any], clock: StandingClock) -> Broker:
    die_in_the_engine(Point(spec["point"]))
    return SimulatedBroker(SimulatedVenue(Path(spec["path"]), VenueRules()), clock)


def door(spec: dict[str, Any], clock: StandingClock) -> Broker:
    die_in_the_socket(Point(spec["point"]), (b"b-e",))
    return RemoteBroker(spec["url"], clock)


def alpaca(spec: dict[str, Any], clock: StandingClock) -> Broker:
    from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker

    die_in_the_socket(Point(spec["point"]), (b"b-e",))
    rules = AlpacaRules(
        key_id=SecretStr(spec["key_id"]), secret_key=SecretStr(spec["secret_key"]), trading_url=spec["trading_url"]
    )
    return AlpacaBroker(rules, clock, VenueIds(Path(spec["path"])), account="demo")


def tws(spec: dict[str, Any], clock: StandingClock) -> Broker:
    from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports

    point, files = Point(spec["point"]), Path(spec["path"])
    die_in_the_socket(point, (b"b-e",) if point is Point.JOURNALED else (LAST_PART,))
    rules = IbRules.model_validate(spec["rules"])
    return IbBroker(rules, clock, VenueIds(files / "ids.db"), ToldReports(files / "told.db"))


OPENERS: dict[str, Callable[[dict[str, Any], StandingClock], Broker]] = {
    "in_process": in_process,
    "door": door,
    "alpaca": alpaca,
    "tws": tws,
}


def main(text: str) -> None:
    spec = json.loads(text)
    broker = OPENERS[spec["kind"]](spec, StandingClock(datetime.fromisoformat(spec["now"])))
    broker.submit(a_bracket())
    die()


if __name__ == "__main__":
    main(sys.argv[1])
