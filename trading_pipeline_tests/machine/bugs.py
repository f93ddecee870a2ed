"""Bugs put in on purpose, each a wrong version of one function: what the machine is for is finding them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.domain.orders import ExecType, ExecutionReport, Order, OrdStatus
from trading_pipeline.domain.risk import RiskBook
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services import book, dispatch, entries, order_sync
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.local_reports import end_locally

Break = Callable[[pytest.MonkeyPatch], None]


def drop_the_reservation(patch: pytest.MonkeyPatch) -> None:
    """An approved entry is not counted in the book of those decided after it."""

    def unreserved(book: RiskBook, *_: object) -> RiskBook:
        return book

    patch.setattr(entries, "_reserved", unreserved)


def reserve_nothing_for_what_works(patch: pytest.MonkeyPatch) -> None:
    """A working entry's risk is left out of the book."""
    real = book._working

    def unreserved(*arguments: Any) -> Any:
        return replace(real(*arguments), reserved_risk_usd=Decimal(0))

    patch.setattr(book, "_working", unreserved)


def resend_under_a_new_id(patch: pytest.MonkeyPatch) -> None:
    """An order whose answer was lost is written off, and its copy sent under another id."""

    def resolve(desk: Desk, order: Order) -> dispatch.Dispatched:
        with desk.ledger.read() as tx:
            legs = tx.children(order.client_order_id)
        end_locally(desk, order, ExecType.CANCELED, "no answer", desk.clock.now())
        copies = [_copy(order, order), *(_copy(leg, order) for leg in legs)]
        with desk.ledger.transaction() as tx:
            for copy in copies:
                tx.add_order(copy)
        return dispatch._dispatch(desk, copies[:1])

    patch.setattr(dispatch, "_resolve", resolve)


def _copy(order: Order, first: Order) -> Order:
    parent = None if order is first else f"{first.client_order_id}-again"
    return replace(
        order, client_order_id=f"{order.client_order_id}-again", parent_id=parent, submitted_at=None,
        status=OrdStatus.PENDING_NEW,
    )  # fmt: skip


def apply_a_duplicate_fill(patch: pytest.MonkeyPatch) -> None:
    """A fill that is reported again is booked again."""
    real = order_sync.apply_report

    def apply(
        desk: Desk, tx: LedgerTransaction, session: Any, order: Order, report: ExecutionReport, **others: Any
    ) -> Any:
        known = {one.exec_id for one in tx.reports(order.client_order_id)}
        if report.exec_type is ExecType.TRADE and report.exec_id in known:
            report = replace(report, exec_id=f"{report.exec_id}-again")
        return real(desk, tx, session, order, report, **others)

    patch.setattr(order_sync, "apply_report", apply)


BUGS: tuple[Break, ...] = (
    drop_the_reservation, reserve_nothing_for_what_works, resend_under_a_new_id, apply_a_duplicate_fill,
)  # fmt: skip
