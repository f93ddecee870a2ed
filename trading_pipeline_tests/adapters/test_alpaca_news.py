"""Alpaca's stream of order news: it wakes, it never books, and after every break it asks for a reconciliation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from trading_pipeline.adapters.brokers.alpaca import AlpacaKeys, AlpacaOrderNews
from trading_pipeline.domain.orders import ExecType
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world, keys_of
from trading_pipeline_tests.contract_tests.broker import held
from trading_pipeline_tests.venue.builders import a_bracket

SECONDS = 8.0


@dataclass
class Heard:
    """Notes left by the stream's thread."""

    news: int = 0
    connections: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def on_news(self) -> None:
        with self.changed:
            self.news += 1
            self.changed.notify_all()

    def on_connected(self) -> None:
        with self.changed:
            self.connections += 1
            self.changed.notify_all()

    def wait(self, until: Callable[[], bool], seconds: float = SECONDS) -> bool:
        """What no note tells of is looked at now and then."""
        with self.changed:
            for _ in range(round(seconds / 0.05)):
                if self.changed.wait_for(until, 0.05):
                    return True
        return False


@pytest.fixture
def world() -> Iterator[AlpacaWorld]:
    with an_alpaca_world(stream_silence_seconds=1.6) as world:
        yield world


@contextmanager
def listening(world: AlpacaWorld, keys: AlpacaKeys | None = None) -> Iterator[tuple[AlpacaOrderNews, Heard]]:
    heard = Heard()
    news = AlpacaOrderNews(world.rules, keys or keys_of(world), on_news=heard.on_news, on_connected=heard.on_connected)
    news._stream._reconnect_min_backoff = 0.05
    news.start()
    try:
        yield news, heard
    finally:
        news.stop()
        assert not news._thread.is_alive()


def trades(world: AlpacaWorld) -> list[int]:
    return [int(report.last_qty) for report in world.reports() if report.exec_type is ExecType.TRADE]


def test_what_happens_to_an_order_wakes(world: AlpacaWorld) -> None:
    with listening(world) as (news, heard):
        assert heard.wait(lambda: heard.connections == 1)
        assert news.health().is_connected

        world.broker.submit(a_bracket())
        assert heard.wait(lambda: heard.news >= 1)
        before = heard.news
        world.trade(99)

        assert heard.wait(lambda: heard.news > before)
    assert not news.health().is_connected
    assert trades(world) == [100]


def test_a_fill_while_the_stream_was_away_is_booked_from_rest_and_the_connection_asks_for_it(
    world: AlpacaWorld,
) -> None:
    with listening(world) as (_, heard):
        assert heard.wait(lambda: heard.connections == 1)
        world.broker.submit(a_bracket())
        world.play({"fault": "close", "op": "stream"})
        world.trade(99)

        assert heard.wait(lambda: heard.connections == 2)
        assert trades(world) == [100]


@pytest.mark.parametrize("fault", ["duplicate", "reorder", "omit", "malformed", "unknown_value", "extra_field"])
def test_events_doubled_shuffled_lost_or_broken_change_nothing_that_is_booked(
    world: AlpacaWorld, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="alpaca.trading.stream")
    with listening(world) as (news, heard):
        assert heard.wait(lambda: heard.connections == 1)
        world.play({"fault": fault, "op": "stream", "times": 4})
        world.broker.submit(a_bracket())
        world.trade(99)
        world.trade(111)
        world.play()
        world.broker.submit(a_bracket("c", symbol="CCC"))

        assert heard.wait(lambda: heard.news >= 1)
        assert news.health().is_connected
        assert trades(world) == [100, 100]
        assert held(world) == {}


def test_a_quiet_stream_is_asked_for_a_sign_of_life_and_stays_open(world: AlpacaWorld) -> None:
    with listening(world) as (news, heard):
        assert heard.wait(lambda: heard.connections == 1)

        assert not heard.wait(lambda: heard.connections > 1, seconds=3.2)
        assert news.health().is_connected


def test_a_stream_that_is_connected_and_mute_is_opened_anew(world: AlpacaWorld) -> None:
    with listening(world) as (_, heard):
        assert heard.wait(lambda: heard.connections == 1)
        world.play({"fault": "stall", "op": "stream"})
        world.broker.submit(a_bracket())

        assert heard.wait(lambda: heard.connections == 2)


def test_refused_keys_are_said_and_the_stream_comes_up_with_the_right_ones(
    world: AlpacaWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = {"key_id": SecretStr("PKWRONG"), "secret_key": SecretStr("a-wrong-secret")}
    settings = [world.rules.model_copy(update=wrong)]
    with listening(world, AlpacaKeys(lambda: settings[0])) as (news, heard):
        assert heard.wait(lambda: "authenticate" in news.health().problem)
        settings[0] = world.rules

        assert heard.wait(lambda: heard.connections == 1)
        assert news.health().problem == ""
    for key in ("a-wrong-secret", world.rules.secret_key.get_secret_value()):
        assert key not in caplog.text
        assert key not in repr(vars(news))


def test_it_stops_at_once_also_before_it_was_connected(world: AlpacaWorld) -> None:
    world.play({"fault": "close", "op": "stream.connect", "times": 0})

    with listening(world) as (news, _):
        pass

    assert not news.health().is_connected
