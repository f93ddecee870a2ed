"""What the venue says ends in the same record, in whatever order and however often it says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.orders import EXTERNAL, ExecType, ExecutionReport, Leg, OrdStatus, Side
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import Synced, sync_orders
from trading_pipeline_tests.builders import a_report, an_order, dec
from trading_pipeline_tests.fakes import ScriptedReports
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, a_bar, minute, quote
from trading_pipeline_tests.services.told import (
    a_whole_day,
    alerts,
    bought,
    hear,
    positions,
    require_conserved,
    said,
    sold,
    sync,
    trade,
    trades,
    working,
)


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """One bracket working at the venue; what it reported is not read yet."""
    return working(stage.scene())


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
    dice = Random(seed)
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


def test_an_overfill_is_held_told_and_leaves_the_order_full(scene: Scene) -> None:
    sync(scene)

    hear(scene, bought(scene, 201))

    assert scene.events() == [("overfill", "CRITICAL")]
    assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.FILLED, dec(200))
    assert [held.quantity for held in positions(scene)] == [201]
    require_conserved(scene)


def test_e26_shares_of_an_order_we_took_for_refused_are_ours_all_the_same(scene: Scene) -> None:
    entry = scene.order().client_order_id
    hear(scene, a_report(ExecType.REJECTED, client_order_id=entry, occurred_at=minute(16)))

    hear(scene, bought(scene, 200))

    assert scene.events() == [("impossible_report", "CRITICAL")]
    assert scene.order().status is OrdStatus.REJECTED
    assert [held.quantity for held in positions(scene)] == [200]


def test_e22_a_trade_is_on_record_when_it_filled_at_its_fill_price_and_not_when_it_was_ordered(scene: Scene) -> None:
    sync(scene)
    assert (positions(scene), trades(scene), scene.fills()) == ([], [], [])

    hear(scene, bought(scene, 200, last_px="49.87"), sold(scene, 200, last_px="56.02"))

    (one,) = trades(scene)
    assert (one.entry_px, one.exit_px, one.entry_at) == (dec("49.87"), dec("56.02"), minute(20))


def test_e39_e35_each_partial_fill_is_a_row_of_its_own_with_every_digit(scene: Scene) -> None:
    hear(scene, bought(scene, 60, last_px="49.990001"), bought(scene, 40, last_px="49.9899"))

    assert [(fill.quantity, fill.price) for fill in scene.fills()] == [
        (dec(60), dec("49.990001")), (dec(40), dec("49.9899")),
    ]  # fmt: skip
    assert (scene.order().cum_qty, scene.order().avg_px) == (dec(100), dec("49.9899606"))


def test_e06_a_trailed_winner_books_its_r_from_the_initial_stop(scene: Scene) -> None:
    hear(scene, bought(scene, 200))
    stop = scene.order(Leg.STOP).client_order_id
    moved = a_report(ExecType.REPLACED, client_order_id=stop, stop_price="52.00", occurred_at=minute(25))
    hear(scene, moved, sold(scene, 200, leg=Leg.STOP, last_px=52))

    (one,) = trades(scene)
    assert (one.r_multiple, one.initial_stop, one.exit_reason.value) == (dec(1), dec(48), "trailing")


def test_an_order_that_others_made_closes_into_a_trade_without_a_setup(stage: Stage) -> None:
    scene = stage.scene()
    scene.start(scene.desk())
    entry = an_order(
        client_order_id="theirs", intent_id=None, strategy=EXTERNAL, session=TIMES.session, created_at=OPENS,
        updated_at=OPENS,
    )  # fmt: skip
    exit_ = replace(entry, client_order_id="theirs-too", side=Side.SELL, leg=Leg.EXIT)
    with scene.ledger.transaction() as tx:
        tx.add_order(entry)
        tx.add_order(exit_)

    hear(
        scene,
        a_report(ExecType.TRADE, client_order_id="theirs", occurred_at=minute(5)),
        a_report(ExecType.TRADE, client_order_id="theirs-too", last_px=51, occurred_at=minute(6)),
    )

    (one,) = trades(scene)
    assert (one.strategy, one.net_usd, one.exit_reason.value) == ("EXTERNAL", dec(100), "manual")
    assert (one.setup_id, one.snapshot_id, one.score, one.r_multiple, one.initial_stop) == (None,) * 5


def test_people_hear_of_what_opened_and_closed_once(scene: Scene) -> None:
    a_whole_day(scene)

    sync(scene)
    sync(scene)

    assert sorted(alerts(scene)) == ["position_closed", "position_opened", "stop_hit"]


def test_a_venue_that_does_not_answer_is_a_warning_a_minute_and_no_crash(scene: Scene) -> None:
    trade(scene, 20, "50.00", low="49.90")

    @dataclass
    class Silent(ScriptedReports):
        def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
            raise OutcomeUnknown(f"no answer within 10 s about reports since {since}")

    silent = scene.desk(at=20, broker=Silent())
    for _ in range(3):
        assert sync_orders(silent, TIMES.session, OPENS) == Synced(heard=False)
    assert scene.events() == [("reports_unknown", "WARNING")]

    sync(scene)
    assert [held.quantity for held in positions(scene)] == [200]


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


def test_e02_legs_name_their_entry_before_anything_is_sent_and_the_venue_ties_them_to_it(stage: Stage) -> None:
    scene = stage.scene()
    desk = scene.desk(at=15)
    scene.start(desk)
    decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote("50.00", 15))
    entry, stop, target = (scene.order(leg) for leg in (Leg.ENTRY, Leg.STOP, Leg.TARGET))
    assert {stop.parent_id, target.parent_id} == {entry.client_order_id}

    dispatch_due(desk)

    parents = {order.client_order_id: order.parent_id for order in desk.broker.open_orders()}
    assert parents == {
        entry.client_order_id: None, stop.client_order_id: entry.client_order_id,
        target.client_order_id: entry.client_order_id,
    }  # fmt: skip


def test_e03_a_positions_stop_is_the_one_the_venue_has(scene: Scene) -> None:
    trade(scene, 20, "50.00", low="49.90")
    sync(scene)
    desk, stop = scene.desk(at=25), scene.order(Leg.STOP).client_order_id

    with pytest.raises(OrderRefused):
        desk.broker.replace(stop, stop_price=dec("-1"))
    sync(scene)
    assert positions(scene)[0].stop == dec(48)
    desk.broker.replace(stop, stop_price=dec("49.00"))
    sync(scene)

    there = desk.broker.order(stop)
    assert there is not None
    assert positions(scene)[0].stop == there.stop_price == scene.order(Leg.STOP).stop_price == dec(49)


def test_e04_a_cancel_names_the_order_and_ends_it_at_the_venue_and_on_record(scene: Scene) -> None:
    desk, entry = scene.desk(at=20), scene.order().client_order_id

    desk.broker.cancel(entry)
    sync(scene)

    assert desk.broker.open_orders() == ()
    assert set(scene.statuses().values()) == {OrdStatus.CANCELED}
