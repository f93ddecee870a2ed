"""A channel in a thread: what it says, how long it may take, and that a hung one costs nobody anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from trading_pipeline.domain.alerting import Message, Outcome, OutcomeKind
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import ChannelFailed, ChannelRefused
from trading_pipeline.services.alerting.lines import MOST_HANGING, ThreadLine

MESSAGE = Message(message_id="m", channel="mail", level=AlertLevel.INFO, title="t", body="b", alert_ids=("a",))


@dataclass
class Channel:
    """Does what it is told."""

    act: Callable[[], None]
    name: str = "mail"
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self.act()
        self.sent.append(message)


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def wait_for(event: threading.Event) -> None:
    event.wait(20)


def outcome_of(line: ThreadLine) -> Outcome:
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        found = line.outcome()
        if found is not None:
            return found
        time.sleep(0.002)
    raise AssertionError("no outcome")


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda: None, OutcomeKind.DELIVERED),
        (raises(ChannelRefused("no")), OutcomeKind.REFUSED),
        (raises(ChannelFailed("no")), OutcomeKind.FAILED),
        (raises(ChannelFailed("cut off", may_have_arrived=True)), OutcomeKind.UNKNOWN),
    ],
)
def test_what_the_channel_does_is_the_outcome(act: Callable[[], None], kind: OutcomeKind) -> None:
    line = ThreadLine(Channel(act), 5)
    line.hand(MESSAGE)
    free_before = line.is_free

    assert outcome_of(line).kind is kind
    assert (free_before, line.is_free) == (False, True)
    assert line.outcome() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_channel_that_breaks_off_may_have_sent_it() -> None:
    line = ThreadLine(Channel(raises(RuntimeError("a bug"))), 5)
    line.hand(MESSAGE)

    assert outcome_of(line).kind is OutcomeKind.UNKNOWN
    for thread in threading.enumerate():
        if thread.name == "alerts-mail":
            thread.join(timeout=5)


def test_one_that_hangs_is_left_behind_after_its_time_and_no_more_than_three_of_them() -> None:
    stuck = threading.Event()
    channel = Channel(partial(wait_for, stuck))
    line = ThreadLine(channel, 0.05)
    before = threading.active_count()

    outcomes = []
    for _ in range(8):
        began = time.perf_counter()
        line.hand(MESSAGE)
        assert time.perf_counter() - began < 0.05
        outcomes.append(outcome_of(line))

    assert [one.kind for one in outcomes] == [OutcomeKind.UNKNOWN] * 3 + [OutcomeKind.FAILED] * 5
    assert "no answer within 0.05 s" in outcomes[0].words
    assert "hang in the channel" in outcomes[-1].words
    assert threading.active_count() - before <= MOST_HANGING
    stuck.set()
    while line.hanging:
        time.sleep(0.002)
    line.hand(MESSAGE)
    assert outcome_of(line).kind is OutcomeKind.DELIVERED
