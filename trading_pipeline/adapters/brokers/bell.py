"""A bell between the threads in which brokers tell and the one in which the loop waits."""

from __future__ import annotations

import threading


class Bell:
    """Implements NewsBell. What rings while nobody waits is heard by the next wait; many rings are one."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        is_rung = self._rung.wait(max(seconds, 0))
        self._rung.clear()
        return is_rung
