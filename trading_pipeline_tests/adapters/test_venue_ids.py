"""The file that joins a broker's order ids to ours."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.brokers.venue_ids import IdKind, VenueIds
from trading_pipeline.domain.errors import DataFileError, LedgerUnavailable, NaiveDatetimeError
from trading_pipeline.domain.orders import AnyRequest, OrderType, Side
from trading_pipeline_tests.venue.builders import OPEN, a_bracket, an_oco, an_order, at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ids.db"


@pytest.mark.parametrize(
    "request_",
    [a_bracket(), an_oco(), an_order("x", Side.SELL, OrderType.TRAILING_STOP, trail="0.5")],
    ids=["bracket", "oco", "trailing stop"],
)
def test_what_is_registered_is_there_after_a_crash(path: Path, request_: AnyRequest) -> None:
    first = VenueIds(path)
    first.register(request_, OPEN)

    (family,) = VenueIds(path).unfinished()  # the first is never closed

    assert (family.request, family.registered_at) == (request_, OPEN)


def test_every_member_names_its_family(path: Path) -> None:
    ids = VenueIds(path)
    ids.register(a_bracket(), OPEN)

    for known in (ids, VenueIds(path)):
        stop = known.family("b-s")
        assert stop is not None
        assert (stop.first_id, stop.member("b-s")) == ("b-e", a_bracket().stop)
        assert known.family("nobody") is None


def test_a_replaced_order_has_several_ids_oldest_first_and_all_are_ours(path: Path) -> None:
    ids = VenueIds(path)
    for venue_id in ("v2", "v1", "v2"):
        ids.learn("b-s", venue_id)

    for known in (ids, VenueIds(path)):
        assert known.venue_ids("b-s") == ("v2", "v1")
        assert known.latest("b-s") == "v1"
        assert known.client_id("v2") == known.client_id("v1") == "b-s"
        assert known.client_id("v3") is None
        assert known.latest("nobody") is None


def test_an_id_given_out_again_is_the_new_orders(path: Path) -> None:
    ids = VenueIds(path)
    ids.learn("old", "17")
    ids.learn("old", "99", IdKind.PERMANENT)
    ids.learn("new", "17")

    for known in (ids, VenueIds(path)):
        assert known.client_id("17") == "new"
        assert known.latest("old") is None
        assert known.client_id("99", IdKind.PERMANENT) == "old"
        assert known.client_id("99") is None


def test_other_content_under_an_id_takes_its_place(path: Path) -> None:
    ids = VenueIds(path)
    ids.register(a_bracket(), OPEN)
    ids.register(a_bracket(quantity=7), at(1))

    for known in (ids, VenueIds(path)):
        (family,) = known.unfinished()
        assert family.request == a_bracket(quantity=7)


def test_what_has_ended_is_remembered_but_not_followed(path: Path) -> None:
    ids = VenueIds(path)
    ids.register(a_bracket("late"), at(1))
    ids.register(a_bracket("early"), OPEN)
    ids.register(a_bracket("done"), OPEN)
    ids.finish("done-s")
    ids.finish("nobody")

    for known in (ids, VenueIds(path)):
        assert [family.first_id for family in known.unfinished()] == ["early-e", "late-e"]
        done = known.family("done-e")
        assert done is not None
        assert done.is_finished


@given(st.lists(st.integers(min_value=-5, max_value=10**9)))
@settings(max_examples=20, deadline=None)
def test_the_floor_never_falls(numbers: list[int]) -> None:
    ids = VenueIds(None)
    for number in numbers:
        before = ids.floor()
        ids.raise_floor(number)
        assert ids.floor() == max(before, number)
    ids.close()


def test_the_floor_survives(path: Path) -> None:
    VenueIds(path).raise_floor(41)

    assert VenueIds(path).floor() == 41


def test_the_file_knows_since_when_it_is_kept(path: Path) -> None:
    ids = VenueIds(path)
    assert ids.kept_since() is None

    ids.begin(at(5))
    ids.begin(at(1))
    VenueIds(path).begin(at(9))

    assert VenueIds(path).kept_since() == ids.kept_since() == at(5)


def test_a_file_that_is_none_of_ours_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ids.db").write_bytes(b"no database" * 100)

    with pytest.raises(DataFileError, match="Move the file away"):
        VenueIds(tmp_path / "ids.db")


def test_a_row_nobody_can_read_is_an_error(path: Path) -> None:
    VenueIds(path).register(a_bracket(), OPEN)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE families SET request = '{}'")

    with pytest.raises(DataFileError, match="looked up"):
        VenueIds(path)


def test_what_cannot_be_written_stops_the_order_before_it_leaves(path: Path) -> None:
    ids = VenueIds(path)
    ids.close()

    with pytest.raises(LedgerUnavailable, match="nothing was sent"):
        ids.register(a_bracket(), OPEN)
    assert ids.family("b-e") is None


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        VenueIds(None).register(a_bracket(), OPEN.replace(tzinfo=None))


def test_several_threads_may_learn(path: Path) -> None:
    ids = VenueIds(path)

    def learn(base: int) -> None:
        for n in range(base, base + 10):
            ids.learn(f"o{n}", str(n))

    threads = [threading.Thread(target=learn, args=(base,)) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    again = VenueIds(path)
    assert all(again.client_id(str(base + n)) == f"o{base + n}" for base in (0, 100, 200) for n in range(10))


def test_it_is_durable_by_its_settings(path: Path) -> None:
    VenueIds(path)

    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
