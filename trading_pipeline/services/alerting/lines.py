"""A channel in a thread of its own, so that one that hangs delays nobody: neither the others nor who hands over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from trading_pipeline.domain.alerting import Message, Outcome, OutcomeKind
from trading_pipeline.domain.errors import ChannelFailed, ChannelRefused
from trading_pipeline.ports.alerting import AlertChannel

log = logging.getLogger(__name__)
MOST_HANGING = 3
"""Threads that may hang in one channel: a thread cannot be ended from outside, so there must not be more and more."""


class _Flight:
    """One message on its way. The thread only puts the outcome in; nobody waits for it."""

    def __init__(self, message: Message, ends_at: float) -> None:
        self.message, self.ends_at = message, ends_at
        self.outcome: SimpleQueue[Outcome] = SimpleQueue()


class ThreadLine:
    """ports.alerting.Line: at most one message at a time, and a hard time-out whatever the channel does."""

    def __init__(
        self, channel: AlertChannel, timeout_seconds: float, *, elapsed: Callable[[], float] = monotonic
    ) -> None:
        """elapsed: seconds since any one instant, which nobody can set."""
        self._channel, self._timeout, self._elapsed = channel, timeout_seconds, elapsed
        self._flight: _Flight | None = None
        self._thread: Thread | None = None
        self._hanging = list[Thread]()

    @property
    def name(self) -> str:
        """The channel's."""
        return self._channel.name

    @property
    def is_free(self) -> bool:
        """True when a message may be handed over."""
        return self._flight is None

    @property
    def message_id(self) -> str:
        """Of the message on its way; empty when none is."""
        return self._flight.message.message_id if self._flight else ""

    @property
    def hanging(self) -> int:
        """Threads that still hang in the channel long after their time."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        return len(self._hanging)

    def hand(self, message: Message) -> None:
        """Begin to send; a thread of its own does it. With too many that hang the message has failed at once."""
        flight = self._flight = _Flight(message, self._elapsed() + self._timeout)
        if self.hanging >= MOST_HANGING:
            words = f"{MOST_HANGING} earlier messages hang in the channel; when that lasts, restart the relay"
            flight.outcome.put(_outcome(message, OutcomeKind.FAILED, words))
            return
        self._thread = Thread(target=self._send, args=(flight,), name=f"alerts-{self.name}", daemon=True)
        self._thread.start()

    def outcome(self) -> Outcome | None:
        """What became of the message, once; None while that is open."""
        flight = self._flight
        if flight is None:
            return None
        try:
            found = flight.outcome.get_nowait()
        except Empty:
            if self._elapsed() < flight.ends_at:
                return None
            found = _outcome(flight.message, OutcomeKind.UNKNOWN, f"no answer within {self._timeout:g} s")
            self._abandon()
        self._flight = self._thread = None
        return found

    def _abandon(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._hanging.append(self._thread)
            log.warning("the alert channel %s hangs: %d thread(s) left behind", self.name, self.hanging)

    def _send(self, flight: _Flight) -> None:
        outcome = _outcome(flight.message, OutcomeKind.UNKNOWN, "the channel broke off")
        try:
            self._channel.send(flight.message)
            outcome = _outcome(flight.message, OutcomeKind.DELIVERED, "")
        except ChannelRefused as error:
            outcome = _outcome(flight.message, OutcomeKind.REFUSED, str(error))
        except ChannelFailed as error:
            kind = OutcomeKind.UNKNOWN if error.may_have_arrived else OutcomeKind.FAILED
            outcome = _outcome(flight.message, kind, str(error))
        finally:
            flight.outcome.put(outcome)


def _outcome(message: Message, kind: OutcomeKind, words: str) -> Outcome:
    return Outcome(message_id=message.message_id, channel=message.channel, kind=kind, words=words)
