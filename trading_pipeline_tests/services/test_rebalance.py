"""Rebalancing in the session loop: sells, then buys within what they freed, once, whatever dies in between."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.orders import Leg, OrdStatus, Side
from trading_pipeline.domain.risk import Code
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.execution_summary import ExecutionSummary, summary_of
from trading_pipeline.services.rebalance import advance
from trading_pipeline_tests.builders import a_setup, dec
from trading_pipeline_tests.fakes import Crashed, Fuse, FusedClock, FusedLedger, Wrapped, fused_broker
from trading_pipeline_tests.services.guarded import Faults
from trading_pipeline_tests.services.scripted import COSTLY, FREE, TIMES, Scene, Stage, flat_bars, minute

SYMBOLS = ("AAA", "BBB", "CCC", "XYZ")


def several(price: object = "50.00") -> list[object]:
    return [bar for symbol in SYMBOLS for bar in flat_bars(price, symbol)]


def a_scene(stage: Stage, **changes: object) -> Scene:
    """Four symbols flat at 50.00; the risk limits leave room for all of them."""
    risk = {"max_open_risk_fraction": "0.2", "max_trade_risk_fraction": "0.01"}
    return stage.scene(**{"bars": several(), "risk": risk, **changes})  # type: ignore[arg-type]


def signals(scene: Scene, strengths: Mapping[str, float], at: int = 15, atr: float = 2.5) -> ScanSnapshot:
    """A set of signals on record at a minute; a daily ATR of 2.50 makes 0.4 a target of 160 shares at 50.00."""
    snapshot_id = f"signals-{at}"
    setups = [
        a_setup(
            setup_id=f"{snapshot_id}-{symbol}", snapshot_id=snapshot_id, symbol=symbol, as_of=minute(at), atr=atr,
            score=100 * strength, grade="", state="External", phase="", target=None, rank=rank, selected=True,
            details={"strength": strength},
        )
        for rank, (symbol, strength) in enumerate(strengths.items(), start=1)
    ]  # fmt: skip
    snapshot = ScanSnapshot(
        snapshot_id=snapshot_id, session=TIMES.session, as_of=minute(at), code_version="1", config_hash="c",
        input_hash="i", scored=len(setups), selected=len(setups), created_at=minute(at), source="signal_file",
    )  # fmt: skip
    with scene.ledger.transaction() as tx:
        tx.add_snapshot(snapshot, setups)
    return snapshot


def until(scene: Scene, at: int, desk: Desk | None = None) -> SessionRecord:
    """Run the loop to the end of that minute's step."""
    loop = scene.loop(desk=desk)
    loop.stop_requested = lambda: loop.desk.clock.now() > minute(at)
    return loop.run()


def held(scene: Scene) -> dict[str, int]:
    with scene.ledger.read() as tx:
        return {position.symbol: int(position.quantity) for position in tx.positions("A")}


def summary(scene: Scene, snapshot: ScanSnapshot) -> ExecutionSummary:
    with scene.ledger.read() as tx:
        return summary_of(scene.desk(), tx, snapshot)


def stops(scene: Scene, symbol: str) -> list[tuple[int, str]]:
    orders = [o for o in scene.orders(Leg.STOP) if o.symbol == symbol and o.is_open]
    return sorted((int(order.leaves_qty), f"{order.stop_price:.2f}") for order in orders)


def test_signals_become_positions_with_stops_and_without_targets(stage: Stage) -> None:
    scene = a_scene(stage)
    snapshot = signals(scene, {"AAA": 0.4, "BBB": 0.2, "CCC": 0.05})

    until(scene, 20)

    assert held(scene) == {"AAA": 160, "BBB": 80}
    assert stops(scene, "AAA") == [(160, "45.00")]  # 50.00 − 2 × 2.50
    assert not scene.orders(Leg.TARGET)
    found = summary(scene, snapshot)
    assert (found.orders_submitted, found.orders_filled, found.holding) == (2, 2, False)
    assert {row.symbol: row.status for row in found.rows} == {"AAA": "filled", "BBB": "filled", "CCC": "hold"}


def test_executing_the_same_signals_again_holds(stage: Stage) -> None:
    scene = a_scene(stage)
    signals(scene, {"AAA": 0.4, "BBB": 0.2})
    again = signals(scene, {"AAA": 0.4, "BBB": 0.2}, at=40)

    until(scene, 60)

    found = summary(scene, again)
    assert found.holding
    assert (found.orders_submitted, len(scene.orders(Leg.ENTRY))) == (0, 2)


def test_sells_come_first_and_buys_follow_their_fills(stage: Stage) -> None:
    scene = a_scene(stage)
    signals(scene, {"AAA": 0.4, "BBB": 0.4})
    signals(scene, {"AAA": -0.6, "CCC": 0.3}, at=40)

    until(scene, 60)

    fills = [(fill.symbol, fill.side.value, int(fill.quantity)) for fill in scene.fills()]
    assert fills == [
        ("AAA", "BUY", 160), ("BBB", "BUY", 160), ("AAA", "SELL", 160), ("CCC", "BUY", 120),
    ]  # fmt: skip
    assert held(scene) == {"BBB": 160, "CCC": 120}
    (entry,) = [o for o in scene.orders(Leg.ENTRY) if o.symbol == "CCC"]
    assert entry.created_at >= scene.fills()[2].executed_at
    with scene.ledger.read() as tx:
        (trade,) = tx.trades("A")
    assert (trade.symbol, trade.exit_reason.value, trade.strategy) == ("AAA", "reversal", "signal_file")


def test_a_reduction_sells_the_difference_and_the_stop_covers_the_rest(stage: Stage) -> None:
    scene = a_scene(stage)
    signals(scene, {"AAA": 0.4})
    snapshot = signals(scene, {"AAA": 0.15}, at=40)

    until(scene, 60)

    assert held(scene) == {"AAA": 60}
    assert stops(scene, "AAA") == [(60, "45.00")]
    assert [row.status for row in summary(scene, snapshot).rows] == ["filled"]
    assert not [kind for kind, severity in scene.events() if severity == "CRITICAL"]


def test_an_increase_adds_to_the_position_under_a_stop_of_its_own(stage: Stage) -> None:
    scene = a_scene(stage)
    signals(scene, {"AAA": 0.15})
    signals(scene, {"AAA": 0.4}, at=40)

    until(scene, 60)

    assert held(scene) == {"AAA": 160}
    assert sum(quantity for quantity, _ in stops(scene, "AAA")) == 160


def test_e_what_is_not_owned_is_never_sold(stage: Stage) -> None:
    scene = a_scene(stage)
    snapshot = signals(scene, {"AAA": -0.6})

    until(scene, 30)

    found = summary(scene, snapshot)
    assert (found.refused, found.orders_submitted, scene.orders()) == (1, 0, [])
    assert "not owned" in found.rows[0].reason


def test_sells_that_do_not_fill_in_time_free_nothing(stage: Stage) -> None:
    halted = [bar for bar in several() if bar.symbol != "AAA" or bar.end_at <= minute(40)]  # type: ignore[attr-defined]
    scene = a_scene(stage, bars=halted, risk={"buying_power_reserve_fraction": "0.9", "max_open_risk_fraction": "0.2"})
    signals(scene, {"AAA": 0.4})
    snapshot = signals(scene, {"AAA": -0.6, "BBB": 0.4}, at=40)

    until(scene, 60)

    assert held(scene) == {"AAA": 160, "BBB": 40}  # 92,000 USD are free, 90,000 stay in reserve
    rows = {row.symbol: row.status for row in summary(scene, snapshot).rows}
    assert rows == {"AAA": "working", "BBB": "filled"}


def test_a_denied_purchase_says_why(stage: Stage) -> None:
    scene = a_scene(stage, risk={"max_open_positions": 1, "max_open_risk_fraction": "0.2"})
    snapshot = signals(scene, {"AAA": 0.4, "BBB": 0.3})

    until(scene, 30)

    found = summary(scene, snapshot)
    assert (found.denied, found.orders_filled) == (1, 1)
    assert "position_count" in found.rows[1].reason


@pytest.mark.parametrize("newer", [{"BBB": 0.1}, {"AAA": 0.15, "BBB": 0.1}, {"AAA": 0.4}])
def test_a_reduction_that_newer_signals_overtake_is_sold_and_leaves_nothing_bare(
    stage: Stage, newer: Mapping[str, float]
) -> None:
    scene = a_scene(stage)
    signals(scene, {"AAA": 0.4})
    signals(scene, {"AAA": 0.15}, at=40)
    signals(scene, newer, at=45)
    until(scene, 35)
    lost = Faults(["reply"], only="replace")  # the stop has made room at 40, and nobody knew before 45
    desk = scene.desk()

    until(scene, 80, desk=replace(desk, broker=Wrapped(desk.broker, lost.around)))

    assert [int(order.cum_qty) for order in scene.orders(Leg.EXIT)] == [100]
    assert sum(quantity for quantity, _ in stops(scene, "AAA")) == held(scene)["AAA"]


def test_newer_signals_overtake_an_execution_that_waits(stage: Stage) -> None:
    halted = [bar for bar in several() if bar.symbol != "AAA" or bar.end_at <= minute(40)]  # type: ignore[attr-defined]
    scene = a_scene(stage, bars=halted, rebalance={"sell_timeout_seconds": 3600})
    signals(scene, {"AAA": 0.4})
    signals(scene, {"AAA": -0.6, "BBB": 0.4}, at=40)
    signals(scene, {"CCC": 0.4}, at=45)

    until(scene, 60)

    assert held(scene) == {"AAA": 160, "CCC": 160}
    assert not [order for order in scene.orders() if order.symbol == "BBB"]


def interrupted(scene: Scene, dice: random.Random) -> int:
    """Run with a process that dies after a random number of touches, again and again; returns how often it died."""
    for deaths in range(200):
        fuse = Fuse(burns_at=dice.randint(1, 40))
        clock = FusedClock(scene.desk().clock, fuse)
        broker = fused_broker(scene.desk(clock=clock).broker, fuse)
        try:
            scene.loop(desk=scene.desk(clock=clock, ledger=FusedLedger(scene.ledger, fuse), broker=broker)).run()
        except Crashed:
            continue
        return deaths
    raise AssertionError("200 lives were not enough")


def an_eventful_rebalancing(stage: Stage) -> Scene:
    scene = a_scene(stage, venue=COSTLY)
    signals(scene, {"AAA": 0.4, "BBB": 0.3, "XYZ": 0.2})
    signals(scene, {"AAA": -0.6, "BBB": 0.15, "CCC": 0.4, "XYZ": 0.35}, at=40)
    return scene


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_execution_killed_anywhere_and_resumed_ends_as_it_would_have(stage: Stage, seed: int) -> None:
    whole, broken = an_eventful_rebalancing(stage), an_eventful_rebalancing(stage)
    record = whole.loop().run()

    deaths = interrupted(broken, random.Random(seed))

    with broken.ledger.read() as tx:
        assert tx.session_record("A", TIMES.session) == record
    assert deaths > 3
    assert sorted(whole.shares()) == sorted(broken.shares())
    assert [o.client_order_id for o in whole.orders()] == [o.client_order_id for o in broken.orders()]


def test_with_leverage_asked_for_more_than_the_equity_is_bought(stage: Stage) -> None:
    limits = {
        "max_open_risk_fraction": "0.2", "max_position_notional_fraction": "0.5", "max_order_notional_usd": 50_000,
        "max_total_exposure_fraction": "2.0", "buying_power_multiple": "2.0",
    }  # fmt: skip
    risk = {**limits, "max_sector_exposure_fraction": None, "max_correlated_exposure_fraction": None}
    lent = FREE.model_copy(update={"buying_power_multiple": dec(2)})
    scene = a_scene(stage, venue=lent, risk=risk, rebalance={"capital_scaling": "2.0"})
    signals(scene, dict.fromkeys(SYMBOLS, 0.5), atr=0.5)

    until(scene, 40)

    assert held(scene) == {"AAA": 1000, "BBB": 1000, "CCC": 1000, "XYZ": 600}  # 180,000 USD: 20,000 stay free
    assert sum(held(scene).values()) * 50 > 100_000


def test_a_purchase_across_a_wide_spread_is_denied(stage: Stage) -> None:
    scene = a_scene(stage)
    scene.start(scene.desk(at=15))
    snapshot = signals(scene, {"AAA": 0.4})
    wide = Quote("AAA", dec("50.00"), minute(15), bid=dec("49.50"), ask=dec("50.50"))

    advance(scene.desk(at=15), snapshot, TIMES, lambda _symbols: {"AAA": wide})

    with scene.ledger.read() as tx:
        (decision,) = tx.decisions("A", TIMES.session)
    assert Code.SPREAD in {finding.code for finding in decision.findings}


def test_money_and_shares_are_conserved(stage: Stage) -> None:
    scene = an_eventful_rebalancing(stage)

    until(scene, 60)

    assert held(scene) == {"BBB": 59, "CCC": 159, "XYZ": 139}  # costs have lowered equity
    account = scene.desk().broker.account()
    cash = dec(100_000)
    for fill in scene.fills():
        cash += fill.quantity * fill.price * (1 if fill.side is Side.SELL else -1) - fill.commission
    assert account.cash_usd == cash
    assert {p.symbol: int(p.quantity) for p in scene.desk().broker.positions()} == held(scene)
    assert Decimal(0) <= account.buying_power_usd
    assert all(order.status is not OrdStatus.REJECTED for order in scene.orders())
