"""What time it is at the venue, as each broker's door tells it."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.services.preconditions import measure_skew
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


@pytest.mark.parametrize("seconds", [-3600, -3, 0, 3, 3600])
def test_how_far_our_clock_is_off_is_measured_at_alpacas_door(seconds: int) -> None:
    with an_alpaca_world() as world:
        ours = FixedClock(world.clock.now() - timedelta(seconds=seconds))

        skew = measure_skew(world.broker.venue_now, ours)

    assert abs(skew.by - timedelta(seconds=seconds)) < timedelta(seconds=1)
    assert skew.within == timedelta(0)  # a clock that stands still does not see how long the answer took


@pytest.mark.parametrize("seconds", [-3600, -3, 0, 3, 3600])
def test_how_far_our_clock_is_off_is_measured_at_tws(tmp_path: Path, seconds: int) -> None:
    with a_world(tmp_path) as world:
        ours = FixedClock(world.clock.now() - timedelta(seconds=seconds))

        skew = measure_skew(world.broker.venue_now, ours)

    assert abs(skew.by - timedelta(seconds=seconds)) <= timedelta(seconds=1)
