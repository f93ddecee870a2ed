"""How Alpaca writes instants, and how many requests it takes in a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.venue.alpaca.activities import activity_id
from trading_pipeline.venue.alpaca.context import RateLimit
from trading_pipeline.venue.alpaca.wire import Nanos, instant_of, nanos, read_stamp, stamp

instants = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(at=instants, number=st.integers(0, 10_000))
def test_what_is_written_is_read_back(at: datetime, number: int) -> None:
    written = nanos(at, number)

    assert read_stamp(stamp(written)) == written
    assert instant_of(written) == at
    assert written % 1000 == number % 1000


@given(first=instants, second=instants)
def test_instants_keep_their_order(first: datetime, second: datetime) -> None:
    assert (nanos(first) < nanos(second)) == (first < second)


@given(at=instants, hours=st.integers(-14, 14))
def test_an_offset_is_honored(at: datetime, hours: int) -> None:
    assert read_stamp(at.astimezone(timezone(timedelta(hours=hours))).isoformat()) == nanos(at)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01Z", 60),
        ("1970-01-01T00:00:00.5Z", 0.5),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),
        ("1970-01-01T00:00:00.1234567890Z", None),
        ("1970-13-01", None),
        ("1970-01-01T25:00:00Z", None),
        ("now", None),
        ("", None),
    ],
)
def test_what_clients_send_for_an_instant(text: str, seconds: float | None) -> None:
    assert read_stamp(text) == (None if seconds is None else int(seconds * 1_000_000_000))


def test_stamps_are_those_of_recorded_answers() -> None:
    """The document's own orders and fill: trailing zeros are left out; an activity's id tells New York's time."""
    assert stamp(Nanos(1_702_420_284_668_464_435)) == "2023-12-12T22:31:24.668464435Z"
    assert stamp(Nanos(1_643_993_609_534_279_170)) == "2022-02-04T16:53:29.53427917Z"
    fill = nanos(datetime(2022, 2, 2, 18, 55, 9, 981_482, tzinfo=UTC))
    assert activity_id(fill, "2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e") == (
        "20220202135509981::2d7be4ff-d1f3-43e9-856a-0f5cf5c5088e"
    )


def test_a_quota_is_whole_again_after_its_minute() -> None:
    clock = [0.0]
    limit = RateLimit(2, lambda: clock[0])

    assert [limit.take() for _ in range(3)] == [True, True, False]
    clock[0] = 45.0
    assert (limit.take(), limit.left, limit.seconds_left) == (False, 0, 15.0)
    clock[0] = 60.0
    assert (limit.take(), limit.left) == (True, 1)
