"""The two doors a rehearsal can go through: how a loop is pointed at one, and what may go wrong at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trading_pipeline.venue.faults import Fault

FAST = 1_000_000
"""Requests in a minute: an accelerated session asks for a day's worth in one."""
ACCOUNTS = {"alpaca": "", "ib": "DU0000001"}
"""What the broker's own number of the account must be; a paper account's begins with D at Interactive Brokers."""
ANSWERS = {
    Fault.DROP_REQUEST: 0.0, Fault.RESET: 0.0, Fault.DROP_REPLY: 0.0, Fault.DELAY: 0.05, Fault.HTTP_429: 0.05,
    Fault.HTTP_500: 0.0, Fault.HTTP_504: 0.0, Fault.HTML_BODY: 0.0, Fault.MALFORMED: 0.0, Fault.EXTRA_FIELD: 0.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RehearsedDoor:
    """settings: what a loop needs to know of the addresses in the door's ready file; faults: by op, with seconds."""

    settings: Callable[[Mapping[str, str]], dict[str, object]]
    faults: Mapping[str, Mapping[Fault, float]]


def _alpaca(addresses: Mapping[str, str]) -> dict[str, object]:
    rest = addresses.get("alpaca", "http://127.0.0.1")
    stream = rest.replace("http://", "ws://")
    return _broker("alpaca", {
        "trading_url": rest, "trading_stream_url": f"{stream}/stream", "data_url": rest,
        "data_stream_url": f"{stream}/v2", "requests_per_minute": FAST, "data_requests_per_minute": FAST,
        "key_id": "rehearsal", "secret_key": "rehearsal", "timeout_seconds": 2.0,
    })  # fmt: skip


def _ib(addresses: Mapping[str, str]) -> dict[str, object]:
    host, _, port = addresses.get("ib", "127.0.0.1:4002").rpartition(":")
    return _broker("ib", {"host": host, "port": int(port), "messages_per_second": 100_000, "timeout_seconds": 2.0})


def _broker(name: str, own: dict[str, Any]) -> dict[str, object]:
    return {"broker": {"name": name, "account_id": ACCOUNTS[name], name: own}}


NEWS = {
    Fault.DUPLICATE: 0.0, Fault.REORDER: 0.0, Fault.OMIT: 0.0, Fault.STALL: 0.0, Fault.CLOSE: 0.0,
    Fault.EXTRA_FIELD: 0.0,
}  # fmt: skip
TWS_ANSWERS = {
    Fault.DROP_REQUEST: 0.0, Fault.DROP_REPLY: 0.0, Fault.RESET: 0.0, Fault.DELAY: 0.05, Fault.DUPLICATE: 0.0,
    Fault.OUTAGE: 0.3, Fault.OUTAGE_WITH_LOSS: 0.3,
}  # fmt: skip

DOORS: Mapping[str, RehearsedDoor] = {
    "alpaca": RehearsedDoor(
        _alpaca, {"orders.*": ANSWERS, "activities": ANSWERS, "positions.*": ANSWERS, "stream": NEWS}
    ),
    "ib": RehearsedDoor(_ib, {"orders.*": TWS_ANSWERS, "executions": TWS_ANSWERS, "stream": NEWS}),
}
