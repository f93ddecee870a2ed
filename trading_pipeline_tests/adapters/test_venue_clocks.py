"""What time it is at the venue, as each broker's door tells it."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

from trading_pipeline_tests.adapters.alpaca_worlds import an_alpaca_world
from trading_pipeline_tests.adapters.test_ib_connecting import a_world


def test_alpacas_clock_is_read_to_the_microsecond_in_utc() -> None:
    with an_alpaca_world() as world:
        shown = world.broker.venue_now()

        assert shown.tzinfo is UTC
        assert abs(shown - world.clock.now()) < timedelta(seconds=1)


def test_the_clock_of_tws_is_known_to_half_a_second(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        shown = world.broker.venue_now()

        assert shown.tzinfo is UTC
        assert abs(shown - world.clock.now()) <= timedelta(seconds=1)
