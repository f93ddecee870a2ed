"""Busts, corrections and late fills are rows of their own: fills, positions and trades follow them in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from trading_pipeline.domain.orders import ExecType, ExecutionReport, Leg, OrdStatus
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline_tests.builders import a_report, dec
from trading_pipeline_tests.services.scripted import Scene, Stage, minute
from trading_pipeline_tests.services.told import (
    bought,
    bust,
    correction,
    hear,
    positions,
    require_conserved,
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
