"""One client's connection: what it is called, what it may still be told, how fast it asks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trading_pipeline.venue.tws.wire import Message, encoded

NOT_STARTED = -1


@dataclass(slots=True)
class Pace:
    """Messages of the last second against the limit. A second over it is one strike."""

    per_second: int
    elapsed: Callable[[], float] = time.monotonic
    strikes: int = 0
    _times: deque[float] = field(default_factory=deque)
    _struck_at: float = float("-inf")

    def is_over(self) -> bool:
        """Count a message; True when it is one too many."""
        now = self.elapsed()
        while self._times and now - self._times[0] > 1:
            self._times.popleft()
        if len(self._times) < self.per_second:
            self._times.append(now)
            return False
        if now - self._struck_at > 1:
            self.strikes, self._struck_at = self.strikes + 1, now
        return True


@dataclass(slots=True, eq=False)
class Session:
    """A connection; client_id is known once it has started the API.

    is_muted: what is said now is lost. change: what a fault makes of what is said now.
    """

    writer: asyncio.StreamWriter
    pace: Pace
    client_id: int = NOT_STARTED
    is_muted: bool = False
    change: Callable[[Sequence[Message]], Sequence[Message]] | None = None
    binds_manual_orders: bool = False
    market_data_type: int = 1
    follows_account: bool = False
    follows_positions: bool = False

    def say(self, *messages: Message) -> None:
        """Write messages, until nobody would hear them: a client may leave in the middle of many."""
        if self.is_muted:
            return
        for message in self.change(messages) if self.change else messages:
            self._write(encoded(message))

    def break_off(self, message: Message) -> None:
        """Write half a message, and nothing more for good."""
        whole = encoded(message)
        if not self.is_muted:
            self._write(whole[: len(whole) // 2])
        self.close()

    def _write(self, content: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(content)

    def close(self) -> None:
        """End the connection once what was said is out."""
        self.is_muted = True
        self.writer.close()

    def abort(self) -> None:
        """End it by a reset: what was said and is not out yet is lost."""
        self.is_muted = True
        self.writer.transport.abort()
