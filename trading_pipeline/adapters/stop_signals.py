"""Being asked to stop: SIGTERM, SIGINT and SIGHUP as a question that work answers between two steps."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A terminal that closes hangs up: to be told so is to be asked to stop. Under nohup nobody is told."""


@dataclass(slots=True)
class StopAsked:
    """Tells, when called, whether to stop; plain fields, so that a signal may come at any instruction."""

    asked_at: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        return self.asked_at is not None

    def seconds_ago(self) -> float:
        """How long ago it was first asked; 0 when it was not."""
        return 0.0 if self.asked_at is None else time.monotonic() - self.asked_at

    def ask(self) -> None:
        """Stop, please; asking again changes nothing."""
        if self.asked_at is None:
            self.asked_at = time.monotonic()


@contextmanager
def stop_signals(last_resort: Callable[[], None] | None = None, limit_seconds: float = 8.0) -> Iterator[StopAsked]:
    """While the block runs, a signal interrupts nothing: what is yielded tells whether one came.

    last_resort: called from another thread when the block has not ended `limit_seconds` after a signal, whatever the
    main thread waits for. Outside the main thread, where Python takes no signals, nothing is ever told.
    """
    stop = StopAsked()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: stop.ask()) for number in taken}
    with _listening(stop, frozenset(taken), last_resort, limit_seconds):
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _listening(
    stop: StopAsked, numbers: frozenset[signal.Signals], last_resort: Callable[[], None] | None, limit_seconds: float
) -> Iterator[None]:
    """A thread that hears of a signal even while the main thread is deep in a library and answers none."""
    if last_resort is None:
        yield
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_listen, args=(heard, stop, numbers, last_resort, limit_seconds), name="stop-signals", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        stop.ended.set()
        os.close(told)
        thread.join()
        os.close(heard)


def _listen(
    heard: int, stop: StopAsked, numbers: frozenset[signal.Signals], last_resort: Callable[[], None],
    limit_seconds: float,
) -> None:  # fmt: skip
    while came := os.read(heard, 64):
        if numbers.intersection(came):
            stop.ask()
            if not stop.ended.wait(limit_seconds):
                last_resort()
            return
