"""How fast historical bars may be asked for; IB's documented limits, counted over all clients of an account."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 600.0
SAME_SECONDS = 15.0
BURST_SECONDS, BURST = 2.0, 6


class BarPacing:
    """So many requests in ten minutes, none twice within 15 s, fewer than six of one contract and type within 2 s."""

    def __init__(self, most: int = 60, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._most, self._elapsed = most, elapsed
        self._asked: deque[tuple[float, Hashable, Hashable]] = deque()

    def is_violated(self, request: Hashable, series: Hashable, weight: int = 1) -> bool:
        """Count a request (weight 2: BID_ASK); True when it breaks a limit, and then it does not count."""
        now = self._elapsed()
        while self._asked and now - self._asked[0][0] >= WINDOW_SECONDS:
            self._asked.popleft()
        same = any(asked == request and now - at < SAME_SECONDS for at, asked, _ in self._asked)
        burst = sum(of == series and now - at < BURST_SECONDS for at, _, of in self._asked)
        if same or burst + 1 >= BURST or len(self._asked) + weight > self._most:
            return True
        self._asked.extend([(now, request, series)] * weight)
        return False
