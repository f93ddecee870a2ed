"""How long a venue takes to answer: measured at every call, for the breaker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from trading_pipeline.ports import Broker
from trading_pipeline.ports.forwarding import ForwardingBroker, Op

MOST_KEPT = 10_000
T = TypeVar("T")


class TimedBroker(ForwardingBroker):
    """A broker whose answers are timed; one that never came counts for as long as it was waited for.

    elapsed: seconds since any one instant, which nobody can set.
    """

    def __init__(self, broker: Broker, elapsed: Callable[[], float]) -> None:
        super().__init__(broker)
        self._elapsed = elapsed
        self._answers: deque[float] = deque(maxlen=MOST_KEPT)

    def take_answers(self) -> Sequence[float]:
        """Seconds of every answer since this was last asked, oldest first."""
        taken = tuple(self._answers)
        self._answers.clear()
        return taken

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:  # noqa: ARG002
        """Time it."""
        began = self._elapsed()
        try:
            return call()
        finally:
            self._answers.append(max(self._elapsed() - began, 0.0))
