"""A machine whose clock is set back or forward while somebody waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from trading_pipeline.adapters.clock import SteadyClock

NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@dataclass
class Machine:
    """A machine's clock that can be set, and the time that really passes. Implements Clock."""

    shown: datetime = NOON
    passed: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.shown

    def sleep_until(self, instant: datetime) -> None:
        self.waits.append((instant - self.shown).total_seconds())
        self.run(self.waits[-1])

    def run(self, seconds: float) -> None:
        self.shown += timedelta(seconds=seconds)
        self.passed += seconds

    def elapsed(self) -> float:
        return self.passed


def test_a_clock_that_is_set_back_goes_on_and_nobody_waits_longer_for_it() -> None:
    machine = Machine()
    clock = SteadyClock(machine, machine.elapsed)
    machine.run(5)
    assert clock.now() == NOON + 5 * SECOND

    machine.shown -= HOUR
    clock.sleep_until(NOON + 10 * SECOND)

    assert machine.waits == [5.0]
    assert clock.now() == NOON + 10 * SECOND


def test_a_clock_that_is_set_forward_is_followed() -> None:
    machine = Machine()
    clock = SteadyClock(machine, machine.elapsed)

    machine.shown += HOUR

    assert clock.now() == NOON + HOUR
    clock.sleep_until(NOON + HOUR - SECOND)
    assert machine.waits == []
