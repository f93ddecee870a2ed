"""One client's connection: what it is called, what it may still be told, how fast it asks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from trading_pipeline.venue.tws.wire import Field, Message, encoded

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
    """A connection that has said hello; client_id is known once it has started the API."""

    writer: asyncio.StreamWriter
    pace: Pace
    client_id: int = NOT_STARTED
    is_muted: bool = False
    """What is said now is lost."""
    binds_manual_orders: bool = False
    market_data_type: int = 1
    follows_account: bool = False
    follows_positions: bool = False
    extra_fields: Message = ()
    """Put behind messages whose readers let it pass."""

    def say(self, *messages: Message) -> None:
        """Write messages, unless nobody would hear them."""
        if self.is_muted or self.writer.is_closing():
            return
        for message in messages:
            more: tuple[Field, ...] = self.extra_fields if message[0] in TOLERANT else ()
            self.writer.write(encoded((*message, *more)))

    def close(self) -> None:
        """End the connection once what was said is out."""
        self.writer.close()

    def abort(self) -> None:
        """End it by a reset: what was said and is not out yet is lost."""
        self.is_muted = True
        self.writer.transport.abort()


TOLERANT = frozenset({3, 4, 5, 10, 101})
"""Messages after which both client libraries let further fields pass: orders, errors, contracts."""
