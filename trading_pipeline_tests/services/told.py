"""One bracket at the simulated venue, what the venue tells of it, and what is then on record."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.fold import fold
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Fill, Leg, Side
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.services.decision_log import decision_log
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline_tests.builders import a_report, dec
from trading_pipeline_tests.fakes import ScriptedReports
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, a_bar, minute, quote


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
