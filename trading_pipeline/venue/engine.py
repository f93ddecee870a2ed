"""The simulated venue: takes orders from a broker adapter and bars from the market, and remembers both."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import InputError, LeaseLost, OrderRefused
from trading_pipeline.domain.market import MarketBar, SessionTimes, require_aware
from trading_pipeline.domain.orders import (
    AnyRequest,
    ExecType,
    ExecutionReport,
    OrderRequest,
    OrderType,
    OrdStatus,
    TimeInForce,
)
from trading_pipeline.ports import ClientIdScope, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.checks import form_faults, orders_of
from trading_pipeline.venue.corporate import open_session
from trading_pipeline.venue.execution import meet
from trading_pipeline.venue.families import join_faults, joined
from trading_pipeline.venue.hours import Halt, remember_halt
from trading_pipeline.venue.matching import checked
from trading_pipeline.venue.refusals import Replacement, account_faults, replace_faults
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.state import VenueState
from trading_pipeline.venue.storage import VenueFile
from trading_pipeline.venue.tickets import Ticket

EPOCH = datetime.fromtimestamp(0, UTC)
CAPABILITIES = VenueCapabilities(
    client_id_scope=ClientIdScope.FOREVER,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    replaces_quantity=True,
)


class SimulatedVenue:
    """A matching engine for one long-only account. Every call happens whole, on disk and in memory, or not at all.

    One caller at a time: a door that serves several threads must queue them.
    path: its own SQLite file, separate from the ledger; None keeps everything in memory.
    """

    def __init__(self, path: Path | None, rules: VenueRules) -> None:
        self.rules = rules
        self._file = VenueFile(path, rules) if path else None
        self._state = self._file.load() if self._file else VenueState(rules.initial_cash_usd)

    def close(self) -> None:
        """Release the file; the state stays on disk."""
        if self._file:
            self._file.close()

    @property
    def reports(self) -> Sequence[ExecutionReport]:
        """Every report so far, oldest first."""
        return self._state.reports

    def book(self) -> Book:
        """The book as it stands, to look at."""
        return Book(self._state, self.rules)

    def seen_until(self) -> datetime:
        """The newest instant on record: of a bar or a report; the epoch when nothing ever happened."""
        newest = [self._state.reports[-1].occurred_at] if self._state.reports else []
        return max([*newest, *(mark.end_at for mark in self._state.marks.values())], default=EPOCH)

    @contextmanager
    def _change(self) -> Iterator[Book]:
        book = Book(self._state, self.rules)
        yield book
        if book.is_empty:
            return
        if self._file:
            self._file.save(book)
        self._state.apply(book)

    # the client's side

    def submit(
        self,
        request: AnyRequest,
        now: datetime,
        facts: Mapping[str, Any] | None = None,
        *,
        remembers_refusal: bool = True,
    ) -> str:
        """Accept an order at `now`; a repeat of the same content gives the same venue id and changes nothing.

        facts: what a door remembers with it, accepted or refused (JSON by name), in the same change.
        Raises OrderRefused with every reason; the id then stays refused, or, where the door's venue does not remember
        what it refused, is free again.
        """
        require_aware(now)
        with self._change() as book:
            known = book.tickets.get(orders_of(request)[0].client_order_id)
            if known is not None:
                return _repeated(known, request)
            book.facts.update(facts or {})
            faults = form_faults(request) or account_faults(book, request, now)
            if not faults:
                return book.accept(request, now).venue_order_id
            refusal = _refusal(request, faults)
            if not remembers_refusal:
                raise refusal
            book.refuse(request, str(refusal), now)
        raise refusal

    def join(
        self, client_order_id: str, order: OrderRequest, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> str:
        """Accept an order into a family with one already sent: as an entry's leg, or as the other side of an exit.

        facts: as for submit. Raises OrderRefused with every reason; the new order's id then stays refused.
        """
        require_aware(now)
        with self._change() as book:
            known = self._known(book, client_order_id)
            book.facts.update(facts or {})
            family = joined(book, known, order)
            faults = [*form_faults(order), *join_faults(book, known, family, order)]
            if family is not None and not faults:
                return book.join(known, family, order, now).venue_order_id
            refusal = _refusal(order, faults)
            book.refuse(order, str(refusal), now)
        raise refusal

    def note(self, facts: Mapping[str, Any]) -> None:
        """Remember things for a door (JSON by name)."""
        with self._change() as book:
            book.facts.update(facts)

    def replace(
        self,
        client_order_id: str,
        now: datetime,
        stop_price: Decimal | None,
        limit_price: Decimal | None,
        quantity: Decimal | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a working order's prices, or its whole quantity, for bars that start at or after `now`; None keeps.

        facts: what a door remembers with the change (JSON by name).
        """
        require_aware(now)
        with self._change() as book:
            ticket = self._known(book, client_order_id)
            asked = Replacement(now, stop_price, limit_price, quantity)
            faults = replace_faults(book, ticket, asked)
            if not faults:
                book.facts.update(facts or {})
                book.change(asked.applied(book, ticket), now)
            elif self._is_told_later(ticket):
                book.report(ticket, ExecType.REPLACE_REJECTED, now, text="; ".join(faults))
            else:
                raise OrderRefused(f"{client_order_id} was not replaced: {'; '.join(faults)}")

    def cancel(self, client_order_id: str, now: datetime) -> None:
        """Take a working order off the book; what has ended stays as it ended."""
        require_aware(now)
        with self._change() as book:
            ticket = self._known(book, client_order_id)
            if self._is_told_later(ticket):
                book.report(ticket, ExecType.CANCEL_REJECTED, now, text=f"it has ended ({ticket.status})")
            else:
                book.cancel(ticket, now)

    def order(self, client_order_id: str) -> VenueOrder | None:
        """An order open or ended; None when none came on the book (send a refused one again: it is refused again)."""
        ticket = self._state.tickets.get(client_order_id)
        return ticket.view() if ticket and ticket.was_on_book else None

    def open_orders(self) -> tuple[VenueOrder, ...]:
        """Working orders by acceptance."""
        return tuple(ticket.view() for ticket in Book(self._state, self.rules).working())

    def execution_reports(self, since: datetime) -> tuple[ExecutionReport, ...]:
        """Reports at or after `since`, oldest first."""
        reports = self._state.reports
        first = bisect_left(reports, require_aware(since), key=lambda report: report.occurred_at)
        return tuple(reports[first:])

    def positions(self) -> tuple[VenuePosition, ...]:
        """Open positions by symbol."""
        held = sorted((h for h in self._state.holdings.values() if h.quantity), key=lambda h: h.symbol)
        return tuple(VenuePosition(h.symbol, h.quantity, h.avg_px) for h in held)

    def account(self) -> VenueAccount:
        """Cash, equity at the last prices, buying power."""
        book = Book(self._state, self.rules)
        return VenueAccount(
            account=self.rules.account,
            cash_usd=book.cash_usd,
            equity_usd=book.cash_usd + book.holdings_usd(),
            buying_power_usd=book.buying_power_usd(),
            settled_cash_usd=book.settled_cash_usd(),
        )

    def cash_activities(self, since: datetime) -> tuple[CashActivity, ...]:
        """Cash moved by anything but fills, at or after `since`, oldest first."""
        require_aware(since)
        return tuple(activity for activity in self._state.activities if activity.occurred_at >= since)

    def _is_told_later(self, ticket: Ticket) -> bool:
        return self.rules.refuses_by_report and not ticket.is_open

    def fence(self, token: int) -> None:
        """Let a leader's fencing token pass and remember it; raises LeaseLost when a higher one has been seen."""
        highest = int(self._state.facts.get("fence", 0))
        if token < highest:
            raise LeaseLost(
                f"the venue has taken orders under fencing token {highest} and takes none under {token}: another "
                "process leads now. Stop this one"
            )
        if token > highest:
            with self._change() as book:
                book.facts["fence"] = token

    def _known(self, book: Book, client_order_id: str) -> Ticket:
        ticket = book.tickets.get(client_order_id)
        if ticket is None or not ticket.was_on_book:
            raise OrderRefused(f"the venue has no order {client_order_id} among its {len(book.tickets)}")
        return ticket

    # the market's side

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """Match working orders against bars that ended by `now`; a bar not newer than the last seen changes nothing.

        Raises InputError (NotAPriceError for a price) for bars no market can have had; then nothing has changed.
        """
        require_aware(now)
        distinct = dict.fromkeys(checked(bar) for bar in bars)
        fresh = [bar for bar in sorted(distinct, key=_in_order) if self._is_fresh(bar, now)]
        _require_one_per_symbol(fresh)
        if fresh:
            with self._change() as book:
                for bar in fresh:
                    meet(book, bar)

    def on_session_open(
        self, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
    ) -> None:
        """Before the open of an ex-date: pay dividends (USD per share as held before), rescale holdings and orders.

        splits: new shares for one old share. Each is done once a session; orders on the book are in old shares.
        Raises InputError for a ratio or dividend that is none; then nothing has changed.
        """
        with self._change() as book:
            open_session(book, times, splits, dividends)

    def halt(self, halt: Halt) -> None:
        """Stop trading in a symbol between two instants."""
        with self._change() as book:
            remember_halt(book, halt)

    def reject(self, client_order_id: str, now: datetime, text: str) -> None:
        """Take back the acceptance of an order that has not filled; any other stays."""
        with self._change() as book:
            ticket = self._known(book, client_order_id)
            if ticket.is_open and not ticket.cum_qty:
                book.reject(ticket, now, text)

    def correct(self, exec_id: str, price: Decimal, now: datetime) -> None:
        """Take back the price (USD per share) of a fill and say another; raises InputError for one never made."""
        about = [report for report in self.reports if exec_id in {report.exec_id, report.ref_exec_id}]
        if not about or about[0].exec_type is not ExecType.TRADE:
            raise InputError(f"the venue made no fill {exec_id!r} among its {len(self.reports)} reports")
        if not price.is_finite() or price <= 0:
            raise InputError(f"{price} is no price to correct {exec_id} to")
        with self._change() as book:
            book.correct(about[0], about[-1].last_px, price, now)

    def on_session_close(self, times: SessionTimes) -> None:
        """Expire what is not GTC and was accepted before the close, entries before their legs."""
        with self._change() as book:
            for listed in book.working():
                ticket = book.tickets[listed.client_order_id]
                if ticket.life is not TimeInForce.GTC and ticket.terms[0].from_at < times.closes_at:
                    text = f"{ticket.life} order, session {times.session} closed"
                    book.end(ticket, ExecType.EXPIRED, times.closes_at, text)

    def symbols_of_interest(self) -> frozenset[str]:
        """Symbols with working orders or positions."""
        return Book(self._state, self.rules).interests()

    def _is_fresh(self, bar: MarketBar, now: datetime) -> bool:
        if bar.end_at > now:
            raise InputError(f"{bar.symbol}'s bar ends {bar.end_at.isoformat()}, after now ({now.isoformat()})")
        mark = self._state.marks.get(bar.symbol)
        if mark is None or bar.start_at >= mark.end_at:
            return True
        if bar.end_at <= mark.end_at:
            return False
        raise InputError(
            f"{bar.symbol}'s bar {bar.start_at.isoformat()} to {bar.end_at.isoformat()} overlaps the last one seen, "
            f"which ended {mark.end_at.isoformat()}. Feed the venue bars of one timeframe only"
        )


def _in_order(bar: MarketBar) -> tuple[str, datetime]:
    return (bar.symbol, bar.end_at)


def _require_one_per_symbol(bars: Sequence[MarketBar]) -> None:
    for bar, following in pairwise(bars):
        if bar.symbol == following.symbol and following.start_at < bar.end_at:
            raise InputError(
                f"two different bars of {bar.symbol} end {bar.end_at.isoformat()} and {following.end_at.isoformat()} "
                "and overlap; nothing was changed. Check the bars: trading-pipeline data check"
            )


def _repeated(known: Ticket, request: AnyRequest) -> str:
    if known.status is OrdStatus.REJECTED:
        raise OrderRefused(known.text)
    if known.sent != request:
        raise OrderRefused(
            f"{known.client_order_id} is already the id of another order ({known.request.side} "
            f"{known.request.quantity} {known.symbol}); send a new intent under a new id"
        )
    return known.venue_order_id


def _refusal(request: AnyRequest, faults: Sequence[str]) -> OrderRefused:
    first = orders_of(request)[0]
    return OrderRefused(f"the venue refused {first.client_order_id} ({first.symbol}): {'; '.join(faults)}")
