"""The protocol step by step: what is durable before the socket, what the last look stops, what a doubt allows."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.control import Block, BlockKind, TradingState
from trading_pipeline.domain.errors import LeaseLost, OutcomeUnknown
from trading_pipeline.domain.orders import BracketRequest, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.ports import ClientIdScope, VenueOrder
from trading_pipeline.services.border import Border
from trading_pipeline.services.care.asking import ask_cancel, ask_replace
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.sending import open_requests, to_request
from trading_pipeline.services.trading_state import current_state, set_trading_state
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import Wrapped, losing_broker
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, minute, quote

FORK = multiprocessing.get_context("fork")


def undispatched(stage: Stage) -> Scene:
    """One approved bracket, not yet sent."""
    scene = stage.scene()
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    assert scene.order().status is OrdStatus.PENDING_NEW
    return scene


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """One approved bracket, not yet sent."""
    return undispatched(stage)


def state_of(scene: Scene) -> TradingState:
    with scene.ledger.read() as tx:
        return current_state(tx, "A")


def set_state(scene: Scene, state: TradingState) -> None:
    set_trading_state(scene.ledger, "A", state, reason="a drill", operator="tester", at=minute(15))


def blocks(scene: Scene) -> list[tuple[str, str]]:
    with scene.ledger.read() as tx:
        return [(block.symbol, block.kind.value) for block in tx.blocks("A")]


def accepting(name: str, call: Callable[[], object]) -> object:
    return "V-1"


@dataclass
class Steps:
    """Everything that happens around one sending, in order."""

    seen: list[str] = field(default_factory=list)

    def around(self, scene: Scene, before_submit: Callable[[], None] = lambda: None) -> Callable[..., object]:
        def wrap(name: str, call: Callable[[], object]) -> object:
            if name == "submit":
                with scene.ledger.read() as tx:
                    order = tx.order(scene.order().client_order_id)
                assert order is not None
                assert order.submitted_at is not None, "the claim must be durable before the socket"
                before_submit()
            self.seen.append(name)
            return call()

        return wrap


def test_the_claim_is_on_record_before_the_socket_and_the_answer_after_it(scene: Scene) -> None:
    steps = Steps()
    desk = scene.desk(at=15)

    dispatch_due(scene.desk(at=15, broker=Wrapped(desk.broker, steps.around(scene))))

    assert steps.seen == ["submit"]
    order = scene.order()
    assert (order.status, order.submitted_at) == (OrdStatus.NEW, minute(15))
    assert order.venue_order_id


def halt_elsewhere(url: str) -> None:
    ledger = SqlLedger(url)
    set_trading_state(ledger, "A", TradingState.HALTED, reason="a drill", operator="somebody else", at=minute(15))


@dataclass
class LeaseThat:
    """A lease that does something when it is asked for. Has the part of HeldLease that dispatch uses."""

    on_require: Callable[[int], None]
    holder: str = "me"
    token: int = 7
    asked: int = 0

    def require(self) -> None:
        self.asked += 1
        self.on_require(self.asked)


class TurnThat:
    """A pacer whose turn is the last thing before the claim and the last look."""

    is_seeded = True

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def entry(self) -> bool:
        self._act()
        return True

    def is_quiet(self, *, for_entries: bool) -> bool:  # noqa: ARG002
        return False

    def room_for_entries(self) -> int:
        return 0


def test_a_halt_committed_by_another_process_just_before_is_seen_by_the_last_look(scene: Scene) -> None:
    def halt() -> None:
        other = FORK.Process(target=halt_elsewhere, args=(str(scene.ledger._engine.url),))  # type: ignore[attr-defined]
        other.start()
        other.join()
        assert other.exitcode == 0

    broker = losing_broker(scene.desk(at=15).broker)
    desk = scene.desk(at=15, broker=broker, border=Border(broker, TurnThat(halt)))  # type: ignore[arg-type]

    assert dispatch_due(desk) == Dispatched(canceled=1)

    assert broker.sent == []
    assert set(scene.statuses().values()) == {OrdStatus.CANCELED}
    assert "trading is HALTED" in scene.order().text


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_an_entry_that_meets_a_halt_never_leaves_later(scene: Scene, state: TradingState) -> None:
    set_state(scene, state)
    assert dispatch_due(scene.desk(at=15)) == Dispatched(canceled=1)

    set_state(scene, TradingState.ACTIVE)

    assert dispatch_due(scene.desk(at=16)) == Dispatched()
    assert not scene.venue.open_orders()


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_a_sell_leaves_whatever_the_state(scene: Scene, state: TradingState) -> None:
    dispatch_due(scene.desk(at=15))
    entry = scene.order()
    stop = replace(
        entry, client_order_id="night-stop", leg=Leg.STOP, side=Side.SELL, limit_price=None, stop_price=dec("48.00"),
        status=OrdStatus.PENDING_NEW, submitted_at=None, expires_at=None, venue_order_id=None,
    )  # fmt: skip
    with scene.ledger.transaction() as tx:
        tx.add_order(stop)
    set_state(scene, state)
    broker = Wrapped(scene.desk(at=20).broker, accepting)

    assert dispatch_due(scene.desk(at=20, broker=broker)) == Dispatched(sent=1)
    assert broker.sent == ["night-stop"]


def test_an_entry_in_a_blocked_symbol_waits_and_leaves_when_the_block_clears(scene: Scene) -> None:
    block = Block(
        block_id="b", account="A", symbol="XYZ", kind=BlockKind.RECONCILE_BREAK, reason="differs", since=minute(15)
    )
    with scene.ledger.transaction() as tx:
        tx.add_block(block)
    assert dispatch_due(scene.desk(at=15)) == Dispatched(held=1)
    assert scene.order().status is OrdStatus.PENDING_NEW

    with scene.ledger.transaction() as tx:
        tx.clear_block("b", minute(16), "tester")

    assert dispatch_due(scene.desk(at=16)) == Dispatched(sent=1)


def test_a_leader_whose_lease_ran_out_sends_nothing_and_its_follower_does(scene: Scene) -> None:
    def lost(asked: int) -> None:
        if asked == 2:  # held when the round began, over at the last look
            raise LeaseLost("over")

    broker = losing_broker(scene.desk(at=15).broker)
    with pytest.raises(LeaseLost):
        dispatch_due(scene.desk(at=15, broker=broker, lease=LeaseThat(lost)))
    assert broker.sent == []

    assert dispatch_due(scene.desk(at=15)) == Dispatched(sent=1)


@pytest.mark.parametrize("ask", [ask_cancel, partial(ask_replace, limit_price=dec("49.00"))])
def test_a_leader_whose_lease_ran_out_changes_nothing_at_the_venue(
    scene: Scene, ask: Callable[[Desk, Order], bool]
) -> None:
    def lost(_: int) -> None:
        raise LeaseLost("over")

    dispatch_due(scene.desk(at=15))
    before = scene.venue.open_orders()

    with pytest.raises(LeaseLost):
        ask(scene.desk(at=16, lease=LeaseThat(lost)), scene.order())

    assert scene.venue.open_orders() == before


# what is open


def test_what_was_sent_for_open_orders_is_told_again_and_what_was_not_sent_is_not(scene: Scene) -> None:
    assert open_requests(scene.ledger, "A") == []
    dispatch_due(scene.desk(at=15))

    (request,) = open_requests(scene.ledger, "A")

    assert isinstance(request, BracketRequest)
    assert scene.desk(at=16).broker.submit(request) == scene.order().venue_order_id  # the very same content


# doubts


@dataclass
class Scoped(Wrapped):
    """A venue with another memory for ids than the simulated one; counts how often it is asked."""

    scope: ClientIdScope = ClientIdScope.NONE
    lookups: int = 0
    forgets: bool = False

    @property
    def capabilities(self) -> Any:
        return replace(self.broker.capabilities, client_id_scope=self.scope)

    def order(self, client_order_id: str) -> VenueOrder | None:
        self.lookups += 1
        return None if self.forgets else self.broker.order(client_order_id)


def scoped(desk: Desk, scope: ClientIdScope, *losses: str, forgets: bool = False) -> Scoped:
    inner = losing_broker(desk.broker, *losses)
    return Scoped(desk.broker, inner.around, scope=scope, forgets=forgets)


def test_e26_an_order_in_doubt_is_looked_for_several_times_at_growing_waits_before_it_is_sent_again(
    scene: Scene,
) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.FOREVER, "request")
    dispatch_due(scene.desk(at=15, broker=broker))
    assert blocks(scene) == [("XYZ", "in_doubt")]
    desk = scene.desk(at=16, broker=broker)

    assert dispatch_due(desk) == Dispatched(sent=1)

    assert broker.lookups == 3
    assert desk.clock.now() == minute(16) + timedelta(seconds=1 + 2)
    assert blocks(scene) == []
    assert len(set(broker.sent)) == 1


def test_e26_where_ids_are_forgotten_with_the_order_a_trace_in_the_reports_forbids_a_second_one(scene: Scene) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.OPEN_ORDERS, "reply", forgets=True)
    dispatch_due(scene.desk(at=15, broker=broker))

    assert dispatch_due(scene.desk(at=16, broker=broker)) == Dispatched()

    assert len(broker.sent) == 1
    assert len(scene.venue.open_orders()) == 3


def test_e26_where_ids_are_forgotten_and_nothing_shows_the_order_is_sent_again(scene: Scene) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.OPEN_ORDERS, "request", forgets=True)
    dispatch_due(scene.desk(at=15, broker=broker))

    assert dispatch_due(scene.desk(at=16, broker=broker)) == Dispatched(sent=1)


def test_e26_where_ids_are_not_kept_an_order_in_doubt_stays_blocked_and_a_person_is_called(scene: Scene) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.NONE, "request", forgets=True)
    dispatch_due(scene.desk(at=15, broker=broker))

    for at in (16, 20, 40):  # past its time to live as well
        assert dispatch_due(scene.desk(at=at, broker=broker)) == Dispatched(in_doubt=1)

    assert len(broker.sent) == 1
    assert scene.order().status is OrdStatus.IN_DOUBT
    assert blocks(scene) == [("XYZ", "in_doubt")]
    assert scene.events("order_lost") == [("order_lost", "CRITICAL")]


def lost_sell(scene: Scene, at: int) -> Order:
    """A stop that was sent at that minute and of which nobody heard since."""
    stop = replace(
        scene.order(), client_order_id="night-stop", leg=Leg.STOP, side=Side.SELL, limit_price=None,
        stop_price=dec("48.00"), status=OrdStatus.PENDING_NEW, submitted_at=minute(at), expires_at=None,
        venue_order_id=None, created_at=minute(at),
    )  # fmt: skip
    with scene.ledger.transaction() as tx:
        tx.add_order(stop)
    return stop


def after(scene: Scene, seconds: int, broker: Wrapped) -> Desk:
    """A desk some seconds after minute 20."""
    desk = scene.desk(at=20, broker=broker)
    desk.clock.sleep_until(minute(20) + timedelta(seconds=seconds))
    return desk


def test_e26_where_ids_are_not_kept_a_sell_that_nothing_shows_is_sent_again_after_a_while(scene: Scene) -> None:
    dispatch_due(scene.desk(at=15))
    lost_sell(scene, 20)
    broker = Scoped(scene.desk(at=15).broker, accepting, forgets=True)

    assert dispatch_due(after(scene, 1, broker)) == Dispatched(in_doubt=1)  # 1 + 3 s: it may still be on its way
    assert broker.sent == []
    assert dispatch_due(after(scene, 10, broker)) == Dispatched(sent=1)

    assert broker.sent == ["night-stop"]
    assert scene.events("order_lost") == []


def test_e26_where_ids_are_not_kept_a_sell_that_left_a_trace_is_not_sent_again(scene: Scene) -> None:
    dispatch_due(scene.desk(at=15))
    order = lost_sell(scene, 20)
    broker = scoped(scene.desk(at=15), ClientIdScope.NONE, forgets=True)
    broker.broker.submit(to_request(replace(order, side=Side.BUY, order_type=OrderType.STOP)))

    assert dispatch_due(after(scene, 60, broker)) == Dispatched()

    assert broker.sent == []


def test_where_ids_are_not_kept_a_doubt_that_was_given_up_costs_no_more_waits(scene: Scene) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.NONE, "request", forgets=True)
    dispatch_due(scene.desk(at=15, broker=broker))
    dispatch_due(scene.desk(at=16, broker=broker))
    looked, desk = broker.lookups, scene.desk(at=17, broker=broker)

    assert dispatch_due(desk) == Dispatched(in_doubt=1)

    assert broker.lookups == looked + 1
    assert desk.clock.now() == minute(17)


class Noted(Scoped):
    """A broker that notes every order before its socket call; this one never left."""

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return client_order_id.startswith("tp-") and created_at == minute(15)


def test_where_ids_are_not_kept_an_order_that_certainly_never_left_is_sent(scene: Scene) -> None:
    desk = scene.desk(at=15)
    broker = Noted(desk.broker, losing_broker(desk.broker, "request").around, forgets=True)
    dispatch_due(scene.desk(at=15, broker=broker))

    assert dispatch_due(scene.desk(at=16, broker=broker)) == Dispatched(sent=1)

    assert len(scene.venue.open_orders()) == 3
    assert scene.events("order_lost") == []
    assert broker.lookups == 0


def test_e26_a_lookup_without_an_answer_ends_no_doubt(scene: Scene) -> None:
    broker = scoped(scene.desk(at=15), ClientIdScope.FOREVER, "request")
    dispatch_due(scene.desk(at=15, broker=broker))

    class Silent(Scoped):
        def order(self, client_order_id: str) -> VenueOrder | None:  # noqa: ARG002
            raise OutcomeUnknown("no answer")

    silent = Silent(broker.broker, broker.around)
    assert dispatch_due(scene.desk(at=16, broker=silent)) == Dispatched(in_doubt=1)
    assert scene.order().status is OrdStatus.IN_DOUBT
    assert silent.sent == []
