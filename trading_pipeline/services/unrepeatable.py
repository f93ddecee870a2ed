"""What happened in a recorded session that a replay at a simulated venue cannot repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.corporate import CashKind
from trading_pipeline.domain.orders import EXTERNAL, ExecType, ExecutionReport
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.adjustments import ADJUSTMENT
from trading_pipeline.services.breaker import ENDED
from trading_pipeline.services.closing import UNHEARD
from trading_pipeline.services.readiness import CONFIGURED

OF_THE_VENUE = frozenset({CashKind.DIVIDEND, CashKind.CASH_IN_LIEU})
"""Cash that the simulated venue pays again."""
UNANSWERED, ADJUSTED = frozenset({"venue_silent", "reports_unknown", UNHEARD}), "adj-"


@dataclass(frozen=True, slots=True)
class Unrepeatable:
    """One such thing, in words for one of its kind."""

    at: datetime
    words: str


def unrepeatable(tx: LedgerTransaction, record: SessionRecord) -> list[Unrepeatable]:
    """All of them: adjustments, orders made by others, cash from elsewhere, and answers the venue did not give."""
    return [*_of_orders(tx, record), *_of_cash(tx, record), *_of_configuration(tx, record), *_of_silence(tx, record)]


def first_of(found: Sequence[Unrepeatable], record: SessionRecord) -> datetime:
    """When the first one counted; from the open on when one is dated outside the session, by another clock."""
    instants = [one.at for one in found]
    ended_at = record.cursor_at or record.started_at
    return min(instants) if record.started_at <= min(instants) and max(instants) <= ended_at else record.started_at


def counted(found: Sequence[Unrepeatable]) -> str:
    """How many of each kind."""
    return ", ".join(f"{count} {words}" for words, count in sorted(Counter(one.words for one in found).items()))


def _of_orders(tx: LedgerTransaction, record: SessionRecord) -> Iterator[Unrepeatable]:
    fills = tx.fills(record.account, session=record.session)
    for order in tx.orders(record.account, record.session):
        if order.strategy == EXTERNAL and not order.client_order_id.startswith(ADJUSTED):
            traded = (one.executed_at for one in fills if one.client_order_id == order.client_order_id)
            first = min([order.created_at, order.submitted_at or order.created_at, *traded])
            yield Unrepeatable(first, "order(s) made by others")
        yield from _of_reports(tx.reports(order.client_order_id))
    for fill in fills:
        if fill.broker == ADJUSTMENT:
            yield Unrepeatable(fill.executed_at, "adjustment(s)")


def _of_reports(reports: Iterable[ExecutionReport]) -> Iterator[Unrepeatable]:
    for report in reports:
        if report.exec_type is ExecType.IN_DOUBT:
            yield Unrepeatable(report.occurred_at, "lost answer(s)")
        elif report.exec_id.startswith(ADJUSTED) and report.exec_type not in {ExecType.TRADE, ExecType.TRADE_CANCEL}:
            yield Unrepeatable(report.occurred_at, "adjustment(s)")


def _of_cash(tx: LedgerTransaction, record: SessionRecord) -> Iterator[Unrepeatable]:
    for cash in tx.cash_activities(record.account, session=record.session):
        if cash.broker == ADJUSTMENT:
            yield Unrepeatable(cash.occurred_at, "adjustment(s)")
        elif cash.kind not in OF_THE_VENUE:
            yield Unrepeatable(cash.occurred_at, "cash movement(s) from elsewhere")


def _of_configuration(tx: LedgerTransaction, record: SessionRecord) -> Iterator[Unrepeatable]:
    for event in tx.risk_events(record.account, record.session):
        if event.kind == CONFIGURED:
            yield Unrepeatable(event.occurred_at, "change(s) of configuration")


def _of_silence(tx: LedgerTransaction, record: SessionRecord) -> Iterator[Unrepeatable]:
    for event in tx.risk_events(record.account, record.session):
        if event.data.get("trigger", event.kind) in UNANSWERED and event.kind != ENDED:
            yield Unrepeatable(event.occurred_at, "row(s) of unanswered questions to the venue")
