"""Looking: everything TWS knows of orders is asked anew, so that all it said before is on the board when it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.brokers.ib.board import Board, Seen
from trading_pipeline.adapters.brokers.ib.codes import STATUSES, Meaning, meaning_of, status_of
from trading_pipeline.adapters.brokers.ib.link import Link
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.news import News
from trading_pipeline.adapters.brokers.ib.shapes import (
    Terms,
    life_of,
    number,
    order_type_of,
    side_of,
    symbol_of,
    terms_of,
    terms_of_request,
)
from trading_pipeline.adapters.brokers.ib.told import ToldReports
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import OutcomeUnknown, SettingsError
from trading_pipeline.domain.executions import executions, in_order
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderRequest, OrdStatus
from trading_pipeline.ports import Clock, VenueAccount, VenueOrder, VenuePosition
from trading_pipeline.venue.checks import orders_of

COMMISSION_WAIT_SECONDS = 1.0
"""Commissions come a moment after their trades; later ones are told as corrections."""
HALF_A_SECOND = timedelta(seconds=0.5)
SUMMARY_TAGS = "NetLiquidation,TotalCashValue,BuyingPower,SettledCash"
_ENDS = {
    ExecType.CANCELED: OrdStatus.CANCELED,
    ExecType.EXPIRED: OrdStatus.EXPIRED,
    ExecType.REJECTED: OrdStatus.REJECTED,
}


class Reading:
    """Reads by the open connection. One reads at a time: `turn` is held by whoever uses it."""

    def __init__(self, link: Link, clock: Clock, ids: VenueIds, told: ToldReports, names: Names, account: str) -> None:
        self._link, self._clock, self._ids, self._told, self._names = link, clock, ids, told, names
        self.account = account
        self._remarked: set[str] = set()
        self._untold: frozenset[str] = frozenset()

    @property
    def board(self) -> Board:
        return self._link.board

    # orders

    async def refresh(self) -> None:
        """Open orders, then completed ones, then executions: what moves meanwhile is in the later answer."""
        self.board.begin_listing()
        await self._link.ask("open orders", lambda ib: ib.reqAllOpenOrdersAsync())
        await self._link.ask("completed orders", lambda ib: ib.reqCompletedOrdersAsync(False))
        await self._link.ask("executions", lambda ib: ib.reqExecutionsAsync())
        await self._await_commissions()
        self.keep_news()

    def keep_news(self) -> Sequence[ExecutionReport]:
        """Put what is new on file."""
        now = self._clock.now()
        self._names.learn()
        found = [report for report in self._news().found(now) if report.client_order_id not in self._untold]
        new = self._told.add(found, now)
        for report in new:
            if report.exec_type in _ENDS:
                self._finish(report.client_order_id)
        return new

    @contextmanager
    def untold(self, client_order_ids: Iterable[str]) -> Iterator[None]:
        """Nothing is told of these orders meanwhile: it is not decided yet whether they were ever taken."""
        self._untold = frozenset(client_order_ids)
        try:
            yield
        finally:
            self._untold = frozenset()

    def order(self, client_order_id: str) -> VenueOrder | None:
        """An order as the last refresh showed it, or as it was last told to have ended."""
        if self._told.refusal(client_order_id) is not None:
            return None
        seen = self._names.find(client_order_id)
        if seen is not None and (seen.is_open or seen.has_ended):
            return self.view(seen)
        return self._remembered(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        """What may still execute, by permId."""
        return tuple(self.view(seen) for seen in self.board.listed() if self._is_ours(seen.order.account))

    def view(self, seen: Seen) -> VenueOrder:
        """An order of the board in our terms."""
        name = self._names.of(seen)
        request = self.request_of(name)
        terms = self.terms_of(seen, request)
        filled = max(self._filled(name), number(seen.filled) or ZERO)
        return VenueOrder(
            client_order_id=name, venue_order_id=str(seen.perm_id), symbol=symbol_of(seen.contract),
            side=side_of(seen.order), order_type=order_type_of(seen.order),
            time_in_force=request.time_in_force if request else life_of(seen.order),
            status=self._status(seen, name, filled, terms.quantity), quantity=terms.quantity, cum_qty=filled,
            limit_price=terms.limit_price, stop_price=terms.stop_price, parent_id=self._names.parent_of(seen),
        )  # fmt: skip

    def terms_of(self, seen: Seen, request: OrderRequest | None) -> Terms:
        """As TWS shows them; one that ended may be shown without its quantity: then as it was told."""
        shown = terms_of(seen.order, seen.total)
        if seen.is_open or request is None:
            return shown
        return self._terms_told(request)

    def request_of(self, client_order_id: str) -> OrderRequest | None:
        """What we asked; None for an order of others."""
        family = self._ids.family(client_order_id)
        return family.member(client_order_id) if family else None

    def _terms_told(self, request: OrderRequest) -> Terms:
        terms = terms_of_request(request)
        for report in self._told.of(request.client_order_id):
            if report.exec_type is ExecType.REPLACED:
                terms = terms.changed(report.quantity, report.limit_price, report.stop_price)
        return terms

    def _status(self, seen: Seen, name: str, filled: Decimal, quantity: Decimal) -> OrdStatus:
        told = self._told.report(f"{seen.perm_id}-ended")
        if told is not None:
            return OrdStatus.FILLED if quantity and filled >= quantity else _ENDS[told.exec_type]
        status = status_of(seen.status)
        if self._is_refused(seen):
            return OrdStatus.REJECTED
        if seen.status not in STATUSES:
            self._remark_once(f"TWS says {name} is {seen.status!r}, which nobody has heard of: it is in doubt")
        elif seen.status == "Inactive":
            self._remark_once(f"{name} is inactive at TWS: it does not work, and protects nothing. Look at it there")
        return OrdStatus.PARTIALLY_FILLED if status is OrdStatus.NEW and filled else status

    def _remark_once(self, text: str) -> None:
        if text not in self._remarked:
            self._remarked.add(text)
            self._link.remark(text)

    def _is_refused(self, seen: Seen) -> bool:
        """Inactive after a refusal is rejected; without one TWS holds the order."""
        said = self.board.complaints.get(seen.key, ())
        return seen.status == "Inactive" and any(meaning_of(one.code) is Meaning.REFUSED for one in said)

    def _filled(self, client_order_id: str) -> Decimal:
        holding = executions(in_order(self._told.of(client_order_id)))
        return sum((held.last_qty for held in holding.values()), ZERO)

    def _remembered(self, client_order_id: str) -> VenueOrder | None:
        """An order TWS shows no more: its end was told, or all of it was filled; else TWS does not know it."""
        request, reports = self.request_of(client_order_id), self._told.of(client_order_id)
        if request is None or not reports:
            return None
        terms, filled = self._terms_told(request), self._filled(client_order_id)
        ends = [_ENDS[report.exec_type] for report in reports if report.exec_type in _ENDS]
        if filled < terms.quantity and not ends:
            return None
        return VenueOrder(
            client_order_id=client_order_id, venue_order_id=reports[-1].venue_order_id, symbol=request.symbol,
            side=request.side, order_type=request.order_type, time_in_force=request.time_in_force,
            status=OrdStatus.FILLED if filled >= terms.quantity else ends[-1], quantity=terms.quantity,
            cum_qty=filled, limit_price=terms.limit_price, stop_price=terms.stop_price,
        )  # fmt: skip

    def _finish(self, client_order_id: str) -> None:
        family = self._ids.family(client_order_id)
        if family is None:
            return
        views = [self.order(one.client_order_id) for one in orders_of(family.request)]
        if all(view is not None and view.status in {*_ENDS.values(), OrdStatus.FILLED} for view in views):
            self._ids.finish(client_order_id)

    def _news(self) -> News:
        return News(self.board, self._names, self._ids, self._told, self.account)

    def _is_ours(self, account: str) -> bool:
        return not self.account or account in {"", self.account}

    async def _await_commissions(self) -> None:
        try:
            async with asyncio.timeout(COMMISSION_WAIT_SECONDS):
                while self._news().without_commission(self._clock.now()):
                    await self.board.change()
        except TimeoutError:
            missing = self._news().without_commission(self._clock.now())
            self._link.remark(f"{len(missing)} fills are told without their commission, which has not come yet")

    # the account

    async def positions(self) -> Sequence[VenuePosition]:
        """Shares held; TWS's average price contains commissions."""
        found = await self._link.ask("positions", lambda ib: ib.reqPositionsAsync())
        held = {
            one.contract.conId: VenuePosition(
                symbol_of(one.contract), number(one.position) or ZERO, number(one.avgCost) or ZERO
            )
            for one in found
            if self._is_ours(one.account)
        }
        return tuple(sorted((one for one in held.values() if one.quantity), key=lambda one: one.symbol))

    async def account_figures(self) -> VenueAccount:
        """Asked anew each time: what TWS keeps up to date by itself may be three minutes old.

        Raises SettingsError when the account is kept in another currency than USD.
        """
        rows = await self._link.ask("account summary", self._summary)
        ours = [row for row in rows if self._is_ours(row.account) and row.tag in SUMMARY_TAGS.split(",")]
        _require_usd(self.account, {row.currency for row in ours})
        figures = {row.tag: row.value for row in ours}
        try:
            return VenueAccount(
                account=self.account, cash_usd=Decimal(figures["TotalCashValue"]),
                equity_usd=Decimal(figures["NetLiquidation"]), buying_power_usd=Decimal(figures["BuyingPower"]),
                settled_cash_usd=Decimal(figures["SettledCash"]) if figures.get("SettledCash") else None,
            )  # fmt: skip
        except (KeyError, ArithmeticError) as error:
            raise OutcomeUnknown(f"the summary of {self.account} lacks a figure ({error!r}); ask again") from error

    async def clock(self) -> datetime:
        """TWS's time (aware UTC). It tells whole seconds, cut off: what is meant lies half a second later."""
        told: datetime = await self._link.ask("current time", lambda ib: ib.reqCurrentTimeAsync())
        return require_aware(told).astimezone(UTC) + HALF_A_SECOND

    async def _summary(self, ib: Any) -> Sequence[Any]:
        request_id = ib.client.getReqId()
        ib.wrapper.acctSummary.clear()
        answer = ib.wrapper.startReq(request_id)
        ib.client.reqAccountSummary(request_id, "All", SUMMARY_TAGS)
        try:
            await answer
        finally:
            if ib.isConnected():
                ib.client.cancelAccountSummary(request_id)
        return tuple(ib.wrapper.acctSummary.values())


def _require_usd(account: str, currencies: Collection[str]) -> None:
    """Figures come in the account's base currency: in another one they would be taken for USD."""
    others = sorted(set(currencies) - {"USD"})
    if others:
        raise SettingsError(
            f"the figures of {account} come in {', '.join(one or 'no currency' for one in others)}, and all money here "
            "is USD. Log TWS in to an account whose base currency is USD, or change it: Client Portal, Settings, "
            "Account Settings, Base Currency (it takes effect on the next day)"
        )
