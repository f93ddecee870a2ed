"""What really happened in a world, so that a run that saw nothing cannot pass for one that found nothing."""

from __future__ import annotations

from trading_pipeline.domain.orders import EXTERNAL, Leg, Order
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline_tests.machine.world import ACCOUNT, World

MUST_HAPPEN = (
    "own entry: Filled", "own entry: Canceled", "own entry: Rejected", "own entry: Expired",
    "partly filled entries", "own stop: Filled", "own target: Filled", "own exit: Filled", "external entry: Filled",
    "reported: InDoubt", "reported: Replaced", "reported: TradeCancel", "reported: TradeCorrect", "trade: stop",
    "trade: target", "trade: trailing", "trade: time", "trade: manual", "trade: max_hold", "crashed", "restarted",
    "event: reports_unknown", "overnight", "dividends", "outsider traded", "outsider canceled",
    "event: reconcile_break", "event: partial_profit", "event: unknown_order", "event: order_in_doubt",
    "event: unprotected", "event: trade_corrected", "event: replace_failed", "operator: HALTED",
    "operator: REDUCING", "reports came late", "fault: duplicate execution_reports",
    "fault: reorder execution_reports", "fault: stall execution_reports", "finding: total_open_risk",
    "finding: position_count", "finding: trading_state", "finding: symbol_busy",
)  # fmt: skip
"""What every long run has seen."""


def missing(what: dict[str, int]) -> list[str]:
    """What a run should have seen and did not."""
    return [name for name in MUST_HAPPEN if not what.get(name)]


def count_what_happened(world: World) -> None:
    """Add what the record tells to what was counted on the way."""
    what = world.what
    with world.ledger.read() as tx:
        records = tx.session_records(ACCOUNT)
        for record in records:
            what.update(f"event: {event.kind}" for event in tx.risk_events(ACCOUNT, record.session))
            for decision in tx.decisions(ACCOUNT, record.session):
                what.update(f"finding: {finding.code.value}" for finding in decision.findings)
            for order in tx.orders(ACCOUNT, record.session):
                _count_order(world, tx, order)
        what.update(f"trade: {trade.exit_reason.value}" for trade in tx.trades(ACCOUNT))
        what["fills"] += len(tx.fills(ACCOUNT))
        what["dividends"] += len(tx.cash_activities(ACCOUNT))
        what["sessions"] += len(records)
        what["overnight"] += sum(not record.was_flat for record in records)


def _count_order(world: World, tx: LedgerTransaction, order: Order) -> None:
    owner = "external" if order.strategy == EXTERNAL else "own"
    world.what[f"{owner} {order.leg.value}: {order.status.value}"] += 1
    trades = [one for one in tx.reports(order.client_order_id) if one.exec_type.value == "Trade"]
    if order.leg is Leg.ENTRY and (0 < order.cum_qty < order.quantity or len(trades) > 1):
        world.what["partly filled entries"] += 1
    world.what.update(f"reported: {kind}" for kind in {r.exec_type.value for r in tx.reports(order.client_order_id)})
