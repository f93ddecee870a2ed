"""Leaving a position: one exit in flight, which takes over the bracket and sells at most what is held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import ZERO, plain, round_down_to_tick
from trading_pipeline.domain.orders import Leg, Order, Side
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.protection import SETTLED, cover_of
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import (
    Quotes,
    a_sell,
    ask_cancel,
    ask_replace,
    last_price,
    orders_of,
    own_sells,
    read_cover,
    refusals,
    say_once,
    seconds_since,
    settled_leg,
)
from trading_pipeline.services.care.reasons import exit_reason, occasion_of
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.order_sync import exit_event_id

REPLACES_TO_TRY = 2
"""After so many refusals to reprice a target both legs are cancelled instead."""


def exit_due(desk: Desk, times: SessionTimes, quotes: Quotes, snapshot: ScanSnapshot | None = None) -> int:
    """Start the exits that are due and carry on those in flight; repeating it never sells twice.

    In the session's last bar nothing is touched: what is held sleeps under the stop it has. Returns how many orders
    were asked to make room: once their end is reported, a repeat sells what they covered.
    """
    if desk.clock.now() >= times.closes_at - timedelta(minutes=max(desk.base_bar_minutes, 1)):
        return 0
    with desk.ledger.read() as tx:
        held = tx.positions(desk.account)
        started, occasion = started_exits(tx, held), occasion_of(desk, tx, held, snapshot)
        reasons = {p.symbol: started.get(p.trade_id) or exit_reason(desk, tx, times, p, occasion) for p in held}
    due = [(position, reason) for position in held if (reason := reasons[position.symbol]) is not None]
    return sum(start_exit(desk, times, p, quotes.get(p.symbol), reason) for p, reason in due)


def started_exits(tx: LedgerTransaction, held: Sequence[Position]) -> dict[str, ExitReason]:
    """Why the positions are being left, by trade id: an exit that was started goes on until the position is closed."""
    trades = {exit_event_id(position.trade_id): position.trade_id for position in held}
    return {trades[one.event_id]: ExitReason(one.data["reason"]) for one in tx.risk_events_named(tuple(trades))}


def is_leaving(tx: LedgerTransaction, position: Position) -> bool:
    """True once an exit was started."""
    return tx.risk_event(exit_event_id(position.trade_id)) is not None


def start_exit(desk: Desk, times: SessionTimes, position: Position, quote: Quote | None, reason: ExitReason) -> int:
    """Close a position: its target leg becomes a marketable limit while the stop stays.

    Without a target that can be changed the legs are cancelled first, and once their end is confirmed a market order
    sells what is held; it is sent by the next dispatch. Called again it finds what was done and does the next step.
    Returns how many orders were asked to make room.
    """
    with desk.ledger.transaction() as tx:
        say_once(tx, _exit_event(desk, times, position, last_price(position, quote), reason))
    orders = orders_of(desk, position.symbol)
    entries = [order for order in orders if order.side is Side.BUY and order.status in SETTLED]
    made_room = sum(ask_cancel(desk, order) for order in entries)  # what is being left is not added to
    return made_room + _next_step(desk, times, position, quote, orders)


def _next_step(desk: Desk, times: SessionTimes, position: Position, quote: Quote | None, orders: list[Order]) -> int:
    cover = cover_of(position.quantity, orders)
    if cover.leaving or not all(one.is_settled for one in cover.exits):
        return 0  # one exit in flight; an order whose fate is not known may still sell
    target = settled_leg(orders, Leg.TARGET)
    if target is not None and _is_replaceable(desk, target):
        _make_marketable(desk, position, quote, target)
        return 0
    if not _may_try(desk, times, position):
        return 0
    sells = [order for one in cover.exits for order in one.orders]
    if sells:
        return sum([ask_cancel(desk, order) for order in sells])
    if not any(order.side is Side.BUY for order in orders):
        _record_sale(desk, times, position)
    return 0


def _is_replaceable(desk: Desk, target: Order) -> bool:
    with desk.ledger.read() as tx:
        return refusals(desk, tx, target) < REPLACES_TO_TRY


def _make_marketable(desk: Desk, position: Position, quote: Quote | None, target: Order) -> None:
    last = last_price(position, quote)
    limit = round_down_to_tick(float(last * (1 - desk.rules.exits.marketable_limit_fraction)))
    if target.limit_price is None or limit < target.limit_price:
        ask_replace(desk, target, limit_price=limit)


def _may_try(desk: Desk, times: SessionTimes, position: Position) -> bool:
    """False for a while after a sale that failed: its stop is back, and is not taken away at once."""
    with desk.ledger.read() as tx:
        own = own_sells(desk, tx, times, position)
    sales = [order for order in own if order.leg is Leg.EXIT and order.created_at >= position.opened_at]
    if not sales or sales[-1].is_open or sales[-1].cum_qty == sales[-1].quantity:
        return True
    return seconds_since(desk.clock.now(), sales[-1].updated_at) >= desk.rules.exits.exit_retry_seconds


def _record_sale(desk: Desk, times: SessionTimes, position: Position) -> None:
    """Write the market order that sells what is held, if nothing else may sell it any more."""
    at_venue = free_at_venue(desk, position.symbol)
    with desk.ledger.transaction() as tx:
        quantity = min(at_venue, read_cover(desk, tx, position).free)
        if quantity > 0 and not read_cover(desk, tx, position).exits:
            tx.add_order(a_sell(desk, tx, times, position, Leg.EXIT, quantity))


def free_at_venue(desk: Desk, symbol: str) -> Decimal:
    """Shares the venue itself holds for us under no open sell; zero when one is open, or when it does not answer."""
    try:
        sells = [o for o in desk.broker.open_orders() if o.symbol == symbol and o.side is Side.SELL]
        held = {one.symbol: one.quantity for one in desk.broker.positions()}
    except OutcomeUnknown:
        return ZERO
    return ZERO if sells else max(held.get(symbol, ZERO), ZERO)


def _exit_event(desk: Desk, times: SessionTimes, position: Position, price: Decimal, reason: ExitReason) -> RiskEvent:
    now: datetime = desk.clock.now()
    return RiskEvent(
        event_id=exit_event_id(position.trade_id), account=desk.account, session=times.session, occurred_at=now,
        kind="exit_started", severity="INFO", message=f"{position.symbol}: exit by {reason.value}",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "reason": reason.value, "price": plain(price)},
    )  # fmt: skip
