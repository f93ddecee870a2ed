"""Messages to TWS within the rate it bears: above 50 a second it disconnects."""

from __future__ import annotations

import asyncio
import time

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem


class Budget:
    """Waits, on the event loop, until a message keeps within the rate; drops none."""

    def __init__(self, messages_per_second: int) -> None:
        self._bucket = InMemoryBucket([Rate(messages_per_second, Duration.SECOND)])
        self._turn = asyncio.Lock()

    async def take(self, messages: int = 1) -> None:
        """Return when so many may leave; first come, first served."""
        async with self._turn:
            for _ in range(messages):
                await self._one()

    async def _one(self) -> None:
        while not self._bucket.put(item := RateItem("message", _now_ms())):
            wait = self._bucket.waiting(item)
            assert isinstance(wait, int), "a bucket in memory answers at once"
            await asyncio.sleep((wait + 1) / 1000)
        self._bucket.leak(_now_ms())


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
