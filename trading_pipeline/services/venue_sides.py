"""Both sides of a reconciliation: what is on record, and what the venue says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trading_pipeline.domain.comparison import compare
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.executions import is_recordable
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, Order
from trading_pipeline.domain.reconciliation import Break, BreakKind, OurSide, TheirSide
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction, VenueOrder
from trading_pipeline.services.book import recorded_cash
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.order_sync import sync_orders

MOST_LOOKUPS = 20
"""Orders asked for by id in one pass: a venue that lists nothing at all is not asked a thousand times."""
OF_ORDERS = frozenset(
    {
        BreakKind.UNKNOWN_ORDER,
        BreakKind.MISSING_ORDER,
        BreakKind.STATE_DIFFERS,
        BreakKind.MISSING_FILL,
        BreakKind.EXTRA_FILL,
    }
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at both sides. `orders`: the venue's, open ones and those asked for by id."""

    found: tuple[Break, ...]
    ours: OurSide
    theirs: TheirSide
    orders: tuple[VenueOrder, ...]


def look(desk: Desk, record: SessionRecord) -> Look:
    """Compare; what differs is looked at a second time, after the venue's reports and cash activities are applied.

    So a report that arrived between two reads is no difference. Four requests when both sides agree. Raises
    OutcomeUnknown when the venue gives no answer: then nothing is known.
    """
    first = _look(desk, record, ())
    if not first.found:
        return first
    asked = _asked_for(desk, first)
    import_cash(desk, record)
    sync_orders(desk, record.session, _earliest(first, record))
    return _look(desk, record, asked)


def import_cash(desk: Desk, record: SessionRecord) -> int:
    """Record what moved cash at the venue besides fills, since the session before; returns how many were new.

    An activity belongs to the session in which it is first seen, whenever the venue dates it.
    """
    with desk.ledger.read() as tx:
        past = [one.started_at for one in tx.session_records(desk.account) if one.session < record.session]
    told = desk.broker.cash_activities(max(past, default=record.started_at))
    if not told:
        return 0
    with desk.ledger.transaction() as tx:
        known = {(one.broker, one.activity_id) for one in tx.cash_activities(desk.account)}
        new = [one for one in told if (one.broker, one.activity_id) not in known]
        return sum(tx.add_cash_activity(replace(one, session=record.session)) for one in new)


def _look(desk: Desk, record: SessionRecord, asked: Sequence[VenueOrder]) -> Look:
    listed = tuple(desk.broker.open_orders())
    ids = {order.client_order_id for order in listed}
    orders = (*listed, *(order for order in asked if order.client_order_id not in ids))
    theirs = TheirSide(
        broker=desk.broker.name,
        orders=orders,
        positions=tuple(desk.broker.positions()),
        cash_usd=desk.broker.account().cash_usd,
        executions=tuple(filter(is_recordable, desk.broker.execution_reports(record.started_at))),
    )
    _require_numbers(theirs)
    with desk.ledger.read() as tx:
        ours = _ours(desk, tx, record, theirs)
    return Look(compare(ours, theirs, desk.rules.reconcile), ours, theirs, orders)


def _require_numbers(theirs: TheirSide) -> None:
    """Raise OutcomeUnknown when the venue's figures cannot be compared: that is no answer, and no difference either."""
    figures = [("cash", theirs.cash_usd)]
    figures += [(f"shares of {held.symbol}", held.quantity) for held in theirs.positions]
    figures += [(f"price of {held.symbol}", held.avg_px) for held in theirs.positions]
    figures += [(order.client_order_id, n) for order in theirs.orders for n in (order.quantity, order.cum_qty)]
    bad = [f"{name} {number}" for name, number in figures if not number.is_finite()]
    if bad:
        raise OutcomeUnknown(f"the venue's answer has {len(bad)} figures nobody can use (first: {bad[0]}); asked again")


def _ours(desk: Desk, tx: LedgerTransaction, record: SessionRecord, theirs: TheirSide) -> OurSide:
    fills = tx.fills(desk.account, session=record.session)
    orders = {order.client_order_id: order for order in tx.orders(desk.account, record.session)}
    orders |= {order.client_order_id: order for order in tx.open_orders(desk.account)}
    named = {fill.client_order_id for fill in fills} | {order.client_order_id for order in theirs.orders}
    named |= {report.client_order_id for report in theirs.executions if report.exec_type is ExecType.TRADE}
    orders |= {order.client_order_id: order for order in _known(tx, named - orders.keys())}
    positions = tuple(tx.positions(desk.account))
    cash = recorded_cash(tx, record)
    return OurSide(
        orders=tuple(orders.values()), positions=positions, cash_usd=cash,
        fills=tuple(fill for fill in fills if fill.executed_at >= record.started_at),
        equity_usd=cash + sum((held.quantity * (held.mark or held.avg_px) for held in positions), ZERO),
    )  # fmt: skip


def _known(tx: LedgerTransaction, ids: Iterable[str]) -> Iterable[Order]:
    found = (tx.order(client_order_id) for client_order_id in sorted(ids))
    return (order for order in found if order is not None)


def _asked_for(desk: Desk, seen: Look) -> list[VenueOrder]:
    """What the venue says by id about the orders that differ, and about those that traded unknown to us."""
    ids = sorted({one.subject for one in seen.found if one.kind in OF_ORDERS})[:MOST_LOOKUPS]
    answers = (desk.broker.order(client_order_id) for client_order_id in ids)
    return [order for order in answers if order is not None]


def _earliest(seen: Look, record: SessionRecord) -> datetime:
    """From when on reports are asked for again: the oldest order that differs may have been reported before today."""
    subjects = {one.subject for one in seen.found}
    created = (order.created_at for order in seen.ours.orders if order.client_order_id in subjects)
    return min([record.started_at, *created])
