"""The venue as a hosted loop asks it: before each request the loop says that it lives, and hears whether to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trading_pipeline.ports import Broker
from trading_pipeline.ports.forwarding import ForwardingBroker, Op

T = TypeVar("T")


class HostedBroker(ForwardingBroker):
    """Implements Broker. before: called right before each request; what it raises keeps the request from leaving."""

    def __init__(self, broker: Broker, before: Callable[[], None]) -> None:
        super().__init__(broker)
        self._before = before

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:  # noqa: ARG002
        """Say that the loop lives, then make the call."""
        self._before()
        return call()
