"""A signal interrupts nothing: it is a question answered between two steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from trading_pipeline.adapters.stop_signals import SIGNALS, stop_signals


@pytest.fixture(autouse=True)
def none_ignored() -> Iterator[None]:
    """As a terminal starts a process. Whoever was started in the background, or by nohup, ignores some for good."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)

    with stop_signals() as asked:
        os.kill(os.getpid(), number)
        assert not asked()

    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_told_and_interrupts_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_signals() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()

    assert signal.getsignal(number) is before


def test_outside_the_main_thread_nothing_is_ever_told() -> None:
    told: list[bool] = []

    def work() -> None:
        with stop_signals() as asked:
            told.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert told == [False]
