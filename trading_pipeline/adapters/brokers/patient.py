"""A broker whose silence does not use up an accelerated clock: it is asked again before the clock moves on.

A day of accelerated time passes in seconds, and a connection takes as long to come back as on a real day. Only what may
be asked any number of times is asked again; an order, a change or a cancel never is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.ports import Broker
from trading_pipeline.ports.forwarding import ACTS, ForwardingBroker, Op

T = TypeVar("T")
PAUSE_SECONDS = 0.05


class PatientBroker(ForwardingBroker):
    """Implements Broker. seconds: how long, by the machine's clock, one question is repeated."""

    def __init__(self, broker: Broker, seconds: float) -> None:
        super().__init__(broker)
        self._seconds = seconds

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:  # noqa: ARG002
        """Make the call; a question without an answer is asked again."""
        return call() if op in ACTS else self._ask(call)

    def _ask(self, question: Callable[[], T]) -> T:
        until = time.monotonic() + self._seconds
        while True:
            try:
                return question()
            except OutcomeUnknown:
                if time.monotonic() >= until:
                    raise
            time.sleep(PAUSE_SECONDS)
