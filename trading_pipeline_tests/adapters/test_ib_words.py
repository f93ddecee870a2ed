"""TWS's words in ours: statuses, codes, numbers, instants, corrections; and what is kept of what it said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.brokers.ib import ToldReports
from trading_pipeline.adapters.brokers.ib.board import Board
from trading_pipeline.adapters.brokers.ib.codes import STATUSES, Meaning, is_read_only, meaning_of, status_of
from trading_pipeline.adapters.brokers.ib.contracts import Stock, tick_faults
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.news import News
from trading_pipeline.adapters.brokers.ib.reading import Reading
from trading_pipeline.adapters.brokers.ib.shapes import (
    Place,
    instant_of,
    number,
    order_of,
    order_type_of,
    side_of,
    symbol_at_ib,
    symbol_of,
    terms_of,
    terms_of_request,
)
from trading_pipeline.adapters.brokers.ib_client import IbThread
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.errors import DataFileError, InputError
from trading_pipeline.domain.executions import is_recordable
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.checks import form_faults
from trading_pipeline_tests.venue.builders import an_order, at

PERM = 1_800_000_001


@pytest.fixture(scope="module")
def sdk() -> Iterator[Any]:
    thread = IbThread("words")
    yield thread.sdk
    thread.close()


# statuses and codes


def test_every_status_the_library_knows_has_a_meaning(sdk: Any) -> None:
    words = {value for name, value in vars(sdk.OrderStatus).items() if name[0].isupper() and isinstance(value, str)}

    assert words <= STATUSES.keys()
    assert status_of("ZzUnheardOf") is OrdStatus.IN_DOUBT


@pytest.mark.parametrize(
    ("codes", "meaning"),
    [
        ((1100,), Meaning.CUT_OFF),
        ((1101,), Meaning.RESTORED_LOST),
        ((1102,), Meaning.RESTORED),
        ((326, 502, 504), Meaning.DENIED),
        ((103, 104, 105, 110, 135, 200, 201, 203, 321, 434, 435, 460, 10006, 10289, 10293), Meaning.REFUSED),
        ((202,), Meaning.ENDED),
        ((161, 10147, 10148), Meaning.NOT_CANCELED),
        ((399, 404, 10349), Meaning.REMARK),
        ((100, 162, 354, 10197), Meaning.REQUEST),
        ((2103, 2104, 2105, 2106, 2107, 2108, 2119, 2157, 2158), Meaning.INFO),
        ((0, 98765, -1), Meaning.UNKNOWN),
    ],
)
def test_codes_mean_what_the_vendor_says(codes: tuple[int, ...], meaning: Meaning) -> None:
    assert {meaning_of(code) for code in codes} == {meaning}


def test_only_a_321_that_says_so_is_a_read_only_api() -> None:
    assert is_read_only(
        321, "Error validating request.-'bW' : cause - The API interface is currently in Read-Only mode."
    )
    assert not is_read_only(321, "Error validating request: Invalid account code")
    assert not is_read_only(201, "read-only")


# numbers, instants, symbols

prices = st.integers(min_value=1, max_value=10_000_000).map(lambda cents: Decimal(cents) / 100)


@given(prices)
def test_a_price_comes_back_from_the_wire_as_the_decimal_it_was(price: Decimal) -> None:
    assert number(float(price)) == price
    assert number(float(str(float(price)))) == price


@pytest.mark.parametrize("unset", [1.7976931348623157e308, 2147483647e9, float("inf"), float("nan")])
def test_a_number_nobody_set_is_none(unset: float) -> None:
    assert number(unset) is None


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("20250610 16:00:00 US/Eastern", datetime(2025, 6, 10, 20, 0, tzinfo=UTC)),
        ("20250610-16:00:00 UTC", datetime(2025, 6, 10, 16, 0, tzinfo=UTC)),
        ("20251210 09:30:00", datetime(2025, 12, 10, 14, 30, tzinfo=UTC)),
        ("20250610 16:00:00 Nowhere/Land", None),
        ("20251310 16:00:00 UTC", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_an_instant_is_read_in_its_zone_or_not_at_all(text: str, instant: datetime | None) -> None:
    assert instant_of(text) == instant


def test_a_symbol_goes_there_and_back() -> None:
    for symbol in ("AAA", "BRK.B"):
        contract = SimpleNamespace(symbol=symbol_at_ib(symbol), secType="STK", localSymbol="")
        assert symbol_of(contract) == symbol
    assert symbol_of(SimpleNamespace(symbol="SPY", secType="OPT", localSymbol="SPY 250620C00500000")) != "SPY"


requests = st.builds(
    an_order,
    st.just("x"), st.sampled_from(Side), st.sampled_from(OrderType),
    quantity=st.integers(min_value=1, max_value=100_000), limit=st.none() | prices, stop=st.none() | prices,
    trail=st.none() | prices,
    time_in_force=st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
).filter(lambda request: not form_faults(request))  # fmt: skip


@given(request=requests)
def test_an_order_reads_as_it_was_worded(sdk: Any, request: Any) -> None:
    order = order_of(sdk, request, terms_of_request(request), Place(7), "DU1")

    assert (order_type_of(order), side_of(order), order.tif) == (
        request.order_type, request.side, request.time_in_force.value,
    )  # fmt: skip
    assert terms_of(order, order.totalQuantity) == terms_of_request(request)
    assert (order.orderRef, order.account, order.orderId, order.transmit) == ("x", "DU1", 7, True)


def test_a_price_must_be_on_the_step_of_its_level() -> None:
    stock = Stock(None, ((Decimal(0), Decimal("0.0001")), (Decimal(1), Decimal("0.05"))))

    assert tick_faults(stock, Decimal("0.1234"), Decimal("10.05"), None) == []
    assert len(tick_faults(stock, Decimal("0.12345"), Decimal("10.01"))) == 2


# executions and their corrections


@dataclass
class Room:
    """A board with what follows from it, without a connection."""

    board: Board
    news: News
    told: ToldReports

    def told_now(self, *executions: Any) -> Sequence[ExecutionReport]:
        for execution in executions:
            self.board.execution(None, execution)
        return self.told.add(self.news.found(at(9)), at(9))

    def pay(self, exec_id: str, usd: float) -> Sequence[ExecutionReport]:
        self.board.commission(SimpleNamespace(execId=exec_id, commission=usd, currency="USD"))
        return self.told_now()


def a_room() -> Room:
    board, ids, told = Board(), VenueIds(None), ToldReports(None)
    return Room(board, News(board, Names(ids, board, 11), ids, told, "DU1"), told)


def an_execution(version: int = 1, *, shares: float = 100, price: float = 99.5, account: str = "DU1") -> Any:
    return SimpleNamespace(
        execId=f"0000e0d5.6560.01.{version:02d}", permId=PERM, orderRef="x", shares=shares, price=price,
        acctNumber=account, time=at(1), clientId=11, orderId=5,
    )  # fmt: skip


def test_a_bust_takes_back_what_was_told() -> None:
    room = a_room()
    (trade,) = room.told_now(an_execution())

    (bust,) = room.told_now(an_execution(2, shares=0))

    assert (bust.exec_type, bust.ref_exec_id, bust.last_qty, bust.last_px) == (
        ExecType.TRADE_CANCEL, trade.exec_id, Decimal(100), Decimal("99.5"),
    )  # fmt: skip


def test_corrections_correct_one_another_and_an_older_version_says_nothing() -> None:
    room = a_room()
    room.told_now(an_execution())

    (second,) = room.told_now(an_execution(2, price=98))
    (third,) = room.told_now(an_execution(3, price=97))

    assert (second.ref_exec_id, third.ref_exec_id) == ("0000e0d5.6560.01.01", "0000e0d5.6560.01.02")
    late = a_room()
    late.told_now(an_execution(2, price=98))
    assert late.told_now(an_execution(1)) == ()


def test_versions_in_any_order_of_arrival_end_with_the_newest() -> None:
    for order in permutations((1, 2, 3)):
        room = a_room()
        told = [report for version in order for report in room.told_now(an_execution(version, price=100 - version))]
        assert told[-1].last_px == 97 if order[-1] == 3 else told[-1].exec_id.endswith("03")
        assert [report.exec_type for report in told[1:]] == [ExecType.TRADE_CORRECT] * (len(told) - 1)


def test_a_commission_after_its_trade_is_told_once_and_kept_by_a_later_correction() -> None:
    room = a_room()
    (trade,) = room.told_now(an_execution())

    (paid,) = room.pay(trade.exec_id, 1.25)
    (corrected,) = room.told_now(an_execution(2, price=98))

    assert (paid.exec_id, paid.commission, paid.ref_exec_id) == (trade.exec_id + ".fee", Decimal("1.25"), trade.exec_id)
    assert (corrected.commission, corrected.ref_exec_id) == (Decimal("1.25"), paid.exec_id)
    assert room.told_now() == ()


def test_doubles_with_the_error_of_a_sum_are_recordable_fills() -> None:
    room = a_room()

    (trade,) = room.told_now(an_execution(shares=0.1 + 0.2, price=1.1 + 2.2))
    (paid,) = room.pay(trade.exec_id, 1.0052899999999998)

    assert (trade.last_qty, trade.last_px, paid.commission) == (Decimal("0.3"), Decimal("3.3"), Decimal("1.00529"))
    assert is_recordable(trade)
    assert is_recordable(paid)


def test_the_fill_of_another_account_is_not_ours() -> None:
    assert a_room().told_now(an_execution(account="DU2")) == ()


def test_two_orders_under_one_ref_are_two_orders() -> None:
    ids, board = VenueIds(None), Board()
    names = Names(ids, board, 11)

    others = (0, 0)
    named = [names.name(perm_id, ref, others) for perm_id, ref in ((1, "x"), (2, "x"), (3, ""), (1, "x"))]
    assert named == ["x", "x~2", "ib-3", "x"]


def test_an_order_sent_again_after_the_first_was_withdrawn_keeps_its_name() -> None:
    ids, board = VenueIds(None), Board()
    names = Names(ids, board, 11)
    ids.learn("x", "5")
    assert names.name(1, "x", (11, 5)) == "x"
    ids.learn("x", "8")

    assert [names.name(2, "x", (11, 8)), names.name(3, "x", (12, 8))] == ["x", "x~3"]


# messages late and doubled


def an_ib_order(**fields: Any) -> Any:
    common = {"permId": PERM, "clientId": 11, "parentId": 0, "parentPermId": 0, "totalQuantity": 100.0}
    return SimpleNamespace(**common, orderRef="x", account="DU1", filledQuantity=1e300, **fields)


@pytest.mark.parametrize("end", ["Filled", "Cancelled"])
def test_an_order_in_the_list_of_completed_ones_works_no_more(end: str) -> None:
    board = Board()
    board.open_order(5, None, an_ib_order(), "Submitted")
    completed = SimpleNamespace(status=end, completedTime="", completedStatus="")
    board.completed_order(None, an_ib_order(), completed)

    board.order_status(PERM, "Submitted", 0)
    board.open_order(5, None, an_ib_order(), "Submitted")

    seen = board.orders[PERM]
    assert (seen.status, seen.has_ended, seen.is_open) == (end, True, False)


def test_a_filled_order_is_not_submitted_again_by_a_late_message() -> None:
    board = Board()
    board.open_order(5, None, an_ib_order(), "Submitted")

    board.order_status(PERM, "Filled", 100)
    board.order_status(PERM, "Submitted", 40)

    assert (board.orders[PERM].status, board.orders[PERM].filled) == ("Filled", 100)


def test_a_status_before_its_order_is_kept_until_the_order_is_shown() -> None:
    board = Board()
    board.order_status(PERM, "PreSubmitted", 0)

    board.open_order(5, None, an_ib_order(), "PendingSubmit")

    assert board.orders[PERM].status == "PreSubmitted"


def test_an_order_tws_holds_is_said_once_and_one_it_refused_is_rejected() -> None:
    board, ids, told, said = Board(), VenueIds(None), ToldReports(None), list[str]()
    link: Any = SimpleNamespace(board=board, remark=said.append)
    reading = Reading(link, FixedClock(at(1)), ids, told, Names(ids, board, 11), "DU1")
    fields = {"action": "SELL", "orderType": "STP", "auxPrice": 95.0, "lmtPrice": 0.0, "tif": "GTC"}
    board.open_order(5, sdk_contract(), an_ib_order(**fields), "Inactive")

    held = [reading.open_orders()[0].status for _ in range(2)]
    board.complain(11, 5, 201, "Order rejected - reason: margin")

    assert held == [OrdStatus.PENDING_NEW] * 2
    assert len(said) == 1
    assert "protects nothing" in said[0]
    assert reading.open_orders()[0].status is OrdStatus.REJECTED


def sdk_contract() -> Any:
    return SimpleNamespace(symbol="AAA", secType="STK", localSymbol="AAA")


# what is kept


def a_report(exec_id: str, minute: int) -> ExecutionReport:
    return ExecutionReport(
        exec_id=exec_id, client_order_id="x", venue_order_id="1", exec_type=ExecType.NEW, occurred_at=at(minute)
    )


def test_what_was_told_survives_the_process_word_by_word(tmp_path: Path) -> None:
    first = ToldReports(tmp_path / "told.db")
    first.add([a_report("a", 1), a_report("b", 2)], at(3))
    first.refuse(["y"], "no")
    first.close()

    again = ToldReports(tmp_path / "told.db")

    assert again.since(at(0)) == (a_report("a", 1), a_report("b", 2))
    assert (again.refusal("y"), again.refusal("x")) == ("no", None)


def test_the_first_word_under_an_id_holds() -> None:
    told = ToldReports(None)
    told.add([a_report("a", 1)], at(1))

    assert told.add([replace(a_report("a", 1), text="other")], at(2)) == ()
    assert told.report("a") == a_report("a", 1)


def test_what_is_heard_of_late_is_told_to_whoever_asks_since_then() -> None:
    told = ToldReports(None)
    told.add([a_report("a", 5)], at(5))
    told.add([a_report("late", 1)], at(6))

    assert [report.exec_id for report in told.since(at(6))] == ["late"]
    assert [report.exec_id for report in told.since(at(5))] == ["late", "a"]
    assert told.since(at(6) + timedelta(seconds=1)) == ()


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError):
        ToldReports(None).since(datetime(2025, 6, 10))  # noqa: DTZ001


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, None])
def test_a_broken_file_is_said_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "told.db"
    if content is not None:
        path.write_bytes(content)
    else:
        ToldReports(path).close()
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO reports (exec_id, known_at, report) VALUES ('x', '2025', '{}')")

    with pytest.raises(DataFileError, match="move it away"):
        ToldReports(path)
