"""What every guard of a position does: look at its orders, ask the venue to change one, write one to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.orders import (
    EXTERNAL,
    Leg,
    Order,
    OrderType,
    Side,
    TimeInForce,
    client_order_id,
)
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.protection import SETTLED, Cover, cover_of
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest

Quotes = dict[str, Quote]


def held_positions(desk: Desk) -> Sequence[Position]:
    """Open positions of the account."""
    with desk.ledger.read() as tx:
        return tx.positions(desk.account)


def orders_of(desk: Desk, symbol: str) -> list[Order]:
    """Open orders in a symbol."""
    with desk.ledger.read() as tx:
        return [order for order in tx.open_orders(desk.account) if order.symbol == symbol]


def open_orders_by_symbol(desk: Desk) -> dict[str, list[Order]]:
    """Every open order, oldest first: one look for all positions."""
    with desk.ledger.read() as tx:
        return by_symbol(tx.open_orders(desk.account))


def by_symbol(orders: Iterable[Order]) -> dict[str, list[Order]]:
    """Orders of each symbol, in the order given."""
    found: dict[str, list[Order]] = {}
    for order in orders:
        found.setdefault(order.symbol, []).append(order)
    return found


def read_cover(desk: Desk, tx: LedgerTransaction, position: Position) -> Cover:
    """How the position's open sells stand to its shares."""
    orders = [order for order in tx.open_orders(desk.account) if order.symbol == position.symbol]
    return cover_of(position.quantity, orders)


def is_external(tx: LedgerTransaction, position: Position) -> bool:
    """True for a position that somebody else made at the venue."""
    entry = tx.order(position.trade_id)
    return entry is None or entry.strategy == EXTERNAL


def settled_leg(orders: Iterable[Order], leg: Leg) -> Order | None:
    """The first order of a leg that the venue works and that nothing is asked of."""
    return next((order for order in orders if order.leg is leg and order.status in SETTLED), None)


def ask_replace(
    desk: Desk,
    order: Order,
    *,
    stop_price: Decimal | None = None,
    limit_price: Decimal | None = None,
    quantity: Decimal | None = None,
) -> bool:
    """Ask the venue to change an order. False when it would not or did not answer: the next step asks again.

    Raises LeaseLost, having asked nothing, once this process no longer leads.
    """
    desk.require_lead()
    try:
        desk.broker.replace(order.client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)
    except (OrderRefused, OutcomeUnknown) as error:
        note(desk, order, "replace_failed", str(error), refused=isinstance(error, OrderRefused))
        return False
    return True


def ask_cancel(desk: Desk, order: Order) -> bool:
    """Ask the venue to cancel. False when it would not or did not answer: the next step asks again.

    Raises LeaseLost, having asked nothing, once this process no longer leads.
    """
    desk.require_lead()
    try:
        desk.broker.cancel(order.client_order_id)
    except (OrderRefused, OutcomeUnknown) as error:
        note(desk, order, "cancel_failed", str(error), refused=isinstance(error, OrderRefused))
        return False
    return True


def note(desk: Desk, order: Order, kind: str, message: str, *, refused: bool) -> None:
    """Keep what the venue would not do, once per instant."""
    now = desk.clock.now()
    event = RiskEvent(
        event_id=digest(kind, order.client_order_id, now.isoformat()), account=desk.account, session=order.session,
        occurred_at=now, kind=kind, severity="WARNING", message=message,
        data={
            "client_order_id": order.client_order_id, "symbol": order.symbol,
            "answer": "refused" if refused else "unknown",
        },
    )  # fmt: skip
    with desk.ledger.transaction() as tx:
        say_once(tx, event)


def say_once(tx: LedgerTransaction, event: RiskEvent) -> bool:
    """Record the event unless its cause is on record already; True when it is new."""
    return tx.risk_event(event.event_id) is None and tx.add_risk_event(event)


def refusals(desk: Desk, tx: LedgerTransaction, order: Order) -> int:
    """How often the venue has refused to replace an order."""
    events = tx.risk_events(desk.account, order.session)
    return sum(
        event.kind == "replace_failed"
        and event.data["client_order_id"] == order.client_order_id
        and event.data.get("answer") == "refused"
        for event in events
    )


def a_sell(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, leg: Leg, quantity: Decimal,
    *, stop_price: Decimal | None = None, time_in_force: TimeInForce = TimeInForce.DAY,
) -> Order:  # fmt: skip
    """A sell of the position as an order row: a stop at `stop_price`, else a market order.

    It belongs to the strategy that entered, whoever sells; an adopted position has none of ours.
    """
    now = desk.clock.now()
    entry, attempt = tx.order(position.trade_id), 1 + len(own_sells(desk, tx, times, position))
    strategy = entry.strategy if entry is not None and entry.strategy != EXTERNAL else desk.strategy
    return Order(
        client_order_id=client_order_id(
            desk.account, times.session, strategy, position.symbol, position.trade_id, leg, attempt
        ),
        intent_id=entry.intent_id if entry else None, account=desk.account, strategy=strategy,
        session=times.session, symbol=position.symbol, side=Side.SELL,
        order_type=OrderType.MARKET if stop_price is None else OrderType.STOP, quantity=quantity, leg=leg,
        time_in_force=time_in_force, created_at=now, updated_at=now, stop_price=stop_price,
    )  # fmt: skip


def its_target(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, stop: Order, limit: Decimal
) -> Order:
    """The other leg of an OCO whose stop is `stop`."""
    attempt = 1 + len(own_sells(desk, tx, times, position))
    target_id = client_order_id(
        desk.account, times.session, desk.strategy, position.symbol, position.trade_id, Leg.TARGET, attempt
    )
    return replace(
        stop, client_order_id=target_id, leg=Leg.TARGET, order_type=OrderType.LIMIT, stop_price=None,
        limit_price=limit, parent_id=stop.client_order_id,
    )  # fmt: skip


def own_sells(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> list[Order]:
    """Stops and sales of the session that stand by themselves, under no entry; the oldest first."""
    orders = [o for o in tx.orders(desk.account, times.session) if o.symbol == position.symbol]
    found = [o for o in orders if o.leg in {Leg.EXIT, Leg.STOP} and o.parent_id is None]
    return sorted(found, key=lambda order: (order.created_at, order.client_order_id))


def flatten_lead(desk: Desk) -> timedelta:
    """How long before the close positions are flattened."""
    return timedelta(minutes=desk.rules.exits.flatten_before_close_minutes)


def last_price(position: Position, quote: Quote | None) -> Decimal:
    """The newest good price known of a position (USD per share)."""
    is_good = quote is not None and quote.price.is_finite() and quote.price > 0
    return quote.price if quote is not None and is_good else position.mark or position.avg_px


def seconds_since(now: datetime, then: datetime) -> float:
    """Seconds from `then` to `now`."""
    return (now - then).total_seconds()
