"""What the venue says ends in the same record, in whatever order and however often it says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.orders import EXTERNAL, ExecType, ExecutionReport, Fill, Leg, OrdStatus, Side
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.services.decision_log import decision_log
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import Synced, sync_orders
from trading_pipeline_tests.builders import a_report, an_order, dec
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


def bought(scene: Scene, shares: object, **changes: object) -> ExecutionReport:
    """The venue says that the entry bought, at minute 20 and 50.00."""
    entry = scene.order().client_order_id
    return a_report(ExecType.TRADE, client_order_id=entry, last_qty=shares, occurred_at=minute(20), **changes)


def sold(scene: Scene, shares: object, at: int = 30, leg: Leg = Leg.TARGET, **changes: object) -> ExecutionReport:
    order = scene.order(leg).client_order_id
    return a_report(ExecType.TRADE, client_order_id=order, last_qty=shares, occurred_at=minute(at), **changes)


def bust(trade_: ExecutionReport, at: int = 40) -> ExecutionReport:
    return replace(
        trade_, exec_id=f"{trade_.exec_id}-bust", exec_type=ExecType.TRADE_CANCEL, ref_exec_id=trade_.exec_id,
        occurred_at=minute(at),
    )  # fmt: skip


def correction(trade_: ExecutionReport, at: int = 40, **holds: object) -> ExecutionReport:
    held: dict[str, Any] = {name: dec(value) for name, value in holds.items()}
    return replace(
        trade_, exec_id=f"{trade_.exec_id}-correct", exec_type=ExecType.TRADE_CORRECT, ref_exec_id=trade_.exec_id,
        occurred_at=minute(at), **held,
    )  # fmt: skip


def trades(scene: Scene) -> list[Trade]:
    with scene.ledger.read() as tx:
        return list(tx.trades("A"))


def alerts(scene: Scene) -> list[str]:
    with scene.ledger.read() as tx:
        return [alert.kind for alert in tx.alerts("A") if alert.level is AlertLevel.INFO]


def require_conserved(scene: Scene) -> None:
    """Positions are the fold of the fills, and what closed trades and open positions earned is the fills' cash."""
    fills = scene.fills()
    folded = [trip for trip in fold(fills).values() if trip.is_open]
    assert [(p.trade_id, p.quantity, p.avg_px, p.realized_usd) for p in positions(scene)] == [
        (p.trade_id, p.quantity, p.avg_px, p.realized_usd) for p in folded
    ]
    cash = sum((_signed(fill) for fill in fills), dec(0))
    kept = sum((p.realized_usd - p.commission_usd - p.quantity * p.avg_px for p in positions(scene)), dec(0))
    assert sum((trade_.net_usd for trade_ in trades(scene)), dec(0)) + kept == cash


def _signed(fill: Fill) -> Decimal:
    value = fill.quantity * fill.price * (1 if fill.side is Side.SELL else -1) - fill.commission
    return -value if fill.is_reversal else value


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


def test_a_bust_is_booked_as_a_row_that_takes_the_fill_back(scene: Scene) -> None:
    first, second = bought(scene, 120, commission=1), bought(scene, 80, last_px="50.5")
    hear(scene, first, second)

    hear(scene, bust(first))
    hear(scene, bust(first))

    (held,) = positions(scene)
    assert (held.quantity, held.avg_px, held.commission_usd, held.stop) == (dec(80), dec("50.5"), dec(0), dec(48))
    assert (scene.order().status, scene.order().cum_qty) == (OrdStatus.PARTIALLY_FILLED, dec(80))
    assert scene.events() == [("trade_corrected", "WARNING")]
    assert [fill.exec_id for fill in scene.fills() if fill.is_reversal] == [f"{first.exec_id}~reversed"]
    require_conserved(scene)


def test_a_bust_before_its_trade_is_kept_until_the_trade_comes(scene: Scene) -> None:
    trade_ = bought(scene, 120)

    hear(scene, bust(trade_))
    assert scene.events() == [("correction_waits", "WARNING")]
    hear(scene, trade_)

    assert scene.fills() == []
    assert positions(scene) == []


def test_a_correction_holds_instead_of_its_trade(scene: Scene) -> None:
    trade_ = bought(scene, 200)
    hear(scene, trade_)

    hear(scene, correction(trade_, last_px="49.90"))

    (held,) = positions(scene)
    assert (held.quantity, held.avg_px) == (dec(200), dec("49.90"))
    assert len(scene.fills()) == 3
    require_conserved(scene)


def test_a_correction_after_the_close_amends_the_trade_by_the_difference(scene: Scene) -> None:
    entry, closing = bought(scene, 200), sold(scene, 200, last_px=56)
    hear(scene, entry, closing)

    hear(scene, correction(closing, last_px="55.50", commission=2))

    first, amended = trades(scene)
    assert (first.net_usd, amended.trade_id) == (dec(1200), f"{first.trade_id}~2")
    assert (amended.net_usd, amended.commission_usd, amended.quantity) == (dec(-102), dec(2), dec(0))
    assert positions(scene) == []
    require_conserved(scene)


def test_a_busted_sale_opens_the_position_again_with_its_stop_and_closes_anew(scene: Scene) -> None:
    closing = sold(scene, 200, last_px=56)
    hear(scene, bought(scene, 200), closing)

    hear(scene, bust(closing))

    (held,) = positions(scene)
    assert (held.quantity, held.initial_stop, held.target) == (dec(200), dec(48), dec(56))
    assert sum(trade_.net_usd for trade_ in trades(scene)) == 0
    hear(scene, sold(scene, 200, at=50, last_px=55))
    assert sum(trade_.net_usd for trade_ in trades(scene)) == 1000
    assert [trade_.net_usd for trade_ in whole_trades(trades(scene))] == [1000]
    require_conserved(scene)


def test_a_bust_of_shares_already_sold_waits_and_alarms(scene: Scene) -> None:
    entry = bought(scene, 200)
    hear(scene, entry, sold(scene, 200, last_px=56))

    hear(scene, bust(entry))

    assert scene.events() == [("sale_without_shares", "CRITICAL")]
    assert [fill for fill in scene.fills() if fill.is_reversal] == []


def test_a_fill_after_the_round_trip_had_ended_opens_it_again_and_amends_its_trade(scene: Scene) -> None:
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

    # then the shares are booked, and the rows of the one round trip add up
    assert positions(scene) == []
    (whole,) = whole_trades(trades(scene))
    assert (whole.quantity, whole.net_usd) == (dec(100), dec(-220))
    require_conserved(scene)


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
        assert sync_orders(silent, TIMES.session, OPENS) == Synced()
    assert scene.events() == [("reports_unknown", "WARNING")]

    sync(scene)
    assert [held.quantity for held in positions(scene)] == [200]


def test_any_permutation_of_a_day_with_a_bust_and_a_correction_ends_in_the_same_record(stage: Stage) -> None:
    seen = set()
    for seed in range(12):
        scene = working(stage.scene())
        first, second, closing = bought(scene, 120), bought(scene, 80, last_px="50.5"), sold(scene, 100, last_px=56)
        said_ = [first, second, closing, bust(second), correction(first, last_qty=110, last_px="49.9")]
        named = [replace(one, exec_id=f"x{n}", ref_exec_id=_named(one, said_)) for n, one in enumerate(said_)]
        shuffled = Random(seed).sample([*named, *named], 10)
        for report in shuffled:
            hear(scene, report)
        hear(scene, *shuffled)
        require_conserved(scene)
        (held,) = positions(scene)
        seen.add((held.quantity, held.avg_px, held.realized_usd, scene.order().cum_qty, scene.order().status))
    assert seen == {(dec(10), dec("49.9"), dec(610), dec(110), OrdStatus.PARTIALLY_FILLED)}


def _named(report: ExecutionReport, said_: Sequence[ExecutionReport]) -> str:
    ids = [one.exec_id for one in said_]
    return f"x{ids.index(report.ref_exec_id)}" if report.ref_exec_id else ""


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
