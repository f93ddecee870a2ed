"""An order's life as a table: which report may follow which state, and what the order is afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trading_pipeline.domain.errors import IllegalTransition, Overfill
from trading_pipeline.domain.money import ZERO, average_price, cost_of
from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import ExecutionReport, Order
from trading_pipeline.domain.orders import OrdStatus as S

# What a report about a live order leads to, unless its row below says otherwise. NEW stands for "working":
# advance() says PartiallyFilled or Filled by the shares filled so far.
_LIVE: Mapping[E, S] = {
    E.NEW: S.NEW,
    E.TRADE: S.PARTIALLY_FILLED,
    E.CANCELED: S.CANCELED,
    E.REPLACED: S.NEW,  # same client_order_id, new prices, still working
    E.EXPIRED: S.EXPIRED,
    E.PENDING_CANCEL: S.PENDING_CANCEL,
    E.PENDING_REPLACE: S.PENDING_REPLACE,
    E.DONE_FOR_DAY: S.DONE_FOR_DAY,
    E.TRADE_CANCEL: S.PARTIALLY_FILLED,
    E.TRADE_CORRECT: S.PARTIALLY_FILLED,
}


def _unmoved_by(status: S, *reports: E) -> dict[E, S]:
    return dict.fromkeys(reports, status)


_LATE = (E.NEW, E.PENDING_CANCEL, E.PENDING_REPLACE, E.REPLACED, E.DONE_FOR_DAY)  # overtaken by the order's end
_TRADES = (E.TRADE, E.TRADE_CANCEL, E.TRADE_CORRECT)

_ROWS: Mapping[S, Mapping[E, S]] = {
    S.PENDING_NEW: {**_LIVE, E.REJECTED: S.REJECTED},
    S.IN_DOUBT: {**_LIVE, E.REJECTED: S.REJECTED},  # any word from the venue ends the doubt
    S.NEW: {**_LIVE, E.REJECTED: S.REJECTED},
    S.PARTIALLY_FILLED: _LIVE,
    # A cancel may still lose the race against a trade, and wins against a replace.
    S.PENDING_CANCEL: {
        **_LIVE,
        E.REJECTED: S.REJECTED,
        **_unmoved_by(S.PENDING_CANCEL, E.NEW, E.PENDING_REPLACE, E.REPLACED, *_TRADES),
    },
    S.PENDING_REPLACE: {**_LIVE, E.REJECTED: S.REJECTED, **_unmoved_by(S.PENDING_REPLACE, E.NEW, *_TRADES)},
    S.DONE_FOR_DAY: {**_LIVE, **_unmoved_by(S.DONE_FOR_DAY, E.NEW, *_TRADES)},
    # A busted trade opens the order again; a cancel or expiry of nothing left changes nothing.
    S.FILLED: {
        **_unmoved_by(S.FILLED, *_LATE, E.TRADE, E.TRADE_CORRECT, E.CANCELED, E.EXPIRED),
        E.TRADE_CANCEL: S.PARTIALLY_FILLED,
    },
    # A fill already in flight when the order ended is still ours.
    S.CANCELED: _unmoved_by(S.CANCELED, *_LATE, *_TRADES, E.CANCELED),
    S.EXPIRED: _unmoved_by(S.EXPIRED, *_LATE, *_TRADES, E.EXPIRED),
    S.REPLACED: _unmoved_by(S.REPLACED, *_LATE, *_TRADES),
    S.REJECTED: _unmoved_by(S.REJECTED, *_LATE, E.REJECTED),
    S.DENIED: {},  # never sent: nothing can be reported
}

TRANSITIONS: Mapping[tuple[S, E], S] = {
    (status, exec_type): following for status, row in _ROWS.items() for exec_type, following in row.items()
}
"""(where the order stands, what happened) → where it stands then; a pair that is missing is illegal."""


def advance(order: Order, report: ExecutionReport) -> Order:
    """The order after one report; pure.

    Reports may come in any order, but each once: repeated exec_ids are the ledger's to drop. Quantities in shares,
    prices USD per share, commission USD. TradeCancel takes back last_qty at last_px and its commission; TradeCorrect
    carries no quantities (send the bust and the corrected trade instead).
    Raises IllegalTransition (also for a trade without a quantity or a price) or Overfill (more filled than ordered).
    Source: FIX 4.4 volume 4, appendix D (order state change matrices).
    """
    following = TRANSITIONS.get((order.status, report.exec_type))
    if following is None or report.client_order_id != order.client_order_id:
        raise _illegal(order, report)
    changed = _with_trade(_with_terms(order, report), report)
    return replace(
        changed,
        status=_settled(following, changed),
        venue_order_id=report.venue_order_id or order.venue_order_id,
        updated_at=max(order.updated_at, report.occurred_at),
        text=report.text or order.text,
    )


def _settled(following: S, order: Order) -> S:
    """The table's word, corrected by how much is filled: a completely filled order is Filled however it ended."""
    if order.cum_qty == order.quantity:
        return S.FILLED
    if following in {S.NEW, S.PARTIALLY_FILLED}:
        return S.PARTIALLY_FILLED if order.cum_qty > 0 else S.NEW
    return following


def _with_terms(order: Order, report: ExecutionReport) -> Order:
    """Take over the prices and the quantity a Replaced report carries."""
    if report.exec_type is not E.REPLACED:
        return order
    changed = replace(
        order,
        quantity=order.quantity if report.quantity is None else report.quantity,
        limit_price=order.limit_price if report.limit_price is None else report.limit_price,
        stop_price=order.stop_price if report.stop_price is None else report.stop_price,
    )
    return _within_quantity(changed, report)


def _with_trade(order: Order, report: ExecutionReport) -> Order:
    """Add (Trade) or take back (TradeCancel) shares, their value and their commission."""
    if report.exec_type not in {E.TRADE, E.TRADE_CANCEL}:
        if report.last_qty != ZERO:
            raise _illegal(order, report)
        return order
    if not all(number.is_finite() and number > 0 for number in (report.last_qty, report.last_px)):
        raise _illegal(order, report)
    sign = 1 if report.exec_type is E.TRADE else -1
    cum_qty = order.cum_qty + sign * report.last_qty
    if cum_qty < 0:
        raise _illegal(order, report)
    notional = cost_of(order.cum_qty, order.avg_px) + sign * report.last_qty * report.last_px
    changed = replace(
        order,
        cum_qty=cum_qty,
        avg_px=average_price(notional, cum_qty),
        commission=order.commission + sign * report.commission,
    )
    return _within_quantity(changed, report)


def _within_quantity(order: Order, report: ExecutionReport) -> Order:
    if order.cum_qty > order.quantity:
        raise Overfill(
            f"{order.client_order_id}: {order.cum_qty} of {order.quantity} shares of {order.symbol} are filled after "
            f"report {report.exec_id} ({report.exec_type}, {report.last_qty} at {report.last_px}). Shares beyond the "
            f"order are the venue's error: compare its executions with trading-pipeline orders."
        )
    return order


def _illegal(order: Order, report: ExecutionReport) -> IllegalTransition:
    return IllegalTransition(
        f"order {order.client_order_id} is {order.status} ({order.cum_qty} of {order.quantity} filled) and cannot "
        f"take report {report.exec_id} ({report.exec_type}, order {report.client_order_id}, {report.last_qty} at "
        f"{report.last_px}). Query the venue for this order before anything else is sent for {order.symbol}."
    )
