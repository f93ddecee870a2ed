"""Orders as Alpaca tells them: each replacement a new order, told from the engine's reports.

Everything here follows from the engine's own record (reports, tickets, facts), so that a restarted process tells the
same orders under the same ids. An engine order is a chain of Alpaca orders: generation 0 as sent, then one more with
each replacement by the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import BracketRequest, ExecType, ExecutionReport, OcoRequest, Side
from trading_pipeline.ports import TradingCalendar
from trading_pipeline.venue.alpaca.hours import lives_until, opens_after
from trading_pipeline.venue.alpaca.model import (
    ACCEPTED,
    CANCELED,
    EXPIRED,
    FILLED,
    HELD,
    NEW,
    PARTLY,
    PENDING_CANCEL,
    PENDING_NEW,
    REJECTED,
    REPLACED,
    AlpacaOrder,
    Execution,
    News,
)
from trading_pipeline.venue.alpaca.wire import Nanos, nanos, uuid_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.tickets import Ticket

PENDING_CANCELS = "alpaca pending cancels"
_ENDS = {ExecType.CANCELED: CANCELED, ExecType.EXPIRED: EXPIRED, ExecType.REJECTED: REJECTED}


def remembered(engine_id: str) -> str:
    """The name of the fact that holds the client ids of an order's replacements by generation; "" for Alpaca's own."""
    return f"alpaca:{engine_id}"


class Orders:
    """Every order of an account, and what is news about them."""

    def __init__(
        self, venue: SimulatedVenue, calendar: TradingCalendar, *, triggered_stops_are_new_orders: bool = False
    ) -> None:
        self._venue, self._calendar = venue, calendar
        self._renews_stops = triggered_stops_are_new_orders
        self._known: dict[str, AlpacaOrder] = {}
        self._current: dict[str, str] = {}
        self._client_ids: dict[str, str] = {}
        self._queued: dict[str, datetime] = {}
        self.executions: list[Execution] = []
        self._heard = 0
        self.hear(venue.reports)
        for name in self.pending_cancels():
            self.pend(name, venue.seen_until())

    # looking up

    def get(self, order_id: str) -> AlpacaOrder | None:
        return self._known.get(order_id)

    def by_client_id(self, client_order_id: str) -> AlpacaOrder | None:
        return self._known.get(self._client_ids.get(client_order_id, ""))

    def current(self, engine_id: str) -> AlpacaOrder:
        """The newest of a chain."""
        return self._known[self._current[engine_id]]

    def all(self) -> Sequence[AlpacaOrder]:
        """By submission."""
        return tuple(self._known.values())

    def legs(self, order: AlpacaOrder) -> Sequence[AlpacaOrder]:
        """The legs of an entry, or of an OCO's target: target before stop, each the newest of its chain."""
        ticket = self._tickets()[order.engine_id]
        if order.parent_id is not None:
            return ()
        if isinstance(ticket.sent, OcoRequest):
            return (self.current(ticket.sent.stop.client_order_id),)
        return tuple(self.current(name) for name in reversed(ticket.leg_ids))

    def ticket(self, order: AlpacaOrder) -> Ticket:
        """What the engine keeps of it."""
        return self._tickets()[order.engine_id]

    def pending_cancels(self) -> Sequence[str]:
        """Engine ids of orders whose cancel was taken and is not carried out yet."""
        found: Sequence[str] = self._venue.book().facts.get(PENDING_CANCELS, ())
        return found

    # hearing

    def pend(self, engine_id: str, now: datetime) -> list[News]:
        """An open order waits for its cancel."""
        order = self.current(engine_id)
        if not order.is_open:
            return []
        self._queued.pop(order.id, None)
        return self._told(PENDING_CANCEL, self._put(replace(order, status=PENDING_CANCEL)), nanos(now, self._heard))

    def hear(self, reports: Sequence[ExecutionReport]) -> list[News]:
        """Take the engine's next reports in; returns what is news by them."""
        news: list[News] = []
        for report, held in zip(reports, self._held_after(reports), strict=True):
            at = nanos(report.occurred_at, self._heard)
            news += self.route(report.occurred_at)
            news += self._HEARD[report.exec_type](self, report, at, held)
            self._heard += 1
        return news

    def route(self, now: datetime) -> list[News]:
        """Orders sent while the market was closed go to the exchange when it opens."""
        due = [order_id for order_id, opens_at in self._queued.items() if opens_at <= now]
        news = []
        for order_id in due:
            at = nanos(self._queued.pop(order_id), self._heard)
            news += self._told(NEW, self._put(replace(self._known[order_id], status=NEW, updated_at=at)), at)
        return news

    def _tickets(self) -> Mapping[str, Ticket]:
        return self._venue.book().tickets

    def _held_after(self, reports: Sequence[ExecutionReport]) -> list[Decimal]:
        """Shares of each report's symbol held after it, counted back from what is held now."""
        book = self._venue.book()
        later: dict[str, Decimal] = {}
        held = []
        for report in reversed(reports):
            request = book.tickets[report.client_order_id].request
            held.append(book.holding(request.symbol).quantity - later.get(request.symbol, ZERO))
            if report.exec_type is ExecType.TRADE:
                moved = report.last_qty if request.side is Side.BUY else -report.last_qty
                later[request.symbol] = later.get(request.symbol, ZERO) + moved
        return held[::-1]

    def _put(self, order: AlpacaOrder) -> AlpacaOrder:
        self._known[order.id] = order
        self._current[order.engine_id] = order.id
        self._client_ids[order.client_order_id] = order.id
        return order

    def _told(self, event: str, order: AlpacaOrder, at: Nanos, **execution: Any) -> list[News]:
        return [News(event=event, order=order, at=at, execution=execution or None)]

    def _order_id(self, ticket: Ticket, generation: int) -> str:
        return uuid_of(self._venue.rules.account, "order", ticket.venue_order_id, generation)

    # what each kind of report does

    def _on_new(self, report: ExecutionReport, at: Nanos, _: Decimal) -> list[News]:
        ticket = self._tickets()[report.client_order_id]
        request, parent_id = ticket.request, _parent_of(ticket)
        opens_at = None if parent_id else opens_after(self._calendar, report.occurred_at)
        status = HELD if parent_id else (ACCEPTED if opens_at else NEW)
        order = self._put(
            AlpacaOrder(
                id=self._order_id(ticket, 0),
                client_order_id=request.client_order_id,
                engine_id=request.client_order_id,
                generation=0,
                request=request,
                order_class=self._class_of(ticket),
                parent_id=parent_id,
                status=status,
                quantity=request.quantity,
                limit_price=request.limit_price,
                stop_price=request.stop_price,
                created_at=at,
                updated_at=at,
                expires_at=lives_until(self._calendar, report.occurred_at, request.time_in_force),
            )
        )
        if opens_at:
            self._queued[order.id] = opens_at
        return self._arrival(order, at)

    def _arrival(self, order: AlpacaOrder, at: Nanos) -> list[News]:
        """A held leg is no news."""
        if order.status == HELD:
            return []
        if order.status == ACCEPTED:
            return self._told(ACCEPTED, order, at)
        return [*self._told(PENDING_NEW, replace(order, status=PENDING_NEW), at), *self._told(NEW, order, at)]

    def _class_of(self, ticket: Ticket) -> str:
        if ticket.entry_id is not None:
            return self._class_of(self._tickets()[ticket.entry_id])
        if isinstance(ticket.sent, BracketRequest):
            return "bracket" if ticket.sent.target else "oto"
        return "oco" if isinstance(ticket.sent, OcoRequest) else ""

    def _on_trade(self, report: ExecutionReport, at: Nanos, held: Decimal) -> list[News]:
        before, renewed = self._triggered(self.current(report.client_order_id), at)
        filled = before.filled + report.last_qty
        is_whole = filled == before.quantity
        unfinished = PENDING_CANCEL if before.status == PENDING_CANCEL else PARTLY
        order = self._put(
            replace(
                before,
                status=FILLED if is_whole else unfinished,
                filled=filled,
                value_usd=before.value_usd + report.last_qty * report.last_px,
                updated_at=at,
                ended_at=at if is_whole else None,
            )
        )
        done = Execution(
            exec_id=report.exec_id, order=order, at=at, quantity=report.last_qty, price=report.last_px,
            commission=report.commission,
        )  # fmt: skip
        self.executions.append(done)
        news = self._told(
            "fill" if is_whole else "partial_fill", order, at,
            price=report.last_px, qty=report.last_qty, position_qty=held, execution_id=self.execution_id(done),
        )  # fmt: skip
        return [*renewed, *news, *(self._activate(order, at) if is_whole else ())]

    def _triggered(self, order: AlpacaOrder, at: Nanos) -> tuple[AlpacaOrder, list[News]]:
        """Where the house does so, a held stop that triggers is replaced by the order that executes."""
        if order.status != HELD or not self._renews_stops:
            return order, []
        return self._succeed(order, {"status": NEW, "updated_at": at}, at)

    def execution_id(self, execution: Execution) -> str:
        """The same on the stream and among the activities."""
        return uuid_of(self._venue.rules.account, "execution", execution.exec_id)

    def _activate(self, entry: AlpacaOrder, at: Nanos) -> Iterator[News]:
        """A filled entry's target goes to the exchange, the stop behind it stays held; a stop alone goes itself."""
        legs = self.legs(entry) if entry.order_class in {"bracket", "oto"} else ()
        for leg in legs[:1]:
            if leg.status == HELD:
                yield from self._told(NEW, self._put(replace(leg, status=NEW, updated_at=at)), at)

    def _on_end(self, report: ExecutionReport, at: Nanos, _: Decimal) -> list[News]:
        """The end of a held leg is not told."""
        before, status = self.current(report.client_order_id), _ENDS[report.exec_type]
        self._queued.pop(before.id, None)
        order = self._put(replace(before, status=status, updated_at=at, ended_at=at))
        return [] if before.status == HELD else self._told(status, order, at)

    def _on_replaced(self, report: ExecutionReport, at: Nanos, _: Decimal) -> list[News]:
        """By the client: a new order. Else (a family's quantities, a split) the same order, restated."""
        before = self.current(report.client_order_id)
        changes: dict[str, Any] = {
            "quantity": before.quantity if report.quantity is None else report.quantity,
            "limit_price": report.limit_price, "stop_price": report.stop_price, "updated_at": at,
        }  # fmt: skip
        if report.text:
            restated = self._put(replace(before, **changes))
            return [] if restated.status == HELD else self._told("restated", restated, at)
        return self._succeed(before, changes, at)[1]

    def _succeed(self, before: AlpacaOrder, changes: Mapping[str, Any], at: Nanos) -> tuple[AlpacaOrder, list[News]]:
        """The chain goes on with a new order."""
        number = before.generation + 1
        after_id = self._order_id(self.ticket(before), number)
        old = self._put(replace(before, status=REPLACED, replaced_by=after_id, updated_at=at, ended_at=at))
        more: dict[str, Any] = {"id": after_id, "client_order_id": self._client_id(before.engine_id, number)}
        more |= {"generation": number, "created_at": at, "replaces": old.id}
        new = self._put(replace(before, **{**changes, **more}))
        if old.id in self._queued:
            self._queued[new.id] = self._queued.pop(old.id)
        return new, [] if new.status == HELD else [*self._told(REPLACED, old, at), *self._told(NEW, new, at)]

    def _client_id(self, engine_id: str, generation: int) -> str:
        given: Sequence[str] = self._venue.book().facts.get(remembered(engine_id), ())
        name = given[generation - 1] if generation <= len(given) else ""
        return name or self.next_client_id(engine_id, generation)

    def next_client_id(self, engine_id: str, generation: int) -> str:
        """What a replacement is called when the client does not say."""
        return uuid_of(self._venue.rules.account, "replacement", engine_id, generation)

    def _on_refused_change(self, report: ExecutionReport, at: Nanos, _: Decimal) -> list[News]:
        event = "order_cancel_rejected" if report.exec_type is ExecType.CANCEL_REJECTED else "order_replace_rejected"
        return self._told(event, self.current(report.client_order_id), at)

    _HEARD: Mapping[ExecType, Callable[[Orders, ExecutionReport, Nanos, Decimal], list[News]]] = {
        ExecType.NEW: _on_new,
        ExecType.TRADE: _on_trade,
        ExecType.CANCELED: _on_end,
        ExecType.EXPIRED: _on_end,
        ExecType.REJECTED: _on_end,
        ExecType.REPLACED: _on_replaced,
        ExecType.CANCEL_REJECTED: _on_refused_change,
        ExecType.REPLACE_REJECTED: _on_refused_change,
    }


def _parent_of(ticket: Ticket) -> str | None:
    """An OCO's stop is its target's leg."""
    if isinstance(ticket.sent, OcoRequest):
        target_id = ticket.sent.target.client_order_id
        return None if target_id == ticket.client_order_id else target_id
    return ticket.entry_id
