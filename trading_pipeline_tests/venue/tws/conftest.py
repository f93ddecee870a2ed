"""Fixtures shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import FREE, a_venue
from trading_pipeline_tests.venue.tws.desks import Desk, a_desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk(a_venue(VenueRules(slippage_fraction=FREE.slippage_fraction))) as made:
        yield made
