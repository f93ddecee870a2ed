"""An order's life as a table, and the order as a pure function of the set of reports about it.

Whatever order reports arrive in, and however often, the same set ends in the same order: `replay` sorts them by when
they happened, takes back what was busted or corrected, and walks the table. `advance` is the single step for a report
newer than all others, and gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from trading_pipeline.domain.errors import IllegalTransition, Overfill
from trading_pipeline.domain.executions import (
    CORRECTIONS,
    executions,
    in_order,
    is_traded,
    waiting_corrections,
)
from trading_pipeline.domain.money import ZERO, average_price, cost_of, plain
from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import ExecutionReport, Order
from trading_pipeline.domain.orders import OrdStatus as S


def _unmoved_by(status: S, *reports: E) -> dict[E, S]:
    return dict.fromkeys(reports, status)


_TRADES = (E.TRADE, E.TRADE_CANCEL, E.TRADE_CORRECT)
_REFUSED_CHANGES = (E.CANCEL_REJECTED, E.REPLACE_REJECTED)
# Overtaken by the order's end, or a second end: an order ends once.
_LATE = (
    E.NEW, E.PENDING_CANCEL, E.PENDING_REPLACE, E.REPLACED, E.DONE_FOR_DAY, E.IN_DOUBT, *_REFUSED_CHANGES,
    E.CANCELED, E.EXPIRED,
)  # fmt: skip

# What a report about a live order leads to, unless its row below says otherwise. NEW and PARTIALLY_FILLED stand for
# "working": how much is filled says which, and whether the order is Filled.
_LIVE: Mapping[E, S] = {
    E.NEW: S.NEW,
    E.TRADE: S.PARTIALLY_FILLED,
    E.CANCELED: S.CANCELED,
    E.REPLACED: S.NEW,  # same client_order_id, new prices or quantity, still working
    E.EXPIRED: S.EXPIRED,
    E.PENDING_CANCEL: S.PENDING_CANCEL,
    E.PENDING_REPLACE: S.PENDING_REPLACE,
    E.DONE_FOR_DAY: S.DONE_FOR_DAY,
    E.TRADE_CANCEL: S.PARTIALLY_FILLED,
    E.TRADE_CORRECT: S.PARTIALLY_FILLED,
    E.CANCEL_REJECTED: S.NEW,
    E.REPLACE_REJECTED: S.NEW,
    E.IN_DOUBT: S.NEW,  # the venue has spoken of it: there is no doubt that it exists
}

_ROWS: Mapping[S, Mapping[E, S]] = {
    # That a change was refused ("unknown order", perhaps) does not say the order is there.
    S.PENDING_NEW: {
        **_LIVE,
        E.REJECTED: S.REJECTED,
        E.IN_DOUBT: S.IN_DOUBT,
        **_unmoved_by(S.PENDING_NEW, *_REFUSED_CHANGES),
    },
    S.IN_DOUBT: {**_LIVE, E.REJECTED: S.REJECTED, **_unmoved_by(S.IN_DOUBT, E.IN_DOUBT, *_REFUSED_CHANGES)},
    S.NEW: {**_LIVE, E.REJECTED: S.REJECTED},
    S.PARTIALLY_FILLED: _LIVE,
    # A cancel may still lose the race against a trade, and wins against a replace.
    S.PENDING_CANCEL: {
        **_LIVE,
        E.REJECTED: S.REJECTED,
        **_unmoved_by(S.PENDING_CANCEL, E.NEW, E.PENDING_REPLACE, E.REPLACED, E.REPLACE_REJECTED, E.IN_DOUBT, *_TRADES),
    },
    S.PENDING_REPLACE: {
        **_LIVE,
        E.REJECTED: S.REJECTED,
        **_unmoved_by(S.PENDING_REPLACE, E.NEW, E.CANCEL_REJECTED, E.IN_DOUBT, *_TRADES),
    },
    S.DONE_FOR_DAY: {**_LIVE, E.REJECTED: S.REJECTED, **_unmoved_by(S.DONE_FOR_DAY, E.IN_DOUBT, *_REFUSED_CHANGES)},
    # A completely filled order is Filled however it ended; more shares or a larger quantity are counted, not refused.
    S.FILLED: _unmoved_by(S.FILLED, *_LATE, *_TRADES),
    # A fill already in flight when the order ended is still ours.
    S.CANCELED: _unmoved_by(S.CANCELED, *_LATE, *_TRADES, E.REJECTED),
    S.EXPIRED: _unmoved_by(S.EXPIRED, *_LATE, *_TRADES, E.REJECTED),
    S.REPLACED: _unmoved_by(S.REPLACED, *_LATE, *_TRADES),
    S.REJECTED: _unmoved_by(S.REJECTED, *_LATE, E.REJECTED),
    S.DENIED: {},  # our own risk said no, so it was never sent: nothing can be reported
}

TRANSITIONS: Mapping[tuple[S, E], S] = {
    (status, exec_type): following for status, row in _ROWS.items() for exec_type, following in row.items()
}
"""(where the order stands, what happened) → where it stands then; a pair that is missing is illegal."""

_ACKNOWLEDGING = frozenset({E.NEW, E.TRADE, E.REPLACED, E.DONE_FOR_DAY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a set of reports makes of an order.

    surplus: shares filled beyond the order's quantity (an overfill); they are ours, and not in `order.cum_qty`.
    refused: reports that no order in this state can have, oldest first; they moved nothing.
    waiting: busts and corrections of trades that were not reported yet.
    """

    order: Order
    surplus: Decimal
    refused: tuple[ExecutionReport, ...]
    waiting: tuple[ExecutionReport, ...]


def replayed(asked: Order, reports: Iterable[ExecutionReport]) -> Order:
    """The order after all its reports, in whatever order and however often they are given; pure.

    `asked` tells what was asked; how far it had come does not matter. cum_qty never exceeds quantity (see `Replay`).
    Raises IllegalTransition for a report that no order in that state can have.
    Source: FIX 4.4 volume 4, appendix D (order state change matrices).
    """
    found = replay(asked, reports)
    if found.refused:
        raise _illegal(found.order, found.refused[0])
    return found.order


def replay(asked: Order, reports: Iterable[ExecutionReport]) -> Replay:
    """As `replayed`, but impossible reports are set aside, and what else a caller must know is told."""
    said = in_order(reports)
    holding, order, refused = executions(said), _untouched(asked), []
    for report in said:
        try:
            order = _step(order, report, holding.get(report.exec_id))
        except IllegalTransition:
            refused.append(report)
    return Replay(
        order=_told(asked, _settled(order)),
        surplus=max(ZERO, order.cum_qty - order.quantity),
        refused=tuple(refused),
        waiting=waiting_corrections(said),
    )


def advance(order: Order, report: ExecutionReport) -> Order:
    """The order after one report that is newer than all others about it; pure. Gives the same as `replayed`.

    Raises IllegalTransition, also for a bust or a correction (they change what an earlier report said: replay the
    order's reports), or Overfill when more is filled than was ordered.
    """
    if report.exec_type in CORRECTIONS:
        raise _illegal(order, report)
    return _within_quantity(_settled(_step(order, report, report)), report)


def _told(asked: Order, order: Order) -> Order:
    submitted_at = order.submitted_at or asked.submitted_at
    return replace(order, cum_qty=min(order.cum_qty, order.quantity), submitted_at=submitted_at)


def _untouched(asked: Order) -> Order:
    """The order before the venue said anything; one that was adopted had been found there, so it was working."""
    first = S.DENIED if asked.status is S.DENIED else S.NEW if asked.intent_id is None else S.PENDING_NEW
    return replace(
        asked,
        status=first,
        submitted_at=None,
        updated_at=asked.created_at,
        cum_qty=ZERO,
        avg_px=ZERO,
        commission=ZERO,
    )


def _step(order: Order, report: ExecutionReport, holds: ExecutionReport | None) -> Order:
    """One report further, by the table. `holds`: what a Trade's shares and price are by now; None when busted."""
    following = TRANSITIONS.get((order.status, report.exec_type))
    if following is None or report.client_order_id != order.client_order_id or not _has_sense(report):
        raise _illegal(order, report)
    changed = _with_terms(order, report) if report.exec_type is E.REPLACED else order
    if report.exec_type is E.TRADE and holds is not None:
        changed = _with_shares(changed, holds)
    return replace(
        changed,
        status=following,
        venue_order_id=report.venue_order_id or order.venue_order_id,
        submitted_at=order.submitted_at or (report.occurred_at if _acknowledges(report) else None),
        updated_at=max(order.updated_at, report.occurred_at),
        text=report.text or order.text,
    )


def _has_sense(report: ExecutionReport) -> bool:
    """A trade has shares and a price; what is no trade has no shares; a new quantity is a number above zero."""
    if report.exec_type in {E.TRADE, E.TRADE_CORRECT}:
        return is_traded(report)
    if report.quantity is not None and not (report.quantity.is_finite() and report.quantity > 0):
        return False
    return report.exec_type is E.TRADE_CANCEL or report.last_qty == ZERO


def _acknowledges(report: ExecutionReport) -> bool:
    """True when the venue has taken the order: an end counts when it names the order by the venue's own number."""
    is_end = report.exec_type in {E.CANCELED, E.EXPIRED}
    return report.exec_type in _ACKNOWLEDGING or (is_end and report.venue_order_id != "")


def _settled(order: Order) -> Order:
    """The table's word, corrected by how much is filled: a completely filled order is Filled however it ended."""
    if order.cum_qty >= order.quantity:
        return replace(order, status=S.FILLED)
    if order.status not in {S.NEW, S.PARTIALLY_FILLED, S.FILLED}:
        return order
    return replace(order, status=S.PARTIALLY_FILLED if order.cum_qty > 0 else S.NEW)


def _with_terms(order: Order, report: ExecutionReport) -> Order:
    """Take over the prices and the quantity a Replaced report carries."""
    return replace(
        order,
        quantity=order.quantity if report.quantity is None else report.quantity,
        limit_price=order.limit_price if report.limit_price is None else report.limit_price,
        stop_price=order.stop_price if report.stop_price is None else report.stop_price,
    )


def _with_shares(order: Order, trade: ExecutionReport) -> Order:
    cum_qty = order.cum_qty + trade.last_qty
    notional = cost_of(order.cum_qty, order.avg_px) + trade.last_qty * trade.last_px
    return replace(
        order,
        cum_qty=cum_qty,
        avg_px=average_price(notional, cum_qty),
        commission=order.commission + trade.commission,
    )


def _within_quantity(order: Order, report: ExecutionReport) -> Order:
    if order.cum_qty > order.quantity:
        raise Overfill(overfill_message(order, order.cum_qty - order.quantity, report))
    return order


def overfill_message(order: Order, surplus: Decimal, report: ExecutionReport) -> str:
    """What an overfill means and what to do, with its numbers."""
    filled = min(order.cum_qty, order.quantity) + surplus
    return (
        f"{order.client_order_id}: {plain(filled)} of {plain(order.quantity)} shares of {order.symbol} are filled "
        f"after report {report.exec_id} ({report.exec_type}, {report.last_qty} at {report.last_px}). The surplus of "
        f"{plain(surplus)} is the venue's error and is held all the same: compare its executions with "
        "trading-pipeline orders, and sell what is not wanted."
    )


def _illegal(order: Order, report: ExecutionReport) -> IllegalTransition:
    return IllegalTransition(illegal_message(order, report))


def illegal_message(order: Order, report: ExecutionReport) -> str:
    """Why a report cannot be about the order as it stands, and what to do."""
    return (
        f"order {order.client_order_id} is {order.status} ({order.cum_qty} of {order.quantity} filled) and cannot "
        f"take report {report.exec_id} ({report.exec_type}, order {report.client_order_id}, {report.last_qty} at "
        f"{report.last_px}). Query the venue for this order before anything else is sent for {order.symbol}."
    )
