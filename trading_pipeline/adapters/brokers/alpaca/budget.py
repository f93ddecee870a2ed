"""Keeping within Alpaca's requests per minute: reads wait, or are not made; orders are counted and never wait.

Between the last look at who leads and the socket nothing may wait. An order too many is answered 429 and was not
done; reads leave room so that this does not happen.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from trading_pipeline.ports import Clock

READ_FRACTION = 0.7
"""Of the minute's requests: the rest is kept for orders and cancels."""
LONGEST_WAIT = timedelta(seconds=5)
"""Of a read, before it is not made at all: whoever asks has other things to do meanwhile."""
LONGEST_PAUSE = timedelta(seconds=60)
"""Alpaca counts by the minute: nothing it asks for is longer."""


class Budget:
    """Counts requests by the clock. Used from several threads."""

    def __init__(self, clock: Clock, requests_per_minute: int) -> None:
        for_reads = max(1, int(requests_per_minute * READ_FRACTION))
        self._clock, self._lock = clock, threading.Lock()
        self._reads = InMemoryBucket([Rate(for_reads, Duration.MINUTE)])
        self._all = InMemoryBucket([Rate(requests_per_minute, Duration.MINUTE)])
        self._not_before: datetime | None = None

    def note_order(self) -> None:
        """An order leaves now."""
        with self._lock:
            self._all.put(self._now())
            self._all.leak(self._now().timestamp)

    def take_read(self) -> timedelta:
        """Wait for a read's turn; zero once it may be made, else how long it would have to wait still."""
        with self._lock:
            until = self._clock.now() + LONGEST_WAIT
            while (wait := self._missing()) > timedelta(0):
                if self._clock.now() + wait > until:
                    return wait
                self._clock.sleep_until(self._clock.now() + wait)
            return wait

    def pause(self, seconds: float) -> None:
        """The venue said too many: no read is made before so many seconds have passed."""
        wait = min(max(timedelta(seconds=seconds), timedelta(0)), LONGEST_PAUSE)
        with self._lock:
            self._not_before = self._clock.now() + wait

    def _missing(self) -> timedelta:
        """How long to wait; zero when there was room, which is taken."""
        if self._not_before is not None and self._clock.now() < self._not_before:
            return self._not_before - self._clock.now()
        for bucket in (self._reads, self._all):
            item = self._now()
            bucket.leak(item.timestamp)
            if not bucket.put(item):
                wait = bucket.waiting(item)
                assert isinstance(wait, int), "a bucket in memory answers at once"
                return timedelta(milliseconds=wait + 1)
        return timedelta(0)

    def _now(self) -> RateItem:
        return RateItem("request", round(self._clock.now().timestamp() * 1000))
