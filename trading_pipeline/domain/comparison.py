"""Comparing our record with the venue's: every difference is found once, by its cause.

What a missing or an extra fill explains (shares, cash) is not told again as a difference of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_pipeline.domain.executions import executions, in_order
from trading_pipeline.domain.fold import standing
from trading_pipeline.domain.money import CENT, ZERO, plain
from trading_pipeline.domain.orders import (
    TERMINAL,
    ExecutionReport,
    Fill,
    Leg,
    Order,
    OrderType,
    OrdStatus,
    Side,
)
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.reconciliation import (
    Break,
    BreakKind,
    HoldingSeen,
    OrderSeen,
    OurSide,
    ReconcileRules,
    TheirSide,
)

UNCONFIRMED = frozenset({OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT})
"""Not known to be at the venue: sending them, and ending a doubt, is the dispatcher's work."""
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
NONE = "none"


def compare(ours: OurSide, theirs: TheirSide, rules: ReconcileRules) -> tuple[Break, ...]:
    """Every difference, by kind and subject; empty when both sides agree. Pure.

    Orders that `theirs` does not list are taken as unknown to the venue: ask for them by id first. Orders we have in
    doubt or not sent yet are not missing. A bracket's legs may be for more than is held while their entry works.
    """
    pairs = _pairs(ours.orders, theirs.orders)
    gaps = _gaps(ours, theirs, pairs)
    found = (
        *_order_breaks(ours, theirs, pairs),
        *_fill_breaks(gaps),
        *_position_breaks(ours, theirs, gaps, rules),
        *_cash_breaks(ours, theirs, gaps, rules),
        *_stop_breaks(ours, theirs),
    )
    return tuple(sorted(found, key=lambda one: one.identity))


# orders


def _pairs(ours: Sequence[Order], theirs: Sequence[OrderSeen]) -> dict[str, OrderSeen]:
    """The venue's view of each of our orders: by our id, else by the venue's (legs the venue names itself)."""
    by_id = {order.client_order_id: order for order in ours}
    by_venue_id = {order.venue_order_id: order for order in ours if order.venue_order_id}
    found = ((by_id.get(seen.client_order_id) or by_venue_id.get(seen.venue_order_id or ""), seen) for seen in theirs)
    return {order.client_order_id: seen for order, seen in found if order is not None}


def _order_breaks(ours: OurSide, theirs: TheirSide, pairs: Mapping[str, OrderSeen]) -> Iterator[Break]:
    yield from _unknown_orders(ours, theirs, pairs)
    for order in ours.orders:
        seen = pairs.get(order.client_order_id)
        if seen is None and order.is_open and order.status not in UNCONFIRMED:
            yield _about(BreakKind.MISSING_ORDER, order, _terms(order), NONE)
        elif seen is not None and _differ(order, seen):
            yield _about(BreakKind.STATE_DIFFERS, order, _terms(order), _terms(seen))


def _unknown_orders(ours: OurSide, theirs: TheirSide, pairs: Mapping[str, OrderSeen]) -> Iterator[Break]:
    known, paired = {order.client_order_id for order in ours.orders}, {id(seen) for seen in pairs.values()}
    listed = {seen.client_order_id for seen in theirs.orders}
    for seen in theirs.orders:
        if id(seen) not in paired:
            yield _about(BreakKind.UNKNOWN_ORDER, seen, NONE, _terms(seen))
    told = {order_id: trades for order_id, trades in _holding(theirs.executions).items() if trades}
    for client_order_id in sorted(told.keys() - known - listed):
        shares = sum((report.last_qty for report in told[client_order_id].values()), ZERO)
        yield Break(
            kind=BreakKind.UNKNOWN_ORDER, symbol="", subject=client_order_id, ours=NONE,
            theirs=f"{plain(shares)} shares filled",
        )  # fmt: skip


def _about(kind: BreakKind, order: OrderSeen, ours: str, theirs: str) -> Break:
    return Break(kind=kind, symbol=order.symbol, subject=order.client_order_id, ours=ours, theirs=theirs)


def _differ(order: Order, seen: OrderSeen) -> bool:
    """One works and the other has ended, or both work on different terms; what a fill explains is no difference."""
    works = seen.status not in TERMINAL
    if order.is_open != works:
        is_fill = (seen if order.is_open else order).status is OrdStatus.FILLED
        return not (is_fill and order.cum_qty != seen.cum_qty)
    if not works or order.status is OrdStatus.PENDING_REPLACE:
        return False
    return _is_idle(order, seen) or _prices(order) != _prices(seen) or order.quantity != seen.quantity


def _is_idle(order: Order, seen: OrderSeen) -> bool:
    """What one side has at work the other has not taken yet; of a stop the venue only holds, nothing is protected."""
    is_held = order.order_type in STOPS and seen.status is OrdStatus.PENDING_NEW
    return order.status in UNCONFIRMED or is_held


def _prices(order: OrderSeen) -> tuple[Decimal | None, Decimal | None]:
    trails = order.order_type is OrderType.TRAILING_STOP
    return (order.limit_price, None if trails else order.stop_price)


def _terms(order: OrderSeen) -> str:
    """An order in words: "New SELL 100 STOP stop 48 (40 filled)"."""
    prices = {"limit": order.limit_price, "stop": order.stop_price}
    levels = "".join(f" {name} {plain(price)}" for name, price in prices.items() if price is not None)
    filled = f" ({plain(order.cum_qty)} filled)" if order.cum_qty else ""
    return f"{order.status} {order.side} {plain(order.quantity)} {order.order_type}{levels}{filled}"


# fills


@dataclass(frozen=True, slots=True)
class _Gap:
    """An order of which the venue has filled another number of shares than we have: what that means for us."""

    order: OrderSeen
    ours: Decimal
    theirs: Decimal
    cash_usd: Decimal
    is_known: bool

    @property
    def shares(self) -> Decimal:
        """What the position lacks (negative: has too much)."""
        return (self.theirs - self.ours) * (1 if self.order.side is Side.BUY else -1)


def _holding(executions_: Sequence[ExecutionReport]) -> dict[str, dict[str, ExecutionReport]]:
    """By order and exec_id: the venue's executions that hold, after its own busts and corrections."""
    by_order = defaultdict[str, list[ExecutionReport]](list)
    for report in executions_:
        by_order[report.client_order_id].append(report)
    return {
        order_id: {held.exec_id: held for held in executions(in_order(said)).values()}
        for order_id, said in by_order.items()
    }


def _gaps(ours: OurSide, theirs: TheirSide, pairs: Mapping[str, OrderSeen]) -> tuple[_Gap, ...]:
    """One per order whose filled shares differ, orders unknown to us included."""
    told, booked = _holding(theirs.executions), defaultdict[str, dict[str, Fill]](dict)
    for fill in standing(ours.fills):
        booked[fill.client_order_id][fill.exec_id] = fill
    gaps = [
        _gap(order, pairs.get(order.client_order_id), told.get(order.client_order_id, {}),
             booked[order.client_order_id], theirs.broker)
        for order in ours.orders
    ]  # fmt: skip
    paired = {id(seen) for seen in pairs.values()}
    gaps += [
        _gap_of_stranger(seen, list(told.get(seen.client_order_id, {}).values()))
        for seen in theirs.orders if id(seen) not in paired
    ]  # fmt: skip
    return tuple(gap for gap in gaps if gap.ours != gap.theirs)


def _gap(
    order: Order, seen: OrderSeen | None, told: Mapping[str, ExecutionReport], booked: Mapping[str, Fill], broker: str
) -> _Gap:
    """The venue's own count holds where it gives one; else what it executed in the session."""
    missing = [report for exec_id, report in told.items() if exec_id not in booked]
    extra = [fill for exec_id, fill in booked.items() if exec_id not in told and fill.broker == broker]
    more, less = sum((r.last_qty for r in missing), ZERO), sum((fill.quantity for fill in extra), ZERO)
    theirs = order.cum_qty + more - less if seen is None else min(seen.cum_qty, seen.quantity)  # beyond: an overfill
    cash = sum((_flow(order.side, r.last_qty, r.last_px, r.commission) for r in missing), ZERO)
    cash -= sum((_flow(fill.side, fill.quantity, fill.price, fill.commission) for fill in extra), ZERO)
    untold = theirs - order.cum_qty - more + less
    price = order.avg_px or order.limit_price or order.stop_price or ZERO
    return _Gap(order, order.cum_qty, theirs, cash + _flow(order.side, untold, price, ZERO), is_known=True)


def _gap_of_stranger(seen: OrderSeen, missing: Sequence[ExecutionReport]) -> _Gap:
    told = sum((_flow(seen.side, r.last_qty, r.last_px, r.commission) for r in missing), ZERO)
    untold = seen.cum_qty - sum((r.last_qty for r in missing), ZERO)
    price = seen.limit_price or seen.stop_price or ZERO
    return _Gap(seen, ZERO, seen.cum_qty, told + _flow(seen.side, untold, price, ZERO), is_known=False)


def _flow(side: Side, shares: Decimal, price: Decimal, commission: Decimal) -> Decimal:
    """Cash (USD) an execution brings; a purchase brings less than nothing."""
    return (shares if side is Side.SELL else -shares) * price - commission


def _fill_breaks(gaps: Sequence[_Gap]) -> Iterator[Break]:
    for gap in gaps:
        if gap.is_known:
            kind = BreakKind.MISSING_FILL if gap.theirs > gap.ours else BreakKind.EXTRA_FILL
            yield _about(kind, gap.order, f"{plain(gap.ours)} filled", f"{plain(gap.theirs)} filled")


# positions and cash


def _position_breaks(ours: OurSide, theirs: TheirSide, gaps: Sequence[_Gap], rules: ReconcileRules) -> Iterator[Break]:
    mine: dict[str, HoldingSeen] = {held.symbol: held for held in ours.positions}
    other = {held.symbol: held for held in theirs.positions}
    unbooked = defaultdict[str, Decimal](Decimal)
    for gap in gaps:
        unbooked[gap.order.symbol] += gap.shares
    for symbol in sorted(mine.keys() | other.keys() | unbooked.keys()):
        have, has = _shares(mine.get(symbol)), _shares(other.get(symbol))
        if have + unbooked[symbol] != has:
            yield _position_break(_kind_of(have, has), symbol, _held(mine.get(symbol)), _held(other.get(symbol)))
        elif have == has and have and _far(mine[symbol].avg_px, other[symbol].avg_px, rules):
            kind = BreakKind.AVERAGE_PRICE_DIFFERS
            yield _position_break(kind, symbol, _held(mine[symbol]), _held(other[symbol]))


def _shares(held: HoldingSeen | None) -> Decimal:
    return held.quantity if held else ZERO


def _kind_of(have: Decimal, has: Decimal) -> BreakKind:
    if have and has:
        return BreakKind.QUANTITY_DIFFERS
    return BreakKind.POSITION_GONE if have else BreakKind.UNKNOWN_POSITION if has else BreakKind.QUANTITY_DIFFERS


def _far(mine: Decimal, other: Decimal, rules: ReconcileRules) -> bool:
    return abs(mine - other) > rules.average_price_fraction * abs(other)


def _held(held: HoldingSeen | None) -> str:
    return f"{plain(held.quantity)} at {plain(round(held.avg_px, 6))}" if held and held.quantity else NONE


def _position_break(kind: BreakKind, symbol: str, ours: str, theirs: str) -> Break:
    return Break(kind=kind, symbol=symbol, subject=symbol, ours=ours, theirs=theirs)


def _cash_breaks(ours: OurSide, theirs: TheirSide, gaps: Sequence[_Gap], rules: ReconcileRules) -> Iterator[Break]:
    """Cash that neither fills, on record or missing, nor cash activities explain; little of it is information."""
    unexplained = abs(theirs.cash_usd - ours.cash_usd - sum((gap.cash_usd for gap in gaps), ZERO))
    if unexplained >= CENT:
        yield Break(
            kind=BreakKind.CASH_DIFFERS, symbol="", subject="cash", ours=f"{ours.cash_usd:.2f}",
            theirs=f"{theirs.cash_usd:.2f}", is_information=unexplained <= rules.cash_fraction * ours.equity_usd,
        )  # fmt: skip


# stops


def _stop_breaks(ours: OurSide, theirs: TheirSide) -> Iterator[Break]:
    """Shares both sides hold, with a stop on record, that the venue's working stops do not cover exactly."""
    held = {holding.symbol: holding.quantity for holding in theirs.positions if holding.quantity > 0}
    for position in ours.positions:
        is_due = position.stop is not None or position.initial_stop is not None
        if position.symbol in held and is_due and not _is_leaving(position, ours.orders):
            yield from _stop_break(position, held[position.symbol], ours, theirs)


def _is_leaving(position: Position, orders: Sequence[Order]) -> bool:
    return any(o.leg is Leg.EXIT and o.symbol == position.symbol and o.is_open for o in orders)


def _stop_break(position: Position, held: Decimal, ours: OurSide, theirs: TheirSide) -> Iterator[Break]:
    stops = [o for o in theirs.orders if o.symbol == position.symbol and o.side is Side.SELL and o.order_type in STOPS]
    idle = TERMINAL | {OrdStatus.PENDING_NEW}  # what the venue has not taken, or only holds, covers nothing
    covered = sum((o.quantity - o.cum_qty for o in stops if o.status not in idle), ZERO)
    entries = [o for o in ours.orders if o.symbol == position.symbol and o.leg is Leg.ENTRY and o.is_open]
    if not held <= covered <= held + sum((order.leaves_qty for order in entries), ZERO):
        kind = BreakKind.STOP_QUANTITY_WRONG if covered else BreakKind.STOP_MISSING
        yield _position_break(
            kind, position.symbol, f"{plain(position.quantity)} held", f"{plain(covered)} under stops"
        )
