"""What the session loop wrote in one session, by asset name, as short rows people can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Fill, Order
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.risk import RiskDecision, Verdict
from trading_pipeline.domain.trades import round_trip_id
from trading_pipeline.ports import LedgerTransaction

Row = dict[str, object]


def _decisions(tx: LedgerTransaction, account: str, session: date) -> list[Row]:
    plans = {plan.plan_id: plan for plan in tx.plans(account, session)}
    return [_decision(decision, plans[decision.plan_id].symbol) for decision in tx.decisions(account, session)]


def _decision(decision: RiskDecision, symbol: str) -> Row:
    denials = [finding.code.value for finding in decision.findings if finding.verdict is Verdict.DENIAL]
    return {
        "at": decision.decided_at.isoformat(), "symbol": symbol, "approved": decision.approved,
        "quantity": str(decision.quantity), "bound_by": decision.bound_by, "denials": ", ".join(denials),
    }  # fmt: skip


def _order(order: Order) -> Row:
    return {
        "client_order_id": order.client_order_id, "symbol": order.symbol, "side": order.side.value,
        "leg": order.leg.value, "type": order.order_type.value, "quantity": str(order.quantity),
        "limit": _text(order.limit_price), "stop": _text(order.stop_price), "status": order.status.value,
        "filled": str(order.cum_qty), "avg_px": _price(order.avg_px),
    }  # fmt: skip


def _fill(fill: Fill) -> Row:
    return {
        "at": fill.executed_at.isoformat(), "symbol": fill.symbol, "side": fill.side.value,
        "quantity": str(fill.quantity), "price": str(fill.price), "commission": str(fill.commission),
        "client_order_id": fill.client_order_id,
    }  # fmt: skip


def _position(position: Position) -> Row:
    return {
        "symbol": position.symbol, "quantity": str(position.quantity), "avg_px": _price(position.avg_px),
        "stop": _text(position.stop), "target": _text(position.target), "mark": _text(position.mark),
    }  # fmt: skip


def _trade(trade: Trade) -> Row:
    is_whole = round_trip_id(trade.trade_id) == trade.trade_id
    return {
        "symbol": trade.symbol, "quantity": str(trade.quantity), "entry": _price(trade.entry_px),
        "exit": _price(trade.exit_px), "net_usd": str(trade.net_usd),
        "r": "" if trade.r_multiple is None else f"{trade.r_multiple:.2f}",
        "reason": trade.exit_reason.value if is_whole else "amendment", "grade": trade.grade,
        "score": "" if trade.score is None else round(trade.score, 2),
    }  # fmt: skip


def _price(average: Decimal) -> str:
    """Of an average no more than six digits behind the point: a division may leave thirty."""
    return plain(round(average, 6))


def _text(value: object) -> str:
    return "" if value is None else str(value)


Reader = Callable[[LedgerTransaction, str, date], Sequence[Row]]
TRADING_ASSETS: dict[str, Reader] = {
    "trade_decisions": _decisions,
    "orders": lambda tx, account, session: [_order(order) for order in tx.orders(account, session)],
    "fills": lambda tx, account, session: [_fill(fill) for fill in tx.fills(account, session=session)],
    "positions": lambda tx, account, _session: [_position(position) for position in tx.positions(account)],
    "trades": lambda tx, account, session: [_trade(trade) for trade in tx.trades(account, session, session)],
}
"""Assets the loop writes, in the order of their lineage."""


def session_rows(tx: LedgerTransaction, account: str, session: date, asset: str) -> Sequence[Row]:
    """The rows of one trading asset for one session."""
    return TRADING_ASSETS[asset](tx, account, session)
