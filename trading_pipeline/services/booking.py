"""Fills into positions and trades: rows are appended, positions are folded anew, closed trades are amended.

Whatever order reports arrive in, the same fills stand in the end, and with them the same positions; the rows of a
round trip's trade always add up to what its fills earned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import count

from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.corporate import Split
from trading_pipeline.domain.executions import executions, in_order
from trading_pipeline.domain.exits import exit_reason_for
from trading_pipeline.domain.fold import RoundTrip, apply_split, round_trips, standing
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import EXTERNAL, ExecutionReport, Fill, Leg, Order, Side
from trading_pipeline.domain.positions import ExitReason, Position, Trade
from trading_pipeline.domain.trades import amendment, close_trade
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest

REVERSED = "~reversed"
"""Ends the exec_id of the row that takes a fill back; the fill that holds instead has its correction's exec_id."""
HITS = {ExitReason.STOP: "stop_hit", ExitReason.TRAILING: "stop_hit", ExitReason.TARGET: "target_hit"}


def due_fills(
    broker: str, session: date, order: Order, reports: Sequence[ExecutionReport], booked: Sequence[Fill]
) -> list[Fill]:
    """The rows that are missing so that the fills which stand are the executions that hold; reversals first. Pure.

    reports: all about the order. booked: its fills on record. What the venue says was traded is ours, whatever else it
    says about the order: a surplus, and a trade no such order can have, are booked too.
    """
    said = in_order(reports)
    traded_at = {report.exec_id: report.occurred_at for report in said}
    holding = {held.exec_id: (traded_at[root], held) for root, held in executions(said).items()}
    there = {fill.exec_id: fill for fill in standing(booked)}
    gone = [replace(fill, exec_id=fill.exec_id + REVERSED, session=session, is_reversal=True)
            for exec_id, fill in there.items() if exec_id not in holding]  # fmt: skip
    new = [
        Fill(
            broker=broker, exec_id=exec_id, client_order_id=order.client_order_id, account=order.account,
            session=session, symbol=order.symbol, side=order.side, quantity=held.last_qty, price=held.last_px,
            commission=held.commission, executed_at=at,
        )
        for exec_id, (at, held) in holding.items() if exec_id not in there
    ]  # fmt: skip
    return gone + new


@dataclass(frozen=True, slots=True)
class Booking:
    """Fills of one symbol that are to be appended, and its round trips by trade id without and with them."""

    fills: Sequence[Fill]
    before: Mapping[str, RoundTrip]
    after: Mapping[str, RoundTrip]


def booking(desk: Desk, tx: LedgerTransaction, symbol: str, new: Sequence[Fill]) -> Booking:
    """What appending fills of a symbol would make of it; nothing is written.

    Raises PositionWouldCrossZero when they would sell what is not held.
    """
    known, splits = tx.fills(desk.account, symbol=symbol), tx.splits(desk.account, symbol=symbol)
    before, after = round_trips(known, splits), round_trips([*known, *new], splits)
    return Booking(new, {t.position.trade_id: t for t in before}, {t.position.trade_id: t for t in after})


def book(desk: Desk, tx: LedgerTransaction, session: date, booked: Booking) -> int:
    """Append the fills, store the round trips they changed, keep trades in step; returns how many closed."""
    for fill in booked.fills:
        tx.add_fill(fill)
    undone = [_emptied(trip) for trade_id, trip in booked.before.items() if trade_id not in booked.after]
    changed = [trip for trade_id, trip in booked.after.items() if booked.before.get(trade_id) != trip]
    return sum(
        _settle(desk, tx, session, trip, booked.before.get(trip.position.trade_id))
        for trip in sorted([*undone, *changed], key=lambda trip: trip.position.is_open)  # one open position per symbol
    )


def book_split(desk: Desk, tx: LedgerTransaction, session: date, split: Split) -> bool:
    """Record a split of what is held, once, with the position in its new units and levels; False when it was known."""
    if not tx.add_split(split):
        return False
    held = next((p for p in tx.positions(desk.account) if p.symbol == split.symbol), None)
    if held is None:
        return True
    rescaled = apply_split(held, split)
    tx.save_position(rescaled)
    if not rescaled.is_open:  # less than a share was left
        (*_, trip) = booking(desk, tx, split.symbol, ()).after.values()
        _settle(desk, tx, session, trip, None)
    return True


def _emptied(trip: RoundTrip) -> RoundTrip:
    """A round trip of which every fill was taken back."""
    position = replace(
        trip.position, quantity=ZERO, bought_qty=ZERO, sold_qty=ZERO, realized_usd=ZERO, commission_usd=ZERO,
    )  # fmt: skip
    return RoundTrip(position, ())


def _settle(desk: Desk, tx: LedgerTransaction, session: date, trip: RoundTrip, before: RoundTrip | None) -> int:
    """Store a changed round trip, and make its trade's rows add up to it; returns 1 when it closed."""
    position = _dressed(tx, trip.position)
    tx.save_position(position)
    was_open = before is not None and before.position.is_open
    if position.is_open and not was_open:
        _tell(desk, tx, session, trip, "position_opened", f"{plain(position.quantity)} {position.symbol} held")
    recorded = trade_rows(tx, position.trade_id)
    now = None if position.is_open or not trip.fills else _closed(tx, position, trip.fills)
    if not recorded:
        if now is not None:
            tx.add_trade(now)
            _tell_closed(desk, tx, session, trip, now)
        return int(now is not None)
    row = amendment(recorded, now, session)
    if row is not None:
        tx.add_trade(row)
        message = f"{position.symbol}: a closed trade changed by {row.net_usd:+,.2f} USD after the venue's later word"
        _tell(desk, tx, session, trip, "trade_amended", message, AlertLevel.WARNING, row.trade_id)
    return int(row is not None and was_open and now is not None)


def trade_rows(tx: LedgerTransaction, trade_id: str) -> list[Trade]:
    """The trade's row and its amendments, oldest first."""
    rows: list[Trade] = []
    for number in count(1):
        row = tx.trade(trade_id if number == 1 else f"{trade_id}~{number}")
        if row is None:
            break
        rows.append(row)
    return rows


def _dressed(tx: LedgerTransaction, folded: Position) -> Position:
    """A folded position with its levels and marks: as stored while it is open, else of the legs it began with."""
    stored = next((p for p in tx.positions(folded.account) if p.trade_id == folded.trade_id), None)
    if stored is not None:
        return replace(
            folded, initial_stop=stored.initial_stop, stop=stored.stop, target=stored.target, mark=stored.mark,
            marked_at=stored.marked_at, high_mark=stored.high_mark, low_mark=stored.low_mark,
        )  # fmt: skip
    legs = {leg.leg: leg for leg in tx.children(folded.trade_id)}
    stop = legs[Leg.STOP].stop_price if Leg.STOP in legs else None
    target = legs[Leg.TARGET].limit_price if Leg.TARGET in legs else None
    told = tx.trade(folded.trade_id)
    if told is not None:
        return replace(folded, initial_stop=told.initial_stop, stop=stop or told.initial_stop, target=told.target)
    return replace(folded, initial_stop=stop, stop=stop, target=target)


def _closed(tx: LedgerTransaction, position: Position, fills: Sequence[Fill]) -> Trade:
    entry = tx.order(position.trade_id)
    intent = tx.intent(entry.intent_id) if entry is not None and entry.intent_id else None
    plan = tx.plan(intent.plan_id) if intent else None
    return close_trade(
        position, fills, plan=plan, setup=tx.setup(plan.setup_id) if plan else None,
        exit_reason=_reason(tx, position, fills), strategy=entry.strategy if entry else EXTERNAL,
        expected_px=_expected_prices(tx, position, fills),
    )  # fmt: skip


def _reason(tx: LedgerTransaction, position: Position, fills: Sequence[Fill]) -> ExitReason:
    """Why the last sale was made; what others did, and a split's last fraction, counts as manual."""
    last = next((fill for fill in reversed(fills) if fill.side is Side.SELL), None)
    order = tx.order(last.client_order_id) if last else None
    started = tx.risk_event(exit_event_id(position.trade_id))
    if started is not None and (order is None or order.leg is not Leg.STOP):
        return ExitReason(started.data["reason"])
    if order is None or order.leg is Leg.ENTRY or order.strategy == EXTERNAL:
        return ExitReason.MANUAL
    return exit_reason_for(order.leg, order.stop_price, position.initial_stop)


def exit_event_id(trade_id: str) -> str:
    """Identity of the one exit in flight of a trade."""
    return digest("exit", trade_id)


def _expected_prices(tx: LedgerTransaction, position: Position, fills: Sequence[Fill]) -> Mapping[str, Decimal]:
    """What each sale was expected to bring (USD per share), by exec_id."""
    levels = {fill.exec_id: _expected_price(tx, position, fill) for fill in fills if fill.side is Side.SELL}
    return {exec_id: level for exec_id, level in levels.items() if level is not None}


def _expected_price(tx: LedgerTransaction, position: Position, fill: Fill) -> Decimal | None:
    """A stop's price; the target's until an exit was started; from then on the price the exit was started at."""
    order, started = tx.order(fill.client_order_id), tx.risk_event(exit_event_id(position.trade_id))
    if order is not None and order.leg is Leg.STOP:
        return order.stop_price
    if order is not None and order.leg is Leg.TARGET and (started is None or fill.executed_at <= started.occurred_at):
        return position.target
    price = started.data.get("price") if started else None
    return Decimal(price) if price else None


def _tell_closed(desk: Desk, tx: LedgerTransaction, session: date, trip: RoundTrip, trade: Trade) -> None:
    words = f"{plain(trade.quantity)} {trade.symbol} sold ({trade.exit_reason.value}): net {trade.net_usd:+,.2f} USD"
    _tell(desk, tx, session, trip, "position_closed", words)
    if trade.exit_reason in HITS:
        _tell(desk, tx, session, trip, HITS[trade.exit_reason], words)


def _tell(
    desk: Desk, tx: LedgerTransaction, session: date, trip: RoundTrip, kind: str, message: str,
    level: AlertLevel = AlertLevel.INFO, subject: str = "",
) -> None:  # fmt: skip
    """An alert whose identity is the round trip as it stood after its last fill, and the session that heard of it: a
    position that a bust opens again is told again."""
    position, last = trip.position, trip.fills[-1] if trip.fills else None
    cause = (position.trade_id, subject, last.exec_id if last else "", session.isoformat(), message)
    tx.add_alert(
        Alert(
            alert_id=digest(kind, *cause), account=desk.account, session=session,
            occurred_at=last.executed_at if last else position.opened_at, level=level, kind=kind, message=message,
            data={"symbol": position.symbol, "trade_id": position.trade_id},
        )
    )  # fmt: skip
