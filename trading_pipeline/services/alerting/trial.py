"""A test of the channels: one message to each, and what each made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_pipeline.domain.alerting import Message, Outcome
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.ports import Clock
from trading_pipeline.ports.alerting import Line

BETWEEN_LOOKS = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one channel made of the test, and how long it took."""

    outcome: Outcome
    seconds: float


def try_lines(
    lines: Mapping[str, Line], clock: Clock, *, text: str, elapsed: Callable[[], float]
) -> Mapping[str, Trial]:
    """Send to all of them at once and wait for each, no longer than its time-out; by name, in the order given.

    The queue, its rules and its rate limits have no part in it. elapsed: seconds since any one instant.
    """
    began, found = elapsed(), dict[str, Trial]()
    for name, line in lines.items():
        line.hand(_message(name, text, clock.now()))
    while len(found) < len(lines):
        for name, line in lines.items():
            outcome = line.outcome() if name not in found else None
            if outcome is not None:
                found[name] = Trial(outcome, elapsed() - began)
        clock.sleep_until(clock.now() + BETWEEN_LOOKS)
    return {name: found[name] for name in lines}


def _message(name: str, text: str, at: datetime) -> Message:
    return Message(
        message_id=f"test-{name}-{at.isoformat()}", channel=name, level=AlertLevel.INFO,
        title="INFO: a test of the alert channels",
        body=f"{text}\nNothing has happened. Sent by: trading-pipeline alerts test", alert_ids=(),
    )  # fmt: skip
