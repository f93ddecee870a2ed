"""What a venue should never say, says too late or never says: the loop goes on, and nothing good is lost with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, OrdStatus
from trading_pipeline.ports import VenueAccount
from trading_pipeline.services.adjustments import Fix, FixRequest, book_fix, plan_fix
from trading_pipeline.services.border import border
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.services.reconcile import Reconciler, reconcile
from trading_pipeline_tests.builders import a_report, dec
from trading_pipeline_tests.fakes import ScriptedReports, Wrapped, losing_broker
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, minute, quote


def decided(stage: Stage, **rules: Any) -> tuple[Scene, Desk]:
    """One approved bracket of 200 XYZ that is not sent yet, at minute 15; its time is over at minute 30."""
    scene = stage.scene(**rules)
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    return scene, desk


def working(stage: Stage) -> tuple[Scene, Desk]:
    scene, desk = decided(stage)
    dispatch_due(desk)
    return scene, desk


def hear(scene: Scene, reports: Sequence[ExecutionReport]) -> None:
    sync_orders(scene.desk(at=100, broker=ScriptedReports(reports)), TIMES.session, OPENS)


def bought(scene: Scene, **changes: Any) -> ExecutionReport:
    """All shares of the entry at 50.00, at minute 20."""
    shape: dict[str, Any] = {"exec_id": "good", "occurred_at": minute(20), "last_qty": dec(200), "last_px": dec(50)}
    return a_report(ExecType.TRADE, client_order_id=scene.order().client_order_id, **{**shape, **changes})


BROKEN = (
    {"last_px": Decimal("NaN")}, {"last_qty": Decimal("Infinity")}, {"commission": Decimal("NaN")},
    {"last_px": Decimal("1e30")}, {"last_px": Decimal("50.0000000001")}, {"limit_price": Decimal("NaN")},
    {"occurred_at": datetime(2025, 6, 10, 14)},  # noqa: DTZ001 - an instant without a zone is the point
)  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_report_nobody_can_use_is_told_and_takes_no_other_with_it(stage: Stage, broken: dict[str, Any]) -> None:
    scene, _ = working(stage)
    reports = [bought(scene, exec_id="bad", **broken), bought(scene)]
    naive = ScriptedReports(reports)
    naive.execution_reports = lambda since: reports  # type: ignore[method-assign]  # noqa: ARG005

    for _ in range(2):
        sync_orders(scene.desk(at=100, broker=naive), TIMES.session, OPENS)

    assert [fill.exec_id for fill in scene.fills()] == ["good"]
    assert scene.events("unusable_report") == [("unusable_report", "CRITICAL")]


def test_what_a_venue_said_first_holds_when_it_says_something_else_under_the_same_id(stage: Stage) -> None:
    scene, _ = working(stage)
    hear(scene, [bought(scene, last_qty=dec(100))])

    hear(scene, [bought(scene, last_qty=dec(150)), bought(scene, exec_id="next", last_qty=dec(100))])

    assert [int(fill.quantity) for fill in scene.fills()] == [100, 100]
    assert scene.events("contradicting_report") == [("contradicting_report", "CRITICAL")]


NUMBERS = tuple(map(Decimal, ("0", "1", "40", "200", "-5", "NaN", "Infinity", "0.5", "1e30", "1e-12")))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_venue_reports_the_loop_goes_on(stage: Stage, data: st.DataObject) -> None:
    scene, _ = working(stage)
    orders = st.sampled_from([order.client_order_id for order in scene.orders()])
    ids, numbers = st.sampled_from(["e0", "e1", "e2", "e3", "e4"]), st.sampled_from(NUMBERS)
    report = st.builds(
        ExecutionReport, exec_id=ids, client_order_id=orders, venue_order_id=st.just("v"),
        exec_type=st.sampled_from(list(ExecType)), occurred_at=st.integers(15, 25).map(minute), last_qty=numbers,
        last_px=numbers, commission=numbers, limit_price=st.none() | numbers, stop_price=st.none() | numbers,
        quantity=st.none() | numbers, ref_exec_id=st.just("") | ids,
    )  # fmt: skip

    hear(scene, data.draw(st.lists(report, min_size=1, max_size=6)))


def test_a_report_dated_tomorrow_hides_none_of_today(stage: Stage) -> None:
    scene, _ = working(stage)
    early = a_report(ExecType.PENDING_CANCEL, exec_id="early", client_order_id=scene.order(Leg.STOP).client_order_id)
    told = [replace(early, occurred_at=minute(20) + timedelta(days=1))]
    desk = scene.desk(at=20, broker=ScriptedReports(told))
    cycle = Cycle(desk, TIMES, Reconciler(desk, TIMES.session))
    with scene.ledger.read() as tx:
        record = tx.session_record("A", TIMES.session)
    assert record is not None
    cycle.sync(record)
    told.append(bought(scene))

    cycle.sync(record)

    assert len(scene.fills()) == 1


def test_figures_nobody_can_use_are_no_answer(stage: Stage) -> None:
    scene, desk = working(stage)
    odd = Wrapped(desk.broker, lambda _, call: call())

    def account() -> VenueAccount:
        return replace(desk.broker.account(), cash_usd=Decimal("NaN"))

    odd.account = account  # type: ignore[method-assign]

    assert reconcile(replace(desk, broker=odd), TIMES.session) is None
    with scene.ledger.read() as tx:
        assert tx.last_reconciliation("A") is None


@pytest.mark.parametrize("losses", [(), ("request",)])
def test_an_entry_that_outlives_its_time_while_it_waits_for_its_turn_never_leaves(
    stage: Stage, losses: tuple[str, ...]
) -> None:
    scene, desk = decided(stage, submission={"orders_per_second": 1, "venue_requests_per_minute": 10})
    paced = border(desk.broker, desk.clock, desk.rules.submission)
    broker = losing_broker(paced, *losses)
    desk = replace(desk, border=paced, broker=broker)
    for _ in losses:
        dispatch_due(desk)
    desk.clock.sleep_until(minute(30) - timedelta(seconds=10))
    for _ in range(6 if losses else 9):
        paced.pacer.protection()  # nothing is left of this minute for an entry

    dispatch_due(desk)

    assert desk.clock.now() > minute(30)
    assert len(broker.sent) == len(losses)
    assert set(scene.statuses().values()) == {OrdStatus.EXPIRED}


def test_an_entry_that_arrives_after_its_time_is_cancelled(stage: Stage) -> None:
    scene, desk = decided(stage)
    on_its_way: list[Callable[[], object]] = []

    def slow(name: str, call: Callable[[], object]) -> object:
        if name != "submit":
            return call()
        on_its_way.append(call)
        raise OutcomeUnknown("no answer within 10 s")

    desk = replace(desk, broker=Wrapped(desk.broker, slow))
    dispatch_due(desk)
    desk.clock.sleep_until(minute(30))
    dispatch_due(desk)
    assert scene.order().status is OrdStatus.EXPIRED

    on_its_way[0]()
    for _ in range(3):
        desk.clock.sleep_until(desk.clock.now() + timedelta(seconds=10))
        passed = reconcile(desk, TIMES.session)

    assert desk.broker.open_orders() == ()
    assert passed is not None
    assert passed.is_clean


def only_trades(desk: Desk) -> Desk:
    """A venue that tells of trades and of nothing else."""
    mute = Wrapped(desk.broker, lambda _, call: call())
    told: Callable[[datetime], Sequence[ExecutionReport]] = desk.broker.execution_reports
    mute.execution_reports = lambda since: [  # type: ignore[method-assign]
        report for report in told(since) if report.exec_type is ExecType.TRADE
    ]
    return replace(desk, broker=mute)


def test_legs_end_with_an_entry_whose_end_was_never_reported(stage: Stage) -> None:
    scene, desk = decided(stage)
    desk = only_trades(desk)
    dispatch_due(desk)
    desk.broker.cancel(scene.order().client_order_id)

    for _ in range(2):
        desk.clock.sleep_until(desk.clock.now() + timedelta(seconds=10))
        reconcile(desk, TIMES.session)

    assert set(scene.statuses().values()) == {OrdStatus.CANCELED}


def test_closing_an_entry_that_is_not_at_the_venue_closes_its_legs(stage: Stage) -> None:
    scene, desk = decided(stage)
    desk = only_trades(desk)
    dispatch_due(desk)
    entry = scene.order().client_order_id
    for order in scene.orders():
        scene.venue._state.tickets.pop(order.client_order_id)
        scene.venue._state.working.discard(order.client_order_id)
    request = FixRequest(fix=Fix.CLOSE_MISSING, subject=entry, operator="pat", reason="looked at their screen")

    book_fix(desk, TIMES.session, plan_fix(desk, TIMES.session, request))

    assert not [order for order in scene.orders() if order.is_open]
