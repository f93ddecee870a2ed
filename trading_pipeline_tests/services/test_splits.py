"""Splits: positions and stops in new units before the first bar, and prices nobody announced."""

from __future__ import annotations

import pytest

from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.corporate import looks_like_split
from trading_pipeline.services.entries import rearm
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import ScriptedFeed
from trading_pipeline_tests.services.guarded import cover, position_of
from trading_pipeline_tests.services.scripted import NEXT, Scene, Stage, minute, path


def night(stage: Stage, next_price: object) -> Scene:
    """XYZ is bought at 50.00, halts before the time exit, sleeps under a stop, and trades again the next day."""
    today = [bar for bar in path({5: "50.00", 20: "49.90"}) if bar.end_at <= minute(90)]
    scene = stage.scene(bars=[*today, *path({5: next_price}, times=NEXT)])
    scene.watchlist("XYZ")
    scene.loop().run()
    return scene


def the_next_day(scene: Scene, ratio: object | None) -> SessionLoop:
    """The loop of the next session, XYZ splitting before its open."""
    loop = scene.loop(NEXT)
    assert isinstance(loop.feed, ScriptedFeed)
    loop.feed.splits = {} if ratio is None else {NEXT.session: {"XYZ": dec(ratio)}}
    return loop


def stopped_at_the_open(scene: Scene, ratio: object) -> None:
    """The next session as far as its open."""
    loop, stops = the_next_day(scene, ratio), iter([False])
    loop.stop_requested = lambda: next(stops, True)
    loop.run()


@pytest.mark.parametrize(
    ("ratio", "shares", "stop"), [("2", 400, "24.00"), ("0.5", 100, "96.00"), ("1.5", 300, "32.00")]
)
def test_before_the_open_position_and_stop_are_in_new_units(stage: Stage, ratio: str, shares: int, stop: str) -> None:
    scene = night(stage, dec("50.00") / dec(ratio))

    stopped_at_the_open(scene, ratio)

    held = position_of(scene)
    assert held is not None
    assert (held.quantity, held.avg_px, held.initial_stop) == (dec(shares), 50 / dec(ratio), dec(stop))
    (resting,) = scene.venue.open_orders()
    assert (resting.stop_price, resting.quantity) == (dec(stop), dec(shares))
    assert cover(scene).bare == 0


def test_a_split_position_is_sold_whole_and_its_money_adds_up(stage: Stage) -> None:
    scene = night(stage, "25.50")

    the_next_day(scene, "2").run()

    assert scene.shares() == [("BUY", 200, "50.00"), ("SELL", 400, "25.50")]
    assert scene.venue.account().cash_usd == dec(100_000) - 200 * 50 + 400 * dec("25.50")
    assert position_of(scene) is None
    assert scene.events("unannounced_split") == []


def test_a_restart_at_the_open_splits_once(stage: Stage) -> None:
    scene = night(stage, "25.00")
    for _ in range(2):
        stopped_at_the_open(scene, "2")

    held = position_of(scene)
    assert held is not None
    assert held.quantity == 400


def test_an_unannounced_split_blocks_the_symbol_and_alarms_once(stage: Stage) -> None:
    scene = night(stage, "25.00")

    the_next_day(scene, None).run()

    assert scene.events("unannounced_split") == [("unannounced_split", "CRITICAL")]
    with scene.ledger.read() as tx:
        assert [block.kind for block in tx.blocks("A", symbol="XYZ")].count(BlockKind.UNANNOUNCED_SPLIT) == 1


def test_a_person_ends_the_block_of_an_unannounced_split(stage: Stage) -> None:
    scene = night(stage, "25.00")
    the_next_day(scene, None).run()

    rearm(scene.desk(), "XYZ", NEXT.session, reason="it was a bad print", operator="ann")

    with scene.ledger.read() as tx:
        assert all(block.kind is not BlockKind.UNANNOUNCED_SPLIT for block in tx.blocks("A", symbol="XYZ"))


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ("50", "25", "2:1"),
        ("50", "25.4", "2:1"),
        ("30", "10", "3:1"),
        ("10", "100", "1:10"),
        ("30", "20.1", "3:2"),
        ("50", "40", None),
        ("50", "50", None),
        ("50", "27", None),
    ],
)
def test_prices_that_stand_like_n_to_m_look_like_a_split(before: str, after: str, seen: str | None) -> None:
    assert looks_like_split(dec(before), dec(after)) == seen
