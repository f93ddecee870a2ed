"""Clocks: the only place that asks the machine what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trading_pipeline.domain.market import require_aware
from trading_pipeline.ports import Clock


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """Current instant."""
        return datetime.now(UTC)

    def sleep_until(self, instant: datetime) -> None:
        """Return at or after `instant`; at once when it is past."""
        remaining = (require_aware(instant) - self.now()).total_seconds()
        if remaining > 0:
            time.sleep(remaining)


class SteadyClock:
    """The machine's clock, but where that is set back it goes on: whoever waits on it never waits for an hour again.

    Set forward, it follows. Only for waiting and dating within one process: what processes compare, as leases, is by
    the machine's clock.
    """

    def __init__(self, machine: Clock | None = None, elapsed: Callable[[], float] = time.monotonic) -> None:
        """elapsed: seconds since any one instant, which nobody can set."""
        self._machine, self._elapsed = machine or SystemClock(), elapsed
        self._shown, self._at = self._machine.now(), elapsed()

    def now(self) -> datetime:
        """Current instant: the machine's, or what has passed since the last one when the machine's is earlier."""
        at = self._elapsed()
        steady = self._shown + timedelta(seconds=at - self._at)
        self._shown, self._at = max(self._machine.now(), steady), at
        return self._shown

    def sleep_until(self, instant: datetime) -> None:
        """Return at or after `instant`; at once when it is past."""
        remaining = require_aware(instant) - self.now()
        if remaining > timedelta(0):
            self._machine.sleep_until(self._machine.now() + remaining)


@dataclass
class ReplayClock:
    """A clock that jumps: `sleep_until` takes no time and never goes back."""

    instant: datetime

    def __post_init__(self) -> None:
        require_aware(self.instant)

    def now(self) -> datetime:
        """The instant last jumped to."""
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        """Jump forward; an earlier instant changes nothing."""
        self.instant = max(self.instant, require_aware(instant))


@dataclass
class SteppedClock(ReplayClock):
    """A clock that waits on another, and between two waits stands still at the instant last waited for.

    A decision made a few milliseconds late is so dated like its replay: live and replay agree to the byte.
    """

    inner: Clock

    def sleep_until(self, instant: datetime) -> None:
        """Wait for the instant, then show it; an instant before the last one changes nothing."""
        self.inner.sleep_until(instant)
        super().sleep_until(instant)


class FixedClock(ReplayClock):
    """A clock that stands still until told otherwise; for tests and one-off commands."""
