"""A signal interrupts nothing: it is a question answered between two steps."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from trading_pipeline.adapters.stop_signals import SIGNALS, stop_signals


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
