"""What a run leaves behind, in a form two runs can be compared by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import ExecType, Fill, Order
from trading_pipeline.ports import Broker, Ledger
from trading_pipeline.services.book import cash_after


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """The record and the venue after the close. Everything is text, by identity, sorted."""

    orders: tuple[tuple[str, ...], ...]
    fills: tuple[tuple[str, ...], ...]
    trades: tuple[tuple[str, ...], ...]
    positions: tuple[tuple[str, ...], ...]
    cash: str
    decision_hash: str
    venue_orders: tuple[tuple[str, ...], ...]
    venue_positions: tuple[tuple[str, ...], ...]
    venue_cash: str
    halted: bool

    def count(self, leg: str, status: str) -> int:
        """Orders of a leg that ended so."""
        return sum(1 for row in self.orders if (row[2], row[3]) == (leg, status))

    def filled(self, leg: str) -> Decimal:
        """Shares filled on a leg."""
        return sum((Decimal(row[4]) for row in self.orders if row[2] == leg), ZERO)

    def asked(self, leg: str) -> Decimal:
        """Shares ordered on a leg that filled at all."""
        return sum((Decimal(row[5]) for row in self.orders if row[2] == leg and Decimal(row[4]) > 0), ZERO)

    @property
    def exit_reasons(self) -> set[str]:
        """Why trades ended."""
        return {row[2] for row in self.trades}


def read_end_state(ledger: Ledger, broker: Broker, account: str, session: date) -> EndState:
    """Read the record and ask the venue."""
    with ledger.read() as tx:
        record, state = tx.session_record(account, session), tx.trading_state(account)
        orders, fills = tx.orders(account, session), tx.fills(account)
        trades, positions = tx.trades(account), tx.positions(account)
    assert record is not None
    reports = broker.execution_reports(record.started_at)
    venue = broker.account()
    return EndState(
        orders=tuple(sorted(_order_row(order) for order in orders)),
        fills=tuple(sorted(_fill_row(fill) for fill in fills)),
        trades=tuple(sorted((t.trade_id, t.symbol, t.exit_reason.value, plain(t.net_usd)) for t in trades)),
        positions=tuple(sorted((p.symbol, plain(p.quantity), plain(p.avg_px), str(p.stop)) for p in positions)),
        cash=plain(cash_after(record.opening_cash_usd, fills)),
        decision_hash=record.decision_hash,
        venue_orders=tuple(sorted({(report.client_order_id, report.venue_order_id) for report in reports})),
        venue_positions=tuple(sorted((p.symbol, plain(p.quantity)) for p in broker.positions())),
        venue_cash=plain(venue.cash_usd),
        halted=state is not None and not state.state.allows_entries,
    )


def violations(
    end: EndState, calm: EndState, venue_fills: Counter[tuple[str, ...]], *, same_log: bool = True
) -> list[str]:
    """What differs from the uncrashed run, and which laws are broken; empty when all is well.

    same_log: False on days whose log a crash may change, but not their end.
    """
    found = [
        f"{name} differ from the uncrashed run: {_difference(getattr(end, name), getattr(calm, name))}"
        for name in EndState.__slots__
        if getattr(end, name) != getattr(calm, name) and (same_log or name != "decision_hash")
    ]
    if end.cash != end.venue_cash:
        found.append(f"cash on record {end.cash} USD, at the venue {end.venue_cash} USD")
    ours = Counter(row[-4:] for row in end.fills)
    if ours != venue_fills:
        lost, invented = venue_fills - ours, ours - venue_fills
        found.append(f"fills lost: {sorted(lost.elements())}, doubled or invented: {sorted(invented.elements())}")
    return found


def venue_executions(broker: Broker, ledger: Ledger, account: str, session: date) -> Counter[tuple[str, ...]]:
    """The venue's own trades by symbol, side, shares and price: what every door tells alike."""
    with ledger.read() as tx:
        record = tx.session_record(account, session)
    assert record is not None
    trades = [r for r in broker.execution_reports(record.started_at) if r.exec_type is ExecType.TRADE]
    found: Counter[tuple[str, ...]] = Counter()
    for trade in trades:
        order = broker.order(trade.client_order_id)
        assert order is not None
        found[(order.symbol, order.side.value, plain(trade.last_qty), plain(trade.last_px))] += 1
    return found


def _order_row(order: Order) -> tuple[str, ...]:
    return (
        order.client_order_id, order.symbol, order.leg.value, order.status.value, plain(order.cum_qty),
        plain(order.quantity), plain(order.avg_px), plain(order.commission), str(order.stop_price),
        str(order.limit_price),
    )  # fmt: skip


def _fill_row(fill: Fill) -> tuple[str, ...]:
    return (
        fill.exec_id, fill.client_order_id, plain(fill.commission), fill.symbol, fill.side.value, plain(fill.quantity),
        plain(fill.price),
    )  # fmt: skip


def _difference(ours: Any, calm: Any) -> str:
    if not isinstance(ours, tuple):
        return f"{ours} instead of {calm}"
    return f"only here {sorted(set(ours) - set(calm))}, only there {sorted(set(calm) - set(ours))}"
