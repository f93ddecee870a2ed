"""The protection invariant: what is held lies under a live stop, or a person hears of it within seconds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import takewhile

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO, plain, round_down_to_tick
from trading_pipeline.domain.orders import Leg, Order, OrdStatus, Side, TimeInForce
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.protection import IDLE, SETTLED, Exits, Resize, cover_of, resizes
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import (
    a_sell,
    ask_cancel,
    ask_replace,
    by_symbol,
    is_external,
    its_target,
    orders_of,
    own_sells,
    read_cover,
    say_once,
    seconds_since,
)
from trading_pipeline.services.care.exits import free_at_venue, is_leaving, start_exit, started_exits
from trading_pipeline.services.care.partial_profit import KIND as PARTIAL
from trading_pipeline.services.care.partial_profit import still_to_sell
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.reductions import KIND as REDUCTION
from trading_pipeline.services.reductions import pending_reduction, write_reduction

FIRST_RETRY_SECONDS = 2
"""After the first refusal of a stop of our own, whose shares lie bare; never longer than exit_retry_seconds."""
PARTS = frozenset({PARTIAL, REDUCTION})
"""Kinds of the events by which a part of a position is to be sold."""


def guard_protection(desk: Desk, times: SessionTimes) -> int:
    """See to it that every position lies under stops of exactly its size; for each cycle, after the exits.

    An entry that stays partly filled loses its remainder, stops are resized or re-placed, a position without one gets
    its own, sells without a position end, and what stays bare raises an alarm. Stops that are written are sent by the
    next dispatch. Returns how much had to be done.
    """
    with desk.ledger.read() as tx:
        held = {position.symbol: position for position in tx.positions(desk.account)}
        open_orders = tx.open_orders(desk.account)
        planned = _planned(desk, tx, times, held.values())
    orders = by_symbol(open_orders)
    done = sum([_end_partly_filled(desk, order) for order in open_orders if order.side is Side.BUY])
    for symbol in sorted({order.symbol for order in open_orders if order.side is Side.SELL} - set(held)):
        done += _end_orphans(desk, orders[symbol])
    return done + sum(_guard(desk, times, p, orders.get(p.symbol, []), planned) for p in held.values())


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is to happen to positions, by trade id: those being left, and shares to be sold apart from their stops."""

    leaving: frozenset[str]
    parts: Mapping[str, Decimal]


def _planned(desk: Desk, tx: LedgerTransaction, times: SessionTimes, held: Collection[Position]) -> _Planned:
    """Parts are looked up only for trades of which the session has an event that asks for one."""
    events = tx.risk_events(desk.account, times.session) if held else ()
    named = {event.data["trade_id"] for event in events if event.kind in PARTS}
    parts = {
        p.trade_id: still_to_sell(desk, tx, times, p) + pending_reduction(desk, tx, times, p)
        for p in held if p.trade_id in named
    }  # fmt: skip
    return _Planned(frozenset(started_exits(tx, tuple(held))), parts)


def _end_partly_filled(desk: Desk, entry: Order) -> bool:
    """Ask to cancel what is left of an entry that has been partly filled for too long."""
    if entry.status not in SETTLED or not entry.cum_qty or entry.leg is not Leg.ENTRY:
        return False
    with desk.ledger.read() as tx:
        fills = [f for f in tx.fills(desk.account, symbol=entry.symbol) if f.client_order_id == entry.client_order_id]
    first = min((fill.executed_at for fill in fills), default=entry.updated_at)
    is_due = _age(desk, first) >= desk.rules.exits.protect_after_seconds
    return is_due and ask_cancel(desk, entry)


def _age(desk: Desk, then: datetime) -> float:
    """Seconds since then. An instant that a connected venue dates ahead of our clock is as old as it is ahead; other
    venues go by our clock, and what is ahead there comes again."""
    age = seconds_since(desk.clock.now(), then)
    return abs(age) if desk.connections() else age


def _end_orphans(desk: Desk, orders: Sequence[Order]) -> int:
    """Sells that stand by themselves and have nothing left to sell would open a short position."""
    if any(order.side is Side.BUY for order in orders):
        return 0
    return sum([ask_cancel(desk, order) for order in orders if order.status in SETTLED | IDLE])


def _guard(desk: Desk, times: SessionTimes, position: Position, orders: Sequence[Order], planned: _Planned) -> int:
    cover, bare = cover_of(position.quantity, orders), _surely_bare(times, position, orders)
    leaving, part = position.trade_id in planned.leaving, planned.parts.get(position.trade_id, ZERO)
    buys = [order for order in orders if order.side is Side.BUY]
    if buys and (leaving or part):
        return _alarm_if_bare(desk, times, position, bare)  # what is sold waits for the purchase to end
    if _bracketed(orders):
        done = _cover_others(desk, times, position, orders)
        return done + _alarm_if_bare(desk, times, position, bare)
    wanted = max(cover.held - cover.leaving - part, ZERO)
    changes, missing = resizes(cover, wanted, may_grow=desk.broker.capabilities.replaces_quantity)
    done = sum(_resize(desk, change) for change in changes if not (leaving and _is_sale_by_target(change.exits)))
    if missing and all(one.is_settled for one in cover.exits) and not changes:
        done += _cover_missing(desk, times, position, missing)
    done += write_reduction(desk, times, position) if part else 0
    return done + _alarm_if_bare(desk, times, position, bare - part)


def _surely_bare(times: SessionTimes, position: Position, orders: Sequence[Order]) -> Decimal:
    """Shares that nothing protects, whatever a silent venue has not told yet: orders for a day end with that day."""
    lasting = [o for o in orders if o.session >= times.session or o.time_in_force is TimeInForce.GTC]
    return cover_of(position.quantity, lasting).bare


def _bracketed(orders: Sequence[Order]) -> list[Order]:
    """Purchases with an open stop of their own: what they have bought is theirs to protect."""
    parents = {order.parent_id for order in orders if order.side is Side.SELL and order.leg is Leg.STOP}
    return [order for order in orders if order.side is Side.BUY and order.client_order_id in parents]


def _cover_others(desk: Desk, times: SessionTimes, position: Position, orders: Sequence[Order]) -> int:
    """A stop for shares held beside what an open bracket has bought; the bracket and its legs are left alone."""
    brackets = _bracketed(orders)
    own = {order.client_order_id for order in brackets}
    others = [order for order in orders if order.client_order_id not in own and order.parent_id not in own]
    cover = cover_of(position.quantity - sum((order.cum_qty for order in brackets), ZERO), others)
    if cover.free and all(one.is_settled for one in cover.exits):
        return _cover_missing(desk, times, position, cover.free)
    return 0


def _is_sale_by_target(exits: Exits) -> bool:
    """A target without a stop, during an exit: it is priced to sell."""
    return not exits.protected and any(order.leg is Leg.TARGET for order in exits.orders)


def _resize(desk: Desk, change: Resize) -> int:
    """Give a group of orders its new size: in place where the venue can, else it ends and a new stop follows."""
    if not change.exits.is_settled:
        return 0
    wrong = [order for order in change.exits.orders if order.leaves_qty != change.shares]
    if change.shares and desk.broker.capabilities.replaces_quantity:
        return sum([ask_replace(desk, order, quantity=order.cum_qty + change.shares) for order in wrong])
    return sum([ask_cancel(desk, order) for order in change.exits.orders])


def _cover_missing(desk: Desk, times: SessionTimes, position: Position, missing: Decimal) -> int:
    """Write a stop of our own for shares that have none, unless the venue has one we do not know of."""
    level = stop_level(desk, position)
    if level is None or not _may_try(desk, times, position):
        return 0
    if position.mark is not None and position.mark <= level:
        return start_exit(desk, times, position, None, ExitReason.STOP)  # a stop above the market would be refused
    has_others = any(order.side is Side.SELL for order in orders_of(desk, position.symbol))
    quantity = missing if has_others else min(missing, free_at_venue(desk, position.symbol))
    if not quantity:
        return 0
    with desk.ledger.transaction() as tx:
        if read_cover(desk, tx, position).free >= quantity:
            write_stop(desk, tx, times, position, quantity, level)
            return 1
    return 0


def _may_try(desk: Desk, times: SessionTimes, position: Position) -> bool:
    """False for a moment after the venue refused a stop of our own, twice as long after each refusal in a row."""
    with desk.ledger.read() as tx:
        stops = [o for o in own_sells(desk, tx, times, position) if o.leg is Leg.STOP]
    refused = len(list(takewhile(lambda order: order.status is OrdStatus.REJECTED, reversed(stops))))
    if not refused:
        return True
    longest = desk.rules.exits.exit_retry_seconds
    wait: int = min(FIRST_RETRY_SECONDS << min(refused - 1, 10), longest)
    return seconds_since(desk.clock.now(), stops[-1].updated_at) >= wait


def stop_level(desk: Desk, position: Position) -> Decimal | None:
    """Where a stop of our own goes (USD per share); None for an adopted position without one, unless set."""
    fraction = desk.rules.exits.external_stop_fraction
    known = position.stop or position.initial_stop
    with desk.ledger.read() as tx:
        if known is not None or fraction is None or not is_external(tx, position):
            return known
    price = min(position.avg_px, position.mark or position.avg_px)
    return round_down_to_tick(float(price * (1 - fraction)))


def write_stop(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, quantity: Decimal, level: Decimal
) -> None:
    """A stop of our own that outlives the session, with the target as its other leg unless the position is leaving."""
    stop = a_sell(
        desk, tx, times, position, Leg.STOP, quantity, stop_price=level, time_in_force=TimeInForce.GTC
    )  # fmt: skip
    tx.add_order(stop)
    target = position.target
    if target is not None and target > level and not is_leaving(tx, position):
        tx.add_order(its_target(desk, tx, times, position, stop, target))


def _alarm_if_bare(desk: Desk, times: SessionTimes, position: Position, bare: Decimal) -> int:
    """A CRITICAL risk event for shares that have had no live stop for too long; once per position and cause."""
    if bare <= 0:
        return 0
    with desk.ledger.transaction() as tx:
        since = _bare_since(desk, tx, times, position)
        if _age(desk, since) < desk.rules.exits.protect_after_seconds:
            return 0
        return int(say_once(tx, _bare_event(desk, times, position, bare, since)))


def _bare_since(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> datetime:
    """When the position's shares or sells last changed: the open, its last purchase, or the last end of a sell.

    A sell that was refused when it was sent changed nothing: no row of refusals puts the alarm off.
    """
    orders = [order for order in tx.orders(desk.account, times.session) if order.symbol == position.symbol]
    sells = [order for order in orders if order.side is Side.SELL and not _was_turned_down(desk, order)]
    ended = [order.updated_at for order in sells if not order.is_open]
    bought = [order.updated_at for order in orders if order.side is Side.BUY and order.cum_qty]
    return max([times.opens_at, position.opened_at, *ended, *bought])


def _was_turned_down(desk: Desk, order: Order) -> bool:
    """True for an order that was refused before it could protect anything."""
    lived = seconds_since(order.updated_at, order.submitted_at or order.created_at)
    return order.status is OrdStatus.REJECTED and lived < desk.rules.exits.protect_after_seconds


def _bare_event(desk: Desk, times: SessionTimes, position: Position, bare: Decimal, since: datetime) -> RiskEvent:
    return RiskEvent(
        event_id=digest("unprotected", position.trade_id, times.session.isoformat(), since.isoformat()),
        account=desk.account, session=times.session, occurred_at=desk.clock.now(), kind="unprotected",
        severity="CRITICAL",
        message=f"{plain(bare)} of {plain(position.quantity)} {position.symbol} have been without a live stop since "
        f"{since:%H:%M:%S} UTC. Look at the venue; close them: trading-pipeline close {position.symbol} "
        "--reason TEXT --operator NAME",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "quantity": plain(bare)},
    )  # fmt: skip
