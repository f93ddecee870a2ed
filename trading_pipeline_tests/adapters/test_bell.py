"""The bell between a broker's threads and the loop, rung by the real client libraries at both doors."""

from __future__ import annotations

import threading
from pathlib import Path

from trading_pipeline.adapters.brokers.alpaca import AlpacaOrderNews
from trading_pipeline.adapters.brokers.bell import Bell
from trading_pipeline_tests.adapters.alpaca_worlds import an_alpaca_world, keys_of
from trading_pipeline_tests.adapters.ib_worlds import until
from trading_pipeline_tests.adapters.rehearsed_worlds import at_tws
from trading_pipeline_tests.venue.builders import a_bracket, flat


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


def test_a_fill_at_alpaca_rings() -> None:
    with an_alpaca_world() as world:
        bell = Bell()
        news = AlpacaOrderNews(world.rules, keys_of(world), on_news=bell.ring, on_connected=bell.ring)
        news.start()
        until(lambda: news.health().is_connected, 10.0)
        world.broker.submit(a_bracket())
        while bell.wait(0.5):
            pass

        world.trade(99)

        assert bell.wait(10)
        news.stop()


def test_a_fill_at_interactive_brokers_rings(tmp_path: Path) -> None:
    with at_tws(tmp_path, 5.0) as world:
        bell = Bell()
        stop_hearing = world._world.broker.hear(bell.ring)
        world.broker.submit(a_bracket())
        while bell.wait(0.5):
            pass

        world.deliver(flat(world.minute, 99))

        assert bell.wait(10)
        stop_hearing()
