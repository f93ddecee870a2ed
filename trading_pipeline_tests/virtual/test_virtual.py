"""A few sessions in bad weather end like calm ones: nothing lost, nothing doubled, nothing passes a halt."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_pipeline_tests.virtual.laws import Outcome, traded_twice
from trading_pipeline_tests.virtual.weather import Trouble


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return traded_twice(Path(tmp_path_factory.mktemp("virtual")), sessions=4, seed=3)


def test_record_and_venue_agree_after_every_session_and_nothing_passes_a_halt(outcome: Outcome) -> None:
    assert outcome.wrong(least_met=0) == []


def test_the_weather_was_bad_and_there_was_something_to_lose(outcome: Outcome) -> None:
    assert sum(outcome.calm) > 0
    assert outcome.begun.total() >= len(Trouble)
    assert outcome.met.total() > 0
    assert outcome.restarts > 0
