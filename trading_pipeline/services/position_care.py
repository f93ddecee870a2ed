"""Guarding open positions: marks, trailing stops, expiring entries, time exits, stops for the night."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.exits import is_flatten_time, trailing_stop
from trading_pipeline.domain.fold import mark
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import ZERO, plain, round_down_to_tick
from trading_pipeline.domain.orders import Leg, Order, OrderType, OrdStatus, Side, TimeInForce, client_order_id
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.order_sync import exit_event_id

CANCELLABLE = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
Quotes = dict[str, Quote]


def mark_positions(desk: Desk, quotes: Quotes) -> tuple[Position, ...]:
    """Give every open position its newest good price; returns the positions as stored."""
    with desk.ledger.read() as tx:
        held = tx.positions(desk.account)
    marked = tuple(_marked(position, quotes.get(position.symbol)) for position in held)
    changed = [new for old, new in zip(held, marked, strict=True) if new != old]
    if changed:
        with desk.ledger.transaction() as tx:
            for position in changed:
                tx.save_position(position)
    return marked


def _marked(position: Position, quote: Quote | None) -> Position:
    return mark(position, quote.price, quote.quoted_at) if quote else position


def trail_stops(desk: Desk, positions: Iterable[Position], before: Quotes, now: Quotes) -> int:
    """Raise stops by the ladder where two distinct consecutive quotes allow it; returns how many moved."""
    moved = 0
    for position in positions:
        pair = (before.get(position.symbol), now.get(position.symbol))
        if pair[0] is None or pair[1] is None or pair[0].quoted_at < position.opened_at:
            continue
        level = trailing_stop(position, (pair[0], pair[1]), desk.rules.exits, entry_costs_per_share(position))
        leg = _working_leg(desk, position, Leg.STOP) if level is not None else None
        if leg is not None and level is not None and (leg.stop_price is None or level > leg.stop_price):
            moved += _replaced(desk, leg, stop_price=level)
    return moved


def _replaced(desk: Desk, leg: Order, *, stop_price: Decimal | None = None, limit_price: Decimal | None = None) -> bool:
    """Ask the venue to move a leg. False when it would not or did not answer: the care of the next step asks again."""
    try:
        desk.broker.replace(leg.client_order_id, stop_price=stop_price, limit_price=limit_price)
    except (OrderRefused, OutcomeUnknown) as error:
        _note(desk, leg, "replace_failed", str(error))
        return False
    return True


def _canceled(desk: Desk, order: Order) -> bool:
    """Ask the venue to cancel. False when it would not or did not answer: the care of the next step asks again."""
    try:
        desk.broker.cancel(order.client_order_id)
    except (OrderRefused, OutcomeUnknown) as error:
        _note(desk, order, "cancel_failed", str(error))
        return False
    return True


def _note(desk: Desk, order: Order, kind: str, message: str) -> None:
    now = desk.clock.now()
    event = RiskEvent(
        event_id=digest(kind, order.client_order_id, now.isoformat()), account=desk.account, session=order.session,
        occurred_at=now, kind=kind, severity="WARNING", message=message,
        data={"client_order_id": order.client_order_id, "symbol": order.symbol},
    )  # fmt: skip
    with desk.ledger.transaction() as tx:
        if tx.risk_event(event.event_id) is None:
            tx.add_risk_event(event)


def entry_costs_per_share(position: Position) -> Decimal:
    """Commissions of the round trip per share (USD): what a share traded so far has paid, in and out."""
    traded = position.bought_qty + position.sold_qty
    return 2 * position.commission_usd / traded if traded else ZERO


def cancel_stale_entries(desk: Desk, times: SessionTimes) -> int:
    """Ask to cancel entries past their time to live, and all of them once time exits begin."""
    now = desk.clock.now()
    with desk.ledger.read() as tx:
        entries = [order for order in tx.open_orders(desk.account) if order.leg is Leg.ENTRY]
    stale = [order for order in entries if order.status in CANCELLABLE and _is_stale(desk, order, times, now)]
    return sum(_canceled(desk, order) for order in stale)


def _is_stale(desk: Desk, order: Order, times: SessionTimes, now: datetime) -> bool:
    return (order.expires_at is not None and now >= order.expires_at) or _is_flatten(desk, times, now)


def _is_flatten(desk: Desk, times: SessionTimes, now: datetime) -> bool:
    lead = timedelta(minutes=desk.rules.exits.flatten_before_close_minutes)
    return is_flatten_time(now, times.closes_at, lead)


def exit_on_time(desk: Desk, times: SessionTimes, quotes: Quotes) -> int:
    """From the flatten time on, take every position out; repeating it never sells twice.

    Returns how many stops were asked to make room: once their end is reported, a repeat sells what they covered.
    """
    if not _is_flatten(desk, times, desk.clock.now()):
        return 0
    with desk.ledger.read() as tx:
        held = tx.positions(desk.account)
    return sum(start_exit(desk, times, p, quotes.get(p.symbol), ExitReason.TIME) for p in held)


def start_exit(desk: Desk, times: SessionTimes, position: Position, quote: Quote | None, reason: ExitReason) -> bool:
    """Close a position: its target leg becomes a marketable limit while the stop stays.

    Without a working target leg the stop is cancelled first (True), and once no sell is open any more a market order
    sells what is held; it is sent by the next dispatch, and a second call finds it and sends nothing.
    """
    now = desk.clock.now()
    with desk.ledger.transaction() as tx:
        if tx.risk_event(exit_event_id(position.trade_id)) is None:
            tx.add_risk_event(_exit_event(desk, times, position, _last_price(position, quote), reason, now))
    target = _working_leg(desk, position, Leg.TARGET)
    if target is not None:
        limit = _marketable(desk, position, quote)
        if target.limit_price is None or limit < target.limit_price:
            _replaced(desk, target, limit_price=limit)
        return False
    stop = _working_leg(desk, position, Leg.STOP)
    if stop is not None:
        return _canceled(desk, stop)
    _record_exit_order(desk, times, position, now)
    return False


def _last_price(position: Position, quote: Quote | None) -> Decimal:
    return quote.price if quote else position.mark or position.avg_px


def _marketable(desk: Desk, position: Position, quote: Quote | None) -> Decimal:
    last = _last_price(position, quote)
    return round_down_to_tick(float(last * (1 - desk.rules.exits.marketable_limit_fraction)))


def _working_leg(desk: Desk, position: Position, leg: Leg) -> Order | None:
    with desk.ledger.read() as tx:
        orders = [o for o in tx.open_orders(desk.account) if o.symbol == position.symbol and o.leg is leg]
    return next((order for order in orders if order.status in CANCELLABLE), None)


def _record_exit_order(desk: Desk, times: SessionTimes, position: Position, now: datetime) -> None:
    with desk.ledger.transaction() as tx:
        if any(o.side is Side.SELL and o.symbol == position.symbol for o in tx.open_orders(desk.account)):
            return  # one exit in flight; a leg whose end is not confirmed may still sell
        attempt = 1 + len(_exits_so_far(desk, tx, times, position))
        tx.add_order(
            _sell(desk, tx, times, position, now, Leg.EXIT, attempt, order_type=OrderType.MARKET, stop_price=None)
        )


def _exits_so_far(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> list[Order]:
    orders = tx.orders(desk.account, times.session)
    return [o for o in orders if o.leg in {Leg.EXIT, Leg.STOP} and o.symbol == position.symbol and o.parent_id is None]


def _sell(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, now: datetime, leg: Leg, attempt: int,
    *, order_type: OrderType, stop_price: Decimal | None, time_in_force: TimeInForce = TimeInForce.DAY,
) -> Order:  # fmt: skip
    return Order(
        client_order_id=client_order_id(
            desk.account, times.session, desk.strategy, position.symbol, position.trade_id, leg, attempt
        ),
        intent_id=_intent_of(tx, position), account=desk.account, strategy=desk.strategy, session=times.session,
        symbol=position.symbol, side=Side.SELL, order_type=order_type, quantity=position.quantity, leg=leg,
        time_in_force=time_in_force, created_at=now, updated_at=now, stop_price=stop_price,
    )  # fmt: skip


def _intent_of(tx: LedgerTransaction, position: Position) -> str:
    entry = tx.order(position.trade_id)
    return entry.intent_id if entry else ""


def release_day_legs(desk: Desk) -> int:
    """Cancel the DAY sells of positions that could not be sold today, to make room for a stop that outlives the close.

    Returns how many were asked to cancel; a GTC stop already in place stays.
    """
    with desk.ledger.read() as tx:
        held = {position.symbol for position in tx.positions(desk.account)}
        sells = [o for o in tx.open_orders(desk.account) if o.side is Side.SELL and o.symbol in held]
    day = [o for o in sells if o.time_in_force is TimeInForce.DAY and o.status in CANCELLABLE]
    return sum(_canceled(desk, order) for order in day)


def protect_overnight(desk: Desk, times: SessionTimes) -> int:
    """Write a GTC stop for every open position that no sell covers; returns how many were written.

    A DAY sell whose end is not confirmed yet may still sell: the stop waits for that, and the next call writes it.
    """
    now = desk.clock.now()
    with desk.ledger.read() as tx:
        covered = {order.symbol for order in tx.open_orders(desk.account) if order.side is Side.SELL}
        bare = [position for position in tx.positions(desk.account) if position.symbol not in covered]
    stops = [(position, position.stop or position.initial_stop) for position in bare]
    written = [(position, stop) for position, stop in stops if stop is not None]
    for position, stop in written:
        _record_night_stop(desk, times, position, stop, now)
    return len(written)


def alarm_unprotected(desk: Desk, tx: LedgerTransaction, times: SessionTimes) -> int:
    """A CRITICAL risk event for every position that enters the night with shares under no working GTC stop.

    Returns how many there are; said once per position and session.
    """
    gtc = [o for o in tx.open_orders(desk.account) if o.leg is Leg.STOP and o.time_in_force is TimeInForce.GTC]
    found = [position for position in tx.positions(desk.account) if _uncovered(position, gtc)]
    for position in found:
        event = _unprotected_event(desk, times, position, _uncovered(position, gtc))
        if tx.risk_event(event.event_id) is None:
            tx.add_risk_event(event)
    return len(found)


def _uncovered(position: Position, stops: Iterable[Order]) -> Decimal:
    working = (o.leaves_qty for o in stops if o.symbol == position.symbol and o.status in CANCELLABLE)
    return max(ZERO, position.quantity - sum(working, ZERO))


def _unprotected_event(desk: Desk, times: SessionTimes, position: Position, shares: Decimal) -> RiskEvent:
    return RiskEvent(
        event_id=digest("unprotected_overnight", position.trade_id, times.session.isoformat()), account=desk.account,
        session=times.session, occurred_at=times.closes_at, kind="unprotected_overnight", severity="CRITICAL",
        message=f"{plain(shares)} of {plain(position.quantity)} {position.symbol} enter the night without a working "
        "stop. Place one at the venue by hand; the next session tries again at its open",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "quantity": plain(shares)},
    )  # fmt: skip


def _record_night_stop(desk: Desk, times: SessionTimes, position: Position, stop: Decimal, now: datetime) -> None:
    with desk.ledger.transaction() as tx:
        attempt = 1 + len(_exits_so_far(desk, tx, times, position))
        order = _sell(
            desk, tx, times, position, now, Leg.STOP, attempt, order_type=OrderType.STOP, stop_price=stop,
            time_in_force=TimeInForce.GTC,
        )  # fmt: skip
        tx.add_order(order)


def _exit_event(
    desk: Desk, times: SessionTimes, position: Position, price: Decimal, reason: ExitReason, now: datetime
) -> RiskEvent:
    return RiskEvent(
        event_id=exit_event_id(position.trade_id), account=desk.account, session=times.session, occurred_at=now,
        kind="exit_started", severity="INFO", message=f"{position.symbol}: exit by {reason.value}",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "reason": reason.value, "price": plain(price)},
    )  # fmt: skip
