"""Keeping within Alpaca's requests per minute: reads leave room for orders, and a 429 makes everybody wait."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from trading_pipeline.ports import Clock

READ_FRACTION = 0.7
"""Of the minute's requests: the rest is kept for orders and cancels."""
LONGEST_WAIT = timedelta(seconds=60)
"""Alpaca counts by the minute: nothing it asks for is longer."""


class Budget:
    """Waits, by the clock, until a request keeps within the rate. Used from several threads."""

    def __init__(self, clock: Clock, requests_per_minute: int) -> None:
        for_reads = max(1, int(requests_per_minute * READ_FRACTION))
        self._clock, self._lock = clock, threading.Lock()
        self._reads = InMemoryBucket([Rate(for_reads, Duration.MINUTE)])
        self._all = InMemoryBucket([Rate(requests_per_minute, Duration.MINUTE)])
        self._not_before: datetime | None = None

    def take(self, *, is_order: bool) -> None:
        """Wait for a request's turn."""
        with self._lock:
            if self._not_before is not None:
                self._clock.sleep_until(self._not_before)
                self._not_before = None
            for bucket in (self._all,) if is_order else (self._reads, self._all):
                self._wait_for(bucket)

    def pause(self, seconds: float) -> None:
        """The venue said too many: nobody asks again before so many seconds have passed."""
        wait = min(max(timedelta(seconds=seconds), timedelta(0)), LONGEST_WAIT)
        with self._lock:
            self._not_before = self._clock.now() + wait

    def _wait_for(self, bucket: InMemoryBucket) -> None:
        while not bucket.put(item := self._now()):
            wait = bucket.waiting(item)
            assert isinstance(wait, int), "a bucket in memory answers at once"
            self._clock.sleep_until(self._clock.now() + timedelta(milliseconds=wait + 1))
        bucket.leak(self._now().timestamp)

    def _now(self) -> RateItem:
        return RateItem("request", round(self._clock.now().timestamp() * 1000))
