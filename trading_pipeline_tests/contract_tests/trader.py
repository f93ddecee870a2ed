"""A process that sends one bracket, replaces its stop or cancels it, and is killed with SIGKILL at a point of that.

The points lie in the socket, below the client libraries, so that the adapters under test know nothing of them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
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

NEW_STOP = Decimal("97.31")
Mark = re.Pattern[bytes]
"""What is in a message and in no other."""
FIRST_PART, LAST_PART = re.compile(b"b-e"), re.compile(b"b-t")
"""A bracket begins to leave with the one, and is out with the other, which is in its last message where it has many."""


class Point(StrEnum):
    """Where it ends: JOURNALED: on file, before the socket. SENT: in the socket, before any answer.
    ANSWERED: before anybody takes note of the answer."""

    JOURNALED = "journaled"
    SENT = "sent"
    ANSWERED = "answered"


class Act(StrEnum):
    """What it does."""

    SUBMIT = "submit"
    REPLACE = "replace"
    CANCEL = "cancel"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_socket(point: Point, mark: Mark) -> None:
    """Put the point into every socket of this process: at the message that carries the mark."""

    def around(send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(sock: socket.socket, data: Any, *rest: Any) -> Any:
            is_ours = mark.search(bytes(data)) is not None
            if is_ours and point is Point.JOURNALED:
                die()
            sent = send(sock, data, *rest)
            if is_ours and point is Point.SENT:
                die()
            return sent

        return sending

    for name in ("send", "sendall"):
        setattr(socket.socket, name, around(getattr(socket.socket, name)))


def die_in_the_engine(point: Point, act: Act) -> None:
    """Without a socket, the venue's transaction stands for it."""
    real = getattr(SimulatedVenue, act)

    def dying(*args: Any, **options: Any) -> None:
        if point is not Point.JOURNALED:
            real(*args, **options)
        die()

    setattr(SimulatedVenue, act, dying)


def mark_of(spec: dict[str, Any], last: Mark = FIRST_PART, cancel: Mark = FIRST_PART) -> Mark:
    """What is in the message at which it ends; last: in the last message of a bracket; cancel: in a cancel."""
    if Act(spec["act"]) is Act.REPLACE:
        return re.compile(re.escape(str(NEW_STOP).encode()))
    if Act(spec["act"]) is Act.CANCEL:
        return cancel
    return FIRST_PART if Point(spec["point"]) is Point.JOURNALED else last


def in_process(spec: dict[str, Any], clock: StandingClock) -> Broker:
    die_in_the_engine(Point(spec["point"]), Act(spec["act"]))
    return SimulatedBroker(SimulatedVenue(Path(spec["path"]), VenueRules()), clock)


def door(spec: dict[str, Any], clock: StandingClock) -> Broker:
    die_in_the_socket(Point(spec["point"]), mark_of(spec))
    return RemoteBroker(spec["url"], clock)


def alpaca(spec: dict[str, Any], clock: StandingClock) -> Broker:
    from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker

    die_in_the_socket(Point(spec["point"]), mark_of(spec, cancel=re.compile(b"^DELETE ")))
    rules = AlpacaRules(
        key_id=SecretStr(spec["key_id"]), secret_key=SecretStr(spec["secret_key"]), trading_url=spec["trading_url"]
    )
    return AlpacaBroker(rules, clock, VenueIds(Path(spec["path"])), account="demo")


def tws(spec: dict[str, Any], clock: StandingClock) -> Broker:
    from trading_pipeline.adapters.brokers.ib import IbBroker, ToldReports

    cancel = re.compile(rb"^.{4}4\x001\x00\d+\x00", re.DOTALL)  # length, message 4, its version, the order's number
    die_in_the_socket(Point(spec["point"]), mark_of(spec, LAST_PART, cancel))
    files = Path(spec["path"])
    rules = IbRules.model_validate(spec["rules"])
    return IbBroker(rules, clock, VenueIds(files / "ids.db"), ToldReports(files / "told.db"))


OPENERS: dict[str, Callable[[dict[str, Any], StandingClock], Broker]] = {
    "in_process": in_process,
    "door": door,
    "alpaca": alpaca,
    "tws": tws,
}


def act_and_die(spec: dict[str, Any]) -> None:
    """All of the process: it opens the broker that the spec tells of, acts, and dies at the point or at the end."""
    broker = OPENERS[spec["kind"]](spec, StandingClock(datetime.fromisoformat(spec["now"])))
    acts: dict[Act, Callable[[], object]] = {
        Act.SUBMIT: lambda: broker.submit(a_bracket()),
        Act.REPLACE: lambda: broker.replace("b-s", stop_price=NEW_STOP),
        Act.CANCEL: lambda: broker.cancel("b-e"),
    }
    acts[Act(spec["act"])]()
    die()
