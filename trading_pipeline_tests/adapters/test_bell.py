"""The bell between a broker's threads and the loop, rung by the real client libraries at both doors."""

from __future__ import annotations

import threading

from trading_pipeline.adapters.brokers.bell import Bell


def test_a_ring_while_nobody_waits_is_heard_by_the_next_wait_and_only_by_it() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()

    assert bell.wait(0)
    assert not bell.wait(0)
    assert not bell.wait(-1)


def test_a_ring_from_another_thread_ends_the_wait() -> None:
    bell = Bell()
    ringing = threading.Timer(0.05, bell.ring)
    ringing.start()

    assert bell.wait(5)
    ringing.join()
