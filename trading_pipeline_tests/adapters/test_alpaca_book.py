"""Alpaca's orders joined to ours: chains of replacements, legs without our ids, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.adapters.brokers.alpaca.book import OrderBook, base_id, replacement_id, replacement_number
from trading_pipeline.adapters.brokers.alpaca.fills import Fills
from trading_pipeline.adapters.brokers.alpaca.reports import reports_of
from trading_pipeline.adapters.brokers.alpaca.wire import WireOrder
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.executions import in_order
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline_tests.venue.builders import OPEN, a_bracket, an_oco, at

NEW, REPLACED, CANCELED = ExecType.NEW, ExecType.REPLACED, ExecType.CANCELED


def told(
    venue_id: str,
    word: str = "new",
    *,
    client_id: str = "made-by-alpaca",
    minute: int = 0,
    side: Side = Side.SELL,
    limit: int | None = None,
    stop: int | None = None,
    quantity: int = 100,
    filled: int = 0,
    parent: str | None = None,
    replaces: str | None = None,
    replaced_by: str | None = None,
) -> WireOrder:
    return WireOrder(
        venue_id=venue_id, client_id=client_id, symbol="AAA", side=side,
        order_type=OrderType.LIMIT if stop is None else OrderType.STOP, life=TimeInForce.DAY, word=word,
        quantity=Decimal(quantity), filled=Decimal(filled), submitted_at=at(minute), nanos="", updated_at=at(minute),
        ended_at=at(minute + 1), limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop), parent=parent, replaces=replaces, replaced_by=replaced_by,
    )  # fmt: skip


ENTRY = told("E", "filled", client_id="b-e", side=Side.BUY, limit=100, filled=100)
TARGET = told("T", limit=110, parent="E")
STOP = told("S", "held", stop=95, parent="E")


class Desk:
    """A book of one registered bracket, and what is said of it."""

    def __init__(self, ids: VenueIds | None = None) -> None:
        self.ids = ids or VenueIds(None)
        self.ids.register(a_bracket(), OPEN)
        self.book, self.fills = OrderBook(self.ids), Fills()

    def hear(self, *orders: WireOrder) -> None:
        self.book.put(orders)

    def fill(self, venue_id: str, shares: int, minute: int = 0) -> None:
        at_ = at(minute).isoformat()
        row = {"id": f"x::{venue_id}-{minute}", "order_id": venue_id, "qty": str(shares), "price": "99"}
        self.fills.put([{**row, "transaction_time": at_}])

    def reports(self) -> Sequence[ExecutionReport]:
        return in_order(reports_of(self.book, self.fills, self.ids))

    def said(self, client_order_id: str) -> list[ExecType]:
        return [report.exec_type for report in self.reports() if report.client_order_id == client_order_id]

    def price(self, client_order_id: str) -> Decimal | None:
        view = self.book.view(client_order_id)
        assert view is not None
        return view.stop_price or view.limit_price


def test_legs_are_known_by_their_parent_and_kind() -> None:
    desk = Desk()
    desk.hear(ENTRY, TARGET, STOP)

    assert (desk.book.name("T"), desk.book.name("S")) == ("b-t", "b-s")
    stop = desk.book.view("b-s")
    assert stop is not None
    assert (stop.status, stop.parent_id) == (OrdStatus.NEW, "b-e")


def test_an_ocos_target_is_its_parent_there_and_its_leg_here() -> None:
    desk = Desk()
    desk.ids.register(an_oco(), OPEN)
    desk.hear(told("OT", client_id="o-t", limit=110), told("OS", "held", stop=95, parent="OT"))

    target, stop = desk.book.view("o-t"), desk.book.view("o-s")
    assert target is not None
    assert stop is not None
    assert (target.parent_id, stop.parent_id) == ("o-s", None)


def test_a_replacement_that_was_refused_leaves_the_order_as_it_was() -> None:
    desk = Desk()
    desk.hear(ENTRY, TARGET, STOP, told("S1", "rejected", client_id="b-s~1", stop=98, minute=5, replaces="S"))

    assert desk.said("b-s") == [NEW, ExecType.REPLACE_REJECTED]
    assert desk.price("b-s") == 95


def test_a_replacement_counts_once_the_order_is_replaced() -> None:
    desk = Desk()
    pending = replace(STOP, word="pending_replace")
    successor = told("S1", "pending_new", client_id="b-s~1", stop=98, minute=5, replaces="S")
    desk.hear(ENTRY, TARGET, pending, successor)
    assert desk.said("b-s") == [NEW]
    assert desk.price("b-s") == 95

    desk.hear(replace(STOP, word="replaced", replaced_by="S1"), replace(successor, word="new"))

    assert desk.said("b-s") == [NEW, REPLACED]
    assert desk.price("b-s") == 98


def test_a_replacement_is_told_in_the_same_words_by_a_process_that_never_saw_what_it_replaced() -> None:
    first = Desk()
    successor = told("S1", client_id="b-s~1", stop=98, minute=5, replaces="S")
    first.hear(ENTRY, TARGET, replace(STOP, word="replaced", replaced_by="S1"), successor)
    (said,) = [report for report in first.reports() if report.exec_type is REPLACED]

    second = Desk(first.ids)
    second.hear(ENTRY, TARGET, successor)

    assert [report for report in second.reports() if report.client_order_id == "b-s"] == [said]


def test_a_fill_that_wins_against_a_replacement_ends_the_order() -> None:
    desk = Desk()
    successor = told("S1", "rejected", client_id="b-s~1", stop=98, minute=5, replaces="S")
    desk.hear(ENTRY, TARGET, replace(STOP, word="filled", filled=Decimal(100)), successor)
    desk.fill("S", 100, minute=6)

    view = desk.book.view("b-s")
    assert view is not None
    assert view.status is OrdStatus.FILLED
    assert desk.said("b-s").count(ExecType.TRADE) == 1


def test_a_stop_that_alpaca_replaced_itself_is_still_our_stop() -> None:
    desk = Desk()
    fired = told("S1", "filled", client_id="another-made-by-alpaca", stop=95, minute=5, filled=100, replaces="S")
    desk.hear(ENTRY, TARGET, replace(STOP, word="replaced", replaced_by="S1"), fired)
    desk.fill("S1", 100, minute=6)

    assert desk.said("b-s") == [NEW, REPLACED, ExecType.TRADE]
    assert desk.ids.client_id("S1") == "b-s"


def test_an_order_ends_after_its_last_fill_also_when_that_is_told_late() -> None:
    desk = Desk()
    entry = replace(ENTRY, word="canceled", filled=Decimal(40))
    desk.hear(entry, replace(TARGET, word="canceled"), replace(STOP, word="canceled"))
    assert desk.said("b-e") == [NEW]

    desk.fill("E", 40)

    assert desk.said("b-e") == [NEW, ExecType.TRADE, CANCELED]


def test_a_changed_quantity_is_said_once_and_the_same_after_a_restart() -> None:
    desk = Desk()
    desk.hear(ENTRY, TARGET, replace(STOP, quantity=Decimal(60), updated_at=at(3)))
    first = desk.reports()
    assert [report.quantity for report in first if report.exec_type is REPLACED] == [60]

    again = Desk(desk.ids)
    again.hear(ENTRY, TARGET, replace(STOP, quantity=Decimal(60), updated_at=at(9)))

    assert again.reports() == first


def test_a_replacement_keeps_the_prices_it_was_said_with_when_alpaca_restates_it() -> None:
    desk = Desk()
    before = replace(STOP, word="replaced", replaced_by="S1")
    successor = told("S1", client_id="b-s~1", stop=98, minute=5, replaces="S", parent="E")
    desk.hear(ENTRY, TARGET, before, successor)
    first = desk.reports()

    again = Desk(desk.ids)
    again.hear(ENTRY, TARGET, before, replace(successor, stop_price=Decimal(49), updated_at=at(9)))

    said = again.reports()
    assert [report for report in said if report in first] == list(first)
    assert [report.stop_price for report in said if report.exec_type is REPLACED] == [98, 49]


def test_a_leg_met_before_its_parent_gets_its_name_when_that_comes() -> None:
    desk = Desk()
    desk.hear(replace(STOP, parent=None))
    assert desk.book.name("S") == "made-by-alpaca"

    desk.hear(ENTRY, TARGET, STOP)

    assert desk.book.name("S") == "b-s"
    assert sorted(desk.book.names()) == ["b-e", "b-s", "b-t"]


def test_what_alpaca_forgot_is_dropped() -> None:
    desk = Desk()
    desk.hear(ENTRY, TARGET, STOP)
    desk.book.drop("S")
    desk.book.drop("nothing")

    assert desk.book.view("b-s") is None


HISTORY = (
    ENTRY,
    TARGET,
    replace(STOP, word="replaced", replaced_by="S1"),
    told("S1", "replaced", client_id="b-s~1", stop=97, minute=3, replaces="S", replaced_by="S2", parent="E"),
    told("S2", "rejected", client_id="b-s~2", stop=99, minute=4, replaces="S1", parent="E"),
    told("S3", "canceled", client_id="b-s~3", stop=98, minute=5, replaces="S1", parent="E"),
    told("X", "filled", client_id="by-hand", side=Side.BUY, limit=50, filled=10),
    told("Y", "replaced", client_id="by-hand-2", side=Side.BUY, limit=50, replaced_by="Z"),
    told("Z", client_id="other", side=Side.BUY, limit=51, minute=1, replaces="Y"),
)


@given(st.lists(st.permutations(HISTORY), min_size=1, max_size=3), st.lists(st.integers(1, len(HISTORY)), max_size=2))
def test_in_whatever_order_and_parts_it_is_told_the_same_is_said(
    tellings: list[Sequence[WireOrder]], cuts: list[int]
) -> None:
    calm, desk = Desk(), Desk()
    calm.hear(*HISTORY)
    desk.hear(*tellings[0][: (cuts or [0])[0]])
    for telling in tellings:
        desk.hear(*telling)
    for one in (calm, desk):
        one.fill("E", 100, 2)
        one.fill("X", 10, 2)

    assert desk.reports() == calm.reports()
    assert desk.book.open_views() == calm.book.open_views()
    assert {name: desk.ids.client_id(name) for name in "ETSXYZ"} == {n: calm.ids.client_id(n) for n in "ETSXYZ"}


@given(st.from_regex(r"[A-Za-z0-9.~-]{1,40}", fullmatch=True), st.integers(1, 9999))
def test_a_replacements_id_tells_the_order_and_the_number(client_order_id: str, number: int) -> None:
    made = replacement_id(client_order_id, number)

    assert (base_id(made), replacement_number(made)) == (client_order_id, number)
