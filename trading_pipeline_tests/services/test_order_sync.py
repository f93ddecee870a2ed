"""What the venue says ends in the same record, in whatever order and however often it says it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, OrdStatus
from trading_pipeline.domain.positions import Position
from trading_pipeline.services.decision_log import decision_log
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.builders import a_report, dec
from trading_pipeline_tests.fakes import ScriptedReports
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, a_bar, minute, quote


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """One bracket working at the venue; what it reported is not read yet."""
    return working(stage.scene())


def working(scene: Scene) -> Scene:
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    dispatch_due(desk)
    return scene


def trade(scene: Scene, ends: int, price: object, **shape: object) -> None:
    scene.venue.on_bars([a_bar(ends, price, **shape)], minute(ends))  # type: ignore[arg-type]


def sync(scene: Scene, since: int = 0) -> None:
    sync_orders(scene.desk(at=100), TIMES.session, minute(since))


def hear(scene: Scene, *reports: ExecutionReport) -> None:
    desk = scene.desk(at=100, broker=ScriptedReports(reports))
    sync_orders(desk, TIMES.session, OPENS)


def said(scene: Scene) -> list[ExecutionReport]:
    return list(scene.venue.execution_reports(OPENS))


def positions(scene: Scene) -> list[Position]:
    with scene.ledger.read() as tx:
        return list(tx.positions("A"))


def log(scene: Scene) -> list[str]:
    with scene.ledger.read() as tx:
        return decision_log(tx, "A", TIMES.session)


def a_whole_day(scene: Scene) -> None:
    """Two partial buys, and a stop-out in the same instant as nothing else."""
    trade(scene, 20, "50.00", low="49.90", volume=800)
    trade(scene, 25, "50.00", low="49.90", volume=1_000_000)
    trade(scene, 30, "47.00", opened="50.00")


def test_a_round_trip_moves_orders_appends_fills_and_closes_a_trade(scene: Scene) -> None:
    a_whole_day(scene)

    sync(scene)

    assert scene.shares() == [("BUY", 80, "50.00"), ("BUY", 120, "50.00"), ("SELL", 200, "48.00")]
    assert scene.statuses() == {
        "entry": OrdStatus.FILLED, "stop": OrdStatus.FILLED, "target": OrdStatus.CANCELED,
    }  # fmt: skip
    assert positions(scene) == []
    with scene.ledger.read() as tx:
        (one,) = tx.trades("A")
    assert (one.net_usd, one.r_multiple, one.exit_reason.value) == (dec(-400), dec(-1), "stop")


@pytest.mark.parametrize("seed", range(6))
def test_permuted_duplicated_and_overlapping_reports_end_in_the_same_record(stage: Stage, seed: int) -> None:
    plain, shuffled = working(stage.scene()), working(stage.scene())
    a_whole_day(plain)
    sync(plain)
    reports = said(plain)
    dice = random.Random(seed)
    mixed = dice.sample([*reports, *reports], 2 * len(reports))
    cut = dice.randrange(len(mixed))

    for batch in (mixed[:cut], mixed[cut:], mixed):
        hear(shuffled, *batch)

    with plain.ledger.read() as one, shuffled.ledger.read() as other:
        assert one.trades("A") == other.trades("A")
        assert {f.exec_id: f for f in one.fills("A")} == {f.exec_id: f for f in other.fills("A")}
    assert plain.statuses() == shuffled.statuses()
    assert positions(shuffled) == []


def test_a_sale_reported_before_its_purchase_waits_for_it_and_alarms(scene: Scene) -> None:
    a_whole_day(scene)
    bought = [r for r in said(scene) if r.client_order_id == scene.order().client_order_id]
    rest = [r for r in said(scene) if r not in bought]

    hear(scene, *rest)
    assert scene.events() == [("sale_without_shares", "CRITICAL")]
    assert scene.fills() == []
    hear(scene, *bought, *rest)

    assert [side for side, _, _ in scene.shares()] == ["BUY", "BUY", "SELL"]
    assert positions(scene) == []


def test_an_order_nobody_sent_is_a_critical_event_and_moves_nothing(scene: Scene) -> None:
    hear(scene, a_report(ExecType.TRADE, client_order_id="not-ours", occurred_at=minute(20)))

    assert scene.events() == [("unknown_order", "CRITICAL")]
    assert scene.fills() == []


def test_a_report_that_cannot_be_is_a_critical_event_and_moves_nothing(scene: Scene) -> None:
    sync(scene)
    before = scene.orders()
    entry = scene.order().client_order_id

    hear(scene, a_report(ExecType.TRADE, client_order_id=entry, last_qty=201, occurred_at=minute(20)))

    assert scene.events() == [("impossible_report", "CRITICAL")]
    assert scene.orders() == before
    assert scene.fills() == []


@pytest.mark.parametrize("kind", [ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT])
def test_a_fill_taken_back_is_never_lost_silently(scene: Scene, kind: ExecType) -> None:
    trade(scene, 20, "50.00", low="49.90")
    sync(scene)
    held = positions(scene)
    bust = a_report(kind, client_order_id=scene.order().client_order_id, occurred_at=minute(22))
    bust = replace(bust, last_qty=dec(200 if kind is ExecType.TRADE_CANCEL else 0))

    hear(scene, bust)
    hear(scene, bust)

    assert scene.events() == [("trade_corrected", "CRITICAL")]
    assert positions(scene) == held
    with scene.ledger.read() as tx:
        assert bust.exec_id in [report.exec_id for report in tx.reports(bust.client_order_id)]


def test_a_fill_after_the_round_trip_had_ended_is_booked_and_alarms(scene: Scene) -> None:
    # given an entry partly filled, canceled and stopped out
    entry, target = scene.order().client_order_id, scene.order(Leg.TARGET).client_order_id
    trade(scene, 20, "50.00", low="49.90", volume=800)
    scene.desk(at=20).broker.cancel(entry)
    trade(scene, 25, "47.00", opened="50.00")
    sync(scene)
    assert positions(scene) == []

    # when a fill in flight arrives, and is sold
    late = a_report(ExecType.TRADE, client_order_id=entry, last_qty=20, last_px=50, occurred_at=minute(30))
    hear(scene, late)
    assert [position.quantity for position in positions(scene)] == [20]
    hear(scene, a_report(ExecType.TRADE, client_order_id=target, last_qty=20, last_px=47, occurred_at=minute(35)))

    # then the shares are booked, the alarm rings, and the trade on record stays
    assert positions(scene) == []
    assert scene.events() == [("trade_reopened", "CRITICAL")]
    with scene.ledger.read() as tx:
        assert len(tx.trades("A")) == 1


def test_e23_legs_cover_the_filled_part_of_an_entry_that_ends(scene: Scene) -> None:
    trade(scene, 20, "50.00", low="49.90", volume=800)
    scene.desk(at=30).broker.cancel(scene.order().client_order_id)

    sync(scene)

    entry, stop, target = (scene.order(leg) for leg in (Leg.ENTRY, Leg.STOP, Leg.TARGET))
    assert (entry.status, entry.cum_qty) == (OrdStatus.CANCELED, dec(80))
    assert {stop.leaves_qty, target.leaves_qty, positions(scene)[0].quantity} == {dec(80)}


def test_e05_the_initial_stop_stays_when_the_stop_is_raised(scene: Scene) -> None:
    trade(scene, 20, "50.00", low="49.90")
    sync(scene)
    scene.desk(at=25).broker.replace(scene.order(Leg.STOP).client_order_id, stop_price=dec("50.00"))

    sync(scene)

    (held,) = positions(scene)
    assert (held.initial_stop, held.stop) == (dec("48.00"), dec("50.00"))


Move = tuple[int, int, int]  # close and low in cents, volume in hundreds of shares
MOVES = st.lists(st.tuples(st.integers(4600, 5900), st.integers(0, 150), st.integers(0, 40)), min_size=1, max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_positions_are_the_fold_of_fills_on_any_day(stage: Stage, moves: Sequence[Move]) -> None:
    scene, opened = working(stage.scene()), dec("50.00")
    for number, (close, below, volume) in enumerate(moves):
        price = dec(close) / 100
        low = min(price, opened) - dec(below) / 100
        scene.venue.on_bars(
            [a_bar(20 + 5 * number, price, opened=opened, low=low, volume=100 * volume)], minute(20 + 5 * number)
        )
        sync(scene)
        opened = price

    folded = {s: p.quantity for s, p in fold(scene.fills()).items() if p.is_open}
    assert {p.symbol: p.quantity for p in positions(scene)} == folded
    assert {p.symbol: p.quantity for p in scene.venue.positions()} == folded
    assert scene.events() == []


def test_reports_are_asked_for_from_the_last_instant_on(scene: Scene) -> None:
    trade(scene, 20, "50.00", low="49.90")

    synced = sync_orders(scene.desk(at=20), TIMES.session, OPENS)

    assert synced.last_at == minute(20)
    assert (synced.fills, synced.closed) == (1, 0)
    assert sync_orders(scene.desk(at=20), TIMES.session, minute(20)).reports == 0
    assert sync_orders(scene.desk(at=25), TIMES.session, minute(20) + timedelta(seconds=1)).last_at is None
