"""Laws of the order desk, whatever clients send in whatever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Asked, Contracts
from trading_pipeline.venue.tws.desk import Desk
from trading_pipeline.venue.tws.news import OrderNews
from trading_pipeline.venue.tws.orders import WireOrder, WireOrders
from trading_pipeline.venue.tws.placing import Placing, Terms
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.wire import Message
from trading_pipeline_tests.venue.builders import FREE, OPEN, at, flat

PLAIN = Terms(
    action="BUY", quantity=Decimal(10), order_type="LMT", limit_price=Decimal(100), aux_price=None, tif="GTC",
    oca_group="", oca_type=0, account="", order_ref="", transmit=True, parent_id=0, outside_rth=False,
    trail_stop_price=None, trailing_percent=None,
)  # fmt: skip

words = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["BUY", "SELL"]),
        "order_type": st.sampled_from(["MKT", "LMT", "STP"]),
        "quantity": st.sampled_from([Decimal(5), Decimal(10)]),
        "limit_price": st.sampled_from([Decimal(98), Decimal(100), Decimal(103)]),
        "aux_price": st.sampled_from([Decimal(96), Decimal(99), Decimal(104)]),
        "transmit": st.booleans(),
        "parent_id": st.sampled_from([0, 0, 1, 2, 3]),
        "oca_group": st.sampled_from(["", "", "pair"]),
        "order_ref": st.sampled_from(["", "mine", "yours"]),
    }
)
place = st.tuples(st.just("place"), st.integers(1, 2), st.integers(1, 8), words)
cancel = st.tuples(st.just("cancel"), st.integers(1, 2), st.integers(1, 8), st.none())
trade = st.tuples(st.just("trade"), st.integers(95, 105), st.just(0), st.none())
steps = st.lists(st.one_of(place, place, cancel, trade), max_size=25)


class Played:
    """A desk and what it said."""

    def __init__(self, path: Path) -> None:
        self.venue = SimulatedVenue(path, FREE)
        self.hub = Hub(self.venue, VenueTime(OPEN))
        self.said: list[tuple[int, Message]] = []
        rules, account = TwsDoorRules(), Account(self.hub, "SIM")
        self.desk = Desk(self.hub, rules, Contracts(self.hub), "SIM", lambda client, m: self.said.append((client, m)))
        self.news = OrderNews(self.hub, self.desk, account, self._tell)
        self.hub.hear_reports(self.news.on_reports)
        self.minute = 0
        self.move(100)

    def _tell(self, order: WireOrder, messages: Sequence[Message]) -> None:
        self.said += [(order.client_id, message) for message in messages]

    def move(self, price: int) -> None:
        self.hub.on_bars([flat(self.minute, price, volume=60)], at(self.minute + 1))
        self.minute += 1

    def do(self, step: tuple[str, int, int, dict[str, object] | None]) -> None:
        kind, first, second, wording = step
        if kind == "trade":
            self.move(first)
        elif kind == "cancel":
            with suppress(Trouble):
                self.desk.cancel(first, second)
        elif wording is not None:
            contract = Asked(0, "AAA", "STK", "SMART", "USD")
            terms = replace(PLAIN, **wording)  # type: ignore[arg-type]
            self.desk.place(first, Placing(second, contract, terms, what_if=False, is_plain=True))


def state(orders: WireOrders) -> list[WireOrder]:
    return sorted(orders, key=lambda order: order.perm_id)


@settings(deadline=None, max_examples=40)
@given(steps)
def test_whatever_is_sent_wire_and_engine_agree(played: list[tuple[str, int, int, dict[str, object] | None]]) -> None:
    with TemporaryDirectory() as folder:
        scene = Played(Path(folder) / "venue.db")
        for step in played:
            scene.do(step)
        _agree(scene)
        killed = SimulatedVenue(Path(folder) / "venue.db", FREE)
        assert state(WireOrders(killed)) == state(scene.desk.orders)
        killed.close()
        scene.venue.close()


def _agree(scene: Played) -> None:
    orders, venue = scene.desk.orders, scene.venue
    at_engine = [order.engine_id for order in orders if order.engine_id]
    assert len(set(at_engine)) == len(at_engine)
    assert {report.client_order_id for report in venue.reports} <= set(at_engine)
    working = {order.client_order_id for order in venue.open_orders()}
    assert working == {o.engine_id for o in orders if orders.is_open(o) and not orders.is_staged(o)}
    statuses = {o.engine_id: scene.desk.showing.shown(o).status for o in orders if o.engine_id in working}
    assert set(statuses.values()) <= {"Submitted", "PreSubmitted"}
    _fills_are_told_once(scene)


def _fills_are_told_once(scene: Played) -> None:
    fills = [message for _, message in scene.said if message[0] == 11]
    told = Counter(str(message[14]) for message in fills)
    assert set(told.values()) <= {1}
    bought = sum(int(m[19] or 0) * (1 if m[18] == "BOT" else -1) for m in fills)
    assert bought == sum(held.quantity for held in scene.venue.positions())
    assert {message[2] for _, message in scene.said if message[0] == 59} == set(told)
