"""Adjusting the record by hand: each fix is planned, shown, and booked with an audit entry of who did it and why.

What is booked is marked: its broker is "adjustment", and no other code writes under that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.fold import standing
from trading_pipeline.domain.money import ZERO, cost_of, plain
from trading_pipeline.domain.orders import (
    EXTERNAL,
    TERMINAL,
    ExecType,
    ExecutionReport,
    Leg,
    Order,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.domain.reconciliation import Break, BreakKind
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import VenueOrder
from trading_pipeline.services.adoption import adopt_orders, block_external
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.local_reports import never_live, settle_blocks
from trading_pipeline.services.order_sync import apply_report
from trading_pipeline.services.reconcile import ENDS, started
from trading_pipeline.services.venue_sides import Look, look

ADJUSTMENT = "adjustment"
"""Broker name of what a person booked."""


class Fix(StrEnum):
    """What a person may do about a break."""

    ADOPT = "adopt"
    CLOSE_MISSING = "close-missing"
    BOOK_FILL = "book-fill"
    BOOK_CASH = "book-cash"


FIXES: Mapping[Fix, frozenset[BreakKind]] = {
    Fix.ADOPT: frozenset({BreakKind.UNKNOWN_ORDER, BreakKind.UNKNOWN_POSITION}),
    Fix.CLOSE_MISSING: frozenset({BreakKind.MISSING_ORDER, BreakKind.STATE_DIFFERS}),
    Fix.BOOK_FILL: frozenset(
        {BreakKind.MISSING_FILL, BreakKind.EXTRA_FILL, BreakKind.QUANTITY_DIFFERS, BreakKind.POSITION_GONE}
    ),
    Fix.BOOK_CASH: frozenset({BreakKind.CASH_DIFFERS}),
}
"""Which breaks each fix is for. A stop that is missing or wrong is placed, not booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRequest:
    """Who wants what booked, and why. price: USD per share, where the venue does not tell it."""

    fix: Fix
    subject: str
    operator: str
    reason: str
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What a fix puts on record. `words` say it before it is done."""

    words: str
    found: Break
    request: FixRequest
    adopted: VenueOrder | None = None
    order: Order | None = None
    reports: tuple[ExecutionReport, ...] = ()
    cash: CashActivity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One break and all that is known about it."""

    desk: Desk
    record: SessionRecord
    seen: Look
    found: Break
    request: FixRequest
    now: datetime

    @property
    def identity(self) -> str:
        """The same difference has the same identity: booking it twice changes nothing."""
        figures = (self.found.ours, self.found.theirs)
        return digest(ADJUSTMENT, self.desk.account, self.record.session.isoformat(), *self.found.identity, *figures)

    @property
    def view(self) -> VenueOrder | None:
        """The venue's view of the order the break is about."""
        return next((o for o in self.seen.orders if o.client_order_id == self.found.subject), None)

    @property
    def order(self) -> Order:
        """Our record of it."""
        return next(o for o in self.seen.ours.orders if o.client_order_id == self.found.subject)

    def report(self, exec_type: ExecType, order_id: str, number: int = 0) -> ExecutionReport:
        """A report of the operator's, marked as such."""
        return ExecutionReport(
            exec_id=f"adj-{self.identity}-{number}", client_order_id=order_id, venue_order_id="", exec_type=exec_type,
            occurred_at=self.now, text=f"adjustment by {self.request.operator}: {self.request.reason}",
        )  # fmt: skip

    def trade(self, order_id: str, shares: Decimal, price: Decimal) -> ExecutionReport:
        """A trade of the operator's, without commission."""
        return replace(self.report(ExecType.TRADE, order_id), last_qty=shares, last_px=price)


def plan_fix(desk: Desk, session: date, request: FixRequest) -> Adjustment:
    """What the fix would book, from a fresh look at both sides; nothing is written.

    Raises InputError when there is no such break, the fix is not for it, or a price is needed and not given.
    """
    for name, text in (("--operator", request.operator), ("--reason", request.reason)):
        if not text.strip():
            raise InputError(f"{name} is empty: an adjustment is booked with who made it and why")
    if request.price is not None and not (request.price.is_finite() and request.price > 0):
        raise InputError(f"--price {request.price} is not a price: USD per share, above zero")
    record = started(desk, session)
    seen = look(desk, record)
    found = _chosen(seen, request)
    case = _Case(desk=desk, record=record, seen=seen, found=found, request=request, now=desk.clock.now())
    return PLANS[found.kind](case)


def book_fix(desk: Desk, session: date, planned: Adjustment) -> None:
    """Book it, with its audit entry, in one transaction; booking it again changes nothing."""
    record, now = started(desk, session), desk.clock.now()
    with desk.ledger.transaction() as tx:
        if planned.order is not None and tx.order(planned.order.client_order_id) is None:
            tx.add_order(planned.order)
            block_external(desk, tx, planned.order.symbol, planned.words, now)
        for report in planned.reports:
            order = tx.order(report.client_order_id)
            assert order is not None, report
            apply_report(desk, tx, session, order, report, broker=ADJUSTMENT)
        if planned.cash is not None:
            tx.add_cash_activity(planned.cash)
        settle_blocks(desk, tx, now)
        tx.add_audit(_audit(desk, planned, now))
    if planned.adopted is not None:
        adopt_orders(desk, record, [planned.adopted])


def _chosen(seen: Look, request: FixRequest) -> Break:
    about = [one for one in (*seen.found, *_doubts(seen)) if one.subject == request.subject]
    fitting = [one for one in about if one.kind in FIXES[request.fix]]
    if fitting:
        return fitting[0]
    if about:
        fixes = [fix.value for fix, kinds in FIXES.items() for one in about if one.kind in kinds]
        raise InputError(
            f"{request.fix.value} is not for a {about[0].kind.value} ({request.subject}). "
            + (f"Use --fix {fixes[0]}" if fixes else "Place or correct the order at the venue; the break then clears")
        )
    subjects = ", ".join(sorted({one.subject for one in seen.found})) or "none: the record agrees with the venue"
    raise InputError(f"{request.subject} is not a break now. Subjects: {subjects}")


def _doubts(seen: Look) -> list[Break]:
    """Orders in doubt that the venue does not list: a person who has looked there may close them."""
    listed = {order.client_order_id for order in seen.orders}
    return [
        Break(kind=BreakKind.MISSING_ORDER, symbol=o.symbol, subject=o.client_order_id, ours=o.status, theirs="none")
        for o in seen.ours.orders if o.status is OrdStatus.IN_DOUBT and o.client_order_id not in listed
    ]  # fmt: skip


def _audit(desk: Desk, planned: Adjustment, now: datetime) -> AuditEntry:
    request, found = planned.request, planned.found
    return AuditEntry(
        occurred_at=now, kind="reconcile_fix", account=desk.account, subject=found.subject, actor=request.operator,
        data={
            "fix": request.fix.value, "break": found.kind.value, "symbol": found.symbol, "ours": found.ours,
            "theirs": found.theirs, "reason": request.reason, "booked": planned.words,
            "price": plain(request.price) if request.price is not None else "",
        },
    )  # fmt: skip


# one plan per kind of break


def _plan_adoption(case: _Case) -> Adjustment:
    view = case.view
    if view is None:
        raise InputError(
            f"the venue reports executions of {case.found.subject} and does not know the order itself. Ask the venue "
            "which symbol it was, and book the shares: trading-pipeline reconcile --fix adopt SYMBOL"
        )
    words = f"adopt the venue's order {view.client_order_id} ({view.side} {plain(view.quantity)} {view.symbol})"
    return Adjustment(words=words, found=case.found, request=case.request, adopted=view)


def _plan_close(case: _Case) -> Adjustment:
    view, order = case.view, case.order
    if not order.is_open or (view is not None and view.status not in TERMINAL):
        raise InputError(
            f"{order.client_order_id} is {order.status} on record and {view.status if view else 'unknown'} at the "
            "venue: only what works on record and not at the venue can be closed. Cancel or change it at the venue"
        )
    exec_type = ENDS.get(view.status, ExecType.CANCELED) if view is not None else ExecType.CANCELED
    words = f"end {order.client_order_id} ({order.status}, {plain(order.leaves_qty)} open) as {exec_type.value}"
    legs = never_live(order, (one for one in case.seen.ours.orders if one.parent_id == order.client_order_id))
    ended = [order, *legs] if order.leg is Leg.ENTRY else [order]
    reports = tuple(case.report(exec_type, one.client_order_id, number) for number, one in enumerate(ended))
    return Adjustment(words=words, found=case.found, request=case.request, reports=reports)


def _plan_missing_fill(case: _Case) -> Adjustment:
    order, view = case.order, case.view
    if view is None:
        raise InputError(f"the venue does not tell how much of {order.client_order_id} is filled; ask again later")
    shares = view.cum_qty - order.cum_qty
    price = _price(case, order.symbol, order.side, shares)
    words = f"book {order.side} {plain(shares)} {order.symbol} at {plain(price)} on {order.client_order_id}"
    report = case.trade(order.client_order_id, shares, price)
    return Adjustment(words=words, found=case.found, request=case.request, reports=(report,))


def _plan_extra_fill(case: _Case) -> Adjustment:
    """Take back the order's fills that the venue does not know, newest first."""
    order, told = case.order, {report.exec_id for report in case.seen.theirs.executions}
    extra = [
        fill for fill in standing(case.seen.ours.fills)
        if fill.client_order_id == order.client_order_id and fill.exec_id not in told
    ]  # fmt: skip
    if not extra:
        raise InputError(
            f"no single fill of {order.client_order_id} is unknown to the venue; only their sum differs. Compare "
            "trading-pipeline orders with the venue's executions"
        )
    reports = tuple(
        replace(
            case.report(ExecType.TRADE_CANCEL, order.client_order_id, number), last_qty=fill.quantity,
            last_px=fill.price, commission=fill.commission, ref_exec_id=fill.exec_id,
        )
        for number, fill in enumerate(extra)
    )  # fmt: skip
    shares = sum((fill.quantity for fill in extra), ZERO)
    words = f"take back {plain(shares)} {order.symbol} ({len(extra)} fill(s)) of {order.client_order_id}"
    return Adjustment(words=words, found=case.found, request=case.request, reports=reports)


def _plan_position(case: _Case) -> Adjustment:
    """Shares bought or sold by others, of which the venue gives no execution."""
    symbol = case.found.symbol
    held = sum((p.quantity for p in case.seen.ours.positions if p.symbol == symbol), ZERO)
    there = sum((p.quantity for p in case.seen.theirs.positions if p.symbol == symbol), ZERO)
    if there < 0:
        raise InputError(f"the venue is short {plain(-there)} {symbol}: the record is long only. Buy them back there")
    side, shares = (Side.BUY, there - held) if there > held else (Side.SELL, held - there)
    price = _price(case, symbol, side, shares)
    order = _adjusting_order(case, side, shares)
    words = f"book {side} {plain(shares)} {symbol} at {plain(price)} as {EXTERNAL}"
    report = case.trade(order.client_order_id, shares, price)
    return Adjustment(words=words, found=case.found, request=case.request, order=order, reports=(report,))


def _adjusting_order(case: _Case, side: Side, shares: Decimal) -> Order:
    """The order the shares hang on: recorded as New, so that nobody sends it."""
    return Order(
        client_order_id=f"adj-{case.identity}", intent_id=None, account=case.desk.account, strategy=EXTERNAL,
        session=case.record.session, symbol=case.found.symbol, side=side, order_type=OrderType.MARKET, quantity=shares,
        leg=Leg.ENTRY if side is Side.BUY else Leg.EXIT, time_in_force=TimeInForce.DAY, created_at=case.now,
        updated_at=case.now, submitted_at=case.now, status=OrdStatus.NEW,
        text=f"adjustment by {case.request.operator}: {case.request.reason}",
    )  # fmt: skip


def _price(case: _Case, symbol: str, side: Side, shares: Decimal) -> Decimal:
    """The price given, else what the venue's average price says the purchase cost; a sale tells none."""
    if case.request.price is not None:
        return case.request.price
    ours = next((p for p in case.seen.ours.positions if p.symbol == symbol), None)
    theirs = next((p for p in case.seen.theirs.positions if p.symbol == symbol), None)
    if side is Side.BUY and theirs is not None:
        cost = cost_of(theirs.quantity, theirs.avg_px) - (cost_of(ours.quantity, ours.avg_px) if ours else ZERO)
        if cost > 0:
            return (cost / shares).quantize(Decimal("0.000001"))
    raise InputError(
        f"the venue does not tell at what price {plain(shares)} {symbol} were traded. Give it: --price USD_PER_SHARE"
    )


def _plan_cash(case: _Case) -> Adjustment:
    fills = FIXES[Fix.BOOK_FILL] | FIXES[Fix.ADOPT]
    pending = [one for one in case.seen.found if one.kind in fills]
    if pending:
        raise InputError(
            f"{len(pending)} break(s) in shares may explain the cash (first: {pending[0].kind.value} of "
            f"{pending[0].subject}). Settle those first"
        )
    amount = case.seen.theirs.cash_usd - case.seen.ours.cash_usd
    cash = CashActivity(
        broker=ADJUSTMENT, activity_id=f"adj-{case.identity}", account=case.desk.account, session=case.record.session,
        kind=CashKind.ADJUSTMENT, amount_usd=amount, occurred_at=case.now,
        text=f"{case.request.operator}: {case.request.reason}",
    )  # fmt: skip
    words = f"book {amount:+,.2f} USD of cash"
    return Adjustment(words=words, found=case.found, request=case.request, cash=cash)


PLANS: Mapping[BreakKind, Callable[[_Case], Adjustment]] = {
    BreakKind.UNKNOWN_ORDER: _plan_adoption,
    BreakKind.UNKNOWN_POSITION: _plan_position,
    BreakKind.MISSING_ORDER: _plan_close,
    BreakKind.STATE_DIFFERS: _plan_close,
    BreakKind.MISSING_FILL: _plan_missing_fill,
    BreakKind.EXTRA_FILL: _plan_extra_fill,
    BreakKind.QUANTITY_DIFFERS: _plan_position,
    BreakKind.POSITION_GONE: _plan_position,
    BreakKind.CASH_DIFFERS: _plan_cash,
}
